"""Who keeps the calendar: the CSMS, a time daemon, nobody; and what happens when it moves."""

from __future__ import annotations

import asyncio
import itertools
from pathlib import Path
from typing import Any

import pytest

from evse.lab.vloop import VirtualClock, VirtualLoop
from evse.ocpp.messages import timestamp
from evse.ocpp.time_source import JUMP_NS, VALID_FROM, ClockJump
from evse.runtime.clock import RealClock, kernel_state, synchronised
from evse.units import NS_PER_S
from tests.ocpp.support import Bench, under_virtual_time

TRUE = 1_780_000_000 * NS_PER_S
"""What the CSMS's clock says when the station starts: in May 2026."""


class Calendar(VirtualClock):
    """A clock that can be moved as the real one, with a time daemon that a test switches."""

    def __init__(self, loop: VirtualLoop, wall_at_start: int) -> None:
        super().__init__(loop, wall_at_start)
        self.daemon = False
        self.own = 0
        self.moves: list[int] = []

    def wall(self) -> int:
        return super().wall() + self.own

    def wall_valid(self) -> bool:
        return self.wall() >= VALID_FROM

    def synchronised(self) -> bool:
        return self.daemon

    def move(self, by: int) -> str:
        self.own += by
        self.moves.append(by)
        return "own"

    def follow_system(self) -> int:
        moved, self.own = -self.own, 0
        return moved


def bench_at(offset_s: float = 0, *, wall: int | None = None, **config: Any) -> tuple[Bench, Calendar, list[ClockJump]]:
    """A bench whose CSMS has the true time and whose station is off by ``offset_s``, or begins at ``wall``."""
    bench = Bench(**config)
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualLoop)
    bench.csms._clock = VirtualClock(loop, TRUE)
    ours = Calendar(loop, TRUE + round(offset_s * NS_PER_S) if wall is None else wall)
    bench.clock, bench.clock_port = ours, ours
    return bench, ours, []


async def start(bench: Bench, jumps: list[ClockJump]) -> None:
    await bench.start(0)
    bench.client.jumped = jumps.append
    await asyncio.sleep(1)


def truth(bench: Bench) -> int:
    return int(bench.csms._clock.wall())


def test_the_first_valid_time_comes_with_the_boot_and_before_anything_else() -> None:
    async def main() -> None:
        bench, ours, jumps = bench_at(wall=5 * NS_PER_S)
        await bench.start(0)
        arrived: list[tuple[int, int]] = []

        async def late(by: int) -> None:
            arrived.append((by, len(bench.csms.received)))

        bench.client.time.arrived.append(late)
        bench.client.jumped = jumps.append
        assert bench.client.time.source == ""
        await asyncio.sleep(1)
        assert abs(ours.wall() - truth(bench)) < NS_PER_S // 10
        assert arrived == [(ours.moves[0], 1)]  # only the BootNotification was sent before
        assert [(jump.by, jump.source, jump.first) for jump in jumps] == [(ours.moves[0], "csms", True)]
        assert bench.client.time.source == "csms"
        assert [kind for kind, _ in bench.security] == ["SettingSystemTime"]
        statuses = bench.csms.calls("StatusNotification")
        assert all(row["timestamp"] >= timestamp(TRUE) for row in statuses)

    under_virtual_time(main)


@pytest.mark.parametrize("offset_s", [0.4, -1.9, 2.0])
def test_network_and_rounding_move_nothing(offset_s: float) -> None:
    async def main() -> None:
        bench, ours, jumps = bench_at(offset_s)
        bench.csms.heartbeat_s = 10
        await start(bench, jumps)
        await asyncio.sleep(3600)
        assert (ours.moves, jumps, bench.security) == ([], [], [])
        assert bench.client.time.source == "csms"

    under_virtual_time(main)


@pytest.mark.parametrize("offset_s", [-40, 3, 59])
def test_a_small_difference_is_set_at_once_and_is_no_event(offset_s: int) -> None:
    async def main() -> None:
        bench, ours, jumps = bench_at(offset_s)
        await start(bench, jumps)
        assert len(ours.moves) == 1
        assert abs(ours.wall() - truth(bench)) < NS_PER_S // 10
        assert (jumps, bench.security) == ([], [])

    under_virtual_time(main)


@pytest.mark.parametrize("offset_s", [-86_400, 61, 3600])
def test_a_valid_calendar_jumps_only_when_a_second_answer_says_the_same(offset_s: int) -> None:
    async def main() -> None:
        bench, ours, jumps = bench_at(offset_s)
        await start(bench, jumps)
        assert len(bench.csms.calls("Heartbeat")) == 1  # asked again at once
        assert len(ours.moves) == 1
        assert abs(ours.wall() - truth(bench)) < NS_PER_S // 10
        assert [(jump.source, jump.first) for jump in jumps] == [("csms", False)]
        assert abs(jumps[0].by + offset_s * NS_PER_S) < NS_PER_S
        assert [kind for kind, _ in bench.security] == ["SettingSystemTime"]
        assert " to " in bench.security[0][1] and "by the CSMS" in bench.security[0][1]

    under_virtual_time(main)


def test_one_wrong_answer_moves_nothing() -> None:
    async def main() -> None:
        bench, ours, jumps = bench_at(0)
        wrong = {"status": "Accepted", "interval": 60, "currentTime": timestamp(TRUE + 5 * 86_400 * NS_PER_S)}
        bench.csms.answer("BootNotification", payload=wrong, count=1)
        await start(bench, jumps)
        await asyncio.sleep(300)
        assert (ours.moves, jumps) == ([], [])
        assert bench.client.time.source == "csms"

    under_virtual_time(main)


def test_a_csms_whose_clock_is_random_does_not_cause_a_flood() -> None:
    async def main() -> None:
        bench, ours, jumps = bench_at(0)
        bench.csms.heartbeat_s = 60
        await start(bench, jumps)
        numbers = itertools.count()

        def odd(charge_point: str, payload: Any) -> dict[str, str]:
            return {"currentTime": timestamp(TRUE + (5 + next(numbers) * 7919 % 1000) * 3600 * NS_PER_S)}

        bench.csms._heartbeat = odd  # type: ignore[method-assign]
        await asyncio.sleep(3000)
        assert len(bench.csms.calls("Heartbeat")) >= 50
        assert len(bench.csms.calls("Heartbeat")) < 110
        assert ours.moves == []

    under_virtual_time(main)


@pytest.mark.parametrize("text", ["1970-01-01T00:00:00Z", "2199-01-01T00:00:00Z", "0001-01-01T00:00:00Z"])
def test_an_impossible_time_is_refused_and_told(text: str) -> None:
    async def main() -> None:
        bench, ours, jumps = bench_at(wall=0)
        bench.csms.answer("BootNotification", payload={"status": "Accepted", "interval": 60, "currentTime": text})
        bench.csms.answer("Heartbeat", payload={"currentTime": text})
        await start(bench, jumps)
        await asyncio.sleep(200)
        assert ours.moves == []
        assert "impossible time" in bench.client.summary().last_error
        assert bench.client.summary().time_source == ""

    under_virtual_time(main)


def test_use_as_time_source_false_is_live() -> None:
    async def main() -> None:
        bench, ours, jumps = bench_at(50, use_as_time_source=False)
        bench.csms.heartbeat_s = 10
        await start(bench, jumps)
        await asyncio.sleep(100)
        assert ours.moves == []
        assert abs(bench.client.summary().clock_offset_ms or 0) >= 49_000  # told all the same
        assert await bench.client.set_key("useAsTimeSource", "true") == "Accepted"
        await asyncio.sleep(10.1)
        assert len(ours.moves) == 1

    under_virtual_time(main)


def test_a_time_daemon_wins_and_there_is_no_fight() -> None:
    """Two sources that set one clock in turns would make it jump for ever (Tinkerforge/esp32-firmware#317)."""

    async def main() -> None:
        bench, ours, jumps = bench_at(600)
        ours.daemon = True
        bench.csms.heartbeat_s = 10
        await start(bench, jumps)
        await asyncio.sleep(1000)
        assert (ours.moves, jumps) == ([], [])
        status = bench.client.summary()
        assert status.time_source == "ntp"
        assert status.clock_offset_ms is not None and abs(status.clock_offset_ms + 600_000) < 100

    under_virtual_time(main)


def test_a_time_daemon_that_comes_later_takes_over_from_the_offset() -> None:
    async def main() -> None:
        bench, ours, jumps = bench_at(wall=100 * NS_PER_S)
        await start(bench, jumps)
        assert jumps.pop().first
        ours.jump_wall(truth(bench))  # NTP has set the system clock: with our offset on top it would be wrong
        ours.daemon = True
        await asyncio.sleep(2)
        assert ours.own == 0
        assert ours.wall() == truth(bench)
        assert abs(sum(jump.by for jump in jumps)) <= JUMP_NS  # nothing is left of the overlap
        assert bench.client.time.source == "ntp"
        await asyncio.sleep(1000)
        assert ours.wall() == truth(bench)

    under_virtual_time(main)


def test_the_first_valid_time_may_come_from_the_system() -> None:
    async def main() -> None:
        bench, ours, jumps = bench_at(wall=0)
        bench.csms.down()
        await bench.start(0)
        bench.client.jumped = jumps.append
        arrived: list[int] = []

        async def late(by: int) -> None:
            arrived.append(by)

        bench.client.time.arrived.append(late)
        await asyncio.sleep(30)
        ours.jump_wall(truth(bench))
        await asyncio.sleep(2)
        assert len(arrived) == 1 and abs(arrived[0] - TRUE) < NS_PER_S
        assert [(jump.source, jump.first) for jump in jumps] == [("system", True)]

    under_virtual_time(main)


def test_a_calendar_that_somebody_sets_by_hand_is_an_event() -> None:
    async def main() -> None:
        bench, ours, jumps = bench_at(0)
        bench.csms.heartbeat_s = 86_400
        await start(bench, jumps)
        ours.jump_wall(truth(bench) - 2 * 3600 * NS_PER_S)
        await asyncio.sleep(2)
        assert [(jump.by, jump.source, jump.first) for jump in jumps] == [(-2 * 3600 * NS_PER_S, "system", False)]

    under_virtual_time(main)


def test_a_station_without_clock_port_only_tells_the_difference() -> None:
    async def main() -> None:
        bench, ours, jumps = bench_at(100)
        bench.clock_port = None
        await start(bench, jumps)
        assert ours.moves == []
        assert bench.client.summary().clock_offset_ms == pytest.approx(-100_000, abs=100)
        assert bench.client.summary().time_source == "system"

    under_virtual_time(main)


def test_the_delay_of_the_answer_is_taken_off() -> None:
    async def main() -> None:
        bench, ours, jumps = bench_at(wall=0)

        def half_way(charge_point: str, payload: Any) -> dict[str, Any]:
            return {"status": "Accepted", "interval": 300, "currentTime": timestamp(truth(bench) - 4 * NS_PER_S)}

        bench.csms._boot = half_way  # type: ignore[method-assign]
        bench.csms.answer("BootNotification", delay_ms=8000)  # 4 s there, 4 s back
        await start(bench, jumps)
        await asyncio.sleep(9)
        assert abs(ours.wall() - truth(bench)) < NS_PER_S // 10

    under_virtual_time(main)


def test_limits_follow_a_calendar_that_jumps_at_once() -> None:
    async def main() -> None:
        bench, ours, jumps = bench_at(0)
        await start(bench, jumps)
        profile = {
            "chargingProfileId": 1, "stackLevel": 0, "chargingProfilePurpose": "ChargePointMaxProfile",
            "chargingProfileKind": "Absolute", "validTo": timestamp(TRUE + 3600 * NS_PER_S),
            "chargingSchedule": {
                "chargingRateUnit": "W", "chargingSchedulePeriod": [{"startPeriod": 0, "limit": 11_000.0}],
            },
        }
        answer = await bench.csms.call("SetChargingProfile", {"connectorId": 0, "csChargingProfiles": profile})
        assert answer == {"status": "Accepted"} and bench.station.limits == {0: 11_000}
        ours.jump_wall(truth(bench) + 2 * 3600 * NS_PER_S)
        await asyncio.sleep(1.1)
        assert bench.station.limits == {}

    under_virtual_time(main)


# -- the machine's clock ------------------------------------------------------------------------------------------


def test_real_clock_keeps_an_offset_of_its_own_when_it_may_not_set_the_system() -> None:
    system = [1000 * NS_PER_S]

    def refuse(which: int, value: int) -> None:
        raise PermissionError(1, "Operation not permitted")

    for permitted in (False, True):
        clock = RealClock(set_system=permitted, daemon=lambda: False, system_ns=lambda: system[0], set_ns=refuse)
        assert not clock.wall_valid()
        assert clock.move(TRUE) == "own"
        assert clock.wall() == TRUE + 1000 * NS_PER_S and clock.wall_valid()
        assert clock.move(-5) == "own"
        assert clock.follow_system() == 5 - TRUE
        assert clock.wall() == 1000 * NS_PER_S


def test_real_clock_sets_the_system_when_told_and_permitted() -> None:
    system = [1000 * NS_PER_S]

    def put(which: int, value: int) -> None:
        system[0] = value

    clock = RealClock(set_system=True, daemon=lambda: False, system_ns=lambda: system[0], set_ns=put)
    assert clock.move(TRUE) == "system"
    assert system[0] == clock.wall() == TRUE + 1000 * NS_PER_S
    assert clock.follow_system() == 0


@pytest.mark.parametrize(("state", "expected"), [(0, True), (1, True), (4, True), (5, False)])
def test_the_kernel_says_whether_a_time_daemon_keeps_the_clock(tmp_path: Path, state: int, expected: bool) -> None:
    (tmp_path / "mark").touch()
    assert synchronised(lambda: state, tmp_path / "mark") is expected
    assert -1 <= kernel_state() <= 5


def test_where_the_kernel_may_not_be_asked_timesyncd_is(tmp_path: Path) -> None:
    assert not synchronised(lambda: -1, tmp_path / "mark")
    (tmp_path / "mark").touch()
    assert synchronised(lambda: -1, tmp_path / "mark")
