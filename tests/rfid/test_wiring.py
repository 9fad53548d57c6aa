"""From the configuration to a token: every family through the real wiring and the simulated station."""

from __future__ import annotations

import asyncio
import random
from typing import get_args, get_type_hints

import msgspec
import pytest

from evse.config.model import ReaderSection
from evse.lab.vloop import VirtualClock, VirtualLoop, run_virtual
from evse.runtime.wiring import READERS as DRIVERS
from evse.runtime.wiring import build_devices, reader_settings
from evse.sim.station import READERS as SIMULATED
from evse.sim.station import SimStation
from tests.sim.bench import config

FAMILIES = get_args(get_args(get_type_hints(ReaderSection, include_extras=True)["driver"])[0])


def section(**fields: object) -> ReaderSection:
    return msgspec.structs.replace(config().reader[0], **fields)


def test_every_family_of_the_configuration_has_a_driver_and_a_simulated_reader() -> None:
    assert {"sl032", "pn532", "twn4", "line", "hid"} == set(FAMILIES) == set(DRIVERS) == set(SIMULATED)


@pytest.mark.parametrize(("family", "baud"), [("sl032", 9600), ("pn532", 115_200), ("twn4", 9600), ("line", 9600)])
def test_baud_rate_is_that_of_the_family_unless_it_is_named(family: str, baud: int) -> None:
    assert reader_settings(section(driver=family)).baud == baud
    assert reader_settings(section(driver=family, baud=38_400)).baud == 38_400


@pytest.mark.parametrize("family", FAMILIES)
def test_a_swiped_card_arrives_and_orders_change_at_once(family: str) -> None:
    loop = VirtualLoop()
    clock = VirtualClock(loop)
    station_config = msgspec.structs.replace(config(), reader=(section(driver=family),))

    async def main() -> None:
        station = SimStation(station_config, clock, seed=3, fast=True)
        running = asyncio.create_task(station.run())
        devices = build_devices(station_config, station.openers(), clock, random.Random(1))
        reader = devices.readers["front"]
        task = asyncio.create_task(reader.run())
        await asyncio.sleep(2)
        assert reader.health()[0].online
        await station.command({"cmd": "swipe", "token": "04A1B2C3"})
        await asyncio.sleep(2)
        assert reader.take() == ["04A1B2C3"]
        devices.apply_live(
            msgspec.structs.replace(
                station_config,
                reader=(
                    section(driver=family, byte_order="little", character_order="word"),
                    section(driver=family, name="comes with the next start"),
                ),
            )
        )
        await asyncio.sleep(4)
        await station.command({"cmd": "swipe", "token": "04A1B2C3"})
        await asyncio.sleep(2)
        assert reader.take() == ["B2C304A1"]
        task.cancel()
        station.stop()
        await running

    run_virtual(main(), loop)
