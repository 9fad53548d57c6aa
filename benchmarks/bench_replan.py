"""The planner's place in the control loop on large sites: how long it holds a tick, by the kind and size of the station.

Every tick asks `PlannerShell.consider` and, on AC sites, for phase switches; each figure is of a shell driven tick by tick
for half a minute of virtual time in which vehicles change their minds. Where the daemon asks another process, the loop writes
the question and reads the answer between two ticks, which are holds of their own, and the answer itself is told beside it.
"""

from __future__ import annotations

import gc
import time

import msgspec
from msgspec.structs import replace

from benchmarks.timing import Figure
from evse.core.inputs import EvseInputs, Inputs
from evse.domain.ac import AcSpec, PhaseSwitchSpec
from evse.domain.limits import CurrentRequest, PowerRequest
from evse.domain.readings import NEVER, GroupStatus, Sample
from evse.domain.station import EvseKind, EvseSpec, GridSpec, GroupSpec, StationSpec
from evse.planner.live import PlannerSettingsW
from evse.planner.questions import Answer, Question, answer
from evse.runtime.planning import PlannerShell
from evse.runtime.thinking import Beside, Then
from evse.units import NS_PER_S, TICK_NS, Instant

SIZES = (12, 48, 200)
TICKS = 600
CHANGE_EVERY = 60
"""Ticks from one change of mind to the next."""

BUDGET_MS = 5.0
"""A plan that takes longer does not run inside the control loop (docs/planner.md)."""

ROTATIONS = ("RST", "STR", "TRS")


def run() -> list[Figure]:
    """Longest hold of each kind and size."""
    figures = []
    for count in SIZES:
        for kind, shell, site in ((f"{count} AC points", *ac_site(count)), (f"{count} DC connectors", *dc_site(count))):
            thinker = Elsewhere(within=not Beside(shell._spec).elsewhere)
            shell._thinker = shell.phases._thinker = thinker
            worst, mean = drive_ms(shell, site, thinker)
            where = "in the tick" if thinker.within else "beside it"
            note = f"{mean:.3f} ms per tick in all; longest plan {max(thinker.took) / 1e6:.1f} ms, {where}"
            figures.append(
                Figure(name=f"planner, longest hold of the loop, {kind}", value=worst, unit="ms", budget=BUDGET_MS, note=note)
            )
    return figures


class Elsewhere:
    """Does what `evse.runtime.thinking.Beside` does, without the process. ``took`` = ns of each answer."""

    def __init__(self, *, within: bool) -> None:
        self.within = within
        self.took: list[int] = []
        self._asked: list[tuple[Question, Then]] = []

    def ask(self, question: Question, then: Then) -> None:
        """See `Thinker`."""
        if self.within:
            began = time.thread_time_ns()
            given = answer(question)
            self.took.append(time.thread_time_ns() - began)
            then(given)
        else:
            self._asked.append((question, then))

    def work(self) -> list[int]:
        """Answer what was asked; return how long the loop is held by each question and each answer, ns."""
        asked, self._asked = self._asked, []
        holds = []
        for question, then in asked:
            began = time.thread_time_ns()
            body = msgspec.msgpack.encode(question)
            written = time.thread_time_ns()
            given = msgspec.msgpack.encode(answer(msgspec.msgpack.decode(body, type=Question)))
            answered = time.thread_time_ns()
            then(msgspec.msgpack.decode(given, type=Answer))
            holds += [written - began, time.thread_time_ns() - answered]
            self.took.append(answered - written)
        return holds


class Site:
    """What a site asks for at a tick."""

    def __init__(self, inputs: Inputs, power: list[PowerRequest], current: list[CurrentRequest]) -> None:
        self.inputs, self.power, self.current = inputs, power, current

    def change(self, step: int) -> None:
        """One vehicle more or less wants energy."""
        if self.current:
            k = step * 7 % len(self.current)
            self.current[k] = replace(self.current[k], wanted_ma=0 if self.current[k].wanted_ma else 16_000)
        else:
            k = step * 7 % len(self.power)
            self.power[k] = replace(self.power[k], request_w=0 if self.power[k].request_w else 60_000)


def ac_site(count: int) -> tuple[PlannerShell, Site]:
    """A car park under one fuse that is too small for all, every point switched by the planner."""
    switch = PhaseSwitchSpec(enabled=True, auto=True)
    spec = StationSpec(
        station_id="bench",
        evses=tuple(
            EvseSpec(evse_id=i, kind=EvseKind.AC, ac=AcSpec(phase_switch=switch), has_meter=True) for i in range(1, count + 1)
        ),
        grid=GridSpec(fuse_ma=9_000 * count),
    )
    requests = []
    for i in range(1, count + 1):
        one = i % 3 == 0
        requests.append(
            CurrentRequest(
                evse_id=i, wanted_ma=16_000, lines=1 if one else 3, rotation=ROTATIONS[i % 3], measured_ma=9_000,
                offered_ma=9_000, lines_used=1 if one else 3, session=f"S{i}", other_lines=3 if one else 1, other_ma=16_000,
            )
        )  # fmt: skip
    inputs = Inputs(wall=0, evses=tuple(EvseInputs(evse_id=i, board=NEVER, meter=NEVER) for i in range(1, count + 1)), groups=(), site_meter=NEVER)
    return PlannerShell(spec, PlannerSettingsW(), NS_PER_S), Site(inputs, [], requests)


def dc_site(count: int) -> tuple[PlannerShell, Site]:
    """A chain with one group of two modules per connector, three quarters of them asked for."""
    group = GroupStatus(
        modules_expected=2, modules_present=2, modules_faulty=0, on=False, voltage_mv=0, current_ma=0, available_w=60_000
    )
    spec = StationSpec(
        station_id="bench",
        evses=tuple(EvseSpec(evse_id=i, home_group=i, power_max_w=120_000) for i in range(1, count + 1)),
        groups=tuple(
            GroupSpec(group_id=i, home_evse=i, modules=2, module_power_w=30_000, module_current_max_ma=100_000)
            for i in range(1, count + 1)
        ),
        site_limit_w=40_000 * count,
    )
    requests = [
        PowerRequest(
            evse_id=i, request_w=90_000 if i % 4 else 0, voltage_mv=700_000, current_ma=200_000, limit_w=120_000,
            charging_since=NS_PER_S if i % 4 else None,
        )
        for i in range(1, count + 1)
    ]  # fmt: skip
    inputs = Inputs(
        wall=0,
        evses=tuple(EvseInputs(evse_id=i, board=NEVER, meter=NEVER) for i in range(1, count + 1)),
        groups=(Sample(value=group, at=1 << 62),) * count,
        site_meter=NEVER,
    )
    return PlannerShell(spec, PlannerSettingsW(site_limit_w=40_000 * count), NS_PER_S), Site(inputs, requests, [])


def drive_ms(shell: PlannerShell, site: Site, thinker: Elsewhere, ticks: int = TICKS) -> tuple[float, float]:
    """Return the longest time that the planner holds the loop, and its time per tick, ms of CPU of this thread."""
    holds: list[int] = []
    gc.collect()
    gc.disable()
    now: Instant = NS_PER_S
    for step in range(ticks):
        now += TICK_NS
        if step % CHANGE_EVERY == 0:
            site.change(step // CHANGE_EVERY)
        began = time.thread_time_ns()
        shell.consider(site.power, site.inputs, now, site.current)
        shell.phase_switches(site.current, now)
        holds += [time.thread_time_ns() - began, *thinker.work()]
    gc.enable()
    return max(holds) / 1e6, sum(holds) / ticks / 1e6


if __name__ == "__main__":
    for figure in run():
        print(f"{figure.name:58} {figure.value:10.2f} {figure.unit} {figure.note}")
