"""Check the JSON of ``evsectl demo --headless -o json`` against what the demo promises. Exit 1 with every broken promise."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

SESSION_KEYS = {
    "evse_id",
    "connector_id",
    "energy_wh",
    "duration_s",
    "soc_start_pct",
    "soc_end_pct",
    "meter_start_wh",
    "meter_stop_wh",
    "stop_reason",
    "id_token",
    "transaction_id",
}

AC_KEYS = {"phases", "offered_max_ma"}
"""What sessions of AC connectors have besides; their vehicles say nothing of their battery."""


def problems(report: dict[str, Any]) -> list[str]:
    """Return every promise that ``report`` breaks."""
    found = []
    sessions = report["sessions"]
    if len(sessions) < 2 or len({s["evse_id"] for s in sessions}) < 2:
        found.append(f"two completed sessions on two connectors expected, got {len(sessions)}")
    for s in sessions:
        name = f"session on EVSE {s.get('evse_id')}"
        if missing := SESSION_KEYS - set(s):
            found.append(f"{name}: keys missing: {sorted(missing)}")
            continue
        if s["energy_wh"] <= 0:
            found.append(f"{name}: energy_wh = {s['energy_wh']}")
        if s["meter_stop_wh"] - s["meter_start_wh"] != s["energy_wh"]:
            found.append(f"{name}: meter {s['meter_start_wh']}..{s['meter_stop_wh']} is not energy {s['energy_wh']}")
        if not isinstance(s["transaction_id"], int):
            found.append(f"{name}: no accepted transaction id")
        if ac := AC_KEYS & set(s):
            if ac != AC_KEYS or not 1 <= s["phases"] <= 3 or s["offered_max_ma"] < 6_000:
                found.append(f"{name}: AC side is {[s.get(key) for key in sorted(AC_KEYS)]} (offered_max_ma, phases)")
        elif s["soc_start_pct"] is None:
            found.append(f"{name}: neither a battery nor an AC side")
        if not s["stop_reason"]:
            found.append(f"{name}: no stop reason")
    site = report["site"]
    for key in ("assigned_max_w", "measured_max_w"):
        if site["limit_w"] and site[key] > site["limit_w"]:
            found.append(f"site: {key} = {site[key]} is above limit_w = {site['limit_w']}")
    if site["measured_max_w"] <= 0:
        found.append("site: nothing was measured")
    if report["ticks"]["count"] <= 0:
        found.append("ticks: none")
    if report["ocpp"]["queued"] != 0:
        found.append(f"ocpp: {report['ocpp']['queued']} messages were never answered")
    found += [f"ocpp: {text}" for text in report["ocpp"].get("frames_wrong", ())]
    if report["ocpp"].get("frames_checked") == 0:
        found.append("ocpp: no frame was checked by the official schemas")
    return found


def main() -> int:
    """Command line: one file."""
    report = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    found = problems(report)
    for problem in found:
        print(f"demo: {problem}", file=sys.stderr)
    if not found:
        t = report["ticks"]
        print(
            f"demo: {len(report['sessions'])} sessions, {t['count']} ticks, {t['late']} late, worst {t['lateness_max_ms']:.1f} ms"
        )
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
