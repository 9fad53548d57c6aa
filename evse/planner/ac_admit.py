"""Who is on: nobody gets less than the minimum, so the minimums must fit together.

``longest_first``: in order of priority, then least charged, then position; the lexicographically first set that can be
on together. Without imbalance limits that is one pass. With them a later car may be what makes an earlier one
possible, so the pass looks ahead: the linear relaxation (undecided cars anywhere between nothing and their maximum)
rules branches out, and the first set that is found is the answer.

``max_served``: the largest number per priority class, then that order (`ac_most`). If that set cannot be balanced, branch
and bound over the same pass.
"""

from __future__ import annotations

from evse.planner.ac_lp import Reach, TooHard
from evse.planner.ac_most import Spent, counts, most
from evse.planner.ac_problem import AcProblem, PausePolicy
from evse.planner.tree import Model

STEPS_MAX = 3_000
STEPS_MIN = 20
STEPS_PER_SITE = 60_000
"""Questions to the linear relaxation or branches of a search: `STEPS_PER_SITE` over the number of candidates, between
the two others, since each costs more on a larger site. Beyond it the plan keeps every limit but is perhaps not best."""


class _Spent(Exception):
    """The bound of the search is reached."""


class _Ledger:
    """Minimums of a chosen set in every row."""

    def __init__(self, model: Model) -> None:
        self.model = model
        self.left = list(model.row_cap_ma)
        self.on: list[int] = []
        self.steps = 0
        self.steps_max = max(STEPS_MIN, min(STEPS_MAX, STEPS_PER_SITE // max(1, len(model.candidates))))

    def fits(self, i: int) -> bool:
        """True when the minimum of ``i`` fits into every packing row."""
        low, left = self.model.low_ma[i], self.left
        return not any(left[row] < c * low for row, c in self.model.group_rows[self.model.group_of[i]])

    def book(self, i: int, sign: int = 1) -> None:
        """Put ``i`` on (or, with -1, take the last one off again)."""
        amount = sign * self.model.low_ma[i]
        group = self.model.group_of[i]
        for row, c in self.model.group_rows[group]:
            self.left[row] -= c * amount
        for row, c in self.model.group_diffs[group]:
            self.left[row] -= c * amount
        if sign > 0:
            self.on.append(i)
        else:
            self.on.pop()

    def balanced(self) -> bool:
        """True when the bare minimums keep every difference row."""
        return all(left >= 0 for left in self.left[self.model.packing :])

    def reachable(self, undecided: list[int]) -> bool:
        """True when the chosen can be on together, with the help of ``undecided`` at any current."""
        if self.balanced():
            return True
        self.steps += 1
        if self.steps > self.steps_max:
            raise _Spent
        model = self.model
        low = [0] * len(model.members)
        high = [0] * len(model.members)
        for i in self.on:
            low[model.group_of[i]] += model.low_ma[i]
            high[model.group_of[i]] += model.high_ma[i]
        for i in undecided:
            high[model.group_of[i]] += model.high_ma[i]
        try:
            return Reach(model.row_groups, model.row_cap_ma, high).ask(low) is None
        except TooHard:
            raise _Spent from None


def admit(problem: AcProblem, model: Model) -> tuple[list[int], bool]:
    """Connectors that are on, in rising order, and whether the choice is exact."""
    rank = {i: (-problem.connectors[i].priority, problem.connectors[i].charging_s, i) for i in model.candidates}
    order = sorted(model.candidates, key=rank.__getitem__)
    if _all_fit(model):
        return list(model.candidates), True
    exact = True
    try:
        if problem.pause_policy is PausePolicy.MAX_SERVED:
            chosen, exact = _largest(problem, model, order)
        elif model.has_differences:
            chosen = _first(model, order)
        else:
            chosen = _one_pass(model, order)
    except _Spent:
        starts = [set(_one_pass(model, order)), set(_longest_start(model, _packed(model, order)))]
        chosen, exact = list(max(starts, key=lambda start: [i in start for i in order])), False
    return sorted(chosen), exact


def _all_fit(model: Model) -> bool:
    ledger = _Ledger(model)
    for group, members in enumerate(model.members):
        amount = sum(model.low_ma[i] for i in members)
        for row, c in model.group_rows[group]:
            ledger.left[row] -= c * amount
        for row, c in model.group_diffs[group]:
            ledger.left[row] -= c * amount
    if any(left < 0 for left in ledger.left[: model.packing]):
        return False
    ledger.on = list(model.candidates)
    try:
        return ledger.reachable([])
    except _Spent:
        return False


def _one_pass(model: Model, order: list[int]) -> list[int]:
    """Each in turn if it can be on together with those before it."""
    ledger = _Ledger(model)
    for i in order:
        if not ledger.fits(i):
            continue
        ledger.book(i)
        if not model.has_differences:
            continue
        try:
            keep = ledger.reachable([])
        except _Spent:
            keep = ledger.balanced()
        if not keep:
            ledger.book(i, -1)
    return ledger.on


def _packed(model: Model, order: list[int]) -> list[int]:
    """Each in turn if it fits into the packing rows."""
    ledger = _Ledger(model)
    for i in dict.fromkeys(order):
        if ledger.fits(i):
            ledger.book(i)
    return ledger.on


def _together(model: Model, chosen: list[int]) -> bool:
    ledger = _Ledger(model)
    for i in chosen:
        ledger.book(i)
    try:
        return ledger.reachable([])
    except _Spent:
        return False  # not known: nothing that can be relied on


def _longest_start(model: Model, chosen: list[int]) -> list[int]:
    """A start of ``chosen``, which keeps the packing rows, that can be on together: all of it, or found by halving."""
    if _together(model, chosen):
        return chosen
    good, bad = 0, len(chosen)
    while bad - good > 1:
        middle = (good + bad) // 2
        if _together(model, chosen[:middle]):
            good = middle
        else:
            bad = middle
    return chosen[:good]


def _first(model: Model, order: list[int]) -> list[int]:
    """The lexicographically first set in ``order`` that can be on together: depth first, "on" before "off"."""
    packed = _packed(model, order)  # comes first in the order: if it can be on, it is the answer
    if _together(model, packed):
        return packed
    ledger = _Ledger(model)
    picked: list[bool] = []
    while True:
        position = len(picked)
        if position == len(order) and ledger.reachable([]):
            return ledger.on
        if position < len(order):
            i = order[position]
            rest = order[position + 1 :]
            if ledger.fits(i):
                ledger.book(i)
                if ledger.reachable(rest):
                    picked.append(True)
                    continue
                ledger.book(i, -1)
            if ledger.reachable(rest):
                picked.append(False)
                continue
        while True:  # dead end: the last one that is on goes off
            while picked and not picked[-1]:
                picked.pop()
            if not picked:
                return []
            picked.pop()
            ledger.book(order[len(picked)], -1)
            if ledger.reachable(order[len(picked) + 1 :]):
                picked.append(False)
                break


class _Bound:
    """How many of a class can still be added, seen from each row alone and from the three phases of a node together."""

    def __init__(self, problem: AcProblem, model: Model, order: list[int]) -> None:
        self.model = model
        self.order = order
        self.rank = [problem.connectors[i].priority for i in order]
        self.classes = sorted(set(self.rank), reverse=True)
        self.sums: list[tuple[tuple[int, ...], dict[int, int]]] = []
        for rows in [*((r,) for r in range(model.packing)), *model.fuses]:
            cost: dict[int, int] = {}
            for row in rows:
                for group, c in model.row_groups[row]:
                    cost[group] = cost.get(group, 0) + c
            self.sums.append((rows, cost))

    def most(self, ledger: _Ledger, position: int, done: dict[int, int]) -> tuple[int, ...]:
        """Upper bound of the numbers per class when ``order[position:]`` is still open."""
        model, result = self.model, []
        for rank in self.classes:
            open_ = [
                i
                for i, r in zip(self.order[position:], self.rank[position:], strict=True)
                if r == rank and ledger.fits(i)
            ]
            best = len(open_)
            for rows, cost in self.sums:
                left = sum(ledger.left[row] for row in rows)
                costs = [cost.get(model.group_of[i], 0) * model.low_ma[i] for i in open_]
                if sum(costs) <= left:
                    continue
                count = 0
                for amount in sorted(costs):
                    if amount > left:
                        break
                    left -= amount
                    count += 1
                best = min(best, count)
            result.append(done.get(rank, 0) + best)
        return tuple(result)


def _largest(problem: AcProblem, model: Model, order: list[int]) -> tuple[list[int], bool]:
    """The largest number per class, then the lexicographically first in ``order``; False = a bound was reached."""
    place = {i: k for k, i in enumerate(order)}
    connectors = problem.connectors
    cheap = sorted(order, key=lambda i: (-connectors[i].priority, connectors[i].lines * model.low_ma[i], place[i]))
    starts = [_packed(model, cheap), _packed(model, order)]
    ranks = sorted({connectors[i].priority for i in order}, reverse=True)
    try:
        packed = most(problem, model, order, max(starts, key=lambda chosen: counts(problem, chosen, ranks)))
    except Spent as spent:
        packed = _packed(model, [*spent.chosen, *cheap])
    else:
        if _together(model, packed):
            return packed, True
    starts.append(packed)
    if model.has_differences:
        starts = [_longest_start(model, start) for start in starts]
        starts += [_one_pass(model, cheap), _one_pass(model, order)]
    return _searched(problem, model, order, max(starts, key=lambda chosen: counts(problem, chosen, ranks)))


def _searched(problem: AcProblem, model: Model, order: list[int], best: list[int]) -> tuple[list[int], bool]:
    """As `_largest` by branch and bound, beginning with ``best``."""
    bound = _Bound(problem, model, order)
    priority = [c.priority for c in problem.connectors]
    target, found = counts(problem, best, bound.classes), False
    ledger = _Ledger(model)
    done: dict[int, int] = {}
    stack: list[tuple[int, int]] = [(0, 0)]  # (position, 0 = try on, 1 = try off, 2 = take back)
    while stack:
        position, stage = stack.pop()
        if stage == 2:
            i = order[position]
            ledger.book(i, -1)
            done[priority[i]] -= 1
            continue
        ledger.steps += 1
        if ledger.steps > ledger.steps_max:
            return best, False
        if stage == 0:
            limit = bound.most(ledger, position, done)
            if limit < target or (found and limit == target):
                continue
            try:
                if not ledger.reachable(order[position:]):
                    continue
            except _Spent:
                return best, False
            if position == len(order):
                best, target, found = list(ledger.on), counts(problem, ledger.on, bound.classes), True
                continue
            stack.append((position, 1))
            i = order[position]
            if ledger.fits(i):
                ledger.book(i)
                done[priority[i]] = done.get(priority[i], 0) + 1
                stack.append((position, 2))
                stack.append((position + 1, 0))
        else:
            stack.append((position + 1, 0))
    return best, True
