"""Keys that every carrier lets through, and the bindings made from them.

Allowed: printable characters, arrows, Enter, Esc, Tab, Backspace, Space, paging keys, F1-F4 and a few control keys.
Each F-key and control key has a letter twin. Every binding has an id, so that a keymap can move it.
"""

from __future__ import annotations

from typing import Final

from textual.binding import Binding

CTRL_ALLOWED: Final = frozenset("efgklnortuwxy")
NAMED_ALLOWED: Final = frozenset(
    {"up", "down", "left", "right", "enter", "escape", "tab", "shift+tab", "backspace", "space", "pageup", "pagedown",
     "home", "end", "f1", "f2", "f3", "f4", "question_mark", "colon", "slash", "less_than_sign", "greater_than_sign",
     "exclamation_mark"}
)  # fmt: skip


def bind(id_: str, keys: str, action: str, text: str, *, show: bool = True, display: str | None = None) -> Binding:
    """Return a binding with an id. ``keys`` is comma separated, the first one is shown in the hints."""
    return Binding(keys, action, text, show=show, key_display=display or shown(keys.split(",", 1)[0]), id=id_)


_SHOWN: Final = {
    "question_mark": "?", "colon": ":", "slash": "/", "escape": "Esc", "enter": "Enter", "space": "Space",
    "less_than_sign": "<", "greater_than_sign": ">", "exclamation_mark": "!", "pageup": "PgUp", "pagedown": "PgDn",
    "up": "Up", "down": "Down", "left": "Left", "right": "Right", "tab": "Tab", "shift+tab": "Shift-Tab",
    "backspace": "Bksp", "home": "Home", "end": "End",
}  # fmt: skip


def shown(key: str) -> str:
    """Return the name of a key as hints print it."""
    if key.startswith("ctrl+"):
        return f"^{key[5:].upper()}"
    if len(key) == 2 and key[0] == "f" and key[1].isdigit():
        return key.upper()
    return _SHOWN.get(key, key)


def allowed(key: str) -> bool:
    """Return whether a key reaches us on a VT, a serial line, tmux, screen and ssh."""
    if key.startswith("ctrl+"):
        return key[5:] in CTRL_ALLOWED
    return key in NAMED_ALLOWED or (len(key) == 1 and key.isprintable())


def hint_line(bindings: list[Binding], width: int) -> str:
    """Return the key hints that fit, at most eight, in order: ``?:Help  1..5:Section``."""
    parts: list[str] = []
    used = 0
    for binding in bindings:
        if not binding.show or len(parts) == 8:
            continue
        part = f"{binding.key_display or shown(binding.key)} {binding.description}"
        if used + len(part) + 2 > width:
            break
        parts.append(part)
        used += len(part) + 2
    return "  ".join(parts)
