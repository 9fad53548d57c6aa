"""One-time codes (RFC 6238: SHA-1, 6 digits, 30 s) beside the PIN. Each code works once, over restarts too.

The secret is in the vault, whether codes are asked for is a setting of its own: when the secret is lost or cannot be
read, no code fits and nobody gets in with the PIN alone. Root turns codes off on the device.
"""

from __future__ import annotations

import base64
import hmac
import logging
import secrets
from collections.abc import Callable
from typing import Final

import msgspec
import pyotp

from evse.access.ports import NAMESPACE, AccessError, Denial, SecretsError, SettingsPort
from evse.access.vault import Vault
from evse.domain.clock import Clock
from evse.units import NS_PER_S, Instant, WallNs

STEP_S: Final = 30
WINDOW: Final = 1
"""Steps before and after the present one that are accepted: clocks may differ by 30 s."""
SECRET_BYTES: Final = 20
"""RFC 4226 section 4, R6 recommends 160 bits."""
BEGUN_S: Final = 600
"""A secret that was shown must be confirmed within this time."""
CONFIRM_TRIES: Final = 5
"""Wrong codes after which a begun enrolment is forgotten."""
ISSUER: Final = "EVSE"

log = logging.getLogger("evse.access")

_LAST: Final = "totp.last_step"
_ENROLLED: Final = "totp.enrolled"
_SECRET: Final = "totp.secret"


class Enrolment(msgspec.Struct, frozen=True, kw_only=True):
    """A new secret for an authenticator app; shown once. ``uri`` = otpauth://, ``secret`` = base32."""

    uri: str
    secret: str
    expires_at: WallNs


class _Begun(msgspec.Struct, frozen=True):
    secret: str
    uid: int | None
    until: Instant
    wrong: int = 0


class Totp:
    """The one-time codes of a station. ``label`` answers the name that the authenticator app shows."""

    def __init__(self, vault: Vault, settings: SettingsPort, clock: Clock, label: Callable[[], str]) -> None:
        self._vault = vault
        self._settings = settings
        self._clock = clock
        self._label = label
        self._begun: _Begun | None = None

    async def enrolled(self) -> bool:
        """Tell whether codes are asked for."""
        return await self._settings.get(NAMESPACE, _ENROLLED) == "1"

    async def verify(self, code: str) -> bool:
        """Return True once for a code of the present step or a neighbour that is newer than the last one used.

        The caller serialises calls (`evse.access.pin.PinGuard.verify` does). Raises
        `evse.access.ports.SecretsError` when the secret cannot be read.
        """
        if not _shape(code):
            return False
        secret = await self._vault.read(_SECRET)
        if not secret:
            return False
        text = await self._settings.get(NAMESPACE, _LAST)
        last = int(text) if text is not None and text.isdigit() else -1
        step = self._step(secret, code, last)
        if step is None:
            return False
        await self._settings.put(NAMESPACE, _LAST, str(step))
        return True

    async def begin(self, uid: int | None) -> Enrolment:
        """Make a secret for ``uid``; nothing changes before `confirm`. Raises `AccessError` ENROLLED."""
        await self._not_enrolled()
        secret = base64.b32encode(secrets.token_bytes(SECRET_BYTES)).decode("ascii")
        self._begun = _Begun(secret, uid, self._clock.now() + BEGUN_S * NS_PER_S)
        uri = pyotp.TOTP(secret, interval=STEP_S).provisioning_uri(name=self._label(), issuer_name=ISSUER)
        return Enrolment(uri=uri, secret=secret, expires_at=self._clock.wall() + BEGUN_S * NS_PER_S)

    async def confirm(self, uid: int | None, code: str) -> None:
        """Enrol the begun secret with its first code, which is used up by this.

        Raises `AccessError`: ENROLLED, NOT_BEGUN (nothing begun by this user, or too late), WRONG; and
        `evse.access.ports.SecretsError`, after which nothing has changed.
        """
        await self._not_enrolled()
        begun = self._begun
        if begun is None or begun.uid != uid or begun.until <= self._clock.now():
            raise AccessError(
                Denial.NOT_BEGUN,
                "no new secret waits for its first code",
                f"start again: evsectl auth totp enable; there are {BEGUN_S // 60} minutes to confirm",
            )
        step = self._step(begun.secret, code, -1)
        if step is None:
            wrong = begun.wrong + 1
            self._begun = msgspec.structs.replace(begun, wrong=wrong) if wrong < CONFIRM_TRIES else None
            left = CONFIRM_TRIES - wrong
            hint = f"{left} more {'try' if left == 1 else 'tries'}" if left else "start again: evsectl auth totp enable"
            raise AccessError(
                Denial.WRONG,
                "the code does not fit the new secret",
                f"compare the time of the telephone with that of the station (evsectl doctor); {hint}",
            )
        self._begun = None
        await self._vault.write(_SECRET, begun.secret)
        await self._settings.put(NAMESPACE, _LAST, str(step))
        await self._settings.put(NAMESPACE, _ENROLLED, "1")

    async def disable(self) -> bool:
        """Ask for no codes any more; tell whether they were asked for. Who may do so is the caller's decision.

        A secret that cannot be removed is only reported: nothing asks for its codes any more.
        """
        self._begun = None
        before = await self.enrolled()
        await self._settings.put(NAMESPACE, _ENROLLED, None)
        try:
            await self._vault.remove(_SECRET)
        except SecretsError as error:
            log.warning("one-time codes are off, but their secret stays in the vault: %s", error)
        return before

    async def _not_enrolled(self) -> None:
        if await self.enrolled():
            raise AccessError(
                Denial.ENROLLED, "one-time codes are enrolled already", "turn them off first: evsectl auth totp disable"
            )

    def _step(self, secret: str, code: str, last: int) -> int | None:
        """The step behind ``last`` that ``code`` belongs to, None when there is none near the present one."""
        if not _shape(code):
            return None
        now = self._clock.wall() // (STEP_S * NS_PER_S)
        generator = pyotp.TOTP(secret, interval=STEP_S)
        for step in range(max(0, now - WINDOW, last + 1), now + WINDOW + 1):
            if hmac.compare_digest(generator.generate_otp(step), code):
                return step
        return None


def _shape(code: str) -> bool:
    return code.isascii() and code.isdigit()
