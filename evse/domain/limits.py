"""Limits with their source, and what the planner was asked and answered."""

from __future__ import annotations

import enum

import msgspec

from evse.units import Instant


class LimitSource(enum.Enum):
    """Who set a limit (OCPP ChargingLimitSource, extended)."""

    SITE = "site"  # site.limit_w of the configuration or the operator's override
    OCPP_STATIC = "ocpp_static"  # planner override "OCPP limit"
    CSMS = "csms"  # charging profile
    CABLE = "cable"
    HARDWARE = "hardware"
    MODULES = "modules"  # module groups that are present and owned
    THERMAL = "thermal"
    EV = "ev"  # what the vehicle asks for or allows
    PLAN = "plan"  # the planner's allocation
    USER = "user"
    FAILSAFE = "failsafe"  # until the first contact, or while a meter is lost
    GRID = "grid"  # fuse and cable to the station, rotary switch
    EVSE = "evse"  # wiring inside the station
    DYNAMIC = "dynamic"  # a named limit of another program
    FALLBACK = "fallback"  # no fresh dynamic limit for too long
    RULE = "rule"  # an event action
    OVER_CURRENT = "over_current"  # staged derating of a vehicle that takes too much
    OUT_OF_BALANCE = "out_of_balance"  # one-phase vehicle on a three-phase connection


class PowerLimit(msgspec.Struct, frozen=True, kw_only=True):
    """A cap in W (site side for scope 0, DC side for an EVSE) with its source. ``expires_at`` None = until replaced.

    ``current_ma`` = the cap as it was set, when that was a current per phase: AC EVSEs keep to it instead of the W, which
    only hold for three phases.
    """

    source: LimitSource
    evse_id: int  # 0 = site
    power_w: int
    set_at: Instant
    expires_at: Instant | None = None
    detail: str = ""
    current_ma: int | None = None


class LimitEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One row of an explanation: a cap on an EVSE, whether it binds, and where it comes from. ``age_s`` = for how long it
    has had this value."""

    source: LimitSource
    power_w: int
    binds: bool
    age_s: int | None = None
    detail: str = ""
    current_ma: int | None = None  # per phase, of AC EVSEs


class PowerRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What an EVSE asks the planner for. ``request_w`` 0 = nothing."""

    evse_id: int
    request_w: int
    voltage_mv: int
    current_ma: int
    limit_w: int  # connector, cable, thermal and CSMS connector caps together
    charging_since: Instant | None
    barred: tuple[int, ...] = ()  # ids of module groups whose contacts do not let them feed it now


class CurrentRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What an AC EVSE asks the planner for, in mA per phase. ``wanted_ma`` 0 = nothing.

    ``measured_ma`` = the largest phase current, 0 while the contactor is open, None = nobody knows. ``cut`` = it is known to
    be open. ``draw_l_ma`` = the same on the grid phases L1, L2, L3. ``lines_used`` = lines on which the vehicle charges as
    its meter shows, 0 = it does not show that.
    ``rotation`` "" = not known; then ``lines`` is 3, so that it counts on all phases.
    ``weight_pct`` = share against others, ``priority`` = class, a larger one first.
    ``other_lines`` = number of phases to which the planner may switch, 0 = it may not; ``other_ma`` = ``wanted_ma`` there.
    """

    evse_id: int
    wanted_ma: int  # what every limit but the plan and the site allows
    lines: int  # 1..3 lines that the next closing gives
    rotation: str = "RST"
    min_ma: int = 6_000
    offered_ma: int = 0  # on this tick
    measured_ma: int | None = None
    draw_l_ma: tuple[int, int, int] | None = None
    lines_used: int = 0
    cut: bool = False
    charging_since: Instant | None = None
    other_lines: int = 0
    other_ma: int = 0
    session: str = ""
    switching: bool = False
    weight_pct: int = 100
    priority: int = 0


class GroupAssignment(msgspec.Struct, frozen=True, kw_only=True):
    """Owner of one module group in a plan; None = idle."""

    group_id: int
    owner: int | None


class Allocation(msgspec.Struct, frozen=True, kw_only=True):
    """Planner result for one EVSE, in W at the DC side, with the terms of the planner screen."""

    evse_id: int
    requested_w: int
    offered_w: int  # headroom if nobody else asked for more
    allowed_w: int  # after site, CSMS and fairness
    assigned_w: int  # after module groups
    chain: tuple[int, ...]  # group ids in bus order
    offered_chain: tuple[int, ...] = ()
    binding: LimitSource = LimitSource.EV
    detail: str = ""


class CurrentAllocation(msgspec.Struct, frozen=True, kw_only=True):
    """Planner result for one AC EVSE, in mA per phase. ``assigned_ma`` 0 = paused or idle.

    ``target_ma`` = what it gets once everybody else has followed down; ``phases`` = grid phases it is counted on.
    """

    evse_id: int
    requested_ma: int
    target_ma: int
    assigned_ma: int
    phases: tuple[int, ...]
    paused: bool = False  # asked, but the minimum does not fit
    binding: LimitSource = LimitSource.EV
    detail: str = ""


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """One result of the planner. ``version`` grows by one with every new plan. ``currents`` = AC EVSEs that share a limit."""

    version: int
    allocations: tuple[Allocation, ...]
    groups: tuple[GroupAssignment, ...]
    site_limit_w: int  # the smallest site-side cap the plan was made for
    reason: str = ""
    regrouped_at: Instant = 0  # when module groups last moved between vehicles (dwell of the planner)
    currents: tuple[CurrentAllocation, ...] = ()
