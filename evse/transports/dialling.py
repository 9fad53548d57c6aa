"""Connected TCP sockets: by name or address, from a given interface, through a proxy, with a watchdog of TCP's own.

Every failure is a `DialError` that names the step, what was tried and what to do.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import ipaddress
import os
import socket
import ssl
from typing import Final
from urllib.parse import SplitResult, unquote, urlsplit

from evse.transports.base import DialError, DialOptions, DialStep

ADDRESS_TIMEOUT_MIN_S: Final = 2.0
"""What each address of a name gets at least, while others are left."""

HEAD_MAX: Final = 16 * 1024
"""Bytes of a proxy's answer to CONNECT."""

PROXY_SCHEMES: Final = ("http", "https", "socks5", "socks5h")
_PROXY_PORTS: Final = {"http": 8080, "https": 443, "socks5": 1080, "socks5h": 1080}

_SOCKS_ERRORS: Final = {
    1: "general failure",
    2: "its rules do not allow the connection",
    3: "it does not reach the network of {host}",
    4: "it does not reach {host}",
    5: "{host} refuses its connection",
    6: "the connection took too long",
    7: "it does not know the command CONNECT",
    8: "it does not know this type of address",
}


def parse_proxy(text: str) -> SplitResult:
    """Return the parts of a proxy URL; `DialError` when it is none. The text of the error has no password."""
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError as error:
        raise DialError(DialStep.PROXY, f"ocpp.proxy is no URL ({error}); write http://host:port") from error
    if parts.scheme not in PROXY_SCHEMES or not parts.hostname or port == 0:
        known = ", ".join(f"{name}://" for name in PROXY_SCHEMES)
        shown = f"{parts.scheme}://{parts.hostname or ''}"
        raise DialError(DialStep.PROXY, f"ocpp.proxy = '{shown}': a proxy is one of {known} with host and port")
    return parts


def _interface_names() -> str:
    with contextlib.suppress(OSError):
        return ", ".join(name for _, name in socket.if_nameindex())
    return "unknown"


def _own_address(interface: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(interface)
    except ValueError:
        return None


def bind_interface(sock: socket.socket, interface: str) -> None:
    """Let ``sock`` leave by an interface or from an own address; `DialError` says why it cannot."""
    what = f"ocpp.interface = '{interface}'"
    address = _own_address(interface)
    if address is not None:
        try:
            sock.bind((str(address), 0))
        except OSError as error:
            raise DialError(DialStep.INTERFACE, f"{what}: this machine has no such address ({error.strerror})") from error
        return
    try:
        socket.if_nametoindex(interface)
    except OSError as error:
        text = f"{what}: no such network interface; there are: {_interface_names()}"
        raise DialError(DialStep.INTERFACE, text) from error
    option = getattr(socket, "SO_BINDTODEVICE", None)
    if option is None:
        raise DialError(DialStep.INTERFACE, f"{what}: this system binds to addresses only; give the interface's address")
    try:
        sock.setsockopt(socket.SOL_SOCKET, option, interface.encode() + b"\0")
    except PermissionError as error:
        text = f"{what}: not permitted; give the service CAP_NET_RAW, or write the interface's own address instead"
        raise DialError(DialStep.INTERFACE, text) from error
    except OSError as error:
        raise DialError(DialStep.INTERFACE, f"{what}: {error.strerror}") from error


def watch_tcp(sock: socket.socket, user_timeout_s: int) -> None:
    """Let TCP itself end ``sock`` when nothing is acknowledged for ``user_timeout_s``: data (TCP_USER_TIMEOUT) or,
    on an idle connection, keep-alive probes. 0 leaves the system's times."""
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if user_timeout_s <= 0:
        return
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    probe_s = max(1, user_timeout_s // 4)
    for name, value in (
        ("TCP_USER_TIMEOUT", user_timeout_s * 1000), ("TCP_KEEPIDLE", max(1, user_timeout_s // 2)),
        ("TCP_KEEPINTVL", probe_s), ("TCP_KEEPCNT", 2),
    ):
        option = getattr(socket, name, None)  # TCP_USER_TIMEOUT is Linux
        if option is not None:
            sock.setsockopt(socket.IPPROTO_TCP, option, value)


Address = tuple[str, int] | tuple[str, int, int, int] | tuple[int, bytes]
"""Of a socket, as `socket.getaddrinfo` gives it."""


async def resolve(host: str, port: int, interface: str = "") -> list[tuple[int, Address]]:
    """Return (family, address) of a name, only of the family of an own address ``interface``; `DialError` if none."""
    own = _own_address(interface)
    family = socket.AF_UNSPEC if own is None else socket.AF_INET if own.version == 4 else socket.AF_INET6
    try:
        infos = await asyncio.get_running_loop().getaddrinfo(host, port, family=family, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        why = getattr(error, "strerror", None) or str(error)
        text = f"{host}: the name has no address ({why}); check the name, and the DNS server of this station"
        raise DialError(DialStep.DNS, text) from error
    found: dict[Address, int] = {info[4]: int(info[0]) for info in infos}
    return [(found_family, address) for address, found_family in found.items()]


async def connect_tcp(host: str, port: int, options: DialOptions, timeout_s: float) -> socket.socket:
    """Return a connected non-blocking socket; each address of the name is tried in turn. No proxy is used here."""
    loop = asyncio.get_running_loop()
    end = loop.time() + timeout_s
    addresses = await resolve(host, port, options.interface)
    why = ""
    for index, (family, address) in enumerate(addresses):
        left_s = end - loop.time()
        share_s = max(min(ADDRESS_TIMEOUT_MIN_S, left_s), left_s / (len(addresses) - index))
        sock = socket.socket(family, socket.SOCK_STREAM)
        try:
            sock.setblocking(False)
            watch_tcp(sock, options.tcp_user_timeout_s)
            if options.interface:
                bind_interface(sock, options.interface)
            async with asyncio.timeout(share_s):
                await loop.sock_connect(sock, address)
        except TimeoutError:
            sock.close()
            why = f"{address[0]} port {port}: no answer within {share_s:.0f} s"
        except OSError as error:
            sock.close()
            why = f"{address[0]} port {port}: {os.strerror(error.errno) if error.errno else error}"
        except BaseException:
            sock.close()
            raise
        else:
            return sock
    raise DialError(DialStep.TCP, f"cannot connect to {host}: {why}; check address, port, cable and firewall")


async def open_socket(host: str, port: int, options: DialOptions, timeout_s: float) -> socket.socket:
    """Return a socket that is connected to ``host``, through ``options.proxy`` if there is one; `DialError`."""
    if not options.proxy:
        return await connect_tcp(host, port, options, timeout_s)
    proxy = parse_proxy(options.proxy)
    name = f"proxy {proxy.hostname}"
    end = asyncio.get_running_loop().time() + timeout_s
    sock = await open_proxy(options, timeout_s)
    try:
        async with asyncio.timeout_at(end):
            if proxy.scheme in ("http", "https"):
                await _http_connect(sock, name, proxy_authorization(options), host, port)
            else:
                await _socks_connect(sock, name, proxy, host, port)
    except TimeoutError as error:
        sock.close()
        raise DialError(DialStep.PROXY, f"{name}: has not connected to {host} port {port} within {timeout_s:g} s") from error
    except OSError as error:
        sock.close()
        raise DialError(DialStep.PROXY, f"{name}: connection lost ({error.strerror or error})") from error
    except BaseException:
        sock.close()
        raise
    return sock


async def open_proxy(options: DialOptions, timeout_s: float) -> socket.socket:
    """Return a socket that is connected to the proxy itself, inside TLS if it is an ``https://`` one; `DialError`."""
    proxy = parse_proxy(options.proxy)
    name, host = f"proxy {proxy.hostname}", proxy.hostname or ""
    end = asyncio.get_running_loop().time() + timeout_s
    try:
        sock = await connect_tcp(host, proxy.port or _PROXY_PORTS[proxy.scheme], options, timeout_s)
    except DialError as error:
        if error.step is DialStep.INTERFACE:
            raise
        raise DialError(DialStep.PROXY, f"{name}: {error}") from error
    if proxy.scheme != "https":
        return sock
    try:
        context = options.proxy_tls
        if context is None:
            context = await asyncio.to_thread(ssl.create_default_context)
        async with asyncio.timeout_at(end):
            return await _inside_tls(sock, host, context)
    except BaseException as error:
        sock.close()
        if isinstance(error, TimeoutError):
            raise DialError(DialStep.PROXY, f"{name}: no TLS connection within {timeout_s:g} s; is there TLS at this port?") from error
        if isinstance(error, ssl.SSLCertVerificationError):
            hint = "install the root that has issued it in the system's trust store, or check the clock"
            text = f"{name}: its certificate is not accepted: {error.verify_message}; {hint}"
            raise DialError(DialStep.PROXY, text) from error
        if isinstance(error, OSError):
            why = getattr(error, "reason", None) or error.strerror or str(error)
            raise DialError(DialStep.PROXY, f"{name}: no TLS connection ({why}); is there TLS at this port?") from error
        raise


class _Relay(asyncio.Protocol):
    """Passes bytes on to the other transport, as fast as that takes them; the end of one is the end of both."""

    other: asyncio.Transport | None = None

    def data_received(self, data: bytes) -> None:
        if self.other is not None:
            self.other.write(data)

    def pause_writing(self) -> None:
        if self.other is not None:
            self.other.pause_reading()

    def resume_writing(self) -> None:
        if self.other is not None:
            self.other.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        if self.other is not None:
            self.other.close()


async def _inside_tls(sock: socket.socket, host: str, context: ssl.SSLContext) -> socket.socket:
    """Return a socket whose bytes go through TLS over ``sock``, so that whoever gets it may put TLS of its own inside."""
    loop = asyncio.get_running_loop()
    ours, theirs = socket.socketpair()
    near, far = _Relay(), _Relay()
    try:
        ours.setblocking(False)
        theirs.setblocking(False)
        far.other, _ = await loop.create_connection(lambda: near, sock=theirs)
        near.other, _ = await loop.create_connection(lambda: far, sock=sock, ssl=context, server_hostname=host)
    except BaseException:
        ours.close()  # ends near
        if far.other is None:
            theirs.close()
        raise
    return ours


def proxy_authorization(options: DialOptions) -> str:
    """Return the value of Proxy-Authorization (RFC 7617) for an HTTP proxy, "" = it wants none."""
    proxy = parse_proxy(options.proxy)
    if proxy.username is None:
        return ""
    pair = f"{unquote(proxy.username)}:{unquote(proxy.password or '')}"
    return f"Basic {base64.b64encode(pair.encode()).decode()}"


def forwards_http(options: DialOptions) -> bool:
    """Tell whether the proxy takes requests for http:// themselves (absolute form), so that no tunnel is needed."""
    return bool(options.proxy) and parse_proxy(options.proxy).scheme in ("http", "https")


async def _read_exactly(sock: socket.socket, size: int, name: str) -> bytes:
    data = b""
    while len(data) < size:
        part = await asyncio.get_running_loop().sock_recv(sock, size - len(data))
        if not part:
            raise DialError(DialStep.PROXY, f"{name}: it has closed the connection; is this a proxy of that kind?")
        data += part
    return data


async def _http_connect(sock: socket.socket, name: str, authorization: str, host: str, port: int) -> None:
    """RFC 9110, 9.3.6."""
    where = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    head = f"CONNECT {where} HTTP/1.1\r\nHost: {where}\r\n"
    if authorization:
        head += f"Proxy-Authorization: {authorization}\r\n"
    await asyncio.get_running_loop().sock_sendall(sock, head.encode() + b"\r\n")
    answer = b""
    while not answer.endswith(b"\r\n\r\n"):
        answer += await _read_exactly(sock, 1, name)  # not a byte of what follows may be taken
        if len(answer) > HEAD_MAX:
            raise DialError(DialStep.PROXY, f"{name}: its answer is too long; is this an HTTP proxy?")
    words = answer.split(b"\r\n", 1)[0].decode("latin-1").split(" ", 2)
    if len(words) < 2 or not words[0].startswith("HTTP/") or not words[1].isdigit():
        raise DialError(DialStep.PROXY, f"{name}: its answer is not HTTP")
    status = int(words[1])
    if 200 <= status < 300:
        return
    hint = {407: "it wants another user or password in ocpp.proxy", 403: f"it does not allow connections to port {port}"}.get(
        status, words[2] if len(words) > 2 and words[2].isprintable() else "it does not connect"
    )
    raise DialError(DialStep.PROXY, f"{name}: HTTP {status}: {hint}", status)


async def _socks_connect(sock: socket.socket, name: str, proxy: SplitResult, host: str, port: int) -> None:
    """RFC 1928 and 1929. ``socks5`` resolves the name here, ``socks5h`` lets the proxy do it."""
    loop = asyncio.get_running_loop()
    user, password = unquote(proxy.username or "").encode(), unquote(proxy.password or "").encode()
    if len(user) > 255 or len(password) > 255:
        raise DialError(DialStep.PROXY, f"{name}: user and password have at most 255 bytes each")
    await loop.sock_sendall(sock, b"\x05\x02\x00\x02" if user else b"\x05\x01\x00")
    version, method = await _read_exactly(sock, 2, name)
    if version != 5:
        raise DialError(DialStep.PROXY, f"{name}: its answer is not SOCKS 5")
    if method == 2 and user:
        await loop.sock_sendall(sock, b"\x01" + bytes([len(user)]) + user + bytes([len(password)]) + password)
        if (await _read_exactly(sock, 2, name))[1] != 0:
            raise DialError(DialStep.PROXY, f"{name}: it refuses user or password of ocpp.proxy")
    elif method != 0:
        raise DialError(DialStep.PROXY, f"{name}: it wants a user and a password; write them into ocpp.proxy")
    await loop.sock_sendall(sock, b"\x05\x01\x00" + await _socks_address(proxy.scheme, host, port) + port.to_bytes(2, "big"))
    head = await _read_exactly(sock, 4, name)
    if head[1] != 0:
        why = _SOCKS_ERRORS.get(head[1], f"error {head[1]}").replace("{host}", host)
        raise DialError(DialStep.PROXY, f"{name}: {why}")
    size = {1: 4, 4: 16}.get(head[3])
    if size is None:
        size = (await _read_exactly(sock, 1, name))[0]
    await _read_exactly(sock, size + 2, name)


async def _socks_address(scheme: str, host: str, port: int) -> bytes:
    address = _own_address(host)
    if address is None and scheme == "socks5":
        address = ipaddress.ip_address(str((await resolve(host, port))[0][1][0]).split("%", 1)[0])
    if address is not None:
        return (b"\x01" if address.version == 4 else b"\x04") + address.packed
    try:
        name = host.encode("idna")
    except UnicodeError as error:
        raise DialError(DialStep.DNS, f"{host}: not a host name ({error})") from error
    return b"\x03" + bytes([len(name)]) + name
