"""What the commands of the control protocol are made of: arguments, checks and the words of refusals."""

from __future__ import annotations

import difflib
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Final

import msgspec

from evse.domain.ac import PpState, V2gError
from evse.domain.base import ConfigError

if TYPE_CHECKING:
    from evse.sim.station import SimStation

TEXT_SHOWN: Final = 60


class Arg(msgspec.Struct, frozen=True, kw_only=True):
    """One argument of a command. ``low``/``high`` bound numbers; ``choices`` bound texts."""

    kind: str  # "int", "number", "bool", "text", "object"
    required: bool = False
    low: float = 0
    high: float = 1e9
    choices: tuple[str, ...] = ()

    def accepted(self) -> str:
        """Return what may stand here, in words."""
        if self.choices:
            return ", ".join(self.choices)
        if self.kind in ("int", "number"):
            word = "a whole number" if self.kind == "int" else "a number"
            return f"{word} from {self.low:g} to {self.high:g}"
        return {"bool": "true or false", "text": "a text", "object": "a JSON value"}[self.kind]

    def fits(self, value: Any) -> bool:
        """Return whether ``value`` may stand here."""
        if self.kind == "bool":
            return isinstance(value, bool)
        if self.kind == "text":
            return isinstance(value, str) and (not self.choices or value in self.choices)
        if self.kind == "object":
            return True
        if isinstance(value, bool) or not isinstance(value, int | float):
            return False
        return (self.kind == "number" or isinstance(value, int)) and self.low <= value <= self.high


Handler = Callable[["SimStation", dict[str, Any]], Awaitable[dict[str, Any]]]


class Spec(msgspec.Struct, frozen=True, kw_only=True):
    """One command."""

    help: str
    args: dict[str, Arg]
    run: Handler


CONNECTOR: Final = Arg(kind="int", required=True, low=1, high=48)
MANNERS: Final[dict[str, Arg]] = {
    "soc_pct": Arg(kind="number", high=100),
    "target_soc_pct": Arg(kind="number", high=100),
    "demand_w": Arg(kind="int", high=1_000_000),
    "max_w": Arg(kind="int", high=1_000_000),
    "max_ma": Arg(kind="int", high=1_000_000),
    "stop_energy_wh": Arg(kind="int", high=1_000_000),
    "stop_after_s": Arg(kind="int", high=864_000),
    "late_ms": Arg(kind="int", high=60_000),
    "silent": Arg(kind="bool"),
    "ignore_stop": Arg(kind="bool"),
    "stay_in_c": Arg(kind="bool"),
    "pre_charge_never": Arg(kind="bool"),
    "insulation_kohm": Arg(kind="int", high=100_000),
    "slac_fails": Arg(kind="bool"),
}
"""Manners of DC vehicles that can be changed while plugged in."""

AC_MANNERS: Final[dict[str, Arg]] = {
    "sleep_after_s": Arg(kind="int", high=86_400),
    "follow_ms": Arg(kind="int", high=60_000),
    "ventilation": Arg(kind="bool"),
    "no_diode": Arg(kind="bool"),
    "ignore_pwm": Arg(kind="bool"),
    "over_permille": Arg(kind="int", high=5_000),
    "one_phase": Arg(kind="bool"),
    "drop_c_after_s": Arg(kind="int", high=86_400),
    "leak_dc_ua": Arg(kind="int", high=1_000_000),
    "leak_rms_ua": Arg(kind="int", high=1_000_000),
    "hlc_error": Arg(kind="text", choices=("", *(error.value for error in V2gError if error is not V2gError.NONE))),
    "renegotiate_after_s": Arg(kind="int", high=86_400),
    "pause_after_s": Arg(kind="int", high=86_400),
    "pause_s": Arg(kind="int", high=86_400),
    "departure_s": Arg(kind="int", high=864_000),
    "contract": Arg(kind="bool"),
}
"""Manners of AC vehicles alone; they share soc_pct, target_soc_pct, max_ma, stop_energy_wh, stop_after_s, slac_fails."""

AC_CAR: Final[dict[str, Arg]] = {
    "phases": Arg(kind="int", low=1, high=3),
    "cable": Arg(kind="text", choices=tuple(state.value for state in PpState if state is not PpState.UNKNOWN)),
    "hlc": Arg(kind="text", choices=("", "ac", "dc")),
    "starts_in_c": Arg(kind="bool"),
    "energy_request_wh": Arg(kind="int", high=1_000_000),
}
"""What an AC vehicle is, named when it arrives."""


def short(text: str) -> str:
    """Return peer text for people: printable and at most `TEXT_SHOWN` long."""
    clean = "".join(letter if letter.isprintable() else "?" for letter in text)
    return clean if len(clean) <= TEXT_SHOWN else clean[:TEXT_SHOWN] + "..."


def near(name: str, accepted: Any) -> str:
    """Return ", did you mean X" for a name that is nearly one of ``accepted``, else ""."""
    found = difflib.get_close_matches(name, list(accepted), 1)
    return f", did you mean {found[0]}" if found else ""


def known(station: SimStation, connector: int) -> int:
    """Return ``connector``; `ConfigError` when the station has none of that number."""
    if connector not in station.world.numbers():
        numbers = ", ".join(map(str, station.world.numbers()))
        raise ConfigError([f"connector = {connector}: no such connector; accepted: {numbers}"])
    return connector
