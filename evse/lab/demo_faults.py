"""Faults in the report of the demo: what was raised and cleared, what the table says should happen, what was seen to happen.

Everything seen comes from the daemon's own event history: phases of the connectors, faults raised and cleared.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Final

from evse.domain.fault_table import FAULTS
from evse.domain.faults import FaultCode
from evse.units import NS_PER_S, s

CHARGING: Final = "charging"
"""Phase of a connector with current to the vehicle."""

LEAD_NS: Final = s(5)
"""Energy may be off for so long before a fault has stood long enough to be named."""

OF_STATION: Final = 1
"""Connector whose phases stand for a fault of the whole station."""


def fault_rows(faults: Sequence[dict[str, Any]], phases: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return one row per fault, in the order in which they were raised.

    ``faults`` and ``phases`` = events "fault." and "phase." as the API gives them, newest first. Each row has

    * ``reaction`` and ``impact``: what the table says;
    * ``charged``: the connector (of a fault of the station: the first one) was charging when the fault came;
    * ``charging_ended_s``: seconds until it was not any more; negative = the energy was off before the fault was named,
      None = it went on, or had not been charging;
    * ``charging_again_s``: seconds from the end of the fault to the next charging; None = never, or it had gone on.
    """
    rows: list[dict[str, Any]] = []
    for event in reversed(faults):
        data = event["data"]
        if event["kind"] == "fault.raised":
            rows.append(_raised(event))
        elif event["kind"] == "fault.cleared":
            for row in rows:
                if (row["code"], row["evse_id"], row["cleared_at"]) == (data["code"], event["evse_id"], None):
                    row["cleared_at"], row["cleared_by"] = event["wall"], data["by"]
    for row in rows:
        _seen(row, phases)
    return rows


def _raised(event: dict[str, Any]) -> dict[str, Any]:
    data = event["data"]
    spec = FAULTS[FaultCode(data["code"])]
    return {
        "code": data["code"], "name": data["name"], "severity": data["severity"], "evse_id": event["evse_id"],
        "detail": data["detail"], "reaction": spec.reaction.value, "impact": spec.impact, "raised_at": event["wall"],
        "cleared_at": None, "cleared_by": None, "charged": False, "charging_ended_s": None, "charging_again_s": None,
    }  # fmt: skip


def _seen(row: dict[str, Any], phases: Sequence[dict[str, Any]]) -> None:
    """Fill in what the connector did around the fault."""
    evse_id = row["evse_id"] or OF_STATION
    mine = [(e["wall"], e["data"]["phase"]) for e in reversed(phases) if e["evse_id"] == evse_id]
    raised, cleared = row["raised_at"], row["cleared_at"]
    ends = [later[0] for now, later in pairwise(mine) if now[1] == CHARGING and later[0] >= raised - LEAD_NS]
    before = [phase for wall, phase in mine if wall < raised]
    row["charged"] = (bool(before) and before[-1] == CHARGING) or any(end < raised for end in ends)
    if row["charged"] and ends and (cleared is None or ends[0] <= cleared):
        row["charging_ended_s"] = _seconds(ends[0] - raised)
    if cleared is not None and (row["charging_ended_s"] is not None or not row["charged"]):
        again = next((wall for wall, phase in mine if wall >= cleared and phase == CHARGING), None)
        row["charging_again_s"] = None if again is None else _seconds(again - cleared)


def _seconds(duration_ns: int) -> float:
    return round(duration_ns / NS_PER_S, 2)


def fault_text(row: dict[str, Any]) -> str:
    """Return a row in one line."""
    where = row["evse_id"] or "station"
    parts = [f"{row['code']} on {where}: {row['detail']}", f"reaction: {row['reaction']}"]
    if row["charging_ended_s"] is not None:
        parts.append(f"charging ended after {row['charging_ended_s']:g} s")
    elif row["charged"]:
        parts.append("charging went on")
    parts.append("still active" if row["cleared_at"] is None else f"cleared by {row['cleared_by']}")
    if row["charging_again_s"] is not None:
        parts.append(f"charging again {row['charging_again_s']:g} s later")
    return "; ".join(parts)
