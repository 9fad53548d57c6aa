"""Field devices that are lost: which fault that is, and for whom. Patience is the business of the drivers.

A meter is told apart by what its driver knows (Charge Control C user guide 3.3.4.7 to 3.3.4.10): silence and damaged answers
are the line or its settings, answers that cannot be used are the meter, a line that is gone is a failure while idle or active.
DC EVSEs have one fault for all of them.
"""

from __future__ import annotations

from evse.core import signing
from evse.core.context import START_GRACE, TEXT_MAX, Conn, Tick
from evse.domain.faults import FaultCode
from evse.domain.readings import NoDataReason
from evse.domain.station import EvseKind
from evse.units import ms

METER_PATIENCE = ms(200)

LOST = {
    "reader": FaultCode.READER_FAILURE,
    "recloser": FaultCode.RCD_RECLOSER_FAILURE,
    "io": FaultCode.IO_LOST,
}
"""By `evse.core.inputs.LostDevice.kind`."""


def causes(t: Tick, conn: Conn) -> None:
    """Append the causes that stand because a field device of this EVSE is lost, its meter included."""
    for device in t.inputs.lost:
        code = LOST.get(device.kind)
        if code is not None and conn.spec.evse_id in device.evse_ids:
            conn.causes.append((code, f"{device.kind} {device.name}: {device.detail}"[:TEXT_MAX]))
    if conn.spec.has_meter and conn.m is None:
        # the driver has already waited before it says that there is no answer; a pulled adapter gets time to come back
        patience = START_GRACE if conn.meter_unplugged else METER_PATIENCE
        if t.now - conn.w.meter_at > patience and t.now - t.state.started_at > START_GRACE:
            kind = "AC" if conn.spec.kind is EvseKind.AC else "DC"
            conn.causes.append((_meter(conn), f"{kind} meter of EVSE {conn.spec.evse_id}: {conn.no_meter}"))
    unsigned = signing.cause(t, conn)
    if unsigned is not None:
        conn.causes.append(unsigned)


def _meter(conn: Conn) -> FaultCode:
    if conn.spec.kind is EvseKind.DC:
        return FaultCode.METER_LOST
    match conn.meter_why:
        case NoDataReason.ERROR:
            return FaultCode.METER_INTERNAL
        case NoDataReason.DISCONNECTED if conn.w.tx_open or _was_active(conn):
            return FaultCode.METER_ACTIVE_ERROR
        case NoDataReason.DISCONNECTED:
            return FaultCode.METER_IDLE_ERROR
        case _:
            return FaultCode.METER_COMMUNICATION


def _was_active(conn: Conn) -> bool:
    """The session that ended because of it does not make it another failure."""
    return any(record.code is FaultCode.METER_ACTIVE_ERROR and record.present for record in conn.w.faults)
