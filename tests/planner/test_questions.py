"""Plans that are worked out beside the control loop: the same answers, later; limits hold meanwhile."""

from __future__ import annotations

import asyncio
import io
import itertools
import os
import signal

import msgspec
import pytest
from msgspec.structs import replace

from benchmarks.bench_replan import Site, ac_site, dc_site
from evse.domain.limits import Plan
from evse.planner.questions import Answer, Gain, Question, Replan, Replanned, answer
from evse.runtime.planning import PlannerShell
from evse.runtime.thinking import Beside, Here, Then
from evse.runtime.thinking_process import serve
from evse.units import NS_PER_S, TICK_NS

SITES = (lambda: ac_site(7), lambda: dc_site(5))


class Later:
    """Answers so many ticks late; keeps every question."""

    def __init__(self, ticks: int = 0) -> None:
        self.ticks = ticks
        self.asked: list[Question] = []
        self._waiting: list[tuple[int, Question, Then]] = []

    def ask(self, question: Question, then: Then) -> None:
        """See `Thinker`."""
        self.asked.append(question)
        self._waiting.append((self.ticks, question, then))

    def pass_tick(self) -> None:
        """Give the answers that are due."""
        waiting, self._waiting = self._waiting, []
        for left, question, then in waiting:
            if left:
                self._waiting.append((left - 1, question, then))
            else:
                then(answer(question))


def drive(shell: PlannerShell, site: Site, ticks: int, later: Later | None = None) -> list[Plan | None]:
    """Let vehicles change their minds; return the plan after each tick."""
    seen, now = [], NS_PER_S
    for step in range(ticks):
        now += TICK_NS
        if step % 40 == 10:
            site.change(step // 40)
        shell.consider(site.power, site.inputs, now, site.current)
        shell.phase_switches(site.current, now)
        if later is not None:
            later.pass_tick()
        seen.append(shell.plan)
    return seen


def thought_of(shell: PlannerShell, thinker: Later) -> PlannerShell:
    """The shell with another thinker."""
    shell._thinker = shell.phases._thinker = thinker
    return shell


@pytest.mark.parametrize("make", SITES)
def test_questions_and_answers_survive_the_way_to_another_process(make: object) -> None:
    shell, site = make()  # type: ignore[operator]
    later = Later()
    drive(thought_of(shell, later), site, 120, later)
    assert any(isinstance(q, Replan) and q.prior is not None for q in later.asked)
    assert bool(site.current) is any(isinstance(q, Gain) for q in later.asked)
    wire = io.BytesIO()
    for question in later.asked:
        body = msgspec.msgpack.encode(question)
        wire.write(len(body).to_bytes(4, "big") + body)
    wire.seek(0)
    out = io.BytesIO()
    serve(wire, out)  # ends with its input
    out.seek(0)
    for question in later.asked:
        body = out.read(int.from_bytes(out.read(4), "big"))
        assert msgspec.msgpack.decode(body, type=Answer) == answer(question)
    assert not out.read()


@pytest.mark.parametrize("make", SITES)
def test_a_plan_that_comes_at_once_is_the_plan_of_the_loop(make: object) -> None:
    shell, site = make()  # type: ignore[operator]
    other, other_site = make()  # type: ignore[operator]
    later = Later()
    assert drive(shell, site, 200) == drive(thought_of(other, later), other_site, 200, later)


@pytest.mark.parametrize("make", SITES)
def test_the_last_plan_stays_until_the_next_is_there_and_only_one_is_asked_for_at_a_time(make: object) -> None:
    shell, site = make()  # type: ignore[operator]
    later = Later(ticks=7)
    seen = drive(thought_of(shell, later), site, 200, later)
    assert seen[6] is None and seen[7] is not None
    versions = [plan.version for plan in seen if plan is not None]
    assert versions == sorted(versions)
    replans = [q.now for q in later.asked if isinstance(q, Replan)]
    assert len(replans) > 5
    assert min(b - a for a, b in itertools.pairwise(replans)) > 7 * TICK_NS


def test_who_asks_for_a_new_plan_can_wait_for_it() -> None:
    shell, site = ac_site(7)
    later = Later(ticks=7)
    drive(thought_of(shell, later), site, 200, later)
    version = shell.plan.version if shell.plan is not None else 0
    shell.recompute()
    waited = 0
    while shell.pending:
        shell.consider(site.power, site.inputs, 20 * NS_PER_S + waited * TICK_NS, site.current)
        later.pass_tick()
        waited += 1
    assert waited > 7 and shell.plan is not None
    assert isinstance(later.asked[-1], Replan) and later.asked[-1].prior is None and later.asked[-1].version == version + 1


def test_a_limit_that_falls_while_a_plan_is_made_cuts_that_plan_in_the_next_tick_and_asks_again() -> None:
    shell, site = ac_site(6)
    grid = shell._spec.grid
    assert grid is not None
    shell.change_spec(replace(shell._spec, grid=replace(grid, own_ma=(60_000,) * 3)), "UTC")
    later = Later()
    drive(thought_of(shell, later), site, 600, later)
    before = shell.plan
    assert before is not None
    now = 40 * NS_PER_S
    shell.recompute()
    later.ticks = 100
    shell.consider(site.power, site.inputs, now, site.current)  # with 60 A
    shell.change(replace(shell.settings, operator_ma=(20_000,) * 3), now, "operator")
    cut = shell.plan_now(0, wall_valid=False)
    assert cut is not None and load_ma(cut) <= 20_000 < load_ma(before)
    question = later.asked[-1]
    assert isinstance(question, Replan)
    made = answer(question)
    assert isinstance(made, Replanned) and load_ma(made.plan) > 20_000
    shell._take(question, made)
    again = shell.plan_now(0, wall_valid=False)
    assert again is not None and load_ma(again) <= 20_000
    assert again.version > cut.version
    asked = len(later.asked)
    shell.consider(site.power, site.inputs, now + TICK_NS, site.current)
    assert len(later.asked) == asked + 1


def load_ma(plan: Plan) -> int:
    """The most that the shares put on a phase."""
    return max(sum(c.assigned_ma for c in plan.currents if phase in c.phases) for phase in (0, 1, 2))


def test_an_answer_that_failed_leaves_the_plan_and_asks_again() -> None:
    shell, site = dc_site(3)
    later = Later(ticks=10_000)
    thought_of(shell, later)
    shell.consider(site.power, site.inputs, NS_PER_S, ())
    question = later.asked[0]
    assert isinstance(question, Replan)
    shell._take(question, None)
    assert shell.plan is None
    shell.consider(site.power, site.inputs, NS_PER_S + TICK_NS, ())
    assert len(later.asked) == 2


def test_slow_answers_move_to_a_real_process_which_may_die_and_ends_with_the_daemon() -> None:
    shell, site = dc_site(4)
    keeper = Later(ticks=10_000)
    thought_of(shell, keeper).consider(site.power, site.inputs, NS_PER_S, ())
    question = keeper.asked[0]
    wanted = answer(question)

    async def main() -> None:
        times = iter((0, 6_000_000))
        beside = Beside(shell._spec, lambda: next(times))
        given: list[object] = []
        beside.ask(question, given.append)
        assert given == [wanted] and beside.elsewhere  # 6 ms: never again here
        task = asyncio.create_task(beside.run())
        for number in range(1, 3):
            beside.ask(question, given.append)
            assert len(given) == number
            while len(given) == number:
                await asyncio.sleep(0)
        assert given == [wanted] * 3 and (beside.answers, beside.failures) == (2, 0)
        (child,) = children()
        os.kill(child, signal.SIGKILL)
        beside.ask(question, given.append)
        while len(given) == 3:
            await asyncio.sleep(0)
        assert given[3] == wanted and (beside.answers, beside.failures) == (2, 1)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert children() == []

    asyncio.run(main())


def children() -> list[int]:
    """Processes of the planner that this one has."""
    import psutil

    return [p.pid for p in psutil.Process().children() if "evse.runtime.thinking_process" in p.cmdline()]


def test_small_stations_think_in_the_loop_large_ones_and_matrices_never() -> None:
    assert not Beside(dc_site(12)[0]._spec).elsewhere
    assert Beside(dc_site(21)[0]._spec).elsewhere
    given: list[object] = []
    shell, site = dc_site(2)
    later = Later(ticks=1)
    thought_of(shell, later).consider(site.power, site.inputs, NS_PER_S, ())
    Here().ask(later.asked[0], given.append)
    assert given == [answer(later.asked[0])]
