"""Was the certificate of the CSMS revoked? Real answers of a responder made here, under virtual time and over real sockets."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509 as lib
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509 import ocsp as made
from cryptography.x509.oid import ExtendedKeyUsageOID
from hypothesis import given, settings
from hypothesis import strategies as st

from evse.lab.vloop import VirtualClock, run_virtual
from evse.ocpp.security import ocsp
from evse.ocpp.security.ocsp_http import post
from evse.ocpp.security.ports import inline
from evse.ocpp.security.revocation import ASK_S, LOOK_S, Revocation
from evse.ocpp.security.tls import Problem
from evse.ocpp.security.x509 import CertificateError
from evse.runtime.clock import RealClock
from evse.sim.csms import SimCsms
from evse.sim.csms_security import YEAR, Authority, CsmsSecurity, new_key, pem, server_context
from evse.transports.base import DIRECT, DialError, DialOptions, DialStep
from evse.units import NS_PER_S
from tests._support.examples import examples
from tests.ocpp_security.support import KEY_1, NAME, SecureStation, real_station, run_real, until

HOUR = datetime.timedelta(hours=1)
ROOT = Authority("CSMS root")
URL = "http://127.0.0.1:9/ocsp"
LEAF = ROOT.issue(new_key().public_key(), "127.0.0.1", hosts=("127.0.0.1",), ocsp=URL)
WALL = int(ROOT.now.timestamp()) * NS_PER_S


def der(certificate: lib.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.DER)


def delegate(authority: Authority, *purposes: Any) -> tuple[lib.Certificate, Any]:
    """A certificate that may (or may not) sign answers for its authority."""
    key = new_key()
    builder = (
        lib.CertificateBuilder().subject_name(lib.Name([])).issuer_name(authority.certificate.subject)
        .public_key(key.public_key()).serial_number(4711).not_valid_before(ROOT.now - HOUR).not_valid_after(ROOT.now + YEAR)
    )
    if purposes:
        builder = builder.add_extension(lib.ExtendedKeyUsage(list(purposes)), critical=False)
    return builder.sign(authority.key, hashes.SHA256()), key


TWICE = lib.ObjectIdentifier("1.2.3.4"), lib.ObjectIdentifier("1.2.3.5")


def twice() -> bytes:
    """An answer that anybody on the way can make: its signer has an extension twice, on which ``cryptography`` raises late."""
    key = new_key()
    builder = (
        lib.CertificateBuilder().subject_name(lib.Name([])).issuer_name(ROOT.certificate.subject).public_key(key.public_key())
        .serial_number(1).not_valid_before(ROOT.now - HOUR).not_valid_after(ROOT.now + YEAR)
    )
    for number in TWICE:
        builder = builder.add_extension(lib.UnrecognizedExtension(number, b"\x05\x00"), critical=False)
    text = answer(signer=(builder.sign(key, hashes.SHA256()), key))
    return text.replace(b"\x2a\x03\x05", b"\x2a\x03\x04")


def answer(
    status: str = "good", leaf: lib.Certificate = LEAF, *, begins: datetime.timedelta = -HOUR, ends: datetime.timedelta | None = HOUR,
    by: Authority = ROOT, signer: tuple[lib.Certificate, Any] | None = None,
) -> bytes:
    """What a responder says."""
    certificate, key = signer or (by.certificate, by.key)
    wanted = {"good": made.OCSPCertStatus.GOOD, "revoked": made.OCSPCertStatus.REVOKED, "unknown": made.OCSPCertStatus.UNKNOWN}[status]
    gone = status == "revoked"
    builder = made.OCSPResponseBuilder().add_response(
        leaf, by.certificate, hashes.SHA1(), wanted, ROOT.now + begins, None if ends is None else ROOT.now + ends,
        ROOT.now - 2 * HOUR if gone else None, lib.ReasonFlags.key_compromise if gone else None,
    ).responder_id(made.OCSPResponderEncoding.HASH, certificate)
    if signer is not None:
        builder = builder.certificates([certificate])
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.DER)


def read(text: bytes, wall: int = WALL) -> ocsp.Answer:
    return ocsp.read(text, der(LEAF), der(ROOT.certificate), wall)


def test_an_answer_is_read() -> None:
    assert read(answer()) == ocsp.Answer(status="good", until=WALL + 3600 * NS_PER_S)
    assert read(answer("unknown")).status == "unknown"
    gone = read(answer("revoked"))
    assert (gone.status, gone.revoked_at, gone.reason) == ("revoked", WALL - 7200 * NS_PER_S, "keyCompromise")
    assert read(answer(ends=None, begins=-HOUR / 2)).until == WALL + 1800 * NS_PER_S
    assert read(answer(signer=delegate(ROOT, ExtendedKeyUsageOID.OCSP_SIGNING))).status == "good"
    assert ocsp.responder(der(LEAF)) == URL
    told = made.load_der_ocsp_request(ocsp.request(der(LEAF), der(ROOT.certificate)))
    assert told.serial_number == LEAF.serial_number


STRANGER = Authority("Stranger")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (answer(begins=-3 * HOUR, ends=-HOUR), "was valid until"),
        (answer(begins=HOUR, ends=2 * HOUR), "from the future"),
        (answer(leaf=ROOT.issue(new_key().public_key(), "other")), "about another certificate"),
        (answer(by=STRANGER, leaf=LEAF), "about another certificate"),
        (answer(signer=(STRANGER.certificate, STRANGER.key)), "nobody who may"),
        (answer(signer=delegate(ROOT)), "nobody who may"),
        (answer(signer=delegate(ROOT, ExtendedKeyUsageOID.SERVER_AUTH)), "nobody who may"),
        (answer(signer=delegate(STRANGER, ExtendedKeyUsageOID.OCSP_SIGNING)), "nobody who may"),
        (made.OCSPResponseBuilder.build_unsuccessful(made.OCSPResponseStatus.TRY_LATER).public_bytes(serialization.Encoding.DER), "try later"),
        (b"", "cannot be read"), (b"<html>", "cannot be read"), (twice(), "cannot be read"),
    ],
    ids=["stale", "future", "other", "other issuer", "forged", "no purpose", "wrong purpose", "stranger's", "later", "empty", "text", "twice"],
)
def test_what_is_no_answer_is_not_believed(text: bytes, words: str) -> None:
    with pytest.raises(CertificateError, match=words):
        read(text)


@pytest.mark.filterwarnings("ignore::cryptography.utils.CryptographyDeprecationWarning")
@settings(max_examples=examples(300), deadline=None)
@given(st.integers(0, 10_000), st.integers(0, 255))
def test_a_damaged_certificate_is_not_asked_about(at: int, byte: int) -> None:
    text = bytearray(der(LEAF))
    text[at % len(text)] = byte
    with contextlib.suppress(CertificateError):
        ocsp.responder(bytes(text))
        ocsp.request(bytes(text), der(ROOT.certificate))


@settings(max_examples=examples(150), deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 255))
def test_one_changed_byte_never_makes_a_revoked_certificate_good(at: int, by: int) -> None:
    text = bytearray(GONE)
    text[at % len(text)] ^= by
    try:
        found = read(bytes(text))
    except CertificateError:
        return
    assert found.status == "revoked"


GONE = answer("revoked")


@pytest.mark.parametrize("url", ["", "https://h/x", "ldap://h/x", "http:///x", "http://h:99999/x", "http://h/ x"])
def test_only_a_plain_http_responder_is_asked(url: str) -> None:
    leaf = ROOT.issue(new_key().public_key(), "x", ocsp=url)
    with pytest.raises(CertificateError, match="names no OCSP responder"):
        ocsp.responder(der(leaf))


class Asked:
    """`Revocation` under virtual time; ``says`` is what the responder answers, None = nothing, ever."""

    def __init__(self, mode: str) -> None:
        self.mode, self.count = mode, 0
        self.says: bytes | None = answer()
        self.clock = VirtualClock(asyncio.get_running_loop(), WALL)  # type: ignore[arg-type]
        self.revocation = Revocation(self.clock, inline, self.post, lambda: self.mode)

    async def post(self, url: str, body: bytes) -> bytes:
        self.count += 1
        assert url == URL
        if self.says is None:
            await asyncio.Event().wait()
        assert self.says is not None
        return self.says

    def judge(self, issuer: bytes | None = None) -> Problem | None:
        failure = self.revocation.judge(der(LEAF), der(ROOT.certificate) if issuer is None else issuer)
        return None if failure is None else failure.reason

    async def asked(self) -> Problem | None:
        assert self.judge() is Problem.ASKING
        await self.revocation.ask()
        return self.judge()


def test_an_answer_counts_until_it_ends_and_is_renewed() -> None:
    async def main() -> None:
        a = Asked("hard")
        assert await a.asked() is None
        await asyncio.sleep(3500)
        await a.revocation.renew()
        assert (a.judge(), a.count) == (None, 1)
        await asyncio.sleep(200)
        assert a.judge() is Problem.ASKING
        a.says = answer(begins=HOUR / 2, ends=3 * HOUR)
        await a.revocation.renew()
        assert (a.judge(), a.count) == (None, 2)
        assert a.revocation.told().startswith("OCSP hard: good, until ")
        a.mode = "off"
        assert a.judge() is None and a.revocation.told() == ""

    run_virtual(main())


@pytest.mark.parametrize(("mode", "verdict"), [("soft", None), ("hard", Problem.REVOCATION_UNKNOWN)])
def test_a_responder_that_says_nothing_holds_nobody_up_for_long(mode: str, verdict: Problem | None) -> None:
    async def main() -> None:
        a = Asked(mode)
        a.says = None
        begin = a.clock.now()
        assert await a.asked() is verdict
        assert a.clock.now() - begin == int(ASK_S * NS_PER_S)
        assert "no answer within 10 s" in a.revocation.told()
        a.says = answer("unknown")
        await asyncio.sleep(3601)
        assert await a.asked() is verdict
        a.says = answer("revoked")
        await asyncio.sleep(3601)
        assert a.judge() is Problem.ASKING
        a.says = answer("good", by=STRANGER)
        await a.revocation.ask()
        assert a.judge() is verdict, "an answer of somebody else is none"
        assert a.judge(issuer=b"") is verdict, "an unknown issuer cannot be asked"

    run_virtual(main())


def test_a_standing_link_ends_when_its_certificate_is_revoked() -> None:
    async def main() -> None:
        a = Asked("soft")
        ended: list[int] = []
        a.revocation.revoked = lambda: ended.append(a.clock.now())
        assert await a.asked() is None
        task = asyncio.get_running_loop().create_task(a.revocation.run())
        a.says = answer("revoked", begins=-HOUR, ends=3 * HOUR)
        await asyncio.sleep(3600 - LOOK_S)
        assert ended == []
        await asyncio.sleep(LOOK_S + 1)
        assert len(ended) == 1
        assert a.judge() is Problem.REVOKED
        assert "revoked on" in a.revocation.told() and "keyCompromise" in a.revocation.told()
        task.cancel()

    run_virtual(main())


class Responder:
    """A responder on a real socket."""

    def __init__(self) -> None:
        self.status, self.count = "good", 0
        self.leaf: lib.Certificate | None = None

    async def listen(self) -> int:
        self.server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return int(self.server.sockets[0].getsockname()[1])

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        size = int(next(line for line in head.split("\r\n") if line.startswith("Content-Length")).split(":")[1])
        asked = made.load_der_ocsp_request(await reader.readexactly(size))
        self.count += 1
        assert self.leaf is not None and asked.serial_number == self.leaf.serial_number
        body = answer(self.status, self.leaf, begins=-HOUR, ends=YEAR)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/ocsp-response\r\n\r\n" + body)
        writer.close()


async def revocable(directory: Path) -> tuple[Responder, SimCsms, str, dict[str, str]]:
    """A responder and a CSMS whose certificate names it, the URL of that CSMS, and options that trust its root."""
    responder, key, csms = Responder(), new_key(), SimCsms(RealClock())
    port = await responder.listen()
    responder.leaf = leaf = ROOT.issue(
        key.public_key(), "127.0.0.1", hosts=("127.0.0.1",), ocsp=f"http://127.0.0.1:{port}/"
    )
    place = await csms.listen("127.0.0.1", 0, server_context(pem(leaf), key))
    root = directory / "root.pem"
    root.write_text(pem(ROOT.certificate))
    return responder, csms, f"wss://127.0.0.1:{place}", {"ca_file": str(root)}


def test_a_station_asks_before_it_says_anything_and_a_revoked_back_end_never_hears_its_password() -> None:
    async def main(directory: Path) -> None:
        responder, csms, url, tls = await revocable(directory)
        back_end = CsmsSecurity(csms, ROOT)
        back_end.passwords[NAME] = {KEY_1.encode()}
        station = await real_station(directory, url, tls={**tls, "ocsp": "hard"}, security={"profile": 1}).start()
        await station.security.set_key(KEY_1)

        def hurried() -> bool:
            if station.client.link.next_dial is not None:
                station.client.reconnect("the test has no time")
            return station.online

        await until(hurried, "online after the responder was asked")
        assert responder.count == 1
        assert station.security.status().revocation.startswith("OCSP hard: good, until ")
        events = [event.text for event in station.client.link_events(50) if event.kind == "failed"]
        assert "the OCSP responder is asked" in events[-1]
        responder.status = "revoked"
        station.security.dialler.revocation._known.clear()
        before = len(csms.calls("BootNotification"))
        csms.down()
        csms.up()

        def refused() -> bool:
            hurried()
            return station.security.status().last_problem == "revoked"

        await until(refused, "refused as revoked")
        assert not station.online and len(csms.calls("BootNotification")) == before
        events_ = [e for e in await noted(station) if e[0] == "InvalidCentralSystemCertificate"]
        assert events_ and events_[0][1].startswith("revoked: ") and "was revoked on" in events_[0][1]
        responder.server.close()
        await station.kill()
        await csms.close()

    run_real(main)


def test_the_doctor_asks_the_responder_and_says_what_it_has_answered() -> None:
    async def main(directory: Path) -> None:
        responder, csms, url, tls = await revocable(directory)
        station = await real_station(directory, url, tls={**tls, "ocsp": "soft"}).start()
        for task in station.tasks:  # nobody dials, and so nobody has asked
            task.cancel()
        known = station.security.dialler.revocation._known
        known.clear()
        asked = responder.count
        good = await station.client.examine()
        assert (good.failed, responder.count) == ("", asked + 1)
        responder.status = "revoked"
        known.clear()
        bad = await station.client.examine()
        check = next(check for check in bad.checks if check.name == "tls")
        assert bad.failed == "tls" and "was revoked on" in check.detail and "new certificate" in check.remedy
        assert dict(check.facts)["issued by"]
        responder.server.close()
        known.clear()
        assert (await station.client.examine()).failed == "", "soft: who cannot be asked does not stand in the way"
        await station.kill()
        await csms.close()

    run_real(main)


async def noted(station: SecureStation) -> list[tuple[str, str]]:
    await station.security.log.flush()
    return [(event.kind, event.tech_info) for event in await station.security.events(100)]


@pytest.mark.parametrize(
    ("sent", "words"),
    [
        (b"HTTP/1.1 503 Busy\r\n\r\n", "HTTP 503"), (b"nonsense\r\n\r\n", "is not HTTP"), (b"", "no usable answer"),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 9999999\r\n\r\n", "9999999 bytes"), (b"HTTP/1.0 200 OK\r\nContent-Length: 9\r\n\r\nab", "usable"),
        (b"HTTP/1.0 200 OK\r\n\r\n" + b"x" * 70_000, "more than"), (b"H" * 20_000, "usable"),
    ],
    ids=["503", "no http", "nothing", "long", "short", "endless", "head"],
)
def test_what_a_responder_may_send_is_bounded(sent: bytes, words: str) -> None:
    async def main(directory: Path) -> None:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(sent)
            writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        with pytest.raises(DialError, match=words) as caught:
            await post(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/a?b", b"asked", DIRECT, 5.0)
        assert caught.value.step is DialStep.HTTP
        server.close()

    run_real(main)


def test_an_http_proxy_gets_the_request_itself() -> None:
    async def main(directory: Path) -> None:
        heads: list[str] = []

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            heads.append((await reader.readuntil(b"\r\n\r\n")).decode())
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
            writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        proxy = DialOptions(proxy=f"http://me:secret@127.0.0.1:{server.sockets[0].getsockname()[1]}")
        assert await post("http://responder.invalid/a?b", b"asked", proxy, 5.0) == b"ok"
        assert heads[0].startswith("POST http://responder.invalid:80/a?b HTTP/1.0\r\n")
        assert "Proxy-Authorization: Basic bWU6c2VjcmV0\r\n" in heads[0]
        server.close()

    run_real(main)
