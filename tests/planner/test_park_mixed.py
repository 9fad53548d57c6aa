"""`plan site` with AC points and DC connectors behind the same limits."""

from __future__ import annotations

import argparse
from pathlib import Path
from random import Random

import msgspec
import pytest

from evse.domain.station import Topology
from evse.lab.park import ac, dc
from evse.lab.park.__main__ import EXIT_INVALID, load_site, main, simulate
from evse.lab.park.beside import Beside, DcPoint
from evse.lab.park.policies import PLANNER
from evse.lab.park.sites import MixedSite
from evse.lab.park.visits import made_up_dc
from evse.planner.ac_problem import AcConnector, AcNode, AcProblem
from evse.planner.problem import DcCabinet, DcConnector, DcGroup, DcProblem
from tests._support.examples import examples


def site(amps: int, *, points: int = 4, imbalance_ma: int | None = None, limit_w: int | None = None, dwell_s: int = 300) -> MixedSite:
    """Points and two DC connectors on three groups of 40 kW behind one fuse."""
    root = AcNode(id="grid", parent=None, limit_ma=(amps * 1000,) * 3, imbalance_ma=imbalance_ma, limit_w=limit_w)
    rows = tuple(
        AcConnector(id=str(i + 1), node="grid", lines=3, min_ma=6_000, max_ma=32_000, demand_ma=0, rotation=("RST", "STR", "TRS")[i % 3])
        for i in range(points)
    )
    names = ("11", "12")
    groups = tuple(
        DcGroup(id=f"g{i}", home=names[i] if i < 2 else None, modules=2, module_w=20_000, module_ma=100_000) for i in range(3)
    )
    cars = tuple(DcConnector(id=name, cabinet="k", request_w=0, voltage_mv=400_000, current_ma=400_000) for name in names)
    dc = DcProblem(
        cabinets=(DcCabinet(id="k", topology=Topology.CHAIN, groups=groups),), connectors=cars, efficiency_ppm=950_000, min_w=5_000,
        site_limit_w=min(amps * 690, limit_w or amps * 690), dwell_s=dwell_s,
    )  # fmt: skip
    return MixedSite(ac=AcProblem(nodes=(root,), connectors=rows, dwell_s=dwell_s), dc=dc, nodes=dict.fromkeys(names, "grid"))


def options(**fields: object) -> argparse.Namespace:
    return argparse.Namespace(**{"day": "city", "cars": 0, "seed": 1, "sessions": None, "date": "", "file": Path("site"), **fields})


@pytest.mark.parametrize("seed", range(examples(3, 1)))
def test_both_parts_stay_within_the_limits_they_share(seed: int) -> None:
    rng = Random(seed)
    place = site(
        rng.choice([16, 40, 100]), imbalance_ma=rng.choice([None, 10_000, 20_000]), limit_w=rng.choice([None, 30_000]),
        dwell_s=rng.choice([60, 300]),
    )
    report = simulate(place, options(seed=seed, cars=10, day=rng.choice(["work", "home", "city", "motorway"])))
    assert [r.policy for r in report.results] == [
        "planner AC", "planner DC", "first-come AC", "first-come DC", "phase-blind AC", "own-groups DC",
    ]  # fmt: skip
    for r in report.results:
        assert not r.broken and r.energy_wh <= r.asked_wh + 1, r.policy
    slow, fast = report.results[:2]
    assert slow.unbalanced_s == slow.by_itself_s
    assert slow.visits + slow.turned_away + fast.visits + fast.turned_away == 10


def test_fast_and_slow_vehicles_take_turns_where_not_all_minimums_fit() -> None:
    """Two minimums of 5 kW and four of 6 A three-phase, 16 A: nobody gets nothing all day, as with first come."""
    report = simulate(site(16), options(day="city", cars=14))
    slow, fast, first_slow, first_fast = report.results[:4]
    assert min(slow.worst, fast.worst) > 0.02 and not slow.broken and not fast.broken
    assert min(first_slow.worst, first_fast.worst) < min(slow.worst, fast.worst)


def test_a_hub_beside_empty_points_has_its_usual_day() -> None:
    place, cars = site(100), made_up_dc("motorway", 10, 3)
    beside = Beside(place.dc, cars, PLANNER, place.nodes, place.ac.voltage_mv)
    rows = (DcPoint(name, node).row(0) for name, node in place.nodes.items())
    joined = msgspec.structs.replace(place.ac, connectors=(*place.ac.connectors, *rows))
    both = ac.run_beside(joined, [], PLANNER, beside, alone=[])
    alone = dc.run_day(place.dc, cars, PLANNER, alone=[1.0] * len(cars))
    mixed = dc.summed(beside.hub, PLANNER, [1.0] * len(cars))
    assert mixed.energy_wh == pytest.approx(alone.energy_wh, rel=0.01) and mixed.turned_away == alone.turned_away
    assert both.peak_w == pytest.approx(alone.peak_w, rel=0.05) and not both.broken


def test_a_mixed_profile_is_a_site(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert isinstance(load_site(Path("generic/mixed-2dc-2ac")), MixedSite)
    assert main(["generic/mixed-2dc-2ac", "--cars", "6"]) == 0
    text = capsys.readouterr().out
    assert "4 connectors, work, 2 vehicles made up at AC points; city, 4 at DC connectors, seed 1" in text
    assert "planner AC" in text and "own-groups DC" in text
    assert main(["generic/mixed-2dc-2ac", "--sessions", str(tmp_path / "s.csv")]) == EXIT_INVALID
    assert "takes made-up vehicles only" in capsys.readouterr().err
