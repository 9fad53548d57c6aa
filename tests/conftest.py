"""What holds for every test: no message between a station and the simulated CSMS breaks the official schemas."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest


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
