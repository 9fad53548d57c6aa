"""Meters that sign: the data-driven driver against simulated meters of four maps, and a verifier that knows neither."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evse.config.meter_profiles import load_profile, parse_profile
from evse.devices.meter_signing import MeterSigner, SigningError
from evse.domain.base import ConfigError
from evse.domain.readings import MeterValues, NoDataReason, Sample
from evse.protocols import ocmf
from evse.protocols.errors import ProtocolError
from evse.sim.hw.signing_meter import add_signer
from evse.units import NS_PER_S, s
from tests.meters._bench import Bench, bench_run
from tests.meters.ocmf_check import genuine, id_of, readings
from tests.meters.test_profiles import GOOD

MODELS = ("laboratory/signing-ac", "laboratory/signing-dc", "iskra/wm3m4c", "bzr-bauer/bsm-ws36a")


def with_signer(model: str, body: Callable[[Bench, MeterSigner], Awaitable[None]], *, tcp: bool = False) -> None:
    async def main(bench: Bench) -> None:
        sim = bench.sims[1]
        sim.set_values(MeterValues(energy_import_wh=12_340, power_w=0))
        assert add_signer(sim, 7, "m", bench.clock) is not None
        signing = sim.profile.signing
        assert signing is not None
        signer = MeterSigner(bench.meters[1], signing, bench.clock)
        bench.tasks.append(asyncio.ensure_future(signer.run()))
        await asyncio.sleep(60)
        await body(bench, signer)

    bench_run({1: model}, main, tcp=tcp, strict=model.startswith("laboratory"))


@pytest.mark.parametrize("tcp", [False, True])
@pytest.mark.parametrize("model", MODELS)
def test_begin_and_end_are_signed_and_one_other_digit_is_not(model: str, tcp: bool) -> None:
    async def body(bench: Bench, signer: MeterSigner) -> None:
        assert signer.identity is not None, signer.problem
        key = signer.identity.public_key
        assert key.startswith("3059301306072a8648ce3d020106082a8648ce3d03010703420004")
        assert signer.identity.serial.startswith("LAB"[: len(signer.identity.serial)])
        deadline = bench.clock.now() + s(60)
        begin = await signer.sign(end=False, id_token="04A1B2C3", deadline=deadline)
        bench.sims[1].set_values(MeterValues(energy_import_wh=20_005, power_w=0))
        end = await signer.sign(end=True, id_token="04A1B2C3", deadline=deadline)
        assert genuine(begin, key)
        assert genuine(end, key)
        assert [(one["kind"], one["wh"]) for one in readings(begin)] == [("B", 12_340)]
        assert [(one["kind"], one["wh"]) for one in readings(end)] == [("B", 12_340), ("E", 20_005)]
        assert readings(begin)[0]["time"].endswith("S"), "the station has set the meter's clock"
        assert not genuine(begin.replace("12.340", "12.341"), key)
        assert not genuine(end.replace("20.005", "20.004"), key)
        profile = load_profile(model)
        wanted = "04A1B2C3" if profile.signing is not None and profile.signing.id_token else ""
        assert id_of(end).removeprefix("rfid:") == wanted
        assert isinstance(bench.meters[1].reading(), Sample), "the values went on meanwhile"

    with_signer(model, body, tcp=tcp)


@pytest.mark.parametrize(("fault", "reason"), [
    ("sign_failed", NoDataReason.ERROR), ("sign_stuck", NoDataReason.ERROR), ("mute", NoDataReason.TIMEOUT),
    ("crc", NoDataReason.TIMEOUT), ("exception", NoDataReason.ERROR),
])
def test_a_signature_that_does_not_come_ends_at_its_deadline(fault: str, reason: NoDataReason) -> None:
    async def body(bench: Bench, signer: MeterSigner) -> None:
        sim = bench.sims[1]
        sim.fault(fault, on=True)
        began = bench.clock.now()
        with pytest.raises(SigningError) as error:
            await signer.sign(end=False, id_token="", deadline=began + s(5))
        assert error.value.reason is reason, error.value
        assert "signing-ac" in str(error.value)
        assert bench.clock.now() - began <= s(7)
        sim.fault(fault, on=False)
        text = await signer.sign(end=False, id_token="", deadline=bench.clock.now() + s(5))
        assert readings(text)[0]["kind"] == "B"

    with_signer("laboratory/signing-ac", body)


def test_a_pulled_line_is_told_as_such_and_the_key_is_read_again() -> None:
    async def body(bench: Bench, signer: MeterSigner) -> None:
        bench.plugged = False
        bench.unplug()
        with pytest.raises(SigningError) as error:
            await signer.sign(end=True, id_token="", deadline=bench.clock.now() + s(3))
        assert error.value.reason is NoDataReason.DISCONNECTED
        bench.plugged = True
        add_signer(bench.sims[1], 8, "another meter", bench.clock)
        before = signer.identity
        await asyncio.sleep(40)
        assert signer.identity is not None
        assert signer.identity != before

    with_signer("laboratory/signing-ac", body)


@pytest.mark.parametrize("model", MODELS)
def test_after_a_restart_a_text_of_before_is_not_taken_for_a_new_one(model: str) -> None:
    """The status still says "ready" for a while: of the data set before."""

    async def body(bench: Bench, signer: MeterSigner) -> None:
        deadline = bench.clock.now() + s(120)
        await signer.sign(end=False, id_token="A", deadline=deadline)
        before = await signer.sign(end=True, id_token="A", deadline=deadline)
        signing = bench.sims[1].profile.signing
        assert signing is not None
        bench.sims[1].set_values(MeterValues(energy_import_wh=50_000, power_w=0))
        again = MeterSigner(bench.meters[1], signing, bench.clock)
        begin = await again.sign(end=False, id_token="B", deadline=deadline)
        end = await again.sign(end=True, id_token="B", deadline=deadline)
        assert [(one["kind"], one["wh"]) for one in readings(begin)] == [("B", 50_000)]
        assert [(one["kind"], one["wh"]) for one in readings(end)] == [("B", 50_000), ("E", 50_000)]
        assert end != before

    with_signer(model, body)


@pytest.mark.parametrize("model", ["laboratory/signing-dc", "iskra/wm3m4c"])
def test_a_begin_without_an_end_is_ended_before_the_next(model: str) -> None:
    async def body(bench: Bench, signer: MeterSigner) -> None:
        deadline = bench.clock.now() + 30 * NS_PER_S
        first = await signer.sign(end=False, id_token="A", deadline=deadline)
        second = await signer.sign(end=False, id_token="B", deadline=deadline)
        assert first != second
        assert [one["kind"] for one in readings(second)] == ["B"]
        assert bench.sims[1].writes.signed == 3  # type: ignore[union-attr]

    with_signer(model, body)


@given(st.one_of(st.text(max_size=300), st.text(max_size=200).map(lambda t: f"OCMF|{t}"), st.builds(
    lambda a, b: f"OCMF|{a}|{b}", st.sampled_from(['{"RD":[{}]}', "{}", "[]", "["]), st.sampled_from(['{"SD":"30"}', '{"SD":3}', "{}|"]),
)))
def test_any_text_is_taken_apart_or_refused(text: str) -> None:
    try:
        parts = ocmf.parse(text)
    except ProtocolError:
        return
    assert text.startswith(f"OCMF|{parts.signed}|")


@given(st.binary(max_size=120), st.sampled_from(["der", "point"]))
def test_any_bytes_are_a_key_or_refused(raw: bytes, form: str) -> None:
    try:
        key = ocmf.key_hex(raw, form)  # type: ignore[arg-type]
    except ProtocolError:
        return
    assert key.startswith("30")


@pytest.mark.parametrize(("line", "wrong"), [
    ('public_key = "x"', "'x' is not a register"), ('time = "v"', "v is written"), ('id_token = "v"', "v has type float32"),
    ('id_text = "me"', "has no {id}"),
])
def test_a_wrong_signing_section_is_named(line: str, wrong: str) -> None:
    shot = '{ command = "v", value = 1, status = "v", done = [1], data = "v" }'
    text = f"{GOOD}\n[signing]\nbegin = {shot}\nend = {shot}\n{line}\n"
    with pytest.raises(ConfigError) as error:
        parse_profile("t/t", text, "t.toml")
    assert any(wrong in problem for problem in error.value.problems), error.value.problems
