"""The full product of stages and signals, typed a second time by hand: a move or nothing."""

from __future__ import annotations

import pytest

from evse.core.machine_dc import TABLE, Signal
from evse.core.state import ENERGY_STAGES, Stage

# columns: stage; EMERGENCY UNPLUGGED STOP EV_OFF PLUGGED STARTED CABLE PRE_CHARGE POWER_ON CURRENT OPENED RESTED
EXPECTED = """
empty  -  -  -  -  plugged  -  -  -  -  -  -  -
plugged  -  empty  -  -  -  authorised  -  -  -  -  -  -
authorised  discharge  discharge  discharge  -  -  -  cable_check  -  -  -  -  -
cable_check  discharge  discharge  ramp_down  ramp_down  -  -  -  pre_charge  -  -  -  -
pre_charge  discharge  discharge  ramp_down  ramp_down  -  -  -  -  power_on  current  -  -
power_on  discharge  discharge  ramp_down  ramp_down  -  -  -  -  -  current  -  -
current  discharge  discharge  ramp_down  ramp_down  -  -  -  -  -  -  -  -
ramp_down  discharge  discharge  -  -  -  -  -  -  -  -  discharge  -
discharge  -  -  -  -  -  -  -  -  -  -  -  finished
finished  -  empty  -  -  -  authorised  -  -  -  -  -  -
"""
ROWS = {words[0]: words[1:] for words in (line.split() for line in EXPECTED.strip().splitlines())}


@pytest.mark.parametrize("stage", list(Stage), ids=lambda s: s.value)
def test_every_signal_in_every_stage(stage: Stage) -> None:
    for signal, word in zip(Signal, ROWS[stage.value], strict=True):
        target = TABLE.get((stage, signal))
        assert (target.value if target is not None else "-") == word, (stage, signal)


def test_every_energy_stage_knows_the_way_out() -> None:
    for stage in ENERGY_STAGES:
        assert TABLE[stage, Signal.EMERGENCY] is Stage.DISCHARGE
        assert TABLE[stage, Signal.UNPLUGGED] is Stage.DISCHARGE


def test_no_cycle_without_a_new_permission() -> None:
    """The fixed-point loop of a tick ends: without STARTED and PLUGGED the table has no cycle."""
    edges = [(a, b) for (a, signal), b in TABLE.items() if signal not in (Signal.STARTED, Signal.PLUGGED)]
    reach = {s: {s} for s in Stage}
    for _ in Stage:
        for a, b in edges:
            reach[a] |= reach[b]
    assert not any(a in reach[b] for a, b in edges)
