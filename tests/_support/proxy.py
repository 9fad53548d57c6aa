"""A proxy of a few lines: HTTP (CONNECT and requests for whole URLs), HTTP inside TLS, or SOCKS 5."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import ipaddress
import ssl
from urllib.parse import urlsplit


class Proxy:
    """Serves one connection per call of `serve`; keeps what it was asked for, and by whom."""

    def __init__(self, kind: str, *, user: str = "", password: str = "", refuse: int = 0) -> None:
        self.kind = kind  # http or socks
        self.user = user
        self.password = password
        self.refuse = refuse  # HTTP status or SOCKS reply
        self.asked: list[str] = []
        self.peers: set[str] = set()
        """Addresses that connections came from."""
        self.passed = 0
        """Bytes that were handed back."""
        self.sent = 0
        """Bytes that were handed on, over all connections."""
        self.cut_at = -1
        """All connections break when so many bytes were handed on; -1 = never."""

    async def start(self, tls: ssl.SSLContext | None = None) -> asyncio.Server:
        """Listen on any port of the loopback interface."""
        return await asyncio.start_server(self.serve, "127.0.0.1", 0, ssl=tls)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.peers.add(writer.get_extra_info("peername")[0])
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            target = await (self._http if self.kind == "http" else self._socks)(reader, writer)
            if target is not None:
                await self._join(reader, writer, *target)
        writer.close()

    async def _http(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> tuple[str, int, bytes] | None:
        first, _, rest = (await reader.readuntil(b"\r\n\r\n")).decode().partition("\r\n")
        method, where, version = first.split(" ")
        self.asked.append(f"{method} {where}")
        pair = base64.b64encode(f"{self.user}:{self.password}".encode()).decode()
        known = f"Proxy-Authorization: Basic {pair}\r\n"
        if self.user and known not in rest:
            writer.write(b"HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic\r\nContent-Length: 0\r\n\r\n")
            return None
        if self.refuse:
            writer.write(f"HTTP/1.1 {self.refuse} Nope\r\nContent-Length: 0\r\n\r\n".encode())
            return None
        if method != "CONNECT":
            parts = urlsplit(where)
            assert parts.scheme == "http" and parts.hostname
            path = parts.path + (f"?{parts.query}" if parts.query else "")
            return parts.hostname, parts.port or 80, f"{method} {path} {version}\r\n{rest.replace(known, '')}".encode()
        writer.write(b"HTTP/1.1 200 Connection established\r\nVia: test\r\n\r\n")
        host, port = where.rsplit(":", 1)
        return host.strip("[]"), int(port), b""

    async def _socks(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> tuple[str, int, bytes] | None:
        version, count = await reader.readexactly(2)
        methods = await reader.readexactly(count)
        assert version == 5
        wanted = 2 if self.user else 0
        writer.write(bytes([5, wanted if wanted in methods else 255]))
        if wanted not in methods:
            return None
        if wanted == 2:
            assert (await reader.readexactly(1)) == b"\x01"
            user = await reader.readexactly((await reader.readexactly(1))[0])
            password = await reader.readexactly((await reader.readexactly(1))[0])
            good = (user.decode(), password.decode()) == (self.user, self.password)
            writer.write(b"\x01" + bytes([0 if good else 1]))
            if not good:
                return None
        _, command, _, kind = await reader.readexactly(4)
        assert command == 1
        if kind == 3:
            host = (await reader.readexactly((await reader.readexactly(1))[0])).decode()
        else:
            host = str(ipaddress.ip_address(await reader.readexactly(4 if kind == 1 else 16)))
        port = int.from_bytes(await reader.readexactly(2), "big")
        self.asked.append(f"{kind} {host}:{port}")
        writer.write(bytes([5, self.refuse, 0, 3, 4]) + b"here" + b"\0\x01")
        return None if self.refuse else (host, port, b"")

    async def _join(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, host: str, port: int, first: bytes
    ) -> None:
        far_reader, far_writer = await asyncio.open_connection(host, port)
        far_writer.write(first)

        async def pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
            with contextlib.suppress(OSError):
                while data := await source.read(65_536):
                    if sink is writer:
                        self.passed += len(data)
                    elif 0 <= self.cut_at < self.sent + len(data):
                        sink.write(data[: self.cut_at - self.sent])
                        writer.transport.abort()
                        break
                    else:
                        self.sent += len(data)
                    sink.write(data)
                    await sink.drain()
                sink.close()

        await asyncio.gather(pump(reader, far_writer), pump(far_reader, writer))
