"""Why an AC EVSE gets its share: the limit that is full, in one clause."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from evse.domain.limits import CurrentRequest, LimitSource
from evse.domain.station import GridSpec
from evse.planner.ac_problem import PHASES, UNLIMITED_MA, AcNode, AcProblem, phases_of
from evse.planner.allowance import Allowance
from evse.units import NS_PER_S, DurationNs

NEAR_MA = 200
"""A row counts as full with less room than this: shares are steps of 0.1 A."""

CAP_WORDS = {
    LimitSource.SITE: "site limit",
    LimitSource.OCPP_STATIC: "static OCPP limit",
    LimitSource.CSMS: "CSMS limit",
}


def amps(ma: int) -> str:
    """10500 -> ``10.5 A``."""
    return f"{ma / 1000:.1f} A"


class Limits:
    """The limits of a problem with what a plan uses of them."""

    def __init__(
        self,
        problem: AcProblem,
        given: Mapping[str, int],
        grid: GridSpec,
        site_w: tuple[tuple[LimitSource, int], ...],
        allowed: Allowance | None = None,
        *,
        lost: bool,
    ) -> None:
        self.problem, self.grid, self.site_w, self.allowed, self.lost = problem, grid, site_w, allowed, lost
        self.parent = {n.id: n.parent for n in problem.nodes}
        self.used = {n.id: list(n.background_ma) for n in problem.nodes}
        for c in problem.connectors:
            for node in self._path(c.node):
                for k in phases_of(c):
                    self.used[node][k] += given[c.id]

    def _path(self, node: str | None) -> list[str]:
        path = []
        while node is not None:
            path.append(node)
            node = self.parent[node]
        return path

    def fullest(self, name: str, *, spare_ma: int = 0) -> tuple[LimitSource, str]:
        """Return the limit above a connector that has no room for ``spare_ma`` more, and its words; "" = none is full."""
        c = next(c for c in self.problem.connectors if c.id == name)
        nodes = {n.id: n for n in self.problem.nodes}
        found: list[tuple[int, LimitSource, str]] = []
        for node_id in self._path(c.node):
            node, used = nodes[node_id], self.used[node_id]
            for k in phases_of(c):
                found.append((node.limit_ma[k] - used[k], *self._fuse(node, k)))
            if node.limit_w is not None:
                room = (node.limit_w * 1_000_000 // self.problem.voltage_mv - sum(used)) // c.lines
                source, power_w = self.site_w[0]
                found.append((room, source, f"the {CAP_WORDS.get(source, source.value)} of {power_w / 1000:.1f} kW is used up"))
            found += self._imbalance(node, phases_of(c))
        room, source, words = min(found, key=lambda row: row[0])
        return (source, words) if room < NEAR_MA + spare_ma else (LimitSource.GRID, "")

    def _fuse(self, node: AcNode, phase: int) -> tuple[LimitSource, str]:
        if node.id == "own":
            allowed = UNLIMITED_MA if self.allowed is None else self.allowed.limit_ma[phase]
            if self.lost and 0 <= self.grid.failsafe_ma <= allowed:
                return LimitSource.FAILSAFE, f"the site meter is lost: {amps(self.grid.failsafe_ma)} for all vehicles"
            if self.allowed is None:
                return LimitSource.FAILSAFE, ""
            return LimitSource.GRID, f"{self.allowed.words[phase]} of {amps(allowed)} is used up on L{phase + 1}"
        what = f"the {node.id}" if node.id != "grid" else "the fuse of the grid connection"
        house = node.background_ma[phase]
        words = f"{what} ({amps(node.limit_ma[phase])}) is full on L{phase + 1}"
        return LimitSource.GRID, words + (f", {amps(house)} are taken by other loads" if house else "")

    def _imbalance(self, node: AcNode, own: tuple[int, ...]) -> list[tuple[int, LimitSource, str]]:
        if node.imbalance_ma is None:
            return []
        used = self.used[node.id]
        return [
            (
                max(node.imbalance_ma, node.background_ma[p] - node.background_ma[q]) - (used[p] - used[q]),
                LimitSource.OUT_OF_BALANCE,
                f"L{p + 1} may carry at most {amps(node.imbalance_ma)} more than L{q + 1}",
            )
            for p in own
            for q in range(PHASES)
            if q not in own
        ]


def binding(
    limits: Limits, r: CurrentRequest, target_ma: int, given_ma: int, demand_ma: int, waits_ns: DurationNs
) -> tuple[LimitSource, str]:
    """Name the limit that decides the share of an EVSE and say it in one clause."""
    if not r.wanted_ma:
        return LimitSource.EV, "the vehicle asks for nothing"
    if waits_ns > 0:
        return LimitSource.GRID, f"paused; it may come back in {-(-waits_ns // NS_PER_S)} s"
    name = str(r.evse_id)
    if not target_ma:
        source, words = limits.fullest(name, spare_ma=r.min_ma)
        why = words or "the limits of the site leave no room"
        return source, f"paused, there is no room for {amps(r.min_ma)}: {why}"
    if given_ma < target_ma:
        return LimitSource.GRID, f"{amps(target_ma)} as soon as the others have followed their smaller shares"
    if target_ma >= r.wanted_ma:
        return LimitSource.EV, "it gets what it can use"
    if limits.lost and target_ma >= demand_ma:
        return LimitSource.FAILSAFE, "the site meter is lost: nobody gets more than before"
    if target_ma >= demand_ma:
        return LimitSource.EV, f"the vehicle draws less than {amps(target_ma)}; the rest is given to others"
    source, words = limits.fullest(name)
    return source, words or "shared among the vehicles of the site"


def overdraws(limits: Limits, name: str, draws_ma: int, given_ma: int) -> tuple[LimitSource, str]:
    """Say what is given to a vehicle that draws more, and what is reserved for it."""
    source, _ = limits.fullest(name)
    return source, f"its fair share is {amps(given_ma)}; it draws {amps(draws_ma)}, which stays reserved for it"


def starts_later(imbalance_ma: int, least_ma: int, phases: Sequence[int]) -> str:
    """Say why a vehicle does not start under an imbalance limit; no ``phases`` = nobody knows which it uses."""
    limit = f"the imbalance limit of {amps(imbalance_ma)}"
    if not phases:
        return f"it starts when its {amps(least_ma)} fit on any one phase: nobody knows its phases yet, and {limit} leaves no room"
    on = " and ".join(f"L{k + 1}" for k in phases)
    return f"it waits: {amps(least_ma)} on {on} alone would break {limit}; it starts when other phases carry more"
