"""The demo's stations, with all ports in one directory: the DC one of the template, or any station profile."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import tomlkit

from evse.config.load import parse_config
from evse.config.profiles import list_stations, load_station, nearest
from evse.config.source import Problems, Source
from evse.domain.base import ConfigError
from evse.sim.scenario import shipped
from evse.sim.scenario_needs import Needs, unmet

DEMO_DC = "dc-quick"
"""Name of the template below."""

TEMPLATE = """# Station of the demo: two DC connectors, two module groups that they share, one site limit.
[station]
id = "DEMO-1"
vendor = "Example"
model = "DC 2x120"
serial_number = "DEMO0001"
support_phone = "+49 800 123456"
data_dir = "{folder}/data"

[site]
limit_w = 120000
[site.meter]
profile = "eastron/sdm630"
port = "{folder}/dev/meters"
address = 1
poll_ms = 500

[modules]
interface = "udp_multicast"
channel = "{channel}"
[[modules.groups]]
id = 1
addresses = [0, 1]
[[modules.groups]]
id = 2
addresses = [2, 3]

[[evse]]
id = 1
home_group = 1
current_max_a = 250
power_max_w = 120000
board.port = "{folder}/dev/board1"
[evse.meter]
profile = "acrel/djsf1352-rn"
port = "{folder}/dev/dc-meters"
address = 11
poll_ms = 500

[[evse]]
id = 2
home_group = 2
current_max_a = 250
power_max_w = 120000
board.port = "{folder}/dev/board2"
[evse.meter]
profile = "acrel/djsf1352-rn"
port = "{folder}/dev/dc-meters"
address = 12
poll_ms = 500

[[reader]]
name = "reader1"
port = "{folder}/dev/reader1"
evses = [1]

[[reader]]
name = "reader2"
port = "{folder}/dev/reader2"
evses = [2]

[ocpp]
enabled = true
url = "ws://127.0.0.1:{port}/ocpp"
sample_interval_s = 5

[api]
socket = "{folder}/evsed.sock"
"""


def station_names() -> list[str]:
    """What ``evsectl demo --station`` takes: the demo's own stations by their short names, then every profile."""
    profiles = list_stations()
    own = [name.removeprefix("demo/") for name in profiles if name.startswith("demo/")]
    return [DEMO_DC, *own, *(name for name in profiles if not name.startswith("demo/"))]


def installer_command(folder: str) -> str:
    """Return what installs firmware on a station of the demo: the simulated one, in a process of its own."""
    return shlex.join([sys.executable, "-m", "evse.sim.installer", f"{folder}/firmware"])


def demo_text(name: str, folder: str, channel: str, csms_port: int, tcp_port: Callable[[], int]) -> str:
    """Return ``station.toml`` of the station ``name`` with every port below ``folder`` and on the loopback interface.

    ``tcp_port`` gives a free TCP port for each meter on the network. Raises `ConfigError` for a name that is not known.
    """
    if name == DEMO_DC:
        installer = tomlkit.item(installer_command(folder)).as_string()
        return TEMPLATE.format(folder=folder, channel=channel, port=csms_port) + f"\n[firmware]\ninstaller = {installer}\n"
    if name not in station_names():
        raise ConfigError([f"--station {name}: there is no such station; {nearest(name, station_names())}"])
    problems = Problems(Source({"profile": name}, "--station", {}))
    known = list_stations()
    source = load_station(name if name in known else f"demo/{name}", problems)
    if source is None:
        raise ConfigError(problems.texts())
    data = source.data
    short = name.rpartition("/")[2]
    station = data.setdefault("station", {})
    station.setdefault("id", f"DEMO-{short}"[:48])
    station["data_dir"] = f"{folder}/data"
    moved: dict[str, str] = {}
    for row in _with_port(data):
        row["port"] = _moved(row["port"], folder, moved, tcp_port)
    if "modules" in data:
        data["modules"] |= {"interface": "udp_multicast", "channel": channel}
    data["ocpp"] = {"enabled": True, "url": f"ws://127.0.0.1:{csms_port}/ocpp", "sample_interval_s": 5}
    if "io" in data:
        data["io"]["root"] = f"{folder}/io"
    data["firmware"] = {"installer": installer_command(folder)}
    data["api"] = {"socket": f"{folder}/evsed.sock"}
    return tomlkit.dumps(data)


def scenario_name(station: str, scenario: str) -> str:
    """Return the scenario that ``scenario`` means at ``station``: "quick" is "ac-quick" where there is no DC connector, and
    "ac-single-quick" where there is no second one either.

    A name that is a file or that the kind of station does not have of its own stays as it is.
    """
    text = demo_text(station, "/", "0.0.0.0", 0, lambda: 0)
    evses = tomlkit.parse(text).unwrap().get("evse", [])
    kinds = {str(row.get("kind", "dc")) for row in evses}
    prefixes = ["mixed-"] if len(kinds) > 1 else ["ac-"] if kinds == {"ac"} else [""]
    if len(evses) == 1:
        prefixes.insert(0, prefixes[0] + "single-")
    return next((prefix + scenario for prefix in prefixes if prefix + scenario in shipped()), scenario)


def check_needs(station: str, wanted: str, needs: Needs) -> None:
    """Raise `ConfigError` unless the scenario ``wanted`` can be played on the demo's ``station``; it names the stations that can."""
    missing = _missing(station, needs)
    if missing:
        good = [name for name in station_names() if not _missing(name, needs)]
        use = f"add --station {good[0]}" + (f" (or {', '.join(good[1:])})" if good[1:] else "") if good else "no station has that"
        raise ConfigError([f"--scenario {wanted}: {missing}; {use}"])


def _missing(station: str, needs: Needs) -> str:
    if needs.station and station.removeprefix("demo/") != needs.station:
        return f"plays with the devices of --station {needs.station}, not of {station}"
    if needs == Needs():
        return ""
    config = parse_config(demo_text(station, "/", "0.0.0.0", 0, lambda: 1), station, check_files=False)
    lacks = unmet(needs, config)
    return f"needs {needs.text()}, but on --station {station} {lacks}" if lacks else ""


def _with_port(value: Any) -> list[dict[str, Any]]:
    """Every table that has a port, in the order of the document."""
    if isinstance(value, list):
        return [row for item in value for row in _with_port(item)]
    if not isinstance(value, dict):
        return []
    own = [value] if isinstance(value.get("port"), str) else []
    return own + [row for item in value.values() for row in _with_port(item)]


def _moved(port: str, folder: str, moved: dict[str, str], tcp_port: Callable[[], int]) -> str:
    """The same port for the same name: a bus stays a bus."""
    if port not in moved:
        if urlsplit(port).scheme == "tcp":
            moved[port] = f"tcp://127.0.0.1:{tcp_port()}"
        else:
            stem = port.rpartition("/")[2]
            taken = set(moved.values())
            name = stem
            while f"{folder}/dev/{name}" in taken:
                name += "x"
            moved[port] = f"{folder}/dev/{name}"
    return moved[port]
