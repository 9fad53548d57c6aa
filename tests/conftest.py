"""What holds for every test: garbage is collected rarely, and no message between a station and the simulated CSMS breaks the official schemas."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator

import pytest

GC_YOUNG = 20_000
"""New objects between two collections; Python's 700 makes one per tick of a station."""

gc.set_threshold(GC_YOUNG, 20, 20)


def pytest_collection_finish() -> None:
    """Thousands of collected tests and all modules stay to the end: no collection looks at them again."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def official_schemas() -> Iterator[None]:
    """Look at all messages of the test's stations, if there are any."""
    module = sys.modules.get("evse.sim.csms")
    if module is None:  # this test's module has nothing to do with a CSMS
        yield
        return
    from tests._support.official import Official

    inspector = Official()
    module.SimCsms.inspector = inspector
    yield
    module.SimCsms.inspector = None
    assert inspector.take() == []
