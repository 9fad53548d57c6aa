"""Security of OCPP on the whole station: events, a password given by the CSMS, signed firmware roots, nothing secret in a bundle."""

from __future__ import annotations

import asyncio
import datetime
import os
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from evse.access.roles import Role
from evse.api import models as m
from evse.api import models_ocpp_security as s
from evse.api.errors import ApiError
from evse.api.operation import Empty
from evse.api.service import Caller
from evse.api.stream import EventHub
from evse.lab.demo_config import TEMPLATE
from evse.lab.station import Lab
from evse.lab.vloop import run_virtual
from evse.runtime.service.station import RuntimeService
from evse.sim.csms_security import Authority, CsmsSecurity, pem
from evse.units import NS_PER_S
from tests._support.lab_world import Api, demo_config, run_lab

KEY = "a key of 24 characters.."


def run(folder: Path, main: Callable[[Lab, CsmsSecurity], Awaitable[None]]) -> None:
    """Run a body on a demo station under virtual time."""

    async def body() -> None:
        async with Lab(demo_config(folder), folder / "data", fast=True) as lab:
            await lab.until(lambda: lab.station.ocpp is not None and lab.station.ocpp.online, "online")
            assert lab.sim.csms is not None
            now = datetime.datetime.fromtimestamp(lab.clock.wall() // NS_PER_S, datetime.UTC)
            await main(lab, CsmsSecurity(lab.sim.csms, Authority("CSMS root", now=now)))

    run_virtual(body())


def told(lab: Lab) -> list[str]:
    assert lab.sim.csms is not None
    return [str(message["type"]) for message in lab.sim.csms.calls("SecurityEventNotification")]


def test_a_start_and_a_reset_are_told_to_the_csms(tmp_path: Path) -> None:
    async def main(lab: Lab, csms: CsmsSecurity) -> None:
        await lab.forward(2)
        assert told(lab) == ["StartupOfTheDevice"]
        assert await csms.csms.call("Reset", {"type": "Soft"}) == {"status": "Accepted"}
        await lab.forward(2)
        assert told(lab) == ["StartupOfTheDevice", "ResetOrReboot"]
        assert lab.station.security is not None
        text = await lab.station.security.log_text()
        assert "critical sent     ResetOrReboot: soft" in text

    run(tmp_path, main)


def test_a_key_and_profile_1_come_over_the_running_link_and_are_in_no_log(tmp_path: Path) -> None:
    async def main(lab: Lab, csms: CsmsSecurity) -> None:
        name = lab.config.station.id
        assert await csms.set_key("AuthorizationKey", KEY) == "Accepted"
        assert await csms.set_key("SecurityProfile", "1") == "Accepted"
        csms.passwords[name] = {KEY.encode()}
        await lab.forward(30)
        assert lab.station.security is not None and lab.station.ocpp is not None
        assert lab.station.security.status().profile == 1 and lab.station.ocpp.online
        secrets = tmp_path / "data" / "secrets"
        assert {path.stat().st_mode & 0o777 for path in secrets.iterdir()} == {0o600}
        for path in (tmp_path / "data").rglob("*"):
            assert path.is_dir() or KEY.encode() not in path.read_bytes(), path
        folder = tmp_path / "bundle"
        folder.mkdir()
        assert lab.station.transfers is not None
        await lab.station.transfers.logs._source.collect("diagnostics", folder, None, None)
        found = [path for path in folder.rglob("*") if path.is_file()]
        assert found and not [path.name for path in found if KEY.encode() in path.read_bytes()]

    run(tmp_path, main)


def test_the_vault_of_the_api_is_that_of_the_link(tmp_path: Path) -> None:
    """Two writers of one sealed file would lose secrets of each other."""

    async def main(lab: Lab, csms: CsmsSecurity) -> None:
        vault = lab.station.vault
        await asyncio.gather(vault.write("totp.secret", "X"), csms.set_key("AuthorizationKey", KEY))
        assert await vault.read("totp.secret") == "X" and await vault.read("ocpp.key.a") == KEY

    run(tmp_path, main)


def test_firmware_is_judged_by_the_installed_manufacturer_roots(tmp_path: Path) -> None:
    async def main(lab: Lab, csms: CsmsSecurity) -> None:
        assert lab.station.security is not None
        maker = Authority("Maker", now=csms.root.now)
        signing = pem(maker.issue(maker.key.public_key(), "Firmware"))
        fault = await lab.station.security.check_certificate(signing)
        assert fault is not None and "no ManufacturerRootCertificate" in fault.text
        assert await csms.install(pem(maker.certificate), "ManufacturerRootCertificate") == "Accepted"
        assert await lab.station.security.check_certificate(signing) is None

    run(tmp_path, main)


def test_the_bundled_back_end_signs_what_the_station_asks_for(tmp_path: Path) -> None:
    async def main(lab: Lab) -> None:
        await lab.until(lambda: lab.station.ocpp is not None and lab.station.ocpp.online, "online")
        assert (await Api(lab)("ocpp.cert_request"))["status"] == "Accepted"
        await lab.forward(2)
        (own,) = (await Api(lab)("ocpp.certs"))["items"]
        assert own["subject"] == f"CN={lab.config.station.id},O=none" and own["issuer"].startswith("CN=Simulated CSMS root")
        assert own["valid_to"] - lab.clock.wall() > 300 * 86_400 * NS_PER_S
        assert not (await Api(lab)("ocpp.security"))["request_pending"]

    run_lab(tmp_path, main, laws=False)


def test_only_who_could_edit_the_file_weakens_the_link_and_only_on_purpose(tmp_path: Path) -> None:
    async def main(lab: Lab, csms: CsmsSecurity) -> None:
        service = RuntimeService(lab.station, None, EventHub(seq=0))  # type: ignore[arg-type]
        operator = Caller(role=Role.OPERATOR, user="op", uid=4711)
        owner = Caller(role=Role.OPERATOR, user="root", uid=os.getuid())
        maker = Caller(role=Role.MANUFACTURER, user="maker", uid=4712)

        async def profile(caller: Caller, number: int, *, confirm: bool = False) -> str:
            try:
                return (await service.ocpp_set_profile(s.OcppSetProfile(profile=number, confirm=confirm), caller)).status
            except ApiError as error:
                return error.kind.value[0]

        csms.passwords[lab.config.station.id] = {KEY.encode()}
        await service.ocpp_set_password(s.OcppSetPassword(secret=KEY), operator)
        assert await profile(operator, 1) == "Accepted", "raising needs no more than before"
        await lab.forward(30)
        assert lab.station.security is not None and lab.station.security.status().profile == 1
        assert [await profile(operator, 0), await profile(operator, 0, confirm=True)] == ["forbidden", "forbidden"]
        assert [await profile(owner, 0), await profile(maker, 0)] == ["conflict", "conflict"]
        assert lab.station.security.status().staged is None
        assert await profile(maker, 0, confirm=True) == "Accepted"

        root = pem(csms.root.certificate)
        await service.ocpp_cert_install(s.OcppCertInstall(type="CentralSystemRootCertificate", pem=root), operator)
        (info,) = (await service.ocpp_certs(Empty(), operator)).items
        for caller, confirm, code in ((operator, True, "forbidden"), (owner, False, "conflict")):
            with pytest.raises(ApiError) as caught:
                await service.ocpp_cert_delete(s.OcppCertDelete(fingerprint=info.fingerprint, confirm=confirm), caller)
            assert caught.value.kind.value[0] == code
        request = s.OcppCertDelete(fingerprint=info.fingerprint, confirm=True)
        assert (await service.ocpp_cert_delete(request, owner)).status == "Accepted"

    run(tmp_path, main)


def test_a_file_that_weakens_the_link_is_taken_from_its_owner_only(tmp_path: Path) -> None:
    async def main(lab: Lab, csms: CsmsSecurity) -> None:
        path = lab.station.config_path = tmp_path / "station.toml"
        path.write_text("", encoding="utf-8")
        service = RuntimeService(lab.station, None, EventHub(seq=0))  # type: ignore[arg-type]
        text = TEMPLATE.format(folder=tmp_path, channel="239.0.0.1", port=9000)
        operator, owner = (Caller(role=Role.OPERATOR, user="x", uid=uid) for uid in (4711, os.getuid()))

        async def apply(caller: Caller, text: str) -> str:
            try:
                return str((await service.config_apply(m.ConfigCandidate(text=text), caller)).applied)
            except ApiError as error:
                return f"{error.kind.value[0]}: {error.message}"

        strong = text + '\n[ocpp.tls]\nocsp = "hard"\nmin_version = "1.3"\n'
        assert await apply(operator, strong) == "True", "stronger needs no more than before"
        before = path.read_text()
        refused = await apply(operator, text)
        assert refused.startswith("forbidden: ocpp.tls.ocsp goes from hard to off, ocpp.tls.min_version goes from 1.3 to 1.2: ")
        assert path.read_text() == before
        insecure = await apply(operator, strong + 'verify = "none"\ninsecure = true\n')
        assert "ocpp.tls.verify goes from full to none" in insecure and "insecure goes from false to true" in insecure
        assert "api.manufacturer_group" in await apply(operator, strong.replace("[api]\n", '[api]\nmanufacturer_group = "users"\n'))
        assert await apply(owner, text) == "True"

    run(tmp_path, main)
