"""The queue by people: paced after an outage, sent again by hand, kept for the back end that it was made for, late time."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evse.domain.session import SessionRecord
from evse.lab.vloop import VirtualClock
from evse.ocpp.late_time import retime
from evse.ocpp.messages import parse_timestamp
from evse.ocpp.queue import BURST, Pace, backend_of
from evse.ocpp.time_source import VALID_FROM
from evse.units import NS_PER_S, WallNs
from tests._support.examples import examples
from tests.ocpp.support import Bench, under_virtual_time
from tests.ocpp.test_queue import rows


@pytest.mark.parametrize(("one", "other", "same"), [
    ("ws://csms.test/ocpp/A", "wss://CSMS.test/ocpp/A", True),  # the same over TLS
    ("ws://csms.test:80/ocpp/A", "wss://csms.test:443/ocpp/A/", True),
    ("ws://user:secret@csms.test/ocpp/A", "ws://csms.test/ocpp/A", True),
    ("ws://csms.test:9000/ocpp/A", "ws://csms.test:9001/ocpp/A", False),
    ("ws://csms.test/ocpp/A", "ws://other.test/ocpp/A", False),
    ("ws://csms.test/ocpp/A", "ws://csms.test/ocpp/B", False),
])
def test_what_tells_back_ends_apart(one: str, other: str, same: bool) -> None:
    assert (backend_of(one) == backend_of(other)) is same
    assert "secret" not in backend_of(one)


@settings(max_examples=examples(100), deadline=None)
@given(st.integers(1, 1000), st.lists(st.integers(0, 3 * NS_PER_S), min_size=1, max_size=60))
def test_pace_never_lets_more_through_than_a_burst_and_its_rate(per_s: int, gaps: list[int]) -> None:
    pace, now, sent = Pace(lambda: per_s), 0, []
    for gap in gaps:
        now += gap
        for _ in range(3):
            wait = pace.wait_ns(now)
            if wait:
                assert pace.wait_ns(now) == wait  # asking costs nothing
                now += wait
                assert pace.wait_ns(now) == 0
            sent.append(now)
    for index, first in enumerate(sent):
        within = [at for at in sent[index:] if at - first < NS_PER_S]
        assert len(within) <= max(BURST, per_s) + per_s + 1


def test_an_outage_drains_at_the_pace_that_is_configured() -> None:
    async def main() -> None:
        bench = await Bench(queue_per_s=5).start()
        bench.csms.down()
        await asyncio.sleep(1)
        for _ in range(40):
            await asyncio.sleep(1)
            await bench.begin()
            await bench.end()
            await bench.leave()
        await asyncio.sleep(0.1)
        times: list[int] = []
        bench.csms.up()
        before = bench.client.summary().queued
        assert before == 80
        while bench.client.summary().queued:
            await asyncio.sleep(0.1)
            left = bench.client.summary().queued
            times += [bench.clock.now()] * (before - left)
            before = left
        assert len(rows(bench)) == 40
        assert 14 * NS_PER_S <= times[-1] - times[0] <= 18 * NS_PER_S  # 80 messages, 10 at once, 5 a second
        assert max(len([t for t in times if first <= t < first + NS_PER_S]) for first in times) <= BURST + 6

    under_virtual_time(main)


def test_a_single_message_is_not_delayed_by_the_pace() -> None:
    async def main() -> None:
        bench = await Bench(queue_per_s=1).start()
        for _ in range(2):
            await asyncio.sleep(5)
            await bench.begin()
            await asyncio.sleep(0.1)
            assert bench.client.summary().queued == 0
            await asyncio.sleep(5)
            await bench.end()
            await asyncio.sleep(0.1)
            assert bench.client.summary().queued == 0
            await bench.leave()

    under_virtual_time(main)


def test_parked_messages_are_shown_and_one_session_or_all_are_sent_again() -> None:
    async def main() -> None:
        bench = await Bench().start()
        bench.csms.answer("StartTransaction", error="InternalError", count=9)
        await bench.client.set_key("TransactionMessageRetryInterval", "1")
        for _ in range(3):
            await asyncio.sleep(1)
            await bench.begin()
            await bench.end()
            await bench.leave()
        await asyncio.sleep(60)
        shown = await bench.client.queue.rows(100)
        assert [(entry.row.action, entry.state) for entry in shown] == [
            ("StartTransaction", "parked"), ("StopTransaction", "parked")] * 3
        assert "InternalError" in shown[0].row.parked
        assert await bench.client.queue.rows(2, shown[2].row.row_id) == shown[3:5]
        assert bench.client.summary().parked == 6
        assert await bench.client.queue.resend(shown[3].row.row_id) == 2  # both messages of the second session
        await asyncio.sleep(5)
        assert len(rows(bench)) == 1
        assert await bench.client.queue.resend() == 4
        await asyncio.sleep(5)
        assert len(rows(bench)) == 3
        assert (await bench.client.queue.rows(100), bench.client.summary().queued) == ([], 0)
        assert await bench.client.queue.resend(shown[0].row.row_id) == 0

    under_virtual_time(main)


async def _queue_of_another(tmp_path: Path) -> Bench:
    """A bench at a second back end whose store holds one transaction that the first has numbered, and one it never saw."""
    bench = await Bench(database=tmp_path / "a.db").start()
    await bench.begin()
    await asyncio.sleep(2)
    bench.csms.down()
    await asyncio.sleep(1)
    await bench.end()
    await bench.leave()
    await bench.begin()
    await bench.end()
    await bench.leave()
    await bench.kill()
    other = Bench(database=tmp_path / "a.db", url="ws://other.test/ocpp")
    other.sessions = 10
    return await other.start()


def test_another_back_end_gets_nothing_of_the_first_until_somebody_decides(tmp_path: Path) -> None:
    async def main() -> None:
        bench = await _queue_of_another(tmp_path)
        await asyncio.sleep(30)
        assert bench.csms.calls("StopTransaction") == []
        assert (bench.client.summary().foreign, len(await bench.client.queue.rows(10))) == (3, 3)
        assert {entry.state for entry in await bench.client.queue.rows(10)} == {"foreign"}
        await bench.begin()  # its own go past them
        await bench.end()
        await asyncio.sleep(2)
        assert len(rows(bench)) == 1
        await bench.restart()
        await asyncio.sleep(5)
        assert bench.client.summary().foreign == 3

    under_virtual_time(main)


def test_moving_gives_it_what_it_can_know_and_parks_the_rest(tmp_path: Path) -> None:
    async def main() -> None:
        bench = await _queue_of_another(tmp_path)
        moved = await bench.client.queue.move()
        assert (moved.moved, moved.parked) == (2, 1)
        await asyncio.sleep(5)
        (row,) = rows(bench)
        assert row["stopped"] is not None
        (left,) = await bench.client.queue.rows(10)
        assert (left.row.action, left.state) == ("StopTransaction", "parked")
        assert "another back end" in left.row.parked

        await bench.restart()  # BootNotification gives what is parked another try, but not what has the number of another back end
        await asyncio.sleep(2 * 3600)
        assert await bench.client.queue.resend() == 0
        await asyncio.sleep(5)
        assert (len(bench.csms.calls("StopTransaction")), bench.client.summary().parked) == (1, 1)
        assert await bench.client.queue.resend(left.row.row_id) == 1  # somebody has looked, and wants it
        await asyncio.sleep(5)
        assert len(bench.csms.calls("StopTransaction")) == 2

    under_virtual_time(main)


def test_parked_messages_of_another_back_end_do_not_hide_those_that_wait(tmp_path: Path) -> None:
    async def main() -> None:
        bench = await Bench(database=tmp_path / "a.db").start()
        await bench.client.set_key("TransactionMessageAttempts", "1")
        bench.csms.answer("StartTransaction", error="InternalError", count=1)
        await bench.begin()
        await bench.end()
        await bench.leave()
        await asyncio.sleep(5)
        summary = bench.client.summary()
        assert (summary.queued, summary.parked, summary.foreign) == (2, 2, 0)
        await bench.kill()
        other = Bench(database=tmp_path / "a.db", url="ws://other.test/ocpp")
        other.sessions = 10
        await other.start()
        await asyncio.sleep(1)
        other.csms.down()
        await asyncio.sleep(1)
        await other.begin()
        await asyncio.sleep(1)
        summary = other.client.summary()
        assert (summary.queued, summary.parked, summary.foreign) == (2, 0, 2)

    under_virtual_time(main)


def test_discarding_needs_the_right_number_and_takes_nothing_else(tmp_path: Path) -> None:
    async def main() -> None:
        bench = await _queue_of_another(tmp_path)
        bench.csms.down()
        await asyncio.sleep(1)
        await bench.begin()
        assert await bench.client.queue.discard_all(2) is None
        assert bench.client.summary().foreign == 3
        assert await bench.client.queue.discard_all(3) == 3
        assert [entry.row.session_id for entry in await bench.client.queue.rows(10)] == ["s11"]
        assert bench.client.summary().foreign == 0

    under_virtual_time(main)


def test_back_to_the_first_back_end_everything_is_delivered(tmp_path: Path) -> None:
    async def main() -> None:
        bench = await Bench(database=tmp_path / "a.db").start()
        csms = bench.csms
        await bench.begin()
        await asyncio.sleep(2)
        csms.down()
        await asyncio.sleep(1)
        await bench.end()
        await bench.kill()
        other = await Bench(database=tmp_path / "a.db", url="ws://other.test/ocpp").start()
        await asyncio.sleep(5)
        await other.kill()
        csms.up()
        await bench.start()
        await asyncio.sleep(5)
        (row,) = rows(bench)
        assert row["stopped"] is not None

    under_virtual_time(main)


# -- the time arrives late --------------------------------------------------------------------------------------------


class LateClock(VirtualClock):
    """A clock whose calendar begins in 1970 until `arrive`."""

    behind = 0

    def wall(self) -> WallNs:
        return super().wall() - self.behind

    def wall_valid(self) -> bool:
        return self.wall() >= VALID_FROM


async def _late_bench(tmp_path: Path) -> tuple[Bench, LateClock]:
    bench = Bench(database=tmp_path / "late.db", sample_interval_s=60)
    loop = asyncio.get_running_loop()
    clock = LateClock(loop)  # type: ignore[arg-type]  # a VirtualLoop
    clock.behind = clock.wall()
    bench.clock = clock
    bench.csms.down()
    return await bench.start(), clock


def test_what_happened_before_the_time_was_known_has_its_true_time_in_the_end(tmp_path: Path) -> None:
    async def main() -> None:
        bench, clock = await _late_bench(tmp_path)
        true_start = clock.wall() + clock.behind
        await bench.begin()  # over before the time comes
        await asyncio.sleep(130)
        await bench.end()
        await bench.leave()
        await bench.begin()  # still running when it comes
        await asyncio.sleep(100)
        bench.csms.up()
        await asyncio.sleep(20)
        assert bench.csms.calls("StartTransaction") == []  # without time nothing is told
        clock.behind = 0
        await asyncio.sleep(30)
        await bench.end()
        await bench.leave()
        await asyncio.sleep(20)
        first, second = rows(bench)
        assert parse_timestamp(first["started"]) == true_start
        assert parse_timestamp(first["stopped"]) == true_start + 130 * NS_PER_S
        assert parse_timestamp(second["started"]) == true_start + 130 * NS_PER_S
        told = bench.csms.calls("MeterValues") + bench.csms.calls("StopTransaction")
        assert "1970" not in str(told)
        for name in ("s1", "s2"):
            kept = await bench.store.session(name)
            assert isinstance(kept, SessionRecord)
            stamps = [kept.plugged_at, kept.started_at, kept.ended_at, kept.unplugged_at]
            assert all(at is not None and at >= true_start for at in stamps)
            assert all(a <= b for a, b in pairwise(at for at in stamps if at is not None))
        points = await bench.store.points("s2")
        assert all(point.wall >= true_start for point in points)

    under_virtual_time(main)


def test_what_a_process_before_recorded_without_time_lies_before_this_one(tmp_path: Path) -> None:
    async def main() -> None:
        bench, clock = await _late_bench(tmp_path)
        await bench.begin()
        await asyncio.sleep(60)
        await bench.end()
        await bench.leave()
        await bench.kill()
        await asyncio.sleep(1000)
        clock.behind = clock.wall() + clock.behind - 5 * NS_PER_S  # 1970 again
        began = clock.wall() + clock.behind
        await bench.start()
        await bench.begin()
        await asyncio.sleep(40)
        clock.behind = 0
        bench.csms.up()
        await asyncio.sleep(60)
        first, second = rows(bench)
        stopped = parse_timestamp(first["stopped"])
        assert stopped is not None
        assert began - NS_PER_S <= stopped <= began + NS_PER_S
        started = parse_timestamp(first["started"])
        assert started is not None
        assert stopped - started == 60 * NS_PER_S
        assert (parse_timestamp(second["started"]) or 0) >= stopped

    under_virtual_time(main)


def test_a_start_with_valid_time_puts_older_records_right_at_once(tmp_path: Path) -> None:
    async def main() -> None:
        bench, clock = await _late_bench(tmp_path)
        await bench.begin()
        await asyncio.sleep(60)
        clock.behind = 0
        began = clock.wall()
        bench.csms.up()
        await bench.restart()  # the power goes
        await asyncio.sleep(30)
        (row,) = rows(bench)
        assert row["stop_reason"] == "PowerLoss"
        assert (parse_timestamp(row["started"]) or 0) <= began
        assert "1970" not in str(bench.csms.calls("StopTransaction"))

    under_virtual_time(main)


TIMES = '{"timestamp":"%s","data":"1970-01-01T00:00:10.000Z","meterValue":[{"timestamp":"2026-01-01T00:00:00.000Z"}]}'


def test_retime_moves_only_times_that_are_not_valid() -> None:
    moved = retime(TIMES % "1970-01-01T00:00:10.000Z", VALID_FROM)
    assert moved == TIMES % "2024-01-01T00:00:10.000Z"
    assert retime(moved, VALID_FROM) == moved
