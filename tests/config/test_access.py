"""Who decides about a card: what is read from ``[access]``, and what is refused with which words."""

from __future__ import annotations

import pytest

from evse.config.load import parse_config
from evse.config.model_access import AccessSection
from evse.config.options import diff
from evse.domain.base import ConfigError

HEAD = '[station]\nid = "X"\n[[evse]]\nid = 1\nboard.port = "/dev/b1"\n[access]\n'


def load(text: str) -> list[str]:
    """The mistakes in HEAD + ``text``, without their place."""
    with pytest.raises(ConfigError) as caught:
        parse_config(HEAD + text, "s.toml", check_files=False)
    return [p.split(": ", 1)[1] for p in caught.value.problems]


def test_without_the_table_list_and_back_end_decide_and_nothing_else() -> None:
    access = parse_config(HEAD, "s.toml", check_files=False).access
    assert access == AccessSection()
    assert access.mode == ("whitelist", "ocpp")
    assert not (access.if_in_doubt_allow or access.autocharge or access.autocharge_ocpp)


def test_everything_can_be_set_and_is_in_force_at_once() -> None:
    before = parse_config(HEAD, "s.toml", check_files=False)
    after = parse_config(
        HEAD
        + 'mode = ["ocpp", "whitelist"]\nif_in_doubt_allow = true\nautocharge = true\nautocharge_ocpp = true\n'
        + 'autocharge_prefix = ""\n',
        "s.toml",
        check_files=False,
    )
    assert after.access.mode == ("ocpp", "whitelist") and after.access.autocharge_prefix == ""
    changes = diff(before, after)
    assert [change.key for change in changes] == [
        "access.mode", "access.if_in_doubt_allow", "access.autocharge", "access.autocharge_ocpp",
        "access.autocharge_prefix",
    ]  # fmt: skip
    assert {change.apply for change in changes} == {"live"}


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("mode = []\n", "mode = []"),
        ('mode = ["whitelst"]\n', 'there is no "whitelst"; did you mean "whitelist"?'),
        ('mode = ["ocpp", "ocpp"]\n', "has an entry twice"),
        ("autocharge_ocpp = true\n", "does nothing without autocharge = true"),
        ('mode = ["whitelist"]\nautocharge = true\nautocharge_ocpp = true\n', 'add "ocpp" to access.mode'),
        ('autocharge_prefix = "VEHICLES:"\n', "at most 8"),
        ('autocharge_prefix = " VID"\n', "printable ASCII"),
        ('autocharge_prefix = "VÏD"\n', "printable ASCII"),
        ("autocharg = true\n", "autocharge"),
    ],
)
def test_mistakes_are_named_with_what_to_do(text: str, problem: str) -> None:
    problems = load(text)
    assert len(problems) == 1 and problem in problems[0], problems
