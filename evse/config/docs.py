"""Render the options as docs/configuration.md, man/man5/station.toml.5 and docs/station.schema.json.

``python -m evse.config.docs`` writes the files, ``--check`` exits 1 when one of them is not what it should be.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import msgspec

from evse.config.model import StationConfig
from evse.config.options import Option, Table, shown, tables

ROOT = Path(__file__).resolve().parent.parent.parent

_APPLY = {"live": "at once", "idle": "when no vehicle is connected", "restart": "after a restart"}

INTRO = """# Configuration: station.toml

One TOML file describes a station. It may name a hardware profile (`profile = "generic/dc-2x60"`) and override it:
tables merge, EVSEs and module groups meet by `id`, readers by `name`, everything else is replaced.

Every option is declared once in `evse/config/model.py`; this page, the man page `station.toml(5)` and
`station.schema.json` are rendered from there by `python -m evse.config.docs`. The unit is the last word of a name.
A file with mistakes is refused with all of them at once, each with file, line, key, value and remedy:

    station.toml:14: site.limit_kw = 60: unknown key, wrong unit; use limit_w = 60000

Site limits hold at the AC side; the vehicles together get at most `limit_w * efficiency_permille / 1000`.
A serial port has one owner: boards and readers have theirs alone, meters may share one with equal line settings and
different addresses.
"""

EXAMPLE = """profile = "generic/dc-2x60"

[station]
id = "CP-0042"
support_phone = "+41 00 000 00 00"

[[evse]]
id = 1
board = { port = "/dev/serial/by-id/usb-board-left" }

[[evse]]
id = 2
board = { port = "/dev/serial/by-id/usb-board-right" }

[site]
limit_w = 60000

[ocpp]
enabled = true
url = "wss://csms.example/ocpp"
"""


def _range(option: Option) -> str:
    if option.choices:
        return ", ".join(f'"{c}"' if isinstance(c, str) else str(c) for c in option.choices)
    if option.low is not None and option.high is not None:
        return f"{option.low}..{option.high}"
    if option.length_max is not None:
        return f"at most {option.length_max} characters"
    if option.length_min:
        return "not empty"
    return ""


def _default(option: Option) -> str:
    if option.required:
        return "required"
    if option.default is None:
        return "none"
    return f'"{option.default}"' if isinstance(option.default, str) else shown(option.default)


def _heading(table: Table) -> str:
    if not table.key:
        return "top of the file"
    return f"[[{table.key.replace('[]', '')}]]" if table.many else f"[{table.key.replace('[]', '')}]"


def markdown() -> str:
    """docs/configuration.md."""
    lines = [INTRO, "## Example\n", "```toml", EXAMPLE.rstrip(), "```\n", "## Options\n"]
    for table in tables():
        lines.append(f"### {_heading(table)}\n")
        if table.help:
            lines.append(f"{table.help}\n")
        if not table.options:
            continue
        lines += [
            "| option | type | unit | range | default | takes effect | OCPP key | meaning |",
            "|---|---|---|---|---|---|---|---|",
        ]
        for o in table.options.values():
            secret = " (never shown)" if o.secret else ""
            cells = (f"`{o.name}`", o.kind, o.unit, _range(o), _default(o), _APPLY[o.apply], o.ocpp, o.help + secret)
            lines.append("| " + " | ".join(cells) + " |")
        lines.append("")
    return "\n".join(lines).rstrip() + "\n"


def _roff(text: str) -> str:
    text = text.replace("\\", "\\e").replace("-", "\\-").replace('"', "\\(dq")
    return "\\&" + text if text.startswith((".", "'")) else text


def man_page() -> str:
    """man/man5/station.toml.5."""
    lines = [
        '.TH STATION.TOML 5 "" "evse-station" "File formats"',
        ".SH NAME",
        "station.toml \\- configuration of a charging station",
        ".SH DESCRIPTION",
        "One TOML file describes a station. With",
        ".B profile",
        "it names a hardware profile and overrides it: tables merge, EVSEs and module groups meet by",
        ".BR id ,",
        "readers by",
        ".BR name .",
        "The unit of a number is the last word of its name. Site limits hold at the AC side.",
        ".PP",
        "A file with mistakes is refused with all of them at once, each with file, line, key, value and remedy.",
        ".SH OPTIONS",
    ]
    for table in tables():
        lines.append(f".SS {_roff(_heading(table))}")
        if table.help:
            lines.append(_roff(table.help))
        for o in table.options.values():
            lines += [".TP", f".B {_roff(o.name)}"]
            facts = [
                o.kind + (f", {o.unit}" if o.unit else ""),
                _range(o),
                f"default {_default(o)}" if not o.required else "required",
            ]
            lines.append(_roff(f"{o.help} ({'; '.join(f for f in facts if f)}). Takes effect {_APPLY[o.apply]}."))
            if o.ocpp:
                lines.append(_roff(f"OCPP key {o.ocpp}."))
    lines += [
        ".SH EXAMPLE",
        ".nf",
        *(_roff(line) for line in EXAMPLE.rstrip().split("\n")),
        ".fi",
        ".SH SEE ALSO",
        ".BR evsectl (1)",
    ]
    return "\n".join(lines) + "\n"


def schema() -> str:
    """docs/station.schema.json: JSON Schema of the file, with x-apply and x-ocpp."""
    document: dict[str, Any] = msgspec.json.schema(StationConfig)
    titled = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "station.toml", **document}
    return json.dumps(titled, indent=1, ensure_ascii=False, sort_keys=True) + "\n"


def files() -> dict[str, str]:
    """Path from the root of the checkout, and what must be in it."""
    return {
        "docs/configuration.md": markdown(),
        "docs/station.schema.json": schema(),
        "man/man5/station.toml.5": man_page(),
    }


def main(arguments: list[str], root: Path = ROOT) -> int:
    """Write the files, or compare them with ``--check``."""
    stale = 0
    for name, text in files().items():
        path = root / name
        if "--check" in arguments:
            if not path.is_file() or path.read_text(encoding="utf-8") != text:
                sys.stderr.write(f"{name} is not up to date; run python -m evse.config.docs\n")
                stale = 1
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
    return stale


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
