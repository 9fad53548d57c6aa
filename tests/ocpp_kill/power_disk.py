"""A disk that loses what was not synced: an SQLite VFS that knows, for every file, what is durable.

Files are real ones in a directory. Every write goes through at once, so the file is what the kernel would show to the
next process after SIGKILL. Beside it stands what a power cut leaves for sure: the contents at the last ``xSync`` of
that file, and the writes since then in order. `PowerDisk.cut` puts any part of those onto the durable contents, torn at
sectors and out of order, as disks and file systems do; what lies beyond the old end reads as zeros unless written.
SQLite is told nothing that a real disk does not promise (default device characteristics of its Unix VFS, which assume
that a write does not harm bytes beside it).

The product's own connection is the one of the standard library; it cannot take a VFS written in Python. So `connect`
opens the same file with apsw and speaks like `sqlite3.Connection` as far as `evse.storage` needs it: same SQL, same
pragmas, same SQLite code below. WAL without shared memory needs the exclusive locking mode; one process has the file
anyway.
"""

from __future__ import annotations

import contextlib
import itertools
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from random import Random
from typing import Any

import apsw

from tests.ocpp_kill.fuse import Cut, Fuse

SECTOR = 512
_numbers = itertools.count()


class _Durable:
    """One file: what a power cut cannot take, and what it can."""

    def __init__(self, contents: bytes | None) -> None:
        self.contents = None if contents is None else bytearray(contents)  # None = not even the file is durable
        self.waiting: list[tuple[int, bytes | None]] = []  # (offset, data), or (size, None) for a truncation
        self.deleted = False  # but its directory was not synced: a power cut may bring it back

    def synced(self) -> None:
        found = self.contents = self.contents if self.contents is not None else bytearray()
        for offset, data in self.waiting:
            if data is None:
                _resize(found, offset)
            else:
                _resize(found, max(len(found), offset + len(data)))
                found[offset : offset + len(data)] = data
        self.waiting.clear()

    def after_cut(self, rng: Random) -> bytes | None:
        """Return what is found after the power has come back."""
        if self.deleted and rng.random() < 0.5:
            return None
        if self.contents is None and (not self.waiting or rng.random() < 0.3):
            return None
        found = bytearray(self.contents or b"")
        keep = rng.choice((0.0, 0.0, 0.5, 0.9, 1.0))
        for offset, data in self.waiting:
            if data is None:
                if rng.random() < keep:
                    _resize(found, offset)
                continue
            start = 0
            while start < len(data):
                end = min(len(data), start + SECTOR - (offset + start) % SECTOR)
                if rng.random() < keep:
                    _resize(found, max(len(found), offset + end))
                    found[offset + start : offset + end] = data[start:end]
                start = end
        return bytes(found)


def _resize(contents: bytearray, size: int) -> None:
    del contents[size:]
    contents.extend(bytes(size - len(contents)))


class PowerDisk:
    """The disk of one station over all its lives. ``lies`` = a disk that syncs nothing (the harness must notice that)."""

    def __init__(self, *, lies: bool = False, checkpoint_pages: int = 1000) -> None:
        self.lies = lies
        self.checkpoint_pages = checkpoint_pages
        """SQLite's own 1000, or few: then short lives are cut in checkpoints too."""
        self.fuse = Fuse()
        self.full = False
        """Every write fails with SQLITE_FULL while this is set."""
        self.writes = 0
        self.syncs = 0
        self._files: dict[str, _Durable] = {}
        self._vfs: list[_Vfs] = []
        self._open: list[Connection] = []

    def insert(self, fuse: Fuse) -> None:
        """Begin a new life; connections of the life before must be given up with `abandon` first."""
        self.fuse = fuse

    def connect(self, path: str) -> Any:
        """`evse.storage.schema.Connect`."""
        vfs = _Vfs(self, self.fuse)
        self._vfs.append(vfs)
        connection = Connection(path, vfs.name, self.checkpoint_pages)
        self._open.append(connection)
        return connection

    def abandon(self) -> None:
        """Close the file descriptors of a process that has ended; its fuse is blown, so nothing is written."""
        for connection in self._open:
            connection.abandon()
        self._open.clear()
        for vfs in self._vfs:
            vfs.unregister()
        self._vfs.clear()

    def cut(self, rng: Random) -> None:
        """The power goes: all files become what was synced and some of the rest. Call after `abandon`."""
        for name, durable in self._files.items():
            path = Path(name)
            found = durable.after_cut(rng)
            if found is None:
                path.unlink(missing_ok=True)
            else:
                path.write_bytes(found)
        self._files.clear()

    def file(self, name: str) -> _Durable:
        """What is known of a file; one that was there before counts as durable."""
        if name not in self._files or self._files[name].deleted:
            path = Path(name)
            self._files[name] = _Durable(path.read_bytes() if path.exists() else None)
        return self._files[name]

    def removed(self, name: str, *, durable: bool) -> None:
        """A file was deleted."""
        if durable:
            self._files.pop(name, None)
        elif name in self._files:
            self._files[name].deleted = True

    def synced(self, file: _Durable) -> None:
        """A file was synced; of one that is new the directory too, as SQLite's Unix VFS does, and with it all deletions."""
        self.syncs += 1
        if self.lies:
            return
        if file.contents is None:
            for other, known in list(self._files.items()):
                if known.deleted:
                    del self._files[other]
        file.synced()


class _Vfs(apsw.VFS):
    """Hands out files that the disk watches. One for each connection: it belongs to one life."""

    def __init__(self, disk: PowerDisk, fuse: Fuse) -> None:
        self.disk = disk
        self.fuse = fuse
        self.name = f"power{next(_numbers)}"
        super().__init__(self.name, "unix-none")

    def xOpen(self, name: Any, flags: list[int]) -> Any:
        self.fuse.step("disk open")
        file = _File(self, name, flags)
        self.fuse.stepped("disk open")
        return file

    def xDelete(self, filename: str, syncdir: bool) -> None:
        if self.fuse.blown:
            return  # SQLite clears up after the error that ended it; no commit succeeds without a write
        self.fuse.step("disk delete")
        super().xDelete(filename, syncdir)
        self.disk.removed(filename, durable=syncdir)
        self.fuse.stepped("disk delete")


class _File(apsw.VFSFile):
    def __init__(self, vfs: _Vfs, name: Any, flags: list[int]) -> None:
        text = name.filename() if isinstance(name, apsw.URIFilename) else name
        self._disk, self._fuse = vfs.disk, vfs.fuse
        self._name = str(text) if text else ""
        self._known = vfs.disk.file(self._name) if self._name else _Durable(b"")
        super().__init__("unix-none", name, flags)

    def xWrite(self, data: bytes, offset: int) -> None:
        self._fuse.step("disk write")
        if self._disk.full:
            raise apsw.FullError("the disk is full (a test)")
        super().xWrite(data, offset)
        self._known.waiting.append((offset, bytes(data)))
        self._disk.writes += 1
        self._fuse.stepped("disk write")

    def xTruncate(self, newsize: int) -> None:
        if self._fuse.blown:
            return
        self._fuse.step("disk truncate")
        super().xTruncate(newsize)
        self._known.waiting.append((newsize, None))
        self._fuse.stepped("disk truncate")

    def xSync(self, flags: int) -> None:
        if self._fuse.blown:
            return
        self._fuse.step("disk sync")
        self._disk.synced(self._known)
        self._fuse.stepped("disk sync")


class Connection:
    """An apsw connection in the words of `sqlite3.Connection` that `evse.storage` uses."""

    def __init__(self, path: str, vfs: str, checkpoint_pages: int) -> None:
        with _errors():
            self._db = apsw.Connection(path, vfs=vfs, statementcachesize=128)
            self._db.execute("PRAGMA locking_mode = EXCLUSIVE")
            self._db.execute(f"PRAGMA wal_autocheckpoint = {checkpoint_pages}")

    @property
    def in_transaction(self) -> bool:
        return bool(self._db.in_transaction)

    def execute(self, sql: str, values: Sequence[Any] = ()) -> Cursor:
        with _errors():
            before = self._db.total_changes()
            cursor = self._db.execute(sql, tuple(values))
            return Cursor(cursor, self._db.total_changes() - before)

    def executemany(self, sql: str, rows: Iterable[Sequence[Any]]) -> Cursor:
        with _errors():
            before = self._db.total_changes()
            cursor = self._db.executemany(sql, [tuple(row) for row in rows])
            return Cursor(cursor, self._db.total_changes() - before)

    def close(self) -> None:
        """As the standard library: a checkpoint that fails in it is no error."""
        with contextlib.suppress(apsw.Error):
            self._db.close(True)

    def abandon(self) -> None:
        """Give up the file descriptors of a dead process."""
        with contextlib.suppress(Cut, apsw.Error):
            self._db.close(True)


class Cursor:
    """Rows of one statement."""

    def __init__(self, cursor: Any, rowcount: int) -> None:
        self._cursor = cursor
        self.rowcount = rowcount

    def fetchone(self) -> Any:
        with _errors():
            return self._cursor.fetchone()

    def fetchall(self) -> list[Any]:
        with _errors():
            return list(self._cursor.fetchall())

    def __iter__(self) -> Iterator[Any]:
        return iter(self.fetchall())


@contextlib.contextmanager
def _errors() -> Iterator[None]:
    """Turn errors of apsw into those of `sqlite3`, with their names."""
    try:
        yield
    except apsw.Error as error:
        code = getattr(error, "extendedresult", None) or getattr(error, "result", 1)
        same: type[sqlite3.DatabaseError] = sqlite3.OperationalError
        if isinstance(error, apsw.ConstraintError):
            same = sqlite3.IntegrityError
        elif isinstance(error, apsw.CorruptError | apsw.NotADBError):
            same = sqlite3.DatabaseError
        told = same(str(error))
        told.sqlite_errorcode = code
        told.sqlite_errorname = str(apsw.mapping_extended_result_codes.get(code) or apsw.mapping_result_codes.get(code & 0xFF, ""))
        raise told from error
