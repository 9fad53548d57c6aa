"""A station.toml as a site to simulate: its fuses and AC points, its cabinet of DC modules, or both."""

from __future__ import annotations

from evse.config.model import StationConfig
from evse.config.spec import station_spec
from evse.domain.ac import OFFER_MIN_MA, AcSpec
from evse.domain.base import Frozen
from evse.domain.station import EvseKind, StationSpec
from evse.planner.ac_problem import PHASES, PPM, ROTATIONS, UNLIMITED_MA, AcConnector, AcNode, AcProblem, PausePolicy
from evse.planner.live import ASSUMED_MV
from evse.planner.live_ac import STEP_MA
from evse.planner.problem import DcCabinet, DcConnector, DcGroup, DcProblem
from evse.planner.turns import DWELL_S


class MixedSite(Frozen, frozen=True, kw_only=True):
    """AC points and DC connectors behind the same limits. ``nodes`` = the fuse of ``ac`` at which each DC connector hangs."""

    ac: AcProblem
    dc: DcProblem
    nodes: dict[str, str]


Site = AcProblem | DcProblem | MixedSite


def site_from_config(config: StationConfig) -> Site:
    """Return the site that ``config`` describes."""
    spec = station_spec(config)
    kinds = {evse.kind for evse in spec.evses}
    if len(kinds) == 1:
        return _ac(spec) if EvseKind.AC in kinds else _dc(spec)
    at = {str(evse): f"fuse {fuse.name}" for fuse in (spec.grid.fuses if spec.grid is not None else ()) for evse in fuse.evses}
    dc = _dc(spec)
    return MixedSite(ac=_ac(spec), dc=dc, nodes={c.id: at.get(c.id, "grid") for c in dc.connectors})


def _ac(spec: StationSpec) -> AcProblem:
    grid = spec.grid
    fuse = grid.fuse_ma if grid is not None and grid.fuse_ma else UNLIMITED_MA
    nodes = [
        AcNode(
            id="grid", parent=None, limit_ma=(fuse, fuse, fuse), limit_w=spec.site_limit_w or None,
            imbalance_ma=None if grid is None or grid.imbalance_ma < 0 else grid.imbalance_ma,
        )
    ]
    at: dict[int, str] = {}
    for lower in grid.fuses if grid is not None else ():
        most = lower.fuse_ma
        nodes.append(AcNode(id=f"fuse {lower.name}", parent="grid", limit_ma=(most, most, most)))
        at |= dict.fromkeys(lower.evses, f"fuse {lower.name}")
    connectors = []
    for evse in spec.evses:
        if evse.ac is None:
            continue
        rotation = evse.ac.phase_rotation
        most = evse.ac.evse_ma if evse.ac.socket else min(evse.ac.evse_ma, evse.ac.cable_ma)
        connectors.append(
            AcConnector(
                id=str(evse.evse_id), node=at.get(evse.evse_id, "grid"), lines=evse.ac.phases,
                rotation=rotation if rotation in ROTATIONS else ROTATIONS[0], min_ma=OFFER_MIN_MA, max_ma=most, demand_ma=0,
                switch_s=_switch_s(evse.ac), weight_ppm=evse.ac.weight_pct * PPM // 100, priority=evse.ac.priority,
            )
        )
    served = grid is not None and grid.max_served
    return AcProblem(
        nodes=tuple(nodes), connectors=tuple(connectors), name=spec.station_id, step_ma=STEP_MA,
        voltage_mv=spec.nominal_mv,
        dwell_s=DWELL_S if grid is None else grid.dwell_s,
        pause_policy=PausePolicy.MAX_SERVED if served else PausePolicy.LONGEST_FIRST,
    )


def _switch_s(ac: AcSpec) -> int:
    """Pause of a switch between one and three phases by the planner, s; 0 = it does not switch. As in the station."""
    switch = ac.phase_switch
    return switch.delay_s if switch.enabled and switch.auto and not ac.ventilation.enabled and ac.phases == PHASES else 0


def _dc(spec: StationSpec) -> DcProblem:
    groups = tuple(
        DcGroup(
            id=str(g.group_id), home=None if g.home_evse is None else str(g.home_evse), modules=g.modules,
            module_w=g.module_power_w, module_ma=g.module_current_max_ma,
        )
        for g in spec.groups
    )
    connectors = tuple(
        DcConnector(
            id=str(e.evse_id), cabinet="cabinet", request_w=0, voltage_mv=ASSUMED_MV, current_ma=e.current_max_ma,
            limit_w=e.power_max_w,
        )
        for e in spec.evses
        if e.kind is EvseKind.DC
    )
    return DcProblem(
        cabinets=(DcCabinet(id="cabinet", topology=spec.topology, groups=groups),), connectors=connectors,
        name=spec.station_id, site_limit_w=spec.site_limit_w or None, efficiency_ppm=spec.efficiency_permille * 1000,
        min_w=spec.min_power_w, group_power_w=spec.group_power_w, max_groups=spec.max_groups, allow_cross=spec.allow_cross,
        dwell_s=spec.dwell_s,
    )
