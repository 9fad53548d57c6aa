"""What the live planner remembers about AC EVSEs: shares given, draws seen, who is on since when, and the house's load.

Pure: `observe` takes the memory and the readings of one moment and returns the next memory. Currents in mA per phase.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from evse.domain.base import Frozen
from evse.domain.limits import CurrentRequest
from evse.domain.station import GridSpec
from evse.planner import feedback
from evse.planner.ac_problem import PHASES, Phases
from evse.planner.feedback import Draw, DrawRule
from evse.units import NS_PER_S, DurationNs, Instant

MARGIN_MA = 1_000
"""What a lowered vehicle keeps above its draw."""

RAISE_EVERY_NS: DurationNs = 15 * NS_PER_S
"""A vehicle needs 5 s to follow (IEC 61851-1), a meter up to 5 s more to show it, and once more for good measure."""

FOLLOW_NS: DurationNs = 5 * NS_PER_S
"""So long a vehicle may go on with its old share (IEC 61851-1), whatever the meter says meanwhile."""

CONFIRM_MAX_NS: DurationNs = 10 * NS_PER_S
"""Without a confirming reading the new share counts after this time; a reading above it still reserves what it says."""

DC_FOLLOW_NS: DurationNs = 2 * NS_PER_S

METER_TOLERANCE_MA = 500
SINGLE_NS: DurationNs = 15 * NS_PER_S
"""A vehicle that uses one line of three for so long is counted on one phase until it leaves."""

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
    voltage_mv: int = 230_000


class Point(Frozen, frozen=True, kw_only=True):
    """One EVSE, of a DC one only the first fields. ``held_ma`` = what it may still draw since a reduction at ``lowered_at``."""

    evse_id: int
    share_ma: int = 0
    held_ma: int = 0
    lowered_at: Instant = 0
    ignores_ma: int = 0  # draws so much although it had time to follow a smaller share; 0 = it obeys
    draw: Draw = Draw()
    asks: bool = False
    switched_at: Instant | None = None  # by the planner, from or to nothing
    charged_ns: DurationNs = 0  # grows while on, shrinks while paused
    single_since: Instant | None = None
    single: bool = False


class AcMemory(Frozen, frozen=True, kw_only=True):
    """All points, the house's load that counts, and when this was."""

    points: tuple[Point, ...] = ()
    house_ma: Phases = (0, 0, 0)
    house_at: tuple[Instant, Instant, Instant] = (0, 0, 0)
    rise_ma: Phases = (0, 0, 0)  # smallest load since `rise_at`
    rise_at: tuple[Instant, Instant, Instant] = (0, 0, 0)  # above `house_ma` since, 0 = it is not
    at: Instant = 0

    def point(self, evse_id: int) -> Point:
        """Return what is known about an EVSE."""
        return next((p for p in self.points if p.evse_id == evse_id), Point(evse_id=evse_id))


def observe(
    memory: AcMemory, grid: GridSpec, requests: Sequence[CurrentRequest], site: SiteLoad, now: Instant
) -> AcMemory:
    """Return the memory after the readings of ``now``. An EVSE that no longer asks frees those that were paused."""
    rule = DrawRule(threshold_ma=grid.threshold_ma, margin_ma=MARGIN_MA, raise_every_ns=RAISE_EVERY_NS)
    passed = max(0, now - memory.at) if memory.at else 0
    points = [_point(memory.point(r.evse_id), r, rule, passed, now) for r in requests]
    if any(memory.point(p.evse_id).asks and not p.asks for p in points):
        points = [msgspec.structs.replace(p, switched_at=None) if p.asks and not p.share_ma else p for p in points]
    asked = {r.evse_id for r in requests}
    points += [_dc_point(p, now) for p in memory.points if p.evse_id not in asked]
    house = [_house(memory, site, k, now) for k in range(PHASES)]
    a, b, c = house
    return AcMemory(
        points=tuple(points),
        house_ma=(a[0], b[0], c[0]),
        house_at=(a[1], b[1], c[1]),
        rise_ma=(a[2], b[2], c[2]),
        rise_at=(a[3], b[3], c[3]),
        at=now,
    )


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


def _point(p: Point, r: CurrentRequest, rule: DrawRule, passed: DurationNs, now: Instant) -> Point:
    asks = r.wanted_ma > 0
    held, ignores = _reserved(p, r.measured_ma, now)
    if not asks:
        return Point(
            evse_id=p.evse_id, share_ma=p.share_ma, held_ma=held, lowered_at=p.lowered_at, ignores_ma=ignores
        )
    draw = feedback.observe(p.draw, rule, r.offered_ma, r.measured_ma, now)
    if draw.ceiling_ma is not None and r.measured_ma is not None and r.offered_ma > draw.ceiling_ma:
        draw = Draw(ceiling_ma=max(draw.ceiling_ma, r.measured_ma + rule.margin_ma), since=draw.since)
    since, single = p.single_since, p.single
    if r.single:
        since = now if since is None else since
        single = single or now - since >= SINGLE_NS
    elif r.measured_ma is None or r.measured_ma > MARGIN_MA:  # nobody knows, or it uses more lines
        since, single = None, False
    charged = p.charged_ns + passed if p.share_ma else max(0, p.charged_ns - passed)
    return msgspec.structs.replace(
        p, held_ma=held, ignores_ma=ignores, draw=draw, asks=True, charged_ns=charged, single_since=since, single=single
    )


def _dc_point(p: Point, now: Instant) -> Point:
    """A DC EVSE: modules follow by themselves, no meter is waited for."""
    if p.held_ma > p.share_ma and now - p.lowered_at >= DC_FOLLOW_NS:
        return msgspec.structs.replace(p, held_ma=p.share_ma)
    return p


def _reserved(p: Point, measured_ma: int | None, now: Instant) -> tuple[int, int]:
    """Return what may still flow since the last reduction, and what a vehicle draws that does not follow."""
    waited = now - p.lowered_at
    known = 0 if measured_ma is None else measured_ma
    above = known - p.share_ma > METER_TOLERANCE_MA
    if p.held_ma > p.share_ma and not (p.share_ma == 0 and measured_ma == 0):
        unsure = measured_ma is None or above
        if waited < FOLLOW_NS or (waited < CONFIRM_MAX_NS and unsure):
            return p.held_ma, known if p.ignores_ma and above else 0
    return p.share_ma, known if above and (p.ignores_ma or waited >= FOLLOW_NS) else 0
