"""What certificate the other end of a TLS connection shows. ``cryptography`` is loaded only here, when somebody looks."""

from __future__ import annotations

import asyncio
import socket
import ssl

from evse.domain.base import Frozen
from evse.units import NS_PER_S, WallNs

NAMES_MAX = 4


class Certificate(Frozen, frozen=True, kw_only=True):
    """The certificate of a server, for people. ``names`` are the host names that it is for."""

    subject: str
    issuer: str
    not_before: WallNs
    not_after: WallNs
    names: str


def read_certificate(der: bytes) -> Certificate | None:
    """Return what a certificate says; None when it cannot be read."""
    from cryptography import x509

    try:
        certificate = x509.load_der_x509_certificate(der)
        subject, issuer = certificate.subject.rfc4514_string(), certificate.issuer.rfc4514_string()
        begins, ends = certificate.not_valid_before_utc, certificate.not_valid_after_utc
        try:
            found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
            names = [str(name.value) for name in found]
        except x509.ExtensionNotFound:
            names = []
    except ValueError:
        return None
    shown = ", ".join(names[:NAMES_MAX]) + (" ..." if len(names) > NAMES_MAX else "")
    return Certificate(
        subject=_plain(subject) or "no name", issuer=_plain(issuer) or "no name", names=_plain(shown) or "none",
        not_before=round(begins.timestamp()) * NS_PER_S, not_after=round(ends.timestamp()) * NS_PER_S,
    )


def _plain(text: str) -> str:
    return "".join(char if char.isprintable() else "?" for char in text)[:200]


def peer_certificate(tls: ssl.SSLObject) -> Certificate | None:
    """Return the certificate of an open connection."""
    der = tls.getpeercert(binary_form=True)
    return None if der is None else read_certificate(der)


async def unchecked_certificate(sock: socket.socket, host: str) -> Certificate | None:
    """Shake hands on ``sock`` without checking anything, read the certificate and leave; nothing else is sent."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    try:
        _, writer = await asyncio.open_connection(sock=sock, ssl=context, server_hostname=host)
    except BaseException:
        sock.close()
        raise
    try:
        return peer_certificate(writer.get_extra_info("ssl_object"))
    finally:
        writer.close()
