"""The fault table: severity, reaction, latch rule, priority, OCPP 1.6 codes, stop reason, and the texts for a technician.

One table for the core, OCPP, the screens, ``evsectl fault explain`` and evse-faults(7). The core asks rows for
reactions and never names causes. `F<n>` numbers are stable. AC rows follow the StatusNotification catalogue of the
Charge Control C user guide, section 3.3.4: its error codes, vendor codes and order.
"""

from __future__ import annotations

from evse.domain.fault_tables import ac_guard, ac_plug, ac_station, dc, dc_matrix
from evse.domain.fault_tables.persistence import PERSISTENCE_CODES
from evse.domain.faults import FaultCode, FaultRecord, FaultSpec

FAULTS: dict[FaultCode, FaultSpec] = {
    row.code: row
    for row in sorted((*dc.ROWS, *dc_matrix.ROWS, *ac_plug.ROWS, *ac_guard.ROWS, *ac_station.ROWS), key=lambda row: int(row.code.value[1:]))
}
"""Every fault, in the order of its number."""


def vendor_code(spec: FaultSpec, record: FaultRecord) -> str:
    """Return the vendorErrorCode of an active fault: the maker's name, else our number.

    F17 has sixteen of them (`PERSISTENCE_CODES`); its detail begins with the one that applies.
    """
    if record.code is FaultCode.STORAGE:
        name = record.detail.partition(":")[0]
        if name in PERSISTENCE_CODES:
            return name
    return spec.vendor_code or spec.code.value


__all__ = ["FAULTS", "PERSISTENCE_CODES", "vendor_code"]
