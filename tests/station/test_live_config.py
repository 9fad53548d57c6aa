"""A changed file in a running station: live options act at once in core, planner and back end, the rest waits and says so."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import msgspec

from evse.config.live import in_force
from evse.config.load import parse_config
from evse.lab.demo_config import TEMPLATE
from evse.lab.station import Lab
from tests._support.lab_world import Api, run_lab


def run_from_file(folder: Path, text: str, scenario: Callable[[Lab], Coroutine[Any, Any, None]]) -> None:
    """Run ``scenario`` on the station of the template ``text``, which lies in a file that it may change."""
    (folder / "data").mkdir()
    path = folder / "station.toml"
    path.write_text(text, encoding="utf-8")

    async def main(lab: Lab) -> None:
        lab.station.config_path = path
        await scenario(lab)

    run_lab(folder, main, config=parse_config(text, str(path)), laws=False)


def test_live_options_act_at_once_and_the_rest_is_named_until_the_restart(tmp_path: Path) -> None:
    text = TEMPLATE.format(folder=tmp_path, channel="239.0.0.1", port=9000)

    async def scenario(lab: Lab) -> None:
        api = Api(lab)
        await lab.until(lambda: lab.station.ocpp is not None and lab.station.ocpp.online, "registered", 30)
        changed = text.replace(
            "id = 1\nhome_group = 1\n",
            'id = 1\nfree_charging = true\nfree_id_token = "GUEST"\nderate_start_c = 60\nhome_group = 1\n',
        ).replace("sample_interval_s = 5", "sample_interval_s = 7\nconnection_timeout_s = 33\nheartbeat_s = 60")
        changed = changed.replace("current_max_a = 250\npower_max_w = 120000", "current_max_a = 200\npower_max_w = 120000", 1)
        answer = await api("config.apply", {"text": changed})
        assert answer["applied"] and answer["restart_needed"]
        status = await api("status.get")
        assert status["system"]["restart_needed"] == ("evse[1].current_max_a",)
        checks = {c["name"]: c for c in (await api("doctor.run"))["checks"]}
        assert checks["configuration"]["result"] == "warning"
        await lab.forward(1)
        spec = lab.station.loop.spec
        assert spec.evses[0].free_charging and spec.evses[0].derate_start_dc == 600
        assert spec.evses[0].current_max_ma == 250_000  # waits
        assert spec.connection_timeout_s == 33
        keys = {k["key"]: k["value"] for k in (await api("ocpp.config"))["items"]}
        assert (keys["MeterValueSampleInterval"], keys["ConnectionTimeOut"]) == ("7", "33")
        await lab.do(cmd="plug_in", connector=1, soc_pct=20)
        await lab.until(lambda: (lab.evse(1).power_w or 0) > 5_000, "a car charges without a card", 60)
        session = lab.evse(1).session
        assert session is not None and session.id_token == "GUEST"
        answer = await api("config.apply", {"text": text})  # taken back
        assert (await api("status.get"))["system"]["restart_needed"] == ()
        assert not lab.station.loop.spec.evses[0].free_charging

    run_from_file(tmp_path, text, scenario)


def test_a_key_that_the_back_end_has_set_stays(tmp_path: Path) -> None:
    text = TEMPLATE.format(folder=tmp_path, channel="239.0.0.1", port=9000)

    async def scenario(lab: Lab) -> None:
        assert lab.station.ocpp is not None
        assert await lab.station.ocpp.set_key("MeterValueSampleInterval", "11") == "Accepted"
        await Api(lab)("config.apply", {"text": text.replace("sample_interval_s = 5", "sample_interval_s = 7")})
        assert lab.station.ocpp.key_number("MeterValueSampleInterval") == 11

    run_from_file(tmp_path, text, scenario)


def test_limits_of_a_changed_file_act_beside_those_that_the_operator_has_set(tmp_path: Path) -> None:
    text = TEMPLATE.format(folder=tmp_path, channel="239.0.0.1", port=9000)

    async def scenario(lab: Lab) -> None:
        api = Api(lab)
        await api("planner.set", {"limit_w": 60_000})
        old, limit_w = lab.station.planner.settings, lab.station.config.site.limit_w
        changed = text.replace("[site]\n", "[site]\ndwell_s = 120\nmin_power_w = 5000\nmax_groups = 3\n")
        assert changed != text
        await api("config.apply", {"text": changed})
        now = lab.station.planner.settings
        assert (now.dwell_s, now.min_power_w, now.max_groups, now.site_limit_w) == (120, 5_000, 3, 60_000)
        assert lab.station.planner.file_settings.site_limit_w == limit_w
        await api("planner.set", {"reset": True})
        assert lab.station.planner.settings == lab.station.planner.file_settings
        await api("config.apply", {"text": text})
        assert lab.station.planner.settings == msgspec.structs.replace(old, site_limit_w=limit_w)

    run_from_file(tmp_path, text, scenario)


def test_rows_that_come_and_go_wait_for_the_restart() -> None:
    head = '[station]\nid = "X"\n'
    one = '[[evse]]\nid = 1\nkind = "ac"\nboard.port = "/dev/a"\nac = { current_max_a = 16, failsafe_a = 6 }\n'
    two = one.replace("id = 1", "id = 2").replace("/dev/a", "/dev/b")
    running = parse_config(head + one, "s", check_files=False)
    file = parse_config(head + one.replace("failsafe_a = 6", "failsafe_a = 8, grid_a = 10") + two, "s", check_files=False)
    now = in_force(running, file)
    assert len(now.evse) == 1 and now.evse[0].ac is not None
    assert (now.evse[0].ac.failsafe_a, now.evse[0].ac.grid_a) == (8, -1)
    assert in_force(file, running).evse[1] == file.evse[1]
