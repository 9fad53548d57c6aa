"""Fuzzing of the engine: bytes, JSON structures, broken copies of right messages, and calls of ours in between.

Laws, whatever comes: the engine lives; everything that is not an answer gets exactly one answer, an answer never one;
each answer is a well-formed CALLRESULT or CALLERROR with the id that was asked with; a call of ours ends as one of the
things that it may end as; what the engine keeps is bounded.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft6Validator

from evse.lab.vloop import run_virtual
from evse.ocpp.engine import ANSWERS_MAX, CallTimeout, Reply
from evse.ocpp.messages import CallError, Payload, known_actions
from evse.transports.base import WsClosed
from tests._support.examples import examples
from tests.ocpp.test_engine import Peer

CODES = (
    "NotImplemented", "NotSupported", "InternalError", "ProtocolError", "SecurityError", "FormationViolation",
    "PropertyConstraintViolation", "OccurenceConstraintViolation", "TypeConstraintViolation", "GenericError",
)
"""OCPP-J 1.6, 4.2.3."""

ID = {"type": "string", "maxLength": 36}
ANSWER = Draft6Validator({
    "oneOf": [
        {"type": "array", "items": [{"const": 3}, ID, {"type": "object"}], "minItems": 3, "maxItems": 3},
        {
            "type": "array", "minItems": 5, "maxItems": 5,
            "items": [
                {"const": 4}, ID, {"enum": list(CODES)}, {"type": "string", "maxLength": 255}, {"type": "object"},
            ],
        },
    ],
})

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=6) | st.dictionaries(st.text(max_size=8), inner, max_size=5), max_leaves=25,
)
ACTIONS = st.sampled_from([*sorted(known_actions()), "heartbeat", "Nonsense", ""])
IDS = st.sampled_from(["a", "b", "-1", "", "é", "x" * 36, "x" * 37]) | st.text(max_size=40)

RIGHT = st.sampled_from([
    [2, "r1", "DataTransfer", {"vendorId": "v", "messageId": "m", "data": "d"}],
    [2, "r2", "Reset", {"type": "Soft"}],
    [2, "r3", "ChangeAvailability", {"connectorId": 1, "type": "Operative"}],
    [2, "r4", "TriggerMessage", {"requestedMessage": "Heartbeat"}],
    [2, "r5", "SetChargingProfile", {"connectorId": 1, "csChargingProfiles": {
        "chargingProfileId": 1, "stackLevel": 0, "chargingProfilePurpose": "TxDefaultProfile",
        "chargingProfileKind": "Absolute",
        "chargingSchedule": {"chargingRateUnit": "A", "chargingSchedulePeriod": [{"startPeriod": 0, "limit": 16.0}]},
    }}],
    [3, "r6", {"currentTime": "2026-01-01T00:00:00Z"}],
    [4, "r7", "GenericError", "text", {}],
])


def paths(value: Any, here: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Return the place of every part of a structure."""
    found = [here]
    inner = enumerate(value) if isinstance(value, list) else value.items() if isinstance(value, dict) else ()
    for key, part in inner:
        found += paths(part, (*here, key))
    return found


@st.composite
def broken_frames(draw: st.DrawFn) -> str:
    """A right message in which one to three parts are replaced, dropped or doubled."""
    frame: Any = json.loads(json.dumps(draw(RIGHT)))
    for _ in range(draw(st.integers(1, 3))):
        places = [place for place in paths(frame) if place]
        if not places:
            break
        place = draw(st.sampled_from(places))
        target = frame
        for key in place[:-1]:
            target = target[key]
        match draw(st.integers(0, 2)):
            case 0:
                target[place[-1]] = draw(JSON)
            case 1:
                del target[place[-1]]
            case _ if isinstance(target, list):
                target.insert(place[-1], target[place[-1]])
            case _:
                target[draw(st.text(max_size=8))] = target[place[-1]]
    return json.dumps(frame)


@st.composite
def broken_texts(draw: st.DrawFn) -> str:
    """The bytes of a right message with some changed, put in or taken out, as a peer's text."""
    data = bytearray(json.dumps(draw(RIGHT)).encode())
    for _ in range(draw(st.integers(1, 6))):
        at = draw(st.integers(0, max(0, len(data) - 1)))
        match draw(st.integers(0, 2)):
            case 0:
                data[at:at + 1] = bytes([draw(st.integers(0, 255))])
            case 1:
                data[at:at] = draw(st.binary(max_size=5))
            case _:
                del data[at:at + draw(st.integers(1, 9))]
    return data.decode("utf-8", "replace")


TEXTS = st.one_of(
    st.text(max_size=100), st.binary(max_size=100).map(lambda data: data.decode("latin-1")), JSON.map(json.dumps),
    st.tuples(st.sampled_from([2, 2, 2, 3, 4, 5, 0, -1, 2.0, "2", True]), IDS | JSON, ACTIONS | JSON, JSON).map(json.dumps),
    broken_frames(), broken_texts(),
)


class Handlers(dict[str, Any]):
    """One handler for every action that exists: some answer, one refuses, one is broken."""

    def __init__(self) -> None:
        async def fine(payload: Payload) -> Reply:
            return Reply({"status": "Accepted"})

        async def refuses(payload: Payload) -> Reply:
            raise CallError("SecurityError", "no" * 400, {"why": payload})

        async def broken(payload: Payload) -> Reply:
            raise KeyError("a bug")

        async def slow(payload: Payload) -> Reply:
            await asyncio.sleep(0.003)
            return Reply({"status": "Accepted"})

        kinds = (fine, fine, slow, refuses, broken)
        super().__init__({name: kinds[index % 5] for index, name in enumerate(sorted(known_actions())) if index % 7})


def parsed(text: str) -> Any:
    """What a strict reader makes of a text, None when it is no JSON."""
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return None


def is_answer(frame: Any) -> bool:
    return isinstance(frame, list) and bool(frame) and type(frame[0]) is int and frame[0] in (3, 4)


async def heard(peer: Peer) -> list[Any]:
    """Everything the engine has said since the last look, each checked."""
    found = []
    while (frame := await peer.hear()) is not None:
        if frame[0] != 2:
            ANSWER.validate(frame)
        found.append(frame)
    return found


@settings(max_examples=examples(400), deadline=None)
@given(st.lists(TEXTS, max_size=8))
def test_one_answer_for_everything_that_is_none(texts: list[str]) -> None:
    async def main() -> None:
        peer = Peer(Handlers())
        for text in texts:
            frame = parsed(text)
            await peer.far.send(text)
            answers = await heard(peer)
            assert len(answers) == (0 if is_answer(frame) else 1), text
            if answers and isinstance(frame, list) and len(frame) > 1 and type(frame[0]) is int:
                asked = frame[1] if isinstance(frame[1], str) else "-1"
                assert answers[0][1] == asked[:36]
        assert not peer.task.done()
        assert len(peer.engine._recent) <= ANSWERS_MAX
        assert (len(peer.engine._queues), peer.engine._waiting) == (0, 0)

    run_virtual(main())


@settings(max_examples=examples(200), deadline=None)
@given(st.lists(TEXTS, min_size=1, max_size=12))
def test_all_at_once_are_answered_too(texts: list[str]) -> None:
    """Without waiting in between: requests overlap, repeat and queue. A repetition may share the answer of the first."""

    async def main() -> None:
        peer = Peer(Handlers())
        for text in texts:
            await peer.far.send(text)
        answers = await heard(peer)
        frames = [parsed(text) for text in texts]
        asked = [frame for frame in frames if not is_answer(frame)]
        repeats = len(texts) - len(set(texts))
        assert len(asked) - repeats <= len(answers) <= len(asked)
        assert not peer.task.done()

    run_virtual(main())


ENDS = st.one_of(
    JSON.map(lambda value: [3, "{id}", value]), st.lists(JSON, max_size=4).map(lambda rest: [3, "{id}", *rest]),
    st.lists(JSON, max_size=4).map(lambda rest: [4, "{id}", *rest]), st.just([3, "{id}", {"currentTime": "x"}]),
    st.tuples(st.just(4), st.just("{id}"), st.text(max_size=300), st.text(max_size=600), JSON).map(list),
)


@settings(max_examples=examples(300), deadline=None)
@given(st.lists(TEXTS, max_size=4), ENDS)
def test_a_call_of_ours_ends_as_it_may_whatever_comes_in_between(noise: list[str], end: list[Any]) -> None:
    async def main() -> None:
        peer = Peer(Handlers(), timeout_s=5)
        asking = asyncio.ensure_future(peer.engine.call("Heartbeat", {}))
        request = await peer.hear()
        assert request is not None and request[0] == 2
        for text in noise:
            await peer.far.send(text)
        await heard(peer)
        assert not asking.done()
        await peer.far.send(json.dumps(end).replace('"{id}"', json.dumps(request[1])))
        try:
            answer = await asking
        except CallError as error:
            assert len(error.code) <= 64 and len(error.description) <= 255 and isinstance(error.details, dict)
        except CallTimeout:
            assert parsed(json.dumps(end)) is None  # what no reader understands answers nothing
        else:
            assert end[0] == 3 and isinstance(answer["currentTime"], str)
        again = asyncio.ensure_future(peer.engine.call("Heartbeat", {}))
        await heard(peer)
        peer.far.end(clean=False, detail="the end")
        (result,) = await asyncio.gather(again, return_exceptions=True)
        assert isinstance(result, WsClosed)
        await asyncio.gather(peer.task, return_exceptions=True)

    run_virtual(main())
