"""Commands that become another program: daemon, simulator, demo, screens."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from evsectl.diagnostics import usage
from evsectl.options import Globals, Output

app = typer.Typer(add_completion=False, rich_markup_mode=None)
sim_app = typer.Typer(
    add_completion=False, rich_markup_mode=None, no_args_is_help=True, help="Simulated station below the wire."
)
app.add_typer(sim_app, name="sim")
plan_app = typer.Typer(
    add_completion=False, rich_markup_mode=None, no_args_is_help=True, help="Solve planner problems without a station."
)
app.add_typer(plan_app, name="plan")

Config = Annotated[Path, typer.Option("--config", "-c", help="station.toml")]


def become(module: str, *arguments: str) -> NoReturn:
    """Replace this process by ``python -m module``: signals and exit code are then the program's own."""
    sys.stdout.flush()
    os.execv(sys.executable, [sys.executable, "-m", module, *arguments])


@app.command()
def run(
    config: Config = Path("station.toml"),
    socket: Annotated[str, typer.Option("--socket", help="Socket of the API")] = "",
) -> int:
    """Run the daemon in the foreground."""
    become("evse.runtime", "--config", str(config), *(["--socket", socket] if socket else []))


@app.command()
def demo(
    headless: Annotated[
        bool, typer.Option("--headless", help="No screens: a live text report, then the result")
    ] = False,
    scenario: Annotated[str, typer.Option("--scenario", help="quick, site-limit, faults or offline")] = "quick",
    output: Output = "table",
    admin: Annotated[bool, typer.Option("--admin", help="Show the service console instead of the kiosk")] = False,
) -> int:
    """Watch a simulated two-connector DC station work: no hardware, no root, no network."""
    arguments = ["--scenario", scenario, "-o", output]
    if headless or not sys.stdout.isatty():
        arguments.append("--headless")
    if admin:
        arguments.append("--admin")
    become("evse.lab.demo", *arguments)


@sim_app.command("run")
def sim_run(
    config: Config = Path("station.toml"),
    control: Annotated[str, typer.Option("--control", help="Unix socket for JSON-line commands")] = "",
    scenario: Annotated[str, typer.Option("--scenario", help="Scenario file or name")] = "",
    seed: Annotated[int, typer.Option("--seed", help="Seed of all randomness")] = 1,
    fast: Annotated[bool, typer.Option("--fast", help="Vehicles that hurry through the message sequence")] = False,
) -> int:
    """Simulate the station that a configuration describes: boards, modules, meters, readers, cars, back end."""
    arguments = ["--config", str(config), "--seed", str(seed)]
    arguments += ["--control", control] if control else []
    arguments += ["--scenario", scenario] if scenario else []
    become("evse.sim", *arguments, *(["--fast"] if fast else []))


@sim_app.command("faults")
def sim_faults(output: Output = "table") -> int:
    """List the faults that the simulator can raise."""
    if output not in ("table", "json"):
        usage(f"sim faults cannot write {output!r}", "use table or json")
    become("evse.sim", "--list-faults", "-o", output)


@sim_app.command("sessions")
def sim_sessions(
    file: Annotated[
        Path, typer.Argument(help="Measured sessions, CSV in the columns of profiles/sessions/dc-sessions.csv")
    ],
    first: Annotated[
        str, typer.Option("--from", help="First day, YYYY-MM-DD; without it the busiest day of the file")
    ] = "",
    last: Annotated[str, typer.Option("--to", help="Last day; without it the first one")] = "",
    output: Output = "table",
    config: Annotated[
        str, typer.Option("--config", "-c", help="Station profile or station.toml")
    ] = "measured/desl-172k5",
    limit: Annotated[int, typer.Option("--limit", help="At most this many sessions, 0 = all")] = 0,
) -> int:
    """Run the whole station through measured sessions, as fast as it goes, and compare."""
    arguments = [str(file), "--config", config, "-o", output]
    arguments += ["--from", first] if first else []
    arguments += ["--to", last] if last else []
    become("evse.lab.sessions", *arguments, *(["--limit", str(limit)] if limit else []))


@plan_app.command("solve")
def plan_solve() -> int:
    """Read a planner problem (JSON) from stdin and print the allocation."""
    become("evse.planner")


def _screen(module: str, lang: str, profile: str, baud: int, extra: list[str]) -> NoReturn:
    arguments = [*extra]
    host = Globals.host or os.environ.get("EVSECTL_HOST", "")
    arguments += ["--socket", host.removeprefix("unix://")] if host else []
    arguments += ["--lang", lang] if lang else []
    arguments += ["--profile", profile] if profile else []
    become(module, *arguments, *(["--baud", str(baud)] if baud else []))


Profile = Annotated[str, typer.Option("--profile", help="Glyphs of the terminal: utf8, cp437 or ascii")]
Baud = Annotated[int, typer.Option("--baud", help="Speed of the line, when the terminal cannot tell")]


@app.command()
def kiosk(
    lang: Annotated[str, typer.Option("--lang", help="en, de or fr")] = "", profile: Profile = "", baud: Baud = 0
) -> int:
    """Show the driver's screen."""
    _screen("tui.kiosk", lang, profile, baud, [])


@app.command()
def admin(
    readonly: Annotated[bool, typer.Option("--readonly", help="Look, do not touch")] = False,
    mono: Annotated[bool, typer.Option("--mono", help="No colours")] = False,
    profile: Profile = "",
    baud: Baud = 0,
) -> int:
    """Show the service console."""
    _screen("tui.admin", "", profile, baud, [*(["--readonly"] if readonly else []), *(["--mono"] if mono else [])])
