"""Where the socket is, whose directory is trusted, and checking a configuration without a daemon."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from evse.api import paths
from evse.api.client import ApiCallError, Client, socket_path
from evse.api.local import validate_text


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv(paths.ENVIRONMENT, raising=False)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.setattr(paths, "SYSTEM_DIR", str(tmp_path / "run"))


def test_client_order(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert paths.default_socket() == f"{tmp_path}/evsed/evsed.sock"
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "evsed.sock").touch()
    assert paths.default_socket() == f"{tmp_path}/run/evsed.sock"
    monkeypatch.setenv(paths.ENVIRONMENT, "/elsewhere")
    assert paths.default_socket() == "/elsewhere"


def test_server_order(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert paths.server_socket("") == f"{tmp_path}/evsed/evsed.sock"
    (tmp_path / "run").mkdir()
    assert paths.server_socket("") == f"{tmp_path}/run/evsed.sock"
    assert paths.server_socket("") == paths.server_socket(""), "both sides agree once the server listens"
    monkeypatch.setenv(paths.ENVIRONMENT, "/elsewhere")
    assert paths.server_socket("") == "/elsewhere"
    assert paths.server_socket("/configured") == "/configured"


def test_without_a_runtime_directory_there_is_one_below_tmp(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("XDG_RUNTIME_DIR")
    monkeypatch.setattr(paths, "LOGIND_DIR", str(tmp_path / "user"))
    assert paths.default_socket() == f"/tmp/evsed-{os.getuid()}/evsed.sock"
    (tmp_path / "user" / str(os.getuid())).mkdir(parents=True)
    assert paths.default_socket() == f"{tmp_path}/user/{os.getuid()}/evsed/evsed.sock"


@pytest.mark.parametrize(
    ("host", "path"), [("unix:///run/x.sock", "/run/x.sock"), ("/run/x.sock", "/run/x.sock"), ("x.sock", "x.sock")]
)
def test_hosts(host: str, path: str) -> None:
    assert socket_path(host) == path


@pytest.mark.parametrize("host", ["https://charger", "tcp://1.2.3.4:5", "unix://"])
def test_other_hosts_are_a_usage_error(host: str) -> None:
    with pytest.raises(ApiCallError) as caught:
        socket_path(host)
    assert caught.value.exit_code == 2


def test_a_temporary_directory_of_somebody_else_is_not_trusted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(paths, "TEMPORARY_DIR", str(tmp_path))
    real = os.getuid()
    mine = tmp_path / f"evsed-{real}"
    assert paths.trusted(f"{mine}/evsed.sock"), "nothing there yet"
    mine.mkdir()
    assert paths.trusted(f"{mine}/evsed.sock")
    monkeypatch.setattr(os, "getuid", lambda: real + 1)  # now we are somebody else, and real has made our directory
    theirs = tmp_path / f"evsed-{real + 1}"
    theirs.mkdir()
    assert not paths.trusted(f"{theirs}/evsed.sock")
    assert paths.trusted(f"{mine}/evsed.sock"), "a path that was named is the caller's choice"
    with pytest.raises(ApiCallError, match="another user"):
        Client(f"{theirs}/evsed.sock").call("status.get")


def test_a_configuration_is_checked_without_a_daemon() -> None:
    result = validate_text("schema_version = 1\nsation = 3\n", "station.toml")
    assert not result.valid
    assert any("station.toml" in problem and "sation" in problem for problem in result.problems)
    assert not result.applied
