"""Use cases: firmware updates, signed ones, diagnostics and logs. Files in memory, a simulated installer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from evse.domain.security import CertificateFault
from evse.ocpp.messages import timestamp
from evse.sim.installer import make_bundle
from evse.units import NS_PER_S
from tests.ocpp.use_cases import OK, csms_of, lab, use_case
from tests.ocpp_transfers.rig import IMAGE, Rig

FIRMWARE, SIGNED, LOGS, TRIGGER = "Firmware update", "Signed firmware update", "Diagnostics and logs", "Triggers of transfers"
PLAIN = ["Downloading", "Downloaded", "Installing", "Installed"]


@asynccontextmanager
async def rig_in(folder: Path, **options: Any) -> AsyncIterator[Rig]:
    """A station with transfers."""
    rig = await Rig(folder, **options).start()
    try:
        yield rig
    finally:
        await rig.kill()


async def restarted(rig: Rig) -> None:
    """Wait until the station asks for its restart, and do it."""
    for _ in range(5000):
        if rig.site.restarts:
            break
        await asyncio.sleep(0.1)
    assert rig.site.restarts == 1
    await rig.cut(boots=True)


# -- firmware --------------------------------------------------------------------------------------------------------------


@use_case(FIRMWARE, "Installed")
async def test_firmware_installed(tmp_path: Path) -> None:
    """Downloading, Downloaded, Installing, the restart, Installed: each once."""
    async with rig_in(tmp_path) as rig:
        assert await rig.update() == {}
        await rig.until("Installing")
        await restarted(rig)
        await rig.until("Installed")
        await asyncio.sleep(100)
        assert rig.said() == PLAIN


@use_case(FIRMWARE, "Later")
async def test_firmware_later(tmp_path: Path) -> None:
    """Nothing is fetched before retrieveDate."""
    async with rig_in(tmp_path) as rig:
        await rig.update(retrieveDate=timestamp(rig.clock.wall() + 100 * NS_PER_S))
        await asyncio.sleep(95)
        assert rig.carrier.fetches == 0
        await rig.until("Downloaded")


@use_case(FIRMWARE, "Download fails")
async def test_firmware_download_failed(tmp_path: Path) -> None:
    """After its retries DownloadFailed, and nothing is installed."""
    async with rig_in(tmp_path) as rig:
        await rig.update(location="http://u:p@files.test/none.bin", retries=1, retryInterval=5)
        await rig.until("DownloadFailed")
        await asyncio.sleep(100)
        assert rig.said()[-1] == "DownloadFailed"
        assert rig.site.restarts == 0


@use_case(FIRMWARE, "Line breaks during the download")
async def test_firmware_line_breaks(tmp_path: Path) -> None:
    """Retried and gone on with where it broke; one Downloading, one Downloaded."""
    async with rig_in(tmp_path) as rig:
        rig.files.drops.extend([100_000])
        await rig.update(retries=3, retryInterval=10)
        await rig.until("Downloaded")
        assert rig.said()[:2] == ["Downloading", "Downloaded"]


@use_case(FIRMWARE, "Installation fails")
async def test_firmware_installation_failed(tmp_path: Path) -> None:
    """InstallationFailed; the old version runs on."""
    async with rig_in(tmp_path) as rig:
        rig.files.put("/fw.bin", b"no bundle at all" + IMAGE)
        await rig.update()
        await rig.until("InstallationFailed")
        assert rig.firmware is not None
        assert await rig.firmware.version() == "1.0"


@use_case(FIRMWARE, "The new version does not start")
async def test_firmware_does_not_start(tmp_path: Path) -> None:
    """The boot loader goes back: InstallationFailed after the restart."""
    async with rig_in(tmp_path) as rig:
        await rig.update()
        await rig.until("Installing")
        for _ in range(5000):
            if rig.site.restarts:
                break
            await asyncio.sleep(0.1)
        await rig.cut(boots=False)
        await rig.until("InstallationFailed")
        assert "Installed" not in rig.said()


@use_case(FIRMWARE, "Transaction running")
async def test_firmware_transaction(tmp_path: Path) -> None:
    """The installation waits for its end."""
    async with rig_in(tmp_path) as rig:
        await rig.begin()
        await rig.update()
        await rig.until("Downloaded")
        await asyncio.sleep(60)
        assert "Installing" not in rig.said()
        await rig.end()
        await rig.leave()
        await rig.until("Installing")


@use_case(FIRMWARE, "A newer request")
async def test_firmware_newer(tmp_path: Path) -> None:
    """It takes the place of one that waits."""
    async with rig_in(tmp_path) as rig:
        rig.files.put("/new.bin", make_bundle("3.0", IMAGE))
        await rig.update(retrieveDate=timestamp(rig.clock.wall() + 1000 * NS_PER_S))
        await asyncio.sleep(1)
        await rig.update(location="http://u:p@files.test/new.bin")
        await rig.until("Installing")
        await restarted(rig)
        await rig.until("Installed")
        await asyncio.sleep(1500)
        assert rig.said() == PLAIN
        assert rig.firmware is not None
        assert await rig.firmware.version() == "3.0"


@use_case(FIRMWARE, "Power failure during the download")
async def test_firmware_power_failure(tmp_path: Path) -> None:
    """It goes on after the boot."""
    async with rig_in(tmp_path) as rig:
        await rig.update()
        await rig.until("Downloading")
        await rig.cut()
        await rig.until("Installing")
        await restarted(rig)
        await rig.until("Installed")


@use_case(FIRMWARE, "Link down while it runs")
async def test_firmware_link_down(tmp_path: Path) -> None:
    """The statuses wait for the link and are told in order."""
    async with rig_in(tmp_path) as rig:
        await rig.update()
        await rig.until("Downloaded")
        rig.csms.down()
        await asyncio.sleep(60)
        rig.csms.up()
        await restarted(rig)
        await rig.until("Installed")
        assert list(dict.fromkeys(rig.said())) == PLAIN


# -- signed ----------------------------------------------------------------------------------------------------------------


@use_case(SIGNED, "Installed")
async def test_signed_installed(tmp_path: Path) -> None:
    """SignatureVerified and InstallRebooting too, all with the requestId."""
    async with rig_in(tmp_path) as rig:
        assert await rig.signed(7) == OK
        await rig.until("InstallRebooting")
        await restarted(rig)
        await rig.until("Installed")
        assert rig.said() == ["Downloading", "Downloaded", "SignatureVerified", "Installing", "InstallRebooting", "Installed"]
        assert {p["requestId"] for p in rig.csms.calls("SignedFirmwareStatusNotification")} == {7}


@use_case(SIGNED, "Wrong certificate")
async def test_signed_certificate(tmp_path: Path) -> None:
    """InvalidCertificate is the answer, and a security event; nothing is fetched."""
    async with rig_in(tmp_path) as rig:
        rig.signer.certificate = CertificateFault(text="expired")
        assert await rig.signed(7) == {"status": "InvalidCertificate"}
        await asyncio.sleep(60)
        assert rig.carrier.fetches == 0
        assert [kind for kind, _ in rig.events] == ["InvalidFirmwareSigningCertificate"]


@use_case(SIGNED, "Wrong signature")
async def test_signed_signature(tmp_path: Path) -> None:
    """InvalidSignature, and a security event; nothing is installed."""
    async with rig_in(tmp_path) as rig:
        rig.signer.file = "signature does not fit"
        assert await rig.signed(7) == OK
        await rig.until("InvalidSignature")
        assert "InvalidFirmwareSignature" in [kind for kind, _ in rig.events]
        assert "Installing" not in rig.said()


@use_case(SIGNED, "Scheduled")
async def test_signed_scheduled(tmp_path: Path) -> None:
    """DownloadScheduled and InstallScheduled are told while it waits."""
    async with rig_in(tmp_path) as rig:
        wall = rig.clock.wall()
        await rig.signed(7, retrieveDateTime=timestamp(wall + 50 * NS_PER_S), installDateTime=timestamp(wall + 200 * NS_PER_S))
        await rig.until("Installing")
        assert rig.clock.wall() >= wall + 200 * NS_PER_S
        assert {"DownloadScheduled", "InstallScheduled"} <= set(rig.said())


# -- logs ------------------------------------------------------------------------------------------------------------------


@use_case(LOGS, "GetDiagnostics, uploaded")
async def test_diagnostics(tmp_path: Path) -> None:
    """The answer names the file; Uploading, Uploaded."""
    async with rig_in(tmp_path) as rig:
        answer = await rig.ask("GetDiagnostics", {"location": "ftp://u:p@files.test/up/"})
        await rig.until("Uploaded")
        assert rig.said() == ["Uploading", "Uploaded"]
        assert f"/up/{answer['fileName']}" in rig.files.files


@use_case(LOGS, "GetDiagnostics, upload fails")
async def test_diagnostics_failed(tmp_path: Path) -> None:
    """UploadFailed after its retries."""
    async with rig_in(tmp_path) as rig:
        await rig.ask("GetDiagnostics", {"location": "ftp://u:wrong@files.test/up/", "retries": 1, "retryInterval": 5})
        await rig.until("UploadFailed")


@pytest.mark.parametrize("kind", ["DiagnosticsLog", "SecurityLog"])
@use_case(LOGS, "GetLog of diagnostics and of security")
async def test_get_log(tmp_path: Path, kind: str) -> None:
    """Accepted with the name; Uploading, Uploaded with the requestId."""
    async with rig_in(tmp_path) as rig:
        log = {"remoteLocation": "ftp://u:p@files.test/up/"}
        answer = await rig.ask("GetLog", {"logType": kind, "requestId": 3, "log": log})
        assert answer["status"] == "Accepted"
        await rig.until("Uploaded")
        told = [(call["status"], call["requestId"]) for call in rig.csms.calls("LogStatusNotification")]
        assert told == [("Uploading", 3), ("Uploaded", 3)]


@use_case(LOGS, "GetLog while one of its kind runs")
async def test_get_log_newer(tmp_path: Path) -> None:
    """AcceptedCanceled: the newer request takes its place."""
    async with rig_in(tmp_path) as rig:
        log = {"remoteLocation": "ftp://u:p@files.test/up/"}
        rig.files.drops.extend([10])
        assert (await rig.ask("GetLog", {"logType": "SecurityLog", "requestId": 1, "log": log, "retryInterval": 500}))["status"] == "Accepted"
        await rig.until("Uploading")
        answer = await rig.ask("GetLog", {"logType": "SecurityLog", "requestId": 2, "log": log})
        assert answer["status"] == "AcceptedCanceled"
        await rig.until("Uploaded")


# -- triggers --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("message", ["FirmwareStatusNotification", "DiagnosticsStatusNotification"])
@use_case(TRIGGER, "FirmwareStatusNotification, DiagnosticsStatusNotification")
async def test_trigger_idle(tmp_path: Path, message: str) -> None:
    """Idle when nothing runs."""
    async with lab(tmp_path) as station:
        await station.forward(5)
        assert await csms_of(station).call("TriggerMessage", {"requestedMessage": message}) == OK
        await station.forward(2)
        assert csms_of(station).calls(message) == [{"status": "Idle"}]


@use_case(TRIGGER, "ExtendedTriggerMessage of LogStatusNotification")
async def test_trigger_log(tmp_path: Path) -> None:
    """Idle when nothing runs."""
    async with lab(tmp_path) as station:
        await station.forward(5)
        request = {"requestedMessage": "LogStatusNotification"}
        assert await csms_of(station).call("ExtendedTriggerMessage", request) == OK
        await station.forward(2)
        assert [call["status"] for call in csms_of(station).calls("LogStatusNotification")] == ["Idle"]
