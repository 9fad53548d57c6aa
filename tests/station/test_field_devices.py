"""Field devices of the whole station through the API: reclosers, inputs and outputs, readers, the search for meters."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from evse.api.errors import ApiError, ErrorCode
from evse.config.load import parse_config
from evse.config.model import StationConfig
from evse.lab.demo_config import TEMPLATE
from evse.lab.station import Lab
from evse.runtime.field import fan_duty
from tests._support.fake_sysfs import FakeSysfs
from tests._support.lab_world import Api, run_lab

FIELD = """
[io]
root = "{root}"
evses = [1]
[[io.input]]
name = "door"
line = 4
[[io.input]]
name = "key"
adc = "2198000.adc"
[[io.output]]
name = "lamp"
line = 5
[[io.sensor]]
name = "housing"
device = "28-00000a1b2c3d"
[io.fan]
device = "pwmfan"
[io.reference]
threshold_mv = 9_000
"""
RECLOSER = """board.port = "{folder}/dev/board1"
[evse.recloser]
port = "{folder}/dev/dc-meters"
registers = {{ state_address = 1, command_address = 2 }}
"""


def station(folder: Path) -> tuple[StationConfig, FakeSysfs]:
    """The demo's DC station with everything that can be wired to the controller, on a tree of files."""
    (folder / "data").mkdir()
    tree = FakeSysfs(folder / "root")
    tree.gpio(4)
    tree.gpio(5)
    tree.adc("2198000.adc", raw=2_500)
    tree.w1("28-00000a1b2c3d", 35_000)
    tree.fan("pwmfan")
    tree.pwm()
    text = TEMPLATE.replace('board.port = "{folder}/dev/board1"\n', RECLOSER)
    text = text.format(folder=folder, channel="239.0.0.1", port=9000) + FIELD.format(root=tree.root)
    return parse_config(text, "field.toml"), tree


def test_inputs_outputs_temperature_and_fan_reach_the_api(tmp_path: Path) -> None:
    config, tree = station(tmp_path)

    async def scenario(lab: Lab) -> None:
        api = Api(lab)
        rows = {row["name"]: row for row in (await api("io.list"))["items"]}
        assert [(name, row["kind"], row["online"]) for name, row in rows.items()] == [
            ("door", "input", True), ("key", "input", True), ("lamp", "output", True),
            ("housing", "temperature", True), ("fan", "fan", True),
        ]  # fmt: skip
        assert (rows["door"]["active"], rows["lamp"]["level"], rows["lamp"]["by_hand"]) == (False, "low", False)
        assert rows["key"]["voltage_mv"] == pytest.approx(2_014, abs=2)
        assert rows["housing"]["temperature_dc"] == 350
        assert tree.text("sys/class/pwm/pwmchip1/pwm0/duty_cycle") == "30000", "9 V of 12 V in 40 us"
        tree.drive(4, high=True)
        tree.w1("28-00000a1b2c3d", 61_000)
        assert (await api("io.set", {"name": "lamp", "level": "high"}))["changed"]
        await lab.forward(6)
        assert tree.text("sys/class/gpio/gpio5/value") == "1", "the lease is renewed"
        assert tree.text("sys/class/hwmon/hwmon0/pwm1") == "255", "full above full_c"
        rows = {row["name"]: row for row in (await api("io.list"))["items"]}
        assert (rows["door"]["active"], rows["lamp"]["level"], rows["lamp"]["by_hand"]) == (True, "high", True)
        await api("io.set", {"name": "lamp", "level": "rules"})
        await lab.forward(0.2)
        assert tree.text("sys/class/gpio/gpio5/value") == "0"
        for name, level, kind in (
            ("lamp", "floating", ErrorCode.CONFLICT), ("door", "high", ErrorCode.CONFLICT), ("x", "high", ErrorCode.NOT_FOUND),
        ):  # fmt: skip
            with pytest.raises(ApiError) as caught:
                await api("io.set", {"name": name, "level": level})
            assert caught.value.kind is kind

    run_lab(tmp_path, scenario, config=config)


def test_inputs_that_cannot_be_read_keep_their_connector_from_charging(tmp_path: Path) -> None:
    config, tree = station(tmp_path)

    async def scenario(lab: Lab) -> None:
        value = tree.root / "sys/class/gpio/gpio4/value"
        text = value.read_text()
        value.unlink()
        await lab.until(lambda: any(f.code.value == "F49" for f in lab.evse(1).faults), "F49", 20)
        assert not lab.evse(2).faults
        value.write_text(text)
        await lab.until(lambda: not lab.evse(1).faults, "the inputs are back", 40)

    run_lab(tmp_path, scenario, config=config)


def test_a_recloser_moves_on_request_and_is_named_when_it_is_lost(tmp_path: Path) -> None:
    config, _ = station(tmp_path)

    async def scenario(lab: Lab) -> None:
        api = Api(lab)
        await lab.until(lambda: lab.station.devices.field.reclosers[1].state().value == "closed", "polled", 10)
        row = (await api("recloser.status"))["items"][0]
        assert (row["name"], row["state"], row["online"], row["address"]) == ("recloser 1", "closed", True, 3)
        moving = asyncio.ensure_future(api("recloser.open"))
        await lab.forward(5)
        assert moving.done() and (await moving)["detail"] == "recloser 1 is open"
        assert not lab.sim.reclosers[1].closed
        assert (await api("recloser.open"))["changed"] is False
        await lab.do(cmd="fault", action="raise", fault="meter_lost", connector=2)
        lab.sim.reclosers[1].fault("mute", on=True)
        await lab.until(lambda: any(f.code.value == "F34" for f in lab.evse(1).faults), "F34", 40)
        assert [f.code.value for f in lab.evse(2).faults] == ["F9"]
        assert (await api("recloser.status"))["items"][0]["online"] is False
        with pytest.raises(ApiError) as caught:
            await api("recloser.close", {"name": "1"})
        assert caught.value.kind is ErrorCode.DEVICE
        lab.sim.reclosers[1].fault("mute", on=False)
        await lab.until(lambda: not lab.evse(1).faults, "the recloser is back", 40)

    run_lab(tmp_path, scenario, config=config)


def test_a_lost_reader_is_a_warning_and_charging_goes_on(tmp_path: Path) -> None:
    config, _ = station(tmp_path)

    async def scenario(lab: Lab) -> None:
        await lab.do(cmd="plug_in", connector=1, soc_pct=20)
        await lab.do(cmd="swipe", token="04A1B2C1", reader="reader1")
        await lab.until(lambda: (lab.evse(1).power_w or 0) > 5_000, "connector 1 charges", 60)
        await lab.do(cmd="fault", action="raise", fault="reader_lost", connector=1)
        await lab.until(lambda: any(f.code.value == "F29" for f in lab.evse(1).faults), "F29", 30)
        assert lab.evse(1).phase.value == "charging" and not lab.evse(2).faults
        await lab.do(cmd="fault", action="clear", fault="all")
        await lab.until(lambda: not lab.evse(1).faults, "the reader is back", 40)
        assert lab.evse(1).phase.value == "charging"

    run_lab(tmp_path, scenario, config=config)


def test_a_tapped_card_is_shown_and_starts_nothing(tmp_path: Path) -> None:
    config, _ = station(tmp_path)

    async def scenario(lab: Lab) -> None:
        api = Api(lab)
        await lab.do(cmd="plug_in", connector=1, soc_pct=20)
        waiting = asyncio.ensure_future(api("rfid.tap", {"reader": "reader1", "seconds": 20}))
        await lab.forward(2)
        with pytest.raises(ApiError, match="somebody waits"):
            await api("rfid.tap", {"reader": "reader1"})
        await lab.do(cmd="swipe", token="04A1B2C1", reader="reader1")
        await lab.forward(3)
        answer = await waiting
        assert answer["id_token"] == "04A1B2C1" and 2_000 <= answer["waited_ms"] <= 5_000
        await lab.forward(5)
        assert lab.evse(1).auth_state == "none"
        nothing = asyncio.ensure_future(api("rfid.tap", {"reader": "reader2", "seconds": 1}))
        await lab.forward(2)
        assert (await nothing)["id_token"] == ""
        with pytest.raises(ApiError, match="there is no reader"):
            await api("rfid.tap", {"reader": "x"})
        await lab.do(cmd="swipe", token="04A1B2C1", reader="reader1")
        await lab.until(lambda: lab.evse(1).auth_state != "none", "afterwards cards count again", 10)

    run_lab(tmp_path, scenario, config=config)


def test_the_search_finds_the_meters_of_a_line_in_use_only_when_told_to(tmp_path: Path) -> None:
    config, _ = station(tmp_path)
    port = str(tmp_path / "dev" / "meters")

    async def scenario(lab: Lab) -> None:
        api = Api(lab)
        with pytest.raises(ApiError, match=r"in use by site meter") as caught:
            await api("meter.detect", {"port": port})
        assert caught.value.kind is ErrorCode.CONFLICT
        wanted = {"port": port, "profiles": "eastron/sdm630,acrel/djsf1352-rn", "bauds": "9600", "parities": "N", "disturb": True}
        begun = await api("meter.detect", wanted)
        assert (begun["number"], begun["state"]) == (1, "running")
        with pytest.raises(ApiError, match="a search runs already"):
            await api("meter.detect", wanted)
        await lab.until(lambda: not lab.station.detector.running, "the search ends", 120)
        state = await api("meter.detected")
        assert (state["state"], state["error"]) == ("done", "")
        assert [(row["baud"], row["unit"], row["profile"]) for row in state["found"]] == [(9600, 1, "eastron/sdm630")]
        assert state["done"] == state["total"] > 0
        await lab.until(lambda: lab.station.site_power_w() is not None, "the site meter is back", 20)
        await api("meter.detect", {**wanted, "thorough": True})
        await lab.forward(1)
        stopping = asyncio.ensure_future(api("meter.detect_stop"))
        await lab.forward(3)
        assert (await stopping)["changed"]
        assert (await api("meter.detected"))["state"] == "stopped"
        assert (await api("meter.detect_stop"))["changed"] is False
        await lab.until(lambda: lab.station.site_power_w() is not None, "given back", 20)

    run_lab(tmp_path, scenario, config=config)


@pytest.mark.parametrize(
    ("field", "value", "text"),
    [
        ("port", "/dev/none", "no such port"),
        ("profiles", "eastron/sdm999", "there is no profile eastron/sdm999"),
        ("bauds", "9600,fast", "'fast' is not a whole number"),
        ("bauds", "5", "cannot be searched"),
        ("parities", "X", "cannot be searched"),
        ("units", "20-10", "'20-10' is not an address"),
        ("units", "300", "'300' is not an address"),
    ],
)
def test_a_search_that_cannot_be_is_refused_with_the_reason(tmp_path: Path, field: str, value: str, text: str) -> None:
    config, _ = station(tmp_path)

    async def scenario(lab: Lab) -> None:
        api = Api(lab)
        wanted = {"port": "/dev/none", "profiles": "eastron/sdm630", "bauds": "9600", "parities": "N", field: value}
        if field == "port":
            await api("meter.detect", wanted)
            await lab.until(lambda: not lab.station.detector.running, "it fails", 10)
            state = await api("meter.detected")
            assert state["state"] == "failed" and text in state["error"]
            return
        with pytest.raises(ApiError, match=text) as caught:
            await api("meter.detect", wanted)
        assert caught.value.kind is ErrorCode.INVALID

    run_lab(tmp_path, scenario, config=config)


def test_the_fan_follows_the_warmest_sensor_and_is_full_when_one_is_lost() -> None:
    from evse.config.model_io import FanSection
    from evse.domain.readings import NEVER, Sample

    fan = FanSection(device="f", start_c=40, full_c=60, least_permille=300)
    values = [fan_duty(fan, {"a": Sample(value=dc, at=0), "b": Sample(value=200, at=0)}) for dc in (399, 400, 500, 600, 900)]
    assert values == [0, 300, 650, 1000, 1000]
    assert fan_duty(fan, {"a": Sample(value=200, at=0), "b": NEVER}) == 1000
    assert fan_duty(fan, {}) == 1000
