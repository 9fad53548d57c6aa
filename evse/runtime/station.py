"""The whole daemon without its process: everything wired, startable under real or virtual time.

The same object runs behind ``evsed`` on hardware, behind the demo on the simulator, and inside the laboratory under
virtual time. It owns the control loop, the drivers, storage, back end and planner shell, and hands views and events
to whoever subscribed.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from pathlib import Path
from random import Random

import msgspec

from evse import __version__
from evse.access.whitelist import WhitelistKeeper
from evse.config.live import in_force
from evse.config.model import StationConfig
from evse.config.options import diff
from evse.config.spec import station_spec
from evse.core.context import TEXT_MAX
from evse.core.inputs import AnyCommand, Inputs, NoteTeaching, TokenPresented
from evse.core.outputs import Outputs
from evse.core.tick import initial_state
from evse.core.view import view as make_view
from evse.devices.polled import Offload, in_thread
from evse.domain.clock import Clock
from evse.domain.faults import FaultCode, FaultRecord
from evse.domain.firmware import Firmware
from evse.domain.readings import Sample
from evse.domain.records import PointRecord
from evse.domain.session import SessionPhase, SessionRecord, StopReason
from evse.domain.view import Event, StationView
from evse.ocpp.client import OcppClient
from evse.ocpp.security.facade import Security
from evse.ocpp.transfers.ports import Carrier
from evse.ocpp.transfers.transfers import Transfers
from evse.runtime.admission import Admission
from evse.runtime.autocharge import Autocharge
from evse.runtime.backend_wiring import make_client, save_backend
from evse.runtime.detecting import Detector
from evse.runtime.effects import EffectRunner
from evse.runtime.key_rules import with_keys
from evse.runtime.learning import Learner
from evse.runtime.loop import ControlLoop
from evse.runtime.planning import PlannerShell
from evse.runtime.recorder import Recorder
from evse.runtime.securing import make_vault, open_security
from evse.runtime.settings import load_availability, load_planner_settings, save_availability, with_override
from evse.runtime.supervisor import Supervisor
from evse.runtime.tapping import Taps
from evse.runtime.thinking import Here, Thinker
from evse.runtime.totals_store import TotalsKeeper
from evse.runtime.transferring import firmware_version, make_installer, make_transfers
from evse.runtime.views import transaction_runs
from evse.runtime.wiring import Devices, build_devices
from evse.storage.db import Store
from evse.storage.executor import StorageError
from evse.transports.base import Openers
from evse.units import NS_PER_MS, NS_PER_S, Instant

log = logging.getLogger(__name__)

VIEW_PERIOD_S = 0.5
VIEW_PERIOD_NS = 500 * NS_PER_MS
POINT_PERIOD_NS = 10 * NS_PER_S
TRACE_GAP_NS = 60 * NS_PER_S
EVENTS_WAITING_MAX = 4096
EVENTS_RETRY_S = 1.0

UNHURRIED_EVENTS = frozenset({"step.changed", "limit.changed", "token.presented"})
UNHURRIED_S = 5.0
"""A power cut may lose this much of the history of steps and limits; nothing that counts waits."""

EventSink = Callable[[tuple[Event, ...]], None]
ViewSink = Callable[[StationView], None]


class Station:
    """One station. Create with `Station.open`, run with `run`, end with `close`."""

    def __init__(
        self,
        config: StationConfig,
        *,
        config_path: Path | None,
        data_dir: Path,
        openers: Openers,
        clock: Clock,
        store: Store,
        rng: Random,
        offload: Offload = in_thread,
        firmware: Firmware | None = None,
        carrier: Carrier | None = None,
    ) -> None:
        """``firmware`` and ``carrier`` (of files) take the place of what the configuration and the network give."""
        self.config = config
        """What runs: the file's live options, the others as they were at the start."""
        self.file_config = config
        """What the file says now."""
        self.config_path = config_path
        self.data_dir = data_dir
        self.clock = clock
        self.store = store
        self.openers = openers
        self.offload = offload
        self.firmware = firmware
        self.carrier = carrier
        self.vault = make_vault(self)
        self.security: Security | None = None
        self.transfers: Transfers | None = None
        self.spec = station_spec(config)
        self.devices: Devices = build_devices(config, openers, clock, rng, offload=offload)
        self.detector = Detector(openers, clock, self.devices.buses)
        self.taps = Taps()
        self.started_wall = clock.wall()
        self.supervisor = Supervisor()
        self.event_sinks: list[EventSink] = []
        self.view_sinks: list[ViewSink] = []
        self.reset_requested: str = ""
        self.thinker: Thinker = Here()
        self._rng = rng
        self._events: list[Event] = []
        self._events_ready = asyncio.Event()
        self._urgent = asyncio.Event()
        self._last_trace: Instant | None = None
        self._last_point: dict[int, Instant] = {}
        self._point_period = POINT_PERIOD_NS
        self._view: StationView | None = None
        self._view_tick = -1

    async def open(self) -> None:
        """Load what must survive a restart, close transactions that a power cut left open, wire the loop."""
        event_seq = await self.store.last_event_seq()
        now = self.clock.now()
        settings = await load_planner_settings(self.store, self.config)
        self.planner = PlannerShell(self.spec, settings, now, self.devices.field.input_level, self.config.station.timezone, self.thinker)
        self.planner.file_settings = await load_planner_settings(None, self.config)
        self.recorder = Recorder(self.spec)
        age_ns = self.config.ocpp.meter_age_s * NS_PER_S
        self._point_period = min(POINT_PERIOD_NS, age_ns // 3)
        self.store.points_flush_ns = age_ns - 2 * self._point_period - VIEW_PERIOD_NS
        installer = make_installer(self)
        self.firmware_version = await firmware_version(installer)
        self.security = await open_security(self)
        self.ocpp: OcppClient | None = make_client(self, self._rng)
        if self.ocpp is not None:
            await self.ocpp.open()
            self.transfers = make_transfers(self, self.ocpp, installer, self._rng, self.security)
            await self.transfers.load()
        event_seq = await self._close_cut_transactions(event_seq)
        self.totals = await TotalsKeeper.open(self.store, self.planner.totals)
        state = initial_state(self.spec, now, availability=await load_availability(self.store), event_seq=event_seq)
        self.loop = ControlLoop(self.spec, state, self.devices, self.clock, self.planner, self.recorder, self._on_outputs)
        await self._open_access()
        self.effects = EffectRunner(self.store, self.loop, self.ocpp, self.admission, self.devices.signers)

    async def _open_access(self) -> None:
        """Load the white list; who decides about cards and vehicles, and what learns new ones."""
        self.whitelist = WhitelistKeeper(self.store, self.clock.wall)
        await self.whitelist.load()
        self.admission = Admission(
            self.whitelist, lambda: self.config.access, self.clock, self.ocpp, self.spec.evses
        )
        if self.ocpp is not None:
            self.ocpp.judge = self.admission.card
        self.learner = Learner(self.whitelist, self.clock, self.announce)
        self.autocharge = Autocharge(
            self.loop,
            self.admission,
            self.learner,
            evses=self.spec.evses,
            view=self.view,
            evcc_id=self._evcc_id,
            now=self.clock.now,
            enabled=lambda: self.config.access.autocharge,
            announce=self.announce,
        )

    async def _close_cut_transactions(self, event_seq: int) -> int:
        """Stop with PowerLoss what was charging when the power went, each exactly once, with the last known meter value."""
        for session in await self.store.open_transactions():
            last = await self.store.last_point(session.session_id)
            ended = cut_session(session, last)
            row = self.ocpp.stop_row(ended) if self.ocpp else None
            await self.store.end_transaction(ended, row)
            event_seq += 1
            event = Event(
                seq=event_seq,
                wall=self.clock.wall(),
                kind="transaction.ended",
                evse_id=session.evse_id,
                data={
                    "session_id": session.session_id,
                    "reason": StopReason.POWER_LOSS.value,
                    "energy_wh": ended.energy_wh,
                },
            )
            await self.store.append_events([event])
            log.warning(
                "session %s on EVSE %d was cut by power loss and is closed", session.session_id, session.evse_id
            )
        for session in await self.store.open_sessions():  # plugged in without a transaction when the power went
            await self.store.save_session(msgspec.structs.replace(session, unplugged_at=self.clock.wall()))
        return event_seq

    def start(self) -> None:
        """Start all owner tasks; the control loop first."""
        self.supervisor.start("control loop", self.loop.run)
        self.supervisor.start("effects", self.effects.run)
        for name, driver in self.devices.drivers():
            self.supervisor.start(name, driver.run)
        self.supervisor.start("field devices", self.devices.field.run)
        self.supervisor.start("readers", self._read_tokens)
        self.supervisor.start("admission", self.admission.run)
        self.supervisor.start("learning", self.learner.run)
        self.supervisor.start("autocharge", self.autocharge.run)
        self.supervisor.start("events", self._write_events)
        self.supervisor.start("views", self._publish_views)
        self.supervisor.start("analytics", self.totals.run)
        if self.ocpp is not None:
            self.supervisor.start("ocpp", self.ocpp.run)
        if self.security is not None:
            self.supervisor.start("ocpp security", self.security.run)
        if self.transfers is not None:
            self.supervisor.start("transfers", self.transfers.run)

    async def close(self) -> None:
        """Take the energy away first, then stop everything and write what is left."""
        self.loop.safe()
        await self.detector.close()
        await asyncio.sleep(0.1)
        await self.supervisor.stop()
        await self.effects.drain()
        await self.totals.save()
        await save_backend(self)
        try:
            await self._flush_events()
        except StorageError as error:
            log.error("%d events are lost at the end: %s", len(self._events), error)

    def view(self) -> StationView:
        """The station after the last tick; made at most once per tick."""
        if self._view is None or self._view_tick != self.loop.stats.count:
            inputs = self.loop.inputs
            if inputs is None:
                inputs = self.loop.snapshot(())
            made = make_view(self.spec, self.loop.state, inputs, self.loop.now)
            made = self.planner.shown(made, self.loop.now)
            self._view = _with_loop_fault(made, self.loop.fault) if self.loop.fault else made
            self._view_tick = self.loop.stats.count
        return self._view

    def _on_outputs(self, outputs: Outputs, inputs: Inputs, now: Instant) -> None:
        for effect in outputs.effects:
            self.effects.put(effect)
        if not outputs.events:
            return
        asyncio.get_running_loop().call_soon(self._tell_backend, outputs.events)
        self._publish(outputs.events)
        for event in outputs.events:
            if event.kind == "fault.raised":
                self._trace_fault(event, now)

    def announce(self, kind: str, evse_id: int, data: dict[str, str | int | bool | None]) -> Event:
        """Number, store and publish a fact of the shell (docs/events.md); call it between two ticks only."""
        event = self.loop.number(kind, evse_id, data)
        self._publish((event,))
        if kind == "whitelist.learn_ended":
            self._note_learning(evse_id, str(data.get("result")), str(data.get("reader")))
        return event

    def _note_learning(self, evse_id: int, result: str, reader: str) -> None:
        """Tell event actions of a card that was learned, or could not be."""
        what = {"learned": "in", "failed": "failed", "expired": "failed"}.get(result)
        served = next((r.evses for r in self.config.reader if r.name == reader), (evse_id,))
        for number in served if what else ():
            self.loop.submit(_taught(number, what or ""))

    def note_forgotten(self) -> None:
        """Tell event actions that a card was taken off the station's own list."""
        self.loop.submit(_taught(0, "out"))

    def _publish(self, events: tuple[Event, ...]) -> None:
        """Queue events for the database and hand them to whoever listens."""
        self._events += events
        del self._events[:-EVENTS_WAITING_MAX]
        self._events_ready.set()
        if any(event.kind not in UNHURRIED_EVENTS for event in events):
            self._urgent.set()
        for event in events:
            log.info("%s evse=%d %s", event.kind, event.evse_id, event.data)
        for sink in self.event_sinks:
            try:
                sink(events)
            except Exception:  # somebody who watches must not end a charging session
                log.exception("a listener of events failed")

    def _tell_backend(self, events: tuple[Event, ...]) -> None:
        if self.ocpp is not None:
            for event in events:
                self.ocpp.on_event(event)
            self.ocpp.on_view(self.view())

    def _trace_fault(self, event: Event, now: Instant) -> None:
        if self._last_trace is not None and now - self._last_trace < TRACE_GAP_NS:
            return
        self._last_trace = now
        code = str(event.data.get("code", "fault"))
        asyncio.get_running_loop().call_later(2.0, self.dump_trace, f"{code} on EVSE {event.evse_id}")

    def dump_trace(self, reason: str) -> tuple[Path, int, int]:
        """Write the recorder to a file; return path, ticks and bytes. The oldest beyond 20 files are removed."""
        folder = self.data_dir / "traces"
        path = folder / f"trace-{self.clock.wall() // NS_PER_S}-{self.loop.stats.count}.evsetrace"
        ticks = self.recorder.ticks
        size = self.recorder.dump(path, reason=reason, version=__version__)
        for old in sorted(folder.glob("trace-*.evsetrace"))[:-20]:
            old.unlink(missing_ok=True)
        return path, ticks, size

    async def _read_tokens(self) -> None:
        served = {reader.name: tuple(reader.evses) for reader in self.config.reader}
        while True:
            for name, reader in self.devices.readers.items():
                for token in reader.take():
                    if not (self.taps.card(name, token) or self.learner.card(name, token)):
                        self.autocharge.card_read(served[name])
                        self.loop.submit(_presented(name, token, served[name]))
            await asyncio.sleep(0.1)

    def _evcc_id(self, evse_id: int) -> str:
        """What the vehicle on an EVSE calls itself, as its board heard it; "" without a vehicle that talks."""
        reading = self.devices.boards[evse_id].reading()
        return reading.value.evcc_id if isinstance(reading, Sample) else ""

    async def _write_events(self) -> None:
        """Store what counts at once; steps and limits wait for company, so that flash is not worn by them."""
        while True:
            await self._events_ready.wait()
            self._events_ready.clear()
            if all(event.kind in UNHURRIED_EVENTS for event in self._events):
                # Not wait_for: in Python 3.11 it swallows a cancellation that comes together with the event.
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(UNHURRIED_S):
                        await self._urgent.wait()
            self._urgent.clear()
            while self._events:
                try:
                    await self._flush_events()
                except StorageError as error:  # they stay in memory, the newest EVENTS_WAITING_MAX of them
                    log.error("storage: %s; %d events wait for it", error, len(self._events))
                    await asyncio.sleep(EVENTS_RETRY_S)

    async def _flush_events(self) -> None:
        """Store what waits; raise `StorageError` with everything still waiting."""
        events, self._events = self._events, []
        if not events:
            return
        try:
            if any(event.kind == "availability.changed" for event in events):
                await save_availability(self.store, self.loop.state.availability)
            await self.store.append_events(events)
        except StorageError:
            self._events = [*events, *self._events][-EVENTS_WAITING_MAX:]
            raise

    async def change_config(self, config: StationConfig, who: str) -> None:
        """Put the live options of a changed file in force; the rest waits for a restart (`restart_needed`)."""
        self.file_config = config
        self.config = config = in_force(self.config, config)
        self.devices.apply_live(config)
        spec = station_spec(config)
        if self.ocpp is not None:
            await self.ocpp.change_config(config.ocpp, spec.evses)
            if self.security is not None:
                self.security.change_config(config.ocpp)
            spec = with_keys(spec, self.ocpp.station_keys())
        self.spec = spec
        self.loop.change_spec(spec)
        self.planner.change_spec(spec, config.station.timezone)
        settings = await load_planner_settings(None, config)
        changed = with_override(settings, self.planner.file_settings, self.planner.settings)
        self.planner.file_settings = settings
        self.planner.change(changed, self.clock.now(), who)

    def restart_needed(self) -> tuple[str, ...]:
        """Keys whose value in the file waits for a restart."""
        return tuple(change.key for change in diff(self.config, self.file_config))

    async def _publish_views(self) -> None:
        while True:
            await asyncio.sleep(VIEW_PERIOD_S)
            view = self.view()
            if self.ocpp is not None:
                self.ocpp.on_view(view)
                self.loop.change_spec(with_keys(self.loop.spec, self.ocpp.station_keys()))
                self.loop.backend_online = self.ocpp.online
                self.loop.list_conflict = self.ocpp.list_conflict
            await self._save_points(view)
            for sink in self.view_sinks:
                try:
                    sink(view)
                except Exception:  # the others are told all the same
                    log.exception("a listener of views failed")

    async def _save_points(self, view: StationView) -> None:
        now = self.clock.now()
        points = []
        for evse in view.evses:
            session = evse.session
            if session is None or not transaction_runs(evse):
                self._last_point.pop(evse.evse_id, None)
                continue
            last = self._last_point.get(evse.evse_id)
            if last is not None and now - last < self._point_period:
                continue
            self._last_point[evse.evse_id] = now
            points.append(
                PointRecord(
                    session_id=session.session_id,
                    wall=view.wall,
                    power_w=evse.power_w or 0,
                    soc_pct=evse.soc_pct,
                    energy_wh=session.energy_wh,
                    meter_wh=None if session.meter_start_wh is None else session.meter_start_wh + session.energy_wh,
                )
            )
        if points:
            try:
                await self.store.add_points(points)
            except StorageError as error:  # the store keeps the newest; screens and back end must not wait for a disk
                log.error("storage: %s", error)

    def site_power_w(self) -> int | None:
        """Power at the site meter now, W; None without a fresh reading."""
        reading = self.loop.meter(0)
        return reading.value.power_w if isinstance(reading, Sample) else None


def _with_loop_fault(view: StationView, text: str) -> StationView:
    """Show F19 although the tick that would raise it does not end: then `view` is of the last good tick."""
    if any(record.code is FaultCode.INTERNAL for record in view.faults):
        return view
    record = FaultRecord(
        code=FaultCode.INTERNAL,
        evse_id=0,
        detail=text[:TEXT_MAX],
        first_seen=view.wall,
        last_seen=view.wall,
        count=1,
        present=True,
    )
    evses = tuple(msgspec.structs.replace(evse, phase=SessionPhase.FAULTED) for evse in view.evses)
    return msgspec.structs.replace(view, faults=(record, *view.faults), evses=evses)


def _taught(evse_id: int, what: str) -> Callable[[int], AnyCommand]:
    return lambda seq: NoteTeaching(seq=seq, evse_id=evse_id, what=what)


def _presented(reader: str, token: str, evse_ids: tuple[int, ...]) -> Callable[[int], AnyCommand]:
    return lambda seq: TokenPresented(seq=seq, reader=reader, id_token=token, evse_ids=evse_ids)


def cut_session(session: SessionRecord, last: PointRecord | None) -> SessionRecord:
    """Return ``session`` as a power cut ended it: at its last stored point, or at its start if there is none."""
    energy = last.energy_wh if last is not None else session.energy_wh
    ended_at = session.started_at
    if last is not None:  # never before its start, although the calendar may have been set back meanwhile
        ended_at = max(last.wall, session.started_at or session.plugged_at)
    return SessionRecord(
        session_id=session.session_id,
        evse_id=session.evse_id,
        connector_id=session.connector_id,
        plugged_at=session.plugged_at,
        started_at=session.started_at,
        ended_at=ended_at,
        unplugged_at=ended_at,
        energy_wh=energy,
        meter_start_wh=session.meter_start_wh,
        meter_stop_wh=None if session.meter_start_wh is None else session.meter_start_wh + energy,
        soc_start_pct=session.soc_start_pct,
        soc_end_pct=last.soc_pct if last is not None else session.soc_start_pct,
        power_max_w=session.power_max_w,
        auth_source=session.auth_source,
        id_token=session.id_token,
        evcc_id=session.evcc_id,
        transaction_id=session.transaction_id,
        stop_reason=StopReason.POWER_LOSS,
        fault=session.fault,
        signed=session.signed,
    )
