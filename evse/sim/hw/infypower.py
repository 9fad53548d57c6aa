"""Simulated Infypower REG1K0100 modules behind the CAN wire: 150..1000 V, 100 A, 30 kW constant power each.

The world asks what each module would deliver (`SimModule.voltage_now_mv`, `current_limit_ma`) and tells it the working
point (`set_operating_point`); the modules answer the controller from that. Facts: V1.13 protocol and the behaviour of
its reference: a set-point and "on" are both needed, 10 s without a frame switch the output off and raise
"communication interrupted". The ramps are this simulator's own: a soft start, longer with walk-in enabled.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from evse.domain.base import DeviceError
from evse.domain.clock import Clock
from evse.protocols import can_infypower as ip
from evse.protocols.can_infypower import Command
from evse.protocols.errors import ProtocolError
from evse.transports.base import CanBus, CanFrame
from evse.units import NS_PER_MS, NS_PER_S, Instant

VOLTAGE_MAX_MV: Final = 1_000_000
VOLTAGE_MIN_MV: Final = 150_000
SOFT_START_MS: Final = 400
WALK_IN_MS: Final = 8_000
AMBIENT_DC: Final = 250
RISE_DC: Final = 350
"""Temperature above ambient at full load, tenths of a degree."""
THERMAL_NS: Final = 120 * NS_PER_S
"""Thermal time constant."""
OVER_TEMPERATURE_DC: Final = 850

COMM_LOSS_NS: Final = ip.COMM_LOSS_S * NS_PER_S


class SimModule:
    """One module. The world may read all public attributes; ``on``, ``set_mv`` and ``set_ma`` are the commands."""

    __slots__ = (
        "_ramp_from", "_warmed_at", "address", "bits", "code", "current_ma", "dead", "group", "heard_at", "interrupted",
        "members", "muted", "on", "rated_ma", "rated_w", "set_mv", "set_total_ma", "sharing", "sleeping",
        "temperature_mdc", "voltage_mv", "walk_in",
    )  # fmt: skip

    def __init__(self, address: int, rated_w: int = 30_000, rated_ma: int = 100_000) -> None:
        if not 0 <= address <= ip.ADDRESS_MAX:
            raise ValueError(f"module address {address}: expected 0..{ip.ADDRESS_MAX}")
        self.address = address
        self.rated_w = rated_w
        self.rated_ma = rated_ma
        self.code = f"0818071{address:05d}V1704"
        self.group = 0
        self.on = False
        self.set_mv = 0
        self.set_total_ma = 0
        self.sharing = False  # set_total_ma is the total of the group, not of this module
        self.members = 1
        self.walk_in = False
        self.sleeping = False
        self.bits = 0  # injected status bits
        self.muted = False
        self.dead = False
        self.heard_at: Instant | None = None
        self.interrupted = False
        self.voltage_mv = 0
        self.current_ma = 0
        self.temperature_mdc = AMBIENT_DC * 1000
        self._ramp_from: Instant = 0
        self._warmed_at: Instant | None = None

    @property
    def set_ma(self) -> int:
        """Current set-point of this module: its own, or its share of the group's."""
        return self.set_total_ma // max(1, self.members) if self.sharing else self.set_total_ma

    @property
    def temperature_dc(self) -> int:
        """Tenths of a degree Celsius."""
        return self.temperature_mdc // 1000

    def refresh(self, now: Instant) -> None:
        """Apply the communication watchdog: silence of 10 s switches the output off."""
        if self.heard_at is not None and not self.interrupted and now - self.heard_at > COMM_LOSS_NS:
            self.interrupted = True
            self.on = False

    def delivers(self, now: Instant) -> bool:
        """Whether the output is on: commanded, set, healthy, awake and in contact."""
        self.refresh(now)
        faulty = self.bits & ip.FAULT_MASK
        return self.on and self.set_mv >= VOLTAGE_MIN_MV and not (faulty or self.dead or self.sleeping)

    def _ramp_permille(self, now: Instant) -> int:
        ramp_ns = (WALK_IN_MS if self.walk_in else SOFT_START_MS) * NS_PER_MS
        return max(0, min(1000, (now - self._ramp_from) * 1000 // ramp_ns))

    def voltage_now_mv(self, now: Instant) -> int:
        """Voltage that the module regulates to now; 0 when off. Rises over the soft start."""
        if not self.delivers(now):
            return 0
        return min(self.set_mv, VOLTAGE_MAX_MV) * self._ramp_permille(now) // 1000

    def current_limit_ma(self, now: Instant, voltage_mv: int) -> int:
        """Most current at ``voltage_mv``: set-point, rating and constant power, whichever is smallest; 0 when off."""
        if not self.delivers(now):
            return 0
        limit = min(self.set_ma, self.rated_ma)
        if voltage_mv > 0:
            limit = min(limit, self.rated_w * 1_000_000 // voltage_mv)
        return limit * self._ramp_permille(now) // 1000

    def set_operating_point(self, now: Instant, voltage_mv: int, current_ma: int) -> None:
        """The world says what is at the output: voltage at the terminals and current delivered."""
        self.voltage_mv = max(0, voltage_mv)
        self.current_ma = max(0, current_ma)
        target = 1000 * (AMBIENT_DC + RISE_DC * voltage_mv * current_ma // (1_000_000 * self.rated_w))
        if self._warmed_at is not None:
            step_ns = min(now - self._warmed_at, THERMAL_NS)
            self.temperature_mdc += (target - self.temperature_mdc) * step_ns // THERMAL_NS
        self._warmed_at = now

    def switch(self, now: Instant, *, on: bool) -> None:
        """Obey an on/off command; turning on begins the ramp."""
        if on and not self.on:
            self._ramp_from = now
        self.on = on

    def status_bits(self, now: Instant) -> int:
        """Bits of the status reply."""
        bits = self.bits
        if not self.delivers(now):
            bits |= ip.OUTPUT_OFF
        if self.interrupted:
            bits |= ip.COMM_INTERRUPTED
        if self.sleeping:
            bits |= ip.SLEEPING
        if self.walk_in:
            bits |= ip.WALK_IN_ENABLED
        if self.on and self.voltage_mv * self.current_ma >= self.rated_w * 995_000:
            bits |= ip.POWER_LIMITED
        if self.temperature_dc >= OVER_TEMPERATURE_DC:
            bits |= 1 << ip.STATUS_BIT_OF["over temperature"]
        return bits

    def power_cycle(self) -> None:
        """Mains off and on: everything that is not in permanent memory is forgotten."""
        self.on = False
        self.group = 0
        self.set_mv = self.set_total_ma = 0
        self.sharing = self.sleeping = self.interrupted = False
        self.heard_at = None


class SimInfypower:
    """Modules on one CAN bus. ``addresses`` = all module addresses, or a map of group number to addresses.

    The groups of the map are only for the world's convenience: the modules learn theirs from the controller (0x16).
    """

    def __init__(
        self, addresses: Iterable[int] | Mapping[int, Iterable[int]], rated_w: int = 30_000, rated_ma: int = 100_000
    ) -> None:
        groups = (
            {g: tuple(a) for g, a in addresses.items()} if isinstance(addresses, Mapping) else {0: tuple(addresses)}
        )
        self.groups: dict[int, tuple[int, ...]] = groups
        listed = [a for members in groups.values() for a in members]
        self.outputs: dict[int, SimModule] = {a: SimModule(a, rated_w, rated_ma) for a in listed}
        if len(self.outputs) != len(listed):
            raise ValueError("a module address is listed twice")
        self.mains_mv = 400_000
        self.frames_in = 0
        self.frames_out = 0

    def set_fault(self, address: int, name: str, *, on: bool) -> None:
        """Raise or clear a status bit by its name (`can_infypower.STATUS_BITS`); fault bits switch the output off."""
        bit = ip.STATUS_BIT_OF.get(name)
        if bit is None:
            raise ValueError(f"module fault {name!r}: expected one of {', '.join(sorted(ip.STATUS_BIT_OF))}")
        module = self.outputs[address]
        module.bits = module.bits | 1 << bit if on else module.bits & ~(1 << bit)

    def mute(self, address: int, *, on: bool) -> None:
        """The module neither hears nor answers (its CAN plug is out); its output follows the 10 s watchdog."""
        self.outputs[address].muted = on

    def kill(self, address: int, *, on: bool) -> None:
        """The module has lost its mains: no output, no answer; when it returns it has forgotten its settings."""
        module = self.outputs[address]
        module.dead = on
        module.power_cycle()
        self._recount()

    def operating_limits(self, now: Instant, addresses: Iterable[int], voltage_mv: int) -> tuple[int, int]:
        """Return (voltage that the modules regulate to, most current at ``voltage_mv``) of modules in parallel."""
        voltage = current = 0
        for address in addresses:
            module = self.outputs[address]
            voltage = max(voltage, module.voltage_now_mv(now))
            current += module.current_limit_ma(now, voltage_mv)
        return voltage, current

    def set_operating_point(self, now: Instant, addresses: Iterable[int], voltage_mv: int, current_ma: int) -> None:
        """Give parallel modules their working point: all see ``voltage_mv``, the current is shared by their limits."""
        modules = [self.outputs[a] for a in addresses]
        limits = [m.current_limit_ma(now, voltage_mv) for m in modules]
        total = sum(limits)
        for module, limit in zip(modules, limits, strict=True):
            share = current_ma * limit // total if total else 0
            module.set_operating_point(now, voltage_mv, share)

    def _recount(self) -> None:
        """Modules of a group share its current; only healthy members that hear the bus count."""
        counts: dict[int, int] = {}
        for module in self.outputs.values():
            if not (module.dead or module.muted or module.bits & ip.FAULT_MASK):
                counts[module.group] = counts.get(module.group, 0) + 1
        for module in self.outputs.values():
            if not module.muted:  # it cannot hear that there are fewer
                module.members = counts.get(module.group, 1)

    async def serve(self, bus: CanBus, clock: Clock) -> None:
        """Answer the controller until the bus is gone (then return)."""
        try:
            while True:
                frame = await bus.recv()
                for reply in self.handle(frame, clock.now()):
                    await bus.send(reply)
        except DeviceError:
            return

    def handle(self, frame: CanFrame, now: Instant) -> list[CanFrame]:
        """Return the replies of all modules to one frame; frames that are not for modules give none."""
        if not frame.extended or len(frame.data) != 8:
            return []
        header = ip.parse_identifier(frame.can_id)
        if header.source < ip.CONTROLLER or header.destination >= ip.CONTROLLER:
            return []
        if header.device == ip.SINGLE and header.destination != ip.BROADCAST:
            module = self.outputs.get(header.destination)
            targets = [module] if module is not None else []
        elif header.destination == ip.BROADCAST:
            targets = list(self.outputs.values())
        else:
            targets = [m for m in self.outputs.values() if m.group == header.destination]
        self.frames_in += 1
        self._recount()
        replies = []
        for module in targets:
            if module.muted or module.dead:
                continue
            module.refresh(now)
            module.heard_at = now
            error, data = self._execute(module, header, frame.data, now)
            module.interrupted = False
            can_id = ip.identifier(header.command, header.source, module.address, header.device, error)
            replies.append(CanFrame(can_id, data))
        self.frames_out += len(replies)
        return replies

    def _execute(self, module: SimModule, header: ip.Header, data: bytes, now: Instant) -> tuple[int, bytes]:
        """Carry out one command; (error code, data of the reply)."""
        command = ip.COMMANDS.get(header.command)
        if command is None:
            return 2, data
        if command < Command.WALK_IN:
            return 0, self._read(module, command, now)
        if command in (Command.GROUP_OUTPUT, Command.MODULE_OUTPUT):
            voltage_mv, current_ma = ip.unpack_vi(data)
            if voltage_mv > VOLTAGE_MAX_MV or 0 < voltage_mv < VOLTAGE_MIN_MV:
                return 3, data
            module.set_mv, module.set_total_ma = voltage_mv, current_ma
            module.sharing = command is Command.GROUP_OUTPUT
            return 0, data
        value = data[0]
        if command is Command.GROUP_NUMBER:
            module.group = value
            self._recount()
            return 0, data
        if value > 1:
            return 3, data
        if command is Command.ON_OFF:
            module.switch(now, on=value == 0)
        elif command is Command.WALK_IN:
            module.walk_in = value == 1
        elif command is Command.SLEEP:
            module.sleeping = value == 1
        return 0, data

    def _read(self, module: SimModule, command: Command, now: Instant) -> bytes:
        if command is Command.STATUS:
            temperature = max(-128, min(127, module.temperature_dc // 10))
            return ip.pack_status(ip.Status(module.group, temperature, module.status_bits(now)))
        if command is Command.MODULE_VI:
            return ip.pack_vi(module.voltage_mv, module.current_ma)
        if command is Command.MODULE_VI_FLOAT:
            return ip.pack_vi_float(module.voltage_mv, module.current_ma)
        if command in (Command.SYSTEM_VI, Command.SYSTEM_VI_FLOAT):
            total = sum(m.current_ma for m in self.outputs.values() if m.group == module.group)
            pack = ip.pack_vi if command is Command.SYSTEM_VI else ip.pack_vi_float
            return pack(module.voltage_mv, total)
        if command is Command.LIMITS:
            return ip.pack_limits(ip.Limits(VOLTAGE_MAX_MV, VOLTAGE_MIN_MV, module.rated_ma, module.rated_w))
        if command is Command.AC_INPUT:
            return ip.pack_ac_input(self.mains_mv, self.mains_mv, self.mains_mv)
        if command is Command.MODULE_COUNT:
            return ip.pack_count(sum(not m.dead for m in self.outputs.values()))
        if command is Command.BARCODE:
            return ip.pack_barcode(module.code)
        if command is Command.TERMINALS:
            return ip.pack_terminals(module.voltage_mv, module.current_limit_ma(now, module.voltage_mv))
        raise ProtocolError(f"simulated module: no read for {command!r}")
