"""Models of the security of the back-end link and of its file transfers. Secrets go in, none comes out."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from evse.api.models_base import Model, PageLimit
from evse.units import WallNs

PemText = Annotated[str, Meta(min_length=1, max_length=20_000)]
Fingerprint = Annotated[str, Meta(min_length=8, max_length=128)]
PasswordText = Annotated[str, Meta(min_length=1, max_length=128)]
UrlText = Annotated[str, Meta(max_length=512)]
RootType = Literal["CentralSystemRootCertificate", "ManufacturerRootCertificate"]


class OcppCertificate(Model, frozen=True, kw_only=True):
    """A certificate of the station. ``fingerprint`` = SHA-256, hex; the hash fields name it in messages."""

    fingerprint: str
    type: str  # CentralSystemRootCertificate, ManufacturerRootCertificate, ChargePointCertificate
    subject: str
    issuer: str
    serial_number: str
    valid_from: WallNs
    valid_to: WallNs
    public_key: str  # e.g. EC P-256
    hash_algorithm: str
    issuer_name_hash: str
    issuer_key_hash: str
    installed_at: WallNs | None
    in_use: bool
    note: str


class OcppCertificates(Model, frozen=True, kw_only=True):
    items: tuple[OcppCertificate, ...]


class OcppCertInstall(Model, frozen=True, kw_only=True):
    """A root certificate as PEM text, exactly one."""

    type: RootType
    pem: PemText


class OcppCertDelete(Model, frozen=True, kw_only=True):
    """The installed root certificate whose fingerprint begins so. ``confirm``: also if it is the last one of the CSMS."""

    fingerprint: Fingerprint
    confirm: bool = False


class OcppCertRequestText(Model, frozen=True, kw_only=True):
    """A request for a certificate (PKCS #10) as PEM text; its key stays in the station."""

    csr: str
    common_name: str


class OcppCertInstallOwn(Model, frozen=True, kw_only=True):
    """The certificate of the station as PEM text, with those between it and the root."""

    pem: PemText


class OcppStagedChange(Model, frozen=True, kw_only=True):
    """A change of the link that the CSMS has not accepted yet; the old settings stay until then."""

    url: str
    profile: int
    changed: str
    by: str  # csms, local, file
    since: WallNs
    tries: int
    limit: int  # tries after which it is given up
    next: bool  # the next connection uses it
    last_error: str


class OcppGivenUp(Model, frozen=True, kw_only=True):
    """A change that did not work."""

    url: str
    profile: int
    changed: str
    error: str
    at: WallNs


class OcppTls(Model, frozen=True, kw_only=True):
    """The TLS of the last connection that was accepted. ``valid_to`` None = the certificate was not checked."""

    version: str
    cipher: str
    peer: str
    issuer: str
    valid_to: WallNs | None
    root: str
    dates_checked: bool
    at: WallNs | None


class OcppSecurityState(Model, frozen=True, kw_only=True):
    """Profile 0 = none, 1 = password, 2 = TLS and password, 3 = TLS and the station's certificate."""

    profile: int
    url: str
    proven: bool  # a CSMS has accepted the station with these settings
    key_set: bool
    user: str  # beside the password, "" = the station's name in the URL
    key_age_s: int | None
    certificate: OcppCertificate | None
    request_pending: bool
    signing: str  # how the last request for a certificate ended
    roots: int
    verify: str  # full, chain, none
    insecure: bool
    staged: OcppStagedChange | None
    given_up: OcppGivenUp | None
    tls: OcppTls | None
    revocation: str  # whether the certificate of the CSMS was revoked, "" = that is not checked
    last_failure: str
    last_problem: str  # what is wrong with the certificate of the CSMS in one word, e.g. revoked, expired, wrong-host
    events_waiting: int
    warnings: tuple[str, ...]


class OcppSecurityEventsQuery(Model, frozen=True, kw_only=True):
    limit: PageLimit = 50


class OcppSecurityEvent(Model, frozen=True, kw_only=True):
    """``state``: logged (never sent), waiting, sent, refused."""

    seq: int
    wall: WallNs
    type: str
    detail: str
    state: str


class OcppSecurityEvents(Model, frozen=True, kw_only=True):
    items: tuple[OcppSecurityEvent, ...]  # newest last


class OcppSetProfile(Model, frozen=True, kw_only=True):
    """Stage a security profile; ``url`` "" = as it is. ``confirm``: also a lower one, or a URL without TLS."""

    profile: Annotated[int, Meta(ge=0, le=3)]
    url: UrlText = ""
    confirm: bool = False


class OcppSetPassword(Model, frozen=True, kw_only=True):
    """The AuthorizationKey. ``secret`` is in no answer, audit row or log."""

    secret: PasswordText


class OcppSecurityResult(Model, frozen=True, kw_only=True):
    """``status`` as a CSMS would get it; ``reason`` says why not."""

    status: str
    reason: str = ""


# -- transfers ----------------------------------------------------------------------------------------------------


class OcppTransfer(Model, frozen=True, kw_only=True):
    """A transfer, under way or ended. ``state``: running, done, failed; ``percent`` is of the present ``stage``."""

    transfer: str  # firmware, diagnostics, log
    state: str
    stage: str
    status: str  # what the CSMS was told last
    request_id: int | None
    location: str  # without credentials
    percent: int | None
    bytes_done: int | None
    bytes_total: int | None
    attempt: int | None
    attempts: int | None
    at: WallNs | None  # when it ended, or when what it waits for comes
    detail: str


class OcppTransfers(Model, frozen=True, kw_only=True):
    """Those under way, then the last results, newest first."""

    items: tuple[OcppTransfer, ...]
    unanswered: int  # messages about them that the CSMS has not answered
    installer: bool  # the station can install firmware


class OcppTransferRef(Model, frozen=True, kw_only=True):
    transfer: Literal["firmware", "diagnostics", "log"]
