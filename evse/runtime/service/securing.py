"""Operations on the security of the back-end link and on its file transfers."""

from __future__ import annotations

from evse.api import models as m
from evse.api import models_ocpp_security as s
from evse.api.errors import ApiError, ErrorCode
from evse.api.operations import Empty
from evse.api.service import Caller
from evse.domain.security import SecurityEvent
from evse.ocpp.security.certificates import Outcome
from evse.ocpp.security.facade import Security, SecurityStatus
from evse.ocpp.security.ports import CertificateInfo
from evse.ocpp.transfers.transfers import Transfers
from evse.ocpp.transfers.worker import Result, Running
from evse.runtime.service.backend import client_of
from evse.runtime.station import Station
from evse.runtime.weakening import may_weaken

FINGERPRINT_SHOWN = 16


class SecurityOperations:
    """``ocpp.cert*``, ``ocpp.security*``, ``ocpp.set_*``, ``ocpp.transfer*``."""

    _station: Station

    # -- certificates ---------------------------------------------------------------------------------------------

    async def ocpp_certs(self, request: Empty, caller: Caller) -> s.OcppCertificates:
        """All certificates, with a mark at those that are in use."""
        return s.OcppCertificates(items=tuple(certificate(info) for info in self._security().certificates()))

    async def ocpp_cert_install(self, request: s.OcppCertInstall, caller: Caller) -> s.OcppSecurityResult:
        """Install a root certificate; the audit row has its fingerprint."""
        caller.note.target = request.type
        outcome = await self._security().install(request.type, request.pem)
        return _result(outcome, caller)

    async def ocpp_cert_delete(self, request: s.OcppCertDelete, caller: Caller) -> s.OcppSecurityResult:
        """Delete a root certificate."""
        caller.note.target = request.fingerprint
        if self._security().is_last_root(request.fingerprint):
            may_weaken("the last root certificate of the CSMS is deleted", request.confirm, caller)
        outcome = await self._security().delete(request.fingerprint)
        if outcome.status == "NotFound":
            raise ApiError(ErrorCode.NOT_FOUND, outcome.reason, "the fingerprints: evsectl ocpp certs list -o wide")
        return _result(outcome, caller)

    async def ocpp_cert_request(self, request: Empty, caller: Caller) -> s.OcppSecurityResult:
        """Make a key and send SignCertificate."""
        return _result(await self._security().request_certificate(), caller)

    async def ocpp_cert_csr(self, request: Empty, caller: Caller) -> s.OcppCertRequestText:
        """Make a key and a request for an authority that a technician asks."""
        security = self._security()
        csr = await security.request_offline()
        caller.note.new = f"CN={security.signing.common_name()}"
        return s.OcppCertRequestText(csr=csr, common_name=security.signing.common_name())

    async def ocpp_cert_install_own(self, request: s.OcppCertInstallOwn, caller: Caller) -> s.OcppSecurityResult:
        """Take what that authority has signed."""
        return _result(await self._security().install_own(request.pem), caller)

    # -- profile and password -------------------------------------------------------------------------------------

    async def ocpp_security(self, request: Empty, caller: Caller) -> s.OcppSecurityState:
        """How the link is secured."""
        return state(self._security().status())

    async def ocpp_security_events(self, request: s.OcppSecurityEventsQuery, caller: Caller) -> s.OcppSecurityEvents:
        """The security log, newest last."""
        return s.OcppSecurityEvents(items=tuple(map(_event, await self._security().events(request.limit))))

    async def ocpp_set_profile(self, request: s.OcppSetProfile, caller: Caller) -> s.OcppSecurityResult:
        """Stage a profile; the link is dialled anew, the old settings stay until the CSMS accepts."""
        security = self._security()
        before = security.status()
        caller.note.old = f"profile {before.profile} {before.url}"
        caller.note.new = f"profile {request.profile} {request.url or before.url}"
        may_weaken(security.weakens(request.profile, request.url), request.confirm, caller)
        return _result(await security.set_profile(request.profile, request.url), caller)

    async def ocpp_set_password(self, request: s.OcppSetPassword, caller: Caller) -> s.OcppSecurityResult:
        """Stage another password; the old one is kept until the CSMS has taken the new one."""
        caller.note.new = "***"
        return _result(await self._security().set_key(request.secret), caller)

    async def ocpp_cancel_change(self, request: Empty, caller: Caller) -> m.Done:
        """Drop what waits."""
        done = await self._security().cancel_change()
        return m.Done(changed=done, detail="the change is dropped" if done else "no change waits")

    # -- transfers ------------------------------------------------------------------------------------------------

    async def ocpp_transfers(self, request: Empty, caller: Caller) -> s.OcppTransfers:
        """What runs and how the last ones ended."""
        status = self._transfers().status()
        return s.OcppTransfers(
            items=(*map(_running, status.running), *map(_ended, status.results)), unanswered=status.unanswered,
            installer=status.installer,
        )

    async def ocpp_transfer_cancel(self, request: s.OcppTransferRef, caller: Caller) -> m.Done:
        """Give up a transfer."""
        caller.note.target = request.transfer
        why_not = await self._transfers().cancel(request.transfer)
        if why_not:
            raise ApiError(ErrorCode.CONFLICT, why_not, "what runs: evsectl ocpp transfers status")
        return m.Done(detail=f"{request.transfer} is given up")

    def _security(self) -> Security:
        client_of(self._station)
        if self._station.security is None:
            raise ApiError(ErrorCode.CONFLICT, "this station has no security of the back-end link", "")
        return self._station.security

    def _transfers(self) -> Transfers:
        client_of(self._station)
        if self._station.transfers is None:
            raise ApiError(ErrorCode.CONFLICT, "this station has no transfers", "")
        return self._station.transfers


def certificate(info: CertificateInfo) -> s.OcppCertificate:
    """Return a certificate as the API has it."""
    return s.OcppCertificate(
        fingerprint=info.fingerprint, type=info.kind, subject=info.subject, issuer=info.issuer,
        serial_number=info.serial_number, valid_from=info.not_before, valid_to=info.not_after, public_key=info.key,
        hash_algorithm=info.hash.algorithm, issuer_name_hash=info.hash.issuer_name_hash,
        issuer_key_hash=info.hash.issuer_key_hash, installed_at=info.installed_at or None, in_use=info.in_use, note=info.note,
    )  # fmt: skip


def state(status: SecurityStatus) -> s.OcppSecurityState:
    """Return the security of the link as the API has it."""
    staged, gone, tls = status.staged, status.given_up, status.tls
    return s.OcppSecurityState(
        profile=status.profile, url=status.url, proven=status.proven, key_set=status.key_set, user=status.user, key_age_s=status.key_age_s,
        certificate=None if status.certificate is None else certificate(status.certificate),
        request_pending=status.request_pending, signing=status.signing, roots=status.roots, verify=status.verify,
        insecure=status.insecure,
        staged=None if staged is None else s.OcppStagedChange(
            url=staged.url, profile=staged.profile, changed=staged.changed, by=staged.by, since=staged.since,
            tries=staged.tries, limit=staged.limit, next=staged.next, last_error=staged.last_error,
        ),
        given_up=None if gone is None else s.OcppGivenUp(
            url=gone.url, profile=gone.profile, changed=gone.changed, error=gone.error, at=gone.at
        ),
        tls=None if tls is None else s.OcppTls(
            version=tls.version, cipher=tls.cipher, peer=tls.peer, issuer=tls.issuer, valid_to=tls.peer_not_after or None,
            root=tls.root, dates_checked=tls.dates_checked, at=tls.at or None,
        ),
        revocation=status.revocation, last_failure=status.last_failure, last_problem=status.last_problem,
        events_waiting=status.events_waiting, warnings=status.warnings,
    )  # fmt: skip


def _result(outcome: Outcome, caller: Caller) -> s.OcppSecurityResult:
    found = f" {outcome.info.fingerprint[:FINGERPRINT_SHOWN]}" if outcome.info is not None else ""
    caller.note.new = f"{caller.note.new} {outcome.status}{found}".strip()
    return s.OcppSecurityResult(status=outcome.status, reason=outcome.reason)


def _event(event: SecurityEvent) -> s.OcppSecurityEvent:
    return s.OcppSecurityEvent(seq=event.seq, wall=event.wall, type=event.kind, detail=event.tech_info, state=event.state)


def _running(found: Running) -> s.OcppTransfer:
    return s.OcppTransfer(
        transfer=found.kind, state="running", stage=found.stage, status=found.said, request_id=found.request_id,
        location=found.location, percent=found.percent, bytes_done=found.bytes_done, bytes_total=found.bytes_total,
        attempt=found.attempt, attempts=found.attempts, at=found.due, detail=found.detail,
    )  # fmt: skip


def _ended(found: Result) -> s.OcppTransfer:
    return s.OcppTransfer(
        transfer=found.kind, state="done" if found.ok else "failed", stage="", status=found.status,
        request_id=found.request_id, location=found.location, percent=None, bytes_done=None, bytes_total=None, attempt=None,
        attempts=None, at=found.at, detail=found.text,
    )  # fmt: skip
