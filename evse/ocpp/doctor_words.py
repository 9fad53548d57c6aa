"""What the doctor says besides what it measures: what to do about a step, and what was not tried."""

from __future__ import annotations

from collections.abc import Mapping

from evse.ocpp.security.tls import Problem
from evse.transports.base import DialStep

LEFT_OUT = (
    "the station is connected: HTTP, credentials, subprotocol and BootNotification were not tried anew, because many back ends "
    "end the first link of a station when a second one comes; evsectl ocpp doctor --pause ends the link for some seconds and tries everything"
)
BESIDE = (
    "the station was dialling at the same time: a back end that takes one link of a station may have ended either; "
    "evsectl ocpp doctor --pause keeps it from dialling meanwhile"
)
BY_ROUTES = "ocpp.interface does not bind DNS; an address in ocpp.url, or a socks5h:// or http:// proxy by address, needs none"

REMEDY: Mapping[DialStep, str] = {
    DialStep.URL: "correct ocpp.url in the configuration: ws://HOST/PATH or wss://HOST/PATH",
    DialStep.INTERFACE: "correct ocpp.interface, or plug in that network",
    DialStep.DNS: "check the name in ocpp.url and the DNS server of this station; an IP address in ocpp.url needs none",
    DialStep.TCP: "check cable, SIM and route of this station, and that the firewall lets this port out",
    DialStep.PROXY: "check ocpp.proxy: address, kind, user and password",
    DialStep.TLS: "check that the port of ocpp.url speaks TLS; profile 3 also needs the station's certificate: evsectl ocpp certs list",
    DialStep.TLS_VERSION: "the CSMS must offer TLS 1.2 or newer; ocpp.tls.min_version says what this station asks for",
    DialStep.TLS_CIPHER: "the CSMS must offer a cipher suite of the security whitepaper, such as ECDHE with AES-GCM",
    DialStep.CERTIFICATE: "install the right root: evsectl ocpp certs install; check the station's date, and the host name in ocpp.url",
    DialStep.HTTP: "check path and charge point id (ocpp.url, ocpp.charge_point_id) with whoever runs the CSMS",
    DialStep.CREDENTIALS: "set the password that the CSMS has for this station: evsectl ocpp security set-key",
    DialStep.SUBPROTOCOL: "the CSMS must speak ocpp1.6 for this charge point; its operator sets the version there",
    DialStep.TIMEOUT: "the address answers too late: check signal and load of the line",
}

REASON_REMEDY: Mapping[str, str] = {
    Problem.REVOKED: "the CSMS needs a new certificate: tell whoever runs it; until then nobody may trust that address",
    Problem.REVOCATION_UNKNOWN: "let the station reach the OCSP responder (firewall, ocpp.proxy) or renew ocpp.tls.crl_file; "
    'or ocpp.tls.ocsp = "soft"',
    Problem.ASKING: "try again in ten seconds; if it stays so, let the station reach the OCSP responder (firewall, ocpp.proxy)",
    Problem.EXPIRED: "check the date of this station; if it is right, the CSMS needs a new certificate",
    Problem.NOT_YET_VALID: "check the date of this station; if it is right, the CSMS has a certificate that begins later",
    Problem.WRONG_HOST: "correct the host name in ocpp.url, or name what the certificate is for in ocpp.tls.host_name",
}
"""What goes before `REMEDY` where more is known of a certificate."""

HTTP_REMEDY: Mapping[int, str] = {
    3: "ask whoever runs the CSMS for the address that is right, and set it as ocpp.url",
    5: "the address answers: wait, the station goes on dialling; if it stays so, ask whoever runs the CSMS",
}
"""By the first digit of the status."""
