"""A `FakeStation` behind the real access control, dispatcher and server, for tests of the API and of front ends."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import TypeVar

from evse.access.control import AccessControl
from evse.access.pin import PinGuard
from evse.access.roles import RolePolicy
from evse.access.tokens import Tokens
from evse.access.totp import Totp
from evse.api.auth import AuthOperations
from evse.api.server import ApiServer
from evse.domain.clock import Clock
from evse.domain.records import AuditRecord
from evse.units import NS_PER_S, Instant, WallNs
from tests._support.fake_data import T0
from tests._support.fake_service import FakeStation

T = TypeVar("T")
OWN_UID = 900
UIDS = {"guest": 1000, "operator": 1001, "manufacturer": 1002}


class StillClock:
    """`Clock` that only moves when it is told to."""

    def __init__(self) -> None:
        self.ns: Instant = NS_PER_S

    def now(self) -> Instant:
        return self.ns

    def wall(self) -> WallNs:
        return T0 + self.ns

    def wall_valid(self) -> bool:
        return True


class MemorySettings:
    """Settings in memory."""

    def __init__(self) -> None:
        self.values: dict[tuple[str, str], str] = {}

    async def get(self, namespace: str, key: str) -> str | None:
        return self.values.get((namespace, key))

    async def put(self, namespace: str, key: str, value: str | None) -> None:
        if value is None:
            self.values.pop((namespace, key), None)
        else:
            self.values[namespace, key] = value


class MemoryVault:
    """Secrets in memory; ``broken`` = every call fails with it."""

    def __init__(self) -> None:
        self.values: dict[str, str] = {}
        self.broken: Exception | None = None

    async def read(self, name: str) -> str | None:
        self._check()
        return self.values.get(name)

    async def write(self, name: str, value: str) -> None:
        self._check()
        self.values[name] = value

    async def remove(self, name: str) -> None:
        self._check()
        self.values.pop(name, None)

    def _check(self) -> None:
        if self.broken is not None:
            raise self.broken


class InlineRunner:
    """Hashes in the caller."""

    async def run(self, job: Callable[[], T]) -> T:
        return job()


class PretendAccounts:
    """uid 1001 is in group ops, 1002 in maker; ``everybody`` adds groups to all (for real sockets of one user)."""

    def __init__(self, everybody: frozenset[str] = frozenset()) -> None:
        self.everybody = everybody

    def name(self, uid: int) -> str:
        return f"user{uid}"

    def groups(self, uid: int, gid: int) -> frozenset[str]:
        return self.everybody | {1001: frozenset({"ops"}), 1002: frozenset({"maker"})}.get(uid, frozenset())


def make_access(
    clock: Clock,
    settings: MemorySettings,
    *,
    own_uid: int = OWN_UID,
    accounts: PretendAccounts | None = None,
    vault: MemoryVault | None = None,
) -> AccessControl:
    """The real access control on pretended accounts."""
    return AccessControl(
        policy=RolePolicy(own_uid, lambda: ("ops", "maker"), accounts or PretendAccounts()),
        pin=PinGuard(settings, InlineRunner(), clock),
        tokens=Tokens(clock),
        clock=clock,
        token_minutes=lambda: 30,
        totp=Totp(vault or MemoryVault(), settings, clock, lambda: "DC-0001"),
    )


class SecuredStation(AuthOperations, FakeStation):
    """`FakeStation` whose ``auth.*`` operations are the real ones."""

    def __init__(self, access: AccessControl, *, heartbeat_s: float = 10.0, status_period_s: float = 0.5) -> None:
        super().__init__(heartbeat_s=heartbeat_s, status_period_s=status_period_s)
        self._access = access


@asynccontextmanager
async def served(path: Path, station: FakeStation | None = None, *, group: str = "maker") -> AsyncIterator[ApiServer]:
    """Serve a `FakeStation` on a Unix socket; the caller (any uid) is in ``group`` (maker, ops, "" = as it is)."""
    station = station or FakeStation()
    clock = StillClock()
    accounts = PretendAccounts(frozenset({group}) if group else frozenset())
    access = make_access(clock, MemorySettings(), own_uid=os.getuid(), accounts=accounts)

    async def audit(row: AuditRecord) -> None:
        return None

    server = ApiServer(station, access, audit, clock, path=path)
    await server.start()
    try:
        yield server
    finally:
        await server.close()


@contextmanager
def served_in_thread(path: Path, station: FakeStation | None = None, *, group: str = "maker") -> Iterator[FakeStation]:
    """`served` on an event loop in a thread of its own, for sync clients and subprocesses.

    Yields the station. While a stream is open, change it through ``station.do(...)`` only.
    """
    station = station or FakeStation()
    ready = threading.Event()
    loop = asyncio.new_event_loop()
    stop: asyncio.Event = asyncio.Event()
    failed: list[BaseException] = []

    async def main() -> None:
        async with served(path, station, group=group):
            ready.set()
            await stop.wait()

    def run() -> None:
        try:
            loop.run_until_complete(main())
        except BaseException as error:  # noqa: BLE001 - told to the test below
            failed.append(error)
        finally:
            ready.set()
            loop.close()

    def do(job: Callable[[], T]) -> T:
        async def inside() -> T:
            return job()

        return asyncio.run_coroutine_threadsafe(inside(), loop).result(30)

    station.do = do
    thread = threading.Thread(target=run, name="api", daemon=True)
    thread.start()
    if not ready.wait(30) or failed:
        raise RuntimeError(f"the server did not start: {failed}")
    try:
        yield station
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(30)
        if failed:
            raise failed[0]
