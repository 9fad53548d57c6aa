"""The last word. Reads the inputs itself, shares no code with the tick, and can only take energy away.

Rules (docs/safety.md): G1 fresh board, G2 no emergency stop anywhere, G3 pilot C/D, G4 lock not open, G5 feedback known
and not welded, G6 no new closing without storage, G7 no fault of the loop, G8 set-points within ratings, G9 site cap,
G10 ties close only without current and at equal voltage, G11 one EVSE per connected bus, G12 groups only for an
owner with a lease. AC EVSEs have rules of their own in place of G3..G5 and G8 (`evse.core.gate_ac`). In a matrix
contacts take the place of ties in G10 and G11 (`evse.core.gate_matrix`).
"""

from __future__ import annotations

from msgspec.structs import replace

from evse.core import gate_ac, gate_matrix
from evse.core.inputs import Inputs
from evse.core.outputs import EvseOutput, Outputs
from evse.domain.limits import LimitSource
from evse.domain.readings import GroupStatus, Sample
from evse.domain.signals import BoardCommand, BoardStatus, ContactorFeedback, CpState, GroupCommand, HlcStep, LockState
from evse.domain.station import EvseKind, EvseSpec, StationSpec, Topology
from evse.units import NS_PER_MS, NS_PER_S, Instant

TIE_CURRENT_MA = 2_000
TIE_BAND_MV = 20_000
GROUP_MAX_AGE = 3 * NS_PER_S
PRE_CHARGE_MA = 2_000
"""So much current may flow before the vehicle's charge loop, whatever the power limits are."""

_BEFORE_LOOP = (HlcStep.CABLE, HlcStep.PRE_C, HlcStep.PD_ON)


def gate(spec: StationSpec, outputs: Outputs, inputs: Inputs, now: Instant) -> Outputs:
    """Return ``outputs`` with everything removed that the inputs do not justify."""
    boards = {e.evse_id: _fresh(spec, inputs, e.evse_id, now) for e in spec.evses}
    specs = {e.evse_id: e for e in spec.evses}
    off = bool(inputs.loop_fault) or any(b is not None and b.estop for b in boards.values())  # G7, G2
    commands: dict[int, BoardCommand] = {o.evse_id: o.board for o in outputs.evses}
    ties = _ties(spec, boards, commands, inputs, now)
    node = {g.home_evse: i for i, g in enumerate(spec.groups) if g.home_evse is not None and g.home_evse in specs}
    bus = feared = _buses(spec, 0, list(ties.values()))
    if spec.topology is Topology.MATRIX:
        node = gate_matrix.nodes(spec)
        given = [_group(inputs, i, now) for i in range(len(spec.groups))]
        bus, feared = (_buses(spec, len(node), edges) for edges in gate_matrix.contacts(spec, boards, commands, given))
    leased = {
        i
        for i, c in commands.items()
        if c.contactor_lease
        and not off
        and i in specs
        and _may_lease(spec, specs[i], boards[i], inputs)
        and _alone(i, node, bus if _is_closed(boards[i]) else feared, boards, commands)
    }
    site_w = _site_w(spec, inputs, now)
    budget = None if site_w is None else site_w * spec.efficiency_permille // 1000
    total = sum(max(0, commands[i].offered_w) for i in leased if specs[i].kind is EvseKind.DC)
    scaled = budget is not None and total > budget  # G9
    promise = not off and _promises_fit(spec, commands, site_w, total)
    evses = []
    for out in outputs.evses:
        c, e = commands[out.evse_id], specs.get(out.evse_id)
        if e is not None and e.kind is EvseKind.AC:
            trimmed = gate_ac.trim(e, boards[out.evse_id], c, lease=out.evse_id in leased, promise=promise)
            evses.append(out if trimmed is c else EvseOutput(evse_id=out.evse_id, board=trimmed))
            continue
        offered_w, offered_ma = c.offered_w, c.offered_ma
        if scaled and budget is not None and out.evse_id in leased:
            offered_w, offered_ma = offered_w * budget // total, offered_ma * budget // total
        if e is not None:  # G8
            offered_w, offered_ma = min(offered_w, e.power_max_w), min(offered_ma, e.current_max_ma)
        lease, tie = out.evse_id in leased, c.tie_close and out.evse_id in ties
        if (
            lease is not c.contactor_lease
            or tie is not c.tie_close
            or offered_w != c.offered_w
            or offered_ma != c.offered_ma
            or c is not out.board
        ):
            c = replace(
                c,
                contactor_lease=lease,
                tie_close=tie,
                offered_w=offered_w,
                offered_ma=offered_ma,
                isolation_test=c.isolation_test and lease,
            )
            commands[out.evse_id] = c
            out = EvseOutput(evse_id=out.evse_id, board=c)
        evses.append(out)
    groups = _groups(spec, outputs.groups, leased, specs, boards, commands, bus)
    if groups == outputs.groups and all(a is b for a, b in zip(evses, outputs.evses, strict=True)):
        return outputs
    return Outputs(
        evses=tuple(evses), groups=groups, events=outputs.events, effects=outputs.effects, requests=outputs.requests
    )


def _fresh(spec: StationSpec, inputs: Inputs, evse_id: int, now: Instant) -> BoardStatus | None:
    """G1: a board that has not spoken for three heartbeats is not there."""
    for given in inputs.evses:
        if given.evse_id == evse_id:
            reading = given.board
            if isinstance(reading, Sample) and now - reading.at <= spec.board_max_age_ms * NS_PER_MS:
                return reading.value
            return None
    return None


def _may_lease(spec: StationSpec, e: EvseSpec, b: BoardStatus | None, inputs: Inputs) -> bool:
    """G1..G6 for one board; AC EVSEs have their own."""
    if e.kind is EvseKind.AC:
        return gate_ac.may_lease(e, b, storage=inputs.storage_ok or spec.charge_without_storage)
    if b is None or b.estop or b.cp not in (CpState.C, CpState.D) or b.lock is LockState.UNLOCKED or b.door_open:
        return False
    if b.contactor is ContactorFeedback.UNKNOWN or (b.contactor is ContactorFeedback.CLOSED and not b.lease_active):
        return False  # G5: closed without a lease is welded
    return inputs.storage_ok or spec.charge_without_storage or b.contactor is ContactorFeedback.CLOSED


def _promises_fit(spec: StationSpec, commands: dict[int, BoardCommand], site_w: int | None, dc_w: int) -> bool:
    """G9: what AC vehicles are told and what DC vehicles get stay below the site cap together."""
    ac_w = sum(gate_ac.promised_w(e, commands[e.evse_id]) for e in spec.evses if e.evse_id in commands and e.kind is EvseKind.AC)
    return site_w is None or ac_w == 0 or dc_w * 1000 + ac_w * spec.efficiency_permille <= site_w * spec.efficiency_permille


def _site_w(spec: StationSpec, inputs: Inputs, now: Instant) -> int | None:
    """G9: smallest site cap in force, at the AC side. A SITE limit replaces the configured one."""
    best = None if spec.site_limit_w <= 0 else spec.site_limit_w
    live = [x for x in inputs.limits if x.evse_id == 0 and (x.expires_at is None or x.expires_at > now)]
    if any(x.source is LimitSource.SITE for x in live):
        best = None
    for limit in live:
        best = max(0, limit.power_w) if best is None else min(best, max(0, limit.power_w))
    return best


def _ties(
    spec: StationSpec,
    boards: dict[int, BoardStatus | None],
    commands: dict[int, BoardCommand],
    inputs: Inputs,
    now: Instant,
) -> dict[int, tuple[int, int]]:
    """G10: home EVSE -> groups of its tie, for every tie that is closed or may close now."""
    n, result = len(spec.groups), {}
    for i in range(n if spec.topology is Topology.RING and n > 2 else n - 1):
        home = spec.groups[i].home_evse
        board = boards.get(home) if home is not None else None
        if home is None or spec.topology is Topology.MATRIX or home not in commands:
            continue
        j = (i + 1) % n
        if board is None or not (board.tie_closed or commands[home].tie_close):
            continue  # open and stays open, or nobody knows: then the relay is not told to close
        if not board.tie_closed:
            a, b = _group(inputs, i, now), _group(inputs, j, now)
            if a is None or b is None or abs(a.current_ma) > TIE_CURRENT_MA or abs(b.current_ma) > TIE_CURRENT_MA:
                continue
            if abs(a.voltage_mv - b.voltage_mv) > TIE_BAND_MV:
                continue
        result[home] = (i, j)
    return result


def _group(inputs: Inputs, index: int, now: Instant) -> GroupStatus | None:
    reading = inputs.groups[index] if index < len(inputs.groups) else None
    return reading.value if isinstance(reading, Sample) and now - reading.at <= GROUP_MAX_AGE else None


def _buses(spec: StationSpec, bars: int, joined: list[tuple[int, int]]) -> list[int]:
    """Number the buses that groups and ``bars`` of connectors form through relays: equal number = connected."""
    bus = list(range(len(spec.groups) + bars))
    moved = True
    while moved:
        moved = False
        for i, j in joined:
            if bus[i] != bus[j]:
                bus[i] = bus[j] = min(bus[i], bus[j])
                moved = True
    return bus


def _is_closed(b: BoardStatus | None) -> bool:
    return b is not None and b.contactor is ContactorFeedback.CLOSED


def _alone(
    evse_id: int,
    node: dict[int, int],
    bus: list[int],
    boards: dict[int, BoardStatus | None],
    commands: dict[int, BoardCommand],
) -> bool:
    """G11: no other EVSE of the same bus has its output connected, or not known to be open."""
    if len(set(bus)) == len(bus):
        return True
    number = {evse: bus[i] for evse, i in node.items()}
    for other, its in number.items():
        if other != evse_id and its == number.get(evse_id, -1):
            b = boards.get(other)
            if commands[other].contactor_lease or b is None or b.contactor is not ContactorFeedback.OPEN:
                return False
    return True


def _groups(
    spec: StationSpec,
    groups: tuple[GroupCommand, ...],
    leased: set[int],
    specs: dict[int, EvseSpec],
    boards: dict[int, BoardStatus | None],
    commands: dict[int, BoardCommand],
    bus: list[int],
) -> tuple[GroupCommand, ...]:
    """G8, G12 and the shared budget of each owner; a bus with two owners is switched off."""
    owners: dict[int, set[int]] = {}
    left: dict[int, int] = {}
    for i, g in enumerate(groups):
        if g.on and i < len(bus):
            owners.setdefault(bus[i], set()).add(g.owner)
    result = []
    for i, g in enumerate(groups):
        if not g.on:
            result.append(g)
            continue
        b = boards.get(g.owner)
        if g.owner not in leased or b is None or i >= len(bus) or len(owners[bus[i]]) > 1:
            result.append(GroupCommand(group_id=g.group_id, owner=g.owner))
            continue
        e, rating = specs[g.owner], spec.groups[i]
        voltage = min(g.voltage_mv, e.voltage_max_mv, rating.voltage_max_mv)
        if g.owner not in left:
            left[g.owner] = _current_budget_ma(e, b, commands[g.owner])
        current = max(0, min(g.current_ma, left[g.owner], rating.modules * rating.module_current_max_ma))
        left[g.owner] -= current
        result.append(
            g
            if voltage == g.voltage_mv and current == g.current_ma
            else replace(g, voltage_mv=voltage, current_ma=current)
        )
    return tuple(result)


def _current_budget_ma(e: EvseSpec, b: BoardStatus, command: BoardCommand) -> int:
    """What all groups of an owner may carry together: rating and offered power at the present voltage."""
    if b.step in _BEFORE_LOOP:
        return min(PRE_CHARGE_MA, e.current_max_ma)
    by_power = max(0, command.offered_w) * 1_000_000 // max(b.output_mv, e.voltage_min_mv)
    return min(e.current_max_ma, by_power)
