"""Models around event actions and lamps.

A rule is shown as it stands in the configuration (`evse.config.model_rules.RuleSection`), with its number, its text and
what it does now. Changes go through the configuration: they are validated, saved, and in force at once.
"""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from evse.api.models_base import EvseIdOrAll, Model
from evse.config.model_leds import LedBehaviourSection
from evse.config.model_rules import RuleSection
from evse.domain.rules import RULES_MAX
from evse.units import WallNs

RuleNumber = Annotated[int, Meta(ge=1, le=RULES_MAX)]


class RuleFindingRow(Model, frozen=True, kw_only=True):
    """``what`` = overrides (``number`` overwrites ``other``), latched (never revoked) or useless."""

    what: str
    number: int
    other: int
    thing: str
    certain: bool
    text: str


class RuleRow(Model, frozen=True, kw_only=True):
    """``active`` = EVSEs at which its action stands, ``decides`` = those at which it has the thing."""

    number: int
    text: str
    rule: RuleSection
    active: tuple[int, ...] = ()
    decides: tuple[int, ...] = ()
    overridden_by: tuple[int, ...] = ()  # numbers of the rules that have the thing instead


class Rules(Model, frozen=True, kw_only=True):
    items: tuple[RuleRow, ...]
    findings: tuple[RuleFindingRow, ...]


class RuleFindings(Model, frozen=True, kw_only=True):
    items: tuple[RuleFindingRow, ...]


class RuleText(Model, frozen=True, kw_only=True):
    """``text`` = TOML."""

    text: str


class RuleSet(Model, frozen=True, kw_only=True):
    name: str
    rules: int
    notes: tuple[str, ...]


class RuleSets(Model, frozen=True, kw_only=True):
    items: tuple[RuleSet, ...]


class RuleChanged(Model, frozen=True, kw_only=True):
    """What has become of the rules. ``number`` = the one concerned, 0 = several."""

    changed: bool
    number: int = 0
    rules: int
    findings: tuple[RuleFindingRow, ...] = ()


class RulePut(Model, frozen=True, kw_only=True):
    """``number`` 0 = at the end. ``insert`` True = before ``number``, False = in its place."""

    number: Annotated[int, Meta(ge=0, le=RULES_MAX)] = 0
    insert: bool = False
    rule: RuleSection


class RuleRef(Model, frozen=True, kw_only=True):
    number: RuleNumber


class RuleMove(Model, frozen=True, kw_only=True):
    number: RuleNumber
    to: RuleNumber


class RuleImport(Model, frozen=True, kw_only=True):
    """Rules of a shipped set (``name``) or of a file (``text``). ``evse_id`` None = as they say."""

    name: Annotated[str, Meta(max_length=64)] = ""
    text: Annotated[str, Meta(max_length=200_000)] = ""
    evse_id: EvseIdOrAll | None = None
    replace: bool = False


class RuleTraceQuery(Model, frozen=True, kw_only=True):
    """``evse_id`` 0 = all; newest first."""

    evse_id: EvseIdOrAll = 0
    limit: Annotated[int, Meta(ge=1, le=1000)] = 50


class RuleTraceRow(Model, frozen=True, kw_only=True):
    """``what`` = fired, ended, decides, overridden or free; ``other`` = the other rule, 0 = none."""

    seq: int
    wall: WallNs
    evse_id: int
    what: str
    number: int
    thing: str
    other: int
    text: str


class RuleTraceRows(Model, frozen=True, kw_only=True):
    items: tuple[RuleTraceRow, ...]


class RuleInput(Model, frozen=True, kw_only=True):
    """A digital input; ``high`` None = not known. ``mv`` = its voltage, where the board measures it."""

    number: int
    high: bool | None
    mv: int | None = None


class RuleOutput(Model, frozen=True, kw_only=True):
    """A digital output. ``level`` = high, low, floating or pulsating; ``by`` = rule 3, hand, lamp or nobody."""

    number: int
    level: str
    by: str


class RuleStateRow(Model, frozen=True, kw_only=True):
    """What rules see and do at one EVSE. Unknown = null."""

    evse_id: int
    cp: str
    pp: str
    inputs: tuple[RuleInput, ...]
    outputs: tuple[RuleOutput, ...]
    release: str  # bus, enable, disable
    external_release: str
    lock: str  # "", lock, unlock
    limit_ma: int | None
    message: str


class RuleState(Model, frozen=True, kw_only=True):
    items: tuple[RuleStateRow, ...]


# -- lamps ----------------------------------------------------------------------------------------------------------


class LedRow(Model, frozen=True, kw_only=True):
    """A lamp now. ``condition`` "" = it is dark; ``rgb`` = #rrggbb of this moment."""

    evse_id: int
    lamp: str
    outputs: tuple[int, ...]
    profile: str
    condition: str
    mode: str
    rgb: str
    buzzer: bool


class Leds(Model, frozen=True, kw_only=True):
    items: tuple[LedRow, ...]
    brightness_pct: int


class LedProfile(Model, frozen=True, kw_only=True):
    name: str
    behaviours: tuple[LedBehaviourSection, ...]


class LedProfiles(Model, frozen=True, kw_only=True):
    items: tuple[LedProfile, ...]


class LedSet(Model, frozen=True, kw_only=True):
    """The lamp of an EVSE (0 = every AC EVSE) gets another profile; ``outputs`` only for lamp outputs."""

    evse_id: EvseIdOrAll = 0
    lamp: Literal["status", "reader", "outputs"]
    profile: Annotated[str, Meta(max_length=40)]
    outputs: tuple[int, ...] = ()
    buzzer: bool = True


class LedBrightness(Model, frozen=True, kw_only=True):
    pct: Annotated[int, Meta(ge=0, le=100)]
