"""Module groups and ties: who holds which group, in which order relays move, what each group is told.

A group changes hands in the order ramp down, open, (idle), join: a tie opens only without current; it closes only
without current and at equal voltage, so the joining group is brought to bus voltage first, then both ramp up. Current
comes down with a slope, so that the vehicle sees its supply fade and not fail; at once when the board of the relay is
lost, because then the relay opens soon whatever flows. Each waiting step has a deadline; a tie that does not close is left
open, one that does not open stays with its owner, and both are tried again later. A group whose home EVSE is
energised, or whose output contactors are not confirmed open, belongs to its home EVSE whatever the plan says.
What moves on chains and rings is here; contacts of a matrix are moved by `evse.core.contacts`, the rest is common.
"""

from __future__ import annotations

from collections.abc import Callable

from evse.core import contacts
from evse.core.context import Conn, Tick, uses_energy
from evse.core.state import ENERGY_STAGES, Stage, TieStage, TieState
from evse.core.tie_limits import (
    BOARD_DROPS_TIE,
    JOIN_MA,
    JOINED,
    PREPARE_LIMIT,
    RAMP_LIMIT,
    RAMP_MA_PER_S,
    RELAY_LIMIT,
    RETRY_AFTER,
    TIE_BAND_MV,
    TIE_QUIET_MA,
)
from evse.domain.readings import GroupStatus
from evse.domain.signals import ContactorFeedback, GroupCommand
from evse.domain.station import Topology
from evse.units import NS_PER_S

_JOIN_STAGES = frozenset({Stage.AUTHORISED, Stage.CURRENT})


def sides(t: Tick, tie: int) -> tuple[int, int]:
    """Return the indices of the two groups of a tie."""
    return tie, (tie + 1) % len(t.spec.groups)


def measure(t: Tick) -> None:
    """Find the groups connected to each EVSE and their summed current."""
    for conn in t.conns:
        conn.contactor_open = conn.b is not None and conn.b.contactor is ContactorFeedback.OPEN
        if not conn.on_bus:
            continue
        conn.chain = _chain(t, conn)
        conn.bus_why = contacts.why_not(t, conn) if _matrix(t) else "" if conn.chain else "power modules"
        total, known = 0, bool(conn.chain)
        for i in conn.chain:
            group = t.groups[i]
            if group is None:
                known = False
            else:
                total += group.current_ma
        if not known and conn.m is not None and conn.m.current_ma is not None:
            total, known = abs(conn.m.current_ma), True
        conn.present_ma, conn.present_known = max(0, total), known


def _matrix(t: Tick) -> bool:
    return t.spec.topology is Topology.MATRIX


def _walk(t: Tick, home: int, joined: Callable[[int, int], bool]) -> list[int]:
    """Return the groups reached from ``home`` in both directions as long as ``joined(tie, next group)``."""
    n, ties = len(t.spec.groups), len(t.ties)
    found = [home]
    x = home
    while x < ties:  # tie x joins x and x + 1; only a ring has one behind its last group
        y = (x + 1) % n
        if y == home or not joined(x, y):
            break
        found.append(y)
        x = y
    x = (home - 1) % n
    while x < ties and x not in found and joined(x, x):
        found.append(x)
        x = (x - 1) % n
    return found


def _chain(t: Tick, conn: Conn) -> tuple[int, ...]:
    """Home group first, then what hangs on it through closed ties and is held by the same EVSE."""
    if _matrix(t):
        return contacts.chain(t, conn)
    evse_id, home, owners, ties = conn.spec.evse_id, conn.home, t.owners, t.ties
    if owners[home] != evse_id:
        return ()
    if not ties:
        return (home,)
    return tuple(_walk(t, home, lambda tie, y: ties[tie].stage in JOINED and owners[y] == evse_id))


def wanted(t: Tick) -> list[int]:
    """Return the owner that each group shall have: the plan's, as far as it is safe and contiguous."""
    n = len(t.spec.groups)
    want = [0] * n
    if t.inputs.plan is not None:
        for assignment in t.inputs.plan.groups:
            i = t.group_index(assignment.group_id)
            owner = t.dc.get(assignment.owner or 0)
            if (
                i >= 0
                and owner is not None
                and owner.home >= 0
                and owner.w.tx_open
                and owner.w.stage is not Stage.DISCHARGE
            ):
                want[i] = owner.spec.evse_id
    for conn in t.conns:
        i = conn.home
        if i < 0:
            continue
        if uses_energy(conn) or (want[i] == 0 and conn.w.stage is Stage.AUTHORISED):
            want[i] = conn.spec.evse_id
    if not any(want):
        return want
    for conn in t.conns:  # only what hangs together with home counts
        if conn.home >= 0:
            reach = _reach(t, conn, want)
            for i in range(n):
                if want[i] == conn.spec.evse_id and i not in reach:
                    want[i] = 0
    return want


def _reach(t: Tick, conn: Conn, want: list[int]) -> list[int]:
    evse_id = conn.spec.evse_id
    if want[conn.home] != evse_id:
        return []
    return _walk(t, conn.home, lambda tie, y: want[y] == evse_id and _relay(t, tie) is not None)


def _relay(t: Tick, tie: int) -> Conn | None:
    """Return the EVSE whose board carries the relay; None = there is no relay."""
    home = t.spec.groups[tie].home_evse
    return t.dc.get(home) if home is not None else None


def step(t: Tick) -> None:
    """Advance owners and ties by one tick and find who has to hold still."""
    if not t.owners:
        return
    if _matrix(t):
        contacts.step(t)
        return
    want = wanted(t)
    for i, owner in enumerate(t.owners):
        if owner == want[i]:
            continue
        free = all(
            t.ties[tie].stage is TieStage.OPEN or _relay(t, tie) is None
            for tie in range(len(t.ties))
            if i in sides(t, tie)
        )
        if owner == 0:
            if free:
                t.owners[i] = want[i]
        elif free and _quiet(t.groups[i]):
            t.owners[i] = 0
    for tie in range(len(t.ties)):
        if _relay(t, tie) is not None:
            t.ties[tie] = _advance_tie(t, tie, want)
    for tie, state in enumerate(t.ties):
        relay = _relay(t, tie)
        if state.stage is not TieStage.OPEN and state.stage is not TieStage.CLOSED and relay is not None:
            lost = state.stage is TieStage.OPENING or _feedback(t, relay) is not True
            for conn in t.conns:
                if any(i in conn.chain for i in sides(t, tie)):
                    conn.hold = True
                    conn.hold_now = conn.hold_now or (lost and state.stage is not TieStage.PREPARE)


def ramped_ma(t: Tick, conn: Conn) -> int:
    """Return the most that an EVSE may be given on this tick while it has to hold still."""
    if conn.hold_now:
        return 0
    passed = max(0, t.now - t.state.last_tick)
    return max(0, conn.w.cmd_ma - RAMP_MA_PER_S * passed // NS_PER_S)


def _feedback(t: Tick, relay: Conn | None) -> bool | None:
    """Return whether the relay is closed; None = not known."""
    if relay is None:
        return None
    if relay.b is not None:
        return relay.b.tie_closed
    return False if t.now - relay.w.board_at > BOARD_DROPS_TIE else None


def _quiet(group: GroupStatus | None) -> bool:
    return group is None or group.current_ma < TIE_QUIET_MA


def _still(t: Tick, groups: tuple[int, int]) -> bool | None:
    """Return whether no current flows through a closed tie; None = nobody knows. A silent group may still deliver: then the
    meter of the EVSE that holds it, or its open contactor, has to say so."""
    if not all(_quiet(t.groups[i]) for i in groups):
        return False
    silent = [t.dc.get(t.owners[i]) for i in groups if t.groups[i] is None]
    if all(conn is None or conn.contactor_open for conn in silent):
        return True
    if all(conn is None or conn.present_known for conn in silent):
        return all(conn is None or conn.present_ma < TIE_QUIET_MA for conn in silent)
    return None


def _advance_tie(t: Tick, tie: int, want: list[int]) -> TieState:
    state, now = t.ties[tie], t.now
    a, b = sides(t, tie)
    relay = _relay(t, tie)
    closed = _feedback(t, relay)
    owner = t.owners[a]
    join = owner != 0 and owner == t.owners[b] == want[a] == want[b] and not _loop(t, tie)
    quiet = _quiet(t.groups[a]) and _quiet(t.groups[b])
    match state.stage:
        case TieStage.OPEN:
            if closed:
                return _to(t, tie, TieStage.OPENING, RELAY_LIMIT, "tie.unexpected", "feedback closed, commanded open")
            if join and now >= state.retry_at and relay is not None and relay.b and _may_join(t, a, b, owner):
                return _to(t, tie, TieStage.PREPARE, PREPARE_LIMIT)
        case TieStage.PREPARE:
            if not join:
                return _to(t, tie, TieStage.OPEN, 0)
            if quiet and _matched(t.groups[a], t.groups[b]) and _read_since(t, a, b, state):
                return _to(t, tie, TieStage.CLOSING, RELAY_LIMIT)
            if now >= state.deadline:
                return _fail(t, tie, "voltages or currents of both groups did not match")
        case TieStage.CLOSING:
            if closed:
                return _to(t, tie, TieStage.CLOSED, 0, "tie.closed", "")
            if not join or now >= state.deadline:
                return _to(t, tie, TieStage.OPENING, RELAY_LIMIT, "tie.failed", "relay did not report closed")
        case TieStage.CLOSED:
            if closed is False:
                return _to(t, tie, TieStage.OPENING, RELAY_LIMIT, "tie.unexpected", "feedback open, commanded closed")
            if closed is None or (not join and (now >= state.retry_at or not _keeps(t, a, b))):
                return _to(t, tie, TieStage.RAMP_DOWN, RAMP_LIMIT)
        case TieStage.RAMP_DOWN:
            still = _still(t, (a, b))
            if still or closed is False or (still is None and now >= state.deadline):
                return _to(t, tie, TieStage.OPENING, RELAY_LIMIT)
            if now >= state.deadline:  # no relay opens under current: whoever does not obey is cut off by its contactor
                return _to(t, tie, TieStage.RAMP_DOWN, RAMP_LIMIT, "tie.failed", "current does not fall, the tie stays closed")
        case TieStage.OPENING:
            if closed is False:
                return TieState(stage=TieStage.OPEN, retry_at=state.retry_at)
            if closed and state.deadline and now >= state.deadline:
                stage = TieStage.CLOSED if _keeps(t, a, b) else TieStage.OPENING
                return _to(t, tie, stage, 0, "tie.failed", "relay did not report open")
    return state


def _keeps(t: Tick, a: int, b: int) -> bool:
    """Return True when both groups may stay with the one that holds them although the tie shall open."""
    conn = t.dc.get(t.owners[a])
    return conn is not None and t.owners[a] == t.owners[b] and _others_open(t, a, b, conn)


def _to(t: Tick, tie: int, stage: TieStage, limit: int, kind: str = "", detail: str = "") -> TieState:
    old = t.ties[tie]
    if kind:
        a, b = sides(t, tie)
        t.event(kind, t.owners[a], group_a=t.spec.groups[a].group_id, group_b=t.spec.groups[b].group_id, detail=detail)
    retry = t.now + RETRY_AFTER if kind in ("tie.failed", "tie.unexpected") else old.retry_at
    return TieState(stage=stage, deadline=t.now + limit if limit else 0, retry_at=retry)


def _fail(t: Tick, tie: int, detail: str) -> TieState:
    return _to(t, tie, TieStage.OPEN, 0, "tie.failed", detail)


def _loop(t: Tick, tie: int) -> bool:
    """On a ring one tie stays open when one EVSE holds all groups: a closed ring has no use."""
    n = len(t.spec.groups)
    return len(t.ties) == n and tie == n - 1 and len(set(t.owners)) == 1


def _may_join(t: Tick, a: int, b: int, owner: int) -> bool:
    conn = t.dc.get(owner)
    return (
        conn is not None
        and conn.w.stage in _JOIN_STAGES
        and ((a in conn.chain) is not (b in conn.chain))
        and _others_open(t, a, b, conn)
    )


def _others_open(t: Tick, a: int, b: int, conn: Conn) -> bool:
    """The home EVSE of a group to be joined must have its contactors confirmed open."""
    return all(x is conn or x.home not in (a, b) or x.contactor_open for x in t.conns)


def _matched(a: GroupStatus | None, b: GroupStatus | None) -> bool:
    return a is not None and b is not None and abs(a.voltage_mv - b.voltage_mv) <= TIE_BAND_MV


def _read_since(t: Tick, a: int, b: int, state: TieState) -> bool:
    """On a live bus only readings count that were taken since the joining group is brought to its voltage: an older one may
    be of the bus that the group has left."""
    conn = t.dc.get(t.owners[a])
    dead = conn is None or conn.contactor_open
    return dead or all(contacts.read_since(t, i, state) for i in (a, b))


def tie_close(t: Tick, conn: Conn) -> bool:
    """Return the relay level for the board of ``conn``."""
    return not _matrix(t) and any(
        state.stage in (TieStage.CLOSING, TieStage.CLOSED, TieStage.RAMP_DOWN) and _relay(t, tie) is conn
        for tie, state in enumerate(t.ties)
    )


def available(t: Tick) -> None:
    """What the connected groups of each EVSE can give at its present voltage, in W."""
    for conn in t.conns:
        conn.chain = _chain(t, conn) if conn.on_bus else ()
        conn.modules_w = 0
        for i in conn.chain:
            conn.modules_w += group_power_w(t, i, conn.voltage_mv)


def group_power_w(t: Tick, i: int, voltage_mv: int) -> int:
    """Return what group ``i`` can give: its modules' own figure, less at a low voltage (current limit)."""
    group = t.groups[i]
    if group is None:
        return 0
    power = max(0, group.available_w)
    if voltage_mv >= t.spec.groups[i].voltage_min_mv:
        power = min(power, voltage_mv * group_current_ma(t, i) // 1_000_000)
    return power


def group_current_ma(t: Tick, i: int) -> int:
    """Return the rated current of the modules of group ``i`` that work, in mA; less while its share fades."""
    group = t.groups[i]
    if group is None:
        return 0
    rated = max(0, group.modules_present - group.modules_faulty) * t.spec.groups[i].module_current_max_ma
    return min(rated, t.ramps[i]) if i in t.ramps else rated


def commands(t: Tick) -> tuple[GroupCommand, ...]:
    """Return the levels of all groups: the wish of the owner, shared by what each group can give."""
    result = []
    shares: dict[int, int] = {}
    for conn in t.conns:
        _remember(conn)
        if conn.want_on and conn.chain:
            _share(t, conn, shares)
    for i, spec in enumerate(t.spec.groups):
        owner = t.owners[i]
        holder = t.dc.get(owner)
        if holder is None or not holder.w.lease or not holder.want_on:
            result.append(GroupCommand(group_id=spec.group_id, owner=owner))
        elif i in shares:
            voltage = min(holder.want_mv, spec.voltage_max_mv)
            result.append(
                GroupCommand(group_id=spec.group_id, owner=owner, on=True, voltage_mv=voltage, current_ma=shares[i])
            )
        elif _joining(t, i):  # unloaded, up to the voltage of the bus it will join
            voltage = min(_bus_mv(t, holder), spec.voltage_max_mv)
            on = voltage >= spec.voltage_min_mv
            result.append(
                GroupCommand(
                    group_id=spec.group_id,
                    owner=owner,
                    on=on,
                    voltage_mv=voltage if on else 0,
                    current_ma=JOIN_MA if on else 0,
                )
            )
        else:
            result.append(GroupCommand(group_id=spec.group_id, owner=owner))
    return tuple(result)


def _remember(conn: Conn) -> None:
    w = conn.w
    w.cmd_on = conn.want_on and bool(conn.chain) and w.lease
    w.cmd_mv = conn.want_mv if w.cmd_on else (w.cmd_mv if w.stage in ENERGY_STAGES else 0)
    w.cmd_ma = conn.want_ma if w.cmd_on else 0


def _share(t: Tick, conn: Conn, shares: dict[int, int]) -> None:
    weights = [group_power_w(t, i, conn.voltage_mv) for i in conn.chain]
    total = sum(weights)
    left = conn.want_ma
    for i, weight in zip(conn.chain, weights, strict=True):
        share = conn.want_ma * weight // total if total else 0
        shares[i] = min(share, group_current_ma(t, i))
        left -= shares[i]
    first = conn.chain[0]
    if 0 < left <= len(conn.chain):  # the rest of the division
        shares[first] = min(shares[first] + left, group_current_ma(t, first))


def _joining(t: Tick, i: int) -> bool:
    if _matrix(t):
        return contacts.joining(t, i)
    n, ties = len(t.spec.groups), len(t.ties)
    around = (i, (i - 1) % n)
    return any(tie < ties and t.ties[tie].stage in (TieStage.PREPARE, TieStage.CLOSING) for tie in around)


def _bus_mv(t: Tick, conn: Conn) -> int:
    if _matrix(t):
        return conn.voltage_mv
    home = t.groups[conn.chain[0]] if conn.chain else None
    return home.voltage_mv if home is not None and home.on and home.voltage_mv > 0 else conn.voltage_mv


__all__ = [
    "available",
    "commands",
    "group_current_ma",
    "group_power_w",
    "measure",
    "ramped_ma",
    "sides",
    "step",
    "tie_close",
    "wanted",
]
