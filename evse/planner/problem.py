"""The DC planning problem and its answer, on integers (W, mV, mA).

Names follow the site: a *cabinet* holds *groups* of power modules on one bus (chain or ring) or behind a contact
matrix; a *connector* asks for power and *owns* groups while it delivers. Limits of the site and of a cabinet hold at
the AC side, everything else at the DC side; ``efficiency_ppm`` leads from one to the other.
"""

from __future__ import annotations

import msgspec

from evse.domain.base import Frozen
from evse.domain.station import Topology

PPM = 1_000_000

MAX_CONNECTORS = 20_000
MAX_CABINETS = 20_000
MAX_GROUPS = 256
"""Bounds of a problem document; groups are those of one cabinet."""


class DcGroup(Frozen, frozen=True, kw_only=True):
    """A group of equal modules. ``home`` = connector whose output it sits on, None = a shared group."""

    id: str
    home: str | None
    modules: int
    module_w: int
    module_ma: int
    derate_ppm: int = PPM  # 0..1_000_000, share of its power that the group can give now


class DcCabinet(Frozen, frozen=True, kw_only=True):
    """Groups in bus order. ``prior`` = who owned each group before; missing = nobody. ``limit_w`` AC side, None =
    none."""

    id: str
    topology: Topology
    groups: tuple[DcGroup, ...]
    limit_w: int | None = None
    prior: dict[str, str | None] = msgspec.field(default_factory=dict)


class DcConnector(Frozen, frozen=True, kw_only=True):
    """A connector that may ask. ``request_w`` 0 = asks for nothing; ``limit_w`` None = no cap of its own; ``barred`` = groups
    that cannot feed it now."""

    id: str
    cabinet: str
    request_w: int
    voltage_mv: int
    current_ma: int
    limit_w: int | None = None
    charging_s: int = 0
    barred: frozenset[str] = frozenset()


class DcProblem(Frozen, frozen=True, kw_only=True):
    """Everything the planner looks at.

    ``site_limit_w`` and ``csms_limit_w`` AC side, None = none (0 is a real zero). ``min_w`` = a connector gets
    nothing or at least this.
    ``group_power_w`` = cap per owner, 0 = none. ``max_groups`` = groups per owner with its own, 0 = no cap. ``dwell_s`` = how long
    a vehicle charges or waits at least before turns change; only a simulated day looks at it.
    """

    cabinets: tuple[DcCabinet, ...]
    connectors: tuple[DcConnector, ...]
    name: str = ""
    site_limit_w: int | None = None
    csms_limit_w: int | None = None
    efficiency_ppm: int = PPM
    min_w: int = 0
    group_power_w: int = 0
    max_groups: int = 0
    allow_cross: bool = True
    dwell_s: int = 300


class DcSolution(Frozen, frozen=True, kw_only=True):
    """The allocation, with what a sentence about it needs.

    ``power_w`` has every connector (0 = paused or idle), ``owner`` every group (None = idle). ``waiting`` = asked for
    at least
    the minimum but could not be served. ``site_level_w`` / ``cabinet_level_w`` = common level at which a cap
    truncates, absent
    when it does not bind. ``exact`` False = a matrix beyond the exact search: greedy with exchanges.
    """

    power_w: dict[str, int]
    owner: dict[str, str | None]
    waiting: tuple[str, ...] = ()
    site_level_w: int | None = None
    cabinet_level_w: dict[str, int] = msgspec.field(default_factory=dict)
    relay_operations: int = 0
    exact: bool = True


def group_power_w(group: DcGroup, voltage_mv: int) -> int:
    """Power in W of ``group`` at ``voltage_mv``: modules * derate * min(rated power, voltage * rated current),
    rounded down."""
    module_mw = min(group.module_w * 1000, voltage_mv * group.module_ma // 1000)
    return group.modules * group.derate_ppm * module_mw // (1000 * PPM)


def ceiling_w(problem: DcProblem, connector: DcConnector) -> int:
    """The most that ``connector`` may get whatever the groups: request, V*A, its own limit and the cap per owner."""
    ceiling = min(connector.request_w, connector.voltage_mv * connector.current_ma // 1_000_000)
    if connector.limit_w is not None and connector.limit_w < ceiling:
        ceiling = connector.limit_w
    if problem.group_power_w and problem.group_power_w < ceiling:
        ceiling = problem.group_power_w
    return max(0, ceiling)


def site_cap_w(problem: DcProblem) -> int | None:
    """Cap of all connectors together at the DC side; None = no cap."""
    caps = [cap for cap in (problem.site_limit_w, problem.csms_limit_w) if cap is not None]
    return min(caps) * problem.efficiency_ppm // PPM if caps else None


def cabinet_cap_w(problem: DcProblem, cabinet: DcCabinet) -> int | None:
    """Cap of one cabinet at the DC side; None = no cap."""
    return None if cabinet.limit_w is None else cabinet.limit_w * problem.efficiency_ppm // PPM


EASY_PERMILLE = (400, 700)
"""Load at which power modules lose least."""


def strain(power_w: int, supply_w: int) -> int:
    """How far module groups that could give ``supply_w`` are from their best load while they give ``power_w``, permille of it."""
    if supply_w <= 0:
        return 0
    load, (low, high) = power_w * 1000 // supply_w, EASY_PERMILLE
    return max(0, low - load, load - high)


def ties(topology: Topology, size: int) -> tuple[tuple[int, int], ...]:
    """Pairs of bus positions with a tie relay between them: neighbours, and last to first on a ring of three or
    more."""
    if topology is Topology.MATRIX:
        return ()
    pairs = [(i, i + 1) for i in range(size - 1)]
    if topology is Topology.RING and size > 2:
        pairs.append((size - 1, 0))
    return tuple(pairs)


def relay_operations(cabinet: DcCabinet, owner: dict[str, str | None]) -> int:
    """Relays that change between ``cabinet.prior`` and ``owner``: ties on a bus, (group, connector) contacts in a
    matrix."""
    before = [cabinet.prior.get(group.id) for group in cabinet.groups]
    after = [owner.get(group.id) for group in cabinet.groups]
    if cabinet.topology is Topology.MATRIX:
        return sum((b is not None) + (a is not None) for b, a in zip(before, after, strict=True) if a != b)
    return sum(
        (before[i] is not None and before[i] == before[j]) != (after[i] is not None and after[i] == after[j])
        for i, j in ties(cabinet.topology, len(before))
    )
