"""The demo at somebody else's back end: ``evsectl demo --csms ws://127.0.0.1:9000/ocpp/DEMO-1``."""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote, urlsplit

import tomlkit

from evse.domain.base import ConfigError

REMEDY = "write ws://HOST:PORT/PATH/ID or wss://...; the last part is the name of the station at the back end"


def split_csms(url: str) -> tuple[str, str]:
    """Return (ocpp.url, ocpp.charge_point_id) of the URL at which a back end expects the station; raises `ConfigError`."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise ConfigError([f"--csms {url}: {error}; {REMEDY}"]) from None
    base, _, last = url.rpartition("/")
    if parts.scheme not in ("ws", "wss") or not parts.hostname or port == 0 or parts.query or parts.fragment:
        raise ConfigError([f"--csms {url}: not the URL of a back end; {REMEDY}"])
    if not parts.path.strip("/") or not last:
        raise ConfigError([f"--csms {url}: the name of the station is missing; {REMEDY}"])
    return base, unquote(last)


def at_csms(text: str, csms: str) -> str:
    """Return a configuration that connects to ``csms`` (see `split_csms`) instead."""
    document = tomlkit.parse(text)
    section: Any = document["ocpp"]
    section["url"], section["charge_point_id"] = split_csms(csms)
    return tomlkit.dumps(document)
