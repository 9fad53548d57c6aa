"""Models for the screens: the believable station of the fake service in the situations that the pages show."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import msgspec

from evse.api import models as m
from evse.domain.faults import FaultCode, FaultRecord
from evse.domain.session import ChargingState, OperationalStatus, SessionPhase, SessionRecord, StopReason
from evse.domain.view import EvseView
from tests._support import fake_data as fake
from tui.driver.glyphs import GLYPHS, GlyphSet
from tui.i18n import Translate
from tui.kiosk.model import KioskModel
from tui.state.store import Link

HOMES = {1: 1, 2: 1, 3: 2, 4: 2}
CURVES: dict[int, list[int | None]] = {1: [*(1000 * i for i in range(1, 19)), *[17_600] * 60]}


def status(*evses: EvseView, **changes: Any) -> m.Status:
    """A status with other EVSEs or other fields of the station view."""
    view = fake.station_view()
    if evses:
        view = msgspec.structs.replace(view, evses=evses)
    view = msgspec.structs.replace(view, **changes)
    return m.Status(
        station_id="DC-0001",
        support_phone="+49 30 1234567",
        language="en",
        view=view,
        ocpp=fake.ocpp_summary(),
        links=fake.LINKS,
        system=fake.SYSTEM,
    )


def ended_record() -> SessionRecord:
    """The session of EVSE 1 after the vehicle ended it."""
    return msgspec.structs.replace(
        fake.charging_session(),
        started_at=fake.T0 - fake.minutes(57),
        ended_at=fake.T0 - fake.minutes(1),
        energy_wh=12_930,
        meter_stop_wh=1_297_240,
        soc_start_pct=47,
        soc_end_pct=100,
        stop_reason=StopReason.STOPPED_BY_EV,
    )


def finished_evse() -> EvseView:
    """EVSE 1 with the ended session, still plugged in."""
    return msgspec.structs.replace(
        fake.charging_evse(),
        phase=SessionPhase.FINISHED,
        charging_state=ChargingState.EV_CONNECTED,
        session=ended_record(),
        power_w=0,
        current_ma=0,
        step=None,
        chain=(),
    )


def fault(code: FaultCode, evse_id: int, detail: str = "") -> FaultRecord:
    """An active fault that began ten minutes ago."""
    return FaultRecord(
        code=code,
        evse_id=evse_id,
        detail=detail,
        first_seen=fake.T0 - fake.minutes(10),
        last_seen=fake.T0,
        count=1,
        present=True,
    )


def faulted_evse(evse_id: int, code: FaultCode = FaultCode.EMERGENCY_STOP) -> EvseView:
    """An EVSE that a fault holds."""
    return msgspec.structs.replace(
        fake.idle_evse(evse_id), phase=SessionPhase.FAULTED, faults=(fault(code, evse_id, "emergency_stop"),)
    )


def closed_evse(evse_id: int) -> EvseView:
    """An EVSE that the operator disabled."""
    return msgspec.structs.replace(
        fake.idle_evse(evse_id), phase=SessionPhase.UNAVAILABLE, operational=OperationalStatus.INOPERATIVE
    )


def kiosk_model(glyph_set: GlyphSet = GlyphSet.UTF8, language: str = "en", **changes: Any) -> KioskModel:
    """A live model of the home page with EVSE 1 charging."""
    base = KioskModel(
        status=status(),
        link=Link.LIVE,
        silence_s=0,
        age_s=0,
        now=fake.T0 + 1,
        tr=Translate(language),
        glyphs=GLYPHS[glyph_set],
        homes=HOMES,
        curves=CURVES,
    )
    return msgspec.structs.replace(base, **changes)


class ScriptApi:
    """A client whose stream gives what the test puts in and whose calls answer from a table."""

    def __init__(self, answers: dict[str, Any] | None = None, items: list[m.StreamItem] | None = None) -> None:
        self.answers = answers or {}
        self.calls: list[tuple[str, m.Model | None]] = []
        self.items = items or []
        self.dials = 0
        self.fail: list[Exception] = []

    async def call(self, name: str, request: m.Model | None = None) -> Any:
        """Answer from the table; an exception in the table is raised."""
        self.calls.append((name, request))
        answer = self.answers[name]
        if callable(answer):
            answer = answer(request)
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def stream(self, name: str, since: int | None = None) -> AsyncIterator[m.StreamItem]:
        """Give the items, or fail like a missing daemon."""
        self.dials += 1
        if self.fail:
            raise self.fail.pop(0)
        for item in self.items:
            yield item


def snapshot(seq: int = 1012, **changes: Any) -> m.StreamItem:
    """The first line of a stream."""
    return m.StreamItem(type="snapshot", seq=seq, status=changes.get("status", status()))
