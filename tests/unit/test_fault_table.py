"""The fault table is complete, unambiguous, and says what the manual's catalogue says."""

from __future__ import annotations

import contextlib
import re
import sqlite3
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evse.domain.fault_table import FAULTS, PERSISTENCE_CODES, vendor_code
from evse.domain.fault_tables.persistence import PersistenceText, persistence_code
from evse.domain.faults import FaultCode, FaultKinds, FaultRecord, FaultSpec, LatchRule, Reaction, Severity
from evse.domain.session import StopReason

CATALOGUE = """
1 PowerSwitchFailure -
2 ConnectorLockFailure PlugLockMotorCapNotCharged
3 ConnectorLockFailure PlugLockMotorUnexpectedOpen
4 ConnectorLockFailure PlugLockMotorUnexpectedClose
5 ConnectorLockFailure PlugLockCannotLock
6 ConnectorLockFailure PlugLockCannotUnlock
7 PowerMeterFailure CommunicationError
8 PowerMeterFailure InternalError
9 PowerMeterFailure IdleMeterError
10 PowerMeterFailure ActiveMeterError
11 ReaderFailure -
12 GroundFailure SpuriousRcdError
12 GroundFailure RcdTestError
12 GroundFailure RcdGroundFailure
13 OtherError EmergencyShutdown
14 OtherError RcdRecloserFailure
15 OtherError PersistenceOpenFailed
15 OtherError PersistenceUnlinkDenied
15 OtherError PersistenceReadOnly
15 OtherError PersistenceInvalidType
15 OtherError PersistenceCountError
15 OtherError PersistenceClearError
15 OtherError PersistenceNoInsertRowId
15 OtherError PersistencePrepareFailed
15 OtherError PersistenceUpdateFailed
15 OtherError PersistenceDropFailed
15 OtherError PersistenceTransactionFailed
15 OtherError PersistenceCreateFailed
15 OtherError PersistenceInsertFailed
15 OtherError PersistenceDeleteFailed
15 OtherError PersistenceTooManyTransactions
15 OtherError PersistenceFinalizeFailed
16 LocalListConflict -
0 OtherError ProximityNoCable
0 OtherError ProximityInvalid
0 OtherError ProximityChanged
"""
"""Charge Control C user guide, table 3 (3.3.4): priority, error code, vendor code. Typed from the manual; 0 = none given."""

ROWS = [(int(prio), error, "" if vendor == "-" else vendor) for prio, error, vendor in map(str.split, CATALOGUE.split("\n")[1:-1])]

OCPP16 = {
    "ConnectorLockFailure", "EVCommunicationError", "GroundFailure", "HighTemperature", "InternalError",
    "LocalListConflict", "NoError", "OtherError", "OverCurrentFailure", "OverVoltage", "PowerMeterFailure",
    "PowerSwitchFailure", "ReaderFailure", "ResetFailure", "UnderVoltage", "WeakSignal",
}
"""ChargePointErrorCode of OCPP 1.6, section 7.6."""


def ours() -> dict[tuple[str, str], set[int]]:
    """(error code, vendor code) -> priorities of the rows that say so; the codes of F17 share its row."""
    found: dict[tuple[str, str], set[int]] = {}
    for spec in FAULTS.values():
        found.setdefault((spec.ocpp16, spec.vendor_code), set()).add(spec.priority)
    storage = FAULTS[FaultCode.STORAGE]
    return found | {(storage.ocpp16, name): {storage.priority} for name in PERSISTENCE_CODES}


def test_catalogue_of_the_manual_is_covered_and_no_vendor_code_is_invented() -> None:
    assert len(ROWS) == 36
    assert {(error, vendor) for _, error, vendor in ROWS} <= ours().keys()
    vendors = {spec.vendor_code for spec in FAULTS.values()} - {""} | set(PERSISTENCE_CODES)
    assert vendors == {vendor for _, _, vendor in ROWS} - {""}


def test_order_of_the_manual_is_kept() -> None:
    """A smaller number in the manual is a smaller number here, for every pair of rows. PowerSwitchFailure: the contactors."""
    contactors = {FAULTS[c].priority for c in (FaultCode.CONTACTOR_WELDED, FaultCode.CONTACTOR_NOT_CLOSED)}
    ranks = [(prio, contactors if prio == 1 else ours()[(error, vendor)]) for prio, error, vendor in ROWS if prio]
    for first, mine in ranks:
        for second, other in ranks:
            assert first >= second or max(mine) < min(other), (first, second)


def test_table_is_complete_and_unambiguous() -> None:
    assert list(FAULTS) == list(FaultCode)
    assert [spec.code.value for spec in FAULTS.values()] == [f"F{n}" for n in range(1, len(FaultCode) + 1)]
    specs = list(FAULTS.values())
    assert len({s.name.lower() for s in specs}) == len({s.priority for s in specs}) == len(specs)
    vendors = [s.vendor_code for s in specs if s.vendor_code] + list(PERSISTENCE_CODES)
    assert len({v.lower() for v in vendors}) == len(vendors)
    for s in specs:
        assert re.fullmatch(r"([A-Z][a-z]+)+", s.name) and s.scope in ("station", "evse"), s.name
        assert s.ocpp16 in OCPP16 - {"NoError"} and len(f"{s.code.value} {s.name}") <= 50 and len(s.vendor_code) <= 50
        assert s.scope == "evse" or s.kinds is FaultKinds.BOTH, s.name
        StopReason(s.stop_reason)


def test_texts_are_sentences_that_name_commands_which_a_screen_can_show() -> None:
    rows: list[FaultSpec | PersistenceText] = [*FAULTS.values(), *PERSISTENCE_CODES.values()]
    for row in rows:
        for text in (row.description, row.cause, row.impact, row.remedy_remote, row.remedy_on_site):
            assert 20 < len(text) < 260 and text.endswith(".") and text[0].isupper(), (row.name, text)
            assert text.isascii() and "  " not in text and text.count("`") % 2 == 0, (row.name, text)


def test_a_reaction_that_takes_energy_is_never_only_a_latch_of_the_table() -> None:
    """What needs a visit is critical; what goes away by itself is not; a warning never needs a technician to clear it."""
    for s in FAULTS.values():
        assert (s.severity is Severity.CRITICAL) == (s.latch is LatchRule.MANUAL), s.name
        assert s.reaction is not Reaction.EMERGENCY or s.severity is not Severity.WARNING, s.name
        assert s.reaction in (Reaction.STOP, Reaction.EMERGENCY) or s.severity is Severity.WARNING, s.name


@pytest.mark.parametrize(
    ("code", "reaction", "latch"),
    [
        # user guide 15.15.2: spurious and test errors are cancelled by hand, a ground failure ends with the vehicle
        (FaultCode.RCD_SPURIOUS, Reaction.EMERGENCY, LatchRule.MANUAL),
        (FaultCode.RCD_TEST, Reaction.STOP, LatchRule.MANUAL),
        (FaultCode.RCD_GROUND_FAILURE, Reaction.EMERGENCY, LatchRule.UNPLUG),
        # 3.3.4.11, 3.3.4.16, 3.3.4.33: charging goes on
        (FaultCode.READER_FAILURE, Reaction.NONE, LatchRule.AUTO),
        (FaultCode.RCD_RECLOSER_FAILURE, Reaction.NONE, LatchRule.AUTO),
        (FaultCode.LOCAL_LIST_CONFLICT, Reaction.NONE, LatchRule.AUTO),
        # 3.3.4.34 to 36: interrupted, interrupted, goes on with less until unplugged
        (FaultCode.PROXIMITY_NO_CABLE, Reaction.STOP, LatchRule.UNPLUG),
        (FaultCode.PROXIMITY_INVALID, Reaction.STOP, LatchRule.UNPLUG),
        (FaultCode.PROXIMITY_CHANGED, Reaction.DERATE, LatchRule.UNPLUG),
        # 15.14: as fast as possible; it ends when the switch or the rule does
        (FaultCode.EMERGENCY_SHUTDOWN, Reaction.EMERGENCY, LatchRule.AUTO),
    ],
)
def test_reactions_of_the_manual(code: FaultCode, reaction: Reaction, latch: LatchRule) -> None:
    assert (FAULTS[code].reaction, FAULTS[code].latch) == (reaction, latch)


# -- vendor codes of F17 --------------------------------------------------------------------------------------------


def failing(work: list[str], path: str = ":memory:", *, uri: bool = False) -> str:
    """Run statements; return the vendor code of the error that SQLite itself raises."""
    with pytest.raises(sqlite3.Error) as caught:
        db = sqlite3.connect(path, isolation_level=None, uri=uri)
        with contextlib.closing(db):
            for statement in work:
                db.execute(statement)
    return persistence_code(caught.value.sqlite_errorname, "write")


def test_errors_of_sqlite_get_the_code_that_fits(tmp_path: Path) -> None:
    file = tmp_path / "x.db"
    sqlite3.connect(file).execute("CREATE TABLE t (a)").connection.close()
    assert failing(["INSERT INTO t VALUES (1)"], f"file:{file}?mode=ro", uri=True) == "PersistenceReadOnly"
    assert failing(["CREATE TABLE t (a)"], str(tmp_path / "none" / "x.db")) == "PersistenceOpenFailed"
    (tmp_path / "y.db").write_bytes(b"this is no database at all" * 100)
    assert failing(["CREATE TABLE t (a)"], str(tmp_path / "y.db")) == "PersistenceOpenFailed"
    assert failing(["INSERT INTO none VALUES (1)"]) == "PersistencePrepareFailed"
    assert failing(["CREATE TABLE t (a INTEGER PRIMARY KEY)", "INSERT INTO t VALUES ('x')"]) == "PersistenceInvalidType"
    assert failing(["CREATE TABLE t (a PRIMARY KEY)", *["INSERT INTO t VALUES (1)"] * 2]) == "PersistenceInsertFailed"
    full = ["PRAGMA max_page_count = 3", "CREATE TABLE t (a)", "INSERT INTO t VALUES (zeroblob(100000))"]
    assert failing(full) == "PersistenceInsertFailed"
    assert persistence_code("SQLITE_FULL", "commit") == persistence_code("", "begin") == "PersistenceTransactionFailed"
    assert persistence_code("SQLITE_IOERR_DELETE_NOENT", "write") == "PersistenceUnlinkDenied"


@given(st.text(max_size=40), st.sampled_from(["begin", "write", "commit"]))
def test_any_error_has_a_code_of_the_catalogue(error: str, step: str) -> None:
    assert persistence_code(error, step) in PERSISTENCE_CODES


@given(st.sampled_from(list(FaultCode)), st.text(max_size=60))
def test_vendor_code_is_always_one_of_the_table_or_our_number(code: FaultCode, detail: str) -> None:
    record = FaultRecord(code=code, evse_id=1, detail=detail, first_seen=1, last_seen=1, count=1, present=True)
    found = vendor_code(FAULTS[code], record)
    assert found == (FAULTS[code].vendor_code or code.value) or (code is FaultCode.STORAGE and found in PERSISTENCE_CODES)


# -- what is made from the table ------------------------------------------------------------------------------------


def test_man_page_and_document_have_every_fault() -> None:
    from evsectl import docs, fault_docs

    man, page = docs.man_pages()["man7/evse-faults.7"], fault_docs.page()
    for spec in FAULTS.values():
        assert f".B {spec.code.value} {spec.name}\n" in man and f"\n## {spec.code.value} {spec.name}\n" in page
    for name in PERSISTENCE_CODES:
        assert f".B {name}\n" in man and f"\n### {name}\n" in page


def test_every_fault_has_simulated_hardware_behind_it_or_says_what_else() -> None:
    from evse.sim.fault_catalogue import rows
    from evsectl.fault_docs import NOT_SIMULATED

    simulated = {FaultCode(code) for row in rows() for code in row["codes"]}
    assert simulated | set(NOT_SIMULATED) == set(FaultCode)
    assert not simulated & set(NOT_SIMULATED)
    for kind, other in (("ac", FaultKinds.DC), ("dc", FaultKinds.AC)):
        for row in rows():
            if row["kinds"] == [kind]:
                assert FAULTS[FaultCode(row["code"])].kinds is not other if row["code"] else True, row
