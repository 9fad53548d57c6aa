"""What must fit together inside ``[ocpp]``: profile, URL and checks of certificates; proxy and interface."""

from __future__ import annotations

import ipaddress
from pathlib import Path as FilePath
from typing import Any, Final
from urllib.parse import urlsplit

from evse.config.source import Problems

PROXY_SCHEMES: Final = ("http", "https", "socks5", "socks5h")
INTERFACE_MAX: Final = 15
"""Characters of the name of a network interface (IFNAMSIZ of Linux)."""


def check_ocpp_link(section: dict[str, Any] | None, problems: Problems) -> None:
    """Note a proxy that is no URL and an interface that is neither a name nor an address. The password is not shown."""
    proxy, interface = ("" if section is None else section.get(key, "") for key in ("proxy", "interface"))
    if isinstance(proxy, str) and proxy:
        try:
            parts = urlsplit(proxy)
            good = parts.scheme in PROXY_SCHEMES and bool(parts.hostname) and parts.port != 0
        except ValueError:
            good = False
        if not good:
            problems.add(
                ("ocpp", "proxy"), "is no proxy; write http://host:port, https://host:port, socks5://host:port or socks5h://host:port",
                show=False,
            )
    if isinstance(interface, str) and interface and not _is_interface(interface):
        problems.add(
            ("ocpp", "interface"),
            "is neither a network interface (eth0) nor an address of this machine (192.0.2.5); see ip addr", interface,
        )


def _is_interface(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return len(text) <= INTERFACE_MAX and text.isprintable() and not set(text) & set(" /:")
    return True


def check_ocpp_security(section: dict[str, Any] | None, problems: Problems, *, files: bool) -> None:
    """Note every mistake of ``[ocpp.security]`` and ``[ocpp.tls]``; ``section`` is the table ``[ocpp]``, None = it is absent."""
    tls, security = _table(section, "tls"), _table(section, "security")
    profile, verify = security.get("profile", 0), tls.get("verify", "full")
    if isinstance(profile, int) and profile >= 2 and verify in ("chain", "none") and tls.get("insecure") is not True:
        problems.add(
            ("ocpp", "tls", "verify"),
            f"is not allowed with ocpp.security.profile = {profile}: anybody could pretend to be the CSMS; "
            "use full, or say that you want this with ocpp.tls.insecure = true",
            verify,
        )
    name = section.get("charge_point_id", "") if section is not None else ""
    if isinstance(name, str) and ":" in name and profile in (1, 2):
        problems.add(
            ("ocpp", "charge_point_id"), "must not hold a colon where the station shows a password (RFC 7617); use another name", name
        )
    url = tls.get("url", "")
    if isinstance(url, str) and url:
        _url(url, problems)
    for key in ("ca_file", "crl_file"):
        path = tls.get(key, "")
        if not (isinstance(path, str) and path):
            continue
        if not path.startswith("/"):
            problems.add(("ocpp", "tls", key), "must be an absolute path; begin it with /", path)
        elif files and not FilePath(path).is_file():
            problems.add(("ocpp", "tls", key), "there is no such file; create it or correct the path", path)


def _table(section: dict[str, Any] | None, key: str) -> dict[str, Any]:
    found = None if section is None else section.get(key)
    return found if isinstance(found, dict) else {}


def _url(url: str, problems: Problems) -> None:
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        host, parts = None, urlsplit("")
    if parts.scheme.lower() != "wss" or not host:
        problems.add(("ocpp", "tls", "url"), "is no URL for TLS; write wss://host/path", url)
    elif parts.username or parts.password:
        problems.add(("ocpp", "tls", "url"), "holds a user name or password; remove them, see AuthorizationKey", url)
