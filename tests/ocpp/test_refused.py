"""Cards that the CSMS refuses after the start, and caps by key."""

from __future__ import annotations

import asyncio
from pathlib import Path

import msgspec
import pytest

from evse.domain.station import EvseSpec
from tests.ocpp.support import Bench, under_virtual_time
from tests.ocpp.test_keys_ac import ac, put

REFUSED = {"transactionId": 7, "idTagInfo": {"status": "Invalid"}}


async def refused_bench(*, stop: str, energy_wh: str) -> Bench:
    bench = await Bench().start()
    assert await put(bench, "StopTransactionOnInvalidId", stop) == "Accepted"
    assert await put(bench, "MaxEnergyOnInvalidId", energy_wh) == "Accepted"
    bench.csms.answer("StartTransaction", payload=REFUSED, count=1)
    await bench.begin()
    await asyncio.sleep(1)
    return bench


def charge(bench: Bench, energy_wh: int) -> None:
    session = bench.station.evses[1].session
    assert session is not None
    bench.station.change(1, session=msgspec.structs.replace(session, energy_wh=energy_wh))
    bench.look()


def test_a_refused_card_ends_the_transaction() -> None:
    async def main() -> None:
        bench = await refused_bench(stop="true", energy_wh="0")
        assert bench.station.numbered == {"s1": (7, False)}
        assert 1 not in bench.station.limits

    under_virtual_time(main)


def test_a_refused_card_keeps_the_transaction_without_energy() -> None:
    async def main() -> None:
        bench = await refused_bench(stop="false", energy_wh="0")
        assert bench.station.numbered == {"s1": (7, True)}
        assert bench.station.limits[1] == 0
        schedule = await bench.csms.call("GetCompositeSchedule", {"connectorId": 1, "duration": 60})
        assert schedule["chargingSchedule"]["chargingSchedulePeriod"][0]["limit"] == 0
        await bench.end()
        assert 1 not in bench.station.limits  # the next one is not held
        await bench.leave()
        await bench.begin()
        await asyncio.sleep(1)
        assert 1 not in bench.station.limits

    under_virtual_time(main)


@pytest.mark.parametrize("stop", [True, False])
def test_a_refused_card_gets_the_energy_to_leave(stop: bool) -> None:
    async def main() -> None:
        bench = await refused_bench(stop=str(stop).lower(), energy_wh="2000")
        charge(bench, 1999)
        assert bench.station.numbered == {"s1": (7, True)}
        assert 1 not in bench.station.limits
        charge(bench, 2000)
        assert bench.station.numbered == {"s1": (7, not stop)}
        assert bench.station.limits.get(1) == (None if stop else 0)

    under_virtual_time(main)


def test_what_was_charged_before_the_refusal_counts() -> None:
    async def main() -> None:
        bench = await Bench().start()
        await put(bench, "MaxEnergyOnInvalidId", "500")
        bench.csms.down()
        await asyncio.sleep(1)
        await bench.begin()
        charge(bench, 5000)
        bench.csms.answer("StartTransaction", payload=REFUSED, count=1)
        bench.csms.up()
        await asyncio.sleep(200)
        assert bench.station.numbered == {"s1": (7, False)}

    under_virtual_time(main)


def test_a_refusal_of_a_transaction_that_is_over_changes_nothing() -> None:
    async def main() -> None:
        bench = await Bench().start()
        await put(bench, "StopTransactionOnInvalidId", "false")
        bench.csms.down()
        await asyncio.sleep(1)
        await bench.begin()
        await bench.end()
        await bench.leave()
        bench.csms.answer("StartTransaction", payload=REFUSED, count=1)
        bench.csms.up()
        await asyncio.sleep(200)
        assert 1 not in bench.station.limits

    under_virtual_time(main)


def test_the_group_of_an_answer_is_told_to_the_station() -> None:
    async def main() -> None:
        bench = await Bench().start()
        info = {"status": "Accepted", "parentIdTag": "FAMILY"}
        bench.csms.answer("StartTransaction", payload={"transactionId": 3, "idTagInfo": info}, count=1)
        await bench.begin()
        await asyncio.sleep(1)
        assert bench.station.groups == {"s1": "FAMILY"}

    under_virtual_time(main)


def test_currents_of_keys_hold_at_once_beside_profiles_and_in_the_schedule(tmp_path: Path) -> None:
    async def main() -> None:
        side = ac(1)
        assert side.ac is not None
        wired = msgspec.structs.replace(side, ac=msgspec.structs.replace(side.ac, evse_ma=32_000))
        bench = await Bench(database=tmp_path / "a.db", specs=(wired, EvseSpec(evse_id=2))).start()
        assert await put(bench, "MaxCurrent", "10") == "Accepted"
        assert bench.station.limits_ma == {1: 10_000, 2: 10_000}
        assert bench.station.limits == {1: 6900, 2: 6900}
        assert await put(bench, "GlobalMaxCurrent", "8") == "Accepted"
        assert bench.station.limits[0] == 5520
        found = await bench.csms.call("GetCompositeSchedule", {"connectorId": 1, "duration": 60, "chargingRateUnit": "A"})
        assert found["chargingSchedule"]["chargingSchedulePeriod"] == [{"startPeriod": 0, "limit": 8.0, "numberPhases": 3}]
        found = await bench.csms.call("GetCompositeSchedule", {"connectorId": 2, "duration": 60, "chargingRateUnit": "W"})
        assert found["chargingSchedule"]["chargingSchedulePeriod"][0]["limit"] == 5520
        await bench.restart()
        assert bench.station.limits == {0: 5520, 1: 6900, 2: 6900}
        await asyncio.sleep(5)
        assert await put(bench, "MaxCurrent", "0") == "Accepted"
        assert await put(bench, "GlobalMaxCurrent", "0") == "Accepted"
        assert bench.station.limits == {}

    under_virtual_time(main)
