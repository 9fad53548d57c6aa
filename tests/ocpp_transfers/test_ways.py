"""What all ways of moving a file have in common: going on, beginning again, cancelling, silence; and the way there,
through proxies and by an interface."""

from __future__ import annotations

import asyncio
from pathlib import Path
from urllib.parse import unquote

import pytest

from evse.ocpp.transfers.errors import TransferError, Why
from evse.ocpp.transfers.fetch import fetch
from evse.ocpp.transfers.ports import Limits, Net
from evse.ocpp.transfers.send import send
from evse.ocpp.transfers.target import parse_target
from evse.sim.file_servers import FtpServer, HttpServer
from evse.sim.files import FileStore, ServedAt
from evse.transports.base import DialOptions
from tests._support.proxy import Proxy
from tests.ocpp_transfers.support import BIG, Pki, Saves, blob, net, quiet, refusal, run

KINDS = ["ftp", "ftps", "ftpes", "http", "https"]


async def serving(kind: str, store: FileStore, pki: Pki) -> tuple[FtpServer | HttpServer, ServedAt]:
    """A server of ``kind`` that has the file /f, and where it is."""
    store.put("/f" if kind.startswith("http") else "/home/station/f", BIG)
    server: FtpServer | HttpServer
    if kind.startswith("http"):
        server = HttpServer(store, pki.server() if kind == "https" else None)
    else:
        server = FtpServer(store, None if kind == "ftp" else pki.server(), implicit=kind == "ftps")
    return server, ServedAt(scheme=kind, port=(await server.start()).port)


@pytest.mark.parametrize("kind", KINDS)
def test_a_broken_line_goes_on_where_it_broke_and_after_a_restart_where_it_was_synced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setattr("evse.ocpp.transfers.partial.SYNC_BYTES", 300_000)

    async def main() -> None:
        pki, store = Pki(tmp_path), FileStore()
        server, at = await serving(kind, store, pki)
        ways, target, saves = net(pki.client), parse_target(at.url("/f")), Saves(tmp_path / "part")
        store.drops.extend([200_000, 400_000])
        store.pause_s = 0.002  # so that the reader keeps up with what is sent before the line breaks
        part = saves.again()
        for _ in range(2):
            assert (await refusal(fetch(ways, target, part, quiet))).why is Why.LINE
        assert 300_000 <= saves.saved.synced < part.size <= 600_000
        await fetch(ways, target, saves.again(), quiet)
        assert saves.path.read_bytes() == BIG
        first, second, third = store.offsets
        assert first == 0
        assert 100_000 < second <= 200_000
        assert 300_000 <= third < part.size
        await fetch(ways, target, saves.again(), quiet)  # all there: nothing is sent again
        assert saves.path.read_bytes() == BIG
        await server.close()

    run(main)


@pytest.mark.parametrize("kind", ["ftp", "http"])
@pytest.mark.parametrize("size", [len(BIG), 150_000, 500_000])
def test_a_file_that_changes_between_two_attempts_starts_from_the_begin(
    tmp_path: Path, kind: str, size: int
) -> None:
    async def main() -> None:
        store = FileStore()
        server, at = await serving(kind, store, Pki(tmp_path))
        target, saves = parse_target(at.url("/f")), Saves(tmp_path / "part")
        store.drops.extend([200_000, 250_000])
        store.pause_s = 0.002
        await refusal(fetch(net(), target, saves.again(), quiet))
        path = next(iter(store.files))
        store.put(path, blob(len(BIG), seed=2))
        part = saves.again()
        await refusal(fetch(net(), target, part, quiet))  # the second file, cut as well
        assert part.size > 100_000
        wanted = blob(size, seed=3)
        store.put(path, wanted)
        await fetch(net(), target, part, quiet)
        assert part.path.read_bytes() == wanted
        assert list(store.offsets) == [0, 0, 0]
        await server.close()

    run(main)


@pytest.mark.parametrize("kind", ["ftp", "http"])
def test_silence_ends_at_its_deadline_and_a_cancelled_transfer_leaves_nothing_open(tmp_path: Path, kind: str) -> None:
    async def main() -> None:
        store = FileStore()
        server, at = await serving(kind, store, Pki(tmp_path))
        target, part = parse_target(at.url("/f")), Saves(tmp_path / "part").again()
        store.silent = True
        error = await refusal(fetch(net(limits=Limits(connect_s=0.1, idle_s=0.1, total_s=5)), target, part, quiet))
        assert error.why is Why.LINE
        assert "nothing has moved" in str(error) or "no answer in time" in str(error)
        store.silent, store.pause_s = False, 0.01
        assert "not ready within" in str(await refusal(fetch(net(limits=Limits(total_s=0.2)), target, part, quiet)))

        begun = asyncio.Event()
        part = Saves(tmp_path / "other").again()
        task = asyncio.create_task(
            fetch(net(), target, part, lambda done, total: begun.set() if done > 50_000 else None)
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
        await fetch(net(), target, part, quiet)
        assert part.path.read_bytes() == BIG
        assert store.offsets[-1] == size

        store.pause_s = 0.01
        begun.clear()
        task = asyncio.create_task(send(net(), parse_target(at.url("/")), part.path, "up.bin", lambda done, total: begun.set()))
        await begun.wait()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert task.cancelled()
        await server.close()

    run(main)


# -- the way there ------------------------------------------------------------------------------------------------


async def there_and_back(kind: str, at: ServedAt, ways: Net, store: FileStore, folder: Path) -> None:
    """Fetch and send, with credentials that the server wants."""
    saves = Saves(folder / "part")
    await fetch(ways, parse_target(at.url("/f", "u", "p")), saves.again(), quiet)
    assert saves.path.read_bytes() == BIG
    await send(ways, parse_target(at.url("/", "u", "p")), saves.path, "up.bin", quiet)
    assert store.files["/up.bin" if kind.startswith("http") else "/home/station/up.bin"] == BIG


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("scheme", ["http", "https", "socks5", "socks5h"])
def test_every_byte_goes_through_the_proxy_and_leaves_by_the_interface(tmp_path: Path, kind: str, scheme: str) -> None:
    (tmp_path / "proxy").mkdir()

    async def main() -> None:
        pki, proxys = Pki(tmp_path), Pki(tmp_path / "proxy", host="127.0.0.1")
        store = FileStore(user="u", password="p")
        server, at = await serving(kind, store, pki)
        proxy = Proxy("http" if scheme.startswith("http") else "socks", user="jo", password="p@ss")
        listening = await proxy.start(proxys.server() if scheme == "https" else None)
        dial = DialOptions(
            proxy=f"{scheme}://jo:p%40ss@127.0.0.1:{listening.sockets[0].getsockname()[1]}", proxy_tls=proxys.client(),
            interface="127.0.0.9",
        )
        await there_and_back(kind, at, net(pki.client, dial=dial), store, tmp_path)
        assert server.connections == 2  # of control or HTTP; all came from the proxy:
        assert proxy.passed > len(BIG)
        assert proxy.peers == {"127.0.0.9"}
        if isinstance(server, HttpServer) and kind == "http" and scheme.startswith("http"):
            assert proxy.asked == [f"GET http://127.0.0.1:{at.port}/f", f"POST http://127.0.0.1:{at.port}/"]
            assert "roxy-" not in " ".join(server.uploads[-1][2]).lower()
        else:
            assert len(proxy.asked) == (2 if kind.startswith("http") else 4)  # and the data connections of FTP
            word = "CONNECT" if scheme.startswith("http") else "1"
            assert sum(asked == f"{word} 127.0.0.1:{at.port}" for asked in proxy.asked) == 2
        listening.close()
        await server.close()

    run(main)


@pytest.mark.parametrize("kind", ["ftp", "http", "https"])
def test_by_the_interface_alone_and_an_interface_that_is_not_there(tmp_path: Path, kind: str) -> None:
    async def main() -> None:
        pki, store = Pki(tmp_path), FileStore(user="u", password="p")
        server, at = await serving(kind, store, pki)
        await there_and_back(kind, at, net(pki.client, dial=DialOptions(interface="127.0.0.9")), store, tmp_path)
        nowhere = net(pki.client, dial=DialOptions(interface="nosuch0"))
        error = await refusal(there_and_back(kind, at, nowhere, store, tmp_path))
        assert (error.why, "ocpp.interface = 'nosuch0': no such network interface" in str(error)) == (Why.LINE, True)
        await server.close()

    run(main)


@pytest.mark.parametrize(
    ("kind", "scheme", "refuse", "who", "words"),
    [
        ("ftp", "http", 403, "jo:right@", "HTTP 403: it does not allow connections to port .*FTP needs CONNECT to its port"),
        ("https", "http", 403, "jo:right@", r"HTTP 403: it does not allow connections to port \d+$"),
        ("https", "http", 0, "jo:wrong@", "HTTP 407: it wants another user or password in ocpp.proxy"),
        ("http", "http", 0, "jo:wrong@", "the proxy refuses .*another user or password in ocpp.proxy"),
        ("http", "socks5h", 0, "jo:wrong@", "refuses user or password of ocpp.proxy"),
        ("ftps", "socks5h", 5, "jo:right@", "127.0.0.1 refuses its connection"),
        ("ftp", "https", 0, "jo:right@", "proxy 127.0.0.1: its certificate is not accepted"),
    ],
)
def test_a_proxy_that_refuses_is_named_without_its_password(
    tmp_path: Path, kind: str, scheme: str, refuse: int, who: str, words: str
) -> None:
    async def main() -> None:
        pki, store = Pki(tmp_path), FileStore(user="u", password="p")
        server, at = await serving(kind, store, pki)
        proxy = Proxy("http" if scheme.startswith("http") else "socks", user="jo", password="right", refuse=refuse)
        listening = await proxy.start(pki.server() if scheme == "https" else None)
        dial = DialOptions(proxy=f"{scheme}://{who}127.0.0.1:{listening.sockets[0].getsockname()[1]}")
        with pytest.raises(TransferError, match=words) as error:
            await there_and_back(kind, at, net(pki.client, dial=dial), store, tmp_path)
        assert error.value.why is Why.LINE  # it may be put right, and it is not the fault of the address
        assert not {"right", "wrong"} & set(str(error.value).replace(":", " ").replace("@", " ").split())
        assert server.connections == 0
        listening.close()
        await server.close()

    run(main)


def test_cancelling_while_a_proxy_is_silent_ends_at_once(tmp_path: Path) -> None:
    async def main() -> None:
        asked = asyncio.Event()

        async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            asked.set()
            await reader.read()
            writer.close()

        async with await asyncio.start_server(silent, "127.0.0.1", 0) as listening:
            ways = net(dial=DialOptions(proxy=f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"))
            for kind in ("ftp", "https"):
                asked.clear()
                target = parse_target(f"{kind}://files.invalid/f")
                task = asyncio.create_task(fetch(ways, target, Saves(tmp_path / kind).again(), quiet))
                await asked.wait()
                task.cancel()
                began = asyncio.get_running_loop().time()
                await asyncio.gather(task, return_exceptions=True)
                assert task.cancelled()
                assert asyncio.get_running_loop().time() - began < 2  # connecting alone may take 5 s

    run(main)


@pytest.mark.parametrize("proxied", [False, True])
def test_a_server_without_passive_mode_is_told_that_active_ftp_is_not_possible(tmp_path: Path, proxied: bool) -> None:
    class ActiveOnly(FtpServer):
        async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"220 hello\r\n")
            while line := (await reader.readline()).decode():
                answer = {"USER": "331 go on", "PASS": "230 in", "TYPE": "200 ok", "SIZE": "213 900000", "MDTM": "213 1"}
                writer.write(f"{answer.get(unquote(line).split()[0], '502 active mode only')}\r\n".encode())

    async def main() -> None:
        server = ActiveOnly(FileStore())
        at = await server.start()
        proxy = Proxy("socks")
        listening = await proxy.start()
        dial = DialOptions(proxy=f"socks5h://127.0.0.1:{listening.sockets[0].getsockname()[1]}" if proxied else "")
        error = await refusal(fetch(net(dial=dial), parse_target(at.url("/f")), Saves(tmp_path / "part").again(), quiet))
        assert error.why is Why.UNSUPPORTED
        assert "refuses passive mode (502 active mode only); active FTP would connect to the station" in str(error)
        listening.close()
        await server.close()

    run(main)
