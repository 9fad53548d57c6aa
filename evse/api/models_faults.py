"""Models of faults: the active ones and the catalogue."""

from __future__ import annotations

from evse.api.models_base import EvseIdOrAll, Model, ShortText
from evse.domain.faults import FaultRecord


class FaultInfo(Model, frozen=True, kw_only=True):
    """An active fault with its texts."""

    record: FaultRecord
    name: str
    severity: str
    reaction: str
    latch: str
    description: str
    cause: str
    impact: str
    remedy_remote: str
    remedy_on_site: str
    clearable: bool
    why_not: str = ""  # why it cannot be cleared now
    vendor_code: str = ""  # vendorErrorCode that the back end is told


class Faults(Model, frozen=True, kw_only=True):
    items: tuple[FaultInfo, ...]


class FaultRef(Model, frozen=True, kw_only=True):
    code: ShortText  # F1 ...
    evse_id: EvseIdOrAll = 0


class FaultText(Model, frozen=True, kw_only=True):
    """One row of the catalogue (``fault explain``)."""

    code: str
    name: str
    scope: str
    kinds: str  # "ac", "dc" or "both": which EVSEs can have it
    priority: int  # the smallest of several goes into a StatusNotification
    severity: str
    reaction: str
    latch: str
    ocpp16: str
    vendor_code: str  # vendorErrorCode
    faulted: bool  # OCPP status Faulted; False = the status stays as it is
    description: str
    cause: str
    impact: str
    remedy_remote: str
    remedy_on_site: str


class FaultCatalogue(Model, frozen=True, kw_only=True):
    """Every fault. ``variants``: further vendor codes of one, with texts of their own."""

    items: tuple[FaultText, ...]
    variants: tuple[FaultText, ...] = ()
