"""What the files for the back end hold (GetDiagnostics, GetLog): everything that tells what happened, and no secrets.

Database rows are written page by page, so that months of them need little memory. Each part is written for itself: one
that fails leaves its error in ``PROBLEMS.txt`` and does not take the others with it.
"""

from __future__ import annotations

import asyncio
import platform
import shutil
from collections.abc import Awaitable, Callable, Iterable, Sequence
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec

from evse import __version__
from evse.config.options import redact
from evse.domain.base import DeviceError
from evse.runtime.log_ring import installed, without_credentials
from evse.units import NS_PER_MS, NS_PER_S, WallNs

if TYPE_CHECKING:
    from evse.runtime.station import Station

PAGE: Final = 500
PAGES_MAX: Final = 400
QUEUE_MAX: Final = 1000
TRACES_MAX: Final = 20
JOURNAL_S: Final = 20.0
JOURNAL_LINES: Final = 50_000
JOURNAL_BYTES: Final = 16 << 20

Page = Callable[[int, int], Awaitable[tuple[Sequence[Any], int]]]
"""(limit, offset) to (rows newest first, number of all)."""

SecurityText = Callable[[WallNs | None, WallNs | None], Awaitable[str]]


class BundleSource:
    """`evse.ocpp.transfers.ports.LogSource` on a running station."""

    def __init__(self, station: Station, security_text: SecurityText | None, *, journal: bool) -> None:
        """``journal`` = the journal of the service may be asked (a program is run)."""
        self._station = station
        self._asks_journal = journal
        self._security_text = security_text

    async def collect(self, kind: str, folder: Path, since: WallNs | None, until: WallNs | None) -> None:
        """Write the files of a kind; raises `DeviceError` only when there is no such kind of log on this station."""
        parts: dict[str, Callable[[Path, WallNs | None, WallNs | None], Awaitable[None]]] = {"security.log": self._security}
        if kind == "diagnostics":
            parts = {
                "about.json": self._about, "station.toml": self._config, "status.json": self._status,
                "events.ndjson": self._events, "sessions.ndjson": self._sessions, "audit.ndjson": self._audits,
                "ocpp.ndjson": self._messages, "ocpp.json": self._ocpp, "daemon.log": self._lines, "journal.log": self._journal,
                "traces": self._traces, **parts,
            }
        elif self._security_text is None:
            raise DeviceError("this station keeps no security log")
        problems = []
        for name, write in parts.items():
            try:
                await write(folder / name, since, until)
            except (DeviceError, OSError, UnicodeError) as error:
                problems.append(f"{name}: {error}")
        if problems:
            await self._put(folder / "PROBLEMS.txt", "\n".join(problems) + "\n")

    async def _put(self, path: Path, text: str) -> None:
        await self._station.offload(lambda: path.write_text(text, encoding="utf-8", errors="replace"))

    async def _json(self, path: Path, value: object) -> None:
        raw = msgspec.json.format(msgspec.json.encode(value), indent=2).decode()
        await self._put(path, without_credentials(raw) + "\n")

    async def _append(self, path: Path, rows: Iterable[object]) -> None:
        lines = "".join(without_credentials(msgspec.json.encode(row).decode()) + "\n" for row in rows)

        def job() -> None:
            with path.open("a", encoding="utf-8") as file:
                file.write(lines)

        await self._station.offload(job)

    async def _about(self, path: Path, since: WallNs | None, until: WallNs | None) -> None:
        station = self._station
        packages = await station.offload(_packages)
        free = await station.offload(lambda: shutil.disk_usage(station.data_dir).free)
        await self._json(path, {
            "station": station.config.station.id, "version": __version__, "firmware": station.firmware_version,
            "python": platform.python_version(), "system": " ".join(platform.uname()), "packages": packages,
            "made_at": station.clock.wall(), "clock_valid": station.clock.wall_valid(), "started_at": station.started_wall,
            "since": since, "until": until, "data_dir_free_bytes": free,
        })

    async def _config(self, path: Path, since: WallNs | None, until: WallNs | None) -> None:
        file = self._station.config_path
        if file is not None:
            await self._put(path, redact(await self._station.offload(lambda: file.read_text(encoding="utf-8"))))

    async def _status(self, path: Path, since: WallNs | None, until: WallNs | None) -> None:
        station = self._station
        await self._json(path, {
            "view": station.view(), "links": station.devices.health(), "loop": {
                "ticks": station.loop.stats.count, "late": station.loop.stats.late,
                "lateness_max_ms": station.loop.stats.lateness_max_ns / NS_PER_MS, "fault": station.loop.fault,
                "trouble": station.loop.trouble,
            },
            "restart_needed": station.restart_needed(),
        })

    async def _pages(
        self, path: Path, page: Page, wall: Callable[[Any], WallNs], since: WallNs | None, until: WallNs | None
    ) -> None:
        """Append what lies in the window; rows come newest first."""
        for number in range(PAGES_MAX):
            rows, _ = await page(PAGE, number * PAGE)
            kept = [row for row in rows if _inside(wall(row), since, until)]
            if kept:
                await self._append(path, kept)
            if len(rows) < PAGE or (since is not None and wall(rows[-1]) < since):
                return

    async def _events(self, path: Path, since: WallNs | None, until: WallNs | None) -> None:
        store = self._station.store
        await self._pages(path, lambda n, at: store.events(limit=n, offset=at), lambda row: int(row.wall), since, until)

    async def _audits(self, path: Path, since: WallNs | None, until: WallNs | None) -> None:
        store = self._station.store
        await self._pages(path, store.audits, lambda row: int(row.wall), since, until)

    async def _sessions(self, path: Path, since: WallNs | None, until: WallNs | None) -> None:
        """A session belongs to the window when it overlaps it."""
        store = self._station.store
        for number in range(PAGES_MAX):
            rows, _, _ = await store.sessions(limit=PAGE, offset=number * PAGE)
            kept = [
                row for row in rows
                if (until is None or row.plugged_at <= until)
                and (since is None or row.unplugged_at is None or row.unplugged_at >= since)
            ]
            if kept:
                await self._append(path, kept)
            if len(rows) < PAGE:
                return

    async def _messages(self, path: Path, since: WallNs | None, until: WallNs | None) -> None:
        client = self._station.ocpp
        if client is not None:
            await self._append(path, [row for row in client.messages(10_000) if _inside(row.wall, since, until)])

    async def _ocpp(self, path: Path, since: WallNs | None, until: WallNs | None) -> None:
        station, client = self._station, self._station.ocpp
        if client is None:
            return
        await self._json(path, {
            "status": client.summary(), "link": [row for row in client.link_events(1000) if _inside(row.wall, since, until)],
            "keys": client.keys(), "queue": await station.store.outbox_rows(QUEUE_MAX),
            "transfers": None if station.transfers is None else station.transfers.status(),
        })

    async def _lines(self, path: Path, since: WallNs | None, until: WallNs | None) -> None:
        ring = installed()
        if ring is not None:
            await self._put(path, "".join(f"{line}\n" for line in ring.lines(since, until)))

    async def _security(self, path: Path, since: WallNs | None, until: WallNs | None) -> None:
        if self._security_text is not None:
            await self._put(path, await self._security_text(since, until))

    async def _traces(self, path: Path, since: WallNs | None, until: WallNs | None) -> None:
        source = self._station.data_dir / "traces"

        def job() -> None:
            found = [p for p in source.glob("*.evsetrace") if _inside(p.stat().st_mtime_ns, since, until)]
            for trace in sorted(found, key=lambda p: p.stat().st_mtime_ns)[-TRACES_MAX:]:
                path.mkdir(exist_ok=True)
                shutil.copyfile(trace, path / trace.name)

        await self._station.offload(job)

    async def _journal(self, path: Path, since: WallNs | None, until: WallNs | None) -> None:
        """The journal of the service, where there is one: it also holds what was before the last start."""
        program = shutil.which("journalctl")
        if program is None or not self._asks_journal:
            return
        words = [program, "--unit=evsed", "--output=short-iso-precise", "--no-pager", "--quiet", f"--lines={JOURNAL_LINES}"]
        words += [] if since is None else [f"--since=@{since // NS_PER_S}"]
        words += [] if until is None else [f"--until=@{until // NS_PER_S + 1}"]
        text = without_credentials((await _output(words)).decode("utf-8", "replace"))
        if text:
            await self._put(path, text)


async def _output(words: list[str]) -> bytes:
    """Return at most `JOURNAL_BYTES` of what a program prints."""
    process = await asyncio.create_subprocess_exec(
        *words, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL
    )
    parts: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(JOURNAL_S):
            while process.stdout is not None and size < JOURNAL_BYTES and (part := await process.stdout.read(1 << 16)):
                parts.append(part)
                size += len(part)
    except TimeoutError:
        parts.append(b"\n(cut off: journalctl took too long)\n")
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
    return b"".join(parts)


def _inside(wall: WallNs, since: WallNs | None, until: WallNs | None) -> bool:
    return (since is None or wall >= since) and (until is None or wall <= until)


def _packages() -> dict[str, str]:
    names = ("aiohttp", "cryptography", "msgspec", "ocpp", "pymodbus", "python-can", "textual", "websockets")
    found = {}
    for name in names:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "not installed"
    return found
