"""A matrix cabinet in the station file: what the contacts of the boards can reach, and a group for everybody."""

from __future__ import annotations

from pathlib import Path

import pytest

from evse.config.check import MATRIX_GROUPS_MAX
from evse.config.load import parse_config
from evse.config.spec import station_spec
from evse.core.state import tie_count
from evse.domain.base import ConfigError
from evse.lab.demo_config import demo_text
from evse.protocols.board_link_matrix import GROUPS_MAX


def text(tmp_path: Path) -> str:
    return demo_text("dc-matrix", str(tmp_path), "239.0.0.1", 9000, lambda: 1502)


def test_the_profile_has_a_contact_for_each_pair(tmp_path: Path) -> None:
    spec = station_spec(parse_config(text(tmp_path), "matrix.toml"))
    assert (len(spec.evses), len(spec.groups), tie_count(spec)) == (4, 6, 24)
    assert [group.home_evse for group in spec.groups] == [1, 2, 3, 4, None, None]
    assert MATRIX_GROUPS_MAX == GROUPS_MAX


def test_a_connector_of_a_matrix_needs_no_home_but_a_group_for_itself(tmp_path: Path) -> None:
    homeless = text(tmp_path).replace("home_group = 2\n", "")
    assert parse_config(homeless, "matrix.toml").evse[1].home_group == 0
    head, *groups = text(tmp_path).split("[[modules.groups]]\n")
    rest = groups[-1].split("\n\n", 1)[1]
    with pytest.raises(ConfigError, match="3 groups for 4 DC EVSEs"):
        parse_config(
            (head + "".join("[[modules.groups]]\n" + g for g in groups[:3]) + rest).replace("home_group = 4\n", ""), "matrix.toml"
        )


def test_more_groups_than_contacts_can_name_are_refused(tmp_path: Path) -> None:
    head, *groups = text(tmp_path).split("[[modules.groups]]\n")
    rest = groups[-1].split("\n\n", 1)[1]
    many = "".join(f"[[modules.groups]]\nid = {n}\naddresses = [{n}]\n\n" for n in range(1, GROUPS_MAX + 2))
    with pytest.raises(ConfigError, match="33 groups; the contacts of a matrix reach 32"):
        parse_config(head + many + rest, "matrix.toml")
