"""MeterValues of AC EVSEs: which measurand has a phase, which an overall value (Charge Control C user guide, 3.3.6)."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evse.domain.readings import MeterValues
from evse.domain.session import SessionRecord
from evse.domain.view_ac import HlcView
from evse.ocpp import messages
from evse.ocpp.key_table import MEASURANDS
from evse.ocpp.metering import sampled_values
from evse.ocpp.v16 import meter_payload
from tests.ocpp.support import Bench, ac_view, evse_view, under_virtual_time

NAMES = (*MEASURANDS, "Frequency")


METER = MeterValues(
    power_w=6_850, energy_import_wh=12_345, voltage_l_mv=(229_996, 230_100, 231_009), current_l_ma=(9_990, 9_980, 9_909),
    power_l_w=(2_300, 2_290, 2_260), frequency_mhz=49_987, temperature_dc=418,
)  # fmt: skip


def rows(meter: MeterValues | None, names: tuple[str, ...] = NAMES, **changes: Any) -> dict[tuple[str, str], str]:
    """(measurand, phase) to value; every row must pass the schema of OCPP 1.6."""
    evse = {key: changes.pop(key) for key in ("soc_pct", "temperature_dc", "session", "power_w") if key in changes}
    found = sampled_values(evse_view(1, offered_w=11_040, ac=ac_view(**changes), **evse), meter, names, "Sample.Periodic")
    if found:
        assert messages.check_call("MeterValues", meter_payload(1, 0, found)) is None
    keyed = {(row["measurand"], row.get("phase", "")): row["value"] for row in found}
    assert len(keyed) == len(found), "no value twice"
    return keyed


def test_three_phases() -> None:
    assert rows(METER, temperature_dc=None) == {
        ("Current.Import", "L1"): "9.99", ("Current.Import", "L2"): "9.98", ("Current.Import", "L3"): "9.90",
        ("Current.Offered", "L1"): "16.00", ("Current.Offered", "L2"): "16.00", ("Current.Offered", "L3"): "16.00",
        ("Current.Offered", ""): "48.00",
        ("Energy.Active.Import.Register", ""): "12345",
        ("Power.Active.Import", "L1"): "2300", ("Power.Active.Import", "L2"): "2290",
        ("Power.Active.Import", "L3"): "2260", ("Power.Active.Import", ""): "6850",
        ("Power.Offered", ""): "11040",
        ("Temperature", ""): "41.8",
        ("Voltage", "L1-N"): "229.99", ("Voltage", "L2-N"): "230.10", ("Voltage", "L3-N"): "231.00",
        ("Frequency", ""): "49.98",
    }  # fmt: skip


@pytest.mark.parametrize("meter", [METER, MeterValues(
    power_w=6_850, energy_import_wh=12_345, voltage_mv=229_996, current_ma=9_990, frequency_mhz=49_987, temperature_dc=418,
)])
def test_one_phase_has_overall_values_only(meter: MeterValues) -> None:
    assert rows(meter, phases=1, phases_wired=1, phases_next=1) == {
        ("Current.Import", ""): "9.99", ("Current.Offered", ""): "16.00", ("Energy.Active.Import.Register", ""): "12345",
        ("Power.Active.Import", ""): "6850", ("Power.Offered", ""): "11040", ("Temperature", ""): "41.8",
        ("Voltage", ""): "229.99", ("Frequency", ""): "49.98",
    }  # fmt: skip


@pytest.mark.parametrize(("phases", "phases_next", "total"), [(1, 3, "16.00"), (0, 1, "16.00"), (0, 3, "48.00"), (3, 1, "48.00")])
def test_the_offered_sum_follows_the_phases_that_the_vehicle_has(phases: int, phases_next: int, total: str) -> None:
    found = rows(METER, ("Current.Offered",), phases=phases, phases_next=phases_next)
    assert found["Current.Offered", ""] == total
    assert found["Current.Offered", "L3"] == ("16.00" if total == "48.00" else "0.00")


def test_what_the_meter_does_not_have_is_left_out() -> None:
    assert rows(None, ("Voltage", "Current.Import", "Frequency", "SoC", "Temperature", "Energy.Active.Import.Register")) == {}
    only_first = MeterValues(power_w=5, voltage_mv=230_000, current_ma=10_000)
    assert rows(only_first, ("Voltage", "Current.Import", "Power.Active.Import")) == {
        ("Voltage", "L1-N"): "230.00", ("Current.Import", "L1"): "10.00", ("Power.Active.Import", ""): "5",
    }  # fmt: skip
    session = SessionRecord(session_id="s", evse_id=1, connector_id=1, plugged_at=0, meter_start_wh=100, energy_wh=23)
    assert rows(None, ("Energy.Active.Import.Register",), session=session) == {("Energy.Active.Import.Register", ""): "123"}


def test_places_of_state_of_charge_and_temperatures() -> None:
    view = evse_view(1, temperature_dc=-5, ac=ac_view(hlc_session=HlcView(stage="basic", soc=61)))
    found = sampled_values(view, METER, ("SoC", "Temperature", "Frequency"), "Trigger")
    assert [(row["location"], row["value"], row.get("unit")) for row in found] == [
        ("EV", "61", "Percent"), ("Outlet", "-0.5", "Celsius"), ("Body", "41.8", "Celsius"), ("Outlet", "49.98", None),
    ]  # fmt: skip
    assert rows(METER, ("SoC",), hlc_session=HlcView(stage="session")) == {}


_mv = st.one_of(st.none(), st.integers(-10**6, 10**6))
_three = st.one_of(st.none(), st.tuples(st.integers(-10**6, 10**6), st.integers(0, 10**6), st.integers(0, 10**6)))


@given(
    wired=st.integers(1, 3), phases=st.integers(0, 3), following=st.integers(1, 3), first=_mv, volts=_three, amps=_three,
    watts=_three, offered=st.integers(0, 80_000),
)
def test_any_meter_gives_values_that_the_schema_accepts(
    wired: int, phases: int, following: int, first: int | None, volts: tuple[int, int, int] | None,
    amps: tuple[int, int, int] | None, watts: tuple[int, int, int] | None, offered: int,
) -> None:
    meter = MeterValues(voltage_mv=first, current_ma=first, voltage_l_mv=volts, current_l_ma=amps, power_l_w=watts)
    found = rows(meter, phases_wired=wired, phases=phases, phases_next=following, offered_ma=offered)
    assert wired > 1 or all(phase == "" for _, phase in found)
    assert all(int(phase[1]) <= wired for _, phase in found if phase)
    each = [float(found[key]) for key in found if key[0] == "Current.Offered" and key[1]]
    if wired > 1:
        assert len(each) == wired and float(found["Current.Offered", ""]) == pytest.approx(sum(each), abs=0.03)
        assert ("Voltage", "") not in found and ("Current.Import", "") not in found


def test_stop_transaction_tells_what_was_measured_at_begin_and_end() -> None:
    async def main() -> None:
        bench = await Bench().start()
        key = {"key": "StopTxnSampledData", "value": "Energy.Active.Import.Register,Voltage,Current.Import"}
        assert await bench.csms.call("ChangeConfiguration", key) == {"status": "Accepted"}
        bench.station.change(1, ac=ac_view())
        session = await bench.begin(1)
        bench.station.meters[1] = METER
        await asyncio.sleep(3)
        await bench.end(1)
        await asyncio.sleep(2)
        begin, end = bench.csms.calls("StopTransaction")[0]["transactionData"]
        told = [[(v["context"], v["measurand"], v.get("phase")) for v in row["sampledValue"]] for row in (begin, end)]
        assert told[0] == [
            ("Transaction.Begin", "Energy.Active.Import.Register", None), ("Transaction.Begin", "Voltage", "L1-N"),
            ("Transaction.Begin", "Current.Import", "L1"),
        ], "the meter of the begin: without phases"  # fmt: skip
        assert [x[1:] for x in told[1]] == [
            ("Energy.Active.Import.Register", None), *(("Voltage", f"L{i}-N") for i in (1, 2, 3)),
            *(("Current.Import", f"L{i}") for i in (1, 2, 3)),
        ]  # fmt: skip
        late = msgspec.structs.replace(session, ended_at=bench.clock.wall() - 60_000_000_000, meter_stop_wh=9)
        row = msgspec.json.decode(bench.client.stop_row(late).payload)
        assert [v["measurand"] for v in row["transactionData"][1]["sampledValue"]] == ["Energy.Active.Import.Register"]

    under_virtual_time(main)
