"""Profiles and passwords under virtual time: what the CSMS may change, what falls back, and what a restart remembers."""

from __future__ import annotations

import asyncio
import datetime
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evse.lab.vloop import run_virtual
from evse.sim.csms_security import Authority, pem
from evse.units import NS_PER_S
from tests.ocpp_security.support import KEY_1, KEY_2, NAME, World

ROOT = Authority("Any root", now=datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC))

Body = Callable[[World], Awaitable[None]]


def secured(directory: Path, main: Body, **config: object) -> None:
    """Run a test body in a world of its own; everything that the station has logged of messages is free of keys."""

    async def body() -> None:
        world = World(directory, **config)
        await main(world)
        texts = [entry.payload for entry in world.station.client.messages(500)]
        texts += [event.text for event in world.station.client.link_events(500)]
        texts += [msgspec.json.encode(world.station.security.status()).decode()]
        texts += [msgspec.json.encode(key).decode() for key in world.station.client.keys()]  # noqa: SIM118 - a method
        texts += [await world.station.security.log_text()]
        rows = await world.station.store.get_all("ocpp.security")
        assert not [t for t in [*texts, *rows.values()] if KEY_1 in t or KEY_2 in t or "PRIVATE KEY" in t]
        await world.station.kill()

    run_virtual(body())


async def with_key(world: World, key: str = KEY_1) -> None:
    """Start, and let a technician set the key that the CSMS wants."""
    world.back_end.passwords[NAME] = {key.encode()}
    await world.start()
    assert (await world.station.security.set_key(key)).status == "Accepted"
    await asyncio.sleep(30)
    assert world.station.online


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
        await security.dialler.registered(stale)
        assert security.status().staged is not None and world.station.profile == 1

    secured(tmp_path, main, security={"profile": 1, "staged_tries": 1})


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


# -- certificates over OCPP --------------------------------------------------------------------------------------------


def test_roots_are_installed_listed_and_deleted_but_never_the_last_one_in_use(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        await with_key(world)
        csms = world.back_end
        assert await csms.installed() == []
        assert await csms.install(pem(csms.root.certificate)) == "Accepted"
        assert await csms.install(pem(csms.root.certificate)) == "Accepted", "the same one again"
        (first,) = await csms.installed()
        other = Authority("Other", now=world.now)
        assert await csms.install(pem(other.certificate)) == "Accepted"
        maker = Authority("Maker", now=world.now, kind="rsa")
        assert await csms.install(pem(maker.certificate), "ManufacturerRootCertificate") == "Accepted"
        assert len(await csms.installed()) == 2 and len(await csms.installed("ManufacturerRootCertificate")) == 1
        second = next(row for row in await csms.installed() if row != first)
        assert await csms.delete({**second, "serialNumber": second["serialNumber"].upper()}) == "Accepted"
        assert await csms.delete(second) == "NotFound"
        assert await csms.set_key("SecurityProfile", "2") == "Accepted"
        await asyncio.sleep(30)
        assert world.station.profile == 2
        assert await csms.delete(first) == "Failed"
        assert await csms.installed() == [first]
        (row,) = await csms.installed("ManufacturerRootCertificate")
        assert await csms.delete(row) == "Accepted"
        await world.station.restart()
        await asyncio.sleep(5)
        assert await csms.installed() == [first]

    secured(tmp_path, main, security={"profile": 1})


def test_delete_by_sha512(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        from cryptography.hazmat.primitives import hashes
        from cryptography.x509 import ocsp

        await world.start()
        root = Authority("Root", kind="rsa", now=world.now).certificate
        assert await world.back_end.install(pem(root)) == "Accepted"
        peer = ocsp.OCSPRequestBuilder().add_certificate(root, root, hashes.SHA512()).build()
        row = {
            "hashAlgorithm": "SHA512", "issuerNameHash": peer.issuer_name_hash.hex(),
            "issuerKeyHash": peer.issuer_key_hash.hex(), "serialNumber": format(peer.serial_number, "x"),
        }
        assert await world.back_end.delete({**row, "hashAlgorithm": "SHA384"}) == "NotFound"
        assert await world.back_end.delete(row) == "Accepted"

    secured(tmp_path, main)


def test_what_is_no_root_is_rejected(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        await world.start()
        csms = world.back_end
        leaf = csms.root.issue(csms.root.key.public_key(), "leaf")
        expired = Authority("x", now=world.now, begins=datetime.timedelta(days=-20), lasts=datetime.timedelta(days=10))
        weak = Authority("weak", now=world.now, kind="rsa-weak")
        two = pem(csms.root.certificate) + pem(csms.root.certificate)
        for text in ("nonsense", pem(leaf), pem(expired.certificate), pem(weak.certificate), two):
            assert await csms.install(text) == "Rejected", text
        assert await csms.installed() == []
        for n in range(20):
            assert await csms.install(pem(Authority(f"r{n}", now=world.now).certificate)) == "Accepted"
        assert await csms.install(pem(Authority("r20", now=world.now).certificate)) == "Rejected"

    secured(tmp_path, main)


def test_with_the_additional_check_a_new_root_is_signed_by_the_present_one_which_becomes_the_fallback(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        await world.start()
        csms = world.back_end
        assert await csms.install(pem(csms.root.certificate)) == "Accepted"
        assert await csms.install(pem(Authority("Stranger", now=world.now).certificate)) == "Rejected"
        second = Authority("Second", above=csms.root, now=world.now)
        third = Authority("Third", above=second, now=world.now)
        assert await csms.install(pem(third.certificate)) == "Rejected"
        assert await csms.install(pem(second.certificate)) == "Accepted"
        assert len(await csms.installed()) == 2
        assert await csms.install(pem(third.certificate)) == "Accepted"
        shown = [info.subject for info in world.station.security.certificates()]
        assert shown == ["CN=Second,O=Simulated CPO", "CN=Third,O=Simulated CPO"]
        answer = await world.csms.call("GetConfiguration", {"key": ["AdditionalRootCertificateCheck"]})
        assert answer["configurationKey"][0]["value"] == "true"

    secured(tmp_path, main, security={"one_root": True})


def test_the_station_asks_for_a_certificate_when_triggered_and_takes_what_fits(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        await world.start()
        csms = world.back_end
        assert await csms.install(pem(csms.root.certificate)) == "Accepted"
        assert await csms.send_signed(pem(csms.root.certificate)) == "Rejected", "nobody has asked"
        assert await csms.set_key("CpoName", "Strom AG") == "Accepted"
        assert await csms.ask_for_request() == "Accepted"
        await asyncio.sleep(1)
        from cryptography import x509

        ((name, csr),) = csms.requests
        request = x509.load_pem_x509_csr(csr.encode())
        assert (name, request.subject.rfc4514_string()) == (NAME, "CN=DC 1,O=Strom AG")
        assert world.station.security.status().request_pending
        stranger = Authority("Stranger", now=world.now)
        assert await csms.send_signed(stranger.sign_request(csr)) == "Rejected"
        other_key = csms.root.issue(stranger.key.public_key(), NAME, client=True)
        assert await csms.send_signed(pem(other_key)) == "Rejected"
        other_name = csms.root.issue(request.public_key(), "DC 2", client=True)
        assert await csms.send_signed(pem(other_name)) == "Rejected"
        expired = csms.root.sign_request(csr, begins=datetime.timedelta(days=-20), lasts=datetime.timedelta(days=10))
        assert await csms.send_signed(expired) == "Rejected"
        assert await csms.send_signed("nonsense") == "Rejected"
        assert await csms.answer_request() == "Accepted"
        own = world.station.security.status().certificate
        assert own is not None and own.subject == "CN=DC 1,O=Strom AG" and not world.station.security.status().request_pending
        assert await csms.answer_request() == "Rejected", "taken already"
        kinds = await world.station.kinds()
        assert kinds.count("InvalidChargePointCertificate") >= 5
        await world.station.restart()
        assert world.station.security.status().certificate == own

    secured(tmp_path, main)


def test_a_certificate_is_renewed_before_it_ends_also_when_the_csms_refuses_at_first(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        await world.start()
        csms = world.back_end
        await csms.install(pem(csms.root.certificate))
        await csms.ask_for_request()
        await asyncio.sleep(1)
        chain = csms.root.sign_request(csms.requests[-1][1], lasts=datetime.timedelta(days=3))  # two days are left
        assert await csms.send_signed(chain) == "Accepted"
        csms.refuses_to_sign = True
        await asyncio.sleep(22 * 3600)
        assert world.station.security.status().signing == "", "too early"
        await asyncio.sleep(5 * 3600)
        assert len(csms.requests) == 1 and "refuses to sign" in world.station.security.status().signing
        assert any("ends in 0 days" in text for text in world.station.security.status().warnings)
        csms.refuses_to_sign = False
        await asyncio.sleep(8 * 3600)
        asked = len(csms.requests)
        assert asked in (2, 3)
        csms.root.now += datetime.timedelta(days=1)
        assert await csms.answer_request() == "Accepted"
        own = world.station.security.status().certificate
        assert own is not None and own.not_after - world.clock.wall() > 300 * 86_400 * NS_PER_S
        await asyncio.sleep(20 * 3600)
        assert len(csms.requests) == asked

    secured(tmp_path, main, security={"renew_days": 1})


@given(data=st.data())
@settings(max_examples=25, deadline=None)
def test_any_text_in_any_request_gets_an_answer_of_the_schema(data: st.DataObject) -> None:
    """Whatever stands in a request, the answer is one of the schema and nothing is lost."""
    root = pem(ROOT.certificate)
    texts = st.one_of(st.text(max_size=200), st.just(root), st.integers(0, len(root) - 1).map(lambda n: root[:n] + "A" + root[n + 1 :]))
    word = st.text(max_size=40)
    hashes = st.fixed_dictionaries({
        "hashAlgorithm": st.sampled_from(["SHA256", "SHA384", "SHA512"]), "issuerNameHash": word, "issuerKeyHash": word,
        "serialNumber": word,
    })
    kinds = st.sampled_from(["CentralSystemRootCertificate", "ManufacturerRootCertificate"])
    requests = st.one_of(
        st.tuples(st.just("InstallCertificate"), st.fixed_dictionaries({"certificateType": kinds, "certificate": texts})),
        st.tuples(st.just("CertificateSigned"), st.fixed_dictionaries({"certificateChain": texts})),
        st.tuples(st.just("DeleteCertificate"), st.fixed_dictionaries({"certificateHashData": hashes})),
        st.tuples(st.just("GetInstalledCertificateIds"), st.fixed_dictionaries({"certificateType": kinds})),
        st.tuples(
            st.just("ChangeConfiguration"),
            st.fixed_dictionaries({
                "key": st.sampled_from(["AuthorizationKey", "SecurityProfile", "CpoName", "CentralSystemURI"]),
                "value": st.one_of(word, st.sampled_from(["0", "1", "2", "3", KEY_1, "ws://a/b", "wss://[::1", "ws://[x]"])),
            }),
        ),
    )
    sent = data.draw(st.lists(requests, max_size=6))

    async def body() -> None:
        with tempfile.TemporaryDirectory() as name:
            world = World(Path(name))
            await world.start()
            for action, payload in sent:
                answer = await world.csms.call(action, payload)
                assert answer["status"] in ("Accepted", "Rejected", "Failed", "NotFound", "NotSupported")
            assert world.csms.violations == []
            await world.station.kill()

    run_virtual(body())
