"""Models of field devices and of the flight recorder."""

from __future__ import annotations

from evse.api.models_base import Model, ShortText
from evse.units import WallNs


class PlcRow(Model, frozen=True, kw_only=True):
    evse_id: int | None  # None = detected, not configured
    port: str
    detected: bool
    configured: bool
    matched: bool
    online: bool
    firmware: str
    board_id: str
    hint: str = ""  # what to do when it is not matched


class PlcDiscovery(Model, frozen=True, kw_only=True):
    items: tuple[PlcRow, ...]
    in_sync: bool


class MeterRow(Model, frozen=True, kw_only=True):
    name: str
    evse_id: int  # 0 = site
    profile: str
    port: str
    address: int
    online: bool
    detail: str
    age_ms: int | None
    power_w: int | None
    energy_import_wh: int | None
    energy_export_wh: int | None
    voltage_mv: int | None
    current_ma: int | None
    voltage_l_mv: tuple[int, int, int] | None = None
    current_l_ma: tuple[int, int, int] | None = None
    frequency_mhz: int | None = None
    temperature_dc: int | None = None
    power_l_w: tuple[int, int, int] | None = None
    poll_ms: int | None = None  # pause between two polls
    unavailable_ms: int | None = None  # so long it may be silent before its values are taken for lost
    polls: int = 0
    errors: int = 0  # polls that failed
    signed: str = ""  # off, prefer, require; "" = the model does not sign its readings, or measures the site
    serial: str = ""  # of a meter that signs
    public_key: str = ""  # SubjectPublicKeyInfo in hexadecimal digits; "" = not told
    not_signed: str = ""  # why the last signed reading, or the key, did not come


class Meters(Model, frozen=True, kw_only=True):
    items: tuple[MeterRow, ...]


class MeterRef(Model, frozen=True, kw_only=True):
    name: ShortText = ""  # "" = all


class ProbeRequest(Model, frozen=True, kw_only=True):
    name: ShortText  # configured meter


class ProbeRegister(Model, frozen=True, kw_only=True):
    quantity: str
    address: int
    raw: str  # registers in hex
    value: str
    error: str = ""


class ProbeResult(Model, frozen=True, kw_only=True):
    name: str
    ok: bool
    detail: str
    registers: tuple[ProbeRegister, ...]


class ReaderRow(Model, frozen=True, kw_only=True):
    name: str
    port: str
    online: bool
    detail: str
    last_token: str
    last_at: WallNs | None
    evses: tuple[int, ...]


class Readers(Model, frozen=True, kw_only=True):
    items: tuple[ReaderRow, ...]


# -- traces -------------------------------------------------------------------------------------------------------


class TraceDump(Model, frozen=True, kw_only=True):
    path: str
    ticks: int
    seconds: int
    bytes: int
