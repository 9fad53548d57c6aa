"""Thresholds and deadlines of relays between module groups: ties of a chain or ring, contacts of a matrix."""

from __future__ import annotations

from evse.core.state import TieStage
from evse.units import ms, s

TIE_QUIET_MA = 1_000
TIE_BAND_MV = 20_000
JOIN_MA = 2_000
RAMP_MA_PER_S = 100_000
"""Slope to zero before a relay moves. The least that a station must be able to follow in normal operation (IEC 61851-23;
general knowledge, not checked against the text), so every vehicle bears it."""

RAMP_LIMIT = s(12)
"""Slope, and what modules need that hear nothing: they switch off after 10 s of silence (`evse.devices.infypower`)."""

PREPARE_LIMIT = s(10)
PREPARE_LEAST = ms(500)
"""What a group on its way to a live bar had before is gone by then: its own voltage falls within tenths of a second."""

RELAY_LIMIT = s(2)
RETRY_AFTER = s(30)
REST_AFTER = s(1)
"""A contact that has opened stays open for so long: the bar behind it discharges."""

BOARD_DROPS_TIE = s(3)
"""A board without commands opens its relays by itself after 1.3 s (docs/board-link.md): a silent one counts as open."""

JOINED = (TieStage.CLOSED, TieStage.RAMP_DOWN)
