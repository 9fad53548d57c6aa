"""What must fit together in ``[[rule]]`` and ``[[led]]``: arguments of events, conditions and actions, numbers that the
boards have, profiles of lamps."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any

from evse.config.led_profiles import list_leds
from evse.config.options import tree
from evse.config.profiles import nearest
from evse.config.source import Problems
from evse.config.toml_lines import Path
from evse.domain.rules import (
    ANALOG_CONDITIONS,
    FLASH_ACTIONS,
    INPUT_CONDITIONS,
    INPUT_EVENTS,
    OUTPUT_ACTIONS,
    PP_CONDITIONS,
    PP_MA,
    RULES_MAX,
    STATUS_ACTIONS,
    RuleAction,
)

Row = dict[str, Any]

_INPUT_EVENTS = frozenset(e.value for e in INPUT_EVENTS)
_INPUT_CONDITIONS = frozenset(c.value for c in INPUT_CONDITIONS)
_ANALOG = frozenset(c.value for c in ANALOG_CONDITIONS)
_PP = frozenset(c.value for c in PP_CONDITIONS)
_OUTPUTS = frozenset(a.value for a in OUTPUT_ACTIONS)
_FLASH = frozenset(a.value for a in FLASH_ACTIONS)
_STATUS = frozenset(a.value for a in STATUS_ACTIONS)
_CODINGS = tuple(sorted(ma // 1000 for ma in PP_MA.values()))

NEEDS: dict[str, tuple[str, frozenset[str]]] = {
    "event_input": ("event", _INPUT_EVENTS),
    "condition_input": ("condition", _INPUT_CONDITIONS | _ANALOG),
    "condition_a": ("condition", _PP),
    "output": ("action", _OUTPUTS),
}
"""Arguments that some words need, and that mean nothing with the others."""

LIKES: dict[str, tuple[str, frozenset[str]]] = {
    "condition_mv": ("condition", _ANALOG),
    "flash_pct": ("action", _FLASH),
    "status": ("action", _STATUS),
    "limit_a": ("action", frozenset({RuleAction.LIMIT.value})),
    "message": ("action", frozenset({RuleAction.EXTERNAL_RELEASE.value})),
}
"""Arguments that have a useful default, and that mean nothing with other words."""


def check_rules(rules: object, evses: list[tuple[Path, Row]], problems: Problems) -> None:
    """Note every mistake of the rules; ``evses`` = the rows of ``[[evse]]``."""
    if not isinstance(rules, list):
        return
    if len(rules) > RULES_MAX:
        problems.add(("rule", RULES_MAX), f"there are {len(rules)} rules, at most {RULES_MAX} are possible; remove some", show=False)
    for i, row in enumerate(rules):
        if isinstance(row, dict):
            _arguments(("rule", i), row, problems)
            _reach(("rule", i), row, evses, problems)


def _word(row: Row, key: str) -> object:
    return row.get(key, tree().tables["rule"].options[key].default)


def _arguments(path: Path, row: Row, problems: Problems) -> None:
    for key, (of, words) in NEEDS.items():
        word = _word(row, of)
        if word in words and not row.get(key):
            problems.add((*path, key), f'is missing; {of} = "{word}" needs it', show=False)
    for key, (of, words) in (NEEDS | LIKES).items():
        if row.get(key) and _word(row, of) not in words and isinstance(_word(row, of), str):
            problems.add((*path, key), f'means nothing with {of} = "{_word(row, of)}"; remove it', row[key])
    if _word(row, "condition") == "pp" and isinstance(row.get("condition_a"), int) and row["condition_a"] not in _CODINGS:
        text = ", ".join(map(str, _CODINGS))
        problems.add((*path, "condition_a"), f"no cable is coded for it; use one of {text}", row["condition_a"])
    if row.get("message") and _word(row, "action") == "external_release" and _word(row, "status") != "disable":
        problems.add((*path, "message"), 'is only sent with status = "disable"; remove it or change status', row["message"])
    if _word(row, "action") == "limit" and 0 < (row.get("limit_a") or 0) < 6 and isinstance(row.get("limit_a"), int):
        problems.add((*path, "limit_a"), "below 6 A there is no current; write 0 (nothing is offered) or at least 6", row["limit_a"])


def _targets(row: Row, evses: list[tuple[Path, Row]]) -> Iterator[tuple[Path, Row]]:
    wanted = row.get("evse", 0)
    for path, evse in evses:
        if evse.get("kind") == "ac" and wanted in (0, evse.get("id")):
            yield path, evse


def _reach(path: Path, row: Row, evses: list[tuple[Path, Row]], problems: Problems) -> None:
    """Inputs, outputs and release mode of the EVSEs that the rule is for."""
    targets = list(_targets(row, evses))
    if not targets:
        if isinstance(row.get("evse", 0), int):
            known = ", ".join(str(e.get("id")) for _, e in evses if e.get("kind") == "ac") or "none"
            problems.add((*path, "evse"), f"there is no such AC EVSE; AC EVSEs here: {known}", row.get("evse", 0))
        return
    for key, count, what in (("event_input", "inputs", "digital inputs"), ("output", "outputs", "digital outputs")):
        _within(path, row, key, count, what, targets, problems)
    if _word(row, "condition") in _INPUT_CONDITIONS:
        _within(path, row, "condition_input", "inputs", "digital inputs", targets, problems)
    if _word(row, "action") == "enable_charging" and row.get("status") == "enable":
        for _, evse in targets:
            ac = evse.get("ac")
            mode = ac.get("release", "ocpp") if isinstance(ac, dict) else "ocpp"
            if mode != "remote" and isinstance(mode, str):
                text = f'does nothing at EVSE {evse.get("id")}, whose release mode is "{mode}"; write release = "remote" there'
                problems.add((*path, "status"), text, row["status"])
                break


def _within(
    path: Path, row: Row, key: str, count: str, what: str, targets: list[tuple[Path, Row]], problems: Problems
) -> None:
    number = row.get(key)
    if not isinstance(number, int) or isinstance(number, bool):
        return
    for _, evse in targets:
        ac = evse.get("ac")
        have = ac.get(count, tree().tables["evse"].tables["ac"].options[count].default) if isinstance(ac, dict) else 0
        if isinstance(have, int) and number > have:
            problems.add((*path, key), f"the board of EVSE {evse.get('id')} has {have} {what} (evse.ac.{count}); correct one of them", number)
            return


def check_leds(leds: object, evses: list[tuple[Path, Row]], problems: Problems) -> None:
    """Note every mistake of the lamps."""
    seen: dict[tuple[object, object], int] = {}
    for i, row in enumerate(leds if isinstance(leds, list) else []):
        if not isinstance(row, dict):
            continue
        path: Path = ("led", i)
        targets = list(_targets(row, evses))
        if not targets and isinstance(row.get("evse", 0), int):
            problems.add((*path, "evse"), "there is no such AC EVSE; correct the number", row.get("evse", 0))
        lamp = row.get("lamp", "status")
        if lamp != "outputs" and isinstance(lamp, str) and (lamp, row.get("evse", 0)) in seen:
            first = seen[lamp, row.get("evse", 0)] + 1
            problems.add((*path, "lamp"), f"this lamp is in led[{first}] already; join them", lamp)
        elif isinstance(lamp, str):
            seen[lamp, row.get("evse", 0)] = i
        _led_outputs(path, row, lamp, targets, problems)
        profile = row.get("profile", "generic")
        if isinstance(profile, str) and profile and profile not in list_leds():
            problems.add((*path, "profile"), f"no such file profiles/leds/{profile}.toml; {nearest(profile, list_leds())}", profile)
        rows = row.get("behaviour")
        words = [b.get("condition") for b in rows if isinstance(b, dict)] if isinstance(rows, list) else []
        for j, word in enumerate(words):
            if word in words[:j]:
                problems.add((*path, "behaviour", j, "condition"), "has a behaviour already; keep one", word)


def _led_outputs(path: Path, row: Row, lamp: object, targets: list[tuple[Path, Row]], problems: Problems) -> None:
    outputs = row.get("outputs", [])
    if not isinstance(outputs, list) or not all(isinstance(n, int) for n in outputs):
        return
    if lamp == "outputs" and len(outputs) not in (1, 3):
        problems.add((*path, "outputs"), "must be one output, or three for red, green and blue; for example [1, 2, 3]", outputs)
    elif lamp != "outputs" and outputs:
        problems.add((*path, "outputs"), f'means nothing with lamp = "{lamp}"; remove it', outputs)
    for number in outputs:
        if number < 1:
            problems.add((*path, "outputs"), "outputs are numbered from 1; correct it", outputs)
            return
        _within(path, {"outputs": number}, "outputs", "outputs", "digital outputs", targets, problems)


def without_leftovers(rule: Row, given: Collection[str]) -> Row:
    """Return ``rule`` without arguments that mean nothing (any more) with its words; those in ``given`` stay."""
    options = tree().tables["rule"].options
    result = dict(rule)
    for key, (of, words) in (NEEDS | LIKES).items():
        if key not in given and _word(rule, of) not in words:
            result[key] = options[key].default
    if "message" not in given and _word(rule, "status") != "disable":
        result["message"] = ""
    return result
