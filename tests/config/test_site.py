"""``[site.grid]`` and ``[[site.fuse]]``: what is read, and what is refused with which words."""

from __future__ import annotations

import pytest

from evse.config.live import in_force
from evse.config.load import parse_config
from evse.config.spec import station_spec
from evse.domain.base import ConfigError
from evse.domain.station import FuseSpec, GridSpec

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
