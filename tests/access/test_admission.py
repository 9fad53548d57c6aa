"""Who decides about a card or a vehicle: every order, every verdict, a back end that answers, does not, or is not there."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from itertools import product

import msgspec
import pytest

from evse.access.whitelist import Entry, Kind, WhitelistKeeper
from evse.config.model_access import AccessSection
from evse.domain.ac import AcSpec, ReleaseMode
from evse.domain.base import DeviceError
from evse.domain.station import EvseKind, EvseSpec
from evse.ocpp.ports import AuthResult
from evse.runtime.admission import Admission
from evse.units import NS_PER_S

NOW = 1_800_000_000 * NS_PER_S
CAR = "020000000001"
YES = AuthResult(accepted=True, reason="Accepted", parent="FLEET")
NO = AuthResult(accepted=False, reason="Invalid")
OFFLINE = AuthResult(accepted=False, reason="offline: not in cache and not in the local list", decided=False)
OFFLINE_ALLOWS = AuthResult(accepted=True, reason="offline: unknown cards may charge", decided=False)
ENTRIES = {
    "allowed": Entry(kind=Kind.RFID, id="04000001"),
    "blocked": Entry(kind=Kind.RFID, id="04000002", allow=False),
    "expired": Entry(kind=Kind.RFID, id="04000003", expires_at=NOW),
    "until": Entry(kind=Kind.RFID, id="04000004", expires_at=NOW + NS_PER_S),
    "second": Entry(kind=Kind.RFID, id="04000005_2"),
    "car": Entry(kind=Kind.EVCC, id=CAR),
}


class Medium:
    """A store in memory that may be full."""

    def __init__(self) -> None:
        self.used: dict[str, int] = {}
        self.full = False

    async def load_whitelist(self) -> Sequence[Entry]:
        return list(ENTRIES.values())

    async def change_whitelist(self, put: Sequence[Entry], remove: Sequence[str], *, clear: bool) -> None:
        raise AssertionError("nobody changes the list here")

    async def whitelist_used(self, entry_id: str, at: int) -> None:
        if self.full:
            raise DeviceError("disk full")
        self.used[entry_id] = at


class Clock:
    """A calendar that may never have been set."""

    def __init__(self) -> None:
        self.valid = True

    def now(self) -> int:
        return 1

    def wall(self) -> int:
        return NOW

    def wall_valid(self) -> bool:
        return self.valid


class Backend:
    """Answers what the test says and remembers the questions."""

    def __init__(self, answer: AuthResult) -> None:
        self.answer = answer
        self.asked: list[tuple[str, int]] = []

    async def authorize(self, id_token: str, evse_id: int) -> AuthResult:
        self.asked.append((id_token, evse_id))
        return self.answer


class World:
    """An `Admission` and what stands around it."""

    def __init__(self, answer: AuthResult | None = None, **access: object) -> None:
        self.access = AccessSection(**access)  # type: ignore[arg-type]
        self.medium, self.clock = Medium(), Clock()
        self.backend = None if answer is None else Backend(answer)
        self.keeper = WhitelistKeeper(self.medium, self.clock.wall)
        ac = EvseSpec(evse_id=3, kind=EvseKind.AC, ac=AcSpec(release=ReleaseMode.LIST))
        evses = (EvseSpec(evse_id=1), EvseSpec(evse_id=2), ac)
        self.admission = Admission(self.keeper, lambda: self.access, self.clock, self.backend, evses)

    @property
    def asked(self) -> list[tuple[str, int]]:
        return [] if self.backend is None else self.backend.asked


def run(world: World, test: Callable[[World], Awaitable[None]]) -> None:
    async def main() -> None:
        await world.keeper.load()
        notes = asyncio.create_task(world.admission.run())
        await test(world)
        notes.cancel()

    asyncio.run(main())


async def decided(world: World, token: str, evse_id: int = 1) -> tuple[bool, str]:
    result = await world.admission.card(token, evse_id)
    return result.accepted, result.reason


def test_an_entry_decides_and_nobody_else_is_asked() -> None:
    async def test(world: World) -> None:
        assert await decided(world, "04000001") == (True, "on the whitelist")
        assert await decided(world, "04000002") == (False, "blocked on the whitelist")
        assert await decided(world, "04000003") == (False, "expired on the whitelist")
        assert await decided(world, "04000004") == (True, "on the whitelist")
        assert await decided(world, "04000005", 2) == (True, "on the whitelist")
        assert world.asked == []

    run(World(YES), test)


@pytest.mark.parametrize(("answer", "accepted"), [(YES, True), (NO, False)])
def test_what_the_list_does_not_know_the_back_end_decides(answer: AuthResult, accepted: bool) -> None:
    async def test(world: World) -> None:
        assert await world.admission.card("04999999", 1) == answer
        assert (await world.admission.card("04000005", 1)).accepted is accepted, "an entry for another connector"
        assert world.asked == [("04999999", 1), ("04000005", 1)]

    run(World(answer, if_in_doubt_allow=True), test)


def test_the_back_end_may_go_first_and_the_list_stands_in_for_it() -> None:
    async def refused(world: World) -> None:
        assert await decided(world, "04000001") == (False, "Invalid")

    async def offline(world: World) -> None:
        assert await decided(world, "04000001") == (True, "on the whitelist")
        assert await decided(world, "04000002") == (False, "blocked on the whitelist")
        assert await decided(world, "04999999") == (False, f"{OFFLINE.reason}; not on the whitelist")

    run(World(NO, mode=("ocpp", "whitelist")), refused)
    run(World(OFFLINE, mode=("ocpp", "whitelist")), offline)


def test_who_is_left_out_of_the_mode_is_never_asked() -> None:
    async def only_list(world: World) -> None:
        assert await decided(world, "04999999") == (False, "not on the whitelist")
        assert world.asked == []

    async def only_backend(world: World) -> None:
        assert await decided(world, "04000002") == (True, "Accepted")

    run(World(YES, mode=("whitelist",)), only_list)
    run(World(YES, mode=("ocpp",)), only_backend)


def test_in_doubt_is_only_what_nobody_decides() -> None:
    for answer, allow in product((YES, NO, OFFLINE, OFFLINE_ALLOWS, None), (False, True)):

        async def test(world: World, answer: AuthResult | None = answer, allow: bool = allow) -> None:
            accepted, reason = await decided(world, "04999999")
            if answer is None or not answer.decided:
                assert accepted is (allow or (answer is not None and answer.accepted))
                assert "not on the whitelist" in reason and (answer.reason if answer else "no back end") in reason
            else:
                assert accepted is answer.accepted
            assert not (await world.admission.card("04000002", 1)).accepted, "a blocked card is no doubt"

        run(World(answer, if_in_doubt_allow=allow), test)


def test_without_the_time_an_entry_that_ends_is_in_doubt() -> None:
    async def test(world: World) -> None:
        world.clock.valid = False
        assert await decided(world, "04000001") == (True, "on the whitelist")
        accepted, reason = await decided(world, "04000004")
        assert not accepted and "does not know the time" in reason
        world.access = msgspec.structs.replace(world.access, if_in_doubt_allow=True)
        assert (await decided(world, "04000004"))[0]

    run(World(), test)


def test_an_evse_whose_release_is_the_list_asks_nobody_else() -> None:
    async def test(world: World) -> None:
        assert await decided(world, "04999999", 3) == (False, "not on the whitelist")
        assert await decided(world, "04000001", 3) == (True, "on the whitelist")
        assert world.asked == []

    run(World(YES, mode=("ocpp",)), test)


def test_a_vehicle_is_asked_about_by_its_prefixed_id_only_when_that_is_configured() -> None:
    async def test(world: World) -> None:
        assert not (await world.admission.vehicle(CAR, 1)).accepted, "autocharge is off"
        world.access = AccessSection(autocharge=True)
        assert (await world.admission.vehicle(CAR, 1)).reason == "on the whitelist"
        assert not (await world.admission.vehicle("020000000002", 1)).accepted
        assert world.asked == []
        world.access = AccessSection(autocharge=True, autocharge_ocpp=True)
        assert await world.admission.vehicle("020000000002", 1) == YES
        world.access = AccessSection(autocharge=True, autocharge_ocpp=True, autocharge_prefix="")
        await world.admission.vehicle("020000000002", 2)
        assert world.asked == [("VID:020000000002", 1), ("020000000002", 2)]

    run(World(YES), test)


def test_a_vehicle_is_never_allowed_in_doubt() -> None:
    async def test(world: World) -> None:
        assert not (await world.admission.vehicle("020000000002", 1)).accepted

    run(World(OFFLINE, autocharge=True, autocharge_ocpp=True, if_in_doubt_allow=True), test)


def test_a_permission_is_noted_and_a_full_disk_does_not_matter() -> None:
    async def test(world: World) -> None:
        world.medium.full = True
        assert (await decided(world, "04000001"))[0]
        await asyncio.sleep(0.01)
        assert world.medium.used == {}
        world.medium.full = False
        for token in ("04000001", "04000002", "04000005"):
            await world.admission.card(token, 2)
        await world.admission.card("04000004", 1)
        await asyncio.sleep(0.01)
        assert world.medium.used == {"04000001": NOW, "04000004": NOW, "04000005_2": NOW}

    run(World(), test)
