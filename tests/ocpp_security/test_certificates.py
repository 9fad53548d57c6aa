"""Certificates over OCPP under virtual time: roots, the station's own, its renewal, and any text at all."""

from __future__ import annotations

import asyncio
import datetime
import tempfile
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.x509 import ocsp
from cryptography.x509.oid import NameOID
from hypothesis import given, settings
from hypothesis import strategies as st

from evse.lab.vloop import VirtualClock, VirtualLoop, run_virtual
from evse.ocpp.security import x509 as made
from evse.sim.csms import SimCsms
from evse.sim.csms_security import Authority, CsmsSecurity, new_key, pem
from evse.units import NS_PER_S
from tests._support.examples import examples
from tests.ocpp_security.support import KEY_1, NAME, World, secured, with_key

ROOT = Authority("Any root", now=datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC))


def test_roots_are_installed_listed_and_deleted_but_never_the_last_one_in_use(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        await with_key(world)
        csms = world.back_end
        assert await csms.installed() == []
        assert await csms.install(pem(csms.root.certificate)) == "Accepted"
        assert await csms.install(pem(csms.root.certificate)) == "Accepted", "the same one again"
        (first,) = await csms.installed()
        other = Authority("Other", now=world.now)
        assert await csms.install(pem(other.certificate)) == "Accepted"
        maker = Authority("Maker", now=world.now, kind="rsa")
        assert await csms.install(pem(maker.certificate), "ManufacturerRootCertificate") == "Accepted"
        assert len(await csms.installed()) == 2 and len(await csms.installed("ManufacturerRootCertificate")) == 1
        second = next(row for row in await csms.installed() if row != first)
        assert await csms.delete({**second, "serialNumber": second["serialNumber"].upper()}) == "Accepted"
        assert await csms.delete(second) == "NotFound"
        assert await csms.set_key("SecurityProfile", "2") == "Accepted"
        await asyncio.sleep(30)
        assert world.station.profile == 2
        assert await csms.delete(first) == "Failed"
        assert await csms.installed() == [first]
        (row,) = await csms.installed("ManufacturerRootCertificate")
        assert await csms.delete(row) == "Accepted"
        await world.station.restart()
        await asyncio.sleep(5)
        assert await csms.installed() == [first]

    secured(tmp_path, main, security={"profile": 1})


def test_delete_by_sha512(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        await world.start()
        root = Authority("Root", kind="rsa", now=world.now).certificate
        assert await world.back_end.install(pem(root)) == "Accepted"
        peer = ocsp.OCSPRequestBuilder().add_certificate(root, root, hashes.SHA512()).build()
        row = {
            "hashAlgorithm": "SHA512", "issuerNameHash": peer.issuer_name_hash.hex(),
            "issuerKeyHash": peer.issuer_key_hash.hex(), "serialNumber": format(peer.serial_number, "x"),
        }
        assert await world.back_end.delete({**row, "hashAlgorithm": "SHA384"}) == "NotFound"
        assert await world.back_end.delete(row) == "Accepted"

    secured(tmp_path, main)


def test_what_is_no_root_is_rejected(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        await world.start()
        csms = world.back_end
        leaf = csms.root.issue(csms.root.key.public_key(), "leaf")
        expired = Authority("x", now=world.now, begins=datetime.timedelta(days=-20), lasts=datetime.timedelta(days=10))
        weak = Authority("weak", now=world.now, kind="rsa-weak")
        two = pem(csms.root.certificate) + pem(csms.root.certificate)
        for text in ("nonsense", pem(leaf), pem(expired.certificate), pem(weak.certificate), two):
            assert await csms.install(text) == "Rejected", text
        assert await csms.installed() == []
        for n in range(20):
            assert await csms.install(pem(Authority(f"r{n}", now=world.now).certificate)) == "Accepted"
        assert await csms.install(pem(Authority("r20", now=world.now).certificate)) == "Rejected"

    secured(tmp_path, main)


def test_with_the_additional_check_a_new_root_is_signed_by_the_present_one_which_becomes_the_fallback(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        await world.start()
        csms = world.back_end
        assert await csms.install(pem(csms.root.certificate)) == "Accepted"
        assert await csms.install(pem(Authority("Stranger", now=world.now).certificate)) == "Rejected"
        second = Authority("Second", above=csms.root, now=world.now)
        third = Authority("Third", above=second, now=world.now)
        assert await csms.install(pem(third.certificate)) == "Rejected"
        assert await csms.install(pem(second.certificate)) == "Accepted"
        assert len(await csms.installed()) == 2
        assert await csms.install(pem(third.certificate)) == "Accepted"
        shown = [info.subject for info in world.station.security.certificates()]
        assert shown == ["CN=Second,O=Simulated CPO", "CN=Third,O=Simulated CPO"]
        answer = await world.csms.call("GetConfiguration", {"key": ["AdditionalRootCertificateCheck"]})
        assert answer["configurationKey"][0]["value"] == "true"

    secured(tmp_path, main, security={"one_root": True})


def test_the_station_asks_for_a_certificate_when_triggered_and_takes_what_fits(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        await world.start()
        csms = world.back_end
        assert await csms.install(pem(csms.root.certificate)) == "Accepted"
        assert await csms.send_signed(pem(csms.root.certificate)) == "Rejected", "nobody has asked"
        assert await csms.set_key("CpoName", "Strom AG") == "Accepted"
        assert await csms.ask_for_request() == "Accepted"
        await asyncio.sleep(1)
        ((name, csr),) = csms.requests
        request = x509.load_pem_x509_csr(csr.encode())
        assert (name, request.subject.rfc4514_string()) == (NAME, "CN=DC 1,O=Strom AG")
        assert world.station.security.status().request_pending
        stranger = Authority("Stranger", now=world.now)
        assert await csms.send_signed(stranger.sign_request(csr)) == "Rejected"
        other_key = csms.root.issue(stranger.key.public_key(), NAME, client=True)
        assert await csms.send_signed(pem(other_key)) == "Rejected"
        other_name = csms.root.issue(request.public_key(), "DC 2", client=True)
        assert await csms.send_signed(pem(other_name)) == "Rejected"
        expired = csms.root.sign_request(csr, begins=datetime.timedelta(days=-20), lasts=datetime.timedelta(days=10))
        assert await csms.send_signed(expired) == "Rejected"
        assert await csms.send_signed("nonsense") == "Rejected"
        assert await csms.answer_request() == "Accepted"
        own = world.station.security.status().certificate
        assert own is not None and own.subject == "CN=DC 1,O=Strom AG" and not world.station.security.status().request_pending
        assert await csms.answer_request() == "Rejected", "taken already"
        kinds = await world.station.kinds()
        assert kinds.count("InvalidChargePointCertificate") >= 5
        await world.station.restart()
        assert world.station.security.status().certificate == own

    secured(tmp_path, main)


def test_a_certificate_is_renewed_before_it_ends_also_when_the_csms_refuses_at_first(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        await world.start()
        csms = world.back_end
        await csms.install(pem(csms.root.certificate))
        await csms.ask_for_request()
        await asyncio.sleep(1)
        chain = csms.root.sign_request(csms.requests[-1][1], lasts=datetime.timedelta(days=3))  # two days are left
        assert await csms.send_signed(chain) == "Accepted"
        csms.refuses_to_sign = True
        await asyncio.sleep(22 * 3600)
        assert world.station.security.status().signing == "", "too early"
        await asyncio.sleep(5 * 3600)
        assert len(csms.requests) == 1 and "refuses to sign" in world.station.security.status().signing
        assert any("ends in 0 days" in text for text in world.station.security.status().warnings)
        csms.refuses_to_sign = False
        await asyncio.sleep(8 * 3600)
        asked = len(csms.requests)
        assert asked in (2, 3)
        csms.root.now += datetime.timedelta(days=1)
        assert await csms.answer_request() == "Accepted"
        own = world.station.security.status().certificate
        assert own is not None and own.not_after - world.clock.wall() > 300 * 86_400 * NS_PER_S
        await asyncio.sleep(20 * 3600)
        assert len(csms.requests) == asked

    secured(tmp_path, main, security={"renew_days": 1})


def test_a_link_that_comes_up_meanwhile_asks_no_second_time(tmp_path: Path) -> None:
    """A second request would bring another key, and the certificate for the first would be refused."""

    async def main(world: World) -> None:
        await world.start()
        csms, security = world.back_end, world.station.security
        await csms.install(pem(csms.root.certificate))
        asked = asyncio.create_task(security.request_certificate())
        while not security.status().request_pending:
            await asyncio.sleep(0)
        security.signing.online()
        await asyncio.sleep(5)
        assert (await asked).status == "Accepted" and len(csms.requests) == 1
        assert await csms.answer_request() == "Accepted"

    secured(tmp_path, main)


def test_an_authority_beside_the_csms_signs_what_a_technician_brings_it(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        await world.start()
        csms, security = world.back_end, world.station.security
        await csms.install(pem(csms.root.certificate))
        nobody = await security.install_own(csms.root.sign_request(made.request(made.new_key(), NAME, "")))
        assert nobody.status == "Rejected" and "no request of this station waits" in nobody.reason
        first, csr = await security.request_offline(), await security.request_offline()
        await asyncio.sleep(2 * 3600)
        await world.station.restart()
        await asyncio.sleep(2 * 3600)
        security = world.station.security
        assert csms.requests == [] and security.status().request_pending, "its own renewal must not replace the key"
        replaced = await security.install_own(csms.root.sign_request(first))
        assert replaced.status == "Rejected" and "another key" in replaced.reason
        stranger = await security.install_own(Authority("Stranger", now=csms.root.now).sign_request(csr))
        assert stranger.status == "Rejected" and "which is not installed" in stranger.reason
        assert (await security.install_own(csms.root.sign_request(csr))).status == "Accepted"
        own = security.status().certificate
        assert own is not None and own.subject.startswith(f"CN={NAME}") and not security.status().request_pending
        assert (await security.set_profile(3, "")).status == "Accepted"
        kinds = await world.station.kinds()
        assert kinds.count("InvalidChargePointCertificate") == 3

    secured(tmp_path, main, security={"renew_days": 30})


@given(data=st.data())
@settings(max_examples=examples(25), deadline=None)
def test_any_text_in_any_request_gets_an_answer_of_the_schema(data: st.DataObject) -> None:
    """Whatever stands in a request, the answer is one of the schema and nothing is lost."""
    root = pem(ROOT.certificate)
    texts = st.one_of(st.text(max_size=200), st.just(root), st.integers(0, len(root) - 1).map(lambda n: root[:n] + "A" + root[n + 1 :]))
    word = st.text(max_size=40)
    named = st.fixed_dictionaries({
        "hashAlgorithm": st.sampled_from(["SHA256", "SHA384", "SHA512"]), "issuerNameHash": word, "issuerKeyHash": word,
        "serialNumber": word,
    })
    kinds = st.sampled_from(["CentralSystemRootCertificate", "ManufacturerRootCertificate"])
    requests = st.one_of(
        st.tuples(st.just("InstallCertificate"), st.fixed_dictionaries({"certificateType": kinds, "certificate": texts})),
        st.tuples(st.just("CertificateSigned"), st.fixed_dictionaries({"certificateChain": texts})),
        st.tuples(st.just("DeleteCertificate"), st.fixed_dictionaries({"certificateHashData": named})),
        st.tuples(st.just("GetInstalledCertificateIds"), st.fixed_dictionaries({"certificateType": kinds})),
        st.tuples(
            st.just("ChangeConfiguration"),
            st.fixed_dictionaries({
                "key": st.sampled_from(["AuthorizationKey", "SecurityProfile", "CpoName", "CentralSystemURI"]),
                "value": st.one_of(word, st.sampled_from(["0", "1", "2", "3", KEY_1, "ws://a/b", "wss://[::1", "ws://[x]"])),
            }),
        ),
    )
    sent = data.draw(st.lists(requests, max_size=6))

    async def body() -> None:
        with tempfile.TemporaryDirectory() as name:
            world = World(Path(name))
            await world.start()
            for action, payload in sent:
                answer = await world.csms.call(action, payload)
                assert answer["status"] in ("Accepted", "Rejected", "Failed", "NotFound", "NotSupported")
            assert world.csms.violations == []
            await world.station.kill()

    run_virtual(body())


def test_a_csms_that_signs_by_itself_renews_the_certificate_of_the_station_in_time(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        world.csms.heartbeat_s = 3600
        await world.start()
        csms = CsmsSecurity(world.csms, Authority("CSMS root", now=world.now), clock=world.clock, lasts=datetime.timedelta(days=3))
        other = Authority("Other root", now=world.now)
        assert await csms.install(pem(other.certificate)) == "Accepted"
        assert (await world.station.security.request_certificate()).status == "Accepted"
        await asyncio.sleep(1)
        first = world.station.security.status().certificate
        assert first is not None and list(csms.told) == ["Accepted"]
        assert len(await csms.installed()) == 2, "a station that has roots gets that of the authority first"
        await asyncio.sleep(22 * 3600)
        assert world.station.security.status().certificate == first, "too early"
        await asyncio.sleep(5 * 3600)
        second = world.station.security.status().certificate
        assert second is not None and second.serial_number != first.serial_number and second.not_after > first.not_after
        assert list(csms.told) == ["Accepted"] * 2 and not world.station.security.status().request_pending

    secured(tmp_path, main, security={"renew_days": 1})


CSR = made.request(made.new_key(), NAME, "Strom AG")


def csr_of(key: Any, *names: x509.NameAttribute) -> str:
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name(names))
    used = None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    return builder.sign(key, used).public_bytes(serialization.Encoding.PEM).decode()


COMMON = x509.NameAttribute(NameOID.COMMON_NAME, NAME)


@pytest.mark.parametrize(
    "csr",
    [
        "", "nonsense", pem(ROOT.certificate), csr_of(new_key()), csr_of(new_key("rsa-weak"), COMMON),
        csr_of(ec.generate_private_key(ec.SECP192R1()), COMMON), csr_of(ed25519.Ed25519PrivateKey.generate(), COMMON),
    ],
    ids=["nothing", "nonsense", "certificate", "no name", "rsa 1024", "ec 192", "ed25519"],
)
def test_a_bad_request_is_rejected_by_the_simulated_csms(csr: str) -> None:
    assert sign(csr) == "Rejected"


@given(at=st.integers(0, len(CSR) - 1), letter=st.characters(codec="latin-1"))
@settings(max_examples=examples(30), deadline=None)
def test_a_damaged_request_is_rejected_or_still_the_same(at: int, letter: str) -> None:
    text = CSR[:at] + letter + CSR[at + 1 :]
    assert sign(text) == "Rejected" or text.split() == CSR.split() or _der(text) == _der(CSR)


def _der(csr: str) -> bytes:
    return x509.load_pem_x509_csr(csr.encode()).public_bytes(serialization.Encoding.DER)


def sign(csr: str) -> str:
    csms = SimCsms(VirtualClock(VirtualLoop()))
    CsmsSecurity(csms, ROOT)
    return str(csms.more["SignCertificate"](NAME, {"csr": csr})["status"])
