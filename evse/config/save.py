"""Change and write ``station.toml``: comments stay, a power cut leaves the old or the new file, backups are kept.

Order of a save: validate, copy the old file to ``backups/``, write a temporary file beside the target, fsync, rename
over
the target, fsync the directory, read back and compare. At most `BACKUPS_PER_PREFIX` backups and none older than
`BACKUP_DAYS` stay.
"""

from __future__ import annotations

import datetime
import os
import re
from collections.abc import Mapping, MutableMapping
from pathlib import Path
from typing import Any, cast

import tomlkit
from tomlkit.exceptions import TOMLKitError

from evse.config.load import parse_config
from evse.config.options import option
from evse.config.source import read_toml
from evse.domain.base import ConfigError, DeviceError
from evse.units import NS_PER_S, WallNs

BACKUPS_PER_PREFIX = 10
BACKUP_DAYS = 30
FILE_MODE = 0o640

Value = str | int | bool | list[int]

_PART = re.compile(r"([A-Za-z0-9_-]+)(?:\[([^\]]+)\])?")


def _write_synced(path: Path, data: bytes, mode: int) -> None:
    """Create ``path`` with ``data`` and make both durable."""
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    try:
        view = memoryview(data)
        while view:
            view = view[os.write(handle, view) :]
        os.fchmod(handle, mode)
        os.fsync(handle)
    finally:
        os.close(handle)


def _sync_directory(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_atomic(path: Path, text: str, mode: int = FILE_MODE) -> None:
    """Replace the file ``path`` by ``text``: readers see the old or the new one, never a part. Raises `DeviceError`."""
    data = text.encode()
    temporary = path.with_name(f".{path.name}.new")
    try:
        _write_synced(temporary, data, mode)
        temporary.replace(path)
        _sync_directory(path.parent)
        back = path.read_bytes()
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise DeviceError(
            f"{path}: not saved: {error.strerror}; check free space and permissions of {path.parent}"
        ) from error
    if back != data:
        raise DeviceError(
            f"{path}: reading back gave {len(back)} other bytes than the {len(data)} written; check the disk"
        )


def _stamp(wall: WallNs) -> str:
    moment = datetime.datetime.fromtimestamp(wall // NS_PER_S, tz=datetime.UTC)
    return moment.strftime("%Y%m%dT%H%M%S") + f"{wall % NS_PER_S // 1000:06d}Z"


def backups(path: Path) -> list[Path]:
    """Backups of ``path``, newest first."""
    folder = path.parent / "backups"
    return sorted(folder.glob(f"{path.stem}.*Z{path.suffix}"), reverse=True) if folder.is_dir() else []


def prune_backups(path: Path, wall: WallNs) -> list[Path]:
    """Remove backups of ``path`` beyond the newest ten or older than thirty days; return what was removed."""
    oldest = f"{path.stem}.{_stamp(max(0, wall - BACKUP_DAYS * 86_400 * NS_PER_S))}{path.suffix}"
    gone = [p for i, p in enumerate(backups(path)) if i >= BACKUPS_PER_PREFIX or p.name < oldest]
    for old in gone:
        old.unlink(missing_ok=True)
    return gone


def save_config(path: Path, text: str, wall: WallNs) -> Path | None:
    """Validate ``text`` and make it the file ``path``; return the backup of the old file, None when there was none.

    Raises `ConfigError` (nothing was touched) or `DeviceError` (the old file is still in place, or could not be
    verified).
    An unchanged text writes nothing.
    """
    parse_config(text, str(path))
    mode, backup = FILE_MODE, None
    if path.is_file():
        old = path.read_text(encoding="utf-8")
        if old == text:
            return None
        mode = path.stat().st_mode & 0o777
        backup = path.parent / "backups" / f"{path.stem}.{_stamp(wall)}{path.suffix}"
        try:
            backup.parent.mkdir(mode=0o750, exist_ok=True)
        except OSError as error:
            raise DeviceError(
                f"{backup.parent}: no backup, nothing saved: {error.strerror}; check permissions"
            ) from error
        write_atomic(backup, old, mode)
    write_atomic(path, text, mode)
    prune_backups(path, wall)
    return backup


def _descend(at: MutableMapping[str, Any], name: str, index: str | None, key: str) -> MutableMapping[str, Any]:
    """The table ``name`` of ``at`` (made when absent), or its element with id, name or position ``index``."""
    if name not in at:
        if index is not None:
            raise ConfigError([f"{key}: there is no {name}[{index}]; add the table in the file first"])
        at[name] = tomlkit.table()
    value = at[name]
    if index is not None:
        rows = value if isinstance(value, list) else []
        for position, row in enumerate(rows, 1):
            label = row.get("id", row.get("name", position)) if isinstance(row, MutableMapping) else None
            if str(label) == index:
                return cast("MutableMapping[str, Any]", row)
        raise ConfigError([f"{key}: there is no {name}[{index}]; add the table in the file first"])
    if not isinstance(value, MutableMapping):
        raise ConfigError([f"{key}: {name} is not a table; correct the file first"])
    return value


def set_values(text: str, changes: Mapping[str, Value | None], file: str = "station.toml") -> str:
    """Return ``text`` with options changed, comments and layout kept; None removes an option (its default counts
    again).

    Keys as in `evse.config.options.diff`: ``site.limit_w``, ``evse[2].free_charging``. The result is not validated.
    """
    read_toml(text, file)  # syntax errors with our line and column
    try:
        document = tomlkit.parse(text)
    except TOMLKitError as error:
        raise ConfigError([f"{file}:1: not valid TOML: {error}; correct the file first"]) from None
    for key, value in changes.items():
        if option(key) is None:
            raise ConfigError([f"{key}: there is no such option; see the list of options"])
        parts = [_PART.fullmatch(part) for part in key.split(".")]
        at: MutableMapping[str, Any] = document
        for part in parts[:-1]:
            if part is not None:
                at = _descend(at, part[1], part[2], key)
        name = key.rsplit(".", 1)[-1]
        if value is None:
            at.pop(name, None)
        else:
            at[name] = value
    return tomlkit.dumps(document)
