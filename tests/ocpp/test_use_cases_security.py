"""Use cases of the security whitepaper: keys, profiles, addresses, certificates, events. Never locked out."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509

from evse.sim.csms_security import Authority, pem
from tests.ocpp.use_cases import OK, use_case
from tests.ocpp_security.support import KEY_1, KEY_2, NAME, World, with_key

KEYS, CERTIFICATES, EVENTS = "Security: keys and profiles", "Security: certificates", "Security: events"
PROFILE_1 = {"security": {"profile": 1}}


@asynccontextmanager
async def world_in(folder: Path, **config: Any) -> AsyncIterator[World]:
    """A station with its security, and a CSMS with an authority."""
    world = World(folder, **config)
    try:
        yield world
    finally:
        await world.station.kill()


@use_case(KEYS, "AuthorizationKey changed, accepted by the CSMS")
async def test_key_changed(tmp_path: Path) -> None:
    """The station comes back with the new key and keeps it."""
    async with world_in(tmp_path, **PROFILE_1) as world:
        await with_key(world)
        assert await world.back_end.change_password(KEY_2, KEY_2.encode()) == "Accepted"
        world.back_end.passwords[NAME] = {KEY_2.encode()}
        await asyncio.sleep(30)
        assert world.station.online
        assert world.station.security.status().staged is None


@use_case(KEYS, "AuthorizationKey changed, refused by the CSMS afterwards")
async def test_key_fallback(tmp_path: Path) -> None:
    """The station goes back to the old key: never locked out."""
    async with world_in(tmp_path, **PROFILE_1) as world:
        await with_key(world)
        assert await world.back_end.change_password(KEY_2) == "Accepted"
        await asyncio.sleep(60)
        assert world.station.online
        assert "FailedToAuthenticateAtCentralSystem" in await world.station.kinds()


@use_case(KEYS, "AuthorizationKey is asked for")
async def test_key_not_readable(tmp_path: Path) -> None:
    """GetConfiguration does not tell it."""
    async with world_in(tmp_path, **PROFILE_1) as world:
        await with_key(world)
        answer = await world.csms.call("GetConfiguration", {"key": ["AuthorizationKey"]})
        assert all("value" not in row for row in answer.get("configurationKey", []))
        assert KEY_1 not in str(await world.csms.call("GetConfiguration", {}))


@use_case(KEYS, "Security profile raised")
async def test_profile_raised(tmp_path: Path) -> None:
    """Rejected without what it needs; else the station comes back with the new profile and boots."""
    async with world_in(tmp_path) as world:
        await world.start()
        assert await world.back_end.set_key("SecurityProfile", "1") == "Rejected"
        assert await world.back_end.set_key("AuthorizationKey", KEY_1) == "Accepted"
        assert await world.back_end.set_key("SecurityProfile", "1") == "Accepted"
        world.back_end.passwords[NAME] = {KEY_1.encode()}
        await asyncio.sleep(30)
        assert (world.station.online, world.station.profile) == (True, 1)


@use_case(KEYS, "Security profile lowered by the CSMS")
async def test_profile_lowered(tmp_path: Path) -> None:
    """Rejected."""
    async with world_in(tmp_path, **PROFILE_1) as world:
        await with_key(world)
        assert await world.back_end.set_key("SecurityProfile", "0") == "Rejected"
        assert world.station.profile == 1


@use_case(CERTIFICATES, "Root installed, listed, deleted")
async def test_roots(tmp_path: Path) -> None:
    """Accepted, listed by its hashes, Accepted, then NotFound."""
    async with world_in(tmp_path, **PROFILE_1) as world:
        await with_key(world)
        csms = world.back_end
        assert await csms.install(pem(csms.root.certificate)) == "Accepted"
        (row,) = await csms.installed()
        assert await csms.delete(row) == "Accepted"
        assert await csms.delete(row) == "NotFound"
        assert await csms.installed() == []


@use_case(CERTIFICATES, "What is no certificate")
async def test_no_certificate(tmp_path: Path) -> None:
    """Rejected."""
    async with world_in(tmp_path, **PROFILE_1) as world:
        await with_key(world)
        assert await world.back_end.install("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n") == "Rejected"


@use_case(CERTIFICATES, "Certificate of the station renewed by the CSMS")
async def test_station_certificate(tmp_path: Path) -> None:
    """ExtendedTriggerMessage brings SignCertificate; CertificateSigned is Accepted when it fits that request."""
    async with world_in(tmp_path) as world:
        await world.start()
        csms = world.back_end
        assert await csms.install(pem(csms.root.certificate)) == "Accepted"
        assert await csms.set_key("CpoName", "Strom AG") == "Accepted"
        assert await csms.ask_for_request() == "Accepted"
        await asyncio.sleep(1)
        ((_, csr),) = csms.requests
        assert x509.load_pem_x509_csr(csr.encode()).is_signature_valid
        assert await csms.answer_request() == "Accepted"
        assert world.station.security.status().certificate is not None


@use_case(CERTIFICATES, "Certificate that nobody has asked for, of a stranger")
async def test_station_certificate_refused(tmp_path: Path) -> None:
    """Rejected, and InvalidChargePointCertificate is noted."""
    async with world_in(tmp_path) as world:
        await world.start()
        csms = world.back_end
        assert await csms.send_signed(pem(csms.root.certificate)) == "Rejected"
        assert await csms.install(pem(csms.root.certificate)) == "Accepted"
        assert await csms.set_key("CpoName", "Strom AG") == "Accepted"
        await csms.ask_for_request()
        await asyncio.sleep(1)
        stranger = Authority("Stranger", now=world.now)
        assert await csms.send_signed(stranger.sign_request(csms.requests[0][1])) == "Rejected"
        assert "InvalidChargePointCertificate" in await world.station.kinds()


@pytest.mark.parametrize("registration", ["Accepted", "Pending"])
@use_case(EVENTS, "A critical event, also before the registration")
async def test_event(tmp_path: Path, registration: str) -> None:
    """SecurityEventNotification as soon as the station is registered, once."""
    async with world_in(tmp_path) as world:
        world.csms.registration = registration
        await world.start()
        world.station.security.log.note("StartupOfTheDevice")
        await asyncio.sleep(30)
        if registration == "Pending":
            assert world.csms.calls("SecurityEventNotification") == []
            world.csms.registration = "Accepted"
            await asyncio.sleep(700)
        assert [m["type"] for m in world.csms.calls("SecurityEventNotification")] == ["StartupOfTheDevice"]


@use_case(EVENTS, "An event while offline")
async def test_event_offline(tmp_path: Path) -> None:
    """It waits for the link."""
    async with world_in(tmp_path) as world:
        await world.start()
        world.csms.down()
        await asyncio.sleep(5)
        world.station.security.log.note("StartupOfTheDevice")
        await asyncio.sleep(60)
        world.csms.up()
        await asyncio.sleep(200)
        assert [m["type"] for m in world.csms.calls("SecurityEventNotification")] == ["StartupOfTheDevice"]
        assert await world.csms.call("ChangeConfiguration", {"key": "HeartbeatInterval", "value": "60"}) == OK
