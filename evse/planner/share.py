"""What chain, ring and matrix have in common: one cabinet as arrays, and the order in which answers are better."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable

import msgspec

Levels = tuple[int, ...]
"""Power of the served connectors in rising order: the lexicographically larger one is fairer (leximax)."""

NOBODY = -1


class Task(msgspec.Struct, kw_only=True):
    """One cabinet with the connectors that shall be served, as numbers.

    ``power_w[c][g]`` = group power at the voltage of c; ``allowed[c][g]`` = c may own g; ``prior[g]`` = index of the
    connector that owned g before, `NOBODY` when idle or owned by one that is not served now.
    """

    power_w: list[list[int]]
    allowed: list[list[bool]]
    ceiling_w: list[int]
    home: list[int]  # position of the home group, NOBODY = none
    prior: list[int]
    tied: list[bool]  # tied[g] = tie between g and g+1 (the last: to the first) was closed before
    min_w: int
    max_groups: int
    ring: bool = False

    @property
    def size(self) -> int:
        """Number of groups."""
        return len(self.prior)


class Answer(msgspec.Struct, kw_only=True):
    """Owner index of each group and what each connector could take from its groups, at most its ceiling."""

    owner: list[int]
    value_w: list[int]
    exact: bool = True


def inserted(levels: Levels, value: int) -> Levels:
    """Return sorted ``levels`` with ``value`` added."""
    at = bisect_left(levels, value)
    return (*levels[:at], value, *levels[at:])


def water_level(values: Iterable[int], cap: int) -> int | None:
    """Largest whole level with sum(min(value, level)) <= cap, or None when the sum fits as it is. ``cap`` >= 0."""
    rest = sorted(values)
    if sum(rest) <= cap:
        return None
    left, count = cap, len(rest)
    for value in rest:
        if value * count > left:
            return left // count
        left -= value
        count -= 1
    return None
