"""One fake station behind the real server for a whole module, put back before each test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests._support.api_world import served_in_thread
from tests._support.fake_service import FakeStation
from tests.cli.support import Rewind, environment, quiet_environment


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[FakeStation, Path, Rewind]]:
    """The station, its socket, and the way back."""
    socket = tmp_path_factory.mktemp("d") / "s"
    with served_in_thread(socket) as station:
        yield station, socket, Rewind(station)


@pytest.fixture
def station(served: tuple[FakeStation, Path, Rewind], tmp_path: Path) -> Iterator[FakeStation]:
    """A fresh station; evsectl finds it through EVSECTL_HOST."""
    fake, socket, rewind = served
    rewind()
    with environment({**quiet_environment(tmp_path), "EVSECTL_HOST": f"unix://{socket}"}):
        yield fake


@pytest.fixture
def alone(tmp_path: Path) -> Iterator[Path]:
    """No daemon; the path where its socket would be."""
    with environment({**quiet_environment(tmp_path), "EVSECTL_HOST": f"unix://{tmp_path}/none"}):
        yield tmp_path / "none"
