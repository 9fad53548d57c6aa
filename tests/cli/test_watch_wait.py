"""Streams: wait ends on time and tells what it saw, watch resumes after the daemon was away."""

from __future__ import annotations

import contextlib
import io
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from evse.domain import faults, session, signals
from evsectl import reads
from evsectl.diagnostics import Abort
from evsectl.output import Options
from tests._support.api_world import served_in_thread
from tests._support.fake_data import T0
from tests._support.fake_service import FakeStation
from tests.cli.support import run


class Enough(Exception):
    """The reader of a test has seen what it wanted."""


class Reader(io.StringIO):
    """Stdout that acts on each line: ``on_line(number, line)``."""

    def __init__(self, on_line: Any) -> None:
        super().__init__()
        self._on_line = on_line
        self.lines: list[str] = []

    def write(self, text: str) -> int:
        for line in text.splitlines():
            self.lines.append(line)
            self._on_line(len(self.lines), line)
        return len(text)


def follow(on_line: Any, **how: Any) -> list[str]:
    """Watch in this thread until ``on_line`` raises `Enough`."""
    reader = Reader(on_line)
    options = Options(how.pop("output", "jsonl"))
    with contextlib.redirect_stdout(reader), contextlib.suppress(Enough):
        reads.watch(how.pop("session", reads.Session()), options, **how)
    return reader.lines


def test_conditions_are_those_of_the_domain() -> None:
    assert set(reads.CONDITIONS["phase"]) == {phase.value for phase in session.SessionPhase}
    assert set(reads.CONDITIONS["state"]) == {state.value for state in session.ChargingState}
    assert list(reads.CONDITIONS["step"]) == [step.value for step in signals.HlcStep]
    assert set(reads.CONDITIONS["fault"]) == {"none", "any", *(code.value for code in faults.FaultCode)}


@pytest.mark.parametrize(
    "condition",
    [
        "phase=charging",
        "phase=idle,charging",
        "state=charging",
        "state=Charging",
        "step=Curr",
        "plugged=yes",
        "fault=none",
    ],
)
def test_wait_returns_at_once_when_the_state_is_there(condition: str, station: FakeStation) -> None:
    assert run("wait", "connector", "1", "--for", condition) == run("wait", "connector", "1", f"--for={condition}")
    assert run("wait", "connector", "1", "--for", condition).code == 0


def test_wait_sees_a_change(station: FakeStation, monkeypatch: pytest.MonkeyPatch) -> None:
    matches = reads.matches

    def plug_in_after_the_first_look(*arguments: Any) -> bool:
        found = matches(*arguments)
        if not station.evse(2).plugged:
            station.do(lambda: station.plug_in(2))
        return found

    monkeypatch.setattr(reads, "matches", plug_in_after_the_first_look)
    assert run("wait", "connector", "2", "--for", "plugged=yes", "--timeout", "30s").code == 0


def test_wait_ends_with_124_on_time_although_the_stream_is_silent(station: FakeStation) -> None:
    result = run("wait", "connector", "1", "--for", "phase=idle", "--timeout", "0.05s")
    assert result.code == 124
    assert "not phase=idle within 0.05 s; it is phase=charging state=Charging fault=none" in result.err


def test_an_act_can_wait_for_its_effect(station: FakeStation) -> None:
    assert run("connector", "stop", "1", "--accept-risk=stop-charging", "--wait").code == 0
    station.plug_in(2)
    assert run("connector", "start", "2", "--accept-risk=energise", "--wait=5s").code == 0
    station.plug_out(2)
    late = run("connector", "start", "2", "--accept-risk=energise", "--wait", "0.05s")
    assert late.code == 124 and "authorised" in late.text


def test_watch_writes_a_snapshot_then_changes_as_json_lines(station: FakeStation) -> None:
    def act(number: int, line: str) -> None:
        if number == 1:
            station.do(lambda: station.plug_in(2))
        if number == 2:
            raise Enough

    first, second = map(json.loads, follow(act, stream="status"))
    assert (first["apiVersion"], first["kind"], first["type"]) == ("evse/v1", "StreamItem", "snapshot")
    assert first["status"]["view"]["wall"] == "2026-01-01T10:00:00.000Z"
    assert second["type"] == "changed" and second["seq"] >= first["seq"]
    assert second["status"]["view"]["evses"][1]["plugged"] is True


def test_watch_resumes_events_behind_the_last_one(tmp_path: Path) -> None:
    """The daemon goes away and comes back with two more events: none is lost, none comes twice."""
    station = FakeStation()
    socket = tmp_path / "s"
    first = served_in_thread(socket, station)
    first.__enter__()
    later = contextlib.ExitStack()
    pauses = []

    def act(number: int, line: str) -> None:
        if number == 1:
            first.__exit__(None, None, None)  # the stream is cut
        if number == 3:
            raise Enough

    def pause(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 3:
            station.push_event("connector.plugged", 2)
            station.push_event("auth.granted", 2)
            later.enter_context(served_in_thread(socket, station))

    with later:
        lines = follow(
            act, stream="events", session=reads.Session(str(socket)), since=1011, pause=pause
        )
    assert [json.loads(line)["seq"] for line in lines] == [1012, 1013, 1014]
    assert pauses == [1.0, 2.0, 4.0]


def test_without_reconnect_the_end_of_the_daemon_is_6(tmp_path: Path) -> None:
    world = served_in_thread(tmp_path / "s")
    world.__enter__()
    with pytest.raises(Abort) as error:
        follow(
            lambda *_: world.__exit__(None, None, None),
            stream="status",
            session=reads.Session(str(tmp_path / "s")),
            reconnect=False,
        )
    assert error.value.exit_code == 6


def test_people_see_one_line_per_change(station: FakeStation) -> None:
    def act(number: int, line: str) -> None:
        if number == 1:
            station.do(lambda: station.set_evse(1, voltage_mv=391_300))  # nothing that the line shows
            station.do(lambda: station.set_evse(1, power_w=12_000))
        if number == 2:
            raise Enough

    assert follow(act, stream="status", output="table") == [
        "2026-01-01 10:00:00 1 charging 17.6 kW 18 % | 2 available | site 18.9 kW",
        "2026-01-01 10:00:00 1 charging 12.0 kW 18 % | 2 available | site 18.9 kW",
    ]


def test_people_see_events_with_their_connector(station: FakeStation) -> None:
    def act(number: int, line: str) -> None:
        if number == 2:
            raise Enough

    lines = follow(act, stream="events", output="table", since=1010)
    assert lines[0].split() == ["2026-01-01", "09:49:00", "connector", "1", "hlc.step", "step=Curr"]
    assert lines[1].split() == ["2026-01-01", "09:50:00", "station", "plan.changed", "version=7"]


def test_one_connector_only(station: FakeStation) -> None:
    def act(number: int, line: str) -> None:
        raise Enough

    assert follow(act, stream="status", output="table", evse_id=2) == ["2026-01-01 10:00:00 2 available"]


def test_the_reader_of_a_closed_pipe_ends_it_quietly(station: FakeStation) -> None:
    class Closed(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError

    before = sys.stdout
    sys.stdout = Closed()
    try:
        from evsectl.entry import main

        assert main(["watch", "-o", "jsonl"]) == 0
    finally:
        sys.stdout = before


def test_the_time_of_the_fake_is_what_the_lines_show() -> None:
    assert T0 // 10**9 == 1_767_261_600
