"""Servers that answer with damaged bytes: every attempt ends in time, well or with a `TransferError`, and nothing else."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path
from random import Random

import pytest

from evse.ocpp.transfers.errors import TransferError
from evse.ocpp.transfers.fetch import fetch
from evse.ocpp.transfers.ports import Limits
from evse.ocpp.transfers.send import send
from evse.ocpp.transfers.target import parse_target
from evse.sim.file_servers import FtpServer, HttpServer
from evse.sim.files import FileStore
from tests.ocpp_transfers.support import Saves, blob, net, quiet, run

SEEDS = 40
DAMAGED_FIRST = 400
"""Bytes of each connection that may be damaged: status lines and headers, not the file."""


def damage(data: bytes, rng: Random) -> bytes:
    """Flip, drop, double or insert a few bytes."""
    out = bytearray(data)
    for _ in range(rng.randint(0, 3)):
        at = rng.randrange(len(out) + 1)
        match rng.randrange(5):
            case 0:
                out[at : at + 1] = bytes([rng.randrange(256)])
            case 1:
                del out[at : at + rng.randint(1, 4)]
            case 2:
                out[at:at] = out[max(0, at - 20) : at]
            case 3:
                out[at:at] = rng.choice([b"\r\n", b"\0", b"\xff\xfe", b"9" * 30, b" ", b"-1"])
            case _:
                pass
    return bytes(out)


async def proxy(port: int, rng: Random) -> asyncio.Server:
    """Pass bytes on to ``port``; what comes back is damaged at its begin."""

    async def client(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        upstream, out = await asyncio.open_connection("127.0.0.1", port)

        async def forth() -> None:
            while data := await reader.read(65_536):
                out.write(data)
                await out.drain()

        async def back() -> None:
            seen = 0
            while data := await upstream.read(65_536):
                writer.write(damage(data, rng) if seen < DAMAGED_FIRST else data)
                await writer.drain()
                seen += len(data)
            writer.close()

        tasks = [asyncio.ensure_future(forth()), asyncio.ensure_future(back())]
        with contextlib.suppress(OSError):
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        writer.close()
        out.close()

    return await asyncio.start_server(client, "127.0.0.1", 0)


@pytest.mark.parametrize("scheme", ["http", "ftp"])
def test_damaged_answers_end_well_or_with_a_transfer_error(tmp_path: Path, scheme: str) -> None:
    content = blob(20_000)
    hasty = net(limits=Limits(connect_s=0.2, idle_s=0.2, total_s=5))

    async def main() -> None:
        store = FileStore()
        store.put("/home/station/f", content)
        server = HttpServer(store) if scheme == "http" else FtpServer(store)
        at = await server.start()
        path = "/home/station/f" if scheme == "http" else "/f"
        well = 0
        for seed in range(SEEDS):
            rng = Random(seed)
            middle = await proxy(at.port, rng)
            base = f"{scheme}://127.0.0.1:{middle.sockets[0].getsockname()[1]}"
            part = Saves(tmp_path / f"{seed}", size_max=1 << 20).again()
            try:
                if seed % 4 == 3:
                    (tmp_path / f"{seed}").write_bytes(content)
                    await send(hasty, parse_target(f"{base}/"), tmp_path / f"{seed}", f"up{seed}", quiet)
                else:
                    await fetch(hasty, parse_target(base + path), part, quiet)
                well += 1
            except TransferError as error:
                assert str(error).isprintable(), f"seed {seed}"
                assert len(str(error)) < 500, f"seed {seed}"
            assert (tmp_path / f"{seed}").stat().st_size <= 1 << 20
            middle.close()
        assert 0 < well < SEEDS
        await server.close()

    run(main)
