"""sd_notify: what goes over the socket, and a daemon whose watchdog is fed by ticks only."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from evse.api.sd_notify import PINGS_PER_WATCHDOG, ServiceManager
from evse.runtime.main import EXIT_CONFIG, EXIT_RESET
from evse.runtime.notify import POLL_MAX_S, POLL_MIN_S, DaemonNotice
from evse.units import NS_PER_MS, NS_PER_S

STATION = """
[station]
id = "NOTIFY-1"

[site]
limit_w = 60000

[ocpp]
enabled = false

[[evse]]
id = 1
board.port = "{port}"
"""


class Listener:
    """The service manager's end."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(str(path))

    def waiting(self) -> list[str]:
        """What has arrived."""
        found: list[str] = []
        while True:
            try:
                found.append(self.socket.recv(4096, socket.MSG_DONTWAIT).decode())
            except BlockingIOError:
                return found

    def next(self, seconds: float = 60.0) -> str:
        """The next message; TimeoutError after ``seconds``."""
        self.socket.settimeout(seconds)
        return self.socket.recv(4096).decode()


@pytest.fixture
def listener(tmp_path: Path) -> Iterator[Listener]:
    made = Listener(tmp_path / "notify")
    yield made
    made.socket.close()


class Clock:
    def __init__(self) -> None:
        self.now_ns = 0

    def __call__(self) -> int:
        return self.now_ns


class Ticks:
    count = 0


def environment(listener: Listener, usec: str = "8000000", pid: str = "") -> dict[str, str]:
    env = {"NOTIFY_SOCKET": str(listener.path), "WATCHDOG_USEC": usec}
    return env | ({"WATCHDOG_PID": pid} if pid else {})


def test_messages_and_pings_no_more_often_than_needed(listener: Listener) -> None:
    clock, env = Clock(), environment(listener, pid=str(os.getpid()))
    manager = ServiceManager(env, clock)
    assert env == {}, "children must not inherit the line"
    assert manager.watchdog_ns == 8 * NS_PER_S
    manager.ready("API at\n/run/x")
    manager.status("y" * 1000)
    manager.stopping()
    assert listener.waiting() == ["READY=1\nSTATUS=API at /run/x", "STATUS=" + "y" * 200, "STOPPING=1"]
    for _ in range(160):  # 8 s, a call every 50 ms
        manager.alive()
        clock.now_ns += 50 * NS_PER_MS
    assert listener.waiting() == ["WATCHDOG=1"] * PINGS_PER_WATCHDOG
    manager.close()


@pytest.mark.parametrize(
    "env",
    [
        {},
        {"WATCHDOG_USEC": "1000000"},
        {"NOTIFY_SOCKET": "vsock:2:1234", "WATCHDOG_USEC": "1000000"},
        {"NOTIFY_SOCKET": "/nowhere/notify", "WATCHDOG_USEC": "many"},
    ],
)
def test_without_a_manager_every_call_does_nothing(env: dict[str, str]) -> None:
    manager = ServiceManager(env, Clock())
    manager.ready("x")
    manager.alive()
    manager.stopping()
    assert manager.watchdog_ns == 0


def test_the_watchdog_of_another_process_is_not_ours(listener: Listener) -> None:
    manager = ServiceManager(environment(listener, pid="1"), Clock(), pid=4711)
    manager.alive()
    assert manager.watchdog_ns == 0 and listener.waiting() == []


def test_a_manager_that_went_away_is_told_once_in_the_log(listener: Listener, caplog: pytest.LogCaptureFixture) -> None:
    manager = ServiceManager(environment(listener), Clock())
    listener.path.unlink()
    for _ in range(3):
        manager.status("x")
    assert len(caplog.records) == 1 and "service manager" in caplog.text


def test_abstract_addresses() -> None:
    name = f"evse-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as end:
        end.bind("\0" + name)
        ServiceManager({"NOTIFY_SOCKET": "@" + name}, Clock()).ready("x")
        assert end.recv(100, socket.MSG_DONTWAIT) == b"READY=1\nSTATUS=x"


def test_no_ticks_no_pings(listener: Listener) -> None:
    clock, ticks = Clock(), Ticks()
    notice = DaemonNotice(ServiceManager(environment(listener), clock), ticks)
    notice.ready("here")
    assert listener.waiting() == ["READY=1\nSTATUS=API at here", "WATCHDOG=1"]
    for expected, step in (([], 0), (["WATCHDOG=1"], 40), ([], 0), (["WATCHDOG=1"], 1)):
        clock.now_ns += 5 * NS_PER_S
        ticks.count += step
        assert notice.alive() is bool(step)
        assert listener.waiting() == expected


@pytest.mark.parametrize(("usec", "poll_s"), [("10000000", POLL_MAX_S), ("2000000", 0.5), ("1000", POLL_MIN_S)])
def test_polls_often_enough_for_the_watchdog(listener: Listener, usec: str, poll_s: float) -> None:
    assert DaemonNotice(ServiceManager(environment(listener, usec), Clock()), Ticks()).poll_s == poll_s


def test_the_daemon_tells_ready_pings_while_it_ticks_and_says_that_it_stops(listener: Listener, tmp_path: Path) -> None:
    config = tmp_path / "station.toml"
    config.write_text(STATION.format(port=tmp_path / "no-board"))
    log = (tmp_path / "log").open("wb")
    process = subprocess.Popen(
        [sys.executable, "-m", "evse.runtime", "--config", str(config), "--data-dir", str(tmp_path / "data"),
         "--socket", str(tmp_path / "evsed.sock")],
        stderr=log, env={**os.environ, **environment(listener, "1600000")},
    )  # fmt: skip
    try:
        assert listener.next() == f"READY=1\nSTATUS=API at {tmp_path / 'evsed.sock'}"
        for _ in range(4):
            assert listener.next(10) == "WATCHDOG=1"
        process.send_signal(signal.SIGTERM)
        messages = [listener.next()]
        while messages[-1] == "WATCHDOG=1":
            messages.append(listener.next())
        assert messages[-1] == "STOPPING=1"
        assert process.wait(timeout=30) == 0, (tmp_path / "log").read_text()
    finally:
        process.kill()
        process.wait()
        log.close()


def test_a_wrong_configuration_ends_with_the_code_that_is_not_started_again(listener: Listener, tmp_path: Path) -> None:
    config = tmp_path / "station.toml"
    config.write_text("[station]\nid = 1\n")
    done = subprocess.run(
        [sys.executable, "-m", "evse.runtime", "--config", str(config)],
        capture_output=True, check=False, env={**os.environ, **environment(listener)},
    )  # fmt: skip
    assert done.returncode == EXIT_CONFIG
    assert listener.waiting() == []
    assert json.dumps([EXIT_CONFIG, EXIT_RESET]) == "[9, 75]", "the unit file names both"
