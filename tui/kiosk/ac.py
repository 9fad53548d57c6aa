"""The words and figures of an AC connector for drivers: phases, what is offered, cable, current of each phase."""

from __future__ import annotations

from typing import Final

from evse.domain.ac import OFFER_MIN_MA
from evse.domain.view import EvseView
from evse.domain.view_ac import AcView
from tui import format as fmt
from tui.i18n import Translate
from tui.kiosk.model import KioskModel, elapsed_s, limit_word
from tui.widgets.frame import Frame
from tui.widgets.parts import bar
from tui.words import transaction_runs

PHASE_NAMES: Final = ("L1", "L2", "L3")
_HALF_AMP_MA: Final = 500


def phases_word(tr: Translate, ac: AcView) -> str:
    """Phases that the vehicle has or gets next: ``3 phases``; while they are switched ``off, then 1 phase``."""
    if ac.phases_switching and not ac.phases:
        return tr("ac.phases_off", phases=tr(f"ac.phases_{count_phases(ac)}"))
    return tr(f"ac.phases_{count_phases(ac)}")


def count_phases(ac: AcView) -> int:
    """Phases in use, else those of the next session."""
    return max(1, min(3, ac.phases or ac.phases_next or ac.phases_wired))


def kind_word(tr: Translate, view: EvseView) -> str:
    """``AC 3 phases`` or ``DC``."""
    return "DC" if view.ac is None else tr("ac.kind", phases=tr(f"ac.phases_{max(1, min(3, view.ac.phases_wired))}"))


def cable_word(tr: Translate, view: EvseView, ac: AcView) -> str:
    """Rating of the cable, or whose it is."""
    if not ac.socket:
        return tr("ac.attached", amps=fmt.ampere(ac.cable_ma))
    if ac.cable_ma:
        return tr("ac.rated", amps=fmt.ampere(ac.cable_ma))
    return tr("ac.invalid") if view.plugged else tr("ac.own")


def offer_word(tr: Translate, ac: AcView) -> str:
    """``Offered 16 A, 3 phases``."""
    if ac.offered_ma < OFFER_MIN_MA:
        return tr("ac.no_offer")
    return tr("ac.offer", amps=fmt.ampere(ac.offered_ma), phases=tr(f"ac.phases_{count_phases(ac)}"))


def offer_short(view: EvseView) -> str:
    """``16 A`` on AC, ``60.0 kW`` on DC; empty without a transaction."""
    if not transaction_runs(view):
        return ""
    return f"{fmt.ampere(view.ac.offered_ma)} A" if view.ac is not None else f"{fmt.kw(view.offered_w)} kW"


def per_phase(values: tuple[int, int, int] | None, single: int | None, ac: AcView) -> str:
    """Rounded values of the wired phases, ``16 / 16 / 15``; one value when there are no others."""
    if values is None:
        return fmt.NONE if single is None else str(round(single / 1000))
    return " / ".join(str(round(value / 1000)) for value in values[: max(1, min(3, ac.phases_wired))])


def pane_values(model: KioskModel, view: EvseView, ac: AcView) -> list[tuple[str, str]]:
    """Rows of a pane, the most telling ones first."""
    tr, record = model.tr, view.session
    energy = record.energy_wh if record is not None else None
    rows = [
        (tr("label.energy"), fmt.with_unit(fmt.kwh(energy), "kWh")),
        (tr("label.elapsed"), fmt.duration(elapsed_s(view, model.now))),
        (tr("label.phases"), phases_word(tr, ac)),
        (tr("label.current"), fmt.with_unit(per_phase(ac.current_l_ma, view.current_ma, ac), "A")),
        (tr("label.voltage"), fmt.with_unit(per_phase(ac.voltage_l_mv, view.voltage_mv, ac), "V")),
        (tr("label.cable"), cable_word(tr, view, ac)),
        (tr("label.limit"), limit_word(tr, view)),
    ]
    if view.soc_pct is not None:
        rows.append((tr("label.soc"), fmt.with_unit(fmt.percent(view.soc_pct), "%")))
    return rows


def offer_bar(frame: Frame, model: KioskModel, view: EvseView, ac: AcView, x: int, y: int, width: int) -> None:
    """Two rows: what is offered, and a bar of how much of it the vehicle takes."""
    frame.put(x, y, offer_word(model.tr, ac), "", limit=width)
    drawn = max(ac.current_l_ma) if ac.current_l_ma is not None else view.current_ma
    bar(frame, x, y + 1, width, share(drawn, ac.offered_ma), model.glyphs)


def share(drawn_ma: int | None, offered_ma: int) -> int:
    """Permille of the offer that is taken."""
    if drawn_ma is None or offered_ma <= 0 or drawn_ma < _HALF_AMP_MA:
        return 0
    return min(1000, drawn_ma * 1000 // offered_ma)


def phase_bars(frame: Frame, model: KioskModel, view: EvseView, ac: AcView, y: int) -> int:
    """One row per wired phase: name, bar of the offer that is taken, A and V; returns the next row."""
    width = frame.width - 2
    frame.put(1, y, offer_word(model.tr, ac))
    y += 1
    for index in range(max(1, min(3, ac.phases_wired))):
        amps = ac.current_l_ma[index] if ac.current_l_ma is not None else view.current_ma if index == 0 else None
        volts = ac.voltage_l_mv[index] if ac.voltage_l_mv is not None else view.voltage_mv if index == 0 else None
        frame.put(1, y, PHASE_NAMES[index], "title")
        text = f"{fmt.with_unit(fmt.tenths(amps), 'A'):>7}  {fmt.with_unit(fmt.volt(volts), 'V'):>6}"
        frame.right(1 + width, y, text, "value")
        bar(frame, 5, y, width - 5 - len(text) - 1, share(amps, ac.offered_ma), model.glyphs)
        y += 1
    return y


def live_left(model: KioskModel, view: EvseView) -> list[tuple[str, str]]:
    """Left rows of the page of a connector."""
    tr, record = model.tr, view.session
    return [
        (tr("label.started"), fmt.time_of_day(record.started_at or record.plugged_at) if record else fmt.NONE),
        (tr("label.elapsed"), fmt.duration(elapsed_s(view, model.now))),
        (tr("label.identity"), fmt.masked(record.id_token) if record else fmt.NONE),
        (tr("label.source"), tr("source." + record.auth_source.value) if record else fmt.NONE),
    ]


def live_right(model: KioskModel, view: EvseView, ac: AcView) -> list[tuple[str, str]]:
    """Right rows of the page of a connector."""
    tr = model.tr
    soc = (tr("label.soc"), fmt.with_unit(fmt.percent(view.soc_pct), "%"))
    heat = (tr("label.temperature"), fmt.with_unit(fmt.celsius(view.temperature_dc), f"{model.glyphs.degree}C"))
    return [
        (tr("label.phases"), phases_word(tr, ac)),
        (tr("label.cable"), cable_word(tr, view, ac)),
        (tr("label.limit"), limit_word(tr, view)),
        soc if view.soc_pct is not None else heat,
    ]
