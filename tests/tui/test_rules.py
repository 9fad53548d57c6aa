"""Section Rules: grids, and a technician who writes, moves, removes and watches event actions."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from evse.access.roles import Role
from evse.api import models_ac as ac
from evse.api import models_rules as r
from evse.api.caller import Caller
from evse.api.operation import Empty
from evse.lab.vloop import run_virtual
from tests._support.fake_service import FakeStation
from tests.tui.test_apps import Rig, calls, run
from tests.tui.test_grids import SETS, SIZES, check
from tui.admin.rules import paint_rules, paint_trace
from tui.driver.glyphs import GLYPHS, GlyphSet
from tui.widgets.dialogs import CellDialog
from tui.widgets.frame import Frame
from tui.widgets.table import TableState


@pytest.fixture(autouse=True)
def _utc(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()


def answers() -> tuple[r.Rules, r.RuleState, r.RuleTraceRows]:
    fake, caller = FakeStation(), Caller(role=Role.OPERATOR, user="test")
    found: list[tuple[r.Rules, r.RuleState, r.RuleTraceRows]] = []

    async def ask() -> None:
        found.append((
            await fake.rule_list(Empty(), caller), await fake.rule_state(ac.AcQuery(), caller),
            await fake.rule_trace(r.RuleTraceQuery(), caller),
        ))  # fmt: skip

    run_virtual(ask())
    return found[0]


@pytest.mark.parametrize("glyph_set", SETS)
@pytest.mark.parametrize("size", SIZES)
def test_pages(size: tuple[int, int], glyph_set: GlyphSet) -> None:
    glyphs = GLYPHS[glyph_set]
    rules, state, trace = answers()
    nothing = r.Rules(items=(), findings=())
    pages: dict[str, Callable[[Frame], None]] = {
        "rules": lambda f: paint_rules(f, rules, state, TableState(key="4"), glyphs),
        "rules-none": lambda f: paint_rules(f, nothing, r.RuleState(items=()), TableState(), glyphs),
        "rules-trace": lambda f: paint_trace(f, trace, TableState(), glyphs),
    }
    for page, paint in pages.items():
        frame = Frame(size[0], size[1] - 4)
        paint(frame)
        check(f"admin-{page}-{size[0]}x{size[1]}-{glyph_set.value}", frame, glyph_set)


def rig(role: Role = Role.OPERATOR, **options: bool) -> Rig:
    return Rig("admin", role, **options)


def test_a_technician_writes_a_rule_with_three_forms_and_puts_it_in_use() -> None:
    async def walk(rig: Rig) -> None:
        await rig.press("A", "G")
        await rig.settle(lambda: "11 of 32 rules" in rig.text())
        await rig.press("G", "I")
        await rig.settle(lambda: "12 of 32 rules" in rig.text())
        (made,) = calls(rig, "rule.put")
        assert (made.number, made.rule.enabled) == (0, False)
        await rig.press("e")
        assert "Rule 12: event" in rig.text()
        await rig.press("right", "right", "right", "down", "4", "enter", "enter")
        await rig.settle(lambda: len(calls(rig, "rule.put")) == 2)
        rule = calls(rig, "rule.put")[-1].rule
        assert (rule.event, rule.event_input) == ("input_rising", 4)
        await rig.press("a", "left", "up", "up", "left", "up")
        await rig.press("escape")
        assert len(calls(rig, "rule.put")) == 2, "Esc changes nothing"
        await rig.press("space", "enter")
        assert len(calls(rig, "rule.put")) == 2, "the focus stands on Cancel"
        await rig.press("space", "tab", "enter")
        await rig.settle(lambda: len(calls(rig, "rule.put")) == 3)
        assert calls(rig, "rule.put")[-1].rule.enabled

    run(rig(), walk)


def test_another_action_drops_the_output_of_the_old_one() -> None:
    async def walk(rig: Rig) -> None:
        await rig.press("A")
        await rig.settle(lambda: "11 of 32 rules" in rig.text())
        await rig.press("a", "left", "down", "down", "down", "down", "down", "down", "down", "down", "enter")
        await rig.settle(lambda: len(calls(rig, "rule.put")) == 1)
        rule = calls(rig, "rule.put")[0].rule
        assert (rule.action, rule.output, rule.condition) == ("output_low", 1, "error_internal")
        await rig.press("a", *["left"] * 2, *["down"] * 8, "enter")
        await rig.settle(lambda: len(calls(rig, "rule.put")) == 2)
        rule = calls(rig, "rule.put")[1].rule
        assert (rule.action, rule.output) == ("lock", 0)

    run(rig(), walk)


def test_rules_are_moved_and_removed_behind_a_dialog() -> None:
    async def walk(rig: Rig) -> None:
        await rig.press("A")
        await rig.settle(lambda: "11 of 32 rules" in rig.text())
        await rig.press("K")
        assert calls(rig, "rule.move") == [], "the first one has no place before it"
        await rig.press("J")
        await rig.settle(lambda: calls(rig, "rule.move") == [r.RuleMove(number=1, to=2)])
        await rig.press("X")
        assert "Remove rule 2" in rig.text() and "evsectl rule remove 2" in rig.text()
        await rig.press("enter")
        assert calls(rig, "rule.remove") == [], "the focus stands on Cancel"
        await rig.press("X", "tab", "enter")
        await rig.settle(lambda: "10 of 32 rules" in rig.text())
        await rig.press("h")
        await rig.settle(lambda: "rule 5 overrides rule 3 (output 1)" in rig.text())

    run(rig(), walk)


def test_readonly_shows_everything_and_offers_nothing() -> None:
    async def walk(rig: Rig) -> None:
        await rig.press("A")
        await rig.settle(lambda: "11 of 32 rules" in rig.text())
        await rig.press("e", "c", "a", "p", "space", "I", "X", "J")
        assert not isinstance(rig.app.screen, CellDialog)
        assert not [name for name, _ in rig.station.calls if name.startswith("rule.") and name not in {"rule.list", "rule.state", "rule.trace"}]

    run(rig(readonly=True), walk)
