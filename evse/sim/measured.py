"""Measured sessions: rows of a file become cars that arrive, ask and leave as the real ones did.

Columns: ``session,plug,arrival,departure,energy_wh,power_max_w,request_max_w,limited,soc_arrival_pct,
soc_departure_pct,battery_wh_estimated``. Powers and energy are AC side values of one-minute data; times carry no zone
and are taken as UTC.

The fit (`fit_car`) is closed mathematics. A car has a power curve over state of charge: a plateau up to a knee, then a
straight line down to the end power. Over a stretch of energy ``E`` the plateau takes ``E / P0`` and the line from
``P0`` to ``P1`` takes ``E ln(P0/P1) / (P0 - P1)``. Both fall with the knee and with ``P1``, so bisection finds the
one curve that moves the measured energy in the measured time:

1. The plateau is ``min(request_max, power_max)``. When not even this is enough (setup takes part of the time that the
   measurement counts), the plateau rises, at most to ``request_max``.
2. The end power is `END_FRACTION` of the plateau and the knee is searched; with the knee at the start the end power is
   searched, down to `END_MIN_W`. Below that the car is full early, which changes its departure but not its energy.

The battery follows from the DC energy and the SoC difference, so that both ends agree; `battery_wh_estimated` is only
used to say how far the two differ (`Visit.battery_note`).
"""

from __future__ import annotations

import csv
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Final

from evse.domain.base import ConfigError, Frozen
from evse.sim.curves import SOC_FULL_PPM, Curve, VoltageClass, pack_mv
from evse.sim.ev import EvSpec
from evse.units import NS_PER_S, WallNs

COLUMNS: Final = (
    "session",
    "plug",
    "arrival",
    "departure",
    "energy_wh",
    "power_max_w",
    "request_max_w",
    "limited",
    "soc_arrival_pct",
    "soc_departure_pct",
    "battery_wh_estimated",
)
ROWS_MAX: Final = 200_000
SETUP_S: Final = 25.0
"""Plug-in to full current with the normal pace of `evse.sim.ev`: about 20 s, and the ramp."""
MARGIN_MIN_S: Final = 10.0
MARGIN_PERMILLE: Final = 15
"""The fitted car is done this long before departure (share of the stay, at least the minimum)."""
END_FRACTION: Final = 0.15
END_MIN_W: Final = 3_500
"""The lowest end power: above the admission power of a station (3 kW), so that a full car does not lose its turn."""
PACK_MOHM: Final = 1
"""Heat in the pack is part of the measured energy already: the fitted battery counts what the station delivers."""
TOLERANCE_PERMILLE: Final = 50
"""Delivered and measured energy may differ by five percent without an explanation."""
SHORT_SOC_PERMILLE: Final = 50
BATTERY_TOLERANCE_PERMILLE: Final = 100


class MeasuredSession(Frozen, frozen=True, kw_only=True):
    """One row, AC side values. ``line`` is its place in the file."""

    session: int
    plug: str
    arrival: WallNs
    departure: WallNs
    energy_wh: int
    power_max_w: int
    request_max_w: int
    limited: bool
    soc_arrival_permille: int
    soc_departure_permille: int
    battery_wh_estimated: int
    line: int

    @property
    def duration_s(self) -> float:
        """Stay in seconds."""
        return (self.departure - self.arrival) / NS_PER_S


class Visit(Frozen, frozen=True, kw_only=True):
    """A car at a connector: what to plug in, when, and what was measured (AC side; ``energy_dc_wh`` at the meter)."""

    session: int
    connector: int
    plug: str
    arrive_wall: WallNs
    depart_wall: WallNs
    car_spec: EvSpec
    soc_start_pct: float
    soc_target_pct: float
    energy_wh: int
    energy_dc_wh: int
    power_max_w: int
    plateau_dc_w: int
    limited: bool
    battery_note: str = ""
    fit_note: str = ""


class Judged(Frozen, frozen=True, kw_only=True):
    """A session beside its measurement. ``why`` names what explains a difference; ``ok`` = within 5 % or explained."""

    session: int
    connector: int
    ok: bool
    within: bool
    energy_measured_wh: int
    energy_wh: int
    difference_permille: int
    peak_measured_w: int
    peak_w: int
    soc_end_measured_pct: float
    soc_end_pct: float | None
    why: tuple[str, ...]


def _wall(text: str) -> WallNs:
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return round(moment.timestamp()) * NS_PER_S


def _row(fields: Mapping[str, str], line: int, where: str, problems: list[str]) -> MeasuredSession | None:
    before = len(problems)

    def number(column: str, low: float, high: float) -> float:
        try:
            value = float(fields[column])
        except ValueError:
            value = math.nan
        if not low <= value <= high:
            problems.append(
                f"{where}:{line}: {column} = '{fields[column]}': a number from {low:g} to {high:g} is expected"
            )
        return value

    def moment(column: str) -> WallNs:
        try:
            return _wall(fields[column])
        except ValueError:
            problems.append(f"{where}:{line}: {column} = '{fields[column]}': write YYYY-MM-DD hh:mm:ss")
            return 0

    session, energy = number("session", 0, 10**9), number("energy_wh", 1, 10**6)
    power, request = number("power_max_w", 1, 10**6), number("request_max_w", 1, 10**6)
    soc0, soc1 = number("soc_arrival_pct", 0, 100), number("soc_departure_pct", 0, 100)
    limited, battery = number("limited", 0, 1), number("battery_wh_estimated", 1, 10**7)
    arrival, departure = moment("arrival"), moment("departure")
    if len(problems) > before:
        return None
    if departure <= arrival:
        problems.append(
            f"{where}:{line}: departure = '{fields['departure']}': is not after arrival '{fields['arrival']}'"
        )
    if soc1 <= soc0:
        problems.append(
            f"{where}:{line}: soc_departure_pct = '{fields['soc_departure_pct']}': is not above soc_arrival_pct"
        )
    if len(problems) > before:
        return None
    return MeasuredSession(
        session=int(session),
        plug=fields["plug"],
        arrival=arrival,
        departure=departure,
        energy_wh=round(energy),
        power_max_w=round(power),
        request_max_w=round(request),
        limited=limited == 1,
        soc_arrival_permille=round(soc0 * 10),
        soc_departure_permille=round(soc1 * 10),
        battery_wh_estimated=round(battery),
        line=line,
    )


def read_sessions(path: Path, *, date_from: date | None = None, date_to: date | None = None) -> list[MeasuredSession]:
    """Return the sessions that arrive from ``date_from`` to ``date_to`` (both included), by arrival.

    `ConfigError` names every bad cell with file, line, column, value and what is expected.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise ConfigError(
            [f"{path}: cannot be read ({error.strerror}); give a file with columns {','.join(COLUMNS)}"]
        ) from error
    except UnicodeDecodeError as error:
        raise ConfigError([f"{path}: is not UTF-8 text (byte {error.start})"]) from error
    numbered = [(number, line) for number, line in enumerate(lines, 1) if line.strip() and not line.startswith("#")]
    header = tuple(numbered[0][1].split(",")) if numbered else ()
    missing = [column for column in COLUMNS if column not in header]
    if missing:
        line = numbered[0][0] if numbered else 1
        raise ConfigError(
            [f"{path}:{line}: columns missing: {', '.join(missing)}; the header must be {','.join(COLUMNS)}"]
        )
    problems: list[str] = []
    rows: list[MeasuredSession] = []
    for number, text in numbered[1 : ROWS_MAX + 1]:
        cells = next(csv.reader([text]))
        if len(cells) != len(header):
            problems.append(f"{path}:{number}: {len(cells)} columns instead of {len(header)}")
            continue
        row = _row(dict(zip(header, cells, strict=True)), number, str(path), problems)
        if row is not None:
            rows.append(row)
    if problems:
        raise ConfigError(problems)
    low = _wall(date_from.isoformat()) if date_from else None
    high = _wall(date_to.isoformat()) + 86_400 * NS_PER_S if date_to else None
    chosen = [row for row in rows if (low is None or row.arrival >= low) and (high is None or row.arrival < high)]
    return sorted(chosen, key=lambda row: (row.arrival, row.plug))


def day_of(wall: WallNs) -> str:
    """Return the UTC date of a moment as YYYY-MM-DD."""
    return datetime.fromtimestamp(wall // NS_PER_S, tz=UTC).date().isoformat()


def busiest_day(rows: Sequence[MeasuredSession]) -> str:
    """Return the date with most arrivals (the earlier one of equals); `ConfigError` without rows."""
    if not rows:
        raise ConfigError(["no sessions in the chosen dates; widen --from and --to"])
    counts = Counter(day_of(row.arrival) for row in rows)
    return min(counts, key=lambda day: (-counts[day], day))


def charge_seconds(energy_wh: float, plateau_w: float, knee: float, end_w: float) -> float:
    """Return how long a car takes for ``energy_wh``: ``knee`` (0..1) of it at the plateau, the rest on the line."""
    flat_h = knee * energy_wh / plateau_w
    rest = (1.0 - knee) * energy_wh
    if plateau_w - end_w < 1e-6 * plateau_w:
        return 3600.0 * (flat_h + rest / plateau_w)
    return 3600.0 * (flat_h + rest * math.log(plateau_w / end_w) / (plateau_w - end_w))


def fit_shape(energy_wh: float, plateau_w: float, plateau_max_w: float, seconds: float) -> tuple[float, float, float]:
    """Return (plateau W, knee 0..1, end W) whose `charge_seconds` is ``seconds``, or the nearest the limits allow."""
    end_w = min(plateau_w, max(END_FRACTION * plateau_w, END_MIN_W))
    if charge_seconds(energy_wh, plateau_w, 1.0, end_w) >= seconds:
        return min(max(plateau_w, plateau_max_w), 3600.0 * energy_wh / seconds), 1.0, end_w
    low, high = 0.0, 1.0
    if charge_seconds(energy_wh, plateau_w, 0.0, end_w) >= seconds:
        for _ in range(50):
            knee = (low + high) / 2
            low, high = (knee, high) if charge_seconds(energy_wh, plateau_w, knee, end_w) > seconds else (low, knee)
        return plateau_w, (low + high) / 2, end_w
    floor_w = min(plateau_w, END_MIN_W)
    low_w, high_w = floor_w, end_w
    for _ in range(50):
        middle = (low_w + high_w) / 2
        low_w, high_w = (
            (middle, high_w) if charge_seconds(energy_wh, plateau_w, 0.0, middle) > seconds else (low_w, middle)
        )
    return plateau_w, 0.0, (low_w + high_w) / 2


def _voltage_class(plateau_w: float, soc_ppm: int, current_max_ma: int) -> VoltageClass:
    return 800 if plateau_w * 1e6 / pack_mv(400, soc_ppm) > current_max_ma else 400


def fit_car(
    row: MeasuredSession, *, efficiency_permille: int = 950, current_max_ma: int = 250_000
) -> tuple[EvSpec, str]:
    """Return a car that takes the measured energy between arrival and departure, and a note when it cannot.

    ``efficiency_permille`` turns AC side values into DC ones. ``current_max_ma`` is the connector's rating: a car whose
    plateau would need more at 400 V is taken as one of the 800 V class (the file does not tell).
    """
    scale = efficiency_permille / 1000
    energy_wh = row.energy_wh * scale
    margin_s = max(MARGIN_MIN_S, row.duration_s * MARGIN_PERMILLE / 1000)
    seconds = max(row.duration_s - SETUP_S - margin_s, row.duration_s / 2)
    wanted_w = min(row.request_max_w, row.power_max_w) * scale
    plateau_w, knee, end_w = fit_shape(energy_wh, wanted_w, row.request_max_w * scale, seconds)
    note = ""
    if charge_seconds(energy_wh, plateau_w, knee, end_w) > seconds * 1.005:
        note = f"request_max_w {row.request_max_w} cannot give {row.energy_wh} Wh in {seconds:.0f} s after setup"
    elif plateau_w > wanted_w * 1.005:
        note = f"plateau {plateau_w / scale:.0f} W instead of {row.power_max_w} W makes up for the setup time"
    start, stop = row.soc_arrival_permille * 1000, row.soc_departure_permille * 1000
    battery_wh = round(energy_wh * SOC_FULL_PPM / (stop - start))
    knee_ppm = min(max(start + round(knee * (stop - start)), start + 1), stop - 1)
    curve: Curve = ((start, round(plateau_w)), (knee_ppm, round(plateau_w)), (stop, round(end_w)))
    if knee >= 1.0:
        curve = ((start, round(plateau_w)), (stop, round(plateau_w)))
    spec = EvSpec(
        name=f"session {row.session}",
        battery_wh=battery_wh,
        curve=curve,
        voltage_class=_voltage_class(plateau_w, start, current_max_ma),
        soc_ppm=start,
        target_soc_ppm=stop,
        evcc_id=f"02{row.session & 0xFF_FFFF_FFFF:010X}",
        max_w=round(plateau_w * 1.02),
        resistance_mohm=PACK_MOHM,
    )
    return spec, note


def _battery_note(row: MeasuredSession, battery_wh: int) -> str:
    notes = []
    if row.soc_departure_permille - row.soc_arrival_permille < SHORT_SOC_PERMILLE:
        notes.append(
            f"battery estimate: SoC moved by {(row.soc_departure_permille - row.soc_arrival_permille) / 10:g} % only"
        )
    difference = abs(battery_wh - row.battery_wh_estimated) * 1000 // row.battery_wh_estimated
    if difference > BATTERY_TOLERANCE_PERMILLE:
        notes.append(
            f"battery estimate: {row.battery_wh_estimated} Wh in the file, {battery_wh} Wh from energy and SoC"
        )
    return "; ".join(notes)


def plan_day(
    rows: Sequence[MeasuredSession],
    *,
    efficiency_permille: int = 950,
    current_max_ma: int = 250_000,
    connectors: Mapping[str, int] | None = None,
) -> list[Visit]:
    """Return one `Visit` per row, by arrival. Plugs are numbered 1..n in alphabetical order unless told otherwise.

    `ConfigError` when two sessions overlap on a plug or a plug has no connector.
    """
    connectors = connectors or {plug: n for n, plug in enumerate(sorted({row.plug for row in rows}), 1)}
    problems: list[str] = []
    last: dict[str, MeasuredSession] = {}
    visits: list[Visit] = []
    for row in sorted(rows, key=lambda item: (item.arrival, item.plug)):
        before = last.get(row.plug)
        if row.plug not in connectors:
            problems.append(f"line {row.line}: plug = '{row.plug}': has no connector; known: {', '.join(connectors)}")
            continue
        if before is not None and before.departure > row.arrival:
            problems.append(
                f"line {row.line}: session {row.session} arrives at {row.plug} before session {before.session} has left"
            )
            continue
        last[row.plug] = row
        spec, note = fit_car(row, efficiency_permille=efficiency_permille, current_max_ma=current_max_ma)
        visits.append(
            Visit(
                session=row.session,
                connector=connectors[row.plug],
                plug=row.plug,
                arrive_wall=row.arrival,
                depart_wall=row.departure,
                car_spec=spec,
                soc_start_pct=row.soc_arrival_permille / 10,
                soc_target_pct=row.soc_departure_permille / 10,
                energy_wh=row.energy_wh,
                energy_dc_wh=round(row.energy_wh * efficiency_permille / 1000),
                power_max_w=row.power_max_w,
                plateau_dc_w=spec.curve[0][1],
                limited=row.limited,
                battery_note=_battery_note(row, spec.battery_wh),
                fit_note=note,
            )
        )
    if problems:
        raise ConfigError(problems)
    return visits


def judge(
    visit: Visit, delivered_wh: int, peak_w: int, soc_end_pct: float | None, limits_named: Sequence[str]
) -> Judged:
    """Compare a run with its measurement.

    ``delivered_wh`` and ``peak_w`` are DC side values of the run (meter of the connector); they are converted to the AC
    side of the measurement with the efficiency that the visit was planned with. ``limits_named`` are the limits that
    bound the session while it charged ("site", "modules", "cable", "thermal" ...), as the planner's explanation gave
    them. A difference of more than 5 % is accepted only with such a limit, a battery or a fit note.
    """
    ratio = visit.energy_wh / visit.energy_dc_wh
    energy_wh = round(delivered_wh * ratio)
    difference = round((energy_wh - visit.energy_wh) * 1000 / visit.energy_wh)
    within = abs(difference) <= TOLERANCE_PERMILLE
    why: list[str] = []
    if not within:
        if difference < 0:
            why += [f"limit: {name}" for name in dict.fromkeys(limits_named)]
        why += [note for note in (visit.fit_note, visit.battery_note) if note]
    return Judged(
        session=visit.session,
        connector=visit.connector,
        ok=within or bool(why),
        within=within,
        energy_measured_wh=visit.energy_wh,
        energy_wh=energy_wh,
        difference_permille=difference,
        peak_measured_w=visit.power_max_w,
        peak_w=round(peak_w * ratio),
        soc_end_measured_pct=visit.soc_target_pct,
        soc_end_pct=soc_end_pct,
        why=tuple(why) if why or within else ("unexplained",),
    )
