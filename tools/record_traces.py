"""``python -m tools.record_traces``: record one trace of each simulated fault into tests/traces (a reviewed act).

Faults of AC connectors are recorded at the AC station of the demo, in files that begin with "ac-".

Each trace is a short charge in the laboratory in which the fault is raised and cleared. The replay test runs every
trace through tick and gate and demands equal outputs, so a change of the core's behaviour shows up as a difference in
a recorded case. Record again only when the change is meant.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from evse.config.load import parse_config
from evse.domain.faults import FaultCode
from evse.domain.recloser import RecloserState
from evse.lab.demo_config import TEMPLATE, demo_text
from evse.lab.station import Lab
from evse.lab.vloop import run_virtual
from evse.sim.faults import CATALOGUE
from evse.sim.faults_ac import CATALOGUE_AC

OUT = Path(__file__).resolve().parent.parent / "tests" / "traces"
BEFORE_PLUG = frozenset(
    {
        "insulation",
        "cable_check_timeout",
        "pre_charge_timeout",
        "contactor_not_closed",
        "lock_failure",
        "output_over_voltage",
    }
)
"""Faults that act on the way to the first current: they are raised before the car comes."""
CHARGE_S = 9.0
FAULT_S = 8.0
SLOW = {"cable_check_timeout": 45.0}
AC = "ac-"
AC_BEFORE_PLUG = frozenset(
    {
        "rcd_test_fail",
        "lock_jam_open",
        "lock_cap",
        "lock_unexpected_close",
        "contactor_stuck",
        "relay2_fault",
        "ventilation_fail",
        "hlc_error",
        "vehicle_communication",
        "out_of_balance",
    }
)
AC_NO_CAR = frozenset({"rcd_spurious", "rcd_lost", "meter_line_idle"})
AC_ENDED_BY_CARD = frozenset({"car_ignores_pwm", "lock_jam_closed", "contactor_welded", "relay2_welded"})
AC_SECOND = frozenset({"ventilation_fail"})
"""What only the second connector of the demo's AC station has."""
AC_THIRD = frozenset({"hlc_error", "vehicle_communication", "out_of_balance", "meter_line", "meter_line_idle"})
"""What only the third one has: ISO 15118, a limit of unbalanced load, a meter on a line of its own."""
AC_SLOW = {
    "over_current": 110.0, "lock_cap": 34.0, "lock_jam_open": 22.0, "lock_jam_closed": 22.0, "recloser_lost": 16.0,
    "hlc_error": 16.0, "vehicle_communication": 16.0, "out_of_balance": 14.0,
}  # fmt: skip
AC_MOVED = frozenset({"recloser_jam"})
"""A motor that is jammed shows when it is told to move."""
AFTER_S = 3.0


async def record(name: str, folder: Path, out: Path) -> tuple[int, list[str]]:
    """Record one fault; return the size of its file and the codes that were raised."""
    config = parse_config(TEMPLATE.format(folder=folder, channel="239.0.0.1", port=9000), "demo.toml")
    async with Lab(config, folder / "data", fast=True) as lab:
        await lab.forward(2)
        if name in BEFORE_PLUG:
            await lab.do(cmd="fault", action="raise", fault=name, connector=1)
        await lab.do(cmd="plug_in", connector=1, soc_pct=30)
        await lab.do(cmd="swipe", token="04A1B2C3", reader="reader1")
        await lab.forward(CHARGE_S)
        if name not in BEFORE_PLUG:
            await lab.do(cmd="fault", action="raise", fault=name, connector=1)
        if name == "contactor_welded":
            await lab.do(cmd="set_ev", connector=1, stop=True)
        await lab.forward(SLOW.get(name, FAULT_S))
        await lab.do(cmd="fault", action="clear", fault="all")
        await lab.forward(AFTER_S)
        size = lab.station.recorder.dump(out / f"{name}.evsetrace", reason=f"simulated fault {name}", version="trace")
        return size, [str(e.data["code"]) for e in lab.events if e.kind == "fault.raised"]


async def record_ac(name: str, folder: Path, out: Path) -> tuple[int, list[str]]:
    """Record one fault of an AC connector; return the size of its file and the codes that were raised."""
    config = parse_config(demo_text("ac-quick", str(folder), "239.0.0.1", 9000, lambda: 1502), "demo.toml")
    connector = 2 if name in AC_SECOND else 3 if name in AC_THIRD else 1
    async with Lab(config, folder / "data", fast=True) as lab:
        await lab.forward(4)
        fault = {"cmd": "fault", "action": "raise", "fault": name, "connector": connector}
        before = name in AC_BEFORE_PLUG or name in AC_NO_CAR
        if before:
            await lab.do(**fault)
        if name not in AC_NO_CAR:
            ventilation, hlc = name in AC_SECOND, "ac" if name in AC_THIRD else ""
            await lab.do(cmd="plug_in", connector=connector, soc_pct=30, phases=3, ventilation=ventilation, hlc=hlc)
            await lab.do(cmd="swipe", token="04A1B2C3", connector=connector)
        await lab.forward(CHARGE_S)
        if not before:
            await lab.do(**fault)
        if name in AC_ENDED_BY_CARD:
            await lab.do(cmd="swipe", token="04A1B2C3", connector=connector)
        if name in AC_MOVED:
            await lab.station.devices.field.reclosers[connector].request(RecloserState.OPEN)
        await lab.forward(AC_SLOW.get(name, FAULT_S))
        await lab.do(cmd="fault", action="clear", fault="all")
        await lab.forward(AFTER_S)
        size = lab.station.recorder.dump(out / f"{AC}{name}.evsetrace", reason=f"simulated fault {name}", version="trace")
        return size, [str(e.data["code"]) for e in lab.events if e.kind == "fault.raised"]


def coded() -> dict[str, FaultCode]:
    """Every trace by the name of its file, and the code that it must show."""
    dc = {name: fault.code for name, fault in CATALOGUE.items() if fault.code is not None}
    ac = {AC + name: fault.code for name, fault in CATALOGUE_AC.items() if fault.code is not None}
    return dc | ac


def main() -> int:
    """Record all faults of stations, connectors and modules, or those named on the command line."""
    OUT.mkdir(exist_ok=True)
    wanted = sys.argv[1:] or list(coded())
    for name in wanted:
        with tempfile.TemporaryDirectory() as folder:
            (Path(folder) / "data").mkdir()
            of = record_ac(name.removeprefix(AC), Path(folder), OUT) if name.startswith(AC) else record(name, Path(folder), OUT)
            size, codes = run_virtual(of)
        print(f"{name}: {size} bytes, raised {', '.join(codes) or 'nothing'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
