"""Rows that cross the border between the storage and its users: outbox, samples, audit, cached tokens."""

from __future__ import annotations

from typing import Final

import msgspec

from evse.units import WallNs

ASIDE: Final = "set aside: "
"""How ``parked`` begins of a message that its session has gone on without: it is kept, and never sent any more."""

NUMBERED: Final = "another back end has numbered this transaction; this one does not know it"
"""``parked`` of messages that were moved to another back end and cannot be told to it: only a person sends them, one session at a time."""


class OutboxRow(msgspec.Struct, frozen=True, kw_only=True):
    """One transaction-related message to the CSMS, durable before it is first sent.

    ``payload`` is the JSON object without ``transactionId``; that number is known only after the CSMS answered
    StartTransaction, so it lives beside the payload and is put in when the row is sent. ``row_id`` is the order of
    delivery and is given by the store (0 = not stored yet). ``parked`` is the reason why delivery was given up for
    now, ``""`` = waiting.
    """

    unique_id: str
    action: str  # StartTransaction, MeterValues, StopTransaction
    session_id: str
    payload: str
    created: WallNs
    row_id: int = 0
    transaction_id: int | None = None
    attempts: int = 0  # answers that were errors, so far
    parked: str = ""
    backend: str = ""  # host and path of the CSMS that it is for; "" = whichever comes first


class TxReading(msgspec.Struct, frozen=True, kw_only=True):
    """A reading of a running transaction that its StopTransaction will carry. ``sampled`` = JSON list of SampledValue."""

    session_id: str
    wall: WallNs
    context: str
    sampled: str


class PointRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One sample of a session for its plot and for closing it after a power cut."""

    session_id: str
    wall: WallNs
    power_w: int
    energy_wh: int  # of the session so far
    soc_pct: int | None = None
    meter_wh: int | None = None  # import register of the meter


class AuditRecord(msgspec.Struct, frozen=True, kw_only=True):
    """Who changed what. Stored before the change is acknowledged."""

    wall: WallNs
    who: str
    origin: str  # unix:uid=1000, kiosk, ocpp ...
    operation: str
    target: str = ""
    old: str = ""
    new: str = ""
    result: str = "ok"


class CachedToken(msgspec.Struct, frozen=True, kw_only=True):
    """What the CSMS last said about an id token. ``status`` is the OCPP AuthorizationStatus."""

    id_token: str  # upper case: tokens compare without case
    status: str
    parent: str = ""
    expires_at: WallNs | None = None
    updated_at: WallNs = 0
