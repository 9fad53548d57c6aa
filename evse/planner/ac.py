"""The AC planner: from a problem to the one allocation that planner.md describes.

In order: limits always; who is on (`ac_admit`); then, priority class by priority class, the lexicographic maximum of
the sorted amps per weight (`ac_fill`), as setpoints on the grid (`ac_steps`). Where an imbalance limit binds, the
answer of the packing rows breaks it: then the packing row that was full first is looked for, which follows from the
limits (`ac_quick`, `ac_lp`), and the sweep goes on from the moment at which it was full. The answer that breaks nothing
is the optimum, because every row that was used follows from the limits.

Pure and exact on integers.
"""

from __future__ import annotations

from evse.planner.ac_admit import admit
from evse.planner.ac_fill import NA_PER_MA, Filler
from evse.planner.ac_lp import Reach, TooHard, cut_from
from evse.planner.ac_problem import AcCut, AcProblem, AcSolution
from evse.planner.ac_quick import Doubt, Quick
from evse.planner.ac_steps import Stepper
from evse.planner.tree import Model, build

ROWS_MAX = 500
"""Questions that one plan may ask about its imbalance limits; a thousand connectors need some twenty."""

SLACK_NA = 100_000
"""A difference row counts as kept when it is broken by no more than this (0.1 mA): rounding, settled by the steps."""


def share(model: Model, on: list[int], priority: list[int]) -> tuple[list[int], list[AcCut], bool]:
    """Exact currents in nA of everybody who is on, the rows that imbalance limits added, and whether it is exact."""
    classes: dict[int, list[int]] = {}
    for i in on:
        classes.setdefault(priority[i], []).append(i)
    cuts: list[AcCut] = []
    filler = Filler(model, on)
    separator = _Separator(model, on) if model.has_differences else None
    for rank in sorted(classes, reverse=True):
        members = classes[rank]
        filler.fill(members)
        if separator is None:
            continue
        risers = members
        try:
            while (first := separator.first_row(filler, risers)) is not None:
                cut, level = first
                cuts.append(cut)
                risers = filler.restrict(risers, level, cut)
                filler.fill(risers, level)
        except TooHard:
            return filler.x, cuts, False
    return filler.x, cuts, True


class _Separator:
    """Finds packing rows that follow from the limits, for one set of connectors that are on."""

    def __init__(self, model: Model, on: list[int]) -> None:
        self.model = model
        self.high = [0] * len(model.members)
        for i in on:
            self.high[model.group_of[i]] += model.high_ma[i] * NA_PER_MA
        self.caps = [cap * NA_PER_MA for cap in model.row_cap_ma]
        self.eased = [cap + SLACK_NA for cap in self.caps]
        self.quick = Quick(model.row_groups, [cap + SLACK_NA // 2 for cap in self.caps], self.high)
        self.reach: Reach | None = None  # made when floating point is in doubt, which is rare
        self.found: list[AcCut] = []
        self.asked = 0

    def first_row(self, filler: Filler, risers: list[int]) -> tuple[AcCut, int] | None:
        """The row that was the first to be full while ``risers`` rose, and their level at that moment; None when they
        broke none. Raises `TooHard`.

        From the top down: a row that is broken there was full at a lower level; what was reached then may break
        another one, and so on until nothing is broken.
        """
        first: tuple[AcCut, int] | None = None
        for cut in self.found:
            level = filler.level_of(risers, cut) if _breaks(filler.totals, cut) else None
            if level is not None and (first is None or level < first[1]):
                first = cut, level
        totals = filler.totals if first is None else filler.totals_at(risers, first[1])
        while (missing := self.missing_row(totals)) is not None:
            level = filler.level_of(risers, missing)
            if level is None or (first is not None and level >= first[1]):
                raise TooHard
            self.found.append(missing)
            first = missing, level
            totals = filler.totals_at(risers, level)
        return first

    def missing_row(self, totals: list[int]) -> AcCut | None:
        """A row that ``totals`` of the groups break; None when they keep every limit. Raises `TooHard`."""
        rows, first = self.model.row_groups, self.model.packing
        if all(sum(c * totals[g] for g, c in rows[r]) <= self.eased[r] for r in range(first, len(rows))):
            return None
        self.asked += 1
        if self.asked > ROWS_MAX:
            raise TooHard
        try:
            return self._quick_row(totals)
        except Doubt:
            if self.reach is None:
                self.reach = Reach(rows, self.eased, self.high)
            proof = self.reach.ask(totals)
            return None if proof is None else cut_from(proof, rows, self.caps, self.high)

    def _quick_row(self, totals: list[int]) -> AcCut | None:
        """The answer by floating point, proven in whole numbers. Raises `Doubt` when it cannot be."""
        rows, proof = self.model.row_groups, self.quick.ask(totals)
        if proof is None:
            point = self.quick.point()
            if any(sum(c * point[g] for g, c in rows[r]) > cap for r, cap in enumerate(self.eased)):
                raise Doubt
            return None
        cut = cut_from(proof, rows, self.caps, self.high)
        if not _breaks(totals, cut):
            raise Doubt
        return cut


def _breaks(totals: list[int], cut: AcCut) -> bool:
    """True when ``totals`` break ``cut`` by more than rounding."""
    return sum(c * totals[g] for g, c in cut.coefficients) > cut.cap_na + SLACK_NA // 4


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
