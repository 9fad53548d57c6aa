"""What must fit together inside ``[firmware]``."""

from __future__ import annotations

import os
import shlex
from pathlib import Path as FilePath
from typing import Any

from evse.config.source import Problems
from evse.config.toml_lines import Path

AT: Path = ("firmware", "installer")


def check_firmware(section: dict[str, Any] | None, problems: Problems, *, files: bool) -> None:
    """Note every mistake of the table ``[firmware]`` (None = it is absent); ``files`` False = programs are not looked for."""
    command = (section or {}).get("installer", "")
    if not isinstance(command, str) or not command:
        return
    try:
        words = shlex.split(command)
    except ValueError:
        problems.add(AT, "cannot be read: a quotation mark is missing; close it", command)
        return
    if not words or not words[0].startswith("/"):
        problems.add(AT, "must begin with the absolute path of a program, e.g. /usr/lib/evse/install-firmware", command)
    elif files and not (FilePath(words[0]).is_file() and os.access(words[0], os.X_OK)):
        problems.add(AT, f"{words[0]} is no program that can be run; install it or correct the path", command)
