"""MeterValues: on the marks, in the right units, with what is known and nothing else."""

from __future__ import annotations

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from evse.domain.readings import MeterValues
from evse.domain.session import SessionRecord
from evse.ocpp.messages import NS_PER_DAY, parse_timestamp, timestamp
from evse.ocpp.metering import Sampler, next_mark, sampled_values
from evse.units import NS_PER_S
from tests.ocpp.support import Bench, evse_view, under_virtual_time


def contexts(bench: Bench, context: str) -> list[tuple[int, str, int | None]]:
    """(connector, timestamp, transaction) of all MeterValues with a context."""
    return [
        (call["connectorId"], call["meterValue"][0]["timestamp"], call.get("transactionId"))
        for call in bench.csms.calls("MeterValues")
        if call["meterValue"][0]["sampledValue"][0]["context"] == context
    ]


def test_aligned_values_lie_exactly_on_the_marks_in_and_out_of_transactions() -> None:
    async def main() -> None:
        bench = Bench(aligned_interval_s=900)
        bench.clock.jump_wall(bench.clock.wall() + 123_456_789_012)
        await bench.start()
        bench.station.meters[2] = MeterValues(energy_import_wh=7, power_w=0)
        await bench.begin(1)
        await asyncio.sleep(3600)
        marks = [f"2026-01-01T{mark}:00.000Z" for mark in ("00:15", "00:30", "00:45", "01:00")]
        found = contexts(bench, "Sample.Clock")
        assert [(stamp, number) for connector, stamp, number in found if connector == 1] == [(m, 1) for m in marks]
        assert [(stamp, number) for connector, stamp, number in found if connector == 2] == [(m, None) for m in marks]

    under_virtual_time(main)


def test_a_mark_that_comes_again_because_the_clock_was_set_back_is_another_message() -> None:
    async def main() -> None:
        bench = await Bench(aligned_interval_s=60).start()
        await bench.begin(1)
        register_wh = bench.station.meters[1].energy_import_wh
        assert register_wh is not None
        await asyncio.sleep(65)
        bench.clock.jump_wall(bench.clock.wall() - 80 * NS_PER_S)
        bench.station.meters[1] = MeterValues(energy_import_wh=register_wh + 500, power_w=0)
        await asyncio.sleep(90)
        said = [stamp for connector, stamp, _ in contexts(bench, "Sample.Clock") if connector == 1]
        assert [stamp[11:16] for stamp in said] == ["00:01", "00:00", "00:01"]
        assert bench.csms.violations == [] and bench.csms.repeats == 0, "three readings, none that was repeated"

    under_virtual_time(main)


def test_sampled_values_come_at_the_interval_from_the_start_also_offline() -> None:
    async def main() -> None:
        bench = await Bench(sample_interval_s=60).start()
        await asyncio.sleep(12.5)
        bench.csms.down()
        began = bench.clock.wall()
        await bench.begin(1)
        await asyncio.sleep(305)
        bench.csms.up()
        await asyncio.sleep(200)
        stamps = [parse_timestamp(stamp) for _, stamp, _ in contexts(bench, "Sample.Periodic")][:5]
        assert [round((stamp - began) / NS_PER_S) for stamp in stamps if stamp] == [60, 120, 180, 240, 300]
        assert contexts(bench, "Transaction.Begin") == [(1, timestamp(began), 1)]

    under_virtual_time(main)


def test_interval_can_be_changed_during_a_transaction() -> None:
    async def main() -> None:
        bench = await Bench(sample_interval_s=0).start()
        await bench.begin(1)
        await asyncio.sleep(100)
        assert contexts(bench, "Sample.Periodic") == []
        await bench.csms.call("ChangeConfiguration", {"key": "MeterValueSampleInterval", "value": "5"})
        await asyncio.sleep(51)
        assert len(contexts(bench, "Sample.Periodic")) == 10

    under_virtual_time(main)


def test_values_have_the_units_of_the_standard() -> None:
    session = SessionRecord(session_id="s", evse_id=1, connector_id=1, plugged_at=0, meter_start_wh=100, energy_wh=23)
    view = evse_view(1, session=session, soc_pct=55, offered_w=60_000, temperature_dc=-5, power_w=1, voltage_mv=1)
    meter = MeterValues(power_w=49_999, voltage_mv=400_129, current_ma=124_999)
    names = (
        "Energy.Active.Import.Register", "Power.Active.Import", "Voltage", "Current.Import", "SoC", "Temperature",
        "Power.Offered", "Current.Offered",
    )
    rows = sampled_values(view, meter, names, "Sample.Periodic")
    assert {row["measurand"]: (row["value"], row["unit"]) for row in rows} == {
        "Energy.Active.Import.Register": ("123", "Wh"),
        "Power.Active.Import": ("49999", "W"),
        "Voltage": ("400.12", "V"),
        "Current.Import": ("124.99", "A"),
        "SoC": ("55", "Percent"),
        "Temperature": ("-0.5", "Celsius"),
        "Power.Offered": ("60000", "W"),
        "Current.Offered": ("149.95", "A"),
    }


def test_unknown_is_left_out_never_zero() -> None:
    names = ("Energy.Active.Import.Register", "Power.Active.Import", "Voltage", "Current.Import", "SoC", "Temperature")
    assert sampled_values(evse_view(1), None, names, "Trigger") == []


@given(st.integers(0, 4 * 10**18), st.integers(1, 86_400))
def test_next_mark_is_after_now_on_the_grid_and_never_more_than_an_interval_away(wall: int, interval_s: int) -> None:
    mark = next_mark(wall, interval_s)
    assert wall < mark <= wall + interval_s * NS_PER_S
    inside = mark % NS_PER_DAY
    assert inside % (interval_s * NS_PER_S) == 0
    assert wall // NS_PER_DAY == (mark - 1) // NS_PER_DAY


def test_wall_clock_steps_skip_marks_and_fake_none() -> None:
    sampler = Sampler()
    sampler.aligned_s = 60
    wall, found = 1_000_000 * 60 * NS_PER_S + 1, []
    for step_s in (30, 31, 7200, 10, 51, -3600, 61):
        found += [sample.wall for sample in sampler.due(0, wall)]
        wall += step_s * NS_PER_S
    found += [sample.wall for sample in sampler.due(0, wall)]
    assert len(found) == 3  # one per minute passed under way, none for the steps of hours
    assert all(mark % (60 * NS_PER_S) == 0 for mark in found)


def test_readings_outside_transactions_taken_offline_are_not_kept() -> None:
    async def main() -> None:
        bench = await Bench(aligned_interval_s=60).start()
        bench.station.meters[1] = MeterValues(energy_import_wh=5)
        bench.csms.down()
        await asyncio.sleep(3600)
        bench.csms.up()
        await asyncio.sleep(150)
        stamps = [parse_timestamp(stamp) or 0 for _, stamp, _ in contexts(bench, "Sample.Clock")]
        assert 1 <= len(stamps) <= 3
        assert min(stamps) >= bench.clock.wall() - 181 * NS_PER_S

    under_virtual_time(main)


def test_begin_waits_until_the_start_is_durable() -> None:
    """The view may show a transaction before its row is on disk (a slow or failing disk)."""

    async def main() -> None:
        bench = await Bench().start()
        session = SessionRecord(
            session_id="late", evse_id=1, connector_id=1, plugged_at=1, started_at=bench.clock.wall(), meter_start_wh=5,
        )
        bench.station.change(1, session=session)
        bench.look()
        await asyncio.sleep(7)
        assert bench.client.summary().queued == 0
        await bench.store.begin_transaction(session, bench.client.start_row(session))
        bench.client.kick()
        await asyncio.sleep(3)
        assert [action for action, _ in bench.csms.received][-2:] == ["StartTransaction", "MeterValues"]
        assert bench.csms.ledger()["violations"] == []

    under_virtual_time(main)
