"""Matrix cabinets: any group to any connector.

Groups that give every connector the same power are one *kind*; a plan only says how many of each kind a connector gets,
and which ones follows from who had them before. The exact search walks the connectors; its state is what is left of
each
kind, and per state it keeps the best (levels, relay operations, groups, strain), as on the bus. Twelve equal groups are
thirteen states.
With many different kinds the states multiply: the search counts its steps and gives up after `EXACT_STEPS_MAX`; then
the answer is the greedy one (the poorest takes next), improved by exchanges, and says ``exact=False``.

The greedy answer also speeds the exact search up: nobody may end below its poorest connector, which cuts most branches.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from math import prod
from operator import sub
from typing import NamedTuple

from evse.planner.problem import strain
from evse.planner.share import NOBODY, Answer, Levels, Task, inserted

EXACT_STEPS_MAX = 15_000
"""Bound of the exact search, in pairs of state and option looked at; twelve connectors on 24 mixed groups stay below
their 50 ms with it, greedy answer and exchanges included (benchmarks/)."""

OPTIONS_MAX = 4_000
"""Bound of the ways to give groups to connectors, all connectors together, that are listed for the exact search."""

EXCHANGE_ROUNDS_MAX = 32
"""Bound of the improvement rounds after the greedy answer."""


class _Option(NamedTuple):
    counts: tuple[int, ...]  # groups taken, per kind
    value_w: int
    relays: int
    groups: int
    strain: int


class _State(NamedTuple):
    levels: Levels
    relays: int
    groups: int
    strain: int
    option: _Option | None
    before: _State | None


class _Kinds:
    """The groups of a task sorted into kinds."""

    def __init__(self, task: Task) -> None:
        kinds: dict[tuple[tuple[int, bool], ...], list[int]] = {}
        for g in range(task.size):
            key = tuple((power[g], allowed[g]) for power, allowed in zip(task.power_w, task.allowed, strict=True))
            kinds.setdefault(key, []).append(g)
        self.groups = list(kinds.values())
        self.power = [
            [power[members[0]] if allowed[members[0]] else 0 for members in self.groups]
            for power, allowed in zip(task.power_w, task.allowed, strict=True)
        ]
        self.prior = [  # what may not be kept counts as not owned: its contact opens in every answer
            [sum(task.prior[g] == c for g in members) if task.allowed[c][members[0]] else 0 for members in self.groups]
            for c in range(len(task.home))
        ]
        self.counts = tuple(len(members) for members in self.groups)


def _highs(task: Task, kinds: _Kinds, c: int) -> list[int]:
    """How many groups of each kind ``c`` may take at most."""
    power, prior, ceiling = kinds.power[c], kinds.prior[c], task.ceiling_w[c]
    most = task.max_groups or task.size
    # Of a kind, more than the ceiling needs is only worth keeping when it is there already.
    return [
        min(n, most, max(k, -(-ceiling // p) if p else 0)) for p, n, k in zip(power, kinds.counts, prior, strict=True)
    ]


def _options(task: Task, kinds: _Kinds, c: int, floor_w: int) -> list[_Option]:
    """Ways to serve ``c`` with at least ``floor_w`` (or its ceiling), without groups that nobody needs."""
    power, prior, ceiling = kinds.power[c], kinds.prior[c], task.ceiling_w[c]
    most = task.max_groups or task.size
    floor = min(ceiling, max(floor_w, task.min_w))
    highs = _highs(task, kinds, c)
    found: list[_Option] = []
    for counts in product(*(range(high + 1) for high in highs)):
        groups = sum(counts)
        if groups > most:
            continue
        total = sum(n * p for n, p in zip(counts, power, strict=True))
        value = min(total, ceiling)
        if value < floor:
            continue
        if any(n > k and total - p >= value for n, k, p in zip(counts, prior, power, strict=True)):
            continue  # one of the new groups is not needed
        relays = sum(abs(n - k) for n, k in zip(counts, prior, strict=True))
        found.append(_Option(counts, value, relays, groups, strain(value, total)))
    return found


def _search(task: Task, kinds: _Kinds, floor: Levels) -> list[tuple[int, ...]] | None:
    """Exact counts per connector; an empty list when the minimums do not fit; None when the bound was reached.

    ``floor`` = sorted values of an answer that exists, or () without one. The i-th smallest value of a finished answer
    is at most the i-th smallest of any part of it: a part below ``floor`` can never become better and is dropped.
    """
    if sum(prod(high + 1 for high in _highs(task, kinds, c)) for c in range(len(task.home))) > OPTIONS_MAX:
        return None
    options = [_options(task, kinds, c, floor[0] if floor else task.min_w) for c in range(len(task.home))]
    order = sorted(range(len(options)), key=lambda c: len(options[c]))
    states: dict[tuple[int, ...], _State] = {kinds.counts: _State((), 0, 0, 0, None, None)}
    steps = 0
    for index, c in enumerate(order):
        waiting = len(order) - index - 1  # each of them needs a group at least
        following: dict[tuple[int, ...], _State] = {}
        reach = floor[: index + 1]
        for left, state in states.items():
            room = sum(left) - waiting
            steps += len(options[c])
            if steps > EXACT_STEPS_MAX:
                return None
            for option in options[c]:
                if option.groups > room:
                    continue
                rest = tuple(map(sub, left, option.counts))
                if rest and min(rest) < 0:
                    continue
                levels = inserted(state.levels, option.value_w)
                if levels < reach:
                    continue
                old = following.get(rest)
                if old is not None and levels < old.levels:
                    continue
                relays, groups, strained = state.relays + option.relays, state.groups + option.groups, state.strain + option.strain
                if old is None or levels > old.levels or (relays, groups, strained) < (old.relays, old.groups, old.strain):
                    following[rest] = _State(levels, relays, groups, strained, option, state)
        states = following
    if not states:
        return []
    best: _State | None = max(states.values(), key=lambda s: (s.levels, -s.relays, -s.groups, -s.strain))
    counts: list[tuple[int, ...]] = [()] * len(order)
    for c in reversed(order):
        if best is not None and best.option is not None:
            counts[c] = best.option.counts
            best = best.before
    return counts


def _placed(task: Task, kinds: _Kinds, counts: list[tuple[int, ...]]) -> Answer:
    """Turn counts into groups: keep what one had, then take the lowest free positions, its home first."""
    owner = [NOBODY] * task.size
    for c, taken in enumerate(counts):
        for kind, n in enumerate(taken):
            for g in [g for g in kinds.groups[kind] if task.prior[g] == c][:n]:
                owner[g] = c
    for c, taken in enumerate(counts):
        for kind, n in enumerate(taken):
            missing = n - sum(owner[g] == c for g in kinds.groups[kind])
            free = [g for g in kinds.groups[kind] if owner[g] == NOBODY]
            free.sort(key=lambda g: (g != task.home[c], g))
            for g in free[:missing]:
                owner[g] = c
    return Answer(owner=owner, value_w=_values(task, owner))


def _values(task: Task, owner: list[int]) -> list[int]:
    totals = [0] * len(task.home)
    for g, c in enumerate(owner):
        if c != NOBODY:
            totals[c] += task.power_w[c][g]
    return [min(total, ceiling) for total, ceiling in zip(totals, task.ceiling_w, strict=True)]


def _greedy(task: Task) -> list[int]:
    """The poorest below its ceiling takes next: of the free groups the smallest that satisfies it, else the largest;
    its own first."""
    owner = [NOBODY] * task.size
    most = task.max_groups or task.size
    open_ = set(range(len(task.home)))
    total = [0] * len(task.home)
    held = [0] * len(task.home)
    while open_:
        c = min(open_, key=lambda c: (total[c], c))
        lack = task.ceiling_w[c] - total[c]
        power = task.power_w[c]
        free = [g for g in range(task.size) if owner[g] == NOBODY and task.allowed[c][g] and power[g] > 0]
        if lack <= 0 or not free or held[c] >= most:
            open_.discard(c)
            continue
        enough = [g for g in free if power[g] >= lack]
        if enough:
            g = min(enough, key=lambda g: (power[g], task.prior[g] != c, task.prior[g] != NOBODY, g))
        else:
            g = min(free, key=lambda g: (-power[g], task.prior[g] != c, task.prior[g] != NOBODY, g))
        owner[g] = c
        total[c] += power[g]
        held[c] += 1
    return owner


def _moves(task: Task, owner: list[int]) -> Iterator[list[tuple[int, int]]]:
    """Single hand-overs and swaps of two groups, as (group, new owner)."""
    size, count = task.size, len(task.home)
    for g in range(size):
        for c in range(count):
            if c != owner[g] and task.allowed[c][g]:
                yield [(g, c)]
    for a in range(size):
        for b in range(a + 1, size):
            ca, cb = owner[a], owner[b]
            if ca == cb or (ca != NOBODY and not task.allowed[ca][b]) or (cb != NOBODY and not task.allowed[cb][a]):
                continue
            yield [(a, cb), (b, ca)]


def _exchange(task: Task, owner: list[int]) -> list[int]:
    """Improve by hand-overs and swaps while the levels rise; first improvement, bounded."""
    most = task.max_groups or task.size
    best = sorted(_values(task, owner))
    for _ in range(EXCHANGE_ROUNDS_MAX):
        improved = False
        for move in _moves(task, owner):
            old = [(g, owner[g]) for g, _ in move]
            for g, c in move:
                owner[g] = c
            new = sorted(_values(task, owner))
            if new > best and all(c == NOBODY or owner.count(c) <= most for _, c in move):
                best, improved = new, True
                break
            for g, c in old:
                owner[g] = c
        if not improved:
            break
    return owner


def fits_matrix(task: Task) -> bool:
    """Return True when every connector of ``task`` can get the minimum (False also when no way was found in time)."""
    if not task.home or min(_values(task, _greedy(task))) >= task.min_w:
        return True
    return solve_matrix(task) is not None


def solve_matrix(task: Task) -> Answer | None:
    """Serve every connector of ``task``, or return None when the minimums do not fit together (or no way was found)."""
    if not task.home:
        return Answer(owner=[NOBODY] * task.size, value_w=[])
    greedy = _exchange(task, _greedy(task))
    values = _values(task, greedy)
    fits = min(values) >= task.min_w
    kinds = _Kinds(task)
    counts = _search(task, kinds, tuple(sorted(values)) if fits else ())
    if counts is None:
        return Answer(owner=_trimmed(task, greedy), value_w=values, exact=False) if fits else None
    return _placed(task, kinds, counts) if counts else None


def _trimmed(task: Task, owner: list[int]) -> list[int]:
    """Give back groups whose owner reaches the same value without them, those that it did not have before first."""
    values = _values(task, owner)
    for g in sorted(range(task.size), key=lambda g: task.prior[g] == owner[g]):
        kept, owner[g] = owner[g], NOBODY
        if _values(task, owner) != values:
            owner[g] = kept
    return owner
