"""Installing another version of the station's software, as a port.

Whoever implements it keeps two systems, or something equal to that: `Firmware.install` writes beside what runs and
may be repeated after a power cut, `Firmware.activate` makes it what runs after the next restart, and `Firmware.version`
tells after that restart whether it does. A station that falls back by itself shows the old version again.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from evse.domain.base import DeviceError

Percent = Callable[[int], None]
"""Told how far an installation is, 0 to 100."""


class InstallError(DeviceError):
    """The installation did not succeed; what runs was not touched. The text says why and what to do."""


class BundleError(InstallError):
    """The file is no bundle for this station, or damaged: trying again with the same file is of no use."""


class Firmware(Protocol):
    """Installs bundles. All methods may take long, may be cancelled, and raise `InstallError`."""

    async def version(self) -> str:
        """Return the version that runs."""
        ...

    async def install(self, path: str, progress: Percent) -> str:
        """Check the bundle at ``path`` and write it beside what runs; return its version."""
        ...

    async def activate(self) -> None:
        """Run what was installed last after the next restart. Doing it twice is the same as doing it once."""
        ...
