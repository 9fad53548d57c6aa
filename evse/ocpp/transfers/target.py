"""Where a file comes from or goes to: URLs of FTP, FTPS, HTTP and HTTPS as OCPP sends them.

FTP paths follow RFC 1738 section 3.2.2: the path is relative to the directory in which the server puts the user, and
``//`` (or ``/%2F``) at its begin makes it absolute (Charge Control C user guide 3.3.12). ``ftps://`` is FTP over TLS
from the first byte, port 990; ``ftpes://`` asks for TLS on the ordinary port.
"""

from __future__ import annotations

from typing import Final
from urllib.parse import unquote, urlsplit

import msgspec

from evse.ocpp.transfers.errors import TransferError, Why

SCHEMES: Final = ("ftp", "ftps", "ftpes", "http", "https")
PORTS: Final = {"ftp": 21, "ftps": 990, "ftpes": 21, "http": 80, "https": 443}
URL_MAX: Final = 2048
ANONYMOUS: Final = "anonymous"


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """One URL, taken apart. ``user`` and ``password`` are decoded; ``path`` is as it stood (with its query for HTTP)."""

    scheme: str
    host: str
    port: int
    path: str
    user: str = ""
    password: str = ""

    def __repr__(self) -> str:
        return f"Target({self.shown()})"

    @property
    def ftp(self) -> bool:
        """Tell FTP in any form from HTTP."""
        return self.scheme.startswith("ftp")

    @property
    def netloc(self) -> str:
        """Host and, unless it is the usual one, port."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == PORTS[self.scheme] else f"{host}:{self.port}"

    def shown(self) -> str:
        """The URL for people and logs: without user name, password and query."""
        return f"{self.scheme}://{self.netloc}{self.path.partition('?')[0]}"[:200]

    def http_url(self) -> str:
        """The URL to ask for, without credentials."""
        return f"{self.scheme}://{self.netloc}{self.path or '/'}"

    def ftp_steps(self) -> tuple[list[str], str]:
        """Return (directories to change into one after the other, name of the file; "" = none is named)."""
        path = self.path.partition(";type=")[0]
        parts = path.removeprefix("/").split("/")
        steps = [unquote(part) for part in parts]
        folders = [part for part in steps[:-1] if part]
        if path.startswith("//") or parts[0].lower().startswith("%2f"):
            folders = ["/", *(part.lstrip("/") for part in folders if part.lstrip("/"))]
        return folders, steps[-1].lstrip("/")


def shown(url: str) -> str:
    """Return an address for people, logs and the database: without anything that may be secret."""
    try:
        return parse_target(url).shown()
    except TransferError:
        return "an address that cannot be read"


def parse_target(url: str) -> Target:
    """Take a URL apart; raise `TransferError` that says what is wrong with it, without its password."""
    if len(url) > URL_MAX:
        raise TransferError(Why.ADDRESS, f"the address has {len(url)} characters, at most {URL_MAX} are taken")
    text = url.strip()
    if any(ord(char) <= 32 or ord(char) == 127 for char in text):
        raise TransferError(Why.ADDRESS, "the address holds spaces or control characters; encode them, e.g. a space as %20")
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError as error:
        raise TransferError(Why.ADDRESS, "the address cannot be read: its host or port is malformed") from error
    scheme = parts.scheme.lower()
    if scheme not in SCHEMES:
        named = f"{scheme[:20]}://" if scheme else "an address without ftp://, http:// or the like"
        raise TransferError(Why.UNSUPPORTED, f"{named} is not supported; supported: {', '.join(SCHEMES)}")
    if not parts.hostname:
        raise TransferError(Why.ADDRESS, f"{scheme}: the address names no host")
    if port == 0:
        raise TransferError(Why.ADDRESS, f"{scheme}://{parts.hostname}: port 0 cannot be reached")
    user, password = unquote(parts.username or ""), unquote(parts.password or "")
    path = parts.path
    decoded = unquote(path)
    if any(char in value for value in (user, password, decoded) for char in "\r\n\0"):
        raise TransferError(Why.ADDRESS, f"{scheme}://{parts.hostname}: line breaks are hidden in the address")
    if scheme.startswith("http") and ":" in user:
        raise TransferError(Why.ADDRESS, f"{scheme}://{parts.hostname}: a user name with a colon cannot be sent (RFC 7617)")
    if parts.query:
        path = f"{path or '/'}?{parts.query}"
    return Target(
        scheme=scheme, host=parts.hostname, port=port or PORTS[scheme], path=path, user=user, password=password
    )
