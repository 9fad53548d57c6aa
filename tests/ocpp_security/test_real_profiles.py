"""The whole client over real TLS on localhost: profiles 1, 2 and 3, each with its fallback."""

from __future__ import annotations

import asyncio
import datetime
import time
from pathlib import Path

import pytest

from evse.ocpp.security.facade import SecurityStatus
from evse.runtime.clock import RealClock
from evse.sim.csms import SimCsms
from evse.sim.csms_security import Authority, CsmsSecurity, pem
from evse.transports.real import RealOpeners
from tests.ocpp_security.support import KEY_1, KEY_2, NAME, SecureStation, real_station, run_real, until

ROOT = Authority("CSMS root")


async def dialling(station: SecureStation, condition, what: str) -> None:  # type: ignore[no-untyped-def]
    """Wait for a condition without the pauses of the back-off: each is ended at once."""

    def hurried() -> bool:
        if station.client.link.next_dial is not None:
            station.client.reconnect("the test has no time")
        return bool(condition())

    await until(hurried, what)


def status(station: SecureStation) -> SecurityStatus:
    return station.security.status()


def test_profile_1_over_a_real_socket_and_a_refused_key_falls_back() -> None:
    async def main(directory: Path) -> None:
        csms = SimCsms(RealClock())
        security = CsmsSecurity(csms, ROOT)
        security.passwords[NAME] = {KEY_1.encode()}
        port = await csms.listen("127.0.0.1", 0)
        station = await real_station(directory, f"ws://127.0.0.1:{port}", security={"profile": 1}).start()
        await station.security.set_key(KEY_1)
        await dialling(station, lambda: station.online, "accepted with the key")
        assert await security.change_password(KEY_2) == "Accepted"
        await dialling(station, lambda: status(station).staged and status(station).staged.tries, "the new key is refused")
        await dialling(station, lambda: station.online, "back with the old key")
        staged = status(station).staged
        assert staged is not None and "HTTP 401" in staged.last_error
        security.passwords[NAME] = {KEY_2.encode()}
        station.client.reconnect("now the CSMS knows the new key")
        await dialling(station, lambda: station.online and status(station).staged is None, "accepted with the new key")
        await station.kill()
        await csms.close()

    run_real(main)


def test_from_profile_0_to_2_at_a_port_of_its_own_and_wrong_certificates_fall_back() -> None:
    async def main(directory: Path) -> None:
        plain, secure = SimCsms(RealClock()), SimCsms(RealClock())
        first, second = CsmsSecurity(plain, ROOT), CsmsSecurity(secure, ROOT)
        second.passwords[NAME] = {KEY_1.encode()}
        stranger = Authority("Stranger")
        plain_port = await plain.listen("127.0.0.1", 0)
        wrong_port = await second.listen(issuer=stranger)
        station = await real_station(
            directory, f"ws://127.0.0.1:{plain_port}", security={"staged_tries": 2},
            tls={"url": f"wss://127.0.0.1:{wrong_port}", "roots": "installed"},
        ).start()
        await dialling(station, lambda: station.online, "profile 0")
        assert await first.set_key("AuthorizationKey", KEY_1) == "Accepted"
        assert await first.set_key("SecurityProfile", "2") == "Rejected", "no root is installed"
        assert await first.install(pem(ROOT.certificate)) == "Accepted"
        assert await first.set_key("SecurityProfile", "2") == "Accepted"
        await dialling(station, lambda: status(station).given_up is not None and station.online, "back at profile 0")
        given_up = status(station).given_up
        assert given_up is not None and given_up.profile == 2 and "nobody known has signed" in given_up.error
        assert "InvalidCentralSystemCertificate" in await station.kinds()
        await secure.close()
        secure_port = await second.listen()
        await station.restart(
            url=f"ws://127.0.0.1:{plain_port}", tls={"url": f"wss://127.0.0.1:{secure_port}", "roots": "installed"}
        )
        await dialling(station, lambda: station.online, "profile 0 after the restart")
        assert await first.set_key("SecurityProfile", "2") == "Accepted"
        await dialling(station, lambda: station.online and station.profile == 2, "profile 2")
        facts = status(station).tls
        assert facts is not None and facts.version == "TLSv1.3"
        (root,) = station.security.certificates()
        assert root.in_use and root.fingerprint == facts.root
        (row,) = await second.installed()
        assert await second.delete(row) == "Failed", "the last one"
        assert await second.install(pem(stranger.certificate)) == "Accepted"
        assert await second.delete(row) == "Failed", "the one that the present link leads to"
        (other,) = [r for r in await second.installed() if r != row]
        assert await second.delete(other) == "Accepted"
        assert await second.set_key("SecurityProfile", "0") == "Rejected"
        await station.kill()
        await plain.close()
        await secure.close()

    run_real(main)


def test_profile_3_with_a_certificate_signed_by_the_csms_and_its_renewal_falls_back() -> None:
    async def main(directory: Path) -> None:
        basic, mutual = SimCsms(RealClock()), SimCsms(RealClock())
        first, second = CsmsSecurity(basic, ROOT), CsmsSecurity(mutual, ROOT)
        first.passwords[NAME] = {KEY_1.encode()}
        basic_port, mutual_port = await first.listen(), await second.listen(mutual=True)
        station = real_station(
            directory, f"wss://127.0.0.1:{basic_port}", security={"profile": 2, "cpo_name": "Strom AG"}, tls={"roots": "installed"}
        )
        await station.start()
        await station.security.set_key(KEY_1)
        await station.security.install("CentralSystemRootCertificate", pem(ROOT.certificate))
        await dialling(station, lambda: station.online, "profile 2")
        refused = await station.security.set_profile(3, f"wss://127.0.0.1:{mutual_port}")
        assert refused.status == "Rejected" and "needs a certificate of the station" in refused.reason
        assert await first.ask_for_request() == "Accepted"
        await until(lambda: bool(first.requests), "SignCertificate")
        assert await first.answer_request() == "Accepted"
        accepted = await station.security.set_profile(3, f"wss://127.0.0.1:{mutual_port}")
        assert accepted.status == "Accepted"
        await dialling(station, lambda: station.online and station.profile == 3, "profile 3")
        before = status(station).certificate
        assert before is not None and before.subject == "CN=DC 1,O=Strom AG"

        # A renewed certificate that the CSMS does not take at its door: the old one is used again.
        outcome = await station.security.request_certificate()
        assert outcome.status == "Accepted"
        impostor = Authority("CSMS root")  # the station has this root too, the CSMS does not
        await station.security.install("CentralSystemRootCertificate", pem(impostor.certificate))
        assert await second.send_signed(impostor.sign_request(second.requests[-1][1])) == "Accepted"
        await dialling(station, lambda: status(station).given_up is not None and station.online, "back with the old certificate")
        assert status(station).certificate == before and status(station).profile == 3

        # And one that it takes.
        assert (await station.security.request_certificate()).status == "Accepted"
        assert await second.answer_request() == "Accepted"
        await dialling(
            station, lambda: station.online and status(station).staged is None and status(station).certificate != before,
            "the new certificate",
        )
        await station.restart(
            url=f"wss://127.0.0.1:{basic_port}", security={"profile": 2, "cpo_name": "Strom AG"}, tls={"roots": "installed"}
        )
        await dialling(station, lambda: station.online, "after a restart")
        assert station.profile == 3
        texts = [entry.payload for entry in station.client.messages(500)]
        assert not any("PRIVATE KEY" in text for text in texts)
        database = (directory / "station.sqlite3").read_bytes()
        assert b"PRIVATE KEY" not in database and KEY_1.encode() not in database
        assert {p.stat().st_mode & 0o777 for p in (directory / "secrets").iterdir()} == {0o600}
        await station.kill()
        await basic.close()
        await mutual.close()

    run_real(main)


def test_an_expired_certificate_of_the_csms_is_told_with_the_clock() -> None:
    async def main(directory: Path) -> None:
        csms = SimCsms(RealClock())
        security = CsmsSecurity(csms, ROOT)
        port = await security.listen(begins=datetime.timedelta(days=-9), lasts=datetime.timedelta(days=8))
        station = await real_station(directory, f"wss://127.0.0.1:{port}", tls={"roots": "installed"}).start()
        await station.security.install("CentralSystemRootCertificate", pem(ROOT.certificate))
        await dialling(station, lambda: "has expired; the clock of the station says" in status(station).last_failure, "told")
        assert "has expired" in station.client.summary().last_error
        await station.kill()
        await csms.close()

    run_real(main)


def test_a_station_that_is_told_not_to_check_says_so() -> None:
    async def main(directory: Path) -> None:
        csms = SimCsms(RealClock())
        security = CsmsSecurity(csms, Authority("Stranger"))
        security.passwords[NAME] = {KEY_1.encode()}
        port = await security.listen()
        station = real_station(
            directory, f"wss://127.0.0.1:{port}", security={"profile": 2}, tls={"verify": "none", "insecure": True}
        )
        await station.start()
        await station.security.set_key(KEY_1)
        await dialling(station, lambda: station.online, "insecure")
        shown = status(station)
        assert shown.insecure and shown.verify == "none" and any("INSECURE" in text for text in shown.warnings)
        await station.restart(
            url=f"wss://127.0.0.1:{port}", security={"profile": 2}, tls={"verify": "none"}
        )  # without insecure the whole is checked, whatever verify says
        await dialling(station, lambda: "nobody known has signed" in status(station).last_failure, "checked again")
        assert not status(station).insecure
        await station.kill()
        await csms.close()

    run_real(main)


@pytest.mark.parametrize("expired", [False, True])
def test_without_a_clock_the_time_comes_first_and_the_dates_are_checked_then(expired: bool) -> None:
    async def main(directory: Path) -> None:
        csms = SimCsms(RealClock())
        security = CsmsSecurity(csms, ROOT)
        begins = datetime.timedelta(days=-9)
        port = await security.listen(begins=begins, lasts=datetime.timedelta(days=8 if expired else 20))
        start = time.time_ns()
        clock = RealClock(system_ns=lambda: time.time_ns() - start, daemon=lambda: False)  # 1970, nobody has set it
        station = SecureStation(
            directory, clock, RealOpeners(), url=f"wss://127.0.0.1:{port}",
            tls={"roots": "installed", "without_clock": "accept"},
        )
        await station.start()
        await station.security.install("CentralSystemRootCertificate", pem(ROOT.certificate))
        await dialling(station, clock.wall_valid, "the CSMS has told the time")
        if expired:
            await dialling(station, lambda: "has expired" in status(station).last_failure, "refused with the time known")
        else:
            await dialling(station, lambda: station.online and bool((f := status(station).tls) and f.dates_checked), "checked")
            assert csms.connections == 2
        await station.kill()
        await csms.close()

    run_real(main)


def test_nothing_waits_for_real_time() -> None:
    """The tests above end each pause of the back-off; this one keeps the helper honest."""

    async def main(directory: Path) -> None:
        began = asyncio.get_running_loop().time()
        station = await real_station(directory, "ws://127.0.0.1:1").start()
        await dialling(station, lambda: len(station.client.link_events(200)) >= 12, "six dials")
        assert asyncio.get_running_loop().time() - began < 5
        await station.kill()

    run_real(main)
