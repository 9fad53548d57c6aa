"""The AC half of random days: stations, vehicles, what may go wrong, and physics that nobody may break."""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import Any

from evse.config.load import parse_config
from evse.config.model import EvseSection, StationConfig
from evse.domain.ac import LockMode, PilotMode
from evse.domain.fault_table import FAULTS
from evse.domain.faults import Reaction
from evse.domain.signals import CpState
from evse.sim.station import SimStation
from evse.sim.world_ac import AcConnectorWorld
from evse.units import NS_PER_MS, NS_PER_S, Instant
from tests._support.laws_ac import told_ma
from tests._support.random_chaos import Chaos

OPEN_GRACE_NS = 450 * NS_PER_MS
"""Lease 300 ms, the board's own opening 100 ms, one tick."""

LOCK_GRACE_NS = 1500 * NS_PER_MS
"""A bolt that somebody forces open is seen by its switch, debounced, then the contactor opens."""

FOLLOW_NS = 6_500 * NS_PER_MS
"""A vehicle follows a new duty within 5 s; then its current falls for a second."""

OVER_NS = 120 * NS_PER_S
"""Above 120 % for 10 s, perhaps once for each step of derating, 5 s to follow each; 110 % for 100 s."""

AC_CHAOS = (
    "dynamic_limit", "pause", "phases", "lock", "rcd_test", "ventilation", "hlc", "manners", "rotary", "permission",
    "input", "swap",
)  # fmt: skip

AC_MANNERS: tuple[dict[str, Any], ...] = (
    {}, {}, {}, {"phases": 1}, {"phases": 2}, {"phases": 3}, {"phases": 3, "max_ma": 32_000}, {"cable": "13"}, {"cable": "20"},
    {"cable": "63", "max_ma": 63_000}, {"cable": "invalid"}, {"cable": "none"}, {"follow_ms": 4_900}, {"sleep_after_s": 8},
    {"sleep_after_s": 40}, {"ventilation": True}, {"starts_in_c": True}, {"no_diode": True}, {"ignore_pwm": True},
    {"over_permille": 1_080}, {"over_permille": 1_150}, {"over_permille": 1_300}, {"drop_c_after_s": 3}, {"leak_dc_ua": 7_000},
    {"leak_rms_ua": 40_000}, {"stop_energy_wh": 1}, {"stop_after_s": 2}, {"soc_pct": 100}, {"hlc": "ac"}, {"hlc": "ac"},
    {"hlc": "dc"}, {"hlc": "ac", "slac_fails": True}, {"hlc": "ac", "hlc_error": "SEQUENCE_ERROR"},
    {"hlc": "ac", "renegotiate_after_s": 4}, {"hlc": "ac", "pause_after_s": 4, "pause_s": 6}, {"hlc": "dc", "slac_fails": True},
    {"starts_in_c": True, "ignore_pwm": True}, {"ignore_pwm": True, "over_permille": 1_300},
)  # fmt: skip

_HEAD = """[station]
id = "RANDOM-AC"
vendor = "Example"
model = "AC"
serial_number = "RANDOM02"
data_dir = "{folder}/data"
[site]
limit_w = {limit_w}
[site.meter]
profile = "eastron/sdm630"
port = "{folder}/dev/meters"
address = 99
poll_ms = 500
[ocpp]
enabled = true
url = "ws://127.0.0.1:9000/ocpp"
sample_interval_s = 5
[api]
socket = "{folder}/evsed.sock"
"""
_GRID = "[site.grid]\nfuse_a = {fuse_a}\ndwell_s = 60\n"
_DC = """[modules]
interface = "udp_multicast"
channel = "239.0.0.1"
[[modules.groups]]
id = 1
addresses = [0, 1]
[[evse]]
id = {id}
home_group = 1
current_max_a = 200
power_max_w = 60000
board.port = "{folder}/dev/board{id}"
[evse.meter]
profile = "acrel/djsf1352-rn"
port = "{folder}/dev/dc-meters"
address = {id}
poll_ms = 500
"""
_AC = """[[evse]]
id = {id}
kind = "ac"
board.port = "{folder}/dev/board{id}"
[evse.meter]
profile = "eastron/sdm630"
port = "{folder}/dev/meters"
address = {id}
poll_ms = 500
[evse.ac]
inputs = 4
outputs = 2
{rows}
"""
_READER = """[[reader]]
name = "reader{first}"
port = "{folder}/dev/reader{first}"
evses = {evses}
"""


def _ac_rows(rng: Random) -> list[str]:
    """What one AC EVSE is made of."""
    amps = rng.choice((16, 32, 32))
    rows = [f"current_max_a = {amps}", f"grid_a = {rng.choice((-1, 16, 32))}"]
    socket = rng.random() < 0.65
    rows.append('connection = "socket"' if socket else f'connection = "cable"\ncable_a = {rng.choice((16, 20, 32))}')
    three = rng.random() < 0.8
    rows.append(f"phases = {3 if three else 1}")
    rows.append(f'phase_rotation = "{rng.choice(("RST", "STR", "TRS"))}"')
    rows.append(f'contactor_feedback = "{rng.choice(("no", "no", "nc", "none"))}"')
    rows.append(f'release = "{rng.choice(("ocpp", "ocpp", "ocpp", "free", "dashboard", "remote"))}"')
    hlc = rng.choice(("off", "off", "off", "optional", "required", "fake_dc"))
    rows.append(f'hlc = "{hlc}"')
    for flag in ("force_wake_up", "wake_up_after_30s", "rotary_switch", "rfid_needs_vehicle"):
        if rng.random() < 0.4:
            rows.append(f"{flag} = true")
    rows.append(f'reject_plugs = "{rng.choice(("none", "none", "13", "13+20"))}"')
    if rng.random() < 0.2:
        rows.append(f"failsafe_a = {rng.choice((6, 10))}")
    if rng.random() < 0.2:
        rows.append(f"fallback_a = 8\nfallback_s = {rng.choice((10, 40))}")
    if rng.random() < 0.2:
        rows.append("out_of_balance_a = 20")
    if rng.random() < 0.4:
        rows.append("emergency_input = 1")
    if rng.random() < 0.7:
        rows.append(f"rcd = {{ enabled = true, test = {'true' if rng.random() < 0.8 else 'false'} }}")
    switchable = three and hlc == "off"
    relay = rng.choice(("fan", "outside", "accepts", "none", *(("phases",) * 3 if switchable else ())))
    kind = rng.choice(("no", "nc", "none"))
    if relay == "phases":
        rows.append(f'phase_switch = {{ enabled = true, delay_s = 10, feedback = "{kind}" }}')
    elif relay in ("fan", "outside"):
        control = "internal" if relay == "fan" else "external"
        rows.append(f'ventilation = {{ enabled = true, control = "{control}", feedback = "{kind}" }}')
    elif relay == "accepts":
        rows.append("ventilation = { always_accept_d = true }")
    if socket:
        leaves = "true" if rng.random() < 0.8 else "false"
        rows.append(f'lock = {{ mode = "{rng.choice(("session", "session", "plugged", "never"))}", unlock_on_ev_disconnect = {leaves} }}')
    rows.append(f"over_current = {{ staged = {'true' if rng.random() < 0.3 else 'false'} }}")
    return rows


def ac_station(folder: Path, seed: int) -> StationConfig:
    """One to three AC EVSEs of any make, now and then beside a DC EVSE; one reader for all or one for each."""
    rng = Random(f"station {seed}")
    (folder / "data").mkdir(exist_ok=True)
    mixed, count = rng.random() < 0.3, rng.randint(1, 3)
    text = _HEAD.format(folder=folder, limit_w=rng.choice((22_000, 40_000, 80_000)))
    if rng.random() < 0.4 and not mixed:
        text += _GRID.format(fuse_a=rng.choice((25, 50)))
    if mixed:
        text += _DC.format(folder=folder, id=count + 1)
    for n in range(1, count + 1):
        text += _AC.format(folder=folder, id=n, rows="\n".join(_ac_rows(rng)))
    numbers = list(range(1, count + 1 + mixed))
    for evses in [numbers] if rng.random() < 0.3 else [[n] for n in numbers]:
        text += _READER.format(folder=folder, first=evses[0], evses=evses)
    return parse_config(text, "random.toml")


class AcDay(Chaos):
    """What a random day does to AC EVSEs, and how it watches them."""

    ac_manners: list[dict[str, Any]]
    _readers: dict[int, str]

    def _offence(self, text: str, wrong: bool, patience: int, now: Instant, key: str = "") -> None:
        raise NotImplementedError

    def _card(self) -> str:
        raise NotImplementedError

    def _section(self, c: int) -> EvseSection:
        return next(e for e in self._config.evse if e.id == c)

    def _is_ac(self, c: int) -> bool:
        return self._section(c).kind == "ac"

    def _ac_numbers(self) -> tuple[int, ...]:
        return tuple(e.id for e in self._config.evse if e.kind == "ac")

    # -- chaos -----------------------------------------------------------------------------------------------------

    async def _chaos_dynamic_limit(self, rng: Random) -> None:
        name = rng.choice(("ems", "ems", "house", "a", "b", "c", "d"))
        if rng.random() < 0.25:
            await self._api("limits.clear", {"name": name})
        else:
            amps = rng.choice((-1, 0, 5_900, 6_000, 9_540, 13_000, 16_000, 32_000, 80_000))
            await self._api("limits.set", {"name": name, "current_ma": amps, "evse_id": rng.choice((0, *self._ac_numbers()))})

    async def _chaos_pause(self, rng: Random) -> None:
        c = rng.choice(self._ac_numbers())
        await self._api("connector.pause", {"evse_id": c})
        await self._later(rng.uniform(0.1, 20), lambda: self._api("connector.allow", {"evse_id": c}))

    async def _chaos_phases(self, rng: Random) -> None:
        request = {"evse_id": rng.choice(self._ac_numbers()), "phases": rng.choice((1, 3))}
        if rng.random() < 0.5:
            request["delay_s"] = rng.choice((10, 30))
        await self._api("phase.set", request)

    async def _chaos_lock(self, rng: Random) -> None:
        c = rng.choice(self._ac_numbers())
        await self._api("lock.unlock", {"evse_id": c, "hold": rng.random() < 0.7})
        if rng.random() < 0.5:
            await self._later(rng.uniform(0.1, 30), lambda: self._api("lock.lock", {"evse_id": c}))

    async def _chaos_rcd_test(self, rng: Random) -> None:
        await self._api("rcd.test", {"evse_id": rng.choice(self._ac_numbers())})

    async def _chaos_ventilation(self, rng: Random) -> None:
        on, there = rng.random() < 0.6, rng.random() < 0.7
        await self._api("ventilation.set", {"evse_id": rng.choice(self._ac_numbers()), "available": there, "on": on})

    async def _chaos_hlc(self, rng: Random) -> None:
        what = rng.choice(("pause", "resume", "renegotiate", "reinit"))
        await self._api("hlc.request", {"evse_id": rng.choice(self._ac_numbers()), "what": what})

    async def _chaos_manners(self, rng: Random) -> None:
        """A vehicle changes its mind while it is plugged in."""
        c = rng.choice(self._ac_numbers())
        change = rng.choice((
            {"ventilation": True}, {"ventilation": False}, {"ignore_pwm": True}, {"ignore_pwm": False}, {"max_ma": 6_000},
            {"max_ma": 32_000}, {"over_permille": 1_300}, {"over_permille": 0}, {"follow_ms": 4_900}, {"no_diode": True},
        ))  # fmt: skip
        if self._lab.sim.world.ac_by_id[c].ev is not None:
            await self._do(cmd="set_ev", connector=c, **change)

    async def _chaos_rotary(self, rng: Random) -> None:
        c = rng.choice(self._ac_numbers())
        ac = self._section(c).ac
        if ac is not None and ac.rotary_switch:
            first = 8 if ac.phases == 3 else 0  # as many phases as there are
            await self._do(cmd="rotary", connector=c, position=first + rng.randrange(8))

    async def _chaos_permission(self, rng: Random) -> None:
        c = rng.choice(self._ac_numbers())
        await self._api(rng.choice(("connector.release", "connector.withdraw")), {"evse_id": c})

    async def _chaos_input(self, rng: Random) -> None:
        c, number = rng.choice(self._ac_numbers()), rng.randint(1, 4)
        await self._do(cmd="input", connector=c, input=number, on=True, hold_ms=rng.choice((60, 500, 5_000)))

    async def _chaos_swap(self, rng: Random) -> None:
        """One car is torn off and the next is there before anybody has looked."""
        c = rng.choice(self._ac_numbers())
        if self._lab.sim.world.ac_by_id[c].ev is not None:
            await self._do(cmd="plug_out", connector=c, force=True)
            await self._later(rng.choice((0.06, 0.2, 0.6)), lambda: self._do(cmd="plug_in", connector=c, soc_pct=30))

    # -- the end of the day ----------------------------------------------------------------------------------------

    def _car(self, c: int) -> bool:
        world = self._lab.sim.world
        return (world.ac_by_id[c].ev if c in world.ac_by_id else world.by_id[c].ev) is not None

    async def _ac_rest(self) -> None:
        """Everything that people have set is taken back."""
        for c in self._ac_numbers():
            for name in ("ems", "house", "a", "b", "c", "d"):
                await self._api("limits.clear", {"name": name, "evse_id": c})
            await self._api("connector.allow", {"evse_id": c})
            await self._api("connector.withdraw", {"evse_id": c})
            await self._api("lock.lock", {"evse_id": c})
            await self._api("hlc.request", {"evse_id": c, "what": "resume"})

    def _keeps_plug(self, c: int) -> bool:
        """Locked as long as a plug is in: only the vehicle's end of the cable can be drawn."""
        ac = self._section(c).ac
        return ac is not None and ac.connection == "socket" and ac.lock.mode == "plugged"

    def _normal_car(self, c: int) -> dict[str, Any]:
        """A car that can charge there: with ISO 15118 where it is required, with a cable that is accepted."""
        ac = self._section(c).ac
        if ac is None:
            return {}
        return {"cable": "32", "phases": 3} | ({"hlc": "ac"} if ac.hlc == "required" else {})

    async def _permit(self, c: int) -> None:
        """Give permission in the way that the EVSE asks for."""
        ac = self._section(c).ac
        if ac is not None and ac.release in ("dashboard", "remote"):
            operation = "connector.release" if ac.release == "dashboard" else "connector.start"
            await self._api(operation, {"evse_id": c, "id_token": self._card()})
        elif ac is None or ac.release != "free":
            await self._do(cmd="swipe", token=self._card(), reader=self._readers[c])

    # -- physics ---------------------------------------------------------------------------------------------------

    def _ac_physics(self, sim: SimStation, now: Instant) -> None:
        state = self._lab.station.loop.state
        estop = any(board.plant.estop for board in sim.boards.values())
        for point in sim.world.ac:
            n, plant = point.evse_id, point.plant
            closed = point.closed and not plant.main.welded
            wants = plant.cp in (CpState.C, CpState.D)
            self._offence(f"EVSE {n}: contactor closed in pilot {plant.cp.value}", closed and not wants, OPEN_GRACE_NS, now, f"pilot {n}")
            self._offence(f"EVSE {n}: contactor closed without a daemon", closed and not self._alive, OPEN_GRACE_NS, now)
            self._offence(f"EVSE {n}: contactor closed under emergency stop", closed and estop, 2 * OPEN_GRACE_NS, now)
            drive = plant.drive
            loose = drive is not None and not drive.locked and plant.spec.lock_mode is not LockMode.NEVER
            self._offence(f"EVSE {n}: contactor closed with an open lock", closed and loose, LOCK_GRACE_NS, now)
            emergency = self._alive and any(
                r.present and FAULTS[r.code].reaction is Reaction.EMERGENCY
                for r in (*state.faults, *next(e.faults for e in state.evses if e.evse_id == n))
            )
            self._offence(f"EVSE {n}: closed during an EMERGENCY fault", closed and emergency, 2 * OPEN_GRACE_NS, now)
            self._ac_current(point, closed, now)

    def _ac_current(self, point: AcConnectorWorld, closed: bool, now: Instant) -> None:
        """A vehicle that keeps to the pilot never takes more than it was told; any other is stopped."""
        n, out = point.evse_id, point.plant.out
        basic = out.pilot is not PilotMode.PWM or out.duty_bp > 700
        told = told_ma(out.duty_bp) if out.pilot is PilotMode.PWM else 0
        ev = point.ev
        if ev is None or not basic or not closed:
            told = 1_000_000
        over = point.current_ma > told + 600
        text = f"EVSE {n}: more current than the pilot says"
        self._offence(text, over and not self._misbehaves(point), FOLLOW_NS, now, f"over {n}")
        much = point.current_ma > max(told * 1.25, told + 1_000)
        self._offence(f"EVSE {n}: far too much current", much and self._meter_reads(n), OVER_NS, now, f"much {n}")

    @staticmethod
    def _misbehaves(point: AcConnectorWorld) -> bool:
        ev = point.ev
        return ev is not None and (ev.spec.ignore_pwm or ev.spec.over_permille > 1000)

    def _meter_reads(self, n: int) -> bool:
        """Over-current is judged by the meter."""
        return self._alive and not any("meter" in row["fault"] or "line" in row["fault"] for row in self._lab.sim.active_faults.values())


__all__ = ["AC_CHAOS", "AC_MANNERS", "AcDay", "ac_station"]
