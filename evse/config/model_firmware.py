"""``[firmware]``: installing other versions of the station's software."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from evse.domain.base import Frozen

Live = {"x-apply": "live"}
Restart = {"x-apply": "restart"}


class FirmwareSection(Frozen, frozen=True, kw_only=True):
    """Installing firmware."""

    installer: Annotated[
        str,
        Meta(
            title="Program that installs bundles, with an absolute path and its arguments; empty = the station installs none",
            max_length=500,
            extra_json_schema=Restart,
        ),
    ] = ""
    wait_idle: Annotated[
        bool,
        Meta(
            title="The installation begins only when no transaction runs; the restart after it waits for that in any case",
            extra_json_schema=Live,
        ),
    ] = True
    signed_only: Annotated[
        bool, Meta(title="The back end may install signed bundles only (SignedUpdateFirmware)", extra_json_schema=Live)
    ] = False
    max_mib: Annotated[int, Meta(title="Largest bundle that is fetched, MiB", ge=1, le=16_384, extra_json_schema=Live)] = 1024
