"""What the CSMS asks of power reaches the vehicles: on the whole station, laws checked on every tick."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from evse.lab.station import Lab
from evse.ocpp.messages import timestamp
from evse.units import NS_PER_S, TICK_NS
from tests._support.lab_world import run_lab


def profile(number: int, purpose: str, periods: list[tuple[int, float]], **more: Any) -> dict[str, Any]:
    """A csChargingProfiles object in W."""
    schedule = {
        "chargingRateUnit": "W",
        "chargingSchedulePeriod": [{"startPeriod": start, "limit": limit} for start, limit in periods],
    }
    kind = "Relative"
    if "startSchedule" in more:
        schedule["startSchedule"] = more.pop("startSchedule")
        kind = "Absolute"
    return {
        "chargingProfileId": number,
        "stackLevel": 0,
        "chargingProfilePurpose": purpose,
        "chargingProfileKind": kind,
        "chargingSchedule": schedule,
        **more,
    }


async def charge(lab: Lab, evse_id: int, token: str) -> None:
    await lab.do(cmd="plug_in", connector=evse_id, soc_pct=20)
    await lab.do(cmd="swipe", token=token, reader=f"reader{evse_id}")
    await lab.until(lambda: (lab.evse(evse_id).power_w or 0) > 10_000, f"EVSE {evse_id} charges", 90)


async def ask(lab: Lab, action: str, payload: dict[str, Any]) -> dict[str, Any]:
    assert lab.sim.csms is not None
    return await lab.sim.csms.call(action, payload)


def offered_w(lab: Lab, evse_id: int = 0) -> int:
    """What the gate lets be offered, of one EVSE or of all."""
    outputs = lab.station.loop.outputs
    assert outputs is not None
    return sum(e.board.offered_w for e in outputs.evses if e.board.contactor_lease and evse_id in (0, e.evse_id))


def test_a_falling_period_of_the_station_acts_in_its_tick(tmp_path: Path) -> None:
    async def scenario(lab: Lab) -> None:
        await charge(lab, 1, "04A1B2C3")
        efficiency = lab.station.spec.efficiency_permille
        begin = lab.clock.wall() + 10 * NS_PER_S
        falling = profile(1, "ChargePointMaxProfile", [(0, 60_000), (7, 20_000)], startSchedule=timestamp(begin))
        answer = await ask(lab, "SetChargingProfile", {"connectorId": 0, "csChargingProfiles": falling})
        assert answer == {"status": "Accepted"}
        exact = begin // 1_000_000 * 1_000_000 + 7 * NS_PER_S
        while lab.clock.wall() < exact - 2 * TICK_NS:
            await lab.forward(0.01)
        assert offered_w(lab) * 1000 > 20_000 * efficiency
        assert offered_w(lab) * 1000 <= 60_000 * efficiency
        while lab.clock.wall() < exact + 2 * TICK_NS:
            await lab.forward(0.01)
        assert 0 < offered_w(lab) * 1000 <= 20_000 * efficiency
        await lab.forward(10)
        assert (lab.evse(1).power_w or 0) * 1000 <= 20_500 * efficiency
        binding = lab.evse(1).limits[0]
        assert "csms" in {row.source.value for row in lab.evse(1).limits}
        assert binding.power_w * 1000 <= 20_000 * efficiency
        answer = await ask(lab, "ClearChargingProfile", {"id": 1})
        assert answer == {"status": "Accepted"}
        await lab.until(lambda: offered_w(lab) > 25_000, "full power again", 10)

    run_lab(tmp_path, scenario)


def test_profiles_of_a_connector_bind_it_alone_and_zero_pauses(tmp_path: Path) -> None:
    async def scenario(lab: Lab) -> None:
        quiet = profile(1, "TxDefaultProfile", [(0, 15_000)])
        assert await ask(lab, "SetChargingProfile", {"connectorId": 1, "csChargingProfiles": quiet}) == {
            "status": "Accepted"
        }
        await charge(lab, 1, "04A1B2C3")
        await charge(lab, 2, "04D4E5F6")
        await lab.forward(10)
        assert 0 < offered_w(lab, 1) <= 15_000
        assert offered_w(lab, 2) > 15_000
        stop = profile(2, "TxProfile", [(0, 0)])
        assert await ask(lab, "SetChargingProfile", {"connectorId": 2, "csChargingProfiles": stop}) == {
            "status": "Accepted"
        }
        await lab.forward(0.1)
        assert offered_w(lab, 2) == 0
        await lab.until(lambda: lab.evse(2).charging_state.value == "SuspendedEVSE", "paused", 30)
        assert await ask(lab, "ClearChargingProfile", {"chargingProfilePurpose": "TxProfile"}) == {"status": "Accepted"}
        await lab.until(lambda: (lab.evse(2).power_w or 0) > 15_000, "goes on", 60)

    run_lab(tmp_path, scenario)


def test_limits_are_in_force_on_the_first_tick_after_a_restart(tmp_path: Path) -> None:
    database = tmp_path / "station.sqlite3"

    async def install(lab: Lab) -> None:
        cap = profile(1, "ChargePointMaxProfile", [(0, 12_000)])
        assert await ask(lab, "SetChargingProfile", {"connectorId": 0, "csChargingProfiles": cap}) == {
            "status": "Accepted"
        }

    async def look(lab: Lab) -> None:
        assert lab.view().site_limit_w == 12_000

    run_lab(tmp_path, install, database=database)
    run_lab(tmp_path, look, database=database)


def test_a_reservation_holds_over_a_restart_and_is_named_in_the_start(tmp_path: Path) -> None:
    database = tmp_path / "station.sqlite3"

    async def make(lab: Lab) -> None:
        until = timestamp(lab.clock.wall() + 900 * NS_PER_S)
        request = {"connectorId": 2, "expiryDate": until, "idTag": "04D4E5F6", "reservationId": 77}
        assert await ask(lab, "ReserveNow", request) == {"status": "Accepted"}
        await lab.forward(1)
        assert lab.evse(2).reserved

    async def use(lab: Lab) -> None:
        await lab.until(lambda: lab.evse(2).reserved, "reserved again", 10)
        await lab.do(cmd="plug_in", connector=2, soc_pct=20)
        await lab.do(cmd="swipe", token="04A1B2C3", reader="reader2")
        await lab.forward(5)
        assert lab.evse(2).auth_state == "none"
        await lab.do(cmd="swipe", token="04D4E5F6", reader="reader2")
        await lab.until(lambda: (lab.evse(2).power_w or 0) > 10_000, "charges", 90)
        assert not lab.evse(2).reserved
        assert lab.sim.csms is not None
        assert [start.get("reservationId") for start in lab.sim.csms.calls("StartTransaction")] == [77]
        await lab.forward(3)
        assert await lab.store.get_all("ocpp.reservations") == {}

    run_lab(tmp_path, make, database=database)
    run_lab(tmp_path, use, database=database)
