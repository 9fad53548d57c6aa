"""Certificates: hash data as an independent OCSP client and openssl compute it, chains, requests."""

from __future__ import annotations

import base64
import datetime
import subprocess
from pathlib import Path

import pytest
from cryptography import x509 as lib
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509 import ocsp
from hypothesis import given, settings
from hypothesis import strategies as st

from evse.ocpp.security import x509
from evse.ocpp.security.ports import CENTRAL, hash_of
from evse.sim.csms_security import DAY, YEAR, Authority, new_key, pem
from evse.units import NS_PER_S
from tests._support.examples import examples

NOW = datetime.datetime(2026, 6, 1, tzinfo=datetime.UTC)
WALL = int(NOW.timestamp()) * NS_PER_S
ROOT = Authority("Root", now=NOW)
RSA_ROOT = Authority("RSA root", kind="rsa", now=NOW)
MIDDLE = Authority("Middle", above=ROOT, now=NOW)
LEAF_KEY = new_key()
LEAF = MIDDLE.issue(LEAF_KEY.public_key(), "DC 1", client=True)
LIBRARY_HASHES = {"SHA256": hashes.SHA256(), "SHA384": hashes.SHA384(), "SHA512": hashes.SHA512()}


@pytest.mark.parametrize("algorithm", ["SHA256", "SHA384", "SHA512"])
@pytest.mark.parametrize(
    ("certificate", "issuer"),
    [(ROOT.certificate, ROOT.certificate), (RSA_ROOT.certificate, RSA_ROOT.certificate),
     (MIDDLE.certificate, ROOT.certificate), (LEAF, MIDDLE.certificate)],
    ids=["ec root", "rsa root", "intermediate", "leaf"],
)
def test_hash_data_is_that_of_an_ocsp_request(
    certificate: lib.Certificate, issuer: lib.Certificate, algorithm: str
) -> None:
    peer = ocsp.OCSPRequestBuilder().add_certificate(certificate, issuer, LIBRARY_HASHES[algorithm]).build()
    ours = x509.hash_data(certificate, issuer, algorithm)
    assert ours.issuer_name_hash == peer.issuer_name_hash.hex()
    assert ours.issuer_key_hash == peer.issuer_key_hash.hex()
    assert ours.serial_number == format(peer.serial_number, "x")


@pytest.mark.parametrize("root", [ROOT, RSA_ROOT], ids=["ec", "rsa"])
def test_hash_data_is_that_of_openssl(root: Authority, tmp_path: Path) -> None:
    path = tmp_path / "root.pem"
    path.write_text(pem(root.certificate))
    shown = subprocess.run(
        ["openssl", "ocsp", "-sha256", "-issuer", str(path), "-cert", str(path), "-req_text"],
        capture_output=True, text=True, check=True,
    ).stdout.lower()
    ours = x509.hash_data(root.certificate, None)
    assert ours.issuer_name_hash in shown and ours.issuer_key_hash in shown
    assert f"serial number: {ours.serial_number.zfill(2)}" in shown.replace("number: 0", "number: ")


def test_hash_data_of_a_message_is_compared_without_regard_to_case_and_leading_zeros() -> None:
    ours = x509.hash_data(ROOT.certificate, None)
    payload = ours.payload()
    payload |= {
        "issuerNameHash": ours.issuer_name_hash.upper(), "serialNumber": "0" + ours.serial_number.upper(),
    }
    assert hash_of(payload) == ours


def test_a_chain_leads_to_its_root_and_the_description_is_for_people() -> None:
    roots = [RSA_ROOT.certificate, ROOT.certificate]
    assert x509.check_chain([LEAF, MIDDLE.certificate], roots, WALL) == ROOT.certificate
    info = x509.describe(LEAF, CENTRAL, MIDDLE.certificate)
    assert info.subject == "CN=DC 1,O=Simulated CPO" and info.issuer == "CN=Middle,O=Simulated CPO" and info.key == "EC P-256"
    assert info.not_after - info.not_before == 365 * 86_400 * NS_PER_S


def test_a_root_that_is_not_self_signed_is_trusted_as_it_is() -> None:
    assert x509.check_chain([LEAF], [MIDDLE.certificate], WALL) == MIDDLE.certificate


def reason(chain: list[lib.Certificate], roots: list[lib.Certificate], wall: int = WALL) -> str:
    with pytest.raises(x509.CertificateError) as caught:
        x509.check_chain(chain, roots, wall)
    return str(caught.value)


def test_what_is_wrong_with_a_chain_is_said() -> None:
    other = Authority("Root", now=NOW)  # the same name, another key
    assert "not installed" in reason([LEAF, MIDDLE.certificate], [other.certificate])
    assert "not part of the chain" in reason([LEAF], [ROOT.certificate])
    assert "expired" in reason([LEAF, MIDDLE.certificate], [ROOT.certificate], WALL + 400 * 86_400 * NS_PER_S)
    assert "valid from" in reason([LEAF, MIDDLE.certificate], [ROOT.certificate], WALL - 3 * 86_400 * NS_PER_S)
    weak = ROOT.issue(new_key("rsa-weak").public_key(), "weak")
    assert "1024 bit" in reason([weak], [ROOT.certificate])
    false_issuer = Authority("Impostor", now=NOW)
    false_issuer.certificate = ROOT.issue(false_issuer.key.public_key(), "Impostor")  # a leaf that signs
    assert "no certificate of an authority" in reason(
        [false_issuer.issue(new_key().public_key(), "x"), false_issuer.certificate], [ROOT.certificate]
    )
    old = Authority("Old", above=ROOT, now=NOW, begins=-2 * YEAR, lasts=YEAR)
    assert "expired" in reason([old.issue(new_key().public_key(), "x"), old.certificate], [ROOT.certificate])


def test_path_length_is_kept() -> None:
    short = Authority("Short", now=NOW)
    short.certificate = (
        lib.CertificateBuilder().subject_name(short.certificate.subject).issuer_name(short.certificate.subject)
        .public_key(short.key.public_key()).serial_number(1).not_valid_before(NOW - DAY).not_valid_after(NOW + YEAR)
        .add_extension(lib.BasicConstraints(ca=True, path_length=0), critical=True).sign(short.key, hashes.SHA256())
    )
    below = Authority("Below", above=short, now=NOW)
    leaf = below.issue(new_key().public_key(), "x")
    assert "allows 0 authorities" in reason([leaf, below.certificate], [short.certificate])


def test_a_request_has_the_names_a_p_256_key_and_a_signature_of_its_own() -> None:
    key = x509.new_key()
    request = lib.load_pem_x509_csr(x509.request(key, "DC 1", "Öko Strom").encode())
    assert request.is_signature_valid and request.subject.rfc4514_string() == "CN=DC 1,O=Öko Strom"
    public = request.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    private = serialization.load_pem_private_key(key.encode(), None)
    assert public == private.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    assert lib.load_pem_x509_csr(x509.request(key, "DC 1", "").encode()).subject.rfc4514_string() == "CN=DC 1"


def test_a_request_passes_openssl(tmp_path: Path) -> None:
    path = tmp_path / "request.pem"
    path.write_text(x509.request(x509.new_key(), "DC 1", "CPO"))
    done = subprocess.run(
        ["openssl", "req", "-in", str(path), "-verify", "-noout", "-subject"], capture_output=True, text=True, check=True
    )
    assert "O = CPO, CN = DC 1" in done.stdout or "O=CPO, CN=DC 1" in done.stdout


@settings(max_examples=examples(60), deadline=None)
@given(st.data())
def test_a_damaged_certificate_is_an_error_and_nothing_else(data: st.DataObject) -> None:
    der = bytearray(LEAF.public_bytes(serialization.Encoding.DER))
    for _ in range(data.draw(st.integers(1, 4))):
        der[data.draw(st.integers(0, len(der) - 1))] = data.draw(st.integers(0, 255))
    text = "-----BEGIN CERTIFICATE-----\n" + base64.encodebytes(bytes(der)).decode() + "-----END CERTIFICATE-----\n"
    try:
        x509.check_chain(x509.read_chain(text), [MIDDLE.certificate], WALL)
    except x509.CertificateError as error:
        assert str(error)


@given(st.text(max_size=300))
def test_any_text_is_no_certificate(text: str) -> None:
    with pytest.raises(x509.CertificateError):
        x509.read_chain(text)
