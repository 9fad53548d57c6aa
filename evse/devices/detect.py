"""The search for meters on a line: baud rates, parities and addresses are walked, who answers is asked who it is.

A line with an owner is not touched unless the caller accepts the disturbance; then the owner closes it, its meters wait,
and it is given back however the search ends. Only reads are sent.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

from evse.devices.detect_plan import Question, Step, steps
from evse.devices.modbus_bus import ModbusBus, NoAnswer, TcpEndpoint, endpoint_of
from evse.devices.probe_line import ProbeLine, open_line
from evse.devices.sunspec import MARKER, find_model
from evse.domain.base import DeviceError
from evse.domain.clock import Clock
from evse.domain.detect import DetectProgress, DetectRequest, DetectResult, FoundMeter, LineNoise, MeterCandidate
from evse.domain.meter_profile import MeterProfile, Register
from evse.protocols.errors import ProtocolError
from evse.protocols.meter_identify import plausible, says_model
from evse.protocols.meter_map import Field, MeterDecoder, Raw, Request, split, words
from evse.protocols.modbus import ModbusException
from evse.transports.base import Openers, SerialSettings
from evse.units import NS_PER_MS

NOISE_MAX: Final = 100
"""Noted places with noise; further ones are dropped."""

ANSWERS_MAX: Final = 512
"""Kept answers of one device; it is forgotten when the next one is asked."""

SLOWNESS: Final = 3
"""A device that took its time for the first answer gets so many times that for each other one."""

Progress = Callable[[DetectProgress], None]


async def detect(
    request: DetectRequest,
    profiles: Sequence[MeterProfile],
    openers: Openers,
    clock: Clock,
    *,
    owner: ModbusBus | None = None,
    disturb: bool = False,
    progress: Progress | None = None,
    stop: asyncio.Event | None = None,
) -> DetectResult:
    """Search ``request.port`` for meters of ``profiles``: those that the request names, else all that fit the port.

    ``owner`` = the running bus on this port, if there is one: `DeviceError` unless ``disturb``. ``stop`` ends the search
    after the current question, with what was found so far; cancellation ends it too and leaves the line closed or given
    back. `DeviceError` when no line setting could be opened, `ConfigError` for a port that is none.
    """
    tcp = endpoint_of(request.port) is not None
    chosen = [
        p for p in profiles if (p.name in request.profiles if request.profiles else tcp or not p.bus.tcp)
    ]
    missing = sorted(set(request.profiles) - {p.name for p in chosen})
    if missing or not chosen:
        raise DeviceError(f"meter detect: no such profile: {', '.join(missing) or 'none given'}; see profiles/meters")
    search = _Search(request, chosen, openers, clock, progress, stop)
    if owner is None:
        return await search.run()
    if not disturb:
        names = ", ".join(link.name for link in owner.health()) or "a driver"
        raise DeviceError(
            f"meter detect: {owner.where} is in use by {names}; their values would stop for the time of the search: "
            "stop them, or search anyway with 'disturb'"
        )
    async with owner.lent():
        return await search.run()


class _Search:
    """One search."""

    def __init__(
        self,
        request: DetectRequest,
        profiles: Sequence[MeterProfile],
        openers: Openers,
        clock: Clock,
        progress: Progress | None,
        stop: asyncio.Event | None,
    ) -> None:
        self._request = request
        self._profiles = profiles
        self._openers = openers
        self._clock = clock
        self._progress = progress
        self._stop = stop
        self._endpoint = endpoint_of(request.port)
        self._steps = steps(request, profiles, tcp=self._endpoint is not None)
        self._found: list[FoundMeter] = []
        self._noise: list[LineNoise] = []
        self._problems: list[str] = []
        self._asked = 0

    async def run(self) -> DetectResult:
        began = self._clock.now()
        stopped = False
        opened = 0
        for key in dict.fromkeys((step.baud, step.parity) for step in self._steps):
            batch = [step for step in self._steps if (step.baud, step.parity) == key]
            try:
                line = await open_line(self._where(*key), self._openers, self._clock)
            except DeviceError as error:
                self._problems.append(str(error))
                self._asked += len(batch)
                continue
            opened += 1
            try:
                stopped = await self._batch(line, batch)
            except (NoAnswer, ProtocolError):
                raise
            except DeviceError as error:  # the line is gone in the middle; the next setting opens it again
                self._problems.append(str(error))
            finally:
                await line.close()
            if stopped:
                break
        if not opened:
            raise DeviceError(f"meter detect: {self._problems[0]}")
        return DetectResult(
            found=tuple(self._found),
            noise=tuple(self._noise),
            problems=tuple(self._problems),
            asked=self._asked,
            total=len(self._steps),
            stopped=stopped,
            duration_ms=(self._clock.now() - began) // NS_PER_MS,
        )

    def _where(self, baud: int, parity: str) -> SerialSettings | TcpEndpoint:
        if self._endpoint is not None:
            return self._endpoint
        return SerialSettings(port=self._request.port, baud=baud, parity=parity, echo=self._request.echo)

    async def _batch(self, line: ProbeLine, batch: Sequence[Step]) -> bool:
        """Ask all addresses of one line setting; True = stopped."""
        for step in batch:
            if self._stop is not None and self._stop.is_set():
                return True
            self._tell(step.what)
            await self._step(line, step)
            self._asked += 1
        self._tell(batch[-1].what)
        return False

    def _tell(self, what: str) -> None:
        if self._progress is not None:
            total = len(self._steps)
            self._progress(DetectProgress(done=self._asked, total=total, what=what, found=len(self._found)))

    async def _step(self, line: ProbeLine, step: Step) -> None:
        device = _Device(line, step.unit)
        broken = ""
        for question, timeout_ms in step.questions:
            device.timeout_ms = timeout_ms
            for _ in range(2):  # a disturbance is asked again once
                began = self._clock.now()
                answer = await device.ask(question)
                if not isinstance(answer, ProtocolError) or isinstance(answer, ModbusException):
                    break
                broken = str(answer)
            if not isinstance(answer, ProtocolError | NoAnswer) or isinstance(answer, ModbusException):
                took_ms = (self._clock.now() - began) // NS_PER_MS
                device.timeout_ms = max(self._request.timeout_ms, SLOWNESS * took_ms)
                self._found.append(await self._identify(device, step))
                return
        if broken and len(self._noise) < NOISE_MAX:
            self._noise.append(LineNoise(baud=step.baud, parity=step.parity, unit=step.unit, detail=broken))

    async def _identify(self, device: _Device, step: Step) -> FoundMeter:
        candidates = []
        for profile in self._profiles:
            if not profile.sunspec_models:
                candidate = await _compare(device, profile)
                if candidate is not None:
                    candidates.append(candidate)
        identified = [c for c in candidates if c.certainty == "identified"]
        if not identified:
            identified = await _sunspec(device, [p for p in self._profiles if p.sunspec_models])
        return FoundMeter(
            port=self._request.port,
            baud=step.baud,
            parity=step.parity,
            unit=step.unit,
            candidates=_best(identified or candidates),
        )


def _best(candidates: Sequence[MeterCandidate]) -> tuple[MeterCandidate, ...]:
    """Best first; without those for which less than half as much speaks as for the best."""
    most = max((c.score for c in candidates), default=0)
    return tuple(sorted((c for c in candidates if 2 * c.score >= most), key=lambda c: (-c.score, c.profile)))


Answer = bytes | NoAnswer | ProtocolError


class _Device:
    """One address while it is asked who it is. What it answered or refused is not asked again."""

    def __init__(self, line: ProbeLine, unit: int) -> None:
        self.timeout_ms = 0
        self._line = line
        self._unit = unit
        self._answers: dict[Question, Answer] = {}

    async def ask(self, question: Question) -> Answer:
        """Return the registers or why there are none."""
        known = self._answers.get(question)
        if known is not None:
            return known
        try:
            answer: Answer = await self._line.read(self._unit, *question, self.timeout_ms)
        except (NoAnswer, ProtocolError) as error:
            answer = error
        if isinstance(answer, bytes | ModbusException) and len(self._answers) < ANSWERS_MAX:
            self._answers[question] = answer
        return answer

    async def sure(self, question: Question) -> Answer:
        """`ask`, once more after silence or noise."""
        answer = await self.ask(question)
        if not isinstance(answer, bytes | ModbusException):
            answer = await self.ask(question)
            if len(self._answers) < ANSWERS_MAX:
                self._answers[question] = answer  # silent twice: it stays so
        return answer

    async def read(self, function: int, address: int, count: int) -> bytes:
        """`sure` as a call that raises."""
        answer = await self.sure((function, address, count))
        if isinstance(answer, bytes):
            return answer
        raise answer

    async def value(self, profile: MeterProfile, register: Register) -> Raw:
        """Return the raw value of one register; None when the device has it not."""
        count = words(register)
        answer = await self.sure((register.function, register.address, count))
        return Field(profile, register).read(answer) if isinstance(answer, bytes) else None


async def _compare(device: _Device, profile: MeterProfile) -> MeterCandidate | None:
    """Judge whether the device is a ``profile``; None = it is not."""
    model = ""
    says: bool | None = None
    named = profile.register(profile.identify.quantity) if profile.identify.quantity else None
    if named is not None:
        raw = await device.value(profile, named)
        says = says_model(profile, raw)
        if says is False:
            return None
        if says:
            model = raw if isinstance(raw, str) else f"code {raw!r}"
    score = await _score(device, profile)
    if not score and not says:
        return None
    return MeterCandidate(
        profile=profile.name,
        certainty="identified" if says else "plausible",
        score=score,
        model=model,
        serial=await _serial(device, profile),
    )


async def _serial(device: _Device, profile: MeterProfile) -> str:
    register = profile.register(profile.identify.serial) if profile.identify.serial else None
    if register is None:
        return ""
    raw = await device.value(profile, register)
    if raw is None or raw in (0, "") or (isinstance(raw, bytes) and not any(raw)):
        return ""
    return raw.hex().upper() if isinstance(raw, bytes) else str(raw)


async def _score(device: _Device, profile: MeterProfile) -> int:
    """Read what the station would read; 0 = this is not the map of the device."""
    decoder = MeterDecoder(profile)
    waiting: list[Request] = list(reversed(decoder.requests))
    answers: list[tuple[Request, bytes | None]] = []
    while waiting:
        request = waiting.pop()
        answer = await device.sure((request.function, request.address, request.count))
        if isinstance(answer, bytes):
            answers.append((request, answer))
            continue
        parts = split(request) if isinstance(answer, ModbusException) else ()
        if parts:
            waiting += reversed(parts)
        elif isinstance(answer, ModbusException) and request.registers[0].optional:
            answers.append((request, None))
        else:
            return 0
    try:
        return plausible(profile, decoder.decode(answers))
    except ProtocolError:
        return 0


async def _sunspec(device: _Device, profiles: Sequence[MeterProfile]) -> list[MeterCandidate]:
    """Walk the chain of models once; [] when there is none that is known."""
    for profile in profiles:
        try:
            await find_model(device.read, profile)
        except (NoAnswer, ProtocolError):
            continue
        maker, model, serial = await _common(device, profile.sunspec_bases)
        name = " ".join(part for part in (maker, model) if part)
        return [
            MeterCandidate(profile=profile.name, certainty="identified", score=1, model=name, serial=serial)
        ]
    return []


async def _common(device: _Device, bases: Sequence[int]) -> tuple[str, str, str]:
    """Maker, model and serial number of the SunSpec common block (model 1: texts at 2, 18 and 50 behind its head)."""
    for base in bases:
        if await device.sure((3, base, 2)) != MARKER:
            continue
        texts = []
        for offset in (4, 20, 52):
            answer = await device.sure((3, base + offset, 16))
            data = answer if isinstance(answer, bytes) else b""
            text = data.split(b"\0", 1)[0].decode("ascii", "replace")
            texts.append("".join(c if c.isprintable() else "?" for c in text).strip())
        return texts[0], texts[1], texts[2]
    return "", "", ""
