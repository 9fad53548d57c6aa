"""What AC EVSEs ask the planner for: read from the state after a tick, whenever the shell considers a plan.

``wanted_ma`` is what every limit but the plan and the site allows (`AcWork.lim_ask_ma`): before charging that is cable,
wiring and limits set from outside. What the vehicle then draws is for the planner to judge (`evse.planner.feedback`).
"""

from __future__ import annotations

from evse.core.ac.cp import MIN_MA
from evse.core.ac.feedback import meaning
from evse.core.ac.memory import AcState
from evse.core.inputs import EvseInputs, Inputs
from evse.core.state import EvseState, Stage, StationState
from evse.domain.ac import AcSpec, FeedbackType
from evse.domain.limits import CurrentRequest
from evse.domain.readings import MeterValues, Sample
from evse.domain.station import EvseKind, StationSpec
from evse.units import NS_PER_MS, Instant

IN_USE_MA = 1_000
"""A phase carries current from here on; meters show some 100 mA of their own."""

CLEAR_MA = 3_000
"""So much on line 1, and a line without current is one that the vehicle does not use."""

ROTATIONS = ("RST", "RTS", "SRT", "STR", "TRS", "TSR")

_ASKING = frozenset({Stage.AUTHORISED, Stage.CURRENT})


def current_requests(spec: StationSpec, state: StationState, inputs: Inputs, now: Instant) -> tuple[CurrentRequest, ...]:
    """Return one request for each AC EVSE, in the order of ``spec.evses``."""
    given = {e.evse_id: e for e in inputs.evses}
    result = []
    for evse, w in zip(spec.evses, state.evses, strict=True):
        if evse.kind is EvseKind.AC and evse.ac is not None and w.ac is not None:
            result.append(_request(spec, evse.ac, w, w.ac, given.get(evse.evse_id), now))
    return tuple(result)


def _request(
    spec: StationSpec, ac: AcSpec, w: EvseState, a: AcState, given: EvseInputs | None, now: Instant
) -> CurrentRequest:
    known = ac.phase_rotation in ROTATIONS
    lines = _lines(ac, a) if known else 3  # which phase is not known: counted on all of them
    meter = _meter(spec, given, now)
    by_line = None if meter is None else meter.current_l_ma
    cut = _cut(spec, ac, given, now)
    draw = (0, 0, 0) if cut else _draw(meter, lines)
    asks = w.tx_open and w.stage in _ASKING and not a.cp_pause
    return CurrentRequest(
        evse_id=w.evse_id,
        wanted_ma=a.lim_ask_ma if asks else 0,
        lines=lines,
        rotation=ac.phase_rotation if known else "",
        min_ma=MIN_MA,
        offered_ma=w.offered_ma,
        measured_ma=None if draw is None else max(draw),
        draw_l_ma=None if draw is None else _on_grid(ac.phase_rotation if known else "", draw),
        lines_used=0 if by_line is None else _used(by_line, known=known),
        cut=cut,
        charging_since=w.charging_since,
        other_lines=_other_lines(ac, a) if w.session_id else 0,
        other_ma=a.lim_other_ma if asks else 0,
        session=w.session_id,
        switching=bool(a.ph_want),
        weight_pct=ac.weight_pct,
        priority=ac.priority,
    )


def _used(by_line: tuple[int, int, int], *, known: bool) -> int:
    """Return how many lines the vehicle charges on, 0 = that cannot be told. All three are told without a known rotation."""
    in_use = [ma >= IN_USE_MA for ma in by_line]
    if all(in_use):
        return 3
    if not known or by_line[0] < CLEAR_MA or in_use[2]:
        return 0
    return 2 if in_use[1] else 1


def _other_lines(ac: AcSpec, a: AcState) -> int:
    """Return what a switch by the planner would give, 0 = it may not switch. As `evse.core.ac.phases.planned`."""
    if not ac.phase_switch.enabled or not ac.phase_switch.auto or ac.ventilation.enabled or ac.phases < 3:
        return 0
    if ac.rotary and not (0 <= a.lim_rotary < len(ac.rotary_table) and ac.rotary_table[a.lim_rotary].phases == 3):
        return 0
    return 1 if (a.ph_set or ac.phase_switch.default_phases) == 3 else 3


def _lines(ac: AcSpec, a: AcState) -> int:
    """Return how many phases the next closing gives, as `evse.core.ac.phases.usable`, from what is remembered."""
    full = ac.phases
    if ac.rotary and 0 <= a.lim_rotary < len(ac.rotary_table):
        full = min(full, ac.rotary_table[a.lim_rotary].phases)
    if ac.phase_switch.enabled:
        full = min(full, a.ph_set or ac.phase_switch.default_phases)
    return max(1, min(3, full))


def _meter(spec: StationSpec, given: EvseInputs | None, now: Instant) -> MeterValues | None:
    """Return the values of the meter, None when they are missing or too old."""
    reading = given.meter if given is not None else None
    if not isinstance(reading, Sample) or now - reading.at > spec.meter_max_age_ms * NS_PER_MS:
        return None
    return reading.value


def _cut(spec: StationSpec, ac: AcSpec, given: EvseInputs | None, now: Instant) -> bool:
    """Return True when the contactor is known to be open: by its auxiliary contact, without one by the board's word."""
    board = given.board if given is not None else None
    if not isinstance(board, Sample) or now - board.at > spec.board_max_age_ms * NS_PER_MS:
        return False
    closed = meaning(board.value.contactor, ac.contactor_feedback)
    return (closed is False or ac.contactor_feedback is FeedbackType.NONE) and not board.value.lease_active


def _draw(meter: MeterValues | None, lines: int) -> tuple[int, int, int] | None:
    """Return the currents on the lines of the vehicle by its meter, None when nobody knows."""
    if meter is None:
        return None
    if meter.current_l_ma is not None:
        return meter.current_l_ma
    if meter.current_ma is None:
        return None
    one = meter.current_ma
    return one, one if lines > 1 else 0, one if lines > 2 else 0


def _on_grid(rotation: str, draw: tuple[int, int, int]) -> tuple[int, int, int]:
    """Move currents from lines to grid phases; an unknown rotation counts the largest on each."""
    if not rotation:
        return (max(draw),) * 3
    grid = [0, 0, 0]
    for letter, ma in zip(rotation, draw, strict=True):
        grid["RST".index(letter)] = ma
    return grid[0], grid[1], grid[2]
