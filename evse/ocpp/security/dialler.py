"""`SecureDialler`: where and how the next connection to the CSMS is made, by security profile, with a change that waits its turn.

| profile | transport | the station says who it is by | the CSMS by |
|---|---|---|---|
| 0 | as the URL says | - | its certificate, if the URL is wss:// |
| 1 | as the URL says | AuthorizationKey | the same |
| 2 | TLS | AuthorizationKey | its certificate |
| 3 | TLS | its certificate | its certificate |

Keys and private keys lie in the vault, in two slots each; the durable record names slots, so one commit switches.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections import deque
from collections.abc import Callable
from typing import Final
from urllib.parse import urlsplit

import msgspec

from evse.config.model_ocpp import OcppSection
from evse.domain.base import DeviceError
from evse.domain.clock import Clock
from evse.domain.security import encrypted, link_weakened
from evse.ocpp.dialler import charge_point_url, dial_options
from evse.ocpp.ports import DialTarget, Vault
from evse.ocpp.security import auth_key, link_state
from evse.ocpp.security.certificates import CertificateStore, Outcome
from evse.ocpp.security.link_state import ACTIVE, STAGED, LinkSettings, LinkState
from evse.ocpp.security.ocsp_http import post
from evse.ocpp.security.ports import CENTRAL, Note, Offload, SettingsStore
from evse.ocpp.security.revocation import ASK_S, Revocation
from evse.ocpp.security.tls import Problem, StationContext, TlsFacts, TlsPlan, make_context
from evse.transports.base import DialStep

log = logging.getLogger(__name__)

NAMESPACE: Final = "ocpp.security"
ROW: Final = "link"
SLOTS: Final = ("a", "b")
KEY_SECRET: Final = "ocpp.key.{}"
URL_MAX: Final = 255
TARGETS_MAX: Final = 8
"""Targets that were handed out and may still be told of."""

DROPPED: Final = "the change of the link that was tried is dropped"

_REFUSED: Final = re.compile(r"\bHTTP 40[13]\b")

ACCEPTED, REJECTED = "Accepted", "Rejected"


class SecureDialler:
    """Implements `evse.ocpp.ports.Dialler`. Call `open` first. ``changed`` is called after the settings are others."""

    def __init__(
        self, config: OcppSection, charge_point_id: str, store: SettingsStore, vault: Vault, certificates: CertificateStore,
        clock: Clock, offload: Offload, note: Note,
    ) -> None:
        self.facts: TlsFacts | None = None  # of the last connection with TLS
        self.last_failure = ""  # "" since the CSMS has accepted the station
        self.last_problem = ""  # of the certificate of the CSMS (`evse.ocpp.security.tls.Problem`), the same way
        self.revocation = Revocation(clock, offload, self._post, lambda: self._config.tls.ocsp)
        self.reconnect: Callable[[str], None] = lambda reason: None
        self.dial_now: Callable[[], None] = lambda: None  # ends the pause before the next dial
        self.changed: Callable[[], None] = lambda: None
        self._config = config
        self._id = charge_point_id
        self._store = store
        self._vault = vault
        self._certificates = certificates
        self._clock = clock
        self._offload = offload
        self._note = note
        self._turn = asyncio.Lock()  # changes and what comes of connections, one after the other
        self._generation = 0  # of the staged change
        self._handed: deque[tuple[DialTarget, int]] = deque(maxlen=TARGETS_MAX)
        self._state = LinkState(active=LinkSettings(url=config.url, profile=config.security.profile))

    async def open(self) -> None:
        """Read the durable record; a URL or profile that the file has changed meanwhile is staged."""
        url, profile = self._config.url, self._config.security.profile
        text = (await self._store.get_all(NAMESPACE)).get(ROW)
        if text is None:
            await self._save(msgspec.structs.replace(self._state, file_url=url, file_profile=profile))
            return
        try:
            self._state = state = msgspec.json.decode(text, type=LinkState)
        except msgspec.DecodeError as error:
            log.error("ocpp security: the stored settings of the link cannot be read (%s); those of the file are used", error)
            return
        if (state.file_url, state.file_profile) == (url, profile):
            return
        wanted = link_state.newest(state)
        if state.file_url != url:
            wanted = msgspec.structs.replace(wanted, url=url)
        if state.file_profile != profile:
            wanted = msgspec.structs.replace(wanted, profile=profile)
        seen = msgspec.structs.replace(state, file_url=url, file_profile=profile)
        if state.proven:
            await self._save(link_state.stage(seen, wanted, "file", self._clock.wall()))
        else:  # nothing works yet that one could fall back to
            await self._save(msgspec.structs.replace(seen, active=wanted, staged=None, turn=ACTIVE))

    def change_config(self, config: OcppSection) -> None:
        """Take changed options; they count from the next connection on."""
        self._config = config

    @property
    def state(self) -> LinkState:
        """The durable record."""
        return self._state

    @property
    def limit(self) -> int:
        """Failed tries after which a change gives way."""
        return self._config.security.staged_tries

    # -- evse.ocpp.ports.Dialler ----------------------------------------------------------------------------------

    async def target(self) -> DialTarget:
        """Return the next target; `DeviceError` says what is missing and what to do, and counts as a failed try."""
        await self.revocation.renew()
        which, settings = link_state.in_turn(self._state)
        try:
            return await self._target(which, settings)
        except DeviceError as error:
            async with self._turn:
                await self._failed(which, str(error), refused=False)
            raise

    async def registered(self, target: DialTarget) -> None:
        """The CSMS has accepted the station: a staged change becomes active, one that has failed is given up.

        Raises `DeviceError` when that cannot be stored, or the change was dropped meanwhile.
        """
        tls = target.options.tls
        self.facts = tls.facts if isinstance(tls, StationContext) else None
        self.last_failure = self.last_problem = ""
        async with self._turn:
            if not self._current(target):
                raise DeviceError(DROPPED)
            await self._registered(target)

    async def _registered(self, target: DialTarget) -> None:
        before = self._state
        after = link_state.registered(before, target.name, self.limit, self._clock.wall())
        if after == before:
            return
        await self._save(after)
        if after.active != before.active:
            what = link_state.changed(msgspec.structs.replace(before, staged=after.active))
            log.info("ocpp security: changed: %s", what)
            self._note("ReconfigurationOfSecurityParameters", what)
            if after.active.key != before.active.key and before.active.key:
                await self._vault.remove(KEY_SECRET.format(before.active.key))
        if after.given_up is not None and before.given_up is None:
            log.warning("ocpp security: given up: %s: %s", after.given_up.changed, after.given_up.error)

    async def failed(self, target: DialTarget, error: str) -> None:
        """A connection came to nothing, or ended before the CSMS accepted the station."""
        tls = target.options.tls
        failure = tls.failure if isinstance(tls, StationContext) else None
        if failure is not None and failure.reason is Problem.ASKING:  # no fault of anybody: ask, and dial again
            await self.revocation.ask()
            self.dial_now()
            return
        self.last_problem = failure.reason or "" if failure is not None else ""
        refused = bool(_REFUSED.search(error)) or (failure is not None and failure.step is DialStep.CREDENTIALS)
        async with self._turn:
            if self._current(target):
                await self._failed(target.name, error if failure is None else failure.text, refused=refused)

    def waits(self, target: DialTarget) -> bool:
        """Tell whether ``target``, the last that was dialled, is of a change that was dropped, or one is staged and has its turn."""
        if target.name != ACTIVE:
            return not self._current(target)
        return self._state.staged is not None and self._state.turn == STAGED

    def _current(self, target: DialTarget) -> bool:
        """Tell whether a target is not one of a staged change that another one has replaced meanwhile."""
        generation = next((known for handed, known in self._handed if handed is target), self._generation)
        return target.name == ACTIVE or generation == self._generation

    async def _failed(self, which: str, error: str, *, refused: bool) -> None:
        self.last_failure = error
        after = link_state.failed(self._state, which, error, refused=refused, limit=self.limit)
        before = self._state
        if after == before:
            return
        await self._save(after)
        if after.turn != before.turn:
            log.warning("ocpp security: %s settings failed (%s); the %s ones have their turn", which, error, after.turn)
            if after.turn != STAGED:  # they have worked before: nobody should wait for them
                self.dial_now()

    async def _target(self, which: str, settings: LinkSettings) -> DialTarget:
        generation = self._generation
        url = self.url_of(settings)
        headers = {}
        if settings.profile in (1, 2):
            headers["Authorization"] = await self._authorization(settings)
        context = await self._context(url, settings) if url.startswith("wss://") else None
        target = DialTarget(
            url=charge_point_url(url, self._id), headers=headers, options=dial_options(self._config, context), name=which,
        )
        self._handed.append((target, generation))
        return target

    def url_of(self, settings: LinkSettings) -> str:
        """Return the URL that settings lead to: from profile 2 on it is always TLS."""
        if settings.profile < 2 or settings.url.lower().startswith("wss://"):
            return settings.url
        if self._config.tls.url and settings.url == self._config.url:
            return self._config.tls.url
        return "wss://" + settings.url.split("://", 1)[-1]

    async def _authorization(self, settings: LinkSettings) -> str:
        user = settings.user or self._id
        if ":" in user:
            raise DeviceError(
                f"ocpp.charge_point_id {self._id}: a name with a colon cannot be used with a password (RFC 7617); choose "
                "another one, or set AuthorizationUser"
            )
        key = await self._vault.read(KEY_SECRET.format(settings.key)) if settings.key else None
        if key is None:
            raise DeviceError(
                f"security profile {settings.profile} needs an AuthorizationKey and none is set; set the one that the CSMS "
                "knows: evsectl ocpp security set-key"
            )
        return auth_key.header(user, key, self._config.security.key_format)

    async def _context(self, url: str, settings: LinkSettings) -> StationContext:
        tls = self._config.tls
        certificate = key = ""
        if settings.profile == 3:
            own = self._certificates.own(settings.certificate)
            secret = await self._certificates.own_key(settings.certificate) if own is not None else None
            if own is None or secret is None:
                raise DeviceError(
                    "security profile 3 needs a certificate of the station and none is installed; let the CSMS sign one "
                    "(ExtendedTriggerMessage SignChargePointCertificate, or evsectl ocpp certs request), or an authority: --csr"
                )
            certificate, key = own.pem, secret
        plan = TlsPlan(
            host=urlsplit(url).hostname or "", verify=self.verify_of(settings), host_name=tls.host_name,
            roots=tuple(self._certificates.roots(CENTRAL)) if tls.roots != "system" else (),
            system_roots=tls.roots != "installed", ca_file=tls.ca_file, crl_file=tls.crl_file,
            min_version=tls.min_version, certificate=certificate, key=key, wall=self._clock.wall(),
            without_clock=tls.without_clock,
        )
        context = await self._offload(lambda: make_context(plan))
        context.judge, context.ask = self.revocation.judge, self.revocation.ask
        return context

    async def _post(self, url: str, body: bytes) -> bytes:
        return await post(url, body, dial_options(self._config, None), ASK_S)

    def verify_of(self, settings: LinkSettings) -> str:
        """Return how the certificate of the CSMS is checked: from profile 2 on fully, unless ``insecure`` says otherwise."""
        tls = self._config.tls
        return tls.verify if settings.profile < 2 or tls.insecure else "full"

    # -- changes --------------------------------------------------------------------------------------------------

    async def set_key(self, value: str, by: str) -> Outcome:
        """Take a new AuthorizationKey. Where it is in use it is staged, and the old one stays until the CSMS takes the new one.

        Raises `DeviceError` when it cannot be stored; nothing has changed then.
        """
        problem = auth_key.problem(value, self._config.security.key_format)
        if problem:
            return Outcome(status=REJECTED, reason=f"AuthorizationKey: {problem}")
        async with self._turn:
            return await self._set_key(value, by)

    async def _set_key(self, value: str, by: str) -> Outcome:
        state = self._state
        slot = next(name for name in SLOTS if name != state.active.key)
        await self._vault.write(KEY_SECRET.format(slot), value)
        wanted = msgspec.structs.replace(link_state.newest(state), key=slot)
        if wanted.profile in (1, 2) or state.active.profile in (1, 2):
            await self._stage(wanted, by)
            return Outcome(status=ACCEPTED, reason="tried with the next connection")
        active = msgspec.structs.replace(state.active, key=slot)
        staged = None if state.staged is None else wanted
        await self._save(msgspec.structs.replace(state, active=active, staged=staged, key_since=self._clock.wall()))
        if state.active.key:
            await self._vault.remove(KEY_SECRET.format(state.active.key))
        self._note("ReconfigurationOfSecurityParameters", "AuthorizationKey")
        return Outcome(status=ACCEPTED, reason=f"kept for profiles 1 and 2; profile {state.active.profile} does not use it")

    async def set_user(self, value: str, by: str) -> Outcome:
        """Take another user name beside the key, "" = the charge point id; staged where it is in use. Raises `DeviceError`."""
        problem = auth_key.user_problem(value)
        if problem:
            return Outcome(status=REJECTED, reason=f"AuthorizationUser: {problem}")
        async with self._turn:
            state = self._state
            wanted = msgspec.structs.replace(link_state.newest(state), user=value)
            if wanted.profile in (1, 2) or state.active.profile in (1, 2):
                await self._stage(wanted, by)
                return Outcome(status=ACCEPTED, reason="tried with the next connection")
            active = msgspec.structs.replace(state.active, user=value)
            await self._save(msgspec.structs.replace(state, active=active, staged=None if state.staged is None else wanted))
            return Outcome(status=ACCEPTED, reason=f"kept for profiles 1 and 2; profile {state.active.profile} does not use it")

    def weakens(self, profile: int, url: str) -> str:
        """Return what another profile and URL ("" = as it is) take away from the security of the link, "" = nothing."""
        active = self._state.active
        return link_weakened((active.profile, active.url), (profile, url or link_state.newest(self._state).url))

    async def set_profile(self, profile: int, url: str, by: str) -> Outcome:
        """Stage another profile and URL ("" = as it is). The CSMS (``by`` "csms") can only raise the profile, and only
        to one whose needs are met. Raises `DeviceError` when it cannot be stored.
        """
        async with self._turn:
            return await self._set_profile(profile, url, by)

    async def _set_profile(self, profile: int, url: str, by: str) -> Outcome:
        state = self._state
        wanted = msgspec.structs.replace(link_state.newest(state), profile=profile, url=url or link_state.newest(state).url)
        reason = self._needs(wanted)
        if by == "csms" and profile < state.active.profile:
            reason = f"SecurityProfile {state.active.profile} cannot be lowered to {profile} by the CSMS"
        if not 0 <= profile <= 3:
            reason = f"there is no security profile {profile}; use 0 to 3"
        reason = reason or self._url_problem(wanted, by)
        if reason:
            log.warning("ocpp security: change rejected: %s", reason)
            return Outcome(status=REJECTED, reason=reason)
        await self._stage(wanted, by)
        return Outcome(status=ACCEPTED, reason="tried with the next connection")

    async def take_certificate(self, chain: str, by: str) -> Outcome:
        """Take the chain of a CertificateSigned; with profile 3 it is staged. Raises `DeviceError` when it cannot be stored."""
        async with self._turn:
            slot, outcome = await self._certificates.signed(chain, self._state.active.certificate)
            if slot:
                await self._use_certificate(slot, by)
            return outcome

    async def _use_certificate(self, slot: str, by: str) -> None:
        state = self._state
        wanted = msgspec.structs.replace(link_state.newest(state), certificate=slot)
        if wanted.profile == 3 or state.active.profile == 3:
            await self._stage(wanted, by)
            return
        active = msgspec.structs.replace(state.active, certificate=slot)
        await self._save(msgspec.structs.replace(state, active=active, staged=None if state.staged is None else wanted))

    async def forget_staged(self) -> bool:
        """Drop a change that waits, and the note of one that was given up; tell whether there was any."""
        async with self._turn:
            state = self._state
            if state.staged is None and state.given_up is None:
                return False
            self._generation += 1
            await self._save(link_state.stage(state, state.active, "local", self._clock.wall()))
            self.reconnect(DROPPED)
            return True

    def _needs(self, wanted: LinkSettings) -> str:
        """Return what a profile lacks, "" = nothing."""
        if wanted.profile in (1, 2) and not wanted.key:
            return f"profile {wanted.profile} needs an AuthorizationKey; set one first"
        if wanted.profile >= 2 and self._config.tls.roots == "installed" and not self._config.tls.ca_file:
            missing = self._certificates.check_roots(CENTRAL)
            if missing:
                return f"profile {wanted.profile}: {missing}"
        if wanted.profile == 3:
            own = self._certificates.own(wanted.certificate)
            if own is None:
                return "profile 3 needs a certificate of the station; let the CSMS sign one first"
            if self._clock.wall_valid() and not own.info.not_before <= self._clock.wall() <= own.info.not_after:
                return "the certificate of the station is not valid now; let the CSMS sign a new one first"
        return ""

    def _url_problem(self, wanted: LinkSettings, by: str) -> str:
        try:
            parts = urlsplit(wanted.url)
            good = parts.scheme in ("ws", "wss") and bool(parts.hostname) and not (parts.username or parts.password)
            _ = parts.port
        except ValueError:
            good = False
        if not good or len(wanted.url) > URL_MAX or not wanted.url.isprintable():
            return "the URL must be ws://host/path or wss://host/path without user and password"
        active = self._state.active
        if by == "csms" and encrypted(active.profile, active.url) and not encrypted(wanted.profile, wanted.url):
            return "the CSMS cannot lead the station from wss:// to ws://"
        return ""

    async def _stage(self, wanted: LinkSettings, by: str) -> None:
        before, self._generation = self._state.staged, self._generation + 1
        await self._save(link_state.stage(self._state, wanted, by, self._clock.wall()))
        if before is not None and self._state.staged is None:
            self.reconnect(DROPPED)
        if self._state.staged is not None:
            self._note("ReconfigurationOfSecurityParameters", f"staged by {by}: {link_state.changed(self._state)}")
            self.reconnect(f"other settings of the link are tried: {link_state.changed(self._state)}")

    async def _save(self, state: LinkState) -> None:
        await self._store.put(NAMESPACE, ROW, msgspec.json.encode(state).decode())
        self._state = state
        self.changed()


__all__ = ["ACTIVE", "STAGED", "SecureDialler"]
