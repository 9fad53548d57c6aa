"""Was the certificate of the CSMS revoked? Asked of the responder that it names (OCSP), beside the link and never inside it.

Python's TLS cannot take a stapled answer, and a handshake must not wait for another server. So the first handshake with a
certificate that nobody has asked about is broken off before anything was said; the responder is asked, at most `ASK_S`, and
the link is dialled again at once. The answer counts until its nextUpdate and is renewed before a dial, and while a link
stands. Only the certificate of the CSMS itself is asked about, as with ``crl_file``.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from hashlib import sha256
from types import ModuleType
from typing import Final

import msgspec

from evse.domain.clock import Clock
from evse.ocpp.messages import timestamp
from evse.ocpp.security.ports import Offload
from evse.ocpp.security.tls import CLOCK_SET, Problem, TlsFailure
from evse.transports.base import DialError, DialStep
from evse.units import NS_PER_S, DurationNs, WallNs

log = logging.getLogger(__name__)

ASK_S: Final = 10.0
"""Longest wait for a responder."""

LOOK_S: Final = 600.0
"""How often the answer about a standing link is looked at."""

KNOWN_MAX: Final = 8
GOOD_MAX_NS: Final[DurationNs] = 7 * 86_400 * NS_PER_S
REVOKED_MAX_NS: Final[DurationNs] = 3600 * NS_PER_S
"""After it the responder is asked again: a certificate on hold may come back."""

SILENT_NS: Final[dict[str, DurationNs]] = {"soft": 3600 * NS_PER_S, "hard": 60 * NS_PER_S}
"""After it a responder that gave no usable answer is asked again."""

Post = Callable[[str, bytes], Awaitable[bytes]]
"""Posts an OCSP request to a URL and returns the answer; raises `DialError`."""


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What is known about a certificate until ``until``. ``status``: good, revoked, unknown."""

    status: str
    until: WallNs
    text: str  # why it is unknown, or when and why it was revoked


class Revocation:
    """Knows and asks. ``mode`` tells what is configured now: off, soft (who cannot be asked does not stand in the way), hard."""

    def __init__(self, clock: Clock, offload: Offload, post: Post, mode: Callable[[], str]) -> None:
        self._clock = clock
        self._offload = offload
        self._post = post
        self._mode = mode
        self._known: dict[str, Verdict] = {}
        self._last: tuple[bytes, bytes] | None = None  # certificate of the last handshake and its issuer, DER
        self.revoked: Callable[[], None] = lambda: None  # told when a standing link must end

    def judge(self, leaf: bytes, issuer: bytes) -> TlsFailure | None:
        """Return why a handshake must end, None = it may go on. ``issuer`` b"" = not known. Cheap; DER both."""
        mode, wall = self._mode(), self._clock.wall()
        if mode == "off" or wall < CLOCK_SET:
            return None
        if not issuer:
            if mode == "soft":
                return None
            return _failure(Problem.REVOCATION_UNKNOWN, "whether the certificate of the CSMS was revoked cannot be asked: its issuer is not known")
        self._last = (leaf, issuer)
        verdict = self._verdict()
        if verdict is None:
            return TlsFailure(
                step=DialStep.TLS, reason=Problem.ASKING, text="the OCSP responder is asked whether the certificate of the CSMS was revoked"
            )
        if verdict.status == "revoked":
            return _failure(Problem.REVOKED, f"the certificate of the CSMS was revoked{verdict.text}; the CSMS needs a new one")
        if verdict.status == "unknown" and mode == "hard":
            return _failure(
                Problem.REVOCATION_UNKNOWN,
                f"whether the certificate of the CSMS was revoked is not known: {verdict.text}; ocpp.tls.ocsp = \"soft\" would go on",
            )
        return None

    def _verdict(self) -> Verdict | None:
        """What is known of the certificate of the last handshake and still counts."""
        found = None if self._last is None else self._known.get(_name(self._last[0]))
        return found if found is not None and self._clock.wall() < found.until else None

    def told(self) -> str:
        """What is known, for people; "" = it is not asked for."""
        mode, verdict = self._mode(), self._verdict()
        if mode == "off":
            return ""
        if verdict is None:
            return f"OCSP {mode}: not asked yet"
        text = f": {verdict.text}" if verdict.status == "unknown" else verdict.text
        return f"OCSP {mode}: {verdict.status}{text}, until {timestamp(verdict.until)[:16].replace('T', ' ')}"

    async def renew(self) -> None:
        """Ask again about the certificate of the last handshake if what is known of it counts no more."""
        if self._mode() != "off" and self._last is not None and self._verdict() is None and self._clock.wall() >= CLOCK_SET:
            await self.ask()

    async def ask(self) -> None:
        """Ask about the certificate of the last handshake; always leaves a verdict, at most `ASK_S` later."""
        if self._last is None:
            return
        leaf, issuer = self._last
        try:
            verdict = await self._ask(leaf, issuer)
        except (DialError, TimeoutError, _x509().CertificateError) as error:
            text = str(error) or f"no answer within {ASK_S:g} s"
            log.warning("ocpp: OCSP: %s", text)
            verdict = self._unknown(text)
        while len(self._known) >= KNOWN_MAX:
            self._known.pop(next(iter(self._known)))
        self._known[_name(leaf)] = verdict

    async def _ask(self, leaf: bytes, issuer: bytes) -> Verdict:
        ocsp = _ocsp()
        url, body = await self._offload(lambda: (ocsp.responder(leaf), ocsp.request(leaf, issuer)))
        async with asyncio.timeout(ASK_S):
            answer = await self._post(url, body)
        wall = self._clock.wall()
        found = await self._offload(lambda: ocsp.read(answer, leaf, issuer, wall))
        if found.status == "good":
            return Verdict(status="good", until=min(max(found.until, wall + 60 * NS_PER_S), wall + GOOD_MAX_NS), text="")
        if found.status == "revoked":
            text = f" on {timestamp(found.revoked_at)[:10]}" + (f" ({found.reason})" if found.reason else "")
            return Verdict(status="revoked", until=wall + REVOKED_MAX_NS, text=text)
        return self._unknown("its responder does not know it")

    def _unknown(self, why: str) -> Verdict:
        """The verdict when nobody has told; how long it counts depends on the mode."""
        return Verdict(status="unknown", until=self._clock.wall() + SILENT_NS.get(self._mode(), SILENT_NS["soft"]), text=why)

    async def run(self) -> None:
        """Look after the link that stands, for ever."""
        while True:
            await asyncio.sleep(LOOK_S)
            await self.renew()
            verdict = self._verdict()
            if self._mode() != "off" and verdict is not None and verdict.status == "revoked":
                self.revoked()


def _failure(reason: Problem, text: str) -> TlsFailure:
    return TlsFailure(step=DialStep.CERTIFICATE, reason=reason, text=text)


def _name(leaf: bytes) -> str:
    return sha256(leaf).hexdigest()


def _ocsp() -> ModuleType:
    from evse.ocpp.security import ocsp

    return ocsp


def _x509() -> ModuleType:
    from evse.ocpp.security import x509

    return x509
