"""``evsectl limits``."""

from __future__ import annotations

from typing import Annotated

import typer

from evse.domain.ac import OFFER_MIN_MA
from evsectl import exits, pages_ac, tables, tables_ac
from evsectl.diagnostics import usage
from evsectl.layout import Column
from evsectl.options import Call, data
from evsectl.output import emit, write

app = typer.Typer(
    add_completion=False, rich_markup_mode=None, no_args_is_help=True, help="What limits charging, and named limits."
)

CURRENT_MAX_A = 10_000

Name = Annotated[str, typer.Argument(help="Name of the limit: who sets it", metavar="NAME")]
Which = Annotated[
    int, typer.Option("--connector", help="Connector; without it every AC connector", min=0, max=48, metavar="ID")
]

EXPLANATION = [
    Column("EVSE", "evse_id", right=True),
    Column("OFFERED A", lambda r: tables_ac.amps(r["offered_ma"]), right=True),
    Column("OFFERED kW", lambda r: tables.kilo(r["offered_w"]), right=True),
    Column("PHYSICAL A", lambda r: tables_ac.amps(r["physical_ma"]), right=True),
    Column("WHY", "text", flex=True),
]


@data(app, "LimitsExplanation", key="evse_id")
def explain(
    call: Call,
    connector: Annotated[
        int, typer.Argument(help="Connector number; without it all", metavar="[ID]", min=0, max=48)
    ] = 0,
) -> int:
    """Show every limit with value and age, the binding one first."""
    items = call.ask("limits.explain", evse_id=connector)["items"]
    if call.human:
        write("\n".join(pages_ac.limits(item, call.screen) for item in items), call.options)
    else:
        emit("LimitsExplanation", items, EXPLANATION, call.options, name="evse_id")
    return exits.OK


@data(app, "DynamicLimit", "list", key="name")
def list_(call: Call, connector: Which = 0) -> int:
    """List the named limits of other programs."""
    items = call.ask("limits.list", evse_id=connector)["items"]
    emit("DynamicLimit", items, tables_ac.DYNAMIC, call.options, name="name", empty="No named limits are set.")
    return exits.OK


@data(app, "Done", "set")
def set_(
    call: Call,
    name: Name,
    current: Annotated[
        str, typer.Argument(help="A per phase (16, 13.5A), below 6 = no offer, none = no limit", metavar="AMPS")
    ],
    connector: Which = 0,
) -> int:
    """Set a named limit; lost at a restart."""
    current_ma = milliamps(current)
    body = call.ask("limits.set", name=name, current_ma=current_ma, evse_id=connector)
    value = "no limit" if current_ma < 0 else f"{tables_ac.amps(current_ma)} A"
    idle = "; below 6 A nothing is offered" if 0 <= current_ma < OFFER_MIN_MA else ""
    return call.done(body, f"{name}: {value} for {_who(connector)}{idle}")


@data(app, "Done")
def clear(call: Call, name: Name, connector: Which = 0) -> int:
    """Remove a named limit."""
    return call.done(call.ask("limits.clear", name=name, evse_id=connector), f"{name}: removed from {_who(connector)}")


def _who(evse_id: int) -> str:
    return f"connector {evse_id}" if evse_id else "every AC connector"


def milliamps(text: str) -> int:
    """``16``, ``13.5A``, ``none`` in mA; none = -1 = no limit."""
    raw = text.strip().lower()
    if raw == "none":
        return -1
    digits = raw.removesuffix("a")
    whole, _, fraction = digits.partition(".")
    if not digits.isascii() or not whole.isdigit() or not (fraction or "0").isdigit() or len(fraction) > 3:
        usage(f"{text!r} is not a current", "write A per phase (16, 13.5A), or none")
    value = int(whole[:6]) * 1000 + int((fraction + "000")[:3])
    if value > CURRENT_MAX_A * 1000:
        usage(f"{text!r} is more than {CURRENT_MAX_A} A", "write A per phase (16, 13.5A), or none")
    return value
