"""What a technician asks of the back-end link through the API, on the whole station with the simulated CSMS."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from evse.api.errors import ApiError, ErrorCode
from evse.lab.station import Lab
from tests._support.lab_world import Api, run_lab
from tests.station.test_backend_limits import ask, charge, profile


async def refused(api: Api, operation: str, request: dict[str, Any], kind: ErrorCode = ErrorCode.CONFLICT) -> str:
    with pytest.raises(ApiError) as caught:
        await api(operation, request)
    assert caught.value.kind is kind
    return str(caught.value)


def test_state_messages_and_events_of_the_link(tmp_path: Path) -> None:
    async def scenario(lab: Lab) -> None:
        api = Api(lab)
        await charge(lab, 1, "04A1B2C3")
        state = await api("ocpp.status")
        assert (state["connected"], state["registration"], state["target"]) == (True, "Accepted", "active")
        assert state["last_boot"] is not None and state["failures"] == 0 and state["ping_s"] == 30
        rows = (await api("ocpp.messages", {"limit": 500}))["items"]
        by_seq = {row["seq"]: row for row in rows}
        start = next(row for row in rows if row["action"] == "StartTransaction" and row["type"] == "call")
        answer = by_seq[start["pair"]]
        assert answer["pair"] == start["seq"] and answer["evse_id"] == start["evse_id"] == 1
        assert all((row["latency_ms"] is None) == (row["type"] == "call") for row in rows)
        only = (await api("ocpp.messages", {"limit": 500, "evse_id": 1, "direction": "sent", "text": "idtag"}))["items"]
        assert {row["action"] for row in only} <= {"Authorize", "StartTransaction"} and start in only
        kinds = [row["what"] for row in (await api("ocpp.log"))["items"]]
        assert kinds == ["dialling", "connected", "registered"]
        assert (await api("ocpp.reconnect"))["detail"] == "dialling"
        await lab.forward(10)
        events = (await api("ocpp.log"))["items"]
        assert [row["what"] for row in events[3:]] == ["closed", "dialling", "connected", "registered"]
        assert "closed by" in events[3]["text"]

    run_lab(tmp_path, scenario, laws=False)


def test_the_stream_tells_each_message_once_and_resumes(tmp_path: Path) -> None:
    async def scenario(lab: Lab) -> None:
        service = Api(lab)._service
        stream = service.ocpp_stream(None)
        first = await anext(stream)
        assert first.type == "heartbeat"
        await ask(lab, "TriggerMessage", {"requestedMessage": "Heartbeat"})
        await lab.forward(1)
        seen = [await anext(stream) for _ in range(4)]
        assert [item.message.action for item in seen if item.message] == ["TriggerMessage"] * 2 + ["Heartbeat"] * 2
        assert [item.seq for item in seen] == list(range(first.seq + 1, first.seq + 5))
        assert seen[1].message is not None and seen[1].message.pair == seen[0].seq
        await stream.aclose()
        again = service.ocpp_stream(first.seq)
        assert (await anext(again)).seq == first.seq
        assert [(await anext(again)).seq for _ in range(4)] == [item.seq for item in seen]
        await again.aclose()
        quiet = service.ocpp_stream(None)
        assert [(await anext(quiet)).type for _ in range(2)] == ["heartbeat", "heartbeat"]
        await quiet.aclose()

    run_lab(tmp_path, scenario, laws=False)


def test_an_explained_schedule_binds_when_it_limits(tmp_path: Path) -> None:
    async def scenario(lab: Lab) -> None:
        api = Api(lab)
        none = (await api("ocpp.explain", {"evse_id": 1}))["items"][0]
        assert not none["capped"] and not none["items"] and not none["binds"]
        await charge(lab, 1, "04A1B2C3")
        falling = profile(1, "ChargePointMaxProfile", [(0, 60_000), (600, 20_000)])
        low = profile(2, "TxDefaultProfile", [(0, 12_000)])
        high = {**profile(3, "TxDefaultProfile", [(0, 90_000)]), "stackLevel": 1, "validFrom": "2099-01-01T00:00:00Z"}
        for connector, body in ((0, falling), (1, low), (1, high)):
            answer = await ask(lab, "SetChargingProfile", {"connectorId": connector, "csChargingProfiles": body})
            assert answer == {"status": "Accepted"}
        await lab.forward(5)
        told = (await api("ocpp.explain", {"evse_id": 1}))["items"][0]
        assert (told["power_w"], told["capped"], told["binds"]) == (12_000, True, True), told
        assert {row["profile"]["profile_id"]: row["standing"] for row in told["items"]} == {1: "in_force", 2: "in_force", 3: "waits"}
        assert [row["profile"]["profile_id"] for row in told["items"] if row["decides"]] == [2]
        composite = await api("ocpp.composite", {"evse_id": 1, "duration_s": 3600, "unit": "W"})
        assert composite["items"][0]["limit"] == 12_000
        whole = (await api("ocpp.explain"))["items"]
        assert [item["evse_id"] for item in whole] == [0, 1, 2] and whole[0]["power_w"] == 60_000
        assert whole[0]["next_power_w"] == 20_000 and whole[0]["changes_at"] is not None
        assert "profile 2" in told["text"] and "limits charging now" in told["text"]
        assert "connectors: 0" in (await _hint(api, "ocpp.explain", {"evse_id": 9}))

    run_lab(tmp_path, scenario, laws=False)


async def _hint(api: Api, operation: str, request: dict[str, Any]) -> str:
    with pytest.raises(ApiError) as caught:
        await api(operation, request)
    assert caught.value.kind is ErrorCode.NOT_FOUND
    return caught.value.hint


def test_trigger_and_doctor_beside_a_link_that_stands(tmp_path: Path) -> None:
    async def scenario(lab: Lab) -> None:
        api = Api(lab)
        await api("ocpp.trigger", {"message": "Heartbeat"})
        await api("ocpp.trigger", {"message": "StatusNotification", "evse_id": 1})
        await lab.forward(1)
        sent = [row["action"] for row in (await api("ocpp.messages", {"direction": "sent"}))["items"]]
        assert "Heartbeat" in sent and "StatusNotification" in sent
        assert "9" in await refused(api, "ocpp.trigger", {"message": "MeterValues", "evse_id": 9}, ErrorCode.NOT_FOUND)
        events = len((await api("ocpp.log"))["items"])
        report = await api("ocpp.doctor")
        assert report["live"] and report["failed"] == "" and [row["name"] for row in report["items"]][-1] == "boot"
        assert report["items"][-1]["detail"] == "BootNotification accepted"
        await lab.forward(5)
        assert len((await api("ocpp.log"))["items"]) == events, "the link was not touched"

    run_lab(tmp_path, scenario, laws=False)


def test_the_queue_is_seen_while_there_is_no_link(tmp_path: Path) -> None:
    async def scenario(lab: Lab) -> None:
        api = Api(lab)
        assert not (await api("ocpp.queue"))["items"]
        assert not (await api("ocpp.resend"))["changed"]
        await refused(api, "ocpp.queue_discard", {"confirm": 3})
        await charge(lab, 1, "04A1B2C3")
        await lab.do(cmd="csms", action="down")
        await lab.do(cmd="plug_out", connector=1, force=True)
        await lab.forward(20)
        queue = await api("ocpp.queue")
        assert queue["waiting"] == len(queue["items"]) > 0 and queue["foreign"] == 0
        last = queue["items"][-1]
        assert (last["action"], last["state"]) == ("StopTransaction", "waiting") and last["transaction_id"] is not None
        await refused(api, "ocpp.trigger", {"message": "Heartbeat"})
        await refused(api, "ocpp.data_send", {"vendor_id": "com.example"})
        await lab.do(cmd="csms", action="up")
        await lab.until(lambda: lab.station.ocpp is not None and lab.station.ocpp.summary().queued == 0, "queue", 300)
        assert not (await api("ocpp.queue"))["items"]

    run_lab(tmp_path, scenario, laws=False)


def test_a_local_program_hears_and_answers_data_transfer(tmp_path: Path) -> None:
    async def scenario(lab: Lab) -> None:
        api = Api(lab)
        number = (await api("ocpp.data_subscribe", {"vendor_id": "com.example", "confirm_s": 5}))["subscription"]
        await refused(api, "ocpp.data_subscribe", {"vendor_id": "com.example"})
        asked = asyncio.ensure_future(ask(lab, "DataTransfer", {"vendorId": "com.example", "messageId": "m", "data": " {x} "}))
        found = (await api("ocpp.data_next", {"subscription": number, "seconds": 20}))["items"]
        assert [(row["message_id"], row["data"]) for row in found] == [("m", " {x} ")]
        await api("ocpp.data_confirm", {"request_id": found[0]["request_id"], "status": "Rejected", "data": "no"})
        assert await asked == {"status": "Rejected", "data": "no"}
        await refused(api, "ocpp.data_confirm", {"request_id": found[0]["request_id"]})
        assert not (await api("ocpp.data_next", {"subscription": number, "seconds": 2}))["items"]
        await lab.forward(61)  # the program has gone
        await _hint(api, "ocpp.data_next", {"subscription": number})
        assert await ask(lab, "DataTransfer", {"vendorId": "com.example"}) == {"status": "UnknownVendorId"}
        again = (await api("ocpp.data_subscribe", {"vendor_id": "com.example"}))["subscription"]
        assert (await api("ocpp.data_unsubscribe", {"subscription": again}))["changed"]
        assert not (await api("ocpp.data_unsubscribe", {"subscription": again}))["changed"]

    run_lab(tmp_path, scenario, laws=False)


def test_security_and_transfers_are_told(tmp_path: Path) -> None:
    async def scenario(lab: Lab) -> None:
        api = Api(lab)
        state = await api("ocpp.security")
        assert state["profile"] == 0 and not state["key_set"] and state["staged"] is None
        rejected = await api("ocpp.set_password", {"secret": "short"})
        assert rejected["status"] == "Rejected" and rejected["reason"]
        wrong = await api("ocpp.cert_install", {"type": "CentralSystemRootCertificate", "pem": "hello"})
        assert wrong["status"] != "Accepted" and wrong["reason"]
        assert not (await api("ocpp.certs"))["items"]
        await _hint(api, "ocpp.cert_delete", {"fingerprint": "aabbccdd"})
        events = (await api("ocpp.security_events"))["items"]
        assert "StartupOfTheDevice" in [row["type"] for row in events]
        assert not (await api("ocpp.cancel_change"))["changed"]
        assert not (await api("ocpp.transfers"))["items"]
        assert "log" in await refused(api, "ocpp.transfer_cancel", {"transfer": "log"})

    run_lab(tmp_path, scenario, laws=False)
