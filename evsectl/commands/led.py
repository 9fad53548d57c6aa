"""``evsectl led``."""

from __future__ import annotations

from typing import Annotated

import typer

from evsectl import exits
from evsectl import tables_rules as tables
from evsectl.diagnostics import Abort, nearest, usage
from evsectl.options import Call, EvseIdOrAll, data
from evsectl.output import emit, write

app = typer.Typer(
    add_completion=False, rich_markup_mode=None, no_args_is_help=True, help="Lamps of AC connectors and readers."
)

LAMPS = ("status", "reader", "outputs")


@data(app, "Led", "list", key="evse_id")
def list_(
    call: Call,
    evse: Annotated[int, typer.Argument(help="EVSE, without it all AC EVSEs", min=0, max=48, metavar="[ID]")] = 0,
) -> int:
    """List lamps and what they show now."""
    body = call.ask("led.list", evse_id=evse)
    emit("Led", body["items"], tables.LED, call.options, name="evse_id", empty="There is no AC EVSE.")
    return exits.OK


@data(app, "LedProfile", key="name")
def profiles(call: Call) -> int:
    """List lamp profiles."""
    emit("LedProfile", call.ask("led.profiles")["items"], tables.PROFILE, call.options, name="name")
    return exits.OK


@data(app, "LedBehaviour", key="condition")
def show(
    call: Call, profile: Annotated[str, typer.Argument(help="Name of a lamp profile", metavar="PROFILE")]
) -> int:
    """Show how a profile looks in each condition."""
    items = {item["name"]: item for item in call.ask("led.profiles")["items"]}
    if profile not in items:
        hint = nearest(profile, list(items)) or f"profiles: {', '.join(items)}"
        raise Abort(exits.NOT_FOUND, f"there is no lamp profile {profile!r}", hint, "not_found")
    emit("LedBehaviour", items[profile]["behaviours"], tables.BEHAVIOUR, call.options, name="condition")
    return exits.OK


@data(app, "Done", "set")
def set_(
    call: Call,
    evse: EvseIdOrAll,
    lamp: Annotated[str, typer.Argument(help="status, reader or outputs", metavar="LAMP")],
    profile: Annotated[str, typer.Argument(help="Name of a lamp profile", metavar="PROFILE")],
    outputs: Annotated[str, typer.Option("--outputs", help="Of lamp outputs: 1,2,3 or 4", metavar="LIST")] = "",
    buzzer: Annotated[bool, typer.Option("--buzzer/--silent", help="Of lamp reader: sounds for cards")] = True,
) -> int:
    """Give a lamp another profile, now and after a restart."""
    if lamp not in LAMPS:
        usage(f"there is no lamp {lamp!r}", nearest(lamp, list(LAMPS)) or f"lamps: {', '.join(LAMPS)}")
    parts = [part.strip() for part in outputs.split(",") if part.strip()]
    if not all(part.isdecimal() for part in parts):
        usage(f"--outputs {outputs!r} is not a list of numbers", "one output, or three for red, green and blue: 1,2,3")
    body = call.ask(
        "led.set", evse_id=evse, lamp=lamp, profile=profile, outputs=[int(part) for part in parts], buzzer=buzzer
    )
    return _done(call, body["changed"], f"{lamp} shows {profile}", body)


@data(app, "Done")
def brightness(
    call: Call, pct: Annotated[int, typer.Argument(help="Brightness of all lamps, %", min=0, max=100, metavar="PCT")]
) -> int:
    """Set how bright all lamps are."""
    body = call.ask("led.brightness", pct=pct)
    return _done(call, body["changed"], f"lamps at {pct} %", body)


def _done(call: Call, changed: bool, text: str, body: dict[str, object]) -> int:
    if call.human:
        write(f"{text}\n" if changed else "unchanged\n", call.options)
    else:
        emit("Done", [body], [], call.options, single=True)
    return exits.OK
