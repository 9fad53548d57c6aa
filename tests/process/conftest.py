"""Real daemons talk over real sockets to the simulator's back end: it has looked at every frame, from the first to the last.

A daemon may die and come back in between: the simulator, a process of its own, keeps the book (`evse.sim.csms_frames`).
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator

import pytest

from evse.lab.demo_station import DemoError, DemoStation

PATIENCE_S = 20.0


class FramesOfProcesses:
    """What the back ends of the processes of a test have seen."""

    def __init__(self) -> None:
        self.checked = 0
        self.wrong: list[str] = []
        self.on_purpose: list[str] = []
        """What a test has sent wrongly: a word of each, and each must have been noticed."""

    async def ask(self, station: DemoStation) -> None:
        """End the daemon and take the book of the simulator, which ends after it; one without a back end has none."""
        daemon = station.daemon
        if daemon is not None and daemon.returncode is None:
            daemon.terminate()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(daemon.wait(), PATIENCE_S)
        answer = await station.sim({"cmd": "csms", "action": "ledger"})
        if answer["ok"]:
            frames = answer["ledger"]["frames"]
            self.checked += frames["checked"]
            self.wrong += frames["wrong"]


@pytest.fixture(autouse=True)
def official_frames(monkeypatch: pytest.MonkeyPatch) -> Iterator[FramesOfProcesses]:
    """Every frame of every process of a test obeys the official schemas."""
    seen = FramesOfProcesses()
    stop = DemoStation.stop

    async def checked(station: DemoStation) -> None:
        try:
            await seen.ask(station)
        except DemoError:
            if station.daemon is not None:
                raise
        finally:
            await stop(station)

    monkeypatch.setattr(DemoStation, "stop", checked)
    yield seen
    assert [word for word in seen.on_purpose if not any(word in text for text in seen.wrong)] == []
    assert [text for text in seen.wrong if not any(word in text for word in seen.on_purpose)] == []
