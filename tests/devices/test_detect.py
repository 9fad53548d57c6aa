"""The search for meters: families at their own line settings, none, two, noise, owners, stops, and the DZG range."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping, Sequence

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evse.config.meter_profiles import list_profiles, load_profile
from evse.devices.detect import detect
from evse.devices.detect_plan import settings, steps
from evse.devices.meter import ModbusMeter
from evse.devices.modbus_bus import ModbusBus
from evse.domain.base import ConfigError, DeviceError
from evse.domain.detect import DetectProgress, DetectRequest, DetectResult
from evse.domain.readings import MeterValues, Sample
from evse.lab.vloop import VirtualClock, VirtualLoop, run_virtual
from evse.protocols.meter_identify import dzg_units, plausible, says_model
from evse.sim.hw.modbus_meter import SimModbusBus, SimModbusMeter
from evse.transports.base import ByteStream, SerialSettings
from evse.transports.memory import MemoryStream, stream_pair
from tests._support.examples import examples
from tests.rfid.rig import OneReader

PORT = "/dev/ttyRS485"
ALL = [load_profile(name) for name in list_profiles()]
VALUES = MeterValues(
    power_w=2_300, energy_import_wh=12_345_000, energy_export_wh=0, voltage_mv=231_000, current_ma=10_000,
    voltage_l_mv=(231_000, 230_000, 229_000), current_l_ma=(3_400, 3_300, 3_300), power_l_w=(780, 760, 760),
    frequency_mhz=50_000, temperature_dc=300,
)  # fmt: skip

Key = tuple[int, str]


def meter(name: str, unit: int = 0, **said: int | str) -> SimModbusMeter:
    profile = load_profile(name)
    sim = SimModbusMeter(profile, unit or profile.bus.unit)
    sim.set_values(VALUES)
    if profile.values.voltage_l_mv is None and profile.kind == "ac":
        sim.set_values(MeterValues(power_w=2_200, current_ma=10_000))
    for quantity, value in said.items():
        sim.set(quantity, value)
    return sim


class Port:
    """The opened end of a line; only one may be open at a time."""

    def __init__(self, inner: ByteStream, bus: Bus) -> None:
        self._inner, self._bus = inner, bus
        self.read, self.write = inner.read, inner.write
        bus.open_now += 1

    async def close(self) -> None:
        self._bus.open_now -= 1
        await self._inner.close()


class Bus(OneReader):
    """One line. Devices hear what is said with their baud rate and parity; ``talker`` = noise after each question."""

    def __init__(self, devices: Mapping[Key, Sequence[SimModbusMeter]]) -> None:
        super().__init__(self._serve)
        self.devices = devices
        self.talker = b""
        self.refused: set[int] = set()
        self.opened: list[Key] = []
        self.open_now = 0
        self.tasks: list[asyncio.Task[None]] = []
        self._key: Key = (0, "N")

    async def open_serial(self, settings: SerialSettings) -> ByteStream:
        if settings.baud in self.refused:
            raise DeviceError(f"{settings.port}: cannot open at {settings.baud} baud: Invalid argument")
        if self.open_now:
            raise DeviceError(f"{settings.port}: another program has it open")
        self._key = (settings.baud, settings.parity)
        self.opened.append(self._key)
        return Port(await super().open_serial(settings), self)

    async def open_tcp(self, host: str, port: int) -> ByteStream:
        ours, theirs = stream_pair(host)
        devices = [d for group in self.devices.values() for d in group]
        self.tasks.append(asyncio.create_task(SimModbusBus(devices).serve_tcp(theirs)))
        return ours

    def _serve(self, device: MemoryStream) -> None:
        self.tasks.append(asyncio.create_task(self._line(device, SimModbusBus(self.devices.get(self._key, [])))))

    async def _line(self, device: MemoryStream, bus: SimModbusBus) -> None:
        try:
            if not self.talker:
                await bus.serve(device)
                return
            while True:
                await device.read()
                await device.write(self.talker)
        except DeviceError:
            return


def search(
    devices: Mapping[Key, Sequence[SimModbusMeter]],
    body: Callable[[Bus, VirtualClock], Awaitable[None]],
) -> None:
    loop = VirtualLoop()

    async def main() -> None:
        bus = Bus(devices)
        await body(bus, VirtualClock(loop))
        assert bus.open_now == 0

    run_virtual(main(), loop)


def run(devices: Mapping[Key, Sequence[SimModbusMeter]], request: DetectRequest | None = None) -> DetectResult:
    results = []

    async def body(bus: Bus, clock: VirtualClock) -> None:
        results.append(await detect(request or DetectRequest(port=PORT), ALL, bus, clock))

    search(devices, body)
    return results[0]


FAMILIES = [
    ("abb/b23", "identified", {"model_id": "B23 112-100", "serial_number": 123_456}, "123456"),
    ("abb/ev3", "identified", {"model_id": "EV3 012-100"}, ""),
    ("carlo-gavazzi/em111", "identified", {"model_id": 103, "serial_number": "AB123"}, "AB123"),
    ("carlo-gavazzi/et112", "identified", {"model_id": 121}, ""),
    ("eastron/sdm72dm-v2", "identified", {"meter_code": 0x89, "serial_number": 77}, "77"),
    ("iskra/wm3m4c", "identified", {"model_id": "WM3M4C", "serial_number": "00112233"}, "00112233"),
    ("bzr-bauer/bsm-ws36a", "identified", {"common_Md": "BSM-WS36A-H01", "common_SN": "21070006"}, "21070006"),
    ("sunspec/model-203", "identified", {}, ""),
    ("carlo-gavazzi/em340", "plausible", {"model_id": 341, "serial_number": "KX001"}, "KX001"),
    ("eastron/sdm230", "plausible", {}, ""),
    ("eastron/sdm630", "plausible", {}, ""),
    ("dzg/dvh4013", "plausible", {}, ""),
    ("klefr/693x-694x", "plausible", {}, ""),
    ("socomec/countis-e04", "plausible", {}, ""),
    ("inepro/pro380", "plausible", {}, ""),
    ("phoenix-contact/eem-350-d-mcb", "plausible", {}, ""),
]


@pytest.mark.parametrize(("name", "certainty", "said", "serial"), FAMILIES, ids=[row[0] for row in FAMILIES])
def test_every_family_is_found_with_its_factory_settings(
    name: str, certainty: str, said: dict[str, int | str], serial: str
) -> None:
    bus = load_profile(name).bus
    result = run({(bus.baud, bus.parity): [meter(name, **said)]})
    assert len(result.found) == 1, result
    found = result.found[0]
    assert (found.baud, found.parity, found.unit) == (bus.baud, bus.parity, bus.unit)
    candidates = {c.profile: c for c in found.candidates}
    assert candidates[name].certainty == certainty
    assert candidates[name].serial == serial
    if certainty == "identified":
        assert found.profile == name
        assert name in found.text()
    else:
        assert "plausible as: " in found.text()
    assert result.asked == result.total
    assert not result.stopped
    assert not result.noise


@pytest.mark.parametrize(
    ("name", "baud", "parity", "unit"),
    [
        ("eastron/sdm630", 19_200, "E", 7), ("abb/b24", 2_400, "N", 200), ("klefr/693x-694x", 38_400, "O", 247),
        ("iskra/wm3m4c", 9_600, "N", 1), ("dzg/dvh4013", 4_800, "E", 36), ("eastron/sdm72dm-v1", 115_200, "N", 33),
    ][: examples(6, 2)],
)  # fmt: skip
def test_other_settings_are_found_by_a_thorough_search(name: str, baud: int, parity: str, unit: int) -> None:
    said: dict[str, int | str] = {"model_id": {"abb/b24": "B24 112", "iskra/wm3m4c": "WM3M4"}.get(name, "")}
    sim = meter(name, unit, **({} if not said["model_id"] else said))
    request = DetectRequest(
        port=PORT, thorough=True, bauds=(2_400, 4_800, 9_600, 19_200, 38_400, 115_200), parities=("N", "E", "O"),
        timeout_ms=50,
    )  # fmt: skip
    result = run({(baud, parity): [sim]}, request)
    assert [(f.baud, f.parity, f.unit) for f in result.found] == [(baud, parity, unit)]
    assert name in [c.profile for c in result.found[0].candidates]


def test_nobody_is_there() -> None:
    result = run({})
    assert (result.found, result.noise, result.problems, result.stopped) == ((), (), (), False)
    assert result.duration_ms < 600_000


def test_two_meters_at_different_settings_and_three_on_one_line() -> None:
    b23 = meter("abb/b23", model_id="B23 112-100")
    line = [meter("iskra/wm3m4c", model_id="WM3M4"), meter("socomec/countis-e04"), meter("eastron/sdm630")]
    result = run({(9600, "E"): [b23], (9600, "N"): line})
    assert [(f.parity, f.unit) for f in result.found] == [("N", 1), ("N", 5), ("N", 33), ("E", 1)]
    assert [f.profile for f in result.found][2:] == ["iskra/wm3m4c", "abb/b23"]
    assert [p.profile for p in result.found[1].candidates if p.profile.startswith("socomec")]


def test_the_map_of_a_meter_is_not_taken_for_the_map_of_another() -> None:
    """What must never be: a profile that would show wrong values is the only or best candidate."""
    for profile in ALL:
        if profile.bus.tcp or profile.sunspec_models or profile.kind == "dc":
            continue
        result = run({(profile.bus.baud, profile.bus.parity): [meter(profile.name)]})
        assert len(result.found) == 1, profile.name
        names = [c.profile for c in result.found[0].candidates]
        assert profile.name in names, (profile.name, names)
        own = next(c for c in result.found[0].candidates if c.profile == profile.name)
        assert own.score == result.found[0].candidates[0].score, (profile.name, result.found[0].candidates)


def test_a_device_that_is_no_meter_is_named_as_such() -> None:
    async def body(bus: Bus, clock: VirtualClock) -> None:
        sim = SimModbusMeter(load_profile("eastron/sdm630"), 1)  # all zero: it could be anything
        bus.devices = {(9600, "N"): [sim]}
        result = await detect(DetectRequest(port=PORT), ALL, bus, clock)
        assert [(f.unit, f.candidates, f.profile) for f in result.found] == [(1, (), "")]
        assert result.found[0].text() == f"{PORT} 9600 8N1 unit 1: answers, fits no known meter"

    search({}, body)


@pytest.mark.parametrize("talker", [b"\x00", b"\xff\xfe\x81garbage" * 20, bytes(range(256)) * 3])
def test_garbage_on_the_line_is_no_meter_but_is_told(talker: bytes) -> None:
    async def body(bus: Bus, clock: VirtualClock) -> None:
        bus.talker = talker
        result = await detect(DetectRequest(port=PORT, timeout_ms=50), ALL, bus, clock)
        assert result.found == ()
        assert 0 < len(result.noise) <= 100
        assert result.asked == result.total

    search({}, body)


@given(st.binary(min_size=1, max_size=40))
def test_no_noise_invents_a_meter_or_raises(talker: bytes) -> None:
    async def body(bus: Bus, clock: VirtualClock) -> None:
        bus.talker = talker
        request = DetectRequest(port=PORT, units=(1,), bauds=(9600,), parities=("N",), timeout_ms=20)
        assert (await detect(request, ALL[:3], bus, clock)).found == ()

    search({}, body)


def test_a_disturbed_meter_is_asked_again() -> None:
    sim = meter("eastron/sdm630")
    original, count = sim.answer, [0]

    def answer(pdu: bytes) -> bytes | None:
        count[0] += 1
        sim.faults = {"crc"} if count[0] % 2 else set()
        return original(pdu)

    sim.answer = answer  # type: ignore[method-assign]
    result = run({(9600, "N"): [sim]})
    assert "eastron/sdm630" in [c.profile for c in result.found[0].candidates]


def test_a_slow_meter_gets_its_time() -> None:
    slow = meter("bzr-bauer/bsm-ws36a", common_Md="BSM-WS36A-H01")
    slow.delay_ms = 4_000
    result = run({(19_200, "E"): [slow]})
    assert [f.profile for f in result.found] == ["bzr-bauer/bsm-ws36a"]


def test_modbus_tcp_walks_the_units() -> None:
    result = run({(0, "N"): [meter("phoenix-contact/eem-em357")]}, DetectRequest(port="tcp://192.168.1.9"))
    assert [(f.baud, f.unit) for f in result.found] == [(0, 255)]
    assert {c.profile for c in result.found[0].candidates} >= {"phoenix-contact/eem-em357"}


def test_progress_counts_up_to_the_total_and_says_what_is_asked() -> None:
    seen: list[DetectProgress] = []

    async def body(bus: Bus, clock: VirtualClock) -> None:
        await detect(DetectRequest(port=PORT), ALL, bus, clock, progress=seen.append)

    search({(9600, "N"): [meter("eastron/sdm630")]}, body)
    assert [p.done for p in seen] == sorted(p.done for p in seen)
    assert (seen[0].done, seen[0].what, seen[0].found) == (0, "9600 8N1 unit 1", 0)
    assert (seen[-1].done, seen[-1].found) == (seen[-1].total, 1)


def test_a_stop_keeps_what_was_found_and_a_cancellation_closes_the_line() -> None:
    async def body(bus: Bus, clock: VirtualClock) -> None:
        stop = asyncio.Event()

        def progress(p: DetectProgress) -> None:
            if p.found:
                stop.set()

        result = await detect(DetectRequest(port=PORT), ALL, bus, clock, progress=progress, stop=stop)
        assert result.stopped
        assert len(result.found) == 1
        assert result.asked < result.total
        task = asyncio.create_task(detect(DetectRequest(port=PORT), ALL, bus, clock))
        await asyncio.sleep(1)
        task.cancel()
        await asyncio.wait([task])

    search({(9600, "N"): [meter("eastron/sdm630")]}, body)


def test_a_line_in_use_is_refused_unless_the_disturbance_is_accepted() -> None:
    async def body(bus: Bus, clock: VirtualClock) -> None:
        owner = ModbusBus(SerialSettings(port=PORT), bus, clock, random.Random(1))
        running = ModbusMeter("site meter", load_profile("eastron/sdm630"), 1, owner, 1000, clock)
        task = asyncio.create_task(owner.run())
        await asyncio.sleep(2)
        assert isinstance(running.reading(), Sample)
        request = DetectRequest(port=PORT)
        with pytest.raises(DeviceError, match=rf"{PORT} is in use by site meter"):
            await detect(request, ALL, bus, clock, owner=owner)
        assert owner.online
        result = await detect(request, ALL, bus, clock, owner=owner, disturb=True)
        assert [f.unit for f in result.found] == [1]
        await asyncio.sleep(2)
        assert isinstance(running.reading(), Sample)  # it came back by itself
        search_ = asyncio.create_task(detect(request, ALL, bus, clock, owner=owner, disturb=True))
        await asyncio.sleep(1)
        assert not owner.online
        search_.cancel()
        await asyncio.wait([search_])
        await asyncio.sleep(2)
        assert isinstance(running.reading(), Sample)
        task.cancel()
        await asyncio.wait([task])

    search({(9600, "N"): [meter("eastron/sdm630")]}, body)


def test_settings_that_the_port_refuses_are_told_and_the_rest_is_searched() -> None:
    async def body(bus: Bus, clock: VirtualClock) -> None:
        bus.refused = {115_200}
        result = await detect(DetectRequest(port=PORT), ALL, bus, clock)
        assert [f.unit for f in result.found] == [1]
        assert result.problems
        assert all("115200 baud" in problem for problem in result.problems)
        bus.refused = {1200}
        with pytest.raises(DeviceError, match=r"meter detect: .*1200 baud"):
            await detect(DetectRequest(port=PORT, bauds=(1200,)), ALL, bus, clock)
        with pytest.raises(DeviceError, match="no such profile: nobody/none"):
            await detect(DetectRequest(port=PORT, profiles=("nobody/none",)), ALL, bus, clock)
        with pytest.raises(ConfigError):
            await detect(DetectRequest(port="tcp://:x"), ALL, bus, clock)

    search({(9600, "N"): [meter("eastron/sdm630")]}, body)


# -- DZG --------------------------------------------------------------------------------------------------------------


def test_dzg_addresses_follow_the_serial_number_then_the_range() -> None:
    assert dzg_units("1DZG0012345623")[0] == 36  # ..23 -> 24 -> 0x24
    assert dzg_units("00000098")[0] == 0x99
    assert dzg_units("00000099") == dzg_units()  # no address by the rule
    assert dzg_units("x") == dzg_units() == dzg_units("")
    assert dzg_units()[:99] == tuple(range(1, 100))
    assert set(dzg_units()) == set(range(1, 100)) | {int(f"{n}", 16) for n in range(1, 100)}


@pytest.mark.parametrize(("parity", "unit", "serial"), [("E", 36, "1DZG0012345623"), ("N", 99, ""), ("E", 0x99, "")])
def test_a_dzg_is_found_by_the_scan(parity: str, unit: int, serial: str) -> None:
    request = DetectRequest(port=PORT, profiles=("dzg/dvh4013",), serial=serial)
    result = run({(9600, parity): [meter("dzg/dvh4013", unit)]}, request)
    assert [(f.unit, f.profile) for f in result.found] == [(unit, "dzg/dvh4013")]
    plan = steps(request, [load_profile("dzg/dvh4013")], tcp=False)
    assert plan[0].unit == (36 if serial else 1)
    scan_s = sum(timeout for step in plan[:99] for _, timeout in step.questions) / 1000
    assert scan_s <= 60  # the manual: up to nearly 60 seconds for one parity


# -- pure parts -------------------------------------------------------------------------------------------------------


def test_likely_settings_come_first_and_nothing_twice() -> None:
    order = settings(DetectRequest(port=PORT), ALL)
    assert order[:2] == [(9600, "N"), (9600, "E")]
    assert len(order) == len(set(order)) == 10
    plan = steps(DetectRequest(port=PORT), ALL, tcp=False)
    assert len({(s.baud, s.parity, s.unit) for s in plan}) == len(plan)
    assert {1, 5, 33, 42} <= {s.unit for s in plan if s.baud == 115_200}
    assert all(1 <= s.unit <= 247 for s in plan)
    thorough = steps(DetectRequest(port=PORT, thorough=True, bauds=(9600,), parities=("N",)), ALL, tcp=False)
    assert sorted(s.unit for s in thorough) == list(range(1, 248))
    own = steps(DetectRequest(port=PORT, units=(7, 7, 9)), ALL, tcp=False)
    assert {s.unit for s in own} == {7, 9}


def test_what_an_identification_register_says() -> None:
    b23, em111 = load_profile("abb/b23"), load_profile("carlo-gavazzi/em111")
    assert [says_model(b23, raw) for raw in ("B23 112-100", "b23", "B24", "", None)] == [True, True, False, None, None]
    assert [says_model(em111, raw) for raw in (103, 104, 0, None)] == [True, False, None, None]


@pytest.mark.parametrize(
    ("change", "score"),
    [
        ({}, 7),
        ({"frequency_mhz": 0}, 0),
        ({"voltage_l_mv": (231_000, 0, 0)}, 6),
        ({"voltage_l_mv": (0, 0, 0)}, 0),
        ({"voltage_l_mv": (231_000, 23_000_000, 0)}, 0),
        ({"power_l_w": (780, 760, 76_000)}, 0),
        ({"power_w": 900_000, "power_l_w": None}, 0),
        ({"current_l_ma": (3_400, 900_000, 0)}, 0),
        ({"energy_import_wh": -1}, 0),
        ({"current_l_ma": (0, 0, 0)}, 6),
    ],
)
def test_values_that_cannot_be(change: dict[str, object], score: int) -> None:
    values = msgspec.structs.replace(VALUES, **change)
    assert plausible(load_profile("eastron/sdm630"), values) == score


NUMBER = st.none() | st.integers(-(10**13), 10**13)


@given(st.fixed_dictionaries(dict.fromkeys(("power_w", "energy_import_wh", "voltage_mv", "current_ma"), NUMBER)))
def test_any_values_are_judged(fields: dict[str, int | None]) -> None:
    for name in ("eastron/sdm230", "acrel/djsf1352-rn"):
        assert plausible(load_profile(name), MeterValues(**fields)) >= 0
