"""The shape of ``[[led]]``: lamps of AC EVSEs. See `evse.domain.leds`."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from evse.domain.base import Frozen

Live = {"x-apply": "live"}


class LedBehaviourSection(Frozen, frozen=True, kw_only=True):
    """How one condition is shown; replaces what the profile says about it."""

    condition: Annotated[
        Literal[
            "init", "updating", "failure", "error", "auth_pending", "auth_rejected", "auth_accepted", "deactivated",
            "ventilation_1", "charge_1", "ventilation_request", "charge_request", "connected", "reserved", "ready",
        ],
        Meta(title="When; the first one of this list that stands is shown", extra_json_schema=Live),
    ]  # fmt: skip
    mode: Annotated[
        Literal["solid", "blink_slow", "blink_fast", "fade"],
        Meta(title="blink_slow = 1 s on, 1 s off; blink_fast = 100 ms on, 100 ms off", extra_json_schema=Live),
    ] = "solid"
    color: Annotated[
        Literal["black", "white", "red", "green", "blue", "cyan", "yellow", "magenta"],
        Meta(title="black = off", extra_json_schema=Live),
    ]
    brightness_pct: Annotated[int, Meta(title="Brightness, %", ge=0, le=100, extra_json_schema=Live)] = 100
    brightness_min_pct: Annotated[int, Meta(title="Dark end of fade, %", ge=0, le=100, extra_json_schema=Live)] = 0
    period_ms: Annotated[
        int,
        Meta(title="Period of blinking and fading, ms; 0 = that of the mode", ge=0, le=60_000, extra_json_schema=Live),
    ] = 0
    duration_ms: Annotated[
        int,
        Meta(
            title="How long it is shown, ms; then what else stands; 0 = as long as it stands",
            ge=0,
            le=3_600_000,
            extra_json_schema=Live,
        ),
    ] = 0


class LedSection(Frozen, frozen=True, kw_only=True):
    """A lamp. Without any, the lamps of board and reader show the profile generic."""

    evse: Annotated[int, Meta(title="EVSE, 0 = every AC EVSE", ge=0, le=48, extra_json_schema=Live)] = 0
    lamp: Annotated[
        Literal["status", "reader", "outputs"],
        Meta(title="RGB lamp of the board, of the card reader, or digital outputs", extra_json_schema=Live),
    ] = "status"
    outputs: Annotated[
        tuple[int, ...],
        Meta(title="Of lamp = outputs: red, green and blue, or one for every colour", extra_json_schema=Live),
    ] = ()
    profile: Annotated[
        str, Meta(title="Profile of profiles/leds, empty = none", max_length=40, extra_json_schema=Live)
    ] = "generic"
    buzzer: Annotated[
        bool, Meta(title="Of lamp = reader: the buzzer answers cards", extra_json_schema=Live)
    ] = True
    behaviour: Annotated[tuple[LedBehaviourSection, ...], Meta(title="Own behaviours", extra_json_schema=Live)] = ()
