"""Lamps and buzzer: conditions and their order, modes, brightness, duration, outputs."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from evse.core import leds
from evse.core.leds import Marks, colour, level_permille, lines, marks, sounds, specs_of, standing
from evse.core.state import AuthState
from evse.domain.faults import FaultCode
from evse.domain.leds import COLOURS, Lamp, LedBehaviour, LedCondition, LedMode, LedSpec
from evse.domain.rules import SLOT_OUTPUT
from evse.domain.signals import CpState
from evse.units import TICK_NS, ms, s
from tests._support.examples import examples
from tests.core.ac.bench import Bench, spec_of

C, M = LedCondition, LedMode


def led(*behaviours: LedBehaviour, **more: Any) -> LedSpec:
    return LedSpec(behaviours=behaviours, **more)


def look(condition: LedCondition, mode: LedMode = M.SOLID, name: str = "green", **more: Any) -> LedBehaviour:
    return LedBehaviour(condition=condition, mode=mode, rgb=COLOURS[name], **more)


def lit_ms(behaviour: LedBehaviour, until_ms: int) -> list[tuple[int, int]]:
    """On and off times in ms."""
    found: list[tuple[int, int]] = []
    for at in range(until_ms):
        on = level_permille(behaviour, ms(at)) > 0
        if on and found and found[-1][1] == at:
            found[-1] = (found[-1][0], at + 1)
        elif on:
            found.append((at, at + 1))
    return found


def test_blinking_has_the_times_of_the_manual() -> None:
    """Charge Control C, table 49: slow 1 s on, 1 s off; fast 100 ms on, 100 ms off."""
    assert lit_ms(look(C.CHARGE_1, M.BLINK_SLOW), 4000) == [(0, 1000), (2000, 3000)]
    assert lit_ms(look(C.ERROR, M.BLINK_FAST), 600) == [(0, 100), (200, 300), (400, 500)]
    assert lit_ms(look(C.ERROR, M.BLINK_FAST, period_ms=500), 1000) == [(0, 250), (500, 750)]
    assert lit_ms(look(C.READY), 10) == [(0, 10)]


def test_a_fade_swells_and_falls_between_its_ends() -> None:
    fade = look(C.CHARGE_1, M.FADE, brightness_pct=80, brightness_min_pct=20, period_ms=1000)
    values = [level_permille(fade, ms(t)) for t in range(0, 1001, 250)]
    assert values == [250, 625, 1000, 625, 250]
    assert colour(led(fade), ((C.CHARGE_1, 0),), ms(0)) == 255 * 20 // 100 << 8
    assert colour(led(fade), ((C.CHARGE_1, 0),), ms(500)) == 255 * 80 // 100 << 8


def test_a_duration_that_is_over_shows_what_else_stands() -> None:
    lamp = led(look(C.AUTH_ACCEPTED, name="white", duration_ms=1000), look(C.CONNECTED, name="blue"))
    standing_since: Marks = ((C.AUTH_ACCEPTED, ms(100)), (C.CONNECTED, ms(50)))
    assert colour(lamp, standing_since, ms(1099)) == 0xFFFFFF
    assert colour(lamp, standing_since, ms(1100)) == 0x0000FF
    assert colour(led(), standing_since, ms(100)) == 0


def test_a_card_is_answered_by_as_many_blinks_as_the_key_says() -> None:
    lamp = led(look(C.AUTH_REJECTED, name="red", duration_ms=1000), look(C.CONNECTED, name="blue"))
    since: Marks = ((C.AUTH_REJECTED, ms(50)), (C.CONNECTED, ms(50)))
    shown = "".join({0xFF0000: "r", 0: ".", 0x0000FF: "b"}[colour(lamp, since, ms(50 + at), 100, 3)] for at in range(0, 2100, 100))
    assert shown == "rrr...rrr...rrr...bbb"
    assert {colour(lamp, ((C.CONNECTED, 0),), ms(at), 100, 3) for at in range(0, 2100, 100)} == {0x0000FF}
    b = Bench(spec_of())
    b.memory(out_rejected_at=b.now - s(5))
    assert C.AUTH_REJECTED not in found(b)
    b.spec = replace(b.spec, blink_repeat=10)  # 6 s
    assert C.AUTH_REJECTED in found(b)


def test_brightness_of_lamp_and_station_multiply() -> None:
    lamp = led(look(C.READY, name="white", brightness_pct=50))
    assert colour(lamp, ((C.READY, 0),), 0) == 0x7F7F7F
    assert colour(lamp, ((C.READY, 0),), 0, 50) == 0x3F3F3F
    assert colour(lamp, ((C.READY, 0),), 0, 0) == 0
    on_outputs = led(look(C.READY, name="white", brightness_pct=10), lamp=Lamp.OUTPUTS, outputs=(1, 2, 3))
    assert lines(on_outputs, colour(on_outputs, ((C.READY, 0),), 0, 5)) == 0b111


@pytest.mark.parametrize(
    ("outputs", "name", "expected"),
    [
        ((1, 2, 3), "red", 0b001), ((1, 2, 3), "yellow", 0b011), ((1, 2, 3), "magenta", 0b101), ((3, 1, 2), "red", 0b100),
        ((1, 2, 3), "black", 0), ((4,), "blue", 0b1000), ((4,), "black", 0),
    ],
)  # fmt: skip
def test_outputs_are_red_green_and_blue_or_one_lamp(outputs: tuple[int, ...], name: str, expected: int) -> None:
    assert lines(led(lamp=Lamp.OUTPUTS, outputs=outputs), COLOURS[name]) == expected


def test_the_own_lamp_of_an_evse_wins() -> None:
    common, own, reader = led(), led(look(C.READY), evse_id=2), led(lamp=Lamp.READER)
    assert specs_of((own, common, reader), 2) == [own, reader]
    assert specs_of((own, common, reader), 1) == [common, reader]


def test_the_buzzer_answers_a_card() -> None:
    def heard(condition: LedCondition) -> str:
        return "".join("#" if sounds(((condition, 0),), ms(t)) else "." for t in range(0, 600, 50))

    assert heard(C.AUTH_PENDING) == "#..........."
    assert heard(C.AUTH_ACCEPTED) == "######......"
    assert heard(C.AUTH_REJECTED) == "##..##..##.."
    assert heard(C.CONNECTED) == "............"


# -- in a tick ------------------------------------------------------------------------------------------------------

EVERY = led(*(LedBehaviour(condition=c, rgb=1 + i) for i, c in enumerate(LedCondition)))


def found(b: Bench) -> list[LedCondition]:
    t = b.tick()
    return standing(t, t.conns[0])


@pytest.mark.parametrize(
    ("setup", "first"),
    [
        (lambda b: None, C.READY),
        (lambda b: b.work(reserved_deadline=b.now + s(60)), C.RESERVED),
        (lambda b: b.plug(), C.CONNECTED),
        (lambda b: b.work(auth=AuthState.WAITING), C.AUTH_PENDING),
        (lambda b: b.memory(out_accepted_at=b.now - s(1)), C.AUTH_ACCEPTED),
        (lambda b: b.memory(out_accepted_at=b.now - s(3)), C.READY),
        (lambda b: b.memory(out_rejected_at=b.now - s(1)), C.AUTH_REJECTED),
        (lambda b: b.fault(FaultCode.METER_LOST), C.ERROR),
        (lambda b: b.fault(FaultCode.CONTACTOR_WELDED), C.FAILURE),
        (lambda b: b.fault(FaultCode.DYNAMIC_LIMIT_IGNORED), C.READY),
    ],
)
def test_conditions(setup: Any, first: LedCondition) -> None:
    b = Bench(spec_of())
    setup(b)
    assert found(b)[0] is first


@pytest.mark.parametrize(
    ("cp", "offered_ma", "lease", "first"),
    [
        (CpState.C, 16_000, True, C.CHARGE_1), (CpState.D, 16_000, True, C.VENTILATION_1),
        (CpState.C, 0, True, C.CHARGE_REQUEST), (CpState.D, 0, False, C.VENTILATION_REQUEST),
        (CpState.C, 16_000, False, C.CHARGE_REQUEST), (CpState.B, 16_000, False, C.CONNECTED),
    ],
)  # fmt: skip
def test_what_flows_and_what_is_asked_for(cp: CpState, offered_ma: int, lease: bool, first: LedCondition) -> None:
    b = Bench(spec_of())
    b.plug()
    b.energise(on=True)
    b.board(cp=cp)
    b.work(offered_ma=offered_ma, lease=lease)
    assert found(b)[0] is first


def test_a_silent_board_is_init_only_at_the_start() -> None:
    b = Bench(spec_of())
    b.silent.add(1)
    assert found(b)[0] is C.INIT
    b.now += s(6)
    assert C.INIT not in found(b)


def test_lamps_of_outputs_leave_what_rules_and_people_have_taken() -> None:
    lamp = led(look(C.READY, name="white"), lamp=Lamp.OUTPUTS, outputs=(1, 2, 3))
    b = Bench(spec_of(station={"leds": (lamp, EVERY)}, outputs=4))
    b.step(station=leds.step)
    assert b.mem().out_outputs == 0b0111
    assert b.mem().out_led_rgb == 1 + list(LedCondition).index(C.READY)
    b.memory(out_hand=0b001, rule_by=((SLOT_OUTPUT + 2, 1),), out_outputs=0b1000)
    b.step(station=leds.step)
    assert b.mem().out_outputs == 0b0100


def test_what_began_keeps_its_beginning_and_late_ticks_show_the_right_moment() -> None:
    lamp = led(look(C.CONNECTED, M.BLINK_SLOW))
    b = Bench(spec_of(station={"leds": (lamp,)}))
    b.step(station=leds.step)
    b.plug()
    b.step(station=leds.step)
    begin = b.now
    for dt in (TICK_NS, ms(1), s(3), ms(777), s(10)):
        b.step(station=leds.step, dt=dt)
        assert (b.mem().out_led_rgb > 0) is ((b.now - begin) % s(2) < s(1))


@settings(max_examples=examples(200), deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from(LedCondition), st.integers(0, 10**12)), max_size=6, unique_by=lambda x: x[0]),
    st.lists(
        st.builds(
            LedBehaviour, condition=st.sampled_from(LedCondition), mode=st.sampled_from(LedMode),
            rgb=st.integers(0, 0xFFFFFF), brightness_pct=st.integers(0, 100), brightness_min_pct=st.integers(0, 100),
            period_ms=st.integers(0, 60_000), duration_ms=st.integers(0, 60_000),
        ),
        max_size=8,
    ),
    st.integers(0, 100),
    st.integers(0, 10**12),
)  # fmt: skip
def test_any_profile_gives_a_colour(before: list[tuple[LedCondition, int]], rows: list[LedBehaviour], pct: int, age: int) -> None:
    now = 10**12 + age
    rgb = colour(led(*rows), tuple(before), now, pct)
    assert 0 <= rgb <= 0xFFFFFF
    if pct == 0 or not before:
        assert rgb == 0
    again = marks(tuple(before), [c for c, _ in before], now)
    assert again == tuple(before)
