"""Temperature sensors and the fan of the housing, both behind kernel files."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

from evse.devices.interfaces import FanStatus
from evse.devices.io_spec import TemperatureSpec
from evse.devices.polled import LOST_AFTER_NS, Offload, PolledDevice, in_thread
from evse.domain.base import DeviceError
from evse.domain.clock import Clock
from evse.domain.readings import NoData, NoDataReason, Sample
from evse.protocols.w1 import parse_millidegrees, parse_sensor
from evse.transports.hwmon import HwmonFan, read_hwmon_temperature, read_w1
from evse.units import Instant, clamp, s

TEMPERATURE_POLL_MS: Final = 2_000
FAN_POLL_MS: Final = 1_000

KEEP_NS: Final = s(10)
"""A sensor's last value is shown so long while its new ones are damaged (1-wire lines are noisy, heat is slow)."""

STALL_DUTY_PERMILLE: Final = 200
"""4-wire fans need not turn below 20 % duty."""

STALL_AFTER_NS: Final = s(5)


class LinuxTemperatures(PolledDevice[dict[str, int | str]]):
    """`evse.devices.interfaces.TemperatureSensors`: 1-wire sensors one after the other, hwmon sensors."""

    kind = "temperature"

    def __init__(
        self,
        name: str,
        sensors: Sequence[TemperatureSpec],
        clock: Clock,
        rng: random.Random,
        *,
        root: Path = Path("/"),
        poll_ms: int = TEMPERATURE_POLL_MS,
        lost_after_ns: int = LOST_AFTER_NS,
        offload: Offload = in_thread,
    ) -> None:
        # One conversion takes up to 750 ms, and the exchange takes them all.
        poll_ms = max(poll_ms, 1_000 * len(sensors))
        super().__init__(name, str(root), clock, rng, poll_ms=poll_ms, lost_after_ns=lost_after_ns, offload=offload)
        self._root = root
        self._sensors = {spec.name: spec for spec in sensors}
        self._readings: dict[str, Sample[int] | NoData] = {
            spec.name: NoData(reason=NoDataReason.NEVER, since=clock.now(), detail=f"sensor {spec.name}: not read yet")
            for spec in sensors
        }

    def readings(self) -> Mapping[str, Sample[int] | NoData]:
        """Every sensor by name, d°C."""
        absent = self._absent()
        return {name: absent or reading for name, reading in self._readings.items()}

    def lost(self) -> str:
        """Which sensors are lost and why."""
        now = self._clock.now()
        failed = [
            reading.detail
            for reading in self._readings.values()
            if isinstance(reading, NoData) and now - reading.since >= self._lost_after_ns
        ]
        return super().lost() or "; ".join(failed)

    def _open(self) -> None:
        """Sensors are files that come and go by themselves."""

    def _job(self) -> Callable[[], dict[str, int | str]]:
        return self._read_all

    def _read_all(self) -> dict[str, int | str]:
        found: dict[str, int | str] = {}
        for name, spec in self._sensors.items():
            try:
                if spec.bus == "w1":
                    found[name] = parse_sensor(read_w1(spec.device, self._root))
                else:
                    text = read_hwmon_temperature(spec.device, spec.channel, self._root)
                    found[name] = parse_millidegrees(text)
            except DeviceError as error:
                found[name] = str(error)
        return found

    def _publish(self, result: dict[str, int | str], now: Instant) -> None:
        for name, value in result.items():
            old = self._readings[name]
            if isinstance(value, int):
                self._readings[name] = Sample(value=value, at=now)
            elif isinstance(old, NoData):
                self._readings[name] = NoData(
                    reason=NoDataReason.ERROR, since=old.since, detail=f"sensor {name}: {value}"
                )
            elif now - old.at >= KEEP_NS:
                self._readings[name] = NoData(
                    reason=NoDataReason.ERROR, since=old.at, detail=f"sensor {name}: {value}"
                )

    def _close(self) -> None:
        """Nothing is held."""


class LinuxFan(PolledDevice[tuple[int, int | None]]):
    """`evse.devices.interfaces.Fan` on hwmon. Until the first command, and after the end, the kernel controls it."""

    kind = "fan"

    def __init__(
        self,
        name: str,
        fan: HwmonFan,
        clock: Clock,
        rng: random.Random,
        *,
        where: str = "hwmon",
        poll_ms: int = FAN_POLL_MS,
        lost_after_ns: int = LOST_AFTER_NS,
        offload: Offload = in_thread,
    ) -> None:
        super().__init__(name, where, clock, rng, poll_ms=poll_ms, lost_after_ns=lost_after_ns, offload=offload)
        self._fan = fan
        self._wanted: int | None = None
        self._reading: Sample[FanStatus] | None = None
        self._still_since: Instant | None = None

    def reading(self) -> Sample[FanStatus] | NoData:
        """Latest status."""
        absent = self._absent()
        if absent is not None or self._reading is None:
            return absent or NoData(reason=NoDataReason.NEVER, since=0, detail=f"fan {self.name}: not read yet")
        return self._reading

    def command(self, duty_permille: int) -> None:
        """Wanted duty, clamped to 0..1000 permille."""
        wanted = clamp(duty_permille, 0, 1000)
        if wanted != self._wanted:
            self._wanted = wanted
            self._wake.set()

    def _open(self) -> None:
        self._fan.open()

    def _job(self) -> Callable[[], tuple[int, int | None]]:
        wanted = self._wanted

        def work() -> tuple[int, int | None]:
            if wanted is not None:
                self._fan.write(wanted)
            return self._fan.read()

        return work

    def _publish(self, result: tuple[int, int | None], now: Instant) -> None:
        duty_permille, rpm = result
        if rpm != 0 or duty_permille < STALL_DUTY_PERMILLE:
            self._still_since = None
        elif self._still_since is None:
            self._still_since = now
        stalled = self._still_since is not None and now - self._still_since >= STALL_AFTER_NS
        self._reading = Sample(value=FanStatus(duty_permille=duty_permille, rpm=rpm, stalled=stalled), at=now)

    def _close(self) -> None:
        self._fan.close()
