"""docs/ocpp-cases.md says what the tests are."""

from __future__ import annotations

from tests.ocpp.use_cases import CASES, OUT, table


def test_the_document_lists_every_case() -> None:
    assert OUT.read_text(encoding="utf-8") == table(), "run: python -m tools.ocpp_cases"


def test_every_case_has_a_name_of_its_own_and_says_what_must_happen() -> None:
    table()
    names = [(case.section, case.name) for case in CASES]
    assert len(set(names)) == len(names)
    assert [case.name for case in CASES if not case.what.endswith(".") or "\n" in case.what] == []
