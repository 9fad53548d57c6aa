"""From electrical levels to what an input means: threshold with hysteresis, polarity, debouncing. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from evse.devices.io_spec import InputSpec
from evse.domain.readings import NoData, NoDataReason, Sample
from evse.units import NS_PER_MS, Instant


class InputFilter:
    """One input. The first level counts at once, a later one when it has stood for ``debounce_ms``."""

    __slots__ = ("_candidate", "_candidate_since", "_high", "_spec", "active")

    def __init__(self, spec: InputSpec) -> None:
        self._spec = spec
        self._high: bool | None = None  # electrical, before debouncing
        self._candidate: bool | None = None
        self._candidate_since: Instant = 0
        self.active: bool | None = None

    def level(self, high: bool, now: Instant) -> bool:
        """Take an electrical level; return what the input means now."""
        self._high = high
        active = high is not self._spec.active_low
        if self.active is None or active is self.active:
            self.active = active
            self._candidate = None
        elif self._candidate is not active:
            self._candidate, self._candidate_since = active, now
            if self._spec.debounce_ms == 0:
                self.active, self._candidate = active, None
        elif now - self._candidate_since >= self._spec.debounce_ms * NS_PER_MS:
            self.active, self._candidate = active, None
        return self.active

    def voltage(self, millivolts: int, now: Instant) -> bool:
        """Take a voltage: high from ``threshold_mv`` up, low again below ``threshold_mv - hysteresis_mv``."""
        rises, falls = self._spec.threshold_mv, self._spec.threshold_mv - self._spec.hysteresis_mv
        high = millivolts >= (falls if self._high else rises)
        return self.level(high, now)

    def reset(self) -> None:
        """Forget everything: what comes next counts at once."""
        self._high = self._candidate = self.active = None


def rotary_position(bits: Sequence[Sample[bool] | NoData]) -> Sample[int] | NoData:
    """Return the position 0..15 of a rotary coded switch on four inputs, the first with weight 1.

    Read it at power-up only: a selector that is being turned shows positions it passes (Charge Control C user guide
    4.2.2). One missing input makes the whole position unknown.
    """
    position, at = 0, None
    for weight, bit in enumerate(bits):
        if isinstance(bit, NoData):
            return bit
        position |= bit.value << weight
        at = bit.at if at is None else min(at, bit.at)
    if at is None or len(bits) != 4:
        return NoData(reason=NoDataReason.NOT_FITTED, since=0, detail=f"rotary switch: {len(bits)} inputs, must be 4")
    return Sample(value=position, at=at)
