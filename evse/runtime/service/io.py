"""Operations on digital inputs and outputs, temperatures, the fan, and reclosers."""

from __future__ import annotations

from typing import TypeVar

from evse.api import models as m
from evse.api import models_ac as ac
from evse.api.caller import Caller
from evse.api.errors import ApiError, ErrorCode
from evse.core.inputs import SetOutput
from evse.devices.recloser import ModbusRecloser
from evse.domain.readings import NoData, Sample
from evse.domain.recloser import RecloserOutcome, RecloserState
from evse.runtime.station import Station

V = TypeVar("V")

HINTS = {
    RecloserOutcome.NOT_PRESENT: "check the address and the wiring: evsectl recloser status",
    RecloserOutcome.NOT_AVAILABLE: "check supply and wiring; its registers may be missing in the configuration",
    RecloserOutcome.TIMEOUT: "look at the breaker: its motor did not arrive within 10 s",
    RecloserOutcome.BUSY: "wait until the other request has ended",
}


class IoOperations:
    """``io.*``, ``recloser.*``."""

    _station: Station

    async def io_list(self, request: ac.IoRef, caller: Caller) -> ac.IoRows:
        """All points, or the one that is named."""
        rows = [*self._board_points(), *self._controller_points(), *self._heat_points()]
        if request.name:
            found = [row for row in rows if row.name == request.name]
            if not found:
                raise self._no_point(request.name, rows)
            rows = found
        return ac.IoRows(items=tuple(rows))

    async def io_set(self, request: ac.IoSet, caller: Caller) -> m.Done:
        """Set an output; ``rules`` gives it back."""
        points = [*self._board_points(), *self._controller_points()]
        point = next((row for row in points if row.name == request.name), None)
        if point is None:
            raise self._no_point(request.name, [row for row in points if row.kind == "output"])
        if point.kind != "output":
            raise ApiError(ErrorCode.CONFLICT, f"{request.name} is an input", "outputs: evsectl io list")
        caller.note.old = point.level
        evse, dot, number = request.name.partition(".out")
        if dot:
            evse_id, output = int(evse), int(number)
            refusal = await self._station.loop.ask(
                lambda seq: SetOutput(seq=seq, evse_id=evse_id, output=output, level=request.level)
            )
            if refusal:
                raise ApiError(ErrorCode.CONFLICT, refusal)
            return m.Done()
        if request.level == "floating":
            raise ApiError(
                ErrorCode.CONFLICT, f"{request.name} is an output of the controller, which cannot float",
                "use high, low or rules",
            )  # fmt: skip
        self._station.devices.field.set_output(request.name, {"high": True, "low": False}.get(request.level))
        return m.Done()

    def _board_points(self) -> list[ac.IoRow]:
        rows: list[ac.IoRow] = []
        views = {e.evse_id: e.ac for e in self._station.view().evses}
        for spec in self._station.spec.evses:
            side = views.get(spec.evse_id)
            if spec.ac is None or side is None:
                continue
            where, online = f"board {spec.evse_id}", side.duty_bp is not None
            detail = "" if online else f"{where} does not answer"
            for i in range(spec.ac.inputs):
                rows.append(
                    ac.IoRow(
                        name=f"{spec.evse_id}.in{i + 1}", kind="input", where=where, online=online, detail=detail,
                        active=side.inputs[i] if i < len(side.inputs) else None,
                        voltage_mv=side.input_mv[i] if i < len(side.input_mv) else None,
                    )
                )  # fmt: skip
            for i in range(spec.ac.outputs):
                level = side.outputs[i] if i < len(side.outputs) else ""
                rows.append(
                    ac.IoRow(
                        name=f"{spec.evse_id}.out{i + 1}", kind="output", where=where, online=online, detail=detail,
                        active=None if not level else level == "high", level=level,
                        by_hand=side.outputs_by_hand[i] if i < len(side.outputs_by_hand) else False,
                    )
                )  # fmt: skip
        return rows

    def _controller_points(self) -> list[ac.IoRow]:
        field = self._station.devices.field
        if field.io is None:
            return []
        millivolts = field.io.millivolts()
        rows = []
        for name, reading in field.io.inputs().items():
            online, detail = _quality(reading)
            voltage = millivolts.get(name)
            rows.append(
                ac.IoRow(
                    name=name, kind="input", where="controller", online=online, detail=detail, active=_value(reading),
                    voltage_mv=_value(voltage) if voltage is not None else None,
                )
            )  # fmt: skip
        for name, reading in field.io.outputs().items():
            online, detail = _quality(reading)
            active = _value(reading)
            rows.append(
                ac.IoRow(
                    name=name, kind="output", where="controller", online=online, detail=detail, active=active,
                    level="" if active is None else "high" if active else "low", by_hand=name in field.levels,
                )
            )  # fmt: skip
        return rows

    def _heat_points(self) -> list[ac.IoRow]:
        field, rows = self._station.devices.field, []
        if field.temperatures is not None:
            for name, reading in field.temperatures.readings().items():
                online, detail = _quality(reading)
                rows.append(
                    ac.IoRow(
                        name=name, kind="temperature", where="controller", online=online, detail=detail,
                        temperature_dc=_value(reading),
                    )
                )  # fmt: skip
        if field.fan is not None:
            fan = field.fan.reading()
            online, detail = _quality(fan)
            status = fan.value if isinstance(fan, Sample) else None
            if status is not None and status.stalled:
                online, detail = False, "driven, but stands still"
            rows.append(
                ac.IoRow(
                    name="fan", kind="fan", where="controller", online=online, detail=detail,
                    duty_permille=None if status is None else status.duty_permille,
                    rpm=None if status is None else status.rpm,
                )
            )  # fmt: skip
        return rows

    @staticmethod
    def _no_point(name: str, rows: list[ac.IoRow]) -> ApiError:
        known = ", ".join(row.name for row in rows) or "none"
        return ApiError(ErrorCode.NOT_FOUND, f"there is no {name!r}", f"known here: {known}")

    # -- reclosers ----------------------------------------------------------------------------------------------------

    async def recloser_status(self, request: ac.RecloserRef, caller: Caller) -> ac.Reclosers:
        """Where they are."""
        return ac.Reclosers(items=tuple(self._recloser_row(i, x) for i, x in self._reclosers(request.name).items()))

    async def recloser_open(self, request: ac.RecloserRef, caller: Caller) -> m.Done:
        """Open: the supply of its connector goes away."""
        return await self._move(request.name, RecloserState.OPEN, caller)

    async def recloser_close(self, request: ac.RecloserRef, caller: Caller) -> m.Done:
        """Close."""
        return await self._move(request.name, RecloserState.CLOSED, caller)

    async def _move(self, name: str, wanted: RecloserState, caller: Caller) -> m.Done:
        found = self._reclosers(name)
        if not found:
            raise ApiError(ErrorCode.NOT_FOUND, "this station has no recloser", "add [evse.recloser] to the configuration")
        if len(found) > 1:
            known = ", ".join(x.name for x in found.values())
            raise ApiError(ErrorCode.BAD_REQUEST, "there are several reclosers", f"name one of them: {known}")
        recloser = next(iter(found.values()))
        before = recloser.state()
        caller.note.target, caller.note.old = recloser.name, before.value
        if before is wanted:
            return m.Done(changed=False, detail=f"{recloser.name} is {wanted.value} already")
        answer = await recloser.request(wanted)
        if answer.outcome is RecloserOutcome.DONE:
            return m.Done(detail=f"{recloser.name} is {answer.state.value}")
        kind = {RecloserOutcome.BUSY: ErrorCode.CONFLICT, RecloserOutcome.TIMEOUT: ErrorCode.TIMEOUT}
        raise ApiError(
            kind.get(answer.outcome, ErrorCode.DEVICE),
            answer.detail or f"{recloser.name}: {answer.outcome.value}",
            HINTS[answer.outcome],
        )

    def _reclosers(self, name: str) -> dict[int, ModbusRecloser]:
        all_ = self._station.devices.field.reclosers
        found = {i: x for i, x in all_.items() if name in ("", x.name, str(i))}
        if not found and name:
            known = ", ".join(x.name for x in all_.values()) or "none"
            raise ApiError(ErrorCode.NOT_FOUND, f"there is no recloser {name!r}", f"reclosers of this station: {known}")
        return found

    def _recloser_row(self, evse_id: int, recloser: ModbusRecloser) -> ac.RecloserRow:
        state = recloser.state()
        known = state in (RecloserState.OPEN, RecloserState.CLOSED, RecloserState.MOVING)
        return ac.RecloserRow(
            name=recloser.name,
            profile=recloser.profile.name,
            port=self._station.devices.field.recloser_ports[evse_id],
            address=recloser.address,
            evses=(evse_id,),
            state=state.value,
            online=known,
            detail="" if known else recloser.detail,
        )


def _quality(reading: Sample[V] | NoData) -> tuple[bool, str]:
    return (True, "") if isinstance(reading, Sample) else (False, reading.detail)


def _value(reading: Sample[V] | NoData) -> V | None:
    return reading.value if isinstance(reading, Sample) else None
