"""The own list on the whole station: cards offline, blocked cards, vehicles that charge without a card, learning."""

from __future__ import annotations

from pathlib import Path

from evse import replay
from evse.config.load import parse_config
from evse.config.model import StationConfig
from evse.domain.session import AuthSource
from evse.lab.demo_config import TEMPLATE
from evse.lab.station import Lab
from tests._support.examples import seconds
from tests._support.lab_world import Api, run_lab

VEHICLE = "0010BADA5501"


def config(folder: Path, access: str) -> StationConfig:
    """The demo's station with an ``[access]`` table."""
    text = TEMPLATE.format(folder=folder, channel="239.0.0.1", port=9000)
    return parse_config(f"{text}\n[access]\n{access}\n", "s.toml", check_files=False)


async def _charging(lab: Lab, connector: int) -> None:
    await lab.until(lambda: (lab.evse(connector).power_w or 0) > 5_000, f"connector {connector} charges", 60)


def test_a_listed_card_charges_without_a_back_end_and_a_blocked_one_does_not(tmp_path: Path) -> None:
    async def scenario(lab: Lab) -> None:
        api = Api(lab)
        await api("whitelist.add", {"id": "04:A1:B2:C3", "name": "Van"})
        await api("whitelist.add", {"id": "04D4E5F6", "allow": False})
        await lab.do(cmd="csms", action="down")
        await lab.forward(2)
        await lab.do(cmd="plug_in", connector=1, soc_pct=20)
        await lab.do(cmd="swipe", token="04D4E5F6", reader="reader1")
        await lab.until(lambda: lab.evse(1).auth_state == "denied", "the blocked card is refused", 20)
        why = next(e.data["why"] for e in reversed(lab.events) if e.kind == "session.denied")
        assert why == "blocked on the whitelist"
        await lab.do(cmd="swipe", token="04A1B2C3", reader="reader1")
        await _charging(lab, 1)
        entry = await api("whitelist.get", {"id": "04A1B2C3"})
        assert entry["used_at"] is not None

    run_lab(tmp_path, scenario, config=config(tmp_path, 'mode = ["whitelist", "ocpp"]'))


def test_in_doubt_a_card_that_nobody_knows_charges_only_when_that_is_configured(tmp_path: Path) -> None:
    for allow in (False, True):
        folder = tmp_path / str(allow)
        folder.mkdir()

        async def scenario(lab: Lab, allow: bool = allow) -> None:
            await lab.do(cmd="csms", action="down")
            await lab.forward(2)
            await lab.do(cmd="plug_in", connector=1, soc_pct=20)
            await lab.do(cmd="swipe", token="04777777", reader="reader1")
            wanted = "granted" if allow else "denied"
            await lab.until(lambda: lab.evse(1).auth_state == wanted, wanted, 20)

        run_lab(folder, scenario, config=config(folder, f"if_in_doubt_allow = {str(allow).lower()}"))


def test_a_known_vehicle_charges_without_a_card_once_per_plug_in(tmp_path: Path) -> None:
    async def scenario(lab: Lab) -> None:
        api = Api(lab)
        await api("whitelist.add", {"id": VEHICLE, "name": "Pool car"})
        await lab.do(cmd="plug_in", connector=1, soc_pct=20, evcc_id=VEHICLE)
        await _charging(lab, 1)
        session = lab.evse(1).session
        assert session is not None and session.auth_source is AuthSource.AUTOCHARGE
        assert session.id_token == f"VID:{VEHICLE}"
        await api("connector.stop", {"evse_id": 1})
        await lab.until(lambda: lab.evse(1).phase.value == "finished", "stopped", 60)
        await lab.forward(20)
        assert lab.evse(1).phase.value == "finished", "the same plug-in is not started again"

    run_lab(tmp_path, scenario, config=config(tmp_path, "autocharge = true"))


def test_a_card_goes_before_the_vehicle_and_an_unknown_vehicle_waits(tmp_path: Path) -> None:
    async def scenario(lab: Lab) -> None:
        await Api(lab)("whitelist.add", {"id": VEHICLE})
        await lab.do(cmd="swipe", token="04A1B2C3", reader="reader1")
        await lab.do(cmd="plug_in", connector=1, soc_pct=20, evcc_id=VEHICLE)
        await _charging(lab, 1)
        session = lab.evse(1).session
        assert session is not None and session.id_token == "04A1B2C3"
        await lab.do(cmd="plug_in", connector=2, soc_pct=20, evcc_id="0010BADA5599")
        await lab.forward(seconds(40, 20))
        assert lab.evse(2).session is not None and lab.evse(2).auth_state == "none"
        refused = [e for e in lab.events if e.kind == "autocharge.refused"]
        assert [e.evse_id for e in refused] == [2]

    run_lab(tmp_path, scenario, config=config(tmp_path, "autocharge = true"))


def test_a_card_that_is_learned_starts_nothing_and_is_known_afterwards(tmp_path: Path) -> None:
    async def scenario(lab: Lab) -> None:
        api = Api(lab)
        await lab.do(cmd="plug_in", connector=1, soc_pct=20)
        window = await api("whitelist.learn", {"reader": "reader1", "name": "Van", "seconds": 20})
        assert window["stage"] == "waiting"
        await lab.do(cmd="swipe", token="04C0FFEE", reader="reader1")
        await lab.forward(3)
        window = await api("whitelist.window")
        assert (window["stage"], window["entry"]["id"]) == ("learned", "04C0FFEE")
        assert lab.evse(1).auth_state == "none"
        await lab.forward(10)
        await lab.do(cmd="swipe", token="04C0FFEE", reader="reader1")
        await _charging(lab, 1)
        await api("whitelist.learn", {"reader": "reader2", "seconds": 5})
        await lab.forward(6)
        assert (await api("whitelist.window"))["stage"] == "expired"

    run_lab(tmp_path, scenario, config=config(tmp_path, 'mode = ["whitelist"]'))


def test_a_vehicle_that_the_list_does_not_know_is_asked_about_at_the_back_end(tmp_path: Path) -> None:
    async def scenario(lab: Lab) -> None:
        await lab.do(cmd="plug_in", connector=1, soc_pct=20, evcc_id=VEHICLE)
        await _charging(lab, 1)
        session = lab.evse(1).session
        assert session is not None and session.auth_source is AuthSource.AUTOCHARGE
        ledger = (await lab.do(cmd="csms", action="ledger"))["ledger"]
        assert [row["id_token"] for row in ledger["transactions"]] == [f"VID:{VEHICLE}"]
        await lab.do(cmd="csms", action="answer", message="Authorize", payload={"idTagInfo": {"status": "Invalid"}})
        await lab.do(cmd="plug_in", connector=2, soc_pct=20, evcc_id="0010BADA5599")
        await lab.until(lambda: any(e.kind == "autocharge.refused" for e in lab.events), "the second is refused", 60)
        refused = next(e for e in lab.events if e.kind == "autocharge.refused")
        assert (refused.evse_id, refused.data) == (2, {"evcc_id": "0010BADA5599", "why": "Invalid"})
        await lab.forward(seconds(30, 15))
        assert sum(e.kind == "autocharge.refused" for e in lab.events) == 1, "once per plug-in"

    run_lab(tmp_path, scenario, config=config(tmp_path, "autocharge = true\nautocharge_ocpp = true"))


def test_a_card_that_comes_while_the_back_end_thinks_about_the_vehicle_wins(tmp_path: Path) -> None:
    async def scenario(lab: Lab) -> None:
        await Api(lab)("whitelist.add", {"id": "04A1B2C3"})
        await lab.do(cmd="csms", action="answer", message="Authorize", delay_ms=15_000)
        await lab.do(cmd="plug_in", connector=1, soc_pct=20, evcc_id=VEHICLE)
        await lab.until(lambda: lab.evse(1).phase.value == "wait_auth", "the vehicle waits", 30)
        await lab.forward(3)
        await lab.do(cmd="swipe", token="04A1B2C3", reader="reader1")
        await _charging(lab, 1)
        await lab.forward(20)
        session = lab.evse(1).session
        assert session is not None and (session.id_token, session.auth_source) == ("04A1B2C3", AuthSource.RFID)
        assert not any(e.kind in ("autocharge.refused", "command.refused") for e in lab.events)

    run_lab(tmp_path, scenario, config=config(tmp_path, "autocharge = true\nautocharge_ocpp = true"))


def test_a_vehicle_that_is_learned_starts_nothing_until_it_comes_again(tmp_path: Path) -> None:
    async def scenario(lab: Lab) -> None:
        api = Api(lab)
        await api("whitelist.learn", {"evse_id": 1, "name": "Pool car", "seconds": 60})
        await lab.do(cmd="plug_in", connector=1, soc_pct=20, evcc_id=VEHICLE)
        await lab.until(lambda: lab.station.learner.window.entry is not None, "learned", 60)
        window = await api("whitelist.window")
        assert (window["stage"], window["entry"]["id"], window["entry"]["type"]) == ("learned", VEHICLE, "EVCC")
        await lab.forward(30)
        assert (lab.evse(1).auth_state, lab.evse(1).power_w or 0) == ("none", 0)
        await lab.do(cmd="plug_out", connector=1)
        await lab.until(lambda: not lab.evse(1).plugged, "unplugged", 30)
        await lab.do(cmd="plug_in", connector=1, soc_pct=20, evcc_id=VEHICLE)
        await _charging(lab, 1)

    run_lab(tmp_path, scenario, config=config(tmp_path, "autocharge = true"))


def test_the_list_survives_a_power_cut_and_its_options_change_at_once(tmp_path: Path) -> None:
    text = TEMPLATE.format(folder=tmp_path, channel="239.0.0.1", port=9000)
    path = tmp_path / "station.toml"
    path.write_text(text, encoding="utf-8")
    database = tmp_path / "evse.db"
    settings = parse_config(text, str(path), check_files=False)

    async def before(lab: Lab) -> None:
        await Api(lab)("whitelist.add", {"id": "04A1B2C3", "name": "Van"})
        await Api(lab)("whitelist.add", {"id": VEHICLE})
        copy = tmp_path / "cut.db"
        copy.write_bytes(database.read_bytes())
        (tmp_path / "cut.db-wal").write_bytes((tmp_path / "evse.db-wal").read_bytes())

    async def after(lab: Lab) -> None:
        lab.station.config_path = path
        api = Api(lab)
        assert [row["id"] for row in (await api("whitelist.list"))["items"]] == [VEHICLE, "04A1B2C3"]
        await lab.do(cmd="plug_in", connector=1, soc_pct=20, evcc_id=VEHICLE)
        await lab.forward(30)
        assert lab.evse(1).auth_state == "none", "autocharge is off"
        answer = await api("config.apply", {"text": f"{text}\n[access]\nautocharge = true\n"})
        assert answer["applied"] and not answer["restart_needed"]
        await _charging(lab, 1)

    run_lab(tmp_path, before, config=settings, database=database)
    run_lab(tmp_path, after, config=settings, database=tmp_path / "cut.db")


def test_events_of_the_shell_are_numbered_with_those_of_the_core_and_a_replay_stays_equal(tmp_path: Path) -> None:
    async def scenario(lab: Lab) -> None:
        api = Api(lab)
        await lab.do(cmd="plug_in", connector=1, soc_pct=20)
        for _ in range(3):
            await api("whitelist.learn", {"reader": "reader1", "seconds": 5})
            await lab.forward(7)
        await lab.do(cmd="swipe", token="04A1B2C3", reader="reader1")
        await _charging(lab, 1)
        numbers = [e.seq for e in lab.events]
        assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
        assert sum(e.kind == "whitelist.learn_ended" for e in lab.events) == 3
        await lab.forward(1)
        stored, _ = await lab.store.events(kind_prefix="whitelist.")
        assert len(stored) == 6
        dumped, ticks, _ = lab.station.dump_trace("test")
        report = replay.replay(dumped)
        assert report.ticks == ticks and report.differences == ()

    run_lab(tmp_path, scenario, config=config(tmp_path, ""))
