"""The outbox against a model of lists: whatever is appended, answered, parked, sent again, moved or discarded in any order."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from evse.domain.records import NUMBERED, OutboxRow
from evse.domain.session import AuthSource, SessionRecord
from evse.storage import outbox, schema, sessions
from tests._support.examples import examples

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
        self.delivered: list[tuple[str, str, int]] = []
        self.count = 0

    def teardown(self) -> None:
        self.db.close()

    def _append(self, session: str, action: str, backend: str) -> bool:
        self.count += 1
        row = OutboxRow(
            unique_id=f"u{self.count}", action=action, session_id=session, payload="{}", created=self.count, backend=backend
        )
        held = any(other["session"] == session and other["parked"] and not _aside(other) for other in self.rows)
        stored = outbox.append(self.db, row)
        if stored:
            self.rows.append({
                "uid": row.unique_id, "action": action, "session": session, "parked": "held" if held else "", "tries": 0,
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

    @rule(backend=st.sampled_from(BACKENDS), fate=st.sampled_from(["answered", "answered", "parked", "aside"]))
    def deliver(self, backend: str, fate: str) -> None:
        found, expected = outbox.head(self.db, backend), self._head(backend)
        assert (None if found is None else found.unique_id) == (None if expected is None else expected["uid"])
        if found is None or expected is None:
            return
        assert (found.transaction_id, found.backend) == (expected["number"], expected["backend"])
        if fate == "aside" and found.action == METER:
            outbox.set_aside(self.db, found.row_id, "refused")
            expected["parked"] = outbox.ASIDE
            return
        if fate != "answered" or (found.action != START and found.transaction_id is None):
            expected["tries"] = int(expected["tries"] or 0) + 1
            outbox.attempted(self.db, found.row_id, int(expected["tries"]))
            outbox.park(self.db, found.row_id, "refused")
            for row in self.rows[self.rows.index(expected):]:
                if row["session"] == found.session_id:
                    row["parked"] = row["parked"] or "refused"
            return
        self.rows.remove(expected)
        self.delivered.append((found.session_id, found.action, found.row_id))
        if found.action == START:
            number = 100 + self.count
            outbox.started(self.db, found.row_id, found.session_id, number)
            self.numbers[found.session_id] = number
            for row in self.rows:
                if row["session"] == found.session_id:
                    row["number"] = number
        else:
            outbox.done(self.db, found.row_id)

    @rule(data=st.data(), which=st.sampled_from(["all", "one", "below"]))
    def resend(self, data: st.DataObject, which: str) -> None:
        present = outbox.rows(self.db, 100)
        chosen = data.draw(st.sampled_from(present)) if which == "one" and present else None
        below = data.draw(st.integers(1, 3)) if which == "below" else None
        again = [row for row in self.rows if row["parked"] and not _aside(row)]
        if chosen is not None:
            again = [row for row in again if row["session"] == chosen.session_id]
        else:  # another back end knows their number: only somebody who names the session sends them
            others = {row["session"] for row in self.rows if row["parked"] == NUMBERED}
            again = [row for row in again if row["session"] not in others]
        if below is not None:
            named = {row["session"] for row in again if 0 < int(row["tries"] or 0) < below}
            again = [row for row in again if row["session"] in named]
        assert outbox.unpark(self.db, None if chosen is None else chosen.row_id, below=below) == len(again)
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
                row["parked"] = row["parked"] if _aside(row) else NUMBERED

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
        assert waiting == sum(not row["parked"] for row in self.rows)
        assert parked == sum(bool(row["parked"]) and not _aside(row) for row in self.rows)

    @invariant()
    def no_session_is_told_twice_or_out_of_order(self) -> None:
        for session in {name for name, _, _ in self.delivered}:
            told = [(action, row_id) for name, action, row_id in self.delivered if name == session]
            assert [action for action, _ in told].count(START) == 1 and told[0][0] == START
            assert STOP not in [action for action, _ in told[:-1]]
            assert [row_id for _, row_id in told] == sorted({row_id for _, row_id in told})


def _aside(row: dict[str, str | int | None]) -> bool:
    return row["parked"] == outbox.ASIDE


Model.TestCase.settings = settings(max_examples=examples(400, 60), stateful_step_count=40, deadline=None)
TestOutboxModel = Model.TestCase

