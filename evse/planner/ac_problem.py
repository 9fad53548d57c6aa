"""The AC planning problem and its answer, on integers (mA, mV, W).

A *node* is a fuse with one limit per phase and everything below it; a *connector* hangs at a node and draws the same
current on one, two or three grid phases. Which phases follows from its rotation: line k of the vehicle lies on grid
phase ``rotation[k]`` (OCPP letters: R = L1, S = L2, T = L3).
"""

from __future__ import annotations

import enum
import functools

import msgspec

from evse.domain.ac import NOMINAL_MV
from evse.domain.base import Frozen

PPM = 1_000_000
PHASES = 3

UNLIMITED_MA = 100_000_000
"""Stands for "no limit" where a fuse needs a number."""

MAX_NODES = 20_000
MAX_CONNECTORS = 20_000
"""Bounds of a problem document; ten times the largest car park that was planned in tests would still be refused."""

ROTATIONS = ("RST", "RTS", "SRT", "STR", "TRS", "TSR")

Phases = tuple[int, int, int]
"""One value per grid phase L1, L2, L3."""


class PausePolicy(enum.Enum):
    """Who is on when the minimums do not fit together."""

    LONGEST_FIRST = "longest_first"
    MAX_SERVED = "max_served"


class AcNode(Frozen, frozen=True, kw_only=True):
    """A fuse. ``background_ma`` = all load through it that is not ours (negative = feeding in).

    ``limit_w`` and ``imbalance_ma`` None = no such limit; the imbalance is the largest difference between two phases.
    """

    id: str
    parent: str | None
    limit_ma: Phases
    limit_w: int | None = None
    imbalance_ma: int | None = None
    background_ma: Phases = (0, 0, 0)


class AcConnector(Frozen, frozen=True, kw_only=True):
    """A connector that may ask. ``demand_ma`` 0 = asks for nothing; a demand below ``min_ma`` counts as ``min_ma``.

    ``lines`` 1..3; ``weight_ppm`` > 0, one million = weight 1; a larger ``priority`` goes first. ``switch_s`` = pause of a switch
    between one and three phases, 0 = it cannot switch; only a simulated day looks at it.
    """

    id: str
    node: str
    lines: int
    min_ma: int
    max_ma: int
    demand_ma: int
    rotation: str = "RST"
    weight_ppm: int = PPM
    priority: int = 0
    charging_s: int = 0
    switch_s: int = 0


class AcProblem(Frozen, frozen=True, kw_only=True):
    """Everything the planner looks at. ``step_ma`` = grid of setpoints (1000, 100; 1 = as fine as the planner counts).

    A setpoint is 0, the minimum itself, or a multiple of the step between minimum and maximum. ``dwell_s`` = how long a vehicle
    charges or pauses at least before turns change; only a simulated day looks at it.
    """

    nodes: tuple[AcNode, ...]
    connectors: tuple[AcConnector, ...]
    name: str = ""
    voltage_mv: int = NOMINAL_MV
    pause_policy: PausePolicy = PausePolicy.LONGEST_FIRST
    step_ma: int = 1
    dwell_s: int = 300


class AcSolution(Frozen, frozen=True, kw_only=True):
    """The allocation. ``current_ma`` has every connector (0 = paused or idle).

    ``waiting`` = asked, could use its minimum, but had to pause. ``exact`` False = a bound of the search was reached or
    no setpoints on the grid fit: all limits hold, but the choice may not be the best one.
    """

    current_ma: dict[str, int]
    waiting: tuple[str, ...] = ()
    exact: bool = True


class AcCut(msgspec.Struct, frozen=True, kw_only=True):
    """A packing row that follows from the limits: ``sum(coefficient * total of group) <= cap``.

    ``rows`` holds the multipliers (row number of the `Model`, factor > 0) whose sum it is, so that it can be checked.
    """

    coefficients: tuple[tuple[int, int], ...]
    cap_na: int
    rows: tuple[tuple[int, int], ...]


def ceiling_ma(connector: AcConnector) -> int:
    """The most that ``connector`` may get: its maximum, and what it asks for but at least its minimum; 0 = never on."""
    if connector.demand_ma <= 0:
        return 0
    ceiling = min(connector.max_ma, max(connector.demand_ma, connector.min_ma))
    return ceiling if ceiling >= connector.min_ma else 0


def phases_of(connector: AcConnector) -> tuple[int, ...]:
    """Grid phases (0 = L1) on which the connector draws, in rising order."""
    return _phases_of(connector.rotation, connector.lines)


@functools.cache  # six rotations, three numbers of lines
def _phases_of(rotation: str, lines: int) -> tuple[int, ...]:
    return tuple(sorted("RST".index(letter) for letter in rotation[:lines]))
