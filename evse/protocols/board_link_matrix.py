"""Matrix fields of STATUS and COMMAND (docs/board-link.md, "Matrix contacts"): the contacts between module groups and a connector.

One bit per module group, bit i = position i of the cabinet's groups. STATUS has two sets, one per auxiliary contact chain:
what is in neither or in both is not known. An absent field means: no contact fitted (STATUS), all open (COMMAND). A field
that is longer than this side knows has grown: the known bytes count. A shorter one is malformed.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Final

from evse.domain.signals import MatrixContacts
from evse.protocols.errors import ProtocolError

CONTACTS: Final = 96
SET_CONTACTS: Final = 97
GROUPS_MAX: Final = 32
"""Module groups that one cabinet can have in this version."""

_STATUS: Final = struct.Struct("<II")
_COMMAND: Final = struct.Struct("<I")


def _field(number: int, layout: struct.Struct, *values: int) -> bytes:
    try:
        return bytes((number, layout.size)) + layout.pack(*values)
    except struct.error as error:
        raise ProtocolError(
            f"board link: field {number} (matrix contacts): {values} does not fit {GROUPS_MAX} groups"
        ) from error


def _take(found: Mapping[int, bytes], number: int, layout: struct.Struct) -> tuple[int, ...] | None:
    value = found.get(number)
    if value is None:
        return None
    if len(value) < layout.size:
        raise ProtocolError(f"board link: field {number} (matrix contacts) has {len(value)} bytes, needs {layout.size}")
    return layout.unpack_from(value)


def encode_status(contacts: MatrixContacts) -> bytes:
    """Return the extension field of STATUS; `ProtocolError` for a group beyond `GROUPS_MAX`."""
    return _field(CONTACTS, _STATUS, contacts.closed, contacts.opened)


def decode_status(found: Mapping[int, bytes]) -> MatrixContacts | None:
    """Return the contacts of a STATUS; None = the board has none. `ProtocolError` for a field that is too short."""
    taken = _take(found, CONTACTS, _STATUS)
    return None if taken is None else MatrixContacts(closed=taken[0], opened=taken[1])


def encode_command(contacts: int) -> bytes:
    """Return the extension field of COMMAND; `ProtocolError` for a group beyond `GROUPS_MAX`."""
    return _field(SET_CONTACTS, _COMMAND, contacts)


def decode_command(found: Mapping[int, bytes]) -> int:
    """Return the contacts that a COMMAND closes, 0 = none. `ProtocolError` for a field that is too short."""
    taken = _take(found, SET_CONTACTS, _COMMAND)
    return 0 if taken is None else taken[0]
