"""A simulated installer of firmware: bundles with a checksum, two slots in a directory, and faults on request.

A bundle is one line of JSON and the image behind it::

    {"evse_bundle": 1, "version": "0.2.0", "size": 1000, "sha256": "...", "fail": ""}

``fail`` lets the installation go wrong: ``verify`` (the bundle counts as forged), ``install`` (the medium fails), ``boot``
(the new version does not come up and the station falls back to the old one). The directory holds `STATE`, what a boot
loader would know. As a program it is what ``firmware.installer`` names::

    python -m evse.sim.installer DIRECTORY version | install BUNDLE | activate
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import msgspec

from evse.domain.firmware import BundleError, InstallError

STATE: Final = "slots.json"
HEAD_MAX: Final = 4096
READ: Final = 64 * 1024
STEPS: Final = 20
FAILURES: Final = ("", "verify", "install", "boot")

Sync = Callable[[int], None]


class Slots(msgspec.Struct, frozen=True, kw_only=True):
    """What runs, what was written beside it, and what starts next ("" = the same again)."""

    running: str = "0.1.0"
    written: str = ""
    next: str = ""
    fail: str = ""


def make_bundle(version: str, image: bytes, fail: str = "") -> bytes:
    """Return a bundle."""
    if fail not in FAILURES:
        raise ValueError(f"fail = {fail!r}: accepted: verify, install, boot")
    head = {
        "evse_bundle": 1, "version": version, "size": len(image), "sha256": hashlib.sha256(image).hexdigest(), "fail": fail,
    }
    return json.dumps(head).encode() + b"\n" + image


def check_bundle(path: Path) -> tuple[str, str]:
    """Return (version, fail) of a bundle that is whole; raise `BundleError`."""
    try:
        with path.open("rb") as file:
            line = file.readline(HEAD_MAX)
            head: Any = json.loads(line)
            if not isinstance(head, dict) or head.get("evse_bundle") != 1:
                raise BundleError(f"{path.name}: is no bundle for this station")
            version, size, wanted = str(head["version"]), int(head["size"]), str(head["sha256"])
            made, length = hashlib.sha256(), 0
            while piece := file.read(READ):
                made.update(piece)
                length += len(piece)
    except OSError as error:
        raise InstallError(f"{path.name}: cannot be read: {error.strerror}") from error
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise BundleError(f"{path.name}: is no bundle for this station") from error
    if length != size or made.hexdigest() != wanted:
        raise BundleError(f"{path.name}: damaged: {length} of {size} bytes, or another checksum")
    return version, str(head.get("fail", ""))


class SimFirmware:
    """`Firmware` in ``folder``. ``step_s`` = time of each of the 20 steps of an installation; `boot` is a restart."""

    def __init__(self, folder: Path, *, step_s: float = 0.5, version: str = "0.1.0") -> None:
        self._folder = folder
        self._step_s = step_s
        self._first = version
        self.installs = 0

    def slots(self) -> Slots:
        """What the boot loader knows."""
        try:
            return msgspec.json.decode((self._folder / STATE).read_bytes(), type=Slots)
        except FileNotFoundError:
            return Slots(running=self._first)
        except (OSError, msgspec.DecodeError) as error:
            raise InstallError(f"{self._folder / STATE}: cannot be read: {error}") from error

    def _set(self, slots: Slots) -> None:
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            beside = self._folder / f"{STATE}.new"
            with beside.open("wb") as file:
                file.write(msgspec.json.encode(slots))
                file.flush()
                os.fsync(file.fileno())
            beside.replace(self._folder / STATE)
        except OSError as error:
            raise InstallError(f"{self._folder / STATE}: cannot be written: {error.strerror}") from error

    def boot(self) -> str:
        """Restart: what was activated runs, unless it does not come up; return the version that runs."""
        slots = self.slots()
        if slots.next:
            came_up = slots.fail != "boot"
            slots = Slots(running=slots.next if came_up else slots.running, written=slots.written)
            self._set(slots)
        return slots.running

    async def version(self) -> str:
        """See `Firmware.version`."""
        return self.slots().running

    async def install(self, path: str, progress: Callable[[int], None]) -> str:
        """See `Firmware.install`."""
        self.installs += 1
        version, fail = check_bundle(Path(path))
        if fail == "verify":
            raise BundleError(f"{Path(path).name}: the bundle is not signed by the manufacturer of the station")
        for step in range(STEPS):
            await asyncio.sleep(self._step_s)
            progress((step + 1) * 100 // STEPS)
            if fail == "install" and step == STEPS // 2:
                raise InstallError("slot B: write error: the medium fails; replace it")
        self._set(msgspec.structs.replace(self.slots(), written=version, fail=fail))
        return version

    async def activate(self) -> None:
        """See `Firmware.activate`."""
        slots = self.slots()
        if not slots.written:
            raise InstallError("nothing is installed that could be activated")
        self._set(msgspec.structs.replace(slots, next=slots.written))


def main(argv: list[str] | None = None) -> int:
    """Do what the daemon asks: progress and the answer go to stdout, an error to stderr with exit 1 (2 = bad bundle)."""
    args = list(sys.argv[1:] if argv is None else argv)
    if len(args) < 2 or args[1] not in ("version", "install", "activate", "boot"):
        sys.stderr.write("usage: installer DIRECTORY version | install BUNDLE | activate | boot\n")
        return 64
    firmware = SimFirmware(Path(args[0]), step_s=float(os.environ.get("EVSE_SIM_INSTALL_STEP_S", "0.1")))

    def say(percent: int) -> None:
        sys.stdout.write(f"progress {percent}\n")
        sys.stdout.flush()

    try:
        match args[1:]:
            case ["version"]:
                # the simulator has no boot loader: a daemon that asks after its restart finds the new slot booted
                answer = firmware.boot()
            case ["install", bundle]:
                answer = asyncio.run(firmware.install(bundle, say))
            case ["activate"]:
                asyncio.run(firmware.activate())
                answer = firmware.slots().next
            case _:
                answer = firmware.boot()
    except BundleError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    except InstallError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.write(f"{answer}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
