"""Station profiles: they load, and a file overrides them with the right lines."""

from __future__ import annotations

import pytest

from evse.config.load import parse_config
from evse.config.paths import profiles_dir
from evse.config.profiles import list_stations
from evse.config.spec import station_spec
from evse.domain.base import ConfigError
from evse.domain.station import EvseKind


@pytest.mark.parametrize("name", list_stations())
def test_every_shipped_profile_makes_a_station(name: str) -> None:
    config = parse_config(f'profile = "{name}"\n[station]\nid = "X"\n', "s.toml")
    spec = station_spec(config)
    assert spec.station_id == "X"
    assert len(spec.evses) == len(config.evse) >= 1
    for evse in spec.evses:
        assert (evse.ac is not None) is (evse.kind is EvseKind.AC)
        if evse.kind is EvseKind.AC:
            continue
        home = next(g for g in spec.groups if g.group_id == evse.home_group)
        assert home.home_evse == evse.evse_id


def test_a_file_overrides_its_profile_by_id() -> None:
    text = """profile = "generic/dc-2x60"
[station]
id = "X"
[[evse]]
id = 2
power_max_w = 90_000
board.port = "/dev/b"
[[modules.groups]]
id = 1
addresses = [7]
[site]
limit_w = 50_000
"""
    config = parse_config(text, "s.toml")
    assert [e.power_max_w for e in config.evse] == [120_000, 90_000]
    assert config.evse[1].board.port == "/dev/b"
    assert config.evse[1].meter is not None
    assert config.modules is not None
    assert [g.addresses for g in config.modules.groups] == [(7,), (2, 3)]
    assert config.reader[0].evses == (1, 2)
    assert config.station.model == "DC 2x60"


def test_a_conflict_with_the_profile_names_the_line_of_each_file() -> None:
    text = 'profile = "generic/dc-2x60"\n[station]\nid = "X"\n[[evse]]\nid = 2\nboard = { port = "/dev/evse/plc1" }\n'
    with pytest.raises(ConfigError) as caught:
        parse_config(text, "s.toml")
    (told,) = caught.value.problems
    assert told.startswith('s.toml:6: evse[2].board.port = "/dev/evse/plc1": port is used twice, evse[1].board has it')
    profile = (profiles_dir() / "stations" / "generic" / "dc-2x60.toml").read_text(encoding="utf-8").split("\n")
    line = next(i for i, row in enumerate(profile, 1) if "plc1" in row)
    assert f"in line {line} of profiles/stations/generic/dc-2x60.toml" in told


@pytest.mark.parametrize("name", ["../../etc/passwd", "/etc/passwd", "generic/dc-2x99", "Generic/DC", ""])
def test_a_profile_name_cannot_leave_the_directory(name: str) -> None:
    with pytest.raises(ConfigError, match=r"no such file|is missing"):
        parse_config(f'profile = "{name}"\n[station]\nid = "X"\n', "s.toml")


def test_a_generic_profile_does_not_name_the_station() -> None:
    with pytest.raises(ConfigError, match=r"station\.id: is missing"):
        parse_config('profile = "generic/dc-2x60"\n', "s.toml")


def test_units_become_the_integers_of_the_core() -> None:
    text = (
        'profile = "measured/desl-172k5"\n[station]\nid = "X"\n[[evse]]\nid = 1\nvoltage_max_v = 500\n'
        "derate_start_c = 75\n[ocpp]\nconnection_timeout_s = 90\n"
    )
    spec = station_spec(parse_config(text, "s.toml"))
    first = spec.evses[0]
    assert (first.voltage_max_mv, first.current_max_ma, first.derate_start_dc, first.insulation_min_kohm) == (
        500_000,
        500_000,
        750,
        50,
    )
    assert (spec.site_limit_w, spec.has_site_meter, spec.connection_timeout_s) == (172_500, True, 90)
    assert spec.groups[0].modules == 3
    assert spec.groups[0].module_current_max_ma == 100_000


def test_an_unknown_profile_does_not_cause_further_complaints() -> None:
    text = 'profile = "generic/dc-2x61"\n[station]\nid = "X"\n[[evse]]\nid = 1\nhome_group = 1\n'
    with pytest.raises(ConfigError) as caught:
        parse_config(text, "s.toml")
    (told,) = caught.value.problems
    assert told.startswith('s.toml:1: profile = "generic/dc-2x61": no such file profiles/stations/generic/dc-2x61.toml')
