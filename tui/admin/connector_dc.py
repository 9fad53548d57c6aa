"""The DC detail of the section Connectors: steps of the protocol, demand of the vehicle, module groups."""

from __future__ import annotations

from evse.domain.view import EvseView
from evse.units import WallNs
from tui import format as fmt
from tui.driver.glyphs import Glyphs
from tui.widgets.frame import Frame
from tui.widgets.parts import step_bar, step_number, values
from tui.words import AUTH_SOURCES, REASONS, in_service


def _tri(value: bool | None, yes: str, no: str) -> str:
    return fmt.NONE if value is None else yes if value else no


def paint_dc(frame: Frame, view: EvseView, y: int, now: WallNs, glyphs: Glyphs) -> int:
    """Paint title with the step, and both columns; returns the next row."""
    record, half = view.session, frame.width // 2
    frame.put(1, y, f"Connector {view.evse_id}", "title")
    frame.put(16, y, f"Step {step_number(view.step) or '--'} of 14")
    step_bar(
        frame, 32, y, min(82, frame.width - 33) if frame.width >= 118 else min(42, frame.width - 33), view.step, glyphs
    )
    y += 1
    started = (record.started_at or record.plugged_at) if record else None
    left = [
        ("Authorisation", view.auth_state + (f" ({AUTH_SOURCES[record.auth_source]})" if record else "")),
        ("Identity", record.id_token if record and record.id_token else fmt.NONE),
        ("Vehicle", record.evcc_id if record and record.evcc_id else fmt.NONE),
        ("Started / elapsed", f"{fmt.time_of_day(started)} / {fmt.duration(fmt.between(started, now))}"),
        ("SoC start / now %", f"{fmt.percent(record.soc_start_pct if record else None)} / {fmt.percent(view.soc_pct)}"),
        ("Meter start kWh", fmt.kwh(record.meter_start_wh if record else None)),
        ("Transaction", str(record.transaction_id) if record and record.transaction_id is not None else fmt.NONE),
        ("In service CSMS / local", in_service(view)),
    ]
    right = [
        ("Demand V / A", f"{fmt.volt(view.demand_mv)} / {fmt.ampere(view.demand_ma)}"),
        ("Demand / offered kW", f"{fmt.kw(view.demand_w)} / {fmt.kw(view.offered_w)}"),
        ("BMS stale", "YES" if view.bms_stale else "no"),
        (f"Connector {glyphs.degree}C", fmt.celsius(view.temperature_dc)),
        ("Insulation kohm", str(view.isolation_kohm) if view.isolation_kohm is not None else fmt.NONE),
        (
            "Contactor / lock",
            f"{_tri(view.contactor_closed, 'closed', 'open')} / {_tri(view.locked, 'locked', 'unlocked')}",
        ),
        ("Stop reason", REASONS[view.stop_reason] if view.stop_reason else fmt.NONE),
        ("Reserved", "yes" if view.reserved else "no"),
    ]
    values(frame, 1, y, half - 3, left)
    return values(frame, half, y, frame.width - half - 1, right)
