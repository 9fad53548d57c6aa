"""Operations on sessions, events and the audit log: reads from the store, completed with what is running now."""

from __future__ import annotations

import msgspec

from evse.api import models as m
from evse.api.errors import ApiError, ErrorCode
from evse.api.service import Caller
from evse.domain.session import SessionRecord
from evse.runtime.station import Station

PAGE_MAX = 500
POINTS_MAX = 240
EVENTS_MAX = 200


class SessionOperations:
    """``session.*``, ``events.list``, ``audit.list``."""

    _station: Station

    async def session_list(self, request: m.SessionQuery, caller: Caller) -> m.Sessions:
        """Sessions, newest first; running ones show their present energy."""
        if request.state not in ("all", "active", "completed"):
            raise ApiError(
                ErrorCode.BAD_REQUEST, f"state {request.state!r} is not known", "use all, active or completed"
            )
        items, total, energy_wh = await self._station.store.sessions(
            state=request.state,
            evse_id=request.evse_id,
            text=request.text,
            limit=_page(request.limit),
            offset=max(0, request.offset),
        )
        running = self._running()
        shown = [running.get(s.session_id, s) for s in items]
        bare = [s if s.signed is None else msgspec.structs.replace(s, signed=None) for s in shown]
        return m.Sessions(items=tuple(bare), total=total, energy_wh=energy_wh)

    async def session_get(self, request: m.SessionRef, caller: Caller) -> m.SessionDetail:
        """One session with points and events."""
        session = self._running().get(request.session_id) or await self._station.store.session(request.session_id)
        if session is None:
            raise ApiError(
                ErrorCode.NOT_FOUND,
                f"there is no session {request.session_id!r}",
                "list them with: evsectl session list",
            )
        points = await self._station.store.points(request.session_id, POINTS_MAX)
        end = session.unplugged_at or self._station.clock.wall()
        events = await self._station.store.events_between(session.evse_id, session.plugged_at, end, EVENTS_MAX)
        return m.SessionDetail(
            session=session,
            points=tuple(
                m.SessionPoint(wall=p.wall, power_w=p.power_w, soc_pct=p.soc_pct, energy_wh=p.energy_wh) for p in points
            ),
            events=tuple(events),
        )

    async def events_list(self, request: m.HistoryQuery, caller: Caller) -> m.Events:
        """Event history."""
        items, total = await self._station.store.events(
            kind_prefix=request.kind,
            evse_id=request.evse_id,
            limit=_page(request.limit),
            offset=max(0, request.offset),
        )
        return m.Events(items=tuple(items), total=total)

    async def audit_list(self, request: m.HistoryQuery, caller: Caller) -> m.Audit:
        """Who changed what."""
        items, total = await self._station.store.audits(limit=_page(request.limit), offset=max(0, request.offset))
        return m.Audit(
            items=tuple(
                m.AuditRow(
                    wall=r.wall,
                    who=r.who,
                    origin=r.origin,
                    operation=r.operation,
                    target=r.target,
                    old=r.old,
                    new=r.new,
                    result=r.result,
                )
                for r in items
            ),
            total=total,
        )

    def _running(self) -> dict[str, SessionRecord]:
        return {e.session.session_id: e.session for e in self._station.view().evses if e.session is not None}


def _page(limit: int) -> int:
    return max(1, min(limit, PAGE_MAX))
