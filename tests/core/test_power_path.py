"""Module groups change hands in order: ramp down, open, join at equal voltage, close, ramp up."""

from __future__ import annotations

from msgspec.structs import replace

from evse.core.inputs import Inputs
from evse.core.state import TieStage
from evse.domain.readings import Sample
from evse.domain.station import Topology
from tests.core.plant import Plant, spec_of


def lent() -> Plant:
    """EVSE 1 charges with both groups; the tie was closed during the session."""
    p = Plant(spec_of(2), assigned_w=100_000)
    p.charge()
    p.cars[1].demand_ma = 240_000
    p.run(10)
    assert p.evse().chain == (1,) and p.board().offered_w == 60_000
    p.owners = {1: 1, 2: 1}
    p.until(lambda p: p.evse().chain == (1, 2), 400)
    p.run(3)
    return p


def test_a_borrowed_group_joins_without_current_and_at_equal_voltage() -> None:
    p = lent()
    assert "tie.closed" in p.kinds()
    assert p.board().offered_w == 95_000  # the cable: 250 A at 380 V
    assert p.current(1) == 240_000
    both = [g for g in p.outputs.groups if g.on]
    assert [g.owner for g in both] == [1, 1] and sum(g.current_ma for g in both) == p.current(1)


def test_a_group_returns_home_only_after_current_and_tie_are_gone() -> None:
    p = lent()
    p.owners = {1: 1, 2: 2}
    p.cars[2].plug()
    p.start(2)
    seen: list[TieStage] = []
    for _ in range(200):
        p.step()
        stage = p.state.ties[0].stage
        if not seen or seen[-1] is not stage:
            seen.append(stage)
        if p.state.owners == (1, 2):
            break
    assert seen == [TieStage.CLOSED, TieStage.RAMP_DOWN, TieStage.OPENING, TieStage.OPEN][-len(seen) :]
    p.until(lambda p: p.current(2) > 0)
    assert p.current(1) > 0


def test_a_connector_that_is_energised_keeps_its_home_group() -> None:
    p = Plant(spec_of(2))
    p.charge(1)
    p.charge(2)
    p.owners = {1: 1, 2: 1}
    p.run(200)
    assert p.state.owners == (1, 2) and p.state.ties[0].stage is TieStage.OPEN
    assert p.current(2) > 0


def test_a_relay_that_does_not_close_is_left_open_and_tried_again_later() -> None:
    p = Plant(spec_of(2), assigned_w=100_000)
    p.charge()
    follow = p.cars[1].follow

    def stuck(c: object, voltage_mv: int) -> None:
        follow(c, voltage_mv)  # type: ignore[arg-type]
        p.cars[1].set(tie_closed=False)

    p.cars[1].follow = stuck  # type: ignore[method-assign]
    p.owners = {1: 1, 2: 1}
    p.until(lambda p: "tie.failed" in p.kinds(), 400)
    p.run(20)
    assert p.current(1) > 0 and p.evse().chain == (1,)
    p.run(30 * 20 + 60)
    assert p.kinds().count("tie.failed") == 2


def test_a_ring_leaves_one_tie_open() -> None:
    p = Plant(spec_of(3, topology=Topology.RING), assigned_w=100_000)
    p.charge()
    p.owners = {1: 1, 2: 1, 3: 1}
    p.until(lambda p: len(p.evse().chain) == 3, 800)
    p.run(50)
    assert [t.stage for t in p.state.ties].count(TieStage.CLOSED) == 2


def test_a_lost_relay_board_ramps_down_at_once_and_the_neighbour_goes_on_alone() -> None:
    """The relay of tie 1-2 sits on board 1; EVSE 2 borrows group 1 through it when board 1 dies."""
    p = Plant(spec_of(2), assigned_w=100_000)
    p.charge(2)
    p.cars[2].demand_ma = 240_000
    p.owners = {1: 2, 2: 2}
    p.until(lambda p: p.evse(2).chain == (2, 1), 400)
    p.run(20)
    assert p.current(2) == 240_000
    p.cars[1].silent = True
    p.step()
    assert p.current(2) == 0 and p.board(2).contactor_lease
    p.cars[1].set(tie_closed=False)
    p.cars[1].follow = lambda c, voltage_mv: None  # type: ignore[method-assign]
    p.until(lambda p: p.current(2) > 0, 120)
    assert p.evse(2).chain == (2,)


def test_a_board_that_is_dead_from_the_start_does_not_take_its_neighbour_out_of_service() -> None:
    p = Plant(spec_of(2))
    p.cars[1].silent = True
    p.run(70)
    p.charge(2)
    assert p.current(2) > 0


def test_a_reading_from_before_the_joining_group_was_set_to_the_bus_voltage_does_not_count() -> None:
    """It may be of the bus that the group has left, and equal by chance."""

    class Late(Plant):
        at = 0

        def snapshot(self) -> Inputs:
            given = super().snapshot()
            last = given.groups[1]
            assert isinstance(last, Sample)
            row = Sample(replace(last.value, voltage_mv=380_000, current_ma=0), self.at or self.now)
            return replace(given, groups=(given.groups[0], row))

    p = Late(spec_of(2), assigned_w=100_000)
    p.charge()
    p.run(10)
    p.at, p.owners = p.now, {1: 1, 2: 1}
    for _ in range(40):
        p.step()
        assert p.state.ties[0].stage in (TieStage.OPEN, TieStage.PREPARE)
    p.at = 0
    p.until(lambda p: p.state.ties[0].stage is TieStage.CLOSED, 40)
