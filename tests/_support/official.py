"""Every message between a station and the simulator's CSMS, checked by the official schemas with ``jsonschema``.

Independent of `evse.ocpp.schema`, which the station itself uses: schemas and reader are those of the ``ocpp`` package.
"""

from __future__ import annotations

import json
from decimal import Decimal
from functools import cache
from typing import Any

from ocpp.messages import MessageType, get_validator

KEPT_MAX = 20


class Official:
    """An inspector of `evse.sim.csms.SimCsms`. ``wrong`` = what was not allowed, since the last look."""

    def __init__(self) -> None:
        self.seen = 0
        self.wrong: list[str] = []

    def __call__(self, by: str, kind: str, action: str, payload: object) -> None:
        self.seen += 1
        if len(self.wrong) >= KEPT_MAX:
            return
        try:
            validator = _validator(kind, action)
        except OSError:
            if by == "station":
                self.wrong.append(f"{by}: {action} is no message of OCPP 1.6")
            return
        exact = json.loads(json.dumps(payload), parse_float=Decimal)  # multipleOf 0.1 of a float would be luck
        for error in validator.iter_errors(exact):
            self.wrong.append(f"{by}: {kind} of {action}: {error.json_path}: {error.message[:200]}")

    def take(self) -> list[str]:
        """Return what was wrong and forget it."""
        found, self.wrong = self.wrong, []
        return found


@cache
def _validator(kind: str, action: str) -> Any:
    message = MessageType.Call if kind == "call" else MessageType.CallResult
    return get_validator(message, action, "1.6", parse_float=Decimal)
