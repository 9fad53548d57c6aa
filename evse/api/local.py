"""Work on a configuration without a daemon, for front ends that may not import `evse.config` themselves."""

from __future__ import annotations

from pathlib import Path

from evse.api import models as m
from evse.domain.base import ConfigError


def validate_text(text: str, path: str | Path) -> m.ConfigResult:
    """Check the text of a configuration file. ``path`` is named in the problems; it is not read. Never raises."""
    from evse.config.load import parse_config

    try:
        parse_config(text, str(path))
    except ConfigError as error:
        problems = tuple(error.problems)
    else:
        problems = ()
    return m.ConfigResult(
        valid=not problems, problems=problems, changes=(), applied=False, restart_needed=False, version=0
    )
