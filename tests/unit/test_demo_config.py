"""The demo's stations: any profile, with its ports moved into the demo's directory."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from evse.config.load import parse_config
from evse.domain.base import ConfigError
from evse.lab.demo import main
from evse.lab.demo_config import check_needs, demo_text, scenario_name, station_names
from evse.lab.demo_station import PORTS, channel_of, free_port
from evse.sim.scenario import load_scenario, shipped
from evse.transports.can import split_channel


@pytest.mark.parametrize("name", station_names())
def test_every_station_runs_below_one_directory(name: str, tmp_path: Path) -> None:
    ports = itertools.count(20_000)
    text = demo_text(name, str(tmp_path), "239.192.1.1", 9_000, lambda: next(ports))
    config = parse_config(text, name)
    meters = [m for m in (config.site.meter, *(e.meter for e in config.evse)) if m is not None]
    named = [e.board.port for e in config.evse] + [r.port for r in config.reader] + [m.port for m in meters]
    assert all(p.startswith((f"{tmp_path}/dev/", "tcp://127.0.0.1:2")) for p in named), named
    assert config.ocpp.enabled and config.api.socket.startswith(str(tmp_path))
    assert config.station.data_dir.startswith(str(tmp_path))


def test_a_bus_stays_a_bus_and_two_ports_stay_two() -> None:
    config = parse_config(demo_text("phoenix-contact/charx-4x22", "/x", "c", 1, lambda: 502), "s", check_files=False)
    assert {e.meter.port for e in config.evse if e.meter} == {"/x/dev/meters"}
    assert len({e.board.port for e in config.evse}) == 4
    assert config.site.meter is not None and config.site.meter.port == "tcp://127.0.0.1:502"


def test_an_unknown_station_is_told_with_the_nearest() -> None:
    with pytest.raises(ConfigError, match='did you mean "ac-quick"'):
        demo_text("ac-quik", "/x", "c", 1, lambda: 1)


def test_a_scenario_belongs_to_the_kind_of_station() -> None:
    assert scenario_name("dc-quick", "quick") == "quick"
    assert scenario_name("generic/dc-1x60", "quick") == "single-quick"
    assert scenario_name("generic/ac-1x22", "quick") == "ac-single-quick"
    assert scenario_name("juice/wallbox-2x22", "quick") == "ac-quick"
    assert scenario_name("generic/mixed-2dc-2ac", "quick") == "mixed-quick"
    assert scenario_name("generic/ac-1x22", "offline") == "offline"
    assert scenario_name("ac-quick", "/tmp/own.json") == "/tmp/own.json"


@pytest.mark.parametrize(
    ("scenario", "station", "words"),
    [
        ("ac-faults", "dc-quick", "plays with the devices of --station ac-quick, not of dc-quick; add --station ac-quick"),
        ("ac-faults", "phoenix-contact/charx-4x22", "not of phoenix-contact/charx-4x22; add --station ac-quick"),
        ("mixed-quick", "dc-quick", "there is no connector 3; add --station generic/mixed-2dc-2ac"),
        ("faults", "generic/dc-2x60", "needs connector 1 DC, a site meter, but on --station generic/dc-2x60 there is no site meter; add"),
        ("offline", "ac-quick", "connector 1 is AC; add --station dc-quick (or dc-matrix, "),
    ],
)
def test_a_scenario_that_a_station_cannot_play_is_refused_before_anything_starts(
    scenario: str, station: str, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--headless", "--station", station, "--scenario", scenario]) == 2
    told = capsys.readouterr()
    assert told.out == "" and told.err.startswith(f"evsectl: --scenario {scenario}: ") and words in told.err


@pytest.mark.parametrize("name", shipped())
def test_every_shipped_scenario_says_what_it_needs_and_has_a_station(name: str) -> None:
    assert load_scenario(name).needs.connectors
    assert any(_refusal(station, name) == "" for station in ("dc-quick", "ac-quick", "generic/mixed-2dc-2ac", "generic/ac-1x22"))


@pytest.mark.parametrize("station", station_names())
def test_every_station_can_play_its_quick_scenario(station: str) -> None:
    assert _refusal(station, scenario_name(station, "quick")) == ""


def _refusal(station: str, name: str) -> str:
    try:
        check_needs(station, name, load_scenario(name).needs)
    except ConfigError as error:
        return str(error)
    return ""


def test_two_demos_that_run_side_by_side_share_no_bus_and_take_no_port_that_linux_hands_out() -> None:
    pids = [*range(1, 1_000), *range(65_000, 66_000), *range(4_194_000, 4_194_304)]  # PID_MAX_LIMIT is 2**22
    assert len({split_channel(channel_of(pid)) for pid in pids}) == len(pids)
    assert free_port() in PORTS and PORTS.stop <= 32_768, "Linux hands out ports from there on, if nobody has told it otherwise"
