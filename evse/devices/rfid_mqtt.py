"""A reader that hangs on another controller: its cards come over MQTT. The link to the broker belongs to somebody else,
who feeds this driver and tells it when the link comes and goes."""

from __future__ import annotations

import asyncio

from evse.devices.interfaces import LinkHealth
from evse.devices.rfid_base import TokenSource
from evse.domain.clock import Clock
from evse.protocols.errors import ProtocolError
from evse.protocols.rfid_mqtt import TOPIC, parse_request


class MqttReader(TokenSource):
    """`evse.devices.interfaces.TokenReader` behind a broker; ``broker`` = its address, for people.

    Call `linked` when the subscription stands and when it is gone, `feed` with each message. Retained messages are not
    cards: they are what somebody showed some time ago.
    """

    def __init__(
        self,
        name: str,
        broker: str,
        clock: Clock,
        byte_order: str = "big",
        character_order: str = "plain",
        topic: str = TOPIC,
    ) -> None:
        super().__init__(name, f"reader {name} at {broker} {topic}", clock, byte_order, character_order)
        self.topic = topic
        self._broker = broker
        self._messages = self._errors = self._reconnects = 0

    def linked(self, online: bool, detail: str = "") -> None:
        """The subscription stands, or is gone because of ``detail``."""
        if online:
            self._alive()
        else:
            self._reconnects += self._online
            self._offline(f"{self._where}: {detail or 'no connection to the broker'}")

    def feed(self, payload: bytes, *, retained: bool = False) -> None:
        """Take one message of the topic; what is no card is counted and told in `health`."""
        self._messages += 1
        if retained:
            return
        try:
            card = parse_request(payload)
        except ProtocolError as error:
            self._errors += 1
            self._detail = f"{self._where}: {error}"
            return
        self._alive()
        self._report(card.uid, self._clock.now())

    async def run(self) -> None:
        """Nothing to own: the cards are fed."""
        await asyncio.get_running_loop().create_future()

    def health(self) -> tuple[LinkHealth, ...]:
        """State of the subscription."""
        return (
            LinkHealth(
                name=f"reader {self.name}",
                kind="rfid",
                where=f"{self._broker} {self.topic}",
                online=self._online,
                detail=self._detail,
                frames_in=self._messages,
                errors=self._errors,
                reconnects=self._reconnects,
            ),
        )
