"""What the security package needs of its neighbours, and the words that it shares with them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Protocol, TypeVar

import msgspec

from evse.domain.security import SecurityEvent
from evse.ocpp.messages import Payload
from evse.units import WallNs

T = TypeVar("T")

CENTRAL, MANUFACTURER, STATION = "CentralSystemRootCertificate", "ManufacturerRootCertificate", "ChargePointCertificate"
"""Kinds of certificates, in the words of the whitepaper."""

ROOT_KINDS = (CENTRAL, MANUFACTURER)

Ask = Callable[[str, Payload], Awaitable[Payload]]
"""Sends a request to the CSMS; raises `CallError`, `CallTimeout`, `WsClosed` (also while offline)."""

Note = Callable[[str, str], None]
"""Takes a security event: kind and technical text."""


class Offload(Protocol):
    """Runs a blocking function where it does not hold up the control loop, and returns its result."""

    async def __call__(self, job: Callable[[], T]) -> T:
        """Return what ``job`` returns, or raise what it raises."""
        ...


async def inline(job: Callable[[], T]) -> T:
    """Run ``job`` in the caller, for virtual time."""
    return job()


class SettingsStore(Protocol):
    """Durable text settings. Each call has committed when it returns."""

    async def get_all(self, namespace: str) -> dict[str, str]:
        """All settings of a namespace."""
        ...

    async def put(self, namespace: str, key: str, value: str | None) -> None:
        """Set one; None removes it."""
        ...

    async def put_many(self, namespace: str, values: Mapping[str, str | None]) -> None:
        """Set several in one commit; None removes."""
        ...


class EventStore(Protocol):
    """The security log on the medium. Each call has committed when it returns; `DeviceError` means that it has not."""

    async def security_append(self, events: Sequence[SecurityEvent]) -> None:
        """Store events at the end."""
        ...

    async def security_next(self) -> SecurityEvent | None:
        """Return the oldest event that waits to be sent."""
        ...

    async def security_answered(self, seq: int, state: str) -> None:
        """Record how the CSMS answered: ``sent`` or ``refused``."""
        ...

    async def security_events(self, limit: int, since: WallNs = 0, until: WallNs | None = None) -> list[SecurityEvent]:
        """Return the newest ``limit`` events with ``since <= wall <= until``, oldest first."""
        ...

    async def security_last(self) -> int:
        """Return the number of the newest event, 0 = there is none."""
        ...

    async def security_retime(self, after: int, by: int, before: WallNs) -> None:
        """Add ``by`` ns to the times of events behind ``after`` that lie before ``before``."""
        ...

    async def security_waiting(self) -> int:
        """Return how many wait to be sent."""
        ...


class SecurityStore(SettingsStore, EventStore, Protocol):
    """Both (`evse.storage.db.Store` fits)."""


class CertificateHash(msgspec.Struct, frozen=True, kw_only=True):
    """CertificateHashDataType: how a certificate is named in messages. Hex in lower case, serial number without leading zeros."""

    algorithm: str  # SHA256, SHA384, SHA512
    issuer_name_hash: str
    issuer_key_hash: str
    serial_number: str

    def payload(self) -> Payload:
        """Return it in the words of the wire."""
        return {
            "hashAlgorithm": self.algorithm, "issuerNameHash": self.issuer_name_hash,
            "issuerKeyHash": self.issuer_key_hash, "serialNumber": self.serial_number,
        }


def hash_of(payload: Payload) -> CertificateHash:
    """Return the normal form of a CertificateHashDataType that its schema has accepted."""
    return CertificateHash(
        algorithm=str(payload["hashAlgorithm"]),
        issuer_name_hash=str(payload["issuerNameHash"]).strip().lower(),
        issuer_key_hash=str(payload["issuerKeyHash"]).strip().lower(),
        serial_number=str(payload["serialNumber"]).strip().lower().removeprefix("0x").lstrip("0") or "0",
    )


class CertificateInfo(msgspec.Struct, frozen=True, kw_only=True):
    """One certificate as people see it. Times are UTC ns; ``fingerprint`` is the SHA-256 of its DER form, hex."""

    kind: str  # CentralSystemRootCertificate, ManufacturerRootCertificate, ChargePointCertificate
    subject: str
    issuer: str
    serial_number: str
    not_before: WallNs
    not_after: WallNs
    fingerprint: str
    key: str  # e.g. "EC P-256", "RSA 2048"
    hash: CertificateHash
    installed_at: WallNs = 0
    in_use: bool = False
    note: str = ""  # staged, fallback, from ca_file
