"""A day of a DC hub, looked at every `LOOK_S` and whenever a vehicle comes, asks, is done or leaves.

Turns and the grouping of modules are those of the station (`evse.planner.turns`, `evse.planner.regroup`); a connector whose
groups change while it delivers gives nothing for `REGROUP_S`: ramp down, open, close, pre-charge, ramp up. A vehicle asks
`SETUP_S` after it was plugged in, for what its curve gives at its state of charge, and leaves when it has what it came for.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from evse.lab.park.policies import FIRST_COME, OWN_GROUPS, PLANNER
from evse.lab.park.result import SLOT_S, DayResult, Served, judged
from evse.lab.park.visits import DAY_S, DcVisit
from evse.planner.dc import solve
from evse.planner.problem import DcConnector, DcProblem, DcSolution, ceiling_w, relay_operations, site_cap_w
from evse.planner.regroup import choose
from evse.planner.turns import Turns, arranged, observe
from evse.sim.curves import SOC_FULL_PPM, pack_mv, power_at
from evse.units import NS_PER_S, Instant

LOOK_S: Final = 20
SETUP_S: Final = 20
REGROUP_S: Final = 5
replace = msgspec.structs.replace


class Car:
    """A vehicle at a connector."""

    def __init__(self, number: int, visit: DcVisit, connector: DcConnector, now: float) -> None:
        self.number, self.visit, self.connector = number, visit, connector
        self.soc = float(visit.start_ppm)
        self.asks_at = now + SETUP_S
        self.given_w = 0
        self.silent_until = 0.0  # while its groups change
        self.wh = 0.0
        self.waited_s = self.waits_s = self.longest_s = 0.0
        self.groups: frozenset[str] = frozenset()

    @property
    def voltage_mv(self) -> int:
        """Voltage of the battery while it charges."""
        return round(pack_mv(self.visit.voltage_class, self.soc))

    def wants_w(self) -> int:
        """What the battery would take now, W."""
        return round(power_at(self.visit.curve, self.soc))

    def draws_w(self, now: float) -> int:
        """What it takes of what it is given."""
        return 0 if now < self.silent_until else min(self.given_w, self.wants_w())

    @property
    def full(self) -> bool:
        """It has what it came for."""
        return self.soc >= self.visit.target_ppm


Policy = Callable[["Hub", DcProblem], tuple[DcSolution, bool]]


def _planned(hub: Hub, problem: DcProblem) -> tuple[DcSolution, bool]:
    """The planner of the station, with its dwells."""
    at: Instant = round(hub.now * NS_PER_S)
    asks = [c.id for c in problem.connectors]
    hub.turns = observe(hub.turns, asks, [name for name in asks if hub.cars[name].given_w], hub.lacking, at)
    problem = arranged(problem, hub.turns, hub.site.dwell_s * NS_PER_S, at)
    if hub.regrouped_at is None:
        solution, moved = solve(problem), True
    else:
        solution, moved, _ = choose(problem, hub.regrouped_at, fell=False, now=at)
    cap, served = site_cap_w(problem), sum(w > 0 for w in solution.power_w.values())
    hub.lacking = solution.waiting if cap is None or (served + 1) * problem.min_w <= cap else ()
    return solution, moved


def _own_groups(hub: Hub, problem: DcProblem) -> tuple[DcSolution, bool]:
    """Nobody borrows, and each connector has its fixed part of the site."""
    cap = site_cap_w(problem)
    part = None if cap is None else cap // max(1, len(hub.site.connectors))

    def fixed(c: DcConnector) -> DcConnector:
        return c if part is None else replace(c, limit_w=part if c.limit_w is None else min(c.limit_w, part))

    return solve(replace(problem, allow_cross=False, connectors=tuple(fixed(c) for c in problem.connectors))), True


def _first_come(hub: Hub, problem: DcProblem) -> tuple[DcSolution, bool]:
    """One after the other as each would be alone with the groups and the power that are left."""
    cap = site_cap_w(problem)
    taken: dict[str, str | None] = {}
    power = {c.id: 0 for c in problem.connectors}
    order = sorted(hub.cars.values(), key=lambda car: (car.asks_at, car.number))
    left = cap
    for car in order:
        mine = next((c for c in problem.connectors if c.id == car.connector.id), None)
        if mine is None or (left is not None and left < max(1, problem.min_w)):
            continue
        cabinets = tuple(
            replace(cabinet, groups=tuple(replace(g, modules=0) if taken.get(g.id) else g for g in cabinet.groups))
            for cabinet in problem.cabinets
        )
        wish = mine if left is None else replace(mine, limit_w=min(left, mine.limit_w if mine.limit_w is not None else left))
        own = solve(replace(problem, cabinets=cabinets, connectors=(wish,), site_limit_w=None, csms_limit_w=None))
        if not own.power_w[mine.id]:
            continue
        power[mine.id] = own.power_w[mine.id]
        taken |= {group: name for group, name in own.owner.items() if name is not None}
        left = None if left is None else left - power[mine.id]
    groups = [g.id for cabinet in problem.cabinets for g in cabinet.groups]
    return DcSolution(power_w=power, owner={g: taken.get(g) for g in groups}), True


DC_POLICIES: Final[dict[str, Policy]] = {PLANNER: _planned, FIRST_COME: _first_come, OWN_GROUPS: _own_groups}


class Hub:
    """One policy's day; on a site with AC points step by step (`evse.lab.park.beside`)."""

    def __init__(self, site: DcProblem, visits: Sequence[DcVisit], policy: str) -> None:
        self.site, self.visits, self.share = site, visits, DC_POLICIES[policy]
        self.free = [c.id for c in site.connectors]
        self.connector = {c.id: c for c in site.connectors}
        self.cars: dict[str, Car] = {}
        self.owner: dict[str, str | None] = {}
        self.now = 0.0
        self.planned: tuple[float, int | None, dict[str, int]] | None = None  # when, with which limit, what everybody wished
        self.regrouped_at: Instant | None = None
        self.turns = Turns()
        self.lacking: tuple[str, ...] = ()  # who waits for module groups, not for the site
        self.done: list[Car] = []
        self.turned_away = self.plans = self.relays = 0
        self.profile: list[float] = []
        self.peak_w, self.peak, self.peak_of = 0, 0.0, "none"
        self.broken: dict[str, None] = {}

    def run(self) -> None:
        """From the first arrival until the last vehicle has left."""
        coming = list(enumerate(self.visits))[::-1]
        while coming or self.cars:
            self.go_to(self.next_at(coming[-1][1].arrive_s if coming else None), coming)
            self._plan()
            self._look()

    def go_to(self, until: float, coming: list[tuple[int, DcVisit]]) -> None:
        """Let time go by. Who has what it came for, or must go, leaves; who comes (the next one last) takes a free connector."""
        self._pass(until)
        for name, car in list(self.cars.items()):
            if car.full or car.visit.depart_s <= self.now:
                del self.cars[name]
                self.free.append(name)
                self.done.append(car)
                self.planned = None
        while coming and coming[-1][1].arrive_s <= self.now:
            self._arrive(*coming.pop())

    def asking(self) -> dict[str, Car]:
        """Who asks, by connector."""
        return {name: car for name, car in self.cars.items() if car.asks_at <= self.now}

    def wishes(self) -> dict[str, int]:
        """What everybody would get of the whole site, W; thought about again every `LOOK_S` and when somebody comes or leaves."""
        asking = self.asking()
        known = self.planned
        if known is None or self.now - known[0] >= LOOK_S - 1e-6 or known[2].keys() != asking.keys():
            kept = self.turns, self.lacking
            solution, _ = self.share(self, self._problem(list(asking.values()), None))
            self.turns, self.lacking = kept
            self.planned = known = self.now, -1, solution.power_w
        return known[2]

    def use(self, limit_w: int) -> None:
        """Plan with ``limit_w`` (AC side) for all together; nothing new unless that or the `wishes` are."""
        if self.planned is None or self.planned[1] != limit_w:
            self._plan(limit_w)
            self.planned = None if self.planned is None else (self.planned[0], limit_w, self.planned[2])
        self._look()

    def assigned(self) -> dict[str, int]:
        """What is assigned to each connector with a vehicle, W."""
        return {name: car.given_w for name, car in self.cars.items()}

    def next_at(self, arrival: int | None) -> float:
        """When must be looked again."""
        times: list[float] = [] if arrival is None else [arrival]
        for car in self.cars.values():
            times.append(car.visit.depart_s)
            if car.asks_at > self.now:
                times.append(car.asks_at)
            else:
                times.append(self.now + LOOK_S)
            if car.silent_until > self.now:
                times.append(car.silent_until)
        return max(self.now + 1, min(times))

    def _pass(self, until: float) -> None:
        seconds = until - self.now
        moved = 0.0
        for car in self.cars.values():
            draws = car.draws_w(self.now)
            wh = min(draws * seconds / 3600, max(0.0, car.visit.target_ppm - car.soc) * car.visit.battery_wh / SOC_FULL_PPM)
            car.wh += wh
            car.soc += wh * SOC_FULL_PPM / car.visit.battery_wh
            moved += wh
            if self.now >= car.asks_at and not car.given_w and not car.full:
                car.waited_s += seconds
                car.waits_s += seconds
                car.longest_s = max(car.longest_s, car.waits_s)
            else:
                car.waits_s = 0.0
        slot = int(self.now // SLOT_S)
        self.profile += [0.0] * (slot + 1 - len(self.profile))
        self.profile[slot] += moved * 1_000_000 / self.site.efficiency_ppm
        self.now = until

    def _arrive(self, number: int, visit: DcVisit) -> None:
        if not self.free:
            self.turned_away += 1
            return
        name = min(self.free, key=list(self.connector).index)
        self.free.remove(name)
        self.cars[name] = Car(number, visit, self.connector[name], self.now)

    def _problem(self, asking: Sequence[Car], limit_w: int | None) -> DcProblem:
        cabinets = tuple(
            replace(c, prior={g.id: self.owner.get(g.id) for g in c.groups}) for c in self.site.cabinets
        )
        rows = tuple(
            replace(
                car.connector, request_w=max(car.wants_w(), self.site.min_w), voltage_mv=car.voltage_mv,
                charging_s=int(self.now - car.asks_at),
            )
            for car in asking
        )
        caps = [w for w in (self.site.site_limit_w, limit_w) if w is not None]
        return replace(self.site, cabinets=cabinets, connectors=rows, site_limit_w=min(caps, default=None))

    def _plan(self, limit_w: int | None = None) -> None:
        asking = list(self.asking().values())
        problem = self._problem(asking, limit_w)
        solution, moved = self.share(self, problem)
        self.plans += 1
        operations = sum(relay_operations(cabinet, solution.owner) for cabinet in problem.cabinets)
        self.relays += operations
        if moved and operations:
            self.regrouped_at = round(self.now * NS_PER_S)
        self.owner = dict(solution.owner)
        for car in asking:
            groups = frozenset(g for g, o in self.owner.items() if o == car.connector.id)
            if car.given_w and groups != car.groups:
                car.silent_until = self.now + REGROUP_S
            car.groups, car.given_w = groups, solution.power_w[car.connector.id]
        self.problem = problem

    def _look(self) -> None:
        """Judge every limit with what is assigned."""
        site = self.site
        total = sum(car.given_w for car in self.cars.values())
        self.peak_w = max(self.peak_w, sum(car.draws_w(self.now) for car in self.cars.values()))
        cap = site_cap_w(site)
        if cap is not None:
            self._use("site limit", total, cap)
        for cabinet in site.cabinets:
            if cabinet.limit_w is not None:
                mine = sum(car.given_w for car in self.cars.values() if car.connector.cabinet == cabinet.id)
                self._use(f"cabinet {cabinet.id}", mine, cabinet.limit_w * site.efficiency_ppm // 1_000_000)
        for row in self.problem.connectors:
            car = self.cars[row.id]
            if car.given_w > max(ceiling_w(self.problem, row), site.min_w):
                self.broken.setdefault(f"connector {row.id}: {car.given_w} W assigned at {self.now / 3600:.2f} h")

    def _use(self, name: str, used: int, cap: int) -> None:
        if cap and used / cap > self.peak:
            self.peak, self.peak_of = used / cap, name
        if used > cap:
            self.broken.setdefault(f"{name}: {used / 1000:.1f} of {cap / 1000:.1f} kW at {self.now / 3600:.2f} h")


def alone_wh(site: DcProblem, visit: DcVisit) -> float:
    """Energy that ``visit`` would get with nobody else there, Wh (DC side)."""
    hub = Hub(site, [visit], PLANNER)
    hub.run()
    return hub.done[0].wh


def run_day(site: DcProblem, visits: Sequence[DcVisit], policy: str, *, alone: Sequence[float] | None = None) -> DayResult:
    """Simulate ``visits`` under one of `DC_POLICIES`; ``alone`` = `alone_wh` of each visit if known."""
    hub = Hub(site, visits, policy)
    hub.run()
    return summed(hub, policy, alone)


def summed(hub: Hub, policy: str, alone: Sequence[float] | None) -> DayResult:
    """The day that ``hub`` has had; ``alone`` as in `run_day`."""
    site, visits = hub.site, hub.visits
    base = alone if alone is not None else [alone_wh(site, visit) for visit in visits]
    done = sorted(hub.done, key=lambda car: car.number)
    return judged(
        policy,
        [Served(energy_wh=car.wh, alone_wh=base[car.number], waited_s=car.waited_s, longest_s=car.longest_s) for car in done],
        turned_away=hub.turned_away,
        asked_wh=sum((c.visit.target_ppm - c.visit.start_ppm) * c.visit.battery_wh / SOC_FULL_PPM for c in done),
        peak=(hub.peak_w * 1_000_000 / site.efficiency_ppm, hub.peak, hub.peak_of),
        profile_wh=hub.profile,
        plans=hub.plans,
        broken=list(hub.broken),
        relay_operations=hub.relays,
    )


__all__ = ["DAY_S", "DC_POLICIES", "Hub", "alone_wh", "run_day", "summed"]
