"""Real daemons talk over real sockets: what they said, and were told, is taken from their message log and checked too."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest

from evse.api.errors import ApiError
from evse.lab.demo_station import DemoStation
from tests._support.official import Official

LOGGED_MAX = 4096
"""A longer payload is cut in the message log (docs/ocpp.md), so it cannot be checked here."""


async def _inspect(station: DemoStation, official: Official) -> None:
    """Check what the daemon that is about to end has in its message log."""
    if station.daemon is None or station.daemon.returncode is not None:
        return
    with suppress(ApiError):
        rows = await station.client.call("ocpp.messages", _query())
        for row in rows.items:
            if row.type in ("call", "result") and len(row.payload) < LOGGED_MAX:
                by = "station" if row.direction == "sent" else "csms"
                official(by, row.type, row.action, json.loads(row.payload))


def _query() -> Any:
    from evse.api.operations import BY_NAME

    return BY_NAME["ocpp.messages"].request(limit=500)


@pytest.fixture(autouse=True)
def official_frames(monkeypatch: pytest.MonkeyPatch) -> Iterator[Official]:
    """Every frame in the log of every daemon of a test obeys the official schemas."""
    official = Official()

    def checked(end: Callable[[DemoStation], Awaitable[None]]) -> Callable[[DemoStation], Awaitable[None]]:
        async def first(station: DemoStation) -> None:
            await _inspect(station, official)
            await end(station)

        return first

    monkeypatch.setattr(DemoStation, "stop", checked(DemoStation.stop))
    monkeypatch.setattr(DemoStation, "kill_daemon", checked(DemoStation.kill_daemon))
    yield official
    assert official.take() == []
