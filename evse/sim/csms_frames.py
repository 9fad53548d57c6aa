"""Every frame between a station and a CSMS, checked by the official schemas at the moment it crosses the socket.

The schemas are the files of the ``ocpp`` package and are read by ``jsonschema``: independent of `evse.ocpp.schema`, by which the
station itself judges. The frame around a payload follows OCPP-J 1.6, 4.2: three kinds, unique ids of at most 36 characters, an
answer only to what was asked, the ten error codes. The number of frames has no bound; of what is wrong the first texts are kept.
"""

from __future__ import annotations

import importlib.util
import json
import re
from decimal import Decimal
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

from evse.domain.base import BugError
from evse.transports.memory import MemoryWebSocket

WRONG_MAX = 200
"""So many texts are kept; all are counted."""

ASKED_MAX = 4096
"""So many calls of one side of a link are remembered; the answer to an older one is taken for one that nobody asked for."""

ID_MAX = 36
CALL, RESULT, ERROR = 2, 3, 4
LENGTH = {CALL: 4, RESULT: 3, ERROR: 5}
KIND = {CALL: "call", RESULT: "result", ERROR: "error"}

ERROR_CODES = frozenset({
    "NotImplemented", "NotSupported", "InternalError", "ProtocolError", "SecurityError", "FormationViolation",
    "PropertyConstraintViolation", "OccurenceConstraintViolation", "TypeConstraintViolation", "GenericError",
})
"""OCPP-J 1.6, table 7, with its spelling."""

UNREADABLE_ID = "-1"
"""Of the answer to a call whose id could not be read."""

_SAME = (
    (re.compile(r'"(timestamp|currentTime)":"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?Z"'), r'"\1":"2026-01-01T00:00:00Z"'),
    (re.compile(r'"value":"-?\d{1,12}(?:\.\d{1,6})?"'), '"value":"0"'),
)
"""What the schemas do not tell apart, times and short numbers in quotes, and what is looked at in its place: most frames of a
station differ from one before in nothing else, and are not looked at again."""


class FrameBook:
    """What all links of a test or a process have carried."""

    def __init__(self) -> None:
        self.checked = 0
        self.wrong_count = 0
        self.wrong: list[str] = []

    def note(self, text: str) -> None:
        """Count what is wrong, and keep the first."""
        self.wrong_count += 1
        if len(self.wrong) < WRONG_MAX:
            self.wrong.append(text)

    def take(self) -> list[str]:
        """Return what was wrong and forget it."""
        found, self.wrong, self.wrong_count = self.wrong, [], 0
        return found


class LinkFrames:
    """The frames of one link."""

    def __init__(self, book: FrameBook) -> None:
        self._book = book
        self._asked: dict[str, dict[str, list[str]]] = {"station": {}, "csms": {}}
        self._provoked = False

    def heard(self, text: str) -> None:
        """Check what the station has sent."""
        self._look("station", "csms", text)

    def said(self, text: str, *, on_purpose: bool = False) -> None:
        """Check what the CSMS sends; ``on_purpose`` = it may be wrong, and the station may answer that it was."""
        if not on_purpose:
            self._look("csms", "station", text)
            return
        self._book.checked += 1
        self._provoked = True  # an id that is too long comes back cut
        try:
            match json.loads(text):
                case [2, str(unique_id), str(action), *_]:
                    self._remember("csms", unique_id[:ID_MAX], action)
                case [_, str(unique_id), *_]:
                    self._remember("csms", unique_id[:ID_MAX], "")  # an error may be the answer, nothing else
        except (ValueError, RecursionError):
            return

    def _look(self, by: str, other: str, text: str) -> None:
        self._book.checked += 1
        try:
            frame = json.loads(text)
        except (ValueError, RecursionError):
            self._wrong(by, "not JSON", text)
            return
        if problem := _shape(frame):
            self._wrong(by, problem, text)
            return
        kind, unique_id = frame[0], frame[1]
        if kind == CALL:
            self._remember(by, unique_id, frame[2])
            actions = [frame[2]]
        else:
            actions = self._asked[other].get(unique_id, [])
            if not actions and not (kind == ERROR and unique_id == UNREADABLE_ID and self._provoked):
                self._wrong(by, "an answer that nobody asked for", text)
        if kind == ERROR or not actions:
            return
        plain = text.replace(json.dumps(unique_id), '""', 1)
        for varies, instead in _SAME:
            plain = varies.sub(instead, plain)
        found = [_problems(f"{action}Response" if kind == RESULT else action, plain) for action in actions]
        if all(found):
            for problem in found[-1]:
                self._wrong(by, f"{KIND[kind]} of {actions[-1]}: {problem}", text)

    def _remember(self, by: str, unique_id: str, action: str) -> None:
        asked = self._asked[by]
        known = asked.setdefault(unique_id, [])
        if action not in known:
            known.append(action)
        if len(asked) > ASKED_MAX:
            del asked[next(iter(asked))]

    def _wrong(self, by: str, problem: str, text: str) -> None:
        self._book.note(f"{by}: {problem}: {text[:200]}")


class StationEnd(MemoryWebSocket):
    """The station's end of a link in memory: what it sends is checked here, also what never arrives."""

    def __init__(self, far: MemoryWebSocket, frames: LinkFrames) -> None:
        super().__init__(far.subprotocol)
        self.peer, far.peer = far, self
        self.frames = frames

    async def send(self, text: str) -> None:
        """Check, then deliver."""
        self.frames.heard(text)
        await super().send(text)


def _shape(frame: Any) -> str:
    """Return what is wrong with the frame around the payload, "" = nothing."""
    if not isinstance(frame, list) or not frame or type(frame[0]) is not int or frame[0] not in LENGTH:
        return "no frame of OCPP-J"
    kind = frame[0]
    if len(frame) != LENGTH[kind]:
        return f"{KIND[kind]}: {len(frame)} elements instead of {LENGTH[kind]}"
    if not isinstance(frame[1], str) or len(frame[1]) > ID_MAX or (kind == CALL and not frame[1]):
        return f"{KIND[kind]}: the unique id is no text of 1 to {ID_MAX} characters"
    if kind == ERROR:
        if frame[2] not in ERROR_CODES:
            return "error: this code does not exist"
        return "" if isinstance(frame[3], str) and len(frame[3]) <= 255 and isinstance(frame[4], dict) else "error: wrong description or details"
    return "" if kind == RESULT or isinstance(frame[2], str) else "call: the action is no text"


@lru_cache(maxsize=4096)
def _problems(schema: str, plain: str) -> tuple[str, ...]:
    validator = validator_of(schema)
    if validator is None:
        return ("no message of OCPP 1.6",)
    payload = json.loads(plain, parse_float=Decimal)[-1]  # multipleOf 0.1 of a float would be luck
    return tuple(f"{error.json_path}: {error.message[:200]}" for error in validator.iter_errors(payload))


@cache
def schema_dir() -> Path:
    """Return the folder of the 1.6 schemas."""
    spec = importlib.util.find_spec("ocpp")
    if spec is None or not spec.submodule_search_locations:
        raise BugError("the package 'ocpp' is not installed")
    return Path(next(iter(spec.submodule_search_locations))) / "v16" / "schemas"


@cache
def validator_of(schema: str) -> Any:
    """Return the validator of ``Action`` or ``ActionResponse``; None = 1.6 has no such message."""
    from jsonschema import Draft4Validator

    path = schema_dir() / f"{schema}.json"
    if not schema.isalpha() or not path.is_file():
        return None
    return Draft4Validator(json.loads(path.read_text(encoding="utf-8-sig"), parse_float=Decimal))
