"""Digital inputs and outputs of the controller: the files of ``/sys/class/gpio`` below a directory of their own.

The kernel's side of `evse.transports.sysfs.SysfsGpio`: exported lines with ``direction`` and ``value``. Only where ``[io]``
names a ``root`` that is not the real one; lines of a GPIO chip and ADC channels are no files and are not simulated.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Final, Self

from msgspec import UNSET

from evse.config.model_io import IoSection
from evse.domain.base import ConfigError

REAL_ROOT: Final = Path("/")


class SimIo:
    """All lines with a global number. `unplug` takes them away as a module that is pulled out, `replug` brings them back."""

    def __init__(self, root: Path, inputs: dict[int, bool], outputs: dict[int, bool]) -> None:
        self._base = root / "sys/class/gpio"
        self._rest = {**outputs, **inputs}  # electrical level at rest by line
        self._inputs = frozenset(inputs)
        self.replug()

    @classmethod
    def of(cls, section: IoSection | None) -> Self | None:
        """Return the lines of ``[io]``; None when there are none that are files, or the root is the machine's own."""
        if section is None or Path(section.root) == REAL_ROOT:
            return None
        inputs = {row.line: row.active_low for row in section.input if row.line is not UNSET and not row.chip}
        outputs = {row.line: row.active_low for row in section.output if not row.chip}
        return cls(Path(section.root), inputs, outputs) if inputs or outputs else None

    def unplug(self) -> None:
        """The lines are gone; the kernel does not export them again."""
        for line in self._rest:
            shutil.rmtree(self._base / f"gpio{line}", ignore_errors=True)

    def replug(self) -> None:
        """The lines are there, at rest. `ConfigError` when the directory cannot be written."""
        try:
            self._base.mkdir(parents=True, exist_ok=True)
            (self._base / "export").touch()
            for line, high in self._rest.items():
                directory = self._base / f"gpio{line}"
                directory.mkdir(exist_ok=True)
                (directory / "direction").write_text("in\n" if line in self._inputs else "low\n", encoding="ascii")
                (directory / "value").write_text(f"{int(high)}\n", encoding="ascii")
        except OSError as error:
            raise ConfigError([f"io.root: {self._base}: cannot be made ({error.strerror}); choose a writable directory"]) from error

    def drive(self, line: int, *, high: bool) -> None:
        """The world puts a level on an input; nothing while the module is out. `ConfigError` for a line that is no input."""
        if line not in self._inputs:
            known = ", ".join(map(str, sorted(self._inputs))) or "none"
            raise ConfigError([f"line = {line}: no input of the controller; accepted: {known}"])
        value = self._base / f"gpio{line}/value"
        if value.exists():
            value.write_text(f"{int(high)}\n", encoding="ascii")
