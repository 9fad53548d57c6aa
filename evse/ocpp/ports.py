"""What the OCPP client needs from the rest of the station. `evse.runtime` passes the real things in."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Protocol

import msgspec

from evse.domain.late_time import Fix, Marks
from evse.domain.limits import PowerLimit
from evse.domain.readings import MeterValues
from evse.domain.records import CachedToken, OutboxRow, PointRecord, TxReading
from evse.domain.station import StationSpec
from evse.domain.view import StationView
from evse.transports.base import DIRECT, DialOptions
from evse.units import WallNs


class Identity(msgspec.Struct, frozen=True, kw_only=True):
    """Who the station says it is in BootNotification. ``charge_point_id`` is the last part of the URL."""

    charge_point_id: str
    vendor: str = "Example"
    model: str = "DC station"
    serial: str = ""
    firmware: str = ""


class AuthResult(msgspec.Struct, frozen=True, kw_only=True):
    """Answer to "may this token charge?". ``reason`` says why not, or where the yes comes from.

    ``decided`` False = nobody who knows the token could be asked; ``accepted`` is what the offline rules say then.
    """

    accepted: bool
    parent: str = ""
    reason: str = ""
    decided: bool = True


class StationKeys(msgspec.Struct, frozen=True, kw_only=True):
    """What configuration keys say about the station itself. None = as its configuration says."""

    connection_timeout_s: int
    light_pct: int
    needs_time: bool  # no transaction before the calendar is set
    unlock_on_ev_disconnect: bool | None = None
    same_token_stops: bool | None = None
    free: bool | None = None
    free_token: str | None = None
    blink_repeat: int = 0  # how often a lamp answers a card, 0 = as its profile shows it


Judge = Callable[[str, int], Awaitable[AuthResult]]
"""(token, EVSE or 0) to whether it may charge."""


SecurityNote = Callable[[str, str], None]
"""(kind of the security whitepaper, technical detail) of a security event; returns at once."""

def _nobody(kind: str, tech_info: str) -> None:
    """Nobody listens."""


NO_SECURITY: SecurityNote = _nobody

ACTIVE = "active"
"""Name of the target that has been accepted before; any other is tried out."""


class Vault(Protocol):
    """Keeps secrets sealed (`evse.access.vault.KeyringVault`). Every call may raise `DeviceError`, which never holds a secret."""

    async def read(self, name: str) -> str | None:
        """Return a secret, None when there is none."""
        ...

    async def write(self, name: str, value: str) -> None:
        """Store a secret; it is on the medium when this returns."""
        ...

    async def remove(self, name: str) -> None:
        """Forget a secret; nothing happens when there is none."""
        ...


class DialTarget(msgspec.Struct, frozen=True, kw_only=True):
    """Where and how the next connection is made. ``name`` says which of several it is ("active", "staged", "keyed": active with the staged key)."""

    url: str
    headers: Mapping[str, str] = {}
    options: DialOptions = DIRECT
    name: str = ACTIVE


class Dialler(Protocol):
    """Chooses the target of each connection, and is told how it ended."""

    async def target(self) -> DialTarget:
        """Return the next target; `DeviceError` says what is missing and what to do."""
        ...

    async def registered(self, target: DialTarget) -> None:
        """A BootNotification, or after a reconnect a Heartbeat, was accepted over a connection to ``target``.

        Raises `DeviceError` when that could not be stored, or ``target`` is not wanted any more.
        """
        ...

    async def failed(self, target: DialTarget, error: str) -> None:
        """No connection to ``target``, or it ended before it was registered."""
        ...


class StationPort(Protocol):
    """The station as the CSMS may see and touch it. Requests may be refused; only `unlock` waits for what comes of it."""

    def spec(self) -> StationSpec:
        """What the station is made of."""
        ...

    def view(self) -> StationView:
        """The station as seen now."""
        ...

    def meter(self, evse_id: int) -> MeterValues | None:
        """Latest meter values (0 = site); None without a fresh reading."""
        ...

    async def remote_start(self, evse_id: int | None, id_token: str, parent: str = "") -> bool:
        """Authorise an EVSE (None = any that is plugged and free); ``parent`` = group of the token; False = refused."""
        ...

    async def reserve(self, evse_id: int, id_token: str, parent: str, until: WallNs) -> bool:
        """Keep an EVSE free for a token (or its group ``parent``) until UTC ns ``until``; False = refused."""
        ...

    async def cancel_reservation(self, evse_id: int) -> bool:
        """End the reservation of an EVSE."""
        ...

    async def remote_stop(self, evse_id: int) -> bool:
        """End the transaction of an EVSE; False = refused."""
        ...

    async def set_availability(self, evse_id: int, operative: bool) -> str:
        """Change availability (0 = station): "Accepted", "Scheduled" or "Rejected"."""
        ...

    async def unlock(self, evse_id: int) -> str:
        """Unlock the connector: "Unlocked", "UnlockFailed", or "NotSupported" where there is no lock to open."""
        ...

    async def reset(self, hard: bool) -> bool:
        """End transactions and restart; called after the answer is on its way."""
        ...

    def transaction_numbered(
        self, evse_id: int, session_id: str, transaction_id: int, accepted: bool, parent: str = ""
    ) -> None:
        """The CSMS gave a transaction its number; ``accepted`` False = the token may not charge; ``parent`` = its group."""
        ...

    def ratings(self) -> Mapping[int, int]:
        """Most power without any charging profile, W: 0 = station (AC side), n = EVSE (DC side)."""
        ...

    def set_limits(self, limits: Sequence[PowerLimit]) -> None:
        """Put the limits of all charging profiles in force from the next tick on; replaces those before."""
        ...


class StorePort(Protocol):
    """What must be durable. Each call has committed when it returns; `DeviceError` means that it has not."""

    async def get_all(self, namespace: str) -> dict[str, str]:
        """All settings of a namespace."""
        ...

    async def put(self, namespace: str, key: str, value: str | None) -> None:
        """Set one; None removes it."""
        ...

    async def put_many(self, namespace: str, values: Mapping[str, str | None]) -> None:
        """Set several in one commit; None removes."""
        ...

    async def cache_put(self, token: CachedToken) -> None:
        """Remember what the CSMS said about a token."""
        ...

    async def cache_get(self, id_token: str) -> CachedToken | None:
        """What it said last."""
        ...

    async def cache_clear(self) -> int:
        """Forget all; return how many."""
        ...

    async def local_list_state(self) -> tuple[int, int]:
        """(version, number of entries) of the local authorisation list."""
        ...

    async def local_list_get(self, id_token: str) -> CachedToken | None:
        """One entry of it."""
        ...

    async def local_list_apply(
        self, version: int, *, full: bool, put: Sequence[CachedToken], remove: Sequence[str], most: int
    ) -> bool:
        """Apply an update whole; False = more than ``most`` entries, nothing changed."""
        ...

    async def outbox_append(
        self, row: OutboxRow, point: PointRecord | None = None, reading: TxReading | None = None,
        drop: tuple[tuple[str, int], ...] = (),
    ) -> bool:
        """Queue a message of a transaction, with what it tells of the meter; False = its session is stopped or unknown."""
        ...

    async def tx_reading_add(self, reading: TxReading, drop: tuple[tuple[str, int], ...] = ()) -> None:
        """Keep a reading for StopTransaction, in place of those at (context, wall) in ``drop``."""
        ...

    async def tx_readings(self) -> list[TxReading]:
        """What is kept for open transactions."""
        ...

    async def time_marks(self) -> Marks:
        """The newest records now."""
        ...

    async def times_missing(self, valid_from: WallNs) -> bool:
        """Tell whether a session was recorded before ``valid_from``."""
        ...

    async def correct_times(self, fix: Fix) -> int:
        """Put everything right that was recorded before the time was known; return how many messages changed."""
        ...

    async def outbox_head(self, backend: str = "") -> OutboxRow | None:
        """The next message to deliver to ``backend``."""
        ...

    async def outbox_rows(self, limit: int = 100, after: int = 0) -> list[OutboxRow]:
        """The first messages behind the row ``after`` in order, parked ones and those for others included."""
        ...

    async def outbox_adopt(self, backend: str) -> int:
        """Give what is for nobody in particular to ``backend``; return how many are for another one."""
        ...

    async def outbox_foreign(self, backend: str) -> int:
        """How many messages are for another back end."""
        ...

    async def outbox_move(self, backend: str) -> tuple[int, int]:
        """Give the messages of other back ends to ``backend``; return (moved, parked)."""
        ...

    async def outbox_discard(self, backend: str, expected: int) -> int | None:
        """Remove the messages of other back ends if there are ``expected`` of them; None = another number."""
        ...

    async def outbox_counts(self, backend: str = "") -> tuple[int, int]:
        """(waiting, parked) for ``backend``, "" = for anybody."""
        ...

    async def outbox_done(self, row_id: int) -> None:
        """Answered: remove."""
        ...

    async def outbox_started(self, row_id: int, session_id: str, transaction_id: int) -> None:
        """StartTransaction answered: number everything of the session, remove the row."""
        ...

    async def outbox_attempted(self, row_id: int, attempts: int) -> None:
        """Record a refusal."""
        ...

    async def outbox_park(self, row_id: int, reason: str) -> None:
        """Give up for now, and all that comes after it in its session."""
        ...

    async def outbox_set_aside(self, row_id: int, reason: str) -> None:
        """Keep it; its session goes on without it, and it is never sent any more."""
        ...

    async def outbox_unpark(self, row_id: int | None = None, *, below: int | None = None) -> int:
        """Let all parked ones wait again, those of the session of one, or of sessions refused less often than ``below``."""
        ...
