"""Back-off and line faults: seeded, bounded, switchable while they run. Virtual time."""

from __future__ import annotations

import asyncio
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evse.domain.base import DeviceError
from evse.lab.vloop import run_virtual
from evse.transports.backoff import Backoff
from evse.transports.faulty import HELD_MAX, FaultyStream
from evse.transports.memory import MemoryStream, stream_pair


@given(st.integers(0, 1 << 32), st.integers(1, 5000), st.integers(0, 60_000))
def test_backoff_doubles_stays_in_its_bounds_and_starts_anew(seed: int, base_ms: int, extra_ms: int) -> None:
    backoff = Backoff(random.Random(seed), base_ms, base_ms + extra_ms)
    for attempt in range(40):
        ceiling = min(base_ms + extra_ms, base_ms * 2**attempt)
        assert ceiling // 2 <= backoff.next_ms() <= ceiling
    backoff.reset()
    assert backoff.next_ms() <= base_ms


def test_backoff_is_repeatable_by_seed_and_not_in_step_between_seeds() -> None:
    def delays(seed: int) -> list[int]:
        backoff = Backoff(random.Random(seed), 100, 10_000)
        return [backoff.next_ms() for _ in range(10)]

    assert delays(1) == delays(1)
    assert delays(1) != delays(2)


def test_backoff_sleeps_what_it_says_and_refuses_nonsense() -> None:
    async def main() -> None:
        before = asyncio.get_running_loop().time()
        await Backoff(random.Random(1), 1000, 1000).sleep()
        assert 0.5 <= asyncio.get_running_loop().time() - before <= 1.0

    run_virtual(main())
    with pytest.raises(ValueError, match="base_ms"):
        Backoff(random.Random(1), 0, 10)


def faulty(seed: int = 1) -> tuple[FaultyStream, MemoryStream]:
    near, far = stream_pair("line")
    return FaultyStream(near, random.Random(seed)), far


def test_without_faults_everything_passes_unchanged() -> None:
    async def main() -> None:
        stream, far = faulty()
        await stream.write(b"out")
        assert await far.read() == b"out"
        await far.write(b"in")
        assert await stream.read() == b"in"
        assert stream.chunks_hit == 0

    run_virtual(main())


def test_dropped_chunks_are_lost_in_both_directions() -> None:
    async def main() -> None:
        stream, far = faulty()
        stream.tx.drop_permille = 1000
        await stream.write(b"lost")
        stream.tx.clear()
        await stream.write(b"kept")
        assert await far.read() == b"kept"
        stream.rx.drop_permille = 1000
        await far.write(b"lost")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1):
                await stream.read()
        stream.rx.clear()
        await far.write(b"kept")
        assert await stream.read() == b"kept"

    run_virtual(main())


def test_corrupt_truncate_and_duplicate_do_what_they_say() -> None:
    async def main() -> None:
        stream, far = faulty()
        stream.tx.corrupt_permille = 1000
        await stream.write(bytes(8))
        bent = await far.read()
        assert sum(byte.bit_count() for byte in bent) == 1
        stream.tx.clear()
        stream.tx.truncate_permille = 1000
        await stream.write(b"12345678")
        await stream.write(b"12345678")
        assert len(await far.read()) < 16
        stream.tx.clear()
        stream.tx.duplicate_permille = 1000
        await stream.write(b"ab")
        assert await far.read() == b"abab"
        assert stream.chunks_hit == 4

    run_virtual(main())


def test_delay_keeps_order_and_a_cancelled_read_loses_nothing() -> None:
    async def main() -> None:
        stream, far = faulty()
        loop = asyncio.get_running_loop()
        stream.rx.delay_ms = 200
        await far.write(b"a")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await stream.read()
        await far.write(b"b")
        assert await stream.read() == b"a"
        start = loop.time()
        assert await stream.read() == b"b"
        assert loop.time() - start == pytest.approx(0.2)

    run_virtual(main())


def test_freeze_holds_both_directions_and_thaw_lets_the_burst_through() -> None:
    async def main() -> None:
        stream, far = faulty()
        stream.freeze()
        assert stream.frozen
        await stream.write(b"1")
        await far.write(b"x")
        reading = asyncio.create_task(stream.read())
        await asyncio.sleep(5)
        await far.write(b"y")
        await asyncio.sleep(5)
        assert not reading.done()
        stream.thaw()
        assert await reading == b"xy"
        await stream.write(b"2")
        assert await far.read() == b"12"

    run_virtual(main())


def test_freeze_holds_no_more_than_its_limit() -> None:
    async def main() -> None:
        stream, far = faulty()
        stream.freeze()
        for _ in range(80):
            await stream.write(bytes(1024))
        stream.thaw()
        await stream.write(b"")
        assert len(await far.read()) == HELD_MAX

    run_virtual(main())


def test_disconnect_ends_both_ends_even_while_frozen() -> None:
    async def main() -> None:
        stream, far = faulty()
        stream.freeze()
        reading = asyncio.create_task(stream.read())
        await asyncio.sleep(1)
        await stream.disconnect()
        with pytest.raises(DeviceError):
            await reading
        with pytest.raises(DeviceError):
            await stream.write(b"x")
        with pytest.raises(DeviceError):
            await far.read()

    run_virtual(main())


def test_the_same_seed_makes_the_same_faults() -> None:
    async def main(seed: int) -> bytes:
        stream, far = faulty(seed)
        stream.tx.drop_permille = stream.tx.corrupt_permille = stream.tx.duplicate_permille = 300
        for number in range(100):
            await stream.write(bytes((number, number)))
        return await far.read()

    assert run_virtual(main(4)) == run_virtual(main(4))
    assert run_virtual(main(4)) != run_virtual(main(5))
