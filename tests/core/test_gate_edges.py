"""The edges of the gate's rules, one by one: what mutation of the gate showed to be loosely pinned."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from evse.core.gate import gate
from evse.core.inputs import EvseInputs, Inputs
from evse.core.outputs import EvseOutput, Outputs
from evse.domain.limits import LimitSource, PowerLimit
from evse.domain.readings import NEVER, NoData, NoDataReason, Sample
from evse.domain.signals import BoardCommand, BoardStatus, ContactorFeedback, CpState, GroupCommand
from evse.domain.station import Topology
from evse.units import NS_PER_S
from tests.core.plant import spec_of
from tests.core.test_gate import GOOD, NOW, OPEN2, SPEC, inputs, outputs

JOINED = {"tie_closed": True}


def cap(power_w: int, source: LimitSource = LimitSource.SITE, evse_id: int = 0) -> PowerLimit:
    return PowerLimit(source=source, evse_id=evse_id, power_w=power_w, set_at=0)


def replaced_board(given: Inputs, evse_id: int, reading: Any) -> Inputs:
    evses = tuple(
        EvseInputs(evse_id=e.evse_id, board=reading, meter=NEVER) if e.evse_id == evse_id else e for e in given.evses
    )
    return msgspec.structs.replace(given, evses=evses)


def test_g11_a_borrower_keeps_its_lease_while_the_neighbour_is_known_to_be_open() -> None:
    got = gate(SPEC, outputs(tie=True, owner2=1, lease2=False), inputs(JOINED, OPEN2), NOW)
    assert got.evses[0].board.contactor_lease
    assert [g.on for g in got.groups] == [True, True]


def test_g11_a_neighbour_that_nobody_can_read_is_not_known_to_be_open() -> None:
    gone = NoData(reason=NoDataReason.TIMEOUT, since=0)
    given = replaced_board(inputs(JOINED, OPEN2), 2, gone)
    got = gate(SPEC, outputs(tie=True, owner2=1, lease2=False), given, NOW)
    assert not got.evses[0].board.contactor_lease
    assert not any(g.on for g in got.groups)


@pytest.mark.parametrize("feedback", [ContactorFeedback.CLOSED, ContactorFeedback.UNKNOWN])
def test_g11_a_neighbour_whose_contactor_is_not_open_cuts_the_borrower_off(feedback: ContactorFeedback) -> None:
    got = gate(SPEC, outputs(tie=True, owner2=1, lease2=False), inputs(JOINED, {**OPEN2, "contactor": feedback}), NOW)
    assert not got.evses[0].board.contactor_lease


def test_g11_separate_buses_do_not_disturb_each_other() -> None:
    got = gate(SPEC, outputs(), inputs(None, {"cp": CpState.A, "contactor": ContactorFeedback.CLOSED}), NOW)
    assert got.evses[0].board.contactor_lease


@pytest.mark.parametrize(("age_ns", "closes"), [(3 * NS_PER_S, True), (3 * NS_PER_S + 1, False)])
def test_g10_a_tie_does_not_close_on_module_readings_older_than_3_s(age_ns: int, closes: bool) -> None:
    given = inputs(None, OPEN2)
    first = given.groups[0]
    assert isinstance(first, Sample)
    given = msgspec.structs.replace(given, groups=(Sample(first.value, NOW - age_ns), given.groups[1]))
    got = gate(SPEC, outputs(tie=True, owner2=1, lease2=False), given, NOW)
    assert got.evses[0].board.tie_close is closes


@pytest.mark.parametrize("count", [0, 1])
def test_g10_a_tie_does_not_close_without_module_readings(count: int) -> None:
    given = msgspec.structs.replace(inputs(None, OPEN2), groups=inputs().groups[:count])
    assert not gate(SPEC, outputs(tie=True, owner2=1, lease2=False), given, NOW).evses[0].board.tie_close


@pytest.mark.parametrize("amps", [(2, 0), (0, 2)])
def test_g10_two_ampere_are_still_no_current(amps: tuple[int, int]) -> None:
    got = gate(SPEC, outputs(tie=True, owner2=1, lease2=False), inputs(None, OPEN2, amps=amps), NOW)
    assert got.evses[0].board.tie_close


def test_g10_a_matrix_has_no_ties() -> None:
    spec = spec_of(2, topology=Topology.MATRIX)
    assert not gate(spec, outputs(tie=True, owner2=1, lease2=False), inputs(None, OPEN2), NOW).evses[0].board.tie_close


@pytest.mark.parametrize(("topology", "closes"), [(Topology.RING, True), (Topology.CHAIN, False)])
def test_g10_the_last_tie_of_a_ring_joins_the_last_group_and_the_first(topology: Topology, closes: bool) -> None:
    spec = spec_of(3, topology=topology)
    board = BoardStatus(**{**GOOD, "contactor": ContactorFeedback.OPEN, "lease_active": False})
    two = inputs()
    given = msgspec.structs.replace(
        two,
        evses=tuple(EvseInputs(evse_id=i, board=Sample(board, NOW), meter=NEVER) for i in (1, 2, 3)),
        groups=(*two.groups, two.groups[0]),
    )
    wanted = Outputs(
        evses=tuple(EvseOutput(evse_id=i, board=BoardCommand(tie_close=i == 3)) for i in (1, 2, 3)),
        groups=tuple(GroupCommand(group_id=i) for i in (1, 2, 3)),
    )
    assert gate(spec, wanted, given, NOW).evses[2].board.tie_close is closes
    hot = given.groups[0]
    assert isinstance(hot, Sample)
    loaded = Sample(msgspec.structs.replace(hot.value, current_ma=50_000), NOW)
    given = msgspec.structs.replace(given, groups=(loaded, given.groups[1], given.groups[2]))
    assert not gate(spec, wanted, given, NOW).evses[2].board.tie_close, "the first group is the other side"


def test_g9_the_configured_limit_holds_without_any_input() -> None:
    got = gate(spec_of(2, site_limit_w=40_000), outputs(), inputs(), NOW)
    assert [o.board.offered_w for o in got.evses] == [19_000, 19_000]
    assert [o.board.offered_ma for o in got.evses] == [47_500, 47_500]


def test_g9_an_operators_site_limit_replaces_the_configured_one() -> None:
    spec = spec_of(2, site_limit_w=40_000)
    assert gate(spec, outputs(), inputs(limits=(cap(200_000),)), NOW).evses[0].board.offered_w == 60_000
    other = gate(spec, outputs(), inputs(limits=(cap(200_000, LimitSource.CSMS),)), NOW)
    assert other.evses[0].board.offered_w == 19_000, "another source does not lift it"


def test_g9_the_smallest_of_several_caps_counts_and_caps_of_one_evse_do_not() -> None:
    rows = (cap(100_000, LimitSource.CSMS), cap(60_000, LimitSource.OCPP_STATIC), cap(1, LimitSource.CSMS, evse_id=1))
    got = gate(SPEC, outputs(), inputs(limits=rows), NOW)
    assert sum(o.board.offered_w for o in got.evses) == 57_000


@pytest.mark.parametrize("power_w", [0, -5])
def test_g9_a_cap_of_nothing_leaves_nothing(power_w: int) -> None:
    got = gate(SPEC, outputs(), inputs(limits=(cap(power_w),)), NOW)
    assert [o.board.offered_w for o in got.evses] == [0, 0]
    assert [g.current_ma for g in got.groups] == [0, 0]


def test_g9_exactly_the_cap_is_within_it() -> None:
    out = outputs()
    spec = spec_of(2, efficiency_permille=1000)
    assert gate(spec, out, inputs(limits=(cap(120_000),)), NOW) is out


def test_a_removed_lease_takes_the_insulation_test_with_it() -> None:
    asked = BoardCommand(contactor_lease=True, lock=True, isolation_test=True)
    wanted = Outputs(evses=(EvseOutput(evse_id=1, board=asked),), groups=())
    got = gate(SPEC, wanted, inputs({"cp": CpState.B}), NOW)
    assert not got.evses[0].board.isolation_test
    assert gate(SPEC, wanted, inputs(), NOW).evses[0].board.isolation_test


def test_an_evse_that_the_station_does_not_have_gets_nothing() -> None:
    stranger = EvseOutput(evse_id=9, board=BoardCommand(contactor_lease=True, offered_w=50_000, offered_ma=100_000))
    got = gate(SPEC, Outputs(evses=(stranger,), groups=()), inputs(), NOW)
    assert not got.evses[0].board.contactor_lease


def test_a_group_that_the_station_does_not_have_stays_off() -> None:
    out = outputs()
    extra = GroupCommand(group_id=3, owner=1, on=True, voltage_mv=400_000, current_ma=1)
    got = gate(SPEC, msgspec.structs.replace(out, groups=(*out.groups, extra)), inputs(), NOW)
    assert [g.on for g in got.groups] == [True, True, False]
