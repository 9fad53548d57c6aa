"""Field devices beside boards, meters and readers: reclosers, inputs and outputs of the controller, temperatures, fan.

`FieldDevices` makes their drivers from the configuration, renews what is a lease (outputs set by hand, duty of the fan) and
says what is lost. Nothing of it is part of the control path except that a lost device becomes a fault.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from random import Random
from typing import Final

import msgspec
from msgspec import UnsetType

from evse.config.model import StationConfig
from evse.config.model_io import FanSection, InputSection, IoSection, RecloserSection, RegistersSection
from evse.config.recloser_profiles import load_recloser, with_registers
from evse.core.inputs import LostDevice
from evse.devices.digital_io import LinuxIo
from evse.devices.interfaces import Driver
from evse.devices.io_spec import AdcChannel, GpioLine, InputSpec, OutputSpec, TemperatureSpec
from evse.devices.modbus_bus import ModbusBus
from evse.devices.polled import Offload, in_thread
from evse.devices.recloser import ModbusRecloser
from evse.devices.thermal import LinuxFan, LinuxTemperatures
from evse.domain.clock import Clock
from evse.domain.meter_profile import BusDefaults
from evse.domain.readings import NoData, Sample
from evse.domain.recloser import RecloserProfile, RecloserRegisters
from evse.transports.hwmon import HwmonFan
from evse.transports.sysfs import ReferencePwm

RENEW_S: Final = 0.5
"""Outputs are a lease of three seconds."""

BusOf = Callable[[RecloserSection, BusDefaults], ModbusBus]


class FieldDevices:
    """Drivers of ``[evse.recloser]`` and ``[io]``."""

    def __init__(
        self, config: StationConfig, clock: Clock, rng: Random, bus_of: BusOf, offload: Offload = in_thread
    ) -> None:
        self.io: LinuxIo | None = None
        self.temperatures: LinuxTemperatures | None = None
        self.fan: LinuxFan | None = None
        self.reclosers: dict[int, ModbusRecloser] = {}  # by EVSE
        self.recloser_ports: dict[int, str] = {}
        self.levels: dict[str, bool] = {}
        """Outputs of the controller that were set by hand: name -> active."""
        self._section = config.io
        for evse in config.evse:
            if evse.recloser is not None:
                self.reclosers[evse.id] = _recloser(evse.id, evse.recloser, clock, bus_of)
                self.recloser_ports[evse.id] = evse.recloser.port
        if config.io is not None:
            self._build_io(config.io, clock, rng, offload)

    def _build_io(self, section: IoSection, clock: Clock, rng: Random, offload: Offload) -> None:
        root, ref = Path(section.root), section.reference
        if section.input or section.output:
            self.io = LinuxIo(
                "controller",
                [_input(row) for row in section.input],
                [
                    OutputSpec(name=row.name, source=GpioLine(chip=row.chip, line=row.line), active_low=row.active_low)
                    for row in section.output
                ],
                clock,
                rng,
                root=root,
                reference=None if ref is None else ReferencePwm(ref.chip, ref.channel, root=root),
                reference_mv=6_000 if ref is None else ref.threshold_mv,
                poll_ms=section.poll_ms,
                offload=offload,
            )
        if section.sensor:
            sensors = [
                TemperatureSpec(name=row.name, bus=row.bus, device=row.device, channel=row.channel)
                for row in section.sensor
            ]
            self.temperatures = LinuxTemperatures("temperatures", sensors, clock, rng, root=root, offload=offload)
        if section.fan is not None:
            fan = HwmonFan(section.fan.device, section.fan.channel, root)
            self.fan = LinuxFan("fan", fan, clock, rng, where=section.fan.device, offload=offload)

    def drivers(self) -> Iterator[tuple[str, Driver]]:
        """Name and owner task; reclosers belong to their bus."""
        if self.io is not None:
            yield "io controller", self.io
        if self.temperatures is not None:
            yield "temperatures", self.temperatures
        if self.fan is not None:
            yield "fan", self.fan

    def apply_live(self, section: IoSection | None) -> None:
        """Put the live options of ``[io]`` in force."""
        self._section = section

    def lost(self) -> Iterator[LostDevice]:
        """Devices that do not answer, after their own patience."""
        for evse_id, recloser in self.reclosers.items():
            text = recloser.lost()
            if text:
                yield LostDevice(kind="recloser", name=recloser.name, evse_ids=(evse_id,), detail=text)
        guarded = self._section.evses if self._section is not None else ()
        if self.io is not None and guarded:
            text = self.io.lost()
            if text:
                yield LostDevice(kind="io", name=self.io.name, evse_ids=guarded, detail=text)

    def input_level(self, name: str) -> bool | None:
        """Return whether an input of the controller is active; None = there is none of that name, or it cannot be read."""
        reading = self.io.inputs().get(name) if self.io is not None else None
        return reading.value if isinstance(reading, Sample) else None

    def set_output(self, name: str, active: bool | None) -> None:
        """Hold an output of the controller active or not; None = back to rest. Takes effect at once."""
        if active is None:
            self.levels.pop(name, None)
        else:
            self.levels[name] = active
        self.renew()

    def renew(self) -> None:
        """Command what is a lease."""
        if self.io is not None:
            self.io.command(self.levels)
        if self.fan is not None and self._section is not None and self._section.fan is not None:
            readings = self.temperatures.readings() if self.temperatures is not None else {}
            self.fan.command(fan_duty(self._section.fan, readings))

    async def run(self) -> None:
        """Renew for ever."""
        while True:
            self.renew()
            await asyncio.sleep(RENEW_S)


def fan_duty(fan: FanSection, readings: Mapping[str, Sample[int] | NoData]) -> int:
    """Return the duty in permille for the warmest sensor: straight from ``least_permille`` to full; full when one is lost."""
    known = [reading.value for reading in readings.values() if isinstance(reading, Sample)]
    if not known or len(known) < len(readings):
        return 1000
    warmest, start, full = max(known), fan.start_c * 10, fan.full_c * 10
    if warmest < start:
        return 0
    if warmest >= full:
        return 1000
    return fan.least_permille + (1000 - fan.least_permille) * (warmest - start) // (full - start)


def _recloser(evse_id: int, section: RecloserSection, clock: Clock, bus_of: BusOf) -> ModbusRecloser:
    profile = recloser_profile(section)
    address = profile.bus.unit if isinstance(section.address, UnsetType) else section.address
    return ModbusRecloser(
        f"recloser {evse_id}", profile, address, bus_of(section, profile.bus), clock, section.poll_ms
    )


def recloser_profile(section: RecloserSection) -> RecloserProfile:
    """Return the profile with the registers that the site has filled in. `ConfigError` when there is no such profile."""
    profile = load_recloser(section.profile)
    return profile if section.registers is None else with_registers(profile, _registers(section.registers))


def _registers(section: RegistersSection) -> RecloserRegisters:
    given = {key: value for key, value in msgspec.structs.asdict(section).items() if value is not msgspec.UNSET}
    return RecloserRegisters(**given)


def _input(row: InputSection) -> InputSpec:
    if isinstance(row.line, UnsetType):
        source: GpioLine | AdcChannel = AdcChannel(
            device=row.adc, channel=row.channel, gain_permille=row.gain_permille
        )
    else:
        source = GpioLine(chip=row.chip, line=row.line)
    return InputSpec(
        name=row.name,
        source=source,
        active_low=row.active_low,
        debounce_ms=row.debounce_ms,
        threshold_mv=row.threshold_mv,
        hysteresis_mv=row.hysteresis_mv,
    )
