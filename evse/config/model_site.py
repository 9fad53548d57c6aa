"""The shape of ``[site.grid]`` and ``[[site.fuse]]``: what AC EVSEs share, per phase. See `evse.planner.live_ac`.

Threshold and the pause of the longest charging vehicle: load management of the charx web management; sub-distribution
limit and imbalance prevention: dynamic load management of the juice web interface.
"""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from evse.domain.base import Frozen

Live = {"x-apply": "live"}


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
            title="Largest difference between two phases, A; -1 = no limit (VDE-AR-N 4100: 20)",
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
