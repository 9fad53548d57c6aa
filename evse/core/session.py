"""Sessions and transactions: plug-in to unplug, one `OpenTransaction` and one `CloseTransaction` per transaction.

A transaction starts when a vehicle is plugged in, has permission, and nothing forbids it; its start carries the meter
value. It ends after energy has ended, with a meter value that is younger than that moment (or after `SETTLE_LIMIT`).
"""

from __future__ import annotations

from evse.core import faults, signing
from evse.core.context import START_GRACE, Conn, Tick
from evse.core.inputs import CalendarSet
from evse.core.outputs import CloseTransaction, OpenTransaction, SaveSession
from evse.core.release import forget, missing
from evse.core.state import AuthState, session_record
from evse.domain.session import AuthSource, StopReason
from evse.domain.signals import HLC_STEPS, HlcStep
from evse.units import NS_PER_MS, NS_PER_S, WallNs, s

SETTLE_LIMIT = s(3)
"""How long the end waits for a meter value taken after the energy ended (meters are polled about once per second)."""

WH_NS = 3600 * NS_PER_S
STEP_NUMBER = {step: i for i, step in enumerate(HLC_STEPS)}
PARAM = STEP_NUMBER[HlcStep.PARAM]


def calendar_set(t: Tick, c: CalendarSet) -> None:
    """Put the stamps right that were taken before the calendar was set."""

    def right(wall: WallNs) -> WallNs:
        return wall + c.by if wall < c.valid_from else wall

    for conn in t.conns:
        w = conn.w
        w.plugged_at = right(w.plugged_at) if w.plugged_at else 0
        w.started_at = None if w.started_at is None else right(w.started_at)
        w.ended_at = None if w.ended_at is None else right(w.ended_at)
        w.unplugged_at = None if w.unplugged_at is None else right(w.unplugged_at)


def session_id(t: Tick, evse_id: int) -> str:
    """Return 16 hex digits: milliseconds of the calendar (11), EVSE (2), event number (3). Equal inputs, equal id."""
    return f"{(t.wall // NS_PER_MS) & 0xFFF_FFFF_FFFF:011x}{evse_id & 0xFF:02x}{t.seq & 0xFFF:03x}"


def begin(t: Tick, conn: Conn) -> None:
    """A vehicle was plugged in."""
    w = conn.w
    _fresh(t, conn)
    signing.forget(w)
    w.plugged_at, w.plugged_since, w.unplugged_at = t.wall, t.now, None
    w.auth_reason = ""
    if w.auth is AuthState.GRANTED:
        w.auth_deadline = t.now + s(t.spec.connection_timeout_s)
    t.event("session.plugged", conn.spec.evse_id, session_id=w.session_id)


def _fresh(t: Tick, conn: Conn) -> None:
    """Forget the transaction of the session before; keep plug-in time and meter."""
    w = conn.w
    w.session_id = session_id(t, conn.spec.evse_id)
    w.started_at = w.ended_at = None
    w.meter_start_wh = w.meter_stop_wh = w.soc_start_pct = w.soc_end_pct = w.transaction_id = None
    w.power_max_w, w.id_token, w.source, w.stop_reason, w.fault = 0, "", AuthSource.NONE, None, ""
    w.tx_stored, w.settle_at, w.charging_since, w.evcc_id = False, 0, None, ""
    w.id_parent, w.stop_token, w.asked_token, w.signed = "", "", "", None


def meter(t: Tick, conn: Conn) -> None:
    """Advance the energy register: the meter's, never backwards while a transaction is open, or integrated power."""
    w, elapsed = conn.w, t.now - t.state.last_tick
    power_w = present_w(conn)
    if conn.spec.has_meter:
        if (
            conn.m is not None
            and conn.m.energy_import_wh is not None
            and (conn.m.energy_import_wh > w.meter_wh or not w.tx_open)
        ):
            w.meter_wh = max(0, conn.m.energy_import_wh)
    elif power_w and 0 < elapsed <= NS_PER_S:
        total = w.meter_rest + power_w * elapsed
        w.meter_wh += total // WH_NS
        w.meter_rest = total % WH_NS
    if w.tx_open:
        if power_w is not None and power_w > w.power_max_w:
            w.power_max_w = power_w
        _vehicle(conn)


def _vehicle(conn: Conn) -> None:
    w, b = conn.w, conn.b
    if b is None:
        return
    if b.evcc_id and not w.evcc_id:
        w.evcc_id = b.evcc_id[:20]
    soc = b.soc_pct
    if soc is not None and 0 <= soc <= 100 and b.step is not None and STEP_NUMBER[b.step] >= PARAM:
        if w.soc_start_pct is None:
            w.soc_start_pct = soc
        w.soc_end_pct = soc


def present_w(conn: Conn) -> int | None:
    """Return the power at the vehicle in W: the meter's, else voltage times module current; None when unknown."""
    if conn.m is not None and conn.m.power_w is not None:
        return max(0, conn.m.power_w)
    if conn.b is not None and conn.present_known:
        return max(0, conn.voltage_mv * conn.present_ma // 1_000_000)
    return None


def obstacle(t: Tick, conn: Conn) -> str:
    """Return why no transaction may start now, "" when it may."""
    w = conn.w
    if not conn.operative:
        return "the connector is out of service"
    if conn.blocked:
        return f"fault {conn.blocked}"
    if w.auth is AuthState.WAITING:
        return "the answer to the card"
    if w.auth is not AuthState.GRANTED:
        return missing(conn)
    if conn.spec.has_meter and conn.m is None:
        return "the energy meter"
    if not t.inputs.storage_ok and not t.spec.charge_without_storage:
        return "the database"
    if t.spec.needs_time and not t.inputs.wall_valid:
        return "the time of day"
    if conn.b is None and t.now - t.state.started_at <= START_GRACE:
        return "the board"
    return ""


def start(t: Tick, conn: Conn, again: bool) -> None:
    """Open the transaction. ``again`` = a second one at the same plug-in: it gets a session id of its own.

    The session before ends with that, as if its vehicle had left: nobody else would ever end it.
    """
    w = conn.w
    if again:
        w.unplugged_at = max(t.wall, w.plugged_at)
        t.effects.append(SaveSession(evse_id=conn.spec.evse_id, session=session_record(w)))
        _fresh(t, conn)
        w.unplugged_at = None
        faults.clear_for_retry(t, conn)
    signing.opened(w)
    w.tx_open, w.started_at, w.meter_start_wh = True, t.wall, w.meter_wh
    w.id_token, w.source, w.id_parent = w.auth_token, w.auth_source, w.auth_parent
    if w.reserved_deadline:
        w.reserved_token, w.reserved_parent, w.reserved_deadline = "", "", 0
        t.event("reservation.ended", conn.spec.evse_id, why="used")
    _vehicle(conn)
    t.event(
        "transaction.started",
        conn.spec.evse_id,
        session_id=w.session_id,
        id_token=w.id_token,
        source=w.source.value,
        meter_wh=w.meter_wh,
    )
    t.effects.append(OpenTransaction(evse_id=conn.spec.evse_id, session=session_record(w)))


def note_stop(conn: Conn, reason: StopReason) -> None:
    """The first reason stays."""
    if conn.w.tx_open and conn.w.stop_reason is None:
        conn.w.stop_reason = reason


def energy_ended(t: Tick, conn: Conn) -> None:
    """From now on only the last meter value is missing."""
    if conn.w.tx_open and not conn.w.settle_at:
        conn.w.settle_at = t.now


def settle(t: Tick, conn: Conn) -> None:
    """Close the transaction once the last meter value is there, the signed one too."""
    w = conn.w
    if not w.tx_open or not w.settle_at:
        return
    if not signing.ended(t, conn):
        return
    if conn.spec.has_meter and conn.m_at <= w.settle_at and t.now - w.settle_at < SETTLE_LIMIT:
        return
    ended_at = max(t.wall, w.started_at or 0)  # the calendar may have been set back; nobody takes an end before its start
    w.tx_open, w.ended_at, w.meter_stop_wh = False, ended_at, w.meter_wh
    w.stop_reason = w.stop_reason or StopReason.OTHER
    record = session_record(w)
    forget(conn)
    w.charging_since = None
    t.event(
        "transaction.ended",
        conn.spec.evse_id,
        session_id=w.session_id,
        reason=w.stop_reason.value,
        meter_wh=w.meter_wh,
        energy_wh=record.energy_wh,
        fault=w.fault,
    )
    t.effects.append(CloseTransaction(evse_id=conn.spec.evse_id, session=record))


def unplugged(t: Tick, conn: Conn) -> None:
    """The vehicle has left: a fact of its own, even while the last meter value is still awaited."""
    w = conn.w
    w.plugged, w.unplugged_at = False, max(t.wall, w.plugged_at)
    t.event("session.unplugged", conn.spec.evse_id, session_id=w.session_id)


def close(t: Tick, conn: Conn) -> None:
    """Store the session and forget it."""
    w = conn.w
    t.effects.append(SaveSession(evse_id=conn.spec.evse_id, session=session_record(w)))
    w.session_id = ""
    signing.forget(w)
    forget(conn)
