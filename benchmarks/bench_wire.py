"""Codecs and the API: what one frame, message or call costs."""

from __future__ import annotations

import asyncio
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

import msgspec

from benchmarks.timing import Figure, median_us
from evse.api.aclient import AsyncClient
from evse.api.operations import Empty
from evse.api.stream import EventHub
from evse.config.meter_profiles import load_profile
from evse.domain.signals import BoardCommand, BoardStatus, ContactorFeedback, CpState, HlcStep, LockState, SlacState
from evse.domain.view import Event
from evse.ocpp.messages import check_call, timestamp
from evse.protocols import board_link as link
from evse.protocols import can_infypower as ip
from evse.protocols import modbus
from evse.protocols.board_link_line import LineDecoder, LineEncoder
from evse.protocols.board_link_messages import Command, Status
from evse.protocols.meter_map import MeterDecoder
from evse.storage.db import Store
from evse.storage.executor import ThreadExecutor
from tests._support.api_world import served
from tests._support.fake_service import FakeStation

ROUNDS = 2000
REPEATS = 250
CALLS = 200
EVENTS = 5000
HUB_READERS = 8
STATUS = BoardStatus(
    cp=CpState.C, estop=False, contactor=ContactorFeedback.CLOSED, lock=LockState.LOCKED, slac=SlacState.MATCHED,
    step=HlcStep.CURR, evcc_id="0010BADA5501", protocol="DIN70121", output_mv=391_200, soc_pct=44, demand_mv=400_000,
    demand_ma=180_000, ev_max_mv=420_000, ev_max_ma=200_000, ev_max_w=80_000, ev_age_ms=120, temperature_dc=412,
    lease_active=True,
)  # fmt: skip
LEVELS = BoardCommand(permit=True, contactor_lease=True, lock=True, offered_mv=420_000, offered_ma=200_000, led=3)


def run() -> list[Figure]:
    """All figures of the module."""
    return [*board_link(), *can(), *meters(), *ocpp(), *hub(), *storage(), *api()]


def _cost(name: str, work: Any, budget: float | None = None, note: str = "", rounds: int = ROUNDS) -> Figure:
    return Figure(name=name, value=median_us(work, rounds), unit="µs", budget=budget, note=note)


def board_link() -> list[Figure]:
    """STATUS and COMMAND, both directions."""
    status, command = link.encode_status(STATUS, seq=7), link.encode_command(LEVELS, lease_counter=9)
    told, ordered = link.decode_block(status[:-1]), link.decode_block(command[:-1])
    if not (isinstance(told, Status) and told.status == STATUS):
        raise AssertionError(f"STATUS carries {told}")
    if not (isinstance(ordered, Command) and ordered.levels == LEVELS):
        raise AssertionError(f"COMMAND carries {ordered}")
    return [
        _cost(
            "board link, encode COMMAND", lambda: link.encode_command(LEVELS, lease_counter=9), note=f"{len(command)} B"
        ),
        _cost("board link, decode COMMAND", lambda: link.decode_block(command[:-1])),
        _cost("board link, encode STATUS", lambda: link.encode_status(STATUS, seq=7), note=f"{len(status)} B"),
        _cost("board link, decode STATUS", lambda: link.decode_block(status[:-1])),
        *_repeated(),
    ]


def _repeated() -> list[Figure]:
    """The same levels again and again on one line, as they mostly are; each frame with another number and counter."""
    encoder, decoder = LineEncoder(), LineDecoder()
    frames = [link.encode_status(STATUS, seq=n & 0xFF, uptime_ms=50 * n, lease_counter=n)[:-1] for n in range(REPEATS)]

    def encode() -> None:
        for n in range(REPEATS):
            encoder.status(STATUS, n & 0xFF, 50 * n, n)

    def decode() -> None:
        for frame in frames:
            decoder.decode(frame)

    def whole() -> None:
        for frame in frames:
            link.decode_block(frame)

    took = {work: median_us(work, 1 + ROUNDS // REPEATS) / REPEATS for work in (encode, decode, whole)}
    note = f"{took[whole] / took[decode]:.1f} x as fast as the codec in this run"
    return [
        Figure(name="board link, encode a STATUS that repeats", value=took[encode], unit="µs", budget=None),
        Figure(name="board link, decode a STATUS that repeats", value=took[decode], unit="µs", budget=None, note=note),
    ]


def can() -> list[Figure]:
    """A set-point out, a reading in."""
    data = ip.pack_vi(391_200, 90_000)

    def set_point() -> tuple[int, bytes]:
        return ip.identifier(ip.Command.GROUP_OUTPUT, 1, device=ip.GROUP), ip.pack_vi(391_200, 90_000)

    def reading() -> tuple[object, tuple[int, int]]:
        return ip.parse_identifier(0x0289F000), ip.unpack_vi(data)

    return [_cost("Infypower, set-point frame", set_point), _cost("Infypower, decode reading", reading)]


def meters() -> list[Figure]:
    """One poll of a meter: requests, frame checks, values."""
    figures = []
    for name in ("eastron/sdm630", "acrel/djsf1352-rn"):
        decoder = MeterDecoder(load_profile(name))
        frames = [modbus.rtu_frame(1, bytes((r.function, 2 * r.count)) + bytes(2 * r.count)) for r in decoder.requests]

        def poll(decoder: MeterDecoder = decoder, frames: list[bytes] = frames) -> object:
            answers = []
            for request, wire in zip(decoder.requests, frames, strict=True):
                modbus.rtu_frame(1, modbus.read_request(request.function, request.address, request.count))
                body = modbus.RtuAnswer(1).feed(wire)
                assert body is not None
                answers.append((request, modbus.read_answer(body, request.function, request.count)))
            return decoder.decode(answers)

        figures.append(_cost(f"Modbus, one poll of {name}", poll, note=f"{len(frames)} request(s)", rounds=300))
    return figures


def ocpp() -> list[Figure]:
    """A MeterValues call with six values: made, checked by the schema, encoded; and its way back."""
    wall = 1_767_225_600_123_000_000

    def payload() -> dict[str, Any]:
        names = (
            "Energy.Active.Import.Register",
            "Power.Active.Import",
            "Voltage",
            "Current.Import",
            "SoC",
            "Temperature",
        )
        values = [{"value": "12345", "context": "Sample.Periodic", "measurand": name} for name in names]
        rows = [{"timestamp": timestamp(wall), "sampledValue": values}]
        return {"connectorId": 1, "transactionId": 4711, "meterValue": rows}

    def encode() -> bytes:
        body = payload()
        assert check_call("MeterValues", body) is None
        return msgspec.json.encode([2, "0123456789abcdef", "MeterValues", body])

    wire = encode()

    def decode() -> object:
        frame = msgspec.json.decode(wire)
        return check_call(frame[2], frame[3])

    if check_call("MeterValues", {**payload(), "connectorId": "1"}) is None:
        raise AssertionError("the schema accepts a text as connectorId")
    return [
        _cost("OCPP MeterValues, make + validate + encode", encode, note=f"{len(wire)} B"),
        _cost("OCPP MeterValues, decode + validate", decode),
    ]


def hub() -> list[Figure]:
    """Events through the hub to several readers."""

    async def main() -> float:
        events = EventHub(queue=EVENTS + 1, ring=EVENTS + 1)
        stations = FakeStation()
        got = [0] * HUB_READERS

        async def reader(index: int) -> None:
            async for _ in events.events(0, stations.status):
                got[index] += 1
                if got[index] == EVENTS:
                    return

        tasks = [asyncio.ensure_future(reader(i)) for i in range(HUB_READERS)]
        await asyncio.sleep(0)
        began = time.perf_counter()
        for seq in range(1, EVENTS + 1):
            events.publish(Event(seq=seq, wall=seq, kind="step.changed", evse_id=1, data={}))
        await asyncio.gather(*tasks)
        assert got == [EVENTS] * HUB_READERS
        return EVENTS / (time.perf_counter() - began)

    rate = median(asyncio.run(main()) for _ in range(3))
    return [Figure(name=f"events through the hub to {HUB_READERS} readers", value=rate, unit="1/s", budget=None)]


def storage() -> list[Figure]:
    """One durable event (commit with fsync), on the disk of the temporary directory."""

    async def main(folder: str) -> float:
        store = await Store.open(Path(folder) / "bench.sqlite3", executor=ThreadExecutor())
        took = []
        for seq in range(1, 51):
            began = time.perf_counter()
            await store.append_events([Event(seq=seq, wall=seq, kind="benchmark", evse_id=1, data={})])
            took.append(time.perf_counter() - began)
        await store.close()
        return median(took) * 1e6

    with tempfile.TemporaryDirectory(prefix="evse-bench-") as folder:
        value = asyncio.run(main(folder))
    return [
        Figure(name="event durable in the database", value=value, unit="µs", budget=None, note="disk of this machine")
    ]


def api() -> list[Figure]:
    """status.get over the Unix socket, the client connecting each time as evsectl does."""

    async def main(folder: str) -> float:
        path = Path(folder) / "api.sock"
        async with served(path):
            client = AsyncClient(f"unix://{path}")
            took = []
            for _ in range(CALLS):
                began = time.perf_counter()
                await client.call("status.get", Empty())
                took.append(time.perf_counter() - began)
        return median(took) * 1e6

    with tempfile.TemporaryDirectory(prefix="evse-bench-") as folder:
        value = asyncio.run(main(folder))
    return [
        Figure(name="API status.get, round trip", value=value, unit="µs", budget=None, note="both ends in one process")
    ]
