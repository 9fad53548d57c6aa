"""A technician reads every word of a fault on the smallest terminal."""

from __future__ import annotations

import pytest

from evse.api.models import Faults
from evse.domain.fault_table import FAULTS
from evse.domain.faults import FaultCode
from evse.runtime.service.faults import fault_info
from tests.tui.data import fault
from tui.admin.faults import paint_faults
from tui.driver.glyphs import GLYPHS, GlyphSet
from tui.widgets.frame import Frame
from tui.widgets.table import TableState


def painted(*codes: FaultCode) -> str:
    """The body of the Faults screen on 80x24, the texts joined to one line."""
    items = tuple(fault_info(fault(code, 1, "what was measured, and its limit")) for code in codes)
    frame = Frame(80, 20)
    paint_faults(frame, Faults(items=items), TableState(), GLYPHS[GlyphSet.CP437])
    return " ".join(word for line in frame.lines() for word in line[11:].split())


@pytest.mark.parametrize("code", list(FaultCode), ids=lambda code: code.name)
def test_texts_of_a_fault_are_whole_on_80_by_24(code: FaultCode) -> None:
    spec, text = FAULTS[code], painted(code)
    for words in (spec.description, spec.cause, spec.impact, spec.remedy_remote, spec.remedy_on_site):
        assert words in text
    assert "the cause still stands" in text


def test_with_many_faults_the_texts_are_cut_and_what_to_do_is_still_there() -> None:
    text = painted(*list(FaultCode)[:12])
    assert FAULTS[FaultCode.EMERGENCY_STOP].description in text and "Find out why it was pressed" in text
