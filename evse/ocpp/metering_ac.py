"""Measurands of AC EVSEs, by phase (Charge Control C user guide, 3.3.6).

With one phase wired only overall values exist and ``phase`` is never used. With several, voltages are of Lx-N, currents and
powers of Lx; there is no overall voltage, and an overall current only where it is ours to add up: the offered one. L1 to L3
are the lines of the connector, as its meter counts them; ConnectorPhaseRotation says which grid phase is on which.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from evse.domain.readings import MeterValues
from evse.domain.view import EvseView
from evse.domain.view_ac import AcView
from evse.ocpp.messages import Payload

OUTLET, BODY, EV = "Outlet", "Body", "EV"

Lines = tuple[int | None, ...]
"""One value per wired line, None = not measured."""


class Moment(msgspec.Struct, frozen=True, kw_only=True):
    """An EVSE and its meter at one time."""

    evse: EvseView
    meter: MeterValues | None


def value(
    measurand: str, text: str, unit: str, context: str, location: str = OUTLET, phase: str = ""
) -> Payload:
    """Return one SampledValue; ``unit`` and ``phase`` "" = without."""
    found = {"value": text, "context": context, "measurand": measurand, "location": location}
    if unit:
        found["unit"] = unit
    if phase:
        found["phase"] = phase
    return found


def tenths(number: int) -> str:
    """Return tenths as a decimal number."""
    sign = "-" if number < 0 else ""
    return f"{sign}{abs(number) // 10}.{abs(number) % 10}"


def milli(number: int) -> str:
    """Return thousandths with two decimals at most, rounded towards zero."""
    sign = "-" if number < 0 else ""
    return f"{sign}{abs(number) // 1000}.{abs(number) % 1000 // 10:02}"


def register_wh(evse: EvseView, meter: MeterValues | None) -> int | None:
    """Return the import register: the meter's, else what the session has counted on top of its start."""
    session = evse.session
    if meter is not None and meter.energy_import_wh is not None:
        return meter.energy_import_wh
    if session is not None and session.meter_start_wh is not None:
        return session.meter_start_wh + session.energy_wh
    return None


def ac_values(
    evse: EvseView, ac: AcView, meter: MeterValues | None, measurands: Sequence[str], context: str
) -> list[Payload]:
    """Return the ``sampledValue`` list of an AC connector now; what is not known is left out, never zero.

    ``Current.Import`` is all lines and what is overall, ``Current.Import.L1`` that line only.
    """
    found: list[Payload] = []
    for name in measurands:
        base, line = split_line(name)
        rows = _of(base, evse, ac, meter, context)
        found += [row for row in rows if line in ("", row.get("phase")) and row not in found]
    return found


def split_line(name: str) -> tuple[str, str]:
    """Split ``Voltage.L1-N`` into measurand and phase; "" = all."""
    base, _, last = name.rpartition(".")
    return (base, last) if last[:1] == "L" and last[1:2].isdigit() else (name, "")


def _of(name: str, evse: EvseView, ac: AcView, meter: MeterValues | None, context: str) -> list[Payload]:
    m, wired = meter if meter is not None else MeterValues(), ac.phases_wired
    match name:
        case "Energy.Active.Import.Register":
            wh = register_wh(evse, meter)
            return [] if wh is None else [value(name, str(wh), "Wh", context)]
        case "Power.Active.Import":
            lines: Lines = _lines(m.power_l_w, None, wired) if wired > 1 else ()
            overall = m.power_w if m.power_w is not None else evse.power_w
            return [
                *(value(name, str(w), "W", context, phase=f"L{i}") for i, w in _known(lines)),
                *([] if overall is None else [value(name, str(overall), "W", context)]),
            ]
        case "Voltage":
            return _electrical(name, _lines(m.voltage_l_mv, m.voltage_mv, wired), wired, "V", context, "-N")
        case "Current.Import":
            return _electrical(name, _lines(m.current_l_ma, m.current_ma, wired), wired, "A", context)
        case "Current.Offered":
            used = min(wired, ac.phases or ac.phases_next)
            lines = tuple(ac.offered_ma if i < used else 0 for i in range(wired))
            rows = _electrical(name, lines, wired, "A", context)
            return rows if wired == 1 else [*rows, value(name, milli(ac.offered_ma * used), "A", context)]
        case "Power.Offered":
            return [value(name, str(evse.offered_w), "W", context)]
        case "Frequency" if m.frequency_mhz is not None:
            return [value(name, milli(m.frequency_mhz), "", context)]  # 1.6 has no word for hertz and means it
        case "SoC":
            soc = evse.soc_pct if evse.soc_pct is not None else ac.hlc_session.soc if ac.hlc_session is not None else -1
            return [value(name, str(soc), "Percent", context, EV)] if soc >= 0 else []
        case "Temperature":
            places = ((OUTLET, evse.temperature_dc), (BODY, m.temperature_dc))
            return [value(name, tenths(dc), "Celsius", context, place) for place, dc in places if dc is not None]
        case _:
            return []


def _lines(each: tuple[int, int, int] | None, first: int | None, wired: int) -> Lines:
    """Return what is measured on the wired lines; a meter without phases measures the first."""
    return (first,) if each is None else each[:wired]


def _known(lines: Lines) -> list[tuple[int, int]]:
    return [(i, number) for i, number in enumerate(lines, 1) if number is not None]


def _electrical(name: str, lines: Lines, wired: int, unit: str, context: str, suffix: str = "") -> list[Payload]:
    """Return values in thousandths, one per line that is known; ``phase`` only where several lines are wired."""
    return [
        value(name, milli(number), unit, context, phase=f"L{i}{suffix}" if wired > 1 else "")
        for i, number in _known(lines)
    ]
