"""Chain and ring cabinets, exact.

On a bus an owner holds one run of neighbouring groups that contains its home, and the home of a connector that
delivers belongs to nobody else: so each stretch of groups between two live homes is split between these two. The
dynamic program walks the live homes in bus order; its state is the right end of the last run. What it keeps per state
is the best (levels, relay operations, groups, strain): adding the same value to two level vectors keeps their leximax order,
and the three counts just add, so the best prefix stays the best. A ring is cut before the first run, once per possible
start.

Cost: the sum over live homes of (groups to the left + 1) * (groups to the right + 1), for a ring times the first gap.
"""

from __future__ import annotations

from typing import NamedTuple

from evse.domain.base import unreachable
from evse.planner.problem import strain
from evse.planner.share import NOBODY, Answer, Levels, Task, inserted


class _Run(NamedTuple):
    start: int  # unrolled: -size < start, end < 2 * size
    end: int
    value_w: int
    relays: int  # change of the relay count against "all ties open"
    groups: int
    strain: int


class _State(NamedTuple):
    levels: Levels
    relays: int
    groups: int
    strain: int
    run: _Run
    before: _State | None


def _better(a: _State, b: _State | None) -> bool:
    """More power level by level, then fewer relay operations, then fewer groups, then modules nearer to their best load."""
    if b is None or a.levels != b.levels:
        return b is None or a.levels > b.levels
    return (a.relays, a.groups, a.strain) < (b.relays, b.groups, b.strain)


def _runs(task: Task, connector: int, low: int, high: int) -> list[_Run]:
    """Every run of ``connector`` inside ``low..high`` (unrolled positions) that gives at least the minimum."""
    size, home = task.size, task.home[connector]
    power, allowed, ceiling = task.power_w[connector], task.allowed[connector], task.ceiling_w[connector]
    most = min(task.max_groups or size, size)
    full_ring_tie = task.ring and size > 2
    runs: list[_Run] = []
    left_power, left_relays = 0, 0
    start = home
    while start >= low and home - start < most and (start == home or allowed[start % size]):
        if start < home:
            left_power += power[start % size]
            left_relays += -1 if task.tied[start % size] else 1
        total, relays, end = left_power, left_relays, home
        while end <= high and end - start < most and (end == home or allowed[end % size]):
            total += power[end % size]
            if end > home:
                relays += -1 if task.tied[(end - 1) % size] else 1
            value = min(total, ceiling)
            if value >= task.min_w:
                closing = 0
                if full_ring_tie and end - start + 1 == size:
                    closing = -1 if task.tied[end % size] else 1
                runs.append(_Run(start, end, value, relays + closing, end - start + 1, strain(value, total)))
            end += 1
        start -= 1
    return runs


def _walk(options: list[list[_Run]]) -> _State | None:
    """Best choice of one run per connector, in bus order, without overlap."""
    states: list[tuple[int, _State]] = []  # (right end, best state that ends there or before), rising ends
    for index, runs in enumerate(options):
        at_end: dict[int, _State] = {}
        for run in runs:
            before: _State | None = None
            if index:
                for end, state in reversed(states):
                    if end < run.start:
                        before = state
                        break
                if before is None:
                    continue
                new = _State(
                    inserted(before.levels, run.value_w),
                    before.relays + run.relays,
                    before.groups + run.groups,
                    before.strain + run.strain,
                    run,
                    before,
                )
            else:
                new = _State((run.value_w,), run.relays, run.groups, run.strain, run, None)
            if _better(new, at_end.get(run.end)):
                at_end[run.end] = new
        states = []
        best: _State | None = None
        for end in sorted(at_end):
            if best is None or _better(at_end[end], best):
                best = at_end[end]
            states.append((end, best))
        if not states:
            return None
    return states[-1][1] if states else None


def solve_bus(task: Task) -> Answer | None:
    """Serve every connector of ``task`` (each needs a home), or return None when the minimums do not fit together."""
    size, count = task.size, len(task.home)
    answer = Answer(owner=[NOBODY] * size, value_w=[0] * count)
    if not count:
        return answer
    order = sorted(range(count), key=task.home.__getitem__)
    homes = [task.home[c] for c in order]
    best: _State | None
    if task.ring:
        best = _best_on_ring(task, order, homes)
    else:
        lows = [0, *(home + 1 for home in homes[:-1])]
        highs = [*(home - 1 for home in homes[1:]), size - 1]
        best = _walk([_runs(task, c, low, high) for c, low, high in zip(order, lows, highs, strict=True)])
    if best is None:
        return None
    for c in reversed(order):
        if best is None:
            unreachable("one state per connector")
        for position in range(best.run.start, best.run.end + 1):
            answer.owner[position % size] = c
        answer.value_w[c] = best.run.value_w
        best = best.before
    return answer


def _best_on_ring(task: Task, order: list[int], homes: list[int]) -> _State | None:
    size = task.size
    if len(order) == 1:
        return _walk([_runs(task, order[0], homes[0] - size + 1, homes[0] + size - 1)])
    lows = [homes[-1] - size + 1, *(home + 1 for home in homes[:-1])]
    highs = [*(home - 1 for home in homes[1:]), homes[0] + size - 1]
    options = [_runs(task, c, low, high) for c, low, high in zip(order, lows, highs, strict=True)]
    best: _State | None = None
    for start in sorted({run.start for run in options[0]}, reverse=True):
        first = [run for run in options[0] if run.start == start]
        last = [run for run in options[-1] if run.end < start + size]
        found = _walk([first, *options[1:-1], last])
        if found is not None and _better(found, best):
            best = found
    return best
