"""``evsectl sim sessions``: the whole station through measured sessions, as fast as it goes, compared with the measurement.

The same core, drivers and OCPP client as on hardware, in-memory pipes, virtual time, 50 ms ticks. While no car is
plugged in the calendar jumps to the next arrival (docs/decisions/0002). Exit 0 when every session was served, none
differs without a named reason, the site limit held and the back end's ledger equals the session history; else 1.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import msgspec

from evse.config.load import load_config
from evse.config.model import StationConfig
from evse.config.model_ocpp import OcppSection
from evse.config.paths import profiles_dir
from evse.domain.base import ConfigError
from evse.domain.limits import LimitSource
from evse.domain.session import SessionRecord
from evse.domain.view import StationView
from evse.lab.station import Lab
from evse.lab.vloop import run_virtual
from evse.sim.measured import Judged, MeasuredSession, Visit, busiest_day, day_of, judge, plan_day, read_sessions
from evse.units import NS_PER_S, WallNs

JUMP_MARGIN_NS = 5 * NS_PER_S
TOKEN = "04{session:06X}"
OWN_LIMITS = frozenset({LimitSource.EV, LimitSource.PLAN})
"""Bounds that are the vehicle's wish, or only pass another bound on; the plan names its own cause."""


class DayReport(msgspec.Struct, frozen=True, kw_only=True):
    """Result of a run. Energies and powers of ``rows`` and ``site`` are AC side."""

    days: tuple[str, ...]
    rows: tuple[Judged, ...]
    sessions_measured: int
    sessions_served: int
    energy_measured_wh: int
    energy_wh: int
    site_limit_w: int
    assigned_max_w: int
    measured_max_w: int
    ledger_equal: bool
    ledger_differences: tuple[str, ...]
    ticks: int
    wall_seconds: float
    problems: tuple[str, ...]


class _Watcher:
    """Notes, twice a second, the highest site values and what bound each session."""

    def __init__(self, efficiency_permille: int) -> None:
        self.assigned_max_w = 0
        self.measured_max_w = 0
        self.bound: dict[str, list[str]] = {}
        self._efficiency = efficiency_permille

    def __call__(self, view: StationView) -> None:
        self.assigned_max_w = max(self.assigned_max_w, -(-view.assigned_w * 1000 // self._efficiency))
        self.measured_max_w = max(self.measured_max_w, view.site_power_w or 0)
        for evse in view.evses:
            if evse.session is None or not evse.power_w:
                continue
            named = self.bound.setdefault(evse.session.session_id, [])
            for entry in evse.limits:
                if entry.binds and entry.source not in OWN_LIMITS and entry.source.value not in named:
                    named.append(entry.source.value)
                elif entry.binds and entry.source is LimitSource.PLAN and entry.detail and entry.detail not in named:
                    named.append(entry.detail)


class _Progress:
    """A bar on stderr, only on a terminal, at most once a second."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._shown = 0.0
        self._on = sys.stderr.isatty()

    def show(self, done: int, text: str) -> None:
        """Redraw if a second has passed."""
        now = time.monotonic()
        if not self._on or (now - self._shown < 1.0 and done < self._total):
            return
        self._shown = now
        filled = 30 * done // max(1, self._total)
        sys.stderr.write(f"\r[{'#' * filled}{'.' * (30 - filled)}] {done}/{self._total} {text:<40}")
        if done == self._total:
            sys.stderr.write("\n")
        sys.stderr.flush()


async def run_day(config: StationConfig, visits: Sequence[Visit], data_dir: Path, *, seed: int = 1) -> DayReport:
    """Run ``visits`` (sorted by arrival) and judge them."""
    began = time.monotonic()
    happenings = sorted(
        [(v.arrive_wall, 1, v) for v in visits] + [(v.depart_wall, 0, v) for v in visits],
        key=lambda h: (h[0], h[1], h[2].session),
    )
    watcher = _Watcher(config.site.efficiency_permille)
    progress = _Progress(len(happenings))
    by_session: dict[int, str] = {}
    readers = {evse_id: reader.name for reader in config.reader for evse_id in reader.evses}
    async with Lab(config, data_dir, seed=seed, wall_at_start=happenings[0][0] - 60 * NS_PER_S) as lab:
        lab.station.view_sinks.append(watcher)
        await lab.forward(10)  # boot notification, meters, modules
        for done, (wall, arrives, visit) in enumerate(happenings):
            await _wait_for(lab, wall)
            progress.show(done, f"{day_of(wall)} session {visit.session}")
            if arrives:
                lab.sim.plug_in_spec(visit.connector, visit.car_spec)
                await lab.forward(1)
                await lab.do(cmd="swipe", token=TOKEN.format(session=visit.session), reader=readers[visit.connector])
            else:
                session = lab.evse(visit.connector).session
                if session is not None:
                    by_session[visit.session] = session.session_id
                await lab.do(cmd="plug_out", connector=visit.connector)
                await lab.until(_gone(lab, visit.connector), f"plug out of session {visit.session}", 30)
                await lab.forward(2)
        progress.show(len(happenings), "done")
        await lab.until(
            lambda: lab.station.ocpp is None or lab.station.ocpp.summary().queued == 0, "queue drained", 300
        )
        history, _, _ = await lab.store.sessions(state="all", limit=100_000)
        ledger = lab.sim.csms.ledger() if lab.sim.csms is not None else None
        ticks = lab.station.loop.stats.count
    return _report(config, visits, history, by_session, watcher, ledger, ticks, time.monotonic() - began)


def _gone(lab: Lab, connector: int) -> Callable[[], bool]:
    return lambda: not lab.evse(connector).plugged


async def _wait_for(lab: Lab, wall: WallNs) -> None:
    """Run to ``wall``; with no car there, jump the calendar close to it first."""
    while lab.clock.wall() < wall:
        idle = not any(evse.plugged for evse in lab.view().evses)
        if idle and wall - lab.clock.wall() > 2 * JUMP_MARGIN_NS:
            lab.clock.jump_wall(wall - JUMP_MARGIN_NS)
            continue
        await asyncio.sleep(min(5.0, max(0.05, (wall - lab.clock.wall()) / NS_PER_S)))


def _report(
    config: StationConfig,
    visits: Sequence[Visit],
    history: Sequence[SessionRecord],
    by_session: dict[int, str],
    watcher: _Watcher,
    ledger: Any,
    ticks: int,
    seconds: float,
) -> DayReport:
    records = {record.session_id: record for record in history}
    rows, problems = [], []
    for visit in visits:
        record = records.get(by_session.get(visit.session, ""))
        if record is None or record.started_at is None:
            problems.append(f"session {visit.session} was not served")
            rows.append(judge(visit, 0, 0, None, []))
            continue
        rows.append(
            judge(
                visit,
                record.energy_wh,
                record.power_max_w,
                record.soc_end_pct,
                watcher.bound.get(record.session_id, []),
            )
        )
    problems += [
        f"session {row.session} differs by {row.difference_permille / 10:.1f} % and nothing explains it"
        for row in rows
        if not row.ok
    ]
    limit = config.site.limit_w
    if limit and watcher.measured_max_w > limit:
        problems.append(f"site limit {limit} W exceeded: {watcher.measured_max_w} W measured")
    differences = compare_ledger(history, ledger)
    problems += differences
    return DayReport(
        days=tuple(sorted({day_of(v.arrive_wall) for v in visits})),
        rows=tuple(rows),
        sessions_measured=len(visits),
        sessions_served=sum(row.energy_wh > 0 for row in rows),
        energy_measured_wh=sum(v.energy_wh for v in visits),
        energy_wh=sum(row.energy_wh for row in rows),
        site_limit_w=limit,
        assigned_max_w=watcher.assigned_max_w,
        measured_max_w=watcher.measured_max_w,
        ledger_equal=not differences,
        ledger_differences=tuple(differences),
        ticks=ticks,
        wall_seconds=round(seconds, 1),
        problems=tuple(problems),
    )


def compare_ledger(history: Sequence[SessionRecord], ledger: Any) -> list[str]:
    """Compare the station's history with the back end's ledger: each transaction once, with the same meter values."""
    if ledger is None:
        return []
    found = [f"ledger: {text}" for text in ledger["violations"]]
    theirs = {row["transaction_id"]: row for row in ledger["transactions"]}
    ours = {r.transaction_id: r for r in history if r.started_at is not None}
    for number, record in ours.items():
        row = theirs.pop(number, None)
        if row is None:
            found.append(f"ledger: session {record.session_id} (transaction {number}) is not in it")
            continue
        for name, mine, other in (
            ("meter start", record.meter_start_wh, row["meter_start_wh"]),
            ("meter stop", record.meter_stop_wh, row["meter_stop_wh"]),
            ("id token", record.id_token, row["id_token"]),
        ):
            if mine != other:
                found.append(f"ledger: transaction {number}: {name} {other} there, {mine} here")
    found += [f"ledger: transaction {number} is not in the history" for number in theirs]
    return found


def table(report: DayReport) -> str:
    """The report for people."""
    lines = [
        f"{'SESSION':>8}  {'EVSE':>4}  {'MEASURED kWh':>12}  {'HERE kWh':>9}  {'DIFF %':>6}  {'PEAK kW':>13}  {'SOC END':>9}  WHY\n"
    ]
    for row in report.rows:
        soc = "-" if row.soc_end_pct is None else f"{row.soc_end_pct:.0f}"
        lines.append(
            f"{row.session:>8}  {row.connector:>4}  {row.energy_measured_wh / 1000:>12.2f}  {row.energy_wh / 1000:>9.2f}  "
            f"{row.difference_permille / 10:>6.1f}  {row.peak_measured_w / 1000:>6.1f}>{row.peak_w / 1000:<6.1f}  "
            f"{row.soc_end_measured_pct:>4.0f}>{soc:<4}  {'; '.join(row.why)}".rstrip()
            + "\n"
        )
    total = (report.energy_wh - report.energy_measured_wh) * 100 / max(1, report.energy_measured_wh)
    lines.append(
        f"\n{', '.join(report.days)}: {report.sessions_served} of {report.sessions_measured} sessions served, "
        f"{report.energy_wh / 1000:.2f} kWh (measured {report.energy_measured_wh / 1000:.2f}, {total:+.1f} %)\n"
        f"site: at most {report.measured_max_w / 1000:.1f} kW measured, {report.assigned_max_w / 1000:.1f} kW assigned, "
        f"limit {report.site_limit_w / 1000:.1f} kW; ledger {'equal' if report.ledger_equal else 'DIFFERENT'}\n"
        f"{report.ticks} ticks in {report.wall_seconds:.0f} s\n"
    )
    lines += [f"problem: {problem}\n" for problem in report.problems]
    return "".join(lines)


def select(path: Path, first: str, last: str, limit: int) -> list[MeasuredSession]:
    """Rows of the wanted days; the busiest day without dates. Raise `ConfigError` naming what is wrong."""
    try:
        date_from = date.fromisoformat(first) if first else None
        date_to = date.fromisoformat(last) if last else date_from
    except ValueError as error:
        raise ConfigError([f"--from/--to: {error}; write YYYY-MM-DD"]) from error
    rows = read_sessions(path, date_from=date_from, date_to=date_to)
    if date_from is None and rows:
        day = busiest_day(rows)
        rows = [row for row in rows if day_of(row.arrival) == day]
    if not rows:
        raise ConfigError([f"{path}: no session between {first or 'the beginning'} and {last or first or 'the end'}"])
    rows.sort(key=lambda row: row.arrival)
    return rows[:limit] if limit else rows


def find_config(name: str) -> StationConfig:
    """A station.toml by path, or a shipped profile by name; the bundled back end is switched on."""
    path = Path(name)
    config = load_config(path if path.suffix == ".toml" else profiles_dir() / "stations" / f"{name}.toml")
    return msgspec.structs.replace(config, ocpp=OcppSection(enabled=True, url="ws://csms.invalid/ocpp"))


def main(argv: list[str] | None = None) -> int:
    """Command line of the module."""
    parser = argparse.ArgumentParser(prog="evsectl sim sessions")
    parser.add_argument("file", type=Path)
    parser.add_argument("--from", dest="first", default="")
    parser.add_argument("--to", dest="last", default="")
    parser.add_argument("--config", default="measured/desl-172k5")
    parser.add_argument("--limit", type=int, default=0)
    parser.add_argument("-o", "--output", choices=["table", "json"], default="table")
    options = parser.parse_args(argv)
    try:
        config = find_config(options.config)
        rows = select(options.file, options.first, options.last, options.limit)
        visits = plan_day(rows, efficiency_permille=config.site.efficiency_permille, connectors={"CCS1": 1, "CCS2": 2})
    except ConfigError as error:
        sys.stderr.write("".join(f"evsectl: {problem}\n" for problem in error.problems))
        return 9
    try:
        with tempfile.TemporaryDirectory(prefix="evse-sessions-") as folder:
            report = run_virtual(run_day(config, visits, Path(folder)))
    except KeyboardInterrupt:
        return 130
    if options.output == "json":
        sys.stdout.write(
            json.dumps({"apiVersion": "evse/v1", "kind": "SessionsReport", **msgspec.to_builtins(report)}, indent=2)
            + "\n"
        )
    else:
        sys.stdout.write(table(report))
    return 1 if report.problems else 0


if __name__ == "__main__":
    sys.exit(main())
