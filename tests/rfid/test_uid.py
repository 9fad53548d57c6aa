"""Card numbers: the switches of the reference, and what they must keep for any number."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evse.protocols.errors import ProtocolError
from evse.protocols.rfid_uid import BYTE_ORDERS, CHARACTER_ORDERS, check_uid, id_token, is_random, same_card

UIDS = st.sampled_from((4, 7, 10)).flatmap(lambda size: st.binary(min_size=size, max_size=size))


@pytest.mark.parametrize(
    ("uid", "byte_order", "character_order", "token"),
    [
        ("04A1B2C3", "big", "plain", "04A1B2C3"),
        ("04A1B2C3", "little", "plain", "C3B2A104"),  # the same card in reference/rfid.md
        ("04A1B2C3", "big", "word", "A104C3B2"),
        ("04A1B2C3", "little", "word", "B2C304A1"),
        ("04A1B2C3", "big", "digit", "401A2B3C"),
        ("04A1B2C3D4E5F6", "big", "word", "A104C3B2E5D4F6"),  # the odd last byte stays
        ("04A1B2C3D4E5F6", "little", "word", "E5F6C3D4A1B204"),
        ("0102030405060708090A", "little", "digit", "A0908070605040302010"),
    ],
)
def test_order_switches(uid: str, byte_order: str, character_order: str, token: str) -> None:
    assert id_token(bytes.fromhex(uid), byte_order, character_order) == token


@given(UIDS, st.sampled_from(BYTE_ORDERS), st.sampled_from(CHARACTER_ORDERS))
def test_tokens_fit_into_ocpp_and_two_cards_never_become_one(
    uid: bytes, byte_order: str, character_order: str
) -> None:
    token = id_token(uid, byte_order, character_order)
    assert len(token) == 2 * len(uid) <= 20
    assert token == token.upper()
    digits = id_token(bytes.fromhex(token), "big", character_order)  # each character order undoes itself
    back = bytes.fromhex(digits)
    assert (back if byte_order == "big" else back[::-1]) == uid


@given(st.binary(max_size=40))
def test_only_three_lengths_are_cards(uid: bytes) -> None:
    if len(uid) in (4, 7, 10):
        assert check_uid(uid, "here") == uid
    else:
        with pytest.raises(ProtocolError, match=f"here: UID of {len(uid)} bytes"):
            check_uid(uid, "here")


def test_random_uids_are_those_of_four_bytes_beginning_with_08() -> None:
    assert is_random(bytes.fromhex("08AABBCC"))
    assert not is_random(bytes.fromhex("04AABBCC"))
    assert not is_random(bytes.fromhex("08AABBCCDDEEFF"))
    assert same_card(bytes.fromhex("08AABBCC"), bytes.fromhex("08010203"))
    assert not same_card(bytes.fromhex("04AABBCC"), bytes.fromhex("04010203"))
