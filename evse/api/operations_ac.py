"""The rows of the registry around AC connectors and their field devices."""

from __future__ import annotations

from typing import Final

from evse.access.roles import Role
from evse.api import models as m
from evse.api import models_ac as ac
from evse.api.operation import Empty, Operation, Risk, get, post

LIMITS: Final[tuple[Operation, ...]] = (
    get("limits.explain", "/v1/limits/explain", ac.LimitsExplanations, "Every limit of a connector and which one binds", ac.AcQuery),
    get("limits.list", "/v1/limits", ac.DynamicLimits, "Named current limits of other programs", ac.AcQuery),
    post("limits.set", "/v1/limits/set", ac.LimitSet, m.Done, "Set a named current limit; lost at a restart"),
    post("limits.clear", "/v1/limits/clear", ac.LimitRef, m.Done, "Remove a named current limit"),
)

RELEASE: Final[tuple[Operation, ...]] = (
    post(
        "connector.allow",
        "/v1/connectors/allow",
        m.EvseRef,
        m.Done,
        "Let a paused AC connector go on",
        risk=Risk.ENERGISE,
    ),
    post(
        "connector.pause",
        "/v1/connectors/pause",
        m.EvseRef,
        m.Done,
        "Pause an AC connector without ending its session",
        risk=Risk.STOP_CHARGING,
    ),
    post(
        "connector.release",
        "/v1/connectors/release",
        ac.PermissionRequest,
        m.Done,
        "Give permission to charge (release mode dashboard)",
        risk=Risk.ENERGISE,
    ),
    post(
        "connector.withdraw",
        "/v1/connectors/withdraw",
        m.EvseRef,
        m.Done,
        "Take the permission to charge back (release mode dashboard)",
        risk=Risk.STOP_CHARGING,
    ),
)

PARTS: Final[tuple[Operation, ...]] = (
    get("lock.status", "/v1/locks", ac.Locks, "Plug locks", ac.AcQuery),
    post(
        "lock.unlock",
        "/v1/locks/unlock",
        ac.UnlockRequest,
        m.Done,
        "Stop charging and unlock; with hold until the plug is out",
        risk=Risk.STOP_CHARGING,
    ),
    post("lock.lock", "/v1/locks/lock", m.EvseRef, m.Done, "End a held unlocking: the lock follows the session again"),
    get("rcd.status", "/v1/rcds", ac.Rcds, "Residual current monitors and their last test", ac.AcQuery),
    post("rcd.test", "/v1/rcds/test", m.EvseRef, m.Done, "Run the self-test of a residual current monitor"),
    get("phase.show", "/v1/phases", ac.Phases, "Phases in use and possible", ac.AcQuery),
    post(
        "phase.set", "/v1/phases/set", ac.PhaseSet, m.Done, "Switch between one and three phases; a session is paused"
    ),
    get("hlc.show", "/v1/hlc", ac.HlcRows, "Digital communication with AC vehicles", ac.AcQuery),
    post("hlc.request", "/v1/hlc/request", ac.HlcAsk, m.Done, "Ask an ISO 15118 vehicle for something"),
    get("ventilation.show", "/v1/ventilation", ac.Ventilations, "Ventilation for pilot state D", ac.AcQuery),
    post("ventilation.set", "/v1/ventilation/set", ac.VentilationSet, m.Done, "Say what an external ventilation does"),
)

DEVICES: Final[tuple[Operation, ...]] = (
    get("io.list", "/v1/io", ac.IoRows, "Digital inputs and outputs, temperatures, fan", ac.IoRef),
    post("io.set", "/v1/io/set", ac.IoSet, m.Done, "Set a digital output by hand, or give it back"),
    get("recloser.status", "/v1/reclosers", ac.Reclosers, "Reclosers and where they are", ac.RecloserRef),
    post(
        "recloser.open",
        "/v1/reclosers/open",
        ac.RecloserRef,
        m.Done,
        "Open a recloser: its connectors lose their supply",
        risk=Risk.STOP_CHARGING,
    ),
    post(
        "recloser.close",
        "/v1/reclosers/close",
        ac.RecloserRef,
        m.Done,
        "Close a recloser: its connectors get their supply",
        risk=Risk.ENERGISE,
    ),
    post(
        "meter.detect", "/v1/meters/detect", ac.DetectStart, ac.DetectState, "Begin a search for meters on a line"
    ),
    get("meter.detected", "/v1/meters/detected", ac.DetectState, "The running or last search", Empty, Role.OPERATOR),
    post("meter.detect_stop", "/v1/meters/detect/stop", Empty, m.Done, "End the running search"),
    post("rfid.tap", "/v1/rfid/tap", ac.TapRequest, ac.Tap, "Wait for a card at a reader and use it for nothing else"),
)

OPERATIONS_AC: Final[tuple[Operation, ...]] = (*LIMITS, *RELEASE, *PARTS, *DEVICES)
