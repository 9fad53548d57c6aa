"""Charging profiles on the disk: written at once, not written twice, removed when they are over, cleared by any criterion."""

from __future__ import annotations

import asyncio
import itertools
from pathlib import Path
from typing import Any

from evse.ocpp.messages import timestamp
from evse.units import NS_PER_S
from tests.ocpp.support import Bench, under_virtual_time
from tests.ocpp.test_charging import OK, START_TEXT, body, put

NAMESPACE = "ocpp.profiles"


def test_clearing_removes_exactly_what_meets_every_criterion() -> None:
    """All combinations of id, connector, purpose and stack level, against the words of the specification."""
    installed = [
        (0, 1, "ChargePointMaxProfile", 0), (0, 2, "ChargePointMaxProfile", 1), (0, 3, "TxDefaultProfile", 0),
        (1, 4, "TxDefaultProfile", 0), (1, 5, "TxDefaultProfile", 1), (2, 6, "TxDefaultProfile", 0), (1, 7, "TxProfile", 1),
    ]
    nothing: dict[str, Any] = {}
    ids = [nothing, {"id": 1}, {"id": 7}, {"id": 99}]
    connectors = [nothing, {"connectorId": 0}, {"connectorId": 1}, {"connectorId": 2}]
    purposes = [nothing, *({"chargingProfilePurpose": p} for p in ("ChargePointMaxProfile", "TxDefaultProfile", "TxProfile"))]
    levels = [nothing, {"stackLevel": 0}, {"stackLevel": 1}, {"stackLevel": 2}]

    async def main() -> None:
        bench = await Bench().start()
        await bench.begin()
        for parts in itertools.product(ids, connectors, purposes, levels):
            criteria: dict[str, Any] = {}
            for part in parts:
                criteria |= part
            for connector, number, purpose, level in installed:
                assert await put(bench, connector, body(number, chargingProfilePurpose=purpose, stackLevel=level)) == OK
            left = [
                number for connector, number, purpose, level in installed
                if not ((criteria.get("id", number), criteria.get("connectorId", connector)) == (number, connector)
                        and criteria.get("chargingProfilePurpose", purpose) == purpose
                        and criteria.get("stackLevel", level) == level)
            ]
            answer = await bench.csms.call("ClearChargingProfile", criteria)
            assert answer == {"status": "Unknown" if len(left) == len(installed) else "Accepted"}, criteria
            assert sorted(p.profile_id for p in bench.client.charging.profiles()) == left, criteria
            assert sorted(map(int, await bench.store.get_all(NAMESPACE))) == [n for n in left if n != 7], criteria

    under_virtual_time(main)


def test_a_profile_whose_validity_is_over_leaves_the_disk_and_is_unknown(tmp_path: Path) -> None:
    async def main() -> None:
        bench = await Bench(database=tmp_path / "a.db").start()
        soon = timestamp(bench.clock.wall() + 60 * NS_PER_S)
        assert await put(bench, 0, body(1, validTo=soon)) == OK
        assert await put(bench, 1, body(2)) == OK
        await asyncio.sleep(75)
        assert set(await bench.store.get_all(NAMESPACE)) == {"2"}
        assert await bench.csms.call("ClearChargingProfile", {"id": 1}) == {"status": "Unknown"}
        assert await put(bench, 0, body(1, validTo=timestamp(bench.clock.wall() + 600 * NS_PER_S))) == OK
        bench.clock.valid = False  # nobody knows whether it is over
        await asyncio.sleep(1200)
        assert set(await bench.store.get_all(NAMESPACE)) == {"1", "2"}
        bench.clock.valid = True
        await asyncio.sleep(15)
        assert set(await bench.store.get_all(NAMESPACE)) == {"2"}

    under_virtual_time(main)


def test_the_same_profile_again_writes_nothing_and_another_one_is_durable_before_its_answer() -> None:
    async def main() -> None:
        bench = await Bench().start()
        writes: list[dict[str, Any]] = []
        real = bench.store.put_many

        async def put_many(namespace: str, values: Any) -> None:
            writes.append(dict(values))
            await real(namespace, values)

        bench.store.put_many = put_many  # type: ignore[method-assign]
        dated = {"chargingProfileKind": "Absolute", "startSchedule": START_TEXT}
        for _ in range(50):
            assert await put(bench, 0, body(1, (0, 9_000), **dated)) == OK
        assert len(writes) == 1
        assert await put(bench, 0, body(1, (0, 8_000), **dated)) == OK
        assert len(writes) == 2
        for _ in range(3):  # these count from their arrival: they are others each time
            assert await put(bench, 0, body(2, stackLevel=2, chargingProfilePurpose="ChargePointMaxProfile")) == OK
            await asyncio.sleep(1)
        assert len(writes) == 5

    under_virtual_time(main)
