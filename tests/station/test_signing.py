"""Meters that sign, in the whole station: simulated meters behind their bytes, the OCPP client, power cuts and faults.

Signatures are checked by `tests.meters.ocmf_check`, which shares nothing with the station or the simulator.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from evse.config.load import parse_config
from evse.config.model import StationConfig
from evse.domain.base import ConfigError
from evse.domain.faults import FaultCode
from evse.domain.session import StopReason
from evse.lab.demo_config import demo_text
from evse.lab.station import Lab
from evse.lab.vloop import run_virtual
from tests._support.examples import seconds
from tests._support.lab_world import Api, run_lab
from tests.meters.ocmf_check import genuine, id_of, readings
from tests.station.test_ocpp_ac import CARD, ask

PROFILES = {"ac-quick": "eastron/sdm630", "dc-quick": "acrel/djsf1352-rn"}
SIGNING = {"ac-quick": "laboratory/signing-ac", "dc-quick": "laboratory/signing-dc"}


def station(folder: Path, name: str, mode: str = "require", model: str = "", wait_s: int = 10) -> StationConfig:
    """A station of the demo; the meter of connector 1 signs, on a line of its own."""
    (folder / "data").mkdir(exist_ok=True)
    text = demo_text(name, str(folder), "239.0.0.1", 9000, lambda: 1502)
    head, mark, rest = text.partition("[evse.meter]")
    assert mark
    first, _, others = rest.partition("\n\n")
    assert PROFILES[name] in first
    own = (
        f'\nprofile = "{model or SIGNING[name]}"\nport = "{folder}/dev/signing"\naddress = 1\nbaud = 19200\npoll_ms = 500\n'
        f'signed = "{mode}"\nsigned_wait_s = {wait_s}'
    )
    return parse_config(f"{head}{mark}{own}\n\n{others}", "station.toml")


def stop_of(lab: Lab, number: int = -1) -> dict[str, Any]:
    assert lab.sim.csms is not None
    found: dict[str, Any] = lab.sim.csms.calls("StopTransaction")[number]
    return found


def signed_values(stop: dict[str, Any]) -> list[tuple[str, str]]:
    """(context, text) of the signed values of a StopTransaction."""
    values = [value for entry in stop.get("transactionData", []) for value in entry["sampledValue"]]
    assert all(v["measurand"] == "Energy.Active.Import.Register" for v in values if v.get("format") == "SignedData")
    return [(value["context"], value["value"]) for value in values if value.get("format") == "SignedData"]


async def public_key(lab: Lab, number: int = 1) -> str:
    answer = await ask(lab, "GetConfiguration", key=[f"Meter{number}PublicKey"])
    (row,) = answer["configurationKey"]
    assert row["readonly"]
    return str(row["value"])


async def plug_and_swipe(lab: Lab, **car: Any) -> None:
    await lab.do(cmd="plug_in", connector=1, **car)
    await lab.do(cmd="swipe", token=CARD, reader="reader1")


async def charging(lab: Lab) -> None:
    await lab.until(lambda: (lab.evse(1).power_w or 0) > 1_000, "connector 1 charges", 60)


async def end(lab: Lab) -> None:
    await lab.do(cmd="plug_out", connector=1, force=True)
    await lab.until(lambda: lab.evse(1).session is None, "the session is over", 30)
    await lab.forward(1)
    await lab.until(lambda: lab.station.ocpp is not None and lab.station.ocpp.summary().queued == 0, "queue", 60)


@pytest.mark.parametrize(("name", "mode", "model"), [
    ("ac-quick", "require", ""), ("dc-quick", "require", ""), ("ac-quick", "prefer", "iskra/wm3m4c"),
])
def test_a_transaction_is_signed_at_begin_and_end(tmp_path: Path, name: str, mode: str, model: str) -> None:
    async def scenario(lab: Lab) -> None:
        assert lab.sim.csms is not None
        await plug_and_swipe(lab)
        await lab.until(lambda: lab.evse(1).waiting_for == "the signed reading of the energy meter", "signing", 20)
        assert (lab.evse(1).power_w or 0) == 0
        await charging(lab)
        await lab.forward(seconds(60, 12))
        await end(lab)
        stop = stop_of(lab)
        (first, begin), (last, final) = signed_values(stop)
        assert (first, last) == ("Transaction.Begin", "Transaction.End")
        key = await public_key(lab)
        assert genuine(begin, key)
        assert genuine(final, key)
        assert not genuine(final.replace('"RV":', '"RV":1', 1), key)
        (session, *_), _, _ = await lab.store.sessions()
        assert session.signed is not None
        assert (session.signed.begin, session.signed.end, session.signed.public_key) == (begin, final, key)
        assert session.signed.meter_serial
        register = [one["wh"] for one in readings(final)]
        assert register == [session.meter_start_wh, session.meter_stop_wh]
        assert stop["meterStop"] == register[1] > register[0]
        assert id_of(final) == ("" if model else CARD)
        told = [row for row in lab.sim.csms.calls("DataTransfer") if row["messageId"] == "setMeterConfiguration"]
        assert [row["vendorId"] for row in told] == ["generalConfiguration"]
        meters = json.loads(told[0]["data"])["meters"]
        assert meters[0] == {"connectorId": 1, "meterSerial": session.signed.meter_serial, "type": "SIGNATURE", "publicKey": key}
        assert [row["connectorId"] for row in meters] == ([1, 3] if name == "ac-quick" else [1])
        api = Api(lab)
        (meter,) = (await api("meter.read", {"name": "1"}))["items"]
        assert (meter["signed"], meter["public_key"], meter["serial"]) == (mode, key, session.signed.meter_serial)
        detail = (await api("session.get", {"session_id": session.session_id}))["session"]["signed"]
        assert (detail["begin"], detail["end"], detail["public_key"]) == (begin, final, key)
        answer = await ask(lab, "GetConfiguration", key=["Meter2PublicKey", "calibrationLawFormat"])
        assert answer["unknownKey"] == ["Meter2PublicKey"], "its meter does not sign"
        assert lab.sim.csms.ledger()["violations"] == []

    run_lab(tmp_path, scenario, config=station(tmp_path, name, mode, model))


@pytest.mark.parametrize(("name", "fault", "code"), [
    ("ac-quick", "meter_sign_failed", FaultCode.METER_INTERNAL), ("ac-quick", "meter_sign_stuck", FaultCode.METER_INTERNAL),
    ("dc-quick", "meter_sign_failed", FaultCode.METER_LOST), ("dc-quick", "meter_sign_stuck", FaultCode.METER_LOST),
])
def test_without_a_signed_begin_a_vehicle_is_refused_until_it_leaves(tmp_path: Path, name: str, fault: str, code: FaultCode) -> None:
    async def scenario(lab: Lab) -> None:
        await lab.do(cmd="fault", action="raise", fault=fault, connector=1)
        await plug_and_swipe(lab)
        await lab.until(lambda: any(f.code is code for f in lab.evse(1).faults), "fault", 30)
        assert "has not signed" in lab.evse(1).faults[0].detail
        await lab.forward(seconds(20, 12))
        refused = lab.evse(1).session
        assert refused is not None
        assert refused.started_at is None, "no transaction, no energy"
        await lab.do(cmd="fault", action="clear", fault=fault, connector=1)
        await lab.forward(5)
        assert lab.evse(1).faults, "it stands for this vehicle"
        await end(lab)
        assert not lab.evse(1).faults
        await plug_and_swipe(lab)
        await charging(lab)
        await end(lab)
        assert len(signed_values(stop_of(lab))) == 2

    run_lab(tmp_path, scenario, config=station(tmp_path, name, wait_s=5))


@pytest.mark.parametrize("name", ["ac-quick", "dc-quick"])
def test_without_a_signed_end_the_transaction_ends_with_the_fault(tmp_path: Path, name: str) -> None:
    async def scenario(lab: Lab) -> None:
        await plug_and_swipe(lab)
        await charging(lab)
        await lab.do(cmd="fault", action="raise", fault="meter_sign_stuck", connector=1)
        assert await lab.station.loop.ask(stop_session) == ""
        await lab.until(lambda: getattr(lab.evse(1).session, "ended_at", None) is not None, "ended", 40)
        session = lab.evse(1).session
        assert session is not None
        assert session.fault.startswith("F26" if name == "ac-quick" else "F9")
        assert session.stop_reason is StopReason.LOCAL, "the first reason stays"
        assert lab.evse(1).faults
        await lab.forward(11)
        assert not lab.evse(1).faults, "the next begin proves whether the meter can"
        await lab.do(cmd="swipe", token=CARD, reader="reader1")
        await lab.until(lambda: bool(lab.evse(1).faults), "the same vehicle is refused now", 30)
        await end(lab)
        assert not lab.evse(1).faults
        assert [context for context, _ in signed_values(stop_of(lab))] == ["Transaction.Begin"]

    run_lab(tmp_path, scenario, config=station(tmp_path, name, wait_s=5))


def stop_session(seq: int) -> Any:
    from evse.core.inputs import StopSession

    return StopSession(seq=seq, evse_id=1, reason=StopReason.LOCAL)


@pytest.mark.parametrize("fault", ["meter_sign_failed", "meter_sign_stuck"])
def test_preferred_signatures_hold_nobody_up_for_ever(tmp_path: Path, fault: str) -> None:
    async def scenario(lab: Lab) -> None:
        await lab.do(cmd="fault", action="raise", fault=fault, connector=1)
        await plug_and_swipe(lab)
        await charging(lab)
        assert not lab.evse(1).faults
        await end(lab)
        assert signed_values(stop_of(lab)) == []
        (session, *_), _, _ = await lab.store.sessions()
        assert session.signed is None
        assert session.energy_wh >= 0

    run_lab(tmp_path, scenario, config=station(tmp_path, "ac-quick", "prefer", wait_s=5))


def test_a_signed_begin_survives_a_power_cut_and_a_link_that_is_down(tmp_path: Path) -> None:
    config = station(tmp_path, "ac-quick")
    database = tmp_path / "station.sqlite3"

    async def main() -> None:
        lab = Lab(config, tmp_path / "data", fast=True, database=database)
        await lab.__aenter__()
        await lab.forward(20)
        assert lab.sim.csms is not None
        key = await public_key(lab)
        await plug_and_swipe(lab)
        await lab.until(lambda: lab.evse(1).auth_state == "granted", "granted", 20)
        lab.sim.csms.down()
        await charging(lab)
        await lab.forward(5)
        before = lab.evse(1).session
        assert before is not None
        assert before.signed is not None
        await lab.kill()
        await lab.forward(2)
        await lab.do(cmd="plug_out", connector=1, force=True)
        lab.sim.csms.up()
        again = Lab(config, tmp_path / "data", database=database, sim=lab.sim, clock=lab.clock)
        await again.__aenter__()
        await again.until(lambda: again.station.ocpp is not None and again.station.ocpp.summary().queued == 0, "queue", 240)
        session = await again.store.session(before.session_id)
        assert session is not None
        assert session.signed == before.signed
        ((context, text),) = signed_values(stop_of(again))
        assert (context, text) == ("Transaction.Begin", before.signed.begin)
        assert stop_of(again)["reason"] == "PowerLoss"
        assert genuine(text, key)
        await plug_and_swipe(again)  # the meter still has the begin of before: it is ended first
        await charging(again)
        await end(again)
        assert [c for c, _ in signed_values(stop_of(again))] == ["Transaction.Begin", "Transaction.End"]
        await again.__aexit__(None, None, None)
        await lab.__aexit__(None, None, None)

    run_virtual(main())


def test_required_signatures_need_a_meter_that_signs(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as error:
        station(tmp_path, "ac-quick", "require", "eastron/sdm630")
    assert any("signed" in problem and "eastron/sdm630" in problem for problem in error.value.problems), error.value.problems
