"""Real cars: battery, DC charging curve and the voltage of the pack.

Curves come from ``profiles/cars/curves.csv`` (Open EV Data, MIT; simplified from charts of charging networks): power
over state of charge, linear between the published points. Inside, a state of charge is parts per million (``soc_ppm``),
so that a session of two percent still has 20 000 steps.

The file knows no voltages. Two assumptions, stated here and nowhere else:

* A car is of the 800 V class when its published DC power exceeds 200 kW and it has a plain CCS inlet. Reason: CCS ends
  at 500 A, so that a pack of about 400 V cannot take more than 200 kW through it. Cars with a maker's own inlet are
  exempt, they may carry more current.
* The open-circuit voltage of a 400 V class pack follows `PACK_400_V` and its inner resistance is `PACK_400_MOHM`; an
  800 V class pack has twice both (two such packs in series).
"""

from __future__ import annotations

import csv
from bisect import bisect_right
from itertools import pairwise
from pathlib import Path
from typing import Final, Literal

from evse.config.paths import profiles_dir
from evse.domain.base import ConfigError, Frozen

SOC_FULL_PPM: Final = 1_000_000
VoltageClass = Literal[400, 800]
Curve = tuple[tuple[int, int], ...]
"""Points ``(soc_ppm, power_w)`` with rising SoC; at least one."""

PACK_400_V: Final = ((0.0, 310.0), (0.1, 340.0), (0.5, 360.0), (0.9, 385.0), (1.0, 400.0))
PACK_400_MOHM: Final = 50
TARGET_400_MV: Final = 420_000
"""EVTargetVoltage of a 400 V class car: the end-of-charge voltage of its pack plus a margin."""

CURVE_800_MIN_W: Final = 200_000
CARS_MAX: Final = 5_000
_COLUMNS: Final = (
    "brand",
    "model",
    "variant",
    "year",
    "battery_kwh",
    "ac_phases",
    "ac_max_kw",
    "dc_ports",
    "dc_max_kw",
    "curve_soc_pct_kw",
)


class Car(Frozen, frozen=True, kw_only=True):
    """One row of the file. ``battery_wh`` is usable capacity; ``year`` None = not published."""

    brand: str
    model: str
    variant: str
    year: int | None
    battery_wh: int
    dc_max_w: int
    voltage_class: VoltageClass
    curve: Curve
    ac_phases: int = 1  # of the on-board charger
    ac_max_w: int = 3_700

    @property
    def name(self) -> str:
        """Brand, model, variant and year in one line."""
        return " ".join(part for part in (self.brand, self.model, self.variant, str(self.year or "")) if part)


def power_at(curve: Curve, soc_ppm: float) -> float:
    """Return the power in W at ``soc_ppm``: linear between points, constant outside of them."""
    if soc_ppm <= curve[0][0]:
        return float(curve[0][1])
    index = bisect_right(curve, (soc_ppm, -1.0))
    if index >= len(curve):
        return float(curve[-1][1])
    x0, y0 = curve[index - 1]
    x1, y1 = curve[index]
    return y0 + (y1 - y0) * (soc_ppm - x0) / (x1 - x0)


def pack_mv(voltage_class: VoltageClass, soc_ppm: float) -> float:
    """Return the open-circuit voltage of a pack in mV (assumption, see the module text)."""
    x = min(max(soc_ppm / SOC_FULL_PPM, 0.0), 1.0)
    scale = 1000.0 * (voltage_class // 400)
    for (x0, y0), (x1, y1) in pairwise(PACK_400_V):
        if x <= x1:
            return scale * (y0 + (y1 - y0) * (x - x0) / (x1 - x0))
    return scale * PACK_400_V[-1][1]


def parse_curve(text: str) -> Curve:
    """Return the points of ``"0:95.0 18:90.0"`` (percent : kW); `ValueError` names the bad pair."""
    points: list[tuple[int, int]] = []
    for pair in text.split():
        soc, colon, kw = pair.partition(":")
        if not colon:
            raise ValueError(f"'{pair}' is not SOC:KW")
        soc_ppm, power_w = round(float(soc) * 10_000), round(float(kw) * 1000)
        if not 0 <= soc_ppm <= SOC_FULL_PPM or power_w < 0:
            raise ValueError(f"'{pair}' is outside 0..100 % or below 0 kW")
        if points and soc_ppm <= points[-1][0]:
            raise ValueError(f"'{pair}' does not rise in state of charge")
        points.append((soc_ppm, power_w))
    if not points:
        raise ValueError("the curve is empty")
    return tuple(points)


def _car(row: dict[str, str]) -> Car:
    dc_max_w = round(float(row["dc_max_kw"]) * 1000)
    ports = row["dc_ports"].split("+")
    is_800 = dc_max_w > CURVE_800_MIN_W and "ccs" in ports and not any(port.startswith("tesla") for port in ports)
    return Car(
        brand=row["brand"].strip(),
        model=row["model"].strip(),
        variant=row["variant"].strip(),
        year=int(row["year"]) if row["year"].strip() else None,
        battery_wh=round(float(row["battery_kwh"]) * 1000),
        dc_max_w=dc_max_w,
        voltage_class=800 if is_800 else 400,
        curve=parse_curve(row["curve_soc_pct_kw"]),
        ac_phases=int(row["ac_phases"]),
        ac_max_w=round(float(row["ac_max_kw"]) * 1000),
    )


def load_cars(path: Path | None = None) -> tuple[Car, ...]:
    """Return all cars of a file (default: the shipped one); `ConfigError` lists every bad line."""
    path = path or profiles_dir() / "cars" / "curves.csv"
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise ConfigError([f"{path}: cannot be read ({error.strerror}); the profiles come with the package"]) from error
    numbered = [(number, line) for number, line in enumerate(lines, 1) if line.strip() and not line.startswith("#")]
    if not numbered or tuple(numbered[0][1].split(",")) != _COLUMNS:
        raise ConfigError([f"{path}: the header must be {','.join(_COLUMNS)}"])
    cars: list[Car] = []
    problems: list[str] = []
    for number, line in numbered[1 : CARS_MAX + 1]:
        fields = next(csv.reader([line]))
        if len(fields) != len(_COLUMNS):
            problems.append(f"{path}:{number}: {len(fields)} columns instead of {len(_COLUMNS)}")
            continue
        try:
            cars.append(_car(dict(zip(_COLUMNS, fields, strict=True))))
        except ValueError as error:
            problems.append(f"{path}:{number}: {error}")
    if problems:
        raise ConfigError(problems)
    return tuple(cars)


def find_car(cars: tuple[Car, ...], text: str) -> Car:
    """Return the first car whose name contains all words of ``text``; `ConfigError` lists near ones."""
    words = text.lower().split()
    for car in cars:
        if all(word in car.name.lower() for word in words):
            return car
    near = sorted({car.name for car in cars if any(word in car.name.lower() for word in words)})[:5]
    raise ConfigError([f"car: '{text}' is not in the list of cars; near: {', '.join(near) or 'none'}"])
