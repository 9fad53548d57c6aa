"""One AC EVSE with digital communication on the bench: the vehicle's side is set by the test, the pilot follows the stage."""

from __future__ import annotations

from typing import Any

from evse.core.ac import cp, hlc, hlc_board
from evse.core.ac.hlc_board import Levels
from evse.core.ac.memory import HlcStage
from evse.core.context import Conn, Tick
from evse.core.inputs import HlcRequest
from evse.core.state import Stage
from evse.domain.ac import HlcMode, PilotMode, V2gError, V2gPhase, V2gStatus
from evse.domain.signals import SlacState
from evse.domain.view_ac import HlcView
from evse.units import NS_PER_S, TICK_NS
from tests.core.ac.bench import Bench, spec_of

OFFER = (Stage.PLUGGED, Stage.AUTHORISED, Stage.CURRENT)


class Rig(Bench):
    """``step`` runs the module as a tick does: observe, act, levels with the offer known, then the pilot."""

    def __init__(self, mode: HlcMode, **ac: Any) -> None:
        super().__init__(spec_of(hlc=mode, socket=False, cable_ma=32_000, **ac))
        self.levels = Levels()
        self.stop_wanted: Any = None
        self.blocked = ""
        self.view: HlcView | None = None
        self.ready = self.basic = False

    def _drive(self, t: Tick, conn: Conn) -> None:
        conn.blocked = self.blocked
        hlc.observe(t, conn)
        hlc.act(t, conn)
        self.levels = hlc_board.levels(t, conn)
        a, w = conn.a, conn.w
        wanted = hlc.holds(conn) or (w.stage in OFFER and not a.cp_pause)
        on = hlc.digital(conn) and wanted and not conn.blocked
        a.cp_mode, a.cp_duty_bp = (PilotMode.PWM, cp.DIGITAL_BP) if on else (PilotMode.X1, 0)
        self.stop_wanted = conn.stop_wanted or self.stop_wanted
        self.view = hlc_board.view(conn)
        self.ready, self.basic = hlc.ready(conn), hlc.wants_basic(conn)

    def pass_s(self, seconds: float, dt: int = TICK_NS) -> None:
        """Let time pass, at least one tick."""
        end = self.now + round(seconds * NS_PER_S)
        self.step(self._drive, dt=dt)
        while self.now < end:
            self.step(self._drive, dt=dt)

    # -- the vehicle ------------------------------------------------------------------------------------------------

    def v2g(self, phase: V2gPhase = V2gPhase.NONE, slac: SlacState = SlacState.MATCHED, **more: Any) -> None:
        """The board tells a phase of the session; a tick passes."""
        self.board(v2g=V2gStatus(phase=phase, **more), slac=slac)
        self.pass_s(0)

    def over(self, error: V2gError = V2gError.NONE, **more: Any) -> None:
        """The session is over."""
        self.board(v2g=V2gStatus(error=error, **more), slac=SlacState.UNMATCHED, step=None)
        self.pass_s(0)

    def begin(self) -> None:
        """A vehicle is plugged in and has matched."""
        self.plug()
        self.pass_s(0)
        self.v2g(slac=SlacState.MATCHING)

    def authorise(self, offered_ma: int = 16_000) -> None:
        """A transaction is open."""
        self.work(tx_open=True, stage=Stage.AUTHORISED, offered_ma=offered_ma)

    def charge(self) -> None:
        """All phases up to the charge loop."""
        self.begin()
        self.v2g(V2gPhase.INIT)
        self.authorise()
        self.v2g(V2gPhase.AUTH)
        self.v2g(V2gPhase.PARAMETER)
        self.pass_s(0)
        self.v2g(V2gPhase.CHARGE, ready=True)
        self.energise()
        self.pass_s(0)

    # -- the station ------------------------------------------------------------------------------------------------

    def request(self, what: str) -> None:
        """A command, on a tick of its own."""
        self.step(lambda t, conn: hlc_board.request(t, conn, HlcRequest(seq=1, evse_id=1, what=what)), self._drive)

    def refusal(self) -> str:
        """Why the last request was refused, "" when it was not."""
        last = self.events[-1] if self.events else None
        return str(last.data["why"]) if last is not None and last.kind == "command.refused" else ""

    @property
    def stage(self) -> HlcStage:
        return self.mem().hlc_stage
