"""What must fit together across tables: ports, numbers of EVSEs and groups, meters, limits, the back end.  The checks
look at the merged document, not at the finished configuration, so that they speak up together with spelling mistakes
elsewhere; a value of the wrong type is somebody else's message and is skipped here."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator
from pathlib import Path as FilePath
from typing import Any
from urllib.parse import urlsplit

from evse.config.check_ac import check_ac
from evse.config.check_access import check_access
from evse.config.check_firmware import check_firmware
from evse.config.check_io import check_io, recloser_bus
from evse.config.check_ocpp import check_ocpp_link, check_ocpp_security
from evse.config.check_rules import check_leds, check_rules
from evse.config.check_site import check_grid, check_timezone, io_inputs
from evse.config.meter_profiles import list_profiles, load_profile
from evse.config.options import Table, tree
from evse.config.profiles import nearest
from evse.config.source import Problems, Source, key_text
from evse.config.toml_lines import Path
from evse.domain.base import ConfigError
from evse.domain.meter_profile import BusDefaults

MODULE_ADDRESS_MAX = 60
"""Infypower: single modules have the addresses 0..60 (reference: power-modules)."""

MATRIX_GROUPS_MAX = 32
"""One bit each in the board link (`evse.protocols.board_link_matrix.GROUPS_MAX`)."""


class _View:
    """Typed reading of a document that may be wrong anywhere: default where the type does not fit."""

    def __init__(self, source: Source) -> None:
        self.data = source.data

    def table(self, *path: str) -> dict[str, Any] | None:
        value: Any = self.data
        for part in path:
            value = value.get(part) if isinstance(value, dict) else None
        return value if isinstance(value, dict) else None

    def rows(self, *path: str) -> list[tuple[Path, dict[str, Any]]]:
        parent = self.table(*path[:-1])
        value = parent.get(path[-1]) if parent is not None else None
        return (
            [((*path, i), row) for i, row in enumerate(value) if isinstance(row, dict)]
            if isinstance(value, list)
            else []
        )


def number(row: dict[str, Any] | None, table: Table, key: str) -> int | None:
    """A whole number of ``row``, its declared default when absent, None when it is of another type."""
    value = table.options[key].default if row is None or key not in row else row[key]
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def text(row: dict[str, Any] | None, key: str) -> str:
    """A text of ``row``; "" when absent or of another type."""
    value = row.get(key) if row is not None else None
    return value if isinstance(value, str) else ""


def check_all(source: Source, problems: Problems, *, files: bool = True) -> None:
    """Note every mistake across tables. ``files`` False leaves out what depends on this machine's disk."""
    view = _View(source)
    _evses(view, problems)
    _modules(view, problems)
    _readers(view, problems)
    _ports(view, problems)
    _site(view, problems)
    check_grid(view.table("site"), _evse_ids(view), io_inputs(view.table("io")), problems)
    check_timezone(view.table("station"), problems)
    check_io(view.table("io"), _evse_ids(view), problems)
    check_access(view.table("access"), problems)
    check_rules(source.data.get("rule"), view.rows("evse"), problems)
    check_leds(source.data.get("led"), view.rows("evse"), problems)
    _ocpp(view, problems)
    check_ocpp_link(view.table("ocpp"), problems)
    check_ocpp_security(view.table("ocpp"), problems, files=files)
    check_firmware(view.table("firmware"), problems, files=files)
    if files:
        _directories(view, problems)


def _evse_ids(view: _View) -> set[int]:
    """Numbers of the EVSEs; what is no number is named elsewhere."""
    return {row["id"] for _, row in view.rows("evse") if isinstance(row.get("id"), int)}


def _first_twice(rows: list[tuple[Path, dict[str, Any]]], key: str, what: str, problems: Problems) -> dict[Any, Path]:
    """Note values of ``key`` that are used twice; return where each stands first."""
    first: dict[Any, Path] = {}
    for path, row in rows:
        value = row.get(key)
        if isinstance(value, bool) or not isinstance(value, int | str):
            continue
        if value in first:
            line = problems.line((*first[value], key), path)
            problems.add((*path, key), f"{what} is used twice, first in {line}; give each its own", value)
        else:
            first[value] = path
    return first


def _evses(view: _View, problems: Problems) -> None:
    table = tree().tables["evse"]
    rows = view.rows("evse")
    ids = _first_twice(rows, "id", "this EVSE number", problems)
    numbers = sorted(i for i in ids if isinstance(i, int))
    for position, n in enumerate(numbers, 1):
        if n != position and 1 <= n <= 48:
            problems.add((*ids[n], "id"), f"EVSE numbers must run from 1 without a gap; use id = {position}", n)
            break
    for path, row in rows:
        check_ac(path, row, problems)
        start, end = number(row, table, "derate_start_c"), number(row, table, "derate_end_c")
        if start is not None and end is not None and start >= end:
            key = "derate_start_c" if "derate_start_c" in row else "derate_end_c"
            problems.add((*path, key), f"derating from {start} °C to {end} °C: start must be below end", row.get(key))
        least = number(view.table("site"), tree().tables["site"], "min_power_w")
        most = number(row, table, "power_max_w")
        if least is not None and most is not None and most < least and row.get("kind") != "ac":
            problems.add(
                (*path, "power_max_w"),
                f"below site.min_power_w = {least}: this EVSE could never charge; raise it",
                most,
            )


def _modules(view: _View, problems: Problems) -> None:
    modules = view.table("modules")
    groups = view.rows("modules", "groups")
    if modules is not None and not groups and not isinstance(modules.get("groups"), str | int):
        problems.add(
            ("modules", "groups"),
            "the cabinet has no module group; add [[modules.groups]] with id and addresses",
            show=False,
        )
    ids = _first_twice(groups, "id", "this group number", problems)
    order = [row["id"] for _, row in groups if isinstance(row.get("id"), int)]
    if order != sorted(order):
        at = next(i for i in range(1, len(order)) if order[i] < order[i - 1])
        problems.add(
            (*ids[order[at]], "id"), "groups must be written in bus order with rising numbers; sort them", order[at]
        )
    seen: dict[int, Path] = {}
    for path, row in groups:
        addresses = row.get("addresses")
        for address in addresses if isinstance(addresses, list) else []:
            if not isinstance(address, int) or isinstance(address, bool):
                continue
            if not 0 <= address <= MODULE_ADDRESS_MAX:
                problems.add(
                    (*path, "addresses"),
                    f"module address {address} is outside 0..{MODULE_ADDRESS_MAX}; correct it",
                    addresses,
                )
            elif address in seen and seen[address] != path:
                other = key_text(problems.source.data, seen[address])
                problems.add(
                    (*path, "addresses"),
                    f"module address {address} is in {other} already; a module has one group",
                    addresses,
                )
            seen.setdefault(address, path)
    _homes(view, problems, ids)
    _matrix(view, problems, len(ids))


def _matrix(view: _View, problems: Problems, groups: int) -> None:
    """A matrix needs a contact for each pair: what the board link can name, and a group for each connector that charges."""
    modules = view.table("modules")
    if modules is None or modules.get("topology") != "matrix":
        return
    path: Path = ("modules", "topology")
    dc = sum(row.get("kind", "dc") != "ac" for _, row in view.rows("evse"))
    if groups > MATRIX_GROUPS_MAX:
        problems.add(path, f"{groups} groups; the contacts of a matrix reach {MATRIX_GROUPS_MAX} (docs/board-link.md); make fewer")
    elif 0 < groups < dc:
        problems.add(path, f"{groups} groups for {dc} DC EVSEs; in a matrix each EVSE that charges keeps one; make more groups")


def _homes(view: _View, problems: Problems, ids: dict[Any, Path]) -> None:
    modules = view.table("modules")
    table = tree().tables["evse"]
    homes: dict[int, Path] = {}
    for path, row in view.rows("evse"):
        home = number(row, table, "home_group")
        if home is None or row.get("kind") == "ac":
            continue
        if home == 0:
            if modules is not None and ids and modules.get("topology", "chain") in ("chain", "ring"):
                problems.add(
                    (*path, "home_group"),
                    "is missing: on a bus an EVSE without its own group never charges; name one",
                    show=False,
                )
        elif home not in ids:
            known = ", ".join(str(i) for i in ids) or "none"
            problems.add((*path, "home_group"), f"there is no module group {home}; groups in [modules]: {known}", home)
        elif home in homes:
            other = key_text(problems.source.data, homes[home])
            problems.add(
                (*path, "home_group"), f"group {home} is the home of {other} already; each EVSE needs its own", home
            )
        homes.setdefault(home, path)


def _readers(view: _View, problems: Problems) -> None:
    rows = view.rows("reader")
    _first_twice(rows, "name", "this reader name", problems)
    known = _evse_ids(view)
    for path, row in rows:
        evses = row.get("evses", [1])
        for evse in evses if isinstance(evses, list) else []:
            if isinstance(evse, int) and known and evse not in known:
                have = ", ".join(str(i) for i in sorted(i for i in known if isinstance(i, int)))
                problems.add((*path, "evses"), f"there is no EVSE {evse}; EVSEs: {have}", evses)


_BusRow = tuple[Path, dict[str, Any], BusDefaults | None]
"""A device on a Modbus line: where it stands, its table, and how its model leaves the factory if that is known."""


def _bus_rows(view: _View, problems: Problems) -> Iterator[_BusRow]:
    """Meters and reclosers."""
    site = view.table("site", "meter")
    if site is not None:
        yield ("site", "meter"), site, _meter_bus(("site", "meter"), site, problems)
    for path, row in view.rows("evse"):
        if isinstance(row.get("meter"), dict):
            yield (*path, "meter"), row["meter"], _meter_bus((*path, "meter"), row["meter"], problems)
        if isinstance(row.get("recloser"), dict):
            yield (*path, "recloser"), row["recloser"], recloser_bus((*path, "recloser"), row["recloser"], problems)


def _ports(view: _View, problems: Problems) -> None:
    """One owner per serial port; a meter bus may have many meters with equal line settings and their own addresses."""
    data = problems.source.data
    owners: dict[str, Path] = {}
    exclusive = [
        ((*path, "board"), row["board"]) for path, row in view.rows("evse") if isinstance(row.get("board"), dict)
    ]
    exclusive += view.rows("reader")
    for path, row in exclusive:
        port = _port(text(row, "port"))
        if port in owners:
            line = problems.line((*owners[port], "port"), path)
            other = key_text(data, owners[port])
            problems.add(
                (*path, "port"),
                f"port is used twice, {other} has it in {line}; give this device its own port",
                row["port"],
            )
        elif port:
            owners[port] = path
    buses: dict[str, list[_BusRow]] = {}
    for path, row, defaults in _bus_rows(view, problems):
        port = _port(text(row, "port"))
        if not port:
            continue
        if port.startswith("tcp:"):
            _tcp(path, row, problems)
        elif port in owners:
            line = problems.line((*owners[port], "port"), path)
            other = key_text(data, owners[port])
            problems.add(
                (*path, "port"),
                f"port is used twice, {other} has it in {line}; only meters and reclosers may share a port",
                row["port"],
            )
            continue
        buses.setdefault(port, []).append((path, row, defaults))
    for members in buses.values():
        _bus(members, problems)


def _port(name: str) -> str:
    """One spelling per port: ``/dev//ttyUSB0`` and ``/dev/ttyUSB0`` are one."""
    return posixpath.normpath(name) if name.startswith("/") else name


def _tcp(path: Path, row: dict[str, Any], problems: Problems) -> None:
    try:
        parts = urlsplit(row["port"])
        good = parts.scheme == "tcp" and bool(parts.hostname) and parts.port is not None and not parts.path
    except ValueError:
        good = False
    if not good:
        problems.add((*path, "port"), "must be tcp://host:port; for example tcp://192.168.1.20:502", row["port"])


def _meter_bus(path: Path, row: dict[str, Any], problems: Problems) -> BusDefaults | None:
    name = row.get("profile")
    if not isinstance(name, str) or not name:
        return None
    known = list_profiles()
    if name not in known:
        problems.add((*path, "profile"), f"no such file profiles/meters/{name}.toml; {nearest(name, known)}", name)
        return None
    try:
        profile = load_profile(name)
        if row.get("signed") == "require" and profile.signing is None:
            text = f"{name} does not sign its readings (no [signing] in its profile); take another meter, or \"prefer\" or \"off\""
            problems.add((*path, "signed"), text, "require")
        return profile.bus
    except ConfigError as error:
        problems.add((*path, "profile"), f"the meter profile cannot be used: {error.problems[0]}", name)
        return None


def _bus(members: list[_BusRow], problems: Problems) -> None:
    """Addresses differ, line settings are equal."""
    data = problems.source.data
    table = tree().tables["site"].tables["meter"]
    first_path, first, first_bus = members[0]
    addresses: dict[int, Path] = {}
    serial = not text(first, "port").startswith("tcp:")
    for path, row, bus in members:
        address = number(row, table, "address")
        if path[-1] == "recloser" and "address" not in row:
            address = None if bus is None else bus.unit
        if address is not None and address in addresses:
            other = key_text(data, addresses[address])
            key: Path = (*path, "address") if "address" in row else (*path, "port")
            problems.add(
                key,
                f"Modbus unit {address} on {row['port']} is used twice, {other} has it; give each device its "
                "own address",
                row.get(str(key[-1])),
            )
        elif address is not None:
            addresses[address] = path
        for setting in ("baud", "parity", "echo") if serial else ():
            mine, theirs = _line_setting(row, bus, setting), _line_setting(first, first_bus, setting)
            if mine is not None and theirs is not None and mine != theirs:
                other = key_text(data, first_path)
                problems.add(
                    (*path, setting),
                    f"{mine} differs from {other} on the same bus ({theirs}); one bus has one setting",
                    show=False,
                )


def _line_setting(row: dict[str, Any], bus: BusDefaults | None, setting: str) -> object:
    if setting in row:
        return row[setting]
    if setting == "echo":
        return False
    return None if bus is None else getattr(bus, setting)


def _site(view: _View, problems: Problems) -> None:
    site, table = view.table("site"), tree().tables["site"]
    limit, static = number(site, table, "limit_w"), number(site, table, "ocpp_limit_w")
    least, efficiency = number(site, table, "min_power_w"), number(site, table, "efficiency_permille")
    meant = site is not None and any(str(key).startswith("limit") for key in site)  # misspelt: told elsewhere
    meant = meant or (site is not None and "grid" in site)
    if site is not None and isinstance(site.get("meter"), dict) and limit == 0 and static == 0 and not meant:
        problems.add(
            ("site", "meter"),
            "a site meter without a limit guards nothing; set site.limit_w, or site.grid for AC EVSEs, or remove this table",
            show=False,
        )
    for key, value in (
        ("limit_w", limit),
        ("ocpp_limit_w", static),
        ("group_power_w", number(site, table, "group_power_w")),
    ):
        if value is None or value <= 0 or least is None or efficiency is None:
            continue
        usable = value if key == "group_power_w" else value * efficiency // 1000
        if usable < least:
            problems.add(
                ("site", key),
                f"leaves {usable} W, site.min_power_w = {least}: nobody could charge; raise it or use 0 for no cap",
                value,
            )


def _ocpp(view: _View, problems: Problems) -> None:
    ocpp = view.table("ocpp")
    if ocpp is None:
        return
    url = text(ocpp, "url")
    if ocpp.get("enabled") is True and not url and isinstance(ocpp.get("url", ""), str):
        problems.add(
            ("ocpp", "url"),
            'is missing while ocpp.enabled = true; add url = "wss://host/path" or disable the back end',
            show=False,
        )
    if not url:
        return
    try:
        parts = urlsplit(url)
        scheme, host = parts.scheme.lower(), parts.hostname
        _ = parts.port
    except ValueError:
        problems.add(("ocpp", "url"), "is not a URL; write wss://host/path", url)
        return
    if scheme not in ("ws", "wss"):
        use = {"http": "ws", "https": "wss"}.get(scheme, "wss")
        problems.add(("ocpp", "url"), f'scheme "{scheme}" is not a WebSocket; use {use}://{host or "host/path"}', url)
    elif not host:
        problems.add(("ocpp", "url"), "names no host; write wss://host/path", url)
    elif parts.username or parts.password:
        problems.add(
            ("ocpp", "url"), "holds a user name or password; the URL must not carry credentials, remove them", url
        )


def _directories(view: _View, problems: Problems) -> None:
    for section, key in (("station", "data_dir"), ("api", "socket")):
        value = text(view.table(section), key)
        if not value:
            continue
        parent = FilePath(value).parent
        if not value.startswith("/"):
            problems.add((section, key), "must be an absolute path; begin it with /", value)
        elif not parent.is_dir():
            problems.add((section, key), f"there is no directory {parent}; create it or correct the path", value)
