"""OCPP 1.6 words for what the station knows: transaction rows, stop reasons, boot and meter messages.

Here, and only here, an EVSE is a ``connectorId`` and the session's token an ``idTag``.
"""

from __future__ import annotations

import uuid

import msgspec

from evse.domain.records import OutboxRow
from evse.domain.session import SessionRecord, StopReason
from evse.ocpp.messages import Payload, timestamp
from evse.ocpp.ports import Identity
from evse.ocpp.status import Due
from evse.ocpp.time_source import VALID_FROM
from evse.units import WallNs

ID_TAG_MAX = 20
"""Characters of an idTag (CiString20)."""

STOP_REASONS: dict[StopReason, str] = {
    StopReason.EMERGENCY_STOP: "EmergencyStop",
    StopReason.EV_DISCONNECTED: "EVDisconnected",
    StopReason.DE_AUTHORIZED: "DeAuthorized",
    StopReason.GROUND_FAULT: "Other",
    StopReason.LOCAL: "Local",
    StopReason.LOCAL_OUT_OF_CREDIT: "Local",
    StopReason.OTHER: "Other",
    StopReason.OVERCURRENT_FAULT: "Other",
    StopReason.POWER_LOSS: "PowerLoss",
    StopReason.REBOOT: "Reboot",  # "SoftReset" when the CSMS has asked for it: 2.0.1 has one word for both
    StopReason.REMOTE: "Remote",
    StopReason.STOPPED_BY_EV: "Local",  # 1.6 has no word for the vehicle; a regular end at the station
    StopReason.TIMEOUT: "Other",
    StopReason.IMMEDIATE_RESET: "HardReset",
    StopReason.ENERGY_LIMIT_REACHED: "Other",
}
"""OCPP 2.0.1 ReasonEnum to OCPP 1.6 Reason."""

_NAMES = uuid.UUID("5f1d3c7e-0a51-5c0c-9b41-3a1e5d2f6c10")


def row_id_for(session_id: str, what: str) -> str:
    """Return the unique id of a message of a session: the same for the same message, also after a restart."""
    return str(uuid.uuid5(_NAMES, f"{session_id}:{what}"))


def _row(session: SessionRecord, action: str, what: str, created: WallNs, payload: Payload) -> OutboxRow:
    return OutboxRow(
        unique_id=row_id_for(session.session_id, what), action=action, session_id=session.session_id,
        payload=msgspec.json.encode(payload).decode(), created=created,
    )


def start_row(session: SessionRecord, reservation_id: int | None = None) -> OutboxRow:
    """Return the StartTransaction message of a session whose transaction has started, and used a reservation or not."""
    started = session.started_at if session.started_at is not None else session.plugged_at
    payload: Payload = {
        "connectorId": session.evse_id,
        "idTag": session.id_token[:ID_TAG_MAX],
        "meterStart": session.meter_start_wh or 0,
        "timestamp": timestamp(started),
    }
    if reservation_id is not None:
        payload["reservationId"] = reservation_id
    return _row(session, "StartTransaction", "start", started, payload)


def stop_row(
    session: SessionRecord, wall: WallNs, transaction_data: list[Payload], *, unlocked: bool = False, reset: bool = False
) -> OutboxRow:
    """Return the StopTransaction message; ``wall`` stands in when the session has no end of its own.

    ``unlocked`` = the CSMS had the connector unlocked meanwhile: 1.6 has a reason of its own for that, 2.0.1 has none.
    ``reset`` = the CSMS has asked for a reset.
    A meter that never answered again leaves the last value that is known: start plus energy counted.
    """
    ended = session.ended_at if session.ended_at is not None else wall
    meter_stop = session.meter_stop_wh
    if meter_stop is None:
        meter_stop = (session.meter_start_wh or 0) + max(0, session.energy_wh)
    reason = session.stop_reason or StopReason.OTHER
    word = STOP_REASONS[reason]
    if unlocked and reason is StopReason.OTHER:
        word = "UnlockCommand"
    elif reset and reason is StopReason.REBOOT:
        word = "SoftReset"
    payload: Payload = {
        "meterStop": max(0, meter_stop),
        "timestamp": timestamp(ended),
        "reason": word,
    }
    ended_by = session.stop_token or (session.id_token if session.stop_reason is StopReason.LOCAL else "")
    if ended_by:
        payload["idTag"] = ended_by[:ID_TAG_MAX]
    if transaction_data:
        payload["transactionData"] = transaction_data
    return _row(session, "StopTransaction", "stop", ended, payload)


def meter_payload(connector_id: int, wall: WallNs, values: list[Payload]) -> Payload:
    """Return a MeterValues request with one reading."""
    return {"connectorId": connector_id, "meterValue": [{"timestamp": timestamp(wall), "sampledValue": values}]}


def meter_row(session: SessionRecord, wall: WallNs, context: str, values: list[Payload]) -> OutboxRow:
    """Return a MeterValues message of a running transaction.

    Its unique id follows from all that it says: a clock that is set back comes to the same mark again, with another reading.
    """
    payload = meter_payload(session.evse_id, wall, values)
    return _row(session, "MeterValues", f"{context}@{wall}:{msgspec.json.encode(payload).decode()}", wall, payload)


def boot_payload(identity: Identity) -> Payload:
    """Return a BootNotification request, cut to the lengths of the schema."""
    payload = {
        "chargePointVendor": identity.vendor[:20] or "unknown",
        "chargePointModel": identity.model[:20] or "unknown",
        "chargePointSerialNumber": identity.serial[:25],
        "firmwareVersion": identity.firmware[:50],
    }
    return {name: value for name, value in payload.items() if value}


def status_payload(due: Due) -> Payload:
    """Return a StatusNotification request."""
    status = due.status
    payload: Payload = {
        "connectorId": due.connector_id, "errorCode": status.error_code, "status": status.status,
    }
    if due.wall >= VALID_FROM:  # else the station did not know the time
        payload["timestamp"] = timestamp(due.wall)
    if status.info:
        payload["info"] = status.info
    if status.vendor_error:
        payload["vendorErrorCode"] = status.vendor_error
    return payload
