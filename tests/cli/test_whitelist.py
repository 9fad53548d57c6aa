"""``evsectl whitelist`` over the fake station: pages, refusals, files, learning."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from evsectl import exits
from evsectl.output import FORMATS
from tests._support.fake_service import FakeStation
from tests.cli.support import check_golden, run, show

pytestmark = pytest.mark.usefixtures("station")


def test_pages() -> None:
    text = ""
    for words in (
        ("list",), ("list", "guest"), ("list", "nobody"), ("list", "-o", "name"), ("show", "07a47731"),
        ("show", "07A47731", "-o", "json"), ("show", "0102030405"), ("show", "99887766"),
        ("add", "04:AA:BB:CC", "--name", "Van", "--expires", "2027-12-31"), ("add", "04AABBCC"), ("add", "08AABBCC"),
        ("add", "04AABBCD", "--expires", "soon"), ("edit", "04AABBCC"), ("edit", "04AABBCC", "--blocked", "--expires", "never"),
        ("remove", "04AABBCC"), ("remove", "04AABBCC"), ("clear",), ("export",), ("clear", "--yes"), ("list",),
    ):  # fmt: skip
        text += show(("whitelist", *words), run("whitelist", *words))
    check_golden("whitelist", text)


def test_every_format(station: FakeStation) -> None:
    text = ""
    for words, fields in (
        (("list", "card"), "id,says"),
        (("show", "0010BADA5501"), "id,used_at"),
        (("add", "04AABBCC", "--name", "Van"), "id,name"),
        (("edit", "07A47731", "--name", "Guest"), "id,name"),
        (("remove", "07A47731"), "changed"),
        (("import", "-", "--dry-run"), "added,removed"),
        (("learn", "--connector", "2", "--timeout", "1m"), "stage,entry.id"),
        (("clear", "--yes"), "changed,detail"),
    ):
        for form in FORMATS:
            station.reset_whitelist()
            arguments = ("whitelist", *words, "-o", form, *(("--fields", fields) if form == "value" else ()))
            text += show(arguments, run(*arguments, stdin="id,name\n55667788,Käthe\n"))
    check_golden("whitelist-formats", text)


@pytest.mark.parametrize("words", [("list",), ("import", "x"), ("learn",), ("remove", "x")])
def test_the_fields_of_every_kind_are_listed(words: tuple[str, ...]) -> None:
    listed = run("whitelist", *words, "--fields", "help")
    assert listed.code == exits.OK and len(listed.text.splitlines()) >= 3


def test_an_import_is_all_or_nothing(station: FakeStation, tmp_path: Path) -> None:
    before = station.entries
    bad = tmp_path / "bad.csv"
    bad.write_text("type,id,name,allow,expires\nRFID,04AABBCC,Van,yes,\nRFID,xyz,,,\nRFID,04AABBCC,,,\n", encoding="utf-8")
    refused = run("whitelist", "import", str(bad))
    assert refused.code == exits.INVALID and set(station.entries) == set(before)
    assert "line 3: id 'xyz'" in refused.err and "line 4: id '04AABBCC': is in line 2 already" in refused.err
    good = tmp_path / "good.csv"
    good.write_bytes("id;name\n04AABBCC;Käthe\n11223344;Found again\n".encode("cp1252"))
    trial = run("whitelist", "import", str(good), "--dry-run", "-o", "json")
    assert json.loads(trial.text)["added"] == 1 and set(station.entries) == set(before)
    assert run("whitelist", "import", str(good)).text == "1 added, 1 changed, 0 as before, 0 removed\n"
    assert {e.id: e.name for e in station.entries}["04AABBCC"] == "Käthe"


def test_replacing_says_what_goes_and_asks(station: FakeStation) -> None:
    refused = run("whitelist", "import", "-", "--replace", stdin="id\n11223344\n")
    assert refused.code == exits.USAGE and "3 entries go" in refused.err and len(station.entries) == 4
    assert run("whitelist", "import", "-", "--replace", "--yes", stdin="id\n11223344\n").code == exits.OK
    assert [e.id for e in station.entries] == ["11223344"]


def test_what_was_exported_is_imported_unchanged(tmp_path: Path) -> None:
    file = tmp_path / "list.csv"
    assert run("whitelist", "export", "-O", str(file)).code == exits.OK
    again = run("whitelist", "import", str(file), "--replace", "-o", "json")
    body = json.loads(again.text)
    assert (body["added"], body["changed"], body["unchanged"], body["removed"]) == (0, 0, 4, 0)


def test_learning_shows_the_card_that_came(station: FakeStation) -> None:
    learned = run("whitelist", "learn", "--reader", "rfid", "--name", "New van")
    assert learned.code == exits.OK and "04C0FFEE" in learned.text and "New van" in learned.text
    assert "a card at rfid" in learned.err
    station.learned = ""
    nothing = run("whitelist", "learn", "--reader", "rfid", "-o", "json")
    assert nothing.code == exits.TIMEOUT and json.loads(nothing.text)["stage"] == "expired"
    wrong = run("whitelist", "learn", "--reader", "back")
    assert wrong.code == exits.NOT_FOUND and "readers: " in wrong.err
    both = run("whitelist", "learn", "--reader", "rfid", "--connector", "1")
    assert both.code == exits.INVALID and "one of both" in both.err
    assert run("whitelist", "learn", "--connector", "9").code == exits.NOT_FOUND
    assert run("whitelist", "learn", "--reader", "rfid", "--expires", "soon").code == exits.INVALID
    for time in ("1s", "6m", "soon"):
        assert run("whitelist", "learn", "--reader", "rfid", "--timeout", time).code == exits.USAGE
    assert run("whitelist", "learn", "--cancel").text == "nobody learns\n"
