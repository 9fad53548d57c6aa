"""Section T, Meters: every meter with its health; the chosen one with the values of each phase and its patience."""

from __future__ import annotations

from typing import ClassVar

from textual.binding import BindingType

from evse.api.models import MeterRow, Meters, ProbeRequest, ProbeResult
from tui import format as fmt
from tui.admin.registry import register
from tui.admin.section import SectionScreen, list_bindings
from tui.driver.glyphs import Glyphs
from tui.keymap import bind
from tui.widgets.dialogs import TextDialog
from tui.widgets.frame import Frame
from tui.widgets.parts import rule, section, values
from tui.widgets.table import Column, TableState, put_table

COLUMNS = (
    Column(title="Meter", width=12),
    Column(title="Where", width=8),
    Column(title="Health", width=10),
    Column(title="kW", width=7, right=True),
    Column(title="A", width=6, right=True, priority=2),
    Column(title="V", width=5, right=True, priority=3),
    Column(title="kWh imported", width=12, right=True),
    Column(title="Age s", width=5, right=True, priority=1),
    Column(title="Profile", width=20, priority=4),
    Column(title="Why", width=10, priority=5, grow=True),
)
PHASES = ("L1", "L2", "L3")


@register
class MetersScreen(SectionScreen):
    """List above, the chosen meter below; ``p`` reads every register of it now."""

    SECTION = "meters"
    RELOAD_S = 2
    BINDINGS: ClassVar[list[BindingType]] = [
        bind("meters.probe", "p,enter", "probe", "Read registers"),
        *list_bindings("meters"),
    ]

    def __init__(self) -> None:
        super().__init__()
        self.table = TableState()
        self.meters: Meters | None = None

    async def load(self) -> None:
        """Fetch the values."""
        self.meters = await self.admin.store.call("meter.read")

    def paint(self, frame: Frame) -> None:
        """Paint list and detail."""
        if self.meters is None:
            frame.put(1, 1, "Loading meters ...")
        else:
            paint_meters(frame, self.meters, self.table, self.admin.profile.glyphs)

    def action_move(self, delta: int) -> None:
        """Move the cursor."""
        if self.meters is not None:
            self.table.move(delta, [row.name for row in self.meters.items])
            self.paint_all()

    def action_probe(self) -> None:
        """Read every register of the chosen meter between two polls."""
        if self.meters is None or not self.meters.items:
            return
        self.table.settle([row.name for row in self.meters.items], len(self.meters.items))
        name = self.table.key
        self.busy = f"reading every register of {name} ..."

        async def act() -> None:
            try:
                result: ProbeResult = await self.admin.store.call("meter.probe", ProbeRequest(name=name))
            finally:
                self.busy = ""
            self.admin.push_screen(TextDialog(f"Registers of {name}: {result.detail}", probe_lines(result)))

        self.paint_all()
        self.call_then(act)


def probe_lines(result: ProbeResult) -> list[tuple[str, str]]:
    """One line per quantity: its value, register and raw words, or why it was not read."""
    return [
        (row.quantity, row.error or f"{row.value}  (register {row.address}: {row.raw})") for row in result.registers
    ]


def health(row: MeterRow) -> tuple[str, str]:
    """(word, role): online, online with failed polls, or lost."""
    if not row.online:
        return "[X] lost", "fault"
    if row.polls and row.errors * 20 > row.polls:
        return "[!] poor", "warn"
    return "[OK] good", "ok"


def where(row: MeterRow) -> str:
    """Connector or site."""
    return f"conn {row.evse_id}" if row.evse_id else "site"


def paint_meters(frame: Frame, meters: Meters, table: TableState, glyphs: Glyphs) -> None:
    """Paint the list and the chosen meter."""
    lost = sum(1 for row in meters.items if not row.online)
    frame.put(1, 0, "Meters", "title")
    frame.right(frame.width - 1, 0, f"{len(meters.items)} meters, {lost} lost", "fault" if lost else "value")
    data, marks = [], {}
    for row in meters.items:
        word, role = health(row)
        marks[row.name] = role if role != "ok" else ""
        cells = (
            row.name, where(row), word, fmt.kw(row.power_w), fmt.tenths(row.current_ma), fmt.volt(row.voltage_mv),
            fmt.kwh(row.energy_import_wh), age(row), row.profile, row.detail,
        )  # fmt: skip
        data.append((row.name, cells))
    rows = min(len(data) + 1, max(3, frame.height - 14)) if data else 2
    empty = "No meter is configured: a section [evse.meter] or [site.meter] adds one."
    y = put_table(frame, 0, 1, frame.width, rows, COLUMNS, data, table, glyphs, empty=empty, marks=marks)
    chosen = next((row for row in meters.items if row.name == table.key), None)
    if chosen is not None and frame.height - y > 6:
        rule(frame, y, glyphs)
        _detail(frame, chosen, y + 1, glyphs)


def end_of(text: str, size: int) -> str:
    """The end of a long path says more than its beginning."""
    return text if len(text) <= size else "..." + text[3 - size :]


def age(row: MeterRow) -> str:
    """Seconds since the values were read."""
    return fmt.NONE if row.age_ms is None else f"{row.age_ms / 1000:.1f}"


def seconds(value_ms: int | None) -> str:
    """1500 -> ``1.5`` (s)."""
    return fmt.NONE if value_ms is None else f"{value_ms / 1000:g}"


def _detail(frame: Frame, row: MeterRow, y: int, glyphs: Glyphs) -> None:
    half = frame.width // 2
    word, role = health(row)
    x = frame.put(1, y, f"{row.name}  ", "title")
    x = frame.put(x, y, f"{word}  ", role)
    if row.online:
        frame.put(x, y, row.detail or "answers", "", limit=frame.width - x - 1)
    y += 1
    frequency = fmt.NONE if row.frequency_mhz is None else f"{row.frequency_mhz / 1000:.2f}"
    left = section(frame, 1, y, "Line")
    left = values(
        frame, 1, left, half - 3,
        [
            ("Profile", end_of(row.profile, half - 13)),
            ("Port", end_of(row.port, half - 13)),
            ("Address", str(row.address)),
            ("Polled every s", seconds(row.poll_ms)),
            ("Lost after s", seconds(row.unavailable_ms)),
            ("Age of the values s", age(row)),
            ("Polls / failed", f"{row.polls} / {row.errors}"),
        ],
    )  # fmt: skip
    right = section(frame, half, y, "Values")
    right = values(
        frame, half, right, frame.width - half - 1,
        [
            ("Power kW", fmt.kw(row.power_w)),
            ("Imported kWh", fmt.kwh(row.energy_import_wh)),
            ("Exported kWh", fmt.kwh(row.energy_export_wh)),
            ("Frequency Hz", frequency),
            (f"Temperature {glyphs.degree}C", fmt.celsius(row.temperature_dc)),
        ],
    )  # fmt: skip
    y = max(left, right)
    if row.online:
        _phases(frame, row, y)
    else:
        section(frame, 1, y, "Why there are no values")
        frame.wrap(1, y + 1, row.detail, frame.width - 2, "fault")


def _phases(frame: Frame, row: MeterRow, y: int) -> None:
    """Values of each phase as a small table; a DC meter has one line."""
    frame.put(1, y, "PHASE", "title")
    for index, title in enumerate(("V", "A", "kW")):
        frame.right(16 + index * 9, y, title, "dim")
    three = row.voltage_l_mv or row.current_l_ma or row.power_l_w
    for index, name in enumerate(PHASES if three else ("DC / L1",)):
        y += 1
        volts = row.voltage_l_mv[index] if row.voltage_l_mv else None if three else row.voltage_mv
        amps = row.current_l_ma[index] if row.current_l_ma else None if three else row.current_ma
        watts = row.power_l_w[index] if row.power_l_w else None if three else row.power_w
        frame.put(1, y, name, "dim")
        for column, text in enumerate((fmt.tenths(volts), fmt.tenths(amps), fmt.kw(watts))):
            frame.right(16 + column * 9, y, text, "value")
