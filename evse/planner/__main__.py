"""``python -m evse.planner < problem.json``: read one problem document (kind ac or dc), print its allocation. Exit 9 when it is
invalid."""

from __future__ import annotations

import sys

import msgspec

from evse.domain.base import ConfigError
from evse.planner.document import DOCUMENT_BYTES_MAX, solve_document

EXIT_INVALID = 9


def main() -> int:
    """Read stdin, write stdout; mistakes go to stderr, one per line."""
    try:
        allocation = solve_document(sys.stdin.buffer.read(DOCUMENT_BYTES_MAX + 1))
    except ConfigError as error:
        for line in error.problems:
            sys.stderr.write(f"problem: {line}\n")
        return EXIT_INVALID
    sys.stdout.buffer.write(msgspec.json.encode(allocation) + b"\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
