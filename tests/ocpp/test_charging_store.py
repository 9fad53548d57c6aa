"""Charging profiles on the disk: written at once, not written twice, removed when they are over, cleared by any criterion;
coalesced when they change all the time, and never looser there than in force."""

from __future__ import annotations

import asyncio
import itertools
from pathlib import Path
from random import Random
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from evse.ocpp.charging import parse_profile
from evse.ocpp.messages import parse_timestamp, timestamp
from evse.ocpp.profile_disk import BUDGET, REFILL_NS, tighter
from evse.planner import composite
from evse.planner.composite import ChargingProfile, Purpose
from evse.storage.executor import StorageError
from evse.units import NS_PER_S
from tests._support.examples import examples
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
            await bench.client.charging.save()  # thousands of changes in no time
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


# -- profiles that change all the time ----------------------------------------------------------------------------

START = parse_timestamp(START_TEXT) or 0


def count_writes(bench: Bench) -> list[float]:
    """Moments (loop time, s) at which profiles are written from now on."""
    moments: list[float] = []
    real = bench.store.put_many

    async def put_many(namespace: str, values: Any) -> None:
        if namespace == NAMESPACE:
            moments.append(asyncio.get_running_loop().time())
        await real(namespace, values)

    bench.store.put_many = put_many  # type: ignore[method-assign]
    return moments


async def on_disk(bench: Bench) -> dict[int, ChargingProfile]:
    rows = await bench.store.get_all(NAMESPACE)
    return {int(number): msgspec.json.decode(text, type=ChargingProfile) for number, text in rows.items()}


def station_w(profiles: Any, at: int) -> int:
    """What ChargePointMaxProfiles allow at an instant, W."""
    found = sorted(
        (p for p in profiles if p.purpose is Purpose.CHARGE_POINT_MAX), key=lambda p: (p.stack_level, p.set_at), reverse=True
    )
    cap = composite.leading(found, Purpose.CHARGE_POINT_MAX, at, at)
    return composite.NEVER if cap is None else cap[0]


def test_a_new_default_every_second_is_written_once_a_minute_and_a_power_cut_costs_no_more_than_that(tmp_path: Path) -> None:
    async def main() -> None:
        bench = await Bench(database=tmp_path / "a.db").start()
        writes = count_writes(bench)
        begin = asyncio.get_running_loop().time()
        for second in range(1200):
            assert await put(bench, 1, body(1, (0, 1000 + second))) == OK
            assert bench.station.limits == {1: 1000 + second}  # in force at once all the same
            (stored,) = (await on_disk(bench)).values()
            age_s = 1000 + second - stored.periods[0].limit_deci // 10
            assert age_s <= (0 if second < BUDGET - 5 else 60), second
            await asyncio.sleep(1)
        assert len(writes) <= BUDGET + 1200 * NS_PER_S // REFILL_NS
        assert sum(moment >= begin + 600 for moment in writes) <= 11
        at_cut = (await on_disk(bench))[1]
        await bench.restart()  # the power goes
        (profile,) = bench.client.charging.profiles()
        assert profile == at_cut
        await asyncio.sleep(5)
        assert await put(bench, 1, body(1, (0, 7))) == OK  # it is over: written at once again
        assert (await on_disk(bench))[1].periods[0].limit_deci == 70

    under_virtual_time(main)


def test_the_budget_comes_back_and_what_waits_is_written_by_itself() -> None:
    async def main() -> None:
        bench = await Bench().start()
        writes = count_writes(bench)
        for limit in range(BUDGET + 10):
            assert await put(bench, 1, body(1, (0, 1000 + limit))) == OK
        assert len(writes) == BUDGET
        assert (await on_disk(bench))[1].periods[0].limit_deci == 10 * (1000 + BUDGET - 1)
        await asyncio.sleep(REFILL_NS / NS_PER_S + 1)
        assert len(writes) == BUDGET + 1
        assert (await on_disk(bench))[1].periods[0].limit_deci == 10 * (1000 + BUDGET + 9)
        await asyncio.sleep(3600)
        assert len(writes) == BUDGET + 1  # nothing is written for nothing
        for limit in range(BUDGET):
            assert await put(bench, 1, body(1, (0, 5000 + limit))) == OK
        assert len(writes) == 2 * BUDGET + 1

    under_virtual_time(main)


def test_a_cap_of_the_station_that_goes_up_and_down_every_second_is_never_looser_on_the_disk(tmp_path: Path) -> None:
    """The law: at no moment would a power cut give more than the CSMS was told; and the flash is spared all the same."""

    async def main() -> None:
        bench = await Bench(database=tmp_path / "a.db").start()
        writes = count_writes(bench)
        rng = Random(5)
        kinds: list[dict[str, Any]] = [{"chargingProfileKind": "Relative"}, {"chargingProfileKind": "Absolute", "startSchedule": START_TEXT}]
        for second in range(900):
            changes = {"chargingProfilePurpose": "ChargePointMaxProfile", **kinds[second % 2]}
            assert await put(bench, 0, body(1, (0, rng.randrange(5_000, 90_000)), **changes)) == OK
            stored, now = (await on_disk(bench)).values(), bench.clock.wall()
            assert station_w(stored, now) <= station_w(bench.client.charging.profiles(), now), second
            if second == 700:
                assert await bench.csms.call("ClearChargingProfile", {}) == {"status": "Accepted"}
            await asyncio.sleep(1)
        assert len(writes) < 180

    under_virtual_time(main)


def test_a_clean_stop_and_a_reset_lose_nothing_and_a_full_disk_is_tried_again(tmp_path: Path) -> None:
    async def main() -> None:
        bench = await Bench(database=tmp_path / "a.db").start()
        for limit in range(BUDGET + 2):
            assert await put(bench, 1, body(1, (0, 1000 + limit))) == OK
        assert (await on_disk(bench))[1].periods[0].limit_deci < 10 * (1000 + BUDGET + 1)
        assert await bench.csms.call("Reset", {"type": "Hard"}) == {"status": "Accepted"}
        assert (await on_disk(bench))[1].periods[0].limit_deci == 10 * (1000 + BUDGET + 1)
        assert await put(bench, 2, body(2, (0, 9))) == OK
        assert 2 not in await on_disk(bench)
        await bench.client.charging.save()  # what Station.close does
        assert 2 in await on_disk(bench)

        assert await put(bench, 2, body(2, (0, 10))) == OK
        real, full = bench.store.put_many, [True]

        async def put_many(namespace: str, values: Any) -> None:
            if full[0] and namespace == NAMESPACE:
                raise StorageError("disk full")
            await real(namespace, values)

        bench.store.put_many = put_many  # type: ignore[method-assign]
        await bench.client.charging.save()  # says so, and ends
        await asyncio.sleep(600)
        assert (await on_disk(bench))[2].periods[0].limit_deci == 90
        full[0] = False
        await asyncio.sleep(125)
        assert (await on_disk(bench))[2].periods[0].limit_deci == 100

    under_virtual_time(main)


def test_a_cap_counts_as_tighter_also_where_only_the_date_hides_it_or_it_comes_after_the_last_cycle() -> None:
    def cap(number: int, *periods: tuple[int, float], **changes: Any) -> ChargingProfile:
        made = {"stackLevel": number, "chargingProfilePurpose": "ChargePointMaxProfile", **changes}
        return parse_profile(body(number, *periods, **made), 0, START)

    old, hidden = cap(1, (0, 2000)), cap(0, (0, 500))
    assert not tighter({1: old}, {1: cap(1, (0, 3000))}, START)
    assert tighter({1: old}, {0: hidden, 1: cap(1, (0, 3000))}, START)  # after a cut without a clock the smallest holds
    daily = cap(
        1, (0, 10), (30_000, 20), chargingProfileKind="Recurring", recurrencyKind="Daily", startSchedule=START_TEXT,
    )
    late = timestamp(START + 12 * 86_400 * NS_PER_S)
    assert tighter({1: daily}, {1: daily, 2: cap(2, (0, 15), chargingProfileKind="Absolute", startSchedule=late)}, START)
    assert not tighter({1: daily}, {1: daily, 2: cap(2, (0, 25), chargingProfileKind="Absolute", startSchedule=late)}, START)


_PERIODS = st.lists(st.tuples(st.sampled_from([0, 60, 3600, 50_000]), st.sampled_from([0, 10, 20])), min_size=1, max_size=3)


@st.composite
def _caps(draw: st.DrawFn) -> dict[int, ChargingProfile]:
    found = {}
    for number in range(draw(st.integers(0, 3))):
        periods = dict(draw(_PERIODS))
        changes: dict[str, Any] = {"chargingProfileKind": draw(st.sampled_from(["Relative", "Absolute", "Recurring"]))}
        changes["startSchedule"] = timestamp(START + draw(st.sampled_from([0, 7200, 90_000])) * NS_PER_S)
        changes["recurrencyKind"] = draw(st.sampled_from(["Daily", "Weekly"]))
        if draw(st.booleans()):
            changes["duration"] = draw(st.sampled_from([60, 7200, 90_000]))
        if draw(st.booleans()):
            changes["validTo"] = timestamp(START + draw(st.sampled_from([3600, 86_400, 2_000_000])) * NS_PER_S)
        text = body(
            number, *sorted(periods.items()), stackLevel=number, unit=draw(st.sampled_from(["A", "W"])),
            chargingProfilePurpose="ChargePointMaxProfile", **changes,
        )
        found[number] = parse_profile(text, 0, START)
    return found


@settings(max_examples=examples(100))
@given(_caps(), _caps(), st.data())
def test_what_does_not_count_as_tighter_never_allows_less(
    stored: dict[int, ChargingProfile], wanted: dict[int, ChargingProfile], data: st.DataObject
) -> None:
    """Against a look at every boundary and some instants between, over two weeks and more."""
    assert not tighter(stored, stored, START)
    assert not tighter(stored, {}, START) or stored == {}
    if tighter(stored, wanted, START):
        return
    times = {START + s * NS_PER_S for s in range(0, 16 * 86_400, 3600)}
    times |= {START + data.draw(st.integers(0, 40 * 86_400)) * NS_PER_S for _ in range(20)}
    for at in times:
        assert station_w(wanted.values(), at) >= station_w(stored.values(), at), (at - START) // NS_PER_S
