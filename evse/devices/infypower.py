"""Driver of Infypower DC power modules (protocol V1.13): all module groups on one CAN bus.

The owner task sends group set-points (0x1B) and on/off (0x1A) as soon as a level changes and once a second besides, and
reads status and voltage/current of each module in turn. How a group's current is divided among its modules is the
modules' own business; the driver never asks for more than the healthy ones are rated for.

Nothing stays on that nobody wants: every (re)connection begins with "all off", a module that comes back is switched off
and set up again before it joins its group, and levels that are not renewed for ``LEVELS_LEASE_NS`` count as off.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from random import Random
from typing import Final

from evse.devices.infypower_groups import InfypowerGroup, check_groups
from evse.devices.interfaces import LinkHealth
from evse.domain.base import DeviceError
from evse.domain.clock import Clock
from evse.domain.readings import GroupStatus, NoData, NoDataReason, Sample
from evse.domain.signals import GroupCommand
from evse.protocols import can_infypower as ip
from evse.protocols.can_infypower import Command
from evse.protocols.errors import ProtocolError
from evse.transports.backoff import Backoff
from evse.transports.base import CanBus, CanFrame, Openers
from evse.units import NS_PER_S, Instant, clamp, ms, s

REFRESH_NS: Final = s(1)
"""Unchanged levels are repeated this often; a module gives up after 10 s of silence."""

POLL_ON_NS: Final = ms(500)
POLL_IDLE_NS: Final = s(1)
"""Each module is read once in this time."""

POLL_SLOTS: Final = 5
"""The reads of a period are spread over this many bursts."""

MISSED_POLLS_MAX: Final = 3
"""A module that is silent for three polls counts as lost."""

LEVELS_LEASE_NS: Final = s(3)
"""Levels that `InfypowerModules.command` has not repeated for this long count as off."""

SETUP_RETRY_NS: Final = s(1)
SETUPS_MAX: Final = 3
"""A module that does not report its group number after three attempts is used as it is, and named."""

CURRENT_MIN_MA: Final = 100
"""Smallest current set-point of a group: 0 is not accepted by every module."""

_VI: Final = int(Command.MODULE_VI)
_STATUS: Final = int(Command.STATUS)
_LIMITS: Final = int(Command.LIMITS)


class _Module:
    """What is known of one module."""

    __slots__ = (
        "address", "bits", "current_ma", "group", "heard", "power_w", "present", "ready", "seen_status", "setup_at",
        "setups", "silent", "temperature_c", "vi_at", "voltage_mv",
    )  # fmt: skip

    def __init__(self, address: int, group: _Group, power_w: int) -> None:
        self.address = address
        self.group = group
        self.power_w = power_w
        self.forget()
        self.silent = 0

    def forget(self) -> None:
        """Nothing is known any more."""
        self.present = False
        self.seen_status = False
        self.vi_at: Instant = -1
        self.heard = False  # it has answered since the connection began or since it was lost
        self.ready = False  # its group number is set
        self.setups = 0
        self.setup_at: Instant = 0
        self.bits = 0
        self.voltage_mv = 0
        self.current_ma = 0
        self.temperature_c = 0

    @property
    def missing(self) -> bool:
        return self.silent >= MISSED_POLLS_MAX and not self.present

    @property
    def fault_bits(self) -> int:
        mask = ip.FAULT_MASK
        if self.group.on and not self.bits & ip.OUTPUT_OFF:
            mask |= ip.PFC_OFF  # while idle the input stage may rest
        return self.bits & mask


class _Group:
    """Levels wanted from a group, its modules and its cached reading."""

    __slots__ = ("config", "dirty", "lost_since", "modules", "on", "reading", "stale", "voltage_mv", "wanted")

    def __init__(self, config: InfypowerGroup, never: NoData) -> None:
        self.config = config
        self.modules = [_Module(a, self, config.module_power_w) for a in config.addresses]
        self.wanted = GroupCommand(group_id=config.group_id)
        self.on = False
        self.voltage_mv = config.voltage_min_mv
        self.dirty = True
        self.stale = True
        self.lost_since: Instant | None = None
        self.reading: Sample[GroupStatus] | NoData = never


class InfypowerModules:
    """`evse.devices.interfaces.PowerModules` for Infypower modules on one CAN channel.

    `ConfigError` at construction when an address or a group number is used twice or out of range.
    """

    def __init__(
        self,
        groups: Sequence[InfypowerGroup],
        interface: str,
        channel: str,
        bitrate: int,
        openers: Openers,
        clock: Clock,
        rng: Random,
    ) -> None:
        self.where = f"{interface}:{channel}"
        self._open_args = (interface, channel, bitrate)
        self._openers = openers
        self._clock = clock
        self._backoff = Backoff(rng, 250, 5_000)
        never = NoData(reason=NoDataReason.NEVER, since=clock.now(), detail=f"modules[{self.where}]: not opened yet")
        check_groups(groups, self.where)
        self._groups = {g.group_id: _Group(g, never) for g in groups}
        self._modules = {m.address: m for g in self._groups.values() for m in g.modules}
        self._order = list(self._modules.values())
        self._last: Sequence[GroupCommand] | None = None
        self._commanded_at: Instant | None = None
        self._wake: asyncio.Future[None] | None = None
        self._bus: CanBus | None = None
        self._slot = 0
        self._unexpected: set[int] = set()
        self.error = "not opened yet"
        self.frames_in = 0
        self.frames_out = 0
        self.errors = 0
        self.last_error = ""
        self.reconnects = 0

    def reading(self, group_id: int) -> Sample[GroupStatus] | NoData:
        """Latest status of a group; `KeyError` for a group that is not on this bus.

        A group of which no module answers is `NoData` (TIMEOUT). ``at`` is the age of its oldest module reading.
        """
        group = self._groups[group_id]
        if group.stale and self._bus is not None:
            group.stale = False
            group.reading = self._status(group)
        return group.reading

    def command(self, levels: Sequence[GroupCommand]) -> None:
        """Take complete levels; changes leave at once. Repeat it at least every 3 s, or the groups are switched off."""
        now = self._clock.now()
        lapsed = self._commanded_at is None or now - self._commanded_at > LEVELS_LEASE_NS
        self._commanded_at = now
        if not lapsed and (levels is self._last or levels == self._last):
            return
        self._last = levels
        changed = False
        for level in levels:
            group = self._groups.get(level.group_id)
            if group is None:
                continue
            old = group.wanted
            group.wanted = level
            if lapsed or old.on != level.on or old.voltage_mv != level.voltage_mv or old.current_ma != level.current_ma:
                group.dirty = changed = True
        if changed:
            self._signal()

    def health(self) -> Sequence[LinkHealth]:
        """The one link of this driver."""
        present = [m for m in self._order if m.present]
        missing = [m.address for m in self._order if m.missing]
        detail = self.error
        if not detail and missing:
            detail = f"modules[{self.where}]: no answer from module {_numbers(missing)}"
        if not detail and self._unexpected:
            detail = f"modules[{self.where}]: module {_numbers(sorted(self._unexpected))} answers but is not configured"
        return (
            LinkHealth(
                name="power modules", kind="modules", where=self.where, online=self._bus is not None and bool(present),
                detail=detail or self.last_error, frames_in=self.frames_in, frames_out=self.frames_out,
                errors=self.errors, reconnects=self.reconnects,
            ),
        )  # fmt: skip

    async def run(self) -> None:
        """Own the CAN channel until cancelled; reconnect for ever. Leaves the modules switched off when it can."""
        while True:
            bus: CanBus | None = None
            try:
                bus = await self._openers.open_can(*self._open_args)
                await self._session(bus)
            except DeviceError as error:
                self._lost(str(error))
            except asyncio.CancelledError:
                if bus is not None:
                    await self._farewell(bus)
                raise
            finally:
                self._bus = None
                if bus is not None:
                    await bus.close()
            await self._backoff.sleep()
            self.reconnects += 1

    async def _session(self, bus: CanBus) -> None:
        """Work with an open channel; raises `DeviceError` when it is gone."""
        self.error = ""
        self._unexpected.clear()
        for module in self._order:
            module.forget()
            module.silent = 0
        await self._send(bus, ip.identifier(Command.ON_OFF, ip.BROADCAST), ip.OUTPUT_OFF_DATA)
        await self._send(bus, ip.identifier(Command.WALK_IN, ip.BROADCAST), ip.pack_flag(0))
        await self._send(bus, ip.identifier(Command.STATUS, ip.BROADCAST), ip.ZEROS)
        self._bus = bus
        for group in self._groups.values():
            group.dirty = group.stale = True
            group.on = False
        receiver = asyncio.get_running_loop().create_task(self._receive(bus))
        receiver.add_done_callback(self._receiver_ended)
        try:
            await self._transmit(bus, receiver)
        finally:
            receiver.cancel()

    async def _farewell(self, bus: CanBus) -> None:
        """The daemon ends: do not leave outputs on for the 10 s that the modules' own watchdog takes."""
        try:
            await self._send(bus, ip.identifier(Command.ON_OFF, ip.BROADCAST), ip.OUTPUT_OFF_DATA)
        except DeviceError:
            return

    def _lost(self, error: str) -> None:
        self.error = f"modules[{self.where}]: {error}"
        now = self._clock.now()
        self._last = None
        self._commanded_at = None
        for group in self._groups.values():
            group.wanted = GroupCommand(group_id=group.config.group_id)
            old = group.reading
            disconnected = isinstance(old, NoData) and old.reason is NoDataReason.DISCONNECTED
            since = old.since if isinstance(old, NoData) and disconnected else now
            group.reading = NoData(reason=NoDataReason.DISCONNECTED, since=since, detail=self.error)

    async def _transmit(self, bus: CanBus, receiver: asyncio.Task[None]) -> None:
        refresh_at = slot_at = self._clock.now()
        while True:
            if receiver.done():
                receiver.result()
            now = self._clock.now()
            refresh = now >= refresh_at
            if refresh:
                refresh_at = now + REFRESH_NS
            lapsed = self._commanded_at is None or now - self._commanded_at > LEVELS_LEASE_NS
            for group in self._groups.values():
                if group.dirty or refresh:
                    group.dirty = False
                    await self._send_levels(bus, group, lapsed=lapsed)
            if now >= slot_at:
                period = POLL_ON_NS if any(g.on for g in self._groups.values()) else POLL_IDLE_NS
                slot_at = max(slot_at + period // POLL_SLOTS, now)
                await self._poll_slot(bus, now)
            await self._sleep(min(refresh_at, slot_at) - self._clock.now())

    async def _send_levels(self, bus: CanBus, group: _Group, *, lapsed: bool) -> None:
        """Set-point and on/off of one group: on = set-point first, off = smallest current first."""
        config, wanted = group.config, group.wanted
        ready = sum(not (m.missing or m.fault_bits) for m in group.modules)
        on = wanted.on and not lapsed and ready > 0
        current_ma = CURRENT_MIN_MA
        if on:
            group.voltage_mv = clamp(wanted.voltage_mv, config.voltage_min_mv, config.voltage_max_mv)
            current_ma = clamp(wanted.current_ma, CURRENT_MIN_MA, ready * config.module_current_ma)
        group.on = on
        await self._send(
            bus,
            ip.identifier(Command.GROUP_OUTPUT, config.group_id, device=ip.GROUP),
            ip.pack_vi(group.voltage_mv, current_ma),
        )
        await self._send(
            bus,
            ip.identifier(Command.ON_OFF, config.group_id, device=ip.GROUP),
            ip.OUTPUT_ON_DATA if on else ip.OUTPUT_OFF_DATA,
        )

    async def _poll_slot(self, bus: CanBus, now: Instant) -> None:
        """Read the modules of the next slot; note those that did not answer to the last three polls."""
        slot = self._slot = (self._slot + 1) % POLL_SLOTS
        for module in self._order[slot::POLL_SLOTS]:
            if module.silent >= MISSED_POLLS_MAX and module.heard:
                module.forget()
                module.group.dirty = module.group.stale = True
            if module.heard and not module.ready and now >= module.setup_at:
                await self._setup(bus, module, now)
            if module.bits & ip.SLEEPING and module.group.wanted.on:
                await self._send(bus, ip.identifier(Command.SLEEP, module.address), ip.pack_flag(0))
            if module.present and not module.group.on and not module.bits & ip.OUTPUT_OFF:
                # It delivers although nobody wants it; perhaps it does not listen to its group.
                await self._send(bus, ip.identifier(Command.ON_OFF, module.address), ip.OUTPUT_OFF_DATA)
            module.silent += 1
            await self._send(bus, ip.identifier(_VI, module.address), ip.ZEROS)
            await self._send(bus, ip.identifier(_STATUS, module.address), ip.ZEROS)

    async def _setup(self, bus: CanBus, module: _Module, now: Instant) -> None:
        """Off, no walk-in, ratings, group number; the number again until the module reports it, at most three times."""
        if module.setups == 0:
            await self._send(bus, ip.identifier(Command.ON_OFF, module.address), ip.OUTPUT_OFF_DATA)
            await self._send(bus, ip.identifier(Command.WALK_IN, module.address), ip.pack_flag(0))
            await self._send(bus, ip.identifier(_LIMITS, module.address), ip.ZEROS)
        group_id = module.group.config.group_id
        await self._send(bus, ip.identifier(Command.GROUP_NUMBER, module.address), ip.pack_flag(group_id))
        module.setups += 1
        module.setup_at = now + SETUP_RETRY_NS
        module.ready = module.setups >= SETUPS_MAX
        module.group.dirty = True

    async def _send(self, bus: CanBus, can_id: int, data: bytes) -> None:
        await bus.send(CanFrame(can_id, data))
        self.frames_out += 1

    async def _sleep(self, delay_ns: int) -> None:
        """Wait for the next deadline; a command or a lost channel ends it early."""
        if delay_ns <= 0:
            await asyncio.sleep(0)
            return
        loop = asyncio.get_running_loop()
        wake = self._wake = loop.create_future()
        if any(g.dirty for g in self._groups.values()):
            self._signal()
        timer = loop.call_later(delay_ns / NS_PER_S, _expire, wake)
        try:
            await wake
        finally:
            timer.cancel()
            self._wake = None

    def _receiver_ended(self, receiver: asyncio.Task[None]) -> None:
        if not receiver.cancelled():
            receiver.exception()  # `_transmit` raises it; a sender that failed first leaves it behind
        self._signal()

    def _signal(self) -> None:
        if self._wake is not None and not self._wake.done():
            self._wake.set_result(None)

    async def _receive(self, bus: CanBus) -> None:
        while True:
            frame = await bus.recv()
            if frame.extended and frame.can_id >> 8 & 0xFF == ip.CONTROLLER:
                self._reply(frame.can_id, frame.data)

    def _reply(self, can_id: int, data: bytes) -> None:
        self.frames_in += 1
        source, error = can_id & 0xFF, can_id >> 26
        if error:
            self.errors += 1
            command = f"0x{can_id >> 16 & 0x3F:02X}"
            self.last_error = f"modules[{self.where}]: module {source} answers {ip.error_name(error)} to {command}"
        if can_id >> 22 & 0x0F != ip.SINGLE:
            return  # acknowledgement of a group command: its source may be the group
        module = self._modules.get(source)
        if module is None:
            if source <= ip.ADDRESS_MAX:
                self._unexpected.add(source)
            return
        self._backoff.reset()
        module.silent = 0
        module.heard = True
        if error:
            return
        try:
            self._store(module, can_id >> 16 & 0x3F, data)
        except ProtocolError as problem:
            self.errors += 1
            self.last_error = f"modules[{self.where}]: module {source}: {problem}"

    def _store(self, module: _Module, command: int, data: bytes) -> None:
        if command == _VI:
            module.voltage_mv, module.current_ma = ip.unpack_vi(data)
            module.vi_at = self._clock.now()
        elif command == _STATUS:
            self._store_status(module, ip.unpack_status(data))
        elif command == _LIMITS:
            limits = ip.unpack_limits(data)
            if limits.power_max_w:
                module.power_w = min(module.group.config.module_power_w, limits.power_max_w)
        else:
            return
        module.group.stale = True
        if not module.present and module.seen_status and module.vi_at >= 0:
            module.present = True
            module.group.dirty = True

    def _store_status(self, module: _Module, status: ip.Status) -> None:
        was_faulty = module.fault_bits
        module.seen_status = True
        module.bits = status.bits
        module.temperature_c = status.temperature_c
        group_id = module.group.config.group_id
        if status.group == group_id:
            module.ready = module.setups > 0
            module.setups = min(module.setups, 1)
        elif module.ready and module.setups < SETUPS_MAX:
            module.ready = False  # it has forgotten its group
        elif module.ready:
            text = f"module {module.address} reports group {status.group}, it was told {group_id}"
            self.last_error = f"modules[{self.where}]: {text}"
        if module.fault_bits != was_faulty:
            module.group.dirty = True

    def _status(self, group: _Group) -> Sample[GroupStatus] | NoData:
        modules = group.modules
        config = group.config
        present = [m for m in modules if m.present]
        missing = tuple(m.address for m in modules if m.missing)
        where = f"modules[{self.where}]: group {config.group_id}"
        if not present:
            if len(missing) < len(modules):
                group.stale = True
                since = group.reading.since if isinstance(group.reading, NoData) else self._clock.now()
                text = f"{where}: waiting for module {_numbers(config.addresses)}"
                return NoData(reason=NoDataReason.NEVER, since=since, detail=text)
            group.lost_since = self._clock.now() if group.lost_since is None else group.lost_since
            text = f"{where}: no answer from module {_numbers(missing)} in {MISSED_POLLS_MAX} polls"
            text += "; check mains, CAN wiring, termination and addresses"
            return NoData(reason=NoDataReason.TIMEOUT, since=group.lost_since, detail=text)
        if len(present) + len(missing) < len(modules) and isinstance(group.reading, NoData):
            group.stale = True
            return group.reading
        group.lost_since = None
        delivering = [m for m in present if not m.bits & ip.OUTPUT_OFF]
        measured = delivering or present
        healthy = [m for m in present if not m.fault_bits]
        status = GroupStatus(
            modules_expected=len(modules),
            modules_present=len(present),
            modules_faulty=len(present) - len(healthy),
            on=bool(delivering),
            voltage_mv=sum(m.voltage_mv for m in measured) // len(measured),
            current_ma=sum(m.current_ma for m in present),
            available_w=sum(m.power_w for m in healthy),
            temperature_dc=10 * max(m.temperature_c for m in present),
            faults=tuple(
                f"{m.address}: {ip.STATUS_BITS[bit]}"
                for m in present
                if m.fault_bits
                for bit in ip.STATUS_BITS
                if m.fault_bits >> bit & 1
            ),
            missing=missing,
        )
        return Sample(value=status, at=min(m.vi_at for m in present))


def _numbers(addresses: Sequence[int]) -> str:
    return ", ".join(map(str, addresses))


def _expire(wake: asyncio.Future[None]) -> None:
    if not wake.done():
        wake.set_result(None)


__all__ = ["InfypowerGroup", "InfypowerModules"]
