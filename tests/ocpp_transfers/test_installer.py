"""The installer that is a program, and the simulated one behind it."""

from __future__ import annotations

import asyncio
import os
import shlex
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evse.config.load import parse_config
from evse.domain.base import ConfigError
from evse.domain.firmware import BundleError, InstallError
from evse.lab.demo_config import TEMPLATE
from evse.runtime import installer
from evse.runtime.installer import ProgramInstaller
from evse.sim.installer import check_bundle, make_bundle
from tests.ocpp_transfers.support import blob, run


def program(folder: Path, body: str) -> ProgramInstaller:
    """A program of a few lines of Python."""
    path = folder / "installer.py"
    path.write_text(f"import sys, time\n{body}\n")
    return ProgramInstaller(shlex.join([sys.executable, str(path)]))


def test_the_simulated_program_installs_activates_and_boots(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EVSE_SIM_INSTALL_STEP_S", "0")
    bundle = tmp_path / "b"

    async def main() -> None:
        firmware = ProgramInstaller(shlex.join([sys.executable, "-m", "evse.sim.installer", str(tmp_path / "slots")]))
        seen: list[int] = []
        assert await firmware.version() == "0.1.0"
        with pytest.raises(InstallError, match="nothing is installed"):
            await firmware.activate()
        bundle.write_bytes(make_bundle("2.0", blob(1000)))
        assert await firmware.install(str(bundle), seen.append) == "2.0"
        assert seen == sorted(seen)
        assert seen[-1] == 100
        assert await firmware.version() == "0.1.0"
        await firmware.activate()
        await firmware.activate()
        assert await firmware.version() == "2.0"
        bundle.write_bytes(make_bundle("3.0", blob(1000), "boot"))
        await firmware.install(str(bundle), seen.append)
        await firmware.activate()
        assert await firmware.version() == "2.0"
        bundle.write_bytes(make_bundle("3.0", blob(1000), "verify"))
        with pytest.raises(BundleError, match="manufacturer"):
            await firmware.install(str(bundle), seen.append)
        bundle.write_bytes(b"no bundle")
        with pytest.raises(BundleError, match="no bundle"):
            await firmware.install(str(bundle), seen.append)

    run(main)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("sys.stderr.write('slot B is worn out\\n'); sys.exit(1)", "slot B is worn out"),
        ("sys.exit(3)", "exit code 3"),
        ("print('progress x'); print('progress 500')", "without telling a version"),
        ("print('x' * 100000); sys.exit(1)", "exit code 1"),
        ("sys.stdout.buffer.write(b'\\xff\\xfe\\n'); sys.exit(1)", "exit code 1"),
    ],
)
def test_programs_that_fail_are_told_plainly(tmp_path: Path, body: str, words: str) -> None:
    async def main() -> None:
        with pytest.raises(InstallError, match=words) as caught:
            await program(tmp_path, body).version()
        assert not isinstance(caught.value, BundleError)

    run(main)


def test_a_program_that_hangs_is_ended_at_its_deadline_and_when_nobody_waits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(installer, "ASK_S", 0.3)
    mark = tmp_path / "mark"
    body = (
        "import os\n"
        f"if sys.argv[1] == 'install': open('{mark}.new', 'w').write(str(os.getpid())); os.rename('{mark}.new', '{mark}')\n"
        "time.sleep(600)"
    )

    async def main() -> None:
        firmware = program(tmp_path, body)
        with pytest.raises(InstallError, match="not ready within"):
            await firmware.version()
        task = asyncio.create_task(firmware.install("x", lambda percent: None))
        while not await asyncio.to_thread(mark.exists):
            assert not task.done()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert task.cancelled()
        with pytest.raises(ProcessLookupError):
            os.kill(int(await asyncio.to_thread(mark.read_text)), 0)
        with pytest.raises(InstallError, match="cannot be run"):
            await ProgramInstaller("/no/such/program").version()

    run(main)


@given(st.binary(max_size=200) | st.binary(max_size=60).map(lambda b: b'{"evse_bundle": 1, "version": "1", "size": 3}\n' + b))
def test_any_file_is_a_bundle_or_a_bundle_error(content: bytes) -> None:
    import tempfile

    with tempfile.NamedTemporaryFile() as file:
        file.write(content)
        file.flush()
        with pytest.raises(BundleError):
            check_bundle(Path(file.name))


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("install", "absolute path"),
        ("/bin/sh 'x", "quotation mark"),
        ("/no/such/program", "no program that can be run"),
        ("/etc/passwd", "no program that can be run"),
    ],
)
def test_the_option_names_a_program(tmp_path: Path, value: str, words: str) -> None:
    text = TEMPLATE.format(folder=tmp_path, channel="239.0.0.1", port=9000)
    with pytest.raises(ConfigError, match=words):
        parse_config(f'{text}\n[firmware]\ninstaller = "{value}"\n', "station.toml")
    parse_config(f'{text}\n[firmware]\ninstaller = "/bin/sh -c"\n', "station.toml")


