"""Contactors: auxiliary contacts of every type, welded, not closing, opened by the board, second contactor."""

from __future__ import annotations

from typing import Any

import pytest

from evse.core.ac import feedback
from evse.core.ac.contactor import LOSSES_MAX
from evse.core.inputs import StopSession
from evse.core.state import Stage
from evse.domain.ac import FeedbackType, PhaseSwitchSpec, PilotMode
from evse.domain.contactor import ContactorFeedback
from evse.domain.session import StopReason
from evse.units import NS_PER_MS
from tests.core.ac.plant_ac import AcPlant

OPEN, CLOSED, UNKNOWN = ContactorFeedback.OPEN, ContactorFeedback.CLOSED, ContactorFeedback.UNKNOWN
NO, NC, NONE = FeedbackType.NO, FeedbackType.NC, FeedbackType.NONE
SWITCH = PhaseSwitchSpec(enabled=True, delay_s=10)


@pytest.mark.parametrize(
    ("contact", "kind", "closed"),
    [
        (OPEN, NO, False), (CLOSED, NO, True), (UNKNOWN, NO, None),
        (OPEN, NC, True), (CLOSED, NC, False), (UNKNOWN, NC, None),
        (OPEN, NONE, None), (CLOSED, NONE, None), (UNKNOWN, NONE, None),
    ],
)  # fmt: skip
def test_every_contact_of_every_type(contact: ContactorFeedback, kind: FeedbackType, closed: bool | None) -> None:
    assert feedback.meaning(contact, kind) is closed


@pytest.mark.parametrize("kind", list(FeedbackType), ids=lambda x: x.value)
@pytest.mark.parametrize("switch", [False, True])
def test_a_session_with_every_type_of_feedback(kind: FeedbackType, switch: bool) -> None:
    extra: dict[str, Any] = {"phase_switch": PhaseSwitchSpec(enabled=True, feedback=kind)} if switch else {}
    p = AcPlant(contactor_feedback=kind, **extra)
    p.charge()
    p.run(10)
    assert not p.names() and p.w.lease and p.evse().contactor_closed is (None if kind is NONE else True)
    p.send(StopSession, evse_id=1, reason=StopReason.REMOTE)
    p.run(10)
    assert p.w.stage is Stage.FINISHED and not p.names()


@pytest.mark.parametrize("kind", [NO, NC], ids=lambda x: x.value)
def test_a_welded_contactor_is_named_after_a_second_and_the_safe_state_is_f(kind: FeedbackType) -> None:
    """Charge Control C, 3.3.4.1: charging is over, duty 0 %, the plug is unlocked."""
    p = AcPlant(contactor_feedback=kind)
    p.charge()
    p.car.welded = True
    p.send(StopSession, evse_id=1, reason=StopReason.REMOTE)
    p.until(lambda p: not p.w.lease)
    since = p.now
    p.until(lambda p: "CONTACTOR_WELDED" in p.names(), 2)
    assert p.now - since == 1_050 * NS_PER_MS
    assert p.pilot == (PilotMode.F, 0)
    p.run(10)
    assert len(p.closed()) == 1 and not p.board.lock and p.w.stage is Stage.FINISHED


def test_welded_without_a_session_blocks_the_evse() -> None:
    p = AcPlant()
    p.car.welded = True
    p.run(3)
    assert p.names() == {"CONTACTOR_WELDED"}
    p.car.plug()
    p.start()
    p.run(5)
    assert not p.w.tx_open and "fault" in p.refused()


def test_a_contactor_that_does_not_close_is_named_after_3_s() -> None:
    p = AcPlant()
    p.car.stuck = True
    p.car.plug()
    p.run(1)
    p.start()
    p.until(lambda p: p.board.contactor_lease)
    since = p.now
    p.until(lambda p: "CONTACTOR_NOT_CLOSED" in p.names(), 5)
    assert p.now - since == 3_050 * NS_PER_MS
    p.run(1)
    assert not p.board.contactor_lease and p.w.stage is Stage.FINISHED


def test_unknown_feedback_closes_nothing_and_opens_what_is_closed() -> None:
    p = AcPlant()
    p.car.plug()
    p.car.extra = {"contactor": UNKNOWN}
    p.run(7)
    p.start()
    p.run(2.5)
    assert not p.w.lease and p.w.waiting_for == "the feedback of the contactor"
    p.car.extra = {}
    p.run(2)
    assert p.w.lease
    p.car.extra = {"contactor": UNKNOWN}
    p.car.follow(p.board)
    p.step()
    assert not p.board.contactor_lease
    p.run(5)
    assert p.names() == {"CONTACTOR_NOT_CLOSED"}  # nobody knows for 3 s: a fault


def test_a_feedback_that_is_lost_in_a_session_opens_at_once_and_is_a_fault_after_3_s() -> None:
    """The contactor is open by then, so that the time counts from the loss and not from a command to close."""
    p = AcPlant()
    p.charge()
    p.car.extra = {"contactor": UNKNOWN}
    p.car.follow(p.board)
    since = p.now
    p.step()
    assert not p.board.contactor_lease
    p.until(lambda p: "CONTACTOR_NOT_CLOSED" in p.names(), 5)
    assert 3_000 * NS_PER_MS < p.now - since <= 3_150 * NS_PER_MS
    assert "feedback of the main contactor unknown for 3000 ms" in next(iter(p.w.faults)).detail


def test_a_feedback_that_is_lost_without_a_transaction_is_no_fault_and_the_time_begins_with_it() -> None:
    p = AcPlant()
    p.car.extra = {"contactor": UNKNOWN}
    p.car.plug()
    p.run(30)
    assert not p.names()
    p.start()
    p.run(2.9)
    assert not p.names()
    p.run(0.4)
    assert p.names() == {"CONTACTOR_NOT_CLOSED"}


def test_a_board_that_opens_by_itself_gets_its_rearm_and_a_third_time_is_a_fault() -> None:
    """docs/board-link.md, section 4, point 5: it closes again after a COMMAND without the lease only."""
    p = AcPlant()
    p.charge()
    for n in (1, 2, 3):
        p.run(1)
        assert p.w.lease and p.w.ac is not None and p.w.ac.k_losses == n - 1
        p.car.extra = {"lease_active": False, "contactor": OPEN}
        p.car.follow(p.board)
        p.step()
        assert not p.board.contactor_lease
        p.car.extra = {}
        if n < 3:
            p.run(8)
    p.run(1)
    assert "CONTACTOR_NOT_CLOSED" in p.names() and p.kinds().count("contactor.opened_by_board") == 3


def test_losses_are_counted_within_one_transaction() -> None:
    p = AcPlant()
    for _ in range(3):
        p.charge()
        p.run(1)
        p.car.extra = {"lease_active": False, "contactor": OPEN}
        p.car.follow(p.board)
        p.step()
        p.car.extra = {}
        p.run(1)
        p.send(StopSession, evse_id=1, reason=StopReason.REMOTE)
        p.run(10)
    assert not p.names()


# -- second contactor -----------------------------------------------------------------------------------------------


def test_both_contactors_are_commanded_on_the_same_tick() -> None:
    """The board closes the second one first and opens it last; a command never has the second one alone (L27)."""
    p = AcPlant(phase_switch=SWITCH)
    p.charge()
    ac = p.board.ac
    assert ac is not None and ac.relay2 and not ac.relay2_free and ac.phases == 3
    p.car.full = True
    p.run(0.1)
    ac = p.board.ac
    assert ac is not None and not ac.relay2 and not p.board.contactor_lease


def test_one_phase_leaves_the_second_contactor_open() -> None:
    p = AcPlant(phase_switch=PhaseSwitchSpec(enabled=True, default_phases=1))
    p.charge()
    p.run(5)
    ac = p.board.ac
    assert ac is not None and not ac.relay2 and ac.phases == 1 and p.w.lease and not p.names()
    assert p.evse().ac is not None and p.evse().ac.phases == 1


def test_a_second_contactor_that_does_not_close_is_a_failure_of_the_switch() -> None:
    p = AcPlant(phase_switch=SWITCH)
    p.car.second_stuck = True
    p.charge()
    p.run(2.5)
    assert not p.names()
    p.run(1)
    assert "PHASE_SWITCH_FAILURE" in p.names()
    p.run(2)
    assert not p.board.contactor_lease


def test_a_second_contactor_that_stays_closed_is_welded() -> None:
    p = AcPlant(phase_switch=SWITCH)
    p.charge()
    p.car.second_welded = True
    p.send(StopSession, evse_id=1, reason=StopReason.REMOTE)
    p.run(3)
    detail = next(r.detail for r in p.w.faults)
    assert p.names() == {"CONTACTOR_WELDED"} and detail.startswith("second contactor closed")


def test_a_welded_second_contactor_keeps_the_first_one_open() -> None:
    p = AcPlant(phase_switch=SWITCH)
    p.car.second_welded = True
    p.car.plug()
    p.start()
    p.run(20)
    assert not p.board.contactor_lease


def test_a_vehicle_that_comes_and_goes_is_no_board_that_opens_by_itself() -> None:
    """The board opens before we have read that the vehicle has left C."""
    p = AcPlant()
    p.charge()
    for _ in range(LOSSES_MAX + 2):
        p.car.full = True
        p.run(8)
        assert not p.w.lease and p.w.stage is Stage.AUTHORISED
        p.car.full = False
        p.until(lambda p: p.car.drawn_ma > 0, 15)
    assert not p.names() and "contactor.opened_by_board" not in p.kinds()
