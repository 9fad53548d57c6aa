"""What configuration keys of OCPP do outside the control loop: the daemon's log, and the order of card numbers at readers."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from evse.ocpp.client import OcppClient
from evse.ocpp.key_table import LOG_LEVELS, KeySpec, log_rows, reader_rows

if TYPE_CHECKING:
    from evse.runtime.station import Station

OWN_LOG: Final = "evse"
"""Logger of everything that is ours: libraries would write passwords of connections at DEBUG."""


class KeyEffects:
    """Keys that only a running station has. Offers them to a client that is not opened yet, and follows their values."""

    def __init__(self, station: Station, client: OcppClient) -> None:
        self._station = station
        self._keys = client.configuration
        started_with = logging.getLevelName(logging.getLogger(OWN_LOG).getEffectiveLevel())
        self._level = started_with if started_with in LOG_LEVELS else "INFO"
        for spec in (*log_rows(self._level), *self._reader_rows()):
            self._keys.offer(spec)
        client.key_changed = self.changed

    def _reader_rows(self) -> list[KeySpec]:
        """The first reader speaks for all: a key has one value."""
        return [row for section in self._station.config.reader[:1] for row in reader_rows(section.byte_order, section.character_order)]

    def changed(self, key: str) -> None:
        """Follow a key that has another value; "" = the file has changed, and the drivers follow it already."""
        if key == "LogLevel":
            logging.getLogger(OWN_LOG).setLevel(self._keys.text(key))
        elif key in ("", "RFIDByteOrder", "RFIDCharacterOrder"):
            if not key:
                for spec in self._reader_rows():
                    self._keys.renew(spec)
            byte_order, character_order = (self._keys.given_text(name) for name in ("RFIDByteOrder", "RFIDCharacterOrder"))
            for reader in self._station.devices.readers.values():
                reader.turn(byte_order or reader.byte_order, character_order or reader.character_order)
