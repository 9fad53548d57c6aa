"""Texts that the services around AC connectors read or make: lists of a search, the sentence about limits."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from evse.api import models_ac as ac
from evse.api.errors import ApiError
from evse.domain.limits import LimitEntry, LimitSource
from evse.domain.view import EvseView
from evse.runtime.service.limits import SOURCES, amps, sentence
from evse.runtime.service.meters import detect_request
from tests._support.fake_ac import ac_evse


def test_lists_of_a_search_are_read() -> None:
    request = detect_request(
        ac.DetectStart(port="/dev/x", profiles="a/b, c/d", bauds="9600,19200", parities="n,e", units="1,5,10-12,5")
    )
    assert request.profiles == ("a/b", "c/d") and request.bauds == (9600, 19_200)
    assert request.parities == ("N", "E") and request.units == (1, 5, 10, 11, 12)


@given(st.text(max_size=40), st.text(max_size=40), st.text(max_size=40))
def test_any_text_is_read_or_refused_with_words(bauds: str, parities: str, units: str) -> None:
    try:
        request = detect_request(ac.DetectStart(port="p", bauds=bauds, parities=parities, units=units))
    except ApiError as error:
        assert error.message and error.hint
        return
    assert all(1200 <= b <= 115_200 for b in request.bauds)
    assert all(0 <= u <= 255 for u in request.units) and len(set(request.units)) == len(request.units)


@given(st.lists(st.tuples(st.integers(0, 255), st.integers(0, 255)), max_size=6))
def test_ranges_are_whole_and_without_repetition(pairs: list[tuple[int, int]]) -> None:
    ordered = [(min(p), max(p)) for p in pairs]
    request = detect_request(ac.DetectStart(port="p", units=",".join(f"{a}-{b}" for a, b in ordered)))
    assert set(request.units) == {u for a, b in ordered for u in range(a, b + 1)}


def _said(evse: EvseView, **side: Any) -> str:
    assert evse.ac is not None
    changed = replace(evse.ac, **side)
    return sentence(replace(evse, ac=changed), changed)


def _bound(source: LimitSource, current_ma: int, detail: str = "") -> tuple[LimitEntry, ...]:
    return (LimitEntry(source=source, power_w=0, binds=True, detail=detail, current_ma=current_ma),)


def test_the_sentence_says_what_is_offered_and_who_limits_it() -> None:
    evse = ac_evse(3)
    assert _said(evse) == (
        "Connector 3 offers 16 A on 3 phases, 11.0 kW; limited by a limit of another program (16 A): ems."
    )
    assert _said(evse, phases_next=1).startswith("Connector 3 offers 16 A on 1 phase, ")
    assert _said(evse, offered_ma=0, pause="the external release") == (
        "Connector 3 offers nothing: it waits for the external release."
    )
    scarce = replace(evse, limits=_bound(LimitSource.SITE, 4_200))
    assert _said(scarce, offered_ma=0) == (
        "Connector 3 offers nothing, less than 6 A is no offer; limited by the site limit (4.2 A)."
    )
    waits = replace(evse, limits=_bound(LimitSource.GRID, 16_000), waiting_for="the self-test")
    assert _said(waits, offered_ma=0) == "Connector 3 offers nothing: it waits for the self-test."
    free = replace(evse, session=None, limits=(), plugged=False)
    assert _said(free, offered_ma=0) == "Connector 3 offers nothing: no vehicle is connected."
    could = replace(evse, session=None, limits=_bound(LimitSource.CABLE, 20_000, "fixed cable"))
    assert _said(could, offered_ma=0) == (
        "Connector 3 offers nothing: no transaction is open; the lowest limit is the cable (20 A): fixed cable."
    )


def test_every_source_has_words() -> None:
    assert set(SOURCES) == set(LimitSource)


@pytest.mark.parametrize(("value", "text"), [(16_000, "16 A"), (13_500, "13.5 A"), (0, "0 A")])
def test_amps(value: int, text: str) -> None:
    assert amps(value) == text
