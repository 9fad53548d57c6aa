"""Help of every command: there is one, it fits 80 columns, and groups without a command show it on stderr."""

from __future__ import annotations

from pathlib import Path

import pytest

from evsectl.tree import TREE
from tests.cli.support import check_golden, run, show

GROUPS = [path for path, node in TREE.items() if node["commands"]]


def test_help_of_every_command_fits_80_columns(alone: Path) -> None:
    text = ""
    for path in TREE:
        arguments = (*path.split(), "--help")
        result = run(*arguments)
        assert result.code == 0 and not result.err, path
        assert max(map(len, result.text.splitlines())) <= 80, path
        assert "..." not in result.text.replace("[ARGS]...", ""), f"{path}: a summary is too long for the list"
        text += show(arguments, result)
    check_golden("help", text)


@pytest.mark.parametrize("path", GROUPS)
def test_a_group_without_a_command_shows_its_help_on_stderr_and_ends_with_2(path: str, alone: Path) -> None:
    result = run(*path.split())
    assert (result.code, result.out) == (2, b"")
    assert result.err == run(*path.split(), "--help").text


def test_every_option_of_the_tree_is_in_the_help(alone: Path) -> None:
    for path, node in TREE.items():
        shown = run(*path.split(), "--help").text
        hidden = [option for option in node["options"] if option not in shown and option != "--json"]
        assert hidden == [], path
