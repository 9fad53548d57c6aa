"""DataTransfer both ways: local programs, their time, payloads that pass untouched; public keys after a boot."""

from __future__ import annotations

import asyncio
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evse.ocpp.data_transfer import DataTransferError, MeterKey
from evse.ocpp.messages import CallError
from evse.sim.csms import CsmsError
from evse.transports.base import WsClosed
from tests._support.examples import examples
from tests.ocpp.support import Bench, under_virtual_time

VENDOR = "com.example"


def test_a_request_reaches_its_program_and_the_confirmation_goes_back() -> None:
    async def main() -> None:
        bench = await Bench().start()
        heard = bench.client.data.subscribe(VENDOR, "fooBar", confirm_timeout_s=10)
        request = {"vendorId": VENDOR, "messageId": "fooBar", "data": "base64encodedData=="}
        asking = asyncio.ensure_future(bench.csms.call("DataTransfer", request))
        incoming = await heard.next()
        assert (incoming.vendor_id, incoming.message_id, incoming.data) == (VENDOR, "fooBar", "base64encodedData==")
        await asyncio.sleep(9.5)
        bench.client.data.confirm(incoming.request_id, "Accepted", "answer")
        assert await asking == {"status": "Accepted", "data": "answer"}
        with pytest.raises(DataTransferError, match="answered already"):
            bench.client.data.confirm(incoming.request_id, "Accepted")

    under_virtual_time(main)


def test_silence_of_the_program_is_an_error_after_its_time_and_late_answers_are_refused() -> None:
    async def main() -> None:
        bench = await Bench().start()
        heard = bench.client.data.subscribe(VENDOR, confirm_timeout_s=3)
        began = bench.clock.now()
        with pytest.raises(CsmsError, match="InternalError: the local program did not confirm within 3 s"):
            await bench.csms.call("DataTransfer", {"vendorId": VENDOR, "data": "a"})
        assert (bench.clock.now() - began) / 1e9 == pytest.approx(3, abs=0.1)
        assert not heard.waiting  # nobody takes it any more
        asking = asyncio.ensure_future(bench.csms.call("DataTransfer", {"vendorId": VENDOR}))
        late = await heard.next()
        await asyncio.sleep(4)
        with pytest.raises(DataTransferError, match="its time is over"):
            bench.client.data.confirm(late.request_id, "Accepted")
        with pytest.raises(CsmsError):
            await asking

    under_virtual_time(main)


def test_the_subscription_that_fits_best_hears_it_and_the_rest_is_unknown() -> None:
    async def main() -> None:
        bench = await Bench().start()
        data = bench.client.data

        async def built_in(message_id: str, text: str) -> tuple[str, str | None]:
            return "Accepted", f"{message_id}/{text}"

        bench.client.handlers.data_handlers["inside"] = built_in
        data.subscribe("only.one", "a")
        every, one = data.subscribe(VENDOR, confirm_timeout_s=5), data.subscribe(VENDOR, "one", confirm_timeout_s=5)
        calls = [
            asyncio.ensure_future(bench.csms.call("DataTransfer", {"vendorId": VENDOR, "messageId": name}))
            for name in ("one", "two")
        ]
        first = await one.next()
        data.confirm(first.request_id, "Rejected", "no")
        second = await every.next()
        assert (first.message_id, second.message_id) == ("one", "two")
        data.confirm(second.request_id, "UnknownMessageId")
        assert await asyncio.gather(*calls) == [{"status": "Rejected", "data": "no"}, {"status": "UnknownMessageId"}]
        for vendor, status in (("only.one", "UnknownMessageId"), ("nobody", "UnknownVendorId")):
            answer = await bench.csms.call("DataTransfer", {"vendorId": vendor, "messageId": "x"})
            assert answer == {"status": status}
        answer = await bench.csms.call("DataTransfer", {"vendorId": "inside", "messageId": "m", "data": "d"})
        assert answer == {"status": "Accepted", "data": "m/d"}
        every.close()
        every.close()
        answer = await bench.csms.call("DataTransfer", {"vendorId": VENDOR, "messageId": "two"})
        assert answer == {"status": "UnknownMessageId"}

    under_virtual_time(main)


def test_a_slow_vendor_does_not_hold_another_and_keeps_its_own_order() -> None:
    async def main() -> None:
        bench = await Bench().start()
        slow = bench.client.data.subscribe("slow", confirm_timeout_s=20)
        quick = bench.client.data.subscribe("quick", confirm_timeout_s=20)
        waiting = [
            asyncio.ensure_future(bench.csms.call("DataTransfer", {"vendorId": "slow", "data": str(n)})) for n in range(3)
        ]
        asking = asyncio.ensure_future(bench.csms.call("DataTransfer", {"vendorId": "quick"}))
        bench.client.data.confirm((await quick.next()).request_id, "Accepted")
        assert await asking == {"status": "Accepted"}
        for number in range(3):
            incoming = await slow.next()
            assert (incoming.data, len(slow.waiting)) == (str(number), 0)
            await asyncio.sleep(5)
            bench.client.data.confirm(incoming.request_id, "Accepted", incoming.data)
        assert [answer["data"] for answer in await asyncio.gather(*waiting)] == ["0", "1", "2"]

    under_virtual_time(main)


@pytest.mark.parametrize(
    ("vendor", "message", "seconds", "words"),
    [
        (VENDOR, None, 0, "1 to 60 s"), (VENDOR, None, 61, "1 to 60 s"), ("", None, 1, "1 to 255 characters"),
        ("v" * 256, None, 1, "1 to 255 characters"), (VENDOR, "m" * 51, 1, "at most 50"),
        ("taken", "m", 1, "another program"), ("inside", None, 1, "answers this vendorId itself"),
    ],
)
def test_a_subscription_that_cannot_be_is_refused(vendor: str, message: str | None, seconds: int, words: str) -> None:
    async def main() -> None:
        bench = await Bench().start(0)
        bench.client.data.subscribe("taken", "m")

        async def built_in(message_id: str, text: str) -> tuple[str, str | None]:
            return "Accepted", None

        bench.client.handlers.data_handlers["inside"] = built_in
        with pytest.raises(DataTransferError, match=words):
            bench.client.data.subscribe(vendor, message, seconds)
        assert len(bench.client.data.subscriptions()) == 1

    under_virtual_time(main)


def test_there_are_64_subscriptions_at_most_and_wrong_confirmations_are_named() -> None:
    async def main() -> None:
        bench = await Bench().start(0)
        for number in range(64):
            bench.client.data.subscribe(f"v{number}")
        with pytest.raises(DataTransferError, match="64 subscriptions"):
            bench.client.data.subscribe("more")
        with pytest.raises(DataTransferError, match="status 'Maybe'"):
            bench.client.data.confirm("dt-1", "Maybe")
        with pytest.raises(DataTransferError, match="unknown"):
            bench.client.data.confirm("dt-77", "Accepted")

    under_virtual_time(main)


@settings(max_examples=examples(25), deadline=None)
@given(st.text(max_size=200), st.none() | st.text(max_size=50))
def test_payloads_pass_untouched_both_ways(data: str, message_id: str | None) -> None:
    async def main() -> None:
        bench = await Bench().start()
        heard = bench.client.data.subscribe(VENDOR, confirm_timeout_s=5)
        request = {"vendorId": VENDOR, "data": data, **({} if message_id is None else {"messageId": message_id})}
        asking = asyncio.ensure_future(bench.csms.call("DataTransfer", request))
        incoming = await heard.next()
        assert (incoming.message_id, incoming.data) == (message_id, data)
        bench.client.data.confirm(incoming.request_id, "Accepted", data)
        assert await asking == {"status": "Accepted", "data": data}
        bench.csms.answer("DataTransfer", payload={"status": "Rejected", "data": data})
        assert await bench.client.data_transfer(VENDOR, message_id, data) == {"status": "Rejected", "data": data}
        assert bench.csms.calls("DataTransfer")[-1] == request

    under_virtual_time(main)


def test_a_message_that_the_schema_forbids_is_not_sent_and_offline_is_told() -> None:
    async def main() -> None:
        bench = await Bench().start()
        with pytest.raises(CallError, match="messageId"):
            await bench.client.data_transfer(VENDOR, "m" * 51, None)
        assert bench.csms.calls("DataTransfer") == []
        bench.csms.down()
        await asyncio.sleep(1)
        with pytest.raises(WsClosed, match="offline"):
            await bench.client.data_transfer(VENDOR, None, None)

    under_virtual_time(main)


# -- public keys --------------------------------------------------------------------------------------------------

KEYS = (MeterKey(connector_id=1, serial="S1", public_key="3059"), MeterKey(connector_id=2, serial="S2", public_key="30AB"))


def test_public_keys_follow_every_boot_and_no_reconnect() -> None:
    async def main() -> None:
        bench = Bench()
        bench.csms.registration, bench.csms.heartbeat_s = "Pending", 10
        await bench.start()
        bench.client.meter_keys = lambda: KEYS
        bench.csms.registration = "Accepted"
        bench.csms.answer("DataTransfer", error="InternalError", count=1)  # does not matter
        await asyncio.sleep(20)
        sent = bench.csms.calls("DataTransfer")
        assert [(row["vendorId"], row["messageId"]) for row in sent] == [("generalConfiguration", "setMeterConfiguration")]
        assert json.loads(sent[0]["data"]) == {"meters": [
            {"connectorId": 1, "meterSerial": "S1", "type": "SIGNATURE", "publicKey": "3059"},
            {"connectorId": 2, "meterSerial": "S2", "type": "SIGNATURE", "publicKey": "30AB"},
        ]}
        bench.openers.sockets[-1].end(clean=True, detail="bye")
        await asyncio.sleep(10)
        assert bench.client.online and len(bench.csms.calls("DataTransfer")) == 1
        assert await bench.client.set_key("bootNotificationOnReconnect", "true") == "Accepted"
        bench.openers.sockets[-1].end(clean=True, detail="bye")
        await asyncio.sleep(10)
        assert len(bench.csms.calls("DataTransfer")) == 2

    under_virtual_time(main)


@pytest.mark.parametrize("wanted", [True, False])
def test_no_keys_or_not_wanted_sends_nothing(wanted: bool) -> None:
    async def main() -> None:
        bench = Bench(send_meter_public_key=wanted)
        bench.csms.registration, bench.csms.heartbeat_s = "Pending", 10
        await bench.start()
        if not wanted:
            bench.client.meter_keys = lambda: KEYS
        bench.csms.registration = "Accepted"
        await asyncio.sleep(20)
        assert bench.client.online and bench.csms.calls("DataTransfer") == []

    under_virtual_time(main)
