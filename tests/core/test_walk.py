"""Random walks: any inputs, in any order, and the laws hold on every tick."""

from __future__ import annotations

import random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule
from msgspec.structs import replace

from evse.core.gate import gate
from evse.core.inputs import (
    AuthorizeResult,
    ClearFault,
    EvseInputs,
    Inputs,
    ReserveEvse,
    SetAvailability,
    StartSession,
    StopSession,
    TokenPresented,
    TransactionNumbered,
    TransactionStored,
    UnlockConnector,
)
from evse.core.tick import initial_state, tick
from evse.core.view import view
from evse.domain.faults import FaultCode
from evse.domain.limits import Allocation, GroupAssignment, LimitSource, Plan, PowerLimit
from evse.domain.readings import NEVER, GroupStatus, MeterValues, NoData, NoDataReason, Sample
from evse.domain.session import AuthSource, OperationalStatus, StopReason
from evse.domain.signals import (
    BoardStatus,
    ContactorFeedback,
    CpState,
    EvStop,
    HlcStep,
    IsolationState,
    LockState,
    MatrixContacts,
    SlacState,
)
from evse.domain.station import EvseKind, EvseSpec, GroupSpec, StationSpec, Topology
from evse.units import NS_PER_S, TICK_NS
from tests._support.examples import examples
from tests._support.laws import LawBook
from tests.core.plant import WALL0, Plant, spec_of

ints = st.integers(-2_000_000, 2_000_000)
boards = st.builds(
    BoardStatus,
    cp=st.sampled_from(CpState),
    estop=st.sampled_from([False, False, False, True]),
    contactor=st.sampled_from(ContactorFeedback),
    lock=st.sampled_from(LockState),
    slac=st.sampled_from(SlacState),
    step=st.none() | st.sampled_from(HlcStep),
    evcc_id=st.text(max_size=30),
    isolation=st.sampled_from(IsolationState),
    isolation_kohm=st.none() | ints,
    output_mv=ints,
    soc_pct=st.none() | st.integers(-300, 300),
    demand_mv=ints,
    demand_ma=ints,
    ev_max_mv=ints,
    ev_max_ma=ints,
    ev_max_w=ints,
    ev_age_ms=st.integers(0, 100_000),
    ev_stop=st.sampled_from(EvStop),
    temperature_dc=st.none() | st.integers(-500, 2000),
    tie_closed=st.booleans(),
    lease_active=st.booleans(),
    stop_button=st.booleans(),
    door_open=st.booleans(),
    contacts=st.none() | st.builds(MatrixContacts, closed=st.integers(0, 15), opened=st.integers(0, 15)),
)
statuses = st.builds(
    GroupStatus,
    modules_expected=st.integers(0, 4),
    modules_present=st.integers(-1, 5),
    modules_faulty=st.integers(-1, 5),
    on=st.booleans(),
    voltage_mv=ints,
    current_ma=ints,
    available_w=ints,
)
meters = st.builds(
    MeterValues,
    power_w=st.none() | ints,
    energy_import_wh=st.none() | st.integers(-10, 10**9),
    current_ma=st.none() | ints,
)
nothing = st.just(NEVER) | st.just(NoData(reason=NoDataReason.ERROR, since=0, detail="x" * 500))
ids = st.integers(-1, 4)
text = st.text(max_size=80)
commands = st.one_of(
    st.builds(TokenPresented, seq=ids, reader=text, id_token=text, evse_ids=st.lists(ids, max_size=4).map(tuple)),
    st.builds(AuthorizeResult, seq=ids, evse_id=ids, id_token=text, accepted=st.booleans(), reason=text),
    st.builds(StartSession, seq=ids, evse_id=ids, id_token=st.just("A") | text, source=st.sampled_from(AuthSource)),
    st.builds(StopSession, seq=ids, evse_id=ids, reason=st.sampled_from(StopReason)),
    st.builds(
        SetAvailability,
        seq=ids,
        evse_id=ids,
        origin=st.sampled_from(["backend", "local", "nobody"]),
        status=st.sampled_from(OperationalStatus),
    ),
    st.builds(ClearFault, seq=ids, evse_id=ids, code=st.sampled_from([c.value for c in FaultCode]) | text),
    st.builds(UnlockConnector, seq=ids, evse_id=ids),
    st.builds(ReserveEvse, seq=ids, evse_id=ids, id_token=text, until=st.integers(0, 2 * WALL0)),
    st.builds(TransactionStored, seq=ids, evse_id=ids, session_id=text),
    st.builds(TransactionNumbered, seq=ids, evse_id=ids, session_id=text, transaction_id=ids, accepted=st.booleans()),
)
SPEC = StationSpec(
    station_id="w",
    evses=(
        EvseSpec(evse_id=1, home_group=1),
        EvseSpec(evse_id=2, home_group=2, has_meter=False, free_charging=True),
        EvseSpec(evse_id=3, kind=EvseKind.AC),
    ),
    groups=tuple(
        GroupSpec(
            group_id=i, home_evse=i if i < 3 else None, modules=2, module_power_w=30_000, module_current_max_ma=100_000
        )
        for i in (1, 2, 3)
    ),
    topology=Topology.RING,
    site_limit_w=50_000,
    has_site_meter=True,
)

MATRIX = replace(SPEC, topology=Topology.MATRIX)


def samples(value: st.SearchStrategy, now: int) -> st.SearchStrategy:
    return nothing | st.builds(Sample, value, st.sampled_from([now, now, now, now - TICK_NS, now - 4 * NS_PER_S]))


def wild_inputs(now: int) -> st.SearchStrategy[Inputs]:
    """Any inputs at all, also of the wrong shape."""
    evses = st.lists(
        st.builds(EvseInputs, evse_id=ids, board=samples(boards, now), meter=samples(meters, now)), max_size=4
    ).map(tuple)
    plans = st.none() | st.builds(
        Plan,
        version=ids,
        site_limit_w=ints,
        groups=st.lists(st.builds(GroupAssignment, group_id=ids, owner=st.none() | ids), max_size=5).map(tuple),
        allocations=st.lists(
            st.builds(
                Allocation,
                evse_id=ids,
                requested_w=ints,
                offered_w=ints,
                allowed_w=ints,
                assigned_w=ints,
                chain=st.just(()),
            ),
            max_size=4,
        ).map(tuple),
    )
    limits = st.lists(
        st.builds(
            PowerLimit,
            source=st.sampled_from(LimitSource),
            evse_id=ids,
            power_w=ints,
            set_at=st.just(0),
            expires_at=st.none() | st.just(now) | st.just(now + 1),
        ),
        max_size=4,
    ).map(tuple)
    return st.builds(
        Inputs,
        wall=st.integers(0, 2 * WALL0),
        evses=evses,
        groups=st.lists(samples(statuses, now), max_size=4).map(tuple),
        site_meter=samples(meters, now),
        limits=limits,
        plan=plans,
        commands=st.lists(commands, max_size=18).map(tuple),
        storage_ok=st.booleans(),
        loop_fault=st.sampled_from(["", "", "bug"]),
    )


@settings(max_examples=examples(120), deadline=None, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_tick_and_gate_are_total_for_any_inputs(data: st.DataObject) -> None:
    """L13..L21 for inputs nobody would send, in sequences of three ticks; no exception, also not from the view."""
    now, book, spec = NS_PER_S, LawBook(deep_every=1), data.draw(st.sampled_from([SPEC, MATRIX]))
    state = initial_state(spec, now)
    for _ in range(3):
        now += data.draw(st.sampled_from([0, TICK_NS, 30 * NS_PER_S]))
        inputs = data.draw(wild_inputs(now))
        after, outputs = tick(spec, state, inputs, now)
        gated = gate(spec, outputs, inputs, now)
        book.check(spec, state, inputs, outputs, gated, after, now)
        view(spec, after, inputs, now)
        state = after


class Station(RuleBasedStateMachine):
    """A plant whose cars, commands and faults are chosen by Hypothesis; the plant checks the laws on every tick."""

    def __init__(self) -> None:
        super().__init__()
        self.p = Plant(spec_of(2, site_limit_w=80_000, has_site_meter=True))
        self.p.run(2)

    @rule(evse=st.sampled_from([1, 2]))
    def plug_and_start(self, evse: int) -> None:
        self.p.cars[evse].plug()
        self.p.start(evse)
        self.p.run(40)

    @rule(evse=st.sampled_from([1, 2]))
    def unplug(self, evse: int) -> None:
        self.p.cars[evse].unplug()
        self.p.run(1)

    @rule(ticks=st.integers(1, 80))
    def wait(self, ticks: int) -> None:
        self.p.run(ticks)

    @rule(seconds=st.integers(1, 60))
    def skip_time(self, seconds: int) -> None:
        self.p.now += seconds * NS_PER_S
        self.p.run(1)

    @rule(command=commands)
    def command(self, command: object) -> None:
        self.p.pending.append(command)  # type: ignore[arg-type]
        self.p.run(1)

    @rule(
        evse=st.sampled_from([1, 2]),
        name=st.sampled_from(
            ["silent", "meter_dead", "welded", "never_closes", "lock_stuck", "no_voltage", "deaf", "want_stop"]
        ),
        value=st.booleans(),
    )
    def break_or_mend(self, evse: int, name: str, value: bool) -> None:
        setattr(self.p.cars[evse], name, value)
        self.p.run(3)

    @rule(evse=st.sampled_from([1, 2]), estop=st.booleans(), door=st.booleans(), hot=st.sampled_from([250, 850, 900]))
    def inputs(self, evse: int, estop: bool, door: bool, hot: int) -> None:
        self.p.cars[evse].set(estop=estop, door_open=door, temperature_dc=hot)
        self.p.run(2)

    @rule(
        limit=st.sampled_from([0, 5_000, 40_000, 1_000_000]),
        source=st.sampled_from([LimitSource.SITE, LimitSource.CSMS]),
    )
    def limit(self, limit: int, source: LimitSource) -> None:
        self.p.limits = (PowerLimit(source=source, evse_id=0, power_w=limit, set_at=0),)
        self.p.run(2)

    @rule(one=st.sampled_from([None, 1, 2]), two=st.sampled_from([None, 1, 2]))
    def plan(self, one: int | None, two: int | None) -> None:
        self.p.owners = {1: one, 2: two}
        self.p.run(5)


TestStation = Station.TestCase
TestStation.settings = settings(
    max_examples=examples(25), stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck)
)


@pytest.mark.parametrize("seed", range(examples(6, 3)))
def test_long_walks_by_seed(seed: int) -> None:
    """A biased walk through many sessions; the seed reproduces it."""
    rng = random.Random(seed)
    p = Plant(spec_of(3, site_limit_w=90_000))
    for _ in range(150):
        evse = rng.choice([1, 2, 3])
        car = p.cars[evse]
        match rng.randrange(9):
            case 0 | 1:
                if car.status.cp is CpState.A:
                    car.plug()
                p.start(evse)
            case 2:
                car.unplug()
            case 3:
                car.want_stop = True
            case 4:
                p.owners = {g: rng.choice([None, 1, 2, 3]) for g in (1, 2, 3)}
            case 5:
                p.limits = (
                    PowerLimit(
                        source=LimitSource.CSMS, evse_id=0, power_w=rng.choice([0, 20_000, 60_000]), set_at=p.now
                    ),
                )
            case 6:
                car.set(estop=rng.random() < 0.2, ev_age_ms=rng.choice([0, 0, 3000]))
            case 7:
                for record in (*p.state.faults, *(r for e in p.state.evses for r in e.faults)):
                    p.send(ClearFault, evse_id=record.evse_id, code=record.code.value)
            case 8:
                car.demand_ma = rng.choice([0, 20_000, 200_000])
                car.status = replace(car.status, output_mv=rng.choice([0, 300_000]))
        p.run(rng.choice([1, 5, 40]))
    assert "transaction.ended" in p.kinds()
