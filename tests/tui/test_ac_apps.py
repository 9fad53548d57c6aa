"""AC connectors through the pilot: what a technician does to them, meters, and a driver in front of twelve of them."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from evse.access.roles import Role
from evse.api import models as m
from evse.api.models_ac import PhaseSet, UnlockRequest
from evse.domain.view_ac import LockView
from tests._support.fake_service import FakeStation
from tests.tui import ac_data as ac
from tests.tui.test_apps import Rig, calls, run
from tui.widgets.dialogs import CellDialog


class AcStation(FakeStation):
    """The fake with twelve AC connectors."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.set_view(evses=ac.twelve())
        self.meters = ac.ac_meters().items


def rig(kind: str = "admin", role: Role = Role.OPERATOR, **options: Any) -> Rig:
    """A rig whose station is the AC one."""
    return Rig(kind, role, station=AcStation(status_period_s=0.001), **options)


def test_a_technician_pauses_and_allows_holds_tests_and_switches_phases_behind_dialogs() -> None:
    async def walk(rig: Rig) -> None:
        await rig.press("2")
        await rig.settle(lambda: "C2 wants energy" in rig.text())
        assert all(word in rig.text().splitlines()[-1] for word in ("P Pause", "H Hold", "R RCD test", "F Phases", "? Help"))
        await rig.press("P")
        assert "Pause connector 1" in rig.text() and "The session stays open" in rig.text()
        await rig.press("enter")
        assert calls(rig, "connector.pause") == [], "the focus stands on Cancel"
        await rig.press("P", "tab", "enter", "d")
        await rig.settle(lambda: "PAUSED" in rig.text())
        await rig.press("P", "tab", "enter")
        assert calls(rig, "connector.allow") == [], "energising needs the number typed"
        await rig.press("P", "1", "tab", "enter")
        await rig.settle(lambda: calls(rig, "connector.allow") == [m.EvseRef(evse_id=1)])
        await rig.press("H")
        assert "kWh delivered so far" in rig.text() and "until the plug is out" in rig.text()
        await rig.press("tab", "enter")
        await rig.settle(lambda: "HELD OPEN" in rig.text())
        assert calls(rig, "lock.unlock") == [UnlockRequest(evse_id=1, hold=True)]
        await rig.press("H", "tab", "enter")
        await rig.settle(lambda: "HELD OPEN" not in rig.text())
        await rig.press("F")
        assert "to one phase" in rig.text() and "paused for the configured delay" in rig.text()
        await rig.press("tab", "enter")
        await rig.settle(lambda: "switching to 1 of 3" in rig.text())
        assert calls(rig, "phase.set") == [PhaseSet(evse_id=1, phases=1)]
        await rig.press("R", "tab", "enter")
        await rig.settle(lambda: calls(rig, "rcd.test") == [m.EvseRef(evse_id=1)])

    run(rig(), walk)


def test_a_remote_lock_is_locked_by_hand() -> None:
    async def walk(rig: Rig) -> None:
        await rig.press("2")
        await rig.settle(lambda: "C2 wants energy" in rig.text())
        side = rig.station.view.evses[0].ac
        open_ = LockView(stage="open", feedback="unlocked", commanded=False, mode="remote")
        rig.station.set_evse(1, ac=replace(side, lock=open_))
        await rig.settle(lambda: "open" in rig.text())
        await rig.press("H")
        assert "Lock the plug of connector 1" in rig.text() and "also after a session" in rig.text()
        await rig.press("tab", "enter")
        await rig.settle(lambda: calls(rig, "lock.lock") == [m.EvseRef(evse_id=1)])

    run(rig(), walk)


def test_what_a_connector_has_not_is_refused_with_the_reason_and_dc_has_no_such_keys() -> None:
    async def walk(rig: Rig) -> None:
        await rig.press("2", "j", "j")
        await rig.settle(lambda: "D2 energy and air" in rig.text())
        for key, reason in (("H", "no plug lock"), ("R", "no residual current monitor"), ("F", "1 phases are wired")):
            await rig.press(key)
            assert reason in rig.text() and not isinstance(rig.app.screen, CellDialog)
        rig.station.set_evse(3, ac=None)
        await rig.settle(lambda: "Step -- of 14" in rig.text())
        await rig.press("P", "F", "H", "R")
        assert not isinstance(rig.app.screen, CellDialog)
        assert "Phases" not in rig.text().splitlines()[-1]

    run(rig(), walk)


def test_readonly_shows_everything_and_offers_nothing() -> None:
    async def walk(rig: Rig) -> None:
        await rig.press("2", "enter")
        await rig.settle(lambda: "Residual DC / RMS mA" in rig.text())
        assert "and 4 limits more" not in rig.text() and "Failsafe" in rig.text()
        await rig.press("P", "H", "R", "F", "S")
        assert not isinstance(rig.app.screen, CellDialog)
        await rig.press("escape")
        assert "Residual DC / RMS mA" not in rig.text()

    run(rig(readonly=True), walk)


def test_meters_show_health_and_read_their_registers() -> None:
    async def walk(rig: Rig) -> None:
        await rig.press("T")
        await rig.settle(lambda: "4 meters, 1 lost" in rig.text())
        assert "Lost after s" in rig.text()
        await rig.press("j", "j")
        assert "check termination and unit id" in " ".join(rig.text().split())
        await rig.press("k", "p")
        await rig.settle(lambda: isinstance(rig.app.screen, CellDialog))
        assert "Registers of meter-1" in rig.text() and "register" in rig.text()

    run(rig(), walk)


def test_a_driver_walks_through_twelve_connectors_with_two_keys() -> None:
    async def walk(rig: Rig) -> None:
        await rig.settle(lambda: "AC CHARGING STATION" in rig.text())
        assert "Connector 9 - summary" in rig.text(), "a session that has just ended shows itself"
        await rig.press("0")
        assert "12 [>] CHARGING" in rig.text()
        await rig.press("f1", "f1", "f1")
        assert "Hold your card to the reader" in rig.text()
        await rig.press("f2")
        assert "Connector 4 - live session" in rig.text()
        await rig.press("f1")
        assert "Connector 5 - live session" in rig.text(), "the next one without going back"
        await rig.press("f3", "up", "enter")
        assert "Connector 4 - live session" in rig.text()
        await rig.press("enter", "9")
        assert "Connector 9" in rig.text() and "summary" in rig.text()
        await rig.press("0", *["down"] * 3, "enter")
        assert "Connector 12 - live session" in rig.text()
        await rig.press("0", "down", "enter")
        assert "Connector 1 - live session" in rig.text(), "after the last comes the first"

    run(rig("kiosk", Role.GUEST), walk)


@pytest.mark.parametrize(("count", "size"), [(0, (80, 24)), (1, (80, 24)), (3, (80, 24)), (4, (132, 43)), (12, (132, 43))])
def test_every_number_of_connectors_can_be_opened(count: int, size: tuple[int, int]) -> None:
    async def walk(rig: Rig) -> None:
        rig.station.set_view(evses=ac.twelve()[:count])
        await rig.settle(lambda: len(rig.store.status.view.evses) == count)  # type: ignore[union-attr]
        for index in range(min(count, 9)):
            await rig.press("0", str(index + 1))
            assert f"onnector {index + 1} - " in rig.text()
        for key in ("0", "f1", "f2", "enter", "down", "up", "enter", "left", "right", "0"):
            await rig.press(key)
        assert rig.app._exception is None

    run(rig("kiosk", Role.GUEST), walk, size)
