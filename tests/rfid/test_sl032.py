"""SL032: bytes of the reference, garbage, and the driver against the simulated reader under virtual time."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Awaitable, Callable, Mapping, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evse.devices.rfid_sl032 import Sl032Driver
from evse.domain.base import DeviceError
from evse.lab.vloop import VirtualClock, VirtualLoop, run_virtual
from evse.protocols import rfid_sl032 as sl032
from evse.protocols.errors import ProtocolError
from evse.protocols.rfid_uid import id_token
from evse.sim.hw.rfid_sl032 import SimSl032
from evse.transports.base import ByteStream, CanBus, SerialSettings, WebSocket
from evse.transports.faulty import FaultyStream
from evse.transports.memory import MemoryStream, stream_pair

CARD = bytes.fromhex("04A1B2C3")
PORT = "/dev/ttyUSB9"


# -- bytes of reference/rfid.md ---------------------------------------------------------------------------------------


def test_select_request_of_the_reference() -> None:
    assert bytes.fromhex("BA 02 01 B9") == sl032.SELECT_REQUEST
    assert sl032.RequestReader().requests(bytes.fromhex("BA 02 01 B9")) == [sl032.Request(0x01)]


def test_card_answer_of_the_reference() -> None:
    answers = sl032.AnswerReader().answers(bytes.fromhex("BD 08 01 00 04 A1 B2 C3 03 63"))
    assert answers == [sl032.Answer(0x01, 0x00, bytes.fromhex("04A1B2C303"))]
    assert sl032.selected_card(answers[0]) == sl032.Card(uid=CARD, card_type=3)
    assert sl032.encode_answer(answers[0]) == bytes.fromhex("BD 08 01 00 04 A1 B2 C3 03 63")


def test_no_tag_answer_of_the_reference() -> None:
    answers = sl032.AnswerReader().answers(bytes.fromhex("BD 03 01 01 BE"))
    assert answers == [sl032.Answer(0x01, 0x01)]
    assert sl032.selected_card(answers[0]) is None


@pytest.mark.parametrize("size", [4, 7, 10])
def test_uid_length_follows_from_the_frame_whatever_the_type_says(size: int) -> None:
    uid = bytes(range(1, size + 1))
    for card_type in (0x01, 0x03, 0x0A, 0xFF):
        card = sl032.selected_card(sl032.Answer(0x01, 0x00, uid + bytes((card_type,))))
        assert card == sl032.Card(uid=uid, card_type=card_type)


@pytest.mark.parametrize(("status", "text"), [(0x0A, "collision"), (0xF0, "checksum"), (0x77, "unknown")])
def test_other_status_is_named(status: int, text: str) -> None:
    with pytest.raises(ProtocolError, match=text):
        sl032.selected_card(sl032.Answer(0x01, status))


def test_byte_order_switch() -> None:
    assert id_token(CARD, "big") == "04A1B2C3"
    assert id_token(CARD, "little") == "C3B2A104"


FRAMES = st.builds(sl032.Answer, st.integers(0, 255), st.integers(0, 255), st.binary(max_size=20))


@given(st.lists(FRAMES.map(sl032.encode_answer) | st.binary(max_size=100), max_size=5), st.data())
def test_whole_bytewise_and_spliced_feeding_agree_and_memory_is_bounded(
    pieces: list[bytes], data: st.DataObject
) -> None:
    stream = b"".join(pieces)
    whole, bytewise, spliced = sl032.AnswerReader(), sl032.AnswerReader(), sl032.AnswerReader()
    expected = whole.answers(stream)
    cut = data.draw(st.integers(0, len(stream)))
    assert [a for byte in stream for a in bytewise.answers(bytes((byte,)))] == expected
    assert spliced.answers(stream[:cut]) + spliced.answers(stream[cut:]) == expected
    assert whole.errors == bytewise.errors == spliced.errors
    assert len(whole._buffer) <= sl032.LENGTH_MAX + 2
    for answer in expected:
        with contextlib.suppress(ProtocolError):
            sl032.selected_card(answer)


@given(FRAMES)
def test_answers_come_back_as_they_were(answer: sl032.Answer) -> None:
    assert sl032.AnswerReader().answers(sl032.encode_answer(answer)) == [answer]


# -- driver and simulated reader --------------------------------------------------------------------------------------


class OneReader:
    """Openers with one reader behind one port."""

    def __init__(self, attach: Callable[[MemoryStream], None]) -> None:
        self.plugged = True
        self.line: MemoryStream | None = None
        self.faulty: FaultyStream | None = None
        self._attach = attach

    async def open_serial(self, settings: SerialSettings) -> ByteStream:
        if not self.plugged:
            raise DeviceError(f"{settings.port}: no such device")
        host, device = stream_pair(settings.port)
        self.line = host
        self.faulty = FaultyStream(host, random.Random(3))
        self._attach(device)
        return self.faulty

    async def open_can(self, interface: str, channel: str, bitrate: int) -> CanBus:
        raise DeviceError("no CAN here")

    async def open_tcp(self, host: str, port: int) -> ByteStream:
        raise DeviceError("no TCP here")

    async def open_websocket(
        self, url: str, subprotocols: Sequence[str], headers: Mapping[str, str], timeout_s: float
    ) -> WebSocket:
        raise DeviceError("no WebSocket here")

    def list_serial(self) -> list[str]:
        return []


class Rig:
    """Driver, reader and their line."""

    def __init__(self, loop: VirtualLoop, byte_order: str) -> None:
        self.clock = VirtualClock(loop)
        self.sim = SimSl032()
        self.openers = OneReader(self._attach)
        self.driver = Sl032Driver(
            "front", SerialSettings(port=PORT), self.openers, self.clock, random.Random(1), byte_order=byte_order
        )
        self.tasks = [asyncio.create_task(self.driver.run())]

    def _attach(self, device: MemoryStream) -> None:
        self.tasks.append(asyncio.create_task(self.sim.serve(device, self.clock)))

    async def forward_ms(self, duration: int) -> None:
        await asyncio.sleep(duration / 1000)
        assert not self.tasks[0].done()


def with_rig(test: Callable[[Rig], Awaitable[None]], byte_order: str = "big") -> None:
    loop = VirtualLoop()

    async def main() -> None:
        await test(Rig(loop, byte_order))

    run_virtual(main(), loop)


def test_a_card_is_reported_once_while_it_lies_on_the_reader() -> None:
    async def test(rig: Rig) -> None:
        await rig.forward_ms(1_000)
        assert rig.driver.take() == []
        assert rig.driver.health()[0].online
        rig.sim.present(CARD)
        await rig.forward_ms(400)
        assert rig.driver.take() == ["04A1B2C3"]
        assert rig.driver.last is not None
        assert rig.driver.last[1] == "04A1B2C3"
        await rig.forward_ms(20_000)
        assert rig.driver.take() == []

    with_rig(test)


def test_the_same_card_counts_again_only_after_three_seconds_away() -> None:
    async def test(rig: Rig) -> None:
        rig.sim.present(CARD)
        await rig.forward_ms(500)
        assert rig.driver.take() == ["04A1B2C3"]
        rig.sim.present(None)
        await rig.forward_ms(2_000)
        rig.sim.present(CARD)
        await rig.forward_ms(500)
        assert rig.driver.take() == []
        rig.sim.present(None)
        await rig.forward_ms(3_500)
        rig.sim.present(CARD)
        await rig.forward_ms(500)
        assert rig.driver.take() == ["04A1B2C3"]

    with_rig(test)


def test_another_card_is_reported_at_once_and_the_queue_holds_eight() -> None:
    async def test(rig: Rig) -> None:
        for number in range(12):
            rig.sim.present(bytes((4, 0, 0, number)))
            await rig.forward_ms(400)
        assert rig.driver.take() == [f"040000{number:02X}" for number in range(4, 12)]

    with_rig(test)


def test_random_uids_are_reported_but_only_once_per_presentation() -> None:
    async def test(rig: Rig) -> None:
        for number in range(10):  # a phone shows a new UID at every poll
            rig.sim.present(bytes((8, 1, 2, number)))
            await rig.forward_ms(300)
        assert len(rig.driver.take()) == 1
        rig.sim.present(None)
        await rig.forward_ms(4_000)
        rig.sim.present(bytes.fromhex("08AABBCC"))
        await rig.forward_ms(400)
        assert rig.driver.take() == ["08AABBCC"]

    with_rig(test)


@pytest.mark.parametrize("uid", ["04A1B2C3", "04A1B2C3D4E5F6", "0102030405060708090A"])
def test_little_endian_readers(uid: str) -> None:
    async def test(rig: Rig) -> None:
        rig.sim.present(bytes.fromhex(uid))
        await rig.forward_ms(400)
        assert rig.driver.take() == [bytes.fromhex(uid)[::-1].hex().upper()]

    with_rig(test, "little")


def test_silent_reader_is_offline_with_port_and_remedy_and_comes_back() -> None:
    async def test(rig: Rig) -> None:
        await rig.forward_ms(500)
        rig.sim.silent = True
        await rig.forward_ms(1_500)
        health = rig.driver.health()[0]
        assert not health.online
        assert PORT in health.detail
        assert "baud rate 9600" in health.detail
        await rig.forward_ms(60_000)
        rig.sim.silent = False
        rig.sim.present(CARD)
        await rig.forward_ms(11_000)
        assert rig.driver.health()[0].online
        assert rig.driver.health()[0].reconnects >= 1
        assert rig.driver.take() == ["04A1B2C3"]

    with_rig(test)


def test_broken_checksums_are_counted_and_never_a_token() -> None:
    async def test(rig: Rig) -> None:
        rig.sim.broken_checksum = True
        rig.sim.present(CARD)
        await rig.forward_ms(3_000)
        assert rig.driver.take() == []
        assert rig.driver.health()[0].errors >= 3

    with_rig(test)


def test_collision_is_told_in_words() -> None:
    async def test(rig: Rig) -> None:
        rig.sim.collision = True
        await rig.forward_ms(500)
        health = rig.driver.health()[0]
        assert health.online
        assert "more than one card" in health.detail

    with_rig(test)


def test_unplugged_reader_recovers_without_restart() -> None:
    async def test(rig: Rig) -> None:
        await rig.forward_ms(500)
        assert rig.openers.line is not None
        rig.openers.plugged = False
        rig.openers.line.close_now()
        await rig.forward_ms(1_000)
        assert not rig.driver.health()[0].online
        rig.openers.plugged = True
        rig.sim.present(CARD)
        await rig.forward_ms(11_000)
        assert rig.driver.take() == ["04A1B2C3"]

    with_rig(test)


def test_noisy_line_never_invents_a_token() -> None:
    async def test(rig: Rig) -> None:
        await rig.forward_ms(10)
        assert rig.openers.faulty is not None
        rx = rig.openers.faulty.rx
        rx.corrupt_permille, rx.truncate_permille, rx.duplicate_permille = 300, 200, 200
        rig.sim.present(CARD)
        await rig.forward_ms(120_000)
        assert set(rig.driver.take()) == {"04A1B2C3"}

    with_rig(test)


def test_wrong_byte_order_is_refused_at_construction() -> None:
    loop = VirtualLoop()
    with pytest.raises(ValueError, match="byte_order"):
        Sl032Driver(
            "x", SerialSettings(port=PORT), OneReader(lambda _: None), VirtualClock(loop), random.Random(1),
            byte_order="middle",
        )
    loop.close()
