"""What an operation of the API is, and the two short ways to write one down."""

from __future__ import annotations

import enum
from typing import Final

import msgspec

from evse.access.roles import Role
from evse.api import models as m

BODY_MAX_BYTES: Final = 256 * 1024
"""Longest request body."""
BODY_LONG_MAX_BYTES: Final = 4 * 1024 * 1024
"""Longest request body of an operation that takes whole files."""


class Risk(enum.Enum):
    """What an operation can do to people; the CLI asks ``--accept-risk`` by this name."""

    NONE = "none"
    STOP_CHARGING = "stop-charging"
    ENERGISE = "energise"


class Empty(m.Model, frozen=True, kw_only=True):
    """No request fields."""


class Operation(msgspec.Struct, frozen=True, kw_only=True):
    """One operation. GET operations take their request as query parameters, POST as JSON body."""

    name: str
    method: str
    path: str
    request: type[m.Model] = Empty
    response: type[m.Model]
    role: Role
    help: str
    risk: Risk = Risk.NONE
    stream: bool = False
    audit: bool = False
    body_max_bytes: int = BODY_MAX_BYTES


def get(
    name: str,
    path: str,
    response: type[m.Model],
    help_: str,
    request: type[m.Model] = Empty,
    role: Role = Role.GUEST,
    *,
    stream: bool = False,
) -> Operation:
    """Return an operation that only reads."""
    return Operation(
        name=name, method="GET", path=path, request=request, response=response, role=role, help=help_, stream=stream
    )


def post(
    name: str,
    path: str,
    request: type[m.Model],
    response: type[m.Model],
    help_: str,
    role: Role = Role.OPERATOR,
    risk: Risk = Risk.NONE,
    *,
    audit: bool = True,
    body_max_bytes: int = BODY_MAX_BYTES,
) -> Operation:
    """Return an operation that changes something, with its audit row."""
    return Operation(
        name=name,
        method="POST",
        path=path,
        request=request,
        response=response,
        role=role,
        help=help_,
        risk=risk,
        audit=audit,
        body_max_bytes=body_max_bytes,
    )
