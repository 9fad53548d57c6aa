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

GREEDY_PIVOTS = 60
"""Pivots with the farthest variable first, before the smallest index first, which cannot run in circles."""


class TooHard(Exception):
    """More pivots than `PIVOTS_MAX`."""


def _ratio(a: Number, b: Number) -> Number:
    if isinstance(a, int) and isinstance(b, int):
        quotient, rest = divmod(a, b)
        return Fraction(a, b) if rest else quotient
    return Fraction(a) / b


class Reach:
    """The question for one set of rows and maxima, asked again and again for other minimums; it starts from where the
    last one ended.

    Variables 0..groups-1 are group totals, groups + r is the slack of row r (0 or more).
    """

    def __init__(self, row_groups: list[list[Entry]], caps: list[int], high: list[int]) -> None:
        self.row_groups, self.caps, self.high = row_groups, caps, high
        self.size = len(high)
        self.low = [0] * self.size
        self.value: dict[int, Number] = dict.fromkeys(range(self.size), 0)
        self.basic: dict[int, dict[int, Number]] = {}
        self.known: set[int] = set()
        self.pivots = 0

    def ask(self, low: list[int]) -> dict[int, Number] | None:
        """None when some point between ``low`` and the maxima is inside every row, else the multipliers (row: factor)
        that prove that there is none.

        Raises `TooHard` after `PIVOTS_MAX` pivots.
        """
        self._move_to(low)
        self.pivots = 0
        while True:
            broken = self.broken()
            if not broken and self.settled():
                return None
            for row in broken:
                self.add(row)
            proof = self.settle()
            if proof is not None:
                return proof

    def settled(self) -> bool:
        """True when every variable of the dictionary is inside its bounds."""
        return self._worst(False) is None

    def _move_to(self, low: list[int]) -> None:
        """Put everything that rests on its minimum, or would be below it, on the new one."""
        value, change = self.value, dict[int, Number]()
        for g in range(self.size):
            if g not in self.basic and (value[g] == self.low[g] or value[g] < low[g]) and value[g] != low[g]:
                change[g] = low[g] - value[g]
                value[g] = low[g]
        self.low = low
        for variable, row in self.basic.items():
            value[variable] += sum(a * change[j] for j, a in row.items() if j in change)

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
            if not self.high[group]:
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

    def _entering(self, row: dict[int, Number], rise: bool, by_index: bool) -> int:
        """Column that can move the basic variable in the wanted direction, -1 = none: the smallest, or one with
        coefficient 1 first, which keeps the dictionary in whole numbers."""
        best, best_unit = -1, False
        for j, a in row.items():
            low, high = self._bounds(j)
            free = (high is None or self.value[j] < high) if (a > 0) == rise else self.value[j] > low
            if not free:
                continue
            unit = by_index or a in (1, -1)
            if best < 0 or (unit, -j) > (best_unit, -best):
                best, best_unit = j, unit
        return best

    def _pivot(self, leaving: int, entering: int, bound: Number) -> None:
        row = self.basic.pop(leaving)
        a = row.pop(entering)
        step = _ratio(bound - self.value[leaving], a)
        self.value[leaving] = bound
        self.value[entering] += step
        solved: dict[int, Number]
        if a == 1:
            solved = {j: -b for j, b in row.items()}
        elif a == -1:
            solved = row
        else:
            solved = {j: _ratio(-b, a) for j, b in row.items()}
        solved[leaving] = _ratio(1, a)
        for variable, other in self.basic.items():
            c = other.pop(entering, 0)
            if not c:
                continue
            self.value[variable] += c * step
            get = other.get
            for j, b in solved.items():
                new = get(j, 0) + c * b
                if new:
                    other[j] = new
                else:
                    del other[j]
        self.basic[entering] = solved

    def _worst(self, by_index: bool) -> tuple[int, Number, bool] | None:
        """The basic variable to repair, the bound it breaks and whether it must rise: the first one, or the one that
        is farthest out."""
        found: tuple[int, Number, bool] | None = None
        most: Number = 0
        for variable in self.basic:
            low, high = self._bounds(variable)
            value = self.value[variable]
            if value < low:
                wrong, out = (variable, low, True), low - value
            elif high is not None and value > high:
                wrong, out = (variable, high, False), value - high
            else:
                continue
            if found is None or (variable < found[0] if by_index else out > most):
                found, most = wrong, out
        return found

    def settle(self) -> dict[int, Number] | None:
        """Reach the bounds of all known rows: None, or the multipliers that prove it impossible."""
        start = self.pivots
        while True:
            by_index = self.pivots - start > GREEDY_PIVOTS
            worst = self._worst(by_index)
            if worst is None:
                return None
            wrong, bound, rise = worst
            row = self.basic[wrong]
            entering = self._entering(row, rise, by_index)
            if entering < 0:
                proof: dict[int, Number] = {j - self.size: -a if a < 0 else a for j, a in row.items() if j >= self.size}
                if wrong >= self.size:
                    proof[wrong - self.size] = 1
                return proof
            self.pivots += 1
            if self.pivots > PIVOTS_MAX:
                raise TooHard
            self._pivot(wrong, entering, bound)


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
