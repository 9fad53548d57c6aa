"""What transfers need from the rest of the station, and what they move files with."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, Literal, Protocol, TypeVar

import msgspec

from evse.domain.security import CertificateFault
from evse.ocpp.ports import StorePort
from evse.ocpp.transfers.partial import PartFile
from evse.ocpp.transfers.target import Target
from evse.transports.base import DIRECT, DialOptions
from evse.units import WallNs

T = TypeVar("T")

Progress = Callable[[int, int | None], None]
"""Told (bytes moved, bytes in all; None = not known)."""

class Offload(Protocol):
    """Runs a blocking function somewhere and returns its result."""

    def __call__(self, job: Callable[[], T]) -> Coroutine[Any, Any, T]:
        """Return what ``job`` returns, or raise what it raises."""
        ...


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """Deadlines and sizes of one attempt."""

    connect_s: float = 30.0
    idle_s: float = 60.0
    """Without a byte moved."""
    total_s: float = 3600.0


class Net(msgspec.Struct, frozen=True, kw_only=True):
    """How the network is used. ``tls`` gives the context that checks the certificates of servers; it may block.
    ``dial``: proxy and interface, as for the WebSocket."""

    tls: Callable[[], ssl.SSLContext]
    dial: DialOptions = DIRECT
    limits: Limits = Limits()
    ftp_try_tls: bool = False
    http_upload: Literal["post", "put", "form"] = "post"


class Carrier(Protocol):
    """Moves one file, once. Raises `TransferError`; a cancelled call has closed everything when it ends."""

    async def fetch(self, target: Target, into: PartFile, progress: Progress) -> None:
        """Bring ``into`` to its whole length, going on where it ends."""
        ...

    async def send(self, target: Target, path: Path, name: str, progress: Progress) -> None:
        """Store the file ``path`` under ``name`` in the place that ``target`` names."""
        ...


class JobStore(StorePort, Protocol):
    """The store of the client, and what it needs once for jobs of former releases."""

    async def put_without_trace(self, namespace: str, key: str, value: str) -> None:
        """Set one setting so that nothing of its former value stays on the medium."""
        ...


class Signatures(Protocol):
    """The checks of signed firmware (OCPP 1.6 security whitepaper, L01)."""

    async def check_certificate(self, pem: str) -> CertificateFault | None:
        """Return why a signing certificate is not trusted, None = it is."""
        ...

    async def check_file(self, path: Path, signature_b64: str, pem: str) -> str:
        """Return why the signature of a file is wrong, "" = it is right."""
        ...


class Site(Protocol):
    """The station as transfers see it."""

    def online(self) -> bool:
        """Tell whether the CSMS has accepted the station and the link stands."""
        ...

    def transaction_runs(self) -> bool:
        """Tell whether any transaction runs."""
        ...

    def set_updating(self, updating: bool) -> None:
        """Show that firmware is being installed; nobody begins a transaction meanwhile."""
        ...

    def updating(self) -> bool:
        """What `set_updating` was told last."""
        ...

    def end_transactions(self) -> None:
        """Order the end of every transaction that runs."""
        ...

    async def restart(self) -> None:
        """Restart the station into what was activated."""
        ...


class LogSource(Protocol):
    """What goes into the files that the CSMS asks for."""

    async def collect(self, kind: str, folder: Path, since: WallNs | None, until: WallNs | None) -> None:
        """Write the files of a ``kind`` (diagnostics, security) of a time window into the empty directory ``folder``."""
        ...
