"""The command tree. Noun modules are imported when they are named; help of the root comes from a static table."""

from __future__ import annotations

import importlib
import sys
from functools import cache
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from evse import __version__
from evsectl import exits
from evsectl.diagnostics import Abort, ReaderGone, nearest, note, usage
from evsectl.options import Globals

NOUNS: dict[str, str] = {
    "status": "The whole station on one page",
    "watch": "Follow the station or its events",
    "wait": "Wait until a connector is in a state",
    "doctor": "Check devices, back end, storage and clock",
    "connector": "Connectors: list, watch, start, stop, pause, enable, unlock",
    "session": "Charging sessions: list, details, export",
    "fault": "Faults: active ones with remedies, clear, explain, history",
    "limits": "What limits charging and why; named limits",
    "lock": "Plug locks: status, unlock, lock",
    "rcd": "Residual current monitors: status, test",
    "phase": "One or three phases: show, set",
    "hlc": "ISO 15118 with AC vehicles: show, pause, renegotiate",
    "ventilation": "Ventilation for vehicles: show, set",
    "io": "Inputs, outputs, temperatures, fan: list, set, watch",
    "recloser": "Reclosers: status, open, close",
    "planner": "Site limits and power allocation: get, set, recompute, explain",
    "ocpp": "Back-end link: status, messages, keys, queue, security, doctor",
    "config": "Configuration: show, validate, diff, apply",
    "meter": "Meters: list, read, probe, search",
    "plc": "Boards: detected, configured, matched",
    "whitelist": "Own list of cards and vehicles: list, add, learn, import",
    "rfid": "Card readers: list, last card, test",
    "rule": "Event actions: list, add, edit, trace, check, import, simulate",
    "led": "Lamps of AC connectors: list, profiles, set, brightness",
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
    "help": "Topics: exit-codes, output, environment",
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
    "lock": "ac",
    "rcd": "ac",
    "phase": "ac",
    "hlc": "ac",
    "ventilation": "ac",
    "io": "io",
    "recloser": "io",
}


@cache
def _group(module: str) -> Any:
    """Import a module of commands and build its group, once per process; a built command keeps nothing of a call."""
    return typer.main.get_group(importlib.import_module(f"evsectl.commands.{module}").app)


class LazyGroup(TyperGroup):
    """A group whose commands live in modules that are imported when one is named."""

    def list_commands(self, ctx: Any) -> list[str]:
        """All nouns, in the order of the table."""
        return list(NOUNS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Import the module of a noun and return its command."""
        if cmd_name not in NOUNS:
            return None
        group = _group(MODULES.get(cmd_name, cmd_name))
        command = group if cmd_name not in MODULES else group.commands[cmd_name]
        command.name = cmd_name
        return command

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
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 80},
)


def _version(asked: bool) -> None:
    if asked:
        sys.stdout.write(f"evsectl {__version__}\n")
        raise typer.Exit(exits.OK)


@app.callback()
def root(
    host: Annotated[
        str,
        typer.Option("-H", "--host", help="Socket of the daemon: unix:///PATH (or EVSECTL_HOST)", metavar="SOCKET"),
    ] = "",
    timeout: Annotated[
        float, typer.Option("--timeout", help="Seconds to wait for an answer", min=0.1, max=3600, metavar="SECONDS")
    ] = 10.0,
    no_input: Annotated[bool, typer.Option("--no-input", help="Never ask (or EVSECTL_NO_INPUT=1)")] = False,
    color: Annotated[str, typer.Option("--color", help="auto, always or never", metavar="WHEN")] = "auto",
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of a bug")] = False,
    version: Annotated[
        bool, typer.Option("--version", help="Show the version and end", callback=_version, is_eager=True)
    ] = False,
) -> None:
    """Service tool for EV charging stations."""
    if color not in ("auto", "always", "never"):
        usage(f"--color: there is no {color!r}", nearest(color, ["auto", "always", "never"]) or "auto, always or never")
    Globals.host = host
    Globals.timeout_s = timeout
    Globals.no_input = no_input
    Globals.color = color


@cache
def _command() -> Any:
    return typer.main.get_command(app)


def run_app(arguments: list[str]) -> int:
    """Run the typer application; return the exit code.

    A group without a command shows its help on stderr and ends with 2: stdout carries data only.
    """
    try:
        result = _command().main(args=arguments, prog_name="evsectl", standalone_mode=False)
    except (Abort, ReaderGone):
        raise
    except SystemExit as error:
        return int(error.code or 0)
    except Exception as error:  # noqa: BLE001 - told apart and raised again below
        return _click_error(error)
    return result if isinstance(result, int) else exits.OK


def _click_error(error: Exception) -> int:
    """What the parser's own exceptions mean; typer carries a copy of click, so they are told by their shape."""
    name = type(error).__name__
    if name == "Exit":
        return int(getattr(error, "exit_code", 0))
    if name == "Abort":  # Ctrl-C or the end of input at a prompt
        raise KeyboardInterrupt from error
    shown = getattr(error, "format_message", None)
    if shown is None:
        raise error
    if name == "NoArgsIsHelpError":
        note(shown())
        return exits.USAGE
    context = getattr(error, "ctx", None)
    raise Abort(exits.USAGE, *_words(error, shown(), context), "bad_request") from error


def _words(error: Exception, text: str, context: Any) -> tuple[str, str]:
    """Message and hint of a usage error, with the nearest known command or option."""
    help_hint = f"see: {context.command_path} --help" if context else "see: evsectl --help"
    unknown = getattr(error, "option_name", "")
    if unknown and type(error).__name__ == "NoSuchOption" and context is not None:
        options = [o for p in context.command.params for o in (*p.opts, *p.secondary_opts) if o.startswith("--")]
        return f"there is no option {unknown}", nearest(unknown, [*options, "--json"]) or help_hint
    if text.startswith("No such command") and context is not None:
        word = text.split("'")[1] if "'" in text else ""
        names = context.command.list_commands(context)
        return f"there is no command {word!r}", nearest(word, names) or f"commands: {', '.join(names)}"
    message = text[:1].lower() + text[1:].rstrip(".")
    return message.replace("int range", "number").replace("float range", "number"), help_hint
