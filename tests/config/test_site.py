"""``[site.grid]`` and ``[[site.fuse]]``: what is read, and what is refused with which words."""

from __future__ import annotations

import pytest

from evse.config.live import in_force
from evse.config.load import parse_config
from evse.config.spec import station_spec
from evse.domain.base import ConfigError
from evse.domain.station import FuseSpec, GridSpec, ShedSpec

HEAD = (
    '[station]\nid = "X"\n[[evse]]\nid = 1\nkind = "ac"\nboard.port = "/dev/b1"\nac.current_max_a = 32\n'
    '[[evse]]\nid = 2\nkind = "ac"\nboard.port = "/dev/b2"\nac.current_max_a = 32\n'
)
METER = '[site.meter]\nprofile = "eastron/sdm630"\nport = "/dev/m"\n'
GRID = """[site.grid]
fuse_a = 63
imbalance_a = 20
failsafe_a = 16
nominal_v = 240
pause_policy = "max_served"
dwell_s = 120
threshold_a = 4
[[site.fuse]]
name = "row A"
fuse_a = 32
evses = [1, 2]
"""


def refused(text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        parse_config(HEAD + text, "s.toml", check_files=False)
    return "\n".join(caught.value.problems)


def test_the_whole_table_arrives_in_its_units() -> None:
    config = parse_config(HEAD + METER + GRID, "s.toml", check_files=False)
    assert station_spec(config).grid == GridSpec(
        fuse_ma=63_000, imbalance_ma=20_000, failsafe_ma=16_000, nominal_mv=240_000, max_served=True, threshold_ma=4_000,
        dwell_s=120, fuses=(FuseSpec(name="row A", fuse_ma=32_000, evses=(1, 2)),),
    )  # fmt: skip


def test_nothing_said_means_no_grid_and_a_fuse_alone_is_one() -> None:
    assert station_spec(parse_config(HEAD, "s.toml", check_files=False)).grid is None
    alone = parse_config(HEAD + '[[site.fuse]]\nname = "a"\nfuse_a = 16\nevses = [2]\n', "s.toml", check_files=False)
    grid = station_spec(alone).grid
    assert grid is not None and (grid.fuse_ma, grid.imbalance_ma, grid.failsafe_ma) == (0, -1, -1)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('[[site.fuse]]\nname = "a"\nfuse_a = 16\nevses = [3]\n', "there is no EVSE 3"),
        (
            '[[site.fuse]]\nname = "a"\nfuse_a = 16\nevses = [1]\n[[site.fuse]]\nname = "b"\nfuse_a = 16\nevses = [1]\n',
            'EVSE 1 is behind the fuse "a" already',
        ),
        (
            '[[site.fuse]]\nname = "a"\nfuse_a = 16\nevses = [1]\n[[site.fuse]]\nname = "a"\nfuse_a = 16\nevses = [2]\n',
            "this name of a fuse is used twice",
        ),
        ('[[site.fuse]]\nname = "a"\nfuse_a = 5\nevses = [1]\n', "fuse_a"),
        ("[site.grid]\nfuse_a = 5\n", "a vehicle needs 6 A"),
        ("[site.grid]\nfuse_a = 63\nfailsafe_a = 10\n", "there is no site meter that could be lost"),
        (METER + "[site.grid]\nfuse_a = 10\nfailsafe_a = 16\n", "more than the fuse (fuse_a = 10)"),
        ("[site.grid]\nfuse = 63\n", "fuse"),
        ('[site.grid]\nfuse_a = "63"\n', "fuse_a"),
        (METER, "a site meter without a limit guards nothing"),
    ],
)
def test_mistakes_name_the_key_and_the_remedy(text: str, words: str) -> None:
    assert words in refused(text)


def test_limits_are_live() -> None:
    before = parse_config(HEAD + METER + GRID, "s.toml", check_files=False)
    text = (HEAD + METER + GRID).replace("fuse_a = 63", "fuse_a = 40").replace("fuse_a = 32", "fuse_a = 20")
    grid = station_spec(in_force(before, parse_config(text, "s.toml", check_files=False))).grid
    assert grid is not None and (grid.fuse_ma, grid.fuses[0].fuse_ma) == (40_000, 20_000)


PHASES = """[site.grid]
own_a = [63, 63, 32]
operator_a = [40, 40, 32]
[[site.grid.hours]]
hour = 22
limit_a = [63, 63, 63]
[[site.grid.hours]]
hour = 8
limit_a = [10, 10, 10]
[site.grid.shed]
input = "opto1"
polarity = "active_low"
offset_a = [-10, -10, -10]
limit_a = 16
[[io.input]]
name = "opto1"
line = 4
"""


def test_limits_per_phase_hours_and_shedding_arrive() -> None:
    grid = station_spec(parse_config(HEAD + PHASES, "s.toml", check_files=False)).grid
    assert grid is not None
    assert (grid.own_ma, grid.operator_ma) == ((63_000, 63_000, 32_000), (40_000, 40_000, 32_000))
    assert [(h.hour, h.limit_ma[0]) for h in grid.hours] == [(8, 10_000), (22, 63_000)], "in the order of the day"
    assert grid.shed == ShedSpec(input="opto1", active_high=False, offset_ma=(-10_000,) * 3, limit_ma=16_000)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("own_a = [63, 63, 32]", "own_a = [63, 63]", "write three whole numbers [L1, L2, L3]"),
        ("operator_a = [40, 40, 32]", "operator_a = [64, 40, 32]", "more than the installer's limit (own_a = [63, 63, 32])"),
        ("hour = 22", "hour = 8", "this hour is named twice"),
        ('input = "opto1"', 'input = "opto2"', "there is no such [[io.input]]; known: opto1"),
        ("offset_a = [-10, -10, -10]\nlimit_a = 16", "", "shedding changes nothing; set offset_a or limit_a"),
        ("offset_a = [-10, -10, -10]", "offset_a = [10, -10, -10]", "from -4000 to 0 A"),
    ],
)
def test_wrong_limits_per_phase_are_named(old: str, new: str, words: str) -> None:
    assert old in PHASES
    assert words in refused(PHASES.replace(old, new, 1))


def test_one_hour_alone_and_a_zone_that_does_not_exist() -> None:
    assert "one entry would hold the whole day" in refused("[site.grid]\n[[site.grid.hours]]\nhour = 8\nlimit_a = [10, 10, 10]\n")
    with pytest.raises(ConfigError, match="no such time zone here"):
        parse_config(HEAD.replace('id = "X"', 'id = "X"\ntimezone = "Mars/Base"', 1), "s.toml", check_files=False)
