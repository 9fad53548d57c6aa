"""What every reader driver must do, whatever its reader speaks: driver against simulated reader under virtual time."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable

import pytest

from evse.devices.rfid_base import CardReader
from evse.devices.rfid_line import LineDriver
from evse.devices.rfid_pn532 import Pn532Driver
from evse.devices.rfid_sl032 import Sl032Driver
from evse.devices.rfid_twn4 import Twn4Driver
from evse.lab.vloop import VirtualClock, VirtualLoop
from evse.sim.hw.rfid_base import SimReader
from evse.sim.hw.rfid_line import SimLine
from evse.sim.hw.rfid_pn532 import SimPn532
from evse.sim.hw.rfid_sl032 import SimSl032
from evse.sim.hw.rfid_twn4 import SimTwn4
from evse.transports.base import SerialSettings
from tests.rfid.rig import PORT, OneReader, Rig, with_rig

CARD = bytes.fromhex("04A1B2C3")
AnyRig = Rig[CardReader, SimReader]
Test = Callable[[AnyRig], Awaitable[None]]


class ReaderContract:
    """Inherited by one class per family."""

    driver: type[CardReader]
    sim: type[SimReader]

    def run(self, test: Test, byte_order: str = "big", character_order: str = "plain") -> None:
        with_rig(self.driver, self.sim, test, byte_order, character_order)

    def test_a_card_is_reported_once_while_it_lies_on_the_reader(self) -> None:
        async def test(rig: AnyRig) -> None:
            await rig.forward_ms(1_000)
            assert rig.driver.take() == []
            assert rig.driver.health()[0].online
            rig.sim.present(CARD)
            await rig.forward_ms(500)
            assert rig.driver.take() == ["04A1B2C3"]
            assert rig.driver.last is not None
            assert rig.driver.last[1] == "04A1B2C3"
            await rig.forward_ms(20_000)
            assert rig.driver.take() == []

        self.run(test)

    def test_the_same_card_counts_again_only_after_three_seconds_away(self) -> None:
        async def test(rig: AnyRig) -> None:
            await rig.forward_ms(500)
            for away_ms, expected in ((0, ["04A1B2C3"]), (1_500, []), (3_600, ["04A1B2C3"])):
                await rig.forward_ms(away_ms)
                rig.sim.present(CARD)
                await rig.forward_ms(700)
                assert rig.driver.take() == expected
                rig.sim.present(None)

        self.run(test)

    def test_another_card_is_reported_at_once_and_the_queue_holds_eight(self) -> None:
        async def test(rig: AnyRig) -> None:
            await rig.forward_ms(500)
            for number in range(12):
                rig.sim.present(bytes((4, 0, 0, number)))
                await rig.forward_ms(500)
            assert rig.driver.take() == [f"040000{number:02X}" for number in range(4, 12)]

        self.run(test)

    def test_random_uids_are_reported_but_only_once_per_presentation(self) -> None:
        async def test(rig: AnyRig) -> None:
            await rig.forward_ms(500)
            for number in range(10):  # a phone shows a new UID at every poll
                rig.sim.present(bytes((8, 1, 2, number)))
                await rig.forward_ms(300)
            assert len(rig.driver.take()) == 1
            rig.sim.present(None)
            await rig.forward_ms(4_000)
            rig.sim.present(bytes.fromhex("08AABBCC"))
            await rig.forward_ms(500)
            assert rig.driver.take() == ["08AABBCC"]

        self.run(test)

    @pytest.mark.parametrize("uid", ["04A1B2C3", "04A1B2C3D4E5F6", "0102030405060708090A"])
    def test_all_lengths_and_both_switches(self, uid: str) -> None:
        async def test(rig: AnyRig) -> None:
            await rig.forward_ms(500)
            rig.sim.present(bytes.fromhex(uid))
            await rig.forward_ms(500)
            turned = bytes.fromhex(uid)[::-1].hex().upper()
            swapped = "".join(turned[i + 1] + turned[i] for i in range(0, len(turned), 2))
            assert rig.driver.take() == [swapped]

        self.run(test, "little", "digit")

    def test_switches_turn_while_it_runs(self) -> None:
        async def test(rig: AnyRig) -> None:
            await rig.forward_ms(500)
            rig.driver.turn("little", "plain")
            rig.sim.present(CARD)
            await rig.forward_ms(500)
            assert rig.driver.take() == ["C3B2A104"]

        self.run(test)

    def test_unplugged_reader_recovers_without_restart(self) -> None:
        async def test(rig: AnyRig) -> None:
            await rig.forward_ms(500)
            rig.unplug()
            await rig.forward_ms(60_000)
            health = rig.driver.health()[0]
            assert not health.online
            assert PORT in health.detail
            assert health.reconnects > 3
            rig.openers.plugged = True
            await rig.forward_ms(11_000)
            rig.sim.present(CARD)
            await rig.forward_ms(500)
            assert rig.driver.health()[0].online
            assert rig.driver.take() == ["04A1B2C3"]

        self.run(test)

    @pytest.mark.parametrize("orders", [("middle", "plain"), ("big", "swapped")])
    def test_unknown_orders_are_refused_at_construction(self, orders: tuple[str, str]) -> None:
        loop = VirtualLoop()
        with pytest.raises(ValueError, match=r"reader x: (byte|character)_order '(middle|swapped)' must be"):
            self.driver(
                "x", SerialSettings(port=PORT), OneReader(lambda _: None), VirtualClock(loop), random.Random(1), *orders
            )
        loop.close()


class PollingContract(ReaderContract):
    """For readers that answer questions: silence is noticed, noise is not believed."""

    def test_silent_reader_is_offline_with_port_and_remedy_and_comes_back(self) -> None:
        async def test(rig: AnyRig) -> None:
            await rig.forward_ms(500)
            assert rig.driver.health()[0].online
            rig.sim.silent = True  # type: ignore[attr-defined]
            await rig.forward_ms(2_000)
            health = rig.driver.health()[0]
            assert not health.online
            assert PORT in health.detail
            assert "baud rate 9600" in health.detail
            await rig.forward_ms(60_000)
            rig.sim.silent = False  # type: ignore[attr-defined]
            rig.sim.present(CARD)
            await rig.forward_ms(12_000)
            assert rig.driver.health()[0].online
            assert rig.driver.health()[0].reconnects >= 1
            assert rig.driver.take() == ["04A1B2C3"]

        self.run(test)

    def test_noisy_line_never_invents_a_token(self) -> None:
        async def test(rig: AnyRig) -> None:
            await rig.forward_ms(500)
            assert rig.openers.faulty is not None
            rx = rig.openers.faulty.rx
            rx.corrupt_permille, rx.truncate_permille, rx.duplicate_permille = 300, 200, 200
            rig.sim.present(CARD)
            await rig.forward_ms(120_000)
            assert set(rig.driver.take()) == {"04A1B2C3"}

        self.run(test)

    def test_a_reader_that_was_slow_for_a_while_works_again(self) -> None:
        async def test(rig: AnyRig) -> None:
            rig.sim.delay_ms = 2_000  # type: ignore[attr-defined]
            await rig.forward_ms(3_000)
            assert rig.driver.health()[0].errors >= 3
            rig.sim.delay_ms = 50  # type: ignore[attr-defined]
            await rig.forward_ms(40_000)
            rig.sim.present(CARD)
            await rig.forward_ms(2_000)
            assert rig.driver.health()[0].online
            assert rig.driver.take() == ["04A1B2C3"]

        self.run(test)


class TestSl032(PollingContract):
    driver = Sl032Driver
    sim = SimSl032


class TestPn532(PollingContract):
    driver = Pn532Driver
    sim = SimPn532


class TestTwn4(PollingContract):
    driver = Twn4Driver
    sim = SimTwn4


class TestLine(ReaderContract):
    driver = LineDriver
    sim = SimLine


class TestTwn4FactoryApplication(ReaderContract):
    """Says cards unasked and answers nothing: online from its first card on."""

    driver = Twn4Driver
    sim = SimLine

    def test_a_card_is_reported_once_while_it_lies_on_the_reader(self) -> None:
        async def test(rig: AnyRig) -> None:
            await rig.forward_ms(5_000)
            assert not rig.driver.health()[0].online
            assert "SearchTag" in rig.driver.health()[0].detail
            rig.sim.present(CARD)
            await rig.forward_ms(500)
            assert rig.driver.take() == ["04A1B2C3"]
            await rig.forward_ms(600_000)
            assert rig.driver.health()[0].online
            assert rig.driver.health()[0].reconnects == 0
            assert rig.driver.take() == []

        self.run(test)

    def test_switches_turn_while_it_runs(self) -> None:
        async def test(rig: AnyRig) -> None:
            await rig.forward_ms(500)
            rig.sim.present(CARD)
            await rig.forward_ms(500)
            rig.driver.turn("little", "plain")
            rig.sim.present(bytes.fromhex("04A1B2C4"))
            await rig.forward_ms(500)
            assert rig.driver.take() == ["04A1B2C3", "C4B2A104"]

        self.run(test)
