"""Loading of meter profiles from ``profiles/meters/<vendor>/<model>.toml``.

A profile is refused with all that is wrong in it: file, line, key, value and what is expected.
"""

from __future__ import annotations

import difflib
import tomllib
from decimal import Decimal
from functools import cache
from typing import Any

import msgspec

from evse.config.paths import profiles_dir
from evse.domain.base import ConfigError
from evse.domain.meter_profile import BusDefaults, Identify, MeterProfile, Register, ValueMap

__all__ = ["BusDefaults", "Identify", "MeterProfile", "Register", "ValueMap", "list_profiles", "load_profile", "parse_profile"]

TEXT_TYPES = ("ascii", "ascii_low", "bytes")
FILE_BYTES_MAX = 512 * 1024
"""The largest profile (BSM-WS36A) has 30 kB."""


def list_profiles() -> list[str]:
    """Return the names ("eastron/sdm630") of all meter profiles, sorted."""
    root = profiles_dir() / "meters"
    return sorted(
        p.relative_to(root).with_suffix("").as_posix() for p in root.glob("*/*.toml") if p.name != "quality.toml"
    )


@cache
def load_profile(name: str) -> MeterProfile:
    """Return the profile ``name``; `ConfigError` names file, line, key and value, or the nearest known profile."""
    known = list_profiles()
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1, cutoff=0.4)
        hint = f"did you mean {near[0]!r}?" if near else "see profiles/meters"
        raise ConfigError([f"meter profile {name!r}: there is no such profile; {hint}"])
    path = profiles_dir() / "meters" / f"{name}.toml"
    return parse_profile(name, path.read_text(encoding="utf-8"), str(path))


def parse_profile(name: str, text: str, where: str) -> MeterProfile:
    """Return the profile written in ``text``; ``where`` is its file name for error texts."""
    if len(text) > FILE_BYTES_MAX:
        raise ConfigError([f"{where}: longer than {FILE_BYTES_MAX} characters, this is not a meter profile"])
    try:
        document = tomllib.loads(text, parse_float=Decimal)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError([f"{where}: {error}"]) from None
    rows = document.pop("registers", [])
    problems: list[str] = []
    registers = [r for i, row in enumerate(rows) if (r := _register(row, i, text, where, problems)) is not None]
    try:
        profile = msgspec.convert({"name": name, "registers": (), **document}, MeterProfile)
    except msgspec.ValidationError as error:
        problems.append(f"{where}: {error}")
        raise ConfigError(problems) from None
    profile = msgspec.structs.replace(profile, registers=tuple(registers))
    problems += _check(profile, text, where)
    if problems:
        raise ConfigError(problems)
    return profile


def _register(row: dict[str, Any], index: int, text: str, where: str, problems: list[str]) -> Register | None:
    try:
        return msgspec.convert(row, Register)
    except msgspec.ValidationError as error:
        name = row.get("quantity", f"number {index + 1}") if isinstance(row, dict) else f"number {index + 1}"
        problems.append(f"{where}:{_line(text, str(name))}: register {name}: {error}")
        return None


def _line(text: str, quantity: str) -> int:
    """Line of the register ``quantity``; 1 when it cannot be found."""
    at = text.find(f'quantity = "{quantity}"')
    return text.count("\n", 0, at) + 1 if at >= 0 else 1


def _check(profile: MeterProfile, text: str, where: str) -> list[str]:
    """What the types cannot say: names are unique, references exist, lengths and addresses fit."""
    problems: list[str] = []
    by_name: dict[str, Register] = {}
    for r in profile.registers:
        at = f"{where}:{_line(text, r.quantity)}: register {r.quantity}"
        if r.quantity in by_name:
            problems.append(f"{at}: the name is used twice; give the second one a suffix")
        by_name[r.quantity] = r
        if r.type in TEXT_TYPES and not r.count and not r.length:
            problems.append(f"{at}: type {r.type} needs count or length")
        if r.type not in TEXT_TYPES and r.count and r.count != _words(r.type):
            problems.append(f"{at}: count {r.count} does not fit type {r.type} ({_words(r.type)} registers)")
        if profile.bus.even_addresses and r.type == "float32" and r.address % 2:
            problems.append(f"{at}: address {r.address} is odd, but bus.even_addresses is set")
        if r.scale == 0:
            problems.append(f"{at}: scale 0 makes every value zero")
    for r in profile.registers:
        for key, name in (("exponent", r.exponent), ("length", r.length)):
            if name and name not in by_name:
                problems.append(
                    f"{where}:{_line(text, r.quantity)}: register {r.quantity}: {key} {name!r} is not in this profile"
                )
    for key in ValueMap.__struct_fields__:
        expression = getattr(profile.values, key)
        for one in expression if isinstance(expression, tuple) else (expression or "",):
            problems += [
                f"{where}: values.{key}: {name!r} is not a register of this profile"
                for name in one.split()[0::2]
                if name not in by_name
            ]
            if any(sign not in ("+", "-") for sign in one.split()[1::2]) or (one and len(one.split()) % 2 == 0):
                problems.append(f'{where}: values.{key}: {one!r} is not "a", "a + b" or "a - b"')
    return problems + _check_identify(profile, by_name, where) + _check_signing(profile, by_name, where)


def _check_signing(profile: MeterProfile, by_name: dict[str, Register], where: str) -> list[str]:
    """Names exist, what is written may be written, texts are texts and numbers are numbers."""
    signing = profile.signing
    if signing is None:
        return []
    wanted = [
        (f"signing.{key}", getattr(signing, key), text, written)
        for key, text, written in (
            ("public_key", True, False), ("measuring", False, False), ("time", False, True), ("time_zone", False, True),
            ("time_set", False, True), ("id_token", True, True), ("id_length", False, True),
        )
    ]
    for which, shot in (("begin", signing.begin), ("end", signing.end)):
        wanted += [
            (f"signing.{which}.command", shot.command, False, True), (f"signing.{which}.status", shot.status, False, False),
            (f"signing.{which}.data", shot.data, True, False), (f"signing.{which}.signature", shot.signature, True, False),
        ]
    problems = []
    for key, name, text, written in wanted:
        register = by_name.get(name)
        if not name:
            continue
        if register is None:
            problems.append(f"{where}: {key}: {name!r} is not a register of this profile")
        elif (register.type in TEXT_TYPES) is not text:
            problems.append(f"{where}: {key}: {name} has type {register.type}; a {'text' if text else 'number'} is needed")
        elif written and register.access == "r":
            problems.append(f"{where}: {key}: {name} is written; set its access to \"rw\" or \"w\"")
    if "{id}" not in signing.id_text:
        problems.append(f"{where}: signing.id_text: {signing.id_text!r} has no {{id}}")
    return problems


def _check_identify(profile: MeterProfile, by_name: dict[str, Register], where: str) -> list[str]:
    identify = profile.identify
    problems = [
        f"{where}: identify.{key}: {name!r} is not a register of this profile"
        for key, name in (("quantity", identify.quantity), ("serial", identify.serial))
        if name and name not in by_name
    ]
    register = by_name.get(identify.quantity)
    if not identify.quantity and (identify.values or identify.texts):
        problems.append(f"{where}: identify.values and identify.texts need identify.quantity")
    if register is not None:
        wanted = "texts" if register.type in TEXT_TYPES else "values"
        if not getattr(identify, wanted) or (identify.values and identify.texts):
            problems.append(f"{where}: identify.{wanted}: {register.quantity} has type {register.type}, list its {wanted}")
    return problems


def _words(data_type: str) -> int:
    if data_type.endswith("64"):
        return 4
    return 1 if data_type in ("uint16", "int16", "enum16", "sunssf") else 2
