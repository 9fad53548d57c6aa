"""A few random days of the whole station: laws on every tick, physics on every step, books that agree at the end.

Many more: ``python -m tools.soak --seeds 200 --minutes 4``. A failure prints its story; the seed repeats it.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests._support.examples import minutes
from tests._support.random_day import RandomDay

MINUTES, AC_MINUTES = minutes(0.7, 0.45), minutes(0.4, 0.3)


@pytest.mark.parametrize("seed", [pytest.param(16, marks=pytest.mark.slow), 25, pytest.param(141, marks=pytest.mark.slow)])
def test_random_day_obeys_every_law_and_comes_to_rest(tmp_path: Path, seed: int) -> None:
    day = RandomDay(tmp_path, seed, MINUTES)
    problems = day.run()
    story = "\n".join(day.report().splitlines()[-60:])
    assert not problems, f"seed {seed}, {MINUTES:g} minutes: python -m tools.soak --seeds 1 --first {seed}\n{story}"
    assert day.ticks > MINUTES * 60 * 20


def test_checkers_see_a_law_that_is_broken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The gate lets everything pass: on a day with emergency stops the checkers must say so."""
    monkeypatch.setattr("evse.runtime.loop.gate", lambda spec, outputs, inputs, now: outputs)
    monkeypatch.setattr("evse.core.faults.station_causes", lambda t: None)
    day = RandomDay(tmp_path, 5, 0.3, enough="law broken: L01")
    day.chaos, day.ways, day.ends, day.manners, day.busy_s = ["estop"], ["api"], ["wait"], [{}], 3.0
    assert any("law broken: L01" in text for text in day.run())


@pytest.mark.parametrize("seed", [pytest.param(5, marks=pytest.mark.slow), 18, pytest.param(19, marks=pytest.mark.slow)])
def test_random_day_of_an_ac_station_obeys_every_law_and_comes_to_rest(tmp_path: Path, seed: int) -> None:
    """5: mixed with a DC EVSE; 18: phases and ventilation; 19: sockets that demand ISO 15118."""
    day = RandomDay(tmp_path, seed, AC_MINUTES, "ac")
    problems = day.run()
    story = "\n".join(day.report().splitlines()[-60:])
    assert not problems, f"seed {seed}: python -m tools.soak --seeds 1 --first {seed} --minutes {AC_MINUTES:g} --kind ac\n{story}"


def test_checkers_see_a_vehicle_that_takes_too_much(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the excuse for vehicles that do not obey, physics must say so."""
    monkeypatch.setattr(RandomDay, "_misbehaves", staticmethod(lambda point: False))
    day = RandomDay(tmp_path, 18, 0.3, "ac", enough="more current than the pilot says")
    day.chaos, day.ways, day.ends, day.ac_manners = ["dynamic_limit"], ["api"], ["wait"], [{"over_permille": 1_400}]
    day.busy_s = 4.0
    assert any("more current than the pilot says" in text for text in day.run())
