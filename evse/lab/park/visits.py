"""Cars that come and go in a day: made up from a seed, or measured ones from a file.

Made-up days are round numbers, no claim about any place: at work most arrive between seven and ten and stay until the
afternoon, at home they come in the evening and stay the night (that day begins at noon), in the city they come all day
for an hour or two, at a motorway they charge fast from a low battery. Shapes of vehicles: AC lines and currents as vehicles have them
(one line to 32 A, three lines to 16 or 32 A), DC curves from profiles/cars/curves.csv.
"""

from __future__ import annotations

import csv
from collections import Counter
from datetime import date, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Final

from evse.domain.base import ConfigError, Frozen
from evse.sim.curves import SOC_FULL_PPM, Curve, VoltageClass, load_cars
from evse.sim.measured import busiest_day, day_of, fit_car, read_sessions
from evse.units import NS_PER_S

DAY_S: Final = 86_400
AC_COLUMNS: Final = ("station", "arrival", "departure", "charging_min", "energy_wh")
ROWS_MAX: Final = 200_000
ONE_LINE_MAX_W: Final = 7_400
"""Above it a measured AC session is one of a vehicle with three lines (32 A at 230 V)."""

AC_DAYS: Final = ("work", "home", "city")
DC_DAYS: Final = ("motorway", "city")


class AcVisit(Frozen, frozen=True, kw_only=True):
    """A vehicle at an AC point. Times in s since the day began; ``lines`` and ``max_ma`` are those of the vehicle."""

    arrive_s: int
    depart_s: int
    energy_wh: int
    lines: int
    max_ma: int


class DcVisit(Frozen, frozen=True, kw_only=True):
    """A vehicle at a DC connector: leaves at ``depart_s``, or when it has reached ``target_ppm``."""

    arrive_s: int
    depart_s: int
    battery_wh: int
    curve: Curve
    voltage_class: VoltageClass
    start_ppm: int
    target_ppm: int


def _hours(rng: Random, mean: float, spread: float, low: float, high: float) -> int:
    return round(3600 * min(high, max(low, rng.gauss(mean, spread))))


def made_up_ac(day: str, cars: int, seed: int) -> list[AcVisit]:
    """Return ``cars`` visits of a day of kind ``day`` (one of `AC_DAYS`), by arrival."""
    rng = Random(f"{day} {seed}")
    found = []
    for _ in range(cars):
        if day == "work":
            arrive, stay = _hours(rng, 8.25, 0.8, 5.5, 12), _hours(rng, 8, 1.5, 1, 11)
            energy = rng.uniform(6_000, 30_000)
        elif day == "home":  # the day begins at noon
            arrive, stay = _hours(rng, 6.5, 1.6, 2, 11.5), _hours(rng, 12, 1.5, 6, 15)
            energy = rng.uniform(5_000, 35_000)
        else:
            arrive, stay = round(rng.triangular(8, 21, 14) * 3600), _hours(rng, 1.8, 0.8, 0.4, 5)
            energy = rng.uniform(3_000, 20_000)
        lines, max_ma = rng.choice([(1, 16_000), (1, 32_000), (2, 16_000), (3, 16_000), (3, 16_000), (3, 32_000)])
        found.append(
            AcVisit(arrive_s=arrive, depart_s=min(DAY_S, arrive + stay), energy_wh=round(energy), lines=lines, max_ma=max_ma)
        )
    return sorted(found, key=lambda v: (v.arrive_s, v.depart_s, v.energy_wh))


def made_up_dc(day: str, cars: int, seed: int) -> list[DcVisit]:
    """Return ``cars`` visits of a day of kind ``day`` (one of `DC_DAYS`), by arrival."""
    rng = Random(f"{day} {seed}")
    models = [car for car in load_cars() if car.dc_max_w >= 40_000]
    found = []
    for _ in range(cars):
        car = rng.choice(models)
        peak = rng.choice([11.5, 17.0]) if day == "motorway" else rng.uniform(8, 20)
        arrive = _hours(rng, peak, 2.2 if day == "motorway" else 1.0, 0, 23)
        start = round(rng.uniform(0.08, 0.35 if day == "motorway" else 0.55) * SOC_FULL_PPM)
        target = round(rng.uniform(0.65, 0.9) * SOC_FULL_PPM)
        stay = _hours(rng, 0.75, 0.25, 0.2, 1.5)
        found.append(
            DcVisit(
                arrive_s=arrive, depart_s=min(DAY_S, arrive + stay), battery_wh=car.battery_wh, curve=car.curve,
                voltage_class=car.voltage_class, start_ppm=start, target_ppm=max(target, start + 50_000),
            )
        )
    return sorted(found, key=lambda v: (v.arrive_s, v.depart_s, v.start_ppm))


# -- measured ---------------------------------------------------------------------------------------------------------


class _AcRow(Frozen, frozen=True, kw_only=True):
    arrival: datetime
    departure: datetime
    charging_min: float
    energy_wh: int


def _ac_rows(path: Path) -> list[_AcRow]:
    """Read the file. `ConfigError` names every bad cell with line, column, value and what is expected."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else f"not UTF-8 at byte {error.start}"
        raise ConfigError([f"{path}: cannot be read ({reason}); give a file with columns {','.join(AC_COLUMNS)}"]) from error
    numbered = [(n, line) for n, line in enumerate(lines, 1) if line.strip() and not line.startswith("#")]
    if not numbered or tuple(numbered[0][1].split(",")) != AC_COLUMNS:
        at = numbered[0][0] if numbered else 1
        raise ConfigError([f"{path}:{at}: the header must be {','.join(AC_COLUMNS)}"])
    rows: list[_AcRow] = []
    problems: list[str] = []
    for number, line in numbered[1 : ROWS_MAX + 1]:
        cells = next(csv.reader([line]))
        if len(cells) != len(AC_COLUMNS):
            problems.append(f"{path}:{number}: {len(cells)} columns instead of {len(AC_COLUMNS)}")
            continue
        row = _ac_row(dict(zip(AC_COLUMNS, cells, strict=True)), f"{path}:{number}", problems)
        if row is not None:
            rows.append(row)
    if problems:
        raise ConfigError(problems[:50])
    return rows


def _ac_row(cells: dict[str, str], where: str, problems: list[str]) -> _AcRow | None:
    before = len(problems)
    moments: dict[str, datetime] = {}
    numbers: dict[str, float] = {}
    for column in ("arrival", "departure"):
        try:
            moments[column] = datetime.fromisoformat(cells[column])
        except ValueError:
            problems.append(f"{where}: {column} = '{cells[column]}': write YYYY-MM-DD hh:mm:ss")
    for column, high in (("charging_min", 100_000), ("energy_wh", 1_000_000)):
        try:
            value = float(cells[column])
        except ValueError:
            value = -1.0
        if not 0 <= value <= high:
            problems.append(f"{where}: {column} = '{cells[column]}': a number from 0 to {high} is expected")
        numbers[column] = value
    if len(problems) > before:
        return None
    if moments["departure"] < moments["arrival"]:
        problems.append(f"{where}: departure = '{cells['departure']}': is before arrival '{cells['arrival']}'")
        return None
    return _AcRow(
        arrival=moments["arrival"], departure=moments["departure"], charging_min=numbers["charging_min"],
        energy_wh=round(numbers["energy_wh"]),
    )


def measured_ac(path: Path, day: str, voltage: float = 230.0) -> tuple[str, list[AcVisit]]:
    """Return (the date, its visits): ``day`` as YYYY-MM-DD, "" = the one with most arrivals.

    A vehicle draws what gives its energy in its charging time; more than 7.4 kW is one of three lines. Raises
    `ConfigError`.
    """
    rows = _ac_rows(path)
    counts = Counter(row.arrival.date().isoformat() for row in rows)
    if not counts:
        raise ConfigError([f"{path}: no sessions"])
    chosen = day or min(counts, key=lambda d: (-counts[d], d))
    if chosen not in counts:
        raise ConfigError([f"{path}: no session arrives on {chosen}; the file has {min(counts)} to {max(counts)}"])
    begin = datetime.combine(date.fromisoformat(chosen), datetime.min.time())
    found = []
    for row in rows:
        if row.arrival.date().isoformat() != chosen or not row.energy_wh:
            continue
        watts = row.energy_wh / max(row.charging_min / 60, 0.05)
        lines = 1 if watts <= ONE_LINE_MAX_W else 3
        max_ma = round(min(32_000, max(6_000, watts / voltage / lines * 1000)))
        arrive = round((row.arrival - begin) / timedelta(seconds=1))
        stay = max(row.departure - row.arrival, timedelta(minutes=row.charging_min))
        found.append(
            AcVisit(
                arrive_s=arrive, depart_s=arrive + round(stay / timedelta(seconds=1)), energy_wh=row.energy_wh, lines=lines,
                max_ma=max_ma,
            )
        )
    return chosen, sorted(found, key=lambda v: (v.arrive_s, v.depart_s, v.energy_wh))


def measured_dc(path: Path, day: str, efficiency: float) -> tuple[str, list[DcVisit]]:
    """Return (the date, its visits) of a file in the columns of profiles/sessions/dc-sessions.csv. Raises `ConfigError`."""
    rows = read_sessions(path)
    chosen = day or busiest_day(rows)
    of_day = [row for row in rows if day_of(row.arrival) == chosen]
    if not of_day:
        raise ConfigError([f"{path}: no session arrives on {chosen}"])
    begin = round(datetime.fromisoformat(f"{chosen}T00:00:00+00:00").timestamp())
    found = []
    for row in of_day:
        spec, _ = fit_car(row, efficiency_permille=round(efficiency * 1000))
        arrive = row.arrival // NS_PER_S - begin
        found.append(
            DcVisit(
                arrive_s=arrive, depart_s=arrive + round(row.duration_s), battery_wh=spec.battery_wh, curve=spec.curve,
                voltage_class=spec.voltage_class, start_ppm=spec.soc_ppm, target_ppm=spec.target_soc_ppm,
            )
        )
    return chosen, sorted(found, key=lambda v: (v.arrive_s, v.depart_s, v.start_ppm))
