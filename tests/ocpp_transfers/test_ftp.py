"""FTP and FTPS against the simulator's server and, as somebody else's, pyftpdlib."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from evse.ocpp.transfers.errors import TransferError, Why
from evse.ocpp.transfers.fetch import fetch
from evse.ocpp.transfers.partial import Saved
from evse.ocpp.transfers.ports import Limits
from evse.ocpp.transfers.send import send
from evse.ocpp.transfers.target import parse_target
from evse.sim.file_servers import FtpServer
from evse.sim.files import FileStore, ServedAt
from tests.ocpp_transfers.support import Pki, Saves, blob, net, quiet, run

BIG = blob(900_000)
PEER = Path(__file__).with_name("ftp_peer.py")


async def refusal(work: object) -> TransferError:
    with pytest.raises(TransferError) as caught:
        await work  # type: ignore[misc]
    return caught.value


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


def test_a_broken_line_goes_on_both_ways(tmp_path: Path) -> None:
    pki = Pki(tmp_path)

    async def main() -> None:
        for scheme in ("ftp", "ftps"):
            store = FileStore()
            store.put("/home/station/f", BIG)
            store.pause_s = 0.001
            server = FtpServer(store, pki.server(), implicit=scheme == "ftps")
            at = await server.start()
            ways = net(pki.client)
            part = Saves(tmp_path / f"{scheme}.part").again()
            store.drops.append(300_000)
            error = await refusal(fetch(ways, parse_target(at.url("/f")), part, quiet))
            assert error.why is Why.LINE
            begun = part.size
            assert 100_000 < begun <= 300_000
            await fetch(ways, parse_target(at.url("/f")), part, quiet)
            assert part.path.read_bytes() == BIG
            assert list(store.offsets) == [0, begun]
            store.drops.append(250_000)
            error = await refusal(send(ways, parse_target(at.url("/")), part.path, "up", quiet))
            assert error.why is Why.LINE
            assert len(store.files["/home/station/up"]) == 250_000
            await send(ways, parse_target(at.url("/")), part.path, "up", quiet)
            assert store.files["/home/station/up"] == BIG
            assert store.offsets[-1] == 250_000
            await server.close()

    run(main)


def test_another_file_starts_from_the_begin(tmp_path: Path) -> None:
    async def main() -> None:
        store = FileStore()
        store.put("/home/station/f", BIG)
        server = FtpServer(store)
        at = await server.start()
        part = Saves(tmp_path / "part").again()
        store.drops.append(300_000)
        await refusal(fetch(net(), parse_target(at.url("/f")), part, quiet))
        other = blob(len(BIG), seed=2)
        store.put("/home/station/f", other)
        await fetch(net(), parse_target(at.url("/f")), part, quiet)
        assert part.path.read_bytes() == other
        assert list(store.offsets) == [0, 0]
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

        async def told(url: str, tls: object = pki.client, **changes: object) -> tuple[Why, str]:
            error = await refusal(fetch(net(tls, **changes), parse_target(url), part, quiet))  # type: ignore[arg-type]
            assert "secret" not in str(error)
            return error.why, str(error)

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
        assert "refuses connections" in (await told(at.url("/f")))[1]
        assert "no such host" in (await told("ftp://no-such-host.invalid/f"))[1]

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


def test_cancelling_breaks_the_line_off_and_nothing_writes_afterwards(tmp_path: Path) -> None:
    async def main() -> None:
        store = FileStore()
        store.put("/home/station/f", BIG)
        store.pause_s = 0.01
        server = FtpServer(store)
        at = await server.start()
        part = Saves(tmp_path / "part").again()
        begun = asyncio.Event()
        task = asyncio.create_task(
            fetch(net(), parse_target(at.url("/f")), part, lambda done, total: begun.set() if done > 50_000 else None)
        )
        await begun.wait()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert task.cancelled()
        size = part.path.stat().st_size
        assert size == part.size < len(BIG)
        await asyncio.sleep(0.05)
        assert part.path.stat().st_size == size
        store.pause_s = 0
        await fetch(net(), parse_target(at.url("/f")), part, quiet)
        assert part.path.read_bytes() == BIG
        assert store.offsets[-1] == size
        path = tmp_path / "up.bin"
        path.write_bytes(BIG)
        store.pause_s = 0.01
        begun.clear()
        task = asyncio.create_task(
            send(net(), parse_target(at.url("/")), path, "up.bin", lambda done, total: begun.set())
        )
        await begun.wait()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert task.cancelled()
        await server.close()

    run(main)


@contextlib.contextmanager
def peer(folder: Path, pem: str) -> Iterator[int]:
    process = subprocess.Popen(
        [sys.executable, str(PEER), str(folder), "us er", "pa@ss", pem], stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        yield int(process.stdout.readline())
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize("secure", [False, True])
def test_against_pyftpdlib(tmp_path: Path, secure: bool) -> None:
    pki = Pki(tmp_path)
    served = tmp_path / "served"
    (served / "in side").mkdir(parents=True)
    (served / "in side" / "f.bin").write_bytes(BIG)

    async def main(port: int) -> None:
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
        (served / "in side" / "up.bin").write_bytes(BIG[:1000])
        await send(ways, parse_target(f"{who}/in%20side"), part.path, "up.bin", quiet)
        assert (served / "in side" / "up.bin").read_bytes() == BIG
        error = await refusal(fetch(ways, parse_target(f"{scheme}://us%20er:no@127.0.0.1:{port}/f"), resumed, quiet))
        assert error.why is Why.CREDENTIALS
        if secure:
            error = await refusal(fetch(ways, parse_target(f"ftp://us%20er:pa%40ss@127.0.0.1:{port}/f"), resumed, quiet))
            assert "SSL/TLS required" in str(error)

    with peer(served, str(pki.chain) if secure else "") as port:
        run(lambda: main(port))
