"""What holds for every test: random examples are the same ones each time, garbage is collected rarely, and no message between a station
and the simulated CSMS breaks the official schemas."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest
from hypothesis import settings

from evse.sim.csms import SimCsms
from evse.sim.csms_frames import FrameBook
from tests._support.examples import FRESH, examples

settings.register_profile("seeded", max_examples=examples(100), derandomize=not FRESH, print_blob=True)
settings.load_profile("seeded")

GC_YOUNG = 20_000
"""New objects between two collections; Python's 700 makes one per tick of a station."""

gc.set_threshold(GC_YOUNG, 20, 20)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest of the slow tests begins first: the others run beside it."""
    items.sort(key=_patience_s, reverse=True)


def _patience_s(item: pytest.Item) -> float:
    """The time-out of a slow test, 0 for all others."""
    mark = item.get_closest_marker("timeout")
    return float(mark.args[0]) if mark is not None and item.get_closest_marker("slow") is not None else 0.0


def pytest_collection_finish() -> None:
    """Thousands of collected tests and all modules stay to the end: no collection looks at them again."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def official_schemas() -> Iterator[None]:
    """Look at every frame that a CSMS of the test, or of a process that it has started, sends or receives."""
    SimCsms.frames = book = FrameBook()
    yield
    SimCsms.frames = None
    assert book.take() == []
