"""Turns of DC connectors: who waits when the minimums do not fit for all, and for how long.

The problem of one moment (`evse.planner.dc`) serves connectors in order of their charging time. A running site remembers more:
who is on or waits since when. `arranged` turns that into the order of the problem:

1. who began to charge less than a dwell ago, and whoever else is on while nobody may take a turn: nobody flaps;
2. who waits, the longest first, after a dwell of waiting (a newcomer, and who had to wait for module groups: at once);
3. who is on for longer than a dwell, the shortest first: the longest-charging waits;
4. who was paused a moment ago: it comes back to free room only, a minute after its pause or when somebody has left.

So nobody starves. With room for k of n minimums, k of those who wait take their turn in every dwell, and nobody comes in before
them: each gets the minimum within ``ceil(n / k)`` dwells. Where module groups of a matrix differ, so that who waits needs more
of them than one turn sets free, who has waited for two dwells gets the next turns alone: within ``n + 2`` dwells.

On a bus a connector is never paused for one whose own home group does not give the minimum: module groups that are silent or
broken are no scarcity of the site. Such a connector is served as soon as a group beside it is idle.

Pure; independent of the order of its arguments.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

import msgspec

from evse.domain.base import Frozen
from evse.domain.station import Topology
from evse.planner.dc import fits
from evse.planner.problem import DcConnector, DcProblem, ceiling_w, group_power_w, site_cap_w
from evse.units import NS_PER_S, DurationNs, Instant

DWELL_S = 300
"""Dwell of a site that names none, s."""

RETURN_NS: DurationNs = 60 * NS_PER_S
"""A paused connector comes back to free room after so long: limits that rise and fall do not switch vehicles on and off."""

OVERDUE_DWELLS = 2
replace = msgspec.structs.replace


class Turn(Frozen, frozen=True, kw_only=True):
    """One connector that asks: on, or waiting, since an instant. ``fresh`` = it may take a turn without waiting for a dwell;
    ``free`` = it may come back to free room without waiting for `RETURN_NS`."""

    id: str
    on: bool
    since: Instant
    fresh: bool = False
    free: bool = False


class Turns(Frozen, frozen=True, kw_only=True):
    """All connectors that ask."""

    rows: tuple[Turn, ...] = ()

    def of(self) -> Mapping[str, Turn]:
        """By name."""
        return {row.id: row for row in self.rows}


def observe(turns: Turns, asks: Collection[str], on: Collection[str], lacking: Collection[str], now: Instant) -> Turns:
    """Return the turns after a look at the plan in force.

    ``asks`` = who asks for power; ``on`` = who is given some; ``lacking`` = who is given none for want of module groups.
    Somebody who no longer asks lets those who wait come back at once.
    """
    known = turns.of()
    left = any(row.id not in asks for row in turns.rows)
    rows = []
    for name in sorted(asks):
        row, given = known.get(name), name in on
        if row is None:
            row = Turn(id=name, on=given, since=now, fresh=True, free=True)
        elif row.on is not given:
            row = Turn(id=name, on=given, since=now, free=not given and name in lacking)
        if not row.on and left:
            row = replace(row, free=True)
        rows.append(row)
    after = Turns(rows=tuple(rows))
    return turns if after == turns else after


def freed(turns: Turns) -> Turns:
    """Return the turns as if nobody had been paused a moment ago: for questions of what would be."""
    return Turns(rows=tuple(replace(row, free=True) for row in turns.rows))


def back_in_ns(turn: Turn, dwell_ns: DurationNs, now: Instant) -> DurationNs:
    """Return how long a paused connector has to wait for free room, whatever room there is; 0 = not at all."""
    return 0 if turn.on or turn.free else max(0, turn.since + min(RETURN_NS, dwell_ns) - now)


def arranged(problem: DcProblem, turns: Turns, dwell_ns: DurationNs, now: Instant) -> DcProblem:
    """Return ``problem`` with charging times that put its connectors in the order of their turns; who must not come back yet
    asks for nothing. Connectors that ``turns`` does not know are newcomers."""
    known = turns.of()
    mine = {c.id: known.get(c.id) or Turn(id=c.id, on=False, since=now, fresh=True, free=True) for c in problem.connectors}
    rows = tuple(replace(c, request_w=0) if back_in_ns(mine[c.id], dwell_ns, now) else c for c in problem.connectors)
    problem = replace(problem, connectors=rows)
    able = {c.id for c in rows if ceiling_w(problem, c) >= max(1, problem.min_w)}
    weak = _weak(problem, able)
    waiting = {
        t.id: t for t in mine.values() if not t.on and t.id in able and (t.fresh or now - t.since >= dwell_ns)
    }
    late = [t for t in waiting.values() if now - t.since >= OVERDUE_DWELLS * dwell_ns and t.id not in weak and fits(problem, [t.id])]
    head = min(late, key=lambda t: (t.since, _number(t.id))).id if late else None

    def key(c: DcConnector) -> tuple[int, int, tuple[int, str]]:
        t = mine[c.id]
        if t.on:
            return 0 if not waiting or now - t.since < dwell_ns else 2, -t.since, _number(c.id)
        return 1 if c.id in waiting and head in (None, c.id) else 3, t.since, _number(c.id)

    queue = sorted(rows, key=key)
    order = {name: place for place, name in enumerate(_homes_first(problem, [c.id for c in queue], able, weak))}
    return replace(problem, connectors=tuple(replace(c, charging_s=order[c.id]) for c in rows))


def _weak(problem: DcProblem, able: Collection[str]) -> frozenset[str]:
    """Connectors on a bus whose own home group does not give the minimum."""
    least, found = max(1, problem.min_w), set()
    for cabinet in problem.cabinets:
        if cabinet.topology is not Topology.MATRIX:
            home = {g.home: g for g in reversed(cabinet.groups) if g.home is not None}
            found |= {
                c.id for c in problem.connectors
                if c.id in able and c.cabinet == cabinet.id
                and (c.id not in home or group_power_w(home[c.id], c.voltage_mv) < least)
            }  # fmt: skip
    return frozenset(found)


def _homes_first(problem: DcProblem, queue: list[str], able: Collection[str], weak: Collection[str]) -> list[str]:
    """Return ``queue`` with those of `_weak` behind everybody whom they would pause. Others change places with nobody."""
    if not weak:
        return queue
    least, cap = max(1, problem.min_w), site_cap_w(problem)
    room = len(queue) if cap is None else cap // least
    refused: set[str] = set()
    while True:
        chosen = [name for name in queue if name in able and name not in refused][:room]
        served = [name for name in chosen if name not in weak]
        for name in (name for name in chosen if name in weak):
            if not fits(problem, [*served, name]):
                refused.add(name)
                break
            served.append(name)
        else:
            return [*served, *(name for name in queue if name not in served)]


def _number(name: str) -> tuple[int, str]:
    return (int(name), "") if name.isdecimal() else (0, name)


__all__ = ["DWELL_S", "Turn", "Turns", "arranged", "back_in_ns", "freed", "observe"]
