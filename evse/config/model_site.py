"""The shape of ``[site.grid]`` and ``[[site.fuse]]``: what AC EVSEs share, per phase. See `evse.planner.live_ac`.

Threshold and the pause of the longest charging vehicle: load management of the charx web management; sub-distribution
limit and imbalance prevention: dynamic load management of the juice web interface.
"""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from evse.domain.base import Frozen

Live = {"x-apply": "live"}
LivePhases = {**Live, "x-positions": True}

PhasesA = tuple[int, ...]
"""A per phase [L1, L2, L3]; empty = none."""


class HourSection(Frozen, frozen=True, kw_only=True):
    """From an hour of the day on (local time of ``station.timezone``) until the next entry, every day."""

    hour: Annotated[int, Meta(title="Begins at this full hour", ge=0, le=23, extra_json_schema=Live)]
    limit_a: Annotated[
        PhasesA, Meta(title="All EVSEs together per phase, A [L1, L2, L3]", max_length=3, extra_json_schema=LivePhases)
    ]


class ShedSection(Frozen, frozen=True, kw_only=True):
    """Load shedding: while an input of the controller is active, or cannot be read, there is less current."""

    input: Annotated[str, Meta(title="Name of an [[io.input]]", min_length=1, extra_json_schema=Live)]
    polarity: Annotated[
        Literal["active_high", "active_low"],
        Meta(title="Level that sheds: the input active, or not active (a broken wire sheds)", extra_json_schema=Live),
    ] = "active_high"
    offset_a: Annotated[
        PhasesA,
        Meta(title="Change per phase while it sheds, A [L1, L2, L3], e.g. [-10, -10, -10]", max_length=3, extra_json_schema=LivePhases),
    ] = ()
    limit_a: Annotated[
        int, Meta(title="Fixed limit per phase while it sheds, A; -1 = none", ge=-1, le=4000, extra_json_schema=Live)
    ] = -1


class GridSection(Frozen, frozen=True, kw_only=True):
    """The grid connection. A site meter stands here: other loads are taken off. AC EVSEs offer what the planner gives.

    Without a word of the planner that is nothing.
    """

    fuse_a: Annotated[
        int, Meta(title="Fuse per phase, A; 0 = no limit", ge=0, le=4000, extra_json_schema=Live)
    ] = 0
    imbalance_a: Annotated[
        int,
        Meta(
            title="Largest difference between two phases, A; -1 = no limit (VDE-AR-N 4100: 20); below 6 nearly no vehicle may start",
            ge=-1,
            le=4000,
            extra_json_schema=Live,
        ),
    ] = -1
    failsafe_a: Annotated[
        int,
        Meta(
            title="For all vehicles together per phase while the site meter is lost, A; -1 = nobody gets more than "
            "before, newcomers 6 A",
            ge=-1,
            le=4000,
            extra_json_schema=Live,
        ),
    ] = -1
    own_a: Annotated[
        PhasesA,
        Meta(
            title="Installer's limit: all EVSEs together per phase, A [L1, L2, L3]; empty = none",
            max_length=3,
            extra_json_schema=LivePhases,
        ),
    ] = ()
    operator_a: Annotated[
        PhasesA,
        Meta(
            title="Operator's limit below the installer's, A [L1, L2, L3]; empty = none",
            max_length=3,
            extra_json_schema=LivePhases,
        ),
    ] = ()
    hours: Annotated[
        tuple[HourSection, ...], Meta(title="Limits by the hour, at least two entries", max_length=24, extra_json_schema=Live)
    ] = ()
    shed: ShedSection | None = None
    nominal_v: Annotated[
        int, Meta(title="Voltage of a phase to neutral, V", ge=100, le=300, extra_json_schema=Live)
    ] = 230
    pause_policy: Annotated[
        Literal["longest_first", "max_served"],
        Meta(
            title="When 6 A do not fit for everybody: the vehicle that has charged longest pauses, or as few as possible pause",
            extra_json_schema=Live,
        ),
    ] = "longest_first"
    dwell_s: Annotated[
        int,
        Meta(
            title="A vehicle charges or pauses at least so long before turns change, s; a falling limit does not wait",
            ge=0,
            le=3600,
            extra_json_schema=Live,
        ),
    ] = 300
    threshold_a: Annotated[
        int,
        Meta(
            title="A vehicle that draws so much less than its share gives the rest to the others, A",
            ge=1,
            le=32,
            extra_json_schema=Live,
        ),
    ] = 2


class FuseSection(Frozen, frozen=True, kw_only=True):
    """A fuse below the grid connection, with the EVSEs behind it."""

    name: Annotated[str, Meta(title="Name in explanations", min_length=1, max_length=24, extra_json_schema=Live)]
    fuse_a: Annotated[int, Meta(title="Per phase, A", ge=6, le=4000, extra_json_schema=Live)]
    evses: Annotated[tuple[int, ...], Meta(title="EVSEs behind it", min_length=1, extra_json_schema=Live)]
