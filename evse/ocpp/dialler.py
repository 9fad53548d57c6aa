"""Where the client connects to when nothing is secured (profile 0 of the security whitepaper)."""

from __future__ import annotations

import ssl
from urllib.parse import quote

from evse.config.model_ocpp import OcppSection
from evse.ocpp.ports import DialTarget
from evse.transports.base import DialOptions


def charge_point_url(url: str, charge_point_id: str) -> str:
    """Return the URL of a charge point: the CSMS's with the percent-encoded identity as last part (OCPP-J 1.6, 3.1.1)."""
    return f"{url.rstrip('/')}/{quote(charge_point_id, safe='')}"


def dial_options(config: OcppSection, tls: ssl.SSLContext | None = None) -> DialOptions:
    """Return proxy, interface and TCP time of the configuration, with a TLS context (None = the system's trust store)."""
    return DialOptions(
        tls=tls, proxy=config.proxy, interface=config.interface, tcp_user_timeout_s=config.tcp_timeout_s,
    )


class PlainDialler:
    """One fixed target, without credentials. Implements `evse.ocpp.ports.Dialler`."""

    def __init__(self, config: OcppSection, charge_point_id: str) -> None:
        self._target = DialTarget(url=charge_point_url(config.url, charge_point_id), options=dial_options(config))

    async def target(self) -> DialTarget:
        """Return the target."""
        return self._target

    async def registered(self, target: DialTarget) -> None:
        """Nothing to remember."""

    async def failed(self, target: DialTarget, error: str) -> None:
        """Nothing to change: it is dialled again."""
