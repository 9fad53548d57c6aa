"""Shares of AC connectors on the planner screen: what they want, get and on which phases."""

from __future__ import annotations

from evse.domain.limits import CurrentAllocation
from tui.widgets.frame import Frame


def share_line(row: CurrentAllocation) -> str:
    """``  2   32.0 A   13.4 A   13.4 A  L1 L2 L3  the fuse ... is full on L1``."""
    cells = "".join(f"{ma / 1000:>7.1f} A" for ma in (row.requested_ma, row.target_ma, row.assigned_ma))
    phases = " ".join(f"L{k + 1}" for k in row.phases)
    return f"{row.evse_id:>4}{cells}  {phases:<8}  {row.detail}"


HEADS = f"{'Conn':>4}{'Wants':>9}{'Target':>9}{'Gets':>9}  {'Phases':<8}  Reason"


def paint_shares(frame: Frame, y: int, rows: tuple[CurrentAllocation, ...], lines: int) -> int:
    """Paint at most ``lines`` lines, paused vehicles first; return the line below."""
    frame.put(0, y, HEADS, "title", limit=frame.width)
    y += 1
    ordered = sorted(rows, key=lambda row: (not row.paused, not row.requested_ma, row.evse_id))
    for row in ordered[: max(0, lines - 1)]:
        frame.put(0, y, share_line(row), "warn" if row.paused else "", limit=frame.width)
        y += 1
    return y
