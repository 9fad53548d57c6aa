"""A vehicle: battery, demand along its curve, and its side of the CCS sequence, on the far side of a board.

`Ev.step` runs every 50 ms of simulated time. It reads what the board does towards the vehicle (`BoardPlant.out`),
writes what the board would learn from the vehicle (pilot, SLAC, HLC step, SoC, demand) and waits by deadlines, never by
sleeping. Limits of the loops are those of DIN 70121 and ISO 15118-2: CableCheck 40 s, PreCharge 7 s, output 20 V around
the target, current below 1 A before the vehicle's contactors open, sequence timeout 60 s.

Ways to misbehave are fields of `EvSpec` and can be changed while plugged in (`Ev.change`).
"""

from __future__ import annotations

import enum
from typing import Any, Final

from evse.domain.base import Frozen
from evse.domain.signals import HLC_STEPS, Authorization, CpState, EvStop, HlcStep, LockState, SlacState
from evse.sim.curves import PACK_400_MOHM, SOC_FULL_PPM, TARGET_400_MV, Car, Curve, VoltageClass, pack_mv, power_at
from evse.sim.hw.board_plant import BoardPlant
from evse.units import NS_PER_MS, DurationNs, Instant, ms, s

CABLE_LIMIT: Final = s(40)
PRE_CHARGE_LIMIT: Final = s(7)
PRE_CHARGE_NEVER_LIMIT: Final = s(30)
PRE_CHARGE_WINDOW_MV: Final = 20_000
PRE_CHARGE_MA: Final = 2_000
SEQUENCE_LIMIT: Final = s(60)
OPEN_BELOW_MA: Final = 1_000
OPEN_WAIT: Final = s(2)
DEAD_OPENS_AFTER: Final = s(5)
"""A vehicle whose communication is dead opens its contactors without current after this time."""
WELD_BELOW_MV: Final = 60_000
WELD_WAIT: Final = s(4)
DEMAND_MARGIN_MA: Final = 100
CURRENT_STEP_MA: Final = 1_000
"""Demand moves in whole amperes above `FINE_BELOW_MA`, in tenths below: cars do not ask for milliamperes."""
FINE_BELOW_MA: Final = 20_000
CURRENT_FINE_MA: Final = 100


class Pace(Frozen, frozen=True, kw_only=True):
    """How long the steps of a session take, in ms."""

    detect_ms: int = 1_000  # pilot B to the first SLAC frame
    slac_ms: int = 6_500
    message_ms: int = 500  # SAP .. Pay-Sel, each
    auth_ms: int = 400
    param_ms: int = 800
    cable_ms: int = 300  # after the station says Finished
    isolation_ms: int = 3_000  # the insulation monitor of the station
    pre_charge_ms: int = 400  # the voltage must fit for so long
    power_on_ms: int = 500
    stop_ms: int = 700  # reaction to a stop request
    end_ms: int = 400  # SessionStop


NORMAL: Final = Pace()
"""About 20 s from plug to current (measured sequences of real cars take 15 to 30 s)."""

FAST: Final = Pace(
    detect_ms=150,
    slac_ms=500,
    message_ms=100,
    auth_ms=100,
    param_ms=150,
    cable_ms=100,
    isolation_ms=500,
    pre_charge_ms=100,
    power_on_ms=150,
    stop_ms=200,
    end_ms=150,
)
"""For demonstrations: about 5 s."""


class EvSpec(Frozen, frozen=True, kw_only=True):
    """A car with its driver's wish and its manners. 0 as a limit means none."""

    name: str
    battery_wh: int
    curve: Curve
    voltage_class: VoltageClass = 400
    soc_ppm: int = 200_000
    target_soc_ppm: int = 800_000
    evcc_id: str = "020000000001"
    protocol: str = "ISO15118-2"
    max_w: int = 0  # EVMaximumPowerLimit; 0 = the highest point of the curve
    max_ma: int = 0  # EVMaximumCurrentLimit; 0 = from max_w at the lowest pack voltage
    demand_w: int = 0  # driver's cap
    stop_energy_wh: int = 0
    stop_after_s: int = 0  # seconds after the first current
    late_ms: int = 0  # answers come only every so many ms
    silent: bool = False  # no answer at all
    ignore_stop: bool = False
    resistance_mohm: int = 0  # of the pack; 0 = that of its class
    stay_in_c: bool = False  # pilot stays C after the end
    pre_charge_never: bool = False  # never satisfied with the pre-charge voltage
    insulation_kohm: int = 2_000  # seen by the station's monitor with this car
    slac_fails: bool = False


CHANGEABLE: Final = (
    "soc_pct",
    "target_soc_pct",
    "demand_w",
    "max_w",
    "max_ma",
    "stop_energy_wh",
    "stop_after_s",
    "late_ms",
    "silent",
    "ignore_stop",
    "stay_in_c",
    "pre_charge_never",
    "insulation_kohm",
    "slac_fails",
    "stop",
)
"""Names that `Ev.change` accepts; ``stop`` = the driver ends charging in the car."""


def spec_of(car: Car, *, soc_pct: float, target_soc_pct: float, battery_wh: int = 0, evcc_id: str = "") -> EvSpec:
    """Return an `EvSpec` of a published car; ``battery_wh`` overrides its capacity (small ones end a demo early)."""
    return EvSpec(
        name=car.name,
        battery_wh=battery_wh or car.battery_wh,
        curve=car.curve,
        voltage_class=car.voltage_class,
        soc_ppm=round(soc_pct * 10_000),
        target_soc_ppm=round(target_soc_pct * 10_000),
        evcc_id=evcc_id or "020000000001",
        max_w=car.dc_max_w,
    )


class Stage(enum.Enum):
    """Where the vehicle stands."""

    PLUGGED = "plugged"  # waits for the station's invitation
    MATCHING = "matching"
    HLC = "hlc"
    DONE = "done"  # session over, still plugged in
    LOST = "lost"  # communication broke down


_TALK = HLC_STEPS[: HLC_STEPS.index(HlcStep.PAY_AUTH)]


class Ev:
    """One plugged-in vehicle. Physics calls `step`, then `take` with what flowed into the inlet."""

    def __init__(self, spec: EvSpec, plant: BoardPlant, now: Instant, pace: Pace = NORMAL) -> None:
        self.spec = spec
        self.plant = plant
        self.pace = pace
        self.stage = Stage.PLUGGED
        self.step_name: HlcStep | None = None
        self.soc_ppm = float(spec.soc_ppm)
        self.energy_wh = 0.0  # into the battery since plug-in
        self.contactor = False  # the vehicle's own contactors
        self.current_ma = 0.0  # at the inlet, from physics
        self.ocv_mv = pack_mv(spec.voltage_class, self.soc_ppm)
        self.resistance_mohm = spec.resistance_mohm or PACK_400_MOHM * (spec.voltage_class // 400)
        self.stop_wanted = False
        self.ended_by = ""  # "target soc", "target energy", "time", "driver", "station", "error: ..."
        self.current_since: Instant | None = None
        self._until = now + ms(pace.detect_ms)
        self._limit = 0
        self._fits_since: Instant | None = None
        self._stop_seen: Instant | None = None
        self._last_message = now
        self._restarts = plant.out.slac_restarts
        self._ocv_at_ppm = self.soc_ppm
        self._finishing: EvStop | None = None
        plant.cp = CpState.B
        plant.ev_stop = EvStop.NONE

    # -- what the driver and the scenario do --------------------------------------------------

    def change(self, values: dict[str, Any]) -> None:
        """Set fields named in `CHANGEABLE`; the caller has checked names and types."""
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
            current = {name: getattr(self.spec, name) for name in self.spec.__struct_fields__}
            self.spec = EvSpec(**{**current, **fields})

    def drop_link(self) -> None:
        """Lose the powerline link in the middle of whatever is going on."""
        if self.stage is Stage.HLC or self.stage is Stage.MATCHING:
            self._lost(EvStop.COMM_LOST, "error: link lost", slac=SlacState.FAILED)

    @property
    def soc_pct(self) -> float:
        """State of charge in percent."""
        return self.soc_ppm / 10_000

    def demand_ma(self) -> int:
        """Return EVTargetCurrent: the curve at this SoC, under the vehicle's own limits."""
        spec = self.spec
        power_w = power_at(spec.curve, self.soc_ppm)
        cap = spec.max_w or power_w
        if spec.demand_w:
            cap = min(cap, spec.demand_w)
        power_w = min(power_w, cap)
        volt_mv = self.ocv_mv + self.resistance_mohm * self.current_ma / 1000
        current = power_w * 1e6 / volt_mv
        if spec.max_ma:
            current = min(current, spec.max_ma)
        grain = CURRENT_STEP_MA if current >= FINE_BELOW_MA else CURRENT_FINE_MA
        return int(current) // grain * grain

    def take(self, current_ma: float, dt_ns: DurationNs) -> None:
        """Charge the battery with the inlet current for ``dt_ns``; heat in the pack is not stored."""
        self.current_ma = current_ma
        if current_ma <= 0.0:
            return
        energy_wh = self.ocv_mv * current_ma * dt_ns / 3.6e18
        self.energy_wh += energy_wh
        self.soc_ppm = min(self.soc_ppm + energy_wh * SOC_FULL_PPM / self.spec.battery_wh, float(SOC_FULL_PPM))
        if abs(self.soc_ppm - self._ocv_at_ppm) > 500:
            self._ocv_at_ppm = self.soc_ppm
            self.ocv_mv = pack_mv(self.spec.voltage_class, self.soc_ppm)

    # -- one step of the sequence --------------------------------------------------------------

    def step(self, now: Instant) -> None:
        """Advance by one physics step."""
        plant, stage = self.plant, self.stage
        if stage is Stage.HLC:
            if self._answers(now):
                self._hlc(now)
            return
        out = plant.out
        if stage is Stage.PLUGGED:
            if out.permit and now >= self._until:
                self.stage = Stage.MATCHING
                self._until = now + ms(self.pace.slac_ms)
                self._restarts = out.slac_restarts
                plant.slac = SlacState.MATCHING
            elif not out.permit:
                self._until = now + ms(self.pace.detect_ms)
        elif stage is Stage.MATCHING:
            self._match(now)
        else:
            if not self.spec.silent:
                self.contactor = False
                self._leave_c()
            if out.slac_restarts != self._restarts and out.permit:
                self._begin_again(now)

    def _match(self, now: Instant) -> None:
        plant = self.plant
        if not plant.out.permit:
            plant.slac = SlacState.UNMATCHED
            self.stage = Stage.PLUGGED
            self._until = now + ms(self.pace.detect_ms)
        elif now >= self._until:
            if self.spec.slac_fails:
                plant.slac = SlacState.FAILED
                self._lost(EvStop.COMM_LOST, "error: SLAC failed", slac=SlacState.FAILED)
                return
            plant.slac = SlacState.MATCHED
            self.stage = Stage.HLC
            self._last_message = now
            self._enter(HlcStep.SAP, now, self.pace.message_ms)

    def _begin_again(self, now: Instant) -> None:
        self._restarts = self.plant.out.slac_restarts
        self.stage = Stage.PLUGGED
        self.stop_wanted = False
        self.ended_by = ""
        self.current_since = None
        self._finishing = None
        self._until = now + ms(self.pace.detect_ms)
        self.plant.ev_stop = EvStop.NONE
        self.plant.slac = SlacState.UNMATCHED

    def _enter(self, step: HlcStep, now: Instant, duration_ms: int) -> None:
        self.step_name = step
        self.plant.step = step
        self._until = now + ms(duration_ms + self.spec.late_ms)

    def _answers(self, now: Instant) -> bool:
        """Return True when the vehicle speaks in this step; keeps the age of its last message."""
        spec, plant = self.spec, self.plant
        age = now - self._last_message
        if spec.silent:
            plant.ev_age_ms = age // NS_PER_MS
            if age > DEAD_OPENS_AFTER and self.current_ma < OPEN_BELOW_MA:
                self.contactor = False
            if age > SEQUENCE_LIMIT or not plant.out.permit:
                self._lost(EvStop.COMM_LOST, "error: no answer")
            return False
        if spec.late_ms and age < spec.late_ms * NS_PER_MS:
            plant.ev_age_ms = age // NS_PER_MS
            return False
        self._last_message = now
        plant.ev_age_ms = 0
        return True

    def _hlc(self, now: Instant) -> None:
        plant = self.plant
        out = plant.out
        step = self.step_name
        if out.emergency or not out.permit:
            self.contactor = False
            self._lost(
                EvStop.NORMAL if out.emergency else EvStop.COMM_LOST,
                "station" if out.emergency else "error: the station ended the communication",
            )
            return
        if step is HlcStep.CURR:
            self._charge(now)
        elif step is HlcStep.PD_OFF or step is HlcStep.WELD or step is HlcStep.STOP:
            self._wind_down(now)
        elif (out.stop and not self.spec.ignore_stop) or self.stop_wanted:
            self._finish(now, EvStop.NORMAL, "driver" if self.stop_wanted else "station")
        elif step in _TALK:
            self._talk(now)
        elif step is HlcStep.PAY_AUTH:
            self._pay_auth(now)
        elif step is HlcStep.PARAM:
            if now >= self._until:
                plant.cp = CpState.C
                self._limit = now + CABLE_LIMIT
                self._enter(HlcStep.CABLE, now, self.pace.cable_ms)
        elif step is HlcStep.CABLE:
            self._cable(now)
        elif step is HlcStep.PRE_C:
            self._pre_charge(now)
        elif step is HlcStep.PD_ON and now >= self._until:
            self.contactor = True
            self._enter(HlcStep.CURR, now, 0)
            self._charge(now)

    def _talk(self, now: Instant) -> None:
        if now < self._until or self.step_name is None:
            return
        following = HLC_STEPS[HLC_STEPS.index(self.step_name) + 1]
        if self.step_name is HlcStep.SAP:
            self.plant.protocol = self.spec.protocol
        elif self.step_name is HlcStep.SETUP:
            self.plant.evcc_id = self.spec.evcc_id
        self._enter(following, now, self.pace.auth_ms if following is HlcStep.PAY_AUTH else self.pace.message_ms)

    def _pay_auth(self, now: Instant) -> None:
        authorization = self.plant.out.authorization
        if authorization is Authorization.DENIED:
            self._finish(now, EvStop.ERROR, "error: not authorised")
        elif authorization is Authorization.GRANTED and now >= self._until:
            self._declare()
            self._enter(HlcStep.PARAM, now, self.pace.param_ms)

    def _declare(self) -> None:
        """ChargeParameterDiscovery: limits, SoC and energy request."""
        spec, plant = self.spec, self.plant
        top_w = spec.max_w or max(power for _soc, power in spec.curve)
        plant.ev_max_w = top_w
        plant.ev_max_mv = TARGET_400_MV * (spec.voltage_class // 400)
        plant.ev_max_ma = spec.max_ma or min(500_000, int(top_w * 1e6 / pack_mv(spec.voltage_class, 0)))
        plant.soc_pct = int(self.soc_ppm / 10_000 + 0.5)
        missing = max(spec.target_soc_ppm - self.soc_ppm, 0.0)
        plant.ev_energy_request_wh = round(missing * spec.battery_wh / SOC_FULL_PPM)
        plant.demand_mv = int(self.ocv_mv)
        plant.demand_ma = 0

    def _cable(self, now: Instant) -> None:
        plant = self.plant
        if not plant.out.cable_check_done or plant.lock is not LockState.LOCKED:
            self._until = now + ms(self.pace.cable_ms)
            if now >= self._limit:
                self._finish(now, EvStop.ERROR, "error: cable check took more than 40 s")
        elif now >= self._until:
            never = self.spec.pre_charge_never
            self._limit = now + (PRE_CHARGE_NEVER_LIMIT if never else PRE_CHARGE_LIMIT)
            self._fits_since = None
            plant.demand_mv = int(self.ocv_mv)
            plant.demand_ma = PRE_CHARGE_MA
            self._enter(HlcStep.PRE_C, now, 0)

    def _pre_charge(self, now: Instant) -> None:
        plant = self.plant
        fits = (
            abs(plant.output_mv - plant.demand_mv) <= PRE_CHARGE_WINDOW_MV
            and abs(plant.out.present_mv - plant.demand_mv) <= PRE_CHARGE_WINDOW_MV
            and not self.spec.pre_charge_never
        )
        if not fits:
            self._fits_since = None
            if now >= self._limit:
                self._finish(now, EvStop.ERROR, "error: pre-charge did not reach the voltage")
        elif self._fits_since is None:
            self._fits_since = now
        elif now - self._fits_since >= ms(self.pace.pre_charge_ms):
            self._enter(HlcStep.PD_ON, now, self.pace.power_on_ms)

    def _charge(self, now: Instant) -> None:
        plant, spec = self.plant, self.spec
        plant.demand_mv = TARGET_400_MV * (spec.voltage_class // 400)
        plant.soc_pct = int(self.soc_ppm / 10_000 + 0.5)
        if self.current_ma > OPEN_BELOW_MA and self.current_since is None:
            self.current_since = now
        if self.stop_wanted:
            self._finish(now, EvStop.NORMAL, "driver")
        elif self.soc_ppm >= spec.target_soc_ppm:
            self._finish(now, EvStop.NORMAL, "target soc")
        elif spec.stop_energy_wh and self.energy_wh >= spec.stop_energy_wh:
            self._finish(now, EvStop.NORMAL, "target energy")
        elif spec.stop_after_s and self.current_since is not None and now - self.current_since >= s(spec.stop_after_s):
            self._finish(now, EvStop.NORMAL, "time")
        elif plant.out.stop and not spec.ignore_stop:
            if self._stop_seen is None:
                self._stop_seen = now
            elif now - self._stop_seen >= ms(self.pace.stop_ms):
                self._finish(now, EvStop.NORMAL, "station")
        else:
            self._stop_seen = None
            demand = self.demand_ma()
            if abs(demand - plant.demand_ma) >= DEMAND_MARGIN_MA:
                plant.demand_ma = demand

    def _finish(self, now: Instant, how: EvStop, why: str) -> None:
        """Begin the orderly end: PowerDelivery stop when power was on, else SessionStop at once."""
        self.ended_by = why
        self._finishing = how
        self.plant.ev_stop = how
        self.plant.demand_ma = 0
        if self.contactor:
            self._limit = now + OPEN_WAIT
            self._enter(HlcStep.PD_OFF, now, 0)
        else:
            self._leave_c()
            self._enter(HlcStep.STOP, now, self.pace.end_ms)

    def _leave_c(self) -> None:
        if not self.spec.stay_in_c:
            self.plant.cp = CpState.B

    def _wind_down(self, now: Instant) -> None:
        step = self.step_name
        if step is HlcStep.PD_OFF:
            if self.current_ma < OPEN_BELOW_MA or now >= self._limit:
                self.contactor = False
                self._leave_c()
                self._limit = now + WELD_WAIT
                self._enter(HlcStep.WELD, now, self.pace.message_ms)
        elif step is HlcStep.WELD:
            if now >= self._until and (self.plant.output_mv < WELD_BELOW_MV or now >= self._limit):
                self._enter(HlcStep.STOP, now, self.pace.end_ms)
        elif now >= self._until:
            self._lost(self._finishing or EvStop.NORMAL, self.ended_by, done=True)

    def _lost(self, how: EvStop, why: str, *, done: bool = False, slac: SlacState = SlacState.UNMATCHED) -> None:
        """Leave the HLC session; a silent vehicle keeps its contactors and its pilot as they are."""
        plant = self.plant
        if not self.spec.silent:
            self.contactor = False
            self._leave_c()
        self.stage = Stage.DONE if done or how is EvStop.NORMAL else Stage.LOST
        self.step_name = None
        self._restarts = plant.out.slac_restarts
        self.ended_by = self.ended_by or why
        plant.step = None
        plant.slac = slac
        plant.demand_ma = 0
        plant.ev_age_ms = 0
        plant.ev_stop = how


def unplug(plant: BoardPlant) -> None:
    """Clear everything the board knew of a vehicle."""
    plant.cp = CpState.A
    plant.slac = SlacState.UNMATCHED
    plant.step = None
    plant.evcc_id = plant.protocol = ""
    plant.soc_pct = plant.ev_energy_request_wh = None
    plant.demand_mv = plant.demand_ma = 0
    plant.ev_max_mv = plant.ev_max_ma = plant.ev_max_w = 0
    plant.ev_age_ms = 0
    plant.ev_stop = EvStop.NONE
