"""File servers under the certificate checks of the station: its roots, its clock."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from evse.access.vault import KeyringVault
from evse.config.model_ocpp import OcppSection
from evse.config.model_ocpp_security import OcppTlsSection
from evse.devices.polled import inline
from evse.ocpp.security.facade import Security
from evse.ocpp.transfers.errors import TransferError, Why
from evse.ocpp.transfers.fetch import fetch
from evse.ocpp.transfers.target import parse_target
from evse.runtime.clock import RealClock
from evse.runtime.securing import OffloadRunner
from evse.sim.file_servers import FtpServer, HttpServer
from evse.sim.files import FileStore
from evse.storage.db import InlineExecutor, Store
from evse.units import NS_PER_S
from tests.ocpp_transfers.support import Pki, Saves, blob, net, quiet, run

DAY = 86_400 * NS_PER_S
CONTENT = blob(50_000)


class Shifted(RealClock):
    """The clock of a station that keeps an offset of its own to that of the system."""

    def __init__(self, by: int) -> None:
        super().__init__()
        self.by = by

    def wall(self) -> int:
        return super().wall() + self.by


async def make_security(folder: Path, clock: RealClock, ca_file: str) -> Security:
    store = await Store.open(":memory:", executor=InlineExecutor())
    config = OcppSection(enabled=True, url="ws://x", tls=OcppTlsSection(ca_file=ca_file))
    security = Security(config, "S", clock, store, KeyringVault(folder / "secrets", OffloadRunner(inline)), inline)
    await security.open()
    return security


@pytest.mark.parametrize("kind", ["https", "ftps", "ftpes"])
@pytest.mark.parametrize(
    ("shift_days", "known", "words"),
    [(0, True, ""), (0, False, "unable to get|self-signed|unknown"), (200, True, "expired"), (-200, True, "not yet valid"),
     (-30_000, True, "clock of the station")],
)
def test_certificates_of_file_servers(tmp_path: Path, kind: str, shift_days: int, known: bool, words: str) -> None:
    pki = Pki(tmp_path)

    async def main() -> None:
        store = FileStore()
        store.put("/home/station/f", CONTENT)
        store.put("/f", CONTENT)
        server = HttpServer(store, pki.server()) if kind == "https" else FtpServer(store, pki.server(), implicit=kind == "ftps")
        at = await server.start()
        security = await make_security(tmp_path, Shifted(shift_days * DAY), str(pki.root) if known else "")
        ways = net(security.file_tls)
        part = Saves(tmp_path / "part").again()
        target = parse_target(f"{kind}://127.0.0.1:{at.port}/f")
        if words:
            with pytest.raises(TransferError, match=words) as caught:
                await fetch(ways, target, part, quiet)
            assert caught.value.why is Why.CERTIFICATE
        else:
            await fetch(ways, target, part, quiet)
            assert await asyncio.to_thread(part.path.read_bytes) == CONTENT
        await server.close()

    run(main)


def test_another_host_is_refused_and_plain_ftp_needs_no_clock(tmp_path: Path) -> None:
    pki = Pki(tmp_path, host="127.0.0.2")

    async def main() -> None:
        store = FileStore()
        store.put("/home/station/f", CONTENT)
        store.put("/f", CONTENT)
        for scheme in ("https", "ftps"):
            server = HttpServer(store, pki.server()) if scheme == "https" else FtpServer(store, pki.server(), implicit=True)
            at = await server.start()
            security = await make_security(tmp_path, RealClock(), str(pki.root))
            with pytest.raises(TransferError, match=r"mismatch|not valid for") as caught:
                await fetch(net(security.file_tls), parse_target(at.url("/f")), Saves(tmp_path / "part").again(), quiet)
            assert caught.value.why is Why.CERTIFICATE
            await server.close()
        plain = FtpServer(store)
        at = await plain.start()
        security = await make_security(tmp_path, Shifted(-30_000 * DAY), "")
        await fetch(net(security.file_tls), parse_target(at.url("/f")), Saves(tmp_path / "other").again(), quiet)
        await plain.close()

    run(main)
