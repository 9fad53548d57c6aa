"""What StopTransaction carries: begin, samples, marks and end; durable, bounded, signed where a meter signs."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evse.domain.readings import MeterValues
from evse.domain.session import StopReason
from evse.domain.signing import SignedValues
from evse.ocpp.key_table import signing_rows
from evse.ocpp.messages import parse_timestamp
from evse.ocpp.metering_ac import split_line
from evse.ocpp.tx_data import BYTES_MAX, ENTRIES_MAX, TxData
from evse.units import NS_PER_S
from tests._support.examples import examples
from tests.ocpp.support import Bench, ac_view, under_virtual_time
from tests.ocpp.test_keys_ac import ac, put
from tests.ocpp.test_queue import rows

ENERGY = "Energy.Active.Import.Register"


def contexts(stop: dict[str, Any]) -> list[str]:
    return [entry["sampledValue"][0]["context"] for entry in stop.get("transactionData", [])]


def test_marks_are_exactly_on_the_dot_inside_stop_transaction() -> None:
    async def main() -> None:
        bench = await Bench(aligned_interval_s=900).start()
        await put(bench, "StopTxnAlignedData", ENERGY)
        await put(bench, "StopTxnSampledData", "")
        await put(bench, "MeterValuesAlignedData", "")
        await asyncio.sleep(777)
        await bench.begin()
        await asyncio.sleep(2000)
        await bench.end()
        await asyncio.sleep(5)
        (stop,) = bench.csms.calls("StopTransaction")
        marks = [parse_timestamp(entry["timestamp"]) for entry in stop["transactionData"]]
        assert contexts(stop) == ["Sample.Clock"] * 3
        assert all(mark is not None and mark % (900 * NS_PER_S) == 0 for mark in marks)
        assert bench.csms.calls("MeterValues") == [
            call for call in bench.csms.calls("MeterValues") if "Sample.Clock" not in str(call)
        ]

    under_virtual_time(main)


def test_readings_for_the_stop_survive_a_power_cut(tmp_path: Path) -> None:
    async def main() -> None:
        bench = await Bench(database=tmp_path / "a.db", sample_interval_s=60).start()
        await bench.begin()
        await asyncio.sleep(250)
        await bench.restart()
        await asyncio.sleep(5)
        (stop,) = bench.csms.calls("StopTransaction")
        assert stop["reason"] == "PowerLoss"
        assert contexts(stop) == ["Transaction.Begin", *["Sample.Periodic"] * 4, "Transaction.End"]
        assert await bench.store.tx_readings() == []  # they went with the stop

    under_virtual_time(main)


def test_nothing_is_kept_while_the_lists_are_empty() -> None:
    async def main() -> None:
        bench = await Bench(sample_interval_s=30).start()
        await put(bench, "StopTxnSampledData", "")
        await bench.begin()
        await asyncio.sleep(100)
        assert await bench.store.tx_readings() == []
        await bench.end()
        await asyncio.sleep(5)
        assert "transactionData" not in bench.csms.calls("StopTransaction")[0]

    under_virtual_time(main)


def test_a_long_transaction_stays_within_what_a_back_end_takes() -> None:
    async def main() -> None:
        bench = await Bench(sample_interval_s=10).start()
        await bench.begin()
        await asyncio.sleep(6 * 3600)
        kept = await bench.store.tx_readings()
        assert len(kept) <= ENTRIES_MAX
        await bench.end()
        await asyncio.sleep(5)
        (stop,) = bench.csms.calls("StopTransaction")
        told = contexts(stop)
        assert (told[0], told[-1]) == ("Transaction.Begin", "Transaction.End")
        assert ENTRIES_MAX // 3 <= len(told) <= ENTRIES_MAX + 2
        assert len(msgspec.json.encode(stop)) <= BYTES_MAX + 16 * 1024
        assert bench.client.summary().queued == 0

    under_virtual_time(main)


@settings(max_examples=examples(60), deadline=None)
@given(st.lists(st.integers(0, 3000), min_size=1, max_size=400))
def test_what_is_kept_is_bounded_and_the_disk_holds_the_same(sizes: list[int]) -> None:
    data, disk = TxData(), {}
    for wall, size in enumerate(sizes):
        reading, drop = data.keep("s", wall, "Sample.Periodic", [{"value": "7" * size}])
        disk[(reading.context, reading.wall)] = reading
        for key in drop:
            del disk[key]
    kept = data._kept["s"]
    assert kept == list(disk.values())
    assert len(kept) <= ENTRIES_MAX
    assert len(kept) <= 2 or sum(len(one.sampled) for one in kept) <= BYTES_MAX
    assert (kept[0].wall, kept[-1].wall) == (0, len(sizes) - 1)


BEGUN = SignedValues(begin='OCMF|{"RD":[{"TX":"B"}]}|{"SD":"30"}', public_key="3059", meter_serial="4711")
ENDED = msgspec.structs.replace(BEGUN, end='OCMF|{"RD":[{"TX":"E"}]}|{"SD":"31"}')


@pytest.mark.parametrize(("written", "hexadecimal"), [("ocmf,plain", False), ("ocmf,hex", True)])
def test_signed_begin_and_end_are_told_although_no_measurand_is_chosen(tmp_path: Path, written: str, hexadecimal: bool) -> None:
    async def main() -> None:
        bench = await Bench(database=tmp_path / "a.db").start()
        for row in signing_rows((1,)):
            bench.client._keys.offer(row)
        for key, value in (("StopTxnSampledData", ""), ("MeterValuesSampledData", ""), ("calibrationLawFormat", written)):
            assert await put(bench, key, value) == "Accepted"
        await bench.begin(signed=BEGUN)
        await asyncio.sleep(5)
        other = "ocmf,plain" if hexadecimal else "ocmf,hex"
        assert await put(bench, "calibrationLawFormat", other) == "Accepted", "counts for the next transaction"
        await bench.end(signed=ENDED)
        await asyncio.sleep(5)
        (stop,) = bench.csms.calls("StopTransaction")
        values = [entry["sampledValue"][0] for entry in stop["transactionData"]]
        assert [value["context"] for value in values] == ["Transaction.Begin", "Transaction.End"]
        assert {value["format"] for value in values} == {"SignedData"}
        texts = [bytes.fromhex(v["value"]).decode() if hexadecimal else v["value"] for v in values]
        assert texts == [ENDED.begin, ENDED.end]

    under_virtual_time(main)


@pytest.mark.parametrize("seconds", [0.0, 5.0])
def test_a_signed_begin_survives_a_power_cut(tmp_path: Path, seconds: float) -> None:
    async def main() -> None:
        bench = await Bench(database=tmp_path / "a.db").start()
        await bench.begin(signed=BEGUN)
        await asyncio.sleep(seconds)  # 0: before it was put aside for StopTransaction
        await bench.restart()
        await asyncio.sleep(5)
        (stop,) = bench.csms.calls("StopTransaction")
        signed = [v for entry in stop["transactionData"] for v in entry["sampledValue"] if v.get("format") == "SignedData"]
        assert [(v["context"], v["value"]) for v in signed] == [("Transaction.Begin", BEGUN.begin)]
        assert stop["transactionData"][0]["sampledValue"] == signed
        assert rows(bench)[0]["stop_reason"] == StopReason.POWER_LOSS.value

    under_virtual_time(main)


@pytest.mark.parametrize(("name", "split"), [
    ("Voltage.L1-N", ("Voltage", "L1-N")), ("Current.Import.L3", ("Current.Import", "L3")), (ENERGY, (ENERGY, "")),
    ("Power.Active.Import", ("Power.Active.Import", "")), ("SoC", ("SoC", "")),
])
def test_measurands_are_split_from_their_line(name: str, split: tuple[str, str]) -> None:
    assert split_line(name) == split


def test_single_lines_can_be_chosen() -> None:
    async def main() -> None:
        bench = await Bench(specs=(ac(1), ac(2)), sample_interval_s=10).start()
        chosen = "Voltage.L2-N,Current.Import.L1,Current.Import.L1,Frequency"
        assert await put(bench, "MeterValuesSampledData", chosen) == "Accepted"
        assert await put(bench, "MeterValuesSampledData", "Voltage.L4-N") == "Rejected"
        await bench.begin()
        bench.station.change(1, ac=ac_view())
        bench.station.meters[1] = MeterValues(
            voltage_l_mv=(230_000, 231_000, 232_000), current_l_ma=(10_000, 11_000, 12_000), frequency_mhz=50_000
        )
        await asyncio.sleep(11)
        told = bench.csms.calls("MeterValues")[-1]["meterValue"][0]["sampledValue"]
        assert [(v["measurand"], v.get("phase", ""), v["value"]) for v in told] == [
            ("Voltage", "L2-N", "231.00"), ("Current.Import", "L1", "10.00"), ("Frequency", "", "50.00"),
        ]

    under_virtual_time(main)
