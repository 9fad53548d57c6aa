"""Operations that take their time: the search for meters, and the test of a reader."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeVar

import msgspec

from evse.api import models as m
from evse.api import models_ac as ac
from evse.api.caller import Caller
from evse.api.errors import ApiError, ErrorCode
from evse.api.operation import Empty
from evse.config.meter_profiles import list_profiles, load_profile
from evse.domain.detect import DetectRequest, FoundMeter
from evse.runtime.detecting import Search
from evse.runtime.station import Station
from evse.units import NS_PER_MS

T = TypeVar("T")

UNITS_MAX: Final = 256
NOISE_SHOWN: Final = 20
DIGITS_MAX: Final = 9


class MeterOperations:
    """``meter.detect*``, ``rfid.tap``."""

    _station: Station

    async def meter_detect(self, request: ac.DetectStart, caller: Caller) -> ac.DetectState:
        """Begin a search."""
        detector = self._station.detector
        caller.note.target = f"port={request.port}"
        wanted = detect_request(request)
        known = list_profiles()
        missing = [name for name in wanted.profiles if name not in known]
        if missing:
            message = f"profiles = {request.profiles}: there is no profile {', '.join(missing)}"
            raise ApiError(ErrorCode.INVALID, message, "the names are in: evsectl meter models")
        if detector.running:
            port = detector.search.request.port if detector.search.request is not None else "?"
            raise ApiError(ErrorCode.CONFLICT, f"a search runs already on {port}", "wait, or end it: evsectl meter detect --stop")
        users = detector.in_use(wanted.port)
        if users and not request.disturb:
            message = f"{wanted.port} is in use by {users}: their values would stop while it is searched"
            raise ApiError(ErrorCode.CONFLICT, message, "charging with these meters would end; if that is meant: --disturb")
        profiles = [load_profile(name) for name in wanted.profiles or known]
        detector.begin(wanted, profiles, disturb=request.disturb)
        return self._state()

    async def meter_detected(self, request: Empty, caller: Caller) -> ac.DetectState:
        """The running or last search."""
        return self._state()

    async def meter_detect_stop(self, request: Empty, caller: Caller) -> m.Done:
        """End it; nothing to end is success without change."""
        stopped = await self._station.detector.stop()
        return m.Done(changed=stopped, detail="" if stopped else "no search is running")

    def _state(self) -> ac.DetectState:
        detector = self._station.detector
        return state_of(detector.search, detector.seconds())

    async def rfid_tap(self, request: ac.TapRequest, caller: Caller) -> ac.Tap:
        """The next card at a reader, used for nothing else."""
        station = self._station
        caller.note.target = f"reader={request.reader}"
        if request.reader not in station.devices.readers:
            known = ", ".join(station.devices.readers) or "none"
            raise ApiError(ErrorCode.NOT_FOUND, f"there is no reader {request.reader!r}", f"readers of this station: {known}")
        if station.taps.busy(request.reader):
            raise ApiError(ErrorCode.CONFLICT, f"somebody waits at reader {request.reader} already", "try again later")
        began = station.clock.now()
        token = await station.taps.wait(request.reader, request.seconds)
        return ac.Tap(
            reader=request.reader,
            id_token=token,
            at=station.clock.wall() if token else None,
            waited_ms=(station.clock.now() - began) // NS_PER_MS,
        )


def detect_request(request: ac.DetectStart) -> DetectRequest:
    """Read the lists of a request. Raises `ApiError` naming field, value and remedy."""
    given = {
        "port": request.port,
        "profiles": tuple(_words(request.profiles)),
        "bauds": _numbers("bauds", request.bauds),
        "parities": tuple(word.upper() for word in _words(request.parities)),
        "units": _ranges(request.units),
        "thorough": request.thorough,
        "serial": request.serial,
        "echo": request.echo,
        "timeout_ms": request.timeout_ms,
    }
    try:
        return msgspec.convert(given, DetectRequest)
    except msgspec.ValidationError as error:
        raise ApiError(ErrorCode.INVALID, f"this cannot be searched: {error}", "see: evsectl meter detect --help") from None


def _words(text: str) -> list[str]:
    return [word.strip() for word in text.split(",") if word.strip()]


def _each(field: str, text: str, read: Callable[[str], list[T]], wanted: str) -> list[T]:
    result: list[T] = []
    for word in _words(text):
        try:
            result += read(word)
        except ValueError:
            raise ApiError(ErrorCode.INVALID, f"{field}: {word[:20]!r} is not {wanted}", f"give {wanted}") from None
    return result


def _number(word: str) -> int:
    """Decimal digits only: no sign, no blanks, no other alphabet."""
    if not (word.isascii() and word.isdigit() and len(word) <= DIGITS_MAX):
        raise ValueError(word)
    return int(word)


def _numbers(field: str, text: str) -> tuple[int, ...]:
    return tuple(_each(field, text, lambda word: [_number(word)], "a whole number"))


def _ranges(text: str) -> tuple[int, ...]:
    """``1,5,10-20``: at most `UNITS_MAX` addresses."""

    def read(word: str) -> list[int]:
        low, dash, high = word.partition("-")
        first = _number(low)
        last = _number(high) if dash else first
        if not 0 <= first <= last < UNITS_MAX:
            raise ValueError(word)
        return list(range(first, last + 1))

    return tuple(dict.fromkeys(_each("units", text, read, "an address 0 to 255 or a range like 10-20")))


def state_of(search: Search, seconds: int) -> ac.DetectState:
    """A search as front ends see it."""
    result, progress = search.result, search.progress
    return ac.DetectState(
        number=search.number,
        state=search.state,
        port=search.request.port if search.request is not None else "",
        done=result.asked if result is not None else progress.done,
        total=result.total if result is not None else progress.total,
        what=progress.what if search.state == "running" else "",
        seconds=seconds,
        error=search.error,
        found=tuple(_found(x) for x in result.found) if result is not None else (),
        noise=tuple(
            f"{x.baud} 8{x.parity}1 unit {x.unit}: {x.detail}" if x.baud else f"unit {x.unit}: {x.detail}"
            for x in result.noise[:NOISE_SHOWN]
        )
        if result is not None
        else (),
        problems=result.problems if result is not None else (),
    )


def _found(x: FoundMeter) -> ac.DetectFound:
    return ac.DetectFound(
        port=x.port,
        baud=x.baud,
        parity=x.parity,
        unit=x.unit,
        profile=x.profile,
        text=x.text(),
        candidates=tuple(
            ac.DetectCandidate(profile=c.profile, certainty=c.certainty, model=c.model, serial=c.serial)
            for c in x.candidates
        ),
    )
