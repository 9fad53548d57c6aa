"""Section 2, Connectors: state, allocation and demand of each, and what may be done to them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import ClassVar, Final

import msgspec
from textual.binding import Binding, BindingType

from evse.api.models import AvailabilityRequest, EvseRef, StartRequest, Status, StopRequest
from evse.domain.limits import LimitEntry
from evse.domain.session import OperationalStatus
from evse.domain.view import EvseView
from evse.domain.view_ac import AcView
from evse.units import WallNs
from tui import format as fmt
from tui.admin import connector_acts as acts
from tui.admin.connector_ac import paint_ac, pilot_name
from tui.admin.connector_acts import loses
from tui.admin.connector_dc import paint_dc
from tui.admin.registry import register
from tui.admin.section import SectionScreen, list_bindings
from tui.driver.glyphs import Glyphs
from tui.keymap import bind
from tui.widgets.frame import Frame
from tui.widgets.parts import rule
from tui.widgets.table import Column, TableState, put_table
from tui.words import SERVICE, SOURCES, state, state_word, transaction_runs, waits_for

COLUMNS = (
    Column(title="No", width=3, right=True),
    Column(title="State", width=18),
    Column(title="Type", width=4, priority=1),
    Column(title="Step", width=8, priority=2),
    Column(title="kW", width=6, right=True),
    Column(title="V", width=5, right=True, priority=1),
    Column(title="A", width=4, right=True, priority=1),
    Column(title="Offer", width=6, right=True, priority=1),
    Column(title="SoC%", width=4, right=True),
    Column(title="kWh", width=7, right=True),
    Column(title="Groups", width=8, priority=3),
    Column(title="Waits for / fault", width=10, priority=4, grow=True),
)


STEP: Final = 3
"""Column of the step of the protocol, or of the pilot."""
OF_AC: Final = frozenset({"pause", "hold", "rcd", "phases"})
"""Actions that only AC connectors have."""


@register
class ConnectorsScreen(SectionScreen):
    """List above, detail of the chosen connector below. Capital letters act, always behind a dialog."""

    SECTION = "connectors"
    WRITES = frozenset({"start", "stop", "enable", "disable", "unlock", *OF_AC})
    BINDINGS: ClassVar[list[BindingType]] = [
        bind("connectors.start", "S", "start", "Start"),
        bind("connectors.stop", "X", "stop", "Stop"),
        bind("connectors.enable", "E", "enable", "Enable"),
        bind("connectors.disable", "D", "disable", "Disable"),
        bind("connectors.unlock", "U", "unlock", "Unlock"),
        bind("connectors.pause", "P", "pause", "Pause/allow"),
        bind("connectors.hold", "H", "hold", "Hold"),
        bind("connectors.rcd", "R", "rcd", "RCD test"),
        bind("connectors.phases", "F", "phases", "Phases"),
        bind("connectors.whole", "enter,d", "whole", "Detail", show=False),
        bind("connectors.back", "escape", "back", "Back", show=False),
        bind("connectors.next", "greater_than_sign", "move(1)", "Next", show=False),
        bind("connectors.previous", "less_than_sign", "move(-1)", "Previous", show=False),
        *list_bindings("connectors"),
    ]

    def __init__(self) -> None:
        super().__init__()
        self.table = TableState()
        self.whole = False

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """AC actions are there for AC connectors only."""
        if action in OF_AC:
            view = self.chosen()
            if view is None or view.ac is None:
                return False
        return super().check_action(action, parameters)

    def paint(self, frame: Frame) -> None:
        """Paint from the stream's snapshot alone."""
        status = self.admin.store.status
        if status is None:
            frame.put(1, 1, "Waiting for the daemon.")
            return
        now, glyphs = self.admin.store.station_now(), self.admin.profile.glyphs
        paint_connectors(frame, status, self.table, now, glyphs, whole=self.whole)

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

    def hinted(self) -> list[Binding]:
        """Start or stop, enable or disable: the one that means something now."""
        view = self.chosen()
        if view is None:
            return self.own_bindings()
        needless = {
            "start" if transaction_runs(view) else "stop",
            "enable" if view.operational is OperationalStatus.OPERATIVE else "disable",
        }
        pause = "Pause" if view.ac is None or view.ac.allowed else "Allow"
        own = [b for b in self.own_bindings() if b.action not in needless]
        return [dataclasses.replace(b, description=pause) if b.action == "pause" else b for b in own]

    def action_whole(self) -> None:
        """The detail alone, and back."""
        self.whole = not self.whole
        self.paint_all()

    def action_back(self) -> None:
        """Back to the list."""
        self.whole = False
        self.paint_all()

    def action_start(self) -> None:
        """Authorise and start: severe, the number must be typed."""
        if (view := self.chosen()) is None:
            return
        lines = [
            f"Connector {view.evse_id} is {state_word(view).lower()}.",
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
            [loses(view), "The driver must plug in again to go on."],
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
            ["Drivers can use it again; the CSMS is told.", f"For the back end it is {SERVICE[view.operational_backend]}."],
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
            [loses(view), "No driver can use it until it is enabled; the CSMS is told."],
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
            [loses(view), "The plug can be taken by anybody."],
            lambda: self.admin.store.call("connector.unlock", request),
            done=f"Connector {view.evse_id}: unlock accepted",
            cli=f"evsectl connector unlock {view.evse_id} --accept-risk=stop-charging",
        )

    def action_pause(self) -> None:
        """Pause, or let go on."""
        self._ac(acts.pause_or_allow)

    def action_hold(self) -> None:
        """Unlock until the plug is out, or end that."""
        self._ac(acts.hold_or_lock)

    def action_rcd(self) -> None:
        """Self-test of the residual current monitor."""
        self._ac(acts.test_rcd)

    def action_phases(self) -> None:
        """One phase or three."""
        self._ac(acts.switch_phases)

    def _ac(self, act: Callable[[SectionScreen, EvseView, AcView], None]) -> None:
        view = self.chosen()
        if view is not None and view.ac is not None:
            act(self, view, view.ac)


def type_word(view: EvseView) -> str:
    """``DC``, ``AC3`` or ``AC1``: kind and wired phases."""
    return "DC" if view.ac is None else f"AC{view.ac.phases_wired}"


def _row(view: EvseView) -> tuple[str, ...]:
    ac, record = view.ac, view.session
    trouble = ", ".join(f.code.value for f in view.faults)
    step = pilot_name(ac) if ac is not None else view.step.value if view.step else fmt.NONE
    return (
        str(view.evse_id),
        " ".join([state(view)[0], *(f.code.value for f in view.faults)]),
        type_word(view),
        step,
        fmt.kw(view.power_w),
        fmt.volt(view.voltage_mv),
        fmt.ampere(view.current_ma),
        f"{fmt.ampere(ac.offered_ma)} A" if ac is not None else f"{view.offered_w // 1000} kW",
        fmt.percent(view.soc_pct),
        fmt.kwh(record.energy_wh if record is not None else None),
        "+".join(map(str, view.chain)) or fmt.NONE,
        trouble or waits_for(view),
    )


def _columns(evses: tuple[EvseView, ...]) -> dict[int, Column]:
    """The columns that a station of this kind needs: no module groups without DC, no offer in A without AC."""
    ac, dc = any(view.ac is not None for view in evses), any(view.ac is None for view in evses)
    needless = (set() if ac else {"Type", "Offer"}) | (set() if dc else {"Groups"})
    kept = {index: column for index, column in enumerate(COLUMNS) if column.title not in needless}
    if not dc and ac:
        kept[STEP] = msgspec.structs.replace(COLUMNS[STEP], title="Pilot")
    return kept


def paint_connectors(
    frame: Frame, status: Status, table: TableState, now: WallNs, glyphs: Glyphs, *, whole: bool = False
) -> None:
    """Paint the list and the detail; ``whole`` = the detail alone."""
    evses = status.view.evses
    y = 0
    if whole:
        table.settle([str(view.evse_id) for view in evses], 1)
    else:
        kept = _columns(evses)
        data = [(str(view.evse_id), [cells[i] for i in kept]) for view in evses if (cells := _row(view))]
        marks = {str(view.evse_id): state(view)[1] for view in evses}
        rows = min(len(evses) + 1, max(3, frame.height - 13))
        y = put_table(
            frame, 0, 0, frame.width, rows, list(kept.values()), data, table, glyphs,
            empty="No connector configured", marks=marks,
        )  # fmt: skip
    view = next((v for v in evses if str(v.evse_id) == table.key), None)
    if view is not None and frame.height - y > 6:
        if not whole:
            rule(frame, y, glyphs)
            y += 1
        y = paint_ac(frame, view, view.ac, y, now, glyphs) if view.ac is not None else paint_dc(frame, view, y, now, glyphs)
        paint_limits(frame, view, y)


def paint_limits(frame: Frame, view: EvseView, y: int) -> None:
    """Paint up to two faults and every limit that fits, the binding one first."""
    for fault in view.faults[:2]:
        if y < frame.height - 1:
            text = f"[X] {fault.code.value} since {fmt.time_of_day(fault.first_seen)}: {fault.detail}"
            frame.put(1, y, text, "fault", limit=frame.width - 2)
            y += 1
    room = max(0, frame.height - y)
    shown = view.limits if len(view.limits) <= room else view.limits[: max(0, room - 1)]
    for entry in shown:
        frame.put(1, y, limit_line(entry, amps=view.ac is not None), "value" if entry.binds else "", limit=frame.width - 2)
        y += 1
    if len(shown) < len(view.limits) and y < frame.height:
        frame.put(1, y, f"and {len(view.limits) - len(shown)} limits more: Enter shows the connector alone", "dim")


def limit_line(entry: LimitEntry, *, amps: bool) -> str:
    """One limit: whether it binds, who set it, A per phase (``amps``), kW, age, detail."""
    current = f"{fmt.with_unit(fmt.tenths(entry.current_ma), 'A'):>8}" if amps else ""
    age = "" if not entry.age_s else f", {entry.age_s} s old" if entry.age_s < 100 else f", {fmt.duration(entry.age_s)} old"
    word = "binds" if entry.binds else ""
    return f"{word:<6}{SOURCES[entry.source]:<13}{current}{fmt.kw(entry.power_w):>8} kW{age}  {entry.detail}".rstrip()
