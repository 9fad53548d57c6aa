"""Section 1, Overview: health, operations, utilisation, system, alerts and the connectors at a glance."""

from __future__ import annotations

from typing import ClassVar, Final

from textual.binding import BindingType

from evse.api.models import Status
from evse.domain.faults import FaultRecord
from evse.domain.session import OperationalStatus, SessionPhase
from evse.domain.view import EvseView
from tui import format as fmt
from tui.admin.registry import register
from tui.admin.section import WIDE, SectionScreen
from tui.driver.glyphs import Glyphs
from tui.keymap import bind
from tui.widgets.frame import Frame
from tui.widgets.parts import rule, section, values
from tui.words import all_faults, plain, state, state_key, waits_for

FEW: Final = 4
"""Up to so many connectors the page keeps its blank lines."""
KINDS: Final = {"rfid": "Card reader", "reader": "Card reader", "io": "In/outputs"}
"""Kinds of links whose names are no words, at most 14 cells."""
ALERT_ROWS: Final = 3
"""Kept for the heading and two alerts."""


@register
class OverviewScreen(SectionScreen):
    """Everything on one page; quick keys lead on."""

    SECTION = "overview"
    BINDINGS: ClassVar[list[BindingType]] = [
        bind("overview.connectors", "c", "go('connectors')", "Connectors"),
        bind("overview.planner", "p", "go('planner')", "Planner"),
        bind("overview.faults", "f", "go('faults')", "Faults"),
        bind("overview.sessions", "s", "go('sessions')", "Sessions"),
    ]

    def action_go(self, place: str) -> None:
        """Quick action."""
        self.admin.action_go(place)

    def paint(self, frame: Frame) -> None:
        """Paint from the stream's snapshot alone."""
        status = self.admin.store.status
        if status is None:
            frame.put(1, 1, "Waiting for the daemon. Is evsed running?")
            return
        paint_overview(frame, status, self.admin.profile.glyphs)


def health(status: Status) -> list[tuple[str, str, str]]:
    """(subject, word, role) per line of the health list."""
    late = status.system.tick.late
    kinds: dict[str, list[bool]] = {}
    for link in status.links:
        kinds.setdefault(link.kind, []).append(link.online)
    rows = [("Controller", "[OK] ACTIVE" if not late else f"[OK] {late} late ticks", "ok")]
    ocpp = status.ocpp
    if not ocpp.enabled:
        rows.append(("CSMS", "[-] OFF", ""))
    elif ocpp.connected:
        good = ocpp.registration == "Accepted"
        word = "[OK] CONNECTED" if good else f"[!] {ocpp.registration or 'not registered'}"
        rows.append(("CSMS", word, "ok" if good else "warn"))
    else:
        rows.append(("CSMS", f"[!] DOWN {ocpp.last_error}", "warn"))
    for kind, online in kinds.items():
        good = all(online)
        name = KINDS.get(kind, plain(kind).capitalize())
        rows.append(
            (name, f"{'[OK]' if good else '[X]'} {sum(online)}/{len(online)} online", "ok" if good else "fault")
        )
    return rows


def _alerts(status: Status, faults: list[FaultRecord]) -> list[tuple[str, str]]:
    """(text, role) of everything that wants a technician's eye."""
    rows: list[tuple[str, str]] = []
    for fault in faults:
        where = f"connector {fault.evse_id}" if fault.evse_id else "station"
        rows.append((f"[X] {fault.code.value} {where}: {fault.detail}", "fault"))
    rows += [(f"[!] {k.name} offline: {k.detail or k.where}", "warn") for k in status.links if not k.online]
    if status.ocpp.queued:
        rows.append((f"[!] {status.ocpp.queued} transaction messages wait for the CSMS", "warn"))
    return rows


def paint_overview(frame: Frame, status: Status, glyphs: Glyphs) -> None:
    """Paint the page: two columns, then alerts, then one line per connector."""
    view, half = status.view, frame.width // 2
    faults = all_faults(view)
    alerts = _alerts(status, faults)
    charging = sum(1 for v in view.evses if v.phase is SessionPhase.CHARGING)
    plugged = sum(1 for v in view.evses if v.plugged)
    requested = sum(v.demand_w or 0 for v in view.evses)
    dc = any(v.ac is None for v in view.evses)
    free = sum(1 for v in view.evses if state_key(v) == "idle")
    paused = sum(1 for v in view.evses if v.phase is SessionPhase.SUSPENDED)
    shared = sum(1 for v in view.evses if len(v.chain) > 1)
    energy = sum(v.session.energy_wh for v in view.evses if v.session is not None and v.session.ended_at is None)
    nominal = not alerts and view.operational is OperationalStatus.OPERATIVE
    y = section(frame, 1, 0, "System health")
    verdict = "ALL NOMINAL" if nominal else f"ALERTS: {len(alerts)}" if alerts else "OUT OF SERVICE"
    frame.right(half - 2, 0, verdict, "ok" if nominal else "fault")
    for name, word, role in health(status):
        frame.put(1, y, name, "dim", limit=14)
        frame.put(16, y, word, role, limit=half - 18)
        y += 1
    right = section(frame, half, 0, "Operations")
    right = values(
        frame, half, right, frame.width - half - 1,
        [
            ("Charging", f"{charging} of {len(view.evses)}"),
            ("Plugged in", str(plugged)),
            ("Shared chains", str(shared)) if dc else ("Paused", str(paused)),
            ("Active faults", str(len(faults))),
            ("Demand kW", fmt.kw(requested)) if dc else ("Free", str(free)),
            ("Assigned kW", fmt.kw(view.assigned_w)),
            ("Site power kW", fmt.kw(view.site_power_w)),
            ("Site limit kW", fmt.kw(view.site_limit_w)),
            ("Live session energy kWh", fmt.kwh(energy)),
        ],
    )  # fmt: skip
    y = max(y, right)
    if len(view.evses) <= FEW:
        y += 1
    if frame.height >= 28 or (frame.width >= WIDE and len(view.evses) <= FEW):
        y = _system(frame, status, y, half)
    y = _fleet(frame, status, y, glyphs)
    section(frame, 1, y, "Alerts")
    if not alerts:
        frame.put(10, y, "none")
    for text, role in alerts[: max(1, frame.height - y - 1)]:
        y += 1
        frame.put(1, y, text, role, limit=frame.width - 2)


def _system(frame: Frame, status: Status, y: int, half: int) -> int:
    system, tick = status.system, status.system.tick
    left = section(frame, 1, y, "System")
    left = values(
        frame, 1, left, half - 3,
        [
            ("Version", system.version + (" (simulated)" if system.simulated else "")),
            ("Up", fmt.duration(system.uptime_s)),
            ("Plan version", str(status.view.plan_version)),
            ("Tick mean us / late", f"{tick.duration_mean_us:.0f} / {tick.late}"),
        ],
    )  # fmt: skip
    right = section(frame, half, y, "Back end and files")
    right = values(
        frame, half, right, frame.width - half - 1,
        [
            ("CSMS", status.ocpp.url or fmt.NONE),
            ("Sent / received / queued", f"{status.ocpp.sent} / {status.ocpp.received} / {status.ocpp.queued}"),
            ("Configuration", system.config_path),
            ("Data", system.data_dir),
        ],
    )  # fmt: skip
    return max(left, right) + 1


def _fleet(frame: Frame, status: Status, y: int, glyphs: Glyphs) -> int:
    """Paint every connector: two rows each when there is room, else one, else two beside each other."""
    rule(frame, y, glyphs)
    y += 1
    views, room, half = status.view.evses, frame.height - y - ALERT_ROWS, frame.width // 2
    if 2 * len(views) <= room:
        for view in views:
            _line(frame, view, y)
            where = f"groups {'+'.join(map(str, view.chain))}" if view.chain else waits_for(view) or _path(view)
            step = view.step.value if view.step else offer(view)
            frame.put(14, y + 1, f"{step}  {where}", "", limit=frame.width - 15)
            y += 2
        return y + 1
    if len(views) <= room:
        for view in views:
            _line(frame, view, y)
            y += 1
        return y
    rows = min((len(views) + 1) // 2, max(1, room))
    for index, view in enumerate(views[: 2 * rows]):
        _half_line(frame, view, 1 + index // rows * half, y + index % rows, half - 2)
    y += rows
    if len(views) > 2 * rows:
        frame.put(1, y, f"and {len(views) - 2 * rows} connectors more: press c", "dim")
        y += 1
    return y


def _path(view: EvseView) -> str:
    return "no power path" if view.ac is None else ""


def offer(view: EvseView) -> str:
    """What an AC vehicle is offered: ``16 A on 3 phases``."""
    ac = view.ac
    if ac is None or not view.plugged:
        return fmt.NONE
    phases = ac.phases or ac.phases_next
    return f"{fmt.ampere(ac.offered_ma)} A on {phases} phase{'s' if phases > 1 else ''}"


def _line(frame: Frame, view: EvseView, y: int) -> None:
    word, role = state(view)
    frame.put(1, y, f"Connector {view.evse_id}", "title")
    frame.put(14, y, word, role, limit=20)
    energy = view.session.energy_wh if view.session is not None else None
    figures = (
        f"{fmt.kw(view.power_w):>6} kW {fmt.volt(view.voltage_mv):>4} V {fmt.ampere(view.current_ma):>4} A"
        f" {fmt.percent(view.soc_pct):>3} % {fmt.kwh(energy):>7} kWh"
    )
    frame.right(frame.width - 1, y, figures, "value")


def _half_line(frame: Frame, view: EvseView, x: int, y: int, width: int) -> None:
    word, role = state(view)
    frame.put(x, y, f"{view.evse_id:>2}", "title")
    frame.put(x + 3, y, word, role)
    energy = view.session.energy_wh if view.session is not None else None
    frame.right(x + width, y, f"{fmt.kw(view.power_w)} kW {fmt.kwh(energy, 1):>4} kWh", "value")
