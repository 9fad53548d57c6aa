"""What the runtime hands to the OCPP side and takes from it: the way of transfers, and profiles at a clean stop."""

from __future__ import annotations

import asyncio
from pathlib import Path
from random import Random

import msgspec
import pytest

from evse.lab.station import Lab
from evse.lab.vloop import run_virtual
from evse.ocpp.profile_disk import BUDGET, NAMESPACE
from evse.ocpp.transfers.carrier import NetCarrier
from evse.ocpp.transfers.errors import TransferError
from evse.ocpp.transfers.target import parse_target
from evse.planner.composite import ChargingProfile
from evse.runtime.clock import RealClock
from evse.runtime.transferring import make_transfers
from tests._support.lab_world import demo_config


def test_transfers_go_the_way_of_the_configuration(tmp_path: Path) -> None:
    """Proxy (the name is not resolved here) and interface (it is not there) of the file reach the sockets."""
    config = demo_config(tmp_path)
    config = msgspec.structs.replace(
        config, ocpp=msgspec.structs.replace(config.ocpp, interface="nosuch0", proxy="socks5h://127.0.0.1:9")
    )
    carriers: list[NetCarrier] = []

    async def start() -> None:
        async with Lab(config, tmp_path / "data", fast=True) as lab:
            station = lab.station
            assert station.ocpp is not None
            station.carrier = None  # the laboratory has one in memory
            transfers = make_transfers(station, station.ocpp, None, Random(1), station.security)
            assert isinstance(transfers.firmware._carrier, NetCarrier)
            carriers.append(transfers.firmware._carrier)

    async def send(scheme: str) -> None:
        with pytest.raises(TransferError, match=r"ocpp\.interface = 'nosuch0': no such network interface"):
            await carriers[0].send(parse_target(f"{scheme}://files.test/"), tmp_path / "x", "x", lambda done, total: None)

    run_virtual(start())
    (tmp_path / "x").write_bytes(b"x")
    assert RealClock().wall_valid()
    for scheme in ("ftp", "http"):
        asyncio.run(send(scheme))


def test_a_clean_stop_stores_the_profiles_that_wait(tmp_path: Path) -> None:
    async def main() -> None:
        database = tmp_path / "db.sqlite3"
        async with Lab(demo_config(tmp_path), tmp_path / "data", fast=True, database=database) as lab:
            await lab.until(lambda: lab.station.ocpp is not None and lab.station.ocpp.online, "online")
            assert lab.sim.csms is not None
            for number in range(BUDGET + 5):
                answer = await lab.sim.csms.call("SetChargingProfile", {"connectorId": 1, "csChargingProfiles": {
                    "chargingProfileId": 1, "stackLevel": 0, "chargingProfilePurpose": "TxDefaultProfile",
                    "chargingProfileKind": "Relative", "chargingSchedule": {
                        "chargingRateUnit": "W", "chargingSchedulePeriod": [{"startPeriod": 0, "limit": 10_000 + number}]},
                }})  # fmt: skip
                assert answer == {"status": "Accepted"}

            async def stored() -> int:
                text = (await lab.station.store.get_all(NAMESPACE))["1"]
                return msgspec.json.decode(text, type=ChargingProfile).periods[0].limit_deci

            assert await stored() == 10 * (10_000 + BUDGET - 1)
            await lab.station.close()
            assert await stored() == 10 * (10_000 + BUDGET + 4)

    run_virtual(main())
