"""The security side of the simulator's CSMS: its own small certificate authority, passwords, TLS, and requests for it all.

Keys and certificates are made when they are needed and live in memory only. It shares no code with the station's side.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import datetime
import os
import ssl
import tempfile
from collections import deque
from collections.abc import Mapping
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import AuthorityInformationAccessOID, ExtendedKeyUsageOID, NameOID

from evse.domain.clock import Clock
from evse.sim.csms import CsmsError, Json, SimCsms
from evse.units import NS_PER_S

Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
YEAR = datetime.timedelta(days=365)
DAY = datetime.timedelta(days=1)

RSA_BITS_MIN, EC_BITS_MIN = 2048, 224
"""Weaker keys are not signed (security whitepaper)."""

TOLD_MAX = 100
"""Answers to CertificateSigned that are kept, the newest."""


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)


def _at(clock: Clock) -> datetime.datetime:
    return datetime.datetime.fromtimestamp(clock.wall() // NS_PER_S, datetime.UTC)


def _name(common_name: str, organization: str = "Simulated CPO") -> x509.Name:
    return x509.Name([
        x509.NameAttribute(NameOID.ORGANIZATION_NAME, organization), x509.NameAttribute(NameOID.COMMON_NAME, common_name),
    ])


def pem(certificate: x509.Certificate) -> str:
    """Return a certificate as PEM."""
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


def key_pem(key: Key) -> str:
    """Return a private key as PEM."""
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()


class Authority:
    """A certificate authority. ``above`` = who has signed it, None = itself. Times are offsets from now."""

    def __init__(
        self, name: str, *, above: Authority | None = None, kind: str = "ec", begins: datetime.timedelta = -DAY,
        lasts: datetime.timedelta = 10 * YEAR, now: datetime.datetime | None = None,
    ) -> None:
        self.now = now or _now()
        self.above = above
        self.key = new_key(kind)
        signer = self if above is None else above
        subject = _name(name)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(subject if above is None else above.certificate.subject)
            .public_key(self.key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(self.now + begins)
            .not_valid_after(self.now + begins + lasts)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .add_extension(_usage(authority=True), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(self.key.public_key()), critical=False)
        )
        self.certificate: x509.Certificate = builder.sign(signer.key, hashes.SHA256())

    def issue(
        self, public_key: Any, common_name: str, *, hosts: tuple[str, ...] = (), begins: datetime.timedelta = -DAY,
        lasts: datetime.timedelta = YEAR, client: bool = False, organization: str = "Simulated CPO", authority: bool = False,
        ocsp: str = "",
    ) -> x509.Certificate:
        """Return a certificate for a key; ``ocsp`` = URL of the responder that it names."""
        purpose = ExtendedKeyUsageOID.CLIENT_AUTH if client else ExtendedKeyUsageOID.SERVER_AUTH
        builder = (
            x509.CertificateBuilder()
            .subject_name(_name(common_name, organization))
            .issuer_name(self.certificate.subject)
            .public_key(public_key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(self.now + begins)
            .not_valid_after(self.now + begins + lasts)
            .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
            .add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
        )
        if ocsp:
            place = x509.AccessDescription(AuthorityInformationAccessOID.OCSP, x509.UniformResourceIdentifier(ocsp))
            builder = builder.add_extension(x509.AuthorityInformationAccess([place]), critical=False)
        if hosts:
            builder = builder.add_extension(x509.SubjectAlternativeName([_general(host) for host in hosts]), critical=False)
        return builder.sign(self.key, hashes.SHA256())

    def sign_request(self, csr_pem: str, *, begins: datetime.timedelta = -DAY, lasts: datetime.timedelta = YEAR) -> str:
        """Return the chain (PEM, leaf first, without the root) for a certificate signing request; ValueError says why it is refused."""
        try:
            request = x509.load_pem_x509_csr(csr_pem.encode())
            key, proven = request.public_key(), request.is_signature_valid
            names, organization = (
                request.subject.get_attributes_for_oid(oid) for oid in (NameOID.COMMON_NAME, NameOID.ORGANIZATION_NAME)
            )
        except (TypeError, UnsupportedAlgorithm, x509.InvalidVersion) as error:
            raise ValueError(f"the request cannot be read: {error}") from error
        if not proven:
            raise ValueError("the request is not signed by its own key")
        if not names:
            raise ValueError("the request has no common name")
        if not _strong(key):
            raise ValueError("the key of the request is too weak, or neither RSA nor EC")
        leaf = self.issue(
            key, str(names[0].value), client=True, begins=begins, lasts=lasts,
            organization=str(organization[0].value) if organization else "none",
        )
        return pem(leaf) + self.chain()

    def chain(self) -> str:
        """Return this authority and those above it without the root, as PEM."""
        return "" if self.above is None else pem(self.certificate) + self.above.chain()

    def revocation_list(self, *revoked: x509.Certificate) -> str:
        """Return a list of revoked certificates as PEM."""
        builder = (
            x509.CertificateRevocationListBuilder()
            .issuer_name(self.certificate.subject).last_update(self.now - DAY).next_update(self.now + YEAR)
        )
        for certificate in revoked:
            builder = builder.add_revoked_certificate(
                x509.RevokedCertificateBuilder()
                .serial_number(certificate.serial_number).revocation_date(self.now - DAY).build()
            )
        return builder.sign(self.key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()


def _strong(key: object) -> bool:
    if isinstance(key, rsa.RSAPublicKey):
        return key.key_size >= RSA_BITS_MIN
    return isinstance(key, ec.EllipticCurvePublicKey) and key.key_size >= EC_BITS_MIN


def new_key(kind: str = "ec") -> Key:
    """Return a new key: "ec" = P-256, "rsa" = 2048 bit, "rsa-weak" = 1024 bit."""
    if kind == "ec":
        return ec.generate_private_key(ec.SECP256R1())
    return rsa.generate_private_key(65537, 1024 if kind == "rsa-weak" else 2048)


def _usage(*, authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True, content_commitment=False, key_encipherment=False, data_encipherment=False,
        key_agreement=False, key_cert_sign=authority, crl_sign=authority, encipher_only=False, decipher_only=False,
    )


def _general(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def server_context(chain_pem: str, key: Key, *, client_roots: str = "") -> ssl.SSLContext:
    """Return a server's context; with ``client_roots`` (PEM) stations must show a certificate that leads to one of them."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    number, path = tempfile.mkstemp(prefix="evse-sim-")  # mode 0600; gone when the context is made
    try:
        os.write(number, (key_pem(key) + chain_pem).encode())
        os.close(number)
        context.load_cert_chain(path)
    finally:
        Path(path).unlink()
    if client_roots:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(cadata=client_roots)
    return context


class CsmsSecurity:
    """Adds passwords, certificates and their requests to a `SimCsms`.

    ``passwords`` holds the bytes that each charge point must send; a charge point that is not in it is let in without.
    SignCertificate is accepted unless its request is a bad one. The certificate follows by `answer_request`, as with a real CSMS,
    later; with a ``clock`` it follows by itself at once and is valid for ``lasts`` from then on.
    """

    def __init__(
        self, csms: SimCsms, authority: Authority | None = None, *, clock: Clock | None = None, lasts: datetime.timedelta = YEAR
    ) -> None:
        self.csms = csms
        self.lasts = lasts
        self.told: deque[str] = deque(maxlen=TOLD_MAX)  # what stations have answered to certificates that followed by themselves
        self._clock = clock
        self._tasks: set[asyncio.Task[None]] = set()
        self.users: dict[str, str] = {}  # other names than the charge point's own
        self.root = authority or Authority("Simulated CSMS root", now=None if clock is None else _at(clock))
        self.passwords: dict[str, set[bytes]] = {}
        self.requests: list[tuple[str, str]] = []  # (charge point, CSR)
        self.refuses_to_sign = False
        csms.admit = self._admit
        csms.more["SignCertificate"] = self._sign

    def _admit(self, charge_point: str, headers: Mapping[str, str]) -> int:
        allowed = self.passwords.get(charge_point)
        if allowed is None:
            return 0
        sent = next((value for name, value in headers.items() if name.lower() == "authorization"), "")
        scheme, _, coded = sent.partition(" ")
        try:
            user, _, password = base64.b64decode(coded, validate=True).partition(b":")
        except ValueError:
            return 401
        fits = scheme.lower() == "basic" and user == self.users.get(charge_point, charge_point).encode() and password in allowed
        return 0 if fits else 401

    def _sign(self, charge_point: str, payload: Json) -> Json:
        if self._clock is not None:
            self.root.now = _at(self._clock)
        try:
            chain = self.root.sign_request(payload["csr"], lasts=self.lasts)
        except ValueError:
            return {"status": "Rejected"}
        if self.refuses_to_sign:
            return {"status": "Rejected"}
        self.requests.append((charge_point, payload["csr"]))
        if self._clock is not None:
            task = asyncio.get_running_loop().create_task(self._follow(chain, charge_point))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        return {"status": "Accepted"}

    async def _follow(self, chain: str, charge_point: str) -> None:
        """Send what was signed, after the root where the station has others. A station that has gone asks again by itself."""
        with contextlib.suppress(CsmsError):
            serials = [row["serialNumber"] for row in await self.installed(charge_point=charge_point)]
            if serials and format(self.root.certificate.serial_number, "x") not in serials:
                await self.install(pem(self.root.certificate), charge_point=charge_point)
            self.told.append(await self.send_signed(chain, charge_point))

    async def listen(
        self, host: str = "127.0.0.1", *, names: tuple[str, ...] = ("127.0.0.1", "localhost"), mutual: bool = False,
        kind: str = "ec", begins: datetime.timedelta = -DAY, lasts: datetime.timedelta = YEAR, issuer: Authority | None = None,
    ) -> int:
        """Serve TLS with a certificate made now; return the port. ``mutual`` asks stations for a certificate (profile 3)."""
        signer, key = issuer or self.root, new_key(kind)
        leaf = signer.issue(key.public_key(), names[0], hosts=names, begins=begins, lasts=lasts)
        self.certificate = leaf
        roots = pem(self.root.certificate) if mutual else ""
        return await self.csms.listen(host, 0, server_context(pem(leaf) + signer.chain(), key, client_roots=roots))

    # -- requests of the CSMS ---------------------------------------------------------------------------------------

    async def answer_request(self, charge_point: str = "") -> str:
        """Sign the last request that came and send CertificateSigned; return the station's answer."""
        return await self.send_signed(self.root.sign_request(self.requests[-1][1]), charge_point)

    async def send_signed(self, chain: str, charge_point: str = "") -> str:
        """Send CertificateSigned with any chain; return the station's answer."""
        return str((await self.csms.call("CertificateSigned", {"certificateChain": chain}, charge_point))["status"])

    async def ask_for_request(self, charge_point: str = "") -> str:
        """Make the station send SignCertificate; return its answer."""
        payload = {"requestedMessage": "SignChargePointCertificate"}
        return str((await self.csms.call("ExtendedTriggerMessage", payload, charge_point))["status"])

    async def install(self, certificate: str, kind: str = "CentralSystemRootCertificate", charge_point: str = "") -> str:
        """Send InstallCertificate; return the answer."""
        payload = {"certificateType": kind, "certificate": certificate}
        return str((await self.csms.call("InstallCertificate", payload, charge_point))["status"])

    async def installed(self, kind: str = "CentralSystemRootCertificate", charge_point: str = "") -> list[Json]:
        """Return the hash data of what is installed."""
        answer = await self.csms.call("GetInstalledCertificateIds", {"certificateType": kind}, charge_point)
        return list(answer.get("certificateHashData", []))

    async def delete(self, hash_data: Json, charge_point: str = "") -> str:
        """Send DeleteCertificate; return the answer."""
        return str((await self.csms.call("DeleteCertificate", {"certificateHashData": hash_data}, charge_point))["status"])

    async def change_password(self, value: str, password: bytes | None = None, charge_point: str = "") -> str:
        """Send AuthorizationKey; unless ``password`` is None let the station in with it too from now on, if it was accepted."""
        status = await self.set_key("AuthorizationKey", value, charge_point)
        if status == "Accepted" and password is not None:
            self.passwords.setdefault(charge_point or "DC 1", set()).add(password)
        return status

    async def set_key(self, key: str, value: str, charge_point: str = "") -> str:
        """Send ChangeConfiguration; return the answer."""
        payload = {"key": key, "value": value}
        return str((await self.csms.call("ChangeConfiguration", payload, charge_point))["status"])
