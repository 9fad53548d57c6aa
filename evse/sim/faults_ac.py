"""Faults that the simulator can cause at AC connectors, with the fault code each must lead to.

Every row acts on parts (`evse.sim.hw.ac_parts`), on the pilot and proximity lines, on the vehicle or on the board's
firmware. Rows with the name of a DC row do the same thing to an AC connector.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

import msgspec

from evse.domain.ac import PpState
from evse.domain.base import ConfigError
from evse.domain.faults import FaultCode
from evse.sim.faults import (
    Apply,
    FaultArgs,
    FaultDef,
    board_hung,
    board_line,
    board_reboot,
    board_value,
    connectors_of,
    field,
    manners,
    plant,
    where,
)

if TYPE_CHECKING:
    from evse.sim.hw.ac_parts import LockDrive
    from evse.sim.hw.recloser import SimRecloser
    from evse.sim.station import SimStation
    from evse.sim.world_ac import AcConnectorWorld

CODINGS: Final = {0: PpState.NONE, 13: PpState.A13, 20: PpState.A20, 32: PpState.A32, 63: PpState.A63}


def _points(station: SimStation, args: FaultArgs) -> list[AcConnectorWorld]:
    chosen = connectors_of(station, args)
    return [point for point in station.world.ac if point in chosen]


def _part(act: Callable[[AcConnectorWorld, bool], None], what: str, needs: Callable[[AcConnectorWorld], str]) -> Apply:
    """Return an `Apply` on a part; ``needs`` returns what the connector has not got, "" when it can be done there."""

    def apply(station: SimStation, args: FaultArgs, on: bool) -> str:
        points = _points(station, args)
        lacking = {point.evse_id: needs(point) for point in points}
        able = [point for point in points if not lacking[point.evse_id]]
        if not able:
            raise ConfigError([f"connector = {number}: {why}" for number, why in lacking.items()])
        for point in able:
            act(point, on)
        return f"{where(able)}: {what}" + ("" if on else " ended")

    return apply


def _always(point: AcConnectorWorld) -> str:
    del point
    return ""


def _rcd(name: str, what: str) -> Apply:
    return _part(
        lambda point, on: setattr(point.plant.rcd, name, on),
        what,
        lambda point: "" if point.plant.rcd.fitted else "has no residual current monitor (ac.rcd.enabled)",
    )


def _lock(act: Callable[[LockDrive, bool], None], what: str) -> Apply:
    def on_point(point: AcConnectorWorld, on: bool) -> None:
        if point.plant.drive is not None:
            act(point.plant.drive, on)

    return _part(
        on_point, what, lambda point: "has a fixed cable and no plug lock" if point.plant.drive is None else ""
    )


def _forced(locked: bool) -> Callable[[LockDrive, bool], None]:
    return lambda drive, on: drive.by_hand(locked if on else None)


def _cap(point: AcConnectorWorld, on: bool) -> None:
    if point.plant.drive is not None:
        point.plant.drive.cap_broken = on


def _capacitor(point: AcConnectorWorld) -> str:
    drive = point.plant.drive
    return "" if drive is not None and drive.motor.needs_capacitor else "has no lock with a capacitor"


def _second(point: AcConnectorWorld) -> str:
    return "" if point.spec.phase_switch.enabled else "has no second contactor (ac.phase_switch.enabled)"


def _vent(point: AcConnectorWorld) -> str:
    return "" if point.spec.ventilation.enabled else "has no ventilation (ac.ventilation.enabled)"


def _emergency(point: AcConnectorWorld, on: bool) -> None:
    spec = point.spec
    point.plant.set_input(spec.emergency_input, spec.emergency_active_high is on)


def _socket(point: AcConnectorWorld) -> str:
    return "" if point.spec.socket else "has a fixed cable and reads no coding"


def _coding(state: PpState | None, what: str) -> Apply:
    """The proximity line reads ``state``, or the coding of ``value`` in A."""

    def apply(station: SimStation, args: FaultArgs, on: bool) -> str:
        value = 13 if args.value is None else args.value
        if state is None and value not in CODINGS:
            raise ConfigError([f"value = {value}: accepted: {', '.join(map(str, CODINGS))}"])
        read = CODINGS[value] if state is None else state

        def act(point: AcConnectorWorld, on: bool) -> None:
            point.pp_forced = read if on else None

        return _part(act, what, _socket)(station, args, on)

    return apply


def _value(name: str, what: str, default: int) -> Apply:
    """Set a number of the plant to ``value`` or the default; clearing brings what was there at the start."""

    def apply(station: SimStation, args: FaultArgs, on: bool) -> str:
        points = _points(station, args)
        for point in points:
            rest = 300 if name == "board_temperature_dc" else 0
            value = default if args.value is None else args.value
            setattr(point.plant, name, value if on else rest)
        return f"{where(points)}: {what}" + ("" if on else " ended")

    return apply


def _meter(fault: str, what: str) -> Apply:
    def apply(station: SimStation, args: FaultArgs, on: bool) -> str:
        chosen = [point for point in _points(station, args) if point.evse_id in station.ac_meters]
        if not chosen:
            raise ConfigError([f"connector = {args.connector}: has no meter in the configuration"])
        for point in chosen:
            station.ac_meters[point.evse_id].fault(fault, on=on)
        return f"meter of {where(chosen)}: {what}" + ("" if on else " ended")

    return apply


def _meter_line(station: SimStation, args: FaultArgs, on: bool) -> str:
    """Pull the adapter of the line of a meter; everything else on that line is gone with it."""
    chosen = [point.evse_id for point in _points(station, args) if point.evse_id in station.ac_meters]
    sections = [evse.meter for evse in station.config.evse if evse.id in chosen and evse.meter is not None]
    if not sections:
        raise ConfigError([f"connector = {args.connector}: has no meter in the configuration"])
    lines = station.lines()
    names = sorted({section.port for section in sections})
    for name in names:
        lines[name].unplug() if on else lines[name].replug()
    return f"{', '.join(names)}: {'unplugged' if on else 'plugged in again'}"


OUT_OF_BALANCE_PERMILLE: Final = 1_080
"""Above the permitted difference by more than a meter's tolerance, below the 110 % of the over-current watch."""


def _unbalanced(station: SimStation, args: FaultArgs, on: bool) -> str:
    """A vehicle on one phase that takes a little more than the suppression of unbalanced load lets it."""
    points = _points(station, args)
    able = [p for p in points if p.spec.out_of_balance_ma >= 0 and p.spec.phases == 3]
    if not able:
        raise ConfigError([f"connector = {p.evse_id}: has no limit of unbalanced load (ac.out_of_balance_a)" for p in points])
    for point in able:
        one = msgspec.structs.replace(args, connector=point.evse_id)
        manners("one_phase", "")(station, one, on)
        manners("over_permille", "", OUT_OF_BALANCE_PERMILLE, 0)(station, one, on)
    return f"{where(able)}: vehicle loads one phase alone" + ("" if on else " ended")


def _recloser(act: Callable[[SimRecloser, bool], None], what: str) -> Apply:
    def apply(station: SimStation, args: FaultArgs, on: bool) -> str:
        chosen = [point for point in _points(station, args) if point.evse_id in station.reclosers]
        if not chosen:
            raise ConfigError([f"connector = {args.connector}: has no recloser in the configuration (evse.recloser)"])
        for point in chosen:
            act(station.reclosers[point.evse_id], on)
        return f"breaker of {where(chosen)}: {what}" + ("" if on else " ended")

    return apply


def _trip(recloser: SimRecloser, on: bool) -> None:
    recloser.trip() if on else recloser.by_hand()


def _rotary(point: AcConnectorWorld, on: bool) -> None:
    point.plant.rotary = None if on else point.plant.rotary_at


C = FaultCode
_ROWS: Final = (
    ("emergency_stop", C.EMERGENCY_STOP, "The emergency stop is pressed (all boards, or one)",
     plant("estop", "emergency stop pressed"), "", 0),
    ("emergency_input", C.EMERGENCY_SHUTDOWN, "The emergency contact at the digital input is active",
     _part(_emergency, "emergency contact active",
           lambda p: "" if p.spec.emergency_input else "has no emergency contact (ac.emergency_input)"), "", 0),
    ("board_lost", C.BOARD_LOST, "The USB cable of the board is pulled", board_line, "", 0),
    ("board_hung", C.BOARD_LOST, "The firmware hangs: no byte more; its watchdog still opens", board_hung, "", 0),
    ("board_reboot", C.BOARD_LOST, "The board restarts and is silent for a while", board_reboot, "ms", 1500),
    ("board_crc", None, "The board sends frames with bit errors",
     board_value("crc_error_permille", "bit errors", 200), "permille", 200),
    ("board_slow", None, "The board answers late", board_value("delay_ms", "answers late", 150), "ms", 150),
    ("door_open", C.DOOR_OPEN, "The housing is opened", plant("door_open", "door open"), "", 0),
    ("connector_over_temperature", C.CONNECTOR_OVER_TEMPERATURE, "A bad contact heats the connector",
     field("forced_heat_dc", "contact heats up", 950, None), "0.1 °C", 950),
    ("station_over_temperature", C.STATION_OVER_TEMPERATURE, "The housing of the board becomes hot",
     _value("board_temperature_dc", "board is hot", 950), "0.1 °C", 950),
    ("ptc_hot", C.STATION_OVER_TEMPERATURE, "The PTC chain reports heat", plant("ptc_hot", "PTC chain hot"), "", 0),
    ("rcd_dc_leak", C.RCD_GROUND_FAILURE, "The vehicle leaks direct current while the contactor is closed",
     manners("leak_dc_ua", "direct residual current", 8_000, 0), "µA", 8_000),
    ("rcd_ac_leak", C.RCD_GROUND_FAILURE, "The vehicle leaks alternating current while the contactor is closed",
     manners("leak_rms_ua", "alternating residual current", 40_000, 0), "µA", 40_000),
    ("rcd_spurious", C.RCD_SPURIOUS, "The monitor says tripped without a residual current",
     _rcd("spurious", "monitor says tripped"), "", 0),
    ("rcd_test_fail", C.RCD_TEST, "The monitor does not react to its test",
     _rcd("test_fails", "monitor ignores its test"), "", 0),
    ("rcd_lost", C.RCD_SPURIOUS, "The monitor's signal is lost", _rcd("dead", "monitor gives no signal"), "", 0),
    ("pp_none", C.PROXIMITY_NO_CABLE, "The proximity contact is open although a plug is in",
     _coding(PpState.NONE, "proximity open"), "", 0),
    ("pp_invalid", C.PROXIMITY_INVALID, "The proximity resistor is between the codings",
     _coding(PpState.INVALID, "proximity invalid"), "", 0),
    ("pp_changed", C.PROXIMITY_CHANGED, "The coding of the cable changes", _coding(None, "proximity changed"), "A", 13),
    ("lock_jam_open", C.PLUG_LOCK_CANNOT_LOCK, "The plug lock does not leave its open place",
     _lock(lambda d, on: setattr(d, "jam_open", on), "lock jammed open"), "", 0),
    ("lock_jam_closed", C.PLUG_LOCK_CANNOT_UNLOCK, "The plug lock does not leave its locked place",
     _lock(lambda d, on: setattr(d, "jam_closed", on), "lock jammed closed"), "", 0),
    ("lock_cap", C.PLUG_LOCK_CAP_NOT_CHARGED, "The capacitor of the plug lock does not charge",
     _part(_cap, "lock capacitor broken", _capacitor), "", 0),
    ("lock_unexpected_open", C.PLUG_LOCK_UNEXPECTED_OPEN, "Somebody forces the plug lock open",
     _lock(_forced(False), "lock forced open"), "", 0),
    ("lock_unexpected_close", C.PLUG_LOCK_UNEXPECTED_CLOSE, "Somebody forces the plug lock closed",
     _lock(_forced(True), "lock forced closed"), "", 0),
    ("contactor_welded", C.CONTACTOR_WELDED, "The main contactor stays closed",
     _part(lambda p, on: setattr(p.plant.main, "welded", on), "contactor welded", _always), "", 0),
    ("contactor_stuck", C.CONTACTOR_NOT_CLOSED, "The main contactor does not close",
     _part(lambda p, on: setattr(p.plant.main, "stuck", on), "contactor does not close", _always), "", 0),
    ("contactor_feedback_lost", C.CONTACTOR_NOT_CLOSED, "The auxiliary contact of the main contactor is unknown",
     _part(lambda p, on: setattr(p.plant.main, "feedback_lost", on), "contactor feedback lost", _always), "", 0),
    ("relay2_fault", C.PHASE_SWITCH_FAILURE, "The second contactor does not close",
     _part(lambda p, on: setattr(p.plant.relay2, "stuck", on), "second contactor does not close", _second), "", 0),
    ("relay2_welded", C.CONTACTOR_WELDED, "The second contactor stays closed",
     _part(lambda p, on: setattr(p.plant.relay2, "welded", on), "second contactor welded", _second), "", 0),
    ("ventilation_fail", C.VENTILATION_FAILURE, "The ventilation does not start",
     _part(lambda p, on: setattr(p.plant.relay2, "stuck", on), "ventilation does not start", _vent), "", 0),
    ("pilot_short", C.PILOT_SHORT, "The pilot is shorted to earth", plant("pilot_short", "pilot shorted"), "", 0),
    ("pilot_invalid", C.PILOT_INVALID, "The pilot level is between two states",
     _value("pilot_offset_mv", "pilot level lifted", 1_500), "mV", 1_500),
    ("diode", C.PILOT_DIODE, "The vehicle has no diode", manners("no_diode", "vehicle without diode"), "", 0),
    ("over_current", C.OVER_CURRENT, "The vehicle takes more than it is offered",
     manners("over_permille", "vehicle takes too much", 1_250, 0), "permille", 1_250),
    ("out_of_balance", C.OUT_OF_BALANCE, "The vehicle loads one phase alone, more than the supply may be unbalanced",
     _unbalanced, "permille", OUT_OF_BALANCE_PERMILLE),
    ("car_ignores_pwm", C.VEHICLE_IGNORES_PWM, "The vehicle goes on whatever the duty says",
     manners("ignore_pwm", "vehicle ignores the PWM"), "", 0),
    ("car_leaves_c", None, "The vehicle opens S2 under load", manners("drop_c_after_s", "leaves C under load", 1, 0),
     "s", 1),
    ("hlc_error", C.HLC_ERROR, "The ISO 15118 session fails with a sequence error",
     manners("hlc_error", "ISO 15118 sequence error", "SEQUENCE_ERROR", ""), "", 0),
    ("vehicle_communication", C.HLC_ERROR, "The powerline link to the vehicle does not come up",
     manners("slac_fails", "SLAC fails"), "", 0),
    ("meter_lost", C.METER_COMMUNICATION, "The meter of a connector does not answer", _meter("mute", "does not answer"), "", 0),
    ("meter_crc", C.METER_COMMUNICATION, "Every answer of the meter has a broken CRC", _meter("crc", "broken CRC"), "", 0),
    ("meter_internal", C.METER_INTERNAL, "The meter answers every request with an exception",
     _meter("exception", "answers with an exception"), "", 0),
    ("meter_line_idle", C.METER_IDLE_ERROR, "The adapter of the meter's line is pulled out while nobody charges",
     _meter_line, "", 0),
    ("meter_line", C.METER_ACTIVE_ERROR, "The adapter of the meter's line is pulled out during a session",
     _meter_line, "", 0),
    ("breaker_trip", None, "The residual current breaker before the connector trips; cleared: closed by hand",
     _recloser(_trip, "tripped"), "", 0),
    ("recloser_lost", C.RCD_RECLOSER_FAILURE, "The recloser does not answer",
     _recloser(lambda r, on: r.fault("mute", on=on), "does not answer"), "", 0),
    ("recloser_jam", C.RCD_RECLOSER_FAILURE, "The motor of the recloser never arrives",
     _recloser(lambda r, on: r.fault("jam", on=on), "motor jammed"), "", 0),
    ("rotary_between", None, "The rotary switch stands between two positions",
     _part(_rotary, "rotary switch between positions",
           lambda p: "" if p.spec.rotary else "has no rotary switch (ac.rotary_switch)"), "", 0),
)  # fmt: skip

CATALOGUE_AC: Final[dict[str, FaultDef]] = {
    row[0]: FaultDef(
        name=row[0], code=row[1], scope="connector", description=row[2], apply=row[3], unit=row[4], default=row[5]
    )
    for row in _ROWS
}
