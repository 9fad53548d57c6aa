"""Security and transfers of the fake station's back end, in memory."""

from __future__ import annotations

import msgspec

from evse.api import models as m
from evse.api import models_ocpp_security as s
from evse.api.errors import ApiError, ErrorCode
from evse.api.operation import Empty
from evse.api.service import Caller
from tests._support import fake_ocpp_data as data
from tests._support.fake_state import FakeState

PEM = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"
CSR = "-----BEGIN CERTIFICATE REQUEST-----\nMIIB\n-----END CERTIFICATE REQUEST-----\n"
REQUESTS: dict[str, dict[str, object]] = {
    "ocpp.cert_install": {"type": "CentralSystemRootCertificate", "pem": PEM},
    "ocpp.cert_delete": {"fingerprint": "77b01e55"},
    "ocpp.cert_install_own": {"pem": PEM},
    "ocpp.set_profile": {"profile": 3},
    "ocpp.set_password": {"secret": "0123456789abcdef"},
    "ocpp.transfer_cancel": {"transfer": "firmware"},
}
"""A request that succeeds, for every operation that needs one."""


class FakeOcppSecurity(FakeState):
    """``passwords`` keeps what was set, newest last."""

    def __init__(self, *, heartbeat_s: float = 10.0, status_period_s: float = 0.5) -> None:
        super().__init__(heartbeat_s=heartbeat_s, status_period_s=status_period_s)
        self.certificates = data.CERTIFICATES
        self.security = data.SECURITY
        self.security_events = data.SECURITY_EVENTS
        self.transfers = data.TRANSFERS
        self.passwords: list[str] = []

    async def ocpp_certs(self, request: Empty, caller: Caller) -> s.OcppCertificates:
        self.enter("ocpp.certs", request)
        return s.OcppCertificates(items=self.certificates)

    async def ocpp_cert_install(self, request: s.OcppCertInstall, caller: Caller) -> s.OcppSecurityResult:
        self.enter("ocpp.cert_install", request)
        if "BEGIN CERTIFICATE" not in request.pem:
            return s.OcppSecurityResult(status="Rejected", reason="not a PEM certificate")
        new = msgspec.structs.replace(data.CERTIFICATES[1], type=request.type, fingerprint="5e" * 32, subject="CN=New CA")
        self.certificates = (*self.certificates, new)
        return s.OcppSecurityResult(status="Accepted")

    async def ocpp_cert_delete(self, request: s.OcppCertDelete, caller: Caller) -> s.OcppSecurityResult:
        self.enter("ocpp.cert_delete", request)
        found = [c for c in self.certificates if c.fingerprint.startswith(request.fingerprint) and "Root" in c.type]
        if not found:
            why = f"0 installed root certificates begin with {request.fingerprint!r}"
            raise ApiError(ErrorCode.NOT_FOUND, why, "the fingerprints: evsectl ocpp certs list -o wide")
        if found[0].in_use:
            return s.OcppSecurityResult(status="Failed", reason="the link needs it")
        self.certificates = tuple(c for c in self.certificates if c is not found[0])
        return s.OcppSecurityResult(status="Accepted")

    async def ocpp_cert_request(self, request: Empty, caller: Caller) -> s.OcppSecurityResult:
        self.enter("ocpp.cert_request", request)
        return s.OcppSecurityResult(status="Accepted")

    async def ocpp_cert_csr(self, request: Empty, caller: Caller) -> s.OcppCertRequestText:
        self.enter("ocpp.cert_csr", request)
        return s.OcppCertRequestText(csr=CSR, common_name="DC 1")

    async def ocpp_cert_install_own(self, request: s.OcppCertInstallOwn, caller: Caller) -> s.OcppSecurityResult:
        self.enter("ocpp.cert_install_own", request)
        if "BEGIN CERTIFICATE" not in request.pem:
            return s.OcppSecurityResult(status="Rejected", reason="not a PEM certificate")
        return s.OcppSecurityResult(status="Accepted")

    async def ocpp_security(self, request: Empty, caller: Caller) -> s.OcppSecurityState:
        self.enter("ocpp.security", request)
        return self.security

    async def ocpp_security_events(self, request: s.OcppSecurityEventsQuery, caller: Caller) -> s.OcppSecurityEvents:
        self.enter("ocpp.security_events", request)
        return s.OcppSecurityEvents(items=self.security_events[-request.limit :])

    async def ocpp_set_profile(self, request: s.OcppSetProfile, caller: Caller) -> s.OcppSecurityResult:
        self.enter("ocpp.set_profile", request)
        if request.profile == 1 and (request.url or self.security.url).startswith("wss://"):
            return s.OcppSecurityResult(status="Rejected", reason="profile 1 has no TLS: give a URL that begins with ws://")
        staged = msgspec.structs.replace(data.STAGED, url=request.url or self.security.url, profile=request.profile, tries=0, last_error="")
        self.security = msgspec.structs.replace(self.security, staged=staged)
        return s.OcppSecurityResult(status="Accepted")

    async def ocpp_set_password(self, request: s.OcppSetPassword, caller: Caller) -> s.OcppSecurityResult:
        self.enter("ocpp.set_password", request)
        if len(request.secret) < 16:
            return s.OcppSecurityResult(status="Rejected", reason="16 to 40 characters")
        self.passwords = [*self.passwords, request.secret]
        return s.OcppSecurityResult(status="Accepted")

    async def ocpp_cancel_change(self, request: Empty, caller: Caller) -> m.Done:
        self.enter("ocpp.cancel_change", request)
        had = self.security.staged is not None
        self.security = msgspec.structs.replace(self.security, staged=None)
        return m.Done(changed=had, detail="the change is dropped" if had else "no change waits")

    async def ocpp_transfers(self, request: Empty, caller: Caller) -> s.OcppTransfers:
        self.enter("ocpp.transfers", request)
        return s.OcppTransfers(items=self.transfers, unanswered=1, installer=True)

    async def ocpp_transfer_cancel(self, request: s.OcppTransferRef, caller: Caller) -> m.Done:
        self.enter("ocpp.transfer_cancel", request)
        running = [t for t in self.transfers if t.transfer == request.transfer and t.state == "running"]
        if not running:
            raise ApiError(ErrorCode.CONFLICT, f"no {request.transfer} transfer is under way", "what runs: evsectl ocpp transfers status")
        self.transfers = tuple(t for t in self.transfers if t is not running[0])
        return m.Done(detail=f"{request.transfer} is given up")
