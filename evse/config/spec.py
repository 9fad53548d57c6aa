"""From the configuration to what the core and the planner need: all unit conversions are here and nowhere else."""

from __future__ import annotations

from evse.config.meter_profiles import load_profile
from evse.config.model import EvseSection, GroupSection, MeterSection, SiteSection, StationConfig
from evse.config.model_ac import AcSection
from evse.config.model_site import GridSection, ShedSection
from evse.config.spec_ac import ac_spec
from evse.config.spec_rules import led_specs, rule_specs
from evse.domain.ac import ReleaseMode
from evse.domain.rules import rules_version
from evse.domain.signing import SigningMode
from evse.domain.station import (
    EvseKind,
    EvseSpec,
    FuseSpec,
    GridSpec,
    GroupSpec,
    HourLimit,
    ShedSpec,
    StationSpec,
    Topology,
)

INSULATION_OHM_PER_V = 100
"""IEC 61851-23: at least 100 ohm per volt of the rated output voltage."""

CABLE_CHECK_V_MAX = 500
METER_AGE_MS_MIN = 5_000
METER_AGE_POLLS = 3
"""A meter is stale after three missed polls, but not before five seconds."""


def signing_mode(meter: MeterSection | None) -> SigningMode:
    """Return whether the readings of a meter are signed: never where its profile does not say how."""
    if meter is None or load_profile(meter.profile).signing is None:
        return SigningMode.OFF
    return SigningMode(meter.signed)


def _evse(section: EvseSection) -> EvseSpec:
    ac = ac_spec(section.ac if section.ac is not None else AcSection()) if section.kind == "ac" else None
    if ac is not None:
        return EvseSpec(
            evse_id=section.id,
            kind=EvseKind.AC,
            voltage_max_mv=ac.nominal_mv,
            voltage_min_mv=ac.nominal_mv,
            current_max_ma=ac.evse_ma,
            power_max_w=ac.evse_ma * ac.nominal_mv * ac.phases // 1_000_000,
            derate_start_dc=section.derate_start_c * 10,
            derate_end_dc=section.derate_end_c * 10,
            has_meter=section.meter is not None,
            signing=signing_mode(section.meter),
            signing_wait_s=section.meter.signed_wait_s if section.meter is not None else 0,
            free_charging=section.free_charging or ac.release is ReleaseMode.FREE,
            free_id_token=section.free_id_token,
            ac=ac,
        )
    return EvseSpec(
        evse_id=section.id,
        kind=EvseKind(section.kind),
        home_group=section.home_group,
        voltage_max_mv=section.voltage_max_v * 1000,
        current_max_ma=section.current_max_a * 1000,
        power_max_w=section.power_max_w,
        derate_start_dc=section.derate_start_c * 10,
        derate_end_dc=section.derate_end_c * 10,
        insulation_min_kohm=-(-section.voltage_max_v * INSULATION_OHM_PER_V // 1000),
        cable_check_mv=min(section.voltage_max_v, CABLE_CHECK_V_MAX) * 1000,
        has_meter=section.meter is not None,
        signing=signing_mode(section.meter),
        signing_wait_s=section.meter.signed_wait_s if section.meter is not None else 0,
        free_charging=section.free_charging,
        free_id_token=section.free_id_token,
    )


def _group(section: GroupSection, homes: dict[int, int]) -> GroupSpec:
    return GroupSpec(
        group_id=section.id,
        home_evse=homes.get(section.id),
        modules=len(section.addresses),
        module_power_w=section.module_power_w,
        module_current_max_ma=section.module_current_a * 1000,
    )


def _ma(amps: int) -> int:
    return -1 if amps < 0 else amps * 1000


def _phases_ma(amps: tuple[int, ...]) -> tuple[int, int, int] | None:
    return (amps[0] * 1000, amps[1] * 1000, amps[2] * 1000) if amps else None


def _shed(section: ShedSection | None) -> ShedSpec | None:
    if section is None:
        return None
    return ShedSpec(
        input=section.input, active_high=section.polarity == "active_high",
        offset_ma=_phases_ma(section.offset_a) or (0, 0, 0), limit_ma=_ma(section.limit_a),
    )


def grid_spec(site: SiteSection) -> GridSpec | None:
    """Return the connection that AC EVSEs share, None when nothing is said about it."""
    if site.grid is None and not site.fuse:
        return None
    grid = site.grid if site.grid is not None else GridSection()
    return GridSpec(
        fuse_ma=grid.fuse_a * 1000,
        imbalance_ma=_ma(grid.imbalance_a),
        failsafe_ma=_ma(grid.failsafe_a),
        nominal_mv=grid.nominal_v * 1000,
        max_served=grid.pause_policy == "max_served",
        threshold_ma=grid.threshold_a * 1000,
        dwell_s=grid.dwell_s,
        own_ma=_phases_ma(grid.own_a),
        operator_ma=_phases_ma(grid.operator_a),
        hours=tuple(
            HourLimit(hour=h.hour, limit_ma=_phases_ma(h.limit_a) or (0, 0, 0)) for h in sorted(grid.hours, key=lambda h: h.hour)
        ),
        shed=_shed(grid.shed),
        fuses=tuple(FuseSpec(name=f.name, fuse_ma=f.fuse_a * 1000, evses=f.evses) for f in site.fuse),
    )


def station_spec(config: StationConfig) -> StationSpec:
    """Return the station that ``config`` describes: integers in the units of the names."""
    homes = {e.home_group: e.id for e in config.evse if e.home_group}
    modules, site = config.modules, config.site
    polls = [m.poll_ms for m in (site.meter, *(e.meter for e in config.evse)) if m is not None]
    rules = rule_specs(config.rule)
    return StationSpec(
        station_id=config.station.id,
        evses=tuple(_evse(e) for e in config.evse),
        groups=tuple(_group(g, homes) for g in modules.groups) if modules is not None else (),
        topology=Topology(modules.topology) if modules is not None else Topology.CHAIN,
        site_limit_w=site.limit_w,
        has_site_meter=site.meter is not None,
        efficiency_permille=site.efficiency_permille,
        min_power_w=site.min_power_w,
        dwell_s=site.dwell_s,
        allow_cross=site.allow_cross,
        max_groups=site.max_groups,
        group_power_w=site.group_power_w,
        connection_timeout_s=config.ocpp.connection_timeout_s,
        rules=rules,
        rules_version=rules_version(rules),
        leds=led_specs(config.led),
        grid=grid_spec(site),
        light_pct=config.ocpp.light_intensity_pct,
        meter_max_age_ms=max([METER_AGE_MS_MIN, *(METER_AGE_POLLS * p for p in polls)]),
    )
