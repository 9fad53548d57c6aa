"""OCSP (RFC 6960, in the form of RFC 5019) with ``cryptography``: the request about one certificate, and its answer.

Loaded only when a responder is asked. Functions are pure and may take some milliseconds; `CertificateError` says what is wrong.
"""

from __future__ import annotations

from typing import Final
from urllib.parse import urlsplit

import msgspec
from cryptography import x509 as lib
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.x509 import ocsp
from cryptography.x509.oid import AuthorityInformationAccessOID, ExtendedKeyUsageOID

from evse.ocpp.security.x509 import UNREADABLE, CertificateError, check_dates, check_strength, issued_by, wall_of
from evse.units import NS_PER_S, DurationNs, WallNs

SKEW_NS: Final[DurationNs] = 300 * NS_PER_S
"""Clocks of responder and station may differ so much."""

WITHOUT_NEXT_NS: Final[DurationNs] = 3600 * NS_PER_S
"""An answer without nextUpdate counts so long."""

URL_MAX: Final = 500


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What a responder says of a certificate. ``status``: good, revoked, unknown. Times are UTC ns."""

    status: str
    until: WallNs
    revoked_at: WallNs = 0
    reason: str = ""  # of the revocation, as the responder calls it


def responder(leaf: bytes) -> str:
    """Return the http:// URL of the responder that a certificate (DER) names; raise `CertificateError` when it names none."""
    try:
        found = _load(leaf).extensions.get_extension_for_class(lib.AuthorityInformationAccess).value
    except lib.ExtensionNotFound:
        raise CertificateError("the certificate of the CSMS names no OCSP responder") from None
    except UNREADABLE as error:
        raise CertificateError(f"damaged certificate of the CSMS: {str(error)[:120]}") from error
    urls = [
        str(entry.access_location.value) for entry in found
        if entry.access_method == AuthorityInformationAccessOID.OCSP
        and isinstance(entry.access_location, lib.UniformResourceIdentifier)
    ]
    for url in urls:
        try:
            parts = urlsplit(url)
            good = parts.scheme == "http" and bool(parts.hostname) and parts.port != 0 and url.isprintable() and " " not in url
        except ValueError:
            good = False
        if good and len(url) <= URL_MAX:
            return url
    raise CertificateError("the certificate of the CSMS names no OCSP responder with an http:// URL")


def request(leaf: bytes, issuer: bytes) -> bytes:
    """Return the request about ``leaf`` (DER both); raise `CertificateError`. SHA-1 names the issuer: RFC 5019 has nothing else."""
    try:
        builder = ocsp.OCSPRequestBuilder().add_certificate(_load(leaf), _load(issuer), hashes.SHA1())
        return builder.build().public_bytes(serialization.Encoding.DER)
    except UNREADABLE as error:
        raise CertificateError(f"nothing can be asked about the certificate of the CSMS: {str(error)[:120]}") from error


def read(answer: bytes, leaf: bytes, issuer: bytes, wall: WallNs) -> Answer:
    """Return what an answer says of ``leaf``; raise `CertificateError` unless it is signed, about it, and of now."""
    above = _load(issuer)
    try:
        told = ocsp.load_der_ocsp_response(answer)
        if told.response_status is not ocsp.OCSPResponseStatus.SUCCESSFUL:
            raise CertificateError(f"the responder answers {told.response_status.name.lower().replace('_', ' ')}")
        _check_subject(told, _load(leaf), above)
        _check_signature(told, above, wall)
        begins, ends = told.this_update_utc, told.next_update_utc
        status, revoked_at, reason = told.certificate_status, told.revocation_time_utc, told.revocation_reason
    except UNREADABLE as error:
        raise CertificateError(f"the responder's answer cannot be read: {str(error)[:120]}") from error
    if wall_of(begins) > wall + SKEW_NS:
        raise CertificateError("the responder's answer is from the future; is the clock of the station right?")
    until = wall_of(begins) + WITHOUT_NEXT_NS if ends is None else wall_of(ends)
    if until + SKEW_NS < wall:
        raise CertificateError(f"the responder's answer was valid until {ends or begins:%Y-%m-%d %H:%M} UTC only")
    return Answer(
        status=status.name.lower(), until=until, revoked_at=0 if revoked_at is None else wall_of(revoked_at),
        reason="" if reason is None else reason.value,
    )


def _check_subject(told: ocsp.OCSPResponse, leaf: lib.Certificate, issuer: lib.Certificate) -> None:
    wanted = ocsp.OCSPRequestBuilder().add_certificate(leaf, issuer, told.hash_algorithm).build()
    theirs = (told.serial_number, told.issuer_name_hash, told.issuer_key_hash)
    if theirs != (wanted.serial_number, wanted.issuer_name_hash, wanted.issuer_key_hash):
        raise CertificateError("the responder's answer is about another certificate")


def _check_signature(told: ocsp.OCSPResponse, issuer: lib.Certificate, wall: WallNs) -> None:
    """By the issuer itself, or by a certificate that it has made for this purpose (RFC 6960, 4.2.2.2)."""
    if _signed_by(told, issuer):
        return
    for other in told.certificates:
        try:
            purposes = other.extensions.get_extension_for_class(lib.ExtendedKeyUsage).value
        except lib.ExtensionNotFound:
            continue
        if ExtendedKeyUsageOID.OCSP_SIGNING in purposes and issued_by(other, issuer) and _signed_by(told, other):
            check_strength(other)
            check_dates(other, wall)
            return
    raise CertificateError("nobody who may has signed the responder's answer")


def _signed_by(told: ocsp.OCSPResponse, signer: lib.Certificate) -> bool:
    key, used = signer.public_key(), told.signature_hash_algorithm
    if used is None or isinstance(used, hashes.MD5 | hashes.SHA1):
        return False
    try:
        if isinstance(key, rsa.RSAPublicKey):
            key.verify(told.signature, told.tbs_response_bytes, padding.PKCS1v15(), used)
        elif isinstance(key, ec.EllipticCurvePublicKey):
            key.verify(told.signature, told.tbs_response_bytes, ec.ECDSA(used))
        else:
            return False
    except InvalidSignature:
        return False
    return True


def _load(der: bytes) -> lib.Certificate:
    try:
        return lib.load_der_x509_certificate(der)
    except UNREADABLE as error:
        raise CertificateError(f"damaged certificate: {str(error)[:120]}") from error
