"""Cards that another controller tells over MQTT: the payload of ``port0/rfid/authorization_request``.

A JSON array of two strings: the standard of the card and its UID in hex, little-endian, zero filled, without delimiters
(Charge Control C user guide 15.17, reference plc-serial.md section 5). Little-endian means the order of the air
interface (UID0 first), which is ours.
"""

from __future__ import annotations

from typing import Final, Literal, get_args

import msgspec

from evse.protocols.errors import ProtocolError

TOPIC: Final = "port0/rfid/authorization_request"

Standard = Literal["ISO14443", "ISO15693", "UNKNOWN"]
STANDARDS: Final[tuple[Standard, ...]] = get_args(Standard)

PAYLOAD_MAX: Final = 256
"""Longest payload that is looked at, bytes; the longest valid one has 37."""

UID_SIZES: Final[dict[str, tuple[int, ...]]] = {
    "ISO14443": (4, 7, 10),
    "ISO15693": (8,),
    "UNKNOWN": (4, 5, 6, 7, 8, 9, 10),
}
"""Bytes of a UID. 10 bytes are the 20 characters that an OCPP 1.6 idTag may have."""


class MqttCard(msgspec.Struct, frozen=True, kw_only=True):
    """One card. ``uid`` in the order of the air interface."""

    standard: Standard
    uid: bytes


def parse_request(payload: bytes) -> MqttCard:
    """Return the card of a payload; `ProtocolError` says what is wrong with it."""
    if len(payload) > PAYLOAD_MAX:
        raise ProtocolError(f"MQTT card: payload of {len(payload)} bytes, at most {PAYLOAD_MAX}")
    shown = payload[:40].decode("ascii", "backslashreplace")
    try:
        standard, text = msgspec.json.decode(payload, type=tuple[str, str])
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ProtocolError(f'MQTT card: {shown!r} is not ["<standard>", "<UID>"]: {error}') from error
    known = next((one for one in STANDARDS if one == standard), None)
    if known is None:
        raise ProtocolError(f"MQTT card: standard {standard[:20]!r} must be one of {', '.join(STANDARDS)}")
    if len(text) % 2 or not text.isascii() or not text.isalnum():
        raise ProtocolError(f"MQTT card: UID {text[:40]!r} must be hex with two digits for each byte, no delimiter")
    try:
        uid = bytes.fromhex(text)
    except ValueError:
        raise ProtocolError(f"MQTT card: UID {text[:40]!r} has characters that are no hex digits") from None
    if len(uid) not in UID_SIZES[known]:
        sizes = " or ".join(map(str, UID_SIZES[known]))
        raise ProtocolError(f"MQTT card: UID {text[:40]!r} has {len(uid)} bytes, {known} has {sizes}")
    return MqttCard(standard=known, uid=uid)


def request_payload(card: MqttCard) -> bytes:
    """Return the payload that tells ``card`` to other controllers."""
    return msgspec.json.encode((card.standard, card.uid.hex().upper()))
