"""The minimum of all caps, each with its source.

Caps are in W at the DC side of one EVSE. Caps of the site (AC side) are multiplied by the efficiency. What is offered
to all energised EVSEs together never exceeds the smallest site cap in force on this very tick: it is scaled down at
once, before the planner has answered. AC EVSEs (`evse.core.ac.limits`) share the site with them: each keeps at least the 6 A
of IEC 61851-1, and where that is not enough for everybody, who came last gets nothing.
"""

from __future__ import annotations

from typing import NamedTuple

from evse.core import contacts, power_path
from evse.core.ac import limits as ac_limits
from evse.core.ac.cp import MIN_MA
from evse.core.context import Conn, Tick
from evse.core.session import PARAM, STEP_NUMBER
from evse.core.state import Stage
from evse.domain.faults import FaultCode
from evse.domain.limits import LimitEntry, LimitSource, PowerRequest
from evse.domain.station import EvseKind
from evse.units import NS_PER_S, Instant, clamp, s

REQUEST_STEP_W = 500
REQUEST_HEADROOM_SHIFT = 5
"""An EVSE asks for 1/32 + 500 W more than its vehicle takes, so that a vehicle which follows the offer can grow."""

PARAM_VOLTAGE_MV = 400_000
"""Voltage of a request before the vehicle has named one."""

TOLD_EVERY = s(1)
_OFFER_STAGES = frozenset({Stage.CABLE_CHECK, Stage.PRE_CHARGE, Stage.POWER_ON, Stage.CURRENT})


def site_caps(t: Tick) -> None:
    """Find the smallest site cap in force. A SITE limit of the inputs replaces the configured one."""
    best: int | None = None
    source = LimitSource.SITE
    override = False
    for limit in t.inputs.limits:
        if limit.evse_id == 0 and (limit.expires_at is None or limit.expires_at > t.now):
            override = override or limit.source is LimitSource.SITE
            if best is None or limit.power_w < best:
                best, source = max(0, limit.power_w), limit.source
    if t.spec.site_limit_w > 0 and not override and (best is None or t.spec.site_limit_w < best):
        best, source = t.spec.site_limit_w, LimitSource.SITE
    t.site_w = best
    t.site_dc_w = None if best is None else best * t.spec.efficiency_permille // 1000
    t.site_source = source


def caps(t: Tick, conn: Conn) -> list[tuple[int, LimitSource]]:
    """Return every cap on an EVSE, in W; the smallest binds."""
    spec, w, b = conn.spec, conn.w, conn.b
    voltage = conn.voltage_mv
    result = [(spec.power_max_w, LimitSource.HARDWARE)]
    if voltage >= spec.voltage_min_mv:
        result.append((voltage * spec.current_max_ma // 1_000_000, LimitSource.CABLE))
    if b is not None and b.temperature_dc is not None and b.temperature_dc > spec.derate_start_dc:
        span = max(1, spec.derate_end_dc - spec.derate_start_dc)
        result.append(
            (spec.power_max_w * clamp(spec.derate_end_dc - b.temperature_dc, 0, span) // span, LimitSource.THERMAL)
        )
    if t.site_dc_w is not None:
        result.append((t.site_dc_w, t.site_source))
    result += [
        (max(0, x.power_w), x.source)
        for x in t.inputs.limits
        if x.evse_id == spec.evse_id and (x.expires_at is None or x.expires_at > t.now)
    ]
    if w.hold_w >= 0:
        result.append((w.hold_w, LimitSource.FAILSAFE))
    if b is not None and b.ev_max_w > 0:
        result.append((b.ev_max_w, LimitSource.EV))
    return result


def connector_w(conn: Conn) -> int:
    """Return the cap without plan, modules and site: what the planner may give at most."""
    limit = conn.spec.power_max_w
    for power, source in conn.capped_w:
        if power < limit and source in (
            LimitSource.HARDWARE,
            LimitSource.CABLE,
            LimitSource.THERMAL,
            LimitSource.CSMS,
            LimitSource.USER,
            LimitSource.FAILSAFE,
        ):
            limit = power
    return limit


def apply(t: Tick) -> None:
    """Set what is offered to each vehicle and cut the wanted current to it."""
    site_caps(t)
    meter_lost = any(r.code is FaultCode.SITE_METER_LOST for r in t.faults)
    for conn in t.conns:
        if conn.spec.kind is EvseKind.AC:
            _hold(t, conn, meter_lost=meter_lost)
            ac_limits.offer(t, conn)
            continue
        if not conn.w.session_id:
            continue
        _hold(t, conn, meter_lost=meter_lost)
        conn.capped_w = caps(t, conn)
        if conn.w.stage in _OFFER_STAGES:
            assigned = conn.allocation.assigned_w if conn.allocation is not None else 0
            conn.capped_w.append((max(0, assigned), LimitSource.PLAN))
            conn.capped_w.append((conn.modules_w, LimitSource.MODULES))
        if conn.w.stage is Stage.EMPTY or conn.w.stage is Stage.FINISHED:
            continue
        conn.w.offered_w, conn.w.limit_source = min(conn.capped_w, key=_power)
        if conn.w.stage in (Stage.RAMP_DOWN, Stage.DISCHARGE):
            conn.w.offered_w = 0
    _share_current(t)
    _share_power(t)
    for conn in t.conns:
        if conn.spec.kind is EvseKind.AC:
            _tell(t, conn)
        else:
            _cut(t, conn)


def _power(cap: tuple[int, LimitSource]) -> int:
    return cap[0]


class _Need(NamedTuple):
    """What an EVSE takes of a shared limit, and the least that is of use to it; any unit."""

    conn: Conn
    use: int
    least: int  # 0 for DC: any power is of use


def _share_power(t: Tick) -> None:
    """Cut all offers to the smallest site cap. A promise on an AC pilot counts before the contactor is closed.

    Both sides are compared in W times permille of the AC side, so that nothing is lost by rounding.
    """
    if t.site_w is None or t.site_dc_w is None:
        return
    efficiency, cap = t.spec.efficiency_permille, t.site_dc_w * 1000
    needs = []
    for conn in t.conns:
        if conn.spec.kind is EvseKind.DC:
            if conn.w.lease:
                needs.append(_Need(conn, conn.w.offered_w * 1000, 0))
        elif conn.w.offered_ma:
            cap = t.site_w * efficiency
            needs.append(_Need(conn, conn.w.offered_w * efficiency, ac_limits.power_w(conn, MIN_MA) * efficiency))
    _share(needs, cap, t.site_source)


def _share_current(t: Tick) -> None:
    """Cut AC offers to a limit of the whole station in A per phase; DC EVSEs take their part of all three phases."""
    cap = ac_limits.site_current_ma(t)
    needs = [_Need(c, c.w.offered_ma, MIN_MA) for c in t.conns if c.spec.kind is EvseKind.AC and c.w.offered_ma]
    if cap is None or not needs:
        return
    dc_w = sum(c.w.offered_w for c in t.conns if c.spec.kind is EvseKind.DC and c.w.lease)
    site_w = dc_w * 1000 // max(1, t.spec.efficiency_permille)
    _share(needs, max(0, cap - site_w * 1_000_000 // (3 * needs[0].conn.ac.nominal_mv)), LimitSource.CSMS)


def _share(needs: list[_Need], cap: int, source: LimitSource) -> None:
    """Scale all offers by the same factor; nobody below the least, unless that is too much for all: last come, last served."""
    needs = list(needs)
    while True:
        rest, left = needs, cap
        weak: list[_Need] = []
        while rest and (total := sum(n.use for n in rest)) > left:
            found = [n for n in rest if n.least and n.conn.w.offered_ma * left < MIN_MA * total]
            if not found:
                break
            weak += found
            left -= sum(n.least for n in found)
            rest = [n for n in rest if n not in found]
        if left >= 0:
            break
        last = max((n for n in needs if n.least), key=_come)
        ac_limits.cut(last.conn, 0, source)
        needs.remove(last)
    total = sum(n.use for n in rest)
    for need in weak:
        ac_limits.cut(need.conn, MIN_MA, source)
    for need in rest if total > left else ():
        w = need.conn.w
        if need.least:
            ac_limits.cut(need.conn, w.offered_ma * left // total, source)
        elif w.offered_w:
            w.offered_w = w.offered_w * left // total
            w.limit_source = source


def _come(need: _Need) -> tuple[Instant, int]:
    return need.conn.w.plugged_since, need.conn.index


def _hold(t: Tick, conn: Conn, *, meter_lost: bool) -> None:
    """Site meter lost: nobody gets more than at the moment of the loss; who comes later gets the smallest power."""
    w = conn.w
    if not meter_lost:
        w.hold_w = -1
    elif w.hold_w < 0:
        least_w = t.spec.min_power_w if conn.spec.kind is EvseKind.DC else ac_limits.power_w(conn, MIN_MA)
        w.hold_w = max(least_w, w.offered_w if w.stage is Stage.CURRENT else 0)


def _cut(t: Tick, conn: Conn) -> None:
    """Turn the offer into current; the wish of the vehicle is cut to it on the same tick."""
    w, spec = conn.w, conn.spec
    if not w.session_id or w.stage is Stage.FINISHED:
        w.offered_w = w.offered_ma = w.request_w = 0
        return
    voltage = conn.voltage_mv if conn.voltage_mv >= spec.voltage_min_mv else max(conn.want_mv, spec.voltage_min_mv)
    w.offered_ma = min(spec.current_max_ma, w.offered_w * 1_000_000 // voltage)
    if conn.hold:
        w.offered_ma = min(w.offered_ma, power_path.ramped_ma(t, conn))
    if conn.want_on and w.stage is Stage.CURRENT:
        conn.want_ma = min(conn.want_ma, w.offered_ma)
    _tell(t, conn)


def _tell(t: Tick, conn: Conn) -> None:
    """Event limit.changed: at most once per second, for a change of 500 W, of the source, or to or from zero."""
    w = conn.w
    if w.stage is not Stage.CURRENT or t.now < w.limit_next:
        return
    if (
        abs(w.offered_w - w.limit_told_w) >= REQUEST_STEP_W
        or w.limit_source is not w.limit_told_source
        or (w.offered_w == 0) is not (w.limit_told_w == 0)
    ):
        t.event(
            "limit.changed",
            conn.spec.evse_id,
            offered_w=w.offered_w,
            before_w=w.limit_told_w,
            source=w.limit_source.value,
        )
        w.limit_told_w, w.limit_told_source, w.limit_next = w.offered_w, w.limit_source, t.now + TOLD_EVERY


def request(t: Tick, conn: Conn) -> PowerRequest:
    """Return what the EVSE asks the planner for: the vehicle's demand with a little room, its maximum before that."""
    w, b, spec = conn.w, conn.b, conn.spec
    limit = connector_w(conn) if conn.capped_w else spec.power_max_w
    voltage = PARAM_VOLTAGE_MV
    current = wish = 0
    asks = (
        w.tx_open
        and b is not None
        and not conn.blocked
        and w.stage in (Stage.AUTHORISED, Stage.CABLE_CHECK, Stage.PRE_CHARGE, Stage.POWER_ON, Stage.CURRENT)
    )
    if asks and b is not None and b.step is not None and STEP_NUMBER[b.step] >= PARAM:
        if w.stage is Stage.CURRENT and conn.voltage_mv >= spec.voltage_min_mv:
            voltage = conn.voltage_mv
        elif b.demand_mv >= spec.voltage_min_mv:
            voltage = b.demand_mv
        if w.stage is Stage.CURRENT:
            current = max(0, b.demand_ma)
            demand = voltage * current // 1_000_000
            wish = demand + (demand >> REQUEST_HEADROOM_SHIFT) + REQUEST_STEP_W if demand else 0
        else:
            wish = b.ev_max_w if b.ev_max_w > 0 else limit
            current = min(b.ev_max_ma, spec.current_max_ma) if b.ev_max_ma > 0 else spec.current_max_ma
        wish = min(wish, b.ev_max_w) if b.ev_max_w > 0 else wish
    wish = min(-(-max(0, wish) // REQUEST_STEP_W) * REQUEST_STEP_W, limit)
    if not w.request_w - 2 * REQUEST_STEP_W < wish <= w.request_w or wish == 0 or w.request_w > limit:
        w.request_w = wish
    return PowerRequest(
        evse_id=spec.evse_id,
        request_w=w.request_w,
        voltage_mv=voltage,
        current_ma=min(current, spec.current_max_ma),
        limit_w=limit,
        charging_since=w.charging_since,
        barred=contacts.barred(t, conn),
    )


def explain(t: Tick, conn: Conn) -> tuple[LimitEntry, ...]:
    """Return all caps as rows, the binding one first. Works on a tick that has applied the limits."""
    if conn.spec.kind is EvseKind.AC:
        return ac_limits.explain(t, conn)
    rows = sorted(conn.capped_w, key=_power)
    ages = {(x.source, x.evse_id): (t.now - x.set_at) // NS_PER_S for x in t.inputs.limits}
    details = {(x.source, x.evse_id): x.detail for x in t.inputs.limits}
    result = []
    for i, (power, source) in enumerate(rows):
        key = (source, conn.spec.evse_id) if (source, conn.spec.evse_id) in ages else (source, 0)
        detail = details.get(key, "") or _detail(t, conn, source)
        result.append(LimitEntry(source=source, power_w=power, binds=i == 0, age_s=ages.get(key), detail=detail))
    return tuple(result)


def _detail(t: Tick, conn: Conn, source: LimitSource) -> str:
    if source is LimitSource.MODULES:
        names = ", ".join(str(t.spec.groups[i].group_id) for i in conn.chain)
        return f"groups {names}" if names else "no module group connected"
    if source is LimitSource.PLAN:
        a = conn.allocation
        return (a.detail or f"bound by {a.binding.value}") if a is not None else "the planner has not answered yet"
    if source is LimitSource.THERMAL and conn.b is not None and conn.b.temperature_dc is not None:
        return f"connector {conn.b.temperature_dc / 10:.1f} °C"
    if source is LimitSource.FAILSAFE:
        return "site meter lost: no increase"
    if source is LimitSource.CABLE:
        return f"{conn.spec.current_max_ma // 1000} A at {conn.voltage_mv // 1000} V"
    return ""
