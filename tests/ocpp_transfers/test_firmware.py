"""Firmware updates over OCPP: every outcome, said once, whatever happens in between."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from evse.domain.security import CertificateFault
from evse.ocpp.messages import timestamp
from evse.ocpp.transfers.firmware import INSTALLS_MAX, PATIENCE_NS, FirmwareOptions
from evse.sim.csms import CsmsError
from evse.sim.installer import make_bundle
from evse.units import NS_PER_S
from tests.ocpp.support import under_virtual_time
from tests.ocpp_transfers.rig import BUNDLE, IMAGE, Rig

PLAIN = ["Downloading", "Downloaded", "Installing", "Installed"]
SIGNED = ["Downloading", "Downloaded", "SignatureVerified", "Installing", "InstallRebooting", "Installed"]


def run(folder: Path, main: Callable[[Rig], Awaitable[None]], **config: object) -> None:
    """Run a test body on a rig."""

    async def body() -> None:
        rig = await Rig(folder, **config).start()  # type: ignore[arg-type]
        try:
            await main(rig)
        finally:
            await rig.kill()

    under_virtual_time(body)


@pytest.fixture
def in_memory(tmp_path: Path) -> Iterator[Path]:
    """A directory whose syncs cost nothing, where there is one: this test makes hundreds."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else tmp_path) as folder:
        yield Path(folder)


async def restarted(rig: Rig) -> None:
    """Wait for the restart into the new version and do it."""
    for _ in range(5000):
        if rig.site.restarts:
            break
        await asyncio.sleep(0.1)
    assert rig.site.restarts == 1
    await rig.cut(boots=True)


def test_update_is_said_step_by_step_and_installed_after_the_restart(tmp_path: Path) -> None:
    async def main(rig: Rig) -> None:
        assert await rig.update() == {}
        await rig.until("Installing")
        running = rig.transfers.status().running[0]
        assert (running.stage, running.location) == ("installing", "http://files.test/fw.bin")
        assert rig.site.updating()
        await restarted(rig)
        await rig.until("Installed")
        await asyncio.sleep(3600)
        assert rig.said() == PLAIN
        status = rig.transfers.status()
        assert status.running == ()
        assert (status.results[0].ok, status.results[0].status) == (True, "Installed")
        assert ("FirmwareUpdated", "version 2.0") in rig.events
        assert list((tmp_path / "transfers").iterdir()) == []
        assert not rig.site.updating()
        await rig.cut()
        await asyncio.sleep(60)
        assert rig.said() == PLAIN
        assert rig.transfers.status().results[0].status == "Installed"

    run(tmp_path, main)


def test_signed_update_has_all_its_words(tmp_path: Path) -> None:
    async def main(rig: Rig) -> None:
        later, installs = rig.clock.wall() + 100 * NS_PER_S, rig.clock.wall() + 500 * NS_PER_S
        rig.files.drops.append(100_000)
        answer = await rig.signed(7, retrieveDateTime=timestamp(later), installDateTime=timestamp(installs))
        assert answer == {"status": "Accepted"}
        await asyncio.sleep(90)
        assert rig.said() == ["DownloadScheduled"]
        await rig.until("SignatureVerified")
        await asyncio.sleep(60)
        assert rig.said()[-1] == "InstallScheduled"
        assert rig.clock.wall() < installs
        assert not rig.site.updating()
        await restarted(rig)
        await rig.until("Installed")
        assert rig.said() == [
            "DownloadScheduled", "Downloading", "DownloadPaused", "Downloading", "Downloaded", "SignatureVerified",
            "InstallScheduled", "Installing", "InstallRebooting", "Installed",
        ]
        assert {p["requestId"] for a, p in rig.csms.received if a == "SignedFirmwareStatusNotification"} == {7}
        assert rig.signer.seen == [("c2ln", "PEM")]
        assert rig.signer.checked == [BUNDLE]

    run(tmp_path, main)


def test_retries_with_pauses_go_on_where_the_line_broke_and_are_given_up(tmp_path: Path) -> None:
    async def main(rig: Rig) -> None:
        rig.files.drops.extend([100_000, 200_000])
        began = rig.clock.now()
        await rig.update(retries=3, retryInterval=40)
        await rig.until("Downloaded")
        assert (rig.clock.now() - began) / NS_PER_S > 80
        assert list(rig.files.offsets) == [0, 100_000, 300_000]
        assert rig.said().count("Downloading") == 1
        await restarted(rig)
        await rig.until("Installed")
        rig.files.drops.extend([10, 10, 10])
        rig.csms.received.clear()
        await rig.update(retries=3, retryInterval=1000)
        await rig.until("DownloadFailed")
        assert rig.said() == ["Downloading", "DownloadFailed"]
        assert rig.carrier.fetches == 6
        result = rig.transfers.status().results[0]
        assert "broken" in result.text
        assert (result.ok, result.status) == (False, "DownloadFailed")

    run(tmp_path, main)


def test_many_attempts_in_short_order_are_no_flood(tmp_path: Path) -> None:
    async def main(rig: Rig) -> None:
        rig.files.drops.extend([10] * 100)
        began = rig.clock.now()
        await rig.signed(1, {"retries": 100, "retryInterval": 0})
        await rig.until("DownloadFailed")
        assert rig.said() == ["Downloading", "DownloadFailed"]
        assert rig.carrier.fetches == 100
        assert (rig.clock.now() - began) / NS_PER_S > 99

    run(tmp_path, main)


@pytest.mark.parametrize(
    ("location", "fetches"),
    [("sftp://h/x", 0), ("http://u:wrong@files.test/fw.bin", 1), ("http://u:p@files.test/none", 2), ("not an address", 0)],
)
def test_what_cannot_succeed_is_not_tried_again(tmp_path: Path, location: str, fetches: int) -> None:
    async def main(rig: Rig) -> None:
        await rig.update(location=location, retries=2, retryInterval=1)
        await rig.until("DownloadFailed")
        assert rig.carrier.fetches == fetches
        assert "wrong" not in rig.transfers.status().results[0].text

    run(tmp_path, main)


@pytest.mark.parametrize("kind", ["verify", "install", "boot", "damaged"])
@pytest.mark.parametrize("signed", [False, True])
def test_failed_installations(tmp_path: Path, kind: str, signed: bool) -> None:
    async def main(rig: Rig) -> None:
        bundle = make_bundle("2.0", IMAGE, "" if kind == "damaged" else kind)
        if kind == "damaged":
            bundle = bundle[:-1] + bytes([bundle[-1] ^ 1])
        rig.files.put("/fw.bin", bundle)
        rig.signer.check_file = lambda *_: asyncio.sleep(0, "")  # type: ignore[method-assign, assignment]
        await (rig.signed(1) if signed else rig.update())
        forged = signed and kind in ("verify", "damaged")
        wanted = "InstallVerificationFailed" if forged else "InstallationFailed"
        if kind == "boot":
            await restarted(rig)
        await rig.until(wanted)
        assert rig.said()[-1] == wanted
        assert rig.said().count(wanted) == 1
        assert not rig.site.updating()
        text = rig.transfers.status().results[0].text
        assert {"verify": "manufacturer", "install": "medium", "boot": "fallen back", "damaged": "damaged"}[kind] in text
        assert rig.firmware is not None
        assert await rig.firmware.version() == "1.0"
        assert rig.transfers.busy() == ""

    run(tmp_path, main)


def test_wrong_signature_and_wrong_certificate(tmp_path: Path) -> None:
    async def main(rig: Rig) -> None:
        rig.signer.certificate = CertificateFault(text="issued by nobody we know, and not revoked")
        assert await rig.signed(1) == {"status": "InvalidCertificate"}
        rig.signer.certificate = CertificateFault(text="its authority has withdrawn it", revoked=True)
        assert await rig.signed(2) == {"status": "RevokedCertificate"}
        rig.signer.certificate = None
        assert await rig.signed(3, location="sftp://h/x") == {"status": "Rejected"}
        rig.signer.file = "the signature does not fit"
        assert await rig.signed(4) == {"status": "Accepted"}
        await rig.until("InvalidSignature")
        await asyncio.sleep(100)
        assert rig.said() == ["Downloading", "Downloaded", "InvalidSignature"]
        assert [kind for kind, _ in rig.events] == [
            "InvalidFirmwareSigningCertificate", "InvalidFirmwareSigningCertificate", "InvalidFirmwareSignature",
        ]
        assert rig.firmware is not None
        assert rig.firmware.installs == 0
        rig.options = FirmwareOptions(signed_only=True)
        with pytest.raises(CsmsError, match="NotSupported"):
            await rig.update()

    run(tmp_path, main)


def test_a_newer_request_takes_the_place_of_one_that_waits_or_is_fetched(tmp_path: Path) -> None:
    async def main(rig: Rig) -> None:
        rig.files.put("/new.bin", make_bundle("3.0", IMAGE))
        rig.signer.check_file = lambda *_: asyncio.sleep(0, "")  # type: ignore[method-assign, assignment]
        later = timestamp(rig.clock.wall() + 3600 * NS_PER_S)
        await rig.update(retrieveDate=later)
        assert await rig.signed(1) == {"status": "AcceptedCanceled"}
        await rig.until("Downloading")
        assert await rig.signed(2, location="http://u:p@files.test/new.bin") == {"status": "AcceptedCanceled"}
        await restarted(rig)
        await rig.until("Installed")
        sent = [(p["status"], p["requestId"]) for a, p in rig.csms.received if a == "SignedFirmwareStatusNotification"]
        assert sent == [("Downloading", 1), *((word, 2) for word in SIGNED)]
        assert rig.firmware is not None
        assert await rig.firmware.version() == "3.0"

    run(tmp_path, main)


def test_a_request_during_the_installation_is_answered_and_forgotten(tmp_path: Path) -> None:
    async def main(rig: Rig) -> None:
        await rig.update()
        await rig.until("Installing")
        assert "being installed" in rig.transfers.busy()
        rig.files.put("/new.bin", make_bundle("3.0", IMAGE))
        assert await rig.update(location="http://u:p@files.test/new.bin") == {}
        assert await rig.signed(9) == {"status": "Rejected"}
        assert "has begun" in await rig.transfers.cancel("firmware")
        await restarted(rig)
        await rig.until("Installed")
        await asyncio.sleep(100)
        assert rig.said() == PLAIN
        assert rig.transfers.busy() == ""

    run(tmp_path, main)


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("stored", [False, True])
def test_a_power_cut_at_any_write_changes_nothing_of_what_is_said(
    in_memory: Path, signed: bool, stored: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process stops at the n-th write, before or after it is on the medium, for every n; then it starts again."""
    monkeypatch.setattr("evse.ocpp.transfers.partial.SYNC_BYTES", 200_000)
    wanted = ["DownloadScheduled", *SIGNED[:3], "InstallScheduled", *SIGNED[3:]] if signed else PLAIN

    async def case(rig: Rig, number: int) -> bool:
        """Return whether there was an n-th write."""
        rig.stop_at, rig.stop_after = number, stored
        wall = rig.clock.wall()
        at = timestamp(wall + 3 * NS_PER_S)
        if signed:
            order = rig.signed(1, retrieveDateTime=at, installDateTime=timestamp(wall + 8 * NS_PER_S))
        else:
            order = rig.update(retrieveDate=at)
        asked = asyncio.ensure_future(order)
        for _ in range(3000):
            if rig.frozen.is_set() or "Installed" in rig.said():
                break
            if rig.site.restarts:
                await rig.cut(boots=True)
            await asyncio.sleep(0.1)
        asked.cancel()
        await asyncio.gather(asked, return_exceptions=True)
        if not rig.frozen.is_set():
            return False
        rig.stop_at = 0
        await rig.cut(boots=True)
        if number == 1 or (number == 2 and not stored):  # never stored and never answered: nothing happens, and the CSMS may ask again
            await asyncio.sleep(100)
            assert rig.unique_said() == []
            return True
        for _ in range(3000):
            if rig.site.restarts:
                await rig.cut(boots=True)
            if "Installed" in rig.said():
                break
            await asyncio.sleep(0.1)
        await asyncio.sleep(100)
        assert rig.unique_said() == wanted, number
        assert rig.firmware is not None
        assert await rig.firmware.version() == "2.0"
        return True

    counted = 0
    for number in range(1, 40):
        folder = in_memory / str(number)
        folder.mkdir()
        went_on: list[bool] = []

        async def body(rig: Rig, number: int = number, went_on: list[bool] = went_on) -> None:
            went_on.append(await case(rig, number))

        run(folder, body)
        if not went_on[0]:
            break
        counted = number
    assert counted >= 10


def test_an_installation_during_which_the_power_goes_every_time_is_given_up(tmp_path: Path) -> None:
    async def main(rig: Rig) -> None:
        await rig.update()
        await rig.until("Installing")
        for _ in range(INSTALLS_MAX):
            await asyncio.sleep(2)
            await rig.cut()
        await rig.until("InstallationFailed")
        assert rig.said() == ["Downloading", "Downloaded", "Installing", "InstallationFailed"]

    run(tmp_path, main)


def test_statuses_wait_for_the_link_and_are_said_in_order(tmp_path: Path) -> None:
    async def main(rig: Rig) -> None:
        await rig.update()
        await rig.until("Downloaded")
        rig.csms.down()
        await asyncio.sleep(100)
        assert rig.site.restarts == 1
        await rig.cut(boots=True)
        await asyncio.sleep(100)
        assert rig.transfers.status().unanswered == 2
        rig.csms.up()
        await rig.until("Installed")
        assert rig.said() == PLAIN
        await asyncio.sleep(10)
        assert rig.transfers.status().unanswered == 0

    run(tmp_path, main)


def test_a_lost_answer_is_repeated_with_the_same_id_and_refusals_end_it(tmp_path: Path) -> None:
    async def main(rig: Rig) -> None:
        rig.csms.answer("FirmwareStatusNotification", lost=True, count=1)
        rig.csms.answer("FirmwareStatusNotification", silence=True, count=1)
        await rig.update()
        await restarted(rig)
        await rig.until("Installed")
        ids = [m.unique_id for m in rig.client.messages(500, "FirmwareStatusNotification") if m.type == "call"]
        assert len(ids) == len(set(ids))
        rig.csms.received.clear()
        rig.csms.answer("FirmwareStatusNotification", error="NotImplemented")
        await rig.update(location="sftp://x/y")
        await rig.until("DownloadFailed")
        await asyncio.sleep(600)
        assert rig.said() == ["DownloadFailed"]
        assert rig.transfers.status().unanswered == 0

    run(tmp_path, main)


def test_downloads_wait_for_the_link(tmp_path: Path) -> None:
    async def main(rig: Rig) -> None:
        later = timestamp(rig.clock.wall() + 100 * NS_PER_S)
        await rig.update(retrieveDate=later)
        rig.csms.down()
        await asyncio.sleep(500)
        assert rig.carrier.fetches == 0
        assert "link" in rig.transfers.status().running[0].detail
        rig.csms.up()
        await rig.until("Downloaded")

    run(tmp_path, main)


def test_the_installation_waits_for_transactions_and_may_be_told_not_to(tmp_path: Path) -> None:
    async def main(rig: Rig) -> None:
        await rig.begin()
        await rig.update()
        await rig.until("Downloaded")
        await asyncio.sleep(3600)
        assert "Installing" not in rig.said()
        assert "transaction" in rig.transfers.status().running[0].detail
        assert rig.site.shown == [], "nobody is kept out while one charges"
        await rig.end()
        await rig.until("Installing")
        assert rig.site.updating()

    run(tmp_path, main)
    (tmp_path / "2").mkdir()

    async def hasty(rig: Rig) -> None:
        rig.options = FirmwareOptions(wait_idle=False)
        await rig.begin()
        await rig.update()
        await rig.until("Installing")
        await asyncio.sleep(600)
        assert rig.site.restarts == 0, "the restart waits for the transaction in any case"
        await rig.end()
        await asyncio.sleep(10)
        assert rig.site.restarts == 1

    run(tmp_path / "2", hasty)


def test_a_forced_update_waits_for_nobody_and_ends_transactions_for_the_restart(tmp_path: Path) -> None:
    async def main(rig: Rig) -> None:
        rig.options = FirmwareOptions(force=True, notice_s=600)
        await rig.begin()
        await rig.update()
        await rig.until("Downloaded")
        await asyncio.sleep(590)
        assert rig.site.updating(), "nobody begins any more"
        assert "Installing" not in rig.said()
        assert rig.transfers.status().running[0].detail == "out of service for 600 s before the installation"
        await rig.until("Installing")
        await asyncio.sleep(60)
        assert rig.site.ended == [1]
        assert rig.site.restarts == 0, "the transaction has been asked to end and has not ended yet"
        await rig.end()
        await asyncio.sleep(10)
        assert rig.site.restarts == 1
        assert rig.site.shown == [True], "nobody may begin in between"

    run(tmp_path, main)


def test_a_station_that_is_never_idle_keeps_newcomers_out_after_a_while(tmp_path: Path) -> None:
    async def main(rig: Rig) -> None:
        await rig.begin(1)
        await rig.update()
        for hour in range(PATIENCE_NS // NS_PER_S // 3600):
            first, second = (1, 2) if hour % 2 == 0 else (2, 1)
            await rig.begin(second)
            await asyncio.sleep(1800)
            await rig.end(first)
            await rig.leave(first)
            await asyncio.sleep(1800)
            assert "Installing" not in rig.said()
        await asyncio.sleep(10)
        assert rig.site.updating()
        await rig.end(1)
        await rig.until("Installing")

    run(tmp_path, main)


def test_a_station_without_installer_says_so_at_once(tmp_path: Path) -> None:
    async def main(rig: Rig) -> None:
        assert await rig.signed(1) == {"status": "Rejected"}
        await rig.update()
        await rig.until("InstallationFailed")
        assert rig.said() == ["InstallationFailed"]
        assert rig.carrier.fetches == 0
        assert "no installer" in rig.transfers.status().results[0].text

    run(tmp_path, main, installer=False)


def test_an_operator_may_cancel(tmp_path: Path) -> None:
    async def main(rig: Rig) -> None:
        assert "no firmware" in await rig.transfers.cancel("firmware")
        assert "accepted: firmware" in await rig.transfers.cancel("x")
        await rig.update()
        await rig.until("Downloading")
        assert await rig.transfers.cancel("firmware") == ""
        await asyncio.sleep(100)
        assert rig.said() == ["Downloading", "DownloadFailed"]
        assert "operator" in rig.transfers.status().results[0].text
        assert list((tmp_path / "transfers").iterdir()) == []

    run(tmp_path, main)


def test_triggers_say_the_last_status_or_idle(tmp_path: Path) -> None:
    async def main(rig: Rig) -> None:
        assert rig.transfers.triggers()["FirmwareStatusNotification"]() == ("FirmwareStatusNotification", {"status": "Idle"})
        await rig.signed(5)
        await rig.until("Downloading")
        assert rig.transfers.triggers()["FirmwareStatusNotification"]() == (
            "SignedFirmwareStatusNotification", {"status": "Downloading", "requestId": 5},
        )

    run(tmp_path, main)


def test_what_is_stored_and_damaged_is_left_out(tmp_path: Path) -> None:
    async def main(rig: Rig) -> None:
        await rig.store.put_many("ocpp.transfers", {"firmware": "{}", "notice.x": "1", "notice.000000001": "[]", "log": "7"})
        await rig.cut()
        await asyncio.sleep(10)
        assert rig.transfers.status().running == ()
        await rig.update()
        await rig.until("Downloaded")

    run(tmp_path, main)
