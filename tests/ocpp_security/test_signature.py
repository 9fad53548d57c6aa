"""Signed firmware: the certificate must lead to a manufacturer root, the signature must fit the file."""

from __future__ import annotations

import base64
import datetime
import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

from evse.ocpp.security.signature import verify_file, verify_signing_certificate
from evse.sim.csms_security import YEAR, Authority, key_pem, new_key, pem
from evse.units import NS_PER_S

NOW = datetime.datetime(2026, 6, 1, tzinfo=datetime.UTC)
WALL = int(NOW.timestamp()) * NS_PER_S
MAKER = Authority("Maker", now=NOW)
DATA = bytes(range(256)) * 3000


def signed(path: Path, kind: str) -> tuple[str, str]:
    """Write the file; return (signature, certificate)."""
    path.write_bytes(DATA)
    key = new_key(kind)
    if isinstance(key, rsa.RSAPrivateKey):
        raw = key.sign(DATA, padding.PSS(padding.MGF1(hashes.SHA256()), 32), hashes.SHA256())
    else:
        raw = key.sign(DATA, ec.ECDSA(hashes.SHA256()))
    return base64.b64encode(raw).decode(), pem(MAKER.issue(key.public_key(), "Firmware"))


@pytest.mark.parametrize("kind", ["ec", "rsa"])
def test_a_signature_fits_its_file_and_no_other(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "update.bin"
    signature, certificate = signed(path, kind)
    assert verify_file(path, signature, certificate) == ""
    path.write_bytes(DATA[:-1] + b"x")
    assert "does not fit" in verify_file(path, signature, certificate)
    path.write_bytes(DATA)
    other = pem(MAKER.issue(new_key(kind).public_key(), "Another"))
    assert "does not fit" in verify_file(path, signature, other)


def test_a_signature_made_by_openssl_fits(tmp_path: Path) -> None:
    path, key_file, out = tmp_path / "update.bin", tmp_path / "key.pem", tmp_path / "signature"
    path.write_bytes(DATA)
    key = new_key("rsa")
    key_file.write_text(key_pem(key))
    subprocess.run(
        ["openssl", "dgst", "-sha256", "-sign", str(key_file), "-sigopt", "rsa_padding_mode:pss", "-out", str(out), str(path)],
        check=True,
    )
    certificate = pem(MAKER.issue(key.public_key(), "Firmware"))
    assert verify_file(path, base64.encodebytes(out.read_bytes()).decode(), certificate) == ""


def test_pkcs_1_v1_5_is_no_pss(tmp_path: Path) -> None:
    path = tmp_path / "update.bin"
    path.write_bytes(DATA)
    key = new_key("rsa")
    assert isinstance(key, rsa.RSAPrivateKey)
    raw = key.sign(DATA, padding.PKCS1v15(), hashes.SHA256())
    certificate = pem(MAKER.issue(key.public_key(), "Firmware"))
    assert "does not fit" in verify_file(path, base64.b64encode(raw).decode(), certificate)


def test_what_cannot_be_checked_is_said(tmp_path: Path) -> None:
    path = tmp_path / "update.bin"
    signature, certificate = signed(path, "ec")
    assert verify_file(path, "not base64!", certificate) == "the signature is not base64"
    assert "1 to 800" in verify_file(path, "", certificate)
    assert "signing certificate" in verify_file(path, signature, "nonsense")
    assert "cannot be read" in verify_file(tmp_path / "gone", signature, certificate)


def test_the_signing_certificate_leads_to_an_installed_manufacturer_root() -> None:
    def why(text: str, roots: list[str], wall: int = WALL, lists: str = "") -> tuple[str, bool]:
        fault = verify_signing_certificate(text, roots, wall, lists)
        return ("", False) if fault is None else (fault.text, fault.revoked)

    leaf = MAKER.issue(new_key().public_key(), "Firmware")
    certificate, maker = pem(leaf), pem(MAKER.certificate)
    assert why(certificate, [maker]) == ("", False)
    assert "no ManufacturerRootCertificate" in why(certificate, [])[0]
    stranger = Authority("Stranger", now=NOW)
    assert "not installed" in why(certificate, [pem(stranger.certificate)])[0]
    assert "expired" in why(certificate, [maker], WALL + 400 * 86_400 * NS_PER_S)[0]
    assert "not a PEM" in why("x", [maker])[0]
    text, revoked = why(certificate, [maker], lists=stranger.revocation_list(leaf) + MAKER.revocation_list(leaf))
    assert revoked and "was revoked on" in text
    assert why(certificate, [maker], lists=stranger.revocation_list(leaf)) == ("", False), "not a list of its issuer"
    assert why(certificate, [maker], lists=MAKER.revocation_list()) == ("", False)
    text, revoked = why(certificate, [maker], lists="-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----")
    assert not revoked and "not a revocation list" in text
    between = Authority("Below", above=MAKER, now=NOW)
    below = pem(between.issue(new_key().public_key(), "Firmware")) + pem(between.certificate)
    assert why(below, [maker], lists=MAKER.revocation_list(between.certificate))[1], "a revoked authority takes what it signed along"
    late = WALL + 366 * 86_400 * NS_PER_S  # the list has ended, the authority has not
    text, revoked = why(pem(MAKER.issue(new_key().public_key(), "F", lasts=2 * YEAR)), [maker], late, MAKER.revocation_list())
    assert not revoked and "revocation list of" in text
