"""Random days of the demo's AC station and of a mixed one: laws on every tick, charging again and equal books at the end.

A failure names its seed, which repeats it.
"""

from __future__ import annotations

import contextlib
import random
from pathlib import Path

import pytest

from evse.api.errors import ApiError
from evse.lab.sessions import compare_ledger
from evse.lab.station import Lab
from evse.sim.faults_ac import CATALOGUE_AC
from tests._support.examples import examples
from tests._support.lab_world import Api, run_lab
from tests._support.laws_run import RunLaws
from tests.station.test_ac_scenarios import station

CARDS = {1: "04A1B2C3", 2: "04D4E5F6", 3: "04D4E5F6", 4: "04A1B2C3"}
MANNERS = (
    {"phases": 3},
    {"phases": 1},
    {"phases": 2, "cable": "13"},
    {"phases": 3, "cable": "20", "starts_in_c": True},
    {"phases": 1, "sleep_after_s": 8},
    {"phases": 3, "ventilation": True},
    {"phases": 3, "ignore_pwm": True},
    {"phases": 1, "follow_ms": 4_000},
)
STEPS = examples(90, 30)


async def _chaos(lab: Lab, rng: random.Random, numbers: list[int], story: list[str]) -> None:
    api, raised = Api(lab), []
    for _ in range(STEPS):
        number = rng.choice(numbers)
        what = rng.choices(("plug", "swipe", "leave", "raise", "clear", "limit", "wait"), (4, 5, 3, 2, 3, 2, 4))[0]
        command: dict[str, object] = {}
        if what == "plug":
            command = {"cmd": "plug_in", "connector": number, "soc_pct": 30, **rng.choice(MANNERS)}
        elif what == "swipe":
            command = {"cmd": "swipe", "connector": number, "token": CARDS[number]}
        elif what == "leave":
            command = {"cmd": "plug_out", "connector": number, "force": rng.random() < 0.3}
        elif what == "raise":
            name = rng.choice(sorted(CATALOGUE_AC))
            raised.append((name, number))
            command = {"cmd": "fault", "action": "raise", "fault": name, "connector": number}
        elif what == "clear" and raised:
            name, number = raised.pop(rng.randrange(len(raised)))
            command = {"cmd": "fault", "action": "clear", "fault": name, "connector": number}
        elif what == "limit":
            amps = rng.choice((-1, 0, 6_000, 9_500, 16_000))
            await api("limits.set", {"name": "ems", "current_ma": amps, "evse_id": number})
        story.append(str(command or what))
        if command:
            await lab.sim.command(command)  # what is not possible now is refused in words
        await lab.forward(rng.choice((0.1, 0.6, 1.0, 2.5)))


async def _rest(lab: Lab, numbers: list[int]) -> None:
    """Everything is repaired, everybody leaves, a technician clears: state F hides who is plugged in until then."""
    api = Api(lab)
    await lab.do(cmd="fault", action="clear", fault="all")
    await lab.forward(3)
    for number in numbers:
        await api("limits.clear", {"name": "ems", "evse_id": number})
        await lab.sim.command({"cmd": "plug_out", "connector": number, "force": True})
    for _ in range(3):
        await lab.forward(8)
        for row in (await api("fault.list"))["items"]:
            if row["clearable"] and row["latch"] == "manual":
                await api("fault.clear", {"code": row["record"]["code"], "evse_id": row["record"]["evse_id"]})
    await lab.until(lambda: not any(e.plugged for e in lab.view().evses), "everybody has left", 60)
    await lab.until(lambda: not lab.view().faults and not any(e.faults for e in lab.view().evses), "no fault is left", 60)


@pytest.mark.parametrize(
    ("name", "numbers", "seed"),
    [
        ("ac-quick", [1, 2], 1),
        pytest.param("ac-quick", [1, 2], 2, marks=pytest.mark.slow),
        ("generic/mixed-2dc-2ac", [3, 4], 3),
    ],
)
def test_after_a_random_day_every_connector_charges_and_the_books_agree(
    tmp_path: Path, name: str, numbers: list[int], seed: int
) -> None:
    story: list[str] = []

    async def scenario(lab: Lab) -> None:
        await lab.forward(4)
        await _chaos(lab, random.Random(seed), numbers, story)
        await _rest(lab, numbers)
        for number in numbers:
            await lab.do(cmd="plug_in", connector=number, phases=3, soc_pct=30)
            with contextlib.suppress(ApiError):  # a card of the day may have released it already
                await Api(lab)("connector.start", {"evse_id": number, "id_token": CARDS[number]})
            await lab.until(lambda n=number: lab.sim.world.ac_by_id[n].power_w > 1_000, f"{number} charges again", 60)
            await Api(lab)("connector.stop", {"evse_id": number})
            await lab.until(lambda n=number: lab.sim.world.ac_by_id[n].power_w == 0, f"{number} is off", 30)
            await lab.do(cmd="plug_out", connector=number)
        await lab.until(lambda: not any(e.plugged for e in lab.view().evses), "everybody has left", 60)
        await lab.until(lambda: lab.station.ocpp is None or lab.station.ocpp.summary().queued == 0, "queue", 90)
        await lab.forward(2)
        assert lab.sim.csms is not None
        sessions, _, _ = await lab.store.sessions(state="all", limit=200)
        assert compare_ledger(sessions, lab.sim.csms.ledger()) == []
        assert lab.sim.world.violations == []
        assert not lab.station.loop.fault

    try:
        run_lab(tmp_path, scenario, config=station(tmp_path, name), check=RunLaws())
    except (AssertionError, TimeoutError) as error:
        raise AssertionError(f"seed {seed}: {error}\n" + "\n".join(story[-40:])) from error
