"""TLS towards the CSMS: which context is used, what of the certificate is checked, and what a failure means.

The context is OpenSSL's with the suites of the security whitepaper. `StationContext` adds what OpenSSL's Python face lacks:
an expected host name other than that of the URL, dates judged by the station's own clock when the system's is not set, facts
about the peer for people, and every failure in words that say what to do.
"""

from __future__ import annotations

import contextlib
import enum
import os
import ssl
import time
from collections.abc import Awaitable, Callable, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

import msgspec

from evse.domain.base import DeviceError
from evse.ocpp.messages import timestamp
from evse.transports.base import DialStep
from evse.units import NS_PER_S, WallNs

SUITES: Final = (
    "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:AES128-GCM-SHA256:AES256-GCM-SHA384"
    ":ECDHE-RSA-AES128-GCM-SHA256:ECDHE-RSA-AES256-GCM-SHA384"
)
"""TLS 1.2: the four suites that the whitepaper requires, and the two with forward secrecy for RSA certificates."""

CLOCK_SET: Final[WallNs] = 1_704_067_200 * NS_PER_S
"""2024-01-01: an earlier clock was never set (`evse.domain.clock.Clock.wall_valid`)."""

CLOCK_APART_NS: Final = 3600 * NS_PER_S
"""From this difference on dates are judged by the station's clock, not by the system's."""

NO_CHECK_TIME: Final = 0x200000
"""X509_V_FLAG_NO_CHECK_TIME of OpenSSL, which the module ssl does not name."""

ROOTS_MAX_BYTES: Final = 1 << 20


class TlsPlan(msgspec.Struct, frozen=True, kw_only=True):
    """What a context is made of. ``roots`` are PEM texts; ``certificate`` and ``key`` are the station's own (profile 3)."""

    host: str  # of the URL
    roots: tuple[str, ...] = ()
    system_roots: bool = True
    ca_file: str = ""
    crl_file: str = ""
    verify: str = "full"  # full, chain, none
    host_name: str = ""  # expected instead of host
    min_version: str = "1.2"
    certificate: str = ""
    key: str = ""
    wall: WallNs  # now, by the clock of the station
    without_clock: str = "refuse"


class TlsFacts(msgspec.Struct, frozen=True, kw_only=True):
    """The TLS of the last connection. ``peer_not_after`` is UTC ns, 0 = the certificate was not checked."""

    version: str
    cipher: str
    peer: str = ""
    issuer: str = ""
    peer_not_after: WallNs = 0
    root: str = ""  # SHA-256 of the root that it led to, hex; "" = not known
    dates_checked: bool = True
    at: WallNs = 0


class Problem(enum.StrEnum):
    """What is wrong with a certificate of the CSMS."""

    NOT_YET_VALID = "not-yet-valid"
    EXPIRED = "expired"
    WRONG_HOST = "wrong-host"
    SELF_SIGNED = "self-signed"
    UNTRUSTED_ROOT = "untrusted-root"
    UNKNOWN_ISSUER = "unknown-issuer"
    REVOKED = "revoked"
    REVOCATION_UNKNOWN = "revocation-unknown"
    WRONG_USE = "wrong-use"
    TOO_WEAK = "too-weak"
    OTHER = "other"
    ASKING = "asking"  # nothing is wrong: the handshake was ended to ask whether it was revoked


PROBLEMS: Final = {
    9: Problem.NOT_YET_VALID, 10: Problem.EXPIRED, 62: Problem.WRONG_HOST, 63: Problem.WRONG_HOST, 64: Problem.WRONG_HOST,
    18: Problem.SELF_SIGNED, 19: Problem.UNTRUSTED_ROOT, 2: Problem.UNKNOWN_ISSUER, 20: Problem.UNKNOWN_ISSUER,
    21: Problem.UNKNOWN_ISSUER, 23: Problem.REVOKED, 3: Problem.REVOCATION_UNKNOWN, 11: Problem.REVOCATION_UNKNOWN,
    12: Problem.REVOCATION_UNKNOWN, 33: Problem.REVOCATION_UNKNOWN, 24: Problem.WRONG_USE, 26: Problem.WRONG_USE,
    79: Problem.WRONG_USE, 66: Problem.TOO_WEAK, 67: Problem.TOO_WEAK, 68: Problem.TOO_WEAK,
}
"""By X509_V_ERR number of OpenSSL."""


class TlsFailure(msgspec.Struct, frozen=True, kw_only=True):
    """Why there is no TLS. ``step`` decides which security event it makes (`evse.ocpp.link`)."""

    step: DialStep
    text: str
    reason: Problem | None = None  # of a certificate


Judge = Callable[[bytes, bytes], TlsFailure | None]
"""(certificate of the peer, its issuer or b"", both DER) to why the handshake must end. Must not block."""

Ask = Callable[[], Awaitable[None]]
"""Asks what ``judge`` wants to know; afterwards a handshake is judged again."""


class StationContext(ssl.SSLContext):
    """A context for one connection attempt; ``plan``, ``facts`` and ``failure`` tell of it."""

    plan: TlsPlan
    facts: TlsFacts | None
    own_dates: bool
    begun: bool
    told: TlsFailure | None
    judge: Judge | None
    ask: Ask | None

    @property
    def failure(self) -> TlsFailure | None:
        """Why there was no TLS; a peer that hangs up in the middle of the handshake says nothing, which is a reason too."""
        if self.told is None and self.begun and self.facts is None:
            return TlsFailure(step=DialStep.TLS, text=_HUNG_UP)
        return self.told

    def wrap_bio(
        self, incoming: ssl.MemoryBIO, outgoing: ssl.MemoryBIO, server_side: bool = False,
        server_hostname: str | bytes | None = None, session: ssl.SSLSession | None = None,
    ) -> ssl.SSLObject:
        """As in the module ssl, with the host name that the plan expects."""
        return super().wrap_bio(incoming, outgoing, server_side, self.plan.host_name or server_hostname, session)


class _Checked(ssl.SSLObject):
    """The TLS of a connection: explains failures and remembers the peer."""

    def do_handshake(self) -> None:
        """As in the module ssl; the context remembers what failed, in plain words."""
        context: Any = self.context
        context.begun = True
        try:
            super().do_handshake()
            _look_at_peer(self, context)
        except ssl.SSLWantReadError:
            raise
        except ssl.SSLError as error:
            _remember(error, context)
            raise

    def read(self, len: int = 1024, buffer: Any = None) -> Any:  # noqa: A002 - as in ssl
        """As in the module ssl: with TLS 1.3 the peer refuses our certificate only after the handshake."""
        try:
            return super().read(len) if buffer is None else super().read(len, buffer)
        except (ssl.SSLWantReadError, ssl.SSLZeroReturnError, ssl.SSLSyscallError):
            raise
        except ssl.SSLError as error:
            _remember(error, self.context)
            raise


class _CheckedSocket(ssl.SSLSocket):
    """The same for blocking sockets (FTP): the dates by the clock of the station, where it is not that of the system."""

    def do_handshake(self, block: bool = False) -> None:
        """As in the module ssl."""
        context: Any = self.context
        super().do_handshake(block)
        _look_at_peer(self, context)


def make_context(plan: TlsPlan, system_wall: Callable[[], int] = time.time_ns) -> StationContext:
    """Return the context of one attempt. Reads files and may take 50 ms: run it in a thread.

    Raises `DeviceError` when the clock, a file or the station's own certificate makes a connection impossible.
    """
    context = StationContext(ssl.PROTOCOL_TLS_CLIENT)
    context.plan, context.facts, context.told, context.own_dates, context.begun = plan, None, None, False, False
    context.judge = context.ask = None
    context.sslobject_class, context.sslsocket_class = _Checked, _CheckedSocket
    context.minimum_version = ssl.TLSVersion.TLSv1_3 if plan.min_version == "1.3" else ssl.TLSVersion.TLSv1_2
    context.set_ciphers(SUITES)
    context.options |= ssl.OP_NO_COMPRESSION
    if plan.verify == "none":
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    else:
        context.check_hostname = plan.verify == "full"
        _trust(context, plan)
        _dates(context, plan, system_wall())
    if plan.certificate:
        _own_certificate(context, plan)
        context.plan = msgspec.structs.replace(plan, certificate="", key="")  # not kept longer than needed
    return context


def _trust(context: StationContext, plan: TlsPlan) -> None:
    # A root that is not self-signed is trusted as it is: the one before it may have been removed (whitepaper, partial chain).
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    if plan.system_roots:
        context.load_default_certs(ssl.Purpose.SERVER_AUTH)
    for pem in plan.roots:
        try:
            context.load_verify_locations(cadata=pem)
        except ssl.SSLError as error:
            raise DeviceError(f"an installed root certificate cannot be read ({error.reason}); delete it") from error
    _load(context, plan.ca_file, "ocpp.tls.ca_file", "root certificates")
    if plan.crl_file:
        _load(context, plan.crl_file, "ocpp.tls.crl_file", "revocation lists")
        context.verify_flags |= ssl.VERIFY_CRL_CHECK_LEAF
    if not context.cert_store_stats()["x509_ca"] and not plan.system_roots:
        raise DeviceError(
            "no root certificate of the CSMS is installed; install one as CentralSystemRootCertificate, name a file in "
            'ocpp.tls.ca_file, or use ocpp.tls.roots = "both"'
        )


def read_text(path: str, option: str) -> str:
    """Return the text of a file that ``option`` names; raise `DeviceError`."""
    try:
        if Path(path).stat().st_size > ROOTS_MAX_BYTES:
            raise DeviceError(f"{option} = {path}: larger than {ROOTS_MAX_BYTES} bytes")
        return Path(path).read_text(encoding="ascii", errors="replace")
    except OSError as error:
        raise DeviceError(f"{option} = {path}: cannot be read: {error.strerror or error}") from error


def _load(context: StationContext, path: str, option: str, what: str) -> None:
    if not path:
        return
    try:
        if Path(path).stat().st_size > ROOTS_MAX_BYTES:
            raise DeviceError(f"{option} = {path}: larger than {ROOTS_MAX_BYTES} bytes")
        context.load_verify_locations(cafile=path)
    except ssl.SSLError as error:
        raise DeviceError(f"{option} = {path}: holds no {what} in PEM form ({error.reason})") from error
    except OSError as error:
        raise DeviceError(f"{option} = {path}: cannot be read: {error.strerror or error}") from error


def _dates(context: StationContext, plan: TlsPlan, system_wall: int) -> None:
    if plan.wall < CLOCK_SET:
        if plan.without_clock != "accept":
            raise DeviceError(
                f"the clock of the station says {timestamp(plan.wall)[:10]}, so certificates cannot be checked; set the time "
                '(NTP or a clock module), or allow connections without it: ocpp.tls.without_clock = "accept"'
            )
        context.verify_flags = ssl.VerifyFlags(context.verify_flags | NO_CHECK_TIME)
    elif abs(plan.wall - system_wall) > CLOCK_APART_NS:
        context.verify_flags = ssl.VerifyFlags(context.verify_flags | NO_CHECK_TIME)
        context.own_dates = True


def _own_certificate(context: StationContext, plan: TlsPlan) -> None:
    """Load certificate and key, which the module ssl takes from files only: here from one in memory."""
    number = os.memfd_create("evse-tls", os.MFD_CLOEXEC)
    try:
        with os.fdopen(os.dup(number), "wb") as file:
            file.write(f"{plan.key}\n{plan.certificate}".encode("ascii"))
        context.load_cert_chain(f"/proc/self/fd/{number}")
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "reason", None) or getattr(error, "strerror", None) or "damaged"
        raise DeviceError(f"the certificate of the station cannot be used ({reason}); let the CSMS sign a new one") from error
    finally:
        os.close(number)


# -- after the handshake ----------------------------------------------------------------------------------------------


def _look_at_peer(tls: ssl.SSLObject | ssl.SSLSocket, context: StationContext) -> None:
    known: Any = tls.getpeercert() or {}
    not_after = _ns(str(known.get("notAfter", "")))
    if context.own_dates:
        not_before, wall = _ns(str(known.get("notBefore", ""))), context.plan.wall
        if not not_before <= wall <= not_after:
            early = wall < not_before
            error = ssl.SSLCertVerificationError("certificate dates")
            error.verify_code, error.verify_message = (9, "not yet valid") if early else (10, "expired")
            raise error
    chain = _chain(tls)
    if context.judge is not None and context.plan.verify != "none" and chain:
        context.told = context.judge(chain[0], chain[1] if len(chain) > 1 else b"")
        if context.told is not None:
            raise ssl.SSLCertVerificationError("revocation")
    cipher = tls.cipher()
    context.facts = TlsFacts(
        version=str(tls.version()), cipher=cipher[0] if cipher else "", peer=_dn(known.get("subject")),
        issuer=_dn(known.get("issuer")), peer_not_after=not_after, root=sha256(chain[-1]).hexdigest() if chain else "", at=context.plan.wall,
        dates_checked=context.plan.verify != "none" and (context.plan.wall >= CLOCK_SET),
    )


def _ns(text: str) -> WallNs:
    return int(ssl.cert_time_to_seconds(text)) * NS_PER_S if text else 0


def _dn(name: Any) -> str:
    short = {"commonName": "CN", "organizationName": "O", "countryName": "C", "organizationalUnitName": "OU"}
    parts = [f"{short.get(key, key)}={value}" for group in name or () for key, value in group]
    return "".join(c if c.isprintable() else " " for c in ",".join(reversed(parts)))[:200]


def _chain(tls: ssl.SSLObject | ssl.SSLSocket) -> list[bytes]:
    """Return the peer's chain up to the root (DER); the module ssl shows it from Python 3.13 on only. [] = not known."""
    inner = getattr(tls, "_sslobj", None)
    chain: Sequence[Any] = ()
    with contextlib.suppress(Exception):  # without it the root in use is not known
        chain = (inner.get_verified_chain() or ()) if inner is not None else ()  # None: a resumed session (data of FTPS)
    return [one if isinstance(one, bytes) else one.public_bytes(2) for one in chain]  # 2 = ENCODING_DER


# -- in plain words ---------------------------------------------------------------------------------------------------

_HUNG_UP: Final = (
    "the CSMS ended the connection in the middle of the TLS handshake without a reason: no TLS at this port, another version "
    "of TLS, or it wants a certificate of the station (profile 3)"
)
_TOO_OLD: Final = frozenset({
    "UNSUPPORTED_PROTOCOL", "TLSV1_ALERT_PROTOCOL_VERSION", "WRONG_SSL_VERSION", "NO_PROTOCOLS_AVAILABLE",
})
_NO_TLS: Final = frozenset({"WRONG_VERSION_NUMBER", "HTTP_REQUEST", "RECORD_LAYER_FAILURE", "UNEXPECTED_MESSAGE"})
_NO_SUITE: Final = frozenset({"SSLV3_ALERT_HANDSHAKE_FAILURE", "NO_SHARED_CIPHER", "TLSV1_ALERT_INSUFFICIENT_SECURITY"})
_OURS_REFUSED: Final = {
    "TLSV13_ALERT_CERTIFICATE_REQUIRED": "it asks for a certificate of the station and got none; security profile 3 is needed",
    "SSLV3_ALERT_CERTIFICATE_EXPIRED": "it says that the certificate of the station has expired; let the CSMS sign a new one",
    "SSLV3_ALERT_CERTIFICATE_REVOKED": "it says that the certificate of the station was revoked",
    "TLSV1_ALERT_UNKNOWN_CA": "it does not know the authority that signed the certificate of the station",
    "TLSV1_ALERT_ACCESS_DENIED": "it denies access to the certificate of the station",
    "SSLV3_ALERT_BAD_CERTIFICATE": "it refuses the certificate of the station",
    "SSLV3_ALERT_UNSUPPORTED_CERTIFICATE": "it does not support the certificate of the station",
    "SSLV3_ALERT_CERTIFICATE_UNKNOWN": "it refuses the certificate of the station",
    "TLSV1_ALERT_DECRYPT_ERROR": "the key of the station does not fit its certificate",
}


def explain(error: ssl.SSLError, plan: TlsPlan) -> TlsFailure:
    """Return what a TLS error means and what to do."""
    if isinstance(error, ssl.SSLCertVerificationError):
        reason = PROBLEMS.get(error.verify_code, Problem.OTHER)
        return TlsFailure(step=DialStep.CERTIFICATE, text=_about_certificate(error, plan), reason=reason)
    told = str(error.reason or "")
    if told in _TOO_OLD:
        text = f"the CSMS does not speak TLS {plan.min_version} or newer; its software must be updated"
        return TlsFailure(step=DialStep.TLS_VERSION, text=text)
    if told in _NO_SUITE:
        text = "the CSMS and the station have no cipher suite in common, or it wants a certificate of the station (profile 3)"
        return TlsFailure(step=DialStep.TLS_CIPHER, text=text)
    if told in _OURS_REFUSED:
        return TlsFailure(step=DialStep.CREDENTIALS, text=f"the CSMS refuses the station: {_OURS_REFUSED[told]}")
    if told in _NO_TLS:
        return TlsFailure(step=DialStep.TLS, text="no TLS is spoken at this port; check the port, or use ws:// where that is wanted")
    return TlsFailure(step=DialStep.TLS, text=f"TLS failed ({told or error})")


def _about_certificate(error: ssl.SSLCertVerificationError, plan: TlsPlan) -> str:
    clock = f"the clock of the station says {timestamp(plan.wall)[:16].replace('T', ' ')} UTC"
    expected = plan.host_name or plan.host
    match error.verify_code:
        case 9:
            return f"the certificate of the CSMS is not valid yet; {clock}: is it wrong?"
        case 10:
            return f"the certificate of the CSMS (or one of its issuers) has expired; {clock}: if that is right, the CSMS needs a new one"
        case 62 | 63 | 64:
            return f"the certificate of the CSMS is not for {expected}; correct the URL, or name what it is for in ocpp.tls.host_name"
        case 18:
            return (
                "the certificate of the CSMS is signed by itself; if it is the right one, install it as "
                "CentralSystemRootCertificate or name its file in ocpp.tls.ca_file"
            )
        case 19:
            return "the root of the certificate of the CSMS is not trusted; install it as CentralSystemRootCertificate"
        case 2 | 20 | 21:
            return (
                "nobody known has signed the certificate of the CSMS: its root is not installed, or the CSMS does not send "
                "the certificates in between"
            )
        case 23:
            return "the certificate of the CSMS was revoked"
        case 3 | 11 | 12 | 33:
            return f"no valid revocation list for the certificate of the CSMS ({error.verify_message}); renew ocpp.tls.crl_file"
        case 24 | 26 | 79:
            return f"the certificate of the CSMS or one of its issuers may not be used for this ({error.verify_message})"
        case 66 | 67 | 68:
            return f"a key or hash in the chain of the CSMS is too weak ({error.verify_message})"
        case _:
            return f"the certificate of the CSMS is not accepted: {error.verify_message}"


def _remember(error: ssl.SSLError, context: Any) -> None:
    """Note the first failure of a connection: what follows is its consequence."""
    if context.told is None:
        context.told = explain(error, context.plan)
