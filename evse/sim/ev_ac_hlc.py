"""ISO 15118 in an AC vehicle: matching, the four phases of an AC session, and the short DC session of "fake DC".

Phases and their limits are those of charge-control-c, sections 15.3, 15.4, 15.9 to 15.12 and 15.21: init, auth, parameter
and charge, each started, then finished; auth waits for the authorisation, parameter for ``parameter_finished``; a
renegotiation goes back to parameter with the pilot in B; a pause ends the session and begins it anew later.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from evse.domain.ac import HlcMode, PilotMode, V2gError, V2gPhase, V2gStatus
from evse.domain.signals import Authorization, EvStop, HlcStep, SlacState
from evse.sim.curves import SOC_FULL_PPM
from evse.units import Instant, ms, s

if TYPE_CHECKING:
    from evse.sim.ev_ac import AcEv
    from evse.sim.hw.board_ac_plant import AcPlant

EV_MIN_MA: Final = 6_000
INIT_MESSAGES: Final = 3
ONGOING_LIMIT: Final = s(60)
"""A vehicle repeats a message that is answered "Ongoing" for at most this time (plc-serial.md, section 2)."""
DC_STEPS: Final = (HlcStep.SAP, HlcStep.SETUP, HlcStep.DISCO, HlcStep.PAY_SEL, HlcStep.PAY_AUTH, HlcStep.PARAM)


class HlcSession:
    """The vehicle's communication controller. ``active`` from the first SLAC frame to the end of the session."""

    def __init__(self, ev: AcEv, now: Instant) -> None:
        self._ev = ev
        self._plant = ev.plant
        self.active = False
        self.ready = False  # PowerDelivery start: S2 closed
        self._over = False  # nothing more in this plug-in until SLAC is restarted or the pause ends
        self._matched = False
        self._until: Instant = now
        self._phase_since: Instant = now
        self._step = 0  # of a fake DC session
        self._charge_since: Instant = 0
        self._stop_at: Instant = 0  # energy away until then, then the session is over
        self._pausing = False
        self._paused_until: Instant = 0
        self._renegotiated = False  # asked for once by the vehicle
        self._asked = False  # the station's wish for a renegotiation is being followed
        self._restarts = ev.plant.out.slac_restarts

    def offer_ma(self) -> int:
        """EVSEMaxCurrent per phase, and the power of the schedule, while charging; else 0."""
        out, ev = self._plant.out, self._ev
        if not self.ready or self._stop_at:
            return 0
        offer = out.offered_ma
        if out.offered_w and ev.live:
            volts = self._plant.spec.nominal_mv * ev.phases_used(ev.live)
            offer = min(offer, out.offered_w * 1_000_000 // volts)
        return offer

    def _tell(self, phase: V2gPhase, **more: object) -> None:
        old = self._plant.v2g
        values: dict[str, object] = {
            "contract": old.contract, "departure_s": old.departure_s, "energy_request_wh": old.energy_request_wh,
            "ev_max_ma": old.ev_max_ma, "ev_min_ma": old.ev_min_ma, "ready": self.ready,
            "renegotiating": old.renegotiating, **more,
        }  # fmt: skip
        self._plant.v2g = V2gStatus(phase=phase, **values)  # type: ignore[arg-type]

    # -- one step -----------------------------------------------------------------------------------------------------

    def step(self, now: Instant, invited: bool) -> None:
        """Advance; ``invited`` = the pilot says 5 % and the board runs the protocol."""
        plant = self._plant
        if plant.out.slac_restarts != self._restarts:
            self._restarts = plant.out.slac_restarts
            self._begin_again(now)
        if not invited:
            if self.active:
                self._end(now, V2gError.NONE if self._ev.done else V2gError.UNEXPECTED_CP_STATE)
            return
        if not self.active:
            self._maybe_begin(now)
            return
        plant.ev_age_ms = 0
        if not self._matched:
            self._match(now)
        elif plant.out.hlc is HlcMode.FAKE_DC:
            self._fake_dc(now)
        elif self._stop_at:
            self._wind_down(now)
        else:
            self._session(now)

    def _maybe_begin(self, now: Instant) -> None:
        plant = self._plant
        if self._paused_until:
            if now < self._paused_until or plant.out.pause:
                return
            self._paused_until = 0
            self._over = False
        if self._over or self._ev.done:
            return
        self.active = True
        self._matched = False
        self._until = now + ms(self._ev.pace.slac_ms)
        plant.slac = SlacState.MATCHING

    def _begin_again(self, now: Instant) -> None:
        self.active = self.ready = self._over = False
        self._stop_at = self._paused_until = 0
        self._plant.slac = SlacState.UNMATCHED
        self._plant.v2g = V2gStatus()
        self._until = now

    def _match(self, now: Instant) -> None:
        plant, ev = self._plant, self._ev
        if now < self._until:
            return
        if ev.spec.slac_fails:
            self._end(now, V2gError.SLAC_FAILED)
            plant.slac = SlacState.FAILED
            return
        self._matched = True
        plant.slac = SlacState.MATCHED
        plant.evcc_id = ev.spec.evcc_id
        self._step = 0
        if plant.out.hlc is HlcMode.FAKE_DC:
            self._until = now + ms(ev.pace.message_ms)
        else:
            self._until = now + ms(ev.pace.message_ms * INIT_MESSAGES)
            plant.protocol = "ISO15118-2"
            self._tell(V2gPhase.INIT, contract=ev.spec.contract)

    def _fake_dc(self, now: Instant) -> None:
        """A DC session until the state of charge is known; an AC-only vehicle gives its MAC and no more."""
        plant, ev = self._plant, self._ev
        if plant.out.stop:
            self._end(now, V2gError.NONE)
            return
        if now < self._until:
            return
        if ev.spec.hlc != "dc":
            self._end(now, V2gError.PROTOCOL_NOT_SUPPORTED)
        elif self._step < len(DC_STEPS):
            plant.protocol = "DIN70121"
            plant.step = DC_STEPS[self._step]
            self._step += 1
            self._until = now + ms(ev.pace.message_ms)
        else:
            plant.soc_pct = int(ev.soc_pct + 0.5)
            self._end(now, V2gError.NONE)
            plant.ev_stop = EvStop.NORMAL

    # -- AC session ---------------------------------------------------------------------------------------------------

    def _session(self, now: Instant) -> None:
        plant, ev, out = self._plant, self._ev, self._plant.out
        phase = plant.v2g.phase
        if out.emergency:
            self._end(now, V2gError.NONE)
            return
        if ev.done or out.stop or out.authorization is Authorization.DENIED:
            if not ev.done:
                ev.ended_by = "station" if out.stop else "error: not authorised"
            self._stop(now)
        elif phase is V2gPhase.INIT:
            if now >= self._until:
                self._next(now, V2gPhase.AUTH, ev.pace.message_ms)
        elif phase in (V2gPhase.AUTH, V2gPhase.PARAMETER) and now - self._phase_since > ONGOING_LIMIT:
            self._end(now, V2gError.SEQUENCE_TIMEOUT)
        elif phase is V2gPhase.AUTH:
            if out.authorization is Authorization.GRANTED and now >= self._until:
                self._next(now, V2gPhase.PARAMETER, ev.pace.message_ms)
        elif phase is V2gPhase.PARAMETER:
            self._parameter(now)
        elif phase is V2gPhase.CHARGE:
            self._charge(now)

    def _next(self, now: Instant, phase: V2gPhase, duration_ms: int) -> None:
        """Finish the phase for one step, then start the next."""
        old = self._plant.v2g
        if not old.finished:
            self._tell(old.phase, finished=True)
            return
        self._until = now + ms(duration_ms)
        self._phase_since = now
        if phase is not V2gPhase.PARAMETER:
            self._tell(phase)
            return
        ev = self._ev
        missing = max(ev.spec.target_soc_ppm - ev.soc_ppm, 0.0) * ev.spec.battery_wh / SOC_FULL_PPM
        self._tell(
            phase,
            departure_s=ev.spec.departure_s or None,
            energy_request_wh=ev.spec.energy_request_wh or round(missing),
            ev_max_ma=ev.spec.max_ma,
            ev_min_ma=EV_MIN_MA,
        )

    def _parameter(self, now: Instant) -> None:
        if self._ev.spec.hlc_error:
            self._end(now, V2gError(self._ev.spec.hlc_error))
        elif now >= self._until and self._plant.out.parameter_finished:
            old = self._plant.v2g
            if not old.finished:
                self._tell(old.phase, finished=True, renegotiating=False)
                return
            self.ready = True
            self._charge_since = now
            self._tell(V2gPhase.CHARGE, renegotiating=False)

    def _charge(self, now: Instant) -> None:
        spec, out = self._ev.spec, self._plant.out
        charged = now - self._charge_since
        own = spec.renegotiate_after_s and not self._renegotiated and charged >= s(spec.renegotiate_after_s)
        if not out.renegotiate:
            self._asked = False
        if (out.renegotiate and not self._asked) or own:
            self._asked = out.renegotiate
            self._renegotiated = self._renegotiated or bool(own)
            self.ready = False
            self._until = now + ms(self._ev.pace.message_ms)
            self._phase_since = now
            self._tell(V2gPhase.PARAMETER, renegotiating=True)
        elif out.pause or (spec.pause_after_s and charged >= s(spec.pause_after_s)):
            self._pausing = True
            self._stop(now)

    def _stop(self, now: Instant) -> None:
        """PowerDelivery stop: the energy goes, S2 opens, then SessionStop."""
        self._stop_at = now + ms(self._ev.pace.off_ms)

    def _wind_down(self, now: Instant) -> None:
        if now < self._stop_at and self._ev.current_ma:
            return
        if self.ready:
            self.ready = False
            self._stop_at = now + ms(self._ev.pace.end_ms)
            self._tell(self._plant.v2g.phase, finished=True)
        elif now >= self._stop_at:
            pausing, self._pausing = self._pausing, False
            self._end(now, V2gError.NONE)
            if pausing:
                self._paused_until = now + s(self._ev.spec.pause_s)
                self._plant.v2g = V2gStatus(paused=True)

    def _end(self, now: Instant, error: V2gError) -> None:
        """Leave the session; S2 opens, the error stays to be read."""
        plant = self._plant
        self.active = self.ready = False
        self._over = True
        self._stop_at = 0
        self._until = now
        plant.v2g = V2gStatus(error=error)
        plant.slac = SlacState.UNMATCHED
        plant.step = None
        plant.ev_stop = EvStop.NORMAL if error is V2gError.NONE else EvStop.ERROR
        if plant.out.pilot in (PilotMode.E, PilotMode.F):
            self._over = False  # a pulse of the station begins everything anew

    @staticmethod
    def forget(plant: AcPlant) -> None:
        """Clear what a board knows of a session."""
        plant.slac = SlacState.UNMATCHED
        plant.step = None
        plant.evcc_id = plant.protocol = ""
        plant.soc_pct = None
        plant.ev_age_ms = 0
        plant.ev_stop = EvStop.NONE
        plant.v2g = V2gStatus()
