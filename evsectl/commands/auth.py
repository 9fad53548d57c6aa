"""``evsectl auth``."""

from __future__ import annotations

import getpass
import sys
from typing import Annotated

import typer

from evsectl import exits, tables, tokens
from evsectl.commands.config import read_file
from evsectl.diagnostics import usage
from evsectl.layout import pairs
from evsectl.options import Call, Host, can_ask, data, session, text_options
from evsectl.output import emit, write

app = typer.Typer(add_completion=False, rich_markup_mode=None, no_args_is_help=True, help="Who you are to the station.")

PinFile = Annotated[str, typer.Option("--pin-file", help="Read the PIN from this file, - = stdin", metavar="FILE")]


def _pin(prompt: str, file: str) -> str:
    """A PIN from a file, a line of stdin or a prompt without echo; never from the command line."""
    if file == "-":
        return sys.stdin.readline().strip()
    if file:
        return read_file(file, "the PIN").strip()
    if not can_ask():
        usage("a PIN is needed and nobody can be asked", "use --pin-file FILE, or --pin-file - for stdin")
    return getpass.getpass(f"{prompt}: ")


@app.command()
def signin(
    pin_file: PinFile = "",
    totp: Annotated[bool, typer.Option("--totp", help="Ask for a one-time code too")] = False,
    host: Host = "",
) -> int:
    """Raise your role with the service PIN, for a while."""
    caller = session(host)
    body = caller.call("auth.signin", pin=_pin("PIN", pin_file), totp=_pin("Code", "") if totp else "")
    tokens.save(caller.host, body["token"])
    write(f"signed in as {body['role']} until {tables.clock(body['expires_at'])} UTC\n", text_options())
    return exits.OK


@app.command()
def signout(host: Host = "") -> int:
    """Give the raised role back."""
    caller = session(host)
    changed = caller.call("auth.signout")["changed"]
    tokens.forget(caller.host)
    write("signed out\n" if changed else "unchanged: you were not signed in\n", text_options())
    return exits.OK


@data(app, "WhoAmI", key="user")
def whoami(call: Call) -> int:
    """Show your role."""
    body = call.ask("auth.whoami")
    if not call.human:
        emit("WhoAmI", [body], [], call.options, name="user", single=True)
        return exits.OK
    rows = [
        ("User", body["user"]),
        ("Role", body["role"]),
        ("PIN", "set" if body["pin_set"] else "not set yet: evsectl auth set-pin"),
        *([("Locked until", tables.clock(body["locked_until"]))] if body["locked_until"] else []),
    ]
    write(pairs(rows, call.screen), call.options)
    return exits.OK


@app.command("set-pin")
def set_pin(
    pin_file: PinFile = "",
    old_pin_file: Annotated[
        str, typer.Option("--old-pin-file", help="Read the present PIN from this file, - = stdin", metavar="FILE")
    ] = "",
    host: Host = "",
) -> int:
    """Set or change the service PIN, 4 to 12 digits."""
    caller = session(host)
    old = _pin("Present PIN", old_pin_file) if caller.call("auth.whoami")["pin_set"] else ""
    new = _pin("New PIN", pin_file)
    if not pin_file and new != _pin("New PIN again", ""):
        usage("the two PINs differ, nothing was changed", "type the same PIN twice")
    caller.call("auth.set_pin", old=old, new=new)
    write("PIN set\n", text_options())
    return exits.OK
