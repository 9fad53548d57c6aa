"""X.509 with ``cryptography``: reading, hashing, chains, requests. Loaded only when a certificate is worked on.

Every function is pure and may take some milliseconds; `CertificateError` says in plain words what is wrong.
"""

from __future__ import annotations

import datetime
import hashlib
import re
from collections.abc import Sequence
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import NameOID

from evse.ocpp.security.ports import CertificateHash, CertificateInfo
from evse.units import NS_PER_S, WallNs

CHAIN_MAX: Final = 6
"""Certificates in one chain, the root included."""

RSA_BITS_MIN, EC_BITS_MIN = 2048, 224
"""Security whitepaper: at least 112 bit of security."""

HASHES: Final = {"SHA256": hashlib.sha256, "SHA384": hashlib.sha384, "SHA512": hashlib.sha512}

UNREADABLE: Final = (
    ValueError, TypeError, UnsupportedAlgorithm, x509.DuplicateExtension, x509.InvalidVersion, x509.UnsupportedGeneralNameType,
)
"""What ``cryptography`` raises for what others have sent, at once or when a field is looked at for the first time."""

_LISTS: Final = re.compile(r"-----BEGIN X509 CRL-----[^-]*-----END X509 CRL-----")

_EPOCH: Final = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)


class CertificateError(Exception):
    """A certificate is not acceptable, and why. Never holds a key."""


class RevokedError(CertificateError):
    """A certificate was revoked by who has issued it."""


def read_chain(pem: str) -> list[x509.Certificate]:
    """Return the certificates of a PEM text in their order; raise `CertificateError`."""
    try:
        chain = x509.load_pem_x509_certificates(pem.encode("ascii"))
    except UNREADABLE as error:
        why = "it is damaged" if "BEGIN CERTIFICATE-" in pem else "it has no line BEGIN CERTIFICATE"
        if "BEGIN CERTIFICATE REQUEST" in pem:
            why = "it is a request; the certificate comes from who signs it"
        raise CertificateError(f"not a PEM certificate: {why}") from error
    if len(chain) > CHAIN_MAX:
        raise CertificateError(f"{len(chain)} certificates, at most {CHAIN_MAX} are read")
    for certificate in chain:
        _touch(certificate)
    return chain


def read_one(pem: str) -> x509.Certificate:
    """Return the certificate of a PEM text that holds exactly one; raise `CertificateError`."""
    chain = read_chain(pem)
    if len(chain) != 1:
        raise CertificateError(f"{len(chain)} certificates where exactly one belongs")
    return chain[0]


def _touch(certificate: x509.Certificate) -> None:
    """Parse what is parsed lazily, so that a damaged certificate is found here and nowhere else."""
    try:
        _ = (certificate.subject, certificate.issuer, certificate.extensions, certificate.signature_hash_algorithm)
        key_name(certificate)
        _ = (certificate.not_valid_before_utc, certificate.not_valid_after_utc)
    except UNREADABLE as error:
        raise CertificateError(f"damaged certificate: {str(error)[:120]}") from error


def pem_of(chain: Sequence[x509.Certificate]) -> str:
    """Return a chain as PEM."""
    return "".join(c.public_bytes(serialization.Encoding.PEM).decode("ascii") for c in chain)


def fingerprint(certificate: x509.Certificate) -> str:
    """Return the SHA-256 of the DER form, hex."""
    return certificate.fingerprint(hashes.SHA256()).hex()


def key_name(certificate: x509.Certificate) -> str:
    """Return kind and size of the public key, e.g. "EC P-256"."""
    key = certificate.public_key()
    if isinstance(key, rsa.RSAPublicKey):
        return f"RSA {key.key_size}"
    if isinstance(key, ec.EllipticCurvePublicKey):
        return {"secp256r1": "EC P-256", "secp384r1": "EC P-384", "secp521r1": "EC P-521"}.get(
            key.curve.name, f"EC {key.curve.name}"
        )
    return type(key).__name__.removesuffix("PublicKey").lstrip("_")


def _key_bits(certificate: x509.Certificate) -> bytes:
    """Return the BIT STRING of the public key without tag, length and unused bits (RFC 6960, 4.1.1)."""
    key = certificate.public_key()
    if isinstance(key, rsa.RSAPublicKey):
        return key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.PKCS1)
    if isinstance(key, ec.EllipticCurvePublicKey):
        return key.public_bytes(serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint)
    if isinstance(key, ed25519.Ed25519PublicKey):
        return key.public_bytes_raw()
    raise CertificateError(f"public keys of kind {key_name(certificate)} are not supported; use EC or RSA")


def hash_data(
    certificate: x509.Certificate, issuer: x509.Certificate | None, algorithm: str = "SHA256"
) -> CertificateHash:
    """Return CertificateHashDataType; ``issuer`` None = not known, then its own key stands in (as for a self-signed one)."""
    digest = HASHES[algorithm]
    return CertificateHash(
        algorithm=algorithm,
        issuer_name_hash=digest(certificate.issuer.public_bytes()).hexdigest(),
        issuer_key_hash=digest(_key_bits(issuer or certificate)).hexdigest(),
        serial_number=format(certificate.serial_number, "x"),
    )


def describe(certificate: x509.Certificate, kind: str, issuer: x509.Certificate | None = None) -> CertificateInfo:
    """Return a certificate as people see it."""
    return CertificateInfo(
        kind=kind, subject=certificate.subject.rfc4514_string(), issuer=certificate.issuer.rfc4514_string(),
        serial_number=format(certificate.serial_number, "x"), not_before=wall_of(certificate.not_valid_before_utc),
        not_after=wall_of(certificate.not_valid_after_utc), fingerprint=fingerprint(certificate),
        key=key_name(certificate), hash=hash_data(certificate, issuer),
    )


def wall_of(moment: datetime.datetime) -> WallNs:
    """Return a moment with a time zone as UTC ns, to the second."""
    return round((moment - _EPOCH).total_seconds()) * NS_PER_S


def _day(moment: datetime.datetime) -> str:
    return f"{moment:%Y-%m-%d}"


# -- rules ------------------------------------------------------------------------------------------------------------


def check_dates(certificate: x509.Certificate, wall: WallNs) -> None:
    """Raise `CertificateError` unless ``wall`` lies in the validity."""
    if wall_of(certificate.not_valid_before_utc) > wall:
        raise CertificateError(
            f"{_name(certificate)} is valid from {_day(certificate.not_valid_before_utc)} only; is the clock of the station right?"
        )
    if wall_of(certificate.not_valid_after_utc) < wall:
        raise CertificateError(f"{_name(certificate)} has expired on {_day(certificate.not_valid_after_utc)}")


def check_strength(certificate: x509.Certificate) -> None:
    """Raise `CertificateError` for keys and hashes that the whitepaper calls too weak."""
    key = certificate.public_key()
    if isinstance(key, rsa.RSAPublicKey) and key.key_size < RSA_BITS_MIN:
        raise CertificateError(f"{_name(certificate)}: RSA key of {key.key_size} bit, at least {RSA_BITS_MIN} are needed")
    if isinstance(key, ec.EllipticCurvePublicKey) and key.key_size < EC_BITS_MIN:
        raise CertificateError(f"{_name(certificate)}: EC key of {key.key_size} bit, at least {EC_BITS_MIN} are needed")
    if not isinstance(key, rsa.RSAPublicKey | ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey):
        raise CertificateError(f"{_name(certificate)}: key of kind {key_name(certificate)}; use EC or RSA")
    used = certificate.signature_hash_algorithm
    if isinstance(used, hashes.MD5 | hashes.SHA1):
        raise CertificateError(f"{_name(certificate)} is signed with {used.name.upper()}; at least SHA-256 is needed")


def check_authority(certificate: x509.Certificate) -> None:
    """Raise `CertificateError` unless it may sign other certificates."""
    try:
        constraints = certificate.extensions.get_extension_for_class(x509.BasicConstraints).value
    except x509.ExtensionNotFound:
        raise CertificateError(f"{_name(certificate)} is no certificate of an authority (no basic constraints)") from None
    if not constraints.ca:
        raise CertificateError(f"{_name(certificate)} is no certificate of an authority (CA is false)")
    try:
        usage = certificate.extensions.get_extension_for_class(x509.KeyUsage).value
    except x509.ExtensionNotFound:
        return
    if not usage.key_cert_sign:
        raise CertificateError(f"{_name(certificate)} may not sign certificates (key usage)")


def issued_by(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    """Tell whether ``issuer`` has signed ``certificate``."""
    try:
        certificate.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
        return False
    return True


def issuer_among(certificate: x509.Certificate, others: Sequence[x509.Certificate]) -> x509.Certificate | None:
    """Return who has signed it, itself included; None when that one is not among them."""
    return next((other for other in (certificate, *others) if issued_by(certificate, other)), None)


def check_root(certificate: x509.Certificate, wall: WallNs) -> None:
    """Raise `CertificateError` unless it can be a root now."""
    check_strength(certificate)
    check_authority(certificate)
    check_dates(certificate, wall)


def check_chain(chain: Sequence[x509.Certificate], roots: Sequence[x509.Certificate], wall: WallNs) -> x509.Certificate:
    """Check that ``chain`` (leaf first) leads to one of ``roots`` and return that one; raise `CertificateError`.

    Every certificate must be within its dates and strong enough; every issuer an authority. Roots are trusted as they
    are, self-signed or not (the whitepaper's partial chain).
    """
    trusted = {fingerprint(root): root for root in roots}
    present, rest = chain[0], list(chain[1:])
    check_strength(present)
    check_dates(present, wall)
    for depth in range(CHAIN_MAX):
        if depth and fingerprint(present) in trusted:
            return present
        above = next((root for root in trusted.values() if issued_by(present, root)), None)
        if above is None:
            above = next((other for other in rest if other != present and issued_by(present, other)), None)
            if above is not None:
                rest.remove(above)
        if above is None:
            raise CertificateError(
                f"{_name(present)} is signed by {_issuer(present)}, which is not installed and not part of the chain"
            )
        check_root(above, wall)
        _check_depth(above, depth)
        present = above
    raise CertificateError(f"chain of more than {CHAIN_MAX} certificates")


def _check_depth(authority: x509.Certificate, below: int) -> None:
    """``below`` = authorities between it and the leaf."""
    most = authority.extensions.get_extension_for_class(x509.BasicConstraints).value.path_length
    if most is not None and below > most:
        raise CertificateError(f"{_name(authority)} allows {most} authorities below it, the chain has {below}")


def _name(certificate: x509.Certificate) -> str:
    return f"certificate {certificate.subject.rfc4514_string()[:80] or 'without name'}"


def _issuer(certificate: x509.Certificate) -> str:
    return certificate.issuer.rfc4514_string()[:80] or "somebody without name"


# -- revocation lists -------------------------------------------------------------------------------------------------


def read_lists(pem: str) -> list[x509.CertificateRevocationList]:
    """Return the revocation lists of a PEM text; raise `CertificateError`."""
    texts = _LISTS.findall(pem)
    try:
        return [x509.load_pem_x509_crl(text.encode("ascii")) for text in texts]
    except UNREADABLE as error:
        raise CertificateError(f"not a revocation list in PEM form: {str(error)[:120]}") from error


def check_revoked(
    chain: Sequence[x509.Certificate], roots: Sequence[x509.Certificate], lists: Sequence[x509.CertificateRevocationList],
    wall: WallNs,
) -> None:
    """Raise `RevokedError` when a list of its own issuer names a certificate of ``chain``.

    A list that is out of date is a `CertificateError`; an issuer without a list is not asked.
    """
    for certificate in chain:
        issuer = issuer_among(certificate, [*chain, *roots])
        if issuer is None or issuer == certificate:
            continue
        for found in lists:
            if found.issuer != certificate.issuer or not _list_of(found, issuer):
                continue
            entry = found.get_revoked_certificate_by_serial_number(certificate.serial_number)
            if entry is not None:
                raise RevokedError(f"{_name(certificate)} was revoked on {_day(entry.revocation_date_utc)} by {_name(issuer)}")
            ends = found.next_update_utc
            if ends is not None and wall_of(ends) < wall:
                raise CertificateError(f"the revocation list of {_name(issuer)} was valid until {_day(ends)} only")


def _list_of(found: x509.CertificateRevocationList, issuer: x509.Certificate) -> bool:
    key = issuer.public_key()
    if not isinstance(key, rsa.RSAPublicKey | ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey):
        return False
    try:
        return found.is_signature_valid(key)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        return False


# -- the station's own key --------------------------------------------------------------------------------------------


def new_key() -> str:
    """Return a new EC P-256 private key as PEM (PKCS #8, not encrypted: the caller seals it)."""
    return ec.generate_private_key(ec.SECP256R1()).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode("ascii")


def request(key_pem: str, common_name: str, organization: str) -> str:
    """Return a certificate signing request (PKCS #10, PEM) with CN and, unless empty, O."""
    key = serialization.load_pem_private_key(key_pem.encode("ascii"), None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    names = [x509.NameAttribute(NameOID.COMMON_NAME, common_name)]
    if organization:
        names.insert(0, x509.NameAttribute(NameOID.ORGANIZATION_NAME, organization))
    made = x509.CertificateSigningRequestBuilder().subject_name(x509.Name(names)).sign(key, hashes.SHA256())
    return made.public_bytes(serialization.Encoding.PEM).decode("ascii")


def check_signed(
    pem: str, key_pem: str | None, roots: Sequence[str], wall: WallNs, common_name: str
) -> list[x509.Certificate]:
    """Return the chain (leaf first) of a CertificateSigned that fits the key that waits for it; raise `CertificateError`.

    ``roots`` may be empty: then the chain is not checked further than its own signatures reach. A leaf that stands
    last is put first.
    """
    chain = read_chain(pem)
    if key_pem is None:
        raise CertificateError("no request of this station waits for a certificate; send SignCertificate first")
    key = serialization.load_pem_private_key(key_pem.encode("ascii"), None)
    own = key.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    leaf = next((c for c in chain if _spki(c) == own), None)
    if leaf is None:
        raise CertificateError("the certificate belongs to another key than the request that waits")
    named = leaf.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    if not named or str(named[0].value) != common_name:
        raise CertificateError(f"the certificate is for {leaf.subject.rfc4514_string()[:80]}, not for CN={common_name}")
    ordered = [leaf, *(c for c in chain if c is not leaf)]
    check_strength(leaf)
    check_dates(leaf, wall)
    if roots:
        check_chain(ordered, [read_one(root) for root in roots], wall)
    return ordered


def _spki(certificate: x509.Certificate) -> bytes:
    return certificate.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
