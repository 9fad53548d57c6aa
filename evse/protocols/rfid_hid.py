"""Card readers that are keyboards: Linux input events to lines of characters, ended by Enter.

An event is time, type, code and value (``linux/input.h``); 24 bytes on 64 bit systems, 16 on 32 bit ones, in the byte
order of the machine. Of the keys only digits, A to F and Enter mean something; modifiers are ignored (hex digits count
in either case), and any other key spoils the line it is in: it was typed by somebody or comes from another device.
"""

from __future__ import annotations

import struct
from typing import Final

from evse.protocols.errors import ProtocolError

EVENT_BYTES_64: Final = 24
EVENT_BYTES_32: Final = 16
EVENT_BYTES_NATIVE: Final = struct.calcsize("@llHHi")

_FORMATS: Final = {EVENT_BYTES_64: struct.Struct("=qqHHi"), EVENT_BYTES_32: struct.Struct("=iiHHi")}

EV_SYN: Final = 0
EV_KEY: Final = 1
SYN_DROPPED: Final = 3
"""The kernel's buffer was full: events are missing."""

RELEASED: Final = 0
PRESSED: Final = 1
REPEATED: Final = 2

ENTER: Final = frozenset((28, 96))
"""KEY_ENTER, KEY_KPENTER."""

MODIFIERS: Final = frozenset((29, 42, 54, 56, 58, 69, 97, 100))
"""Control, shift, alt, caps lock and num lock on either side."""

KEYS: Final[dict[int, str]] = {
    **{code: str((code - 1) % 10) for code in range(2, 12)},  # KEY_1 .. KEY_9, KEY_0
    71: "7", 72: "8", 73: "9", 75: "4", 76: "5", 77: "6", 79: "1", 80: "2", 81: "3", 82: "0",  # KEY_KP..
    30: "A", 48: "B", 46: "C", 32: "D", 18: "E", 33: "F",
}
"""Key codes of ``linux/input-event-codes.h``."""

CODES: Final[dict[str, int]] = {character: code for code, character in reversed(KEYS.items())}

LINE_MAX: Final = 32
"""Longest line that is kept, characters; the longest UID has 20."""

SPOILT: Final = "?"
"""Stands in a line for a key that is no hex digit."""


class HidLines:
    """Incremental decoder. ``errors`` counts lines that were lost as a whole: too long, or with missing events.

    The result does not depend on how the bytes are cut. At most one event and one line are kept.
    """

    def __init__(self, event_bytes: int = EVENT_BYTES_NATIVE) -> None:
        if event_bytes not in _FORMATS:
            raise ValueError(f"input event of {event_bytes} bytes, must be {EVENT_BYTES_64} or {EVENT_BYTES_32}")
        self._format = _FORMATS[event_bytes]
        self._buffer = bytearray()
        self._line = ""
        self._lost = False
        self.errors = 0

    def feed(self, data: bytes) -> list[str]:
        """Return the complete lines in upper case without their ends; empty lines are none."""
        self._buffer += data
        size = self._format.size
        whole = len(self._buffer) // size * size
        lines = []
        for _, _, kind, code, value in self._format.iter_unpack(bytes(self._buffer[:whole])):
            line = self._event(kind, code, value)
            if line:
                lines.append(line)
        del self._buffer[:whole]
        return lines

    def _event(self, kind: int, code: int, value: int) -> str:
        """Take one event; return the line that it ends, else ""."""
        if kind == EV_SYN and code == SYN_DROPPED:
            self._lost = True
        if kind != EV_KEY or value != PRESSED:
            return ""
        if code in ENTER:
            line, lost = self._line, self._lost
            self._line, self._lost = "", False
            if lost:
                self.errors += 1
                return ""
            return line
        if code not in MODIFIERS:
            self._line += KEYS.get(code, SPOILT)
            if len(self._line) > LINE_MAX:
                self._line, self._lost = "", True
        return ""

    @property
    def waiting(self) -> bool:
        """Whether a line has begun and not ended."""
        return self._lost or bool(self._line)

    def reset(self) -> None:
        """Forget a line that has begun; half an event is kept."""
        self._line, self._lost = "", False

    def restart(self) -> None:
        """The device was opened anew: forget everything."""
        self.reset()
        self._buffer.clear()


def event(kind: int, code: int, value: int, event_bytes: int = EVENT_BYTES_NATIVE) -> bytes:
    """Return one event with time zero."""
    return _FORMATS[event_bytes].pack(0, 0, kind, code, value)


def typed(text: str, event_bytes: int = EVENT_BYTES_NATIVE) -> bytes:
    """Return what a reader types for ``text`` (digits, A to F) and Enter: each key pressed and released, with SYN."""
    codes = []
    for character in text.upper():
        if character not in CODES:
            raise ProtocolError(f"HID reader: {character!r} in {text!r} is no hex digit")
        codes.append(CODES[character])
    syn = event(EV_SYN, 0, 0, event_bytes)
    return b"".join(
        event(EV_KEY, code, value, event_bytes) + syn for code in (*codes, 28) for value in (PRESSED, RELEASED)
    )
