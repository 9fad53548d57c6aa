"""The pictures of the README are current and fetch nothing; the document names every key and option."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from textual.binding import Binding

from evsectl.tree import TREE
from tools import render_screens
from tui.admin import registry
from tui.admin.app import AdminApp
from tui.app_base import options
from tui.keymap import shown
from tui.kiosk.app import KioskApp

ROOT = Path(__file__).parent.parent.parent


def test_pictures_are_current_and_self_contained(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "UTC")
    assert render_screens.main(["--check"]) == 0
    for name in render_screens.PICTURES:
        text = (ROOT / "docs" / "img" / name).read_text()
        assert "@font-face" not in text and "url(http" not in text


def test_every_evsectl_line_on_a_screen_is_a_command_of_evsectl() -> None:
    lines = re.findall(
        r"evsectl ([a-z-]+ [a-z-]+(?: [a-z-]+)?)([^\"]*)", "".join(f.read_text() for f in (ROOT / "tui").rglob("*.py"))
    )
    commands = [(name, rest) for name, rest in lines if name.split()[0] in TREE]
    assert len(commands) >= 9
    for words, rest in commands:
        name = words if words in TREE or words.count(" ") == 1 else words.rpartition(" ")[0]
        assert name in TREE, words
        for option in re.findall(r"--[a-z-]+", rest):
            assert option in TREE[name]["options"], f"{name} {option}"


def test_document_names_every_key_and_every_option() -> None:
    text = (ROOT / "docs" / "screens.md").read_text()
    owners: list[type] = [AdminApp, KioskApp, *(registry.screen_for(place.id) for place in registry.places())]
    for owner in owners:
        for binding in owner.BINDINGS:  # type: ignore[attr-defined]
            if isinstance(binding, Binding):
                assert f"`{shown(binding.key.split(',')[0])}`" in text, binding.id
    for action in options("x", "")._actions:
        for flag in action.option_strings:
            if flag.startswith("--") and flag != "--help":
                assert flag in text, flag
