"""Switching between one and three phases in a simulated day, decided as in the station (`evse.planner.phase_choice`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from evse.domain.ac import OFFER_MIN_MA
from evse.lab.park.ac_site import Car
from evse.planner.ac import solve
from evse.planner.ac_problem import PHASES, AcProblem
from evse.planner.feedback import Draw
from evse.planner.phase_choice import ONE_PHASE_MAX_MA, PhaseFacts, PhaseRule, choose, with_lines
from evse.units import NS_PER_S

RULE: Final = PhaseRule()
LOOK_S: Final = 15.0
CARS_PER_LOOK: Final = 20
"""More vehicles that may be switched are looked at less often in the same measure: each is a question to the planner."""


AGAIN_S: Final = 60.0

Key = tuple[tuple[str, int, int], ...]
"""Who asks for how much on how many lines."""


class Switcher:
    """Decides for the vehicles of a day; remembers what the other number of phases would give until somebody asks for something
    else, but no longer than `AGAIN_S`: turns change the answer too."""

    def __init__(self, volts: float) -> None:
        self.volts = volts
        self.asked: dict[str, tuple[Key, float, int]] = {}
        self.at = 0.0

    def period_s(self, cars: Sequence[Car]) -> float:
        """How often is looked."""
        return LOOK_S * (1 + sum(1 for car in cars if car.phases) // CARS_PER_LOOK)

    def look(self, cars: Sequence[Car], problem: AcProblem, target: Mapping[str, int], now: float) -> None:
        """Switch whoever is to be switched now."""
        if now < self.at - 1e-6:
            return
        self.at = now + self.period_s(cars)
        key = tuple((c.id, c.demand_ma, c.lines) for c in problem.connectors)
        for car in cars:
            if not car.phases or not car.wanted:
                continue
            here = target[car.connector.id] * self._lines(car, car.phases) * self.volts * 1000
            facts = PhaseFacts(
                session=f"{car.number}", phases=car.phases, here_w=int(here), there_w=self._there(car, problem, key, here, now),
                pause_s=car.connector.switch_s, switching=car.pause_until is not None,
            )  # fmt: skip
            car.choice, phases = choose(car.choice, RULE, facts, round(now * NS_PER_S))
            if phases:
                self._switch(car, phases, now)

    def _lines(self, car: Car, phases: int) -> int:
        """Lines on which it is counted on so many phases: those of three are known once it has charged on three."""
        return 1 if phases == 1 else car.lines_of_three

    def _there(self, car: Car, problem: AcProblem, key: Key, here_w: float, now: float) -> int:
        phases = 1 if car.phases == PHASES else PHASES
        most = max(OFFER_MIN_MA, car.feedback.ceiling_ma or car.connector.max_ma)
        ask = min(car.connector.max_ma, most, ONE_PHASE_MAX_MA if phases == 1 else most)
        lines = self._lines(car, phases)
        if ask * lines * self.volts * 1000 < here_w + RULE.gain_w and here_w:
            return 0  # not worth it even with all that it asks for
        name = car.connector.id
        known = self.asked.get(name)
        if known is not None and known[0] == key and now - known[1] < AGAIN_S:
            return known[2]
        asked = with_lines(problem, name, lines, ask)
        watts = 0 if asked is None else int(solve(asked).current_ma[name] * lines * self.volts * 1000)
        self.asked[name] = key, now, watts
        return watts

    def _switch(self, car: Car, phases: int, now: float) -> None:
        car.phases, car.share, car.draws, car.follow_at = phases, 0, 0, None
        car.switches += 1
        car.pause_until = now + car.connector.switch_s
        car.lines = min(car.visit.lines, phases)
        car.known_lines, car.lines_known = phases, phases == 1
        car.drawing_since = car.switched_at = None
        car.feedback = Draw(ceiling_ma=car.feedback.ceiling_ma)


__all__ = ["Switcher"]
