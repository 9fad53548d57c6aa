"""The sealed keyring: round trip, rights, damage, missing key."""

from __future__ import annotations

from pathlib import Path

import keyring
import pytest
from keyring.errors import PasswordDeleteError

from evse.access.ports import SecretsError
from evse.access.secrets import KEY_FILE, SEALED_FILE, SealedFileKeyring, install


def test_secrets_are_sealed_and_come_back(tmp_path: Path) -> None:
    ring = SealedFileKeyring(tmp_path / "new")
    assert ring.get_password("ocpp", "AuthorizationKey") is None
    assert not (tmp_path / "new").exists(), "reading writes nothing"
    ring.set_password("ocpp", "AuthorizationKey", "hunter2hunter2")
    ring.set_password("totp", "secret", "ÄÖÜ")
    again = SealedFileKeyring(tmp_path / "new")
    assert again.get_password("ocpp", "AuthorizationKey") == "hunter2hunter2"
    assert again.get_password("totp", "secret") == "ÄÖÜ"
    again.delete_password("totp", "secret")
    assert ring.get_password("totp", "secret") is None
    with pytest.raises(PasswordDeleteError):
        ring.delete_password("totp", "secret")
    files = {p.name: p for p in (tmp_path / "new").iterdir()}
    assert set(files) == {KEY_FILE, SEALED_FILE}
    assert {p.stat().st_mode & 0o777 for p in files.values()} == {0o600}
    assert b"hunter2" not in files[SEALED_FILE].read_bytes()


def test_every_damage_is_refused_and_named(tmp_path: Path) -> None:
    ring = SealedFileKeyring(tmp_path)
    ring.set_password("a", "b", "c")
    sealed = tmp_path / SEALED_FILE
    good = sealed.read_bytes()
    for cut in range(len(good)):
        sealed.write_bytes(good[:cut])
        with pytest.raises(SecretsError, match="damaged"):
            ring.get_password("a", "b")
        sealed.write_bytes(good[:cut] + bytes([good[cut] ^ 1]) + good[cut + 1 :])
        with pytest.raises(SecretsError, match="damaged"):
            ring.get_password("a", "b")
    sealed.write_bytes(good)
    assert ring.get_password("a", "b") == "c"


def test_a_missing_open_or_short_key_is_refused(tmp_path: Path) -> None:
    ring = SealedFileKeyring(tmp_path)
    ring.set_password("a", "b", "c")
    key = tmp_path / KEY_FILE
    key.chmod(0o640)
    with pytest.raises(SecretsError, match="chmod 0600"):
        ring.get_password("a", "b")
    key.chmod(0o600)
    key.write_bytes(b"short")
    with pytest.raises(SecretsError, match="5 bytes"):
        ring.get_password("a", "b")
    key.unlink()
    with pytest.raises(SecretsError, match="missing"):
        ring.set_password("a", "b", "d")
    assert not key.exists(), "a new key would make the old secrets unreadable for ever"


def test_install_sets_the_keyring_of_the_process(tmp_path: Path) -> None:
    before = keyring.get_keyring()
    try:
        backend = install(tmp_path)
        keyring.set_password("ocpp", "AuthorizationKey", "x")
        assert backend.get_password("ocpp", "AuthorizationKey") == "x"
    finally:
        keyring.set_keyring(before)
