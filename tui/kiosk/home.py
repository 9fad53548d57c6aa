"""The home page: up to four connectors as panes, more as a list."""

from __future__ import annotations

from typing import Final

from evse.api.models import Status
from evse.domain.session import SessionPhase
from evse.domain.view import EvseView
from tui import format as fmt
from tui.kiosk import ac
from tui.kiosk.model import PANES_SMALL, KioskModel, demand_word, elapsed_s, modules_word, panes, say
from tui.widgets.digits import ROWS, big_rows, put_big
from tui.widgets.frame import Frame
from tui.widgets.parts import plot, rule, step_bar, step_number, values
from tui.widgets.table import Column, put_table
from tui.words import MARKS, energy_flows, state_key

CURVE_ROWS_MIN: Final = 30
"""From this height on a pane has room for the curve, and for larger digits."""


def home(frame: Frame, model: KioskModel, status: Status) -> None:
    """Paint all connectors and the line that greets."""
    tr, views, bottom = model.tr, status.view.evses, frame.height - 3
    if panes(len(views), frame.height):
        _panes(frame, model, views, bottom)
    else:
        _list(frame, model, views, bottom)
    rule(frame, bottom, model.glyphs)
    available = sum(1 for v in views if state_key(v) == "idle")
    charging = sum(1 for v in views if v.phase is SessionPhase.CHARGING)
    frame.put(1, bottom + 1, tr("home.hello" if available else "home.busy"), "title")
    frame.right(frame.width - 1, bottom + 1, tr("home.counts", available=available, charging=charging))


def _panes(frame: Frame, model: KioskModel, views: tuple[EvseView, ...], bottom: int) -> None:
    half = frame.width // 2 if len(views) > 1 else frame.width
    rows = 1 if len(views) <= PANES_SMALL else 2
    height = (bottom - 2 - (rows - 1)) // rows
    for index, view in enumerate(views):
        column, y = index % 2, 2 + index // 2 * (height + 1)
        _pane(frame, model, view, column * half + (2 if column else 1), y, half - 3, height)
        if len(views) > PANES_SMALL and model.table.key == str(view.evse_id):
            frame.put(column * half + (1 if column else 0), y, model.glyphs.marker, "value")
    if len(views) > 1:
        for y in range(2, bottom):
            frame.put(half - 1, y, model.glyphs.vertical, "dim")
    if rows > 1:
        rule(frame, 2 + height, model.glyphs)


def _list(frame: Frame, model: KioskModel, views: tuple[EvseView, ...], bottom: int) -> None:
    tr = model.tr
    columns = (
        Column(title="", width=2, right=True),
        Column(title=tr("label.state"), width=20),
        Column(title=tr("label.kind"), width=12, priority=1),
        Column(title="kW", width=6, right=True),
        Column(title="kWh", width=7, right=True),
        Column(title=tr("label.elapsed"), width=8, right=True, priority=2),
        Column(title=tr("label.offered"), width=14, right=True, priority=2),
        Column(title=tr("label.hint"), width=37, priority=3),
    )
    data, marks = [], {}
    for view in views:
        key = state_key(view)
        mark, role = MARKS[key]
        marks[str(view.evse_id)] = role
        faults = " ".join(f.code.value for f in view.faults[:2])
        cells = (
            str(view.evse_id),
            f"{mark} {tr('phase.' + key)} {faults if key == 'faulted' else ''}".rstrip(),
            ac.kind_word(tr, view),
            fmt.kw(view.power_w) if energy_flows(view) else "",
            fmt.kwh(view.session.energy_wh) if view.session is not None else "",
            fmt.duration(elapsed_s(view, model.now)) if view.session is not None else "",
            ac.offer_short(view),
            say(model, view),
        )
        data.append((str(view.evse_id), cells))
    put_table(
        frame, 0, 2, frame.width, bottom - 5, columns, data, model.table, model.glyphs, empty=tr("home.connecting"),
        marks=marks,
    )  # fmt: skip
    chosen = next((view for view in views if str(view.evse_id) == model.table.key), None)
    if chosen is not None:
        x = frame.put(1, bottom - 2, tr("title.connector", id=chosen.evse_id), "title")
        frame.put(x + 3, bottom - 2, say(model, chosen))
        if chosen.ac is not None and chosen.plugged:
            frame.put(1, bottom - 1, ac.offer_word(tr, chosen.ac))


def _pane(frame: Frame, model: KioskModel, view: EvseView, x: int, y: int, width: int, height: int) -> None:
    """One connector on the home page."""
    tr, glyphs = model.tr, model.glyphs
    key = state_key(view)
    mark, role = MARKS[key]
    frame.put(x, y, tr("title.connector", id=view.evse_id).upper(), "title")
    frame.right(x + width, y, f"{mark} {tr('phase.' + key)}", role or "value")
    frame.put(x, y + 1, say(model, view), "", limit=width)
    if key in {"faulted", "unavailable"}:
        fault_pane(frame, model, view, x, y + 3, width)
        return
    scale = 2 if glyphs.half_blocks and width >= 60 and height >= CURVE_ROWS_MIN else 1
    row = y + (4 if height >= CURVE_ROWS_MIN else 3)
    tall = ROWS * scale
    left, right = _big_values(view)
    wide = len(big_rows(right[0], glyphs, scale=scale)[0])
    start = x + width - wide - len(right[1]) - 2
    digits = left[0]
    while "." in digits and x + len(big_rows(digits, glyphs, scale=scale)[0]) + len(left[1]) + 3 > start:
        digits = digits[:-1].rstrip(".")  # fewer decimals where they do not fit beside the power
    end = put_big(frame, x + 1, row, digits, glyphs, scale=scale)
    frame.put(end + 1, row + tall - 1, left[1], "title")
    put_big(frame, start, row, right[0], glyphs, scale=scale)
    frame.put(start + wide + 1, row + tall - 1, right[1], "title")
    row += tall
    frame.put(x + 1, row, tr("label." + left[2]), "dim")
    frame.right(x + width - 1, row, tr("label." + right[2]), "dim")
    row += 2 if height < CURVE_ROWS_MIN else 3
    if view.ac is not None:
        ac.offer_bar(frame, model, view, view.ac, x, row, width)
    else:
        _steps(frame, model, view, x, row, width)
    row += 3 if height < CURVE_ROWS_MIN else 4
    rows = ac.pane_values(model, view, view.ac) if view.ac is not None else _pane_values(model, view)
    values(frame, x, row, width, rows[: max(0, y + height - row)])
    if height >= CURVE_ROWS_MIN:
        curve(frame, model, view, x, row + 10, width, max(1, y + height - row - 12))


def _big_values(view: EvseView) -> tuple[tuple[str, str, str], tuple[str, str, str]]:
    """Two big numbers: (digits, unit, label key)."""
    power = (fmt.kw(view.power_w), "kW", "power")
    if view.soc_pct is not None and view.ac is None:
        return (str(view.soc_pct), "%", "soc"), power
    if view.session is None:
        return (str(view.evse_id), "", "number"), power
    energy = view.session.energy_wh
    return (fmt.kwh(energy), "kWh", "energy"), power


def _steps(frame: Frame, model: KioskModel, view: EvseView, x: int, y: int, width: int) -> None:
    number = step_number(view.step)
    frame.put(x, y, model.tr("home.step", step=number or fmt.NONE), "")
    if view.step is not None:
        frame.right(x + width, y, view.step.value, "value")
    step_bar(frame, x, y + 1, width if width < 83 else 82, view.step, model.glyphs)


def _pane_values(model: KioskModel, view: EvseView) -> list[tuple[str, str]]:
    tr, record = model.tr, view.session
    degree = f"{model.glyphs.degree}C"
    energy = record.energy_wh if record is not None else None
    return [
        (tr("label.energy"), fmt.with_unit(fmt.kwh(energy), "kWh")),
        (tr("label.elapsed"), fmt.duration(elapsed_s(view, model.now))),
        (tr("label.current"), fmt.with_unit(fmt.ampere(view.current_ma), "A")),
        (tr("label.voltage"), fmt.with_unit(fmt.volt(view.voltage_mv), "V")),
        (tr("label.soc_start"), fmt.with_unit(fmt.percent(record.soc_start_pct if record else None), "%")),
        (tr("label.demand"), demand_word(view)),
        (tr("label.temperature"), fmt.with_unit(fmt.celsius(view.temperature_dc), degree)),
        (tr("label.modules"), modules_word(tr, view, model.homes)),
    ]


def fault_pane(frame: Frame, model: KioskModel, view: EvseView, x: int, y: int, width: int) -> None:
    """A connector that cannot be used: short text, code, time and the phone; no internals."""
    tr, status = model.tr, model.status
    faults = view.faults or tuple(f for f in (status.view.faults if status is not None else ()) if f.evse_id == 0)
    row = y + 1
    for record in faults[:2]:
        put_big(
            frame, x + 1, row, record.code.value[1:], model.glyphs, "fault" if not model.glyphs.half_blocks else "big"
        )
        below = frame.wrap(x + 14, row, tr("fault." + record.code.value), width - 14, "value", rows=2)
        line = tr("out.code_time", code=record.code.value, time=fmt.clock(record.first_seen))
        frame.put(x + 14, below, line, "", limit=width - 14)
        row += 4
    if status is not None:
        phone = status.support_phone
        frame.put(x + 1, row + 1, tr("out.call", phone=phone) if phone else tr("out.no_phone"), "title", limit=width)


def curve(frame: Frame, model: KioskModel, view: EvseView, x: int, y: int, width: int, height: int) -> None:
    """Paint the power of the session so far."""
    points = model.curves.get(view.evse_id) or []
    known = [p for p in points if p is not None]
    if not known or height < 2:
        return
    top = max(known)
    frame.put(x, y, model.tr("label.curve"), "dim")
    frame.right(x + width, y, model.tr("label.curve_range", last=fmt.kw(known[-1]), top=fmt.kw(top)), "dim")
    plot(frame, x, y + 1, width, height, points, model.glyphs, top=max(1, top))
