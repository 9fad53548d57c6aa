"""The command tree. Noun modules are imported when they are named; help of the root comes from a static table."""

from __future__ import annotations

import importlib
import os
import sys
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from evsectl.diagnostics import Abort, nearest
from evsectl.options import Globals

NOUNS: dict[str, str] = {
    "status": "The whole station on one page",
    "watch": "Follow the station or its events",
    "wait": "Wait until a connector is in a state",
    "doctor": "Check devices, back end, storage and clock",
    "connector": "Connectors: list, watch, start, stop, enable, disable, unlock",
    "session": "Charging sessions: list, details, export",
    "fault": "Faults: active ones with remedies, clear, explain, history",
    "planner": "Site limits and power allocation: get, set, recompute, explain",
    "ocpp": "Back-end link: status, messages, configuration keys",
    "config": "Configuration: show, validate, diff, apply",
    "meter": "Meters: list, read, probe",
    "plc": "Boards: detected, configured, matched",
    "rfid": "Card readers and the last card",
    "trace": "Flight recorder: dump, replay",
    "auth": "Sign in and out, service PIN",
    "audit": "Who changed what",
    "run": "Run the daemon",
    "demo": "Watch a simulated station work",
    "sim": "Simulated station: run, faults, measured sessions",
    "plan": "Solve planner problems from a file",
    "kiosk": "The driver's screen",
    "admin": "The service console",
    "version": "Versions of this program and the daemon",
    "openapi": "The API as an OpenAPI document",
    "help": "Topics: exit-codes, output",
}

MODULES: dict[str, str] = {
    "status": "top",
    "watch": "top",
    "wait": "top",
    "doctor": "top",
    "version": "top",
    "openapi": "top",
    "help": "top",
    "run": "launch",
    "demo": "launch",
    "sim": "launch",
    "kiosk": "launch",
    "admin": "launch",
    "plan": "launch",
}


class LazyGroup(TyperGroup):
    """A group whose commands live in modules that are imported when one is named."""

    def list_commands(self, ctx: Any) -> list[str]:
        """All nouns, in the order of the table."""
        return list(NOUNS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Import the module of a noun and return its command."""
        if cmd_name not in NOUNS:
            return None
        module = importlib.import_module(f"evsectl.commands.{MODULES.get(cmd_name, cmd_name)}")
        group = typer.main.get_group(module.app)
        command = group if cmd_name not in MODULES else group.commands[cmd_name]
        command.name = cmd_name
        return command

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """As usual, but an unknown noun names the nearest one."""
        if args and not args[0].startswith("-") and args[0] not in NOUNS:
            raise Abort(
                2,
                f"there is no command {args[0]!r}",
                nearest(args[0], list(NOUNS)) or "see: evsectl --help",
                "bad_request",
            )
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """List the nouns from the static table: no module is imported for help."""
        with formatter.section("Commands"):
            formatter.write_dl(list(NOUNS.items()))


app = typer.Typer(
    cls=LazyGroup,
    name="evsectl",
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    add_completion=False,
    no_args_is_help=True,
    help="Service tool for EV charging stations.",
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)


@app.callback()
def root(
    host: Annotated[
        str, typer.Option("-H", "--host", help="Socket of the daemon: unix:///path (or EVSECTL_HOST)")
    ] = "",
    timeout: Annotated[float, typer.Option("--timeout", help="Seconds to wait for an answer", min=0.1)] = 10.0,
    no_input: Annotated[bool, typer.Option("--no-input", help="Never ask (or EVSECTL_NO_INPUT=1)")] = False,
    color: Annotated[str, typer.Option("--color", help="auto, always or never")] = "auto",
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks of bugs")] = False,
) -> None:
    """Service tool for EV charging stations."""
    Globals.host = host
    Globals.timeout_s = timeout
    Globals.no_input = no_input
    if color == "never":
        os.environ["NO_COLOR"] = "1"
    if debug:
        os.environ["EVSECTL_DEBUG"] = "1"


def run_app(arguments: list[str]) -> int:
    """Run the typer application; return the exit code."""
    command = typer.main.get_command(app)
    try:
        result = command.main(args=arguments, prog_name="evsectl", standalone_mode=False)
    except Abort:
        raise
    except SystemExit as error:
        return int(error.code or 0)
    except Exception as error:
        shown = getattr(error, "format_message", None)
        if shown is None:
            if type(error).__name__ == "Abort":  # click's own: Ctrl-C at a prompt
                raise KeyboardInterrupt from error
            if type(error).__name__ == "Exit":
                return int(getattr(error, "exit_code", 0))
            raise
        if type(error).__name__ == "NoArgsIsHelpError":
            sys.stdout.write(shown() + "\n")
            return 2
        context = getattr(error, "ctx", None)
        raise Abort(2, shown(), f"see: {context.command_path} --help" if context else "", "bad_request") from error
    return result if isinstance(result, int) else 0
