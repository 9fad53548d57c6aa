"""The link: registration, half-open detection, redial, heartbeat."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Mapping, Sequence

from evse.transports.base import DIRECT, DialOptions, WebSocket
from evse.transports.memory import websocket_pair
from evse.units import NS_PER_S
from tests.ocpp.support import Bench, under_virtual_time


def test_boot_then_status_of_station_and_connectors() -> None:
    async def main() -> None:
        bench = await Bench().start()
        actions = [action for action, _ in bench.csms.received]
        assert actions[:4] == ["BootNotification"] + ["StatusNotification"] * 3
        boot = bench.csms.calls("BootNotification")[0]
        assert boot == {
            "chargePointVendor": "V", "chargePointModel": "M", "chargePointSerialNumber": "SN1",
            "firmwareVersion": "1.0",
        }
        statuses = bench.csms.calls("StatusNotification")
        assert [(row["connectorId"], row["status"], row["errorCode"]) for row in statuses] == [
            (0, "Available", "NoError"), (1, "Available", "NoError"), (2, "Available", "NoError"),
        ]
        summary = bench.client.summary()
        assert (summary.connected, summary.registration, summary.queued) == (True, "Accepted", 0)
        assert summary.url == "ws://csms.test/ocpp/DC%201"
        assert bench.csms.ledger()["connected"] == ["DC 1"]
        assert summary.clock_offset_ms == 0

    under_virtual_time(main)


def test_pending_and_rejected_wait_as_long_as_the_csms_says() -> None:
    async def main() -> None:
        bench = Bench()
        bench.csms.registration, bench.csms.heartbeat_s = "Rejected", 90
        await bench.start()
        await asyncio.sleep(80)
        assert [action for action, _ in bench.csms.received] == ["BootNotification"]
        assert bench.client.summary().registration == "Rejected"
        bench.csms.registration, bench.csms.heartbeat_s = "Pending", 40
        await asyncio.sleep(15)
        assert len(bench.csms.received) == 2
        assert (await bench.csms.call("RemoteStartTransaction", {"idTag": "A"}))["status"] == "Rejected"
        assert (await bench.csms.call("GetConfiguration", {"key": ["HeartbeatInterval"]}))["configurationKey"]
        bench.csms.registration, bench.csms.heartbeat_s = "Accepted", 300
        await asyncio.sleep(41)
        assert bench.client.online
        assert [row["connectorId"] for row in bench.csms.calls("StatusNotification")] == [0, 1, 2]
        assert bench.client.summary().heartbeat_s == 300

    under_virtual_time(main)


def test_triggered_boot_registers_at_once() -> None:
    async def main() -> None:
        bench = Bench()
        bench.csms.registration, bench.csms.heartbeat_s = "Pending", 3600
        await bench.start()
        bench.csms.registration, bench.csms.heartbeat_s = "Accepted", 120
        answer = await bench.csms.call("TriggerMessage", {"requestedMessage": "BootNotification"})
        assert answer == {"status": "Accepted"}
        await asyncio.sleep(1)
        assert bench.client.online
        assert len(bench.csms.calls("BootNotification")) == 2

    under_virtual_time(main)


def test_interval_zero_gets_a_pause_of_our_own() -> None:
    async def main() -> None:
        bench = Bench()
        bench.csms.registration, bench.csms.heartbeat_s = "Pending", 0
        await bench.start()
        await asyncio.sleep(600)
        assert 8 <= len(bench.csms.calls("BootNotification")) <= 12

    under_virtual_time(main)


def test_heartbeats_follow_the_interval_of_the_csms() -> None:
    async def main() -> None:
        bench = Bench()
        bench.csms.heartbeat_s = 60
        await bench.start()
        await asyncio.sleep(601)
        assert len(bench.csms.calls("Heartbeat")) == 10
        await bench.client.set_key("HeartbeatInterval", "10")
        await asyncio.sleep(101)
        assert len(bench.csms.calls("Heartbeat")) == 20

    under_virtual_time(main)


def test_half_open_link_is_noticed_by_ping_and_redialled() -> None:
    async def main() -> None:
        bench = await Bench(ping_s=30).start()
        bench.csms.half_open()
        await asyncio.sleep(30 + 10 + 4)
        assert bench.csms.ledger()["connections"] == 2
        assert bench.client.online
        assert len(bench.csms.calls("BootNotification")) == 1  # the station did not boot again

    under_virtual_time(main)


def test_link_whose_pings_live_but_whose_csms_is_silent_is_dropped() -> None:
    async def main() -> None:
        bench = Bench(call_timeout_s=5)
        bench.csms.heartbeat_s = 20
        await bench.start()
        bench.csms.answer("Heartbeat", silence=True, count=3)
        await asyncio.sleep(100)
        assert bench.csms.ledger()["connections"] == 2
        assert bench.client.online

    under_virtual_time(main)


def test_clean_close_and_refused_dials_are_redialled_for_ever_with_jitter() -> None:
    async def main() -> None:
        bench = await Bench().start()
        await bench.openers.sockets[0].close()
        await asyncio.sleep(5)
        assert bench.client.online
        bench.csms.down()
        before = len(bench.openers.dials)
        await asyncio.sleep(6 * 3600)
        dials = bench.openers.dials[before:]
        gaps = [(b - a) / NS_PER_S for a, b in itertools.pairwise(dials)]
        assert max(gaps) <= 180
        assert min(gaps[10:]) >= 60
        assert len({round(gap) for gap in gaps[10:]}) > 20  # not in step with anybody
        assert "the CSMS is down" in bench.client.summary().last_error
        bench.csms.up()
        await asyncio.sleep(181)
        assert bench.client.online

    under_virtual_time(main)


def test_csms_that_drops_every_link_is_not_hammered() -> None:
    async def main() -> None:
        bench = await Bench().start()
        for _ in range(40):
            await asyncio.sleep(60)
            if bench.openers.sockets:
                bench.openers.sockets[-1].end(clean=True, detail="go away")
        assert len(bench.openers.dials) < 60

    under_virtual_time(main)


def test_wrong_subprotocol_is_refused_and_named() -> None:
    async def main() -> None:
        bench = Bench()

        class Other(type(bench.openers)):  # type: ignore[misc]
            async def open_websocket(
                self, url: str, subprotocols: Sequence[str], headers: Mapping[str, str], timeout_s: float,
                options: DialOptions = DIRECT,
            ) -> WebSocket:
                return websocket_pair("ocpp2.0.1")[0]

        bench.openers = Other(bench.csms)
        await bench.start()
        await asyncio.sleep(10)
        assert "does not speak ocpp1.6 (it chose 'ocpp2.0.1')" in bench.client.summary().last_error
        assert not bench.client.summary().connected

    under_virtual_time(main)


def test_two_runs_with_the_same_seed_are_equal() -> None:
    async def one() -> list[tuple[int, str]]:
        bench = await Bench(seed=7).start()
        await bench.begin()
        bench.csms.down()
        await asyncio.sleep(300)
        bench.csms.up()
        await asyncio.sleep(300)
        return [(message.wall, message.unique_id) for message in bench.client.messages(500)]

    found: list[list[tuple[int, str]]] = []

    async def main() -> None:
        found.append(await one())

    under_virtual_time(main)
    under_virtual_time(main)
    assert found[0] == found[1]
    assert len(found[0]) > 10
