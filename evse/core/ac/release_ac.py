"""Permission of AC EVSEs that is a level: key switch, and what another program or an operator holds.

Sources: Charge Control C, 14.1 (user_authentication: free, ocpp, mqtt, key-switch) and 15.21 (authorization_status: retained =
a level, else for one session); CHARX web management, "Allow Charging" (dashboard, remote control, Modbus). Event actions give
and withdraw theirs in `evse.core.rules`; cards, the back end and free charging are `evse.core.release`.

A level gives permission to each vehicle that is plugged in while it stands, and when it rises to the one that is there; after
the end of a session the same vehicle needs a new rise. It has no connection timeout. When it falls, the session that it has
released ends in order. An unknown key switch (no board) changes nothing: the lost board is a fault of its own.
"""

from __future__ import annotations

from evse.core import release
from evse.core.context import Conn, Tick
from evse.core.inputs import SetPermission
from evse.core.state import AuthState, Stage
from evse.domain.ac import ReleaseMode
from evse.domain.session import AuthSource, StopReason
from evse.domain.station import EvseKind
from evse.units import s

SOURCES: dict[ReleaseMode, AuthSource] = {
    ReleaseMode.REMOTE: AuthSource.API,
    ReleaseMode.MODBUS: AuthSource.MODBUS,
    ReleaseMode.MQTT: AuthSource.MQTT,
    ReleaseMode.DASHBOARD: AuthSource.API,
    ReleaseMode.KEY_SWITCH: AuthSource.KEY_SWITCH,
}
"""Modes whose permission is given and taken back, and the source that the session carries."""

COMMANDED = frozenset(SOURCES) - {ReleaseMode.KEY_SWITCH}
"""Modes that `SetPermission` may use."""

REASONS: dict[AuthSource, StopReason] = {
    AuthSource.API: StopReason.REMOTE,
    AuthSource.MODBUS: StopReason.REMOTE,
    AuthSource.MQTT: StopReason.REMOTE,
    AuthSource.KEY_SWITCH: StopReason.LOCAL,
}
"""Why a transaction ends whose permission was taken back; an operator on site (dashboard) is LOCAL."""


def observe(t: Tick, conn: Conn) -> None:
    """Follow the level of the release mode: give permission while it stands, end the session when it falls."""
    a, w = conn.a, conn.w
    source = SOURCES.get(conn.ac.release)
    level = _level(conn)
    if source is None or level is None:
        return
    before, a.rel_level = a.rel_level, level
    if not level:
        if before or source is AuthSource.KEY_SWITCH:
            withdraw(t, conn, source)
    elif w.auth is AuthState.GRANTED and w.auth_source is source:
        w.auth_deadline = t.now + s(t.spec.connection_timeout_s)
    elif w.auth in (AuthState.NONE, AuthState.DENIED) and not w.tx_open and not release.may_give(conn, source):
        waits = w.plugged and (w.stage is Stage.PLUGGED or (w.stage is Stage.FINISHED and not before))
        if waits and conn.operative and not conn.blocked and not w.reserved_deadline:
            release.grant(t, conn, a.rel_token or conn.spec.free_id_token or source.value.upper(), source)


def _level(conn: Conn) -> bool | None:
    """Return whether permission stands; None = not known."""
    if conn.ac.release is not ReleaseMode.KEY_SWITCH:
        return conn.a.rel_hold
    number = conn.ac.key_switch_input
    if conn.b is None or conn.b.ac is None:
        return None
    return number > 0 and bool(conn.ab.inputs >> (number - 1) & 1)


def withdraw(t: Tick, conn: Conn, source: AuthSource) -> bool:
    """Take back what ``source`` has given; return whether there was anything."""
    w = conn.w
    reason = StopReason.LOCAL if conn.ac.release is ReleaseMode.DASHBOARD else REASONS[source]
    if w.tx_open and w.source is source:
        conn.stop_wanted = conn.stop_wanted or reason
        return True
    if not w.tx_open and w.auth is AuthState.GRANTED and w.auth_source is source:
        release.forget(conn)
        t.event("session.auth_withdrawn", conn.spec.evse_id, reason=reason.value)
        return True
    return False


def permission(t: Tick, c: SetPermission) -> None:
    """Give or take back permission by another program or an operator; refused unless the release mode is theirs."""
    conn = next((x for x in t.conns if x.spec.evse_id == c.evse_id and x.spec.kind is EvseKind.AC), None)
    why = _refused(conn, c)
    if conn is None or why:
        release.refuse(t, c.evse_id, "permission", c.seq, why)
        return
    a, source, token = conn.a, SOURCES[c.mode], c.id_token[: release.TOKEN_MAX]
    if not c.allowed:
        held, a.rel_hold, a.rel_level, a.rel_token = a.rel_hold, False, False, ""
        if not withdraw(t, conn, source) and not held:
            release.refuse(t, c.evse_id, "permission", c.seq, f"no permission of release mode {c.mode.value} stands")
    elif c.hold:
        a.rel_hold, a.rel_token = True, token
    else:
        release.grant(t, conn, token or conn.spec.free_id_token or source.value.upper(), source)


def _refused(conn: Conn | None, c: SetPermission) -> str:
    """Return why a permission is neither given nor taken back, "" when it is."""
    if conn is None:
        return f"there is no AC EVSE {c.evse_id}"
    mode = conn.ac.release
    if c.mode not in COMMANDED:
        return f"release mode {c.mode.value} has no permission that a command gives"
    if c.mode is not mode:
        return f"the release mode is {mode.value}, not {c.mode.value}; change evse.ac.release to give permission this way"
    if not c.allowed:
        return ""
    why = release.may_give(conn, SOURCES[mode])
    if why or c.hold:
        return why
    w = conn.w
    if w.tx_open:
        return "a transaction is running"
    if w.auth is AuthState.GRANTED:
        return "the EVSE already has permission"
    if not conn.operative:
        return "the EVSE is out of service"
    if conn.blocked:
        return f"fault {conn.blocked}"
    return "the EVSE is reserved for a card" if w.reserved_deadline else ""
