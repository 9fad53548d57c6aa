"""A station that is killed or loses its power again and again: ``python -m tools.soak_ocpp --seeds 1000 --jobs 2``.

Every message is checked by the official schemas, and after each run the ledger of the CSMS is compared with the meters
(tests/ocpp_kill). First seeds with a CSMS that
misbehaves, then one quiet life that ends at each of its operations in turn. ``--write`` puts the figures into
docs/performance.md. Exit 0 when all books agree; else 1, with each seed, its problems and how to repeat it.
"""

from __future__ import annotations

import argparse
import multiprocessing
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec

from evse.sim.csms import SimCsms
from evse.sim.csms_frames import FrameBook
from tests.ocpp_kill.world import Death, Report, Run

FAST_DISK = Path("/dev/shm")
OUT = Path(__file__).resolve().parent.parent / "docs" / "performance.md"
SWEPT_SEED = 5
SWEEP_BATCH = 64
STORY_LINES = 60

Job = tuple[int, Death | None]


class Total(msgspec.Struct):
    """Sums over runs."""

    runs: int = 0
    failed: int = 0
    deaths: int = 0
    operations: int = 0
    transactions: int = 0
    messages: int = 0
    repeats: int = 0
    energy_wh: int = 0
    virtual_s: float = 0.0

    def add(self, report: Report) -> None:
        """Count a run."""
        self.runs += 1
        self.failed += bool(report.problems)
        for name in ("deaths", "operations", "transactions", "messages", "repeats", "energy_wh", "virtual_s"):
            setattr(self, name, getattr(self, name) + getattr(report, name))


def one(job: Job) -> tuple[Job, Report, bool]:
    """Play one run; return also whether its operation was reached."""
    seed, death = job
    SimCsms.frames = book = FrameBook()
    with tempfile.TemporaryDirectory(dir=FAST_DISK if FAST_DISK.is_dir() else None) as folder:
        run = Run(Path(folder), seed, death=death)
        report = run.report()
    report.problems += book.take()
    return job, report, run.blown


def _told(job: Job, report: Report) -> None:
    seed, death = job
    where = f"seed {seed}" if death is None else f"seed {seed}, {death.kind} {'after' if death.late else 'before'} operation {death.at}"
    lines = [f"{where}: FAILED", *report.story[-STORY_LINES:], *(f"PROBLEM {text}" for text in report.problems)]
    lines.append(f"repeat: python -m tools.soak_ocpp --seeds 1 --first {seed}" if death is None else "repeat: --sweep")
    sys.stdout.write("\n".join(lines) + "\n")
    sys.stdout.flush()


def _play(pool: multiprocessing.pool.Pool, jobs: Iterable[Job], total: Total) -> bool:
    """Play ``jobs``; return whether every one ended at its operation."""
    reached = True
    for job, report, blown in pool.imap_unordered(one, jobs, chunksize=4):
        total.add(report)
        reached = reached and blown
        if report.problems:
            _told(job, report)
    return reached


def sweep(pool: multiprocessing.pool.Pool, total: Total) -> int:
    """End the quiet life at each operation, before and after it, by SIGKILL and by the power; return how many there are."""
    at = 1
    while True:
        batch = range(at, at + SWEEP_BATCH)
        deaths = [Death(at=n, late=late, kind=kind) for n in batch for late in (False, True) for kind in ("kill", "power")]
        if not _play(pool, [(SWEPT_SEED, death) for death in deaths], total):
            return at + SWEEP_BATCH - 1
        at += SWEEP_BATCH


def table(rows: Sequence[tuple[str, Total]], seconds: float) -> str:
    """The figures for docs/performance.md."""
    lines = [
        "## Killed and without power\n\n",
        "Written by `make soak`. Client, queue, store and the worker that makes transactions durable are the real ones, under\n",
        "virtual time; the disk loses what was not synced, the CSMS misbehaves (docs/ocpp.md, docs/storage.md). An operation is\n",
        "one call on disk or network. Wrong = ledger and meters differ in a transaction, a message, its order, its number or Wh.\n\n",
        "| | runs | ends of the process | operations | transactions | messages | repeated | kWh | virtual hours | wrong |\n",
        "|---|---|---|---|---|---|---|---|---|---|\n",
    ]
    for name, t in rows:
        lines.append(
            f"| {name} | {t.runs} | {t.deaths} | {t.operations} | {t.transactions} | {t.messages} | {t.repeats} "
            f"| {t.energy_wh / 1000:.0f} | {t.virtual_s / 3600:.0f} | {t.failed} |\n"
        )
    lines.append(f"\n{sum(t.runs for _, t in rows)} runs in {seconds / 60:.0f} min.\n")
    return "".join(lines)


def write(text: str, path: Path = OUT) -> None:
    """Put the section at the end of docs/performance.md, instead of the one before."""
    head = path.read_text(encoding="utf-8").split("\n## Killed and without power\n", 1)[0].rstrip("\n")
    path.write_text(f"{head}\n\n{text}", encoding="utf-8")


def main(argv: Sequence[str] | None = None) -> int:
    """Run; return the exit status."""
    parser = argparse.ArgumentParser(prog="soak_ocpp", description=__doc__)
    parser.add_argument("--seeds", type=int, default=1000, help="how many seeds")
    parser.add_argument("--first", type=int, default=1, help="first seed")
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    parser.add_argument("--sweep", action="store_true", help="end a quiet life at each of its operations too")
    parser.add_argument("--write", action="store_true", help="put the figures into docs/performance.md")
    options = parser.parse_args(argv)
    began = time.monotonic()
    rows: list[tuple[str, Total]] = [("seeds", Total())]
    with multiprocessing.Pool(options.jobs, maxtasksperchild=200) as pool:
        _play(pool, [(seed, None) for seed in range(options.first, options.first + options.seeds)], rows[0][1])
        if options.sweep:
            rows.append(("each operation of a quiet life", Total()))
            sweep(pool, rows[1][1])
    text = table(rows, time.monotonic() - began)
    sys.stdout.write(text)
    if options.write:
        write(text)
    return 1 if any(total.failed for _, total in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
