"""One AC EVSE within a tick, and the commands that only AC EVSEs know.

Order: pilot, vehicle, cable, meter, permission, protection; then faults; then machine and levels. What a module finds on
this tick acts on this tick. Limits, pilot and lamps come after all EVSEs (`evse.core.tick`, `evse.core.ac.outputs`).
"""

from __future__ import annotations

from evse.core import availability, faults, release, session
from evse.core.ac import (
    contactor,
    cp,
    emergency,
    hlc,
    hlc_board,
    limits,
    lock,
    machine,
    over_current,
    phases,
    proximity,
    rcd,
    release_ac,
    ventilation,
)
from evse.core.context import Conn, Tick
from evse.core.inputs import (
    ForceUnlock,
    HlcRequest,
    SetChargingAllowed,
    SetPhases,
    SetVentilation,
    TestRcd,
    UnlockConnector,
)
from evse.domain.ac import LockMode
from evse.domain.session import StopReason
from evse.domain.station import EvseKind


def step(t: Tick, conn: Conn) -> None:
    """Advance one AC EVSE by one tick, up to the levels that do not depend on other EVSEs."""
    w = conn.w
    measure(conn)
    cp.observe(t, conn)
    machine.plug(t, conn)
    proximity.observe(t, conn)
    emergency.observe(conn)
    session.meter(t, conn)
    release_ac.observe(t, conn)
    rcd.observe(t, conn)
    lock.observe(t, conn)
    contactor.observe(t, conn)
    ventilation.observe(t, conn)
    limits.observe(t, conn)
    over_current.observe(t, conn)
    hlc.observe(t, conn)
    faults.evse_causes(t, conn)
    w.faults, w.past = faults.update(t, conn.spec.evse_id, w.faults, w.past, conn.causes, plugged=w.plugged)
    availability.apply(t, conn)
    machine.advance(t, conn, faults.react(t, conn))
    release.expire(t, conn)
    machine.act(t, conn)
    session.settle(t, conn)


def measure(conn: Conn) -> None:
    """Take the largest phase current of the meter as the current at the vehicle."""
    drawn = over_current.drawn_ma(conn)
    conn.present_known = drawn is not None
    conn.present_ma = 0 if drawn is None else max(0, drawn)


AcOnly = SetChargingAllowed | SetPhases | SetVentilation | ForceUnlock | TestRcd | HlcRequest


def command(t: Tick, c: AcOnly) -> None:
    """Carry out a command for one AC EVSE, or refuse it with the reason."""
    conn = t.by_id.get(c.evse_id)
    if conn is None or conn.spec.kind is not EvseKind.AC:
        release.refuse(t, c.evse_id, NAMES[type(c)], c.seq, f"there is no AC EVSE {c.evse_id}")
        return
    match c:
        case SetChargingAllowed():
            conn.a.cp_allowed = c.allowed
            t.event("charging.allowed", c.evse_id, allowed=c.allowed, origin=c.origin[:20])
        case SetPhases():
            phases.command(t, conn, c, basic=hlc.wants_basic(conn))
        case SetVentilation():
            ventilation.command(t, conn, c)
        case ForceUnlock():
            lock.force(t, conn, c)
        case TestRcd():
            rcd.request_test(t, conn, c)
        case HlcRequest():
            hlc_board.request(t, conn, c)


NAMES: dict[type, str] = {
    SetChargingAllowed: "charging_allowed",
    SetPhases: "phases",
    SetVentilation: "ventilation",
    ForceUnlock: "force_unlock",
    TestRcd: "rcd_test",
    HlcRequest: "hlc",
}
"""What refusals call a command."""


def unlock(t: Tick, conn: Conn, c: UnlockConnector) -> None:
    """OCPP UnlockConnector: stop; the end of the session unlocks, or the plug is unlocked until it is out."""
    w = conn.w
    t.event("connector.unlock_requested", c.evse_id, stops=w.tx_open)
    if w.tx_open:
        conn.stop_wanted = StopReason.OTHER
    if lock.fitted(conn):
        if w.tx_open and conn.ac.lock_mode is LockMode.SESSION:
            lock.retry(conn)
        else:
            lock.force(t, conn, ForceUnlock(seq=c.seq, evse_id=c.evse_id, on=True))
