"""Why there is no link: the steps of a connection in their order, each measured, up to the first that fails.

A probe goes the way of the client: same target, same trust, same credentials. While a link stands only name, TCP and TLS
are tried with a connection of their own, which ends before HTTP tells who we are; the rest is what the link knows. So a
CSMS that keeps one connection per station never drops a working one because somebody looked.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Any

import msgspec
from websockets.client import ClientProtocol
from websockets.exceptions import InvalidURI, WebSocketException
from websockets.frames import Frame, Opcode
from websockets.http11 import Response
from websockets.protocol import State
from websockets.typing import Subprotocol
from websockets.uri import WebSocketURI, parse_uri

from evse.domain.base import DeviceError, Frozen
from evse.domain.clock import Clock
from evse.ocpp.doctor_words import BY_ROUTES, HTTP_REMEDY, REASON_REMEDY, REMEDY
from evse.ocpp.link import SUBPROTOCOL
from evse.ocpp.messages import CALL, CALLRESULT, Payload, parse_timestamp, timestamp
from evse.ocpp.ports import DialTarget
from evse.ocpp.probe_tls import Certificate, peer_certificate, unchecked_certificate
from evse.ocpp.security.tls import Problem, StationContext, TlsFailure
from evse.transports.base import DialError, DialStep
from evse.transports.dialling import open_socket, parse_proxy, resolve
from evse.transports.websocket import explain
from evse.units import NS_PER_MS, NS_PER_S, DurationNs, WallNs

STEPS = ("dns", "tcp", "tls", "http", "credentials", "subprotocol", "clock", "boot")

STEP_S = 4.0
"""Longest single step."""
TOTAL_S = 8.5
"""Longest examination: below the time limit of a call of evsectl."""

OFFSET_MAX_NS: DurationNs = 10 * NS_PER_S
"""A difference of the clocks above this is worth a warning: charging profiles and records are off by as much."""

EXPIRY_WARN_NS: DurationNs = 14 * 86_400 * NS_PER_S

PAUSE_S = TOTAL_S + 6.5
"""The station dials again after this at the latest, whatever becomes of the examination."""

OK, WARNING, FAILED, SKIPPED = "ok", "warning", "failed", "skipped"


class Check(Frozen, frozen=True, kw_only=True):
    """One step. ``facts`` name what was measured; ``remedy`` says what to do, "" = nothing."""

    name: str
    result: str
    detail: str
    took_ns: DurationNs | None = None
    facts: tuple[tuple[str, str], ...] = ()
    remedy: str = ""


class Report(Frozen, frozen=True, kw_only=True):
    """All steps in order; those behind the first that failed are skipped. ``failed`` = its name, "" = none."""

    url: str
    target: str
    live: bool
    checks: tuple[Check, ...]
    note: str = ""
    """What was left out, or may be the fault of the station's own dialling; "" = nothing."""

    @property
    def failed(self) -> str:
        """Name of the first step that failed."""
        return next((check.name for check in self.checks if check.result == FAILED), "")


class LiveLink(Frozen, frozen=True, kw_only=True):
    """What the link that stands knows."""

    since: WallNs | None
    registration: str
    last_boot: WallNs | None
    offset_ms: int | None
    heard: WallNs | None
    heartbeat_s: int


class Stop(Exception):
    """A step has failed; nothing behind it can be tried."""

    def __init__(self, check: Check) -> None:
        super().__init__(check.detail)
        self.check = check


_NAME_OF: Mapping[DialStep, str] = {
    DialStep.URL: "dns", DialStep.DNS: "dns", DialStep.INTERFACE: "tcp", DialStep.TCP: "tcp", DialStep.PROXY: "tcp",
    DialStep.TLS: "tls", DialStep.TLS_VERSION: "tls", DialStep.TLS_CIPHER: "tls", DialStep.CERTIFICATE: "tls",
    DialStep.HTTP: "http", DialStep.CREDENTIALS: "credentials", DialStep.SUBPROTOCOL: "subprotocol",
}  # fmt: skip


async def examine(target: DialTarget, clock: Clock, boot: Payload, live: LiveLink | None = None) -> Report:
    """Try every step towards ``target``; never raises. ``boot`` = payload of BootNotification, sent only without ``live``."""
    examination = _Examination(target, clock, boot)
    try:
        await (examination.probe() if live is None else examination.beside(live))
    except Stop as stop:
        examination.checks.append(stop.check)
    finally:
        examination.close()
    done = {check.name for check in examination.checks}
    rest = [Check(name=name, result=SKIPPED, detail="not tried") for name in STEPS if name not in done]
    return Report(url=target.url, target=target.name, live=live is not None, checks=(*examination.checks, *rest))


def no_target(url: str, error: DeviceError) -> Report:
    """The report when the dialler has no target: what is missing is its text."""
    first = Check(name="dns", result=FAILED, detail=str(error), remedy="complete the configuration, then try again")
    rest = tuple(Check(name=name, result=SKIPPED, detail="not tried") for name in STEPS[1:])
    return Report(url=url, target="", live=False, checks=(first, *rest))


class _Examination:
    """One connection that is made step by step."""

    def __init__(self, target: DialTarget, clock: Clock, boot: Payload) -> None:
        self.checks: list[Check] = []
        self._target = target
        self._clock = clock
        self._boot = boot
        self._end = asyncio.get_running_loop().time() + TOTAL_S
        self._writer: asyncio.StreamWriter | None = None
        self._reader: asyncio.StreamReader | None = None
        self._date: tuple[WallNs, WallNs] | None = None  # (theirs, ours)

    def close(self) -> None:
        """End the connection, if there is one."""
        if self._writer is not None:
            self._writer.close()

    def _left_s(self) -> float:
        return max(0.1, min(STEP_S, self._end - asyncio.get_running_loop().time()))

    def _now(self) -> float:
        return asyncio.get_running_loop().time()

    def _took(self, began: float) -> DurationNs:
        return round((self._now() - began) * NS_PER_S)

    def _ok(self, name: str, detail: str, began: float | None, *facts: tuple[str, str]) -> None:
        took = None if began is None else self._took(began)
        self.checks.append(Check(name=name, result=OK, detail=detail, took_ns=took, facts=facts))

    def _fail(
        self, name: str, detail: str, step: DialStep, began: float | None = None, facts: tuple[tuple[str, str], ...] = (),
        remedy: str = "",
    ) -> Stop:
        took = None if began is None else self._took(began)
        return Stop(Check(name=name, result=FAILED, detail=detail, took_ns=took, facts=facts, remedy=remedy or REMEDY[step]))

    # -- name, TCP, TLS -------------------------------------------------------------------------------------------

    async def probe(self) -> None:
        """All steps on a connection of our own."""
        place = self._place()
        await self._reach(place)
        protocol = await self._upgrade(place)
        answer = await self._register(protocol)
        self._judge_clock(answer)
        self._judge_boot(answer)

    async def beside(self, live: LiveLink) -> None:
        """The steps below HTTP again, the others as the link knows them; what fails now is a warning: the link stands."""
        try:
            await self._reach(self._place())
        except Stop as stop:
            check = stop.check
            detail = f"the link stands, but a new connection fails here: {check.detail}"
            self.checks.append(msgspec.structs.replace(check, result=WARNING, detail=detail))
        since = ("link since", "unknown" if live.since is None else timestamp(live.since))
        done = {check.name for check in self.checks}
        for name in STEPS[:6]:
            if name not in done:
                self._ok(name, "as the link that stands", None, since)
        if live.offset_ms is None or live.heard is None:
            self.checks.append(Check(name="clock", result=SKIPPED, detail="the CSMS has not told the time yet"))
        else:
            self._judge_offset(live.offset_ms * NS_PER_MS, ("told at", timestamp(live.heard)))
        facts = (("heartbeat", f"{live.heartbeat_s} s"), ("last BootNotification",
                 "none since the start" if live.last_boot is None else timestamp(live.last_boot)))  # fmt: skip
        self._judge_status(live.registration, facts)

    def _place(self) -> WebSocketURI:
        try:
            return parse_uri(self._target.url)
        except InvalidURI:
            raise self._fail("dns", f"{self._target.url!r} is not a WebSocket URL", DialStep.URL) from None

    async def _reach(self, place: WebSocketURI) -> None:
        options = self._target.options
        await self._resolve(place)
        began = self._now()
        try:
            async with asyncio.timeout(self._left_s()):
                sock = await open_socket(place.host, place.port, options, self._left_s())
        except TimeoutError:
            text = f"{place.host} port {place.port}: no answer within {self._took(began) / NS_PER_S:.0f} s"
            raise self._fail("tcp", text, DialStep.TCP, began) from None
        except DialError as error:
            raise self._fail(_NAME_OF.get(error.step, "tcp"), str(error), error.step, began) from None
        if sock.family == socket.AF_UNIX:  # the near end of TLS to a proxy
            self._ok("tcp", f"connected through the proxy {parse_proxy(options.proxy).hostname}, with TLS to it", began)
        else:
            peer, own = sock.getpeername(), sock.getsockname()
            way = f"through the proxy {parse_proxy(options.proxy).hostname}" if options.proxy else "directly"
            self._ok("tcp", f"connected to {peer[0]} port {peer[1]} {way}", began, ("address", str(peer[0])),
                     ("port", str(peer[1])), ("own address", str(own[0])))  # fmt: skip
        if not place.secure:
            self._reader, self._writer = await asyncio.open_connection(sock=sock)
            self._ok("tls", "not used: the URL begins with ws://", None)
            return
        await self._secure(place, sock)

    async def _secure(self, place: WebSocketURI, sock: socket.socket) -> None:
        """TLS on ``sock``; where revocation has to be asked for first, that is done, and TLS tried once more."""
        began, context = self._now(), self._target.options.tls or ssl.create_default_context()
        known = context if isinstance(context, StationContext) else None
        before = None if known is None else known.told  # of the link that stands, which has this context too
        try:
            try:
                await self._shake_hands(place, sock, context, began)
            except ssl.SSLCertVerificationError:
                if known is None or known.ask is None or known.told is None or known.told.reason is not Problem.ASKING:
                    raise
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(self._left_s()):
                        await known.ask()
                sock = await open_socket(place.host, place.port, self._target.options, self._left_s())
                await self._shake_hands(place, sock, context, began)
        except (OSError, EOFError, DialError) as error:
            raise await self._no_tls(place, error, began, None if known is None else known.told) from None
        finally:
            if known is not None:
                known.told = before
        tls: Any = self._writer.get_extra_info("ssl_object") if self._writer is not None else None
        self._judge_tls(tls, peer_certificate(tls), began)

    async def _shake_hands(self, place: WebSocketURI, sock: socket.socket, context: ssl.SSLContext, began: float) -> None:
        if isinstance(context, StationContext):
            context.told = None
        try:
            async with asyncio.timeout(self._left_s()):
                self._reader, self._writer = await asyncio.open_connection(sock=sock, ssl=context, server_hostname=place.host)
        except TimeoutError:
            sock.close()
            raise self._fail("tls", "the handshake did not end in time; is there TLS at this port?", DialStep.TLS, began) from None
        except (OSError, EOFError):
            sock.close()
            raise

    async def _resolve(self, place: WebSocketURI) -> None:
        options, host, port = self._target.options, place.host, place.port
        began = self._now()
        try:
            if options.proxy:
                proxy = parse_proxy(options.proxy)
                host, port = proxy.hostname or "", proxy.port or 0
            async with asyncio.timeout(self._left_s()):
                found = await resolve(host, port, options.interface)
        except TimeoutError:
            raise self._fail("dns", f"{host}: no answer of the DNS server in time", DialStep.DNS, began) from None
        except DialError as error:
            raise self._fail("dns", str(error), error.step, began) from None
        addresses = ", ".join(str(address[0]) for _, address in found[:4])
        whose = "the proxy " if options.proxy else ""
        by = (("asked by", f"the routes of the system: {BY_ROUTES}"),) if options.interface else ()
        self._ok("dns", f"{whose}{host} is {addresses}", began, ("host", host), ("addresses", addresses), *by)

    async def _no_tls(self, place: WebSocketURI, error: Exception, began: float, known: TlsFailure | None) -> Stop:
        """The handshake failed: say why, and what certificate is there (read without sending anything else)."""
        told = DialError(known.step, known.text) if known is not None else explain(self._target.url, error)
        text = str(told).removeprefix(f"{self._target.url}: ")
        facts: tuple[tuple[str, str], ...] = ()
        if told.step is DialStep.CERTIFICATE:
            with contextlib.suppress(OSError, DeviceError, TimeoutError, EOFError):
                async with asyncio.timeout(self._left_s()):
                    sock = await open_socket(place.host, place.port, self._target.options, self._left_s())
                    facts = _shown(await unchecked_certificate(sock, place.host))
        step = told.step if _NAME_OF.get(told.step) == "tls" else DialStep.TLS
        remedy = REASON_REMEDY.get(known.reason or "", "") if known is not None else ""
        return self._fail("tls", text, step, began, facts, remedy)

    def _judge_tls(self, tls: Any, certificate: Certificate | None, began: float) -> None:
        cipher = tls.cipher()
        facts = (("version", str(tls.version())), ("cipher", str(cipher[0] if cipher else "")), *_shown(certificate))
        checked = tls.context.verify_mode == ssl.CERT_REQUIRED
        detail, result, remedy = f"{tls.version()}, certificate accepted", OK, ""
        if not checked:
            result, detail = WARNING, f"{tls.version()}, but the certificate is not checked: anybody could answer"
            remedy = "set ocpp.tls.verify to full"
        elif not tls.context.check_hostname:
            result, detail = WARNING, f"{tls.version()}, but the certificate may be for any host name"
            remedy = "set ocpp.tls.verify to full"
        elif certificate is not None and certificate.not_after - self._clock.wall() < EXPIRY_WARN_NS:
            result, detail = WARNING, f"{tls.version()}, the certificate of the CSMS ends {timestamp(certificate.not_after)}"
            remedy = "tell whoever runs the CSMS; after that day no connection is possible"
        self.checks.append(
            Check(name="tls", result=result, detail=detail, took_ns=self._took(began), facts=facts, remedy=remedy)
        )

    # -- HTTP -----------------------------------------------------------------------------------------------------

    async def _upgrade(self, place: WebSocketURI) -> ClientProtocol:
        """HTTP, credentials and subprotocol: one request answers all three."""
        protocol = ClientProtocol(place, subprotocols=[Subprotocol(SUBPROTOCOL)], max_size=1 << 20)
        request = protocol.connect()
        for name, value in self._target.headers.items():
            request.headers[name] = value
        protocol.send_request(request)
        began = self._now()
        response: Response | None = None
        try:
            async with asyncio.timeout(self._left_s()):
                while response is None and protocol.handshake_exc is None:
                    await self._exchange(protocol)
                    response = next((e for e in protocol.events_received() if isinstance(e, Response)), None)
        except TimeoutError:
            text = "connected, but no answer to the HTTP request in time; is this a web server?"
            raise self._fail("http", text, DialStep.HTTP, began) from None
        except (OSError, EOFError) as error:
            raise self._cut(error, began) from None
        self._read_date(response)
        if protocol.handshake_exc is not None:
            raise self._refused(protocol.handshake_exc, response, began)
        facts = self._http_facts(response)
        self._ok("http", "HTTP 101: the CSMS speaks WebSocket here", began, *facts)
        sent = "password accepted" if "Authorization" in self._target.headers else "none are sent, none were asked for"
        self._ok("credentials", sent, None)
        if protocol.subprotocol != SUBPROTOCOL:
            raise self._fail("subprotocol", f"the CSMS did not choose {SUBPROTOCOL}", DialStep.SUBPROTOCOL)
        self._ok("subprotocol", f"{SUBPROTOCOL} chosen", None, ("subprotocol", SUBPROTOCOL))
        return protocol

    async def _exchange(self, protocol: ClientProtocol) -> None:
        """Send what waits, take what comes."""
        assert self._writer is not None and self._reader is not None
        for data in protocol.data_to_send():
            if data:
                self._writer.write(data)
        await self._writer.drain()
        data = await self._reader.read(65_536)
        if data:
            protocol.receive_data(data)
            return
        protocol.receive_eof()
        if protocol.handshake_exc is not None and isinstance(protocol.handshake_exc.__cause__, EOFError):
            raise EOFError("connection closed")

    def _cut(self, error: Exception, began: float) -> Stop:
        """No byte of an answer. With TLS 1.3 a peer refuses our certificate, or its absence, only after the handshake."""
        if self._target.url.startswith("wss://"):
            alert = str(explain(self._target.url, error)).removeprefix(f"{self._target.url}: ")
            why = f" ({alert})" if isinstance(error, ssl.SSLError) else ""
            text = f"the CSMS ended the connection right after the handshake{why}: it refuses or misses this station's certificate"
            facts = next((check.facts for check in self.checks if check.name == "tls"), ())
            self.checks = [check for check in self.checks if check.name != "tls"]
            return self._fail("tls", text, DialStep.TLS, began, facts)
        return self._fail("http", "the connection was closed instead of an HTTP answer", DialStep.HTTP, began)

    def _refused(self, error: Exception, response: Response | None, began: float) -> Stop:
        told = explain(self._target.url, error)
        text = str(told).removeprefix(f"{self._target.url}: ")
        facts = self._http_facts(response)
        if told.step in (DialStep.CREDENTIALS, DialStep.SUBPROTOCOL):
            self._ok("http", f"HTTP {response.status_code if response else ''}: a web server answers", began, *facts)
            if told.step is DialStep.SUBPROTOCOL:
                self._ok("credentials", "not refused", None)
            return self._fail(told.step.value, text, told.step, None, facts)
        code = 503 if response is not None and response.status_code == 429 else response.status_code if response else 0
        return self._fail("http", text, DialStep.HTTP, began, facts, HTTP_REMEDY.get(code // 100, ""))

    @staticmethod
    def _http_facts(response: Response | None) -> tuple[tuple[str, str], ...]:
        if response is None:
            return ()
        server = "".join(c for c in _header(response, "Server")[:60] if c.isprintable())
        status = f"{response.status_code} {response.reason_phrase}".strip()
        return (("status", status), *((("server", server),) if server else ()))

    def _read_date(self, response: Response | None) -> None:
        text = "" if response is None else _header(response, "Date")
        with contextlib.suppress(ValueError, TypeError, OverflowError):
            self._date = (round(parsedate_to_datetime(text).timestamp()) * NS_PER_S, self._clock.wall())

    # -- clock and boot -------------------------------------------------------------------------------------------

    async def _register(self, protocol: ClientProtocol) -> Payload | str:
        """BootNotification on this connection; return its answer, or why there is none."""
        text = msgspec.json.encode([CALL, "doctor", "BootNotification", self._boot])
        try:
            if protocol.state is State.OPEN:
                protocol.send_text(text)
            async with asyncio.timeout(self._left_s()):
                while protocol.state is State.OPEN:
                    await self._exchange(protocol)
                    for event in protocol.events_received():
                        found = _answer(event)
                        if found is not None:
                            return found
                close = protocol.close_rcvd
                why = "without a reason" if close is None else f"with code {close.code} {close.reason}".rstrip()
                return f"the CSMS closed the connection at once {why}"
        except TimeoutError:
            return "no answer to BootNotification in time"
        except (OSError, EOFError, WebSocketException) as error:
            return f"the connection ended before BootNotification was answered ({error})"
        finally:
            with contextlib.suppress(WebSocketException):
                protocol.send_close(1000)
                for data in protocol.data_to_send():
                    if data and self._writer is not None:
                        self._writer.write(data)

    def _judge_clock(self, answer: Payload | str) -> None:
        if isinstance(answer, dict):
            theirs = parse_timestamp(str(answer.get("currentTime", "")))
            if theirs is not None:
                self._judge_offset(theirs - self._clock.wall(), ("told by", "BootNotification"))
                return
        if self._date is not None:
            self._judge_offset(self._date[0] - self._date[1], ("told by", "HTTP header Date"))
            return
        self.checks.append(Check(name="clock", result=SKIPPED, detail="the CSMS told no time"))

    def _judge_offset(self, offset: DurationNs, how: tuple[str, str]) -> None:
        seconds = offset / NS_PER_S
        word = "ahead of" if offset > 0 else "behind"
        detail = f"the CSMS is {abs(seconds):.1f} s {word} this station"
        facts = (("offset", f"{seconds:+.1f} s"), ("station", timestamp(self._clock.wall())), how)
        good = abs(offset) <= OFFSET_MAX_NS
        remedy = "" if good else "check NTP of this station, or let the CSMS set the time: ocpp.use_as_time_source"
        self.checks.append(Check(name="clock", result=OK if good else WARNING, detail=detail, facts=facts, remedy=remedy))

    def _judge_boot(self, answer: Payload | str) -> None:
        if isinstance(answer, str):
            raise Stop(Check(name="boot", result=FAILED, detail=answer, remedy="ask whoever runs the CSMS for its log of this station"))
        self._judge_status(str(answer.get("status", "")), (("interval", f"{answer.get('interval')} s"),))

    def _judge_status(self, status: str, facts: tuple[tuple[str, str], ...]) -> None:
        result, detail, remedy = {
            "Accepted": (OK, "BootNotification accepted", ""),
            "Pending": (WARNING, "the CSMS answers Pending: it wants to configure the station first",
                        "wait, or ask whoever runs the CSMS to finish the registration"),
            "Rejected": (FAILED, "the CSMS rejects this station", "register the charge point id at the CSMS"),
        }.get(status, (FAILED, f"the CSMS answers {status[:40]!r}" if status else "BootNotification is not answered yet",
                       "ask whoever runs the CSMS for its log of this station"))  # fmt: skip
        self.checks.append(Check(name="boot", result=result, detail=detail, facts=facts, remedy=remedy))


def _header(response: Response, name: str) -> str:
    """Return a header, the first of several, "" without it."""
    return next(iter(response.headers.get_all(name)), "")


def _shown(certificate: Certificate | None) -> tuple[tuple[str, str], ...]:
    if certificate is None:
        return ()
    return (
        ("certificate", certificate.subject), ("issued by", certificate.issuer),
        ("valid from", timestamp(certificate.not_before)), ("valid until", timestamp(certificate.not_after)),
        ("names", certificate.names),
    )


def _answer(event: object) -> Payload | str | None:
    """Return the answer to our BootNotification, or why it is none; None = something else."""
    if not isinstance(event, Frame) or event.opcode is not Opcode.TEXT:
        return None
    try:
        frame = msgspec.json.decode(event.data)
    except (msgspec.DecodeError, UnicodeError):
        return None
    if not isinstance(frame, list) or len(frame) < 3 or frame[1] != "doctor" or frame[0] == CALL:
        return None
    if frame[0] == CALLRESULT and isinstance(frame[2], dict):
        return frame[2]
    return "the CSMS answers BootNotification with an error: " + ", ".join(str(part)[:80] for part in frame[2:4] if part)


