"""The whole daemon against the strict CSMS: real processes, a real session, nothing of ours on the other end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from evse.lab.demo_station import DemoStation
from tests.peers.test_ocpp_rpc import PATIENCE_S, pytestmark, strict_csms

__all__ = ["pytestmark"]


async def _until(station: DemoStation, good: Callable[[dict[str, Any]], bool]) -> None:
    async with asyncio.timeout(2 * PATIENCE_S):
        while not good((await station.api("connector.list"))["items"][0]):
            await asyncio.sleep(0.1)


@pytest.mark.timeout(300)
def test_daemon_charges_a_car_and_the_strict_csms_has_nothing_to_complain_about(tmp_path: Path) -> None:
    async def main() -> None:
        async with strict_csms() as csms:
            port = (await csms.expect("port"))["port"]
            station = DemoStation(tmp_path, csms_port=port)
            try:
                await station.start()
                boot = await csms.expect("call", "BootNotification")
                assert boot["payload"]["chargePointModel"] == "DC 2x120"
                assert (await station.sim({"cmd": "plug_in", "connector": 1, "soc_pct": 20}))["ok"]
                assert (await station.sim({"cmd": "swipe", "token": "04A1B2C3", "reader": "reader1"}))["ok"]
                start = await csms.expect("call", "StartTransaction")
                assert start["payload"]["idTag"] == "04A1B2C3"
                await _until(station, lambda e: e["session"] is not None and e["session"]["energy_wh"] > 5)
                await csms.expect("call", "MeterValues")
                assert await csms.ask("RemoteStopTransaction", {"transactionId": 100}) == {"status": "Accepted"}
                stop = await csms.expect("call", "StopTransaction")
                assert stop["payload"]["reason"] == "Remote"
                assert stop["payload"]["meterStop"] > start["payload"]["meterStart"]
                await _until(station, lambda e: bool(e["phase"] == "finished"))
                assert csms.violations == []
            finally:
                await station.stop()

    asyncio.run(main())
