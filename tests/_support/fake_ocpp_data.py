"""What the fake station's back-end link shows: keys, messages, events of the link, queue, charging profiles, doctor."""

from __future__ import annotations

from evse.api import models_ocpp as o
from evse.planner.composite import ChargingProfile, Kind, Period, Purpose, Unit
from tests._support.fake_data import T0, minutes

URL = "wss://csms.example.org/ocpp/DC-0001"


def _key(key: str, value: str, help_: str, *, readonly: bool = False, **more: str | bool) -> o.OcppKey:
    return o.OcppKey(key=key, value=value, readonly=readonly, help=help_, **more)  # type: ignore[arg-type]


KEYS = (
    _key("AuthorizationKey", "", "Password towards the CSMS, never shown", profile="Security", writeonly=True,
         applies="with the next connection"),
    _key("HeartbeatInterval", "300", "Heartbeat interval", unit="s", type="int", range="1..86400"),
    _key("LocalAuthListEnabled", "true", "Cards that the CSMS has sent beforehand count", type="bool",
         profile="LocalAuthListManagement"),
    _key("MeterValueSampleInterval", "60", "Sampled meter values", unit="s", type="int", range="0..86400"),
    _key("NumberOfConnectors", "2", "Connectors of the station", readonly=True, type="int"),
    _key("WebSocketPingInterval", "30", "WebSocket ping", unit="s", type="int", range="0..3600"),
)  # fmt: skip


def _message(seq: int, ago_s: int, direction: str, kind: str, action: str, unique_id: str, payload: str, **more: int) -> o.OcppMessage:
    return o.OcppMessage(
        seq=seq, wall=T0 - ago_s * 1_000_000_000, direction=direction, type=kind, action=action, unique_id=unique_id,
        payload=payload, **more,
    )  # fmt: skip


MESSAGES = (
    _message(408, 660, "sent", "call", "StartTransaction", "a1-408", '{"connectorId":1,"idTag":"04A3B2C1D0E5F6","meterStart":1284310}',
             evse_id=1, pair=409),
    _message(409, 660, "received", "result", "StartTransaction", "a1-408", '{"transactionId":4711,"idTagInfo":{"status":"Accepted"}}',
             evse_id=1, pair=408, latency_ms=184),
    _message(410, 120, "sent", "call", "Heartbeat", "a1-410", "{}", pair=411),
    _message(411, 120, "received", "result", "Heartbeat", "a1-410", '{"currentTime":"2026-01-01T09:58:00Z"}', pair=410, latency_ms=61),
)  # fmt: skip

LINK_EVENTS = tuple(
    o.OcppLogRow(seq=seq, wall=T0 - minutes(ago), what=what, target="active", url=URL, text=text)
    for seq, ago, what, text in (
        (1, 174, "dialling", ""),
        (2, 174, "failed", f"{URL}: HTTP 503: the CSMS is not available now"),
        (3, 172, "dialling", ""),
        (4, 172, "connected", "203.0.113.7:443"),
        (5, 172, "registered", ""),
    )
)


def _row(row_id: int, ago: int, state: str, action: str, payload: str, **more: object) -> o.OcppQueueRow:
    values: dict[str, object] = {
        "row_id": row_id, "state": state, "action": action, "session_id": "s-000021", "transaction_id": None,
        "created_at": T0 - minutes(ago), "attempts": 0, "reason": "", "unique_id": f"q-{row_id}", "payload": payload, "backend": "",
    }  # fmt: skip
    return o.OcppQueueRow(**(values | more))  # type: ignore[arg-type]


QUEUE = (
    _row(61, 55, "parked", "StartTransaction", '{"connectorId":2,"idTag":"07A47731","meterStart":80100}', attempts=3,
         reason="InternalError: database is locked"),
    _row(64, 11, "waiting", "MeterValues", '{"connectorId":1,"meterValue":[]}', session_id="s-000025", transaction_id=4711),
    _row(12, 1440, "foreign", "StopTransaction", '{"meterStop":70411,"reason":"Local"}', session_id="s-000003", transaction_id=88,
         backend="old.example.org/DC-0001"),
)  # fmt: skip


def _profile(number: int, **changes: object) -> ChargingProfile:
    values: dict[str, object] = {
        "profile_id": number, "evse_id": 0, "stack_level": 0, "purpose": Purpose.TX_DEFAULT, "kind": Kind.ABSOLUTE,
        "unit": Unit.W, "periods": (Period(start_s=0, limit_deci=200_000),), "set_at": T0 - minutes(600), "start": T0 - minutes(600),
    }  # fmt: skip
    return ChargingProfile(**(values | changes))  # type: ignore[arg-type]


PROFILES = (
    _profile(1, purpose=Purpose.CHARGE_POINT_MAX, periods=(Period(start_s=0, limit_deci=800_000), Period(start_s=39_600, limit_deci=600_000))),
    _profile(7, kind=Kind.RECURRING, recurrence_s=86_400, unit=Unit.A, periods=(
        Period(start_s=0, limit_deci=260), Period(start_s=37_800, limit_deci=160))),
    _profile(9, stack_level=3, valid_from=T0 + minutes(90)),
    _profile(12, evse_id=2, stack_level=2),
)  # fmt: skip


def _step(name: str, detail: str, *facts: str, took_ms: int | None = None, result: str = "ok", remedy: str = "") -> o.OcppDoctorStep:
    return o.OcppDoctorStep(name=name, result=result, detail=detail, took_ms=took_ms, facts=facts, remedy=remedy)


DOCTOR_OK = o.OcppDoctor(url=URL, target="active", live=True, failed="", items=(
    _step("dns", "csms.example.org is 203.0.113.7", "host: csms.example.org", "addresses: 203.0.113.7", took_ms=12),
    _step("tcp", "connected to 203.0.113.7 port 443 directly", "address: 203.0.113.7", "port: 443", "own address: 192.0.2.10",
          took_ms=31),
    _step("tls", "TLSv1.3, certificate accepted", "version: TLSv1.3", "certificate: CN=csms.example.org",
          "issued by: CN=Example CA,O=Example", "valid until: 2026-11-02T12:00:00.000Z", took_ms=64),
    _step("http", "as the link that stands", "link since: 2026-01-01T07:08:00.000Z"),
    _step("credentials", "as the link that stands", "link since: 2026-01-01T07:08:00.000Z"),
    _step("subprotocol", "as the link that stands", "link since: 2026-01-01T07:08:00.000Z"),
    _step("clock", "the CSMS is 0.3 s ahead of this station", "offset: +0.3 s"),
    _step("boot", "BootNotification accepted", "heartbeat: 300 s"),
))  # fmt: skip

DOCTOR_401 = o.OcppDoctor(url=URL, target="active", live=False, failed="credentials", items=(
    *DOCTOR_OK.items[:3],
    _step("http", "HTTP 401: a web server answers", "status: 401 Unauthorized", "server: nginx", took_ms=40),
    _step("credentials", "HTTP 401: the CSMS refuses user or password", "status: 401 Unauthorized", result="failed",
          remedy="set the password that the CSMS has for this station: evsectl ocpp security set-key"),
    *(_step(name, "not tried", result="skipped") for name in ("subprotocol", "clock", "boot")),
))  # fmt: skip
