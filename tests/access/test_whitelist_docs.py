"""What docs/whitelist.md says is what the program does."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from typer.main import get_command

from evse.access import whitelist_csv as csv
from evse.access.whitelist import ENTRIES_MAX, NAME_MAX, Verdict, Whitelist
from evse.domain.whitelist import Kind
from evse.units import NS_PER_S
from evsectl.commands.whitelist import app

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "whitelist.md").read_text(encoding="utf-8")
COMMANDS = re.findall(r"^(evsectl whitelist .*?)(?:\s+#.*)?$", PAGE, re.MULTILINE)
BEFORE = 1_700_000_000 * NS_PER_S
EXAMPLE = re.search(r"```csv\n(.*?)```", PAGE, re.DOTALL)


def example() -> Whitelist:
    assert EXAMPLE is not None
    return Whitelist(csv.parse(EXAMPLE.group(1)).values())


def test_the_example_file_is_one() -> None:
    listed = example()
    assert len(listed) == 4
    assert {e.id: e.name for e in listed if e.kind is Kind.EVCC} == {"0010BADA5501": "Pool car"}
    assert listed.decide("11223344", 1, BEFORE) is Verdict.BLOCKED
    assert listed.decide("07A47731", 2, BEFORE) is Verdict.ALLOWED
    assert listed.decide("07A47731", 1, BEFORE) is Verdict.UNKNOWN, "an entry for connector 2 only"


def test_a_date_is_its_midnight_in_utc() -> None:
    assert "with 2027-12-31 the last whole day is the 30th" in PAGE
    end = csv.parse_time("2027-12-31T00:00:00Z")
    assert csv.parse_time("2027-12-31") == end
    assert example().decide("0010BADA5501", 2, end - 1) is Verdict.ALLOWED
    assert example().decide("0010BADA5501", 2, end) is Verdict.EXPIRED


def test_an_entry_for_one_connector_goes_before_the_one_for_all() -> None:
    listed = Whitelist(csv.parse("id,allow\n04A1B2C3,yes\n04A1B2C3_2,no\n").values())
    assert [listed.decide("04A1B2C3", c, BEFORE) for c in (1, 2)] == [Verdict.ALLOWED, Verdict.BLOCKED]


def test_the_limits_are_the_programs() -> None:
    assert f"up to {ENTRIES_MAX:,} entries".replace(",", " ") in PAGE
    assert f"up to {NAME_MAX} characters" in PAGE


@pytest.mark.parametrize("line", COMMANDS)
def test_every_command_of_the_page_is_understood(line: str) -> None:
    words = shlex.split(line)[2:]
    group = get_command(app)
    command = group.commands[words[0]]  # type: ignore[attr-defined]
    command.make_context(words[0], words[1:])


def test_the_page_has_commands() -> None:
    assert {line.split()[2] for line in COMMANDS} == {"learn", "list", "edit", "export"}
