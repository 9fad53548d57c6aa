"""The store keeps, finds, bounds and orders what it is given."""

from __future__ import annotations

import asyncio
import itertools
from pathlib import Path

import pytest

from evse.domain.base import BugError
from evse.domain.records import AuditRecord, CachedToken, PointRecord
from evse.domain.session import AuthSource, SessionRecord, StopReason
from evse.domain.view import Event
from evse.storage import outbox, records, sessions
from evse.storage.db import InlineExecutor, Store, ThreadExecutor
from tests.storage.support import WALL, ended, row, run, session


async def memory() -> Store:
    return await Store.open(":memory:", executor=InlineExecutor())


def test_every_field_of_a_session_comes_back() -> None:
    async def main() -> None:
        store = await memory()
        full = SessionRecord(
            session_id="x", evse_id=2, connector_id=1, plugged_at=1, started_at=2, ended_at=3,
            unplugged_at=4, energy_wh=5, meter_start_wh=6, meter_stop_wh=11, soc_start_pct=20,
            soc_end_pct=80, power_max_w=150_000, auth_source=AuthSource.REMOTE,
            id_token="ABC", evcc_id="001122334455", transaction_id=77,
            stop_reason=StopReason.STOPPED_BY_EV, fault="F4 Insulation",
        )
        await store.save_session(full)
        assert await store.session("x") == full
        assert await store.session("y") is None

    run(main())


def test_late_save_does_not_remove_what_is_known() -> None:
    """The core may save a session before it learnt the transaction number; the number stays."""

    async def main() -> None:
        store = await memory()
        await store.begin_transaction(session(), row(1, outbox.START))
        await store.outbox_started(1, "s1", 4711)
        await store.end_transaction(ended(), row(1, outbox.STOP))
        await store.save_session(session(soc_start_pct=30))
        kept = await store.session("s1")
        assert kept is not None
        assert (kept.transaction_id, kept.ended_at, kept.stop_reason) == (4711, WALL + 10, StopReason.LOCAL)
        assert kept.soc_start_pct == 30

    run(main())


def test_sessions_page_filter_and_totals() -> None:
    async def main() -> None:
        store = await memory()
        for n in range(1, 8):
            await store.save_session(ended(n, evse_id=1 + n % 2, unplugged_at=None if n == 7 else WALL + 100))
        page, total, energy = await store.sessions(limit=2, offset=1)
        assert [item.session_id for item in page] == ["s6", "s5"]
        assert (total, energy) == (7, 3500)
        assert [item.session_id for item in (await store.sessions("active"))[0]] == ["s7"]
        assert (await store.sessions("completed"))[1] == 6
        assert (await store.sessions(evse_id=2))[1] == 4
        assert (await store.sessions(text="card3"))[1] == 1
        assert (await store.sessions(text="%"))[1] == 0  # a wildcard is text here
        assert (await store.sessions(text="loc"))[1] == 7
        assert [item.session_id for item in await store.open_sessions()] == ["s7"]

    run(main())


def test_open_transactions_are_those_without_an_end() -> None:
    async def main() -> None:
        store = await memory()
        await store.begin_transaction(session(1), None)
        await store.begin_transaction(session(2), None)
        await store.end_transaction(ended(2), None)
        await store.save_session(session(3, started_at=None))
        assert [item.session_id for item in await store.open_transactions()] == ["s1"]

    run(main())


def test_a_transaction_has_one_start_and_one_stop_for_ever() -> None:
    """Also after the rows were delivered and removed (a second StopTransaction at reboot is a classic)."""

    async def main() -> None:
        store = await memory()
        for _ in range(2):
            await store.begin_transaction(session(), row(1, outbox.START))
        assert await store.outbox_counts() == (1, 0)
        await store.outbox_started(1, "s1", 9)
        await store.begin_transaction(session(), row(1, outbox.START, "other"))
        assert await store.outbox_counts() == (0, 0)
        await store.end_transaction(ended(), row(1, outbox.STOP))
        first = await store.outbox_head()
        assert first is not None
        await store.outbox_done(first.row_id)
        await store.end_transaction(ended(), row(1, outbox.STOP, "again"))
        assert await store.outbox_head() is None

    run(main())


def test_number_reaches_waiting_and_later_rows() -> None:
    async def main() -> None:
        store = await memory()
        await store.begin_transaction(session(), row(1, outbox.START))
        assert await store.outbox_append(row(1, outbox.METER, "m1"))
        assert await store.outbox_start_waits("s1")
        await store.outbox_started(1, "s1", 55)
        assert not await store.outbox_start_waits("s1")
        await store.outbox_append(row(1, outbox.METER, "m2"))
        await store.end_transaction(ended(), row(1, outbox.STOP))
        rows = await store.outbox_rows()
        assert [(r.unique_id, r.transaction_id) for r in rows] == [("m1", 55), ("m2", 55), ("StopTransaction-1", 55)]

    run(main())


def test_no_meter_row_follows_the_stop() -> None:
    async def main() -> None:
        store = await memory()
        await store.begin_transaction(session(), row(1, outbox.START))
        await store.end_transaction(ended(), row(1, outbox.STOP))
        assert not await store.outbox_append(row(1, outbox.METER, "late"))
        assert [r.action for r in await store.outbox_rows()] == [outbox.START, outbox.STOP]

    run(main())


@pytest.mark.parametrize("stop_answered", [False, True])
def test_a_parked_row_holds_its_session_and_is_never_dropped_or_sent_after_its_stop(stop_answered: bool) -> None:
    """``stop_answered``: by a release before, which let a stop pass."""

    async def main() -> None:
        store = await memory()
        await store.begin_transaction(session(), row(1, outbox.START))
        await store.outbox_started(1, "s1", 55)
        await store.outbox_append(row(1, outbox.METER, "m1"))
        await store.end_transaction(ended(), row(1, outbox.STOP))
        meter, stop = await store.outbox_rows()
        await store.outbox_park(meter.row_id, "refused")
        assert await store.outbox_head() is None
        assert (await store.outbox_rows())[1].parked == "waits behind the parked MeterValues of its session"
        if stop_answered:
            await store.outbox_done(stop.row_id)
        assert await store.outbox_unpark() == (0 if stop_answered else 2)
        left = [r.action for r in await store.outbox_rows()]
        assert left == ([outbox.METER] if stop_answered else [outbox.METER, outbox.STOP])
        assert await store.outbox_unpark(meter.row_id) == 0
        assert await store.outbox_counts() == ((0, 1) if stop_answered else (2, 0))

    run(main())


def test_row_without_its_session_is_refused() -> None:
    """A sample may come before the start of its transaction is durable."""

    async def main() -> None:
        store = await memory()
        assert not await store.outbox_append(row(5, outbox.METER))
        assert await store.outbox_counts() == (0, 0)
        with pytest.raises(BugError, match="reason"):
            await store.outbox_park(1, "")
        await store.put("a", "b", "usable after a bug in a write")
        assert await store.get("a", "b") is not None

    run(main())


def test_parked_rows_stay_and_return_to_their_place() -> None:
    async def main() -> None:
        store = await memory()
        for n in (1, 2):
            await store.begin_transaction(session(n), row(n, outbox.START))
        await store.outbox_attempted(1, 3)
        await store.outbox_park(1, "InternalError")
        first = await store.outbox_head()
        assert first is not None
        assert first.session_id == "s2"
        assert await store.outbox_counts() == (1, 1)
        assert await store.outbox_unpark() == 1
        first = await store.outbox_head()
        assert first is not None
        assert (first.session_id, first.attempts) == ("s1", 3)

    run(main())


def test_meter_rows_are_thinned_and_starts_and_stops_never(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbox, "METER_ROWS_MAX", 20)

    async def main() -> None:
        store = await memory()
        await store.begin_transaction(session(), row(1, outbox.START))
        for n in range(100):
            await store.outbox_append(row(1, outbox.METER, f"m{n:03}"))
        await store.end_transaction(ended(), row(1, outbox.STOP))
        rows = await store.outbox_rows()
        meters = [r.unique_id for r in rows if r.action == outbox.METER]
        assert len(meters) <= 20
        assert meters == sorted(meters)
        assert (meters[0], meters[-1]) == ("m000", "m099")
        assert (rows[0].action, rows[-1].action) == (outbox.START, outbox.STOP)

    run(main())


def test_points_are_buffered_flushed_by_age_and_thinned_evenly() -> None:
    async def main() -> None:
        store = await memory()
        for second in range(1000):
            point = PointRecord(session_id="s1", wall=WALL + second * 10**9, power_w=second, energy_wh=0)
            await store.add_points([point])
        assert len(store._points) <= 31
        points = await store.points("s1", 240)
        assert len(points) == 240
        assert (points[0].power_w, points[-1].power_w) == (0, 999)
        steps = {b.power_w - a.power_w for a, b in itertools.pairwise(points)}
        assert steps <= {4, 5}
        await store.add_points([PointRecord(session_id="s1", wall=WALL + 10**13, power_w=7, energy_wh=70)])
        last = await store.last_point("s1")
        assert last is not None
        assert last.energy_wh == 70
        for energy_wh in (80, 75):  # the clock was set back, twice: what was told at this mark last is not forgotten
            await store.add_points([PointRecord(session_id="s1", wall=WALL + 10**13, power_w=7, energy_wh=energy_wh)])
            await store.flush()
        last = await store.last_point("s1")
        assert last is not None and last.energy_wh == 80

    run(main())


def test_retention_bounds_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(records, "EVENTS_MAX", 10)
    monkeypatch.setattr(records, "AUDITS_MAX", 5)
    monkeypatch.setattr(records, "CACHE_MAX", 3)
    monkeypatch.setattr(sessions, "POINTS_MAX", 50)
    monkeypatch.setattr(sessions, "SESSIONS_MAX", 4)

    async def main() -> None:
        store = await memory()
        for seq in range(1, 31):
            event = Event(seq=seq, wall=WALL + seq, kind="fault.raised", evse_id=1, data={"n": seq})
            await store.append_events([event])
            await store.audit(AuditRecord(wall=seq, who="root", origin="cli", operation=f"op{seq}"))
            walls = range(seq * 10, seq * 10 + 7)
            await store.add_points([PointRecord(session_id="s", wall=w, power_w=seq, energy_wh=0) for w in walls])
        await store.flush()
        found, total = await store.events("fault.", 1, limit=3)
        assert (total, [e.seq for e in found], found[0].data) == (10, [30, 29, 28], {"n": 30})
        assert (await store.events("fault_", -1))[1] == 0
        assert await store.last_event_seq() == 30
        audits, count = await store.audits(limit=1)
        assert (count, audits[0].operation) == (5, "op30")
        assert len(await store.points("s", 1000)) == 50
        for n in range(1, 9):
            done = ended(n, unplugged_at=WALL)
            await store.begin_transaction(done if n != 2 else session(2), row(n, outbox.START) if n == 3 else None)
        kept = {item.session_id for item in (await store.sessions())[0]}
        assert {"s2", "s3", "s7", "s8"} == kept  # s2 is still plugged in, s3 has an unsent message

    run(main())


def test_event_numbers_are_stored_once() -> None:
    async def main() -> None:
        store = await memory()
        event = Event(seq=5, wall=1, kind="a", evse_id=0)
        await store.append_events([event, event])
        await store.append_events([Event(seq=5, wall=2, kind="b", evse_id=0)])
        assert await store.events() == ([event], 1)
        assert await store.events_between(0, 0, 3) == [event]

    run(main())


def test_cache_forgets_the_least_recently_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(records, "CACHE_MAX", 3)

    async def main() -> None:
        store = await memory()
        for name in ("a", "b", "c"):
            await store.cache_put(CachedToken(id_token=name, status="Accepted"))
        assert await store.cache_get("A") == CachedToken(id_token="A", status="Accepted")
        await store.cache_put(CachedToken(id_token="d", status="Blocked"))
        assert await store.cache_get("b") is None
        assert await store.cache_get("a") is not None
        assert await store.cache_clear() == 3

    run(main())


def test_settings_are_durable_with_their_audit_row(tmp_path: Path) -> None:
    async def main() -> None:
        store = await Store.open(tmp_path / "db" / "evse.db", executor=InlineExecutor())
        await store.put("ocpp", "k", "v", audit=AuditRecord(wall=1, who="x", origin="y", operation="ocpp.set"))
        await store.put("ocpp", "gone", "v")
        await store.put("ocpp", "gone", None)
        await store.close()
        store = await Store.open(tmp_path / "db" / "evse.db", executor=InlineExecutor())
        assert await store.get_all("ocpp") == {"k": "v"}
        assert (await store.get("ocpp", "gone"), (await store.audits())[1]) == (None, 1)
        await store.close()

    run(main())


def test_thread_executor_keeps_the_order_of_calls(tmp_path: Path) -> None:
    """Tier R: the real writer thread; calls made together are done one after the other in their order."""

    async def main() -> None:
        store = await Store.open(tmp_path / "evse.db", executor=ThreadExecutor())
        await asyncio.gather(*(store.put("n", "last", str(n)) for n in range(50)))
        assert await store.get("n", "last") == "49"
        await store.close()

    run(main())
