"""A mixed station through its openers: AC boards, AC meters, the control protocol and every AC fault."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import pytest

from evse.config.meter_profiles import load_profile
from evse.devices.board_link import BoardLinkDriver
from evse.devices.meter import ModbusMeter
from evse.devices.modbus_bus import ModbusBus
from evse.devices.recloser import ModbusRecloser
from evse.devices.rfid_hid import HidDriver
from evse.domain.ac import AcCommand, PilotMode, PpState, RcdState
from evse.domain.base import ConfigError
from evse.domain.readings import NoData, Sample
from evse.domain.recloser import RecloserOutcome, RecloserState
from evse.domain.signals import BoardCommand, BoardStatus, CpState
from evse.lab.vloop import VirtualClock, VirtualLoop, run_virtual
from evse.protocols.board_link_messages import Capability
from evse.sim.control import answer_line
from evse.sim.fault_catalogue import all_names, apply_fault, kinds_of, names, rows
from evse.sim.faults import CATALOGUE, FaultArgs
from evse.sim.faults_ac import CATALOGUE_AC
from evse.sim.faults_signing import SIGNING_AC
from evse.sim.station import SimStation
from evse.transports.base import SerialSettings
from tests.sim.bench_ac import mixed

Body = Callable[[SimStation, "Desk"], Awaitable[None]]
PWM = AcCommand(pilot=PilotMode.PWM, duty_bp=2_667)


class Desk:
    """Drivers of all boards, commanded every 50 ms with what stands in ``levels``."""

    def __init__(self, station: SimStation, clock: VirtualClock) -> None:
        self.station = station
        self.clock = clock
        openers = station.openers()
        self.boards = {
            evse.id: BoardLinkDriver(
                evse.id, SerialSettings(port=evse.board.port, baud=115_200), openers, clock, random.Random(evse.id)
            )
            for evse in station.config.evse
        }
        self.levels: dict[int, BoardCommand] = {}
        self.tasks = [asyncio.create_task(board.run()) for board in self.boards.values()]

    async def run(self, seconds: float) -> None:
        for _ in range(round(seconds * 20)):
            for number, board in self.boards.items():
                board.command(self.levels.get(number, BoardCommand()))
            await asyncio.sleep(0.05)

    def status(self, number: int) -> BoardStatus:
        reading = self.boards[number].reading()
        assert isinstance(reading, Sample), reading
        return reading.value

    def charge(self, number: int, ac: AcCommand = PWM) -> None:
        """Offer and close from now on."""
        self.levels[number] = BoardCommand(contactor_lease=True, lock=True, offered_ma=16_000, ac=ac)

    async def send(self, **obj: Any) -> dict[str, Any]:
        answer: dict[str, Any] = json.loads(await answer_line(self.station, json.dumps(obj).encode()))
        return answer

    async def done(self, **obj: Any) -> dict[str, Any]:
        answer = await self.send(**obj)
        assert answer["ok"], answer
        return answer

    async def row(self, number: int) -> dict[str, Any]:
        rows = (await self.done(cmd="status"))["connectors"]
        return next(row for row in rows if row["connector"] == number)


def with_station(body: Body) -> None:
    """Run ``body`` beside a running station under virtual time."""
    loop = VirtualLoop()
    clock = VirtualClock(loop)

    async def main() -> None:
        station = SimStation(mixed(), clock, seed=3, fast=True)
        task = asyncio.create_task(station.run())
        desk = Desk(station, clock)
        try:
            await desk.run(2)
            await body(station, desk)
        finally:
            for job in desk.tasks:
                job.cancel()
            station.stop()
            await task

    run_virtual(main(), loop)


def test_boards_are_of_the_kind_of_their_evse() -> None:
    async def body(station: SimStation, desk: Desk) -> None:
        infos = {number: board.info for number, board in desk.boards.items()}
        kinds = {number: Capability(info.capabilities) for number, info in infos.items() if info is not None}
        assert Capability.DC in kinds[1] and all(Capability.AC in kinds[n] for n in (2, 3, 4))
        assert desk.status(1).ac is None
        two, four = desk.status(2).ac, desk.status(4).ac
        assert two is not None and four is not None
        assert (two.pp, two.rcd, two.rotary, two.inputs) == (PpState.NONE, RcdState.NORMAL, 11, 2)
        assert (four.pp, four.rcd, four.rotary) == (PpState.UNKNOWN, RcdState.UNKNOWN, None)

    with_station(body)


def test_three_phase_session_at_an_ac_point_and_its_meter() -> None:
    """Car, board, contactors and a real SDM630 register map: the meter reads what flows, per phase."""

    async def body(station: SimStation, desk: Desk) -> None:
        bus = ModbusBus(SerialSettings(port="/dev/ttyM1"), station.openers(), desk.clock, random.Random(1))
        meter = ModbusMeter("ac", load_profile("eastron/sdm630"), 2, bus, 500, desk.clock)
        task = asyncio.create_task(meter.run())
        desk.charge(2, AcCommand(pilot=PilotMode.PWM, duty_bp=2_667, phases=3, relay2=True))
        car = await desk.done(cmd="plug_in", connector=2, car="hyundai ioniq 5", cable="20")
        assert (car["phases"], car["cable"]) == (3, "20")
        await desk.run(15)
        row = await desk.row(2)
        assert (row["kind"], row["stage"], row["cp"], row["phases"], row["pp"]) == ("ac", "charging", "C", 3, "20")
        assert (row["duty_bp"], row["contactor"], row["relay2"], row["lock"]) == (2_667, "closed", "closed", "locked")
        reading = meter.reading()
        assert isinstance(reading, Sample)
        values = reading.value
        assert values.current_l_ma is not None and min(values.current_l_ma) == pytest.approx(15_942, abs=100)
        assert values.power_w == pytest.approx(row["power_w"], rel=0.01)
        assert values.energy_import_wh is not None and values.energy_import_wh > 10
        status = await desk.done(cmd="status")
        assert status["site_power_w"] == pytest.approx(sum(status["site_power_l_w"]), abs=3)
        assert status["violations"] == []
        desk.levels[2] = BoardCommand(ac=AcCommand(pilot=PilotMode.X1))
        await desk.run(3)
        assert (await desk.row(2))["power_w"] == 0
        assert (await desk.done(cmd="plug_out", connector=2))["happened"] == "unplugged"
        task.cancel()

    with_station(body)


def test_one_phase_car_is_the_default_and_loads_its_grid_phase() -> None:
    async def body(station: SimStation, desk: Desk) -> None:
        desk.charge(3)
        desk.charge(2)
        assert (await desk.done(cmd="plug_in", connector=3))["phases"] == 1
        assert (await desk.done(cmd="plug_in", connector=2))["phases"] == 3
        await desk.run(10)
        three, two = await desk.row(3), await desk.row(2)
        assert [current > 0 for current in three["current_l_ma"]] == [True, False, False]
        assert two["phases"] == 1, "the second contactor was not asked for"
        watts = (await desk.done(cmd="status"))["site_power_l_w"]
        assert watts[0] > 3_500 and watts[1] > 3_500 and watts[2] < 200, "R for connector 3, S for connector 2 (STR)"

    with_station(body)


def test_switches_inputs_and_emergency_stop() -> None:
    async def body(station: SimStation, desk: Desk) -> None:
        async def inputs() -> int:
            await desk.run(0.3)
            ac = desk.status(2).ac
            assert ac is not None
            return ac.inputs

        await desk.done(cmd="key_switch", connector=2)
        assert await inputs() == 0b011
        await desk.done(cmd="key_switch", connector=2, on=False)
        assert await inputs() == 0b010
        await desk.done(cmd="input", connector=2, input=3, hold_ms=500)
        assert await inputs() == 0b110
        await desk.run(0.5)
        assert await inputs() == 0b010
        await desk.done(cmd="input", connector=2, input=3, mv=7_000)
        assert await inputs() == 0b110
        await desk.done(cmd="rotary", connector=2, position=4)
        await desk.run(0.2)
        ac = desk.status(2).ac
        assert ac is not None and ac.rotary == 4
        await desk.done(cmd="estop")
        await desk.run(0.2)
        assert all(desk.status(number).estop for number in (1, 2, 3, 4))
        await desk.done(cmd="estop", on=False)
        await desk.run(0.2)
        assert not any(desk.status(number).estop for number in (1, 2, 3, 4))

    with_station(body)


@pytest.mark.parametrize(
    ("obj", "part"),
    [
        ({"cmd": "plug_in", "connector": 2, "late_ms": 5}, "late_ms: is for DC vehicles; connector 2 is AC"),
        ({"cmd": "plug_in", "connector": 1, "cable": "32"}, "cable: is for AC vehicles; connector 1 is DC"),
        ({"cmd": "plug_in", "connector": 2, "cable": "40"}, "cable = \"40\": accepted: none, 13, 20, 32, 63, invalid"),
        ({"cmd": "plug_in", "connector": 9}, "connector = 9: no such connector; accepted: 1, 2, 3, 4"),
        ({"cmd": "set_ev", "connector": 2, "stop": True}, "nothing is plugged in"),
        ({"cmd": "rotary", "connector": 3, "position": 1}, "connector = 3: has no rotary switch"),
        ({"cmd": "rotary", "connector": 1, "position": 1}, "connector = 1: is DC; AC connectors: 2, 3, 4"),
        ({"cmd": "input", "connector": 2, "input": 4}, "input = 4: connector 2 has 3 digital inputs"),
        ({"cmd": "key_switch", "connector": 3}, "connector = 3: has no key switch"),
        ({"cmd": "fault raise", "fault": "pp_none", "connector": 4}, "connector = 4: has a fixed cable"),
        ({"cmd": "fault raise", "fault": "pp_none", "connector": 1}, "connector 1 is DC; accepted there: emergency_stop"),
        ({"cmd": "fault raise", "fault": "insulation", "connector": 2}, "connector 2 is AC; accepted there:"),
        ({"cmd": "fault raise", "fault": "rcd_spurious", "connector": 3}, "has no residual current monitor"),
        ({"cmd": "fault raise", "fault": "pp_changed", "value": 14, "connector": 2}, "value = 14: accepted: 0, 13, 20"),
        ({"cmd": "fault raise", "fault": "rcd_spurius"}, "did you mean rcd_spurious"),
        ({"cmd": "fault raise", "fault": "mains_phase_lost", "value": 4}, "accepted: a grid phase, 1, 2, 3"),
        ({"cmd": "fault raise", "fault": "reader_lost", "port": "x"}, "no reader there; the configuration has front"),
        ({"cmd": "fault raise", "fault": "contactor_welded", "connector": 7}, "connector = 7: no such connector"),
    ],
)
def test_bad_commands_name_key_value_and_what_is_accepted(obj: Any, part: str) -> None:
    async def body(station: SimStation, desk: Desk) -> None:
        answer = await desk.send(**obj)
        assert answer["ok"] is False and part in answer["error"], answer
        assert not station.active_faults
        assert all(point.ev is None for point in station.world.ac)

    with_station(body)


def test_set_ev_knows_the_kind_of_the_vehicle() -> None:
    async def body(station: SimStation, desk: Desk) -> None:
        await desk.done(cmd="plug_in", connector=2, hlc="ac", max_ma=8_000)
        await desk.done(cmd="plug_in", connector=1)
        await desk.done(cmd="set_ev", connector=2, ignore_pwm=True, soc_pct=50)
        ev = station.world.ac_by_id[2].ev
        assert ev is not None and ev.spec.ignore_pwm and ev.spec.max_ma == 8_000 and ev.soc_pct == 50
        for connector, key in ((2, "late_ms"), (1, "follow_ms")):
            answer = await desk.send(cmd="set_ev", connector=connector, **{key: 5})
            assert not answer["ok"] and f"{key}: not of this vehicle; accepted:" in answer["error"]

    with_station(body)


def test_catalogue_tells_at_which_kind_a_fault_happens() -> None:
    assert kinds_of("insulation") == ("dc",) and kinds_of("pp_none") == ("ac",)
    assert kinds_of("contactor_welded") == kinds_of("line_drop") == kinds_of("reader_lost") == ("dc", "ac")
    assert set(names("dc")) | set(names("ac")) == set(all_names())
    assert {row["name"] for row in rows() if "ac" in row["kinds"]} == set(names("ac"))
    assert set(CATALOGUE_AC) <= set(names("ac")) and set(CATALOGUE) <= set(names("dc"))


def test_a_fault_at_all_connectors_reaches_both_kinds() -> None:
    async def body(station: SimStation, desk: Desk) -> None:
        answer = await desk.done(cmd="fault raise", fault="contactor_welded")
        assert answer["happened"] == "connector 1: contactor welded; connector 2, 3, 4: contactor welded"
        assert station.world.by_id[1].welded and all(p.plant.main.welded for p in station.world.ac)
        await desk.done(cmd="fault clear")
        assert not station.world.by_id[1].welded and not any(p.plant.main.welded for p in station.world.ac)
        answer = await desk.done(cmd="fault raise", fault="rcd_spurious")
        assert answer["happened"] == "connector 2: monitor says tripped", "only where a monitor is fitted"

    with_station(body)


def test_breaker_and_recloser_take_the_supply_away_and_give_it_back() -> None:
    """Trip, voltage gone at meter and vehicle; the real driver closes it again through its registers."""

    async def body(station: SimStation, desk: Desk) -> None:
        section = station.config.evse[1].recloser
        assert section is not None
        bus = ModbusBus(SerialSettings(port="/dev/ttyM1"), station.openers(), desk.clock, random.Random(1))
        recloser = ModbusRecloser("2", station.reclosers[2].profile, 3, bus, desk.clock, 200)
        tasks = [asyncio.create_task(recloser.run()), asyncio.create_task(bus.run())]
        desk.charge(2)
        await desk.done(cmd="plug_in", connector=2)
        await desk.run(8)
        assert (await desk.row(2))["power_w"] > 3_000 and recloser.state() is RecloserState.CLOSED
        await desk.done(cmd="fault raise", fault="breaker_trip", connector=2)
        await desk.run(2)
        row = await desk.row(2)
        assert (row["breaker"], row["power_w"], row["voltage_mv"], row["contactor"]) == ("open", 0, 0, "closed")
        assert recloser.state() is RecloserState.OPEN
        answer = await recloser.request(RecloserState.CLOSED)
        assert answer.outcome is RecloserOutcome.DONE
        await desk.run(8)
        assert (await desk.row(2))["breaker"] == "closed"
        for task in tasks:
            task.cancel()

    with_station(body)


def test_card_of_a_keyboard_reader() -> None:
    async def body(station: SimStation, desk: Desk) -> None:
        driver = HidDriver("side", SerialSettings(port="/dev/input/side"), station.openers(), desk.clock, random.Random(1))
        task = asyncio.create_task(driver.run())
        await desk.run(1)
        assert (await desk.done(cmd="swipe", token="04a1b2c3", connector=3))["reader"] == "side"
        await desk.run(1)
        assert driver.take() == ["04A1B2C3"]
        task.cancel()

    with_station(body)


def test_an_ac_station_has_no_dc_faults() -> None:
    config = mixed()
    loop = VirtualLoop()
    alone = msgspec.structs.replace(config, evse=config.evse[1:], modules=None)
    station = SimStation(alone, VirtualClock(loop))
    with pytest.raises(ConfigError, match="fault = 'insulation': the station has no DC connector"):
        apply_fault(station, "insulation", FaultArgs(), True)
    assert apply_fault(station, "emergency_stop", FaultArgs(), True)[1].startswith("connector 2, 3, 4:")
    loop.close()


HOME = {"ventilation_fail": 3}
"""Connector at which a fault can be raised; else connector 2."""


def test_every_ac_fault_can_be_raised_and_cleared_with_and_without_a_car() -> None:
    """Nothing of a fault is left when it has been cleared: afterwards a session works."""

    async def body(station: SimStation, desk: Desk) -> None:
        before = {point.evse_id: _faulty(station, point.evse_id) for point in station.world.ac}
        assert not any(before.values())
        for plugged in (False, True):
            for name in names("ac"):
                if name in SIGNING_AC:  # tests/station/test_signing.py
                    continue
                if (name in CATALOGUE and name not in CATALOGUE_AC) or name == "io_lost":  # tests/sim/test_sysfs_io.py
                    continue
                number = HOME.get(name, 2)
                place = {"fault": name, "connector": number}
                if plugged:
                    await desk.done(cmd="plug_in", connector=number, hlc="ac")
                    desk.charge(number)
                await desk.done(cmd="fault", action="raise", **place)
                assert len(station.active_faults) == 1
                await desk.run(0.5)
                cleared = await desk.done(cmd="fault", action="clear", **place)
                assert cleared["happened"] and not station.active_faults, name
                assert not station.manners[number]
                if plugged:
                    await desk.done(cmd="plug_out", connector=number, force=True)
                desk.levels.clear()
                await desk.run(0.3)
                assert not _faulty(station, number), name
        await desk.run(10)
        desk.charge(2)
        await desk.done(cmd="plug_in", connector=2)
        await desk.run(8)
        assert (await desk.row(2))["power_w"] > 3_000
        for port in station.lines().values():
            assert port.connected and port.faults.quiet

    with_station(body)


def _faulty(station: SimStation, number: int) -> list[str]:
    """Fault fields of a point that are not at rest."""
    point = station.world.ac_by_id[number]
    plant = point.plant
    fields: dict[str, object] = {
        "estop": plant.estop, "door": plant.door_open, "short": plant.pilot_short, "offset": plant.pilot_offset_mv,
        "pp": point.pp_forced, "heat": point.forced_heat_dc, "ptc": plant.ptc_hot, "rcd": plant.rcd.spurious,
        "test": plant.rcd.test_fails, "dead": plant.rcd.dead, "weld": plant.main.welded, "stuck": plant.main.stuck,
        "feedback": plant.main.feedback_lost, "relay": plant.relay2.stuck or plant.relay2.welded,
        "board": plant.board_temperature_dc != 300, "rotary": plant.spec.rotary and plant.rotary is None,
        "lost": station.world.mains.lost, "sag": station.world.mains.sag_permille, "diode": plant.diode_missing,
        "inputs": plant.inputs() != (2 if number == 2 else 0),
    }  # fmt: skip
    if plant.drive is not None:
        drive = plant.drive
        fields |= {"jam": drive.jam_open or drive.jam_closed, "cap": drive.cap_broken, "forced": drive.forced}
    return [name for name, value in fields.items() if value]


def test_faults_show_where_they_should() -> None:
    """What the board, the meter or the reader then says."""

    async def body(station: SimStation, desk: Desk) -> None:
        async def seen(fault: str, number: int = 2, **more: Any) -> BoardStatus:
            await desk.done(cmd="fault raise", fault=fault, connector=number, **more)
            await desk.run(0.5)
            status = desk.status(number)
            await desk.done(cmd="fault clear", fault=fault, connector=number, **more)
            await desk.run(0.5)
            return status

        desk.levels[2] = BoardCommand(lock=True, ac=AcCommand(pilot=PilotMode.PWM, duty_bp=1_000))
        await desk.done(cmd="plug_in", connector=2)
        await desk.run(2)
        assert (await seen("pilot_short")).cp is CpState.E
        assert (await seen("pilot_invalid")).cp is CpState.UNKNOWN
        assert (await seen("emergency_stop")).estop
        for fault, field, value in (
            ("pp_none", "pp", PpState.NONE), ("pp_invalid", "pp", PpState.INVALID), ("pp_changed", "pp", PpState.A13),
            ("rcd_spurious", "rcd", RcdState.TRIPPED), ("rcd_lost", "rcd", RcdState.UNKNOWN),
            ("lock_cap", "lock_charged", False), ("rotary_between", "rotary", None), ("ptc_hot", "ptc_hot", True),
            ("station_over_temperature", "board_temperature_dc", 950), ("emergency_input", "inputs", 0),
        ):  # fmt: skip
            ac = (await seen(fault)).ac
            assert getattr(ac, field) == value, fault
        assert (await seen("lock_unexpected_open")).lock.value == "unlocked"
        assert (await seen("diode")).error_flags == 8
        status = await seen("pp_changed", value=63)
        assert status.ac is not None and status.ac.pp is PpState.A63
        await desk.done(cmd="fault raise", fault="board_lost", connector=2)
        await desk.run(1)
        assert isinstance(desk.boards[2].reading(), NoData)

    with_station(body)


def test_power_cut_unlocks_the_plug_and_boards_come_back_in_state_f() -> None:
    async def body(station: SimStation, desk: Desk) -> None:
        desk.charge(2)
        await desk.done(cmd="plug_in", connector=2)
        await desk.run(6)
        assert (await desk.row(2))["lock"] == "locked"
        await desk.done(cmd="power_cut", duration_ms=2_000)
        await desk.run(1)
        row = await desk.row(2)
        assert (row["lock"], row["contactor"], row["power_w"]) == ("unlocked", "open", 0)
        desk.levels.clear()
        await desk.run(15)
        assert desk.status(2).cp is CpState.F

    with_station(body)
