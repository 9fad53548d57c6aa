"""Marks and words of states, shared by kiosk and console: word + mark + colour, so that monochrome loses nothing."""

from __future__ import annotations

from typing import Final

from evse.domain.faults import FaultRecord
from evse.domain.session import OperationalStatus, SessionPhase
from evse.domain.view import EvseView, StationView

MARKS: Final[dict[str, tuple[str, str]]] = {
    "idle": ("[-]", ""),
    "plugged": ("[*]", "ok"),
    "slac": ("[*]", "ok"),
    "hlc_setup": ("[*]", "ok"),
    "wait_auth": ("[?]", "warn"),
    "cable_check": ("[*]", "ok"),
    "pre_charge": ("[*]", "ok"),
    "charging": ("[>]", "ok"),
    "suspended": ("[!]", "warn"),
    "stopping": ("[!]", "warn"),
    "finished": ("[OK]", "ok"),
    "faulted": ("[X]", "fault"),
    "unavailable": ("[X]", "fault"),
    "reserved": ("[R]", "warn"),
}
"""State word -> (mark, role)."""


def state_key(view: EvseView) -> str:
    """Return the key of the state word: the phase, or reserved / unavailable where these hide an idle connector."""
    if view.phase is SessionPhase.IDLE:
        if view.operational is OperationalStatus.INOPERATIVE:
            return SessionPhase.UNAVAILABLE.value
        if view.reserved:
            return "reserved"
    return view.phase.value


def all_faults(view: StationView) -> list[FaultRecord]:
    """Every active fault once: the station's list holds them all, an older daemon only those of the station."""
    found = {(f.code, f.evse_id): f for v in view.evses for f in v.faults}
    found.update({(f.code, f.evse_id): f for f in view.faults})
    return sorted(found.values(), key=lambda f: (f.evse_id, f.first_seen))


def energy_flows(view: EvseView) -> bool:
    """Return whether the connector is in the energy part of a session."""
    return view.phase in {SessionPhase.CHARGING, SessionPhase.SUSPENDED, SessionPhase.STOPPING}
