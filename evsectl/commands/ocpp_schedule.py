"""``evsectl ocpp schedule``: charging profiles of the back end, what follows from them, and why."""

from __future__ import annotations

from typing import Annotated

import typer

from evsectl import exits, pages_ocpp, reads
from evsectl import tables_ocpp as tables
from evsectl.diagnostics import nearest, usage
from evsectl.options import Call, data
from evsectl.output import emit, write

app = typer.Typer(
    add_completion=False, rich_markup_mode=None, no_args_is_help=True, help="Charging profiles of the back end.",
)  # fmt: skip

WEEK_S = 7 * 86_400


@data(app, "OcppProfile", "list", key="profile_id")
def list_(call: Call) -> int:
    """List the installed charging profiles."""
    items = call.ask("ocpp.profiles")["items"]
    emit("OcppProfile", items, tables.PROFILE, call.options, name="profile_id", empty="No charging profile is installed.")
    return exits.OK


@data(app, "OcppCompositePeriod")
def composite(
    call: Call,
    connector: Annotated[int, typer.Argument(help="Connector, 0 = the station", metavar="[EVSE]", min=0, max=48)] = 0,
    duration: Annotated[str, typer.Option("--duration", help="How far: 30m, 24h", metavar="TIME")] = "24h",
    unit: Annotated[str, typer.Option("--unit", help="A or W; without it as the profiles have it", metavar="UNIT")] = "",
) -> int:
    """Show the composite schedule, as GetCompositeSchedule answers."""
    if unit not in ("", "A", "W"):
        usage(f"--unit: there is no {unit!r}", nearest(unit, ["A", "W"]) or "A or W")
    seconds = round(reads.seconds(duration))
    if not 1 <= seconds <= WEEK_S:
        usage(f"--duration {duration} is not within 1s..168h", "for example: --duration 24h")
    body = call.ask("ocpp.composite", evse_id=connector, duration_s=seconds, unit=unit)
    rows = [{**row, "unit": body["unit"]} for row in body["items"]]
    emit("OcppCompositePeriod", rows, tables.COMPOSITE, call.options)
    return exits.OK


@data(app, "OcppExplanation", key="evse_id")
def explain(
    call: Call,
    connector: Annotated[
        int | None, typer.Argument(help="Connector, 0 = the station; without it all", metavar="[EVSE]", min=0, max=48)
    ] = None,
) -> int:
    """Show which profile decides, why others do not, what comes next."""
    items = call.ask("ocpp.explain", evse_id=connector)["items"]
    if call.human and not call.options.wide:
        write("\n".join(pages_ocpp.explanation(item, call.screen) for item in items), call.options)
    else:
        emit("OcppExplanation", items, tables.EXPLANATION, call.options, name="evse_id", single=connector is not None)
    return exits.OK
