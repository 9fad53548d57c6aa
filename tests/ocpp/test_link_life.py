"""The life of the link: how its end is noticed, how it is dialled again, and what is said when it stands again."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Mapping, Sequence
from random import Random

import pytest

from evse.domain.base import DeviceError
from evse.ocpp.link import STAGED_PATIENCE_S
from evse.ocpp.ports import DialTarget
from evse.transports.base import DIRECT, DialError, DialOptions, DialStep, WebSocket, WsClosed
from evse.transports.memory import MemoryWebSocket, websocket_pair
from evse.units import NS_PER_S
from tests.ocpp.support import URL, Bench, CsmsOpeners, under_virtual_time

RELEASED = 1.5 * 2 + 0.1
"""The longest first pause of the back-off, s, with a little more."""


class Flaky(CsmsOpeners):
    """Fails as it is told, then connects."""

    errors: list[DeviceError]
    urls: list[str]

    async def open_websocket(
        self, url: str, subprotocols: Sequence[str], headers: Mapping[str, str], timeout_s: float,
        options: DialOptions = DIRECT,
    ) -> WebSocket:
        self.urls.append(url)
        if self.errors:
            self.dials.append(asyncio.get_running_loop().now_ns)  # type: ignore[attr-defined]
            raise self.errors.pop(0)
        return await super().open_websocket(url, subprotocols, headers, timeout_s, options)


def flaky(bench: Bench, errors: Sequence[DeviceError] = ()) -> Flaky:
    openers = Flaky(bench.csms)
    openers.errors, openers.urls = list(errors), []
    bench.openers = openers
    return openers


def kinds(bench: Bench) -> list[str]:
    return [event.kind for event in bench.client.link_events(100)]


@pytest.mark.parametrize(("interval_s", "timeout_s"), [(5, 3), (30, 10), (20, 60), (300, 1)])
def test_a_peer_that_swallows_everything_is_noticed_within_interval_plus_timeout(
    interval_s: int, timeout_s: int
) -> None:
    async def main() -> None:
        bench = await Bench(ping_s=interval_s, ping_timeout_s=timeout_s).start()
        for moment in range(3):
            await asyncio.sleep(40 + moment * 1.7)
            bench.csms.half_open()  # TCP stays open: nothing arrives, nothing comes back
            swallowed = bench.clock.wall()
            await asyncio.sleep(interval_s + timeout_s + RELEASED)
            closed = [event for event in bench.client.link_events(100) if event.kind == "closed"][-1]
            assert (closed.wall - swallowed) / NS_PER_S <= interval_s + timeout_s + 0.01
            assert "no pong" in closed.text
            assert bench.client.online

    under_virtual_time(main)


def test_ping_timeout_is_a_live_key() -> None:
    async def main() -> None:
        bench = await Bench(ping_s=300, ping_timeout_s=300).start()
        assert await bench.client.set_key("WebSocketPingInterval", "10") == "Accepted"
        assert await bench.client.set_key("webSocketPingTimeout", "2") == "Accepted"
        bench.csms.half_open()
        await asyncio.sleep(12 + RELEASED)
        assert bench.csms.ledger()["connections"] == 2
        assert (bench.client.summary().ping_s, bench.client.summary().ping_timeout_s) == (10, 2)

    under_virtual_time(main)


class Clogged(MemoryWebSocket):
    """The TCP window is full: nothing that is sent goes out, nothing comes in, nothing says so."""

    clogged = False

    async def send(self, text: str) -> None:
        if self.clogged:
            await asyncio.Event().wait()
        await super().send(text)


@pytest.mark.parametrize("ping_s", [0, 20])
def test_a_send_that_never_returns_does_not_hold_the_link(ping_s: int) -> None:
    async def main() -> None:
        bench = Bench(ping_s=ping_s, call_timeout_s=10)
        bench.csms.heartbeat_s = 30

        class Openers(CsmsOpeners):
            async def open_websocket(
                self, url: str, subprotocols: Sequence[str], headers: Mapping[str, str], timeout_s: float,
                options: DialOptions = DIRECT,
            ) -> WebSocket:
                near, far = Clogged("ocpp1.6"), MemoryWebSocket("ocpp1.6")
                near.peer, far.peer = far, near
                self.tasks = [*getattr(self, "tasks", []), asyncio.ensure_future(bench.csms.serve(far, "DC 1"))]
                self.sockets.append(near)
                return near

        bench.openers = Openers(bench.csms)
        await bench.start()
        assert bench.client.online
        near = bench.openers.sockets[0]
        assert isinstance(near, Clogged) and near.peer is not None
        near.clogged, near.peer.answers_ping = True, False
        await asyncio.sleep(3 * 40 + RELEASED)
        assert len(bench.openers.sockets) == 2
        assert bench.client.online

    under_virtual_time(main)


FAILURES = [
    DialError(DialStep.HTTP, "HTTP 404: the CSMS does not know this URL", 404),
    DialError(DialStep.CREDENTIALS, "HTTP 401: the CSMS refuses user or password", 401),
    DialError(DialStep.DNS, "csms.test: the name has no address"),
    DialError(DialStep.CERTIFICATE, "the certificate of the CSMS is not accepted: it has expired"),
    DialError(DialStep.TLS_VERSION, "TLS failed"),
    DialError(DialStep.TIMEOUT, "no answer within 20 s"),
    DeviceError("something else"),
]


@pytest.mark.parametrize("failure", FAILURES, ids=lambda error: getattr(error, "step", "other"))
def test_every_failure_is_dialled_again_for_ever_with_jitter(failure: DeviceError) -> None:
    async def main() -> None:
        bench = Bench()
        openers = flaky(bench, [failure] * 60)
        await bench.start()
        assert bench.client.summary().last_error == str(failure)
        await asyncio.sleep(3 * 3600)
        assert bench.client.online
        gaps = [(b - a) / NS_PER_S for a, b in itertools.pairwise(openers.dials)]
        assert len(openers.dials) == 61
        assert max(gaps) <= 180
        assert min(gaps[10:]) >= 60
        assert len({round(gap) for gap in gaps[10:]}) > 20
        assert bench.client.summary().last_error == ""

    under_virtual_time(main)


@pytest.mark.parametrize("clean", [True, False])
def test_a_close_of_either_kind_is_dialled_again(clean: bool) -> None:
    async def main() -> None:
        bench = await Bench().start()
        await asyncio.sleep(60)
        bench.openers.sockets[-1].end(clean=clean, detail="closed by the CSMS with code 1000")
        await asyncio.sleep(RELEASED)
        assert bench.client.online
        assert kinds(bench) == ["dialling", "connected", "registered", "closed", "dialling", "connected", "registered"]
        assert [event.seq for event in bench.client.link_events(100)] == [1, 2, 3, 4, 5, 6, 7]
        assert "code 1000" in bench.client.link_events(4)[0].text

    under_virtual_time(main)


def test_a_thousand_stations_do_not_return_together() -> None:
    """The CSMS restarts: the dials of stations that differ in nothing but their seed are spread."""
    firsts: list[float] = []
    for seed in range(40):

        async def main(seed: int = seed) -> None:
            bench = await Bench(seed=seed).start()
            await asyncio.sleep(60)
            bench.openers.sockets[-1].end(clean=False, detail="restart")
            ended = bench.clock.now()
            await asyncio.sleep(5)
            firsts.append((bench.openers.dials[1] - ended) / NS_PER_S)

        under_virtual_time(main)
    assert min(firsts) >= 0.5
    assert max(firsts) - min(firsts) > 0.5
    assert len({round(first, 2) for first in firsts}) > 20


def test_reconnect_ends_the_pause_and_the_link() -> None:
    async def main() -> None:
        bench = Bench()
        openers = flaky(bench, [DeviceError("down")] * 12)
        await bench.start()
        await asyncio.sleep(600)
        before = len(openers.dials)
        status = bench.client.summary()
        assert status.next_dial_s is not None and status.failures == before
        openers.errors.clear()
        bench.client.reconnect("an operator asks")
        await asyncio.sleep(1)
        assert bench.client.online and len(openers.dials) == before + 1
        bench.client.reconnect("the password has changed")
        await asyncio.sleep(1)
        assert bench.client.online and len(openers.dials) == before + 2  # at once, without the pause
        closed = [event.text for event in bench.client.link_events(9) if event.kind == "closed"]
        assert closed == ["link ended: the password has changed"]

    under_virtual_time(main)


def test_after_an_operators_reconnect_the_back_off_begins_anew() -> None:
    async def main() -> None:
        bench = Bench()
        openers = flaky(bench, [DeviceError("down")] * 100)
        await bench.start()
        await asyncio.sleep(1800)
        bench.client.reconnect("an operator asks")
        before = len(openers.dials)
        await asyncio.sleep(15)
        assert len(openers.dials) - before >= 3, "at once, then after 1 to 3 s, then after 2 to 6 s"

    under_virtual_time(main)


def test_security_events_are_told_once_until_something_else_is_wrong() -> None:
    async def main() -> None:
        bench = Bench()
        flaky(bench, [FAILURES[1]] * 4 + [FAILURES[3]] * 2 + [FAILURES[4]] + [FAILURES[2]])
        await bench.start()
        await asyncio.sleep(1800)
        assert bench.security == [
            ("FailedToAuthenticateAtCentralSystem", str(FAILURES[1])),
            ("InvalidCentralSystemCertificate", str(FAILURES[3])),
            ("InvalidTLSVersion", str(FAILURES[4])),
        ]

    under_virtual_time(main)


# -- what is said when it stands again ----------------------------------------------------------------------------


def test_boot_notification_on_reconnect_only_when_it_is_asked_for() -> None:
    async def main() -> None:
        for wanted, boots in ((False, 1), (True, 3)):
            bench = await Bench(boot_on_reconnect=wanted).start()
            for _ in range(2):
                await asyncio.sleep(60)
                bench.openers.sockets[-1].end(clean=True, detail="bye")
                await asyncio.sleep(RELEASED)
            assert bench.client.online
            assert len(bench.csms.calls("BootNotification")) == boots
            await bench.kill()

    under_virtual_time(main)


def test_a_registration_that_is_taken_back_silences_the_station_until_it_is_accepted_again() -> None:
    async def main() -> None:
        bench = Bench(sample_interval_s=10)
        bench.csms.heartbeat_s = 20
        await bench.start()
        await bench.begin()
        await asyncio.sleep(60)
        bench.csms.registration, bench.csms.heartbeat_s = "Pending", 90
        assert (await bench.csms.call("TriggerMessage", {"requestedMessage": "BootNotification"}))["status"] == "Accepted"
        await asyncio.sleep(1)
        assert bench.client.summary().registration == "Pending"
        before = len(bench.csms.received)
        await asyncio.sleep(85)
        assert len(bench.csms.received) == before  # nothing but what is triggered, and the link stays
        bench.csms.registration, bench.csms.heartbeat_s = "Accepted", 300
        await asyncio.sleep(10)
        assert bench.client.online
        assert bench.csms.ledger()["connections"] == 1
        boots = bench.csms.calls("BootNotification")
        assert len(boots) == 3
        assert bench.csms.calls("MeterValues")[-1]["transactionId"] == 1
        assert bench.csms.ledger()["violations"] == []

    under_virtual_time(main)


def test_jobs_run_on_every_registered_link_and_after_boot_only_after_a_boot() -> None:
    async def main() -> None:
        bench = Bench()
        bench.csms.registration = "Pending"
        bench.csms.heartbeat_s = 10
        await bench.start()
        ran: list[str] = []

        async def always(engine: object) -> None:
            ran.append("job")
            raise DeviceError("a job that fails does not end the link")

        async def booted(engine: object) -> None:
            ran.append("boot")

        bench.client.jobs.append(always)
        bench.client.after_boot.append(booted)
        await asyncio.sleep(5)
        assert ran == []
        bench.csms.registration = "Accepted"
        await asyncio.sleep(20)
        assert ran == ["job", "boot"]
        assert bench.client.online and "does not end" in bench.client.summary().last_error
        bench.openers.sockets[-1].end(clean=True, detail="bye")
        await asyncio.sleep(RELEASED + 3)
        assert ran == ["job", "boot", "job"]

    under_virtual_time(main)


# -- targets ------------------------------------------------------------------------------------------------------


class TwoTargets:
    """A dialler with a staged target that goes back after two failures. Keeps what it is told."""

    def __init__(self) -> None:
        self.told: list[tuple[str, str]] = []
        self.tries = 0
        self.staged = False
        self.broken = ""
        self.store_error = ""
        self.place = ""

    async def target(self) -> DialTarget:
        if self.broken:
            raise DeviceError(self.broken)
        if self.staged and self.tries < 2:
            return DialTarget(url=f"{URL}/new/DC%201", name="staged")
        return DialTarget(url=f"{URL}/{self.place}DC%201")

    def _store(self) -> None:
        if self.store_error:
            raise DeviceError(self.store_error)

    async def registered(self, target: DialTarget) -> None:
        self._store()
        self.told.append(("registered", target.name))

    async def failed(self, target: DialTarget, error: str) -> None:
        self._store()
        self.told.append((error, target.name))
        self.tries += target.name == "staged"


async def two_targets() -> tuple[Bench, TwoTargets, Flaky]:
    bench = Bench()
    openers = flaky(bench)
    dialler = TwoTargets()
    bench.dialler = dialler
    await bench.start()
    assert dialler.told == [("registered", "active")]
    return bench, dialler, openers


def test_a_staged_target_is_accepted_by_a_boot_over_it() -> None:
    async def main() -> None:
        bench, dialler, _ = await two_targets()
        dialler.staged = True
        bench.client.reconnect("a new URL is staged")
        await asyncio.sleep(1)
        assert dialler.told[1:] == [("registered", "staged")]
        assert len(bench.csms.calls("BootNotification")) == 2  # another CSMS does not know this station
        assert bench.client.summary().target == "active", "it is what is used now"

    under_virtual_time(main)


def test_another_url_gets_a_boot_and_the_same_one_none() -> None:
    async def main() -> None:
        bench, dialler, _ = await two_targets()
        for place, boots in (("", 1), ("elsewhere/", 2), ("elsewhere/", 2), ("", 3)):
            dialler.place = place
            bench.client.reconnect("test")
            await asyncio.sleep(1)
            assert bench.client.online and len(bench.csms.calls("BootNotification")) == boots

    under_virtual_time(main)


def test_a_staged_target_that_never_accepts_is_given_up() -> None:
    async def main() -> None:
        bench, dialler, openers = await two_targets()
        bench.csms.registration = "Rejected"
        dialler.staged = True
        bench.client.reconnect("staged")
        await asyncio.sleep(2 * STAGED_PATIENCE_S + 30)
        assert [name for _, name in dialler.told[1:]] == ["staged", "staged"]
        assert all("not accepted by the CSMS within 180 s" in text for text, _ in dialler.told[1:])
        bench.csms.registration = "Accepted"
        await asyncio.sleep(310)  # the interval of the last refusal
        assert dialler.told[-1] == ("registered", "active")
        assert openers.urls[-1] == f"{URL}/DC%201"

    under_virtual_time(main)


def test_a_dialler_that_has_no_target_is_asked_again() -> None:
    async def main() -> None:
        bench, dialler, _ = await two_targets()
        dialler.broken = "ocpp.url is empty; set it"
        bench.client.reconnect("test")
        await asyncio.sleep(100)
        assert bench.client.summary().last_error == "ocpp.url is empty; set it"
        dialler.broken = ""
        await asyncio.sleep(181)
        assert bench.client.online

    under_virtual_time(main)


def test_a_dialler_whose_store_fails_does_not_end_the_link() -> None:
    async def main() -> None:
        bench, dialler, openers = await two_targets()

        dialler.store_error = "the disk is full"
        openers.errors = [DeviceError("down")] * 3
        bench.client.reconnect("test")
        await asyncio.sleep(60)
        assert bench.client.online
        assert bench.client.summary().last_error == "the disk is full"

    under_virtual_time(main)


def test_wrong_subprotocol_counts_as_failed() -> None:
    async def main() -> None:
        bench, dialler, openers = await two_targets()

        async def other(*args: object, **named: object) -> WebSocket:
            return websocket_pair("ocpp2.0.1")[0]

        openers.open_websocket = other  # type: ignore[method-assign]
        bench.client.reconnect("test")
        await asyncio.sleep(2)
        text, name = dialler.told[1]
        assert (name, "does not speak ocpp1.6 (it chose 'ocpp2.0.1')" in text) == ("active", True)

    under_virtual_time(main)


def test_random_ends_never_stop_the_redial() -> None:
    """Whatever ends a link at whatever moment, the next one comes; seeds 0 to 29."""
    for seed in range(30):

        async def main(seed: int = seed) -> None:
            rng = Random(seed)
            bench = Bench(seed=seed, ping_s=10, call_timeout_s=5)
            openers = flaky(bench, [rng.choice(FAILURES) for _ in range(rng.randrange(4))])
            await bench.start(0)
            for _ in range(25):
                await asyncio.sleep(rng.expovariate(1 / 20))
                match rng.randrange(5):
                    case 0:
                        bench.csms.half_open()
                    case 1 if openers.sockets:
                        openers.sockets[-1].end(clean=rng.random() < 0.5, detail="random")
                    case 2:
                        openers.errors += [rng.choice(FAILURES)]
                    case 3:
                        bench.client.reconnect("random")
                    case _:
                        bench.csms.answer("Heartbeat", silence=True, count=2)
            await asyncio.sleep(400)
            assert bench.client.online, f"seed {seed}"
            assert bench.csms.ledger()["violations"] == []

        under_virtual_time(main)


def test_ws_closed_is_what_a_request_gets_while_offline() -> None:
    async def main() -> None:
        bench = Bench()
        bench.csms.down()
        await bench.start()
        with pytest.raises(WsClosed, match="offline"):
            await bench.client.ask("DataTransfer", {"vendorId": "x"})

    under_virtual_time(main)
