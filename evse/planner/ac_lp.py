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
from math import gcd, lcm

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


def _reduced(terms: dict[int, int], divisor: int) -> tuple[dict[int, int], int]:
    """The same row in the smallest whole numbers."""
    common = gcd(divisor, *terms.values())
    if common > 1:
        return {j: a // common for j, a in terms.items()}, divisor // common
    return terms, divisor


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
        self.basic: dict[int, dict[int, int]] = {}  # divisor * variable = constant + sum(factor * column), all whole
        self.divisor: dict[int, int] = {}
        self.known: set[int] = set()
        self.pivots = 0

    def ask(self, low: list[int]) -> dict[int, int] | None:
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
            moved: Number = sum(a * change[j] for j, a in row.items() if j in change)
            value[variable] += _ratio(moved, self.divisor[variable])

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
        inner = [self.divisor[g] for g, _ in self.row_groups[row] if g in self.basic]
        divisor = lcm(*inner) if inner else 1
        terms: dict[int, int] = {}
        rest: Number = self.caps[row]
        for group, coefficient in self.row_groups[row]:
            if not self.high[group]:
                continue
            rest -= coefficient * self.value[group]
            if group not in self.basic:
                terms[group] = terms.get(group, 0) - coefficient * divisor
                continue
            factor = coefficient * (divisor // self.divisor[group])
            for j, a in self.basic[group].items():
                terms[j] = terms.get(j, 0) - factor * a
        terms = {j: a for j, a in terms.items() if a}
        self.basic[self.size + row], self.divisor[self.size + row] = _reduced(terms, divisor)
        self.value[self.size + row] = rest

    def _bounds(self, variable: int) -> tuple[Number, Number | None]:
        return (self.low[variable], self.high[variable]) if variable < self.size else (0, None)

    def _entering(self, row: dict[int, int], divisor: int, rise: bool, by_index: bool) -> int:
        """Column that can move the basic variable in the wanted direction, -1 = none: the smallest, or one with
        coefficient 1 first, which keeps the numbers small."""
        best, best_unit = -1, False
        for j, a in row.items():
            low, high = self._bounds(j)
            free = (high is None or self.value[j] < high) if (a > 0) == rise else self.value[j] > low
            if not free:
                continue
            unit = by_index or a in (divisor, -divisor)
            if best < 0 or (unit, -j) > (best_unit, -best):
                best, best_unit = j, unit
        return best

    def _pivot(self, leaving: int, entering: int, bound: Number) -> None:
        row, divisor = self.basic.pop(leaving), self.divisor.pop(leaving)
        a = row.pop(entering)
        step = _ratio((bound - self.value[leaving]) * divisor, a)
        self.value[leaving] = bound
        self.value[entering] += step
        solved = row if a < 0 else {j: -b for j, b in row.items()}
        solved[leaving] = divisor if a > 0 else -divisor
        a = abs(a)
        for variable, other in self.basic.items():
            c = other.pop(entering, 0)
            if not c:
                continue
            self.value[variable] += _ratio(c * step, self.divisor[variable])
            common = gcd(a, c)
            scale, c = a // common, c // common
            if scale != 1:
                other = {j: scale * b for j, b in other.items()}
            get = other.get
            for j, b in solved.items():
                new = get(j, 0) + c * b
                if new:
                    other[j] = new
                else:
                    del other[j]
            self.basic[variable], self.divisor[variable] = _reduced(other, self.divisor[variable] * scale)
        self.basic[entering], self.divisor[entering] = _reduced(solved, a)

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

    def settle(self) -> dict[int, int] | None:
        """Reach the bounds of all known rows: None, or the multipliers that prove it impossible."""
        start = self.pivots
        while True:
            by_index = self.pivots - start > GREEDY_PIVOTS
            worst = self._worst(by_index)
            if worst is None:
                return None
            wrong, bound, rise = worst
            row = self.basic[wrong]
            entering = self._entering(row, self.divisor[wrong], rise, by_index)
            if entering < 0:
                proof = {j - self.size: abs(a) for j, a in row.items() if j >= self.size}
                if wrong >= self.size:
                    proof[wrong - self.size] = self.divisor[wrong]
                return proof
            self.pivots += 1
            if self.pivots > PIVOTS_MAX:
                raise TooHard
            self._pivot(wrong, entering, bound)


def cut_from(proof: dict[int, int], row_groups: list[list[Entry]], caps: Sequence[int], high: Sequence[int]) -> AcCut:
    """The packing row that ``proof`` stands for; valid for any non-negative multipliers."""
    common = gcd(*proof.values())
    factors = tuple(sorted((row, f // common) for row, f in proof.items() if f > 0))
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
