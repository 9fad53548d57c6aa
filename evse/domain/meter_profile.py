"""The register map of a meter model, as data.

Written as ``profiles/meters/<vendor>/<model>.toml``, loaded by `evse.config.meter_profiles`, used by the engine
(`evse.protocols.meter_map`), the driver and the simulated meter. Addresses are decimal, zero-based protocol
addresses: the number that goes into the request. Function codes 3 and 4 are separate address spaces.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Literal

from msgspec import Meta, field

from evse.domain.base import Frozen

REGISTERS_PER_REQUEST_MAX = 125
"""Modbus application protocol V1.1b3, 6.3: quantity of registers 1..125."""

DataType = Literal[
    "uint16",
    "int16",
    "uint32",
    "int32",
    "uint64",
    "int64",
    "float32",
    "acc32",
    "sunssf",
    "t5",
    "t6",
    "enum16",
    "bitfield32",
    "ascii",
    "ascii_low",
    "bytes",
]
"""How the registers of a value are read. ``acc32`` and ``sunssf`` are SunSpec's, ``t5``/``t6`` Iskra's (signed decimal
exponent in bits 31..24, mantissa in 23..0, unsigned or two's complement), ``ascii_low`` has its
characters in the low bytes."""

Unit = Literal[
    "",
    "V",
    "A",
    "W",
    "kW",
    "VA",
    "kVA",
    "var",
    "kvar",
    "Wh",
    "kWh",
    "VAh",
    "kVAh",
    "varh",
    "kvarh",
    "Hz",
    "degC",
    "deg",
    "%",
    "s",
    "min",
    "bps",
]


class Register(Frozen, frozen=True, kw_only=True):
    """One value of the map: ``value = raw * scale * 10^(raw of `exponent` + exponent_offset)`` in ``unit``."""

    quantity: Annotated[str, Meta(min_length=1)]
    address: Annotated[int, Meta(ge=0, le=65_535)]
    type: DataType
    function: Literal[3, 4] = 3
    count: Annotated[int, Meta(ge=0, le=512)] = 0  # registers; 0 = as the type says
    word_order: Literal["", "msw", "lsw"] = ""  # which word comes first; "" = as the profile says
    scale: Decimal = Decimal(1)
    exponent: str = ""  # quantity that holds the power of ten, "" = none
    exponent_offset: Annotated[int, Meta(ge=-20, le=20)] = 0
    length: str = ""  # quantity that holds the length of a text in bytes, "" = fixed
    unit: Unit = ""
    access: Literal["r", "rw", "w"] = "r"
    alone: bool = False  # must be read in a request of its own (it means something else inside a block)
    optional: bool = False  # some firmware has it not: an exception answer means "no value", not an error
    confidence: Literal["high", "medium", "low", ""] = ""  # "" = as the profile says
    note: str = ""


class BusDefaults(Frozen, frozen=True, kw_only=True):
    """How the model leaves the factory, and what its bus can do."""

    baud: Annotated[int, Meta(ge=1200, le=115_200)] = 9600
    parity: Literal["N", "E", "O"] = "N"
    stop_bits: Annotated[int, Meta(ge=1, le=2)] = 1
    unit: Annotated[int, Meta(ge=0, le=255)] = 1
    timeout_ms: Annotated[int, Meta(ge=20, le=15_000)] = 200  # silence before the first byte of an answer
    # How long answers may stay away before the meter counts as lost (Charge Control C user guide 7.3.6.2: 2 s, Klefr 10 s).
    unavailable_ms: Annotated[int, Meta(ge=0, le=60_000)] = 2000
    max_registers: Annotated[int, Meta(ge=2, le=REGISTERS_PER_REQUEST_MAX)] = 50
    gap_registers: Annotated[int, Meta(ge=0, le=64)] = 4  # unmapped registers in a row that a request may cross
    even_addresses: bool = False
    tcp: bool = False  # the model is usually reached over Modbus TCP


class ValueMap(Frozen, frozen=True, kw_only=True):
    """Which quantities make a `MeterValues`. "a - b" is a difference. Empty = the meter has it not."""

    power_w: str = ""
    energy_import_wh: str = ""
    energy_export_wh: str = ""
    voltage_mv: str = ""
    current_ma: str = ""
    voltage_l_mv: tuple[str, str, str] | None = None
    current_l_ma: tuple[str, str, str] | None = None
    power_l_w: tuple[str, str, str] | None = None
    frequency_mhz: str = ""
    temperature_dc: str = ""


class Identify(Frozen, frozen=True, kw_only=True):
    """How a device of this model shows that it is one. Empty = it does not; then only its values are plausible or not.

    A number 0 or an empty text in ``quantity`` proves nothing (older firmware), any other value than those listed
    proves another model.
    """

    quantity: str = ""  # register that tells the model
    values: tuple[int, ...] = ()  # numbers that this model has there
    texts: tuple[str, ...] = ()  # or beginnings of a text
    serial: str = ""  # quantity that holds the serial number


class Snapshot(Frozen, frozen=True, kw_only=True):
    """One signed data set: what is written to ask for it, how the meter says that it is ready, where it stands.

    A status that is neither in ``done`` nor in ``busy`` means that the meter has failed.
    """

    command: Annotated[str, Meta(min_length=1)]  # quantity that is written
    value: Annotated[int, Meta(ge=0, le=65_535)]
    status: Annotated[str, Meta(min_length=1)]  # quantity
    done: Annotated[tuple[int, ...], Meta(min_length=1)]
    data: Annotated[str, Meta(min_length=1)]  # quantity of the text
    busy: tuple[int, ...] = ()
    signature: str = ""  # quantity of the signature (DER); "" = the text holds it already


class Signing(Frozen, frozen=True, kw_only=True):
    """How the model signs its readings (calibration law). Names are quantities of the profile, "" = the model has it not."""

    begin: Snapshot
    end: Snapshot
    format: Literal["ocmf"] = "ocmf"  # Open Charge Metering Format of S.A.F.E. e.V., curve secp256r1 with SHA-256
    write: Literal[6, 16] = 16  # function code that writes one register
    public_key: str = ""
    key_form: Literal["der", "point"] = "der"  # SubjectPublicKeyInfo, or the 64 bytes X and Y
    measuring: str = ""  # tells whether a begin has had no end yet
    measuring_idle: tuple[int, ...] = (0,)
    time: str = ""  # UTC in seconds, written before each begin
    time_zone: str = ""  # minutes east of UTC, written with it (always 0)
    time_set: str = ""  # written last
    time_set_value: Annotated[int, Meta(ge=0, le=65_535)] = 0
    id_token: str = ""  # who charges, written before each begin
    id_length: str = ""  # bytes of it
    id_text: str = "{id}"  # how it is written


class MeterProfile(Frozen, frozen=True, kw_only=True):
    """A model. ``name`` is "<vendor>/<model>", the path below profiles/meters without ".toml"."""

    name: str
    vendor: str
    model: str
    confidence: Literal["high", "medium", "low"]
    source: str
    registers: tuple[Register, ...]
    kind: Literal["ac", "dc"] = "ac"
    word_order: Literal["msw", "lsw"] = "msw"
    not_available: Literal["none", "all_ones", "sunspec"] = "none"
    sunspec_models: tuple[int, ...] = ()  # not empty: addresses count from the start of the first of these models
    sunspec_bases: tuple[int, ...] = ()  # where the walk over the models may begin
    bus: BusDefaults = field(default_factory=BusDefaults)
    identify: Identify = field(default_factory=Identify)
    values: ValueMap = field(default_factory=ValueMap)
    signing: Signing | None = None
    notes: tuple[str, ...] = ()

    def register(self, quantity: str) -> Register | None:
        """Return the register of ``quantity`` or None."""
        for register in self.registers:
            if register.quantity == quantity:
                return register
        return None
