"""The laws of the charging core, checked on every tick of every suite. Ids are used in docs/safety.md.

`check_laws` looks at one tick; `LawBook` adds what needs memory (a transaction ends once, event numbers).
"""

from __future__ import annotations

from typing import NoReturn

import msgspec

from evse.core.gate import gate
from evse.core.inputs import Inputs
from evse.core.outputs import CloseTransaction, OpenTransaction, Outputs
from evse.core.state import StationState
from evse.core.tick import tick
from evse.domain.ac import AcSpec, FeedbackType, LockMode
from evse.domain.fault_table import FAULTS
from evse.domain.faults import FaultCode, LatchRule, Reaction
from evse.domain.limits import LimitSource
from evse.domain.readings import Sample
from evse.domain.signals import BoardStatus, ContactorFeedback, CpState, LockState
from evse.domain.station import EvseKind, EvseSpec, StationSpec, Topology
from evse.units import NS_PER_MS, Instant
from tests._support import laws_matrix

TIE_MA = 2_000
TIE_MV = 20_000


def law(condition: bool, number: int, text: str) -> None:
    """`broken` unless ``condition``. A text with values in it is made where the law is broken, not on every tick."""
    if not condition:
        broken(number, text)


def broken(number: int, text: str) -> NoReturn:
    """Raise AssertionError "Lnn: text"."""
    raise AssertionError(f"L{number:02d}: {text}")


def fresh_board(spec: StationSpec, inputs: Inputs, evse_id: int, now: Instant) -> BoardStatus | None:
    """Return the status of a board that may be believed, else None."""
    for given in inputs.evses:
        if given.evse_id == evse_id:
            reading = given.board
            if isinstance(reading, Sample) and now - reading.at <= spec.board_max_age_ms * NS_PER_MS:
                return reading.value
            return None
    return None


def check_laws(
    spec: StationSpec,
    before: StationState,
    inputs: Inputs,
    outputs: Outputs,
    gated: Outputs,
    after: StationState,
    now: Instant,
    *,
    deep: bool = True,
) -> None:
    """Check one tick. ``deep`` adds determinism and the round trip of the state (slower)."""
    _lease_laws(spec, inputs, gated, now)
    _reduction_laws(outputs, gated)
    _emergency_laws(spec, after, outputs)
    _power_laws(spec, inputs, gated, now)
    if spec.topology is Topology.MATRIX:
        for text in laws_matrix.problems(spec, before, inputs, gated, after, now):
            law(False, 16, text)
    else:
        _tie_laws(spec, inputs, gated, now)
    _memory_laws(spec, before, inputs, outputs, after)
    if deep:
        again = tick(spec, before, inputs, now)
        law(again == (after, outputs), 13, "tick called twice with equal arguments gives different results")
        law(
            gate(spec, outputs, inputs, now) == gated,
            13,
            "gate called twice with equal arguments gives different results",
        )
        raw = msgspec.msgpack.encode(after)
        law(msgspec.msgpack.decode(raw, type=StationState) == after, 14, "state does not survive encode and decode")
        ac = sum(e.kind is EvseKind.AC for e in spec.evses)
        most = 3_000 * (1 + len(spec.evses) + len(spec.groups)) + 6_000 * ac
        if len(raw) >= most:
            broken(15, f"state has {len(raw)} bytes: not bounded")


def _lease_laws(spec: StationSpec, inputs: Inputs, gated: Outputs, now: Instant) -> None:
    pressed = [
        e.evse_id for e in spec.evses if (b := fresh_board(spec, inputs, e.evse_id, now)) is not None and b.estop
    ]
    leased: set[int] = set()
    for out in gated.evses:
        b = fresh_board(spec, inputs, out.evse_id, now)
        if not out.board.contactor_lease:
            continue
        leased.add(out.evse_id)
        if pressed:
            broken(1, f"EVSE {out.evse_id}: lease although the emergency stop of {pressed} is pressed")
        if b is None:
            broken(2, f"EVSE {out.evse_id}: lease without a fresh board")
        if b.cp not in (CpState.C, CpState.D):
            broken(3, f"EVSE {out.evse_id}: lease in pilot state {b.cp.value}")
        e = next(e for e in spec.evses if e.evse_id == out.evse_id)
        if b.lock is LockState.UNLOCKED and has_lock(e):
            broken(4, f"EVSE {out.evse_id}: lease with an unlocked connector")
        if not has_feedback(e, b):
            broken(5, f"EVSE {out.evse_id}: lease with unknown feedback")
        closed = is_closed(e, b)
        if closed and not b.lease_active:
            broken(5, f"EVSE {out.evse_id}: lease on a welded contactor")
        if inputs.loop_fault:
            broken(6, f"EVSE {out.evse_id}: lease although the loop has a fault")
        stored = inputs.storage_ok or spec.charge_without_storage
        if not stored and not closed:
            broken(7, f"EVSE {out.evse_id}: closes without storage")
    for group in gated.groups:
        if group.on and group.owner not in leased:
            broken(8, f"group {group.group_id} is on for {group.owner}, which has no lease")


def has_lock(e: EvseSpec) -> bool:
    """Return True when energy needs a locked connector."""
    return e.kind is EvseKind.DC or (e.ac is None) or (e.ac.socket and e.ac.lock_mode is not LockMode.NEVER)


def has_feedback(e: EvseSpec, b: BoardStatus) -> bool:
    """Return True when the auxiliary contact says something, or there is none."""
    none = e.kind is EvseKind.AC and e.ac is not None and e.ac.contactor_feedback is FeedbackType.NONE
    return none or b.contactor is not ContactorFeedback.UNKNOWN


def is_closed(e: EvseSpec, b: BoardStatus) -> bool:
    """Return True when the output contactor is closed by its auxiliary contact, without one by the board's word."""
    if e.kind is EvseKind.DC:
        return b.contactor is ContactorFeedback.CLOSED
    kind = (e.ac or AcSpec()).contactor_feedback
    if kind is FeedbackType.NONE:
        return b.lease_active
    return b.contactor is (ContactorFeedback.CLOSED if kind is FeedbackType.NO else ContactorFeedback.OPEN)


def _reduction_laws(outputs: Outputs, gated: Outputs) -> None:
    law(
        len(outputs.evses) == len(gated.evses) and len(outputs.groups) == len(gated.groups), 9, "the gate drops outputs"
    )
    for a, b in zip(outputs.evses, gated.evses, strict=True):
        less = (
            b.board.contactor_lease <= a.board.contactor_lease
            and b.board.tie_close <= a.board.tie_close
            and b.board.contacts & ~a.board.contacts == 0
            and b.board.isolation_test <= a.board.isolation_test
            and b.board.offered_w <= a.board.offered_w
            and b.board.offered_ma <= a.board.offered_ma
            and b.board.offered_mv <= a.board.offered_mv
        )
        if not less:
            broken(9, f"EVSE {a.evse_id}: the gate added energy")
        same = a.board.lock == b.board.lock and a.board.stop == b.board.stop and a.board.emergency == b.board.emergency
        if not same:
            broken(9, f"EVSE {a.evse_id}: the gate changed lock or stop")
    for x, y in zip(outputs.groups, gated.groups, strict=True):
        if y.on > x.on or y.voltage_mv > x.voltage_mv or y.current_ma > x.current_ma:
            broken(9, f"group {x.group_id}: the gate added energy")
    law(outputs.events == gated.events and outputs.effects == gated.effects, 9, "the gate changed events or effects")


def _emergency_laws(spec: StationSpec, after: StationState, outputs: Outputs) -> None:
    station = any(_emergency(r.code) and r.present for r in after.faults)
    for evse, out in zip(after.evses, outputs.evses, strict=True):
        if station or any(_emergency(r.code) and r.present for r in evse.faults):
            if out.board.contactor_lease:
                broken(10, f"EVSE {evse.evse_id}: lease on the tick of an EMERGENCY fault")
            on = [g.group_id for g in outputs.groups if g.on and g.owner == evse.evse_id]
            if on:
                broken(10, f"EVSE {evse.evse_id}: groups {on} on during an EMERGENCY fault")


def _emergency(code: FaultCode) -> bool:
    return FAULTS[code].reaction is Reaction.EMERGENCY


def site_budget_w(spec: StationSpec, inputs: Inputs, now: Instant) -> int | None:
    """Smallest site cap in force at the DC side, in W."""
    whole = site_w(spec, inputs, now)
    return None if whole is None else whole * spec.efficiency_permille // 1000


def site_w(spec: StationSpec, inputs: Inputs, now: Instant) -> int | None:
    """Smallest site cap in force at the AC side, in W."""
    live = [x for x in inputs.limits if x.evse_id == 0 and not (x.expires_at is not None and x.expires_at <= now)]
    values = [x.power_w for x in live]
    if spec.site_limit_w and LimitSource.SITE not in {x.source for x in live}:
        values.append(spec.site_limit_w)
    return max(0, min(values)) if values else None


def _power_laws(spec: StationSpec, inputs: Inputs, gated: Outputs, now: Instant) -> None:
    budget = site_budget_w(spec, inputs, now)
    kinds = {e.evse_id: e.kind for e in spec.evses}
    leased = [o for o in gated.evses if o.board.contactor_lease]
    total = sum(o.board.offered_w for o in leased if kinds[o.evse_id] is EvseKind.DC)
    if budget is not None and total > budget:
        broken(11, f"offered {total} W, site allows {budget} W")
    ac = sum(o.board.offered_w for o in leased if kinds[o.evse_id] is EvseKind.AC)
    site = site_w(spec, inputs, now)
    whole = total * 1000 + ac * spec.efficiency_permille
    if site is not None and ac and whole > site * spec.efficiency_permille:
        broken(11, f"offered {ac} W AC and {total} W DC of {site} W")
    for e in spec.evses:
        b = fresh_board(spec, inputs, e.evse_id, now)
        mine = [g for g in gated.groups if g.on and g.owner == e.evse_id]
        current = sum(g.current_ma for g in mine)
        if current > e.current_max_ma:
            broken(12, f"EVSE {e.evse_id}: {current} mA commanded, rated {e.current_max_ma} mA")
        for g in mine:
            if not (0 <= g.voltage_mv <= e.voltage_max_mv):
                broken(12, f"EVSE {e.evse_id}: {g.voltage_mv} mV commanded, rated {e.voltage_max_mv} mV")
        if b is not None and mine and current > TIE_MA:
            offered = next(o.board.offered_w for o in gated.evses if o.evse_id == e.evse_id)
            power = b.output_mv * current // 1_000_000
            if power > offered:
                broken(11, f"EVSE {e.evse_id}: {power} W commanded, {offered} W offered")


def _tie_laws(spec: StationSpec, inputs: Inputs, gated: Outputs, now: Instant) -> None:
    n = len(spec.groups)
    for i in range(n):
        home = spec.groups[i].home_evse
        out = next((o for o in gated.evses if o.evse_id == home), None)
        if out is None or not out.board.tie_close or home is None or n < 2:
            continue
        b = fresh_board(spec, inputs, home, now)
        if b is None:
            broken(16, f"tie {i} commanded through an unreadable board")
        if b is None or b.tie_closed:
            continue
        pair = [inputs.groups[k] for k in (i, (i + 1) % n) if k < len(inputs.groups)]
        values = [r.value for r in pair if isinstance(r, Sample)]
        if len(values) != 2:
            broken(16, f"tie {i} closes although a group is not readable")
        if not all(abs(v.current_ma) <= TIE_MA for v in values):
            broken(16, f"tie {i} closes under current")
        if abs(values[0].voltage_mv - values[1].voltage_mv) > TIE_MV:
            broken(16, f"tie {i} closes at unequal voltage")


def _memory_laws(
    spec: StationSpec, before: StationState, inputs: Inputs, outputs: Outputs, after: StationState
) -> None:
    plugged = {e.evse_id: e.plugged for e in after.evses}
    cleared = {
        e.data.get("code")
        for e in outputs.events
        if e.kind == "fault.cleared" and e.data.get("by") in ("technician", "retry")
    }
    for was, now_is in zip(before.evses, after.evses, strict=True):
        if was.tx_open and now_is.session_id == was.session_id and now_is.meter_wh < was.meter_wh:
            broken(17, f"EVSE {was.evse_id}: register fell from {was.meter_wh} to {now_is.meter_wh} Wh")
        for record in was.faults:
            kept = any(r.code is record.code for r in now_is.faults)
            latch = FAULTS[record.code].latch
            allowed = (
                latch is LatchRule.AUTO
                or (latch is LatchRule.UNPLUG and not plugged[was.evse_id])
                or record.code.value in cleared
            )
            if not kept and not allowed:
                broken(18, f"EVSE {was.evse_id}: latched {record.code.name} went away by itself")
        codes = [r.code for r in now_is.faults]
        law(len(codes) == len(set(codes)) and len(now_is.past) <= len(FaultCode), 15, "more than one record per fault")
    for record in before.faults:
        if FAULTS[record.code].latch is LatchRule.MANUAL:
            kept = any(r.code is record.code for r in after.faults)
            if not kept and record.code.value not in cleared:
                broken(18, f"station: latched {record.code.name} went away by itself")
    numbers = [e.seq for e in outputs.events]
    law(numbers == list(range(before.event_seq + 1, after.event_seq + 1)), 19, "event numbers have gaps")


class LawBook:
    """Laws with memory, for one station over its life."""

    def __init__(self, deep_every: int = 7) -> None:
        self.open: dict[int, str] = {}
        self.ended: set[str] = set()
        self._ticks = 0
        self._deep_every = deep_every

    def check(
        self,
        spec: StationSpec,
        before: StationState,
        inputs: Inputs,
        outputs: Outputs,
        gated: Outputs,
        after: StationState,
        now: Instant,
    ) -> None:
        """Check one tick and what it adds to the story."""
        self._ticks += 1
        check_laws(spec, before, inputs, outputs, gated, after, now, deep=self._ticks % self._deep_every == 0)
        for effect in outputs.effects:
            if isinstance(effect, OpenTransaction):
                if effect.evse_id in self.open:
                    broken(20, f"EVSE {effect.evse_id}: a second transaction while one is open")
                if effect.session.session_id in self.ended:
                    broken(20, f"session {effect.session.session_id} is used twice")
                law(effect.session.meter_start_wh is not None, 20, "a transaction starts without a meter value")
                self.open[effect.evse_id] = effect.session.session_id
            elif isinstance(effect, CloseTransaction):
                if self.open.pop(effect.evse_id, None) != effect.session.session_id:
                    broken(20, f"EVSE {effect.evse_id}: ends what is not open")
                law(
                    effect.session.stop_reason is not None and effect.session.meter_stop_wh is not None,
                    20,
                    "an end without reason or meter",
                )
                law((effect.session.meter_stop_wh or 0) >= (effect.session.meter_start_wh or 0), 17, "negative energy")
                self.ended.add(effect.session.session_id)
        for evse in after.evses:
            if (evse.evse_id in self.open) is not evse.tx_open:
                broken(20, f"EVSE {evse.evse_id}: state and effects disagree about the transaction")
        for out in gated.evses:
            if out.board.contactor_lease:
                stored = next(e.tx_stored for e in after.evses if e.evse_id == out.evse_id)
                if not stored and inputs.storage_ok:
                    broken(21, f"EVSE {out.evse_id}: energised before the start is durable")
