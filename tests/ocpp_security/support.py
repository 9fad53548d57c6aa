"""A station with all of its security, under virtual time in memory, or on real sockets."""

from __future__ import annotations

import asyncio
import datetime
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from random import Random
from typing import Any, TypeVar

import msgspec

from evse.access.vault import KeyringVault
from evse.config.model_ocpp_security import OcppSecuritySection, OcppTlsSection
from evse.domain.clock import Clock, ClockPort
from evse.lab.vloop import VirtualClock, VirtualLoop, run_virtual
from evse.ocpp.client import OcppClient
from evse.ocpp.security.facade import Security
from evse.ocpp.security.ports import inline
from evse.runtime.clock import RealClock
from evse.sim.csms import SimCsms
from evse.sim.csms_security import Authority, CsmsSecurity
from evse.storage.db import InlineExecutor, Store
from evse.transports.base import Openers
from evse.transports.real import RealOpeners
from evse.units import NS_PER_S
from tests.ocpp.support import CsmsOpeners, FakeStation, make_client, ocpp_section

T = TypeVar("T")

NAME = "DC 1"
Body = Callable[["World"], Awaitable[None]]
KEY_1, KEY_2 = "0123456789abcdef-first", "0123456789abcdef-second"


class Inline:
    """`evse.access.ports.Runner` in the caller."""

    async def run(self, job: Callable[[], T]) -> T:
        return job()


class SecureStation:
    """A station as the runtime wires it: vault, store, security, client. `restart` is a kill and a new process."""

    def __init__(self, directory: Path, clock: Clock, openers: Openers, **config: Any) -> None:
        security, tls = config.pop("security", {}), config.pop("tls", {})
        self.config = ocpp_section(
            security=OcppSecuritySection(**security), tls=OcppTlsSection(**tls), **config
        )
        self.directory = directory
        self.clock = clock
        self.openers = openers
        self.tasks: list[asyncio.Task[None]] = []

    async def start(self) -> SecureStation:
        self.store = await Store.open(self.directory / "station.sqlite3", executor=InlineExecutor())
        self.vault = KeyringVault(self.directory / "secrets", Inline())
        self.security = Security(self.config, NAME, self.clock, self.store, self.vault, inline)
        await self.security.open()
        self.client: OcppClient = make_client(
            self.security.config_in_force(), self.openers, self.clock, self.store, FakeStation(self.clock), Random(1),
            dialler=self.security.dialler, security=self.security.log.note,
            clock_port=self.clock if isinstance(self.clock, ClockPort) else None,
        )
        await self.client.open()
        self.security.attach(self.client)
        loop = asyncio.get_running_loop()
        self.tasks = [loop.create_task(self.client.run()), loop.create_task(self.security.run())]
        return self

    async def kill(self) -> None:
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        self.tasks = []
        await self.store.close()

    async def restart(self, **config: Any) -> None:
        await self.kill()
        if config:
            security, tls = config.pop("security", {}), config.pop("tls", {})
            self.config = ocpp_section(security=OcppSecuritySection(**security), tls=OcppTlsSection(**tls), **config)
        await self.start()

    @property
    def online(self) -> bool:
        return self.client.online

    @property
    def profile(self) -> int:
        return self.security.status().profile

    async def kinds(self) -> list[str]:
        """Kinds of all events noted so far, in order."""
        await self.security.log.flush()
        return [event.kind for event in await self.security.events(1000)]


class World:
    """Virtual time: one station, one CSMS in memory."""

    def __init__(self, directory: Path, **config: Any) -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        self.clock = VirtualClock(loop)
        self.csms = SimCsms(self.clock)
        now = datetime.datetime.fromtimestamp(self.clock.wall() // NS_PER_S, datetime.UTC)
        self.now = now
        self.back_end = CsmsSecurity(self.csms, Authority("CSMS root", now=now))
        self.openers = CsmsOpeners(self.csms)
        self.station = SecureStation(directory, self.clock, self.openers, **config)

    async def start(self, settle_s: float = 1.0) -> World:
        await self.station.start()
        await asyncio.sleep(settle_s)
        return self

    async def cut(self, settle_s: float = 30.0) -> None:
        """Break the link once and let the station come back."""
        self.csms.down()
        self.csms.up()
        await asyncio.sleep(settle_s)


def secured(directory: Path, main: Body, **config: object) -> None:
    """Run a test body in a world of its own; everything that the station has logged of messages is free of keys."""

    async def body() -> None:
        world = World(directory, **config)
        await main(world)
        texts = [entry.payload for entry in world.station.client.messages(500)]
        texts += [event.text for event in world.station.client.link_events(500)]
        texts += [msgspec.json.encode(world.station.security.status()).decode()]
        texts += [msgspec.json.encode(key).decode() for key in world.station.client.keys()]  # noqa: SIM118 - a method
        texts += [await world.station.security.log_text()]
        rows = await world.station.store.get_all("ocpp.security")
        assert not [t for t in [*texts, *rows.values()] if KEY_1 in t or KEY_2 in t or "PRIVATE KEY" in t]
        await world.station.kill()

    run_virtual(body())


async def with_key(world: World, key: str = KEY_1) -> None:
    """Start, and let a technician set the key that the CSMS wants."""
    world.back_end.passwords[NAME] = {key.encode()}
    await world.start()
    assert (await world.station.security.set_key(key)).status == "Accepted"
    await asyncio.sleep(30)
    assert world.station.online


def run_real(main: Callable[[Path], Awaitable[None]]) -> None:
    """Run a test body on a real loop with a directory of its own."""

    async def body(directory: Path) -> None:
        async with asyncio.timeout(90):
            await main(directory)

    with tempfile.TemporaryDirectory() as name:
        asyncio.run(body(Path(name)))


def real_station(directory: Path, url: str, **config: Any) -> SecureStation:
    """A station on real sockets and real time."""
    return SecureStation(directory, RealClock(), RealOpeners(), url=url, **config)


async def until(condition: Callable[[], bool], what: str, seconds: float = 30.0) -> None:
    """Wait until ``condition`` holds; fail with ``what``."""
    loop = asyncio.get_running_loop()
    end = loop.time() + seconds
    while not condition():
        assert loop.time() < end, f"not within {seconds:g} s: {what}"
        await asyncio.sleep(0.01)
