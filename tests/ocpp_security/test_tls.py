"""Real TLS on localhost: each certificate that is not the right one, and the words for it."""

from __future__ import annotations

import asyncio
import datetime
import ssl
import time
from asyncio.subprocess import DEVNULL, PIPE
from pathlib import Path
from typing import Any

import pytest

from evse.domain.base import DeviceError
from evse.ocpp.security import x509
from evse.ocpp.security.tls import SUITES, Problem, StationContext, TlsPlan, make_context
from evse.runtime.clock import RealClock
from evse.sim.csms import SimCsms
from evse.sim.csms_security import DAY, YEAR, Authority, CsmsSecurity, key_pem, new_key, pem, server_context
from evse.transports.base import DialError, DialOptions, DialStep
from evse.transports.websocket import open_websocket
from tests.ocpp_security.support import real_station, run_real, until

ROOT = Authority("CSMS root")


async def dial(port: int, *, host: str = "127.0.0.1", **plan: Any) -> StationContext:
    """Connect once as the link does; raise `DialError`."""
    values: dict[str, Any] = {
        "host": host, "roots": (pem(ROOT.certificate),), "system_roots": False, "wall": time.time_ns(),
    }
    context = make_context(TlsPlan(**(values | plan)))
    ws = await open_websocket(f"wss://{host}:{port}/DC%201", ["ocpp1.6"], {}, 5.0, DialOptions(tls=context))
    await ws.close()
    return context


def serving(
    listen: dict[str, Any], plan: dict[str, Any] | None = None, host: str = "127.0.0.1"
) -> tuple[StationContext | None, DialError | None]:
    """Serve with ``listen``, dial with ``plan``; return the context, or the failure."""
    found: list[Any] = [None, None]

    async def main(directory: Path) -> None:
        csms = SimCsms(RealClock())
        security = CsmsSecurity(csms, listen.pop("root", ROOT))
        port = await security.listen(**listen)
        try:
            found[0] = await dial(port, host=host, **(plan or {}))
        except DialError as error:
            found[1] = error
        finally:
            await csms.close()

    run_real(main)
    return found[0], found[1]


def failure(listen: dict[str, Any], plan: dict[str, Any] | None = None, host: str = "127.0.0.1") -> DialError:
    context, error = serving(listen, plan, host)
    assert error is not None, f"was accepted: {context and context.facts}"
    return error


def test_the_right_certificate_is_accepted_and_the_facts_are_known() -> None:
    context, error = serving({})
    assert error is None and context is not None
    facts = context.facts
    assert facts is not None and facts.version == "TLSv1.3" and facts.dates_checked
    assert facts.peer == "CN=127.0.0.1,O=Simulated CPO" and facts.issuer == "CN=CSMS root,O=Simulated CPO"
    assert facts.peer_not_after == ns(ROOT.now + YEAR - DAY)
    assert facts.root == x509.fingerprint(ROOT.certificate)
    assert context.plan.key == "" and context.failure is None


def test_a_certificate_from_an_intermediate_is_accepted() -> None:
    context, error = serving({"issuer": Authority("Middle", above=ROOT)})
    assert error is None and context is not None


def test_a_root_that_is_not_self_signed_is_trusted_alone() -> None:
    """After AdditionalRootCertificateCheck has replaced the old root, the new one stands without it."""
    second = Authority("Second root", above=ROOT)
    context, error = serving({"issuer": second}, {"roots": (pem(second.certificate),)})
    assert error is None and context is not None and context.facts is not None
    assert context.facts.root == x509.fingerprint(second.certificate)


@pytest.mark.parametrize(
    ("listen", "plan", "step", "words"),
    [
        ({"begins": -2 * YEAR, "lasts": YEAR}, {}, DialStep.CERTIFICATE, "has expired"),
        ({"begins": 2 * DAY}, {}, DialStep.CERTIFICATE, "is it wrong?"),
        ({"names": ("csms.example",)}, {}, DialStep.CERTIFICATE, "is not for 127.0.0.1"),
        ({"root": Authority("Stranger")}, {}, DialStep.CERTIFICATE, "nobody known has signed"),
        ({"issuer": Authority("Expired", above=ROOT, begins=-2 * YEAR, lasts=YEAR)}, {}, DialStep.CERTIFICATE, "has expired"),
        ({"names": ("csms.example",)}, {"host_name": "other.example"}, DialStep.CERTIFICATE, "is not for other.example"),
    ],
    ids=["expired", "not yet valid", "wrong host", "unknown root", "expired issuer", "wrong expected name"],
)
def test_each_wrong_certificate_is_refused_in_plain_words(
    listen: dict[str, Any], plan: dict[str, Any], step: DialStep, words: str
) -> None:
    error = failure(dict(listen), plan)
    assert error.step is step and words in str(error), str(error)


def test_a_chain_that_brings_an_unknown_root_along_is_not_trusted() -> None:
    stranger = Authority("Stranger")

    async def main(directory: Path) -> None:
        key = new_key()
        leaf = stranger.issue(key.public_key(), "127.0.0.1", hosts=("127.0.0.1",))
        csms = SimCsms(RealClock())
        port = await csms.listen("127.0.0.1", 0, server_context(pem(leaf) + pem(stranger.certificate), key))
        with pytest.raises(DialError, match="root of the certificate of the CSMS is not trusted"):
            await dial(port)
        await csms.close()

    run_real(main)


def test_a_certificate_that_signs_itself_is_refused_until_it_is_installed() -> None:
    async def main(directory: Path) -> None:
        own = Authority("127.0.0.1")
        csms = SimCsms(RealClock())
        port = await csms.listen("127.0.0.1", 0, server_context(pem(own.certificate), own.key))
        with pytest.raises(DialError, match="signed by itself"):
            await dial(port)
        await dial(port, roots=(pem(own.certificate),), verify="chain")
        await csms.close()

    run_real(main)


def test_another_name_can_be_expected() -> None:
    assert serving({"names": ("csms.example",)}, {"host_name": "csms.example"})[1] is None


def test_chain_leaves_the_name_out_and_none_leaves_everything_out() -> None:
    assert serving({"names": ("csms.example",)}, {"verify": "chain"})[1] is None
    assert failure({"root": Authority("Stranger")}, {"verify": "chain"}).step is DialStep.CERTIFICATE
    context, error = serving({"root": Authority("Stranger"), "begins": -2 * YEAR, "lasts": YEAR}, {"verify": "none"})
    assert error is None and context is not None and context.facts is not None and not context.facts.dates_checked


def against_openssl(directory: Path, arguments: list[str], plan: dict[str, Any], words: str) -> DialStep:
    """Dial a server of openssl, which says by an alert what it does not like; return the step that failed."""
    key = new_key()
    file = directory / "server.pem"
    file.write_text(key_pem(key) + pem(ROOT.issue(key.public_key(), "x", hosts=("127.0.0.1",))))
    (directory / "ca.pem").write_text(pem(ROOT.certificate))
    found: list[DialStep] = []

    async def main(directory: Path) -> None:
        command = ["openssl", "s_server", "-accept", "127.0.0.1:0", "-cert", str(file), *arguments]
        server = await asyncio.create_subprocess_exec(*command, stdin=PIPE, stdout=PIPE, stderr=DEVNULL)
        assert server.stdout is not None
        try:
            while not (line := await server.stdout.readline()).startswith(b"ACCEPT"):
                assert line, "openssl has ended"
            port = int(line.rpartition(b":")[2])
            with pytest.raises(DialError, match=words) as caught:
                await dial(port, **plan)
            found.append(caught.value.step)
        finally:
            server.kill()
            await server.wait()

    run_real(main)
    return found[0]


@pytest.mark.parametrize(
    ("arguments", "plan", "words", "step"),
    [
        (["-tls1_2"], {"min_version": "1.3"}, r"does not speak TLS 1\.3 or newer", DialStep.TLS_VERSION),
        (["-tls1_2", "-cipher", "ECDHE-ECDSA-CHACHA20-POLY1305"], {}, "no cipher suite in common", DialStep.TLS_CIPHER),
        (["-Verify", "1"], {}, "profile 3 is needed", DialStep.CREDENTIALS),
    ],
    ids=["old version", "no suite", "wants a certificate"],
)
def test_what_a_server_does_not_like_is_a_failure_of_its_own(
    arguments: list[str], plan: dict[str, Any], words: str, step: DialStep, tmp_path: Path
) -> None:
    if "-Verify" in arguments:
        arguments = [*arguments, "-CAfile", str(tmp_path / "ca.pem"), "-verify_return_error"]
    assert against_openssl(tmp_path, arguments, plan, words) is step


@pytest.mark.parametrize(
    ("name", "words"),
    [("expired", "has expired"), ("stranger", "does not know the authority")],
)
def test_a_refused_certificate_of_the_station_is_told(name: str, words: str, tmp_path: Path) -> None:
    signer = Authority("Stranger") if name == "stranger" else ROOT
    key = new_key()
    begins = -2 * YEAR if name == "expired" else -DAY
    plan = {"certificate": pem(signer.issue(key.public_key(), "DC 1", client=True, begins=begins)), "key": key_pem(key)}
    arguments = ["-Verify", "1", "-CAfile", str(tmp_path / "ca.pem"), "-verify_return_error"]
    assert against_openssl(tmp_path, arguments, plan, words) is DialStep.CREDENTIALS


@pytest.mark.parametrize("kind", ["ec", "rsa"])
@pytest.mark.parametrize("suite", SUITES.split(":"))
def test_the_suites_of_the_whitepaper_work(suite: str, kind: str) -> None:
    if (kind == "ec") != ("ECDSA" in suite):
        return

    async def main(directory: Path) -> None:
        key = new_key(kind)
        server = server_context(pem(ROOT.issue(key.public_key(), "x", hosts=("127.0.0.1",))), key)
        server.maximum_version = ssl.TLSVersion.TLSv1_2
        server.set_ciphers(suite)
        csms = SimCsms(RealClock())
        context = await dial(await csms.listen("127.0.0.1", 0, server))
        assert context.facts is not None and context.facts.cipher == suite
        await csms.close()

    run_real(main)


def test_a_port_without_tls_is_told() -> None:
    async def main(directory: Path) -> None:
        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read(100)
            writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            writer.close()

        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        with pytest.raises(DialError, match="no TLS is spoken at this port") as caught:
            await dial(server.sockets[0].getsockname()[1])
        assert caught.value.step is DialStep.TLS
        server.close()

    run_real(main)


def test_a_server_that_hangs_up_in_the_handshake_is_told() -> None:
    async def main(directory: Path) -> None:
        csms = SimCsms(RealClock())
        with pytest.raises(DialError, match="in the middle of the TLS handshake") as caught:
            await dial(await csms.listen("127.0.0.1", 0))
        assert caught.value.step is DialStep.TLS
        await csms.close()

    run_real(main)


@pytest.mark.parametrize(
    ("listen", "plan", "reason"),
    [
        ({"begins": -2 * YEAR, "lasts": YEAR}, {}, Problem.EXPIRED),
        ({"begins": 2 * DAY}, {}, Problem.NOT_YET_VALID),
        ({"names": ("csms.example",)}, {}, Problem.WRONG_HOST),
        ({"root": Authority("Stranger")}, {}, Problem.UNKNOWN_ISSUER),
        ({}, {"crl": ROOT}, Problem.REVOKED),
        ({}, {"crl": Authority("Stranger")}, Problem.REVOCATION_UNKNOWN),
    ],
    ids=lambda value: str(value) if isinstance(value, Problem) else "",
)
def test_what_is_wrong_with_a_certificate_is_one_word_too(
    tmp_path: Path, listen: dict[str, Any], plan: dict[str, Any], reason: Problem
) -> None:
    """Also in the status for people, and as the first word of the security event."""

    async def main(directory: Path) -> None:
        csms = SimCsms(RealClock())
        back_end = CsmsSecurity(csms, listen.pop("root", ROOT))
        port = await back_end.listen(**listen)
        root, crl = tmp_path / "root.pem", tmp_path / "crl.pem"
        root.write_text(pem(ROOT.certificate))
        if "crl" in plan:
            crl.write_text(plan["crl"].revocation_list(back_end.certificate))
        tls = {"ca_file": str(root), "roots": "installed", "crl_file": str(crl) if "crl" in plan else ""}
        station = await real_station(directory, f"wss://127.0.0.1:{port}", tls=tls).start()
        await until(lambda: station.security.status().last_problem != "", "refused")
        assert station.security.status().last_problem == reason
        await station.security.log.flush()
        told = [e.tech_info for e in await station.security.events(10) if e.kind == "InvalidCentralSystemCertificate"]
        assert len(told) == 1 and told[0].startswith(f"{reason}: wss://")
        await station.kill()
        await csms.close()

    run_real(main)


def test_a_revoked_certificate_is_refused(tmp_path: Path) -> None:
    crl = tmp_path / "crl.pem"

    async def main(directory: Path) -> None:
        csms = SimCsms(RealClock())
        security = CsmsSecurity(csms, ROOT)
        port = await security.listen()
        crl.write_text(ROOT.revocation_list())
        await dial(port, crl_file=str(crl))
        crl.write_text(ROOT.revocation_list(security.certificate))
        with pytest.raises(DialError, match="was revoked"):
            await dial(port, crl_file=str(crl))
        crl.write_text(Authority("Stranger").revocation_list())
        with pytest.raises(DialError, match="no valid revocation list"):
            await dial(port, crl_file=str(crl))
        await csms.close()

    run_real(main)


# -- the clock ---------------------------------------------------------------------------------------------------------


def ns(moment: datetime.datetime) -> int:
    return int(moment.timestamp()) * 10**9


def test_without_a_clock_nothing_is_trusted_and_the_words_say_why() -> None:
    with pytest.raises(DeviceError, match=r"the clock of the station says 1970-01-02.*without_clock"):
        make_context(TlsPlan(host="h", wall=86_400 * 10**9))


def test_without_a_clock_dates_can_be_left_out_and_nothing_else() -> None:
    plan = {"wall": 0, "without_clock": "accept"}
    context, error = serving({"begins": 2 * DAY}, dict(plan))
    assert error is None and context is not None and context.facts is not None and not context.facts.dates_checked
    assert failure({"root": Authority("Stranger")}, dict(plan)).step is DialStep.CERTIFICATE
    assert failure({"names": ("csms.example",)}, dict(plan)).step is DialStep.CERTIFICATE


def test_dates_are_judged_by_the_clock_of_the_station_when_the_system_has_another() -> None:
    """The daemon may not be allowed to set the system's clock; what it knows counts."""
    in_two_years = ns(datetime.datetime.now(datetime.UTC) + 2 * YEAR)
    assert "has expired" in str(failure({}, {"wall": in_two_years}))
    context, error = serving({"begins": 2 * YEAR - DAY}, {"wall": in_two_years})
    assert error is None and context is not None
    assert "not valid yet" in str(failure({"begins": 2 * YEAR + DAY}, {"wall": in_two_years}))


# -- what cannot be used ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("plan", "words"),
    [
        ({"ca_file": "/nowhere/ca.pem"}, "ocpp.tls.ca_file = /nowhere/ca.pem: cannot be read"),
        ({"crl_file": "/nowhere/crl.pem"}, "ocpp.tls.crl_file"),
        ({"roots": ("nonsense",)}, "installed root certificate cannot be read"),
        ({"roots": (), "system_roots": False}, "no root certificate of the CSMS is installed"),
        ({"certificate": "nonsense", "key": "nonsense"}, "certificate of the station cannot be used"),
    ],
)
def test_what_is_missing_is_said_before_anything_is_dialled(plan: dict[str, Any], words: str) -> None:
    values: dict[str, Any] = {"host": "h", "wall": time.time_ns()} | plan
    with pytest.raises(DeviceError) as caught:
        make_context(TlsPlan(**values))
    assert words in str(caught.value)


def test_the_key_of_the_station_is_in_no_text(tmp_path: Path) -> None:
    key = new_key()
    certificate = pem(ROOT.issue(key.public_key(), "DC 1", client=True))
    context = make_context(
        TlsPlan(host="h", wall=time.time_ns(), certificate=certificate, key=key_pem(key), roots=(pem(ROOT.certificate),))
    )
    assert "PRIVATE" not in repr(DialOptions(tls=context)) + repr(context.plan)


def test_the_loop_is_real() -> None:
    """The socket tests above run on asyncio's own loop, not on the virtual one."""

    async def main(directory: Path) -> None:
        assert isinstance(asyncio.get_running_loop(), asyncio.SelectorEventLoop)

    run_real(main)
