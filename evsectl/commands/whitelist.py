"""``evsectl whitelist``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from evsectl import exits, reads, tables
from evsectl.diagnostics import Abort, note, usage
from evsectl.layout import pairs, plain
from evsectl.options import Call, Host, OutFile, confirm, data, session, text_options
from evsectl.output import emit, write

app = typer.Typer(
    add_completion=False, rich_markup_mode=None, no_args_is_help=True,
    help="The station's own list of cards and vehicles.",
)  # fmt: skip

Id = Annotated[str, typer.Argument(help="Card number or vehicle MAC, e.g. 04A3B2C1 or 00:10:BA:DA:55:01", metavar="ID")]
Name = Annotated[str, typer.Option("--name", help="Whose it is", metavar="TEXT")]
Expires = Annotated[str, typer.Option("--expires", help="Last day is the one before, e.g. 2027-12-31", metavar="WHEN")]
Blocked = Annotated[bool, typer.Option("--blocked", help="Refuse it, whatever others say")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask")]

WAIT_S = 8
"""Longest wait of one call; below the time limit of a call."""
LEARN_MIN_S, LEARN_MAX_S = 5, 300


@data(app, "WhitelistEntry", "list", key="id")
def list_(
    call: Call,
    text: Annotated[str, typer.Argument(help="Part of an id or a name; without it all", metavar="[TEXT]")] = "",
    limit: Annotated[int, typer.Option("--limit", "-n", help="Rows", min=1, max=1000, metavar="N")] = 100,
    offset: Annotated[int, typer.Option("--offset", help="Skip this many", min=0, metavar="N")] = 0,
) -> int:
    """List cards and vehicles in order of their ids."""
    body = call.ask("whitelist.list", text=text, limit=limit, offset=offset)
    emit(
        "WhitelistEntry", body["items"], tables.WHITELIST, call.options, name="id",
        empty="No entry matches." if text or offset else "The list is empty. Add one with: evsectl whitelist learn",
    )  # fmt: skip
    if body["items"] and call.human and not call.options.file:
        note(f"{offset + 1}-{offset + len(body['items'])} of {body['total']} entries")
    return exits.OK


@data(app, "WhitelistEntry", key="id")
def show(call: Call, id_: Id) -> int:
    """Show one entry and what it answers now."""
    return _show(call, call.ask("whitelist.get", id=id_))


@data(app, "WhitelistEntry", key="id")
def add(call: Call, id_: Id, name: Name = "", expires: Expires = "", blocked: Blocked = False) -> int:
    """Add a card or a vehicle."""
    return _show(call, call.ask("whitelist.add", id=id_, name=name, allow=not blocked, expires=expires))


@data(app, "WhitelistEntry", key="id")
def edit(
    call: Call,
    id_: Id,
    name: Annotated[str | None, typer.Option("--name", help="Whose it is", metavar="TEXT")] = None,
    expires: Annotated[
        str | None, typer.Option("--expires", help="A date, or never", metavar="WHEN")
    ] = None,
    allow: Annotated[bool | None, typer.Option("--allow/--blocked", help="May it charge")] = None,
) -> int:
    """Change an entry; what is not named stays."""
    if name is None and expires is None and allow is None:
        usage("nothing to change", "name, date or permission: --name, --expires, --allow, --blocked")
    change: dict[str, Any] = {"id": id_}
    if name is not None:
        change["name"] = name
    if expires is not None:
        change["expires"] = "" if expires == "never" else expires
    if allow is not None:
        change["allow"] = allow
    return _show(call, call.ask("whitelist.edit", **change))


@data(app, "Done")
def remove(call: Call, id_: Id) -> int:
    """Remove an entry; success when it is not there."""
    return _done(call, call.ask("whitelist.remove", id=id_))


@data(app, "Done")
def clear(call: Call, yes: Yes = False) -> int:
    """Remove every entry."""
    total = call.ask("whitelist.list", limit=1)["total"]
    if total:
        confirm(
            f"Remove all {total} entries?",
            lambda: ["cards and vehicles that only this list knows cannot charge any more",
                     "a copy first: evsectl whitelist export -O FILE"],
            yes=yes,
        )  # fmt: skip
    return _done(call, call.ask("whitelist.clear"))


@data(app, "WhitelistCounts", "import")
def import_(
    call: Call,
    source: Annotated[str, typer.Argument(help="CSV: type,id,name,allow,expires, or one column of ids; - = standard input", metavar="FILE")],
    replace: Annotated[bool, typer.Option("--replace", help="The file becomes the whole list")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check and count, change nothing")] = False,
    yes: Yes = False,
) -> int:
    """Take a whole CSV file, or nothing of it."""
    text = _read(source)
    plan = call.ask("whitelist.import", text=text, replace=replace, dry_run=True)
    if plan["removed"] and not dry_run:
        confirm(
            f"Replace the list? {plan['removed']} entries go.",
            lambda: [f"{plan['added']} come, {plan['changed']} change, {plan['unchanged']} stay as they are"],
            yes=yes,
        )
    body = plan if dry_run else call.ask("whitelist.import", text=text, replace=replace)
    if call.human:
        counts = f"{body['added']} added, {body['changed']} changed, {body['unchanged']} as before, {body['removed']} removed"
        write(f"{counts}\n", call.options)
    else:
        emit("WhitelistCounts", [body], [], call.options, single=True)
    if dry_run:
        note("dry run: nothing was changed")
    return exits.OK


@app.command()
def export(file: OutFile = "", host: Host = "") -> int:
    """Write the whole list as CSV."""
    body = session(host).call("whitelist.export")
    write(body["text"].replace("\r\n", "\n"), text_options(file))
    note(f"{body['entries']} entries")
    return exits.OK


@data(app, "WhitelistWindow")
def learn(
    call: Call,
    reader: Annotated[str, typer.Option("--reader", help="Learn the next card at this reader", metavar="NAME")] = "",
    connector: Annotated[
        int, typer.Option("--connector", help="Learn the next vehicle here", min=0, max=48, metavar="ID")
    ] = 0,
    name: Name = "",
    expires: Expires = "",
    blocked: Blocked = False,
    timeout: Annotated[str, typer.Option("--timeout", help="Wait so long: 5s to 5m", metavar="TIME")] = "30s",
    cancel: Annotated[bool, typer.Option("--cancel", help="Stop learning that somebody has begun")] = False,
) -> int:
    """Learn the next card or vehicle; it starts nothing meanwhile."""
    if cancel:
        return _done(call, call.ask("whitelist.cancel"))
    seconds = _seconds(timeout)
    if not reader and not connector:
        reader = _only_reader(call)
    window = call.ask(
        "whitelist.learn", reader=reader, evse_id=connector, seconds=seconds, name=name, allow=not blocked,
        expires=expires,
    )  # fmt: skip
    where = f"a card at {reader}" if reader else f"a vehicle at connector {connector}"
    note(f"waiting {seconds} s for {where}; Ctrl-C ends it")
    number = window["number"]
    pause = max(1, min(WAIT_S, int(call.session.timeout_s) - 2))
    try:
        while window["stage"] == "waiting" and window["number"] == number:
            window = call.ask("whitelist.window", number=number, seconds=pause)
    except KeyboardInterrupt:
        call.ask("whitelist.cancel")
        raise
    if not call.human:
        emit("WhitelistWindow", [window], [], call.options, single=True)
    return _learned(call, window, where)


def _learned(call: Call, window: dict[str, Any], where: str) -> int:
    stage, entry = window["stage"], window["entry"]
    if stage == "learned":
        return _show(call, entry) if call.human else exits.OK
    if stage == "known":
        note(f"{entry['id']} is on the list already, unchanged")
        return exits.OK
    if stage == "expired":
        raise Abort(
            exits.TIMEOUT, f"{where}: nothing came", "hold the card still for a second, or give more time: --timeout", "expired"
        )
    if stage == "cancelled":
        raise Abort(exits.FAILED, "somebody stopped the learning", "", "cancelled")
    raise Abort(exits.FAILED, f"not learned: {window['why']}", "", "failed")


def _seconds(text: str) -> int:
    seconds = round(reads.seconds(text))
    if not LEARN_MIN_S <= seconds <= LEARN_MAX_S:
        usage(f"--timeout {text} is outside {LEARN_MIN_S}s..{LEARN_MAX_S // 60}m", "for example: --timeout 1m")
    return seconds


def _only_reader(call: Call) -> str:
    names = [row["name"] for row in call.ask("rfid.last")["items"]]
    if len(names) != 1:
        usage("which reader or connector?", f"--reader {' or '.join(names) or 'NAME'}, or --connector ID")
    return str(names[0])


def _show(call: Call, entry: dict[str, Any]) -> int:
    if not call.human:
        emit("WhitelistEntry", [entry], tables.WHITELIST, call.options, name="id", single=True)
        return exits.OK
    rows = [
        ("Id", entry["id"]),
        ("Type", tables.WHITELIST_TYPES.get(entry["type"], entry["type"])),
        ("Name", plain(entry["name"])),
        ("Answer", tables.WHITELIST_SAYS.get(entry["says"], entry["says"])),
        ("Expires", tables.clock(entry["expires_at"]) if entry["expires_at"] else "never"),
        ("Added", tables.clock(entry["created_at"])),
        ("Last used", tables.clock(entry["used_at"])),
    ]
    write(pairs(rows, call.screen), call.options)
    return exits.OK


def _done(call: Call, body: dict[str, Any]) -> int:
    if call.human:
        write((body["detail"] or "done") + "\n", call.options)
    else:
        emit("Done", [body], [], call.options, single=True)
    return exits.OK


def _read(source: str) -> str:
    try:
        raw = sys.stdin.buffer.read() if source == "-" else Path(source).read_bytes()
    except OSError as error:
        raise Abort(exits.USAGE, f"{source}: {error.strerror}", "name a CSV file, or - for standard input") from None
    for encoding in ("utf-8-sig", "cp1252"):  # a spreadsheet on Windows may write the latter
        try:
            return raw.decode(encoding)
        except UnicodeDecodeError:
            continue
    raise Abort(exits.INVALID, f"{source}: neither UTF-8 nor Windows-1252", "save it as CSV UTF-8")
