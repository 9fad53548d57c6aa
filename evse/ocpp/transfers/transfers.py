"""All transfers of one station: what the OCPP client, the runtime and the tools see of them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from random import Random
from typing import Final

import msgspec

from evse.domain.base import DeviceError
from evse.domain.clock import Clock
from evse.domain.firmware import Firmware
from evse.ocpp.engine import Engine, Handler
from evse.ocpp.messages import Payload
from evse.ocpp.ports import SecurityNote, Vault
from evse.ocpp.transfers.addresses import Addresses
from evse.ocpp.transfers.firmware import FirmwareOptions, FirmwareUpdates
from evse.ocpp.transfers.journal import Journal
from evse.ocpp.transfers.logs import DIAGNOSTICS, LOG, Uploads
from evse.ocpp.transfers.ports import Carrier, JobStore, LogSource, Offload, Signatures, Site
from evse.ocpp.transfers.worker import RESULTS_MAX, Result, Running

log = logging.getLogger(__name__)

RESULTS: Final = "results"
KINDS: Final = ("firmware", DIAGNOSTICS, LOG)


Told = Callable[[], tuple[str, Payload]]
"""(action, payload) of a status message as it is now."""


class TransfersStatus(msgspec.Struct, frozen=True, kw_only=True):
    """What runs, how the last ones ended (newest first), and messages about them that the CSMS has not answered yet."""

    running: tuple[Running, ...]
    results: tuple[Result, ...]
    unanswered: int
    installer: bool
    """Whether the station can install firmware at all."""


class Transfers:
    """Firmware updates and uploads. `load` once, then `run` for ever and `send` on every registered link."""

    def __init__(
        self, store: JobStore, vault: Vault, carrier: Carrier, site: Site, clock: Clock, rng: Random, folder: Path, *, station: str,
        firmware: Firmware | None, source: LogSource, options: Callable[[], FirmwareOptions],
        signatures: Signatures | None, note: SecurityNote, offload: Offload,
    ) -> None:
        self._journal = Journal(store, rng)
        self._addresses = Addresses(self._journal, vault)
        self.ended: Callable[[Result], None] = lambda result: None
        """Told of every transfer that has ended."""
        self._results: tuple[Result, ...] = ()
        self._installer = firmware is not None
        self.firmware = FirmwareUpdates(
            self._journal, carrier, site, clock, firmware, folder, addresses=self._addresses, options=options,
            signatures=signatures, note=note, offload=offload, finished=self._finished,
        )
        self.diagnostics, self.logs = (
            Uploads(slot, self._journal, carrier, site, clock, source, folder, addresses=self._addresses, station=station,
                    offload=offload, finished=self._finished)
            for slot in (DIAGNOSTICS, LOG)
        )  # fmt: skip

    async def load(self) -> None:
        """Take up what a former process has left."""
        await self._journal.load()
        text = self._journal.jobs.get(RESULTS)
        if text is not None:
            try:
                self._results = msgspec.json.decode(text, type=tuple[Result, ...])
            except msgspec.DecodeError as error:
                log.error("ocpp: the stored results of transfers cannot be read and are left out: %s", error)
        for part in (self.firmware, self.diagnostics, self.logs):
            await part.load()
        await self._addresses.tidy(part.stored for part in (self.firmware, self.diagnostics, self.logs))

    async def run(self) -> None:
        """Carry everything out, for ever."""
        async with asyncio.TaskGroup() as group:
            for part in (self.firmware, self.diagnostics, self.logs):
                group.create_task(part.run())

    async def send(self, engine: Engine) -> None:
        """Say what waits, until the link ends."""
        await self._journal.send(engine)

    def table(self) -> dict[str, Handler]:
        """Return action to handler."""
        return {**self.firmware.table(), **self.diagnostics.table(), **self.logs.table()}

    def triggers(self) -> Mapping[str, Told]:
        """Name of a message that a CSMS may ask for to (action, payload) as it is now."""
        return {
            "FirmwareStatusNotification": self.firmware.triggered,
            "DiagnosticsStatusNotification": self.diagnostics.triggered,
            "LogStatusNotification": self.logs.triggered,
        }

    def busy(self) -> str:
        """Return why the station must not be restarted now, "" = it may."""
        return "firmware is being installed" if self.firmware.installing else ""

    def status(self) -> TransfersStatus:
        """What runs and what was."""
        running = (self.firmware.running(), self.diagnostics.running(), self.logs.running())
        return TransfersStatus(
            running=tuple(found for found in running if found is not None), results=self._results,
            unanswered=self._journal.waiting, installer=self._installer,
        )

    async def cancel(self, kind: str) -> str:
        """Give up the transfer of a kind (firmware, diagnostics, log); return why not, "" = done."""
        match kind:
            case "firmware":
                return await self.firmware.cancel()
            case "diagnostics":
                return await self.diagnostics.cancel()
            case "log":
                return await self.logs.cancel()
            case _:
                return f"{kind[:20]!r} is no kind of transfer; accepted: {', '.join(KINDS)}"

    async def _finished(self, result: Result) -> None:
        self.ended(result)
        self._results = (result, *self._results)[:RESULTS_MAX]
        try:
            await self._journal.commit({RESULTS: msgspec.json.encode(self._results).decode()}, [])
        except DeviceError as error:  # they are for people only
            log.warning("ocpp: transfers: %s", error)
