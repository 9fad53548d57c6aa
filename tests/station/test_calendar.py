"""A station that wakes up in 1970: it charges, and the back end gets the true times when it can be reached."""

from __future__ import annotations

import asyncio
from pathlib import Path

import msgspec
import pytest

from evse.lab.station import Lab
from evse.lab.vloop import VirtualClock, VirtualLoop, run_virtual
from evse.ocpp.messages import parse_timestamp
from evse.units import NS_PER_S
from tests._support.lab_world import demo_config
from tests.ocpp.test_time_source import TRUE, Calendar


@pytest.mark.slow
def test_a_session_of_1970_reaches_the_back_end_with_its_true_times(tmp_path: Path) -> None:
    config = demo_config(tmp_path)
    config = msgspec.structs.replace(
        config, ocpp=msgspec.structs.replace(config.ocpp, offline_policy="allow", allow_tx_with_invalid_time=True)
    )

    async def main() -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        truth = VirtualClock(loop, TRUE)
        lab = Lab(config, tmp_path / "data", fast=True, clock=Calendar(loop, 100 * NS_PER_S))
        assert lab.sim.csms is not None
        lab.sim.csms._clock = truth
        lab.sim.csms.down()
        async with lab:
            await lab.forward(3)
            await lab.do(cmd="plug_in", connector=1, soc_pct=30)
            await lab.do(cmd="swipe", token="04A1B2C3", reader="reader1")
            await lab.until(lambda: (lab.evse(1).power_w or 0) > 10_000, "charging", 60)
            began = truth.wall()
            await lab.forward(40)
            session = lab.evse(1).session
            assert session is not None and (session.started_at or 0) < 1000 * NS_PER_S
            await lab.do(cmd="swipe", token="04A1B2C3", reader="reader1")
            await lab.until(lambda: lab.evse(1).phase.value == "finished", "the end", 60)
            ended = truth.wall()
            await lab.forward(120)
            assert lab.station.ocpp is not None
            assert lab.station.ocpp.summary().time_source == ""
            lab.sim.csms.up()
            await lab.until(lambda: lab.station.ocpp is not None and lab.station.ocpp.online, "registered", 200)
            await lab.until(lambda: lab.station.ocpp is not None and lab.station.ocpp.summary().queued == 0, "queue", 120)
            (row,) = lab.sim.csms.ledger()["transactions"]
            started, stopped = parse_timestamp(row["started"]), parse_timestamp(row["stopped"])
            assert started is not None and abs(started - began) < 60 * NS_PER_S
            assert stopped is not None and abs(stopped - ended) < 5 * NS_PER_S
            assert lab.sim.csms.ledger()["violations"] == []
            assert lab.station.ocpp.summary().time_source == "csms"
            assert abs(lab.station.clock.wall() - truth.wall()) < NS_PER_S
            jumps = [event for event in lab.events if event.kind == "clock.jumped"]
            assert [(event.data["source"], event.data["first"]) for event in jumps] == [("csms", True)]
            stored = await lab.store.session(session.session_id)
            assert stored is not None and abs((stored.started_at or 0) - started) < NS_PER_S

    run_virtual(main())
