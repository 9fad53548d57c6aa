"""USB discovery: detected, configured, matched, and what to do about the rest."""

from __future__ import annotations

from evse.devices.discovery import discover, in_sync, mac_of

BASE = "/dev/serial/by-id/usb-Espressif_USB_JTAG_serial_debug_unit_"
ONE = f"{BASE}BF:0F:13:71:FF:C0-if00"
TWO = f"{BASE}BF:0F:13:72:9A:AC-if00"
NEW = f"{BASE}BF:0F:13:72:9B:00-if00"
METER = "/dev/serial/by-id/usb-FTDI_FT232R_USB_UART_A1-if00-port0"


def test_two_boards_in_sync() -> None:
    rows = discover([TWO, METER, ONE], {1: ONE, 2: TWO})
    assert [(r.evse_id, r.port, r.detected, r.configured, r.matched) for r in rows] == [
        (1, ONE, True, True, True),
        (2, TWO, True, True, True),
    ]
    assert in_sync(rows)
    assert rows[0].mac == "BF:0F:13:71:FF:C0"


def test_exchanged_board_is_suggested_for_the_missing_one() -> None:
    rows = discover([ONE, NEW], {1: ONE, 2: TWO})
    missing = rows[1]
    assert (missing.evse_id, missing.detected, missing.matched) == (2, False, False)
    assert missing.suggested_port == NEW
    assert missing.hint == f"set evse 2 board.port to {NEW} (the only other board)"
    assert (rows[2].evse_id, rows[2].port, rows[2].configured) == (None, NEW, False)
    assert "evse 2" in rows[2].hint
    assert not in_sync(rows)


def test_two_missing_boards_get_the_nearest_macs_but_not_for_certain() -> None:
    near_one = f"{BASE}BF:0F:13:71:FF:C1-if00"
    rows = discover([NEW, near_one], {1: ONE, 2: TWO})
    assert {row.evse_id: row.suggested_port for row in rows if row.evse_id} == {1: near_one, 2: NEW}
    assert all("check the MAC" in row.hint for row in rows if row.evse_id)


def test_missing_board_without_a_spare_one_and_spare_board_without_a_missing_one() -> None:
    rows = discover([], {1: ONE})
    assert rows[0].suggested_port == ""
    assert "plug the board of evse 1 in" in rows[0].hint
    rows = discover([ONE, NEW], {1: ONE})
    assert [row.hint for row in rows] == ["", "not used by any evse"]
    assert not in_sync(rows)


def test_configured_port_that_is_no_esp32_is_matched_by_its_name() -> None:
    rows = discover([METER], {1: METER})
    assert in_sync(rows)
    assert rows[0].mac == ""


def test_name_form_of_the_field_list() -> None:
    assert mac_of(f"{BASE}BF:0F:13:71:FF:C0:r00") == "BF:0F:13:71:FF:C0"
    assert mac_of(METER) == ""
    assert mac_of(f"{BASE}BF:0F:13-if00") == ""
