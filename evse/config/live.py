"""What a changed file means for a running station: live options at once, the rest after a restart."""

from __future__ import annotations

from typing import TypeVar

import msgspec

from evse.config.model import StationConfig
from evse.config.options import Table, tree

S = TypeVar("S", bound=msgspec.Struct)


def in_force(running: StationConfig, file: StationConfig) -> StationConfig:
    """Return ``running`` with every live option of ``file``: what holds before a restart.

    Tables that were added or removed wait for the restart, unless their whole array is live (rules, lamps).
    """
    return _merge(tree(), running, file)


def _merge(table: Table, old: S, new: S) -> S:
    changes: dict[str, object] = {}
    for name in old.__struct_fields__:
        before, after = getattr(old, name), getattr(new, name)
        if before == after:
            continue
        if name in table.options:
            if table.options[name].apply == "live":
                changes[name] = after
            continue
        below = table.tables[name]
        if below.apply == "live":
            changes[name] = after
        elif isinstance(before, msgspec.Struct) and isinstance(after, msgspec.Struct):
            changes[name] = _merge(below, before, after)
        elif isinstance(before, tuple) and isinstance(after, tuple):
            partners = {_name(row, i): row for i, row in enumerate(after)}
            changes[name] = tuple(
                _merge(below, row, partners[_name(row, i)]) if _name(row, i) in partners else row
                for i, row in enumerate(before)
            )
    return msgspec.structs.replace(old, **changes) if changes else old


def _name(row: msgspec.Struct, index: int) -> object:
    """What tells one element of an array from another: its id, its name, else its place."""
    return getattr(row, "id", getattr(row, "name", index))
