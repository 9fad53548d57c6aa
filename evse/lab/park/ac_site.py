"""The vehicles of an AC day and the fuses above them: what is drawn, and what every limit says to it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from evse.domain.ac import OFFER_MIN_MA
from evse.lab.park.visits import AcVisit
from evse.planner.ac_problem import PHASES, AcConnector, AcProblem
from evse.planner.feedback import Draw
from evse.planner.phase_choice import PhaseState

STAGES: Final = ((0.10, 1.0), (0.05, 0.7), (0.0, 0.45))
"""(share of the energy that is left when the stage ends, share of the full current)."""

EPSILON_WH: Final = 0.01


class Car:
    """A vehicle at a connector. Currents in mA per line."""

    def __init__(self, number: int, visit: AcVisit, connector: AcConnector, follow_s: float) -> None:
        self.number, self.visit, self.connector, self.follow_s = number, visit, connector, follow_s
        self.lines = min(visit.lines, connector.lines)
        self.order = ["RST".index(letter) for letter in connector.rotation]  # grid phase of each line
        self.left_wh = float(visit.energy_wh)
        self.share = self.draws = 0
        self.follow_at: float | None = None  # draws its old share until then
        self.known_lines = self.lines_of_three = connector.lines
        self.lines_known = False
        self.drawing_since: float | None = None
        self.switched_at: float | None = None
        self.stopped = False  # it draws less by itself than a moment ago
        self.phases = PHASES if connector.switch_s else 0  # in force, 0 = the point does not switch
        self.pause_until: float | None = None  # it is being switched
        self.choice = PhaseState()
        self.switches = 0  # between one and three phases in this session
        self.charged_s = 0.0
        self.waited_s = 0.0
        self.feedback = Draw()
        most = min(visit.max_ma, connector.max_ma)
        self.stages = [(end, min(most, max(OFFER_MIN_MA, round(most * scale)))) for end, scale in STAGES]
        self.rows = [connector, connector]  # as it was last asked for: with what it wants, with what it draws
        self.wanted = self.wants()

    def wants(self) -> int:
        """What the vehicle would draw now; 0 = full."""
        if self.left_wh <= EPSILON_WH:
            return 0
        part = self.left_wh / self.visit.energy_wh
        for end, amount in self.stages:
            if part > end + 1e-9:
                return amount
        return self.stages[-1][1]

    def asks(self, demand_ma: int, lines: int, charging_s: int, *, drawn: bool) -> AcConnector:
        """The connector with what it asks for; the same object while that does not change."""
        row = self.rows[drawn]
        if row.demand_ma != demand_ma or row.lines != lines or row.charging_s != charging_s:
            row = msgspec.structs.replace(self.connector, demand_ma=demand_ma, lines=lines, charging_s=charging_s)
            self.rows[drawn] = row
        return row

    def stage_left_wh(self) -> float:
        """Energy until it changes what it wants."""
        part = self.left_wh / self.visit.energy_wh
        for end, _ in self.stages:
            if part > end + 1e-9:
                return self.left_wh - end * self.visit.energy_wh
        return self.left_wh

    def settle(self, now: float) -> None:
        """Draw what share and battery allow, unless it has not followed down yet."""
        allowed = self.draws if self.follow_at is not None else self.share
        self.wanted = self.wants()
        wanted = min(allowed, self.wanted)
        before, self.draws = self.draws, wanted if wanted >= OFFER_MIN_MA else 0
        self.stopped = self.draws < min(before, allowed)
        if self.draws and self.drawing_since is None:
            self.drawing_since = now


class Site:
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
        self.by_itself = False  # it is, since a vehicle stopped or left
        self.unbalanced_ma = 0

    def look(self, cars: Sequence[Car], now: float, stopped: bool, fast: Mapping[str, int]) -> None:
        """Judge every limit with what flows now. ``stopped`` = a vehicle draws less by itself, or has left, since the last look;
        ``fast`` = what DC connectors may take, mA on each phase."""
        flow = [[0] * PHASES for _ in self.nodes]
        total = 0
        for car in cars:
            draws = car.draws
            if draws:
                total += draws * car.lines
                for n in self.paths[car.connector.id]:
                    mine = flow[n]
                    for p in car.order[: car.lines]:
                        mine[p] += draws
        for name, ma in fast.items():
            total += PHASES * ma
            for n in self.paths[name]:
                flow[n] = [mine + ma for mine in flow[n]]
        self.peak_ma = max(self.peak_ma, total)
        before, self.unbalanced = self.unbalanced, False
        for node, mine in zip(self.nodes, flow, strict=True):
            if any(mine):
                self._node(node.id, mine, now)
        self.by_itself = self.unbalanced and (stopped or (before and self.by_itself))

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


__all__ = ["EPSILON_WH", "STAGES", "Car", "Site"]
