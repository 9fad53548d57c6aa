"""`Firmware` by a program: ``firmware.installer`` of the configuration, called as ``PROGRAM version``, ``PROGRAM install
FILE`` and ``PROGRAM activate``. docs/ocpp-transfers.md has the contract for who writes one.

Lines ``progress N`` on stdout tell the percent of an installation; the last other line is the answer. Exit 0 = done,
2 = the bundle is not for this station or damaged, anything else = failed; stderr says why.
"""

from __future__ import annotations

import asyncio
import contextlib
import shlex
from collections import deque
from collections.abc import Callable
from typing import Final

from evse.domain.firmware import BundleError, InstallError

ASK_S: Final = 30.0
INSTALL_S: Final = 3600.0
END_S: Final = 5.0
"""Between TERM and KILL."""

EXIT_BUNDLE: Final = 2
SAID_LINES: Final = 5
LINE_MAX: Final = 4096
TEXT_MAX: Final = 300


class ProgramInstaller:
    """Runs ``command`` (words as a shell would read them, but without a shell)."""

    def __init__(self, command: str) -> None:
        self._words = shlex.split(command)

    async def version(self) -> str:
        """See `Firmware.version`."""
        return await self._run(ASK_S, "version")

    async def install(self, path: str, progress: Callable[[int], None]) -> str:
        """See `Firmware.install`."""
        return await self._run(INSTALL_S, "install", path, progress=progress)

    async def activate(self) -> None:
        """See `Firmware.activate`."""
        await self._run(ASK_S, "activate")

    async def _run(self, seconds: float, *args: str, progress: Callable[[int], None] = lambda percent: None) -> str:
        name = self._words[0]
        try:
            process = await asyncio.create_subprocess_exec(
                *self._words, *args, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE, limit=LINE_MAX, start_new_session=True,
            )
        except OSError as error:
            raise InstallError(f"{name}: cannot be run: {error.strerror}; check firmware.installer") from error
        said: deque[str] = deque(maxlen=SAID_LINES)
        try:
            async with asyncio.timeout(seconds):
                answer, _, code = await asyncio.gather(
                    _answer(process.stdout, progress), _keep(process.stderr, said), process.wait()
                )
        except TimeoutError:
            raise InstallError(f"{name} {args[0]}: not ready within {seconds:g} s") from None
        finally:
            await _end(process)
        why = " / ".join(said)[:TEXT_MAX] or f"{name} {args[0]}: exit code {code}"
        if code == EXIT_BUNDLE:
            raise BundleError(why)
        if code != 0:
            raise InstallError(why)
        if not answer and args[0] != "activate":
            raise InstallError(f"{name} {args[0]}: has ended without telling a version")
        return answer


async def _lines(stream: asyncio.StreamReader | None, take: Callable[[str], None]) -> None:
    """Give every line to ``take``; of a line that is too long its rest counts as the next one."""
    while stream is not None:
        try:
            line = await stream.readline()
        except ValueError:  # longer than the limit: what was read of it is gone
            continue
        if not line:
            return
        text = line.decode("utf-8", "replace").strip()
        take("".join(char if char.isprintable() else " " for char in text))


async def _answer(stream: asyncio.StreamReader | None, progress: Callable[[int], None]) -> str:
    last = ""

    def take(text: str) -> None:
        nonlocal last
        word, _, rest = text.partition(" ")
        if word == "progress":
            with contextlib.suppress(ValueError):
                progress(min(100, max(0, int(rest))))
        elif text:
            last = text[:TEXT_MAX]

    await _lines(stream, take)
    return last


async def _keep(stream: asyncio.StreamReader | None, said: deque[str]) -> None:
    def take(text: str) -> None:
        if text:
            said.append(text)

    await _lines(stream, take)


async def _end(process: asyncio.subprocess.Process) -> None:
    """TERM, then KILL; nothing happens to a process that has ended."""
    if process.returncode is not None:
        return
    process.terminate()
    try:
        async with asyncio.timeout(END_S):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()
