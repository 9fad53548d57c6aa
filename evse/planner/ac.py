"""The AC planner: from a problem to the one allocation that planner.md describes.

In order: limits always; who is on (`ac_admit`); then, priority class by priority class, the lexicographic maximum of
the sorted amps per weight (`ac_fill`), as setpoints on the grid (`ac_steps`). Where an imbalance limit binds, the
answer of the packing rows breaks it: then a packing row is added that follows from the limits and rules that answer
out (`ac_lp`), and the sweep runs again. The answer that breaks nothing is the optimum, because every row that was used
follows from the limits.

Pure and exact on integers.
"""

from __future__ import annotations

from evse.planner.ac_admit import admit
from evse.planner.ac_fill import NA_PER_MA, Filler
from evse.planner.ac_lp import Reach, TooHard, cut_from
from evse.planner.ac_problem import AcCut, AcProblem, AcSolution
from evse.planner.ac_steps import Stepper
from evse.planner.tree import Model, build

CUTS_MAX = 500
"""Rows that one plan may add for its imbalance limits; the tests need fewer than thirty."""

SLACK_NA = 100_000
"""A difference row counts as kept when it is broken by no more than this (0.1 mA): rounding, settled by the steps."""


def share(model: Model, on: list[int], priority: list[int]) -> tuple[list[int], list[AcCut], bool]:
    """Exact currents in nA of everybody who is on, the rows that imbalance limits added, and whether it is exact."""
    classes: dict[int, list[int]] = {}
    for i in on:
        classes.setdefault(priority[i], []).append(i)
    cuts: list[AcCut] = []  # only those that bind: each new one lowers the optimum, so none comes back for ever
    added = 0
    separator = _Separator(model, on)
    while True:
        filler = Filler(model, on, cuts)
        for rank in sorted(classes, reverse=True):
            filler.fill(classes[rank])
        if not model.has_differences:
            return filler.x, cuts, True
        try:
            cut = separator.missing_row(filler.x)
        except TooHard:
            return filler.x, cuts, False
        if cut is None:
            return filler.x, cuts, True
        if added >= CUTS_MAX or cut in cuts:
            return filler.x, cuts, False
        added += 1
        cuts = [kept for kept, left in zip(cuts, filler.left_of_cuts(), strict=True) if left <= SLACK_NA]
        cuts.append(cut)


class _Separator:
    """Finds packing rows that follow from the limits, for one set of connectors that are on."""

    def __init__(self, model: Model, on: list[int]) -> None:
        self.model, self.on = model, on
        self.high = [0] * len(model.members)
        for i in on:
            self.high[model.group_of[i]] += model.high_ma[i] * NA_PER_MA
        self.caps = [cap * NA_PER_MA for cap in model.row_cap_ma]
        self.eased = [cap + SLACK_NA for cap in self.caps]
        self.reach = Reach(model.row_groups, self.eased, self.high)

    def missing_row(self, x: list[int]) -> AcCut | None:
        """A row that ``x`` breaks; None when ``x`` keeps every limit. Raises `TooHard`."""
        model = self.model
        low = [0] * len(model.members)
        for i in self.on:
            low[model.group_of[i]] += x[i]
        if all(
            sum(c * low[g] for g, c in model.row_groups[r]) <= self.eased[r]
            for r in range(model.packing, len(self.caps))
        ):
            return None
        proof = self.reach.ask(low)
        return None if proof is None else cut_from(proof, model.row_groups, self.caps, self.high)


def solve(problem: AcProblem) -> AcSolution:
    """Return the allocation for ``problem``. Raises `ConfigError` when nodes are unknown or form a loop."""
    model = build(problem)
    on, exact = admit(problem, model)
    priority = [c.priority for c in problem.connectors]
    value = [0] * len(problem.connectors)
    while on:
        x, _, fair = share(model, on, priority)
        exact = exact and fair
        stepper = Stepper(model, on, x, problem.step_ma, priority)
        if stepper.repair():
            stepper.hand_out()
        if stepper.holds():
            value = stepper.value
            break
        exact = False
        last = max(on, key=lambda i: (-priority[i], problem.connectors[i].charging_s, i))
        on = [i for i in on if i != last]
    admitted = set(on)
    return AcSolution(
        current_ma={c.id: value[i] for i, c in enumerate(problem.connectors)},
        waiting=tuple(problem.connectors[i].id for i in model.candidates if i not in admitted),
        exact=exact,
    )
