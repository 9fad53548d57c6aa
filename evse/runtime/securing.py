"""How the security of OCPP is put together for a running station, and who keeps its secrets."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from evse import __version__
from evse.access.vault import DIRECTORY, KeyringVault
from evse.devices.polled import Offload
from evse.ocpp.security.facade import Security

if TYPE_CHECKING:
    from evse.runtime.station import Station

T = TypeVar("T")


class OffloadRunner:
    """`evse.access.ports.Runner` where the station runs what blocks."""

    def __init__(self, offload: Offload) -> None:
        self._offload = offload

    async def run(self, job: Callable[[], T]) -> T:
        """See `evse.access.ports.Runner.run`."""
        return await self._offload(job)


def make_vault(station: Station) -> KeyringVault:
    """Return the vault of a station; there is one only, so that two writers never meet."""
    return KeyringVault(station.data_dir / DIRECTORY, OffloadRunner(station.offload))


async def open_security(station: Station) -> Security | None:
    """Return the security of a station, opened; None when OCPP is switched off. The start is its first event."""
    config = station.config
    if not config.ocpp.enabled:
        return None
    security = Security(
        config.ocpp, config.ocpp.charge_point_id or config.station.id, station.clock, station.store, station.vault,
        station.offload,
    )
    await security.open()
    security.log.note("StartupOfTheDevice", f"evsed {__version__}")
    return security
