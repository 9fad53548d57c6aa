"""The part of the service that is the back-end link."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Protocol

from evse.api import models as m
from evse.api import models_ocpp as o
from evse.api import models_ocpp_data as d
from evse.api import models_ocpp_security as s
from evse.api.caller import Caller
from evse.api.operation import Empty


class OcppService(Protocol):
    """Every operation of `evse.api.operations_ocpp.OPERATIONS_OCPP`."""

    async def ocpp_status(self, request: Empty, caller: Caller) -> o.OcppState:
        """State of the back-end link."""
        ...

    async def ocpp_messages(self, request: o.OcppMessageQuery, caller: Caller) -> o.OcppMessages:
        """Last messages both ways."""
        ...

    def ocpp_stream(self, since: int | None) -> AsyncIterator[m.StreamItem]:
        """Messages both ways as they happen, heartbeats every 10 s; resume with since."""
        ...

    async def ocpp_log(self, request: o.OcppLogQuery, caller: Caller) -> o.OcppLog:
        """What happened to the link."""
        ...

    async def ocpp_config(self, request: Empty, caller: Caller) -> o.OcppKeys:
        """OCPP configuration keys."""
        ...

    async def ocpp_set(self, request: o.OcppKeySet, caller: Caller) -> o.OcppKeyResult:
        """Set an OCPP configuration key."""
        ...

    async def ocpp_queue(self, request: o.OcppQueueQuery, caller: Caller) -> o.OcppQueue:
        """Transaction messages that are not answered yet."""
        ...

    async def ocpp_resend(self, request: o.OcppResend, caller: Caller) -> m.Done:
        """Send parked transaction messages again."""
        ...

    async def ocpp_queue_move(self, request: o.OcppForeign, caller: Caller) -> m.Done:
        """Give the messages of another back end to this one."""
        ...

    async def ocpp_queue_discard(self, request: o.OcppForeign, caller: Caller) -> m.Done:
        """Remove the messages of another back end."""
        ...

    async def ocpp_profiles(self, request: Empty, caller: Caller) -> o.OcppProfiles:
        """Installed charging profiles."""
        ...

    async def ocpp_composite(self, request: o.OcppCompositeQuery, caller: Caller) -> o.OcppComposite:
        """Composite schedule of the station or a connector."""
        ...

    async def ocpp_explain(self, request: o.OcppScheduleQuery, caller: Caller) -> o.OcppScheduleExplanations:
        """Which charging profile decides, why others do not, and what comes next."""
        ...

    async def ocpp_trigger(self, request: o.OcppTrigger, caller: Caller) -> m.Done:
        """Send a message to the CSMS now."""
        ...

    async def ocpp_reconnect(self, request: Empty, caller: Caller) -> m.Done:
        """End the link and dial again."""
        ...

    async def ocpp_data_send(self, request: d.OcppDataSend, caller: Caller) -> d.OcppDataAnswer:
        """Send a DataTransfer to the CSMS."""
        ...

    async def ocpp_data_subscribe(self, request: d.OcppDataSubscribe, caller: Caller) -> d.OcppDataSubscription:
        """Hear DataTransfer requests of a vendor."""
        ...

    async def ocpp_data_next(self, request: d.OcppDataNext, caller: Caller) -> d.OcppDataRequests:
        """The next request of a subscription; waits for it."""
        ...

    async def ocpp_data_confirm(self, request: d.OcppDataConfirm, caller: Caller) -> m.Done:
        """Answer a DataTransfer request."""
        ...

    async def ocpp_data_unsubscribe(self, request: d.OcppDataUnsubscribe, caller: Caller) -> m.Done:
        """End a subscription."""
        ...

    async def ocpp_certs(self, request: Empty, caller: Caller) -> s.OcppCertificates:
        """Certificates of the link."""
        ...

    async def ocpp_cert_install(self, request: s.OcppCertInstall, caller: Caller) -> s.OcppSecurityResult:
        """Install a root certificate."""
        ...

    async def ocpp_cert_delete(self, request: s.OcppCertDelete, caller: Caller) -> s.OcppSecurityResult:
        """Delete a root certificate."""
        ...

    async def ocpp_cert_request(self, request: Empty, caller: Caller) -> s.OcppSecurityResult:
        """Ask the CSMS to sign a certificate of the station."""
        ...

    async def ocpp_cert_csr(self, request: Empty, caller: Caller) -> s.OcppCertRequestText:
        """Make a key and return the request for its certificate."""
        ...

    async def ocpp_cert_install_own(self, request: s.OcppCertInstallOwn, caller: Caller) -> s.OcppSecurityResult:
        """Install the certificate of the station that belongs to that request."""
        ...

    async def ocpp_security(self, request: Empty, caller: Caller) -> s.OcppSecurityState:
        """Security profile, staged change, TLS and warnings."""
        ...

    async def ocpp_security_events(self, request: s.OcppSecurityEventsQuery, caller: Caller) -> s.OcppSecurityEvents:
        """Security events, newest last."""
        ...

    async def ocpp_set_profile(self, request: s.OcppSetProfile, caller: Caller) -> s.OcppSecurityResult:
        """Stage another security profile or URL."""
        ...

    async def ocpp_set_password(self, request: s.OcppSetPassword, caller: Caller) -> s.OcppSecurityResult:
        """Set the password towards the CSMS."""
        ...

    async def ocpp_cancel_change(self, request: Empty, caller: Caller) -> m.Done:
        """Drop a change of the link that waits or was given up."""
        ...

    async def ocpp_transfers(self, request: Empty, caller: Caller) -> s.OcppTransfers:
        """Firmware updates and uploads."""
        ...

    async def ocpp_transfer_cancel(self, request: s.OcppTransferRef, caller: Caller) -> m.Done:
        """Give up a transfer."""
        ...

    async def ocpp_doctor(self, request: Empty, caller: Caller) -> o.OcppDoctor:
        """Check DNS, TCP, TLS, HTTP, credentials, subprotocol, clock and boot in order."""
        ...

    async def ocpp_examine(self, request: Empty, caller: Caller) -> o.OcppDoctor:
        """The same with the link ended, and dialled again afterwards."""
        ...
