"""``evsectl planner``."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from evsectl import exits, pages, tables
from evsectl.commands.limits import milliamps
from evsectl.diagnostics import usage
from evsectl.options import Call, data
from evsectl.output import emit, write

app = typer.Typer(
    add_completion=False, rich_markup_mode=None, no_args_is_help=True, help="Site limits and power allocation."
)


@data(app, "Planner")
def get(call: Call) -> int:
    """Show limits, plan and module groups."""
    return _show(call, call.ask("planner.get"))


def _show(call: Call, body: dict[str, Any]) -> int:
    if call.human:
        write(pages.planner(body, call.screen, wide=call.options.wide), call.options)
    else:
        emit("Planner", [body], [], call.options, single=True)
    return exits.OK


@data(app, "Planner", "set")
def set_(
    call: Call,
    limit_w: Annotated[
        str, typer.Option("--limit-w", help="Site cap at the AC side, W (or 60kW); 0 = none", metavar="POWER")
    ] = "",
    ocpp_limit_w: Annotated[
        str, typer.Option("--ocpp-limit-w", help="Static cap beside the back end, W", metavar="POWER")
    ] = "",
    group_power_w: Annotated[
        str, typer.Option("--group-power-w", help="Cap per owner of module groups, W", metavar="POWER")
    ] = "",
    max_groups: Annotated[
        int | None, typer.Option("--max-groups", help="Groups per owner; 0 = no cap", min=0, max=64, metavar="N")
    ] = None,
    allow_cross: Annotated[
        bool | None, typer.Option("--allow-cross/--forbid-cross", help="Borrow module groups of other connectors")
    ] = None,
    operator_a: Annotated[
        str, typer.Option("--operator-a", help="All AC connectors together per phase, A (40 or 40,40,32); none = no limit", metavar="AMPS")
    ] = "",
    reset: Annotated[bool, typer.Option("--reset", help="Back to the configuration file")] = False,
) -> int:
    """Change limits now, without restart."""
    change: dict[str, Any] = {
        key: watts(value)
        for key, value in (("limit_w", limit_w), ("ocpp_limit_w", ocpp_limit_w), ("group_power_w", group_power_w))
        if value
    }
    if max_groups is not None:
        change["max_groups"] = max_groups
    if allow_cross is not None:
        change["allow_cross"] = allow_cross
    if operator_a:
        change["operator_ma"] = per_phase(operator_a)
    if reset:
        change["reset"] = True
    if not change:
        usage("nothing to set", "for example: evsectl planner set --limit-w 60kW")
    return _show(call, call.ask("planner.set", **change))


def per_phase(text: str) -> list[int]:
    """``40`` or ``40,40,32`` in mA per phase; ``none`` = an empty list = no limit."""
    if text.strip().lower() == "none":
        return []
    parts = text.split(",")
    if len(parts) not in (1, 3):
        usage(f"{text!r} is not a current per phase", "write one (40) or three (40,40,32), in A")
    values = [milliamps(part) for part in parts]
    if min(values) < 0:
        usage(f"{text!r} is not a current per phase", "write none alone to remove the limit")
    return values * 3 if len(values) == 1 else values


POWER_MAX_W = 10_000_000


def watts(text: str) -> int:
    """``60000``, ``60000W``, ``60kW`` in W; 0 to 10 MW."""
    raw = text.strip().lower()
    factor = 1
    if raw.endswith("kw"):
        raw, factor = raw[:-2], 1000
    elif raw.endswith("w"):
        raw = raw[:-1]
    try:
        value = float(raw) * factor
    except ValueError:
        usage(f"{text!r} is not a power", "write watts (60000) or kilowatts (60kW)")
    if raw == text.strip().lower() and 0 < value < 1000:
        usage(f"{text!r} has no unit and would be {value:g} watts", f"write {text.strip()}kW or {text.strip()}W")
    if not 0 <= value <= POWER_MAX_W:
        usage(f"{text!r} is not between 0 and {POWER_MAX_W // 1000} kW", "0 means no limit")
    return round(value)


@data(app, "Planner")
def recompute(call: Call) -> int:
    """Plan again from scratch."""
    return _show(call, call.ask("planner.recompute"))


@data(app, "Explanation", key="evse_id")
def explain(
    call: Call,
    connector: Annotated[
        int, typer.Argument(help="Connector; also says what would give it more. Without it all", metavar="[CONNECTOR]")
    ] = 0,
) -> int:
    """Say why each connector gets what it gets."""
    items = call.ask("planner.explain", evse_id=connector)["items"]
    if call.human:
        write("\n".join(pages.limits(item, call.screen) for item in items), call.options)
    else:
        emit("Explanation", items, tables.EXPLANATION, call.options, name="evse_id")
    return exits.OK
