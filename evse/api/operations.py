"""The registry: one row per operation. Routes, clients, OpenAPI, completion tables and man pages come from here."""

from __future__ import annotations

from evse.access.roles import Role as Role  # re-exported: part of the registry
from evse.api import models as m
from evse.api.operation import Empty as Empty
from evse.api.operation import Operation as Operation
from evse.api.operation import Risk as Risk
from evse.api.operation import get as _get
from evse.api.operation import post as _post
from evse.api.operations_ac import OPERATIONS_AC
from evse.api.operations_ocpp import OPERATIONS_OCPP
from evse.api.operations_rules import OPERATIONS_RULES
from evse.api.operations_whitelist import OPERATIONS_WHITELIST

OPERATIONS: tuple[Operation, ...] = (
    _get("version.get", "/v1/version", m.Version, "Version of the daemon and of the API"),
    _get("status.get", "/v1/status", m.Status, "The whole station as it stands now"),
    _get(
        "status.stream",
        "/v1/status/stream",
        m.StreamItem,
        "Snapshot, then changes of the view at most twice a second, heartbeats every 10 s",
        m.StreamQuery,
        stream=True,
    ),
    _get("doctor.run", "/v1/doctor", m.Doctor, "Check devices, back end, storage, configuration and clock"),
    _get("events.list", "/v1/events", m.Events, "Event history, newest first", m.HistoryQuery),
    _get(
        "events.stream",
        "/v1/events/stream",
        m.StreamItem,
        "Events as they happen; resume with since",
        m.StreamQuery,
        stream=True,
    ),
    _get("connector.list", "/v1/connectors", m.Connectors, "All connectors"),
    _get("connector.get", "/v1/connectors/get", m.Connectors, "One connector", m.EvseRef),
    _post(
        "connector.start",
        "/v1/connectors/start",
        m.StartRequest,
        m.Done,
        "Authorise a connector and start charging",
        Role.USER,
        Risk.ENERGISE,
    ),
    _post(
        "connector.stop",
        "/v1/connectors/stop",
        m.StopRequest,
        m.Done,
        "Stop charging on a connector",
        Role.USER,
        Risk.STOP_CHARGING,
    ),
    _post("connector.enable", "/v1/connectors/enable", m.AvailabilityRequest, m.Done, "Take a connector into service"),
    _post(
        "connector.disable",
        "/v1/connectors/disable",
        m.AvailabilityRequest,
        m.Done,
        "Take a connector out of service",
        Role.OPERATOR,
        Risk.STOP_CHARGING,
    ),
    _post(
        "connector.unlock",
        "/v1/connectors/unlock",
        m.EvseRef,
        m.Done,
        "Stop charging and unlock the connector",
        Role.OPERATOR,
        Risk.STOP_CHARGING,
    ),
    _get("session.list", "/v1/sessions", m.Sessions, "Sessions, newest first", m.SessionQuery, Role.USER),
    _get(
        "session.get",
        "/v1/sessions/get",
        m.SessionDetail,
        "One session with its power and SoC points",
        m.SessionRef,
        Role.USER,
    ),
    _get("fault.list", "/v1/faults", m.Faults, "Active faults with remedies"),
    _post("fault.clear", "/v1/faults/clear", m.FaultRef, m.Done, "Clear a latched fault whose cause is gone"),
    _get("fault.catalogue", "/v1/faults/catalogue", m.FaultCatalogue, "Every fault with its texts"),
    _get("planner.get", "/v1/planner", m.PlannerState, "Site limits, plan and module groups"),
    _post("planner.set", "/v1/planner/set", m.PlannerChange, m.PlannerState, "Change site limits now, without restart"),
    _post("planner.recompute", "/v1/planner/recompute", Empty, m.PlannerState, "Plan again from scratch"),
    _get("planner.explain", "/v1/planner/explain", m.Explanations, "Why each connector gets what it gets", m.ExplainQuery),
    _get("config.show", "/v1/config", m.ConfigText, "The configuration file in force, without secrets", role=Role.USER),
    _post(
        "config.validate",
        "/v1/config/validate",
        m.ConfigCandidate,
        m.ConfigResult,
        "Check a configuration; all errors at once",
        Role.USER,
        audit=False,
    ),
    _post(
        "config.apply", "/v1/config/apply", m.ConfigCandidate, m.ConfigResult, "Apply a configuration", Role.OPERATOR
    ),
    _get("plc.discover", "/v1/plc", m.PlcDiscovery, "Boards detected, configured and matched"),
    _get("meter.read", "/v1/meters", m.Meters, "Latest values of the meters", m.MeterRef),
    _get(
        "meter.probe",
        "/v1/meters/probe",
        m.ProbeResult,
        "Read every register of a meter now",
        m.ProbeRequest,
        Role.OPERATOR,
    ),
    _get("rfid.last", "/v1/rfid", m.Readers, "Readers and the last card", role=Role.OPERATOR),
    _post("trace.dump", "/v1/trace/dump", Empty, m.TraceDump, "Write the recorded inputs to a file"),
    _post("auth.signin", "/v1/auth/signin", m.SignIn, m.Token, "Raise the role with the service PIN", Role.GUEST),
    _post("auth.signout", "/v1/auth/signout", Empty, m.Done, "End the raised role", Role.GUEST),
    _post("auth.set_pin", "/v1/auth/pin", m.SetPin, m.Done, "Set or change the service PIN", Role.GUEST),
    _post("auth.totp_begin", "/v1/auth/totp/begin", Empty, m.TotpEnrolment, "Make a secret for one-time codes"),
    _post("auth.totp_confirm", "/v1/auth/totp/confirm", m.TotpConfirm, m.Done, "Ask for one-time codes from now on"),
    _post(
        "auth.totp_disable",
        "/v1/auth/totp/disable",
        m.TotpDisable,
        m.Done,
        "Ask for one-time codes no more (PIN and code, or root)",
        Role.GUEST,
    ),
    _get("auth.whoami", "/v1/auth", m.WhoAmI, "Role of the caller"),
    _get("audit.list", "/v1/audit", m.Audit, "Who changed what", m.HistoryQuery, Role.OPERATOR),
    *OPERATIONS_OCPP,
    *OPERATIONS_AC,
    *OPERATIONS_WHITELIST,
    *OPERATIONS_RULES,
)

BY_NAME: dict[str, Operation] = {op.name: op for op in OPERATIONS}
