"""GetDiagnostics and GetLog: make a bundle of a time window, send it, say how it went.

The two are independent of each other; of each kind one runs, and a newer request takes the place of the older one.
A power cut goes on: with the bundle if it is whole, else it is made again under the same name.
"""

from __future__ import annotations

import asyncio
import logging
import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final

import msgspec

from evse.domain.base import DeviceError
from evse.domain.clock import Clock
from evse.ocpp.engine import Handler, Reply
from evse.ocpp.messages import Payload
from evse.ocpp.transfers.addresses import Addressed, Addresses
from evse.ocpp.transfers.bundle import bundle_name, pack
from evse.ocpp.transfers.errors import TransferError, Why
from evse.ocpp.transfers.journal import Journal
from evse.ocpp.transfers.ports import Carrier, LogSource, Offload, Site
from evse.ocpp.transfers.target import Target, parse_target, shown
from evse.ocpp.transfers.worker import Meter, Result, Running, Worker, moment, remove, tries_of, until_true
from evse.units import WallNs

log = logging.getLogger(__name__)

DIAGNOSTICS, LOG = "diagnostics", "log"
MAKING, UPLOADING = "making", "uploading"

_FAILED: Final = {
    Why.ADDRESS: "BadMessage", Why.UNSUPPORTED: "NotSupportedOperation", Why.CREDENTIALS: "PermissionDenied",
}
"""Words of LogStatusNotification for a failure; UploadFailure for all others."""


class Upload(Addressed, frozen=True, kw_only=True):
    """One request as it is stored. ``content``: diagnostics or security."""

    request_id: int | None
    content: str
    since: WallNs | None
    until: WallNs | None
    attempts: int
    pause_s: int
    name: str
    stage: str = MAKING
    said: str = ""
    failed: int = 0


class Uploads:
    """The requests of one kind: ``slot`` is diagnostics (GetDiagnostics) or log (GetLog). `load`, then `run` for ever."""

    def __init__(
        self, slot: str, journal: Journal, carrier: Carrier, site: Site, clock: Clock, source: LogSource, folder: Path, *,
        addresses: Addresses, station: str, offload: Offload, finished: Callable[[Result], Awaitable[None]],
    ) -> None:
        self._slot = slot
        self._journal = journal
        self._addresses = addresses
        self._carrier = carrier
        self._site = site
        self._clock = clock
        self._source = source
        self._folder = folder
        self._station = station
        self._offload = offload
        self._finished = finished
        self._job: Upload | None = None
        self._meter = Meter()
        self._detail = ""
        self._worker = Worker(f"upload of {slot}", self._work)
        self._turn = asyncio.Lock()

    # -- for the others -------------------------------------------------------------------------------------------

    def table(self) -> dict[str, Handler]:
        """Return action to handler."""
        return {"GetDiagnostics": self.get_diagnostics} if self._slot == DIAGNOSTICS else {"GetLog": self.get_log}

    async def load(self) -> None:
        """Take up what a former process has left."""
        text = self._journal.jobs.get(self._slot)
        if text is not None:
            try:
                self._job = msgspec.json.decode(text, type=Upload)
            except msgspec.DecodeError as error:
                log.error("ocpp: the stored request for a %s cannot be read and is left out: %s", self._slot, error)
            else:
                self._job = await self._addresses.adopt(self._slot, self._job)
        kept = None if self._job is None else self._path(self._job)
        await self._offload(lambda: self._tidy(kept))

    def _tidy(self, kept: Path | None) -> None:
        if self._folder.is_dir():
            for path in self._folder.glob(f"{self._slot}-*"):
                if path.is_dir():
                    shutil.rmtree(path, ignore_errors=True)
                elif path != kept:
                    remove(path)

    async def run(self) -> None:
        """Carry out requests, for ever."""
        await self._worker.run()

    @property
    def stored(self) -> Upload | None:
        """The request that stands, as it is stored."""
        return self._job

    def running(self) -> Running | None:
        """The request that stands, as people see it."""
        job = self._job
        if job is None:
            return None
        return Running(
            kind=self._slot, stage=job.stage, request_id=job.request_id, location=shown(job.location), said=job.said,
            percent=self._meter.percent, bytes_done=self._meter.done, bytes_total=self._meter.total,
            attempt=job.failed + 1, attempts=job.attempts, due=None, detail=self._detail,
        )

    def triggered(self) -> tuple[str, Payload]:
        """What the status notification says when the CSMS asks for it: the last status, Idle when there is nothing."""
        job = self._job
        return self._message(None if job is None else job.request_id, job.said if job is not None and job.said else "Idle")

    async def cancel(self) -> str:
        """Give the upload up, as an operator may; return why that is not possible, "" = done."""
        async with self._turn:
            if self._job is None:
                return f"no upload of {self._slot} is under way"
            await self._worker.stop()
            await self._end("UploadFailed" if self._slot == DIAGNOSTICS else "UploadFailure", False, "cancelled by the operator")
        return ""

    # -- requests -------------------------------------------------------------------------------------------------

    async def get_diagnostics(self, payload: Payload) -> Reply:
        """Answer with the name of the file at once; it is made and sent afterwards."""
        wanted = self._wanted(payload, str(payload["location"]), None, DIAGNOSTICS)
        wanted = msgspec.structs.replace(wanted, since=moment(payload, "startTime"), until=moment(payload, "stopTime"))
        async with self._turn:
            await self._replace(wanted)
        return Reply({"fileName": wanted.name})

    async def get_log(self, payload: Payload) -> Reply:
        """The same for GetLog; AcceptedCanceled when it takes the place of another."""
        details = payload["log"]
        content = DIAGNOSTICS if payload["logType"] == "DiagnosticsLog" else "security"
        wanted = self._wanted(payload, str(details["remoteLocation"]), int(payload["requestId"]), content)
        wanted = msgspec.structs.replace(
            wanted, since=moment(details, "oldestTimestamp"), until=moment(details, "latestTimestamp")
        )
        try:
            parse_target(wanted.location)
        except TransferError as error:
            log.warning("ocpp: GetLog %s rejected: %s", wanted.request_id, error)
            return Reply({"status": "Rejected"})
        async with self._turn:
            replaced = self._job is not None
            await self._replace(wanted)
        return Reply({"status": "AcceptedCanceled" if replaced else "Accepted", "filename": wanted.name})

    def _wanted(self, payload: Payload, location: str, request_id: int | None, content: str) -> Upload:
        attempts, pause_s = tries_of(payload)
        wall = self._clock.wall()
        number = wall if self._job is None else max(wall, self._job.number + 1_000_000)
        kind = content if request_id is None else f"{content}-{request_id}"  # so that the two never share a name
        return Upload(
            number=number, request_id=request_id, content=content, location=location, since=None, until=None,
            attempts=attempts, pause_s=pause_s, name=bundle_name(self._station, kind, number),
        )

    async def _replace(self, wanted: Upload) -> None:
        """Put ``wanted`` in the place of what stands; when it cannot be stored, that goes on."""
        before = self._job
        if before is not None:
            await self._worker.stop()
        try:
            wanted = await self._addresses.seal(self._slot, wanted)
            await self._journal.commit({self._slot: msgspec.json.encode(wanted).decode()}, [])
            self._job, self._meter, self._detail = wanted, Meter(), ""
        finally:
            self._worker.start()
        if before is not None:
            log.info("ocpp: the upload of %s is replaced by %s", before.name, wanted.name)
            await self._offload(lambda: remove(self._path(before)))
            await self._addresses.forget(before.sealed)

    # -- the job --------------------------------------------------------------------------------------------------

    async def _work(self) -> None:
        job = self._job
        if job is None:
            return
        failed = "UploadFailed"
        try:
            target = parse_target(await self._addresses.reveal(job))
            if job.stage == MAKING or not self._path(job).exists():
                await self._make(job)
            while not await self._attempt(target):
                pass
        except DeviceError as error:
            if self._slot == LOG:
                failed = _FAILED.get(error.why, "UploadFailure") if isinstance(error, TransferError) else "UploadFailure"
            await self._end(failed, False, str(error))
        else:
            await self._end("Uploaded", True, f"{job.name} was sent")

    async def _make(self, job: Upload) -> None:
        """Collect and pack; raises `DeviceError`."""
        work = self._folder / f"{self._slot}-{job.number}.d"
        try:
            await self._offload(lambda: work.mkdir(parents=True, exist_ok=True))
            await self._source.collect(job.content, work, job.since, job.until)
            path, wall = self._path(job), self._clock.wall()
            await self._offload(lambda: pack(work, path, wall))
        except OSError as error:
            text = f"{work}: {error.strerror}; check free space and rights"
            raise TransferError(Why.MEDIUM, text) from error
        finally:
            await self._offload(lambda: shutil.rmtree(work, ignore_errors=True))
        await self._to(stage=UPLOADING)

    async def _attempt(self, target: Target) -> bool:
        """Send once; False = it failed and may be tried again. Raises `TransferError` when that was the last time."""
        if not self._site.online():
            self._detail = self._detail or "waits for the link to the back end"
            await until_true(self._site.online)
        await self._to("Uploading")
        job = self._job
        if job is None:
            return True
        try:
            await self._carrier.send(target, self._path(job), job.name, self._meter.moved)
        except TransferError as error:
            failed = job.failed + 1
            log.warning("ocpp: %s: attempt %d of %d: %s", job.name, failed, job.attempts, error)
            self._detail = str(error)
            if error.why.final or failed >= job.attempts:
                raise
            await self._to(failed=failed)
            await asyncio.sleep(job.pause_s)
            return False
        return True

    async def _to(self, say: str = "", **changes: Any) -> None:
        """Change the job, durably, and say it if it is a change."""
        job = self._job
        if job is None:
            return
        messages = []
        if say and say != job.said:
            changes["said"] = say
            messages.append(self._message(job.request_id, say))
        after = msgspec.structs.replace(job, **changes)
        if after != job:
            await self._journal.surely({self._slot: msgspec.json.encode(after).decode()}, messages)
            self._job = after

    async def _end(self, say: str, ok: bool, text: str) -> None:
        job = self._job
        if job is None:
            return
        log.log(logging.INFO if ok else logging.ERROR, "ocpp: %s to %s: %s: %s", job.name, shown(job.location), say, text)
        await self._journal.surely({self._slot: None}, [self._message(job.request_id, say)])
        self._job, self._detail = None, ""
        await self._offload(lambda: remove(self._path(job)))
        await self._addresses.forget(job.sealed)
        await self._finished(Result(
            kind=self._slot, ok=ok, status=say, at=self._clock.wall(), request_id=job.request_id,
            location=shown(job.location), text=text,
        ))

    def _message(self, request_id: int | None, status: str) -> tuple[str, Payload]:
        if self._slot == DIAGNOSTICS:
            return "DiagnosticsStatusNotification", {"status": status}
        return "LogStatusNotification", {"status": status} if request_id is None else {"status": status, "requestId": request_id}

    def _path(self, job: Upload) -> Path:
        return self._folder / f"{self._slot}-{job.number}.tar.gz"
