"""Numbers and times as people read them. Unknown is ``--``, never 0. No locale: the point is the decimal sign."""

from __future__ import annotations

import datetime as dt
from typing import Final

from evse.units import NS_PER_S, WallNs

NONE: Final = "--"


def kwh(value_wh: int | None, decimals: int = 2) -> str:
    """1330 -> ``1.33`` (kWh)."""
    return NONE if value_wh is None else f"{value_wh / 1000:.{decimals}f}"


def kw(value_w: int | None) -> str:
    """17640 -> ``17.6`` (kW)."""
    return NONE if value_w is None else f"{value_w / 1000:.1f}"


def volt(value_mv: int | None) -> str:
    """336400 -> ``336`` (V)."""
    return NONE if value_mv is None else f"{round(value_mv / 1000)}"


def ampere(value_ma: int | None) -> str:
    """53100 -> ``53`` (A)."""
    return NONE if value_ma is None else f"{round(value_ma / 1000)}"


def tenths(value_ma: int | None) -> str:
    """15960 -> ``16.0`` (A)."""
    return NONE if value_ma is None else f"{value_ma / 1000:.1f}"


def milliamp(value_ua: int | None) -> str:
    """1940 -> ``1.9`` (mA)."""
    return NONE if value_ua is None else f"{value_ua / 1000:.1f}"


def celsius(value_dc: int | None) -> str:
    """412 -> ``41.2`` (°C)."""
    return NONE if value_dc is None else f"{value_dc / 10:.1f}"


def percent(value: int | None) -> str:
    """18 -> ``18``."""
    return NONE if value is None else str(value)


def with_unit(text: str, unit: str) -> str:
    """Append a unit unless the value is not known."""
    return text if text == NONE else f"{text} {unit}"


def duration(seconds: int | None) -> str:
    """278 -> ``04m 38s``, 27000 -> ``7h 30m``."""
    if seconds is None:
        return NONE
    seconds = max(0, seconds)
    if seconds < 3600:
        return f"{seconds // 60:02d}m {seconds % 60:02d}s"
    if seconds < 86400:
        return f"{seconds // 3600}h {seconds % 3600 // 60:02d}m"
    return f"{seconds // 86400}d {seconds % 86400 // 3600:02d}h"


def between(start: WallNs | None, end: WallNs | None) -> int | None:
    """Whole seconds from one wall time to another; None when one is missing."""
    return None if start is None or end is None else max(0, (end - start) // NS_PER_S)


def _local(wall: WallNs) -> dt.datetime:
    return dt.datetime.fromtimestamp(wall // NS_PER_S, dt.UTC).astimezone()


def clock(wall: WallNs | None) -> str:
    """``01:47`` in the local time zone."""
    return NONE if wall is None else _local(wall).strftime("%H:%M")


def time_of_day(wall: WallNs | None) -> str:
    """``01:47:26`` in the local time zone."""
    return NONE if wall is None else _local(wall).strftime("%H:%M:%S")


def day_time(wall: WallNs | None) -> str:
    """``06.06. 01:47`` in the local time zone."""
    return NONE if wall is None else _local(wall).strftime("%d.%m. %H:%M")


def stamp(wall: WallNs | None) -> str:
    """``06.06.2026 01:47:26`` in the local time zone."""
    return NONE if wall is None else _local(wall).strftime("%d.%m.%Y %H:%M:%S")


def masked(token: str) -> str:
    """An identity for a public screen: ``****0843``."""
    if not token:
        return NONE
    return token if len(token) <= 4 and not token.isdigit() else "****" + token[-4:] if len(token) > 4 else "****"
