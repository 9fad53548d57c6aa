"""The module groups of a CAN bus as the Infypower driver needs them."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from evse.domain.base import ConfigError
from evse.protocols import can_infypower as ip


class InfypowerGroup(msgspec.Struct, frozen=True, kw_only=True):
    """A group of modules as the driver needs it. ``group_id`` 1..60, module addresses 0..60, ratings of one module."""

    group_id: int
    addresses: tuple[int, ...]
    module_power_w: int = 30_000
    module_current_ma: int = 100_000
    voltage_min_mv: int = 150_000
    voltage_max_mv: int = 1_000_000


def check_groups(groups: Sequence[InfypowerGroup], where: str) -> None:
    """Raise `ConfigError` with all group numbers and addresses that are out of range or used twice."""
    problems: list[str] = []
    seen: dict[int, int] = {}
    ids: set[int] = set()
    for group in groups:
        if not 1 <= group.group_id <= ip.ADDRESS_MAX or group.group_id in ids:
            problems.append(f"modules[{where}]: group {group.group_id}: number must be unique and 1..{ip.ADDRESS_MAX}")
        ids.add(group.group_id)
        for address in group.addresses:
            if not 0 <= address <= ip.ADDRESS_MAX:
                text = f"address {address} is outside 0..{ip.ADDRESS_MAX}"
                problems.append(f"modules[{where}]: group {group.group_id}: {text}")
            if address in seen:
                text = f"address {address} is also in group {seen[address]}"
                problems.append(f"modules[{where}]: group {group.group_id}: {text}; each module has one address")
            seen[address] = group.group_id
    if problems:
        raise ConfigError(problems)
