"""The OCPP 1.6J client: what is said over the link, and the public face of `evse.ocpp`.

Owner tasks of `OcppClient.run`: the link (`link.py`: dial, register, then heartbeat, status, outbox and ping side by
side until it ends), the watch of the calendar (`time_source.py`) and the sampler, which also work offline. What must
not be lost goes through the store (`queue.py`); what only matters now (status, heartbeat, readings outside
transactions) goes straight to the link.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from random import Random

import msgspec

from evse.config.model_ocpp import OcppSection
from evse.domain.base import DeviceError
from evse.domain.clock import Clock, ClockPort
from evse.domain.fault_table import FAULTS
from evse.domain.faults import FaultCode, FaultSpec
from evse.domain.records import OutboxRow
from evse.domain.session import SessionRecord
from evse.domain.station import EvseSpec
from evse.domain.view import Event, StationView
from evse.ocpp import v16
from evse.ocpp.authorize import Authorizer
from evse.ocpp.charging import Charging
from evse.ocpp.data_transfer import DataTransfers, MeterKey, keys_after_boot, lane_of
from evse.ocpp.dialler import PlainDialler, charge_point_url
from evse.ocpp.doctor import PAUSE_S, LiveLink, Report, examine, no_target
from evse.ocpp.doctor_words import BESIDE, LEFT_OUT
from evse.ocpp.engine import CallTimeout, Engine
from evse.ocpp.handlers import Handlers
from evse.ocpp.keys import KeyInfo, Keys
from evse.ocpp.late_time import LateTime
from evse.ocpp.link import Link, LinkEvent
from evse.ocpp.local_list import LocalList
from evse.ocpp.log import LoggedMessage, MessageLog
from evse.ocpp.messages import CallError, Payload
from evse.ocpp.ports import (
    NO_SECURITY,
    AuthResult,
    Dialler,
    DialTarget,
    Identity,
    Judge,
    SecurityNote,
    StationKeys,
    StationPort,
    StorePort,
)
from evse.ocpp.queue import Outbox, backend_of
from evse.ocpp.readings import Readings
from evse.ocpp.refused import RefusedCards
from evse.ocpp.registration import ACCEPTED, Registration, Unregistered
from evse.ocpp.reservations import Reservations
from evse.ocpp.resetting import Resetter
from evse.ocpp.service_restart import ServiceRestart
from evse.ocpp.status_said import StatusSpeaker
from evse.ocpp.time_source import VALID_FROM, ClockJump, TimeSource
from evse.ocpp.waiting import wait_for
from evse.transports.base import Openers, WebSocket, WsClosed
from evse.units import NS_PER_S, WallNs

NUMBERS_MAX = 256
"""Transaction numbers remembered beside the view."""


class OcppStatus(msgspec.Struct, frozen=True, kw_only=True):
    """The link as people see it."""

    url: str
    connected: bool
    registration: str  # Accepted, Pending, Rejected, "" before the first answer
    since: WallNs | None  # of the present connection state
    last_error: str
    sent: int
    received: int
    queued: int  # transaction messages not yet answered, parked ones included
    parked: int  # of these, given up after refusals
    heartbeat_s: int
    last_heartbeat: WallNs | None
    clock_offset_ms: int | None  # CSMS time minus ours at the last answer
    time_source: str = ""  # ntp, csms, system; "" = the calendar is not valid
    last_boot: WallNs | None = None  # when a BootNotification was last answered
    target: str = "active"  # which of the dialler's targets
    peer: str = ""  # address of the other end
    failures: int = 0  # dials in a row without a registered link that lived
    next_dial_s: int | None = None  # while waiting for the next dial
    ping_s: int = 0
    ping_timeout_s: int = 0
    foreign: int = 0  # messages for another back end, which wait for a decision


LinkJob = Callable[[Engine], Awaitable[None]]
"""Runs on every registered link beside the others, until it returns or the link ends."""


class OcppClient:
    """The station's side of OCPP 1.6J. Call `open` once, then run `run` for ever."""

    def __init__(
        self, config: OcppSection, identity: Identity, openers: Openers, clock: Clock, store: StorePort,
        station: StationPort, rng: Random, *, fault_specs: Mapping[FaultCode, FaultSpec] = FAULTS,
        check_outbound: bool = False, dialler: Dialler | None = None, clock_port: ClockPort | None = None,
        security: SecurityNote = NO_SECURITY,
    ) -> None:
        self.log = MessageLog()
        self.jobs: list[LinkJob] = []
        self.after_boot: list[LinkJob] = []  # the same, only on a link over which a BootNotification was accepted
        self.jumped: Callable[[ClockJump], None] = lambda jump: None
        self.key_changed: Callable[[str], None] = lambda key: None  # told when it is durable; "" = the file has changed
        self._config = config
        self._identity = identity
        self._clock = clock
        self._store = store
        self._station = station
        self._rng = rng
        self._check_outbound = check_outbound
        self._security = security
        self._keys = Keys(config, 0, store, station.spec().evses)
        self.dialler: Dialler = dialler or PlainDialler(config, identity.charge_point_id)
        self.link = Link(
            self.dialler, openers, clock, rng, security=security,
            target=DialTarget(url=charge_point_url(config.url, identity.charge_point_id)),
            make_engine=self._make_engine, talk=self._talk, ping=self._ping_times,
        )
        self.time = TimeSource(
            clock, clock_port, wanted=self._may_set_time, security=security,
            jumped=self._time_jumped, note=self.link.note,
        )
        self._registration = Registration(identity, self._keys, clock, self.time, self.link)
        self.judge: Judge = self.authorize
        self._local_list = LocalList(store, self._keys)
        self._authorizer = Authorizer(store, self._keys, clock, self.ask, self._local_list)
        self._late = LateTime(store, clock)
        self.time.arrived.append(self._late.arrived)
        self.queue = Outbox(
            store, self._keys, clock, self._answered, backend=backend_of(self.link.target.url),
            per_s=lambda: self._config.queue_per_s, timeless=self._late.again,
        )
        self._status = StatusSpeaker(self._keys, clock, fault_specs, self.link.note)
        self._readings = Readings(store, station, self._keys, clock, self.kick)
        self.charging = Charging(station, store, self._keys, clock, self)
        self._refused = RefusedCards(station, self._keys, self.charging.hold)
        self.reservations = Reservations(station, store, clock, fault_specs)
        self._resetter = Resetter(station, self._keys)
        self.handlers = Handlers(
            self, station, store, self._keys, self.charging, self._local_list, self.reservations,
            self._resetter,
        )
        self.data = DataTransfers(self.ask, clock, self.handlers.data_handlers)
        self.handlers.extensions.append(lambda: {"DataTransfer": self.data.on_request})
        self.meter_keys: Callable[[], Sequence[MeterKey]] = tuple  # of the meters that sign; none unless somebody knows them
        self.meter_keys_known: Callable[[], bool] = lambda: True  # False while a meter that signs has not told its key yet
        self.after_boot.append(self._send_meter_keys)
        self._numbers: dict[str, tuple[int, int]] = {}  # session -> (transaction, evse)
        self._count_kick = asyncio.Event()

    # -- for the runtime ------------------------------------------------------------------------------------------

    async def open(self) -> None:
        """Read durable keys, charging profiles and the length of the queue; before `run` and before the first `stop_row`."""
        await self._late.open()
        await self._keys.load()
        for key in self._keys.given():
            self.key_changed(key)
        self._keys.changed = self._key_changed
        await self._readings.load()
        await self.charging.load()
        await self.reservations.load()
        await self.queue.open()

    async def run(self) -> None:
        """Keep the link and take the readings, for ever."""
        self._keys.set_connectors(len(self._station.view().evses))
        async with asyncio.TaskGroup() as group:
            group.create_task(self._readings.run())
            group.create_task(self.charging.run())
            group.create_task(self.reservations.run())
            group.create_task(self._resetter.run())
            group.create_task(ServiceRestart(self._station, self._keys).run())
            group.create_task(self._count())
            group.create_task(self.time.run())
            group.create_task(self.link.run())

    @property
    def registration(self) -> str:
        """Accepted, Pending, Rejected, or "" before the first answer."""
        return self._registration.status

    @property
    def online(self) -> bool:
        """True while the CSMS has accepted the station and the link stands."""
        return self.link.connected and self.registration == ACCEPTED

    def summary(self) -> OcppStatus:
        """The link as people see it."""
        link, dial = self.link, self.link.next_dial
        ping_s, ping_timeout_s = self._ping_times()
        return OcppStatus(
            url=link.target.url, connected=link.connected, registration=self.registration, since=link.since,
            last_error=link.last_error, sent=self.log.sent, received=self.log.received,
            queued=self.queue.waiting + self.queue.parked, parked=self.queue.parked, foreign=self.queue.foreign,
            heartbeat_s=self._keys.number("HeartbeatInterval"), last_heartbeat=self.time.heard,
            clock_offset_ms=self.time.offset_ms, time_source=self.time.source, last_boot=self._registration.last_boot,
            target=link.target.name, peer=link.peer, failures=link.failures,
            next_dial_s=None if dial is None else max(0, dial - self._clock.now()) // NS_PER_S,
            ping_s=ping_s, ping_timeout_s=ping_timeout_s,
        )

    def link_events(self, limit: int) -> list[LinkEvent]:
        """Last events of the link (dialling, connected, registered, failed, closed), newest last."""
        return list(self.link.events)[-limit:] if limit > 0 else []

    def reconnect(self, reason: str) -> None:
        """End the link, or the pause before the next dial, and dial now; the back-off begins anew."""
        self.link.reconnect(reason, afresh=True)

    async def examine(self, *, pause: bool = False) -> Report:
        """Try the steps of a connection in order (`evse.ocpp.doctor`).

        A link that stands is not touched, and the report says what was left out; ``pause`` ends it, and the dialling, for
        `PAUSE_S` at most, so that every step is tried with nothing beside it. Raises `DeviceError` during such a pause of another.
        """
        if self.link.paused():
            raise DeviceError("somebody else examines the link at this moment")
        if not pause:
            dials = self.link.dials
            report = await self._examined()
            beside = not report.live and (self.link.dialling or self.link.connected or self.link.dials != dials)
            return msgspec.structs.replace(report, note=LEFT_OUT if report.live else BESIDE if beside else "")
        try:
            await self.link.pause(PAUSE_S, "ended for an examination")
            return await self._examined()
        finally:
            self.link.resume()

    async def _examined(self) -> Report:
        boot, link = v16.boot_payload(self._identity), self.link
        if link.connected:
            live = LiveLink(
                since=link.since, registration=self.registration, last_boot=self._registration.last_boot,
                offset_ms=self.time.offset_ms, heard=self.time.heard, heartbeat_s=self._keys.number("HeartbeatInterval"),
            )
            return await examine(link.target, self._clock, boot, live)
        try:
            target = await self.dialler.target()
        except DeviceError as error:
            return no_target(link.target.url, error)
        return await examine(target, self._clock, boot)

    def messages(self, limit: int, action: str = "") -> list[LoggedMessage]:
        """Last messages both ways, newest last; ``action`` "" = all."""
        return self.log.last(limit, action)

    @property
    def configuration(self) -> Keys:
        """The configuration keys themselves, for parts that guard or tell some of them."""
        return self._keys

    def keys(self) -> list[KeyInfo]:
        """All configuration keys."""
        return self._keys.all()

    async def set_key(self, key: str, value: str) -> str:
        """Set a key durably; return Accepted, Rejected or NotSupported."""
        return await self._keys.set(key, value)

    async def change_config(self, config: OcppSection, evses: tuple[EvseSpec, ...]) -> None:
        """Take the live options of a changed file; a running connection keeps its time limit for answers."""
        self._config = config
        await self._keys.change_defaults(config, evses)
        self.key_changed("")

    def key_number(self, key: str) -> int:
        """Value of a whole-number key, e.g. ``ConnectionTimeOut``."""
        return self._keys.number(key)

    def station_keys(self) -> StationKeys:
        """What the keys say about the station itself."""
        keys = self._keys
        return StationKeys(
            connection_timeout_s=keys.number("ConnectionTimeOut"), light_pct=keys.number("LightIntensity"),
            needs_time=not keys.flag("allowTxWithInvalidTime"),
            unlock_on_ev_disconnect=keys.given_flag("UnlockConnectorOnEVSideDisconnect"),
            same_token_stops=keys.given_flag("PresentingRFIDEndCharging"), free=keys.given_flag("FreeMode"),
            free_token=keys.given_text("FreeModeUID"),
            blink_repeat=keys.number("BlinkRepeat") if keys.find("BlinkRepeat") is not None else 0,
        )

    async def authorize(self, id_token: str, evse_id: int) -> AuthResult:
        """May this token charge? The CSMS, else cache and offline policy."""
        return await self._authorizer.authorize(id_token)

    async def admit(self, id_token: str, evse_id: int) -> AuthResult:
        """May this token charge? Asks `judge`, by default the CSMS; the station puts its own lists before it."""
        return await self.judge(id_token, evse_id)

    @property
    def list_conflict(self) -> bool:
        """Whether the CSMS has refused a card that its local list accepts, and has sent no new list since."""
        return self._local_list.conflict

    def start_row(self, session: SessionRecord) -> OutboxRow:
        """StartTransaction of a session, to be stored with it in one commit. The same session gives the same row."""
        row = v16.start_row(session, self.reservations.number_for(session))
        return msgspec.structs.replace(row, backend=self.queue.backend)

    def stop_row(self, session: SessionRecord) -> OutboxRow:
        """StopTransaction of a session, to be stored with it in one commit. The same session gives the same id."""
        self.reservations.ended_with(session)
        unlocked = self.handlers.unlocked.get(session.evse_id) == session.session_id
        data = self._readings.stop_data(session)
        return v16.stop_row(session, self._clock.wall(), data, unlocked=unlocked, reset=self._resetter.asked)

    def kick(self) -> None:
        """A row was stored: deliver it."""
        self.queue.kick()
        self._count_kick.set()

    def on_event(self, event: Event) -> None:
        """An event of the core: those of a transaction may have left a row."""
        self.reservations.on_event(event)
        if event.kind.startswith("transaction."):
            self.kick()

    def on_view(self, view: StationView) -> None:
        """The station as it stands: wanted states and running transactions. Cheap; may be called often."""
        self._status.on_view(view, self._config, list_conflict=self._local_list.conflict)
        self._readings.on_view(view)
        self.charging.on_view(view)
        self._refused.on_view(view)
        self.reservations.on_view(view)

    def evse_of_transaction(self, transaction_id: int) -> int | None:
        """EVSE on which a transaction of that number runs now."""
        for evse in self._station.view().evses:
            session = evse.session
            if session is None or session.started_at is None or session.ended_at is not None:
                continue
            number = session.transaction_id
            if number is None:
                number = self._numbers.get(session.session_id, (None, 0))[0]
            if number == transaction_id:
                return evse.evse_id
        return None

    def _key_changed(self, key: str) -> None:
        self._registration.kick()
        self.link.ping_changed()
        self._status.kick()
        self._readings.kick()
        self.charging.refresh()
        self.key_changed(key)

    def _may_set_time(self) -> bool:
        if not self._keys.flag("useAsTimeSource"):
            return False
        running = any(
            evse.session is not None and evse.session.started_at is not None and evse.session.ended_at is None
            for evse in self._station.view().evses
        )
        return not running or self._keys.flag("AllowTimeSyncDuringSession") or not self._clock.wall_valid()

    def _time_jumped(self, jump: ClockJump) -> None:
        if jump.first:
            self._status.board.time_arrived(jump.by, VALID_FROM)
        self._readings.kick()
        self.charging.refresh()
        self.jumped(jump)

    async def _count(self) -> None:
        while True:
            await wait_for(self._count_kick, None)
            with contextlib.suppress(DeviceError):
                await self.queue.count()

    # -- the link -------------------------------------------------------------------------------------------------

    def _make_engine(self, ws: WebSocket) -> Engine:
        return Engine(
            ws, clock=self._clock, rng=self._rng, handlers=self.handlers.table(), log_=self.log,
            timeout_s=float(self._config.call_timeout_s), check_outbound=self._check_outbound,
            security=self._security, lane=lane_of,
        )

    def _ping_times(self) -> tuple[int, int]:
        return self._keys.number("WebSocketPingInterval"), self._keys.number("webSocketPingTimeout")

    async def _talk(self, engine: Engine) -> None:
        """Register, then say everything side by side until the link ends; again when the registration is taken back."""
        await self._registration.greet(engine, self.link.target)
        while True:
            if self._registration.booted:
                self.on_view(self._station.view())
                self._status.board.force()
                with contextlib.suppress(DeviceError):
                    await self._store.outbox_unpark()
            await self.link.registered()
            try:
                await self._say_everything(engine)
            except Unregistered:
                await self._registration.register(engine)

    async def _say_everything(self, engine: Engine) -> None:
        extra = [*self.jobs, *(self.after_boot if self._registration.booted else ())]
        jobs = (
            self._registration.beat(engine), self._registration.lost(), self._status.run(engine),
            self.queue.run(engine, self.link.target.url), self._readings.send(engine), *(self._guarded(job, engine) for job in extra),
        )
        tasks = [asyncio.ensure_future(job) for job in jobs]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
        finally:
            for task in tasks:
                task.cancel()
            ends = await asyncio.gather(*tasks, return_exceptions=True)
        for end in ends:
            if isinstance(end, Exception):
                raise end

    async def _guarded(self, job: LinkJob, engine: Engine) -> None:
        """A refusal that a job has not expected is noted and does not end the link."""
        try:
            await job(engine)
        except (CallError, CallTimeout, DeviceError) as error:
            self.link.note(str(error))

    # -- answers and requests -------------------------------------------------------------------------------------

    async def ask(self, action: str, payload: Payload) -> Payload:
        """Send a request; raises `CallError`, `CallTimeout`, and `WsClosed` also while the station is not registered."""
        engine = self.link.engine
        if engine is None or self.registration != ACCEPTED:
            raise WsClosed(clean=False, detail="offline")
        return await engine.call(action, payload)

    async def data_transfer(self, vendor_id: str, message_id: str | None, data: str | None) -> Payload:
        """Send a vendor message unchanged; None leaves a field out. See `DataTransfers.send`."""
        return await self.data.send(vendor_id, message_id, data)

    async def _send_meter_keys(self, engine: Engine) -> None:
        await keys_after_boot(
            self.data, lambda: self._keys.flag("sendMeterPublicKeyOnBootNotification"), self.meter_keys,
            lambda: (self._keys.text("VendorAtKeyTransfer"), self._keys.text("MessageAtKeyTransfer")), self.meter_keys_known,
        )

    async def _answered(self, row: OutboxRow, answer: Payload) -> None:
        """An answer to a transaction message is durable: tell the station, remember the card."""
        sent: Payload = msgspec.json.decode(row.payload)
        info: Payload | None = answer.get("idTagInfo")
        if row.action == "StartTransaction" and info is not None:  # first: the link may end while a card is stored
            number, evse_id = int(answer["transactionId"]), int(sent["connectorId"])
            self._numbers[row.session_id] = (number, evse_id)
            while len(self._numbers) > NUMBERS_MAX:
                self._numbers.pop(next(iter(self._numbers)))
            parent = str(info.get("parentIdTag", ""))
            self._refused.numbered(evse_id, row.session_id, number, str(info["status"]), parent)
        if info is not None and sent.get("idTag"):
            await self._authorizer.learn(str(sent["idTag"]), info)

    async def trigger(self, message: str, connector_id: int | None) -> None:
        """Send a message that the CSMS asked for (also while Pending)."""
        engine = self.link.engine
        if engine is None:
            return
        match message:
            case "BootNotification":
                await self._registration.boot(engine)
            case "Heartbeat":
                await self._registration.heartbeat(engine)
            case "StatusNotification":
                self.on_view(self._station.view())
                self._status.board.force(connector_id)
                if self.registration == ACCEPTED:
                    self._status.kick()
                    return
                await self._status.say_forced(engine)
            case "MeterValues":
                await self._readings.trigger(engine, connector_id, registered=self.registration == ACCEPTED)
            case _:
                pass
