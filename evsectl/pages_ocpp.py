"""Pages of the back-end link."""

from __future__ import annotations

from evsectl import pages, tables
from evsectl import tables_ocpp as t
from evsectl.layout import RED, Row, Screen, clean, fit, paint, pairs, plain, table, wrap

CHECKS = {"full": "chain and host name", "chain": "CHAIN ONLY", "none": "NOTHING"}
SOURCES = {"ntp": "NTP of this station", "csms": "the CSMS", "system": "the clock of this station"}


def state(s: Row, where: Screen) -> str:
    """The link on one page."""
    if not s["enabled"]:
        return pairs([("CSMS", pages.csms(s))], where)
    offset = s["clock_offset_ms"]
    clocks = "" if offset is None else f"; the CSMS is {abs(offset) / 1000:.1f} s {'ahead' if offset >= 0 else 'behind'}"
    held = [f"{s['queued']} waiting for an answer"]
    held += [f"{s['parked']} PARKED after refusals: evsectl ocpp queue list"] if s["parked"] else []
    held += [f"{s['foreign']} FOR ANOTHER BACK END: evsectl ocpp queue list"] if s["foreign"] else []
    dial = f"{s['failures']} without success in a row" if s["failures"] and not s["connected"] else "none has failed since the last link"
    if s["next_dial_s"] is not None and not s["connected"]:
        dial += f"; the next in {s['next_dial_s']} s"
    rows = [
        ("CSMS", pages.csms({**s, "queued": 0})),
        ("Since", tables.clock(s["since"])),
        ("Target", s["target"] + (f" at {s['peer']}" if s["peer"] else "")),
        ("Identity", s["charge_point_id"]),
        ("Security", f"profile {s['security_profile']}" + (f"; {s['security_note']}" if s["security_note"] else "")),
        ("Dials", dial),
        ("Booted", tables.clock(s["last_boot"])),
        ("Heartbeat", f"every {s['heartbeat_s']} s, last {tables.clock(s['last_heartbeat'])}"),
        ("Ping", f"every {s['ping_s']} s, {s['ping_timeout_s']} s for its answer" if s["ping_s"] else "off"),
        ("Time", f"{SOURCES.get(s['time_source'], 'NOT KNOWN')}{clocks}"),
        ("Messages", f"{s['sent']} sent, {s['received']} received"),
        ("Transactions", ", ".join(held)),
        ("Last error", plain(s["last_error"])),
    ]
    return pairs(rows, where)


def messages(items: list[Row], where: Screen) -> str:
    """Messages on a terminal: the payload below its message, over the whole width."""
    heads = [column for column in t.MESSAGE if not column.wide and column.header != "PAYLOAD"]
    lines = table(items, fit(items, heads, where), headers=False, where=where).splitlines()
    out = []
    for item, line in zip(items, lines, strict=True):
        out.append(line)
        out += [f"    {part}" for part in wrap(clean(item["payload"]), where.page - 4)]
    return "".join(f"{line}\n" for line in out)


def message_line(item: Row) -> str:
    """One message of a live view as one line."""
    answer = t.latency(item)
    words = [
        tables.clock(item["wall"]), t.ARROWS.get(item["direction"], "?"), item["type"], item["action"] or "-",
        *([f"EVSE {item['evse_id']}"] if item["evse_id"] else []), *([f"({answer})"] if item["type"] != "call" and answer else []),
        item["payload"],
    ]  # fmt: skip
    return clean(" ".join(words)) + "\n"


def explanation(item: Row, where: Screen) -> str:
    """What the profiles allow at one place, and every profile with its reason."""
    head = [("Station" if not item["evse_id"] else f"Connector {item['evse_id']}", item["text"])]
    head.append(("May take", f"{item['power_w'] / 1000:.1f} kW, {item['current_ma'] / 1000:.1f} A per phase; rating {item['rated_w'] / 1000:.1f} kW"))
    if item["changes_at"] is not None:
        head.append(("Changes", f"{tables.clock(item['changes_at'])} UTC to {item['next_power_w'] / 1000:.1f} kW"))
    elif not item["calendar"]:
        head.append(("Changes", "unknown: the station does not know the date"))
    else:
        head.append(("Changes", "not within 7 days"))
    if item["binds"] is not None:
        head.append(("Binds", "yes" if item["binds"] else f"no; now it is {item['binding']}"))
    text = pairs(head, where)
    here = [row for row in item["items"] if row["standing"] != "elsewhere"]
    if here:
        columns = fit(here, [column for column in t.STANDINGS if column.header != "WHY"], where)
        heading, *lines = table(here, columns, where=where).splitlines()
        text += heading + "\n"
        for row, line in zip(here, lines, strict=True):
            text += "".join(f"{part}\n" for part in (line, *(f"    {why}" for why in wrap(clean(row["why"]), where.page - 4))))
    gone = len(item["items"]) - len(here)
    return text + (f"{gone} more belong elsewhere: -o json shows all\n" if gone else "")


def doctor(body: Row, where: Screen) -> str:
    """The steps, what was measured at the one that failed, and what to do."""
    steps = body["items"]
    columns = [column for column in t.DOCTOR if not column.wide]
    how = "beside the link that stands" if body["live"] else "on a connection of its own"
    text = f"{clean(body['url'])}, {how}\n" + table(steps, columns, where=where)
    if body.get("note"):
        text += f"\n{pairs([('Note', body['note'])], where)}"
    for step in steps:
        if step["result"] in ("warning", "failed"):
            facts = [("", clean(fact)) for fact in step["facts"]]
            todo = [("To do", step["remedy"] or "nothing is known")]
            text += f"\n{paint(step['name'], RED if where.color else '')}\n{pairs([*todo, *facts], where)}"
    return text


def key(row: Row, where: Screen) -> str:
    """One configuration key with what it takes and what it does."""
    value = "(never told)" if row["writeonly"] else f"{row['value']} {row['unit']}".strip() or "-"
    rows = [
        ("Key", row["key"]), ("Value", value), ("Access", {"R": "read only", "W": "write only"}.get(t.access(row), "read and write")),
        *([] if row["readonly"] else [("Takes", takes(row))]),
        *([("Counts", row["applies"])] if row["applies"] else []),
        ("Profile", row["profile"]),
        *([("Does", row["help"])] if row["help"] else []),
    ]
    return pairs(rows, where)


def takes(row: Row) -> str:
    """What a key can be set to."""
    kind = {"bool": "true or false", "text": "text", "secret": "text"}.get(row["type"], "")
    text = row["range"].replace(",", ", ") if row["range"] else kind or row["type"]
    return f"{text} {row['unit']}".strip()


def _password(s: Row) -> str:
    text = "not set" if not s["key_set"] else "set" if s["key_age_s"] is None else f"set {s['key_age_s'] // 86_400} days ago"
    return text + (f", user {s['user']}" if s["user"] else "")


def security(s: Row, profiles: dict[int, str], where: Screen) -> str:
    """How the link is secured; warnings first."""
    tls, staged, gone, own = s["tls"], s["staged"], s["given_up"], s["certificate"]
    rows = [("WARNING", text) for text in s["warnings"]]
    rows += [
        ("Profile", f"{s['profile']}: {profiles[s['profile']]}"),
        ("URL", s["url"] + ("" if s["proven"] else "  (no CSMS has accepted the station here yet)")),
        ("Password", _password(s)),
        ("Checks", "nothing: no TLS" if s["url"].startswith("ws://") else CHECKS.get(s["verify"], s["verify"])),
        *([("Revocation", s["revocation"])] if s["revocation"] and not s["url"].startswith("ws://") else []),
        ("TLS", "none yet" if tls is None else f"{tls['version']} {tls['cipher']}, {tls['peer']}, until {tables.clock(tls['valid_to'])[:10]}"),
        ("Roots", str(s["roots"])),
        ("Certificate", "none" if own is None else f"{own['subject']} until {tables.clock(own['valid_to'])[:10]}, issued by {own['issuer']}"),
    ]
    if s["request_pending"] or s["signing"]:
        rows.append(("Signing", s["signing"] or "waits for the CSMS"))
    if staged is not None:
        turn = "with the next connection" if staged["next"] else "later again"
        rows.append(("Change", f"{staged['changed']} by {staged['by']}, try {staged['tries'] + 1} of {staged['limit']} {turn}"))
        rows += [("", f"to profile {staged['profile']} at {staged['url']}"), *([("", staged["last_error"])] if staged["last_error"] else [])]
    if gone is not None:
        rows.append(("Given up", f"{gone['changed']}, {tables.clock(gone['at'])}: {gone['error']}"))
    if s["last_failure"]:
        rows.append(("Last failure", s["last_failure"]))
    if s["events_waiting"]:
        rows.append(("Events", f"{s['events_waiting']} wait for the CSMS"))
    return pairs(rows, where)
