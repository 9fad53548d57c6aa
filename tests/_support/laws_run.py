"""All laws for one run of a whole station: those of a tick, those with memory, and those of AC EVSEs.

A tick that is equal to one that was checked before, but for the time, obeys the same laws: while nobody is plugged in and
no level, reading, command, limit or memory has changed, only every `QUIET_EVERY`th tick is checked again.
"""

from __future__ import annotations

import itertools
from typing import Any

from msgspec.structs import astuple

from evse.core.inputs import Inputs
from evse.core.outputs import Outputs
from evse.core.state import EvseState, StationState
from evse.domain.readings import Sample
from evse.domain.station import EvseKind, StationSpec
from evse.units import NS_PER_MS, Instant
from tests._support.laws import LawBook
from tests._support.laws_ac import AcLawBook

QUIET_EVERY = 10
READ_AT = ("board_at", "meter_at", "group_at")
"""Fields of `EvseState` that only say when a reading was taken."""

_CUTS = [-1, *sorted(EvseState.__struct_fields__.index(name) for name in READ_AT), len(EvseState.__struct_fields__)]
_LASTING = tuple(slice(a + 1, b) for a, b in itertools.pairwise(_CUTS))


class RunLaws:
    """Give it to `run_lab` as ``check``: one book for one life of a station."""

    def __init__(self, deep_every: int = 19) -> None:
        self._book = LawBook(deep_every)
        self._ac = AcLawBook()
        self._has_ac: bool | None = None
        self._last: tuple[StationState, Inputs, Outputs, Outputs] | None = None
        self._quiet = 0
        self.skipped = 0
        """Ticks that were equal to one before."""

    def __call__(
        self,
        spec: StationSpec,
        before: StationState,
        inputs: Inputs,
        outputs: Outputs,
        gated: Outputs,
        after: StationState,
        now: Instant,
    ) -> None:
        """Check one tick; raise AssertionError when a law is broken."""
        last, self._last = self._last, (after, inputs, outputs, gated)
        if last is not None and equal_but_for_time(spec, last, before, inputs, outputs, gated, after, now):
            self._quiet += 1
            if self._quiet % QUIET_EVERY:
                self.skipped += 1
                return
        else:
            self._quiet = 0
        self._book.check(spec, before, inputs, outputs, gated, after, now)
        if self._has_ac is None:
            self._has_ac = any(e.kind is EvseKind.AC for e in spec.evses)
        if self._has_ac:
            self._ac.check(spec, inputs, outputs, gated, after, now)


class Lives:
    """`RunLaws` for a station whose daemon dies: call `begin` before each of its later lives."""

    def __init__(self) -> None:
        self._laws = RunLaws()

    def begin(self) -> None:
        """Another life, with books of its own."""
        self._laws = RunLaws()

    def __call__(self, *tick: Any) -> None:
        """Check one tick."""
        self._laws(*tick)


def equal_but_for_time(
    spec: StationSpec,
    last: tuple[StationState, Inputs, Outputs, Outputs],
    before: StationState,
    inputs: Inputs,
    outputs: Outputs,
    gated: Outputs,
    after: StationState,
    now: Instant,
) -> bool:
    """Return True when nobody is plugged in and the tick differs from the one before in its time alone."""
    was, then, was_outputs, was_gated = last
    if was is not before or outputs.events or outputs.effects or inputs.commands:
        return False
    if was_outputs.events or was_outputs.effects or then.commands:
        return False
    for e, e_was in zip(after.evses, before.evses, strict=True):
        if e.plugged or e.lease or e.tx_open or (e is not e_was and not _lasting(e, e_was)):
            return False
    if outputs.evses != was_outputs.evses or outputs.groups != was_outputs.groups:
        return False
    if gated is not outputs and (gated.evses != was_gated.evses or gated.groups != was_gated.groups):
        return False
    if _remembered(after) != _remembered(before) or _told(inputs) != _told(then):
        return False
    oldest = now - spec.board_max_age_ms * NS_PER_MS
    for given, given_then in zip(inputs.evses, then.evses, strict=True):
        board = given.board
        if isinstance(board, Sample) and board.at < oldest:
            return False  # too old, perhaps since this very tick
        if not _same(board, given_then.board) or not _same(given.meter, given_then.meter):
            return False
    for group, group_then in zip(inputs.groups, then.groups, strict=True):
        if not _same(group, group_then):
            return False
    return _same(inputs.site_meter, then.site_meter)


def _lasting(a: EvseState, b: EvseState) -> bool:
    """Return True when they differ in the moments of readings alone."""
    x, y = astuple(a), astuple(b)
    return all(x[part] == y[part] for part in _LASTING)


def _remembered(state: StationState) -> tuple[object, ...]:
    return state.owners, state.ties, state.faults, state.past, state.availability, state.started_at


def _told(i: Inputs) -> tuple[object, ...]:
    return i.limits, i.plan, i.storage_ok, i.storage_code, i.loop_fault, i.backend_online, i.lost, i.updating


def _same(a: object, b: object) -> bool:
    """Return True for equal readings, however old."""
    return a is b or (isinstance(a, Sample) and isinstance(b, Sample) and a.value == b.value)


__all__ = ["QUIET_EVERY", "Lives", "RunLaws", "equal_but_for_time"]
