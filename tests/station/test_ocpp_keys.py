"""What configuration keys do to the whole station: free charging, groups of cards, currents, time."""

from __future__ import annotations

import logging
from pathlib import Path

from msgspec.structs import replace

from evse.domain.session import StopReason
from evse.lab.station import Lab
from evse.ocpp.messages import timestamp
from evse.units import NS_PER_S
from tests._support.examples import seconds
from tests._support.lab_world import run_lab
from tests.station.test_ocpp_ac import CARD, ac_station, ask, charge, charging, pilot, set_key

PARTNER = "04C0FFEE"


def test_a_card_of_the_group_ends_the_session_of_another(tmp_path: Path) -> None:
    async def scenario(lab: Lab) -> None:
        csms = lab.sim.csms
        assert csms is not None
        family = {"idTagInfo": {"status": "Accepted", "parentIdTag": "FAMILY"}}
        csms.answer("Authorize", payload=family)
        await charge(lab)
        csms.answer("Authorize", payload={"idTagInfo": {"status": "Accepted", "parentIdTag": "NEIGHBOURS"}})
        await lab.do(cmd="swipe", token="04BADBAD", reader="reader1")
        await lab.forward(10)
        assert csms.calls("StopTransaction") == []
        csms.answer("Authorize", payload=family)
        await lab.do(cmd="swipe", token=PARTNER, reader="reader1")
        await lab.until(lambda: bool(csms.calls("StopTransaction")), "it ends", 30)
        (stop,) = csms.calls("StopTransaction")
        assert (stop["idTag"], stop["reason"]) == (PARTNER, "Local")
        session = (await lab.store.sessions())[0][0]
        assert (session.id_token, session.stop_token, session.stop_reason) == (CARD, PARTNER, StopReason.LOCAL)
        assert csms.violations == []

    run_lab(tmp_path, scenario, config=ac_station(tmp_path))


def test_free_mode_charges_without_a_card_under_its_own(tmp_path: Path) -> None:
    async def scenario(lab: Lab) -> None:
        csms = lab.sim.csms
        assert csms is not None
        assert await set_key(lab, "FreeModeUID", "FREEBEER") == "Accepted"
        assert await set_key(lab, "FreeMode", "true") == "Accepted"
        await lab.forward(1)
        await lab.do(cmd="plug_in", connector=1)
        await charging(lab)
        assert csms.calls("StartTransaction")[0]["idTag"] == "FREEBEER"
        assert await set_key(lab, "FreeMode", "false") == "Accepted"
        await lab.forward(1)
        await lab.do(cmd="plug_in", connector=2)
        await lab.forward(seconds(30, 12))
        assert not lab.evse(2).power_w

    run_lab(tmp_path, scenario, config=ac_station(tmp_path))


def test_a_current_by_key_is_what_the_pilot_offers(tmp_path: Path) -> None:
    async def scenario(lab: Lab) -> None:
        await charge(lab)
        before = pilot(lab).duty_bp
        assert await set_key(lab, "MaxCurrent", "10") == "Accepted"
        await lab.forward(2)
        assert pilot(lab).duty_bp == 1666 != before  # 10 A: 16.66 %
        found = await ask(lab, "GetCompositeSchedule", connectorId=1, duration=60, chargingRateUnit="A")
        assert found["chargingSchedule"]["chargingSchedulePeriod"][0]["limit"] == 10

    run_lab(tmp_path, scenario, config=ac_station(tmp_path))


def test_a_refused_card_is_paused_and_keeps_its_transaction(tmp_path: Path) -> None:
    async def scenario(lab: Lab) -> None:
        csms = lab.sim.csms
        assert csms is not None
        assert await set_key(lab, "StopTransactionOnInvalidId", "false") == "Accepted"
        assert await set_key(lab, "MaxEnergyOnInvalidId", "50") == "Accepted"
        csms.answer("StartTransaction", payload={"transactionId": 1, "idTagInfo": {"status": "Invalid"}}, count=1)
        await charge(lab, phases=3)
        await lab.until(lambda: not lab.evse(1).power_w, "it has had its 50 Wh", 120)
        session = lab.evse(1).session
        assert session is not None and session.ended_at is None
        assert 50 <= session.energy_wh < 70
        await lab.forward(12)
        assert csms.statuses[next(key for key in csms.statuses if key[1] == 1)]["status"] == "SuspendedEVSE"

    run_lab(tmp_path, scenario, config=ac_station(tmp_path))


def test_nobody_charges_before_the_time_is_known_when_that_is_configured(tmp_path: Path) -> None:
    async def scenario(lab: Lab) -> None:
        lab.clock.valid = False
        await lab.do(cmd="plug_in", connector=1)
        await lab.do(cmd="swipe", token=CARD, reader="reader1")
        await lab.forward(seconds(30, 12))
        assert not lab.evse(1).power_w and lab.evse(1).waiting_for == "the time of day"
        lab.clock.valid = True
        await charging(lab)

    config = ac_station(tmp_path)
    config = replace(config, ocpp=replace(config.ocpp, allow_tx_with_invalid_time=False))
    run_lab(tmp_path, scenario, config=config, database=tmp_path / "db.sqlite3")


def test_a_transaction_that_began_before_the_time_was_known_has_it_everywhere(tmp_path: Path) -> None:
    """Offline without a clock, then the CSMS tells the time: session, messages, marks and profiles are of the true time."""

    async def scenario(lab: Lab) -> None:
        csms = lab.sim.csms
        assert csms is not None
        true = lab.clock.wall()
        assert await set_key(lab, "AllowOfflineTxForUnknownId", "true") == "Accepted"
        csms.down()
        await lab.forward(1)
        assert lab.station.ocpp is not None
        behind = true - 100 * NS_PER_S
        lab.clock.jump_wall(lab.clock.wall() - behind)
        lab.clock.valid = False
        await lab.station.ocpp._late.open()  # as if the process had started so
        await lab.forward(2)
        await charge(lab)
        began = lab.evse(1).session
        assert began is not None and began.started_at is not None and began.started_at < 10**15
        await lab.forward(30)
        lab.clock.jump_wall(lab.clock.wall() + behind)
        lab.clock.valid = True
        await lab.forward(3)
        session = lab.evse(1).session
        assert session is not None and session.started_at == began.started_at + behind
        csms.up()
        await lab.until(lambda: bool(csms.calls("StartTransaction")), "it is told", 200)
        assert csms.calls("StartTransaction")[0]["timestamp"] == timestamp(session.started_at)
        await lab.do(cmd="swipe", token=CARD, reader="reader1")
        await lab.until(lambda: bool(csms.calls("StopTransaction")), "it ends", 60)
        assert "1970" not in str(csms.calls("MeterValues")) + str(csms.calls("StopTransaction"))
        assert csms.violations == []

    run_lab(tmp_path, scenario, config=ac_station(tmp_path))


def test_a_reservation_of_any_connector_holds_one_and_ends_where_its_card_charges(tmp_path: Path) -> None:
    async def scenario(lab: Lab) -> None:
        csms = lab.sim.csms
        assert csms is not None
        until = timestamp(lab.clock.wall() + 600 * NS_PER_S)
        reserve = {"connectorId": 0, "expiryDate": until, "idTag": CARD, "reservationId": 7}
        assert (await csms.call("ReserveNow", reserve))["status"] == "Accepted"
        await lab.forward(1)
        assert [evse.evse_id for evse in lab.station.view().evses if evse.reserved] == [3]
        await lab.do(cmd="plug_in", connector=2)
        await lab.do(cmd="swipe", token=PARTNER, reader="reader2")
        await charging(lab, 2)  # others are served
        await charge(lab, 1)
        await lab.forward(3)
        first, second = csms.calls("StartTransaction")
        assert ("reservationId" in first, second["reservationId"]) == (False, 7)
        assert not any(evse.reserved for evse in lab.station.view().evses)

    run_lab(tmp_path, scenario, config=ac_station(tmp_path))


def test_keys_reach_the_log_the_lamps_and_the_readers_and_stand_over_a_restart(tmp_path: Path) -> None:
    def turned(lab: Lab) -> tuple[str, str]:
        reader = lab.station.devices.readers["reader1"]
        return reader.byte_order, reader.character_order

    own = logging.getLogger("evse")
    before = own.level

    async def scenario(lab: Lab) -> None:
        assert turned(lab) == ("big", "plain")
        assert await set_key(lab, "RFIDByteOrder", "Little") == "Accepted"
        assert turned(lab) == ("little", "plain")
        assert await set_key(lab, "RFIDCharacterOrder", "mirror") == "Rejected"
        assert await set_key(lab, "BlinkRepeat", "4") == "Accepted"
        assert await set_key(lab, "LogLevel", "TRACE") == "Rejected"
        assert await set_key(lab, "LogLevel", "DEBUG") == "Accepted"
        assert own.level == logging.DEBUG
        own.setLevel(before)
        await lab.forward(1)
        assert lab.station.loop.spec.blink_repeat == 4
        config = lab.station.config
        await lab.station.change_config(replace(config, reader=(replace(config.reader[0], character_order="word"),)), "test")
        assert turned(lab) == ("little", "word"), "the key goes before the file, and the file counts where no key was set"
        found = await ask(lab, "GetConfiguration", key=["RFIDByteOrder", "RFIDCharacterOrder"])
        assert [row["value"] for row in found["configurationKey"]] == ["little", "word"]

    async def again(lab: Lab) -> None:
        assert own.level == logging.DEBUG
        assert turned(lab)[0] == "little"

    config = ac_station(tmp_path)
    try:
        run_lab(tmp_path, scenario, config=config, database=tmp_path / "db.sqlite3")
        run_lab(tmp_path, again, config=config, database=tmp_path / "db.sqlite3")
    finally:
        own.setLevel(before)
