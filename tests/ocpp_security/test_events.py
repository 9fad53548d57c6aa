"""The security log: durable, in order, bounded; critical events reach the CSMS once it is there."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from evse.domain.security import SecurityEvent
from evse.lab.vloop import VirtualClock, VirtualLoop, run_virtual
from evse.ocpp.engine import CallTimeout
from evse.ocpp.messages import CallError, Payload, check_call
from evse.ocpp.security.events import CRITICAL, KINDS, QUIET_NS, WAITING_MAX, SecurityLog, payload
from evse.storage import security_log
from evse.storage.db import InlineExecutor, Store
from evse.storage.executor import StorageError
from evse.transports.base import WsClosed
from tests.ocpp_security.support import World


class Peer:
    """Answers SecurityEventNotification as a test says; ``answer`` raises or returns."""

    def __init__(self) -> None:
        self.got: list[Payload] = []
        self.error: Exception | None = None

    async def ask(self, action: str, message: Payload) -> Payload:
        assert action == "SecurityEventNotification" and check_call(action, message) is None
        if self.error is not None:
            raise self.error
        self.got.append(message)
        return {}

    def kinds(self) -> list[str]:
        return [message["type"] for message in self.got]


def with_log(path: Path, main: Callable[[SecurityLog, Peer, Store, VirtualClock], Awaitable[None]]) -> None:
    async def body() -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        clock, peer = VirtualClock(loop), Peer()
        store = await Store.open(path / "log.sqlite3", executor=InlineExecutor())
        log = SecurityLog(store, clock, peer.ask)
        task = loop.create_task(log.run())
        await asyncio.sleep(1)
        await main(log, peer, store, clock)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await store.close()

    run_virtual(body())


def test_all_are_logged_and_critical_ones_are_sent_in_their_order(tmp_path: Path) -> None:
    async def main(log: SecurityLog, peer: Peer, store: Store, clock: VirtualClock) -> None:
        for kind in ("StartupOfTheDevice", "InvalidMessages", "SettingSystemTime", "FirmwareUpdated"):
            log.note(kind, f"about {kind}")
        await asyncio.sleep(1)
        assert peer.kinds() == ["StartupOfTheDevice", "SettingSystemTime", "FirmwareUpdated"]
        assert peer.got[0]["techInfo"] == "about StartupOfTheDevice"
        rows = await log.events(10)
        assert [(e.kind, e.state) for e in rows] == [
            ("StartupOfTheDevice", "sent"), ("InvalidMessages", "logged"), ("SettingSystemTime", "sent"),
            ("FirmwareUpdated", "sent"),
        ]
        assert log.waiting == 0

    with_log(tmp_path, main)


@pytest.mark.parametrize("error", [WsClosed(clean=False, detail="offline"), CallTimeout("silence")])
def test_what_the_csms_does_not_answer_waits_also_over_a_restart(error: Exception, tmp_path: Path) -> None:
    async def before(log: SecurityLog, peer: Peer, store: Store, clock: VirtualClock) -> None:
        peer.error = error
        log.note("StartupOfTheDevice")
        log.note("ResetOrReboot", "soft")
        await asyncio.sleep(300)
        assert peer.got == [] and log.waiting == 2

    async def after(log: SecurityLog, peer: Peer, store: Store, clock: VirtualClock) -> None:
        log.note("StartupOfTheDevice", "again")
        await asyncio.sleep(1)
        assert [(m["type"], m.get("techInfo")) for m in peer.got] == [
            ("StartupOfTheDevice", None), ("ResetOrReboot", "soft"), ("StartupOfTheDevice", "again"),
        ]

    with_log(tmp_path, before)
    with_log(tmp_path, after)


def test_a_csms_that_does_not_know_the_message_is_asked_once_per_event(tmp_path: Path) -> None:
    async def main(log: SecurityLog, peer: Peer, store: Store, clock: VirtualClock) -> None:
        peer.error = CallError("NotImplemented", "?")
        log.note("StartupOfTheDevice")
        await asyncio.sleep(1)
        assert [e.state for e in await log.events(9)] == ["refused"] and log.waiting == 0

    with_log(tmp_path, main)


def test_another_error_is_tried_three_times_and_does_not_block_the_next(tmp_path: Path) -> None:
    async def main(log: SecurityLog, peer: Peer, store: Store, clock: VirtualClock) -> None:
        peer.error = CallError("InternalError", "?")
        log.note("StartupOfTheDevice")
        await asyncio.sleep(100)
        assert log.waiting == 1
        await asyncio.sleep(100)
        assert [e.state for e in await log.events(9)] == ["refused"]
        peer.error = None
        log.note("ResetOrReboot")
        await asyncio.sleep(1)
        assert peer.kinds() == ["ResetOrReboot"]

    with_log(tmp_path, main)


def test_repetitions_are_counted_not_stored(tmp_path: Path) -> None:
    async def main(log: SecurityLog, peer: Peer, store: Store, clock: VirtualClock) -> None:
        for _ in range(100):
            log.note("FailedToAuthenticateAtCentralSystem", "HTTP 401")
        log.note("FailedToAuthenticateAtCentralSystem", "HTTP 403")
        await asyncio.sleep(QUIET_NS / 1e9 + 1)
        log.note("FailedToAuthenticateAtCentralSystem", "HTTP 401")
        await asyncio.sleep(1)
        assert [e.tech_info for e in await log.events(9)] == ["HTTP 401", "HTTP 403", "HTTP 401 (and 99 times before)"]
        for _ in range(5):
            log.note("ResetOrReboot")  # critical ones are never thinned
        await asyncio.sleep(1)
        assert peer.kinds() == ["ResetOrReboot"] * 5

    with_log(tmp_path, main)


def test_names_of_2_0_1_and_texts_of_any_kind_are_made_fit(tmp_path: Path) -> None:
    async def main(log: SecurityLog, peer: Peer, store: Store, clock: VirtualClock) -> None:
        log.note("InvalidCsmsCertificate", "x\x1b[2J\n" + "y" * 500)
        log.note("K" * 80, "")
        await asyncio.sleep(1)
        first, second = await log.events(9)
        assert first.kind == "InvalidCentralSystemCertificate" and len(first.tech_info) == 255
        assert first.tech_info.isprintable() and len(second.kind) == 50

    with_log(tmp_path, main)


def test_a_disk_that_fails_loses_nothing_but_the_oldest_of_too_many(tmp_path: Path) -> None:
    async def main(log: SecurityLog, peer: Peer, store: Store, clock: VirtualClock) -> None:
        good = store.security_append

        async def bad(events: Any) -> None:
            raise StorageError("storage: disk is full")

        store.security_append = bad  # type: ignore[method-assign]
        for n in range(WAITING_MAX + 10):
            log.note("SettingSystemTime", str(n))
        await asyncio.sleep(120)
        assert await log.events(9) == []
        store.security_append = good  # type: ignore[method-assign]
        await asyncio.sleep(120)
        sent = [m["techInfo"] for m in peer.got]
        assert sent == ["10 events before this one could not be stored", *(str(n) for n in range(10, WAITING_MAX + 10))]

    with_log(tmp_path, main)


def test_events_from_before_the_time_was_known_get_it_when_it_arrives_and_older_ones_stay(tmp_path: Path) -> None:
    async def former(log: SecurityLog, peer: Peer, store: Store, clock: VirtualClock) -> None:
        peer.error = WsClosed(clean=False, detail="offline")
        clock.jump_wall(5 * 10**9)
        log.note("ResetOrReboot", "former")
        await asyncio.sleep(1)

    async def main(log: SecurityLog, peer: Peer, store: Store, clock: VirtualClock) -> None:
        await log.open()
        clock.jump_wall(0)
        log.note("StartupOfTheDevice")
        await asyncio.sleep(1)
        log.note("SettingSystemTime")  # not written yet
        by = 1_800_000_000 * 10**9
        clock.jump_wall(clock.wall() + by)
        await log.time_arrived(by)
        rows = await log.events(9)
        assert [(e.kind, e.wall // 10**9) for e in rows] == [
            ("ResetOrReboot", 5), ("StartupOfTheDevice", 1_800_000_000), ("SettingSystemTime", 1_800_000_001),
        ]

    with_log(tmp_path, former)
    with_log(tmp_path, main)


def test_the_text_has_one_line_per_event_of_the_window(tmp_path: Path) -> None:
    async def main(log: SecurityLog, peer: Peer, store: Store, clock: VirtualClock) -> None:
        start = clock.wall()
        log.note("StartupOfTheDevice", "evsed 1.0")
        await asyncio.sleep(60)
        middle = clock.wall()
        log.note("InvalidMessages", "not JSON")
        await asyncio.sleep(60)
        assert await log.text(None, None, 100) == (
            "2026-01-01T00:00:01.000Z critical sent     StartupOfTheDevice: evsed 1.0\n"
            "2026-01-01T00:01:01.000Z normal   logged   InvalidMessages: not JSON\n"
        )
        assert (await log.text(middle, None, 100)).count("\n") == 1
        assert (await log.text(start, middle - 1, 100)).startswith("2026-01-01T00:00:01")
        assert await log.text(clock.wall(), None, 100) == ""

    with_log(tmp_path, main)


def test_the_table_is_bounded_and_keeps_what_waits_longest(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(security_log, "SECURITY_EVENTS_MAX", 5)

    async def main() -> None:
        store = await Store.open(tmp_path / "log.sqlite3", executor=InlineExecutor())
        await store.security_append([SecurityEvent(wall=1, kind="waits", state="waiting")])
        await store.security_append([SecurityEvent(wall=n, kind=f"k{n}") for n in range(2, 12)])
        assert [e.kind for e in await store.security_events(9)] == ["waits", "k8", "k9", "k10", "k11"]
        await store.close()

    run_virtual(main())


def test_every_kind_of_the_whitepaper_fits_its_schema() -> None:
    assert len(KINDS) == 18 and len(CRITICAL) == 7
    for kind in KINDS:
        message = payload(SecurityEvent(wall=0, kind=kind, tech_info="t" * 255))
        assert check_call("SecurityEventNotification", message) is None


def test_over_a_real_client_events_wait_for_registration(tmp_path: Path) -> None:
    async def body() -> None:
        world = World(tmp_path)
        world.csms.registration = "Pending"
        await world.start()
        world.station.security.log.note("StartupOfTheDevice")
        await asyncio.sleep(30)
        assert world.csms.calls("SecurityEventNotification") == []
        world.csms.registration = "Accepted"
        await asyncio.sleep(700)
        assert [m["type"] for m in world.csms.calls("SecurityEventNotification")] == ["StartupOfTheDevice"]
        await world.station.kill()

    run_virtual(body())
