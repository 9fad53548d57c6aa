"""A station, a CSMS and a store around the client, under virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from random import Random
from typing import Any

import msgspec

from evse.config.model_ocpp import OcppSection
from evse.domain.base import DeviceError
from evse.domain.clock import Clock, ClockPort
from evse.domain.faults import FaultRecord
from evse.domain.limits import PowerLimit
from evse.domain.readings import MeterValues
from evse.domain.session import (
    AuthSource,
    ChargingState,
    OperationalStatus,
    SessionPhase,
    SessionRecord,
    StopReason,
)
from evse.domain.signing import SignedValues
from evse.domain.station import EvseSpec, StationSpec
from evse.domain.view import EvseView, StationView
from evse.domain.view_ac import AcView
from evse.lab.vloop import VirtualClock, VirtualLoop, run_virtual
from evse.ocpp.client import OcppClient
from evse.ocpp.ports import Dialler, Identity, StationPort, StorePort
from evse.sim.csms import SimCsms
from evse.storage.db import InlineExecutor, Store
from evse.transports.base import DIRECT, ByteStream, CanBus, DialOptions, Openers, SerialSettings, WebSocket
from evse.transports.memory import MemoryWebSocket

URL = "ws://csms.test/ocpp"


def evse_view(evse_id: int, **changes: Any) -> EvseView:
    """An EVSE that is free."""
    values: dict[str, Any] = {
        "evse_id": evse_id, "connector_id": 1, "phase": SessionPhase.IDLE, "charging_state": ChargingState.IDLE,
        "step": None, "plugged": False, "operational": OperationalStatus.OPERATIVE,
        "operational_backend": OperationalStatus.OPERATIVE, "operational_local": OperationalStatus.OPERATIVE,
        "reserved": False, "power_w": None, "voltage_mv": None, "current_ma": None, "soc_pct": None, "demand_mv": None,
        "demand_ma": None, "demand_w": None, "temperature_dc": None, "offered_w": 0, "limits": (), "chain": (),
        "isolation_kohm": None, "contactor_closed": False, "locked": False, "bms_stale": False, "auth_state": "none",
        "stop_reason": None, "session": None, "faults": (),
    }
    return EvseView(**(values | changes))


def ac_view(**changes: Any) -> AcView:
    """The AC side of an EVSE that charges with 16 A on three phases."""
    values: dict[str, Any] = {
        "pilot": "C", "pilot_mode": "pwm", "duty_bp": 2667, "offered_ma": 16_000, "physical_ma": 32_000, "phases": 3,
        "phases_wired": 3, "phases_next": 3, "phase_switch": False, "phases_switching": False, "contactor2_closed": None,
        "socket": True, "cable_ma": 32_000, "allowed": True, "pause": "", "release": "ocpp",
    }
    return AcView(**(values | changes))


class FakeStation:
    """`StationPort` whose state a test sets."""

    def __init__(self, clock: Clock, evses: int = 2) -> None:
        self.clock = clock
        self.evses = {n: evse_view(n) for n in range(1, evses + 1)}
        self.faults: tuple[FaultRecord, ...] = ()
        self.specs: dict[int, EvseSpec] = {}
        self.meters: dict[int, MeterValues] = {}
        self.done: list[tuple[Any, ...]] = []
        self.numbered: dict[str, tuple[int, bool]] = {}
        self.groups: dict[str, str] = {}
        self.accepts = True
        self.limits: dict[int, int] = {}
        self.limits_ma: dict[int, int | None] = {}
        self.limit_changes: list[tuple[int, dict[int, int]]] = []

    def spec(self) -> StationSpec:
        return StationSpec(station_id="T", evses=tuple(self.specs.get(n, EvseSpec(evse_id=n)) for n in self.evses))

    def view(self) -> StationView:
        return StationView(
            wall=self.clock.wall(), evses=tuple(self.evses.values()), faults=self.faults, site_power_w=None,
            site_limit_w=None, assigned_w=0, operational=OperationalStatus.OPERATIVE, plan_version=1,
        )

    def meter(self, evse_id: int) -> MeterValues | None:
        return self.meters.get(evse_id)

    async def remote_start(self, evse_id: int | None, id_token: str, parent: str = "") -> bool:
        self.done.append(("start", evse_id, id_token, parent) if parent else ("start", evse_id, id_token))
        return self.accepts

    async def reserve(self, evse_id: int, id_token: str, parent: str, until: int) -> bool:
        self.done.append(("reserve", evse_id, id_token, parent))
        if self.accepts:
            self.change(evse_id, reserved=True)
        return self.accepts

    async def cancel_reservation(self, evse_id: int) -> bool:
        self.done.append(("cancel", evse_id))
        self.change(evse_id, reserved=False)
        return True

    async def remote_stop(self, evse_id: int) -> bool:
        self.done.append(("stop", evse_id))
        return self.accepts

    async def set_availability(self, evse_id: int, operative: bool) -> str:
        self.done.append(("availability", evse_id, operative))
        return "Scheduled" if any(e.session is not None for e in self.evses.values()) and not operative else "Accepted"

    async def unlock(self, evse_id: int) -> str:
        self.done.append(("unlock", evse_id))
        return "Unlocked" if self.accepts else "UnlockFailed"

    async def reset(self, hard: bool) -> bool:
        self.done.append(("reset", hard))
        return True

    def transaction_numbered(
        self, evse_id: int, session_id: str, transaction_id: int, accepted: bool, parent: str = ""
    ) -> None:
        self.groups[session_id] = parent
        self.numbered[session_id] = (transaction_id, accepted)
        session = self.evses[evse_id].session
        if session is not None and session.session_id == session_id:
            session = msgspec.structs.replace(session, transaction_id=transaction_id)
            self.change(evse_id, session=session)

    def ratings(self) -> Mapping[int, int]:
        return {0: 200_000, **dict.fromkeys(self.evses, 150_000)}

    def set_limits(self, limits: Sequence[PowerLimit]) -> None:
        self.limits = {limit.evse_id: limit.power_w for limit in limits}
        self.limits_ma = {limit.evse_id: limit.current_ma for limit in limits}
        self.limit_changes.append((self.clock.wall(), dict(self.limits)))

    def change(self, evse_id: int, **changes: Any) -> None:
        self.evses[evse_id] = msgspec.structs.replace(self.evses[evse_id], **changes)


class CsmsOpeners:
    """`Openers` that reach a `SimCsms` only; keeps the client's ends."""

    def __init__(self, csms: SimCsms) -> None:
        self.csms = csms
        self.dials: list[int] = []
        self.sockets: list[MemoryWebSocket] = []

    async def open_websocket(
        self, url: str, subprotocols: Sequence[str], headers: Mapping[str, str], timeout_s: float,
        options: DialOptions = DIRECT,
    ) -> WebSocket:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        self.dials.append(loop.now_ns)
        ws = await self.csms.connect(url, subprotocols, headers)
        assert isinstance(ws, MemoryWebSocket)
        self.sockets.append(ws)
        return ws

    async def open_serial(self, settings: SerialSettings) -> ByteStream:
        raise DeviceError("no serial ports here")

    async def open_can(self, interface: str, channel: str, bitrate: int) -> CanBus:
        raise DeviceError("no CAN here")

    async def open_tcp(self, host: str, port: int) -> ByteStream:
        raise DeviceError("no TCP here")

    def list_serial(self) -> list[str]:
        return []


def ocpp_section(**config: Any) -> OcppSection:
    """A configuration that reaches `SimCsms` and takes no periodic readings unless told to."""
    return OcppSection(**{"enabled": True, "url": URL, "sample_interval_s": 0, **config})


def make_client(
    config: OcppSection, openers: Openers, clock: Clock, store: StorePort, station: StationPort, rng: Random,
    **ports: Any,
) -> OcppClient:
    """The client of the station "DC 1"; everything it sends is checked by the official schemas."""
    identity = Identity(charge_point_id="DC 1", vendor="V", model="M", serial="SN1", firmware="1.0")
    return OcppClient(config, identity, openers, clock, store, station, rng, check_outbound=True, **ports)


class Bench:
    """Everything around one client. ``await bench.start()`` runs it; `restart` is a kill and a new process."""

    def __init__(
        self, *, database: Path | str = ":memory:", evses: int = 2, seed: int = 1, specs: Sequence[EvseSpec] = (),
        **config: Any,
    ) -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        self.clock = VirtualClock(loop)
        self.csms = SimCsms(self.clock)
        self.openers = CsmsOpeners(self.csms)
        self.config = ocpp_section(**config)
        self.database = database
        self.seed = seed
        self.specs = specs
        self.evse_count = evses
        self.sessions = 0
        self.task: asyncio.Task[None] | None = None
        self.dialler: Dialler | None = None
        self.clock_port: ClockPort | None = None
        self.security: list[tuple[str, str]] = []  # events that were noted: (kind, technical detail)

    async def start(self, settle_s: float = 1.0) -> Bench:
        """Open the store, start the client, let it settle."""
        self.store = await Store.open(self.database, executor=InlineExecutor())
        self.station = FakeStation(self.clock, self.evse_count)
        self.station.specs = {spec.evse_id: spec for spec in self.specs}
        self.client = make_client(
            self.config, self.openers, self.clock, self.store, self.station, Random(self.seed), dialler=self.dialler,
            clock_port=self.clock_port, security=lambda kind, info: self.security.append((kind, info)),
        )
        await self.client.open()
        self.task = asyncio.get_running_loop().create_task(self.client.run())
        self.look()
        await asyncio.sleep(settle_s)
        return self

    async def kill(self) -> None:
        """End the client without any goodbye."""
        if self.task is not None:
            self.task.cancel()
            await asyncio.gather(self.task, return_exceptions=True)
            self.task = None
        await self.store.close()

    async def restart(self) -> None:
        """Kill, start again, and do what the runtime does with cut transactions."""
        await self.kill()
        await self.start(0)
        for cut in await self.store.open_transactions():
            last = await self.store.last_point(cut.session_id)
            meter = cut.meter_start_wh if last is None or last.meter_wh is None else last.meter_wh
            closed = msgspec.structs.replace(
                cut, ended_at=self.clock.wall(), unplugged_at=self.clock.wall(), meter_stop_wh=meter,
                stop_reason=StopReason.POWER_LOSS,
            )
            await self.store.end_transaction(closed, self.client.stop_row(closed))
            self.client.kick()

    def look(self) -> None:
        """What the runtime does twice a second."""
        self.client.on_view(self.station.view())

    async def begin(
        self, evse_id: int = 1, *, id_token: str = "CARD1", register_wh: int = 1000, signed: SignedValues | None = None
    ) -> SessionRecord:
        """Start a transaction as the runtime does: durable first, then visible."""
        self.sessions += 1
        session = SessionRecord(
            session_id=f"s{self.sessions}", evse_id=evse_id, connector_id=1, plugged_at=self.clock.wall(),
            started_at=self.clock.wall(), meter_start_wh=register_wh, soc_start_pct=20, id_token=id_token,
            auth_source=AuthSource.RFID, signed=signed,
        )
        await self.store.begin_transaction(session, self.client.start_row(session))
        self.station.meters[evse_id] = MeterValues(
            power_w=50_000, energy_import_wh=register_wh, voltage_mv=400_120, current_ma=125_000
        )
        self.station.change(
            evse_id, session=session, phase=SessionPhase.CHARGING, charging_state=ChargingState.CHARGING, plugged=True,
            soc_pct=20, offered_w=60_000, temperature_dc=315,
        )
        self.client.kick()
        self.look()
        return session

    async def end(
        self, evse_id: int = 1, *, energy_wh: int = 500, reason: StopReason = StopReason.LOCAL,
        signed: SignedValues | None = None,
    ) -> SessionRecord:
        """End the transaction of an EVSE as the runtime does."""
        session = self.station.evses[evse_id].session
        assert session is not None
        start_wh = session.meter_start_wh or 0
        closed = msgspec.structs.replace(
            session, ended_at=self.clock.wall(), meter_stop_wh=start_wh + energy_wh, energy_wh=energy_wh,
            soc_end_pct=60, stop_reason=reason, signed=signed or session.signed,
        )
        await self.store.end_transaction(closed, self.client.stop_row(closed))
        self.station.change(
            evse_id, session=closed, phase=SessionPhase.FINISHED, charging_state=ChargingState.EV_CONNECTED
        )
        self.client.kick()
        self.look()
        return closed

    async def leave(self, evse_id: int = 1) -> None:
        """Unplug."""
        session = self.station.evses[evse_id].session
        if session is not None:
            await self.store.save_session(msgspec.structs.replace(session, unplugged_at=self.clock.wall()))
        self.station.evses[evse_id] = evse_view(evse_id)
        self.look()


def under_virtual_time(main: Callable[[], Awaitable[None]]) -> None:
    """Run an async test body on a virtual loop."""

    async def body() -> None:
        await main()

    run_virtual(body())
