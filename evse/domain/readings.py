"""No reading without quality: a value with its time, or a typed reason why there is none.

Unknown never means safe: who needs a value and gets `NoData` must assume the worst (pressed, open, zero).
"""

from __future__ import annotations

import enum
from typing import Generic, TypeVar

import msgspec

from evse.units import Instant

T = TypeVar("T")


class NoDataReason(enum.Enum):
    """Why there is no reading."""

    NEVER = "never"  # nothing arrived since start
    TIMEOUT = "timeout"  # the device stopped answering
    ERROR = "error"  # the device answered with an error or nonsense
    GARBLED = "garbled"  # answers arrive damaged: another speaker, wrong line settings, disturbance
    DISCONNECTED = "disconnected"  # the port, bus or link is gone
    NOT_FITTED = "not_fitted"  # the profile says there is no such device


class NoData(msgspec.Struct, frozen=True, tag="none", tag_field="q"):
    """The absence of a reading since an instant; ``detail`` names device, bus, address, register for people."""

    reason: NoDataReason
    since: Instant
    detail: str = ""


class Sample(msgspec.Struct, Generic[T], frozen=True, tag="ok", tag_field="q"):
    """A value and the monotonic instant at which it was received."""

    value: T
    at: Instant


NEVER = NoData(reason=NoDataReason.NEVER, since=0)


class MeterValues(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One coherent reading of a meter. ``None`` = the meter has no such register (never "unknown")."""

    power_w: int | None = None
    energy_import_wh: int | None = None
    energy_export_wh: int | None = None
    voltage_mv: int | None = None  # DC, or L1-N
    current_ma: int | None = None  # DC, or L1
    voltage_l_mv: tuple[int, int, int] | None = None
    current_l_ma: tuple[int, int, int] | None = None
    power_l_w: tuple[int, int, int] | None = None
    frequency_mhz: int | None = None
    temperature_dc: int | None = None


class GroupStatus(msgspec.Struct, frozen=True, kw_only=True):
    """What one group of DC power modules reports, summed by its driver.

    ``voltage_mv`` is the mean of the modules that are on, ``current_ma`` the sum. ``available_w`` is what the
    modules that answer and are not faulty can give at ``voltage_mv``-independent constant power.
    """

    modules_expected: int
    modules_present: int
    modules_faulty: int
    on: bool
    voltage_mv: int
    current_ma: int
    available_w: int
    temperature_dc: int | None = None
    faults: tuple[str, ...] = ()  # "3: over temperature": module address and the name of the status bit
    missing: tuple[int, ...] = ()  # module addresses that do not answer
