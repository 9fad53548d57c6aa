"""Who is calling, and what raises a role: peer credentials, PIN, one-time code, bearer token."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from evse.access.pin import PinGuard, check_rules
from evse.access.ports import AccessError, Denial
from evse.access.roles import Role, RolePolicy
from evse.access.tokens import Issued, Tokens
from evse.access.totp import Totp
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
        totp = self._totp
        if totp is not None and totp.enrolled:
            await self._pin.verify(pin, lambda: totp.verify(code))
        else:
            await self._pin.verify(pin)
        return self._tokens.issue(RAISED_ROLE, uid, self._token_minutes() * 60 * NS_PER_S)

    def sign_out(self, token: str) -> bool:
        """End a raised role; False when there was none."""
        return bool(token) and self._tokens.end(token)

    async def set_pin(self, uid: int | None, old: str, new: str) -> None:
        """Set the first PIN (root or the daemon's user only) or change it (the old PIN is needed).

        Root and the daemon's user may replace a forgotten PIN with ``old`` empty. All raised roles end.
        Raises `AccessError`: BAD_PIN, NOT_OWNER, WRONG, LOCKED.
        """
        check_rules(new)
        owner = self._policy.is_owner(uid)
        if not owner and not await self._pin.is_set():
            raise AccessError(
                Denial.NOT_OWNER,
                "the first PIN can only be set on the device by root or the daemon's own user",
                "on the station: sudo evsectl auth set-pin",
            )
        if old or not owner:
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
