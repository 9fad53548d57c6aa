"""What an AC EVSE offers: the smallest of all limits, in mA per phase, each with its source.

Charge Control C user guide, 15.16: the minimum rule; -1 = no limit; below 6 A counts as 0: no PWM, the contactor stays as
the vehicle leaves it. The limit holds for each phase, whatever their number. Offers have the resolution of the manual, 0.1 A.

Two things are reported apart: the *offered* limit (all rows) and the *physical* one (`physical_ma`: cable, wiring, grid).
A limit of the installation that cannot be read is 0, not "none".

Order of authority of dynamic limits: up to five names, a sixth is ignored and reported; a name that is older than
``fallback_s`` is replaced by ``fallback_ma`` (without a fallback current the old limits stay). Until a back end or program
has set a limit for the first time, ``failsafe_ma`` holds.
"""

from __future__ import annotations

import msgspec

from evse.core.ac import over_current, phases, proximity
from evse.core.ac.cp import MIN_MA
from evse.core.ac.memory import DynamicLimit
from evse.core.context import TEXT_MAX, Conn, Tick
from evse.core.inputs import SetDynamicLimit
from evse.core.release import refuse
from evse.core.state import Stage
from evse.domain.ac import RotaryPosition
from evse.domain.faults import FaultCode
from evse.domain.limits import LimitEntry, LimitSource, PowerLimit
from evse.domain.station import EvseKind
from evse.units import NS_PER_S, s

NAMES_MAX = 5
NAME_LENGTH_MAX = 40
CURRENT_MAX_MA = 10_000_000
"""Largest value taken from outside (rotary table of the manual: up to 10 000 A)."""

STEP_MA = 100
IN_USE_MA = 1_000
"""A phase carries current from here on; meters show some 100 mA of their own."""

SKEW_TOLERANCE_MA = 500
SKEW_TIME = s(10)
"""A vehicle needs 5 s to follow a new offer, a meter up to 5 s more to show it."""

OFFER_STAGES = frozenset({Stage.AUTHORISED, Stage.CURRENT})


class Row(msgspec.Struct, frozen=True):
    """One limit. ``current_ma`` per phase; ``age_s`` None = it has no age."""

    current_ma: int
    source: LimitSource
    detail: str = ""
    age_s: int | None = None


def usable_ma(current_ma: int) -> int:
    """Return what a limit is worth: steps of 0.1 A, 0 below 6 A."""
    return current_ma // STEP_MA * STEP_MA if current_ma >= MIN_MA else 0


def power_w(conn: Conn, current_ma: int) -> int:
    """Return the power of a current per phase in W at the nominal voltage, rounded up."""
    return -(-current_ma * phases.usable(conn) * conn.ac.nominal_mv // 1_000_000)


def current_ma(conn: Conn, power_w_: int) -> int:
    """Return the current per phase in mA whose power does not exceed ``power_w_``."""
    return max(0, power_w_) * 1_000_000 // (phases.usable(conn) * conn.ac.nominal_mv)


# -- what is remembered ---------------------------------------------------------------------------------------------


def set_dynamic(t: Tick, c: SetDynamicLimit) -> None:
    """Set, replace or remove a named limit of one AC EVSE, or of all of them (``evse_id`` 0)."""
    conns = [x for x in t.conns if x.spec.kind is EvseKind.AC and c.evse_id in (0, x.spec.evse_id)]
    why = "" if conns else f"there is no AC EVSE {c.evse_id}"
    if not 0 < len(c.name) <= NAME_LENGTH_MAX:
        why = f"name {c.name[:NAME_LENGTH_MAX]!r}: 1 to {NAME_LENGTH_MAX} characters are possible"
    elif c.current_ma is not None and not -1 <= c.current_ma <= CURRENT_MAX_MA:
        why = f"current {c.current_ma} mA: -1 (no limit) to {CURRENT_MAX_MA} mA are possible"
    if why:
        refuse(t, c.evse_id, "dynamic_limit", c.seq, why)
        return
    for conn in conns:
        _set_dynamic(t, conn, c)


def _set_dynamic(t: Tick, conn: Conn, c: SetDynamicLimit) -> None:
    a = conn.a
    others = tuple(x for x in a.lim_dynamic if x.name != c.name)
    if c.current_ma is None:
        a.lim_dynamic = others
        if len(others) < NAMES_MAX or a.lim_ignored == c.name:
            a.lim_ignored = ""  # there is room again, or it is withdrawn
        return
    if len(others) >= NAMES_MAX:
        a.lim_ignored = c.name
        names = ", ".join(x.name for x in others)
        why = f"{c.name!r} is the sixth name and is ignored; in use: {names}; remove one of them first"
        refuse(t, conn.spec.evse_id, "dynamic_limit", c.seq, why[:TEXT_MAX])
        return
    a.lim_dynamic = (*others, DynamicLimit(c.name, c.current_ma, t.now))
    a.lim_contact, a.lim_dynamic_at = True, t.now


def observe(t: Tick, conn: Conn) -> None:
    """Remember what the limits need: first contact, rotary switch, heat, phases in use; report what limits the offer."""
    a, ac = conn.a, conn.ab
    if t.inputs.backend_online and any(x.source is LimitSource.CSMS for x in _live(t, conn)):
        a.lim_contact = True
    if conn.ac.rotary and a.lim_rotary < 0 and ac.rotary is not None and 0 <= ac.rotary < len(conn.ac.rotary_table):
        a.lim_rotary = ac.rotary
    if conn.b is not None:
        a.lim_hot = _hot(conn, conn.ab.board_temperature_dc, before=a.lim_hot)
        a.lim_hot_contact = _hot(conn, conn.b.temperature_dc, before=a.lim_hot_contact)
    _phases_in_use(t, conn)
    _causes(t, conn)


def _hot(conn: Conn, heat: int | None, *, before: bool) -> bool:
    """Return whether a sensor ends charging: from the stop temperature until below the start temperature. No reading: as before."""
    return before if heat is None else heat >= (conn.spec.derate_start_dc if before else conn.spec.derate_end_dc)


def _causes(t: Tick, conn: Conn) -> None:
    a, b = conn.a, conn.b
    if a.lim_hot_contact and b is not None:
        text = f"contact of the connector {_degrees(b.temperature_dc)}, {_until(conn)}"
        conn.causes.append((FaultCode.CONNECTOR_OVER_TEMPERATURE, text))
    if a.lim_hot and b is not None:
        text = f"board or housing {_degrees(conn.ab.board_temperature_dc)}, {_until(conn)}"
        conn.causes.append((FaultCode.STATION_OVER_TEMPERATURE, text))
    elif conn.ab.ptc_hot and conn.ac.ptc_ma < MIN_MA:
        conn.causes.append((FaultCode.STATION_OVER_TEMPERATURE, "a PTC of the chain is hot, or the chain is broken"))
    if a.lim_skew_at and t.now - a.lim_skew_at >= SKEW_TIME:
        text = f"the phases differ by more than {conn.ac.out_of_balance_ma // 1000} A"
        conn.causes.append((FaultCode.OUT_OF_BALANCE, text))
    if a.lim_ignored:
        conn.causes.append((FaultCode.DYNAMIC_LIMIT_IGNORED, f"{a.lim_ignored!r} is the sixth name; five are possible"))


def _until(conn: Conn) -> str:
    spec = conn.spec
    return f"ends at {spec.derate_end_dc / 10:.1f} °C, free below {spec.derate_start_dc / 10:.1f} °C"


def _phases_in_use(t: Tick, conn: Conn) -> None:
    """One phase of three (VDE-AR-N 4100): known from the phase switch, else from the currents of the meter."""
    a, spec, m = conn.a, conn.ac, conn.m
    skew = False
    if spec.out_of_balance_ma < 0 or phases.wired(conn) < 3 or not conn.w.plugged:
        a.lim_single, a.lim_skew_at = False, 0
        return
    if conn.w.lease and m is not None and m.current_l_ma is not None:
        in_use = sum(x >= IN_USE_MA for x in m.current_l_ma)
        a.lim_single = 0 < in_use < 3 or (a.lim_single and in_use == 0)
        skew = max(m.current_l_ma) - min(m.current_l_ma) > spec.out_of_balance_ma + SKEW_TOLERANCE_MA
    a.lim_skew_at = (a.lim_skew_at or t.now) if skew else 0


def _degrees(heat: int | None) -> str:
    return "not read now" if heat is None else f"{heat / 10:.1f} °C"


def _temperature_dc(conn: Conn) -> int | None:
    if conn.b is None:
        return None
    contact, board = conn.b.temperature_dc, conn.ab.board_temperature_dc
    if contact is None or board is None:
        return board if contact is None else contact
    return contact if contact >= board else board


# -- the rows -------------------------------------------------------------------------------------------------------


def rotary_position(conn: Conn) -> RotaryPosition | None:
    """Return what the rotary switch said at start; None = there is none, or it has not been read."""
    a = conn.a
    if not conn.ac.rotary or not 0 <= a.lim_rotary < len(conn.ac.rotary_table):
        return None
    return conn.ac.rotary_table[a.lim_rotary]


def physical_ma(conn: Conn) -> int:
    """Return what cable, wiring and grid allow, in mA per phase, whatever is set from outside; 0 = no valid cable."""
    return min(row.current_ma for row in _physical(conn))


def _physical(conn: Conn) -> list[Row]:
    spec = conn.ac
    rows = [Row(spec.evse_ma, LimitSource.EVSE, "wiring inside the station")]
    cable = proximity.cable_ma(conn)
    if cable is None:
        rows.append(Row(0, LimitSource.CABLE, proximity.rejected(conn) or f"no valid cable: {conn.a.pp_state.value}"))
    else:
        rows.append(Row(cable, LimitSource.CABLE, "plug" if spec.socket else "fixed cable"))
    position = rotary_position(conn)
    if position is not None:
        rows.append(Row(position.current_a * 1000, LimitSource.GRID, f"rotary switch at {conn.a.lim_rotary:X}"))
    elif spec.rotary:
        rows.append(Row(0, LimitSource.GRID, "rotary switch not read yet"))
    elif spec.grid_ma >= 0:
        rows.append(Row(spec.grid_ma, LimitSource.GRID, "fuse and cable to the station"))
    return rows


def rows(t: Tick, conn: Conn) -> list[Row]:
    """Return every limit in force; the smallest binds."""
    return _rows(t, conn, _shared(t, conn))


def _rows(t: Tick, conn: Conn, shared: list[Row]) -> list[Row]:
    spec, a = conn.ac, conn.a
    result = _physical(conn)
    if spec.failsafe_ma >= 0 and not a.lim_contact:
        result.append(Row(spec.failsafe_ma, LimitSource.FAILSAFE, "no limit received since start"))
    if spec.disconnected_ma >= 0 and not t.inputs.backend_online:
        result.append(Row(spec.disconnected_ma, LimitSource.FAILSAFE, "back end not connected"))
    result += _dynamic(t, conn)
    result += [_of_power(t, conn, x) for x in _live(t, conn) if x.evse_id]
    result += shared
    if a.lim_rule_ma >= 0:
        result.append(Row(a.lim_rule_ma, LimitSource.RULE, "event action"))
    cap = over_current.cap_ma(conn)
    if cap >= 0:
        result.append(Row(cap, LimitSource.OVER_CURRENT, over_current.text(conn)))
    if spec.out_of_balance_ma >= 0 and (a.lim_single or (phases.wired(conn) == 3 and phases.usable(conn) < 3)):
        result.append(Row(spec.out_of_balance_ma, LimitSource.OUT_OF_BALANCE, "not all phases in use"))
    return result + _thermal(conn)


def _shared(t: Tick, conn: Conn) -> list[Row]:
    """What all vehicles of the site share: its limits, and the part of them that the planner gives this one."""
    result = []
    whole = _whole(t)
    if t.site_w is not None:
        told = [x for x in whole if x.source is t.site_source and max(0, x.power_w) == t.site_w]
        result.append(Row(current_ma(conn, t.site_w), t.site_source, f"site {t.site_w} W", _age_s(t, told)))
    site_ma = _smallest(whole)
    if site_ma is not None:
        told = [x for x in whole if x.current_ma is not None and max(0, x.current_ma) == site_ma]
        result.append(Row(site_ma, told[0].source, "whole station, per phase", _age_s(t, told)))
    if conn.current is not None:
        plan = conn.current
        result.append(Row(plan.assigned_ma, LimitSource.PLAN, plan.detail or f"bound by {plan.binding.value}"))
    elif t.spec.grid is not None:
        result.append(Row(0, LimitSource.PLAN, "the planner has not answered yet"))
    if conn.w.hold_w >= 0:  # what the planner does as well, so it is no limit of the vehicle's own
        result.append(Row(current_ma(conn, conn.w.hold_w), LimitSource.FAILSAFE, "site meter lost: no increase"))
    return result


def _dynamic(t: Tick, conn: Conn) -> list[Row]:
    spec, a = conn.ac, conn.a
    ages = spec.fallback_s > 0 and spec.fallback_ma >= 0
    result, stale = [], 0
    for x in a.lim_dynamic:
        old = ages and t.now - x.set_at > s(spec.fallback_s)
        stale += old
        if not old and x.current_ma >= 0:
            result.append(Row(x.current_ma, LimitSource.DYNAMIC, x.name, (t.now - x.set_at) // NS_PER_S))
    silent = t.now - (a.lim_dynamic_at or t.state.started_at)
    if ages and (stale or (not a.lim_dynamic and silent > s(spec.fallback_s))):
        text = f"no fresh dynamic limit for {spec.fallback_s} s"
        result.append(Row(spec.fallback_ma, LimitSource.FALLBACK, text, silent // NS_PER_S))
    return result


def _live(t: Tick, conn: Conn) -> list[PowerLimit]:
    """Limits of this EVSE and of the site that have not run out."""
    ids = (0, conn.spec.evse_id)
    return [x for x in t.inputs.limits if x.evse_id in ids and (x.expires_at is None or x.expires_at > t.now)]


def _of_power(t: Tick, conn: Conn, x: PowerLimit) -> Row:
    ma = current_ma(conn, x.power_w) if x.current_ma is None else max(0, x.current_ma)
    return Row(ma, x.source, x.detail, (t.now - x.set_at) // NS_PER_S)


def _whole(t: Tick) -> list[PowerLimit]:
    """Limits of the whole station that have not run out."""
    return [x for x in t.inputs.limits if x.evse_id == 0 and (x.expires_at is None or x.expires_at > t.now)]


def _age_s(t: Tick, told: list[PowerLimit]) -> int | None:
    """Return how long ago the first of ``told`` was set; None = by nobody, it is configured."""
    return (t.now - told[0].set_at) // NS_PER_S if told else None


def site_current_ma(t: Tick) -> int | None:
    """Return the smallest limit of the whole station that was set as a current per phase; None = there is none."""
    return _smallest(_whole(t))


def _smallest(whole: list[PowerLimit]) -> int | None:
    currents = [x.current_ma for x in whole if x.current_ma is not None]
    return max(0, min(currents)) if currents else None


def _thermal(conn: Conn) -> list[Row]:
    """Pt1000: from the start current at the start temperature in a straight line to the stop current, then 0. PTC: a step."""
    spec, ac = conn.spec, conn.ac
    result = []
    heat = _temperature_dc(conn)
    if conn.a.lim_hot or conn.a.lim_hot_contact or (heat is not None and heat >= spec.derate_end_dc):
        result.append(Row(0, LimitSource.THERMAL, "" if heat is None else f"{heat / 10:.1f} °C"))
    elif heat is not None and heat > spec.derate_start_dc:
        span = max(1, spec.derate_end_dc - spec.derate_start_dc)
        fall = max(0, ac.derate_start_ma - ac.derate_end_ma) * (heat - spec.derate_start_dc) // span
        result.append(Row(ac.derate_start_ma - fall, LimitSource.THERMAL, f"{heat / 10:.1f} °C"))
    if conn.ab.ptc_hot:
        result.append(Row(ac.ptc_ma, LimitSource.THERMAL, "PTC chain"))
    return result


def derating(conn: Conn) -> bool:
    """Return True while heat limits what could be offered."""
    if conn.a.lim_hot or conn.a.lim_hot_contact or conn.ab.ptc_hot:
        return True
    heat = _temperature_dc(conn)
    return heat is not None and (heat > conn.spec.derate_start_dc or heat >= conn.spec.derate_end_dc)


# -- the offer ------------------------------------------------------------------------------------------------------


def offer(t: Tick, conn: Conn) -> None:
    """Set what is offered before the site is shared out: `capped_ma`, and of the EVSE mA, W and the source that binds.

    Without a transaction or a board, and in a pause, there is nothing to offer and there are no rows; `explain` has them
    at any time.
    """
    w, a = conn.w, conn.a
    if w.stage not in OFFER_STAGES or conn.b is None or a.cp_pause:
        a.lim_free_ma = a.lim_ask_ma = a.lim_other_ma = 0
        put(conn, 0)
        return
    shared = _shared(t, conn)
    found = _rows(t, conn, shared)
    conn.capped_ma = [(row.current_ma, row.source, row.detail) for row in found]
    binding = min(found, key=_current)
    w.limit_source = binding.source
    put(conn, usable_ma(binding.current_ma))
    a.lim_free_ma = usable_ma(min(row.current_ma for row in found if row.source is not LimitSource.OVER_CURRENT))
    own = [row for row in found if row not in shared]
    a.lim_ask_ma = usable_ma(min(row.current_ma for row in own))
    a.lim_other_ma = _other_ma(t, conn, own) if phases.planned(conn) else 0


def _other_ma(t: Tick, conn: Conn, own: list[Row]) -> int:
    """Return what the rows of this EVSE alone would allow on the other number of phases, where W become other A."""
    count = 1 if phases.usable(conn) > 1 else 3
    watts = [x for x in _live(t, conn) if x.evse_id and x.current_ma is None]
    of_power = [_of_power(t, conn, x) for x in watts]
    rest = [row.current_ma for row in own if row not in of_power and row.source is not LimitSource.OUT_OF_BALANCE]
    rest += [max(0, x.power_w) * 1_000_000 // (count * conn.ac.nominal_mv) for x in watts]
    if count == 1 and conn.ac.out_of_balance_ma >= 0:
        rest.append(conn.ac.out_of_balance_ma)
    return usable_ma(min(rest))


def put(conn: Conn, offered_ma: int) -> None:
    """Offer ``offered_ma`` (mA per phase)."""
    conn.w.offered_ma = offered_ma
    conn.w.offered_w = power_w(conn, offered_ma)


def cut(conn: Conn, offered_ma: int, source: LimitSource) -> None:
    """Lower the offer to at most ``offered_ma`` because of ``source``."""
    w, a = conn.w, conn.a
    allowed = usable_ma(offered_ma)
    if allowed < w.offered_ma:
        a.lim_free_ma = usable_ma(a.lim_free_ma * allowed // w.offered_ma)
        put(conn, allowed)
        w.limit_source = source


def _current(row: Row) -> int:
    return row.current_ma


def explain(t: Tick, conn: Conn) -> tuple[LimitEntry, ...]:
    """Return all limits with value, source and age, the binding one first; with the share of a site, when that binds."""
    found = sorted(rows(t, conn), key=_current)
    w = conn.w
    if w.stage in OFFER_STAGES and conn.b is not None and w.offered_ma < usable_ma(found[0].current_ma):
        found.insert(0, Row(w.offered_ma, w.limit_source, "share among the vehicles of the station"))
    return tuple(
        LimitEntry(
            source=row.source, power_w=power_w(conn, row.current_ma), binds=i == 0, age_s=row.age_s, detail=row.detail,
            current_ma=row.current_ma,
        )
        for i, row in enumerate(found)
    )
