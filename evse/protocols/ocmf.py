"""Open Charge Metering Format (S.A.F.E. e.V., version 1): what a signing meter says about a begin or an end. Pure.

A text is ``OCMF|<payload>|<signature>``, both JSON objects. The signature is over the bytes of the payload as they stand, so a
text is never taken apart and written anew. Keys are shown and sent as SubjectPublicKeyInfo in hexadecimal digits (Charge
Control C user guide, Meter1PublicKey).
"""

from __future__ import annotations

import json
from typing import Any, Final, Literal

import msgspec

from evse.protocols.errors import ProtocolError

HEAD: Final = "OCMF|"
TEXT_MAX: Final = 4096
"""Characters of a whole text; the registers of known meters hold about 1000."""

P256_HEAD: Final = bytes.fromhex("3059301306072a8648ce3d020106082a8648ce3d030107034200")
"""SubjectPublicKeyInfo of a key on secp256r1 up to its point (RFC 5480)."""
POINT_BYTES: Final = 64
UNCOMPRESSED: Final = b"\x04"


class Ocmf(msgspec.Struct, frozen=True):
    """A text in its parts. ``signed`` = the characters that the signature is over."""

    payload: dict[str, Any]
    signature: dict[str, Any]
    signed: str


def assemble(data: str, signature: bytes | None) -> str:
    """Return the whole text. ``data`` = payload, or the whole text already; ``signature`` = DER, None = it is in ``data``."""
    if signature is None or data.startswith(HEAD):
        return data
    return f'{HEAD}{data}|{{"SD":"{signature.hex()}"}}'


def parse(text: str) -> Ocmf:
    """Return the parts of ``text``; `ProtocolError` says what is not as it must be. Signatures are not checked here."""
    if not text.startswith(HEAD):
        raise ProtocolError(f"signed data: begins with {text[:12]!r} instead of {HEAD!r}")
    if len(text) > TEXT_MAX:
        raise ProtocolError(f"signed data: {len(text)} characters, at most {TEXT_MAX} are taken")
    payload, end = _object(text, len(HEAD), "payload")
    if text[end : end + 1] != "|":
        raise ProtocolError(f"signed data: {text[end : end + 12]!r} after the payload instead of '|'")
    signature, last = _object(text, end + 1, "signature")
    if text[last:]:
        raise ProtocolError(f"signed data: {text[last : last + 12]!r} after the signature")
    if not isinstance(signature.get("SD"), str) or not signature["SD"]:
        raise ProtocolError("signed data: the signature has no SD")
    if not isinstance(payload.get("RD"), list) or not payload["RD"]:
        raise ProtocolError("signed data: the payload has no readings (RD)")
    return Ocmf(payload, signature, text[len(HEAD) : end])


def _object(text: str, start: int, what: str) -> tuple[dict[str, Any], int]:
    try:
        found, end = json.JSONDecoder().raw_decode(text, start)
    except (ValueError, RecursionError) as error:
        raise ProtocolError(f"signed data: the {what} is not JSON: {str(error)[:80]}") from None
    if not isinstance(found, dict):
        raise ProtocolError(f"signed data: the {what} is no JSON object")
    return found, end


def key_hex(raw: bytes, form: Literal["der", "point"]) -> str:
    """Return SubjectPublicKeyInfo in hexadecimal digits of what a meter holds; bytes behind it are filling."""
    if form == "point":
        if len(raw) < POINT_BYTES or not any(raw[:POINT_BYTES]):
            raise ProtocolError(f"public key: {len(raw)} bytes, {POINT_BYTES} that are not all zero are needed")
        return (P256_HEAD + UNCOMPRESSED + raw[:POINT_BYTES]).hex()
    if len(raw) < 2 or raw[0] != 0x30 or raw[1] > 0x7F or len(raw) < 2 + raw[1]:
        raise ProtocolError(f"public key: {raw[:8].hex(' ') or 'no bytes'} does not begin a SubjectPublicKeyInfo")
    return raw[: 2 + raw[1]].hex()
