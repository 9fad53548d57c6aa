"""SmartCharging of OCPP 1.6: charging profiles of the CSMS, kept durably, and the limits that follow from them now.

`Charging` is told which transactions run (`on_view`), keeps the profiles, and hands the station a new set of limits
whenever one of them changes: at once for a request, at its very instant for a period that begins. A limit stands until
it is replaced, it never runs out by itself: one that vanished would mean more power. What the numbers mean is in
`evse.planner.composite`.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import Protocol

import msgspec
from msgspec.structs import replace

from evse.domain.ac import AcSpec
from evse.domain.base import DeviceError
from evse.domain.clock import Clock
from evse.domain.limits import LimitSource, PowerLimit
from evse.domain.view import StationView
from evse.ocpp import key_caps
from evse.ocpp.composite_ac import on_lines
from evse.ocpp.engine import Handler, Reply
from evse.ocpp.keys import Keys
from evse.ocpp.messages import Payload, parse_timestamp, timestamp
from evse.ocpp.ports import StationPort, StorePort
from evse.ocpp.profile_disk import ProfileDisk
from evse.ocpp.schedule_explain import ScheduleExplanation, explain_in_steps
from evse.planner import composite
from evse.planner.composite import ChargingProfile, Kind, Period, Purpose, Scope, Step, Unit
from evse.units import NS_PER_S, Instant, WallNs

log = logging.getLogger(__name__)

STACK_LEVEL_MAX = 20
PERIODS_MAX = 100
PROFILES_MAX = 20
"""Installed profiles, TxProfiles included; those whose validity is over make room first."""

COMPOSITE_S_MAX = 7 * 86_400
"""Longest composite schedule; a longer request gets this much."""

COMPOSITE_STEPS_MAX = 1000
"""Changes in one composite schedule; beyond it the schedule is shorter than asked for."""

STEPS_AT_ONCE = 16
"""Steps of a composite schedule that are computed before everybody else gets a turn."""

PENDING_MAX = 8
"""Profiles of RemoteStartTransaction that wait for their transaction; the oldest goes."""

PENDING_GRACE_NS = 60 * NS_PER_S
LOOK_AGAIN_NS = 10 * NS_PER_S
"""The present limits are computed anew at least this often, so that a clock that was set is noticed."""

LIMIT_MAX = 10_000_000
SECONDS_MAX = 10 * 366 * 86_400

_RECURRENCE_S = {"Daily": 86_400, "Weekly": 7 * 86_400}


class Transactions(Protocol):
    """Who knows transaction numbers."""

    def evse_of_transaction(self, transaction_id: int) -> int | None:
        """EVSE on which a transaction runs."""
        ...


class _Pending(msgspec.Struct, frozen=True):
    profile: ChargingProfile
    evse_id: int | None
    until: Instant


class Refused(Exception):
    """A profile that cannot be used; the text says why."""


def parse_profile(body: Payload, evse_id: int, wall: WallNs, session_id: str = "") -> ChargingProfile:
    """Return the profile that ``body`` (which its schema has accepted) describes; raises `Refused`."""
    schedule: Payload = body["chargingSchedule"]
    kind = Kind(body["chargingProfileKind"])
    unit = Unit(schedule["chargingRateUnit"])
    recurrence = body.get("recurrencyKind")
    if kind is Kind.RECURRING and (recurrence is None or "startSchedule" not in schedule):
        raise Refused("a recurring profile needs recurrencyKind and startSchedule")
    level, duration = int(body["stackLevel"]), schedule.get("duration")
    if not 0 <= level <= STACK_LEVEL_MAX:
        raise Refused(f"stackLevel {level} is not within 0..{STACK_LEVEL_MAX}")
    if duration is not None and not 0 < int(duration) <= SECONDS_MAX:
        raise Refused(f"duration {duration} is not within 1..{SECONDS_MAX} s")
    valid_from, valid_to = _time(body, "validFrom"), _time(body, "validTo")
    if valid_from is not None and valid_to is not None and valid_to <= valid_from:
        raise Refused("validTo is not after validFrom")
    return ChargingProfile(
        profile_id=int(body["chargingProfileId"]), evse_id=evse_id, stack_level=level,
        purpose=Purpose(body["chargingProfilePurpose"]), kind=kind, unit=unit, periods=_periods(schedule),
        set_at=wall, valid_from=valid_from, valid_to=valid_to,
        start=None if kind is Kind.RELATIVE else _time(schedule, "startSchedule"),
        recurrence_s=_RECURRENCE_S[str(recurrence)] if kind is Kind.RECURRING else 0,
        duration_s=None if duration is None else int(duration), session_id=session_id,
        min_rate_deci=_tenths(schedule["minChargingRate"]) if "minChargingRate" in schedule else None,
    )


def _time(payload: Payload, field: str) -> WallNs | None:
    text = payload.get(field)
    if text is None:
        return None
    wall = parse_timestamp(str(text))
    if wall is None:
        raise Refused(f"{field} {str(text)[:40]!r} is not a date and time")
    return wall


def _tenths(value: float) -> int:
    if not 0 <= value <= LIMIT_MAX:
        raise Refused(f"limit {value:g} is not within 0..{LIMIT_MAX}")
    return int(value * 10 + 1e-6)  # 16.3 * 10 is a little less than 163


def _periods(schedule: Payload) -> tuple[Period, ...]:
    rows: list[Payload] = schedule["chargingSchedulePeriod"]
    if not 0 < len(rows) <= PERIODS_MAX:
        raise Refused(f"{len(rows)} periods, 1 to {PERIODS_MAX} are possible")
    periods = []
    before = -1
    for row in rows:
        start_s, phases = int(row["startPeriod"]), int(row.get("numberPhases", composite.PHASES))
        if not before < start_s <= SECONDS_MAX:
            raise Refused(f"startPeriod {start_s} does not come after {before}")
        if not 1 <= phases <= 3:
            raise Refused(f"numberPhases {phases} is not within 1..3")
        periods.append(Period(start_s=start_s, limit_deci=_tenths(row["limit"]), phases=phases))
        before = start_s
    return tuple(periods)


class Charging:
    """Profiles of one station and the limits that they mean now."""

    def __init__(
        self, station: StationPort, store: StorePort, keys: Keys, clock: Clock, transactions: Transactions
    ) -> None:
        self._station = station
        self._disk = ProfileDisk(store, clock)
        self._keys = keys
        self._clock = clock
        self._transactions = transactions
        self._profiles: dict[int, ChargingProfile] = {}
        self._running: dict[int, tuple[str, WallNs]] = {}
        self._pending: dict[str, _Pending] = {}
        self._limits: tuple[PowerLimit, ...] = ()
        self._held: frozenset[int] = frozenset()
        self._next_at: WallNs = composite.NEVER
        self._changed = asyncio.Event()
        self._turn = asyncio.Lock()

    def table(self) -> dict[str, Handler]:
        """Return action to handler."""
        return {
            "ClearChargingProfile": self.clear_profile,
            "GetCompositeSchedule": self.get_composite,
            "SetChargingProfile": self.set_profile,
        }

    async def load(self) -> None:
        """Read the profiles that were installed before and put them in force."""
        self._profiles = {profile.profile_id: profile for profile in await self._disk.load()}
        self.refresh()

    async def save(self) -> None:
        """Store what waits for its turn: the process ends soon. Never raises; what is lost is told."""
        try:
            await self._disk.flush()
        except DeviceError as error:
            log.error("ocpp: charging profiles of the last minute are lost at the end: %s", error)

    # -- limits ---------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Put each period in force when it begins, and store what waits, for ever."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._disk.run())
            group.create_task(self._follow())

    async def _follow(self) -> None:
        while True:
            with contextlib.suppress(DeviceError):  # what cannot be removed now says nothing any more anyway
                await self._expire()
            self.refresh()
            wait_ns = min(LOOK_AGAIN_NS, max(0, self._next_at - self._clock.wall()))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait_ns / NS_PER_S):
                    await self._changed.wait()
            self._changed.clear()

    async def _expire(self) -> None:
        """Remove the profiles whose validity is over."""
        wall = self._clock.wall()
        async with self._turn:
            gone = [n for n, profile in self._profiles.items() if profile.valid_to is not None and profile.valid_to <= wall]
            if gone and self._clock.wall_valid():
                await self._disk.change(gone)
                for number in gone:
                    self._profiles.pop(number, None)

    def on_view(self, view: StationView) -> None:
        """Follow which transactions run. TxProfiles end with theirs; one that waited for its start begins."""
        running: dict[int, tuple[str, WallNs]] = {}
        for evse in view.evses:
            session = evse.session
            if session is not None and session.started_at is not None and session.ended_at is None:
                running[evse.evse_id] = (session.session_id, session.started_at)
                if self._running.get(evse.evse_id) != running[evse.evse_id]:
                    self._adopt(evse.evse_id, session.session_id, session.id_token)
        if running == self._running:
            return
        self._running = running
        alive = {session_id for session_id, _ in running.values()}
        for number, profile in list(self._profiles.items()):
            if profile.purpose is Purpose.TX and profile.session_id not in alive:
                del self._profiles[number]
        self._changed.set()
        self.refresh()

    def refresh(self) -> None:
        """Compute the limits in force now and hand them on if they are others than before."""
        wall = self._clock.wall()
        found: list[PowerLimit] = []
        self._next_at = composite.NEVER
        for evse_id in self._ratings():
            scope = self._scope(evse_id, wall)
            ranked = composite.relevant(list(self._profiles.values()), scope)
            if evse_id:  # the station's cap is a limit of its own
                ranked = [profile for profile in ranked if profile.purpose is not Purpose.CHARGE_POINT_MAX]
            calendar = self._clock.wall_valid()
            caps_of = composite.caps_at if calendar else composite.caps_without_calendar
            for power_w, profile in caps_of(ranked, wall, scope.tx_start):
                detail = f"{profile.purpose.value} {profile.profile_id}, stack level {profile.stack_level}"
                current_ma = composite.limit_ma(profile, wall, scope.tx_start, calendar=calendar)
                found.append(self._limit(evse_id, power_w, detail, current_ma))
            self._next_at = min(self._next_at, composite.change_after(ranked, wall, scope.tx_start))
            for cap in key_caps.caps(self._keys, evse_id):
                found.append(self._limit(evse_id, cap.power_w, cap.key, 1000 * cap.current_a))
            if evse_id in self._held:
                found.append(self._limit(evse_id, 0, "the CSMS refuses the card", 0))
        limits = tuple(found)
        if limits != self._limits:
            self._limits = limits
            self._station.set_limits(limits)

    def hold(self, evses: frozenset[int]) -> None:
        """Give no energy on ``evses``; replaces those before."""
        self._held = evses
        self.refresh()

    def _ratings(self) -> dict[int, int]:
        return key_caps.ratings(self._station.ratings(), self._keys) | dict.fromkeys(self._held, 0)

    def _ac(self, evse_id: int) -> AcSpec | None:
        found = next((evse.ac for evse in self._station.spec().evses if evse.evse_id == evse_id), None)
        return key_caps.wired(found, self._keys)

    def _limit(self, evse_id: int, power_w: int, detail: str, current_ma: int | None) -> PowerLimit:
        for known in self._limits:
            if (known.evse_id, known.power_w, known.detail, known.current_ma) == (evse_id, power_w, detail, current_ma):
                return known
        return PowerLimit(
            source=LimitSource.CSMS, evse_id=evse_id, power_w=power_w, set_at=self._clock.now(), detail=detail,
            current_ma=current_ma,
        )

    def _scope(self, evse_id: int, wall: WallNs) -> Scope:
        """The transaction of an EVSE; without one, what a transaction that begins now would get."""
        session_id, started = self._running.get(evse_id, ("", wall))
        return Scope(evse_id=evse_id, tx_start=started, session_id=session_id)

    # -- profiles -------------------------------------------------------------------------------------------------

    def profiles(self) -> list[ChargingProfile]:
        """All installed profiles, oldest first."""
        return sorted(self._profiles.values(), key=lambda profile: profile.set_at)

    async def explain(self, evse_id: int) -> ScheduleExplanation | None:
        """Why an EVSE (0 = the station) may take what it may take now; None = there is none of that number."""
        rated_w = self._ratings().get(evse_id)
        if rated_w is None:
            return None
        self.on_view(self._station.view())
        wall = self._clock.wall()
        ac = self._ac(evse_id)
        steps = explain_in_steps(
            self.profiles(), self._scope(evse_id, wall), wall, rated_w, ac=ac, calendar=self._clock.wall_valid()
        )
        while True:
            try:
                next(steps)
            except StopIteration as end:
                told: ScheduleExplanation = end.value
                return told
            await asyncio.sleep(0)

    async def set_profile(self, payload: Payload) -> Reply:
        """Install a profile, replacing the one with its number and the one at its place in the stack."""
        connector_id, body = int(payload["connectorId"]), payload["csChargingProfiles"]
        try:
            profile = self._placed(connector_id, body)
            async with self._turn:
                await self._install(profile)
        except Refused as error:
            log.warning("ocpp: charging profile %s rejected: %s", body["chargingProfileId"], error)
            return Reply({"status": "Rejected"})
        return Reply({"status": "Accepted"})

    def _placed(self, connector_id: int, body: Payload) -> ChargingProfile:
        purpose = Purpose(body["chargingProfilePurpose"])
        if connector_id not in self._ratings():
            raise Refused(f"there is no connector {connector_id}")
        if purpose is Purpose.CHARGE_POINT_MAX and connector_id != 0:
            raise Refused("a ChargePointMaxProfile belongs to connector 0")
        session_id = ""
        if purpose is Purpose.TX:
            self.on_view(self._station.view())
            number = body.get("transactionId")
            if connector_id not in self._running:
                raise Refused(f"no transaction runs on connector {connector_id}")
            if number is not None and self._transactions.evse_of_transaction(int(number)) != connector_id:
                raise Refused(f"transaction {number} does not run on connector {connector_id}")
            session_id = self._running[connector_id][0]
        return parse_profile(body, connector_id, self._clock.wall(), session_id)

    async def _install(self, profile: ChargingProfile) -> None:
        wall = self._clock.wall()
        gone = [
            number for number, old in self._profiles.items()
            if number == profile.profile_id
            or (old.purpose, old.stack_level, old.evse_id) == (profile.purpose, profile.stack_level, profile.evse_id)
            or (old.valid_to is not None and old.valid_to <= wall)
        ]
        if len(self._profiles) - len(gone) >= PROFILES_MAX:
            raise Refused(f"{PROFILES_MAX} profiles are installed already")
        if gone == [profile.profile_id] and _same(self._profiles[profile.profile_id], profile):
            return  # a CSMS that repeats itself does not wear the flash
        await self._disk.change(gone, profile)
        for number in gone:
            self._profiles.pop(number, None)
        if profile.purpose is not Purpose.TX or self._is_running(profile):
            self._profiles[profile.profile_id] = profile
        self._changed.set()
        self.refresh()

    def _is_running(self, profile: ChargingProfile) -> bool:
        return self._running.get(profile.evse_id, ("", 0))[0] == profile.session_id

    async def clear_profile(self, payload: Payload) -> Reply:
        """Remove all profiles that meet every criterion given; none given means all."""
        async with self._turn:
            gone = [number for number, profile in self._profiles.items() if _meets(profile, payload)]
            waiting = [token for token, pending in self._pending.items() if _meets(pending.profile, payload)]
            for token in waiting:
                del self._pending[token]
            if not gone:
                return Reply({"status": "Accepted" if waiting else "Unknown"})
            await self._disk.change(gone)
            for number in gone:
                self._profiles.pop(number, None)
            self._changed.set()
            self.refresh()
        return Reply({"status": "Accepted"})

    # -- with a remote start --------------------------------------------------------------------------------------

    def expect(self, connector_id: int | None, id_tag: str, body: Payload) -> None:
        """Keep the profile of a RemoteStartTransaction until its transaction begins; raises `Refused`."""
        if body["chargingProfilePurpose"] != Purpose.TX.value:
            raise Refused("only a TxProfile may come with a remote start")
        if body.get("transactionId") is not None:
            raise Refused("a transaction that has not begun has no transactionId")
        profile = parse_profile(body, connector_id or 0, self._clock.wall())
        until = self._clock.now() + self._keys.number("ConnectionTimeOut") * NS_PER_S + PENDING_GRACE_NS
        self._pending.pop(id_tag.upper(), None)
        self._pending[id_tag.upper()] = _Pending(profile, connector_id, until)
        while len(self._pending) > PENDING_MAX:
            self._pending.pop(next(iter(self._pending)))

    def forget(self, id_tag: str) -> None:
        """The remote start was refused."""
        self._pending.pop(id_tag.upper(), None)

    def _adopt(self, evse_id: int, session_id: str, id_tag: str) -> None:
        waiting = self._pending.get(id_tag.upper())
        if waiting is None or waiting.evse_id not in (None, evse_id):
            return
        del self._pending[id_tag.upper()]
        if self._clock.now() > waiting.until:
            return
        profile = replace(waiting.profile, evse_id=evse_id, session_id=session_id)
        same = self._profiles.get(profile.profile_id)
        if (same is not None and same.purpose is not Purpose.TX) or len(self._profiles) >= PROFILES_MAX:
            log.warning("ocpp: charging profile %d of a remote start has no place", profile.profile_id)
            return
        self._profiles[profile.profile_id] = profile

    # -- composite schedule ---------------------------------------------------------------------------------------

    async def get_composite(self, payload: Payload) -> Reply:
        """Answer what the station, or a transaction on a connector, may take from now on."""
        connector_id, duration_s = int(payload["connectorId"]), int(payload["duration"])
        rated_w = self._ratings().get(connector_id)
        if rated_w is None or duration_s < 0:
            return Reply({"status": "Rejected"})
        self.on_view(self._station.view())
        duration_s = min(duration_s, COMPOSITE_S_MAX)
        wall = self._clock.wall()
        start = wall - wall % NS_PER_S
        scope = self._scope(connector_id, wall)
        if not scope.session_id:
            scope = replace(scope, tx_start=start)
        profiles = self.profiles()
        relevant = composite.relevant(profiles, scope)
        only_amperes = bool(relevant) and all(profile.unit is Unit.A for profile in relevant)
        unit = Unit(payload.get("chargingRateUnit", "A" if only_amperes else "W"))
        ac = self._ac(connector_id)
        steps: list[Step] = []
        for step in composite.walk(profiles, scope, start, start + duration_s * NS_PER_S, rated_w):
            if len(steps) >= COMPOSITE_STEPS_MAX:
                duration_s = (step.at - start) // NS_PER_S
                break
            steps.append(step if ac is None else on_lines(step, relevant, scope, ac, rated_w, unit))
            if len(steps) % STEPS_AT_ONCE == 0:
                await asyncio.sleep(0)
        return Reply({
            "status": "Accepted", "connectorId": connector_id, "scheduleStart": timestamp(start),
            "chargingSchedule": _schedule(steps, start, duration_s, unit, composite.PHASES if ac is None else ac.phases),
        })


def _same(old: ChargingProfile, new: ChargingProfile) -> bool:
    """Tell whether ``new`` says what ``old`` says; the time of its arrival counts only if it has no start of its own."""
    return old.start is not None and replace(old, set_at=new.set_at) == new


def _meets(profile: ChargingProfile, criteria: Payload) -> bool:
    return bool(
        criteria.get("id", profile.profile_id) == profile.profile_id
        and criteria.get("connectorId", profile.evse_id) == profile.evse_id
        and criteria.get("chargingProfilePurpose", profile.purpose.value) == profile.purpose.value
        and criteria.get("stackLevel", profile.stack_level) == profile.stack_level
    )


def _schedule(steps: list[Step], start: WallNs, duration_s: int, unit: Unit, phases: int) -> Payload:
    periods: list[Payload] = []
    for offset_s, power_w in composite.whole_seconds(steps, start):
        limit = composite.deci(unit, power_w) / 10
        if offset_s and offset_s >= duration_s:
            break
        if periods and periods[-1]["limit"] == limit:
            continue
        periods.append({"startPeriod": offset_s, "limit": limit})
        if unit is Unit.A:
            periods[-1]["numberPhases"] = phases
    schedule: Payload = {
        "duration": duration_s, "startSchedule": timestamp(start), "chargingRateUnit": unit.value,
        "chargingSchedulePeriod": periods,
    }
    least_w = max(step.min_rate_w for step in steps)
    if least_w:
        schedule["minChargingRate"] = composite.deci(unit, least_w) / 10
    return schedule


__all__ = ["Charging", "Refused", "parse_profile"]
