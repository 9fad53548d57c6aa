"""`ac_quick` for `ac_whole`: bounds that move on both sides, more rows than are ever needed at a time, and work counted.

In floating point, and never believed: the multipliers are checked in whole numbers by who asks.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from evse.planner.ac_quick import NOTHING, TOLERANCE_NA, Doubt, Quick

NA_PER_MA = 1_000_000.0


class Row(msgspec.Struct):
    """``sum(factor * column) <= cap`` in numbers and mA; ``scale`` brings the factors near to 1 in floating point."""

    terms: dict[int, int]
    cap: int
    scale: int = 1


class Relaxed(Quick):
    """`Quick` with bounds on both sides, rows that are taken in when they are broken, and with work counted."""

    def __init__(self, rows: list[Row], units: list[float], work: list[int], work_max: int) -> None:
        self.entries = [[(j, a * row.scale * NA_PER_MA / units[j]) for j, a in row.terms.items()] for row in rows]
        super().__init__([[] for _ in rows], [row.cap * row.scale * int(NA_PER_MA) for row in rows], [1] * len(units))
        self.caps = self.value[self.size :]
        self.rows = {}
        self.known: set[int] = set()
        self.work, self.work_max = work, work_max
        self.look = (len(units) + sum(map(len, self.entries))) // 8  # work of looking at everything once

    def inside(self, low: Sequence[float], high: Sequence[float], least: Sequence[tuple[int, float]]) -> dict[int, float] | None:
        """None when some point seems to be between the bounds and inside every row, else multipliers that seem to prove that
        there is none. ``least`` = least slack of some rows. Raises `Doubt`."""
        self._move(low, high, least)
        self.bad = {}
        for b in self.rows:
            self._judge(b)
        self.pivots = 0
        while True:
            while self.bad:
                if not self._improve():
                    return self._weights()
            broken = self._broken()
            if not broken:
                return None
            for r in broken:
                self._take_in(r)

    def _move(self, low: Sequence[float], high: Sequence[float], least: Sequence[tuple[int, float]]) -> None:
        """New bounds; what rests on one moves with it."""
        for j, (new_low, new_high) in enumerate(zip(low, high, strict=True)):
            old_low, old_high = self.low[j], self.high[j]
            self.low[j], self.high[j] = new_low, new_high
            if j not in self.rows:
                now = self.value[j]
                new = new_low if now == old_low and now != old_high else new_high if now == old_high else now
                self._put(j, min(new_high, max(new_low, new)))
        for r, slack in least:
            b = self.size + r
            self.low[b] = slack
            if r in self.known and b not in self.rows and self.value[b] < slack:
                self._put(b, slack)

    def _put(self, j: int, new: float) -> None:
        change = new - self.value[j]
        if change:
            self.value[j] = new
            for b in self.columns[j]:
                self.value[b] += self.rows[b][j] * change

    def _broken(self) -> list[int]:
        """Rows that were not looked at and are broken."""
        self.work[0] += self.look
        if self.work[0] > self.work_max:
            raise Doubt
        value, size, found = self.value, self.size, []
        for r, entries in enumerate(self.entries):
            if r not in self.known:
                slack = self.caps[r] - sum(c * value[j] for j, c in entries)
                if slack < self.low[size + r] - TOLERANCE_NA:
                    found.append(r)
        return found

    def _take_in(self, r: int) -> None:
        self.known.add(r)
        b, terms, rest = self.size + r, dict[int, float](), self.caps[r]
        for j, c in self.entries[r]:
            rest -= c * self.value[j]
            inner = self.rows.get(j)
            if inner is None:
                terms[j] = terms.get(j, 0.0) - c
                continue
            for k, a in inner.items():
                terms[k] = terms.get(k, 0.0) - c * a
        self.rows[b] = {j: a for j, a in terms.items() if not -NOTHING < a < NOTHING}
        self.value[b] = rest
        for j in self.rows[b]:
            self.columns[j].add(b)
        self.work[0] += len(terms)
        self._judge(b)

    def _weights(self) -> dict[int, float]:
        size = self.size
        total = {b: 1.0 for b in self.bad if b >= size}
        for j, gain in self._gains().items():
            if j >= size:
                total[j] = total.get(j, 0.0) - gain
        return {j - size: y for j, y in total.items() if y > 0}

    def _pivot(self, leaving: int, entering: int) -> None:
        self.work[0] += 20 + len(self.columns[entering]) * len(self.rows[leaving])
        if self.work[0] > self.work_max:
            raise Doubt
        super()._pivot(leaving, entering)
