"""The planner's own process: ``python -m evse.runtime.thinking_process``, a child of the daemon (`evse.runtime.thinking`).

Questions come on standard input, each answer leaves on standard output, MessagePack behind its length. It knows no device, no
disk and no time, gives way to the control loop (lower priority; where memory is short it goes first), and ends with its input.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from pathlib import Path
from typing import BinaryIO, Final

import msgspec

from evse.planner.questions import Gain, Replan, answer

SIZE_BYTES: Final = 4
"""Length of a message, big endian, before it; both ways."""

LOWER_PRIORITY: Final = 15
"""The unit of the daemon has a nice value of -10 (packaging/systemd/evsed.service)."""


def serve(source: BinaryIO, target: BinaryIO) -> None:
    """Answer until the input ends; a question that cannot be read or answered ends it with the error."""
    decode, encode = msgspec.msgpack.Decoder(Replan | Gain).decode, msgspec.msgpack.Encoder().encode
    while len(head := source.read(SIZE_BYTES)) == SIZE_BYTES:
        body = encode(answer(decode(source.read(int.from_bytes(head, "big")))))
        target.write(len(body).to_bytes(SIZE_BYTES, "big") + body)
        target.flush()


def main() -> int:
    """Serve the daemon that started us."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.nice(LOWER_PRIORITY)
    with contextlib.suppress(OSError):  # the daemon's own protection is not for its children
        Path("/proc/self/oom_score_adj").write_text("0", encoding="ascii")
    serve(sys.stdin.buffer, sys.stdout.buffer)
    return 0


if __name__ == "__main__":
    sys.exit(main())
