"""``fault explain`` and ``fault codes`` over the real table: any word of the catalogue leads to its texts."""

from __future__ import annotations

import json

import pytest

from evse.domain.fault_table import FAULTS, PERSISTENCE_CODES
from evse.runtime.service.faults import catalogue
from tests._support.fake_service import FakeStation
from tests.cli.support import check_golden, run, show

pytestmark = pytest.mark.usefixtures("station")


@pytest.fixture(autouse=True)
def _real_table(station: FakeStation) -> None:
    station.catalogue = catalogue()


def explained(word: str) -> list[dict[str, object]]:
    result = run("fault", "explain", word, "-o", "json")
    assert result.code == 0, result.err
    body = json.loads(result.text)
    return list(body["items"]) if body["kind"] == "FaultTextList" else [body]


def test_pages_of_faults() -> None:
    text = ""
    for words in (
        ("explain", "F32"), ("explain", "rcdgroundfailure"), ("explain", "PLUGLOCKMOTORCAPNOTCHARGED"),
        ("explain", "PersistenceReadOnly"), ("explain", "InternalError"), ("explain", "RcdGroundFailur"),
        ("explain", "F51"), ("explain", "quite something else"), ("codes", "--kind", "ac"), ("codes", "--kind", "dc"),
        ("codes", "--kind", "mains"),
    ):
        text += show(("fault", *words), run("fault", *words))
    check_golden("fault-words", text)


def test_every_number_name_and_vendor_code_is_explained_in_any_case() -> None:
    for spec in FAULTS.values():
        for word in (spec.code.value.lower(), spec.name.upper(), spec.vendor_code.lower() or spec.code.value):
            assert spec.code.value in [row["code"] for row in explained(word)], word
    for row in PERSISTENCE_CODES.values():
        (found,) = explained(row.name.lower())
        assert (found["code"], found["vendor_code"], found["cause"]) == ("F17", row.name, row.cause)


def test_a_word_of_two_faults_shows_both() -> None:
    """``InternalError`` is our F19 by name and the meter's fault by the vendor code of a notification."""
    assert [row["code"] for row in explained("internalerror")] == ["F19", "F26"]


def test_codes_are_in_the_order_of_priority_and_of_the_wanted_kind() -> None:
    rows = json.loads(run("fault", "codes", "-o", "json").text)["items"]
    assert [row["priority"] for row in rows] == sorted(row["priority"] for row in rows)
    assert len(rows) == len(FAULTS) + len(PERSISTENCE_CODES)
    for kind, absent in (("ac", "dc"), ("dc", "ac")):
        kinds = {row["kinds"] for row in json.loads(run("fault", "codes", "--kind", kind, "-o", "json").text)["items"]}
        assert kinds == {kind, "both"} and absent not in kinds
