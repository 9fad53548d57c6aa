"""The four ``auth.*`` operations of `evse.api.service.StationService` on `evse.access.control.AccessControl`."""

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
        await self._access.set_pin(caller.uid, request.old, request.new)
        return m.Done(detail="all raised roles have ended")

    async def auth_whoami(self, request: Empty, caller: Caller) -> m.WhoAmI:
        """Role of the caller."""
        return m.WhoAmI(
            role=caller.role.name.lower(),
            user=caller.user,
            uid=caller.uid,
            pin_set=await self._access.pin_set(),
            locked_until=await self._access.locked_until(),
        )
