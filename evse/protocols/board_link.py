"""Codec of the board link, version 1 (docs/board-link.md): messages to frames and back, for both ends.

A frame is ``COBS(version, message, seq, fixed fields, extension fields, CRC) 0x00``. The fixed fields of a message
never change within a version; whatever is added later travels as extension field (number, length, value), and a
receiver skips the numbers that it does not know. `decode_block` raises `ProtocolError` for everything that is not a
valid frame and nothing else. STATUS and COMMAND cross the link twenty times a second and have hand-made code; the rest
goes through one table.
"""

from __future__ import annotations

import enum
import struct
from binascii import crc_hqx
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeVar

import msgspec

from evse.domain.signals import (
    HLC_STEPS,
    Authorization,
    BoardCommand,
    BoardStatus,
    ContactorFeedback,
    CpState,
    EvStop,
    IsolationState,
    LockState,
    SlacState,
)
from evse.protocols import board_link_ac, board_link_matrix, cobs
from evse.protocols.board_link_messages import (
    BLOCK_MAX,
    FW_BLOCK_MAX,
    RAW_MAX,
    VERSION,
    Ack,
    AnyMessage,
    Command,
    Diagnostics,
    Event,
    FwBegin,
    FwBlock,
    FwEnd,
    FwStatus,
    Heartbeat,
    Hello,
    Log,
    Message,
    MsgId,
    Nak,
    Request,
    Reset,
    Status,
    Unknown,
)
from evse.protocols.errors import ProtocolError

CRC_START: Final = 0xFFFF  # CRC-16/IBM-3740: polynomial 0x1021, start 0xFFFF, not reflected, no final XOR; check 0x29B1
HELLO_VERSION: Final = 0
"""Version byte of HELLO and NAK, readable by every version."""

U32_NONE: Final = 0xFFFF_FFFF
I16_NONE: Final = -0x8000
U8_NONE: Final = 0xFF
HEADER_SIZE: Final = 3
CRC_SIZE: Final = 2
TEXT_MAX: Final = 32
LOG_TEXT_MAX: Final = 160
EVCC_ID_MAX: Final = 64

# Wire numbers are positions in these tuples; they are part of the document and never change their order.
CP_STATES: Final = (CpState.UNKNOWN, CpState.A, CpState.B, CpState.C, CpState.D, CpState.E, CpState.F)
CONTACTOR_STATES: Final = (ContactorFeedback.UNKNOWN, ContactorFeedback.OPEN, ContactorFeedback.CLOSED)
LOCK_STATES: Final = (LockState.UNKNOWN, LockState.UNLOCKED, LockState.LOCKED)
SLAC_STATES: Final = (SlacState.UNMATCHED, SlacState.MATCHING, SlacState.MATCHED, SlacState.FAILED)
STEPS: Final = (None, *HLC_STEPS)
PROTOCOLS: Final = ("", "DIN70121", "ISO15118-2", "ISO15118-20")
ISOLATION_STATES: Final = (
    IsolationState.INVALID, IsolationState.TESTING, IsolationState.VALID, IsolationState.WARNING, IsolationState.FAULT,
)
EV_STOPS: Final = (EvStop.NONE, EvStop.NORMAL, EvStop.ERROR, EvStop.COMM_LOST)
AUTHORIZATIONS: Final = (Authorization.NONE, Authorization.ONGOING, Authorization.GRANTED, Authorization.DENIED)

T = TypeVar("T")


def _numbers(table: Sequence[T]) -> dict[T, int]:
    return {value: number for number, value in enumerate(table)}


_CP_NO: Final = _numbers(CP_STATES)
_CONTACTOR_NO: Final = _numbers(CONTACTOR_STATES)
_LOCK_NO: Final = _numbers(LOCK_STATES)
_SLAC_NO: Final = _numbers(SLAC_STATES)
_STEP_NO: Final = _numbers(STEPS)
_PROTOCOL_NO: Final = _numbers(PROTOCOLS)
_ISOLATION_NO: Final = _numbers(ISOLATION_STATES)
_EV_STOP_NO: Final = _numbers(EV_STOPS)
_AUTHORIZATION_NO: Final = _numbers(AUTHORIZATIONS)

STATUS_FIXED: Final = struct.Struct("<BBB IHH BBBBBBBB I i B iiiii IIhI".replace(" ", ""))
COMMAND_FIXED: Final = struct.Struct("<BBB HHBBiiiii".replace(" ", ""))
# Field numbers of the enumerations of STATUS, with their tables, for error texts (the fast path indexes blindly).
_STATUS_ENUMS: Final[tuple[tuple[int, str, int], ...]] = (
    (4, "cp", len(CP_STATES)), (5, "contactor", len(CONTACTOR_STATES)), (6, "lock", len(LOCK_STATES)),
    (7, "slac", len(SLAC_STATES)), (8, "step", len(STEPS)), (9, "protocol", len(PROTOCOLS)),
    (10, "isolation", len(ISOLATION_STATES)), (11, "ev_stop", len(EV_STOPS)),
)


class Ext(enum.IntEnum):
    """Numbers of extension fields."""

    EVCC_ID = 32
    BOARD_ID = 33
    VENDOR = 34
    MODEL = 35
    FIRMWARE = 36
    TEXT = 37
    DATA = 48


# -- frames -----------------------------------------------------------------------------------------------------------


def crc16(data: bytes) -> int:
    """Return the CRC-16/IBM-3740 of ``data`` (0x29B1 for ``123456789``)."""
    return crc_hqx(data, CRC_START)


def frame(raw: bytes) -> bytes:
    """Return the bytes for the line of ``raw`` (header and fields): CRC appended, COBS, delimiter 0x00."""
    if len(raw) + CRC_SIZE > RAW_MAX:
        raise ProtocolError(f"board link: frame of {len(raw) + CRC_SIZE} bytes is longer than {RAW_MAX}")
    return cobs.encode(raw + crc_hqx(raw, CRC_START).to_bytes(2, "little")) + b"\0"


def _ext(number: int, value: bytes) -> bytes:
    return bytes((number, len(value))) + value


def _ascii(name: str, text: str, size_max: int) -> bytes:
    if len(text) > size_max or not text.isascii() or not text.isprintable():
        raise ProtocolError(f"board link: {name} {text[:80]!r} must be at most {size_max} printable ASCII characters")
    return text.encode("ascii")


def _text(name: str, value: bytes, size_max: int) -> str:
    text = value.decode("latin-1")
    if len(text) > size_max or not text.isascii() or not text.isprintable():
        raise ProtocolError(f"board link: {name} {text[:80]!a} must be at most {size_max} printable ASCII characters")
    return text


def _extensions(raw: bytes, at: int, end: int) -> dict[int, bytes]:
    """Return number -> value of the extension fields in ``raw[at:end]``; the last one of a number counts."""
    found: dict[int, bytes] = {}
    while at < end:
        if at + 2 > end:
            raise ProtocolError(f"board link: extension field at byte {at} is cut")
        stop = at + 2 + raw[at + 1]
        if stop > end:
            raise ProtocolError(f"board link: extension field {raw[at]} at byte {at} is {stop - end} bytes too short")
        found[raw[at]] = raw[at + 2 : stop]
        at = stop
    return found


# -- STATUS -----------------------------------------------------------------------------------------------------------


def encode_status(status: BoardStatus, *, seq: int = 0, uptime_ms: int = 0, lease_counter: int = 0) -> bytes:
    """Return the STATUS frame. ``ProtocolError`` when a value is outside the range of its field in the document."""
    return frame(status_raw(status, seq, uptime_ms, lease_counter))


def status_raw(status: BoardStatus, seq: int, uptime_ms: int, lease_counter: int) -> bytes:
    """Return header and fields of `encode_status`, without CRC."""
    kohm, soc, request, heat = status.isolation_kohm, status.soc_pct, status.ev_energy_request_wh, status.temperature_dc
    if kohm == U32_NONE or request == U32_NONE or heat == I16_NONE or not (soc is None or 0 <= soc <= 100):
        raise ProtocolError(f"board link: STATUS: out of range: soc {soc} %, {kohm} kohm, {request} Wh or {heat} d°C")
    try:
        raw = STATUS_FIXED.pack(
            VERSION, MsgId.STATUS, seq, uptime_ms, lease_counter,
            status.estop | status.tie_closed << 1 | status.lease_active << 2 | status.stop_button << 3
            | status.door_open << 4,
            _CP_NO[status.cp], _CONTACTOR_NO[status.contactor], _LOCK_NO[status.lock], _SLAC_NO[status.slac],
            _STEP_NO[status.step], _PROTOCOL_NO[status.protocol], _ISOLATION_NO[status.isolation],
            _EV_STOP_NO[status.ev_stop],
            U32_NONE if kohm is None else kohm,
            status.output_mv,
            U8_NONE if soc is None else soc,
            status.demand_mv, status.demand_ma, status.ev_max_mv, status.ev_max_ma, status.ev_max_w,
            U32_NONE if request is None else request,
            status.ev_age_ms,
            I16_NONE if heat is None else heat,
            status.error_flags,
        )
    except struct.error as error:
        raise ProtocolError(f"board link: STATUS: a value does not fit its field ({error})") from error
    except KeyError as error:
        known = ", ".join(PROTOCOLS[1:])
        raise ProtocolError(f"board link: STATUS: protocol {error} has no number; known: {known}") from error
    if status.evcc_id:
        raw += _ext(Ext.EVCC_ID, _ascii("evcc_id", status.evcc_id, EVCC_ID_MAX))
    if status.ac is not None:
        raw += board_link_ac.encode_status(status.ac)
    if status.contacts is not None:
        raw += board_link_matrix.encode_status(status.contacts)
    return raw


def _decode_status(raw: bytes, end: int) -> Status:
    if end < STATUS_FIXED.size:
        raise ProtocolError(f"board link: STATUS has {end} bytes, needs at least {STATUS_FIXED.size}")
    (
        _, _, seq, uptime_ms, lease_counter, flags, cp, contactor, lock, slac, step, protocol, isolation, ev_stop, kohm,
        output_mv, soc, demand_mv, demand_ma, ev_max_mv, ev_max_ma, ev_max_w, request, ev_age_ms, heat, error_flags,
    ) = STATUS_FIXED.unpack_from(raw)
    evcc_id, ac, contacts = "", None, None
    if end > STATUS_FIXED.size:
        found = _extensions(raw, STATUS_FIXED.size, end)
        value = found.get(Ext.EVCC_ID)
        if value:
            evcc_id = _text("evcc_id", value, EVCC_ID_MAX)
        ac = board_link_ac.decode_status(found)
        contacts = board_link_matrix.decode_status(found)
    if 100 < soc < U8_NONE:
        raise ProtocolError(f"board link: STATUS: field 14 (soc_pct) is {soc}; 0..100 or 255")
    try:
        status = BoardStatus(
            cp=CP_STATES[cp],
            estop=flags & 1 != 0,
            contactor=CONTACTOR_STATES[contactor],
            lock=LOCK_STATES[lock],
            slac=SLAC_STATES[slac],
            step=STEPS[step],
            evcc_id=evcc_id,
            protocol=PROTOCOLS[protocol],
            isolation=ISOLATION_STATES[isolation],
            isolation_kohm=None if kohm == U32_NONE else kohm,
            output_mv=output_mv,
            soc_pct=None if soc == U8_NONE else soc,
            demand_mv=demand_mv,
            demand_ma=demand_ma,
            ev_max_mv=ev_max_mv,
            ev_max_ma=ev_max_ma,
            ev_max_w=ev_max_w,
            ev_energy_request_wh=None if request == U32_NONE else request,
            ev_age_ms=ev_age_ms,
            ev_stop=EV_STOPS[ev_stop],
            temperature_dc=None if heat == I16_NONE else heat,
            tie_closed=flags & 2 != 0,
            lease_active=flags & 4 != 0,
            stop_button=flags & 8 != 0,
            door_open=flags & 16 != 0,
            error_flags=error_flags,
            ac=ac,
            contacts=contacts,
        )
    except IndexError:
        given = (cp, contactor, lock, slac, step, protocol, isolation, ev_stop)
        for (number, name, count), value in zip(_STATUS_ENUMS, given, strict=True):
            if value >= count:
                raise ProtocolError(
                    f"board link: STATUS: field {number} ({name}) is {value}, known are 0..{count - 1}"
                ) from None
        raise
    return Status(seq=seq, status=status, uptime_ms=uptime_ms, lease_counter=lease_counter)


# -- COMMAND ----------------------------------------------------------------------------------------------------------


def encode_command(levels: BoardCommand, *, lease_counter: int, seq: int = 0) -> bytes:
    """Return the COMMAND frame. ``lease_counter`` 0..65535; `ProtocolError` when a value does not fit its field."""
    return frame(command_raw(levels, seq, lease_counter))


def command_raw(levels: BoardCommand, seq: int, lease_counter: int) -> bytes:
    """Return header and fields of `encode_command`, without CRC."""
    try:
        raw = COMMAND_FIXED.pack(
            VERSION, MsgId.COMMAND, seq, lease_counter,
            levels.permit | levels.contactor_lease << 1 | levels.lock << 2 | levels.isolation_test << 3
            | levels.cable_check_done << 4 | levels.stop << 5 | levels.emergency << 6 | levels.tie_close << 7
            | levels.restart_slac << 8,
            _AUTHORIZATION_NO[levels.authorization], levels.led,
            levels.offered_mv, levels.offered_ma, levels.offered_w, levels.present_mv, levels.present_ma,
        )
    except struct.error as error:
        raise ProtocolError(f"board link: COMMAND: a value does not fit its field ({error}): {levels}") from error
    if levels.ac is not None:
        raw += board_link_ac.encode_command(levels.ac)
    if levels.contacts:
        raw += board_link_matrix.encode_command(levels.contacts)
    return raw


def _decode_command(raw: bytes, end: int) -> Command:
    if end < COMMAND_FIXED.size:
        raise ProtocolError(f"board link: COMMAND has {end} bytes, needs at least {COMMAND_FIXED.size}")
    (
        _, _, seq, lease_counter, flags, authorization, led, offered_mv, offered_ma, offered_w, present_mv, present_ma,
    ) = COMMAND_FIXED.unpack_from(raw)
    ac, contacts = None, 0
    if end > COMMAND_FIXED.size:
        found = _extensions(raw, COMMAND_FIXED.size, end)
        ac = board_link_ac.decode_command(found)
        contacts = board_link_matrix.decode_command(found)
    if authorization >= len(AUTHORIZATIONS):
        raise ProtocolError(f"board link: COMMAND: field 3 (authorization) is {authorization}, known are 0..3")
    levels = BoardCommand(
        permit=flags & 1 != 0,
        authorization=AUTHORIZATIONS[authorization],
        contactor_lease=flags & 2 != 0,
        lock=flags & 4 != 0,
        isolation_test=flags & 8 != 0,
        cable_check_done=flags & 16 != 0,
        offered_mv=offered_mv,
        offered_ma=offered_ma,
        offered_w=offered_w,
        present_mv=present_mv,
        present_ma=present_ma,
        stop=flags & 32 != 0,
        emergency=flags & 64 != 0,
        tie_close=flags & 128 != 0,
        contacts=contacts,
        led=led,
        restart_slac=flags & 256 != 0,
        ac=ac,
    )
    return Command(seq=seq, levels=levels, lease_counter=lease_counter)


# -- all others, by table ---------------------------------------------------------------------------------------------


class _Layout(msgspec.Struct, frozen=True):
    """Fixed fields in wire order and extension fields (number -> attribute, longest value) of one message."""

    make: Callable[..., Any]
    version: int
    fixed: struct.Struct
    names: tuple[str, ...]
    extensions: Mapping[int, tuple[str, int]] = {}


_IDENTITY: Final[dict[int, tuple[str, int]]] = {
    Ext.BOARD_ID: ("board_id", TEXT_MAX), Ext.VENDOR: ("vendor", TEXT_MAX), Ext.MODEL: ("model", TEXT_MAX),
    Ext.FIRMWARE: ("firmware", TEXT_MAX),
}
_LAYOUTS: Final[dict[int, _Layout]] = {
    MsgId.HELLO: _Layout(
        Hello, HELLO_VERSION, struct.Struct("<BBBxIIHHH"),
        ("version_min", "version_max", "flags", "boot_id", "capabilities", "heartbeat_ms", "lease_ms", "frame_max"),
        _IDENTITY,
    ),
    MsgId.HEARTBEAT: _Layout(Heartbeat, VERSION, struct.Struct("<I"), ("uptime_ms",)),
    MsgId.ACK: _Layout(Ack, VERSION, struct.Struct("<BB"), ("msg_id", "msg_seq")),
    MsgId.NAK: _Layout(Nak, HELLO_VERSION, struct.Struct("<BBBB"), ("msg_id", "msg_seq", "reason", "field")),
    MsgId.EVENT: _Layout(
        Event, VERSION, struct.Struct("<HHIi"), ("event_seq", "code", "uptime_ms", "value"),
        {Ext.TEXT: ("text", TEXT_MAX)},
    ),
    MsgId.REQUEST: _Layout(Request, VERSION, struct.Struct("<B"), ("msg_id",)),
    MsgId.DIAGNOSTICS: _Layout(
        Diagnostics, VERSION, struct.Struct("<IIIIHHHhB"),
        ("uptime_ms", "frames_ok", "frames_bad", "heap_free_bytes", "boots", "lease_expiries", "supply_mv",
         "temperature_dc", "reset_cause"),
    ),
    MsgId.RESET: _Layout(Reset, VERSION, struct.Struct("<BH"), ("kind", "magic")),
    MsgId.LOG: _Layout(
        Log, VERSION, struct.Struct("<BI"), ("level", "uptime_ms"), {Ext.TEXT: ("text", LOG_TEXT_MAX)}
    ),
    MsgId.FW_BEGIN: _Layout(
        FwBegin, VERSION, struct.Struct("<IIH"), ("size", "crc32", "block_size"),
        {Ext.MODEL: ("model", TEXT_MAX), Ext.FIRMWARE: ("firmware", TEXT_MAX)},
    ),
    MsgId.FW_BLOCK: _Layout(
        FwBlock, VERSION, struct.Struct("<I"), ("offset",), {Ext.DATA: ("data", FW_BLOCK_MAX)}
    ),
    MsgId.FW_END: _Layout(FwEnd, VERSION, struct.Struct("<II"), ("size", "crc32")),
    MsgId.FW_STATUS: _Layout(FwStatus, VERSION, struct.Struct("<BIB"), ("state", "next_offset", "error")),
}
_ID_OF: Final = {layout.make: number for number, layout in _LAYOUTS.items()}


def encode(message: Message) -> bytes:
    """Return the frame of any message but `Unknown`; `ProtocolError` when a value does not fit its field."""
    if isinstance(message, Status):
        return encode_status(
            message.status, seq=message.seq, uptime_ms=message.uptime_ms, lease_counter=message.lease_counter
        )
    if isinstance(message, Command):
        return encode_command(message.levels, lease_counter=message.lease_counter, seq=message.seq)
    number = _ID_OF.get(type(message))
    if number is None:
        raise ProtocolError(f"board link: {type(message).__name__} cannot be sent")
    layout = _LAYOUTS[number]
    try:
        raw = bytes((layout.version, number, message.seq)) + layout.fixed.pack(
            *(getattr(message, name) for name in layout.names)
        )
    except (struct.error, ValueError) as error:
        raise ProtocolError(f"board link: a value does not fit its field ({error}): {message}") from error
    for ext, (name, size_max) in layout.extensions.items():
        value = getattr(message, name)
        if isinstance(value, bytes):
            if not 1 <= len(value) <= size_max:
                raise ProtocolError(f"board link: {name} has {len(value)} bytes, must be 1..{size_max}")
            raw += _ext(ext, value)
        elif value:
            raw += _ext(ext, _ascii(name, value, size_max))
    return frame(raw)


def _decode_other(number: int, raw: bytes, end: int) -> AnyMessage:
    layout = _LAYOUTS[number]
    start = HEADER_SIZE + layout.fixed.size
    if end < start:
        raise ProtocolError(f"board link: message 0x{number:02X} has {end} bytes, needs at least {start}")
    fields: dict[str, int | str | bytes] = dict(
        zip(layout.names, layout.fixed.unpack_from(raw, HEADER_SIZE), strict=True)
    )
    found = _extensions(raw, start, end)
    for ext, (name, size_max) in layout.extensions.items():
        value = found.get(ext)
        if ext == Ext.DATA:
            if value is None or not 1 <= len(value) <= size_max:
                raise ProtocolError(f"board link: message 0x{number:02X} needs field {ext} with 1..{size_max} bytes")
            fields[name] = value
        elif value:
            fields[name] = _text(name, value, size_max)
    message: AnyMessage = layout.make(seq=raw[2], **fields)
    return message


def decode_block(block: bytes) -> AnyMessage:
    """Return the message of one COBS block (without delimiter); `ProtocolError` and nothing else for anything invalid.

    A valid frame with an unknown message number is `Unknown`, so that the receiver can answer NAK or skip it.
    """
    return decode_body(checked_body(block))


def checked_body(block: bytes) -> bytes:
    """Return header and fields of one COBS block whose length and CRC are right."""
    raw = cobs.decode(block)
    end = len(raw) - CRC_SIZE
    if end < HEADER_SIZE or len(raw) > RAW_MAX:
        raise ProtocolError(f"board link: frame of {len(raw)} bytes, must be {HEADER_SIZE + CRC_SIZE}..{RAW_MAX}")
    body = raw[:end]
    if crc_hqx(body, CRC_START) != raw[end] | raw[end + 1] << 8:
        raise CrcError(f"board link: CRC 0x{raw[end] | raw[end + 1] << 8:04X} of {len(raw)} bytes is wrong")
    return body


def decode_body(body: bytes) -> AnyMessage:
    """Return the message of header and fields; `ProtocolError` when they are not one."""
    version, number, end = body[0], body[1], len(body)
    expected = HELLO_VERSION if number in (MsgId.HELLO, MsgId.NAK) else VERSION
    if version != expected:
        raise ProtocolError(f"board link: message 0x{number:02X} has version {version}, expected {expected}")
    if number == MsgId.STATUS:
        return _decode_status(body, end)
    if number == MsgId.COMMAND:
        return _decode_command(body, end)
    if number in _LAYOUTS:
        return _decode_other(number, body, end)
    return Unknown(seq=body[2], msg_id=number, payload=body[HEADER_SIZE:])


class CrcError(ProtocolError):
    """The check sum is wrong: the line is disturbed, not the peer."""


def agree(own_min: int, own_max: int, peer_min: int, peer_max: int) -> int | None:
    """Return the highest version that both ranges hold, or None."""
    version = min(own_max, peer_max)
    return version if version >= max(own_min, peer_min) else None


def deframer() -> cobs.Deframer:
    """Return a deframer with the block limit of the board link."""
    return cobs.Deframer(BLOCK_MAX)
