"""A station's transfers under virtual time: the real client, store and CSMS; files in memory; a simulated installer."""

from __future__ import annotations

import asyncio
from pathlib import Path
from random import Random
from typing import Any

from evse.access.vault import KeyringVault
from evse.devices.polled import inline
from evse.domain.security import CertificateFault
from evse.lab.files import MemoryCarrier
from evse.ocpp.transfers.firmware import FirmwareOptions
from evse.ocpp.transfers.journal import NAMESPACE
from evse.ocpp.transfers.transfers import Transfers
from evse.runtime.securing import OffloadRunner
from evse.sim.files import FileStore
from evse.sim.installer import SimFirmware, make_bundle
from evse.units import WallNs
from tests.ocpp.support import Bench
from tests.ocpp_transfers.support import blob

IMAGE = blob(400_000)
BUNDLE = make_bundle("2.0", IMAGE)


class FakeSite:
    """What the transfers see of the station; a test sets it."""

    def __init__(self, bench: Bench) -> None:
        self._bench = bench
        self.restarts = 0
        self._updating = False
        self.shown: list[bool] = []
        self.ended: list[int] = []

    def online(self) -> bool:
        return self._bench.client.online

    def transaction_runs(self) -> bool:
        return any(e.session is not None and e.session.ended_at is None for e in self._bench.station.evses.values())

    def set_updating(self, updating: bool) -> None:
        if updating != self._updating:
            self.shown.append(updating)
        self._updating = updating

    def updating(self) -> bool:
        return self._updating

    def end_transactions(self) -> None:
        for evse_id, evse in self._bench.station.evses.items():
            if evse.session is not None and evse.session.ended_at is None:
                self.ended.append(evse_id)

    async def restart(self) -> None:
        self.restarts += 1


class Signer:
    """`Signatures` as a test wants them."""

    def __init__(self) -> None:
        self.certificate: CertificateFault | None = None
        self.file = ""
        self.seen: list[tuple[str, str]] = []
        self.checked: list[bytes] = []

    async def check_certificate(self, pem: str) -> CertificateFault | None:
        return self.certificate

    async def check_file(self, path: Path, signature_b64: str, pem: str) -> str:
        self.checked.append(await inline(path.read_bytes))
        self.seen.append((signature_b64, pem))
        return self.file


class Pages:
    """`LogSource` that writes one file which tells what was asked for."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, WallNs | None, WallNs | None]] = []

    async def collect(self, kind: str, folder: Path, since: WallNs | None, until: WallNs | None) -> None:
        self.asked.append((kind, since, until))
        (folder / f"{kind}.txt").write_bytes(blob(300_000, seed=len(self.asked)))


class Rig(Bench):
    """`Bench` with transfers. `cut` is a power cut: everything in memory is gone, files and database stay."""

    def __init__(self, folder: Path, *, installer: bool = True, **config: Any) -> None:
        super().__init__(database=folder / "db.sqlite3", **config)
        self.folder = folder
        self.vault = KeyringVault(folder / "secrets", OffloadRunner(inline))
        self.files = FileStore(user="u", password="p")
        self.files.put("/fw.bin", BUNDLE)
        self.carrier = MemoryCarrier(self.files)
        self.firmware = SimFirmware(folder / "slots", version="1.0", step_s=0.2) if installer else None
        self.options = FirmwareOptions()
        self.signer = Signer()
        self.pages = Pages()
        self.events: list[tuple[str, str]] = []
        self._restarts = 0
        self.heard: list[tuple[str, str]] = []
        """(unique id, status) of everything that reached the CSMS."""
        self.writes, self.stop_at, self.stop_after = 0, 0, False
        self.frozen = asyncio.Event()
        answer = self.csms.handle

        def handle(charge_point: str, unique_id: str, action: str, payload: dict[str, Any]) -> dict[str, Any] | None:
            if action.endswith("StatusNotification") and action != "StatusNotification":
                self.heard.append((unique_id, payload["status"]))
            return answer(charge_point, unique_id, action, payload)

        self.csms.handle = handle  # type: ignore[method-assign]

    async def start(self, settle_s: float = 1.0) -> Rig:
        await super().start(0)
        self._count_writes()
        self.site = FakeSite(self)
        self.transfers = Transfers(
            self.store, self.vault, self.carrier, self.site, self.clock, Random(self.seed + self._restarts), self.folder / "transfers",
            station="DC 1", firmware=self.firmware, source=self.pages, options=lambda: self.options, signatures=self.signer,
            note=lambda kind, text: self.events.append((kind, text)), offload=inline,
        )
        await self.transfers.load()
        self.client.handlers.extensions.append(self.transfers.table)
        self.client.jobs.append(self.transfers.send)
        self.transfer_task = asyncio.get_running_loop().create_task(self.transfers.run())
        await asyncio.sleep(settle_s)
        return self

    async def kill(self) -> None:
        self.transfer_task.cancel()
        await asyncio.gather(self.transfer_task, return_exceptions=True)
        await super().kill()

    async def cut(self, *, boots: bool = False) -> None:
        """Power cut and return; ``boots`` = the boot loader takes what was activated."""
        await self.kill()
        self._restarts += 1
        if self.firmware is not None and boots:
            self.firmware.boot()
        await self.start(0)

    def _count_writes(self) -> None:
        """Let the process stop at its write number ``stop_at``: after it (``stop_after``), or before it is stored."""
        store = self.store

        def wrap(write: Any) -> Any:
            async def at_write(namespace: str, *args: Any) -> None:
                if namespace == NAMESPACE:
                    self.writes += 1
                    if self.writes == self.stop_at and self.stop_after:
                        await write(namespace, *args)
                    if self.writes == self.stop_at:
                        self.frozen.set()
                    if self.stop_at and self.writes >= self.stop_at:
                        await asyncio.Event().wait()
                await write(namespace, *args)

            return at_write

        store.put_many, store.put = wrap(store.put_many), wrap(store.put)  # type: ignore[method-assign]

    def unique_said(self) -> list[str]:
        """Statuses in order; a message that was sent twice with the same id, because the cut took its answer, counts once."""
        heard: dict[str, str] = {}
        for entry in self.heard:
            heard.setdefault(*entry)
        return list(heard.values())

    async def until(self, what: str, at_most_s: float = 5000) -> None:
        """Run until the CSMS has heard a status."""
        for _ in range(int(at_most_s / 0.05)):
            if what in self.said():
                return
            await asyncio.sleep(0.05)
        raise AssertionError(f"{what} was not said in {at_most_s} s; said: {self.said()}")

    def said(self, *actions: str) -> list[str]:
        """Statuses that the CSMS has heard, oldest first; repetitions of one message count once."""
        wanted = actions or (
            "FirmwareStatusNotification", "SignedFirmwareStatusNotification", "DiagnosticsStatusNotification",
            "LogStatusNotification",
        )
        return [payload["status"] for action, payload in self.csms.received if action in wanted]

    async def ask(self, action: str, payload: dict[str, Any]) -> dict[str, Any]:
        """A request of the CSMS."""
        return await self.csms.call(action, payload)

    async def update(self, **changes: Any) -> dict[str, Any]:
        """UpdateFirmware for now."""
        return await self.ask("UpdateFirmware", {
            "location": "http://u:p@files.test/fw.bin", "retrieveDate": "2020-01-01T00:00:00Z", **changes,
        })

    async def signed(self, request_id: int, asked: dict[str, Any] | None = None, **changes: Any) -> dict[str, Any]:
        """SignedUpdateFirmware for now; ``asked`` = fields beside the firmware."""
        firmware = {
            "location": "http://u:p@files.test/fw.bin", "retrieveDateTime": "2020-01-01T00:00:00Z",
            "signingCertificate": "PEM", "signature": "c2ln", **changes,
        }
        return await self.ask("SignedUpdateFirmware", {"requestId": request_id, "firmware": firmware, "retryInterval": 15, **(asked or {})})
