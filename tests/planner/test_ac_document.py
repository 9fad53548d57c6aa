"""AC documents: the worked example, round trips, and errors that name key and value."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evse.domain.base import ConfigError
from evse.planner.ac_document import ac_problem_from
from evse.planner.ac_problem import AcProblem, PausePolicy
from evse.planner.ac_verify import check
from evse.planner.document import solve_document
from tests._support.examples import examples
from tests.planner.ac_documents import ac_problem_document
from tests.planner.ac_strategies import ac_problems

CAR = {
    "id": "c",
    "node": "n",
    "lines": 3,
    "rotation": "RST",
    "min_a": 6.0,
    "max_a": 32.0,
    "demand_a": 32.0,
    "weight": 1.0,
    "priority": 0,
    "charging_s": 5,
}
NODE = {"id": "n", "parent": None, "limit_a": [20.0, 20.0, 20.0], "background_a": [1.25, 0.0, 0.0]}
SITE = {
    "kind": "ac",
    "name": "t",
    "voltage": 230,
    "pause_policy": "longest_first",
    "nodes": [NODE],
    "connectors": [CAR],
}


def test_a_document_becomes_an_allocation() -> None:
    assert solve_document(json.dumps(SITE)) == {"current_a": {"c": 18.75}}


def test_a_step_rounds_the_setpoint() -> None:
    assert solve_document(json.dumps(SITE | {"step_a": 1})) == {"current_a": {"c": 18.0}}
    assert solve_document(json.dumps(SITE | {"step_a": 0.1})) == {"current_a": {"c": 18.7}}


@settings(max_examples=examples(50), deadline=None)
@given(ac_problems(max_nodes=5, max_connectors=6, imbalance=True, policies=tuple(PausePolicy), steps=(1, 100, 1000)))
def test_documents_round_trip(problem: AcProblem) -> None:
    assert ac_problem_from(json.loads(json.dumps(ac_problem_document(problem)))) == problem


def test_every_mistake_is_named_at_once() -> None:
    wrong = json.loads(json.dumps(SITE))
    wrong["pause_policy"] = "random"
    wrong["step_a"] = 0.5
    wrong["volts"] = 230
    wrong["nodes"][0]["limit_a"] = [1, 2]
    wrong["nodes"].append({"id": "m", "parent": "roof", "limit_a": [1, 1, 1]})
    wrong["connectors"][0]["lines"] = 0
    wrong["connectors"][0]["rotation"] = "RSS"
    wrong["connectors"][0]["weight"] = 0
    wrong["connectors"][0]["node"] = "nowhere"
    del wrong["connectors"][0]["max_a"]
    with pytest.raises(ConfigError) as caught:
        solve_document(json.dumps(wrong))
    text = str(caught.value)
    for part in (
        "pause_policy = 'random': must be longest_first or max_served",
        "step_a = 0.5: must be 1, 0.1 or 0.001",
        "volts = 230: unknown key",
        "nodes[0].limit_a = [1, 2]: must be three numbers",
        "nodes[1].parent = 'roof': no such node",
        "connectors[0].lines = 0: must be 1, 2 or 3",
        "connectors[0].rotation = 'RSS': must be one of",
        "connectors[0].weight = 0.0: must be between",
        "connectors[0].node = 'nowhere': no such node",
        "connectors[0].max_a is missing",
    ):
        assert part in text


def test_a_loop_and_a_wrong_kind_are_named() -> None:
    loop = SITE | {"nodes": [NODE | {"parent": "m"}, {"id": "m", "parent": "n", "limit_a": [1, 1, 1]}]}
    with pytest.raises(ConfigError, match="the parents form a loop"):
        solve_document(json.dumps(loop))
    with pytest.raises(ConfigError, match='must be "ac" or "dc"'):
        solve_document('{"kind": "heat"}')


@pytest.mark.parametrize(
    ("background", "limit", "most"),
    [([0.0004, 0, 0], 16.0, 15_999), ([0, 0, 0], 16.0009, 16_000), ([0.3, 0, 0], 16.1, 15_800)],
)
def test_rounding_to_milliampere_never_breaks_a_limit(background: list[float], limit: float, most: int) -> None:
    site = SITE | {"nodes": [NODE | {"limit_a": [limit] * 3, "background_a": background}]}
    assert solve_document(json.dumps(site)) == {"current_a": {"c": most / 1000}}


@settings(max_examples=examples(200), deadline=None)
@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(max_size=5),
        lambda x: st.lists(x, max_size=3) | st.dictionaries(st.sampled_from([*SITE, *NODE, *CAR]), x, max_size=5),
        max_leaves=10,
    )
)
def test_garbage_is_refused_and_never_crashes(raw: object) -> None:
    document = {"kind": "ac"} | raw if isinstance(raw, dict) else raw
    try:
        problem = ac_problem_from(document)
    except ConfigError as error:
        assert error.problems
    else:
        assert check(problem, {}) == []


def test_command_solves_the_kind_that_the_document_names() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "evse.planner"],
        input=json.dumps(SITE),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, json.loads(done.stdout)) == (0, {"current_a": {"c": 18.75}})
