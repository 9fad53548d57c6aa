"""Event actions within a tick: what the rules are told of an EVSE, and what they want of it.

`step` runs once per tick, after the machines and before limits and outputs. What it decides for outputs and for the limit
holds on the same tick; what it decides for release, lock and external release is taken up by `carry_out`, before the
machines, and by the modules concerned on the next one. The engine itself is `evse.core.rule_engine`.

Powers of a rule: it can release only in release mode ``remote``, withdraw any release, take away current and service, and
ask for the lock. It never closes a contactor and never lifts a limit.
"""

from __future__ import annotations

from evse.core import availability, release
from evse.core.ac import limits, proximity
from evse.core.ac.memory import AcWork
from evse.core.context import TEXT_MAX, Conn, Tick
from evse.core.inputs import NoteTeaching, SetOutput
from evse.core.release import refuse
from evse.core.rule_engine import RuleMemory, evaluate, levels
from evse.core.state import AuthState, Stage
from evse.domain.ac import PilotMode
from evse.domain.fault_table import FAULTS
from evse.domain.faults import FaultCode
from evse.domain.limits import LimitSource
from evse.domain.rules import (
    CONTACTOR_FAULTS,
    EMERGENCY_STOP_TEXT,
    EXTERNAL_FAULTS,
    SLOT_EXTERNAL,
    SLOT_RELEASE,
    Rule,
    RuleEvent,
    RuleFacts,
    RuleStation,
)
from evse.domain.session import AuthSource, StopReason
from evse.domain.signals import CpState
from evse.domain.station import EvseKind, StationSpec

OUTSIDE = frozenset(
    {
        LimitSource.SITE, LimitSource.OCPP_STATIC, LimitSource.CSMS, LimitSource.PLAN, LimitSource.USER,
        LimitSource.DYNAMIC, LimitSource.FALLBACK, LimitSource.FAILSAFE,
    }
)  # fmt: skip
"""Limits that come from outside the charging point: "reduced for external reasons". Not the rules themselves: a rule that
reduces because nothing is reduced would flicker."""

TOKEN = "RULE"
"""Identifier of a transaction that a rule has released."""

TEACHING = {"in": RuleEvent.TEACH_IN, "out": RuleEvent.TEACH_OUT, "failed": RuleEvent.TEACH_IN_FAILED}

LEVELS = ("high", "low", "floating", "rules")


def of_evse(spec: StationSpec, evse_id: int) -> list[Rule]:
    """Return the rules of one EVSE, in their order."""
    return [rule for rule in spec.rules if not rule.evse_id or rule.evse_id == evse_id]


def carry_out(t: Tick) -> None:
    """Before the machines: `observe` for every AC EVSE."""
    for conn in t.conns:
        if conn.spec.kind is EvseKind.AC:
            observe(t, conn)


def observe(t: Tick, conn: Conn) -> None:
    """Carry out what the rules have decided on the tick before: release, emergency stop, message to the back end."""
    a, w = conn.a, conn.w
    if not t.spec.rules and not a.rule_version:
        return
    number = _writer(a, SLOT_EXTERNAL)
    if a.rule_allowed is False and a.rule_message == EMERGENCY_STOP_TEXT:
        conn.causes.append((FaultCode.EMERGENCY_SHUTDOWN, f"event action {number}: {EMERGENCY_STOP_TEXT}"))
    elif a.rule_allowed is False and a.rule_message:
        conn.causes.append((FaultCode.EVENT_ACTION, f"{a.rule_message} (event action {number})"[:TEXT_MAX]))
    if a.rule_release is False:
        if w.tx_open:
            conn.stop_wanted = conn.stop_wanted or StopReason.LOCAL
        elif w.auth in (AuthState.WAITING, AuthState.GRANTED):
            release.forget(conn)
    elif a.rule_release is None and AuthSource.RULE in (w.source if w.tx_open else None, w.auth_source):
        if w.tx_open:  # the rule that has released does so no longer
            conn.stop_wanted = conn.stop_wanted or StopReason.LOCAL
        else:
            release.forget(conn)
    elif a.rule_release is True:
        _grant(t, conn)


def _grant(t: Tick, conn: Conn) -> None:
    """Release an EVSE whose mode leaves that to programs and rules. After the end of a session the rule must trigger anew."""
    w = conn.w
    since = next((run.since for run in conn.a.rule_runs if run.number == _writer(conn.a, SLOT_RELEASE)), 0)
    waits = w.stage is Stage.PLUGGED or (w.stage is Stage.FINISHED and since > w.stage_since)
    nobody = w.auth in (AuthState.NONE, AuthState.DENIED) and not w.reserved_deadline
    if waits and nobody and not release.may_give(conn, AuthSource.RULE) and conn.operative and not conn.blocked:
        release.grant(t, conn, TOKEN, AuthSource.RULE)


def _writer(a: AcWork, slot: int) -> int:
    """Return the number of the rule that decides about ``slot``, 0 = none."""
    return next((number for at, number in a.rule_by if at == slot), 0)


def step(t: Tick) -> None:
    """Go through the rules once for every AC EVSE, and set its outputs."""
    for conn in t.conns:
        if conn.spec.kind is EvseKind.AC:
            if t.spec.rules or conn.a.rule_version:
                _step(t, conn)
            _outputs(t, conn)


def _step(t: Tick, conn: Conn) -> None:
    a = conn.a
    memory = RuleMemory(a.rule_marks, a.rule_runs, a.rule_by)
    if a.rule_version != t.spec.rules_version:  # other rules: nothing that the old ones began goes on
        a.rule_version, memory = t.spec.rules_version, RuleMemory(a.rule_marks)
    mine = of_evse(t.spec, conn.spec.evse_id)
    facts = facts_of(t, conn)
    a.rule_token_invalid = facts.token_invalid
    memory = evaluate(mine, memory, facts, t.now)
    a.rule_marks, a.rule_runs, a.rule_by = memory.marks, memory.runs, memory.by
    wanted = levels(mine, memory, t.now)
    a.rule_release, a.rule_allowed, a.rule_message = wanted.release, wanted.allowed, wanted.message
    a.lock_rule, a.lim_rule_ma = wanted.lock, wanted.limit_ma
    a.out_outputs, a.out_floating, a.out_pulsing = wanted.high, wanted.floating, wanted.pulsing


def _outputs(t: Tick, conn: Conn) -> None:
    """What people and programs have set by hand goes before the rules."""
    a, hand = conn.a, conn.a.out_hand
    if not conn.a.rule_version:
        a.out_outputs = a.out_floating = a.out_pulsing = 0
    if hand:
        a.out_outputs = (a.out_outputs & ~hand) | a.out_hand_high
        a.out_floating = (a.out_floating & ~hand) | a.out_hand_floating
        a.out_pulsing &= ~hand


def set_output(t: Tick, c: SetOutput) -> None:
    """Set a digital output by hand, or give it back to the rules."""
    conn = next((x for x in t.conns if x.spec.evse_id == c.evse_id and x.spec.kind is EvseKind.AC), None)
    if conn is None:
        refuse(t, c.evse_id, "output", c.seq, f"there is no AC EVSE {c.evse_id}")
    elif not 1 <= c.output <= conn.ac.outputs:
        refuse(t, c.evse_id, "output", c.seq, f"output {c.output}: the board has {conn.ac.outputs} digital outputs")
    elif c.level not in LEVELS:
        refuse(t, c.evse_id, "output", c.seq, f"level {c.level[:20]!r}: possible are {', '.join(LEVELS)}")
    else:
        a, bit = conn.a, 1 << (c.output - 1)
        a.out_hand = a.out_hand & ~bit | bit * (c.level != "rules")
        a.out_hand_high = a.out_hand_high & ~bit | bit * (c.level == "high")
        a.out_hand_floating = a.out_hand_floating & ~bit | bit * (c.level == "floating")
        t.event("output.set", c.evse_id, output=c.output, level=c.level)


# -- what the rules are told ----------------------------------------------------------------------------------------


def facts_of(t: Tick, conn: Conn) -> RuleFacts:
    """Return what rules may ask about an EVSE, as this tick knows it."""
    a, w, ab = conn.a, conn.w, conn.ab
    internal, external, contactor = _errors(t, conn)
    happened, invalid = _happened(t, conn)
    return RuleFacts(
        known=conn.b is not None,
        inputs=ab.inputs & ((1 << conn.ac.inputs) - 1),
        input_mv=ab.input_mv,
        pp=a.pp_state,
        cp=conn.b.cp if conn.b is not None else CpState.UNKNOWN,
        pwm=a.cp_mode is PilotMode.PWM,
        plug=proximity.plug_in(conn) if conn.ac.socket else None,
        vehicle=w.plugged,
        station=station_of(conn),
        error_internal=internal,
        error_external=external,
        contactor_failure=contactor,
        derating=limits.derating(conn),
        release=w.auth is AuthState.GRANTED or w.tx_open,
        allowed=conn.operative and availability.allowed(conn),
        authorizing=w.auth is AuthState.WAITING,
        token_invalid=invalid,
        reduced=_reduced(conn),
        backend=t.inputs.backend_online,
        serviceable=conn.operative and not conn.blocked,
        happened=happened,
    )


def station_of(conn: Conn) -> RuleStation:
    """Return the state of the charging point in the words of OCPP 1.6."""
    w = conn.w
    if conn.blocked:
        return RuleStation.FAULTED
    if not conn.operative:
        return RuleStation.UNAVAILABLE
    match w.stage:
        case Stage.EMPTY if w.auth is AuthState.GRANTED:
            return RuleStation.PREPARING
        case Stage.EMPTY:
            return RuleStation.RESERVED if w.reserved_deadline else RuleStation.AVAILABLE
        case Stage.PLUGGED:
            return RuleStation.PREPARING
        case Stage.AUTHORISED | Stage.CURRENT if w.offered_ma <= 0:
            return RuleStation.SUSPENDED_EVSE
        case Stage.AUTHORISED:
            return RuleStation.SUSPENDED_EV
        case Stage.CURRENT:
            return RuleStation.CHARGING
        case _:
            return RuleStation.FINISHING


def _errors(t: Tick, conn: Conn) -> tuple[bool, bool, bool]:
    """Return (an error of the station, an error of the vehicle, the contactor has failed)."""
    internal = external = contactor = False
    for record in (*t.faults, *conn.w.faults):
        if FAULTS[record.code].faulted:
            external = external or record.code in EXTERNAL_FAULTS
            internal = internal or record.code not in EXTERNAL_FAULTS
            contactor = contactor or record.code in CONTACTOR_FAULTS
    return internal, external, contactor


def _reduced(conn: Conn) -> bool:
    w = conn.w
    offers = w.stage in (Stage.AUTHORISED, Stage.CURRENT)
    return offers and w.limit_source in OUTSIDE and w.offered_ma < limits.physical_ma(conn)


def _happened(t: Tick, conn: Conn) -> tuple[frozenset[RuleEvent], bool]:
    """Return the moments of this tick that no level shows, and whether the last card was refused."""
    found: set[RuleEvent] = set()
    invalid = conn.a.rule_token_invalid
    ids = (0, conn.spec.evse_id)
    for event in t.events:
        if event.evse_id not in ids:
            continue
        if event.kind == "fault.raised" and FAULTS[FaultCode(event.data["code"])].faulted:
            found.add(RuleEvent.NEW_ERROR)
        elif event.kind == "fault.cleared" and FAULTS[FaultCode(event.data["code"])].faulted:
            found.add(RuleEvent.ERROR_RESOLVED)
        elif event.kind == "session.authorised" and event.data.get("source") == AuthSource.RFID.value:
            found.add(RuleEvent.RFID_RELEASE)
            invalid = False
        elif event.kind == "session.denied" and conn.w.auth_source is AuthSource.RFID:
            found.add(RuleEvent.RFID_DENIED)
            invalid = True
    for command in t.inputs.commands:
        if isinstance(command, NoteTeaching) and command.evse_id in ids:
            found.add(TEACHING[command.what])
    return frozenset(found), invalid
