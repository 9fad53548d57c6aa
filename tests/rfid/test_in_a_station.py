"""Readers of different families in a whole station: a card starts a session, options change through the API."""

from __future__ import annotations

from pathlib import Path

import pytest

from evse.config.load import parse_config
from evse.lab.demo_config import TEMPLATE
from evse.lab.station import Lab
from tests._support.lab_world import Api, run_lab


def demo_text(folder: Path, first: str, second: str) -> str:
    """Return the demo's configuration with a reader family for each connector."""
    (folder / "data").mkdir()
    text = TEMPLATE.format(folder=folder, channel="239.0.0.1", port=9000)
    for name, family in (("reader1", first), ("reader2", second)):
        text = text.replace(f'name = "{name}"\n', f'name = "{name}"\ndriver = "{family}"\n')
    return text


@pytest.mark.parametrize("families", [("pn532", "line"), ("twn4", "sl032")])
def test_every_family_starts_sessions(tmp_path: Path, families: tuple[str, str]) -> None:
    config = parse_config(demo_text(tmp_path, *families), "demo.toml")

    async def scenario(lab: Lab) -> None:
        for connector in (1, 2):
            await lab.do(cmd="plug_in", connector=connector, soc_pct=20)
            await lab.do(cmd="swipe", token=f"04A1B2C{connector}", reader=f"reader{connector}")
        for connector in (1, 2):
            await lab.until(lambda n=connector: (lab.evse(n).power_w or 0) > 5_000, f"connector {connector} charges", 60)  # type: ignore[misc]

    assert run_lab(tmp_path, scenario, config=config) > 100


def test_a_dead_reader_is_told_and_charging_goes_on(tmp_path: Path) -> None:
    config = parse_config(demo_text(tmp_path, "pn532", "twn4"), "demo.toml")

    async def scenario(lab: Lab) -> None:
        api = Api(lab)
        await lab.do(cmd="plug_in", connector=1, soc_pct=20)
        await lab.do(cmd="swipe", token="04A1B2C1", reader="reader1")
        await lab.until(lambda: (lab.evse(1).power_w or 0) > 5_000, "connector 1 charges", 60)
        lab.sim.readers["reader1"].silent = True  # type: ignore[attr-defined]
        await lab.forward(5)
        row = (await api("rfid.last"))["items"][0]
        assert not row["online"]
        assert "no valid answer to InListPassiveTarget" in row["detail"]
        assert row["last_token"] == "04A1B2C1"
        assert (lab.evse(1).power_w or 0) > 5_000

    run_lab(tmp_path, scenario, config=config)


def test_orders_change_at_once_and_a_reader_of_the_next_start_breaks_nothing(tmp_path: Path) -> None:
    text = demo_text(tmp_path, "pn532", "line")
    path = tmp_path / "station.toml"
    path.write_text(text, encoding="utf-8")

    async def scenario(lab: Lab) -> None:
        lab.station.config_path = path
        api = Api(lab)
        changed = text.replace('driver = "line"\n', 'driver = "line"\nbyte_order = "little"\ncharacter_order = "digit"\n')
        answer = await api("config.apply", {"text": changed})
        assert answer["applied"]
        assert not answer["restart_needed"]
        await lab.do(cmd="swipe", token="04A1B2C3", reader="reader2")
        await lab.forward(1)
        assert (await api("rfid.last"))["items"][1]["last_token"] == "3C2B1A40"
        answer = await api("config.apply", {"text": changed.replace('name = "reader2"', 'name = "back"')})
        assert answer["restart_needed"]
        rows = (await api("rfid.last"))["items"]
        assert [(row["name"], row["online"]) for row in rows] == [("reader1", True), ("back", False)]
        assert "restart" in rows[1]["detail"]

    run_lab(tmp_path, scenario, config=parse_config(text, str(path)))
