"""The limits of the engine: size, encoding, repetition, answers nobody asked for; memory stays bounded."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from evse.ocpp import engine as engine_module
from evse.ocpp.engine import ANSWER_MAX, ANSWERS_MAX, MALFORMED_MAX, TEXT_MAX, CallTimeout, Reply
from evse.ocpp.messages import CallError, Payload
from evse.transports.base import NotText, WsClosed
from evse.transports.memory import MemoryWebSocket
from tests.ocpp.test_engine import Peer, echo, virtual

BINARY = "\N{NULL}binary"


class Mixed(MemoryWebSocket):
    """Raises `NotText` for messages that begin with `BINARY`, as the real WebSocket does for binary ones."""

    async def recv(self) -> str:
        text = await super().recv()
        if text.startswith(BINARY):
            raise NotText(len(text) - len(BINARY))
        return text


def mixed(peer: Peer) -> Peer:
    peer.near.__class__ = Mixed
    return peer


def call(unique_id: object, action: object = "DataTransfer", payload: object = None) -> str:
    return json.dumps([2, unique_id, action, {"vendorId": "v"} if payload is None else payload])


async def all_heard(peer: Peer) -> list[list[Any]]:
    found = []
    while (frame := await peer.hear()) is not None:
        found.append(frame)
    return found


# -- size and encoding --------------------------------------------------------------------------------------------


@virtual
async def test_binary_messages_are_refused_and_the_link_lives() -> None:
    told: list[tuple[str, str]] = []
    peer = mixed(Peer({"DataTransfer": echo}))
    peer.engine._security = lambda kind, info: told.append((kind, info))
    for _ in range(3):
        answer = await peer.say(BINARY + call("1"))
        assert answer is not None
        assert answer[:3] == [4, "-1", "FormationViolation"]
        assert "OCPP-J is text" in answer[3]
    assert (await peer.say(call("1")) or [])[0] == 3
    assert [kind for kind, _ in told] == ["InvalidMessages"]  # once per link


@virtual
async def test_a_peer_that_only_sends_binary_is_dropped() -> None:
    peer = mixed(Peer())
    for _ in range(MALFORMED_MAX + 1):
        await peer.far.send(BINARY)
    with pytest.raises(WsClosed):
        await peer.task


@virtual
async def test_the_longest_message_is_read_and_one_more_character_is_not() -> None:
    peer = Peer({"DataTransfer": echo})
    frame = call("a", payload={"vendorId": "v", "data": ""})
    fitting = frame.replace('"data": ""', f'"data": "{"x" * (TEXT_MAX - len(frame))}"')
    assert len(fitting) == TEXT_MAX
    assert (await peer.say(fitting) or [])[0] == 3
    answer = await peer.say(fitting + " ")
    assert answer is not None and answer[:3] == [4, "-1", "FormationViolation"]
    assert f"at most {TEXT_MAX}" in answer[3]


@pytest.mark.parametrize(
    "text",
    [
        '[2,"a","DataTransfer",{"vendorId":"\\ud800"}]', '[2,"\\udfff","DataTransfer",{}]', '["\\ud800"]',
        "[2,'a','DataTransfer',{}]", '[2,"a","DataTransfer",{"vendorId":NaN}]', '[2,"a","DataTransfer",{}', "\ufeff[]",
        "[" * 5000, '{"a":' * 2000, "[2e999]", "[1e400,1]", "\N{NULL}", "",
    ],
)
def test_texts_that_are_no_json_get_one_error(text: str) -> None:
    @virtual
    async def main() -> None:
        peer = Peer({"DataTransfer": echo})
        answer = await peer.say(text)
        assert answer is not None and answer[0] == 4 and len(answer) == 5
        assert answer[2] in ("FormationViolation", "ProtocolError")
        assert await all_heard(peer) == []
        assert not peer.task.done()

    main()


@pytest.mark.parametrize("size", [0, 1, 2, 3, 5, 6, 40])
def test_a_call_has_four_elements(size: int) -> None:
    @virtual
    async def main() -> None:
        peer = Peer({"DataTransfer": echo})
        frame = [2, "id-7", "DataTransfer", {"vendorId": "v"}, *range(40)][:size]
        answer = await peer.say(json.dumps(frame))
        assert answer is not None
        assert answer[:3] == [4, "id-7" if size > 1 else "-1", "FormationViolation"]

    main()


@pytest.mark.parametrize("unique_id", [7, None, True, ["a"], {"a": 1}, "x" * 37, 1.5])
def test_a_unique_id_is_a_text_of_36_characters(unique_id: object) -> None:
    @virtual
    async def main() -> None:
        peer = Peer({"DataTransfer": echo})
        answer = await peer.say(call(unique_id))
        assert answer is not None
        assert answer[1:3] == [unique_id[:36] if isinstance(unique_id, str) else "-1", "FormationViolation"]

    main()


@virtual
async def test_minus_one_and_nothing_are_ids_like_others() -> None:
    peer = Peer({"DataTransfer": echo})
    for unique_id in ("-1", "", "é" * 36):
        assert (await peer.say(call(unique_id)) or [])[:2] == [3, unique_id]


# -- repetition ---------------------------------------------------------------------------------------------------


class Counting:
    """A handler that numbers its answers; waits for ``gate`` when it is closed."""

    def __init__(self, size: int = 0) -> None:
        self.done = 0
        self.size = size
        self.gate = asyncio.Event()
        self.gate.set()

    async def __call__(self, payload: Payload) -> Reply:
        await self.gate.wait()
        self.done += 1
        return Reply({"status": "Accepted", "data": f"{self.done}{'x' * self.size}"})


@virtual
async def test_a_repeated_request_gets_the_same_answer_and_is_done_once() -> None:
    handler = Counting()
    peer = Peer({"DataTransfer": handler})
    answers = [await peer.say(call("a")) for _ in range(3)]
    assert answers == [[3, "a", {"status": "Accepted", "data": "1"}]] * 3
    assert handler.done == 1
    logged = [(row.type, json.loads(row.payload)) for row in peer.log.last(9) if row.direction == "sent"]
    assert logged == [("result", {"status": "Accepted", "data": "1"})] * 3


@virtual
async def test_a_repetition_while_the_first_is_being_done_adds_nothing() -> None:
    handler = Counting()
    peer = Peer({"DataTransfer": handler})
    handler.gate.clear()
    for _ in range(5):
        assert await peer.say(call("a")) is None
    handler.gate.set()
    assert await all_heard(peer) == [[3, "a", {"status": "Accepted", "data": "1"}]]
    assert handler.done == 1


@virtual
async def test_a_refusal_is_repeated_too() -> None:
    done = 0

    async def refuse(payload: Payload) -> Reply:
        nonlocal done
        done += 1
        raise CallError("InternalError", f"number {done}")

    peer = Peer({"DataTransfer": refuse})
    answers = [await peer.say(call("a")) for _ in range(2)]
    assert answers == [[4, "a", "InternalError", "number 1", {}]] * 2
    assert [row.type for row in peer.log.last(9) if row.direction == "sent"] == ["error", "error"]


@virtual
async def test_the_same_id_with_something_else_in_it_is_a_request_of_its_own() -> None:
    handler = Counting()
    peer = Peer({"DataTransfer": handler})
    for number in range(1, 4):
        answer = await peer.say(call("1", payload={"vendorId": "v", "data": str(number)}))
        assert answer is not None and answer[2]["data"] == str(number)


@virtual
async def test_a_peer_that_counts_its_ids_anew_is_served_after_a_minute() -> None:
    handler = Counting()
    peer = Peer({"DataTransfer": handler})
    await peer.say(call("1"))
    await asyncio.sleep(59)
    await peer.say(call("1"))
    assert handler.done == 1
    await asyncio.sleep(2)
    await peer.say(call("1"))
    assert handler.done == 2


@virtual
async def test_what_is_kept_of_answers_is_bounded() -> None:
    handler = Counting()
    peer = Peer({"DataTransfer": handler})
    for number in range(ANSWERS_MAX + 1):
        await peer.say(call(f"n{number}"))
    assert len(peer.engine._recent) == ANSWERS_MAX
    await peer.say(call("n0"))  # forgotten: done again
    assert handler.done == ANSWERS_MAX + 2
    big = Counting(size=ANSWER_MAX)
    peer = Peer({"DataTransfer": big})
    for _ in range(2):
        await peer.say(call("a"))
    assert big.done == 2
    assert len(peer.engine._recent) == 0


# -- answers ------------------------------------------------------------------------------------------------------


@virtual
async def test_a_flood_of_answers_that_nobody_asked_for_changes_nothing() -> None:
    peer = Peer({"DataTransfer": echo})
    for number in range(5000):
        await peer.far.send(json.dumps([3 + number % 2, f"x{number}", {}, "", {}]))
    assert await all_heard(peer) == []
    assert len(peer.log.last(100_000)) <= 500
    assert (await peer.say(call("a")) or [])[0] == 3


@pytest.mark.parametrize(
    "rest",
    [
        [], [None], ["GenericError"], ["GenericError", "text"], ["X" * 5000, "y" * 5000, {"a": "z" * 5000}], [7, 8, 9],
        [{}, [], None], ["", "", "", "", ""], ["InternalError", None, []],
    ],
)
def test_a_callerror_of_any_shape_ends_the_call_it_belongs_to(rest: list[Any]) -> None:
    @virtual
    async def main() -> None:
        peer = Peer()
        asking = asyncio.ensure_future(peer.engine.call("Heartbeat", {}))
        frame = await peer.hear()
        assert frame is not None
        assert await peer.say(json.dumps([4, frame[1], *rest])) is None
        with pytest.raises(CallError) as error:
            await asking
        assert len(error.value.code) <= 64 and len(error.value.description) <= 255
        assert not peer.task.done()

    main()


@pytest.mark.parametrize("rest", [[], [None], [[]], ["text"], [7], [{}], [{"currentTime": 5}]])
def test_a_callresult_of_a_wrong_shape_is_an_error_for_the_caller(rest: list[Any]) -> None:
    @virtual
    async def main() -> None:
        peer = Peer()
        asking = asyncio.ensure_future(peer.engine.call("Heartbeat", {}))
        frame = await peer.hear()
        assert frame is not None
        assert await peer.say(json.dumps([3, frame[1], *rest])) is None
        with pytest.raises(CallError, match="answer of the CSMS is not valid"):
            await asking

    main()


@virtual
async def test_an_answer_after_its_time_is_for_nobody() -> None:
    peer = Peer(timeout_s=2)
    asking = asyncio.ensure_future(peer.engine.call("Heartbeat", {}))
    frame = await peer.hear()
    with pytest.raises(CallTimeout):
        await asking
    assert frame is not None
    assert await peer.say(json.dumps([3, frame[1], {"currentTime": "2026-01-01T00:00:00Z"}])) is None
    again = asyncio.ensure_future(peer.engine.call("Heartbeat", {}))
    frame = await peer.hear()
    assert frame is not None
    await peer.say(json.dumps([3, frame[1], {"currentTime": "2026-01-01T00:00:00Z"}]))
    assert (await again)["currentTime"] == "2026-01-01T00:00:00Z"


@virtual
async def test_nothing_grows_over_ten_thousand_requests_of_every_kind() -> None:
    peer = Peer({"DataTransfer": echo, "Reset": echo})
    peer.engine._lane = lambda action, payload: f"{action} {payload.get('vendorId')}"
    for number in range(10_000):
        kind = number % 5
        if kind < 3:
            await peer.far.send(call(f"i{number}", payload={"vendorId": f"v{number}"}))
        elif kind == 3:
            await peer.far.send(call(f"i{number}", "NoSuchAction"))
        else:
            await peer.far.send(json.dumps([3, f"i{number}", {}]))
        if number % 50 == 0:
            await all_heard(peer)
    await all_heard(peer)
    engine = peer.engine
    sizes = (len(engine._queues), len(engine._tasks), engine._waiting, engine._pending)
    assert sizes == (0, 0, 0, None)
    assert len(engine._recent) <= engine_module.ANSWERS_MAX
    assert not peer.task.done()
