"""Process mode on real ptys and sockets (real time, generous deadlines, no latencies asserted)."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

from evse.domain.base import ConfigError
from evse.sim.main import fault_table, main
from evse.sim.openers import Port, Tasks
from evse.sim.pty_ports import PtyPort
from evse.sim.scenario import shipped
from evse.transports.base import ByteStream

TOML = """\
[station]
id = "SIM"

[[evse]]
id = 1
[evse.board]
port = "{dir}/board1"

[[reader]]
name = "front"
port = "{dir}/reader"
"""


async def end_of_line(reader: asyncio.StreamReader) -> dict[str, Any]:
    """Return the next JSON line within a generous time."""
    line = await asyncio.wait_for(reader.readline(), 30)
    answer: dict[str, Any] = json.loads(line)
    return answer


def test_start_control_and_clean_end(tmp_path: Path) -> None:
    """Ready line, ptys at the configured names, control over socket and stdin, links gone after TERM."""

    async def run() -> None:
        path = tmp_path / "station.toml"
        path.write_text(TOML.format(dir=tmp_path))
        socket = tmp_path / "c.sock"
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "evse.sim", "--config", str(path), "--control", str(socket), "--fast",
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        assert process.stdout is not None and process.stdin is not None
        try:
            ready = await end_of_line(process.stdout)
            assert ready["ok"] and ready["ready"]["serial"] == [f"{tmp_path}/board1", f"{tmp_path}/reader"]
            fd = os.open(tmp_path / "board1", os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
            await asyncio.wait_for(asyncio.to_thread(_first_bytes, fd), 30)
            os.close(fd)
            reader, writer = await asyncio.open_unix_connection(socket)
            assert (await asyncio.to_thread(socket.stat)).st_mode & 0o777 == 0o600
            writer.write(b'{"cmd":"plug_in","connector":1}\n{"cmd":"status"}\nnonsense\n')
            assert (await end_of_line(reader))["ok"]
            assert (await end_of_line(reader))["connectors"][0]["plugged"]
            assert "is not JSON" in (await end_of_line(reader))["error"]
            process.stdin.write(b'{"cmd":"plug_out","connector":1}\n')
            assert (await end_of_line(process.stdout))["happened"] == "unplugged"
            process.send_signal(signal.SIGTERM)
            assert await asyncio.wait_for(process.wait(), 30) == 0
            writer.close()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()

    asyncio.run(run())
    assert sorted(item.name for item in tmp_path.iterdir()) == ["station.toml"]


def _first_bytes(fd: int) -> bytes:
    """Wait in a thread until the board says HELLO."""
    os.set_blocking(fd, True)
    return os.read(fd, 100)


def test_pulling_a_pty_hangs_up_and_a_new_one_comes(tmp_path: Path) -> None:
    """unplug removes the link; replug makes it again; a stranger's file is refused."""

    async def serve(stream: ByteStream) -> None:
        while True:
            await stream.write(b"<" + await stream.read() + b">")

    async def run() -> None:
        import random

        from evse.sim.main import RealClock

        tasks = Tasks()
        port = Port(str(tmp_path / "deep" / "tty"), "echo", serve, RealClock(), random.Random(1), tasks)
        pty = PtyPort(port)
        pty.open()
        for _ in range(2):
            fd = os.open(port.name, os.O_RDWR | os.O_NOCTTY)
            os.write(fd, b"ab")
            got = b""
            while not got.endswith(b">"):
                got += await asyncio.wait_for(asyncio.to_thread(os.read, fd, 10), 30)
            assert got == b"<ab>"
            port.unplug()
            assert not pty.path.exists() and not pty.path.is_symlink()
            for _ in range(10):
                await asyncio.sleep(0)
            os.close(fd)
            port.replug()
        pty.close()
        await tasks.cancel()
        pty.path.write_text("mine")
        with pytest.raises(ConfigError, match="is not a link of the simulator"):
            pty.open()
        pty.path.unlink()
        pty.path.symlink_to("/etc/hostname")
        with pytest.raises(ConfigError, match="does not replace it"):
            pty.open()

    asyncio.run(run())


def test_arguments(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """Lists of faults in both forms; missing and broken configurations end with 2 and the reason."""
    assert main(["--list-faults", "-o", "json"]) == 0
    rows = json.loads(capsys.readouterr().out)["faults"]
    assert {"name": "emergency_stop", "code": "F1"}.items() <= rows[0].items()
    assert main(["--list-faults"]) == 0
    assert capsys.readouterr().out.strip() == fault_table()
    assert main([]) == 2
    assert "--config FILE is needed" in capsys.readouterr().err
    path = tmp_path / "station.toml"
    path.write_text(TOML.format(dir=tmp_path))
    assert main(["--config", str(path), "--scenario", "quick"]) == 2
    told = capsys.readouterr()
    assert f"quick: needs connector 1 DC, connector 2 DC, but in {path} there is no connector 2" in told.err and not told.out
    path.write_text("[station]\nid = 5\n")
    assert main(["--config", str(path)]) == 2
    assert "evsectl sim: " in capsys.readouterr().err
    path.write_text(TOML.format(dir=tmp_path))
    assert main(["--config", str(path), "--scenario", "none", "--no-stdin"]) == 2
    assert ", ".join(shipped()) in capsys.readouterr().err
