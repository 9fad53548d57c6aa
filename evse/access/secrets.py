"""Secrets at rest: a keyring backend that seals everything into one file of the data directory.

AES-256-GCM; the key is a file of its own with mode 0600 beside it, so a copy of the sealed file alone (a backup, a
support bundle) is worth nothing. The backend is set explicitly: without a desktop, keyring would find none, or one that
stores plain text. Used through `evse.access.vault`.
"""

from __future__ import annotations

import json
import os
import secrets
from pathlib import Path
from typing import Final

import keyring
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from keyring.backend import KeyringBackend
from keyring.errors import PasswordDeleteError

from evse.access.ports import SecretsError

KEY_FILE: Final = "secrets.key"
SEALED_FILE: Final = "secrets.sealed"
SEALED_MAX_BYTES: Final = 1 << 20
_MAGIC: Final = b"evse-sealed-1\n"
_NONCE: Final = 12


class SealedFileKeyring(KeyringBackend):
    """Keyring in ``directory`` (created with mode 0700). Every change is on the medium before the call returns."""

    priority = 1

    def __init__(self, directory: Path) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # keyring
        self._directory = directory
        self._sealed = directory / SEALED_FILE
        self._key_path = directory / KEY_FILE

    def get_password(self, service: str, username: str) -> str | None:
        """Return a secret, None when there is none."""
        return self._load().get(service, {}).get(username)

    def set_password(self, service: str, username: str, password: str) -> None:
        """Store a secret."""
        everything = self._load()
        everything.setdefault(service, {})[username] = password
        self._save(everything)

    def delete_password(self, service: str, username: str) -> None:
        """Remove a secret; `keyring.errors.PasswordDeleteError` when there is none."""
        everything = self._load()
        if username not in everything.get(service, {}):
            raise PasswordDeleteError(f"no secret {service}/{username}")
        del everything[service][username]
        self._save(everything)

    def _key(self, *, create: bool) -> bytes:
        try:
            self._check_directory()
            mode = self._key_path.stat().st_mode & 0o777
        except FileNotFoundError:
            if not create:
                raise SecretsError(
                    f"{self._key_path}: missing, but {self._sealed} needs it; restore it from a backup of the device, "
                    f"or remove {self._sealed} and enter the secrets again"
                ) from None
            self._make_directory()
            key = secrets.token_bytes(32)
            _write(self._key_path, key)
            return key
        if mode & 0o077:
            raise SecretsError(f"{self._key_path}: mode {mode:04o} lets others read it; chmod 0600 {self._key_path}")
        key = self._read(self._key_path)
        if len(key) != 32:
            raise SecretsError(f"{self._key_path}: {len(key)} bytes instead of 32; restore it from a backup")
        return key

    def _check_directory(self) -> None:
        mode = self._directory.stat().st_mode & 0o777
        if mode & 0o077:
            raise SecretsError(f"{self._directory}: mode {mode:04o} lets others in; chmod 0700 {self._directory}")

    def _make_directory(self) -> None:
        try:
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise SecretsError(f"{self._directory}: cannot be made: {error.strerror}; check space and rights") from error

    def _read(self, path: Path) -> bytes:
        """Content of a file. Raises FileNotFoundError, and `SecretsError` for everything else."""
        try:
            return path.read_bytes()
        except FileNotFoundError:
            raise
        except OSError as error:
            raise self._unreadable(path, error) from error

    @staticmethod
    def _unreadable(path: Path, error: OSError) -> SecretsError:
        return SecretsError(f"{path}: cannot be read: {error.strerror}; it must belong to the user of the daemon")

    def _load(self) -> dict[str, dict[str, str]]:
        try:
            if self._sealed.stat().st_size > SEALED_MAX_BYTES:
                raise SecretsError(f"{self._sealed}: larger than {SEALED_MAX_BYTES} bytes; not written by this program")
            blob = self._read(self._sealed)
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise self._unreadable(self._sealed, error) from error
        key = self._key(create=False)
        start = len(_MAGIC)
        try:
            if not blob.startswith(_MAGIC) or len(blob) < start + _NONCE + 16:
                raise InvalidTag
            text = AESGCM(key).decrypt(blob[start : start + _NONCE], blob[start + _NONCE :], _MAGIC)
        except InvalidTag:
            raise SecretsError(
                f"{self._sealed}: damaged or sealed with another key; restore it, "
                "or remove it and enter the secrets again"
            ) from None
        loaded: dict[str, dict[str, str]] = json.loads(text)
        return loaded

    def _save(self, everything: dict[str, dict[str, str]]) -> None:
        key = self._key(create=not self._sealed.exists())
        nonce = secrets.token_bytes(_NONCE)
        _write(self._sealed, _MAGIC + nonce + AESGCM(key).encrypt(nonce, json.dumps(everything).encode(), _MAGIC))


def install(directory: Path) -> SealedFileKeyring:
    """Make the sealed file of ``directory`` the keyring of this process and return it."""
    backend = SealedFileKeyring(directory)
    keyring.set_keyring(backend)
    return backend


def _write(path: Path, content: bytes) -> None:
    """Replace ``path`` (mode 0600) so that a power cut leaves the old or the new content."""
    beside = path.with_name(f"{path.name}.new")
    try:
        beside.unlink(missing_ok=True)
        fd = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(fd, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
        directory = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
    except OSError as error:
        raise SecretsError(f"{path}: cannot be written: {error.strerror}; check space and rights") from error
