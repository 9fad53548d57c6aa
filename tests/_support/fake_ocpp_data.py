"""What the fake station's back-end link shows: keys, messages, events of the link, queue, charging profiles, doctor."""

from __future__ import annotations

from evse.api import models_ocpp as o
from evse.api import models_ocpp_data as d
from evse.api import models_ocpp_security as s
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


def _certificate(kind: str, fingerprint: str, subject: str, days: int, **more: object) -> s.OcppCertificate:
    values: dict[str, object] = {
        "fingerprint": fingerprint * 8, "type": kind, "subject": subject, "issuer": subject, "serial_number": "1f4a",
        "valid_from": T0 - minutes(60 * 24 * 300), "valid_to": T0 + minutes(60 * 24 * days), "public_key": "EC P-256",
        "hash_algorithm": "SHA256", "issuer_name_hash": "ab" * 32, "issuer_key_hash": "cd" * 32,
        "installed_at": T0 - minutes(60 * 24 * 200), "in_use": False, "note": "",
    }  # fmt: skip
    return s.OcppCertificate(**(values | more))  # type: ignore[arg-type]


CERTIFICATES = (
    _certificate("CentralSystemRootCertificate", "3fa91c07", "CN=Example CA,O=Example", 900, in_use=True, note="root of the CSMS"),
    _certificate("CentralSystemRootCertificate", "77b01e55", "CN=Old CA,O=Example", 12),
    _certificate("ManufacturerRootCertificate", "c4d2aa10", "CN=Firmware CA,O=Example", 2000),
    _certificate("ChargePointCertificate", "09be4f12", "CN=DC-0001,O=Example", 80, issuer="CN=Example CA,O=Example", in_use=True,
                 note="ready for profile 3"),
)  # fmt: skip

SECURITY = s.OcppSecurityState(
    profile=2, url="wss://csms.example.org/ocpp", proven=True, key_set=True, user="", key_age_s=40 * 86_400,
    certificate=CERTIFICATES[3],
    request_pending=False, signing="accepted", roots=2, verify="full", insecure=False, staged=None, given_up=None,
    tls=s.OcppTls(
        version="TLSv1.3", cipher="TLS_AES_256_GCM_SHA384", peer="CN=csms.example.org", issuer="CN=Example CA,O=Example",
        valid_to=T0 + minutes(60 * 24 * 300), root="3fa91c07" * 8, dates_checked=True, at=T0 - minutes(172),
    ),
    revocation="OCSP soft: good, until 2026-03-03 09:00", last_failure="", last_problem="", events_waiting=0,
    warnings=("the root certificate CN=Old CA,O=Example ends in 12 days",),
)  # fmt: skip

STAGED = s.OcppStagedChange(
    url="wss://new.example.org/ocpp", profile=3, changed="URL, profile 2 to 3", by="local", since=T0 - minutes(4), tries=1, limit=3,
    next=True, last_error="HTTP 401: the CSMS refuses user or password",
)  # fmt: skip

SECURITY_EVENTS = tuple(
    s.OcppSecurityEvent(seq=seq, wall=T0 - minutes(ago), type=what, detail=detail, state=state)
    for seq, ago, what, detail, state in (
        (1, 9000, "StartupOfTheDevice", "0.1.0", "sent"),
        (2, 8000, "InvalidCentralSystemCertificate", "it has expired, or the clock of this station is wrong", "sent"),
        (3, 300, "InvalidMessages", "3 unreadable messages", "logged"),
        (4, 3, "FailedToAuthenticateAtCentralSystem", "HTTP 401", "waiting"),
    )
)


def _transfer(transfer: str, state: str, **more: object) -> s.OcppTransfer:
    values: dict[str, object] = {
        "transfer": transfer, "state": state, "stage": "", "status": "", "request_id": None, "location": "", "percent": None,
        "bytes_done": None, "bytes_total": None, "attempt": None, "attempts": None, "at": None, "detail": "",
    }  # fmt: skip
    return s.OcppTransfer(**(values | more))  # type: ignore[arg-type]


TRANSFERS = (
    _transfer("firmware", "running", stage="downloading", status="Downloading", request_id=17, percent=42, bytes_done=44_040_192,
              bytes_total=104_857_600, attempt=1, attempts=3, location="https://files.example.org/dc-0.2.0.raucb"),
    _transfer("diagnostics", "failed", status="UploadFailed", at=T0 - minutes(500), location="ftp://files.example.org/up",
              detail="files.example.org: 530 Login incorrect"),
    _transfer("log", "done", status="Uploaded", request_id=9, at=T0 - minutes(3000), location="https://files.example.org/logs"),
)  # fmt: skip

DATA_REQUESTS = (
    d.OcppDataRequest(request_id="dt-1", vendor_id="com.example", message_id="lamp", data='{"on": true}'),
    d.OcppDataRequest(request_id="dt-2", vendor_id="com.example", message_id=None, data=None),
)
