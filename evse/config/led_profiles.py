"""Lamp profiles as data: ``profiles/leds/<name>.toml``, one ``[[behaviour]]`` per condition."""

from __future__ import annotations

import tomllib
from functools import cache

import msgspec

from evse.config.model_leds import LedBehaviourSection
from evse.config.paths import profiles_dir
from evse.config.profiles import nearest
from evse.domain.base import ConfigError, Frozen


class _Profile(Frozen, frozen=True, kw_only=True, forbid_unknown_fields=True):
    behaviour: tuple[LedBehaviourSection, ...]


def list_leds() -> list[str]:
    """Names of the profiles, e.g. "generic"."""
    return sorted(path.stem for path in (profiles_dir() / "leds").glob("*.toml"))


@cache
def load_leds(name: str) -> tuple[LedBehaviourSection, ...]:
    """Return the behaviours of the profile ``name``. Raises `ConfigError` when there is none or it is not valid."""
    known = list_leds()
    if name not in known:
        raise ConfigError([f"no such file profiles/leds/{name}.toml; {nearest(name, known)}"])
    try:
        data = tomllib.loads((profiles_dir() / "leds" / f"{name}.toml").read_text(encoding="utf-8"))
        return msgspec.convert(data, _Profile).behaviour
    except (tomllib.TOMLDecodeError, msgspec.ValidationError, UnicodeDecodeError) as error:
        raise ConfigError([f"profiles/leds/{name}.toml: {error}; correct this profile"]) from None
