"""Charging profiles on the medium: written at once at ordinary rates, coalesced above them, and never looser than in force.

A budget of `BUDGET` writes is refilled with one every `REFILL_NS`. A change that finds it spent waits for the next refill,
together with those that come meanwhile. It does not wait if the station may take less than what is stored allows: after
a power cut a fuse must not find an older, larger ChargePointMaxProfile (docs/decisions/0007).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Mapping
from typing import Final

import msgspec

from evse.domain.base import DeviceError
from evse.domain.clock import Clock
from evse.ocpp.ports import StorePort
from evse.planner import composite
from evse.planner.composite import ChargingProfile, Purpose
from evse.units import NS_PER_S, DurationNs, Instant, WallNs

log = logging.getLogger(__name__)

NAMESPACE: Final = "ocpp.profiles"

BUDGET: Final = 60
REFILL_NS: Final[DurationNs] = 60 * NS_PER_S

CYCLE_NS: Final[DurationNs] = 8 * 86_400 * NS_PER_S
"""Within this a weekly profile has said everything."""

STEPS_MAX: Final = 128
"""Instants at which two sets of profiles are compared; sets with more changes count as tighter."""

Profiles = Mapping[int, ChargingProfile]


class Budget:
    """Writes that may be made now; `BUDGET` at most, one more every `REFILL_NS`."""

    def __init__(self) -> None:
        self._full_at: Instant = 0

    def next_at(self) -> Instant:
        """When the next write may be made; a moment in the past = now."""
        return self._full_at - (BUDGET - 1) * REFILL_NS

    def spend(self, now: Instant) -> None:
        """A write is made, whether or not it may be."""
        self._full_at = min(max(self._full_at, now), now + (BUDGET - 1) * REFILL_NS) + REFILL_NS


class ProfileDisk:
    """What is stored of the profiles of one station, and what will be."""

    def __init__(self, store: StorePort, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._stored: dict[int, ChargingProfile] = {}
        self._wanted: dict[int, ChargingProfile] = {}
        self._budget = Budget()
        self._late = asyncio.Event()
        self._turn = asyncio.Lock()

    @property
    def unsaved(self) -> bool:
        """Tell whether a change waits for its turn."""
        return self._wanted != self._stored

    async def load(self) -> list[ChargingProfile]:
        """Read what is stored; what cannot be read is left out."""
        for key, text in (await self._store.get_all(NAMESPACE)).items():
            try:
                profile = msgspec.json.decode(text, type=ChargingProfile)
            except msgspec.DecodeError as error:
                log.error("ocpp: stored charging profile %s cannot be read and is left out: %s", key, error)
                continue
            self._stored[profile.profile_id] = profile
        self._wanted = dict(self._stored)
        return list(self._stored.values())

    async def change(self, gone: Iterable[int], new: ChargingProfile | None = None) -> None:
        """Remove profiles and add one; raises `DeviceError` with nothing changed.

        TxProfiles are not stored: a transaction does not survive a restart, so neither do they.
        """
        async with self._turn:
            wanted = {number: profile for number, profile in self._wanted.items() if number not in set(gone)}
            if new is not None and new.purpose is not Purpose.TX:
                wanted[new.profile_id] = new
            if wanted == self._stored:
                self._wanted = wanted
            elif self._budget.next_at() <= self._clock.now() or tighter(self._stored, wanted, self._clock.wall()):
                await self._write(wanted)
            elif wanted != self._wanted:
                if not self.unsaved:
                    log.warning("ocpp: charging profiles change so often that they are stored once a minute from now on")
                self._wanted = wanted
                self._late.set()

    async def flush(self) -> None:
        """Store what waits, now; raises `DeviceError`."""
        async with self._turn:
            if self.unsaved:
                await self._write(self._wanted)

    async def run(self) -> None:
        """Store what waits when the budget allows it, for ever."""
        while True:
            await self._late.wait()
            self._late.clear()
            while self.unsaved:
                await asyncio.sleep(max(0, self._budget.next_at() - self._clock.now()) / NS_PER_S)
                try:
                    await self.flush()
                except DeviceError as error:
                    log.error("ocpp: charging profiles: %s; again in a minute", error)
                    await asyncio.sleep(REFILL_NS / NS_PER_S)

    async def _write(self, wanted: dict[int, ChargingProfile]) -> None:
        values: dict[str, str | None] = {str(number): None for number in self._stored if number not in wanted}
        for number, profile in wanted.items():
            if self._stored.get(number) != profile:
                values[str(number)] = msgspec.json.encode(profile).decode()
        await self._store.put_many(NAMESPACE, values)
        self._budget.spend(self._clock.now())
        self._stored, self._wanted = dict(wanted), dict(wanted)


def tighter(stored: Profiles, wanted: Profiles, wall: WallNs) -> bool:
    """Tell whether the station may at any time from ``wall`` on take less by ``wanted`` than by ``stored``.

    True as well where that would take too long to find out.
    """
    old, new = (
        sorted(
            (p for p in profiles.values() if p.purpose is Purpose.CHARGE_POINT_MAX),
            key=lambda p: (p.stack_level, p.set_at), reverse=True,
        )
        for profiles in (stored, wanted)
    )
    if _smallest(new) < _smallest(old):  # what holds after a power cut that has cost the calendar
        return True
    steps = 0
    marks = sorted({wall, *(at for at in _dates([*old, *new]) if at > wall)})
    for mark, after in zip(marks, [*marks[1:], composite.NEVER], strict=True):
        at, end = mark, min(after, mark + CYCLE_NS)  # between two dates all repeats itself
        while at < end:
            steps += 1
            if steps > STEPS_MAX or _less(new, old, at):
                return True
            at = composite.change_after([*old, *new], at, at)
    return False


def _smallest(profiles: list[ChargingProfile]) -> int:
    return min((composite.watts(p.unit, q.limit_deci, q.phases) for p in profiles for q in p.periods), default=composite.NEVER)


def _less(new: list[ChargingProfile], old: list[ChargingProfile], at: WallNs) -> bool:
    """Compare the power and, of profiles in A, the current."""
    cap = composite.leading(new, Purpose.CHARGE_POINT_MAX, at, at)
    if cap is None:
        return False
    before = composite.leading(old, Purpose.CHARGE_POINT_MAX, at, at)
    if before is None or cap[0] < before[0]:
        return True
    current_ma, before_ma = composite.limit_ma(cap[1], at, at), composite.limit_ma(before[1], at, at)
    return current_ma is not None and (before_ma is None or current_ma < before_ma)


def _dates(profiles: list[ChargingProfile]) -> list[WallNs]:
    """When a profile begins, ends, or has its last own change."""
    found: list[WallNs] = []
    for p in profiles:
        found += [p.valid_from or 0, p.valid_to or 0, p.start or 0]
        if not p.recurrence_s:
            begin = p.set_at if p.start is None else p.start
            found += [begin + p.periods[-1].start_s * NS_PER_S, begin + (p.duration_s or 0) * NS_PER_S]
    return found
