"""``evsectl auth`` with one-time codes: enrolling, signing in, turning them off."""

from __future__ import annotations

import getpass
import re
import sys
from pathlib import Path

import pytest

from evse.api.errors import ApiError, ErrorCode
from tests._support.fake_service import CODE, PIN, TOTP_SECRET, FakeStation
from tests.cli.support import run


@pytest.fixture
def keyboard(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Prompts without echo are answered from the typed text; returns what was asked."""
    asked: list[str] = []

    def answer(prompt: str) -> str:
        asked.append(prompt)
        return sys.stdin.readline().rstrip("\n")

    monkeypatch.setattr(getpass, "getpass", answer)
    return asked


def asked_for(station: FakeStation) -> list[str]:
    """Operations that reached the daemon, in order."""
    return [name for name, _ in station.calls]


def test_enable_shows_uri_and_secret_once_and_confirms(station: FakeStation, keyboard: list[str]) -> None:
    result = run("auth", "totp", "enable", typed=f"{CODE[:3]} {CODE[3:]}\n")
    assert result.code == 0, result.err
    uri, secret, done = result.text.splitlines()
    assert uri.startswith("URI     otpauth://totp/") and f"secret={TOTP_SECRET}" in uri
    assert re.fullmatch(r"Secret  (?:[A-Z2-7]{4} ){7}[A-Z2-7]{4}", secret)
    assert secret.split(maxsplit=1)[1].replace(" ", "") == TOTP_SECRET
    assert done == "one-time codes are on: every sign-in needs PIN and code"
    assert TOTP_SECRET not in result.err and CODE not in result.text + result.err
    assert station.totp_enrolled and keyboard == ["First code: "]
    again = run("auth", "totp", "enable", typed=f"{CODE}\n")
    assert again.code == 7 and "evsectl auth totp disable" in again.err and again.text == ""


def test_a_mistyped_first_code_is_asked_for_again_with_the_same_secret(
    station: FakeStation, keyboard: list[str]
) -> None:
    result = run("auth", "totp", "enable", typed=f"111111\n{CODE}\n")
    assert result.code == 0 and "does not fit" in result.err
    assert asked_for(station) == ["auth.totp_begin", "auth.totp_confirm", "auth.totp_confirm"]
    station.totp_enrolled = False
    wrong = run("auth", "totp", "enable", typed="1\n2\n3\n4\n")
    assert wrong.code == 4 and not station.totp_enrolled
    assert len(keyboard) == 5, "three tries, then the error of the daemon"


def test_an_error_that_is_not_the_code_ends_at_once(station: FakeStation, keyboard: list[str]) -> None:
    station.fail_next("auth.totp_confirm", ApiError(ErrorCode.CONFLICT, "no new secret waits", "start again"))
    assert run("auth", "totp", "enable", typed=f"{CODE}\n{CODE}\n").code == 7
    assert len(keyboard) == 1


def test_programs_read_the_secret_and_write_the_code(station: FakeStation, tmp_path: Path) -> None:
    refused = run("auth", "totp", "enable")
    assert refused.code == 2 and "--code-file" in refused.err
    assert asked_for(station) == [], "no secret is made when nobody could confirm it"
    assert run("auth", "totp", "enable", "--code-file", "-", stdin="1\n2\n").code == 4
    assert run("auth", "totp", "enable", "--code-file", "-", stdin=f"{CODE}\n").code == 0
    (tmp_path / "code").write_text(f"{CODE}\n")
    (tmp_path / "pin").write_text(f"{PIN}\n")
    files = ("--pin-file", str(tmp_path / "pin"), "--code-file", str(tmp_path / "code"))
    assert run("auth", "signin", *files).text.startswith("signed in as operator until")
    assert run("auth", "totp", "disable", *files).text == "one-time codes are off\n"
    assert not station.totp_enrolled


def test_sign_in_asks_for_the_code_when_it_is_enrolled_only(station: FakeStation, keyboard: list[str]) -> None:
    assert run("auth", "signin", typed=f"{PIN}\n").code == 0
    station.totp_enrolled = True
    assert "asked for at every sign-in" in run("auth", "whoami").text
    assert run("auth", "signin", typed=f"{PIN}\n{CODE}\n").code == 0
    assert keyboard == ["PIN: ", "PIN: ", "One-time code: "]
    assert run("auth", "signin", "--pin-file", "-", "--code-file", "-", stdin=f"{PIN}\n{CODE}\n").code == 0
    assert run("auth", "signin", "--pin-file", "-", "--code-file", "-", stdin=f"{PIN}\n1\n").code == 4
    missing = run("auth", "signin", "--pin-file", "-", stdin=f"{PIN}\n")
    assert missing.code == 2 and "--code-file" in missing.err


def test_a_change_of_the_pin_sends_the_code(station: FakeStation) -> None:
    station.totp_enrolled = True
    assert run("auth", "set-pin", "--old-pin-file", "-", "--code-file", "-", "--pin-file", "-", stdin=f"{PIN}\n{CODE}\n0815\n").code == 0
    _, request = station.calls[-1]
    assert (request.old, request.new, request.totp) == (PIN, "0815", CODE)  # type: ignore[attr-defined]


def test_disable_with_pin_and_code_or_as_a_recovery(station: FakeStation, keyboard: list[str]) -> None:
    assert run("auth", "totp", "disable").text == "unchanged: one-time codes were off\n"
    station.totp_enrolled = True
    assert run("auth", "totp", "disable", typed=f"{PIN}\n000000\n").code == 4
    assert station.totp_enrolled
    assert run("auth", "totp", "disable", typed=f"{PIN}\n{CODE}\n").code == 0
    station.totp_enrolled = True
    assert run("auth", "totp", "disable", "--recover", "--pin-file", "-", stdin="1\n").code == 2
    assert run("auth", "totp", "disable", "--recover").text == "one-time codes are off\n"
    _, request = station.calls[-1]
    assert (request.pin, request.totp) == ("", "")  # type: ignore[attr-defined]
    assert run("auth", "totp", "disable", "--recover").text == "unchanged: one-time codes were off\n"
