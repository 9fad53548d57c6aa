"""Commands without a noun: status, watch, wait, doctor, version, openapi, help."""

from __future__ import annotations

import json
import platform
from typing import Annotated

import typer

from evse import __version__
from evsectl import exits, pages, reads, tables, topics
from evsectl.diagnostics import Abort, nearest, note, usage
from evsectl.layout import pairs
from evsectl.options import Call, EvseId, Host, OutFile, Output, data, session, text_options
from evsectl.output import Options, emit, write

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@data(app, "Status", key="station_id")
def status(call: Call) -> int:
    """Show the whole station on one page."""
    return reads.status(call.session, call.options)


@app.command()
def watch(
    what: Annotated[str, typer.Argument(help="status or events", metavar="[STREAM]")] = "status",
    output: Output = "table",
    since: Annotated[
        int | None, typer.Option("--since", help="Resume after this seq", min=0, metavar="SEQ")
    ] = None,
    no_reconnect: Annotated[bool, typer.Option("--no-reconnect", help="End when the daemon goes away")] = False,
    host: Host = "",
) -> int:
    """Follow the station or its events; -o jsonl for programs."""
    return reads.watch(session(host), Options(output), stream=what, since=since, reconnect=not no_reconnect)


@app.command()
def wait(
    noun: Annotated[str, typer.Argument(help="connector", metavar="connector")],
    evse_id: EvseId,
    condition: Annotated[
        str,
        typer.Option(
            "--for",
            help="phase=charging, phase=finished,idle, state=Charging, step=Curr, plugged=no, fault=none",
            metavar="KEY=VALUE",
        ),
    ],
    timeout: Annotated[str, typer.Option("--timeout", help="60s, 2m", metavar="TIME")] = reads.WAIT_DEFAULT,
    host: Host = "",
) -> int:
    """Wait for a state; exit 124 when the time runs out."""
    if noun != "connector":
        hint = nearest(noun, ["connector"]) or "use: evsectl wait connector 1 --for phase=charging"
        usage(f"wait knows no {noun!r}", hint)
    return reads.wait_connector(session(host), evse_id, condition, reads.seconds(timeout))


@data(app, "Check", key="name")
def doctor(
    call: Call,
    junit: Annotated[
        str, typer.Option("--junit", help="Also write the checks as JUnit XML", metavar="FILE")
    ] = "",
) -> int:
    """Check the station; exit 10 when something fails."""
    checks = call.ask("doctor.run")["checks"]
    if junit:
        write(_junit(checks), text_options(junit))
    if call.human:
        write(pages.doctor(checks, call.screen), call.options)
    else:
        emit("Check", checks, tables.CHECK, call.options, name="name")
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


@data(app, "Version", key="client")
def version(call: Call) -> int:
    """Show the versions of this program and the daemon."""
    row: dict[str, str | None] = {
        "client": __version__,
        "python": platform.python_version(),
        "daemon": None,
        "api": None,
    }
    try:
        body = call.ask("version.get")
        row["daemon"], row["api"] = body["version"], body["api_version"]
    except Abort as error:
        if error.exit_code != exits.UNREACHABLE:
            raise
    if call.human:
        write(pairs((key, value or "not running") for key, value in row.items()), call.options)
    else:
        emit("Version", [row], [], call.options, name="client", single=True)
    if row["daemon"] and row["daemon"] != __version__:
        note(f"evsectl: this program is {__version__}, the daemon is {row['daemon']}; update both to the same version")
    return exits.OK


@app.command()
def openapi(file: OutFile = "") -> int:
    """Print the OpenAPI document of the local API."""
    from evse.api.openapi import document

    write(json.dumps(document(), indent=2, sort_keys=True) + "\n", text_options(file))
    return exits.OK


@app.command(name="help")
def help_(
    topic: Annotated[str, typer.Argument(help="exit-codes, output or environment", metavar="[TOPIC]")] = "",
) -> int:
    """Explain exit codes, output or environment."""
    how = text_options()
    if not topic:
        write("".join(f"evsectl help {name}\n" for name in topics.TOPICS), how)
        return exits.OK
    if topic not in topics.TOPICS:
        usage(
            f"there is no topic {topic!r}",
            nearest(topic, list(topics.TOPICS)) or f"topics: {', '.join(topics.TOPICS)}; evsectl COMMAND --help",
        )
    write(pairs(topics.TOPICS[topic], how.screen), how)
    return exits.OK
