"""Formats: what a program reads back is what the API said."""

from __future__ import annotations

import csv
import io
import json
import os
import re
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evse.api import models, models_ac, models_ocpp, models_ocpp_security, models_whitelist
from evse.domain import faults, session, view, view_ac
from evsectl.fields import FIELDS
from evsectl.layout import Column, Screen, fit, pairs, table, wrap
from evsectl.output import TIME_KEYS, flat, iso, value_text
from evsectl.yaml import yaml
from tests._support.examples import examples
from tests._support.fake_service import FakeStation
from tests.cli.support import Rewind, make_eventful, rows, run
from tests.cli.test_golden import CASES
from tests.cli.yaml_reader import read_yaml

LISTS = ("connector-list", "session-list", "fault-list", "fault-history", "ocpp-messages", "meter-list", "audit-list")


def test_time_keys_are_those_of_the_models() -> None:
    """A new WallNs field of the API must become ISO 8601 too."""
    found = set()
    for module in (models, models_ac, models_ocpp, models_ocpp_security, models_whitelist, faults, session, view, view_ac):
        for value in vars(module).values():
            if isinstance(value, type) and issubclass(value, msgspec.Struct):
                found |= {k for k, text in value.__annotations__.items() if "WallNs" in str(text)}
    assert found == TIME_KEYS


def test_every_field_of_an_answer_is_known(station: FakeStation) -> None:
    make_eventful(station)
    for name, (command, _, stdin) in CASES.items():
        if name.startswith(("config-", "connector-", "planner-")) and name not in ("connector-list", "planner-get"):
            continue
        for row in rows(run(*command, "-o", "jsonl", stdin=stdin)):
            kind = row.pop("kind")
            row = row.get("event", row)
            known = FIELDS[kind]
            for field in flat(row):
                varies = any(k.endswith(".*") and field.startswith(k[:-1]) for k in known)
                empty = any(k.startswith(f"{field}.") for k in known)  # null where an object may stand
                assert field in known or varies or empty or field == "apiVersion", (kind, field)


@pytest.mark.parametrize("name", LISTS)
def test_csv_is_read_back_by_the_csv_module(name: str, station: FakeStation) -> None:
    make_eventful(station)
    command = CASES[name][0]
    expected = [row.get("event", row) for row in rows(run(*command, "-o", "jsonl"))]
    assert expected
    read = list(csv.DictReader(io.StringIO(run(*command, "-o", "csv").text, newline=""), strict=True))
    assert len(read) == len(expected)
    for line, row in zip(read, expected, strict=True):
        values = flat(row)
        for key, text in line.items():
            assert text == value_text(row.get(key, values.get(key))), key


@pytest.mark.parametrize("name", CASES)
def test_yaml_says_what_json_says(
    name: str, station: FakeStation, served: tuple[FakeStation, Path, Rewind]
) -> None:
    command, _, stdin = CASES[name]
    make_eventful(station)
    as_json = json.loads(run(*command, "-o", "json", stdin=stdin).text)
    served[2]()
    make_eventful(station)
    assert read_yaml(run(*command, "-o", "yaml", stdin=stdin).text) == as_json


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**40), 2**40) | st.text(st.characters(codec="utf-8"), max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(st.characters(codec="utf-8"), min_size=1, max_size=8), inner, max_size=4),
    max_leaves=20,
)


@given(st.dictionaries(st.sampled_from(["on", "no", "a_b", "1x", "x.y", "null", "data"]), JSON_VALUES, min_size=1))
@settings(max_examples=examples(150), deadline=None)
def test_yaml_of_any_value_is_read_back(value: dict[str, Any]) -> None:
    assert read_yaml(yaml(value)) == value


def test_yaml_quotes_what_yaml_1_1_takes_for_something_else() -> None:
    assert yaml({"on": True, "tie": "no", "c": "\x1b[2J\x7f\x85"}) == (
        '"on": true\ntie: "no"\nc: "\\u001b[2J\\u007f\\u0085"\n'
    )


@pytest.mark.parametrize("form", ["table", "wide", "json", "jsonl", "yaml", "name", "csv"])
def test_a_file_gets_the_bytes_of_stdout(form: str, station: FakeStation, tmp_path: Path) -> None:
    for command in (("connector", "list"), ("status",), ("session", "get", "s-000024")):
        shown = run(*command, "-o", form)
        file = tmp_path / "out"
        written = run(*command, "-o", form, "-O", str(file))
        assert (written.code, written.out) == (0, b"")
        assert file.read_bytes() == shown.out != b""


def test_bytes_do_not_depend_on_the_locale_or_the_terminal_type(station: FakeStation) -> None:
    first = run("connector", "list").out
    os.environ |= {"LC_ALL": "de_DE.ISO-8859-1", "LANG": "C", "TERM": "dumb", "COLUMNS": "20", "NO_COLOR": "1"}
    assert run("connector", "list").out == first
    assert "°C".encode() in first


def test_fields_come_in_the_order_asked_for_and_null_stays_null(station: FakeStation) -> None:
    result = run("connector", "list", "-o", "jsonl", "--fields", "soc_pct,evse_id,session,session.energy_wh")
    first, second = rows(result)
    assert list(first)[2:] == ["soc_pct", "evse_id", "session", "session.energy_wh"]
    assert (second["soc_pct"], second["session"], second["session.energy_wh"]) == (None, None, None)
    assert run("connector", "list", "-o", "value", "--fields", "evse_id,soc_pct").text == "1\t18\n2\t\n"
    assert run("connector", "list", "--no-headers", "--fields", "evse_id,soc_pct").text == "1  18\n2  -\n"


def test_json_without_a_value_lists_the_fields_and_asks_nobody(alone: Path) -> None:
    listed = run("connector", "list", "--json")
    assert listed.code == 0
    assert listed.text.splitlines() == list(FIELDS["Connector"])
    assert run("connector", "stop", "1", "--fields", "help").text == "ok\nchanged\ndetail\n"


def test_json_with_a_value_is_json_with_these_fields(station: FakeStation) -> None:
    expected = run("connector", "list", "-o", "json", "--fields", "evse_id,phase").out
    assert run("connector", "list", "--json=evse_id,phase").out == expected
    assert run("connector", "list", "--json", "evse_id,phase").out == expected


def test_a_form_that_does_not_exist_is_refused_before_anything_is_done(station: FakeStation) -> None:
    for form in (("-o", "name"), ("-o", "value"), ("-o", "json", "--fields", "bogus"), ("-o", "jsn")):
        result = run("connector", "stop", "1", "--accept-risk=stop-charging", *form)
        assert result.code == 2, form
    assert [name for name, _ in station.calls if name == "connector.stop"] == []


def test_text_of_strangers_cannot_steer_the_terminal(station: FakeStation) -> None:
    """A vehicle's or a card's text is shown without control characters."""
    charging = station.evse(1).session
    assert charging is not None
    station.set_evse(1, session=msgspec.structs.replace(charging, evcc_id="\x1b[2J\x9bevil\r\nnext"))
    for form in ("table", "wide", "value", "csv"):
        for command in (("connector", "get", "1"), ("connector", "list")):
            result = run(*command, "-o", form, "--fields", "evse_id,session.evcc_id")
            assert "evil" in result.text
            assert re.search("[\x00-\x09\x0b\x0c\x0e-\x1f\x7f-\x9f]", result.text.replace("\t", "")) is None, form
    assert "\x1b" not in run("connector", "get", "1").text


def test_a_table_drops_columns_by_rank_and_wraps_long_texts_on_a_terminal() -> None:
    items = [{"id": "DE*ABC*E0001*VERY-LONG", "x": 1, "why": "one two three four five six seven eight nine ten"}]
    columns = [Column("ID", "id"), Column("X", "x", drop=1), Column("Y", "x", drop=2), Column("WHY", "why", flex=True)]
    assert [c.header for c in fit(items, columns, Screen())] == ["ID", "X", "Y", "WHY"]
    assert [c.header for c in fit(items, columns, Screen(45))] == ["ID", "X", "WHY"]
    assert [c.header for c in fit(items, columns, Screen(20))] == ["ID", "WHY"]
    chosen = fit(items, columns, Screen(45))
    text = table(items, chosen, where=Screen(45))
    assert max(map(len, text.splitlines())) <= 45
    assert "DE*ABC*E0001*VERY-LONG" in text and text.split()[-1] == "ten"
    assert len(table(items, columns).splitlines()) == 2


@given(st.text(st.sampled_from("ab *-,"), max_size=200), st.integers(1, 60))
@settings(deadline=None)
def test_wrapping_loses_no_word_and_cuts_none(text: str, width: int) -> None:
    lines = wrap(text, width)
    assert "".join(lines).replace(" ", "") == text.replace(" ", "")
    assert re.split("[ ,]+", ",".join(lines).strip(" ,")) == re.split("[ ,]+", text.strip(" ,"))
    assert all(len(line) <= width or (" " not in line and "," not in line[:-1]) for line in lines)


def test_a_page_wraps_at_80_in_a_pipe() -> None:
    text = pairs([("What", "word " * 40), ("Id", "x" * 90)])
    lines = text.splitlines()
    assert max(len(line) for line in lines[:-1]) <= 80
    assert lines[-1] == "Id    " + "x" * 90


@pytest.mark.parametrize(
    ("environment", "arguments", "colored"),
    [
        ({}, (), False),
        ({"EVSECTL_FORCE_TTY": "100"}, (), True),
        ({"EVSECTL_FORCE_TTY": "100", "NO_COLOR": "1"}, (), False),
        ({"EVSECTL_FORCE_TTY": "100", "TERM": "dumb"}, (), False),
        ({"EVSECTL_FORCE_TTY": "100"}, ("--color=never",), False),
        ({"CLICOLOR_FORCE": "1"}, (), True),
        ({"CLICOLOR_FORCE": "0"}, (), False),
        ({"NO_COLOR": "1"}, ("--color=always",), True),
    ],
)
def test_colour_follows_terminal_environment_and_option(
    environment: dict[str, str], arguments: tuple[str, ...], colored: bool, station: FakeStation
) -> None:
    os.environ |= environment
    assert ("\x1b[32mcharging" in run(*arguments, "connector", "list").text) is colored
    assert "\x1b" not in run(*arguments, "connector", "list", "-o", "csv").text


def test_iso_agrees_with_the_standard_library() -> None:
    from datetime import UTC, datetime

    for wall_ns in (0, 951_782_400_000_000_000, 1_767_261_600_123_456_789, 4_102_444_799_999_999_999):
        moment = datetime.fromtimestamp(wall_ns // 10**9, UTC)
        assert iso(wall_ns) == f"{moment:%Y-%m-%dT%H:%M:%S}.{wall_ns // 10**6 % 1000:03}Z"
