"""DataTransfer of the recloser: any data has one of the answers of the manual."""

from __future__ import annotations

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from evse.domain.station import EvseSpec
from evse.runtime.recloser_messages import CHANGE_STATE, GET_STATE, RecloserMessages

STATION = RecloserMessages((EvseSpec(evse_id=1), EvseSpec(evse_id=2)), {})
TEXT = st.one_of(st.text(), st.from_regex(r"\s?[0-3]\s?(,\s?(open|close)\s?)?", fullmatch=True))


@given(TEXT)
def test_a_station_without_recloser_says_so_and_nothing_else(data: str) -> None:
    for message in (GET_STATE, CHANGE_STATE):
        status, reason = asyncio.run(STATION(message, data))
        assert status == "Rejected" and reason in ("notPresent", "invalidRequestData")
        number, _, state = (part.strip() for part in data.partition(","))
        form = state in ("open", "close") if message == CHANGE_STATE else "," not in data
        known = form and number.isascii() and number.isdigit() and number.lstrip("0") in ("1", "2")
        assert reason == ("notPresent" if known and len(number) < 10 else "invalidRequestData")


@given(st.text())
def test_other_messages_are_not_known(message: str) -> None:
    if message not in (GET_STATE, CHANGE_STATE):
        assert asyncio.run(STATION(message, "1")) == ("UnknownMessageId", None)
