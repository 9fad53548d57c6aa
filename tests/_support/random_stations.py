"""Stations for random days: the demo's, a ring with one reader for all, a chain with groups that nobody calls home."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from evse.config.load import parse_config
from evse.config.model import StationConfig
from evse.lab.demo_config import demo_text
from tests._support.lab_world import demo_config

_HEAD = """[station]
id = "RANDOM-1"
vendor = "Example"
model = "DC"
serial_number = "RANDOM01"
data_dir = "{folder}/data"
[site]
limit_w = 120000
[site.meter]
profile = "eastron/sdm630"
port = "{folder}/dev/meters"
address = 1
poll_ms = 500
[ocpp]
enabled = true
url = "ws://127.0.0.1:9000/ocpp"
sample_interval_s = 5
[api]
socket = "{folder}/evsed.sock"
[modules]
interface = "udp_multicast"
channel = "239.0.0.1"
topology = "{topology}"
"""
_GROUP = """[[modules.groups]]
id = {id}
addresses = [{a}, {b}]
"""
_EVSE = """[[evse]]
id = {id}
home_group = {group}
current_max_a = 250
power_max_w = 120000
free_charging = {free}
board.port = "{folder}/dev/board{id}"
[evse.meter]
profile = "acrel/djsf1352-rn"
port = "{folder}/dev/dc-meters"
address = {address}
poll_ms = 500
"""
_READER = """[[reader]]
name = "reader{first}"
port = "{folder}/dev/reader{first}"
evses = {evses}
"""


def _station(
    folder: Path, topology: str, groups: int, homes: tuple[int, ...], readers: tuple[tuple[int, ...], ...], free: int
) -> StationConfig:
    (folder / "data").mkdir(exist_ok=True)
    text = _HEAD.format(folder=folder, topology=topology)
    for n in range(groups):
        text += _GROUP.format(id=n + 1, a=2 * n, b=2 * n + 1)
    for n, group in enumerate(homes, 1):
        text += _EVSE.format(folder=folder, id=n, group=group, address=10 + n, free="true" if n == free else "false")
    for evses in readers:
        text += _READER.format(folder=folder, first=evses[0], evses=list(evses))
    return parse_config(text, "random.toml")


def ring(folder: Path) -> StationConfig:
    """Three connectors on a ring of three groups, one reader for all, one connector that charges for free."""
    return _station(folder, "ring", 3, (1, 2, 3), ((1, 2, 3),), 3)


def chain(folder: Path) -> StationConfig:
    """Two connectors at the ends of a chain of four groups."""
    return _station(folder, "chain", 4, (1, 3), ((1,), (2,)), 0)


def matrix(folder: Path) -> StationConfig:
    """The demo's matrix cabinet: four connectors, six groups, any group to any connector."""
    (folder / "data").mkdir(exist_ok=True)
    return parse_config(demo_text("dc-matrix", str(folder), "239.0.0.1", 9000, lambda: 1502), "matrix.toml")


STATIONS: tuple[Callable[[Path], StationConfig], ...] = (demo_config, ring, demo_config, chain)

__all__ = ["STATIONS", "chain", "matrix", "ring"]
