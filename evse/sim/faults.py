"""Faults that the simulator can cause at DC connectors, lines and the station, with the fault code each must lead to.

A fault acts where a real one does: in physics, in a device's firmware or on a line. It never writes into the product.
``STORAGE`` and ``INTERNAL`` are faults of the controller itself and have no row here. AC connectors have rows of their own
in `evse.sim.faults_ac`; `evse.sim.fault_catalogue` finds the right one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

import msgspec

from evse.domain.base import ConfigError
from evse.domain.faults import FaultCode
from evse.sim.ev import Ev

if TYPE_CHECKING:
    from evse.sim.openers import CanPort, Port
    from evse.sim.station import SimStation
    from evse.sim.world import ConnectorWorld
    from evse.sim.world_ac import AcConnectorWorld


class FaultArgs(msgspec.Struct, frozen=True, kw_only=True):
    """Where and how much. ``connector`` 0 = all of ``kind``, ``value`` None = the fault's own default.

    ``port`` "" = its first.
    """

    connector: int = 0
    value: int | None = None
    address: int | None = None
    port: str = ""
    seed: int | None = None
    kind: str = "dc"


Apply = Callable[["SimStation", FaultArgs, bool], str]
"""Raise (True) or clear (False); return what happened in plain words; `ConfigError` for a place that is not there."""


class FaultDef(msgspec.Struct, frozen=True, kw_only=True):
    """One row. ``code`` None = no fault by itself (the line heals, or counters show it). ``scope``: what it acts on."""

    name: str
    code: FaultCode | None
    scope: str  # "station", "connector", "module", "line"
    description: str
    apply: Apply
    unit: str = ""  # of ``value``
    default: int = 0


def connectors_of(station: SimStation, args: FaultArgs) -> Sequence[ConnectorWorld | AcConnectorWorld]:
    """Return the connectors that ``args`` mean; `ConfigError` when there is none of that number and kind."""
    chosen: Sequence[ConnectorWorld | AcConnectorWorld] = station.world.connectors
    if args.kind == "ac":
        chosen = station.world.ac
    if args.connector == 0:
        return chosen
    found = [connector for connector in chosen if connector.evse_id == args.connector]
    if not found:
        known = ", ".join(str(connector.evse_id) for connector in chosen)
        raise ConfigError([f"connector = {args.connector}: no such connector; accepted: 0 (all), {known}"])
    return found


def where(connectors: Sequence[ConnectorWorld | AcConnectorWorld]) -> str:
    """Return the connectors in words."""
    return "connector " + ", ".join(str(connector.evse_id) for connector in connectors)


def field(name: str, what: str, on_value: Any = True, off_value: Any = False) -> Apply:
    """Return an `Apply` that sets a field of the physics; an int ``on_value`` is the default of ``value``."""

    def apply(station: SimStation, args: FaultArgs, on: bool) -> str:
        chosen = connectors_of(station, args)
        value = off_value
        if on:
            value = on_value if args.value is None or on_value is True else args.value
        for connector in chosen:
            setattr(connector, name, value)
        return f"{where(chosen)}: {what}" + (f" ({value})" if on and value is not True else "" if on else " ended")

    return apply


def plant(name: str, what: str) -> Apply:
    """Return an `Apply` that sets a flag of the board's plant."""
    def apply(station: SimStation, args: FaultArgs, on: bool) -> str:
        chosen = connectors_of(station, args)
        for connector in chosen:
            setattr(connector.plant, name, on)
        return f"{where(chosen)}: {what}" + ("" if on else " ended")

    return apply


def manners(name: str, what: str, on_value: Any = True, off_value: Any = False) -> Apply:
    """A bad manner of the vehicle: of the one that is plugged in and of those that come while the fault stands."""

    def apply(station: SimStation, args: FaultArgs, on: bool) -> str:
        chosen = connectors_of(station, args)
        value = (on_value if args.value is None or on_value is True else args.value) if on else off_value
        for connector in chosen:
            station.manners[connector.evse_id][name] = value
            if not on:
                del station.manners[connector.evse_id][name]
            if connector.ev is not None:
                connector.ev.change({name: value})
        return f"{where(chosen)}: {what}" + ("" if on else " ended")

    return apply


def _vehicle_link(station: SimStation, args: FaultArgs, on: bool) -> str:
    text = manners("slac_fails", "powerline link to the vehicle is broken")(station, args, on)
    if on:
        for connector in connectors_of(station, args):
            if isinstance(connector.ev, Ev):
                connector.ev.drop_link()
    return text


def board_line(station: SimStation, args: FaultArgs, on: bool) -> str:
    """Pull the board's cable, or put it back."""
    chosen = connectors_of(station, args)
    for connector in chosen:
        port = station.board_ports[connector.evse_id]
        port.unplug() if on else port.replug()
    return f"{where(chosen)}: USB cable of the board {'pulled' if on else 'back'}"


def board_hung(station: SimStation, args: FaultArgs, on: bool) -> str:
    """Let the firmware hang, or answer again."""
    chosen = connectors_of(station, args)
    for connector in chosen:
        station.boards[connector.evse_id].faults.silent = on
    return f"{where(chosen)}: firmware of the board {'hangs' if on else 'answers again'}"


def board_reboot(station: SimStation, args: FaultArgs, on: bool) -> str:
    """Restart the board once."""
    chosen = connectors_of(station, args)
    if on:
        for connector in chosen:
            station.boards[connector.evse_id].reboot(station.clock.now(), args.value or 1500)
    return f"{where(chosen)}: board {'restarts' if on else 'needs no clearing'}"


def board_value(name: str, what: str, default: int, off: int | bool = 0) -> Apply:
    """Return an `Apply` that sets a field of `BoardFaults`."""
    def apply(station: SimStation, args: FaultArgs, on: bool) -> str:
        chosen = connectors_of(station, args)
        value: int | bool = (default if args.value is None else args.value) if on else off
        for connector in chosen:
            setattr(station.boards[connector.evse_id].faults, name, value if name != "frozen" else on)
        return f"{where(chosen)}: {what}" + (f" ({value})" if on and default > 1 else "" if on else " ended")

    return apply


def _dc_meter(fault: str, what: str) -> Apply:
    def apply(station: SimStation, args: FaultArgs, on: bool) -> str:
        chosen = [c for c in connectors_of(station, args) if c.evse_id in station.dc_meters]
        if not chosen:
            raise ConfigError([f"connector = {args.connector}: has no DC meter in the configuration"])
        for connector in chosen:
            station.dc_meters[connector.evse_id].fault(fault, on=on)
        return f"DC meter of {where(chosen)}: {what}" + ("" if on else " ended")

    return apply


def site_meter(fault: str, what: str) -> Apply:
    """Return an `Apply` that sets a fault of the site meter."""
    def apply(station: SimStation, args: FaultArgs, on: bool) -> str:
        del args
        if station.site_meter is None:
            raise ConfigError(["fault: the configuration has no site meter ([site.meter])"])
        station.site_meter.fault(fault, on=on)
        return f"site meter: {what}" + ("" if on else " ended")

    return apply


def _module(kind: str, what: str) -> Apply:
    def apply(station: SimStation, args: FaultArgs, on: bool) -> str:
        chosen = station.module_addresses(args.connector, args.address)
        for address in chosen:
            station.set_module_fault(address, kind, on)
        return f"module {', '.join(map(str, chosen))}: {what}" + ("" if on else " ended")

    return apply


def _lines(station: SimStation, args: FaultArgs) -> list[Port | CanPort]:
    ports: dict[str, Port | CanPort] = station.lines()
    if not args.port:
        if args.connector:
            if args.connector not in station.board_ports:
                known = ", ".join(map(str, station.board_ports))
                raise ConfigError([f"connector = {args.connector}: no such connector; accepted: {known}"])
            return [station.board_ports[args.connector]]
        return list(ports.values())
    if args.port not in ports:
        raise ConfigError([f"port = '{args.port}': no such line; accepted: {', '.join(ports)}"])
    return [ports[args.port]]


def _line(field: str, what: str, default: int) -> Apply:
    def apply(station: SimStation, args: FaultArgs, on: bool) -> str:
        value = (default if args.value is None else args.value) if on else 0
        if not 0 <= value <= 60_000:
            raise ConfigError([f"value = {value}: accepted: 0..60000"])
        chosen = _lines(station, args)
        for port in chosen:
            if on and args.seed is not None:
                port.faults.seed(args.seed)
            setattr(port.faults, field, value)
        return f"{', '.join(port.what for port in chosen)}: {what} {value}" if on else f"{what} ended"

    return apply


def _disconnect(station: SimStation, args: FaultArgs, on: bool) -> str:
    chosen = _lines(station, args)
    for port in chosen:
        port.unplug() if on else port.replug()
    return f"{', '.join(port.what for port in chosen)}: {'unplugged' if on else 'plugged in again'}"


def _freeze(station: SimStation, args: FaultArgs, on: bool) -> str:
    frozen = station.freeze(args.port, args.connector, on)
    return f"{', '.join(frozen)}: {'values stand still' if on else 'values move again'}"


C = FaultCode
_ROWS: Final = (
    ("emergency_stop", C.EMERGENCY_STOP, "connector", "The emergency stop is pressed (all boards, or one)",
     plant("estop", "emergency stop pressed"), "", 0),
    ("board_lost", C.BOARD_LOST, "connector", "The USB cable of the board is pulled", board_line, "", 0),
    ("board_hung", C.BOARD_LOST, "connector", "The firmware hangs: no byte more; its watchdog still opens",
     board_hung, "", 0),
    ("board_reboot", C.BOARD_LOST, "connector", "The board restarts and is silent for a while",
     board_reboot, "ms", 1500),
    ("bms_stale", C.BMS_STALE, "connector", "The vehicle stops answering, its values grow old",
     manners("silent", "vehicle does not answer"), "", 0),
    ("insulation", C.INSULATION, "connector", "Insulation resistance falls",
     field("insulation_kohm", "insulation resistance low", 48, None), "kohm", 48),
    ("cable_check_timeout", C.CABLE_CHECK_TIMEOUT, "connector", "The insulation monitor never ends its test",
     field("isolation_stuck", "insulation test does not end"), "", 0),
    ("pre_charge_timeout", C.PRE_CHARGE_TIMEOUT, "connector", "The vehicle is never satisfied with the voltage",
     manners("pre_charge_never", "pre-charge never matches"), "", 0),
    ("connector_over_temperature", C.CONNECTOR_OVER_TEMPERATURE, "connector", "A bad contact heats the connector",
     field("forced_heat_dc", "contact heats up", 950, None), "0.1 °C", 950),
    ("module_failure", C.POWER_MODULE_FAILURE, "module", "A power module reports a fault and gives nothing",
     _module("fault", "reports a fault"), "", 0),
    ("module_missing", C.POWER_MODULE_MISSING, "module", "A power module does not answer on CAN",
     _module("mute", "does not answer"), "", 0),
    ("meter_lost", C.METER_LOST, "connector", "The DC meter of a connector does not answer",
     _dc_meter("mute", "does not answer"), "", 0),
    ("contactor_welded", C.CONTACTOR_WELDED, "connector", "The output contactor stays closed",
     field("welded", "contactor welded"), "", 0),
    ("contactor_not_closed", C.CONTACTOR_NOT_CLOSED, "connector", "The output contactor does not close",
     field("stuck_open", "contactor does not close"), "", 0),
    ("output_over_voltage", C.OUTPUT_OUT_OF_RANGE, "connector", "The modules give more voltage than commanded",
     field("over_voltage_permille", "too much voltage", 150, 0), "permille", 150),
    ("output_over_current", C.OUTPUT_OUT_OF_RANGE, "connector", "The modules give more current than commanded",
     field("over_current_ma", "too much current", 40_000, 0), "mA", 40_000),
    ("site_meter_lost", C.SITE_METER_LOST, "station", "The site meter does not answer",
     site_meter("mute", "does not answer"), "", 0),
    ("lock_failure", C.LOCK_FAILURE, "connector", "The lock of the connector does not move",
     field("lock_stuck", "lock stuck"), "", 0),
    ("vehicle_communication", C.VEHICLE_COMMUNICATION, "connector", "The powerline link to the vehicle breaks",
     _vehicle_link, "", 0),
    ("door_open", C.DOOR_OPEN, "connector", "The cabinet door is opened", plant("door_open", "door open"), "", 0),
    ("board_crc", None, "connector", "The board sends frames with bit errors",
     board_value("crc_error_permille", "bit errors", 200), "permille", 200),
    ("board_slow", None, "connector", "The board answers late",
     board_value("delay_ms", "answers late", 150), "ms", 150),
    ("meter_crc", C.METER_LOST, "connector", "Every answer of the DC meter has a broken CRC",
     _dc_meter("crc", "broken CRC"), "", 0),
    ("line_drop", None, "line", "Frames get lost, both directions", _line("drop_permille", "loss in permille", 100),
     "permille", 100),
    ("line_delay", None, "line", "Frames come late", _line("delay_ms", "delay in ms", 100), "ms", 100),
    ("line_corrupt", None, "line", "Frames with a flipped bit",
     _line("corrupt_permille", "bit errors in permille", 100), "permille", 100),
    ("line_duplicate", None, "line", "Frames come twice", _line("duplicate_permille", "doubled in permille", 100),
     "permille", 100),
    ("line_disconnect", None, "line", "A bus or adapter is unplugged", _disconnect, "", 0),
    ("freeze", None, "line", "Values of a device stand still while it goes on answering", _freeze, "", 0),
)  # fmt: skip

CATALOGUE: Final[dict[str, FaultDef]] = {
    row[0]: FaultDef(
        name=row[0], code=row[1], scope=row[2], description=row[3], apply=row[4], unit=row[5], default=row[6]
    )
    for row in _ROWS
}

