"""The shape of ``station.toml``. Every option is declared here once: type, unit (in its name), range, default, help.

`evse.config.options` reads these declarations and renders them as documentation, JSON Schema, editor fields and
error messages; `evse.config.load` reads files. Field metadata: ``title`` = one line of help, ``ge``/``le`` = range,
``extra_json_schema`` keys: ``x-apply`` = "live" | "idle" | "restart", ``x-ocpp`` = OCPP configuration key,
``x-secret`` = True for values that are never shown.
"""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import UNSET, Meta, UnsetType, field

from evse.config.model_ac import AcSection
from evse.config.model_access import AccessSection
from evse.config.model_firmware import FirmwareSection
from evse.config.model_io import IoSection, RecloserSection
from evse.config.model_leds import LedSection
from evse.config.model_ocpp import OcppSection
from evse.config.model_rules import RuleSection
from evse.config.model_site import FuseSection, GridSection
from evse.domain.base import Frozen

Live = {"x-apply": "live"}
Restart = {"x-apply": "restart"}


class StationSection(Frozen, frozen=True, kw_only=True):
    id: Annotated[
        str,
        Meta(
            title="Name of the station towards the back end and people",
            min_length=1,
            max_length=48,
            extra_json_schema=Restart,
        ),
    ]
    vendor: Annotated[str, Meta(title="chargePointVendor", max_length=20, extra_json_schema=Restart)] = "Example"
    model: Annotated[str, Meta(title="chargePointModel", max_length=20, extra_json_schema=Restart)] = "DC station"
    serial_number: Annotated[str, Meta(title="chargePointSerialNumber", max_length=25, extra_json_schema=Restart)] = ""
    support_phone: Annotated[
        str, Meta(title="Phone number shown on the kiosk", max_length=32, extra_json_schema=Live)
    ] = ""
    language: Annotated[
        Literal["en", "de", "fr"], Meta(title="First language of the kiosk", extra_json_schema=Live)
    ] = "en"
    timezone: Annotated[
        str, Meta(title="Time zone of hours and days, e.g. Europe/Berlin", max_length=48, extra_json_schema=Live)
    ] = "UTC"
    data_dir: Annotated[
        str, Meta(title="Directory for the database and traces; empty = platform default", extra_json_schema=Restart)
    ] = ""


class BoardSection(Frozen, frozen=True, kw_only=True):
    """How the board of an EVSE is reached."""

    port: Annotated[str, Meta(title="Serial port, best /dev/serial/by-id/...", min_length=1, extra_json_schema=Restart)]
    baud: Annotated[int, Meta(title="Baud rate", ge=9600, le=3_000_000, extra_json_schema=Restart)] = 115_200


class MeterSection(Frozen, frozen=True, kw_only=True):
    """One meter: a profile of profiles/meters, and how it is reached."""

    profile: Annotated[str, Meta(title="Meter profile, e.g. eastron/sdm630", min_length=1, extra_json_schema=Restart)]
    port: Annotated[
        str, Meta(title="Serial port of the RS-485 bus, or tcp://host:port", min_length=1, extra_json_schema=Restart)
    ]
    address: Annotated[int, Meta(title="Modbus unit", ge=1, le=247, extra_json_schema=Restart)] = 1
    baud: (
        Annotated[
            int, Meta(title="Baud rate; default from the profile", ge=1200, le=115_200, extra_json_schema=Restart)
        ]
        | UnsetType
    ) = UNSET
    parity: (
        Annotated[Literal["N", "E", "O"], Meta(title="Parity; default from the profile", extra_json_schema=Restart)]
        | UnsetType
    ) = UNSET
    echo: Annotated[bool, Meta(title="The adapter hears its own bytes", extra_json_schema=Restart)] = False
    poll_ms: Annotated[int, Meta(title="Poll period in ms", ge=100, le=60_000, extra_json_schema=Restart)] = 1000
    signed: Annotated[
        Literal["off", "prefer", "require"],
        Meta(
            title="Signed readings of an EVSE meter whose profile has [signing]: off = not asked for, prefer = charging goes on "
            "without, require = no charging without",
            extra_json_schema=Restart,
        ),
    ] = "prefer"
    signed_wait_s: Annotated[
        int,
        Meta(title="Longest wait for a signed reading before the start and at the end, s", ge=3, le=60, extra_json_schema=Restart),
    ] = 10


class ReaderSection(Frozen, frozen=True, kw_only=True):
    """An RFID reader; may serve several EVSEs."""

    name: Annotated[str, Meta(title="Name of the reader", min_length=1, extra_json_schema=Restart)]
    driver: Annotated[
        Literal["sl032", "pn532", "twn4", "line", "hid"],
        Meta(
            title="Reader family: sl032 = StrongLink, pn532 = PN532 on a UART, twn4 = ELATEC with the simple protocol, "
            "line = any that says a card as a line of 8, 14 or 20 hex or 10 decimal digits, hid = one that types like a "
            "keyboard (port = a path below /dev/input, or input:<name>)",
            extra_json_schema=Restart,
        ),
    ] = "sl032"
    port: Annotated[
        str, Meta(title="Serial port; of a hid reader its input device", min_length=1, extra_json_schema=Restart)
    ]
    baud: (
        Annotated[
            int,
            Meta(
                title="Baud rate (default: 115200 for pn532, 9600 for the others)",
                ge=9600,
                le=115_200,
                extra_json_schema=Restart,
            ),
        ]
        | UnsetType
    ) = UNSET
    evses: Annotated[
        tuple[int, ...], Meta(title="EVSEs that the reader serves", min_length=1, extra_json_schema=Restart)
    ] = (1,)
    byte_order: Annotated[
        Literal["big", "little"],
        Meta(
            title="Byte order of the UID; little turns 04A1B2C3 into C3B2A104",
            extra_json_schema=Live,
        ),
    ] = "big"
    character_order: Annotated[
        Literal["plain", "word", "digit"],
        Meta(
            title="Order inside each 16 bit word of the UID, after byte_order: word exchanges its bytes (04A1B2C3 "
            "becomes A104C3B2), digit the two hex digits of each byte (401A2B3C)",
            extra_json_schema=Live,
        ),
    ] = "plain"


class EvseSection(Frozen, frozen=True, kw_only=True):
    """One EVSE with its connector."""

    id: Annotated[int, Meta(title="EVSE number, 1..n", ge=1, le=48, extra_json_schema=Restart)]
    kind: Annotated[Literal["dc", "ac"], Meta(title="Current type", extra_json_schema=Restart)] = "dc"
    voltage_max_v: Annotated[
        int, Meta(title="Highest output voltage, V", ge=200, le=1000, extra_json_schema=Restart)
    ] = 1000
    current_max_a: Annotated[
        int, Meta(title="Highest output current, A (cable)", ge=1, le=600, extra_json_schema=Restart)
    ] = 250
    power_max_w: Annotated[
        int, Meta(title="Highest output power, W", ge=1000, le=400_000, extra_json_schema=Restart)
    ] = 180_000
    home_group: Annotated[
        int, Meta(title="Module group of this EVSE, 0 = none", ge=0, le=64, extra_json_schema=Restart)
    ] = 0
    free_charging: Annotated[bool, Meta(title="Charge without authorisation", extra_json_schema=Live)] = False
    free_id_token: Annotated[
        str, Meta(title="idTag used while charging is free", max_length=20, extra_json_schema=Live)
    ] = ""
    derate_start_c: Annotated[
        int,
        Meta(title="Connector temperature at which power begins to fall, °C", ge=30, le=120, extra_json_schema=Live),
    ] = 80
    derate_end_c: Annotated[
        int, Meta(title="Connector temperature at which charging ends, °C", ge=31, le=130, extra_json_schema=Live)
    ] = 90
    board: BoardSection
    meter: MeterSection | None = None
    recloser: RecloserSection | None = None
    ac: AcSection | None = None


class GroupSection(Frozen, frozen=True, kw_only=True):
    """A group of power modules, in bus order."""

    id: Annotated[int, Meta(title="Group number, 1..n in bus order", ge=1, le=64, extra_json_schema=Restart)]
    addresses: Annotated[
        tuple[int, ...], Meta(title="CAN addresses of the modules", min_length=1, extra_json_schema=Restart)
    ]
    module_power_w: Annotated[
        int, Meta(title="Rated power of one module, W", ge=1000, le=100_000, extra_json_schema=Restart)
    ] = 30_000
    module_current_a: Annotated[
        int, Meta(title="Rated current of one module, A", ge=1, le=200, extra_json_schema=Restart)
    ] = 100


class ModulesSection(Frozen, frozen=True, kw_only=True):
    """The power modules of the cabinet."""

    driver: Annotated[Literal["infypower"], Meta(title="Module family", extra_json_schema=Restart)] = "infypower"
    interface: Annotated[
        Literal["socketcan", "udp_multicast", "slcan", "virtual"],
        Meta(title="python-can interface", extra_json_schema=Restart),
    ] = "socketcan"
    channel: Annotated[str, Meta(title="CAN channel, e.g. can0", min_length=1, extra_json_schema=Restart)] = "can0"
    bitrate: Annotated[int, Meta(title="Bit rate", ge=10_000, le=1_000_000, extra_json_schema=Restart)] = 125_000
    topology: Annotated[
        Literal["chain", "ring", "matrix"], Meta(title="How the groups are connected", extra_json_schema=Restart)
    ] = "chain"
    groups: Annotated[tuple[GroupSection, ...], Meta(title="Groups in bus order", min_length=1)] = ()


class SiteSection(Frozen, frozen=True, kw_only=True):
    """Limits of the site. Live: the planner follows within two ticks."""

    limit_w: Annotated[
        int,
        Meta(title="Transformer or grid cap at the AC side, W; 0 = none", ge=0, le=10_000_000, extra_json_schema=Live),
    ] = 0
    ocpp_limit_w: Annotated[
        int, Meta(title="Static cap beside the CSMS profiles, W; 0 = none", ge=0, le=10_000_000, extra_json_schema=Live)
    ] = 0
    group_power_w: Annotated[
        int, Meta(title="Cap per owner of module groups, W; 0 = none", ge=0, le=10_000_000, extra_json_schema=Live)
    ] = 0
    max_groups: Annotated[
        int, Meta(title="Groups per owner with its own; 0 = no cap", ge=0, le=64, extra_json_schema=Live)
    ] = 0
    allow_cross: Annotated[bool, Meta(title="Borrow module groups of other EVSEs", extra_json_schema=Live)] = True
    min_power_w: Annotated[
        int, Meta(title="A vehicle is admitted with at least this power, W", ge=500, le=50_000, extra_json_schema=Live)
    ] = 3000
    dwell_s: Annotated[
        int,
        Meta(
            title="When min_power_w does not fit for all: a DC vehicle charges or waits at least so long before turns change, s; "
            "a falling limit does not wait",
            ge=0,
            le=3600,
            extra_json_schema=Live,
        ),
    ] = 300
    efficiency_permille: Annotated[
        int, Meta(title="DC output over AC input, permille", ge=500, le=1000, extra_json_schema=Live)
    ] = 950
    meter: MeterSection | None = None
    grid: GridSection | None = None
    fuse: Annotated[tuple[FuseSection, ...], Meta(title="Fuses that AC EVSEs share", extra_json_schema=Live)] = ()


class ApiSection(Frozen, frozen=True, kw_only=True):
    """The local API."""

    socket: Annotated[str, Meta(title="Unix socket; empty = platform default", extra_json_schema=Restart)] = ""
    socket_group: Annotated[
        str, Meta(title="Unix group that may open the socket (kiosk, technicians)", extra_json_schema=Restart)
    ] = "evse"
    operator_group: Annotated[str, Meta(title="Unix group whose members are operators", extra_json_schema=Live)] = (
        "evse-operator"
    )
    manufacturer_group: Annotated[
        str, Meta(title="Unix group whose members are manufacturers", extra_json_schema=Live)
    ] = "evse-manufacturer"
    token_minutes: Annotated[
        int, Meta(title="Minutes until a signed-in role ends", ge=1, le=240, extra_json_schema=Live)
    ] = 30


class StationConfig(Frozen, frozen=True, kw_only=True):
    """The whole file."""

    schema_version: Annotated[Literal[1], Meta(title="Version of this file format")] = 1
    profile: Annotated[
        str, Meta(title="Hardware profile of profiles/stations that this file overrides; empty = none")
    ] = ""
    station: StationSection
    evse: Annotated[tuple[EvseSection, ...], Meta(title="EVSEs", min_length=1)]
    modules: ModulesSection | None = None
    site: SiteSection = field(default_factory=SiteSection)
    reader: tuple[ReaderSection, ...] = ()
    io: IoSection | None = None
    access: AccessSection = field(default_factory=AccessSection)
    rule: Annotated[tuple[RuleSection, ...], Meta(title="Event actions", extra_json_schema=Live)] = ()
    led: Annotated[tuple[LedSection, ...], Meta(title="Lamps", extra_json_schema=Live)] = ()
    ocpp: OcppSection = field(default_factory=OcppSection)
    firmware: FirmwareSection = field(default_factory=FirmwareSection)
    api: ApiSection = field(default_factory=ApiSection)
