"""The outbox against a model of lists: whatever is appended, answered, parked, sent again, moved or discarded in any order."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from evse.domain.records import OutboxRow
from evse.domain.session import AuthSource, SessionRecord
from evse.storage import outbox, schema, sessions

START, METER, STOP = "StartTransaction", "MeterValues", "StopTransaction"
BACKENDS = ("", "a/x", "b/x")


class Model(RuleBasedStateMachine):
    """``rows`` is what should be stored, in order; ``delivered`` what was answered."""

    def __init__(self) -> None:
        super().__init__()
        self.db = schema.open_database(":memory:")[0]
        self.rows: list[dict[str, str | int | None]] = []
        self.started: dict[str, str] = {}  # session -> back end
        self.numbers: dict[str, int] = {}
        self.stopped: set[str] = set()
        self.delivered: list[tuple[str, str]] = []
        self.count = 0

    def teardown(self) -> None:
        self.db.close()

    def _append(self, session: str, action: str, backend: str) -> bool:
        self.count += 1
        row = OutboxRow(
            unique_id=f"u{self.count}", action=action, session_id=session, payload="{}", created=self.count, backend=backend
        )
        stored = outbox.append(self.db, row)
        if stored:
            self.rows.append({
                "uid": row.unique_id, "action": action, "session": session, "parked": "",
                "backend": backend if action == START else self.started[session], "number": self.numbers.get(session),
            })
        return stored

    @rule(session=st.sampled_from("pqrs"), backend=st.sampled_from(BACKENDS))
    def start(self, session: str, backend: str) -> None:
        record = SessionRecord(
            session_id=session, evse_id=1, connector_id=1, plugged_at=1, started_at=1, id_token="T", auth_source=AuthSource.RFID
        )
        sessions.save(self.db, record)
        assert self._append(session, START, backend) is (session not in self.started and session not in self.stopped)
        self.started.setdefault(session, backend)

    @rule(session=st.sampled_from("pqrs"))
    def meter(self, session: str) -> None:
        expected = session in self.started and session not in self.stopped
        assert self._append(session, METER, "ignored/x") is expected

    @rule(session=st.sampled_from("pqrs"))
    def stop(self, session: str) -> None:
        if session in self.started:
            assert self._append(session, STOP, "") is (session not in self.stopped)
            self.stopped.add(session)

    def _head(self, backend: str) -> dict[str, str | int | None] | None:
        return next(
            (row for row in self.rows if not row["parked"] and (not backend or row["backend"] in ("", backend))), None
        )

    @rule(backend=st.sampled_from(BACKENDS), park=st.booleans())
    def deliver(self, backend: str, park: bool) -> None:
        found, expected = outbox.head(self.db, backend), self._head(backend)
        assert (None if found is None else found.unique_id) == (None if expected is None else expected["uid"])
        if found is None or expected is None:
            return
        assert (found.transaction_id, found.backend) == (expected["number"], expected["backend"])
        if park or (found.action != START and found.transaction_id is None):
            outbox.park(self.db, found.row_id, "refused")
            expected["parked"] = "refused"
            return
        self.rows.remove(expected)
        self.delivered.append((found.session_id, found.action))
        if found.action == START:
            number = 100 + self.count
            outbox.started(self.db, found.row_id, found.session_id, number)
            self.numbers[found.session_id] = number
            for row in self.rows:
                if row["session"] == found.session_id:
                    row["number"] = number
        else:
            outbox.done(self.db, found.row_id)

    @rule(data=st.data(), one=st.booleans())
    def resend(self, data: st.DataObject, one: bool) -> None:
        present = outbox.rows(self.db, 100)
        chosen = data.draw(st.sampled_from(present)) if one and present else None
        stops = {row["session"] for row in self.rows if row["action"] == STOP}
        self.rows = [  # parked readings whose stop was answered meanwhile go
            row for row in self.rows
            if not (row["parked"] and row["action"] == METER and row["session"] in self.stopped - stops)
        ]
        if chosen is None:
            again = [row for row in self.rows if row["parked"]]
        elif any(row["uid"] == chosen.unique_id for row in self.rows):
            again = [row for row in self.rows if row["parked"] and row["session"] == chosen.session_id]
        else:
            again = []
        assert outbox.unpark(self.db, None if chosen is None else chosen.row_id) == len(again)
        for row in again:
            row["parked"] = ""

    @rule(backend=st.sampled_from(BACKENDS[1:]))
    def adopt(self, backend: str) -> None:
        outbox.adopt(self.db, backend)
        for row in self.rows:
            row["backend"] = row["backend"] or backend
        self.started = {name: whose or backend for name, whose in self.started.items()}

    def _foreign(self, backend: str) -> list[dict[str, str | int | None]]:
        return [row for row in self.rows if row["backend"] not in ("", backend)]

    @rule(backend=st.sampled_from(BACKENDS[1:]))
    def move(self, backend: str) -> None:
        theirs = self._foreign(backend)
        unstarted = {row["session"] for row in self.rows if row["action"] == START}
        moved, aside = outbox.move(self.db, backend)
        assert (moved, aside) == (
            sum(row["session"] in unstarted for row in theirs), sum(row["session"] not in unstarted for row in theirs)
        )
        for row in theirs:
            row["backend"] = backend
            if row["session"] in unstarted:
                self.started[str(row["session"])] = backend
            else:
                row["parked"] = "another"

    @rule(backend=st.sampled_from(BACKENDS[1:]), wrong=st.integers(-1, 1))
    def discard(self, backend: str, wrong: int) -> None:
        theirs = self._foreign(backend)
        assert outbox.discard(self.db, backend, len(theirs) + wrong) == (None if wrong else len(theirs))
        if not wrong:
            self.rows = [row for row in self.rows if row not in theirs]

    @invariant()
    def the_same_rows_in_the_same_order(self) -> None:
        stored = [
            (row.unique_id, row.action, row.session_id, bool(row.parked), row.backend, row.transaction_id)
            for row in outbox.rows(self.db, 1000)
        ]
        assert stored == [
            (r["uid"], r["action"], r["session"], bool(r["parked"]), r["backend"], r["number"]) for r in self.rows
        ]
        waiting, parked = outbox.counts(self.db)
        assert (waiting + parked, parked) == (len(self.rows), sum(bool(row["parked"]) for row in self.rows))

    @invariant()
    def no_session_is_told_twice_or_after_its_stop(self) -> None:
        for session in {name for name, _ in self.delivered}:
            told = [action for name, action in self.delivered if name == session]
            assert told.count(START) == 1 == told.index(START) + 1
            assert told.count(STOP) <= 1
            assert METER not in told[told.index(STOP):] if STOP in told else True


Model.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestOutboxModel = Model.TestCase

