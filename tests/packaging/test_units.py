"""The files for systemd agree with the code, and systemd (when it is here) understands them."""

from __future__ import annotations

import os
import pty
import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

from evse.api.paths import SYSTEM_DIR
from evse.config.model import ApiSection
from evse.runtime.main import EXIT_CONFIG, EXIT_RESET
from evsectl.tree import TREE

ROOT = Path(__file__).resolve().parent.parent.parent
PACKAGING = ROOT / "packaging"
UNITS = Path("usr/lib/systemd/system")
NEWER = "Unknown key 'Restart(Steps|MaxDelaySec)' in section .Service., ignoring"
"""Keys of systemd 254 that older ones ignore, as the units say."""


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tree of an image after install.sh, with the programs that the units start."""
    root = tmp_path_factory.mktemp("image")
    subprocess.run(["sh", str(PACKAGING / "install.sh")], check=True, env={**os.environ, "DESTDIR": str(root)})
    for name in ("opt/evse/bin/evsed", "opt/evse/bin/python", "usr/bin/printf"):
        program = root / name
        program.parent.mkdir(parents=True, exist_ok=True)
        program.write_text("#!/bin/sh\n")
        program.chmod(0o755)
    for target in ("sysinit", "basic", "shutdown", "network", "getty", "getty-pre", "time-sync", "local-fs"):
        (root / UNITS / f"{target}.target").write_text("[Unit]\nDescription=of the image\n")
    return root


def settings(name: str) -> dict[str, list[str]]:
    """Keys of a unit file with all their values, comments left out."""
    found: dict[str, list[str]] = {}
    for line in (PACKAGING / "systemd" / name).read_text().splitlines():
        if line and line[0] not in "#[":
            key, _, value = line.partition("=")
            found.setdefault(key, []).append(value)
    return found


def test_everything_is_installed(image: Path) -> None:
    shipped = {p.name for p in PACKAGING.rglob("*") if p.is_file() and p.name != "install.sh"}
    installed = {p.name for p in (image / "usr/lib").rglob("*") if p.is_file()}
    # sysusers.d and tmpfiles.d both hold an evse.conf
    assert shipped <= installed
    assert (image / "usr/lib/sysusers.d/evse.conf").is_file() and (image / "usr/lib/tmpfiles.d/evse.conf").is_file()
    assert os.access(image / "usr/lib/evse/evse-admin-console", os.X_OK)


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd-analyze is not installed")
@pytest.mark.parametrize("unit", ["evsed.service", "evse-kiosk@tty1.service"])
def test_systemd_understands_the_units(image: Path, unit: str) -> None:
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", f"--root={image}", unit], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert [line for line in done.stderr.splitlines() if not re.search(NEWER, line)] == []


@pytest.mark.skipif(not shutil.which("systemd-sysusers"), reason="systemd-sysusers is not installed")
def test_users_and_groups(tmp_path: Path, image: Path) -> None:
    (tmp_path / "etc").mkdir()
    config = image / "usr/lib/sysusers.d/evse.conf"
    done = subprocess.run(
        ["systemd-sysusers", f"--root={tmp_path}", "--dry-run", str(config)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    said = done.stdout + done.stderr
    for name in ("evse", "evse-operator", "evse-manufacturer"):
        assert f"Creating group '{name}'" in said
    assert "Creating group 'evse-kiosk'" not in said, "evse is the only group of the screen"
    for name in ("evsed", "evse-kiosk", "evse-admin"):
        assert f"Creating user '{name}'" in said


def test_groups_are_those_of_the_configuration() -> None:
    text = (PACKAGING / "sysusers.d/evse.conf").read_text()
    api = ApiSection()
    groups = set(re.findall(r"^g (\S+)", text, re.M))
    assert groups == {api.socket_group, api.operator_group, api.manufacturer_group}
    assert re.search(rf"^m evsed\s+{api.socket_group}$", text, re.M), "else the socket cannot be given to the group"
    assert settings("evse-kiosk@.service")["Group"] == [api.socket_group]
    for user in ("evse-kiosk", "evse-admin"):
        assert re.search(rf"^u {user}\s+-:{api.socket_group}\s", text, re.M)
        assert not re.search(rf"^m {user}\s", text, re.M), f"{user} is a guest until a PIN is given"


def test_the_daemon_is_started_again_as_it_asks() -> None:
    unit = settings("evsed.service")
    assert unit["RestartPreventExitStatus"] == [str(EXIT_CONFIG)]
    assert unit["RestartForceExitStatus"] == unit["SuccessExitStatus"] == [str(EXIT_RESET)]
    assert unit["Type"] == ["notify"] and int(unit["WatchdogSec"][0]) >= 4
    assert f"/run/{unit['RuntimeDirectory'][0]}" == SYSTEM_DIR
    assert unit["ReadWritePaths"] == ["/etc/evse"] and "/etc/evse/station.toml" in unit["ExecStart"][0]


def test_the_daemon_keeps_what_it_needs() -> None:
    unit = settings("evsed.service")
    lists = {"PrivateDevices", "DeviceAllow", "DevicePolicy", "ProtectClock"}
    assert not lists & unit.keys(), "a device list is made before a USB adapter comes"
    assert "@privileged" not in "".join(unit["SystemCallFilter"]), "it holds chown, which gives the socket to its group"
    assert {"AF_UNIX", "AF_INET", "AF_INET6", "AF_CAN"} <= set(unit["RestrictAddressFamilies"][0].split())


def test_the_screen_has_one_console_and_no_network() -> None:
    unit = settings("evse-kiosk@.service")
    assert unit["Conflicts"] == ["getty@%i.service"] and unit["Wants"] == ["evsed.service"] and "Requires" not in unit
    assert unit["DeviceAllow"] == ["/dev/%I rw"] and unit["DevicePolicy"] == ["closed"]
    assert unit["PrivateNetwork"] == ["yes"] and unit["RestrictAddressFamilies"] == ["AF_UNIX"]
    assert unit["StandardInput"] == ["tty-force"] and unit["StandardError"] == ["journal"]
    assert "--allow-quit" not in unit["ExecStart"][0]


def test_programs_of_the_units_are_programs_of_the_project() -> None:
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    text = "".join(p.read_text() for p in (PACKAGING / "systemd").iterdir())
    assert set(re.findall(r"/opt/evse/bin/(\w+)", text)) <= {*scripts, "python"}
    for module in re.findall(r"-m ([\w.]+)", text):
        assert (ROOT / module.replace(".", "/") / "__main__.py").is_file()


def run_console(tmp_path: Path, term: str, tty: str) -> str:
    """Run the login shell on a pty whose name ``tty`` tells; returns what the console was given."""
    binary = tmp_path / "bin"
    binary.mkdir(exist_ok=True)
    for name, body in (
        ("evsectl", 'echo "args=$* term=$TERM host=${EVSECTL_HOST-unset} dir=$PWD"'),
        ("tty", f"echo {tty}"),
    ):
        (binary / name).write_text(f"#!/bin/sh\n{body}\n")
        (binary / name).chmod(0o755)
    script = tmp_path / "console"
    text = (PACKAGING / "systemd/evse-admin-console").read_text()
    script.write_text(text.replace("/opt/evse/bin", str(binary)).replace("PATH=/usr/bin", f"PATH={binary}:/usr/bin"))
    master, slave = pty.openpty()
    try:
        done = subprocess.run(
            ["/bin/sh", str(script)], stdin=slave, capture_output=True, text=True, check=True,
            env={"PATH": "/evil", "TERM": term, "EVSECTL_HOST": "unix:///elsewhere"},
        )  # fmt: skip
    finally:
        os.close(master)
        os.close(slave)
    return done.stdout.strip()


@pytest.mark.parametrize(
    ("tty", "term", "expected"),
    [
        ("/dev/ttyS0", "linux", "vt220"),
        ("/dev/ttyUSB0", "", "vt220"),
        ("/dev/ttyS1", "vt100", "vt100"),
        ("/dev/tty6", "dumb", "linux"),
        ("/dev/pts/3", "xterm-256color", "xterm-256color"),
    ],
)
def test_the_login_shell_starts_the_console_and_only_that(tmp_path: Path, tty: str, term: str, expected: str) -> None:
    assert run_console(tmp_path, term, tty) == f"args=admin term={expected} host=unset dir=/"


@pytest.mark.parametrize(("arguments", "word"), [(["-c", "id"], "no commands"), ([], "needs a terminal")])
def test_the_login_shell_refuses_commands_and_pipes(arguments: list[str], word: str) -> None:
    done = subprocess.run(
        ["sh", str(PACKAGING / "systemd/evse-admin-console"), *arguments],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 2 and word in done.stderr and done.stdout == ""


def test_the_document_names_every_file_exit_code_and_command() -> None:
    text = (ROOT / "docs/installation.md").read_text()
    for path in PACKAGING.rglob("*"):
        if path.is_file() and path.name != "install.sh":
            row = f"| `{path.relative_to(PACKAGING)}` | `/usr/lib/"
            assert row in text, row
    for code in (EXIT_CONFIG, EXIT_RESET):
        assert f"| {code} |" in text
    commands = re.findall(r"evsectl ([a-z]+(?: [a-z-]+)?)", text)
    assert len(commands) >= 3
    assert [c for c in commands if c not in TREE and c.split()[0] not in TREE] == []
    assert "docs/installation.md" in (ROOT / "README.md").read_text()
