"""The rows of the registry for the back-end link."""

from __future__ import annotations

from typing import Final

from evse.access.roles import Role
from evse.api import models as m
from evse.api import models_ocpp as o
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
    post("ocpp.data_send", "/v1/ocpp/data/send", o.OcppDataSend, o.OcppDataAnswer, "Send a DataTransfer to the CSMS"),
    get(
        "ocpp.doctor", "/v1/ocpp/doctor", o.OcppDoctor,
        "Check DNS, TCP, TLS, HTTP, credentials, subprotocol, clock and boot in order", role=Role.OPERATOR,
    ),
)  # fmt: skip
