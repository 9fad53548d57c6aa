"""Scenarios: files of timed commands and conditions, run against a simulated station.

A file is JSON: ``{"name", "description", "needs": {...}, "steps": [...]}``. ``needs`` says which stations it can be played on
(`evse.sim.scenario_needs.Needs`; left out: any). The steps run one after the other; a step has one of

* ``{"at_s": 1.5, "cmd": "plug_in", ...}``: a command of `evse.sim.control` at a time after the start (at once when that
  is past), or ``{"after_s": 2, "cmd": ...}``: so long after the step before;
* ``{"wait": {...}, "timeout_s": 20}``: go on when a condition on the world's status holds, fail when it never does;
* ``{"lanes": [[...], [...]]}``: lists of steps that run side by side, each in its own order; the step ends with the last.
  Steps of lanes have no ``at_s`` and no lanes of their own. The first lane that fails ends the others;
* ``{"cmd": "api", "operation": "planner.set", "request": {...}}`` and ``{"wait": {"operation": ..., "path": ...}}``:
  for runners that have the product's API at hand. Without it these steps are skipped and reported as skipped.

A condition names a value by ``path`` and compares it with ``is``, ``not``, ``min``, ``max`` or ``exists``; several of
them, or several conditions in a list, must all hold. A path has names and list indices joined by dots; ``key=value``
picks the first member of a list (``/`` goes deeper in the key, a comma joins several that must all fit): ``connectors.connector=1.step``,
``items.record/code=F1.record.present``; ``count`` is the length of a list. ``allow_error`` keeps a refused command from
ending the run; ``label`` is repeated in the report.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final

import msgspec

from evse.config.paths import profiles_dir
from evse.domain.base import ConfigError
from evse.domain.clock import Clock
from evse.sim.control import problems_of
from evse.sim.scenario_needs import Needs, parse_needs
from evse.units import NS_PER_S

STEPS_MAX: Final = 2_000
POLL_S: Final = 0.05
TIMEOUT_S: Final = 30.0
TIMEOUT_MAX_S: Final = 3_600.0
KEYS: Final = ("name", "description", "needs", "steps")
LANE_KEYS: Final = ("lanes", "label")
OPERATORS: Final = ("is", "not", "min", "max", "exists")

Api = Callable[[str, dict[str, Any]], Awaitable[Any]]
"""Call an operation of the product's API; returns its answer as plain JSON values."""
Execute = Callable[[dict[str, Any]], Awaitable[dict[str, Any]]]


class Condition(msgspec.Struct, frozen=True, kw_only=True):
    """One comparison. ``operation`` "" = on the simulator's status."""

    path: str
    tests: dict[str, Any]
    operation: str = ""
    request: dict[str, Any] = {}

    def holds(self, document: Any) -> bool:
        """Return whether the value at ``path`` passes all tests; ``exists: false`` and ``not`` pass without it."""
        found, value = lookup(document, self.path)
        for name, wanted in self.tests.items():
            if name == "exists":
                good = found is bool(wanted)
            elif name == "not":
                good = not found or value != wanted
            elif not found:
                good = False
            elif name == "is":
                good = value == wanted
            else:
                number = isinstance(value, int | float) and not isinstance(value, bool)
                good = number and (value >= wanted if name == "min" else value <= wanted)
            if not good:
                return False
        return True

    def text(self) -> str:
        """Return the condition in words."""
        where = f"{self.operation}:" if self.operation else ""
        return where + self.path + " " + " and ".join(f"{name} {value!r}" for name, value in self.tests.items())


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """One step: a command, or conditions to wait for."""

    number: int
    at_s: float | None = None
    after_s: float = 0.0
    command: dict[str, Any] | None = None
    conditions: tuple[Condition, ...] = ()
    timeout_s: float = TIMEOUT_S
    label: str = ""
    allow_error: bool = False
    lanes: tuple[tuple[Step, ...], ...] = ()


class Scenario(msgspec.Struct, frozen=True, kw_only=True):
    """A parsed file."""

    name: str
    description: str
    steps: tuple[Step, ...]
    needs: Needs = Needs()


class StepResult(msgspec.Struct, frozen=True, kw_only=True):
    """What a step did. ``time_s`` since the start of the scenario; ``value`` = answer of a command."""

    step: int
    label: str
    what: str
    time_s: float
    took_s: float
    ok: bool
    skipped: bool = False
    error: str = ""
    value: Any = None


def lookup(document: Any, path: str) -> tuple[bool, Any]:
    """Return (found, value) at a path in plain JSON values."""
    value = document
    for part in path.split(".") if path else []:
        if isinstance(value, dict):
            if part not in value:
                return False, None
            value = value[part]
        elif isinstance(value, list | tuple):
            if "=" in part:
                pairs = [pair.partition("=") for pair in part.split(",")]
                members = [item for item in value if all(_fits(item, key, wanted) for key, _, wanted in pairs)]
                if not members:
                    return False, None
                value = members[0]
            elif part == "count":
                value = len(value)
            elif part.lstrip("-").isdigit() and -len(value) <= int(part) < len(value):
                value = value[int(part)]
            else:
                return False, None
        else:
            return False, None
    return True, value


def _fits(item: Any, key: str, wanted: str) -> bool:
    return str(lookup(item, key.replace("/", "."))[1]) == wanted


def _lanes(obj: dict[str, Any], where: str, problems: list[str]) -> tuple[tuple[Step, ...], ...]:
    """Return the steps of each lane; their numbers are places, 1 based, within the lane."""
    lanes = obj["lanes"]
    if not isinstance(lanes, list) or not lanes or not all(isinstance(lane, list) for lane in lanes):
        problems.append(f"{where}: lanes: accepted: a list of lists of steps")
        return ()
    problems += [f"{where}: {key}: a step has lanes or does something, not both" for key in obj if key not in LANE_KEYS]
    result = []
    for number, lane in enumerate(lanes, 1):
        steps = []
        for place, child in enumerate(lane, 1):
            here = f"{where}, lane {number}, step {place}"
            if isinstance(child, dict) and {"at_s", "lanes"} & child.keys():
                problems.append(f"{here}: at_s, lanes: not accepted within a lane")
                continue
            steps.append(_step(place, child, problems, here))
        result.append(tuple(step for step in steps if step is not None))
    return tuple(result)


def _condition(obj: Any, where: str, problems: list[str]) -> Condition | None:
    if not isinstance(obj, dict) or not isinstance(obj.get("path"), str):
        problems.append(
            f"{where}: wait = {json.dumps(obj)[:60]}: accepted: an object with path and {', '.join(OPERATORS)}"
        )
        return None
    tests = {name: value for name, value in obj.items() if name in OPERATORS}
    unknown = set(obj) - set(OPERATORS) - {"path", "operation", "request"}
    if unknown or not tests:
        problems.append(
            f"{where}: wait: unknown or missing test {', '.join(sorted(unknown))}; accepted: {', '.join(OPERATORS)}"
        )
        return None
    return Condition(path=obj["path"], tests=tests, operation=obj.get("operation", ""), request=obj.get("request", {}))


def _step(number: int, obj: Any, problems: list[str], where: str = "") -> Step | None:
    where = where or f"step {number}"
    if not isinstance(obj, dict):
        problems.append(f"{where}: an object is expected")
        return None
    if "lanes" in obj:
        return Step(number=number, lanes=_lanes(obj, where, problems), label=str(obj.get("label", "")))
    known = {"at_s", "after_s", "wait", "timeout_s", "label", "allow_error"}
    extra = {key: value for key, value in obj.items() if key not in known}
    numbers = {key: obj[key] for key in ("at_s", "after_s", "timeout_s") if key in obj}
    for key, value in numbers.items():
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= TIMEOUT_MAX_S:
            problems.append(f"{where}: {key} = {json.dumps(value)}: accepted: a number from 0 to {TIMEOUT_MAX_S:g}")
            return None
    conditions: list[Condition] = []
    if "wait" in obj:
        for item in obj["wait"] if isinstance(obj["wait"], list) else [obj["wait"]]:
            condition = _condition(item, where, problems)
            if condition is not None:
                conditions.append(condition)
        problems += [f"{where}: {key}: a step waits or commands, not both" for key in extra]
    elif extra.get("cmd") == "api":
        if not isinstance(extra.get("operation"), str) or set(extra) - {"cmd", "operation", "request"}:
            problems.append(f"{where}: api: accepted: operation (a text) and request (an object)")
    else:
        problems += [f"{where}: {text}" for text in problems_of(extra)]
    return Step(
        number=number, at_s=numbers.get("at_s"), after_s=float(numbers.get("after_s", 0.0)),
        command=None if "wait" in obj else extra, conditions=tuple(conditions),
        timeout_s=float(numbers.get("timeout_s", TIMEOUT_S)), label=str(obj.get("label", "")),
        allow_error=bool(obj.get("allow_error", False)),
    )  # fmt: skip


def parse_scenario(text: str, where: str) -> Scenario:
    """Return the scenario in ``text``; `ConfigError` lists all problems, each with ``where`` and the step."""
    try:
        document = json.loads(text)
    except ValueError as error:
        raise ConfigError([f"{where}: is not JSON ({error})"]) from error
    if not isinstance(document, dict) or not isinstance(document.get("steps"), list):
        raise ConfigError([f"{where}: accepted: an object with name, description and steps (a list)"])
    problems = [f"{key}: unknown key; accepted: {', '.join(KEYS)}" for key in document if key not in KEYS]
    needs = parse_needs(document.get("needs", {}), problems)
    count = _count(document["steps"])
    if count > STEPS_MAX:
        problems.append(f"steps: {count}; at most {STEPS_MAX}")
    steps = [_step(number, obj, problems) for number, obj in enumerate(document["steps"][:STEPS_MAX], 1)]
    if problems:
        raise ConfigError([f"{where}: {problem}" for problem in problems])
    return Scenario(
        name=str(document.get("name", "")),
        description=str(document.get("description", "")),
        steps=tuple(step for step in steps if step is not None),
        needs=needs,
    )


def _count(steps: list[Any]) -> int:
    """Number of steps, those of lanes included."""
    lanes = [step["lanes"] for step in steps if isinstance(step, dict) and isinstance(step.get("lanes"), list)]
    return len(steps) + sum(len(lane) for found in lanes for lane in found if isinstance(lane, list))


def load_scenario(name: str) -> Scenario:
    """Return a shipped scenario by name, or the file of that path; `ConfigError` lists what is shipped."""
    path = Path(name)
    if "/" not in name and path.suffix != ".json":
        path = profiles_dir() / "scenarios" / f"{name}.json"
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError([f"scenario '{name}': cannot be read ({error}); shipped: {', '.join(shipped())}"]) from error
    return parse_scenario(text, str(path))


def shipped() -> list[str]:
    """Return the names of the shipped scenarios."""
    return sorted(path.stem for path in (profiles_dir() / "scenarios").glob("*.json"))


class Runner:
    """Runs one scenario. ``results`` grows while it runs; `run` returns True when every step did what it should."""

    def __init__(
        self,
        scenario: Scenario,
        execute: Execute,
        clock: Clock,
        *,
        api: Api | None = None,
        on_result: Callable[[StepResult], None] | None = None,
    ) -> None:
        self.scenario = scenario
        self.results: list[StepResult] = []
        self._execute = execute
        self._clock = clock
        self._api = api
        self._on_result = on_result
        self._start = clock.now()

    def time_s(self) -> float:
        """Seconds since the start."""
        return (self._clock.now() - self._start) / NS_PER_S

    async def run(self) -> bool:
        """Run all steps; the first that fails ends the run."""
        self._start = self._clock.now()
        return await self._run(self.scenario.steps)

    async def _run(self, steps: tuple[Step, ...]) -> bool:
        for step in steps:
            if step.lanes:
                if not await self._side_by_side(step.lanes):
                    return False
                continue
            pause = step.after_s if step.at_s is None else step.at_s - self.time_s()
            if pause > 0:
                await asyncio.sleep(pause)
            began = self.time_s()
            result = await (self._wait(step, began) if step.conditions else self._do(step, began))
            self.results.append(result)
            if self._on_result is not None:
                self._on_result(result)
            if not result.ok:
                return False
        return True

    async def _side_by_side(self, lanes: tuple[tuple[Step, ...], ...]) -> bool:
        """Run the lanes at once; True when all did what they should."""
        tasks = [asyncio.create_task(self._run(lane)) for lane in lanes]
        try:
            for done in asyncio.as_completed(tasks):
                if not await done:
                    return False
            return True
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def _result(self, step: Step, what: str, began: float, error: str = "", **more: Any) -> StepResult:
        return StepResult(
            step=step.number,
            label=step.label,
            what=what,
            time_s=round(began, 3),
            took_s=round(self.time_s() - began, 3),
            ok=not error or step.allow_error,
            error=error,
            **more,
        )

    async def _do(self, step: Step, began: float) -> StepResult:
        command = step.command or {}
        if command.get("cmd") == "api":
            what = f"api {command['operation']}"
            if self._api is None:
                return self._result(step, what, began, skipped=True)
            try:
                value = await self._api(command["operation"], command.get("request", {}))
            except Exception as error:  # noqa: BLE001 - whatever the API client raises is the report's text
                return self._result(step, what, began, error=f"{type(error).__name__}: {error}")
            return self._result(step, what, began, value=value)
        answer = await self._execute(command)
        what = " ".join(str(command.get(key, "")) for key in ("cmd", "action", "fault", "connector") if key in command)
        return self._result(step, what, began, error="" if answer.get("ok") else str(answer.get("error")), value=answer)

    async def _wait(self, step: Step, began: float) -> StepResult:
        conditions = [c for c in step.conditions if not c.operation or self._api is not None]
        what = "wait for " + "; ".join(condition.text() for condition in step.conditions)
        if not conditions:
            return self._result(step, what, began, skipped=True)
        while True:
            late = self.time_s() - began >= step.timeout_s
            open_ = await self._open(conditions, every=late)
            if not open_:
                return self._result(step, what, began)
            if late:
                error = f"not within {step.timeout_s:g} s: {'; '.join(c.text() for c in open_)}"
                return self._result(step, what, began, error=error)
            await asyncio.sleep(POLL_S)

    async def _open(self, conditions: list[Condition], *, every: bool) -> list[Condition]:
        """Return the conditions that do not hold; unless ``every``, the first of them is enough. All see one status."""
        open_: list[Condition] = []
        status: dict[str, Any] | None = None
        for condition in conditions:
            if condition.operation and self._api is not None:
                try:
                    good = condition.holds(await self._api(condition.operation, condition.request))
                except OSError:
                    good = False  # the daemon is away; the time limit decides
            else:
                if status is None:
                    status = await self._execute({"cmd": "status"})
                good = condition.holds(status)
            if not good:
                open_.append(condition)
                if not every:
                    break
        return open_
