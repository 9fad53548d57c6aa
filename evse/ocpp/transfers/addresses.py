"""Addresses of jobs: one that holds a password, a token or anything else that is not shown lies in the vault while its
job stands, and the database holds what people may see. The name of the secret is stored before the secret, so that a power
cut at any moment leaves none that nobody would remove."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Final, TypeVar

import msgspec

from evse.domain.base import DeviceError
from evse.ocpp.ports import Vault
from evse.ocpp.transfers.errors import TransferError, Why
from evse.ocpp.transfers.journal import Journal
from evse.ocpp.transfers.target import shown

log = logging.getLogger(__name__)

ROW: Final = "secret."
"""Rows of the journal that name a secret; they have no content."""


class Addressed(msgspec.Struct, frozen=True, kw_only=True):
    """What a job stores of its address: as people may see it if ``sealed`` names the secret, else as it is."""

    number: int
    location: str
    sealed: str = ""


J = TypeVar("J", bound=Addressed)


class Addresses:
    """The addresses of all jobs of a station."""

    def __init__(self, journal: Journal, vault: Vault) -> None:
        self._journal = journal
        self._vault = vault

    async def seal(self, slot: str, job: J) -> J:
        """Return the job as it may be stored; raises `DeviceError` with nothing left behind that is not removed later."""
        location = shown(job.location)
        if job.sealed or location == job.location:
            return job
        name = f"ocpp.transfers.{slot}.{job.number}"
        await self._journal.commit({ROW + name: ""}, [])
        await self._vault.write(name, job.location)
        return msgspec.structs.replace(job, location=location, sealed=name)

    async def adopt(self, slot: str, job: J) -> J:
        """Seal the address of a job that a former release has stored; nothing of it stays in the database."""
        try:
            sealed = await self.seal(slot, job)
            if sealed is not job:
                await self._journal.replace(slot, msgspec.json.encode(sealed).decode())
        except DeviceError as error:
            log.error("ocpp: the address of the stored %s stays as it is: %s", slot, error)
            return job
        return sealed

    async def reveal(self, job: Addressed) -> str:
        """Return the address with everything; raises `DeviceError`."""
        if not job.sealed:
            return job.location
        url = await self._vault.read(job.sealed)
        if url is None:
            raise TransferError(Why.MEDIUM, f"{job.location}: its user and password are not in the vault any more; ask for it again")
        return url

    async def forget(self, name: str) -> None:
        """Remove a secret ("" = none) whose job is over; what does not succeed is done after the next start."""
        if not name:
            return
        try:
            await self._vault.remove(name)
            await self._journal.commit({ROW + name: None}, [])
        except DeviceError as error:
            log.error("ocpp: the address of a transfer cannot be removed from the vault: %s", error)

    async def tidy(self, jobs: Iterable[Addressed | None]) -> None:
        """Remove the secrets of none of ``jobs``: those that a power cut has left."""
        kept = {job.sealed for job in jobs if job is not None}
        for row in self._journal.jobs:
            name = row.removeprefix(ROW)
            if name != row and name not in kept:
                await self.forget(name)
