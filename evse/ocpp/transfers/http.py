"""HTTP and HTTPS: GET that goes on with Range, uploads by POST, PUT or as a form. Basic credentials from the URL.

Redirects are followed, but never from https to http, and credentials do not go to another host. Sockets come from
`evse.transports.dialling`: through a SOCKS proxy as if there were none; through an HTTP proxy by CONNECT for https, and
for http by asking the proxy for the whole URL, because most proxies allow CONNECT to port 443 only.
"""

from __future__ import annotations

import asyncio
import base64
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

import aiohttp
from aiohttp.client_proto import ResponseHandler
from yarl import URL

from evse.ocpp.transfers.attempt import explain, said, tls_of
from evse.ocpp.transfers.errors import TransferError, Why
from evse.ocpp.transfers.partial import PartFile
from evse.ocpp.transfers.ports import Net, Progress
from evse.ocpp.transfers.target import Target
from evse.transports.dialling import forwards_http, open_proxy, open_socket, proxy_authorization

if TYPE_CHECKING:
    from aiohttp.tracing import Trace

CHUNK: Final = 256 * 1024
REDIRECTS_MAX: Final = 5
_RANGE: Final = re.compile(r"bytes (?:(\d{1,18})-(\d{1,18})|\*)/(\d{1,18}|\*)")


async def fetch_http(net: Net, target: Target, into: PartFile, progress: Progress) -> None:
    """GET; a server that gives another file, or no ranges, sends it from the begin."""
    async with _session(net, target) as session:
        for again in (False, True):
            if await _get(session, target, into, progress):
                return
            if again:
                raise TransferError(Why.SERVER, f"{target.netloc}: sends other ranges than asked for")
            await into.forget()


async def _get(session: aiohttp.ClientSession, target: Target, into: PartFile, progress: Progress) -> bool:
    """Return False when the server refuses to go on where the file ends."""
    headers = {"Accept-Encoding": "identity", **_authorization(target)}
    saved = into.saved
    if into.size and saved.validator:  # else nobody could tell whether it is still the same file
        headers |= {"Range": f"bytes={into.size}-", "If-Range": saved.validator}
    try:
        async with session.get(target.http_url(), headers=headers, max_redirects=REDIRECTS_MAX) as response:
            _check_redirect(target, response)
            if response.status == 416 and into.size:
                return into.size == saved.total and _total(response) in (into.size, None)
            if response.status not in (200, 206):
                raise _refused(target, response.status, response.reason or "", "GET")
            if response.status == 206:
                first, total = _first(response), _total(response)
                if _validator(response) not in (saved.validator, ""):  # it does not look at If-Range
                    return False
                if first != into.size or (saved.total is not None and total not in (saved.total, None)):
                    return False
                await into.begin(into.size, total, saved.validator)
            else:
                if response.headers.get("Content-Encoding", "identity") != "identity":
                    raise TransferError(Why.SERVER, f"{target.netloc}: sends the file compressed although nobody asked for that")
                await into.begin(0, response.content_length, _validator(response))
            progress(into.size, into.saved.total)
            async for piece in response.content.iter_any():
                await into.write(piece)
                progress(into.size, into.saved.total)
    except aiohttp.ClientError as error:
        raise _explain(target, error) from error
    return True


async def send_http(net: Net, target: Target, path: Path, name: str, progress: Progress) -> None:
    """POST the file to the address as it is; PUT it below an address that ends with "/"; or POST it as a form."""
    total = (await asyncio.to_thread(path.stat)).st_size
    headers = {"Content-Type": "application/gzip", **_authorization(target)}
    url = target.http_url()
    if net.http_upload == "put" and target.path.endswith("/"):
        url += quote(name)

    async def pieces() -> AsyncIterator[bytes]:
        done = 0
        with await asyncio.to_thread(path.open, "rb") as file:
            while piece := await asyncio.to_thread(file.read, CHUNK):
                yield piece
                done += len(piece)
                progress(done, total)

    data: aiohttp.MultipartWriter | AsyncIterator[bytes]
    if net.http_upload == "form":
        form = aiohttp.MultipartWriter("form-data")
        part = form.append(pieces(), {"Content-Type": "application/gzip"})
        part.set_content_disposition("form-data", name="file", filename=name)
        data, headers = form, _authorization(target)
    else:
        headers |= {"Content-Length": str(total), "Content-Disposition": f'attachment; filename="{name}"'}
        data = pieces()
    method = "PUT" if net.http_upload == "put" else "POST"
    async with _session(net, target) as session:
        try:
            async with session.request(method, url, data=data, headers=headers, allow_redirects=False) as response:
                if not 200 <= response.status < 300:
                    raise _refused(target, response.status, response.reason or "", method)
        except aiohttp.ClientError as error:
            raise _explain(target, error) from error


class _Dialled(aiohttp.BaseConnector):
    """Connections by the station's own dialling."""

    def __init__(self, net: Net, target: Target) -> None:
        super().__init__(limit=2, force_close=True)
        self._net = net
        self._target = target

    async def _create_connection(
        self, req: aiohttp.ClientRequest, traces: list[Trace], timeout: aiohttp.ClientTimeout
    ) -> ResponseHandler:
        dial, limit_s = self._net.dial, self._net.limits.connect_s
        secure, host = req.is_ssl(), req.host
        context = await asyncio.to_thread(tls_of, self._net, self._target) if secure else None
        if req.proxy and not secure:
            sock = await open_proxy(dial, limit_s)
            if known := proxy_authorization(dial):
                req.headers["Proxy-Authorization"] = known
        else:
            sock = await open_socket(host, req.port or (443 if secure else 80), dial, limit_s)
        try:
            _, protocol = await asyncio.get_running_loop().create_connection(
                self._factory, sock=sock, ssl=context, server_hostname=host if secure else None
            )
        except OSError as error:
            sock.close()
            raise explain(self._target, error) from error
        except BaseException:
            sock.close()
            raise
        return protocol


def _session(net: Net, target: Target) -> aiohttp.ClientSession:
    return aiohttp.ClientSession(
        connector=_Dialled(net, target), timeout=aiohttp.ClientTimeout(total=None), auto_decompress=False,
        proxy=URL("http://proxy.invalid") if forwards_http(net.dial) else None,  # only says that one is there
    )


def _authorization(target: Target) -> dict[str, str]:
    """Basic credentials (RFC 7617); aiohttp leaves them out when another host is asked after a redirect."""
    if not (target.user or target.password):
        return {}
    return {"Authorization": f"Basic {base64.b64encode(f'{target.user}:{target.password}'.encode()).decode()}"}


def _check_redirect(target: Target, response: aiohttp.ClientResponse) -> None:
    if target.scheme == "https" and response.url.scheme != "https":
        raise TransferError(Why.SERVER, f"{target.netloc}: sends us on to an address without TLS; that is not followed")


def _validator(response: aiohttp.ClientResponse) -> str:
    """What `If-Range` may hold: a strong entity tag, else the time of the last change (RFC 9110, 13.1.5)."""
    tag = response.headers.get("ETag", "")
    if tag.startswith('"') and len(tag) <= 200:
        return tag
    return response.headers.get("Last-Modified", "")[:64]


def _first(response: aiohttp.ClientResponse) -> int | None:
    found = _RANGE.fullmatch(response.headers.get("Content-Range", ""))
    return int(found[1]) if found and found[1] else None


def _total(response: aiohttp.ClientResponse) -> int | None:
    found = _RANGE.fullmatch(response.headers.get("Content-Range", ""))
    return int(found[3]) if found and found[3] != "*" else None


def _refused(target: Target, status: int, reason: str, method: str) -> TransferError:
    where, words = target.shown(), f"{status} {said(reason)}".strip()
    match status:
        case 407:
            text = f"{where}: the proxy refuses ({words}); it wants another user or password in ocpp.proxy"
            return TransferError(Why.LINE, text)
        case 401 | 403:
            who = f"user {target.user}" if target.user else "nobody: the address has no user name"
            return TransferError(Why.CREDENTIALS, f"{where}: refused ({words}) for {who}; check user name, password and rights")
        case 404 | 410:
            return TransferError(Why.SERVER, f"{where}: is not there ({words}); check the path of the address")
        case 405 | 501 if method != "GET":
            text = f"{where}: does not take uploads by {method} ({words}); try another ocpp.http_upload"
            return TransferError(Why.UNSUPPORTED, text)
        case 413:
            return TransferError(Why.SIZE, f"{where}: the file is too large for the server ({words})")
        case 300 | 301 | 302 | 303 | 304 | 307 | 308:
            return TransferError(Why.SERVER, f"{where}: sends us on to another address ({words}); give that one")
        case _:
            return TransferError(Why.SERVER, f"{where}: the server answers {words}")


def _explain(target: Target, error: aiohttp.ClientError) -> TransferError:
    if isinstance(error, aiohttp.TooManyRedirects):
        return TransferError(Why.SERVER, f"{target.netloc}: sends us on more than {REDIRECTS_MAX} times")
    if isinstance(error, aiohttp.ClientPayloadError | aiohttp.ServerDisconnectedError):
        return TransferError(Why.LINE, f"{target.netloc}: the server has broken the connection off")
    if isinstance(error, OSError):
        return explain(target, error)
    return TransferError(Why.SERVER, f"{target.netloc}: {said(str(error)) or type(error).__name__}")
