"""FTP, FTPS, HTTP and HTTPS servers on localhost, with the faults of the field. They share no code with the station's client.

All serve one `FileStore`. `FtpServer` speaks explicit TLS (AUTH TLS) when it has a context, or implicit TLS.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import posixpath
import re
import ssl
from collections.abc import Awaitable, Callable
from email.utils import formatdate
from typing import Final
from urllib.parse import unquote, urlsplit

from evse.sim.files import FILE_MAX, FileStore, ServedAt

HOST: Final = "127.0.0.1"
PIECE: Final = 16 * 1024
LINE_MAX: Final = 8192
HEADERS_MAX: Final = 100

_NAME: Final = re.compile(r'filename="([^"]{1,200})"')

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class _Broken(Exception):
    """The line shall break now."""


class _Server:
    """A listening socket; `close` also ends what runs on it."""

    scheme = ""

    def __init__(self, store: FileStore, tls: ssl.SSLContext | None) -> None:
        self.store = store
        self.connections = 0
        self._tls = tls
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self, port: int = 0) -> ServedAt:
        """Listen; port 0 asks for any."""
        self._server = await asyncio.start_server(self._client, HOST, port, ssl=self._context(), limit=LINE_MAX * 8)
        return ServedAt(scheme=self.scheme, port=int(self._server.sockets[0].getsockname()[1]))

    def _context(self) -> ssl.SSLContext | None:
        return self._tls

    async def close(self) -> None:
        """Stop listening and break all lines."""
        if self._server is not None:
            self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is not None:
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        self.connections += 1
        try:
            if self.store.silent:
                await asyncio.Event().wait()
            await self.serve(reader, writer)
        except _Broken:
            pass  # closed, so that what was sent arrives
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, ssl.SSLError):
            writer.transport.abort()
        except asyncio.CancelledError:
            writer.transport.abort()
        finally:
            writer.close()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        raise NotImplementedError

    async def send_body(self, writer: asyncio.StreamWriter, content: bytes) -> None:
        """Send a file in pieces; the line breaks where the store says."""
        drop = self.store.next_drop()
        for at in range(0, len(content), PIECE):
            piece = content[at : at + PIECE]
            if 0 <= drop < at + len(piece):
                writer.write(piece[: drop - at])
                await writer.drain()
                raise _Broken
            writer.write(piece)
            await writer.drain()
            if self.store.pause_s:
                await asyncio.sleep(self.store.pause_s)

    async def take_body(self, reader: asyncio.StreamReader, length: int | None) -> tuple[bytes, bool]:
        """Read a file of ``length`` (None = until its end); return it and whether the line was broken on purpose."""
        drop = self.store.next_drop()
        parts: list[bytes] = []
        size = 0
        while length is None or size < length:
            piece = await reader.read(PIECE if length is None else min(PIECE, length - size))
            if not piece:
                break
            if 0 <= drop < size + len(piece):
                parts.append(piece[: drop - size])
                return b"".join(parts), True
            parts.append(piece)
            size += len(piece)
            if size > FILE_MAX:
                raise _Broken
            if self.store.pause_s:
                await asyncio.sleep(self.store.pause_s)
        return b"".join(parts), False


class HttpServer(_Server):
    """GET with ranges and entity tags, POST and PUT (also chunked), Basic credentials."""

    scheme = "http"

    def __init__(self, store: FileStore, tls: ssl.SSLContext | None = None) -> None:
        super().__init__(store, tls)
        self.scheme = "https" if tls else "http"
        self.uploads: list[tuple[str, str, dict[str, str], bytes]] = []
        """(method, path, headers, body) of what was sent to it."""
        self.no_ranges = False
        self.no_tags = False
        self.wrong_range = False
        """Ranges begin elsewhere than asked for."""
        self.redirect = ""
        """Where every GET is sent on to."""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One request per connection."""
        line = (await reader.readuntil(b"\r\n")).decode("latin-1").split()
        headers: dict[str, str] = {}
        while len(headers) < HEADERS_MAX:
            text = (await reader.readuntil(b"\r\n")).decode("latin-1").strip()
            if not text:
                break
            name, _, value = text.partition(":")
            headers[name.strip().lower()] = value.strip()
        if len(line) != 3:
            await self._say(writer, 400, "Bad Request")
            return
        method, path = line[0], unquote(urlsplit(line[1]).path)
        self.store.log.append(f"{method} {line[1]}")
        if not self._admitted(headers):
            await self._say(writer, 401, "Unauthorized", {"WWW-Authenticate": 'Basic realm="files"'})
        elif self.store.is_busy():
            await self._say(writer, 503, "Service Unavailable")
        elif method == "GET":
            await self._get(writer, path, headers)
        elif method in ("POST", "PUT") and not self.store.readonly:
            await self._take(reader, writer, method, path, headers)
        else:
            await self._say(writer, 405, "Method Not Allowed")

    def _admitted(self, headers: dict[str, str]) -> bool:
        kind, _, blob = headers.get("authorization", "").partition(" ")
        user = password = ""
        if kind.lower() == "basic":
            with contextlib.suppress(ValueError):
                user, _, password = base64.b64decode(blob).decode().partition(":")
        return self.store.admits(user, password)

    async def _say(
        self, writer: asyncio.StreamWriter, status: int, reason: str, headers: dict[str, str] | None = None,
        length: int = 0,
    ) -> None:
        rows = {"Content-Length": str(length), "Connection": "close", **(headers or {})}
        text = "".join(f"{name}: {value}\r\n" for name, value in rows.items())
        writer.write(f"HTTP/1.1 {status} {reason}\r\n{text}\r\n".encode("latin-1"))
        await writer.drain()

    async def _get(self, writer: asyncio.StreamWriter, path: str, headers: dict[str, str]) -> None:
        if self.redirect:
            await self._say(writer, 302, "Found", {"Location": self.redirect})
            return
        content = self.store.files.get(path)
        if content is None:
            await self._say(writer, 404, "Not Found")
            return
        version = self.store.changed[path]
        tags = {} if self.no_tags else {"ETag": f'"v{version}"', "Last-Modified": formatdate(1.7e9 + version, usegmt=True)}
        asked = headers.get("range", "")
        same = headers.get("if-range", tags.get("ETag")) in (tags.get("ETag"), tags.get("Last-Modified"))
        start = 0
        if asked.startswith("bytes=") and same and not self.no_ranges:
            start = int(asked[6:].partition("-")[0])
        if start and self.wrong_range:
            start -= 1000
        self.store.offsets.append(start)
        if start and start >= len(content):
            await self._say(writer, 416, "Range Not Satisfiable", {"Content-Range": f"bytes */{len(content)}"})
            return
        if start:
            tags["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
        await self._say(writer, 206 if start else 200, "OK", tags, len(content) - start)
        await self.send_body(writer, content[start:])

    async def _take(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, method: str, path: str, headers: dict[str, str]
    ) -> None:
        if headers.get("transfer-encoding", "").lower() == "chunked":
            parts = []
            while size := int((await reader.readuntil(b"\r\n")).split(b";")[0], 16):
                parts.append(await reader.readexactly(size))
                await reader.readexactly(2)
            await reader.readuntil(b"\r\n")
            body = b"".join(parts)
        else:
            length = int(headers.get("content-length", "0"))
            body, broken = await self.take_body(reader, length)
            if broken or len(body) < length:
                raise _Broken
        self.uploads.append((method, path, headers, body))
        named = _NAME.search(headers.get("content-disposition", ""))
        if method == "PUT":
            self.store.put(path, body)
        elif named and path.endswith("/"):
            self.store.put(path + posixpath.basename(named[1]), body)
        await self._say(writer, 201, "Created")


class FtpServer(_Server):
    """RFC 959 with EPSV, SIZE, MDTM, REST and RFC 4217 (TLS)."""

    scheme = "ftp"

    def __init__(self, store: FileStore, tls: ssl.SSLContext | None = None, *, implicit: bool = False) -> None:
        super().__init__(store, tls)
        self.implicit = implicit
        self.scheme = "ftps" if implicit else "ftp"
        self.secured = 0
        """Control connections that changed to TLS."""
        self.resumed: list[bool] = []
        """Of each TLS data connection: whether it resumed a session, as many servers demand."""

    def _context(self) -> ssl.SSLContext | None:
        return self._tls if self.implicit else None

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One control connection."""
        await _Ftp(self, self._tls, reader, writer).run()


class _Ftp:
    """One login."""

    def __init__(
        self, server: FtpServer, tls: ssl.SSLContext | None, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._server, self._store, self._tls = server, server.store, tls
        self._reader, self._writer = reader, writer
        self._folder = self._store.home
        self._user = ""
        self._inside = False
        self._rest = 0
        self._private = False
        self._data: asyncio.Future[tuple[asyncio.StreamReader, asyncio.StreamWriter]] | None = None
        self._listener: asyncio.Server | None = None

    async def say(self, text: str) -> None:
        self._writer.write(f"{text}\r\n".encode())
        await self._writer.drain()

    async def run(self) -> None:
        await self.say("220 simulated FTP server")
        try:
            while True:
                line = (await self._reader.readuntil(b"\r\n")).decode().strip()
                word, _, argument = line.partition(" ")
                word = word.upper()
                self._store.log.append("PASS ***" if word == "PASS" else line)
                if word == "QUIT":
                    await self.say("221 goodbye")
                    return
                await self._do(word, argument)
        finally:
            if self._listener is not None:
                self._listener.close()

    async def _do(self, word: str, argument: str) -> None:
        early = {"USER": self._user_is, "PASS": self._password, "AUTH": self._auth, "PBSZ": self._ok, "PROT": self._prot}
        late = {
            "TYPE": self._ok, "NOOP": self._ok, "CWD": self._cwd, "SIZE": self._size, "MDTM": self._mdtm,
            "REST": self._rest_at, "EPSV": self._epsv, "PASV": self._pasv, "RETR": self._retr, "STOR": self._stor,
        }
        if word in early:
            await early[word](argument)
        elif word not in late:
            await self.say(f"502 {word} is not known")
        elif not self._inside:
            await self.say("530 log in first")
        else:
            await late[word](argument)

    async def _ok(self, argument: str) -> None:
        await self.say("200 ok")

    async def _user_is(self, argument: str) -> None:
        self._user = argument
        await self.say("331 password please")

    async def _password(self, argument: str) -> None:
        if self._store.is_busy():
            await self.say("421 too many users")
            raise _Broken
        self._inside = self._store.admits(self._user, argument)
        await self.say("230 welcome" if self._inside else "530 login incorrect")

    async def _auth(self, argument: str) -> None:
        if self._tls is None or self._server.implicit:
            await self.say("500 no TLS here")
            return
        await self.say("234 go on")
        await self._writer.start_tls(self._tls)
        self._server.secured += 1

    async def _prot(self, argument: str) -> None:
        self._private = argument.upper() == "P"
        await self.say("200 ok")

    def _path(self, name: str) -> str:
        path = posixpath.normpath(posixpath.join(self._folder, name))
        return "/" + path.lstrip("/")

    async def _cwd(self, argument: str) -> None:
        path = self._path(argument)
        if path in self._store.folders:
            self._folder = path
            await self.say("250 ok")
        else:
            await self.say("550 no such directory")

    async def _size(self, argument: str) -> None:
        content = self._store.files.get(self._path(argument))
        await self.say("550 no such file" if content is None else f"213 {len(content)}")

    async def _mdtm(self, argument: str) -> None:
        version = self._store.changed.get(self._path(argument))
        await self.say("550 no such file" if version is None else f"213 20260101{version:06}")

    async def _rest_at(self, argument: str) -> None:
        self._rest = int(argument)
        await self.say("350 ok")

    async def _listen(self) -> int:
        if self._listener is not None:
            self._listener.close()
        arrived = self._data = asyncio.get_running_loop().create_future()

        def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            tls = writer.get_extra_info("ssl_object")
            if tls is not None:
                self._server.resumed.append(bool(tls.session_reused))
            if not arrived.done():
                arrived.set_result((reader, writer))

        context = self._tls if self._private else None
        self._listener = await asyncio.start_server(connected, HOST, 0, ssl=context)
        return int(self._listener.sockets[0].getsockname()[1])

    async def _epsv(self, argument: str) -> None:
        await self.say(f"229 entering extended passive mode (|||{await self._listen()}|)")

    async def _pasv(self, argument: str) -> None:
        port = await self._listen()
        await self.say(f"227 entering passive mode (127,0,0,1,{port >> 8},{port & 255})")

    async def _retr(self, argument: str) -> None:
        content = self._store.files.get(self._path(argument))
        start, self._rest = self._rest, 0
        if content is None or self._data is None:
            await self.say("550 no such file")
            return
        self._store.offsets.append(start)
        await self.say("150 here it comes")
        _, writer = await self._data
        try:
            await self._server.send_body(writer, content[start:])
        finally:
            writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
        await self.say("226 done")

    async def _stor(self, argument: str) -> None:
        path = self._path(argument)
        start, self._rest = self._rest, 0
        if self._store.readonly or self._data is None:
            await self.say("553 not allowed")
            return
        self._store.offsets.append(start)
        await self.say("150 go on")
        reader, writer = await self._data
        content, broken = await self._server.take_body(reader, None)
        self._store.put(path, self._store.files.get(path, b"")[:start] + content)
        if broken:
            writer.transport.abort()
            raise _Broken
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
        await self.say("226 done")
