"""A bench with a plug lock whose motor follows the level after its drive time."""

from __future__ import annotations

from evse.core.ac import lock, proximity
from evse.core.ac.memory import LockStage
from evse.core.context import Conn, Tick
from evse.core.inputs import ForceUnlock
from evse.core.state import Stage
from evse.domain.ac import LockMotor
from evse.domain.session import StopReason
from evse.domain.signals import LockState
from evse.domain.station import StationSpec
from evse.units import NS_PER_MS, NS_PER_S
from tests.core.ac.bench import Bench, spec_of

MOTOR = LockMotor(name="test", drive_ms=300, pause_ms=500, tries=3)


class Locked(Bench):
    """A bench with a motor that follows the level after its drive time."""

    def __init__(self, spec: StationSpec | None = None) -> None:
        super().__init__(spec or spec_of(lock_motor=MOTOR))
        ac = self.spec.evses[0].ac
        self.motor = ac.lock_motor if ac is not None else MOTOR
        self.wanted = False
        self.stuck = False  # never moves
        self.jams = 0  # so many movements do nothing
        self.levels: list[tuple[int, bool]] = [(0, False)]
        self.moves_at: tuple[int, bool] | None = None

    def once(self, dt: int = 50 * NS_PER_MS) -> None:
        self.step(proximity.observe, lock.observe, self._act, dt=dt)
        level = self.mem().lock_cmd
        if level is not self.levels[-1][1]:
            self.levels.append((self.now, level))
            if self.jams:
                self.jams -= 1
                self.moves_at = None
            else:
                self.moves_at = (self.now + self.motor.drive_ms * NS_PER_MS, level)
        if self.moves_at is not None and self.now >= self.moves_at[0] and not self.stuck:
            self.board(lock=LockState.LOCKED if self.moves_at[1] else LockState.UNLOCKED)
            self.moves_at = None

    def _act(self, t: Tick, conn: Conn) -> None:
        lock.act(t, conn, self.wanted)

    def go(self, seconds: float, dt: int = 50 * NS_PER_MS) -> None:
        end = self.now + int(seconds * NS_PER_S)
        while self.now < end:
            self.once(dt)

    def ready(self) -> bool:
        return lock.ready(self.tick().conns[0])

    @property
    def stage(self) -> LockStage:
        return self.mem().lock_stage

    def locked(self) -> Locked:
        self.plug()
        self.go(1)
        self.wanted = True
        self.work(tx_open=True, id_token="T", stage=Stage.AUTHORISED)
        self.go(2)
        assert self.ready() and self.stage is LockStage.LOCKED and self.causes[1] == {}
        return self

    def send(self, on: bool, seq: int = 1) -> StopReason | None:
        t = self.tick()
        lock.force(t, t.conns[0], ForceUnlock(seq=seq, evse_id=1, on=on))
        self.keep(t)
        return t.conns[0].stop_wanted
