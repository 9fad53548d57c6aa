"""Operations on faults: the active ones with their texts, clearing, the catalogue."""

from __future__ import annotations

from evse.api import models as m
from evse.api.errors import ApiError, ErrorCode
from evse.api.operations import Empty
from evse.api.service import Caller
from evse.core.faults import clearable
from evse.core.inputs import ClearFault
from evse.domain.fault_table import FAULTS
from evse.domain.faults import FaultCode, FaultRecord
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
        return m.FaultCatalogue(
            items=tuple(
                m.FaultText(
                    code=s.code.value,
                    name=s.name,
                    scope=s.scope,
                    severity=s.severity.value,
                    reaction=s.reaction.value,
                    latch=s.latch.value,
                    ocpp16=s.ocpp16,
                    description=s.description,
                    cause=s.cause,
                    impact=s.impact,
                    remedy_remote=s.remedy_remote,
                    remedy_on_site=s.remedy_on_site,
                )
                for s in FAULTS.values()
            )
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
