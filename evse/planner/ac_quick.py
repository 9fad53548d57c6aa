"""The question of `ac_lp` in floating point: quick, and never believed without proof.

The first half of the simplex method on sparse rows: from any point, the sum of all violations falls until it is nothing (a
point that the caller checks on whole numbers) or cannot fall (multipliers that the caller turns into a row, which is valid
for any non-negative multipliers, and checks on whole numbers). Whatever is not proven is asked again in `ac_lp`.

Helpers enter one after the other and rows leave where they are local, so that the dictionary stays sparse: it is
what makes this faster than the dual method on the dense difference rows.
"""

from __future__ import annotations

from fractions import Fraction
from itertools import islice
from math import inf, lcm

from evse.planner.tree import Entry

NOTHING = 1e-9
"""Coefficients below this are rounding."""

TOLERANCE_NA = 1e3
"""A bound counts as kept when it is broken by less; limits are eased by a hundred times as much."""

DENOMINATOR_MAX = 360
"""Multipliers are rounded to fractions with denominators up to this."""

PIVOTS_MAX = 4_000
"""Pivots per question; a thousand connectors need some hundred for the first, some ten for the next."""


class Doubt(Exception):
    """No answer by floating point."""


class Quick:
    """The question for one set of rows and maxima, asked again and again for other minimums.

    Variables 0..groups-1 are group totals, groups + r is the slack of row r.
    """

    def __init__(self, row_groups: list[list[Entry]], caps: list[int], high: list[int]) -> None:
        self.size = size = len(high)
        self.low = [0.0] * (size + len(caps))
        self.high = [float(v) for v in high] + [inf] * len(caps)
        self.value = [0.0] * size + [float(cap) for cap in caps]
        self.rows: dict[int, dict[int, float]] = {}  # basic variable = constant + sum(factor * column)
        self.columns: list[set[int]] = [set() for _ in self.value]
        for r, entries in enumerate(row_groups):
            self.rows[size + r] = {g: float(-c) for g, c in entries if high[g]}
            for g, _ in entries:
                if high[g]:
                    self.columns[g].add(size + r)
        self.bad: dict[int, float] = {}  # basic variable beyond a bound: 1 = must rise, -1 = must fall
        self.pivots = 0

    def ask(self, low: list[int]) -> dict[int, int] | None:
        """None when some point between ``low`` and the maxima seems to be inside every row (`point`), else multipliers
        (row: factor) that seem to prove that there is none. Raises `Doubt`."""
        self._move_to(low)
        self.pivots = 0
        while self.bad:
            if not self._improve():
                return self._multipliers()
        return None

    def point(self) -> list[int]:
        """The group totals that the last question ended with, inside their bounds."""
        bounds = zip(self.low, self.value, self.high, strict=True)
        return [round(min(high, max(low, value))) for low, value, high in islice(bounds, self.size)]

    def _move_to(self, low: list[int]) -> None:
        value, rows = self.value, self.rows
        for g in range(self.size):
            new, old = float(low[g]), self.low[g]
            self.low[g] = new
            if g in rows:
                continue
            now = value[g]
            if now != new and (now == old or now < new):
                change = new - now
                value[g] = new
                for b in self.columns[g]:
                    value[b] += rows[b][g] * change
        self.bad = {}
        for b in rows:
            self._judge(b)

    def _judge(self, b: int) -> None:
        value = self.value[b]
        if value < self.low[b] - TOLERANCE_NA:
            self.bad[b] = 1.0
        elif value > self.high[b] + TOLERANCE_NA:
            self.bad[b] = -1.0
        else:
            self.bad.pop(b, None)

    def _gains(self) -> dict[int, float]:
        """How fast the sum of violations falls when a column rises."""
        gains: dict[int, float] = {}
        for b, sign in self.bad.items():
            for j, a in self.rows[b].items():
                gains[j] = gains.get(j, 0.0) + sign * a
        return gains

    def _improve(self) -> bool:
        """One pass over the columns that could lower the sum of violations. False when none can."""
        rows, value, low, high, columns = self.rows, self.value, self.low, self.high, self.columns
        helpers = [
            (len(columns[j]), j)
            for j, gain in self._gains().items()
            if (gain > NOTHING and value[j] < high[j]) or (gain < -NOTHING and value[j] > low[j])
        ]
        helpers.sort()
        for _, j in helpers:
            gain = sum(sign * rows[b].get(j, 0.0) for b, sign in self.bad.items())
            if gain > NOTHING and value[j] < high[j]:
                self._push(j, 1.0, gain, high[j] - value[j])
            elif gain < -NOTHING and value[j] > low[j]:
                self._push(j, -1.0, -gain, value[j] - low[j])
        return bool(helpers)

    def _push(self, j: int, sign: float, gain: float, room: float) -> None:
        """Move ``j`` as far as it helps; a basic variable that stops it leaves."""
        value, rows, bad = self.value, self.rows, self.bad
        step, leaving, best = room, -1, 0.0
        passing: list[tuple[float, float, int]] = []
        for b in self.columns[j]:
            rate = rows[b][j] * sign
            wrong = bad.get(b)
            if wrong is None:
                gap = self.high[b] - value[b] if rate > 0 else value[b] - self.low[b]
                far = gap / abs(rate) if gap > 0 else 0.0
                if far < step or (far == step and abs(rate) > best):
                    step, leaving, best = far, b, abs(rate)
            elif wrong * rate > 0:
                gap = self.low[b] - value[b] if rate > 0 else value[b] - self.high[b]
                passing.append((gap / abs(rate), abs(rate), b))
        passing.sort()
        for far, rate, b in passing:
            if far >= step:
                break
            gain -= rate
            if gain <= NOTHING:
                step, leaving = far, b
                break
        change = sign * step
        value[j] += change
        for b in self.columns[j]:
            value[b] += rows[b][j] * change
            self._judge(b)
        if leaving >= 0:
            self._pivot(leaving, j)
        else:
            value[j] = self.high[j] if sign > 0 else self.low[j]

    def _pivot(self, leaving: int, entering: int) -> None:
        self.pivots += 1
        if self.pivots > PIVOTS_MAX:
            raise Doubt
        rows, columns = self.rows, self.columns
        row = rows.pop(leaving)
        self.bad.pop(leaving, None)
        low, high = self.low[leaving], self.high[leaving]
        self.value[leaving] = low if abs(self.value[leaving] - low) < abs(self.value[leaving] - high) else high
        factor = row.pop(entering)
        solved = {k: -a / factor for k, a in row.items()}
        solved[leaving] = 1.0 / factor
        for k in row:
            columns[k].discard(leaving)
        touched = columns[entering]
        touched.discard(leaving)
        for b in touched:
            other = rows[b]
            c = other.pop(entering)
            for k, a in solved.items():
                new = other.get(k, 0.0) + c * a
                if -NOTHING < new < NOTHING:
                    if k in other:
                        del other[k]
                        columns[k].discard(b)
                else:
                    other[k] = new
                    columns[k].add(b)
        rows[entering] = solved
        for k in solved:
            columns[k].add(entering)
        columns[entering] = set()
        self._judge(entering)

    def _multipliers(self) -> dict[int, int]:
        """Whole multipliers of the rows in the sum that cannot get better. Raises `Doubt` when there are none."""
        size = self.size
        total = {b: 1.0 for b in self.bad if b >= size}
        for j, gain in self._gains().items():
            if j >= size:
                total[j] = total.get(j, 0.0) - gain
        parts = {j - size: Fraction(v).limit_denominator(DENOMINATOR_MAX) for j, v in total.items() if v > NOTHING}
        if not any(parts.values()):
            raise Doubt
        common = lcm(*(p.denominator for p in parts.values()))
        return {r: p.numerator * (common // p.denominator) for r, p in parts.items() if p}
