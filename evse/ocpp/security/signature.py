"""Signed firmware: is the signing certificate trusted, and does the signature fit the file? (security whitepaper, L01)

The signature is base64 of RSA-PSS (any salt length) or ECDSA (DER) over the SHA-256 of the file. ``cryptography`` is loaded
with the first call. Both functions may take long (they read the whole file): run them in a thread.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from evse.domain.security import CertificateFault
from evse.units import WallNs

READ_BYTES: Final = 1 << 18
SIGNATURE_MAX: Final = 800
"""Characters of a signature in SignedUpdateFirmware."""


def verify_signing_certificate(pem: str, roots: Sequence[str], now: WallNs, lists: str = "") -> CertificateFault | None:
    """Return None when a certificate (PEM, with intermediates after it if need be) leads to one of ``roots`` (PEM), else why not.

    ``roots`` are the installed ManufacturerRootCertificates, ``now`` is UTC ns, ``lists`` revocation lists (PEM).
    """
    from evse.ocpp.security import x509

    if not roots:
        text = "no ManufacturerRootCertificate is installed; install the one that belongs to the firmware first"
        return CertificateFault(text=text)
    try:
        chain, trusted = x509.read_chain(pem), [x509.read_one(root) for root in roots]
        x509.check_chain(chain, trusted, now)
        x509.check_revoked(chain, trusted, x509.read_lists(lists), now)
    except x509.CertificateError as error:
        return CertificateFault(text=str(error), revoked=isinstance(error, x509.RevokedError))
    return None


def verify_file(path: Path, signature_b64: str, certificate_pem: str) -> str:
    """Return "" when the signature of a file fits the (first) certificate, else why not."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
    from cryptography.hazmat.primitives.asymmetric.utils import Prehashed

    from evse.ocpp.security import x509

    try:
        signature = base64.b64decode("".join(signature_b64.split()), validate=True)
    except (binascii.Error, ValueError):
        return "the signature is not base64"
    if not signature or len(signature_b64) > SIGNATURE_MAX:
        return f"the signature has {len(signature_b64)} characters; 1 to {SIGNATURE_MAX} are allowed"
    try:
        key = x509.read_chain(certificate_pem)[0].public_key()
        digest = _digest(path)
    except x509.CertificateError as error:
        return f"signing certificate: {error}"
    except OSError as error:
        return f"{path.name}: cannot be read: {error.strerror or error}"
    ready = Prehashed(hashes.SHA256())
    try:
        if isinstance(key, rsa.RSAPublicKey):
            key.verify(signature, digest, padding.PSS(padding.MGF1(hashes.SHA256()), padding.PSS.AUTO), ready)
        elif isinstance(key, ec.EllipticCurvePublicKey):
            key.verify(signature, digest, ec.ECDSA(ready))
        else:
            return "the key of the signing certificate is neither RSA nor EC"
    except InvalidSignature:
        return f"{path.name}: the signature does not fit: the file was changed, or signed with another key"
    return ""


def _digest(path: Path) -> bytes:
    made = hashlib.sha256()
    with path.open("rb") as file:
        while part := file.read(READ_BYTES):
            made.update(part)
    return made.digest()
