"""Reading station.toml: every mistake is named at once, with file, line, key, value and remedy."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evse.config.load import load_config, parse_config
from evse.config.model import StationConfig
from evse.domain.base import ConfigError
from tests._support.examples import examples

GOOD = """
[station]
id = "CP1"

[[evse]]
id = 1
home_group = 1
board = { port = "/dev/ttyUSB0" }
meter = { profile = "acrel/djsf1352-rn", port = "/dev/ttyUSB9", address = 1 }

[[evse]]
id = 2
home_group = 2
board = { port = "/dev/ttyUSB1" }
meter = { profile = "acrel/djsf1352-rn", port = "/dev/ttyUSB9", address = 2 }

[modules]
channel = "can0"
[[modules.groups]]
id = 1
addresses = [0, 1]
[[modules.groups]]
id = 2
addresses = [2, 3]

[site]
limit_w = 60_000

[[reader]]
name = "front"
port = "/dev/ttyUSB2"
evses = [1, 2]
"""


def problems(text: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        parse_config(text, "station.toml")
    return caught.value.problems


def only(text: str) -> str:
    found = problems(text)
    assert len(found) == 1, found
    return found[0]


def line_of(text: str, part: str) -> int:
    return next(i for i, line in enumerate(text.split("\n"), 1) if part in line)


def changed(old: str, new: str, text: str = GOOD) -> str:
    assert old in text
    return text.replace(old, new, 1)


def test_a_good_file_is_read() -> None:
    config = parse_config(GOOD, "station.toml")
    assert config.station.id == "CP1"
    assert [e.home_group for e in config.evse] == [1, 2]
    assert config.modules is not None
    assert config.modules.groups[1].addresses == (2, 3)
    assert config.site.limit_w == 60_000


def test_the_wrong_file_of_the_acceptance_is_refused_with_everything_at_once(tmp_path: Path) -> None:
    """Unknown key, wrong unit, port used twice, missing file: four mistakes, four lines, four remedies."""
    text = """profile = "generic/dc-2x66"

[station]
id = "CP1"
colour = "red"

[[evse]]
id = 1
board = { port = "/dev/ttyUSB0" }

[[evse]]
id = 2
[evse.board]
port = "/dev/ttyUSB0"
[evse.meter]
profile = "acrel/djsf1352"
port = "/dev/ttyUSB3"

[site]
limit_kw = 60
ocpp_limit_w = "40 kW"
"""
    path = tmp_path / "station.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        load_config(path)
    found = caught.value.problems
    expected = [
        (
            1,
            "profile",
            '"generic/dc-2x66"',
            'no such file profiles/stations/generic/dc-2x66.toml; did you mean "generic/dc-2x60"?',
        ),
        (5, "station.colour", '"red"', "unknown key; remove it"),
        (14, "evse[2].board.port", '"/dev/ttyUSB0"', "port is used twice, evse[1].board has it in line 9"),
        (
            16,
            "evse[2].meter.profile",
            '"acrel/djsf1352"',
            "no such file profiles/meters/acrel/djsf1352.toml; did you mean",
        ),
        (20, "site.limit_kw", "60", "unknown key, wrong unit; use limit_w = 60000"),
        (21, "site.ocpp_limit_w", '"40 kW"', "use ocpp_limit_w = 40000"),
    ]
    assert len(found) == len(expected), found
    for row, (line, key, value, remedy) in zip(found, expected, strict=True):
        assert row.startswith(f"{path}:{line}: {key} = {value}: "), row
        assert remedy in row, row


CASES = [
    ("limit_w = 60_000", "limit = 60", "site.limit = 60: unknown key, the unit belongs to the name; use limit_w"),
    ("limit_w = 60_000", "limit_kw = 62.5", "use limit_w = 62500"),
    ("limit_w = 60_000", 'limit_w = "60000"', "must be a whole number (0..10000000 W), not text; use limit_w = 60000"),
    ("limit_w = 60_000", "limit_w = 60000.0", "use limit_w = 60000"),
    ("limit_w = 60_000", "limit_w = true", "must be a whole number"),
    ("limit_w = 60_000", "limit_w = -1", "outside 0..10000000 W"),
    ("limit_w = 60_000", "limit_w = 1000", "nobody could charge"),
    ("limit_w = 60_000", "limit_w = 60_000\nefficiency = 0.95", "use efficiency_permille = 950"),
    ("limit_w = 60_000", "limit_w = 60_000\nefficiency_pct = 95", "use efficiency_permille = 950"),
    ("limit_w = 60_000", 'limit_w = 60_000\nallow_cross = "yes"', "must be true or false; use allow_cross = true"),
    (
        "limit_w = 60_000",
        'meter = { profile = "eastron/sdm630", port = "/dev/x" }',
        "a site meter without a limit guards nothing",
    ),
    ("home_group = 2", "home_group = 3", "there is no module group 3; groups in [modules]: 1, 2"),
    ("home_group = 2", "home_group = 1", "group 1 is the home of evse[1] already"),
    ("home_group = 2", "", "evse[2].home_group: is missing: on a bus"),
    ("home_group = 2", "home_group = 2\nderate_start_c = 95", "derating from 95 °C to 90 °C"),
    ("home_group = 2", "home_group = 2\npower_max_w = 1000", "below site.min_power_w = 3000"),
    ("home_group = 2", 'home_group = 2\nkind = "DC"', 'must be one of "ac", "dc"; did you mean "dc"?'),
    ("addresses = [2, 3]", "addresses = [1, 2]", "module address 1 is in modules.groups[1] already"),
    ("addresses = [2, 3]", "addresses = [2, 61]", "module address 61 is outside 0..60"),
    ("addresses = [2, 3]", "addresses = []", "must not be empty"),
    ("addresses = [2, 3]", "addresses = [2, 2]", "has an entry twice"),
    ("addresses = [2, 3]", 'addresses = "2, 3"', "must be a list of whole numbers"),
    ("evses = [1, 2]", "evses = [1, 4]", "there is no EVSE 4; EVSEs: 1, 2"),
    ('"/dev/ttyUSB2"', '"/dev/ttyUSB0"', "port is used twice, evse[1].board has it"),
    ('"/dev/ttyUSB2"', '"/dev//ttyUSB0"', "port is used twice, evse[1].board has it"),
    (
        '"/dev/ttyUSB9", address = 2',
        '"/dev/ttyUSB9", address = 1',
        "Modbus unit 1 on /dev/ttyUSB9 is used twice, evse[1].meter has it",
    ),
    (
        '"/dev/ttyUSB9", address = 2',
        '"/dev/ttyUSB9", address = 2, baud = 19200',
        "19200 differs from evse[1].meter on the same bus",
    ),
    ('"/dev/ttyUSB9", address = 2', '"/dev/ttyUSB1", address = 2', "only meters and reclosers may share a port"),
    ('"/dev/ttyUSB9", address = 2', '"tcp://meter", address = 2', "must be tcp://host:port"),
    ('[station]\nid = "CP1"', "[station]", "station.id: is missing; add it"),
    ('id = "CP1"', f'id = "{"x" * 49}"', "has 49 characters, at most 48"),
    ('id = "CP1"', 'id = "a\\u0007b"', "holds a control character"),
    ('id = "CP1"', 'id = "CP1"\nlimit_w = 5', "unknown key here; it belongs to site"),
    ("[station]", "schema_version = 2\n[station]", "must be one of 1"),
    ("[site]\n", "[sites]\n", "sites = {...}: unknown key; did you mean site?"),
    ("[site]\n", "[ocpp]\nenabled = true\n[site]\n", "is missing while ocpp.enabled = true"),
    (
        "[site]\n",
        '[ocpp]\nurl = "https://example.org"\n[site]\n',
        'scheme "https" is not a WebSocket; use wss://example.org',
    ),
    ("[site]\n", '[ocpp]\nurl = "wss:///x"\n[site]\n', "names no host"),
    ("[site]\n", "[ocpp]\nheartbeat_min = 5\n[site]\n", "use heartbeat_s = 300"),
    ("[site]\n", '[ocpp]\noffline_policy = "cached"\n[site]\n', 'did you mean "cache"?'),
    ("[site]\n", '[api]\nsocket = "/no/such/dir/evsed.sock"\n[site]\n', "there is no directory /no/such/dir"),
    ("[site]\n", "[site]\nmeter = 5\n", "must be a table; write [site.meter]"),
]


@pytest.mark.parametrize(("old", "new", "expected"), CASES, ids=[c[2][:40] for c in CASES])
def test_each_mistake_has_its_line_and_remedy(old: str, new: str, expected: str) -> None:
    text = changed(old, new)
    found = only(text)
    assert expected in found
    assert re.match(r"station\.toml:\d+: ", found)


def test_evse_numbers_have_no_gap() -> None:
    text = changed("evses = [1, 2]", "evses = [1]", changed("id = 2\nhome", "id = 3\nhome"))
    assert "EVSE numbers must run from 1 without a gap; use id = 2" in only(text)


def test_a_syntax_error_has_line_and_column() -> None:
    assert only('[station]\nid = "a\n').startswith("station.toml:2:")
    assert "not valid TOML" in only("[station]\nid = = 3\n")
    assert only("[station").startswith("station.toml:1:")


def test_secrets_are_never_echoed() -> None:
    text = changed("[site]\n", '[ocpp]\npassword = "hunter2"\nurl = "http://joe:hunter2@example.org/"\n[site]\n')
    told = "\n".join(problems(text))
    assert "hunter2" not in told
    assert "ocpp.password = ***" in told


def test_a_file_that_cannot_be_read_says_why(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="there is no such file"):
        load_config(tmp_path / "none.toml")
    broken = tmp_path / "latin.toml"
    broken.write_bytes(b'[station]\nid = "caf\xe9"\n')
    with pytest.raises(ConfigError, match=r"latin\.toml:2: byte 0xe9 is not UTF-8"):
        load_config(broken)


PIECES = st.sampled_from(
    [
        "[station]\n",
        'id = "x"\n',
        "[[evse]]\n",
        "id = 1\n",
        "id = []\n",
        "board = 3\n",
        'board = { port = "/dev/a" }\n',
        "[site]\n",
        "limit_kw = 1e400\n",
        "limit_w = nan\n",
        "[modules]\n",
        "groups = [{ id = 1 }, 2]\n",
        "[evse.meter]\n",
        "port = []\n",
        'profile = "a/../b"\n',
        "[[reader]]\n",
        "evses = [true]\n",
        "derate_start_c = 1979-05-27\n",
        "[ocpp]\n",
        "enabled = true\n",
        'url = "http://[::1"\n',
        "meter = [[]]\n",
        "[[modules.groups]]\n",
        "addresses = [0, -1, 1.5]\n",
    ]
)


@settings(max_examples=examples(300), deadline=None)
@given(st.lists(PIECES, max_size=12))
def test_garbage_is_refused_in_words_and_never_crashes(pieces: list[str]) -> None:
    try:
        config = parse_config("".join(pieces), "f.toml")
    except ConfigError as error:
        assert error.problems
        assert all(re.match(r"(f\.toml|profiles/.*):\d+(:\d+)?: ", p) for p in error.problems), error.problems
    else:
        assert isinstance(config, StationConfig)
