"""One tick of the charging core: ``tick(spec, state, inputs, now) -> (state, outputs)``.

Pure, deterministic and total: no clock, no I/O, no randomness, no exception for any `Inputs`. Order: readings,
commands, faults, machines, power path, event actions, limits, lamps, levels, transactions, views of change.
Faults found on a tick act on that tick.
"""

from __future__ import annotations

from evse.core import (
    availability,
    contacts,
    faults,
    leds,
    limits,
    machine_dc,
    power_path,
    release,
    rules,
    session,
    signing,
)
from evse.core.ac import limits as ac_limits
from evse.core.ac import memory, outputs, release_ac, step
from evse.core.context import Conn, Tick
from evse.core.inputs import (
    MAX_COMMANDS_PER_TICK,
    AnyCommand,
    AuthorizeResult,
    CalendarSet,
    ClearFault,
    ForceUnlock,
    HlcRequest,
    Inputs,
    MeterSigned,
    NoteTeaching,
    ReserveEvse,
    SetAvailability,
    SetChargingAllowed,
    SetDynamicLimit,
    SetOutput,
    SetPermission,
    SetPhases,
    SetVentilation,
    StartSession,
    StopSession,
    TestRcd,
    TokenPresented,
    TransactionNumbered,
    TransactionStored,
    UnlockConnector,
)
from evse.core.outputs import EvseOutput, Outputs
from evse.core.state import ENERGY_STAGES, AuthState, AvailabilityCell, Stage, StationState, freeze, initial_state
from evse.core.view import phase_of
from evse.domain.session import SessionPhase, StopReason
from evse.domain.signals import Authorization, BoardCommand
from evse.domain.station import EvseKind, StationSpec
from evse.units import Instant, s

PERMIT_AFTER_END = s(5)
"""After the end the vehicle may finish SessionStop; then digital communication waits for a new permission."""


def tick(spec: StationSpec, state: StationState, inputs: Inputs, now: Instant) -> tuple[StationState, Outputs]:
    """Return the next state and everything decided on this tick."""
    t = Tick(spec, state, inputs, now)
    t.read()
    power_path.measure(t)
    _previous_blocks(t)
    for command in inputs.commands[:MAX_COMMANDS_PER_TICK]:
        _command(t, command)
    for command in inputs.commands[MAX_COMMANDS_PER_TICK:]:
        release.refuse(
            t, 0, type(command).__name__, command.seq, f"more than {MAX_COMMANDS_PER_TICK} commands on one tick"
        )
    faults.station_causes(t)
    t.faults, t.past = faults.update(t, 0, t.faults, t.past, t.causes, plugged=any(c.w.plugged for c in t.conns))
    rules.carry_out(t)
    for conn in t.conns:
        if conn.spec.kind is EvseKind.DC:
            _machine(t, conn)
        else:
            step.step(t, conn)
    power_path.step(t)
    power_path.available(t)
    rules.step(t)
    limits.apply(t)
    leds.step(t)
    groups = power_path.commands(t)
    requests = tuple(limits.request(t, c) for c in t.conns if c.spec.kind is EvseKind.DC)
    boards = []
    for conn in t.conns:
        board = _board(t, conn) if conn.spec.kind is EvseKind.DC else outputs.board(t, conn, _led(conn))
        boards.append(EvseOutput(evse_id=conn.spec.evse_id, board=board))
        _publish(t, conn)
        if conn.spec.kind is EvseKind.AC:
            conn.w.ac = memory.freeze(conn.a, conn.w.ac)
    evses = tuple(freeze(c.w, before) for c, before in zip(t.conns, state.evses, strict=False))
    after = StationState(
        evses=evses,
        owners=tuple(t.owners),
        ties=tuple(t.ties),
        faults=t.faults,
        past=t.past,
        availability=tuple(t.availability),
        event_seq=t.seq,
        started_at=state.started_at,
        site_meter_at=t.site_at,
        last_tick=now,
    )
    return after, Outputs(
        evses=tuple(boards), groups=groups, events=tuple(t.events), effects=tuple(t.effects), requests=requests
    )


def _previous_blocks(t: Tick) -> None:
    """Availability and blocking faults as they stood: commands are judged by them."""
    if len(t.availability) != len(t.conns) + 1:  # a state of another station file: everybody Operative
        t.availability = [AvailabilityCell()] * (len(t.conns) + 1)
    for conn in t.conns:
        availability.apply(t, conn)
        faults.react(t, conn)


def _machine(t: Tick, conn: Conn) -> None:
    w = conn.w
    machine_dc.plug(t, conn)
    session.meter(t, conn)
    faults.evse_causes(t, conn)
    w.faults, w.past = faults.update(t, conn.spec.evse_id, w.faults, w.past, conn.causes, plugged=w.plugged)
    availability.apply(t, conn)
    machine_dc.advance(t, conn, faults.react(t, conn))
    release.expire(t, conn)
    machine_dc.act(t, conn)
    session.settle(t, conn)


def _command(t: Tick, c: AnyCommand) -> None:
    match c:
        case TokenPresented():
            release.token_presented(t, c)
        case AuthorizeResult():
            release.authorize_result(t, c)
        case StartSession():
            release.start_session(t, c)
        case StopSession():
            release.stop_session(t, c)
        case SetAvailability():
            availability.set_availability(t, c)
            for conn in t.conns:
                availability.apply(t, conn)
        case ClearFault():
            faults.clear(t, c)
            for conn in t.conns:
                faults.react(t, conn)
        case UnlockConnector():
            _unlock(t, c)
        case ReserveEvse():
            release.reserve(t, c)
        case TransactionStored():
            _stored(t, c)
        case MeterSigned():
            signing.answered(t, c)
        case TransactionNumbered():
            release.transaction_numbered(t, c)
        case SetDynamicLimit():
            ac_limits.set_dynamic(t, c)
        case SetPermission():
            release_ac.permission(t, c)
        case SetOutput():
            rules.set_output(t, c)
        case CalendarSet():
            session.calendar_set(t, c)
        case NoteTeaching():
            pass  # `rules.step` reads it
        case SetChargingAllowed() | SetPhases() | SetVentilation() | ForceUnlock() | TestRcd() | HlcRequest():
            step.command(t, c)


def _unlock(t: Tick, c: UnlockConnector) -> None:
    """A running transaction is stopped first; the lock of a DC EVSE opens by itself below 60 V."""
    conn = t.by_id.get(c.evse_id)
    if conn is None:
        release.refuse(t, c.evse_id, "unlock", c.seq, f"there is no EVSE {c.evse_id}")
        return
    if conn.spec.kind is EvseKind.AC:
        step.unlock(t, conn, c)
        return
    t.event("connector.unlock_requested", c.evse_id, stops=conn.w.tx_open)
    if conn.w.tx_open:
        conn.stop_wanted = StopReason.OTHER


def _stored(t: Tick, c: TransactionStored) -> None:
    conn = t.by_id.get(c.evse_id)
    if conn is None or conn.w.session_id != c.session_id or not conn.w.started_at:
        release.refuse(
            t,
            c.evse_id,
            "transaction_stored",
            c.seq,
            f"session {c.session_id[: release.TOKEN_MAX]} is not the running one",
        )
        return
    conn.w.tx_stored = True


def _board(t: Tick, conn: Conn) -> BoardCommand:
    """Complete levels for one board."""
    w, spec, stage = conn.w, conn.spec, conn.w.stage
    ended = stage is Stage.FINISHED and t.now - w.stage_since >= PERMIT_AFTER_END
    permit = conn.operative and not conn.blocked and not ended
    if stage in (Stage.RAMP_DOWN, Stage.DISCHARGE):
        permit = True  # the protocol is brought to its end
    authorization = Authorization.NONE
    if w.tx_open and not w.settle_at:
        authorization = Authorization.GRANTED
    elif w.auth is not AuthState.NONE:
        authorization = Authorization.ONGOING
    offered_mv = spec.voltage_max_mv
    if conn.home >= 0:
        offered_mv = min(offered_mv, t.spec.groups[conn.home].voltage_max_mv)
    return BoardCommand(
        permit=permit,
        authorization=authorization,
        contactor_lease=w.lease,
        lock=w.lock,
        isolation_test=stage is Stage.CABLE_CHECK and w.lease and not w.iso_ok,
        cable_check_done=w.cable_done and stage in ENERGY_STAGES,
        offered_mv=offered_mv if w.tx_open else 0,
        offered_ma=w.offered_ma,
        offered_w=w.offered_w,
        present_mv=conn.voltage_mv,
        present_ma=conn.present_ma if w.lease else 0,
        stop=stage is Stage.RAMP_DOWN or (stage is Stage.DISCHARGE and not w.emergency),
        emergency=stage is Stage.DISCHARGE and w.emergency,
        tie_close=bool(t.ties) and power_path.tie_close(t, conn),
        contacts=contacts.levels(t, conn),
        led=_led(conn),
        restart_slac=t.now < w.restart_until and stage is Stage.AUTHORISED,
    )


def _led(conn: Conn) -> int:
    """Return 0 off, 1 available, 2 occupied, 3 charging, 4 fault, 5 out of service, 6 authorising."""
    w = conn.w
    if conn.blocked:
        return 4
    if not conn.operative:
        return 5
    if w.stage is Stage.CURRENT:
        return 3
    if w.auth is AuthState.WAITING:
        return 6
    return 1 if w.stage is Stage.EMPTY else 2


def _publish(t: Tick, conn: Conn) -> None:
    """Tell every change that people or back ends see: HLC step, phase."""
    w = conn.w
    step = conn.b.step if conn.b is not None else None
    if step is not w.step:
        w.step = step
        t.event("step.changed", conn.spec.evse_id, step=step.value if step is not None else None)
    phase = phase_of(w, conn.b, operative=conn.operative, blocked=bool(conn.blocked), kind=conn.spec.kind)
    if phase is not w.phase:
        before, w.phase = w.phase, phase
        t.event("phase.changed", conn.spec.evse_id, phase=phase.value, before=before.value)
    if phase is SessionPhase.IDLE:
        w.waiting_for = "a vehicle"


__all__ = ["initial_state", "tick"]
