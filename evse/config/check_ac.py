"""What must fit together inside ``[evse.ac]`` and between it and its EVSE."""

from __future__ import annotations

import re
from typing import Any, Final

from evse.config.lock_profiles import list_locks, load_lock
from evse.config.options import Table, tree
from evse.config.profiles import nearest
from evse.config.source import Problems
from evse.config.toml_lines import Path
from evse.domain.base import ConfigError

OUI: Final = re.compile("[0-9A-Fa-f]{1,12}")


def check_ac(path: Path, row: dict[str, Any], problems: Problems) -> None:
    """Note every mistake of the AC side of the EVSE in ``row``, which stands at ``path``."""
    ac = row.get("ac")
    if row.get("kind", "dc") != "ac":
        if isinstance(ac, dict):
            problems.add((*path, "ac"), 'a DC EVSE has no AC side; set kind = "ac" or remove this table', show=False)
        return
    home = row.get("home_group")
    if isinstance(home, int) and home:
        problems.add((*path, "home_group"), "an AC EVSE uses no power modules; remove this key", home)
    if ac is None:
        problems.add((*path, "ac"), "is missing; add a table [evse.ac] (at least current_max_a)", show=False)
    if isinstance(ac, dict):
        at = (*path, "ac")
        table = tree().tables["evse"].tables["ac"]
        _relay2(at, ac, problems)
        _lock(at, ac, problems)
        _rcd(at, ac, table, problems)
        _currents(at, ac, table, problems)
        _inputs(at, ac, problems)
        _fake_dc(at, ac, problems)
        _rotary(at, ac, problems)


def _value(row: Any, table: Table, key: str) -> int | None:
    value = row.get(key, table.options[key].default) if isinstance(row, dict) else table.options[key].default
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _on(ac: dict[str, Any], name: str) -> bool:
    inner = ac.get(name)
    return isinstance(inner, dict) and inner.get("enabled") is True


def _relay2(at: Path, ac: dict[str, Any], problems: Problems) -> None:
    """Charge Control C 15.20: no ventilation, three phases, basic signalling."""
    if not _on(ac, "phase_switch"):
        switch = ac.get("phase_switch")
        if isinstance(switch, dict) and switch.get("mode") == "auto":
            problems.add((*at, "phase_switch", "mode"), "needs a second contactor; set phase_switch.enabled or remove it", "auto")
        return
    key = (*at, "phase_switch", "enabled")
    if _on(ac, "ventilation"):
        problems.add(key, "relay 2 is the ventilation already; switch one of both off", True)
    if ac.get("phases", 3) == 1:
        problems.add(key, "the connection has one phase; there is nothing to switch, remove it", True)
    if ac.get("hlc", "off") != "off":
        problems.add(key, 'works with basic signalling only; set hlc = "off" or remove it', True)


def _fake_dc(at: Path, ac: dict[str, Any], problems: Problems) -> None:
    """Starts of a MAC: what is no hexadecimal number would never fit a vehicle."""
    vendors = ac.get("fake_dc")
    for i, vendor in enumerate(vendors if isinstance(vendors, list) else ()):
        ouis = vendor.get("oui") if isinstance(vendor, dict) else None
        for oui in ouis if isinstance(ouis, list) else ():
            if isinstance(oui, str) and not OUI.fullmatch(oui.replace(":", "").replace("-", "")):
                problems.add(
                    (*at, "fake_dc", i, "oui"), 'is no start of a MAC address, e.g. "98:ED:5C"; 1 to 12 hex digits', oui
                )


def _lock(at: Path, ac: dict[str, Any], problems: Problems) -> None:
    lock = ac.get("lock")
    motor = lock.get("motor") if isinstance(lock, dict) else None
    if not isinstance(motor, str):
        return
    if motor not in list_locks():
        problems.add(
            (*at, "lock", "motor"), f"no such file profiles/locks/{motor}.toml; {nearest(motor, list_locks())}", motor
        )
        return
    try:
        load_lock(motor)
    except ConfigError as error:
        problems.add((*at, "lock", "motor"), f"the lock profile cannot be used: {error.problems[0]}", motor)


def _rcd(at: Path, ac: dict[str, Any], table: Table, problems: Problems) -> None:
    """The order of the self-test: first tripped, then normal again (Charge Control C, table 71)."""
    rcd, options = ac.get("rcd"), table.tables["rcd"]
    if not isinstance(rcd, dict):
        return
    trigger, tripped = _value(rcd, options, "trigger_ms"), _value(rcd, options, "check_tripped_ms")
    normal = _value(rcd, options, "check_normal_ms")
    if trigger is None or tripped is None or normal is None:
        return
    if tripped >= trigger + normal:
        key = next((k for k in ("check_tripped_ms", "check_normal_ms", "trigger_ms") if k in rcd), "check_tripped_ms")
        problems.add(
            (*at, "rcd", key),
            f"check_tripped_ms = {tripped} must be below trigger_ms + check_normal_ms = {trigger + normal}: "
            "tripped is looked at first, then normal; correct one of the three",
            rcd.get(key),
        )


def _currents(at: Path, ac: dict[str, Any], table: Table, problems: Problems) -> None:
    start, end = _value(ac, table, "derate_start_a"), _value(ac, table, "derate_end_a")
    if start is not None and end is not None and start <= end and ("derate_start_a" in ac or "derate_end_a" in ac):
        key = "derate_start_a" if "derate_start_a" in ac else "derate_end_a"
        problems.add((*at, key), f"derating from {start} A to {end} A: the start must be higher", ac[key])
    over, options = ac.get("over_current"), table.tables["over_current"]
    if isinstance(over, dict):
        low, high = _value(over, options, "low_pct"), _value(over, options, "high_pct")
        if low is not None and high is not None and low >= high:
            key = "high_pct" if "high_pct" in over else "low_pct"
            problems.add(
                (*at, "over_current", key), f"low_pct = {low} must be below high_pct = {high}; correct it", over[key]
            )
    fallback, after = _value(ac, table, "fallback_a"), _value(ac, table, "fallback_s")
    if fallback is not None and after is not None and (fallback >= 0) is not (after > 0):
        key = "fallback_a" if "fallback_a" in ac else "fallback_s"
        problems.add((*at, key), "fallback_a and fallback_s belong together; set both or none", ac[key])
    if ac.get("connection") == "cable" and "cable_a" not in ac:
        problems.add((*at, "cable_a"), "is missing: the rating of the fixed cable, A; add it", show=False)


def _inputs(at: Path, ac: dict[str, Any], problems: Problems) -> None:
    count = ac.get("inputs", 0)
    if not isinstance(count, int):
        return
    for key in ("key_switch_input", "emergency_input"):
        number = ac.get(key)
        if isinstance(number, int) and number > count:
            problems.add((*at, key), f"the board has {count} digital inputs (inputs = {count}); correct one", number)
    if ac.get("release") == "key_switch" and not ac.get("key_switch_input"):
        problems.add(
            (*at, "release"), "needs key_switch_input, the digital input of the key switch; add it", "key_switch"
        )


def _rotary(at: Path, ac: dict[str, Any], problems: Problems) -> None:
    rows = ac.get("rotary")
    seen: set[int] = set()
    for i, row in enumerate(rows if isinstance(rows, list) else []):
        position = row.get("position") if isinstance(row, dict) else None
        if isinstance(position, int) and position in seen:
            problems.add((*at, "rotary", i, "position"), "is given twice; remove one", position)
        elif isinstance(position, int):
            seen.add(position)
