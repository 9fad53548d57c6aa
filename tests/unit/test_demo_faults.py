"""The demo's report of faults: from events to reaction, charging again, and one line each."""

from __future__ import annotations

from typing import Any

from evse.domain.fault_table import FAULTS
from evse.domain.faults import FaultCode
from evse.lab.demo_faults import fault_rows, fault_text
from evse.units import NS_PER_S


def phase(at_s: float, phase: str, evse_id: int = 1) -> dict[str, Any]:
    return {"kind": "phase.changed", "wall": round(at_s * NS_PER_S), "evse_id": evse_id, "data": {"phase": phase}}


def raised(at_s: float, code: str, evse_id: int = 1) -> dict[str, Any]:
    data = {"code": code, "name": FAULTS[FaultCode(code)].name, "severity": "fault", "detail": "why"}
    return {"kind": "fault.raised", "wall": round(at_s * NS_PER_S), "evse_id": evse_id, "data": data}


def cleared(at_s: float, code: str, evse_id: int = 1, by: str = "auto") -> dict[str, Any]:
    return {"kind": "fault.cleared", "wall": round(at_s * NS_PER_S), "evse_id": evse_id, "data": {"code": code, "by": by}}


def rows(faults: list[dict[str, Any]], phases: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """As the API gives them: newest first."""
    newest = lambda events: sorted(events, key=lambda e: -e["wall"])  # noqa: E731
    return fault_rows(newest(faults), newest(phases))


def test_a_fault_that_ends_a_session_and_lets_it_charge_again() -> None:
    found = rows(
        [raised(10, "F47"), cleared(14, "F47")],
        [phase(1, "charging"), phase(10.25, "faulted"), phase(14.1, "finished"), phase(20, "charging"), phase(11, "charging", 2)],
    )
    (row,) = found
    assert (row["charged"], row["charging_ended_s"], row["cleared_by"], row["charging_again_s"]) == (True, 0.25, "auto", 6.0)
    assert (row["reaction"], row["impact"]) == ("stop", FAULTS[FaultCode.STATION_OVER_TEMPERATURE].impact)
    assert fault_text(row) == (
        "F47 on 1: why; reaction: stop; charging ended after 0.25 s; cleared by auto; charging again 6 s later"
    )


def test_a_warning_beside_a_session_that_goes_on() -> None:
    (row,) = rows([raised(10, "F34"), cleared(14, "F34")], [phase(1, "charging"), phase(30, "finished"), phase(40, "charging")])
    assert (row["charged"], row["charging_ended_s"], row["charging_again_s"]) == (True, None, None)
    assert "charging went on; cleared by auto" in fault_text(row)


def test_a_fault_without_a_vehicle_one_that_stands_and_one_of_the_station() -> None:
    found = rows(
        [raised(5, "F30", 2), cleared(9, "F30", 2, "technician"), raised(20, "F30", 2), raised(21, "F1", 0)],
        [phase(1, "idle", 2), phase(12, "charging", 2), phase(15, "charging", 1), phase(21, "faulted", 1)],
    )
    assert [(r["code"], r["evse_id"], r["cleared_by"], r["charged"]) for r in found] == [
        ("F30", 2, "technician", False), ("F30", 2, None, True), ("F1", 0, None, True),
    ]  # fmt: skip
    assert found[0]["charging_again_s"] == 3.0 and found[2]["charging_ended_s"] == 0.0
    assert "F1 on station" in fault_text(found[2]) and "still active" in fault_text(found[2])


def test_energy_that_was_off_before_the_fault_was_named() -> None:
    (row,) = rows([raised(10, "F40"), cleared(14, "F40")], [phase(1, "charging"), phase(9.5, "suspended"), phase(20, "charging")])
    assert (row["charged"], row["charging_ended_s"], row["charging_again_s"]) == (True, -0.5, 6.0)
    (row,) = rows([raised(10, "F22")], [phase(1, "charging"), phase(4, "finished")])
    assert (row["charged"], row["charging_ended_s"]) == (False, None)
