"""Commands without a noun: status, watch, wait, doctor, version, openapi, help."""

from __future__ import annotations

import json
import platform
import sys
from pathlib import Path
from typing import Annotated

import typer

from evse import __version__
from evsectl import exits, reads, tables
from evsectl.diagnostics import Abort, note, usage
from evsectl.options import EvseId, Fields, Host, NoHeaders, OutFile, Output, options, session
from evsectl.output import emit, pairs, write

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command()
def status(
    output: Output = "table", fields: Fields = "", no_headers: NoHeaders = False, file: OutFile = "", host: Host = ""
) -> int:
    """Show the whole station on one page."""
    return reads.status(session(host), options(output, fields, no_headers, file))


@app.command()
def watch(
    what: Annotated[str, typer.Argument(help="status or events")] = "status",
    output: Output = "table",
    since: Annotated[int | None, typer.Option("--since", help="Resume after this seq")] = None,
    no_reconnect: Annotated[bool, typer.Option("--no-reconnect", help="End when the daemon goes away")] = False,
    host: Host = "",
) -> int:
    """Follow the station: a snapshot, then one line per change; -o jsonl for programs."""
    if what not in ("status", "events"):
        usage(f"there is no stream {what!r}", "streams: status, events")
    if output not in ("table", "jsonl"):
        usage(f"watch cannot write {output!r}", "use -o jsonl, or nothing")
    return reads.watch(session(host), options(output), stream=f"{what}.stream", since=since, reconnect=not no_reconnect)


@app.command()
def wait(
    noun: Annotated[str, typer.Argument(help="connector")],
    evse_id: EvseId,
    condition: Annotated[
        str, typer.Option("--for", help="phase=charging, state=Charging, step=Curr, plugged=no, fault=none")
    ],
    timeout: Annotated[str, typer.Option("--timeout", help="60s, 2m")] = "60s",
    host: Host = "",
) -> int:
    """Wait until a connector is in a state; exit 124 when the time runs out."""
    if noun != "connector":
        usage(f"wait knows no {noun!r}", "use: evsectl wait connector 1 --for phase=charging")
    return reads.wait_connector(session(host), evse_id, condition, seconds(timeout))


@app.command()
def doctor(
    output: Output = "table",
    host: Host = "",
    junit: Annotated[Path | None, typer.Option("--junit", help="Also write the checks as JUnit XML")] = None,
) -> int:
    """Check devices, back end, storage, control loop and clock; exit 10 when something fails."""
    checks = session(host).call("doctor.run")["checks"]
    emit("Check", checks, tables.CHECK, options(output), name="name")
    if junit is not None:
        junit.write_text(_junit(checks), encoding="utf-8")
    return exits.DEVICE if any(check["result"] == "failed" for check in checks) else exits.OK


def _junit(checks: list[dict[str, str]]) -> str:
    from xml.sax.saxutils import escape, quoteattr

    failed = sum(check["result"] == "failed" for check in checks)
    skipped = sum(check["result"] == "skipped" for check in checks)
    cases = []
    for check in checks:
        inner = ""
        if check["result"] == "failed":
            inner = f"<failure message={quoteattr(check['detail'])}>{escape(check['remedy'])}</failure>"
        elif check["result"] == "skipped":
            inner = f"<skipped message={quoteattr(check['detail'])}/>"
        cases.append(f'  <testcase classname="evsectl.doctor" name={quoteattr(check["name"])}>{inner}</testcase>\n')
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f'<testsuite name="evsectl doctor" tests="{len(checks)}" failures="{failed}" skipped="{skipped}">\n{"".join(cases)}</testsuite>\n'
    )


@app.command()
def version(output: Output = "table", host: Host = "") -> int:
    """Show the versions of this program and of the daemon."""
    row: dict[str, str | None] = {
        "client": __version__,
        "python": platform.python_version(),
        "daemon": None,
        "api": None,
    }
    try:
        body = session(host).call("version.get")
        row["daemon"], row["api"] = body["version"], body["api_version"]
    except Abort as error:
        if error.exit_code != exits.UNREACHABLE:
            raise
    if output == "table":
        write(pairs((key, value or "not running") for key, value in row.items()), options(output))
    else:
        emit("Version", [row], [], options(output), single=True)
    if row["daemon"] and row["daemon"] != __version__:
        note(f"evsectl: this program is {__version__}, the daemon is {row['daemon']}; update both to the same version")
    return exits.OK


@app.command()
def openapi(file: OutFile = "") -> int:
    """Print the OpenAPI document of the local API."""
    from evse.api.openapi import document

    write(json.dumps(document(), indent=2, sort_keys=True) + "\n", options("table", file=file))
    return exits.OK


@app.command(name="help")
def help_(topic: Annotated[str, typer.Argument(help="exit-codes or output")] = "exit-codes") -> int:
    """Explain exit codes or output formats."""
    if topic == "exit-codes":
        sys.stdout.write(pairs((str(code), text) for code, text in exits.TEXTS.items()))
    elif topic == "output":
        sys.stdout.write(
            pairs(
                [
                    ("table", "for people; the same text in a pipe"),
                    ("wide", "a table with all columns"),
                    ("json", "one object with apiVersion and kind"),
                    ("jsonl", "one object per line"),
                    ("yaml", "the same as json"),
                    ("csv", "RFC 4180 with a header line"),
                    ("name", "one id per line"),
                    ("value", "bare values of --fields, tab-separated"),
                ]
            )
        )
    else:
        usage(f"there is no topic {topic!r}", "topics: exit-codes, output")
    return exits.OK


def seconds(text: str) -> float:
    """``90``, ``90s``, ``2m``, ``1h`` in seconds."""
    units = {"s": 1.0, "m": 60.0, "h": 3600.0}
    number, unit = (text[:-1], units[text[-1]]) if text and text[-1] in units else (text, 1.0)
    try:
        value = float(number) * unit
    except ValueError:
        usage(f"{text!r} is not a time", "write 30s, 2m or 1h")
    if value < 0:
        usage(f"{text!r}: a time cannot be negative")
    return value
