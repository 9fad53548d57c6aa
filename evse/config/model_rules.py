"""The shape of ``[[rule]]``: event actions, in the order in which they are worked through. See `evse.domain.rules`."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from evse.domain.base import Frozen

Live = {"x-apply": "live"}

EventWord = Literal[
    "never", "always", "new_error", "error_resolved", "input_rising", "input_falling", "plug_connected",
    "plug_disconnected", "ev_connected", "ev_disconnected", "rfid_release", "rfid_denied", "derating_started",
    "derating_ended", "contactor_failure", "teach_in", "teach_out", "teach_in_failed",
]  # fmt: skip
ConditionWord = Literal[
    "never", "active", "input_high", "input_low", "plugged", "error", "error_internal", "error_external", "pp", "status_a",
    "status_b", "status_c", "status_d", "ev_connected", "ev_not_connected", "available", "preparing", "charging",
    "suspended_ev", "suspended_evse", "finishing", "reserved", "unavailable", "contactor_failure", "no_contactor_failure",
    "last_rfid_invalid", "pp_under", "pp_over", "analog_over", "analog_under", "release", "no_release", "external_release",
    "no_external_release", "derating", "no_derating", "authorizing", "reduced", "not_reduced", "pwm_on", "pwm_off",
    "backend_offline", "backend_offline_available", "backend_online", "backend_online_available",
]  # fmt: skip
ActionWord = Literal[
    "none", "enable_charging", "lock", "unlock", "output_low", "output_high", "output_floating", "output_flash_high",
    "output_flash_low", "output_pulsating", "output_bus", "limit", "external_release",
]  # fmt: skip


class RuleSection(Frozen, frozen=True, kw_only=True):
    """An event action: when the event happens and the condition holds, do the action. Its number is its place."""

    enabled: Annotated[bool, Meta(title="False keeps the rule in the file, out of use", extra_json_schema=Live)] = True
    note: Annotated[str, Meta(title="What it is for", max_length=80, extra_json_schema=Live)] = ""
    evse: Annotated[int, Meta(title="EVSE, 0 = every AC EVSE", ge=0, le=48, extra_json_schema=Live)] = 0
    event: Annotated[
        EventWord, Meta(title="What must happen; always = the condition alone decides", extra_json_schema=Live)
    ] = "always"
    event_input: Annotated[
        int, Meta(title="Digital input of input_rising and input_falling", ge=0, le=32, extra_json_schema=Live)
    ] = 0
    condition: Annotated[
        ConditionWord, Meta(title="What must hold at the same time; active = nothing", extra_json_schema=Live)
    ] = "active"
    condition_input: Annotated[
        int,
        Meta(title="Input of input_high, input_low, analog_over and analog_under", ge=0, le=32, extra_json_schema=Live),
    ] = 0
    condition_a: Annotated[
        int, Meta(title="Cable coding of pp, pp_under and pp_over, A", ge=0, le=70, extra_json_schema=Live)
    ] = 0
    condition_mv: Annotated[
        int, Meta(title="Voltage of analog_over and analog_under, mV", ge=0, le=60_000, extra_json_schema=Live)
    ] = 0
    action: Annotated[ActionWord, Meta(title="What is done", extra_json_schema=Live)] = "none"
    output: Annotated[
        int, Meta(title="Digital output of the actions output_...", ge=0, le=32, extra_json_schema=Live)
    ] = 0
    flash_pct: Annotated[
        int,
        Meta(
            title="Share of 2 s in which a flashing output has the named level, %", ge=0, le=100, extra_json_schema=Live
        ),
    ] = 50
    status: Annotated[
        Literal["bus", "enable", "disable"],
        Meta(
            title="Of enable_charging and external_release; bus = other programs decide",
            extra_json_schema=Live,
        ),
    ] = "bus"
    limit_a: Annotated[
        int, Meta(title="Highest current per phase of the action limit, A", ge=0, le=125, extra_json_schema=Live)
    ] = 0
    message: Annotated[
        str,
        Meta(
            title="Text for the back end with external_release = disable; EmergencyStop ends the transaction with "
            "this reason",
            max_length=50,
            extra_json_schema=Live,
        ),
    ] = ""
    timer_ms: Annotated[
        int,
        Meta(
            title="How long the action stands after the rule has triggered, ms; 0 = until another rule revokes it",
            ge=0,
            le=86_400_000,
            extra_json_schema=Live,
        ),
    ] = 0
