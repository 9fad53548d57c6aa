"""From one plan to the next: shares fall at once, and rise when there is room beside what may still flow.

A plan says what everybody shall have; between two plans a vehicle may need seconds to follow, may never follow, or a group
of modules may fall silent. So each connector has a `Follower`: the share in force, and what it may still draw because its
share was larger a moment ago. Each limit is a `Row`. `raised` gives more only while every row holds with the largest draws
of all, whatever else happens: no step has to be completed for the state after it to be within every limit.

    lower (in the tick) -> wait for the meter, or the time-out -> raise

Which relays move, and when, is decided in `evse.core.power_path` on every tick from the readings themselves: ramp down, open,
close, pre-charge, ramp up. A plan only says who shall hold which module group in the end.

Pure, integers, deterministic; independent of the order of its arguments. Amounts are mA per phase (AC) or W (DC) throughout.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from evse.domain.base import Frozen
from evse.domain.limits import Plan
from evse.planner.ac_problem import PHASES, AcProblem, Phases, phases_of
from evse.units import NS_PER_S, DurationNs, Instant

FALLS_MAX = 16
"""Reductions remembered per connector; the next one is counted as one with the last, larger amount and later time."""

PASSES_MAX = 4

PAUSE_SLACK = 500
"""Nobody is stopped for a difference that is exceeded by no more than this, mA: meters differ, and vehicles draw a little less."""


class Pace(Frozen, frozen=True, kw_only=True):
    """How connectors follow. Before ``follow_ns`` nothing is believed, after ``wait_max_ns`` a missing reading is no longer
    waited for. A draw up to ``slack`` (or ``slack_permille`` of it) above the share obeys: meters differ."""

    follow_ns: DurationNs
    wait_max_ns: DurationNs
    slack: int
    slack_permille: int = 0

    def above(self, share: int) -> int:
        """How much above a share a draw still counts as obedience."""
        return max(self.slack, share * self.slack_permille // 1000)


AC_PACE = Pace(follow_ns=5 * NS_PER_S, wait_max_ns=10 * NS_PER_S, slack=500)
"""A vehicle follows a new duty cycle within 5 s (IEC 61851-1); a meter shows it up to 5 s later."""

DC_PACE = Pace(follow_ns=2 * NS_PER_S, wait_max_ns=12 * NS_PER_S, slack=1_000, slack_permille=20)
"""Modules are told at once and read every 0.5 s; one that hears nothing switches off by itself after 10 s."""


class Fall(Frozen, frozen=True, kw_only=True):
    """One reduction: the share that was in force until ``at``."""

    was: int
    at: Instant


class Follower(Frozen, frozen=True, kw_only=True):
    """One connector. ``falls`` = reductions that it may not have followed yet, oldest first; ``ignores`` = what it draws
    although it had time to follow a smaller share, 0 = it obeys."""

    share: int = 0
    falls: tuple[Fall, ...] = ()
    lowered_at: Instant = 0
    ignores: int = 0

    @property
    def held(self) -> int:
        """The largest share that may still be drawn, the one in force among them."""
        return max(self.share, max((fall.was for fall in self.falls), default=0))

    @property
    def reserved(self) -> int:
        """What others must leave to it."""
        return max(self.held, self.ignores)


def follow(f: Follower, measured: int | None, pace: Pace, now: Instant, *, cut: bool = False) -> Follower:
    """Return the follower after a reading of what it draws (None = no fresh one). ``cut`` = its contactor is known to be open;
    with a share of 0 it stays open, so nothing has to be waited for."""
    above = measured is not None and measured - f.share > pace.above(f.share)
    later = (*(fall.was for fall in f.falls[1:]), f.share)
    falls = tuple(fall for fall, low in zip(f.falls, later, strict=False) if _waits(fall, low, measured, pace, now))
    if cut and f.share == 0:
        falls = ()
    timely = bool(falls) or now - f.lowered_at < pace.follow_ns
    held = max(f.share, max((fall.was for fall in falls), default=0))
    late = not timely or (measured is not None and measured > held + pace.above(held))  # an earlier reduction has run out of time
    ignores = (measured or 0) if above and (f.ignores or late) else 0
    if falls == f.falls and ignores == f.ignores:
        return f
    return msgspec.structs.replace(f, falls=falls, ignores=ignores)


def _waits(fall: Fall, low: int, measured: int | None, pace: Pace, now: Instant) -> bool:
    """Return True while it may still draw what it had before ``fall``; ``low`` = the most it was allowed after it.
    A small reduction is confirmed by a reading that is nearer to the new share than to the old one."""
    unsure = measured is None or measured - low > min(pace.above(low), (fall.was - low) // 2)
    waited = now - fall.at
    return waited < pace.follow_ns or (unsure and waited < pace.wait_max_ns)


def set_share(f: Follower, share: int, now: Instant) -> Follower:
    """Return the follower with another share in force from ``now`` on."""
    if share >= f.share:
        return f if share == f.share else msgspec.structs.replace(f, share=share)
    falls = (*f.falls, Fall(was=f.share, at=now))
    if len(falls) > FALLS_MAX:
        falls = (*falls[:-2], Fall(was=max(falls[-2].was, f.share), at=now))
    return msgspec.structs.replace(f, share=share, falls=falls, lowered_at=now)


# -- limits -----------------------------------------------------------------------------------------------------------


class Row(Frozen, frozen=True, kw_only=True):
    """One limit: the sum of ``draws`` (weight per name) at their largest, less ``against`` at their smallest, is at most
    ``most``. Who loads both sides of a difference alike is in neither. ``of`` = the node of which it is a difference, "" = it is
    none."""

    most: int
    draws: Mapping[str, int]
    against: Mapping[str, int] = {}
    of: str = ""

    def left(self, high: Mapping[str, int], low: Mapping[str, int]) -> int:
        """What is left, negative when the limit is exceeded."""
        taken = sum(weight * high[name] for name, weight in self.draws.items())
        return self.most - taken + sum(weight * low[name] for name, weight in self.against.items())


Pairs = tuple[tuple[int, int], ...]
"""Differences (of phase p to q, 0 = L1)."""


def ac_rows(
    problem: AcProblem, unsure: Mapping[str, Pairs] | None = None, certain: Mapping[str, Phases] | None = None
) -> tuple[Row, ...]:
    """Every limit of an AC problem: each node and phase, kW, and differences of two phases both ways. In mA.

    ``unsure`` = the differences that a connector of three lines may enlarge, because nobody knows which lines it uses; ``certain`` =
    what other loads of a node take at least, where that is less than what counts of them."""
    parent = {node.id: node.parent for node in problem.nodes}
    inside: dict[str, list[tuple[str, tuple[int, ...]]]] = {node.id: [] for node in problem.nodes}
    for c in problem.connectors:
        at: str | None = c.node
        while at is not None:
            inside[at].append((c.id, phases_of(c)))
            at = parent[at]
    rows = []
    for node in problem.nodes:
        here, other = inside[node.id], node.background_ma
        low = (certain or {}).get(node.id, other)
        on = [{name: 1 for name, phases in here if k in phases} for k in range(PHASES)]
        rows += [Row(most=node.limit_ma[k] - other[k], draws=on[k]) for k in range(PHASES)]
        if node.limit_w is not None:
            most = node.limit_w * 1_000_000 // problem.voltage_mv - sum(other)
            rows.append(Row(most=most, draws={name: len(phases) for name, phases in here}))
        if node.imbalance_ma is not None:
            for p in range(PHASES):
                for q in range(PHASES):
                    if p != q:
                        beside = other[p] - low[q]
                        maybe = {name: 1 for name, _ in here if (p, q) in (unsure or {}).get(name, ())}
                        draws, against = _without(on[p], on[q]) | maybe, _without(on[q], on[p])
                        rows.append(Row(most=max(node.imbalance_ma, beside) - beside, draws=draws, against=against, of=node.id))
    return tuple(row for row in rows if row.draws or row.against)


def _without(a: Mapping[str, int], b: Mapping[str, int]) -> dict[str, int]:
    return {name: weight for name, weight in a.items() if name not in b}


def raised(
    rows: Sequence[Row],
    wanted: Mapping[str, int],
    followers: Mapping[str, Follower],
    least: Mapping[str, int],
    step: int,
    drawn: Mapping[str, int] | None = None,
    first: Sequence[str] = (),
) -> dict[str, int]:
    """Return the shares that may be in force now on the way to ``wanted``: no larger than wanted unless the present share is, none
    below ``least`` unless 0, on the grid ``step`` unless wanted or present.

    With what everybody may draw under these shares or still draws under the last ones, no row that holds is broken and one
    that is exceeded already does not get worse. Who has least rises first. ``drawn`` = what flows for sure: differences count the
    other side with no more than that, and a share falls no further than they permit while others have not followed; None = all
    fall at once and differences count shares. Shares above a limit without another side (a fuse, a power limit) fall at once,
    whatever becomes of differences.

    A difference that is exceeded although nobody was told so (somebody has stopped by himself, a limit has fallen) is answered
    here and now: with these shares it holds as soon as they are followed. Where the minimums are too much, vehicles stop, those of
    ``first`` first; up to `PAUSE_SLACK` nobody does.
    """
    if drawn is None and all(followers[name].reserved <= amount for name, amount in wanted.items()):
        return dict(wanted)
    way = _Way(rows, wanted, followers, step, drawn)
    way.fall(least)
    if drawn is not None:
        way.give_way(least, first)
    way.rise(least)
    return way.given


class _Way:
    """Shares between the present ones and the wanted ones, with what every row has left."""

    def __init__(
        self, rows: Sequence[Row], wanted: Mapping[str, int], followers: Mapping[str, Follower], step: int, drawn: Mapping[str, int] | None
    ) -> None:
        self.wanted, self.step, self.drawn = wanted, step, drawn
        self.share = {name: followers[name].share for name in wanted}
        self.given = {name: ma if drawn is not None else min(ma, wanted[name]) for name, ma in self.share.items()}
        self.high = {name: max(ma, followers[name].reserved) for name, ma in self.given.items()}
        self.rows = rows
        low = {name: self.low(name) for name in wanted}
        self.left = [row.left(self.high, low) for row in rows]
        self.loads: dict[str, list[tuple[int, int]]] = {name: [] for name in wanted}  # (row, weight)
        self.helps: dict[str, list[tuple[int, int]]] = {name: [] for name in wanted}
        for r, row in enumerate(rows):
            for name, weight in row.draws.items():
                self.loads[name].append((r, weight))
            for name, weight in row.against.items():
                self.helps[name].append((r, weight))

    def low(self, name: str) -> int:
        """What it draws at least once it has followed."""
        ma = self.given[name]
        return ma if self.drawn is None else min(ma, self.drawn.get(name, ma))

    def lowest(self, name: str, to: int) -> int:
        """``to``, or the larger share down to which every difference that it helps permits it to fall."""
        low = self.low(name)
        room = min((max(0, self.left[r]) // weight for r, weight in self.helps[name]), default=low)
        return max(to, -(-(low - room) // self.step) * self.step)

    def _set(self, name: str, amount: int) -> None:
        before = self.low(name)
        self.given[name] = amount
        for r, weight in self.helps[name]:
            self.left[r] += weight * (self.low(name) - before)
        if amount > self.high[name]:
            for r, weight in self.loads[name]:
                self.left[r] -= weight * (amount - self.high[name])
            self.high[name] = amount

    def fall(self, least: Mapping[str, int]) -> None:
        """Lower shares as far as the other side of every difference allows."""
        falling = sorted((name for name, amount in self.wanted.items() if amount < self.given[name]), key=_order)
        if not falling:
            return
        over = [not row.against and sum(w * self.share[name] for name, w in row.draws.items()) > row.most for row in self.rows]
        for name in falling:
            if any(over[r] for r, _ in self.loads[name]):
                self._set(name, self.wanted[name])
        for _ in range(PASSES_MAX):
            moved = False
            for name in falling:
                now, to = self.given[name], self.wanted[name]
                if now == to:
                    continue
                if self.low(name) > to:
                    to = self.lowest(name, to)
                    if self.wanted[name] < to < least[name]:
                        to = least[name]
                if to < now:
                    self._set(name, to)
                    moved = True
            if not moved:
                break

    def give_way(self, least: Mapping[str, int], first: Sequence[str]) -> None:
        """Lower the upper side of every difference that shares exceed, whatever is wanted: the largest ones first, then some to
        nothing. Where nobody is left on any side every row holds."""
        differences = [(r, row) for r, row in enumerate(self.rows) if row.of]
        order = {name: k for k, name in enumerate(first)}
        for turn in range(PASSES_MAX + len(self.given)):
            moved = False
            for r, row in differences:
                if self.left[r] < 0 < self._over(row):
                    moved |= self._level(row, least)
                    if turn and self._over(row) > PAUSE_SLACK:
                        moved |= self._pause(row, order)
            if turn and not moved:
                break

    def _over(self, row: Row) -> int:
        """How much more than it permits the shares of a difference are, beside what the other side draws."""
        return sum(w * self.given[n] for n, w in row.draws.items()) - row.most - sum(w * self.low(n) for n, w in row.against.items())

    def _level(self, row: Row, least: Mapping[str, int]) -> bool:
        """Bring the largest shares of a difference down to the highest common level that fits, nobody below the minimum."""
        cap = row.most + sum(weight * self.low(name) for name, weight in row.against.items())
        floor = {name: min(self.given[name], least[name]) for name in row.draws}
        low, high = 0, max(self.given[name] for name in row.draws) // self.step
        while low < high:
            level = (low + high + 1) // 2
            total = sum(weight * max(floor[n], min(self.given[n], level * self.step)) for n, weight in row.draws.items())
            low, high = (level, high) if total <= cap else (low, level - 1)
        moved = False
        for name in sorted(row.draws, key=_order):
            to = max(floor[name], min(self.given[name], low * self.step))
            if to < self.given[name]:
                self._set(name, to)
                moved = True
        return moved

    def _pause(self, row: Row, order: Mapping[str, int]) -> bool:
        """Stop vehicles on the upper side of a difference until it holds."""
        moved = False
        for name in sorted(row.draws, key=lambda n: (order.get(n, len(order)), _order(n))):
            if self._over(row) <= PAUSE_SLACK:
                break
            if self.given[name]:
                self._set(name, 0)
                moved = True
        return moved

    def rise(self, least: Mapping[str, int]) -> None:
        """Raise shares as far as there is room beside what may still flow."""
        rising = sorted((n for n, amount in self.wanted.items() if amount > self.given[n]), key=lambda n: (self.given[n], _order(n)))
        over = set() if self.drawn is None else {r for r, row in enumerate(self.rows) if self.left[r] < 0 and row.of}
        if over:  # nobody who has to give way, or has not followed down yet, is told to draw again
            rising = [n for n in rising if not any(r in over for r, _ in self.loads[n])]
        for _ in range(PASSES_MAX):
            moved = False
            for name in rising:
                top, high = self.wanted[name], self.high[name]
                if top > high:
                    top = min(top, high + min((self.left[r] // weight for r, weight in self.loads[name]), default=top))
                if top < self.wanted[name]:
                    top = top // self.step * self.step
                if top > self.given[name] and top >= least[name]:
                    self._set(name, top)
                    moved = True
            if not moved:
                break


def _order(name: str) -> tuple[int, str]:
    return (int(name), "") if name.isdecimal() else (0, name)


# -- DC ---------------------------------------------------------------------------------------------------------------

WAITS = "{:.1f} kW as soon as the others have followed their smaller shares"


def dc_in_force(
    target: Plan,
    cap_w: int | None,
    min_w: int,
    followers: Mapping[int, Follower],
    measured_w: Mapping[int, int | None],
    now: Instant,
) -> tuple[Plan, dict[int, Follower], bool]:
    """Return the plan that may be in force now on the way to ``target``, the followers, and whether to look again soon.

    ``cap_w`` = what all DC EVSEs may take together (DC side W, None = no limit is shared); ``measured_w`` = power at each
    EVSE, None = nobody knows. Owners of module groups pass unchanged: relays wait for zero current by themselves.
    """
    names = {str(row.evse_id): row for row in target.allocations}
    known = {
        name: follow(followers.get(row.evse_id, Follower()), measured_w.get(row.evse_id), DC_PACE, now)
        for name, row in names.items()
    }
    wanted = {name: row.assigned_w for name, row in names.items()}
    rows = () if cap_w is None else (Row(most=cap_w, draws=dict.fromkeys(names, 1)),)
    given = raised(rows, wanted, known, dict.fromkeys(names, min_w), 1)
    after = {row.evse_id: set_share(known[name], given[name], now) for name, row in names.items()}
    pending = given != wanted or any(f.falls for f in after.values())
    if given == wanted:
        return target, after, pending
    allocations = tuple(
        row if given[name] == row.assigned_w else msgspec.structs.replace(
            row, assigned_w=given[name], detail=WAITS.format(row.assigned_w / 1000)
        )
        for name, row in names.items()
    )  # fmt: skip
    return msgspec.structs.replace(target, allocations=allocations), after, pending
