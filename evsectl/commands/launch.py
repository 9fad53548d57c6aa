"""Commands that become another program: daemon, simulator, demo, screens."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from evsectl.diagnostics import nearest, usage
from evsectl.options import Host, session

app = typer.Typer(add_completion=False, rich_markup_mode=None)
sim_app = typer.Typer(
    add_completion=False, rich_markup_mode=None, no_args_is_help=True, help="Simulated station below the wire."
)
app.add_typer(sim_app, name="sim")
plan_app = typer.Typer(
    add_completion=False, rich_markup_mode=None, no_args_is_help=True, help="Solve planner problems without a station."
)
app.add_typer(plan_app, name="plan")

Config = Annotated[Path, typer.Option("--config", "-c", help="station.toml", metavar="FILE")]
Output = Annotated[str, typer.Option("-o", "--output", help="table or json", metavar="FORMAT")]
PROFILES = ("utf8", "cp437", "ascii")
LANGUAGES = ("en", "de", "fr")


def one_of(option: str, value: str, known: tuple[str, ...]) -> str:
    """``value`` if it is known, else a refusal that names the nearest."""
    if value not in known:
        usage(f"{option}: there is no {value!r}", nearest(value, list(known)) or f"one of: {', '.join(known)}")
    return value


def report_format(output: str) -> str:
    """Programs that write a report know two formats."""
    return one_of("--output", output, ("table", "json"))


def become(module: str, *arguments: str) -> NoReturn:
    """Replace this process by ``python -m module``: signals and exit code are then the program's own."""
    sys.stdout.flush()
    os.execv(sys.executable, [sys.executable, "-m", module, *arguments])


@app.command()
def run(
    config: Config = Path("station.toml"),
    socket: Annotated[str, typer.Option("--socket", help="Socket of the API", metavar="PATH")] = "",
) -> int:
    """Run the daemon in the foreground."""
    become("evse.runtime", "--config", str(config), *(["--socket", socket] if socket else []))


@app.command()
def demo(
    headless: Annotated[
        bool, typer.Option("--headless", help="No screens: a live text report, then the result")
    ] = False,
    station: Annotated[
        str,
        typer.Option("--station", help="dc-quick, dc-matrix, ac-quick, or a station profile such as generic/mixed-2dc-2ac", metavar="NAME"),
    ] = "dc-quick",
    scenario: Annotated[
        str, typer.Option("--scenario", help="quick, site-limit, faults, offline, firmware, ac-faults, or a file", metavar="NAME")
    ] = "quick",
    output: Output = "table",
    admin: Annotated[bool, typer.Option("--admin", help="Show the service console instead of the kiosk")] = False,
    csms: Annotated[
        str, typer.Option("--csms", help="Your own back end, with the station's name: ws://127.0.0.1:9000/ocpp/DEMO-1", metavar="URL")
    ] = "",
) -> int:
    """Watch a simulated station work: two DC connectors, or any station of the profiles."""
    arguments = ["--station", station, "--scenario", scenario, "-o", report_format(output)]
    if headless or not sys.stdout.isatty():
        arguments.append("--headless")
    if admin:
        arguments.append("--admin")
    if csms:
        arguments += ["--csms", csms]
    become("evse.lab.demo", *arguments)


@sim_app.command("run")
def sim_run(
    config: Config = Path("station.toml"),
    control: Annotated[str, typer.Option("--control", help="Unix socket for JSON-line commands", metavar="PATH")] = "",
    scenario: Annotated[str, typer.Option("--scenario", help="Scenario file or name", metavar="NAME")] = "",
    seed: Annotated[int, typer.Option("--seed", help="Seed of all randomness", metavar="N")] = 1,
    fast: Annotated[bool, typer.Option("--fast", help="Vehicles that hurry through the message sequence")] = False,
) -> int:
    """Simulate the station that a configuration describes."""
    arguments = ["--config", str(config), "--seed", str(seed)]
    arguments += ["--control", control] if control else []
    arguments += ["--scenario", scenario] if scenario else []
    become("evse.sim", *arguments, *(["--fast"] if fast else []))


@sim_app.command("faults")
def sim_faults(output: Output = "table") -> int:
    """List the faults that the simulator can raise."""
    become("evse.sim", "--list-faults", "-o", report_format(output))


@sim_app.command("sessions")
def sim_sessions(
    file: Annotated[
        Path, typer.Argument(help="CSV in the columns of profiles/sessions/dc-sessions.csv", metavar="FILE")
    ],
    first: Annotated[
        str, typer.Option("--from", help="First day; without it the busiest day of the file", metavar="DATE")
    ] = "",
    last: Annotated[str, typer.Option("--to", help="Last day; without it the first one", metavar="DATE")] = "",
    output: Output = "table",
    config: Annotated[
        str, typer.Option("--config", "-c", help="Station profile or station.toml", metavar="NAME")
    ] = "measured/desl-172k5",
    limit: Annotated[int, typer.Option("--limit", help="At most this many sessions, 0 = all", min=0, metavar="N")] = 0,
) -> int:
    """Run the station through measured sessions, compare."""
    arguments = [str(file), "--config", config, "-o", report_format(output)]
    arguments += ["--from", first] if first else []
    arguments += ["--to", last] if last else []
    become("evse.lab.sessions", *arguments, *(["--limit", str(limit)] if limit else []))


Document = Annotated[str, typer.Argument(help="Problem document (JSON); - = standard input", metavar="[FILE]")]


@plan_app.command("solve")
def plan_solve(
    file: Document = "-",
    explain: Annotated[
        bool, typer.Option("--explain", help="Say why each connector gets what it gets, and what would give it more")
    ] = False,
    connector: Annotated[
        list[str] | None, typer.Option("--connector", help="Only this one; may be given again", metavar="ID")
    ] = None,
    output: Output = "table",
) -> int:
    """Solve a planner problem; prints its allocation (JSON)."""
    report_format(output)
    if not explain and connector:
        usage("--connector goes with --explain", "evsectl plan solve --explain --connector ID < problem.json")
    arguments = ["solve", file, *(["--explain"] if explain else [])]
    for name in connector or ():
        arguments += ["--connector", name]
    become("evse.planner", *arguments, "-o", output)


@plan_app.command("check")
def plan_check(
    problem: Annotated[str, typer.Argument(help="Problem document (JSON); - = standard input", metavar="PROBLEM")],
    allocation: Annotated[str, typer.Argument(help="Allocation to judge (JSON); - = standard input", metavar="ALLOCATION")],
    output: Output = "table",
) -> int:
    """Judge an allocation of a planner problem."""
    report_format(output)
    if problem == allocation == "-":
        usage("only one of the two can come from standard input", "evsectl plan check problem.json - < allocation.json")
    become("evse.planner", "check", problem, allocation, "-o", output)


@plan_app.command("site")
def plan_site(
    site: Annotated[
        str, typer.Argument(help="Problem document (JSON), station.toml, or a station profile such as generic/ac-12x11", metavar="SITE")
    ],
    day: Annotated[
        str, typer.Option("--day", help="Made-up day: work, home or city; motorway or city for DC", metavar="NAME")
    ] = "",
    seed: Annotated[int, typer.Option("--seed", help="Seed of the made-up vehicles", metavar="N")] = 1,
    cars: Annotated[int, typer.Option("--cars", help="Made-up vehicles; 0 = as many as usual", min=0, metavar="N")] = 0,
    sessions: Annotated[
        str, typer.Option("--sessions", help="Measured sessions (CSV: station,arrival and more, or the DC columns)", metavar="FILE")
    ] = "",
    date: Annotated[
        str, typer.Option("--date", help="Day of the measured sessions; without it the busiest", metavar="DATE")
    ] = "",
    output: Output = "table",
) -> int:
    """Simulate a day of a site under several planners."""
    report_format(output)
    if date and not sessions:
        usage("--date goes with --sessions", "evsectl plan site SITE --sessions sessions.csv --date 2019-08-21")
    arguments = [site, "--seed", str(seed), "--cars", str(cars), "-o", output]
    arguments += ["--day", day] if day else []
    arguments += ["--sessions", sessions] if sessions else []
    become("evse.lab.park", *arguments, *(["--date", date] if date else []))


def _screen(module: str, host: str, lang: str, profile: str, baud: int, extra: list[str]) -> NoReturn:
    if lang:
        one_of("--lang", lang, LANGUAGES)
    if profile:
        one_of("--profile", profile, PROFILES)
    arguments = [*extra]
    where = session(host).host
    arguments += ["--socket", where.removeprefix("unix://")] if where else []
    arguments += ["--lang", lang] if lang else []
    arguments += ["--profile", profile] if profile else []
    become(module, *arguments, *(["--baud", str(baud)] if baud else []))


Profile = Annotated[str, typer.Option("--profile", help="Glyphs of the terminal: utf8, cp437 or ascii", metavar="NAME")]
Baud = Annotated[int, typer.Option("--baud", help="Speed of the line, when the terminal cannot tell", min=0, metavar="N")]


@app.command()
def kiosk(
    lang: Annotated[str, typer.Option("--lang", help="en, de or fr", metavar="LANG")] = "",
    profile: Profile = "",
    baud: Baud = 0,
    host: Host = "",
) -> int:
    """Show the driver's screen."""
    _screen("tui.kiosk", host, lang, profile, baud, [])


@app.command()
def admin(
    readonly: Annotated[bool, typer.Option("--readonly", help="Look, do not touch")] = False,
    mono: Annotated[bool, typer.Option("--mono", help="No colours")] = False,
    profile: Profile = "",
    baud: Baud = 0,
    host: Host = "",
) -> int:
    """Show the service console."""
    _screen("tui.admin", host, "", profile, baud, [*(["--readonly"] if readonly else []), *(["--mono"] if mono else [])])
