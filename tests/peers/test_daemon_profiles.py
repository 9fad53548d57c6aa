"""The whole daemon against the strict CSMS: firmware, diagnostics, logs and the messages of the security whitepaper."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from evse.lab.demo_station import DemoStation
from evse.sim.csms_security import Authority, pem
from tests.peers.test_ocpp_rpc import pytestmark, strict_csms

__all__ = ["pytestmark"]

NOWHERE = "http://127.0.0.1:9/none"
PAST = "2020-01-01T00:00:00Z"
ROOT = "CentralSystemRootCertificate"

REQUESTS: list[tuple[str, dict[str, Any], str]] = [
    ("TriggerMessage", {"requestedMessage": "FirmwareStatusNotification"}, "Accepted"),
    ("TriggerMessage", {"requestedMessage": "DiagnosticsStatusNotification"}, "Accepted"),
    ("ExtendedTriggerMessage", {"requestedMessage": "Heartbeat"}, "Accepted"),
    ("ExtendedTriggerMessage", {"requestedMessage": "LogStatusNotification"}, "Accepted"),
    ("ExtendedTriggerMessage", {"requestedMessage": "FirmwareStatusNotification"}, "Accepted"),
    ("ExtendedTriggerMessage", {"requestedMessage": "StatusNotification", "connectorId": 9}, "Rejected"),
    ("InstallCertificate", {"certificateType": ROOT, "certificate": "no certificate"}, "Rejected"),
    ("GetInstalledCertificateIds", {"certificateType": ROOT}, "NotFound"),
    ("CertificateSigned", {"certificateChain": "nobody asked"}, "Rejected"),
    ("GetLog", {"logType": "SecurityLog", "requestId": 1, "log": {"remoteLocation": NOWHERE}, "retries": 0}, "Accepted"),
]
"""Action, payload, status."""

NOTIFICATIONS = (
    "FirmwareStatusNotification", "DiagnosticsStatusNotification", "LogStatusNotification", "SecurityEventNotification",
)  # fmt: skip


@pytest.mark.timeout(300)
def test_transfers_and_security_messages_pass_a_strict_csms(tmp_path: Path) -> None:
    async def main() -> None:
        async with strict_csms() as csms:
            port = (await csms.expect("port"))["port"]
            station = DemoStation(tmp_path, csms_port=port)
            try:
                await station.start()
                await csms.expect("call", "BootNotification")
                await csms.expect("call", "StatusNotification")
                for action, payload, status in REQUESTS:
                    assert (await csms.ask(action, payload))["status"] == status, (action, payload)
                root = pem(Authority("Strict root").certificate)
                install = {"certificateType": ROOT, "certificate": root}
                assert await csms.ask("InstallCertificate", install) == {"status": "Accepted"}
                listed = await csms.ask("GetInstalledCertificateIds", {"certificateType": ROOT})
                (found,) = listed["certificateHashData"]
                assert await csms.ask("DeleteCertificate", {"certificateHashData": found}) == {"status": "Accepted"}
                assert await csms.ask("DeleteCertificate", {"certificateHashData": found}) == {"status": "NotFound"}
                diagnostics = await csms.ask("GetDiagnostics", {"location": NOWHERE, "retries": 0})
                assert diagnostics["fileName"].endswith(".tar.gz")
                assert await csms.ask("UpdateFirmware", {"location": NOWHERE, "retrieveDate": PAST, "retries": 0}) == {}
                for action in NOTIFICATIONS:
                    await csms.expect("call", action)
                assert csms.violations == []
            finally:
                await station.stop()

    asyncio.run(main())
