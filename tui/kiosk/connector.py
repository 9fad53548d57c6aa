"""The pages of one connector: the session that runs, and its summary."""

from __future__ import annotations

from evse.domain.session import SessionRecord
from evse.domain.view import EvseView
from tui import format as fmt
from tui.kiosk import ac
from tui.kiosk.home import curve, fault_pane
from tui.kiosk.model import KioskModel, demand_word, elapsed_s, limit_word, modules_word, say
from tui.widgets.digits import ROWS, put_big
from tui.widgets.frame import Frame
from tui.widgets.parts import step_names, step_number, values
from tui.words import MARKS, state_key

_Big = tuple[str, str, str]
"""Digits, unit, key of the label."""


def live(frame: Frame, model: KioskModel, view: EvseView) -> None:
    """Paint the session that runs, or what the connector waits for."""
    tr, width = model.tr, frame.width
    _title(frame, model, view, tr("title.live", id=view.evse_id))
    if state_key(view) in {"faulted", "unavailable"}:
        fault_pane(frame, model, view, 1, 5, width - 2)
        return
    record = view.session
    power: _Big = (fmt.kw(view.power_w), "kW", "power")
    energy: _Big = (fmt.kwh(record.energy_wh if record else None), "kWh", "energy")
    half = width // 2
    if view.ac is not None:
        offered: _Big = (fmt.ampere(view.ac.offered_ma), "A", "limit_ma")
        y = ac.phase_bars(frame, model, view, view.ac, _bigs(frame, model, (energy, power, offered)) + 1) + 1
        rows = ac.live_left(model, view), ac.live_right(model, view, view.ac)
    else:
        y = _bigs(frame, model, ((fmt.percent(view.soc_pct), "%", "soc"), power, energy)) + 1
        frame.put(1, y, tr("home.step", step=step_number(view.step) or fmt.NONE))
        y = step_names(frame, 1, y + 1, width - 2, view.step) + 1
        rows = _live_left(model, view), _live_right(model, view)
    left = values(frame, 1, y, half - 3, rows[0])
    right = values(frame, half + 1, y, width - half - 2, rows[1])
    y = max(left, right) + 1
    if frame.height - y - 3 >= 2:
        curve(frame, model, view, 1, y, width - 2, min(14, frame.height - y - 3))


def _title(frame: Frame, model: KioskModel, view: EvseView, text: str) -> None:
    key = state_key(view)
    mark, role = MARKS[key]
    frame.put(1, 2, text, "title")
    frame.right(frame.width - 1, 2, f"{mark} {model.tr('phase.' + key)}", role or "value")
    frame.put(1, 3, say(model, view))


def _bigs(frame: Frame, model: KioskModel, bigs: tuple[_Big, ...]) -> int:
    """Paint three big numbers with their labels; returns the next row."""
    glyphs, width = model.glyphs, frame.width
    scale = 2 if glyphs.half_blocks and width >= 120 and frame.height >= 36 else 1
    column, bottom = (width - 2) // 3, 5 + ROWS * scale
    for index, (text, unit, label) in enumerate(bigs):
        x = 1 + index * column
        end = put_big(frame, x, 5, text, glyphs, scale=scale)
        fits = end + 1 + len(unit) < (x + column if index < 2 else width)
        frame.put(end + 1, bottom - 1, unit if fits else "", "title")
        frame.put(x, bottom, model.tr("label." + label) + ("" if fits else f" ({unit})"), "dim")
    return bottom + 1


def _live_left(model: KioskModel, view: EvseView) -> list[tuple[str, str]]:
    tr, record = model.tr, view.session
    return [
        (tr("label.started"), fmt.time_of_day(record.started_at or record.plugged_at) if record else fmt.NONE),
        (tr("label.elapsed"), fmt.duration(elapsed_s(view, model.now))),
        (tr("label.soc_start"), fmt.with_unit(fmt.percent(record.soc_start_pct if record else None), "%")),
        (tr("label.identity"), fmt.masked(record.id_token) if record else fmt.NONE),
        (tr("label.source"), tr("source." + record.auth_source.value) if record else fmt.NONE),
        (tr("label.temperature"), fmt.with_unit(fmt.celsius(view.temperature_dc), f"{model.glyphs.degree}C")),
    ]


def _live_right(model: KioskModel, view: EvseView) -> list[tuple[str, str]]:
    tr = model.tr
    return [
        (tr("label.current"), fmt.with_unit(fmt.ampere(view.current_ma), "A")),
        (tr("label.voltage"), fmt.with_unit(fmt.volt(view.voltage_mv), "V")),
        (tr("label.demand"), demand_word(view)),
        (tr("label.offered"), fmt.with_unit(fmt.kw(view.offered_w), "kW")),
        (tr("label.limit"), limit_word(tr, view)),
        (tr("label.modules"), modules_word(tr, view, model.homes)),
    ]


def summary(frame: Frame, model: KioskModel, view: EvseView, record: SessionRecord) -> None:
    """Paint what was delivered, how long it took, and why it ended. Without a state of charge its rows are not there."""
    tr, width = model.tr, frame.width
    _title(frame, model, view, tr("title.summary", id=view.evse_id))
    seconds = fmt.between(record.started_at, record.ended_at)
    long = seconds is not None and seconds >= 3600
    first, second = divmod(seconds // 60 if long else seconds, 60) if seconds is not None else (0, 0)
    took: _Big = (
        fmt.NONE if seconds is None else f"{first}:{second:02d}",
        "h:min" if long else "min:s",
        "duration",
    )
    energy: _Big = (fmt.kwh(record.energy_wh), "kWh", "energy")
    charge = view.ac is None or record.soc_end_pct is not None
    middle: _Big = (fmt.percent(record.soc_end_pct), "%", "soc_end") if charge else (fmt.kw(record.power_max_w), "kW", "peak")
    y = _bigs(frame, model, (energy, middle, took)) + 2
    half = width // 2
    rows = [
        (tr("label.started"), fmt.stamp(record.started_at)),
        (tr("label.ended"), fmt.stamp(record.ended_at)),
        (tr("label.duration"), fmt.duration(seconds)),
    ]
    if charge:
        rows.append((tr("label.soc_start"), fmt.with_unit(fmt.percent(record.soc_start_pct), "%")))
        rows.append((tr("label.soc_end"), fmt.with_unit(fmt.percent(record.soc_end_pct), "%")))
    else:
        rows.append((tr("label.peak"), fmt.with_unit(fmt.kw(record.power_max_w), "kW")))
    values(frame, 1, y, half - 3, rows)
    y = values(
        frame, half + 1, y, width - half - 2,
        [
            (tr("label.meter_start"), fmt.with_unit(fmt.kwh(record.meter_start_wh), "kWh")),
            (tr("label.meter_stop"), fmt.with_unit(fmt.kwh(record.meter_stop_wh), "kWh")),
            (tr("label.energy"), fmt.with_unit(fmt.kwh(record.energy_wh), "kWh")),
            (tr("label.identity"), fmt.masked(record.id_token)),
            (tr("label.source"), tr("source." + record.auth_source.value)),
        ],
    )  # fmt: skip
    reason = tr("reason." + record.stop_reason.value) if record.stop_reason else fmt.NONE
    values(frame, 1, y + 1, width - 2, [(tr("label.reason"), reason)])
    if record.fault:
        code = record.fault.split(" ", 1)[0]
        frame.put(1, y + 2, f"{code} {tr('fault.' + code)}", "fault")
