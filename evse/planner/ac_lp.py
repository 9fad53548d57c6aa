"""Is there a point inside the limits between two bounds? If not, the packing row that proves it.

Difference rows (imbalance) are no packing rows: raising L2 can permit more on L1. But what a planner can reach when it
may throw current away is again a set of packing rows, and each of those is a non-negative sum of given rows in which
the negative coefficients are replaced by the largest total of their group. This module finds such a sum for a point
that cannot be reached: the feasibility half of the simplex method (a bounded dictionary, smallest index first, rows
added when broken), exact on integers and fractions.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from math import lcm

from evse.planner.ac_problem import AcCut
from evse.planner.tree import Entry

Number = int | Fraction

PIVOTS_MAX = 5_000
"""Pivots per question; the tests need fewer than a hundred."""


class TooHard(Exception):
    """More pivots than `PIVOTS_MAX`."""


def _ratio(a: Number, b: Number) -> Number:
    if isinstance(a, int) and isinstance(b, int):
        quotient, rest = divmod(a, b)
        return Fraction(a, b) if rest else quotient
    return Fraction(a) / b


class _Simplex:
    """Variables 0..groups-1 are group totals, groups + r is the slack of row r (0 or more)."""

    def __init__(self, row_groups: list[list[Entry]], caps: list[int], low: list[int], high: list[int]) -> None:
        self.row_groups, self.caps, self.low, self.high = row_groups, caps, low, high
        self.size = len(low)
        self.value: dict[int, Number] = dict(enumerate(low))
        self.basic: dict[int, dict[int, Number]] = {}
        self.slack_columns: set[int] = set()
        self.known: set[int] = set()
        self.pivots = 0

    def broken(self) -> list[int]:
        """Rows beyond their cap at the present point."""
        value = self.value
        return [
            r
            for r, cap in enumerate(self.caps)
            if r not in self.known and sum(c * value[g] for g, c in self.row_groups[r]) > cap
        ]

    def add(self, row: int) -> None:
        """Take a row into the dictionary."""
        self.known.add(row)
        terms: dict[int, Number] = {}
        rest: Number = self.caps[row]
        for group, coefficient in self.row_groups[row]:
            if self.low[group] == self.high[group]:
                rest -= coefficient * self.low[group]
                continue
            rest -= coefficient * self.value[group]
            inner = self.basic.get(group)
            if inner is None:
                terms[group] = terms.get(group, 0) - coefficient
            else:
                for j, a in inner.items():
                    terms[j] = terms.get(j, 0) - coefficient * a
        self.basic[self.size + row] = {j: a for j, a in terms.items() if a}
        self.value[self.size + row] = rest

    def _bounds(self, variable: int) -> tuple[Number, Number | None]:
        return (self.low[variable], self.high[variable]) if variable < self.size else (0, None)

    def _entering(self, row: dict[int, Number], rise: bool) -> int:
        """Smallest column that can move the basic variable in the wanted direction, -1 = none."""
        best = -1
        for j, a in row.items():
            low, high = self._bounds(j)
            up = (a > 0) == rise
            free = (high is None or self.value[j] < high) if up else self.value[j] > low
            if free and (best < 0 or j < best):
                best = j
        return best

    def _pivot(self, leaving: int, entering: int, bound: Number) -> None:
        row = self.basic.pop(leaving)
        a = row.pop(entering)
        step = _ratio(bound - self.value[leaving], a)
        self.value[leaving] = bound
        self.value[entering] += step
        solved: dict[int, Number] = {j: _ratio(-b, a) for j, b in row.items()}
        solved[leaving] = _ratio(1, a)
        for variable, other in self.basic.items():
            c = other.pop(entering, 0)
            if not c:
                continue
            self.value[variable] += c * step
            for j, b in solved.items():
                new = other.get(j, 0) + c * b
                if new:
                    other[j] = new
                else:
                    other.pop(j, None)
        self.basic[entering] = solved

    def settle(self) -> dict[int, Number] | None:
        """Reach the bounds of all known rows: None, or the multipliers (row: factor) that prove it impossible."""
        while True:
            wrong, bound, rise = -1, None, False
            for variable in self.basic:
                if wrong >= 0 and variable > wrong:
                    continue
                low, high = self._bounds(variable)
                value = self.value[variable]
                if value < low:
                    wrong, bound, rise = variable, low, True
                elif high is not None and value > high:
                    wrong, bound, rise = variable, high, False
            if bound is None:
                return None
            row = self.basic[wrong]
            entering = self._entering(row, rise)
            if entering < 0:
                proof: dict[int, Number] = {j - self.size: -a if a < 0 else a for j, a in row.items() if j >= self.size}
                if wrong >= self.size:
                    proof[wrong - self.size] = 1
                return proof
            self.pivots += 1
            if self.pivots > PIVOTS_MAX:
                raise TooHard
            self._pivot(wrong, entering, bound)


def reach(
    row_groups: list[list[Entry]], caps: list[int], low: list[int], high: list[int]
) -> tuple[list[Number], None] | tuple[None, dict[int, Number]]:
    """A point (group totals) between ``low`` and ``high`` inside every row, or the multipliers that prove there is
    none.

    Raises `TooHard` after `PIVOTS_MAX` pivots.
    """
    simplex = _Simplex(row_groups, caps, low, high)
    while True:
        broken = simplex.broken()
        if not broken:
            return [simplex.value[g] for g in range(len(low))], None
        for row in broken:
            simplex.add(row)
        proof = simplex.settle()
        if proof is not None:
            return None, proof


def cut_from(
    proof: dict[int, Number], row_groups: list[list[Entry]], caps: Sequence[int], high: Sequence[int]
) -> AcCut:
    """The packing row that ``proof`` stands for; valid for any non-negative multipliers."""
    scale = lcm(*(Fraction(f).denominator for f in proof.values()))
    factors = tuple(sorted((row, int(f * scale)) for row, f in proof.items() if f > 0))
    total: dict[int, int] = {}
    cap = 0
    for row, factor in factors:
        cap += factor * caps[row]
        for group, coefficient in row_groups[row]:
            total[group] = total.get(group, 0) + factor * coefficient
    for group, coefficient in total.items():
        if coefficient < 0:
            cap -= coefficient * high[group]
    packed = tuple(sorted((g, c) for g, c in total.items() if c > 0))
    return AcCut(coefficients=packed, cap_na=cap, rows=factors)
