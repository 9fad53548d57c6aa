"""The kiosk's pages as pure functions: a `KioskModel` and a size in, a `Frame` out."""

from __future__ import annotations

from typing import Final

from evse.domain.faults import FaultRecord
from evse.domain.session import OperationalStatus, SessionPhase
from tui import format as fmt
from tui.kiosk.connector import live, summary
from tui.kiosk.home import home
from tui.kiosk.model import PANES_SMALL, KioskModel, Page, panes, soft_key, station_title
from tui.kiosk.rest import Rest, attract, shifted
from tui.state.store import Link
from tui.widgets.digits import big_rows
from tui.widgets.frame import Frame
from tui.words import all_faults, energy_flows, state_key

MIN_WIDTH: Final = 80
MIN_HEIGHT: Final = 24
WIDE: Final = 120
"""From this width on four keys have room for their words."""
OUT_AFTER_S: Final = 30
"""The daemon may be silent for so long before the public sees the out-of-service page."""


def paint(model: KioskModel, width: int, height: int) -> Frame:
    """Return the page that the model asks for; the out-of-service page wins over everything.

    Pages that fill the screen move sideways only, their outer columns are blank; the invitation moves both ways.
    """
    columns, rows = model.shift
    frame = Frame(width, height)
    if (available := _invites(model)) and model.status is not None and width >= MIN_WIDTH and height >= MIN_HEIGHT:
        title = station_title(model.tr, model.status)
        attract(frame, model.tr, model.glyphs, model.status, fmt.clock(model.now or None), available, title)
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
                summary(frame, model, view, record)
            else:
                live(frame, model, view)
        else:
            home(frame, model, status)
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
    x = frame.put(1, 0, station_title(tr, status), "head")
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
        if panes(len(evses), frame.height):
            short = len(evses) > PANES_SMALL and frame.width < WIDE
            for number, view in enumerate(evses, start=1):
                x = soft_key(frame, x, y, str(number), "" if short else tr("key.connector", id=view.evse_id))
        else:
            x = soft_key(frame, x, y, "F1", tr("key.next"))
            x = soft_key(frame, x, y, "F2", tr("key.open"))
    elif not out:
        x = soft_key(frame, x, y, "0", tr("key.home"))
    word = tr.language.upper() if model.allow_quit else f"{tr('key.language')} {tr.language.upper()}"
    x = soft_key(frame, x, y, "L", word)
    if model.allow_quit:
        soft_key(frame, x, y, "Q", tr("key.quit"))
    if status is not None and status.support_phone:
        frame.right(frame.width - 1, y, tr("key.support", phone=status.support_phone), "title")


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
