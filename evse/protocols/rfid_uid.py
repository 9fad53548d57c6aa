"""Card numbers of every reader family: allowed lengths, random ones, and the two order switches.

A UID is kept in the order of the air interface (ISO 14443-3: UID0 first). What a back end or a list calls the same card
depends on the reader it was learnt with: the whole number may be turned round, and the characters inside each 16 bit
data word may change places. The switches are applied before anything is compared.
"""

from __future__ import annotations

from typing import Final, Literal

from evse.protocols.errors import ProtocolError

ByteOrder = Literal["big", "little"]
CharacterOrder = Literal["plain", "word", "digit"]

BYTE_ORDERS: Final = ("big", "little")
CHARACTER_ORDERS: Final = ("plain", "word", "digit")

UID_SIZES: Final = (4, 7, 10)
"""Single, double and triple size (ISO 14443-3), bytes."""

RANDOM_UID_FIRST: Final = 0x08
"""First byte of a 4 byte UID that changes at each presentation (ISO 14443-3)."""


def check_uid(uid: bytes, where: str) -> bytes:
    """Return ``uid``; `ProtocolError` beginning with ``where`` when its length is not 4, 7 or 10 bytes."""
    if len(uid) not in UID_SIZES:
        shown = uid[:16].hex(" ").upper()
        raise ProtocolError(f"{where}: UID of {len(uid)} bytes ({shown}), must be 4, 7 or 10")
    return uid


def id_token(uid: bytes, byte_order: str = "big", character_order: str = "plain") -> str:
    """Return the token of a UID: upper-case hex without separators, 2 digits for each byte.

    ``byte_order`` comes first: ``little`` turns the order of all bytes. Then ``character_order``: ``word`` exchanges the
    two bytes of each 16 bit word (an odd last byte stays), ``digit`` exchanges the two hex digits of each byte, which is
    what a 16 bit register with two ASCII characters shows when they are read the other way round.
    """
    if byte_order == "little":
        uid = uid[::-1]
    if character_order == "plain":
        return uid.hex().upper()
    if character_order == "word":
        pairs = bytearray(uid)
        even = len(uid) & ~1
        pairs[0:even:2], pairs[1:even:2] = uid[1:even:2], uid[0:even:2]
        return pairs.hex().upper()
    return bytes((byte >> 4) | ((byte & 0x0F) << 4) for byte in uid).hex().upper()


def is_random(uid: bytes) -> bool:
    """Return whether the UID changes at each presentation (4 bytes beginning with 08): useless on a white list."""
    return len(uid) == 4 and uid[0] == RANDOM_UID_FIRST


def same_card(a: bytes, b: bytes) -> bool:
    """Return whether two UIDs may be one presentation: equal, or both random."""
    return a == b or (is_random(a) and is_random(b))
