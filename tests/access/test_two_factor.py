"""Enrolling one-time codes, signing in with them, the lockout that covers them, and the ways back."""

from __future__ import annotations

import asyncio
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

import keyring
import pytest

from evse.access.pin import FREE_TRIES
from evse.access.ports import NAMESPACE, Denial, SecretsError, ThreadRunner
from evse.access.roles import Role
from evse.access.secrets import KEY_FILE, SEALED_FILE, SealedFileKeyring
from evse.access.totp import BEGUN_S, CONFIRM_TRIES
from evse.access.vault import SERVICE, KeyringVault
from tests.access.test_access import OWN, SECRET, Inline, World, denied, run

OPERATOR = 1001
GUEST = 1000


async def enrol(w: World) -> str:
    """PIN 4711, codes on; a minute later, so that the next code is new. Returns the secret."""
    await w.access.set_pin(0, "", "4711")
    begun = await w.access.totp_begin(OPERATOR)
    await w.access.totp_confirm(OPERATOR, w.code(begun.secret))
    await asyncio.sleep(60)
    return begun.secret


def test_a_secret_counts_only_after_its_first_code() -> None:
    async def main(w: World) -> None:
        assert await denied(w.access.totp_begin(OPERATOR)) is Denial.NO_PIN
        await w.access.set_pin(0, "", "4711")
        begun = await w.access.totp_begin(OPERATOR)
        assert not await w.access.totp_enrolled()
        assert w.vault.values == {}, "nothing is kept before it is confirmed"
        assert await w.access.sign_in(GUEST, "4711")
        assert await denied(w.access.totp_confirm(OPERATOR, "")) is Denial.WRONG
        assert await denied(w.access.totp_confirm(OPERATOR, w.code(begun.secret, 90))) is Denial.WRONG
        assert await denied(w.access.totp_confirm(GUEST, w.code(begun.secret))) is Denial.NOT_BEGUN
        await w.access.totp_confirm(OPERATOR, w.code(begun.secret))
        assert await w.access.totp_enrolled()
        assert list(w.vault.values.values()) == [begun.secret]
        assert begun.secret not in "".join(w.settings.values.values())
        assert await denied(w.access.totp_begin(OPERATOR)) is Denial.ENROLLED
        assert await denied(w.access.totp_confirm(OPERATOR, w.code(begun.secret))) is Denial.ENROLLED
        assert await denied(w.access.sign_in(GUEST, "4711", w.code(begun.secret))) is Denial.WRONG, "it is used up"
        await asyncio.sleep(30)
        assert (await w.access.sign_in(GUEST, "4711", w.code(begun.secret))).role is Role.OPERATOR

    run(main)


def test_the_uri_is_what_authenticator_apps_read() -> None:
    async def main(w: World) -> None:
        await w.access.set_pin(0, "", "4711")
        first, second = await w.access.totp_begin(OPERATOR), await w.access.totp_begin(OPERATOR)
        uri = urlsplit(first.uri)
        assert (uri.scheme, uri.netloc, unquote(uri.path)) == ("otpauth", "totp", "/EVSE:DC-0001")
        query = parse_qs(uri.query)
        assert query["secret"] == [first.secret] and query["issuer"] == ["EVSE"]
        assert set(query) <= {"secret", "issuer", "digits", "period", "algorithm"}
        assert len(first.secret) == 32, "160 bits as base32"
        assert first.secret != second.secret
        assert await denied(w.access.totp_confirm(OPERATOR, w.code(first.secret))) is Denial.WRONG, "replaced"
        await w.access.totp_confirm(OPERATOR, w.code(second.secret))

    run(main)


def test_a_begun_enrolment_ends_by_time_and_by_wrong_codes() -> None:
    async def main(w: World) -> None:
        await w.access.set_pin(0, "", "4711")
        begun = await w.access.totp_begin(OPERATOR)
        await asyncio.sleep(BEGUN_S)
        assert await denied(w.access.totp_confirm(OPERATOR, w.code(begun.secret))) is Denial.NOT_BEGUN
        begun = await w.access.totp_begin(OPERATOR)
        for _ in range(CONFIRM_TRIES):
            assert await denied(w.access.totp_confirm(OPERATOR, "12345")) is Denial.WRONG
        assert await denied(w.access.totp_confirm(OPERATOR, w.code(begun.secret))) is Denial.NOT_BEGUN
        assert not await w.access.totp_enrolled()

    run(main)


def test_enrolling_ends_roles_that_the_pin_alone_gave() -> None:
    async def main(w: World) -> None:
        await w.access.set_pin(0, "", "4711")
        mine, other = await w.access.sign_in(GUEST, "4711"), await w.access.sign_in(GUEST, "4711")
        begun = await w.access.totp_begin(GUEST)
        await w.access.totp_confirm(GUEST, w.code(begun.secret), mine.token)
        assert w.tokens.role(mine.token, GUEST) is Role.OPERATOR
        assert w.tokens.role(other.token, GUEST) is None

    run(main)


def test_pin_and_code_are_both_needed_and_one_lockout_counts_both() -> None:
    async def main(w: World) -> None:
        secret = await enrol(w)
        hashed = w.runner.jobs
        for _ in range(FREE_TRIES + 2):
            assert await denied(w.access.sign_in(GUEST, "4711")) is Denial.CODE_NEEDED
        assert w.runner.jobs == hashed, "a forgotten code is no try, and says nothing about the PIN"
        assert await denied(w.access.sign_in(GUEST, "0000", w.code(secret))) is Denial.WRONG
        assert await denied(w.access.sign_in(GUEST, "4711", "000000")) is Denial.WRONG
        assert await denied(w.access.sign_in(GUEST, "4711", "111111")) is Denial.WRONG
        assert await denied(w.access.sign_in(GUEST, "4711", w.code(secret))) is Denial.LOCKED
        w.restart()
        assert await denied(w.access.totp_disable(GUEST, "4711", w.code(secret))) is Denial.LOCKED
        await asyncio.sleep(30)
        assert await w.access.sign_in(GUEST, "4711", w.code(secret))

    run(main)


def test_a_wrong_pin_does_not_use_up_the_code() -> None:
    async def main(w: World) -> None:
        secret = await enrol(w)
        assert await denied(w.access.sign_in(GUEST, "0000", w.code(secret))) is Denial.WRONG
        assert await w.access.sign_in(GUEST, "4711", w.code(secret))

    run(main)


def test_wrong_codes_cannot_be_forgotten_through_a_change_of_the_pin() -> None:
    """Who knows the PIN only must not have free tries at the code between two right PINs."""

    async def main(w: World) -> None:
        secret = await enrol(w)
        assert await denied(w.access.sign_in(GUEST, "4711", "000000")) is Denial.WRONG
        assert await denied(w.access.set_pin(GUEST, "4711", "4711")) is Denial.CODE_NEEDED
        assert await denied(w.access.set_pin(GUEST, "4711", "4711", "000000")) is Denial.WRONG
        assert await denied(w.access.totp_disable(GUEST, "4711", "000000")) is Denial.WRONG
        assert await denied(w.access.set_pin(GUEST, "4711", "4711", w.code(secret))) is Denial.LOCKED
        await asyncio.sleep(30)
        await w.access.set_pin(GUEST, "4711", "0815", w.code(secret))
        await asyncio.sleep(30)
        assert await w.access.sign_in(GUEST, "0815", w.code(secret))

    run(main)


def test_turning_codes_off_needs_pin_and_code_except_from_an_owner() -> None:
    async def main(w: World) -> None:
        assert not await w.access.totp_disable(GUEST, "4711", "1")
        secret = await enrol(w)
        for uid in (GUEST, OPERATOR, 1002, None):
            assert await denied(w.access.totp_disable(uid)) is Denial.NOT_OWNER
        assert await denied(w.access.totp_disable(GUEST, "4711")) is Denial.CODE_NEEDED
        assert await denied(w.access.totp_disable(0, "4711", "000000")) is Denial.WRONG
        assert await w.access.totp_enrolled()
        assert await w.access.totp_disable(GUEST, "4711", w.code(secret))
        assert not await w.access.totp_enrolled()
        assert w.vault.values == {}
        assert await w.access.sign_in(GUEST, "4711")
        assert not await w.access.totp_disable(0), "off already"

    run(main)


@pytest.mark.parametrize("uid", [0, OWN])
def test_an_owner_gets_in_when_the_telephone_or_the_secret_is_lost(uid: int) -> None:
    async def main(w: World) -> None:
        secret = await enrol(w)
        w.vault.values.clear()
        w.restart()
        assert await w.access.totp_enrolled(), "a lost secret does not turn codes off"
        assert await denied(w.access.sign_in(GUEST, "4711", w.code(secret))) is Denial.WRONG
        w.vault.broken = SecretsError("sealed file damaged")
        with pytest.raises(SecretsError):
            await w.access.sign_in(GUEST, "4711", w.code(secret))
        assert await w.access.totp_disable(uid)
        assert await w.access.sign_in(GUEST, "4711")

    run(main)


def test_a_vault_that_cannot_be_written_leaves_codes_off() -> None:
    async def main(w: World) -> None:
        await w.access.set_pin(0, "", "4711")
        begun = await w.access.totp_begin(OPERATOR)
        w.vault.broken = SecretsError("disk full")
        with pytest.raises(SecretsError):
            await w.access.totp_confirm(OPERATOR, w.code(begun.secret))
        assert not await w.access.totp_enrolled()
        assert await w.access.sign_in(GUEST, "4711")

    run(main)


def test_a_new_secret_forgets_the_last_step_of_the_old_one() -> None:
    """A clock that was years ahead once would refuse every code; enrolling again is the way out."""

    async def main(w: World) -> None:
        secret = await enrol(w)
        w.settings.values[NAMESPACE, "totp.last_step"] = str(10**9)
        assert await denied(w.access.sign_in(GUEST, "4711", w.code(secret))) is Denial.WRONG
        await w.access.totp_disable(0)
        begun = await w.access.totp_begin(OPERATOR)
        await w.access.totp_confirm(OPERATOR, w.code(begun.secret))
        await asyncio.sleep(30)
        assert await w.access.sign_in(GUEST, "4711", w.code(begun.secret))

    run(main)


@pytest.mark.parametrize("code", ["12345", "1234567", "١٢٣٤٥٦", "12 345", "", "-12345"])
def test_what_is_no_code_never_fits(code: str) -> None:
    async def main(w: World) -> None:
        assert not await w.totp.verify(code)
        assert (NAMESPACE, "totp.last_step") not in w.settings.values

    run(main, SECRET)


def test_many_writers_at_a_time_lose_nothing_and_two_vaults_do_not_mix(tmp_path: Path) -> None:
    before = keyring.get_keyring()

    async def main() -> None:
        one, two = (KeyringVault(tmp_path / name, ThreadRunner()) for name in ("one", "two"))
        await asyncio.gather(*(vault.write(f"n{n}", f"{n}") for n in range(10) for vault in (one, two)))
        await two.write("n0", "other")
        assert [await one.read(f"n{n}") for n in range(10)] == [f"{n}" for n in range(10)]
        assert await two.read("n0") == "other"

    try:
        asyncio.run(main())
    finally:
        keyring.set_keyring(before)


def test_the_vault_is_the_sealed_file_and_installs_itself_when_it_is_used(tmp_path: Path) -> None:
    before = keyring.get_keyring()
    directory = tmp_path / "secrets"

    async def main(w: World) -> None:
        vault = KeyringVault(directory, Inline())
        assert keyring.get_keyring() is before, "nothing is loaded before it is needed"
        assert await vault.read("totp.secret") is None
        assert not directory.exists(), "reading writes nothing"
        await vault.write("totp.secret", SECRET)
        assert keyring.get_password(SERVICE, "totp.secret") == SECRET
        assert {p.name: p.stat().st_mode & 0o777 for p in directory.iterdir()} == {KEY_FILE: 0o600, SEALED_FILE: 0o600}
        assert directory.stat().st_mode & 0o777 == 0o700
        assert SECRET.encode() not in (directory / SEALED_FILE).read_bytes()
        assert await KeyringVault(directory, Inline()).read("totp.secret") == SECRET
        await vault.remove("totp.secret")
        await vault.remove("totp.secret")
        assert await vault.read("totp.secret") is None

    try:
        run(main)
    finally:
        keyring.set_keyring(before)


def test_a_directory_that_lets_others_in_is_refused(tmp_path: Path) -> None:
    ring = SealedFileKeyring(tmp_path / "s")
    ring.set_password("a", "b", "c")
    (tmp_path / "s").chmod(0o750)
    with pytest.raises(SecretsError, match="chmod 0700"):
        ring.get_password("a", "b")
    with pytest.raises(SecretsError, match="chmod 0700"):
        ring.set_password("a", "b", "d")
    (tmp_path / "s").chmod(0o700)
    assert ring.get_password("a", "b") == "c"


def test_a_place_that_is_no_directory_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "s").write_text("")
    with pytest.raises(SecretsError, match="cannot be read"):
        SealedFileKeyring(tmp_path / "s").set_password("a", "b", "c")
