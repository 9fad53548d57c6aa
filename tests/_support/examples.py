"""How many random examples a law is tried on, and how long a random day is: a part of them in `make test`, all of them in `make test-random`.

Both try the same examples each time, so that a red run is caused by what was changed; `make explore` tries new ones.
"""

from __future__ import annotations

import os

FRESH = os.environ.get("EVSE_EXAMPLES") == "new"
"""Examples nobody has seen before."""

FULL = FRESH or os.environ.get("EVSE_EXAMPLES") == "full"

PART = 8
"""`make test` tries one example in so many."""

LEAST = 15

DEEP_EVERY = 7 if FULL else 19
"""On every so many ticks of a plant determinism and the round trip of the state are looked at as well."""


def minutes(full: float, part: float) -> float:
    """Length of a random day: ``full`` when EVSE_EXAMPLES is full or new, else ``part``."""
    return full if FULL else part


def seconds(full: float, part: float) -> float:
    """How long a test watches that something goes on, or does not happen: ``full`` when EVSE_EXAMPLES is full or new, else ``part``."""
    return full if FULL else part


def examples(full: int, least: int = LEAST) -> int:
    """Return ``full`` when EVSE_EXAMPLES is full or new, else a part of it, at least ``least`` (or ``full``)."""
    return full if FULL else max(full // PART, min(full, least))
