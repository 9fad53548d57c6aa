"""All laws for one run of a whole station: those of a tick, those with memory, and those of AC EVSEs."""

from __future__ import annotations

from evse.core.inputs import Inputs
from evse.core.outputs import Outputs
from evse.core.state import StationState
from evse.domain.station import StationSpec
from evse.units import Instant
from tests._support.laws import LawBook
from tests.core.ac.laws_ac import AcLawBook


class RunLaws:
    """Give it to `run_lab` as ``check``: one book for one life of a station."""

    def __init__(self, deep_every: int = 19) -> None:
        self._book = LawBook(deep_every)
        self._ac = AcLawBook()

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
        self._book.check(spec, before, inputs, outputs, gated, after, now)
        self._ac.check(spec, inputs, outputs, gated, after, now)
