"""The shape of ``[evse.recloser]`` and ``[io]``: field devices of the controller itself. See `evse.config.model` for the rules."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import UNSET, Meta, UnsetType

from evse.domain.base import Frozen

Live = {"x-apply": "live"}
Restart = {"x-apply": "restart"}

Register = Annotated[int, Meta(ge=0, le=65_535)]


class RegistersSection(Frozen, frozen=True, kw_only=True):
    """Registers of a recloser where its profile has none; decimal, zero-based. Values below state: what means what."""

    state_address: Annotated[Register, Meta(title="Register or bit of the position", extra_json_schema=Restart)]
    state_function: Annotated[
        Literal[1, 2, 3, 4],
        Meta(title="1 coil, 2 discrete input, 3 holding register, 4 input register", extra_json_schema=Restart),
    ] = 3
    state_mask: Annotated[Register, Meta(title="Bits of the register that count", extra_json_schema=Restart)] = 65_535
    state_open: Annotated[Register, Meta(title="Value of an open breaker", extra_json_schema=Restart)] = 0
    state_closed: Annotated[Register, Meta(title="Value of a closed breaker", extra_json_schema=Restart)] = 1
    state_moving: (
        Annotated[Register, Meta(title="Value while the motor runs; none = it answers busy", extra_json_schema=Restart)]
        | UnsetType
    ) = UNSET
    command_address: Annotated[Register, Meta(title="Register or coil that takes the order", extra_json_schema=Restart)]
    command_function: Annotated[
        Literal[5, 6, 16],
        Meta(title="5 coil, 6 one register, 16 block of one register", extra_json_schema=Restart),
    ] = 6
    command_open: Annotated[Register, Meta(title="Order to open", extra_json_schema=Restart)] = 0
    command_close: Annotated[Register, Meta(title="Order to close", extra_json_schema=Restart)] = 1


class RecloserSection(Frozen, frozen=True, kw_only=True):
    """The motor that closes the residual current breaker of an EVSE; shares its line with meters."""

    profile: Annotated[
        str, Meta(title="Recloser profile of profiles/reclosers, e.g. geya/grd9m", extra_json_schema=Restart)
    ] = "geya/grd9m"
    port: Annotated[
        str, Meta(title="Serial port of the RS-485 bus, or tcp://host:port", min_length=1, extra_json_schema=Restart)
    ]
    address: (
        Annotated[int, Meta(title="Modbus unit; default from the profile", ge=1, le=247, extra_json_schema=Restart)]
        | UnsetType
    ) = UNSET
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
    registers: RegistersSection | None = None


PointName = Annotated[str, Meta(title="Name", min_length=1, max_length=32, extra_json_schema=Restart)]
Chip = Annotated[
    str, Meta(title='GPIO chip, e.g. "gpiochip0"; empty = a number of /sys/class/gpio', extra_json_schema=Restart)
]


class InputSection(Frozen, frozen=True, kw_only=True):
    """A digital input of the controller: a GPIO line, or an ADC channel with a threshold."""

    name: PointName
    chip: Chip = ""
    line: (
        Annotated[int, Meta(title="Line of the chip, or the GPIO number", ge=0, le=4095, extra_json_schema=Restart)]
        | UnsetType
    ) = UNSET
    adc: Annotated[str, Meta(title='IIO device of an analog input, e.g. "2198000.adc"', extra_json_schema=Restart)] = ""
    channel: Annotated[int, Meta(title="Channel of the ADC", ge=0, le=63, extra_json_schema=Restart)] = 0
    gain_permille: Annotated[
        int, Meta(title="Undoes the divider before the ADC", ge=1, le=1_000_000, extra_json_schema=Restart)
    ] = 1000
    threshold_mv: Annotated[
        int, Meta(title="An ADC input is high above, mV", ge=0, le=60_000, extra_json_schema=Restart)
    ] = 6000
    hysteresis_mv: Annotated[
        int, Meta(title="Hysteresis of an ADC input, mV", ge=0, le=10_000, extra_json_schema=Restart)
    ] = 500
    active_low: Annotated[bool, Meta(title="Low means active", extra_json_schema=Restart)] = False
    debounce_ms: Annotated[
        int, Meta(title="A level counts after this time, ms", ge=0, le=10_000, extra_json_schema=Restart)
    ] = 20


class OutputSection(Frozen, frozen=True, kw_only=True):
    """A digital output of the controller; at rest until somebody sets it."""

    name: PointName
    chip: Chip = ""
    line: Annotated[int, Meta(title="Line of the chip, or the GPIO number", ge=0, le=4095, extra_json_schema=Restart)]
    active_low: Annotated[bool, Meta(title="Low means active", extra_json_schema=Restart)] = False


class SensorSection(Frozen, frozen=True, kw_only=True):
    """A temperature sensor of the controller."""

    name: PointName
    bus: Annotated[Literal["w1", "hwmon"], Meta(title="1-wire, or a hwmon device", extra_json_schema=Restart)] = "w1"
    device: Annotated[
        str,
        Meta(title='1-wire id, e.g. "28-00000a1b2c3d", or name of the hwmon device', min_length=1, extra_json_schema=Restart),
    ]
    channel: Annotated[int, Meta(title="Channel of the hwmon device", ge=1, le=64, extra_json_schema=Restart)] = 1


class FanSection(Frozen, frozen=True, kw_only=True):
    """The fan of the housing: off below start_c, full at full_c of the warmest sensor, full when no sensor is read."""

    device: Annotated[str, Meta(title="Name of the hwmon device", min_length=1, extra_json_schema=Restart)]
    channel: Annotated[int, Meta(title="Channel of the hwmon device", ge=1, le=64, extra_json_schema=Restart)] = 1
    start_c: Annotated[int, Meta(title="The fan starts at, °C", ge=0, le=90, extra_json_schema=Live)] = 40
    full_c: Annotated[int, Meta(title="Full speed at, °C", ge=1, le=100, extra_json_schema=Live)] = 60
    least_permille: Annotated[
        int, Meta(title="Lowest duty while it turns, permille", ge=0, le=1000, extra_json_schema=Live)
    ] = 300


class ReferenceSection(Frozen, frozen=True, kw_only=True):
    """The PWM channel that makes the common threshold of hardware comparators (100 % duty = 12 V)."""

    chip: Annotated[int, Meta(title="Number of the PWM chip", ge=0, le=31, extra_json_schema=Restart)] = 1
    channel: Annotated[int, Meta(title="Channel of the chip", ge=0, le=31, extra_json_schema=Restart)] = 0
    threshold_mv: Annotated[
        int, Meta(title="Inputs are high above, mV", ge=0, le=12_000, extra_json_schema=Restart)
    ] = 6000


class IoSection(Frozen, frozen=True, kw_only=True):
    """Inputs, outputs, temperature sensors and fan of the controller itself (not those of a pilot board)."""

    root: Annotated[
        str, Meta(title="Directory that holds sys and dev; another one inside a container", extra_json_schema=Restart)
    ] = "/"
    poll_ms: Annotated[int, Meta(title="Period of the inputs, ms", ge=10, le=1000, extra_json_schema=Restart)] = 20
    evses: Annotated[
        tuple[int, ...],
        Meta(
            title="EVSEs that do not charge while inputs cannot be read; empty = none", extra_json_schema=Restart
        ),
    ] = ()
    input: tuple[InputSection, ...] = ()
    output: tuple[OutputSection, ...] = ()
    sensor: tuple[SensorSection, ...] = ()
    fan: FanSection | None = None
    reference: ReferenceSection | None = None
