"""The clients' HTTP: whole, byte by byte and damaged answers."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evse.api import http1
from evse.api.client_table import TABLE
from evse.api.openapi import OPENAPI_FILE, outputs
from evse.api.operations import OPERATIONS
from tests._support.examples import examples

BODY = b'{"a": 1}'
PLAIN = b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\n" + BODY
CHUNKS = b"3\r\n" + BODY[:3] + b"\r\n5;x=y\r\n" + BODY[3:] + b"\r\n0\r\n\r\n"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + CHUNKS
TO_THE_END = b"HTTP/1.0 404 Not Found\r\nServer: x\r\n\r\n" + BODY


def read(pieces: list[bytes]) -> tuple[int, bytes, bool]:
    response = http1.Response()
    body = b"".join(response.feed(piece) for piece in pieces)
    return response.status, body, response.done


@pytest.mark.parametrize(("wire", "status"), [(PLAIN, 200), (CHUNKED, 200), (TO_THE_END, 404)])
def test_whole_and_byte_by_byte_agree(wire: bytes, status: int) -> None:
    end = [b""] if wire is TO_THE_END else []
    assert read([wire, *end]) == (status, BODY, True)
    assert read([wire[i : i + 1] for i in range(len(wire))] + end) == (status, BODY, True)
    for cut in range(1, len(wire)):
        assert read([wire[:cut], wire[cut:], *end]) == (status, BODY, True)


@pytest.mark.parametrize("wire", [PLAIN, CHUNKED])
def test_an_answer_that_is_cut_is_an_error(wire: bytes) -> None:
    end = len(wire) if wire is PLAIN else len(wire) - 2  # the last CRLF of a chunked body is not waited for
    for cut in range(1, end):
        with pytest.raises(http1.ProtocolError):
            read([wire[:cut], b""])


@settings(max_examples=examples(200), deadline=None)
@given(
    wire=st.binary(max_size=200)
    | st.binary(max_size=60).map(lambda b: b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b)
    | st.binary(max_size=60).map(lambda b: b"HTTP/1.1 200 OK\r\n" + b + b"\r\n\r\n"),
    cuts=st.lists(st.integers(0, 260), max_size=4),
)
def test_garbage_is_read_or_a_protocol_error(wire: bytes, cuts: list[int]) -> None:
    """Law: any bytes, however cut, give the same answer as whole, or `ProtocolError` and nothing else."""

    def outcome(pieces: list[bytes]) -> object:
        try:
            return read([*pieces, b""])
        except http1.ProtocolError:
            return "error"

    edges = sorted({0, len(wire), *(min(c, len(wire)) for c in cuts)})
    pieces = [wire[a:b] for a, b in itertools.pairwise(edges)]
    assert outcome(pieces) == outcome([wire] if wire else [])


def test_a_head_without_end_is_bounded() -> None:
    response = http1.Response()
    with pytest.raises(http1.ProtocolError, match="head"):
        for _ in range(100):
            response.feed(b"x" * 1000)


def test_a_line_without_end_is_bounded() -> None:
    lines = http1.Lines()
    with pytest.raises(http1.ProtocolError, match="line"):
        for _ in range(100):
            lines.feed(b"x" * 100_000)


@given(st.lists(st.binary(max_size=10), max_size=10))
def test_lines_do_not_depend_on_the_cuts(pieces: list[bytes]) -> None:
    lines = http1.Lines()
    got = [line for piece in pieces for line in lines.feed(piece)]
    whole = b"".join(pieces).split(b"\n")
    assert got == [line for line in whole[:-1] if line.strip()]


def test_a_token_cannot_break_the_header() -> None:
    for token in ("a\r\nX: y", "ä", "a\0"):
        with pytest.raises(ValueError, match="token"):
            http1.request("GET", "/", None, token)


def test_generated_files_are_current() -> None:
    """``python -m evse.api.openapi`` rewrites them."""
    for path, text in outputs().items():
        assert path.read_text(encoding="utf-8") == text, path.name
    assert {op.name: (op.method, op.path, op.stream) for op in OPERATIONS} == TABLE


def test_the_openapi_document_is_whole() -> None:
    """Every reference points somewhere, and the schemas of answers accept what the fake answers."""
    import jsonschema
    import msgspec

    from tests._support.fake_service import FakeStation

    document = json.loads(Path(OPENAPI_FILE).read_text(encoding="utf-8"))
    schemas = document["components"]["schemas"]

    def references(node: object) -> set[str]:
        if isinstance(node, dict):
            own = {node["$ref"]} if "$ref" in node else set()
            return own.union(*(references(v) for v in node.values()))
        return set().union(*(references(v) for v in node)) if isinstance(node, list) else set()

    assert {ref.rpartition("/")[2] for ref in references(document)} <= set(schemas)
    assert len(document["paths"]) == len(OPERATIONS)
    status = msgspec.to_builtins(FakeStation().status())
    schema = {"$ref": "#/components/schemas/Status", "components": {"schemas": schemas}}
    jsonschema.Draft202012Validator(schema).validate(json.loads(msgspec.json.encode(status)))
