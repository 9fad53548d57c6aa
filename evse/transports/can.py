"""CAN channels on python-can, without its threads: the event loop waits for the socket and reads without blocking.

Interfaces: ``socketcan`` (channel ``can0``; the bit rate is set with ``ip link``), ``slcan`` (channel = serial port),
``virtual`` (in one process) and ``udp_multicast`` (channel = multicast group, optionally ``group:port``). The last one
joins processes on one machine without root, for the simulator and tests: packets have python-can's format, travel over
the loopback interface only (IPv4 groups) and never reach the network, so it also works in a sandbox without any route.
"""

from __future__ import annotations

import asyncio
import errno
import socket
import struct
from collections import deque
from typing import TYPE_CHECKING, Final

from evse.domain.base import DeviceError
from evse.transports.base import CanBus, CanFrame

if TYPE_CHECKING:
    import can

QUEUE_MAX: Final = 4096
"""Received frames that wait for the owner; beyond it the oldest is dropped and counted."""

READ_BURST_MAX: Final = 256
"""Frames taken from the socket per wake-up, so that a flooded bus cannot stop the event loop."""

POLL_S: Final = 0.005
"""Polling period of interfaces without a file descriptor (``virtual``, some ``slcan``)."""

SEND_ATTEMPTS: Final = 50
SEND_RETRY_S: Final = 0.002
"""A Linux CAN device queues ten frames; when it is full, sending waits up to 100 ms for room."""

DEFAULT_PORT: Final = 43_113
"""python-can's UDP port."""

PACKET_MAX: Final = 4096
LOOPBACK: Final = "127.0.0.1"


class _Queue:
    """Bounded frame queue with one waiting owner."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.dropped = 0
        self._frames: deque[CanFrame] = deque()
        self._waiter: asyncio.Future[None] | None = None
        self._error: str | None = None

    def put(self, frame: CanFrame) -> None:
        if len(self._frames) >= QUEUE_MAX:
            self._frames.popleft()
            self.dropped += 1
        self._frames.append(frame)
        self._wake()

    def fail(self, error: str) -> None:
        """End the queue: the owner gets ``error`` after the frames that are left."""
        if self._error is None:
            self._error = error
        self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
        self._waiter = None

    async def get(self) -> CanFrame:
        while not self._frames:
            if self._error is not None:
                raise DeviceError(f"{self.name}: {self._error}")
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter
        return self._frames.popleft()

    @property
    def failed(self) -> bool:
        return self._error is not None


class PythonCanBus:
    """`evse.transports.base.CanBus` on a python-can bus. ``dropped`` counts frames lost to a full queue."""

    def __init__(self, bus: can.BusABC, name: str) -> None:
        self._bus = bus
        self._queue = _Queue(name)
        self._loop = asyncio.get_running_loop()
        self._fd = _fileno(bus)
        self._timer: asyncio.TimerHandle | None = None
        if self._fd >= 0:
            self._loop.add_reader(self._fd, self._readable)
        else:
            self._timer = self._loop.call_later(POLL_S, self._poll)

    @property
    def dropped(self) -> int:
        """Frames lost because the owner did not read."""
        return self._queue.dropped

    def _poll(self) -> None:
        self._readable()
        if not self._queue.failed:
            self._timer = self._loop.call_later(POLL_S, self._poll)

    def _readable(self) -> None:
        import can

        try:
            for _ in range(READ_BURST_MAX):
                message = self._bus.recv(timeout=0)
                if message is None:
                    return
                if message.is_error_frame or message.is_remote_frame or message.is_fd:
                    continue
                self._queue.put(CanFrame(message.arbitration_id, bytes(message.data), message.is_extended_id))
        except (can.CanError, OSError, ValueError) as error:
            self._stop()
            self._queue.fail(f"receive failed: {error}; check that the interface is up")

    def _stop(self) -> None:
        if self._fd >= 0:
            self._loop.remove_reader(self._fd)
            self._fd = -1
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    async def recv(self) -> CanFrame:
        """Next frame; `DeviceError` when the channel is gone."""
        return await self._queue.get()

    async def send(self, frame: CanFrame) -> None:
        """Send one frame; `DeviceError` when the channel is gone or its buffer stays full (bus off, no partner)."""
        import can

        if self._queue.failed:
            raise DeviceError(f"{self._queue.name}: channel is gone")
        message = can.Message(arbitration_id=frame.can_id, data=frame.data, is_extended_id=frame.extended, check=True)
        for attempt in range(SEND_ATTEMPTS):
            try:
                self._bus.send(message, timeout=0)
                return
            except (can.CanError, OSError, ValueError) as error:
                full = getattr(error, "error_code", getattr(error, "errno", None)) == errno.ENOBUFS
                if not full or attempt == SEND_ATTEMPTS - 1:
                    text = f"{self._queue.name}: send failed: {error}; check wiring, termination and bit rate"
                    raise DeviceError(text) from error
            await asyncio.sleep(SEND_RETRY_S)

    async def close(self) -> None:
        """Close; never raises."""
        import can

        self._stop()
        self._queue.fail("closed")
        try:
            self._bus.shutdown()
        except (can.CanError, OSError, ValueError):
            return


def _fileno(bus: can.BusABC) -> int:
    try:
        return int(bus.fileno())
    except (NotImplementedError, OSError, ValueError):
        return -1


class LoopbackCan:
    """``udp_multicast`` on the loopback interface, in python-can's packet format. Does not hear itself."""

    def __init__(self, group: str, port: int, name: str) -> None:
        self._queue = _Queue(name)
        self._loop = asyncio.get_running_loop()
        self._destination = (group, port)
        self._receiver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            self._receiver.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            # Bound to the group, not to any address: other groups on the same port stay out.
            self._receiver.bind((group, port))
            member = socket.inet_aton(group) + socket.inet_aton(LOOPBACK)
            self._receiver.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, member)
            self._receiver.setblocking(False)
            self._sender.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(LOOPBACK))
            self._sender.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, struct.pack("@B", 0))
            self._sender.bind((LOOPBACK, 0))
            self._sender.setblocking(False)
        except OSError:
            self._receiver.close()
            self._sender.close()
            raise
        self._own = self._sender.getsockname()
        self._loop.add_reader(self._receiver.fileno(), self._readable)

    @property
    def dropped(self) -> int:
        """Frames lost because the owner did not read."""
        return self._queue.dropped

    def _readable(self) -> None:
        for _ in range(READ_BURST_MAX):
            try:
                packet, sender = self._receiver.recvfrom(PACKET_MAX)
            except BlockingIOError:
                return
            except OSError as error:
                self._stop()
                self._queue.fail(f"receive failed: {error}")
                return
            if sender == self._own:
                continue
            frame = unpack_frame(packet)
            if frame is not None:
                self._queue.put(frame)

    def _stop(self) -> None:
        if self._receiver.fileno() >= 0:
            self._loop.remove_reader(self._receiver.fileno())
        self._receiver.close()
        self._sender.close()

    async def recv(self) -> CanFrame:
        """Next frame of another node."""
        return await self._queue.get()

    async def send(self, frame: CanFrame) -> None:
        """Send to all other nodes of the group."""
        try:
            self._sender.sendto(pack_frame(frame), self._destination)
        except OSError as error:
            raise DeviceError(f"{self._queue.name}: send failed: {error}") from error

    async def close(self) -> None:
        """Close; never raises."""
        self._stop()
        self._queue.fail("closed")


def pack_frame(frame: CanFrame) -> bytes:
    """Return the packet that python-can's ``udp_multicast`` sends for ``frame``."""
    import msgpack  # type: ignore[import-untyped]

    packet: bytes = msgpack.packb(
        {
            "timestamp": 0.0,
            "arbitration_id": frame.can_id,
            "is_extended_id": frame.extended,
            "is_remote_frame": False,
            "is_error_frame": False,
            "channel": None,
            "dlc": len(frame.data),
            "data": frame.data,
            "is_fd": False,
            "bitrate_switch": False,
            "error_state_indicator": False,
        }
    )
    return packet


def unpack_frame(packet: bytes) -> CanFrame | None:
    """Return the data frame of a packet; None for anything else (any process may send to the group)."""
    import msgpack

    try:
        fields = msgpack.unpackb(packet, raw=False)
    except (ValueError, msgpack.UnpackException):
        return None
    if not isinstance(fields, dict) or any(fields.get(k) for k in ("is_remote_frame", "is_error_frame", "is_fd")):
        return None
    can_id, data, extended = fields.get("arbitration_id"), fields.get("data"), fields.get("is_extended_id")
    if not isinstance(can_id, int) or not isinstance(data, bytes) or not isinstance(extended, bool):
        return None
    if not 0 <= can_id < (1 << 29 if extended else 1 << 11) or len(data) > 8:
        return None
    return CanFrame(can_id, data, extended)


def split_channel(channel: str) -> tuple[str, int]:
    """Return (group, port) of a channel ``group`` or ``group:port`` (IPv4 multicast); `DeviceError` otherwise."""
    group, colon, number = channel.partition(":")
    port = int(number) if number.isdigit() else 0
    if not colon:
        port = DEFAULT_PORT
    try:
        first = socket.inet_aton(group)[0] if group.count(".") == 3 else 0
    except OSError:
        first = 0
    if not 224 <= first <= 239 or not 1 <= port <= 65_535:
        raise DeviceError(
            f"CAN udp_multicast {channel!r}: expected an IPv4 multicast group like 239.74.163.2 or 239.74.163.2:43113"
        )
    return group, port


async def open_can(interface: str, channel: str, bitrate: int) -> CanBus:
    """Open a CAN channel; ``bitrate`` in bit/s matters for ``slcan``. `DeviceError` names channel and remedy."""
    name = f"CAN {interface} {channel}"
    if interface == "udp_multicast" and channel.count(":") <= 1:
        group, port = split_channel(channel)
        try:
            return LoopbackCan(group, port, name)
        except OSError as error:
            raise DeviceError(f"{name}: cannot open: {error}; check that the loopback interface is up") from error
    import can

    try:
        bus = await asyncio.to_thread(can.Bus, channel, interface, bitrate=bitrate)
    except (can.CanError, OSError, ValueError, ImportError) as error:
        remedy = f"check that it exists and is up (ip link set {channel} up type can bitrate {bitrate})"
        if interface != "socketcan":
            remedy = "check the channel and that no other program uses it"
        raise DeviceError(f"{name}: cannot open: {error}; {remedy}") from error
    return PythonCanBus(bus, name)
