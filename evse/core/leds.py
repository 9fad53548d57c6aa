"""Lamps and buzzer within a tick: which conditions stand, since when, and what the lamps show at this moment.

A lamp shows the first standing condition (order of `LedCondition`) that its profile has a behaviour for and whose duration
is not over. Everything follows from the state, the moment at which each condition began, and the time: a late tick shows
what is right now. Outputs that an event action or a person has taken are left alone.
"""

from __future__ import annotations

from msgspec.structs import replace

from evse.core.context import START_GRACE, Conn, Tick
from evse.core.state import AuthState, Stage
from evse.domain.fault_table import FAULTS
from evse.domain.faults import FaultRecord, LatchRule
from evse.domain.leds import PERIOD_MS, Lamp, LedBehaviour, LedCondition, LedMode, LedSpec
from evse.domain.rules import SLOT_OUTPUT
from evse.domain.signals import CpState
from evse.domain.station import EvseKind
from evse.units import NS_PER_MS, DurationNs, Instant, ms, s

CARD_SHOWN = s(3)
"""So long the answer to a card stands; a profile may show it for less."""

BLINK_MS = 600
"""Period of a lamp that blinks a number of times to answer a card."""

ANSWERS = (LedCondition.AUTH_ACCEPTED, LedCondition.AUTH_REJECTED)

LIT = 128
"""A digital output is on when its colour has at least half of full brightness."""

SOUNDS: dict[LedCondition, tuple[tuple[DurationNs, DurationNs], ...]] = {
    LedCondition.AUTH_PENDING: ((ms(0), ms(50)),),
    LedCondition.AUTH_ACCEPTED: ((ms(0), ms(300)),),
    LedCondition.AUTH_REJECTED: ((ms(0), ms(100)), (ms(200), ms(300)), (ms(400), ms(500))),
}
"""Tones of the buzzer: (from, until) after the condition began. Read: short. Accepted: long. Refused: three times."""

Marks = tuple[tuple[LedCondition, Instant], ...]


def step(t: Tick) -> None:
    """Set the lamps of every AC EVSE: `out_led_rgb`, `out_rfid_rgb`, `out_buzzer`, and the outputs that are lamps."""
    leds = t.spec.leds
    common, own = specs_of(leds, 0), {led.evse_id for led in leds}
    for conn in t.conns:
        if conn.spec.kind is EvseKind.AC:
            if t.events:
                _note_cards(t, conn)
            conn.a.out_marks = marks(conn.a.out_marks, standing(t, conn), t.now)
            _show(t, conn, specs_of(leds, conn.spec.evse_id) if conn.spec.evse_id in own else common)


def _show(t: Tick, conn: Conn, leds: list[LedSpec]) -> None:
    a = conn.a
    a.out_led_rgb = a.out_rfid_rgb = 0
    a.out_buzzer = False
    outputs = 0
    for led in leds:
        rgb = colour(led, a.out_marks, t.now, t.spec.light_pct, t.spec.blink_repeat)
        if led.lamp is Lamp.STATUS:
            a.out_led_rgb = rgb
        elif led.lamp is Lamp.READER:
            a.out_rfid_rgb = rgb
            a.out_buzzer = led.buzzer and sounds(a.out_marks, t.now)
        else:
            outputs |= lines(led, rgb)
    taken = a.out_hand
    for slot, _ in a.rule_by:
        if slot > SLOT_OUTPUT:
            taken |= 1 << (slot - SLOT_OUTPUT - 1)
    a.out_outputs = (a.out_outputs & taken) | (outputs & ~taken)


def specs_of(leds: tuple[LedSpec, ...], evse_id: int) -> list[LedSpec]:
    """Return the lamps of one EVSE: per lamp the last one that names it, else the last one for all."""
    chosen: dict[tuple[Lamp, tuple[int, ...]], LedSpec] = {}
    for wanted in (0, evse_id) if evse_id else (0,):
        for led in leds:
            if led.evse_id == wanted:
                chosen[led.lamp, led.outputs] = led
    return list(chosen.values())


# -- which conditions stand -----------------------------------------------------------------------------------------


def _note_cards(t: Tick, conn: Conn) -> None:
    for event in t.events:
        if event.evse_id == conn.spec.evse_id:
            if event.kind == "session.authorised":
                conn.a.out_accepted_at, conn.a.out_rejected_at = t.now, 0
            elif event.kind == "session.denied":
                conn.a.out_rejected_at, conn.a.out_accepted_at = t.now, 0


def standing(t: Tick, conn: Conn) -> list[LedCondition]:
    """Return every condition that stands, in the order of `LedCondition`."""
    a, w, c = conn.a, conn.w, LedCondition
    faults = (*t.faults, *w.faults)
    failure, error = _faults(faults) if faults else (False, False)
    found = []
    if conn.b is None and not error and not failure and t.now - t.state.started_at <= START_GRACE:
        found.append(c.INIT)
    if t.inputs.updating:
        found.append(c.UPDATING)
    if failure:
        found.append(c.FAILURE)
    if error:
        found.append(c.ERROR)
    if w.auth is AuthState.WAITING:
        found.append(c.AUTH_PENDING)
    if a.out_rejected_at and t.now - a.out_rejected_at < _answered(t):
        found.append(c.AUTH_REJECTED)
    if a.out_accepted_at and t.now - a.out_accepted_at < _answered(t):
        found.append(c.AUTH_ACCEPTED)
    if not conn.operative:
        found.append(c.DEACTIVATED)
    if w.tx_open or w.lease:
        found += _energy(conn)
    if w.plugged:
        found.append(c.CONNECTED)
    if w.reserved_deadline:
        found.append(c.RESERVED)
    if w.stage is Stage.EMPTY and conn.operative and not conn.blocked:
        found.append(c.READY)
    return found


def _answered(t: Tick) -> DurationNs:
    """How long the answer to a card stands."""
    return max(CARD_SHOWN, ms(t.spec.blink_repeat * BLINK_MS))


def _energy(conn: Conn) -> list[LedCondition]:
    """Return what a vehicle in pilot state C or D takes or waits for."""
    w, cp = conn.w, conn.b.cp if conn.b is not None else CpState.UNKNOWN
    if cp is not CpState.C and cp is not CpState.D:
        return []
    if w.lease and w.stage is Stage.CURRENT and w.offered_ma > 0:
        return [LedCondition.CHARGE_1 if cp is CpState.C else LedCondition.VENTILATION_1]
    if not w.tx_open:
        return []
    return [LedCondition.CHARGE_REQUEST if cp is CpState.C else LedCondition.VENTILATION_REQUEST]


def _faults(records: tuple[FaultRecord, ...]) -> tuple[bool, bool]:
    """Return (a fault that a person must clear stands, another fault stands); warnings are none."""
    failure = error = False
    for record in records:
        spec = FAULTS[record.code]
        if spec.faulted:
            failure = failure or spec.latch is LatchRule.MANUAL
            error = error or spec.latch is not LatchRule.MANUAL
    return failure, error


def marks(before: Marks, now_standing: list[LedCondition], now: Instant) -> Marks:
    """Return the standing conditions with the moment at which each began; ``before`` itself when they are the same."""
    if [condition for condition, _ in before] == now_standing:
        return before
    since = dict(before)
    return tuple((condition, since.get(condition, now)) for condition in now_standing)


# -- what is shown --------------------------------------------------------------------------------------------------


def shown(led: LedSpec, marks_: Marks, now: Instant, blinks: int = 0) -> tuple[LedBehaviour, DurationNs] | None:
    """Return the behaviour that counts now and its age; None = the lamp is dark. ``blinks``: a card is answered so often."""
    for condition, since in marks_:
        for behaviour in led.behaviours:
            if behaviour.condition is condition:
                if blinks and condition in ANSWERS:
                    behaviour = replace(
                        behaviour, mode=LedMode.BLINK_SLOW, period_ms=BLINK_MS, duration_ms=blinks * BLINK_MS
                    )
                if not behaviour.duration_ms or now - since < behaviour.duration_ms * NS_PER_MS:
                    return behaviour, now - since
                break
    return None


def colour(led: LedSpec, marks_: Marks, now: Instant, light_pct: int = 100, blinks: int = 0) -> int:
    """Return the colour of a lamp at this moment, 0xRRGGBB; ``light_pct`` = brightness of the whole station."""
    found = shown(led, marks_, now, blinks)
    if found is None:
        return 0
    behaviour, age = found
    # outputs are on or off: brightness is for lamps that have one
    pct = 100 if led.lamp is Lamp.OUTPUTS else behaviour.brightness_pct * light_pct // 100
    share = level_permille(behaviour, age) * pct
    if share == 100_000 or not share:
        return behaviour.rgb if share else 0
    return sum((behaviour.rgb >> shift & 0xFF) * share // 100_000 << shift for shift in (16, 8, 0))


def level_permille(behaviour: LedBehaviour, age: DurationNs) -> int:
    """Return how bright a behaviour is after ``age`` ns, in permille of its own brightness."""
    period = (behaviour.period_ms or PERIOD_MS[behaviour.mode]) * NS_PER_MS
    if behaviour.mode is LedMode.SOLID or period <= 0:
        return 1000
    at = age % period
    if behaviour.mode is not LedMode.FADE:
        return 1000 if 2 * at < period else 0
    low = min(1000, behaviour.brightness_min_pct * 1000 // max(1, behaviour.brightness_pct))
    rise = 2 * at if 2 * at < period else 2 * (period - at)
    return low + (1000 - low) * rise // period


def lines(led: LedSpec, rgb: int) -> int:
    """Return the digital outputs that are on for a colour: three are red, green, blue; one is on for any colour."""
    parts = (rgb >> 16 & 0xFF, rgb >> 8 & 0xFF, rgb & 0xFF)
    if len(led.outputs) != len(parts):
        parts = (max(parts),) * 3
    return sum(1 << (number - 1) for number, part in zip(led.outputs, parts, strict=False) if part >= LIT)


def sounds(marks_: Marks, now: Instant) -> bool:
    """Return True while the buzzer sounds for a card."""
    return any(
        start <= now - since < end for condition, since in marks_ for start, end in SOUNDS.get(condition, ())
    )
