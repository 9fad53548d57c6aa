"""Words of the search for meters on a line: what is asked for, how far it is, what was found."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from evse.domain.base import Frozen

Certainty = Literal["identified", "plausible"]
"""Identified: a register says the model. Plausible: the values that the map of the model gives could be real."""


class DetectRequest(Frozen, frozen=True, kw_only=True):
    """Where and what to search. Empty tuples = what the profiles leave the factory with.

    Without ``thorough`` and ``units`` the factory addresses are asked, and the range of DZG where DZG meters may be.
    """

    port: Annotated[str, Meta(min_length=1)]  # serial port or tcp://host:port
    profiles: tuple[str, ...] = ()  # () = all
    bauds: tuple[Annotated[int, Meta(ge=1200, le=115_200)], ...] = ()
    parities: tuple[Literal["N", "E", "O"], ...] = ()
    units: tuple[Annotated[int, Meta(ge=0, le=255)], ...] = ()
    thorough: bool = False  # every address 1..247
    serial: str = ""  # number on the label of a DZG meter: its address is asked first
    echo: bool = False  # the adapter hears its own bytes
    timeout_ms: Annotated[int, Meta(ge=20, le=15_000)] = 250  # silence after which nobody is there


class DetectProgress(msgspec.Struct, frozen=True, kw_only=True):
    """``done`` of ``total`` questions; ``what`` is asked now, e.g. "9600 8E1 unit 17"."""

    done: int
    total: int
    what: str
    found: int


class MeterCandidate(msgspec.Struct, frozen=True, kw_only=True):
    """A profile that fits. ``score`` counts the signs for it; it compares candidates of one device only."""

    profile: str
    certainty: Certainty
    score: int
    model: str = ""  # what the device says about itself
    serial: str = ""


class FoundMeter(msgspec.Struct, frozen=True, kw_only=True):
    """A device that answers. ``candidates`` best first; none = it is no meter that is known here."""

    port: str
    baud: int  # 0 = Modbus TCP
    parity: str
    unit: int
    candidates: tuple[MeterCandidate, ...]

    @property
    def profile(self) -> str:
        """The profile to configure; "" when none or more than one fits equally well."""
        best = self.candidates[:1]
        if not best or any(c.score == best[0].score and c.certainty == best[0].certainty for c in self.candidates[1:]):
            return ""
        return best[0].profile

    def text(self) -> str:
        """One line for people."""
        line = f"{self.baud} 8{self.parity}1 " if self.baud else ""
        where = f"{self.port} {line}unit {self.unit}"
        if not self.candidates:
            return f"{where}: answers, fits no known meter"
        first = self.candidates[0]
        if first.certainty == "identified":
            said = " ".join(word for word in (first.model, first.serial and f"serial {first.serial}") if word)
            return f"{where}: {first.profile}" + (f" ({said})" if said else "")
        return f"{where}: answers, plausible as: {', '.join(c.profile for c in self.candidates)}"


class LineNoise(msgspec.Struct, frozen=True, kw_only=True):
    """Bytes on the line that are no answer: another master, a wrong wire, or two devices with one address."""

    baud: int
    parity: str
    unit: int  # that was asked
    detail: str


class DetectResult(msgspec.Struct, frozen=True, kw_only=True):
    """What a search has found."""

    found: tuple[FoundMeter, ...]
    noise: tuple[LineNoise, ...]  # at most 100
    problems: tuple[str, ...]  # line settings that the port refused
    asked: int
    total: int
    stopped: bool  # before its end
    duration_ms: int
