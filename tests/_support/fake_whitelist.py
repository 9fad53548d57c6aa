"""The white list of the fake station: the real operations over a list in memory; a learned card comes at once."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any, cast

from evse.access.whitelist import Whitelist, WhitelistKeeper, check_name
from evse.api import models as m
from evse.api import models_whitelist as w
from evse.api.operation import Empty
from evse.api.service import Caller
from evse.domain.whitelist import Entry, Kind
from evse.runtime.learning import Stage, Window
from evse.runtime.service.whitelist import WhitelistOperations
from evse.units import NS_PER_S, WallNs
from tests._support import fake_data as data
from tests._support.fake_ac import FakeAc

DAY = 86_400 * NS_PER_S
ENTRIES = (
    Entry(kind=Kind.RFID, id="04A3B2C1D0E5F6", name="Service van 2", created_at=data.T0 - 40 * DAY, used_at=data.T0 - DAY),
    Entry(kind=Kind.RFID, id="07A47731", name="Guest card", expires_at=data.T0 - DAY, created_at=data.T0 - 90 * DAY),
    Entry(kind=Kind.RFID, id="11223344", name="Lost card", allow=False, created_at=data.T0 - 90 * DAY),
    Entry(kind=Kind.EVCC, id="0010BADA5501", name="Pool car", expires_at=data.T0 + 30 * DAY, created_at=data.T0),
)
REQUESTS: dict[str, dict[str, object]] = {
    "whitelist.get": {"id": "07A47731"},
    "whitelist.add": {"id": "04:AA:BB:CC", "name": "New"},
    "whitelist.edit": {"id": "07A47731", "name": "Guest"},
    "whitelist.remove": {"id": "07A47731"},
    "whitelist.import": {"text": "id\n55667788\n"},
    "whitelist.learn": {"reader": "rfid"},
}
"""A request that succeeds, for every operation that needs one."""


class _Medium:
    """A store that never fails and forgets."""

    async def load_whitelist(self) -> Sequence[Entry]:
        return ()

    async def change_whitelist(self, put: Sequence[Entry], remove: Sequence[str], *, clear: bool) -> None:
        return None

    async def whitelist_used(self, entry_id: str, at: WallNs) -> None:
        return None


class _Learner:
    """`evse.runtime.learning.Learner` without waiting: who waits has learned the card of the fake."""

    def __init__(self, fake: FakeWhitelist) -> None:
        self._fake = fake

    @property
    def window(self) -> Window:
        return self._fake.window

    @property
    def waiting(self) -> bool:
        return self._fake.window.stage is Stage.WAITING

    def begin(self, *, seconds: int, name: str, **given: Any) -> Window:
        self._fake.window = Window(
            number=self._fake.window.number + 1, stage=Stage.WAITING, until=self._fake.wall + seconds * NS_PER_S,
            name=check_name(name), **given,
        )  # fmt: skip
        return self._fake.window

    async def wait(self, number: int, seconds: float) -> Window:
        before = self._fake.window
        if self.waiting and number == before.number:
            if not self._fake.learned:
                self._fake.window = Window(**{**_fields(before), "stage": Stage.EXPIRED})
            else:
                entry = Entry(kind=Kind.RFID, id=self._fake.learned, name=before.name, created_at=self._fake.wall)
                self._fake.entries = (*self._fake.entries, entry)
                self._fake.window = Window(**{**_fields(before), "stage": Stage.LEARNED, "entry": entry})
        return self._fake.window

    def cancel(self) -> bool:
        was = self.waiting
        if was:
            self._fake.window = Window(**{**_fields(self._fake.window), "stage": Stage.CANCELLED})
        return was


def _fields(window: Window) -> dict[str, Any]:
    return {name: getattr(window, name) for name in window.__struct_fields__}


class FakeWhitelist(FakeAc):
    """``whitelist.*``. ``learned`` = card that a learning window gets, "" = none comes."""

    def __init__(self, *, heartbeat_s: float = 10.0, status_period_s: float = 0.5) -> None:
        super().__init__(heartbeat_s=heartbeat_s, status_period_s=status_period_s)
        self.entries: tuple[Entry, ...] = ENTRIES
        self.window = Window()
        self.learned = "04C0FFEE"

    def reset_whitelist(self) -> None:
        """As at the start; nobody learns."""
        self.entries, self.window = ENTRIES, Window()

    async def _run(self, name: str, request: m.Model, caller: Caller) -> Any:
        self.enter(name, request)
        keeper = WhitelistKeeper(_Medium(), lambda: self.wall)
        keeper.list = Whitelist(self.entries)
        operations = WhitelistOperations()
        operations._station = cast(
            "Any",
            SimpleNamespace(
                whitelist=keeper,
                learner=_Learner(self),
                clock=SimpleNamespace(wall=lambda: self.wall, wall_valid=lambda: True),
                note_forgotten=lambda: None,
                devices=SimpleNamespace(
                    readers={reader.name: reader for reader in self.readers.items},
                    boards={evse.evse_id: evse for evse in self.view.evses},
                ),
            ),
        )
        before = self.entries
        answer = await getattr(operations, name.replace(".", "_"))(request, caller)
        if self.entries is before:
            self.entries = tuple(keeper.list)
        return answer

    async def whitelist_list(self, request: w.WhitelistQuery, caller: Caller) -> w.Whitelist:
        return cast(w.Whitelist, await self._run("whitelist.list", request, caller))

    async def whitelist_get(self, request: w.WhitelistRef, caller: Caller) -> w.WhitelistEntry:
        return cast(w.WhitelistEntry, await self._run("whitelist.get", request, caller))

    async def whitelist_add(self, request: w.WhitelistAdd, caller: Caller) -> w.WhitelistEntry:
        return cast(w.WhitelistEntry, await self._run("whitelist.add", request, caller))

    async def whitelist_edit(self, request: w.WhitelistEdit, caller: Caller) -> w.WhitelistEntry:
        return cast(w.WhitelistEntry, await self._run("whitelist.edit", request, caller))

    async def whitelist_remove(self, request: w.WhitelistRef, caller: Caller) -> m.Done:
        return cast(m.Done, await self._run("whitelist.remove", request, caller))

    async def whitelist_clear(self, request: Empty, caller: Caller) -> m.Done:
        return cast(m.Done, await self._run("whitelist.clear", request, caller))

    async def whitelist_import(self, request: w.WhitelistImport, caller: Caller) -> w.WhitelistCounts:
        return cast(w.WhitelistCounts, await self._run("whitelist.import", request, caller))

    async def whitelist_export(self, request: Empty, caller: Caller) -> w.WhitelistFile:
        return cast(w.WhitelistFile, await self._run("whitelist.export", request, caller))

    async def whitelist_learn(self, request: w.WhitelistLearn, caller: Caller) -> w.WhitelistWindow:
        return cast(w.WhitelistWindow, await self._run("whitelist.learn", request, caller))

    async def whitelist_window(self, request: w.WhitelistWait, caller: Caller) -> w.WhitelistWindow:
        return cast(w.WhitelistWindow, await self._run("whitelist.window", request, caller))

    async def whitelist_cancel(self, request: Empty, caller: Caller) -> m.Done:
        return cast(m.Done, await self._run("whitelist.cancel", request, caller))
