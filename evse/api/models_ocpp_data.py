"""Models of DataTransfer between the CSMS and local programs. Payloads pass as they come; None = the field is absent."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from evse.api.models_base import Model

VendorId = Annotated[str, Meta(min_length=1, max_length=255)]
MessageId = Annotated[str, Meta(max_length=50)]
DataText = Annotated[str, Meta(max_length=200_000)]
Number = Annotated[int, Meta(ge=1)]


class OcppDataSend(Model, frozen=True, kw_only=True):
    """DataTransfer to the CSMS."""

    vendor_id: VendorId
    message_id: MessageId | None = None
    data: DataText | None = None


class OcppDataAnswer(Model, frozen=True, kw_only=True):
    status: str  # Accepted, Rejected, UnknownMessageId, UnknownVendorId
    data: str | None = None


class OcppDataSubscribe(Model, frozen=True, kw_only=True):
    """``message_id`` None = all messages of the vendor; ``confirm_s`` = time to confirm each."""

    vendor_id: VendorId
    message_id: MessageId | None = None
    confirm_s: Annotated[int, Meta(ge=1, le=60)] = 10


class OcppDataSubscription(Model, frozen=True, kw_only=True):
    """It ends when nobody has asked for its next request for 60 s."""

    subscription: int


class OcppDataNext(Model, frozen=True, kw_only=True):
    """Wait for the next request, at most ``seconds``."""

    subscription: Number
    seconds: Annotated[int, Meta(ge=0, le=20)] = 0


class OcppDataRequest(Model, frozen=True, kw_only=True):
    """A DataTransfer of the CSMS that waits for its confirmation."""

    request_id: str
    vendor_id: str
    message_id: str | None
    data: str | None


class OcppDataRequests(Model, frozen=True, kw_only=True):
    """One, or none when none came in time."""

    items: tuple[OcppDataRequest, ...]


class OcppDataConfirm(Model, frozen=True, kw_only=True):
    """The answer that the CSMS gets."""

    request_id: Annotated[str, Meta(min_length=1, max_length=40)]
    status: Literal["Accepted", "Rejected", "UnknownMessageId", "UnknownVendorId"] = "Accepted"
    data: DataText | None = None


class OcppDataUnsubscribe(Model, frozen=True, kw_only=True):
    subscription: Number
