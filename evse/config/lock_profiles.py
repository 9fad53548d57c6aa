"""Plug lock motors as data: ``profiles/locks/<name>.toml``, one `LockMotor` each."""

from __future__ import annotations

import tomllib
from functools import cache

import msgspec

from evse.config.paths import profiles_dir
from evse.config.profiles import nearest
from evse.domain.ac import LockMotor
from evse.domain.base import ConfigError


def list_locks() -> list[str]:
    """Names of the motors, e.g. "kuester-02s"."""
    return sorted(path.stem for path in (profiles_dir() / "locks").glob("*.toml"))


@cache
def load_lock(name: str) -> LockMotor:
    """Return the motor ``name``. Raises `ConfigError` when there is no such profile or it is not valid."""
    known = list_locks()
    if name not in known:
        raise ConfigError([f"no such file profiles/locks/{name}.toml; {nearest(name, known)}"])
    path = f"profiles/locks/{name}.toml"
    try:
        data = tomllib.loads((profiles_dir() / "locks" / f"{name}.toml").read_text(encoding="utf-8"))
        return msgspec.convert(data.get("motor", {}), LockMotor)
    except (tomllib.TOMLDecodeError, msgspec.ValidationError, UnicodeDecodeError) as error:
        raise ConfigError([f"{path}: {error}; correct this profile"]) from None
