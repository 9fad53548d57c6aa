"""Opening the database file: durability settings, check, setting aside, migrations.

Why WAL with ``synchronous=FULL``: a commit returns after the WAL frames with the commit record were synced, so an
acknowledged row survives a power cut; a torn tail of the WAL is recognised by its checksums and ignored as a whole,
so no transaction is ever half there. ``NORMAL`` would sync at checkpoints only and lose acknowledged commits.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

from evse.domain.base import ConfigError
from evse.storage.executor import StorageError

MIGRATIONS_DIR = Path(__file__).parent / "migrations"
SET_ASIDE_MAX = 5
"""Damaged files that are kept; the oldest name is reused beyond it."""

CORRUPT_CODES = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)

Connect = Callable[[str], sqlite3.Connection]


def connect(path: str) -> sqlite3.Connection:
    """Open ``path`` with transactions under our own control; raise `sqlite3.Error`."""
    return sqlite3.connect(path, isolation_level=None, check_same_thread=False, cached_statements=256, timeout=5.0)


def migrations() -> list[tuple[int, str]]:
    """Return (version, SQL text) of all shipped migrations in order; versions are 1..n without gaps."""
    found = sorted(MIGRATIONS_DIR.glob("[0-9][0-9][0-9][0-9]_*.sql"))
    return [(int(path.name[:4]), path.read_text(encoding="utf-8")) for path in found]


def statements(script: str) -> Iterator[str]:
    """Split a script into complete statements (``executescript`` would commit in between)."""
    part = ""
    for line in script.splitlines(keepends=True):
        part += line
        if sqlite3.complete_statement(part):
            yield part
            part = ""
    if any(line.strip() and not line.lstrip().startswith("--") for line in part.splitlines()):
        raise StorageError(f"storage: migration ends inside a statement: {part.strip()[:60]!r}")


def version_of(db: sqlite3.Connection) -> int:
    """Return the schema version of an open database; 0 = empty."""
    return int(db.execute("PRAGMA user_version").fetchone()[0])


def migrate(db: sqlite3.Connection, path: str, upto: int | None = None) -> int:
    """Bring the schema to the newest (or to ``upto``), each step in one transaction, after a backup.

    Returns the version reached; raises `ConfigError` when the file was written by a newer release.
    """
    steps = migrations()
    newest = steps[-1][0]
    present = version_of(db)
    if present > newest:
        problem = (
            f"{path}: database has schema {present}, this release knows up to {newest}; "
            "install the newer release again, or move the file away to start with an empty history"
        )
        raise ConfigError([problem])
    todo = [(version, script) for version, script in steps if present < version <= (upto or newest)]
    if todo and present > 0 and path != ":memory:":
        backup = Path(f"{path}.schema{present}.bak")
        backup.unlink(missing_ok=True)
        db.execute("VACUUM INTO ?", (str(backup),))
    for version, script in todo:
        db.execute("BEGIN IMMEDIATE")
        try:
            for statement in statements(script):
                db.execute(statement)
            db.execute(f"PRAGMA user_version = {version}")
            db.execute("COMMIT")
        except BaseException:
            if db.in_transaction:
                db.execute("ROLLBACK")
            raise
    return version_of(db)


def is_corruption(error: sqlite3.Error) -> bool:
    """Tell a damaged file from a locked or unreachable one."""
    code = getattr(error, "sqlite_errorcode", None)
    return isinstance(code, int) and (code & 0xFF) in CORRUPT_CODES


def _prepare(path: str, open_: Connect) -> sqlite3.Connection:
    db = open_(path)
    try:
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = FULL")
        db.execute("PRAGMA foreign_keys = ON")
        db.execute("PRAGMA journal_size_limit = 4194304")
        verdict = db.execute("PRAGMA quick_check(1)").fetchone()[0]
        if verdict != "ok":
            error = sqlite3.DatabaseError(str(verdict))
            error.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
            raise error
        migrate(db, path)
    except BaseException:
        db.close()
        raise
    return db


def _set_aside(path: Path) -> Path:
    names = [path.with_name(f"{path.name}.damaged{n}") for n in range(1, SET_ASIDE_MAX + 1)]
    free = [name for name in names if not name.exists()]
    target = free[0] if free else min(names, key=lambda name: name.stat().st_mtime_ns)
    for suffix in ("", "-wal", "-shm"):
        source = path.with_name(path.name + suffix)
        if source.exists():
            source.replace(target.with_name(target.name + suffix))
    return target


def open_database(path: Path | str, open_: Connect = connect) -> tuple[sqlite3.Connection, Path | None]:
    """Open, check and migrate; a damaged file is moved aside and replaced by an empty one.

    Returns the connection and the new name of the damaged file (None = the file was sound).
    Raises `ConfigError` for a newer schema and `StorageError` when the place cannot be used at all.
    """
    text = str(path)
    aside: Path | None = None
    try:
        if text != ":memory:":
            Path(text).parent.mkdir(parents=True, exist_ok=True)
        try:
            db = _prepare(text, open_)
        except sqlite3.Error as error:
            if text == ":memory:" or not is_corruption(error):
                raise
            aside = _set_aside(Path(text))
            db = _prepare(text, open_)
    except (sqlite3.Error, OSError) as error:
        problem = f"storage {text}: cannot be opened: {error}; check the directory, its owner and free space"
        raise StorageError(problem, "PersistenceOpenFailed") from error
    return db, aside
