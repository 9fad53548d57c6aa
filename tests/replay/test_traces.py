"""Recorded cases: one trace of each simulated fault is run through tick and gate again and must give equal outputs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from evse import replay
from evse.domain.base import ConfigError
from evse.runtime.recorder import read_trace
from tools.record_traces import coded

TRACES = Path(__file__).resolve().parent.parent / "traces"
CODED = coded()


def test_every_simulated_fault_has_a_trace() -> None:
    assert {path.stem for path in TRACES.glob("*.evsetrace")} == set(CODED)


@pytest.mark.parametrize("name", sorted(CODED))
def test_replay_gives_equal_outputs_and_the_fault(name: str) -> None:
    report = replay.replay(TRACES / f"{name}.evsetrace")
    assert report.ticks > 300
    assert report.differences == ()
    code = CODED[name]
    assert any("fault.raised" in line and f"'{code.value}'" in line for line in report.events), report.events[-5:]


def test_a_changed_core_shows_as_a_difference(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The check can fail: a gate that lets less through is seen, with tick and path."""
    honest = replay.gate

    def stricter(spec, outputs, inputs, now):  # type: ignore[no-untyped-def]
        given = honest(spec, outputs, inputs, now)
        import msgspec

        return msgspec.structs.replace(given, groups=())

    monkeypatch.setattr(replay, "gate", stricter)
    report = replay.replay(TRACES / "insulation.evsetrace")
    assert not report.equal
    assert report.differences[0].path.startswith("groups")


@pytest.mark.parametrize(
    ("data", "word"),
    [(b"hello", "not a trace"), (b"EVSETRACE1\n\x00", "header"), (b"", "not a trace")],
)
def test_a_file_that_is_no_trace_is_named(tmp_path: Path, data: bytes, word: str) -> None:
    path = tmp_path / "x.evsetrace"
    path.write_bytes(data)
    with pytest.raises(ConfigError, match=word):
        replay.replay(path)


def test_a_cut_trace_is_refused_with_its_place(tmp_path: Path) -> None:
    whole = (TRACES / "insulation.evsetrace").read_bytes()
    path = tmp_path / "cut.evsetrace"
    path.write_bytes(whole[:-7])
    with pytest.raises(ConfigError, match="damaged at byte"):
        replay.replay(path)


def test_command_line_speaks_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert replay.main([str(TRACES / "insulation.evsetrace"), "-o", "json"]) == 0
    body = json.loads(capsys.readouterr().out)
    assert body["kind"] == "Replay"
    assert body["equal"] is True


def test_header_names_the_reason() -> None:
    header, spec, _ = read_trace(TRACES / "emergency_stop.evsetrace")
    assert "emergency_stop" in str(header["reason"])
    assert len(spec.evses) == 2
