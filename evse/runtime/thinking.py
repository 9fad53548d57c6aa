"""Who works out the planner's answers: the control loop itself where that is quick, else a process beside it.

A plan that takes longer than 5 ms does not run inside the control loop (docs/planner.md): the tick goes on with the last plan,
whose limits it holds by itself, and takes the new one when it is there. A thread would not do, because pure Python holds the
interpreter. The process (`evse.runtime.thinking_process`) starts with the first question that needs it, gets one question
after the other as MessagePack on its standard input and ends when that ends: it never outlives the daemon. When it fails or
keeps an answer for `PATIENCE_S`, it is killed, the question is worked out here, and the next one starts another process.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sys
import time
from collections import deque
from collections.abc import Callable
from typing import Final, Protocol

import msgspec

from evse.domain.station import StationSpec, Topology
from evse.planner.questions import Answer, Gained, Question, Replanned, answer
from evse.runtime.thinking_process import SIZE_BYTES
from evse.units import NS_PER_MS, DurationNs

log = logging.getLogger(__name__)

LIMIT_NS: Final[DurationNs] = 5 * NS_PER_MS
"""An answer that takes longer is not worked out inside the control loop."""

EVSES_HERE: Final = 20
"""Stations with more EVSEs ask the other process from the start; for smaller ones the first slow answer decides."""

PATIENCE_S: Final = 10.0
WAITING_MAX: Final = 8
"""Questions on their way; whoever asks has one of a kind at a time."""

_encode = msgspec.msgpack.Encoder().encode
_decoder: Final[msgspec.msgpack.Decoder[Answer]] = msgspec.msgpack.Decoder(Replanned | Gained)

Then = Callable[[Answer | None], None]


class Thinker(Protocol):
    """Answers questions; ``then`` gets the answer, now or between two ticks; None = there is none, the log says why."""

    def ask(self, question: Question, then: Then) -> None:
        """Never waits; raises what a question raises that is worked out here."""
        ...


class Here:
    """Within the caller, at once: for small stations, and under virtual time for all."""

    def ask(self, question: Question, then: Then) -> None:
        """See `Thinker`."""
        then(answer(question))


class Beside:
    """Here while answers are quick, else in another process. `run` is its owner task."""

    def __init__(self, spec: StationSpec, clock_ns: Callable[[], int] = time.perf_counter_ns) -> None:
        self._clock_ns = clock_ns
        self.elsewhere = len(spec.evses) > EVSES_HERE or spec.topology is Topology.MATRIX
        self.answers = 0
        """Answers of the other process."""
        self.failures = 0
        self._asked: deque[tuple[Question, Then]] = deque()
        self._wake = asyncio.Event()

    def ask(self, question: Question, then: Then) -> None:
        """See `Thinker`."""
        if self.elsewhere and len(self._asked) < WAITING_MAX:
            self._asked.append((question, then))
            self._wake.set()
            return
        began = self._clock_ns()
        given = answer(question)
        if self._clock_ns() - began > LIMIT_NS:
            self.elsewhere = True
        then(given)

    async def run(self) -> None:
        """Own the other process until cancelled; there is none before the first question."""
        process: asyncio.subprocess.Process | None = None
        try:
            while True:
                await self._wake.wait()
                self._wake.clear()
                while self._asked:
                    question, then = self._asked.popleft()
                    given: Answer | None = None
                    try:
                        process = process or await _start()
                        given = await _exchange(process, question)
                        self.answers += 1
                    except (OSError, EOFError, TimeoutError, msgspec.DecodeError) as error:
                        self.failures += 1
                        log.error("planner process: %s: %s; it is started anew", type(error).__name__, error)
                        if process is not None:
                            await _end(process)
                            process = None
                        given = _answer_here(question)
                    then(given)
        finally:
            if process is not None:
                await _end(process)


def _answer_here(question: Question) -> Answer | None:
    try:
        return answer(question)
    except Exception:  # the other process has failed at it as well; the last plan stays
        log.exception("the planner has no answer")
        return None


async def _start() -> asyncio.subprocess.Process:
    """Start the process with the interpreter of the daemon."""
    command = (sys.executable, "-m", "evse.runtime.thinking_process")
    return await asyncio.create_subprocess_exec(
        *command, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, start_new_session=True
    )


async def _exchange(process: asyncio.subprocess.Process, question: Question) -> Answer:
    """Ask and wait for the answer; raise when the process is gone, silent or says nonsense."""
    if process.stdin is None or process.stdout is None:
        raise EOFError("no pipe to the process")
    body = _encode(question)
    async with asyncio.timeout(PATIENCE_S):
        process.stdin.write(len(body).to_bytes(SIZE_BYTES, "big") + body)
        await process.stdin.drain()
        size = int.from_bytes(await process.stdout.readexactly(SIZE_BYTES), "big")
        return _decoder.decode(await process.stdout.readexactly(size))


async def _end(process: asyncio.subprocess.Process) -> None:
    """Kill it and wait until it is gone."""
    with contextlib.suppress(ProcessLookupError):
        process.kill()
    await process.wait()


__all__ = ["Beside", "Here", "Thinker"]
