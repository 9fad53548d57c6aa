"""Cards over MQTT: the payload of the manual, both directions, everything that is no card."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evse.protocols.errors import ProtocolError
from evse.protocols.rfid_mqtt import PAYLOAD_MAX, UID_SIZES, MqttCard, parse_request, request_payload


def test_the_example_of_the_manual() -> None:
    card = parse_request(b'["ISO14443", "1F2D3A4F5506C7"]')
    assert card == MqttCard(standard="ISO14443", uid=bytes.fromhex("1F2D3A4F5506C7"))
    assert json.loads(request_payload(card)) == ["ISO14443", "1F2D3A4F5506C7"]


@pytest.mark.parametrize(
    ("payload", "text"),
    [
        (b"", "is not"),
        (b"04A1B2C3", "is not"),
        (b'{"a": 1}', "is not"),
        (b'["ISO14443"]', "is not"),
        (b'["ISO14443", 1234]', "is not"),
        (b'["ISO14443", "04A1B2C3", "x"]', "is not"),
        (b'["FELICA", "04A1B2C3"]', "standard 'FELICA' must be one of ISO14443, ISO15693, UNKNOWN"),
        (b'["ISO14443", "4A1B2C3"]', "two digits for each byte"),
        (b'["ISO14443", "04 A1 B2 C3"]', "no delimiter"),
        (b'["ISO14443", "04A1B2G3"]', "no hex digits"),
        (b'["ISO14443", ""]', "no delimiter"),
        (b'["ISO14443", "04A1B2C3D4"]', "has 5 bytes, ISO14443 has 4 or 7 or 10"),
        (b'["ISO15693", "04A1B2C3"]', "ISO15693 has 8"),
        ('["ISO14443", "٠١٢٣٤٥٦٧"]'.encode(), "must be hex"),
        (b"[" + b" " * PAYLOAD_MAX + b"]", "at most 256"),
    ],
)
def test_what_is_no_card_is_named(payload: bytes, text: str) -> None:
    with pytest.raises(ProtocolError, match=text):
        parse_request(payload)


@given(st.sampled_from(sorted(UID_SIZES)), st.data())
def test_every_card_comes_back(standard: str, data: st.DataObject) -> None:
    size = data.draw(st.sampled_from(UID_SIZES[standard]))
    card = MqttCard(standard=standard, uid=data.draw(st.binary(min_size=size, max_size=size)))  # type: ignore[arg-type]
    assert parse_request(request_payload(card)) == card


JSON = st.recursive(st.none() | st.booleans() | st.integers() | st.text(max_size=12), lambda v: st.lists(v, max_size=3))


@given(st.binary(max_size=300) | JSON.map(lambda value: json.dumps(value).encode()) | st.text(max_size=60).map(str.encode))
def test_any_payload_is_a_card_or_a_protocol_error(payload: bytes) -> None:
    try:
        card = parse_request(payload)
    except ProtocolError:
        return
    assert parse_request(request_payload(card)) == card
