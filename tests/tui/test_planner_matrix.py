"""Which group of a matrix feeds which connector: the planner screen and the page of ``evsectl planner get``."""

from __future__ import annotations

import json

import msgspec

from evse.api import models as m
from evsectl.layout import Screen
from evsectl.pages import planner as page
from tests._support import fake_data as fake
from tui.admin.planner import paint_planner
from tui.driver.glyphs import GLYPHS, GlyphSet
from tui.widgets.frame import Frame

STATES = (("closed", (2,)), ("closed", (1,)), ("moving", (2,)), ("open", ()))


def state() -> m.PlannerState:
    rows = tuple(
        msgspec.structs.replace(row, tie=tie, feeds=feeds) for row, (tie, feeds) in zip(fake.group_rows(), STATES, strict=True)
    )
    return m.PlannerState(
        settings=fake.SETTINGS, plan=fake.plan(), groups=rows, requested_w=0, offered_w=0, allowed_w=0, assigned_w=0,
        shared_chains=0, bms_stale=0, site_power_w=None,
    )  # fmt: skip


def test_both_screens_name_the_connector_that_a_group_feeds() -> None:
    frame = Frame(132, 43)
    paint_planner(frame, state(), (), GLYPHS[GlyphSet.ASCII])
    lines = ["".join(row) for row in frame.chars]
    at = next(i for i, line in enumerate(lines) if "Relay2" in line)
    shown = [lines[at + 1 + i] for i in range(len(STATES))]
    assert [next(w for w in ("to 2", "to 1", "moving", "open") if w in line) for line in shown] == ["to 2", "to 1", "moving", "open"]
    text = page(json.loads(msgspec.json.encode(state())), Screen(width=132))
    assert all(word in text for word in ("closed to 2", "closed to 1", "moving to 2"))
