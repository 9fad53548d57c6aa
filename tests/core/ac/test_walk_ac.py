"""Random walks of AC EVSEs: any readings and commands in any order, ticks 1 ms to 10 s apart, and the laws hold on each."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from evse.core.gate import gate
from evse.core.inputs import (
    AuthorizeResult,
    ClearFault,
    EvseInputs,
    ForceUnlock,
    HlcRequest,
    Inputs,
    LostDevice,
    NoteTeaching,
    ReserveEvse,
    SetAvailability,
    SetChargingAllowed,
    SetDynamicLimit,
    SetOutput,
    SetPermission,
    SetPhases,
    SetVentilation,
    StartSession,
    StopSession,
    TokenPresented,
    TransactionStored,
    UnlockConnector,
)
from evse.core.inputs import TestRcd as RunRcdTest
from evse.core.tick import initial_state, tick
from evse.core.view import view
from evse.domain.ac import (
    AcSpec,
    AcStatus,
    FeedbackType,
    HlcMode,
    LockMode,
    PhaseSwitchSpec,
    PpState,
    RcdSpec,
    RcdState,
    ReleaseMode,
    V2gError,
    V2gPhase,
    V2gStatus,
    VentilationSpec,
)
from evse.domain.contactor import ContactorFeedback
from evse.domain.faults import FaultCode
from evse.domain.limits import LimitSource, PowerLimit
from evse.domain.readings import NEVER, GroupStatus, MeterValues, NoData, NoDataReason, Sample
from evse.domain.session import AuthSource, OperationalStatus, StopReason
from evse.domain.signals import BoardStatus, CpState, HlcStep, LockState, SlacState
from evse.domain.station import EvseKind, EvseSpec, GroupSpec, StationSpec
from evse.units import NS_PER_MS, NS_PER_S
from tests._support.examples import examples
from tests._support.laws import LawBook
from tests._support.laws_ac import AcLawBook
from tests.core.ac.bench import WALL0

SLOW = settings(max_examples=examples(40, 15), deadline=None, suppress_health_check=list(HealthCheck))
ids = st.integers(0, 4)
text = st.text(max_size=20)
spacing = st.one_of(
    st.integers(1, 100).map(lambda x: x * NS_PER_MS),
    st.just(50 * NS_PER_MS),
    st.integers(1, 10).map(lambda x: x * NS_PER_S),
)

SPEC = StationSpec(
    station_id="walk",
    evses=(
        EvseSpec(
            evse_id=1,
            kind=EvseKind.AC,
            free_charging=True,
            ac=AcSpec(
                evse_ma=32_000, rcd=RcdSpec(fitted=True, test=True), rotary=True, force_wake_up=True,
                phase_switch=PhaseSwitchSpec(enabled=True, delay_s=10), reject_13=True, wake_up_after_timeout=True,
            ),
        ),
        EvseSpec(
            evse_id=2,
            kind=EvseKind.AC,
            free_charging=True,
            ac=AcSpec(
                evse_ma=63_000, socket=False, cable_ma=32_000, contactor_feedback=FeedbackType.NC, inputs=4, outputs=4,
                ventilation=VentilationSpec(enabled=True), release=ReleaseMode.FREE, hlc=HlcMode.OPTIONAL,
            ),
        ),
        EvseSpec(
            evse_id=3,
            kind=EvseKind.AC,
            has_meter=False,
            ac=AcSpec(
                evse_ma=20_000, contactor_feedback=FeedbackType.NONE, lock_mode=LockMode.PLUGGED, release=ReleaseMode.MQTT,
                ventilation=VentilationSpec(external=True, feedback=FeedbackType.NONE), fallback_ma=8_000, fallback_s=5,
            ),
        ),
        EvseSpec(evse_id=4, home_group=1),
    ),
    groups=(GroupSpec(group_id=1, home_evse=4, modules=2, module_power_w=30_000, module_current_max_ma=100_000),),
    site_limit_w=25_000,
    charge_without_storage=False,
)  # fmt: skip

acs = st.builds(
    AcStatus,
    pp=st.sampled_from([*PpState, PpState.A32, PpState.A32]),
    cp_high_mv=st.none() | st.sampled_from([12_000, 9_000, 6_000, 3_000, 0, -12_000, 7_500, 8_000, 1_000, 99_999]),
    cp_low_mv=st.none() | st.sampled_from([-12_000, -12_000, -11_000, -9_000, 6_000]),
    duty_bp=st.sampled_from([0, 500, 1_000, 5_333, 10_000]),
    relay2=st.sampled_from(ContactorFeedback),
    rcd=st.sampled_from([RcdState.NORMAL, *RcdState]),
    lock_charged=st.booleans(),
    rotary=st.none() | st.integers(-1, 20),
    inputs=st.integers(0, 255),
    input_mv=st.lists(st.integers(0, 12_000), max_size=4).map(tuple),
    ptc_hot=st.booleans(),
    board_temperature_dc=st.none() | st.integers(-500, 1_500),
    v2g=st.builds(
        V2gStatus, phase=st.sampled_from(V2gPhase), finished=st.booleans(), error=st.sampled_from(V2gError),
        ready=st.booleans(), paused=st.booleans(), departure_s=st.none() | st.integers(0, 10**6),
    ),
)  # fmt: skip
boards = st.builds(
    BoardStatus,
    cp=st.sampled_from([CpState.C, *CpState]),
    estop=st.sampled_from([False, False, False, False, True]),
    contactor=st.sampled_from(ContactorFeedback),
    lock=st.sampled_from(LockState),
    slac=st.sampled_from(SlacState),
    step=st.none() | st.sampled_from(HlcStep),
    evcc_id=st.sampled_from(["", "0011223344"]),
    lease_active=st.booleans(),
    temperature_dc=st.none() | st.integers(-500, 1_500),
    stop_button=st.sampled_from([False, False, True]),
    door_open=st.sampled_from([False, False, True]),
    ac=st.none() | acs,
)
meters = st.builds(
    MeterValues,
    power_w=st.none() | st.integers(-100, 50_000),
    energy_import_wh=st.none() | st.integers(0, 10**7),
    current_l_ma=st.none() | st.tuples(*[st.integers(-100, 80_000)] * 3),
)
commands = st.one_of(
    st.builds(TokenPresented, seq=ids, reader=text, id_token=st.just("A") | text, evse_ids=st.lists(ids, max_size=4).map(tuple)),
    st.builds(AuthorizeResult, seq=ids, evse_id=ids, id_token=st.just("A"), accepted=st.booleans()),
    st.builds(StartSession, seq=ids, evse_id=ids, id_token=st.just("A"), source=st.sampled_from(AuthSource)),
    st.builds(StopSession, seq=ids, evse_id=ids, reason=st.sampled_from(StopReason)),
    st.builds(SetAvailability, seq=ids, evse_id=ids, origin=st.just("local"), status=st.sampled_from(OperationalStatus)),
    st.builds(ClearFault, seq=ids, evse_id=ids, code=st.sampled_from([c.value for c in FaultCode])),
    st.builds(UnlockConnector, seq=ids, evse_id=ids),
    st.builds(ReserveEvse, seq=ids, evse_id=ids, id_token=text, until=st.integers(0, 2 * WALL0)),
    st.builds(SetDynamicLimit, seq=ids, evse_id=ids, name=text, current_ma=st.none() | st.integers(-2, 40_000)),
    st.builds(SetPermission, seq=ids, evse_id=ids, mode=st.sampled_from(ReleaseMode), allowed=st.booleans(), hold=st.booleans()),
    st.builds(SetChargingAllowed, seq=ids, evse_id=ids, allowed=st.booleans()),
    st.builds(SetPhases, seq=ids, evse_id=ids, phases=st.sampled_from([1, 3, 2]), delay_s=st.none() | st.integers(9, 12)),
    st.builds(SetVentilation, seq=ids, evse_id=ids, available=st.none() | st.booleans(), on=st.none() | st.booleans()),
    st.builds(ForceUnlock, seq=ids, evse_id=ids, on=st.booleans()),
    st.builds(RunRcdTest, seq=ids, evse_id=ids),
    st.builds(HlcRequest, seq=ids, evse_id=ids, what=st.sampled_from(["renegotiate", "pause", "resume", "reinit", "x"])),
    st.builds(SetOutput, seq=ids, evse_id=ids, output=ids, level=st.sampled_from(["high", "low", "floating", "rules", "x"])),
    st.builds(NoteTeaching, seq=ids, evse_id=ids, what=st.sampled_from(["in", "out", "failed"])),
)
nobody = st.one_of(*[st.none()] * 9, commands)
nothing = st.just(NEVER) | st.just(NoData(reason=NoDataReason.DISCONNECTED, since=0, detail="x" * 300))


def samples(value: st.SearchStrategy[Any], now: int) -> st.SearchStrategy[Any]:
    return st.builds(Sample, value, st.sampled_from([now, now, now, now - 400 * NS_PER_MS])) | nothing


def wild(now: int) -> st.SearchStrategy[Inputs]:
    limits = st.lists(
        st.builds(
            PowerLimit, source=st.sampled_from(LimitSource), evse_id=ids, power_w=st.integers(-10, 40_000), set_at=st.just(0),
            current_ma=st.none() | st.integers(-10, 40_000),
        ),
        max_size=2,
    )  # fmt: skip
    group = GroupStatus(modules_expected=2, modules_present=2, modules_faulty=0, on=False, voltage_mv=0, current_ma=0, available_w=60_000)
    return st.builds(
        Inputs,
        wall=st.just(WALL0 + now),
        evses=st.lists(
            st.builds(EvseInputs, evse_id=st.integers(1, 4), board=samples(boards, now), meter=samples(meters, now)), max_size=5
        ).map(tuple),
        groups=st.just((Sample(group, now),)),
        site_meter=st.just(NEVER),
        limits=limits.map(tuple),
        commands=st.lists(commands, max_size=4).map(tuple),
        storage_ok=st.sampled_from([True, True, False]),
        loop_fault=st.sampled_from(["", "", "", "bug"]),
        lost=st.just(()) | st.just((LostDevice(kind="reader", name="r", evse_ids=(1,)),)),
    )


@SLOW
@given(st.data())
def test_tick_and_gate_are_total_for_any_inputs_of_ac_evses(data: st.DataObject) -> None:
    """L13..L21 and the laws of AC EVSEs for readings nobody would send; no exception, also not from the view."""
    now, book, ac_book = 100 * NS_PER_S, LawBook(deep_every=1), AcLawBook()
    state = initial_state(SPEC, now)
    for _ in range(4):
        now += data.draw(spacing)
        inputs = data.draw(wild(now))
        after, outputs = tick(SPEC, state, inputs, now)
        gated = gate(SPEC, outputs, inputs, now)
        book.check(SPEC, state, inputs, outputs, gated, after, now)
        ac_book.check(SPEC, inputs, outputs, gated, after, now)
        view(SPEC, after, inputs, now)
        state = after
    raw = msgspec.msgpack.encode(state)
    assert msgspec.msgpack.decode(raw, type=type(state)) == state


GOOD: dict[str, Any] = {"cp": CpState.C, "estop": False, "lease_active": False, "contactor": ContactorFeedback.OPEN}
OFTEN: list[tuple[str, dict[str, Any]]] = [("b", {"cp": CpState.B}), ("c", {"cp": CpState.C}), ("follow", {}), ("follow", {})]
RARELY: list[tuple[str, dict[str, Any]]] = [
    ("a", {"cp": CpState.A}), ("d", {"cp": CpState.D}), ("e", {"cp": CpState.E}), ("?", {"cp": CpState.UNKNOWN}),
    ("open", {"contactor": ContactorFeedback.OPEN, "lease_active": False}), ("door", {"door_open": True}),
    ("shut", {"door_open": False}), ("unlocked", {"lock": LockState.UNLOCKED}), ("locked", {"lock": LockState.LOCKED}),
]  # fmt: skip
NEVER_AGAIN: list[tuple[str, dict[str, Any]]] = [
    ("weld", {"contactor": ContactorFeedback.CLOSED}), ("estop", {"estop": True}), ("stop", {"stop_button": True}),
]  # fmt: skip
NEXT = OFTEN * 8 + RARELY + RARELY + NEVER_AGAIN
SHORT = st.sampled_from([50 * NS_PER_MS, 50 * NS_PER_MS, 60 * NS_PER_MS, 200 * NS_PER_MS, NS_PER_S])


def _charging(now: int, **ac: Any) -> tuple[StationSpec, dict[str, Any]]:
    evse = EvseSpec(
        evse_id=1,
        kind=EvseKind.AC,
        free_charging=True,
        ac=AcSpec(**({"evse_ma": 32_000, "socket": False, "cable_ma": 32_000} | ac)),
    )
    return StationSpec(station_id="w", evses=(evse,)), dict(GOOD)


SPECS: dict[str, dict[str, Any]] = {
    "cable": {},
    "socket": {"socket": True},
    "phases": {"phase_switch": PhaseSwitchSpec(enabled=True, delay_s=10)},
    "fan": {"ventilation": VentilationSpec(enabled=True), "contactor_feedback": FeedbackType.NC},
    "blind": {"contactor_feedback": FeedbackType.NONE, "wake_up_after_timeout": True, "force_wake_up": True},
}


@pytest.mark.parametrize("name", SPECS)
@settings(max_examples=examples(15, 6), deadline=None, suppress_health_check=list(HealthCheck))
@given(steps=st.lists(st.tuples(SHORT | SHORT | spacing, st.sampled_from(NEXT), nobody), min_size=30, max_size=120))
def test_laws_hold_while_a_board_does_what_it_likes(name: str, steps: list[tuple[int, tuple[str, dict[str, Any]], Any]]) -> None:
    """From a vehicle that charges: the board follows, refuses, opens, welds; ticks come 1 ms to 10 s apart."""
    now, book, ac_book = 100 * NS_PER_S, LawBook(), AcLawBook()
    spec, fields = _charging(now, **SPECS[name])
    kind = (spec.evses[0].ac or AcSpec()).contactor_feedback
    state = initial_state(spec, now)
    lead: list[tuple[int, tuple[str, dict[str, Any]], Any]] = [(60 * NS_PER_MS, ("follow", {}), None)] * 150
    out, stored = None, ""
    for n, (dt, (what, change), command) in enumerate(lead + steps):
        assert n != len(lead) or state.evses[0].lease, "it charges before anything happens"
        now += dt
        fields |= change
        if out is not None and what == "follow":
            lease = out.contactor_lease and fields["cp"] in (CpState.C, CpState.D)
            open_ = not lease
            if kind is FeedbackType.NC:
                open_ = not open_
            fields |= {"lease_active": lease, "lock": LockState.LOCKED if out.lock else LockState.UNLOCKED}
            fields["contactor"] = ContactorFeedback.OPEN if open_ else ContactorFeedback.CLOSED
        relay2 = out is not None and out.ac is not None and out.ac.relay2
        ac = AcStatus(
            pp=PpState.A32, lock_charged=True, rcd=RcdState.NORMAL,
            relay2=ContactorFeedback.CLOSED if relay2 else ContactorFeedback.OPEN,
        )  # fmt: skip
        board = Sample(BoardStatus(**fields, ac=ac), now)
        meter = Sample(MeterValues(power_w=0, energy_import_wh=1_000), now)
        sent = [] if command is None else [command]
        if stored:
            sent.append(TransactionStored(seq=9, evse_id=1, session_id=stored))
        inputs = Inputs(
            wall=WALL0 + now, evses=(EvseInputs(evse_id=1, board=board, meter=meter),), groups=(), site_meter=NEVER,
            commands=tuple(sent),
        )  # fmt: skip
        after, outputs = tick(spec, state, inputs, now)
        gated = gate(spec, outputs, inputs, now)
        book.check(spec, state, inputs, outputs, gated, after, now)
        ac_book.check(spec, inputs, outputs, gated, after, now)
        out, state = gated.evses[0].board, after
        stored = state.evses[0].session_id if state.evses[0].tx_open and not state.evses[0].tx_stored else ""
