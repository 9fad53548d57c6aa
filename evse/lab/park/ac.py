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

from evse.lab.park.ac_site import Car, Site
from evse.lab.park.ac_switch import Switcher
from evse.lab.park.beside import Beside, DcPoint
from evse.lab.park.policies import AC_POLICIES, PHASE_BLIND, PLANNER, blinded, lacking
from evse.lab.park.result import SLOT_S, DayResult, Served, judged
from evse.lab.park.visits import DAY_S, AcVisit
from evse.planner import feedback
from evse.planner.ac_problem import PHASES, AcProblem
from evse.planner.balance import solve_with_starts, unsure_pairs
from evse.planner.feedback import DrawRule
from evse.planner.live_ac import STEP_MA, WAITS_S
from evse.planner.transition import Follower, Pairs, Row, ac_rows, raised
from evse.planner.turns import RETURN_NS
from evse.units import NS_PER_S

FOLLOW_S: Final = 5.0
LINES_S: Final = 15.0
FLOWS_MAX: Final = 20
"""Shares rise no further than what flows elsewhere: so often in one moment, since vehicles follow upwards at once here."""

LOOK_S: Final = 15.0
"""Draws are judged at multiples of it, all together."""

RULE: Final = DrawRule(raise_every_ns=15 * NS_PER_S)
class _Day:
    """One policy's day."""

    def __init__(
        self, site: AcProblem, visits: Sequence[AcVisit], policy: str, seed: int, *, alone: bool = False, switching: bool = False,
        beside: Beside | None = None,
    ) -> None:  # fmt: skip
        self.site, self.visits, self.policy, self.alone = site, visits, policy, alone
        self.share = AC_POLICIES[policy]
        self.beside = beside
        self.points = beside.points if beside is not None else []
        self.rng = Random(f"follow {seed}")
        self.judge = Site(site)
        self.differences = any(node.imbalance_ma is not None for node in site.nodes)
        """With an imbalance limit what a vehicle does not draw is missing on the other side, so draws count always."""

        self.balanced = self.differences and policy == PLANNER
        self.switcher = Switcher(self.judge.volts) if switching and any(c.switch_s for c in site.connectors) else None
        self.gone = False  # a vehicle that drew something has left since the last look
        self.free = [c.id for c in site.connectors if c.id not in {point.name for point in self.points}]
        self.connector = {c.id: c for c in site.connectors}
        self.cars: dict[str, Car] = {}
        self.done: list[tuple[int, float, float]] = []  # (visit, Wh, waited s)
        self.switches: list[int] = []  # of each session that is over
        self.turned_away = self.plans = 0
        self.profile: list[float] = []
        self.unbalanced_s = self.by_itself_s = 0.0
        self.return_s = min(RETURN_NS / NS_PER_S, site.dwell_s)
        self.now = 0.0
        self.heap: list[tuple[float, int, int]] = []
        self.order = 0
        self.due: float | None = None  # the next planned look
        self.known: dict[bool, tuple[AcProblem, dict[str, int], dict[str, int]]] = {}
        """Planned with draws or not: the last problem, what was known to be drawn less, and the answer."""

        self.limits: tuple[object, tuple[Row, ...]] | None = None
        self.settled: tuple[tuple[Row, ...], dict[str, int], list[tuple[int, int]]] | None = None
        """Rows, target, and share and draw of everybody, when shares had come as near to the target as they can."""

    def wake(self, at: float, visit: int = -1) -> None:
        """Something happens at ``at``: a visit begins (its number), or a look (-1)."""
        self.order += 1
        heappush(self.heap, (at, self.order, visit))

    def run(self) -> None:
        """From the first event to the last."""
        for number, visit in enumerate(self.visits):
            self.wake(float(visit.arrive_s), number)
        for arrive_s in () if self.beside is None else self.beside.arrivals():
            self.wake(arrive_s)
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
            self.by_itself_s += seconds if self.judge.by_itself else 0.0
        self.now = until
        if self.beside is not None:
            self.beside.go_to(until)

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
        self.cars[name] = Car(number, visit, self.connector[name], self.rng.uniform(1.0, FOLLOW_S))
        self.wake(float(visit.depart_s))

    def _leave(self) -> None:
        for name, car in list(self.cars.items()):
            if car.visit.depart_s <= self.now + 1e-6:
                del self.cars[name]
                self.gone = self.gone or car.draws > 0
                self.free.append(name)
                self.done.append((car.number, car.visit.energy_wh - car.left_wh, car.waited_s))
                self.switches.append(car.switches)
        self.free.sort(key=lambda name: int(name) if name.isdigit() else len(self.free))

    # -- one look ---------------------------------------------------------------------------------------------------

    def _step(self) -> None:
        cars = list(self.cars.values())
        now_ns = round(self.now * NS_PER_S)
        stopped, self.gone = self.gone, False
        for car in cars:
            if car.follow_at is not None and car.follow_at <= self.now + 1e-6:
                car.follow_at = None
            if car.pause_until is not None and car.pause_until <= self.now + 1e-6:
                car.pause_until = None
            car.settle(self.now)
            stopped = stopped or car.stopped
            if car.drawing_since is not None and self.now - car.drawing_since >= LINES_S - 1e-6:
                car.known_lines, car.lines_known = car.lines, True
                car.lines_of_three = car.lines if car.phases != 1 else car.lines_of_three
            car.feedback = feedback.observe(car.feedback, RULE, car.share, car.draws if car.share else None, now_ns)
        self._plan(cars)
        if not self.alone:
            self.judge.look(cars, self.now, stopped, {} if self.beside is None else self.beside.flows())
        self._next(cars)

    def _problem(self, cars: Sequence[Car], *, drawn: bool) -> AcProblem:
        waits: list[Car | DcPoint] = [*(car for car in cars if car.wanted and not car.share), *(point for point in self.points if point.waits)]
        paused, waiting = bool(waits), any(not self._recent(one) for one in waits)
        rows = []
        for car in cars:
            wanted = car.connector.max_ma if car.wanted and car.pause_until is None and not self._returns(car) else 0
            unsure = self.balanced and self._unsure(car)
            if self.differences and not car.lines_known:
                wanted = min(wanted, car.connector.min_ma)  # it may turn out to load one phase only
            if drawn:
                wanted = feedback.demand_ma(car.feedback, wanted, car.connector.min_ma)
            stays = car.share > 0 and (not waiting or self._recent(car))
            charged = int(car.charged_s) + (0 if stays else WAITS_S) if paused else 0
            rows.append(car.asks(wanted, PHASES if unsure else car.known_lines, charged, drawn=drawn))
        for point in self.points:
            stays = point.share > 0 and (not waiting or self._recent(point))
            rows.append(point.row(int(point.charged_s) + (0 if stays else WAITS_S) if paused else 0))
        return msgspec.structs.replace(self.site, connectors=tuple(rows), step_ma=max(STEP_MA, self.site.step_ma))

    def _recent(self, car: Car | DcPoint) -> bool:
        return car.switched_at is not None and self.now - car.switched_at < self.site.dwell_s - 1e-6

    def _returns(self, car: Car) -> bool:
        """True while a paused vehicle may not come back yet."""
        return car.share == 0 and car.switched_at is not None and self.now - car.switched_at < self.return_s - 1e-6

    @staticmethod
    def _unsure(car: Car) -> bool:
        """True while nobody knows which phases a vehicle loads."""
        return not car.lines_known and car.connector.lines > 1

    def _plan(self, cars: Sequence[Car]) -> None:
        if self.beside is not None:
            self.beside.ask()
        if not cars and not self.points:
            return
        if self.balanced:
            problem = self._problem(cars, drawn=True)
            target = self._balanced(problem, cars)
        else:
            problem, target = self._shared_out(cars)
            for car in cars:
                ma = target[car.connector.id]
                if ma < car.share:
                    self._set(car, ma)
                    if car.draws > ma:
                        car.follow_at = self.now + car.follow_s
            for point in self.points:
                point.set(min(point.share, target[point.name]), self.now)  # it follows at once
            if not any(car.follow_at is not None for car in cars):  # who rises waits until everybody has followed
                for car in cars:
                    if target[car.connector.id] > car.share:
                        self._set(car, target[car.connector.id])
                    car.settle(self.now)
                for point in self.points:
                    point.set(target[point.name], self.now)
        if self.beside is not None:
            self.beside.use()
        if self.switcher is not None:
            self.switcher.look(cars, problem, target, self.now)

    def _shared_out(self, cars: Sequence[Car]) -> tuple[AcProblem, dict[str, int]]:
        """The question and what everybody shall get: with what vehicles draw only if not everybody can have what is wanted."""
        if not self.differences:
            problem = self._problem(cars, drawn=False)
            if not self._lacks(problem):
                target = self._shared(problem, cars, drawn=False)
                if all(target[c.id] + STEP_MA > c.demand_ma for c in problem.connectors):
                    return problem, target
        problem = self._problem(cars, drawn=True)
        return problem, self._shared(problem, cars, drawn=True)

    def _lacks(self, problem: AcProblem) -> bool:
        """True when it is clear without an answer that not everybody can have what is wanted."""
        return lacking(blinded(problem) if self.policy == PHASE_BLIND else problem, STEP_MA)

    def _shared(self, problem: AcProblem, cars: Sequence[Car], *, drawn: bool) -> dict[str, int]:
        """The policy's answer; asked only when the question is a new one."""
        last = self.known.get(drawn)
        if last is not None and last[0] == problem:
            return last[2]
        self.plans += 1
        queue = [(car.visit.arrive_s, car.number, car.connector.id) for car in cars]
        queue += [] if self.beside is None else self.beside.queue()
        target = self.share(problem, [name for _, _, name in sorted(queue)])
        self.known[drawn] = (problem, {}, target)
        return target

    def _balanced(self, problem: AcProblem, cars: Sequence[Car]) -> dict[str, int]:
        """With an imbalance limit: shares on the way that hold it whoever follows, as in the station."""
        unsure: dict[str, Pairs] = {c.connector.id: unsure_pairs(c.connector.rotation, 0) for c in cars if self._unsure(c)}
        draws = {c.connector.id: c.draws for c in cars if c.draws < c.share and c.lines_known and c.follow_at is None}
        last = self.known.get(True)
        if last is not None and last[0] == problem and last[1] == draws:
            target = last[2]
        else:
            self.plans += 1
            first = sorted((c for c in cars if not c.share and c.connector.id in unsure), key=lambda c: (c.charged_s, c.number))
            stay = [c.connector.id for c in cars if c.share and c.wanted and self._recent(c)]
            solution = solve_with_starts(problem, draws, unsure, [c.connector.id for c in first], stay)[1]
            target = solution.current_ma
            self.known[True] = (problem, draws, target)
        rows, least = self._rows(problem, unsure), {c.id: c.min_ma for c in problem.connectors}
        state = self._state(cars)
        if self.settled is not None and self.settled[0] is rows and self.settled[1:] == (target, state):
            return target  # nothing has moved since nothing moved
        self.settled = None
        for _ in range(FLOWS_MAX):
            known = {c.connector.id: Follower(share=c.share, ignores=c.draws if c.draws > c.share else 0) for c in cars}
            known |= {point.name: Follower(share=point.share) for point in self.points}
            drawn = {c.connector.id: c.draws for c in cars} | {point.name: point.draws for point in self.points}
            given = raised(rows, target, known, least, STEP_MA, drawn)
            moved = False
            for point in self.points:
                moved = moved or given[point.name] != point.share
                point.set(given[point.name], self.now)
            for car in cars:
                ma = given[car.connector.id]
                moved = moved or ma != car.share
                if ma < car.share and car.draws > ma and car.follow_at is None:
                    car.follow_at = self.now + car.follow_s
                self._set(car, ma)
                car.settle(self.now)
            if not moved:
                self.settled = rows, target, self._state(cars)
                break
        return target

    def _state(self, cars: Sequence[Car]) -> list[tuple[int, int]]:
        """Share and draw of everybody."""
        return [(car.share, car.draws) for car in cars] + [(point.share, point.draws) for point in self.points]

    def _rows(self, problem: AcProblem, unsure: dict[str, Pairs]) -> tuple[Row, ...]:
        """Every limit as rows; they change with who is there and with the lines of everybody only."""
        of = tuple([(c.id, c.lines) for c in problem.connectors]), unsure
        if self.limits is None or self.limits[0] != of:
            self.limits = of, ac_rows(problem, unsure)
        return self.limits[1]

    def _set(self, car: Car, ma: int) -> None:
        if (ma > 0) is not (car.share > 0):
            car.switched_at = self.now if car.share or car.switched_at is not None else car.switched_at
        car.share = ma

    def _judged_at(self, car: Car) -> float | None:
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

    def _next(self, cars: Sequence[Car]) -> None:
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
            if car.pause_until is not None:
                times.append(car.pause_until)
            if not car.share and car.wanted and car.switched_at is not None and self._returns(car):
                times.append(car.switched_at + self.return_s)
        if self.beside is not None:
            times += self.beside.times()
        if any(car.share == 0 and car.wanted for car in cars) or any(point.waits for point in self.points):
            times += [point.switched_at + self.site.dwell_s for point in self.points if point.switched_at is not None and self._recent(point)]
            times += [car.switched_at + self.site.dwell_s for car in cars if car.switched_at is not None and self._recent(car)]
            times.append(self.now + max(self.site.dwell_s, LOOK_S))
        if self.switcher is not None and any(car.phases and car.wanted for car in cars):
            times.append(max(self.now + 1.0, self.switcher.at))
        if times:
            at = min(times)
            if self.due is None or at < self.due - 1e-6 or self.due <= self.now + 1e-6:
                self.due = at
                self.wake(at)


def alone_wh(site: AcProblem, visit: AcVisit) -> float:
    """Energy that ``visit`` would get with nobody else there, Wh."""
    day = _Day(site, [visit], PLANNER, 0, alone=True)
    day.run()
    return day.done[0][1]


def run_day(
    site: AcProblem, visits: Sequence[AcVisit], policy: str, *, seed: int = 1, alone: Sequence[float] | None = None, switching: bool = True
) -> DayResult:
    """Simulate ``visits`` under one of `AC_POLICIES`; ``alone`` = `alone_wh` of each visit if known. Only the planner switches
    between one and three phases, where connectors can and if ``switching``."""
    switching = switching and policy == PLANNER and any(c.switch_s for c in site.connectors)
    day = _Day(site, visits, policy, seed, switching=switching)
    day.run()
    return _summed(day, alone if alone is not None else [alone_wh(site, visit) for visit in visits])


def run_beside(
    site: AcProblem, visits: Sequence[AcVisit], policy: str, beside: Beside, *, seed: int = 1, alone: Sequence[float]
) -> DayResult:
    """As `run_day` with DC connectors at the same limits; ``site`` has them too. The use of limits is that of both together."""
    day = _Day(site, visits, policy, seed, switching=policy == PLANNER, beside=beside)
    day.run()
    return _summed(day, alone)


def _summed(day: _Day, base: Sequence[float]) -> DayResult:
    visits, switching = day.visits, day.switcher is not None
    watts = day.judge.volts * 1000
    return judged(
        day.policy,
        [Served(energy_wh=wh, alone_wh=base[number], waited_s=waited) for number, wh, waited in sorted(day.done)],
        turned_away=day.turned_away,
        asked_wh=sum(visits[number].energy_wh for number, _, _ in day.done),
        peak=(day.judge.peak_ma * watts, day.judge.peak, day.judge.peak_of),
        profile_wh=day.profile,
        plans=day.plans,
        broken=list(day.judge.broken),
        unbalanced_s=day.unbalanced_s,
        by_itself_s=day.by_itself_s,
        unbalanced_ma=day.judge.unbalanced_ma,
        switches=sum(day.switches) if switching else None,
        switches_most=max(day.switches, default=0) if switching else None,
    )


__all__ = ["DAY_S", "alone_wh", "run_beside", "run_day"]
