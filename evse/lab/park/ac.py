"""A day of an AC car park, from event to event: arrivals, departures, vehicles that follow, draw less or are full.

What the station knows is all that the policy sees: the current that a vehicle draws and, after 15 s, on how many lines;
never its battery. Redistribution by draw, turns with a dwell, and "lower first, raise when all have followed"
are those of the station (`evse.planner.feedback`, docs/planner.md). A vehicle follows a lower set-point after 1 to 5 s. It
takes its full current for 90 % of its energy, then 70 %, for the last 5 % 45 % of it, never below 6 A.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from heapq import heappop, heappush
from random import Random
from typing import Final

import msgspec

from evse.lab.park.policies import AC_POLICIES, PLANNER
from evse.lab.park.result import SLOT_S, DayResult, Served, judged
from evse.lab.park.visits import DAY_S, AcVisit
from evse.planner import feedback
from evse.planner.ac_problem import PHASES, AcConnector, AcProblem, phases_of
from evse.planner.balance import solve_by_draw
from evse.planner.feedback import Draw, DrawRule
from evse.planner.live_ac import STEP_MA
from evse.units import NS_PER_S

FOLLOW_S: Final = 5.0
LINES_S: Final = 15.0
DWELL_S: Final = 300.0
RETURN_S: Final = 60.0
WAITS_S: Final = 100_000_000
LOOK_S: Final = 15.0
"""Draws are judged at multiples of it, all together."""

RULE: Final = DrawRule(raise_every_ns=15 * NS_PER_S)
STAGES: Final = ((0.10, 1.0), (0.05, 0.7), (0.0, 0.45))
"""(share of the energy that is left when the stage ends, share of the full current)."""

MIN_MA: Final = 6_000
EPSILON_WH: Final = 0.01


class _Car:
    """A vehicle at a connector. Currents in mA per line."""

    def __init__(self, number: int, visit: AcVisit, connector: AcConnector, follow_s: float) -> None:
        self.number, self.visit, self.connector, self.follow_s = number, visit, connector, follow_s
        self.lines = min(visit.lines, connector.lines)
        self.left_wh = float(visit.energy_wh)
        self.share = self.draws = 0
        self.follow_at: float | None = None  # draws its old share until then
        self.known_lines = connector.lines
        self.lines_known = False
        self.drawing_since: float | None = None
        self.switched_at: float | None = None
        self.charged_s = 0.0
        self.waited_s = 0.0
        self.feedback = Draw()
        self.wanted = self.wants()

    def wants(self) -> int:
        """What the vehicle would draw now; 0 = full."""
        if self.left_wh <= EPSILON_WH:
            return 0
        part = self.left_wh / self.visit.energy_wh
        scale = next(s for end, s in STAGES if part > end + 1e-9 or end == 0.0)
        most = min(self.visit.max_ma, self.connector.max_ma)
        return min(most, max(MIN_MA, round(most * scale)))

    def stage_left_wh(self) -> float:
        """Energy until it changes what it wants."""
        part = self.left_wh / self.visit.energy_wh
        end = next(end for end, _ in STAGES if part > end + 1e-9 or end == 0.0)
        return self.left_wh - end * self.visit.energy_wh

    def settle(self, now: float) -> None:
        """Draw what share and battery allow, unless it has not followed down yet."""
        allowed = self.draws if self.follow_at is not None else self.share
        self.wanted = self.wants()
        wanted = min(allowed, self.wanted)
        self.draws = wanted if wanted >= MIN_MA else 0
        if self.draws and self.drawing_since is None:
            self.drawing_since = now


class _Site:
    """The fuse tree as numbers, and what was measured of it."""

    def __init__(self, problem: AcProblem) -> None:
        index = {node.id: i for i, node in enumerate(problem.nodes)}
        self.nodes = problem.nodes
        self.by_id = {node.id: node for node in problem.nodes}
        self.volts = problem.voltage_mv / 1_000_000_000
        self.paths: dict[str, list[int]] = {}
        for connector in problem.connectors:
            path, at = [], index.get(connector.node)
            while at is not None:
                path.append(at)
                parent = problem.nodes[at].parent
                at = None if parent is None else index[parent]
            self.paths[connector.id] = path
        self.peak_ma, self.peak, self.peak_of = 0, 0.0, "none"
        self.broken: dict[str, None] = {}
        self.unbalanced = False
        self.unbalanced_ma = 0

    def look(self, cars: Sequence[_Car], now: float) -> None:
        """Judge every limit with what flows now."""
        flow = [[0] * PHASES for _ in self.nodes]
        total = 0
        for car in cars:
            if car.draws:
                phases = phases_of(msgspec.structs.replace(car.connector, lines=car.lines))
                total += car.draws * len(phases)
                for n in self.paths[car.connector.id]:
                    for p in phases:
                        flow[n][p] += car.draws
        self.peak_ma = max(self.peak_ma, total)
        self.unbalanced = False
        for node, mine in zip(self.nodes, flow, strict=True):
            if any(mine):
                self._node(node.id, mine, now)

    def _node(self, name: str, mine: list[int], now: float) -> None:
        node = self.by_id[name]
        for p in range(PHASES):
            self._use(f"{name} L{p + 1}", mine[p], max(0, node.limit_ma[p] - node.background_ma[p]), "A", 1000, now)
        if node.limit_w is not None:
            most = max(0, node.limit_w * 1_000_000 // (round(self.volts * 1e9)) - sum(node.background_ma))
            self._use(f"{name} power", sum(mine), most, "kW", 1 / self.volts, now)
        if node.imbalance_ma is not None:
            house = node.background_ma
            apart = [house[p] + mine[p] - house[q] - mine[q] - max(node.imbalance_ma, house[p] - house[q])
                     for p in range(PHASES) for q in range(PHASES) if p != q]
            self.unbalanced = self.unbalanced or max(apart) > 0
            self.unbalanced_ma = max(self.unbalanced_ma, *apart)

    def _use(self, name: str, used: int, cap: int, unit: str, scale: float, now: float) -> None:
        if cap and used / cap > self.peak:
            self.peak, self.peak_of = used / cap, name
        if used > cap:
            self.broken.setdefault(f"{name}: {used / scale:.1f} of {cap / scale:.1f} {unit} at {now / 3600:.2f} h")


class _Day:
    """One policy's day."""

    def __init__(self, site: AcProblem, visits: Sequence[AcVisit], policy: str, seed: int, alone: bool) -> None:
        self.site, self.visits, self.policy, self.alone = site, visits, policy, alone
        self.share = AC_POLICIES[policy]
        self.rng = Random(f"follow {seed}")
        self.judge = _Site(site)
        self.differences = any(node.imbalance_ma is not None for node in site.nodes)
        """With an imbalance limit what a vehicle does not draw is missing on the other side, so draws count always."""

        self.free = [c.id for c in site.connectors]
        self.connector = {c.id: c for c in site.connectors}
        self.cars: dict[str, _Car] = {}
        self.done: list[tuple[int, float, float]] = []  # (visit, Wh, waited s)
        self.turned_away = self.plans = 0
        self.profile: list[float] = []
        self.unbalanced_s = 0.0
        self.now = 0.0
        self.heap: list[tuple[float, int, int]] = []
        self.order = 0
        self.due: float | None = None  # the next planned look
        self.known: dict[bool, tuple[AcProblem, dict[str, int], dict[str, int]]] = {}
        """Planned with draws or not: the last problem, what was known to be drawn less, and the answer."""


    def wake(self, at: float, visit: int = -1) -> None:
        """Something happens at ``at``: a visit begins (its number), or a look (-1)."""
        self.order += 1
        heappush(self.heap, (at, self.order, visit))

    def run(self) -> None:
        """From the first event to the last."""
        for number, visit in enumerate(self.visits):
            self.wake(float(visit.arrive_s), number)
        while self.heap:
            at = self.heap[0][0]
            self._pass(at)
            while self.heap and self.heap[0][0] <= at + 1e-6:
                number = heappop(self.heap)[2]
                if number >= 0:
                    self._arrive(number)
            self._leave()
            self._step()

    def _pass(self, until: float) -> None:
        """Let time go by with what flows."""
        seconds = until - self.now
        if seconds > 0:
            moved = 0.0
            for car in self.cars.values():
                if car.draws:
                    wh = min(car.left_wh, car.draws * car.lines * self.judge.volts * 1000 * seconds / 3600)
                    car.left_wh -= wh
                    moved += wh
                    car.charged_s += seconds
                elif car.wanted:
                    car.waited_s += seconds
                    car.charged_s = max(0.0, car.charged_s - seconds)
            self._count(moved, seconds)
            self.unbalanced_s += seconds if self.judge.unbalanced else 0.0
        self.now = until

    def _count(self, wh: float, seconds: float) -> None:
        """Spread energy over the quarter hours of the profile."""
        at, end = self.now, self.now + seconds
        while at < end - 1e-9:
            slot = int(at // SLOT_S)
            stop = min(end, (slot + 1) * SLOT_S)
            self.profile += [0.0] * (slot + 1 - len(self.profile))
            self.profile[slot] += wh * (stop - at) / seconds
            at = stop

    def _arrive(self, number: int) -> None:
        if not self.free:
            self.turned_away += 1
            return
        visit = self.visits[number]
        fits = [name for name in self.free if self.connector[name].lines >= visit.lines]
        name = (fits or self.free)[0]
        self.free.remove(name)
        self.cars[name] = _Car(number, visit, self.connector[name], self.rng.uniform(1.0, FOLLOW_S))
        self.wake(float(visit.depart_s))

    def _leave(self) -> None:
        for name, car in list(self.cars.items()):
            if car.visit.depart_s <= self.now + 1e-6:
                del self.cars[name]
                self.free.append(name)
                self.done.append((car.number, car.visit.energy_wh - car.left_wh, car.waited_s))
        self.free.sort(key=lambda name: int(name) if name.isdigit() else len(self.free))

    # -- one look ---------------------------------------------------------------------------------------------------

    def _step(self) -> None:
        cars = list(self.cars.values())
        now_ns = round(self.now * NS_PER_S)
        for car in cars:
            if car.follow_at is not None and car.follow_at <= self.now + 1e-6:
                car.follow_at = None
            car.settle(self.now)
            if car.drawing_since is not None and self.now - car.drawing_since >= LINES_S - 1e-6:
                car.known_lines, car.lines_known = car.lines, True
            car.feedback = feedback.observe(car.feedback, RULE, car.share, car.draws if car.share else None, now_ns)
        self._plan(cars)
        if not self.alone:
            self.judge.look(cars, self.now)
        self._next(cars)

    def _problem(self, cars: Sequence[_Car], *, drawn: bool) -> AcProblem:
        paused = any(car.share == 0 and car.wanted for car in cars)
        waiting = paused and any(car.share == 0 and car.wanted and not self._recent(car) for car in cars)
        rows = []
        for car in cars:
            wanted = car.connector.max_ma if car.wanted and not self._returns(car) else 0
            if self.differences and not car.lines_known:
                wanted = min(wanted, car.connector.min_ma)  # it may turn out to load one phase only
            if drawn:
                wanted = feedback.demand_ma(car.feedback, wanted, car.connector.min_ma)
            stays = car.share > 0 and (not waiting or self._recent(car))
            rows.append(
                msgspec.structs.replace(
                    car.connector, demand_ma=wanted, lines=car.known_lines,
                    charging_s=int(car.charged_s) + (0 if stays else WAITS_S) if paused else 0,
                )
            )
        return msgspec.structs.replace(self.site, connectors=tuple(rows), step_ma=max(STEP_MA, self.site.step_ma))

    def _recent(self, car: _Car) -> bool:
        return car.switched_at is not None and self.now - car.switched_at < DWELL_S - 1e-6

    def _returns(self, car: _Car) -> bool:
        """True while a paused vehicle may not come back yet."""
        return car.share == 0 and car.switched_at is not None and self.now - car.switched_at < RETURN_S - 1e-6

    def _plan(self, cars: Sequence[_Car]) -> None:
        if not cars:
            return
        target = {}
        if not self.differences:
            problem = self._problem(cars, drawn=False)
            target = self._shared(problem, cars, drawn=False)
        if self.differences or any(target[c.id] + STEP_MA <= c.demand_ma for c in problem.connectors):
            target = self._shared(self._problem(cars, drawn=True), cars, drawn=True)
        for car in cars:
            ma = target[car.connector.id]
            if ma < car.share:
                self._set(car, ma)
                if car.draws > ma:
                    car.follow_at = self.now + car.follow_s
        if any(car.follow_at is not None for car in cars):
            return  # who rises waits until everybody has followed
        for car in cars:
            if target[car.connector.id] > car.share:
                self._set(car, target[car.connector.id])
            car.settle(self.now)

    def _shared(self, problem: AcProblem, cars: Sequence[_Car], *, drawn: bool) -> dict[str, int]:
        """The policy's answer; asked only when the question is a new one."""
        draws = {}
        if drawn and self.differences and self.policy == PLANNER:
            draws = {c.connector.id: c.draws for c in cars if c.feedback.ceiling_ma is not None and c.draws < c.share}
        last = self.known.get(drawn)
        if last is not None and last[0] == problem and last[1] == draws:
            return last[2]
        self.plans += 1
        if draws:
            target = solve_by_draw(problem, draws)[1].current_ma
        else:
            by_arrival = [car.connector.id for car in sorted(cars, key=lambda c: (c.visit.arrive_s, c.number))]
            target = self.share(problem, by_arrival)
        self.known[drawn] = (problem, draws, target)
        return target

    def _set(self, car: _Car, ma: int) -> None:
        if (ma > 0) is not (car.share > 0):
            car.switched_at = self.now if car.share or car.switched_at is not None else car.switched_at
        car.share = ma

    def _judged_at(self, car: _Car) -> float | None:
        """When the draw of a vehicle says something new; None = not by itself."""
        state = car.feedback
        lowered = car.share - car.draws > RULE.threshold_ma
        if not car.share or (not lowered and state.ceiling_ma is None):
            return None
        if lowered and state.ceiling_ma is not None and car.draws + RULE.margin_ma >= state.ceiling_ma:
            return None
        if not lowered and car.share - car.draws > RULE.margin_ma:
            return None
        if state.since is None:
            return self.now + 1.0
        due = (state.since + (RULE.confirm_ns if lowered else RULE.raise_every_ns)) / NS_PER_S
        return due if due > self.now + 1e-6 else None

    def _next(self, cars: Sequence[_Car]) -> None:
        """When must be looked again: somebody has followed, changes what it wants, has proven its draw, may take a turn."""
        times = []
        for car in cars:
            if car.follow_at is not None:
                times.append(car.follow_at)
            if car.draws:
                times.append(self.now + max(0.05, car.stage_left_wh() * 3600 / (car.draws * car.lines * self.judge.volts * 1000)))
                if car.drawing_since is not None and self.now - car.drawing_since < LINES_S - 1e-6:
                    times.append(car.drawing_since + LINES_S)
            due = self._judged_at(car)
            if due is not None:
                times.append(math.ceil(due / LOOK_S) * LOOK_S)
            if not car.share and car.wanted and car.switched_at is not None and self._returns(car):
                times.append(car.switched_at + RETURN_S)
        if any(car.share == 0 and car.wanted for car in cars):
            times += [car.switched_at + DWELL_S for car in cars if car.switched_at is not None and self._recent(car)]
            times.append(self.now + DWELL_S)
        if times:
            at = min(times)
            if self.due is None or at < self.due - 1e-6 or self.due <= self.now + 1e-6:
                self.due = at
                self.wake(at)


def alone_wh(site: AcProblem, visit: AcVisit) -> float:
    """Energy that ``visit`` would get with nobody else there, Wh."""
    day = _Day(site, [visit], PLANNER, 0, True)
    day.run()
    return day.done[0][1]


def run_day(
    site: AcProblem, visits: Sequence[AcVisit], policy: str, *, seed: int = 1, alone: Sequence[float] | None = None
) -> DayResult:
    """Simulate ``visits`` under one of `AC_POLICIES`; ``alone`` = `alone_wh` of each visit if known."""
    day = _Day(site, visits, policy, seed, False)
    day.run()
    base = alone if alone is not None else [alone_wh(site, visit) for visit in visits]
    watts = day.judge.volts * 1000
    return judged(
        policy,
        [Served(energy_wh=wh, alone_wh=base[number], waited_s=waited) for number, wh, waited in sorted(day.done)],
        turned_away=day.turned_away,
        asked_wh=sum(visits[number].energy_wh for number, _, _ in day.done),
        peak=(day.judge.peak_ma * watts, day.judge.peak, day.judge.peak_of),
        profile_wh=day.profile,
        plans=day.plans,
        broken=list(day.judge.broken),
        unbalanced_s=day.unbalanced_s,
        unbalanced_ma=day.judge.unbalanced_ma,
    )


__all__ = ["DAY_S", "alone_wh", "run_day"]
