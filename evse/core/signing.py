"""Signed readings at the begin and the end of a transaction: asked for once, waited for until a deadline.

The begin is signed before the transaction opens and before any energy, so that it becomes durable with the start and carries
the register of the start. The end is signed after the energy has ended and before the transaction closes. Where signatures are
required, a begin that does not come refuses the vehicle with the fault of its meter until it leaves, and an end that does not
come is that fault for `END_SHOWN`: the next begin proves whether the meter can. Elsewhere charging goes on.
"""

from __future__ import annotations

import msgspec

from evse.core.context import TEXT_MAX, Conn, Tick
from evse.core.inputs import MeterSigned
from evse.core.outputs import RequestSignature
from evse.core.release import refuse
from evse.core.state import EvseWork
from evse.domain.faults import FaultCode
from evse.domain.signing import SignedValues, SigningMode
from evse.domain.station import EvseKind
from evse.units import s

WAITING = "the signed reading of the energy meter"

END_SHOWN = s(10)
"""So long a missing end is a fault at least; one that is over at once nobody would see."""

MARGIN = s(1)
"""The driver gives up so long before the core does, and can say why."""


def begin(t: Tick, conn: Conn) -> str:
    """Return what the start waits for, "" = nothing. Called on every tick on which nothing else stands in the way."""
    w = conn.w
    if conn.spec.signing is SigningMode.OFF:
        return ""
    if w.sign_seen != t.state.last_tick or not w.sign_number:  # another card, another vehicle, or something came between
        _ask(t, conn, w.auth_token, end=False)
    w.sign_seen = t.now
    if w.sign_deadline and t.now >= w.sign_deadline:
        _failed(t, conn, f"no signed begin in {conn.spec.signing_wait_s} s", lost=True)
    return WAITING if w.sign_deadline or cause(t, conn) is not None else ""


def opened(w: EvseWork) -> None:
    """The transaction opens: what was signed for it is its own."""
    w.signed, w.sign_result = w.sign_result, None
    w.sign_number, w.sign_seen = 0, 0


def ended(t: Tick, conn: Conn) -> bool:
    """Return True when the transaction need not wait for a signed end (any more)."""
    w = conn.w
    if conn.spec.signing is SigningMode.OFF or w.signed is None or w.signed.end:
        return True
    if not w.sign_number:
        _ask(t, conn, w.id_token, end=True)
        return False
    if w.sign_deadline and t.now >= w.sign_deadline:
        _failed(t, conn, f"no signed end in {conn.spec.signing_wait_s} s", lost=True)
        return False  # the fault of the next tick names why the session has ended
    return not w.sign_deadline


def _ask(t: Tick, conn: Conn, id_token: str, *, end: bool) -> None:
    w = conn.w
    t.event("meter.sign_asked", conn.spec.evse_id, session_id=w.session_id, context="end" if end else "begin")
    w.sign_number, w.sign_deadline, w.sign_result = t.seq, t.now + s(conn.spec.signing_wait_s), None
    w.sign_failed = ""
    t.effects.append(RequestSignature(
        evse_id=conn.spec.evse_id, number=w.sign_number, end=end, id_token=id_token, deadline=w.sign_deadline - MARGIN,
    ))


def answered(t: Tick, c: MeterSigned) -> None:
    """Take what the meter has signed, or why it has not."""
    conn = t.by_id.get(c.evse_id)
    if conn is None or c.number != conn.w.sign_number or not conn.w.sign_deadline:
        refuse(t, c.evse_id, "meter_signed", c.seq, "nobody waits for this signed reading")
        return
    w = conn.w
    if not c.text:
        _failed(t, conn, c.why, lost=c.lost)
        return
    w.sign_deadline, w.sign_failed = 0, ""
    t.event("meter.signed", c.evse_id, session_id=w.session_id, context="end" if w.tx_open else "begin", characters=len(c.text))
    if w.tx_open and w.signed is not None:
        w.signed = msgspec.structs.replace(w.signed, end=c.text)
    else:
        w.sign_result = SignedValues(begin=c.text, public_key=c.public_key, meter_serial=c.meter_serial)


def _failed(t: Tick, conn: Conn, why: str, *, lost: bool) -> None:
    w = conn.w
    w.sign_deadline, w.sign_failed, w.sign_lost = 0, why[:TEXT_MAX], lost
    w.sign_until = t.now + END_SHOWN if w.tx_open else 0
    t.event(
        "meter.not_signed", conn.spec.evse_id, session_id=w.session_id, context="end" if w.tx_open else "begin", why=w.sign_failed,
        required=conn.spec.signing is SigningMode.REQUIRE,
    )


def forget(w: EvseWork) -> None:
    """Another vehicle: it may try anew."""
    w.sign_number, w.sign_deadline, w.sign_seen = 0, 0, 0
    w.sign_failed, w.sign_result = "", None


def cause(t: Tick, conn: Conn) -> tuple[FaultCode, str] | None:
    """Return the fault of a meter that had to sign and did not, None without one."""
    w = conn.w
    if not w.sign_failed or conn.spec.signing is not SigningMode.REQUIRE or (w.sign_until and t.now >= w.sign_until):
        return None
    text = f"meter of EVSE {conn.spec.evse_id} has not signed: {w.sign_failed}"[:TEXT_MAX]
    if conn.spec.kind is EvseKind.DC:
        return FaultCode.METER_LOST, text
    return (FaultCode.METER_COMMUNICATION if w.sign_lost else FaultCode.METER_INTERNAL), text


