"""Firmware and logs over OCPP on the whole station: what the simulated back end asks for is what it gets."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from evse.domain.session import SessionPhase
from evse.lab.station import Lab
from evse.lab.vloop import run_virtual
from evse.sim.installer import SimFirmware
from evse.storage.executor import StorageError
from tests._support.examples import seconds
from tests._support.lab_world import demo_config


def run(folder: Path, main: Callable[[Lab], Awaitable[None]]) -> None:
    """Run a body on a demo station under virtual time."""

    async def body() -> None:
        async with Lab(demo_config(folder), folder / "data", fast=True) as lab:
            await lab.until(lambda: lab.station.ocpp is not None and lab.station.ocpp.online, "online")
            await main(lab)

    run_virtual(body())


def said(lab: Lab, action: str) -> list[str]:
    assert lab.sim.csms is not None
    return [str(payload["status"]) for payload in lab.sim.csms.calls(action)]


def unpacked(lab: Lab, name: str) -> dict[str, bytes]:
    content = next(content for path, content in lab.sim.files.files.items() if path.endswith(f"/{name}"))
    found = {}
    with tarfile.open(fileobj=io.BytesIO(content), mode="r:gz") as archive:
        for member in archive:
            file = archive.extractfile(member)
            assert file is not None
            found[member.name] = file.read()
    return found


def rows(content: bytes) -> list[dict[str, Any]]:
    return [json.loads(line) for line in content.splitlines()]


async def charge(lab: Lab) -> None:
    await lab.do(cmd="plug_in", connector=1, soc_pct=20)
    await lab.forward(1)
    await lab.do(cmd="swipe", token="04A1B2C3", reader="reader1")
    await lab.until(lambda: lab.evse(1).phase is SessionPhase.CHARGING, "charging")


@pytest.mark.parametrize("protocol", ["ftp", "http"])
def test_an_update_waits_for_the_session_keeps_others_out_and_restarts_into_the_new_version(
    tmp_path: Path, protocol: str
) -> None:
    async def main(lab: Lab) -> None:
        await charge(lab)
        answer = await lab.do(cmd="update_firmware", version="0.2.0", protocol=protocol, size_kib=300)
        assert answer["answer"] == {}
        await lab.until(lambda: "Downloaded" in said(lab, "FirmwareStatusNotification"), "downloaded")
        await lab.forward(seconds(60, 20))
        assert lab.evse(1).phase is SessionPhase.CHARGING
        assert said(lab, "FirmwareStatusNotification") == ["Downloading", "Downloaded"]
        await lab.do(cmd="plug_out", connector=1)
        await lab.until(lambda: "Installing" in said(lab, "FirmwareStatusNotification"), "installing")
        await lab.forward(1)
        assert lab.evse(2).phase is SessionPhase.UNAVAILABLE
        assert lab.sim.csms is not None
        assert await lab.sim.csms.call("Reset", {"type": "Hard"}) == {"status": "Rejected"}
        assert lab.station.reset_requested == ""
        await lab.forward(11)
        assert lab.sim.csms.statuses["DEMO-1", 2]["status"] == "Unavailable"
        await lab.until(lambda: lab.station.reset_requested != "", "restart")
        assert isinstance(lab.firmware, SimFirmware)
        assert lab.firmware.slots().next == "0.2.0"

    run(tmp_path, main)


def test_a_forced_update_installs_beside_a_session_and_ends_it_for_the_restart(tmp_path: Path) -> None:
    async def main(lab: Lab) -> None:
        csms = lab.sim.csms
        assert csms is not None
        for key, value in (("ForceUpdate", "true"), ("PreUnavailabilityForUpdate", "30")):
            assert await csms.call("ChangeConfiguration", {"key": key, "value": value}) == {"status": "Accepted"}
        await charge(lab)
        await lab.do(cmd="update_firmware", version="0.2.0", size_kib=64)
        await lab.until(lambda: "Downloaded" in said(lab, "FirmwareStatusNotification"), "downloaded")
        await lab.forward(20)
        assert lab.evse(2).phase is SessionPhase.UNAVAILABLE and lab.evse(1).phase is SessionPhase.CHARGING
        assert csms.statuses["DEMO-1", 2]["status"] == "Unavailable"
        assert "Installing" not in said(lab, "FirmwareStatusNotification")
        await lab.until(lambda: "Installing" in said(lab, "FirmwareStatusNotification"), "installing")
        assert lab.evse(1).phase is SessionPhase.CHARGING
        await lab.until(lambda: lab.station.reset_requested != "", "restart")
        await lab.until(lambda: bool(csms.calls("StopTransaction")), "its transaction is told")
        assert [stop["reason"] for stop in csms.calls("StopTransaction")] == ["Reboot"]
        assert csms.violations == []

    run(tmp_path, main)


def test_after_the_restart_the_new_version_boots_and_is_said_once(tmp_path: Path) -> None:
    config, data = demo_config(tmp_path), tmp_path / "data"

    async def body() -> None:
        database = tmp_path / "db.sqlite3"
        async with Lab(config, data, fast=True, database=database) as lab:
            await lab.until(lambda: lab.station.ocpp is not None and lab.station.ocpp.online, "online")
            await lab.do(cmd="update_firmware", version="0.2.0", size_kib=64)
            await lab.until(lambda: lab.station.reset_requested != "", "restart")
            await lab.kill()
            assert isinstance(lab.firmware, SimFirmware)
            assert lab.firmware.boot() == "0.2.0"
            again = Lab(config, data, sim=lab.sim, clock=lab.clock, database=database)
            await again.__aenter__()
            await again.until(lambda: "Installed" in said(again, "FirmwareStatusNotification"), "installed")
            await again.forward(seconds(60, 20))
            assert said(again, "FirmwareStatusNotification") == ["Downloading", "Downloaded", "Installing", "Installed"]
            boots = again.sim.csms.calls("BootNotification") if again.sim.csms is not None else []
            assert [boot["firmwareVersion"] for boot in boots] == ["0.1.0", "0.2.0"]
            assert again.evse(1).phase is SessionPhase.IDLE
            ended = [event.data for event in again.events if event.kind == "transfer.ended"]
            assert [(data["what"], data["ok"], data["status"]) for data in ended] == [("firmware", True, "Installed")]
            await again.station.supervisor.stop()

    run_virtual(body())


@pytest.mark.parametrize("kind", ["verify", "install"])
def test_a_failed_update_gives_the_connectors_back(tmp_path: Path, kind: str) -> None:
    async def main(lab: Lab) -> None:
        await lab.do(cmd="update_firmware", version="0.2.0", fail=kind, size_kib=64)
        await lab.until(lambda: "InstallationFailed" in said(lab, "FirmwareStatusNotification"), "failed")
        await lab.forward(2)
        assert lab.evse(2).phase is SessionPhase.IDLE
        assert lab.station.reset_requested == ""
        assert lab.sim.csms is not None
        assert await lab.sim.csms.call("Reset", {"type": "Soft"}) == {"status": "Accepted"}

    run(tmp_path, main)


def test_diagnostics_tell_what_happened_and_no_secret(tmp_path: Path) -> None:
    async def main(lab: Lab) -> None:
        await charge(lab)
        await lab.forward(seconds(60, 20))
        await lab.do(cmd="plug_out", connector=1)
        await lab.forward(seconds(30, 15))
        lab.station.dump_trace("test")
        answer = await lab.do(cmd="get_log", kind="diagnostics")
        await lab.until(lambda: "Uploaded" in said(lab, "DiagnosticsStatusNotification"), "uploaded")
        assert said(lab, "DiagnosticsStatusNotification") == ["Uploading", "Uploaded"]
        found = unpacked(lab, answer["answer"]["fileName"])
        assert "PROBLEMS.txt" not in found, found.get("PROBLEMS.txt")
        about = json.loads(found["about.json"])
        assert about["station"] == "DEMO-1"
        assert about["firmware"] == "0.1.0"
        kinds = {event["kind"] for event in rows(found["events.ndjson"])}
        assert {"transaction.started", "transaction.ended"} <= kinds
        assert rows(found["sessions.ndjson"])[0]["id_token"] == "04A1B2C3"
        assert any(message["action"] == "StartTransaction" for message in rows(found["ocpp.ndjson"]))
        assert json.loads(found["ocpp.json"])["keys"]
        assert json.loads(found["status.json"])["view"]["evses"]
        assert any(name.startswith("traces/") for name in found)
        assert not any(b"demo%20pass" in content or b"demo pass" in content for content in found.values())

    run(tmp_path, main)


def test_a_window_leaves_out_what_was_before(tmp_path: Path) -> None:
    async def main(lab: Lab) -> None:
        await charge(lab)
        await lab.do(cmd="plug_out", connector=1)
        await lab.forward(70)
        before = lab.clock.wall()
        await lab.do(cmd="plug_in", connector=2, soc_pct=20)
        await lab.forward(60)
        answer = await lab.do(cmd="get_log", kind="log", last_s=100)
        await lab.until(lambda: "Uploaded" in said(lab, "LogStatusNotification"), "uploaded")
        found = unpacked(lab, answer["answer"]["filename"])
        events = rows(found["events.ndjson"])
        assert events
        assert all(event["wall"] >= before - 60_000_000_000 for event in events)
        assert all(row["evse_id"] == 2 for row in rows(found.get("sessions.ndjson", b"")))

    run(tmp_path, main)


def test_triggers_and_profiles(tmp_path: Path) -> None:
    async def main(lab: Lab) -> None:
        csms = lab.sim.csms
        assert csms is not None
        for message in ("FirmwareStatusNotification", "DiagnosticsStatusNotification"):
            assert await csms.call("TriggerMessage", {"requestedMessage": message}) == {"status": "Accepted"}
        for message in ("FirmwareStatusNotification", "LogStatusNotification"):
            assert await csms.call("ExtendedTriggerMessage", {"requestedMessage": message}) == {"status": "Accepted"}
        await lab.forward(2)
        for action in (
            "FirmwareStatusNotification", "DiagnosticsStatusNotification", "SignedFirmwareStatusNotification",
            "LogStatusNotification",
        ):
            assert csms.calls(action) == [{"status": "Idle"}], action
        answer = await csms.call("GetConfiguration", {"key": ["SupportedFeatureProfiles", "SupportedFileTransferProtocols"]})
        values = {row["key"]: row["value"] for row in answer["configurationKey"]}
        assert "FirmwareManagement" in values["SupportedFeatureProfiles"].split(",")
        assert values["SupportedFileTransferProtocols"] == "FTP,FTPS,HTTP,HTTPS"
        assert msgspec.to_builtins(lab.station.transfers.status() if lab.station.transfers else None)["installer"] is True

    run(tmp_path, main)


@pytest.mark.parametrize(
    ("signed", "answer", "words"),
    [
        ("right", "Accepted", ["Downloading", "Downloaded", "SignatureVerified", "Installing", "InstallRebooting"]),
        ("wrong_signature", "Accepted", ["Downloading", "Downloaded", "InvalidSignature"]),
        ("wrong_certificate", "InvalidCertificate", []),
    ],
)
def test_signed_firmware_with_real_certificates(tmp_path: Path, signed: str, answer: str, words: list[str]) -> None:
    async def main(lab: Lab) -> None:
        told = await lab.do(cmd="update_firmware", version="0.2.0", signed=signed, size_kib=64)
        assert told["answer"]["status"] == answer
        await lab.forward(30)
        assert said(lab, "SignedFirmwareStatusNotification") == words
        security = lab.station.security
        assert security is not None
        kinds = [event.kind for event in await security.events(100)]
        assert ("InvalidFirmwareSignature" in kinds) is (signed == "wrong_signature")
        assert ("InvalidFirmwareSigningCertificate" in kinds) is (signed == "wrong_certificate")
        got = await lab.do(cmd="get_log", kind="security")
        await lab.until(lambda: "Uploaded" in said(lab, "LogStatusNotification"), "uploaded")
        found = unpacked(lab, got["answer"]["filename"])
        assert list(found) == ["security.log"]
        assert b"StartupOfTheDevice" in found["security.log"]

    run(tmp_path, main)


def contents(folder: Path) -> dict[str, bytes]:
    """All files below ``folder`` by name."""
    return {path.name: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_credentials_of_addresses_are_used_and_stand_nowhere(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """While jobs stand and after they have ended: no file, log, message, event, status or bundle holds password or token."""
    secrets = ("S3cr3t-0f-the-d3pot", "X-Sig-77ab09", "f1rmware-pw")
    config, data = demo_config(tmp_path), tmp_path / "data"
    caplog.set_level("DEBUG")

    async def body() -> None:
        async with Lab(config, data, fast=True, database=tmp_path / "db.sqlite3") as lab:
            await lab.until(lambda: lab.station.ocpp is not None and lab.station.ocpp.online, "online")
            csms, ocpp, transfers = lab.sim.csms, lab.station.ocpp, lab.station.transfers
            assert csms is not None and ocpp is not None and transfers is not None
            lab.sim.files.user, lab.sim.files.password = "tech", secrets[0]
            await csms.call("UpdateFirmware", {
                "location": f"ftp://tech:{secrets[2]}@files.test/fw.bin", "retrieveDate": "2099-01-01T00:00:00Z",
            })
            refused = f"https://tech:{secrets[2]}@files.test/logs/?t={secrets[1]}"
            await csms.call("GetLog", {
                "requestId": 1, "logType": "DiagnosticsLog", "retries": 2, "log": {"remoteLocation": refused},
            })
            await csms.call("GetDiagnostics", {"location": f"ftp://tech:{secrets[0]}@files.test/"})
            await lab.until(lambda: "Uploaded" in said(lab, "DiagnosticsStatusNotification"), "uploaded")
            await lab.until(lambda: "PermissionDenied" in said(lab, "LogStatusNotification"), "refused")
            await lab.forward(5)
            bundle = next(path.rpartition("/")[2] for path in lab.sim.files.files if path.endswith(".tar.gz"))
            places = contents(tmp_path)
            places["log"] = caplog.text.encode()
            places["bundle"] = b"".join(unpacked(lab, bundle).values())
            places["status"] = msgspec.json.encode(transfers.status())
            places["messages"] = msgspec.json.encode(ocpp.log.all())
            places["events"] = repr([event.data for event in lab.events]).encode()
            assert {"db.sqlite3", "secrets.sealed"} <= set(places)
            assert b"GetDiagnostics" in places["messages"] and b"files.test" in places["bundle"]
            found = {(place, secret) for place, content in places.items() for secret in secrets if secret.encode() in content}
            assert found == set()
            assert transfers.firmware.stored is not None  # its job stands, with its password in the vault
            assert await lab.station.vault.read(transfers.firmware.stored.sealed)
            assert await transfers.cancel("firmware") == ""

    run_virtual(body())


def test_what_cannot_be_read_is_named_and_takes_nothing_else_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main(lab: Lab) -> None:
        async def broken(*args: object, **changes: object) -> None:
            raise StorageError("storage: read failed: disk I/O error; check the medium")

        monkeypatch.setattr(lab.station.store, "events", broken)
        answer = await lab.do(cmd="get_log", kind="diagnostics")
        await lab.until(lambda: "Uploaded" in said(lab, "DiagnosticsStatusNotification"), "uploaded")
        found = unpacked(lab, answer["answer"]["fileName"])
        assert found["PROBLEMS.txt"] == b"events.ndjson: storage: read failed: disk I/O error; check the medium\n"
        assert {"about.json", "status.json", "ocpp.json", "security.log"} <= set(found)

    run(tmp_path, main)
