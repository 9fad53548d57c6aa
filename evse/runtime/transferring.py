"""How file transfers over OCPP are put together for a running station."""

from __future__ import annotations

import ssl
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from evse import __version__
from evse.devices.polled import in_thread
from evse.domain.base import DeviceError
from evse.domain.firmware import Firmware
from evse.ocpp.client import OcppClient
from evse.ocpp.dialler import dial_options
from evse.ocpp.transfers.carrier import NetCarrier
from evse.ocpp.transfers.firmware import FirmwareOptions
from evse.ocpp.transfers.partial import MIB
from evse.ocpp.transfers.ports import Limits, Net
from evse.ocpp.transfers.transfers import Told, Transfers
from evse.ocpp.transfers.worker import Result
from evse.runtime.installer import ProgramInstaller
from evse.runtime.stopping import order_end
from evse.runtime.support_bundle import BundleSource
from evse.runtime.views import transaction_runs

if TYPE_CHECKING:
    from random import Random

    from evse.ocpp.security.facade import Security
    from evse.runtime.station import Station

FOLDER = "transfers"
"""Below the data directory."""

VERSION_MAX = 50
"""Characters of firmwareVersion in BootNotification."""


class StationSite:
    """`evse.ocpp.transfers.ports.Site` on a running station."""

    def __init__(self, station: Station) -> None:
        self._station = station

    def online(self) -> bool:
        """Tell whether the CSMS has accepted the station and the link stands."""
        return self._station.ocpp is not None and self._station.ocpp.online

    def transaction_runs(self) -> bool:
        """Tell whether any transaction runs."""
        return any(transaction_runs(evse) for evse in self._station.view().evses)

    def set_updating(self, updating: bool) -> None:
        """From the next tick on nobody begins (or may begin again), and the lamps show it."""
        self._station.loop.updating = updating

    def updating(self) -> bool:
        """What `set_updating` was told last."""
        return self._station.loop.updating

    def end_transactions(self) -> None:
        """Order the end of every transaction that runs."""
        order_end(self._station)

    async def restart(self) -> None:
        """Let the process end as after a reset: the service manager starts what was activated."""
        self._station.reset_requested = "soft"


def make_installer(station: Station) -> Firmware | None:
    """Return what installs firmware on this station, None = nothing does."""
    command = station.config.firmware.installer
    return station.firmware or (ProgramInstaller(command) if command else None)


async def firmware_version(firmware: Firmware | None) -> str:
    """Return the version that BootNotification tells: what the installer says runs, else that of this package."""
    if firmware is None:
        return __version__
    try:
        return (await firmware.version())[:VERSION_MAX] or __version__
    except DeviceError:
        return __version__


def make_transfers(
    station: Station, client: OcppClient, firmware: Firmware | None, rng: Random, security: Security | None
) -> Transfers:
    """Return the transfers of a station, attached to its client and not yet loaded."""

    def net() -> Net:
        config = station.config.ocpp
        limits = Limits(idle_s=float(config.transfer_idle_s), total_s=float(config.transfer_limit_s))
        return Net(
            tls=ssl.create_default_context if security is None else security.file_tls, dial=dial_options(config), limits=limits,
            ftp_try_tls=client.configuration.flag("ftpTryTLSUpgrade"), http_upload=config.http_upload,
        )

    def options() -> FirmwareOptions:
        config, keys = station.config.firmware, client.configuration
        return FirmwareOptions(
            size_max=config.max_mib * MIB, wait_idle=config.wait_idle, signed_only=config.signed_only,
            force=keys.flag("ForceUpdate"), notice_s=keys.number("PreUnavailabilityForUpdate"),
        )

    def ended(result: Result) -> None:
        station.announce("transfer.ended", 0, {
            "what": result.kind, "ok": result.ok, "status": result.status, "request_id": result.request_id,
            "location": result.location, "why": result.text[:200],
        })

    transfers = Transfers(
        station.store, station.vault, station.carrier or NetCarrier(net), StationSite(station), station.clock, rng,
        station.data_dir / FOLDER, station=station.config.station.id, firmware=firmware,
        source=BundleSource(
            station, None if security is None else security.log_text, journal=station.offload is in_thread
        ),
        options=options, signatures=security,
        note=_ignore if security is None else security.log.note, offload=station.offload,
    )
    transfers.ended = ended
    _attach(transfers, client)
    return transfers


def _ignore(kind: str, text: str) -> None:
    """Security events of a station that keeps none."""


def _attach(transfers: Transfers, client: OcppClient) -> None:
    """Take the place in the client: handlers, triggers, the profile, and what is said on each registered link."""
    client.handlers.extensions.append(transfers.table)
    client.handlers.busy = transfers.busy
    client.jobs.append(transfers.send)
    client.configuration.add_profile("FirmwareManagement")
    for name, told in transfers.triggers().items():
        client.handlers.triggers[name] = _saying(client, told)
    client.handlers.extended["FirmwareStatusNotification"] = _saying(
        client, lambda: transfers.firmware.triggered(signed=True)
    )


def _saying(client: OcppClient, told: Told) -> Callable[[], Awaitable[None]]:
    async def say() -> None:
        engine = client.link.engine
        if engine is not None:  # what the CSMS asks for is also said while it has not accepted the station
            await engine.call(*told())

    return say
