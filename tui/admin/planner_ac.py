"""Shares of AC connectors on the planner screen: what they want, get and on which phases."""

from __future__ import annotations

from evse.api.models import PlannerState, PlannerTotals
from evse.domain.limits import CurrentAllocation
from tui import format as fmt
from tui.widgets.frame import Frame
from tui.words import SOURCES

SOURCES_SHOWN = 3


def share_line(row: CurrentAllocation) -> str:
    """``  2   32.0 A   13.4 A   13.4 A  L1 L2 L3  the fuse ... is full on L1``."""
    cells = "".join(f"{ma / 1000:>7.1f} A" for ma in (row.requested_ma, row.target_ma, row.assigned_ma))
    phases = " ".join(f"L{k + 1}" for k in row.phases)
    return f"{row.evse_id:>4}{cells}  {phases:<8}  {row.detail}"


HEADS = f"{'Conn':>4}{'Wants':>9}{'Target':>9}{'Gets':>9}  {'Phases':<8}  Reason"


def paint_shares(frame: Frame, y: int, rows: tuple[CurrentAllocation, ...]) -> int:
    """Paint a line each, paused vehicles first; return the line below."""
    frame.put(0, y, HEADS, "title", limit=frame.width)
    y += 1
    ordered = sorted(rows, key=lambda row: (not row.paused, not row.requested_ma, row.evse_id))
    for row in ordered:
        frame.put(0, y, share_line(row), "warn" if row.paused else "", limit=frame.width)
        y += 1
    return y


def allowed_line(state: PlannerState) -> str:
    """``Allowed now 40.0/40.0/16.0 A: the installer's limit; the limit from 8:00``; "" = nothing is limited per phase."""
    if state.allowed is None:
        return ""
    amps = "/".join(f"{ma / 1000:.1f}" for ma in state.allowed.limit_ma)
    return f"Allowed now {amps} A: {'; '.join(dict.fromkeys(state.allowed.words))}"


def totals_line(name: str, totals: PlannerTotals | None, width: int) -> str:
    """``Today 41.2 kWh, peak 22.0 kW, site 25.1 kW; limited by Vehicle 30.1 kWh 03h 10m ...``; "" = nothing was counted.
    As many sources as ``width`` has room for, each whole."""
    if totals is None or not totals.evses:
        return ""
    site = "" if totals.site_peak_w is None else f", site {fmt.kw(totals.site_peak_w)} kW"
    text = f"{name} {fmt.kwh(sum(e.energy_wh for e in totals.evses))} kWh, peak {fmt.kw(totals.peak_w)} kW{site}"
    each = [f"{SOURCES[row.source]} {fmt.kwh(row.energy_wh)} kWh {fmt.duration(row.limited_s)}" for row in totals.sources[:SOURCES_SHOWN]]
    longest = [f"{text}; {words} {', '.join(each[:n])}" for n in range(len(each), 0, -1) for words in ("limited by", "by")]
    return next((line for line in longest if len(line) <= width), text)


def _since(totals: PlannerTotals | None) -> str:
    """``Since 21.11.2026``; without a clock that was ever set ``In all``."""
    return "In all" if totals is None or totals.since is None else f"Since {fmt.stamp(totals.since)[:10]}"


def paint_totals(frame: Frame, y: int, state: PlannerState) -> int:
    """Paint what is allowed per phase and the analytics, one line each; return the line below."""
    width = frame.width - 1
    lines = (allowed_line(state), totals_line("Today", state.today, width), totals_line(_since(state.total), state.total, width))
    for text in lines:
        if text:
            frame.put(1, y, text, "", limit=width)
            y += 1
    return y
