"""Marks and words of states, shared by kiosk and console: word + mark + colour, so that monochrome loses nothing.

The console's words are English like the manuals of the devices; the kiosk's come from its catalogues. Stable names of the
API (``pre_charge``, ``StoppedByEV``) are for programs and stay off the screens.
"""

from __future__ import annotations

from typing import Final

from evse.domain.faults import FaultRecord
from evse.domain.limits import LimitSource
from evse.domain.session import AuthSource, OperationalStatus, SessionPhase, StopReason
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
"""State key -> (mark, role)."""

STATES: Final[dict[str, str]] = {
    "idle": "Free",
    "plugged": "Plugged in",
    "slac": "Connecting",
    "hlc_setup": "Negotiating",
    "wait_auth": "Needs card",
    "cable_check": "Cable check",
    "pre_charge": "Pre-charge",
    "charging": "Charging",
    "suspended": "Paused",
    "stopping": "Stopping",
    "finished": "Finished",
    "faulted": "Fault",
    "unavailable": "Out of service",
    "reserved": "Reserved",
}
"""State key -> word of the console, at most 14 cells."""

SOURCES: Final[dict[LimitSource, str]] = {
    LimitSource.SITE: "Site",
    LimitSource.OCPP_STATIC: "OCPP fixed",
    LimitSource.CSMS: "Back end",
    LimitSource.CABLE: "Cable",
    LimitSource.HARDWARE: "Hardware",
    LimitSource.MODULES: "Modules",
    LimitSource.THERMAL: "Temperature",
    LimitSource.EV: "Vehicle",
    LimitSource.PLAN: "Planner",
    LimitSource.USER: "User",
    LimitSource.FAILSAFE: "Failsafe",
    LimitSource.GRID: "Grid",
    LimitSource.EVSE: "Wiring",
    LimitSource.DYNAMIC: "Dynamic",
    LimitSource.FALLBACK: "Fallback",
    LimitSource.RULE: "Rule",
    LimitSource.OVER_CURRENT: "Over-current",
    LimitSource.OUT_OF_BALANCE: "Unbalance",
}
"""Who set a limit, at most 12 cells."""

AUTH_SOURCES: Final[dict[AuthSource, str]] = {
    AuthSource.NONE: "nobody",
    AuthSource.RFID: "card",
    AuthSource.REMOTE: "remote",
    AuthSource.API: "operator",
    AuthSource.FREE: "free",
    AuthSource.AUTOCHARGE: "vehicle",
    AuthSource.KEY_SWITCH: "key",
    AuthSource.MODBUS: "Modbus",
    AuthSource.MQTT: "MQTT",
    AuthSource.RULE: "rule",
}
"""Who gave the permission, at most 8 cells."""

REASONS: Final[dict[StopReason, str]] = {
    StopReason.EMERGENCY_STOP: "Emergency stop",
    StopReason.EV_DISCONNECTED: "Unplugged",
    StopReason.DE_AUTHORIZED: "Not authorised",
    StopReason.GROUND_FAULT: "Earth fault",
    StopReason.LOCAL: "On site",
    StopReason.LOCAL_OUT_OF_CREDIT: "No credit",
    StopReason.OTHER: "Other",
    StopReason.OVERCURRENT_FAULT: "Over-current",
    StopReason.POWER_LOSS: "Power loss",
    StopReason.REBOOT: "Restart",
    StopReason.REMOTE: "Remote",
    StopReason.STOPPED_BY_EV: "By vehicle",
    StopReason.TIMEOUT: "Time-out",
    StopReason.IMMEDIATE_RESET: "Reset",
    StopReason.ENERGY_LIMIT_REACHED: "Energy limit",
}
"""Why a session ended, at most 14 cells."""

SERVICE: Final[dict[OperationalStatus, str]] = {
    OperationalStatus.OPERATIVE: "in service",
    OperationalStatus.INOPERATIVE: "out of service",
}

WAITS: Final[dict[str, str]] = {
    "the connector is out of service": "say.unavailable",
    "the answer to the card": "wait.answer",
    "a card or a start from the app": "say.wait_auth",
    "a charging cable that is accepted here": "wait.cable",
    "a valid cable": "wait.cable",
    "the vehicle": "wait.vehicle",
    "the diode of the vehicle": "wait.vehicle",
    "an offer of at least 6 A": "wait.power",
    "the external release": "wait.release",
    "the switch of phases": "wait.phases",
    "the pause after over-current": "wait.over_current",
    "the plug lock": "wait.lock",
    "the ventilation": "wait.ventilation",
    "a ventilation, which this EVSE does not have": "wait.no_ventilation",
    "the ventilation, which is not announced as available": "wait.ventilation",
    "the residual current test": "wait.test",
    "the residual current monitor": "wait.moment",
    "the pause between opening and closing": "wait.moment",
    "the contactor, which is closed without a command": "wait.moment",
    "the feedback of the contactor": "wait.moment",
    "the board, which has opened by itself": "wait.moment",
    "the stored start": "wait.moment",
    "the energy meter": "wait.moment",
    "the signed reading of the energy meter": "wait.moment",
    "the database": "wait.moment",
    "the time of day": "wait.moment",
    "the board": "wait.moment",
    "the door": "wait.moment",
    "the emergency stop": "wait.moment",
    "a restart after a program fault": "wait.moment",
}
"""What an AC connector waits for, as the core says it -> text of the driver's catalogues."""


def state_key(view: EvseView) -> str:
    """Return the key of the state word: the phase, or reserved / unavailable where these hide an idle connector."""
    if view.phase is SessionPhase.IDLE:
        if view.operational is OperationalStatus.INOPERATIVE:
            return SessionPhase.UNAVAILABLE.value
        if view.reserved:
            return "reserved"
    return view.phase.value


def state_word(view: EvseView) -> str:
    """Return the console's word for the state."""
    return STATES[state_key(view)]


def state(view: EvseView) -> tuple[str, str]:
    """Return (mark and word, role) of the console."""
    key = state_key(view)
    mark, role = MARKS[key]
    return f"{mark} {STATES[key]}", role


def in_service(view: EvseView) -> str:
    """Whether back end and operator let the connector be used: ``yes / no``."""
    cells = (view.operational_backend, view.operational_local)
    return " / ".join("yes" if cell is OperationalStatus.OPERATIVE else "NO" for cell in cells)


def waits_for(view: EvseView) -> str:
    """Return what must happen next at a connector, in the core's words; "" = nothing."""
    return (view.ac.pause if view.ac is not None else "") or view.waiting_for


def plain(name: str) -> str:
    """``not_present`` -> ``not present``: a name that has no word of its own yet."""
    return name.replace("_", " ")


def all_faults(view: StationView) -> list[FaultRecord]:
    """Every active fault once: the station's list holds them all, an older daemon only those of the station."""
    found = {(f.code, f.evse_id): f for v in view.evses for f in v.faults}
    found.update({(f.code, f.evse_id): f for f in view.faults})
    return sorted(found.values(), key=lambda f: (f.evse_id, f.first_seen))


def energy_flows(view: EvseView) -> bool:
    """Return whether the connector is in the energy part of a session."""
    return view.phase in {SessionPhase.CHARGING, SessionPhase.SUSPENDED, SessionPhase.STOPPING}


def transaction_runs(view: EvseView) -> bool:
    """Return whether a transaction is open: there is something to stop."""
    return view.session is not None and view.session.started_at is not None and view.session.ended_at is None
