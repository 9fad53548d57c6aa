"""The emergency contact at a digital input of an AC board (Charge Control C, 15.14): energy off on the tick that sees it.

A board that is not readable is a fault of its own, so that an unknown input never counts as "no emergency".
"""

from __future__ import annotations

from evse.core.context import Conn
from evse.domain.faults import FaultCode


def observe(conn: Conn) -> None:
    """Report the contact while its input has the level that means danger."""
    number, high = conn.ac.emergency_input, conn.ac.emergency_active_high
    if not number or conn.b is None:
        return
    if bool(conn.ab.inputs >> (number - 1) & 1) is high:
        text = f"emergency contact at digital input {number} is {'high' if high else 'low'}"
        conn.causes.append((FaultCode.EMERGENCY_SHUTDOWN, text))
