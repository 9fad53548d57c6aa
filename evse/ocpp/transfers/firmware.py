"""UpdateFirmware and SignedUpdateFirmware: fetch, check, install when nobody charges, restart, and say so.

One job at a time. A newer request replaces one that waits or is being fetched; from the begin of the installation until
the restart it is answered and not carried out (Charge Control C user guide 11.6). Every stage is stored before it
begins, with the status message about it, so a power cut goes on where it was: a download from what was synced, an
installation from its begin, and after the restart "Installed" is said once.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final

import msgspec

from evse.domain.base import DeviceError
from evse.domain.clock import Clock
from evse.domain.firmware import BundleError, Firmware, InstallError
from evse.ocpp.engine import Handler, Reply
from evse.ocpp.messages import CallError, Payload
from evse.ocpp.ports import SecurityNote
from evse.ocpp.transfers.addresses import Addresses
from evse.ocpp.transfers.errors import TransferError
from evse.ocpp.transfers.journal import Journal
from evse.ocpp.transfers.partial import MIB, PartFile, Saved
from evse.ocpp.transfers.ports import Carrier, Offload, Signatures, Site
from evse.ocpp.transfers.target import Target, parse_target, shown
from evse.ocpp.transfers.update import (
    ACTIVATING,
    BUSY,
    DOWNLOADED,
    DOWNLOADING,
    INSTALLED,
    INSTALLING,
    REBOOTING,
    SCHEDULED,
    SIGNED_ONLY,
    VERIFIED,
    WAITING,
    Update,
    message,
)
from evse.ocpp.transfers.worker import Meter, Result, Running, Worker, moment, remove, tries_of, until, until_true
from evse.units import NS_PER_S, DurationNs, Instant, WallNs

log = logging.getLogger(__name__)

KEY: Final = "firmware"
INSTALLS_MAX: Final = 3
"""Installations begun for one job: a bundle during which the power goes every time is given up."""

SETTLE_S: Final = 0.5
"""Between the announcement that nobody may begin and the look whether somebody just has."""

PATIENCE_NS: Final[DurationNs] = 12 * 3600 * NS_PER_S
"""So long a moment without any transaction is waited for; then nobody begins any more until the running ones have ended."""

TOLD_PAUSE_S: Final = 10
"""A shorter pause between two attempts is not told to the CSMS: it would be a flood."""

LINK_TEXT: Final = "waits for the link to the back end"

Finished = Callable[[Result], Awaitable[None]]


class FirmwareOptions(msgspec.Struct, frozen=True, kw_only=True):
    """How updates are done, read anew for each."""

    size_max: int = 1024 * MIB
    wait_idle: bool = True
    """Begin the installation only when no transaction runs; the restart waits for that in any case."""
    signed_only: bool = False
    force: bool = False
    """Install beside running transactions, and end them for the restart (ForceUpdate)."""
    notice_s: int = 0
    """Free connectors are out of service for so long before the installation (PreUnavailabilityForUpdate)."""


class _Over(Exception):
    """The job has ended."""


class FirmwareUpdates:
    """The updates of one station. `load`, then `run` for ever."""

    def __init__(
        self, journal: Journal, carrier: Carrier, site: Site, clock: Clock, firmware: Firmware | None, folder: Path, *,
        addresses: Addresses, options: Callable[[], FirmwareOptions], signatures: Signatures | None, note: SecurityNote,
        offload: Offload, finished: Finished,
    ) -> None:
        self._journal = journal
        self._addresses = addresses
        self._carrier = carrier
        self._site = site
        self._clock = clock
        self._firmware = firmware
        self._folder = folder
        self._options = options
        self._signatures = signatures
        self._note = note
        self._offload = offload
        self._finished = finished
        self._job: Update | None = None
        self._back = False  # the process has started with a job that had restarted it
        self._meter = Meter()
        self._detail = ""
        self._due: WallNs | None = None
        self._worker = Worker("firmware update", self._work)
        self._turn = asyncio.Lock()

    # -- for the others -------------------------------------------------------------------------------------------

    def table(self) -> dict[str, Handler]:
        """Return action to handler."""
        return {"UpdateFirmware": self.update_firmware, "SignedUpdateFirmware": self.signed_update_firmware}

    async def load(self) -> None:
        """Take up what a former process has left."""
        text = self._journal.jobs.get(KEY)
        if text is not None:
            try:
                self._job = msgspec.json.decode(text, type=Update)
            except msgspec.DecodeError as error:
                log.error("ocpp: the stored firmware update cannot be read and is left out: %s", error)
            else:
                self._job = await self._addresses.adopt(KEY, self._job)
        job = self._job
        self._back = job is not None and job.stage in (ACTIVATING, REBOOTING)
        kept = None if job is None else self._path(job)
        await self._offload(lambda: _tidy(self._folder, kept))

    async def run(self) -> None:
        """Carry out updates, for ever."""
        await self._worker.run()

    @property
    def stored(self) -> Update | None:
        """The job that stands, as it is stored."""
        return self._job

    @property
    def installing(self) -> bool:
        """True from the begin of an installation until the station has restarted: no reset now."""
        return self._job is not None and self._job.stage in BUSY

    def running(self) -> Running | None:
        """The update that stands, as people see it."""
        job = self._job
        if job is None:
            return None
        known = job.stage in (DOWNLOADING, INSTALLING)
        return Running(
            kind="firmware", stage=job.stage, request_id=job.request_id, location=shown(job.location), said=job.said,
            percent=self._meter.percent if known else None, bytes_done=self._meter.done, bytes_total=self._meter.total,
            attempt=job.failed + 1, attempts=job.attempts, due=self._due, detail=self._detail,
        )

    def triggered(self, *, signed: bool = False) -> tuple[str, Payload]:
        """What is said when the CSMS asks for it: the last status, or Idle (``signed``: in the words of signed updates)."""
        job = self._job
        if job is None or not job.said:
            return ("SignedFirmwareStatusNotification", {"status": "Idle"}) if signed else message(None, "Idle")
        return message(job.request_id, job.said)

    async def cancel(self) -> str:
        """Give the update up, as an operator may; return why that is not possible, "" = done."""
        async with self._turn:
            job = self._job
            if job is None:
                return "no firmware update is under way"
            if job.stage in BUSY:
                return "the installation has begun; it can no longer be cancelled"
            await self._worker.stop()
            job = self._job
            if job is None:
                return "it has just ended"
            early = job.stage in (SCHEDULED, DOWNLOADING)
            await self._end("DownloadFailed" if early else "InstallationFailed", False, "cancelled by the operator")
        return ""

    # -- requests -------------------------------------------------------------------------------------------------

    async def update_firmware(self, payload: Payload) -> Reply:
        """Replace what waits by this; during an installation the request is answered and forgotten."""
        if self._options().signed_only:
            raise CallError("NotSupported", "this station takes signed firmware only (SignedUpdateFirmware)")
        attempts, pause_s = tries_of(payload)
        wanted = Update(
            number=self._clock.wall(), location=str(payload["location"]), attempts=attempts, pause_s=pause_s,
            retrieve_at=moment(payload, "retrieveDate") or 0,
        )
        async with self._turn:
            if self.installing:
                log.warning("ocpp: UpdateFirmware is ignored: an installation is under way")
            else:
                await self._replace(wanted)
        return Reply({})

    async def signed_update_firmware(self, payload: Payload) -> Reply:
        """The same, for a file whose signing certificate is trusted."""
        firmware = payload["firmware"]
        attempts, pause_s = tries_of(payload)
        wanted = Update(
            number=self._clock.wall(), request_id=int(payload["requestId"]), location=str(firmware["location"]),
            attempts=attempts, pause_s=pause_s, retrieve_at=moment(firmware, "retrieveDateTime") or 0,
            install_at=moment(firmware, "installDateTime") or 0, certificate=str(firmware["signingCertificate"]),
            signature=str(firmware["signature"]),
        )
        async with self._turn:
            refusal = await self._refusal(wanted)
            if refusal or self.installing:
                return Reply({"status": refusal or "Rejected"})
            replaced = self._job is not None
            await self._replace(wanted)
        return Reply({"status": "AcceptedCanceled" if replaced else "Accepted"})

    async def _refusal(self, wanted: Update) -> str:
        """Return the status that refuses a request, "" = it can be done."""
        if self.installing or self._firmware is None or self._signatures is None:
            why = "an installation is under way" if self.installing else "this station has no installer for it"
            log.warning("ocpp: SignedUpdateFirmware %s rejected: %s", wanted.request_id, why)
            return "Rejected"
        try:
            parse_target(wanted.location)
        except TransferError as error:
            log.warning("ocpp: SignedUpdateFirmware %s rejected: %s", wanted.request_id, error)
            return "Rejected"
        fault = await self._signatures.check_certificate(wanted.certificate)
        if fault is not None:
            log.warning("ocpp: SignedUpdateFirmware %s: signing certificate: %s", wanted.request_id, fault.text)
            self._note("InvalidFirmwareSigningCertificate", fault.text)
            return "RevokedCertificate" if fault.revoked else "InvalidCertificate"
        return ""

    async def _replace(self, wanted: Update) -> None:
        """Put ``wanted`` in the place of what stands; when it cannot be stored, that goes on."""
        before = self._job
        if before is not None:
            await self._worker.stop()
            self._site.set_updating(False)
            wanted = msgspec.structs.replace(wanted, number=max(wanted.number, before.number + 1))
        messages = []
        if wanted.signed and wanted.retrieve_at > self._clock.wall():
            wanted = msgspec.structs.replace(wanted, said="DownloadScheduled")
            messages.append(message(wanted.request_id, wanted.said))
        try:
            wanted = await self._addresses.seal(KEY, wanted)
            await self._journal.commit({KEY: _text(wanted)}, messages)
            self._job, self._meter, self._detail, self._back = wanted, Meter(), "", False
        finally:
            self._worker.start()
        if before is not None:
            log.info("ocpp: the update from %s is replaced by one from %s", shown(before.location), shown(wanted.location))
            await self._offload(lambda: remove(self._path(before)))
            await self._addresses.forget(before.sealed)

    # -- the job --------------------------------------------------------------------------------------------------

    async def _work(self) -> None:
        try:
            if self._job is None:
                return
            if self._firmware is None:
                await self._end("InstallationFailed", False, "no installer is configured on this station (firmware.installer)")
            await self._come_back()
            await self._download()
            await self._verify()
            await self._install(self._firmware)
            await self._restart(self._firmware)
        except _Over:
            pass

    @property
    def job(self) -> Update:
        """The job that stands."""
        if self._job is None:
            raise _Over
        return self._job

    async def _to(self, say: str = "", **changes: Any) -> None:
        """Change the job, durably, and say it if it is a change of status that this kind of update has."""
        job = self.job
        if say in SIGNED_ONLY and not job.signed:
            say = ""
        messages = []
        if say and say != job.said:
            changes["said"] = say
            messages.append(message(job.request_id, say))
        after = msgspec.structs.replace(job, **changes)
        await self._journal.surely({KEY: _text(after)}, messages)
        self._job = after

    async def _end(self, say: str, ok: bool, text: str) -> None:
        """Say how it ended, forget the job; raises `_Over` inside the job's own task."""
        job = self.job
        if say in SIGNED_ONLY and not job.signed:
            say = "InstallationFailed"
        level = logging.INFO if ok else logging.ERROR
        log.log(level, "ocpp: firmware from %s: %s: %s", shown(job.location), say, text)
        await self._journal.surely({KEY: None}, [message(job.request_id, say)])
        self._job, self._due, self._detail = None, None, ""
        self._site.set_updating(False)
        await self._offload(lambda: remove(self._path(job)))
        await self._addresses.forget(job.sealed)
        await self._finished(Result(
            kind="firmware", ok=ok, status=say, at=self._clock.wall(), request_id=job.request_id,
            location=shown(job.location), text=text,
        ))

    async def _fail(self, say: str, text: str) -> None:
        await self._end(say, False, text)
        raise _Over

    async def _come_back(self) -> None:
        """After the restart: does the new version run?"""
        job, firmware = self.job, self._firmware
        if not self._back or firmware is None:
            return
        try:
            version = await firmware.version()
        except InstallError as error:
            await self._fail("InstallationFailed", f"which version runs after the restart cannot be told: {error}")
            return
        if version == job.version:
            self._note("FirmwareUpdated", f"version {version}")
            await self._end("Installed", True, f"version {version} runs")
            raise _Over
        if job.stage == REBOOTING:
            text = f"after the restart version {version} runs, not {job.version}: the station has fallen back"
            await self._fail("InstallationFailed", text)
        self._back = False  # the power went before the new version was made the one to start

    async def _download(self) -> None:
        job = self.job
        if job.stage not in (SCHEDULED, DOWNLOADING):
            return
        try:
            target = parse_target(await self._addresses.reveal(job))
        except DeviceError as error:
            await self._fail("DownloadFailed", str(error))
            return
        if job.stage == SCHEDULED:
            self._due = job.retrieve_at
            await until(self._clock, job.retrieve_at)
            self._due = None
        part = PartFile(
            self._path(job), job.part, size_max=self._options().size_max, offload=self._offload, save=self._save_part
        )
        while not await self._attempt(target, part):
            pass
        await self._to("Downloaded", stage=DOWNLOADED)

    async def _attempt(self, target: Target, part: PartFile) -> bool:
        """Fetch once; False = it failed and may be tried again."""
        if not self._site.online():
            self._detail = self._detail or LINK_TEXT
            await until_true(self._site.online)
        if self._detail == LINK_TEXT:
            self._detail = ""
        await self._to("Downloading", stage=DOWNLOADING)
        try:
            await self._carrier.fetch(target, part, self._meter.moved)
        except TransferError as error:
            failed = self.job.failed + 1
            left = 0 if error.why.final else self.job.attempts - failed
            log.warning("ocpp: firmware: attempt %d of %d: %s", failed, self.job.attempts, error)
            self._detail = str(error)
            if left <= 0:
                await self._fail("DownloadFailed", str(error))
            await self._to("DownloadPaused" if self.job.pause_s >= TOLD_PAUSE_S else "", failed=failed)
            await asyncio.sleep(self.job.pause_s)
            return False
        self._detail = ""
        return True

    async def _save_part(self, saved: Saved) -> None:
        await self._to(part=saved)

    async def _verify(self) -> None:
        job = self.job
        if job.stage != DOWNLOADED or not job.signed or self._signatures is None:
            return
        reason = await self._signatures.check_file(self._path(job), job.signature, job.certificate)
        if reason:
            self._note("InvalidFirmwareSignature", reason)
            await self._fail("InvalidSignature", reason)
        await self._to("SignatureVerified", stage=VERIFIED)

    async def _wait_for_moment(self) -> None:
        """Wait for installDateTime, and until nobody charges; then nobody begins."""
        job = self.job
        if job.install_at > self._clock.wall():
            await self._to("InstallScheduled", stage=WAITING)
            self._due = job.install_at
            await until(self._clock, job.install_at)
            self._due = None
        options = self._options()
        if options.wait_idle and not options.force:
            await self._until_idle("InstallScheduled")
        self._site.set_updating(True)
        if options.notice_s:
            self._detail = f"out of service for {options.notice_s} s before the installation"
            await asyncio.sleep(options.notice_s)

    async def _until_idle(self, say: str = "") -> None:
        """Return when no transaction runs and none can begin any more."""
        began = self._clock.now() - (PATIENCE_NS if self._options().force else 0)
        while True:
            if not self._site.transaction_runs():
                self._site.set_updating(True)
                await asyncio.sleep(SETTLE_S)
                if not self._site.transaction_runs():
                    return
            self._site.set_updating(self._clock.now() - began >= PATIENCE_NS)
            if say and self.job.stage not in BUSY:
                await self._to(say, stage=WAITING)
            self._detail = "waits until no transaction runs"
            await until_true(lambda: not self._site.transaction_runs() or self._impatient(began))

    def _impatient(self, began: Instant) -> bool:
        """Tell, once, that the patience is spent and new transactions must be kept out."""
        return self._clock.now() - began >= PATIENCE_NS and not self._site.updating()

    async def _install(self, firmware: Firmware | None) -> None:
        if firmware is None or self.job.stage in (INSTALLED, ACTIVATING, REBOOTING):
            return
        if self.job.stage != INSTALLING:
            await self._wait_for_moment()
        self._site.set_updating(True)
        self._detail = ""
        if self.job.installs >= INSTALLS_MAX:
            await self._fail("InstallationFailed", f"the installation was cut off {INSTALLS_MAX} times")
        await self._to("Installing", stage=INSTALLING, installs=self.job.installs + 1)
        self._meter.installed(0)
        try:
            version = await firmware.install(str(self._path(self.job)), self._meter.installed)
        except BundleError as error:
            await self._fail("InstallVerificationFailed", str(error))
        except InstallError as error:
            await self._fail("InstallationFailed", str(error))
        else:
            await self._to(stage=INSTALLED, version=version)

    async def _restart(self, firmware: Firmware | None) -> None:
        if firmware is None:
            return
        if self.job.stage == INSTALLED:
            if self._options().force:
                self._site.end_transactions()
            await self._until_idle()
            await self._to("InstallRebooting", stage=ACTIVATING)
        if self.job.stage == ACTIVATING:
            self._site.set_updating(True)
            try:
                await firmware.activate()
            except InstallError as error:
                await self._fail("InstallationFailed", str(error))
            await self._to(stage=REBOOTING)
        self._detail = "restarts"
        await self._site.restart()

    def _path(self, job: Update) -> Path:
        return self._folder / f"firmware-{job.number}.part"


def _text(job: Update) -> str:
    return msgspec.json.encode(job).decode()


def _tidy(folder: Path, kept: Path | None) -> None:
    """Remove files of jobs that are no more."""
    if folder.is_dir():
        for path in folder.glob("firmware-*.part"):
            if path != kept:
                remove(path)
