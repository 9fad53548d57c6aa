"""The doctor goes the way of the secured client: its trust, its password, its certificate."""

from __future__ import annotations

import asyncio
import datetime
from pathlib import Path

from evse.ocpp.doctor import Report
from evse.runtime.clock import RealClock
from evse.sim.csms import SimCsms
from evse.sim.csms_security import Authority, CsmsSecurity, pem
from tests.ocpp_security.support import KEY_1, KEY_2, NAME, SecureStation, real_station, run_real
from tests.ocpp_security.test_real_profiles import dialling

ROOT = Authority("CSMS root")


def told(report: Report, name: str) -> tuple[str, str, dict[str, str]]:
    check = next(check for check in report.checks if check.name == name)
    return check.result, check.detail, dict(check.facts)


async def secured(directory: Path, url: str) -> SecureStation:
    station = await real_station(directory, url, security={"profile": 2}, tls={"roots": "installed"}).start()
    await station.security.set_key(KEY_1)
    return station


def test_each_mistake_of_profile_2_is_named() -> None:
    async def main(directory: Path) -> None:
        csms = SimCsms(RealClock())
        security = CsmsSecurity(csms, ROOT)
        security.passwords[NAME] = {KEY_2.encode()}
        port = await security.listen()
        station = await secured(directory, f"wss://127.0.0.1:{port}")
        for task in station.tasks:  # nobody dials meanwhile
            task.cancel()
        stranger = Authority("Stranger")
        await station.security.install("CentralSystemRootCertificate", pem(stranger.certificate))
        unknown = await station.client.examine()
        assert unknown.failed == "tls" and not unknown.live
        assert told(unknown, "tls")[2]["issued by"].find("CSMS root") >= 0
        assert "evsectl ocpp certs install" in next(check.remedy for check in unknown.checks if check.name == "tls")
        await station.security.install("CentralSystemRootCertificate", pem(ROOT.certificate))
        refused = await station.client.examine()
        assert refused.failed == "credentials" and "401" in told(refused, "credentials")[1]
        assert KEY_1 not in str(refused)
        security.passwords[NAME] = {KEY_1.encode()}
        good = await station.client.examine()
        assert good.failed == "" and told(good, "credentials")[1] == "password accepted"
        assert told(good, "tls")[0] == "ok" and told(good, "boot")[0] == "ok"
        await station.kill()
        await csms.close()

    run_real(main)


def test_beside_a_secured_link_nothing_is_disturbed() -> None:
    async def main(directory: Path) -> None:
        csms = SimCsms(RealClock())
        security = CsmsSecurity(csms, ROOT)
        security.passwords[NAME] = {KEY_1.encode()}
        port = await security.listen()
        station = await secured(directory, f"wss://127.0.0.1:{port}")
        await station.security.install("CentralSystemRootCertificate", pem(ROOT.certificate))
        await dialling(station, lambda: station.online, "profile 2")
        before = station.client.link_events(100)
        report = await station.client.examine()
        assert report.live and report.failed == "" and told(report, "tls")[0] == "ok"
        assert told(report, "tls")[2]["version"].startswith("TLS")
        await asyncio.sleep(0.1)
        assert station.client.link_events(100) == before and station.online
        await station.kill()
        await csms.close()

    run_real(main)


def test_a_certificate_that_has_expired_is_shown_with_its_day() -> None:
    async def main(directory: Path) -> None:
        csms = SimCsms(RealClock())
        security = CsmsSecurity(csms, ROOT)
        day = datetime.timedelta(days=1)
        port = await security.listen(begins=-30 * day, lasts=10 * day)
        station = await secured(directory, f"wss://127.0.0.1:{port}")
        for task in station.tasks:
            task.cancel()
        await station.security.install("CentralSystemRootCertificate", pem(ROOT.certificate))
        report = await station.client.examine()
        result, detail, facts = told(report, "tls")
        assert (report.failed, result) == ("tls", "failed") and "expired" in detail
        assert security.certificate is not None
        assert facts["valid until"].startswith(security.certificate.not_valid_after_utc.date().isoformat())
        await station.kill()
        await csms.close()

    run_real(main)
