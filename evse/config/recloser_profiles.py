"""Reclosers as data: ``profiles/reclosers/<vendor>/<model>.toml``, one `RecloserProfile` each."""

from __future__ import annotations

import tomllib
from functools import cache

import msgspec

from evse.config.paths import profiles_dir
from evse.config.profiles import nearest
from evse.domain.base import ConfigError
from evse.domain.recloser import RecloserProfile, RecloserRegisters


def list_reclosers() -> list[str]:
    """Names of the models, e.g. "geya/grd9m"."""
    root = profiles_dir() / "reclosers"
    return sorted(p.relative_to(root).with_suffix("").as_posix() for p in root.glob("*/*.toml"))


@cache
def load_recloser(name: str) -> RecloserProfile:
    """Return the model ``name``. Raises `ConfigError` when there is no such profile or it is not valid."""
    known = list_reclosers()
    where = f"profiles/reclosers/{name}.toml"
    if name not in known:
        raise ConfigError([f"no such file {where}; {nearest(name, known)}"])
    return parse_recloser(name, (profiles_dir() / "reclosers" / f"{name}.toml").read_text(encoding="utf-8"), where)


def parse_recloser(name: str, text: str, where: str) -> RecloserProfile:
    """Return the profile written in ``text``; ``where`` is its file name for error texts."""
    try:
        profile = msgspec.convert({"name": name, **tomllib.loads(text)}, RecloserProfile)
    except (tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise ConfigError([f"{where}: {error}; correct this profile"]) from None
    problems = [f"{where}: registers: {problem}" for problem in register_problems(profile.registers)]
    if problems:
        raise ConfigError(problems)
    return profile


def register_problems(registers: RecloserRegisters) -> list[str]:
    """What the types of a ``[registers]`` section cannot say."""
    problems = []
    states = [registers.state_open, registers.state_closed]
    states += [] if registers.state_moving is None else [registers.state_moving]
    if registers.state_function in (1, 2):
        if any(value > 1 for value in states) or registers.state_moving is not None:
            problems.append(f"state_function {registers.state_function} reads one bit: states are 0 and 1, none is moving")
    elif any(value & ~registers.state_mask for value in states):
        problems.append(f"state_mask {registers.state_mask} hides bits of {', '.join(map(str, states))}")
    if len(set(states)) != len(states):
        problems.append(f"two of state_open, state_closed and state_moving are equal ({', '.join(map(str, states))})")
    if registers.command_open == registers.command_close:
        problems.append(f"command_open and command_close are both {registers.command_open}")
    if registers.command_function == 5 and bool(registers.command_open) == bool(registers.command_close):
        problems.append("command_function 5 writes a coil: one command is 0, the other is not")
    if (registers.state_address is None) != (registers.command_address is None):
        problems.append("state_address and command_address are needed together")
    return problems


def with_registers(profile: RecloserProfile, registers: RecloserRegisters) -> RecloserProfile:
    """Return ``profile`` with the registers that a site has filled in."""
    return msgspec.structs.replace(profile, registers=registers)
