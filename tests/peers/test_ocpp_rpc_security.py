"""Security profiles 1 to 3 against a CSMS that shares no code with the station: npm ``ocpp-rpc`` on node's own TLS."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from evse.sim.csms_security import Authority, key_pem, new_key, pem
from tests.ocpp_security.support import SecureStation, real_station, run_real, until

HERE = Path(__file__).parent
KEY = "646b327130726675327130662d326630726467"  # 19 bytes, written as the whitepaper does
NEXT = "00ff10203040506070a0b0c0d0e0f0011223344a"  # 20 bytes that are no text
ROOT = Authority("CSMS root")

pytestmark = [
    pytest.mark.peer,
    pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed"),
    pytest.mark.skipif(not (HERE / "node_modules").is_dir(), reason="run `npm ci` in tests/peers first"),
]


class Peer:
    """The process of the CSMS and what it said."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.rows: list[dict[str, Any]] = []
        self.port = 0

    async def listen(self) -> None:
        assert self.process.stdout is not None
        async for line in self.process.stdout:
            self.rows.append(json.loads(line))

    def tell(self, row: dict[str, Any]) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(row).encode() + b"\n")

    def said(self, key: str) -> list[dict[str, Any]]:
        return [row for row in self.rows if key in row]

    async def ask(self, action: str, payload: dict[str, Any]) -> Any:
        mark = len(self.said("answer"))
        self.tell({"call": action, "payload": payload})
        await until(lambda: len(self.said("answer")) > mark, f"answer to {action}")
        return self.said("answer")[mark]["answer"]

    async def set_key(self, key: str, value: str) -> str:
        return str((await self.ask("ChangeConfiguration", {"key": key, "value": value}))["status"])


@asynccontextmanager
async def peer(profile: int) -> AsyncIterator[Peer]:
    process = await asyncio.create_subprocess_exec(
        "node", str(HERE / "csms_secure.mjs"), stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
    )
    made = Peer(process)
    listening = asyncio.create_task(made.listen())
    key = new_key()
    leaf = ROOT.issue(key.public_key(), "127.0.0.1", hosts=("127.0.0.1",))
    root = pem(ROOT.certificate)
    made.tell({"profile": profile, "password": KEY, "key": key_pem(key), "cert": pem(leaf), "ca": root})
    try:
        await until(lambda: bool(made.said("port")), "the CSMS listens")
        made.port = int(made.said("port")[0]["port"])
        yield made
        assert made.said("violation") == []
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
        listening.cancel()
        await asyncio.gather(listening, return_exceptions=True)


async def online(station: SecureStation, what: str) -> None:
    def hurried() -> bool:
        if station.client.link.next_dial is not None:
            station.client.reconnect("the test has no time")
        return station.online

    await until(hurried, what)


def test_profile_1_binary_passwords_and_their_change() -> None:
    async def main(directory: Path) -> None:
        async with peer(1) as csms:
            station = await real_station(directory, f"ws://127.0.0.1:{csms.port}", security={"profile": 1}).start()
            await station.security.set_key(NEXT)
            await until(lambda: bool(csms.said("refused")), "the wrong password is refused")
            await station.security.set_key(KEY)
            await online(station, "the right password")
            assert csms.said("accepted")[0]["accepted"] == "DC 1"
            assert await csms.set_key("AuthorizationKey", NEXT) == "Accepted"
            csms.tell({"password": NEXT})
            await until(lambda: station.security.status().staged is None and station.online, "the next password")
            assert await csms.set_key("SecurityProfile", "0") == "Rejected"
            await station.kill()

    run_real(main)


def test_profile_2_certificates_over_a_strict_link() -> None:
    async def main(directory: Path) -> None:
        async with peer(2) as csms:
            station = await real_station(
                directory, f"wss://127.0.0.1:{csms.port}", security={"profile": 2}, tls={"roots": "installed"}
            ).start()
            await station.security.set_key(KEY)
            await station.security.install("CentralSystemRootCertificate", pem(ROOT.certificate))
            await online(station, "profile 2")
            assert csms.said("accepted")[-1]["version"] == "TLSv1.3"
            named = {"certificateType": "CentralSystemRootCertificate"}
            (row,) = (await csms.ask("GetInstalledCertificateIds", named))["certificateHashData"]
            assert await csms.ask("DeleteCertificate", {"certificateHashData": row}) == {"status": "Failed"}
            other = pem(Authority("Other").certificate)
            assert await csms.ask("InstallCertificate", {**named, "certificate": other}) == {"status": "Accepted"}
            assert await csms.ask("InstallCertificate", {**named, "certificate": "x"}) == {"status": "Rejected"}
            answer = await csms.ask("ExtendedTriggerMessage", {"requestedMessage": "SignChargePointCertificate"})
            assert answer == {"status": "Accepted"}
            await until(lambda: any(r["call"] == "SignCertificate" for r in csms.said("call")), "SignCertificate")
            (request,) = [r["payload"]["csr"] for r in csms.said("call") if r["call"] == "SignCertificate"]
            chain = {"certificateChain": ROOT.sign_request(request)}
            assert await csms.ask("CertificateSigned", chain) == {"status": "Accepted"}
            assert await csms.ask("CertificateSigned", chain) == {"status": "Rejected"}
            station.security.log.note("TamperDetectionActivated", "test")
            await until(
                lambda: any(r["payload"].get("type") == "TamperDetectionActivated" for r in csms.said("call")), "event"
            )
            await station.kill()

    run_real(main)


def test_profile_3_shows_the_certificate_of_the_station() -> None:
    async def main(directory: Path) -> None:
        async with peer(2) as basic, peer(3) as mutual:
            station = await real_station(
                directory, f"wss://127.0.0.1:{basic.port}", security={"profile": 2, "cpo_name": "Strom AG"},
                tls={"roots": "installed"},
            ).start()
            await station.security.set_key(KEY)
            await station.security.install("CentralSystemRootCertificate", pem(ROOT.certificate))
            await online(station, "profile 2")
            assert (await station.security.request_certificate()).status == "Accepted"
            (request,) = [r["payload"]["csr"] for r in basic.said("call") if r["call"] == "SignCertificate"]
            answer = await basic.ask("CertificateSigned", {"certificateChain": ROOT.sign_request(request)})
            assert answer == {"status": "Accepted"}
            outcome = await station.security.set_profile(3, f"wss://127.0.0.1:{mutual.port}")
            assert outcome.status == "Accepted", outcome.reason
            await until(lambda: station.profile == 3 and station.online, "profile 3")
            assert mutual.said("accepted")[0]["subject"] == {"O": "Strom AG", "CN": "DC 1"}
            await station.kill()

    run_real(main)
