"""Section 2, Connectors: state, allocation and demand of each, and what may be done to them."""

from __future__ import annotations

from typing import ClassVar

from textual.binding import BindingType

from evse.api.models import AvailabilityRequest, EvseRef, StartRequest, Status, StopRequest
from evse.domain.view import EvseView
from evse.units import WallNs
from tui import format as fmt
from tui.admin.registry import register
from tui.admin.section import SectionScreen, list_bindings
from tui.driver.glyphs import Glyphs
from tui.keymap import bind
from tui.widgets.frame import Frame
from tui.widgets.parts import rule, step_bar, step_number, values
from tui.widgets.table import Column, TableState, put_table
from tui.words import MARKS, energy_flows, state_key

COLUMNS = (
    Column(title="No", width=3, right=True),
    Column(title="State", width=18),
    Column(title="Step", width=8, priority=2),
    Column(title="kW", width=6, right=True),
    Column(title="V", width=5, right=True, priority=1),
    Column(title="A", width=4, right=True, priority=1),
    Column(title="SoC%", width=4, right=True),
    Column(title="kWh", width=7, right=True),
    Column(title="Groups", width=8, priority=3),
    Column(title="Waits for / fault", width=10, priority=4, grow=True),
)


@register
class ConnectorsScreen(SectionScreen):
    """List above, detail of the chosen connector below. Capital letters act, always behind a dialog."""

    SECTION = "connectors"
    WRITES = frozenset({"start", "stop", "enable", "disable", "unlock"})
    BINDINGS: ClassVar[list[BindingType]] = [
        bind("connectors.start", "S", "start", "Start"),
        bind("connectors.stop", "X", "stop", "Stop"),
        bind("connectors.enable", "E", "enable", "Enable"),
        bind("connectors.disable", "D", "disable", "Disable"),
        bind("connectors.unlock", "U", "unlock", "Unlock"),
        bind("connectors.next", "greater_than_sign", "move(1)", "Next", show=False),
        bind("connectors.previous", "less_than_sign", "move(-1)", "Previous", show=False),
        *list_bindings("connectors"),
    ]

    def __init__(self) -> None:
        super().__init__()
        self.table = TableState()

    def paint(self, frame: Frame) -> None:
        """Paint from the stream's snapshot alone."""
        status = self.admin.store.status
        if status is None:
            frame.put(1, 1, "Waiting for the daemon.")
            return
        paint_connectors(frame, status, self.table, self.admin.store.station_now(), self.admin.profile.glyphs)

    def action_move(self, delta: int) -> None:
        """Move the cursor."""
        status = self.admin.store.status
        if status is not None:
            self.table.move(delta, [str(v.evse_id) for v in status.view.evses])
            self.paint_all()

    def chosen(self) -> EvseView | None:
        """The connector under the cursor."""
        evses = self.admin.store.status.view.evses if self.admin.store.status is not None else ()
        return next((v for v in evses if str(v.evse_id) == self.table.key), evses[0] if evses else None)

    def action_start(self) -> None:
        """Authorise and start: severe, the number must be typed."""
        if (view := self.chosen()) is None:
            return
        lines = [
            f"Connector {view.evse_id} is {state_key(view)}.",
            "The vehicle is authorised without a card and the output is energised."
            if view.plugged
            else "No vehicle is plugged in: the next one to plug in is authorised without a card.",
        ]
        request = StartRequest(evse_id=view.evse_id)
        self.confirm(
            "Start",
            f"Start charging on connector {view.evse_id}",
            lines,
            lambda: self.admin.store.call("connector.start", request),
            done=f"Connector {view.evse_id}: start accepted",
            type_this=str(view.evse_id),
            cli=f"evsectl connector start {view.evse_id} --accept-risk=energise",
        )

    def action_stop(self) -> None:
        """End the session."""
        if (view := self.chosen()) is None:
            return
        request = StopRequest(evse_id=view.evse_id)
        self.confirm(
            "Stop",
            f"Stop session on connector {view.evse_id}",
            [_loses(view), "The driver must plug in again to go on."],
            lambda: self.admin.store.call("connector.stop", request),
            done=f"Connector {view.evse_id}: stop accepted",
            cli=f"evsectl connector stop {view.evse_id} --accept-risk=stop-charging",
        )

    def action_enable(self) -> None:
        """Take into service."""
        if (view := self.chosen()) is None:
            return
        request = AvailabilityRequest(evse_id=view.evse_id)
        self.confirm(
            "Enable",
            f"Take connector {view.evse_id} into service",
            ["Drivers can use it again; the CSMS is told.", f"Back end says {view.operational_backend.value}."],
            lambda: self.admin.store.call("connector.enable", request),
            done=f"Connector {view.evse_id}: in service",
            cli=f"evsectl connector enable {view.evse_id}",
        )

    def action_disable(self) -> None:
        """Take out of service."""
        if (view := self.chosen()) is None:
            return
        request = AvailabilityRequest(evse_id=view.evse_id)
        self.confirm(
            "Disable",
            f"Take connector {view.evse_id} out of service",
            [_loses(view), "No driver can use it until it is enabled; the CSMS is told."],
            lambda: self.admin.store.call("connector.disable", request),
            done=f"Connector {view.evse_id}: out of service",
            cli=f"evsectl connector disable {view.evse_id} --accept-risk=stop-charging",
        )

    def action_unlock(self) -> None:
        """Stop and unlock."""
        if (view := self.chosen()) is None:
            return
        request = EvseRef(evse_id=view.evse_id)
        self.confirm(
            "Unlock",
            f"Unlock connector {view.evse_id}",
            [_loses(view), "The plug can be taken by anybody."],
            lambda: self.admin.store.call("connector.unlock", request),
            done=f"Connector {view.evse_id}: unlock accepted",
            cli=f"evsectl connector unlock {view.evse_id} --accept-risk=stop-charging",
        )


def _loses(view: EvseView) -> str:
    """What a stop costs now."""
    if view.session is None or view.session.ended_at is not None or not energy_flows(view):
        return "No session is running."
    soc = f" at {view.soc_pct} %" if view.soc_pct is not None else ""
    return f"Charging with {fmt.kw(view.power_w)} kW{soc} ends; {fmt.kwh(view.session.energy_wh)} kWh delivered so far."


def paint_connectors(frame: Frame, status: Status, table: TableState, now: WallNs, glyphs: Glyphs) -> None:
    """Paint the list and the detail."""
    evses = status.view.evses
    data: list[tuple[str, tuple[str, ...]]] = []
    marks: dict[str, str] = {}
    for view in evses:
        mark, role = MARKS[state_key(view)]
        marks[str(view.evse_id)] = role
        trouble = ", ".join(f.code.value for f in view.faults) or view.waiting_for
        energy = view.session.energy_wh if view.session is not None else None
        data.append(
            (
                str(view.evse_id),
                (
                    str(view.evse_id),
                    " ".join([mark, state_key(view), *(f.code.value for f in view.faults)]),
                    view.step.value if view.step else "--",
                    fmt.kw(view.power_w),
                    fmt.volt(view.voltage_mv),
                    fmt.ampere(view.current_ma),
                    fmt.percent(view.soc_pct),
                    fmt.kwh(energy),
                    "+".join(map(str, view.chain)) or "--",
                    trouble,
                ),
            )
        )
    rows = min(len(evses) + 1, max(3, frame.height - 16))
    y = put_table(
        frame, 0, 0, frame.width, rows, COLUMNS, data, table, glyphs, empty="No connector configured", marks=marks
    )
    view_ = next((v for v in evses if str(v.evse_id) == table.key), None)
    if view_ is not None and frame.height - y > 6:
        rule(frame, y, glyphs)
        _detail(frame, view_, y + 1, now, glyphs)


def _detail(frame: Frame, view: EvseView, y: int, now: WallNs, glyphs: Glyphs) -> None:
    record, half = view.session, frame.width // 2
    frame.put(1, y, f"Connector {view.evse_id}", "title")
    frame.put(16, y, f"Step {step_number(view.step) or '--'} of 14")
    step_bar(
        frame, 32, y, min(82, frame.width - 33) if frame.width >= 118 else min(42, frame.width - 33), view.step, glyphs
    )
    y += 1
    started = (record.started_at or record.plugged_at) if record else None
    left = [
        ("Authorisation", view.auth_state + (f" ({record.auth_source.value})" if record else "")),
        ("Identity", record.id_token if record and record.id_token else fmt.NONE),
        ("Vehicle", record.evcc_id if record and record.evcc_id else fmt.NONE),
        ("Started / elapsed", f"{fmt.time_of_day(started)} / {fmt.duration(fmt.between(started, now))}"),
        ("SoC start / now %", f"{fmt.percent(record.soc_start_pct if record else None)} / {fmt.percent(view.soc_pct)}"),
        ("Meter start kWh", fmt.kwh(record.meter_start_wh if record else None)),
        ("Transaction", str(record.transaction_id) if record and record.transaction_id is not None else fmt.NONE),
        ("Backend / local", f"{view.operational_backend.value} / {view.operational_local.value}"),
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
        ("Stop reason", view.stop_reason.value if view.stop_reason else fmt.NONE),
        ("Reserved", "yes" if view.reserved else "no"),
    ]
    values(frame, 1, y, half - 3, left)
    y = values(frame, half, y, frame.width - half - 1, right)
    for fault in view.faults[:2]:
        if y < frame.height - 1:
            frame.put(
                1, y, f"[X] {fault.code.value} since {fmt.time_of_day(fault.first_seen)}: {fault.detail}", "fault"
            )
            y += 1
    for entry in view.limits[: max(0, frame.height - y)]:
        age = f", {entry.age_s} s old" if entry.age_s else ""
        word = "binds" if entry.binds else ""
        text = f"{word:<6}{entry.source.value:<12}{fmt.kw(entry.power_w):>8} kW{age}  {entry.detail}"
        frame.put(1, y, text, "value" if entry.binds else "", limit=frame.width - 2)
        y += 1


def _tri(value: bool | None, yes: str, no: str) -> str:
    return fmt.NONE if value is None else yes if value else no
