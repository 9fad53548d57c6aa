"""The flight recorder: the last ten minutes of inputs in memory, written out on a fault or on demand.

A trace file is the magic line, a length-prefixed JSON header and zlib chunks. A chunk starts with the encoded core
state, then one record per tick: the instant, the encoded inputs, and the encoded outputs when they differ from those
of the tick before. Neighbouring inputs are nearly equal, so the compressor's window does the delta coding: ten
minutes of two connectors take well under 2 MB.
"""

from __future__ import annotations

import json
import struct
import zlib
from collections import deque
from collections.abc import Iterator
from pathlib import Path

import msgspec

from evse.core.inputs import Inputs
from evse.core.outputs import Outputs
from evse.core.state import StationState
from evse.domain.base import ConfigError
from evse.domain.station import StationSpec
from evse.units import Instant

MAGIC = b"EVSETRACE1\n"
CHUNK_TICKS = 100
CHUNKS_MAX = 120  # 120 * 100 ticks * 50 ms = 10 minutes
RECORD = struct.Struct(">qII")  # instant, length of inputs, length of outputs (0 = as before)

_encode = msgspec.msgpack.Encoder().encode


class TraceStep(msgspec.Struct, frozen=True):
    """One tick of a trace; ``outputs`` as recorded after the gate."""

    now: Instant
    inputs: Inputs
    outputs: Outputs


class Chunk(msgspec.Struct, frozen=True):
    """State before the first step, and up to `CHUNK_TICKS` steps."""

    state: StationState
    steps: tuple[TraceStep, ...]


class Recorder:
    """Bounded ring of compressed chunks; `add` costs about 25 µs."""

    def __init__(self, spec: StationSpec) -> None:
        self._spec = spec
        self._chunks: deque[tuple[int, bytes]] = deque(maxlen=CHUNKS_MAX)  # ticks of a chunk, and the chunk
        self._open = bytearray()
        self._count = 0
        self._last_outputs: Outputs | None = None

    def add(self, state: StationState, now: Instant, inputs: Inputs, outputs: Outputs) -> None:
        """Append one tick. ``state`` is the state *before* the tick."""
        if self._count == 0:
            head = _encode(state)
            self._open += struct.pack(">I", len(head)) + head
            self._last_outputs = None
        body = _encode(inputs)
        if outputs == self._last_outputs:
            self._open += RECORD.pack(now, len(body), 0) + body
        else:
            out = _encode(outputs)
            self._open += RECORD.pack(now, len(body), len(out)) + body + out
            self._last_outputs = outputs
        self._count += 1
        if self._count == CHUNK_TICKS:
            self.cut()

    def cut(self) -> None:
        """End the chunk: the next tick begins one with the state before it, whatever the shell has changed in it."""
        if self._count:
            self._chunks.append((self._count, zlib.compress(bytes(self._open), 1)))
            self._open.clear()
            self._count = 0

    def change_spec(self, spec: StationSpec) -> None:
        """Begin anew with another spec: one file holds ticks of one spec only, else its replay could not be equal."""
        self._spec = spec
        self._chunks.clear()
        self._open.clear()
        self._count = 0

    @property
    def ticks(self) -> int:
        """Ticks held now."""
        return sum(ticks for ticks, _ in self._chunks) + self._count

    def dump(self, path: Path, *, reason: str, version: str) -> int:
        """Write everything held to ``path`` (replaced atomically); return the number of bytes."""
        chunks = [chunk for _, chunk in self._chunks]
        if self._open:
            chunks.append(zlib.compress(bytes(self._open), 1))
        header = json.dumps(
            {
                "version": version,
                "reason": reason,
                "ticks": self.ticks,
                "spec": msgspec.to_builtins(self._spec),
            }
        ).encode()
        data = b"".join(
            [MAGIC, struct.pack(">I", len(header)), header, *(struct.pack(">I", len(c)) + c for c in chunks)]
        )
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_suffix(".part")
        temporary.write_bytes(data)
        temporary.replace(path)
        return len(data)


def read_trace(path: Path) -> tuple[dict[str, object], StationSpec, Iterator[Chunk]]:
    """Open a trace: header, spec and its chunks in order. Raise `ConfigError` for a file that is not a whole trace."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ConfigError([f"{path}: cannot be read: {error.strerror}"]) from error
    if not data.startswith(MAGIC):
        raise ConfigError(
            [f"{path}: not a trace of this program (first bytes {data[:11]!r}); write one with: evsectl trace dump"]
        )
    at = len(MAGIC)
    try:
        (size,) = struct.unpack_from(">I", data, at)
        header = json.loads(data[at + 4 : at + 4 + size])
        spec = msgspec.convert(header["spec"], StationSpec)
    except (struct.error, ValueError, KeyError, msgspec.ValidationError) as error:
        raise ConfigError([f"{path}: damaged header: {error}"]) from error
    return header, spec, _chunks(path, data, at + 4 + size)


def _chunks(path: Path, data: bytes, at: int) -> Iterator[Chunk]:
    while at < len(data):
        try:
            (size,) = struct.unpack_from(">I", data, at)
            raw = zlib.decompress(data[at + 4 : at + 4 + size])
            yield _chunk(raw)
        except (struct.error, zlib.error, msgspec.DecodeError) as error:
            raise ConfigError([f"{path}: damaged at byte {at}: {error}; the part before it was read"]) from error
        at += 4 + size


def _chunk(raw: bytes) -> Chunk:
    (size,) = struct.unpack_from(">I", raw, 0)
    state = msgspec.msgpack.decode(raw[4 : 4 + size], type=StationState)
    at = 4 + size
    steps: list[TraceStep] = []
    outputs: Outputs | None = None
    while at < len(raw):
        now, inputs_size, outputs_size = RECORD.unpack_from(raw, at)
        at += RECORD.size
        inputs = msgspec.msgpack.decode(raw[at : at + inputs_size], type=Inputs)
        at += inputs_size
        if outputs_size:
            outputs = msgspec.msgpack.decode(raw[at : at + outputs_size], type=Outputs)
            at += outputs_size
        if outputs is None:
            raise msgspec.DecodeError("first record of a chunk has no outputs")
        steps.append(TraceStep(now, inputs, outputs))
    return Chunk(state, tuple(steps))
