"""The engine answers every CALL, survives every text, and never answers an answer."""

from __future__ import annotations

import asyncio
import json
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evse.lab.vloop import VirtualClock, VirtualLoop, run_virtual
from evse.ocpp import engine as engine_module
from evse.ocpp.engine import CallTimeout, Engine, Reply
from evse.ocpp.log import MessageLog
from evse.ocpp.messages import CallError, Payload
from evse.transports.base import WsClosed
from evse.transports.memory import MemoryWebSocket
from tests._support.examples import examples
from tests._support.frames import FarEnd


class Peer:
    """An engine and the far end of its link."""

    def __init__(self, handlers: dict[str, Any] | None = None, timeout_s: float = 10) -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        self.near = ours = MemoryWebSocket("ocpp1.6")
        self.far = FarEnd(ours)
        self.log = MessageLog()
        self.engine = Engine(
            ours, clock=VirtualClock(loop), rng=Random(1), handlers=handlers or {}, log_=self.log, timeout_s=timeout_s,
        )
        self.task = loop.create_task(self.engine.run())

    async def say(self, text: str) -> list[Any] | None:
        """Send a text; return the answer, None when there is none."""
        await self.far.send(text)
        return await self.hear()

    async def hear(self) -> list[Any] | None:
        try:
            async with asyncio.timeout(0.01):
                return list(json.loads(await self.far.recv()))
        except TimeoutError:
            return None


def virtual(test: Any) -> Any:
    def run() -> None:
        run_virtual(test())

    return run


async def echo(payload: Payload) -> Reply:
    return Reply({"status": "Accepted", "data": payload.get("data", "")})


@pytest.mark.parametrize(("text", "unique_id", "code"), [
    ("nonsense", "-1", "FormationViolation"),
    ("", "-1", "FormationViolation"),
    ("{}", "-1", "FormationViolation"),
    ("[]", "-1", "FormationViolation"),
    ('["2","a","Reset",{}]', "-1", "FormationViolation"),
    ("[true]", "-1", "FormationViolation"),
    ('[2,"a","Reset"]', "a", "FormationViolation"),
    ('[2,"a","Reset",{},5]', "a", "FormationViolation"),
    ('[2,"a",5,{}]', "a", "FormationViolation"),
    ('[2,"a","Reset",[]]', "a", "FormationViolation"),
    ('[2,5,"Reset",{}]', "-1", "FormationViolation"),
    ('[5,"a",{}]', "a", "FormationViolation"),
    ('[6,"a","X",{}]', "a", "FormationViolation"),
    ('[2,"a","NoSuchThing",{}]', "a", "NotImplemented"),
    ('[2,"a","GetDiagnostics",{"location":"x"}]', "a", "NotSupported"),
    ('[2,"a","DataTransfer",{}]', "a", "ProtocolError"),
    ('[2,"a","DataTransfer",{"vendorId":5}]', "a", "TypeConstraintViolation"),
    ('[2,"a","DataTransfer",{"vendorId":"v","x":1}]', "a", "FormationViolation"),
    (json.dumps([2, "a", "DataTransfer", {"vendorId": "v" * 256}]), "a", "PropertyConstraintViolation"),
    ("[" * 5000 + "]" * 5000, "-1", "FormationViolation"),
    (json.dumps([2, "a", "DataTransfer", {"vendorId": "v", "data": "x" * 300_000}]), "-1", "FormationViolation"),
])
def test_wrong_calls_get_the_right_error(text: str, unique_id: str, code: str) -> None:
    async def main() -> None:
        peer = Peer({"DataTransfer": echo})
        answer = await peer.say(text)
        assert answer is not None
        assert answer[:3] == [4, unique_id, code]
        assert answer[3]
        assert (await peer.say('[2,"b","DataTransfer",{"vendorId":"v","data":"ok"}]')) == [
            3, "b", {"status": "Accepted", "data": "ok"}
        ]

    run_virtual(main())


@pytest.mark.parametrize("text", [
    '[3,"x",{}]', "[3]", '[4,"x","GenericError","",{}]', "[4]", "[3,5,6]", '[3,"x",null]', '[4,null]', "[4,[],{}]",
])
def test_answers_are_never_answered(text: str) -> None:
    async def main() -> None:
        assert await Peer().say(text) is None

    run_virtual(main())


def test_vendor_data_passes_unchanged_both_ways() -> None:
    odd = '{"snake_case": {"camelCase": 1}, "ü": "\\u0000"}'

    async def main() -> None:
        peer = Peer({"DataTransfer": echo})
        answer = await peer.say(json.dumps([2, "a", "DataTransfer", {"vendorId": "v", "data": odd}]))
        assert answer is not None
        assert answer[2]["data"] == odd

    run_virtual(main())


def test_bug_in_a_handler_is_answered_and_the_link_lives() -> None:
    async def broken(payload: Payload) -> Reply:
        raise ZeroDivisionError

    async def main() -> None:
        peer = Peer({"Reset": broken, "DataTransfer": echo})
        answer = await peer.say('[2,"a","Reset",{"type":"Hard"}]')
        assert answer is not None
        assert answer[:3] == [4, "a", "InternalError"]
        assert await peer.say('[2,"b","DataTransfer",{"vendorId":"v"}]') is not None

    run_virtual(main())


def test_handler_may_call_back_and_same_actions_keep_their_order() -> None:
    order: list[str] = []

    async def main() -> None:
        async def slow_first(payload: Payload) -> Reply:
            order.append(f"in {payload['data']}")
            await asyncio.sleep(1 if payload["data"] == "1" else 0)
            if payload["data"] == "1":
                await peer.engine.call("Heartbeat", {})
            order.append(f"out {payload['data']}")
            return Reply({"status": "Accepted"})

        peer = Peer({"DataTransfer": slow_first, "ClearCache": echo_clear})
        for n in "123":
            await peer.far.send(json.dumps([2, n, "DataTransfer", {"vendorId": "v", "data": n}]))
        await peer.far.send('[2,"c","ClearCache",{}]')
        assert (await peer.hear() or [])[1] == "c"  # another action does not wait
        await asyncio.sleep(1.1)
        call = await peer.hear()
        assert call is not None
        assert call[2] == "Heartbeat"
        await peer.far.send(json.dumps([3, call[1], {"currentTime": "2026-01-01T00:00:00Z"}]))
        assert [(await peer.hear() or [])[1] for _ in range(3)] == ["1", "2", "3"]
        assert order == ["in 1", "out 1", "in 2", "out 2", "in 3", "out 3"]

    async def echo_clear(payload: Payload) -> Reply:
        return Reply({"status": "Accepted"})

    run_virtual(main())


def test_flood_of_requests_is_bounded_and_every_one_answered() -> None:
    async def never(payload: Payload) -> Reply:
        await asyncio.sleep(1000)
        return Reply({"status": "Accepted"})

    async def main() -> None:
        peer = Peer({"ClearCache": never})
        for n in range(engine_module.WAITING_MAX + 3):
            await peer.far.send(json.dumps([2, str(n), "ClearCache", {}]))
        refused = [await peer.hear() for _ in range(3)]
        assert all(answer is not None and answer[2] == "InternalError" for answer in refused)

    run_virtual(main())


def test_peer_that_speaks_no_ocpp_is_dropped() -> None:
    async def main() -> None:
        peer = Peer()
        for _ in range(engine_module.MALFORMED_MAX + 1):
            await peer.far.send("GET / HTTP/1.1")
        await asyncio.sleep(0.1)
        with pytest.raises(WsClosed):
            await peer.task

    run_virtual(main())


def test_one_call_at_a_time_in_the_order_of_asking() -> None:
    async def main() -> None:
        peer = Peer()
        tasks = [asyncio.create_task(peer.engine.call("Authorize", {"idTag": str(n)})) for n in range(3)]
        for n in range(3):
            call = await peer.hear()
            assert call is not None
            assert call[3] == {"idTag": str(n)}
            assert await peer.hear() is None  # the next one waits for this answer
            await peer.far.send(json.dumps([3, call[1], {"idTagInfo": {"status": "Accepted"}}]))
        assert len(await asyncio.gather(*tasks)) == 3

    run_virtual(main())


def test_call_ends_with_deadline_error_nonsense_or_link() -> None:
    async def main() -> None:
        peer = Peer(timeout_s=10)
        loop = asyncio.get_running_loop()
        began = loop.time()
        with pytest.raises(CallTimeout, match="no answer within 10 s"):
            await peer.engine.call("Heartbeat", {})
        assert loop.time() - began == pytest.approx(10)
        await peer.hear()
        for text, code in (('[4,"ID","GenericError","no",{}]', "GenericError"), ('[3,"ID",{}]', "ProtocolError")):
            task = asyncio.create_task(peer.engine.call("Heartbeat", {}))
            call = await peer.hear()
            assert call is not None
            await peer.far.send(text.replace("ID", call[1]))
            with pytest.raises(CallError) as error:
                await task
            assert error.value.code == code
        task = asyncio.create_task(peer.engine.call("Heartbeat", {}))
        await asyncio.sleep(1)
        began = loop.time()
        peer.far.end(clean=False, detail="cable cut")
        with pytest.raises(WsClosed, match="cable cut"):
            await task
        assert loop.time() == began
        with pytest.raises(WsClosed):
            await peer.engine.call("Heartbeat", {})
        await asyncio.gather(peer.task, return_exceptions=True)

    run_virtual(main())


def test_log_pairs_answers_with_their_action_and_hides_control_characters() -> None:
    async def main() -> None:
        peer = Peer({"DataTransfer": echo})
        task = asyncio.create_task(peer.engine.call("Heartbeat", {}))
        call = await peer.hear()
        assert call is not None
        await peer.far.send(json.dumps([3, call[1], {"currentTime": "2026-01-01T00:00:00Z"}]))
        await task
        await peer.far.send("\x1b[2Jrude")
        await asyncio.sleep(0.1)
        rows = peer.log.last(10)
        assert [(row.direction, row.type, row.action) for row in rows[:2]] == [
            ("sent", "call", "Heartbeat"), ("received", "result", "Heartbeat"),
        ]
        assert rows[0].unique_id == rows[1].unique_id
        assert "\x1b" not in rows[2].payload
        assert peer.log.last(1)[0].type == "error"
        assert [row.action for row in peer.log.last(10, "Heartbeat")] == ["Heartbeat"] * 2
        await peer.hear()

    run_virtual(main())


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=6), inner, max_size=4), max_leaves=12,
)
ACTIONS = st.sampled_from(["DataTransfer", "Reset", "Heartbeat", "GetLog", "x", ""])
FRAMES = st.one_of(
    st.text(max_size=80),
    JSON.map(json.dumps),
    st.tuples(st.sampled_from([2, 3, 4, 5, -1, 2.0]), st.text(max_size=40) | JSON, ACTIONS | JSON, JSON).map(
        lambda parts: json.dumps(list(parts))
    ),
)


def _not_json(name: str) -> None:
    raise ValueError(f"{name} is no JSON")


@settings(max_examples=examples(300), deadline=None, database=None)
@given(st.lists(FRAMES, max_size=6))
def test_any_text_is_survived_and_every_call_answered(texts: list[str]) -> None:
    async def main() -> None:
        peer = Peer({"DataTransfer": echo})
        for text in texts:
            answer = await peer.say(text)
            frame: Any = None
            try:
                frame = json.loads(text, parse_constant=_not_json)
            except (ValueError, RecursionError):
                assert answer is not None
            if isinstance(frame, list) and frame and frame[0] in (3, 4) and type(frame[0]) is int:
                assert answer is None
            elif isinstance(frame, list) and frame and frame[0] == 2 and type(frame[0]) is int:
                assert answer is not None
                assert answer[0] in (3, 4)
        assert not peer.task.done()
        answer = await peer.say('[2,"last","DataTransfer",{"vendorId":"v"}]')
        assert answer == [3, "last", {"status": "Accepted", "data": ""}]

    run_virtual(main())
