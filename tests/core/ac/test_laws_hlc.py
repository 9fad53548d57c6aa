"""Laws of digital communication that hold whatever board, vehicle and people do, for any tick spacing."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from evse.core.ac import hlc
from evse.core.ac.hlc import ENDING, PAUSES
from evse.core.ac.hlc_board import PARAM_LIMIT, REQUESTS, Levels
from evse.core.ac.memory import HlcStage
from evse.core.state import AuthState, Stage
from evse.domain.ac import FakeDcVendor, HlcMode, V2gError, V2gPhase, V2gStatus
from evse.domain.signals import Authorization, HlcStep, SlacState
from evse.units import NS_PER_MS, s
from tests._support.examples import examples
from tests.core.ac.hlc_rig import Rig

V2G = st.builds(
    V2gStatus,
    phase=st.sampled_from(V2gPhase),
    finished=st.booleans(),
    error=st.sampled_from([V2gError.NONE, V2gError.NONE, V2gError.SLAC_FAILED, V2gError.TCP_CLOSED]),
    departure_s=st.none() | st.integers(0, 2**31),
    energy_request_wh=st.none() | st.integers(0, 2**31),
    ready=st.booleans(),
    renegotiating=st.booleans(),
    paused=st.booleans(),
)
BOARD = st.fixed_dictionaries(
    {},
    optional={
        "v2g": V2G,
        "slac": st.sampled_from(SlacState),
        "step": st.none() | st.sampled_from(HlcStep),
        "soc_pct": st.none() | st.integers(-5, 120),
        "evcc_id": st.sampled_from(["", "98ED5C000000", "AABBCC112233"]),
    },
)
WORK = st.fixed_dictionaries(
    {},
    optional={
        "tx_open": st.booleans(),
        "stage": st.sampled_from([Stage.PLUGGED, Stage.AUTHORISED, Stage.CURRENT, Stage.RAMP_DOWN, Stage.FINISHED]),
        "offered_ma": st.sampled_from([0, 5_900, 6_000, 16_000]),
        "auth": st.sampled_from(AuthState),
        "lease": st.booleans(),
        "plugged": st.sampled_from([True, True, True, True, False]),
    },
)
STEP = st.tuples(
    BOARD,
    WORK,
    st.sampled_from(["", "", "", "F6"]),  # blocked
    st.sampled_from(["", "", "the external release", *PAUSES.values()]),
    st.sampled_from(["", "", "", *REQUESTS]),
    st.sampled_from([1, 10, 50, 50, 1_000, 3_000, 10_000]),  # ms
)
VENDORS = (FakeDcVendor(name="x", oui=("98:ED:5C",), until_soc=False, switch_method=2),)


@settings(max_examples=examples(150), deadline=None)
@given(st.sampled_from(list(HlcMode)), st.lists(STEP, min_size=1, max_size=40))
def test_laws_of_digital_communication(mode: HlcMode, steps: list[tuple[dict, dict, str, str, str, int]]) -> None:  # type: ignore[type-arg]
    r = Rig(mode, fake_dc_vendors=VENDORS)
    r.plug()
    x1_since = r.now
    for board, work, blocked, paused, what, dt_ms in steps:
        r.board(**board)
        r.work(**work)
        r.memory(cp_pause=paused)
        r.blocked = blocked
        if what:
            r.request(what)
        before, tries = r.stage, r.mem().hlc_tries
        r.pass_s(0, dt=dt_ms * NS_PER_MS)
        _levels(r, mode)
        _moves(r, before, x1_since)
        if not hlc_digital(r) and before in hlc.DIGITAL:
            x1_since = r.now
        assert tries <= r.mem().hlc_tries + 3 and r.mem().hlc_tries <= hlc.TRIES_MAX
        assert -2 <= r.mem().hlc_soc <= 100


def hlc_digital(r: Rig) -> bool:
    return r.stage in hlc.DIGITAL


def _levels(r: Rig, mode: HlcMode) -> None:
    """What the board is told follows from the stage, and never promises what is not known."""
    told, w, a = r.levels, r.evse(), r.mem()
    v2g = r.boards[1].ac.v2g if r.boards[1].ac is not None else V2gStatus()
    if mode is HlcMode.OFF:
        assert r.basic and r.ready and told == Levels()
        return
    assert (a.hlc_stage is HlcStage.IDLE) <= (not w.plugged or bool(r.blocked))
    assert w.plugged or a.hlc_stage is HlcStage.IDLE
    assert r.basic is (a.hlc_stage is HlcStage.BASIC)
    assert not (mode is HlcMode.REQUIRED and r.basic)
    assert not r.ready or r.basic or (v2g.ready and a.hlc_stage is HlcStage.SESSION)
    if r.blocked or a.hlc_stage not in hlc.DIGITAL:
        assert told == Levels()
        return
    assert told.mode is mode
    assert told.authorization is not Authorization.GRANTED or w.tx_open or mode is HlcMode.FAKE_DC
    if told.parameter_finished:
        assert w.tx_open and (a.hlc_told_ma >= 6_000 or r.now - a.hlc_param_at >= PARAM_LIMIT)
    assert not (told.stop and told.pause)
    assert not told.restart_slac or r.now < a.hlc_restart_until
    assert (told.switch_method > 0) is (mode is HlcMode.FAKE_DC)
    if w.stage in ENDING:
        assert a.hlc_stage in (HlcStage.CLOSING, HlcStage.RESTING, HlcStage.PAUSED) and not told.pause


def _moves(r: Rig, before: HlcStage, x1_since: int) -> None:
    """The meaning of the duty cycle never changes without its time in x1."""
    if r.stage is HlcStage.BASIC and before is not HlcStage.BASIC:
        assert before is HlcStage.SWITCH and r.now - x1_since >= hlc.SWITCH_X1 and not r.evse().lease
    if r.stage in hlc.DIGITAL and before in (HlcStage.RESET, HlcStage.BASIC, HlcStage.REFUSED):
        assert before is HlcStage.RESET and r.now - x1_since >= s(3) and not r.evse().lease
