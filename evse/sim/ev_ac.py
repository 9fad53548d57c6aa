"""An AC vehicle: on-board charger, battery, and its side of the control pilot and of ISO 15118 AC.

`AcEv.step` runs every 50 ms of simulated time. It reads what the station does (`AcPlant.out`), sets its load on the pilot
(``plant.vehicle``) and what a board would learn in an ISO 15118 session (SLAC, EVCCID, `V2gStatus`), and waits by
deadlines. `AcEv.take` gets what flowed.

Basic charging follows IEC 61851-1 as the reference plc-serial.md quotes it: a new duty within 5 s, power off within 3 s
without PWM, nothing below 6 A. Ways to misbehave are fields of `AcEvSpec` and can be changed while plugged in.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from evse.domain.ac import HlcMode, PilotMode, PpState
from evse.domain.base import Frozen
from evse.domain.signals import CpState
from evse.sim.curves import SOC_FULL_PPM, Car
from evse.sim.ev_ac_hlc import HlcSession
from evse.sim.hw.board_ac_plant import AcPlant
from evse.units import DurationNs, Instant, ms, s

MIN_MA: Final = 6_000
RISE_MA_S: Final = 8_000
FALL_MA_S: Final = 40_000
CHARGER_PERMILLE: Final = 900
"""Of the AC energy, this much reaches the battery (on-board charger; an assumption)."""
NOMINAL_MV: Final = 230_000
PULSE_NS: Final = ms(200)
"""A pulse of state E or F shorter than this wakes nobody."""
TAPER_PPM: Final = 950_000
"""Above this state of charge the charger gives less, down to a fifth."""


class AcPace(Frozen, frozen=True, kw_only=True):
    """How long a vehicle takes, in ms."""

    react_ms: int = 1_500  # PWM seen to S2 closed
    follow_ms: int = 1_200  # a new duty to the new current
    off_ms: int = 1_500  # PWM gone to S2 open, at most 3 s
    slac_ms: int = 5_000
    message_ms: int = 400
    end_ms: int = 600


AC_NORMAL: Final = AcPace()
AC_FAST: Final = AcPace(react_ms=300, follow_ms=300, off_ms=400, slac_ms=500, message_ms=100, end_ms=150)
"""For demonstrations."""


class AcEvSpec(Frozen, frozen=True, kw_only=True):
    """A car, its cable, its driver's wish and its manners. 0 as a limit means none."""

    name: str
    battery_wh: int
    phases: int = 3  # 1, 2 or 3 of its on-board charger
    max_ma: int = 16_000  # per phase
    cable: PpState = PpState.A32  # coding of the plug in the socket
    soc_ppm: int = 200_000
    target_soc_ppm: int = 800_000
    evcc_id: str = "020000000001"
    hlc: str = ""  # "" basic only, "ac" ISO 15118-2 AC, "dc" a vehicle that also opens DC sessions (fake DC)
    contract: bool = False
    departure_s: int = 0
    energy_request_wh: int = 0  # 0 = what is missing to the target
    stop_energy_wh: int = 0
    stop_after_s: int = 0  # seconds after the first current
    follow_ms: int = 0  # 0 = of the pace; up to 5000 is legal
    sleep_after_s: int = 0  # falls asleep after so long without an offer; a pulse of E or F wakes it
    ventilation: bool = False  # asks for it: state D
    starts_in_c: bool = False  # closes S2 on plugging in
    no_diode: bool = False
    ignore_pwm: bool = False  # goes on as before whatever the duty says
    over_permille: int = 0  # takes this part of what is offered when above 1000
    one_phase: bool = False  # its on-board charger uses L1 only, whatever `phases` says
    drop_c_after_s: int = 0  # opens S2 under load, once
    leak_dc_ua: int = 0  # flows while the contactor is closed
    leak_rms_ua: int = 0
    slac_fails: bool = False
    hlc_error: str = ""  # name of a `V2gError` that ends its sessions in the parameter phase
    renegotiate_after_s: int = 0
    pause_after_s: int = 0
    pause_s: int = 10


AC_CHANGEABLE: Final = (
    "soc_pct", "target_soc_pct", "stop", "max_ma", "stop_energy_wh", "stop_after_s", "follow_ms", "sleep_after_s",
    "ventilation", "no_diode", "ignore_pwm", "over_permille", "one_phase", "drop_c_after_s", "leak_dc_ua", "leak_rms_ua",
    "slac_fails", "hlc_error", "renegotiate_after_s", "pause_after_s", "pause_s", "departure_s", "contract",
)  # fmt: skip
"""Names that `AcEv.change` accepts; ``stop`` = the driver ends charging in the car."""


def ac_spec_of(car: Car, *, soc_pct: float, target_soc_pct: float, battery_wh: int = 0, evcc_id: str = "") -> AcEvSpec:
    """Return the AC side of a published car."""
    return AcEvSpec(
        name=car.name,
        battery_wh=battery_wh or car.battery_wh,
        phases=car.ac_phases,
        max_ma=car.ac_max_w * 1_000_000 // (car.ac_phases * NOMINAL_MV),
        soc_ppm=round(soc_pct * 10_000),
        target_soc_ppm=round(target_soc_pct * 10_000),
        evcc_id=evcc_id or "020000000001",
    )


def offered_ma(duty_bp: int) -> int:
    """Return what a duty in 0.01 % allows, as the vehicle understands it (IEC 61851-1; plc-serial.md, section 3)."""
    if 800 <= duty_bp < 1_000:
        return MIN_MA
    if 1_000 <= duty_bp <= 8_500:
        return duty_bp * 6
    if 8_500 < duty_bp <= 9_600:
        return (duty_bp - 6_400) * 25
    return 80_000 if 9_600 < duty_bp <= 9_700 else 0


def is_digital(duty_bp: int) -> bool:
    """Return True for 5 %, digital communication."""
    return 300 <= duty_bp <= 700


class AcEv:
    """One plugged-in AC vehicle."""

    def __init__(self, spec: AcEvSpec, plant: AcPlant, now: Instant, pace: AcPace = AC_NORMAL) -> None:
        self.spec = spec
        self.plant = plant
        self.pace = pace
        self.soc_ppm = float(spec.soc_ppm)
        self.energy_wh = 0.0  # into the battery since plug-in
        self.meter_wh = 0.0  # taken at the inlet
        self.s2 = spec.starts_in_c
        self.current_ma = 0.0  # per phase, what the charger draws
        self.live = 0  # phases that have voltage
        self.asleep = False
        self.done = False
        self.stop_wanted = False
        self.ended_by = ""  # "target soc", "target energy", "time", "driver", "station", "error: ..."
        self.current_since: Instant | None = None
        self.dropped = False
        self.hlc = HlcSession(self, now)
        self._offer = 0  # what the charger follows now
        self._seen = -1  # last offer on the line
        self._seen_at: Instant = now
        self._idle_since: Instant = now  # no offer since
        self._pulse_since: Instant | None = None
        self._early = spec.starts_in_c  # S2 closed before any offer
        plant.pp = spec.cable if plant.spec.socket else plant.pp
        plant.diode_missing = spec.no_diode
        self._load()

    # -- what the driver and the scenario do --------------------------------------------------------------------------

    def change(self, values: dict[str, Any]) -> None:
        """Set fields named in `AC_CHANGEABLE`; the caller has checked names and types."""
        fields: dict[str, Any] = {}
        for key, value in values.items():
            if key == "soc_pct":
                self.soc_ppm = float(value) * 10_000
            elif key == "target_soc_pct":
                fields["target_soc_ppm"] = round(float(value) * 10_000)
            elif key == "stop":
                self.stop_wanted = bool(value)
            else:
                fields[key] = value
        if fields:
            self.spec = msgspec.structs.replace(self.spec, **fields)
            self.plant.diode_missing = self.spec.no_diode

    @property
    def soc_pct(self) -> float:
        """State of charge in percent."""
        return self.soc_ppm / 10_000

    @property
    def stage(self) -> str:
        """Where the vehicle stands, in one word."""
        if self.done:
            return "done"
        if self.asleep:
            return "asleep"
        if self.hlc.active:
            return "hlc"
        return "charging" if self.s2 else "plugged"

    # -- one step -----------------------------------------------------------------------------------------------------

    def step(self, now: Instant, dt_ns: DurationNs) -> None:
        """Advance by one physics step of ``dt_ns``."""
        out = self.plant.out
        pilot, duty = out.pilot, out.generated_bp
        self._wake(now, pilot)
        self._ends(now)
        digital = is_digital(duty)
        if self.spec.hlc and (digital or self.hlc.active):
            self.hlc.step(now, digital and out.hlc is not HlcMode.OFF)
            offer = self.hlc.offer_ma()
            self._offer = offer
            self.s2 = self.hlc.ready
        else:
            self._basic(now, offered_ma(duty) if pilot is PilotMode.PWM else 0, pilot)
        self._drop(now)
        self._ramp(dt_ns)
        self._load()

    def _wake(self, now: Instant, pilot: PilotMode) -> None:
        if pilot in (PilotMode.E, PilotMode.F):
            if self._pulse_since is None:
                self._pulse_since = now
        elif self._pulse_since is not None:
            if now - self._pulse_since >= PULSE_NS:
                self.asleep = False
                self._idle_since = now
            self._pulse_since = None

    def _basic(self, now: Instant, offer: int, pilot: PilotMode) -> None:
        spec, pace = self.spec, self.pace
        if offer != self._seen:
            self._seen, self._seen_at = offer, now
        waited = now - self._seen_at
        if pilot in (PilotMode.E, PilotMode.F):
            if not spec.ignore_pwm:
                self._offer, self.s2 = 0, self._early
            return
        if offer >= MIN_MA:
            self._idle_since = now
            self._early = False
        elif spec.sleep_after_s and not self.s2 and now - self._idle_since >= s(spec.sleep_after_s):
            self.asleep = True
        wants = not self.done and not self.asleep
        if spec.ignore_pwm and self.s2 and self._offer and wants:
            return
        if offer < MIN_MA or not wants:
            if waited >= ms(pace.off_ms) // 2 or not wants:
                self._offer = 0
            if (waited >= ms(pace.off_ms) or not wants) and self.current_ma == 0 and not self._early:
                self.s2 = False
            if self.done:
                self.s2 = False
        elif not self.s2:
            self._offer = 0
            if waited >= ms(pace.react_ms):
                self.s2 = True
                self._offer = offer
        elif waited >= ms(spec.follow_ms or pace.follow_ms):
            self._offer = offer

    def _ends(self, now: Instant) -> None:
        """The driver's wish: stop in the car, full, energy, time."""
        spec = self.spec
        if self.done:
            return
        if self.current_ma and self.current_since is None:
            self.current_since = now
        charged_s = 0 if self.current_since is None else (now - self.current_since) // s(1)
        for ended, why in (
            (self.stop_wanted, "driver"),
            (self.soc_ppm >= spec.target_soc_ppm, "target soc"),
            (spec.stop_energy_wh > 0 and self.meter_wh >= spec.stop_energy_wh, "target energy"),
            (spec.stop_after_s > 0 and charged_s >= spec.stop_after_s, "time"),
        ):
            if ended:
                self.done, self.ended_by = True, why
                return

    def _drop(self, now: Instant) -> None:
        """Open S2 under load once: the current stops only when the station has opened."""
        spec, since = self.spec, self.current_since
        if spec.drop_c_after_s and not self.dropped and since is not None and now - since >= s(spec.drop_c_after_s):
            self.dropped = True
            self.done, self.ended_by = True, "left C under load"
            self.s2 = False

    def wanted_ma(self) -> float:
        """Current per phase that the charger aims at, while it has voltage."""
        spec = self.spec
        if self._offer < MIN_MA or not (self.s2 or self.current_ma) or self.live == 0:
            return 0.0
        limit = float(spec.max_ma)
        if spec.over_permille > 1000:
            limit = self._offer * spec.over_permille / 1000
        else:
            limit = min(limit, self._offer)
        if self.soc_ppm > TAPER_PPM:
            left = (SOC_FULL_PPM - self.soc_ppm) / (SOC_FULL_PPM - TAPER_PPM)
            limit = max(limit * max(left, 0.2), min(limit, MIN_MA))
        return limit

    def _ramp(self, dt_ns: DurationNs) -> None:
        if self.live == 0:
            self.current_ma = 0.0
            return
        if self.dropped:
            return  # S2 was opened under load: only the station's contactor ends the current
        aim = self.wanted_ma() if self.s2 else 0.0
        if aim > self.current_ma:
            self.current_ma = min(aim, self.current_ma + RISE_MA_S * dt_ns / 1e9)
        else:
            self.current_ma = max(aim, self.current_ma - FALL_MA_S * dt_ns / 1e9)

    def _load(self) -> None:
        wants = CpState.D if self.spec.ventilation else CpState.C
        self.plant.vehicle = wants if self.s2 else CpState.B

    # -- power --------------------------------------------------------------------------------------------------------

    def phases_used(self, live: int) -> int:
        """How many of ``live`` phases (counted from L1) the on-board charger uses."""
        return min(1 if self.spec.one_phase else self.spec.phases, live)

    def take(self, power_w: float, dt_ns: DurationNs) -> None:
        """Charge the battery with AC power for ``dt_ns``."""
        if power_w <= 0:
            return
        meter_wh = power_w * dt_ns / 3.6e12
        self.meter_wh += meter_wh
        energy_wh = meter_wh * CHARGER_PERMILLE / 1000
        self.energy_wh += energy_wh
        self.soc_ppm = min(self.soc_ppm + energy_wh * SOC_FULL_PPM / self.spec.battery_wh, float(SOC_FULL_PPM))


def unplug_ac(plant: AcPlant) -> None:
    """Clear everything the board knew of a vehicle; the socket is empty."""
    plant.vehicle = CpState.A
    plant.diode_missing = False
    if plant.spec.socket:
        plant.pp = PpState.NONE
    HlcSession.forget(plant)
