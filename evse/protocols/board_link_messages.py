"""Messages, numbers and names of the board link, version 1. The document is docs/board-link.md; both must agree.

Codes that a newer peer may extend (events, NAK reasons, reset causes) are plain integers with a table of names, so that
a number this side does not know is shown and not refused.
"""

from __future__ import annotations

import enum
from typing import Final, TypeAlias

import msgspec

from evse.domain.signals import BoardCommand, BoardInfo, BoardStatus

VERSION: Final = 1
"""Version of the message layouts in this module."""

HEARTBEAT_MS: Final = 100
"""Each side sends at least one frame in this time."""

LEASE_MS: Final = 3 * HEARTBEAT_MS
"""The board opens its contactors when no COMMAND renewed the lease for this time (three heartbeats)."""

STATUS_PERIOD_MS: Final = 50
RAW_MAX: Final = 250
"""Longest frame before COBS, CRC included: below 254, so that COBS adds exactly one byte and code 0xFF never occurs."""
BLOCK_MAX: Final = RAW_MAX + 1
"""Longest COBS block, without delimiter."""
FW_BLOCK_MAX: Final = 192
RESET_MAGIC: Final = 0x5AFE


class MsgId(enum.IntEnum):
    """Message numbers. 0x80 and above: optional messages that a receiver skips without NAK."""

    HELLO = 0x01
    HEARTBEAT = 0x02
    ACK = 0x03
    NAK = 0x04
    STATUS = 0x10
    COMMAND = 0x11
    EVENT = 0x12
    REQUEST = 0x13
    DIAGNOSTICS = 0x14
    RESET = 0x15
    FW_BEGIN = 0x20
    FW_BLOCK = 0x21
    FW_END = 0x22
    FW_STATUS = 0x23
    LOG = 0x80


class Capability(enum.IntFlag):
    """Bits of HELLO ``capabilities``: what the board is fitted with."""

    DC = 1 << 0
    AC = 1 << 1
    LOCK = 1 << 2
    IMD = 1 << 3
    TIE_RELAY = 1 << 4
    TEMPERATURE = 1 << 5
    STOP_BUTTON = 1 << 6
    DOOR = 1 << 7
    FIRMWARE_UPDATE = 1 << 8
    DIN70121 = 1 << 9
    ISO15118_2 = 1 << 10
    ISO15118_20 = 1 << 11
    OUTPUT_VOLTAGE = 1 << 12
    LED = 1 << 13
    RCD = 1 << 14
    ROTARY = 1 << 15
    RELAY2 = 1 << 16
    DIGITAL_IO = 1 << 17
    PP = 1 << 18
    CP_LEVELS = 1 << 19
    HLC_AC = 1 << 20
    LED_RGB = 1 << 21
    BUZZER = 1 << 22
    FAKE_DC = 1 << 23
    LOCK_CAPACITOR = 1 << 24
    INPUT_LEVELS = 1 << 25
    PTC = 1 << 26
    MATRIX = 1 << 27


class ErrorFlag(enum.IntFlag):
    """Bits of STATUS ``error_flags``. A set bit stands until its cause is gone; ``LEASE_EXPIRED`` until re-armed."""

    LEASE_EXPIRED = 1 << 0
    CONTACTOR_FEEDBACK = 1 << 1
    LOCK_MOTOR = 1 << 2
    CP_DIODE = 1 << 3
    CP_SHORT = 1 << 4
    PP_INVALID = 1 << 5
    IMD_SELF_TEST = 1 << 6
    IMD_LOST = 1 << 7
    PLC_MODEM = 1 << 8
    TEMPERATURE_SENSOR = 1 << 9
    OVER_TEMPERATURE_BOARD = 1 << 10
    SUPPLY_LOW = 1 << 11
    OUTPUT_OVERVOLTAGE = 1 << 12
    TIE_FEEDBACK = 1 << 13
    WATCHDOG_RESET = 1 << 14
    MEMORY = 1 << 15
    LOCK_CAPACITOR = 1 << 16
    RCD_MONITOR = 1 << 17
    ROTARY_SWITCH = 1 << 18
    PILOT_LEVEL = 1 << 19
    MATRIX_FEEDBACK = 1 << 20


class HelloFlag(enum.IntFlag):
    """Bits of HELLO ``flags``."""

    ANSWER = 1 << 0
    FROM_BOARD = 1 << 1


class NakReason(enum.IntEnum):
    """Why a message was refused."""

    UNKNOWN_MESSAGE = 1
    FORMAT = 2
    VERSION = 3
    NO_HELLO = 4
    NOT_NOW = 5
    NOT_FITTED = 6
    RANGE = 7


class EventCode(enum.IntEnum):
    """Facts that a board reports once."""

    BOOT = 1
    LEASE_EXPIRED = 2
    ESTOP_PRESSED = 3
    ESTOP_RELEASED = 4
    CP_LEFT_CD = 5
    CONTACTOR_CLOSED = 6
    CONTACTOR_OPENED = 7
    STOP_BUTTON = 8
    REARM_NEEDED = 9
    RCD_TRIPPED = 10
    RCD_NORMAL = 11
    RCD_TEST_DROPPED = 12
    RELAY2_CLOSED = 13
    RELAY2_OPENED = 14
    V2G_ERROR = 15


class ResetKind(enum.IntEnum):
    """What RESET restarts."""

    BOARD = 1
    SECC = 2
    BOOTLOADER = 3


RESET_CAUSES: Final = {0: "unknown", 1: "power on", 2: "RESET message", 3: "watchdog", 4: "brown-out", 5: "panic"}
LOG_LEVELS: Final = {0: "debug", 1: "info", 2: "warning", 3: "error"}
FW_STATES: Final = {0: "idle", 1: "receiving", 2: "verified", 3: "failed"}


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """Base: ``seq`` 0..255 is the sender's frame counter, repeated by ACK and NAK."""

    seq: int = 0


class Hello(Message, frozen=True, kw_only=True):
    """Who is there and which versions it speaks. Layout is the same in every version."""

    version_min: int = VERSION
    version_max: int = VERSION
    flags: int = 0  # HelloFlag
    boot_id: int = 0  # random at each start of the sender: a new value = it has restarted
    capabilities: int = 0  # Capability
    heartbeat_ms: int = HEARTBEAT_MS
    lease_ms: int = LEASE_MS
    frame_max: int = RAW_MAX
    board_id: str = ""
    vendor: str = ""
    model: str = ""
    firmware: str = ""

    def info(self, version: int) -> BoardInfo:
        """Return the identity for the rest of the product, with the agreed ``version``."""
        return BoardInfo(
            board_id=self.board_id,
            vendor=self.vendor,
            model=self.model,
            firmware=self.firmware,
            protocol_version=version,
            capabilities=self.capabilities,
        )


class Heartbeat(Message, frozen=True, kw_only=True):
    """Sent when nothing else was sent for `HEARTBEAT_MS`. Does not renew the lease."""

    uptime_ms: int = 0


class Ack(Message, frozen=True, kw_only=True):
    """The message ``msg_id`` with number ``msg_seq`` was accepted."""

    msg_id: int
    msg_seq: int


class Nak(Message, frozen=True, kw_only=True):
    """The message ``msg_id`` with number ``msg_seq`` was refused; ``field`` is the number of the guilty field or 0."""

    msg_id: int
    msg_seq: int
    reason: int  # NakReason
    field: int = 0


class Status(Message, frozen=True, kw_only=True):
    """STATUS: the whole state of the board. ``lease_counter`` repeats the last accepted COMMAND."""

    status: BoardStatus
    uptime_ms: int = 0
    lease_counter: int = 0


class Command(Message, frozen=True, kw_only=True):
    """COMMAND: the complete levels. ``lease_counter`` 0..65535 must advance for the lease to be renewed."""

    levels: BoardCommand
    lease_counter: int = 0


class Event(Message, frozen=True, kw_only=True):
    """EVENT: repeated by the board until it is acknowledged (at most three times)."""

    event_seq: int
    code: int  # EventCode
    uptime_ms: int = 0
    value: int = 0
    text: str = ""


class Request(Message, frozen=True, kw_only=True):
    """Ask for one message of the given number (HELLO, STATUS, DIAGNOSTICS)."""

    msg_id: int


class Diagnostics(Message, frozen=True, kw_only=True):
    """Counters of the board since its start."""

    uptime_ms: int = 0
    frames_ok: int = 0
    frames_bad: int = 0
    heap_free_bytes: int = 0
    boots: int = 0
    lease_expiries: int = 0
    supply_mv: int = 0
    temperature_dc: int = 0
    reset_cause: int = 0  # RESET_CAUSES


class Reset(Message, frozen=True, kw_only=True):
    """Restart the board or a part; ``magic`` guards against a stray frame."""

    kind: int  # ResetKind
    magic: int = RESET_MAGIC


class Log(Message, frozen=True, kw_only=True):
    """A line for people; never acted on."""

    level: int = 1  # LOG_LEVELS
    uptime_ms: int = 0
    text: str = ""


class FwBegin(Message, frozen=True, kw_only=True):
    """Start of a firmware image: its size in bytes and CRC-32 (ISO-HDLC)."""

    size: int
    crc32: int
    block_size: int = FW_BLOCK_MAX
    model: str = ""
    firmware: str = ""


class FwBlock(Message, frozen=True, kw_only=True):
    """``data`` (1..192 bytes) at ``offset``."""

    offset: int
    data: bytes


class FwEnd(Message, frozen=True, kw_only=True):
    """All blocks were sent; the board verifies and answers FW_STATUS."""

    size: int
    crc32: int


class FwStatus(Message, frozen=True, kw_only=True):
    """Where the board stands with the image; ``next_offset`` = first byte it does not have."""

    state: int  # FW_STATES
    next_offset: int = 0
    error: int = 0  # NakReason or 0


class Unknown(Message, frozen=True, kw_only=True):
    """A valid frame with a message number that this side does not know."""

    msg_id: int
    payload: bytes


AnyMessage: TypeAlias = (
    Hello | Heartbeat | Ack | Nak | Status | Command | Event | Request | Diagnostics | Reset | Log
    | FwBegin | FwBlock | FwEnd | FwStatus | Unknown
)


def flag_names(flags: int) -> tuple[str, ...]:
    """Return the names of the set error bits, lowest first; unknown bits as ``bit<n>``."""
    names = []
    for bit in range(32):
        if flags >> bit & 1:
            try:
                names.append(ErrorFlag(1 << bit).name or f"bit{bit}")
            except ValueError:
                names.append(f"bit{bit}")
    return tuple(names)


def code_name(table: type[enum.IntEnum], code: int) -> str:
    """Return the name of ``code`` in ``table`` in lower case with spaces, or ``code <n>``."""
    try:
        return table(code).name.lower().replace("_", " ")
    except ValueError:
        return f"code {code}"
