"""Random days of the whole station, one per seed: ``python -m tools.soak --seeds 100 --first 1 --minutes 3 --kind ac``.

Exit 0 when every seed obeyed every law; else 1, with seed, git id, how to repeat it and the story of each failure.
"""

from __future__ import annotations

import argparse
import multiprocessing
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from tests._support.random_day import RandomDay

FAST_DISK = Path("/dev/shm")
"""Databases of the days go to memory where there is one: thousands of commits would wear a disk."""

STORY_LINES = 80


def one(job: tuple[int, float, str]) -> tuple[int, list[str], str, int, float]:
    """Live one day; return seed, problems, story, ticks and seconds."""
    seed, minutes, kind = job
    began = time.monotonic()
    with tempfile.TemporaryDirectory(dir=FAST_DISK if FAST_DISK.is_dir() else None) as folder:
        day = RandomDay(Path(folder), seed, minutes, kind)
        problems = day.run()
        return seed, problems, day.report() if problems else "", day.ticks, time.monotonic() - began


def main(argv: Sequence[str] | None = None) -> int:
    """Run the seeds; return the exit status."""
    parser = argparse.ArgumentParser(prog="soak", description=__doc__)
    parser.add_argument("--seeds", type=int, default=20, help="how many days")
    parser.add_argument("--first", type=int, default=1, help="first seed")
    parser.add_argument("--minutes", type=float, default=3.0, help="minutes of chaos per day, virtual time")
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    parser.add_argument("--story", type=Path, default=None, help="directory for whole stories of failures")
    parser.add_argument("--kind", choices=("dc", "matrix", "ac"), default="dc",
                        help="DC stations on a bus, a DC matrix cabinet, or AC and mixed ones")
    options = parser.parse_args(argv)
    jobs = [(seed, options.minutes, options.kind) for seed in range(options.first, options.first + options.seeds)]
    git = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    failed = 0
    with multiprocessing.Pool(options.jobs, maxtasksperchild=8) as pool:
        for seed, problems, story, ticks, seconds in pool.imap_unordered(one, jobs):
            sys.stdout.write(f"seed {seed}: {'FAILED' if problems else 'ok'}, {ticks} ticks in {seconds:.1f} s\n")
            if problems:
                failed += 1
                lines = story.splitlines()
                if options.story is not None:
                    options.story.mkdir(parents=True, exist_ok=True)
                    (options.story / f"seed-{seed}.txt").write_text(story)
                    lines = [f"PROBLEM {text}" for text in problems]
                sys.stdout.write("\n".join(lines[-STORY_LINES:]) + "\n")
                sys.stdout.write(
                    f"git {git.stdout.strip()}; repeat: "
                    f"python -m tools.soak --seeds 1 --first {seed} --minutes {options.minutes:g} --kind {options.kind}\n"
                )
            sys.stdout.flush()
    sys.stdout.write(f"{len(jobs)} days, {failed} failed\n")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
