"""What survives a restart beside sessions: the availability matrix and the operator's planner settings."""

from __future__ import annotations

import json
from collections.abc import Sequence

import msgspec

from evse.config.model import StationConfig
from evse.config.spec import grid_spec
from evse.core.state import AvailabilityCell
from evse.planner.live import PlannerSettingsW
from evse.storage.db import Store

NAMESPACE = "runtime"
OVERRIDABLE = frozenset({"site_limit_w", "ocpp_limit_w", "group_power_w", "max_groups", "allow_cross", "operator_ma"})
"""What an operator may change on the planner screen, over the configuration file."""


async def load_availability(store: Store) -> tuple[AvailabilityCell, ...]:
    """Return the matrix as it was kept: the station, then the EVSEs in their order; empty = all operative."""
    text = await store.get(NAMESPACE, "availability")
    return () if text is None else msgspec.json.decode(text, type=tuple[AvailabilityCell, ...])


async def save_availability(store: Store, cells: Sequence[AvailabilityCell]) -> None:
    """Keep the matrix as it stands."""
    await store.put(NAMESPACE, "availability", msgspec.json.encode(cells).decode())


async def load_planner_settings(store: Store | None, config: StationConfig) -> PlannerSettingsW:
    """Return the settings of the configuration file, with the operator's override when ``store`` holds one."""
    site, grid = config.site, grid_spec(config.site)
    base = PlannerSettingsW(
        site_limit_w=site.limit_w,
        ocpp_limit_w=site.ocpp_limit_w,
        group_power_w=site.group_power_w,
        max_groups=site.max_groups,
        allow_cross=site.allow_cross,
        min_power_w=site.min_power_w,
        dwell_s=site.dwell_s,
        efficiency_permille=site.efficiency_permille,
        operator_ma=None if grid is None else grid.operator_ma,
    )
    if store is None:
        return base
    text = await store.get(NAMESPACE, "planner")
    return (
        base
        if text is None
        else msgspec.convert({**msgspec.structs.asdict(base), **json.loads(text)}, PlannerSettingsW)
    )


def with_override(file: PlannerSettingsW, old_file: PlannerSettingsW, settings: PlannerSettingsW) -> PlannerSettingsW:
    """Return the settings of a changed ``file`` with what the operator had changed over ``old_file``."""
    before, now = msgspec.structs.asdict(old_file), msgspec.structs.asdict(settings)
    return msgspec.structs.replace(file, **{key: now[key] for key in OVERRIDABLE if now[key] != before[key]})


async def save_planner_settings(store: Store, settings: PlannerSettingsW, file_settings: PlannerSettingsW) -> None:
    """Keep what differs from the file; nothing when they are equal."""
    base = msgspec.structs.asdict(file_settings)
    changed = {
        key: value
        for key, value in msgspec.structs.asdict(settings).items()
        if key in OVERRIDABLE and value != base[key]
    }
    await store.put(NAMESPACE, "planner", json.dumps(changed) if changed else None)
