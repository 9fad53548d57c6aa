"""Station profiles: ``profiles/stations/<vendor>/<model>.toml``, the hardware that a station file names and
overrides."""

from __future__ import annotations

import difflib
import re

from evse.config.paths import profiles_dir
from evse.config.source import Problems, Source, read_toml
from evse.domain.base import ConfigError

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]*(/[a-z0-9][a-z0-9._-]*)*")


def list_stations() -> list[str]:
    """Names of the station profiles, e.g. "generic/dc-2x180"."""
    root = profiles_dir() / "stations"
    return sorted(path.relative_to(root).with_suffix("").as_posix() for path in root.rglob("*.toml"))


def nearest(word: str, known: list[str]) -> str:
    """ "did you mean ...?" or the list of what is known."""
    close = difflib.get_close_matches(word, known, n=1, cutoff=0.5)
    if close:
        return f'did you mean "{close[0]}"?'
    return f"known: {', '.join(known)}" if known else "none is installed"


def load_station(name: str, problems: Problems) -> Source | None:
    """Return the profile ``name``, or None after noting why not."""
    path = profiles_dir() / "stations" / f"{name}.toml"
    if not _NAME.fullmatch(name) or ".." in name or not path.is_file():
        problems.add(
            ("profile",), f"no such file profiles/stations/{name}.toml; {nearest(name, list_stations())}", name
        )
        return None
    try:
        source = read_toml(path.read_text(encoding="utf-8"), f"profiles/stations/{name}.toml")
    except ConfigError as error:
        problems.add(("profile",), f"the profile cannot be read: {error.problems[0]}", name)
        return None
    if "profile" in source.data:
        problems.add(("profile",), "the profile names another profile; only a station file may name one", name)
        del source.data["profile"]
    return source
