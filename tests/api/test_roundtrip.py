"""Server and both clients over a real Unix socket: small, with generous deadlines."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from evse.api import models as m
from evse.api.aclient import AsyncClient
from evse.api.client import ApiCallError, Client
from evse.api.errors import ApiError, ErrorCode
from evse.api.operation import BODY_LONG_MAX_BYTES, BODY_MAX_BYTES
from evse.api.operations import OPERATIONS
from evse.api.service import Caller
from tests._support.api_world import served, served_in_thread
from tests._support.fake_ac import REQUESTS as REQUESTS_AC
from tests._support.fake_ocpp import REQUESTS as REQUESTS_OCPP
from tests._support.fake_rules import REQUESTS as REQUESTS_RULES
from tests._support.fake_service import CODE, FakeStation
from tests._support.fake_whitelist import REQUESTS as REQUESTS_WHITELIST

ARGUMENTS: dict[str, dict[str, object]] = {
    "connector.get": {"evse_id": 1},
    "connector.start": {"evse_id": 2},
    "connector.stop": {"evse_id": 1},
    "connector.enable": {"evse_id": 0},
    "connector.disable": {"evse_id": 2},
    "connector.unlock": {"evse_id": 1},
    "session.list": {"text": "Ä&=%+ ", "state": "completed"},
    "session.get": {"session_id": "s-000003"},
    "planner.set": {"limit_w": 50_000, "allow_cross": False},
    "config.validate": {"text": "schema_version = 1\n"},
    "config.apply": {"text": "schema_version = 1\n", "dry_run": True},
    "meter.probe": {"name": "site"},
    "auth.signin": {"pin": "4711"},
    "auth.set_pin": {"old": "4711", "new": "0815"},
    "auth.totp_confirm": {"totp": CODE},
    "events.list": {"limit": 3, "kind": "hlc."},
    **REQUESTS_AC,
    **REQUESTS_WHITELIST,
    **REQUESTS_RULES,
    **REQUESTS_OCPP,
}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "evsed.sock"


@pytest.fixture
def station(path: Path) -> Iterator[FakeStation]:
    with served_in_thread(path) as station:
        yield station


def test_every_operation_over_both_clients(path: Path, station: FakeStation) -> None:
    sync = Client(f"unix://{path}", timeout_s=30)
    station.add_ac()

    async def main() -> None:
        client = AsyncClient(str(path), timeout_s=30)
        for op in OPERATIONS:
            if op.stream or op.name == "fault.clear":
                continue
            given = ARGUMENTS.get(op.name, {})
            station.reset_whitelist()
            if op.name == "auth.set_pin":
                station.pin = "4711"
            station.reset_ocpp()
            answer = await client.call(op.name, op.request(**given))
            assert type(answer) is op.response
            if op.name == "auth.set_pin":
                station.pin = "4711"
            station.reset_whitelist()
            station.reset_ocpp()
            plain = sync.call(op.name, **given)
            assert set(plain) == set(op.response.__struct_fields__)
            assert station.calls[-1] == station.calls[-2], "both clients ask the same"

    asyncio.run(main())


def test_values_arrive_as_they_are(path: Path, station: FakeStation) -> None:
    client = Client(str(path), timeout_s=30)
    view = client.call("status.get")["view"]
    assert view["evses"][0]["power_w"] == 17_600
    assert view["evses"][0]["soc_pct"] == 18
    assert view["evses"][1]["soc_pct"] is None
    assert view["wall"] == station.wall
    client.call("session.list", text="Ä&=%+ ?#", limit=7)
    assert station.calls[-1] == ("session.list", m.SessionQuery(text="Ä&=%+ ?#", limit=7))


def test_errors_keep_code_hint_and_exit_code(path: Path, station: FakeStation) -> None:
    client = Client(str(path), timeout_s=30)
    with pytest.raises(ApiCallError) as caught:
        client.call("connector.get", evse_id=7)
    assert (caught.value.code, caught.value.exit_code) == ("not_found", 3)
    assert caught.value.hint == "connectors: 1, 2"
    assert caught.value.request_id
    with pytest.raises(ApiCallError) as wrong:
        client.call("connector.get", evse_id=99)
    assert (wrong.value.code, wrong.value.field, wrong.value.value) == ("invalid", "evse_id", "99")
    with pytest.raises(ApiCallError) as unknown:
        client.call("connector.got")
    assert unknown.value.exit_code == 2


def test_a_bug_is_answered_without_a_traceback_and_logged(
    path: Path, station: FakeStation, caplog: pytest.LogCaptureFixture
) -> None:
    station.fail_next("status.get", KeyError("secret internals"))
    with pytest.raises(ApiCallError) as caught:
        Client(str(path), timeout_s=30).call("status.get")
    assert caught.value.code == "failed"
    assert "secret" not in caught.value.message + caught.value.hint
    assert caught.value.request_id in caplog.text
    assert "secret internals" in caplog.text


def test_a_stream_begins_with_a_snapshot_and_resumes(path: Path, station: FakeStation) -> None:
    client = Client(str(path), timeout_s=30)
    stream = client.stream("events.stream")
    first = next(stream)
    assert first["type"] == "snapshot"
    assert first["status"]["station_id"] == "DC-0001"
    client.call("connector.disable", evse_id=2)
    seen = next(stream)
    assert (seen["type"], seen["event"]["kind"], seen["seq"]) == ("event", "availability.changed", first["seq"] + 1)
    stream.close()  # type: ignore[attr-defined]  # a generator
    client.call("connector.enable", evse_id=2)
    again = client.stream("events.stream", since=first["seq"])
    assert [next(again)["seq"] for _ in range(2)] == [first["seq"] + 1, first["seq"] + 2]


def test_streams_of_the_async_client_are_typed(path: Path) -> None:
    async def main() -> None:
        station = FakeStation(heartbeat_s=0.05)
        async with served(path, station):
            client = AsyncClient(str(path), timeout_s=30)
            stream = client.stream("status.stream")
            first = await anext(stream)
            assert isinstance(first.status, m.Status)
            assert (await anext(stream)).type == "heartbeat"
            await stream.aclose()  # type: ignore[attr-defined]  # a generator
            with pytest.raises(ApiError) as caught:
                await anext(client.stream("events.stream", since=-1))
            assert caught.value.kind is ErrorCode.INVALID

    asyncio.run(main())


def test_a_call_is_finished_though_the_caller_hangs_up(path: Path) -> None:
    async def main() -> None:
        station = FakeStation()
        began, go_on, ended = asyncio.Event(), asyncio.Event(), asyncio.Event()
        unlock = station.connector_unlock

        async def slow(request: m.EvseRef, caller: Caller) -> m.Done:
            began.set()
            await go_on.wait()
            done = await unlock(request, caller)
            ended.set()
            return done

        station.connector_unlock = slow  # type: ignore[method-assign]  # a service that takes its time
        async with served(path, station):
            task = asyncio.create_task(AsyncClient(str(path)).call("connector.unlock", m.EvseRef(evse_id=1)))
            async with asyncio.timeout(30):
                await began.wait()
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
                assert (await AsyncClient(str(path)).call("version.get")).version  # the hang-up has been noticed
                go_on.set()
                await ended.wait()
            assert station.evse(1).locked is False

    asyncio.run(main())


def test_a_reader_that_leaves_frees_its_place_at_once(path: Path) -> None:
    async def main() -> None:
        station = FakeStation(heartbeat_s=3600)
        async with served(path, station):
            stream = AsyncClient(str(path)).stream("events.stream")
            await anext(stream)
            assert station.hub.readers == 1
            await stream.aclose()  # type: ignore[attr-defined]  # a generator
            async with asyncio.timeout(30):
                while station.hub.readers:
                    await AsyncClient(str(path)).call("version.get")

    asyncio.run(main())


def test_closing_the_server_ends_streams(path: Path) -> None:
    async def main() -> None:
        async with served(path):
            stream = AsyncClient(str(path), timeout_s=30).stream("events.stream")
            await anext(stream)
        with pytest.raises(ApiError) as caught:
            async for _ in stream:
                pass
        assert caught.value.kind is ErrorCode.UNREACHABLE

    asyncio.run(main())
    assert not path.exists()


def test_no_daemon_is_said_plainly(path: Path) -> None:
    with pytest.raises(ApiCallError) as caught:
        Client(str(path)).call("status.get")
    assert (caught.value.code, caught.value.exit_code) == ("unreachable", 6)
    assert str(path) in caught.value.message
    with pytest.raises(ApiError) as also:
        asyncio.run(AsyncClient(str(path)).call("status.get"))
    assert also.value.kind is ErrorCode.UNREACHABLE


def test_a_silent_daemon_times_out(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as mute:
        mute.bind(str(path))
        mute.listen(8)
        with pytest.raises(ApiCallError) as caught:
            Client(str(path), timeout_s=0.05).call("status.get")
        assert (caught.value.code, caught.value.exit_code) == ("timeout", 124)
        with pytest.raises(ApiError) as also:
            asyncio.run(AsyncClient(str(path), timeout_s=0.05).call("status.get"))
        assert also.value.kind is ErrorCode.TIMEOUT


def test_the_socket_is_private_and_a_stale_one_is_replaced(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as old:
        old.bind(str(path))
    modes: list[int] = []

    async def main() -> None:
        async with served(path):
            modes.append(path.stat().st_mode & 0o777)  # noqa: ASYNC240 - a stat of a socket does not wait
            with pytest.raises(OSError, match="another daemon answers") as caught:
                async with served(path):
                    pass
            assert caught.value.errno == errno.EADDRINUSE
            assert (await AsyncClient(str(path), timeout_s=30).call("version.get")).version

    asyncio.run(main())
    assert modes == [0o660]
    assert not path.exists()


def test_a_file_at_the_path_is_left_alone(path: Path) -> None:
    async def main() -> None:
        async with served(path):
            pass

    path.write_text("precious")
    with pytest.raises(OSError, match="not a socket"):
        asyncio.run(main())
    assert path.read_text() == "precious"


def test_a_path_that_is_too_long_is_named(tmp_path: Path) -> None:
    async def main() -> None:
        async with served(tmp_path / ("x" * 120)):
            pass

    with pytest.raises(OSError, match="107 bytes"):
        asyncio.run(main())


def raw(path: Path, wire: bytes) -> tuple[int, dict[str, object]]:
    """Send bytes, return status and JSON body of the answer."""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(30)
        sock.connect(str(path))
        sock.sendall(wire)
        data = b""
        while piece := sock.recv(65_536):
            data += piece
    head, _, body = data.partition(b"\r\n\r\n")
    return int(head.split(b" ")[1]), json.loads(body)


@pytest.mark.parametrize(
    ("line", "status", "code"),
    [
        (b"GET /v1/nothing HTTP/1.1", 404, "not_found"),
        (b"POST /v1/status HTTP/1.1", 400, "bad_request"),
        (b"DELETE /v1/connectors/stop HTTP/1.1", 400, "bad_request"),
        (b"GET /v1/status?x=1 HTTP/1.1", 400, "bad_request"),
        (b"GET /v1/sessions?limit=0 HTTP/1.1", 422, "invalid"),
        (b"GET /v1/sessions?limit=5&limit=6 HTTP/1.1", 400, "bad_request"),
    ],
)
def test_raw_requests(path: Path, station: FakeStation, line: bytes, status: int, code: str) -> None:
    got, body = raw(path, line + b"\r\nHost: evsed\r\nConnection: close\r\n\r\n")
    assert (got, body["code"]) == (status, code)
    assert body["hint"]
    assert body["request_id"]


def test_a_body_over_the_limit_is_refused(path: Path, station: FakeStation) -> None:
    with pytest.raises(ApiCallError) as caught:
        Client(str(path), timeout_s=30).call("config.validate", text="x" * (BODY_MAX_BYTES + 1))
    assert caught.value.code == "bad_request"
    assert str(BODY_MAX_BYTES) in caught.value.message
    assert Client(str(path), timeout_s=30).call("config.validate", text="#" * 200_000)["valid"]


def test_a_long_list_of_cards_fits_into_one_request(path: Path, station: FakeStation) -> None:
    rows = "".join(f"{0x0400_0000 + n:08X},{'Somebody with a long name ' * 2},2030-12-31\n" for n in range(10_000))
    client = Client(str(path), timeout_s=30)
    assert len(rows) > 2 * BODY_MAX_BYTES
    counts = client.call("whitelist.import", text=f"id,name,expires\n{rows}", replace=True)
    assert (counts["added"], counts["removed"]) == (10_000, 4)
    with pytest.raises(ApiCallError) as caught:
        client.call("whitelist.import", text="x" * BODY_LONG_MAX_BYTES)
    assert (caught.value.code, str(BODY_LONG_MAX_BYTES) in caught.value.message) == ("bad_request", True)


def test_a_real_peer_has_the_role_of_its_uid(path: Path) -> None:
    with served_in_thread(path, group=""):
        me = Client(str(path), timeout_s=30).call("auth.whoami")
        assert me["uid"] == os.getuid()
        assert me["role"] == "operator", "the test runs as the daemon's own user"


def test_the_sync_client_imports_next_to_nothing() -> None:
    """The budget of `evsectl status`: json and _socket, no asyncio, no msgspec, only the API's leaves of the house."""
    program = (
        "import sys, os, json, _socket, time, __future__; before = set(sys.modules)\n"
        "import evse.api.client\n"
        "evse.api.client.Client().path\n"
        "print(*sorted(set(sys.modules) - before))"
    )
    root = Path(__file__).resolve().parents[2]
    env = {**os.environ, "XDG_RUNTIME_DIR": "/run/user/1000"}
    command = [sys.executable, "-S", "-c", program]
    out = subprocess.run(command, cwd=root, env=env, capture_output=True, text=True, check=True)
    assert set(out.stdout.split()) <= {
        "evse",
        "evse.api",
        "evse.api.client",
        "evse.api.client_table",
        "evse.api.errors",
        "evse.api.http1",
        "evse.api.paths",
    }
