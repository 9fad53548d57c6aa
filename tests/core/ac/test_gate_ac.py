"""The gate alone with AC EVSEs: levels that ask for everything, readings with one thing wrong, and the justified part remains."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from evse.core.gate import gate
from evse.core.gate_ac import promised_ma
from evse.core.inputs import EvseInputs, Inputs
from evse.core.outputs import EvseOutput, Outputs
from evse.domain.ac import (
    AcCommand,
    AcSpec,
    AcStatus,
    FeedbackType,
    LockMode,
    PhaseSwitchSpec,
    PilotMode,
    PpState,
    RcdSpec,
    RcdState,
)
from evse.domain.contactor import ContactorFeedback
from evse.domain.limits import LimitSource, PowerLimit
from evse.domain.readings import NEVER, Sample
from evse.domain.signals import BoardCommand, BoardStatus, CpState, LockState
from evse.domain.station import EvseKind, EvseSpec, GroupSpec, StationSpec
from tests._support.laws_ac import told_ma

NOW = 10_000_000_000
OPEN, CLOSED, UNKNOWN = ContactorFeedback.OPEN, ContactorFeedback.CLOSED, ContactorFeedback.UNKNOWN
AC = EvseSpec(evse_id=1, kind=EvseKind.AC, ac=AcSpec(evse_ma=32_000, rcd=RcdSpec(fitted=True)))
DC = EvseSpec(evse_id=2, home_group=1)
GROUP = GroupSpec(group_id=1, home_evse=2, modules=2, module_power_w=30_000, module_current_max_ma=100_000)
SPEC = StationSpec(station_id="g", evses=(AC, DC), groups=(GROUP,))
GOOD = BoardStatus(
    cp=CpState.C,
    estop=False,
    contactor=CLOSED,
    lease_active=True,
    lock=LockState.LOCKED,
    ac=AcStatus(pp=PpState.A32, rcd=RcdState.NORMAL, cp_high_mv=6_000),
)
LEVELS = BoardCommand(
    contactor_lease=True,
    lock=True,
    offered_ma=32_000,
    offered_w=22_080,
    ac=AcCommand(pilot=PilotMode.PWM, duty_bp=5_333, phases=3),
)


def spec(**ac: Any) -> StationSpec:
    """The station with another AC EVSE."""
    assert AC.ac is not None
    return replace(SPEC, evses=(replace(AC, ac=replace(AC.ac, **ac)), DC))


def board(**changes: Any) -> BoardStatus:
    """The good status with changes; those of `AcStatus` by their names."""
    inner = {k: v for k, v in changes.items() if k in AcStatus.__struct_fields__}
    outer = {k: v for k, v in changes.items() if k not in inner}
    assert GOOD.ac is not None
    return replace(GOOD, ac=replace(GOOD.ac, **inner), **outer)


def levels(**changes: Any) -> BoardCommand:
    inner = {k: v for k, v in changes.items() if k in AcCommand.__struct_fields__}
    outer = {k: v for k, v in changes.items() if k not in inner}
    assert LEVELS.ac is not None
    return replace(LEVELS, ac=replace(LEVELS.ac, **inner), **outer)


def through(
    b: BoardStatus | None = GOOD,
    c: BoardCommand = LEVELS,
    *,
    of: StationSpec = SPEC,
    age_ms: int = 0,
    dc: BoardStatus | None = None,
    dc_w: int = 0,
    **rest: Any,
) -> tuple[BoardCommand, BoardCommand]:
    """Return the levels of both EVSEs after the gate."""
    dc = dc or BoardStatus(estop=False)
    reading: Any = NEVER if b is None else Sample(b, NOW - age_ms * 1_000_000)
    given = Inputs(
        wall=0,
        evses=(EvseInputs(evse_id=1, board=reading, meter=NEVER), EvseInputs(evse_id=2, board=Sample(dc, NOW), meter=NEVER)),
        groups=(),
        site_meter=NEVER,
        **rest,
    )
    asked = BoardCommand(contactor_lease=dc_w > 0, offered_w=dc_w, offered_ma=100_000)
    out = Outputs(evses=(EvseOutput(evse_id=1, board=c), EvseOutput(evse_id=2, board=asked)), groups=())
    got = gate(of, out, given, NOW)
    return got.evses[0].board, got.evses[1].board


def test_what_is_justified_passes_unchanged() -> None:
    out = Outputs(evses=(EvseOutput(evse_id=1, board=LEVELS),), groups=())
    given = Inputs(wall=0, evses=(EvseInputs(evse_id=1, board=Sample(GOOD, NOW), meter=NEVER),), groups=(), site_meter=NEVER)
    assert gate(replace(SPEC, evses=(AC,)), out, given, NOW) is out


@pytest.mark.parametrize(
    ("changes", "stays"),
    [
        ({"cp": CpState.D}, True), ({"cp": CpState.A}, False), ({"cp": CpState.B}, False), ({"cp": CpState.E}, False),
        ({"cp": CpState.F}, False), ({"cp": CpState.UNKNOWN}, False),
        ({"cp_high_mv": None}, True), ({"cp_high_mv": 8_000}, False), ({"cp_high_mv": 7_999}, True), ({"cp_high_mv": 1_001}, True),
        ({"cp_high_mv": 1_000}, False), ({"cp_high_mv": -12_000}, False),
        ({"lock": LockState.UNLOCKED}, False), ({"lock": LockState.UNKNOWN}, True),
        ({"rcd": RcdState.TRIPPED}, False), ({"rcd": RcdState.UNKNOWN}, False),
        ({"contactor": UNKNOWN}, False), ({"lease_active": False}, False), ({"contactor": OPEN, "lease_active": False}, True),
        ({"contactor": OPEN}, True), ({"door_open": True}, False), ({"estop": True}, False), ({"ac": None}, False),
    ],
)  # fmt: skip
def test_g13_one_wrong_signal_takes_the_contactor(changes: dict[str, Any], stays: bool) -> None:
    b = replace(GOOD, ac=None) if "ac" in changes else board(**changes)
    got, _ = through(b)
    assert got.contactor_lease is stays and got.lock


@pytest.mark.parametrize("pp", list(PpState), ids=lambda x: x.name)
@pytest.mark.parametrize("closed", [True, False])
def test_g13_without_a_valid_cable_nothing_closes(pp: PpState, closed: bool) -> None:
    b = board(pp=pp, contactor=CLOSED if closed else OPEN, lease_active=closed)
    valid = pp in (PpState.A13, PpState.A20, PpState.A32, PpState.A63)
    assert through(b)[0].contactor_lease is (valid or closed)  # an unreadable contact is filtered by the tick
    assert through(b, of=spec(socket=False, cable_ma=32_000))[0].contactor_lease


@pytest.mark.parametrize(("kind", "contact", "active", "stays"), [
    (FeedbackType.NC, OPEN, True, True), (FeedbackType.NC, OPEN, False, False), (FeedbackType.NC, CLOSED, False, True),
    (FeedbackType.NC, UNKNOWN, True, False), (FeedbackType.NONE, UNKNOWN, True, True), (FeedbackType.NONE, UNKNOWN, False, True),
    (FeedbackType.NONE, CLOSED, False, True), (FeedbackType.NO, CLOSED, False, False),
])  # fmt: skip
def test_g13_the_type_of_the_auxiliary_contact_counts(
    kind: FeedbackType, contact: ContactorFeedback, active: bool, stays: bool
) -> None:
    got, _ = through(board(contactor=contact, lease_active=active), of=spec(contactor_feedback=kind))
    assert got.contactor_lease is stays


@pytest.mark.parametrize("kind", list(FeedbackType), ids=lambda x: x.value)
def test_g13_without_storage_a_closed_contactor_may_stay_but_none_may_close(kind: FeedbackType) -> None:
    up = OPEN if kind is FeedbackType.NC else CLOSED
    down = CLOSED if kind is FeedbackType.NC else OPEN
    of = spec(contactor_feedback=kind)
    assert through(board(contactor=up), of=of, storage_ok=False)[0].contactor_lease
    assert not through(board(contactor=down, lease_active=False), of=of, storage_ok=False)[0].contactor_lease
    free = replace(of, charge_without_storage=True)
    assert through(board(contactor=down, lease_active=False), of=free, storage_ok=False)[0].contactor_lease


def test_g13_a_lock_or_a_monitor_that_is_not_fitted_is_not_asked() -> None:
    unlocked = board(lock=LockState.UNLOCKED)
    assert through(unlocked, of=spec(lock_mode=LockMode.NEVER))[0].contactor_lease
    assert through(unlocked, of=spec(socket=False, cable_ma=32_000))[0].contactor_lease
    assert not through(unlocked, of=spec(lock_mode=LockMode.PLUGGED))[0].contactor_lease
    assert through(board(rcd=RcdState.UNKNOWN), of=spec(rcd=RcdSpec()))[0].contactor_lease


def test_g13_a_board_without_a_fresh_word_is_off_and_promises_nothing() -> None:
    for got, _ in (through(None), through(age_ms=301)):
        assert not got.contactor_lease and got.offered_ma == got.offered_w == 0
        assert got.ac is not None and got.ac.pilot is PilotMode.X1 and got.ac.duty_bp == 0
    assert through(age_ms=300)[0] == LEVELS


@pytest.mark.parametrize("where", ["dc", "ac", "loop"])
def test_g13_emergency_stop_and_loop_fault_are_everybodys(where: str) -> None:
    b = board(estop=where == "ac")
    got, _ = through(b, dc=BoardStatus(estop=where == "dc"), loop_fault="bug" if where == "loop" else "")
    assert not got.contactor_lease and got.ac is not None and got.ac.pilot is PilotMode.X1 and got.offered_ma == 0


# -- promises -------------------------------------------------------------------------------------------------------


def test_g14_the_gate_reads_a_duty_cycle_like_a_vehicle() -> None:
    for duty in range(10_001):
        c = levels(duty_bp=duty)
        if not 300 <= duty <= 700:
            assert promised_ma(c) == told_ma(duty), duty
        else:
            assert promised_ma(c) == 32_000  # ISO 15118 tells it
    for pilot in (PilotMode.X1, PilotMode.E, PilotMode.F):
        assert promised_ma(levels(pilot=pilot)) == 0
    assert promised_ma(BoardCommand(offered_ma=9_000)) == 0
    assert promised_ma(levels(duty_bp=299)) == promised_ma(levels(duty_bp=701)) == 0
    assert promised_ma(levels(duty_bp=500, offered_ma=-5)) == 0


@pytest.mark.parametrize(
    ("pp", "evse_ma", "duty_bp", "offered_ma", "stays"),
    [
        (PpState.A32, 32_000, 5_333, 32_000, True),
        (PpState.A32, 32_000, 5_334, 32_004, False),  # wiring and cable
        (PpState.A63, 32_000, 5_334, 32_004, False),  # wiring
        (PpState.A20, 32_000, 3_333, 20_000, True),
        (PpState.A20, 32_000, 3_334, 20_004, False),  # cable
        (PpState.A13, 32_000, 2_166, 13_000, True),
        (PpState.A13, 32_000, 2_167, 13_002, False),
        (PpState.A63, 63_000, 8_920, 63_000, True),
        (PpState.A63, 63_000, 8_921, 63_025, False),
        (PpState.A32, 32_000, 2_000, 11_999, False),  # more than is offered
        (PpState.A32, 32_000, 2_000, 12_000, True),
        (PpState.A32, 32_000, 1_000, 5_999, False),
        (PpState.A32, 32_000, 800, 6_000, True),
        (PpState.INVALID, 32_000, 5_333, 32_000, True),  # left to the filter of the tick
        (PpState.INVALID, 32_000, 5_334, 32_004, False),
        (PpState.A32, 0, 1_000, 6_000, False),
        (PpState.A32, 32_000, 9_701, 0, True),  # no current
    ],
)
def test_g14_a_promise_beyond_wiring_cable_or_offer_becomes_x1(
    pp: PpState, evse_ma: int, duty_bp: int, offered_ma: int, stays: bool
) -> None:
    c = levels(duty_bp=duty_bp, offered_ma=offered_ma)
    got, _ = through(board(pp=pp), c, of=spec(evse_ma=evse_ma))
    assert got.ac is not None and got.ac.pilot is (PilotMode.PWM if stays else PilotMode.X1)
    assert got.ac.duty_bp == (duty_bp if stays else 0)
    assert got.offered_ma <= evse_ma and got.contactor_lease


def test_g14_a_fixed_cable_has_its_rating() -> None:
    of = spec(socket=False, cable_ma=16_000)
    assert through(c=levels(duty_bp=2_666, offered_ma=16_000), of=of)[0].offered_ma == 16_000
    got, _ = through(c=levels(duty_bp=2_700, offered_ma=16_200), of=of)
    assert got.ac is not None and got.ac.pilot is PilotMode.X1


def test_g14_an_offer_is_cut_in_current_and_power() -> None:
    got, _ = through(board(pp=PpState.A20), levels(duty_bp=500))
    assert (got.offered_ma, got.offered_w) == (20_000, 13_800)
    assert got.ac is not None and (got.ac.pilot, got.ac.duty_bp) == (PilotMode.PWM, 500)
    got, _ = through(c=levels(duty_bp=500, offered_ma=-5, offered_w=10))
    assert (got.offered_ma, got.offered_w) == (0, 0)


@pytest.mark.parametrize(("site_w", "fits"), [(22_078, True), (22_077, False)])
def test_g9_ac_vehicles_are_told_no_more_than_the_site_allows(site_w: int, fits: bool) -> None:
    """31.998 A on three phases of 230 V = 22 078 W."""
    caps = (PowerLimit(source=LimitSource.SITE, evse_id=0, power_w=site_w, set_at=0),)
    got, _ = through(limits=caps)
    assert got.ac is not None and got.ac.pilot is (PilotMode.PWM if fits else PilotMode.X1)
    assert got.contactor_lease and (got.offered_ma > 0) is fits


@pytest.mark.parametrize(("site_w", "fits"), [(53_657, True), (53_656, False)])
def test_g9_the_site_counts_ac_and_dc_together(site_w: int, fits: bool) -> None:
    """30 000 W DC at 95 % are 31 579 W; with 22 078 W AC 53 657 W."""
    dc = BoardStatus(cp=CpState.C, estop=False, contactor=CLOSED, lease_active=True, lock=LockState.LOCKED)
    caps = (PowerLimit(source=LimitSource.SITE, evse_id=0, power_w=site_w, set_at=0),)
    got, other = through(dc=dc, dc_w=30_000, limits=caps)
    assert got.ac is not None and got.ac.pilot is (PilotMode.PWM if fits else PilotMode.X1)
    assert other.offered_w == 30_000 and other.contactor_lease


def test_g9_one_phase_counts_as_one() -> None:
    caps = (PowerLimit(source=LimitSource.SITE, evse_id=0, power_w=7_400, set_at=0),)
    got, _ = through(c=levels(phases=1), limits=caps)
    assert got.ac is not None and got.ac.pilot is PilotMode.PWM
    got, _ = through(c=levels(phases=2), limits=caps)
    assert got.ac is not None and got.ac.pilot is PilotMode.X1


# -- relay 2 and the test output ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("switch", "free", "lease", "stays"),
    [
        (True, False, True, True), (True, False, False, False), (True, True, True, False), (True, True, False, False),
        (False, True, True, True), (False, True, False, True), (False, False, True, False), (False, False, False, False),
    ],
)  # fmt: skip
def test_g15_relay_2_is_second_contactor_or_ventilation(switch: bool, free: bool, lease: bool, stays: bool) -> None:
    b = GOOD if lease else board(cp=CpState.B)
    got, _ = through(b, levels(relay2=True, relay2_free=free), of=spec(phase_switch=PhaseSwitchSpec(enabled=switch)))
    assert got.ac is not None and got.ac.relay2 is stays and got.contactor_lease is lease


@pytest.mark.parametrize("asked", [True, False])
def test_g15_relay_2_is_never_switched_on(asked: bool) -> None:
    got, _ = through(c=levels(contactor_lease=asked), of=spec(phase_switch=PhaseSwitchSpec(enabled=True)))
    assert got.ac is not None and not got.ac.relay2 and got.contactor_lease is asked


def test_g16_no_residual_current_test_under_a_closed_contactor() -> None:
    got, _ = through(c=levels(rcd_test=True))
    assert got.ac is not None and not got.ac.rcd_test and got.contactor_lease
    got, _ = through(board(cp=CpState.B), levels(rcd_test=True))
    assert got.ac is not None and got.ac.rcd_test and not got.contactor_lease


def test_levels_without_the_ac_part_lose_their_contactor_only_for_a_reason() -> None:
    got, _ = through(c=replace(LEVELS, ac=None))
    assert got.contactor_lease and got.ac is None
    assert not through(board(cp=CpState.B), replace(LEVELS, ac=None))[0].contactor_lease


def test_an_ac_evse_without_its_ratings_has_the_smallest() -> None:
    bare = replace(SPEC, evses=(EvseSpec(evse_id=1, kind=EvseKind.AC), DC))
    got, _ = through(of=bare)
    assert got.offered_ma == 6_000 and got.ac is not None and got.ac.pilot is PilotMode.X1


@pytest.mark.parametrize(
    ("number", "active_high", "inputs", "stays"),
    [
        (0, True, 0b1111, True), (0, False, 0, True),  # none is wired
        (1, True, 0b0001, False), (1, True, 0b1110, True), (3, True, 0b0100, False), (3, True, 0b1011, True),
        (1, False, 0b0001, True), (1, False, 0b1110, False), (3, False, 0b0100, True), (3, False, 0, False),
    ],
)  # fmt: skip
def test_g13_the_emergency_contact_opens(number: int, active_high: bool, inputs: int, stays: bool) -> None:
    of = spec(emergency_input=number, emergency_active_high=active_high, inputs=4)
    assert through(board(inputs=inputs), of=of)[0].contactor_lease is stays
