"""Driver of a StrongLink SL032 reader: polls for a card and hands each presentation up once."""

from __future__ import annotations

import asyncio
import random
from collections import deque
from typing import Final

from evse.devices.interfaces import LinkHealth
from evse.domain.base import DeviceError
from evse.domain.clock import Clock
from evse.protocols import rfid_sl032 as sl032
from evse.protocols.errors import ProtocolError
from evse.transports.backoff import Backoff
from evse.transports.base import ByteStream, Openers, SerialSettings
from evse.units import NS_PER_S, Instant, s

SAME_CARD_NS: Final = s(3)
"""A card that is seen again within this time is the same presentation (rfid.md, Timing: 2 s to 5 s)."""

ANSWER_TIMEOUT_MS: Final = 200
"""The reader answers a select below 100 ms at 9600 baud; twice that."""

MISSES_MAX: Final = 3
"""Unanswered polls in a row after which the reader counts as lost."""

REOPEN_AFTER_MISSES: Final = 20
TOKENS_MAX: Final = 8
"""Tokens that wait for `take`; the oldest is dropped."""


class Sl032Driver:
    """One reader. Implements `evse.devices.interfaces.TokenReader`.

    The checksum of the reader is a plain XOR and lets some noise through, so a new card is selected a second time at
    once and counts only when both answers agree. A card that stays on the reader is reported once; it is reported
    again after it was away for 3 s. Cards with random UIDs (08xxxxxx) may show a new UID at every poll; another random
    UID within 3 s counts as the same presentation.
    """

    def __init__(
        self,
        name: str,
        settings: SerialSettings,
        openers: Openers,
        clock: Clock,
        rng: random.Random,
        byte_order: str = "big",
        poll_ms: int = 300,
    ) -> None:
        if byte_order not in ("big", "little"):
            raise ValueError(f"reader {name}: byte_order {byte_order!r} must be 'big' or 'little'")
        self.name = name
        self.last: tuple[Instant, str] | None = None
        self.byte_order = byte_order
        self._settings = settings
        self._openers = openers
        self._clock = clock
        self._backoff = Backoff(rng)
        self._poll_ms = poll_ms
        self._tokens: deque[str] = deque(maxlen=TOKENS_MAX)
        self._answers = sl032.AnswerReader()
        self._seen_uid = b""
        self._seen_at: Instant = 0
        self._candidate = b""  # seen once, waits for its confirmation
        self._where = f"reader {name} at {settings.port}"
        self._detail = f"{self._where}: not opened yet"
        self._online = False
        self._frames_in = self._frames_out = self._misses = self._timeouts = self._reconnects = self._refusals = 0

    def take(self) -> list[str]:
        """Return and forget the tokens read since the last call, oldest first; at most 8."""
        if not self._tokens:
            return []
        tokens = list(self._tokens)
        self._tokens.clear()
        return tokens

    def health(self) -> tuple[LinkHealth, ...]:
        """Return the state of the reader."""
        return (
            LinkHealth(
                name=f"reader {self.name}",
                kind="rfid",
                where=self._settings.port,
                online=self._online,
                detail=self._detail,
                frames_in=self._frames_in,
                frames_out=self._frames_out,
                errors=self._timeouts + self._answers.errors + self._refusals,
                reconnects=self._reconnects,
            ),
        )

    async def run(self) -> None:
        """Own the port until cancelled."""
        while True:
            try:
                stream = await self._openers.open_serial(self._settings)
                try:
                    await self._poll(stream)
                finally:
                    await stream.close()
            except DeviceError as error:
                text = str(error)
                self._offline(text if self._settings.port in text else f"{self._where}: {text}")
            self._reconnects += 1
            await self._backoff.sleep()

    async def _poll(self, stream: ByteStream) -> None:
        """Ask for a card every ``poll_ms`` until the line is gone or nobody answers for long."""
        self._misses = 0
        self._candidate = b""
        confirming = False
        while True:
            started = self._clock.now()
            self._answers.reset()
            await stream.write(sl032.SELECT_REQUEST)
            self._frames_out += 1
            answer = await self._answer(stream)
            if answer is None:
                self._missed()
            else:
                self._answered(answer)
            confirming = not confirming and answer is not None and self._candidate != b""
            if confirming:
                continue  # the second select follows at once, but never a third
            spent_s = (self._clock.now() - started) / NS_PER_S
            await asyncio.sleep(max(0.0, self._poll_ms / 1000 - spent_s))

    async def _answer(self, stream: ByteStream) -> sl032.Answer | None:
        """Return the first answer to SELECT, None when none came in time."""
        try:
            async with asyncio.timeout(ANSWER_TIMEOUT_MS / 1000):
                while True:
                    for answer in self._answers.answers(await stream.read()):
                        if answer.command == sl032.SELECT:
                            return answer
        except TimeoutError:
            return None

    def _missed(self) -> None:
        self._misses += 1
        self._timeouts += 1
        if self._misses == MISSES_MAX:  # told once: the text must not change at every poll
            self._offline(
                f"{self._where}: no valid answer to select (BA 02 01 B9) in {self._misses} polls of "
                f"{ANSWER_TIMEOUT_MS} ms; check supply, wiring and baud rate {self._settings.baud}"
            )
        if self._misses >= REOPEN_AFTER_MISSES:
            raise DeviceError(self._detail)

    def _answered(self, answer: sl032.Answer) -> None:
        self._misses = 0
        self._frames_in += 1
        self._backoff.reset()
        self._online = True
        self._detail = ""
        try:
            card = sl032.selected_card(answer)
        except ProtocolError as error:
            self._refusals += 1
            self._detail = f"{self._where}: {error}"
            return
        if card is None:
            self._candidate = b""
        else:
            self._seen(card.uid, self._clock.now())

    def _seen(self, uid: bytes, now: Instant) -> None:
        if _same(uid, self._seen_uid) and now - self._seen_at < SAME_CARD_NS:
            self._seen_at = now
            self._candidate = b""
            return
        if not _same(uid, self._candidate):
            self._candidate = uid
            return
        self._candidate = b""
        self._seen_uid, self._seen_at = uid, now
        token = sl032.id_token(uid, self.byte_order)
        self.last = (now, token)
        self._tokens.append(token)

    def _offline(self, detail: str) -> None:
        self._online = False
        self._detail = detail


def _same(a: bytes, b: bytes) -> bool:
    """Return whether two UIDs are one presentation: equal, or both random."""
    return a == b or (sl032.is_random(a) and sl032.is_random(b))
