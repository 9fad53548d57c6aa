"""Addresses with passwords: sealed while their job stands, gone afterwards, whatever happens in between."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path

import msgspec
import pytest

from evse.access.ports import SecretsError
from evse.ocpp.messages import timestamp
from evse.ocpp.transfers.addresses import ROW
from evse.ocpp.transfers.journal import NAMESPACE
from evse.ocpp.transfers.target import shown
from evse.sim.csms import CsmsError
from evse.units import NS_PER_S
from tests.ocpp.support import under_virtual_time
from tests.ocpp_transfers.rig import Rig

SECRET = "S3cr3t-0f-the-d3pot"
URL = f"http://u:{SECRET}@files.test/fw.bin"


def holding(folder: Path, secret: str = SECRET) -> list[str]:
    """Names of all files below ``folder`` in which the secret stands as it is."""
    return sorted(path.name for path in folder.rglob("*") if path.is_file() and secret.encode() in path.read_bytes())


async def named(rig: Rig) -> list[str]:
    return [key for key in await rig.store.get_all(NAMESPACE) if key.startswith(ROW)]


async def soon(rig: Rig) -> None:
    """UpdateFirmware in a minute."""
    await rig.update(location=URL, retrieveDate=timestamp(rig.clock.wall() + 60 * NS_PER_S))


def test_an_address_is_sealed_over_a_restart_and_removed_with_its_job(tmp_path: Path) -> None:
    async def main() -> None:
        rig = Rig(tmp_path)
        rig.files.password = SECRET
        await rig.start()
        await soon(rig)
        (name,) = await named(rig)
        assert await rig.vault.read(name.removeprefix(ROW)) == URL
        await rig.cut()
        assert holding(tmp_path) == []
        assert rig.transfers.status().running[0].location == "http://files.test/fw.bin"
        await asyncio.sleep(5)
        await soon(rig)  # takes its place
        (other,) = await named(rig)
        assert other != name
        assert await rig.vault.read(name.removeprefix(ROW)) is None
        await rig.until("Installing")  # so the right password was shown to the server
        assert holding(tmp_path) == []
        while not rig.site.restarts:
            await asyncio.sleep(0.1)
        await rig.cut(boots=True)
        await rig.until("Installed")
        assert await named(rig) == []
        assert await rig.vault.read(other.removeprefix(ROW)) is None
        await rig.kill()

    under_virtual_time(main)


def test_a_power_cut_at_any_write_of_a_request_leaves_no_secret_that_is_not_removed(tmp_path: Path) -> None:
    """Cut before and after each write: the job is there and works, or it is not there; no secret without a job."""

    async def main() -> None:
        for number in range(1, 4):
            for after in (False, True):
                folder = tmp_path / f"{number}{after}"
                folder.mkdir()
                rig = Rig(folder)
                rig.files.password = SECRET
                await rig.start()
                rig.stop_at, rig.stop_after = rig.writes + number, after
                asked = asyncio.create_task(soon(rig))
                await asyncio.sleep(5)
                asked.cancel()
                await asyncio.gather(asked, return_exceptions=True)
                rig.stop_at = 0
                await rig.cut()
                job = rig.transfers.firmware.stored
                kept = [] if job is None else [ROW + job.sealed]
                assert await named(rig) == kept, (number, after)
                assert (job is not None) is (number > 2 or (number, after) == (2, True))
                assert holding(folder) == []
                if job is not None:
                    assert await rig.vault.read(job.sealed) == URL
                await rig.kill()

    under_virtual_time(main)


@pytest.mark.parametrize("filling", [0, 9000])
def test_a_job_of_a_former_release_is_sealed_and_its_row_overwritten(tmp_path: Path, filling: int) -> None:
    """``filling``: so long a certificate that the row reaches over several pages of the database."""

    async def main() -> None:
        rig = Rig(tmp_path)
        rig.files.password = SECRET
        await rig.start()
        old = {
            "number": rig.clock.wall(), "location": URL, "retrieve_at": rig.clock.wall() + 60 * NS_PER_S, "attempts": 3,
            "pause_s": 60, "certificate": "x" * filling,
        }
        logs = {
            "number": 7, "request_id": None, "content": "diagnostics", "location": f"http://u:{SECRET}@files.test/up/",
            "since": None, "until": None, "attempts": 3, "pause_s": 60, "name": "old.tar.gz",
        }
        await rig.store.put_many(NAMESPACE, {
            "firmware": msgspec.json.encode(old).decode(), "diagnostics": msgspec.json.encode(logs).decode(),
        })
        db = sqlite3.connect(tmp_path / "db.sqlite3")
        db.execute("PRAGMA wal_checkpoint(FULL)")
        db.close()
        assert holding(tmp_path) == ["db.sqlite3", "db.sqlite3-wal"]  # the search finds what is there
        await rig.cut()
        assert holding(tmp_path) == []
        assert len(await named(rig)) == 2
        await rig.until("Installing")
        await rig.until("Uploaded")
        assert rig.files.files["/up/old.tar.gz"]
        await rig.kill()

    under_virtual_time(main)


def test_without_a_vault_nothing_is_stored_and_a_lost_secret_ends_the_job_with_words(tmp_path: Path) -> None:
    async def main() -> None:
        rig = await Rig(tmp_path).start()
        write = rig.vault.write

        async def full(name: str, value: str) -> None:
            raise SecretsError("secrets.sealed: cannot be written: No space left on device; check space and rights")

        rig.vault.write = full  # type: ignore[method-assign]
        with pytest.raises(CsmsError) as error:
            await soon(rig)
        assert "InternalError" in str(error.value)
        assert (await rig.store.get_all(NAMESPACE)).keys() == set(await named(rig))
        await rig.update(location="http://files.test/none.bin")  # holds nothing to hide: needs no vault
        await rig.until("DownloadFailed")
        rig.vault.write = write  # type: ignore[method-assign]
        await soon(rig)
        job = rig.transfers.firmware.stored
        assert job is not None
        await rig.vault.remove(job.sealed)
        await rig.cut()
        await asyncio.sleep(90)
        assert "are not in the vault any more" in rig.transfers.status().results[0].text
        await rig.cut()  # also the first request's name
        assert await named(rig) == []
        await rig.kill()

    under_virtual_time(main)


@pytest.mark.parametrize(
    ("url", "wanted"),
    [
        ("ftp://u:p@h/f", "ftp://h/f"), ("https://h/f?sig=s", "https://h/f"), ("http://h/f", "http://h/f"),
        ("ftp://u:pa/ss@h/f", "an address that cannot be read"),
    ],
)
def test_what_is_shown(url: str, wanted: str) -> None:
    assert shown(url) == wanted
