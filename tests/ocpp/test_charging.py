"""SmartCharging over the wire: every request and answer passes the schemas, every cap acts when it says."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from evse.domain.session import SessionPhase, StopReason
from evse.ocpp.charging import Refused, parse_profile
from evse.ocpp.messages import LATEST, check_result, timestamp
from evse.planner.composite import ChargingProfile, limit_w, next_change
from evse.units import NS_PER_S
from tests._support.examples import examples
from tests.ocpp.support import Bench, under_virtual_time

START_TEXT = "2026-01-01T00:00:00Z"
OK, NO = {"status": "Accepted"}, {"status": "Rejected"}


def body(number: int = 1, *periods: tuple[int, float], unit: str = "W", **changes: Any) -> dict[str, Any]:
    """A csChargingProfiles object; ``changes`` go to the profile, or to the schedule if their name belongs there."""
    schedule: dict[str, Any] = {
        "chargingRateUnit": unit,
        "chargingSchedulePeriod": [{"startPeriod": s, "limit": limit} for s, limit in periods or ((0, 20_000),)],
    }
    profile: dict[str, Any] = {
        "chargingProfileId": number, "stackLevel": 0, "chargingProfilePurpose": "TxDefaultProfile",
        "chargingProfileKind": "Relative", "chargingSchedule": schedule,
    }
    for name, value in changes.items():
        (schedule if name in ("duration", "startSchedule", "minChargingRate") else profile)[name] = value
    return profile


async def put(bench: Bench, connector: int, profile: dict[str, Any]) -> dict[str, Any]:
    return await bench.csms.call("SetChargingProfile", {"connectorId": connector, "csChargingProfiles": profile})


async def ask(bench: Bench, connector: int, duration: int, **more: Any) -> Any:
    answer = await bench.csms.call("GetCompositeSchedule", {"connectorId": connector, "duration": duration, **more})
    assert check_result("GetCompositeSchedule", answer) is None
    return answer


def rows(answer: Any) -> list[tuple[int, float]]:
    return [(row["startPeriod"], row["limit"]) for row in answer["chargingSchedule"]["chargingSchedulePeriod"]]


def test_a_profile_limits_at_once_and_each_period_at_its_second() -> None:
    async def main() -> None:
        bench = await Bench().start()
        now = bench.clock.wall()
        profile = body(
            1, (0, 90_000), (10, 40_000), (30, 0), chargingProfilePurpose="ChargePointMaxProfile",
            chargingProfileKind="Absolute", startSchedule=timestamp(now), duration=60,
        )
        assert await put(bench, 0, profile) == OK
        assert bench.station.limits == {0: 90_000}
        await asyncio.sleep(70)
        assert [(at - now, limits) for at, limits in bench.station.limit_changes] == [
            (0, {0: 90_000}), (10 * NS_PER_S, {0: 40_000}), (30 * NS_PER_S, {0: 0}), (60 * NS_PER_S, {}),
        ]

    under_virtual_time(main)


def test_amperes_count_per_phase_at_230_v() -> None:
    async def main() -> None:
        bench = await Bench().start()
        profile = body(1, unit="A")
        profile["chargingSchedule"]["chargingSchedulePeriod"] = [{"startPeriod": 0, "limit": 16.3, "numberPhases": 1}]
        assert await put(bench, 1, profile) == OK
        assert bench.station.limits == {1: 3_749} and bench.station.limits_ma == {1: 16_300}
        assert await put(bench, 2, body(2, (0, 16.3), unit="A", minChargingRate=6.1)) == OK
        assert bench.station.limits == {1: 3_749, 2: 11_247} and bench.station.limits_ma == {1: 16_300, 2: 16_300}
        assert await put(bench, 2, body(2, (0, 11_247))) == OK  # the same power, set as power
        assert bench.station.limits_ma == {1: 16_300, 2: None}
        assert await put(bench, 2, body(2, (0, 16.3), unit="A", minChargingRate=6.1)) == OK
        answer = await ask(bench, 2, 60)
        schedule = answer["chargingSchedule"]
        assert schedule["chargingRateUnit"] == "A"
        assert schedule["chargingSchedulePeriod"] == [{"startPeriod": 0, "limit": 16.3, "numberPhases": 3}]
        assert schedule["minChargingRate"] == 6.1
        assert rows(await ask(bench, 2, 60, chargingRateUnit="W")) == [(0, 11_247)]

    under_virtual_time(main)


def test_tx_profile_needs_its_transaction_and_ends_with_it() -> None:
    async def main() -> None:
        bench = await Bench().start()
        tx = body(7, (0, 30_000), chargingProfilePurpose="TxProfile")
        assert await put(bench, 1, tx) == NO
        await put(bench, 0, body(1, (0, 50_000)))
        await bench.begin(1)
        await asyncio.sleep(1)
        assert await put(bench, 0, tx) == NO
        assert await put(bench, 2, tx) == NO
        assert await put(bench, 1, {**tx, "transactionId": 99}) == NO
        assert await put(bench, 1, {**tx, "transactionId": 1}) == OK
        assert bench.station.limits == {1: 30_000, 2: 50_000}
        await bench.end(1)
        assert bench.station.limits == {1: 50_000, 2: 50_000}
        assert [p.profile_id for p in bench.client.charging.profiles()] == [1]

    under_virtual_time(main)


def test_relative_periods_count_from_the_start_of_each_transaction() -> None:
    async def main() -> None:
        bench = await Bench().start()
        await put(bench, 1, body(1, (0, 50_000), (20, 11_000)))
        await asyncio.sleep(100)
        assert bench.station.limits == {1: 50_000}  # what a transaction that begins now would get
        await bench.begin(1)
        begun = bench.clock.wall()
        await asyncio.sleep(40)
        assert bench.station.limit_changes[-1] == (begun + 20 * NS_PER_S, {1: 11_000})

    under_virtual_time(main)


def test_remote_start_brings_a_profile_for_its_own_transaction_only() -> None:
    async def main() -> None:
        bench = await Bench().start()
        call = bench.csms.call
        tx = body(5, (0, 22_000), chargingProfilePurpose="TxProfile")
        request = {"idTag": "A", "connectorId": 1, "chargingProfile": tx}
        assert await call("RemoteStartTransaction", {**request, "chargingProfile": body(5)}) == NO
        assert await call("RemoteStartTransaction", {**request, "chargingProfile": {**tx, "transactionId": 4}}) == NO
        assert bench.station.done == []
        assert await call("RemoteStartTransaction", request) == OK
        await bench.begin(2, id_token="A")
        assert bench.station.limits == {}
        await bench.begin(1, id_token="a")
        assert bench.station.limits == {1: 22_000}
        await bench.end(1)
        assert bench.station.limits == {}
        bench.station.accepts = False
        assert await call("RemoteStartTransaction", {**request, "idTag": "C"}) == NO
        await bench.leave(1)
        await bench.begin(1, id_token="C")
        assert bench.station.limits == {}

    under_virtual_time(main)


def test_profile_of_a_remote_start_that_never_came_is_forgotten() -> None:
    async def main() -> None:
        bench = await Bench(connection_timeout_s=30).start()
        tx = body(5, chargingProfilePurpose="TxProfile")
        await bench.csms.call("RemoteStartTransaction", {"idTag": "A", "chargingProfile": tx})
        await asyncio.sleep(91)
        await bench.begin(1, id_token="A")
        assert bench.station.limits == {}

    under_virtual_time(main)


def test_a_profile_that_waits_for_its_remote_start_can_be_cleared() -> None:
    async def main() -> None:
        bench = await Bench().start()
        tx = body(5, chargingProfilePurpose="TxProfile")
        await bench.csms.call("RemoteStartTransaction", {"idTag": "A", "chargingProfile": tx})
        assert await bench.csms.call("ClearChargingProfile", {"id": 5}) == OK
        assert await bench.csms.call("ClearChargingProfile", {"id": 5}) == {"status": "Unknown"}
        await bench.begin(1, id_token="A")
        assert bench.station.limits == {}

    under_virtual_time(main)


def test_the_end_of_time_is_a_validity_like_any_other(tmp_path: Path) -> None:
    async def main() -> None:
        bench = await Bench(database=tmp_path / "x.db").start()
        assert await put(bench, 0, body(validFrom="0001-01-01T00:00:00Z", validTo="9999-12-31T23:59:59Z")) == OK
        await bench.kill()
        await bench.start(0)
        assert bench.station.limits == {1: 20_000, 2: 20_000}

    under_virtual_time(main)


_numbers = st.one_of(st.integers(-5, 200), st.integers(), st.floats(allow_nan=False, allow_infinity=False))
_periods = st.lists(st.fixed_dictionaries(
    {"startPeriod": st.one_of(st.integers(-1, 9), st.integers()), "limit": _numbers},
    optional={"numberPhases": st.one_of(st.integers(0, 4), st.integers())},
), max_size=4)
_times = st.one_of(st.sampled_from([START_TEXT, "9999-12-31T23:59:59Z", "0001-01-01T00:00:00+14:00"]), st.text())
_bodies = st.fixed_dictionaries(
    {
        "chargingProfileId": st.integers(), "stackLevel": st.one_of(st.integers(0, 3), st.integers()),
        "chargingProfilePurpose": st.sampled_from(["ChargePointMaxProfile", "TxDefaultProfile", "TxProfile"]),
        "chargingProfileKind": st.sampled_from(["Absolute", "Recurring", "Relative"]),
        "chargingSchedule": st.fixed_dictionaries(
            {"chargingRateUnit": st.sampled_from("AW"), "chargingSchedulePeriod": _periods},
            optional={"duration": st.integers(), "startSchedule": _times, "minChargingRate": _numbers},
        ),
    },
    optional={"validFrom": _times, "validTo": _times, "recurrencyKind": st.sampled_from(["Daily", "Weekly"])},
)


@settings(max_examples=examples(300), deadline=None)
@given(_bodies, st.integers(-LATEST, LATEST))
def test_any_profile_is_refused_or_can_be_stored_and_asked_at_any_time(profile: dict[str, Any], at: int) -> None:
    try:
        parsed = parse_profile(profile, 0, 0)
    except Refused:
        return
    assert msgspec.json.decode(msgspec.json.encode(parsed), type=ChargingProfile) == parsed
    power_w = limit_w(parsed, at, 0)
    assert power_w is None or power_w >= 0
    assert next_change(parsed, at, 0) > at


@pytest.mark.parametrize(("connector", "profile"), [
    (9, body()),
    (1, body(chargingProfilePurpose="ChargePointMaxProfile")),
    (0, body(stackLevel=21)),
    (0, body(stackLevel=-1)),
    (0, body(1, (0, -1.0))),
    (0, body(1, (0, 1.0), (0, 2.0))),
    (0, body(1, (5, 1.0), (3, 2.0))),
    (0, body(1, *((n, 1.0) for n in range(101)))),
    (0, body(chargingProfileKind="Recurring", startSchedule=START_TEXT)),
    (0, body(chargingProfileKind="Recurring", recurrencyKind="Daily")),
    (0, body(duration=-5)),
    (0, body(duration=0)),
    (0, body(validFrom="2026-02-01T00:00:00Z", validTo=START_TEXT)),
    (0, body(validTo="tomorrow")),
])
def test_what_makes_no_sense_is_rejected_and_changes_nothing(connector: int, profile: dict[str, Any]) -> None:
    async def main() -> None:
        bench = await Bench().start()
        assert await put(bench, connector, profile) == NO
        assert bench.client.charging.profiles() == []
        assert bench.station.limit_changes == []

    under_virtual_time(main)


def test_same_number_or_same_place_in_the_stack_replaces() -> None:
    async def main() -> None:
        bench = await Bench().start()
        await put(bench, 0, body(1, (0, 10_000)))
        await put(bench, 0, body(2, (0, 20_000)))
        assert bench.station.limits == {1: 20_000, 2: 20_000}
        await put(bench, 1, body(2, (0, 30_000), stackLevel=3))
        assert bench.station.limits == {1: 30_000}
        assert len(bench.client.charging.profiles()) == 1

    under_virtual_time(main)


def test_number_of_profiles_is_limited_and_outlived_ones_make_room() -> None:
    async def main() -> None:
        bench = await Bench().start()
        soon = timestamp(bench.clock.wall() + 60 * NS_PER_S)
        for n in range(20):
            assert await put(bench, 0, body(n, stackLevel=n, validTo=soon)) == OK
        assert await put(bench, 1, body(20)) == NO
        assert await put(bench, 0, body(3, (0, 1_000), stackLevel=3)) == OK  # replaces
        await asyncio.sleep(61)
        assert await put(bench, 1, body(20)) == OK
        assert [p.profile_id for p in bench.client.charging.profiles()] == [3, 20]

    under_virtual_time(main)


@pytest.mark.parametrize(("criteria", "left"), [
    ({}, []),
    ({"id": 2}, [1, 3, 4]),
    ({"connectorId": 0}, [3, 4]),
    ({"connectorId": 1}, [1, 2, 4]),
    ({"stackLevel": 1}, [1, 3]),
    ({"chargingProfilePurpose": "ChargePointMaxProfile"}, [2, 3, 4]),
    ({"chargingProfilePurpose": "TxDefaultProfile", "stackLevel": 0}, [1, 2, 4]),
    ({"connectorId": 2, "stackLevel": 1}, [1, 2, 3]),
    ({"id": 9}, None),
    ({"id": 1, "connectorId": 2}, None),
])
def test_clear_by_any_criterion_is_durable(tmp_path: Path, criteria: dict[str, Any], left: list[int] | None) -> None:
    async def main() -> None:
        bench = await Bench(database=tmp_path / "x.db").start()
        await put(bench, 0, body(1, chargingProfilePurpose="ChargePointMaxProfile"))
        await put(bench, 0, body(2, stackLevel=1))
        await put(bench, 1, body(3))
        await put(bench, 2, body(4, stackLevel=1))
        answer = await bench.csms.call("ClearChargingProfile", criteria)
        assert answer == {"status": "Unknown" if left is None else "Accepted"}
        expected = [1, 2, 3, 4] if left is None else left
        assert [p.profile_id for p in bench.client.charging.profiles()] == expected
        await bench.kill()
        bench = await Bench(database=tmp_path / "x.db").start(0)
        assert [p.profile_id for p in bench.client.charging.profiles()] == expected

    under_virtual_time(main)


def test_limits_stand_before_the_link_does_after_a_restart(tmp_path: Path) -> None:
    async def main() -> None:
        bench = await Bench(database=tmp_path / "x.db").start()
        await put(bench, 0, body(1, (0, 60_000), chargingProfilePurpose="ChargePointMaxProfile"))
        await put(bench, 2, body(2, (0, 9_000)))
        bench.csms.down()
        await bench.kill()
        again = Bench(database=tmp_path / "x.db")
        again.csms.down()
        await again.start(0)
        assert again.station.limits == {0: 60_000, 2: 9_000}

    under_virtual_time(main)


def test_composite_schedule() -> None:
    async def main() -> None:
        bench = await Bench().start()
        assert rows(await ask(bench, 1, 60)) == [(0, 150_000)]  # nothing installed: the rating
        assert rows(await ask(bench, 0, 60)) == [(0, 200_000)]
        await put(bench, 0, body(1, (0, 60_000), (100, 8_000), chargingProfilePurpose="ChargePointMaxProfile"))
        await put(bench, 1, body(2, (0, 40_000), (50, 90_000)))
        answer = await ask(bench, 1, 200)
        assert rows(answer) == [(0, 40_000), (50, 60_000), (100, 8_000)]
        assert answer["scheduleStart"] == answer["chargingSchedule"]["startSchedule"]
        assert answer["chargingSchedule"]["duration"] == 200
        assert rows(await ask(bench, 0, 200)) == [(0, 60_000), (100, 8_000)]
        assert rows(await ask(bench, 1, 0)) == [(0, 40_000)]
        assert rows(await ask(bench, 1, 50)) == [(0, 40_000)]
        assert await ask(bench, 5, 60) == NO
        assert await ask(bench, 1, -1) == NO
        assert (await ask(bench, 1, 10**9))["chargingSchedule"]["duration"] == 7 * 86_400

    under_virtual_time(main)


def test_a_long_composite_schedule_is_bounded_and_lets_others_run() -> None:
    async def main() -> None:
        bench = await Bench().start()
        start = timestamp(bench.clock.wall() - 3600 * NS_PER_S)
        for level in range(20):
            periods = tuple((n * 7 + level, float(1000 + (n * 13 + level) % 900)) for n in range(100))
            profile = body(
                level, *periods, stackLevel=level, chargingProfileKind="Recurring", recurrencyKind="Daily",
                startSchedule=start, duration=700,
            )
            assert await put(bench, 1, profile) == OK
        turns = 0

        async def count() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        counting = asyncio.create_task(count())
        answer = await ask(bench, 1, 7 * 86_400)
        counting.cancel()
        assert turns > 30
        assert len(rows(answer)) <= 1000
        assert 0 < answer["chargingSchedule"]["duration"] <= 7 * 86_400

    under_virtual_time(main)


def test_profiles_are_said_to_be_supported_and_bounded_by_the_keys() -> None:
    async def main() -> None:
        bench = await Bench().start()
        infos = bench.client.keys()
        values = {info.key: info.value for info in infos}
        assert "SmartCharging" in values["SupportedFeatureProfiles"].split(",")
        assert values["ChargingScheduleAllowedChargingRateUnit"] == "Current,Power"
        for n in range(int(values["MaxChargingProfilesInstalled"])):
            assert await put(bench, 0, body(n, stackLevel=int(values["ChargeProfileMaxStackLevel"]) - n)) == OK
        most = int(values["ChargingScheduleMaxPeriods"])
        assert await put(bench, 0, body(0, *((n, 1.0) for n in range(most)), stackLevel=20)) == OK

    under_virtual_time(main)


def test_a_clock_that_is_set_moves_to_the_period_of_the_new_time() -> None:
    async def main() -> None:
        bench = await Bench().start()
        now = bench.clock.wall()
        profile = body(
            1, (0, 50_000), (3600, 5_000), chargingProfileKind="Absolute", startSchedule=timestamp(now),
        )
        await put(bench, 1, profile)
        bench.clock.jump_wall(now + 3700 * NS_PER_S)
        await asyncio.sleep(10.1)
        assert bench.station.limits == {1: 5_000}

    under_virtual_time(main)


def test_without_a_date_the_smallest_limit_holds_until_the_clock_is_set() -> None:
    async def main() -> None:
        bench = await Bench().start()
        now = bench.clock.wall()
        dated = {"chargingProfileKind": "Absolute", "startSchedule": timestamp(now)}
        top = body(1, (0, 50_000), (3600, 5_000), chargingProfilePurpose="ChargePointMaxProfile", **dated)
        assert await put(bench, 0, top) == OK
        assert await put(bench, 1, body(2, (0, 40_000), (3600, 30_000))) == OK  # counts from the transaction
        assert await put(bench, 2, body(3, (0, 40_000), (3600, 30_000), stackLevel=1, **dated)) == OK
        assert await put(bench, 2, body(4, (0, 20_000))) == OK
        assert bench.station.limits == {0: 50_000, 1: 40_000, 2: 40_000}
        bench.clock.valid = False
        bench.clock.jump_wall(0)
        await asyncio.sleep(10.1)
        assert bench.station.limits == {0: 5_000, 1: 40_000, 2: 20_000}
        bench.clock.valid = True
        bench.clock.jump_wall(now + 60 * NS_PER_S)
        await asyncio.sleep(10.1)
        assert bench.station.limits == {0: 50_000, 1: 40_000, 2: 40_000}

    under_virtual_time(main)


def test_a_session_that_ended_unseen_takes_its_profile_along() -> None:
    """Transaction after transaction between two looks: the profile of the first does not limit the second."""

    async def main() -> None:
        bench = await Bench().start()
        first = await bench.begin(1)
        await put(bench, 1, body(1, (0, 7_000), chargingProfilePurpose="TxProfile"))
        assert bench.station.limits == {1: 7_000}
        second = replace(first, session_id="s9")
        ended = replace(first, ended_at=bench.clock.wall(), stop_reason=StopReason.LOCAL)
        assert ended.session_id != second.session_id
        bench.station.change(1, session=second, phase=SessionPhase.CHARGING)
        bench.look()
        assert bench.station.limits == {}

    under_virtual_time(main)
