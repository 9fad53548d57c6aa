"""The OCPP client against a strict CSMS that shares no code with it (npm ``ocpp-rpc``), over a real WebSocket."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random
from typing import Any

import msgspec
import pytest

from evse.config.model_ocpp import OcppSection
from evse.domain.clock import Clock
from evse.domain.readings import MeterValues
from evse.domain.session import AuthSource, ChargingState, SessionPhase, SessionRecord, StopReason
from evse.ocpp.client import OcppClient
from evse.ocpp.ports import Identity
from evse.runtime.clock import RealClock
from evse.storage.db import Store, ThreadExecutor
from evse.transports.real import RealOpeners
from tests.ocpp.support import FakeStation

HERE = Path(__file__).parent
PATIENCE_S = 60.0

pytestmark = [
    pytest.mark.peer,
    pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed"),
    pytest.mark.skipif(not (HERE / "node_modules").is_dir(), reason="run `npm ci` in tests/peers first"),
]


class StrictCsms:
    """The peer process and what it said."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self.rows: list[dict[str, Any]] = []
        self._news = asyncio.Event()

    async def listen(self) -> None:
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            self.rows.append(json.loads(line))
            self._news.set()

    async def expect(self, key: str, value: Any = None, *, after: int = 0) -> dict[str, Any]:
        """Return the first row from ``after`` on that has ``key`` (with ``value``)."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                for row in self.rows[after:]:
                    if key in row and (value is None or row[key] == value):
                        return row
                self._news.clear()
                await self._news.wait()

    async def ask(self, action: str, payload: dict[str, Any]) -> Any:
        """Let the CSMS call the station; return its answer."""
        assert self._process.stdin is not None
        mark = len(self.rows)
        self._process.stdin.write(json.dumps({"call": action, "payload": payload}).encode() + b"\n")
        return (await self.expect("answer", after=mark))["answer"]

    @property
    def violations(self) -> list[dict[str, Any]]:
        return [row for row in self.rows if "violation" in row or "error" in row]


@asynccontextmanager
async def strict_csms() -> AsyncIterator[StrictCsms]:
    process = await asyncio.create_subprocess_exec(
        "node", str(HERE / "csms.mjs"), stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
    )
    csms = StrictCsms(process)
    listening = asyncio.create_task(csms.listen())
    try:
        yield csms
    finally:
        assert process.stdin is not None
        process.stdin.close()
        try:
            async with asyncio.timeout(5):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()
        await listening


async def _session(
    csms: StrictCsms, client: OcppClient, store: Store, station: FakeStation, clock: Clock
) -> None:
    """Boot, authorise, start, meter, remote stop, stop, and each request of the Core profile."""
    await csms.expect("call", "BootNotification")
    await csms.expect("call", "StatusNotification")
    assert (await client.authorize("CARD1", 1)).accepted
    session = SessionRecord(
        session_id="peer", evse_id=1, connector_id=1, plugged_at=clock.wall(), started_at=clock.wall(),
        meter_start_wh=1000, soc_start_pct=20, id_token="CARD1", auth_source=AuthSource.RFID,
    )
    await store.begin_transaction(session, client.start_row(session))
    station.meters[1] = MeterValues(power_w=50_000, energy_import_wh=1010, voltage_mv=400_000, current_ma=125_000)
    station.change(
        1, session=session, phase=SessionPhase.CHARGING, charging_state=ChargingState.CHARGING, plugged=True,
        soc_pct=21, temperature_dc=300, offered_w=60_000,
    )
    client.kick()
    client.on_view(station.view())
    await csms.expect("call", "StartTransaction")
    meter = await csms.expect("call", "MeterValues")
    assert meter["payload"]["transactionId"] == 100
    trigger = {"requestedMessage": "MeterValues", "connectorId": 1}
    assert await csms.ask("TriggerMessage", trigger) == {"status": "Accepted"}
    assert await csms.ask("RemoteStopTransaction", {"transactionId": 100}) == {"status": "Accepted"}
    assert station.done == [("stop", 1)]
    closed = msgspec.structs.replace(
        session, ended_at=clock.wall(), meter_stop_wh=1500, energy_wh=500, soc_end_pct=60, stop_reason=StopReason.REMOTE
    )
    await store.end_transaction(closed, client.stop_row(closed))
    station.change(1, session=closed, phase=SessionPhase.FINISHED)
    client.kick()
    stop = await csms.expect("call", "StopTransaction")
    assert (stop["payload"]["transactionId"], stop["payload"]["meterStop"]) == (100, 1500)
    assert stop["payload"]["reason"] == "Remote"


def _profile(number: int, level: int, unit: str, *periods: tuple[int, float]) -> dict[str, Any]:
    return {
        "chargingProfileId": number, "stackLevel": level, "chargingProfilePurpose": "TxDefaultProfile",
        "chargingProfileKind": "Recurring", "recurrencyKind": "Weekly", "validTo": "2099-01-01T00:00:00Z",
        "chargingSchedule": {
            "chargingRateUnit": unit, "startSchedule": "2026-01-01T00:00:00Z", "minChargingRate": 6.2,
            "chargingSchedulePeriod": [
                {"startPeriod": start, "limit": limit, "numberPhases": 3} for start, limit in periods
            ],
        },
    }


TX_PROFILE = {
    "chargingProfileId": 9, "stackLevel": 0, "chargingProfilePurpose": "TxProfile", "chargingProfileKind": "Relative",
    "chargingSchedule": {"chargingRateUnit": "W", "chargingSchedulePeriod": [{"startPeriod": 0, "limit": 9000.5}]},
}
CARD = {"idTag": "LISTED", "idTagInfo": {"status": "Accepted", "expiryDate": "2099-01-01T00:00:00Z"}}
RESERVE = {"idTag": "A", "parentIdTag": "FLEET", "expiryDate": "2099-01-01T00:00:00Z", "reservationId": 4}

REQUESTS: list[tuple[str, dict[str, Any], str]] = [
    ("RemoteStartTransaction", {"idTag": "A", "connectorId": 2}, "Accepted"),
    ("ChangeAvailability", {"connectorId": 2, "type": "Inoperative"}, "Scheduled"),
    ("ChangeConfiguration", {"key": "MeterValueSampleInterval", "value": "30"}, "Accepted"),
    ("ChangeConfiguration", {"key": "Nope", "value": "1"}, "NotSupported"),
    ("ClearCache", {}, "Accepted"),
    ("UnlockConnector", {"connectorId": 1}, "Unlocked"),
    ("DataTransfer", {"vendorId": "x"}, "UnknownVendorId"),
    ("TriggerMessage", {"requestedMessage": "Heartbeat"}, "Accepted"),
    ("TriggerMessage", {"requestedMessage": "StatusNotification"}, "Accepted"),
    ("TriggerMessage", {"requestedMessage": "BootNotification"}, "Accepted"),
    ("SetChargingProfile", {"connectorId": 0, "csChargingProfiles": _profile(1, 0, "W", (0, 60_000))}, "Accepted"),
    ("SetChargingProfile", {"connectorId": 2, "csChargingProfiles": _profile(2, 1, "A", (0, 16.3), (90, 6.1))},
     "Accepted"),
    ("SetChargingProfile", {"connectorId": 2, "csChargingProfiles": TX_PROFILE}, "Rejected"),
    ("RemoteStartTransaction", {"idTag": "B", "connectorId": 2, "chargingProfile": TX_PROFILE}, "Accepted"),
    ("GetCompositeSchedule", {"connectorId": 2, "duration": 86_400, "chargingRateUnit": "A"}, "Accepted"),
    ("GetCompositeSchedule", {"connectorId": 0, "duration": 0}, "Accepted"),
    ("GetCompositeSchedule", {"connectorId": 7, "duration": 60}, "Rejected"),
    ("ClearChargingProfile", {"connectorId": 2, "stackLevel": 1}, "Accepted"),
    ("ClearChargingProfile", {"id": 2}, "Unknown"),
    ("SendLocalList", {"listVersion": 7, "updateType": "Full", "localAuthorizationList": [CARD]}, "Accepted"),
    ("SendLocalList", {"listVersion": 7, "updateType": "Differential"}, "VersionMismatch"),
    ("ReserveNow", {"connectorId": 2, **RESERVE}, "Accepted"),
    ("ReserveNow", {"connectorId": 0, **RESERVE}, "Accepted"),
    ("CancelReservation", {"reservationId": 4}, "Accepted"),
    ("CancelReservation", {"reservationId": 4}, "Rejected"),
    ("Reset", {"type": "Soft"}, "Accepted"),
]


def test_the_strict_csms_reports_a_wrong_message() -> None:
    """The other test can fail: a field too much is noticed."""

    async def main() -> None:
        async with strict_csms() as csms:
            port = (await csms.expect("port"))["port"]
            ws = await RealOpeners().open_websocket(f"ws://127.0.0.1:{port}/BAD", ["ocpp1.6"], {}, PATIENCE_S)
            await ws.send('[2,"1","Heartbeat",{"tooMuch":1}]')
            assert "violation" in await csms.expect("violation")
            await ws.close()

    asyncio.run(main())


def test_a_session_and_every_request_pass_a_strict_csms(tmp_path: Path) -> None:
    async def main() -> None:
        clock = RealClock()
        async with strict_csms() as csms:
            port = (await csms.expect("port"))["port"]
            store = await Store.open(tmp_path / "peer.db", executor=ThreadExecutor())
            station = FakeStation(clock)
            client = OcppClient(
                OcppSection(enabled=True, url=f"ws://127.0.0.1:{port}", ping_s=1),
                Identity(charge_point_id="PEER 1", vendor="V", model="M"), RealOpeners(), clock, store, station,
                Random(1),
            )
            await client.open()
            running = asyncio.create_task(client.run())
            try:
                connected = await csms.expect("connected")
                assert connected == {"connected": "PEER 1", "protocol": "ocpp1.6"}
                await _session(csms, client, store, station, clock)
                for action, payload, status in REQUESTS:
                    assert (await csms.ask(action, payload))["status"] == status, action
                assert await csms.ask("GetLocalListVersion", {}) == {"listVersion": 7}
                keys = await csms.ask("GetConfiguration", {})
                assert len(keys["configurationKey"]) > 20
                await csms.expect("call", "Heartbeat")
            finally:
                running.cancel()
                await asyncio.gather(running, return_exceptions=True)
                await store.close()
        assert csms.violations == []
        assert sum(row.get("call") == "StartTransaction" for row in csms.rows) == 1

    asyncio.run(main())
