"""Why a connector gets what it gets, in one sentence and a table with the binding limit first."""

from __future__ import annotations

from msgspec.structs import replace

from evse.domain.base import Frozen
from evse.domain.limits import Allocation, CurrentAllocation, LimitEntry, LimitSource, Plan, PowerLimit
from evse.domain.session import SessionPhase
from evse.domain.view import EvseView
from evse.planner.live import PlannerSettingsW
from evse.units import NS_PER_S, Instant

SITE_SOURCES = (LimitSource.SITE, LimitSource.OCPP_STATIC, LimitSource.CSMS)


class ExplanationText(Frozen, frozen=True, kw_only=True):
    """Same fields as the API's Explanation: DC-side W offered now, the sentence, and all limits, the binding one
    first."""

    evse_id: int
    offered_w: int
    text: str
    limits: tuple[LimitEntry, ...]


def age_words(age_s: int) -> str:
    """An age as people say it: "just now", "40 s ago", "12 min ago", "5 h ago", "3 days ago"."""
    if age_s < 5:
        return "just now"
    if age_s < 90:
        return f"{age_s} s ago"
    if age_s < 90 * 60:
        return f"{(age_s + 30) // 60} min ago"
    if age_s < 36 * 3600:
        return f"{(age_s + 1800) // 3600} h ago"
    return f"{(age_s + 43_200) // 86_400} days ago"


_QUIET = {
    SessionPhase.IDLE: "no vehicle is plugged in",
    SessionPhase.UNAVAILABLE: "it is out of service",
    SessionPhase.FINISHED: "charging has ended",
    SessionPhase.WAIT_AUTH: "it waits for authorisation",
    SessionPhase.PLUGGED: "the vehicle has not started to talk",
    SessionPhase.SLAC: "the vehicle has not started to talk",
    SessionPhase.HLC_SETUP: "the vehicle has not asked for power yet",
}

TOLD = frozenset({LimitSource.SITE, LimitSource.OCPP_STATIC, LimitSource.CSMS, LimitSource.DYNAMIC, LimitSource.FALLBACK, LimitSource.USER})
"""Sources whose limits somebody sets: a sentence says when."""

FILE = "configuration"
"""How the limit of the file calls itself."""

CONFIGURED = "from the configuration"

_OWN_SOURCES = (LimitSource.CABLE, LimitSource.HARDWARE, LimitSource.THERMAL, LimitSource.USER)
REACHED_PCT = 97  # a request this near a limit was cut by it: the cable's power moves with the voltage between two plans

_CORE_WORDS = {
    LimitSource.CABLE: "cable limit",
    LimitSource.HARDWARE: "connector limit",
    LimitSource.MODULES: "power of its module groups",
    LimitSource.THERMAL: "temperature limit",
    LimitSource.EV: "demand of the vehicle",
    LimitSource.USER: "limit of the user",
    LimitSource.FAILSAFE: "failsafe limit",
    LimitSource.SITE: "site limit",
    LimitSource.OCPP_STATIC: "static OCPP limit",
    LimitSource.CSMS: "CSMS limit",
    LimitSource.PLAN: "planner's share",
    LimitSource.GRID: "limit of the grid connection",
    LimitSource.EVSE: "wiring of the station",
    LimitSource.DYNAMIC: "dynamic limit",
    LimitSource.FALLBACK: "fallback limit",
    LimitSource.RULE: "limit of an event action",
    LimitSource.OVER_CURRENT: "reduction for over-current",
    LimitSource.OUT_OF_BALANCE: "limit for unbalanced load",
}


def source_words(source: LimitSource) -> str:
    """What a limit is called in a sentence."""
    return _CORE_WORDS[source]


def _origin(settings: PlannerSettingsW, source: LimitSource, now: Instant | None) -> tuple[int | None, str]:
    """Age in s and detail of the site-wide limit that set ``source``, as far as they are known."""
    found: PowerLimit | None = None
    for limit in settings.limits:
        if limit.source is source and limit.evse_id == 0 and (found is None or limit.power_w < found.power_w):
            found = limit
    if found is None:
        return None, CONFIGURED if source in (LimitSource.SITE, LimitSource.OCPP_STATIC) else ""
    age_s = None if now is None else max(0, now - found.set_at) // NS_PER_S
    if found.detail == FILE:
        return age_s, CONFIGURED
    return age_s, f"set by {found.detail}" if found.detail and " " not in found.detail else found.detail


def _bracket(source: LimitSource, age_s: int | None, detail: str) -> str:
    """Where a limit comes from, and when it was set if somebody did."""
    detail = CONFIGURED if detail == FILE else detail
    told = source in TOLD and detail != CONFIGURED and age_s is not None
    words = " ".join(part for part in (detail, age_words(age_s) if told and age_s is not None else "") if part)
    return f" ({words})" if words else ""


def _rows(
    view: EvseView, row: Allocation | None, settings: PlannerSettingsW, binding: LimitSource, now: Instant | None
) -> list[LimitEntry]:
    """All limits that are known for this EVSE: what the core reports, what the plan says, and the site-side caps."""
    rows: dict[LimitSource, LimitEntry] = {}
    for entry in view.limits:
        rows.setdefault(entry.source, entry)
    if row is not None:
        rows.setdefault(
            LimitSource.EV, LimitEntry(source=LimitSource.EV, power_w=row.requested_w, binds=False, detail="requested")
        )
        most = rows[LimitSource.EV]
        if binding is LimitSource.EV and row.requested_w < most.power_w:  # its demand binds, not the most that it could take
            words = f"asked for; the vehicle takes up to {most.power_w / 1000:.1f} kW"
            rows[LimitSource.EV] = replace(most, power_w=row.requested_w, binds=False, detail=words)
        chain = ", ".join(str(g) for g in row.chain)
        rows.setdefault(
            LimitSource.PLAN,
            LimitEntry(
                source=LimitSource.PLAN,
                power_w=row.assigned_w,
                binds=False,
                detail=f"groups {chain}" if chain else "no group",
            ),
        )
    for source, power_w in settings.site_caps():
        age_s, detail = _origin(settings, source, now)
        if age_s is None and source in rows:
            age_s = rows[source].age_s
        words = "AC side, all connectors together"
        rows[source] = LimitEntry(
            source=source, power_w=power_w, binds=False, age_s=age_s, detail=f"{words}; {detail}" if detail else words
        )
    if row is not None and binding not in rows:  # what only the plan knows, such as the share beside AC connectors
        rows[binding] = LimitEntry(source=binding, power_w=row.assigned_w, binds=False, detail=row.detail)
    marked = [replace(e, binds=e.source is binding) for e in rows.values()]
    marked.sort(key=lambda e: (not e.binds, e.power_w))
    return marked


def _own_limit(view: EvseView, row: Allocation) -> LimitEntry | None:
    """The limit of the connector itself that cut the request before the planner saw it; None = the vehicle's own wish."""
    own = min((e for e in view.limits if e.source in _OWN_SOURCES), key=lambda e: e.power_w, default=None)
    if own is None or row.requested_w * 100 < own.power_w * REACHED_PCT:
        return None
    vehicle = next((e.power_w for e in view.limits if e.source is LimitSource.EV), None)
    return None if vehicle is not None and vehicle <= own.power_w else own


def explain(
    view: EvseView, plan: Plan | None, settings: PlannerSettingsW, now: Instant | None = None
) -> ExplanationText:
    """Explain one EVSE. ``now`` lets limits show their age.

    The limit that the core reports as binding counts first; where that is the plan, the plan's own reason is told.
    """
    if view.ac is not None:
        share = next((c for c in plan.currents if c.evse_id == view.evse_id), None) if plan is not None else None
        return _explain_ac(view, share)
    row = next((a for a in plan.allocations if a.evse_id == view.evse_id), None) if plan is not None else None
    core = view.limits[0] if view.limits and view.limits[0].binds else None
    binding = core.source if core is not None else (row.binding if row is not None else LimitSource.PLAN)
    if row is not None and binding in (LimitSource.PLAN, row.binding):
        core = _own_limit(view, row) if row.binding is LimitSource.EV else None
        binding = row.binding if core is None else core.source
    limits = tuple(_rows(view, row, settings, binding, now))
    who = f"Connector {view.evse_id}"
    gets = f"gets {view.offered_w / 1000:.1f} kW" if view.offered_w > 0 else "gets nothing"
    if view.phase is SessionPhase.FAULTED and view.faults:
        reason = f"fault {view.faults[0].code.value}: {view.faults[0].detail}"
    elif view.offered_w <= 0 and view.phase in _QUIET:
        reason = _QUIET[view.phase]
    elif core is not None:
        what = _CORE_WORDS[core.source]
        reason = f"the {what} of {core.power_w / 1000:.1f} kW binds" + _bracket(core.source, core.age_s, core.detail)
    elif row is None:
        reason = "there is no plan yet"
    else:
        reason = row.detail or f"the {_CORE_WORDS[row.binding]} binds"
        if row.binding in SITE_SOURCES:
            reason += _bracket(row.binding, *_origin(settings, row.binding, now))
    return ExplanationText(
        evse_id=view.evse_id, offered_w=view.offered_w, text=f"{who} {gets}: {reason}", limits=limits
    )


def _explain_ac(view: EvseView, share: CurrentAllocation | None) -> ExplanationText:
    """An AC EVSE: current per phase; the planner's own reason where its share binds."""
    core = view.limits[0] if view.limits and view.limits[0].binds else None
    if view.phase is SessionPhase.FAULTED and view.faults:
        reason = f"fault {view.faults[0].code.value}: {view.faults[0].detail}"
    elif view.offered_w <= 0 and (view.phase in _QUIET or core is None):
        reason = _QUIET.get(view.phase, "nothing is offered now")
    elif core is None:
        reason = "nothing limits it"
    elif core.source is LimitSource.PLAN and share is not None and share.detail:
        reason = share.detail
    else:
        most = "" if core.current_ma is None else f" of {core.current_ma / 1000:.1f} A"
        reason = f"the {_CORE_WORDS[core.source]}{most} binds" + _bracket(core.source, core.age_s, core.detail)
    current = view.ac.offered_ma if view.ac is not None else 0
    gets = f"gets {current / 1000:.1f} A per phase" if current else "gets nothing"
    text = f"Connector {view.evse_id} {gets}: {reason}"
    return ExplanationText(evse_id=view.evse_id, offered_w=view.offered_w, text=text, limits=view.limits)
