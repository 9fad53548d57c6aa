"""GetDiagnostics and GetLog: bundles, their window, every outcome said once."""

from __future__ import annotations

import asyncio
import io
import tarfile
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evse.domain.base import DeviceError
from evse.ocpp.messages import parse_timestamp, timestamp
from evse.ocpp.transfers import bundle
from evse.ocpp.transfers.errors import TransferError, Why
from evse.units import NS_PER_S
from tests.ocpp.support import under_virtual_time
from tests.ocpp_transfers.rig import Rig
from tests.ocpp_transfers.support import blob

WINDOW = {"startTime": "2026-01-01T00:00:00Z", "stopTime": "2026-01-02T00:00:00Z"}


def run(folder: Path, main: Callable[[Rig], Awaitable[None]]) -> None:
    """Run a test body on a rig."""

    async def body() -> None:
        rig = await Rig(folder).start()
        try:
            await main(rig)
        finally:
            await rig.kill()

    under_virtual_time(body)


def unpack(content: bytes) -> dict[str, bytes]:
    """Name to content of a bundle."""
    found = {}
    with tarfile.open(fileobj=io.BytesIO(content), mode="r:gz") as archive:
        for member in archive:
            file = archive.extractfile(member)
            assert file is not None
            found[member.name] = file.read()
    return found


async def get_log(rig: Rig, number: int, kind: str = "DiagnosticsLog", where: str = "ftp://u:p@files.test/up/") -> dict[str, str]:
    log = {"remoteLocation": where, "oldestTimestamp": WINDOW["startTime"]}
    return await rig.ask("GetLog", {"logType": kind, "requestId": number, "log": log, "retries": 3, "retryInterval": 30})


def test_diagnostics_of_a_window_arrive_under_the_answered_name(tmp_path: Path) -> None:
    async def main(rig: Rig) -> None:
        answer = await rig.ask("GetDiagnostics", {"location": "ftp://u:p@files.test/up/", **WINDOW})
        await rig.until("Uploaded")
        await asyncio.sleep(1000)
        assert rig.said() == ["Uploading", "Uploaded"]
        assert answer["fileName"].startswith("DC_1-diagnostics-")
        assert answer["fileName"].endswith(".tar.gz")
        assert unpack(rig.files.files[f"/up/{answer['fileName']}"]) == {"diagnostics.txt": blob(300_000)}
        assert rig.pages.asked == [
            ("diagnostics", parse_timestamp(WINDOW["startTime"]), parse_timestamp(WINDOW["stopTime"]))
        ]
        assert list((tmp_path / "transfers").iterdir()) == []

    run(tmp_path, main)


@pytest.mark.parametrize("kind", ["DiagnosticsLog", "SecurityLog"])
def test_get_log_has_its_request_id_and_kind(tmp_path: Path, kind: str) -> None:
    async def main(rig: Rig) -> None:
        answer = await get_log(rig, 11, kind)
        assert answer["status"] == "Accepted"
        await rig.until("Uploaded")
        sent = [(p["status"], p["requestId"]) for a, p in rig.csms.received if a == "LogStatusNotification"]
        assert sent == [("Uploading", 11), ("Uploaded", 11)]
        wanted = "diagnostics" if kind == "DiagnosticsLog" else "security"
        assert wanted in answer["filename"]
        assert rig.pages.asked == [(wanted, parse_timestamp(WINDOW["startTime"]), None)]

    run(tmp_path, main)


def test_retries_are_no_flood(tmp_path: Path) -> None:
    async def main(rig: Rig) -> None:
        rig.files.drops.extend([10, 10])
        began = rig.clock.now()
        await get_log(rig, 1)
        await rig.until("Uploaded")
        assert (rig.clock.now() - began) / NS_PER_S > 60
        assert rig.said() == ["Uploading", "Uploaded"]
        assert rig.carrier.sends == 3
        assert len(rig.pages.asked) == 1
        rig.files.drops.extend([10, 10, 10])
        await get_log(rig, 2)
        await rig.until("UploadFailure")
        assert rig.said() == ["Uploading", "Uploaded", "Uploading", "UploadFailure"]
        assert not rig.transfers.status().results[0].ok

    run(tmp_path, main)


def test_each_failure_has_its_word(tmp_path: Path) -> None:
    async def main(rig: Rig) -> None:
        assert (await get_log(rig, 1, where="sftp://h/"))["status"] == "Rejected"
        assert (await get_log(rig, 2, where="ftp:///x"))["status"] == "Rejected"
        assert rig.said() == []
        await get_log(rig, 3, where="ftp://u:wrong@files.test/")
        await rig.until("PermissionDenied")
        assert rig.carrier.sends == 1
        await rig.ask("GetDiagnostics", {"location": "sftp://h/", "retries": 1})
        await rig.until("UploadFailed")
        assert rig.said("DiagnosticsStatusNotification") == ["UploadFailed"]

        async def full(*_: object) -> None:
            raise DeviceError("storage: the disk is full")

        rig.pages.collect = full  # type: ignore[method-assign, assignment]
        rig.csms.received.clear()
        await get_log(rig, 4)
        await rig.until("UploadFailure")
        assert rig.said() == ["UploadFailure"]
        assert "disk is full" in rig.transfers.status().results[0].text

    run(tmp_path, main)


def test_a_newer_request_takes_the_place_of_the_older_one_of_its_kind(tmp_path: Path) -> None:
    async def main(rig: Rig) -> None:
        rig.carrier.piece_s = 10.0
        await get_log(rig, 1)
        first = await rig.ask("GetDiagnostics", {"location": "ftp://u:p@files.test/up/"})
        await asyncio.sleep(15)
        answer = await get_log(rig, 2)
        assert answer["status"] == "AcceptedCanceled"
        second = await rig.ask("GetDiagnostics", {"location": "ftp://u:p@files.test/up/"})
        assert first["fileName"] != second["fileName"]
        await rig.until("Uploaded")
        await asyncio.sleep(1000)
        sent = [(p["status"], p["requestId"]) for a, p in rig.csms.received if a == "LogStatusNotification"]
        assert sent == [("Uploading", 1), ("Uploading", 2), ("Uploaded", 2)]
        assert rig.said("DiagnosticsStatusNotification") == ["Uploading", "Uploading", "Uploaded"]
        stored = [path for path in rig.files.files if path.startswith("/up/")]
        assert sorted(stored) == sorted([f"/up/{answer['filename']}", f"/up/{second['fileName']}"])

    run(tmp_path, main)


@pytest.mark.parametrize("moment_s", [0.05, 12.0, 25.0])
def test_a_power_cut_goes_on_with_the_same_name(tmp_path: Path, moment_s: float) -> None:
    async def main(rig: Rig) -> None:
        rig.carrier.piece_s = 10.0
        answer = await get_log(rig, 1)
        await asyncio.sleep(moment_s)
        await rig.cut()
        await rig.until("Uploaded")
        await asyncio.sleep(100)
        assert rig.unique_said() == ["Uploading", "Uploaded"]
        assert f"/up/{answer['filename']}" in rig.files.files
        assert len(rig.pages.asked) == 1, "a bundle that is whole is not made again"
        assert list((tmp_path / "transfers").iterdir()) == []

    run(tmp_path, main)


@pytest.mark.parametrize("stored", [False, True])
def test_a_power_cut_at_any_write_changes_nothing_of_what_is_said(tmp_path: Path, stored: bool) -> None:
    """The process stops at the n-th write, before or after it is on the medium, for every n; then it starts again."""
    counted = 0
    for number in range(1, 20):
        folder = tmp_path / str(number)
        folder.mkdir()
        stopped: list[bool] = []

        async def main(rig: Rig, number: int = number, stopped: list[bool] = stopped) -> None:
            rig.stop_at, rig.stop_after = number, stored
            asked = asyncio.ensure_future(get_log(rig, 1))
            await asyncio.sleep(30)
            asked.cancel()
            await asyncio.gather(asked, return_exceptions=True)
            stopped.append(rig.frozen.is_set())
            rig.stop_at = 0
            await rig.cut()
            await asyncio.sleep(30)
            wanted = [] if number == 1 or (number == 2 and not stored) else ["Uploading", "Uploaded"]
            assert rig.unique_said() == wanted, number
            assert len([path for path in rig.files.files if path.startswith("/up/")]) == bool(wanted)

        run(folder, main)
        if not stopped[0]:
            break
        counted = number
    assert counted >= 5


def test_an_operator_may_cancel_and_a_trigger_tells_what_is(tmp_path: Path) -> None:
    async def main(rig: Rig) -> None:
        triggers = rig.transfers.triggers()
        assert triggers["DiagnosticsStatusNotification"]() == ("DiagnosticsStatusNotification", {"status": "Idle"})
        assert triggers["LogStatusNotification"]() == ("LogStatusNotification", {"status": "Idle"})
        rig.carrier.piece_s = 10.0
        await get_log(rig, 4)
        await rig.until("Uploading")
        assert triggers["LogStatusNotification"]() == ("LogStatusNotification", {"status": "Uploading", "requestId": 4})
        assert "diagnostics" in await rig.transfers.cancel("diagnostics")
        assert await rig.transfers.cancel("log") == ""
        await rig.until("UploadFailure")
        await asyncio.sleep(100)
        assert rig.said() == ["Uploading", "UploadFailure"]

    run(tmp_path, main)


def test_a_time_that_is_none_is_refused(tmp_path: Path) -> None:
    from evse.sim.csms import CsmsError

    async def main(rig: Rig) -> None:
        with pytest.raises(CsmsError, match="startTime"):
            await rig.ask("GetDiagnostics", {"location": "ftp://h/", "startTime": "yesterday"})

    run(tmp_path, main)


def test_a_bundle_holds_what_fits_and_says_what_it_leaves_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bundle, "FILE_MAX", 1000)
    monkeypatch.setattr(bundle, "TOTAL_MAX", 2500)
    folder = tmp_path / "in"
    (folder / "sub").mkdir(parents=True)
    big = blob(5000)
    (folder / "a.log").write_bytes(big)
    (folder / "b.txt").write_bytes(b"small")
    (folder / "sub" / "c").write_bytes(big)
    (folder / "sub" / "d").write_bytes(big)
    (folder / "sub" / "e").write_bytes(big)
    (folder / "link").symlink_to("/etc/passwd")
    out = tmp_path / "out.tar.gz"
    assert bundle.pack(folder, out, 1_700_000_000 * NS_PER_S) == out.stat().st_size
    found = unpack(out.read_bytes())
    assert found["a.log"] == big[-1000:]
    assert found["b.txt"] == b"small"
    assert found["sub/c"] == big[-1000:]
    assert found["sub/d"] == big[-495:]
    assert "sub/e" not in found
    assert "link" not in found
    assert b"sub/e: left out" in found["LEFT_OUT.txt"]
    first = out.read_bytes()
    bundle.pack(folder, out, 1_700_000_000 * NS_PER_S)
    assert out.read_bytes() == first


def test_a_full_medium_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "a").write_bytes(b"x")
    monkeypatch.setattr(bundle, "RESERVE_BYTES", 1 << 60)
    with pytest.raises(TransferError) as caught:
        bundle.pack(folder, tmp_path / "out.tar.gz", 0)
    assert caught.value.why is Why.MEDIUM
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


@given(st.text(max_size=100), st.integers(min_value=0, max_value=1 << 62))
def test_names_are_safe_in_every_file_system_and_header(station: str, wall: int) -> None:
    name = bundle.bundle_name(station, "diagnostics", wall)
    assert len(name) <= bundle.NAME_MAX
    assert set(name) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-")
    assert name.endswith(".tar.gz")
    assert not name.startswith(".")
    assert timestamp(wall)
