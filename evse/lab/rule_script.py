"""A script of what happens at a charging point, for trying event actions without one.

One line per moment: a time, then what is so from then on. Blank lines and ``#`` comments are skipped.

    0      status=A input4=low      # levels stay until they are changed
    2s     plug=in status=B         # status B, C and D mean that a vehicle is there
    2.5s   card=denied              # moments: card, teach, error=resolved comes with error=none
    1m     end                      # how long to look; without it 10 s after the last line
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final

import msgspec

from evse.config.profiles import nearest
from evse.domain.ac import PpState
from evse.domain.base import ConfigError
from evse.domain.rules import RuleEvent, RuleFacts, RuleStation
from evse.domain.signals import CpState

LINES_MAX: Final = 1000
TIME_MS_MAX: Final = 86_400_000
TAIL_MS: Final = 10_000

START = RuleFacts(known=True, plug=False, cp=CpState.A, station=RuleStation.AVAILABLE, allowed=True, serviceable=True, backend=True)
"""A free charging point in service, its back end online, all inputs low."""

_TIME = re.compile(r"(\d{1,9}(?:\.\d{1,3})?)(ms|s|m|h)?")
_NUMBERED = re.compile(r"(input|analog)([1-9]\d?)")
_UNITS = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000}
_PP = {"none": PpState.NONE, "13": PpState.A13, "20": PpState.A20, "32": PpState.A32, "63": PpState.A63, "invalid": PpState.INVALID}
_YES = {"yes": True, "no": False}
_INPUTS_MAX = 32

Change = Callable[[RuleFacts], RuleFacts]


class Moment(msgspec.Struct, frozen=True):
    """Facts from ``at_ms`` on."""

    at_ms: int
    facts: RuleFacts


class Script(msgspec.Struct, frozen=True):
    """Moments in their order; the first is at 0."""

    moments: tuple[Moment, ...]
    end_ms: int


def parse_script(text: str, file: str = "events") -> Script:
    """Return the script in ``text``. Raises `ConfigError` with every mistake, each with its line."""
    wrong: list[str] = []
    moments = [Moment(0, START)]
    end: int | None = None
    lines = text.splitlines()
    if len(lines) > LINES_MAX:
        raise ConfigError([f"{file}: {len(lines)} lines, at most {LINES_MAX}; shorten it"])
    for number, line in enumerate(lines, 1):
        words = line.partition("#")[0].split()
        if not words:
            continue
        at = _time(words[0])
        if at is None:
            wrong.append(f"{file}:{number}: {words[0][:30]!r} is not a time; write for example 500, 2s or 1m")
            continue
        if at < moments[-1].at_ms:
            wrong.append(f"{file}:{number}: {words[0]} is before the line above; times must rise")
            continue
        facts = moments[-1].facts
        if moments[-1].at_ms != at:
            facts = msgspec.structs.replace(facts, happened=frozenset())
        for word in words[1:]:
            if word == "end":
                end = at
                continue
            try:
                facts = _apply(facts, word)
            except ValueError as error:
                wrong.append(f"{file}:{number}: {error}")
        moments.append(Moment(at, facts))
    if wrong:
        raise ConfigError(wrong)
    return Script(_joined(moments), max(end if end is not None else moments[-1].at_ms + TAIL_MS, moments[-1].at_ms))


def _joined(moments: list[Moment]) -> tuple[Moment, ...]:
    """One moment per time: the last one has everything."""
    by_time = {moment.at_ms: moment for moment in moments}
    return tuple(by_time.values())


def _time(word: str) -> int | None:
    found = _TIME.fullmatch(word)
    if found is None:
        return None
    whole, _, rest = found[1].partition(".")
    unit = _UNITS[found[2] or "ms"]
    at = int(whole) * unit + (int(rest.ljust(3, "0")) * unit // 1000 if rest else 0)
    return at if at <= TIME_MS_MAX else None


def _apply(facts: RuleFacts, word: str) -> RuleFacts:
    """Return the facts after one word ``key=value``. Raises `ValueError` with what is wrong and what to write."""
    key, sign, value = word.partition("=")
    numbered = _NUMBERED.fullmatch(key)
    if not sign or (numbered is None and key not in _KEYS):
        known = [*_KEYS, "input1", "analog1"]
        raise ValueError(f"{word[:30]!r} is not known; {nearest(key, known)}")
    if numbered is not None:
        return _numbered(facts, numbered[1], int(numbered[2]), value)
    return _KEYS[key](facts, key, value)


def _numbered(facts: RuleFacts, kind: str, number: int, value: str) -> RuleFacts:
    if number > _INPUTS_MAX:
        raise ValueError(f"{kind}{number}: inputs are numbered from 1 to {_INPUTS_MAX}")
    if kind == "input":
        bit = 1 << (number - 1)
        high = _choice({"high": True, "low": False}, f"input{number}", value)
        return msgspec.structs.replace(facts, inputs=facts.inputs | bit if high else facts.inputs & ~bit)
    millivolts = value.removesuffix("mV").removesuffix("mv")
    if not re.fullmatch(r"\d{1,5}", millivolts):
        raise ValueError(f"analog{number}={value[:20]}: write millivolts, for example analog{number}=5000")
    measured = [*facts.input_mv, *[0] * (number - len(facts.input_mv))]
    measured[number - 1] = int(millivolts)
    return msgspec.structs.replace(facts, input_mv=tuple(measured))


def _choice(known: dict[str, Any], key: str, value: str) -> Any:
    if value not in known:
        raise ValueError(f"{key}={value[:20]}: {nearest(value, list(known))}")
    return known[value]


def _status(facts: RuleFacts, key: str, value: str) -> RuleFacts:
    cp = _choice({s.value: s for s in CpState if s is not CpState.UNKNOWN}, key, value.upper())
    vehicle = facts.vehicle if cp in (CpState.E, CpState.F) else cp is not CpState.A
    return msgspec.structs.replace(facts, cp=cp, vehicle=vehicle)


def _error(facts: RuleFacts, key: str, value: str) -> RuleFacts:
    sides = {"none": (False, False), "internal": (True, False), "external": (False, True), "both": (True, True)}
    internal, external = _choice(sides, key, value)
    happened = set(facts.happened)
    if (internal and not facts.error_internal) or (external and not facts.error_external):
        happened.add(RuleEvent.NEW_ERROR)
    if (facts.error_internal and not internal) or (facts.error_external and not external):
        happened.add(RuleEvent.ERROR_RESOLVED)
    return msgspec.structs.replace(
        facts, error_internal=internal, error_external=external, happened=frozenset(happened),
        serviceable=not (internal or external),
    )  # fmt: skip


def _card(facts: RuleFacts, key: str, value: str) -> RuleFacts:
    event = _choice({"accepted": RuleEvent.RFID_RELEASE, "denied": RuleEvent.RFID_DENIED}, key, value)
    return msgspec.structs.replace(
        facts, happened=facts.happened | {event}, token_invalid=event is RuleEvent.RFID_DENIED
    )


def _teach(facts: RuleFacts, key: str, value: str) -> RuleFacts:
    known = {"in": RuleEvent.TEACH_IN, "out": RuleEvent.TEACH_OUT, "failed": RuleEvent.TEACH_IN_FAILED}
    return msgspec.structs.replace(facts, happened=facts.happened | {_choice(known, key, value)})


def _field(name: str, known: dict[str, Any]) -> Callable[[RuleFacts, str, str], RuleFacts]:
    return lambda facts, key, value: msgspec.structs.replace(facts, **{name: _choice(known, key, value)})


_KEYS: dict[str, Callable[[RuleFacts, str, str], RuleFacts]] = {
    "status": _status,
    "state": _field("station", {s.value: s for s in RuleStation}),
    "error": _error,
    "card": _card,
    "teach": _teach,
    "plug": _field("plug", {"in": True, "out": False}),
    "vehicle": _field("vehicle", _YES),
    "pp": _field("pp", _PP),
    "pwm": _field("pwm", {"on": True, "off": False}),
    "contactor": _field("contactor_failure", {"ok": False, "failed": True}),
    "derating": _field("derating", _YES),
    "release": _field("release", _YES),
    "external": _field("allowed", _YES),
    "asking": _field("authorizing", _YES),
    "reduced": _field("reduced", _YES),
    "backend": _field("backend", {"online": True, "offline": False}),
    "board": _field("known", {"ok": True, "lost": False}),
}
"""Words of the script. ``external`` = the external release, ``asking`` = a card is being asked about."""
