"""What people ask an AC station through the API, on the whole station with simulated vehicles."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from evse.api.errors import ApiError, ErrorCode
from evse.config.load import parse_config
from evse.config.model import StationConfig
from evse.lab.demo_config import demo_text
from evse.lab.station import Lab
from tests._support.lab_world import Api, run_lab

LOCK = 'motor = "ev-t2m3s-e-lock12v"'


def ac_station(folder: Path, *changes: tuple[str, str]) -> StationConfig:
    """The demo's AC station: connector 1 a socket with everything, connector 2 a fixed cable."""
    (folder / "data").mkdir()
    text = demo_text("ac-quick", str(folder), "239.0.0.1", 9000, lambda: 1502)
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    return parse_config(text, "ac.toml")


async def charge(lab: Lab, connector: int = 1) -> None:
    await lab.do(cmd="plug_in", connector=connector)
    await lab.do(cmd="swipe", token=f"04A1B2C{connector}", reader=f"reader{connector}")
    await lab.until(lambda: (lab.evse(connector).power_w or 0) > 1_500, f"connector {connector} charges", 60)


async def refused(api: Api, operation: str, request: dict[str, Any]) -> str:
    with pytest.raises(ApiError) as caught:
        await api(operation, request)
    assert caught.value.kind is ErrorCode.CONFLICT
    return str(caught.value)


def test_a_named_limit_binds_is_explained_and_goes_away(tmp_path: Path) -> None:
    async def scenario(lab: Lab) -> None:
        api = Api(lab)
        await charge(lab)
        before = (await api("limits.explain", {"evse_id": 1}))["items"][0]
        assert before["offered_ma"] == before["physical_ma"] == 16_000
        assert "limited by the grid connection (16 A): rotary switch" in before["text"]
        await api("limits.set", {"name": "ems", "current_ma": 10_000})
        await lab.forward(6)
        now = (await api("limits.explain", {"evse_id": 1}))["items"][0]
        assert (now["offered_ma"], now["physical_ma"], now["offered_w"]) == (10_000, 16_000, 6_900)
        first = now["limits"][0]
        assert (first["source"], first["binds"], first["current_ma"], first["detail"]) == ("dynamic", True, 10_000, "ems")
        assert first["age_s"] in (5, 6)
        side = lab.evse(1).ac
        assert side is not None and side.current_l_ma is not None and max(side.current_l_ma) <= 10_100
        rows = (await api("limits.list"))["items"]
        assert [(r["name"], r["evse_id"], r["current_ma"]) for r in rows] == [("ems", n, 10_000) for n in (1, 2, 3)]
        assert (await api("limits.clear", {"name": "ems"}))["changed"]
        assert not (await api("limits.clear", {"name": "ems"}))["changed"]
        await lab.forward(1)
        assert (await api("limits.explain", {"evse_id": 1}))["items"][0]["offered_ma"] == 16_000

    run_lab(tmp_path, scenario, config=ac_station(tmp_path))


def test_a_sixth_name_is_refused_and_listed_as_ignored(tmp_path: Path) -> None:
    async def scenario(lab: Lab) -> None:
        api = Api(lab)
        for name in "abcde":
            await api("limits.set", {"name": name, "current_ma": -1, "evse_id": 1})
        assert "is the sixth name" in await refused(api, "limits.set", {"name": "f", "current_ma": 6_000, "evse_id": 1})
        rows = (await api("limits.list", {"evse_id": 1}))["items"]
        assert [(r["name"], r["ignored"]) for r in rows] == [*((n, False) for n in "abcde"), ("f", True)]
        await lab.until(lambda: any(f.code.value == "F50" for f in lab.evse(1).faults), "F50", 5)
        await api("limits.clear", {"name": "a", "evse_id": 1})
        await lab.until(lambda: not lab.evse(1).faults, "there is room", 5)

    run_lab(tmp_path, scenario, config=ac_station(tmp_path))


def test_a_pause_keeps_the_session(tmp_path: Path) -> None:
    async def scenario(lab: Lab) -> None:
        api = Api(lab)
        await charge(lab)
        session = lab.evse(1).session
        assert session is not None
        assert (await api("connector.pause", {"evse_id": 1}))["changed"]
        await lab.forward(8)
        paused = lab.evse(1)
        assert (paused.phase.value, paused.power_w) == ("suspended", 0)
        assert not (await api("connector.pause", {"evse_id": 1}))["changed"]
        assert "it waits for the external release" in (await api("limits.explain", {"evse_id": 1}))["items"][0]["text"]
        assert (await api("connector.allow", {"evse_id": 1}))["changed"]
        await lab.until(lambda: (lab.evse(1).power_w or 0) > 1_500, "it goes on", 60)
        after = lab.evse(1).session
        assert after is not None and after.session_id == session.session_id
        assert not (await api("connector.allow", {"evse_id": 1}))["changed"]

    run_lab(tmp_path, scenario, config=ac_station(tmp_path))


def test_an_operator_gives_and_takes_permission(tmp_path: Path) -> None:
    async def scenario(lab: Lab) -> None:
        api = Api(lab)
        await lab.do(cmd="plug_in", connector=2)
        await lab.forward(3)
        assert "dashboard" in await refused(api, "connector.release", {"evse_id": 1})
        await api("connector.release", {"evse_id": 2, "id_token": "ANNA"})
        await lab.until(lambda: (lab.evse(2).power_w or 0) > 1_500, "connector 2 charges", 60)
        session = lab.evse(2).session
        assert session is not None and session.id_token == "ANNA"
        await api("connector.withdraw", {"evse_id": 2})
        await lab.until(lambda: lab.evse(2).phase.value in ("finished", "stopping"), "it ends", 20)

    config = ac_station(tmp_path, ('connection = "cable"', 'connection = "cable"\nrelease = "dashboard"'))
    run_lab(tmp_path, scenario, config=config)


def test_the_self_test_runs_when_nothing_flows_and_is_refused_when_it_does(tmp_path: Path) -> None:
    async def scenario(lab: Lab) -> None:
        api = Api(lab)
        await lab.until(lambda: all(e.ac and e.ac.rcd and e.ac.rcd.passed for e in lab.view().evses), "first test", 10)
        first = (await api("rcd.status", {"evse_id": 1}))["items"][0]["rcd"]["tested_at"]
        await api("rcd.test", {"evse_id": 1})
        await lab.forward(4)
        row = (await api("rcd.status", {"evse_id": 1}))["items"][0]
        assert row["rcd"]["passed"] and not row["rcd"]["testing"] and row["rcd"]["tested_at"] > first
        await charge(lab)
        assert "energy flows" in await refused(api, "rcd.test", {"evse_id": 1})

    run_lab(tmp_path, scenario, config=ac_station(tmp_path))


def test_phases_are_switched_under_a_session(tmp_path: Path) -> None:
    async def scenario(lab: Lab) -> None:
        api = Api(lab)
        await charge(lab)
        assert (await api("phase.show", {"evse_id": 1}))["items"][0]["phases"] == 3
        assert not (await api("phase.set", {"evse_id": 1, "phases": 3}))["changed"]
        await api("phase.set", {"evse_id": 1, "phases": 1})
        await lab.forward(1)
        assert (await api("phase.show", {"evse_id": 1}))["items"][0]["switching"]

        def one_phase() -> bool:
            side = lab.evse(1).ac
            return side is not None and side.phases == 1 and (lab.evse(1).power_w or 0) > 1_500

        await lab.until(one_phase, "one phase", 90)
        assert "relay 2 is the ventilation" in await refused(api, "phase.set", {"evse_id": 2, "phases": 1})

    run_lab(tmp_path, scenario, config=ac_station(tmp_path))


def test_a_remote_lock_is_locked_and_unlocked_by_command_only(tmp_path: Path) -> None:
    async def scenario(lab: Lab) -> None:
        api = Api(lab)
        assert "no plug is in" in await refused(api, "lock.lock", {"evse_id": 1})
        await lab.do(cmd="plug_in", connector=1)
        await lab.forward(5)
        assert lab.evse(1).locked is False
        assert (await api("lock.lock", {"evse_id": 1}))["detail"] == "connector 1: locking, until it is unlocked"
        await lab.until(lambda: lab.evse(1).locked is True, "locked", 30)
        await api("lock.unlock", {"evse_id": 1})
        await lab.until(lambda: lab.evse(1).locked is False, "unlocked", 30)

    run_lab(tmp_path, scenario, config=ac_station(tmp_path, (LOCK, LOCK + '\nmode = "remote"')))


def test_a_held_unlocking_lasts_until_the_plug_is_out(tmp_path: Path) -> None:
    async def scenario(lab: Lab) -> None:
        api = Api(lab)
        await charge(lab)
        assert (await api("lock.status", {"evse_id": 1}))["items"][0]["lock"]["stage"] == "locked"
        await api("lock.unlock", {"evse_id": 1, "hold": True})
        await lab.until(lambda: lab.evse(1).locked is False, "unlocked", 30)
        lock = (await api("lock.status", {"evse_id": 1}))["items"][0]["lock"]
        assert (lock["forced"], lock["feedback"]) == (True, "unlocked")
        assert not (await api("lock.unlock", {"evse_id": 1, "hold": True}))["changed"]
        await api("lock.lock", {"evse_id": 1})
        assert not (await api("lock.lock", {"evse_id": 1}))["changed"]
        assert "no plug lock" in await refused(api, "lock.unlock", {"evse_id": 2})

    run_lab(tmp_path, scenario, config=ac_station(tmp_path))


def test_outputs_by_hand_and_inputs_of_a_board(tmp_path: Path) -> None:
    async def scenario(lab: Lab) -> None:
        api = Api(lab)
        names = [row["name"] for row in (await api("io.list"))["items"]]
        assert names[:8] == [*(f"1.in{i}" for i in range(1, 5)), *(f"1.out{i}" for i in range(1, 5))]
        await api("io.set", {"name": "1.out2", "level": "high"})
        await lab.forward(0.5)
        row = (await api("io.list", {"name": "1.out2"}))["items"][0]
        assert (row["level"], row["by_hand"], row["online"]) == ("high", True, True)
        await api("io.set", {"name": "1.out2", "level": "rules"})
        await lab.forward(0.5)
        row = (await api("io.list", {"name": "1.out2"}))["items"][0]
        assert (row["level"], row["by_hand"]) == ("low", False)
        with pytest.raises(ApiError, match=r"there is no '1.out9'"):
            await api("io.set", {"name": "1.out9", "level": "high"})
        lab.sim.board_ports[1].unplug()
        await lab.until(lambda: any(f.code.value == "F2" for f in lab.evse(1).faults), "F2", 10)
        row = (await api("io.list", {"name": "1.in1"}))["items"][0]
        assert (row["online"], row["active"], row["detail"]) == (False, None, "board 1 does not answer")

    run_lab(tmp_path, scenario, config=ac_station(tmp_path))


@pytest.mark.parametrize(
    ("fault", "code"), [("meter_lost", "F25"), ("meter_crc", "F25"), ("meter_internal", "F26")]
)
def test_why_the_meter_of_an_ac_connector_is_lost(tmp_path: Path, fault: str, code: str) -> None:
    async def scenario(lab: Lab) -> None:
        await lab.do(cmd="fault", action="raise", fault=fault, connector=1)
        await lab.until(lambda: bool(lab.evse(1).faults), "a fault", 20)
        assert [f.code.value for f in lab.evse(1).faults] == [code]
        assert not lab.evse(2).faults
        await lab.do(cmd="fault", action="clear", fault="all")
        await lab.until(lambda: not lab.evse(1).faults, "it is back", 30)

    run_lab(tmp_path, scenario, config=ac_station(tmp_path))


def test_a_line_that_goes_under_a_session_is_an_active_error(tmp_path: Path) -> None:
    async def scenario(lab: Lab) -> None:
        await charge(lab)
        port = lab.sim.serial[str(tmp_path / "dev" / "meters")]
        port.unplug()
        await lab.until(lambda: any(f.code.value == "F28" for f in lab.evse(1).faults), "F28", 20)
        await lab.until(lambda: [f.code.value for f in lab.evse(2).faults] == ["F27"], "F27", 20)
        await lab.until(lambda: lab.evse(1).phase.value == "faulted", "the session ends", 60)
        await lab.forward(5)
        assert [f.code.value for f in lab.evse(1).faults] == ["F28"], "the end of the session does not make it another"
        port.replug()
        await lab.until(lambda: not lab.evse(1).faults, "the line is back", 30)

    run_lab(tmp_path, scenario, config=ac_station(tmp_path))


def test_a_dc_connector_is_told_apart_from_one_that_does_not_exist(tmp_path: Path) -> None:
    async def scenario(lab: Lab) -> None:
        api = Api(lab)
        for operation in ("connector.pause", "lock.lock", "rcd.test"):
            assert "is a DC connector" in await refused(api, operation, {"evse_id": 1})
            with pytest.raises(ApiError) as caught:
                await api(operation, {"evse_id": 9})
            assert caught.value.kind is ErrorCode.NOT_FOUND
        assert "no AC connector" in await refused(api, "limits.set", {"name": "a", "current_ma": 6_000})
        assert not (await api("lock.status"))["items"]
        row = (await api("limits.explain", {"evse_id": 1}))["items"][0]
        assert (row["kind"], row["offered_ma"], row["physical_ma"]) == ("dc", None, None)

    run_lab(tmp_path, scenario)
