"""Pairing and filters of the message log."""

from __future__ import annotations

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from evse.ocpp.log import LOG_MAX, LoggedMessage, MessageLog
from evse.ocpp.log_view import PLACES_MAX, Filter, PairedMessage, Pairing, select
from evse.units import NS_PER_MS

MS = NS_PER_MS


def log(*rows: tuple[int, str, str, str, str, str]) -> list[LoggedMessage]:
    made = MessageLog()
    for at_ms, direction, kind, action, unique_id, payload in rows:
        made.add(at_ms * MS, direction, kind, action, unique_id, payload)
    return made.all()


def paired(entries: list[LoggedMessage]) -> list[PairedMessage]:
    return Pairing().update(entries)


ENTRIES = log(
    (0, "sent", "call", "StartTransaction", "a", '{"connectorId":2,"idTag":"AB"}'),
    (5, "received", "call", "Reset", "a", '{"type":"Soft"}'),  # the same id, the other way
    (9, "sent", "result", "Reset", "a", '{"status":"Accepted"}'),
    (120, "received", "result", "StartTransaction", "a", '{"transactionId":71,"idTagInfo":{"status":"Accepted"}}'),
    (200, "sent", "call", "StopTransaction", "b", '{"transactionId":71,"meterStop":5}'),
    (200, "sent", "call", "StopTransaction", "b", '{"transactionId":71,"meterStop":5}'),  # again after a silence
    (260, "received", "error", "StopTransaction", "b", '["InternalError","",{}]'),
    (300, "received", "malformed", "", "b", "nobody asked"),
)


def test_answers_find_their_calls_and_connectors() -> None:
    rows = paired(ENTRIES)
    assert [(r.message.seq, r.pair, r.latency_ms, r.evse_id) for r in rows] == [
        (1, 4, None, 2), (2, 3, None, None), (3, 2, 4, None), (4, 1, 120, 2), (5, None, None, 2), (6, 7, None, 2),
        (7, 6, 60, 2), (8, None, None, None),
    ]  # fmt: skip


def test_filters_act_together() -> None:
    rows = paired(ENTRIES)

    def seqs(limit: int = 100, **wanted: object) -> list[int]:
        return [r.message.seq for r in select(rows, Filter(**wanted), limit)]  # type: ignore[arg-type]

    assert seqs(action="stoptransaction") == [5, 6, 7]
    assert seqs(action="StopTransaction", direction="received") == [7]
    assert seqs(evse_id=2, text="accepted") == [4]
    assert seqs(text="internalERROR") == [7]
    assert seqs(limit=2) == [7, 8] and seqs(limit=0) == []


directions = st.sampled_from(("sent", "received"))
entries = st.lists(st.tuples(
    st.integers(0, 1000), directions, st.sampled_from(("call", "result", "error", "malformed")), st.sampled_from(("A", "B")),
    st.sampled_from(("1", "2", "3")), st.sampled_from(('{"connectorId":1}', '{"transactionId":5}', '{"connectorId":', "")),
), max_size=30)  # fmt: skip


@given(entries)
def test_pairs_are_mutual_and_go_both_ways(given_: list[tuple[int, str, str, str, str, str]]) -> None:
    rows = {r.message.seq: r for r in paired(log(*given_))}
    for row in rows.values():
        if row.pair is None:
            assert row.latency_ms is None
            continue
        other = rows[row.pair]
        assert other.pair == row.message.seq and other.message.unique_id == row.message.unique_id
        assert {row.message.direction, other.message.direction} == {"sent", "received"}
        assert (row.latency_ms is None) is (row.message.type == "call")
        assert row.latency_ms is None or row.latency_ms >= 0


@given(entries, st.lists(st.integers(1, 30), max_size=6))
def test_what_is_taken_in_portions_is_the_same(given_: list[tuple[int, str, str, str, str, str]], cuts: list[int]) -> None:
    whole = log(*given_)
    pairing = Pairing()
    for cut in sorted(cuts):
        pairing.update(whole[:cut])
    assert pairing.update(whole) == paired(whole) and pairing.update(whole) == paired(whole)


def test_what_has_left_the_log_is_forgotten() -> None:
    made, pairing = MessageLog(), Pairing()
    for number in range(3 * LOG_MAX):
        made.add(0, "sent", "call", "MeterValues", f"u{number}", f'{{"connectorId":1,"transactionId":{number}}}')
        if number % 7 == 0:
            rows = pairing.update(made.all())
            assert [row.message.seq for row in rows] == [entry.seq for entry in made.all()]
    pairing.update(made.all())
    assert len(pairing._rows) == LOG_MAX and len(pairing._calls) == LOG_MAX and len(pairing._places) <= PLACES_MAX
    made.add(1, "received", "result", "MeterValues", "u0", "{}")  # its call is gone
    assert pairing.update(made.all())[-1].pair is None


def test_who_watches_is_told_and_the_log_stays_bounded() -> None:
    async def watch() -> None:
        made = MessageLog()
        with made.watch() as added:
            assert not added.is_set()
            made.add(0, "sent", "call", "Heartbeat", "x", "{}")
            await asyncio.wait_for(added.wait(), 1)
        added.clear()
        for _ in range(LOG_MAX + 5):
            made.add(0, "sent", "call", "Heartbeat", "x", "{}")
        assert not added.is_set() and len(made.all()) == LOG_MAX

    asyncio.run(watch())
