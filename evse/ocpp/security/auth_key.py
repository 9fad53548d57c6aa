"""The AuthorizationKey: the password of HTTP Basic authentication (security whitepaper, A01).

The whitepaper writes it as up to 40 hexadecimal digits that stand for 16 to 20 bytes; many back ends send it as text of 16
to 40 characters. Both are understood; ``auto`` takes an even number of 32 to 40 hexadecimal digits as bytes.
"""

from __future__ import annotations

import base64
import re

BYTES_MIN, BYTES_MAX = 16, 20
TEXT_MAX = 40

USER_MAX = 64
"""Characters of a user name (AuthorizationUser)."""

_HEX = re.compile(r"(?:[0-9A-Fa-f]{2}){16,20}")
_TEXT = re.compile(r"[\x20-\x7e]{16,40}")

USER_MAX = 64

_USER = re.compile(r"[\x21-\x39\x3b-\x7e](?:[\x20-\x39\x3b-\x7e]*[\x21-\x39\x3b-\x7e])?")
"""No colon: it would end the name (RFC 7617)."""

FORMATS = ("auto", "hex", "text")


def problem(value: str, form: str) -> str:
    """Return why a key is not allowed, "" when it is; never holds the key."""
    if form == "hex" and not _HEX.fullmatch(value):
        return f"{len(value)} characters that are not an even number of 32 to 40 hexadecimal digits (16 to 20 bytes)"
    if form != "hex" and not _TEXT.fullmatch(value):
        return f"{len(value)} characters; a key has 16 to {TEXT_MAX} printable ASCII characters, or 32 to 40 hexadecimal digits"
    return ""


def user_problem(value: str) -> str:
    """Return why a user name is not allowed, "" when it is; an empty one stands for the charge point id."""
    if value and (len(value) > USER_MAX or not _USER.fullmatch(value)):
        return f"a user name has at most {USER_MAX} printable ASCII characters, without a colon and without spaces around it"
    return ""


def password(value: str, form: str) -> bytes:
    """Return the bytes of a key that `problem` accepts."""
    if form != "text" and _HEX.fullmatch(value):
        return bytes.fromhex(value)
    return value.encode("ascii")


def header(charge_point_id: str, value: str, form: str) -> str:
    """Return the value of the Authorization header (RFC 7617)."""
    return "Basic " + base64.b64encode(charge_point_id.encode() + b":" + password(value, form)).decode("ascii")
