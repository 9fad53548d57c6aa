"""JSON Schema checks for OCPP 1.6, compiled to closures.

The schemas are those of the ``ocpp`` package. They use a small part of JSON Schema; compiling that part here makes a
check some twenty times faster than a general validator and saves a quarter of a second of imports at start.
``tests/ocpp/test_schema.py`` compares it with ``jsonschema`` on every schema. A keyword that is not known here is a
`BugError` when the schema is loaded, never a check that is silently left out.
"""

from __future__ import annotations

import functools
import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from evse.domain.base import BugError

Problem = tuple[str, str, str]
"""(keyword, path, text)"""

Check = Callable[[Any, str], Problem | None]

_IGNORED = frozenset({
    "$schema", "$id", "id", "title", "description", "definitions", "javaType", "format", "comment",
    "additionalItems",  # has a meaning beside a list of item schemas only
    "multipleOf",  # 0.1 in binary: an exact test refuses correct values
})
_KNOWN = frozenset({
    "$ref", "type", "required", "properties", "additionalProperties", "enum", "maxLength",
    "items", "minItems", "maxItems",
})

_TYPES: dict[str, Callable[[Any], bool]] = {
    "object": lambda v: isinstance(v, dict),
    "array": lambda v: isinstance(v, list),
    "string": lambda v: isinstance(v, str),
    "integer": lambda v: type(v) is int,
    "number": lambda v: type(v) in (int, float),
    "boolean": lambda v: isinstance(v, bool),
}


@functools.cache
def schema_dir() -> Path:
    """Return the folder of the 1.6 schemas without importing the package's message classes."""
    spec = importlib.util.find_spec("ocpp")
    if spec is None or not spec.submodule_search_locations:
        raise BugError("the package 'ocpp' is not installed")
    return Path(next(iter(spec.submodule_search_locations))) / "v16" / "schemas"


@functools.cache
def names() -> frozenset[str]:
    """Return the names of all 1.6 schemas: ``Action`` and ``ActionResponse``."""
    return frozenset(path.stem for path in schema_dir().glob("*.json"))


@functools.cache
def load(name: str) -> Check:
    """Return the check of one schema."""
    document = msgspec.json.decode((schema_dir() / f"{name}.json").read_bytes().removeprefix(b"\xef\xbb\xbf"))
    return _compile(document, document)


def _compile(schema: dict[str, Any], root: dict[str, Any]) -> Check:
    unknown = schema.keys() - _KNOWN - _IGNORED
    if unknown:
        raise BugError(f"schema keyword {sorted(unknown)} is not implemented in evse.ocpp.schema")
    if "$ref" in schema:
        target: Any = root
        for part in str(schema["$ref"]).removeprefix("#/").split("/"):
            target = target[part]
        return _compile(target, root)
    checks: list[Check] = []
    if "type" in schema:
        checks.append(_type(schema["type"]))
    if "enum" in schema:
        checks.append(_enum(schema["enum"]))
    if "maxLength" in schema:
        checks.append(_max_length(schema["maxLength"]))
    if "items" in schema:
        checks.append(_items(_compile(schema["items"], root), schema.get("minItems", 0), schema.get("maxItems")))
    if "properties" in schema or "required" in schema or schema.get("type") == "object":
        checks.append(_object(schema, root))
    return checks[0] if len(checks) == 1 else _all(checks)


def _all(checks: list[Check]) -> Check:
    def check(value: Any, path: str) -> Problem | None:
        for one in checks:
            problem = one(value, path)
            if problem is not None:
                return problem
        return None

    return check


def _type(name: str) -> Check:
    test = _TYPES[name]

    def check(value: Any, path: str) -> Problem | None:
        return None if test(value) else ("type", path, f"{str(value)[:40]!r} is not of type {name}")

    return check


def _enum(allowed: list[str]) -> Check:
    members = frozenset(allowed)

    def check(value: Any, path: str) -> Problem | None:
        if isinstance(value, str) and value in members:
            return None
        return "enum", path, f"{str(value)[:40]!r} is none of {', '.join(allowed)}"[:200]

    return check


def _max_length(most: int) -> Check:
    def check(value: Any, path: str) -> Problem | None:
        if isinstance(value, str) and len(value) > most:
            return "maxLength", path, f"{len(value)} characters, at most {most} are allowed"
        return None

    return check


def _items(item: Check, least: int, most: int | None) -> Check:
    def check(value: Any, path: str) -> Problem | None:
        if not isinstance(value, list):
            return None
        if len(value) < least:
            return "minItems", path, f"{len(value)} items, at least {least} are needed"
        if most is not None and len(value) > most:
            return "maxItems", path, f"{len(value)} items, at most {most} are allowed"
        extra: Problem | None = None
        for index, entry in enumerate(value):
            problem = item(entry, f"{path}/{index}")
            if problem is not None and problem[0] != "additionalProperties":
                return problem
            extra = extra or problem
        return extra

    return check


def _object(schema: dict[str, Any], root: dict[str, Any]) -> Check:
    fields = {name: _compile(part, root) for name, part in schema.get("properties", {}).items()}
    required = tuple(schema.get("required", ()))
    closed = schema.get("additionalProperties") is False

    def check(value: Any, path: str) -> Problem | None:
        if not isinstance(value, dict):
            return None
        for name in required:
            if name not in value:
                return "required", path, f"field {name} is missing"
        extra: Problem | None = None
        for name, entry in value.items():
            field = fields.get(name)
            if field is None:
                if closed and extra is None:
                    extra = "additionalProperties", path, f"field {str(name)[:40]!r} is not known"
                continue
            problem = field(entry, f"{path}/{name}")
            if problem is not None and problem[0] != "additionalProperties":
                return problem
            extra = extra or problem
        return extra  # reported last, so that a lenient caller sees every other problem first

    return check
