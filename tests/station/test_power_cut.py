"""The controller dies in the middle of a session: the transaction ends once, with PowerLoss, and life goes on."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from evse.domain.session import StopReason
from evse.lab.sessions import compare_ledger
from evse.lab.station import Lab
from evse.lab.vloop import run_virtual
from evse.runtime.stopping import STOP_LIMIT_S, end_transactions
from tests._support.lab_world import demo_config


def test_cut_session_is_closed_with_power_loss_exactly_once(tmp_path: Path) -> None:
    config = demo_config(tmp_path)
    database = tmp_path / "station.sqlite3"

    async def main() -> None:
        lab = Lab(config, tmp_path / "data", fast=True, database=database)
        await lab.__aenter__()
        await lab.forward(3)
        await lab.do(cmd="plug_in", connector=1, soc_pct=30)
        await lab.do(cmd="swipe", token="04A1B2C3", reader="reader1")
        await lab.until(lambda: (lab.evse(1).power_w or 0) > 10_000, "charging", 60)
        await lab.forward(40)
        cut = lab.evse(1).session
        assert cut is not None
        await lab.kill()
        await lab.forward(2)  # the board's lease runs out: nobody renews it
        plant = lab.sim.boards[1].plant
        assert not plant.out.contactor_closed, "the board keeps the contactors closed without a controller"
        await lab.do(cmd="plug_out", connector=1, force=True)

        again = Lab(config, tmp_path / "data", database=database, sim=lab.sim, clock=lab.clock)
        await again.__aenter__()
        await again.until(
            lambda: again.station.ocpp is not None and again.station.ocpp.summary().queued == 0, "queue", 120
        )
        await again.forward(5)
        session = await again.store.session(cut.session_id)
        assert session is not None
        assert session.stop_reason is StopReason.POWER_LOSS
        assert 0 < session.energy_wh <= cut.energy_wh
        assert await again.store.open_transactions() == []
        assert again.sim.csms is not None
        ledger = again.sim.csms.ledger()
        row = next(r for r in ledger["transactions"] if r["transaction_id"] == session.transaction_id)
        assert row["stop_reason"] == "PowerLoss"
        assert ledger["violations"] == []

        await again.do(cmd="plug_in", connector=1, soc_pct=30, stop_energy_wh=100)
        await again.do(cmd="swipe", token="04A1B2C3", reader="reader1")
        await again.until(lambda: again.evse(1).phase.value == "finished", "the next session ends", 120)
        await again.do(cmd="plug_out", connector=1)
        await again.until(lambda: not again.evse(1).plugged, "left", 30)
        await again.until(
            lambda: again.station.ocpp is not None and again.station.ocpp.summary().queued == 0, "queue", 60
        )
        sessions, total, _ = await again.store.sessions()
        assert total == 2
        assert compare_ledger(sessions, again.sim.csms.ledger()) == []
        await again.__aexit__(None, None, None)
        await lab.__aexit__(None, None, None)

    run_virtual(main())


@pytest.mark.parametrize("meter_age_s", [15, 120])
def test_a_cut_session_ends_with_a_meter_value_of_the_configured_age_at_most(tmp_path: Path, meter_age_s: int) -> None:
    config = demo_config(tmp_path)
    ocpp = msgspec.structs.replace(config.ocpp, meter_age_s=meter_age_s, sample_interval_s=0)
    config = msgspec.structs.replace(config, ocpp=ocpp)

    async def main() -> None:
        lab = Lab(config, tmp_path / "data", fast=True, database=tmp_path / "station.sqlite3")
        await lab.__aenter__()
        await lab.forward(3)
        await lab.do(cmd="plug_in", connector=1, soc_pct=10)
        await lab.do(cmd="swipe", token="04A1B2C3", reader="reader1")
        await lab.until(lambda: (lab.evse(1).power_w or 0) > 10_000, "charging", 60)
        ages = []
        for _ in range(17 if meter_age_s > 60 else 9):
            await lab.forward(7)
            session = lab.evse(1).session
            assert session is not None and session.started_at is not None
            rows = lab.store._db.execute("SELECT max(wall) FROM point WHERE session_id = ?", (session.session_id,))
            stored = rows.fetchone()[0] or session.started_at  # what a cut now would leave
            ages.append((lab.clock.wall() - stored) / 1e9)
        assert max(ages) <= meter_age_s + 1
        assert max(ages) > min(meter_age_s, 60) / 2  # it is not written more often than needed
        await lab.__aexit__(None, None, None)

    run_virtual(main())


@pytest.mark.parametrize("fails", [False, True])
def test_an_ordered_end_stops_what_charges_or_gives_up_in_time(tmp_path: Path, fails: bool) -> None:
    async def main() -> None:
        async with Lab(demo_config(tmp_path), tmp_path / "data", fast=True) as lab:
            await lab.forward(3)
            for connector in (1, 2):
                await lab.do(cmd="plug_in", connector=connector, soc_pct=10)
                await lab.do(cmd="swipe", token=f"04A1B2C{connector}", reader=f"reader{connector}")
            await lab.until(lambda: all((lab.evse(n).power_w or 0) > 10_000 for n in (1, 2)), "both charge", 60)
            if fails:
                lab.station.loop.submit = lambda make: None  # type: ignore[method-assign, assignment]
            began = lab.clock.now()
            await end_transactions(lab.station)
            assert lab.clock.now() - began <= (STOP_LIMIT_S + 0.1) * 1e9
            await lab.forward(1)
            assert lab.sim.csms is not None
            reasons = [row["stop_reason"] for row in lab.sim.csms.ledger()["transactions"]]
            assert reasons == ([None, None] if fails else ["Reboot", "Reboot"])

    run_virtual(main())
