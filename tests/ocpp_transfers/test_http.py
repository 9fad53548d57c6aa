"""HTTP and HTTPS against the simulator's server and, as somebody else's, `http.server`."""

from __future__ import annotations

import asyncio
import functools
import http.server
import ssl
import threading
from pathlib import Path

import pytest

from evse.ocpp.transfers.errors import Why
from evse.ocpp.transfers.fetch import fetch
from evse.ocpp.transfers.send import send
from evse.ocpp.transfers.target import parse_target
from evse.sim.file_servers import FtpServer, HttpServer
from evse.sim.files import FileStore
from tests.ocpp_transfers.support import BIG, Pki, Saves, blob, net, quiet, refusal, run, telling


class Mischief(HttpServer):
    """A server that keeps less than RFC 9110 wants of it."""

    deaf = False
    """Does not look at If-Range."""

    async def _get(self, writer: asyncio.StreamWriter, path: str, headers: dict[str, str]) -> None:
        if self.deaf:
            headers.pop("if-range", None)
        await super()._get(writer, path, headers)


@pytest.mark.parametrize("what", ["no_ranges", "no_tags", "wrong_range", "deaf"])
def test_a_server_that_does_not_say_whether_it_is_the_same_file_sends_it_from_the_begin(tmp_path: Path, what: str) -> None:
    async def main() -> None:
        store = FileStore()
        store.put("/f", BIG)
        server = Mischief(store)
        setattr(server, what, True)
        at = await server.start()
        part = Saves(tmp_path / "part").again()
        store.drops.append(200_000)
        store.pause_s = 0.002
        await refusal(fetch(net(), parse_target(at.url("/f")), part, quiet))
        assert part.size > 100_000
        other = blob(len(BIG), seed=2)  # of the same length
        store.put("/f", other)
        await fetch(net(), parse_target(at.url("/f")), part, quiet)
        assert part.path.read_bytes() == other
        assert store.offsets[-1] == 0
        await server.close()

    run(main)


def test_a_file_arrives_with_credentials_over_http_and_https(tmp_path: Path) -> None:
    pki = Pki(tmp_path)

    async def main() -> None:
        for tls in (None, pki.server()):
            store = FileStore(user="us@er", password="p:w/d")
            store.put("/fw/a b.bin", BIG)
            server = HttpServer(store, tls)
            at = await server.start()
            saves = Saves(tmp_path / f"{at.scheme}.part")
            seen: list[tuple[int, int | None]] = []
            target = parse_target(at.url("/fw/a%20b.bin", "us%40er", "p%3Aw%2Fd"))
            await fetch(net(pki.client), target, saves.again(), lambda done, total, seen=seen: seen.append((done, total)))
            assert saves.path.read_bytes() == BIG
            assert seen[-1] == (len(BIG), len(BIG))
            assert seen == sorted(seen)
            await server.close()

    run(main)


def test_errors_say_who_where_and_what_to_do(tmp_path: Path) -> None:
    pki = Pki(tmp_path)
    (tmp_path / "old").mkdir()
    expired = Pki(tmp_path / "old", days=-1)

    async def main() -> None:
        store = FileStore(user="u", password="p")
        store.put("/f", BIG)
        plain, secure, old = HttpServer(store), HttpServer(store, pki.server()), HttpServer(store, expired.server())
        at, safe, stale = await plain.start(), await secure.start(), await old.start()
        part = Saves(tmp_path / "part", size_max=500_000).again()

        told = telling(part, pki.client)
        why, text = await told(at.url("/f", "u", "secret"))
        assert why is Why.CREDENTIALS
        assert "user u" in text
        assert (await told(at.url("/f")))[0] is Why.CREDENTIALS
        why, text = await told(at.url("/g", "u", "p"))
        assert why is Why.SERVER
        assert "is not there" in text
        why, text = await told(at.url("/f", "u", "p"))
        assert why is Why.SIZE
        assert "firmware.max_mib" in text
        why, text = await told(safe.url("/f", "u", "p"), tls=lambda: ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))
        assert why is Why.CERTIFICATE
        assert "install the root" in text
        why, text = await told(stale.url("/f", "u", "p"), tls=expired.client)
        assert why is Why.CERTIFICATE
        assert "expired" in text
        other = FtpServer(store)
        why, text = await told(f"https://127.0.0.1:{(await other.start()).port}/f")
        await other.close()
        assert why is Why.LINE
        assert "no TLS connection" in text
        store.busy = 1
        assert (await told(at.url("/f", "u", "p")))[1].endswith("503 Service Unavailable")
        secure.redirect = at.url("/f")
        why, text = await told(safe.url("/f", "u", "p"))
        assert why is Why.CREDENTIALS or "without TLS" in text
        await plain.close()
        why, text = await told(at.url("/f"))
        assert why is Why.LINE
        assert "Connection refused; check address" in text
        await secure.close()
        await old.close()

    run(main)


@pytest.mark.parametrize("way", ["post", "put", "form"])
def test_uploads(tmp_path: Path, way: str) -> None:
    pki = Pki(tmp_path)
    path = tmp_path / "log.tar.gz"
    path.write_bytes(BIG)

    async def main() -> None:
        store = FileStore(user="u", password="p")
        server = HttpServer(store, pki.server())
        at = await server.start()
        seen: list[int] = []
        target = parse_target(at.url("/up/", "u", "p"))
        ways = net(pki.client, http_upload=way)
        await send(ways, target, path, "D-1.tar.gz", lambda done, total: seen.append(done))
        method, where, headers, body = server.uploads[-1]
        assert method == way.upper() or way == "form"
        assert where == ("/up/D-1.tar.gz" if way == "put" else "/up/")
        assert BIG in body
        assert (body == BIG) is (way != "form")
        assert 'filename="D-1.tar.gz"' in (headers.get("content-disposition", "") + body[:400].decode("latin-1")) or way == "put"
        assert seen[-1] == len(BIG)
        store.readonly = True
        error = await refusal(send(ways, target, path, "n", quiet))
        assert error.why is Why.UNSUPPORTED
        assert "http_upload" in str(error)
        error = await refusal(send(ways, parse_target(at.url("/up/", "u", "x")), path, "n", quiet))
        assert error.why in (Why.CREDENTIALS, Why.LINE)  # some servers close before they have read the file
        await server.close()

    run(main)


def test_against_the_http_server_of_python(tmp_path: Path) -> None:
    served = tmp_path / "served"
    served.mkdir()
    (served / "f.bin").write_bytes(BIG)

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(served)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()

    async def main() -> None:
        part = Saves(tmp_path / "part").again()
        target = parse_target(f"http://127.0.0.1:{server.server_port}/f.bin")
        await part.open()
        await part.begin(0, len(BIG), "")
        await part.write(BIG[:1000])  # it has no ranges: begins again
        await fetch(net(), target, part, quiet)
        assert part.path.read_bytes() == BIG
        error = await refusal(send(net(), target, part.path, "n", quiet))
        assert error.why in (Why.UNSUPPORTED, Why.LINE)

    try:
        run(main)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
