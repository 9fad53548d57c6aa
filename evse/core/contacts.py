"""Contacts of a matrix cabinet: one per pair of module group and DC EVSE (docs/board-link.md, "Matrix contacts").

A contact is a tie with a group on one side and the bar of a connector on the other, and moves through the same stages. A
group that changes hands fades alone: the others of its connector take over what they can, and go on. Of the contacts of
a group at most one leaves OPEN. Each waiting stage has a deadline; what does not close is left open and tried again,
what does not open makes its group the property of its connector, what is not known puts its group out of service.
"""

from __future__ import annotations

from collections.abc import Sequence

from evse.core.context import TEXT_MAX, Conn, Tick
from evse.core.state import ENERGY_STAGES, ContactFault, Stage, TieStage, TieState
from evse.core.tie_limits import (
    BOARD_DROPS_TIE,
    JOINED,
    PREPARE_LEAST,
    PREPARE_LIMIT,
    RAMP_LIMIT,
    RAMP_MA_PER_S,
    RELAY_LIMIT,
    REST_AFTER,
    RETRY_AFTER,
    TIE_BAND_MV,
    TIE_QUIET_MA,
)
from evse.domain.faults import FaultCode
from evse.domain.readings import Sample
from evse.domain.signals import ContactorFeedback
from evse.domain.station import Topology
from evse.units import NS_PER_S

_COMMANDED = (TieStage.CLOSING, *JOINED)
_TEXTS = {
    ContactFault.WELDED: (FaultCode.MATRIX_CONTACT_WELDED, "reports closed, commanded open"),
    ContactFault.NOT_CLOSED: (FaultCode.MATRIX_CONTACT_NOT_CLOSED, "does not report closed, commanded closed"),
    ContactFault.UNKNOWN: (FaultCode.MATRIX_CONTACT_UNKNOWN, "reports neither open nor closed, or both"),
}


# -- what is connected ------------------------------------------------------------------------------------------------


def chain(t: Tick, conn: Conn) -> tuple[int, ...]:
    """Return the groups that feed the EVSE, in the order of the cabinet."""
    evse_id, row, ties = conn.spec.evse_id, conn.row, t.ties
    return tuple(g for g, owner in enumerate(t.owners) if owner == evse_id and ties[row + g].stage in JOINED)


def feedback(t: Tick, conn: Conn, g: int) -> bool | None:
    """Return whether the contact is closed; None = not known."""
    if conn.b is not None:
        return conn.b.contacts.state(g) if conn.b.contacts is not None else None
    return False if t.now - conn.w.board_at > BOARD_DROPS_TIE else None


def _known(conn: Conn) -> tuple[int, int]:
    """Return the contacts that are known to be closed, and those that are known to be open."""
    contacts = conn.b.contacts if conn.b is not None else None
    return (0, 0) if contacts is None else (contacts.closed & ~contacts.opened, contacts.opened & ~contacts.closed)


def joining(t: Tick, g: int) -> bool:
    """Return True while the group is brought to the voltage of the bar that it will join."""
    holder = t.dc.get(t.owners[g])
    return holder is not None and t.ties[holder.row + g].stage in (TieStage.PREPARE, TieStage.CLOSING)


def levels(t: Tick, conn: Conn) -> int:
    """Return the contacts that the board of ``conn`` is told to close."""
    if t.spec.topology is not Topology.MATRIX:
        return 0
    return sum(1 << g for g in range(len(t.owners)) if t.ties[conn.row + g].stage in _COMMANDED)


def why_not(t: Tick, conn: Conn) -> str:
    """Return why the output contactor may not close on this bar; "" = its groups are its own and nobody else's."""
    for g, group in enumerate(t.spec.groups):
        mine = g in conn.chain
        if not mine and t.ties[conn.row + g].stage not in (TieStage.OPEN, TieStage.PREPARE):
            return f"contact of group {group.group_id}"
        if mine and not _others_open(t, conn, g):
            return f"another contact of group {group.group_id}"
    return "" if conn.chain else "power modules"


def barred(t: Tick, conn: Conn) -> tuple[int, ...]:
    """Return the ids of the groups that cannot feed this EVSE now: contacts that fail, or belong to a welded one."""
    if not t.contacts_fail:
        return ()
    fixed = _fixed(t)
    own = (t.ties[conn.row + g] for g in range(len(t.owners)))
    return tuple(
        group.group_id
        for g, (group, state) in enumerate(zip(t.spec.groups, own, strict=True))
        if fixed.get(g, conn.spec.evse_id) != conn.spec.evse_id
        or (state.failed is ContactFault.NOT_CLOSED and t.now < state.retry_at)
    )


def causes(t: Tick, conn: Conn) -> None:
    """Append the faults of the contacts of one EVSE."""
    if t.spec.topology is not Topology.MATRIX or not conn.on_bus:
        return
    if conn.b is not None and conn.b.contacts is None:
        text = "the board reports no matrix contacts: its firmware has not the capability MATRIX"
        conn.causes.append((FaultCode.MATRIX_CONTACT_UNKNOWN, text))
        return
    found: dict[ContactFault, list[str]] = {}
    for g, group in enumerate(t.spec.groups):
        state = t.ties[conn.row + g]
        if state.failed is ContactFault.NONE or (state.failed is ContactFault.NOT_CLOSED and t.now >= state.retry_at):
            continue
        found.setdefault(state.failed, []).append(str(group.group_id))
    for failed, names in found.items():
        code, text = _TEXTS[failed]
        conn.causes.append((code, f"contact of group {', '.join(names)}: {text}"[:TEXT_MAX]))
    if conn.contactor_open or conn.b is None:
        return
    for other in t.dc.values():
        if other is conn or other.contactor_open:
            continue
        both = _known(conn)[0] & _known(other)[0]
        if both:
            shared = ", ".join(str(group.group_id) for g, group in enumerate(t.spec.groups) if both >> g & 1)
            text = f"group {shared} connects it with EVSE {other.spec.evse_id}"
            conn.causes.append((FaultCode.MATRIX_BUS_SHARED, text[:TEXT_MAX]))


# -- who shall hold what ----------------------------------------------------------------------------------------------


def _fixed(t: Tick) -> dict[int, int]:
    """Groups that are not free to go anywhere: index -> the EVSE to which they are welded, 0 = out of service."""
    fixed: dict[int, int] = {}
    for evse_id, conn in t.dc.items():
        for g in range(len(t.owners)):
            failed = t.ties[conn.row + g].failed
            if failed is ContactFault.UNKNOWN or (failed is ContactFault.WELDED and g in fixed):
                fixed[g] = 0
            elif failed is ContactFault.WELDED:
                fixed[g] = evse_id
    return fixed


def _takes(conn: Conn | None) -> bool:
    return conn is not None and conn.w.tx_open and conn.w.stage is not Stage.DISCHARGE


def wanted(t: Tick) -> list[int]:
    """Return the owner that each group shall have: the plan's, as far as contacts and energised connectors allow it."""
    want = [0] * len(t.owners)
    planned: set[int] = set()
    for assignment in t.inputs.plan.groups if t.inputs.plan is not None else ():
        g = t.group_index(assignment.group_id)
        owner = t.dc.get(assignment.owner or 0)
        if g >= 0 and owner is not None and _takes(owner):
            want[g] = owner.spec.evse_id
            planned.add(owner.spec.evse_id)
    for conn in t.dc.values():
        if conn.home >= 0 and want[conn.home] == 0 and conn.w.stage is Stage.AUTHORISED and conn.spec.evse_id not in want:
            want[conn.home] = conn.spec.evse_id
    fixed = _fixed(t)
    for g, evse_id in fixed.items():
        want[g] = evse_id if _takes(t.dc.get(evse_id)) else 0
    for conn in t.dc.values():
        mine = conn.spec.evse_id
        if conn.w.stage in ENERGY_STAGES and conn.chain and all(want[g] != mine for g in conn.chain):
            free = [g for g in conn.chain if fixed.get(g, mine) == mine]
            if free:  # what is energised keeps a group, its home if it has it
                want[conn.home if conn.home in free else free[0]] = mine
    for conn in t.dc.values():
        if conn.spec.evse_id in planned and conn.spec.evse_id not in want and not conn.chain:
            _replace(t, want, fixed, conn)
    return want


def _replace(t: Tick, want: list[int], fixed: dict[int, int], conn: Conn) -> None:
    """All that the plan gave to ``conn`` is held fast: it gets an idle group, or one of whoever has the most."""
    spare = [g for g, owner in enumerate(want) if g not in fixed and (owner == 0 or want.count(owner) > 1)]
    if spare:
        held = [owner for owner in want if owner]
        joined = {g for other in t.dc.values() for g in other.chain}
        want[min(spare, key=lambda g: (want[g] != 0, -held.count(want[g]), g in joined, -g))] = conn.spec.evse_id


# -- movements --------------------------------------------------------------------------------------------------------


def step(t: Tick) -> None:
    """Advance owners and contacts by one tick."""
    want = wanted(t)
    for g, owner in enumerate(t.owners):
        if owner == want[g]:
            continue
        rest = [conn.spec.evse_id for conn in t.dc.values() if t.ties[conn.row + g].stage is not TieStage.OPEN]
        welded = [conn.spec.evse_id for conn in t.dc.values() if t.ties[conn.row + g].failed is ContactFault.WELDED]
        if owner:
            if set(rest) <= set(welded) and not _flows(t, g):
                t.owners[g] = 0
        elif not rest or (rest == welded == [want[g]]):
            t.owners[g] = want[g]
    for evse_id, conn in t.dc.items():
        known_open = _known(conn)[1]
        for g, owner in enumerate(t.owners):
            if owner != evse_id and known_open >> g & 1 and t.ties[conn.row + g].stage is TieStage.OPEN:
                continue  # open, known to be, and not asked for: nothing can move
            t.ties[conn.row + g] = _advance(t, conn, g, want)
            if t.ties[conn.row + g].stage is TieStage.RAMP_DOWN:
                t.ramps[g] = t.ties[conn.row + g].ramp_ma
    t.contacts_fail = any(state.failed is not ContactFault.NONE for state in t.ties)


def _flows(t: Tick, g: int) -> bool:
    group = t.groups[g]
    return group is not None and abs(group.current_ma) >= TIE_QUIET_MA


def _others_open(t: Tick, conn: Conn, g: int) -> bool:
    return all(t.ties[x.row + g].stage is TieStage.OPEN for x in t.dc.values() if x is not conn)


def _may_join(conn: Conn) -> bool:
    """Before the output contactor closes, or in the charge loop."""
    w, b = conn.w, conn.b
    if b is None:
        return False
    if w.stage is Stage.CURRENT:
        return w.lease and b.contactor is ContactorFeedback.CLOSED
    return conn.contactor_open and not w.lease and w.stage in (Stage.AUTHORISED, Stage.CABLE_CHECK)


def _bar_mv(t: Tick, conn: Conn) -> int | None:
    """Return the voltage in front of the output contactor; None = not known."""
    if conn.b is None:
        return None
    if conn.b.contactor is ContactorFeedback.CLOSED:
        return conn.b.output_mv
    if not conn.contactor_open:
        return None
    highest = 0
    for g in conn.chain:
        group = t.groups[g]
        if group is None:
            return None
        highest = max(highest, group.voltage_mv)
    return highest


def read_since(t: Tick, g: int, state: TieState) -> bool:
    """Whether the reading of a group was taken since the PREPARE of ``state`` has had its effect."""
    reading = t.inputs.groups[g]
    return isinstance(reading, Sample) and reading.at >= state.deadline - PREPARE_LIMIT + PREPARE_LEAST


def _matched(t: Tick, conn: Conn, g: int) -> bool:
    """Whether the contact may close. On a live bar only a reading counts that was taken since the group is brought to its
    voltage: an older one may be of the bar that the group has left."""
    group, bar_mv = t.groups[g], _bar_mv(t, conn)
    if group is None or bar_mv is None or _flows(t, g) or abs(group.voltage_mv - bar_mv) > TIE_BAND_MV:
        return False
    return conn.contactor_open or read_since(t, g, t.ties[conn.row + g])


def _advance(t: Tick, conn: Conn, g: int, want: Sequence[int]) -> TieState:
    state, closed = t.ties[conn.row + g], feedback(t, conn, g)
    mine = t.owners[g] == want[g] == conn.spec.evse_id
    match state.stage:
        case TieStage.OPEN | TieStage.PREPARE:
            return _open(t, conn, g, mine=mine)
        case TieStage.CLOSING:
            if closed:
                return _to(t, conn, g, TieStage.CLOSED, 0, "contact.closed", failed=ContactFault.NONE)
            if t.now >= state.deadline:
                failed = ContactFault.NOT_CLOSED if closed is False else state.failed
                return _to(t, conn, g, TieStage.OPENING, RELAY_LIMIT, "contact.failed", "does not report closed", failed)
            if not mine:
                return _to(t, conn, g, TieStage.OPENING, RELAY_LIMIT)
        case TieStage.CLOSED:
            if closed is False:
                text = "feedback open, commanded closed"
                return _to(t, conn, g, TieStage.OPENING, RELAY_LIMIT, "contact.unexpected", text, ContactFault.NOT_CLOSED)
            if closed is None or not mine:
                group = t.groups[g]
                flows = group.current_ma if group is not None else 0
                return _to(t, conn, g, TieStage.RAMP_DOWN, RAMP_LIMIT, ramp_ma=max(0, flows))
        case TieStage.RAMP_DOWN:
            return _ramp_down(t, conn, g, mine=mine)
        case TieStage.OPENING:
            return _opening(t, conn, g, mine=mine)
    return state


def _open(t: Tick, conn: Conn, g: int, *, mine: bool) -> TieState:
    """An open contact, and one that is about to close."""
    state, closed = t.ties[conn.row + g], feedback(t, conn, g)
    if closed is True:
        return _to(t, conn, g, TieStage.OPENING, RELAY_LIMIT, "contact.unexpected", "feedback closed, commanded open")
    if closed is None and conn.b is not None:
        return _to(t, conn, g, TieStage.OPENING, RELAY_LIMIT)
    may = mine and _may_join(conn) and _others_open(t, conn, g)
    if state.stage is TieStage.OPEN:
        return _to(t, conn, g, TieStage.PREPARE, PREPARE_LIMIT) if may and t.now >= state.retry_at else state
    if not may:
        return _to(t, conn, g, TieStage.OPEN, 0)
    if _matched(t, conn, g):
        return _to(t, conn, g, TieStage.CLOSING, RELAY_LIMIT)
    if t.now >= state.deadline:
        return _to(t, conn, g, TieStage.OPEN, 0, "contact.failed", "voltage or current of group and bar did not match")
    return state


def _ramp_down(t: Tick, conn: Conn, g: int, *, mine: bool) -> TieState:
    state, closed, group = t.ties[conn.row + g], feedback(t, conn, g), t.groups[g]
    if closed and mine:
        return _to(t, conn, g, TieStage.CLOSED, 0)
    still = group is not None and not _flows(t, g)
    if still or closed is False or (group is None and t.now >= state.deadline):
        return _to(t, conn, g, TieStage.OPENING, RELAY_LIMIT)
    ramp_ma = max(0, state.ramp_ma - RAMP_MA_PER_S * max(0, t.now - t.state.last_tick) // NS_PER_S)
    if t.now >= state.deadline:  # no contact opens under current: who does not obey is cut off by the output contactor
        text = "current does not fall, the contact stays closed"
        return _to(t, conn, g, TieStage.RAMP_DOWN, RAMP_LIMIT, "contact.failed", text)
    return TieState(
        stage=state.stage, deadline=state.deadline, retry_at=state.retry_at, ramp_ma=ramp_ma, failed=state.failed
    )


def _opening(t: Tick, conn: Conn, g: int, *, mine: bool) -> TieState:
    state, closed = t.ties[conn.row + g], feedback(t, conn, g)
    if closed is False:
        failed = state.failed if state.failed is ContactFault.NOT_CLOSED else ContactFault.NONE
        return TieState(stage=TieStage.OPEN, retry_at=max(state.retry_at, t.now + REST_AFTER), failed=failed)
    if conn.b is None:
        return state
    if state.failed is ContactFault.WELDED and closed and mine and _others_open(t, conn, g):
        return _to(t, conn, g, TieStage.CLOSED, 0)
    if not state.deadline:  # at start: the board has only now been heard
        return _to(t, conn, g, TieStage.OPENING, RELAY_LIMIT)
    wrong = ContactFault.WELDED if closed else ContactFault.UNKNOWN
    if t.now >= state.deadline and state.failed is not wrong:
        text = "does not report open" if closed else "reports neither open nor closed"
        return _to(t, conn, g, TieStage.OPENING, RELAY_LIMIT, "contact.failed", text, wrong)
    return state


def _to(
    t: Tick,
    conn: Conn,
    g: int,
    stage: TieStage,
    limit: int,
    kind: str = "",
    detail: str = "",
    failed: ContactFault | None = None,
    ramp_ma: int = 0,
) -> TieState:
    old = t.ties[conn.row + g]
    if kind:
        t.event(kind, conn.spec.evse_id, group=t.spec.groups[g].group_id, detail=detail)
    retry = t.now + RETRY_AFTER if kind in ("contact.failed", "contact.unexpected") else old.retry_at
    return TieState(
        stage=stage,
        deadline=t.now + limit if limit else 0,
        retry_at=retry,
        ramp_ma=ramp_ma,
        failed=old.failed if failed is None else failed,
    )
