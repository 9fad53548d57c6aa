"""Models around AC connectors: limits, lock, residual current, phases, ISO 15118, ventilation, inputs and outputs, recloser.

Currents are mA per phase. Rows are made from `evse.domain.view_ac`; values that are not known are null.
"""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from evse.api.models_base import EvseId, EvseIdOrAll, Model, ShortText
from evse.domain.ac import V2gStatus
from evse.domain.limits import LimitEntry
from evse.domain.view_ac import HlcView, LockView, RcdView, VentilationView
from evse.units import WallNs

CurrentMa = Annotated[int, Meta(ge=-1, le=10_000_000)]
LimitName = Annotated[str, Meta(min_length=1, max_length=40)]
IdToken = Annotated[str, Meta(max_length=36)]


class AcQuery(Model, frozen=True, kw_only=True):
    """``evse_id`` 0 = all AC connectors."""

    evse_id: EvseIdOrAll = 0


# -- limits ---------------------------------------------------------------------------------------------------------


class LimitsExplanation(Model, frozen=True, kw_only=True):
    """Every limit of a connector, the binding one first, and what follows. Currents are null for DC connectors.

    Offered = what the vehicle is told now; physical = what cable, wiring and grid allow, whatever is set from outside.
    """

    evse_id: int
    kind: str  # ac, dc
    text: str  # one sentence
    offered_w: int
    offered_ma: int | None
    physical_ma: int | None
    physical_w: int | None
    limits: tuple[LimitEntry, ...]


class LimitsExplanations(Model, frozen=True, kw_only=True):
    items: tuple[LimitsExplanation, ...]


class DynamicLimitRow(Model, frozen=True, kw_only=True):
    """A named current limit of another program. ``ignored`` True = there was no room for it, it has no effect."""

    name: str
    evse_id: int
    current_ma: int | None  # -1 = no limit; None = not known (ignored)
    age_s: int | None
    stale: bool = False  # the fallback current holds instead
    ignored: bool = False


class DynamicLimits(Model, frozen=True, kw_only=True):
    items: tuple[DynamicLimitRow, ...]


class LimitSet(Model, frozen=True, kw_only=True):
    """``current_ma`` -1 = no limit, below 6000 = nothing is offered; ``evse_id`` 0 = every AC connector."""

    name: LimitName
    current_ma: CurrentMa
    evse_id: EvseIdOrAll = 0


class LimitRef(Model, frozen=True, kw_only=True):
    name: LimitName
    evse_id: EvseIdOrAll = 0


# -- release --------------------------------------------------------------------------------------------------------


class PermissionRequest(Model, frozen=True, kw_only=True):
    """``id_token`` = whom the session is charged to; "" = nobody in particular."""

    evse_id: EvseId
    id_token: IdToken = ""


# -- parts ----------------------------------------------------------------------------------------------------------


class LockRow(Model, frozen=True, kw_only=True):
    evse_id: int
    plugged: bool
    fitted: bool
    lock: LockView | None


class Locks(Model, frozen=True, kw_only=True):
    items: tuple[LockRow, ...]


class UnlockRequest(Model, frozen=True, kw_only=True):
    """``hold`` True = unlocked until the plug is out, whatever a session wants."""

    evse_id: EvseId
    hold: bool = False


class RcdRow(Model, frozen=True, kw_only=True):
    evse_id: int
    fitted: bool
    rcd: RcdView | None


class Rcds(Model, frozen=True, kw_only=True):
    items: tuple[RcdRow, ...]


class PhaseRow(Model, frozen=True, kw_only=True):
    evse_id: int
    phases: int  # the vehicle has now, 0 = the contactor is open
    phases_next: int  # the next closing gives
    phases_wired: int
    switchable: bool
    switching: bool
    current_l_ma: tuple[int, int, int] | None
    voltage_l_mv: tuple[int, int, int] | None


class Phases(Model, frozen=True, kw_only=True):
    items: tuple[PhaseRow, ...]


class PhaseSet(Model, frozen=True, kw_only=True):
    """``delay_s`` = pause between off and the new number, None = as configured."""

    evse_id: EvseId
    phases: Literal[1, 3]
    delay_s: Annotated[int, Meta(ge=10, le=300)] | None = None


class HlcRow(Model, frozen=True, kw_only=True):
    evse_id: int
    mode: str  # off, optional, required, fake_dc
    evcc_id: str
    soc_pct: int | None
    v2g: V2gStatus | None  # what the board says
    session: HlcView | None  # what the station makes of it; None = switched off


class HlcRows(Model, frozen=True, kw_only=True):
    items: tuple[HlcRow, ...]


class HlcAsk(Model, frozen=True, kw_only=True):
    evse_id: EvseId
    what: Literal["renegotiate", "pause", "resume", "reinit"]


class VentilationRow(Model, frozen=True, kw_only=True):
    evse_id: int
    fitted: bool
    ventilation: VentilationView | None


class Ventilations(Model, frozen=True, kw_only=True):
    items: tuple[VentilationRow, ...]


class VentilationSet(Model, frozen=True, kw_only=True):
    """None leaves a value as it is."""

    evse_id: EvseId
    available: bool | None = None
    on: bool | None = None


# -- inputs and outputs, recloser -----------------------------------------------------------------------------------


class IoRow(Model, frozen=True, kw_only=True):
    """One input, output, sensor or fan. Names of board points are "<connector>.in<n>" and "<connector>.out<n>"."""

    name: str
    kind: str  # input, output, temperature, fan
    where: str  # "board 1", "controller"
    online: bool
    detail: str = ""
    active: bool | None = None  # input or output: high, or active as configured
    level: str = ""  # output: high, low, floating, pulsing
    by_hand: bool = False  # output: set by io.set
    voltage_mv: int | None = None
    temperature_dc: int | None = None
    duty_permille: int | None = None
    rpm: int | None = None


class IoRows(Model, frozen=True, kw_only=True):
    items: tuple[IoRow, ...]


class IoRef(Model, frozen=True, kw_only=True):
    name: ShortText = ""  # "" = all


class IoSet(Model, frozen=True, kw_only=True):
    """``rules`` gives the output back to the event actions (an output of the controller: to rest)."""

    name: ShortText
    level: Literal["high", "low", "floating", "rules"]


class RecloserRow(Model, frozen=True, kw_only=True):
    name: str
    profile: str
    port: str
    address: int
    evses: tuple[int, ...]
    state: str  # open, closed, moving, unavailable, not_present
    online: bool
    detail: str


class Reclosers(Model, frozen=True, kw_only=True):
    items: tuple[RecloserRow, ...]


class RecloserRef(Model, frozen=True, kw_only=True):
    name: ShortText = ""  # "" = the only one of the station


# -- search for meters, test of a reader ----------------------------------------------------------------------------


class DetectStart(Model, frozen=True, kw_only=True):
    """See `evse.domain.detect.DetectRequest`; comma-separated lists, "" = what the profiles leave the factory with."""

    port: Annotated[str, Meta(min_length=1, max_length=256)]
    profiles: Annotated[str, Meta(max_length=1000)] = ""
    bauds: ShortText = ""
    parities: ShortText = ""
    units: Annotated[str, Meta(max_length=1000)] = ""  # 1,5,10-20
    thorough: bool = False
    serial: ShortText = ""
    echo: bool = False
    timeout_ms: Annotated[int, Meta(ge=20, le=15_000)] = 250
    disturb: bool = False  # also a line that is in use: its devices wait meanwhile


class DetectCandidate(Model, frozen=True, kw_only=True):
    profile: str
    certainty: str  # identified, plausible
    model: str
    serial: str


class DetectFound(Model, frozen=True, kw_only=True):
    """A device that answers. ``profile`` "" = none, or more than one fits equally well."""

    port: str
    baud: int  # 0 = Modbus TCP
    parity: str
    unit: int
    profile: str
    text: str
    candidates: tuple[DetectCandidate, ...]


class DetectState(Model, frozen=True, kw_only=True):
    """The last search. ``number`` grows by one with each."""

    number: int
    state: str  # idle, running, done, stopped, failed
    port: str = ""
    done: int = 0
    total: int = 0
    what: str = ""  # asked now
    seconds: int = 0  # since its begin, or as long as it took
    error: str = ""
    found: tuple[DetectFound, ...] = ()
    noise: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()


class TapRequest(Model, frozen=True, kw_only=True):
    """The next card at ``reader`` within ``seconds`` is shown and used for nothing else."""

    reader: ShortText
    seconds: Annotated[int, Meta(ge=1, le=50)] = 30


class Tap(Model, frozen=True, kw_only=True):
    """``id_token`` "" = no card came in time."""

    reader: str
    id_token: str
    at: WallNs | None
    waited_ms: int
