"""What a simulated day comes to: one row per policy, and how it is printed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from evse.domain.base import Frozen

NO_SWITCHING: Final = "no-switching"
"""The planner with everybody on the phases that the point has."""

SLOT_S: Final = 900.0
"""The profile counts quarter hours."""

BARS: Final = "▁▂▃▄▅▆▇█"
BARS_ASCII: Final = ".:-=+*#%"


class Served(Frozen, frozen=True, kw_only=True):
    """One visit: energy it got, energy it would have got alone on this site, seconds it wanted and got nothing, and the most of
    these in one go (None = nobody looked)."""

    energy_wh: float
    alone_wh: float
    waited_s: float
    longest_s: float | None = None


class DayResult(Frozen, frozen=True, kw_only=True):
    """A policy's day. Energies in Wh, powers in W at the grid (AC) or behind the rectifiers times efficiency (DC).

    ``fairness`` = Jain's index of energy over what each would have got alone (1 = all the same share), ``worst`` = the
    smallest such share. ``peak`` = largest use over its limit among all limits. ``broken`` = limits that were exceeded, in
    words. ``longest_wait_s`` = the longest that anybody wanted and got nothing in one go (None = nobody looked).
    ``unbalanced_s``, ``unbalanced_ma``: how long and how far an imbalance limit was exceeded; ``by_itself_s`` of it since a vehicle
    stopped or drew less by itself, until the others had followed. ``switches`` between one and three phases (None = nobody may),
    ``switches_most`` = those of the session with most of them.
    """

    policy: str
    visits: int
    turned_away: int
    asked_wh: int
    alone_wh: int
    energy_wh: int
    waited_h: float
    fairness: float
    worst: float
    peak_w: int
    peak: float
    peak_of: str
    relay_operations: int
    plans: int
    broken: tuple[str, ...]
    unbalanced_s: float
    unbalanced_ma: int
    profile_w: tuple[int, ...]
    longest_wait_s: int | None = None
    by_itself_s: float = 0.0
    switches: int | None = None
    switches_most: int | None = None


def judged(
    policy: str, served: Sequence[Served], *, turned_away: int, asked_wh: float, peak: tuple[float, float, str],
    profile_wh: Sequence[float], plans: int, broken: Sequence[str], relay_operations: int = 0, unbalanced_s: float = 0.0,
    unbalanced_ma: int = 0, by_itself_s: float = 0.0, switches: int | None = None, switches_most: int | None = None,
) -> DayResult:
    """Sum a day up. ``peak`` = (W, share of the limit, its name); ``profile_wh`` per quarter of an hour."""
    shares = [min(1.0, s.energy_wh / s.alone_wh) for s in served if s.alone_wh > 0]
    used = max((i for i, wh in enumerate(profile_wh) if wh >= 1), default=-1) + 1
    squares = sum(share * share for share in shares)
    longest = [s.longest_s for s in served if s.longest_s is not None]
    return DayResult(
        policy=policy,
        visits=len(served),
        turned_away=turned_away,
        asked_wh=round(asked_wh),
        alone_wh=round(sum(s.alone_wh for s in served)),
        energy_wh=round(sum(s.energy_wh for s in served)),
        waited_h=round(sum(s.waited_s for s in served) / 3600, 2),
        fairness=round(sum(shares) ** 2 / (len(shares) * squares), 4) if squares else 1.0,
        worst=round(min(shares, default=1.0), 4),
        peak_w=round(peak[0]),
        peak=round(peak[1], 4),
        peak_of=peak[2],
        relay_operations=relay_operations,
        plans=plans,
        broken=tuple(broken[:20]),
        unbalanced_s=round(unbalanced_s, 1),
        unbalanced_ma=unbalanced_ma,
        by_itself_s=round(by_itself_s, 1),
        switches=switches,
        switches_most=switches_most,
        profile_w=tuple(round(wh * 4) for wh in profile_wh[:used]),
        longest_wait_s=round(max(longest)) if longest else None,
    )


class Report(Frozen, frozen=True, kw_only=True):
    """A site and its day under each policy."""

    kind: str
    site: str
    day: str
    seed: int | None
    connectors: int
    results: tuple[DayResult, ...]
    wall_seconds: float


def document(report: Report) -> dict[str, Any]:
    """The report as it is printed with ``-o json``."""
    built: dict[str, Any] = msgspec.to_builtins(report)
    return built


def _bars(profile_w: Sequence[int], top_w: float, glyphs: str) -> str:
    """Half-hours as bars of eight heights."""
    pairs = [max(profile_w[i : i + 2]) for i in range(0, len(profile_w), 2)]
    return "".join(" " if w <= 0 else glyphs[min(7, int(8 * w / top_w))] for w in pairs) if top_w else ""


def table(report: Report, *, ascii_only: bool = False) -> str:
    """The report for people."""
    day = report.day if report.seed is None else f"{report.day}, seed {report.seed}"
    lines = [f"{report.site}: {report.connectors} connectors, {day}", ""]
    wide = max(12, *(len(r.policy) + 1 for r in report.results))
    relays = report.kind != "ac"
    head = f"{'':<{wide}}{'served':>9}{'of alone':>10}{'waiting':>9}{'fairness':>10}{'worst':>8}{'peak':>9}{'of limit':>10}"
    head += f"{'relays':>8}" if relays else ""
    lines.append(head)
    for r in report.results:
        part = 100 * r.energy_wh / r.alone_wh if r.alone_wh else 100.0
        row = f"{r.policy:<{wide}}{r.energy_wh / 1000:>5.0f} kWh{part:>8.1f} %{r.waited_h:>7.1f} h{r.fairness:>10.3f}{100 * r.worst:>6.0f} %"
        row += f"{r.peak_w / 1000:>6.0f} kW{100 * r.peak:>8.0f} %"
        lines.append(row + (f"{r.relay_operations:>8}" if relays else ""))
    first = report.results[0]
    mine = report.results[: 2 if report.kind == "mixed" else 1]
    lines += ["", f"{sum(r.visits for r in mine)} visits asked for {sum(r.asked_wh for r in mine) / 1000:.0f} kWh"]
    if any(r.turned_away for r in mine):
        lines[-1] += f"; {sum(r.turned_away for r in mine)} more found no free connector"
    if report.kind == "mixed":
        lines[-1] += "; limits, peaks and differences of the AC rows are those of all connectors together"
    top = max((max(r.profile_w, default=0) for r in report.results), default=0)
    glyphs = BARS_ASCII if ascii_only else BARS
    hours = max((len(r.profile_w) for r in report.results), default=0) // 4 + 1
    lines += ["", f"{'power by':<{wide}}" + "".join(f"{f'{h} h':<12}" for h in range(0, hours, 6))]
    lines += [f"{r.policy:<{wide}}{_bars(r.profile_w, top, glyphs)}" for r in report.results]
    for r in report.results:
        lines += [f"{r.policy}: limit broken: {text}" for text in r.broken]
        if r.longest_wait_s:
            lines.append(f"{r.policy}: nobody waited for more than {r.longest_wait_s / 60:.1f} min at a time")
        if r.unbalanced_s:
            text = f"{r.policy}: {r.unbalanced_s / 60:.1f} min beyond an imbalance limit, by {r.unbalanced_ma / 1000:.1f} A at most"
            lines.append(text + f"; {r.by_itself_s / 60:.1f} min of it since a vehicle stopped or left by itself")
    none = next((r for r in report.results if r.policy == NO_SWITCHING), None)
    if none is not None and first.switches is not None:
        gain = (first.energy_wh - none.energy_wh) / 1000
        most = f", at most {first.switches_most} in a session," if first.switches else ""
        lines.append(f"{first.policy}: {first.switches} switches between one and three phases{most} gave {gain:+.1f} kWh against none")
    lines += ["", f"{first.policy}: nearest limit {first.peak_of}; {first.plans} plans; {report.wall_seconds:.1f} s in all"]
    return "\n".join(lines) + "\n"
