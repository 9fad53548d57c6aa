"""The rows of the registry for the back-end link."""

from __future__ import annotations

from typing import Final

from evse.access.roles import Role
from evse.api import models as m
from evse.api import models_ocpp as o
from evse.api import models_ocpp_data as d
from evse.api import models_ocpp_security as s
from evse.api.operation import Empty, Operation, get, post

OPERATIONS_OCPP: Final[tuple[Operation, ...]] = (
    get("ocpp.status", "/v1/ocpp", o.OcppState, "State of the back-end link"),
    get("ocpp.messages", "/v1/ocpp/messages", o.OcppMessages, "Last messages both ways", o.OcppMessageQuery, Role.USER),
    get(
        "ocpp.stream", "/v1/ocpp/messages/stream", m.StreamItem,
        "Messages both ways as they happen, heartbeats every 10 s; resume with since", m.StreamQuery, Role.USER, stream=True,
    ),
    get("ocpp.log", "/v1/ocpp/log", o.OcppLog, "What happened to the link: dialled, connected, closed, and why", o.OcppLogQuery, Role.USER),
    get("ocpp.config", "/v1/ocpp/config", o.OcppKeys, "OCPP configuration keys", role=Role.USER),
    post("ocpp.set", "/v1/ocpp/config/set", o.OcppKeySet, o.OcppKeyResult, "Set an OCPP configuration key"),
    get("ocpp.queue", "/v1/ocpp/queue", o.OcppQueue, "Transaction messages that are not answered yet", o.OcppQueueQuery, Role.USER),
    post("ocpp.resend", "/v1/ocpp/queue/resend", o.OcppResend, m.Done, "Send parked transaction messages again"),
    post("ocpp.queue_move", "/v1/ocpp/queue/move", o.OcppForeign, m.Done, "Give the messages of another back end to this one"),
    post("ocpp.queue_discard", "/v1/ocpp/queue/discard", o.OcppForeign, m.Done, "Remove the messages of another back end"),
    get("ocpp.profiles", "/v1/ocpp/profiles", o.OcppProfiles, "Installed charging profiles", role=Role.USER),
    get(
        "ocpp.composite", "/v1/ocpp/composite", o.OcppComposite, "Composite schedule of the station or a connector",
        o.OcppCompositeQuery, Role.USER,
    ),
    get(
        "ocpp.explain", "/v1/ocpp/explain", o.OcppScheduleExplanations,
        "Which charging profile decides, why others do not, and what comes next", o.OcppScheduleQuery, Role.USER,
    ),
    post("ocpp.trigger", "/v1/ocpp/trigger", o.OcppTrigger, m.Done, "Send a message to the CSMS now"),
    post("ocpp.reconnect", "/v1/ocpp/reconnect", Empty, m.Done, "End the link and dial again"),
    post("ocpp.data_send", "/v1/ocpp/data/send", d.OcppDataSend, d.OcppDataAnswer, "Send a DataTransfer to the CSMS"),
    post(
        "ocpp.data_subscribe", "/v1/ocpp/data/subscribe", d.OcppDataSubscribe, d.OcppDataSubscription,
        "Hear DataTransfer requests of a vendor",
    ),
    get(
        "ocpp.data_next", "/v1/ocpp/data/next", d.OcppDataRequests, "The next request of a subscription; waits for it",
        d.OcppDataNext, Role.OPERATOR,
    ),
    post("ocpp.data_confirm", "/v1/ocpp/data/confirm", d.OcppDataConfirm, m.Done, "Answer a DataTransfer request"),
    post("ocpp.data_unsubscribe", "/v1/ocpp/data/unsubscribe", d.OcppDataUnsubscribe, m.Done, "End a subscription"),
    get("ocpp.certs", "/v1/ocpp/certs", s.OcppCertificates, "Certificates of the link", role=Role.USER),
    post("ocpp.cert_install", "/v1/ocpp/certs/install", s.OcppCertInstall, s.OcppSecurityResult, "Install a root certificate"),
    post("ocpp.cert_delete", "/v1/ocpp/certs/delete", s.OcppCertDelete, s.OcppSecurityResult, "Delete a root certificate"),
    post("ocpp.cert_request", "/v1/ocpp/certs/request", Empty, s.OcppSecurityResult, "Ask the CSMS to sign a certificate of the station"),
    post(
        "ocpp.cert_csr", "/v1/ocpp/certs/csr", Empty, s.OcppCertRequestText,
        "Make a key and return the request for its certificate, for an authority that is not the CSMS",
    ),
    post(
        "ocpp.cert_install_own", "/v1/ocpp/certs/install-own", s.OcppCertInstallOwn, s.OcppSecurityResult,
        "Install the certificate of the station that belongs to that request",
    ),
    get("ocpp.security", "/v1/ocpp/security", s.OcppSecurityState, "Security profile, staged change, TLS and warnings", role=Role.USER),
    get(
        "ocpp.security_events", "/v1/ocpp/security/events", s.OcppSecurityEvents, "Security events, newest last",
        s.OcppSecurityEventsQuery, Role.OPERATOR,
    ),
    post("ocpp.set_profile", "/v1/ocpp/security/profile", s.OcppSetProfile, s.OcppSecurityResult, "Stage another security profile or URL"),
    post("ocpp.set_password", "/v1/ocpp/security/password", s.OcppSetPassword, s.OcppSecurityResult, "Set the password towards the CSMS"),
    post("ocpp.cancel_change", "/v1/ocpp/security/cancel", Empty, m.Done, "Drop a change of the link that waits or was given up"),
    get("ocpp.transfers", "/v1/ocpp/transfers", s.OcppTransfers, "Firmware updates and uploads", role=Role.USER),
    post("ocpp.transfer_cancel", "/v1/ocpp/transfers/cancel", s.OcppTransferRef, m.Done, "Give up a transfer"),
    get(
        "ocpp.doctor", "/v1/ocpp/doctor", o.OcppDoctor,
        "Check DNS, TCP, TLS, HTTP, credentials, subprotocol, clock and boot in order", role=Role.OPERATOR,
    ),
    post("ocpp.examine", "/v1/ocpp/doctor/alone", Empty, o.OcppDoctor, "The same with the link ended, and dialled again afterwards"),
)  # fmt: skip
