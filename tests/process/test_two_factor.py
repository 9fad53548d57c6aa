"""One-time codes in the real daemon: enrolled over the socket, kept over kill -9, sealed on the medium."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path

import pyotp
import pytest

from evse.access.secrets import KEY_FILE, SEALED_FILE
from evse.access.vault import DIRECTORY
from evse.api.errors import ApiError
from evse.lab.demo_station import DemoStation

PIN = "83726150"


async def refused(station: DemoStation, operation: str, **request: str) -> str:
    """Code of the error that a call ends with."""
    with pytest.raises(ApiError) as caught:
        await station.api(operation, dict(request))
    return caught.value.kind.code


def modes(root: Path) -> dict[str, int]:
    """Rights of the directories named for secrets and of what lies in them: name -> mode."""
    found = [path for folder in root.rglob(DIRECTORY) for path in (folder, *folder.iterdir())]
    return {path.name: path.stat().st_mode & 0o777 for path in found}


@pytest.mark.timeout(180)
def test_codes_survive_a_kill_and_the_secret_lies_sealed(tmp_path: Path) -> None:
    async def main() -> str:
        station = DemoStation(tmp_path)
        try:
            await station.start()
            await station.api("auth.set_pin", {"new": PIN})
            assert modes(tmp_path) == {}, "a station without codes keeps no secrets"
            secret: str = (await station.api("auth.totp_begin"))["secret"]
            codes, began = pyotp.TOTP(secret), int(time.time())
            assert (await station.api("auth.totp_confirm", {"totp": codes.at(began)}))["ok"]

            await station.kill_daemon()
            await station.start_daemon()
            assert (await station.api("auth.whoami"))["totp_enrolled"]
            assert await refused(station, "auth.signin", pin=PIN) == "unauthenticated"
            assert await refused(station, "auth.signin", pin=PIN, totp=codes.at(began)) == "unauthenticated", "used"
            now = int(time.time())
            following = codes.at(max(began + 30, now))  # the present step or a neighbour, never the used one
            assert (await station.api("auth.signin", {"pin": PIN, "totp": following}))["role"] == "operator"

            assert modes(tmp_path) == {DIRECTORY: 0o700, KEY_FILE: 0o600, SEALED_FILE: 0o600}
            audit = await station.api("audit.list", {"limit": 50})
            assert secret not in json.dumps(audit) and PIN not in json.dumps(audit)
            assert (await station.api("auth.totp_disable"))["changed"], "the daemon's own user recovers"
            assert not (await station.api("auth.whoami"))["totp_enrolled"]
            newest = (await station.api("audit.list", {"limit": 1}))["items"][0]
            assert newest["operation"] == "auth.totp_disable" and "recovered" in newest["new"]
            return secret
        finally:
            await station.stop()

    secret = asyncio.run(main())
    for path in tmp_path.rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            assert secret.encode() not in content and PIN.encode() not in content, f"{path} holds a secret"
