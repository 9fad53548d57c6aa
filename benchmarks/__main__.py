"""``make bench``: measure every budget of docs/ARCHITECTURE.md and write docs/performance.md."""

from __future__ import annotations

import platform
import sys
from pathlib import Path

from benchmarks import (
    bench_ac,
    bench_access,
    bench_core,
    bench_planner_budget,
    bench_process,
    bench_queue,
    bench_replan,
    bench_screens,
    bench_solvers,
    bench_wire,
)
from benchmarks.timing import Figure, reference_us

OUT = Path(__file__).resolve().parent.parent / "docs" / "performance.md"

MODULES = (
    bench_core, bench_ac, bench_wire, bench_access, bench_queue, bench_planner_budget, bench_replan, bench_solvers,
    bench_process, bench_screens,
)  # fmt: skip
"""Each has ``run() -> list[Figure]``; in the order of the table."""

SOAK = "\n## Killed and without power\n"
"""The section that `make soak` writes stays."""

HEAD = """# Performance

Written by `make bench`; run it on the target to know the target. Figures of one run on one machine: compare rows, and
use the reference loop (a fixed piece of pure Python) to compare machines. Budgets are those of
[ARCHITECTURE.md](ARCHITECTURE.md) and [planner.md](planner.md).

How it is measured:

- CPU costs are medians of repeated means. Tick and gate run over recorded inputs in which every reading is new on every
  tick, which is harder than reality: meters answer twice a second.
- The laboratory is the whole station (simulated devices, drivers, core, back end client, bundled back end) in one process
  under virtual time; so are reactions, which are counted in ticks.
- Lateness, memory and start are those of the real daemon beside the real simulator, over ptys, CAN and WebSocket, with
  bytecode cached as an installed package has it. Lateness begins when the daemon says that it is ready.
- Rows "against the planner" are ratios of CPU time on the same car parks in the same run: rounds of linear programs (HiGHS)
  that end with the planner's answer, and a convex MPC of twelve periods (cvxpy) in the style of the adaptive charging
  network.
- Screens run on a pty of 80x24 characters; bytes are what leaves for the line.

"""


def main() -> int:
    """Run everything, print and write the table; exit 1 when a budget is missed."""
    reference = reference_us()
    figures: list[Figure] = []
    for module in MODULES:
        for figure in module.run():
            figures.append(figure)
            print(f"{figure.name:58} {figure.value:10.2f} {figure.unit:8} {_verdict(figure)}", flush=True)
    lines = [
        HEAD,
        f"Machine: Python {platform.python_version()} on {platform.machine()}; reference loop {reference:.0f} µs.\n\n",
    ]
    lines += ["| what | measured | budget | |\n", "|---|---|---|---|\n"]
    for f in figures:
        budget = "" if f.budget is None else f"{f.budget:g} {f.unit}"
        lines.append(
            f"| {f.name} | {f.value:.2f} {f.unit} | {budget} | {_verdict(f)}{' ' + f.note if f.note else ''} |\n"
        )
    kept = OUT.read_text(encoding="utf-8").partition(SOAK)[1:] if OUT.exists() else ()
    OUT.write_text("".join([*lines, *kept]), encoding="utf-8")
    missed = [f.name for f in figures if f.met is False]
    for name in missed:
        print(f"missed: {name}", file=sys.stderr)
    return 1 if missed else 0


def _verdict(figure: Figure) -> str:
    return {None: "", True: "met", False: "**missed**"}[figure.met]


if __name__ == "__main__":
    sys.exit(main())
