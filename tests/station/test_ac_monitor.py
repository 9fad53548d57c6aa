"""The monitor of an AC EVSE over a long stay: tested again after its period, and never while energy flows."""

from __future__ import annotations

from pathlib import Path

import pytest

from evse.config.load import parse_config
from evse.lab.station import Lab
from tests._support.ac_world import happened, plug, point
from tests._support.lab_world import Api, run_lab

STATION = """[station]
id = "MONITOR"
data_dir = "{folder}/data"
[api]
socket = "{folder}/evsed.sock"
[[evse]]
id = 1
kind = "ac"
board.port = "{folder}/dev/board1"
[evse.ac]
release = "free"
current_max_a = 32
rcd = {{ enabled = true, period_h = 1 }}
"""


@pytest.mark.slow
def test_the_monitor_is_tested_after_its_period_and_not_under_load(tmp_path: Path) -> None:
    """An hour in the place of the 24; tests/core/ac/test_rcd.py has the arithmetic of all periods."""

    async def scenario(lab: Lab) -> None:
        await lab.until(lambda: len(happened(lab, "rcd.tested")) == 1, "at start", 10)
        await plug(lab, soc_pct=5)
        await lab.until(lambda: point(lab).current_ma > 20_000, "charging", 20)
        assert len(happened(lab, "rcd.tested")) == 2, "before the session"
        await lab.forward(3_620)
        assert point(lab).closed and len(happened(lab, "rcd.tested")) == 2, "not under load"
        await Api(lab)("connector.stop", {"evse_id": 1})
        await lab.until(lambda: len(happened(lab, "rcd.tested")) == 3, "as soon as the transaction is over", 10)
        assert all(row["passed"] for row in happened(lab, "rcd.tested"))

    (tmp_path / "data").mkdir()
    run_lab(tmp_path, scenario, config=parse_config(STATION.format(folder=tmp_path), "monitor.toml"))
