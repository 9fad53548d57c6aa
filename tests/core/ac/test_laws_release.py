"""Laws of permissions that hold for any order of cards, commands, levels and vehicles, and any tick spacing."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from evse.core.inputs import AuthorizeResult, Command, SetPermission, StartSession, StopSession, TokenPresented
from evse.core.release import FREE_STAGES, GIVERS
from evse.core.state import AuthState, Stage
from evse.domain.ac import AcSpec, ReleaseMode
from evse.domain.session import AuthSource, StopReason
from evse.domain.station import EvseKind, EvseSpec, StationSpec
from evse.units import NS_PER_MS
from tests._support.examples import examples
from tests.core.ac.release_rig import Rig

IDS = (1, 2, 3)
ONE = st.sampled_from((*IDS, 9))
TOKEN = st.sampled_from(["A", "B", "C", ""])
COMMANDS: st.SearchStrategy[Command] = st.one_of(
    st.builds(TokenPresented, seq=st.just(1), reader=st.just("r"), id_token=TOKEN, evse_ids=st.sampled_from([IDS, (1,), (2, 3), ()])),
    st.builds(AuthorizeResult, seq=st.just(1), evse_id=ONE, id_token=TOKEN, accepted=st.booleans()),
    st.builds(StartSession, seq=st.just(1), evse_id=ONE, id_token=TOKEN, source=st.sampled_from(AuthSource)),
    st.builds(StopSession, seq=st.just(1), evse_id=ONE, reason=st.just(StopReason.REMOTE)),
    st.builds(SetPermission, seq=st.just(1), evse_id=ONE, mode=st.sampled_from(ReleaseMode), allowed=st.booleans(),
              hold=st.booleans(), id_token=TOKEN),
)  # fmt: skip
MOVES = st.sampled_from(["plug", "unplug", "key", "no key", "forbid", "allow", "begin", "end", ""])
STEP = st.tuples(st.lists(COMMANDS, max_size=2), MOVES, st.sampled_from(IDS), st.sampled_from([1, 50, 1_000, 10_000, 61_000]))


def move(r: Rig, what: str, evse_id: int) -> None:
    """The vehicle, the driver, an event action, or the machine does something."""
    w = r.evse(evse_id)
    if what == "plug" and not w.plugged:
        r.plug(evse_id=evse_id)
    elif what == "unplug" and not w.tx_open:
        r.unplug(evse_id)
        r.work(evse_id, auth=AuthState.NONE, auth_token="", auth_source=AuthSource.NONE)
    elif what in ("key", "no key"):
        r.board(evse_id, inputs=int(what == "key"))
    elif what in ("forbid", "allow"):
        r.memory(evse_id, rule_release=False if what == "forbid" else None)
    elif what == "begin" and w.auth is AuthState.GRANTED and w.plugged and not w.tx_open:
        r.transaction(evse_id, w.auth_token, w.auth_source)
    elif what == "end" and w.tx_open:
        r.finished(evse_id)


@settings(max_examples=examples(200), deadline=None)
@given(st.lists(st.sampled_from(ReleaseMode), min_size=3, max_size=3), st.booleans(), st.lists(STEP, max_size=40))
def test_laws_of_permissions(modes: list[ReleaseMode], needs_vehicle: bool, steps: list[tuple[list[Command], str, int, int]]) -> None:
    specs = tuple(
        EvseSpec(evse_id=i, kind=EvseKind.AC, ac=AcSpec(release=m, key_switch_input=1, token_required_plugged=needs_vehicle))
        for i, m in zip(IDS, modes, strict=True)
    )
    r = Rig(StationSpec(station_id="l", evses=specs))
    for commands, what, evse_id, dt_ms in steps:
        move(r, what, evse_id)
        before = {i: r.evse(i) for i in IDS}
        r.tick_of(*commands, dt=dt_ms * NS_PER_MS)
        cards = [c for c in commands if isinstance(c, TokenPresented)]
        assert len(r.asked) <= len(cards), "one card asks for one EVSE at most"
        for i, mode in zip(IDS, modes, strict=True):
            w = r.evse(i)
            if w.auth in (AuthState.WAITING, AuthState.GRANTED) and not w.tx_open:
                assert w.auth_source in GIVERS[mode] and w.auth_token, (mode, w.auth_source)
                assert w.auth_deadline > r.now, "no permission without an end"
            if w.auth is AuthState.WAITING and before[i].auth is not AuthState.WAITING:
                assert (i, w.auth_token) in r.asked
                assert w.stage in FREE_STAGES or (w.stage is Stage.EMPTY and not needs_vehicle)
            if r.stop_wanted[i] is not None:
                assert w.tx_open
            if r.mem(i).rule_release is False:
                assert w.auth is not AuthState.GRANTED or w.tx_open or before[i].auth is AuthState.GRANTED
