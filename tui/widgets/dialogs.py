"""Modal dialogs drawn as cells: confirm, line prompt (also masked), form and text. No mouse, no stock widgets.

A dialog takes every key; Esc always cancels. The real cursor stands where the next character goes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, Generic, TypeVar

import msgspec
from rich.cells import cell_len
from textual.app import ComposeResult
from textual.events import Key
from textual.screen import ModalScreen

from tui.app_base import ScreenApp
from tui.widgets.frame import Frame, FrameView

T = TypeVar("T")

TEXT_MAX: Final = 64
"""Characters that a field takes; more are ignored."""
NARROW: Final = 11
"""Characters of a field for numbers and short words; a longer one is a text over the whole width."""


def box(title: str, width: int, height: int, *, ascii_only: bool) -> Frame:
    """Return a frame with a single-line border and a title."""
    frame = Frame(width, height)
    h, v = ("-", "|") if ascii_only else ("─", "│")
    corners = "++++" if ascii_only else "┌┐└┘"
    frame.put(0, 0, corners[0] + h * (width - 2) + corners[1])
    for y in range(1, height - 1):
        frame.put(0, y, v)
        frame.put(width - 1, y, v)
    frame.put(0, height - 1, corners[2] + h * (width - 2) + corners[3])
    frame.put(2, 0, f" {title} ", "title", limit=width - 4)
    return frame


class CellDialog(ModalScreen[T], Generic[T], inherit_bindings=False):
    """A box of cells in the middle of the screen (or the bottom line). Subclasses draw and take keys."""

    DEFAULT_CSS = """
    CellDialog { align: center middle; background: transparent; }
    CellDialog FrameView { width: 60; height: 10; }
    """

    takes_all_keys = True

    def __init__(self) -> None:
        super().__init__()
        self.view: FrameView | None = None
        self._answered = False

    @property
    def cell_app(self) -> ScreenApp:
        """The app, typed."""
        assert isinstance(self.app, ScreenApp)
        return self.app

    def compose(self) -> ComposeResult:
        """One widget."""
        self.view = FrameView(self.cell_app.role_styles)
        yield self.view

    def on_mount(self) -> None:
        """Draw for the first time."""
        self.redraw()

    def on_resize(self) -> None:
        """The parked cursor moves with the box."""
        self.call_after_refresh(self._park)

    def _park(self) -> None:
        if self.view is not None:
            self.view.park()

    def redraw(self) -> None:
        """Draw again; the box follows the size of the frame."""
        if self.view is None:
            return
        frame = self.draw(min(self.app.size.width, 100))
        size = (frame.width, frame.height)
        if size != (self.view.frame.width, self.view.frame.height):
            self.view.styles.width, self.view.styles.height = size
            self.call_after_refresh(self._park)
        self.view.show(frame)

    def draw(self, width: int) -> Frame:
        """Return the box; at most ``width`` columns."""
        raise NotImplementedError

    def typed(self, key: str, character: str | None) -> None:
        """Take a key; ``character`` is set for printable ones."""
        raise NotImplementedError

    def on_key(self, event: Key) -> None:
        """Every key belongs to the dialog."""
        event.stop()
        event.prevent_default()
        if self._answered:  # typed ahead while the dialog goes: the key belongs to what comes next
            self.app.post_message(Key(event.key, event.character))
            return
        character = event.character if event.is_printable else None
        self.typed(event.key, character)
        if not self._answered:
            self.redraw()

    def answer(self, result: T) -> None:
        """Close with a result, once."""
        if not self._answered:
            self._answered = True
            self.dismiss(result)

    def boxed(self, title: str, width: int, height: int) -> Frame:
        """Return an empty dialog of this terminal."""
        return box(title, width, height, ascii_only=not self.cell_app.profile.glyphs.half_blocks)


class ConfirmDialog(CellDialog[bool]):
    """Verb as title, consequences as lines, focus on Cancel, buttons named by the verb.

    ``type_this`` (severe class): the verb can be chosen only after this text was typed, e.g. the connector's number.
    """

    def __init__(
        self, verb: str, title: str, consequences: Sequence[str], *, type_this: str = "", cli: str = ""
    ) -> None:
        super().__init__()
        self._verb = verb
        self._title = title
        self._lines = tuple(consequences)
        self._type_this = type_this
        self._typed = ""
        self._cli = cli
        self._on_verb = False

    def draw(self, width: int) -> Frame:
        """Title, consequences, the text to type, two buttons."""
        width = min(width, max(50, cell_len(self._title) + 8, *(cell_len(line) + 6 for line in self._lines)))
        probe = Frame(width, 40)
        y = 2
        for line in self._lines:
            y = probe.wrap(3, y, line, width - 6, rows=3)
        height = y + 3 + (2 if self._type_this else 0) + (1 if self._cli else 0)
        frame = self.boxed(self._title, width, height)
        y = 2
        for line in self._lines:
            y = frame.wrap(3, y, line, width - 6, rows=3)
        if self._cli:
            frame.put(3, y, self._cli, "dim", limit=width - 6)
            y += 1
        if self._type_this:
            x = frame.put(3, y + 1, f"Type {self._type_this} to confirm: ", "warn")
            x = frame.put(x, y + 1, self._typed, "value")
            frame.cursor = (x, y + 1)
            y += 2
        y = height - 2
        x = frame.put(3, y, "[ Cancel ]", "" if self._on_verb else "cursor")
        frame.put(x + 2, y, f"[ {self._verb} ]", "cursor" if self._on_verb else "" if self._allowed else "dim")
        if frame.cursor is None or self._on_verb:
            frame.cursor = (x + 4 if self._on_verb else 5, y)
        return frame

    @property
    def _allowed(self) -> bool:
        return self._typed == self._type_this

    def typed(self, key: str, character: str | None) -> None:
        """Tab and arrows choose, Enter does it, Esc cancels."""
        if key == "escape":
            self.answer(False)
        elif key in {"tab", "shift+tab", "left", "right", "up", "down"}:
            self._on_verb = not self._on_verb and self._allowed
        elif key == "enter":
            self.answer(self._on_verb and self._allowed)
        elif key in {"backspace", "ctrl+h"}:
            self._typed, self._on_verb = self._typed[:-1], False
        elif character is not None and self._type_this and len(self._typed) < TEXT_MAX:
            self._typed += character
            self._on_verb = False


class PromptDialog(CellDialog[str | None]):
    """One line for a text: filter, command, PIN (``mask``). Enter answers, Esc gives None."""

    def __init__(
        self,
        label: str,
        value: str = "",
        *,
        mask: str = "",
        accept: Callable[[str], bool] = lambda _: True,
        help_: str = "",
    ) -> None:
        super().__init__()
        self._label = label
        self._value = value
        self._mask = mask
        self._accept = accept
        self._help = help_

    def draw(self, width: int) -> Frame:
        """Label, text, one line of help."""
        width = min(width, 64)
        frame = self.boxed(self._label, width, 5)
        shown = self._mask * len(self._value) if self._mask else self._value
        x = frame.put(2, 2, shown[-(width - 5) :], "value")
        frame.cursor = (x, 2)
        frame.put(2, 3, self._help or "Enter accept   Esc cancel", "dim", limit=width - 4)
        return frame

    def typed(self, key: str, character: str | None) -> None:
        """Edit at the end of the line."""
        if key == "escape":
            self.answer(None)
        elif key == "enter":
            self.answer(self._value)
        elif key in {"backspace", "ctrl+h"}:
            self._value = self._value[:-1]
        elif key == "ctrl+u":
            self._value = ""
        elif character is not None and len(self._value) < TEXT_MAX and self._accept(character):
            self._value += character


class Field(msgspec.Struct, kw_only=True):
    """One field of a form. ``check`` returns an error text or ""."""

    name: str
    label: str
    value: str
    base: str
    unit: str = ""
    note: str = ""  # allowed range, value of the file
    check: Callable[[str], str]
    choices: tuple[str, ...] = ()  # Space switches when set
    error: str = ""
    length: int = NARROW  # characters; see `NARROW`

    @property
    def text(self) -> bool:
        """Return whether letters are only letters here: there is no key U."""
        return self.length > NARROW and not self.choices


class FormDialog(CellDialog[dict[str, str] | None]):
    """A form: changed fields carry ``*`` and the old value; the last button applies when all are valid.

    The answer holds the changed fields. ``fresh`` = something new: it may be applied without a change, every field is
    checked, and all fields are the answer. ``refused`` = why the daemon did not take it the last time.
    """

    def __init__(self, title: str, fields: list[Field], apply: str, *, fresh: bool = False, refused: str = "") -> None:
        super().__init__()
        self._title = title
        self._fields = fields
        self._apply = apply
        self._new = fresh
        self._refused = refused
        self._at = 0
        self._fresh = True

    def draw(self, width: int) -> Frame:
        """Fields, errors under them, Apply and Cancel."""
        width = min(width, 78)
        extra = Frame(width, 4).wrap(0, 0, self._refused, width - 4, rows=3)
        frame = self.boxed(self._title, width, 5 + 2 * len(self._fields) + 1 + extra)
        y = 2
        for index, field in enumerate(self._fields):
            self._draw_field(frame, y, field, here=index == self._at)
            y += 2
        y = frame.wrap(2, y, self._refused, width - 4, "fault", rows=3) + 1
        x = frame.put(2, y, "[ Cancel ]", "cursor" if self._at == len(self._fields) else "")
        here = self._at == len(self._fields) + 1
        frame.put(x + 2, y, f"[ {self._apply} ]", "cursor" if here else "" if self._valid() else "dim")
        if self._at >= len(self._fields):
            frame.cursor = (x + 4 if here else 4, y)
        undo = "^U clear" if self._at < len(self._fields) and self._fields[self._at].text else "U undo"
        hint = f"Up/Down field  {undo}"
        frame.put(x + 16 + len(self._apply), y, hint, "dim", limit=width - x - 18 - len(self._apply))
        return frame

    def _draw_field(self, frame: Frame, y: int, field: Field, *, here: bool) -> None:
        changed, wide = field.value != field.base and not self._new, field.length > NARROW
        room = frame.width - 31 if wide else 12
        shown = field.value if cell_len(field.value) < room else field.value[-(room - 1) :]
        frame.put(2, y, ("*" if changed else " ") + field.label, "title" if here else "", limit=26)
        frame.put(29, y, f"{shown:<12}", "cursor" if here else "value", limit=room)
        if here:
            frame.cursor = (29 + min(room - 1, cell_len(shown)), y)
        was = f"was {field.base or 'empty'}" if changed else ""
        if not wide:
            frame.put(42, y, f"{field.unit}  {was}".rstrip() if was else field.unit, "", limit=frame.width - 44)
            was = ""
        note = field.error or was or field.note
        frame.put(29, y + 1, note, "warn" if field.error else "dim", limit=frame.width - 31)

    def _valid(self) -> bool:
        return not any(f.error for f in self._fields) and (self._new or any(f.value != f.base for f in self._fields))

    def _check(self, field: Field) -> None:
        field.error = field.check(field.value) if self._new or field.value != field.base else ""

    def _leave(self, step: int) -> None:
        """Validate on leaving a field, not per key."""
        if self._at < len(self._fields):
            self._check(self._fields[self._at])
        self._at = (self._at + step) % (len(self._fields) + 2)
        self._fresh = True

    def typed(self, key: str, character: str | None) -> None:
        """Up/Down and Tab move, U undoes a field, Enter goes on or applies."""
        buttons = len(self._fields)
        if key == "escape":
            self.answer(None)
        elif key in {"down", "tab"}:
            self._leave(1)
        elif key in {"up", "shift+tab"}:
            self._leave(-1)
        elif key == "enter":
            self._enter(buttons)
        elif self._at >= buttons and key in {"left", "right"}:
            self._at = buttons + (1 - (self._at - buttons))
        elif self._at < buttons:
            self._edit(self._fields[self._at], key, character)

    def _enter(self, buttons: int) -> None:
        if self._at == buttons:
            self.answer(None)
        elif self._at < buttons:
            self._leave(1 if self._at < buttons - 1 else 2)
        else:
            for field in self._fields:
                self._check(field)
            if self._valid():
                self.answer({f.name: f.value for f in self._fields if self._new or f.value != f.base})

    def _edit(self, field: Field, key: str, character: str | None) -> None:
        if character in {"u", "U"} and not field.text:
            field.value, field.error = field.base, ""
            self._fresh = True
            return
        if field.choices:
            if key in {"space", "left", "right"}:
                step = -1 if key == "left" else 1
                field.value = field.choices[(field.choices.index(field.value) + step) % len(field.choices)]
        elif key == "ctrl+u":
            field.value = ""
        elif key in {"backspace", "ctrl+h"}:
            field.value = field.value[:-1]
        elif character is not None and self._fresh and not field.text:
            field.value = character
        elif character is not None and len(field.value) < field.length:
            field.value += character
        self._fresh = False


class TextDialog(CellDialog[None]):
    """Lines to read (help, details); any of Esc, Enter, q, ? closes, Up/Down scroll."""

    def __init__(self, title: str, lines: Sequence[tuple[str, str]]) -> None:
        super().__init__()
        self._title = title
        self._lines = tuple(lines)
        self._top = 0

    def draw(self, width: int) -> Frame:
        """Two columns: key and text."""
        left = max((cell_len(a) for a, _ in self._lines), default=0)
        width = min(width - 2, max(30, *(left + cell_len(b) + 7 for _, b in self._lines)))
        rows = min(len(self._lines), max(3, self.app.size.height - 6))
        self._top = max(0, min(self._top, len(self._lines) - rows))
        frame = self.boxed(self._title, width, rows + 3)
        for y, (a, b) in enumerate(self._lines[self._top : self._top + rows], start=1):
            frame.put(2, y, a, "title", limit=width - 4)
            frame.put(left + 4, y, b, "", limit=width - left - 6)
        more = f"{self._top + rows}/{len(self._lines)} " if rows < len(self._lines) else ""
        frame.put(2, rows + 1, f"{more}Esc close", "dim")
        frame.cursor = (2, rows + 1)
        return frame

    def typed(self, key: str, character: str | None) -> None:
        """Close or scroll."""
        if key in {"escape", "enter"} or character in {"q", "?"}:
            self.answer(None)
        elif key in {"down", "pagedown"}:
            self._top += 1 if key == "down" else 10
        elif key in {"up", "pageup"}:
            self._top -= 1 if key == "up" else 10
