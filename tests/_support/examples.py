"""How many random examples a law is tried on: a part of them in `make test`, all of them in `make test-day`."""

from __future__ import annotations

import os

PART = 4
"""`make test` tries one example in so many."""


def examples(full: int) -> int:
    """Return ``full`` when EVSE_EXAMPLES=full, else a part of it, at least 25 (or ``full``)."""
    return full if os.environ.get("EVSE_EXAMPLES") == "full" else max(full // PART, min(full, 25))
