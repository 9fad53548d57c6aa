"""Faults: standing causes are looked for on every tick, records follow the latch rule of the fault table.

A record is *present* while its cause stands. When the cause is gone: AUTO removes it, UNPLUG removes it once the
vehicle has left, MANUAL keeps it until a technician clears it. A technician may clear any record whose cause is gone.
``count`` goes on over activations since start; ``first_seen`` is of the present activation.
"""

from __future__ import annotations

from evse.core import contacts, field
from evse.core.context import GROUP_MAX_AGE, START_GRACE, TEXT_MAX, Conn, Tick
from evse.core.inputs import ClearFault
from evse.core.release import refuse
from evse.core.state import ENERGY_STAGES, Stage
from evse.domain.fault_table import FAULTS
from evse.domain.faults import FaultCode, FaultRecord, LatchRule, Reaction
from evse.domain.session import StopReason
from evse.domain.signals import ContactorFeedback, CpState, HlcStep, IsolationState, LockState
from evse.domain.station import EvseKind
from evse.units import NS_PER_MS, NS_PER_S, Instant, ms, s

SEEN_EVERY = NS_PER_S
"""``last_seen`` of a standing fault moves in steps of a second."""

CONTACTOR_CLOSE_LIMIT = s(3)
"""Commanded to closed (reference plc-serial.md, table of the DC sequence: contactor closing at most 3 s)."""

CONTACTOR_OPEN_LIMIT = s(1)
"""Commanded open to feedback open; the board itself opens within 100 ms, the rest is reporting time."""

LOCK_LIMIT = s(5)
ISOLATION_SETTLE = ms(500)
"""The insulation value counts when the test voltage has stood for this long."""

OVER_VOLTAGE_TIME = ms(400)
OVER_CURRENT_TIME = s(3)
"""Modules need this long for the way from full current to a lower command."""

OVER_VOLTAGE_MARGIN_MV = 10_000
OVER_CURRENT_MARGIN_MA = 5_000
RETRY_CLEARS = frozenset({FaultCode.VEHICLE_COMMUNICATION, FaultCode.BMS_STALE})
"""Faults of the conversation with the vehicle: a new permission may try again without replugging."""

POWER_STATES = (CpState.C, CpState.D)
"""Elsewhere the board opens the contactors by itself, rightly (docs/board-link.md)."""

_FORBIDS = (Reaction.STOP, Reaction.EMERGENCY)


def clearable(record: FaultRecord) -> tuple[bool, str]:
    """Return (True, "") when a technician may clear ``record`` now, else (False, why not)."""
    if record.present:
        return False, f"the cause still stands: {record.detail}"
    return True, ""


def forbids_energy(record: FaultRecord) -> bool:
    """Return True when no transaction may start while ``record`` is active."""
    return FAULTS[record.code].reaction in _FORBIDS and (record.present or record.code not in RETRY_CLEARS)


def station_causes(t: Tick) -> None:
    """Collect the standing causes of the station."""
    pressed = [c.spec.evse_id for c in t.conns if c.b is not None and c.b.estop]
    if pressed:
        t.causes.append(
            (FaultCode.EMERGENCY_STOP, f"emergency stop pressed at the board of EVSE {', '.join(map(str, pressed))}")
        )
    if t.inputs.loop_fault:
        t.causes.append((FaultCode.INTERNAL, t.inputs.loop_fault[:TEXT_MAX]))
    if not t.inputs.storage_ok and not t.spec.charge_without_storage:
        what = f"{t.inputs.storage_code[:TEXT_MAX]}: " if t.inputs.storage_code else ""
        text = f"{what}the database does not accept writes; no transaction may start without a durable record"
        t.causes.append((FaultCode.STORAGE, text))
    if t.inputs.list_conflict:
        text = "the back end has refused a card that its local list accepts; the list has to be sent again"
        t.causes.append((FaultCode.LOCAL_LIST_CONFLICT, text))
    if t.spec.has_site_meter:
        age = t.now - t.site_at
        if age > t.spec.meter_max_age_ms * NS_PER_MS and age > START_GRACE:
            reading = t.inputs.site_meter
            detail = getattr(reading, "detail", "")[:TEXT_MAX]
            t.causes.append(
                (
                    FaultCode.SITE_METER_LOST,
                    f"no site meter value for {t.spec.meter_max_age_ms} ms; {detail}".rstrip("; "),
                )
            )


def evse_causes(t: Tick, conn: Conn) -> None:
    """Collect the standing causes of one EVSE."""
    w, b, now = conn.w, conn.b, t.now
    causes = conn.causes
    if b is None:
        if now - w.board_at > START_GRACE or w.stage is not Stage.EMPTY or now - t.state.started_at > START_GRACE:
            causes.append((FaultCode.BOARD_LOST, f"board of EVSE {conn.spec.evse_id} not readable: {conn.no_board}"))
    else:
        if b.door_open:
            causes.append((FaultCode.DOOR_OPEN, f"door contact of EVSE {conn.spec.evse_id} open"))
        if conn.spec.kind is EvseKind.DC:  # the modules of `evse.core.ac` know the causes of AC EVSEs
            _board_causes(t, conn)
    field.causes(t, conn)
    contacts.causes(t, conn)
    if conn.home >= 0:
        _group_causes(t, conn)
    for i in conn.chain:
        if t.spec.groups[i].home_evse is None:
            _module_causes(t, conn, i)  # a group that is nobody's home: told where it is in use


def _board_causes(t: Tick, conn: Conn) -> None:
    w, b, now, spec = conn.w, conn.b, t.now, conn.spec
    if b is None:
        return
    causes = conn.causes
    if b.temperature_dc is not None:
        limit = spec.derate_start_dc if w.hot else spec.derate_end_dc
        w.hot = b.temperature_dc >= limit
        if w.hot:
            causes.append(
                (
                    FaultCode.CONNECTOR_OVER_TEMPERATURE,
                    (f"connector {b.temperature_dc / 10:.1f} °C, ends at {spec.derate_end_dc / 10:.1f} °C, "
                    f"free below {spec.derate_start_dc / 10:.1f} °C"),
                )
            )
    since = now - w.lease_since
    if not w.lease and b.contactor is ContactorFeedback.CLOSED and since > CONTACTOR_OPEN_LIMIT:
        causes.append(
            (
                FaultCode.CONTACTOR_WELDED,
                (f"feedback closed {CONTACTOR_OPEN_LIMIT // NS_PER_MS} ms after the command to open, "
                f"{b.output_mv} mV at the vehicle"),
            )
        )
    elif (
        w.lease
        and b.contactor is not ContactorFeedback.CLOSED
        and b.cp in POWER_STATES
        and since > CONTACTOR_CLOSE_LIMIT
    ):
        causes.append(
            (
                FaultCode.CONTACTOR_NOT_CLOSED,
                f"feedback {b.contactor.value} {CONTACTOR_CLOSE_LIMIT // NS_PER_MS} ms after the command to close",
            )
        )
    if w.lock is not (b.lock is LockState.LOCKED) and now - w.lock_since > LOCK_LIMIT and (w.lock or w.plugged):
        wanted = "locked" if w.lock else "unlocked"
        causes.append(
            (FaultCode.LOCK_FAILURE, f"lock reports {b.lock.value}, commanded {wanted} for {LOCK_LIMIT // NS_PER_S} s")
        )
    elif w.lease and b.lock is LockState.UNLOCKED:
        causes.append((FaultCode.LOCK_FAILURE, "lock reports unlocked while the output is connected"))
    if b.isolation is IsolationState.FAULT and w.stage in ENERGY_STAGES and (w.iso_since or w.cable_done):
        causes.append(
            (
                FaultCode.INSULATION,
                f"insulation monitor reports a fault: {b.isolation_kohm} kohm, limit {spec.insulation_min_kohm} kohm",
            )
        )
    elif w.stage is Stage.CABLE_CHECK and w.iso_since and not w.iso_ok and now - w.iso_since >= ISOLATION_SETTLE:
        kohm = b.isolation_kohm
        if (
            b.isolation in (IsolationState.VALID, IsolationState.WARNING)
            and kohm is not None
            and kohm < spec.insulation_min_kohm
        ):
            causes.append(
                (
                    FaultCode.INSULATION,
                    f"insulation {kohm} kohm < {spec.insulation_min_kohm} kohm at {b.output_mv // 1000} V",
                )
            )
    if w.stage is Stage.CURRENT and b.step is HlcStep.CURR and b.ev_age_ms > t.spec.bms_max_age_ms:
        causes.append(
            (FaultCode.BMS_STALE, f"last value of the vehicle {b.ev_age_ms} ms old, limit {t.spec.bms_max_age_ms} ms")
        )
    _output_causes(t, conn)


def _output_causes(t: Tick, conn: Conn) -> None:
    """Voltage above the command for 400 ms, or current above it for 3 s, while this EVSE is energised."""
    w, b, now = conn.w, conn.b, t.now
    if b is None or w.stage not in ENERGY_STAGES or w.stage is Stage.RAMP_DOWN or not w.lease:
        w.over_mv_at = w.over_ma_at = 0
        return
    ceiling_mv = min(w.cmd_mv if w.cmd_on else conn.spec.voltage_max_mv, conn.spec.voltage_max_mv)
    ceiling_mv += ceiling_mv // 20 + OVER_VOLTAGE_MARGIN_MV
    w.over_mv_at = _armed(now, w.over_mv_at, b.output_mv > ceiling_mv)
    if w.over_mv_at and now - w.over_mv_at >= OVER_VOLTAGE_TIME:
        conn.causes.append(
            (
                FaultCode.OUTPUT_OUT_OF_RANGE,
                f"output {b.output_mv} mV, commanded {w.cmd_mv} mV, accepted up to {ceiling_mv} mV",
            )
        )
    ceiling_ma = w.cmd_ma + w.cmd_ma // 10 + OVER_CURRENT_MARGIN_MA
    w.over_ma_at = _armed(now, w.over_ma_at, conn.present_known and conn.present_ma > ceiling_ma)
    if w.over_ma_at and now - w.over_ma_at >= OVER_CURRENT_TIME:
        conn.causes.append(
            (
                FaultCode.OUTPUT_OUT_OF_RANGE,
                f"current {conn.present_ma} mA, commanded {w.cmd_ma} mA, accepted up to {ceiling_ma} mA",
            )
        )


def _armed(now: Instant, since: Instant, condition: bool) -> Instant:
    return (since or now) if condition else 0


def _group_causes(t: Tick, conn: Conn) -> None:
    group = t.groups[conn.home]
    group_id = t.spec.groups[conn.home].group_id
    if group is None:
        if t.now - conn.w.group_at > max(START_GRACE, GROUP_MAX_AGE):
            reading = t.inputs.groups[conn.home] if conn.home < len(t.inputs.groups) else None
            detail = getattr(reading, "detail", "")[:TEXT_MAX]
            conn.causes.append(
                (FaultCode.POWER_MODULE_MISSING, f"module group {group_id} does not answer; {detail}".rstrip("; "))
            )
        return
    conn.w.group_at = t.now
    _module_causes(t, conn, conn.home)


def _module_causes(t: Tick, conn: Conn, i: int) -> None:
    group, group_id = t.groups[i], t.spec.groups[i].group_id
    if group is None:
        return
    expected = group.modules_expected
    if group.modules_faulty > 0:
        text = f"group {group_id}: {group.modules_faulty} of {expected} modules faulty: {'; '.join(group.faults)}"
        conn.causes.append((FaultCode.POWER_MODULE_FAILURE, text[:TEXT_MAX]))
    if group.modules_present < expected and t.now - t.state.started_at > START_GRACE:
        names = ", ".join(map(str, group.missing))
        text = f"group {group_id}: {group.modules_present} of {expected} modules answer, missing {names}"
        conn.causes.append((FaultCode.POWER_MODULE_MISSING, text[:TEXT_MAX]))


def update(
    t: Tick,
    evse_id: int,
    records: tuple[FaultRecord, ...],
    past: tuple[FaultRecord, ...],
    causes: list[tuple[FaultCode, str]],
    *,
    plugged: bool,
) -> tuple[tuple[FaultRecord, ...], tuple[FaultRecord, ...]]:
    """Return (records, past) after this tick and tell what was raised and cleared."""
    if not causes and not records:
        return records, past
    standing = dict(reversed(causes))  # the first detail of a code wins
    kept: list[FaultRecord] = []
    for record in records:
        detail = standing.pop(record.code, None)
        if detail is not None:
            again = not record.present
            if again or t.wall - record.last_seen >= SEEN_EVERY or t.wall < record.last_seen:
                record = _record(
                    record.code, evse_id, detail, record.first_seen, t.wall, record.count + again, present=True
                )
                if again:
                    _raised(t, record)
            kept.append(record)
            continue
        latch = FAULTS[record.code].latch
        if latch is LatchRule.AUTO or (latch is LatchRule.UNPLUG and not plugged):
            t.event("fault.cleared", evse_id, code=record.code.value, name=FAULTS[record.code].name, by=latch.value)
            past = _remember(past, record)
        elif record.present:
            kept.append(
                _record(
                    record.code,
                    evse_id,
                    record.detail,
                    record.first_seen,
                    record.last_seen,
                    record.count,
                    present=False,
                )
            )
        else:
            kept.append(record)
    for code, detail in standing.items():
        before = next((p.count for p in past if p.code is code), 0)
        record = _record(code, evse_id, detail, t.wall, t.wall, before + 1, present=True)
        _raised(t, record)
        kept.append(record)
    return tuple(kept), past


def _record(
    code: FaultCode, evse_id: int, detail: str, first: int, last: int, count: int, *, present: bool
) -> FaultRecord:
    return FaultRecord(
        code=code, evse_id=evse_id, detail=detail, first_seen=first, last_seen=last, count=count, present=present
    )


def _raised(t: Tick, record: FaultRecord) -> None:
    spec = FAULTS[record.code]
    t.event(
        "fault.raised",
        record.evse_id,
        code=record.code.value,
        name=spec.name,
        severity=spec.severity.value,
        detail=record.detail,
        count=record.count,
    )


def _remember(past: tuple[FaultRecord, ...], record: FaultRecord) -> tuple[FaultRecord, ...]:
    return (*(p for p in past if p.code is not record.code), record)


def react(t: Tick, conn: Conn) -> Reaction:
    """Return the strongest reaction of active faults; ``conn.blocked`` becomes the name of what forbids energy."""
    conn.blocked = ""
    if not t.faults and not conn.w.faults:
        return Reaction.NONE
    strongest = Reaction.NONE
    for record in (*t.faults, *conn.w.faults):
        spec = FAULTS[record.code]
        if forbids_energy(record):
            conn.blocked = conn.blocked or f"{record.code.value} {spec.name}"
            if strongest is not Reaction.EMERGENCY:
                strongest = spec.reaction
                conn.w.fault = (
                    f"{record.code.value} {spec.name}" if conn.w.tx_open and not conn.w.fault else conn.w.fault
                )
    return strongest


def stop_reason(t: Tick, conn: Conn) -> StopReason:
    """Return the stop reason of the first active fault that forbids energy."""
    for record in (*t.faults, *conn.w.faults):
        if forbids_energy(record):
            return StopReason(FAULTS[record.code].stop_reason)
    return StopReason.OTHER


def clear(t: Tick, c: ClearFault) -> None:
    """Carry out or refuse a technician's wish."""
    conn = t.by_id.get(c.evse_id)
    records = t.faults if c.evse_id == 0 else (conn.w.faults if conn is not None else ())
    record = next((r for r in records if r.code.value == c.code), None)
    if record is None:
        refuse(t, c.evse_id, "clear_fault", c.seq, f"fault {c.code[:20]!r} is not active on EVSE {c.evse_id}")
        return
    allowed, why = clearable(record)
    if not allowed:
        refuse(t, c.evse_id, "clear_fault", c.seq, why)
        return
    _drop(t, conn, record, "technician")


def clear_for_retry(t: Tick, conn: Conn) -> None:
    """A new permission for the same vehicle: forget failed conversations whose cause is gone."""
    for record in conn.w.faults:
        if record.code in RETRY_CLEARS and not record.present:
            _drop(t, conn, record, "retry")


def _drop(t: Tick, conn: Conn | None, record: FaultRecord, by: str) -> None:
    t.event("fault.cleared", record.evse_id, code=record.code.value, name=FAULTS[record.code].name, by=by)
    if conn is None:
        t.faults = tuple(r for r in t.faults if r is not record)
        t.past = _remember(t.past, record)
    else:
        conn.w.faults = tuple(r for r in conn.w.faults if r is not record)
        conn.w.past = _remember(conn.w.past, record)
