"""`LocalClient`: the API client of the TUI without a socket."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import msgspec

from evse.access.roles import Role
from evse.api import models as m
from evse.api.errors import ApiError, ErrorCode
from evse.api.operations import BY_NAME
from evse.api.service import Caller
from tests._support.fake_state import FakeState


class LocalClient:
    """`evse.api.aclient.AsyncClient` without a socket: calls a `FakeStation` in this process with a fixed role.

    ``offline`` True = every call and stream fails as if the daemon were away.
    """

    def __init__(self, station: FakeState, role: Role = Role.MANUFACTURER) -> None:
        self.station = station
        self.caller = Caller(role=role, user="tester", uid=1000, origin="unix:uid=1000")
        self.token = ""
        self.offline = False

    async def call(self, name: str, request: m.Model | None = None) -> Any:
        """Call an operation; raises `ApiError`."""
        self._reach()
        operation = BY_NAME[name]
        role = max(self.caller.role, self.station.tokens.get(self.token, Role.GUEST))
        if role < operation.role:
            message = f"{name} needs role {operation.role.name.lower()}, you have {role.name.lower()}"
            raise ApiError(ErrorCode.FORBIDDEN, message, "evsectl auth signin")
        caller = msgspec.structs.replace(self.caller, role=role, token=self.token)
        return await getattr(self.station, name.replace(".", "_"))(request or operation.request(), caller)

    async def stream(self, name: str, since: int | None = None) -> AsyncIterator[m.StreamItem]:
        """Yield the items of a stream; raises `ApiError` when ``offline`` is set."""
        self._reach()
        async for item in getattr(self.station, name.replace(".", "_"))(since):
            self._reach()
            yield item

    def _reach(self) -> None:
        if self.offline:
            raise ApiError(ErrorCode.UNREACHABLE, "no answer from the daemon", "systemctl status evsed")
