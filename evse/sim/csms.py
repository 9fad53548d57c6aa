"""A small CSMS for the simulator and for tests: OCPP 1.6J, in memory or on a real port.

It answers everything a station sends, keeps a ledger of transactions, and watches the laws of delivery: a start comes
once, a stop once and after its start, nothing after the stop, registers never fall. A repetition with the same unique
id is allowed (it gets the same answer); one with another id is a violation. Answers can be scripted per action.
It shares no code with the station's own client.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import ssl
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any, ClassVar
from urllib.parse import unquote, urlsplit

import msgspec

from evse.domain.base import DeviceError
from evse.domain.clock import Clock
from evse.sim.csms_frames import FrameBook, LinkFrames, StationEnd
from evse.sim.csms_socket import RealSocket
from evse.transports.base import DialError, DialStep, WebSocket, WsClosed
from evse.transports.memory import MemoryWebSocket, websocket_pair
from evse.units import NS_PER_MS, WallNs

SUBPROTOCOL = "ocpp1.6"
MESSAGES_MAX = 5000
ANSWERED_MAX = 20_000
VIOLATIONS_MAX = 200
CALL_TIMEOUT_S = 30.0

NOTED = (
    "DiagnosticsStatusNotification", "FirmwareStatusNotification", "LogStatusNotification", "SecurityEventNotification",
    "SignedFirmwareStatusNotification",
)
"""Taken note of and answered with nothing."""

Json = dict[str, Any]


class CsmsError(Exception):
    """The station answered a call of the CSMS with an error, not at all, or is not connected."""


class Script(msgspec.Struct):
    """How an action is answered, ``count`` times (None = until changed)."""

    payload: Json | None = None
    error: str | None = None
    delay_ms: int = 0
    silence: bool = False
    garbage: str | None = None  # sent instead of an answer, as it is; {id} becomes the unique id
    lost: bool = False  # the request is carried out, but its answer does not arrive
    wrong: bool = False  # payload or error break the official schemas on purpose
    count: int | None = None


class Ledgered(msgspec.Struct, kw_only=True):
    """One transaction as the CSMS knows it."""

    transaction_id: int
    charge_point: str
    connector_id: int
    id_token: str
    meter_start_wh: int
    started: str
    accepted: bool
    meter_stop_wh: int | None = None
    stopped: str | None = None
    stop_reason: str | None = None
    meter_values: int = 0
    last_register_wh: int | None = None


class SimCsms:
    """The back end of one or more simulated stations. Unknown tokens get ``unknown_token``."""

    frames: ClassVar[FrameBook | None] = None
    """The book in which the frames of all of them are checked by the official schemas; None = nobody looks."""

    def __init__(
        self, clock: Clock, *, tokens: Mapping[str, str] | None = None, unknown_token: str = "Accepted",
        heartbeat_s: int = 300,
    ) -> None:
        self.tokens = {name.upper(): status for name, status in (tokens or {}).items()}
        self.unknown_token = unknown_token
        self.heartbeat_s = heartbeat_s
        self.registration = "Accepted"
        self.online = True
        self.admit: Callable[[str, Mapping[str, str]], int] = lambda charge_point, headers: 0
        """HTTP status for a station that dials, by its name and the headers of its request; 0 = let in."""
        self.more: dict[str, Callable[[str, Json], Json]] = dict.fromkeys(
            NOTED, lambda charge_point, payload: {}
        )
        """Answers to further actions."""
        self.received: deque[tuple[str, Json]] = deque(maxlen=MESSAGES_MAX)  # (action, payload) of the station's calls
        self.statuses: dict[tuple[str, int], Json] = {}
        self.violations: list[str] = []
        self.repeats = 0
        self.connections = 0
        self._clock = clock
        self._transactions: dict[int, Ledgered] = {}
        self._by_start: dict[tuple[str, int, str, int], int] = {}
        self._answered: dict[tuple[str, str], tuple[str, Json]] = {}
        self._next_transaction = 1
        self._scripts: dict[str, Script] = {}
        self._links: dict[str, _Link] = {}
        self._server: Any = None
        self._next_call = 1
        self._tasks: set[asyncio.Task[None]] = set()

    # -- control --------------------------------------------------------------------------------------------------

    def down(self) -> None:
        """Break all links and refuse new ones."""
        self.online = False
        for link in list(self._links.values()):
            link.end()

    def up(self) -> None:
        """Take connections again."""
        self.online = True

    def half_open(self) -> None:
        """The links look open to the station, but nothing gets through and no ping is answered."""
        for link in self._links.values():
            link.half_open()

    def answer(
        self, action: str, payload: Json | None = None, error: str | None = None, delay_ms: int = 0,
        silence: bool = False, garbage: str | None = None, lost: bool = False, wrong: bool = False, count: int | None = None,
    ) -> None:
        """Script the answers to ``action``. Without anything set, the normal answers are back."""
        script = Script(
            payload=payload, error=error, delay_ms=delay_ms, silence=silence, garbage=garbage, lost=lost, wrong=wrong,
            count=count,
        )
        if script == Script(count=count):
            self._scripts.pop(action, None)
        else:
            self._scripts[action] = script

    async def call(self, action: str, payload: Json, charge_point: str = "", *, wrong: bool = False) -> Json:
        """Send a request to a station (empty name = the only one) and return its answer; raises `CsmsError`.

        ``wrong`` = it breaks the official schemas on purpose."""
        link = self._links.get(charge_point) if charge_point else next(iter(self._links.values()), None)
        if link is None:
            raise CsmsError(f"{action}: no station is connected")
        number, self._next_call = self._next_call, self._next_call + 1
        return await link.call(f"csms-{number}", action, payload, wrong=wrong)

    async def raw(self, text: str) -> None:
        """Send a text as it is, right or wrong, to the first station."""
        link = next(iter(self._links.values()), None)
        if link is not None:
            await link.say(text, on_purpose=True)

    def ledger(self) -> Json:
        """Return transactions, counters and violations as plain values."""
        book = SimCsms.frames or FrameBook()
        return {
            "transactions": [msgspec.to_builtins(row) for row in self._transactions.values()],
            "open": [row.transaction_id for row in self._transactions.values() if row.stopped is None],
            "violations": list(self.violations),
            "repeats": self.repeats,
            "connections": self.connections,
            "connected": sorted(self._links),
            "frames": {"checked": book.checked, "wrong_count": book.wrong_count, "wrong": list(book.wrong)},
        }

    def calls(self, action: str) -> list[Json]:
        """Return the payloads of an action that the station has sent, oldest first."""
        return [payload for name, payload in self.received if name == action]

    # -- links ----------------------------------------------------------------------------------------------------

    async def connect(self, url: str, subprotocols: Sequence[str], headers: Mapping[str, str]) -> WebSocket:
        """Connect in memory; `DeviceError` while down."""
        if not self.online:
            raise DeviceError(f"{url}: connection refused; the CSMS is down")
        status = self.admit(_name_of(url), headers)
        if status:
            raise DialError(DialStep.CREDENTIALS, f"{url}: HTTP {status}: {HTTPStatus(status).phrase}", status)
        ours, theirs = websocket_pair(SUBPROTOCOL if SUBPROTOCOL in subprotocols else "")
        if SimCsms.frames is not None:
            ours = StationEnd(theirs, LinkFrames(SimCsms.frames))
        task = asyncio.get_running_loop().create_task(self.serve(theirs, _name_of(url)))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        await asyncio.sleep(0)
        return ours

    async def listen(self, host: str, port: int, tls: ssl.SSLContext | None = None) -> int:
        """Serve real WebSockets, over TLS with a context; return the port (0 asks for any). Raises `OSError`."""
        from websockets.asyncio.server import ServerConnection, serve
        from websockets.datastructures import Headers
        from websockets.http11 import Request, Response
        from websockets.typing import Subprotocol

        async def handler(connection: ServerConnection) -> None:
            path = connection.request.path if connection.request is not None else ""
            await self.serve(RealSocket(connection), _name_of(path))

        def gate(connection: ServerConnection, request: Request) -> Response | None:
            code = self.admit(_name_of(request.path), dict(request.headers.raw_items())) if self.online else 503
            return Response(code, HTTPStatus(code).phrase, Headers()) if code else None

        self._server = await serve(
            handler, host, port, subprotocols=[Subprotocol(SUBPROTOCOL)], process_request=gate, ping_interval=None,
            ssl=tls,
        )
        return int(next(iter(self._server.sockets)).getsockname()[1])

    async def close(self) -> None:
        """Stop the real server, if there is one."""
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()

    async def serve(self, ws: WebSocket, charge_point: str) -> None:
        """Serve one station until its link ends; a new link of the same name replaces the old one."""
        link = _Link(self, ws, charge_point)
        old, self._links[charge_point] = self._links.get(charge_point), link
        if old is not None:
            old.end()
        self.connections += 1
        try:
            await link.run()
        finally:
            if self._links.get(charge_point) is link:
                del self._links[charge_point]

    # -- what it answers ------------------------------------------------------------------------------------------

    def _now(self) -> str:
        return wall_text(self._clock.wall())

    def violation(self, text: str) -> None:
        """Note a broken law of delivery."""
        if len(self.violations) < VIOLATIONS_MAX:
            self.violations.append(text)

    def script_for(self, action: str) -> Script | None:
        """Return the script of an action, and count its use."""
        script = self._scripts.get(action)
        if script is not None and script.count is not None:
            script.count -= 1
            if script.count <= 0:
                del self._scripts[action]
        return script

    def handle(self, charge_point: str, unique_id: str, action: str, payload: Json) -> Json | None:
        """Return the answer to a request; None = the action is unknown."""
        self.received.append((action, payload))
        known = self._answered.get((charge_point, unique_id))
        if known is not None:
            self.repeats += 1
            if known[0] != json.dumps([action, payload], sort_keys=True):
                self.violation(f"{action}: unique id {unique_id} came again with another payload")
            return known[1]
        handler = {
            "BootNotification": self._boot, "Heartbeat": self._heartbeat, "Authorize": self._authorize,
            "StatusNotification": self._status, "StartTransaction": self._start, "StopTransaction": self._stop,
            "MeterValues": self._meter, "DataTransfer": self._data,
        }.get(action) or self.more.get(action)
        if handler is None:
            return None
        answer = handler(charge_point, payload)
        if action in ("StartTransaction", "StopTransaction", "MeterValues"):
            self._answered[(charge_point, unique_id)] = (json.dumps([action, payload], sort_keys=True), answer)
            while len(self._answered) > ANSWERED_MAX:
                self._answered.pop(next(iter(self._answered)))
        return answer

    def _boot(self, charge_point: str, payload: Json) -> Json:
        return {"status": self.registration, "currentTime": self._now(), "interval": self.heartbeat_s}

    def _heartbeat(self, charge_point: str, payload: Json) -> Json:
        return {"currentTime": self._now()}

    def _info(self, id_token: str) -> Json:
        return {"status": self.tokens.get(id_token.upper(), self.unknown_token)}

    def _authorize(self, charge_point: str, payload: Json) -> Json:
        return {"idTagInfo": self._info(payload["idTag"])}

    def _status(self, charge_point: str, payload: Json) -> Json:
        self.statuses[(charge_point, payload["connectorId"])] = payload
        return {}

    def _data(self, charge_point: str, payload: Json) -> Json:
        return {"status": "Accepted"}

    def _start(self, charge_point: str, payload: Json) -> Json:
        info = self._info(payload["idTag"])
        key = (charge_point, payload["connectorId"], payload["timestamp"], payload["meterStart"])
        number = self._by_start.get(key)
        if number is not None:
            self.violation(f"transaction {number}: started twice with different unique ids")
            return {"transactionId": number, "idTagInfo": info}
        number, self._next_transaction = self._next_transaction, self._next_transaction + 1
        for row in self._transactions.values():
            if row.stopped is None and (row.charge_point, row.connector_id) == key[:2]:
                self.violation(f"transaction {number}: starts on connector {key[1]} while {row.transaction_id} runs")
        self._by_start[key] = number
        self._transactions[number] = Ledgered(
            transaction_id=number, charge_point=charge_point, connector_id=payload["connectorId"],
            id_token=payload["idTag"], meter_start_wh=payload["meterStart"], started=payload["timestamp"],
            accepted=info["status"] == "Accepted", last_register_wh=payload["meterStart"],
        )
        return {"transactionId": number, "idTagInfo": info}

    def _stop(self, charge_point: str, payload: Json) -> Json:
        number = payload["transactionId"]
        row = self._transactions.get(number)
        if row is None:
            self.violation(f"transaction {number}: stopped but never started")
        elif row.stopped is not None:
            self.violation(f"transaction {number}: stopped twice")
        else:
            row.meter_stop_wh, row.stopped = payload["meterStop"], payload["timestamp"]
            row.stop_reason = payload.get("reason", "Local")
            self._register(row, payload["meterStop"])
            if row.stopped < row.started:
                self.violation(f"transaction {number}: stops at {row.stopped}, before its start at {row.started}")
        return {"idTagInfo": {"status": "Accepted"}}

    def _meter(self, charge_point: str, payload: Json) -> Json:
        number = payload.get("transactionId")
        if number is None:
            return {}
        row = self._transactions.get(number)
        if row is None:
            self.violation(f"transaction {number}: meter values but never started")
        elif row.stopped is not None:
            self.violation(f"transaction {number}: meter values after its stop")
        else:
            row.meter_values += 1
            for entry in payload["meterValue"]:
                for value in entry["sampledValue"]:
                    if value.get("measurand", "").startswith("Energy.Active.Import.Register"):
                        self._register(row, int(float(value["value"])))
        return {}

    def _register(self, row: Ledgered, register_wh: int) -> None:
        if row.last_register_wh is not None and register_wh < row.last_register_wh:
            fall = f"from {row.last_register_wh} to {register_wh} Wh"
            self.violation(f"transaction {row.transaction_id}: register falls {fall}")
        row.last_register_wh = register_wh


class _Link:
    """One connected station."""

    def __init__(self, csms: SimCsms, ws: WebSocket, charge_point: str) -> None:
        self.ws = ws
        self._csms = csms
        self._name = charge_point
        self._calls: dict[str, asyncio.Future[Json]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        far = ws.peer if isinstance(ws, MemoryWebSocket) and isinstance(ws.peer, StationEnd) else None
        self._heard = far is not None  # the station's end has looked already
        self._frames = far.frames if far is not None else LinkFrames(SimCsms.frames) if SimCsms.frames is not None else None

    async def run(self) -> None:
        try:
            while True:
                text = await self.ws.recv()
                if self._frames is not None and not self._heard:
                    self._frames.heard(text)
                try:
                    frame = json.loads(text)
                except ValueError:
                    self._csms.violation(f"{self._name}: not JSON: {text[:80]}")
                    continue
                if not isinstance(frame, list) or len(frame) < 3 or not isinstance(frame[1], str):
                    self._csms.violation(f"{self._name}: not a message: {text[:80]}")
                elif frame[0] == 2:
                    self._spawn(frame)
                elif (waiting := self._calls.pop(frame[1], None)) is not None and not waiting.done():
                    if frame[0] == 3:
                        waiting.set_result(frame[2])
                    else:
                        waiting.set_exception(CsmsError(f"{frame[2]}: {frame[3]}"))
        except WsClosed:
            pass
        finally:
            for task in self._tasks:
                task.cancel()
            for waiting in self._calls.values():
                if not waiting.done():
                    waiting.set_exception(CsmsError("the link ended"))

    def _spawn(self, frame: list[Any]) -> None:
        task = asyncio.get_running_loop().create_task(self._answer(*frame[1:4]))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _answer(self, unique_id: str, action: str, payload: Json) -> None:
        script = self._csms.script_for(action) or Script()
        with contextlib.suppress(WsClosed):
            if script.silence or script.garbage is not None or script.error:
                self._csms.received.append((action, payload))
            if script.delay_ms:
                await asyncio.sleep(script.delay_ms / 1000)
            if script.silence:
                return
            if script.garbage is not None:
                await self.say(script.garbage.replace("{id}", unique_id), on_purpose=True)
            elif script.error:
                await self._send([4, unique_id, script.error, "scripted", {}], wrong=script.wrong)
            else:
                answer = self._csms.handle(self._name, unique_id, action, payload)
                answer = script.payload if script.payload is not None else answer
                if script.lost:
                    return
                if answer is None:
                    await self._send([4, unique_id, "NotImplemented", f"{action} is not known", {}])
                else:
                    await self._send([3, unique_id, answer], wrong=script.wrong)

    async def _send(self, frame: list[Any], *, wrong: bool = False) -> None:
        await self.say(json.dumps(frame, separators=(",", ":")), on_purpose=wrong)

    async def say(self, text: str, *, on_purpose: bool = False) -> None:
        """Send a text; ``on_purpose`` = it may be wrong."""
        if self._frames is not None:
            self._frames.said(text, on_purpose=on_purpose)
        await self.ws.send(text)

    async def call(self, unique_id: str, action: str, payload: Json, *, wrong: bool = False) -> Json:
        waiting: asyncio.Future[Json] = asyncio.get_running_loop().create_future()
        self._calls[unique_id] = waiting
        try:
            await self._send([2, unique_id, action, payload], wrong=wrong)
            async with asyncio.timeout(CALL_TIMEOUT_S):
                answer = await waiting
        except (TimeoutError, WsClosed) as error:
            raise CsmsError(f"{action}: no answer of the station") from error
        finally:
            self._calls.pop(unique_id, None)
        return answer

    def end(self) -> None:
        if isinstance(self.ws, MemoryWebSocket):
            self.ws.end(clean=False, detail="the CSMS broke the link")
        elif isinstance(self.ws, RealSocket):
            self.ws.abort()

    def half_open(self) -> None:
        if isinstance(self.ws, MemoryWebSocket):
            self.ws.answers_ping = False
        elif isinstance(self.ws, RealSocket):
            self.ws.freeze()


def _name_of(url: str) -> str:
    return unquote(urlsplit(url).path.rstrip("/").rsplit("/", 1)[-1])


def wall_text(wall: WallNs) -> str:
    """Return UTC ns as the wire has it."""
    moment = datetime.fromtimestamp(wall // 1_000_000_000, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{wall // NS_PER_MS % 1000:03}Z"
