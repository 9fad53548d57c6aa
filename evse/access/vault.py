"""Secrets of the daemon by name: the keyring of the process, set to the sealed file of the data directory.

keyring and cryptography cost a fifth of a second and 10 MB, so they are loaded in a thread when a secret is first read
or written: a station without one-time codes and without an AuthorizationKey never pays. One vault serves the whole daemon.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Final, Protocol, TypeVar

from evse.access.ports import Runner

T = TypeVar("T")

SERVICE: Final = "evsed"
"""Service name of all secrets in the keyring."""
DIRECTORY: Final = "secrets"
"""Below the data directory: mode 0700, files 0600."""


class Vault(Protocol):
    """Keeps secrets. Every call may raise `evse.access.ports.SecretsError`, which never holds a secret."""

    async def read(self, name: str) -> str | None:
        """Return a secret, None when there is none."""
        ...

    async def write(self, name: str, value: str) -> None:
        """Store a secret; it is on the medium when this returns."""
        ...

    async def remove(self, name: str) -> None:
        """Forget a secret; nothing happens when there is none."""
        ...


class KeyringVault:
    """`Vault` on ``directory``; the first use makes its sealed file the keyring of this process, and it keeps to that file."""

    def __init__(self, directory: Path, runner: Runner) -> None:
        self._directory = directory
        self._runner = runner
        self._keyring: _Keyring | None = None
        self._turn = asyncio.Lock()  # every change reads, changes and writes the whole file

    async def read(self, name: str) -> str | None:
        """See `Vault.read`."""
        return await self._run(lambda keyring: keyring.get_password(SERVICE, name))

    async def write(self, name: str, value: str) -> None:
        """See `Vault.write`."""
        await self._run(lambda keyring: keyring.set_password(SERVICE, name, value))

    async def remove(self, name: str) -> None:
        """See `Vault.remove`."""

        def job(keyring: _Keyring) -> None:
            if keyring.get_password(SERVICE, name) is not None:
                keyring.delete_password(SERVICE, name)

        await self._run(job)

    async def _run(self, job: Callable[[_Keyring], T]) -> T:
        def installed() -> T:
            if self._keyring is None:
                from evse.access.secrets import install

                self._keyring = install(self._directory)
            return job(self._keyring)

        async with self._turn:
            return await self._runner.run(installed)


class _Keyring(Protocol):
    """The part of keyring's interface that is used."""

    def get_password(self, service: str, username: str) -> str | None: ...

    def set_password(self, service: str, username: str, password: str) -> None: ...

    def delete_password(self, service: str, username: str) -> None: ...
