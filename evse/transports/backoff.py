"""Waiting between attempts: doubling with jitter, for ever.

Every driver redials with it. The jitter keeps many drivers that lost the same hub from coming back in one burst.
"""

from __future__ import annotations

import asyncio
import random


class Backoff:
    """Delays of ``base_ms`` doubled up to ``max_ms``; each delay is drawn from its upper half (50..100 %).

    ``rng`` is injected, so that a run can be repeated. Not thread-safe; one instance per link.
    """

    __slots__ = ("_rng", "attempts", "base_ms", "max_ms")

    def __init__(self, rng: random.Random, base_ms: int = 250, max_ms: int = 10_000) -> None:
        if not 0 < base_ms <= max_ms:
            raise ValueError(f"back-off: base_ms {base_ms} must be 1..max_ms ({max_ms})")
        self._rng = rng
        self.base_ms = base_ms
        self.max_ms = max_ms
        self.attempts = 0  # since the last `reset`

    def next_ms(self) -> int:
        """Return the delay in ms before the next attempt and count the attempt."""
        # The exponent is capped: 2**20 is beyond every max_ms, and a link may be down for years.
        ceiling = min(self.max_ms, self.base_ms << min(self.attempts, 20))
        self.attempts += 1
        return self._rng.randint((ceiling + 1) // 2, ceiling)

    def reset(self) -> None:
        """Begin again at ``base_ms``; call it when the link has proved that it works, not when it merely opened."""
        self.attempts = 0

    async def sleep(self) -> None:
        """Wait for `next_ms`."""
        await asyncio.sleep(self.next_ms() / 1000)
