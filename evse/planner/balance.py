"""Imbalance limits counted with what vehicles really draw, and with what nobody knows about them.

Shares that keep a difference between two phases keep it with currents only if everybody draws the whole share. A vehicle that
is known to draw less leaves its phases emptier than its share says: that much less may flow on the others. Where its own phases are
the fuller ones the whole share counts, because it may draw it at any time; so do fuses and power limits.

A vehicle of which nobody knows the lines yet, or that draws nothing and may begin again, is *unsure*: its minimum may load its
first line only, two, all, or none. It counts with the worst case in every difference, starts only where that leaves room, and
helps nobody on the other side.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence

import msgspec

from evse.planner.ac import solve
from evse.planner.ac_problem import (
    PHASES,
    ROTATIONS,
    UNLIMITED_MA,
    AcNode,
    AcProblem,
    AcSolution,
    Phases,
    ceiling_ma,
    phases_of,
)
from evse.planner.transition import Follower, Pairs, Row, ac_rows, raised

PASSES_MAX = 6
STARTS_MAX = 4
"""Questions about who may start; after the last one nobody may."""

ROUNDS_MAX = 16
"""So often everybody follows, in thought, to see who can start on the way to a plan."""

ROUNDING_MA = 2
SUFFIX = " balance"
"""Ends the name of a node that only counts differences."""


def unsure_pairs(rotation: str, lines: int) -> Pairs:
    """Differences (of phase p to q) that a vehicle may enlarge: ``lines`` = those it is known to use if it draws, 0 = unknown;
    an unknown rotation ("") = any."""
    if rotation not in ROTATIONS:
        return () if lines == PHASES else tuple((p, q) for p in range(PHASES) for q in range(PHASES) if p != q)
    order = ["RST".index(letter) for letter in rotation]
    if not lines:
        return tuple((order[i], order[k]) for i in range(PHASES) for k in range(i + 1, PHASES))
    return tuple((p, q) for p in order[:lines] for q in order[lines:])


def solve_by_draw(
    problem: AcProblem,
    draws: Mapping[str, int],
    ask: Callable[[AcProblem], AcSolution] = solve,
    unsure: Mapping[str, Pairs] | None = None,
) -> tuple[AcProblem, AcSolution]:
    """Return the question that was solved last, and its answer.

    ``draws`` = connectors that are known to draw no more than this, mA per phase, whatever larger share they have; ``unsure`` =
    those that load nobody knows which phases (three lines in ``problem``, which adds to no difference); all others count with
    their shares. Without an imbalance limit, or when nothing is missing or unsure, the question stays as it is.
    """
    if not (draws or unsure) or all(node.imbalance_ma is None for node in problem.nodes):
        return problem, ask(problem)
    missing = {c.id: max(0, ceiling_ma(c) - draws[c.id]) for c in problem.connectors if c.id in draws}
    for turn in range(PASSES_MAX):
        asked = _shifted(problem, missing, unsure or {})
        solution = ask(asked)
        found = {name: max(0, solution.current_ma[name] - draws[name]) for name in missing}
        if found == missing:
            break
        safe = turn >= PASSES_MAX // 2  # no fixed point in sight: at least as much is missing as was found before
        missing = {name: max(ma, missing[name]) for name, ma in found.items()} if safe else found
    return asked, solution


def solve_with_starts(
    problem: AcProblem, draws: Mapping[str, int], unsure: Mapping[str, Pairs], starters: Sequence[str], stay: Collection[str],
    ask: Callable[[AcProblem], AcSolution] = solve,
) -> tuple[AcProblem, AcSolution, frozenset[str]]:  # fmt: skip
    """As `solve_by_draw`, and who has to wait with its start: ``starters`` (the first one first) begin with their minimum only
    if every difference holds whatever lines they use, and nobody who shall ``stay`` is paused for them."""
    active = list(starters)
    for _ in range(STARTS_MAX):
        base, counted, waits = _with_starts(problem, unsure, starters, active)
        asked, solution = solve_by_draw(base, draws, ask, counted)
        given = solution.current_ma
        off = [name for name in active if not given[name]]
        if off:
            active = [name for name in active if given[name]]
        elif not active or (all(given[name] for name in stay) and _holds(base, given, draws, counted)):
            return asked, solution, waits
        else:
            active = active[: len(active) // 2]
    base, counted, waits = _with_starts(problem, unsure, starters, ())
    return *solve_by_draw(base, draws, ask, counted), waits


def _with_starts(
    problem: AcProblem, unsure: Mapping[str, Pairs], starters: Sequence[str], active: Collection[str]
) -> tuple[AcProblem, dict[str, Pairs], frozenset[str]]:
    """Return the question in which of ``starters`` only the ``active`` ask, who is unsure in it, and who waits."""
    waits = frozenset(starters) - frozenset(active)
    return without(problem, waits), {name: pairs for name, pairs in unsure.items() if name not in waits}, waits


def without(problem: AcProblem, waits: Collection[str]) -> AcProblem:
    """Return the question in which those of ``waits`` ask for nothing."""
    cars = tuple(msgspec.structs.replace(c, demand_ma=0) if c.id in waits else c for c in problem.connectors)
    return msgspec.structs.replace(problem, connectors=cars)


def cannot_start(
    rows: Sequence[Row],
    wanted: Mapping[str, int],
    shares: Mapping[str, int],
    least: Mapping[str, int],
    step: int,
    draws: Mapping[str, int],
    first: Sequence[str] = (),
) -> frozenset[str]:
    """Return who of ``wanted`` gets nothing on any way there, even when all the others follow at once what they are told.

    Nobody controls when a vehicle begins to draw: it may start only where every limit holds with its minimum and with those that
    flow already. One-phase vehicles that balance each other only when all of them draw do not start for a limit below
    their minimum. ``shares`` = those in force; ``draws`` = what vehicles draw of them that draw less.
    """
    now = dict(shares)
    for _ in range(ROUNDS_MAX):
        drawn = {name: min(ma, draws.get(name, ma)) if ma <= shares[name] else ma for name, ma in now.items()}
        after = raised(rows, wanted, {name: Follower(share=ma) for name, ma in now.items()}, least, step, drawn, first)
        if after == now or all(after[name] for name, ma in wanted.items() if ma):
            break
        now = after
    return frozenset(name for name, ma in wanted.items() if ma and not shares[name] and not after[name])


def _holds(problem: AcProblem, given: Mapping[str, int], draws: Mapping[str, int], unsure: Mapping[str, Pairs]) -> bool:
    """True when every limit holds with these shares, drawn or not, and whatever lines the unsure ones use."""
    low = {name: min(ma, draws.get(name, ma)) for name, ma in given.items()}
    return all(row.left(low if row.against else given, low) >= -ROUNDING_MA - problem.step_ma for row in ac_rows(problem, unsure))


def _shifted(problem: AcProblem, missing: Mapping[str, int], unsure: Mapping[str, Pairs]) -> AcProblem:
    """Return the problem with nodes of their own for each imbalance limit: one for each difference that is larger than shares
    say, by what is ``missing`` on its lower side and by the worst case of ``unsure`` on its upper one, as another load."""
    parent = {node.id: node.parent for node in problem.nodes}
    more: dict[str, dict[tuple[int, int], int]] = {node.id: {} for node in problem.nodes if node.imbalance_ma is not None}
    for c in problem.connectors:
        lacks, on = missing.get(c.id, 0), phases_of(c)
        amounts = {(p, q): lacks for q in on for p in range(PHASES) if lacks and p not in on}
        if ceiling_ma(c):
            amounts |= dict.fromkeys(unsure.get(c.id, ()), c.min_ma)
        at: str | None = c.node if amounts else None
        while at is not None:
            if at in more:
                for pair, ma in amounts.items():
                    more[at][pair] = more[at].get(pair, 0) + ma
            at = parent[at]
    nodes: list[AcNode] = []
    for node in problem.nodes:
        pairs = more.get(node.id)
        if not pairs:
            nodes.append(node)
            continue
        other, up, name = node.background_ma, node.parent, node.id
        for load in dict.fromkeys([(0, 0, 0), *(_worst(pairs, pair) for pair in sorted(pairs))]):
            name += SUFFIX
            nodes.append(
                AcNode(
                    id=name, parent=up, limit_ma=(UNLIMITED_MA, UNLIMITED_MA, UNLIMITED_MA), imbalance_ma=node.imbalance_ma,
                    background_ma=(other[0] + load[0], other[1] + load[1], other[2] + load[2]),
                )
            )
            up = name
        nodes.append(msgspec.structs.replace(node, parent=up, imbalance_ma=None))
    return msgspec.structs.replace(problem, nodes=tuple(nodes))


def _worst(more: Mapping[tuple[int, int], int], pair: tuple[int, int]) -> Phases:
    """A load that enlarges the difference ``pair`` as much as it can be, and no other one by more than that can be."""
    p, q = pair
    r = PHASES - p - q
    load = [0] * PHASES
    load[p], load[r] = more[pair], max(0, more[pair] - more.get((p, r), 0))
    return load[0], load[1], load[2]


__all__ = ["STARTS_MAX", "SUFFIX", "cannot_start", "solve_by_draw", "solve_with_starts", "unsure_pairs", "without"]
