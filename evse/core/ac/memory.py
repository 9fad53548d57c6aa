"""What an AC EVSE remembers from one tick to the next, beside `EvseWork`. Each module owns the fields with its prefix.

Flat on purpose: `thaw` and `freeze` are one copy each. All waits are deadlines (`Instant`), 0 = not armed.
"""

from __future__ import annotations

import msgspec
from msgspec.structs import astuple


class AcWork(msgspec.Struct):
    """Fields of one AC EVSE, writable: private to one tick. Constructor values are those of an empty, safe EVSE."""

    # pilot and machine (cp.py, machine.py)
    # contactor, phases, ventilation (contactor.py, phases.py, ventilation.py)
    # proximity and lock (proximity.py, lock.py)
    # residual current (rcd.py)
    # limits and over-current (limits.py, over_current.py)
    # release (release.py)
    # ISO 15118 (hlc.py)
    # outputs and lamps (outputs.py)


class AcState(AcWork, frozen=True):  # type: ignore[misc]  # mypy cannot know that msgspec allows this
    """`AcWork`, frozen."""


def thaw(state: AcState) -> AcWork:
    """Return a writable copy."""
    return AcWork(*astuple(state))


def freeze(work: AcWork, before: AcState | None) -> AcState:
    """Return ``work`` frozen; ``before`` itself when nothing changed."""
    fields = astuple(work)
    return before if before is not None and fields == astuple(before) else AcState(*fields)
