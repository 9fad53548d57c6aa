"""Who can be on together when an imbalance limit binds, or when `ac_most` was not enough: branch and bound over numbers.

Connectors with the same group, minimum, maximum and class are interchangeable: of each such *kind* only the number counts,
the first of it are on. A whole program in these numbers and in what each group gets above its minimums (which other phases may
need for balance); rows of `Model`, and rows that follow for whole numbers (both sides divided and rounded down), which
brings the linear relaxation so near that few branches are left.

The relaxation is solved in floating point (`ac_quick`) and never believed: a branch is closed when its multipliers, rounded to
whole numbers, prove in whole numbers that nothing is there, and a set is taken when it keeps every row in whole numbers. So
bad luck with rounding costs work, not exactness. `Spent` after `WORK_MAX`; work is counted, not timed.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import floor, inf

import msgspec

from evse.planner.ac_lp import Reach, TooHard
from evse.planner.ac_most import Spent
from evse.planner.ac_problem import AcProblem
from evse.planner.ac_quick import Doubt
from evse.planner.ac_relaxed import NA_PER_MA, Relaxed, Row
from evse.planner.tree import Model

WORK_MAX = 6_000_000
"""Coefficients changed by pivots in one plan, some 0.4 us each."""

SLICE = 200_000
"""Work on a number that may be out of reach, before a smaller one is tried."""

BRANCH_WORK = 500
"""Counted for each branch beside its pivots."""

MULTIPLIER = 1 << 40
"""The largest multiplier of a proof."""

WHOLE = 1e-5
"""A number this near to a whole one is taken for it (and checked)."""

DIVISORS_MAX = 12
"""Rounded rows made from one row."""


class _Kind(msgspec.Struct):
    group: int
    low: int
    high: int  # the minimum where more could help nobody
    rank: int  # class, 0 = first
    members: list[int]  # in the order


Box = tuple[list[int], list[int]]
"""Least and most of each kind."""


def _replaces(one: _Kind, other: _Kind) -> bool:
    """True when ``one`` can be on wherever ``other`` can: same limits, no larger minimum, no smaller maximum."""
    return (one.group, one.rank) == (other.group, other.rank) and one.low <= other.low and one.high >= other.high


class Whole:
    """The program of one plan. ``order`` = candidates, the first one first."""

    def __init__(self, problem: AcProblem, model: Model, order: Sequence[int]) -> None:
        self.model, self.order = model, order
        self.ranks = sorted({problem.connectors[i].priority for i in order}, reverse=True)
        place = {rank: k for k, rank in enumerate(self.ranks)}
        found: dict[tuple[int, int, int, int], _Kind] = {}
        self.kind_of: dict[int, tuple[int, int]] = {}
        helps = [any(c < 0 for _, c in diffs) for diffs in model.group_diffs]
        for i in order:
            group, low = model.group_of[i], model.low_ma[i]
            key = (group, low, model.high_ma[i] if helps[group] else low, place[problem.connectors[i].priority])
            kind = found.setdefault(key, _Kind(*key, members=[]))
            kind.members.append(i)
        self.kinds = list(found.values())
        for k, kind in enumerate(self.kinds):
            for at, i in enumerate(kind.members):
                self.kind_of[i] = (k, at)
        self.kinds_of: dict[int, list[int]] = {}
        for k, kind in enumerate(self.kinds):
            self.kinds_of.setdefault(kind.group, []).append(k)
        self.worse: list[list[int]] = []  # kinds that could be replaced by one
        self.better: list[list[int]] = []  # kinds that could take the place of one
        for k, kind in enumerate(self.kinds):
            beside = [j for j in self.kinds_of[kind.group] if j != k]
            self.worse.append([j for j in beside if _replaces(kind, self.kinds[j])])
            self.better.append([j for j in beside if _replaces(self.kinds[j], kind)])
        alike: dict[tuple[int, int, int], list[int]] = {}
        for k in sorted(range(len(self.kinds)), key=lambda k: -self.kinds[k].high):
            alike.setdefault((self.kinds[k].group, self.kinds[k].rank, self.kinds[k].low), []).append(k)
        self.families = list(alike.values())  # kinds that differ by their maximum only, the largest first
        self.single = [[k] for k in range(len(self.kinds))]
        fuses = [1 + len(model.group_rows[kind.group]) for kind in self.kinds]
        lines = [1 + sum(c for _, c in model.group_rows[kind.group]) for kind in self.kinds]
        rows = [a + len(model.group_diffs[kind.group]) for a, kind in zip(fuses, self.kinds, strict=True)]
        self.weights = [fuses, rows, [a * kind.low for a, kind in zip(lines, self.kinds, strict=True)], [1] * len(self.kinds)]
        self.low = [0] * len(self.kinds)
        self.high = [len(kind.members) for kind in self.kinds]
        self.least = [0] * len(self.ranks)  # numbers of each class that must be reached
        self.extras: dict[int, int] = {}  # group: column
        self.extra_max: list[int] = []
        self._find_extras()
        self.step = max(1, min(kind.low for kind in self.kinds))
        self.limits = self._limits()
        self.work = [0]
        self.bound = 0  # on the number of the class that was last asked for
        self.units = [max(1, kind.low) * NA_PER_MA for kind in self.kinds] + [NA_PER_MA] * len(self.extra_max)
        self._relax(self.low, self.high)

    # -- rows -----------------------------------------------------------------------------------------------------------

    def _find_extras(self) -> None:
        """Groups whose current above the minimums could help others."""
        for group, inside in self.kinds_of.items():
            most = sum((self.kinds[k].high - self.kinds[k].low) * len(self.kinds[k].members) for k in inside)
            if most:
                self.extras[group] = len(self.kinds) + len(self.extra_max)
                self.extra_max.append(most)

    def _limits(self) -> list[Row]:
        model = self.model
        rows = []
        for r, cap in enumerate(model.row_cap_ma):
            terms: dict[int, int] = {}
            for group, c in model.row_groups[r]:
                for k in self.kinds_of.get(group, ()):
                    terms[k] = c * self.kinds[k].low
                if group in self.extras:
                    terms[self.extras[group]] = c
            rows.append(Row(terms, cap))
        for group, column in self.extras.items():
            spare = {k: self.kinds[k].low - self.kinds[k].high for k in self.kinds_of[group]}
            rows.append(Row({column: 1} | {k: a for k, a in spare.items() if a}, 0))
        return rows

    def _sources(self) -> list[tuple[dict[int, int], int]]:
        """Packing rows, and the sums of the fuses of a node, over numbers alone."""
        model, sources = self.model, []
        for rows in [*((r,) for r in range(model.packing)), *model.fuses]:
            terms: dict[int, int] = {}
            for r in rows:
                for k, a in self.limits[r].terms.items():
                    if k < len(self.kinds):
                        terms[k] = terms.get(k, 0) + a
            sources.append((terms, sum(self.limits[r].cap for r in rows)))
        return sources

    def _relax(self, low: Sequence[int], high: Sequence[int]) -> None:
        """Make the relaxation with the rows that follow between these bounds."""
        self.rows = self.limits + [row for terms, cap in self._sources() for row in self._rounded(terms, cap, low, high)]
        self.class_row = len(self.rows)
        for k in range(len(self.ranks)):
            self.rows.append(Row({j: -1 for j, kind in enumerate(self.kinds) if kind.rank == k}, 0, self.step))
        self.relaxed = Relaxed(self.rows, self.units, self.work, WORK_MAX)

    def _rounded(self, terms: dict[int, int], cap: int, low: Sequence[int], high: Sequence[int]) -> list[Row]:
        """What follows from a row for whole numbers between two bounds: beyond the lower ones, divided by each of its factors and
        rounded down, and the largest number."""
        room = cap - sum(a * low[k] for k, a in terms.items())
        free = {k: a for k, a in terms.items() if a and low[k] < high[k]}
        if room < 0 or sum(a * (high[k] - low[k]) for k, a in free.items()) <= room:
            return []
        divisors = sorted(set(free.values()))[:DIVISORS_MAX]
        rows = []
        for divisor in divisors:
            whole = {k: a // divisor for k, a in free.items() if a >= divisor}
            if any(a % divisor for a in free.values()) or room % divisor:
                rows.append(Row(whole, room // divisor + sum(a * low[k] for k, a in whole.items()), self.step))
        if len(divisors) > 1:
            left, most = room, 0
            for a, number in sorted((a, high[k] - low[k]) for k, a in free.items()):
                fit = min(number, left // a)
                most, left = most + fit, left - fit * a
                if fit < number:
                    break
            rows.append(Row(dict.fromkeys(free, 1), most + sum(low[k] for k in free), self.step))
        return rows

    # -- the search -----------------------------------------------------------------------------------------------------

    def numbers(self, chosen: Sequence[int]) -> list[int]:
        """How many of each kind are in ``chosen``."""
        found = [0] * len(self.kinds)
        for i in chosen:
            found[self.kind_of[i][0]] += 1
        return found

    def members(self, numbers: Sequence[int]) -> list[int]:
        """The first of each kind."""
        return [i for k, kind in enumerate(self.kinds) for i in kind.members[: numbers[k]]]

    def classes(self, numbers: Sequence[int]) -> list[int]:
        """How many of each class ``numbers`` stand for."""
        found = [0] * len(self.ranks)
        for kind, number in zip(self.kinds, numbers, strict=True):
            found[kind.rank] += number
        return found

    def find(self, low: list[int], high: list[int]) -> list[int] | None:
        """Numbers between the bounds that can be on together and reach ``least``; None = proven that there are none.

        What is much work in one order of branches is often little in another one. Raises `Spent`.
        """
        try:
            return self._find(low, high, self.weights[0], SLICE)
        except Spent:
            if self.work[0] > WORK_MAX:
                raise
        relaxed, rows, class_row = self.relaxed, self.rows, self.class_row
        self._relax(low, high)
        try:
            return self._find_again(low, high)
        finally:
            self.relaxed, self.rows, self.class_row = relaxed, rows, class_row

    def _find_again(self, low: list[int], high: list[int]) -> list[int] | None:
        """As `find`, in one order of branches after the other, with more and more work."""
        work = SLICE
        while True:
            for weight in self.weights:
                try:
                    return self._find(low, high, weight, work)
                except Spent:
                    if self.work[0] > WORK_MAX:
                        raise
            work *= 2

    def _find(self, low: list[int], high: list[int], weight: list[int], work: int) -> list[int] | None:
        """As `find`. Raises `Spent` after ``work``."""
        stack = [(low, high)]
        end = min(WORK_MAX, self.work[0] + work)
        while stack:
            low, high = stack.pop()
            self.work[0] += BRANCH_WORK
            if self.work[0] > end:
                raise Spent
            proof = self._ask(low, high)
            family, total = self.families[0], 0.0
            if proof is None:
                family, total = self._fractional(low, high, weight)
            elif self._proven(proof, low, high):
                continue
            if proof is not None or not family:
                numbers = low if proof is not None else self._point(low, high)
                if self._holds(numbers, proof is None):
                    return numbers
                k = next((k for k, (a, b) in enumerate(zip(low, high, strict=True)) if a < b), -1)
                if k < 0:
                    continue
                family, total = [k], min(high[k] - 0.5, numbers[k] + 0.5)
            branches = [self._fewer(family, floor(total), low, high), self._more(family, floor(total) + 1, low, high)]
            stack += branches if total - floor(total) >= 0.4 else reversed(branches)
        return None

    def _fewer(self, family: list[int], most: int, low: list[int], high: list[int]) -> Box:
        """At most so many of a family: the best ones, and none of those that the others could take the place of, beyond what
        must be."""
        most -= sum(low[k] for k in family)
        limit = high[:]
        for k in family:
            limit[k] = low[k] + min(high[k] - low[k], most)
            most -= limit[k] - low[k]
            if limit[k] < high[k]:
                for j in self.worse[k]:
                    limit[j] = low[j]
        return low, limit

    def _more(self, family: list[int], least: int, low: list[int], high: list[int]) -> Box:
        """At least so many of a family: the best ones, and all of those that could take their place."""
        least -= sum(low[k] for k in family)
        must = low[:]
        for k in family:
            must[k] = low[k] + min(high[k] - low[k], least)
            least -= must[k] - low[k]
            if must[k] > low[k]:
                for j in self.better[k]:
                    must[j] = high[j]
        return must, high

    def _ask(self, low: Sequence[int], high: Sequence[int]) -> dict[int, float] | None:
        units = self.units
        bottom = [n * unit for n, unit in zip(low, units, strict=False)] + [0.0] * len(self.extra_max)
        top = [n * unit for n, unit in zip(high, units, strict=False)] + [most * NA_PER_MA for most in self.extra_max]
        least = [
            (self.class_row + k, number * self.rows[self.class_row + k].scale * NA_PER_MA if number else -inf)
            for k, number in enumerate(self.least)
        ]
        try:
            return self.relaxed.inside(bottom, top, least)
        except Doubt:
            raise Spent from None

    def _combined(self, proof: dict[int, float]) -> tuple[dict[int, int], int, list[int]]:
        """Row of whole multipliers: factors, cap without the numbers to reach, and the factor of each of these."""
        most = max((y * self.rows[r].scale for r, y in proof.items()), default=1.0)
        total: dict[int, int] = {}
        cap, reach = 0, [0] * len(self.ranks)
        for r, y in proof.items():
            row = self.rows[r]
            factor = int(y * row.scale / most * MULTIPLIER)
            if not factor:
                continue
            cap += factor * row.cap
            if r >= self.class_row:
                reach[r - self.class_row] = factor
            for j, a in row.terms.items():
                total[j] = total.get(j, 0) + factor * a
        return total, cap, reach

    def _least_of(self, total: dict[int, int], low: Sequence[int], high: Sequence[int]) -> int:
        """The least that a row can come to between the bounds."""
        size = len(self.kinds)
        return sum(
            a * (low[j] if a > 0 else high[j]) if j < size else min(0, a * self.extra_max[j - size]) for j, a in total.items()
        )

    def _proven(self, proof: dict[int, float], low: Sequence[int], high: Sequence[int]) -> bool:
        total, cap, reach = self._combined(proof)
        return self._least_of(total, low, high) > cap - sum(f * n for f, n in zip(reach, self.least, strict=True))

    def _fractional(self, low: Sequence[int], high: Sequence[int], weight: Sequence[int]) -> tuple[list[int], float]:
        """The family, or else the kind, whose number is farthest from a whole one, times ``weight``, and that number; ([], 0.0) =
        all are whole."""
        value, units = self.relaxed.value, self.units
        number = [value[k] / units[k] for k in range(len(self.kinds))]
        for choice in (self.families, self.single):
            best: list[int] = []
            farthest, at = 0.0, 0.0
            for family in choice:
                total = sum(number[k] for k in family)
                far = abs(total - round(total))
                if far > WHOLE and far * weight[family[0]] > farthest:
                    least, most = sum(low[k] for k in family), sum(high[k] for k in family)
                    if least < most:
                        best, farthest, at = family, far * weight[family[0]], min(max(total, least + WHOLE), most - WHOLE)
            if best:
                return best, at
        return [], 0.0

    def _point(self, low: Sequence[int], high: Sequence[int]) -> list[int]:
        value, units = self.relaxed.value, self.units
        return [min(b, max(a, round(value[k] / units[k]))) for k, (a, b) in enumerate(zip(low, high, strict=True))]

    def _holds(self, numbers: Sequence[int], from_point: bool) -> bool:
        """True when ``numbers`` keep every limit, on whole numbers, and reach ``least``. Raises `Spent`."""
        if any(n < least for n, least in zip(self.classes(numbers), self.least, strict=True)):
            return False
        model, size = self.model, len(self.kinds)
        if from_point:
            point = [*numbers, *(round(v / NA_PER_MA) for v in self.relaxed.value[size : size + len(self.extra_max)])]
            point[size:] = [min(most, max(0, v)) for most, v in zip(self.extra_max, point[size:], strict=True)]
            if all(sum(a * point[j] for j, a in row.terms.items()) <= row.cap for row in self.limits):
                return True
        low, high = [0] * len(model.members), [0] * len(model.members)
        for kind, number in zip(self.kinds, numbers, strict=True):
            low[kind.group] += number * kind.low
            high[kind.group] += number * kind.high
        self.work[0] += BRANCH_WORK
        try:
            return Reach(model.row_groups, model.row_cap_ma, high).ask(low) is None
        except TooHard:
            raise Spent from None

    # -- what is asked --------------------------------------------------------------------------------------------------

    def largest(self, known: list[int], bounds: Sequence[int]) -> tuple[list[int], bool]:
        """As many as possible of each class in turn, then the first in the order: numbers of each kind, and whether they are proven.

        ``known`` = numbers that can be on together; ``bounds`` = no more of the first classes can be on: of the first one, of the
        second one when the first has its number, and so on.
        """
        best = known
        for rank in range(len(self.ranks)):
            best = self._most_of(rank, best, bounds)
            if self.bound > self.classes(best)[rank]:
                return best, False
        return self.first(best)

    def _most_of(self, rank: int, best: list[int], bounds: Sequence[int]) -> list[int]:
        """The largest number of one class, those above it have theirs; ``bound`` is the same if it is proven."""
        reached = self.classes(best)[rank]
        self.bound = sum(self.high[k] for k, kind in enumerate(self.kinds) if kind.rank == rank)
        if rank < len(bounds) and self.least[:rank] == list(bounds[:rank]):
            self.bound = min(self.bound, bounds[rank])
        try:
            self._lower_bound(rank, reached)
            stuck = self.bound + 1  # the smallest number that was too much work for a slice
            while reached < self.bound:
                quick = reached + 1 < stuck
                target = self.bound if stuck > self.bound or not quick else (reached + stuck) // 2
                self.least[rank] = target
                try:
                    found = self._find(self.low, self.high, self.weights[0], SLICE) if quick else self.find(self.low, self.high)
                except Spent:
                    if not quick or self.work[0] > WORK_MAX:
                        raise
                    stuck = target
                    continue
                if found is None:
                    self.bound = target - 1
                else:
                    best, reached = found, self.classes(found)[rank]
        except Spent:
            pass
        self.least[rank] = reached
        return best

    def _lower_bound(self, rank: int, reached: int) -> None:
        """Lower ``bound`` to what the relaxation proves."""
        while reached < self.bound:
            self.least[rank] = self.bound
            proof = self._ask(self.low, self.high)
            if proof is None or not self._proven(proof, self.low, self.high):
                break
            self.bound = max(reached, self._bound_of(proof, rank, self.bound))

    def _bound_of(self, proof: dict[int, float], rank: int, above: int) -> int:
        """The largest number of a class that ``proof`` leaves open, below ``above``."""
        total, cap, reach = self._combined(proof)
        if not reach[rank]:
            return above - 1
        room = cap - self._least_of(total, self.low, self.high)
        room -= sum(f * n for k, (f, n) in enumerate(zip(reach, self.least, strict=True)) if k != rank)
        return min(above - 1, room // reach[rank])

    def first(self, best: list[int]) -> tuple[list[int], bool]:
        """The first in the order of those that reach ``least``, which ``best`` does: each is on if it can be, with those before it."""
        low, high = self.low[:], self.high[:]
        try:
            for i in self.order:
                k, at = self.kind_of[i]
                if at >= high[k] or at < low[k]:
                    continue
                if best[k] <= at:
                    found = self.find([*low[:k], at + 1, *low[k + 1 :]], high)
                    if found is None:
                        self._refuse(k, low, high)
                        continue
                    best = found
                low[k] = at + 1
        except Spent:
            return best, False
        return best, True

    def _refuse(self, k: int, low: list[int], high: list[int]) -> None:
        """No more of kind ``k``; nor of those that need as much at least and leave no more room to others."""
        for j in (k, *self.worse[k]):
            high[j] = low[j]


__all__ = ["Whole"]
