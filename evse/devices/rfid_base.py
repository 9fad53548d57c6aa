"""What all card readers share: one presentation is one token, the order switches, loss, health, and the way back."""

from __future__ import annotations

import asyncio
import random
from abc import ABC, abstractmethod
from collections import deque
from typing import ClassVar, Final

from evse.devices.interfaces import LinkHealth
from evse.domain.base import DeviceError
from evse.domain.clock import Clock
from evse.protocols.errors import ProtocolError
from evse.protocols.rfid_uid import BYTE_ORDERS, CHARACTER_ORDERS, id_token, same_card
from evse.transports.backoff import Backoff
from evse.transports.base import ByteStream, Openers, SerialSettings
from evse.units import NS_PER_S, Instant, s

SAME_CARD_NS: Final = s(3)
"""A card that is seen again within this time is the same presentation (2 s to 5 s is usual)."""

MISSES_MAX: Final = 3
"""Unanswered polls in a row after which the reader counts as lost."""

REOPEN_AFTER_MISSES: Final = 20
TOKENS_MAX: Final = 8
"""Tokens that wait for `take`; the oldest is dropped."""

POLL_MS: Final = 300
"""Time from poll to poll (250 ms to 1 s is usual)."""

LOST_AFTER_NS: Final = s(10)
"""Time of grace until a silent reader is reported as lost. The Charge Control C user guide (7.3.7) gives none, only
that the search never ends; a USB reader that was reset is back within a few seconds and a back-off of at most 10 s."""


class TokenSource:
    """The side of a reader that the station sees: tokens, order switches, and whether the reader is lost.

    A card that stays on the reader is reported once; it is reported again after it was away for 3 s. Cards with random
    UIDs (08xxxxxx) may show a new UID at every poll; another random UID within 3 s counts as the same presentation.

    ``byte_order`` and ``character_order`` (see `evse.protocols.rfid_uid.id_token`) may be changed at any time with
    `turn`; they count from the next card on.
    """

    def __init__(
        self, name: str, where: str, clock: Clock, byte_order: str = "big", character_order: str = "plain"
    ) -> None:
        self.name = name
        self.last: tuple[Instant, str] | None = None
        self.lost_after_ns = LOST_AFTER_NS
        self.turn(byte_order, character_order)
        self._clock = clock
        self._tokens: deque[str] = deque(maxlen=TOKENS_MAX)
        self._seen_uid = b""
        self._seen_at: Instant = 0
        self._where = where
        self._detail = f"{where}: not opened yet"
        self._online = False
        self._offline_since: Instant = clock.now()

    def turn(self, byte_order: str, character_order: str) -> None:
        """Set both order switches; `ValueError` for an unknown word."""
        if byte_order not in BYTE_ORDERS:
            raise ValueError(f"reader {self.name}: byte_order {byte_order!r} must be 'big' or 'little'")
        if character_order not in CHARACTER_ORDERS:
            raise ValueError(
                f"reader {self.name}: character_order {character_order!r} must be 'plain', 'word' or 'digit'"
            )
        self.byte_order = byte_order
        self.character_order = character_order

    def take(self) -> list[str]:
        """Return and forget the tokens read since the last call, oldest first; at most 8."""
        if not self._tokens:
            return []
        tokens = list(self._tokens)
        self._tokens.clear()
        return tokens

    def lost(self) -> str:
        """Return why the reader is lost, "" while it works or its time of grace (10 s) has not passed."""
        if self._online or self._clock.now() - self._offline_since < self.lost_after_ns:
            return ""
        return self._detail

    def _alive(self) -> None:
        """The reader has proved that it works."""
        self._online = True
        self._detail = ""

    def _offline(self, detail: str) -> None:
        if self._online:
            self._offline_since = self._clock.now()
        self._online = False
        self._detail = detail

    def _still_there(self, uid: bytes, now: Instant) -> bool:
        """Return whether the card belongs to the last presentation, and prolong that one if it does."""
        if not same_card(uid, self._seen_uid) or now - self._seen_at >= SAME_CARD_NS:
            return False
        self._seen_at = now
        return True

    def _report(self, uid: bytes, now: Instant) -> None:
        """Hand one presentation up, unless it is the one handed up already."""
        if self._still_there(uid, now):
            return
        self._seen_uid, self._seen_at = uid, now
        token = id_token(uid, self.byte_order, self.character_order)
        self.last = (now, token)
        self._tokens.append(token)


class CardReader(TokenSource, ABC):
    """One reader on a port. Implements `evse.devices.interfaces.TokenReader`; a family says what happens on it."""

    def __init__(
        self,
        name: str,
        settings: SerialSettings,
        openers: Openers,
        clock: Clock,
        rng: random.Random,
        byte_order: str = "big",
        character_order: str = "plain",
    ) -> None:
        super().__init__(name, f"reader {name} at {settings.port}", clock, byte_order, character_order)
        self._settings = settings
        self._openers = openers
        self._backoff = Backoff(rng)
        self._frames_in = self._frames_out = self._timeouts = self._reconnects = self._refusals = 0
        self._prepare()

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
                errors=self._timeouts + self._refusals + self._decoder_errors(),
                reconnects=self._reconnects,
            ),
        )

    async def run(self) -> None:
        """Own the port until cancelled."""
        while True:
            try:
                stream = await self._openers.open_serial(self._settings)
                try:
                    await self._serve(stream)
                finally:
                    await stream.close()
            except DeviceError as error:
                text = str(error)
                self._offline(text if self._settings.port in text else f"{self._where}: {text}")
            self._reconnects += 1
            await self._backoff.sleep()

    # -- what a family adds -------------------------------------------------------------------------------------------

    @abstractmethod
    def _prepare(self) -> None:
        """Create the decoder; called once, at the end of construction."""

    @abstractmethod
    async def _serve(self, stream: ByteStream) -> None:
        """Work on an open port; `DeviceError` when it is gone or should be opened again."""

    @abstractmethod
    def _decoder_errors(self) -> int:
        """Return how many pieces of what came in were no valid frames."""

    # -- what a family uses -------------------------------------------------------------------------------------------

    async def _send(self, stream: ByteStream, data: bytes) -> None:
        await stream.write(data)
        self._frames_out += 1

    def _alive(self) -> None:
        """The reader has proved that it works."""
        super()._alive()
        self._backoff.reset()

    def _refused(self, error: ProtocolError) -> None:
        """The reader works but could not give a card: tell why."""
        self._refusals += 1
        self._detail = f"{self._where}: {error}"


class PollingReader(CardReader):
    """A reader that answers questions.

    The checksums of these readers are short and let some noise through, so a new card is asked for a second time at
    once and counts only when both answers agree.
    """

    question: ClassVar[str]
    """What is asked, in words and bytes, for people."""

    answer_timeout_ms: ClassVar[int]
    """Time to wait for the answer of one poll, ms."""

    def __init__(
        self,
        name: str,
        settings: SerialSettings,
        openers: Openers,
        clock: Clock,
        rng: random.Random,
        byte_order: str = "big",
        character_order: str = "plain",
        poll_ms: int = POLL_MS,
    ) -> None:
        super().__init__(name, settings, openers, clock, rng, byte_order, character_order)
        self._poll_ms = poll_ms
        self._candidate = b""  # seen once, waits for its confirmation
        self._misses = 0

    @abstractmethod
    async def _ask(self, stream: ByteStream) -> bytes | None:
        """Ask once. Return the UID, b"" when there is no card, None when no valid answer came in time.

        Raises `ProtocolError` when the reader answered that it cannot, with its reason.
        """

    async def _serve(self, stream: ByteStream) -> None:
        """Ask for a card every ``poll_ms`` until the line is gone or nobody answers for long."""
        self._misses = 0
        self._candidate = b""
        confirming = False
        while True:
            started = self._clock.now()
            answered = True
            try:
                uid = await self._ask(stream)
            except ProtocolError as error:
                self._answered()
                self._refused(error)
            else:
                answered = uid is not None
                if uid is None:
                    self._missed()
                else:
                    self._answered()
                    self._found(uid, self._clock.now())
            confirming = not confirming and answered and self._candidate != b""
            if confirming:
                continue  # the second question follows at once, but never a third
            spent_s = (self._clock.now() - started) / NS_PER_S
            await asyncio.sleep(max(0.0, self._poll_ms / 1000 - spent_s))

    def _answered(self) -> None:
        self._misses = 0
        self._frames_in += 1
        self._alive()

    def _missed(self) -> None:
        self._misses += 1
        self._timeouts += 1
        if self._misses == MISSES_MAX:  # told once: the text must not change at every poll
            self._offline(
                f"{self._where}: no valid answer to {self.question} in {self._misses} polls of "
                f"{self.answer_timeout_ms} ms; check supply, wiring and baud rate {self._settings.baud}"
            )
        if self._misses >= REOPEN_AFTER_MISSES:
            raise DeviceError(self._detail)

    def _found(self, uid: bytes, now: Instant) -> None:
        if uid == b"" or self._still_there(uid, now):
            self._candidate = b""
        elif not same_card(uid, self._candidate):
            self._candidate = uid
        else:
            self._candidate = b""
            self._report(uid, now)
