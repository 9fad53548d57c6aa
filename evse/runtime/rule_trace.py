"""When which event action fired: the last steps of the rule engine, in memory, compared from tick to tick."""

from __future__ import annotations

from collections import deque
from typing import Final, NamedTuple

from evse.core.ac.memory import AcState
from evse.core.rule_engine import RuleMemory
from evse.core.rule_text import RuleStep, changes
from evse.core.rules import of_evse
from evse.core.state import StationState
from evse.domain.station import StationSpec
from evse.units import WallNs

STEPS_KEPT: Final = 1000
"""The oldest are forgotten."""


class Traced(NamedTuple):
    """One step at one EVSE. ``seq`` grows by one since the daemon started."""

    seq: int
    wall: WallNs
    evse_id: int
    step: RuleStep


class RuleTrace:
    """The trace of one station; `follow` is called after each tick."""

    def __init__(self) -> None:
        self._steps: deque[Traced] = deque(maxlen=STEPS_KEPT)
        self._seq = 0

    def follow(self, spec: StationSpec, before: StationState, after: StationState, wall: WallNs) -> None:
        """Note what a tick has changed."""
        for old, new in zip(before.evses, after.evses, strict=False):
            a, b = old.ac, new.ac
            if a is b or a is None or b is None or (a.rule_runs is b.rule_runs and a.rule_by is b.rule_by):
                continue
            for step in changes(of_evse(spec, new.evse_id), _memory(a), _memory(b)):
                self._seq += 1
                self._steps.append(Traced(self._seq, wall, new.evse_id, step))

    def last(self, limit: int, evse_id: int = 0) -> list[Traced]:
        """Return the newest steps first; ``evse_id`` 0 = of every EVSE."""
        found = [row for row in reversed(self._steps) if evse_id in (0, row.evse_id)]
        return found[:limit]


def _memory(a: AcState) -> RuleMemory:
    return RuleMemory(a.rule_marks, a.rule_runs, a.rule_by)
