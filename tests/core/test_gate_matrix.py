"""The gate's rules for contacts of a matrix alone: everything asked for, one thing wrong, and only the justified part remains."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from evse.core.gate import gate
from evse.core.inputs import EvseInputs, Inputs
from evse.core.outputs import EvseOutput, Outputs
from evse.domain.readings import NEVER, GroupStatus, NoData, NoDataReason, Sample
from evse.domain.signals import (
    BoardCommand,
    BoardStatus,
    ContactorFeedback,
    CpState,
    GroupCommand,
    HlcStep,
    LockState,
    MatrixContacts,
)
from evse.units import NS_PER_S
from tests.core.test_contacts import matrix_spec

NOW = 10 * NS_PER_S
SPEC = matrix_spec(2, 3)
ALL = 0b111
LIVE = BoardStatus(
    cp=CpState.C, estop=False, contactor=ContactorFeedback.CLOSED, lock=LockState.LOCKED, lease_active=True, output_mv=400_000,
    step=HlcStep.CURR, contacts=MatrixContacts(closed=0b001, opened=0b110),
)  # fmt: skip
"""EVSE 1 charges with group 1 and shall get group 3; EVSE 2 has group 2."""

OTHER = replace(LIVE, contacts=MatrixContacts(closed=0b010, opened=0b101))
EMPTY = replace(
    LIVE, contactor=ContactorFeedback.OPEN, lease_active=False, output_mv=0, step=HlcStep.PARAM, contacts=MatrixContacts(opened=ALL)
)
"""EVSE 1 before its output contactor closes: a dead bar."""


def gated(one: BoardStatus | None = LIVE, two: BoardStatus | None = OTHER, **given: Any) -> Outputs:
    """``told`` = contacts by EVSE, ``volts`` and ``amps`` by group (None = not readable)."""
    told = given.get("told", (0b101, 0b010))
    volts, amps = given.get("volts", (400, 400, 395)), given.get("amps", (100, 100, 0))
    gone = NoData(reason=NoDataReason.TIMEOUT, since=NOW)

    def group(v: int | None, a: int) -> Sample[GroupStatus] | NoData:
        if v is None:
            return gone
        status = GroupStatus(
            modules_expected=1, modules_present=1, modules_faulty=0, on=True, voltage_mv=v * 1000, current_ma=a * 1000,
            available_w=30_000,
        )  # fmt: skip
        return Sample(status, NOW)

    inputs = Inputs(
        wall=0,
        site_meter=NEVER,
        evses=tuple(
            EvseInputs(evse_id=n, board=gone if b is None else Sample(b, NOW), meter=NEVER) for n, b in ((1, one), (2, two))
        ),
        groups=tuple(group(v, a) for v, a in zip(volts, amps, strict=True)),
    )
    board = BoardCommand(contactor_lease=True, lock=True, offered_w=60_000, offered_ma=150_000)
    return gate(
        SPEC,
        Outputs(
            evses=tuple(EvseOutput(evse_id=n, board=replace(board, contacts=c)) for n, c in zip((1, 2), told, strict=True)),
            groups=(
                GroupCommand(group_id=1, owner=1, on=True, voltage_mv=400_000, current_ma=50_000),
                GroupCommand(group_id=2, owner=2, on=True, voltage_mv=400_000, current_ma=50_000),
                GroupCommand(group_id=3, owner=1, on=True, voltage_mv=400_000, current_ma=2_000),
            ),
        ),
        inputs,
        NOW,
    )


def contacts(out: Outputs) -> tuple[int, int]:
    return out.evses[0].board.contacts, out.evses[1].board.contacts


def leases(out: Outputs) -> tuple[bool, bool]:
    return out.evses[0].board.contactor_lease, out.evses[1].board.contactor_lease


def test_a_contact_closes_without_current_at_the_voltage_of_its_bar() -> None:
    out = gated()
    assert contacts(out) == (0b101, 0b010) and leases(out) == (True, True) and all(g.on for g in out.groups)
    dead = gated(EMPTY, told=(0b100, 0b010), volts=(0, 400, 5), amps=(0, 100, 0))
    assert contacts(dead) == (0b100, 0b010)


@pytest.mark.parametrize(
    ("why", "wrong"),
    [
        ("voltage below the bar", {"volts": (400, 400, 379)}),
        ("voltage above the bar", {"volts": (400, 400, 421)}),
        ("current", {"amps": (100, 100, 3)}),
        ("group not readable", {"volts": (400, 400, None)}),
        ("output contactor not known", {"one": replace(LIVE, contactor=ContactorFeedback.UNKNOWN)}),
        ("closed at the other", {"two": replace(OTHER, contacts=MatrixContacts(closed=0b110, opened=0b001))}),
        ("not known at the other", {"two": replace(OTHER, contacts=MatrixContacts(closed=0b010, opened=0b001))}),
        ("the other has no matrix", {"two": replace(OTHER, contacts=None)}),
        ("a live group on a dead bar", {"one": EMPTY}),
    ],
)
def test_one_wrong_reading_keeps_a_contact_open(why: str, wrong: dict[str, Any]) -> None:
    assert contacts(gated(**wrong))[0] & 0b100 == 0, why


def test_two_connectors_never_close_on_one_group_and_what_is_closed_is_not_opened_by_the_gate() -> None:
    first, second = contacts(gated(told=(0b101, 0b110)))
    assert first & second == 0
    kept = gated(told=(0b001, 0b010), volts=(None, 300, 0), amps=(0, 200, 0))
    assert contacts(kept) == (0b001, 0b010), "it may carry current: the core lets it fade first"


def test_a_contact_that_reports_closed_joins_the_buses_and_one_that_is_not_known_forbids_a_new_start() -> None:
    joined = replace(OTHER, contacts=MatrixContacts(closed=0b011, opened=0b100))
    assert leases(gated(two=joined, told=(0b001, 0b010))) == (False, False)
    unknown = replace(OTHER, contacts=MatrixContacts(closed=0b010, opened=0b100))
    assert leases(gated(two=unknown, told=(0b001, 0b010))) == (True, True), "nothing says that it is closed: the core lets go"
    starting = replace(LIVE, contactor=ContactorFeedback.OPEN, lease_active=False, output_mv=0)
    assert leases(gated(starting, unknown, told=(0b001, 0b010))) == (False, True)
    assert leases(gated(None, OTHER, told=(0b001, 0b010))) == (False, True), "a board that is silent has dropped its contacts"
