"""Proxy and interface of ``[ocpp]``: what is refused when the file is read, without showing a password."""

from __future__ import annotations

import pytest

from evse.config import check_ocpp
from evse.config.load import parse_config
from evse.config.model_ocpp import OcppSection
from evse.transports.dialling import PROXY_SCHEMES
from tests.config.test_ocpp_security import HEAD, load


def parsed(text: str) -> OcppSection:
    return parse_config(HEAD + text, "s.toml", check_files=False).ocpp


def problem_of(text: str) -> str:
    (problem,) = load(text)
    return problem


@pytest.mark.parametrize(
    "proxy", ["", "http://proxy.example:3128", "socks5://10.0.0.1:1080", "socks5h://jo:p%40ss@[2001:db8::1]:1080", "http://p", "https://jo:pw@proxy.example:8443"]
)
def test_a_proxy_is_http_https_or_socks5(proxy: str) -> None:
    assert parsed(f'proxy = "{proxy}"\n').proxy == proxy


@pytest.mark.parametrize(
    "proxy", ["proxy:3128", "ftp://jo:secret@p:1", "http://", "http://p:0", "http://p:99999", "socks4://p:1", "http://[::1"]
)
def test_any_other_text_is_no_proxy(proxy: str) -> None:
    problem = problem_of(f'proxy = "{proxy}"\n')
    assert "ocpp.proxy: is no proxy; write http://host:port" in problem
    assert "secret" not in problem


@pytest.mark.parametrize("interface", ["", "eth0", "wwan0.100", "192.0.2.5", "2001:db8::5"])
def test_an_interface_is_a_name_or_an_address(interface: str) -> None:
    assert parsed(f'interface = "{interface}"\n').interface == interface


@pytest.mark.parametrize("interface", ["eth 0", "/dev/eth0", "192.0.2.5:80", "a" * 16])
def test_any_other_text_is_no_interface(interface: str) -> None:
    assert "is neither a network interface (eth0) nor an address" in problem_of(f'interface = "{interface}"\n')


def test_file_and_dialling_know_the_same_proxies() -> None:
    assert check_ocpp.PROXY_SCHEMES == PROXY_SCHEMES
