"""OCPP-J 1.6 on one connected WebSocket: frames, calls and their answers.

Laws: every CALL of the peer is answered, whatever it holds; only CALLs and unreadable texts are answered (an error
about an error would never end); one CALL of ours is outstanding at a time; a call ends with its answer, its deadline
or the link, whichever comes first. Handlers run as tasks, so that one may make calls of its own; requests of the same
lane (action) are handled in their order. A request that comes again with the same id and payload is the repetition of a
peer that missed the answer: it gets the same answer and is not carried out twice.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections import OrderedDict, deque
from collections.abc import Awaitable, Callable
from random import Random
from typing import Any

import msgspec

from evse.domain.clock import Clock
from evse.ocpp import messages
from evse.ocpp.log import MessageLog
from evse.ocpp.messages import CALL, CALLERROR, CALLRESULT, CallError, Payload
from evse.ocpp.ports import NO_SECURITY, SecurityNote
from evse.transports.base import NotText, WebSocket, WsClosed
from evse.units import NS_PER_S, DurationNs, Instant

log = logging.getLogger(__name__)

TEXT_MAX = 256 * 1024
"""Characters of one message; a longer one is answered with an error and not parsed."""

WAITING_MAX = 64
"""Requests of the peer that may wait for their handler; more are answered with InternalError at once."""

MALFORMED_MAX = 100
"""Unreadable messages per connection after which it is closed: the peer does not speak OCPP."""

ID_MAX = 36
"""Characters of a unique id (CiString36)."""

NO_ID = "-1"
"""Unique id of an error about a message whose own could not be read."""

ANSWERS_MAX = 32
"""Answers kept for repeated requests."""

ANSWER_MAX = 16 * 1024
"""Characters of an answer that is kept; a longer one is made again."""

REPEAT_NS: DurationNs = 60 * NS_PER_S
"""A request with the same id and payload within this time is a repetition; later the peer counts its ids anew."""

After = Callable[[], Awaitable[None]]


class Reply(msgspec.Struct, frozen=True):
    """What a handler answers, and what it wants to do once the answer is on its way."""

    payload: Payload
    after: After | None = None


Handler = Callable[[Payload], Awaitable[Reply]]


class CallTimeout(Exception):
    """No answer within the deadline; the link may still be alive."""


class _Answered(msgspec.Struct):
    """A request that was taken. ``text``: its answer as it was sent, "" = not yet."""

    digest: bytes
    at: Instant
    text: str = ""


class Engine:
    """Speaks OCPP-J on ``ws`` until it ends. ``handlers`` maps action to coroutine function.

    Requests of the same ``lane`` are handled one after the other.
    """

    def __init__(
        self, ws: WebSocket, *, clock: Clock, rng: Random, handlers: dict[str, Handler], log_: MessageLog,
        timeout_s: float = 30.0, check_outbound: bool = False, security: SecurityNote = NO_SECURITY,
        lane: Callable[[str, Payload], str] = lambda action, payload: action,
    ) -> None:
        self.answers = 0  # answers to our calls so far, errors included
        self._ws = ws
        self._clock = clock
        self._rng = rng
        self._handlers = handlers
        self._log = log_
        self._timeout_s = timeout_s
        self._check_outbound = check_outbound
        self._security = security
        self._lane = lane
        self._recent: OrderedDict[str, _Answered] = OrderedDict()
        self._turn = asyncio.Lock()
        self._pending: tuple[str, str, asyncio.Future[Payload]] | None = None
        self._queues: dict[str, deque[tuple[str, str, Payload]]] = {}  # by lane
        self._waiting = 0
        self._malformed = 0
        self._closed: WsClosed | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    # -- life -----------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Receive until the link ends; raises `WsClosed`. A pending call fails with the same error at once."""
        try:
            while True:
                try:
                    text = await self._ws.recv()
                except NotText as binary:
                    await self._unreadable(NO_ID, f"{binary}; OCPP-J is text", "")
                    continue
                await self._receive(text)
        except WsClosed as closed:
            self._fail(closed)
            raise
        finally:
            self._fail(WsClosed(clean=False, detail="stopped"))
            for task in list(self._tasks):
                task.cancel()

    def _fail(self, closed: WsClosed) -> None:
        if self._closed is None:
            self._closed = closed
        if self._pending is not None and not self._pending[2].done():
            self._pending[2].set_exception(self._closed)

    # -- our calls ------------------------------------------------------------------------------------------------

    async def call(self, action: str, payload: Payload, *, unique_id: str = "") -> Payload:
        """Send a request and return the payload of its answer, which its schema has accepted.

        Waits for its turn first. Raises `CallError` (the peer refused, or answered nonsense), `CallTimeout` after
        the engine's time-out, `WsClosed` when the link ends.
        """
        if self._check_outbound:
            problem = messages.check_call(action, payload)
            if problem is not None:
                raise problem
        async with self._turn:
            if self._closed is not None:
                raise self._closed
            unique_id = unique_id or f"{self._rng.getrandbits(128):032x}"
            answer: asyncio.Future[Payload] = asyncio.get_running_loop().create_future()
            self._pending = (unique_id, action, answer)
            try:
                async with asyncio.timeout(self._timeout_s):  # a full TCP window is silence too
                    await self._send("call", action, unique_id, [CALL, unique_id, action, payload], payload)
                    return await answer
            except TimeoutError:
                raise CallTimeout(f"{action}: no answer within {self._timeout_s:g} s") from None
            finally:
                self._pending = None
                if answer.done() and not answer.cancelled():
                    answer.exception()  # seen, also when sending has failed first

    async def _send(self, kind: str, action: str, unique_id: str, frame: list[Any], payload: object) -> str:
        """Send a frame; return its text."""
        text = msgspec.json.encode(frame).decode()
        self._log.add(self._clock.wall(), "sent", kind, action, unique_id, msgspec.json.encode(payload).decode())
        await self._ws.send(text)
        return text

    # -- what the peer says ---------------------------------------------------------------------------------------

    async def _receive(self, text: str) -> None:
        frame: Any = None
        problem = ""
        if len(text) > TEXT_MAX:
            problem = f"message of {len(text)} characters, at most {TEXT_MAX} are read"
        else:
            try:
                frame = msgspec.json.decode(text)
            except (msgspec.DecodeError, RecursionError, UnicodeError) as error:
                problem = f"message is not JSON: {str(error)[:120]}"
        if not problem and not (isinstance(frame, list) and frame and type(frame[0]) is int):
            problem = "message is not a list that begins with a message type"
        if problem:
            await self._unreadable(NO_ID, problem, text)
            return
        unique_id = frame[1] if len(frame) > 1 and isinstance(frame[1], str) else NO_ID
        match frame[0]:
            case 2:
                await self._on_call(unique_id, frame, text)
            case 3 | 4:
                self._on_answer(unique_id, frame, text)
            case other:
                await self._unreadable(unique_id, f"message type {other} is not 2, 3 or 4", text)

    async def _unreadable(self, unique_id: str, problem: str, text: str) -> None:
        self._log.add(self._clock.wall(), "received", "malformed", "", unique_id[:ID_MAX], text)
        self._malformed += 1
        if self._malformed == 1:
            self._security("InvalidMessages", problem)
        if self._malformed > MALFORMED_MAX:
            log.warning("ocpp: %d unreadable messages, the last: %s; closing", self._malformed, problem)
            await self._ws.close()
            return
        await self._refuse(unique_id, "", CallError("FormationViolation", problem))

    async def _refuse(self, unique_id: str, action: str, error: CallError) -> str:
        frame = [CALLERROR, unique_id[:ID_MAX], error.code, error.description, error.details]
        return await self._send("error", action, unique_id[:ID_MAX], frame, frame[2:])

    async def _on_call(self, unique_id: str, frame: list[Any], text: str) -> None:
        if len(frame) != 4 or not isinstance(frame[2], str) or not isinstance(frame[3], dict):
            await self._unreadable(unique_id, "a CALL is [2, \"id\", \"Action\", {payload}]", text)
            return
        action, payload = frame[2], frame[3]
        if not isinstance(frame[1], str) or len(unique_id) > ID_MAX:
            await self._unreadable(unique_id, f"the unique id is a string of at most {ID_MAX} characters", text)
            return
        self._log.add(self._clock.wall(), "received", "call", action[:64], unique_id, _payload_text(payload))
        digest = hashlib.sha256(_payload_text([action, payload]).encode()).digest()
        now = self._clock.now()
        known = self._recent.get(unique_id)
        if known is not None and known.digest == digest and now - known.at <= REPEAT_NS:
            if known.text:  # while it is being carried out, its one answer is the answer to both
                await self._say_again(action[:64], unique_id, known.text)
            return
        error: CallError | None
        if action not in messages.known_actions():
            error = CallError("NotImplemented", "OCPP 1.6 has no such action")
        elif action not in self._handlers:
            error = CallError("NotSupported", f"{action} is not supported by this station")
        elif self._waiting >= WAITING_MAX:
            error = CallError("InternalError", f"{WAITING_MAX} requests are waiting already; send it again later")
        else:
            error = messages.check_call(action, payload)
        if error is not None:
            await self._refuse(unique_id, action[:64], error)
            return
        self._recent[unique_id] = _Answered(digest, now)
        self._recent.move_to_end(unique_id)
        while len(self._recent) > ANSWERS_MAX:
            self._recent.popitem(last=False)
        lane = self._lane(action, payload)
        queue = self._queues.setdefault(lane, deque())
        queue.append((action, unique_id, payload))
        self._waiting += 1
        if len(queue) == 1:
            task = asyncio.get_running_loop().create_task(self._work(lane, queue))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _say_again(self, action: str, unique_id: str, text: str) -> None:
        answer = msgspec.json.decode(text)
        kind, payload = ("result", answer[2]) if answer[0] == CALLRESULT else ("error", answer[2:])
        self._log.add(self._clock.wall(), "sent", kind, action, unique_id, _payload_text(payload))
        await self._ws.send(text)

    async def _work(self, lane: str, queue: deque[tuple[str, str, Payload]]) -> None:
        while queue:
            action, unique_id, payload = queue[0]
            try:
                await self._handle(action, unique_id, payload)
            except WsClosed:
                return
            finally:
                queue.popleft()
                self._waiting -= 1
                if not queue and self._queues.get(lane) is queue:
                    del self._queues[lane]

    async def _handle(self, action: str, unique_id: str, payload: Payload) -> None:
        after: After | None = None
        taken = self._recent.get(unique_id)
        try:
            reply = await self._handlers[action](payload)
            problem = messages.check_result(action, reply.payload) if self._check_outbound else None
            if problem is not None:
                raise problem
            after = reply.after
            text = await self._send(
                "result", action, unique_id, [CALLRESULT, unique_id, reply.payload], reply.payload
            )
        except CallError as error:
            text = await self._refuse(unique_id, action, error)
        except WsClosed:
            raise
        except Exception:  # a bug in a handler is answered, logged, and does not end the link
            log.exception("ocpp: handler of %s failed", action)
            text = await self._refuse(
                unique_id, action, CallError("InternalError", f"{action} failed inside the station")
            )
        if taken is not None and len(text) <= ANSWER_MAX:
            taken.text = text
        elif taken is not None and self._recent.get(unique_id) is taken:
            del self._recent[unique_id]
        if after is not None:
            try:
                await after()
            except (CallError, CallTimeout) as error:
                log.warning("ocpp: after %s: %s", action, error)

    def _on_answer(self, unique_id: str, frame: list[Any], text: str) -> None:
        pending = self._pending
        if pending is None or pending[0] != unique_id or pending[2].done():
            self._log.add(self._clock.wall(), "received", "malformed", "", unique_id[:ID_MAX], text)
            return  # late, doubled, or for nobody
        _, action, answer = pending
        self.answers += 1
        if frame[0] == CALLRESULT:
            body = frame[2] if len(frame) > 2 else None
            self._log.add(self._clock.wall(), "received", "result", action, unique_id, _payload_text(body))
            problem = messages.check_result(action, body)
            if problem is not None:
                answer.set_exception(CallError(problem.code, f"answer of the CSMS is not valid: {problem.description}"))
            else:
                answer.set_result(body)  # type: ignore[arg-type]  # the schema says object
            return
        self._log.add(self._clock.wall(), "received", "error", action, unique_id, _payload_text(frame[2:]))
        code = frame[2] if len(frame) > 2 and isinstance(frame[2], str) else "GenericError"
        description = frame[3] if len(frame) > 3 and isinstance(frame[3], str) else ""
        details = frame[4] if len(frame) > 4 and isinstance(frame[4], dict) else {}
        answer.set_exception(CallError(code[:64], description, details))


def _payload_text(payload: object) -> str:
    return msgspec.json.encode(payload).decode()
