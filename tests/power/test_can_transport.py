"""CAN transport on real sockets: loopback multicast without root, python-can's format, limits and errors."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evse.domain.base import DeviceError
from evse.transports import can as can_transport
from evse.transports.base import CanFrame
from evse.transports.can import open_can, pack_frame, split_channel, unpack_frame

CHANNEL = f"239.74.163.9:{43_200 + os.getpid() % 1000}"
FRAME = CanFrame(0x029C00F0, bytes.fromhex("0007A12000004E20"))

CHILD = """
import asyncio, sys
from evse.transports.base import CanFrame
from evse.transports.can import open_can
async def main():
    bus = await open_can("udp_multicast", sys.argv[1], 125000)
    print("ready", flush=True)
    frame = await asyncio.wait_for(bus.recv(), 20)
    await bus.send(CanFrame(frame.can_id ^ 0xF0F0, frame.data[::-1]))
    await bus.close()
asyncio.run(main())
"""


def test_two_processes_exchange_frames_without_root() -> None:
    async def main() -> None:
        with subprocess.Popen([sys.executable, "-c", CHILD, CHANNEL], stdout=subprocess.PIPE) as child:
            assert child.stdout is not None
            assert await asyncio.to_thread(child.stdout.readline) == b"ready\n"
            bus = await open_can("udp_multicast", CHANNEL, 125_000)
            try:
                await bus.send(FRAME)
                answer = await asyncio.wait_for(bus.recv(), 20)
            finally:
                await bus.close()
            assert answer == CanFrame(FRAME.can_id ^ 0xF0F0, FRAME.data[::-1])
            assert await asyncio.to_thread(child.wait, 20) == 0

    asyncio.run(main())


def test_a_node_does_not_hear_itself_nor_other_groups() -> None:
    async def main() -> None:
        a = await open_can("udp_multicast", CHANNEL, 125_000)
        b = await open_can("udp_multicast", CHANNEL, 125_000)
        other = await open_can("udp_multicast", CHANNEL.replace("163.9", "163.10"), 125_000)
        await other.send(CanFrame(1, b"other"))
        await a.send(FRAME)
        assert await asyncio.wait_for(b.recv(), 20) == FRAME
        await b.send(CanFrame(2, b"b", False))
        assert await asyncio.wait_for(a.recv(), 20) == CanFrame(2, b"b", False)
        for bus in (a, b, other):
            await bus.close()

    asyncio.run(main())


def test_python_can_understands_the_packets_and_the_other_way_round() -> None:
    from can.interfaces.udp_multicast.utils import pack_message, unpack_message

    message = unpack_message(pack_frame(FRAME), check=True)
    assert (message.arbitration_id, bytes(message.data), message.is_extended_id) == (FRAME.can_id, FRAME.data, True)
    assert unpack_frame(pack_message(message)) == FRAME


def test_a_bus_of_python_can_is_read_by_the_event_loop() -> None:
    async def main() -> None:
        a = await open_can("virtual", "bench", 125_000)
        b = await open_can("virtual", "bench", 125_000)
        await a.send(FRAME)
        assert await asyncio.wait_for(b.recv(), 20) == FRAME
        await a.close()
        await b.close()
        with pytest.raises(DeviceError, match="closed"):
            await b.recv()

    asyncio.run(main())


def test_a_closed_channel_ends_the_waiting_owner() -> None:
    async def main() -> None:
        bus = await open_can("udp_multicast", CHANNEL, 125_000)
        waiting = asyncio.ensure_future(bus.recv())
        await asyncio.sleep(0)
        await bus.close()
        with pytest.raises(DeviceError, match="closed"):
            await waiting
        with pytest.raises(DeviceError, match="send failed"):
            await bus.send(FRAME)

    asyncio.run(main())


def test_a_full_queue_drops_the_oldest_and_counts() -> None:
    async def main() -> None:
        queue = can_transport._Queue("test")
        for number in range(can_transport.QUEUE_MAX + 3):
            queue.put(CanFrame(number, b""))
        assert queue.dropped == 3
        assert (await queue.get()).can_id == 3

    asyncio.run(main())


@pytest.mark.parametrize(("interface", "channel"), [("socketcan", "can99"), ("nonsense", "x")])
def test_a_channel_that_is_not_there_is_named(interface: str, channel: str) -> None:
    with pytest.raises(DeviceError, match=f"CAN {interface} {channel}: cannot open"):
        asyncio.run(open_can(interface, channel, 125_000))


@pytest.mark.parametrize("channel", ["", "10.0.0.1", "239.1.1", "239.1.1.1:0", "239.1.1.1:x", "240.0.0.1"])
def test_a_wrong_multicast_channel_is_refused(channel: str) -> None:
    with pytest.raises(DeviceError, match="expected an IPv4 multicast group"):
        split_channel(channel)


@given(st.binary(max_size=64))
def test_garbage_packets_are_ignored(packet: bytes) -> None:
    frame = unpack_frame(packet)
    assert frame is None or len(frame.data) <= 8


@given(st.integers(0, (1 << 29) - 1), st.binary(max_size=8))
def test_packets_are_inverse(can_id: int, data: bytes) -> None:
    assert unpack_frame(pack_frame(CanFrame(can_id, data))) == CanFrame(can_id, data)
