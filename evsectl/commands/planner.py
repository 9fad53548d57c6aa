"""``evsectl planner``."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from evsectl import exits, tables
from evsectl.diagnostics import usage
from evsectl.options import Host, OutFile, Output, options, session
from evsectl.output import Cell, emit, pairs, table, write

app = typer.Typer(
    add_completion=False, rich_markup_mode=None, no_args_is_help=True, help="Site limits and power allocation."
)

def _kw(key: str) -> Cell:
    return lambda row: tables.kilo(row[key])


ALLOCATION = [
    tables.Column("EVSE", "evse_id", right=True),
    *[tables.Column(f"{n.upper()} kW", _kw(f"{n}_w"), right=True) for n in ("requested", "offered", "allowed", "assigned")],
    tables.Column("GROUPS", lambda r: tables.plain(r["chain"])),
    tables.Column("BOUND BY", "binding"),
    tables.Column("DETAIL", lambda r: tables.plain(r["detail"])),
]


@app.command()
def get(output: Output = "table", file: OutFile = "", host: Host = "") -> int:
    """Show limits in force, the plan, and who owns which module group."""
    return _show(session(host).call("planner.get"), output, file)


def _show(body: dict[str, Any], output: str, file: str = "") -> int:
    if output != "table":
        emit("Planner", [body], [], options(output, file=file), single=True)
        return exits.OK
    s = body["settings"]
    rows = [
        ("Site limit", _limit(s["limit_w"], s["file_limit_w"])),
        ("OCPP limit", _limit(s["ocpp_limit_w"], s["file_ocpp_limit_w"])),
        ("Group power", _limit(s["group_power_w"], s["file_group_power_w"])),
        ("Max groups", f"{s['max_groups'] or 'no cap'}"),
        ("Borrowing", "allowed" if s["allow_cross"] else "forbidden"),
        ("Measured", f"{tables.kilo(body['site_power_w'])} kW at the site meter"),
        (
            "Plan",
            f"version {body['plan']['version']}, {body['plan']['reason'] or 'no reason given'}"
            if body["plan"]
            else "none yet",
        ),
    ]
    text = pairs(rows)
    if body["plan"]:
        text += "\n" + table(body["plan"]["allocations"], ALLOCATION, headers=True)
    if body["groups"]:
        text += "\n" + table(body["groups"], tables.GROUP, headers=True)
    write(text, options(output, file=file))
    return exits.OK


def _limit(value: int, from_file: int) -> str:
    text = f"{tables.kilo(value)} kW" if value else "none"
    return (
        text
        if value == from_file
        else f"{text} (set by an operator; the file says {tables.kilo(from_file) + ' kW' if from_file else 'none'})"
    )


@app.command("set")
def set_(
    limit_w: Annotated[
        str, typer.Option("--limit-w", help="Site cap at the AC side, W (or 60kW); 0 = none", metavar="POWER")
    ] = "",
    ocpp_limit_w: Annotated[
        str, typer.Option("--ocpp-limit-w", help="Static cap beside the back end, W", metavar="POWER")
    ] = "",
    group_power_w: Annotated[
        str, typer.Option("--group-power-w", help="Cap per owner of module groups, W", metavar="POWER")
    ] = "",
    max_groups: Annotated[int | None, typer.Option("--max-groups", help="Groups per owner; 0 = no cap", min=0)] = None,
    allow_cross: Annotated[
        bool | None, typer.Option("--allow-cross/--forbid-cross", help="Borrow module groups of other connectors")
    ] = None,
    reset: Annotated[bool, typer.Option("--reset", help="Back to the configuration file")] = False,
    output: Output = "table",
    host: Host = "",
) -> int:
    """Change limits now, without restart; outputs follow within two ticks."""
    change: dict[str, Any] = {
        key: watts(value)
        for key, value in (("limit_w", limit_w), ("ocpp_limit_w", ocpp_limit_w), ("group_power_w", group_power_w))
        if value
    }
    if max_groups is not None:
        change["max_groups"] = max_groups
    if allow_cross is not None:
        change["allow_cross"] = allow_cross
    if reset:
        change["reset"] = True
    if not change:
        usage("nothing to set", "for example: evsectl planner set --limit-w 60kW")
    return _show(session(host).call("planner.set", **change), output)


def watts(text: str) -> int:
    """``60000``, ``60000W``, ``60kW`` in W."""
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
    if value < 0 or value != value:
        usage(f"{text!r}: a power limit cannot be negative", "0 means no limit")
    return round(value)


@app.command()
def recompute(output: Output = "table", host: Host = "") -> int:
    """Plan again from scratch."""
    return _show(session(host).call("planner.recompute"), output)


@app.command()
def explain(output: Output = "table", host: Host = "") -> int:
    """Say why each connector gets what it gets; the binding limit is marked."""
    items = session(host).call("planner.explain")["items"]
    if output == "table":
        write("\n".join(tables.limits(item) for item in items), options(output))
    else:
        emit("Explanation", items, tables.EXPLANATION, options(output), name="evse_id")
    return exits.OK
