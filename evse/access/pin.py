"""The service PIN: argon2id hash, and a lockout that grows with wrong tries and survives restarts.

A try is counted on the medium before the PIN is compared, so neither a kill nor a power cut gives tries away. The end
of a lockout is kept as UTC, and limited to the length of the step when it is read: a clock that was set back (or never
set) can lengthen a lockout up to its own length, never beyond.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

import msgspec
from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from evse.access.ports import NAMESPACE, AccessError, Denial, Runner, SettingsPort
from evse.domain.clock import Clock
from evse.units import NS_PER_S, DurationNs, Instant, WallNs

PIN_DIGITS_MIN: Final = 4
PIN_DIGITS_MAX: Final = 12
FREE_TRIES: Final = 2
"""Wrong tries without a lockout; the next one locks."""
LOCK_FIRST_S: Final = 30
LOCK_MAX_S: Final = 3600
WAITING_MAX: Final = 4
"""Tries that may wait for the one being checked; more are refused at once."""

MEMORY_KIB: Final = 19 * 1024
TIME_COST: Final = 2
PARALLELISM: Final = 1

_HASH: Final = "pin.hash"
_TRIES: Final = "pin.tries"


class _Tries(msgspec.Struct, frozen=True):
    """What survives a restart."""

    wrong: int = 0
    locked_until: WallNs = 0


def lock_for(wrong: int) -> DurationNs:
    """Return how long ``wrong`` tries in a row lock: 0 for two, 30 s for three, doubling up to one hour."""
    steps = wrong - FREE_TRIES - 1
    if steps < 0:
        return 0
    return min(LOCK_MAX_S, LOCK_FIRST_S << min(steps, 20)) * NS_PER_S


def check_rules(pin: str) -> None:
    """Raise `AccessError` BAD_PIN unless ``pin`` is 4 to 12 digits."""
    if not (pin.isascii() and pin.isdigit() and PIN_DIGITS_MIN <= len(pin) <= PIN_DIGITS_MAX):
        raise AccessError(
            Denial.BAD_PIN,
            f"a PIN has {PIN_DIGITS_MIN} to {PIN_DIGITS_MAX} digits and nothing else",
            "choose another PIN",
        )


class PinGuard:
    """Checks and changes the PIN. One check at a time. ``settings`` holds hash and tries, ``runner`` hashes."""

    def __init__(self, settings: SettingsPort, runner: Runner, clock: Clock) -> None:
        self._settings = settings
        self._runner = runner
        self._clock = clock
        self._lock = asyncio.Lock()
        self._loading = asyncio.Lock()
        self._waiting = 0
        self._loaded = False
        self._hash = ""
        self._wrong = 0
        self._locked_until: Instant | None = None

    async def load(self) -> None:
        """Read the state once; called by every method, so nobody has to."""
        async with self._loading:
            if self._loaded:
                return
            self._hash = await self._settings.get(NAMESPACE, _HASH) or ""
            text = await self._settings.get(NAMESPACE, _TRIES)
            tries = _Tries() if text is None else _decode(text)
            self._wrong = tries.wrong
            left = min(max(0, tries.locked_until - self._clock.wall()), lock_for(tries.wrong))
            self._locked_until = self._clock.now() + left if left else None
            self._loaded = True

    async def is_set(self) -> bool:
        """Tell whether there is a PIN."""
        await self.load()
        return bool(self._hash)

    async def locked_ns(self) -> DurationNs:
        """Return how long tries are refused from now; 0 = not locked."""
        await self.load()
        if self._locked_until is None:
            return 0
        return max(0, self._locked_until - self._clock.now())

    async def verify(self, pin: str, also: Callable[[], Awaitable[bool]] | None = None) -> None:
        """Return when ``pin`` fits and ``also`` (a second factor, asked only then) agrees; otherwise raise.

        Raises `AccessError`: NO_PIN, LOCKED (nothing was compared) or WRONG.
        """
        if self._waiting >= WAITING_MAX:
            raise AccessError(Denial.LOCKED, "other PIN tries are being checked", "wait a moment and try again")
        self._waiting += 1
        try:
            async with self._lock:
                await self._verify(pin, also)
        finally:
            self._waiting -= 1

    async def set(self, pin: str) -> None:
        """Store a new PIN and forget wrong tries. Who may do so is the caller's decision. Raises BAD_PIN."""
        check_rules(pin)
        async with self._lock:
            await self.load()
            await self._store(await self._runner.run(lambda: _hasher().hash(pin)))
            await self._remember(0)

    async def _verify(self, pin: str, also: Callable[[], Awaitable[bool]] | None) -> None:
        if not await self.is_set():
            raise AccessError(Denial.NO_PIN, "no service PIN is set", "set the first one as root: evsectl auth set-pin")
        locked = await self.locked_ns()
        if locked:
            raise _locked(locked)
        before = self._wrong
        await self._remember(before + 1)
        stored = self._hash
        fits = await self._runner.run(lambda: _fits(stored, pin))
        if fits and also is not None:
            fits = await also()
        if fits:
            await self._remember(0)
            if _hasher().check_needs_rehash(stored):
                await self._store(await self._runner.run(lambda: _hasher().hash(pin)))
            return
        left = FREE_TRIES - before
        if left > 0:
            hint = f"check it and try again; {left} more wrong {'try' if left == 1 else 'tries'} before a lockout"
        else:
            hint = f"the next try is possible in {lock_for(before + 1) // NS_PER_S} s"
        raise AccessError(Denial.WRONG, "the PIN (or code) is wrong", hint)

    async def _store(self, hashed: str) -> None:
        await self._settings.put(NAMESPACE, _HASH, hashed)
        self._hash = hashed

    async def _remember(self, wrong: int) -> None:
        """Make ``wrong`` durable, and the lockout that belongs to it."""
        lock = lock_for(wrong)
        tries = _Tries(wrong, self._clock.wall() + lock if lock else 0)
        await self._settings.put(NAMESPACE, _TRIES, msgspec.json.encode(tries).decode())
        self._wrong = wrong
        self._locked_until = self._clock.now() + lock if lock else None


def _decode(text: str) -> _Tries:
    """Read stored tries; after a damaged row the next wrong try locks."""
    try:
        return msgspec.json.decode(text, type=_Tries)
    except msgspec.DecodeError:
        return _Tries(FREE_TRIES)


def _locked(left: DurationNs) -> AccessError:
    seconds = -(-left // NS_PER_S)
    return AccessError(Denial.LOCKED, f"too many wrong PINs: locked for {seconds} s", f"try again in {seconds} s")


def _hasher() -> PasswordHasher:
    return PasswordHasher(time_cost=TIME_COST, memory_cost=MEMORY_KIB, parallelism=PARALLELISM)


def _fits(hashed: str, pin: str) -> bool:
    try:
        return _hasher().verify(hashed, pin)
    except (VerificationError, InvalidHashError):
        return False
