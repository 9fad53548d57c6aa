"""What the whole station does when a device dies: named in time, nobody else suffers, back without a restart."""

from __future__ import annotations

from pathlib import Path

from evse.domain.readings import NoData, Sample
from evse.lab.station import Lab
from evse.units import NS_PER_S
from tests._support.lab_world import run_lab


async def _charge(lab: Lab, connector: int) -> None:
    await lab.do(cmd="plug_in", connector=connector, soc_pct=20)
    await lab.do(cmd="swipe", token=f"04A1B2C{connector}", reader=f"reader{connector}")
    await lab.until(lambda: (lab.evse(connector).power_w or 0) > 5_000, f"connector {connector} charges", 60)


def test_a_dead_meter_is_named_within_5_s_and_its_neighbour_keeps_its_pace(tmp_path: Path) -> None:
    async def scenario(lab: Lab) -> None:
        await _charge(lab, 1)
        await _charge(lab, 2)
        await lab.do(cmd="fault", action="raise", fault="meter_lost", connector=1)
        died = lab.clock.now()
        await lab.until(lambda: any(f.code.value == "F9" for f in lab.evse(1).faults), "F9", 10)
        assert (lab.clock.now() - died) / NS_PER_S <= 5.0
        reading = lab.station.loop.meter(1)
        assert isinstance(reading, NoData)
        assert "dc-meters#11" in reading.detail and "register" in reading.detail
        for _ in range(20):
            await lab.forward(0.5)
            neighbour = lab.station.loop.meter(2)
            assert isinstance(neighbour, Sample)
            assert lab.clock.now() - neighbour.at < 2 * NS_PER_S
        assert lab.evse(2).phase.value == "charging"
        await lab.do(cmd="fault", action="clear", fault="all")
        await lab.until(lambda: isinstance(lab.station.loop.meter(1), Sample), "the meter is back", 20)

    run_lab(tmp_path, scenario)


def test_a_pulled_adapter_recovers_without_restart(tmp_path: Path) -> None:
    async def scenario(lab: Lab) -> None:
        lab.sim.board_ports[2].unplug()
        await lab.until(lambda: any(f.code.value == "F2" for f in lab.evse(2).faults), "F2", 10)
        link = next(h for h in lab.station.devices.health() if h.name == "board 2")
        assert not link.online
        lab.sim.board_ports[2].replug()
        await lab.until(lambda: not lab.evse(2).faults, "board 2 is back", 30)
        await _charge(lab, 2)

    run_lab(tmp_path, scenario)


def test_emergency_stop_takes_the_energy_in_the_tick_that_knows(tmp_path: Path) -> None:
    async def scenario(lab: Lab) -> None:
        await _charge(lab, 1)
        await lab.do(cmd="fault", action="raise", fault="emergency_stop", connector=1)
        loop = lab.station.loop
        await lab.until(
            lambda: loop.inputs is not None and any(isinstance(e.board, Sample) and e.board.value.estop for e in loop.inputs.evses),
            "the snapshot shows the button", 2,
        )  # fmt: skip
        assert loop.outputs is not None
        assert not any(e.board.contactor_lease for e in loop.outputs.evses)
        assert not any(g.on for g in loop.outputs.groups)

    run_lab(tmp_path, scenario)
