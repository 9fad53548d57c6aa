"""Thousands of seeded planner problems against the true optimum (HiGHS), with the seeds of those that differ.

    python -m tools.planner_proof [--seeds 2000] [--from 0] [--largest 60] [--jobs 2]

Sizes go from 2 to ``--largest`` connectors (DC: to 12). Exit 1 when a limit is broken or anybody is more than a set-point step
below the optimum. Needs the development packages.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from functools import partial

from tests.planner.instances import Verdict, described, judge_ac, judge_dc, odd_instance

DC_LARGEST = 12
ODD_EVERY = 4


def every(seed: int, largest: int) -> list[tuple[int, Verdict]]:
    """One AC and one DC problem of a seed, and of every fourth an AC problem with odd minimums."""
    size = 2 + seed % (largest - 1)
    verdicts = [judge_ac(seed, size), judge_dc(seed, 1 + seed % DC_LARGEST)]
    if seed % ODD_EVERY == 0:
        verdicts.append(judge_ac(seed, size, odd_instance))
    return [(seed, verdict) for verdict in verdicts]


def main() -> int:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=2000)
    parser.add_argument("--from", dest="first", type=int, default=0)
    parser.add_argument("--largest", type=int, default=60)
    parser.add_argument("--jobs", type=int, default=2)
    options = parser.parse_args()
    began = time.monotonic()
    checked: Counter[str] = Counter()
    inexact: dict[str, list[int]] = {}
    wrong: list[str] = []
    seeds = range(options.first, options.first + options.seeds)
    with ProcessPoolExecutor(options.jobs) as pool:
        for verdicts in pool.map(partial(every, largest=options.largest), seeds, chunksize=10):
            for seed, verdict in verdicts:
                checked[verdict.kind] += 1
                if not verdict.exact:
                    inexact.setdefault(verdict.kind, []).append(seed)
                if verdict.wrong:
                    wrong.append(described(verdict, seed))
                    sys.stderr.write(wrong[-1] + "\n")
    report = {
        "checked": dict(sorted(checked.items())), "said to be inexact": {k: f"{len(found)}: seeds {found}" for k, found in sorted(inexact.items())},
        "wrong": len(wrong), "seconds": round(time.monotonic() - began),
    }  # fmt: skip
    sys.stdout.write(json.dumps(report, indent=1) + "\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
