"""Where the data files of the product are."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from evse.domain.base import ConfigError


@cache
def profiles_dir() -> Path:
    """Return the directory of profiles: ``<checkout>/profiles``, or ``evse/data/profiles`` of an installed wheel."""
    package = Path(__file__).resolve().parent.parent
    candidates = (package / "data" / "profiles", package.parent / "profiles")
    for candidate in candidates:
        if candidate.is_dir():
            return candidate
    raise ConfigError([f"profiles: no directory at {' or '.join(map(str, candidates))}; reinstall the package"])
