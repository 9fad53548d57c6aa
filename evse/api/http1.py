"""The little HTTP/1.1 that both clients need, without I/O: a request as bytes, a response from bytes.

One request per connection (``Connection: close``); answers have a Content-Length, are chunked, or end with the
connection. Imports nothing: the sync client of evsectl has a start-up budget.
"""

from __future__ import annotations

HEAD_MAX = 16 * 1024
"""Longest response head in bytes."""
BODY_MAX = 16 * 1024 * 1024
"""Largest answer in bytes."""
LINE_MAX = 4 * 1024 * 1024
"""Longest line of a stream in bytes."""

_SAFE = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")


class ProtocolError(Exception):
    """The peer does not speak HTTP/1.1 as this API does."""


def quote(text: str) -> str:
    """Percent-encode everything but RFC 3986 unreserved characters."""
    return "".join(chr(b) if b in _SAFE else f"%{b:02X}" for b in text.encode("utf-8", "surrogateescape"))


def query(values: dict[str, object]) -> str:
    """Return ``?a=1&b=true`` for the values that are not None; "" for none."""
    parts = []
    for name, value in values.items():
        if value is None:
            continue
        text = ("true" if value else "false") if isinstance(value, bool) else str(value)
        parts.append(f"{quote(name)}={quote(text)}")
    return f"?{'&'.join(parts)}" if parts else ""


def request(method: str, target: str, body: bytes | None, token: str) -> bytes:
    """Return a whole request. ``token`` "" = none; ValueError for one that would break the header."""
    head = f"{method} {target} HTTP/1.1\r\nHost: evsed\r\nConnection: close\r\nAccept: application/json\r\n"
    if token:
        if not (token.isascii() and token.isprintable()):
            raise ValueError("the token has characters that no token has")
        head += f"Authorization: Bearer {token}\r\n"
    if body is not None:
        head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
    return f"{head}\r\n".encode("ascii") + (body or b"")


class Response:
    """Sans-IO reader of one response: ``feed`` bytes, take body bytes out; ``b""`` fed = the connection has ended."""

    def __init__(self) -> None:
        self.status = 0
        self.headers: dict[str, str] = {}
        self.done = False
        self._buffer = b""
        self._left = -1  # bytes of the body or the chunk; -1 = until the connection ends
        self._chunked = False

    def feed(self, data: bytes) -> bytes:
        """Return the body bytes that ``data`` completes. Raises `ProtocolError`; bounded by `HEAD_MAX`."""
        if self.done:
            return b""
        if not data:
            if self.status and not self._chunked and self._left < 0:
                self.done = True
                return b""
            raise ProtocolError("the connection ended in the middle of the answer")
        self._buffer += data
        if not self.status and not self._head():
            return b""
        return self._chunks() if self._chunked else self._plain()

    def _head(self) -> bool:
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0 or end > HEAD_MAX:
            if len(self._buffer) > HEAD_MAX:
                raise ProtocolError(f"the head of the answer is longer than {HEAD_MAX} bytes")
            return False
        lines = self._buffer[:end].decode("latin-1").split("\r\n")
        self._buffer = self._buffer[end + 4 :]
        parts = lines[0].split(" ", 2)
        if len(parts) < 2 or not parts[0].startswith("HTTP/1.") or not (parts[1].isascii() and parts[1].isdigit()):
            raise ProtocolError(f"not an HTTP answer: {lines[0][:60]!r}")
        for line in lines[1:]:
            name, colon, value = line.partition(":")
            if not colon:
                raise ProtocolError(f"not a header: {line[:60]!r}")
            self.headers[name.strip().lower()] = value.strip()
        length = self.headers.get("content-length", "")
        self._chunked = self.headers.get("transfer-encoding", "").lower() == "chunked"
        if self._chunked:
            self._left = 0
        elif length:
            if not (length.isascii() and length.isdigit() and len(length) < 16):
                raise ProtocolError(f"Content-Length: {length[:20]!r}")
            self._left = int(length)
        self.status = int(parts[1])
        return True

    def _plain(self) -> bytes:
        if self._left < 0:
            out, self._buffer = self._buffer, b""
            return out
        out, self._buffer = self._buffer[: self._left], b""
        self._left -= len(out)
        self.done = self._left == 0
        return out

    def _chunks(self) -> bytes:
        """Decode complete chunks and what has come of the last. A chunk ends with CRLF; size 0 ends the body."""
        out = []
        while not self.done:
            if self._left > 2:
                piece = self._buffer[: self._left - 2]
                out.append(piece)
                self._buffer = self._buffer[len(piece) :]
                self._left -= len(piece)
            if self._left:
                if len(self._buffer) < self._left or self._left > 2:
                    break
                if self._buffer[: self._left] != b"\r\n"[2 - self._left :]:
                    raise ProtocolError("a chunk does not end where it says")
                self._buffer = self._buffer[self._left :]
                self._left = 0
            end = self._buffer.find(b"\r\n")
            if end < 0:
                if len(self._buffer) > 64:
                    raise ProtocolError("a chunk has no size")
                break
            text = self._buffer[:end].split(b";", 1)[0].strip()
            self._buffer = self._buffer[end + 2 :]
            try:
                size = int(text, 16) if len(text) <= 8 else -1
            except ValueError:
                size = -1
            if size < 0:
                raise ProtocolError(f"not a chunk size: {text[:20]!r}")
            self.done = size == 0
            self._left = size + 2
        return b"".join(out)


class Lines:
    """Splits body bytes into lines. Bounded by `LINE_MAX`."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> list[bytes]:
        """Return the lines that ``data`` completes, without their end, empty ones left out."""
        if b"\n" not in data:
            self._rest += data
            if len(self._rest) > LINE_MAX:
                raise ProtocolError(f"a line of the stream is longer than {LINE_MAX} bytes")
            return []
        first, *more = data.split(b"\n")
        lines = [self._rest + first, *more]
        self._rest = lines.pop()
        return [line for line in lines if line.strip()]
