"""A reader behind a broker: cards, retained messages, the link, loss."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from evse.devices.interfaces import TokenReader
from evse.devices.rfid_mqtt import MqttReader
from evse.lab.vloop import VirtualClock, VirtualLoop, run_virtual

CARD = b'["ISO14443", "04A1B2C3"]'


def with_reader(test: Callable[[MqttReader], Awaitable[None]], byte_order: str = "big") -> None:
    loop = VirtualLoop()

    async def main() -> None:
        reader = MqttReader("yard", "mqtt://192.168.1.5", VirtualClock(loop), byte_order)
        port: TokenReader = reader
        task = asyncio.create_task(port.run())
        await test(reader)
        assert not task.done()

    run_virtual(main(), loop)


def test_a_card_is_a_token_once_per_presentation() -> None:
    async def test(reader: MqttReader) -> None:
        reader.linked(True)
        for _ in range(3):
            reader.feed(CARD)
            await asyncio.sleep(1)
        assert reader.take() == ["04A1B2C3"]
        await asyncio.sleep(3)
        reader.feed(CARD)
        reader.feed(b'["ISO15693", "1122334455660407"]')
        assert reader.take() == ["04A1B2C3", "1122334455660407"]
        assert reader.take() == []
        assert reader.last is not None
        assert reader.last[1] == "1122334455660407"

    with_reader(test)


def test_orders_count_here_too() -> None:
    async def test(reader: MqttReader) -> None:
        reader.linked(True)
        reader.feed(CARD)
        assert reader.take() == ["C3B2A104"]

    with_reader(test, "little")


def test_retained_messages_and_garbage_are_no_cards() -> None:
    async def test(reader: MqttReader) -> None:
        reader.linked(True)
        reader.feed(CARD, retained=True)
        reader.feed(b"\xff\x00")
        assert reader.take() == []
        health = reader.health()[0]
        assert health.online
        assert (health.frames_in, health.errors) == (2, 1)
        assert 'is not ["<standard>", "<UID>"]' in health.detail
        reader.feed(CARD)
        assert reader.health()[0].detail == ""

    with_reader(test)


def test_the_reader_is_lost_when_the_link_stays_away_for_ten_seconds() -> None:
    async def test(reader: MqttReader) -> None:
        assert reader.lost() == ""
        await asyncio.sleep(10)
        assert "not opened yet" in reader.lost()  # nobody ever linked it
        reader.linked(True)
        assert reader.lost() == ""
        reader.linked(False, "connection refused")
        await asyncio.sleep(9)
        reader.linked(False, "connection refused")
        assert reader.lost() == ""
        await asyncio.sleep(1)
        assert reader.lost() == (
            "reader yard at mqtt://192.168.1.5 port0/rfid/authorization_request: connection refused"
        )
        reader.linked(True)
        assert reader.lost() == ""
        assert reader.health()[0].reconnects == 1

    with_reader(test)


def test_only_the_eight_newest_tokens_wait() -> None:
    async def test(reader: MqttReader) -> None:
        reader.linked(True)
        for number in range(12):
            reader.feed(f'["ISO14443", "040000{number:02X}"]'.encode())
        assert reader.take() == [f"040000{number:02X}" for number in range(4, 12)]

    with_reader(test)
