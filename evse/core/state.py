"""What the core remembers from one tick to the next. Nothing else survives a tick.

`StationState` is frozen and holds plain integers, texts, enums and tuples, so it can be recorded, compared and sent.
The tick works on private `EvseWork` copies (same fields, not frozen) and freezes them at its end. All waits are
deadlines (`Instant`); 0 means "not armed". The state is bounded: one fault record per code, one tie per relay.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence

import msgspec
from msgspec.structs import astuple

from evse.core.ac.memory import AcState
from evse.domain.faults import FaultRecord
from evse.domain.limits import LimitSource
from evse.domain.session import AuthSource, OperationalStatus, SessionPhase, SessionRecord, StopReason
from evse.domain.signals import HlcStep
from evse.domain.signing import SignedValues
from evse.domain.station import EvseKind, StationSpec, Topology
from evse.units import Instant, WallNs


class Stage(enum.Enum):
    """Stages of the DC machine (docs/code-flow-of-a-plug-in.md); `evse.core.machine_dc.TABLE` connects them."""

    EMPTY = "empty"  # no vehicle
    PLUGGED = "plugged"  # vehicle present, no transaction
    AUTHORISED = "authorised"  # transaction open, HLC on its way to CableCheck
    CABLE_CHECK = "cable_check"  # lock, durable start, contactor, insulation test, voltage down
    PRE_CHARGE = "pre_charge"
    POWER_ON = "power_on"
    CURRENT = "current"
    RAMP_DOWN = "ramp_down"  # current to zero, then open
    DISCHARGE = "discharge"  # open: welding check, voltage down, last meter value
    FINISHED = "finished"  # still plugged in, no transaction

    __hash__ = object.__hash__  # asked dozens of times per tick; enum's own is written in Python


ENERGY_STAGES = frozenset({Stage.CABLE_CHECK, Stage.PRE_CHARGE, Stage.POWER_ON, Stage.CURRENT, Stage.RAMP_DOWN})
"""Stages in which the output contactors may be closed."""


class AuthState(enum.Enum):
    """Permission of an EVSE."""

    NONE = "none"
    WAITING = "waiting"  # `RequestAuthorization` is out
    GRANTED = "granted"
    DENIED = "denied"


class TieStage(enum.Enum):
    """A relay between two module groups; each moving stage has a deadline."""

    OPEN = "open"
    PREPARE = "prepare"  # current to zero, the joining group to bus voltage
    CLOSING = "closing"
    CLOSED = "closed"
    RAMP_DOWN = "ramp_down"  # current to zero before opening
    OPENING = "opening"


class ContactFault(enum.Enum):
    """What is wrong with a matrix contact."""

    NONE = "none"
    NOT_CLOSED = "not_closed"  # at the last attempt
    WELDED = "welded"  # reports closed, commanded open; until it reports open
    UNKNOWN = "unknown"  # reports neither or both


class TieState(msgspec.Struct, frozen=True, kw_only=True):
    """One tie, or one contact of a matrix. ``retry_at`` delays the next attempt after a failure.

    Of contacts only: ``ramp_ma`` = most that the group may give while its share fades, ``failed`` = what is wrong.
    """

    stage: TieStage = TieStage.OPENING
    deadline: Instant = 0
    retry_at: Instant = 0
    ramp_ma: int = 0
    failed: ContactFault = ContactFault.NONE


class AvailabilityCell(msgspec.Struct, frozen=True, kw_only=True):
    """One row of the availability matrix: what the back end and the operator on site want."""

    backend: OperationalStatus = OperationalStatus.OPERATIVE
    local: OperationalStatus = OperationalStatus.OPERATIVE

    @property
    def operative(self) -> bool:
        """True when both want service."""
        return self.backend is OperationalStatus.OPERATIVE and self.local is OperationalStatus.OPERATIVE


class EvseWork(msgspec.Struct):
    """Fields of one EVSE, writable: private to one tick. Constructor values are those of an empty, safe EVSE."""

    evse_id: int
    connector_id: int = 1
    stage: Stage = Stage.EMPTY
    stage_since: Instant = 0
    deadline: Instant = 0  # of the stage
    plugged: bool = False
    step: HlcStep | None = None
    phase: SessionPhase = SessionPhase.IDLE
    waiting_for: str = ""
    # release
    auth: AuthState = AuthState.NONE
    auth_token: str = ""
    auth_source: AuthSource = AuthSource.NONE
    auth_deadline: Instant = 0
    auth_evses: tuple[int, ...] = ()  # card first at a reader of several EVSEs: whoever plugs in first takes it
    auth_reason: str = ""
    auth_parent: str = ""  # group of the card that has permission
    asked_token: str = ""  # another card that may belong to the group of the running transaction
    asked_deadline: Instant = 0
    reserved_token: str = ""
    reserved_parent: str = ""
    reserved_deadline: Instant = 0
    # session and transaction
    session_id: str = ""
    plugged_at: WallNs = 0
    plugged_since: Instant = 0
    started_at: WallNs | None = None
    ended_at: WallNs | None = None
    unplugged_at: WallNs | None = None
    meter_wh: int = 0
    meter_rest: int = 0  # W * ns below one Wh, integration without a meter
    meter_start_wh: int | None = None
    meter_stop_wh: int | None = None
    soc_start_pct: int | None = None
    soc_end_pct: int | None = None
    power_max_w: int = 0
    id_token: str = ""
    source: AuthSource = AuthSource.NONE
    evcc_id: str = ""
    transaction_id: int | None = None
    stop_reason: StopReason | None = None
    fault: str = ""
    id_parent: str = ""  # group of the card of the transaction
    stop_token: str = ""
    tx_open: bool = False
    tx_stored: bool = False
    # signed readings of the meter
    sign_number: int = 0  # of the request, 0 = none yet
    sign_deadline: Instant = 0  # of the answer
    sign_seen: Instant = 0  # last tick on which the start waited for nothing else
    sign_result: SignedValues | None = None  # of a start that has not opened its transaction yet
    sign_failed: str = ""  # why the last one did not come
    sign_until: Instant = 0  # so long that is a fault, 0 = until the vehicle has left
    sign_lost: bool = False  # because the meter could not be heard
    signed: SignedValues | None = None  # of the transaction
    settle_at: Instant = 0  # energy ended at; the last meter value must be younger
    charging_since: Instant | None = None
    # machine
    lease: bool = False
    lease_since: Instant = 0  # of the present value of `lease`
    lock: bool = False
    lock_since: Instant = 0
    iso_since: Instant = 0  # test voltage reached at
    iso_ok: bool = False
    cable_done: bool = False
    emergency: bool = False
    vehicle_off_at: Instant = 0  # the vehicle has left the energy part of the protocol
    restart_until: Instant = 0
    restart_next: Instant = 0
    restarts: int = 0
    # limits
    offered_w: int = 0
    offered_ma: int = 0
    limit_source: LimitSource = LimitSource.PLAN
    limit_told_w: int = 0
    limit_told_source: LimitSource = LimitSource.PLAN
    limit_next: Instant = 0
    request_w: int = 0
    hold_w: int = -1  # ceiling while the site meter is lost; -1 = none
    cmd_on: bool = False
    cmd_mv: int = 0
    cmd_ma: int = 0
    # faults
    hot: bool = False
    over_mv_at: Instant = 0
    over_ma_at: Instant = 0
    board_at: Instant = 0  # last fresh board reading
    meter_at: Instant = 0
    group_at: Instant = 0
    faults: tuple[FaultRecord, ...] = ()
    past: tuple[FaultRecord, ...] = ()  # last record of faults that are over, for the count
    ac: AcState | None = None


class EvseState(EvseWork, frozen=True):  # type: ignore[misc]  # mypy cannot know that msgspec allows this
    """`EvseWork`, frozen."""

    def session(self) -> SessionRecord | None:
        """Return the session as it stands; None without a vehicle."""
        return session_record(self) if self.session_id else None


class StationState(msgspec.Struct, frozen=True, kw_only=True):
    """Everything the core remembers."""

    evses: tuple[EvseState, ...]
    owners: tuple[int, ...] = ()  # EVSE that holds each module group, 0 = idle; order of StationSpec.groups
    ties: tuple[TieState, ...] = ()
    faults: tuple[FaultRecord, ...] = ()  # of the station
    past: tuple[FaultRecord, ...] = ()
    availability: tuple[AvailabilityCell, ...] = ()  # station, then the EVSEs in their order
    event_seq: int = 0
    started_at: Instant = 0
    site_meter_at: Instant = 0
    last_tick: Instant = 0


def thaw(state: EvseState) -> EvseWork:
    """Return a writable copy."""
    return EvseWork(*astuple(state))


def freeze(work: EvseWork, before: EvseState) -> EvseState:
    """Return ``work`` frozen; ``before`` itself when nothing changed."""
    fields = astuple(work)
    return before if fields == astuple(before) else EvseState(*fields)


def session_record(w: EvseWork) -> SessionRecord:
    """Return the record of the running session; ``energy_wh`` is meter stop (or now) minus meter start."""
    start = w.meter_start_wh
    stop = w.meter_stop_wh if w.meter_stop_wh is not None else w.meter_wh
    return SessionRecord(
        session_id=w.session_id,
        evse_id=w.evse_id,
        connector_id=w.connector_id,
        plugged_at=w.plugged_at,
        started_at=w.started_at,
        ended_at=w.ended_at,
        unplugged_at=w.unplugged_at,
        energy_wh=0 if start is None else max(0, stop - start),
        meter_start_wh=start,
        meter_stop_wh=w.meter_stop_wh,
        soc_start_pct=w.soc_start_pct,
        soc_end_pct=w.soc_end_pct,
        power_max_w=w.power_max_w,
        auth_source=w.source,
        id_token=w.id_token,
        evcc_id=w.evcc_id,
        transaction_id=w.transaction_id,
        stop_reason=w.stop_reason,
        fault=w.fault,
        stop_token=w.stop_token,
        signed=w.signed,
    )


def tie_count(spec: StationSpec) -> int:
    """Return the number of relays: between neighbours, one more on a ring of three or more; in a matrix one contact for each
    pair of a DC EVSE and a group (all groups of the first EVSE, then of the next)."""
    n = len(spec.groups)
    if spec.topology is Topology.MATRIX:
        return n * sum(e.kind is EvseKind.DC for e in spec.evses)
    if n < 2:
        return 0
    return n if spec.topology is Topology.RING and n > 2 else n - 1


def initial_state(
    spec: StationSpec,
    now: Instant,
    *,
    availability: Sequence[AvailabilityCell] = (),
    event_seq: int = 0,
) -> StationState:
    """Return the state at start: everything off, ties assumed closed until a board says that they are open.

    ``availability`` = station, then EVSEs in order (missing rows are Operative); ``event_seq`` = last number used.
    """
    rows = tuple(availability)[: len(spec.evses) + 1]
    rows += (AvailabilityCell(),) * (len(spec.evses) + 1 - len(rows))
    return StationState(
        evses=tuple(
            EvseState(
                evse_id=e.evse_id,
                connector_id=e.connector_id,
                stage_since=now,
                lease_since=now,
                lock_since=now,
                board_at=now,
                meter_at=now,
                group_at=now,
                ac=AcState() if e.kind is EvseKind.AC else None,
            )
            for e in spec.evses
        ),
        owners=(0,) * len(spec.groups),
        ties=(TieState(),) * tie_count(spec),
        availability=rows,
        event_seq=event_seq,
        started_at=now,
        site_meter_at=now,
        last_tick=now,
    )
