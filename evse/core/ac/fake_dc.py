"""Fake DC: a short DC session tells the MAC and the state of charge of a vehicle, then it charges with basic signalling.

Source: Charge Control C, 14.1 (fake_highlevel_dc_vendors) and 15.21. A vehicle that only knows ISO 15118 AC gives no more than
its MAC. How long a session goes on and how the board goes back to the current depends on the maker, known by the start of the
MAC (OUI); a maker that is not listed has the defaults.
"""

from __future__ import annotations

from evse.core.ac.memory import AcWork
from evse.core.context import Conn, Tick
from evse.core.session import PARAM, STEP_NUMBER
from evse.domain.ac import FakeDcVendor, V2gError, V2gPhase
from evse.domain.signals import BoardStatus, HlcStep

SOC_UNKNOWN = -1
"""Nothing is plugged in, or the charge parameters were not reached (yet)."""

SOC_NEVER = -2
"""The charge parameters are over and have not told it."""

DEFAULT = FakeDcVendor(name="", oui=())
"""Read the state of charge, switch method 1."""


def _plain(mac: str) -> str:
    """Return a MAC, or the start of one, without separators and in capitals."""
    return mac.replace(":", "").replace("-", "").upper()


def vendor_of(vendors: tuple[FakeDcVendor, ...], mac: str) -> FakeDcVendor:
    """Return the entry with the longest start of ``mac``, the first of equals; `DEFAULT` when none fits."""
    found, length, plain = DEFAULT, 0, _plain(mac)
    for vendor in vendors:
        for oui in map(_plain, vendor.oui):
            if len(oui) > length and plain.startswith(oui):
                found, length = vendor, len(oui)
    return found


def talks(b: BoardStatus) -> bool:
    """Return True while the vehicle is in a DC session."""
    return b.step is not None and b.step is not HlcStep.STOP


def read(t: Tick, conn: Conn) -> None:
    """Take the state of charge once per session: a value, or that there will be none.

    Boards keep the value of a session before; the same value again counts when this session has passed its parameters.
    """
    a, b, w = conn.a, conn.b, conn.w
    if b is None:
        return
    phase, soc = conn.ab.v2g.phase, b.soc_pct
    step = STEP_NUMBER[b.step] if b.step is not None else -1
    a.hlc_param = a.hlc_param or step >= PARAM or phase in (V2gPhase.PARAMETER, V2gPhase.CHARGE)
    over = a.hlc_begun and not talks(b) and phase is V2gPhase.NONE
    passed = step > PARAM or phase is V2gPhase.CHARGE
    fresh = passed or soc != a.hlc_soc or (over and conn.ab.v2g.error is V2gError.NONE)
    if not a.hlc_read and soc is not None and 0 <= soc <= 100 and fresh:
        _take(t, conn, soc)
    elif not a.hlc_read and a.hlc_param and (passed or over):
        _take(t, conn, SOC_NEVER)
    if w.tx_open and a.hlc_soc >= 0 and w.soc_start_pct is None:
        w.soc_start_pct = w.soc_end_pct = a.hlc_soc


def _take(t: Tick, conn: Conn, soc: int) -> None:
    a, w = conn.a, conn.w
    a.hlc_read, a.hlc_soc, a.hlc_soc_at = True, soc, t.wall
    if w.tx_open and soc >= 0 and w.soc_start_pct is not None:
        w.soc_end_pct = soc
    t.event("session.soc", conn.spec.evse_id, soc_pct=soc)


def done(conn: Conn) -> bool:
    """Return True when everything is read that the maker's entry asks for."""
    a: AcWork = conn.a
    if conn.b is None or not conn.b.evcc_id:
        return False
    return a.hlc_read or not vendor_of(conn.ac.fake_dc_vendors, conn.b.evcc_id).until_soc
