"""F1 to F19: faults of every station, and those of a DC EVSE."""

from __future__ import annotations

from evse.domain.faults import FaultCode, FaultKinds, FaultSpec, LatchRule, Reaction, Severity

ROWS: tuple[FaultSpec, ...] = (
    FaultSpec(
        code=FaultCode.EMERGENCY_STOP,
        name="EmergencyStop",
        scope="station",
        kinds=FaultKinds.BOTH,
        priority=130,
        severity=Severity.CRITICAL,
        reaction=Reaction.EMERGENCY,
        latch=LatchRule.MANUAL,
        ocpp16="OtherError",
        stop_reason="EmergencyStop",
        description="An emergency stop button is pressed. Energy is off on every connector.",
        cause=(
            "Somebody pressed the button, or its safety loop is interrupted: loose plug, broken wire, contact "
            "block fallen off."
        ),
        impact="All sessions have ended. Nothing charges until the button is released and the fault is cleared.",
        remedy_remote="Ask the site what happened. Clear only after somebody there confirms that nobody is in danger.",
        remedy_on_site=(
            "Find out why it was pressed and make the place safe. Turn the button to release it. If it is not "
            "pressed, measure the safety loop from the board's terminals. Then clear the fault."
        ),
    ),
    FaultSpec(
        code=FaultCode.BOARD_LOST,
        name="BoardLost",
        scope="evse",
        kinds=FaultKinds.BOTH,
        priority=180,
        severity=Severity.FAULT,
        reaction=Reaction.EMERGENCY,
        latch=LatchRule.AUTO,
        ocpp16="InternalError",
        stop_reason="Other",
        description="The pilot/PLC board of this connector does not report its state.",
        cause="USB cable or hub, supply of the board, a firmware crash, or the wrong port in the configuration.",
        impact="This connector is off: without the board its state is not known. Other connectors go on.",
        remedy_remote=(
            "Run `evsectl plc discover` and compare detected with configured. Look at the board's counters in "
            "`evsectl doctor`."
        ),
        remedy_on_site=(
            "Check the board's supply LED and the USB plug on both ends, move the cable to another port, "
            "restart the board. After an exchange configure the new serial number."
        ),
    ),
    FaultSpec(
        code=FaultCode.BMS_STALE,
        name="BmsStale",
        scope="evse",
        kinds=FaultKinds.DC,
        priority=1810,
        severity=Severity.WARNING,
        reaction=Reaction.STOP,
        latch=LatchRule.UNPLUG,
        ocpp16="EVCommunicationError",
        stop_reason="Other",
        description="The vehicle stopped sending its voltage and current request while charging.",
        cause="Disturbed power line communication, a vehicle controller that hangs, or an overloaded board.",
        impact="The session was ended because nobody knew any more what the battery needs. A new start may try again.",
        remedy_remote="Look whether it happens with one vehicle or with all. Ask the driver to authorise again.",
        remedy_on_site=(
            "Inspect the pilot and earth pins for dirt and water, check the shield and earth of the cable. If "
            "all vehicles are affected exchange the board."
        ),
    ),
    FaultSpec(
        code=FaultCode.INSULATION,
        name="InsulationFault",
        scope="evse",
        kinds=FaultKinds.DC,
        priority=160,
        severity=Severity.FAULT,
        reaction=Reaction.EMERGENCY,
        latch=LatchRule.UNPLUG,
        ocpp16="GroundFailure",
        stop_reason="GroundFault",
        description="The insulation between the DC output and earth is too low.",
        cause=(
            "Water or dirt in the connector, a damaged cable, a vehicle with an insulation fault, or a faulty "
            "insulation monitor."
        ),
        impact="No energy for this vehicle. The connector is free again after it was unplugged.",
        remedy_remote=(
            "Compare with the sessions before: one vehicle only points at the vehicle, every vehicle at the cable."
        ),
        remedy_on_site=(
            "Dry and clean the connector, look for cuts and crushed places along the cable. Measure DC+ and DC- "
            "against earth with the vehicle unplugged and the station switched off and locked."
        ),
    ),
    FaultSpec(
        code=FaultCode.PRE_CHARGE_TIMEOUT,
        name="PreChargeTimeout",
        scope="evse",
        kinds=FaultKinds.DC,
        priority=1070,
        severity=Severity.FAULT,
        reaction=Reaction.STOP,
        latch=LatchRule.UNPLUG,
        ocpp16="PowerSwitchFailure",
        stop_reason="Other",
        description="The output did not reach the battery voltage in time.",
        cause=(
            "Power modules do not deliver, a blown output fuse, a contactor without contact, or a vehicle that "
            "asks for a voltage out of range."
        ),
        impact="This session could not start. The connector is free again after unplugging.",
        remedy_remote=(
            "Compare the voltages in the fault text: far below means modules or fuse, nearly there means the "
            "voltage measurement."
        ),
        remedy_on_site=(
            "Check the modules' status lamps and the output fuses, compare the board's voltage with a meter at "
            "the output."
        ),
    ),
    FaultSpec(
        code=FaultCode.CONNECTOR_OVER_TEMPERATURE,
        name="ConnectorOverTemperature",
        scope="evse",
        kinds=FaultKinds.BOTH,
        priority=1060,
        severity=Severity.FAULT,
        reaction=Reaction.STOP,
        latch=LatchRule.AUTO,
        ocpp16="HighTemperature",
        stop_reason="Other",
        description="A contact of the connector is too hot although power was reduced before.",
        cause=(
            "Worn or dirty contacts, a loose crimp, sun on the cable, a cable cooling that does not run, or a "
            "broken sensor."
        ),
        impact=(
            "Charging has ended. The connector comes back by itself when it has cooled below the derating temperature."
        ),
        remedy_remote=(
            "Look at the temperature over the last sessions. Lower the current limit of the connector until it "
            "was inspected."
        ),
        remedy_on_site=(
            "Let it cool, look for discoloured pins, check the cooling, measure the sensor. Exchange the "
            "connector when pins are burnt."
        ),
    ),
    FaultSpec(
        code=FaultCode.POWER_MODULE_FAILURE,
        name="PowerModuleFailure",
        scope="evse",
        kinds=FaultKinds.DC,
        priority=1830,
        severity=Severity.WARNING,
        reaction=Reaction.DERATE,
        latch=LatchRule.AUTO,
        ocpp16="PowerSwitchFailure",
        stop_reason="Other",
        description="A power module reports a fault of its own.",
        cause=(
            "Over-temperature, a fan, mains out of range, or a defect inside; the fault text names module and "
            "status bit."
        ),
        impact="Less power. With no module left the connector gives none.",
        remedy_remote="Read the status bit in the fault text. Mains faults on all modules point at the supply.",
        remedy_on_site=(
            "Clean air filters and fans, check the mains phases at the module. Pull the module, wait a minute, "
            "plug it in again; else exchange it."
        ),
    ),
    FaultSpec(
        code=FaultCode.POWER_MODULE_MISSING,
        name="PowerModuleMissing",
        scope="evse",
        kinds=FaultKinds.DC,
        priority=1840,
        severity=Severity.WARNING,
        reaction=Reaction.DERATE,
        latch=LatchRule.AUTO,
        ocpp16="PowerSwitchFailure",
        stop_reason="Other",
        description="A configured power module does not answer on the CAN bus.",
        cause=(
            "Module without mains, wrong address, CAN cable or termination; all at once means the bus or the adapter."
        ),
        impact="Less power. With no module left the connector gives none.",
        remedy_remote=(
            "Compare the missing addresses with the configuration; look at the CAN counters in `evsectl doctor`."
        ),
        remedy_on_site=(
            "Check the module's breaker, its address display and the CAN plug. Measure 60 ohm between CAN-H and "
            "CAN-L with the station off."
        ),
    ),
    FaultSpec(
        code=FaultCode.METER_LOST,
        name="MeterLost",
        scope="evse",
        kinds=FaultKinds.DC,
        priority=710,
        severity=Severity.FAULT,
        reaction=Reaction.STOP,
        latch=LatchRule.AUTO,
        ocpp16="PowerMeterFailure",
        stop_reason="Other",
        description="The energy meter of this connector does not answer, or does not sign a reading that must be signed.",
        cause="RS-485 wiring, termination, meter supply, wrong unit number or baud rate.",
        impact=(
            "Nothing may be sold without a meter: the session was ended, new ones are refused until values arrive; "
            "without a signed begin until the vehicle has left."
        ),
        remedy_remote=(
            "Run `evsectl meter probe`; one silent meter on a bus points at the meter, all of them at the bus "
            "or the adapter."
        ),
        remedy_on_site=(
            "Check the meter's display and supply, A/B polarity, the termination, and unit number and baud rate "
            "in its menu."
        ),
    ),
    FaultSpec(
        code=FaultCode.CONTACTOR_WELDED,
        name="ContactorWelded",
        scope="evse",
        kinds=FaultKinds.BOTH,
        priority=100,
        severity=Severity.CRITICAL,
        reaction=Reaction.EMERGENCY,
        latch=LatchRule.MANUAL,
        ocpp16="PowerSwitchFailure",
        stop_reason="Other",
        description="The contactor does not open: its feedback or the voltage behind it stays on after the command.",
        cause=(
            "Contacts welded by switching under load, a stuck auxiliary contact, broken feedback wiring, or the "
            "wrong kind of feedback (NC, NO) in the configuration."
        ),
        impact="The connector is blocked: its contacts may be live. It stays so until a technician clears it.",
        remedy_remote=(
            "Compare the configured kind of feedback with the station. Do not clear without a visit; take the "
            "connector out of service."
        ),
        remedy_on_site=(
            "Switch off, lock and test for no voltage. Measure each contactor in rest position and the auxiliary "
            "contacts; of a DC pair exchange both when one is welded. Clear the fault last."
        ),
    ),
    FaultSpec(
        code=FaultCode.CONTACTOR_NOT_CLOSED,
        name="ContactorNotClosed",
        scope="evse",
        kinds=FaultKinds.BOTH,
        priority=110,
        severity=Severity.CRITICAL,
        reaction=Reaction.STOP,
        latch=LatchRule.MANUAL,
        ocpp16="PowerSwitchFailure",
        stop_reason="Other",
        description="The contactor was told to close and did not report closed.",
        cause="Coil supply, a driver on the board, an open safety loop, or the auxiliary contact.",
        impact="This connector cannot charge until it was repaired and the fault is cleared.",
        remedy_remote="Clear once and try again with a vehicle; a second time needs a visit.",
        remedy_on_site=(
            "Measure the coil voltage during the attempt, check the safety loop and the auxiliary contact. "
            "Clear the fault afterwards."
        ),
    ),
    FaultSpec(
        code=FaultCode.OUTPUT_OUT_OF_RANGE,
        name="OutputOutOfRange",
        scope="evse",
        kinds=FaultKinds.DC,
        priority=150,
        severity=Severity.CRITICAL,
        reaction=Reaction.EMERGENCY,
        latch=LatchRule.MANUAL,
        ocpp16="OtherError",
        stop_reason="OvercurrentFault",
        description="Voltage or current at the output was higher than commanded.",
        cause=(
            "A power module that does not follow its set-point, wrong group numbers, or a wrong voltage or "
            "current measurement."
        ),
        impact="Energy was cut at once to protect the battery. The connector stays blocked until it was cleared.",
        remedy_remote=(
            "Read commanded and measured value in the fault text. Clear only when the measurement is known to be wrong."
        ),
        remedy_on_site=(
            "Compare the board's voltage with a meter, check group assignment of the modules, run each module "
            "alone. Then clear."
        ),
    ),
    FaultSpec(
        code=FaultCode.SITE_METER_LOST,
        name="SiteMeterLost",
        scope="station",
        kinds=FaultKinds.BOTH,
        priority=1850,
        severity=Severity.WARNING,
        reaction=Reaction.DERATE,
        latch=LatchRule.AUTO,
        ocpp16="PowerMeterFailure",
        stop_reason="Other",
        description="The meter at the grid connection does not answer.",
        cause="RS-485 wiring, meter supply, wrong unit number or baud rate.",
        impact=(
            "Sessions keep at most the power they had; new ones start with the smallest power. Site power is not shown."
        ),
        remedy_remote="Run `evsectl meter probe` with the name of the site meter.",
        remedy_on_site=(
            "Check display and supply of the meter, A/B polarity and termination of the bus, unit number and baud rate."
        ),
    ),
    FaultSpec(
        code=FaultCode.CABLE_CHECK_TIMEOUT,
        name="CableCheckTimeout",
        scope="evse",
        kinds=FaultKinds.DC,
        priority=1080,
        severity=Severity.FAULT,
        reaction=Reaction.STOP,
        latch=LatchRule.UNPLUG,
        ocpp16="OtherError",
        stop_reason="Timeout",
        description="The insulation test before charging was not finished in time.",
        cause=(
            "No test voltage (modules, fuse), an insulation monitor without result, or a record that could not "
            "be stored in time."
        ),
        impact="This session could not start. The connector is free again after unplugging.",
        remedy_remote="The fault text names what was missing. Try again with another vehicle.",
        remedy_on_site="Check that modules give the test voltage, and the supply and result of the insulation monitor.",
    ),
    FaultSpec(
        code=FaultCode.LOCK_FAILURE,
        name="LockFailure",
        scope="evse",
        kinds=FaultKinds.DC,
        priority=610,
        severity=Severity.FAULT,
        reaction=Reaction.STOP,
        latch=LatchRule.UNPLUG,
        ocpp16="ConnectorLockFailure",
        stop_reason="Other",
        description="The connector lock did not reach the commanded position.",
        cause="Connector not fully inserted, a cable that pulls on it, ice or dirt, the lock motor or its feedback.",
        impact=(
            "No energy without a locked connector; or the connector cannot be taken out. Free again after unplugging."
        ),
        remedy_remote=(
            "Ask the driver to push the connector in. If it cannot be taken out use `evsectl connector unlock`."
        ),
        remedy_on_site=(
            "Take the weight off the cable, free the bolt, use the emergency release; measure motor and feedback."
        ),
    ),
    FaultSpec(
        code=FaultCode.VEHICLE_COMMUNICATION,
        name="VehicleCommunication",
        scope="evse",
        kinds=FaultKinds.DC,
        priority=1820,
        severity=Severity.WARNING,
        reaction=Reaction.STOP,
        latch=LatchRule.UNPLUG,
        ocpp16="EVCommunicationError",
        stop_reason="Other",
        description=(
            "The conversation with the vehicle failed: no SLAC match, an error message of the vehicle, or silence."
        ),
        cause="Connector not fully inserted, disturbed pilot line, or a protocol problem between board and vehicle.",
        impact="The session did not start or has ended. A new authorisation tries again, without replugging.",
        remedy_remote=(
            "Ask the driver to authorise again, then to replug. Many different vehicles: look at the board's log."
        ),
        remedy_on_site=(
            "Clean the pilot and proximity pins, check the pilot wire and its shield, try another vehicle, "
            "update the board."
        ),
    ),
    FaultSpec(
        code=FaultCode.STORAGE,
        name="StorageFailure",
        scope="station",
        kinds=FaultKinds.BOTH,
        priority=1500,
        severity=Severity.FAULT,
        reaction=Reaction.STOP,
        latch=LatchRule.AUTO,
        ocpp16="OtherError",
        stop_reason="Other",
        description="The database cannot store sessions.",
        cause="Disk full, worn-out flash, or a damaged file that was set aside.",
        impact=(
            "Running sessions were ended in order; no new ones, unless the configuration allows charging "
            "without a record."
        ),
        remedy_remote="Run `evsectl doctor`; free space, fetch the logs, restart the service.",
        remedy_on_site="Exchange the storage medium. Keep the old one: it may hold sessions that were not sent yet.",
    ),
    FaultSpec(
        code=FaultCode.DOOR_OPEN,
        name="DoorOpen",
        scope="evse",
        kinds=FaultKinds.BOTH,
        priority=170,
        severity=Severity.FAULT,
        reaction=Reaction.EMERGENCY,
        latch=LatchRule.AUTO,
        ocpp16="OtherError",
        stop_reason="Other",
        description="A door of the cabinet is open.",
        cause="Service work, a door that is not shut, vandalism, or the door contact.",
        impact="Energy is off on this connector as long as live parts can be reached.",
        remedy_remote="Ask whether somebody works there. If not, treat it as a break-in and send somebody.",
        remedy_on_site="Look for damage, close and lock the door, adjust the contact.",
    ),
    FaultSpec(
        code=FaultCode.INTERNAL,
        name="InternalError",
        scope="station",
        kinds=FaultKinds.BOTH,
        priority=140,
        severity=Severity.CRITICAL,
        reaction=Reaction.EMERGENCY,
        latch=LatchRule.MANUAL,
        ocpp16="InternalError",
        stop_reason="Other",
        description="The control software found an error of its own and took the energy away.",
        cause="A programming error; the fault text names the place.",
        impact="Nothing charges until the software was restarted and the fault is cleared.",
        remedy_remote=(
            "Fetch the recorded trace with `evsectl trace dump` and send it to the maker; update; restart the service."
        ),
        remedy_on_site="Restart the controller. If it comes back leave the station out of service.",
    ),
)
