"""`plan site`: days of cars on a fuse tree or a hub of modules, from event to event."""

from __future__ import annotations

import json
from pathlib import Path
from random import Random

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evse.config.paths import profiles_dir
from evse.domain.base import ConfigError
from evse.domain.station import Topology
from evse.lab.park import ac, dc
from evse.lab.park.__main__ import load_site, main
from evse.lab.park.policies import AC_POLICIES, FIRST_COME, OWN_GROUPS, PHASE_BLIND, PLANNER
from evse.lab.park.visits import AC_DAYS, DC_DAYS, AcVisit, DcVisit, made_up_ac, made_up_dc, measured_ac, measured_dc
from evse.planner.ac_problem import AcConnector, AcNode, AcProblem
from evse.planner.problem import DcCabinet, DcConnector, DcGroup, DcProblem
from evse.planner.turns import DWELL_S
from tests._support.examples import examples
from tests.planner.ac_documents import ac_problem_document

HOUR = 3600


def park(points: int, amps: int, *, lines: int = 3, turning: bool = True, **node: object) -> AcProblem:
    fields: dict[str, object] = {"id": "root", "parent": None, "limit_ma": [amps * 1000] * 3, **node}
    rotations = ("RST", "STR", "TRS")
    points_ = tuple(
        AcConnector(
            id=str(i + 1), node="root", lines=lines, min_ma=6_000, max_ma=32_000, demand_ma=0,
            rotation=rotations[i % 3 if turning else 0],
        )
        for i in range(points)
    )
    return AcProblem(nodes=(msgspec.convert(fields, AcNode),), connectors=points_)


def visit(arrive_h: float, stay_h: float, wh: int, *, lines: int = 3, amps: int = 16) -> AcVisit:
    return AcVisit(
        arrive_s=round(arrive_h * HOUR), depart_s=round((arrive_h + stay_h) * HOUR), energy_wh=wh, lines=lines,
        max_ma=amps * 1000,
    )


def test_one_car_gets_what_its_charger_and_the_time_allow() -> None:
    site = park(1, 63)
    full = ac.run_day(site, [visit(8, 8, 20_000)], PLANNER)
    assert full.energy_wh == full.asked_wh == 20_000
    short = ac.run_day(site, [visit(8, 1, 20_000)], PLANNER)
    assert short.energy_wh == pytest.approx(3 * 16 * 230, rel=1e-3)  # an hour of 11 kW
    assert short.peak_w == pytest.approx(11_040)
    assert full.fairness == short.fairness == 1.0


def test_two_cars_share_a_fuse_fairly_and_the_third_is_not_sent_away() -> None:
    cars = [visit(8, 2, 60_000) for _ in range(3)]
    result = ac.run_day(park(3, 33), cars, PLANNER)
    assert result.fairness > 0.999 and result.waited_h == 0
    assert result.peak == pytest.approx(1.0, abs=0.01) and not result.broken
    first = ac.run_day(park(3, 33), cars, FIRST_COME)
    assert first.worst < 0.05 and first.waited_h > 1.5


def test_a_phase_blind_fuse_gives_away_two_thirds() -> None:
    cars = [visit(8, 2, 30_000, lines=1, amps=32) for _ in range(3)]  # one on each phase
    seeing = ac.run_day(park(3, 32), cars, PLANNER)
    blind = ac.run_day(park(3, 32), cars, PHASE_BLIND)
    assert seeing.energy_wh > 2.8 * blind.energy_wh
    assert seeing.worst > 0.99  # until it is known that they use one line, they share


def test_who_waits_takes_turns() -> None:
    cars = [visit(8, 6, 60_000, lines=1, amps=16) for _ in range(3)]  # three on one phase of 12 A: two at a time
    result = ac.run_day(park(3, 12, lines=1, turning=False), cars, PLANNER)
    assert result.waited_h == pytest.approx(6, rel=0.1)  # a third of three times six hours
    assert result.worst > 0.3 and not result.broken


@pytest.mark.parametrize("dwell_s", [0, 300, 3600])
def test_turns_last_as_long_as_the_site_says(dwell_s: int) -> None:
    site = msgspec.structs.replace(park(3, 12, lines=1, turning=False), dwell_s=dwell_s)
    result = ac.run_day(site, [visit(8, 0.9, 60_000, lines=1, amps=16) for _ in range(3)], PLANNER)
    assert (result.worst < 0.05) is (dwell_s == 3600) and not result.broken  # an hour is longer than anybody stays
    fast_cars = [fast(8, 0.9, 60) for _ in range(3)]
    waits = dc.run_day(hub(3, site_limit_w=7_000, dwell_s=dwell_s), fast_cars, PLANNER).longest_wait_s
    assert waits is not None and min(dwell_s, 0.9 * HOUR) - 60 <= waits <= dwell_s + 4 * dc.LOOK_S


def test_a_station_file_names_its_dwell(tmp_path: Path) -> None:
    for profile, key in (("generic/ac-12x11", "site.grid"), ("generic/dc-2x180", "site")):
        path = tmp_path / "station.toml"
        path.write_text(f'profile = "{profile}"\n[station]\nid = "S"\n[{key}]\ndwell_s = 90\n')
        assert load_site(path).dwell_s == 90


def test_what_a_car_does_not_draw_goes_to_the_others() -> None:
    cars = [visit(8, 4, 80_000, amps=8), visit(8, 4, 80_000, amps=32)]
    result = ac.run_day(park(2, 32), cars, PLANNER)
    small, large = 4 * 3 * 8 * 230, 4 * 3 * 22.5 * 230  # 8 A, the rest but one ampere of margin
    assert result.energy_wh == pytest.approx(small + large, rel=0.02)


def test_who_finds_no_free_point_is_counted() -> None:
    result = ac.run_day(park(1, 32), [visit(8, 2, 5_000), visit(9, 2, 5_000), visit(10.5, 1, 5_000)], PLANNER)
    assert (result.visits, result.turned_away) == (2, 1)


@settings(max_examples=examples(12), deadline=None)
@given(
    seed=st.integers(0, 10_000), points=st.integers(1, 8), amps=st.integers(6, 80), day=st.sampled_from(AC_DAYS),
    policy=st.sampled_from(sorted(AC_POLICIES)), imbalance=st.sampled_from([None, 20_000]),
)  # fmt: skip
def test_laws_of_a_day(seed: int, points: int, amps: int, day: str, policy: str, imbalance: int | None) -> None:
    site = park(points, amps, imbalance_ma=imbalance, limit_w=amps * 600)
    cars = made_up_ac(day, points * 2, seed)
    result = ac.run_day(site, cars, policy, seed=seed)
    assert not result.broken
    assert result.energy_wh <= result.asked_wh + 1
    assert result.energy_wh == pytest.approx(sum(result.profile_w) / 4, abs=len(result.profile_w) + 2)
    assert result.visits + result.turned_away == len(cars)
    if imbalance is None:
        assert result.energy_wh <= result.alone_wh * 1.001 + 5
    assert result == ac.run_day(site, cars, policy, seed=seed)


# -- direct current ---------------------------------------------------------------------------------------------------


def hub(connectors: int, *, topology: Topology = Topology.CHAIN, **other: object) -> DcProblem:
    groups = tuple(
        DcGroup(id=f"g{i}", home=f"c{i}" if i < connectors else None, modules=2, module_w=30_000, module_ma=100_000)
        for i in range(connectors + 1)
    )
    rows = tuple(
        DcConnector(id=f"c{i}", cabinet="k", request_w=0, voltage_mv=400_000, current_ma=500_000) for i in range(connectors)
    )
    fields: dict[str, object] = {
        "cabinets": (DcCabinet(id="k", topology=topology, groups=groups),), "connectors": rows, "min_w": 3_000,
        "efficiency_ppm": 950_000, **other,
    }  # fmt: skip
    return DcProblem(**fields)  # type: ignore[arg-type]


def fast(arrive_h: float, stay_h: float, kw: int) -> DcVisit:
    return DcVisit(
        arrive_s=round(arrive_h * HOUR), depart_s=round((arrive_h + stay_h) * HOUR), battery_wh=100_000,
        curve=((0, kw * 1000), (1_000_000, kw * 1000)), voltage_class=400, start_ppm=100_000, target_ppm=900_000,
    )


def test_a_fast_car_alone_borrows_its_neighbour_and_leaves_when_it_is_done() -> None:
    result = dc.run_day(hub(2), [fast(8, 5, 60)], PLANNER)
    assert result.energy_wh == result.asked_wh == 80_000
    assert sum(w > 0 for w in result.profile_w) == 6  # 80 minutes
    quick = dc.run_day(hub(2), [fast(8, 5, 130)], PLANNER)
    own = dc.run_day(hub(2), [fast(8, 5, 130)], OWN_GROUPS)
    assert quick.peak_w > 1.9 * own.peak_w


def test_a_home_group_comes_back_when_its_connector_needs_it() -> None:
    result = dc.run_day(hub(2), [fast(8, 0.5, 150), fast(8.2, 0.5, 150)], PLANNER)
    assert result.relay_operations >= 2 and result.waited_h == 0 and result.worst > 0.6


@pytest.mark.parametrize("seed", range(examples(4, 1)))
def test_who_waits_for_power_takes_turns(seed: int) -> None:
    """A hub with power for k minimums, n vehicles at a time: nobody waits for more than ceil(n / k) dwells in one go."""
    rng = Random(seed)
    n = rng.randint(2, 6)
    k = rng.randint(1, n)
    topology = rng.choice([Topology.CHAIN, Topology.RING, Topology.MATRIX])
    site = hub(n, topology=topology, site_limit_w=(k * 3_000 + 1_000) * 1_000 // 950)
    cars = [fast(8 + rng.random(), 0.7 + rng.random(), rng.choice((60, 120))) for _ in range(2 * n)]
    cars.sort(key=lambda car: car.arrive_s)
    alone = [80_000.0] * len(cars)
    result = dc.run_day(site, cars, PLANNER, alone=alone)
    assert not result.broken and result.longest_wait_s is not None
    assert result.longest_wait_s <= -(-n // k) * (DWELL_S + 2 * dc.LOOK_S)
    first = dc.run_day(site, cars, FIRST_COME, alone=alone).longest_wait_s
    assert first is not None and (n == k or first > 1.5 * result.longest_wait_s)


def test_a_site_limit_is_shared_fairly() -> None:
    cars = [fast(8, 0.5, 60) for _ in range(3)]
    result = dc.run_day(hub(3, site_limit_w=100_000), cars, PLANNER)
    assert not result.broken and result.peak == pytest.approx(1.0, abs=1e-3) and result.fairness > 0.999
    first = dc.run_day(hub(3, site_limit_w=100_000), cars, FIRST_COME)
    assert not first.broken and first.fairness < result.fairness


@settings(max_examples=examples(8), deadline=None)
@given(
    seed=st.integers(0, 10_000), connectors=st.integers(1, 4), site_kw=st.integers(5, 200), day=st.sampled_from(DC_DAYS),
    policy=st.sampled_from(sorted(dc.DC_POLICIES)), topology=st.sampled_from(list(Topology)),
)  # fmt: skip
def test_laws_of_a_day_of_a_hub(
    seed: int, connectors: int, site_kw: int, day: str, policy: str, topology: Topology
) -> None:
    site = hub(connectors, topology=topology, site_limit_w=site_kw * 1000)
    cars = made_up_dc(day, connectors * 3, seed)
    result = dc.run_day(site, cars, policy)
    assert not result.broken
    assert result.energy_wh <= result.asked_wh + 1
    assert sum(result.profile_w) / 4 * 0.95 == pytest.approx(result.energy_wh, abs=len(result.profile_w) + 2)
    assert result.visits + result.turned_away == len(cars)


# -- measured sessions, files, the program ----------------------------------------------------------------------------

AC_CSV = """# comment
station,arrival,departure,charging_min,energy_wh
s1,2019-08-21 08:00:00,2019-08-21 17:00:00,120.0,14000
s2,2019-08-21 09:30:00,2019-08-21 10:30:00,60.0,22000
s1,2019-08-22 08:00:00,2019-08-22 09:00:00,30.0,3000
"""


def test_measured_ac_sessions(tmp_path: Path) -> None:
    path = tmp_path / "ac.csv"
    path.write_text(AC_CSV)
    date, cars = measured_ac(path, "")
    assert date == "2019-08-21" and [car.arrive_s for car in cars] == [8 * HOUR, 9.5 * HOUR]
    assert (cars[0].lines, cars[0].max_ma) == (1, 30_435)  # 7 kW
    assert (cars[1].lines, cars[1].max_ma) == (3, 31_884)  # 22 kW
    assert measured_ac(path, "2019-08-22")[1][0].energy_wh == 3000
    result = ac.run_day(park(2, 63), cars, PLANNER)
    assert result.energy_wh == pytest.approx(36_000, rel=0.05)  # the last tenth is slower than measured


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a,b\n1,2\n", ":1: the header must be station,arrival,departure,charging_min,energy_wh"),
        (AC_CSV.replace("14000", "much"), ":3: energy_wh = 'much': a number from 0 to 1000000 is expected"),
        (AC_CSV.replace("2019-08-21 17:00:00", "later"), ":3: departure = 'later': write YYYY-MM-DD hh:mm:ss"),
        (AC_CSV.replace("2019-08-21 17:00:00", "2019-08-21 07:00:00"), "is before arrival"),
        (AC_CSV.replace("s2,", "s2,x,"), ":4: 6 columns instead of 5"),
    ],
)
def test_bad_cells_are_named(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "ac.csv"
    path.write_text(text)
    with pytest.raises(ConfigError) as refused:
        measured_ac(path, "")
    assert says in "\n".join(refused.value.problems)


def test_measured_dc_sessions_of_the_profile() -> None:
    path = profiles_dir() / "sessions" / "dc-sessions.csv"
    date, cars = measured_dc(path, "", 0.95)
    assert len(date) == 10 and len(cars) > 3
    result = dc.run_day(hub(2, site_limit_w=172_500), cars, PLANNER)
    assert not result.broken and result.energy_wh > 0.9 * result.alone_wh


def test_the_program(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "site.json"
    path.write_text(json.dumps(ac_problem_document(park(4, 32))))
    assert main([str(path), "--day", "city", "--cars", "6", "--seed", "3", "-o", "json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert [r["policy"] for r in report["results"]] == [PLANNER, FIRST_COME, PHASE_BLIND]
    assert report["results"][0]["visits"] + report["results"][0]["turned_away"] == 6
    assert main([str(path), "--cars", "4"]) == 0
    assert "work, 4 vehicles made up, seed 1" in capsys.readouterr().out
    sessions = tmp_path / "ac.csv"
    sessions.write_text(AC_CSV)
    assert main([str(path), "--sessions", str(sessions)]) == 0
    assert "2019-08-21, 2 measured sessions" in capsys.readouterr().out
    for arguments, says in (
        ([str(path), "--day", "motorway"], "this site knows work, home, city"),
        ([str(path), "--sessions", str(sessions), "--date", "2001-01-01"], "no session arrives on 2001-01-01"),
        ([str(tmp_path / "none.json")], "give a problem document"),
        ([str(path), "--cars", "-1"], "--cars -1"),
    ):
        assert main(arguments) == 9
        assert says in capsys.readouterr().err


@pytest.mark.parametrize("name", ["generic/ac-12x11", "generic/dc-2x180"])
def test_a_station_profile_is_a_site(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([name, "--cars", "5"]) == 0
    text = capsys.readouterr().out
    assert text.startswith(f"{name}: ") and "5 vehicles made up" in text


def test_a_station_file_is_a_site(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(profiles_dir() / "stations" / "measured" / "desl-172k5.toml"), "--cars", "5"]) == 0
    assert "2 connectors" in capsys.readouterr().out


# -- imbalance and switching ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("day", "turning"), [("work", True), ("city", True), ("city", False)])
def test_an_imbalance_limit_is_exceeded_only_by_vehicles_that_stop_by_themselves(day: str, turning: bool) -> None:
    """Newcomers of unknown lines, all wired alike or not, and vehicles that follow 1 to 5 s late."""
    result = ac.run_day(park(12, 50, imbalance_ma=20_000, turning=turning), made_up_ac(day, 24, 3), PLANNER)
    assert result.unbalanced_s == result.by_itself_s <= 60
    assert result.energy_wh > 0.6 * result.alone_wh and not result.broken


class _Plain(ac._Day):
    """A day that remembers no answer, no row and no question from one look to the next, and always asks before it says no."""

    def _lacks(self, problem: AcProblem) -> bool:
        return False

    def _step(self) -> None:
        self.known.clear()
        self.limits = self.settled = None
        for car in self.cars.values():
            car.rows = [car.connector, car.connector]
        super()._step()


@pytest.mark.parametrize("seed", range(examples(3, 1)))
def test_what_a_day_remembers_changes_nothing(seed: int) -> None:
    rng = Random(seed)
    site = park(8, rng.choice([20, 32, 50]), imbalance_ma=rng.choice([None, 4_000, 20_000]), turning=rng.random() < 0.5)
    cars = made_up_ac(AC_DAYS[seed], 9, seed)
    for policy in AC_POLICIES:
        quick, plain = (kind(site, cars, policy, seed) for kind in (ac._Day, _Plain))
        quick.run()
        plain.run()
        assert (quick.done, quick.profile, quick.unbalanced_s) == (plain.done, plain.profile, plain.unbalanced_s)
        assert (quick.judge.peak, quick.judge.broken) == (plain.judge.peak, plain.judge.broken) and quick.plans < plain.plans


def switching(points: int, amps: int) -> AcProblem:
    site = park(points, amps, turning=False)
    return msgspec.structs.replace(site, connectors=tuple(msgspec.structs.replace(c, switch_s=60) for c in site.connectors))


def test_a_point_switches_to_one_phase_where_three_times_6_a_do_not_fit() -> None:
    """L2 and L3 are nearly full with the house: a three-phase car waits for ever, on L1 it gets 7.4 kW."""
    site = msgspec.structs.replace(
        switching(1, 40), nodes=(AcNode(id="root", parent=None, limit_ma=(40_000,) * 3, background_ma=(0, 36_000, 36_000)),)
    )
    cars = [visit(8, 4, 60_000, amps=32)]
    none, auto = ac.run_day(site, cars, PLANNER, switching=False), ac.run_day(site, cars, PLANNER)
    assert (none.energy_wh, none.switches) == (0, None)
    assert (auto.switches, auto.switches_most) == (1, 1) and not auto.broken
    assert auto.energy_wh == pytest.approx(32 * 230 * (4 - (30 + 60) / 3600), rel=0.01)  # half a minute of waiting, the pause


@pytest.mark.parametrize("seed", [1])
def test_switching_never_loops_and_keeps_every_limit(seed: int) -> None:
    cars = made_up_ac("work", 12, seed)
    result = ac.run_day(switching(10, 30), cars, PLANNER, seed=seed)
    assert not result.broken
    assert result.switches is not None and 0 < result.switches <= 6 * len(cars)


def test_the_report_says_what_switching_gains(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "site.json"
    file.write_text(json.dumps(ac_problem_document(switching(4, 20))))
    assert main([str(file), "--cars", "4"]) == 0
    text = capsys.readouterr().out
    assert "no-switching" in text and "switches between one and three phases" in text
    point = {"id": "1", "node": "root", "lines": 1, "max_a": 32, "demand_a": 0, "switch_s": 5}
    file.write_text(json.dumps({**ac_problem_document(switching(1, 20)), "connectors": [point]}))
    assert main([str(file)]) == 9
    assert "connectors[0].switch_s = 5: must be 0, or 10 to 300 whole seconds" in capsys.readouterr().err
