"""F20 to F24, F36 to F41: plug lock, proximity and pilot of an AC EVSE.

Source of what the manual's rows do: Charge Control C user guide 3.3.4.2 to 3.3.4.6 and 3.3.4.34 to 3.3.4.36.
"""

from __future__ import annotations

from evse.domain.faults import FaultCode, FaultKinds, FaultSpec, LatchRule, Reaction, Severity

ROWS: tuple[FaultSpec, ...] = (
    FaultSpec(
        code=FaultCode.PLUG_LOCK_CAP_NOT_CHARGED,
        name="PlugLockCapNotCharged",
        scope="evse",
        kinds=FaultKinds.AC,
        priority=200,
        severity=Severity.FAULT,
        reaction=Reaction.STOP,
        latch=LatchRule.AUTO,
        ocpp16="ConnectorLockFailure",
        vendor_code="PlugLockMotorCapNotCharged",
        stop_reason="Other",
        description="The capacitor that drives the plug lock when the mains fails did not charge in time.",
        cause="A defective capacitor on the board, or a supply below 12 V.",
        impact="The lock is not driven and no charging is offered. Charging is possible again once it is charged.",
        remedy_remote="None: it needs a look at the supply. Watch whether it comes and goes with the load.",
        remedy_on_site=(
            "Measure the supply of the board under load, at least 12 V. Unplug the lock motor: if it charges now, "
            "motor or wires are shorted. Else exchange the board."
        ),
    ),
    FaultSpec(
        code=FaultCode.PLUG_LOCK_UNEXPECTED_OPEN,
        name="PlugLockUnexpectedOpen",
        scope="evse",
        kinds=FaultKinds.AC,
        priority=300,
        severity=Severity.FAULT,
        reaction=Reaction.STOP,
        latch=LatchRule.UNPLUG,
        ocpp16="ConnectorLockFailure",
        vendor_code="PlugLockMotorUnexpectedOpen",
        stop_reason="Other",
        description="The plug lock reports open although it was locked.",
        cause="Somebody forced the plug or the bolt, the wrong lock motor is configured, or its feedback wire is loose.",
        impact="Charging has ended: the plug could be pulled. The connector is free again after unplugging.",
        remedy_remote="Compare the configured lock motor with the one that is fitted.",
        remedy_on_site="Look for marks of force at socket and plug, check the bolt, the motor and its feedback wires.",
    ),
    FaultSpec(
        code=FaultCode.PLUG_LOCK_UNEXPECTED_CLOSE,
        name="PlugLockUnexpectedClose",
        scope="evse",
        kinds=FaultKinds.AC,
        priority=400,
        severity=Severity.FAULT,
        reaction=Reaction.STOP,
        latch=LatchRule.AUTO,
        ocpp16="ConnectorLockFailure",
        vendor_code="PlugLockMotorUnexpectedClose",
        stop_reason="Other",
        description="The plug lock reports closed although it was opened.",
        cause="Somebody forced the bolt, the wrong lock motor is configured, or its feedback is shorted or inverted.",
        impact="No charging: a plug may not go in, or may not come out. Ends by itself when the lock reports open.",
        remedy_remote="Compare the configured lock motor with the one that is fitted.",
        remedy_on_site="Move the bolt by hand, check plug, motor and feedback wires.",
    ),
    FaultSpec(
        code=FaultCode.PLUG_LOCK_CANNOT_LOCK,
        name="PlugLockCannotLock",
        scope="evse",
        kinds=FaultKinds.AC,
        priority=500,
        severity=Severity.FAULT,
        reaction=Reaction.STOP,
        latch=LatchRule.UNPLUG,
        ocpp16="ConnectorLockFailure",
        vendor_code="PlugLockCannotLock",
        stop_reason="Other",
        description="The plug lock was driven to locked and does not report it, also after further tries.",
        cause=(
            "Plug not fully inserted or its notch is damaged, the lock is stuck or worn, or the wrong lock motor "
            "is configured."
        ),
        impact="No charging with this plug. The connector is free again after unplugging.",
        remedy_remote=(
            "Ask the driver to push the plug in to the stop, then try `evsectl connector unlock`. Compare the "
            "configured lock motor with the one that is fitted."
        ),
        remedy_on_site="Try another cable, clean the socket, free the bolt; measure motor and feedback wires.",
    ),
    FaultSpec(
        code=FaultCode.PLUG_LOCK_CANNOT_UNLOCK,
        name="PlugLockCannotUnlock",
        scope="evse",
        kinds=FaultKinds.AC,
        priority=600,
        severity=Severity.FAULT,
        reaction=Reaction.STOP,
        latch=LatchRule.AUTO,
        ocpp16="ConnectorLockFailure",
        vendor_code="PlugLockCannotUnlock",
        stop_reason="Other",
        description="The plug lock was driven to unlocked and does not report it, also after further tries.",
        cause=(
            "A cable that pulls on the plug, ice or dirt, a damaged plug, a stuck or worn lock, or the wrong lock "
            "motor is configured."
        ),
        impact="The cable cannot be taken out and nobody else can charge. Ends by itself when the lock opens.",
        remedy_remote=(
            "Ask the driver to push the plug in while you run `evsectl connector unlock`. Compare the configured "
            "lock motor with the one that is fitted."
        ),
        remedy_on_site=(
            "Take the weight off the cable and unlock again, use the emergency release; then check plug, bolt, "
            "motor and wires."
        ),
    ),
    FaultSpec(
        code=FaultCode.PROXIMITY_NO_CABLE,
        name="ProximityNoCable",
        scope="evse",
        kinds=FaultKinds.AC,
        priority=1030,
        severity=Severity.FAULT,
        reaction=Reaction.STOP,
        latch=LatchRule.UNPLUG,
        ocpp16="OtherError",
        vendor_code="ProximityNoCable",
        stop_reason="Other",
        description="A vehicle is there, but the proximity contact of the socket shows no plug.",
        cause="A damaged plug, a damaged socket, broken wires behind it, or a defect of the board.",
        impact=(
            "Charging has ended and the plug stays locked; before charging the socket stays unlocked and offers "
            "nothing. Free again after unplugging."
        ),
        remedy_remote="Tell the driver that the cable may be damaged; ask to try another one.",
        remedy_on_site=(
            "Try a good cable. Measure the proximity contact of the socket to earth: 1500, 680, 220 or 100 ohm with "
            "a plug in. Check wires, lock and board."
        ),
    ),
    FaultSpec(
        code=FaultCode.PROXIMITY_INVALID,
        name="ProximityInvalid",
        scope="evse",
        kinds=FaultKinds.AC,
        priority=1040,
        severity=Severity.FAULT,
        reaction=Reaction.STOP,
        latch=LatchRule.UNPLUG,
        ocpp16="OtherError",
        vendor_code="ProximityInvalid",
        stop_reason="Other",
        description="The coding of the cable is none of 13, 20, 32 and 63 A, or this station rejects it.",
        cause="A damaged or self-made cable, water in the socket, broken wires behind it, or a defect of the board.",
        impact=(
            "Charging has ended and the plug stays locked; before charging the socket stays unlocked and offers "
            "nothing. Free again after unplugging."
        ),
        remedy_remote="Tell the driver that the cable may be damaged or too small; ask to try another one.",
        remedy_on_site=(
            "Dry and clean the socket. Measure the coding of the cable: 1500 ohm = 13 A, 680 = 20 A, 220 = 32 A, "
            "100 = 63 A. Check wires, lock and board."
        ),
    ),
    FaultSpec(
        code=FaultCode.PROXIMITY_CHANGED,
        name="ProximityChanged",
        scope="evse",
        kinds=FaultKinds.AC,
        priority=1730,
        severity=Severity.WARNING,
        reaction=Reaction.DERATE,
        latch=LatchRule.UNPLUG,
        ocpp16="OtherError",
        vendor_code="ProximityChanged",
        stop_reason="Other",
        description="The coding of the cable changed while it was plugged in.",
        cause="A loose contact in plug or socket, water, damaged wires, or a defect of the board.",
        impact="Charging goes on with the smaller current of the two until the vehicle is unplugged.",
        remedy_remote="Tell the driver that the cable may be damaged. See whether it happens with other cables.",
        remedy_on_site="Move the plug and watch the coding; check contacts, wires, lock and board.",
    ),
    FaultSpec(
        code=FaultCode.PILOT_DIODE,
        name="PilotDiode",
        scope="evse",
        kinds=FaultKinds.AC,
        priority=190,
        severity=Severity.FAULT,
        reaction=Reaction.EMERGENCY,
        latch=LatchRule.UNPLUG,
        ocpp16="EVCommunicationError",
        stop_reason="Other",
        description="The negative half wave of the pilot is not -12 V: there is no diode behind it, so no vehicle.",
        cause="Water or dirt between pilot and earth, a tester or a self-made adapter, or a fault in the vehicle.",
        impact="No energy: what is connected cannot be told from a resistor. Free again after unplugging.",
        remedy_remote="Ask what is plugged in. One vehicle only points at the vehicle, all of them at the cable.",
        remedy_on_site="Dry and clean the pilot pins, try another vehicle or a tester with a diode, check the cable.",
    ),
    FaultSpec(
        code=FaultCode.PILOT_SHORT,
        name="PilotShort",
        scope="evse",
        kinds=FaultKinds.AC,
        priority=191,
        severity=Severity.FAULT,
        reaction=Reaction.EMERGENCY,
        latch=LatchRule.UNPLUG,
        ocpp16="EVCommunicationError",
        stop_reason="Other",
        description="The pilot is at 0 V (state E): shorted to earth.",
        cause="Water in the connector, a crushed cable, a wire that came loose, or a board without supply.",
        impact="No energy. The connector is free again when the short is gone and nothing is plugged in.",
        remedy_remote="Ask the driver to unplug. If it stays with nothing plugged in, send somebody.",
        remedy_on_site=(
            "Dry the connector. Disconnect the pilot wire at the board: 12 V there means cable or socket, 0 V means "
            "the board."
        ),
    ),
    FaultSpec(
        code=FaultCode.PILOT_INVALID,
        name="PilotInvalid",
        scope="evse",
        kinds=FaultKinds.AC,
        priority=192,
        severity=Severity.FAULT,
        reaction=Reaction.EMERGENCY,
        latch=LatchRule.UNPLUG,
        ocpp16="EVCommunicationError",
        stop_reason="Other",
        description="The pilot has a level that belongs to no state, or the board's word and its measurement differ.",
        cause="Dirty or corroded pilot pins, a bad earth, disturbance along a long cable, or a defect of the board.",
        impact="No energy: what the vehicle wants is not known. Free again after unplugging.",
        remedy_remote="Read the measured level in the fault text; see whether it happens with all vehicles.",
        remedy_on_site="Clean the pins, check the earth from plug to board, measure the pilot with a tester; exchange the board.",
    ),
)
