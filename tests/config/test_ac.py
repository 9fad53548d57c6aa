"""The AC side of station.toml: what is read, and what is refused with which words."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evse.config.load import parse_config
from evse.config.spec import station_spec
from evse.domain.ac import ROTARY_TABLE, FeedbackType, HlcMode, LockMode, ReleaseMode
from evse.domain.base import ConfigError
from evse.domain.station import EvseKind
from tests._support.examples import examples

HEAD = '[station]\nid = "X"\n[[evse]]\nid = 1\nkind = "ac"\nboard.port = "/dev/b1"\n'


def load(text: str) -> list[str]:
    """The mistakes in HEAD + ``text``, without their place."""
    with pytest.raises(ConfigError) as caught:
        parse_config(HEAD + text, "s.toml", check_files=False)
    return [p.split(": ", 1)[1] for p in caught.value.problems]


def test_a_whole_ac_evse_arrives_in_the_core_in_its_units() -> None:
    config = parse_config(
        HEAD
        + """derate_start_c = 60
[evse.ac]
current_max_a = 32
grid_a = 63
failsafe_a = 6
fallback_a = 8
fallback_s = 300
reject_plugs = "13+20"
contactor_feedback = "nc"
out_of_balance_a = 20
release = "list"
hlc = "fake_dc"
inputs = 4
rotary_switch = true
rotary = [{ position = 15, current_a = 50, phases = 3 }]
lock.mode = "plugged"
rcd = { enabled = true, trigger_ms = 50, check_tripped_ms = 750, check_normal_ms = 2000 }
over_current = { staged = true, low_pct = 105 }
fake_dc = [{ name = "Maker", oui = ["98:ed:5c"], ends_after = "mac", switch_method = 3 }]
""",
        "s.toml",
        check_files=False,
    )
    evse = station_spec(config).evses[0]
    ac = evse.ac
    assert evse.kind is EvseKind.AC and ac is not None
    assert (evse.current_max_ma, evse.power_max_w, evse.derate_start_dc) == (32_000, 22_080, 600)
    assert (ac.evse_ma, ac.grid_ma, ac.failsafe_ma, ac.fallback_ma, ac.fallback_s) == (32_000, 63_000, 6_000, 8_000, 300)
    assert (ac.reject_13, ac.reject_20, ac.out_of_balance_ma) == (True, True, 20_000)
    assert ac.contactor_feedback is FeedbackType.NC and ac.lock_mode is LockMode.PLUGGED
    assert ac.release is ReleaseMode.LIST and ac.hlc is HlcMode.FAKE_DC
    assert ac.rotary_table[:15] == ROTARY_TABLE[:15] and ac.rotary_table[15].current_a == 50
    assert (ac.rcd.trigger_ms, ac.rcd.check_tripped_ms, ac.rcd.check_normal_ms) == (50, 750, 2000)
    assert ac.rcd.fitted and ac.rcd.test and ac.over_current.staged and ac.over_current.low_permille == 1050
    vendor = ac.fake_dc_vendors[0]
    assert (vendor.oui, vendor.until_soc, vendor.switch_method) == (("98:ED:5C",), False, 3)


def test_no_limit_is_minus_one_and_a_fixed_cable_has_no_lock() -> None:
    config = parse_config(HEAD + '[evse.ac]\nconnection = "cable"\ncable_a = 16\n', "s.toml", check_files=False)
    ac = station_spec(config).evses[0].ac
    assert ac is not None and not ac.socket and ac.cable_ma == 16_000
    assert (ac.grid_ma, ac.failsafe_ma, ac.fallback_ma, ac.out_of_balance_ma) == (-1, -1, -1, -1)
    assert ac.lock_mode is LockMode.NEVER and ac.rotary_table == ROTARY_TABLE


def test_the_rotary_table_is_that_of_the_manual() -> None:
    assert [(p.current_a, p.phases) for p in ROTARY_TABLE][:9] == [
        (6, 1), (10, 1), (13, 1), (16, 1), (20, 1), (32, 1), (40, 1), (63, 1), (6, 3),
    ]  # fmt: skip
    assert len(ROTARY_TABLE) == 16 and (ROTARY_TABLE[15].current_a, ROTARY_TABLE[15].phases) == (63, 3)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "evse[1].ac: is missing"),
        ("home_group = 1\n[evse.ac]\n", "uses no power modules"),
        ("[evse.ac]\nrcd = { enabled = true, check_tripped_ms = 1225 }\n", "must be below trigger_ms + check_normal_ms = 1225"),
        ("[evse.ac]\nlock.motor = 'kuster'\n", "no such file profiles/locks/kuster.toml"),
        ("[evse.ac]\nphase_switch.mode = 'auto'\n", "needs a second contactor"),
        ("[evse.ac]\nphase_switch.enabled = true\nventilation.enabled = true\n", "relay 2 is the ventilation already"),
        ("[evse.ac]\nphase_switch.enabled = true\nphases = 1\n", "the connection has one phase"),
        ("[evse.ac]\nphase_switch.enabled = true\nhlc = 'required'\n", "works with basic signalling only"),
        ("[evse.ac]\nphase_switch.delay_s = 9\n", "outside 10..300 s"),
        ("[evse.ac]\nderate_start_a = 8\nderate_end_a = 8\n", "the start must be higher"),
        ("[evse.ac]\nover_current = { low_pct = 120 }\n", "must be below high_pct = 120"),
        ("[evse.ac]\nfallback_s = 60\n", "belong together"),
        ("[evse.ac]\nconnection = 'cable'\n", "cable_a: is missing"),
        ("[evse.ac]\nrelease = 'key_switch'\n", "needs key_switch_input"),
        ("[evse.ac]\nemergency_input = 1\n", "the board has 0 digital inputs"),
        ("[evse.ac]\nrotary = [{ position = 1, current_a = 6 }, { position = 1, current_a = 8 }]\n", "is given twice"),
        ("[evse.ac]\nfake_dc = [{ name = 'x', oui = [] }]\n", "must not be empty"),
        ("[evse.ac]\nfake_dc = [{ name = 'x', oui = ['a', 1] }]\n", "must be a list of texts"),
        ("[evse.ac]\nfake_dc = [{ name = 'x', oui = ['98:ED:5G'] }]\n", "no start of a MAC address"),
    ],
)  # fmt: skip
def test_each_mistake_is_named_with_its_remedy(text: str, words: str) -> None:
    problems = load(text)
    assert len(problems) == 1 and words in problems[0], problems


@given(st.integers(1, 5000), st.integers(1, 5000), st.integers(1, 5000))
@settings(max_examples=examples(60), deadline=None)
def test_the_order_of_the_rcd_test_is_exactly_that_of_the_manual(trigger: int, tripped: int, normal: int) -> None:
    """Charge Control C, table 71: tripped is looked at before normal."""
    text = f"[evse.ac]\nrcd = {{ enabled = true, trigger_ms = {trigger}, check_tripped_ms = {tripped}, check_normal_ms = {normal} }}\n"
    try:
        parse_config(HEAD + text, "s.toml", check_files=False)
        accepted = True
    except ConfigError:
        accepted = False
    assert accepted is (tripped < trigger + normal)


def test_a_dc_evse_has_no_ac_side() -> None:
    text = (HEAD + "[evse.ac]\n").replace('kind = "ac"\n', "")
    with pytest.raises(ConfigError) as caught:
        parse_config(text, "s.toml", check_files=False)
    assert "a DC EVSE has no AC side" in caught.value.problems[0]
