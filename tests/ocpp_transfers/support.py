"""Certificates made at run time, files, and the little that every test of transfers needs."""

from __future__ import annotations

import asyncio
import ipaddress
import ssl
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any, TypeVar

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from evse.ocpp.transfers.errors import TransferError, Why
from evse.ocpp.transfers.fetch import fetch
from evse.ocpp.transfers.partial import PartFile, Saved
from evse.ocpp.transfers.ports import Limits, Net
from evse.ocpp.transfers.target import parse_target

T = TypeVar("T")

QUICK = Limits(connect_s=5.0, idle_s=5.0, total_s=30.0)


def blob(size: int, seed: int = 1) -> bytes:
    """Bytes that do not repeat."""
    return Random(seed).randbytes(size)


BIG = blob(900_000)


async def refusal(work: Awaitable[object]) -> TransferError:
    """Return the `TransferError` in which ``work`` ends."""
    with pytest.raises(TransferError) as caught:
        await work
    return caught.value


class Pki:
    """A root and a server certificate for 127.0.0.1, in ``folder``."""

    def __init__(self, folder: Path, *, days: int = 30, host: str = "127.0.0.1") -> None:
        now = datetime.now(UTC)
        begin = now - timedelta(days=60)
        root_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
        root_name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Test root")])

        def build(name: x509.Name, public: Any, until: datetime) -> x509.CertificateBuilder:
            return (
                x509.CertificateBuilder().subject_name(name).issuer_name(root_name).public_key(public)
                .serial_number(x509.random_serial_number()).not_valid_before(begin).not_valid_after(until)
            )

        ids = x509.SubjectKeyIdentifier.from_public_key(root_key.public_key())
        usage = x509.KeyUsage(
            digital_signature=True, key_cert_sign=True, crl_sign=True, content_commitment=False, key_encipherment=False,
            data_encipherment=False, key_agreement=False, encipher_only=False, decipher_only=False,
        )
        root = (
            build(root_name, root_key.public_key(), now + timedelta(days=365))
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .add_extension(ids, critical=False).add_extension(usage, critical=True).sign(root_key, hashes.SHA256())
        )
        alternative = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(host))])
        leaf = (
            build(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host)]), key.public_key(), now + timedelta(days=days))
            .add_extension(alternative, critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(root_key.public_key()), critical=False)
            .sign(root_key, hashes.SHA256())
        )
        pem = serialization.Encoding.PEM
        self.root = folder / "root.pem"
        self.chain = folder / "server.pem"
        self.root.write_bytes(root.public_bytes(pem))
        secret = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        self.chain.write_bytes(secret + leaf.public_bytes(pem))

    def server(self) -> ssl.SSLContext:
        """What a server presents."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.chain)
        return context

    def client(self) -> ssl.SSLContext:
        """What trusts the root."""
        return ssl.create_default_context(cafile=str(self.root))


def no_trust() -> ssl.SSLContext:
    """A client that has no root at all."""
    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


def net(tls: Callable[[], ssl.SSLContext] = no_trust, **changes: Any) -> Net:
    """The network with short deadlines."""
    return Net(**{"tls": tls, "limits": QUICK, **changes})


async def in_thread(job: Callable[[], T]) -> T:
    """Run ``job`` as the station does."""
    return await asyncio.to_thread(job)


class Saves:
    """Where a `PartFile` keeps what it knows; `again` is the file after a restart of the process."""

    def __init__(self, path: Path, size_max: int = 64 << 20) -> None:
        self.path = path
        self.saved = Saved()
        self.size_max = size_max
        self.writes = 0

    async def save(self, saved: Saved) -> None:
        self.saved = saved
        self.writes += 1

    def again(self) -> PartFile:
        return PartFile(self.path, self.saved, size_max=self.size_max, offload=in_thread, save=self.save)


def telling(part: PartFile, tls: Callable[[], ssl.SSLContext]) -> Callable[..., Awaitable[tuple[Why, str]]]:
    """Return what fetches an address into ``part`` and tells how that failed; the password is "secret" where it is wrong."""

    async def told(url: str, tls: Callable[[], ssl.SSLContext] = tls, **changes: object) -> tuple[Why, str]:
        error = await refusal(fetch(net(tls, **changes), parse_target(url), part, quiet))
        assert "secret" not in str(error)
        return error.why, str(error)

    return told


def run(main: Callable[[], Awaitable[None]]) -> None:
    """Run an async test body in real time."""

    async def body() -> None:
        async with asyncio.timeout(60):
            await main()

    asyncio.run(body())


def quiet(done: int, total: int | None) -> None:
    """Progress that nobody looks at."""
