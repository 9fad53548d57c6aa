"""Problem documents: the worked example, round trips, and errors that name key and value."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evse.domain.base import ConfigError
from evse.planner.dc import solve
from evse.planner.document import allocation_document, parse_problem, problem_document
from evse.planner.problem import DcProblem
from evse.planner.verify import check
from tests._support.examples import examples
from tests.planner.strategies import problems

GROUP = {"id": "g", "home": "c", "modules": 3, "module_kw": 20.0, "module_a": 50.0, "derate": 1.0}
CAR = {
    "id": "c",
    "cabinet": "k",
    "request_kw": 29.3,
    "voltage": 682.0,
    "current_a": 147.0,
    "limit_kw": 60.0,
    "charging_s": 3762,
}
SITE = {
    "kind": "dc",
    "name": "t",
    "site_limit_kw": 119.5,
    "csms_limit_kw": None,
    "efficiency": 0.95,
    "min_kw": 5.0,
    "group_power_kw": 0,
    "max_groups": 0,
    "allow_cross": True,
    "cabinets": [{"id": "k", "topology": "chain", "groups": [GROUP], "limit_kw": None, "prior": {"g": "c"}}],
    "connectors": [CAR],
}


def test_a_document_becomes_an_allocation() -> None:
    document = allocation_document(solve(parse_problem(json.dumps(SITE))))
    assert document == {"power_kw": {"c": 29.3}, "owner": {"g": "c"}}


@settings(max_examples=examples(50), deadline=None)
@given(problems(max_groups=8, max_connectors=4, max_cabinets=2))
def test_documents_round_trip(problem: DcProblem) -> None:
    assert parse_problem(json.dumps(problem_document(problem))) == problem


def test_every_mistake_is_named_at_once() -> None:
    wrong = json.loads(json.dumps(SITE))
    wrong["min_kw"] = "5 kW"
    wrong["efficiency"] = 1.2
    wrong["sitelimit"] = 3
    wrong["cabinets"][0]["topology"] = "star"
    wrong["cabinets"][0]["groups"][0]["home"] = "nobody"
    wrong["connectors"][0]["voltage"] = -1
    del wrong["connectors"][0]["current_a"]
    with pytest.raises(ConfigError) as caught:
        parse_problem(json.dumps(wrong))
    text = str(caught.value)
    for part in (
        "min_kw = '5 kW': must be a number",
        "efficiency = 1.2",
        "sitelimit = 3: unknown key",
        "cabinets[0].topology = 'star'",
        "cabinets[0].groups[0].home = 'nobody'",
        "connectors[0].voltage = -1",
        "connectors[0].current_a is missing",
    ):
        assert part in text


@settings(max_examples=examples(200), deadline=None)
@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(max_size=5),
        lambda x: st.lists(x, max_size=3) | st.dictionaries(st.sampled_from(list(SITE)), x, max_size=5),
        max_leaves=10,
    )
)
def test_garbage_is_refused_and_never_crashes(raw: object) -> None:
    try:
        problem = parse_problem(json.dumps(raw))
    except ConfigError as error:
        assert error.problems
    else:
        assert check(problem, solve(problem)) == []


def test_command_reads_stdin_and_prints_the_allocation() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "evse.planner"],
        input=json.dumps(SITE),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, json.loads(done.stdout)["power_kw"]) == (0, {"c": 29.3})
    failed = subprocess.run(
        [sys.executable, "-m", "evse.planner"], input="[]", capture_output=True, text=True, timeout=60, check=False
    )
    assert failed.returncode == 9
    assert "is not an object" in failed.stderr


def test_ten_thousand_connectors_are_planned_and_judged() -> None:
    site = json.loads(json.dumps(SITE))
    site["site_limit_kw"] = 119_500.0
    site["cabinets"] = [
        {**site["cabinets"][0], "id": f"k{i}", "groups": [{**GROUP, "id": f"g{i}", "home": f"c{i}"}], "prior": {}} for i in range(10_000)
    ]
    site["connectors"] = [{**CAR, "id": f"c{i}", "cabinet": f"k{i}"} for i in range(10_000)]
    problem = parse_problem(json.dumps(site))
    solution = solve(problem)
    assert check(problem, solution) == []
    assert set(solution.power_w.values()) == {119_500_000 * 95 // 100 // 10_000}


def test_rounding_never_lifts_a_limit() -> None:
    site = json.loads(json.dumps(SITE))
    site["connectors"][0] |= {"request_kw": 12.3456789, "limit_kw": None}
    for limit, w in ((None, 12_345), (10.000_9, 9_500)):
        site["cabinets"][0]["limit_kw"] = limit
        assert solve(parse_problem(json.dumps(site))).power_w == {"c": w}
    site["group_power_kw"] = 0.0004  # less than a watt is not "none"
    assert solve(parse_problem(json.dumps(site))).power_w == {"c": 0}
    site["connectors"][0]["request_kw"] = 10**400
    with pytest.raises(ConfigError) as error:
        parse_problem(json.dumps(site))
    assert "connectors[0].request_kw" in error.value.problems[0] and "between 0 and" in error.value.problems[0]
    with pytest.raises(ConfigError) as error:
        parse_problem(json.dumps({**SITE, "efficiency": 1e-9}))
    assert error.value.problems == ["efficiency = 1e-09: must be between 0.01 and 1"]
