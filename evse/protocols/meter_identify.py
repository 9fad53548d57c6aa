"""Could these numbers come from a meter? Judges what a register map makes of the registers of an unknown device. Pure."""

from __future__ import annotations

from typing import Final

from evse.domain.meter_profile import MeterProfile
from evse.domain.readings import MeterValues
from evse.protocols.meter_map import Raw

MAINS_MV: Final = (80_000, 290_000)
"""Phase to neutral, and one phase of 100 V nets."""

OPEN_PHASE_MV: Final = 15_000
"""What an unconnected phase may show."""

FREQUENCY_MHZ: Final = (45_000, 65_000)
CURRENT_MA_MAX: Final = {"ac": 250_000, "dc": 1_500_000}
POWER_W_MAX: Final = {"ac": 250_000, "dc": 1_500_000}
VOLTAGE_DC_MV_MAX: Final = 1_500_000
ENERGY_WH_MAX: Final = 10**11
"""100 GWh: a big meter in its whole life."""


def plausible(profile: MeterProfile, values: MeterValues) -> int:
    """Return the number of signs that ``values`` are real; 0 = they cannot be, or nothing speaks for it.

    Signs are mains voltage, mains frequency, a sum of phase powers that is the total, a power that fits voltage and
    current, and a counter that has counted; the last one speaks alone only for a model that shows no voltage.
    """
    if not _in_range(profile.kind, values):
        return 0
    signs = 0
    if profile.kind == "dc":
        signs += values.voltage_mv is not None and values.voltage_mv > 0
    else:
        phases = values.voltage_l_mv or ((values.voltage_mv,) if values.voltage_mv is not None else ())
        mains = [v for v in phases if MAINS_MV[0] <= v <= MAINS_MV[1]]
        if any(v not in mains and not 0 <= v <= OPEN_PHASE_MV for v in phases):
            return 0
        if phases and not mains:
            return 0  # a meter that speaks has at least one phase
        signs += 2 * bool(mains)
        if values.frequency_mhz is not None:
            if not FREQUENCY_MHZ[0] <= values.frequency_mhz <= FREQUENCY_MHZ[1]:
                return 0
            signs += 2
    power, parts = values.power_w, values.power_l_w
    if power is not None and parts is not None and any(parts):
        if abs(power - sum(parts)) > 30 + abs(power) // 20:
            return 0
        signs += 1
    signs += _power_fits(values)
    blind = values.voltage_mv is None and values.voltage_l_mv is None
    return signs + (1 if (signs or blind) and values.energy_import_wh else 0)


def _in_range(kind: str, values: MeterValues) -> bool:
    currents = (values.current_ma, *(values.current_l_ma or ()))
    powers = (values.power_w, *(values.power_l_w or ()))
    energies = (values.energy_import_wh, values.energy_export_wh)
    return (
        all(abs(c or 0) <= CURRENT_MA_MAX[kind] for c in currents)
        and all(abs(p or 0) <= POWER_W_MAX[kind] for p in powers)
        and all(0 <= (e or 0) <= ENERGY_WH_MAX for e in energies)
        and (kind == "ac" or -1_000 <= (values.voltage_mv or 0) <= VOLTAGE_DC_MV_MAX)
    )


def _power_fits(values: MeterValues) -> int:
    """1 when the active power is not larger than voltage times current allows and is not zero."""
    volts = values.voltage_l_mv or ((values.voltage_mv,) if values.voltage_mv is not None else ())
    amps = values.current_l_ma or ((values.current_ma,) if values.current_ma is not None else ())
    if not values.power_w or not volts or len(volts) != len(amps):
        return 0
    apparent_va = sum(abs(v * a) for v, a in zip(volts, amps, strict=True)) // 1_000_000
    return int(abs(values.power_w) <= apparent_va + apparent_va // 10 + 30)


def says_model(profile: MeterProfile, raw: Raw) -> bool | None:
    """Return whether the identification register says this model; None = it says nothing."""
    if raw is None or raw in (0, ""):
        return None
    if isinstance(raw, bytes):
        return None if not any(raw) else False
    if isinstance(raw, str):
        return any(raw.upper().startswith(text.upper()) for text in profile.identify.texts)
    return raw in profile.identify.values


def dzg_units(serial: str = "") -> tuple[int, ...]:
    """Return the addresses at which a DZG meter may be, the likeliest first.

    Factory address: last two digits of the serial number plus one, read as hexadecimal (mbmd documentation: ..23 gives
    0x24 = 36). Without a number the range 1..99 is asked (Charge Control C user guide 7.3.6.1), then what the hexadecimal
    rule gives beyond it. A number that ends with 99 has no address by that rule.
    """
    digits = "".join(c for c in serial if c.isascii() and c.isdigit())
    first = [int(str(int(digits[-2:]) + 1), 16)] if len(digits) >= 2 and digits[-2:] != "99" else []
    rest = [*range(1, 100), *(int(str(number), 16) for number in range(1, 100))]
    return tuple(dict.fromkeys(first + rest))
