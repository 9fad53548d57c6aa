"""The table of use cases: what the specification implies, by name, each a test.

`use_case` makes an async function a test under virtual time and notes it; ``python -m tools.ocpp_cases`` writes
docs/ocpp-cases.md from the notes, and `tests/ocpp/test_use_case_table.py` keeps it equal. Every message of every test is
checked by the official schemas (tests/conftest.py).
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec

from evse.lab.station import Lab
from evse.sim.csms import SimCsms
from tests._support.lab_world import demo_config
from tests.ocpp.support import Bench, under_virtual_time

OUT = Path(__file__).resolve().parents[2] / "docs" / "ocpp-cases.md"
MODULES = ("core", "transactions", "station", "profiles", "charging", "transfers", "security")
OK, NO = {"status": "Accepted"}, {"status": "Rejected"}

HEAD = """# OCPP use cases

The cases that the specification implies, by name; each is a test that runs with `make test` (`tests/ocpp/test_use_cases_*.py`).
Written by `python -m tools.ocpp_cases`. Every message of these tests, both ways, is checked by the official schemas.
"""


class UseCase(msgspec.Struct, frozen=True):
    """One row."""

    section: str
    name: str
    what: str
    test: str


CASES: list[UseCase] = []


def use_case(section: str, name: str) -> Callable[[Callable[..., Awaitable[None]]], Callable[..., None]]:
    """Make a test of an async function; its docstring says in one line what must happen."""

    def note(body: Callable[..., Awaitable[None]]) -> Callable[..., None]:
        what = (body.__doc__ or "").strip()
        module = body.__module__.rsplit(".", 1)[-1].removeprefix("test_use_cases_")
        CASES.append(UseCase(section, name, what, f"{module}::{body.__name__}"))

        @functools.wraps(body)
        def run(*arguments: Any, **options: Any) -> None:
            under_virtual_time(lambda: body(*arguments, **options))

        return run

    return note


def sent(bench: Bench, start: int = 0) -> list[str]:
    """Actions that the CSMS has received, oldest first."""
    return [action for action, _ in bench.csms.received][start:]


def lab(folder: Path, **options: Any) -> Lab:
    """The whole demo station: simulated devices, drivers, core, client; `csms_of` is its back end."""
    return Lab(demo_config(folder), folder / "data", **{"fast": True, "database": folder / "station.sqlite3", **options})


def csms_of(station: Lab) -> SimCsms:
    """The simulated CSMS of a whole station."""
    assert station.sim.csms is not None
    return station.sim.csms


async def charge(station: Lab, connector: int = 1) -> int:
    """Plug in, show a card, wait for power; return the number of the transaction."""
    await station.do(cmd="plug_in", connector=connector, soc_pct=30)
    await station.do(cmd="swipe", token="04A1B2C3", reader=f"reader{connector}")

    def numbered() -> bool:
        session = station.evse(connector).session
        return session is not None and session.transaction_id is not None and (station.evse(connector).power_w or 0) > 10_000

    await station.until(numbered, "charging", 60)
    session = station.evse(connector).session
    assert session is not None
    assert session.transaction_id is not None
    return session.transaction_id


def table() -> str:
    """The document."""
    for name in MODULES:  # a run of some files has imported some
        importlib.import_module(f"tests.ocpp.test_use_cases_{name}")
    order = {name: place for place, name in enumerate(MODULES)}
    cases = sorted(CASES, key=lambda case: order.get(case.test.split("::")[0], 99))
    lines = [HEAD]
    section = ""
    for case in cases:
        if case.section != section:
            section = case.section
            lines.append(f"\n## {section}\n\n| case | what must happen | test |\n|---|---|---|\n")
        lines.append(f"| {case.name} | {case.what} | `{case.test}` |\n")
    lines.append(f"\n{len(cases)} cases.\n")
    return "".join(lines)
