"""The world as it stands, as plain JSON values: for reports, for conditions of scenarios, for people."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from evse.sim.matrix import ContactRow
from evse.sim.world import ConnectorWorld
from evse.sim.world_ac import AcConnectorWorld

if TYPE_CHECKING:
    from evse.sim.station import SimStation


def status(station: SimStation) -> dict[str, Any]:
    """Return the world: connectors in the order of their numbers, the site, faults, back end."""
    world = station.world
    matrix = {row.evse_id: row for row in world.matrix}
    rows = [_dc_row(connector, matrix.get(connector.evse_id)) for connector in world.connectors]
    rows += [_ac_row(point) for point in world.ac]
    return {
        "connectors": sorted(rows, key=lambda row: int(row["connector"])),
        "site_power_w": round(world.site_power_w),
        "site_power_max_w": round(world.site_power_max_w),
        "site_power_l_w": [round(watts) for watts in world.site_l_w()],
        "site_energy_wh": round(world.site_energy_wh, 1),
        "powered": world.powered,
        "faults": list(station.active_faults.values()),
        "violations": list(world.violations),
        "csms": station.csms.ledger() if station.csms is not None else None,
        "time_ms": station.clock.now() // 1_000_000,
    }


def _dc_row(connector: ConnectorWorld, matrix: ContactRow | None) -> dict[str, Any]:
    ev, plant = connector.ev, connector.plant
    return {
        "connector": connector.evse_id,
        "kind": "dc",
        "plugged": ev is not None,
        "car": ev.spec.name if ev else None,
        "stage": ev.stage.value if ev else None,
        "step": plant.step.value if plant.step else None,
        "ended_by": (ev.ended_by or None) if ev else None,
        "cp": plant.cp.value,
        "soc_pct": round(ev.soc_pct, 2) if ev else None,
        "energy_wh": round(connector.energy_wh, 1),
        "voltage_mv": round(connector.voltage_mv),
        "current_ma": round(connector.current_ma),
        "power_w": round(connector.power_w),
        "power_max_w": round(connector.power_max_w),
        "temperature_dc": plant.temperature_dc,
        "contactor": plant.contactor.value,
        "lock": plant.lock.value,
        "tie_closed": plant.tie_closed,
        "contacts": [] if matrix is None else [bank + 1 for bank in range(matrix.all.bit_length()) if matrix.closed >> bank & 1],
        "visits": connector.visits,
    }


def _ac_row(point: AcConnectorWorld) -> dict[str, Any]:
    ev, plant, out = point.ev, point.plant, point.plant.out
    drive = plant.drive
    return {
        "connector": point.evse_id,
        "kind": "ac",
        "plugged": ev is not None,
        "car": ev.spec.name if ev else None,
        "stage": ev.stage if ev else None,
        "step": plant.v2g.phase.value,
        "ended_by": (ev.ended_by or None) if ev else None,
        "cp": plant.cp.value,
        "pilot": out.pilot.value,
        "duty_bp": out.generated_bp,
        "pp": plant.pp.value,
        "phases": point.live,
        "soc_pct": round(ev.soc_pct, 2) if ev else None,
        "energy_wh": round(point.energy_wh, 1),
        "voltage_mv": round(point.voltage_mv),
        "current_ma": round(point.current_ma),
        "current_l_ma": [round(current) for current in point.current_l_ma],
        "power_w": round(point.power_w),
        "power_max_w": round(point.power_max_w),
        "temperature_dc": plant.temperature_dc,
        "contactor": "closed" if plant.main.closed else "open",
        "relay2": "closed" if plant.relay2.closed else "open",
        "lock": "none" if drive is None else "locked" if drive.locked else "unlocked",
        "lock_charged": drive is not None and drive.charged,
        "rcd": plant.rcd.state.value,
        "breaker": "closed" if point.breaker is None or point.breaker.closed else "open",
        "rotary": plant.rotary,
        "inputs": plant.inputs(),
        "outputs": out.outputs,
        "led_rgb": f"{out.led_rgb:06X}",
        "rfid_rgb": f"{out.rfid_rgb:06X}",
        "buzzer": out.buzzer,
        "visits": point.visits,
    }
