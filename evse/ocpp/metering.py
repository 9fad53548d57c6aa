"""MeterValues: which sample is due when, and what it holds.

Sampled values follow the start of the transaction by multiples of ``MeterValueSampleInterval`` (monotonic time).
Clock-aligned values belong to the marks of the UTC day, multiples of ``ClockAlignedDataInterval`` since midnight, and
carry the time of the mark to the nanosecond, also when the tick that takes them comes a little later.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from evse.domain.readings import MeterValues
from evse.domain.session import SessionRecord
from evse.domain.view import EvseView
from evse.ocpp.messages import NS_PER_DAY, Payload, timestamp
from evse.ocpp.metering_ac import Moment, ac_values, milli, register_wh, tenths, value
from evse.units import NS_PER_S, DurationNs, Instant, WallNs

PERIODIC, CLOCK, BEGIN, END, TRIGGER = (
    "Sample.Periodic", "Sample.Clock", "Transaction.Begin", "Transaction.End", "Trigger"
)

ALIGN_LOOK_NS: DurationNs = 60 * NS_PER_S
"""Longest sleep towards a mark: a step of the wall clock is noticed within it."""

MARK_LATE_MAX_NS: DurationNs = 5 * NS_PER_S
"""A mark that is missed by more than this (the clock was set forward) is skipped, not faked."""


BEGUN_MAX = 64
"""Begins that wait for their transaction to be durable."""


def sampled_values(
    evse: EvseView, meter: MeterValues | None, measurands: Sequence[str], context: str
) -> list[Payload]:
    """Return the ``sampledValue`` list of one connector now; what is not known is left out, never zero."""
    if evse.ac is not None:
        return ac_values(evse, evse.ac, meter, measurands, context)
    voltage_mv = meter.voltage_mv if meter is not None and meter.voltage_mv is not None else evse.voltage_mv
    current_ma = meter.current_ma if meter is not None and meter.current_ma is not None else evse.current_ma
    power_w = meter.power_w if meter is not None and meter.power_w is not None else evse.power_w
    import_wh = register_wh(evse, meter)
    found: list[Payload] = []
    for name in measurands:
        match name:
            case "Energy.Active.Import.Register" if import_wh is not None:
                found.append(value(name, str(import_wh), "Wh", context, "Outlet"))
            case "Power.Active.Import" if power_w is not None:
                found.append(value(name, str(power_w), "W", context, "Outlet"))
            case "Voltage" if voltage_mv is not None:
                found.append(value(name, milli(voltage_mv), "V", context, "Outlet"))
            case "Current.Import" if current_ma is not None:
                found.append(value(name, milli(current_ma), "A", context, "Outlet"))
            case "SoC" if evse.soc_pct is not None:
                found.append(value(name, str(evse.soc_pct), "Percent", context, "EV"))
            case "Temperature" if evse.temperature_dc is not None:
                found.append(value(name, tenths(evse.temperature_dc), "Celsius", context, "Outlet"))
            case "Power.Offered":
                found.append(value(name, str(evse.offered_w), "W", context, "Outlet"))
            case "Current.Offered" if voltage_mv is not None and voltage_mv > 0:
                offered_ma = evse.offered_w * 1_000_000 // voltage_mv
                found.append(value(name, milli(offered_ma), "A", context, "Outlet"))
            case _:
                pass
    return found


def site_values(meter: MeterValues, measurands: Sequence[str], context: str) -> list[Payload]:
    """Return the ``sampledValue`` list of connector 0, the site meter."""
    found: list[Payload] = []
    if "Energy.Active.Import.Register" in measurands and meter.energy_import_wh is not None:
        found.append(value("Energy.Active.Import.Register", str(meter.energy_import_wh), "Wh", context, "Inlet"))
    if "Power.Active.Import" in measurands and meter.power_w is not None:
        found.append(value("Power.Active.Import", str(meter.power_w), "W", context, "Inlet"))
    return found


def transaction_data(
    session: SessionRecord, measurands: Sequence[str], begin: Moment | None = None, end: Moment | None = None
) -> list[Payload]:
    """Return ``transactionData`` of StopTransaction: values at the begin and at the end of the transaction.

    Register and state of charge are those of the session. ``begin`` and ``end`` add what an AC EVSE measured then.
    """
    rows = (
        (BEGIN, session.started_at, session.meter_start_wh, session.soc_start_pct, begin),
        (END, session.ended_at, session.meter_stop_wh, session.soc_end_pct, end),
    )
    found: list[Payload] = []
    for context, wall, import_wh, soc_pct, moment in rows:
        values: list[Payload] = []
        if "Energy.Active.Import.Register" in measurands and import_wh is not None:
            values.append(value("Energy.Active.Import.Register", str(import_wh), "Wh", context, "Outlet"))
        if "SoC" in measurands and soc_pct is not None:
            values.append(value("SoC", str(soc_pct), "Percent", context, "EV"))
        if moment is not None and moment.evse.ac is not None:
            told = {row["measurand"] for row in values}
            others = [name for name in measurands if name not in told and name != "Energy.Active.Import.Register"]
            values += ac_values(moment.evse, moment.evse.ac, moment.meter, others, context)
        if values and wall is not None:
            found.append({"timestamp": timestamp(wall), "sampledValue": values})
    return found


def signed_value(text: str, context: str) -> Payload:
    """Return the SampledValue of a signed reading of the energy register."""
    return {
        "value": text, "context": context, "format": "SignedData", "measurand": "Energy.Active.Import.Register",
        "location": "Outlet",
    }


class Sample(msgspec.Struct, frozen=True, kw_only=True):
    """A reading that is due. ``evse_id`` None = all connectors (clock-aligned)."""

    evse_id: int | None
    session_id: str
    context: str
    wall: WallNs


class Sampler:
    """Decides when readings are due. Intervals are in s, 0 = off."""

    def __init__(self) -> None:
        self.sampled_s = 0
        self.aligned_s = 0
        self._next: dict[int, tuple[str, Instant]] = {}  # evse -> (session, due)
        self._begun: list[tuple[Instant, Sample]] = []
        self._mark: WallNs | None = None
        self._mark_s = 0

    def transaction(self, evse_id: int, session_id: str, started_at: WallNs, now: Instant) -> bool:
        """A transaction runs on an EVSE; its first sight is its begin (True)."""
        known = self._next.get(evse_id)
        new = known is None or known[0] != session_id
        if new:
            self._next[evse_id] = (session_id, now + self.sampled_s * NS_PER_S)
            self._begun.append((now, Sample(evse_id=evse_id, session_id=session_id, context=BEGIN, wall=started_at)))
        return new

    def again(self, sample: Sample, now: Instant) -> None:
        """The begin of a transaction could not be stored yet (its start is not durable): try again in a second."""
        if len(self._begun) < BEGUN_MAX:
            self._begun.append((now + NS_PER_S, sample))

    def idle(self, evse_id: int) -> None:
        """No transaction runs on an EVSE."""
        self._next.pop(evse_id, None)

    def set_sampled(self, seconds: int, now: Instant) -> None:
        """Change the interval of sampled values; it counts from now."""
        if seconds != self.sampled_s:
            self.sampled_s = seconds
            self._next = {n: (session, now + seconds * NS_PER_S) for n, (session, _) in self._next.items()}

    def due(self, now: Instant, wall: WallNs) -> list[Sample]:
        """Return the readings to take now, and move on to the next ones."""
        found = [sample for at, sample in self._begun if at <= now]
        self._begun = [(at, sample) for at, sample in self._begun if at > now]
        if self.sampled_s > 0:
            period = self.sampled_s * NS_PER_S
            for evse_id, (session_id, at) in self._next.items():
                if at <= now:
                    found.append(Sample(evse_id=evse_id, session_id=session_id, context=PERIODIC, wall=wall))
                    self._next[evse_id] = (session_id, at + (now - at) // period * period + period)
        mark = self._aligned(wall)
        if mark is not None:
            found.append(Sample(evse_id=None, session_id="", context=CLOCK, wall=mark))
        return found

    def _aligned(self, wall: WallNs) -> WallNs | None:
        if self.aligned_s <= 0:
            self._mark = None
            return None
        following = next_mark(wall, self.aligned_s)
        mark, self._mark = self._mark, following
        changed, self._mark_s = self._mark_s != self.aligned_s, self.aligned_s
        if mark is None or changed or wall < mark or wall - mark > MARK_LATE_MAX_NS:
            return None
        return mark

    def wait_ns(self, now: Instant, wall: WallNs) -> DurationNs:
        """Return how long nothing is due, at most `ALIGN_LOOK_NS`."""
        waits = [ALIGN_LOOK_NS, *(at - now for at, _ in self._begun)]
        if self.sampled_s > 0:
            waits += [at - now for _, at in self._next.values()]
        if self.aligned_s > 0:
            waits.append((self._mark if self._mark is not None else next_mark(wall, self.aligned_s)) - wall)
        return max(0, min(waits))


def next_mark(wall: WallNs, interval_s: int) -> WallNs:
    """Return the first mark after ``wall``: a multiple of the interval since midnight UTC, or the next midnight."""
    midnight = wall - wall % NS_PER_DAY
    period = interval_s * NS_PER_S
    return min(midnight + ((wall - midnight) // period + 1) * period, midnight + NS_PER_DAY)
