"""Acts that hurt: asked on a terminal with No as default, refused elsewhere with the flag that would allow them."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec
import pytest

from tests._support.fake_data import CONFIG_TEXT, STATION_FILE
from tests._support.fake_service import FakeStation
from tests.cli.support import Result, make_eventful, run

ACTS = [
    (("connector", "start", "2"), "--accept-risk=energise", "connector.start"),
    (("connector", "stop", "1"), "--accept-risk=stop-charging", "connector.stop"),
    (("connector", "disable", "0"), "--accept-risk=stop-charging", "connector.disable"),
    (("connector", "unlock", "1"), "--accept-risk=stop-charging", "connector.unlock"),
]


def asked(station: FakeStation, operation: str) -> int:
    """How often an operation was called."""
    return sum(name == operation for name, _ in station.calls)


@pytest.mark.parametrize(("command", "flag", "operation"), ACTS)
def test_without_a_terminal_it_is_refused_and_the_flag_is_named(
    command: tuple[str, ...], flag: str, operation: str, station: FakeStation
) -> None:
    result = run(*command)
    assert result.code == 2 and flag in result.err and "confirmation_needed" in result.err
    assert asked(station, operation) == 0
    assert run(*command, flag).code == 0
    assert asked(station, operation) == 1


@pytest.mark.parametrize(("command", "flag", "operation"), ACTS)
@pytest.mark.parametrize(("answer", "done"), [("y\n", True), ("YES\n", True), ("\n", False), ("n\n", False), ("", False)])
def test_on_a_terminal_it_asks_and_no_is_the_default(
    command: tuple[str, ...], flag: str, operation: str, answer: str, done: bool, station: FakeStation
) -> None:
    result = run(*command, typed=answer)
    assert "[y/N]" in result.err
    assert (result.code, asked(station, operation)) == ((0, 1) if done else (2, 0))


def test_the_question_says_what_is_lost(station: FakeStation) -> None:
    result = run("connector", "stop", "1", typed="n\n")
    assert "session s-000025, 3.12 kWh so far" in result.err
    assert "nothing was changed" in result.err


def test_one_risk_does_not_cover_another_and_yes_covers_none(station: FakeStation) -> None:
    assert run("connector", "stop", "1", "--accept-risk=energise").code == 2
    assert run("connector", "stop", "1", "--yes").code == 2
    assert run("connector", "stop", "1", "--accept-risk=energise,stop-charging").code == 0


@pytest.mark.parametrize("how", ["--no-input", "EVSECTL_NO_INPUT"])
def test_no_input_never_asks(how: str, station: FakeStation) -> None:
    arguments: tuple[str, ...] = ("connector", "stop", "1")
    if how.startswith("--"):
        arguments = (how, *arguments)
    else:
        os.environ[how] = "1"
    result = run(*arguments, typed="y\n")
    assert result.code == 2 and "[y/N]" not in result.err


def apply(station: FakeStation, *options: str, typed: str | None = None) -> Result:
    text = CONFIG_TEXT.replace("limit_w = 80000", "limit_w = 60000")
    if typed is None:
        return run("config", "apply", "-", *options, stdin=text)
    path = Path(os.environ["HOME"]) / "new.toml"
    path.write_text(text, encoding="utf-8")
    return run("config", "apply", str(path), *options, typed=typed)


def test_applying_a_configuration_needs_yes_and_shows_the_plan(station: FakeStation) -> None:
    refused = apply(station)
    assert refused.code == 2 and "--yes" in refused.err and asked(station, "config.apply") == 0
    no = apply(station, typed="n\n")
    assert no.code == 2 and "~ site.limit_w: 80000 -> 60000  (live)" in no.err and asked(station, "config.apply") == 0
    dry = apply(station, "--dry-run")
    assert dry.code == 0 and "limit_w = 80000" in station.config_text
    assert apply(station, "--dry-run", "--detailed-exitcode").code == 8
    assert apply(station, "--yes").code == 0
    assert "limit_w = 60000" in station.config_text
    assert apply(station, "--yes").text == "unchanged\n"


def test_doing_it_again_is_no_error(station: FakeStation) -> None:
    for command in (("disable", "2", "--accept-risk=stop-charging"), ("stop", "1", "--accept-risk=stop-charging")):
        assert run("connector", *command).code == 0
        again = run("connector", *command)
        assert again.code == 0 and again.text.startswith("unchanged")


@pytest.mark.parametrize("verb", ["diff", "apply"])
def test_mistakes_are_named_by_the_file_that_was_given(verb: str, station: FakeStation, tmp_path: Path) -> None:
    path = tmp_path / "edited.toml"
    path.write_text(f"{CONFIG_TEXT}\n[sight]\nlimit_w = 1\n", encoding="utf-8")
    refused = run("config", verb, str(path))
    assert refused.code == 9 and f"  {path}:" in refused.err
    assert STATION_FILE not in refused.err and asked(station, "config.apply") == 0


def test_a_fault_is_cleared_where_it_is_active(station: FakeStation) -> None:
    make_eventful(station)
    record = next(f for f in station.view.faults if f.evse_id)
    result = run("fault", "clear", record.code.value)
    assert (result.code, result.out) == (0, f"{record.code.value} cleared\n".encode())
    assert next(request.evse_id for name, request in station.calls if name == "fault.clear") == record.evse_id


def test_in_two_places_the_place_must_be_named(station: FakeStation) -> None:
    make_eventful(station)
    record = next(f for f in station.view.faults if f.evse_id)
    station.set_view(faults=(record, msgspec.structs.replace(record, evse_id=1)))
    result = run("fault", "clear", record.code.value)
    assert result.code == 2 and "connector 1, connector 2" in result.err and "--connector" in result.err
    assert asked(station, "fault.clear") == 0
