"""The shape of ``[ocpp]``: the back end. See `evse.config.model` for the rules."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from evse.domain.base import Frozen

Live = {"x-apply": "live"}
Restart = {"x-apply": "restart"}


class OcppSection(Frozen, frozen=True, kw_only=True):
    """The back end (OCPP 1.6J)."""

    enabled: Annotated[bool, Meta(title="Connect to a CSMS", extra_json_schema=Restart)] = False
    url: Annotated[str, Meta(title="ws:// or wss:// URL without the station name", extra_json_schema=Restart)] = ""
    charge_point_id: Annotated[
        str, Meta(title="Identity in the URL; empty = station.id", max_length=48, extra_json_schema=Restart)
    ] = ""
    heartbeat_s: Annotated[
        int,
        Meta(
            title="Heartbeat interval until the CSMS sets one, s",
            ge=1,
            le=86_400,
            extra_json_schema={**Live, "x-ocpp": "HeartbeatInterval"},
        ),
    ] = 300
    ping_s: Annotated[
        int,
        Meta(
            title="WebSocket ping interval, s; 0 = off",
            ge=0,
            le=3600,
            extra_json_schema={**Live, "x-ocpp": "WebSocketPingInterval"},
        ),
    ] = 30
    call_timeout_s: Annotated[int, Meta(title="Wait for an answer, s", ge=1, le=300, extra_json_schema=Live)] = 30
    sample_interval_s: Annotated[
        int,
        Meta(
            title="Sampled meter values, s; 0 = off",
            ge=0,
            le=86_400,
            extra_json_schema={**Live, "x-ocpp": "MeterValueSampleInterval"},
        ),
    ] = 60
    aligned_interval_s: Annotated[
        int,
        Meta(
            title="Clock-aligned meter values, s; 0 = off",
            ge=0,
            le=86_400,
            extra_json_schema={**Live, "x-ocpp": "ClockAlignedDataInterval"},
        ),
    ] = 0
    connection_timeout_s: Annotated[
        int,
        Meta(
            title="Authorised but nobody plugs in, s",
            ge=5,
            le=3600,
            extra_json_schema={**Live, "x-ocpp": "ConnectionTimeOut"},
        ),
    ] = 60
    light_intensity_pct: Annotated[
        int,
        Meta(
            title="Brightness of all lamps, %",
            ge=0,
            le=100,
            extra_json_schema={**Live, "x-ocpp": "LightIntensity"},
        ),
    ] = 100
    offline_policy: Annotated[
        Literal["deny", "cache", "allow"], Meta(title="Unknown cards while offline", extra_json_schema=Live)
    ] = "cache"
