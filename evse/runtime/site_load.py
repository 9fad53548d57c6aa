"""What the meters say: loads of the site that are not ours, and what each DC EVSE takes.

The site meter stands at the grid connection, with this station behind it: what its EVSEs draw is taken off.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from evse.core.inputs import EvseInputs, GroupReading, Inputs
from evse.domain.limits import CurrentRequest, Plan
from evse.domain.readings import MeterValues, NoData, Sample
from evse.domain.signals import ContactorFeedback
from evse.domain.station import EvseKind, StationSpec
from evse.planner.live_ac_memory import SiteLoad
from evse.units import NS_PER_MS, Instant

PHASES = 3
VOLTAGE_MIN_PERMILLE = 800
"""A phase voltage below this part of the nominal one is a lost phase, not one to count power with."""


def site_load(spec: StationSpec, inputs: Inputs, requests: Sequence[CurrentRequest], now: Instant) -> SiteLoad:
    """Return the load of the house per phase; a meter that is too old is no meter."""
    nominal = spec.nominal_mv
    meter = _fresh(spec, inputs.site_meter, now)
    if not spec.has_site_meter or meter is None:
        return SiteLoad(fitted=spec.has_site_meter, voltage_mv=nominal)
    voltage = min([nominal, *(v for v in meter.voltage_l_mv or () if v * 1000 >= nominal * VOLTAGE_MIN_PERMILLE)])
    total = _phases(meter, voltage)
    if total is None:
        return SiteLoad(fitted=True, voltage_mv=voltage)
    own = [_dc_w(spec, inputs, now) * 1_000_000 // (PHASES * voltage)] * PHASES
    for request in requests:
        for k, ma in enumerate(request.draw_l_ma or (0, 0, 0)):
            own[k] += ma
    house = [max(0, a - b) for a, b in zip(total, own, strict=True)]
    return SiteLoad(fitted=True, house_ma=(house[0], house[1], house[2]), voltage_mv=voltage)


def house_known(spec: StationSpec, inputs: Inputs, now: Instant) -> bool:
    """Tell whether `site_load` knows the load of the house."""
    meter = _fresh(spec, inputs.site_meter, now) if spec.has_site_meter else None
    return meter is not None and (meter.current_l_ma is not None or meter.power_w is not None)


def _fresh(spec: StationSpec, reading: Sample[MeterValues] | NoData, now: Instant) -> MeterValues | None:
    if isinstance(reading, Sample) and now - reading.at <= spec.meter_max_age_ms * NS_PER_MS:
        return reading.value
    return None


def _phases(meter: MeterValues, voltage_mv: int) -> tuple[int, int, int] | None:
    """Currents of the phases; a meter that only knows power counts as evenly loaded."""
    if meter.current_l_ma is not None:
        return meter.current_l_ma
    if meter.power_w is None:
        return None
    even = meter.power_w * 1_000_000 // (PHASES * voltage_mv)
    return even, even, even


def dc_drawn_w(spec: StationSpec, inputs: Inputs, plan: Plan | None, now: Instant) -> dict[int, int | None]:
    """Return the power at each DC EVSE: nothing behind open contactors, else by its meter, else by the module groups that the
    plan gives it; None = nobody knows."""
    given = {e.evse_id: e for e in inputs.evses}
    held: dict[int, set[int]] = {}
    for a in plan.groups if plan is not None else ():
        if a.owner is not None:
            held.setdefault(a.owner, set()).add(a.group_id)
    at = {group.group_id: reading for group, reading in zip(spec.groups, inputs.groups, strict=False)}
    result: dict[int, int | None] = {}
    for evse in spec.evses:
        if evse.kind is not EvseKind.DC:
            continue
        mine = given.get(evse.evse_id)
        board = mine.board if mine is not None else None
        meter = _fresh(spec, mine.meter, now) if mine is not None else None
        fresh = isinstance(board, Sample) and now - board.at <= spec.board_max_age_ms * NS_PER_MS
        if isinstance(board, Sample) and fresh and board.value.contactor is ContactorFeedback.OPEN:
            result[evse.evse_id] = 0
        elif meter is not None and meter.power_w is not None:
            result[evse.evse_id] = max(0, meter.power_w)
        else:
            result[evse.evse_id] = _groups_w(spec, at, held.get(evse.evse_id, set()), now)
    return result


def _groups_w(spec: StationSpec, at: Mapping[int, GroupReading], held: Collection[int], now: Instant) -> int | None:
    """Power of the module groups ``held``; None when one of them is silent or there are none."""
    total = 0
    for group_id in held:
        reading = at.get(group_id)
        if reading is None:  # the shell gave none
            continue
        if not isinstance(reading, Sample) or now - reading.at > spec.meter_max_age_ms * NS_PER_MS:
            return None
        total += reading.value.voltage_mv * reading.value.current_ma // 1_000_000
    return total if held else None


def _dc_w(spec: StationSpec, inputs: Inputs, now: Instant) -> int:
    """Power that DC EVSEs take from the grid, from their meters."""
    given: dict[int, EvseInputs] = {e.evse_id: e for e in inputs.evses}
    total = 0
    for evse in spec.evses:
        if evse.kind is EvseKind.DC and evse.evse_id in given:
            meter = _fresh(spec, given[evse.evse_id].meter, now)
            total += max(0, meter.power_w or 0) if meter is not None else 0
    return total * 1000 // max(1, spec.efficiency_permille)
