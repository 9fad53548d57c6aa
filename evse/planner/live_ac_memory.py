"""What the live planner remembers about AC EVSEs: shares given, draws seen, who is on since when, and the house's load.

Pure: `observe` takes the memory and the readings of one moment and returns the next memory. Currents in mA per phase.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from evse.domain.ac import NOMINAL_MV
from evse.domain.base import Frozen
from evse.domain.limits import CurrentRequest
from evse.domain.station import GridSpec
from evse.planner import feedback
from evse.planner.ac_problem import PHASES, Phases
from evse.planner.feedback import Draw, DrawRule
from evse.planner.transition import AC_PACE, DC_PACE, Follower, follow
from evse.units import NS_PER_S, DurationNs, Instant

MARGIN_MA = 1_000
"""What a lowered vehicle keeps above its draw."""

RAISE_EVERY_NS: DurationNs = 15 * NS_PER_S
"""A vehicle needs 5 s to follow (IEC 61851-1), a meter up to 5 s more to show it, and once more for good measure."""

LINES_NS: DurationNs = 15 * NS_PER_S
"""A vehicle that uses so many lines for so long is counted on these until it uses more, or leaves."""

DC_SHARE_PACE = msgspec.structs.replace(DC_PACE, slack=AC_PACE.slack)
"""As `DC_PACE`, in mA of each phase."""

HOUSE_RISE_NS: DurationNs = 3 * NS_PER_S
HOUSE_HOLD_NS: DurationNs = 10 * NS_PER_S
"""A larger load of the house counts when it has lasted so long, a smaller one after the longer time: meters are not read at
the same moment, so that a vehicle that begins to charge looks like a load of the house for a moment."""


class SiteLoad(Frozen, frozen=True, kw_only=True):
    """What is known about the grid connection. ``house_ma`` = load that is not ours; None = no fresh reading.

    ``fitted`` False = there is no site meter: nothing but this station hangs at the connection. ``voltage_mv`` = lowest
    phase voltage to count DC power with.
    """

    fitted: bool = False
    house_ma: Phases | None = None
    voltage_mv: int = NOMINAL_MV


class Point(Frozen, frozen=True, kw_only=True):
    """One EVSE, of a DC one only the first fields. ``follower`` = its share and what it may still draw, mA."""

    evse_id: int
    follower: Follower = Follower()
    draw: Draw = Draw()
    asks: bool = False
    changed_at: Instant = 0  # the share
    switched_at: Instant | None = None  # by the planner, from or to nothing
    charged_ns: DurationNs = 0  # grows while on; a newcomer begins with the least of those who ask, so nobody starves
    wired: int = 0  # lines that the last request could get; others are counted anew
    seen: int = 0  # lines that the meter shows, since `seen_at`
    seen_at: Instant = 0
    lines: int = 0  # lines that it is known to use, 0 = not known yet
    idle: bool = False  # it draws nothing although it may

    @property
    def share_ma(self) -> int:
        """The share in force."""
        return self.follower.share

    @property
    def held_ma(self) -> int:
        """What it may still draw since its share was larger, at least its share."""
        return self.follower.held

    @property
    def ignores_ma(self) -> int:
        """What it draws although it had time to follow a smaller share; 0 = it obeys."""
        return self.follower.ignores


class AcMemory(Frozen, frozen=True, kw_only=True):
    """All points, the house's load that counts, and when this was."""

    points: tuple[Point, ...] = ()
    house_ma: Phases = (0, 0, 0)
    house_at: tuple[Instant, Instant, Instant] = (0, 0, 0)
    rise_ma: Phases = (0, 0, 0)  # smallest load since `rise_at`
    rise_at: tuple[Instant, Instant, Instant] = (0, 0, 0)  # above `house_ma` since, 0 = it is not
    fall_ma: Phases = (0, 0, 0)  # largest load since `fall_at`
    fall_at: tuple[Instant, Instant, Instant] = (0, 0, 0)  # below `house_ma` since, 0 = it is not
    at: Instant = 0

    @property
    def house_low_ma(self) -> Phases:
        """What the house is certain to take: a smaller load counts for differences as soon as a larger one does."""
        a, b, c = (
            low if since and self.at - since >= HOUSE_RISE_NS else counts
            for counts, low, since in zip(self.house_ma, self.fall_ma, self.fall_at, strict=True)
        )
        return a, b, c

    def point(self, evse_id: int) -> Point:
        """Return what is known about an EVSE."""
        return next((p for p in self.points if p.evse_id == evse_id), Point(evse_id=evse_id))


def observe(
    memory: AcMemory,
    grid: GridSpec,
    requests: Sequence[CurrentRequest],
    site: SiteLoad,
    now: Instant,
    dc_ma: Mapping[int, int | None] | None = None,
) -> AcMemory:
    """Return the memory after the readings of ``now``. An EVSE that no longer asks frees those that were paused.

    ``dc_ma`` = what DC EVSEs take of each phase, None = nobody knows.
    """
    rule = DrawRule(threshold_ma=grid.threshold_ma, margin_ma=MARGIN_MA, raise_every_ns=RAISE_EVERY_NS)
    passed = max(0, now - memory.at) if memory.at else 0
    least = min((p.charged_ns for p in memory.points if p.asks), default=0)
    known = {p.evse_id: p for p in memory.points}
    points = [_point(known.get(r.evse_id) or Point(evse_id=r.evse_id), r, rule, passed, least, now) for r in requests]
    if any(p.evse_id in known and known[p.evse_id].asks and not p.asks for p in points):
        points = [msgspec.structs.replace(p, switched_at=None) if p.asks and not p.share_ma else p for p in points]
    asked = {r.evse_id for r in requests}
    drawn = dc_ma or {}
    points += [
        msgspec.structs.replace(
            p, follower=follow(p.follower, drawn.get(p.evse_id), DC_SHARE_PACE, now),
            charged_ns=p.charged_ns + (passed if p.asks and p.share_ma else 0),
        )
        for p in memory.points
        if p.evse_id not in asked
    ]
    house = [_house(memory, site, k, now) for k in range(PHASES)]
    a, b, c = house
    falls = [_fall(memory, site, k, counts[0], now) for k, counts in enumerate(house)]
    x, y, z = falls
    return AcMemory(
        points=tuple(points),
        house_ma=(a[0], b[0], c[0]),
        house_at=(a[1], b[1], c[1]),
        rise_ma=(a[2], b[2], c[2]),
        rise_at=(a[3], b[3], c[3]),
        fall_ma=(x[0], y[0], z[0]),
        fall_at=(x[1], y[1], z[1]),
        at=now,
    )


def with_dc(memory: AcMemory, dc: Mapping[int, bool]) -> AcMemory:
    """Return the memory with the DC EVSEs ``dc`` that ask for power, or no longer do: they take turns with the AC EVSEs."""
    known = {p.evse_id: p for p in memory.points}
    least = min((p.charged_ns for p in memory.points if p.asks), default=0)
    left = any(e in known and known[e].asks and not asks for e, asks in dc.items())
    points = []
    for p in (*memory.points, *(Point(evse_id=e) for e in dc if e not in known)):
        asks = dc.get(p.evse_id, p.asks)
        if asks and not p.asks:
            p = msgspec.structs.replace(p, asks=True, charged_ns=least)
        elif not asks and p.asks:
            p = Point(evse_id=p.evse_id, follower=p.follower)
        if left and p.asks and not p.share_ma:
            p = msgspec.structs.replace(p, switched_at=None)
        points.append(p)
    return msgspec.structs.replace(memory, points=tuple(points))


def _house(memory: AcMemory, site: SiteLoad, k: int, now: Instant) -> tuple[int, Instant, int, Instant]:
    """Return load, its time, and the rise that is not believed yet, of one phase."""
    counts, at, low, since = memory.house_ma[k], memory.house_at[k], memory.rise_ma[k], memory.rise_at[k]
    if site.house_ma is None:
        return counts, at, 0, 0
    load = max(0, site.house_ma[k])
    if not at or (load <= counts and now - at >= HOUSE_HOLD_NS):
        return load, now, 0, 0
    if load == counts:
        return counts, now, 0, 0
    if load < counts:
        return counts, at, 0, 0
    low, since = (min(low, load), since) if since else (load, now)
    return (low, now, 0, 0) if now - since >= HOUSE_RISE_NS else (counts, at, low, since)


def _fall(memory: AcMemory, site: SiteLoad, k: int, counts: int, now: Instant) -> tuple[int, Instant]:
    """Return the largest load since it is below the one that counts, and since when, of one phase; a lost meter says nothing."""
    high, since = memory.fall_ma[k], memory.fall_at[k]
    if site.house_ma is None:
        return high, since
    load = max(0, site.house_ma[k])
    if load >= counts:
        return 0, 0
    return (max(high, load), since) if since else (load, now)


def _point(
    p: Point, r: CurrentRequest, rule: DrawRule, passed: DurationNs, least: DurationNs, now: Instant
) -> Point:
    asks = r.wanted_ma > 0
    follower = follow(p.follower, r.measured_ma, AC_PACE, now, cut=r.cut)
    if not asks:
        return Point(evse_id=p.evse_id, follower=follower)
    draw = feedback.observe(p.draw, rule, r.offered_ma, r.measured_ma, now)
    if draw.ceiling_ma is not None and r.measured_ma is not None and r.offered_ma > draw.ceiling_ma:
        draw = Draw(ceiling_ma=max(draw.ceiling_ma, r.measured_ma + rule.margin_ma), since=draw.since)
    if p.wired != r.lines:
        p = msgspec.structs.replace(p, wired=r.lines, seen=0, lines=0)
    seen, seen_at, lines = _lines(p, r, now)
    charged = (p.charged_ns if p.asks else least) + (passed if p.asks and p.share_ma else 0)
    return msgspec.structs.replace(
        p, follower=follower, draw=draw, asks=True, charged_ns=charged, seen=seen, seen_at=seen_at, lines=lines,
        idle=draw.ceiling_ma is not None and r.measured_ma is not None and r.measured_ma < MARGIN_MA,
    )  # fmt: skip


def _lines(p: Point, r: CurrentRequest, now: Instant) -> tuple[int, Instant, int]:
    """Return the lines that the meter shows, since when, and those to count the vehicle on (0 = not known)."""
    if not r.lines_used:
        if r.measured_ma is None or r.measured_ma > MARGIN_MA:  # nobody knows which lines carry it
            return 0, 0, 0
        return 0, 0, p.lines  # it draws nothing: as before
    seen_at = p.seen_at if p.seen == r.lines_used else now
    if p.lines and r.lines_used > p.lines:
        return r.lines_used, seen_at, r.lines_used  # more at once, fewer when it lasts
    return r.lines_used, seen_at, r.lines_used if now - seen_at >= LINES_NS else p.lines
