"""Every ``evsectl NOUN VERB`` that a text names exists: documentation, hints of errors, screens."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from evsectl.tree import TREE

ROOT = Path(__file__).resolve().parent.parent.parent
PLACES = ("docs/*.md", "README.md", "evse/**/*.py", "evsectl/**/*.py", "tui/**/*.py")
COMMAND = re.compile(r"(?:[`:\"'$]\s*)evsectl((?: [a-z][a-z-]*)+)")
"""A command stands behind a colon, a quote, a backtick or a prompt; prose about the program does not."""


def named() -> Iterator[tuple[str, list[str]]]:
    for pattern in PLACES:
        for file in sorted(ROOT.glob(pattern)):
            for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), start=1):
                for found in COMMAND.finditer(line):
                    yield f"{file.relative_to(ROOT)}:{number}", found[1].split()


def test_every_command_that_is_named_exists() -> None:
    wrong, seen = [], 0
    for where, words in named():
        path = ""
        for word in words:
            node = TREE[path]
            if word not in node["commands"]:
                if node["commands"] and path:
                    wrong.append(f"{where}: evsectl {' '.join(words)}")
                break
            path = f"{path} {word}".strip()
            seen += 1
    assert wrong == [] and seen > 100
