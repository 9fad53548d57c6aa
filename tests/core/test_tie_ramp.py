"""A tie opens without current whatever does not happen: modules that do not obey, groups that are silent, relays that stick."""

from __future__ import annotations

from random import Random

from msgspec.structs import replace

from evse.core.inputs import Inputs
from evse.core.state import TieStage
from evse.core.tie_limits import RAMP_LIMIT, RAMP_MA_PER_S, TIE_QUIET_MA
from evse.domain.readings import MeterValues, NoData, NoDataReason, Sample
from evse.domain.signals import BoardCommand
from evse.units import NS_PER_S, TICK_NS
from tests._support.examples import examples
from tests.core.plant import Plant, spec_of

PER_TICK_MA = RAMP_MA_PER_S * TICK_NS // NS_PER_S


class Watched(Plant):
    """Two EVSEs; EVSE 1 charges with both groups. No relay is ever told to open or close while current flows through it.

    ``silent`` = groups without a reading; ``meter_ma`` = what the meter of EVSE 1 shows, None = no register for it.
    """

    def __init__(self) -> None:
        super().__init__(spec_of(2), assigned_w=100_000)
        self.silent: set[int] = set()
        self.meter_ma: int | None = None
        self.stages: list[TieStage] = []
        self.cars[1].demand_ma = 240_000
        self.charge()
        self.owners = {1: 1, 2: 1}
        self.until(lambda p: p.current(1) == 240_000, 800)

    def snapshot(self) -> Inputs:
        given = super().snapshot()
        gone = NoData(reason=NoDataReason.TIMEOUT, since=self.now, detail="group")
        groups = tuple(gone if i in self.silent else g for i, g in enumerate(given.groups, 1))
        meter = Sample(MeterValues(power_w=0, energy_import_wh=self.cars[1].energy_mwh // 1000, current_ma=self.meter_ma), self.now)
        first = given.evses[0] if self.meter_ma is None else replace(given.evses[0], meter=meter)
        return replace(given, groups=groups, evses=(first, *given.evses[1:]))

    def step(self) -> None:
        told, flows = self.board(1).tie_close if self.outputs else False, self.through()
        super().step()
        if self.board(1).tie_close is not told:
            assert flows < TIE_QUIET_MA, f"the tie moves under {flows} mA"
        if self.stages[-1:] != [self.state.ties[0].stage]:
            self.stages.append(self.state.ties[0].stage)

    def through(self) -> int:
        """Current of the group behind the tie, whether anybody can read it or not."""
        return self.group_output(1)[1] if self.outputs else 0

    def back(self) -> None:
        """The plan takes the borrowed group away."""
        self.owners = {1: 1, 2: 2}
        self.stages.clear()


def stick(p: Plant, closed: bool) -> None:
    """The relay stays where it is, whatever it is told."""
    follow = p.cars[1].follow

    def stuck(c: BoardCommand, voltage_mv: int) -> None:
        follow(c, voltage_mv)
        p.cars[1].set(tie_closed=closed)

    p.cars[1].follow = stuck  # type: ignore[method-assign]


def test_current_fades_with_a_slope_on_both_groups_before_the_tie_opens() -> None:
    p = Watched()
    p.back()
    before, ticks = 240_000, 0
    while p.current(1):
        p.step()
        ticks += 1
        assert before - p.current(1) <= PER_TICK_MA
        assert p.current(1) == 0 or p.through() > 0, "the borrowed group fades as well"
        before = p.current(1)
    assert 240_000 // PER_TICK_MA <= ticks <= 240_000 // PER_TICK_MA + 2
    p.until(lambda p: p.current(1) > 0, 40)
    assert p.stages[-3:] == [TieStage.RAMP_DOWN, TieStage.OPENING, TieStage.OPEN]
    assert p.evse().chain == (1,)


def test_a_limit_that_falls_during_the_slope_acts_at_once() -> None:
    p = Watched()
    p.back()
    p.run(5)
    assert p.current(1) > 200_000
    p.assigned[1] = 10_000
    p.step()
    assert p.current(1) <= 10_000 * 1_000_000 // 380_000


def test_a_silent_group_is_waited_for_as_long_as_its_modules_may_deliver() -> None:
    p = Watched()
    p.silent = {2}
    p.back()
    p.run(RAMP_LIMIT // TICK_NS - 2)
    assert p.stages == [TieStage.RAMP_DOWN]
    assert p.current(1) == 0
    p.until(lambda p: p.evse().chain == (1,) and p.current(1) > 0, 60)


def test_the_meter_shows_that_a_silent_group_delivers_nothing() -> None:
    p = Watched()
    p.silent, p.meter_ma = {2}, 240_000
    p.back()
    p.run(60)
    assert p.stages == [TieStage.RAMP_DOWN]
    p.meter_ma = 200
    p.until(lambda p: p.evse().chain == (1,) and p.current(1) > 0, 60)


def test_modules_that_do_not_obey_are_cut_off_by_the_contactor_and_not_by_the_relay() -> None:
    p = Watched()
    p.cars[1].extra_ma = 30_000  # of the home group, whatever it is told
    p.back()
    p.until(lambda p: TieStage.OPENING in p.stages, 1000)
    assert not p.board(1).contactor_lease
    assert "fault.raised" in p.kinds()


def test_a_relay_that_does_not_open_leaves_its_owner_charging_and_is_tried_again() -> None:
    p = Watched()
    stick(p, closed=True)
    p.back()
    p.until(lambda p: "tie.failed" in p.kinds(), 200)
    p.until(lambda p: p.current(1) == 240_000, 10)
    assert p.state.owners == (1, 1)
    assert p.current(2) == 0
    p.run(35 * 20)
    assert p.kinds().count("tie.failed") == 2


def test_behind_a_relay_that_does_not_open_nobody_charges_into_another_vehicle() -> None:
    p = Watched()
    stick(p, closed=True)
    p.cars[2].silent = True  # its contactors may be closed
    p.run(40)
    assert p.current(1) == 0 or p.state.owners == (1, 2)
    for _ in range(200):
        p.step()
        assert p.current(1) == 0


def test_many_ways_at_once_and_no_relay_moves_under_current() -> None:
    """Everything sticks, falls silent and comes back in an order drawn from a seed; `Watched.step` and the laws judge."""
    for seed in range(examples(6, 3)):
        rng, p = Random(seed), Watched()
        for _ in range(40):
            match rng.randrange(6):
                case 0:
                    p.owners = {1: 1, 2: rng.choice((1, 2))}
                case 1:
                    p.silent = {2} if rng.random() < 0.3 else set()
                case 2:
                    p.cars[1].extra_ma = rng.choice((0, 0, 0, 3_000))
                case 3:
                    p.assigned[1] = rng.choice((0, 10_000, 100_000))
                case 4:
                    p.cars[1].demand_ma = rng.choice((0, 100_000, 240_000))
                case _:
                    p.meter_ma = None
            p.run(rng.randrange(1, 80))
