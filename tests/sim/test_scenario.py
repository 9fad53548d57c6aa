"""Scenario files: every mistake is named, conditions compare as told, shipped files are valid."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from evse.domain.base import ConfigError
from evse.lab.vloop import VirtualClock, VirtualLoop, run_virtual
from evse.sim.scenario import Condition, Runner, load_scenario, lookup, parse_scenario, shipped


def test_shipped_scenarios_parse() -> None:
    """quick, site-limit, faults and offline are there and right."""
    assert {"quick", "site-limit", "faults", "offline"} <= set(shipped())
    for name in shipped():
        scenario = load_scenario(name)
        assert scenario.name == name and scenario.description and scenario.steps


def test_all_mistakes_are_named_at_once() -> None:
    """Step, key, value and what is accepted."""
    steps = [
        {"at_s": -1, "cmd": "status"},
        {"cmd": "plug_im", "connector": 1},
        {"cmd": "plug_in", "connector": "1", "colour": "red"},
        {"wait": {"path": "site_power_w"}},
        {"wait": {"path": "x", "is": 1}, "cmd": "status"},
        {"cmd": "api"},
        7,
    ]
    with pytest.raises(ConfigError) as caught:
        parse_scenario(json.dumps({"steps": steps, "stepps": [], "needs": {"connectors": ["gas"]}}), "f.json")
    text = str(caught.value)
    for part in (
        "f.json: stepps: unknown key",
        "f.json: needs: Invalid enum value 'gas' - at `$.connectors[0]`; accepted: connectors",
        "step 1: at_s = -1",
        'step 2: cmd = "plug_im": no such command, did you mean plug_in',
        'step 3: connector = "1": accepted: a whole number from 1 to 48',
        'step 3: colour = "red": unknown key for plug_in',
        "step 4: wait: unknown or missing test",
        "step 5: cmd: a step waits or commands, not both",
        "step 6: api: accepted",
        "step 7: an object",
    ):
        assert part in text, part
    with pytest.raises(ConfigError, match="is not JSON"):
        parse_scenario("{", "f.json")
    with pytest.raises(ConfigError, match=r"shipped: ac-faults, .*faults, .*offline, quick"):
        load_scenario("nothing")


def test_paths_and_tests() -> None:
    """Names, indices, filters, lengths; is, not, min, max, exists."""
    document: dict[str, Any] = {"items": [{"record": {"code": "F1", "n": 3}}, {"record": {"code": "F2"}}]}
    assert lookup(document, "items.0.record.code") == (True, "F1")
    assert lookup(document, "items.record/code=F2.record.code") == (True, "F2")
    assert lookup(document, "items.count") == (True, 2)
    assert lookup(document, "items.record/code=F9") == (False, None)
    assert lookup(document, "items.5") == (False, None)
    path = "items.0.record.n"
    cases: list[tuple[dict[str, Any], bool]] = [
        ({"is": 3}, True), ({"not": 3}, False), ({"min": 3, "max": 3}, True), ({"min": 4}, False), ({"max": 2}, False),
        ({"exists": True}, True), ({"exists": False}, False),
    ]  # fmt: skip
    for tests, good in cases:
        assert Condition(path=path, tests=tests).holds(document) is good, tests
    assert Condition(path="no.where", tests={"exists": False}).holds(document)
    assert not Condition(path="no.where", tests={"min": 0}).holds(document)


def run(text: list[dict[str, Any]], world: dict[str, Any], api: Any = None) -> tuple[bool, Runner, list[Any]]:
    """Run steps against a little world whose ``n`` counts the seconds."""
    loop = VirtualLoop()
    clock = VirtualClock(loop)
    seen: list[Any] = []

    async def execute(obj: dict[str, Any]) -> dict[str, Any]:
        if obj["cmd"] == "status":
            return {"ok": True, **world, "n": (clock.now() - runner._start) // 1_000_000_000}
        seen.append(((clock.now() - runner._start) / 1e9, obj))
        return {"ok": obj["cmd"] != "plug_out", "error": "no"}

    runner = Runner(parse_scenario(json.dumps({"steps": text}), "t"), execute, clock, api=api)

    async def main() -> bool:
        return await asyncio.wait_for(runner.run(), 1000)

    return run_virtual(main(), loop), runner, seen


def test_times_and_waits() -> None:
    """at_s counts from the start, after_s from the step before; a wait ends with its condition."""
    good, runner, seen = run(
        [
            {"at_s": 1.5, "cmd": "power_cut"},
            {"wait": {"path": "n", "min": 5}},
            {"after_s": 2, "cmd": "power_cut"},
            {"at_s": 3, "cmd": "power_cut"},
        ],
        {},
    )
    assert good and len(runner.results) == 4
    assert [round(at, 2) for at, _ in seen] == [1.5, 7.0, 7.0]
    assert runner.results[1].took_s == pytest.approx(3.5, abs=0.06)


def test_failures_end_the_run() -> None:
    """A time limit and a refused command; allow_error goes on."""
    good, runner, _ = run([{"wait": {"path": "n", "min": 50}, "timeout_s": 3}, {"cmd": "power_cut"}], {})
    assert not good and len(runner.results) == 1 and "not within 3 s: n min 50" in runner.results[0].error
    good, runner, _ = run([{"cmd": "plug_out", "connector": 1}], {})
    assert not good and runner.results[0].error == "no"
    assert run([{"cmd": "plug_out", "connector": 1, "allow_error": True}], {})[0]


def test_api_steps_are_skipped_or_called() -> None:
    """Without an API they are reported as skipped; with one they are called and their answers kept."""
    steps: list[dict[str, Any]] = [
        {"cmd": "api", "operation": "planner.set", "request": {"limit_w": 5}},
        {"wait": {"operation": "planner.get", "path": "limit_w", "is": 5}, "timeout_s": 1},
    ]
    good, runner, _ = run(steps, {})
    assert good and all(result.skipped for result in runner.results)
    state = {"limit_w": 0}

    async def api(operation: str, request: dict[str, Any]) -> Any:
        state.update(request)
        return dict(state)

    good, runner, _ = run(steps, {}, api)
    assert good and not any(result.skipped for result in runner.results)
    assert runner.results[0].value == {"limit_w": 5}


def test_lanes_run_side_by_side_and_each_in_its_own_order() -> None:
    """The step ends with the slowest lane; what comes after waits for it."""
    lane = [{"after_s": 3.0, "cmd": "status", "label": "slow"}]
    other = [{"after_s": 1.0, "cmd": "status", "label": "a"}, {"after_s": 1.0, "cmd": "status", "label": "b"}]
    good, runner, _ = run([{"lanes": [lane, other], "label": "both"}, {"cmd": "status", "label": "after"}], {})
    assert good and [r.label for r in runner.results] == ["a", "b", "slow", "after"]
    assert [round(r.time_s) for r in runner.results] == [1, 2, 3, 3]


def test_the_first_lane_that_fails_ends_the_others() -> None:
    never = [{"wait": {"path": "n", "min": 1_000}, "timeout_s": 2, "label": "never"}]
    long = [{"after_s": 60.0, "cmd": "status", "label": "long"}]
    good, runner, _ = run([{"lanes": [long, never]}, {"cmd": "status", "label": "after"}], {})
    assert not good and [r.label for r in runner.results] == ["never"] and runner.time_s() < 5


def test_mistakes_in_lanes_are_named_with_lane_and_step() -> None:
    steps = [
        {"lanes": [[{"cmd": "status"}, {"cmd": "plug_im"}], [{"at_s": 1, "cmd": "status"}, {"lanes": []}]]},
        {"lanes": []},
        {"lanes": [[]], "cmd": "status"},
        {"lanes": [[{"cmd": "status"}] * 2_000]},
    ]
    with pytest.raises(ConfigError) as caught:
        parse_scenario(json.dumps({"steps": steps}), "f.json")
    text = str(caught.value)
    for part in (
        'step 1, lane 1, step 2: cmd = "plug_im"',
        "step 1, lane 2, step 1: at_s, lanes: not accepted within a lane",
        "step 1, lane 2, step 2: at_s, lanes: not accepted within a lane",
        "step 2: lanes: accepted: a list of lists of steps",
        "step 3: cmd: a step has lanes or does something, not both",
        "steps: 2008; at most 2000",
    ):
        assert part in text, part


def test_a_filter_may_have_several_keys() -> None:
    document = {"items": [{"record": {"code": "F25", "evse_id": 1}, "n": 1}, {"record": {"code": "F25", "evse_id": 2}, "n": 2}]}
    assert lookup(document, "items.record/code=F25,record/evse_id=2.n") == (True, 2)
    assert lookup(document, "items.record/code=F25,record/evse_id=3") == (False, None)
