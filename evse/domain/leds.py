"""Lamps: which condition is shown how, on which lamp.

Sources: Charge Control C user guide, table 49 (leds.json: conditions, modes, colours, duration) and 7.9.2 (status LED); CHARX
web-based management, "CHARX RFID/NFC Board" (brightness, fade with two ends, period; a card is answered for one second).
"""

from __future__ import annotations

import enum

import msgspec


class LedCondition(enum.Enum):
    """What a lamp can show; the first one here that stands and has a behaviour is shown."""

    INIT = "init"  # since start, until the board has spoken
    UPDATING = "updating"  # firmware
    FAILURE = "failure"  # a fault that a person must clear
    ERROR = "error"  # a fault that goes away with its cause, or with the vehicle
    AUTH_PENDING = "auth_pending"
    AUTH_REJECTED = "auth_rejected"
    AUTH_ACCEPTED = "auth_accepted"
    DEACTIVATED = "deactivated"  # out of service
    VENTILATION_1 = "ventilation_1"  # energy flows with ventilation (state D)
    CHARGE_1 = "charge_1"  # energy flows (state C)
    VENTILATION_REQUEST = "ventilation_request"  # state D, nothing flows
    CHARGE_REQUEST = "charge_request"  # state C, nothing flows
    CONNECTED = "connected"
    RESERVED = "reserved"
    READY = "ready"

    __hash__ = object.__hash__


class LedMode(enum.Enum):
    """How a lamp behaves."""

    SOLID = "solid"
    BLINK_SLOW = "blink_slow"  # 1 s on, 1 s off
    BLINK_FAST = "blink_fast"  # 100 ms on, 100 ms off
    FADE = "fade"

    __hash__ = object.__hash__


class Lamp(enum.Enum):
    """Which lamp."""

    STATUS = "status"  # RGB lamp of the board
    READER = "reader"  # RGB lamp of the card reader
    OUTPUTS = "outputs"  # digital outputs: red, green, blue, or one for all colours

    __hash__ = object.__hash__


COLOURS = {
    "black": 0x000000, "white": 0xFFFFFF, "red": 0xFF0000, "green": 0x00FF00, "blue": 0x0000FF, "cyan": 0x00FFFF,
    "yellow": 0xFFFF00, "magenta": 0xFF00FF,
}  # fmt: skip

PERIOD_MS = {LedMode.SOLID: 0, LedMode.BLINK_SLOW: 2_000, LedMode.BLINK_FAST: 200, LedMode.FADE: 4_000}
"""Period of a mode where the behaviour has none of its own; half of it is on."""


class LedBehaviour(msgspec.Struct, frozen=True, kw_only=True):
    """How one condition is shown. ``duration_ms`` 0 = as long as it stands; then the next condition is shown."""

    condition: LedCondition
    mode: LedMode = LedMode.SOLID
    rgb: int = 0  # 0xRRGGBB
    brightness_pct: int = 100
    brightness_min_pct: int = 0  # the dark end of FADE
    period_ms: int = 0  # 0 = that of the mode
    duration_ms: int = 0


class LedSpec(msgspec.Struct, frozen=True, kw_only=True):
    """One lamp of one EVSE, or of every AC EVSE (``evse_id`` 0). Later ones for the same lamp win."""

    evse_id: int = 0
    lamp: Lamp = Lamp.STATUS
    outputs: tuple[int, ...] = ()  # of OUTPUTS: one, or three for red, green and blue
    behaviours: tuple[LedBehaviour, ...] = ()
    buzzer: bool = False  # of READER: sounds for a card
