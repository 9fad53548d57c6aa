"""Strict reading of requests: what came over the wire becomes a request Struct, or an error that names the field."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Final

import msgspec

from evse.api import models as m
from evse.api.errors import ApiError, ErrorCode
from evse.api.operations import Operation

VALUE_SHOWN: Final = 60
SECRET_FIELDS: Final = frozenset({"pin", "totp", "old", "new", "value", "text", "secret", "pem"})
"""Request fields whose value is never repeated in an error or an audit row (``text`` is just long)."""

_INT = re.compile(r"-?[0-9]{1,15}", re.ASCII)
_WHERE = re.compile(r" - at `\$\.?([A-Za-z_0-9]*)")


class RequestError(ApiError):
    """A request that cannot be carried out as it is: which ``field``, which ``value``."""

    def __init__(self, kind: ErrorCode, message: str, hint: str, field: str = "", value: object = "") -> None:
        super().__init__(kind, message, hint)
        self.field = field
        self.value = "" if field in SECRET_FIELDS else shorten(value)


def shorten(value: object) -> str:
    """Return a value as short text without control characters."""
    text = "".join(c if c.isprintable() else "?" for c in str(value)[: VALUE_SHOWN + 1])
    return text if len(text) <= VALUE_SHOWN else f"{text[: VALUE_SHOWN - 3]}..."


class Reader:
    """Reads requests of one operation. Made once per operation."""

    def __init__(self, operation: Operation) -> None:
        self._operation = operation
        info = msgspec.inspect.type_info(operation.request)
        assert isinstance(info, msgspec.inspect.StructType)
        self._kinds = {field.encode_name: _kind(field.type) for field in info.fields}

    def query(self, pairs: Iterable[tuple[str, str]]) -> m.Model:
        """Read query parameters: each at most once, ``true``/``false``, decimal integers. Raises `RequestError`."""
        raw: dict[str, Any] = {}
        for name, text in pairs:
            self._known(name)
            if name in raw:
                raise RequestError(ErrorCode.BAD_REQUEST, f"{name} is given twice", "give it once", name, text)
            kind = self._kinds[name]
            if kind == "int":
                if not _INT.fullmatch(text):
                    raise self._wrong(name, text, "a whole number")
                raw[name] = int(text)
            elif kind == "bool":
                if text not in ("true", "false"):
                    raise self._wrong(name, text, "true or false")
                raw[name] = text == "true"
            else:
                raw[name] = text
        return self._convert(raw)

    def body(self, content: bytes) -> m.Model:
        """Read a JSON object; nothing = no fields. Raises `RequestError`."""
        try:
            raw = msgspec.json.decode(content) if content.strip() else {}
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            message = f"the body is not JSON: {shorten(error)}"
            raise RequestError(ErrorCode.BAD_REQUEST, message, 'send an object like {"evse_id": 1}') from None
        if not isinstance(raw, dict):
            message = f"the body is a JSON {type(raw).__name__}, not an object"
            raise RequestError(ErrorCode.BAD_REQUEST, message, 'send an object like {"evse_id": 1}')
        for name in raw:
            self._known(name)
        return self._convert(raw)

    def _known(self, name: str) -> None:
        if name in self._kinds:
            return
        from difflib import get_close_matches

        near = get_close_matches(name[:64], self._kinds, n=1)
        have = ", ".join(self._kinds) or "none"
        hint = f"did you mean {near[0]}? " if near else ""
        message = f"{self._operation.name} has no field {shorten(name)}"
        raise RequestError(ErrorCode.BAD_REQUEST, message, f"{hint}fields: {have}", shorten(name))

    def _convert(self, raw: dict[str, Any]) -> m.Model:
        try:
            return msgspec.convert(raw, self._operation.request, strict=True)
        except msgspec.ValidationError as error:
            raise self._explain(str(error), raw) from None

    @staticmethod
    def _explain(text: str, raw: dict[str, Any]) -> RequestError:
        """Turn msgspec's words into field, value and remedy. A wrong type is 400, a value out of range 422."""
        missing = re.search(r"missing required field `(\w+)`", text)
        if missing:
            name = missing.group(1)
            return RequestError(ErrorCode.BAD_REQUEST, f"{name} is missing", f"give {name}", name)
        found = _WHERE.search(text)
        name = found.group(1) if found else ""
        reason = text.split(" - at `", 1)[0]
        kind = ErrorCode.BAD_REQUEST if ", got `" in reason else ErrorCode.INVALID
        value = raw.get(name, "")
        shown = "" if name in SECRET_FIELDS else f" = {shorten(value)}"
        hint = f"{name}: {reason[:1].lower()}{reason[1:]}"
        return RequestError(kind, f"{name}{shown} is not accepted", hint, name, value)

    def _wrong(self, name: str, text: str, wanted: str) -> RequestError:
        return RequestError(
            ErrorCode.BAD_REQUEST, f"{name} = {shorten(text)} is not {wanted}", f"give {wanted}", name, text
        )


def _kind(type_: msgspec.inspect.Type) -> str:
    """Return "int", "bool" or "str"; optional values have the kind of their value."""
    if isinstance(type_, msgspec.inspect.UnionType):
        kinds = {_kind(t) for t in type_.types if not isinstance(t, msgspec.inspect.NoneType)}
        return kinds.pop() if len(kinds) == 1 else "str"
    if isinstance(type_, msgspec.inspect.IntType):
        return "int"
    return "bool" if isinstance(type_, msgspec.inspect.BoolType) else "str"
