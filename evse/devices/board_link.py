"""Driver of one board on the board link (docs/board-link.md): owner of its serial port, thin above the codec.

Three coroutines share one open port: a reader, a writer that always sends the newest COMMAND, and a tender that sends
heartbeats, repeats HELLO and gives up on a dead line. The lease is renewed only by `command`: when the control loop
stops calling it, heartbeats go on and the board opens its contactors all the same.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections import deque
from collections.abc import Callable
from typing import Final

import msgspec

from evse.devices.interfaces import LinkHealth
from evse.domain.base import BugError, DeviceError
from evse.domain.clock import Clock
from evse.domain.readings import NEVER, NoData, NoDataReason, Sample
from evse.domain.signals import BoardCommand, BoardInfo, BoardStatus
from evse.protocols import board_link as link
from evse.protocols import board_link_messages as m
from evse.protocols.board_link_line import LineDecoder, LineEncoder
from evse.protocols.errors import ProtocolError
from evse.transports.backoff import Backoff
from evse.transports.base import ByteStream, Openers, SerialSettings
from evse.units import NS_PER_MS, NS_PER_S, Instant, ms

STALE_NS: Final = ms(m.LEASE_MS)
"""A STATUS older than three heartbeats is no reading."""

HELLO_RETRY_NS: Final = ms(500)
DEAD_LINE_NS: Final = 5 * NS_PER_S
"""No valid frame for this time: close the port and open it again (an USB adapter may have lost its wits)."""

DIAGNOSTICS_PERIOD_NS: Final = 10 * NS_PER_S
FRAME_LOG_MAX: Final = 200
EVENTS_MAX: Final = 32
QUEUE_MAX: Final = 16
"""Frames waiting beside the COMMAND; more means that the line stands still, and the oldest is dropped."""

BACKOFF_BASE_MS: Final = 200
BACKOFF_MAX_MS: Final = 5_000


class LinkCounters:
    """Counters since the start of the process; for people."""

    __slots__ = ("commands_dropped", "crc_errors", "format_errors", "frames_in", "frames_out", "naks", "reboots",
                 "reconnects")

    def __init__(self) -> None:
        self.frames_in = 0
        self.frames_out = 0
        self.crc_errors = 0
        self.format_errors = 0  # valid CRC but nonsense, broken COBS, oversize
        self.naks = 0
        self.reboots = 0
        self.reconnects = 0
        self.commands_dropped = 0  # the link was down or the line stood still


class LoggedFrame(msgspec.Struct, frozen=True):
    """One frame of the ring log. ``direction`` ``>`` to the board, ``<`` from it; ``data`` without delimiter."""

    at: Instant
    direction: str
    data: bytes

    def line(self) -> str:
        """Return ``seconds direction hex`` for people."""
        return f"{self.at / NS_PER_S:.3f} {self.direction} {self.data.hex(' ').upper()}"


class BoardLinkDriver:
    """One board. Implements `evse.devices.interfaces.Board`; see there for the rules."""

    def __init__(
        self,
        evse_id: int,
        settings: SerialSettings,
        openers: Openers,
        clock: Clock,
        rng: random.Random,
        frame_log: Callable[[LoggedFrame], None] | None = None,
    ) -> None:
        self.evse_id = evse_id
        self.info: BoardInfo | None = None
        self.counters = LinkCounters()
        self.diagnostics: m.Diagnostics | None = None
        self.events: deque[tuple[Instant, str]] = deque(maxlen=EVENTS_MAX)  # newest last, for people
        self.last_status: m.Status | None = None
        self._settings = settings
        self._openers = openers
        self._clock = clock
        self._boot_id = rng.getrandbits(32)
        self._backoff = Backoff(rng, BACKOFF_BASE_MS, BACKOFF_MAX_MS)
        self._frames: deque[LoggedFrame] = deque(maxlen=FRAME_LOG_MAX)
        self._frame_sink = frame_log
        self._where = f"board {evse_id} at {settings.port}"
        self._sample: Sample[BoardStatus] | None = None
        self._down = NoData(NEVER.reason, clock.now(), f"{self._where}: not opened yet")
        self._stale: NoData | None = None
        self._counter = 0  # lease counter; runs on over reconnects
        self._bad_at_status = 0  # broken frames counted when the last STATUS came
        self._begin()

    def _begin(self) -> None:
        """Forget everything that belongs to one open port."""
        self._deframer = link.deframer()
        self._outgoing = LineEncoder()
        self._ready = False  # versions agreed
        self._board_boot_id: int | None = None
        self._seq = 0
        self._pending: bytes | None = None
        self._queue: deque[bytes] = deque(maxlen=QUEUE_MAX)
        self._wake: asyncio.Event = asyncio.Event()
        self._last_in = self._last_out = self._hello_at = self._diagnostics_at = self._clock.now()
        self._uptime_ms = 0
        self._event_seen: int | None = None
        self._write_now: Callable[[bytes], bool] | None = None  # of streams that can write without waiting

    # -- what the control loop uses -----------------------------------------------------------------------------------

    def reading(self) -> Sample[BoardStatus] | NoData:
        """Return the latest status, or why there is none.

        DISCONNECTED: port or HELLO missing. TIMEOUT: no STATUS for 300 ms. ERROR: only broken frames for 300 ms, or
        no common version.
        """
        sample = self._sample
        if sample is None:
            return self._down
        if self._clock.now() - sample.at <= STALE_NS:
            return sample
        if self._stale is None or self._stale.since != sample.at:
            broken = self.counters.crc_errors + self.counters.format_errors > self._bad_at_status
            what = "only broken frames" if broken else "no STATUS"
            remedy = "cable, shield and baud rate" if broken else "the board's supply, cable and firmware"
            self._stale = NoData(
                NoDataReason.ERROR if broken else NoDataReason.TIMEOUT,
                sample.at,
                f"{self._where}: {what} for {m.LEASE_MS} ms; check {remedy}",
            )
        return self._stale

    def command(self, levels: BoardCommand) -> None:
        """Send ``levels`` now and renew the lease. Never waits; dropped while the link is down, newest wins.

        `BugError` when a level does not fit its field: the caller is wrong and energy must go.
        """
        if not self._ready:
            self.counters.commands_dropped += 1
            return
        self._counter = (self._counter + 1) & 0xFFFF
        try:
            frame = self._outgoing.command(levels, self._next_seq(), self._counter)
        except ProtocolError as error:
            raise BugError(f"{self._where}: {error}") from error
        if self._pending is not None:
            self.counters.commands_dropped += 1
        elif self._write_now is not None and not self._queue:
            try:
                if self._write_now(frame):
                    self._sent(frame)
                    return
            except DeviceError:
                return  # the reader meets the same error and ends the connection
        self._pending = frame
        self._wake.set()

    # -- what people use ----------------------------------------------------------------------------------------------

    def health(self) -> tuple[LinkHealth, ...]:
        """Return the state of the link; offline also while STATUS is stale."""
        reading = self.reading()
        counters = self.counters
        return (
            LinkHealth(
                name=f"board {self.evse_id}",
                kind="board",
                where=self._settings.port,
                online=isinstance(reading, Sample),
                detail=reading.detail if isinstance(reading, NoData) else "",
                frames_in=counters.frames_in,
                frames_out=counters.frames_out,
                errors=counters.crc_errors + counters.format_errors,
                reconnects=counters.reconnects,
            ),
        )

    def frame_log(self) -> list[str]:
        """Return the last 200 frames, oldest first, as ``seconds direction hex``."""
        return [frame.line() for frame in self._frames]

    def reset_board(self, kind: m.ResetKind = m.ResetKind.BOARD) -> bool:
        """Ask the board to restart; False when the link is down. The board refuses while its contactors are closed."""
        return self._send_when_ready(m.Reset(kind=kind))

    def request_diagnostics(self) -> bool:
        """Ask for the board's counters; the answer appears in ``diagnostics``. False when the link is down."""
        return self._send_when_ready(m.Request(msg_id=m.MsgId.DIAGNOSTICS))

    def _send_when_ready(self, message: m.Message) -> bool:
        if not self._ready:
            return False
        self._post(message)
        return True

    # -- owner task ---------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Own the port until cancelled: open, talk, and after every failure wait and open again."""
        while True:
            try:
                stream = await self._openers.open_serial(self._settings)
            except DeviceError as error:
                self._lost(NoDataReason.DISCONNECTED, str(error))
            else:
                try:
                    await self._talk(stream)
                finally:
                    self._farewell()
                    self._ready = False
                    self._sample = None
                    await stream.close()
            self.counters.reconnects += 1
            await self._backoff.sleep()

    def _farewell(self) -> None:
        """Take the energy away before the port closes (shutdown); where that fails, the lease runs out by itself."""
        if self._ready and self._write_now is not None:
            self._counter = (self._counter + 1) & 0xFFFF
            frame = link.encode_command(BoardCommand(), lease_counter=self._counter, seq=self._next_seq())
            with contextlib.suppress(DeviceError):
                if self._write_now(frame):
                    self._sent(frame)

    def _lost(self, reason: NoDataReason, detail: str) -> None:
        """Take the reading away. ``since`` stays as long as reason and text stay."""
        self._sample = None
        self._ready = False
        text = detail if self._settings.port in detail else f"{self._where}: {detail}"
        if self._down.reason is not reason or self._down.detail != text:
            self._down = NoData(reason, self._clock.now(), text)

    async def _talk(self, stream: ByteStream) -> None:
        """Use one open port until it fails; ends with the reading taken away."""
        self._begin()
        self._write_now = getattr(stream, "write_now", None)
        if self._down.reason is not NoDataReason.ERROR:  # a refused version stays told until HELLO is good
            self._lost(NoDataReason.DISCONNECTED, "port open, waiting for HELLO of the board")
        try:
            await stream.write(b"\0")  # ends whatever half frame the board still holds
            self._send_hello(answer=False)
            async with asyncio.TaskGroup() as group:
                group.create_task(self._read(stream))
                group.create_task(self._write(stream))
                group.create_task(self._tend())
        except DeviceError as error:
            self._lost(NoDataReason.DISCONNECTED, str(error))
        except ExceptionGroup as failures:
            device, others = failures.split(DeviceError)
            if others is not None:
                raise others from None
            first = device.exceptions[0] if device is not None else failures
            reason = NoDataReason.ERROR if isinstance(first, VersionMismatch) else NoDataReason.DISCONNECTED
            self._lost(reason, str(first))

    async def _read(self, stream: ByteStream) -> None:
        clock, counters, feed, decode = self._clock, self.counters, self._deframer.feed, LineDecoder().decode
        oversize = 0
        while True:
            blocks = feed(await stream.read())
            if self._deframer.oversize != oversize:
                counters.format_errors += self._deframer.oversize - oversize
                oversize = self._deframer.oversize
            for block in blocks:
                now = clock.now()
                self._log(now, "<", block)
                try:
                    message = decode(block)
                except link.CrcError:
                    counters.crc_errors += 1
                except ProtocolError:
                    counters.format_errors += 1
                else:
                    counters.frames_in += 1
                    self._last_in = now
                    self._handle(message, now)

    async def _write(self, stream: ByteStream) -> None:
        """Send what waits: the newest COMMAND first, then the queue in order."""
        wake, queue = self._wake, self._queue
        while True:
            await wake.wait()
            wake.clear()
            while self._pending is not None or queue:
                frame = self._pending
                if frame is not None:
                    self._pending = None
                else:
                    frame = queue.popleft()
                self._sent(frame)
                await stream.write(frame)

    async def _tend(self) -> None:
        """Every heartbeat: say something if nothing was said, repeat HELLO, notice a dead line."""
        while True:
            await asyncio.sleep(m.HEARTBEAT_MS / 1000)
            now = self._clock.now()
            if now - self._last_in >= DEAD_LINE_NS:
                raise DeviceError(
                    f"{self._where}: no valid frame for {DEAD_LINE_NS // NS_PER_S} s "
                    f"({self.counters.crc_errors} CRC errors so far); check baud rate "
                    f"{self._settings.baud}, cable and that this port is a board"
                )
            if not self._ready:
                if now - self._hello_at >= HELLO_RETRY_NS:
                    self._send_hello(answer=False)
                continue
            if now - self._last_out >= ms(m.HEARTBEAT_MS):
                self._post(m.Heartbeat(uptime_ms=now // NS_PER_MS & 0xFFFF_FFFF))
            if now - self._diagnostics_at >= DIAGNOSTICS_PERIOD_NS:
                self._diagnostics_at = now
                self._post(m.Request(msg_id=m.MsgId.DIAGNOSTICS))

    # -- messages -----------------------------------------------------------------------------------------------------

    def _handle(self, message: m.AnyMessage, now: Instant) -> None:
        if isinstance(message, m.Status):
            self._on_status(message, now)
        elif isinstance(message, m.Hello):
            self._on_hello(message)
        elif isinstance(message, m.Event):
            self._post(m.Ack(msg_id=m.MsgId.EVENT, msg_seq=message.seq))
            if message.event_seq != self._event_seen:
                self._event_seen = message.event_seq
                text = f" {message.text}" if message.text else ""
                self.events.append((now, m.code_name(m.EventCode, message.code) + text))
        elif isinstance(message, m.Nak):
            self._on_nak(message, now)
        elif isinstance(message, m.Diagnostics):
            self.diagnostics = message
        elif isinstance(message, m.Log):
            level = m.LOG_LEVELS.get(message.level, f"level {message.level}")
            self.events.append((now, f"{level}: {message.text}"))
        elif isinstance(message, m.Unknown) and message.msg_id < m.MsgId.LOG:
            self._post(m.Nak(msg_id=message.msg_id, msg_seq=message.seq, reason=m.NakReason.UNKNOWN_MESSAGE))

    def _on_status(self, message: m.Status, now: Instant) -> None:
        if not self._ready:
            return  # not before the versions are agreed
        if message.uptime_ms < self._uptime_ms and self._uptime_ms < 0xFFFF_0000:
            self._rebooted("its uptime went backwards")
            return
        self._uptime_ms = message.uptime_ms
        self.last_status = message
        self._bad_at_status = self.counters.crc_errors + self.counters.format_errors
        self._sample = Sample(message.status, now)

    def _on_hello(self, hello: m.Hello) -> None:
        version = link.agree(m.VERSION, m.VERSION, hello.version_min, hello.version_max)
        if version is None:
            raise VersionMismatch(
                f"{self._where}: board {hello.board_id or '(no id)'} with firmware {hello.firmware or '(unknown)'} "
                f"speaks board link versions {hello.version_min}..{hello.version_max}, this controller {m.VERSION}; "
                + ("update the controller" if hello.version_min > m.VERSION else "update the board's firmware")
            )
        if self._board_boot_id is not None and hello.boot_id != self._board_boot_id:
            self.counters.reboots += 1
            self._lost(NoDataReason.DISCONNECTED, "the board has restarted")
        self._board_boot_id = hello.boot_id
        self.info = hello.info(version)
        if not hello.flags & m.HelloFlag.ANSWER:
            self._send_hello(answer=True)
        if not self._ready:
            self._ready = True
            self._uptime_ms = 0
            self._event_seen = None
            self._pending = None
            self._lost_until_status()
            self._backoff.reset()

    def _lost_until_status(self) -> None:
        ready = self._ready
        self._lost(NoDataReason.DISCONNECTED, "HELLO received, waiting for STATUS")
        self._ready = ready

    def _on_nak(self, nak: m.Nak, now: Instant) -> None:
        self.counters.naks += 1
        if nak.reason == m.NakReason.NO_HELLO:
            if now - self._hello_at >= ms(m.HEARTBEAT_MS):
                self._rebooted("it does not know us any more")
            return
        field = f", field {nak.field}" if nak.field else ""
        self.events.append(
            (now, f"board refused message 0x{nak.msg_id:02X}: {m.code_name(m.NakReason, nak.reason)}{field}")
        )
        if nak.reason == m.NakReason.VERSION:
            raise VersionMismatch(
                f"{self._where}: the board refuses board link version {m.VERSION}; update the board's firmware"
            )

    def _rebooted(self, why: str) -> None:
        self.counters.reboots += 1
        self._lost(NoDataReason.DISCONNECTED, f"the board has restarted ({why})")
        self._send_hello(answer=False)

    # -- sending ------------------------------------------------------------------------------------------------------

    def _send_hello(self, *, answer: bool) -> None:
        self._hello_at = self._clock.now()
        self._post(m.Hello(flags=m.HelloFlag.ANSWER if answer else 0, boot_id=self._boot_id, vendor="evse-station"))

    def _post(self, message: m.Message) -> None:
        self._queue.append(link.encode(msgspec.structs.replace(message, seq=self._next_seq())))
        self._wake.set()

    def _next_seq(self) -> int:
        self._seq = seq = (self._seq + 1) & 0xFF
        return seq

    def _sent(self, frame: bytes) -> None:
        self._last_out = now = self._clock.now()
        self.counters.frames_out += 1
        self._log(now, ">", frame[:-1])

    def _log(self, now: Instant, direction: str, data: bytes) -> None:
        entry = LoggedFrame(now, direction, data)
        self._frames.append(entry)
        if self._frame_sink is not None:
            self._frame_sink(entry)


class VersionMismatch(DeviceError):
    """Both ends are sane but have no version in common."""
