"""Operations on faults: the active ones with their texts, clearing, the catalogue."""

from __future__ import annotations

import msgspec

from evse.api import models as m
from evse.api.errors import ApiError, ErrorCode
from evse.api.operations import Empty
from evse.api.service import Caller
from evse.core.faults import clearable
from evse.core.inputs import ClearFault
from evse.domain.fault_table import FAULTS, PERSISTENCE_CODES, vendor_code
from evse.domain.fault_tables.persistence import PersistenceText
from evse.domain.faults import FaultCode, FaultRecord, FaultSpec
from evse.runtime.station import Station


class FaultOperations:
    """``fault.*``."""

    _station: Station

    async def fault_list(self, request: Empty, caller: Caller) -> m.Faults:
        """Active faults."""
        return m.Faults(items=tuple(fault_info(record) for record in self._station.view().faults))

    async def fault_clear(self, request: m.FaultRef, caller: Caller) -> m.Done:
        """Clear a latched fault; refused with the reason while its cause stands."""
        code = _code(request.code)
        active = [r for r in self._station.view().faults if r.code is code and r.evse_id == request.evse_id]
        if not active:
            where = f"connector {request.evse_id}" if request.evse_id else "the station"
            return m.Done(changed=False, detail=f"{code.value} is not active on {where}")
        refusal = await self._station.loop.ask(
            lambda seq: ClearFault(seq=seq, evse_id=request.evse_id, code=code.value)
        )
        if refusal:
            raise ApiError(ErrorCode.CONFLICT, refusal, FAULTS[code].remedy_on_site)
        return m.Done()

    async def fault_catalogue(self, request: Empty, caller: Caller) -> m.FaultCatalogue:
        """Every fault."""
        return catalogue()


def catalogue() -> m.FaultCatalogue:
    """The whole table as front ends get it."""
    return m.FaultCatalogue(
        items=tuple(_text(spec) for spec in FAULTS.values()),
        variants=tuple(_variant(row) for row in PERSISTENCE_CODES.values()),
    )


def _text(s: FaultSpec) -> m.FaultText:
    return m.FaultText(
        code=s.code.value,
        name=s.name,
        scope=s.scope,
        kinds=s.kinds.value,
        priority=s.priority,
        severity=s.severity.value,
        reaction=s.reaction.value,
        latch=s.latch.value,
        ocpp16=s.ocpp16,
        vendor_code=s.vendor_code or s.code.value,
        faulted=s.faulted,
        description=s.description,
        cause=s.cause,
        impact=s.impact,
        remedy_remote=s.remedy_remote,
        remedy_on_site=s.remedy_on_site,
    )


def _variant(row: PersistenceText) -> m.FaultText:
    return msgspec.structs.replace(
        _text(FAULTS[FaultCode.STORAGE]),
        name=row.name,
        vendor_code=row.name,
        description=row.description,
        cause=row.cause,
        impact=row.impact,
        remedy_remote=row.remedy_remote,
        remedy_on_site=row.remedy_on_site,
    )


def fault_info(record: FaultRecord) -> m.FaultInfo:
    """Join a record with its texts."""
    s = FAULTS[record.code]
    can, why = clearable(record)
    return m.FaultInfo(
        record=record,
        name=s.name,
        severity=s.severity.value,
        reaction=s.reaction.value,
        latch=s.latch.value,
        description=s.description,
        cause=s.cause,
        impact=s.impact,
        remedy_remote=s.remedy_remote,
        remedy_on_site=s.remedy_on_site,
        clearable=can,
        why_not=why,
        vendor_code=vendor_code(s, record),
    )


def _code(text: str) -> FaultCode:
    for code in FaultCode:
        if text.upper() == code.value or text.lower() == FAULTS[code].name.lower():
            return code
    raise ApiError(
        ErrorCode.NOT_FOUND,
        f"there is no fault {text!r}",
        f"codes are F1 to F{len(FaultCode)}; see: evsectl fault explain",
    )
