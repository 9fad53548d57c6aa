"""Reservation: every answer, expiry, restart, disconnection, and the number in StartTransaction."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from evse.domain.session import OperationalStatus, SessionPhase, StopReason
from evse.domain.view import Event
from evse.ocpp.messages import timestamp
from evse.units import NS_PER_S
from tests.ocpp.support import Bench, under_virtual_time

OK, NO = {"status": "Accepted"}, {"status": "Rejected"}


async def reserve(bench: Bench, number: int = 1, connector: int = 1, seconds: int = 600, **more: Any) -> Any:
    until = timestamp(bench.clock.wall() + seconds * NS_PER_S)
    payload = {"connectorId": connector, "expiryDate": until, "idTag": "A", "reservationId": number, **more}
    return await bench.csms.call("ReserveNow", payload)


def ended(bench: Bench, why: str, evse_id: int = 1) -> None:
    """What the core tells when it ends a reservation."""
    bench.station.change(evse_id, reserved=False)
    data: dict[str, str | int | bool | None] = {"why": why}
    bench.client.on_event(Event(seq=1, wall=bench.clock.wall(), kind="reservation.ended", evse_id=evse_id, data=data))


def numbers(bench: Bench) -> list[int]:
    return [found.reservation_id for found in bench.client.reservations.all()]


def test_reserve_change_and_cancel() -> None:
    async def main() -> None:
        bench = await Bench().start()
        assert await reserve(bench, parentIdTag="FLEET") == OK
        assert bench.station.done == [("reserve", 1, "A", "FLEET")]
        bench.look()
        await asyncio.sleep(11)
        assert bench.csms.statuses[("DC 1", 1)]["status"] == "Reserved"
        assert await reserve(bench, 2) == {"status": "Occupied"}
        assert await reserve(bench, 1, idTag="B") == OK  # the same number changes its reservation
        assert await reserve(bench, 1, connector=2, idTag="B") == OK  # ... and may move it
        assert bench.station.done[-2:] == [("reserve", 2, "B", ""), ("cancel", 1)]
        assert await reserve(bench, 2) == OK
        assert numbers(bench) == [2, 1]
        assert await bench.csms.call("CancelReservation", {"reservationId": 9}) == NO
        assert await bench.csms.call("CancelReservation", {"reservationId": 1}) == OK
        assert await bench.csms.call("CancelReservation", {"reservationId": 1}) == NO
        assert bench.station.done[-1] == ("cancel", 2)
        assert numbers(bench) == [2]

    under_virtual_time(main)


@pytest.mark.parametrize(("changes", "request_", "status"), [
    ({}, {"connector": 7}, "Rejected"),
    ({}, {"seconds": -1}, "Rejected"),
    ({}, {"expiryDate": "soon"}, "Rejected"),
    ({"plugged": True}, {}, "Occupied"),
    ({"phase": SessionPhase.CHARGING}, {}, "Occupied"),
    ({"operational": OperationalStatus.INOPERATIVE}, {}, "Unavailable"),
    ({"phase": SessionPhase.FAULTED}, {}, "Faulted"),
])
def test_answers_name_the_obstacle(changes: dict[str, Any], request_: dict[str, Any], status: str) -> None:
    async def main() -> None:
        bench = await Bench().start()
        bench.station.change(1, **changes)
        assert await reserve(bench, **request_) == {"status": status}
        assert numbers(bench) == []
        assert bench.station.done == []

    under_virtual_time(main)


def test_refusal_of_the_core_is_occupied() -> None:
    async def main() -> None:
        bench = await Bench().start()
        bench.station.accepts = False
        assert await reserve(bench) == {"status": "Occupied"}
        assert numbers(bench) == []

    under_virtual_time(main)


@pytest.mark.parametrize("told_first", [True, False])
def test_start_transaction_carries_the_number_once(told_first: bool) -> None:
    """Whether the core's event or the start message comes first, and also when the message is made twice."""

    async def main() -> None:
        bench = await Bench().start()
        await reserve(bench, 42)
        if told_first:
            ended(bench, "used")
        session = await bench.begin(1, id_token="A")
        row = bench.client.start_row(session)
        if not told_first:
            ended(bench, "used")
        assert bench.client.start_row(session) == row
        await bench.end(1)
        await bench.leave(1)
        await asyncio.sleep(5)
        await bench.begin(1, id_token="A")
        await asyncio.sleep(1)
        starts = bench.csms.calls("StartTransaction")
        assert [start.get("reservationId") for start in starts] == [42, None]
        assert await bench.store.get_all("ocpp.reservations") == {}

    under_virtual_time(main)


def test_a_card_of_the_group_uses_it_and_a_remote_start_asks_for_the_group() -> None:
    async def main() -> None:
        bench = await Bench().start()
        await reserve(bench, 42, parentIdTag="FLEET")
        info = {"status": "Accepted", "parentIdTag": "FLEET"}
        bench.csms.answer("Authorize", payload={"idTagInfo": info}, count=1)
        assert await bench.csms.call("RemoteStartTransaction", {"idTag": "B", "connectorId": 1}) == OK
        await asyncio.sleep(1)
        assert bench.station.done[-1] == ("start", 1, "B", "FLEET")
        assert await bench.csms.call("RemoteStartTransaction", {"idTag": "a", "connectorId": 1}) == OK
        assert bench.station.done[-1] == ("start", 1, "a")
        ended(bench, "used")
        await bench.begin(1, id_token="B")
        await asyncio.sleep(1)
        assert bench.csms.calls("StartTransaction")[0]["reservationId"] == 42

    under_virtual_time(main)


def test_it_ends_with_its_time_also_when_the_core_never_had_it() -> None:
    async def main() -> None:
        bench = await Bench().start()
        await reserve(bench, 1, connector=1, seconds=60)
        await reserve(bench, 2, connector=2, seconds=60)
        await asyncio.sleep(60)
        ended(bench, "expired", 1)
        bench.station.change(2, reserved=False, phase=SessionPhase.FAULTED)
        bench.look()
        await asyncio.sleep(3)
        assert numbers(bench) == []
        assert await bench.store.get_all("ocpp.reservations") == {}
        assert await bench.csms.call("CancelReservation", {"reservationId": 2}) == NO

    under_virtual_time(main)


def test_it_survives_disconnection_and_restart_and_waits_for_a_fault_to_go(tmp_path: Path) -> None:
    async def main() -> None:
        bench = await Bench(database=tmp_path / "x.db").start()
        await reserve(bench, 5, connector=2, parentIdTag="FLEET")
        bench.csms.down()
        await asyncio.sleep(30)
        await bench.kill()
        await bench.start(0)
        bench.station.change(2, phase=SessionPhase.FAULTED)
        bench.look()
        await asyncio.sleep(2)
        assert bench.station.done == []
        bench.station.change(2, phase=SessionPhase.IDLE)
        bench.look()
        await asyncio.sleep(2)
        assert bench.station.done == [("reserve", 2, "A", "FLEET")]
        bench.look()
        await asyncio.sleep(5)
        assert len(bench.station.done) == 1

    under_virtual_time(main)


def test_a_transaction_cut_by_power_loss_has_used_its_reservation(tmp_path: Path) -> None:
    async def main() -> None:
        bench = await Bench(database=tmp_path / "x.db").start()
        await reserve(bench, 5)
        session = await bench.begin(1, id_token="A")  # the power goes before the core's event is dealt with
        await bench.restart()
        bench.look()
        await asyncio.sleep(30)
        assert numbers(bench) == []
        assert bench.station.done == []
        cut = await bench.store.session(session.session_id)
        assert cut is not None and cut.stop_reason is StopReason.POWER_LOSS
        assert bench.csms.calls("StartTransaction")[0]["reservationId"] == 5
        assert bench.csms.violations == []

    under_virtual_time(main)


# -- connector 0 ------------------------------------------------------------------------------------------------------


def held(bench: Bench) -> list[int]:
    return [n for n, evse in bench.station.evses.items() if evse.reserved]


def test_a_reservation_anywhere_holds_a_free_evse_and_gives_way() -> None:
    async def main() -> None:
        bench = await Bench(evses=3).start()
        assert await reserve(bench, 1, connector=0) == OK
        assert held(bench) == [3]
        assert await reserve(bench, 1, connector=0, idTag="B") == OK  # the same again
        assert held(bench) == [3]
        assert await reserve(bench, 2, connector=3, idTag="C") == OK  # by its own number: the other one makes room
        assert (held(bench), numbers(bench)) == ([2, 3], [1, 2])
        assert await reserve(bench, 3, connector=0, idTag="D") == OK
        assert await reserve(bench, 4, connector=0) == {"status": "Occupied"}
        assert await bench.csms.call("CancelReservation", {"reservationId": 1}) == OK
        assert held(bench) == [1, 3]

    under_virtual_time(main)


def test_it_holds_another_evse_when_its_own_fails_and_waits_when_there_is_none() -> None:
    async def main() -> None:
        bench = await Bench().start()
        await reserve(bench, 1, connector=0)
        assert held(bench) == [2]
        bench.station.change(2, reserved=False, phase=SessionPhase.FAULTED)
        bench.look()
        await asyncio.sleep(3)
        assert held(bench) == [1]
        assert await bench.store.get_all("ocpp.reservations") != {}
        bench.station.change(1, reserved=False, phase=SessionPhase.FAULTED)
        for _ in range(3):
            bench.look()
            await asyncio.sleep(3)
        assert (held(bench), numbers(bench)) == ([], [1])
        bench.station.change(2, phase=SessionPhase.IDLE)
        bench.look()
        await asyncio.sleep(3)
        assert held(bench) == [2]

    under_virtual_time(main)


@pytest.mark.parametrize("evse_id", [1, 2])
def test_its_card_uses_it_at_any_evse(evse_id: int) -> None:
    async def main() -> None:
        bench = await Bench().start()
        await reserve(bench, 42, connector=0)
        assert held(bench) == [2]
        if evse_id == 2:
            ended(bench, "used", 2)
        await bench.begin(evse_id, id_token="A")
        await asyncio.sleep(3)
        assert bench.csms.calls("StartTransaction")[0]["reservationId"] == 42
        assert (held(bench), numbers(bench)) == ([], [])
        assert await bench.store.get_all("ocpp.reservations") == {}

    under_virtual_time(main)


def test_another_card_elsewhere_does_not_use_it() -> None:
    async def main() -> None:
        bench = await Bench().start()
        await reserve(bench, 42, connector=0, parentIdTag="FLEET")
        await bench.begin(1, id_token="B")
        await asyncio.sleep(3)
        assert "reservationId" not in bench.csms.calls("StartTransaction")[0]
        assert (held(bench), numbers(bench)) == ([2], [42])

    under_virtual_time(main)


@pytest.mark.parametrize(("changes", "status"), [
    ({"phase": SessionPhase.FAULTED}, "Faulted"),
    ({"operational": OperationalStatus.INOPERATIVE}, "Unavailable"),
    ({"plugged": True}, "Occupied"),
])
def test_what_is_said_when_no_evse_is_free(changes: dict[str, Any], status: str) -> None:
    async def main() -> None:
        bench = await Bench().start()
        for evse_id in (1, 2):
            bench.station.change(evse_id, **changes)
        assert await reserve(bench, connector=0) == {"status": status}
        bench.station.change(1, plugged=True, phase=SessionPhase.PLUGGED, operational=OperationalStatus.OPERATIVE)
        assert await reserve(bench, connector=0) == {"status": "Occupied"}

    under_virtual_time(main)


def test_it_survives_a_restart_where_it_was_held(tmp_path: Path) -> None:
    async def main() -> None:
        bench = await Bench(database=tmp_path / "x.db").start()
        await reserve(bench, 5, connector=0)
        await bench.kill()
        await bench.start(0)
        bench.look()
        await asyncio.sleep(3)
        assert (held(bench), numbers(bench)) == ([2], [5])

    under_virtual_time(main)
