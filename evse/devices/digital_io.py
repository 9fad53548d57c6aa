"""Digital inputs and outputs of the controller on Linux: GPIO lines (either interface) and ADC channels.

Inputs are read together, once per period, in a worker. Outputs are a lease: when nobody commands for three seconds they
go to rest, and so they do when the driver ends.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

import msgspec

from evse.devices.io_filter import InputFilter
from evse.devices.io_spec import AdcChannel, GpioLine, InputSpec, OutputSpec
from evse.devices.polled import LOST_AFTER_NS, Offload, PolledDevice, in_thread
from evse.domain.base import ConfigError, DeviceError
from evse.domain.clock import Clock
from evse.domain.readings import NoData, NoDataReason, Sample
from evse.transports.gpio_chardev import ChipLines
from evse.transports.sysfs import ReferencePwm, SysfsAdc, SysfsGpio
from evse.units import Instant, s

POLL_MS: Final = 20
OUTPUT_LEASE_NS: Final = s(3)
"""Outputs go to rest when the last command is older; the control loop commands every 50 ms."""

LinesOf = Callable[[str, Sequence[int]], ChipLines]


class Readout(msgspec.Struct, frozen=True, kw_only=True):
    """What one exchange found: levels, voltages or the error of each input, and the levels of the outputs."""

    levels: dict[str, bool]
    millivolts: dict[str, int]
    failed: dict[str, str]
    outputs: dict[str, bool]


class LinuxIo(PolledDevice[Readout]):
    """`evse.devices.interfaces.DigitalIo` on the pins of the controller.

    ``root`` holds ``sys`` and ``dev``. ``reference`` + ``reference_mv`` set the common threshold of hardware
    comparators where the board has them (Charge Control C user guide 7.9.1). ``lines_of`` makes chip line groups.
    """

    kind = "io"

    def __init__(
        self,
        name: str,
        inputs: Sequence[InputSpec],
        outputs: Sequence[OutputSpec],
        clock: Clock,
        rng: random.Random,
        *,
        root: Path = Path("/"),
        reference: ReferencePwm | None = None,
        reference_mv: int = 6_000,
        poll_ms: int = POLL_MS,
        lost_after_ns: int = LOST_AFTER_NS,
        offload: Offload = in_thread,
        lines_of: LinesOf | None = None,
    ) -> None:
        _check_names(name, inputs, outputs)
        super().__init__(
            name, str(root), clock, rng, poll_ms=poll_ms, lost_after_ns=lost_after_ns, offload=offload
        )
        self._inputs = {spec.name: spec for spec in inputs}
        self._outputs = {spec.name: spec for spec in outputs}
        self._filters = {spec.name: InputFilter(spec) for spec in inputs}
        self._gpio = SysfsGpio(root)
        self._adcs = {
            spec.name: SysfsAdc(spec.source.device, spec.source.channel, spec.source.gain_permille, root)
            for spec in inputs
            if isinstance(spec.source, AdcChannel)
        }
        make = lines_of or (lambda chip, offsets: ChipLines(chip, offsets, root))
        self._in_groups = _groups(inputs, make)
        self._out_groups = _groups(outputs, make)
        self._reference = reference
        self._reference_mv = reference_mv
        self._wanted: frozenset[str] = frozenset()  # active outputs
        self._commanded_at: Instant | None = None
        self._read: dict[str, Sample[bool] | NoData] = {}
        self._millivolts: dict[str, Sample[int]] = {}
        self._set: dict[str, Sample[bool]] = {}

    def inputs(self) -> Mapping[str, Sample[bool] | NoData]:
        """Every input by name."""
        absent = self._absent()
        return {name: self._read.get(name, _NOT_YET) if absent is None else absent for name in self._inputs}

    def millivolts(self) -> Mapping[str, Sample[int] | NoData]:
        """Voltage of the analog inputs by name, mV."""
        absent = self._absent()
        return {name: self._millivolts.get(name, _NOT_YET) if absent is None else absent for name in self._adcs}

    def outputs(self) -> Mapping[str, Sample[bool] | NoData]:
        """Every output by name, as read back."""
        absent = self._absent()
        return {name: self._set.get(name, _NOT_YET) if absent is None else absent for name in self._outputs}

    def command(self, levels: Mapping[str, bool]) -> None:
        """Complete levels; a name that is no output raises `KeyError`."""
        unknown = levels.keys() - self._outputs.keys()
        if unknown:
            raise KeyError(f"io {self.name}: no output called {', '.join(sorted(unknown))}")
        self._commanded_at = self._clock.now()
        wanted = frozenset(name for name, on in levels.items() if on)
        if wanted != self._wanted:
            self._wanted = wanted
            self._wake.set()

    # -- the exchange -------------------------------------------------------------------------------------------------

    def _open(self) -> None:
        if self._reference is not None:
            self._reference.set_mv(self._reference_mv)
        for spec in self._inputs.values():
            if isinstance(spec.source, GpioLine) and not spec.source.chip:
                self._gpio.open_input(spec.source.line)
        for output in self._outputs.values():
            if not output.source.chip:
                self._gpio.open_output(output.source.line, high=output.active_low)
        for lines, _ in self._in_groups:
            lines.open_inputs()
        for lines, names in self._out_groups:
            lines.open_outputs([self._outputs[name].active_low for name in names])

    def _job(self) -> Callable[[], Readout]:
        at = self._commanded_at
        if at is not None and self._clock.now() - at > OUTPUT_LEASE_NS:
            self._wanted = frozenset()
        wanted = self._wanted
        return lambda: self._transfer(wanted)

    def _transfer(self, wanted: frozenset[str]) -> Readout:
        """Write the outputs, read everything. One ADC that fails does not take the other inputs with it."""
        electrical = {name: (name in wanted) is not spec.active_low for name, spec in self._outputs.items()}
        outputs: dict[str, bool] = {}
        for lines, names in self._out_groups:
            lines.write([electrical[name] for name in names])
            outputs.update(zip(names, lines.read(), strict=True))
        for name, output in self._outputs.items():
            if not output.source.chip:
                self._gpio.write(output.source.line, high=electrical[name])
                outputs[name] = self._gpio.read(output.source.line)
        levels: dict[str, bool] = {}
        for lines, names in self._in_groups:
            levels.update(zip(names, lines.read(), strict=True))
        millivolts: dict[str, int] = {}
        failed: dict[str, str] = {}
        for name, spec in self._inputs.items():
            if isinstance(spec.source, AdcChannel):
                try:
                    millivolts[name] = self._adcs[name].read_mv()
                except DeviceError as error:
                    self._adcs[name].close()
                    failed[name] = str(error)
            elif not spec.source.chip:
                levels[name] = self._gpio.read(spec.source.line)
        return Readout(levels=levels, millivolts=millivolts, failed=failed, outputs=outputs)

    def _publish(self, result: Readout, now: Instant) -> None:
        for name, high in result.levels.items():
            self._read[name] = Sample(value=self._filters[name].level(high, now), at=now)
        for name, voltage in result.millivolts.items():
            self._read[name] = Sample(value=self._filters[name].voltage(voltage, now), at=now)
            self._millivolts[name] = Sample(value=voltage, at=now)
        for name, text in result.failed.items():
            old = self._read.get(name)
            since = old.since if isinstance(old, NoData) else now
            self._read[name] = NoData(reason=NoDataReason.ERROR, since=since, detail=f"input {name}: {text}")
            self._millivolts.pop(name, None)
            self._filters[name].reset()
        for name, high in result.outputs.items():
            self._set[name] = Sample(value=high is not self._outputs[name].active_low, at=now)

    def lost(self) -> str:
        """Why all or some inputs are lost."""
        now = self._clock.now()
        failed = [
            reading.detail
            for reading in self._read.values()
            if isinstance(reading, NoData) and now - reading.since >= self._lost_after_ns
        ]
        return super().lost() or "; ".join(failed)

    def _close(self) -> None:
        """Outputs to rest, lines back."""
        for filter_ in self._filters.values():
            filter_.reset()
        try:
            for lines, names in self._out_groups:
                lines.write([self._outputs[name].active_low for name in names])
            for output in self._outputs.values():
                if not output.source.chip:
                    self._gpio.write(output.source.line, high=output.active_low)
        finally:
            for lines, _ in (*self._in_groups, *self._out_groups):
                lines.close()


_NOT_YET: Final = NoData(reason=NoDataReason.NEVER, since=0, detail="not read yet")


def _groups(
    specs: Sequence[InputSpec | OutputSpec], make: LinesOf
) -> list[tuple[ChipLines, tuple[str, ...]]]:
    """Lines of one chip are asked for, read and written together."""
    chips: dict[str, list[tuple[str, int]]] = {}
    for spec in specs:
        if isinstance(spec.source, GpioLine) and spec.source.chip:
            chips.setdefault(spec.source.chip, []).append((spec.name, spec.source.line))
    return [
        (make(chip, [line for _, line in rows]), tuple(name for name, _ in rows)) for chip, rows in chips.items()
    ]


def _check_names(name: str, inputs: Sequence[InputSpec], outputs: Sequence[OutputSpec]) -> None:
    """`ConfigError` when a name or a pin is used twice."""
    problems = []
    names: set[str] = set()
    pins: dict[tuple[str, int], str] = {}
    specs: list[InputSpec | OutputSpec] = [*inputs, *outputs]
    for spec in specs:
        if spec.name in names:
            problems.append(f"io {name}: the name {spec.name!r} is used twice; give each input and output its own")
        names.add(spec.name)
        if isinstance(spec.source, GpioLine):
            pin = (spec.source.chip, spec.source.line)
            if pin in pins:
                chip = spec.source.chip or "gpio"
                problems.append(
                    f"io {name}: {spec.name!r} and {pins[pin]!r} both use {chip} {spec.source.line}; correct one of them"
                )
            pins[pin] = spec.name
    if problems:
        raise ConfigError(problems)
