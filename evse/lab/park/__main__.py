"""``evsectl plan site``: a day of a site under the planner and under what others do, compared.

Exit 0 = every limit was kept by the planner, 1 = not, 9 = a file is not valid.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from msgspec.structs import replace

from evse.config.load import load_config, parse_config
from evse.config.profiles import list_stations
from evse.domain.base import ConfigError
from evse.lab.park import ac, dc
from evse.lab.park.beside import Beside, DcPoint
from evse.lab.park.policies import AC_POLICIES, FIRST_COME, OWN_GROUPS, PHASE_BLIND, PLANNER
from evse.lab.park.result import NO_SWITCHING, DayResult, Report, document, table
from evse.lab.park.sites import MixedSite, Site, site_from_config
from evse.lab.park.visits import AC_DAYS, DC_DAYS, AcVisit, DcVisit, made_up_ac, made_up_dc, measured_ac, measured_dc
from evse.planner.ac_document import ac_problem_from
from evse.planner.ac_problem import AcProblem
from evse.planner.document import DOCUMENT_BYTES_MAX, decode, problem_from
from evse.planner.problem import DcProblem
from evse.planner.reader import short

V = TypeVar("V", AcVisit, DcVisit)

EXIT_BROKEN, EXIT_INVALID = 1, 9
CARS_PER_CONNECTOR = {"work": 1.2, "home": 1.0, "city": 3.0, "motorway": 8.0}
CARS_MAX = 20_000
MIXED_POLICIES = {PLANNER: PLANNER, FIRST_COME: FIRST_COME, PHASE_BLIND: OWN_GROUPS}
"""How a site with both kinds is shared: its AC points, its DC connectors."""

PROFILE_ONLY = 'profile = "{name}"\n[station]\nid = "{name}"\n'


def load_site(path: Path) -> Site:
    """A problem document (JSON), a station.toml, or the name of a station profile. Raises `ConfigError`."""
    if path.suffix == ".toml":
        return site_from_config(load_config(path))
    if path.as_posix() in list_stations():
        return site_from_config(parse_config(PROFILE_ONLY.format(name=path.as_posix()), path.as_posix(), check_files=False))
    try:
        with path.open("rb") as file:
            text = file.read(DOCUMENT_BYTES_MAX + 1)
    except OSError as error:
        known = "give a problem document (JSON), a station.toml or the name of a station profile"
        raise ConfigError([f"{path}: {error.strerror or error}; {known}"]) from error
    raw = decode(text)
    kind = raw.get("kind", "dc") if isinstance(raw, dict) else "dc"
    if kind == "ac":
        return ac_problem_from(raw)
    if kind != "dc":
        raise ConfigError([f'{path}: kind = {short(kind)}: must be "ac" or "dc"'])
    return problem_from(raw)


def simulate(site: Site, options: argparse.Namespace) -> Report:
    """All policies on the same visits. Raises `ConfigError`."""
    began = time.monotonic()
    if isinstance(site, AcProblem):
        kind, name, count, results = "ac", *_ac_days(site, options)
    elif isinstance(site, DcProblem):
        kind, name, count, results = "dc", *_dc_days(site, options)
    else:
        kind, name, count, results = "mixed", *_mixed_days(site, options)
    first = site.ac if isinstance(site, MixedSite) else site
    return Report(
        kind=kind,
        site=first.name or options.file.name,
        day=name,
        seed=None if options.sessions else options.seed,
        connectors=count,
        results=tuple(results),
        wall_seconds=round(time.monotonic() - began, 1),
    )


Days = tuple[str, int, list[DayResult]]
"""Name of the day, number of connectors, results."""


def _day(options: argparse.Namespace, days: Sequence[str]) -> str:
    day: str = options.day or days[0]
    if not options.sessions and day not in days:
        raise ConfigError([f"--day {day}: this site knows {', '.join(days)}"])
    return day


def _count(connectors: int, day: str) -> int:
    return max(1, round(connectors * CARS_PER_CONNECTOR[day]))


def _visits(
    options: argparse.Namespace, day: str, connectors: int, measured: Callable[[Path, str, float], tuple[str, list[V]]],
    site: float, made_up: Callable[[str, int, int], list[V]],
) -> tuple[str, list[V]]:  # fmt: skip
    """Name of the day, and who comes: measured sessions (with what ``site`` says of the units), or vehicles made up."""
    if options.sessions:
        date, cars = measured(options.sessions, options.date, site)
        return f"{date}, {len(cars)} measured sessions", cars
    cars = made_up(day, options.cars or _count(connectors, day), options.seed)
    return f"{day}, {len(cars)} vehicles made up", cars


def _ac_days(site: AcProblem, options: argparse.Namespace) -> Days:
    day = _day(options, AC_DAYS)
    name, cars = _visits(options, day, len(site.connectors), measured_ac, site.voltage_mv / 1000, made_up_ac)
    base = [ac.alone_wh(site, visit) for visit in cars]
    results = [ac.run_day(site, cars, policy, seed=options.seed, alone=base) for policy in AC_POLICIES]
    if any(c.switch_s for c in site.connectors):
        none = ac.run_day(site, cars, PLANNER, seed=options.seed, alone=base, switching=False)
        results.insert(1, replace(none, policy=NO_SWITCHING))
    return name, len(site.connectors), results


def _dc_days(site: DcProblem, options: argparse.Namespace) -> Days:
    day = _day(options, DC_DAYS)
    name, cars = _visits(options, day, len(site.connectors), measured_dc, site.efficiency_ppm / 1_000_000, made_up_dc)
    base = [dc.alone_wh(site, visit) for visit in cars]
    return name, len(site.connectors), [dc.run_day(site, cars, policy, alone=base) for policy in dc.DC_POLICIES]


def _mixed_days(site: MixedSite, options: argparse.Namespace) -> Days:
    """AC points at work, at home or in the city; the DC connectors beside them in the city or at a motorway."""
    if options.sessions:
        raise ConfigError(["--sessions: a site with AC points and DC connectors takes made-up vehicles only; leave it away"])
    day = _day(options, (*AC_DAYS, *(d for d in DC_DAYS if d not in AC_DAYS)))
    of_ac, of_dc = day if day in AC_DAYS else AC_DAYS[-1], day if day in DC_DAYS else DC_DAYS[-1]
    usual = _count(len(site.ac.connectors), of_ac), _count(len(site.dc.connectors), of_dc)
    slow, fast = usual
    if options.cars:
        fast = min(options.cars, round(options.cars * usual[1] / sum(usual)))
        slow = options.cars - fast
    visits, quick = made_up_ac(of_ac, slow, options.seed), made_up_dc(of_dc, fast, options.seed)
    base = [ac.alone_wh(site.ac, visit) for visit in visits], [dc.alone_wh(site.dc, visit) for visit in quick]
    rows = (DcPoint(name, node).row(0) for name, node in site.nodes.items())
    joined = replace(site.ac, connectors=(*site.ac.connectors, *rows))
    results = []
    for policy, of_hub in MIXED_POLICIES.items():
        beside = Beside(site.dc, quick, of_hub, site.nodes, site.ac.voltage_mv)
        both = ac.run_beside(joined, visits, policy, beside, seed=options.seed, alone=base[0]), dc.summed(beside.hub, of_hub, base[1])
        results += [replace(both[0], policy=f"{policy} AC"), replace(both[1], policy=f"{of_hub} DC")]
    name = f"{of_ac}, {slow} vehicles made up at AC points; {of_dc}, {fast} at DC connectors"
    return name, len(joined.connectors), results


def main(argv: list[str] | None = None) -> int:
    """Read the site, simulate, print."""
    parser = argparse.ArgumentParser(prog="plan site", description="A day of a site, before it is built")
    parser.add_argument("file", type=Path)
    parser.add_argument("--day", default="")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--cars", type=int, default=0)
    parser.add_argument("--sessions", type=Path)
    parser.add_argument("--date", default="")
    parser.add_argument("-o", "--output", choices=("table", "json"), default="table")
    options = parser.parse_args(argv)
    try:
        if not 0 <= options.cars <= CARS_MAX:
            raise ConfigError([f"--cars {options.cars}: 1 to {CARS_MAX}"])
        site = load_site(options.file)
        report = simulate(site, options)
    except ConfigError as error:
        for line in error.problems:
            sys.stderr.write(f"problem: {line}\n")
        return EXIT_INVALID
    if options.output == "json":
        sys.stdout.write(json.dumps(document(report)) + "\n")
    else:
        plain = (sys.stdout.encoding or "").lower().replace("-", "") != "utf8"
        sys.stdout.write(table(report, ascii_only=plain))
    return EXIT_BROKEN if any(r.broken for r in report.results if r.policy.startswith(PLANNER)) else 0


if __name__ == "__main__":
    sys.exit(main())
