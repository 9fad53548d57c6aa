"""LocalAuthListManagement: updates whole or not at all, versions, limits, durability, and what the list decides."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from tests.ocpp.support import Bench, under_virtual_time

LATER = "2026-01-01T01:00:00Z"


def entry(id_tag: str, status: str = "Accepted", **info: str) -> dict[str, Any]:
    return {"idTag": id_tag, "idTagInfo": {"status": status, **info}}


async def send(bench: Bench, version: int, kind: str, *entries: dict[str, Any]) -> str:
    payload: dict[str, Any] = {"listVersion": version, "updateType": kind}
    if entries:
        payload["localAuthorizationList"] = list(entries)
    return str((await bench.csms.call("SendLocalList", payload))["status"])


async def version(bench: Bench) -> int:
    return int((await bench.csms.call("GetLocalListVersion", {}))["listVersion"])


async def listed(bench: Bench, *id_tags: str) -> list[str | None]:
    found = [await bench.store.local_list_get(id_tag) for id_tag in id_tags]
    return [None if row is None else row.status for row in found]


def test_full_replaces_and_differential_changes(tmp_path: Path) -> None:
    async def main() -> None:
        bench = await Bench(database=tmp_path / "x.db").start()
        assert await version(bench) == 0
        assert await send(bench, 3, "Full", entry("A"), entry("B", "Blocked"), entry("C")) == "Accepted"
        assert await version(bench) == 3
        update = (entry("b", "Accepted"), {"idTag": "C"}, {"idTag": "Z"}, entry("D"))
        assert await send(bench, 4, "Differential", *update) == "Accepted"
        assert await listed(bench, "A", "B", "C", "D") == ["Accepted", "Accepted", None, "Accepted"]
        await bench.kill()
        bench = await Bench(database=tmp_path / "x.db").start()
        assert await version(bench) == 4
        assert await send(bench, 2, "Full", entry("E")) == "Accepted"  # a full list may have any version
        assert await listed(bench, "A", "E") == [None, "Accepted"]
        assert await version(bench) == 2
        assert await send(bench, 9, "Full") == "Accepted"
        assert await version(bench) == 0  # empty

    under_virtual_time(main)


@pytest.mark.parametrize(("update", "status"), [
    ((5, "Differential", entry("X")), "VersionMismatch"),
    ((4, "Differential", entry("X")), "VersionMismatch"),
    ((6, "Differential", entry("X"), entry("x")), "Failed"),
    ((6, "Differential", entry("X", expiryDate="soon")), "Failed"),
    ((6, "Full", entry("X"), {"idTag": "Y"}), "Failed"),
    ((0, "Full", entry("X")), "Failed"),
    ((-1, "Full"), "Failed"),
    ((6, "Differential", *(entry(f"T{n}") for n in range(1001))), "Failed"),
])
def test_a_wrong_update_changes_nothing(update: Any, status: str) -> None:
    async def main() -> None:
        bench = await Bench().start()
        await send(bench, 5, "Full", entry("A"))
        assert await send(bench, *update) == status
        assert await version(bench) == 5
        assert await listed(bench, "A", "X") == ["Accepted", None]

    under_virtual_time(main)


def test_the_list_is_bounded_as_its_key_says() -> None:
    async def main() -> None:
        bench = await Bench().start()
        values = {info.key: info.value for info in bench.client.keys()}  # noqa: SIM118
        most, at_once = int(values["LocalAuthListMaxLength"]), int(values["SendLocalListMaxLength"])
        number = 0
        for batch in range(most // at_once):
            entries = [entry(f"TOKEN{n:015}", expiryDate=LATER) for n in range(batch * at_once, (batch + 1) * at_once)]
            number += 1
            assert await send(bench, number, "Differential", *entries) == "Accepted"
        assert await send(bench, number + 1, "Differential", entry("ONE MORE")) == "Failed"
        assert await bench.store.local_list_state() == (number, most)
        assert await send(bench, number + 1, "Differential", {"idTag": f"TOKEN{0:015}"}, entry("ONE MORE")) == "Accepted"

    under_virtual_time(main)


def test_a_card_that_never_expires_is_stored_in_list_and_cache() -> None:
    async def main() -> None:
        bench = await Bench().start()
        never = "9999-12-31T23:59:59Z"
        assert await send(bench, 1, "Full", entry("A", expiryDate=never)) == "Accepted"
        info = {"status": "Accepted", "expiryDate": never}
        bench.csms.answer("Authorize", payload={"idTagInfo": info}, count=1)
        assert (await bench.client.authorize("B", 1)).accepted
        bench.csms.down()
        await asyncio.sleep(1)
        assert (await bench.client.authorize("A", 1)).accepted
        assert (await bench.client.authorize("B", 1)).accepted

    under_virtual_time(main)


def test_switched_off() -> None:
    async def main() -> None:
        bench = await Bench().start()
        await send(bench, 5, "Full", entry("A"))
        await bench.client.set_key("LocalAuthListEnabled", "false")
        assert await version(bench) == -1
        assert await send(bench, 6, "Full", entry("B")) == "NotSupported"
        bench.csms.down()
        await asyncio.sleep(1)
        assert not (await bench.client.authorize("A", 1)).accepted
        await bench.client.set_key("LocalAuthListEnabled", "true")
        assert (await bench.client.authorize("A", 1)).accepted

    under_virtual_time(main)


@pytest.mark.parametrize(("card", "accepted", "reason"), [
    ("good", True, "known card (local list)"),
    ("BLOCKED", False, "local list says Blocked"),
    ("SHORT", False, "Expired"),
    ("CACHED", True, "known card (cache)"),
    ("BOTH", False, "local list says Invalid"),
    ("STRANGER", False, "not in the local list"),
])
def test_offline_the_list_decides_before_the_cache(card: str, accepted: bool, reason: str) -> None:
    async def main() -> None:
        bench = await Bench().start()
        for token in ("CACHED", "BOTH"):
            assert (await bench.client.authorize(token, 1)).accepted
        await send(
            bench, 1, "Full", entry("GOOD", parentIdTag="FLEET"), entry("BLOCKED", "Blocked"),
            entry("SHORT", expiryDate=LATER), entry("BOTH", "Invalid"),
        )
        bench.csms.down()
        await asyncio.sleep(3600)
        result = await bench.client.authorize(card, 1)
        assert result.accepted is accepted
        assert reason in result.reason
        assert result.parent == ("FLEET" if card == "good" else "")
        await bench.client.set_key("LocalAuthorizeOffline", "false")
        assert not (await bench.client.authorize("GOOD", 1)).accepted

    under_virtual_time(main)


def test_online_the_csms_is_asked_unless_pre_authorised_and_a_blocked_entry_asks_anyway() -> None:
    async def main() -> None:
        bench = await Bench().start()
        await send(bench, 1, "Full", entry("A"), entry("B", "Blocked"))
        await bench.client.authorize("A", 1)
        assert len(bench.csms.calls("Authorize")) == 1
        await bench.client.set_key("LocalPreAuthorize", "true")
        assert (await bench.client.authorize("A", 1)).reason == "known card (local list)"
        assert len(bench.csms.calls("Authorize")) == 1
        assert (await bench.client.authorize("B", 1)).accepted  # the CSMS knows better
        assert len(bench.csms.calls("Authorize")) == 2

    under_virtual_time(main)


def test_a_card_that_list_and_csms_see_differently_is_a_conflict_until_the_next_list() -> None:
    async def main() -> None:
        bench = await Bench().start()
        await send(bench, 1, "Full", entry("A"))
        bench.csms.tokens["A"] = "Blocked"
        assert not (await bench.client.authorize("A", 1)).accepted
        bench.look()
        await asyncio.sleep(11)
        said = bench.csms.statuses[("DC 1", 0)]
        assert (said["status"], said["errorCode"]) == ("Available", "LocalListConflict")
        await send(bench, 2, "Differential", entry("A", "Blocked"))
        bench.look()
        await asyncio.sleep(11)
        assert bench.csms.statuses[("DC 1", 0)]["errorCode"] == "NoError"

    under_virtual_time(main)
