"""The sixteen Persistence* vendor codes: which part of storing failed. All of them are fault F17.

Source of causes, loss and remedies: Charge Control C user guide 3.3.4.17 to 3.3.4.32. `persistence_code` chooses the
name for an error of SQLite (sqlite.org/rescode.html); ``PersistenceTooManyTransactions`` and the counting, clearing
and dropping of tables have no operation here that fails on its own, they are explained for stations of that maker.
"""

from __future__ import annotations

from typing import Final

import msgspec


class PersistenceText(msgspec.Struct, frozen=True, kw_only=True):
    """One vendor code of fault F17."""

    name: str  # vendorErrorCode, e.g. "PersistenceReadOnly"
    description: str
    cause: str
    impact: str
    remedy_remote: str
    remedy_on_site: str


_DISK = "the file system of the storage medium is damaged"
_FILE = "the database file is damaged"
_FULL = "the medium is full"
_TWICE = "the back end gave the same transaction number twice"


def _row(name: str, description: str, causes: tuple[str, ...], *, loses: bool, reset: bool, space: bool) -> PersistenceText:
    """``loses``: transactions may be gone. ``reset``: a restart can help. ``space``: look for free space."""
    words = f"{', '.join(causes[:-1])}, or {causes[-1]}" if len(causes) > 1 else causes[0]
    return PersistenceText(
        name=name,
        description=description,
        cause=f"{words[0].upper()}{words[1:]}.",
        impact=(
            "Charging ends or does not start; running transactions and those not yet sent may be lost."
            if loses
            else "No charging, unless the configuration allows it without a record."
        ),
        remedy_remote=(
            "Fetch the logs and send them to the maker."
            + (" Then restart the service with an OCPP Reset." if reset else " A restart alone does not help.")
        ),
        remedy_on_site=(
            "Check and repair the file system."
            + (" Make free space." if space else "")
            + " If that does not help, move the database file away, keep it for unsent sessions, and restart the station."
        ),
    )


_ROWS: tuple[PersistenceText, ...] = (
    _row("PersistenceOpenFailed", "The database file cannot be opened.", (_DISK,), loses=False, reset=True, space=False),
    _row("PersistenceUnlinkDenied", "A file of the database cannot be removed.", (_DISK,), loses=False, reset=True, space=False),
    _row("PersistenceReadOnly", "The database can be read but not written.", (_DISK,), loses=False, reset=True, space=False),
    _row("PersistenceInvalidType", "A stored value is of the wrong type.", (_FILE,), loses=False, reset=False, space=False),
    _row("PersistenceCountError", "Stored rows cannot be counted.", (_FILE, _DISK), loses=False, reset=True, space=True),
    _row("PersistenceClearError", "A table cannot be emptied.", (_FILE, _DISK), loses=False, reset=True, space=True),
    _row(
        "PersistenceNoInsertRowId", "A row was stored, but its number is not known.", (_FILE, _DISK, _FULL),
        loses=True, reset=False, space=True,
    ),
    _row("PersistencePrepareFailed", "The database refuses a statement.", (_FILE, _DISK), loses=True, reset=False, space=True),
    _row(
        "PersistenceUpdateFailed", "A stored row cannot be changed.", (_FILE, _DISK, _FULL, _TWICE),
        loses=True, reset=True, space=True,
    ),
    _row("PersistenceDropFailed", "A table cannot be removed.", (_FILE, _DISK), loses=False, reset=True, space=True),
    _row(
        "PersistenceTransactionFailed", "A set of changes cannot be begun or completed.", (_FILE, _DISK, _FULL),
        loses=False, reset=True, space=True,
    ),
    _row("PersistenceCreateFailed", "A table cannot be made.", (_FILE, _DISK, _FULL), loses=False, reset=True, space=True),
    _row(
        "PersistenceInsertFailed", "A new row cannot be stored.", (_FILE, _DISK, _FULL, _TWICE),
        loses=True, reset=True, space=True,
    ),
    _row("PersistenceDeleteFailed", "A stored row cannot be removed.", (_FILE, _DISK), loses=False, reset=True, space=False),
    PersistenceText(
        name="PersistenceTooManyTransactions",
        description="As many transactions wait for the back end as may be kept.",
        cause="The station was offline for long.",
        impact="No charging until some of them were sent.",
        remedy_remote="Look why the back end is not reached; then restart the service with an OCPP Reset.",
        remedy_on_site="Check modem, SIM card, antenna, network cable and router; repair the internet connection.",
    ),
    _row("PersistenceFinalizeFailed", "A statement cannot be ended.", (_FILE, _DISK), loses=True, reset=True, space=False),
)

PERSISTENCE_CODES: dict[str, PersistenceText] = {row.name: row for row in _ROWS}
"""Every vendor code of fault F17, in the order of the manual."""

_BY_ERROR: Final = (
    ("SQLITE_READONLY", "PersistenceReadOnly"),
    ("SQLITE_CANTOPEN", "PersistenceOpenFailed"),
    ("SQLITE_NOTADB", "PersistenceOpenFailed"),
    ("SQLITE_AUTH", "PersistenceOpenFailed"),
    ("SQLITE_PERM", "PersistenceOpenFailed"),
    ("SQLITE_IOERR_DELETE", "PersistenceUnlinkDenied"),
    ("SQLITE_MISMATCH", "PersistenceInvalidType"),
    ("SQLITE_CONSTRAINT_DATATYPE", "PersistenceInvalidType"),
    ("SQLITE_ERROR", "PersistencePrepareFailed"),
    ("SQLITE_SCHEMA", "PersistencePrepareFailed"),
    ("SQLITE_MISUSE", "PersistencePrepareFailed"),
)
"""Names that say enough by themselves; the first that begins the error's name counts."""

_BY_STEP: Final = {
    "begin": "PersistenceTransactionFailed",
    "commit": "PersistenceTransactionFailed",
    "write": "PersistenceInsertFailed",
}


def persistence_code(error: str, step: str) -> str:
    """Return the vendor code of an SQLite error (``"SQLITE_FULL"``, "" = unknown) in a step: begin, write, commit."""
    for start, code in _BY_ERROR:
        if error.startswith(start):
            return code
    return _BY_STEP[step]
