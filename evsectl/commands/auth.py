"""``evsectl auth``."""

from __future__ import annotations

import getpass
import sys
from pathlib import Path
from typing import Annotated

import typer

from evsectl import exits, tables, tokens
from evsectl.diagnostics import usage
from evsectl.options import Host, Output, can_ask, options, session
from evsectl.output import emit, pairs, write

app = typer.Typer(add_completion=False, rich_markup_mode=None, no_args_is_help=True, help="Who you are to the station.")

PinFile = Annotated[Path | None, typer.Option("--pin-file", help="Read the PIN from this file, - = stdin")]


def _pin(prompt: str, file: Path | None) -> str:
    """A PIN from a file, stdin or a prompt without echo; never from the command line."""
    if file is not None:
        text = sys.stdin.readline() if str(file) == "-" else file.read_text(encoding="utf-8")
        return text.strip()
    if not can_ask():
        usage("a PIN is needed and nobody can be asked", "use --pin-file FILE, or --pin-file - for stdin")
    return getpass.getpass(f"{prompt}: ")


@app.command()
def signin(
    pin_file: PinFile = None,
    totp: Annotated[bool, typer.Option("--totp", help="Ask for a one-time code too")] = False,
    host: Host = "",
) -> int:
    """Raise your role with the service PIN; it ends by itself."""
    pin = _pin("PIN", pin_file)
    body = session(host).call("auth.signin", pin=pin, totp=_pin("Code", None) if totp else "")
    tokens.save(host, body["token"])
    write(f"signed in as {body['role']} until {tables.clock(body['expires_at'])} UTC\n", options("table"))
    return exits.OK


@app.command()
def signout(host: Host = "") -> int:
    """Give the raised role back."""
    session(host).call("auth.signout")
    tokens.forget(host)
    write("signed out\n", options("table"))
    return exits.OK


@app.command()
def whoami(output: Output = "table", host: Host = "") -> int:
    """Show your role."""
    body = session(host).call("auth.whoami")
    if output != "table":
        emit("WhoAmI", [body], [], options(output), single=True)
        return exits.OK
    write(
        pairs(
            [
                ("User", body["user"]),
                ("Role", body["role"]),
                ("PIN", "set" if body["pin_set"] else "not set yet: evsectl auth set-pin"),
                *([("Locked until", tables.clock(body["locked_until"]))] if body["locked_until"] else []),
            ]
        ),
        options(output),
    )
    return exits.OK


@app.command("set-pin")
def set_pin(
    pin_file: PinFile = None,
    old_pin_file: Annotated[
        Path | None, typer.Option("--old-pin-file", help="Read the present PIN from this file")
    ] = None,
    host: Host = "",
) -> int:
    """Set the first service PIN, or change it: 4 to 12 digits."""
    caller = session(host)
    old = _pin("Present PIN", old_pin_file) if caller.call("auth.whoami")["pin_set"] else ""
    new = _pin("New PIN", pin_file)
    if pin_file is None and new != _pin("New PIN again", None):
        usage("the two PINs differ", "nothing was changed")
    caller.call("auth.set_pin", old=old, new=new)
    write("PIN set\n", options("table"))
    return exits.OK
