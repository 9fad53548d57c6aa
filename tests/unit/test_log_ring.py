"""The last lines of the log in memory."""

from __future__ import annotations

import logging

from evse.runtime.log_ring import LINE_MAX, LINES_MAX, LogRing, installed, without_credentials
from evse.units import NS_PER_S


def test_lines_of_a_window_without_credentials_and_bounded() -> None:
    ring = LogRing()
    log = logging.getLogger("tests.log_ring")
    log.propagate = False
    log.addHandler(ring)
    assert installed() is None
    log.warning("from ftp://user:secret@host/%s", "x" * 1000)
    log.warning("bad %d", 1)
    lines = ring.lines(None, None)
    assert lines[0].startswith("from ftp://***@host/xxx")
    assert len(lines[0]) == LINE_MAX
    assert ring.lines(1 << 62, None) == []
    assert ring.lines(None, 1_600_000_000 * NS_PER_S) == []
    for number in range(LINES_MAX + 5):
        log.warning("%d", number)
    assert len(ring.lines(None, None)) == LINES_MAX
    assert ring.lines(None, None)[0] == "5"
    log.removeHandler(ring)


def test_credentials_are_hidden_and_addresses_of_people_are_not() -> None:
    assert without_credentials('"https://a%40b:c@h/p" someone@example.com') == '"https://***@h/p" someone@example.com'
    assert without_credentials("http://host/path@2x.png") == "http://host/path@2x.png"
