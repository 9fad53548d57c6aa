"""AuthorizationKey: hexadecimal or text, and the header that comes of it; and what of it is never shown."""

from __future__ import annotations

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evse.ocpp.log import MessageLog
from evse.ocpp.security import auth_key
from evse.ocpp.security.redact import redact

HEX_20 = "646b327130726675327130662d326630726467aa"
TEXT = "a pass phrase of 24 chars"


@pytest.mark.parametrize(
    ("value", "form", "expected"),
    [
        (HEX_20, "auto", bytes.fromhex(HEX_20)),
        (HEX_20[:32].upper(), "auto", bytes.fromhex(HEX_20[:32])),
        (HEX_20, "hex", bytes.fromhex(HEX_20)),
        (HEX_20, "text", HEX_20.encode()),
        (TEXT, "auto", TEXT.encode()),
        ("0123456789abcdef", "auto", b"0123456789abcdef"),  # 16 digits are 8 bytes: too few for a key, so text
        ("A" * 33, "auto", b"A" * 33),
    ],
)
def test_what_a_key_stands_for(value: str, form: str, expected: bytes) -> None:
    assert auth_key.problem(value, form) == ""
    assert auth_key.password(value, form) == expected


@pytest.mark.parametrize(
    ("value", "form"),
    [("short", "auto"), ("x" * 41, "auto"), ("ab" * 15, "hex"), (TEXT, "hex"), ("ab" * 16 + "a", "hex"),
     ("tab\there-0123456789", "auto"), ("umlaut-ä-0123456789", "text"), ("", "auto")],
)
def test_what_is_no_key_and_the_words_do_not_repeat_it(value: str, form: str) -> None:
    problem = auth_key.problem(value, form)
    assert problem and (not value or value not in problem)


def test_the_header_is_that_of_rfc_7617() -> None:
    header = auth_key.header("DC 1", HEX_20, "auto")
    scheme, coded = header.split(" ")
    assert scheme == "Basic" and base64.b64decode(coded) == b"DC 1:" + bytes.fromhex(HEX_20)


# -- what is not shown -------------------------------------------------------------------------------------------------


def change(key: str, value: str) -> str:
    return json.dumps({"key": key, "value": value})


@pytest.mark.parametrize("key", ["AuthorizationKey", "authorizationkey", "AUTHORIZATIONKEY", " AuthorizationKey"])
def test_the_message_log_never_holds_the_key(key: str) -> None:
    log = MessageLog()
    log.add(0, "received", "call", "ChangeConfiguration", "1", change(key, TEXT))
    log.add(0, "received", "malformed", "", "-1", '[2,"1","ChangeConfiguration",' + change(key, TEXT))
    log.add(0, "received", "malformed", "", "-1", '[2,"1","ChangeConfiguration",{"key":"\\u0041uthorizationKey","value":"' + TEXT)
    log.add(0, "sent", "call", "DataTransfer", "2", json.dumps({"vendorId": "x", "data": change(key, TEXT)}))
    texts = [entry.payload for entry in log.last(9)]
    assert len(texts) == 4 and not any(TEXT in text for text in texts)
    assert json.loads(texts[0])["key"].strip().lower() == "authorizationkey"


def test_passwords_inside_urls_are_hidden_too() -> None:
    text = json.dumps({"location": "ftp://user:pass@host/dir", "retries": 1})
    assert redact("GetDiagnostics", text) == text.replace("user:pass@", "***@")


def test_everything_else_is_logged_as_it_is() -> None:
    for action, text in [
        ("ChangeConfiguration", change("HeartbeatInterval", "5")), ("GetConfiguration", '{"key":["AuthorizationKey"]}'),
        ("Authorize", '{"idTag":"a@b"}'), ("", "not json"), ("BootNotification", "{}"),
    ]:
        assert redact(action, text) == text


@given(
    action=st.sampled_from(["ChangeConfiguration", "", "DataTransfer", "GetConfiguration"]),
    before=st.text(max_size=30), after=st.text(max_size=30),
)
def test_no_frame_that_names_the_key_shows_a_value(action: str, before: str, after: str) -> None:
    secret = "s3cr3t-0123456789"
    body = json.dumps({"x": before, "key": "AuthorizationKey", "value": secret, "y": after})
    if action == "GetConfiguration":
        assert redact(action, '{"key":["AuthorizationKey"]}')
    else:
        assert secret not in redact(action, body)
        assert secret not in redact("", body[:-3])


@given(st.text(max_size=200), st.sampled_from(["", "ChangeConfiguration", "Heartbeat"]))
def test_any_text_goes_through(text: str, action: str) -> None:
    assert isinstance(redact(action, text), str)
