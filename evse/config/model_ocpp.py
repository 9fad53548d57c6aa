"""The shape of ``[ocpp]``: the back end. See `evse.config.model` for the rules."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, field

from evse.config.model_ocpp_security import OcppSecuritySection, OcppTlsSection
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
    ping_timeout_s: Annotated[
        int,
        Meta(
            title="Wait for the answer to a WebSocket ping, s; then the link counts as lost",
            ge=1,
            le=3600,
            extra_json_schema={**Live, "x-ocpp": "webSocketPingTimeout"},
        ),
    ] = 10
    tcp_timeout_s: Annotated[
        int,
        Meta(
            title="TCP ends the connection when nothing is acknowledged for so long, s; 0 = the system's time",
            ge=0,
            le=3600,
            extra_json_schema=Restart,
        ),
    ] = 60
    proxy: Annotated[
        str,
        Meta(title="Proxy for all of OCPP: http://, https://, socks5:// or socks5h://[user:password@]host:port; empty = none",
             extra_json_schema={**Restart, "x-secret": True}),
    ] = ""
    interface: Annotated[
        str,
        Meta(title="Network interface (eth0) or own address for all of OCPP to connect from; empty = as the routes say",
             max_length=45, extra_json_schema=Restart),
    ] = ""
    boot_on_reconnect: Annotated[
        bool,
        Meta(
            title="BootNotification after every reconnect, for a CSMS that knows stations by it only",
            extra_json_schema={**Live, "x-ocpp": "bootNotificationOnReconnect"},
        ),
    ] = False
    use_as_time_source: Annotated[
        bool,
        Meta(
            title="Take the time from the CSMS while no time daemon (NTP) keeps the clock",
            extra_json_schema={**Live, "x-ocpp": "useAsTimeSource"},
        ),
    ] = True
    set_system_clock: Annotated[
        bool,
        Meta(
            title="The time of the CSMS sets the system clock too, if permitted; else the station keeps an offset",
            extra_json_schema=Restart,
        ),
    ] = False
    send_meter_public_key: Annotated[
        bool,
        Meta(
            title="Send the public keys of signing meters after BootNotification",
            extra_json_schema={**Live, "x-ocpp": "sendMeterPublicKeyOnBootNotification"},
        ),
    ] = True
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
    allow_tx_with_invalid_time: Annotated[
        bool,
        Meta(
            title="Transactions may start before the station knows the time",
            extra_json_schema={**Live, "x-ocpp": "allowTxWithInvalidTime"},
        ),
    ] = True
    queue_per_s: Annotated[
        int,
        Meta(title="Queued transaction messages sent per second after an outage", ge=1, le=1000, extra_json_schema=Live),
    ] = 10
    meter_age_s: Annotated[
        int,
        Meta(
            title="Age of the stored meter value with which a power cut ends a transaction, s at most",
            ge=15,
            le=600,
            extra_json_schema=Restart,
        ),
    ] = 40
    status_informative: Annotated[
        bool, Meta(title="StatusNotification tells warnings beside a normal state", extra_json_schema=Live)
    ] = True
    status_errors: Annotated[
        bool, Meta(title="StatusNotification tells which fault; false = Faulted with OtherError only", extra_json_schema=Live)
    ] = True
    ftp_try_tls: Annotated[
        bool,
        Meta(
            title="Ask FTP servers for TLS before anything else is said, and go on without it where there is none",
            extra_json_schema={**Live, "x-ocpp": "ftpTryTLSUpgrade"},
        ),
    ] = False
    http_upload: Annotated[
        Literal["post", "put", "form"],
        Meta(title="Files are uploaded over HTTP by POST, by PUT, or by POST as the form field \"file\"", extra_json_schema=Live),
    ] = "post"
    transfer_idle_s: Annotated[
        int, Meta(title="A file transfer in which nothing moves so long is broken off, s", ge=5, le=3600, extra_json_schema=Live)
    ] = 60
    transfer_limit_s: Annotated[
        int, Meta(title="One attempt at a file transfer takes at most so long, s", ge=60, le=86_400, extra_json_schema=Live)
    ] = 3600
    security: OcppSecuritySection = field(default_factory=OcppSecuritySection)
    tls: OcppTlsSection = field(default_factory=OcppTlsSection)
