"""``evsectl meter``."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Annotated, Any

import typer

from evsectl import exits, pages, pages_ac, progress, tables, tables_ac
from evsectl.diagnostics import Abort
from evsectl.options import AcceptRisk, Call, confirm, data
from evsectl.output import emit, write

app = typer.Typer(add_completion=False, rich_markup_mode=None, no_args_is_help=True, help="Energy meters.")

Meter = Annotated[str, typer.Argument(help="Meter name or connector number, 0 = site", metavar="METER")]


@data(app, "Meter", "list", key="name")
def list_(call: Call) -> int:
    """List all meters with their latest values."""
    emit(
        "Meter",
        call.ask("meter.read")["items"],
        tables.METER,
        call.options,
        name="name",
        empty="No meters are configured.",
    )
    return exits.OK


@data(app, "Meter", key="name")
def read(call: Call, meter: Meter) -> int:
    """Show a meter; exit 10 when it does not answer."""
    items = call.ask("meter.read", name=meter)["items"]
    emit("Meter", items, tables.METER, call.options, name="name", single=True)
    return exits.OK if items[0]["online"] else exits.DEVICE


@data(app, "Meter", key="name")
def show(call: Call, meter: Meter) -> int:
    """Show a meter with its phases; exit 10 when it is lost."""
    items = call.ask("meter.read", name=meter)["items"]
    if call.human:
        write("\n".join(pages.meter_card(item, call.screen) for item in items), call.options)
    else:
        emit("Meter", items, tables.METER, call.options, name="name", single=True)
    return exits.OK if items[0]["online"] else exits.DEVICE


@data(app, "Probe", key="name")
def probe(call: Call, meter: Meter) -> int:
    """Read every register now; exit 10 when some fail."""
    body = call.ask("meter.probe", name=meter)
    if call.human:
        emit("Register", body["registers"], tables.REGISTER, call.options, name="quantity")
    else:
        emit("Probe", [body], [], call.options, name="name", single=True)
    return exits.OK if body["ok"] else exits.DEVICE


@data(app, "MeterModel", key="name", daemon=False)
def models(call: Call) -> int:
    """List the meters that are known, with their line settings."""
    from evse.config.meter_profiles import list_profiles, load_profile

    items = []
    for name in list_profiles():
        profile = load_profile(name)
        bus = profile.bus
        items.append(
            {
                "name": name,
                "vendor": profile.vendor,
                "model": profile.model,
                "tcp": bus.tcp,
                "baud": bus.baud,
                "parity": bus.parity,
                "stop_bits": bus.stop_bits,
                "unit": bus.unit,
                "unavailable_ms": bus.unavailable_ms,
                "confidence": profile.confidence,
                "source": profile.source,
            }
        )
    emit("MeterModel", items, tables_ac.METER_MODEL, call.options, name="name")
    return exits.OK


# -- search -------------------------------------------------------------------------------------------------------

Port = Annotated[str, typer.Argument(help="Serial port, or tcp://host:port", metavar="PORT")]
FIRST_POLL_S = 0.05
POLL_S = 0.5


@data(app, "Detect")
def detect(
    call: Call,
    port: Port,
    profiles: Annotated[
        str, typer.Option("--profiles", help="Only these, comma-separated; see: evsectl meter models", metavar="NAMES")
    ] = "",
    bauds: Annotated[str, typer.Option("--bauds", help="Baud rates, e.g. 9600,19200", metavar="LIST")] = "",
    parities: Annotated[str, typer.Option("--parities", help="Parities, e.g. N,E", metavar="LIST")] = "",
    units: Annotated[str, typer.Option("--units", help="Addresses, e.g. 1,5,10-20", metavar="LIST")] = "",
    thorough: Annotated[bool, typer.Option("--thorough", help="Every address 1 to 247: minutes to hours")] = False,
    serial: Annotated[
        str, typer.Option("--serial", help="Number on the label of a DZG meter: asked first", metavar="NUMBER")
    ] = "",
    echo: Annotated[bool, typer.Option("--echo", help="The adapter hears its own bytes")] = False,
    silence: Annotated[
        int, typer.Option("--silence", help="ms after which nobody is there", min=20, max=15_000, metavar="MS")
    ] = 250,
    disturb: Annotated[bool, typer.Option("--disturb", help="Search a line in use: its meters wait")] = False,
    accept_risk: AcceptRisk = "",
) -> int:
    """Search a line for meters; exit 3 when there is none."""
    if disturb:
        confirm(
            f"Search {port} although it may be in use?",
            lambda: ["the meters of this line give no values meanwhile; sessions that need them end"],
            risk="stop-charging",
            accepted=accept_risk,
        )
    state = call.ask(
        "meter.detect", port=port, profiles=profiles, bauds=bauds, parities=parities, units=units, thorough=thorough,
        serial=serial, echo=echo, timeout_ms=silence, disturb=disturb,
    )  # fmt: skip
    bar = progress.Bar(f"searching {port}")
    try:
        state = follow(lambda: call.ask("meter.detected"), state, lambda now: _tell(call, now, bar))
    except KeyboardInterrupt:
        call.ask("meter.detect_stop")
        raise
    finally:
        bar.end()
    if state["error"]:
        raise Abort(exits.DEVICE, state["error"], "check the port; lines of this station: evsectl meter list", "device")
    if call.human:
        write(pages_ac.detected(state, call.screen), call.options)
    else:
        emit("Detect", [state], [], call.options, single=True)
    return exits.OK if state["found"] else exits.NOT_FOUND


def _tell(call: Call, state: dict[str, Any], bar: progress.Bar) -> None:
    """How far the search is: a line of JSON for machines that follow, a bar for people."""
    if call.options.format == "jsonl":
        emit("Detect", [state], [], call.options, single=True)
    else:
        bar.show(state["done"], state["total"], state["what"])


def follow(
    look: Callable[[], dict[str, Any]],
    state: dict[str, Any],
    tell: Callable[[dict[str, Any]], None],
    pause: Callable[[float], None] = time.sleep,
) -> dict[str, Any]:
    """Ask for the search until it has ended, and tell how far it is whenever that has changed."""
    wait = FIRST_POLL_S
    tell(state)
    while state["state"] == "running":
        pause(wait)
        wait = min(2 * wait, POLL_S)
        before, state = state, look()
        if state["state"] == "running" and state != before:
            tell(state)
    return state
