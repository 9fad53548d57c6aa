"""Local time of the site for hours and days. Summer time is the time zone's affair: every minute is looked up, none is counted."""

from __future__ import annotations

import zoneinfo
from datetime import UTC, datetime

from evse.units import NS_PER_S, WallNs

MINUTE_NS = 60 * NS_PER_S


class LocalDay:
    """Minute of the local day of a moment, and which day it is. An unknown zone (the file was checked on another machine) counts as UTC."""

    def __init__(self, name: str) -> None:
        try:
            self._zone: zoneinfo.ZoneInfo | None = zoneinfo.ZoneInfo(name)
        except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
            self._zone = None
        self._last = (-1, 0, 0)  # minute since 1970, and what it is locally: minute of the day, day

    def minute(self, wall: WallNs) -> int:
        """Return 0..1439."""
        return self._local(wall)[1]

    def date(self, wall: WallNs) -> int:
        """Return the number of the local day."""
        return self._local(wall)[2]

    def _local(self, wall: WallNs) -> tuple[int, int, int]:
        since = wall // MINUTE_NS
        if since != self._last[0]:
            moment = datetime.fromtimestamp(since * 60, tz=UTC)
            local = moment if self._zone is None else moment.astimezone(self._zone)
            self._last = (since, local.hour * 60 + local.minute, local.date().toordinal())
        return self._last
