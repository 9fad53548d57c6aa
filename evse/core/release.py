"""Who may charge: cards, remote starts, the API, free charging; reservation; the same card stops.

Plug first or card first; a permission without a vehicle ends after ``connection_timeout_s``: this one deadline is the "RFID
timeout" of the CHARX web management, the "vehicle connection timeout" of the Juice web interface and OCPP's
ConnectionTimeOut. A refused card keeps the board at "ongoing", so that the driver may try another one.

One reader may serve several EVSEs. With DC only, a card goes to the vehicle that was plugged in last, and without a vehicle to
whichever is plugged in first; with an AC EVSE among them `evse.core.shared_reader` decides. The release mode of an AC EVSE
says who may give permission at all (`GIVERS`); levels such as a key switch are in `evse.core.ac.release_ac`.
"""

from __future__ import annotations

from evse.core import shared_reader
from evse.core.context import TEXT_MAX, Conn, Tick
from evse.core.inputs import (
    AuthorizeResult,
    ReserveEvse,
    StartSession,
    StopSession,
    TokenPresented,
    TransactionNumbered,
)
from evse.core.outputs import RequestAuthorization, SaveSession
from evse.core.state import AuthState, Stage, session_record
from evse.domain.ac import ReleaseMode
from evse.domain.session import AuthSource, StopReason
from evse.domain.station import EvseKind
from evse.units import Instant, s

AUTH_ANSWER_LIMIT = s(60)
"""CSMS, list and cache must answer within this time; afterwards the card counts as refused."""

DENIED_SHOWN = s(10)
"""So long a refusal is shown."""

TOKEN_MAX = 64
"""Longest identifier taken from outside (OCPP 2.0.1 idToken has 36 characters)."""

RESERVED = "the EVSE is reserved for another card"

FORBIDDEN = "an event action forbids charging"
NO_STOP = "the card that started does not stop this session (same_card_stops)"
NO_GROUP = "the card belongs to no group that charges here"
PLUG_FIRST = "plug the vehicle in first; here a card counts only with a vehicle (rfid_needs_vehicle)"

FREE_STAGES = frozenset({Stage.PLUGGED, Stage.FINISHED})
ASKED = (AuthState.WAITING, AuthState.GRANTED)

GIVERS: dict[ReleaseMode, frozenset[AuthSource]] = {
    ReleaseMode.FREE: frozenset({AuthSource.FREE, AuthSource.API}),
    ReleaseMode.LIST: frozenset({AuthSource.FREE, AuthSource.RFID, AuthSource.AUTOCHARGE, AuthSource.API}),
    ReleaseMode.OCPP: frozenset(
        {AuthSource.FREE, AuthSource.RFID, AuthSource.AUTOCHARGE, AuthSource.REMOTE, AuthSource.API}
    ),
    ReleaseMode.REMOTE: frozenset({AuthSource.API, AuthSource.RULE}),
    ReleaseMode.MODBUS: frozenset({AuthSource.MODBUS}),
    ReleaseMode.MQTT: frozenset({AuthSource.MQTT}),
    ReleaseMode.KEY_SWITCH: frozenset({AuthSource.KEY_SWITCH}),
    ReleaseMode.DASHBOARD: frozenset({AuthSource.API}),
}
"""Who may give permission in each release mode. Sources: CHARX web management, "Allow Charging"; Charge Control C, 14.1,
user_authentication. ``API`` = an operator of this station, who may also start a free EVSE again without replugging."""

MISSING: dict[ReleaseMode, str] = {
    ReleaseMode.FREE: "a new vehicle or a start by the operator",
    ReleaseMode.LIST: "a card or vehicle of the whitelist",
    ReleaseMode.OCPP: "a card or a start from the app",
    ReleaseMode.REMOTE: "the permission of another program",
    ReleaseMode.MODBUS: "the permission over Modbus",
    ReleaseMode.MQTT: "the permission over MQTT",
    ReleaseMode.KEY_SWITCH: "the key switch",
    ReleaseMode.DASHBOARD: "the permission of the operator",
}
"""What a vehicle without permission waits for, in each release mode."""


def mode_of(conn: Conn) -> ReleaseMode:
    """Return who gives permission at this EVSE; DC EVSEs take cards, the back end and the operator."""
    return conn.ac.release if conn.spec.kind is EvseKind.AC else ReleaseMode.OCPP


def missing(conn: Conn) -> str:
    """Return in plain words what a vehicle without permission waits for."""
    return f"the end of: {FORBIDDEN}" if conn.a.rule_release is False else MISSING[mode_of(conn)]


def may_give(conn: Conn, source: AuthSource) -> str:
    """Return why ``source`` gives no permission at this EVSE, "" when it may."""
    if conn.a.rule_release is False:
        return FORBIDDEN
    mode = mode_of(conn)
    if source in GIVERS[mode]:
        return ""
    return f"{source.value} gives no permission here: the release mode is {mode.value}, which waits for {MISSING[mode]}"


def refuse(t: Tick, evse_id: int, command: str, seq: int, why: str) -> None:
    """Answer a command that is not carried out."""
    t.event("command.refused", evse_id, command=command, seq=seq, why=why)


def token_presented(t: Tick, c: TokenPresented) -> None:
    """A card: stop its own session, or ask for permission for the EVSE it most likely means."""
    token, reader = c.id_token[:TOKEN_MAX], c.reader[:TEXT_MAX]
    served = [t.by_id[i] for i in c.evse_ids if i in t.by_id]
    if not token or not served:
        refuse(t, 0, "token", c.seq, f"reader {reader!r} serves no EVSE of this station" if token else "empty token")
        return
    own = [x for x in served if x.w.tx_open and x.w.id_token == token]
    for conn in own:
        if conn.ac.same_token_stops:
            t.event("token.presented", conn.spec.evse_id, reader=reader, id_token=token, purpose="stop")
            conn.stop_wanted, conn.w.stop_token = StopReason.LOCAL, token
            return
    for conn in served:
        if conn.w.auth in (AuthState.WAITING, AuthState.GRANTED) and conn.w.auth_token == token and not conn.w.tx_open:
            refuse(t, conn.spec.evse_id, "token", c.seq, "this card is already being asked about or has permission")
            return
    chosen, group, why = _choose(t, served, token)
    if chosen is None and not own and _ask_group(t, served, token, reader):
        return
    if chosen is None:
        first = own[0] if own else served[0]
        refuse(t, first.spec.evse_id, "token", c.seq, NO_STOP if own else why)
        return
    w = chosen.w
    w.auth, w.auth_token, w.auth_source, w.auth_reason = AuthState.WAITING, token, AuthSource.RFID, ""
    w.auth_deadline, w.auth_evses = t.now + AUTH_ANSWER_LIMIT, group
    t.event("token.presented", chosen.spec.evse_id, reader=reader, id_token=token, purpose="start")
    t.effects.append(RequestAuthorization(evse_id=chosen.spec.evse_id, id_token=token))


def _ask_group(t: Tick, served: list[Conn], token: str, reader: str) -> bool:
    """Ask about a card that may end a session of its group (OCPP parentIdTag); False = no session has a group."""
    running = [x for x in served if x.w.tx_open and x.w.id_parent and x.ac.same_token_stops]
    if not running:
        return False
    if all(x.w.asked_token != token for x in running):
        for conn in running:
            conn.w.asked_token, conn.w.asked_deadline = token, t.now + AUTH_ANSWER_LIMIT
        evse_id = running[0].spec.evse_id
        t.event("token.presented", evse_id, reader=reader, id_token=token, purpose="stop")
        t.effects.append(RequestAuthorization(evse_id=evse_id, id_token=token))
    return True


def _group_answer(t: Tick, c: AuthorizeResult) -> None:
    """End the session of the group that a card belongs to; the one that began first if there are several."""
    token = c.id_token[:TOKEN_MAX]
    asked = [conn for conn in t.conns if conn.w.asked_token == token]
    for conn in asked:
        conn.w.asked_token = ""
    group = [x for x in asked if x.w.tx_open and c.parent_id and x.w.id_parent.upper() == c.parent_id.upper()]
    if c.accepted and group:
        conn = min(group, key=lambda x: x.w.started_at or 0)
        conn.stop_wanted, conn.w.stop_token = StopReason.LOCAL, token
    else:
        refuse(t, c.evse_id, "token", c.seq, NO_GROUP if c.accepted else c.reason[:TEXT_MAX] or "not accepted")


def _choose(t: Tick, served: list[Conn], token: str) -> tuple[Conn | None, tuple[int, ...], str]:
    """Return the EVSE that a card means, the EVSEs that may take its permission instead, and why there is none."""
    takers = [x for x in served if not may_give(x, AuthSource.RFID)]
    if not takers:
        return None, (), may_give(served[0], AuthSource.RFID)
    plugged = [x for x in takers if _free_for(x, token) and x.w.stage in FREE_STAGES and x.w.plugged]
    if len(served) > 1 and any(x.spec.kind is EvseKind.AC for x in served):
        charging = any(x.w.plugged and (x.w.tx_open or x.w.auth in ASKED) for x in served)
        conn, why = shared_reader.choose(t, plugged, charging=charging)
        return conn, (), why
    if plugged:
        return max(plugged, key=lambda x: (not _reserved_for_other(x, token), x.w.plugged_since)), (), ""
    empty = [x for x in takers if _free_for(x, token) and x.w.stage is Stage.EMPTY]
    early = [x for x in empty if not x.ac.token_required_plugged]
    if early:
        conn = min(early, key=lambda x: _reserved_for_other(x, token))
        return conn, tuple(x.spec.evse_id for x in early), ""
    return None, (), PLUG_FIRST if empty else "no EVSE of this reader is free for this card"


def _free_for(conn: Conn, token: str) -> bool:
    w = conn.w
    return (
        conn.operative
        and not conn.blocked
        and not w.tx_open
        and (not _reserved_for_other(conn, token) or w.reserved_parent != "")  # the answer names the group of the card
        and w.auth in (AuthState.NONE, AuthState.DENIED)
    )


def _reserved_for_other(conn: Conn, token: str, parent: str = "") -> bool:
    """Tell whether the EVSE is reserved for another card and another group. Identifiers compare without case."""
    w = conn.w
    if not w.reserved_deadline or w.reserved_token.upper() == token.upper():
        return False
    return not w.reserved_parent or w.reserved_parent.upper() != parent.upper()


def authorize_result(t: Tick, c: AuthorizeResult) -> None:
    """The answer to `RequestAuthorization`; a late or foreign answer is refused."""
    conn = t.by_id.get(c.evse_id)
    if conn is not None and conn.w.asked_token and conn.w.asked_token == c.id_token[:TOKEN_MAX]:
        _group_answer(t, c)
        return
    if conn is None or conn.w.auth is not AuthState.WAITING or conn.w.auth_token != c.id_token[:TOKEN_MAX]:
        refuse(t, c.evse_id, "authorize_result", c.seq, "nobody waits for this answer (any more)")
    elif c.accepted and may_give(conn, conn.w.auth_source):
        deny(t, conn, may_give(conn, conn.w.auth_source))
    elif c.accepted and _reserved_for_other(conn, conn.w.auth_token, c.parent_id):
        deny(t, conn, RESERVED)
    elif c.accepted:
        grant(t, conn, conn.w.auth_token, conn.w.auth_source, c.parent_id)
    else:
        deny(t, conn, c.reason[:TEXT_MAX] or "not accepted")


def start_session(t: Tick, c: StartSession) -> None:
    """Permission from outside: remote start, API, autocharge."""
    conn = t.by_id.get(c.evse_id)
    token = c.id_token[:TOKEN_MAX]
    why = ""
    if conn is None:
        why = f"there is no EVSE {c.evse_id}"
    elif not conn.operative:
        why = "the EVSE is out of service"
    elif conn.blocked:
        why = f"fault {conn.blocked}"
    elif conn.w.tx_open:
        why = "a transaction is running"
    elif conn.w.auth is AuthState.GRANTED:
        why = "the EVSE already has permission"
    elif _reserved_for_other(conn, token, c.parent_id):
        why = RESERVED
    elif not token:
        why = "the identifier is empty"
    else:
        why = may_give(conn, c.source)
    if why or conn is None:
        refuse(t, c.evse_id, "start", c.seq, why)
        return
    conn.w.auth_evses = ()
    grant(t, conn, token, c.source, c.parent_id)


def stop_session(t: Tick, c: StopSession) -> None:
    """End the transaction in order; a permission without a transaction is withdrawn."""
    conn = t.by_id.get(c.evse_id)
    if conn is not None and conn.w.tx_open:
        conn.stop_wanted = c.reason
    elif conn is not None and conn.w.auth in (AuthState.WAITING, AuthState.GRANTED):
        forget(conn)
        t.event("session.auth_withdrawn", c.evse_id, reason=c.reason.value)
    else:
        refuse(t, c.evse_id, "stop", c.seq, "no transaction is running")


def reserve(t: Tick, c: ReserveEvse) -> None:
    """Reserve, change or cancel. The calendar time is turned into a deadline once; an empty token cancels."""
    conn = t.by_id.get(c.evse_id)
    if conn is None or (c.id_token and (conn.w.stage is not Stage.EMPTY or not conn.operative or bool(conn.blocked))):
        refuse(t, c.evse_id, "reserve", c.seq, "the EVSE is occupied, faulted, out of service or unknown")
        return
    if not c.id_token or c.until <= t.wall:
        if conn.w.reserved_deadline:
            t.event("reservation.ended", c.evse_id, why="cancelled")
        conn.w.reserved_token, conn.w.reserved_parent, conn.w.reserved_deadline = "", "", 0
        return
    conn.w.reserved_token, conn.w.reserved_parent = c.id_token[:TOKEN_MAX], c.parent_id[:TOKEN_MAX]
    conn.w.reserved_deadline = t.now + (c.until - t.wall)
    t.event("reservation.made", c.evse_id, id_token=conn.w.reserved_token)


def transaction_numbered(t: Tick, c: TransactionNumbered) -> None:
    """The back end's number arrived (may be late); not accepted ends the transaction."""
    conn = t.by_id.get(c.evse_id)
    if conn is None or conn.w.session_id != c.session_id:
        refuse(
            t, c.evse_id, "transaction_numbered", c.seq, f"session {c.session_id[:TOKEN_MAX]} is not the running one"
        )
        return
    conn.w.transaction_id = c.transaction_id
    conn.w.id_parent = c.parent_id[:TOKEN_MAX] or conn.w.id_parent
    t.event(
        "transaction.numbered",
        c.evse_id,
        session_id=conn.w.session_id,
        transaction_id=c.transaction_id,
        accepted=c.accepted,
    )
    t.effects.append(SaveSession(evse_id=c.evse_id, session=session_record(conn.w)))
    if not c.accepted and conn.w.tx_open:
        conn.stop_wanted = StopReason.DE_AUTHORIZED


def grant(t: Tick, conn: Conn, token: str, source: AuthSource, parent: str = "") -> None:
    """Give permission; without a vehicle it ends after the connection timeout. ``parent`` = group of the card."""
    w = conn.w
    w.auth_parent = parent[:TOKEN_MAX]
    w.auth, w.auth_token, w.auth_source, w.auth_reason = AuthState.GRANTED, token, source, ""
    w.auth_deadline = t.now + s(t.spec.connection_timeout_s)
    t.event("session.authorised", conn.spec.evse_id, id_token=token, source=source.value)


def deny(t: Tick, conn: Conn, why: str) -> None:
    """Refuse; shown for a while, then forgotten."""
    w = conn.w
    t.event("session.denied", conn.spec.evse_id, id_token=w.auth_token, why=why)
    w.auth, w.auth_reason, w.auth_deadline = AuthState.DENIED, why, t.now + DENIED_SHOWN


def forget(conn: Conn) -> None:
    """No permission."""
    w = conn.w
    w.auth, w.auth_token, w.auth_source, w.auth_reason = AuthState.NONE, "", AuthSource.NONE, ""
    w.auth_deadline, w.auth_evses, w.auth_parent = 0, (), ""


def expire(t: Tick, conn: Conn) -> None:
    """Deadlines of permission and reservation; a card given first moves to the EVSE that was plugged in."""
    w, now = conn.w, t.now
    if w.reserved_deadline and _over(now, w.reserved_deadline):
        w.reserved_token, w.reserved_parent, w.reserved_deadline = "", "", 0
        t.event("reservation.ended", conn.spec.evse_id, why="expired")
    if w.asked_token and _over(now, w.asked_deadline):
        w.asked_token = ""
    if w.auth is AuthState.NONE:
        return
    if w.auth is AuthState.WAITING and _over(now, w.auth_deadline):
        deny(t, conn, "no answer within 60 s")
    elif w.auth is AuthState.DENIED and _over(now, w.auth_deadline):
        forget(conn)
    elif w.auth is AuthState.GRANTED and not w.tx_open:
        if w.auth_evses and w.stage is Stage.EMPTY:
            _hand_over(t, conn)
        if w.auth is AuthState.GRANTED and _over(now, w.auth_deadline):
            t.event("session.auth_expired", conn.spec.evse_id, id_token=w.auth_token)
            forget(conn)


def _hand_over(t: Tick, conn: Conn) -> None:
    w = conn.w
    for evse_id in w.auth_evses:
        other = t.by_id.get(evse_id)
        if (
            other is not None
            and other is not conn
            and other.w.stage is Stage.PLUGGED
            and _free_for(other, w.auth_token)
            and not _reserved_for_other(other, w.auth_token)
        ):
            grant(t, other, w.auth_token, w.auth_source, w.auth_parent)
            other.w.auth_evses = ()
            forget(conn)
            return


def free(t: Tick, conn: Conn) -> None:
    """Free charging: a vehicle that has just been plugged in gets permission by itself, unless somebody has reserved."""
    if not (conn.spec.free_charging or mode_of(conn) is ReleaseMode.FREE) or may_give(conn, AuthSource.FREE):
        return
    if conn.w.auth is AuthState.NONE and conn.operative and not conn.blocked and not conn.w.reserved_deadline:
        grant(t, conn, conn.spec.free_id_token or "FREE", AuthSource.FREE)


def _over(now: Instant, deadline: Instant) -> bool:
    return now >= deadline
