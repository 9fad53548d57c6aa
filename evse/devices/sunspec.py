"""Finding a SunSpec model: the marker "SunS", then a chain of models, each with its id and its length."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

from evse.domain.meter_profile import MeterProfile
from evse.protocols.errors import ProtocolError
from evse.protocols.modbus import ModbusException

MARKER: Final = b"SunS"
END_MODEL: Final = 0xFFFF
MODELS_MAX: Final = 64
"""Models that are followed in one chain; a longer one is a loop of nonsense."""

Read = Callable[[int, int, int], Awaitable[bytes]]


async def find_model(read: Read, profile: MeterProfile) -> int:
    """Return the address of the id register of the first model that ``profile`` accepts.

    ``read(function, address, count)`` reads registers. `ProtocolError` names the models that were seen instead;
    timeouts pass through.
    """
    seen: list[int] = []
    for base in profile.sunspec_bases:
        try:
            if await read(3, base, 2) != MARKER:
                continue
        except ModbusException:
            continue
        address = base + 2
        for _ in range(MODELS_MAX):
            if address > 65_533:
                break
            head = await read(3, address, 2)
            model, length = int.from_bytes(head[:2], "big"), int.from_bytes(head[2:], "big")
            if model in profile.sunspec_models:
                return address
            if model == END_MODEL:
                break
            seen.append(model)
            address += 2 + length
    wanted = ", ".join(map(str, profile.sunspec_models))
    raise ProtocolError(f"SunSpec model {wanted} not found; the device has {seen or 'no SunSpec marker'}")
