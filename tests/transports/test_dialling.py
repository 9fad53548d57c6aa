"""Dialling over the loopback interface: proxies, interface, TCP options, and what each failure says. Real time."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import socket
import ssl
from collections.abc import Callable
from http import HTTPStatus
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from hypothesis import given, settings
from hypothesis import strategies as st
from websockets.asyncio.server import ServerConnection, serve
from websockets.http11 import Request, Response
from websockets.typing import Subprotocol

from evse.domain.base import DeviceError
from evse.transports.base import DialError, DialOptions, DialStep, WsClosed
from evse.transports.dialling import connect_tcp, open_socket, parse_proxy, watch_tcp
from evse.transports.real import RealOpeners
from evse.transports.websocket import WS_MESSAGE_MAX, open_websocket
from tests._support.examples import examples
from tests._support.proxy import Proxy
from tests.transports.test_real import DEADLINE_S, OCPP, answer, closed_port, port_of, run


def failure(url: Callable[[], str] | str, options: DialOptions, timeout_s: float = 5) -> DialError:
    """Return how a dial to ``url`` fails."""
    found: list[DialError] = []

    async def main() -> None:
        with pytest.raises(DialError) as error:
            await open_websocket(url if isinstance(url, str) else url(), [OCPP], {}, timeout_s, options)
        found.append(error.value)

    run(main())
    return found[0]


@pytest.mark.parametrize(
    ("scheme", "user", "asked"),
    [
        ("http", "", "CONNECT localhost:{}"), ("http", "jo:p%40ss", "CONNECT localhost:{}"), ("socks5h", "", "3 localhost:{}"),
        ("socks5h", "jo:p%40ss", "3 localhost:{}"), ("socks5", "", "1 127.0.0.1:{}"),
    ],
)
def test_through_a_proxy(scheme: str, user: str, asked: str) -> None:
    async def main() -> None:
        proxy = Proxy("http" if scheme == "http" else "socks", user="jo" if user else "", password="p@ss")
        async with (
            serve(answer, "localhost", 0, family=socket.AF_INET, subprotocols=[Subprotocol(OCPP)]) as csms,
            await asyncio.start_server(proxy.serve, "127.0.0.1", 0) as server,
        ):
            text = f"{scheme}://{user + '@' if user else ''}127.0.0.1:{port_of(server)}"
            ws = await open_websocket(
                f"ws://localhost:{port_of(csms)}/a", [OCPP], {}, 5, DialOptions(proxy=text)
            )
            await ws.send("through")
            assert await ws.recv() == "through"
            await ws.close()
            assert proxy.asked == [asked.format(port_of(csms))]

    if scheme == "socks5" and socket.getaddrinfo("localhost", 1, type=socket.SOCK_STREAM)[0][0] != socket.AF_INET:
        pytest.skip("localhost is IPv6 first here")
    run(main())


@pytest.mark.parametrize(
    ("kind", "user", "refuse", "url", "words"),
    [
        ("http", "jo", 0, "http://", "HTTP 407: it wants another user"),
        ("http", "", 403, "http://", "HTTP 403: it does not allow"),
        ("http", "", 502, "http://", "HTTP 502: Nope"),
        ("socks", "jo", 0, "socks5h://", "closed the connection|wants a user"),
        ("socks", "jo", 0, "socks5h://jo:wrong@", "refuses user or password"),
        ("socks", "", 5, "socks5h://", r"csms\.invalid refuses its connection"),
        ("socks", "", 77, "socks5h://", "error 77"),
    ],
)
def test_a_proxy_that_refuses_is_named_without_its_password(
    kind: str, user: str, refuse: int, url: str, words: str
) -> None:
    async def main() -> None:
        proxy = Proxy(kind, user=user, password="right", refuse=refuse)
        async with await asyncio.start_server(proxy.serve, "127.0.0.1", 0) as server:
            with pytest.raises(DialError, match=words) as error:
                await open_websocket(
                    "ws://csms.invalid/a", [OCPP], {}, 5, DialOptions(proxy=f"{url}127.0.0.1:{port_of(server)}")
                )
            assert error.value.step is DialStep.PROXY
            assert "wrong" not in str(error.value)

    run(main())


def test_a_proxy_that_is_none_or_is_not_there() -> None:
    async def main() -> None:
        port = await closed_port()
        with pytest.raises(DialError, match=r"proxy 127\.0\.0\.1: cannot connect") as error:
            await open_socket("csms.invalid", 80, DialOptions(proxy=f"http://127.0.0.1:{port}"), 5)
        assert error.value.step is DialStep.PROXY

        async def babble(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"SSH-2.0-nonsense\r\n\r\n" * 2000)
            with contextlib.suppress(OSError):
                await writer.drain()
            writer.close()

        async with await asyncio.start_server(babble, "127.0.0.1", 0) as server:
            for scheme in ("http", "socks5h"):
                with pytest.raises(DialError, match=r"not HTTP|not SOCKS") as error:
                    await open_socket("a", 80, DialOptions(proxy=f"{scheme}://127.0.0.1:{port_of(server)}"), 5)
                assert error.value.step is DialStep.PROXY

    run(main())


@pytest.mark.parametrize("text", ["", "proxy", "ftp://p:1", "https://", "http://p:0", "http://p:99999", "socks4://p:1"])
def test_a_proxy_url_is_http_https_or_socks5(text: str) -> None:
    with pytest.raises(DialError, match=r"ocpp\.proxy") as error:
        parse_proxy(text)
    assert error.value.step is DialStep.PROXY


@settings(max_examples=examples(200))
@given(st.text(max_size=40) | st.text(alphabet="htps5:/[]@.0127%", max_size=40))
def test_any_text_as_proxy_url_is_taken_or_refused(text: str) -> None:
    with contextlib.suppress(DialError):
        assert parse_proxy(text).hostname


def test_interface_by_own_address_and_by_name() -> None:
    seen: list[str] = []

    async def main() -> None:
        async def look(connection: ServerConnection) -> None:
            seen.append(connection.remote_address[0])
            await connection.wait_closed()

        async with serve(look, "127.0.0.1", 0, subprotocols=[Subprotocol(OCPP)]) as server:
            url = f"ws://127.0.0.1:{port_of(server)}"
            for interface in ("127.0.0.9", "lo"):
                ws = await open_websocket(url, [OCPP], {}, 5, DialOptions(interface=interface))
                assert ws.remote == f"127.0.0.1:{port_of(server)}"
                await ws.close()

    run(main())
    assert seen == ["127.0.0.9", "127.0.0.1"]


@pytest.mark.parametrize(
    ("interface", "words"),
    [("192.0.2.7", "no such address"), ("nosuch0", r"no such network interface; there are: .*lo")],
)
def test_an_interface_that_is_not_there(interface: str, words: str) -> None:
    error = failure("ws://127.0.0.1:1/", DialOptions(interface=interface))
    assert error.step is DialStep.INTERFACE
    with pytest.raises(DeviceError, match=words):
        raise error
    assert f"ocpp.interface = '{interface}'" in str(error)


def test_an_interface_that_is_not_permitted_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    from evse.transports import dialling

    class Locked(socket.socket):
        def setsockopt(self, *args: object) -> None:
            if args[1] == socket.SO_BINDTODEVICE:
                raise PermissionError(1, "Operation not permitted")
            super().setsockopt(*args)  # type: ignore[call-overload]

    with Locked() as sock, pytest.raises(DialError, match=r"CAP_NET_RAW") as error:
        dialling.bind_interface(sock, "lo")
    assert error.value.step is DialStep.INTERFACE


def test_tcp_watchdog_is_set() -> None:
    with socket.socket() as sock:
        watch_tcp(sock, 60)
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 60_000
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
        idle = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE)
        probes = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL) * 2
        assert idle + probes <= 60
    with socket.socket() as sock:
        watch_tcp(sock, 0)
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 0


def test_the_next_address_of_a_name_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        async with await asyncio.start_server(lambda r, w: w.close(), "127.0.0.1", 0) as server:
            port = port_of(server)
            loop = asyncio.get_running_loop()

            async def two(host: str, port: int, **_: object) -> list[object]:
                family = (socket.AF_INET, socket.SOCK_STREAM, 6, "")
                return [(*family, ("127.0.0.2", 1)), (*family, ("127.0.0.1", port))]

            monkeypatch.setattr(loop, "getaddrinfo", two)
            sock = await connect_tcp("csms.test", port, DialOptions(), 5)
            assert sock.getpeername() == ("127.0.0.1", port)
            sock.close()

    run(main())


def test_an_unknown_name_is_dns() -> None:
    error = failure("ws://no-such-host.invalid/", DialOptions())
    assert (error.step, "the name has no address" in str(error)) == (DialStep.DNS, True)


@pytest.mark.parametrize(
    ("status", "headers", "step", "words"),
    [
        (401, {}, DialStep.CREDENTIALS, "user or password"), (403, {}, DialStep.CREDENTIALS, "forbids"),
        (302, {"Location": "ws://127.0.0.1:1/other"}, DialStep.HTTP, "redirects to ws://127.0.0.1:1/other"),
        (308, {"Location": "http://evil"}, DialStep.HTTP, "not followed"),
        (200, {}, DialStep.HTTP, "does not speak WebSocket here"), (500, {}, DialStep.HTTP, "failed inside"),
        (599, {}, DialStep.HTTP, "HTTP 599"),
    ],
)
def test_http_status_and_redirects_are_told_and_never_followed(
    status: int, headers: dict[str, str], step: DialStep, words: str
) -> None:
    async def main() -> None:
        hits: list[bytes] = []

        async def web(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            hits.append(await reader.readuntil(b"\r\n\r\n"))
            lines = [f"HTTP/1.1 {status} X", *(f"{k}: {v}" for k, v in headers.items()), "Content-Length: 0", "", ""]
            writer.write("\r\n".join(lines).encode())
            await writer.drain()
            writer.close()

        async with await asyncio.start_server(web, "127.0.0.1", 0) as server:
            with pytest.raises(DialError, match=words) as error:
                await open_websocket(f"ws://127.0.0.1:{port_of(server)}/a", [OCPP], {"Authorization": "s"}, 5)
        assert (error.value.step, error.value.http_status, len(hits)) == (step, status, 1)

    run(main())


def certificate(folder: Path, *, days: int = 1, name: str = "localhost") -> ssl.SSLContext:
    """Make a self-signed certificate; return the server's context. ``days`` < 0 = expired."""
    key = ec.generate_private_key(ec.SECP256R1())
    now = datetime.datetime.now(datetime.UTC)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    made = (
        x509.CertificateBuilder().subject_name(subject).issuer_name(subject).public_key(key.public_key())
        .serial_number(7).not_valid_before(now - datetime.timedelta(days=30))
        .not_valid_after(now + datetime.timedelta(days=days))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    (folder / "cert.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    (folder / "key.pem").write_bytes(key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    return context


def test_tls_through_a_proxy_and_each_tls_failure_has_its_step(tmp_path: Path) -> None:
    server_side = certificate(tmp_path)
    trusting = ssl.create_default_context(cafile=str(tmp_path / "cert.pem"))
    (tmp_path / "old").mkdir()
    expired_side = certificate(tmp_path / "old", days=-1)
    trusts_old = ssl.create_default_context(cafile=str(tmp_path / "old" / "cert.pem"))

    async def refused(side: ssl.SSLContext | None, host: str, tls: ssl.SSLContext | None) -> DialError:
        async with serve(answer, "127.0.0.1", 0, ssl=side, subprotocols=[Subprotocol(OCPP)]) as csms:
            with pytest.raises(DialError) as error:
                await open_websocket(f"wss://{host}:{port_of(csms)}/", [OCPP], {}, 5, DialOptions(tls=tls))
            return error.value

    async def main() -> None:
        proxy = Proxy("http")
        async with (
            serve(answer, "127.0.0.1", 0, ssl=server_side, subprotocols=[Subprotocol(OCPP)]) as csms,
            await asyncio.start_server(proxy.serve, "127.0.0.1", 0) as server,
        ):
            options = DialOptions(tls=trusting, proxy=f"http://127.0.0.1:{port_of(server)}")
            ws = await open_websocket(f"wss://localhost:{port_of(csms)}/", [OCPP], {}, 5, options)
            await ws.send("sealed")
            assert await ws.recv() == "sealed"
            await ws.close()
        unknown = await refused(server_side, "127.0.0.1", None)
        assert (unknown.step, "not installed here" in str(unknown)) == (DialStep.CERTIFICATE, True)
        elsewhere = await refused(server_side, "127.0.0.1", trusting)
        assert (elsewhere.step, "for another address" in str(elsewhere)) == (DialStep.CERTIFICATE, True)
        old = await refused(expired_side, "localhost", trusts_old)
        assert (old.step, "expired" in str(old)) == (DialStep.CERTIFICATE, True)
        plain = await refused(None, "localhost", trusting)
        assert plain.step in (DialStep.TLS, DialStep.TLS_VERSION, DialStep.TCP), plain

    run(main())


def test_a_proxy_inside_tls_carries_tls_and_is_checked_itself(tmp_path: Path) -> None:
    (tmp_path / "csms").mkdir()
    proxy_side, csms_side = certificate(tmp_path), certificate(tmp_path / "csms")
    knows_proxy = ssl.create_default_context(cafile=str(tmp_path / "cert.pem"))
    knows_csms = ssl.create_default_context(cafile=str(tmp_path / "csms" / "cert.pem"))

    async def main() -> None:
        proxy = Proxy("http", user="jo", password="p@ss")
        async with (
            serve(answer, "127.0.0.1", 0, ssl=csms_side, subprotocols=[Subprotocol(OCPP)]) as csms,
            await proxy.start(proxy_side) as server,
            await asyncio.start_server(lambda _, writer: writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n"), "127.0.0.1", 0) as plain,
        ):

            async def dial(port: int, proxy_tls: ssl.SSLContext | None) -> None:
                options = DialOptions(tls=knows_csms, proxy=f"https://jo:p%40ss@localhost:{port}", proxy_tls=proxy_tls)
                ws = await open_websocket(f"wss://localhost:{port_of(csms)}/", [OCPP], {}, 5, options)
                for text in ("sealed", "x" * (WS_MESSAGE_MAX - 1)):
                    await ws.send(text)
                    assert await ws.recv() == text
                await ws.close()

            await dial(port_of(server), knows_proxy)
            assert proxy.asked == [f"CONNECT localhost:{port_of(csms)}"]
            for port, context, words in (
                (port_of(server), None, "proxy localhost: its certificate is not accepted: self-signed certificate"),
                (port_of(plain), knows_proxy, "proxy localhost: no TLS connection"),
            ):
                with pytest.raises(DialError, match=words) as error:
                    await dial(port, context)
                assert error.value.step is DialStep.PROXY
            assert len(proxy.asked) == 1  # nothing was told to one that is not the right one
            async with asyncio.timeout(5):  # the connection to the proxy has ended with the WebSocket
                while any(task.get_coro().__name__ == "serve" for task in asyncio.all_tasks()):  # type: ignore[union-attr]
                    await asyncio.sleep(0.01)

    run(main())


@pytest.mark.parametrize(
    ("alert", "step", "words"),
    [
        (70, DialStep.TLS_VERSION, "no TLS version in common"), (40, DialStep.TLS_CIPHER, "no cipher suite in common"),
        (116, DialStep.TLS, "refuses this station's certificate, or wants one"),
        (42, DialStep.TLS, "refuses this station's certificate, or wants one"),
    ],
)
def test_tls_alerts_in_plain_words(alert: int, step: DialStep, words: str) -> None:
    async def main() -> None:
        async def csms(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read(10)
            writer.write(b"\x15\x03\x03\x00\x02\x02" + bytes([alert]))
            await writer.drain()
            await reader.read()
            writer.close()

        async with await asyncio.start_server(csms, "127.0.0.1", 0) as server:
            with pytest.raises(DialError, match=words) as error:
                await open_websocket(f"wss://127.0.0.1:{port_of(server)}/", [OCPP], {}, 5)
        assert error.value.step is step

    run(main())


def test_pings_of_the_csms_are_answered_and_ours_too() -> None:
    async def main() -> None:
        done = asyncio.Event()

        async def csms(connection: ServerConnection) -> None:
            await (await connection.ping(b"alive?"))  # returns with the pong
            done.set()
            await connection.wait_closed()

        async with serve(csms, "127.0.0.1", 0, subprotocols=[Subprotocol(OCPP)], ping_interval=None) as server:
            ws = await RealOpeners().open_websocket(f"ws://127.0.0.1:{port_of(server)}", [OCPP], {}, 5)
            await done.wait()
            await ws.ping(DEADLINE_S)
            await ws.close()

    run(main())


def test_bad_utf8_and_oversize_end_the_connection_and_are_named() -> None:
    async def main() -> None:
        async def csms(connection: ServerConnection) -> None:
            what = await connection.recv()
            if what == "utf8":
                await connection.send(b"\"\xff\xfe\"", text=True)
            else:
                await connection.send("x" * (WS_MESSAGE_MAX + 1))
            await connection.wait_closed()

        async with serve(csms, "127.0.0.1", 0, subprotocols=[Subprotocol(OCPP)], max_size=None) as server:
            for what, words in (("utf8", "not UTF-8"), ("big", "longer than")):
                ws = await RealOpeners().open_websocket(f"ws://127.0.0.1:{port_of(server)}", [OCPP], {}, 5)
                await ws.send(what)
                with pytest.raises(WsClosed, match=words) as closed:
                    await ws.recv()
                assert not closed.value.clean
                await ws.close()

    run(main())


def test_a_gateway_that_answers_503_first_is_dialled_again() -> None:
    async def main() -> None:
        tries = 0

        def gate(connection: ServerConnection, request: Request) -> Response | None:
            nonlocal tries
            tries += 1
            return connection.respond(HTTPStatus.SERVICE_UNAVAILABLE, "") if tries == 1 else None

        async with serve(
            answer, "127.0.0.1", 0, subprotocols=[Subprotocol(OCPP)], process_request=gate
        ) as server:
            url = f"ws://127.0.0.1:{port_of(server)}"
            with pytest.raises(DialError, match="HTTP 503"):
                await open_websocket(url, [OCPP], {}, 5)
            ws = await open_websocket(url, [OCPP], {}, 5)
            await ws.close()

    run(main())
