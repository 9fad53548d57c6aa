"""`evsectl ocpp doctor` against servers on localhost that fail at each step in turn."""

from __future__ import annotations

import asyncio
import datetime as dt
import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from websockets.asyncio.server import ServerConnection, serve
from websockets.datastructures import Headers
from websockets.http11 import Request, Response

from evse.ocpp.doctor import STEPS, LiveLink, Report, examine
from evse.ocpp.messages import timestamp
from evse.ocpp.ports import DialTarget
from evse.runtime.clock import RealClock
from evse.transports.base import DialOptions
from evse.units import NS_PER_S
from tests._support.frames import Watched

BOOT = {"chargePointVendor": "Example", "chargePointModel": "DC station"}
Answer = Callable[[ServerConnection], Awaitable[None]]
CLOCK = RealClock()


def words(report: Report) -> dict[str, str]:
    """Step -> result, with the laws that every report keeps."""
    assert [check.name for check in report.checks] == list(STEPS)
    results = [check.result for check in report.checks]
    if "failed" in results:
        at = results.index("failed")
        assert report.failed == STEPS[at] and set(results[at + 1 :]) <= {"skipped"}
        assert report.checks[at].remedy and report.checks[at].detail
    return {check.name: check.result for check in report.checks}


def facts(report: Report, name: str) -> dict[str, str]:
    return dict(next(check.facts for check in report.checks if check.name == name))


def detail(report: Report, name: str) -> str:
    return next(check.detail for check in report.checks if check.name == name)


def booting(status: str = "Accepted", ahead_s: int = 0, interval: int = 300) -> Answer:
    async def answer(connection: ServerConnection) -> None:
        watched = Watched(connection)
        async for text in watched:
            kind, unique_id, action, _ = json.loads(text)
            assert (kind, action) == (2, "BootNotification")
            now = timestamp(CLOCK.wall() + ahead_s * NS_PER_S)
            body = {"status": status, "currentTime": now, "interval": interval}
            await watched.send(json.dumps([3, unique_id, body]))

    return answer


@asynccontextmanager
async def csms(
    answer: Answer, *, subprotocols: tuple[str, ...] = ("ocpp1.6",), tls: ssl.SSLContext | None = None,
    judge: Callable[[ServerConnection, Request], Response | None] | None = None,
) -> AsyncIterator[str]:
    async with serve(answer, "127.0.0.1", 0, subprotocols=list(subprotocols), ssl=tls, process_request=judge) as server:  # type: ignore[arg-type]
        port = next(iter(server.sockets)).getsockname()[1]
        yield f"{'wss' if tls else 'ws'}://localhost:{port}/ocpp/CP1" if tls else f"ws://127.0.0.1:{port}/ocpp/CP1"


async def look(url: str, *, headers: dict[str, str] | None = None, tls: ssl.SSLContext | None = None, live: LiveLink | None = None) -> Report:
    target = DialTarget(url=url, headers=headers or {}, options=DialOptions(tls=tls))
    return await examine(target, CLOCK, BOOT, live)


def test_everything_is_well() -> None:
    async def go() -> None:
        async with csms(booting()) as url:
            report = await look(url)
        assert words(report) == dict.fromkeys(STEPS, "ok") and report.failed == "" and not report.live
        assert facts(report, "tcp")["address"] == "127.0.0.1"
        assert facts(report, "http")["status"] == "101 Switching Protocols"
        assert facts(report, "boot") == {"interval": "300 s"}
        assert all(c.took_ns is not None and c.took_ns >= 0 for c in report.checks if c.name in ("dns", "tcp", "http"))

    asyncio.run(go())


def test_a_name_without_address() -> None:
    report = asyncio.run(look("ws://csms.invalid/ocpp/CP1"))
    assert words(report)["dns"] == "failed" and "csms.invalid" in detail(report, "dns")
    assert words(asyncio.run(look("http://csms/ocpp")))["dns"] == "failed"


def test_nobody_listens() -> None:
    report = asyncio.run(look("ws://127.0.0.1:1/ocpp/CP1"))
    assert words(report)["tcp"] == "failed" and "refused" in detail(report, "tcp").lower()


def _refuse(status: int, phrase: str, **headers: str) -> Callable[[ServerConnection, Request], Response | None]:
    return lambda connection, request: Response(status, phrase, Headers(headers), b"no")


@pytest.mark.parametrize(
    ("status", "step", "word", "todo"),
    [(404, "http", "does not know", "check path and charge point id"), (503, "http", "not available", "wait"),
     (429, "http", "slow down", "wait"), (200, "http", "does not speak WebSocket", "check path"),
     (302, "http", "redirects to", "set it as ocpp.url"), (401, "credentials", "password", "set-key"),
     (403, "credentials", "forbids", "set-key")],
)  # fmt: skip
def test_http_answers(status: int, step: str, word: str, todo: str) -> None:
    async def go() -> None:
        async with csms(booting(), judge=_refuse(status, "No", Location="ws://elsewhere/")) as url:
            report = await look(url, headers={"Authorization": "Basic Q1AxOmtleQ=="})
        assert report.failed == step and word in detail(report, step)
        assert todo in next(check.remedy for check in report.checks if check.name == step)
        assert facts(report, "http")["status"] == f"{status} No" and "websockets" in facts(report, "http")["server"]
        assert "Q1AxOmtleQ" not in str(report)

    asyncio.run(go())


def test_a_header_that_comes_twice_does_no_harm() -> None:
    twice = Headers([("Location", "ws://one/"), ("Location", "ws://two/"), ("Date", "Thu, 01 Jan 2026 00:00:00 GMT"), ("Date", "soon")])

    async def go() -> None:
        async with csms(booting(), judge=lambda connection, request: Response(302, "Found", twice, b"")) as url:
            report = await look(url)
        assert report.failed == "http" and "ws://one/" in detail(report, "http")

    asyncio.run(go())


def test_the_password_is_sent_and_told_of() -> None:
    seen = []

    def judge(connection: ServerConnection, request: Request) -> None:
        seen.append(request.headers.get("Authorization"))

    async def go() -> None:
        async with csms(booting(), judge=judge) as url:
            report = await look(url, headers={"Authorization": "Basic Q1AxOmtleQ=="})
        assert seen == ["Basic Q1AxOmtleQ=="] and detail(report, "credentials") == "password accepted"

    asyncio.run(go())


@pytest.mark.parametrize("offered", [("ocpp2.0.1",), ()])
def test_no_common_subprotocol(offered: tuple[str, ...]) -> None:
    async def go() -> None:
        async with csms(booting(), subprotocols=offered) as url:
            report = await look(url)
        assert report.failed in ("subprotocol", "http")
        assert offered or report.failed == "subprotocol"

    asyncio.run(go())


@pytest.mark.parametrize(
    ("status", "ahead_s", "clock", "boot"),
    [("Accepted", 95, "warning", "ok"), ("Pending", 0, "ok", "warning"), ("Rejected", -95, "warning", "failed")],
)
def test_clock_and_boot(status: str, ahead_s: int, clock: str, boot: str) -> None:
    async def go() -> None:
        async with csms(booting(status, ahead_s)) as url:
            report = await look(url)
        found = words(report)
        assert (found["clock"], found["boot"]) == (clock, boot)
        if ahead_s:
            assert abs(ahead_s) - 20 < float(facts(report, "clock")["offset"].strip("+- s")) < abs(ahead_s) + 20

    asyncio.run(go())


async def _say_nothing(connection: ServerConnection) -> None:
    await connection.close(4000, "go away")


async def _error(connection: ServerConnection) -> None:
    watched = Watched(connection)
    async for text in watched:
        await watched.send(json.dumps([2, "x", "Reset", {"type": "Soft"}]))  # not an answer: passed over
        await watched.send(json.dumps([4, json.loads(text)[1], "InternalError", "down", {}]))


@pytest.mark.parametrize(("answer", "word"), [(_say_nothing, "4000"), (_error, "InternalError")])
def test_boot_that_fails_still_tells_the_clock(answer: Answer, word: str) -> None:
    async def go() -> None:
        async with csms(answer) as url:
            report = await look(url)
        assert words(report)["boot"] == "failed" and word in detail(report, "boot")
        assert facts(report, "clock")["told by"] == "HTTP header Date"

    asyncio.run(go())


def test_a_port_that_is_no_web_server() -> None:
    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 mail.example.org ESMTP\r\n")
        await reader.read(1)
        writer.close()

    async def go() -> None:
        server = await asyncio.start_server(greet, "127.0.0.1", 0)
        async with server:
            port = server.sockets[0].getsockname()[1]
            plain = await look(f"ws://127.0.0.1:{port}/CP1")
            tls = await look(f"wss://127.0.0.1:{port}/CP1", tls=ssl.create_default_context())
        assert plain.failed == "http" and tls.failed == "tls"

    asyncio.run(go())


# -- proxy and interface --------------------------------------------------------------------------------------------


@asynccontextmanager
async def proxy(answer: bytes) -> AsyncIterator[int]:
    """A proxy that says ``answer`` to CONNECT, and tunnels when that is 200."""

    async def serve_one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        if b" 200 " not in answer:
            writer.close()
            return
        host, port = head.split()[1].decode().rsplit(":", 1)
        there_reader, there = await asyncio.open_connection(host, int(port))

        async def pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
            while data := await source.read(65_536):
                sink.write(data)
            sink.close()

        await asyncio.gather(pump(reader, there), pump(there_reader, writer), return_exceptions=True)

    server = await asyncio.start_server(serve_one, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


async def _through(url: str, **options: str) -> Report:
    return await examine(DialTarget(url=url, options=DialOptions(**options)), CLOCK, BOOT)


def test_through_a_proxy() -> None:
    async def go() -> None:
        async with csms(booting()) as url, proxy(b"HTTP/1.1 200 OK\r\n\r\n") as port:
            report = await _through(url, proxy=f"http://127.0.0.1:{port}")
        assert words(report) == dict.fromkeys(STEPS, "ok")
        assert "the proxy 127.0.0.1" in detail(report, "dns") and "through the proxy" in detail(report, "tcp")

    asyncio.run(go())


def test_a_proxy_that_refuses_is_the_tcp_step() -> None:
    async def go() -> None:
        async with proxy(b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n") as port:
            report = await _through("ws://csms.invalid/CP1", proxy=f"http://u:geheim@127.0.0.1:{port}")
        assert report.failed == "tcp" and "407" in detail(report, "tcp") and "geheim" not in str(report)
        wrong = await _through("ws://csms.invalid/CP1", proxy="ftp://x")
        assert wrong.failed == "dns" and "ocpp.proxy" in detail(wrong, "dns")

    asyncio.run(go())


def test_an_interface_that_is_not_there() -> None:
    report = asyncio.run(_through("ws://127.0.0.1:1/CP1", interface="wwan7"))
    assert report.failed == "tcp" and "wwan7" in detail(report, "tcp")
    assert "ocpp.interface" in next(check.remedy for check in report.checks if check.name == "tcp")


# -- TLS ------------------------------------------------------------------------------------------------------------


class Authority:
    """A CA of one test, with server certificates."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Test CA")])
        self.certificate = self._build(self.name, self._key, None, days=(-1, 365))

    def _build(self, subject: x509.Name, key: ec.EllipticCurvePrivateKey, host: str | None, days: tuple[int, int]) -> x509.Certificate:
        now = dt.datetime.now(dt.UTC)
        builder = (
            x509.CertificateBuilder().subject_name(subject).issuer_name(self.name).public_key(key.public_key())
            .serial_number(x509.random_serial_number()).not_valid_before(now + dt.timedelta(days[0]))
            .not_valid_after(now + dt.timedelta(days[1]))
            .add_extension(x509.BasicConstraints(ca=host is None, path_length=None), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False)
        )  # fmt: skip
        if host is not None:
            builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
        return builder.sign(self._key, hashes.SHA256())

    def server(self, host: str = "localhost", days: tuple[int, int] = (-1, 90)) -> ssl.SSLContext:
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host)])
        certificate = self._build(subject, key, host, days)
        file = self._folder / "server.pem"
        file.write_bytes(
            key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
            + certificate.public_bytes(serialization.Encoding.PEM)
        )
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(file)
        return context

    def client(self) -> ssl.SSLContext:
        pem = self.certificate.public_bytes(serialization.Encoding.PEM).decode()
        return ssl.create_default_context(cadata=pem)


async def _over_tls(server: ssl.SSLContext, client: ssl.SSLContext, live: LiveLink | None = None) -> Report:
    async with csms(booting(), tls=server) as url:
        return await look(url, tls=client, live=live)


def test_a_good_certificate_is_shown(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    report = asyncio.run(_over_tls(authority.server(), authority.client()))
    assert words(report) == dict.fromkeys(STEPS, "ok")
    shown = facts(report, "tls")
    assert shown["certificate"] == "CN=localhost" and shown["issued by"] == "CN=Test CA" and shown["names"] == "localhost"
    assert shown["version"].startswith("TLS")


@pytest.mark.parametrize(
    ("host", "days", "trusted", "word"),
    [("localhost", (-30, -1), True, "expired"), ("localhost", (2, 90), True, "not valid yet"),
     ("other.example", (-1, 90), True, "other host name|another host name|Hostname mismatch"),
     ("localhost", (-1, 90), False, "issuer|self-signed|root")],
)  # fmt: skip
def test_a_certificate_that_is_refused_is_shown_all_the_same(
    tmp_path: Path, host: str, days: tuple[int, int], trusted: bool, word: str
) -> None:
    authority = Authority(tmp_path)
    client = authority.client() if trusted else ssl.create_default_context()
    report = asyncio.run(_over_tls(authority.server(host, days), client))
    assert report.failed == "tls"
    assert any(part in detail(report, "tls") for part in word.split("|")), detail(report, "tls")
    assert facts(report, "tls")["certificate"] == f"CN={host}"


def test_a_certificate_that_ends_soon_or_is_not_checked_is_a_warning(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    soon = asyncio.run(_over_tls(authority.server(days=(-80, 5)), authority.client()))
    assert words(soon)["tls"] == "warning" and words(soon)["boot"] == "ok"
    careless = ssl.create_default_context()
    careless.check_hostname = False
    careless.verify_mode = ssl.CERT_NONE
    report = asyncio.run(_over_tls(authority.server(), careless))
    assert words(report)["tls"] == "warning" and "not checked" in detail(report, "tls")


def test_a_csms_that_wants_a_certificate_of_the_station(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    server = authority.server()
    server.verify_mode = ssl.CERT_REQUIRED
    server.load_verify_locations(cadata=authority.certificate.public_bytes(serialization.Encoding.PEM).decode())
    report = asyncio.run(_over_tls(server, authority.client()))
    assert report.failed == "tls" and "certificate" in detail(report, "tls")


# -- beside a link that stands --------------------------------------------------------------------------------------

LIVE = LiveLink(since=CLOCK.wall(), registration="Accepted", last_boot=None, offset_ms=-1500, heard=CLOCK.wall(), heartbeat_s=300)


def test_a_link_that_stands_is_not_touched() -> None:
    asked = []

    def judge(connection: ServerConnection, request: Request) -> None:
        asked.append(request.path)

    async def go() -> None:
        async with csms(booting(), judge=judge) as url:
            report = await look(url, live=LIVE)
        assert words(report) == dict.fromkeys(STEPS, "ok") and report.live
        assert asked == [] and facts(report, "clock")["offset"] == "-1.5 s"

    asyncio.run(go())


def test_what_would_fail_anew_is_a_warning_while_the_link_stands() -> None:
    report = asyncio.run(look("ws://127.0.0.1:1/ocpp/CP1", live=LIVE))
    assert report.failed == "" and words(report)["tcp"] == "warning" and words(report)["boot"] == "ok"
    assert "a new connection fails here" in detail(report, "tcp")
