"""The example tables of the CHARX manual, as shipped in profiles/rules, through the core: inputs over time, outputs over time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from msgspec.structs import replace

from evse.config.rule_file import read_rules, set_text
from evse.config.spec_rules import rule_specs
from evse.core import availability, rules
from evse.core.ac import limits
from evse.core.context import Conn, Tick
from evse.core.inputs import NoteTeaching, SetOutput
from evse.core.state import AuthState, Stage
from evse.domain.ac import ReleaseMode
from evse.domain.faults import FaultCode
from evse.domain.limits import LimitSource
from evse.domain.rules import Rule, rules_version
from evse.domain.session import AuthSource, StopReason
from evse.domain.signals import CpState
from evse.units import NS_PER_MS, ms, s
from tests.core.ac.bench import Bench, spec_of


def table(name: str) -> tuple[Rule, ...]:
    return rule_specs(read_rules(set_text(name), name))


def bench(*names: str, **ac: Any) -> Bench:
    found: tuple[Rule, ...] = ()
    for name in names:
        found += table(name)
    ac.setdefault("release", ReleaseMode.REMOTE)
    station = {"rules": found, "rules_version": rules_version(found)}
    b = Bench(spec_of(station=station, inputs=4, outputs=4, **ac))
    run(b)
    return b


def run(b: Bench, dt_ms: int = 50, before: Callable[[Tick, Conn], None] | None = None) -> Tick:
    """One tick: what the rules decided before takes effect, something happens, the rules look."""
    return b.step(rules.observe, *([before] if before is not None else []), station=rules.step, dt=dt_ms * NS_PER_MS)


def out(b: Bench) -> int:
    return b.mem().out_outputs


def seen(b: Bench, ticks: int, dt_ms: int = 50) -> list[int]:
    """Outputs over time."""
    found = []
    for _ in range(ticks):
        run(b, dt_ms)
        found.append(out(b))
    return found


def refuse(t: Tick, conn: Conn) -> None:
    conn.w.auth_source = AuthSource.RFID
    t.event("session.denied", conn.spec.evse_id, id_token="04", why="blocked")


# -- Event Actions for external specifications ----------------------------------------------------------------------


def test_a_button_releases_the_vehicle_that_is_there() -> None:
    b = bench("external-specifications")
    b.board(inputs=0b010)
    b.plug()
    run(b)
    b.board(inputs=0b011)  # pressed
    run(b)
    b.board(inputs=0b010)
    run(b)
    assert b.evse().auth is AuthState.GRANTED
    assert b.evse().auth_source is AuthSource.RULE
    run(b, 60_000)
    assert b.evse().auth is AuthState.GRANTED
    b.unplug()
    b.work(auth=AuthState.NONE, auth_source=AuthSource.NONE)
    run(b)
    b.plug()
    for _ in range(3):
        run(b)
    assert b.evse().auth is AuthState.NONE  # the next vehicle needs its own


@pytest.mark.parametrize("mode", [m for m in ReleaseMode if m is not ReleaseMode.REMOTE])
def test_a_button_releases_nothing_where_somebody_else_decides(mode: ReleaseMode) -> None:
    b = bench("external-specifications", release=mode)
    b.plug()
    for inputs in (0b010, 0b011, 0b011):
        b.board(inputs=inputs)
        run(b)
    assert b.evse().auth is AuthState.NONE


def test_a_button_without_a_vehicle_in_status_b_does_nothing() -> None:
    b = bench("external-specifications")
    b.board(inputs=0b011)
    run(b)
    assert b.mem().rule_release is None


def test_an_open_contact_shuts_the_charging_point_down_and_gives_it_back_after_a_second() -> None:
    b = bench("external-specifications")
    assert b.mem().rule_allowed is False  # input 2 is low
    b.board(inputs=0b010)
    run(b)
    since = b.now
    while b.mem().rule_allowed is False:
        run(b)
    assert b.now - since == ms(950)  # 1000 ms after the last tick on which it was low
    b.board(inputs=0)
    run(b)
    assert b.mem().rule_allowed is False


def test_a_contact_reduces_to_16_a_while_it_is_closed() -> None:
    b = bench("external-specifications", socket=False, cable_ma=32_000)
    b.plug()
    b.work(tx_open=True, stage=Stage.AUTHORISED)

    def offered() -> tuple[int, LimitSource]:
        t = b.tick()
        limits.offer(t, t.conns[0])
        return t.conns[0].w.offered_ma, t.conns[0].w.limit_source

    b.board(inputs=0b110)
    run(b)
    assert offered() == (16_000, LimitSource.RULE)
    b.board(inputs=0b010)
    run(b)
    assert offered()[0] == 32_000


# -- Event Action configuration for the LED charging socket ---------------------------------------------------------


def test_red_shows_errors_of_the_charging_point_steadily_and_those_of_the_vehicle_flashing() -> None:
    b = bench("led-socket-red")
    b.fault(FaultCode.METER_LOST)
    assert seen(b, 60) == [1] * 60
    b.fault(FaultCode.PILOT_DIODE)
    assert seen(b, 80) == ([1] * 20 + [0] * 20) * 2
    b.fault()
    assert seen(b, 3) == [0] * 3


def test_red_flashes_three_seconds_for_a_refused_card() -> None:
    b = bench("led-socket-red")
    run(b, before=refuse)
    assert out(b) == 1
    assert seen(b, 70) == [1] * 19 + [0] * 20 + [1] * 20 + [0] * 11


def test_a_reserved_point_is_yellow_and_a_rejected_vehicle_flashes_yellow_in_step() -> None:
    b = bench("led-socket")
    b.work(reserved_deadline=b.now + s(600))
    assert seen(b, 50) == [0b011] * 50
    b.work(reserved_deadline=0)
    b.plug()
    b.energise(on=False)
    b.work(offered_ma=0)
    assert seen(b, 80) == ([0b011] * 20 + [0] * 20) * 2


def test_green_means_available() -> None:
    b = bench("led-socket-green")
    assert seen(b, 3) == [0b010] * 3
    b.work(auth=AuthState.GRANTED)
    assert seen(b, 3) == [0] * 3


def test_blue_shows_preparation_charging_and_a_full_vehicle() -> None:
    b = bench("led-socket-blue")
    b.plug()
    assert seen(b, 50) == [0b100] * 50
    b.energise()
    b.work(offered_ma=16_000)
    assert seen(b, 80) == ([0b100] * 20 + [0] * 20) * 2
    b.energise(on=False)
    b.work(offered_ma=16_000)
    assert seen(b, 80) == ([0b100] * 32 + [0] * 8) * 2  # 80 % of 2 s


def test_an_error_at_a_rejected_vehicle_flashes_red_because_the_later_rule_wins() -> None:
    """The order of the manual: rule 5 of the red lamp overwrites rule 1 on every pass."""
    b = bench("led-socket-red")
    b.plug()
    b.energise(on=False)
    b.work(offered_ma=0)
    b.fault(FaultCode.DYNAMIC_LIMIT_IGNORED)  # a warning is no error
    assert seen(b, 40) == [1] * 20 + [0] * 20
    assert b.mem().rule_by == ((11, 5),)


# -- Connection to the fourth digital input -------------------------------------------------------------------------


def test_the_emergency_input_ends_the_transaction_with_its_own_reason_until_it_is_reset() -> None:
    b = bench("emergency-input")
    b.plug()
    b.energise()
    b.board(inputs=0b1000)
    run(b)
    assert b.mem().rule_allowed is False
    for _ in range(3):
        run(b, 10_000)
        assert b.causes[1][FaultCode.EMERGENCY_SHUTDOWN] == "event action 1: EmergencyStop"
    b.board(inputs=0)
    run(b)
    assert b.mem().rule_allowed is None
    run(b)
    assert FaultCode.EMERGENCY_SHUTDOWN not in b.causes[1]


def test_another_message_goes_to_the_back_end_as_it_is() -> None:
    b = bench("emergency-input")
    own = tuple(
        Rule(**{f: getattr(r, f) for f in r.__struct_fields__ if f != "message"}, message="Gate closed" if r.message else "")
        for r in b.spec.rules
    )
    b = Bench(spec_of(station={"rules": own, "rules_version": rules_version(own)}, inputs=4))
    run(b)
    b.board(inputs=0b1000)
    run(b)
    run(b)
    assert b.causes[1] == {FaultCode.EVENT_ACTION: "Gate closed (event action 1)"}


# -- what else a rule may do ----------------------------------------------------------------------------------------


def toml(text: str, **ac: Any) -> Bench:
    found = rule_specs(read_rules(text, "test"))
    b = Bench(spec_of(station={"rules": found, "rules_version": rules_version(found)}, inputs=4, outputs=4, **ac))
    run(b)
    return b


KEY = """
[[rule]]
condition = "input_high"
condition_input = 1
action = "enable_charging"
status = "enable"
timer_ms = 10
"""


def test_a_release_that_ends_ends_the_session_that_it_has_given() -> None:
    b = toml(KEY, release=ReleaseMode.REMOTE)
    b.plug()
    b.board(inputs=1)
    run(b)
    run(b)
    assert b.evse().auth is AuthState.GRANTED
    b.work(tx_open=True, source=AuthSource.RULE, stage=Stage.CURRENT)
    b.board(inputs=0)
    run(b)
    t = run(b)
    assert t.conns[0].stop_wanted is StopReason.LOCAL


def test_a_session_that_somebody_else_has_released_goes_on() -> None:
    b = toml(KEY, release=ReleaseMode.REMOTE)
    b.plug()
    b.work(tx_open=True, source=AuthSource.API, auth_source=AuthSource.API, stage=Stage.CURRENT)
    for inputs in (1, 0, 0):
        b.board(inputs=inputs)
        assert run(b).conns[0].stop_wanted is None


def test_a_withdrawn_release_ends_any_session_and_forgets_a_permission() -> None:
    b = toml('[[rule]]\ncondition = "input_low"\ncondition_input = 1\naction = "enable_charging"\nstatus = "disable"\n')
    b.plug()
    b.work(auth=AuthState.GRANTED, auth_source=AuthSource.RFID)
    run(b)
    assert b.evse().auth is AuthState.NONE
    b.work(tx_open=True, source=AuthSource.RFID, stage=Stage.CURRENT)
    assert run(b).conns[0].stop_wanted is StopReason.LOCAL


def test_other_rules_forget_what_the_old_ones_began() -> None:
    b = toml('[[rule]]\nevent = "ev_connected"\naction = "output_high"\noutput = 2\n')
    b.plug()
    run(b)
    assert out(b) == 0b10
    other = rule_specs(read_rules('[[rule]]\nevent = "rfid_denied"\naction = "output_high"\noutput = 1\n', "x"))
    b.spec = spec_of(station={"rules": other, "rules_version": rules_version(other)}, inputs=4, outputs=4)
    run(b)
    assert (out(b), b.mem().rule_runs) == (0, ())
    run(b, before=refuse)
    assert out(b) == 0b01
    b.spec = spec_of(inputs=4, outputs=4)
    run(b)
    assert (out(b), b.mem().rule_version) == (0, 0)


def test_a_silent_board_is_neither_high_nor_low() -> None:
    b = bench("external-specifications")
    b.board(inputs=0b010)
    for _ in range(30):
        run(b)
    b.silent.add(1)
    for _ in range(30):
        run(b)
    assert b.mem().rule_allowed is None
    assert b.mem().lim_rule_ma == -1


def test_rules_of_one_evse_leave_the_others_alone() -> None:
    found = rule_specs(read_rules('[[rule]]\nevse = 2\naction = "output_high"\noutput = 1\n', "x"))
    b = Bench(spec_of(n=2, station={"rules": found, "rules_version": rules_version(found)}, outputs=1))
    run(b)
    assert (b.mem(1).out_outputs, b.mem(2).out_outputs) == (0, 1)


def test_status_b_is_the_pilot_of_the_board() -> None:
    b = toml('[[rule]]\ncondition = "status_c"\naction = "output_high"\noutput = 1\ntimer_ms = 10\n')
    b.plug()
    run(b)
    assert out(b) == 0
    b.board(cp=CpState.C)
    run(b)
    assert out(b) == 1


def test_no_external_release_means_out_of_service_and_a_running_transaction_is_only_paused() -> None:
    b = bench("external-specifications")

    def operative() -> bool:
        t = b.tick()
        availability.apply(t, t.conns[0])
        assert not availability.allowed(t.conns[0])
        return t.conns[0].operative

    assert not operative()
    b.plug()
    b.work(tx_open=True, stage=Stage.CURRENT)
    assert operative()


def by_hand(b: Bench, output: int, level: str) -> list[str]:
    """One tick with a command; the reasons of refusals."""
    b.now += NS_PER_MS
    t = b.tick()
    rules.set_output(t, SetOutput(seq=1, evse_id=1, output=output, level=level))
    rules.step(t)
    b.keep(t)
    return [str(e.data["why"]) for e in t.events if e.kind == "command.refused"]


def test_an_output_set_by_hand_goes_before_the_rules_until_it_is_given_back() -> None:
    b = bench("led-socket-green")
    assert out(b) == 0b010
    assert by_hand(b, 2, "low") == []
    assert seen(b, 3) == [0] * 3
    by_hand(b, 1, "floating")
    by_hand(b, 4, "high")
    run(b)
    assert (out(b), b.mem().out_floating) == (0b1000, 0b0001)
    for output in (1, 2, 4):
        by_hand(b, output, "rules")
    run(b)
    assert (out(b), b.mem().out_floating) == (0b010, 0)


def test_outputs_that_are_not_there_are_refused() -> None:
    b = bench("led-socket-green")
    assert by_hand(b, 5, "high") == ["output 5: the board has 4 digital outputs"]
    assert by_hand(b, 1, "up") == ["level 'up': possible are high, low, floating, rules"]
    t = b.tick()
    rules.set_output(t, SetOutput(seq=1, evse_id=2, output=1, level="low"))
    assert t.events[0].data["why"] == "there is no AC EVSE 2"


@pytest.mark.parametrize("what", ["in", "out", "failed"])
def test_learning_a_card_is_an_event(what: str) -> None:
    b = toml(f'[[rule]]\nevent = "teach_{"in_failed" if what == "failed" else what}"\naction = "output_high"\noutput = 1\n')
    b.now += NS_PER_MS
    t = b.tick()
    t.inputs = replace(t.inputs, commands=(NoteTeaching(seq=1, evse_id=0, what=what),))
    rules.step(t)
    b.keep(t)
    assert out(b) == 1


def test_errors_and_cards_are_events() -> None:
    def rule(event: str, output: int) -> str:
        return f'[[rule]]\nevent = "{event}"\naction = "output_high"\noutput = {output}\ntimer_ms = 10\n'

    b = toml(rule("new_error", 1) + rule("error_resolved", 2) + rule("rfid_release", 3) + rule("rfid_denied", 4))

    def tell(kind: str, **data: Any) -> int:
        run(b, before=lambda t, c: t.event(kind, 1, **data))
        return out(b)

    assert tell("fault.raised", code=FaultCode.METER_LOST.value) == 0b0001
    assert tell("fault.cleared", code=FaultCode.METER_LOST.value) == 0b0010
    assert tell("fault.raised", code=FaultCode.DYNAMIC_LIMIT_IGNORED.value) == 0
    assert tell("session.authorised", source="rfid") == 0b0100
    assert tell("session.authorised", source="remote") == 0
    b.work(auth_source=AuthSource.RFID)
    assert tell("session.denied") == 0b1000
    assert b.mem().rule_token_invalid
    assert tell("session.authorised", source="rfid") == 0b0100
    assert not b.mem().rule_token_invalid
