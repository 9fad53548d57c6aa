"""Small AC stations for tests of the whole station, and what such tests look at: pilot, contactor, currents, books."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

from evse.config.load import parse_config
from evse.config.model import StationConfig
from evse.lab.sessions import compare_ledger
from evse.lab.station import STEP_S, Lab
from evse.sim.world_ac import AcConnectorWorld
from evse.units import NS_PER_S

CARD = "04A1B2C3"
OTHER = "04D4E5F6"
CARD_REST_S = 4.0
"""A reader takes the same card for one that was never away before that."""

_HEAD = """[station]
id = "AC-TEST"
vendor = "Example"
model = "AC"
serial_number = "ACTEST01"
data_dir = "{folder}/data"
[ocpp]
enabled = true
url = "ws://127.0.0.1:9000/ocpp"
sample_interval_s = 60
[api]
socket = "{folder}/evsed.sock"
[[reader]]
name = "reader1"
port = "{folder}/dev/reader1"
evses = [1]
[[evse]]
id = 1
kind = "ac"
board.port = "{folder}/dev/board1"
[evse.meter]
profile = "eastron/sdm630"
port = "{folder}/dev/meters"
address = 1
poll_ms = 500
[evse.ac]
current_max_a = 32
grid_a = 32
{rows}
"""


def one_point(folder: Path, *rows: str) -> StationConfig:
    """One AC EVSE, a socket with 32 A, with a card reader and a back end; ``rows`` go below ``[evse.ac]``."""
    (folder / "data").mkdir(exist_ok=True)
    return parse_config(_HEAD.format(folder=folder, rows="\n".join(rows)), "one.toml")


def point(lab: Lab) -> AcConnectorWorld:
    """The physics of connector 1."""
    return lab.sim.world.ac_by_id[1]


def locked(lab: Lab) -> bool:
    """Whether the bolt holds the plug in the socket."""
    drive = point(lab).plant.drive
    return drive is not None and drive.locked


async def plug(lab: Lab, **car: Any) -> None:
    """A three-phase car of 32 A, unless told otherwise."""
    await lab.do(cmd="plug_in", connector=1, **{"phases": 3, "max_ma": 32_000, "soc_pct": 20, **car})


async def tap(lab: Lab, card: str = CARD) -> None:
    """A card is held to the reader."""
    await lab.do(cmd="swipe", reader="reader1", token=card)


async def charging(lab: Lab, at_least_ma: int = 5_900, at_most_s: float = 60) -> float:
    """Wait for current; return the seconds it took."""
    return await lab.until(lambda: point(lab).current_ma >= at_least_ma, f"{at_least_ma} mA flow", at_most_s)


async def charge(lab: Lab, card: str = CARD, **car: Any) -> None:
    """Plug in, show a card, wait for current."""
    await plug(lab, **car)
    await lab.forward(0.3)
    await tap(lab, card)
    await charging(lab)


async def leave(lab: Lab, card: str = CARD) -> None:
    """End the session with the card and take the plug out."""
    if lab.evse(1).phase.value not in ("finished", "idle"):
        await lab.forward(CARD_REST_S)
        await tap(lab, card)
        await lab.until(lambda: lab.evse(1).phase.value in ("finished", "faulted"), "the session ends", 40)
    await lab.do(cmd="plug_out", connector=1)
    await lab.until(lambda: not lab.evse(1).plugged, "the car has left", 40)
    await lab.forward(CARD_REST_S)


async def record(lab: Lab, seconds: float, look: Callable[[], Any]) -> list[tuple[float, Any]]:
    """Look every 50 ms; return every change with its time in s from now, the value at the start first."""
    began, seen = lab.clock.now(), [(0.0, look())]
    while lab.clock.now() - began < seconds * NS_PER_S:
        await asyncio.sleep(STEP_S)
        value = look()
        if value != seen[-1][1]:
            seen.append(((lab.clock.now() - began) / NS_PER_S, value))
    return seen


def happened(lab: Lab, kind: str) -> list[dict[str, Any]]:
    """The data of all events of one kind."""
    return [dict(e.data) for e in lab.events if e.kind == kind]


def codes(lab: Lab) -> set[str]:
    """Faults of connector 1, by code."""
    return {f.code.value for f in lab.evse(1).faults}


async def books(lab: Lab, sessions: int) -> list[Any]:
    """Wait for the back end; the history has ``sessions`` and says what the ledger and the meter say; return them, oldest first."""
    await lab.until(lambda: lab.station.ocpp is not None and lab.station.ocpp.summary().queued == 0, "queue", 120)
    await lab.forward(1)
    assert await lab.store.open_transactions() == []
    rows, _, _ = await lab.store.sessions(state="all", limit=100)
    started = sorted((s for s in rows if s.started_at is not None), key=lambda s: s.started_at or 0)
    assert len(started) == sessions, [s.session_id for s in started]
    assert all(s.meter_stop_wh == (s.meter_start_wh or 0) + s.energy_wh for s in started)
    assert lab.sim.csms is not None
    assert compare_ledger(rows, lab.sim.csms.ledger()) == []
    assert lab.sim.world.violations == []
    assert not lab.station.loop.fault
    return started


__all__ = [
    "CARD", "OTHER", "books", "charge", "charging", "codes", "happened", "leave", "locked", "one_point", "plug", "point", "record", "tap",
]  # fmt: skip
