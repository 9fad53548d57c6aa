"""The simulated station through its openers: real drivers on one side, the control protocol on the other."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from evse.config.meter_profiles import load_profile
from evse.devices.board_link import BoardLinkDriver
from evse.devices.meter import ModbusMeter
from evse.devices.modbus_bus import ModbusBus, TcpEndpoint
from evse.devices.rfid_sl032 import Sl032Driver
from evse.domain.base import DeviceError
from evse.domain.faults import FaultCode
from evse.domain.readings import NoData, Sample
from evse.domain.signals import CpState
from evse.lab.vloop import VirtualClock, VirtualLoop, run_virtual
from evse.sim.control import answer_line
from evse.sim.fault_catalogue import all_names, rows
from evse.sim.faults import CATALOGUE
from evse.sim.faults_ac import CATALOGUE_AC
from evse.sim.faults_matrix import CATALOGUE_MATRIX
from evse.sim.faults_site import CATALOGUE_SITE
from evse.sim.station import SimStation
from evse.transports.base import SerialSettings
from tests.sim.bench import BY_ID, config

NOT_OF_THE_WORLD = {
    "STORAGE", "INTERNAL",  # of the controller
    "LOCAL_LIST_CONFLICT", "DYNAMIC_LIMIT_IGNORED", "EVENT_ACTION",  # of the back end, of programs and rules
}  # fmt: skip
"""Fault codes that no fault of the simulated world leads to; other tests cause them."""

Body = Callable[[SimStation, VirtualClock], Awaitable[None]]


def with_station(body: Body, **options: Any) -> None:
    """Run ``body`` beside a running station under virtual time."""
    loop = VirtualLoop()
    clock = VirtualClock(loop)

    async def main() -> None:
        station = SimStation(config(**options), clock, seed=3, fast=True)
        task = asyncio.create_task(station.run())
        try:
            await body(station, clock)
        finally:
            station.stop()
            await task

    run_virtual(main(), loop)


def board_driver(station: SimStation, clock: VirtualClock, evse_id: int = 1) -> BoardLinkDriver:
    """The product's driver on the simulated port."""
    settings = SerialSettings(port=BY_ID.format(evse_id), baud=115_200)
    return BoardLinkDriver(evse_id, settings, station.openers(), clock, random.Random(1))


def test_board_speaks_and_comes_back_after_the_cable_was_pulled() -> None:
    """Status over real bytes; NoData while unplugged; a new pipe afterwards without any restart."""

    async def body(station: SimStation, clock: VirtualClock) -> None:
        driver = board_driver(station, clock)
        task = asyncio.create_task(driver.run())
        await asyncio.sleep(2)
        reading = driver.reading()
        assert isinstance(reading, Sample) and reading.value.cp is CpState.A and not reading.value.estop
        await station.command({"cmd": "plug_in", "connector": 1})
        await asyncio.sleep(0.3)
        reading = driver.reading()
        assert isinstance(reading, Sample) and reading.value.cp is CpState.B
        assert (await station.command({"cmd": "fault", "action": "raise", "fault": "board_lost", "connector": 1}))["ok"]
        assert BY_ID.format(1) not in station.openers().list_serial()
        await asyncio.sleep(1)
        assert isinstance(driver.reading(), NoData)
        assert (await station.command({"cmd": "fault", "action": "clear", "fault": "board_lost", "connector": 1}))["ok"]
        await asyncio.sleep(15)
        assert isinstance(driver.reading(), Sample)
        assert station.board_ports[1].opens == 2
        task.cancel()

    with_station(body)


def test_serial_ports_are_exclusive_and_known() -> None:
    """A second owner and a wrong name are refused with the reason; a dead owner's pipes end."""

    async def body(station: SimStation, clock: VirtualClock) -> None:
        openers = station.openers()
        settings = SerialSettings(port="/dev/ttyM0")
        stream = await openers.open_serial(settings)
        with pytest.raises(DeviceError, match="in use"):
            await openers.open_serial(settings)
        await stream.close()
        stream = await openers.open_serial(settings)
        station.drop_clients()
        await asyncio.sleep(0.1)
        with pytest.raises(DeviceError):
            await stream.read()
        await openers.open_serial(settings)
        with pytest.raises(DeviceError, match="no such port"):
            await openers.open_serial(SerialSettings(port="/dev/nothing"))
        with pytest.raises(DeviceError, match="no such channel"):
            await openers.open_can("socketcan", "can9", 125_000)
        with pytest.raises(DeviceError, match="connection refused"):
            await openers.open_tcp("127.0.0.1", 1)
        assert openers.list_serial() == [BY_ID.format(1), BY_ID.format(2)]

    with_station(body)


def test_site_meter_shows_the_base_load_and_dies_when_told() -> None:
    """Modbus TCP to the site meter; mute gives NoData; clearing brings it back."""

    async def body(station: SimStation, clock: VirtualClock) -> None:
        bus = ModbusBus(TcpEndpoint(host="127.0.0.1", port=1502), station.openers(), clock, random.Random(1))
        meter = ModbusMeter("site", load_profile("eastron/sdm630"), 7, bus, 500, clock)
        task = asyncio.create_task(meter.run())
        await asyncio.sleep(3)
        reading = meter.reading()
        assert isinstance(reading, Sample) and reading.value.power_w == 120
        assert reading.value.voltage_l_mv == (230_000, 230_000, 230_000)
        await station.command({"cmd": "fault", "action": "raise", "fault": "site_meter_lost"})
        await asyncio.sleep(6)
        assert isinstance(meter.reading(), NoData)
        await station.command({"cmd": "fault", "action": "clear"})
        await asyncio.sleep(40)
        assert isinstance(meter.reading(), Sample)
        task.cancel()

    with_station(body)


def test_card_is_read_once() -> None:
    """swipe lays the card on the reader for a moment."""

    async def body(station: SimStation, clock: VirtualClock) -> None:
        driver = Sl032Driver("front", SerialSettings(port="/dev/ttyR0"), station.openers(), clock, random.Random(1))
        task = asyncio.create_task(driver.run())
        await asyncio.sleep(2)
        assert (await station.command({"cmd": "swipe", "token": "04a1b2c3"}))["token"] == "04A1B2C3"
        await asyncio.sleep(2)
        assert driver.take() == ["04A1B2C3"]
        assert station.readers["front"].card is None
        task.cancel()

    with_station(body)


def test_every_fault_can_be_raised_and_cleared_with_and_without_a_car() -> None:
    """The catalogue covers all fault codes that happen outside of the controller."""
    coded = {row.code for table in (CATALOGUE, CATALOGUE_AC, CATALOGUE_MATRIX, CATALOGUE_SITE) for row in table.values()}
    missing = {code.name for code in FaultCode if code not in coded}
    assert missing == NOT_OF_THE_WORLD
    assert [row["name"] for row in rows()] == all_names()
    assert not set(CATALOGUE_SITE) & {*CATALOGUE, *CATALOGUE_AC}

    async def body(station: SimStation, clock: VirtualClock) -> None:
        drivers = [asyncio.create_task(board_driver(station, clock, n).run()) for n in (1, 2)]
        for plugged in (False, True):
            if plugged:
                await station.command({"cmd": "plug_in", "connector": 1})
            for name in [*CATALOGUE, *CATALOGUE_SITE]:
                if name == "io_lost":
                    continue  # this station has no [io]; tests/sim/test_sysfs_io.py
                place = {"fault": name, "connector": 1, "seed": 5}
                raised = await station.command({"cmd": "fault", "action": "raise", **place})
                assert raised["ok"] and raised["happened"], (name, raised)
                assert len(station.active_faults) == 1
                await asyncio.sleep(0.5)
                cleared = await station.command({"cmd": "fault", "action": "clear", **place})
                assert cleared["ok"], (name, cleared)
                assert not station.active_faults and not station.manners[1]
        await asyncio.sleep(30)
        answer = await station.command({"cmd": "status"})
        assert answer["connectors"][0]["plugged"] and not answer["violations"]
        for port in station.lines().values():
            assert port.connected and port.faults.quiet
        for driver in drivers:
            driver.cancel()

    with_station(body)


def test_line_faults_hit_and_heal() -> None:
    """With half of the frames lost or bent the board link limps; clear all makes it clean."""

    async def body(station: SimStation, clock: VirtualClock) -> None:
        driver = board_driver(station, clock)
        task = asyncio.create_task(driver.run())
        await asyncio.sleep(2)
        line = BY_ID.format(1)
        for name in ("line_drop", "line_corrupt", "line_duplicate", "line_delay"):
            value = 40 if name == "line_delay" else 300
            command = {"cmd": "fault", "action": "raise", "fault": name, "port": line, "value": value, "seed": 7}
            assert (await station.command(command))["ok"]
        await asyncio.sleep(5)
        faults = station.board_ports[1].faults
        assert faults.dropped > 5 and faults.corrupted > 5 and faults.duplicated > 5
        answer = await station.command({"cmd": "fault", "action": "clear", "fault": "all"})
        assert len(answer["happened"]) == 4
        assert faults.quiet
        await asyncio.sleep(5)
        assert isinstance(driver.reading(), Sample)
        task.cancel()

    with_station(body)


async def powered(station: SimStation) -> bool:
    """Whether the supply is there, as the control protocol tells."""
    answer = await station.command({"cmd": "status"})
    return bool(answer["powered"])


def test_power_cut_takes_boards_away_and_gives_them_back() -> None:
    """The supply of the cabinet is gone for two seconds; afterwards the boards have restarted."""

    async def body(station: SimStation, clock: VirtualClock) -> None:
        driver = board_driver(station, clock)
        task = asyncio.create_task(driver.run())
        await asyncio.sleep(2)
        boots = station.boards[1].boots
        assert (await station.command({"cmd": "power_cut", "duration_ms": 2_000}))["ok"]
        await asyncio.sleep(1)
        assert isinstance(driver.reading(), NoData)
        assert await powered(station) is False
        await asyncio.sleep(20)
        assert isinstance(driver.reading(), Sample) and await powered(station)
        assert station.boards[1].boots > boots
        task.cancel()

    with_station(body)


@pytest.mark.parametrize(
    ("obj", "parts"),
    [
        ([], ("a JSON object is expected",)),
        ({}, ("cmd = null: no such command; accepted: plug_in, plug_out",)),
        ({"cmd": "swype"}, ('cmd = "swype"', "did you mean swipe")),
        ({"cmd": "plug_in"}, ("connector: is missing for plug_in; accepted: a whole number from 1 to 48",)),
        ({"cmd": "plug_in", "connector": 3}, ("connector = 3: no such connector; accepted: 1, 2",)),
        ({"cmd": "plug_in", "connector": True}, ("connector = true: accepted: a whole number",)),
        ({"cmd": "plug_in", "connector": 1, "car": "Trabant"}, ("car: 'Trabant' is not in the list",)),
        ({"cmd": "plug_in", "connector": 1, "soc": 5}, ("soc = 5: unknown key for plug_in, did you mean soc_pct",)),
        ({"cmd": "plug_in", "connector": 1, "soc_pct": 101}, ("soc_pct = 101: accepted: a number from 0 to 100",)),
        ({"cmd": "plug_out", "connector": 1}, ("connector 1: nothing is plugged in",)),
        ({"cmd": "set_ev", "connector": 1, "stop": True}, ("nothing is plugged in; send plug_in first",)),
        ({"cmd": "swipe", "token": "xyz"}, ("token = 'XYZ': accepted: 4, 7 or 10 bytes as hex",)),
        (
            {"cmd": "swipe", "token": "04A1B2C3", "reader": "back"},
            ("reader = 'back': no such reader; accepted: front",),
        ),
        ({"cmd": "fault", "action": "rise"}, ('action = "rise": accepted: raise, clear, list',)),
        (
            {"cmd": "fault", "action": "raise", "fault": "emergency"},
            ("fault = 'emergency'", "accepted: emergency_stop"),
        ),
        ({"cmd": "fault", "action": "raise", "fault": "line_drop", "port": "x"}, ("port = 'x': no such line",)),
        (
            {"cmd": "fault", "action": "raise", "fault": "module_missing", "address": 99},
            ("address = 99: no such module",),
        ),
        ({"cmd": "csms", "action": "down"}, ("csms: ocpp is not enabled",)),
        ({"cmd": "power_cut", "pid": 1}, ("pid = 1: accepted: a whole number from 2",)),
    ],
)
def test_bad_commands_name_key_value_and_what_is_accepted(obj: Any, parts: tuple[str, ...]) -> None:
    """And nothing happens."""

    async def body(station: SimStation, clock: VirtualClock) -> None:
        answer = json.loads(await answer_line(station, json.dumps(obj).encode()))
        assert answer["ok"] is False
        for part in parts:
            assert part in answer["error"]
        assert all(connector.ev is None for connector in station.world.connectors) and not station.active_faults

    with_station(body)


@pytest.mark.parametrize("line", [b"{", b"\xff\xfe", b"[" * 5000, b'{"cmd": "status"} x', b'"text"', b"\x00"])
def test_bad_lines_are_answered(line: bytes) -> None:
    """Nonsense gets one JSON line with the reason."""

    async def body(station: SimStation, clock: VirtualClock) -> None:
        answer = await answer_line(station, line)
        assert answer.endswith(b"\n") and answer.count(b"\n") == 1
        assert json.loads(answer)["ok"] is False

    with_station(body)


def test_good_lines() -> None:
    """plug_in, set_ev, button, status and plug_out through the line protocol."""

    async def body(station: SimStation, clock: VirtualClock) -> None:
        async def send(**obj: Any) -> dict[str, Any]:
            answer: dict[str, Any] = json.loads(await answer_line(station, json.dumps(obj).encode()))
            assert answer["ok"], answer
            return answer

        car = await send(cmd="plug_in", connector=2, car="hyundai ioniq 5", soc_pct=11.5, late_ms=200)
        assert car["voltage_class"] == 800 and car["soc_pct"] == 11.5
        ev = station.world.by_id[2].ev
        assert ev is not None and ev.spec.late_ms == 200
        await send(cmd="set_ev", connector=2, target_soc_pct=50, demand_w=9_000)
        assert ev.spec.target_soc_ppm == 500_000 and ev.spec.demand_w == 9_000
        await send(cmd="button", connector=2)
        pressed = [station.world.by_id[2].plant.stop_button]
        await asyncio.sleep(1)
        pressed.append(station.world.by_id[2].plant.stop_button)
        assert pressed == [True, False]
        row = (await send(cmd="status"))["connectors"][1]
        assert row["plugged"] and row["cp"] == "B" and row["soc_pct"] == 11.5
        assert (await send(cmd="plug_out", connector=2))["happened"] == "unplugged"
        assert len((await send(cmd="fault", action="list"))["faults"]) == len(all_names())

    with_station(body)
