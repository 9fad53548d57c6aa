"""The kiosk's pages as pure functions: a `KioskModel` and a size in, a `Frame` out."""

from __future__ import annotations

import enum
from typing import Final

import msgspec

from evse.api.models import Status
from evse.domain.faults import FaultRecord
from evse.domain.session import OperationalStatus, SessionPhase, SessionRecord
from evse.domain.view import EvseView
from evse.units import WallNs
from tui import format as fmt
from tui.driver.glyphs import Glyphs
from tui.i18n import Translate
from tui.kiosk.rest import Rest, attract, shifted
from tui.state.store import Link
from tui.widgets.digits import ROWS, big_rows, put_big
from tui.widgets.frame import Frame
from tui.widgets.parts import plot, rule, step_bar, step_names, step_number, values
from tui.words import MARKS, all_faults, energy_flows, state_key

MIN_WIDTH: Final = 80
MIN_HEIGHT: Final = 24
OUT_AFTER_S: Final = 30
"""The daemon may be silent for so long before the public sees the out-of-service page."""


class Page(enum.Enum):
    """What the driver looks at."""

    HOME = "home"
    CONNECTOR = "connector"


class KioskModel(msgspec.Struct, kw_only=True):
    """Everything a page needs. ``now`` is the station's wall clock; ``curves`` holds W per EVSE."""

    status: Status | None
    link: Link
    silence_s: int
    age_s: int
    now: WallNs
    tr: Translate
    glyphs: Glyphs
    page: Page = Page.HOME
    evse_id: int = 1
    first: int = 0  # index of the left connector on the home page
    summaries: dict[int, SessionRecord] = {}
    curves: dict[int, list[int | None]] = {}
    allow_quit: bool = False
    homes: dict[int, int] = {}  # module group -> EVSE that it belongs to
    rest: Rest = Rest.AWAKE
    shift: tuple[int, int] = (0, 0)  # columns and rows, against burning in


def paint(model: KioskModel, width: int, height: int) -> Frame:
    """Return the page that the model asks for; the out-of-service page wins over everything.

    Pages that fill the screen move sideways only, their outer columns are blank; the invitation moves both ways.
    """
    columns, rows = model.shift
    frame = Frame(width, height)
    if (available := _invites(model)) and model.status is not None and width >= MIN_WIDTH and height >= MIN_HEIGHT:
        attract(frame, model.tr, model.glyphs, model.status, fmt.clock(model.now or None), available)
        return shifted(frame, columns, rows)
    _page(frame, model, width, height)
    return shifted(frame, columns, 0)


def _invites(model: KioskModel) -> int:
    """Number of free connectors that a resting screen invites to; 0 = it has something else to say."""
    status = model.status
    if model.rest is Rest.AWAKE or status is None or model.link is not Link.LIVE or out_of_service(model) is not None:
        return 0
    return sum(1 for view in status.view.evses if state_key(view) == "idle")


def _page(frame: Frame, model: KioskModel, width: int, height: int) -> None:
    tr = model.tr
    if width < MIN_WIDTH or height < MIN_HEIGHT:
        frame.put(0, 0, tr("home.size", w=MIN_WIDTH, h=MIN_HEIGHT, have_w=width, have_h=height), "warn")
        if width < 40 or height < 12:
            return
    _header(frame, model)
    status = model.status
    if status is None and model.silence_s < OUT_AFTER_S:
        frame.centre(height // 2, tr("home.connecting"), "title")
    elif (reason := out_of_service(model)) is not None:
        _out(frame, model, reason)
    elif status is not None:
        view = next((v for v in status.view.evses if v.evse_id == model.evse_id), None)
        if model.page is Page.CONNECTOR and view is not None:
            record = model.summaries.get(view.evse_id)
            if record is not None and not energy_flows(view):
                _summary(frame, model, view, record)
            else:
                _live(frame, model, view)
        else:
            _home(frame, model, status)
    _footer(frame, model)


def out_of_service(model: KioskModel) -> str | None:
    """Return why the whole station cannot charge (``daemon``, ``closed``, ``fault``), or None."""
    status = model.status
    if model.silence_s >= OUT_AFTER_S and model.link is Link.OFFLINE:
        return "daemon"
    if status is None:
        return None
    if status.view.operational is OperationalStatus.INOPERATIVE and not any(energy_flows(v) for v in status.view.evses):
        return "closed" if not any(f.evse_id == 0 for f in status.view.faults) else "fault"
    if status.view.evses and all(v.phase is SessionPhase.FAULTED for v in status.view.evses):
        return "fault"
    return None


def _header(frame: Frame, model: KioskModel) -> None:
    tr, status = model.tr, model.status
    frame.fill(0, "head")
    x = frame.put(1, 0, tr("title.station"), "head")
    if status is not None:
        frame.put(x + 2, 0, status.station_id, "head", limit=24)
    end = frame.right(frame.width - 1, 0, fmt.clock(model.now or None), "head")
    if model.link is not Link.LIVE:
        word = tr("home.stale", age=model.silence_s)
    elif status is None or not status.ocpp.enabled:
        word = tr("home.backend_off")
    else:
        word = tr("home.backend_up" if status.ocpp.connected else "home.backend_down")
    frame.right(end - 3, 0, word, "head")


def _footer(frame: Frame, model: KioskModel) -> None:
    tr, status, y = model.tr, model.status, frame.height - 1
    x = 1
    evses = status.view.evses if status is not None else ()
    out = out_of_service(model) is not None
    if not out and model.page is Page.HOME:
        for key, view in zip("12", evses[model.first : model.first + 2], strict=False):
            x = _key(frame, x, y, key, tr("key.connector", id=view.evse_id))
        if len(evses) > 2:
            x = _key(frame, x, y, "3", tr("key.other"))
    elif not out:
        x = _key(frame, x, y, "0", tr("key.home"))
    word = tr.language.upper() if model.allow_quit else f"{tr('key.language')} {tr.language.upper()}"
    x = _key(frame, x, y, "L", word)
    if model.allow_quit:
        _key(frame, x, y, "Q", tr("key.quit"))
    if status is not None and status.support_phone:
        frame.right(frame.width - 1, y, tr("key.support", phone=status.support_phone), "title")


def _key(frame: Frame, x: int, y: int, key: str, text: str) -> int:
    x = frame.put(x, y, f" {key} ", "key")
    return frame.put(x + 1, y, text) + 3


# -- home ----------------------------------------------------------------------------------------------------------


def _home(frame: Frame, model: KioskModel, status: Status) -> None:
    glyphs, tr = model.glyphs, model.tr
    views = status.view.evses[model.first : model.first + 2]
    bottom = frame.height - 3
    half = frame.width // 2 if len(views) > 1 else frame.width
    for index, view in enumerate(views):
        _pane(frame, model, view, index * half + (2 if index else 1), 2, half - 3, bottom - 2)
    if len(views) > 1:
        for y in range(2, bottom):
            frame.put(half - 1, y, glyphs.vertical, "dim")
    rule(frame, bottom, glyphs)
    available = sum(1 for v in status.view.evses if state_key(v) == "idle")
    charging = sum(1 for v in status.view.evses if energy_flows(v))
    frame.put(1, bottom + 1, tr("home.hello" if available else "home.busy"), "title")
    frame.right(frame.width - 1, bottom + 1, tr("home.counts", available=available, charging=charging))


def _pane(frame: Frame, model: KioskModel, view: EvseView, x: int, y: int, width: int, height: int) -> None:
    """One connector on the home page."""
    tr, glyphs = model.tr, model.glyphs
    key = state_key(view)
    mark, role = MARKS[key]
    frame.put(x, y, tr("title.connector", id=view.evse_id).upper(), "title")
    frame.right(x + width, y, f"{mark} {tr('phase.' + key)}", role or "value")
    frame.put(x, y + 1, say(model, view), "", limit=width)
    if key in {"faulted", "unavailable"}:
        _fault_pane(frame, model, view, x, y + 3, width)
        return
    scale = 2 if glyphs.half_blocks and width >= 60 and height >= 30 else 1
    row = y + (4 if height >= 30 else 3)
    rows = ROWS * scale
    left, right = _big_values(view)
    if len(left[0]) + len(right[0]) > 8:
        left = (left[0].rsplit(".", 1)[0], *left[1:])  # whole kWh when decimals do not fit beside the power
    end = put_big(frame, x + 1, row, left[0], glyphs, scale=scale)
    frame.put(end + 1, row + rows - 1, left[1], "title")
    wide = len(big_rows(right[0], glyphs, scale=scale)[0])
    start = x + width - wide - len(right[1]) - 2
    put_big(frame, start, row, right[0], glyphs, scale=scale)
    frame.put(start + wide + 1, row + rows - 1, right[1], "title")
    row += rows
    frame.put(x + 1, row, tr("label." + left[2]), "dim")
    frame.right(x + width - 1, row, tr("label." + right[2]), "dim")
    row += 2 if height < 30 else 3
    _steps(frame, model, view, x, row, width)
    row += 3 if height < 30 else 4
    values(frame, x, row, width, _pane_values(model, view))
    if height >= 30:
        _curve(frame, model, view, x, row + 10, width, max(1, y + height - row - 12))


def _big_values(view: EvseView) -> tuple[tuple[str, str, str], tuple[str, str, str]]:
    """Two big numbers: (digits, unit, label key)."""
    power = (fmt.kw(view.power_w), "kW", "power")
    if view.soc_pct is not None:
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


def elapsed_s(view: EvseView, now: WallNs) -> int | None:
    """Seconds of the session so far; of the whole transaction once it ended."""
    record = view.session
    if record is None:
        return None
    return fmt.between(record.started_at or record.plugged_at, record.ended_at or now)


def _demand(view: EvseView) -> str:
    if view.demand_mv is None and view.demand_ma is None:
        return fmt.NONE
    return f"{fmt.with_unit(fmt.volt(view.demand_mv), 'V')} / {fmt.with_unit(fmt.ampere(view.demand_ma), 'A')}"


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
        (tr("label.demand"), _demand(view)),
        (tr("label.temperature"), fmt.with_unit(fmt.celsius(view.temperature_dc), degree)),
        (tr("label.modules"), modules_word(tr, view, model.homes)),
    ]


def modules_word(tr: Translate, view: EvseView, homes: dict[int, int]) -> str:
    """Say whose modules are used. ``homes``: module group -> EVSE that it belongs to; empty = not known yet."""
    if not view.chain:
        return tr("modules.none")
    chain = "+".join(map(str, view.chain))
    owners = {homes.get(group) for group in view.chain}
    if not homes:
        return chain
    if owners == {view.evse_id}:
        return tr("modules.home", chain=chain)
    return tr("modules.shared" if view.evse_id in owners else "modules.other", chain=chain)


def say(model: KioskModel, view: EvseView) -> str:
    """One instruction for the driver."""
    if view.auth_state == "denied" and view.phase in {SessionPhase.WAIT_AUTH, SessionPhase.HLC_SETUP}:
        return model.tr("say.denied")
    return model.tr("say." + state_key(view))


def _fault_pane(frame: Frame, model: KioskModel, view: EvseView, x: int, y: int, width: int) -> None:
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


def _curve(frame: Frame, model: KioskModel, view: EvseView, x: int, y: int, width: int, height: int) -> None:
    points = model.curves.get(view.evse_id) or []
    known = [p for p in points if p is not None]
    if not known or height < 2:
        return
    top = max(known)
    frame.put(x, y, model.tr("label.curve"), "dim")
    frame.right(x + width, y, model.tr("label.curve_range", last=fmt.kw(known[-1]), top=fmt.kw(top)), "dim")
    plot(frame, x, y + 1, width, height, points, model.glyphs, top=max(1, top))


# -- one connector ---------------------------------------------------------------------------------------------------


def _live(frame: Frame, model: KioskModel, view: EvseView) -> None:
    tr, glyphs, width = model.tr, model.glyphs, frame.width
    key = state_key(view)
    mark, role = MARKS[key]
    frame.put(1, 2, tr("title.live", id=view.evse_id), "title")
    frame.right(width - 1, 2, f"{mark} {tr('phase.' + key)}", role or "value")
    frame.put(1, 3, say(model, view))
    if key in {"faulted", "unavailable"}:
        _fault_pane(frame, model, view, 1, 5, width - 2)
        return
    record = view.session
    scale = 2 if glyphs.half_blocks and width >= 120 and frame.height >= 36 else 1
    bigs = (
        (fmt.percent(view.soc_pct), "%", "soc"),
        (fmt.kw(view.power_w), "kW", "power"),
        (fmt.kwh(record.energy_wh if record else None), "kWh", "energy"),
    )
    column = (width - 2) // 3
    for index, (text, unit, label) in enumerate(bigs):
        end = put_big(frame, 1 + index * column, 5, text, glyphs, scale=scale)
        frame.put(end + 1, 4 + ROWS * scale, unit, "title")
        frame.put(1 + index * column, 5 + ROWS * scale, tr("label." + label), "dim")
    y = 7 + ROWS * scale
    frame.put(1, y, tr("home.step", step=step_number(view.step) or fmt.NONE))
    y = step_names(frame, 1, y + 1, width - 2, view.step) + 1
    half = width // 2
    left = values(frame, 1, y, half - 3, _live_left(model, view))
    right = values(frame, half + 1, y, width - half - 2, _live_right(model, view))
    y = max(left, right) + 1
    if frame.height - y - 3 >= 2:
        _curve(frame, model, view, 1, y, width - 2, min(14, frame.height - y - 3))


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
    binding = next((entry for entry in view.limits if entry.binds), None)
    return [
        (tr("label.current"), fmt.with_unit(fmt.ampere(view.current_ma), "A")),
        (tr("label.voltage"), fmt.with_unit(fmt.volt(view.voltage_mv), "V")),
        (tr("label.demand"), _demand(view)),
        (tr("label.offered"), fmt.with_unit(fmt.kw(view.offered_w), "kW")),
        (tr("label.limit"), tr("limit." + binding.source.value) if binding else fmt.NONE),
        (tr("label.modules"), modules_word(tr, view, model.homes)),
    ]


def _summary(frame: Frame, model: KioskModel, view: EvseView, record: SessionRecord) -> None:
    tr, glyphs, width = model.tr, model.glyphs, frame.width
    frame.put(1, 2, tr("title.summary", id=view.evse_id), "title")
    key = state_key(view)
    frame.right(width - 1, 2, f"{MARKS[key][0]} {tr('phase.' + key)}", MARKS[key][1] or "value")
    frame.put(1, 3, say(model, view))
    scale = 2 if glyphs.half_blocks and width >= 120 and frame.height >= 36 else 1
    seconds = fmt.between(record.started_at, record.ended_at)
    long = seconds is not None and seconds >= 3600
    first, second = divmod(seconds // 60 if long else seconds, 60) if seconds is not None else (0, 0)
    took = fmt.NONE if seconds is None else f"{first}:{second:02d}"
    bigs = (
        (fmt.kwh(record.energy_wh), "kWh", "energy"),
        (fmt.percent(record.soc_end_pct), "%", "soc_end"),
        (took, "h:min" if long else "min:s", "duration"),
    )
    column = (width - 2) // 3
    for index, (text, unit, label) in enumerate(bigs):
        end = put_big(frame, 1 + index * column, 5, text, glyphs, scale=scale)
        fits = end + 1 + len(unit) < (1 + (index + 1) * column if index < 2 else width)
        frame.put(end + 1, 4 + ROWS * scale, unit if fits else "", "title")
        words = tr("label." + label) + ("" if fits else f" ({unit})")
        frame.put(1 + index * column, 5 + ROWS * scale, words, "dim")
    y = 8 + ROWS * scale
    half = width // 2
    reason = tr("reason." + record.stop_reason.value) if record.stop_reason else fmt.NONE
    values(
        frame, 1, y, half - 3,
        [
            (tr("label.started"), fmt.stamp(record.started_at)),
            (tr("label.ended"), fmt.stamp(record.ended_at)),
            (tr("label.duration"), fmt.duration(seconds)),
            (tr("label.soc_start"), fmt.with_unit(fmt.percent(record.soc_start_pct), "%")),
            (tr("label.soc_end"), fmt.with_unit(fmt.percent(record.soc_end_pct), "%")),
        ],
    )  # fmt: skip
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
    values(frame, 1, y + 1, width - 2, [(tr("label.reason"), reason)])
    if record.fault:
        code = record.fault.split(" ", 1)[0]
        frame.put(1, y + 2, f"{code} {tr('fault.' + code)}", "fault")


def _out(frame: Frame, model: KioskModel, reason: str) -> None:
    """The whole station is out of service: what, whom to call, code and time; nothing else."""
    tr, status = model.tr, model.status
    y = max(3, frame.height // 2 - 7)
    frame.centre(y, f"[X] {tr('title.out').upper()}", "fault")
    frame.centre(y + 2, tr("out.sorry"), "title")
    frame.centre(y + 3, tr("out." + reason))
    phone = status.support_phone if status is not None else ""
    row = y + 5
    faults: tuple[FaultRecord, ...] = ()
    if status is not None and reason == "fault":
        faults = tuple(all_faults(status.view))
    seen: set[str] = set()
    for record in faults:
        if record.code.value in seen or len(seen) == 2:
            continue
        seen.add(record.code.value)
        digits = big_rows(record.code.value[1:], model.glyphs)
        for dy, text in enumerate(digits):
            frame.centre(row + dy, text, "big")
        frame.centre(row + 3, tr("fault." + record.code.value), "value")
        frame.centre(row + 4, tr("out.code_time", code=record.code.value, time=fmt.clock(record.first_seen)))
        row += 6
    frame.centre(row, tr("out.call", phone=phone) if phone else tr("out.no_phone"), "title")
