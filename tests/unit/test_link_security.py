"""What weakens the link to the back end is decided in one place."""

from __future__ import annotations

import pytest

from evse.domain.security import encrypted, link_weakened

PLAIN, TLS = "ws://csms.test/ocpp", "wss://csms.test/ocpp"


@pytest.mark.parametrize("before", [(p, u) for p in range(4) for u in (PLAIN, TLS, TLS.upper())])
def test_a_change_weakens_exactly_when_the_profile_or_tls_goes(before: tuple[int, str]) -> None:
    for after in [(p, u) for p in range(4) for u in (PLAIN, PLAIN.upper(), TLS, "")]:
        told = link_weakened(before, after)
        if after[0] < before[0]:
            assert told == f"the security profile is lowered from {before[0]} to {after[0]}"
        elif after[0] < 2 and after[1] != TLS and before[1] != PLAIN:
            assert told == "the link goes on without TLS"
        else:
            assert told == "", f"{before} to {after}"


def test_profiles_with_certificates_are_tls_whatever_the_url_says() -> None:
    assert [encrypted(profile, PLAIN) for profile in range(4)] == [False, False, True, True]
    assert all(encrypted(profile, TLS) for profile in range(4))
