"""The gate alone: outputs that ask for everything, inputs with one thing wrong, and only the justified part remains."""

from __future__ import annotations

from typing import Any

import pytest

from evse.core.gate import gate
from evse.core.inputs import EvseInputs, Inputs
from evse.core.outputs import EvseOutput, Outputs
from evse.domain.limits import LimitSource, PowerLimit
from evse.domain.readings import NEVER, GroupStatus, NoData, NoDataReason, Sample
from evse.domain.signals import BoardCommand, BoardStatus, ContactorFeedback, CpState, GroupCommand, HlcStep, LockState
from tests.core.plant import spec_of

NOW = 10_000_000_000
GOOD: dict[str, Any] = {
    "cp": CpState.C,
    "estop": False,
    "contactor": ContactorFeedback.CLOSED,
    "lock": LockState.LOCKED,
    "lease_active": True,
    "output_mv": 400_000,
    "step": HlcStep.CURR,
}
SPEC = spec_of(2)


def outputs(
    *, tie: bool = False, owner2: int = 2, lease2: bool = True, voltage_mv: int = 400_000, current_ma: int = 100_000
) -> Outputs:
    def board(lease: bool, tie_close: bool) -> BoardCommand:
        return BoardCommand(contactor_lease=lease, lock=True, offered_w=60_000, offered_ma=150_000, tie_close=tie_close)

    return Outputs(
        evses=(EvseOutput(evse_id=1, board=board(True, tie)), EvseOutput(evse_id=2, board=board(lease2, False))),
        groups=(
            GroupCommand(group_id=1, owner=1, on=True, voltage_mv=voltage_mv, current_ma=current_ma),
            GroupCommand(group_id=2, owner=owner2, on=True, voltage_mv=voltage_mv, current_ma=current_ma),
        ),
    )


def inputs(
    one: dict[str, Any] | None = None,
    two: dict[str, Any] | None = None,
    *,
    age_ms: int = 0,
    amps: tuple[int, int] = (0, 0),
    volts: tuple[int, int] = (400, 400),
    **rest: Any,
) -> Inputs:
    boards = [BoardStatus(**{**GOOD, **(x or {})}) for x in (one, two)]
    return Inputs(
        wall=0,
        site_meter=NEVER,
        evses=(
            EvseInputs(evse_id=1, board=Sample(boards[0], NOW - age_ms * 1_000_000), meter=NEVER),
            EvseInputs(evse_id=2, board=Sample(boards[1], NOW), meter=NEVER),
        ),
        groups=tuple(
            Sample(
                GroupStatus(
                    modules_expected=2,
                    modules_present=2,
                    modules_faulty=0,
                    on=True,
                    voltage_mv=v * 1000,
                    current_ma=a * 1000,
                    available_w=60_000,
                ),
                NOW,
            )
            for v, a in zip(volts, amps, strict=True)
        ),
        **rest,
    )


def test_what_is_justified_passes_unchanged() -> None:
    out = outputs()
    assert gate(SPEC, out, inputs(), NOW) is out


@pytest.mark.parametrize(
    ("rule", "wrong"),
    [
        ("G3 pilot A", {"cp": CpState.A}),
        ("G3 pilot B", {"cp": CpState.B}),
        ("G3 pilot E", {"cp": CpState.E}),
        ("G3 pilot F", {"cp": CpState.F}),
        ("G3 unknown", {"cp": CpState.UNKNOWN}),
        ("G4 unlocked", {"lock": LockState.UNLOCKED}),
        ("G5 feedback", {"contactor": ContactorFeedback.UNKNOWN}),
        ("G5 welded", {"lease_active": False}),
        ("G1 door", {"door_open": True}),
    ],
)
def test_one_wrong_signal_takes_the_lease_and_the_modules_of_that_evse_only(rule: str, wrong: dict[str, Any]) -> None:
    got = gate(SPEC, outputs(), inputs(wrong), NOW)
    assert not got.evses[0].board.contactor_lease and not got.groups[0].on, rule
    assert got.evses[1].board.contactor_lease and got.groups[1].on, rule


@pytest.mark.parametrize(("age_ms", "leased"), [(300, True), (301, False)])
def test_g1_a_board_reading_older_than_three_heartbeats_counts_as_none(age_ms: int, leased: bool) -> None:
    assert gate(SPEC, outputs(), inputs(age_ms=age_ms), NOW).evses[0].board.contactor_lease is leased


def test_g1_no_reading_no_lease() -> None:
    given = inputs()
    lost = EvseInputs(evse_id=1, board=NoData(reason=NoDataReason.TIMEOUT, since=0), meter=NEVER)
    given = Inputs(wall=0, site_meter=NEVER, evses=(lost, given.evses[1]), groups=given.groups)
    got = gate(SPEC, outputs(), given, NOW)
    assert not got.evses[0].board.contactor_lease and got.evses[1].board.contactor_lease


def test_g2_one_emergency_stop_is_everybodys() -> None:
    got = gate(SPEC, outputs(), inputs(None, {"estop": True}), NOW)
    assert not any(o.board.contactor_lease for o in got.evses) and not any(g.on for g in got.groups)


def test_g6_without_storage_a_closed_contactor_may_stay_but_none_may_close() -> None:
    opened = {"contactor": ContactorFeedback.OPEN, "lease_active": False}
    got = gate(SPEC, outputs(), inputs(opened, storage_ok=False), NOW)
    assert [o.board.contactor_lease for o in got.evses] == [False, True]
    free = spec_of(2, charge_without_storage=True)
    assert gate(free, outputs(), inputs(opened, storage_ok=False), NOW).evses[0].board.contactor_lease


def test_g7_a_fault_of_the_loop_is_off() -> None:
    got = gate(SPEC, outputs(), inputs(loop_fault="BugError"), NOW)
    assert not any(o.board.contactor_lease for o in got.evses) and not any(g.on for g in got.groups)


def test_g8_set_points_stay_within_ratings_and_the_offer() -> None:
    got = gate(SPEC, outputs(voltage_mv=1_200_000, current_ma=500_000), inputs(), NOW)
    assert got.groups[0].voltage_mv == 1_000_000
    assert got.groups[0].current_ma == 60_000 * 1000 // 400  # 60 kW at 400 V


def test_g8_before_the_charge_loop_two_ampere_are_enough() -> None:
    got = gate(SPEC, outputs(), inputs({"step": HlcStep.PRE_C}), NOW)
    assert got.groups[0].current_ma == 2_000


def test_g9_the_site_cap_scales_everybody_down() -> None:
    cap = PowerLimit(source=LimitSource.CSMS, evse_id=0, power_w=40_000, set_at=0)
    got = gate(SPEC, outputs(), inputs(limits=(cap,)), NOW)
    assert [o.board.offered_w for o in got.evses] == [19_000, 19_000]
    assert got.groups[0].current_ma == 19_000 * 1000 // 400
    expired = PowerLimit(source=LimitSource.CSMS, evse_id=0, power_w=40_000, set_at=0, expires_at=NOW)
    assert gate(SPEC, outputs(), inputs(limits=(expired,)), NOW).evses[0].board.offered_w == 60_000


OPEN2 = {"contactor": ContactorFeedback.OPEN, "lease_active": False, "cp": CpState.A, "step": None}


@pytest.mark.parametrize(
    ("amps", "volts", "closes"),
    [
        ((0, 0), (400, 400), True),
        ((2, 2), (400, 380), True),
        ((3, 0), (400, 400), False),
        ((0, 3), (400, 400), False),
        ((0, 0), (400, 379), False),
    ],
)
def test_g10_ties_close_without_current_and_at_equal_voltage_only(
    amps: tuple[int, int], volts: tuple[int, int], closes: bool
) -> None:
    got = gate(SPEC, outputs(tie=True, owner2=1, lease2=False), inputs(None, OPEN2, amps=amps, volts=volts), NOW)
    assert got.evses[0].board.tie_close is closes


def test_g10_a_closed_tie_may_stay_under_current() -> None:
    got = gate(SPEC, outputs(tie=True, owner2=1, lease2=False), inputs({"tie_closed": True}, OPEN2, amps=(90, 90)), NOW)
    assert got.evses[0].board.tie_close


def test_g11_two_vehicles_on_one_bus_are_both_cut_off() -> None:
    got = gate(SPEC, outputs(tie=True), inputs({"tie_closed": True}), NOW)
    assert not any(o.board.contactor_lease for o in got.evses) and not any(g.on for g in got.groups)


def test_g11_a_welded_tie_with_two_owners_switches_both_off() -> None:
    got = gate(SPEC, outputs(tie=False, lease2=True), inputs({"tie_closed": True}, OPEN2), NOW)
    assert not any(g.on for g in got.groups)


def test_g12_a_group_without_a_leased_owner_is_off() -> None:
    got = gate(SPEC, outputs(lease2=False), inputs(None, OPEN2), NOW)
    assert [g.on for g in got.groups] == [True, False]
