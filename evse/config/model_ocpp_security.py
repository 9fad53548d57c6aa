"""The shape of ``[ocpp.security]`` and ``[ocpp.tls]``: who the CSMS and the station are to each other. See `evse.config.model`."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from evse.domain.base import Frozen

Live = {"x-apply": "live"}
Restart = {"x-apply": "restart"}


class OcppSecuritySection(Frozen, frozen=True, kw_only=True):
    """Security profile, password and certificates of the station (OCPP 1.6 security whitepaper)."""

    profile: Annotated[
        int,
        Meta(
            title="0 = none, 1 = password, 2 = TLS and password, 3 = TLS with a certificate of the station; tried first and "
            "taken when the CSMS accepts the station with it. The CSMS can raise it, only this file can lower it",
            ge=0,
            le=3,
            extra_json_schema={**Restart, "x-ocpp": "SecurityProfile"},
        ),
    ] = 0
    key_format: Annotated[
        Literal["auto", "hex", "text"],
        Meta(
            title="What AuthorizationKey is: hex = digits that stand for bytes, text = the password itself, auto = 32 to 40 "
            "hexadecimal digits are hex",
            extra_json_schema=Live,
        ),
    ] = "auto"
    staged_tries: Annotated[
        int,
        Meta(
            title="Failed connections after which a new URL, profile or key gives way to the old one",
            ge=1,
            le=20,
            extra_json_schema=Live,
        ),
    ] = 3
    cpo_name: Annotated[
        str,
        Meta(
            title="Organisation in requests for a certificate of the station, until the CSMS sets one",
            max_length=64,
            extra_json_schema={**Live, "x-ocpp": "CpoName"},
        ),
    ] = ""
    common_name: Annotated[
        str,
        Meta(
            title="Name (CN) in requests for a certificate of the station; empty = its identity at the CSMS",
            max_length=64,
            extra_json_schema=Live,
        ),
    ] = ""
    renew_days: Annotated[
        int,
        Meta(
            title="Ask for a new certificate of the station so many days before the old one ends; 0 = never",
            ge=0,
            le=365,
            extra_json_schema=Live,
        ),
    ] = 30
    one_root: Annotated[
        bool,
        Meta(
            title="At most one root certificate of the CSMS, with the one before as fallback; a new one must be signed by it",
            extra_json_schema={**Restart, "x-ocpp": "AdditionalRootCertificateCheck"},
        ),
    ] = False


class OcppTlsSection(Frozen, frozen=True, kw_only=True):
    """How the certificate of the CSMS is checked. Counts from the next connection on."""

    url: Annotated[
        str,
        Meta(
            title="wss:// URL without the station name for profiles 2 and 3; empty = ocpp.url with wss://",
            extra_json_schema=Restart,
        ),
    ] = ""
    verify: Annotated[
        Literal["full", "chain", "none"],
        Meta(
            title="full = chain, dates and host name, chain = not the host name, none = nothing. From profile 2 on all "
            "but full needs insecure",
            extra_json_schema=Live,
        ),
    ] = "full"
    insecure: Annotated[
        bool,
        Meta(
            title="Allow verify = chain or none with profiles 2 and 3: anybody can pretend to be the CSMS",
            extra_json_schema=Live,
        ),
    ] = False
    host_name: Annotated[
        str,
        Meta(title="Name in the certificate of the CSMS; empty = the host of the URL", extra_json_schema=Live),
    ] = ""
    roots: Annotated[
        Literal["both", "installed", "system"],
        Meta(
            title="Trusted roots: those that the CSMS or a technician installed, those of the operating system, or both",
            extra_json_schema=Live,
        ),
    ] = "both"
    ca_file: Annotated[
        str, Meta(title="PEM file with more trusted roots of the CSMS; empty = none", extra_json_schema=Live)
    ] = ""
    crl_file: Annotated[
        str,
        Meta(title="PEM file with revocation lists of the issuer of the CSMS; empty = none", extra_json_schema=Live),
    ] = ""
    ocsp: Annotated[
        Literal["off", "soft", "hard"],
        Meta(
            title="Ask the OCSP responder that the certificate of the CSMS names whether it was revoked: soft = go on when it "
            "cannot be asked, hard = do not",
            extra_json_schema=Live,
        ),
    ] = "off"
    min_version: Annotated[
        Literal["1.2", "1.3"], Meta(title="Oldest version of TLS that is spoken", extra_json_schema=Live)
    ] = "1.2"
    without_clock: Annotated[
        Literal["refuse", "accept"],
        Meta(
            title="While the station does not know the time: refuse = no TLS connection, accept = do not look at the dates "
            "of certificates (needed where the CSMS is the only source of time)",
            extra_json_schema=Live,
        ),
    ] = "refuse"
