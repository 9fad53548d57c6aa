"""Exit codes are frozen; each is provoked; errors have three parts, or are one JSON object."""

from __future__ import annotations

import json
import os
import re
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from evse.access.control import AccessControl
from evse.access.pin import PinGuard
from evse.access.roles import Role, RolePolicy
from evse.access.tokens import Tokens
from evse.api.errors import ApiError, ErrorCode
from evse.api.operations import Risk
from evsectl import exits, reads
from evsectl.options import RISKS
from tests._support import api_world
from tests._support.fake_data import CONFIG_TEXT
from tests._support.fake_service import FakeStation
from tests.cli.support import environment, quiet_environment, run

FROZEN = {
    "OK": 0,
    "FAILED": 1,
    "USAGE": 2,
    "NOT_FOUND": 3,
    "AUTH": 4,
    "FORBIDDEN": 5,
    "UNREACHABLE": 6,
    "CONFLICT": 7,
    "DIFFERS": 8,
    "INVALID": 9,
    "DEVICE": 10,
    "PARTIAL": 11,
    "BUG": 70,
    "TIMEOUT": 124,
    "INTERRUPTED": 130,
}


def test_the_table_is_frozen() -> None:
    assert {k: v for k, v in vars(exits).items() if k.isupper() and isinstance(v, int)} == FROZEN
    assert sorted(exits.TEXTS) == sorted(FROZEN.values())


def test_every_error_of_the_api_has_a_code_of_the_table() -> None:
    assert {error.exit_code for error in ErrorCode} <= set(FROZEN.values())


def test_risks_are_those_of_the_operations() -> None:
    assert {risk.value for risk in Risk if risk is not Risk.NONE} == set(RISKS)


CALLS: list[tuple[int, tuple[str, ...], str]] = [
    # exit code, command, what the hint must name
    (0, ("status",), ""),
    (1, ("status", "-O", "/nonexistent/dir/x"), "directory"),
    (2, ("xyzzy",), "commands: status, watch"),
    (2, ("conector", "list"), '"connector"'),
    (2, ("connector", "lst"), '"list"'),
    (2, ("connector", "list", "--outptu", "json"), '"--output"'),
    (2, ("connector", "list", "-o", "jsn"), '"json"'),
    (2, ("connector", "list", "--fields", "soc"), '"soc_pct"'),
    (2, ("connector", "list", "-o", "value"), "--fields help"),
    (2, ("connector", "get"), "--help"),
    (2, ("connector", "get", "one"), "--help"),
    (2, ("connector", "get", "1", "2"), "--help"),
    (2, ("connector", "stop", "1", "--accept-risk=stop-chargin"), '"stop-charging"'),
    (2, ("connector", "start", "1", "--accept-risk=energise", "--wait=soon"), "30s"),
    (2, ("planner", "set"), "evsectl planner set"),
    (2, ("planner", "set", "--limit-w", "60 kilo"), "60kW"),
    (2, ("planner", "set", "--limit-w", "-5"), "0 means no limit"),
    (2, ("session", "list", "--state", "activ"), '"active"'),
    (2, ("wait", "conector", "1", "--for", "phase=idle"), '"connector"'),
    (2, ("wait", "connector", "1", "--for", "phase=chargin"), '"charging"'),
    (2, ("wait", "connector", "1", "--for", "phas=idle"), '"phase"'),
    (2, ("wait", "connector", "1", "--for", "phase=idle", "--timeout", "soon"), "30s"),
    (2, ("watch", "event"), '"events"'),
    (2, ("watch", "-o", "csv"), "jsonl"),
    (2, ("help", "exitcodes"), '"exit-codes"'),
    (2, ("--color=purple", "status"), "auto"),
    (2, ("demo", "-o", "yaml"), "table, json"),
    (2, ("-H", "https://charger", "status"), "unix://"),
    (3, ("connector", "get", "9"), "connectors: 1, 2"),
    (3, ("wait", "connector", "9", "--for", "phase=idle"), "connectors: 1, 2"),
    (3, ("session", "get", "s-1"), "evsectl session list"),
    (3, ("fault", "get", "F4"), "evsectl fault explain F4"),
    (3, ("fault", "explain", "insulatio"), '"Insulation"'),
    (3, ("fault", "clear", "F99"), ""),
    (3, ("meter", "read", "m9"), "meters:"),
    (3, ("ocpp", "config", "get", "HeartbeatIntervall"), '"HeartbeatInterval"'),
    (3, ("config", "validate", "/nonexistent"), "-"),
    (3, ("auth", "signin", "--pin-file", "/nonexistent"), "PIN"),
    (4, ("auth", "signin", "--pin-file", "-"), ""),
    (7, ("ocpp", "config", "set", "NumberOfConnectors", "3"), "read-only"),
    (7, ("config", "apply", "-", "--yes", "--if-version", "1"), "evsectl config show"),
    (8, ("config", "diff", "-", "--detailed-exitcode"), ""),
    (9, ("config", "validate", "-"), "evsectl config validate"),
    (10, ("meter", "probe", "site"), ""),
    (124, ("wait", "connector", "1", "--for", "phase=idle", "--timeout", "0"), "evsectl connector get 1"),
]


def typed(command: tuple[str, ...]) -> str:
    """What comes on stdin: a wrong PIN, a configuration with a mistake, one that differs."""
    if "signin" in command:
        return "9999\n"
    if "validate" in command:
        return CONFIG_TEXT + "[sute]\nlimit_w = 1\n"
    return CONFIG_TEXT.replace("limit_w = 80000", "limit_w = 70000")


def spell(value: object) -> str | None:
    """Name of a case."""
    return " ".join(value) if isinstance(value, tuple) else None


@pytest.mark.parametrize(("code", "command", "hint"), CALLS, ids=spell)
def test_codes_and_hints(code: int, command: tuple[str, ...], hint: str, station: FakeStation) -> None:
    result = run(*command, stdin=typed(command))
    assert result.code == code, result.err
    if code in (0, 8, 10):
        assert result.out
        return
    assert result.out == b""
    first, *_, last = result.err.splitlines()
    assert first.startswith("evsectl")
    assert re.search(r" \[[a-z_]+\]$", result.err, re.MULTILINE), "the stable code is missing"
    assert last.startswith("  ") and hint in last


JSON_CALLS = [
    (code, command)
    for code, command, _ in CALLS
    if code not in (0, 8, 10)
    and "-o" not in command
    and command[0] not in ("help", "wait", "auth")
    and (code, command[:2]) != (9, ("config", "validate"))  # its answer is data: test_output
]


@pytest.mark.parametrize(("code", "command"), JSON_CALLS, ids=spell)
def test_with_json_an_error_is_one_object_on_stderr(
    code: int, command: tuple[str, ...], station: FakeStation
) -> None:
    result = run(*command, "-o", "json", stdin=typed(command))
    assert result.code == code
    body = json.loads(result.err)
    assert list(body) == ["apiVersion", "kind", "code", "message", "hint", "request_id", "exit_code"]
    assert (body["kind"], body["exit_code"]) == ("Error", code)
    assert body["message"] and result.out == b""


def test_the_request_id_of_the_daemon_is_kept(station: FakeStation) -> None:
    body = json.loads(run("connector", "get", "9", "-o", "json").err)
    assert re.fullmatch(r"[0-9a-f]{6}-\d+", body["request_id"])


def test_no_daemon_is_6_and_says_where_it_looked_and_what_to_do(alone: Path) -> None:
    for command in (("status",), ("connector", "stop", "1", "--accept-risk=stop-charging"), ("watch", "--no-reconnect")):
        result = run(*command)
        assert result.code == 6
        assert str(alone) in result.err and "systemctl status evsed" in result.err and "EVSECTL_HOST" in result.err


def test_a_running_demo_is_offered_when_there_is_no_daemon(alone: Path, tmp_path: Path) -> None:
    for name in ("evse-demo-old", "evse-demo-dead", "evse-demo-new"):
        (tmp_path / name).mkdir()
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(tmp_path / name / "evsed.sock"))
            if name != "evse-demo-dead":
                listener.listen()
                assert f"export EVSECTL_HOST=unix://{tmp_path / name}/evsed.sock" in run("status").err
    assert "systemctl status evsed" in run("status").err  # both have ended, their sockets are still there


def test_version_works_without_a_daemon(alone: Path) -> None:
    result = run("version")
    assert result.code == 0 and "not running" in result.text


def test_a_bug_is_70_names_a_crash_file_and_shows_no_traceback(
    station: FakeStation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> int:
        raise KeyError("nowhere")

    monkeypatch.setattr(reads, "status", broken)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    result = run("status")
    assert result.code == 70 and "Traceback" not in result.err
    found = re.search(r"send (\S+) to support", result.err)
    assert found is not None and "Traceback" in Path(found.group(1)).read_text(encoding="utf-8")
    assert run("status", "-o", "json").code == 70
    assert "Traceback" in run("--debug", "status").err


def test_ctrl_c_is_130(station: FakeStation, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object, **__: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(reads, "watch", interrupted)
    monkeypatch.setattr(reads, "status", interrupted)
    for command in (("watch",), ("--debug", "watch"), ("status",), ("--debug", "status")):
        result = run(*command)
        assert (result.code, result.out, result.err) == (130, b"", "")


class EverybodyIsGuest(RolePolicy):
    """Nobody has rights by being root here."""

    def role(self, uid: int | None, gid: int) -> Role:
        return Role.GUEST


@pytest.fixture
def guest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeStation]:
    """A station with the real access control on which this user is a guest, and where it may set the first PIN."""

    def access(clock: api_world.StillClock, settings: api_world.MemorySettings, **_: object) -> AccessControl:
        return AccessControl(
            policy=EverybodyIsGuest(os.getuid(), lambda: ("", ""), api_world.PretendAccounts()),
            pin=PinGuard(settings, api_world.InlineRunner(), clock),
            tokens=Tokens(clock),
            clock=clock,
            token_minutes=lambda: 30,
        )

    built: list[AccessControl] = []

    def remember(clock: api_world.StillClock, settings: api_world.MemorySettings, **more: object) -> AccessControl:
        built.append(access(clock, settings, **more))
        return built[-1]

    monkeypatch.setattr(api_world, "make_access", remember)
    station = api_world.SecuredStation.__new__(api_world.SecuredStation)
    FakeStation.__init__(station)

    class Late:
        """The control that the server makes when it starts."""

        def __getattr__(self, name: str) -> object:
            return getattr(built[0], name)

    vars(station)["_access"] = Late()
    with (
        api_world.served_in_thread(tmp_path / "s", station),
        environment({**quiet_environment(tmp_path), "EVSECTL_HOST": str(tmp_path / "s")}),
    ):
        yield station


def test_a_guest_is_refused_with_5_until_the_pin_raises_the_role(guest: FakeStation, tmp_path: Path) -> None:
    stop = ("connector", "stop", "1", "--accept-risk=stop-charging")
    refused = run(*stop)
    assert refused.code == 5 and "evsectl auth signin" in refused.err
    assert run("auth", "set-pin", "--pin-file", "-", stdin="4711\n").code == 0
    wrong = run("auth", "signin", "--pin-file", "-", stdin="1111\n")
    assert wrong.code == 4
    assert run("auth", "signin", "--pin-file", "-", stdin="4711\n").text.startswith("signed in as operator until 2026-")
    kept = tmp_path / "evsectl-tokens.json"
    assert kept.stat().st_mode & 0o777 == 0o600
    assert "operator" in run("auth", "whoami").text
    assert run(*stop).code == 0
    assert run("auth", "signout").text == "signed out\n"
    assert run(*stop).code == 5


def test_a_sign_in_that_has_ended_does_not_block_the_reads(guest: FakeStation, tmp_path: Path) -> None:
    (tmp_path / "evsectl-tokens.json").write_text(json.dumps({str(tmp_path / "s"): "stale"}), encoding="utf-8")
    result = run("connector", "list")
    assert result.code == 0 and "your sign-in has ended" in result.err
    assert run("connector", "list").err == ""
    os.environ["EVSECTL_TOKEN"] = "stale"
    assert run("connector", "list").code == 4


def test_a_pin_is_never_taken_without_a_prompt_or_a_file(station: FakeStation) -> None:
    result = run("auth", "signin")
    assert result.code == 2 and "--pin-file" in result.err


def test_an_error_of_the_daemon_ends_with_its_code(station: FakeStation) -> None:
    for error in ErrorCode:
        station.fail_next("planner.recompute", ApiError(error, "no", "do this"))
        result = run("planner", "recompute")
        assert result.code == error.exit_code
        assert f"[{error.code}]" in result.err
