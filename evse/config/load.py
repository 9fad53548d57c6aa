"""Read ``station.toml``: all mistakes at once, each with file, line, key, value and remedy.

    station.toml:14: site.limit_kw = 60: unknown key, wrong unit; use limit_w = 60000

A profile (``profile = "generic/dc-2x180"``) is the base, the file overrides it: tables merge, EVSEs and module groups
meet
by ``id``, readers by ``name``, everything else is replaced.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from evse.config.check import check_all
from evse.config.model import StationConfig
from evse.config.profiles import load_station
from evse.config.source import CONFIG_BYTES_MAX, Problems, Source, merge, read_toml
from evse.config.values import check_tables
from evse.domain.base import ConfigError


def _with_profile(own: Source) -> tuple[Source, list[str]]:
    """The station file laid onto its profile, and what is wrong with the profile's name."""
    name = own.data.get("profile")
    if not isinstance(name, str) or not name:
        return own, []
    problems = Problems(own)
    base = load_station(name, problems)
    return (own, problems.texts()) if base is None else (merge(base, own), [])


def parse_config(text: str, path: str, *, check_files: bool = True) -> StationConfig:
    """Return the configuration in ``text``; ``path`` is its name for messages.

    ``check_files`` False leaves out checks of this machine's directories. Raises `ConfigError` with every mistake,
    those
    of the file first, in the order of its lines.
    """
    source, broken = _with_profile(read_toml(text, path))
    problems = Problems(source)
    check_tables(source, problems)
    check_all(source, problems, files=check_files)
    texts = [*broken, *problems.texts()]
    if broken:  # without its profile a station file lacks what the profile has: that is not another mistake
        texts = [t for t in texts if ": is missing" not in t and "groups in [modules]: none" not in t]
    if texts:
        raise ConfigError(texts)
    try:
        return msgspec.convert(source.data, StationConfig)
    except msgspec.ValidationError as error:  # a rule of the declarations that `values` does not know
        raise ConfigError([f"{path}:1: {error}; correct this value"]) from None


def load_config(path: Path) -> StationConfig:
    """Return the configuration in the file ``path``. Raises `ConfigError`, also when the file cannot be read."""
    return parse_config(read_text(path), str(path))


def read_text(path: Path) -> str:
    """Return the text of a configuration file; `ConfigError` says why it cannot be read."""
    try:
        if path.stat().st_size > CONFIG_BYTES_MAX:
            raise ConfigError([f"{path}:1: larger than {CONFIG_BYTES_MAX} bytes; this is not a station file"])
        return path.read_bytes().decode("utf-8")
    except FileNotFoundError:
        raise ConfigError([f"{path}: there is no such file; create it or name another with --config"]) from None
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise ConfigError(
            [f"{path}:{line}: byte {error.object[error.start]:#04x} is not UTF-8; save the file as UTF-8"]
        ) from None
    except OSError as error:
        raise ConfigError([f"{path}: cannot be read: {error.strerror}; check the path and its permissions"]) from None
