"""Reading a JSON object field by field and noting every mistake with its path, its value and what is expected."""

from __future__ import annotations

from collections.abc import Iterable

VALUE_MAX = 1e6
"""Largest number that a document may hold (a GW in kW): everything above is a mistake."""

_MISSING = object()


class Reader:
    """One JSON object under a path; takes fields and notes what is wrong with them."""

    def __init__(self, raw: object, path: str, problems: list[str]) -> None:
        self.path, self.problems = path, problems
        self.wrong: set[str] = set()
        self.left: dict[str, object] = {}
        if isinstance(raw, dict):
            self.left = {str(key): value for key, value in raw.items()}
        else:
            problems.append(f"{path or 'document'}: {short(raw)} is not an object; write {{...}}")

    def complain(self, key: str, value: object, expected: str) -> None:
        """Note that ``key`` cannot be ``value``; ``expected`` says what it must be."""
        self.wrong.add(key)
        where = f"{self.path}.{key}" if self.path else key
        self.problems.append(f"{where} = {short(value)}: {expected}")

    def take(self, key: str, default: object = _MISSING) -> object:
        """The raw value, or ``default``; without a default a missing key is a mistake (see `is_missing`)."""
        value = self.left.pop(key, default)
        if value is _MISSING:
            where = f"{self.path}.{key}" if self.path else key
            self.problems.append(f"{where} is missing; add it")
            self.wrong.add(key)
        return value

    @staticmethod
    def is_missing(value: object) -> bool:
        """True when `take` found nothing."""
        return value is _MISSING

    def number(self, key: str, default: object = _MISSING, high: float = VALUE_MAX) -> float:
        """A finite number in 0..high."""
        value = self.take(key, default)
        if value is _MISSING:
            return 0.0
        if isinstance(value, bool) or not isinstance(value, int | float):
            self.complain(key, value, "must be a number")
            return 0.0
        if not 0 <= value <= high:
            self.complain(key, value, f"must be between 0 and {high:g}")
            return 0.0
        return float(value)

    def optional(self, key: str) -> float | None:
        """A number or null; absent = null."""
        if self.left.get(key) is None:
            self.left.pop(key, None)
            return None
        return self.number(key)

    def count(self, key: str, default: object = _MISSING, high: int = 10_000) -> int:
        """A whole number in 0..high."""
        value = self.take(key, default)
        if value is _MISSING:
            return 0
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= high:
            self.complain(key, value, f"must be a whole number between 0 and {high}")
            return 0
        return value

    def flag(self, key: str, default: bool) -> bool:
        """True or false."""
        value = self.take(key, default)
        if not isinstance(value, bool):
            self.complain(key, value, "must be true or false")
            return default
        return value

    def text(self, key: str, default: object = _MISSING) -> str:
        """A text of at most 64 characters."""
        value = self.take(key, default)
        if value is _MISSING:
            return ""
        if not isinstance(value, str) or len(value) > 64:
            self.complain(key, value, "must be a text of at most 64 characters")
            return ""
        return value

    def optional_text(self, key: str) -> str | None:
        """A text or null; absent = null."""
        if self.left.get(key) is None:
            self.left.pop(key, None)
            return None
        return self.text(key)

    def items(self, key: str, most: int) -> list[object]:
        """A list of at most ``most`` entries."""
        value = self.take(key, _MISSING)
        if value is _MISSING:
            return []
        if not isinstance(value, list) or len(value) > most:
            self.complain(key, value, f"must be a list of at most {most}")
            return []
        return value

    def done(self) -> None:
        """Refuse what nobody asked for: an unknown key is a typing error."""
        for key, value in self.left.items():
            self.complain(key, value, "unknown key; remove it or correct its name")


def short(value: object) -> str:
    """``value`` as it is shown in a complaint, at most 60 characters."""
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def doubles(ids: Iterable[str], what: str, problems: list[str]) -> None:
    """Complain about ids that are used twice."""
    seen: set[str] = set()
    for name in ids:
        if name in seen:
            problems.append(f"{what} id {name!r} is used twice; ids must be unique")
        seen.add(name)
