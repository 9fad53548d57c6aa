"""What AC EVSEs ask the planner for, and what they do with its answer."""

from __future__ import annotations

import pytest

from evse.core.ac.request import current_requests
from evse.core.state import Stage
from evse.domain.ac import FeedbackType
from evse.domain.contactor import ContactorFeedback
from evse.domain.limits import CurrentAllocation, CurrentRequest, LimitSource, Plan
from evse.domain.station import GridSpec
from tests.core.ac.bench import spec_of
from tests.core.ac.offers import Offer, currents, site


def request(b: Offer) -> CurrentRequest:
    b.once()
    return current_requests(b.spec, b.state, b.inputs(), b.now)[0]


def test_what_is_wanted_is_what_every_limit_but_plan_and_site_allows() -> None:
    b = Offer(spec_of(station={"grid": GridSpec(fuse_ma=63_000)})).charge()
    b.limits = (site(690 * 10),)
    assert request(b).wanted_ma == 32_000 and b.evse().offered_ma == 0
    assert b.rows()[0].source is LimitSource.PLAN and "not answered" in b.rows()[0].detail
    b.set("ems", 13_000)
    assert request(b).wanted_ma == 13_000
    row = CurrentAllocation(evse_id=1, requested_ma=13_000, target_ma=8_000, assigned_ma=8_000, phases=(0, 1, 2))
    b.plan = Plan(version=1, allocations=(), groups=(), site_limit_w=0, currents=(row,))
    assert request(b).offered_ma == 8_000


def test_who_cannot_charge_asks_for_nothing() -> None:
    b = Offer().charge()
    b.memory(cp_pause="the external release")
    assert request(b).wanted_ma == 0
    b.memory(cp_pause="")
    assert request(b).wanted_ma == 32_000
    b.work(tx_open=False)
    assert request(b).wanted_ma == 0
    b.work(tx_open=True, stage=Stage.RAMP_DOWN)
    assert request(b).wanted_ma == 0


@pytest.mark.parametrize(
    ("kind", "contact", "open_"),
    [
        (FeedbackType.NO, ContactorFeedback.OPEN, True),
        (FeedbackType.NO, ContactorFeedback.CLOSED, False),
        (FeedbackType.NC, ContactorFeedback.CLOSED, True),
        (FeedbackType.NC, ContactorFeedback.OPEN, False),
        (FeedbackType.NO, ContactorFeedback.UNKNOWN, False),
        (FeedbackType.NC, ContactorFeedback.UNKNOWN, False),
        (FeedbackType.NONE, ContactorFeedback.UNKNOWN, True),
    ],
)
def test_nothing_flows_behind_a_contactor_that_is_known_to_be_open(
    kind: FeedbackType, contact: ContactorFeedback, open_: bool
) -> None:
    b = Offer(spec_of(contactor_feedback=kind)).charge()
    b.board(contactor=contact, lease_active=False)
    assert request(b).measured_ma == (0 if open_ else None)


def test_weight_and_class_of_the_evse_go_along() -> None:
    r = request(Offer(spec_of(weight_pct=250, priority=3)).charge())
    assert (r.weight_pct, r.priority) == (250, 3)


def test_draws_stand_on_the_phases_of_the_grid() -> None:
    b = Offer(spec_of(phase_rotation="STR")).charge()
    b.meters[1] = currents(16_000, 200, 100)
    r = request(b)
    assert (r.measured_ma, r.draw_l_ma, r.lines_used, r.lines) == (16_000, (100, 16_000, 200), 1, 3)
    b.meters[1] = currents(16_000, 16_000, 16_000)
    assert request(b).lines_used == 3
    b.meters[1] = currents(16_000, 16_000, 0)
    assert request(b).lines_used == 2
    for unclear in (currents(2_500, 0, 0), currents(0, 0, 0), currents(0, 16_000, 0), currents(16_000, 0, 16_000)):
        b.meters[1] = unclear
        assert request(b).lines_used == 0


def test_an_unknown_rotation_is_counted_on_every_phase() -> None:
    b = Offer(spec_of(phase_rotation="Unknown", phases=1)).charge()
    b.meters[1] = currents(16_000, 0, 0)
    r = request(b)
    assert (r.lines, r.rotation, r.draw_l_ma, r.lines_used) == (3, "", (16_000,) * 3, 0)
