"""``evsectl plan site``: a day of a site under the planner and under what others do, compared.

Exit 0 = every limit was kept by the planner, 1 = not, 9 = a file is not valid.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

from msgspec.structs import replace

from evse.config.load import load_config, parse_config
from evse.config.profiles import list_stations
from evse.domain.base import ConfigError
from evse.lab.park import ac, dc
from evse.lab.park.policies import AC_POLICIES, PLANNER
from evse.lab.park.result import NO_SWITCHING, Report, document, table
from evse.lab.park.sites import Site, site_from_config
from evse.lab.park.visits import AC_DAYS, DC_DAYS, made_up_ac, made_up_dc, measured_ac, measured_dc
from evse.planner.ac_document import ac_problem_from
from evse.planner.ac_problem import AcProblem
from evse.planner.document import DOCUMENT_BYTES_MAX, decode, problem_from
from evse.planner.reader import short

EXIT_BROKEN, EXIT_INVALID = 1, 9
CARS_PER_CONNECTOR = {"work": 1.2, "home": 1.0, "city": 3.0, "motorway": 8.0}
CARS_MAX = 20_000
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
    is_ac = isinstance(site, AcProblem)
    days = AC_DAYS if is_ac else DC_DAYS
    day = options.day or days[0]
    if not options.sessions and day not in days:
        raise ConfigError([f"--day {day}: this site knows {', '.join(days)}"])
    count = options.cars or max(1, round(len(site.connectors) * CARS_PER_CONNECTOR[day])) if not options.sessions else 0
    name = f"{day}, {count} vehicles made up"
    if isinstance(site, AcProblem):
        if options.sessions:
            date, cars = measured_ac(options.sessions, options.date, site.voltage_mv / 1000)
            name = f"{date}, {len(cars)} measured sessions"
        else:
            cars = made_up_ac(day, count, options.seed)
        base = [ac.alone_wh(site, visit) for visit in cars]
        results = [ac.run_day(site, cars, policy, seed=options.seed, alone=base) for policy in AC_POLICIES]
        if any(c.switch_s for c in site.connectors):
            none = ac.run_day(site, cars, PLANNER, seed=options.seed, alone=base, switching=False)
            results.insert(1, replace(none, policy=NO_SWITCHING))
    else:
        if options.sessions:
            date, fast = measured_dc(options.sessions, options.date, site.efficiency_ppm / 1_000_000)
            name = f"{date}, {len(fast)} measured sessions"
        else:
            fast = made_up_dc(day, count, options.seed)
        base = [dc.alone_wh(site, visit) for visit in fast]
        results = [dc.run_day(site, fast, policy, alone=base) for policy in dc.DC_POLICIES]
    return Report(
        kind="ac" if is_ac else "dc",
        site=site.name or options.file.name,
        day=name,
        seed=None if options.sessions else options.seed,
        connectors=len(site.connectors),
        results=tuple(results),
        wall_seconds=round(time.monotonic() - began, 1),
    )


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
    return EXIT_BROKEN if report.results[0].broken else 0


if __name__ == "__main__":
    sys.exit(main())
