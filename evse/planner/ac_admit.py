"""Who is on: nobody gets less than the minimum, so the minimums must fit together.

``longest_first``: in order of priority, then least charged, then position; the lexicographically first set that can be
on together. Without imbalance limits that is one pass. With them a later car may be what makes an earlier one
possible: then, if what the pass finds cannot be balanced, branch and bound (`ac_whole`).

``max_served``: the largest number per priority class, then that order (`ac_most`). If that set cannot be balanced, or was too
much work, branch and bound.
"""

from __future__ import annotations

from evse.planner.ac_lp import Reach, TooHard
from evse.planner.ac_most import WORK_LAST, Spent, counts, most
from evse.planner.ac_problem import AcProblem, PausePolicy
from evse.planner.ac_whole import Whole
from evse.planner.tree import Model

STEPS_MAX = 300
STEPS_MIN = 20
STEPS_PER_SITE = 60_000
"""Sets that may be tried to fill up what was found when a bound was reached: `STEPS_PER_SITE` over the number of candidates,
between the two others, since each costs more on a larger site."""


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

    def reachable(self) -> bool:
        """True when the chosen can be on together. Raises `_Spent`."""
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
    if problem.pause_policy is PausePolicy.MAX_SERVED:
        chosen, exact = _largest(problem, model, order)
    elif model.has_differences:
        chosen, exact = _first(problem, model, order)
    else:
        chosen, exact = _packed(model, order), True
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
        return ledger.reachable()
    except _Spent:
        return False


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
        return ledger.reachable()
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


def _first(problem: AcProblem, model: Model, order: list[int]) -> tuple[list[int], bool]:
    """The lexicographically first set in ``order`` that can be on together; False = a bound was reached."""
    packed = _packed(model, order)  # comes first in the order: if it can be on, it is the answer
    if _together(model, packed):
        return packed, True
    whole = Whole(problem, model, order)
    numbers, exact = whole.first(whole.numbers(_longest_start(model, packed)))
    chosen = whole.members(numbers)
    return (chosen, True) if exact else (_extended(model, chosen, order), False)


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
        packed, bounds = _packed(model, [*spent.chosen, *cheap]), spent.most
    else:
        if _together(model, packed):
            return packed, True
        bounds = counts(problem, packed, ranks)
    starts.append(packed)
    if model.has_differences:
        starts = [_longest_start(model, start) for start in starts]
    whole = Whole(problem, model, order)
    known = max(starts, key=lambda chosen: counts(problem, chosen, ranks))
    numbers, exact = whole.largest(whole.numbers(known), bounds)
    chosen = whole.members(numbers)
    if exact:
        return chosen, True
    chosen = _extended(model, chosen, order)
    if not model.has_differences:
        try:
            return most(problem, model, order, chosen, WORK_LAST), True
        except Spent:
            pass
    return chosen, False


def _extended(model: Model, chosen: list[int], order: list[int]) -> list[int]:
    """``chosen``, which can be on together, and each in turn that can be on beside them."""
    ledger = _Ledger(model)
    for i in chosen:
        ledger.book(i)
    for i in order:
        if i in ledger.on or not ledger.fits(i):
            continue
        ledger.book(i)
        try:
            keep = ledger.reachable()
        except _Spent:
            keep = False
        if not keep:
            ledger.book(i, -1)
    return ledger.on
