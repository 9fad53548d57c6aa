"""F52 to F55: contacts between module groups and connectors in a matrix cabinet."""

from __future__ import annotations

from evse.domain.faults import FaultCode, FaultKinds, FaultSpec, LatchRule, Reaction, Severity

ROWS: tuple[FaultSpec, ...] = (
    FaultSpec(
        code=FaultCode.MATRIX_CONTACT_WELDED,
        name="MatrixContactWelded",
        scope="evse",
        kinds=FaultKinds.DC,
        priority=1800,
        severity=Severity.WARNING,
        reaction=Reaction.DERATE,
        latch=LatchRule.AUTO,
        ocpp16="PowerSwitchFailure",
        stop_reason="Other",
        description="The contact between a module group and this connector stays closed although it shall open.",
        cause="Contacts welded by closing or opening under load, a driver that stays on, or a stuck auxiliary contact.",
        impact=(
            "The module group can feed this connector only. The others share what is left; nobody is in danger, because "
            "the output contactor still separates the vehicle."
        ),
        remedy_remote="Look in the events for the group and for what happened before. Plan a visit.",
        remedy_on_site=(
            "Switch off and lock the cabinet, wait until the rails are discharged, exchange the contact. Look at the "
            "voltages with which it closed in the recorded trace."
        ),
    ),
    FaultSpec(
        code=FaultCode.MATRIX_CONTACT_NOT_CLOSED,
        name="MatrixContactNotClosed",
        scope="evse",
        kinds=FaultKinds.DC,
        priority=1801,
        severity=Severity.WARNING,
        reaction=Reaction.DERATE,
        latch=LatchRule.AUTO,
        ocpp16="PowerSwitchFailure",
        stop_reason="Other",
        description="The contact between a module group and this connector does not close, or opened by itself.",
        cause="Coil or its supply, a loose plug between board and contact, or the auxiliary contact.",
        impact="This connector goes on without the group; others may have it. It is tried again after 30 s.",
        remedy_remote="Compare how often it happens, and whether all contacts of the connector do it (supply) or one.",
        remedy_on_site="Measure the coil voltage at the contact while the connector charges, check the auxiliary contact.",
    ),
    FaultSpec(
        code=FaultCode.MATRIX_CONTACT_UNKNOWN,
        name="MatrixContactUnknown",
        scope="evse",
        kinds=FaultKinds.DC,
        priority=1802,
        severity=Severity.WARNING,
        reaction=Reaction.DERATE,
        latch=LatchRule.AUTO,
        ocpp16="PowerSwitchFailure",
        stop_reason="Other",
        description="The contact between a module group and this connector reports neither open nor closed, or both.",
        cause="A broken wire of an auxiliary contact, or a board whose firmware has no matrix contacts.",
        impact="The module group is out of service, and no new session begins at this connector.",
        remedy_remote="Run `evsectl plc discover`: it shows the firmware of the board; one without matrix contacts needs other firmware.",
        remedy_on_site="Check the wires of the auxiliary contacts from the contact to the board.",
    ),
    FaultSpec(
        code=FaultCode.MATRIX_BUS_SHARED,
        name="MatrixBusShared",
        scope="evse",
        kinds=FaultKinds.DC,
        priority=105,
        severity=Severity.CRITICAL,
        reaction=Reaction.EMERGENCY,
        latch=LatchRule.MANUAL,
        ocpp16="PowerSwitchFailure",
        stop_reason="Other",
        description="A module group is connected with two connectors whose output contactors are not open.",
        cause="A contact closed against its command: welded in closing, a driver fault, or hands in the cabinet.",
        impact="The energy is off at both connectors, so that no vehicle feeds another.",
        remedy_remote="Leave both connectors out of service and send somebody.",
        remedy_on_site=(
            "Switch off and lock the cabinet, wait until the rails are discharged, find the contact that is closed and "
            "exchange it with its driver. Then clear the fault."
        ),
    ),
)
