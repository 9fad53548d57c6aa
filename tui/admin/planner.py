"""Section 4, Planner: site limits with a form, analytics, assignments and the reason for each connector's power."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar, Final

from textual.binding import BindingType

from evse.api.models import (
    ExplainQuery,
    Explanation,
    Explanations,
    GroupRow,
    PlannerChange,
    PlannerSettings,
    PlannerState,
)
from tui import format as fmt
from tui.admin.planner_ac import paint_shares, paint_totals
from tui.admin.registry import register
from tui.admin.section import LINES_AROUND, SectionScreen, list_bindings
from tui.driver.glyphs import Glyphs
from tui.keymap import bind
from tui.widgets.dialogs import Field, FormDialog
from tui.widgets.frame import Frame
from tui.widgets.parts import rule, values
from tui.widgets.table import Column, put_table
from tui.words import SOURCES

POWER_MAX_W: Final = 10_000_000
"""Largest limit that the form takes (10 MW); the daemon checks against the station."""
GROUPS_MAX: Final = 64
MORE_EVERY: Final = 5
"""What would give more is asked with every fifth look only: each answer costs the daemon some dozens of plans."""


COLUMNS = (
    Column(title="Group", width=5, right=True),
    Column(title="Home", width=4, right=True, priority=2),
    Column(title="Owner", width=5, right=True),
    Column(title="Role", width=6),
    Column(title="On", width=3),
    Column(title="Relay2", width=7),
    Column(title="kW", width=6, right=True),
    Column(title="V", width=5, right=True, priority=3),
    Column(title="A", width=5, right=True, priority=3),
    Column(title="Modules", width=7, right=True),
    Column(title="Temp", width=5, right=True, priority=4),
    Column(title="Faults", width=6, priority=5, grow=True),
)


@register
class PlannerScreen(SectionScreen):
    """Limits are hot: a change reaches the outputs within two ticks, no restart."""

    SECTION = "planner"
    RELOAD_S = 2
    WRITES = frozenset({"edit", "reset", "recompute"})
    BINDINGS: ClassVar[list[BindingType]] = [
        bind("planner.edit", "e", "edit", "Edit limits"),
        bind("planner.reset", "R", "reset", "Reset to file"),
        bind("planner.recompute", "C", "recompute", "Recompute"),
        bind("planner.more", "m", "more", "More power?"),
        bind("planner.next", "pagedown,n", "page(1)", "Next page"),
        bind("planner.previous", "pageup,N,p", "page(-1)", "Previous", show=False),
        *list_bindings("planner"),
    ]

    def __init__(self) -> None:
        super().__init__()
        self.top = 0
        """First line of the page that is shown."""
        self.where = ""
        """Which lines of how many; "" = all of them."""
        self.state: PlannerState | None = None
        self.why: tuple[Explanation, ...] = ()
        self.more: dict[int, tuple[str, ...]] | None = None
        self._loads = 0
        self._for_version = -1

    async def load(self) -> None:
        """Fetch state and explanations."""
        self.state = await self.admin.store.call("planner.get")
        answer: Explanations = await self.admin.store.call("planner.explain")
        self.why = answer.items
        if self.more is not None:
            if self._loads % MORE_EVERY == 0:
                await self._ask_more()
            self._loads += 1

    async def _ask_more(self) -> None:
        """What would give each connector more; one after the other, since each is some dozens of plans."""
        more = {}
        for item in self.why:
            told: Explanations = await self.admin.store.call("planner.explain", ExplainQuery(evse_id=item.evse_id))
            more[item.evse_id] = told.items[0].more
        self.more = more

    def paint(self, frame: Frame) -> None:
        """Paint; a new plan in the stream fetches again."""
        status = self.admin.store.status
        if status is not None and status.view.plan_version != self._for_version:
            first, self._for_version = self._for_version < 0, status.view.plan_version
            if not first:
                self.reload()
        if self.state is None:
            frame.put(1, 1, "Loading planner ...")
            return
        glyphs = self.admin.profile.glyphs
        lines = paint_planner(frame, self.state, self.why, glyphs, self.more, self.top)
        last = max(0, lines - frame.height)
        if self.top > last:  # the page has become shorter
            self.top = last
            frame.clear()
            paint_planner(frame, self.state, self.why, glyphs, self.more, self.top)
        self.where = f"PgUp PgDn  lines {self.top + 1}-{self.top + frame.height} of {lines}" if last else ""

    def place(self) -> str:
        """Where the page is scrolled to."""
        return self.where

    def action_more(self) -> None:
        """Show, or hide, what would give each connector more."""
        self.more = {} if self.more is None else None
        self._loads = 0
        self.reload()
        self.paint_all()

    def action_move(self, delta: int) -> None:
        """Scroll by lines; `paint` ends it at the last one."""
        self.top = max(0, self.top + delta)
        self.paint_all()

    def action_page(self, delta: int) -> None:
        """Scroll by a page, less the line that was last."""
        self.action_move(delta * max(1, self.size.height - LINES_AROUND - 1))

    def action_recompute(self) -> None:
        """Plan again."""
        self.confirm(
            "Recompute", "Recompute the plan", ["The plan is made from scratch; power may move between vehicles."],
            lambda: self.admin.store.call("planner.recompute"), done="Plan recomputed", cli="evsectl planner recompute",
        )  # fmt: skip

    def action_reset(self) -> None:
        """Back to the configuration file."""
        if self.state is None:
            return
        now = self.state.settings
        lines = ["These overrides end:"] if now.override else ["Nothing is overridden: the file is in force."]
        for field in form_fields(now, bool(self.state.groups)):
            file = file_value(now, field.name)
            if field.value != file:
                lines.append(f"{field.label}: {field.value} > {file} {field.unit}".rstrip())
        self.confirm(
            "Reset", "Reset site limits to the configuration file", lines,
            lambda: self.admin.store.call("planner.set", PlannerChange(reset=True)), done="Limits as in the file",
            cli="evsectl planner set --reset",
        )  # fmt: skip

    def action_edit(self) -> None:
        """Form, then the plan of the change, then apply."""
        if self.state is None:
            return
        settings = self.state.settings

        def answered(changed: dict[str, str] | None) -> None:
            if changed:
                self._ask_apply(settings, changed)

        self.admin.push_screen(FormDialog("Site limits", form_fields(settings, bool(self.state.groups)), "Review"), answered)

    def _ask_apply(self, settings: PlannerSettings, changed: dict[str, str]) -> None:
        labels = {f.name: f for f in form_fields(settings)}
        lines = [f"{labels[n].label}: {labels[n].base} > {v} {labels[n].unit}" for n, v in changed.items()]
        lines.append("Takes effect at once, without restart. Running sessions follow.")
        change = change_from(changed)
        self.confirm(
            "Apply", "Change site limits", lines,
            lambda: self.admin.store.call("planner.set", change), done="Site limits changed",
        )  # fmt: skip


def kw_text(value_w: int) -> str:
    """56000 -> ``56``, 56500 -> ``56.5``."""
    return f"{value_w / 1000:g}"


def parse_kw(text: str) -> int:
    """``56.5`` -> 56500 W. Raises ValueError with a text for the form."""
    try:
        value_w = round(float(text.replace(",", ".")) * 1000)
    except ValueError:
        raise ValueError(f"{text!r} is not a number of kW") from None
    if not 0 <= value_w <= POWER_MAX_W:
        raise ValueError(f"0 to {POWER_MAX_W // 1000} kW")
    return value_w


def _check_kw(text: str) -> str:
    try:
        parse_kw(text)
    except (ValueError, OverflowError) as error:
        return str(error)
    return ""


def _check_groups(text: str) -> str:
    return "" if text.isdecimal() and int(text) <= GROUPS_MAX else f"0 to {GROUPS_MAX}, whole number"


_FIELDS: Final[tuple[tuple[str, str, str, str, Callable[[str], str]], ...]] = (
    ("limit_w", "Site limit", "kW", "0 = no limit", _check_kw),
    ("ocpp_limit_w", "OCPP smart charging limit", "kW", "0 = no static cap; CSMS profiles still apply", _check_kw),
    ("group_power_w", "Group power per owner", "kW", "0 = no cap", _check_kw),
    ("max_groups", "Groups per owner", "", "0 = no cap", _check_groups),
    ("allow_cross", "Borrow between connectors", "", "Space switches", lambda _: ""),
)


def _text(value: int | bool) -> str:
    return ("yes" if value else "no") if isinstance(value, bool) else str(value)


def file_value(settings: PlannerSettings, name: str) -> str:
    """Value of the configuration file as the form shows it."""
    value = getattr(settings, f"file_{name}")
    return kw_text(value) if name.endswith("_w") else _text(value)


_FIELDS_OF_ALL: Final = 2
"""The first fields mean something without module groups too."""


def form_fields(settings: PlannerSettings, groups: bool = True) -> list[Field]:
    """Return the draft of the form: values in force, with range and value of the file as a note; ``groups`` = there are some."""
    fields = []
    for name, label, unit, note, check in _FIELDS if groups else _FIELDS[:_FIELDS_OF_ALL]:
        value = getattr(settings, name)
        text = kw_text(value) if unit == "kW" else _text(value)
        fields.append(
            Field(
                name=name,
                label=label,
                value=text,
                base=text,
                unit=unit,
                note=f"file {file_value(settings, name)}; {note}",
                check=check,
                choices=("yes", "no") if name == "allow_cross" else (),
            )
        )
    return fields


def change_from(changed: dict[str, str]) -> PlannerChange:
    """Return the request for changed fields (already valid)."""
    return PlannerChange(
        limit_w=parse_kw(changed["limit_w"]) if "limit_w" in changed else None,
        ocpp_limit_w=parse_kw(changed["ocpp_limit_w"]) if "ocpp_limit_w" in changed else None,
        group_power_w=parse_kw(changed["group_power_w"]) if "group_power_w" in changed else None,
        max_groups=int(changed["max_groups"]) if "max_groups" in changed else None,
        allow_cross=changed["allow_cross"] == "yes" if "allow_cross" in changed else None,
    )


def paint_planner(
    frame: Frame, state: PlannerState, why: tuple[Explanation, ...], glyphs: Glyphs,
    more: dict[int, tuple[str, ...]] | None = None, top: int = 0,
) -> int:
    """Paint limits and analytics, why each connector gets what it gets, assignments and shares, from line ``top`` on; return
    how many lines there are in all."""
    left = _limits(frame, -top, state)
    y = paint_totals(frame, max(left, _analytics(frame, -top, state)), state)
    y = _heading(frame, y, "Why each connector gets what it gets", glyphs)
    for item in why:
        y = _why(frame, y, item, more.get(item.evse_id, ()) if more else ())
    shares = state.plan.currents if state.plan is not None else ()
    if state.groups or not shares:
        y = _assignments(frame, _heading(frame, y, "Assignments", glyphs), state, glyphs)
    if shares:
        y = paint_shares(frame, _heading(frame, y, "Shares of AC connectors", glyphs), shares)
    return y + top


def _heading(frame: Frame, y: int, text: str, glyphs: Glyphs) -> int:
    rule(frame, y, glyphs)
    frame.put(1, y, f" {text} ", "title")
    return y + 1


def _why(frame: Frame, y: int, item: Explanation, more: tuple[str, ...]) -> int:
    frame.put(1, y, f"Connector {item.evse_id}: {fmt.kw(item.offered_w)} kW", "value")
    y = frame.wrap(25, y, item.text, frame.width - 26, rows=2)
    for entry in item.limits:
        word = "binds" if entry.binds else ""
        age = "" if entry.age_s is None else fmt.duration(entry.age_s)
        text = f"{word:<6}{SOURCES[entry.source]:<13}{fmt.kw(entry.power_w):>8} kW {age:>8}  {entry.detail}"
        frame.put(3, y, text, "value" if entry.binds else "", limit=frame.width - 4)
        y += 1
    for way in more:
        y = frame.wrap(3, y, f"more with: {way}", frame.width - 4, rows=2)
    return y


def _limits(frame: Frame, y: int, state: PlannerState) -> int:
    half, now = frame.width // 2, state.settings
    frame.put(1, y, "SITE LIMITS", "title")
    if now.override:
        frame.right(half - 2, y, "* overrides the file", "warn")
    rows = []
    for field in form_fields(now, bool(state.groups)):
        file = file_value(now, field.name)
        star = "" if file == field.value else f"  [file {file}]"
        none = " (none)" if field.value == "0" else ""
        rows.append(((field.label + (f" {field.unit}" if field.unit else "")), field.value + none + star))
    return values(frame, 1, y + 1, half - 3, rows)


def _analytics(frame: Frame, y: int, state: PlannerState) -> int:
    """Paint what is asked for and given; without module groups nothing is lent, and no chains are shared."""
    half, plan = frame.width // 2, state.plan
    frame.put(half, y, "ANALYTICS", "title")
    sums = [
        ("Requested kW", fmt.kw(state.requested_w)), ("Offered kW", fmt.kw(state.offered_w)),
        ("Allowed kW", fmt.kw(state.allowed_w)), ("Assigned kW", fmt.kw(state.assigned_w)),
        ("Site kW", fmt.kw(state.site_power_w)),
    ]  # fmt: skip
    counts = [("Plan version", fmt.percent(plan.version if plan is not None else None))]
    if state.groups:
        offered = sum(1 for a in plan.allocations if len(a.offered_chain) > 1) if plan is not None else 0
        counts += [
            ("Shared chains", str(state.shared_chains)), ("Offered chains", str(offered)), ("BMS stale", str(state.bms_stale))
        ]  # fmt: skip
    else:
        del sums[1]
    if plan is not None and plan.currents:
        counts.append(("AC charging", str(sum(1 for row in plan.currents if row.assigned_ma))))
        counts.append(("AC paused", str(sum(1 for row in plan.currents if row.paused))))
    pair = (frame.width - half - 3) // 2
    left = values(frame, half, y + 1, pair, sums)
    return max(left, values(frame, half + pair + 2, y + 1, frame.width - half - pair - 3, counts))


def _relay(row: GroupRow) -> str:
    """Relay 2 of a bus in a word; of a matrix the connector that the group feeds."""
    return f"to {'+'.join(map(str, row.feeds))}" if row.feeds and row.tie == "closed" else row.tie


def _assignments(frame: Frame, y: int, state: PlannerState, glyphs: Glyphs) -> int:
    data = []
    marks = {}
    for row in state.groups:
        marks[str(row.group_id)] = "fault" if row.faults else "ok" if row.on else ""
        cells = (
            str(row.group_id), str(row.home_evse or "--"), str(row.owner or "--"), row.role, "yes" if row.on else "no",
            _relay(row), fmt.kw(row.contribution_w), fmt.volt(row.voltage_mv), fmt.ampere(row.current_ma),
            f"{row.modules_present}/{row.modules}", fmt.celsius(row.temperature_dc), "; ".join(row.faults) or "none",
        )  # fmt: skip
        data.append((str(row.group_id), cells))
    return put_table(
        frame, 0, y, frame.width, len(data) + 1, COLUMNS, data, None, glyphs, empty="No module groups configured", marks=marks
    )
