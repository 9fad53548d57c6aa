"""USB discovery of PLC boards: what is plugged in, what is configured, and whether both agree.

ESP32 boards show up as ``/dev/serial/by-id/usb-Espressif_USB_JTAG_serial_debug_unit_<MAC>-if00``. The MAC belongs to
the board, so an exchanged board has another name than the one in the configuration; the rows suggest which of the
detected ports takes the place of a missing one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

ESPRESSIF_PATTERN: Final = re.compile(
    r"(?:^|/)usb-Espressif_USB_JTAG_serial_debug_unit_(?P<mac>[0-9A-Fa-f]{2}(?::[0-9A-Fa-f]{2}){5})[-:]\w+$"
)
"""Names of ESP32 boards; group ``mac`` = the six bytes of the MAC."""

PORTS_MAX: Final = 256


class DiscoveryRow(msgspec.Struct, frozen=True, kw_only=True):
    """One port. ``evse_id`` None = detected, not configured. ``suggested_port`` = detected port for a missing board."""

    evse_id: int | None
    port: str
    mac: str  # "" when the name holds none
    detected: bool
    configured: bool
    matched: bool
    suggested_port: str = ""
    hint: str = ""  # what to do, "" when matched


def mac_of(port: str, pattern: re.Pattern[str] = ESPRESSIF_PATTERN) -> str:
    """Return the MAC in a port name in upper case, "" when the name does not match."""
    found = pattern.search(port)
    return found.group("mac").upper() if found else ""


def _shared_prefix(a: str, b: str) -> int:
    count = 0
    for x, y in zip(a, b, strict=False):
        if x != y:
            break
        count += 1
    return count


def _suggest(missing: list[tuple[int, str]], spare: list[str], pattern: re.Pattern[str]) -> dict[int, str]:
    """Pair missing EVSEs with spare ports: longest common MAC beginning first (same batch), then in order."""
    pairs = sorted(
        (
            (-_shared_prefix(mac_of(port, pattern), mac_of(found, pattern)), evse_id, found)
            for evse_id, port in missing
            for found in spare
        ),
    )
    chosen: dict[int, str] = {}
    for _, evse_id, found in pairs:
        if evse_id not in chosen and found not in chosen.values():
            chosen[evse_id] = found
    return chosen


def discover(
    list_serial: Sequence[str], configured: Mapping[int, str], pattern: re.Pattern[str] = ESPRESSIF_PATTERN
) -> list[DiscoveryRow]:
    """Return the configured boards by EVSE, then the boards that are plugged in but not configured, by name.

    ``list_serial`` = names present now; ``configured`` = EVSE -> port. Ports that are not boards by ``pattern`` count
    only where they are configured.
    """
    present = sorted(set(list_serial))[:PORTS_MAX]
    used = set(configured.values())
    spare = [port for port in present if port not in used and mac_of(port, pattern)]
    missing = [(evse_id, port) for evse_id, port in sorted(configured.items()) if port not in present]
    suggestions = _suggest(missing, spare, pattern)
    certain = len(missing) == 1 and len(spare) == 1
    rows = []
    for evse_id, port in sorted(configured.items()):
        detected = port in present
        suggested = suggestions.get(evse_id, "")
        if detected:
            hint = ""
        elif suggested:
            sure = "the only other board" if certain else "check the MAC on the label first"
            hint = f"set evse {evse_id} board.port to {suggested} ({sure})"
        else:
            hint = f"plug the board of evse {evse_id} in, or check its cable and supply"
        rows.append(
            DiscoveryRow(
                evse_id=evse_id, port=port, mac=mac_of(port, pattern), detected=detected, configured=True,
                matched=detected, suggested_port=suggested, hint=hint,
            )
        )
    for port in spare:
        for_evse = [evse_id for evse_id, found in suggestions.items() if found == port]
        hint = f"may replace the missing board of evse {for_evse[0]}" if for_evse else "not used by any evse"
        rows.append(
            DiscoveryRow(
                evse_id=None, port=port, mac=mac_of(port, pattern), detected=True, configured=False, matched=False,
                hint=hint,
            )
        )
    return rows


def in_sync(rows: Sequence[DiscoveryRow]) -> bool:
    """Return whether every configured board is there and no board is left over."""
    return all(row.matched for row in rows)
