"""What the CSMS may ask about security: certificates, and the keys that have a guard."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Final

from evse.domain.base import DeviceError
from evse.ocpp.engine import Handler, Reply
from evse.ocpp.keys import Guard
from evse.ocpp.messages import Payload
from evse.ocpp.security.certificates import CertificateStore, Outcome
from evse.ocpp.security.dialler import SecureDialler
from evse.ocpp.security.ports import CENTRAL, CertificateInfo, Note, SettingsStore, hash_of
from evse.ocpp.security.signing import Signing

log = logging.getLogger(__name__)

NAMESPACE: Final = "ocpp.security"
CPO_NAME: Final = "cpo_name"


class SecurityHandlers:
    """The handlers of the security whitepaper. ``system_roots_only`` tells whether installed roots count at all."""

    def __init__(
        self, certificates: CertificateStore, dialler: SecureDialler, signing: Signing, store: SettingsStore, note: Note,
        system_roots_only: Callable[[], bool],
    ) -> None:
        self.cpo_name = ""  # as the CSMS or an operator has set it
        self.changed: Callable[[], None] = lambda: None
        self._certificates = certificates
        self._dialler = dialler
        self._signing = signing
        self._store = store
        self._note = note
        self._system_roots_only = system_roots_only

    async def open(self) -> None:
        """Read what is stored."""
        self.cpo_name = (await self._store.get_all(NAMESPACE)).get(CPO_NAME, "")

    def table(self) -> dict[str, Handler]:
        """Return action to handler."""
        return {
            "CertificateSigned": self.certificate_signed,
            "DeleteCertificate": self.delete_certificate,
            "GetInstalledCertificateIds": self.get_installed,
            "InstallCertificate": self.install_certificate,
        }

    def guards(self) -> dict[str, Guard]:
        """Return key to guard."""
        return {
            "AuthorizationKey": self._authorization_key,
            "AuthorizationUser": self._authorization_user,
            "CentralSystemURI": self._url,
            "CpoName": self._cpo_name,
            "SecurityProfile": self._profile,
        }

    # -- certificates ---------------------------------------------------------------------------------------------

    async def certificate_signed(self, payload: Payload) -> Reply:
        """Take the certificate of the station."""
        outcome = await self._signing.signed(str(payload["certificateChain"]))
        _log("CertificateSigned", outcome)
        return Reply({"status": outcome.status})

    async def install_certificate(self, payload: Payload) -> Reply:
        """Install a root."""
        outcome = await self.install(str(payload["certificateType"]), str(payload["certificate"]), by_csms=True)
        return Reply({"status": outcome.status})

    async def delete_certificate(self, payload: Payload) -> Reply:
        """Delete a root, unless it carries the link."""
        found = await self._certificates.find(hash_of(payload["certificateHashData"]))
        if found is None:
            return Reply({"status": "NotFound"})
        outcome = await self.delete(found)
        return Reply({"status": outcome.status})

    async def get_installed(self, payload: Payload) -> Reply:
        """List the roots of a kind."""
        kind = payload["certificateType"]
        rows = [info.hash.payload() for info in self._certificates.infos() if info.kind == kind]
        return Reply({"status": "Accepted", "certificateHashData": rows} if rows else {"status": "NotFound"})

    async def install(self, kind: str, pem: str, *, by_csms: bool) -> Outcome:
        """Install a root for whoever may; it is a security event when something has changed."""
        outcome = await self._certificates.install(kind, pem, by_csms=by_csms)
        _log(f"InstallCertificate {kind}", outcome)
        if outcome.status == "Accepted" and not outcome.reason and outcome.info is not None:
            self._note("ReconfigurationOfSecurityParameters", f"{kind} installed: {outcome.info.subject}")
        return outcome

    async def delete(self, info: CertificateInfo) -> Outcome:
        """Delete a root for whoever may; status Accepted or Failed."""
        reason = self.keeps(info)
        if not reason:
            try:
                await self._certificates.remove(info.fingerprint)
            except DeviceError as error:
                reason = str(error)
        outcome = Outcome(status="Failed" if reason else "Accepted", reason=reason, info=info)
        _log("DeleteCertificate", outcome)
        if not reason:
            self._note("ReconfigurationOfSecurityParameters", f"{info.kind} deleted: {info.subject}")
        return outcome

    def last_root(self, info: CertificateInfo) -> bool:
        """Tell whether without this root none of the CSMS is installed any more."""
        return info.kind == CENTRAL and len(self._certificates.roots(CENTRAL)) == 1

    def keeps(self, info: CertificateInfo) -> str:
        """Return why a root must stay, "" = it may go."""
        state = self._dialler.state
        tls = any(
            self._dialler.url_of(settings).startswith("wss://") for settings in (state.active, state.staged) if settings
        )
        if info.kind != CENTRAL or not tls or self._system_roots_only():
            return ""
        if self.last_root(info):
            return "it is the last CentralSystemRootCertificate and the link uses TLS; install another one first"
        facts = self._dialler.facts
        if facts is not None and facts.root == info.fingerprint:
            return "the certificate of the CSMS leads to it; without it the station would be locked out"
        return ""

    # -- keys -----------------------------------------------------------------------------------------------------

    async def _authorization_key(self, value: str) -> str:
        return await self._guarded("AuthorizationKey", lambda: self._dialler.set_key(value, "csms"))

    async def _authorization_user(self, value: str) -> str:
        return await self._guarded("AuthorizationUser", lambda: self._dialler.set_user(value.strip(), "csms"))

    async def _profile(self, value: str) -> str:
        return await self._guarded("SecurityProfile", lambda: self._dialler.set_profile(int(value), "", "csms"))

    async def _url(self, value: str) -> str:
        profile = self._dialler.state.staged or self._dialler.state.active
        return await self._guarded(
            "CentralSystemURI", lambda: self._dialler.set_profile(profile.profile, value.strip(), "csms")
        )

    async def _cpo_name(self, value: str) -> str:
        try:
            await self._store.put(NAMESPACE, CPO_NAME, value)
        except DeviceError as error:
            log.error("CpoName: %s", error)
            return "Rejected"
        self.cpo_name = value
        self._note("ReconfigurationOfSecurityParameters", "CpoName")
        self.changed()
        return "Accepted"

    async def _guarded(self, key: str, change: Callable[[], Awaitable[Outcome]]) -> str:
        try:
            outcome = await change()
        except DeviceError as error:
            log.error("%s: %s", key, error)
            return "Rejected"
        if outcome.status != "Accepted":
            log.warning("%s rejected: %s", key, outcome.reason)
        return outcome.status


def _log(what: str, outcome: Outcome) -> None:
    if outcome.status != "Accepted":
        log.warning("ocpp: %s %s: %s", what, outcome.status, outcome.reason)
