"""URLs as CSMSs send them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evse.ocpp.transfers.errors import TransferError, Why
from evse.ocpp.transfers.target import parse_target


@pytest.mark.parametrize(
    ("url", "folders", "name"),
    [
        ("ftp://h/file.img", [], "file.img"),
        ("ftp://h/mywallbox/", ["mywallbox"], ""),
        ("ftp://h/mywallbox/file.img", ["mywallbox"], "file.img"),
        ("ftp://h//myotherwallbox/", ["/", "myotherwallbox"], ""),
        ("ftp://h//abs/dir/file", ["/", "abs", "dir"], "file"),
        ("ftp://h/%2Fetc/file", ["/", "etc"], "file"),
        ("ftp://h/%2Ffile", ["/"], "file"),
        ("ftp://h//file", ["/"], "file"),
        ("ftp://h/a%20b/c%23d?e", ["a b"], "c#d?e"),
        ("ftp://h/a/b;type=i", ["a"], "b"),
        ("ftp://h/a%2Fb/c", ["a/b"], "c"),
        ("ftp://h", [], ""),
        ("ftp://h/", [], ""),
    ],
)
def test_ftp_paths_are_those_of_rfc_1738(url: str, folders: list[str], name: str) -> None:
    assert parse_target(url).ftp_steps() == (folders, name)


def test_credentials_are_decoded_and_never_shown() -> None:
    target = parse_target("ftps://us%40er:p%3A%2Fss%25@ftp.example.com:2121/x/y.bin")
    assert (target.user, target.password, target.host, target.port) == ("us@er", "p:/ss%", "ftp.example.com", 2121)
    assert target.shown() == "ftps://ftp.example.com:2121/x/y.bin"
    assert "p:/ss" not in repr(target)


@pytest.mark.parametrize(
    ("url", "port"), [("ftp://h/", 21), ("ftps://h/", 990), ("ftpes://h/", 21), ("http://h/", 80), ("HTTPS://h/", 443)]
)
def test_usual_ports(url: str, port: int) -> None:
    assert parse_target(url).port == port


def test_http_keeps_path_and_query_but_not_the_credentials() -> None:
    target = parse_target("http://u:p@[::1]:8080/a%20b/c?token=secret#part")
    assert target.http_url() == "http://[::1]:8080/a%20b/c?token=secret"
    assert target.shown() == "http://[::1]:8080/a%20b/c"
    assert parse_target("https://h").http_url() == "https://h/"


@pytest.mark.parametrize(
    ("url", "why", "words"),
    [
        ("", Why.UNSUPPORTED, "supported: ftp"),
        ("sftp://h/x", Why.UNSUPPORTED, "sftp://"),
        ("file:///etc/passwd", Why.UNSUPPORTED, "file://"),
        ("http:///x", Why.ADDRESS, "no host"),
        ("ftp://h:99999/x", Why.ADDRESS, "host or port"),
        ("ftp://h:0/x", Why.ADDRESS, "port 0"),
        ("ftp://[::1/x", Why.ADDRESS, "host or port"),
        ("ftp://h/a b", Why.ADDRESS, "%20"),
        ("ftp://h/a%0d%0aDELE%20x", Why.ADDRESS, "line breaks"),
        ("ftp://u%0a:p@h/a", Why.ADDRESS, "line breaks"),
        ("http://u%3A:p@h/a", Why.ADDRESS, "colon"),
        ("http://h/" + "x" * 3000, Why.ADDRESS, "characters"),
    ],
)
def test_bad_addresses_are_told_plainly(url: str, why: Why, words: str) -> None:
    with pytest.raises(TransferError) as caught:
        parse_target(url)
    assert caught.value.why is why
    assert words in str(caught.value)


@given(st.text(max_size=80) | st.builds(lambda a, b: f"ftp://{a}@h/{b}", st.text(max_size=20), st.text(max_size=40)))
def test_any_text_is_an_address_or_a_transfer_error(text: str) -> None:
    try:
        target = parse_target(text)
    except TransferError:
        return
    folders, name = target.ftp_steps()
    assert not any("\n" in part or "\r" in part for part in [*folders, name, target.user, target.password])
    assert "/" not in name[:1]
