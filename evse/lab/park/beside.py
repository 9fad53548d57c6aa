"""The DC connectors of a site with both kinds: what they ask of the site, and the hub that uses what it gives them.

As in the station (`evse.planner.questions.replan`): the DC planner plans as if it had the whole site, what it gives is what each
connector asks for as a balanced load on three phases, the AC planner shares the site out among these and the AC points, and the DC
planner plans again with what all DC connectors got together. Module groups follow at once, so a DC connector gives way in the
moment in which it is told to.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from evse.lab.park.dc import Hub
from evse.lab.park.visits import DcVisit
from evse.planner.ac_problem import PHASES, AcConnector
from evse.planner.live_ac import STEP_MA
from evse.planner.problem import PPM, DcProblem


class DcPoint:
    """One DC connector as the sharing of the site sees it. Currents in mA on each of three phases."""

    def __init__(self, name: str, node: str) -> None:
        self.name, self.node = name, node
        self.share = self.draws = self.wanted_ma = self.least_ma = 0
        self.asks = False
        self.switched_at: float | None = None
        self.charged_s = 0.0

    def set(self, ma: int, now: float) -> None:
        """Another share is in force."""
        if (ma > 0) is not (self.share > 0):
            self.switched_at = now if self.share or self.switched_at is not None else self.switched_at
        self.share = ma

    @property
    def waits(self) -> bool:
        """It asks and gets nothing."""
        return self.asks and not self.share

    def row(self, charging_s: int) -> AcConnector:
        """What it asks of the site."""
        return AcConnector(
            id=self.name, node=self.node, lines=PHASES, min_ma=max(1, self.least_ma), max_ma=max(1, self.wanted_ma),
            demand_ma=self.wanted_ma, charging_s=charging_s,
        )


class Beside:
    """The DC part of a day. ``nodes`` = the fuse at which each DC connector hangs."""

    def __init__(self, site: DcProblem, visits: Sequence[DcVisit], policy: str, nodes: Mapping[str, str], voltage_mv: int) -> None:
        self.hub = Hub(site, visits, policy)
        self.unit_mv = PHASES * voltage_mv
        self.efficiency_ppm = site.efficiency_ppm
        self.min_w = site.min_w
        self.points = [DcPoint(c.id, nodes[c.id]) for c in site.connectors]
        self.coming = list(enumerate(visits))[::-1]

    def ma(self, power_w: int) -> int:
        """Current per phase of ``power_w`` behind the rectifiers, rounded up."""
        return -(-power_w * PPM * 1_000_000 // (self.efficiency_ppm * self.unit_mv))

    def go_to(self, now: float) -> None:
        """Let time go by, and vehicles come and leave."""
        seconds = now - self.hub.now
        for point in self.points:
            point.charged_s = max(0.0, point.charged_s + (seconds if point.share else -seconds if point.asks else 0.0))
        self.hub.go_to(now, self.coming)

    def ask(self) -> None:
        """What everybody wants of the whole site."""
        given = self.hub.wishes()
        asking = self.hub.asking()
        for point in self.points:
            wanted = self.ma(given.get(point.name, 0))
            point.asks = point.name in asking
            point.wanted_ma = -(-wanted // STEP_MA) * STEP_MA
            point.least_ma = min(self.ma(self.min_w), point.wanted_ma)
            if not point.asks:
                point.charged_s, point.switched_at = 0.0, None

    def use(self) -> None:
        """Plan with what all DC connectors have together."""
        self.hub.use(sum(point.share for point in self.points) * self.unit_mv // 1_000_000)
        flows = self.flows()
        for point in self.points:
            point.draws = flows.get(point.name, 0)

    def arrivals(self) -> list[float]:
        """When vehicles come."""
        return [float(visit.arrive_s) for visit in self.hub.visits]

    def queue(self) -> list[tuple[int, int, str]]:
        """Who is there: since when, which visit, where."""
        return [(car.visit.arrive_s, car.number, name) for name, car in self.hub.cars.items()]

    def times(self) -> list[float]:
        """When must be looked again."""
        return [self.hub.next_at(None)] if self.hub.cars else []

    def flows(self) -> dict[str, int]:
        """What is assigned to each connector, mA per phase."""
        return {name: self.ma(watts) for name, watts in self.hub.assigned().items()}


__all__ = ["Beside", "DcPoint"]
