"""What may be loaded where: start-up and memory depend on it, and nobody notices an import in a review."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent

HEAVY = ("aiohttp", "argon2", "can", "cryptography", "keyring", "ocpp", "pymodbus", "rich", "textual", "typer")
"""Packages that cost tens of milliseconds or megabytes."""

MAY: dict[str, tuple[str, ...]] = {
    "evse.core.tick": (),
    "evse.core.gate": (),
    "evse.planner.live": (),
    "evse.protocols.board_link": (),
    "evse.api.client": (),
    "evse.api.aclient": (),
    "evsectl.entry": (),
    "evsectl.reads": (),
    "evsectl.completion": (),
    "evse.runtime.main": (),
    "evse.runtime.station": (),
    "evse.runtime.process": (),
    "evse.runtime.api_socket": ("aiohttp", "argon2"),
    "evse.sim.station": (),
}
"""Module -> which of `HEAVY` its import may load. The daemon loads `evse.runtime.api_socket` in a thread, after its first tick."""

PURE = ("evse.core.tick", "evse.core.gate", "evse.planner.live", "evse.protocols.board_link")
NO_CLOCK = ("asyncio", "socket", "threading", "subprocess", "random")


def loaded(module: str) -> set[str]:
    """Top-level packages and standard modules that importing ``module`` in a fresh interpreter leaves loaded."""
    code = f"import sys, json; before = set(sys.modules); import {module}; print(json.dumps(sorted(set(sys.modules) - before)))"
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True, text=True, check=False, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stdout))


@pytest.mark.parametrize("module", MAY)
def test_heavy_packages_are_loaded_only_where_they_are_used(module: str) -> None:
    names = loaded(module)
    found = {name for name in HEAVY if name in names}
    assert found <= set(MAY[module]), f"import {module} loads {sorted(found - set(MAY[module]))}"


@pytest.mark.parametrize("module", PURE)
def test_pure_modules_load_no_clock_and_no_io(module: str) -> None:
    assert not loaded(module) & set(NO_CLOCK)


def test_every_heavy_package_is_installed_under_its_name() -> None:
    """Otherwise the list above would pin nothing."""
    import importlib.util

    assert [name for name in HEAVY if importlib.util.find_spec(name) is None] == []
