"""``[ocpp.security]`` and ``[ocpp.tls]``: what is read, and what is refused with which words."""

from __future__ import annotations

import pytest

from evse.config.load import parse_config
from evse.config.model_ocpp_security import OcppSecuritySection, OcppTlsSection
from evse.domain.base import ConfigError

HEAD = '[station]\nid = "X"\n[[evse]]\nid = 1\nboard.port = "/dev/b1"\n[ocpp]\n'


def load(text: str, *, files: bool = False) -> list[str]:
    """The mistakes in HEAD + ``text``, without their place."""
    with pytest.raises(ConfigError) as caught:
        parse_config(HEAD + text, "s.toml", check_files=files)
    return [p.split(": ", 1)[1] for p in caught.value.problems]


def test_without_the_tables_nothing_is_secured_and_certificates_are_checked_fully() -> None:
    ocpp = parse_config(HEAD, "s.toml", check_files=False).ocpp
    assert ocpp.security == OcppSecuritySection() and ocpp.security.profile == 0
    assert ocpp.tls == OcppTlsSection()
    assert (ocpp.tls.verify, ocpp.tls.insecure, ocpp.tls.without_clock) == ("full", False, "refuse")


@pytest.mark.parametrize("verify", ["chain", "none"])
def test_less_than_full_verification_needs_insecure_from_profile_2_on(verify: str) -> None:
    text = f'security.profile = 2\ntls.verify = "{verify}"\n'
    (problem,) = load(text)
    assert "ocpp.tls.verify" in problem and "insecure = true" in problem
    assert parse_config(HEAD + text + "tls.insecure = true\n", "s.toml", check_files=False).ocpp.tls.insecure
    parse_config(HEAD + f'security.profile = 1\ntls.verify = "{verify}"\n', "s.toml", check_files=False)


@pytest.mark.parametrize("url", ["ws://h/x", "https://h", "wss://", "wss://[::1", "h"])
def test_the_url_of_tls_begins_with_wss(url: str) -> None:
    (problem,) = load(f'tls.url = "{url}"\n')
    assert "wss://host/path" in problem


def test_no_password_in_the_url() -> None:
    (problem,) = load('tls.url = "wss://me:secret@h/x"\n')
    assert "AuthorizationKey" in problem


def test_files_are_absolute_and_there() -> None:
    (problem,) = load('tls.ca_file = "roots.pem"\n')
    assert "absolute" in problem
    assert any("there is no such file" in p for p in load('tls.crl_file = "/nowhere/crl.pem"\n', files=True))


def test_a_colon_in_the_name_and_a_password_do_not_go_together() -> None:
    (problem,) = load('charge_point_id = "DE:1"\nsecurity.profile = 1\n')
    assert "RFC 7617" in problem
    parse_config(HEAD + 'charge_point_id = "DE:1"\nsecurity.profile = 3\n', "s.toml", check_files=False)
