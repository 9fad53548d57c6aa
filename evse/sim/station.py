"""The simulated station: every device that a configuration names, at the ports that it names, over one world.

`SimStation` builds boards, module groups, meters and readers from a `StationConfig` and runs physics every 50 ms. The
product reaches it through `openers()` (in memory, any clock) or through ptys, CAN and sockets (`evse.sim.main`). It
reads nothing of the product but bytes.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import random
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import msgspec

from evse.config.meter_profiles import load_profile
from evse.config.model import MeterSection, StationConfig
from evse.domain.ac import PpState
from evse.domain.base import ConfigError
from evse.domain.clock import Clock
from evse.domain.readings import MeterValues
from evse.sim.control_files import Host, make_store, no_host, real_host
from evse.sim.csms import SimCsms
from evse.sim.curves import find_car, load_cars
from evse.sim.ev import CHANGEABLE, FAST, NORMAL, EvSpec, spec_of
from evse.sim.ev_ac import AC_CHANGEABLE, AC_FAST, AC_NORMAL, AcEvSpec, ac_spec_of
from evse.sim.field import ac_plant, ac_values, make_recloser, site_values
from evse.sim.hw.board import SimBoard
from evse.sim.hw.board_ac import SimAcBoard
from evse.sim.hw.board_plant import BoardPlant
from evse.sim.hw.infypower import SimInfypower, SimModule
from evse.sim.hw.modbus_meter import SimModbusBus, SimModbusMeter, SimUnit
from evse.sim.hw.recloser import SimRecloser
from evse.sim.hw.rfid_base import SimReader
from evse.sim.hw.rfid_hid import SimHid
from evse.sim.hw.rfid_line import SimLine
from evse.sim.hw.rfid_pn532 import SimPn532
from evse.sim.hw.rfid_sl032 import SimSl032
from evse.sim.hw.rfid_twn4 import SimTwn4
from evse.sim.hw.sysfs_io import SimIo
from evse.sim.matrix import ContactRow
from evse.sim.openers import CanPort, Port, SimOpeners, Tasks
from evse.sim.world import ConnectorWorld, World
from evse.sim.world_ac import AcConnectorWorld, Mains
from evse.units import NS_PER_S, TICK_NS, Instant, ms

if TYPE_CHECKING:
    from evse.sim.firmware_signer import FirmwareSigner

METER_EVERY: Final = 4
"""Meter registers are refreshed every so many physics steps (200 ms)."""
CATCH_UP_MAX: Final = 20
"""Physics steps made up for when the process was held up; longer pauses are skipped."""
MODULE_FAULT: Final = "fan fault"
LATER_MAX: Final = 256
HAPPENED_MAX: Final = 1_000
MODBUS_TCP_PORT: Final = 502
READERS: Final[dict[str, type[SimReader]]] = {
    "sl032": SimSl032, "pn532": SimPn532, "twn4": SimTwn4, "line": SimLine, "hid": SimHid,
}  # fmt: skip
CARD_MS: Final = 700
"""How long a card lies on a reader unless told otherwise."""
DEFAULT_CARS: Final = ("Chevrolet Bolt", "Hyundai Ioniq 5")
"""Cars that `plug_in` takes when none is named, by connector: one of the 400 V class, one of the 800 V class."""
DEFAULT_AC_CARS: Final = ("Nissan Leaf 40 kWh", "Hyundai Ioniq 5")
"""The same on AC: one that charges with one phase, one with three."""


class SimStation:
    """All devices of ``config``. ``fast`` shortens the steps of a session for demonstrations (about 5 s to current)."""

    def __init__(self, config: StationConfig, clock: Clock, *, seed: int = 1, fast: bool = False) -> None:
        self.config = config
        self.clock = clock
        self.pace = FAST if fast else NORMAL
        self.ac_pace = AC_FAST if fast else AC_NORMAL
        self.seed = seed
        self.rng = random.Random(seed)
        self.tasks = Tasks()
        self.boards: dict[int, SimBoard] = {}
        self.serial: dict[str, Port] = {}
        self.tcp: dict[tuple[str, int], Port] = {}
        self.tcp_buses: dict[tuple[str, int], SimModbusBus] = {}
        self.can: list[CanPort] = []
        self.board_ports: dict[int, Port] = {}
        self.readers: dict[str, SimReader] = {}
        self.modules: SimInfypower | None = None
        self.dc_meters: dict[int, SimModbusMeter] = {}
        self.ac_meters: dict[int, SimModbusMeter] = {}
        self.reclosers: dict[int, SimRecloser] = {}
        self.site_meter: SimModbusMeter | None = None
        self.io = SimIo.of(config.io)
        self.manners: dict[int, dict[str, Any]] = {evse.id: {} for evse in config.evse}
        self.active_faults: dict[str, dict[str, Any]] = {}
        self.happened: deque[dict[str, Any]] = deque(maxlen=HAPPENED_MAX)
        self.csms: SimCsms | None = None
        self.files = make_store()
        self.file_host: Host = no_host
        self.real_time = False
        self.signer: FirmwareSigner | None = None
        self._requests = itertools.count(1)
        self._cuts = 0
        self._shown: dict[int, MeterValues] = {}
        self._numbers = itertools.count()
        self.steps = 0
        self._later: list[tuple[Instant, int, Callable[[], None]]] = []
        self._stop = False
        self._banks: list[list[SimModule]] = []
        self._build()

    def serve_files(self) -> None:
        """Serve the files of the bundled back end on localhost from now on: time is real."""
        self.file_host, self.real_time = real_host(self.files), True

    def next_request(self) -> int:
        """A new requestId of the bundled back end."""
        return next(self._requests)

    # -- construction ---------------------------------------------------------------------------

    def _build(self) -> None:
        config = self.config
        groups = config.modules.groups if config.modules else ()
        order = {group.id: index for index, group in enumerate(groups)}
        connectors: list[ConnectorWorld] = []
        points: list[AcConnectorWorld] = []
        matrix: list[ContactRow] = []
        mains = Mains()
        for evse in config.evse:
            rng, name = random.Random(self.rng.getrandbits(32)), f"SIM{evse.id:07d}"
            board: SimBoard
            if evse.kind == "ac":
                point = AcConnectorWorld(evse.id, ac_plant(evse), mains, self.ac_pace)
                board = SimAcBoard(point.plant, rng, board_id=name)
                points.append(point)
            else:
                plant = BoardPlant()
                board = SimBoard(plant, rng, board_id=name)
                connectors.append(ConnectorWorld(evse.id, plant, order.get(evse.home_group, -1)))
                if config.modules is not None and config.modules.topology == "matrix":
                    matrix.append(ContactRow(evse.id, plant, len(groups)))
            self.boards[evse.id] = board
            serve = partial(_serve_board, board, self.clock)
            port = self._port(evse.board.port, f"board {evse.id}", serve)
            self.serial[evse.board.port] = self.board_ports[evse.id] = port
        self._build_modules()
        self._build_meters()
        for reader in config.reader:
            device = READERS[reader.driver]()
            self.readers[reader.name] = device
            self.serial[reader.port] = self._port(reader.port, f"reader {reader.name}", device.serve)
        if config.ocpp.enabled:
            self.csms = SimCsms(self.clock)
            self.csms.more["SignCertificate"] = partial(self._first_request, self.csms)
        self.world = World(
            connectors,
            self._banks,
            self._ties(),
            efficiency_permille=config.site.efficiency_permille,
            pace=self.pace,
            ac=points,
            mains=mains,
            matrix=matrix,
        )
        for point in points:
            point.breaker = self.reclosers.get(point.evse_id)

    def _first_request(self, csms: SimCsms, charge_point: str, payload: dict[str, Any]) -> dict[str, Any]:
        """The bundled back end becomes an authority at the first SignCertificate: what that takes is slow to load."""
        from evse.sim.csms_security import CsmsSecurity

        CsmsSecurity(csms, clock=self.clock)
        return csms.more["SignCertificate"](charge_point, payload)

    def _port(self, name: str, what: str, serve: Any) -> Port:
        return Port(name, what, serve, self.clock, random.Random(self.rng.getrandbits(32)), self.tasks)

    def _build_modules(self) -> None:
        modules = self.config.modules
        if modules is None:
            return
        self.modules = SimInfypower({group.id: group.addresses for group in modules.groups})
        for group in modules.groups:
            bank = [self.modules.outputs[address] for address in group.addresses]
            for module in bank:
                module.rated_w, module.rated_ma = group.module_power_w, group.module_current_a * 1000
            self._banks.append(bank)
        rng = random.Random(self.rng.getrandbits(32))
        self.can.append(CanPort(modules.interface, modules.channel, self.clock, rng, self.tasks))

    def _build_meters(self) -> None:
        lines: dict[str, list[SimUnit]] = {}

        def add(section: MeterSection) -> SimModbusMeter:
            profile = load_profile(section.profile)
            meter = SimModbusMeter(profile, section.address)
            if profile.signing is not None:
                from evse.sim.hw.signing_meter import add_signer  # cryptography only where something signs

                add_signer(meter, self.seed, f"{section.port}#{section.address}", self.clock)
            lines.setdefault(section.port, []).append(meter)
            return meter

        for evse in self.config.evse:
            if evse.meter is not None:
                mine = self.ac_meters if evse.kind == "ac" else self.dc_meters
                mine[evse.id] = add(evse.meter)
            if evse.recloser is not None:
                rng = random.Random(self.rng.getrandbits(32))
                recloser = self.reclosers[evse.id] = make_recloser(evse.recloser, self.clock, rng)
                lines.setdefault(evse.recloser.port, []).append(recloser)
        if self.config.site.meter is not None:
            self.site_meter = add(self.config.site.meter)
        for name, units in lines.items():
            bus = SimModbusBus(units)
            if name.startswith("tcp://"):
                parts = urlsplit(name)
                key = (parts.hostname or "", parts.port or MODBUS_TCP_PORT)
                self.tcp[key] = self._port(name, "meters", bus.serve_tcp)
                self.tcp_buses[key] = bus
            else:
                self.serial[name] = self._port(name, "meters", bus.serve)

    def _ties(self) -> list[BoardPlant | None]:
        """Tie i joins group i and i+1; its relay sits on the board of the EVSE whose home is group i."""
        modules = self.config.modules
        if modules is None or len(modules.groups) < 2 or modules.topology == "matrix":
            return []
        homes = {evse.home_group: self.boards[evse.id].plant for evse in self.config.evse if evse.kind == "dc"}
        count = len(modules.groups) - (0 if modules.topology == "ring" else 1)
        return [homes.get(group.id) for group in modules.groups[:count]]

    def openers(self) -> SimOpeners:
        """Return in-memory openers to this station."""
        return SimOpeners(self.serial, self.tcp, self.can, lambda: self.csms)

    def drop_clients(self) -> None:
        """End every pipe that a driver has open, as the kernel does when its process dies."""
        for port in (*self.serial.values(), *self.tcp.values()):
            if port.busy:
                port.detach()
        for channel in self.can:
            channel.drop_clients()

    def lines(self) -> dict[str, Port | CanPort]:
        """Return every line by its configured name (serial port, tcp://..., interface:channel)."""
        return {
            **self.serial,
            **{port.name: port for port in self.tcp.values()},
            **{port.name: port for port in self.can},
        }

    # -- time -----------------------------------------------------------------------------------

    async def run(self, *, serve_can: bool = True) -> None:
        """Run physics and devices until `stop` (or cancelled); raises what a device task failed with.

        ``serve_can`` False: the modules are on another bus already (process mode).
        """
        if self.modules is not None and serve_can:
            for port in self.can:
                self.tasks.start(self.modules.serve(port.bus.node(), self.clock), "sim modules")
        due = self.clock.now()
        try:
            while not self._stop:
                now = self.clock.now()
                if now - due > CATCH_UP_MAX * TICK_NS:
                    due = now - TICK_NS
                while due <= now:
                    self._step(due)
                    due += TICK_NS
                self.tasks.check()
                await asyncio.sleep((due - self.clock.now()) / NS_PER_S)
        finally:
            await self.tasks.cancel()

    def stop(self) -> None:
        """End `run` at its next step."""
        self._stop = True

    def later(self, delay_ms: int, action: Callable[[], None]) -> None:
        """Run ``action`` in physics after ``delay_ms``; `ConfigError` when too many wait."""
        if len(self._later) >= LATER_MAX:
            raise ConfigError([f"sim: {LATER_MAX} timed actions are waiting already; wait for some to happen"])
        heapq.heappush(self._later, (self.clock.now() + ms(delay_ms), next(self._numbers), action))

    def _step(self, now: Instant) -> None:
        later = self._later
        while later and later[0][0] <= now:
            heapq.heappop(later)[2]()
        self.world.step(TICK_NS, now)
        self.steps += 1
        if self.steps % METER_EVERY == 0:
            self._refresh_meters()

    def _refresh_meters(self) -> None:
        """Write what changed since the last time into the registers."""
        world = self.world
        for connector in world.connectors:
            meter = self.dc_meters.get(connector.evse_id)
            if meter is not None:
                self._show(
                    meter,
                    MeterValues(
                        power_w=round(connector.power_w),
                        energy_import_wh=int(connector.energy_wh),
                        energy_export_wh=0,
                        voltage_mv=round(connector.voltage_mv),
                        current_ma=round(connector.current_ma),
                        temperature_dc=300,
                    ),
                )
        for point in world.ac:
            meter = self.ac_meters.get(point.evse_id)
            if meter is not None:
                self._show(meter, ac_values(point))
        if self.site_meter is not None:
            self._show(self.site_meter, site_values(world))

    def _show(self, meter: SimModbusMeter, values: MeterValues) -> None:
        if self._shown.get(id(meter)) != values:
            self._shown[id(meter)] = values
            meter.set_values(values)

    # -- what people do ---------------------------------------------------------------------------

    async def command(self, obj: dict[str, Any]) -> dict[str, Any]:
        """Execute one object of the control protocol (`evse.sim.control`); never raises for a bad one."""
        from evse.sim.control import execute  # the protocol is a client of the station, not the other way round

        answer = await execute(self, obj)
        self.happened.append({"at_ms": self.clock.now() // 1_000_000, "request": obj, "answer": answer})
        return answer

    def plug_in_spec(self, evse_id: int, spec: EvSpec) -> None:
        """Plug a ready-made car in (measured sessions); `ConfigError` when the connector is unknown or taken."""
        if evse_id not in self.world.by_id:
            known = ", ".join(map(str, self.world.by_id))
            raise ConfigError([f"connector = {evse_id}: no such connector; accepted: {known}"])
        ev = self.world.plug_in(evse_id, spec, self.clock.now())
        if self.manners[evse_id]:
            ev.change(self.manners[evse_id])

    def plug_in_ac(self, evse_id: int, spec: AcEvSpec) -> None:
        """Plug a ready-made AC car in; `ConfigError` when the connector is taken."""
        ev = self.world.plug_in_ac(evse_id, spec, self.clock.now())
        if self.manners[evse_id]:
            ev.change(self.manners[evse_id])

    def make_ac_car(self, evse_id: int, args: dict[str, Any]) -> AcEvSpec:
        """Return the AC car of a `plug_in` command: the on-board charger of a published car, with the named manners."""
        text = args.get("car") or DEFAULT_AC_CARS[(evse_id - 1) % len(DEFAULT_AC_CARS)]
        spec = ac_spec_of(
            find_car(load_cars(), text),
            soc_pct=args.get("soc_pct", 20),
            target_soc_pct=args.get("target_soc_pct", 80),
            battery_wh=args.get("battery_wh", 0),
            evcc_id=args.get("evcc_id") or f"02000000{evse_id:04X}",
        )
        names = {*AC_CHANGEABLE, "phases", "hlc", "starts_in_c", "energy_request_wh"} & set(AcEvSpec.__struct_fields__)
        own = {name: args[name] for name in names if name in args}
        if "cable" in args:
            own["cable"] = PpState(args["cable"])
        return msgspec.structs.replace(spec, **own)

    def make_car(self, evse_id: int, args: dict[str, Any]) -> EvSpec:
        """Return the car of a `plug_in` command: a published one with the manners that the command names."""
        text = args.get("car") or DEFAULT_CARS[(evse_id - 1) % len(DEFAULT_CARS)]
        spec = spec_of(
            find_car(load_cars(), text),
            soc_pct=args.get("soc_pct", 20),
            target_soc_pct=args.get("target_soc_pct", 80),
            battery_wh=args.get("battery_wh", 0),
            evcc_id=args.get("evcc_id") or f"02000000{evse_id:04X}",
        )
        fields = EvSpec.__struct_fields__
        return msgspec.structs.replace(
            spec, **{name: args[name] for name in CHANGEABLE if name in args and name in fields}
        )

    def swipe(self, token: str, reader: str, hold_ms: int = CARD_MS) -> None:
        """Lay a card on a reader for a while. ``token`` = UID as hex; the reader is known."""
        device = self.readers[reader]
        device.present(bytes.fromhex(token))
        self.later(hold_ms, lambda: device.present(None))

    # -- faults -----------------------------------------------------------------------------------

    def module_addresses(self, connector: int, address: int | None) -> list[int]:
        """Return the modules that a fault means: that of ``address``, else the first of a connector's home group."""
        if self.modules is None:
            raise ConfigError(["fault: the configuration has no power modules ([modules])"])
        known = [module.address for bank in self._banks for module in bank]
        if address is not None:
            if address not in known:
                raise ConfigError([f"address = {address}: no such module; accepted: {', '.join(map(str, known))}"])
            return [address]
        if connector == 0:
            return known[:1]
        if connector not in self.world.by_id:
            raise ConfigError(
                [f"connector = {connector}: no such connector; accepted: {', '.join(map(str, self.world.by_id))}"]
            )
        bank = self.world.by_id[connector].home_bank
        if bank < 0:
            raise ConfigError([f"connector = {connector}: has no home group; name a module with address"])
        return [self._banks[bank][0].address]

    def set_module_fault(self, address: int, kind: str, on: bool) -> None:
        """Raise or clear ``kind`` ("fault": `MODULE_FAULT`, "mute": no CAN) of one module."""
        if self.modules is None:
            return
        if kind == "mute":
            self.modules.mute(address, on=on)
        else:
            self.modules.set_fault(address, MODULE_FAULT, on=on)

    def freeze(self, port: str, connector: int, on: bool) -> list[str]:
        """Let the values of devices stand still: those of a line, else of a connector's board, else of all boards."""
        if port:
            meters = {**self.dc_meters, **self.ac_meters}
            sections = [(evse.meter, meters.get(evse.id)) for evse in self.config.evse]
            sections.append((self.config.site.meter, self.site_meter))
            chosen = [meter for section, meter in sections if section and meter and section.port == port]
            boards = [number for number, line in self.board_ports.items() if line.name == port]
            if not chosen and not boards:
                names = sorted(
                    {*(line.name for line in self.board_ports.values()), *(s.port for s, m in sections if s and m)}
                )
                raise ConfigError([f"port = '{port}': nothing to freeze there; accepted: {', '.join(names)}"])
        else:
            boards = [connector] if connector else list(self.boards)
            chosen = []
        for meter in chosen:
            meter.fault("freeze", on=on)
        for number in boards:
            if number not in self.boards:
                raise ConfigError(
                    [f"connector = {number}: no such connector; accepted: {', '.join(map(str, self.boards))}"]
                )
            self.boards[number].faults.frozen = on
        return [f"board {number}" for number in boards] + [f"meter {meter.unit}" for meter in chosen]

    def cut_power_for(self, duration_ms: int) -> None:
        """Cut the supply and give it back after a while; a later cut prolongs an earlier one."""
        self._cuts += 1
        mine = self._cuts

        def back() -> None:
            if mine == self._cuts:
                self.cut_power(False)

        self.cut_power(True)
        self.later(duration_ms, back)

    def cut_power(self, on: bool) -> None:
        """Take the supply of boards, modules, meters and readers away (True) or give it back (False)."""
        self.world.powered = not on
        for port in {*self.board_ports.values(), *(p for p in self.serial.values() if p.what.startswith("reader"))}:
            port.unplug() if on else port.replug()
        now = self.clock.now()
        for board in self.boards.values():
            board.reboot(now, 1_500)
        site = [self.site_meter] if self.site_meter else []
        for recloser in self.reclosers.values():
            recloser.fault("mute", on=on)
        for meter in [*self.dc_meters.values(), *self.ac_meters.values(), *site]:
            meter.fault("mute", on=on)
        if self.modules is not None:
            for address in self.modules.outputs:
                self.modules.kill(address, on=on)


async def _serve_board(board: SimBoard, clock: Clock, stream: Any) -> None:
    await board.serve(stream, clock)
