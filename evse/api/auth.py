"""The ``auth.*`` operations of `evse.api.service.StationService` on `evse.access.control.AccessControl`."""

from __future__ import annotations

from evse.access.control import AccessControl
from evse.api import models as m
from evse.api.operations import Empty
from evse.api.service import Caller


class AuthOperations:
    """Mix-in for the service. `evse.access.ports.AccessError` passes through: the dispatcher maps it."""

    _access: AccessControl

    async def auth_signin(self, request: m.SignIn, caller: Caller) -> m.Token:
        """Raise the role with the service PIN."""
        issued = await self._access.sign_in(caller.uid, request.pin, request.totp)
        caller.note.new = f"role={issued.role.name.lower()}"
        return m.Token(token=issued.token, role=issued.role.name.lower(), expires_at=issued.expires_at)

    async def auth_signout(self, request: Empty, caller: Caller) -> m.Done:
        """End the raised role."""
        return m.Done(changed=self._access.sign_out(caller.token))

    async def auth_set_pin(self, request: m.SetPin, caller: Caller) -> m.Done:
        """Set or change the service PIN."""
        await self._access.set_pin(caller.uid, request.old, request.new, request.totp)
        return m.Done(detail="all raised roles have ended")

    async def auth_totp_begin(self, request: Empty, caller: Caller) -> m.TotpEnrolment:
        """Make a secret for one-time codes. It leaves the daemon here and never again."""
        new = await self._access.totp_begin(caller.uid)
        return m.TotpEnrolment(uri=new.uri, secret=new.secret, expires_at=new.expires_at)

    async def auth_totp_confirm(self, request: m.TotpConfirm, caller: Caller) -> m.Done:
        """Ask for one-time codes from now on."""
        await self._access.totp_confirm(caller.uid, request.totp, caller.token)
        caller.note.old, caller.note.new = "codes=off", "codes=on"
        return m.Done(detail="every sign-in needs a code now; all other raised roles have ended")

    async def auth_totp_disable(self, request: m.TotpDisable, caller: Caller) -> m.Done:
        """Ask for one-time codes no more."""
        recovery = not request.pin and not request.totp
        changed = await self._access.totp_disable(caller.uid, request.pin, request.totp)
        caller.note.old = f"codes={'on' if changed else 'off'}"
        caller.note.new = "codes=off, recovered without PIN and code" if recovery else "codes=off"
        return m.Done(changed=changed, detail="" if changed else "one-time codes were off already")

    async def auth_whoami(self, request: Empty, caller: Caller) -> m.WhoAmI:
        """Role of the caller."""
        return m.WhoAmI(
            role=caller.role.name.lower(),
            user=caller.user,
            uid=caller.uid,
            pin_set=await self._access.pin_set(),
            locked_until=await self._access.locked_until(),
            totp_enrolled=await self._access.totp_enrolled(),
        )
