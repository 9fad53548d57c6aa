"""The laws of signed readings in the core: whatever the meter answers, and whenever, nobody is billed or held up wrongly."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from evse.core.inputs import MeterSigned, StopSession
from evse.core.outputs import CloseTransaction, OpenTransaction, RequestSignature
from evse.core.session import SETTLE_LIMIT
from evse.core.state import Stage
from evse.domain.session import StopReason
from evse.domain.signing import SigningMode
from evse.units import TICK_NS, s
from tests._support.examples import examples
from tests.core.plant import Plant, spec_of

WAIT_S = 4
ANSWERS = ("good", "failed", "lost", "none", "stale", "twice")


class Signing(Plant):
    """A plant whose meter signs as it is told: ``answer`` after ``delay`` ticks."""

    def __init__(self, mode: SigningMode) -> None:
        spec = spec_of(1)
        evses = tuple(replace(evse, signing=mode, signing_wait_s=WAIT_S) for evse in spec.evses)
        super().__init__(replace(spec, evses=evses))
        self.answer = "good"
        self.delay = 2
        self._seen = 0
        self._due: list[tuple[int, str, RequestSignature]] = []

    def step(self) -> None:
        for effect in self.effects[self._seen :]:
            if isinstance(effect, RequestSignature):
                self._due.append((self.now + self.delay * TICK_NS, self.answer, effect))
        self._seen = len(self.effects)
        for due in [entry for entry in self._due if entry[0] <= self.now]:
            self._due.remove(due)
            self._reply(due[1], due[2])
        super().step()

    def _reply(self, answer: str, asked: RequestSignature) -> None:
        text = f"{'E' if asked.end else 'B'}{asked.number} {asked.id_token}"
        for number in {"stale": [asked.number - 1], "twice": [asked.number] * 2, "none": []}.get(answer, [asked.number]):
            good = answer in ("good", "twice", "stale")
            self.send(MeterSigned, evse_id=1, number=number, text=text if good else "", why="" if good else "x" * 900,
                      lost=answer == "lost", public_key="30")

    def plug_and_start(self, token: str = "T") -> None:
        self.cars[1].plug()
        self.run(5)
        self.start(token=token)


def judge(p: Signing, mode: SigningMode) -> None:
    """What must hold after any history."""
    opened = [e.session for e in p.effects if isinstance(e, OpenTransaction)]
    closed = {e.session.session_id: e.session for e in p.effects if isinstance(e, CloseTransaction)}
    asked = [e for e in p.effects if isinstance(e, RequestSignature)]
    numbers = [e.number for e in asked]
    assert len(set(numbers)) == len(numbers), "a number of a request is used once"
    for session in opened:
        if mode is SigningMode.REQUIRE:
            assert session.signed is not None
        if session.signed is not None:  # signed for this card, before it opened
            assert session.signed.begin.startswith("B")
            assert session.signed.begin.endswith(f" {session.id_token}")
            assert session.signed.end == ""
            end = closed.get(session.session_id)
            if end is not None and end.signed is not None:
                assert end.signed.begin == session.signed.begin
                assert end.signed.end == "" or end.signed.end.startswith("E")
    if mode is SigningMode.OFF:
        assert not asked


HISTORY = st.lists(
    st.tuples(
        st.sampled_from(["plug", "start", "stop", "unplug", "run", "die", "live"]), st.sampled_from(ANSWERS),
        st.integers(0, 120), st.integers(1, 120),
    ),
    max_size=8,
)


@settings(max_examples=examples(10), deadline=None)
@given(st.sampled_from(SigningMode), HISTORY)
def test_any_history_keeps_the_laws_of_signing(mode: SigningMode, history: list[tuple[str, str, int, int]]) -> None:
    p = Signing(mode)
    p.run(5)
    p.plug_and_start()
    for what, p.answer, p.delay, ticks in history:
        match what:
            case "plug":
                p.cars[1].plug()
            case "start":
                p.start(token=f"T{ticks}")
            case "stop":
                p.send(StopSession, evse_id=1, reason=StopReason.LOCAL)
            case "unplug":
                p.cars[1].unplug()
            case "die" | "live":
                p.cars[1].meter_dead = what == "die"
        p.run(ticks)
    p.cars[1].meter_dead, p.answer = False, "none"
    p.cars[1].unplug()
    p.run((WAIT_S + 22) * 20)
    judge(p, mode)
    w = p.state.evses[0]
    assert not w.tx_open, "nothing waits for ever"
    assert w.stage is Stage.EMPTY
    assert not w.sign_failed, "the next vehicle may try"


@pytest.mark.parametrize("mode", [SigningMode.PREFER, SigningMode.REQUIRE])
def test_a_silent_meter_costs_its_time_once_at_each_end(mode: SigningMode) -> None:
    p = Signing(mode)
    p.run(5)
    p.answer = "none"
    p.plug_and_start()
    began = p.now
    if mode is SigningMode.REQUIRE:
        p.until(lambda p: "F9" in p.codes())
        assert not [e for e in p.effects if isinstance(e, OpenTransaction)]
    else:
        p.until(lambda p: p.state.evses[0].tx_open)
    assert s(WAIT_S) <= p.now - began <= s(WAIT_S) + 4 * TICK_NS
    p = Signing(mode)
    p.run(5)
    p.charge()
    p.run(300)
    p.answer = "none"
    p.send(StopSession, evse_id=1, reason=StopReason.LOCAL)
    p.until(lambda p: bool(p.state.evses[0].settle_at))
    began = p.now
    p.until(lambda p: not p.state.evses[0].tx_open)
    assert p.now - began <= s(WAIT_S) + SETTLE_LIMIT
    assert ("F9" in p.closed()[0].session.fault) is (mode is SigningMode.REQUIRE)


@pytest.mark.parametrize("replugged", [False, True])
def test_another_card_gets_a_begin_of_its_own(replugged: bool) -> None:
    """The permission of the first ends while the meter signs: its text is for nobody else."""
    p = Signing(SigningMode.REQUIRE)
    p.spec = replace(p.spec, connection_timeout_s=1)
    p.run(5)
    p.delay = 40
    p.plug_and_start("FIRST")
    p.run(30)
    if replugged:
        p.cars[1].unplug()
        p.run(5)
        p.cars[1].plug()
        p.run(5)
    p.spec = replace(p.spec, connection_timeout_s=60)
    p.start(token="OTHER")
    p.until(lambda p: p.state.evses[0].tx_open)
    (opened,) = [e.session for e in p.effects if isinstance(e, OpenTransaction)]
    assert opened.signed is not None
    assert opened.signed.begin.endswith(" OTHER")
