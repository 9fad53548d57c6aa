"""``python -m tools.record_traces``: record one trace of each simulated fault into tests/traces (a reviewed act).

Each trace is a short charge in the laboratory in which the fault is raised and cleared. The replay test runs every
trace through tick and gate and demands equal outputs, so a change of the core's behaviour shows up as a difference in
a recorded case. Record again only when the change is meant.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from evse.config.load import parse_config
from evse.lab.demo_config import TEMPLATE
from evse.lab.station import Lab
from evse.lab.vloop import run_virtual
from evse.sim.faults import CATALOGUE

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


def main() -> int:
    """Record all faults of stations, connectors and modules, or those named on the command line."""
    OUT.mkdir(exist_ok=True)
    wanted = sys.argv[1:] or [name for name, fault in CATALOGUE.items() if fault.code is not None]
    for name in wanted:
        with tempfile.TemporaryDirectory() as folder:
            (Path(folder) / "data").mkdir()
            size, codes = run_virtual(record(name, Path(folder), OUT))
        print(f"{name}: {size} bytes, raised {', '.join(codes) or 'nothing'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
