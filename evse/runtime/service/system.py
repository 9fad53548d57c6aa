"""Operations on the daemon itself: version, the whole status, and the two streams."""

from __future__ import annotations

import os
import platform

from evse import __version__
from evse.api import models as m
from evse.api.operations import Empty
from evse.api.service import Caller
from evse.runtime.service.backend import ocpp_summary
from evse.runtime.station import Station
from evse.units import NS_PER_MS, NS_PER_S


class SystemOperations:
    """``version.get``, ``status.get``."""

    _station: Station

    async def version_get(self, request: Empty, caller: Caller) -> m.Version:
        """Version of the daemon."""
        return m.Version(version=__version__, python=platform.python_version())

    async def status_get(self, request: Empty, caller: Caller) -> m.Status:
        """The whole station."""
        return make_status(self._station)


def make_status(station: Station) -> m.Status:
    """Everything a front end needs to draw its first screen."""
    stats = station.loop.stats
    return m.Status(
        station_id=station.config.station.id,
        support_phone=station.config.station.support_phone,
        language=station.config.station.language,
        view=station.view(),
        ocpp=ocpp_summary(station),
        links=tuple(
            m.DeviceLink(
                name=h.name,
                kind=h.kind,
                where=h.where,
                online=h.online,
                detail=h.detail,
                frames_in=h.frames_in,
                frames_out=h.frames_out,
                errors=h.errors,
                reconnects=h.reconnects,
            )
            for h in station.devices.health()
        ),
        system=m.System(
            version=__version__,
            started_at=station.started_wall,
            uptime_s=(station.clock.wall() - station.started_wall) // NS_PER_S,
            config_path=str(station.config_path or ""),
            data_dir=str(station.data_dir),
            pid=os.getpid(),
            restart_needed=station.restart_needed(),
            tick=m.TickStats(
                count=stats.count,
                late=stats.late,
                lateness_max_ms=stats.lateness_max_ns / NS_PER_MS,
                duration_mean_us=stats.duration_sum_ns / 1000 / max(1, stats.count),
                limit_changes=stats.limit_changes,
                limit_ticks_max=stats.limit_ticks_max,
            ),
        ),
    )
