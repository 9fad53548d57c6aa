"""Permissions of EVSEs on the bench: commands and deadlines as a tick steps them, the machine is played by the test."""

from __future__ import annotations

from typing import Any

from evse.core import release
from evse.core.ac import release_ac
from evse.core.context import Tick
from evse.core.inputs import AuthorizeResult, Command, SetPermission, StartSession, StopSession, TokenPresented
from evse.core.outputs import RequestAuthorization
from evse.core.state import AuthState, Stage
from evse.domain.session import AuthSource, StopReason
from evse.domain.station import EvseKind
from evse.units import NS_PER_S, TICK_NS
from tests.core.ac.bench import Bench

A = AuthSource
HANDLERS: dict[type[Command], Any] = {
    TokenPresented: release.token_presented,
    AuthorizeResult: release.authorize_result,
    StartSession: release.start_session,
    StopSession: release.stop_session,
    SetPermission: release_ac.permission,
}


class Rig(Bench):
    """Commands and deadlines of permissions, as a tick steps them; the machine is played by the test."""

    stop_wanted: dict[int, StopReason | None]
    asked: list[tuple[int, str]]

    def tick_of(self, *commands: Command, dt: int = TICK_NS) -> Tick:
        self.now += dt
        t = self.tick()
        t.by_id = {c.spec.evse_id: c for c in t.conns}
        for command in commands:
            HANDLERS[type(command)](t, command)
        for conn in t.conns:
            if conn.spec.kind is EvseKind.AC:
                release_ac.observe(t, conn)
            if conn.w.stage is Stage.PLUGGED:
                release.free(t, conn)
            release.expire(t, conn)
        self.stop_wanted = {c.spec.evse_id: c.stop_wanted for c in t.conns}
        self.asked = [(e.evse_id, e.id_token) for e in t.effects if isinstance(e, RequestAuthorization)]
        self.keep(t)
        return t

    def pass_s(self, seconds: float) -> None:
        end = self.now + round(seconds * NS_PER_S)
        while self.now < end:
            self.tick_of()

    def card(self, token: str = "CARD", *evse_ids: int) -> None:
        ids = evse_ids or tuple(e.evse_id for e in self.spec.evses)
        self.tick_of(TokenPresented(seq=1, reader="r", id_token=token, evse_ids=ids))

    def transaction(self, evse_id: int = 1, token: str = "CARD", source: AuthSource = A.RFID) -> None:
        self.work(
            evse_id, tx_open=True, stage=Stage.CURRENT, id_token=token, source=source, auth=AuthState.GRANTED,
            auth_token=token, auth_source=source,
        )  # fmt: skip

    def finished(self, evse_id: int = 1) -> None:
        """The transaction has ended, the vehicle is still there."""
        self.work(evse_id, tx_open=False, stage=Stage.FINISHED, auth=AuthState.NONE, auth_token="", auth_source=A.NONE)

    def auth(self, evse_id: int = 1) -> tuple[str, str]:
        w = self.evse(evse_id)
        return w.auth.value, w.auth_source.value

    @property
    def refused(self) -> str:
        last = self.events[-1] if self.events else None
        return str(last.data["why"]) if last is not None and last.kind == "command.refused" else ""
