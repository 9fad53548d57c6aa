"""Posting to an OCSP responder: plain HTTP (RFC 6960, appendix A), by proxy and interface of the link, one answer, bounded."""

from __future__ import annotations

import asyncio
from typing import Final
from urllib.parse import urlsplit

from evse.transports.base import DialError, DialOptions, DialStep
from evse.transports.dialling import forwards_http, open_proxy, open_socket, proxy_authorization

ANSWER_MAX: Final = 64 * 1024
HEAD_MAX: Final = 16 * 1024


async def post(url: str, body: bytes, options: DialOptions, timeout_s: float) -> bytes:
    """Return what the responder at ``url`` answers; raise `DialError`, or `TimeoutError` after ``timeout_s``."""
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port or 80
    named = f"OCSP responder {host}"
    async with asyncio.timeout(timeout_s):
        try:
            through = forwards_http(options)  # such a proxy takes the request itself, and many allow no tunnel to port 80
            sock = await (open_proxy(options, timeout_s) if through else open_socket(host, port, options, timeout_s))
            reader, writer = await asyncio.open_connection(sock=sock, limit=HEAD_MAX)
        except DialError as error:
            raise DialError(error.step, f"{named}: {error}") from error
        try:
            path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
            where = f"[{host}]" if ":" in host else host
            path = f"http://{where}:{port}{path}" if through else path
            authorization = proxy_authorization(options) if through else ""
            head = (
                f"POST {path} HTTP/1.0\r\nHost: {where}:{port}\r\nContent-Type: application/ocsp-request\r\n"
                f"Accept: application/ocsp-response\r\nContent-Length: {len(body)}\r\n"
                + (f"Proxy-Authorization: {authorization}\r\n" if authorization else "") + "\r\n"
            )
            writer.write(head.encode("ascii", "replace") + body)
            await writer.drain()
            return await _answer(reader, named)
        except (OSError, EOFError, asyncio.LimitOverrunError, ValueError) as error:
            raise DialError(DialStep.HTTP, f"{named}: no usable answer ({str(error)[:100]})") from error
        finally:
            writer.close()


async def _answer(reader: asyncio.StreamReader, named: str) -> bytes:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    status, *lines = head.split("\r\n")
    words = status.split(" ")
    if len(words) < 2 or not words[0].startswith("HTTP/") or not (words[1].isascii() and words[1].isdigit()):
        raise DialError(DialStep.HTTP, f"{named}: its answer is not HTTP")
    if words[1] != "200":
        raise DialError(DialStep.HTTP, f"{named}: HTTP {words[1][:3]}", int(words[1][:3]))
    fields = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    length = fields.get("content-length", "")
    if length.isascii() and length.isdigit():
        if len(length) > 6 or int(length) > ANSWER_MAX:
            raise DialError(DialStep.HTTP, f"{named}: its answer has {length[:12]} bytes, at most {ANSWER_MAX} are read")
        return await reader.readexactly(int(length))
    found = b""
    while part := await reader.read(4096):
        found += part
        if len(found) > ANSWER_MAX:
            raise DialError(DialStep.HTTP, f"{named}: its answer has more than {ANSWER_MAX} bytes")
    return found
