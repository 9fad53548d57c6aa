"""Event actions in the whole station: written over the API, saved in the file, fired by the inputs of a simulated board."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from evse.api.errors import ApiError
from evse.config.load import parse_config
from evse.lab.station import Lab
from tests._support.lab_world import Api, run_lab

STATION = """# kept
[station]
id = "AC-1"
data_dir = "{folder}/data"

[access]
mode = ["whitelist"]

[[evse]]
id = 1
kind = "ac"
board.port = "{folder}/dev/board1"
ac = {{ inputs = 4, outputs = 4, release = "remote", connection = "cable", cable_a = 32, current_max_a = 32 }}
"""


def with_station(tmp_path: Path, scenario: Any) -> None:
    text = STATION.format(folder=tmp_path)
    (tmp_path / "data").mkdir()
    path = tmp_path / "station.toml"
    path.write_text(text, encoding="utf-8")

    async def body(lab: Lab) -> None:
        lab.station.config_path = path
        await lab.forward(1)
        await scenario(lab, Api(lab), path)

    run_lab(tmp_path, body, config=parse_config(text, str(path)), laws=False)


def outputs(lab: Lab) -> int:
    command = lab.station.loop.outputs
    assert command is not None
    assert command.evses[0].board.ac is not None
    return command.evses[0].board.ac.outputs


def text_of(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def test_rules_are_written_act_at_once_and_leave_a_trace(tmp_path: Path) -> None:
    async def scenario(lab: Lab, api: Api, path: Path) -> None:
        rule = {"condition": "input_high", "condition_input": 2, "action": "output_high", "output": 3, "timer_ms": 10}
        answer = await api("rule.put", {"rule": rule})
        assert (answer["changed"], answer["number"]) == (True, 1)
        await lab.do(cmd="input", connector=1, input=2, on=True)
        await lab.until(lambda: outputs(lab) == 0b100, "rule 1 acts", 2)
        row = (await api("rule.list"))["items"][0]
        assert (row["active"], row["decides"]) == ((1,), (1,))
        state = (await api("rule.state"))["items"][0]
        assert [i["high"] for i in state["inputs"]] == [False, True, False, False]
        assert state["outputs"][2] == {"number": 3, "level": "high", "by": "rule 1"}
        answer = await api("rule.put", {"rule": {"action": "output_low", "output": 3, "timer_ms": 10}})
        assert [f["text"] for f in answer["findings"]] == ["rule 2 overrides rule 1 always: output 3"]
        await lab.forward(0.2)
        assert outputs(lab) == 0
        assert (await api("rule.list"))["items"][0]["overridden_by"] == (2,)
        texts = [r["text"] for r in (await api("rule.trace"))["items"]]
        assert "rule 2 overrides rule 1 (output 3)" in texts
        assert texts.index("rule 1 fires") > texts.index("rule 2 fires")  # newest first
        await api("rule.move", {"number": 2, "to": 1})
        await lab.forward(0.2)
        assert outputs(lab) == 0b100
        assert text_of(path).startswith("# kept\n")
        assert parse_config(text_of(path), "again").rule[0].action == "output_low"
        await api("rule.remove", {"number": 2})
        await api("rule.remove", {"number": 1})
        await lab.forward(0.2)
        assert outputs(lab) == 0
        assert (await api("rule.list"))["items"] == ()

    with_station(tmp_path, scenario)


def test_the_emergency_input_stops_a_charging_vehicle_with_its_own_reason(tmp_path: Path) -> None:
    async def scenario(lab: Lab, api: Api, path: Path) -> None:
        answer = await api("rule.import", {"name": "emergency-input", "evse_id": 1})
        assert (answer["rules"], answer["findings"]) == (2, ())
        button = {"event": "input_rising", "event_input": 1, "condition": "status_b"}
        await api("rule.put", {"rule": {**button, "action": "enable_charging", "status": "enable"}})
        await lab.do(cmd="plug_in", connector=1)
        await lab.until(lambda: lab.evse(1).plugged, "plugged in", 10)
        await lab.do(cmd="input", connector=1, input=1, on=True)
        await lab.until(lambda: lab.evse(1).phase.value == "charging", "charges after the button", 60)
        await lab.do(cmd="input", connector=1, input=4, on=True)
        await lab.until(lambda: lab.evse(1).contactor_closed is False, "opened", 2)
        await lab.until(lambda: lab.evse(1).stop_reason is not None, "ended", 30)
        reason = lab.evse(1).stop_reason
        assert reason is not None and reason.value == "EmergencyStop"
        assert "F33" in [f.code.value for f in lab.evse(1).faults]
        await lab.do(cmd="input", connector=1, input=4, on=False)
        await lab.until(lambda: not lab.evse(1).faults, "reset", 5)

    with_station(tmp_path, scenario)


def test_what_cannot_be_is_refused_and_changes_nothing(tmp_path: Path) -> None:
    async def scenario(lab: Lab, api: Api, path: Path) -> None:
        before = text_of(path)
        with pytest.raises(ApiError, match=r"rule\[1\].output = 5: the board of EVSE 1 has 4 digital outputs"):
            await api("rule.put", {"rule": {"action": "output_high", "output": 5}})
        with pytest.raises(ApiError, match="there is no rule 1; this station has 0 of at most 32"):
            await api("rule.remove", {"number": 1})
        with pytest.raises(ApiError, match="did you mean \"led-socket\""):
            await api("rule.import", {"name": "led-soket"})
        with pytest.raises(ApiError, match="either the name of a set or the text of a file"):
            await api("rule.import", {})
        with pytest.raises(ApiError, match="there is no AC connector 7"):
            await api("rule.state", {"evse_id": 7})
        with pytest.raises(ApiError, match=r"no such file profiles/leds/x\.toml"):
            await api("led.set", {"lamp": "status", "profile": "x"})
        assert text_of(path) == before

    with_station(tmp_path, scenario)


def test_lamps_change_at_once(tmp_path: Path) -> None:
    async def scenario(lab: Lab, api: Api, path: Path) -> None:
        rows = (await api("led.list"))["items"]
        assert [(r["lamp"], r["profile"], r["condition"]) for r in rows] == [("status", "generic", "ready"), ("reader", "generic", "ready")]
        assert rows[0]["rgb"] == "#00ff00"
        await api("led.brightness", {"pct": 50})
        await api("led.set", {"lamp": "outputs", "outputs": [4], "profile": "charge-control-c-status"})
        await lab.forward(0.2)
        leds = await api("led.list")
        assert leds["brightness_pct"] == 50
        assert leds["items"][0]["rgb"] == "#007f00"
        assert outputs(lab) == 0b1000
        assert (await api("led.profiles"))["items"][0]["name"] == "charge-control-c-status"
        assert (await api("led.set", {"lamp": "outputs", "outputs": [4], "profile": "charge-control-c-status"}))["changed"] is False

    with_station(tmp_path, scenario)


def test_a_learned_and_a_forgotten_card_are_events(tmp_path: Path) -> None:
    async def scenario(lab: Lab, api: Api, path: Path) -> None:
        for number, event in enumerate(("teach_in", "teach_out", "teach_in_failed"), 1):
            await api("rule.put", {"rule": {"event": event, "action": "output_high", "output": number, "timer_ms": 500}})
        await lab.forward(0.2)
        lab.station.announce("whitelist.learn_ended", 1, {"result": "learned", "reader": ""})
        await lab.until(lambda: outputs(lab) == 0b001, "teach in", 1)
        lab.station.announce("whitelist.learn_ended", 1, {"result": "expired", "reader": ""})
        await lab.until(lambda: outputs(lab) == 0b101, "teach in failed", 1)
        await api("whitelist.add", {"id": "04AABBCC"})
        await api("whitelist.remove", {"id": "04AABBCC"})
        await lab.until(lambda: outputs(lab) & 0b010 != 0, "teach out", 1)
        await lab.until(lambda: outputs(lab) == 0, "all over", 2)

    with_station(tmp_path, scenario)
