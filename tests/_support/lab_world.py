"""The whole station for tests: demo configuration, laws on every tick, the API service without a socket."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, Self

import msgspec

import evse.runtime.loop as loop_module
from evse.access.roles import Role
from evse.api.operations import BY_NAME
from evse.api.service import Caller
from evse.api.stream import EventHub
from evse.config.load import parse_config
from evse.config.model import StationConfig
from evse.core.inputs import Inputs
from evse.core.outputs import Outputs
from evse.lab.demo_config import TEMPLATE
from evse.lab.station import Lab
from evse.lab.vloop import VirtualLoop, run_virtual
from evse.runtime.service.station import RuntimeService
from evse.sim.scenario import Runner, StepResult, load_scenario
from tests._support.laws_run import RunLaws


def demo_config(folder: Path) -> StationConfig:
    """The demo's station with its ports below ``folder``."""
    (folder / "data").mkdir(exist_ok=True)
    return parse_config(TEMPLATE.format(folder=folder, channel="239.0.0.1", port=9000), "demo.toml")


class Api:
    """Operations of the station as a caller with all rights, plain JSON values in and out."""

    def __init__(self, lab: Lab) -> None:
        self._service = RuntimeService(lab.station, None, EventHub(seq=lab.station.loop.state.event_seq))  # type: ignore[arg-type]

    async def __call__(self, operation: str, request: dict[str, Any] | None = None) -> Any:
        row = BY_NAME[operation]
        method = getattr(self._service, operation.replace(".", "_"))
        answer = await method(msgspec.convert(request or {}, row.request), Caller(role=Role.OPERATOR, user="test"))
        return msgspec.to_builtins(answer)


class LawfulTick:
    """Wraps tick and gate of the loop module: every tick of every suite is checked against the laws."""

    def __init__(self, check: Callable[..., None] | None = None) -> None:
        self.ticks = 0
        self._check = check or RunLaws()
        self.broken: AssertionError | None = None

    def __enter__(self) -> Self:
        self._tick, self._gate = loop_module.tick, loop_module.gate
        loop_module.tick = self._checked_tick  # type: ignore[attr-defined]
        loop_module.gate = self._checked_gate  # type: ignore[attr-defined]
        return self

    def __exit__(self, *_: object) -> None:
        loop_module.tick, loop_module.gate = self._tick, self._gate  # type: ignore[attr-defined]
        if self.broken is not None:
            raise self.broken

    def _checked_tick(self, spec: Any, state: Any, inputs: Inputs, now: int) -> Any:
        self._before = state
        after, wanted = self._tick(spec, state, inputs, now)
        self._after, self._wanted = after, wanted
        return after, wanted

    def _checked_gate(self, spec: Any, outputs: Outputs, inputs: Inputs, now: int) -> Outputs:
        gated = self._gate(spec, outputs, inputs, now)
        self.ticks += 1
        try:
            self._check(spec, self._before, inputs, outputs, gated, self._after, now)
        except AssertionError as error:  # the loop would take it for a bug of its own and go on with everything off
            self.broken = self.broken or error
            raise
        return gated


def run_lab(
    folder: Path,
    scenario: Callable[[Lab], Coroutine[Any, Any, None]],
    *,
    config: StationConfig | None = None,
    laws: bool = True,
    check: Callable[..., None] | None = None,
    **options: Any,
) -> int:
    """Run ``scenario`` in a laboratory on a virtual loop; return the number of ticks that obeyed the laws.

    ``check`` = other laws than all of them (`RunLaws`)."""

    async def main() -> None:
        async with Lab(config or demo_config(folder), folder / "data", **{"fast": True, **options}) as lab:
            await lab.forward(3)
            await scenario(lab)

    if not laws:
        run_virtual(main(), VirtualLoop())
        return 0
    with LawfulTick(check) as checked:
        run_virtual(main(), VirtualLoop())
    return checked.ticks


async def play(lab: Lab, name: str) -> list[StepResult]:
    """Play a shipped scenario; an assertion names the first step that failed."""
    runner = Runner(load_scenario(name), lab.sim.command, lab.clock, api=Api(lab))
    ok = await runner.run()
    failed = [r for r in runner.results if not r.ok]
    assert ok, f"seed {lab.seed}: {failed[0].label or failed[0].what}: {failed[0].error}"
    await lab.until(lambda: not any(e.plugged for e in lab.view().evses), "everybody has left", 30)
    await lab.until(lambda: lab.station.ocpp is None or lab.station.ocpp.summary().queued == 0, "queue", 60)
    await lab.forward(1)
    return runner.results
