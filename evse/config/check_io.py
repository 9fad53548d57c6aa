"""What must fit together in ``[evse.recloser]`` and ``[io]``."""

from __future__ import annotations

from typing import Any

import msgspec

from evse.config.options import tree
from evse.config.profiles import nearest
from evse.config.recloser_profiles import list_reclosers, load_recloser, register_problems
from evse.config.source import Problems
from evse.config.toml_lines import Path
from evse.domain.base import ConfigError
from evse.domain.meter_profile import BusDefaults
from evse.domain.recloser import RecloserRegisters


def recloser_bus(path: Path, row: dict[str, Any], problems: Problems) -> BusDefaults | None:
    """Note mistakes of the recloser in ``row``, which stands at ``path``; return how its model leaves the factory."""
    _registers((*path, "registers"), row.get("registers"), problems)
    name = row.get("profile", tree().tables["evse"].tables["recloser"].options["profile"].default)
    if not isinstance(name, str) or not name:
        return None
    known = list_reclosers()
    if name not in known:
        problems.add((*path, "profile"), f"no such file profiles/reclosers/{name}.toml; {nearest(name, known)}", name)
        return None
    try:
        return load_recloser(name).bus
    except ConfigError as error:
        problems.add((*path, "profile"), f"the recloser profile cannot be used: {error.problems[0]}", name)
        return None


def _registers(path: Path, row: Any, problems: Problems) -> None:
    if not isinstance(row, dict):
        return
    try:
        registers = msgspec.convert(row, RecloserRegisters)
    except msgspec.ValidationError:
        return  # told by whoever looks at each value
    for problem in register_problems(registers):
        problems.add(path, f"{problem}; correct one of them", show=False)


def check_io(io: dict[str, Any] | None, evses: set[Any], problems: Problems) -> None:
    """Note every mistake of ``[io]``; ``evses`` = the EVSE numbers of the station."""
    if io is None:
        return
    names: dict[str, Path] = {}
    pins: dict[tuple[str, int], Path] = {}
    for kind in ("input", "output", "sensor"):
        rows = io.get(kind)
        for i, row in enumerate(rows if isinstance(rows, list) else []):
            if isinstance(row, dict):
                path: Path = ("io", kind, i)
                _name(path, row, names, problems)
                if kind != "sensor":
                    _pin(path, row, pins, problems)
                if kind == "input":
                    _source(path, row, problems)
    for evse in io.get("evses", []) if isinstance(io.get("evses"), list) else []:
        if isinstance(evse, int) and evses and evse not in evses:
            have = ", ".join(str(i) for i in sorted(i for i in evses if isinstance(i, int)))
            problems.add(("io", "evses"), f"there is no EVSE {evse}; EVSEs: {have}", io["evses"])
    _fan(io, problems)


def _name(path: Path, row: dict[str, Any], names: dict[str, Path], problems: Problems) -> None:
    name = row.get("name")
    if not isinstance(name, str) or not name:
        return
    if name in names:
        line = problems.line((*names[name], "name"), path)
        problems.add((*path, "name"), f"this name is used twice, first in {line}; give each its own", name)
    elif "." in name or name.strip() != name or not name.isprintable():
        problems.add((*path, "name"), "a name has no dot and no blanks at its ends; rename it", name)
    names.setdefault(name, path)


def _pin(path: Path, row: dict[str, Any], pins: dict[tuple[str, int], Path], problems: Problems) -> None:
    chip, line = row.get("chip", ""), row.get("line")
    if not isinstance(chip, str) or not isinstance(line, int) or isinstance(line, bool):
        return
    if (chip, line) in pins:
        first = problems.line(pins[chip, line], path)
        problems.add((*path, "line"), f"line {line} of {chip or 'gpio'} is used twice, first in {first}; correct it", line)
    pins.setdefault((chip, line), path)


def _source(path: Path, row: dict[str, Any], problems: Problems) -> None:
    if "line" in row and row.get("adc"):
        problems.add((*path, "adc"), "an input is a GPIO line or an ADC channel; remove line or adc", row["adc"])
    elif "line" not in row and not row.get("adc"):
        problems.add((*path, "line"), "is missing; name the GPIO line, or an ADC with adc and channel", show=False)


def _fan(io: dict[str, Any], problems: Problems) -> None:
    fan = io.get("fan")
    if not isinstance(fan, dict):
        return
    if not io.get("sensor"):
        problems.add(("io", "fan"), "needs a temperature to follow; add [[io.sensor]] or remove it", show=False)
    options = tree().tables["io"].tables["fan"].options
    start, full = (fan.get(key, options[key].default) for key in ("start_c", "full_c"))
    if isinstance(start, int) and isinstance(full, int) and start >= full:
        key = "full_c" if "full_c" in fan else "start_c"
        problems.add(("io", "fan", key), f"the fan starts at {start} °C and is full at {full} °C; start must be lower", fan.get(key))
