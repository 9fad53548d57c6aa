"""What `plan solve --explain` says is true: every way to more is tried, and names what binds."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evse.domain.station import Topology
from evse.planner.__main__ import main
from evse.planner.ac import solve as solve_ac
from evse.planner.ac_problem import AcConnector, AcNode, AcProblem
from evse.planner.dc import solve as solve_dc
from evse.planner.document import problem_document
from evse.planner.problem import DcCabinet, DcConnector, DcGroup, DcProblem
from evse.planner.why import Change, Why, least
from evse.planner.why_ac import explain as explain_ac
from evse.planner.why_dc import explain as explain_dc
from evse.planner.why_live import named
from tests._support.examples import examples
from tests.planner import ac_strategies
from tests.planner.ac_documents import ac_problem_document


def car(name: str, node: str = "root", lines: int = 3, **other: int | str) -> AcConnector:
    fields: dict[str, int | str] = {"min_ma": 6_000, "max_ma": 32_000, "demand_ma": 32_000}
    return msgspec.convert({"id": name, "node": node, "lines": lines, **fields, **other}, AcConnector)


def node(name: str, parent: str | None, amps: int, **other: object) -> AcNode:
    return msgspec.convert({"id": name, "parent": parent, "limit_ma": [amps * 1000] * 3, **other}, AcNode)


def ac_rows(problem: AcProblem) -> dict[str, Why]:
    return {row.id: row for row in explain_ac(problem, solve_ac(problem), [c.id for c in problem.connectors])}


def binds(row: Why) -> list[str]:
    return [cap.name for cap in row.caps if cap.binds]


def test_one_fuse_that_two_share() -> None:
    row = ac_rows(AcProblem(nodes=(node("root", None, 40),), connectors=(car("a"), car("b"))))["a"]
    assert row.text == "a gets 20.0 A: fuse root binds"
    assert row.more == ("fuse root +2.0 A on L1, L2 and L3 (to 42.0 A)",)  # both rise, so two amperes for one


def test_only_the_phase_that_is_full() -> None:
    problem = AcProblem(nodes=(node("root", None, 20),), connectors=(car("a", lines=1), car("b", lines=1, rotation="STR")))
    problem = msgspec.structs.replace(problem, connectors=(*problem.connectors, car("c", lines=1)))
    rows = ac_rows(problem)
    assert rows["b"].text == "b gets 20.0 A: fuse root binds"
    assert rows["b"].more == ("fuse root +1.0 A on L2 (to 21.0 A)",)
    assert rows["a"].more == ("fuse root +2.0 A on L1 (to 22.0 A)",)


def test_two_fuses_bind_together() -> None:
    nodes = (node("root", None, 16), node("board", "root", 16))
    row = ac_rows(AcProblem(nodes=nodes, connectors=(car("a", "board"),)))["a"]
    assert binds(row) == ["fuse board", "fuse root"]
    assert row.more == (
        "fuse board +1.0 A on L1, L2 and L3 (to 17.0 A) together with fuse root +1.0 A on L1, L2 and L3 (to 17.0 A)",
    )


def test_a_power_limit_and_an_imbalance_limit() -> None:
    power = ac_rows(AcProblem(nodes=(node("root", None, 32, limit_w=6_900),), connectors=(car("a"),)))["a"]
    assert power.text == "a gets 10.0 A: power limit root binds"
    assert power.more == ("power limit root +0.7 kW (to 7.6 kW)",)
    one = ac_rows(AcProblem(nodes=(node("root", None, 32, imbalance_ma=20_000),), connectors=(car("a", lines=1),)))["a"]
    assert one.text == "a gets 20.0 A: imbalance limit root binds"
    assert one.more == ("imbalance limit root +1.0 A (to 21.0 A)",)


def test_the_vehicle_and_the_connector_themselves() -> None:
    rows = ac_rows(AcProblem(nodes=(node("root", None, 63),), connectors=(car("a", demand_ma=16_000), car("b", max_ma=16_000))))
    assert binds(rows["a"]) == ["demand of the vehicle"]
    assert rows["a"].more == ("demand of the vehicle +1.0 A (to 17.0 A), before any limit of the site",)
    assert binds(rows["b"]) == ["maximum of the connector"]
    assert rows["b"].more == ("maximum of the connector +1.0 A (to 17.0 A), before any limit of the site",)


def test_one_that_waits_needs_its_minimum() -> None:
    problem = AcProblem(nodes=(node("root", None, 10),), connectors=(car("a"), car("b", charging_s=60)))
    row = ac_rows(problem)["b"]
    assert row.text == "b waits: its minimum of 6.0 A does not fit, fuse root binds"
    assert row.more == ("fuse root +2.0 A on L1, L2 and L3 (to 12.0 A)",)


@settings(max_examples=examples(60), deadline=None)
@given(problem=ac_strategies.ac_problems(max_connectors=5))
def test_somebody_below_the_own_maximum_always_learns_what_would_help(problem: AcProblem) -> None:
    solution = solve_ac(problem)
    for row in explain_ac(problem, solution, [c.id for c in problem.connectors]):
        connector = next(c for c in problem.connectors if c.id == row.id)
        if connector.demand_ma:
            assert row.more, row
        if solution.current_ma[row.id]:
            assert binds(row), row


def hub(**other: object) -> DcProblem:
    """Two connectors on a chain of three groups of 60 kW: c1 asks for more than its own."""
    groups = tuple(DcGroup(id=f"g{i}", home=h, modules=2, module_w=30_000, module_ma=100_000) for i, h in enumerate(("a", None, "b")))
    cars = tuple(
        DcConnector(id=name, cabinet="k", request_w=w, voltage_mv=500_000, current_ma=400_000)
        for name, w in (("a", 150_000), ("b", 50_000))
    )
    fields: dict[str, object] = {
        "cabinets": (DcCabinet(id="k", topology=Topology.CHAIN, groups=groups),), "connectors": cars, "min_w": 5_000, **other,
    }
    return DcProblem(**fields)  # type: ignore[arg-type]


def dc_rows(problem: DcProblem) -> dict[str, Why]:
    return {row.id: row for row in explain_dc(problem, solve_dc(problem), [c.id for c in problem.connectors])}


def test_module_groups_bind() -> None:
    rows = dc_rows(hub())
    assert rows["a"].text == "a gets 120.0 kW: module groups bind"
    assert rows["a"].more == ("1 module more in group g0 (to 3)",)
    assert rows["b"].more == ("request of the vehicle +1.0 kW (to 51.0 kW), before any limit of the site",)


def test_borrowing_and_groups_per_owner() -> None:
    assert "borrowing allowed (allow_cross)" in dc_rows(hub(allow_cross=False))["a"].more
    assert "max_groups 2" in dc_rows(hub(max_groups=1))["a"].more


def test_a_site_limit_at_the_ac_side() -> None:
    row = dc_rows(hub(site_limit_w=100_000, efficiency_ppm=950_000))["a"]
    assert row.text == "a gets 47.5 kW: site limit binds"
    assert next(cap.text for cap in row.caps if cap.binds) == "100.0 kW of 100.0 kW at the AC side"
    assert row.more == ("site limit +2.2 kW (to 102.2 kW)",)  # both rise by 1 kW behind rectifiers of 95 %


def test_two_limits_of_the_site_at_once() -> None:
    row = dc_rows(hub(site_limit_w=80_000, csms_limit_w=80_000))["a"]
    assert binds(row) == ["site limit", "CSMS limit"]
    assert len(row.more) == 1 and "together with" in row.more[0]


@pytest.mark.parametrize(
    ("way", "words"),
    [
        ("fuse grid +2.0 A on L1 (to 42.0 A)", "fuse of the grid connection +2.0 A on L1 (to 42.0 A)"),
        ("fuse own +2.0 A on L1 (to 18.0 A)", "limit of all connectors together +2.0 A on L1 (to 18.0 A)"),
        ("fuse fuse row A +1.0 A on L2 (to 17.0 A)", "fuse row A +1.0 A on L2 (to 17.0 A)"),
        ("power limit own +0.7 kW (to 7.6 kW)", "site limit +0.7 kW (to 7.6 kW)"),
        ("imbalance limit grid balance +1.0 A (to 21.0 A)", "imbalance limit of the grid connection +1.0 A (to 21.0 A)"),
    ],
)
def test_limits_of_the_running_station_have_the_names_that_people_use(way: str, words: str) -> None:
    assert named(way) == words


@given(enough=st.integers(1, 30_000), first=st.sampled_from([1, 1000]), fine=st.sampled_from([1, 100]))
def test_the_least_amount_within_one_step(enough: int, first: int, fine: int) -> None:
    found = least(Change(gains=lambda n: n >= enough, words=str, first=first, fine=fine))
    assert found is not None
    assert enough <= found <= max(enough + fine, fine)


def test_what_nothing_helps_ends() -> None:
    assert least(Change(gains=lambda _: False, words=str, first=1, fine=1)) is None


def test_the_program_prints_sentences_or_json(tmp_path: Path, capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    path = tmp_path / "p.json"
    path.write_text(json.dumps(ac_problem_document(AcProblem(nodes=(node("root", None, 40),), connectors=(car("a"), car("b"))))))
    assert main(["solve", str(path), "--explain", "--connector", "b"]) == 0
    text = capsysbinary.readouterr().out.decode()
    assert text.startswith("b gets 20.0 A: fuse root binds\n") and "\na gets" not in text
    assert "    more: fuse root +2.0 A on L1, L2 and L3 (to 42.0 A)\n" in text
    assert main(["solve", str(path), "--explain", "-o", "json"]) == 0
    document = json.loads(capsysbinary.readouterr().out)
    assert document["current_a"] == {"a": 20.0, "b": 20.0}
    assert [row["id"] for row in document["explain"]] == ["a", "b"]
    assert main(["solve", str(path), "--explain", "--connector", "z"]) == 9
    assert b"there is no connector 'z'" in capsysbinary.readouterr().err


def test_a_judgement_of_an_allocation(tmp_path: Path, capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    problem, answer = tmp_path / "p.json", tmp_path / "a.json"
    problem.write_text(json.dumps(ac_problem_document(AcProblem(nodes=(node("root", None, 40),), connectors=(car("a"), car("b")), step_ma=1000))))

    def judge(currents: object) -> tuple[int, str]:
        answer.write_text(json.dumps(currents))
        code = main(["check", str(problem), str(answer)])
        printed = capsysbinary.readouterr()
        return code, (printed.out + printed.err).decode()

    assert judge({"current_a": {"a": 20, "b": 20}}) == (0, "Every limit is kept, and no fairer allocation is known.\n")
    code, text = judge({"current_a": {"a": 25, "b": 20}})
    assert code == 1 and "broken: root L1: 45000 mA used, 40000.000 mA allowed" in text
    code, text = judge({"current_a": {"a": 15, "b": 20}})
    assert code == 8 and "could have more: a" in text
    code, text = judge({"current_a": {"a": 30, "b": 10}})
    assert code == 8 and "a fairer plan gives b 20.0 A instead of 10.0" in text
    code, text = judge({"current_a": {"a": 30}})
    assert code == 8 and "a fairer plan gives b 20.0 A instead of 0.0" in text
    mates = (car("a", charging_s=900), car("b", charging_s=5), car("c", demand_ma=0))
    problem.write_text(json.dumps(ac_problem_document(AcProblem(nodes=(node("root", None, 10),), connectors=mates, step_ma=1000))))
    assert judge({"current_a": {"b": 10}}) == (0, "Every limit is kept, and no fairer allocation is known.\n")
    assert judge({"current_a": {"a": 10}}) == (
        8, "paused, but comes before others by the pause policy: b\nEvery limit is kept.\n"
    )
    code, text = judge({"current_a": {"z": 1, "a": -3}})
    assert code == 9 and "current_a.z: no such connector" in text and "current_a.a = -3" in text
    code, text = judge([])
    assert code == 9 and "current_a" in text


def test_a_judgement_of_a_dc_allocation(tmp_path: Path, capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    problem, answer = tmp_path / "p.json", tmp_path / "a.json"
    problem.write_text(json.dumps(problem_document(hub(site_limit_w=90_000))))

    def judge(power: dict[str, float], owner: dict[str, str | None]) -> tuple[int, dict[str, object]]:
        answer.write_text(json.dumps({"power_kw": power, "owner": owner}))
        code = main(["check", str(problem), str(answer), "-o", "json"])
        found: dict[str, object] = json.loads(capsysbinary.readouterr().out)
        return code, found

    own: dict[str, str | None] = {"g0": "a", "g2": "b"}
    code, found = judge({"a": 45, "b": 45}, own)
    assert (code, found["limits_held"], found["best_known"]) == (0, True, True)
    code, found = judge({"a": 55, "b": 35}, own)
    assert code == 8 and found["fairer"] == [["a", 55.0, 45.0], ["b", 35.0, 45.0]]
    code, found = judge({"a": 65, "b": 25}, own)
    assert code == 1 and found["limits_held"] is False
    code, found = judge({"a": 45, "b": 45}, {"g0": "a", "g1": "b"})
    assert code == 1 and any("home" in str(line) for line in found["broken"])  # type: ignore[attr-defined]
