"""Profiles and passwords under virtual time: what the CSMS may change, what falls back, and what a restart remembers."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from evse.domain.base import DeviceError
from evse.sim.csms_security import pem
from tests.ocpp_security.support import KEY_1, KEY_2, NAME, World, secured, with_key


def test_profile_1_sends_name_and_key(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        await with_key(world)
        status = world.station.security.status()
        assert status.profile == 1 and status.key_set and status.proven and status.staged is None
        assert status.key_age_s is not None and 0 <= status.key_age_s <= 30

    secured(tmp_path, main, security={"profile": 1})


def test_without_a_key_nothing_is_dialled_and_the_words_say_what_to_do(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        await world.start(60)
        assert world.openers.dials == [] and not world.station.online
        assert "needs an AuthorizationKey" in world.station.client.summary().last_error
        assert "set-key" in world.station.security.status().last_failure

    secured(tmp_path, main, security={"profile": 1})


def test_the_csms_changes_the_key_and_the_station_comes_back_with_it(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        await with_key(world)
        assert await world.back_end.change_password(KEY_2, KEY_2.encode()) == "Accepted"
        staged = world.station.security.status().staged
        assert staged is not None and staged.changed == "AuthorizationKey" and staged.by == "csms"
        connections = world.csms.connections
        world.back_end.passwords[NAME] = {KEY_2.encode()}
        await asyncio.sleep(30)
        assert world.station.online and world.csms.connections == connections + 1
        assert world.station.security.status().staged is None
        assert await world.station.vault.read("ocpp.key.a") is None, "the old key is kept"
        await world.station.restart()
        await asyncio.sleep(5)
        assert world.station.online

    secured(tmp_path, main, security={"profile": 1})


def test_a_new_key_that_the_csms_refuses_falls_back_to_the_old_one_and_is_given_up_in_the_end(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        await with_key(world)
        assert await world.back_end.change_password(KEY_2) == "Accepted"  # accepted, but the CSMS forgets it
        await asyncio.sleep(30)
        assert world.station.online, "locked out by a new key"
        status = world.station.security.status()
        assert status.staged is not None and status.staged.tries == 1 and "401" in status.staged.last_error
        assert any("waits to be accepted" in text for text in status.warnings)
        for _ in range(6):
            await world.cut(60)
            assert world.station.online, "locked out by a new key"
        status = world.station.security.status()
        assert status.staged is None and status.given_up is not None and status.given_up.changed == "AuthorizationKey"
        assert any("given up" in text for text in status.warnings)
        kinds = await world.station.kinds()
        assert "FailedToAuthenticateAtCentralSystem" in kinds and "ReconfigurationOfSecurityParameters" in kinds

    secured(tmp_path, main, security={"profile": 1})


def test_a_new_key_survives_a_power_cut_before_it_is_tried(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        await with_key(world)
        assert await world.back_end.change_password(KEY_2, KEY_2.encode()) == "Accepted"
        world.back_end.passwords[NAME] = {KEY_2.encode()}
        await world.station.kill()
        await world.station.start()
        await asyncio.sleep(5)
        assert world.station.online and world.station.security.status().staged is None

    secured(tmp_path, main, security={"profile": 1})


@pytest.mark.parametrize("value", ["short", "x" * 41, "ümlaut-0123456789"])
def test_a_key_that_is_none_is_rejected(value: str, tmp_path: Path) -> None:
    async def main(world: World) -> None:
        await with_key(world)
        assert await world.back_end.change_password(value) == "Rejected"
        assert world.station.security.status().staged is None

    secured(tmp_path, main, security={"profile": 1})


def test_the_key_can_be_written_and_not_read(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        await with_key(world)
        answer = await world.csms.call("GetConfiguration", {"key": ["AuthorizationKey", "SecurityProfile"]})
        assert answer["configurationKey"] == [
            {"key": "AuthorizationKey", "readonly": False}, {"key": "SecurityProfile", "readonly": False, "value": "1"},
        ]
        assert KEY_1 not in str(await world.csms.call("GetConfiguration", {}))

    secured(tmp_path, main, security={"profile": 1})


# -- profiles ----------------------------------------------------------------------------------------------------------


def test_the_csms_raises_the_profile_after_it_has_set_a_key(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        await world.start()
        assert await world.back_end.set_key("SecurityProfile", "1") == "Rejected", "without a key"
        assert await world.back_end.set_key("AuthorizationKey", KEY_1) == "Accepted"
        assert world.station.security.status().staged is None, "profile 0 does not use the key"
        assert await world.back_end.set_key("SecurityProfile", "1") == "Accepted"
        world.back_end.passwords[NAME] = {KEY_1.encode()}
        boots = len(world.csms.calls("BootNotification"))
        await asyncio.sleep(30)
        assert world.station.online and world.station.profile == 1
        assert len(world.csms.calls("BootNotification")) == boots + 1
        answer = await world.csms.call("GetConfiguration", {"key": ["SecurityProfile"]})
        assert answer["configurationKey"][0]["value"] == "1"

    secured(tmp_path, main)


@pytest.mark.parametrize("value", ["0", "4", "-1", "x", ""])
def test_the_csms_cannot_lower_the_profile_or_invent_one(value: str, tmp_path: Path) -> None:
    async def main(world: World) -> None:
        await with_key(world)
        assert await world.back_end.set_key("SecurityProfile", value) == "Rejected"
        assert world.station.profile == 1 and world.station.security.status().staged is None

    secured(tmp_path, main, security={"profile": 1})


def test_a_technician_can_lower_it_and_it_is_staged_too(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        await with_key(world)
        assert (await world.station.security.set_profile(0)).status == "Accepted"
        await asyncio.sleep(30)
        assert world.station.online, "the CSMS wants the key: the station must come back with it"
        del world.back_end.passwords[NAME]
        assert (await world.station.security.set_profile(0)).status == "Accepted"
        await asyncio.sleep(30)
        assert world.station.profile == 0 and world.station.online

    secured(tmp_path, main, security={"profile": 1})


def test_profile_3_needs_a_certificate_of_the_station_and_2_a_root(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        await with_key(world)
        assert await world.back_end.set_key("SecurityProfile", "2") == "Rejected"
        assert await world.back_end.set_key("SecurityProfile", "3") == "Rejected"
        assert await world.back_end.install(pem(world.back_end.root.certificate)) == "Accepted"
        assert await world.back_end.set_key("SecurityProfile", "2") == "Accepted"
        await asyncio.sleep(30)
        assert world.station.profile == 2 and world.station.security.status().url.startswith("wss://")
        assert await world.back_end.set_key("SecurityProfile", "3") == "Rejected"
        assert await world.back_end.set_key("SecurityProfile", "1") == "Rejected"

    secured(tmp_path, main, security={"profile": 1}, tls={"roots": "installed"})


# -- URL ---------------------------------------------------------------------------------------------------------------


class TwoAddresses:
    """Lets only some URLs of the openers through."""

    def __init__(self, world: World, *open_: str) -> None:
        self.open = list(open_)
        self.dialled: list[str] = []
        inner = world.csms.connect

        async def connect(url, subprotocols, headers):  # type: ignore[no-untyped-def]
            self.dialled.append(url.rsplit("/", 1)[0])
            if self.dialled[-1] not in self.open:
                world.csms.online = False
            try:
                return await inner(url, subprotocols, headers)
            finally:
                world.csms.online = True

        world.csms.connect = connect  # type: ignore[method-assign]


OLD, NEW = "ws://csms.test/ocpp", "ws://new.test/ocpp"


def test_a_new_url_is_tried_and_kept_when_the_csms_there_accepts_the_station(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        TwoAddresses(world, OLD, NEW)
        await world.start()
        assert await world.back_end.set_key("CentralSystemURI", NEW) == "Accepted"
        await asyncio.sleep(30)
        assert world.station.online and world.station.security.status().url == NEW
        await world.station.restart()
        await asyncio.sleep(5)
        assert world.station.client.summary().url.startswith(NEW)
        assert {k.key: k.value for k in world.station.client.keys()}["CentralSystemURI"] == NEW  # noqa: SIM118 - a method

    secured(tmp_path, main)


def test_a_url_that_does_not_answer_gives_way_to_the_old_one_and_the_status_says_so(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        addresses = TwoAddresses(world, OLD)
        await world.start()
        addresses.dialled.clear()
        assert await world.back_end.set_key("CentralSystemURI", NEW) == "Accepted"
        await asyncio.sleep(120)
        assert addresses.dialled == [NEW, NEW, NEW, OLD]
        status = world.station.security.status()
        assert world.station.online and status.url == OLD and status.staged is None
        assert status.given_up is not None and status.given_up.url == NEW and "refused" in status.given_up.error
        await world.station.restart()
        given_up = world.station.security.status().given_up
        assert given_up is not None and given_up.url == NEW
        assert await world.station.security.cancel_change()
        assert world.station.security.status().given_up is None

    secured(tmp_path, main)


@pytest.mark.parametrize("how", ["cancelled", "taken back", "cancelled and accepted at once"])
def test_a_change_that_is_dropped_while_it_is_tried_does_not_keep_the_link(tmp_path: Path, how: str) -> None:
    async def main(world: World) -> None:
        addresses = TwoAddresses(world, OLD, NEW)
        await world.start()
        world.csms.registration = "Pending"
        assert await world.back_end.set_key("CentralSystemURI", NEW) == "Accepted"
        await asyncio.sleep(5)
        link = world.station.client.link
        assert (link.connected, world.station.client.registration, link.target.name) == (True, "Pending", "staged")
        if how == "taken back":
            assert (await world.station.security.set_profile(0, OLD)).status == "Accepted"
        else:
            assert await world.station.security.cancel_change()
        world.csms.registration = "Accepted"
        if how == "cancelled and accepted at once":
            await world.station.client.trigger("BootNotification", None)
        await asyncio.sleep(5)
        assert world.station.online and addresses.dialled[-2:] == [NEW, OLD]
        status = world.station.security.status()
        assert (status.url, status.staged, status.given_up, link.target.name) == (OLD, None, None, "active")

    secured(tmp_path, main)


@pytest.mark.parametrize("first", ["key", "URL"])
def test_a_key_and_a_wrong_url_at_once_do_not_lock_the_station_out(tmp_path: Path, first: str) -> None:
    async def main(world: World) -> None:
        addresses = TwoAddresses(world, OLD)
        await with_key(world)
        for what in ("key", "URL") if first == "key" else ("URL", "key"):
            if what == "key":
                assert await world.back_end.change_password(KEY_2) == "Accepted"
            else:
                assert await world.back_end.set_key("CentralSystemURI", NEW) == "Accepted"
        world.back_end.passwords[NAME] = {KEY_2.encode()}  # from now on nothing else
        await asyncio.sleep(120)
        assert world.station.online and addresses.dialled[-1] == OLD
        status = world.station.security.status()
        assert status.staged is None and status.given_up is not None and (status.given_up.url, status.given_up.changed) == (NEW, "URL")
        await world.station.restart()
        await asyncio.sleep(10)
        assert world.station.online

    secured(tmp_path, main, security={"profile": 1})


def test_a_csms_that_never_accepts_the_station_at_the_new_url_gives_way_too(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        TwoAddresses(world, OLD, NEW)
        await world.start()
        world.csms.registration = "Pending"
        assert await world.back_end.set_key("CentralSystemURI", NEW) == "Accepted"
        await asyncio.sleep(700)
        assert world.station.security.status().url == OLD
        world.csms.registration = "Accepted"
        await asyncio.sleep(300)
        assert world.station.online

    secured(tmp_path, main)


def test_after_an_outage_of_both_the_new_url_gets_its_chance(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        addresses = TwoAddresses(world)
        addresses.open = [OLD]
        await world.start()
        assert await world.back_end.set_key("CentralSystemURI", NEW) == "Accepted"
        addresses.open = []
        await asyncio.sleep(3600)
        assert {*addresses.dialled[-12:]} == {OLD, NEW}
        addresses.open = [NEW]
        await asyncio.sleep(1200)
        assert world.station.online and world.station.security.status().url == NEW

    secured(tmp_path, main)


@pytest.mark.parametrize("url", ["http://x/y", "ws://", "x", "ws://me:pw@h/x", "ws://[::1", "ws://h/" + "x" * 300])
def test_a_url_that_is_none_is_rejected(url: str, tmp_path: Path) -> None:
    async def main(world: World) -> None:
        await world.start()
        assert await world.back_end.set_key("CentralSystemURI", url) == "Rejected"
        assert world.station.security.status().staged is None

    secured(tmp_path, main)


def test_the_csms_cannot_lead_the_station_from_tls_to_none(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        await world.start()
        assert await world.back_end.set_key("CentralSystemURI", NEW) == "Rejected"
        assert await world.back_end.set_key("CentralSystemURI", NEW.replace("ws:", "wss:")) == "Accepted"

    secured(tmp_path, main, url=OLD.replace("ws:", "wss:"))


def test_a_changed_file_is_staged_and_falls_back(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        addresses = TwoAddresses(world, OLD)
        await world.start()
        await world.station.restart(url=NEW)
        await asyncio.sleep(120)
        assert world.station.online and world.station.security.status().url == OLD
        given_up = world.station.security.status().given_up
        assert given_up is not None and given_up.url == NEW
        addresses.open = [NEW, OLD]
        await world.station.restart(url=NEW)
        await asyncio.sleep(5)
        assert world.station.security.status().url == OLD, "the same file is not tried twice"

    secured(tmp_path, main)


def test_before_anything_has_worked_the_file_counts_at_once(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        addresses = TwoAddresses(world, NEW)
        await world.start(20)
        assert not world.station.online
        await world.station.restart(url=NEW)
        await asyncio.sleep(5)
        assert world.station.online and addresses.dialled[-1] == NEW

    secured(tmp_path, main)


# -- things that happen at the same time ------------------------------------------------------------------------------


def test_a_newer_change_is_not_charged_with_the_end_of_the_one_before(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        await with_key(world)
        security = world.station.security
        assert (await security.set_key(KEY_2)).status == "Accepted"
        stale = await security.dialler.target()
        assert stale.name == "staged"
        assert (await security.set_profile(0)).status == "Accepted"
        await security.dialler.failed(stale, "HTTP 401")
        staged = security.status().staged
        assert staged is not None and staged.tries == 0
        with pytest.raises(DeviceError, match="dropped"):
            await security.dialler.registered(stale)
        assert security.status().staged is not None and world.station.profile == 1

    secured(tmp_path, main, security={"profile": 1, "staged_tries": 1})


def test_a_change_that_the_link_has_tried_by_itself_does_not_end_it_again(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        await with_key(world)
        connections = world.csms.connections
        world.back_end.passwords[NAME].add(KEY_2.encode())
        assert (await world.station.security.set_key(KEY_2)).status == "Accepted"
        world.station.client.reconnect("somebody else has a reason too")
        await asyncio.sleep(30)
        assert world.station.online and world.csms.connections == connections + 1

    secured(tmp_path, main, security={"profile": 1})


def test_a_key_that_is_in_use_is_never_overwritten_also_on_the_way_to_profile_0(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        await with_key(world)
        world.csms.registration = "Pending"  # nothing that is tried out is accepted
        assert (await world.station.security.set_profile(0)).status == "Accepted"
        assert (await world.station.security.set_key(KEY_2)).status == "Accepted"
        await asyncio.sleep(1500)
        world.csms.registration = "Accepted"
        await asyncio.sleep(300)
        assert world.station.online and world.station.profile == 1
        assert await world.station.vault.read(f"ocpp.key.{world.station.security.dialler.state.active.key}") == KEY_1

    secured(tmp_path, main, security={"profile": 1})


def test_changes_from_all_sides_at_once_leave_a_station_that_works(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        await with_key(world)
        world.back_end.passwords[NAME] = {KEY_1.encode(), KEY_2.encode()}
        for n in range(12):
            await asyncio.gather(
                world.back_end.set_key("AuthorizationKey", (KEY_1, KEY_2)[n % 2]),
                world.station.security.set_key((KEY_2, KEY_1)[n % 2]),
                world.station.security.set_profile(1, ("ws://a.test/x", "ws://b.test/y")[n % 2]),
                return_exceptions=True,
            )
            await asyncio.sleep(n * 0.37)
        await asyncio.sleep(120)
        assert world.station.online and world.station.security.status().staged is None
        await world.station.restart()
        await asyncio.sleep(10)
        assert world.station.online

    secured(tmp_path, main, security={"profile": 1})


def test_another_user_name_is_tried_falls_back_and_is_kept(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        await with_key(world)
        csms = world.back_end
        for wrong in ("a:b", " x", "x" * 65, "\x07"):
            assert await csms.set_key("AuthorizationUser", wrong) == ("Accepted" if wrong == " x" else "Rejected"), wrong
        await asyncio.sleep(120)
        assert world.station.online, "locked out by a user name"
        staged = world.station.security.status().staged
        assert staged is not None and staged.changed == "AuthorizationUser" and "401" in staged.last_error
        assert await world.station.security.cancel_change()
        csms.users[NAME] = "fleet-7"
        assert await csms.set_key("AuthorizationUser", "fleet-7") == "Accepted"
        await asyncio.sleep(60)
        assert world.station.online and world.station.security.status().staged is None
        await world.station.restart()
        await asyncio.sleep(10)
        assert world.station.online and world.station.security.status().user == "fleet-7"
        rows = await world.csms.call("GetConfiguration", {"key": ["AuthorizationUser", "AuthorizationKey"]})
        assert [row.get("value") for row in rows["configurationKey"]] == ["fleet-7", None]

    secured(tmp_path, main, security={"profile": 1})
