"""What must fit together inside ``[access]``."""

from __future__ import annotations

from typing import Any

from evse.config.model_access import SOURCES
from evse.config.profiles import nearest
from evse.config.source import Problems
from evse.config.toml_lines import Path

AT: Path = ("access",)


def check_access(section: dict[str, Any] | None, problems: Problems) -> None:
    """Note every mistake of the table ``[access]`` (None = it is absent)."""
    if section is None:
        return
    mode = section.get("mode", list(SOURCES))
    words = [word for word in mode if isinstance(word, str)] if isinstance(mode, list) else []
    for word in words:
        if word not in SOURCES:
            problems.add((*AT, "mode"), f'there is no "{word}"; {nearest(word, list(SOURCES))}', mode)
    if section.get("autocharge_ocpp") is True and section.get("autocharge", False) is False:
        problems.add((*AT, "autocharge_ocpp"), "does nothing without autocharge = true; add it or remove this key", True)
    elif section.get("autocharge_ocpp") is True and words and "ocpp" not in words:
        problems.add((*AT, "autocharge_ocpp"), 'the back end is not asked; add "ocpp" to access.mode', True)
    prefix = section.get("autocharge_prefix", "")
    if isinstance(prefix, str) and not (prefix.isascii() and prefix.isprintable() and prefix == prefix.strip()):
        problems.add((*AT, "autocharge_prefix"), "must be printable ASCII without blanks around it", prefix)
