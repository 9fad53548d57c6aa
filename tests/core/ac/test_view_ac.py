"""The AC side as people see it: what is not known is null, what is known is what the modules decided."""

from __future__ import annotations

from evse.core.ac import lock, proximity, rcd
from evse.core.ac import view as ac_view
from evse.core.ac.limits import set_dynamic
from evse.core.context import Conn, Tick
from evse.core.inputs import SetDynamicLimit
from evse.domain.ac import HlcMode, LockMode, PhaseSwitchSpec, RcdSpec, VentilationSpec
from evse.domain.readings import MeterValues
from evse.domain.view_ac import AcView
from tests.core.ac.bench import Bench, spec_of


def seen(bench: Bench, *, plugged: bool = False) -> AcView:
    """The view after one tick of the protective modules."""
    found: list[AcView] = []

    def look(t: Tick, conn: Conn) -> None:
        found.append(ac_view.view(t, conn))

    if plugged:
        bench.plug()
    bench.step(proximity.observe, rcd.observe, lock.observe, look)
    return found[0]


def test_a_silent_board_leaves_everything_unknown() -> None:
    bench = Bench(spec_of(inputs=4, outputs=2, rcd=RcdSpec(fitted=True, test=True), hlc=HlcMode.OPTIONAL))
    bench.silent.add(1)
    side = seen(bench)
    assert (side.pilot, side.duty_bp, side.cable_ma, side.v2g) == ("?", None, None, None)
    assert (side.inputs, side.input_mv, side.phases) == ((), (), 0)
    assert side.rcd is not None and (side.rcd.state, side.rcd.passed, side.rcd.tested_at) == ("unknown", None, None)
    assert side.lock is not None and side.lock.feedback == "unknown"


def test_inputs_and_outputs_count_from_one_and_end_with_the_configured_number() -> None:
    bench = Bench(spec_of(inputs=3, outputs=4))
    bench.board(inputs=0b11010, input_mv=(0, 11_500, 200, 12_000))
    bench.memory(out_outputs=0b0001, out_floating=0b0010, out_pulsing=0b0100, out_hand=0b0001)
    side = seen(bench)
    assert side.inputs == (False, True, False)
    assert side.input_mv == (0, 11_500, 200)
    assert side.outputs == ("high", "floating", "pulsing", "low")
    assert side.outputs_by_hand == (True, False, False, False)


def test_parts_that_are_not_fitted_are_null() -> None:
    side = seen(Bench(spec_of(socket=False, lock_mode=LockMode.NEVER, cable_ma=20_000)))
    assert (side.lock, side.rcd, side.ventilation, side.rotary, side.hlc_session) == (None,) * 5
    assert (side.cable_ma, side.physical_ma, side.socket) == (20_000, 20_000, False)


def test_named_limits_with_age_and_staleness() -> None:
    bench = Bench(spec_of(fallback_s=60, fallback_ma=8_000))

    def put(t: Tick, conn: Conn) -> None:
        set_dynamic(t, SetDynamicLimit(seq=1, evse_id=1, name="ems", current_ma=13_000))

    bench.step(put)
    bench.now += 61_000_000_000
    side = seen(bench)
    assert [(x.name, x.current_ma, x.age_s >= 61, x.stale) for x in side.dynamic] == [("ems", 13_000, True, True)]


def test_phases_of_the_meter_and_of_the_switch() -> None:
    bench = Bench(spec_of(evse={"has_meter": True}, phase_switch=PhaseSwitchSpec(enabled=True, default_phases=1)))
    bench.meters[1] = MeterValues(energy_import_wh=1, current_l_ma=(15_000, 0, 0), voltage_l_mv=(230_000, 231_000, 232_000))
    side = seen(bench, plugged=True)
    assert (side.phase_switch, side.phases_wired, side.phases_next, side.phases) == (True, 3, 1, 0)
    assert side.current_l_ma == (15_000, 0, 0)
    assert side.voltage_l_mv == (230_000, 231_000, 232_000)


def test_an_external_ventilation_says_what_the_other_program_says() -> None:
    bench = Bench(spec_of(ventilation=VentilationSpec(enabled=True, external=True)))
    vent = seen(bench).ventilation
    assert vent is not None and (vent.external, vent.available, vent.on) == (True, False, False)
    vent = seen(Bench(spec_of(ventilation=VentilationSpec(enabled=True)))).ventilation
    assert vent is not None and (vent.external, vent.available) == (False, True)
