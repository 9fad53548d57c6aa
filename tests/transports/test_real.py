"""TCP and WebSocket over the loopback interface, and the list of serial ports. Real time, generous deadlines."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Coroutine
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.http11 import Request, Response
from websockets.typing import Subprotocol

from evse.domain.base import DeviceError
from evse.transports.base import NotText, WsClosed
from evse.transports.real import RealOpeners

DEADLINE_S = 20.0
OCPP = "ocpp1.6"


def run(main: Coroutine[Any, Any, None]) -> None:
    async def guarded() -> None:
        async with asyncio.timeout(DEADLINE_S):
            await main

    asyncio.run(guarded())


def port_of(server: Server | asyncio.Server) -> int:
    port = next(iter(server.sockets)).getsockname()[1]
    assert isinstance(port, int)
    return port


async def closed_port() -> int:
    server = await asyncio.start_server(lambda r, w: None, "127.0.0.1", 0)
    port = port_of(server)
    server.close()
    await server.wait_closed()
    return port


def test_tcp_passes_bytes_and_names_the_end() -> None:
    async def main() -> None:
        async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(await reader.read(100))
            await writer.drain()
            writer.close()

        async with await asyncio.start_server(echo, "127.0.0.1", 0) as server:
            stream = await RealOpeners().open_tcp("127.0.0.1", port_of(server))
            await stream.write(b"hello")
            assert await stream.read() == b"hello"
            with pytest.raises(DeviceError, match="peer has closed"):
                await stream.read()
            await stream.close()

    run(main())


def test_tcp_refused_is_told_with_address() -> None:
    async def main() -> None:
        port = await closed_port()
        with pytest.raises(DeviceError, match=rf"tcp://127\.0\.0\.1:{port}: cannot connect"):
            await RealOpeners().open_tcp("127.0.0.1", port)

    run(main())


async def answer(connection: ServerConnection) -> None:
    """A CSMS that repeats what it hears; says goodbye on "bye", turns binary on "binary"."""
    async for message in connection:
        if message == "bye":
            await connection.close(4000, "enough")
        elif message == "binary":
            await connection.send(b"\0")
        else:
            await connection.send(message)


def test_websocket_carries_text_headers_subprotocol_and_ping() -> None:
    seen: list[str] = []

    def look(connection: ServerConnection, request: Request) -> None:
        seen.append(request.headers.get("Authorization", ""))

    async def main() -> None:
        async with serve(answer, "127.0.0.1", 0, subprotocols=[Subprotocol(OCPP)], process_request=look) as server:
            url = f"ws://127.0.0.1:{port_of(server)}/cs"
            socket = await RealOpeners().open_websocket(url, [OCPP], {"Authorization": "Basic eDp5"}, 5)
            assert socket.subprotocol == OCPP
            assert seen == ["Basic eDp5"]
            await socket.send("é1")
            assert await socket.recv() == "é1"
            await socket.ping(DEADLINE_S)
            await socket.send("bye")
            with pytest.raises(WsClosed, match=r"code 4000 \(enough\)") as closed:
                await socket.recv()
            assert closed.value.clean
            with pytest.raises(WsClosed):
                await socket.send("x")
            await socket.close()

    run(main())


def test_websocket_binary_message_is_told_and_the_connection_lives() -> None:
    async def main() -> None:
        async with serve(answer, "127.0.0.1", 0, subprotocols=[Subprotocol(OCPP)]) as server:
            socket = await RealOpeners().open_websocket(f"ws://127.0.0.1:{port_of(server)}", [OCPP], {}, 5)
            await socket.send("binary")
            with pytest.raises(NotText, match="binary message of 1 bytes"):
                await socket.recv()
            await socket.send("still here")
            assert await socket.recv() == "still here"
            await socket.close()

    run(main())


def test_websocket_without_a_common_subprotocol_is_refused() -> None:
    async def main() -> None:
        async with serve(answer, "127.0.0.1", 0) as server:
            with pytest.raises(DeviceError, match="none of the offered subprotocols"):
                await RealOpeners().open_websocket(f"ws://127.0.0.1:{port_of(server)}", [OCPP], {}, 5)

    run(main())


@pytest.mark.parametrize(
    ("status", "words"),
    [(401, "user or password"), (404, "does not know this URL"), (503, "not available"), (418, "HTTP 418")],
)
def test_websocket_http_status_in_plain_words(status: int, words: str) -> None:
    def refuse(connection: ServerConnection, request: Request) -> Response:
        return connection.respond(HTTPStatus(status), "no\n")

    async def main() -> None:
        async with serve(answer, "127.0.0.1", 0, process_request=refuse) as server:
            with pytest.raises(DeviceError, match=words):
                await RealOpeners().open_websocket(f"ws://127.0.0.1:{port_of(server)}", [OCPP], {}, 5)

    run(main())


def test_websocket_refused_wrong_scheme_and_not_http_are_named() -> None:
    async def main() -> None:
        port = await closed_port()
        with pytest.raises(DeviceError, match="cannot connect"):
            await RealOpeners().open_websocket(f"ws://127.0.0.1:{port}", [OCPP], {}, 5)
        with pytest.raises(DeviceError, match="begins with ws://"):
            await RealOpeners().open_websocket("http://127.0.0.1", [OCPP], {}, 5)

        async def babble(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"SSH-2.0-nonsense\r\n\r\n")
            with contextlib.suppress(OSError):
                await writer.drain()
            writer.close()

        async with await asyncio.start_server(babble, "127.0.0.1", 0) as server:
            with pytest.raises(DeviceError, match="is this a CSMS"):
                await RealOpeners().open_websocket(f"ws://127.0.0.1:{port_of(server)}", [OCPP], {}, 5)

    run(main())


def test_websocket_to_a_silent_peer_times_out() -> None:
    async def main() -> None:
        async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read()
            writer.close()

        async with await asyncio.start_server(silent, "127.0.0.1", 0) as server:
            with pytest.raises(DeviceError, match="no answer within"):
                await RealOpeners().open_websocket(f"ws://127.0.0.1:{port_of(server)}", [OCPP], {}, 0.1)

    run(main())


def test_serial_list_is_sorted_and_empty_without_the_directory(tmp_path: Path) -> None:
    assert RealOpeners(serial_by_id=tmp_path / "none").list_serial() == []
    for name in ("usb-b-if00", "usb-a-if00"):
        (tmp_path / name).touch()
    assert RealOpeners(serial_by_id=tmp_path).list_serial() == [f"{tmp_path}/usb-a-if00", f"{tmp_path}/usb-b-if00"]
