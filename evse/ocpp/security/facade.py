"""`Security`: the whole of the security whitepaper behind one door. The runtime makes it before the client and attaches it after.

Everything that people or other parts may call is here; secrets go in and never come out.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final, Protocol

import msgspec

from evse.config.model_ocpp import OcppSection
from evse.domain.base import DeviceError
from evse.domain.clock import Clock
from evse.domain.security import CertificateFault, SecurityEvent
from evse.ocpp.engine import Engine
from evse.ocpp.handlers import Handlers
from evse.ocpp.keys import Keys
from evse.ocpp.link import Link
from evse.ocpp.messages import Payload
from evse.ocpp.ports import Vault
from evse.ocpp.security import link_state, signature
from evse.ocpp.security.certificates import CertificateStore, Outcome, marked
from evse.ocpp.security.dialler import SecureDialler
from evse.ocpp.security.events import SecurityLog
from evse.ocpp.security.handlers import SecurityHandlers
from evse.ocpp.security.link_state import GivenUp
from evse.ocpp.security.ports import (
    CENTRAL,
    MANUFACTURER,
    STATION,
    CertificateInfo,
    Offload,
    SecurityStore,
)
from evse.ocpp.security.signing import DAY_NS, Signing
from evse.ocpp.security.tls import StationContext, TlsFacts, TlsPlan, make_context, read_text
from evse.ocpp.time_source import TimeSource
from evse.transports.base import WsClosed
from evse.units import NS_PER_S, DurationNs, WallNs

log = logging.getLogger(__name__)

RECONNECT_S: Final = 1.0
"""Pause before a change drops the link: the answer to who asked for it goes first."""

LOG_ROWS_MAX: Final = 10_000
ROOT_WARN_NS: Final = 30 * DAY_NS


class Client(Protocol):
    """What `Security.attach` needs of the OCPP client."""

    handlers: Handlers
    link: Link
    time: TimeSource
    jobs: list[Callable[[Engine], Awaitable[None]]]

    @property
    def configuration(self) -> Keys:
        """The configuration keys."""
        ...

    async def ask(self, action: str, payload: Payload) -> Payload:
        """Send a request."""
        ...


class StagedChange(msgspec.Struct, frozen=True, kw_only=True):
    """A change of the link that has not proved itself yet."""

    url: str
    profile: int
    changed: str
    by: str
    since: WallNs
    tries: int
    limit: int
    next: bool  # the next connection uses it
    last_error: str


class SecurityStatus(msgspec.Struct, frozen=True, kw_only=True):
    """The security of the link as people see it. Nothing in it is secret. Times are UTC ns."""

    profile: int
    url: str  # without the name of the station
    proven: bool  # a CSMS has accepted the station with these settings
    key_set: bool
    user: str  # beside the password, "" = the station's name in the URL
    key_age_s: int | None  # None = not set, or since before ages were kept
    certificate: CertificateInfo | None
    request_pending: bool
    signing: str  # how the last request for a certificate ended
    roots: int
    verify: str  # full, chain, none
    insecure: bool
    staged: StagedChange | None
    given_up: GivenUp | None
    tls: TlsFacts | None  # of the last connection that was accepted
    revocation: str  # whether the certificate of the CSMS was revoked, "" = that is not checked
    last_failure: str
    last_problem: str  # of the certificate of the CSMS, a word of `evse.ocpp.security.tls.Problem`
    events_waiting: int
    warnings: tuple[str, ...]


class Security:
    """Make it, `open` it, give ``dialler`` and ``log.note`` to the client, `attach` the client, `run` it."""

    def __init__(
        self, config: OcppSection, charge_point_id: str, clock: Clock, store: SecurityStore, vault: Vault, offload: Offload
    ) -> None:
        self._config = config
        self._clock = clock
        self._offload = offload
        self._client: Client | None = None
        self.log = SecurityLog(store, clock, self._ask)
        self.certificate_store = CertificateStore(store, vault, clock, offload, one_root=config.security.one_root)
        self.dialler = SecureDialler(
            config, charge_point_id, store, vault, self.certificate_store, clock, offload, self.log.note
        )
        self.signing = Signing(
            self.certificate_store, self.dialler, clock, ask=self._ask, note=self.log.note, config=lambda: self._config,
            organization=self._organization, charge_point_id=charge_point_id,
        )
        self.handlers = SecurityHandlers(
            self.certificate_store, self.dialler, self.signing, store, self.log.note,
            lambda: self._config.tls.roots == "system",
        )
        self.dialler.reconnect = self._try_soon
        self.dialler.changed = self.handlers.changed = self._tell_keys

    async def open(self) -> None:
        """Read what is stored; before the client is made."""
        await self.certificate_store.open()
        await self.dialler.open()
        await self.handlers.open()
        await self.log.open()

    def config_in_force(self) -> OcppSection:
        """Return the section with the URL that is in use: the file's may be waiting, or another one was set since."""
        state = self.dialler.state
        return msgspec.structs.replace(self._config, url=self.dialler.url_of(state.active))

    def attach(self, client: Client) -> None:
        """Take the place in the client: handlers, guarded keys, triggers, and what happens on each registered link."""
        self._client = client
        client.handlers.extensions.append(self.handlers.table)
        client.handlers.triggers["SignChargePointCertificate"] = self._triggered
        for key, guard in self.handlers.guards().items():
            client.configuration.guard(key, guard)
        client.jobs.append(self._online)
        client.time.arrived.append(self._time_arrived)
        self.dialler.revocation.revoked = lambda: client.link.reconnect("the certificate of the CSMS was revoked", afresh=True)
        self.dialler.dial_now = lambda: client.link.reconnect("the settings that have worked before are tried")
        self._tell_keys()

    async def run(self) -> None:
        """Write and send events, renew the certificate; for ever."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self.log.run())
            group.create_task(self.signing.run())
            group.create_task(self.dialler.revocation.run())

    def change_config(self, config: OcppSection) -> None:
        """Take the live options of a changed file."""
        self._config = config
        self.dialler.change_config(config)
        self._tell_keys()

    # -- for people -----------------------------------------------------------------------------------------------

    def status(self) -> SecurityStatus:
        """The security of the link as people see it."""
        state, wall = self.dialler.state, self._clock.wall()
        own = self.certificate_store.own(state.active.certificate)
        verify = self.dialler.verify_of(state.active)
        key_age_s = max(0, wall - state.key_since) // NS_PER_S if state.active.key and state.key_since else None
        return SecurityStatus(
            profile=state.active.profile, url=self.dialler.url_of(state.active), proven=state.proven,
            key_set=bool(state.active.key), user=state.active.user, key_age_s=key_age_s, certificate=None if own is None else own.info,
            request_pending=self.certificate_store.requested is not None, signing=self.signing.last,
            roots=len(self.certificate_store.roots(CENTRAL)), verify=verify, insecure=verify != "full",
            staged=self._staged(), given_up=state.given_up, tls=self.dialler.facts,
            revocation=self._revocation(), last_failure=self.dialler.last_failure,
            last_problem=self.dialler.last_problem, events_waiting=self.log.waiting, warnings=tuple(self._warnings()),
        )

    def _revocation(self) -> str:
        told = [self.dialler.revocation.told(), "revocation list" if self._config.tls.crl_file else ""]
        return ", ".join(text for text in told if text)

    def _staged(self) -> StagedChange | None:
        state = self.dialler.state
        if state.staged is None:
            return None
        return StagedChange(
            url=self.dialler.url_of(state.staged), profile=state.staged.profile, changed=link_state.changed(state),
            by=state.staged_by, since=state.staged_at, tries=state.tries, limit=self.dialler.limit,
            next=state.turn == link_state.STAGED, last_error=state.last_error,
        )

    def _warnings(self) -> list[str]:
        """What somebody should do something about."""
        state, wall = self.dialler.state, self._clock.wall()
        found = []
        verify = self.dialler.verify_of(state.active)
        if verify != "full" and self.dialler.url_of(state.active).startswith("wss://"):
            what = "is not checked at all" if verify == "none" else "may be for any host name"
            found.append(f"INSECURE: the certificate of the CSMS {what} (ocpp.tls.verify = {verify})")
        if state.staged is not None:
            found.append(f"a change waits to be accepted by the CSMS: {link_state.changed(state)}")
        if state.given_up is not None:
            found.append(f"a change was given up: {state.given_up.changed}: {state.given_up.error}")
        own = self.certificate_store.own(state.active.certificate)
        if own is not None and self._clock.wall_valid():
            left = own.info.not_after - wall
            if left <= 0:
                found.append("the certificate of the station has expired")
            elif left <= self._config.security.renew_days * DAY_NS:
                found.append(f"the certificate of the station ends in {left // DAY_NS} days")
        for info in self.certificate_store.infos():
            if info.kind == CENTRAL and self._clock.wall_valid() and info.not_after - wall <= ROOT_WARN_NS:
                when = "has expired" if info.not_after <= wall else f"ends in {(info.not_after - wall) // DAY_NS} days"
                found.append(f"the root certificate {info.subject} {when}")
        return found

    def certificates(self) -> list[CertificateInfo]:
        """All certificates, with a mark at those that are in use."""
        state, facts = self.dialler.state, self.dialler.facts
        used: dict[str, str] = {}
        if facts is not None and facts.root:
            used[facts.root] = "root of the CSMS"
        active = self.certificate_store.own(state.active.certificate)
        staged = None if state.staged is None else self.certificate_store.own(state.staged.certificate)
        infos = self.certificate_store.infos()
        if active is not None:
            used[active.info.fingerprint] = "in use" if state.active.profile == 3 else "ready for profile 3"
        if staged is not None and staged is not active:
            used[staged.info.fingerprint] = "tried with the next connection"
        shown = (active, staged)
        return marked(
            [i for i in infos if i.kind != STATION or any(s is not None and s.info == i for s in shown)], used
        )

    async def install(self, kind: str, pem: str) -> Outcome:
        """Install a root certificate for a technician; raises nothing but bugs."""
        return await self.handlers.install(kind, pem, by_csms=False)

    async def delete(self, fingerprint: str) -> Outcome:
        """Delete the root certificate whose fingerprint begins so (at least 8 characters); status Accepted, Failed, NotFound."""
        found = self._roots_named(fingerprint)
        if len(found) != 1:
            return Outcome(status="NotFound", reason=f"{len(found)} installed root certificates begin with {fingerprint!r}")
        return await self.handlers.delete(found[0])

    def _roots_named(self, fingerprint: str) -> list[CertificateInfo]:
        wanted = fingerprint.replace(":", "").lower()
        if len(wanted) < 8:
            return []
        return [i for i in self.certificate_store.infos() if i.kind != STATION and i.fingerprint.startswith(wanted)]

    async def events(self, limit: int) -> list[SecurityEvent]:
        """The newest security events, oldest first."""
        return await self.log.events(limit)

    async def log_text(self, since: WallNs | None = None, until: WallNs | None = None) -> str:
        """The security log of a time window as text, for GetLog."""
        return await self.log.text(since, until, LOG_ROWS_MAX)

    async def set_profile(self, profile: int, url: str = "") -> Outcome:
        """Stage another profile, also a lower one, and another URL ("" = as it is). Raises `DeviceError`."""
        return await self.dialler.set_profile(profile, url, "local")

    async def set_key(self, value: str) -> Outcome:
        """Set the AuthorizationKey. Raises `DeviceError`."""
        return await self.dialler.set_key(value, "local")

    async def cancel_change(self) -> bool:
        """Drop a change that waits, or the note of one that was given up; tell whether there was any. Raises `DeviceError`."""
        return await self.dialler.forget_staged()

    def weakens(self, profile: int, url: str) -> str:
        """Return what another profile and URL take away from the security of the link, "" = nothing."""
        return self.dialler.weakens(profile, url)

    def is_last_root(self, fingerprint: str) -> bool:
        """Tell whether `delete` would take the last root of the CSMS."""
        return any(self.handlers.last_root(info) for info in self._roots_named(fingerprint))

    async def request_offline(self) -> str:
        """Make a new key and return the request (PEM) for it, for an authority that a technician asks. Raises `DeviceError`."""
        return await self.signing.request_offline()

    async def install_own(self, chain: str) -> Outcome:
        """Take a certificate of the station (PEM, leaf first) that belongs to the request that waits; staged with profile 3."""
        return await self.signing.signed(chain, "local")

    async def request_certificate(self) -> Outcome:
        """Send SignCertificate now; status Accepted, Rejected, or Failed (offline, no answer)."""
        return await self.signing.request()

    # -- for transfers --------------------------------------------------------------------------------------------

    async def check_certificate(self, pem: str) -> CertificateFault | None:
        """Return None when a certificate for firmware leads to an installed ManufacturerRootCertificate, else why not."""
        roots, wall, lists = self.certificate_store.roots(MANUFACTURER), self._clock.wall(), self._config.tls.crl_file

        def job() -> CertificateFault | None:
            try:
                text = read_text(lists, "ocpp.tls.crl_file") if lists else ""
            except DeviceError as error:
                return CertificateFault(text=str(error))
            return signature.verify_signing_certificate(pem, roots, wall, text)

        return await self._offload(job)

    async def check_file(self, path: Path, signature_b64: str, pem: str) -> str:
        """Return "" when the signature of a file fits, else why not."""
        return await self._offload(lambda: signature.verify_file(path, signature_b64, pem))

    def file_tls(self) -> StationContext:
        """Return a context for file servers: all installed roots and those of the system. May take 50 ms: run it in a thread."""
        tls = self._config.tls
        roots = (*self.certificate_store.roots(CENTRAL), *self.certificate_store.roots(MANUFACTURER))
        return make_context(TlsPlan(
            host="", roots=roots, ca_file=tls.ca_file, verify=tls.verify if tls.insecure else "full",
            min_version=tls.min_version, wall=self._clock.wall(), without_clock=tls.without_clock,
        ))

    # -- inside ---------------------------------------------------------------------------------------------------

    async def _ask(self, action: str, payload: Payload) -> Payload:
        if self._client is None:
            raise WsClosed(clean=False, detail="offline")
        return await self._client.ask(action, payload)

    def _organization(self) -> str:
        return self.handlers.cpo_name or self._config.security.cpo_name

    async def _triggered(self) -> None:
        await self.signing.request()

    async def _time_arrived(self, by: DurationNs) -> None:
        """Events get the right time; a certificate whose dates could not be judged is looked at again."""
        await self.log.time_arrived(by)
        tls = None if self._client is None else self._client.link.target.options.tls
        if isinstance(tls, StationContext) and tls.facts and not tls.facts.dates_checked and tls.plan.verify != "none":
            self._reconnect_soon("the time is known now: the dates of the certificate are checked")

    async def _online(self, engine: Engine) -> None:
        self.log.online()
        self.signing.online()

    def _try_soon(self, reason: str) -> None:
        """Dial with the staged change once the answer has gone, unless the link has done so by itself meanwhile."""
        client = self._client
        if client is not None:
            self._reconnect_soon(reason, lambda: self.dialler.waits(client.link.target))

    def _reconnect_soon(self, reason: str, needed: Callable[[], bool] = lambda: True) -> None:
        def reconnect(link: Link) -> None:
            if needed():
                link.reconnect(reason, afresh=True)

        if self._client is not None:
            asyncio.get_running_loop().call_later(RECONNECT_S, reconnect, self._client.link)

    def _tell_keys(self) -> None:
        if self._client is None:
            return
        keys, state = self._client.configuration, self.dialler.state
        keys.tell("SecurityProfile", str(state.active.profile))
        keys.tell("CentralSystemURI", self.dialler.url_of(state.active))
        keys.tell("AuthorizationUser", state.active.user)
        keys.tell("CpoName", self._organization())
        keys.tell("AdditionalRootCertificateCheck", "true" if self.certificate_store.one_root else "false")


__all__ = ["Security", "SecurityStatus", "StagedChange"]
