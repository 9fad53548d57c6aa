"""Options as data, their documents, and the list of changes."""

from __future__ import annotations

from pathlib import Path

import jsonschema
import msgspec
import pytest

from evse.config import docs
from evse.config.load import parse_config
from evse.config.options import diff, option, options, unit_of
from tests.config.test_load import GOOD, changed

ROOT = Path(__file__).resolve().parent.parent.parent


def test_every_option_has_help_and_numbers_have_a_range() -> None:
    assert len(options()) > 60
    for o in options():
        assert o.help, o.key
        assert o.apply in ("live", "idle", "restart"), o.key
        if o.kind == "integer":
            assert o.low is not None and o.high is not None, o.key
        if o.default is not None and o.kind == "integer":
            assert isinstance(o.default, int)
            assert (o.low or 0) <= o.default <= (o.high or 0), o.key


@pytest.mark.parametrize("name", docs.files())
def test_rendered_documents_are_current(name: str) -> None:
    """After a change of the declarations: python -m evse.config.docs"""
    assert (ROOT / name).read_text(encoding="utf-8") == docs.files()[name]


def test_every_option_is_documented() -> None:
    page, manual = docs.markdown(), docs.man_page()
    for o in options():
        assert f"| `{o.name}` |" in page
        assert o.name in manual


def test_the_schema_accepts_a_good_file_and_refuses_a_bad_one() -> None:
    import tomllib

    schema = msgspec.json.decode(docs.schema())
    jsonschema.Draft202012Validator.check_schema(schema)
    good = tomllib.loads(GOOD)
    jsonschema.validate(good, schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(good | {"site": {"limit_kw": 3}}, schema)


def test_docs_are_written_and_checked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert docs.main(["--check"], tmp_path) == 1
    assert "run python -m evse.config.docs" in capsys.readouterr().err
    assert docs.main([], tmp_path) == 0
    assert docs.main(["--check"], tmp_path) == 0


def test_units_come_from_names() -> None:
    assert [unit_of(n) for n in ("limit_w", "poll_ms", "token_minutes", "name")] == ["W", "ms", "min", ""]
    found = option("evse[2].meter.poll_ms")
    assert found is not None
    assert found.key == "evse[].meter.poll_ms"


def test_diff_names_key_old_new_and_when_it_takes_effect() -> None:
    old = parse_config(GOOD, "a")
    new = parse_config(
        changed("limit_w = 60_000", "limit_w = 50_000", changed("addresses = [2, 3]", "addresses = [2, 3, 4]")), "b"
    )
    assert diff(old, new) == [
        ("modules.groups[2].addresses", "[2, 3]", "[2, 3, 4]", "restart"),
        ("site.limit_w", "60000", "50000", "live"),
    ]
    assert diff(old, old) == []


def test_diff_of_an_added_table_needs_a_restart() -> None:
    old = parse_config(GOOD, "a")
    meter = '[site]\nmeter = { profile = "eastron/sdm630", port = "/dev/site" }\n'
    rows = diff(old, parse_config(changed("[site]\n", meter), "b"))
    assert ("site.meter.port", "", "/dev/site", "restart") in rows
    assert {row[3] for row in rows} == {"restart"}
