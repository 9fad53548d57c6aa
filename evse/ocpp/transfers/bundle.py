"""Packing a directory of files into one ``.tar.gz`` for the back end, piece by piece: memory stays small.

Runs in a thread. A file that is too large is cut at its begin (the end of a log is what counts) and says so.
"""

from __future__ import annotations

import gzip
import io
import os
import re
import shutil
import tarfile
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO, Final, cast

from evse.ocpp.transfers.errors import TransferError, Why
from evse.ocpp.transfers.partial import MIB, RESERVE_BYTES
from evse.units import NS_PER_S, WallNs

FILE_MAX: Final = 32 * MIB
TOTAL_MAX: Final = 128 * MIB
"""Of all files together, unpacked; what comes after it is named and left out."""

NAME_MAX: Final = 120
LEVEL: Final = 6


def bundle_name(station: str, kind: str, wall: WallNs) -> str:
    """Return the name of a bundle, e.g. ``DEMO-1-diagnostics-20261121T080000.123Z.tar.gz``: no two are alike."""
    who = re.sub(r"[^A-Za-z0-9._-]+", "_", station).strip("._-")[:48] or "station"
    when = datetime.fromtimestamp(wall // NS_PER_S, UTC)
    return f"{who}-{kind}-{when:%Y%m%dT%H%M%S}.{wall // 1_000_000 % 1000:03}Z.tar.gz"[-NAME_MAX:]


def pack(folder: Path, out: Path, wall: WallNs) -> int:
    """Pack the files of ``folder`` in the order of their names; return the size in bytes. ``out`` is whole or not there.

    Raises `TransferError` when the medium is full or fails.
    """
    beside = out.with_name(f"{out.name}.new")
    try:
        free = shutil.disk_usage(out.parent).free
        if free < RESERVE_BYTES:
            text = f"{out.parent}: only {free // MIB} MiB are free; make room on the medium"
            raise TransferError(Why.MEDIUM, text)
        with beside.open("wb") as raw:
            with gzip.GzipFile(filename="", mode="wb", compresslevel=LEVEL, fileobj=raw, mtime=wall // NS_PER_S) as packed:
                _fill(folder, cast(BinaryIO, packed), wall)
            raw.flush()
            os.fsync(raw.fileno())
        beside.replace(out)
        return out.stat().st_size
    except OSError as error:
        text = f"{out.parent}: the bundle cannot be written: {error.strerror}; check free space and rights"
        raise TransferError(Why.MEDIUM, text) from error
    finally:
        beside.unlink(missing_ok=True)


def _fill(folder: Path, packed: BinaryIO, wall: WallNs) -> None:
    total = 0
    notes: list[str] = []
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for path in sorted(folder.rglob("*")):
            if path.is_symlink() or not path.is_file():
                continue
            name = path.relative_to(folder).as_posix()
            size = path.stat().st_size
            if total >= TOTAL_MAX:
                notes.append(f"{name}: left out, the bundle is full ({size} bytes)")
                continue
            kept = min(size, FILE_MAX, TOTAL_MAX - total)
            if kept < size:
                notes.append(f"{name}: the first {size - kept} of {size} bytes are left out")
            info = tarfile.TarInfo(name)
            info.size, info.mtime, info.mode = kept, wall // NS_PER_S, 0o600
            with path.open("rb") as file:
                file.seek(size - kept)
                archive.addfile(info, file)
            total += kept
        if notes:
            text = "".join(f"{note}\n" for note in notes).encode()
            info = tarfile.TarInfo("LEFT_OUT.txt")
            info.size, info.mtime, info.mode = len(text), wall // NS_PER_S, 0o600
            archive.addfile(info, io.BytesIO(text))
