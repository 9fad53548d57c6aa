"""The certificates of the station: trusted roots, its own certificate, and the request for the next one.

Certificates are public and lie in the settings of the store (one commit each, mode 0600 as the whole database); private keys
lie in the vault. ``cryptography`` is loaded, in a thread, with the first certificate that is worked on.

The station's own certificate has two slots: a new one never overwrites the one in use, which stays until the new one has
proved itself (`evse.ocpp.security.link_state`).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import msgspec

from evse.domain.base import DeviceError
from evse.domain.clock import Clock
from evse.ocpp.ports import Vault
from evse.ocpp.security.ports import (
    CENTRAL,
    ROOT_KINDS,
    STATION,
    CertificateHash,
    CertificateInfo,
    Offload,
    SettingsStore,
)
from evse.units import WallNs

if TYPE_CHECKING:
    from types import ModuleType

log = logging.getLogger(__name__)

NAMESPACE: Final = "ocpp.certificates"
ROOTS_MAX: Final = 20
"""CertificateStoreMaxLength: roots of both kinds together."""

CHAIN_CHARS_MAX: Final = 10_000
"""CertificateSignedMaxChainSize."""

SLOTS: Final = ("a", "b")
KEY_SECRET: Final = "ocpp.station.{}"
REQUEST_SECRET: Final = "ocpp.station.request"


class Stored(msgspec.Struct, frozen=True, kw_only=True):
    """A certificate as it is stored. ``pem`` is the certificate of a root, the chain of the station's."""

    info: CertificateInfo
    pem: str
    order: int = 0  # of installation


class Requested(msgspec.Struct, frozen=True, kw_only=True):
    """A request whose certificate has not come yet."""

    at: WallNs
    common_name: str
    offline: bool = False  # a technician carries it to the authority: the station does not ask for another one by itself


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """Answer to an installation or deletion: status of the wire, and why."""

    status: str
    reason: str = ""
    info: CertificateInfo | None = None


class CertificateStore:
    """Everything about certificates that survives a restart. Call `open` first."""

    def __init__(self, store: SettingsStore, vault: Vault, clock: Clock, offload: Offload, *, one_root: bool = False) -> None:
        self.one_root = one_root
        self._store = store
        self._vault = vault
        self._clock = clock
        self._offload = offload
        self._roots: dict[str, Stored] = {}  # by fingerprint, in the order of installation
        self._own: dict[str, Stored] = {}  # by slot
        self._requested: Requested | None = None
        self._turn = asyncio.Lock()  # changes, one after the other

    async def open(self) -> None:
        """Read what is stored; a row that cannot be read is left out and named in the log."""
        for key, text in (await self._store.get_all(NAMESPACE)).items():
            what, _, name = key.partition(":")
            try:
                if what == "root":
                    self._roots[name] = msgspec.json.decode(text, type=Stored)
                elif what == "own":
                    self._own[name] = msgspec.json.decode(text, type=Stored)
                elif what == "request":
                    self._requested = msgspec.json.decode(text, type=Requested)
            except msgspec.DecodeError as error:
                log.error("certificates: stored row %s cannot be read: %s", key, error)
        self._roots = dict(sorted(self._roots.items(), key=lambda item: item[1].order))

    # -- roots ----------------------------------------------------------------------------------------------------

    def roots(self, kind: str) -> list[str]:
        """Return the PEM texts of the installed roots of a kind, oldest first."""
        return [stored.pem for stored in self._roots.values() if stored.info.kind == kind]

    def infos(self) -> list[CertificateInfo]:
        """Return all certificates: roots in the order of their installation, then the station's own."""
        return [s.info for s in self._roots.values()] + [s.info for _, s in sorted(self._own.items())]

    async def install(self, kind: str, pem: str, *, by_csms: bool) -> Outcome:
        """Install a root; status Accepted, Rejected (not acceptable, or too many) or Failed (could not be stored).

        With ``one_root`` a new CentralSystemRootCertificate that the CSMS sends must be signed by the present one, which
        becomes the fallback; the fallback before it goes.
        """
        if kind not in ROOT_KINDS:
            return Outcome(status="Rejected", reason=f"{kind} is no kind of root certificate")
        async with self._turn:
            return await self._install(kind, pem, by_csms)

    async def _install(self, kind: str, pem: str, by_csms: bool) -> Outcome:
        wall = self._clock.wall()
        known = [stored.pem for stored in self._roots.values()]
        present = self.roots(kind)
        signed_by = present[-1] if self.one_root and by_csms and kind == CENTRAL and present else None

        def job() -> CertificateInfo:
            x509 = _x509()
            certificate = x509.read_one(pem)
            if self._clock.wall_valid():
                x509.check_root(certificate, wall)
            else:
                x509.check_strength(certificate)
                x509.check_authority(certificate)
            if signed_by is not None and not x509.issued_by(certificate, x509.read_one(signed_by)):
                raise x509.CertificateError(
                    "AdditionalRootCertificateCheck: the new root must be signed by the present one, and is not"
                )
            issuer = x509.issuer_among(certificate, [x509.read_one(text) for text in known])
            info: CertificateInfo = x509.describe(certificate, kind, issuer)
            return info

        try:
            info = await self._offload(job)
        except Exception as error:
            if not _is_certificate_error(error):
                raise
            return Outcome(status="Rejected", reason=str(error))
        if info.fingerprint in self._roots and self._roots[info.fingerprint].info.kind == kind:
            return Outcome(status="Accepted", reason="it was installed already", info=info)
        leave = self._surplus(kind)
        if len(self._roots) - len(leave) >= ROOTS_MAX:
            return Outcome(status="Rejected", reason=f"{ROOTS_MAX} root certificates are installed already; delete one first")
        order = 1 + max((stored.order for stored in self._roots.values()), default=0)
        row = Stored(info=msgspec.structs.replace(info, installed_at=wall), pem=pem, order=order)
        changes: dict[str, str | None] = {f"root:{name}": None for name in leave}
        changes[f"root:{info.fingerprint}"] = msgspec.json.encode(row).decode()
        try:
            await self._store.put_many(NAMESPACE, changes)
        except DeviceError as error:
            return Outcome(status="Failed", reason=str(error))
        for name in leave:
            del self._roots[name]
        self._roots[info.fingerprint] = row
        return Outcome(status="Accepted", info=row.info)

    def _surplus(self, kind: str) -> list[str]:
        """Roots that a new one of ``kind`` drives out: with ``one_root`` all but the newest, which becomes the fallback."""
        if not self.one_root or kind != CENTRAL:
            return []
        return [name for name, stored in self._roots.items() if stored.info.kind == kind][:-1]

    async def find(self, wanted: CertificateHash) -> CertificateInfo | None:
        """Return the root that a hash of any algorithm names."""
        for stored in self._roots.values():
            if stored.info.hash == wanted:
                return stored.info
        if wanted.algorithm == "SHA256":
            return None
        rows = list(self._roots.values())

        def job() -> CertificateInfo | None:
            x509 = _x509()
            read = [x509.read_one(stored.pem) for stored in rows]
            for stored, certificate in zip(rows, read, strict=True):
                issuer = x509.issuer_among(certificate, read)
                if x509.hash_data(certificate, issuer, wanted.algorithm) == wanted:
                    return stored.info
            return None

        return await self._offload(job)

    async def remove(self, fingerprint: str) -> None:
        """Remove a root durably; who calls has decided that it may go. Raises `DeviceError`."""
        async with self._turn:
            await self._store.put(NAMESPACE, f"root:{fingerprint}", None)
            self._roots.pop(fingerprint, None)

    # -- the station's own certificate ----------------------------------------------------------------------------

    def own(self, slot: str) -> Stored | None:
        """Return the certificate of a slot."""
        return self._own.get(slot)

    async def own_key(self, slot: str) -> str | None:
        """Return the private key of a slot as PEM; never to be shown. Raises `DeviceError`."""
        return await self._vault.read(KEY_SECRET.format(slot))

    @property
    def requested(self) -> Requested | None:
        """The request whose certificate has not come yet."""
        return self._requested

    async def request(self, common_name: str, organization: str, *, offline: bool = False) -> str:
        """Make a new key pair and return the request (PEM) for it; a request before it is forgotten. Raises `DeviceError`."""

        def job() -> tuple[str, str]:
            x509 = _x509()
            key = x509.new_key()
            return key, x509.request(key, common_name, organization)

        async with self._turn:
            key, made = await self._offload(job)
            await self._vault.write(REQUEST_SECRET, key)
            requested = Requested(at=self._clock.wall(), common_name=common_name, offline=offline)
            await self._store.put(NAMESPACE, "request:", msgspec.json.encode(requested).decode())
            self._requested = requested
            return made

    async def signed(self, pem: str, slot_in_use: str) -> tuple[str, Outcome]:
        """Take the chain of a CertificateSigned; return the slot that now holds it ("" = rejected) and the outcome."""
        if len(pem) > CHAIN_CHARS_MAX:
            return "", Outcome(status="Rejected", reason=f"{len(pem)} characters, at most {CHAIN_CHARS_MAX} are taken")
        async with self._turn:
            return await self._signed(pem, slot_in_use)

    async def _signed(self, pem: str, slot_in_use: str) -> tuple[str, Outcome]:
        key = await self._vault.read(REQUEST_SECRET) if self._requested is not None else None
        name = self._requested.common_name if self._requested is not None else ""
        wall, roots = self._clock.wall(), self.roots(CENTRAL)

        def job() -> Stored:
            x509 = _x509()
            chain = x509.check_signed(pem, key, roots, wall, name)
            issuer = next((c for c in chain[1:] if x509.issued_by(chain[0], c)), None)
            issuer = issuer or x509.issuer_among(chain[0], [x509.read_one(root) for root in roots])
            info = msgspec.structs.replace(x509.describe(chain[0], STATION, issuer), installed_at=wall)
            return Stored(info=info, pem=x509.pem_of(chain))

        try:
            stored = await self._offload(job)
        except Exception as error:
            if not _is_certificate_error(error):
                raise
            return "", Outcome(status="Rejected", reason=str(error))
        slot = next(name for name in SLOTS if name != slot_in_use)
        await self._vault.write(KEY_SECRET.format(slot), key or "")
        changes = {f"own:{slot}": msgspec.json.encode(stored).decode(), "request:": None}
        await self._store.put_many(NAMESPACE, changes)
        self._own[slot], self._requested = stored, None
        await self._vault.remove(REQUEST_SECRET)
        return slot, Outcome(status="Accepted", info=stored.info)

    def check_roots(self, kind: str) -> str:
        """Return "" when a root of ``kind`` is installed that is valid now, else what is wrong."""
        infos = [stored.info for stored in self._roots.values() if stored.info.kind == kind]
        if not infos:
            return f"no {kind} is installed"
        wall = self._clock.wall()
        if not any(info.not_before <= wall <= info.not_after for info in infos):
            return f"no installed {kind} is valid now"
        return ""


def marked(infos: Sequence[CertificateInfo], in_use: dict[str, str]) -> list[CertificateInfo]:
    """Return ``infos`` with ``in_use`` set where the fingerprint is named; the value is the note beside it."""
    return [
        msgspec.structs.replace(info, in_use=True, note=in_use[info.fingerprint]) if info.fingerprint in in_use else info
        for info in infos
    ]


def _x509() -> ModuleType:
    from evse.ocpp.security import x509

    return x509


def _is_certificate_error(error: Exception) -> bool:
    return isinstance(error, _x509().CertificateError)
