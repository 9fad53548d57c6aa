"""Getting a certificate of the station signed: on request of the CSMS or a technician, and in time before the old one ends.

SignCertificate is sent with a new key each time; the certificate comes by CertificateSigned, whenever the CSMS has it. What
is not answered, refused or never followed by a certificate is tried again, first after an hour, then at most once a day.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from typing import Final

from evse.config.model_ocpp import OcppSection
from evse.domain.base import DeviceError
from evse.domain.clock import Clock
from evse.ocpp.engine import CallTimeout
from evse.ocpp.messages import CallError
from evse.ocpp.security.certificates import CertificateStore, Outcome
from evse.ocpp.security.dialler import SecureDialler
from evse.ocpp.security.ports import Ask, CertificateInfo, Note
from evse.transports.base import WsClosed
from evse.units import NS_PER_S, Instant

log = logging.getLogger(__name__)

LOOK_S: Final = 3600.0
"""How often the end of the certificate is looked at."""

RETRY_S, RETRY_MAX_S = 3600, 86_400
DAY_NS: Final = 86_400 * NS_PER_S


class Signing:
    """Requests certificates. ``organization`` gives the CpoName, ``config`` the options that count now."""

    def __init__(
        self, certificates: CertificateStore, dialler: SecureDialler, clock: Clock, *, ask: Ask, note: Note,
        config: Callable[[], OcppSection], organization: Callable[[], str], charge_point_id: str,
    ) -> None:
        self.last = ""  # how the last request ended, for people
        self._certificates = certificates
        self._dialler = dialler
        self._clock = clock
        self._ask = ask
        self._note = note
        self._config = config
        self._organization = organization
        self._id = charge_point_id
        self._next: Instant | None = None
        self._pause_s = RETRY_S
        self._kick = asyncio.Event()
        self._turn = asyncio.Lock()

    def common_name(self) -> str:
        """Return the CN of requests."""
        return self._config().security.common_name or self._id

    async def request(self) -> Outcome:
        """Make a new key and send SignCertificate; status of the CSMS, or Failed when it could not be asked.

        One at a time: a second one meanwhile would replace the key that the answer to the first belongs to.
        """
        self._next = self._clock.now() + self._pause_s * NS_PER_S
        async with self._turn:
            return await self._request()

    async def _request(self) -> Outcome:
        try:
            csr = await self._certificates.request(self.common_name(), self._organization())
            answer = await self._ask("SignCertificate", {"csr": csr})
        except (CallError, CallTimeout, WsClosed, DeviceError) as error:
            outcome = Outcome(status="Failed", reason=f"SignCertificate: {error}")
        else:
            status = str(answer["status"])
            outcome = Outcome(status=status, reason="" if status == "Accepted" else "the CSMS refuses to sign")
        self.last = outcome.reason or "the CSMS has taken the request; its certificate is waited for"
        log.info("ocpp security: %s", self.last)
        self._next = self._clock.now() + self._pause_s * NS_PER_S
        self._pause_s = min(RETRY_MAX_S, self._pause_s * 2)
        return outcome

    async def request_offline(self) -> str:
        """Make a new key and return the request (PEM) for an authority that a technician asks. Raises `DeviceError`."""
        async with self._turn:
            csr = await self._certificates.request(self.common_name(), self._organization(), offline=True)
        self.last = "a request was written for an authority; its certificate is waited for"
        return csr

    async def signed(self, chain: str, by: str = "csms") -> Outcome:
        """Take the chain of a CertificateSigned, or of a technician; a wrong one is a security event and changes nothing."""
        what = "CertificateSigned" if by == "csms" else "installed certificate"
        try:
            outcome = await self._dialler.take_certificate(chain, by)
        except DeviceError as error:
            self.last = f"{what}: {error}"
            return Outcome(status="Rejected", reason=str(error))
        if outcome.status != "Accepted":
            self._note("InvalidChargePointCertificate", outcome.reason)
            self.last = f"{what}: {outcome.reason}"
            return outcome
        self._note("ReconfigurationOfSecurityParameters", f"certificate of the station: {_until(outcome.info)}")
        self.last, self._pause_s = "", RETRY_S
        self._next = self._clock.now() + RETRY_MAX_S * NS_PER_S  # one that the CSMS then refuses is no reason to hurry
        return outcome

    def due(self) -> bool:
        """Tell whether a new certificate has to be asked for now."""
        days = self._config().security.renew_days
        if not days or not self._clock.wall_valid():
            return False
        if self._next is not None and self._clock.now() < self._next:
            return False
        state = self._dialler.state
        if state.staged is not None:
            return False  # a new one is being tried already
        requested = self._certificates.requested
        if requested is not None:
            return not requested.offline  # asked, but nothing has come
        own = self._certificates.own(state.active.certificate)
        return own is not None and own.info.not_after - self._clock.wall() <= days * DAY_NS

    def online(self) -> None:
        """The CSMS has accepted the station: look now."""
        self._kick.set()

    async def run(self) -> None:
        """Renew in time, for ever."""
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOOK_S):
                    await self._kick.wait()
            self._kick.clear()
            if self.due():
                await self.request()


def _until(info: CertificateInfo | None) -> str:
    return "" if info is None else f"{info.subject}, serial number {info.serial_number}"
