"""What the core answers on a tick: complete levels, numbered events, wanted effects, requests to the planner."""

from __future__ import annotations

from typing import TypeAlias

import msgspec

from evse.domain.limits import PowerRequest
from evse.domain.session import SessionRecord
from evse.domain.signals import BoardCommand, GroupCommand
from evse.domain.view import Event
from evse.units import Instant


class EvseOutput(msgspec.Struct, frozen=True, kw_only=True):
    """Levels for the board of one EVSE."""

    evse_id: int
    board: BoardCommand


# Effects: what the shell shall do; each is idempotent by its session id.


class Effect(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Base of all effects."""

    evse_id: int


class RequestAuthorization(Effect, frozen=True, kw_only=True):
    """Ask CSMS, list or cache; answer with `AuthorizeResult`."""

    id_token: str


class RequestSignature(Effect, frozen=True, kw_only=True):
    """Ask the meter for a signed reading; answer with `MeterSigned`, at the latest at ``deadline``."""

    number: int
    end: bool  # of the end of a transaction, else of its begin
    id_token: str
    deadline: Instant


class OpenTransaction(Effect, frozen=True, kw_only=True):
    """Make the start durable (session and StartTransaction row), then answer `TransactionStored`."""

    session: SessionRecord


class CloseTransaction(Effect, frozen=True, kw_only=True):
    """Make the stop durable (session and StopTransaction row)."""

    session: SessionRecord


class SaveSession(Effect, frozen=True, kw_only=True):
    """Store the session as it stands now (unplugged without transaction, SoC, transaction id)."""

    session: SessionRecord


AnyEffect: TypeAlias = RequestAuthorization | RequestSignature | OpenTransaction | CloseTransaction | SaveSession


class Outputs(msgspec.Struct, frozen=True, kw_only=True):
    """Everything a tick decides."""

    evses: tuple[EvseOutput, ...]
    groups: tuple[GroupCommand, ...]
    events: tuple[Event, ...] = ()
    effects: tuple[AnyEffect, ...] = ()
    requests: tuple[PowerRequest, ...] = ()


__all__ = [
    "AnyEffect", "CloseTransaction", "Effect", "EvseOutput", "OpenTransaction", "Outputs", "RequestAuthorization",
    "RequestSignature", "SaveSession",
]
