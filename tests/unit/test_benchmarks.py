"""The benchmarks themselves: they run in small, and their table says what was missed."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest

import benchmarks.__main__ as table
from benchmarks import (
    bench_access,
    bench_core,
    bench_planner_budget,
    bench_process,
    bench_screens,
    bench_solvers,
    bench_wire,
)
from benchmarks.plants import charging_trace, config_text
from benchmarks.timing import Figure, median_us
from evse.config.load import parse_config


def test_a_trace_charges_on_every_connector_and_every_reading_is_new() -> None:
    trace = charging_trace(3, 4)
    assert len(trace.steps) == 4
    _, outputs = bench_core.play(trace)
    assert all(e.board.contactor_lease for e in outputs.evses) and all(g.on for g in outputs.groups)
    assert outputs == trace.outputs, "the measured run computes what the recorded one did"
    boards = [inputs.evses[0].board for inputs, _ in trace.steps]
    assert all(a != b for a, b in pairwise(boards))


def test_tick_and_recorder_are_measured() -> None:
    (figure,) = bench_core.tick_and_gate(((2, 0.5),), repeat=1)
    assert figure.value > 0 and figure.budget == 0.5
    assert {f.unit for f in bench_core.recorder(1)} == {"µs", "MB"}


def test_reactions_are_counted_in_the_laboratory() -> None:
    limit, wire, stop = bench_core.reactions()
    assert (limit.met, wire.met, stop.met) == (True, True, True)
    assert 1 <= limit.value <= 2 and wire.value > 0 and stop.value == 0


def test_the_codecs_run() -> None:
    figures = [*bench_wire.can(), *bench_wire.hub()]
    assert all(f.value > 0 for f in figures)


def test_a_card_in_a_long_list_costs_what_it_costs_in_a_short_one() -> None:
    lookup, ratio, search = bench_access.run(rounds=2)
    assert lookup.met and search.value > 0
    assert 0 < ratio.value < 20, "also on a busy machine; a search through the list is 5000 times as long"


def test_the_planner_and_rounds_of_linear_programs_agree_on_the_car_parks_on_which_they_are_measured() -> None:
    ms = bench_solvers.compare(40, seeds=2, with_mpc=False)  # raises when they differ
    assert ms["LP max-min"] > ms["planner"] > 0


def test_every_planner_case_of_the_table_exists() -> None:
    assert set(bench_planner_budget.BUDGETS) <= set(bench_planner_budget.cases())


@pytest.mark.parametrize("connectors", [1, 2, 4])
def test_stations_of_other_sizes_are_valid(connectors: int, tmp_path: Path) -> None:
    text = config_text(connectors).format(folder=tmp_path, channel="239.192.1.1", port=9000)
    config = parse_config(text, "station.toml")
    assert [evse.id for evse in config.evse] == list(range(1, connectors + 1))
    assert config.modules is not None and len(config.modules.groups) == connectors
    assert len(config.reader) == connectors and config.ocpp.enabled


def test_the_daemons_last_words_are_understood() -> None:
    line = "INFO main: control loop: 300 ticks, 1 late, lateness p99 2.4 ms, worst 51.0 ms, mean duration 812 us"
    assert bench_process.SUMMARY.findall(line) == [("300", "1", "2.4", "51.0", "812")]


def test_median_is_of_means_and_counts_every_round() -> None:
    calls = []
    assert median_us(lambda: calls.append(1), 10, repeat=3) > 0
    assert len(calls) == 30


def test_a_missed_budget_is_named_and_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    good = Figure(name="fast thing", value=1.0, unit="ms", budget=2.0)
    bad = Figure(name="slow thing", value=3.0, unit="ms", budget=2.0, note="why")
    free = Figure(name="free thing", value=9.0, unit="ms", budget=None)
    for module in table.MODULES:
        monkeypatch.setattr(module, "run", list)
    monkeypatch.setattr(bench_core, "run", lambda: [good, free])
    monkeypatch.setattr(table, "OUT", tmp_path / "performance.md")
    assert table.main() == 0
    monkeypatch.setattr(bench_screens, "run", lambda: [bad])
    assert table.main() == 1
    text = (tmp_path / "performance.md").read_text(encoding="utf-8")
    assert "| slow thing | 3.00 ms | 2 ms | **missed** why |" in text
    assert "| free thing | 9.00 ms |  |  |" in text
