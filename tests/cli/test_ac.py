"""Every command around AC connectors in every format, and what a person sees on 80 columns."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evse.api.errors import ApiError, ErrorCode
from evsectl.commands.ac import wait_test
from evsectl.commands.limits import milliamps
from evsectl.diagnostics import Abort
from evsectl.output import FORMATS
from evsectl.progress import Bar, bar
from tests._support.fake_service import FakeStation
from tests.cli.support import Rewind, check_golden, run, show

CASES: dict[str, tuple[tuple[str, ...], str]] = {
    # name: (command, fields of -o value)
    "connector-list-ac": (("connector", "list"), "evse_id,ac.phases,ac.offered_ma,ac.lock.stage"),
    "connector-get-ac": (("connector", "get", "3"), "ac.pilot,ac.duty_bp,ac.rcd.tested_at"),
    "connector-allow": (("connector", "allow", "3", "--accept-risk=energise"), "ok,changed"),
    "connector-pause": (("connector", "pause", "3", "--accept-risk=stop-charging"), "ok,changed"),
    "connector-release": (("connector", "release", "4", "--id-token", "ANNA", "--accept-risk=energise"), "ok,changed"),
    "connector-withdraw": (("connector", "withdraw", "4", "--accept-risk=stop-charging"), "ok,changed"),
    "limits-explain": (("limits", "explain"), "evse_id,offered_ma,physical_ma"),
    "limits-list": (("limits", "list"), "name,current_ma,stale,ignored"),
    "limits-set": (("limits", "set", "ems", "13.5A", "--connector", "3"), "ok,changed"),
    "limits-clear": (("limits", "clear", "peak"), "ok,changed"),
    "lock-status": (("lock", "status"), "evse_id,lock.stage,lock.forced"),
    "lock-unlock": (("lock", "unlock", "3", "--hold", "--accept-risk=stop-charging"), "ok,changed"),
    "lock-lock": (("lock", "lock", "3"), "ok,changed,detail"),
    "rcd-status": (("rcd", "status"), "evse_id,rcd.state,rcd.tested_at"),
    "rcd-test": (("rcd", "test", "3", "--wait"), "ok,changed"),
    "phase-show": (("phase", "show"), "evse_id,phases,phases_next"),
    "phase-set": (("phase", "set", "3", "1", "--delay", "30"), "ok,changed"),
    "hlc-show": (("hlc", "show", "3"), "mode,v2g.phase"),
    "hlc-pause": (("hlc", "pause", "3"), "ok"),
    "ventilation-show": (("ventilation", "show"), "evse_id,ventilation.running"),
    "ventilation-set": (("ventilation", "set", "3", "--unavailable", "--off"), "ok,changed"),
    "io-list": (("io", "list"), "name,active,level,voltage_mv"),
    "io-show": (("io", "show", "inlet"), "online,detail"),
    "io-set": (("io", "set", "lamp", "low"), "ok,changed"),
    "recloser-status": (("recloser", "status"), "name,state"),
    "recloser-open": (("recloser", "open", "--accept-risk=stop-charging"), "ok,changed,detail"),
    "recloser-close": (("recloser", "close", "3", "--accept-risk=energise"), "ok,changed,detail"),
    "meter-detect": (("meter", "detect", "/dev/ttyRS486"), "state,found,noise"),
    "meter-show": (("meter", "show", "site"), "power_w"),
    "rfid-list": (("rfid", "list"), "name,online"),
    "rfid-show": (("rfid", "show", "rfid"), "last_token"),
    "rfid-tap-test": (("rfid", "tap-test", "rfid", "--seconds", "10"), "id_token,waited_ms"),
}


@pytest.mark.parametrize("name", CASES)
def test_every_format_of_a_command(
    name: str, station: FakeStation, served: tuple[FakeStation, Path, Rewind]
) -> None:
    command, fields = CASES[name]
    text = ""
    for form in FORMATS:
        served[2]()
        station.add_ac()
        arguments = (*command, "-o", form, *(("--fields", fields) if form == "value" else ()))
        text += show(arguments, run(*arguments))
    check_golden(name, text)


def test_a_terminal_of_80_columns(station: FakeStation, served: tuple[FakeStation, Path, Rewind]) -> None:
    os.environ["EVSECTL_FORCE_TTY"] = "80"
    text = ""
    for command in [("status",), *(command for command, _ in CASES.values())]:
        served[2]()
        station.add_ac()
        result = run("--color=never", *command)
        text += show(command, result)
        assert max(map(len, result.text.splitlines()), default=0) <= 80, command
    check_golden("terminal-80-ac", text)


def test_a_station_with_ac_only_has_no_dc_columns(station: FakeStation) -> None:
    station.add_ac()
    station.set_view(evses=station.view.evses[2:])
    header = run("connector", "list", "-o", "wide").text.splitlines()[0]
    assert "STEP" not in header and "SOC%" not in header and "PILOT" in header


def test_what_needs_somebody_to_say_yes(station: FakeStation) -> None:
    """Law: risky commands are refused without the risk by name, and nothing was asked of the daemon."""
    station.add_ac()
    for risk, command in (
        ("energise", ("connector", "allow", "3")),
        ("stop-charging", ("connector", "pause", "3")),
        ("energise", ("connector", "release", "4")),
        ("stop-charging", ("connector", "withdraw", "4")),
        ("stop-charging", ("lock", "unlock", "3")),
        ("stop-charging", ("recloser", "open")),
        ("energise", ("recloser", "close")),
        ("stop-charging", ("meter", "detect", "/dev/ttyRS485", "--disturb")),
    ):
        result = run(*command)
        assert result.code == 2 and f"--accept-risk={risk}" in result.err, command
    assert [name for name, _ in station.calls if not name.endswith((".list", ".get"))] == []


def test_refusals_name_the_reason(station: FakeStation) -> None:
    station.add_ac()
    text = ""
    for command in (
        ("lock", "unlock", "4", "--accept-risk=stop-charging"),
        ("rcd", "test", "4"),
        ("rcd", "test", "4", "--wait=1s"),
        ("phase", "set", "4", "3"),
        ("phase", "set", "3", "2"),
        ("limits", "set", "ems", "16 mA"),
        ("limits", "set", "ems", "20000"),
        ("limits", "explain", "9"),
        ("ventilation", "set", "3"),
        ("io", "set", "lamp", "hihg"),
        ("io", "set", "nothing", "high"),
        ("meter", "detect", "/dev/ttyRS485"),
        ("rfid", "show", "frnt"),
        ("lock", "status", "1"),
    ):
        text += show(command, run(*command))
    station.tap_token = ""
    text += show(("rfid", "tap-test", "rfid"), run("rfid", "tap-test", "rfid", "--seconds", "1"))
    check_golden("refusals-ac", text)


def test_a_tripped_monitor_ends_with_10(station: FakeStation) -> None:
    station.add_ac()
    side = station.evse(3).ac
    assert side is not None and side.rcd is not None
    station.set_evse(3, ac=msgspec.structs.replace(side, rcd=msgspec.structs.replace(side.rcd, state="tripped")))
    result = run("rcd", "status", "3")
    assert result.code == 10 and "tripped" in result.text


def test_named_limits_can_be_removed_until_none_is_left(station: FakeStation) -> None:
    station.add_ac()
    for name in ("ems", "peak"):
        assert run("limits", "clear", name).code == 0
    assert run("limits", "clear", "ems").text.startswith("unchanged")
    assert run("limits", "set", "a", "none").text == "a: no limit for every AC connector\n"
    assert "below 6 A nothing is offered" in run("limits", "set", "a", "5.9").text


@pytest.mark.parametrize(
    ("text", "value"),
    [("16", 16_000), ("16A", 16_000), ("13.5a", 13_500), ("0", 0), ("none", -1), ("0.001", 1), ("10000", 10_000_000)],
)
def test_currents(text: str, value: int) -> None:
    assert milliamps(text) == value


@given(st.text(max_size=20))
def test_any_text_is_a_current_or_refused(text: str) -> None:
    try:
        assert -1 <= milliamps(text) <= 10_000_000
    except Abort as caught:
        assert caught.exit_code == 2 and caught.hint


@pytest.mark.parametrize("text", ["", "A", "-1", "16mA", "1e3", "1.2345", "10000.1", "１６", ".5"])
def test_what_is_no_current(text: str) -> None:
    with pytest.raises(Abort) as caught:
        milliamps(text)
    assert caught.value.exit_code == 2


def _steps(*rows: dict[str, Any]) -> Callable[[], dict[str, Any]]:
    left = list(rows)
    return lambda: left.pop(0) if len(left) > 1 else left[0]


def test_waiting_for_a_test_takes_the_first_result_that_is_new() -> None:
    old = {"testing": False, "tested_at": 5, "passed": True}
    new = {"testing": False, "tested_at": 9, "passed": False}
    clock = iter(range(100))
    found = wait_test(
        _steps(old, {**old, "testing": True}, new), 5, 30, pause=lambda _: None, now=lambda: float(next(clock))
    )
    assert found == new
    clock = iter(range(100))
    assert wait_test(_steps(old), 5, 3, pause=lambda _: None, now=lambda: float(next(clock))) is None


def test_watch_writes_changes_only(station: FakeStation) -> None:
    """People are not told of millivolts that flicker; the daemon's error ends it with its code."""
    from evsectl.commands.io import watch_io
    from evsectl.output import Options
    from evsectl.reads import Session

    station.add_ac()
    turns = 0

    def pause(_: float) -> None:
        nonlocal turns
        turns += 1
        if turns == 1:
            station.io_rows = (msgspec.structs.replace(station.io_rows[0], active=True), *station.io_rows[1:])
        elif turns == 2:
            station.io_rows = (msgspec.structs.replace(station.io_rows[0], voltage_mv=3), *station.io_rows[1:])
        else:
            station.fail_next("io.list", ApiError(ErrorCode.UNREACHABLE, "the daemon ends"))

    import contextlib
    import io

    out = io.StringIO()
    with contextlib.redirect_stdout(out), pytest.raises(Abort) as caught:
        watch_io(Session(), Options("table"), pause)
    assert caught.value.exit_code == 6
    lines = out.getvalue().splitlines()
    assert lines[-1] == "door high" and lines.count("door high") == 1
    assert "inlet not read: sensor inlet: 1-wire: checksum of 50 05 is wrong; check cable and pull-up" in lines


def test_progress_is_a_line_per_tenth_where_nobody_sits(capsys: pytest.CaptureFixture[str]) -> None:
    seconds = iter([0.0, 0.5, 2.0, 3.0, 4.0, 5.0])
    shown = Bar("searching", now=lambda: next(seconds))
    for done in (1, 10, 11, 25, 40):
        shown.show(done, 40, "9600 8N1 unit 1")
    shown.end()
    assert capsys.readouterr().err.splitlines() == [
        "searching: 20 % 9600 8N1 unit 1",
        "searching: 60 % 9600 8N1 unit 1",
        "searching: 100 % 9600 8N1 unit 1",
    ]
    assert bar(0, 10) == "-" * 24 and bar(5, 10) == "#" * 12 + "-" * 12 and bar(99, 10) == "#" * 24


def test_the_models_are_those_of_the_profiles(alone: Path) -> None:
    lines = run("meter", "models", "-o", "name").text.splitlines()
    assert "eastron/sdm630" in lines and len(lines) > 30
