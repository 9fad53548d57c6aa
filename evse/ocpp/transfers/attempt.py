"""What all attempts share: deadlines, and errors of the network in plain words."""

from __future__ import annotations

import asyncio
import errno
import ssl
from types import TracebackType
from typing import Final, Self

from evse.domain.base import DeviceError
from evse.ocpp.transfers.errors import TransferError, Why
from evse.ocpp.transfers.ports import Limits, Net
from evse.ocpp.transfers.target import Target
from evse.transports.base import DialError, DialStep

ECHO_MIN: Final = 4
SAID_MAX: Final = 120
"""Characters of a server's words that are repeated."""


class Attempt:
    """``async with`` around one attempt: ends it at its deadlines and turns errors into `TransferError`.

    `moved` is to be called for every piece: the deadline for silence starts again.
    """

    def __init__(self, target: Target, limits: Limits) -> None:
        self._target = target
        self._limits = limits
        self._total = asyncio.timeout(limits.total_s)
        self._idle = asyncio.timeout(limits.connect_s + limits.idle_s)

    def moved(self) -> None:
        """Something has moved."""
        self._idle.reschedule(asyncio.get_running_loop().time() + self._limits.idle_s)

    async def __aenter__(self) -> Self:
        await self._total.__aenter__()
        await self._idle.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        where = self._target.netloc
        try:
            try:
                await self._idle.__aexit__(kind, error, trace)
            except TimeoutError as silence:
                kind, error, trace = type(silence), silence, silence.__traceback__
                raise
            finally:
                await self._total.__aexit__(kind, error, trace)
        except TimeoutError:
            text = f"{where}: nothing has moved for {self._limits.idle_s:g} s; check the network and the server"
            if self._total.expired():
                text = f"{where}: not ready within {self._limits.total_s:g} s; the line is too slow, or raise ocpp.transfer_limit_s"
            raise TransferError(Why.LINE, text) from None
        if isinstance(error, DialError):
            raise undialled(self._target, error) from error
        if isinstance(error, TransferError) and (hidden := self._hidden(str(error))) != str(error):
            raise TransferError(error.why, hidden) from None
        if isinstance(error, OSError | EOFError) and not isinstance(error, TransferError):
            raise explain(self._target, error) from error

    def _hidden(self, text: str) -> str:
        """Take out a password that a server has repeated; the shortest are too common as parts of words."""
        password = self._target.password
        return text.replace(password, "***") if len(password) >= ECHO_MIN else text


def tls_of(net: Net, target: Target) -> ssl.SSLContext:
    """Return the context that checks the server; may block. Raises `TransferError`, e.g. without a valid clock."""
    try:
        return net.tls()
    except DeviceError as error:
        raise TransferError(Why.CERTIFICATE, f"{target.netloc}: {error}") from error


def undialled(target: Target, error: DialError) -> TransferError:
    """Return why there is no connection. A proxy or an interface may be put right, so it is never final."""
    if error.step in (DialStep.DNS, DialStep.TCP):  # they name the host
        return TransferError(Why.LINE, str(error))
    text = f"{target.netloc}: {error}"
    if target.ftp and error.step is DialStep.PROXY and error.http_status == 403:
        text += "; FTP needs CONNECT to its port and to the ports of passive mode: allow them at the proxy, or give an HTTP address"
    return TransferError(Why.LINE, text)


def explain(target: Target, error: OSError | EOFError) -> TransferError:
    """Return an error of sockets or TLS in plain words."""
    where = target.netloc
    if isinstance(error, ssl.SSLCertVerificationError):
        why = error.verify_message or "it cannot be verified"
        text = f"{where}: the certificate of the server is not accepted: {why}; install the root that has issued it, or check the clock"
        return TransferError(Why.CERTIFICATE, text)
    if isinstance(error, ssl.SSLError):
        reason = (error.reason or str(error)).replace("_", " ").lower()[:SAID_MAX]
        return TransferError(Why.LINE, f"{where}: no TLS connection: {reason}; check protocol ({target.scheme}) and port of the address")
    if isinstance(error, TimeoutError):
        return TransferError(Why.LINE, f"{where}: no answer in time; check the network and the server")
    if isinstance(error, EOFError | ConnectionError):
        return TransferError(Why.LINE, f"{where}: the server has broken the connection off")
    if error.errno in (errno.EHOSTUNREACH, errno.ENETUNREACH):
        return TransferError(Why.LINE, f"{where}: there is no way to it; check cable, modem and gateway")
    return TransferError(Why.LINE, f"{where}: {error.strerror or type(error).__name__}")


def said(text: str) -> str:
    """Return a server's words as they may be repeated to people."""
    line = " ".join(text.split())[:SAID_MAX]
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in line)
