"""One-time codes (RFC 6238: SHA-1, 6 digits, 30 s) beside the PIN. Each code works once, over restarts too."""

from __future__ import annotations

import hmac
from typing import Final

import pyotp

from evse.access.ports import NAMESPACE, SettingsPort
from evse.domain.clock import Clock
from evse.units import NS_PER_S

STEP_S: Final = 30
WINDOW: Final = 1
"""Steps before and after the present one that are accepted: clocks may differ by 30 s."""

_LAST: Final = "totp.last_step"


class Totp:
    """Verifies codes of one secret (base32). ``secret`` "" = not enrolled. The last used step is durable."""

    def __init__(self, secret: str, settings: SettingsPort, clock: Clock) -> None:
        self._secret = secret
        self._settings = settings
        self._clock = clock

    @property
    def enrolled(self) -> bool:
        """Tell whether codes are asked for."""
        return bool(self._secret)

    async def verify(self, code: str) -> bool:
        """Return True once for a code of the present step or a neighbour that is newer than the last one used.

        The caller serialises calls (`evse.access.pin.PinGuard.verify` does).
        """
        if not (self._secret and code.isascii() and code.isdigit()):
            return False
        text = await self._settings.get(NAMESPACE, _LAST)
        last = int(text) if text is not None and text.isdigit() else -1
        now = self._clock.wall() // (STEP_S * NS_PER_S)
        generator = pyotp.TOTP(self._secret, interval=STEP_S)
        for step in range(max(0, now - WINDOW, last + 1), now + WINDOW + 1):
            if hmac.compare_digest(generator.generate_otp(step), code):
                await self._settings.put(NAMESPACE, _LAST, str(step))
                return True
        return False
