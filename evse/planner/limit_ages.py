"""Since when each limit of an EVSE has its value: what nobody set at a known moment is as old as it has been seen unchanged.

Limits that were set (charging profiles, limits of the site, named ones) know their age by themselves. Of the others the wiring, a fuse
and an installer's limit stand since the configuration was loaded, a cable since the plug went in, a share since the plan
that gave it. Pure: `shown` takes a view and returns the same one with ages.
"""

from __future__ import annotations

from collections.abc import Iterable

from msgspec.structs import replace

from evse.domain.limits import LimitEntry, LimitSource
from evse.domain.station import EvseSpec, StationSpec
from evse.domain.view import EvseView, StationView
from evse.planner.shared_caps import SharedCap
from evse.units import NS_PER_S, Instant

CONFIGURED = frozenset({
    LimitSource.HARDWARE, LimitSource.EVSE, LimitSource.GRID, LimitSource.SITE, LimitSource.OCPP_STATIC,
})  # fmt: skip
"""Sources whose values come from the configuration unless they have an age of their own."""

RATED = frozenset({LimitSource.HARDWARE, LimitSource.CABLE})
"""Ratings in A: of a DC EVSE they are shown in W, which move with the voltage while the rating stands."""

Key = tuple[LimitSource, int]
"""A source, and which of its limits without an age."""


class LimitAges:
    """What was seen of each EVSE: the value of each limit, and since when it is the same."""

    def __init__(self, loaded_at: Instant) -> None:
        self._loaded_at = loaded_at
        self._seen: dict[int, dict[Key, tuple[int, Instant]]] = {}
        self._rated: dict[int, tuple[EvseSpec, Instant]] = {}
        self._shared: dict[str, tuple[tuple[int, ...], Instant]] | None = None

    def shown(self, view: StationView, spec: StationSpec, now: Instant) -> StationView:
        """Return the view with the age of every limit; give it every view, or values seem to stand longer than they do."""
        for row in spec.evses:
            rated = self._rated.get(row.evse_id)
            if rated is None or (rated[0] is not row and rated[0] != row):
                self._rated[row.evse_id] = row, self._loaded_at if rated is None else now
        return replace(view, evses=tuple(self._evse(evse, now) for evse in view.evses))

    def _evse(self, view: EvseView, now: Instant) -> EvseView:
        before, seen = self._seen.get(view.evse_id, {}), dict[Key, tuple[int, Instant]]()
        rows: list[LimitEntry] = []
        for entry in view.limits:
            if entry.age_s is None:
                key = (entry.source, sum(1 for source, _ in seen if source is entry.source))
                value = entry.power_w if entry.current_ma is None else entry.current_ma
                since = self._since(view.evse_id, entry, value, before.get(key), now)
                seen[key] = value, since
                entry = replace(entry, age_s=max(0, now - since) // NS_PER_S)
            rows.append(entry)
        self._seen[view.evse_id] = seen
        return replace(view, limits=tuple(rows)) if rows else view

    def _since(self, evse_id: int, entry: LimitEntry, value: int, known: tuple[int, Instant] | None, now: Instant) -> Instant:
        if entry.current_ma is None and entry.source in RATED and evse_id in self._rated:
            return self._rated[evse_id][1]
        if known is not None:
            return known[1] if known[0] == value else now
        return self._loaded_at if entry.source in CONFIGURED else now

    def shared(self, caps: Iterable[SharedCap], now: Instant) -> tuple[SharedCap, ...]:
        """Return caps that several connectors share with their ages; those that are there the first time came with the configuration."""
        seen, rows = dict[str, tuple[tuple[int, ...], Instant]](), []
        for cap in caps:
            known = None if self._shared is None else self._shared.get(cap.name)
            since = self._loaded_at if self._shared is None else known[1] if known is not None and known[0] == cap.value else now
            seen[cap.name] = cap.value, since
            rows.append(replace(cap, entry=replace(cap.entry, age_s=max(0, now - since) // NS_PER_S)))
        self._shared = seen
        return tuple(rows)
