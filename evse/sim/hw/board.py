"""The firmware's side of the board link: what docs/board-link.md asks of a board, over real bytes.

`SimBoard` is sans-IO (``feed`` and ``step`` with the time as argument); ``serve`` pumps it on a byte stream. It has its
own lease watchdog and obeys no one about it: when COMMANDs stop, on emergency stop, when the pilot leaves C/D and after
a reboot it takes the energy away by itself. `BoardPlant` is the hardware below it, filled by physics.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections import deque
from typing import Final

from evse.domain.base import BugError, DeviceError
from evse.domain.clock import Clock
from evse.domain.signals import BoardCommand, BoardStatus, CpState
from evse.protocols import board_link as link
from evse.protocols import board_link_messages as m
from evse.protocols.board_link_line import LineDecoder, LineEncoder
from evse.protocols.errors import ProtocolError
from evse.sim.hw.board_plant import BoardOutputs, BoardPlant
from evse.transports.base import ByteStream
from evse.units import NS_PER_MS, NS_PER_S, Instant, clamp, ms

LEASE_NS: Final = ms(m.LEASE_MS)
TIE_HOLD_NS: Final = ms(1000)
"""Relay 2 and matrix contacts outlive a lost link by this time: current is gone before they open."""

PASS_NS: Final = ms(50)
"""Longest time between two passes of the firmware."""

HELLO_PERIOD_NS: Final = ms(500)
EVENT_RETRY_NS: Final = ms(200)
EVENT_TRIES: Final = 3
EVENTS_MAX: Final = 8
OUTBOX_MAX: Final = 64
REFUSE_FLAGS: Final = m.ErrorFlag.CONTACTOR_FEEDBACK | m.ErrorFlag.IMD_SELF_TEST | m.ErrorFlag.IMD_LOST
"""With one of these the board does not close (docs/board-link.md, section 5)."""

SAFE_TOUCH_MV: Final = 60_000  # plc-serial.md section 2: unlock when the voltage is below 60 V
SIM_CAPABILITIES: Final = (
    m.Capability.DC | m.Capability.LOCK | m.Capability.IMD | m.Capability.TIE_RELAY | m.Capability.TEMPERATURE
    | m.Capability.STOP_BUTTON | m.Capability.DOOR | m.Capability.DIN70121 | m.Capability.ISO15118_2
    | m.Capability.OUTPUT_VOLTAGE | m.Capability.LED | m.Capability.FIRMWARE_UPDATE
)


class BoardFaults:
    """What can be wrong with the board itself; set at run time. All off by default."""

    def __init__(self) -> None:
        self.crc_error_permille = 0  # of the frames sent: one bit is flipped
        self.delay_ms = 0  # every frame leaves this much later
        self.status_period_ms = m.STATUS_PERIOD_MS  # a slow firmware has a longer one
        self.frozen = False  # STATUS repeats the values of the moment in which this was set
        self.silent = False  # hung: neither listens nor talks (its hardware watchdog still opens the contactors)


class SimBoard:
    """One simulated DC board. ``versions`` = lowest and highest protocol version that it claims."""

    CAPABILITIES: int = SIM_CAPABILITIES
    MODEL = "simulated DC board"

    def __init__(
        self,
        plant: BoardPlant,
        rng: random.Random,
        *,
        board_id: str = "SIM0000001",
        firmware: str = "1.0.0",
        versions: tuple[int, int] = (m.VERSION, m.VERSION),
    ) -> None:
        self.plant = plant
        self.faults = BoardFaults()
        self.board_id = board_id
        self.firmware = firmware
        self.versions = versions
        self.frames_ok = 0
        self.frames_bad = 0
        self.lease_expiries = 0
        self.boots = 1
        self._rng = rng
        self._reset_cause = 1
        self._now: Instant = 0
        self._generation = 0  # of `serve`
        self._start(0)

    def _start(self, now: Instant) -> None:
        """Begin as after power-on: everything off, nobody known."""
        self._deframer = link.deframer()
        self._incoming, self._outgoing = LineDecoder(), LineEncoder()
        self._boot_id = self._rng.getrandbits(32)
        self._started = now
        self._boot_done: Instant | None = None  # a time while the board boots
        self._seq = 0
        self._host_known = False
        self._counter: int | None = None  # lease counter of the last accepted COMMAND
        self._command_until: Instant = 0  # 0 = no command in force
        self._tie_until: Instant = 0
        self._rearm = False
        self._lease_expired = False
        self._restart_slac = False
        self.fw_next = 0
        self.fw_size: int | None = None  # a number while an image is coming in
        self._frozen: BoardStatus | None = None
        self._next_status: Instant = 0
        self._next_hello: Instant = now
        self._next_beat: Instant = now
        self._ready: list[bytes] = []  # frames of this pass
        self._delayed: deque[tuple[Instant, bytes]] = deque(maxlen=OUTBOX_MAX)
        self._events: deque[list[int]] = deque(maxlen=EVENTS_MAX)  # [event_seq, code, value, tries left, next due]
        self._event_seq = 0
        self._was_estop = self.plant.estop
        self._was_contactor = False
        self.plant.out.make_safe()

    # -- what people and physics may do to it -------------------------------------------------------------------------

    def reboot(self, now: Instant, silent_ms: int = 1500) -> None:
        """Restart: outputs fall at once, then ``silent_ms`` of silence, then HELLO with a new boot id."""
        self._start(now)
        self._boot_done = now + ms(silent_ms)
        self._next_hello = self._boot_done
        self.boots += 1
        self._reset_cause = 4

    @property
    def lease_active(self) -> bool:
        """The contactors are held under a valid lease."""
        return self.plant.out.contactor_closed

    # -- bytes in -----------------------------------------------------------------------------------------------------

    def feed(self, data: bytes, now: Instant | None = None) -> None:
        """Take bytes from the line. ``now`` defaults to the time of the last ``step``."""
        if now is not None:
            self._now = max(self._now, now)
        if self.faults.silent or self._boot_done is not None:
            return
        for block in self._deframer.feed(data):
            try:
                message = self._incoming.decode(block)
            except ProtocolError:
                self.frames_bad += 1
                continue
            self.frames_ok += 1
            self._handle(message)

    def _handle(self, message: m.AnyMessage) -> None:
        if isinstance(message, m.Command):
            self._on_command(message)
        elif isinstance(message, m.Hello):
            self._on_hello(message)
        elif isinstance(message, m.Ack):
            if message.msg_id == m.MsgId.EVENT:
                self._events = deque((e for e in self._events if e[0] & 0xFF != message.msg_seq), maxlen=EVENTS_MAX)
        elif isinstance(message, m.Request):
            self._on_request(message)
        elif isinstance(message, m.Reset):
            self._on_reset(message)
        elif isinstance(message, m.FwBegin | m.FwBlock | m.FwEnd):
            self._on_firmware(message)
        elif isinstance(message, m.Unknown) and message.msg_id < m.MsgId.LOG:
            self._nak(message.msg_id, message.seq, m.NakReason.UNKNOWN_MESSAGE)

    def _on_hello(self, hello: m.Hello) -> None:
        if link.agree(*self.versions, hello.version_min, hello.version_max) is None:
            self._host_known = False
            if not hello.flags & m.HelloFlag.ANSWER:
                self._send_hello(answer=True)
            self._nak(m.MsgId.HELLO, hello.seq, m.NakReason.VERSION)
            return
        self._host_known = True
        self._counter = None
        self._next_status = self._now
        if not hello.flags & m.HelloFlag.ANSWER:
            self._send_hello(answer=True)

    def _on_command(self, command: m.Command) -> None:
        if not self._host_known:
            self._nak(m.MsgId.COMMAND, command.seq, m.NakReason.NO_HELLO)
            return
        counter = command.lease_counter
        if self._counter is not None and not 1 <= (counter - self._counter) & 0xFFFF <= 0x7FFF:
            return  # repeated or older than what is in force: never renews anything
        self._watch()  # the old levels end before the new ones begin
        self._counter = counter
        self._command_until = self._now + LEASE_NS
        self._tie_until = self._command_until + TIE_HOLD_NS
        self._apply(command.levels)

    def _apply(self, levels: BoardCommand) -> None:
        plant, out = self.plant, self.plant.out
        out.permit = levels.permit and self.fw_size is None
        out.authorization = levels.authorization
        out.isolation_test = levels.isolation_test
        out.cable_check_done = levels.cable_check_done
        out.offered_mv, out.offered_ma, out.offered_w = levels.offered_mv, levels.offered_ma, levels.offered_w
        out.present_mv, out.present_ma = levels.present_mv, levels.present_ma
        out.stop = levels.stop
        out.emergency = levels.emergency or plant.estop
        out.tie_closed = levels.tie_close
        out.contacts = levels.contacts if plant.contacts is not None else 0
        out.led = levels.led
        if levels.restart_slac and not self._restart_slac:
            out.slac_restarts += 1
        self._restart_slac = levels.restart_slac
        if not levels.contactor_lease:
            out.contactor_wanted = False
            self._rearm = self._lease_expired = False
        elif out.contactor_wanted:
            out.contactor_wanted = plant.chain_closed()
        elif not (self._rearm or plant.error_flags & REFUSE_FLAGS):
            out.contactor_wanted = plant.may_close()
        # A plug that was live stays locked until the voltage is safe to touch, whatever is commanded.
        out.lock = levels.lock or (out.lock and (out.contactor_wanted or plant.output_mv >= SAFE_TOUCH_MV))

    def _on_request(self, request: m.Request) -> None:
        if request.msg_id == m.MsgId.HELLO:
            self._send_hello(answer=True)
        elif request.msg_id == m.MsgId.STATUS:
            self._next_status = self._now
        elif request.msg_id == m.MsgId.DIAGNOSTICS:
            self._send(
                m.Diagnostics(
                    seq=self._seq,
                    uptime_ms=self._uptime_ms(),
                    frames_ok=self.frames_ok,
                    frames_bad=self.frames_bad,
                    heap_free_bytes=128 * 1024,
                    boots=self.boots,
                    lease_expiries=self.lease_expiries,
                    supply_mv=12_000,
                    temperature_dc=350,
                    reset_cause=self._reset_cause,
                )
            )
        else:
            self._nak(m.MsgId.REQUEST, request.seq, m.NakReason.RANGE, 1)

    def _on_reset(self, reset: m.Reset) -> None:
        if reset.magic != m.RESET_MAGIC:
            self._nak(m.MsgId.RESET, reset.seq, m.NakReason.RANGE, 2)
        elif not self.plant.may_reset():
            self._nak(m.MsgId.RESET, reset.seq, m.NakReason.NOT_NOW)
        elif reset.kind == m.ResetKind.BOARD:
            self.reboot(self._now)
            self._reset_cause = 2
        elif reset.kind == m.ResetKind.SECC:
            self.plant.out.slac_restarts += 1
            self._ack(m.MsgId.RESET, reset.seq)
        else:
            self._nak(m.MsgId.RESET, reset.seq, m.NakReason.NOT_FITTED, 1)

    def _on_firmware(self, message: m.FwBegin | m.FwBlock | m.FwEnd) -> None:
        """Count an image in; this board has no flash to write it to, so the end is refused as not fitted."""
        number = {m.FwBegin: m.MsgId.FW_BEGIN, m.FwBlock: m.MsgId.FW_BLOCK}.get(type(message), m.MsgId.FW_END)
        if isinstance(message, m.FwBegin):
            if self.lease_active:
                self._nak(number, message.seq, m.NakReason.NOT_NOW)
                return
            self.fw_size, self.fw_next = message.size, 0
        elif self.fw_size is None:
            self._nak(number, message.seq, m.NakReason.NOT_NOW)
            return
        elif isinstance(message, m.FwBlock) and message.offset == self.fw_next:
            self.fw_next += len(message.data)
        if isinstance(message, m.FwEnd):
            self.fw_size = None
            self._send(m.FwStatus(seq=self._seq, state=3, next_offset=self.fw_next, error=m.NakReason.NOT_FITTED))
        else:
            self._send(m.FwStatus(seq=self._seq, state=1, next_offset=self.fw_next))

    # -- the board's own watch ----------------------------------------------------------------------------------------

    def _watch(self) -> None:
        """Lease, emergency stop and pilot: what the board decides without being asked."""
        plant, out, now = self.plant, self.plant.out, self._now
        if self._command_until and now >= self._command_until:
            self._command_until = 0
            self.lease_expiries += 1
            tie, contacts = out.tie_closed, out.contacts
            if out.contactor_wanted:
                self._rearm = self._lease_expired = True
            out.make_safe()
            out.tie_closed, out.contacts = tie, contacts
            self._event(m.EventCode.LEASE_EXPIRED)
        if self._tie_until and now >= self._tie_until:
            self._tie_until = 0
            out.tie_closed, out.contacts = False, 0
        if out.contactor_wanted and not plant.chain_closed():  # the hardware chain has opened the coil
            out.contactor_wanted = False
            self._rearm = True
            if plant.cp is not CpState.C and plant.cp is not CpState.D:
                self._event(m.EventCode.CP_LEFT_CD)
        if plant.estop is not self._was_estop:
            self._was_estop = plant.estop
            out.emergency = out.emergency or plant.estop
            self._event(m.EventCode.ESTOP_PRESSED if plant.estop else m.EventCode.ESTOP_RELEASED)
        closed = out.contactor_closed
        if closed is not self._was_contactor:
            self._was_contactor = closed
            self._event(m.EventCode.CONTACTOR_CLOSED if closed else m.EventCode.CONTACTOR_OPENED)

    # -- bytes out ----------------------------------------------------------------------------------------------------

    def step(self, now: Instant) -> bytes:
        """Let the time be ``now``: watch, then return the bytes that leave (may be empty)."""
        self._now = now = max(self._now, now)
        if self._boot_done is not None:
            if now < self._boot_done:
                return b""
            self._boot_done = None
            self._event(m.EventCode.BOOT)
        self._watch()
        if self.faults.silent:
            self._ready.clear()
            self._delayed.clear()
            return b""
        if not self._host_known:
            if now >= self._next_hello:
                self._next_hello = now + HELLO_PERIOD_NS
                self._send_hello(answer=False)
        else:
            self._periodic(now)
        return self._leave(now)

    def _periodic(self, now: Instant) -> None:
        if now >= self._next_status:
            period = ms(max(1, self.faults.status_period_ms))
            self._next_status = max(self._next_status + period, now + period // 2)
            self._send_status()
        elif now >= self._next_beat:
            self._send(m.Heartbeat(seq=self._seq, uptime_ms=self._uptime_ms()))
        if self._events:
            for event in list(self._events):
                if now >= event[4]:
                    self._send_event(event, now)

    def _send_event(self, event: list[int], now: Instant) -> None:
        number, code, value, tries, _ = event
        self._send(
            m.Event(seq=number & 0xFF, event_seq=number, code=code, uptime_ms=self._uptime_ms(), value=value)
        )
        event[3] = tries - 1
        event[4] = now + EVENT_RETRY_NS
        if tries <= 1:
            self._events.remove(event)

    def _send_status(self) -> None:
        if not self.faults.frozen:
            self._frozen = None
        status = self._frozen
        if status is None:
            flags = m.ErrorFlag.LEASE_EXPIRED.value if self._lease_expired else 0
            status = self.plant.status(lease_active=self.plant.out.contactor_closed, error_flags=flags)
            if self.faults.frozen:
                self._frozen = status
        try:
            frame = self._outgoing.status(status, self._seq, self._uptime_ms(), self._counter or 0)
        except ProtocolError as error:  # physics is wrong, not the line
            raise BugError(f"simulated board {self.board_id}: {error}: {status}") from error
        self._put(frame)

    def _send_hello(self, *, answer: bool) -> None:
        self._send(
            m.Hello(
                seq=self._seq,
                version_min=self.versions[0],
                version_max=self.versions[1],
                flags=m.HelloFlag.FROM_BOARD | (m.HelloFlag.ANSWER if answer else 0),
                boot_id=self._boot_id,
                capabilities=self.CAPABILITIES | (m.Capability.MATRIX if self.plant.contacts is not None else 0),
                board_id=self.board_id,
                vendor="evse-station",
                model=self.MODEL,
                firmware=self.firmware,
            )
        )

    def _event(self, code: m.EventCode, value: int = 0) -> None:
        self._events.append([self._event_seq, code, value, EVENT_TRIES, self._now])
        self._event_seq = (self._event_seq + 1) & 0xFFFF

    def _ack(self, msg_id: int, seq: int) -> None:
        self._send(m.Ack(seq=self._seq, msg_id=msg_id, msg_seq=seq))

    def _nak(self, msg_id: int, seq: int, reason: m.NakReason, field: int = 0) -> None:
        self._send(m.Nak(seq=self._seq, msg_id=msg_id, msg_seq=seq, reason=reason, field=field))

    def _send(self, message: m.Message) -> None:
        self._put(link.encode(message))

    def _put(self, frame: bytes) -> None:
        self._seq = (self._seq + 1) & 0xFF
        self._next_beat = self._now + ms(m.HEARTBEAT_MS)
        faults = self.faults
        if faults.crc_error_permille and self._rng.randrange(1000) < faults.crc_error_permille:
            broken = bytearray(frame)
            broken[self._rng.randrange(len(frame) - 1)] ^= 1 << self._rng.randrange(8)
            frame = bytes(broken)
        if faults.delay_ms:
            self._delayed.append((self._now + ms(faults.delay_ms), frame))
        elif len(self._ready) < OUTBOX_MAX:
            self._ready.append(frame)

    def _leave(self, now: Instant) -> bytes:
        ready, delayed = self._ready, self._delayed
        while delayed and delayed[0][0] <= now:
            ready.append(delayed.popleft()[1])
        if not ready:
            return b""
        data = ready[0] if len(ready) == 1 else b"".join(ready)
        ready.clear()
        return data

    def _uptime_ms(self) -> int:
        return (self._now - self._started) // NS_PER_MS & 0xFFFF_FFFF

    def own_deadline(self) -> Instant:
        """Return when the board does something by itself, line or no line; 0 = nothing to come."""
        return self._command_until or self._tie_until

    def next_due(self) -> Instant:
        """Return when `step` has something to do next, if no bytes come before."""
        if self._boot_done is not None:
            return self._boot_done
        own = self.own_deadline()
        if self.faults.silent:
            return own or self._now + ms(m.STATUS_PERIOD_MS)
        due = self._next_status if self._host_known else self._next_hello
        if self._host_known and self._next_beat < due:
            due = self._next_beat
        if own and own < due:
            due = own
        if self._delayed and self._delayed[0][0] < due:
            due = self._delayed[0][0]
        return due

    # -- pump ---------------------------------------------------------------------------------------------------------

    async def serve(self, stream: ByteStream, clock: Clock) -> None:
        """Run on ``stream`` until it is gone, then on without a line until no deadline of the board's own is left.

        Serving a new stream takes over from the old one; the board keeps its state in between, as hardware does.
        """
        self._generation += 1
        mine = self._generation
        self._deframer.reset()
        self._now = max(self._now, clock.now())
        if self._started == 0:
            self._started = self._now
        reader = asyncio.create_task(self._listen(stream, clock))
        try:
            while not reader.done() and mine == self._generation:
                data = self.step(clock.now())
                if data:
                    await stream.write(data)
                # Capped: what arrives meanwhile (HELLO, new levels) may have made something due earlier.
                await asyncio.sleep(clamp(self.next_due() - clock.now(), 0, PASS_NS) / NS_PER_S)
        except DeviceError:
            pass
        except asyncio.CancelledError:  # switched off, not unplugged: nobody would watch the lease any more
            if mine == self._generation:
                self.plant.out.make_safe()
            raise
        finally:
            reader.cancel()
            with contextlib.suppress(asyncio.CancelledError, DeviceError):
                await reader
        await stream.close()
        while mine == self._generation and self.own_deadline():
            self.step(clock.now())
            await asyncio.sleep(max(NS_PER_MS, self.own_deadline() - clock.now()) / NS_PER_S)
            self.step(clock.now())

    async def _listen(self, stream: ByteStream, clock: Clock) -> None:
        while True:
            data = await stream.read()
            now = clock.now()
            self.feed(data, now)
            if self._ready:
                answer = self._leave(now)
                if answer:
                    await stream.write(answer)


__all__ = ["BoardFaults", "BoardOutputs", "BoardPlant", "SimBoard"]
