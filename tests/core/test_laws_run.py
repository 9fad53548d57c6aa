"""Quiet ticks may be skipped by the checkers of whole stations; nothing that has changed is ever skipped."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from msgspec.structs import replace

from evse.core.gate import gate
from evse.core.inputs import ClearFault, Inputs
from evse.core.outputs import Outputs
from evse.core.state import StationState
from evse.core.tick import tick
from evse.domain.limits import LimitSource, PowerLimit
from evse.domain.readings import MeterValues, NoData, NoDataReason, Sample
from evse.units import NS_PER_S, TICK_NS
from tests._support.laws_run import QUIET_EVERY, RunLaws
from tests.core.ac.plant_ac import AcPlant

Told = tuple[StationState, Inputs, Outputs, Outputs, StationState, int]


class Watched(RunLaws):
    """Fed with the ticks of a plant that stands idle."""

    def __init__(self) -> None:
        super().__init__()
        self.p = AcPlant()
        self.p.run(10)
        for _ in range(3):
            self.tick()

    def tick(self, inputs: Callable[[Inputs], Inputs] = lambda i: i, gated: Callable[[Outputs], Outputs] | None = None) -> bool:
        """One tick with ``inputs`` and levels changed; return whether it was skipped."""
        p = self.p
        p.now += TICK_NS
        before, given = p.state, inputs(p.snapshot())
        after, outputs = tick(p.spec, before, given, p.now)
        out = gate(p.spec, outputs, given, p.now)
        p.state = after
        count = self.skipped
        self(p.spec, before, given, outputs, out if gated is None else gated(out), after, p.now)
        return self.skipped > count


def _board(change: Callable[[Any], Any]) -> Callable[[Inputs], Inputs]:
    def on(i: Inputs) -> Inputs:
        return replace(i, evses=tuple(replace(e, board=change(e.board)) for e in i.evses))

    return on


def _meter(i: Inputs) -> Inputs:
    return replace(i, evses=tuple(replace(e, meter=Sample(MeterValues(power_w=9), 1)) for e in i.evses))


CHANGES: dict[str, Callable[[Inputs], Inputs]] = {
    "a reading": _board(lambda r: replace(r, value=replace(r.value, temperature_dc=251))),
    "the door": _board(lambda r: replace(r, value=replace(r.value, door_open=True))),
    "no board": _board(lambda r: NoData(reason=NoDataReason.TIMEOUT, since=1, detail="")),
    "an old board": _board(lambda r: Sample(r.value, r.at - NS_PER_S)),
    "a limit": lambda i: replace(i, limits=(PowerLimit(source=LimitSource.SITE, evse_id=0, power_w=1, set_at=1),)),
    "the disk": lambda i: replace(i, storage_ok=False),
    "the loop": lambda i: replace(i, loop_fault="a test"),
    "a command": lambda i: replace(i, commands=(ClearFault(seq=9, evse_id=1, code="F1"),)),
    "the meter": _meter,
}  # fmt: skip


def test_most_ticks_of_an_idle_station_are_skipped_and_every_tenth_is_not() -> None:
    watched = Watched()
    found = [watched.tick() for _ in range(10 * QUIET_EVERY)]
    assert found.count(False) == 10


@pytest.mark.parametrize("name", CHANGES)
def test_whatever_changes_is_checked(name: str) -> None:
    watched = Watched()
    for _ in range(2 * QUIET_EVERY):
        watched.tick()
    assert not watched.tick(CHANGES[name])
    assert not watched.tick(), "and so is its end"


def test_a_level_that_changes_in_the_gate_is_checked_and_found() -> None:
    watched = Watched()
    for _ in range(QUIET_EVERY + 3):
        watched.tick()
    for _ in range(QUIET_EVERY):
        with pytest.raises(AssertionError, match="L0"):
            watched.tick(
                gated=lambda o: replace(o, evses=tuple(replace(e, board=replace(e.board, contactor_lease=True)) for e in o.evses))
            )
        watched.tick()


def test_nothing_is_skipped_while_somebody_is_plugged_in() -> None:
    watched = Watched()
    watched.p.car.plug()
    watched.p.run(3)
    assert not any(watched.tick() for _ in range(2 * QUIET_EVERY))
