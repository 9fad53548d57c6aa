"""Timing helpers: medians, and a fixed reference loop that makes figures of different machines comparable."""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable

import msgspec

REFERENCE_ROUNDS = 20_000


class Figure(msgspec.Struct, frozen=True, kw_only=True):
    """One measured figure beside its budget. ``ok`` None = no budget."""

    name: str
    value: float
    unit: str
    budget: float | None
    note: str = ""

    @property
    def met(self) -> bool | None:
        """Whether the figure is within its budget."""
        return None if self.budget is None else self.value <= self.budget


def median_us(run: Callable[[], object], rounds: int, repeat: int = 5) -> float:
    """Median over ``repeat`` of the mean time of one call in ``rounds``, in µs."""
    samples = []
    for _ in range(repeat):
        gc.collect()
        began = time.perf_counter_ns()
        for _ in range(rounds):
            run()
        samples.append((time.perf_counter_ns() - began) / rounds / 1000)
    return statistics.median(samples)


def reference_us() -> float:
    """Time of a fixed piece of pure Python, in µs: the unit of the ratios."""

    def work() -> int:
        total = 0
        for i in range(1000):
            total += i * i % 7
        return total

    return median_us(work, 200)
