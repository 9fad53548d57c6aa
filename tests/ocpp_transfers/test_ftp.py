"""FTP and FTPS against the simulator's server and, as somebody else's, pyftpdlib."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import msgspec
import pytest

from evse.ocpp.transfers.errors import Why
from evse.ocpp.transfers.fetch import fetch
from evse.ocpp.transfers.partial import Saved
from evse.ocpp.transfers.ports import Limits, Net
from evse.ocpp.transfers.send import send
from evse.ocpp.transfers.target import parse_target
from evse.sim.file_servers import FtpServer
from evse.sim.files import FileStore, ServedAt
from evse.transports.base import DialOptions
from tests._support.proxy import Proxy
from tests.ocpp_transfers.support import BIG, Pki, Saves, net, quiet, refusal, run, telling

PEER = Path(__file__).with_name("ftp_peer.py")


@pytest.mark.parametrize("kind", ["ftp", "ftp try tls", "ftp tried in vain", "ftpes", "ftps"])
def test_down_and_up(tmp_path: Path, kind: str) -> None:
    pki = Pki(tmp_path)

    async def main() -> None:
        store = FileStore(user="us@er", password="p:w/d")
        store.put("/home/station/fw/a b.bin", BIG)
        store.folders.add("/srv")
        server = FtpServer(store, None if kind == "ftp tried in vain" else pki.server(), implicit=kind == "ftps")
        at = await server.start()
        scheme = kind.split()[0]
        at = ServedAt(scheme=scheme, port=at.port)
        ways = net(pki.client, ftp_try_tls="try" in kind or "tried" in kind)
        saves = Saves(tmp_path / "part")
        seen: list[tuple[int, int | None]] = []
        target = parse_target(at.url("/fw/a%20b.bin", "us%40er", "p%3Aw%2Fd"))
        await fetch(ways, target, saves.again(), lambda done, total: seen.append((done, total)))
        assert saves.path.read_bytes() == BIG
        assert seen[0] == (0, len(BIG))
        assert seen[-1] == (len(BIG), len(BIG))
        assert server.secured == (1 if kind in ("ftp try tls", "ftpes") else 0)
        assert server.resumed == ([] if kind in ("ftp", "ftp tried in vain") else [True])
        for url, where in (("//srv/", "/srv/log.gz"), ("/fw/", "/home/station/fw/log.gz"), ("/fw", "/home/station/fw/log.gz"),
                           ("/fw/my.name", "/home/station/fw/my.name"), ("", "/home/station/log.gz")):
            await send(ways, parse_target(at.url(url, "us%40er", "p%3Aw%2Fd")), saves.path, "log.gz", quiet)
            assert store.files.pop(where) == BIG
        await server.close()

    run(main)


@pytest.mark.parametrize("scheme", ["ftp", "ftps"])
def test_an_upload_goes_on_where_the_file_of_the_server_ends(tmp_path: Path, scheme: str) -> None:
    pki = Pki(tmp_path)
    path = tmp_path / "up.bin"
    path.write_bytes(BIG)

    async def main() -> None:
        store = FileStore()
        store.pause_s = 0.001
        server = FtpServer(store, pki.server(), implicit=scheme == "ftps")
        at = await server.start()
        ways = net(pki.client)
        store.drops.append(250_000)
        error = await refusal(send(ways, parse_target(at.url("/")), path, "up", quiet))
        assert error.why is Why.LINE
        assert len(store.files["/home/station/up"]) == 250_000
        await send(ways, parse_target(at.url("/")), path, "up", quiet)
        assert store.files["/home/station/up"] == BIG
        assert store.offsets[-1] == 250_000
        await server.close()

    run(main)


def test_errors_say_who_where_and_what_to_do(tmp_path: Path) -> None:
    pki = Pki(tmp_path)

    async def main() -> None:
        store = FileStore(user="u", password="p")
        store.put("/home/station/f", BIG)
        server, secure = FtpServer(store), FtpServer(store, pki.server(), implicit=True)
        at, safe = await server.start(), await secure.start()
        part = Saves(tmp_path / "part", size_max=500_000).again()

        told = telling(part, pki.client)
        why, text = await told(at.url("/f", "u", "secret"))
        assert why is Why.CREDENTIALS
        assert "refuses user u" in text
        assert "anonymous" in (await told(at.url("/f")))[1]
        assert (await told(at.url("/g", "u", "p")))[0] is Why.SERVER
        assert "no way into the directory x" in (await told(at.url("/x/g", "u", "p")))[1]
        assert (await told(at.url("/f", "u", "p")))[0] is Why.SIZE
        assert (await told(at.url("/", "u", "p")))[0] is Why.ADDRESS
        why, text = await told(f"ftpes://u:p@127.0.0.1:{at.port}/f")
        assert why is Why.UNSUPPORTED
        assert "has no TLS" in text
        why, text = await told(safe.url("/f", "u", "p"), tls=lambda: ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))
        assert why is Why.CERTIFICATE
        assert "install the root" in text
        store.busy = 1
        why, text = await told(at.url("/f", "u", "p"))
        assert why is Why.LINE
        assert "too many users" in text
        store.readonly = True
        part.path.write_bytes(b"x")
        error = await refusal(send(net(), parse_target(at.url("/", "u", "p")), part.path, "n", quiet))
        assert error.why is Why.CREDENTIALS
        assert "n may not be stored" in str(error)
        store.silent = True
        why, text = await told(at.url("/f", "u", "p"), limits=Limits(connect_s=0.1, idle_s=0.1, total_s=5))
        assert why is Why.LINE
        await server.close()
        await secure.close()
        assert "Connection refused; check address" in (await told(at.url("/f")))[1]
        assert "no-such-host.invalid: the name has no address" in (await told("ftp://no-such-host.invalid/f"))[1]

    run(main)


def test_a_server_that_talks_nonsense_is_a_transfer_error(tmp_path: Path) -> None:
    async def main() -> None:
        greetings = [b"SSH-2.0-x\r\n", b"220 hello\r\nwhat\r\n", b"\xff\xfe\r\n", b"220 " + b"x" * 20_000 + b"\r\n", b"", b"999\r\n",
                     b"220-x\r\n" + b"y\r\n" * 5000]

        async def client(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(greetings[-1])
            await writer.drain()
            writer.close()

        server = await asyncio.start_server(client, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        while greetings:
            part = Saves(tmp_path / "part").again()
            error = await refusal(fetch(net(), parse_target(f"ftp://127.0.0.1:{port}/f"), part, quiet))
            assert len(str(error)) < 300
            greetings.pop()
            if not greetings:
                break
        server.close()

    run(main)


@contextlib.contextmanager
def peer(folder: Path, pem: str) -> Iterator[tuple[int, IO[str]]]:
    """Port of the server, and what it says of uploads."""
    process = subprocess.Popen(
        [sys.executable, str(PEER), str(folder), "us er", "pa@ss", pem], stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        yield int(process.stdout.readline()), process.stdout
    finally:
        process.kill()
        process.wait()


async def settled(path: Path, said: IO[str]) -> int:
    """Size of a file that begins like the right one, when the server has written and closed what has come before the line broke."""
    while (line := await asyncio.to_thread(said.readline)) != f"{path.name}\n":
        assert line, "the server has ended"
    content = await asyncio.to_thread(path.read_bytes)
    assert BIG.startswith(content)
    return len(content)


async def upload_with_cuts(ways: Net, url: str, path: Path, arrives: Path, said: IO[str]) -> None:
    """Through a proxy that breaks the line twice: each attempt sends what the server has not got, and no more."""
    proxy = Proxy("http")
    listening = await proxy.start()
    dial = DialOptions(proxy=f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}")
    ways = msgspec.structs.replace(ways, dial=dial)
    there = 0
    for cut_at in (300_000, 350_000, -1):
        proxy.sent, proxy.cut_at = 0, cut_at
        if cut_at < 0:
            await send(ways, parse_target(url), path, arrives.name, quiet)
            break
        assert (await refusal(send(ways, parse_target(url), path, arrives.name, quiet))).why is Why.LINE
        before, there = there, await settled(arrives, said)
        assert there >= before  # a server that hears of the break on its other line first throws away what it has not read yet
    assert 0 < there < 650_000
    assert len(BIG) - there < proxy.sent < len(BIG) - there + 20_000  # commands and TLS come on top
    assert await asyncio.to_thread(arrives.read_bytes) == BIG
    listening.close()


@pytest.mark.parametrize("secure", [False, True])
def test_against_pyftpdlib(tmp_path: Path, secure: bool) -> None:
    pki = Pki(tmp_path)
    served = tmp_path / "served"
    (served / "in side").mkdir(parents=True)
    (served / "in side" / "f.bin").write_bytes(BIG)

    async def main(port: int, said: IO[str]) -> None:
        scheme = "ftpes" if secure else "ftp"
        who = f"{scheme}://us%20er:pa%40ss@127.0.0.1:{port}"
        ways = net(pki.client)
        part = Saves(tmp_path / "part").again()
        await fetch(ways, parse_target(f"{who}/in%20side/f.bin"), part, quiet)
        assert part.path.read_bytes() == BIG
        with part.path.open("r+b") as file:  # half of it, as after a power cut
            file.truncate(450_000)
        again = Saves(part.path)
        again.saved = Saved(synced=450_000, total=len(BIG), validator=part.saved.validator)
        resumed = again.again()
        await fetch(ways, parse_target(f"{who}/in%20side/f.bin"), resumed, quiet)
        assert resumed.path.read_bytes() == BIG
        await send(ways, parse_target(f"{who}//in%20side/"), part.path, "up.bin", quiet)
        assert (served / "in side" / "up.bin").read_bytes() == BIG
        await upload_with_cuts(ways, f"{who}/in%20side", part.path, served / "in side" / "cut.bin", said)
        error = await refusal(fetch(ways, parse_target(f"{scheme}://us%20er:no@127.0.0.1:{port}/f"), resumed, quiet))
        assert error.why is Why.CREDENTIALS
        if secure:
            error = await refusal(fetch(ways, parse_target(f"ftp://us%20er:pa%40ss@127.0.0.1:{port}/f"), resumed, quiet))
            assert "SSL/TLS required" in str(error)

    with peer(served, str(pki.chain) if secure else "") as (port, said):
        run(lambda: main(port, said))
