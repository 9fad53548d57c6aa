"""Use cases: smart charging, each purpose, kind, stacking, unit and way to clear."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from evse.ocpp.messages import timestamp
from evse.units import NS_PER_S
from tests.ocpp.support import Bench
from tests.ocpp.use_cases import NO, OK, use_case

SET, STACK, CLEAR, COMPOSITE = (
    "Charging profiles: purpose and kind", "Charging profiles: stacking", "ClearChargingProfile", "GetCompositeSchedule",
)
TX_DEFAULT, TX, MAX = "TxDefaultProfile", "TxProfile", "ChargePointMaxProfile"


def profile(
    number: int, purpose: str, *periods: tuple[int, float], kind: str = "Relative", level: int = 0, unit: str = "W", **more: Any
) -> dict[str, Any]:
    """A charging profile; ``more`` goes to the schedule if its name belongs there."""
    schedule: dict[str, Any] = {
        "chargingRateUnit": unit, "chargingSchedulePeriod": [{"startPeriod": s, "limit": limit} for s, limit in periods],
    }
    found: dict[str, Any] = {
        "chargingProfileId": number, "stackLevel": level, "chargingProfilePurpose": purpose, "chargingProfileKind": kind,
        "chargingSchedule": schedule,
    }
    for name, value in more.items():
        (schedule if name in ("duration", "startSchedule", "minChargingRate") else found)[name] = value
    return found


async def put(bench: Bench, connector: int, body: dict[str, Any]) -> dict[str, Any]:
    """SetChargingProfile."""
    return await bench.csms.call("SetChargingProfile", {"connectorId": connector, "csChargingProfiles": body})


def now(bench: Bench, plus_s: int = 0) -> str:
    """The time as the messages have it."""
    return timestamp(bench.clock.wall() + plus_s * NS_PER_S)


# -- purpose and kind ------------------------------------------------------------------------------------------------------


@use_case(SET, "ChargePointMaxProfile, Absolute")
async def test_max_absolute() -> None:
    """Limits the station from startSchedule, each period at its second, and nothing after duration."""
    bench = await Bench().start()
    body = profile(1, MAX, (0, 90_000), (10, 40_000), kind="Absolute", startSchedule=now(bench), duration=30)
    assert await put(bench, 0, body) == OK
    seen = [dict(bench.station.limits)]
    for _ in range(3):
        await asyncio.sleep(11)
        seen.append(dict(bench.station.limits))
    assert seen == [{0: 90_000}, {0: 40_000}, {0: 40_000}, {}]


@pytest.mark.parametrize(("recurrency", "period_s"), [("Daily", 86_400), ("Weekly", 7 * 86_400)])
@use_case(SET, "ChargePointMaxProfile, Recurring daily and weekly")
async def test_max_recurring(recurrency: str, period_s: int) -> None:
    """The schedule begins again each day or week."""
    bench = await Bench().start()
    body = profile(
        1, MAX, (0, 50_000), (60, 90_000), kind="Recurring", recurrencyKind=recurrency, startSchedule=now(bench)
    )
    assert await put(bench, 0, body) == OK
    await asyncio.sleep(120)
    assert bench.station.limits == {0: 90_000}
    left_s = period_s - 120
    bench.clock.jump_wall(bench.clock.wall() + (left_s - 3600) * NS_PER_S)  # the last hour of the day or week is enough
    await asyncio.sleep(3600 - 2)
    assert bench.station.limits == {0: 90_000}
    await asyncio.sleep(20)
    assert bench.station.limits == {0: 50_000}


@use_case(SET, "TxDefaultProfile on connector 0, Relative")
async def test_default_relative() -> None:
    """Every connector; the periods count from the start of each transaction."""
    bench = await Bench().start()
    assert await put(bench, 0, profile(1, TX_DEFAULT, (0, 50_000), (20, 11_000))) == OK
    assert bench.station.limits == {1: 50_000, 2: 50_000}
    await bench.begin(1)
    await asyncio.sleep(25)
    assert bench.station.limits == {1: 11_000, 2: 50_000}


@use_case(SET, "TxDefaultProfile on a connector")
async def test_default_connector() -> None:
    """That connector, before the one of connector 0 at the same level."""
    bench = await Bench().start()
    assert await put(bench, 0, profile(1, TX_DEFAULT, (0, 50_000))) == OK
    assert await put(bench, 2, profile(2, TX_DEFAULT, (0, 70_000))) == OK
    assert bench.station.limits == {1: 50_000, 2: 70_000}


@use_case(SET, "TxProfile for a running transaction")
async def test_tx_running() -> None:
    """In force at once, before TxDefaultProfile, gone with the transaction."""
    bench = await Bench().start()
    await put(bench, 0, profile(1, TX_DEFAULT, (0, 50_000)))
    await bench.begin(1)
    await asyncio.sleep(1)
    assert await put(bench, 1, {**profile(2, TX, (0, 80_000)), "transactionId": 1}) == OK
    assert bench.station.limits == {1: 80_000, 2: 50_000}
    await bench.end(1)
    assert bench.station.limits == {1: 50_000, 2: 50_000}


@use_case(SET, "TxProfile without transaction, on connector 0, for another transaction")
async def test_tx_refused() -> None:
    """Rejected."""
    bench = await Bench().start()
    assert await put(bench, 1, profile(2, TX, (0, 80_000))) == NO
    await bench.begin(1)
    await asyncio.sleep(1)
    assert await put(bench, 0, profile(2, TX, (0, 80_000))) == NO
    assert await put(bench, 1, {**profile(2, TX, (0, 80_000)), "transactionId": 99}) == NO


@use_case(SET, "TxProfile with RemoteStartTransaction")
async def test_tx_remote_start() -> None:
    """It waits for the transaction of that card and holds for it alone."""
    bench = await Bench().start()
    request = {"idTag": "A", "connectorId": 1, "chargingProfile": profile(2, TX, (0, 22_000))}
    assert await bench.csms.call("RemoteStartTransaction", request) == OK
    await bench.begin(1, id_token="A")
    await asyncio.sleep(1)
    assert bench.station.limits == {1: 22_000}
    await bench.end(1)
    await bench.leave(1)
    await bench.begin(1, id_token="A")
    await asyncio.sleep(1)
    assert bench.station.limits == {}


@use_case(SET, "Validity")
async def test_validity() -> None:
    """Before validFrom and after validTo the profile says nothing."""
    bench = await Bench().start()
    body = profile(1, MAX, (0, 30_000), kind="Absolute", startSchedule=now(bench), validFrom=now(bench, 20), validTo=now(bench, 40))
    assert await put(bench, 0, body) == OK
    seen = [dict(bench.station.limits)]
    for _ in range(2):
        await asyncio.sleep(25)
        seen.append(dict(bench.station.limits))
    assert seen == [{}, {0: 30_000}, {}]


@use_case(SET, "Amperes")
async def test_amperes() -> None:
    """A limit in A is the current of each phase, in W that times 230 V and numberPhases."""
    bench = await Bench().start()
    body = profile(1, TX_DEFAULT, (0, 16), unit="A")
    body["chargingSchedule"]["chargingSchedulePeriod"][0]["numberPhases"] = 1
    assert await put(bench, 1, body) == OK
    assert (bench.station.limits, bench.station.limits_ma) == ({1: 3_680}, {1: 16_000})


@pytest.mark.parametrize("bad", [
    {"connector": 9}, {"level": 99_999}, {"periods": ((0, 10.0), (0, 20.0))}, {"kind": "Recurring"},
])  # fmt: skip
@use_case(SET, "Wrong profiles")
async def test_wrong_profiles(bad: dict[str, Any]) -> None:
    """Rejected: unknown connector, level beyond ChargeProfileMaxStackLevel, periods not rising, recurring without kind."""
    bench = await Bench().start()
    body = profile(1, TX_DEFAULT, *bad.get("periods", ((0, 10.0),)), kind=bad.get("kind", "Relative"), level=bad.get("level", 0))
    assert await put(bench, bad.get("connector", 1), body) == NO
    assert bench.station.limits == {}


@use_case(SET, "Kept over a reboot")
async def test_profiles_kept(tmp_path: Path) -> None:
    """ChargePointMaxProfile and TxDefaultProfile survive, TxProfile ends with its transaction."""
    bench = await Bench(database=tmp_path / "a.db").start()
    await put(bench, 0, profile(1, MAX, (0, 90_000), kind="Absolute", startSchedule=now(bench)))
    await put(bench, 1, profile(2, TX_DEFAULT, (0, 40_000)))
    await bench.begin(1)
    await asyncio.sleep(1)
    await put(bench, 1, profile(3, TX, (0, 20_000)))
    await asyncio.sleep(70)
    await bench.restart()
    await asyncio.sleep(2)
    assert sorted(found.profile_id for found in bench.client.charging.profiles()) == [1, 2]
    assert bench.station.limits == {0: 90_000, 1: 40_000}


# -- stacking --------------------------------------------------------------------------------------------------------------


@use_case(STACK, "Higher level before lower")
async def test_stack_higher() -> None:
    """The higher level counts also when it allows more; where it says nothing the lower one does."""
    bench = await Bench().start()
    await put(bench, 0, profile(1, MAX, (0, 30_000), kind="Absolute", startSchedule=now(bench)))
    await put(bench, 0, profile(2, MAX, (0, 60_000), kind="Absolute", level=1, startSchedule=now(bench), duration=20))
    assert bench.station.limits == {0: 60_000}
    await asyncio.sleep(25)
    assert bench.station.limits == {0: 30_000}


@use_case(STACK, "Same purpose, level and connector")
async def test_stack_replaces() -> None:
    """The new profile takes the place of the old one; so does one with the same chargingProfileId."""
    bench = await Bench().start()
    await put(bench, 1, profile(1, TX_DEFAULT, (0, 30_000)))
    await put(bench, 1, profile(2, TX_DEFAULT, (0, 40_000)))
    assert [found.profile_id for found in bench.client.charging.profiles()] == [2]
    await put(bench, 1, profile(2, TX_DEFAULT, (0, 50_000), level=1))
    assert [found.profile_id for found in bench.client.charging.profiles()] == [2]
    assert bench.station.limits == {1: 50_000}


@use_case(STACK, "Purposes together")
async def test_stack_purposes() -> None:
    """A transaction gets the smaller of its own limit and what ChargePointMaxProfile leaves."""
    bench = await Bench().start()
    await put(bench, 0, profile(1, MAX, (0, 25_000), kind="Absolute", startSchedule=now(bench)))
    await put(bench, 1, profile(2, TX_DEFAULT, (0, 40_000)))
    answer = await bench.csms.call("GetCompositeSchedule", {"connectorId": 1, "duration": 60, "chargingRateUnit": "W"})
    assert answer["chargingSchedule"]["chargingSchedulePeriod"][0]["limit"] <= 25_000


# -- clear -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("criteria", "left"), [
    ({}, []), ({"id": 2}, [1, 3]), ({"connectorId": 0}, [2, 3]), ({"connectorId": 1}, [1, 3]),
    ({"chargingProfilePurpose": TX_DEFAULT}, [1]), ({"stackLevel": 1}, [1, 2]),
    ({"connectorId": 2, "chargingProfilePurpose": TX_DEFAULT, "stackLevel": 1}, [1, 2]),
])  # fmt: skip
@use_case(CLEAR, "By nothing, id, connector, purpose, stack level, several of them")
async def test_clear(criteria: dict[str, Any], left: list[int]) -> None:
    """Accepted; exactly the profiles that match are gone."""
    bench = await Bench().start()
    await put(bench, 0, profile(1, MAX, (0, 90_000), kind="Absolute", startSchedule=now(bench)))
    await put(bench, 1, profile(2, TX_DEFAULT, (0, 40_000)))
    await put(bench, 2, profile(3, TX_DEFAULT, (0, 30_000), level=1))
    assert await bench.csms.call("ClearChargingProfile", criteria) == OK
    assert sorted(found.profile_id for found in bench.client.charging.profiles()) == left


@use_case(CLEAR, "Nothing matches")
async def test_clear_unknown() -> None:
    """Unknown."""
    bench = await Bench().start()
    assert await bench.csms.call("ClearChargingProfile", {"id": 5}) == {"status": "Unknown"}


# -- composite -------------------------------------------------------------------------------------------------------------


@use_case(COMPOSITE, "A connector with profiles")
async def test_composite() -> None:
    """The periods inside the window, equal neighbours merged."""
    bench = await Bench().start()
    body = profile(1, TX_DEFAULT, (0, 40_000), (30, 20_000), (60, 20_000), kind="Absolute", startSchedule=now(bench))
    await put(bench, 1, body)
    answer = await bench.csms.call("GetCompositeSchedule", {"connectorId": 1, "duration": 90, "chargingRateUnit": "W"})
    periods = answer["chargingSchedule"]["chargingSchedulePeriod"]
    assert [(row["startPeriod"], row["limit"]) for row in periods] == [(0, 40_000), (30, 20_000)]


@use_case(COMPOSITE, "No profiles")
async def test_composite_none() -> None:
    """The rating of the connector."""
    bench = await Bench().start()
    answer = await bench.csms.call("GetCompositeSchedule", {"connectorId": 1, "duration": 60, "chargingRateUnit": "W"})
    assert [row["limit"] for row in answer["chargingSchedule"]["chargingSchedulePeriod"]] == [150_000]


@use_case(COMPOSITE, "Unknown connector")
async def test_composite_unknown() -> None:
    """Rejected."""
    bench = await Bench().start()
    assert await bench.csms.call("GetCompositeSchedule", {"connectorId": 9, "duration": 60}) == NO
