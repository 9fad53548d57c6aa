"""Records made before the station knew the time, put right when it does.

A stamp before ``valid_from`` was taken from a calendar that was never set. Those of this process are off by the same amount,
which monotonic time knows. Those of processes before it cannot be known: the newest of them is put at the start of this one,
the others before it with their distances, so that nothing ever ends after it was delivered.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec
from msgspec.structs import replace

from evse.domain.records import OutboxRow, PointRecord
from evse.domain.session import SessionRecord
from evse.domain.view import Event
from evse.units import DurationNs, WallNs

Retime = Callable[[str, DurationNs], str]
"""(payload, ns to add to its stamps that are not valid) to the payload put right."""

SESSION_STAMPS = ("plugged_at", "started_at", "ended_at", "unplugged_at")


class Marks(msgspec.Struct, frozen=True):
    """The newest records when this process began; what is above them is its own."""

    session: int
    point: int
    event: int


class Fix(msgspec.Struct, frozen=True, kw_only=True):
    """``by`` = ns to add to stamps of this process before ``valid_from``; ``began`` = its start in true UTC ns."""

    valid_from: WallNs
    by: DurationNs
    began: WallNs
    marks: Marks
    retime: Retime

    def stamp(self, wall: WallNs) -> WallNs:
        """Put one stamp of this process right."""
        return wall + self.by if wall < self.valid_from else wall

    def session(self, session: SessionRecord) -> SessionRecord:
        """Put a session right that is still held in memory as it was recorded."""
        if session.plugged_at >= self.valid_from:
            return session
        stamps = {name: getattr(session, name) for name in SESSION_STAMPS}
        return replace(session, **{name: None if at is None else self.stamp(at) for name, at in stamps.items()})

    def point(self, point: PointRecord) -> PointRecord:
        """Put a sample right."""
        return point if point.wall >= self.valid_from else replace(point, wall=self.stamp(point.wall))

    def event(self, event: Event) -> Event:
        """Put an event right."""
        return event if event.wall >= self.valid_from else replace(event, wall=self.stamp(event.wall))

    def row(self, row: OutboxRow) -> OutboxRow:
        """Put a message right that is not stored yet; a stop of now may tell of a begin that was recorded before."""
        return replace(row, created=self.stamp(row.created), payload=self.retime(row.payload, self.by))
