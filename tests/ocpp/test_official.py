"""Every frame of all tests is looked at, and what the official schemas forbid is noticed, from either side."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from evse.ocpp.engine import Reply
from evse.ocpp.messages import CallError, Payload
from evse.sim.csms import CsmsError, SimCsms
from evse.sim.csms_frames import FrameBook, LinkFrames
from tests.ocpp.support import Bench, under_virtual_time


def book_of_this_test() -> FrameBook:
    assert SimCsms.frames is not None
    return SimCsms.frames


def test_every_frame_is_seen_and_wrong_ones_are_named() -> None:
    async def main() -> None:
        bench = await Bench().start()
        book = book_of_this_test()
        await bench.csms.call("GetLocalListVersion", {})
        assert book.checked == 2 * len(bench.csms.received) + 2
        assert book.take() == []

        async def wrong(payload: Payload) -> Reply:
            return Reply({"listVersion": "seven"})

        bench.client._check_outbound = False
        bench.client.handlers.extensions.append(lambda: {"GetLocalListVersion": wrong})
        bench.openers.sockets[-1].end(clean=True, detail="bye")
        await asyncio.sleep(5)
        await bench.csms.call("GetLocalListVersion", {})
        await bench.client.ask("Heartbeat", {"extra": 1})
        found = book.take()
        assert [text.split("$")[0] for text in found] == ["station: result of GetLocalListVersion: ", "station: call of Heartbeat: "]

    under_virtual_time(main)


def test_the_csms_breaks_the_schemas_on_purpose_only() -> None:
    async def main() -> None:
        bench = await Bench().start()
        book = book_of_this_test()
        nonsense = {"requestedMessage": "Nonsense"}
        with pytest.raises(CsmsError):
            await bench.csms.call("TriggerMessage", nonsense, wrong=True)
        assert book.take() == []
        with pytest.raises(CsmsError):
            await bench.csms.call("TriggerMessage", nonsense)
        bench.csms.answer("Heartbeat", payload={"currentTime": 5}, count=1)
        with pytest.raises(CallError):
            await bench.client.ask("Heartbeat", {})
        found = book.take()
        assert [text.split("$")[0] for text in found] == ["csms: call of TriggerMessage: ", "csms: result of Heartbeat: "]

    under_virtual_time(main)


HEARTBEAT = '[2,"1","Heartbeat",{}]'
METER = {"connectorId": 1, "meterValue": [{"timestamp": "2026-01-01T00:00:00Z", "sampledValue": [{"value": "1"}]}]}
PROFILE: dict[str, Any] = {
    "connectorId": 1,
    "csChargingProfiles": {
        "chargingProfileId": 1, "stackLevel": 0, "chargingProfilePurpose": "TxDefaultProfile", "chargingProfileKind": "Relative",
        "chargingSchedule": {"chargingRateUnit": "A", "chargingSchedulePeriod": [{"startPeriod": 0, "limit": 16.3}]},
    },
}


@pytest.mark.parametrize(
    ("texts", "wrong"),
    [
        ([HEARTBEAT], ""),
        (["{"], "not JSON"),
        (["{}"], "no frame"),
        (["[true]"], "no frame"),
        (['[2,"1","Heartbeat"]'], "3 elements instead of 4"),
        (['[2,"","Heartbeat",{}]'], "unique id"),
        ([f'[2,"{"x" * 37}","Heartbeat",{{}}]'], "unique id"),
        (['[2,"1","Heartbeet",{}]'], "no message of OCPP 1.6"),
        (['[2,"1","../Heartbeat",{}]'], "no message of OCPP 1.6"),
        (['[2,"1","Heartbeat",{"extra":1}]'], "'extra' was unexpected"),
        (['[2,"1","Heartbeat",[]]'], "is not of type 'object'"),
        (['[3,"1",{}]'], "nobody asked"),
        (['[4,"1","GenericError","",{}]'], "nobody asked"),
        (['[4,"-1","FormationViolation","",{}]'], "nobody asked"),
        (['[4,"1","OccurrenceConstraintViolation","",{}]'], "this code does not exist"),
        (['[4,"1","GenericError",null,{}]'], "wrong description"),
        ([json.dumps([2, "1", "MeterValues", METER])], ""),
        ([json.dumps([2, str(n), "MeterValues", METER | {"connectorId": n}]) for n in (1, 2)], ""),
        ([json.dumps([2, "1", "MeterValues", METER]), json.dumps([2, "2", "MeterValues", METER]).replace('"1"', "1")], "1 is not of type 'string'"),
        ([json.dumps([2, "1", "MeterValues", METER]).replace("timestamp", "Timestamp")], "'Timestamp' was unexpected"),
    ],
)  # fmt: skip
def test_a_frame_of_a_station_is_right_or_its_fault_is_named(texts: list[str], wrong: str) -> None:
    book = FrameBook()
    link = LinkFrames(book)
    for text in texts:
        link.heard(text)
    assert book.checked == len(texts)
    assert bool(wrong) == bool(book.wrong_count) and wrong in "".join(book.wrong)


def test_an_answer_is_judged_by_what_was_asked_and_tenths_are_exact() -> None:
    book = FrameBook()
    link = LinkFrames(book)
    link.said(json.dumps([2, "a", "SetChargingProfile", PROFILE]))
    link.heard('[3,"a",{"status":"Accepted"}]')
    assert book.wrong == []
    finer = json.dumps([2, "b", "SetChargingProfile", PROFILE]).replace("16.3", "16.34")
    link.said(finer)
    link.heard('[3,"b",{"status":"Perhaps"}]')
    first, second = book.take()
    assert "16.34" in first and first.startswith("csms: call of SetChargingProfile: $") and "Perhaps" in second
    link.said("garbage", on_purpose=True)
    link.heard('[4,"-1","FormationViolation","",{}]')
    link.said('[2,"c","Nonsense",{}]', on_purpose=True)
    link.heard('[4,"c","NotImplemented","",{}]')
    assert book.wrong == [] and book.checked == 8


def test_what_is_lost_on_its_way_is_looked_at_too() -> None:
    async def main() -> None:
        bench = await Bench().start()
        book = book_of_this_test()
        near = bench.openers.sockets[-1]
        bench.csms.half_open()
        before = book.checked
        await near.send('[2,"lost","Heartbeat",{"extra":1}]')
        assert book.checked == before + 1 and len(book.take()) == 1
        assert ("Heartbeat", {"extra": 1}) not in bench.csms.received

    under_virtual_time(main)
