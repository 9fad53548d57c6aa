"""The firmware of an AC board: docs/board-link.md, "AC boards: what the board does by itself", over real bytes.

Everything of the link, the lease and the re-arm is `SimBoard`; here are the pilot without a host, the order of the two
contactors, the monitor in the chain and the guard of its test output.
"""

from __future__ import annotations

import random
from typing import Final

from evse.domain.ac import AcCommand, PilotMode, RcdState, V2gError
from evse.domain.signals import BoardCommand
from evse.protocols import board_link_messages as m
from evse.protocols.board_link_ac import V2G_ERRORS
from evse.sim.hw.board import SimBoard
from evse.sim.hw.board_ac_plant import AcOutputs, AcPlant
from evse.units import Instant, ms

PILOT_HOLD_NS: Final = ms(10_000)
"""Without a COMMAND the pilot stays in x1 for so long, then it is F."""
SECOND_NS: Final = ms(100)
"""From the second contactor to the main one when closing, and back when opening."""
TEST_MAX_NS: Final = ms(5_000)
"""Longest time of the RCD test output."""


class SimAcBoard(SimBoard):
    """One simulated AC board over an `AcPlant`."""

    MODEL = "simulated AC board"
    plant: AcPlant

    def __init__(
        self,
        plant: AcPlant,
        rng: random.Random,
        *,
        board_id: str = "SIM0000001",
        firmware: str = "1.0.0",
        versions: tuple[int, int] = (m.VERSION, m.VERSION),
    ) -> None:
        super().__init__(plant, rng, board_id=board_id, firmware=firmware, versions=versions)
        self.CAPABILITIES = capabilities(plant)

    @property
    def _out(self) -> AcOutputs:
        return self.plant.out

    def _start(self, now: Instant) -> None:
        super()._start(now)
        out = self._out
        out.pilot = PilotMode.F
        out.main_ready = out.relay2_closed = out.relay2_free = False
        out.outputs = out.floating = out.pulsing = out.led_rgb = out.rfid_rgb = 0
        out.buzzer = False
        self._pilot_until: Instant = 0  # 0 = not waiting for a host
        self._second_at: Instant = 0  # when the next of the two contactors has its turn; 0 = none waits
        self._test_since: Instant | None = None
        self._test_spent = False  # the test output was dropped and `set_rcd` was not off since
        self._was_rcd = self.plant.rcd.state
        self._was_relay2 = False
        self._was_error = V2gError.NONE

    # -- levels -------------------------------------------------------------------------------------------------------

    def _apply(self, levels: BoardCommand) -> None:
        ac = levels.ac if levels.ac is not None else AcCommand()
        out = self._out
        out.pilot, out.duty_bp = ac.pilot, ac.duty_bp if ac.pilot is PilotMode.PWM else 0
        self._pilot_until = self._now + ms(m.LEASE_MS) + PILOT_HOLD_NS
        if not out.contactor_closed:
            out.relay2_free = ac.relay2_free
            out.phases = ac.phases
        out.relay2_wanted = ac.relay2
        out.outputs, out.floating, out.pulsing = ac.outputs, ac.floating, ac.pulsing
        out.input_threshold_mv = ac.input_threshold_mv
        out.led_rgb, out.rfid_rgb, out.buzzer = ac.led_rgb, ac.rfid_rgb, ac.buzzer
        out.hlc, out.parameter_finished = ac.hlc, ac.parameter_finished
        out.renegotiate, out.pause = ac.renegotiate, ac.pause
        self._test_output(ac.rcd_test)
        super()._apply(levels)
        out.permit = False
        self._sequence()

    def _test_output(self, wanted: bool) -> None:
        out = self._out
        if not wanted:
            self._test_since, self._test_spent = None, False
        closed = out.contactor_closed or self.plant.main.closed
        out.rcd_test = wanted and not self._test_spent and not closed
        if out.rcd_test and self._test_since is None:
            self._test_since = self._now

    # -- own watch ----------------------------------------------------------------------------------------------------

    def _watch(self) -> None:
        super()._watch()
        plant, out, now = self.plant, self._out, self._now
        self._sequence()
        if self._pilot_until and now >= self._pilot_until:
            self._pilot_until = 0
            out.pilot = PilotMode.F
        if self._test_since is not None and now - self._test_since >= TEST_MAX_NS:
            self._test_since, self._test_spent = None, True
            out.rcd_test = False
            self._event(m.EventCode.RCD_TEST_DROPPED)
        rcd = plant.rcd.state
        if rcd is not self._was_rcd:
            self._was_rcd = rcd
            if rcd is RcdState.TRIPPED:
                self._event(m.EventCode.RCD_TRIPPED)
            elif rcd is RcdState.NORMAL:
                self._event(m.EventCode.RCD_NORMAL)
        if out.relay2_closed is not self._was_relay2:
            self._was_relay2 = out.relay2_closed
            self._event(m.EventCode.RELAY2_CLOSED if out.relay2_closed else m.EventCode.RELAY2_OPENED)
        error = plant.v2g.error
        if error is not self._was_error:
            self._was_error = error
            if error is not V2gError.NONE:
                self._event(m.EventCode.V2G_ERROR, V2G_ERRORS.index(error))

    def _sequence(self) -> None:
        """Second contactor first when closing, main contactor first when opening."""
        out, now = self._out, self._now
        if out.relay2_free:
            out.relay2_closed = out.relay2_wanted
            out.main_ready = out.contactor_wanted
            self._second_at = 0
        elif out.contactor_wanted and not out.main_ready:
            second = out.relay2_wanted and out.phases == 3
            if second is not out.relay2_closed or not self._second_at:
                self._second_at = now + (SECOND_NS if second or out.relay2_closed else 0)
            out.relay2_closed = second
            if now >= self._second_at:
                out.main_ready, self._second_at = True, 0
        elif not out.contactor_wanted and (out.main_ready or out.relay2_closed):
            if out.main_ready or not self._second_at:
                out.main_ready = False
                self._second_at = now + (SECOND_NS if out.relay2_closed else 0)
            if now >= self._second_at:
                out.relay2_closed, self._second_at = False, 0
        elif not out.contactor_wanted:
            self._second_at = 0

    def own_deadline(self) -> Instant:
        """As of every board, and the pilot, the second contactor and the test output."""
        test = 0 if self._test_since is None else self._test_since + TEST_MAX_NS
        waits = (super().own_deadline(), self._pilot_until, self._second_at, test)
        return min((at for at in waits if at), default=0)


def capabilities(plant: AcPlant) -> int:
    """Return the bits of HELLO for what ``plant`` is fitted with."""
    spec, c = plant.spec, m.Capability
    bits = c.AC | c.TEMPERATURE | c.STOP_BUTTON | c.CP_LEVELS | c.LED | c.LED_RGB | c.BUZZER | c.HLC_AC | c.FAKE_DC
    bits |= c.ISO15118_2 | c.FIRMWARE_UPDATE | c.PTC
    if spec.socket:
        bits |= c.PP | c.LOCK
        if spec.lock_motor.needs_capacitor:
            bits |= c.LOCK_CAPACITOR
    if spec.rcd.fitted:
        bits |= c.RCD
    if spec.rotary:
        bits |= c.ROTARY
    if spec.phase_switch.enabled or spec.ventilation.enabled:
        bits |= c.RELAY2
    if spec.inputs or spec.outputs:
        bits |= c.DIGITAL_IO | c.INPUT_LEVELS
    return int(bits)
