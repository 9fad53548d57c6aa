"""From exact currents to setpoints on a grid: everybody down to the grid, then what is left over, lowest level first.

Nobody ends more than one step below the exact optimum where only packing rows bind. Rounding down can break an
imbalance limit (the phase that helped came down too): those who help rise first, and only when that is not enough
somebody who hurts goes down. Every limit is checked again at the end.
"""

from __future__ import annotations

from evse.planner.ac_fill import NA_PER_MA
from evse.planner.ac_problem import PPM, UNLIMITED_MA
from evse.planner.tree import Model

PAIR_MOVES_MAX = 100
"""Moves that are tried two and two, lowest level first, when single ones do not mend an imbalance: some 30 ms."""

CHAIN_MAX, CHAINS_KEPT = 6, 120
"""Moves of a chain, and how many chains of a length are gone on with, when two moves together do not mend it either."""

CHAINS_TRIED_MAX = 40_000
"""Some 0.3 s."""


class Stepper:
    """Setpoints in mA with the use of every row beside them."""

    def __init__(self, model: Model, on: list[int], exact_na: list[int], step_ma: int, priority: list[int]) -> None:
        self.model, self.step, self.on, self.priority = model, step_ma, on, priority
        self.value = [0] * len(exact_na)
        totals = [0] * len(model.members)
        for i in on:
            value = exact_na[i] // NA_PER_MA // step_ma * step_ma
            self.value[i] = value if value > model.low_ma[i] else model.low_ma[i]
            totals[model.group_of[i]] += self.value[i]
        self.left = list(model.row_cap_ma)
        for group, total in enumerate(totals):
            if total:
                for row, c in model.group_rows[group]:
                    self.left[row] -= c * total
                for row, c in model.group_diffs[group]:
                    self.left[row] -= c * total

    def holds(self) -> bool:
        """True when no limit is broken."""
        return all(left >= 0 for left in self.left)

    def _move(self, i: int, by_ma: int) -> None:
        self.value[i] += by_ma
        group = self.model.group_of[i]
        for row, c in self.model.group_rows[group]:
            self.left[row] -= c * by_ma
        for row, c in self.model.group_diffs[group]:
            self.left[row] -= c * by_ma

    def _up(self, i: int) -> int:
        """Distance in mA to the next setpoint, 0 = at the maximum."""
        gain = (self.value[i] // self.step + 1) * self.step - self.value[i]
        return gain if self.value[i] + gain <= self.model.high_ma[i] else 0

    def _fits(self, i: int, by_ma: int) -> bool:
        left = self.left
        return not any(left[row] < c * by_ma for row, c in self.model.group_rows[self.model.group_of[i]])

    def _keeps_balance(self, i: int, by_ma: int) -> bool:
        left = self.left
        return not any(c > 0 and left[row] < by_ma for row, c in self.model.group_diffs[self.model.group_of[i]])

    def _excess_change(self, i: int, by_ma: int) -> int:
        """How much the sum of all broken differences changes; negative = better."""
        change = 0
        for row, c in self.model.group_diffs[self.model.group_of[i]]:
            left = self.left[row]
            change += max(0, c * by_ma - left) - max(0, -left)
        return change

    def _level(self, i: int) -> tuple[int, int, int]:
        return (-self.priority[i], self.value[i] * PPM // self.model.weight_ppm[i], i)

    def repair(self) -> bool:
        """Bring every broken difference back inside its limit. False when no order of single steps does it."""
        first = self.model.packing
        while True:
            row = next((r for r in range(first, len(self.left)) if self.left[r] < 0), -1)
            if row < 0:
                return True
            if not (self._repair_row(row) or self._repair_pair() or self._repair_chain()):
                return False

    def _repair_row(self, row: int) -> bool:
        model = self.model
        sign = dict(model.row_groups[row])
        helpers = sorted((i for i in self.on if sign.get(model.group_of[i], 0) < 0), key=self._level)
        moved = False
        for i in helpers:
            gain = self._up(i)
            if gain and self._fits(i, gain) and self._excess_change(i, gain) < 0:
                self._move(i, gain)
                moved = True
                if self.left[row] >= 0:
                    return True
        hurting = sorted((i for i in self.on if sign.get(model.group_of[i], 0) > 0), key=self._level, reverse=True)
        for i in hurting:
            loss = min(self.step, self.value[i] - model.low_ma[i])
            if loss > 0 and self._excess_change(i, -loss) < 0:
                self._move(i, -loss)
                moved = True
                if self.left[row] >= 0:
                    return True
        return moved

    def _repair_pair(self) -> bool:
        """Two setpoints move together, where no single one makes it better: the pair that is best. False when none is.

        Connectors of a group break and mend the same rows, so one for each way stands for its group.
        """
        moves: dict[tuple[int, int], tuple[int, int]] = {}
        for i in sorted(self.on, key=self._level):
            up, down = self._up(i), min(self.step, self.value[i] - self.model.low_ma[i])
            if up:
                moves.setdefault((self.model.group_of[i], up), (i, up))
            if down > 0:
                moves[self.model.group_of[i], -down] = i, -down
        best, chosen = 0, None
        tried = list(moves.values())[:PAIR_MOVES_MAX]
        for i, by_ma in tried:
            if by_ma > 0 and not self._fits(i, by_ma):
                continue
            alone = self._excess_change(i, by_ma)
            self._move(i, by_ma)
            for j, other_ma in tried:
                if j != i and (other_ma < 0 or self._fits(j, other_ma)):
                    change = alone + self._excess_change(j, other_ma)
                    if change < best:
                        best, chosen = change, (i, by_ma, j, other_ma)
            self._move(i, -by_ma)
        if chosen is None:
            return False
        self._move(*chosen[:2])
        self._move(*chosen[2:])
        return True

    def _repair_chain(self) -> bool:
        """Several setpoints move by one step together, whatever breaks in between; afterwards every limit holds. False when no chain does
        it; then nothing has moved."""
        short = sum(-left for left in self.left if left < 0)
        if short > CHAIN_MAX * self.step:
            return False
        ways, tried = self._ways(), 0
        chains: dict[tuple[int, ...], tuple[int, dict[int, int]]] = {(): (short, {})}  # moves -> what is exceeded; rows that they change
        for _ in range(CHAIN_MAX):
            longer: dict[tuple[int, ...], tuple[int, tuple[int, ...], int]] = {}
            for chain, (excess, rows) in chains.items():
                tried += len(ways)
                if tried > CHAINS_TRIED_MAX:
                    return False
                for k, (_, members, uses) in enumerate(ways):
                    key = tuple(sorted((*chain, k)))
                    if key in longer or key.count(k) > len(members):
                        continue
                    after = excess
                    for row, use in uses:
                        left = rows.get(row, self.left[row])
                        after += max(0, use - left) - max(0, -left)
                    if not after:
                        self._go(ways, key)
                        return True
                    longer[key] = after, chain, k
            best = sorted(longer, key=lambda key: (longer[key][0], key))[:CHAINS_KEPT]
            chains = {key: self._extended(chains[longer[key][1]][1], ways[longer[key][2]][2], longer[key][0]) for key in best}
        return False

    def _extended(self, rows: dict[int, int], uses: list[tuple[int, int]], excess: int) -> tuple[int, dict[int, int]]:
        """What is exceeded, and what is left of all rows that a chain and one more move change."""
        return excess, rows | {row: rows.get(row, self.left[row]) - use for row, use in uses}

    def _ways(self) -> list[tuple[int, list[int], list[tuple[int, int]]]]:
        """For each group one step up and one down: (mA, who of it can, what it takes of the rows that have a limit)."""
        who: dict[tuple[int, int], list[int]] = {}
        for i in sorted(self.on, key=self._level):
            if self._up(i) == self.step:
                who.setdefault((self.model.group_of[i], self.step), []).append(i)
            if self.value[i] - self.step >= self.model.low_ma[i]:
                who.setdefault((self.model.group_of[i], -self.step), []).insert(0, i)
        return [
            (ma, members, [(row, c * ma) for row, c in (*self.model.group_rows[group], *self.model.group_diffs[group])])
            for (group, ma), members in who.items()
        ]  # fmt: skip

    def _go(self, ways: list[tuple[int, list[int], list[tuple[int, int]]]], chain: tuple[int, ...]) -> None:
        """Move the first members of each group of a chain."""
        for k in set(chain):
            ma, members, _ = ways[k]
            for i in members[: chain.count(k)]:
                self._move(i, ma)

    def hand_out(self) -> None:
        """Give whole steps to whoever can still rise, lowest level first, until nobody can."""
        room = [min((self.left[row] // c for row, c in rows), default=UNLIMITED_MA) for rows in self.model.group_rows]
        group_of = self.model.group_of
        waiting = [i for i in self.on if 0 < self._up(i) <= room[group_of[i]]]  # packing rows only get fuller
        while waiting:
            waiting.sort(key=self._level)
            again: list[int] = []
            moved = False
            for i in waiting:
                gain = self._up(i)
                if not gain or gain > room[group_of[i]]:
                    continue
                if not self._fits(i, gain):
                    room[group_of[i]] = gain - 1
                    continue
                again.append(i)  # a difference row may give way later, a packing row never does
                if self._keeps_balance(i, gain):
                    self._move(i, gain)
                    moved = True
            if not moved:
                return
            waiting = again
