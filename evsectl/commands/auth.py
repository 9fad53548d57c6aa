"""``evsectl auth``."""

from __future__ import annotations

import getpass
import sys
from typing import Annotated

import typer

from evsectl import exits, tables, tokens
from evsectl.commands.config import read_file
from evsectl.diagnostics import Abort, note, usage
from evsectl.layout import pairs
from evsectl.options import Call, Host, can_ask, data, session, text_options
from evsectl.output import emit, write

app = typer.Typer(add_completion=False, rich_markup_mode=None, no_args_is_help=True, help="Who you are to the station.")
totp_app = typer.Typer(
    add_completion=False, rich_markup_mode=None, no_args_is_help=True, help="One-time codes beside the PIN."
)
app.add_typer(totp_app, name="totp")

CODE_TRIES = 3
"""How often a mistyped first code is asked for again; the daemon forgets the secret after five."""

PinFile = Annotated[str, typer.Option("--pin-file", help="Read the PIN from this file, - = stdin", metavar="FILE")]
CodeFile = Annotated[
    str, typer.Option("--code-file", help="Read the one-time code from this file, - = next line of stdin", metavar="FILE")
]


def _pin(prompt: str, file: str) -> str:
    """A PIN from a file, a line of stdin or a prompt without echo; never from the command line."""
    return _secret(prompt, file, "a PIN", "--pin-file")


def _code(prompt: str, file: str) -> str:
    """A one-time code, from the same places as a PIN; blanks between the digits are dropped."""
    return _secret(prompt, file, "a one-time code", "--code-file").replace(" ", "")


def _secret(prompt: str, file: str, what: str, option: str) -> str:
    if file == "-":
        return sys.stdin.readline().strip()
    if file:
        return read_file(file, what.replace("a ", "the ", 1)).strip()
    if not can_ask():
        usage(f"{what} is needed and nobody can be asked", f"use {option} FILE, or {option} - for stdin")
    return getpass.getpass(f"{prompt}: ")


@app.command()
def signin(pin_file: PinFile = "", code_file: CodeFile = "", host: Host = "") -> int:
    """Raise your role with the service PIN, for a while.

    The one-time code is asked for too, once codes are enrolled.
    """
    caller = session(host)
    enrolled = caller.call("auth.whoami")["totp_enrolled"]
    pin = _pin("PIN", pin_file)
    body = caller.call("auth.signin", pin=pin, totp=_code("One-time code", code_file) if enrolled else "")
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
        ("Codes", "asked for at every sign-in" if body["totp_enrolled"] else "off"),
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
    code_file: CodeFile = "",
    host: Host = "",
) -> int:
    """Set or change the service PIN, 4 to 12 digits."""
    caller = session(host)
    me = caller.call("auth.whoami")
    old = _pin("Present PIN", old_pin_file) if me["pin_set"] else ""
    code = _code("One-time code", code_file) if me["totp_enrolled"] and old else ""
    new = _pin("New PIN", pin_file)
    if not pin_file and new != _pin("New PIN again", ""):
        usage("the two PINs differ, nothing was changed", "type the same PIN twice")
    caller.call("auth.set_pin", old=old, new=new, totp=code)
    write("PIN set\n", text_options())
    return exits.OK


@totp_app.command()
def enable(code_file: CodeFile = "", host: Host = "") -> int:
    """Show a new secret and ask for its codes from now on.

    Needs the role operator. Every sign-in then takes PIN and code.
    """
    if not (code_file or can_ask()):
        usage(
            "the first code of the new secret is needed and nobody can be asked",
            "use --code-file -, read the secret from stdout and write the code",
        )
    caller = session(host)
    new = caller.call("auth.totp_begin")
    groups = [new["secret"][at : at + 4] for at in range(0, len(new["secret"]), 4)]
    write(f"URI     {new['uri']}\nSecret  {' '.join(groups)}\n", text_options())  # unwrapped: both are copied
    note("Add one of them to an authenticator app now: neither is shown again.")
    for left in reversed(range(1 if code_file else CODE_TRIES)):
        try:
            caller.call("auth.totp_confirm", totp=_code("First code", code_file))
            break
        except Abort as error:
            if error.code != "unauthenticated" or not left:
                raise
            note(f"{error.message}; {error.hint}")
    write("one-time codes are on: every sign-in needs PIN and code\n", text_options())
    return exits.OK


@totp_app.command()
def disable(
    pin_file: PinFile = "",
    code_file: CodeFile = "",
    recover: Annotated[
        bool, typer.Option("--recover", help="Without PIN and code: root or the daemon's user only, on the station")
    ] = False,
    host: Host = "",
) -> int:
    """Ask for one-time codes no more.

    PIN and code are needed a last time.
    """
    if recover and (pin_file or code_file):
        usage("--recover needs neither PIN nor code", "leave --pin-file and --code-file out")
    caller = session(host)
    if not recover and not caller.call("auth.whoami")["totp_enrolled"]:
        changed = False
    else:
        pin = "" if recover else _pin("PIN", pin_file)
        code = "" if recover else _code("One-time code", code_file)
        changed = caller.call("auth.totp_disable", pin=pin, totp=code)["changed"]
    write("one-time codes are off\n" if changed else "unchanged: one-time codes were off\n", text_options())
    return exits.OK
