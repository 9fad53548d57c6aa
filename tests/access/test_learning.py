"""Learning under virtual time: what a window takes, how it ends, and that nothing in it is used for anything else."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import pytest

from evse.access.whitelist import Entry, Kind, WhitelistError, WhitelistKeeper
from evse.domain.base import DeviceError
from evse.domain.view import Event
from evse.lab.vloop import VirtualClock, VirtualLoop, run_virtual
from evse.runtime.learning import Learner, Stage
from evse.units import NS_PER_S, s


class Medium:
    """A store in memory that may be slow or full."""

    def __init__(self) -> None:
        self.rows: dict[str, Entry] = {"04000009": Entry(kind=Kind.RFID, id="04000009", allow=False)}
        self.full = False
        self.takes_s = 0.0

    async def load_whitelist(self) -> Sequence[Entry]:
        return list(self.rows.values())

    async def change_whitelist(self, put: Sequence[Entry], remove: Sequence[str], *, clear: bool) -> None:
        await asyncio.sleep(self.takes_s)
        if self.full:
            raise DeviceError("storage: disk full")
        self.rows.update({entry.id: entry for entry in put})

    async def whitelist_used(self, entry_id: str, at: int) -> None:
        raise AssertionError("learning is no use")


class World:
    """A learner that runs, its medium and what it has announced."""

    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        self.clock = VirtualClock(loop)
        self.medium = Medium()
        self.keeper = WhitelistKeeper(self.medium, self.clock.wall)
        self.learner = Learner(self.keeper, self.clock, self.announce)
        self.events: list[Event] = []

    def announce(self, kind: str, evse_id: int, data: dict[str, str | int | bool | None]) -> Event:
        event = Event(seq=len(self.events) + 1, wall=self.clock.wall(), kind=kind, evse_id=evse_id, data=data)
        self.events.append(event)
        return event

    def begin(self, reader: str = "front", evse_id: int = 0, seconds: int = 30, name: str = "Ada") -> int:
        window = self.learner.begin(
            reader=reader, evse_id=evse_id, seconds=seconds, name=name, allow=True, expires_at=None
        )
        return window.number

    @property
    def ends(self) -> list[object]:
        return [event.data["result"] for event in self.events if event.kind == "whitelist.learn_ended"]


def run(test: Callable[[World], Awaitable[None]]) -> None:
    async def main() -> None:
        world = World()
        await world.keeper.load()
        task = asyncio.create_task(world.learner.run())
        await test(world)
        task.cancel()

    run_virtual(main(), VirtualLoop())


def test_the_next_card_at_the_reader_goes_on_the_list_and_nowhere_else() -> None:
    async def test(world: World) -> None:
        assert not world.learner.card("front", "04000001"), "nobody learns"
        number = world.begin()
        assert not world.learner.card("back", "04000001"), "another reader"
        assert not world.learner.vehicle(1, "020000000001")
        assert world.learner.card("front", "04000001")
        window = await world.learner.wait(number, 20)
        assert window.stage is Stage.LEARNED and window.entry is not None
        assert world.medium.rows["04000001"] == window.entry == Entry(
            kind=Kind.RFID, id="04000001", name="Ada", created_at=world.clock.wall()
        )
        assert not world.learner.card("front", "04000001"), "the window has ended: now it counts"
        assert [event.kind for event in world.events] == ["whitelist.learning", "whitelist.learn_ended"]
        assert world.events[1].data == {"result": "learned", "reader": "front", "id": "04000001", "type": "RFID"}

    run(test)


def test_the_next_vehicle_at_the_evse_is_learned() -> None:
    async def test(world: World) -> None:
        number = world.begin(reader="", evse_id=2)
        assert not world.learner.card("front", "04000001")
        assert not world.learner.vehicle(1, "020000000001")
        assert world.learner.vehicle(2, "020000000001")
        assert (await world.learner.wait(number, 20)).stage is Stage.LEARNED
        assert world.medium.rows["020000000001"].kind is Kind.EVCC
        assert world.events[-1].evse_id == 2

    run(test)


def test_a_card_that_comes_while_the_medium_works_is_swallowed_and_not_learned() -> None:
    async def test(world: World) -> None:
        world.medium.takes_s = 2.0
        number = world.begin()
        assert world.learner.card("front", "04000001")
        await asyncio.sleep(1)
        assert world.learner.waiting and world.learner.card("front", "04000002")
        assert not world.learner.cancel(), "something has come already"
        assert (await world.learner.wait(number, 20)).stage is Stage.LEARNED
        await asyncio.sleep(60)
        assert set(world.medium.rows) == {"04000001", "04000009"}
        assert world.ends == ["learned"]

    run(test)


def test_a_card_that_is_known_stays_as_it_is() -> None:
    async def test(world: World) -> None:
        number = world.begin()
        world.learner.card("front", "04000009")
        window = await world.learner.wait(number, 20)
        assert window.stage is Stage.KNOWN and window.entry is not None and not window.entry.allow
        assert not world.medium.rows["04000009"].allow and world.medium.rows["04000009"].name == ""

    run(test)


@pytest.mark.parametrize("token", ["08AABBCC", "3f", ""])
def test_what_cannot_be_on_the_list_fails_with_the_reason(token: str) -> None:
    async def test(world: World) -> None:
        number = world.begin()
        if not token:
            world.medium.full = True
        assert world.learner.card("front", token or "04000001")
        window = await world.learner.wait(number, 20)
        assert window.stage is Stage.FAILED and window.entry is None
        assert ("disk full" if not token else f"id '{token}'") in window.why
        assert world.events[-1].data["why"] == window.why
        assert set(world.medium.rows) == {"04000009"}
        assert world.keeper.list.get("04000001") is None

    run(test)


def test_a_window_ends_at_its_deadline_and_not_before() -> None:
    async def test(world: World) -> None:
        began = world.clock.now()
        number = world.begin(seconds=30)
        waiting = await world.learner.wait(number, 29)
        assert waiting.stage is Stage.WAITING and world.clock.now() - began == s(29)
        assert (await world.learner.wait(number, 20)).stage is Stage.EXPIRED
        assert world.clock.now() - began == 30 * NS_PER_S
        assert not world.learner.card("front", "04000001")

    run(test)


def test_a_cancelled_window_takes_nothing_and_makes_room_for_the_next() -> None:
    async def test(world: World) -> None:
        assert not world.learner.cancel()
        first = world.begin()
        assert world.learner.cancel() and not world.learner.cancel()
        assert (await world.learner.wait(first, 20)).stage is Stage.CANCELLED
        assert not world.learner.card("front", "04000001")
        second = world.begin(seconds=5)
        assert second == first + 1
        assert (await world.learner.wait(first, 20)).number == second, "who waits for an old window is told at once"
        assert (await world.learner.wait(second, 20)).stage is Stage.EXPIRED
        assert world.ends == ["cancelled", "expired"]

    run(test)


def test_a_name_that_cannot_be_kept_opens_no_window() -> None:
    async def test(world: World) -> None:
        with pytest.raises(WhitelistError, match="begins with '='"):
            world.begin(name="=1+1")
        assert not world.learner.waiting and world.events == []

    run(test)
