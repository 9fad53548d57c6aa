"""The AC planner of a running station: from requests and limits to the share of each AC EVSE, in mA per phase.

The problem is the one of `evse.planner.ac`: the grid connection with the load of the house, the power limit of the site
below it, the fuses below that, and the EVSEs. A DC EVSE takes part as a balanced load on three phases; what it gets is
the part of the site that the DC planner may use.

From one plan to the next shares fall at once and rise when there is room beside what the others may still draw
(`evse.planner.transition`). Who is on stays on for a while, so that nobody flaps; a limit that falls does not wait.
Pure, integers, deterministic.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec.structs import replace

from evse.domain.base import Frozen
from evse.domain.limits import CurrentAllocation, CurrentRequest, LimitSource
from evse.domain.station import GridSpec
from evse.planner.ac import solve
from evse.planner.ac_problem import (
    PHASES,
    PPM,
    ROTATIONS,
    UNLIMITED_MA,
    AcConnector,
    AcNode,
    AcProblem,
    AcSolution,
    PausePolicy,
    Phases,
    phases_of,
)
from evse.planner.allowance import Allowance
from evse.planner.balance import STARTS_MAX, cannot_start, solve_with_starts, unsure_pairs, without
from evse.planner.feedback import demand_ma
from evse.planner.live_ac_memory import AcMemory, Point, SiteLoad, with_dc
from evse.planner.live_ac_text import Limits, binding, overdraws, starts_later
from evse.planner.transition import AC_PACE, Follower, Pairs, Row, ac_rows, raised, set_share
from evse.planner.turns import RETURN_NS
from evse.units import NS_PER_S, DurationNs, Instant

STEP_MA = 100
DRAW_STEP_MA = 500
"""Draws count in differences in such steps, so that the noise of a meter does not move shares."""

WAITS_S = 100_000_000
"""Added to the charged time of everybody whose turn may end, so that whoever is on for a short time comes first."""


class DcAsk(Frozen, frozen=True, kw_only=True):
    """What a DC EVSE could use, AC side W; it gets at least ``min_w`` or nothing. ``asks`` = its vehicle wants power, whether or
    not the DC planner has any for it now."""

    evse_id: int
    wanted_w: int
    min_w: int
    asks: bool = True


class AcShares(Frozen, frozen=True, kw_only=True):
    """Result: one row per AC EVSE, the AC side power that DC EVSEs may use together (None = no limit concerns them),
    what to remember, whether somebody waits for others to follow down, and the question that was solved."""

    rows: tuple[CurrentAllocation, ...]
    dc_w: int | None
    memory: AcMemory
    pending: bool
    problem: AcProblem


def plan_ac(
    grid: GridSpec,
    site_w: tuple[tuple[LimitSource, int], ...],
    dc: Sequence[DcAsk],
    requests: Sequence[CurrentRequest],
    site: SiteLoad,
    memory: AcMemory,
    now: Instant,
    allowed: Allowance | None = None,
) -> AcShares:
    """Share the site out. ``allowed`` = what all EVSEs together may take per phase. ``site_w`` = power limits of the station
    (AC side, smallest first); ``memory`` is fresh."""
    lost = site.fitted and site.house_ma is None
    memory = with_dc(memory, {ask.evse_id: ask.asks for ask in dc})
    planner = _Planner(grid, site_w[0][1] if site_w else None, dc, requests, site, memory, now, allowed, lost=lost)
    problem, target = planner.target()
    present = {str(p.evse_id): p.share_ma for p in memory.points}
    given = planner.transition(target)
    limits = Limits(problem, planner.beside(given), grid, site_w, allowed, lost=lost)
    points, rows = [], []
    for r in requests:
        name, before = str(r.evse_id), memory.point(r.evse_id)
        now_ma = given[name]
        points.append(_next(before, now_ma, now))
        source, detail = binding(limits, r, target[name], now_ma, planner.demand[name], planner.waits_ns(r))
        if name in planner.fixed and now_ma:
            source, detail = overdraws(limits, name, planner.points[r.evse_id].ignores_ma, now_ma)
        if name in planner.held_back and not now_ma:
            known = () if name in planner.unsure else phases_of(planner.connector[name])
            source, detail = LimitSource.OUT_OF_BALANCE, starts_later(grid.imbalance_ma, r.min_ma, known)
        rows.append(
            CurrentAllocation(
                evse_id=r.evse_id,
                requested_ma=r.wanted_ma,
                target_ma=target[name],
                assigned_ma=now_ma,
                phases=phases_of(planner.connector[name]),
                paused=r.wanted_ma > 0 and target[name] == 0,
                binding=source,
                detail=detail,
            )
        )
    points += [_next(memory.point(ask.evse_id), given[str(ask.evse_id)], now) for ask in dc]
    dc_ma = sum(given[str(ask.evse_id)] for ask in dc)
    limited = bool(site_w) or grid.fuse_ma > 0 or bool(grid.fuses) or grid.failsafe_ma >= 0 or allowed is not None
    memory = replace(memory, points=tuple(points))
    return AcShares(
        rows=tuple(rows),
        dc_w=dc_ma * PHASES * site.voltage_mv // 1_000_000 if dc and limited else None,
        memory=memory,
        pending=given != target or any(p.held_ma > p.share_ma for p in points) or present != given,
        problem=problem,
    )


def _next(p: Point, share_ma: int, now: Instant) -> Point:
    """Return the point with its new share."""
    switched = now if (share_ma > 0) is not (p.share_ma > 0) else p.switched_at
    changed = p.changed_at if share_ma == p.share_ma else now
    return replace(p, follower=set_share(p.follower, share_ma, now), changed_at=changed, switched_at=switched)


class _Planner:
    """One plan in the making."""

    def __init__(
        self,
        grid: GridSpec,
        site_w: int | None,
        dc: Sequence[DcAsk],
        requests: Sequence[CurrentRequest],
        site: SiteLoad,
        memory: AcMemory,
        now: Instant,
        allowed: Allowance | None,
        *,
        lost: bool,
    ) -> None:
        self.allowed = allowed
        self.grid, self.site_w, self.dc, self.requests = grid, site_w, dc, requests
        self.site, self.memory, self.now, self.lost = site, memory, now, lost
        self.node_of = {e: f"fuse {f.name}" for f in grid.fuses for e in f.evses}
        self.points = {i: memory.point(i) for i in (*(r.evse_id for r in requests), *(ask.evse_id for ask in dc))}
        self.turns = any(p.asks and not p.share_ma and not self._recent(p) for p in self.points.values())
        self.balanced = grid.imbalance_ma >= 0
        """An imbalance limit is set: what a vehicle does not draw is missing on the other side, so draws count always."""

        self.fixed: dict[str, int] = {}
        """Vehicles that draw more than their share: their draw, a load beside which the others share the rest."""
        self.connector: dict[str, AcConnector] = {}
        self.demand: dict[str, int] = {}
        self.rows: tuple[Row, ...] = ()
        """Limits of the last question as it is, without what `balance` adds."""

        self.held_back: frozenset[str] = frozenset()
        self.unsure: dict[str, Pairs] = {}
        if self.balanced:
            self.unsure = {str(r.evse_id): pairs for r in requests if (pairs := self._unsure(r)) is not None}

    def _recent(self, p: Point) -> bool:
        """Return True for the dwell after a switch: nobody is paused for somebody else's turn, nobody takes a turn."""
        return p.switched_at is not None and self.now - p.switched_at < self.grid.dwell_s * NS_PER_S

    def _nodes(self) -> tuple[AcNode, ...]:
        grid, house = self.grid, self.memory.house_ma if self.site.fitted else (0, 0, 0)
        excess = {e: [0] * PHASES for e in ("own", *self.node_of.values())}
        for r in self.requests:
            for k in phases_of(self._connector(r, 0)):
                for node in {"own", self.node_of.get(r.evse_id, "own")}:
                    excess[node][k] += self.fixed.get(str(r.evse_id), 0)
        free = (UNLIMITED_MA,) * PHASES
        top = (grid.fuse_ma,) * PHASES if grid.fuse_ma else free
        own = free if self.allowed is None else self.allowed.limit_ma
        if self.lost and grid.failsafe_ma >= 0:
            own = (min(own[0], grid.failsafe_ma), min(own[1], grid.failsafe_ma), min(own[2], grid.failsafe_ma))
        imbalance = None if grid.imbalance_ma < 0 else grid.imbalance_ma
        return (
            AcNode(
                id="grid", parent=None, limit_ma=_phases(top), imbalance_ma=imbalance,
                background_ma=_phases([a + b for a, b in zip(house, excess["own"], strict=True)]),
            ),
            AcNode(id="own", parent="grid", limit_ma=_phases(own), limit_w=self.site_w, background_ma=_phases(excess["own"])),
            *(
                AcNode(
                    id=f"fuse {f.name}", parent="own", limit_ma=_phases((f.fuse_ma,) * PHASES),
                    background_ma=_phases(excess[f"fuse {f.name}"] if f.evses else (0, 0, 0)),
                )
                for f in grid.fuses
            ),
        )  # fmt: skip

    # -- who asks for what ------------------------------------------------------------------------------------------

    def _unsure(self, r: CurrentRequest) -> Pairs | None:
        """Return the differences that an EVSE may enlarge of which nobody knows what it loads; None = that is known."""
        p = self.points[r.evse_id]
        lines = p.lines or int(r.lines == 1)
        if p.idle:
            return unsure_pairs(r.rotation, lines)  # it draws nothing, and may begin again
        return None if lines else unsure_pairs(r.rotation, 0)

    def wanted(self, r: CurrentRequest) -> int:
        """Return what an EVSE may have by itself; without the site meter nobody rises and newcomers get the minimum."""
        if not r.wanted_ma or self.waits_ns(r) > 0:
            return 0
        p, most = self.points[r.evse_id], r.wanted_ma
        if str(r.evse_id) in self.unsure:
            most = min(most, r.min_ma)  # it may turn out to load fewer phases
        return min(most, max(p.share_ma, r.min_ma)) if self.lost else most

    def waits_ns(self, r: CurrentRequest) -> DurationNs:
        """Return how long a paused vehicle has to wait before it may come back, whatever room there is."""
        p = self.points[r.evse_id]
        if p.share_ma or p.switched_at is None or not r.wanted_ma:
            return 0
        return max(0, p.switched_at + min(RETURN_NS, self.grid.dwell_s * NS_PER_S) - self.now)

    def _connector(self, r: CurrentRequest, demand: int) -> AcConnector:
        p = self.points[r.evse_id]
        lines = r.lines
        if str(r.evse_id) in self.unsure:
            lines = PHASES  # differences count it apart, fuses keep it free on every phase
        elif p.lines and (self.balanced or self.site_w is None):  # the core counts power on all phases
            lines = min(p.lines, r.lines)
        return AcConnector(
            id=str(r.evse_id),
            node=self.node_of.get(r.evse_id, "own"),
            lines=lines,
            rotation=r.rotation or ROTATIONS[0],
            min_ma=r.min_ma,
            max_ma=max(r.wanted_ma, r.min_ma),
            demand_ma=demand,
            weight_ppm=r.weight_pct * PPM // 100,
            priority=r.priority,
            charging_s=self._charged_s(p),
        )

    def _charged_s(self, p: Point) -> int:
        """Return the charged time that counts for turns."""
        stays = p.share_ma > 0 and (not self.turns or self._recent(p))
        return p.charged_ns // NS_PER_S + (0 if stays else WAITS_S)

    def _dc_connector(self, ask: DcAsk) -> AcConnector:
        unit = PHASES * self.site.voltage_mv
        wanted = -(-ask.wanted_w * 1_000_000 // (unit * STEP_MA)) * STEP_MA  # on the grid, or it would seem to be limited
        least = min(-(-ask.min_w * 1_000_000 // unit), wanted) if wanted else 0
        return AcConnector(
            id=str(ask.evse_id),
            node=self.node_of.get(ask.evse_id, "own"),
            lines=PHASES,
            min_ma=max(1, least),
            max_ma=max(1, wanted),
            demand_ma=wanted,
            charging_s=self._charged_s(self.points[ask.evse_id]),
        )

    # -- the target -------------------------------------------------------------------------------------------------

    def target(self) -> tuple[AcProblem, dict[str, int]]:
        """Return the problem and what everybody shall get.

        A vehicle that draws more than its share is offered its fair share, as if it obeyed; what it draws is reserved for
        it, and the others share the rest. Whether it is cut off is for the over-current watch of the core to say.
        """
        problem, solution = self._solved()
        fair = solution.current_ma
        over = (self.points[r.evse_id] for r in self.requests)
        self.fixed = {str(p.evse_id): max(p.ignores_ma, p.held_ma) for p in over if p.ignores_ma > fair[str(p.evse_id)]}
        if not self.fixed:
            return problem, dict(fair)
        problem, solution = self._solved()
        return problem, solution.current_ma | {name: fair[name] for name in self.fixed}

    def beside(self, shares: Mapping[str, int]) -> dict[str, int]:
        """Return ``shares`` without those of `fixed`, whose draw is among the other loads already."""
        return {name: 0 if name in self.fixed else ma for name, ma in shares.items()}

    def _solved(self) -> tuple[AcProblem, AcSolution]:
        """Return the problem and its optimum: with what vehicles draw only if not everybody can have what is wanted."""
        self.demand = {str(r.evse_id): 0 if str(r.evse_id) in self.fixed else self.wanted(r) for r in self.requests}
        problem = self._problem()
        if not self.balanced:
            solution = solve(problem)
            if all(solution.current_ma[c.id] + STEP_MA > c.demand_ma for c in problem.connectors):
                return problem, solution
        drawn = {
            str(r.evse_id): demand_ma(self.points[r.evse_id].draw, self.demand[str(r.evse_id)], r.min_ma)
            for r in self.requests
        }
        if drawn != self.demand:
            self.demand = drawn
            problem = self._problem()
        elif not self.balanced:
            return problem, solution
        if not self.balanced:
            return problem, solve(problem)
        return self._balanced(problem)

    def _balanced(self, problem: AcProblem) -> tuple[AcProblem, AcSolution]:
        """As `_solved` with an imbalance limit. Who could start only together with others, or only when his lines were known, waits."""
        asks = [p for r in self.requests if self.demand[str(r.evse_id)] and (p := self.points[r.evse_id])]
        first = sorted((p for p in asks if not p.share_ma and str(p.evse_id) in self.unsure), key=lambda p: (p.charged_ns, p.evse_id))
        starters = [str(p.evse_id) for p in first]
        stay = [str(p.evse_id) for p in asks if p.share_ma and self._recent(p)]
        less, waits = self._less(), frozenset[str]()
        for turn in range(STARTS_MAX):
            left = [name for name in starters if name not in waits]
            asked, solution, unknown = solve_with_starts(without(problem, waits), less, self.unsure, left, stay)
            self.held_back = waits | unknown
            stuck = self._stuck(solution.current_ma, less)
            if not stuck:
                break
            waits |= stuck if turn < STARTS_MAX - 2 else {str(p.evse_id) for p in asks if not p.share_ma}
        return asked, solution

    def _stuck(self, target: Mapping[str, int], less: Mapping[str, int]) -> frozenset[str]:
        """Return who cannot start on the way to ``target``, because others would have to draw in the same moment."""
        shares = {str(p.evse_id): p.share_ma for p in self.points.values()}
        starts = [name for name, ma in target.items() if ma and not shares[name]]
        if not starts:
            return frozenset()
        given = self.transition(target)
        if all(given[name] for name in starts):
            return frozenset()
        settled = (r for r in self.requests if self.now - self.points[r.evse_id].changed_at >= AC_PACE.follow_ns)
        draws = {str(r.evse_id): r.measured_ma or 0 for r in settled} | dict(less)
        return cannot_start(self.rows, target, shares | dict.fromkeys(self.fixed, 0), self._least(), STEP_MA, draws, self._first())

    def _less(self) -> dict[str, int]:
        """Return who draws less than a share that it had time to follow, by the threshold or as it has proven before, and how
        much; who is unsure helps nobody anyway."""
        found = {}
        for r in self.requests:
            name, p = str(r.evse_id), self.points[r.evse_id]
            share = p.share_ma if self.now - p.changed_at >= AC_PACE.follow_ns else 0
            if share and r.measured_ma is not None and name not in self.unsure:
                draws = (r.measured_ma + DRAW_STEP_MA // 2) // DRAW_STEP_MA * DRAW_STEP_MA
                if draws < share and (p.draw.ceiling_ma is not None or share - draws > self.grid.threshold_ma):
                    found[name] = draws
        return found

    def _problem(self) -> AcProblem:
        rows = [self._connector(r, self.demand[str(r.evse_id)]) for r in self.requests]
        rows += [self._dc_connector(ask) for ask in self.dc]
        self.connector = {c.id: c for c in rows}
        asked = AcProblem(
            nodes=self._nodes(),
            connectors=tuple(rows),
            voltage_mv=max(self.grid.nominal_mv, self.site.voltage_mv),
            pause_policy=PausePolicy.MAX_SERVED if self.grid.max_served else PausePolicy.LONGEST_FIRST,
            step_ma=STEP_MA,
        )
        lower = [b - a for a, b in zip(self.memory.house_low_ma, self.memory.house_ma, strict=True)] if self.site.fitted else ()
        top = asked.nodes[0]
        certain = {top.id: _phases([ma - less for ma, less in zip(top.background_ma, lower, strict=True)])} if any(lower) else None
        self.rows = ac_rows(asked, self.unsure, certain)
        return asked

    # -- the way there ----------------------------------------------------------------------------------------------

    def transition(self, target: Mapping[str, int]) -> dict[str, int]:
        """Return shares that keep every limit even while vehicles with a smaller share still draw their old one."""
        own = {name: ma for name, ma in target.items() if name in self.fixed}
        followers = {str(p.evse_id): p.follower for p in self.points.values()}
        followers |= dict.fromkeys(own, Follower())  # what they draw is among the other loads
        drawn = None
        if self.balanced:  # who asks for no more, or for less, is about to draw no more than that
            drawn = {str(r.evse_id): min(r.measured_ma or 0, r.wanted_ma) for r in self.requests}
        return raised(self.rows, self.beside(target), followers, self._least(), STEP_MA, drawn, self._first()) | own

    def _least(self) -> dict[str, int]:
        return {name: c.min_ma for name, c in self.connector.items()}

    def _first(self) -> list[str]:
        """Return who stops first where all minimums are too much: the lowest class, then who has charged longest."""
        return [c.id for c in sorted(self.connector.values(), key=lambda c: (c.priority, -c.charging_s))]


def _phases(values: Sequence[int]) -> Phases:
    return values[0], values[1], values[2]


__all__ = ["AcShares", "DcAsk", "plan_ac"]
