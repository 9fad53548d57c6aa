"""In which order a search asks: line settings, addresses and first questions. Pure."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from evse.domain.detect import DetectRequest
from evse.domain.meter_profile import MeterProfile
from evse.protocols.meter_identify import dzg_units
from evse.protocols.meter_map import MeterDecoder

UNIT_MAX = 247
"""Modbus over serial line V1.02, 2.2: slave addresses 1..247."""

Question = tuple[int, int, int]
"""Function, address and count of a read."""

GREETINGS: tuple[Question, ...] = ((4, 0, 2), (3, 0, 2))
"""Asked at every address: who has other registers refuses these, and a refusal is an answer too."""


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """One address at one line setting. ``baud`` 0 = Modbus TCP."""

    baud: int
    parity: str
    unit: int
    questions: tuple[tuple[Question, int], ...]  # with the silence in ms after which nobody is there

    @property
    def what(self) -> str:
        """For people."""
        return f"{self.baud} 8{self.parity}1 unit {self.unit}" if self.baud else f"unit {self.unit}"


def steps(request: DetectRequest, profiles: Sequence[MeterProfile], *, tcp: bool) -> list[Step]:
    """Return all steps, the likeliest first: factory settings of many models, then of few, then all others."""
    found: list[Step] = []
    factory = {p.bus.unit for p in profiles if p.vendor != "dzg"} | set(request.units)
    asking = [(p, _first(p), frozenset(dzg_units() if p.vendor == "dzg" else (p.bus.unit,))) for p in profiles if not p.sunspec_models]
    # The slow ones first: their late answer to a greeting would be taken for another.
    asking.sort(key=lambda row: -row[0].bus.timeout_ms)
    for baud, parity in [(0, "N")] if tcp else settings(request, profiles):
        for unit in units(request, profiles, baud, tcp=tcp):
            own = [
                (p, first)
                for p, first, at in asking
                if unit in at and (tcp or (p.bus.baud, p.bus.parity) == (baud, parity) or p.vendor == "dzg")
            ]
            greetings = GREETINGS if unit in factory or request.thorough or not own else ()
            questions = {first: max(request.timeout_ms, p.bus.timeout_ms) for p, first in reversed(own)}
            asked = dict(reversed(questions.items())) | {
                question: request.timeout_ms for question in greetings if question not in questions
            }
            found.append(Step(baud=baud, parity=parity, unit=unit, questions=tuple(asked.items())))
    return found


def settings(request: DetectRequest, profiles: Sequence[MeterProfile]) -> list[tuple[int, str]]:
    """Return baud rates and parities in the order of the search."""
    serial = [p for p in profiles if not p.bus.tcp] or list(profiles)
    votes: dict[tuple[int, str], int] = {}
    for profile in serial:
        key = (profile.bus.baud, profile.bus.parity)
        votes[key] = votes.get(key, 0) + 1
    bauds = request.bauds or tuple(dict.fromkeys(p.bus.baud for p in serial))
    parities = request.parities or ("N", "E")
    product = [(baud, parity) for baud in dict.fromkeys(bauds) for parity in dict.fromkeys(parities)]
    return sorted(product, key=lambda key: -votes.get(key, 0))


def units(request: DetectRequest, profiles: Sequence[MeterProfile], baud: int, *, tcp: bool) -> list[int]:
    """Return the addresses that are asked at ``baud``, without repetition."""
    if request.units:
        return list(dict.fromkeys(request.units))
    wanted: list[int] = []
    dzg = [p for p in profiles if p.vendor == "dzg" and (tcp or p.bus.baud == baud)]
    if dzg and request.serial:
        wanted.append(dzg_units(request.serial)[0])
    wanted += sorted({p.bus.unit for p in profiles})
    if dzg and len(profiles) == len(dzg):
        wanted = list(dzg_units(request.serial))  # its default of 1 is no factory address
    elif dzg:
        wanted += dzg_units(request.serial)
    if request.thorough:
        wanted += range(1, UNIT_MAX + 1)
    return [unit for unit in dict.fromkeys(wanted) if tcp or 1 <= unit <= UNIT_MAX]


def _first(profile: MeterProfile) -> Question:
    request = MeterDecoder(profile).requests[0]
    return request.function, request.address, request.count
