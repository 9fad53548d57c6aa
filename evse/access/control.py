"""Who is calling, and what raises a role: peer credentials, PIN, one-time code, bearer token."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import msgspec

from evse.access.pin import PinGuard, check_rules
from evse.access.ports import AccessError, Denial
from evse.access.roles import Role, RolePolicy
from evse.access.tokens import Issued, Tokens
from evse.access.totp import Enrolment, Totp
from evse.domain.clock import Clock
from evse.units import NS_PER_S, WallNs

RAISED_ROLE = Role.OPERATOR
"""Role that the service PIN gives. Manufacturer comes from the Unix group only."""


class Identity(msgspec.Struct, frozen=True, kw_only=True):
    """A caller as far as it is known. ``base`` = role without a token, ``role`` = role in force."""

    role: Role
    base: Role
    user: str
    uid: int | None


class AccessControl:
    """One per station. ``token_minutes`` answers how long a raised role lasts, as configured now."""

    def __init__(
        self,
        *,
        policy: RolePolicy,
        pin: PinGuard,
        tokens: Tokens,
        clock: Clock,
        token_minutes: Callable[[], int],
        totp: Totp | None = None,
    ) -> None:
        self._policy = policy
        self._pin = pin
        self._tokens = tokens
        self._clock = clock
        self._token_minutes = token_minutes
        self._totp = totp
        self._enrolling = asyncio.Lock()

    def identify(self, uid: int | None, gid: int, token: str = "") -> Identity:
        """Return who calls; ``uid`` None = the kernel did not say. Raises EXPIRED for a token that is not valid."""
        base = self._policy.role(uid, gid)
        user = "" if uid is None else self._policy.accounts.name(uid)
        if not token:
            return Identity(role=base, base=base, user=user, uid=uid)
        raised = self._tokens.role(token, uid)
        if raised is None:
            raise AccessError(Denial.EXPIRED, "the sign-in has ended", "sign in again: evsectl auth signin")
        return Identity(role=max(base, raised), base=base, user=user, uid=uid)

    async def sign_in(self, uid: int | None, pin: str, code: str = "") -> Issued:
        """Return a token for the right PIN (and code, when one-time codes are enrolled). Raises `AccessError`."""
        await self._verify(pin, code)
        return self._tokens.issue(RAISED_ROLE, uid, self._token_minutes() * 60 * NS_PER_S)

    def sign_out(self, token: str) -> bool:
        """End a raised role; False when there was none."""
        return bool(token) and self._tokens.end(token)

    async def set_pin(self, uid: int | None, old: str, new: str, code: str = "") -> None:
        """Set the first PIN (root or the daemon's user only) or change it (the old PIN, and the code when enrolled).

        Root and the daemon's user may replace a forgotten PIN with ``old`` empty, and need no code. All raised roles
        end. Raises `AccessError`: BAD_PIN, NOT_OWNER, CODE_NEEDED, WRONG, LOCKED.
        """
        check_rules(new)
        owner = self._policy.is_owner(uid)
        if not owner and not await self._pin.is_set():
            raise AccessError(
                Denial.NOT_OWNER,
                "the first PIN can only be set on the device by root or the daemon's own user",
                "on the station: sudo evsectl auth set-pin",
            )
        if not owner:
            await self._verify(old, code)  # with the PIN alone, wrong codes could be forgotten without a lockout
        elif old:
            await self._pin.verify(old)
        await self._pin.set(new)
        self._tokens.end_all()

    async def pin_set(self) -> bool:
        """Tell whether there is a PIN."""
        return await self._pin.is_set()

    async def locked_until(self) -> WallNs | None:
        """Return the end of a lockout, None when PIN tries are possible."""
        left = await self._pin.locked_ns()
        return self._clock.wall() + left if left else None

    # -- one-time codes -------------------------------------------------------------------------------------------

    async def totp_enrolled(self) -> bool:
        """Tell whether a sign-in needs a one-time code."""
        return self._totp is not None and await self._totp.enrolled()

    async def totp_begin(self, uid: int | None) -> Enrolment:
        """Return a new secret to be confirmed by the same ``uid``. Raises `AccessError`: NO_PIN, ENROLLED."""
        if not await self._pin.is_set():
            raise AccessError(
                Denial.NO_PIN,
                "one-time codes stand beside the service PIN, and none is set",
                "set it as root: evsectl auth set-pin",
            )
        return await self._codes().begin(uid)

    async def totp_confirm(self, uid: int | None, code: str, keep_token: str = "") -> None:
        """Enrol with the first code. All raised roles end except that of ``keep_token``. Raises as `Totp.confirm`."""
        async with self._enrolling:
            await self._codes().confirm(uid, code)
        self._tokens.end_all(keep_token)

    async def totp_disable(self, uid: int | None, pin: str = "", code: str = "") -> bool:
        """Ask for no codes any more; tell whether they were asked for.

        Needs PIN and code, except from root and the daemon's user, who may leave both empty: the way back when the
        telephone is lost. Raises `AccessError`: NOT_OWNER, CODE_NEEDED, WRONG, LOCKED.
        """
        totp = self._codes()
        if not (self._policy.is_owner(uid) and not pin and not code):
            if not pin and not code:
                raise AccessError(
                    Denial.NOT_OWNER,
                    "without PIN and code, one-time codes are turned off by root or the daemon's own user only",
                    "on the station: sudo evsectl auth totp disable --recover",
                )
            if not await totp.enrolled():
                return False
            await self._verify(pin, code)
        async with self._enrolling:
            return await totp.disable()

    async def _verify(self, pin: str, code: str) -> None:
        """Return when the PIN fits and, once enrolled, the code too. One lockout counts both."""
        totp = self._totp
        if totp is None or not await totp.enrolled():
            await self._pin.verify(pin)
            return
        if not code:
            raise AccessError(
                Denial.CODE_NEEDED,
                "a one-time code is needed beside the PIN",
                "give the six digits that the authenticator app shows now (field totp)",
            )
        await self._pin.verify(pin, lambda: totp.verify(code))

    def _codes(self) -> Totp:
        if self._totp is None:
            raise AccessError(Denial.NOT_BEGUN, "this station keeps no one-time codes", "use the service PIN")
        return self._totp
