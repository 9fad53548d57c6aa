"""``[access]``: who decides about a card or a vehicle, and in which order."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from evse.domain.base import Frozen

Live = {"x-apply": "live"}

SOURCES = ("whitelist", "ocpp")
"""What may stand in ``access.mode``."""


class AccessSection(Frozen, frozen=True, kw_only=True):
    """Who may charge."""

    mode: Annotated[
        tuple[str, ...],
        Meta(
            title="Who is asked about a card, the first one who knows it decides: whitelist = the station's own list, "
            "ocpp = back end with its local list, cache and offline rules. Leave one out and it is never asked",
            min_length=1,
            extra_json_schema=Live,
        ),
    ] = ("whitelist", "ocpp")
    if_in_doubt_allow: Annotated[
        bool,
        Meta(title="Accept a card that nobody knows while no back end can be asked", extra_json_schema=Live),
    ] = False
    autocharge: Annotated[
        bool,
        Meta(title="Let a vehicle charge by its EVCC ID (MAC address), without a card", extra_json_schema=Live),
    ] = False
    autocharge_ocpp: Annotated[
        bool,
        Meta(
            title="Ask the back end about a vehicle that is not on the station's own list (needs ocpp in mode)",
            extra_json_schema=Live,
        ),
    ] = False
    autocharge_prefix: Annotated[
        str,
        Meta(
            title="Put before the EVCC ID where a vehicle is an idTag: VID:020000000001",
            max_length=8,
            extra_json_schema=Live,
        ),
    ] = "VID:"
