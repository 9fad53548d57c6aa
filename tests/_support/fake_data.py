"""The believable station behind `tests._support.fake_service`: constants and builders, the same on every run."""

from __future__ import annotations

import tomllib
from typing import Any

from evse.api import models as m
from evse.domain.faults import FaultCode, LatchRule, Reaction, Severity
from evse.domain.limits import Allocation, GroupAssignment, LimitEntry, LimitSource, Plan
from evse.domain.session import (
    AuthSource,
    ChargingState,
    OperationalStatus,
    SessionPhase,
    SessionRecord,
    StopReason,
)
from evse.domain.signals import HlcStep
from evse.domain.view import Event, EvseView, StationView
from evse.units import NS_PER_S, WallNs

STATION_FILE = "/etc/evse/station.toml"
T0: WallNs = 1_767_261_600 * NS_PER_S
"""2026-01-01T10:00:00Z: "now" of the fake until it is advanced."""

STARTED_AT: WallNs = T0 - 3 * 3600 * NS_PER_S

TOKENS = ("04A3B2C1D0E5F6", "DE-ABC-C00012345", "8804C2D7", "04FF13A2B49C80")
REASONS = (StopReason.STOPPED_BY_EV, StopReason.LOCAL, StopReason.REMOTE, StopReason.EV_DISCONNECTED)


def minutes(value: int) -> int:
    """Nanoseconds of ``value`` minutes."""
    return value * 60 * NS_PER_S


def charging_session() -> SessionRecord:
    """The session that runs on EVSE 1: 11 minutes old, 3.1 kWh."""
    return SessionRecord(
        session_id="s-000025",
        evse_id=1,
        connector_id=1,
        plugged_at=T0 - minutes(12),
        started_at=T0 - minutes(11),
        energy_wh=3_120,
        meter_start_wh=1_284_310,
        soc_start_pct=11,
        soc_end_pct=18,
        power_max_w=18_240,
        auth_source=AuthSource.RFID,
        id_token=TOKENS[0],
        evcc_id="0010BADA5501",
        transaction_id=4711,
    )


def past_session(number: int) -> SessionRecord:
    """Session ``number`` (1..24, 24 newest), alternating between the EVSEs. Every eighth ended by a fault."""
    plugged = T0 - minutes(95 * (25 - number) + 20)
    energy = 6_000 + (number * 7_919) % 41_000
    took = 15 + energy // 900
    faulty = number % 8 == 0
    return SessionRecord(
        session_id=f"s-{number:06d}",
        evse_id=1 + number % 2,
        connector_id=1,
        plugged_at=plugged,
        started_at=plugged + minutes(1),
        ended_at=plugged + minutes(took),
        unplugged_at=plugged + minutes(took + 3),
        energy_wh=energy,
        meter_start_wh=1_000_000 + number * 11_000,
        meter_stop_wh=1_000_000 + number * 11_000 + energy,
        soc_start_pct=8 + number % 30,
        soc_end_pct=min(100, 8 + number % 30 + energy // 700),
        power_max_w=40_000 + number * 1_000,
        auth_source=AuthSource.REMOTE if number % 3 == 0 else AuthSource.RFID,
        id_token=TOKENS[number % len(TOKENS)],
        evcc_id=f"0010BADA{0x5500 + number:04X}",
        transaction_id=4_600 + number,
        stop_reason=StopReason.EMERGENCY_STOP if faulty else REASONS[number % len(REASONS)],
        fault="F1 EmergencyStop" if faulty else "",
    )


def charging_evse() -> EvseView:
    """EVSE 1: 17.6 kW at 391.2 V, SoC 18 %, held back by nothing but what the car asks for."""
    return EvseView(
        evse_id=1,
        connector_id=1,
        phase=SessionPhase.CHARGING,
        charging_state=ChargingState.CHARGING,
        step=HlcStep.CURR,
        plugged=True,
        operational=OperationalStatus.OPERATIVE,
        operational_backend=OperationalStatus.OPERATIVE,
        operational_local=OperationalStatus.OPERATIVE,
        reserved=False,
        power_w=17_600,
        voltage_mv=391_200,
        current_ma=44_990,
        soc_pct=18,
        demand_mv=400_000,
        demand_ma=45_000,
        demand_w=18_000,
        temperature_dc=412,
        offered_w=18_000,
        limits=(
            LimitEntry(source=LimitSource.EV, power_w=18_000, binds=True, age_s=0, detail="car asks for 45 A at 400 V"),
            LimitEntry(source=LimitSource.PLAN, power_w=60_000, binds=False, age_s=41),
            LimitEntry(source=LimitSource.SITE, power_w=80_000, binds=False, detail="site.limit_w"),
            LimitEntry(source=LimitSource.HARDWARE, power_w=180_000, binds=False),
        ),
        chain=(1, 2),
        isolation_kohm=1_850,
        contactor_closed=True,
        locked=True,
        bms_stale=False,
        auth_state="granted",
        stop_reason=None,
        session=charging_session(),
        faults=(),
    )


def idle_evse(evse_id: int) -> EvseView:
    """An EVSE without a car."""
    return EvseView(
        evse_id=evse_id,
        connector_id=1,
        phase=SessionPhase.IDLE,
        charging_state=ChargingState.IDLE,
        step=None,
        plugged=False,
        operational=OperationalStatus.OPERATIVE,
        operational_backend=OperationalStatus.OPERATIVE,
        operational_local=OperationalStatus.OPERATIVE,
        reserved=False,
        power_w=0,
        voltage_mv=0,
        current_ma=0,
        soc_pct=None,
        demand_mv=None,
        demand_ma=None,
        demand_w=None,
        temperature_dc=236,
        offered_w=0,
        limits=(),
        chain=(),
        isolation_kohm=None,
        contactor_closed=False,
        locked=False,
        bms_stale=False,
        auth_state="none",
        stop_reason=None,
        session=None,
        faults=(),
        waiting_for="plug in the vehicle",
    )


def station_view() -> StationView:
    """Both EVSEs under a site limit of 80 kW."""
    return StationView(
        wall=T0,
        evses=(charging_evse(), idle_evse(2)),
        faults=(),
        site_power_w=18_940,
        site_limit_w=80_000,
        assigned_w=18_000,
        operational=OperationalStatus.OPERATIVE,
        plan_version=7,
    )


def ocpp_summary() -> m.OcppSummary:
    """A connected back end."""
    return m.OcppSummary(
        enabled=True,
        url="wss://csms.example.org/ocpp/DC-0001",
        connected=True,
        registration="Accepted",
        since=T0 - minutes(172),
        last_error="",
        sent=412,
        received=409,
        queued=0,
        heartbeat_s=300,
        last_heartbeat=T0 - minutes(2),
    )


def _link(name: str, kind: str, where: str, frames: int) -> m.DeviceLink:
    return m.DeviceLink(
        name=name, kind=kind, where=where, online=True, detail="",
        frames_in=frames, frames_out=frames, errors=0, reconnects=0,
    )  # fmt: skip


LINKS = (
    _link("board-1", "board", "/dev/serial/by-id/usb-Example_PLC_0001-if00", 108_000),
    _link("board-2", "board", "/dev/serial/by-id/usb-Example_PLC_0002-if00", 107_940),
    _link("modules", "power_modules", "can0", 64_800),
    _link("meter-1", "meter", "/dev/ttyRS485#11", 10_800),
    _link("meter-2", "meter", "/dev/ttyRS485#12", 10_800),
    _link("site", "meter", "/dev/ttyRS485#1", 10_790),
    _link("rfid", "reader", "/dev/ttyUSB2", 21_600),
)

SYSTEM = m.System(
    version="0.1.0",
    started_at=STARTED_AT,
    uptime_s=3 * 3600,
    config_path=STATION_FILE,
    data_dir="/var/lib/evse",
    pid=812,
    tick=m.TickStats(count=216_000, late=2, lateness_max_ms=61.4, duration_mean_us=312.0),
    simulated=True,
)


def plan() -> Plan:
    """Plan 7: groups 1 and 2 serve EVSE 1, the others rest."""
    return Plan(
        version=7,
        allocations=(
            Allocation(
                evse_id=1, requested_w=18_000, offered_w=60_000, allowed_w=60_000, assigned_w=60_000, chain=(1, 2),
                offered_chain=(1, 2), binding=LimitSource.EV, detail="car asks for 45 A at 400 V",
            ),
            Allocation(
                evse_id=2, requested_w=0, offered_w=60_000, allowed_w=0, assigned_w=0, chain=(), offered_chain=(3, 4)
            ),
        ),
        groups=(
            GroupAssignment(group_id=1, owner=1),
            GroupAssignment(group_id=2, owner=1),
            GroupAssignment(group_id=3, owner=None),
            GroupAssignment(group_id=4, owner=None),
        ),
        site_limit_w=80_000,
        reason="EVSE 1 began to charge",
    )  # fmt: skip


def group_rows() -> tuple[m.GroupRow, ...]:
    """Four groups of 30 kW in bus order."""
    rows = []
    for group, home, owner, role, tie in (
        (1, 1, 1, "home", "closed"),
        (2, 1, 1, "home", "open"),
        (3, 2, None, "idle", "open"),
        (4, 2, None, "idle", "none"),
    ):
        on = owner is not None
        row = m.GroupRow(
            group_id=group, home_evse=home, owner=owner, role=role, on=on, tie=tie, contribution_w=8_800 if on else 0,
            modules=1, modules_present=1, voltage_mv=391_400 if on else 0, current_ma=22_500 if on else 0,
            temperature_dc=448 if on else 251, faults=(),
        )  # fmt: skip
        rows.append(row)
    return tuple(rows)


SETTINGS = m.PlannerSettings(
    limit_w=80_000, ocpp_limit_w=0, group_power_w=0, max_groups=0, allow_cross=True,
    file_limit_w=80_000, file_ocpp_limit_w=0, file_group_power_w=0, file_max_groups=0, file_allow_cross=True,
    override=False,
)  # fmt: skip


def _meter(name: str, evse_id: int, profile: str, address: int, **values: int) -> m.MeterRow:
    return m.MeterRow(
        name=name, evse_id=evse_id, profile=profile, port="/dev/ttyRS485", address=address, online=True, detail="",
        age_ms=240, power_w=values.get("power_w"), energy_import_wh=values.get("energy_wh"), energy_export_wh=0,
        voltage_mv=values.get("voltage_mv"), current_ma=values.get("current_ma"),
        frequency_mhz=values.get("frequency_mhz"), poll_ms=1_000, unavailable_ms=5_000, polls=10_800,
    )  # fmt: skip


METERS = (
    _meter("site", 0, "eastron/sdm630", 1, power_w=18_940, energy_wh=91_204_330, voltage_mv=231_400,
           current_ma=27_310, frequency_mhz=50_010),
    _meter("meter-1", 1, "example/dc-meter", 11, power_w=17_600, energy_wh=1_287_430, voltage_mv=391_200,
           current_ma=44_990),
    _meter("meter-2", 2, "example/dc-meter", 12, power_w=0, energy_wh=1_041_020, voltage_mv=0, current_ma=0),
)  # fmt: skip

PLC = m.PlcDiscovery(
    items=(
        m.PlcRow(evse_id=1, port=LINKS[0].where, detected=True, configured=True, matched=True, online=True,
                 firmware="1.4.2", board_id="PLC-0001"),
        m.PlcRow(evse_id=2, port=LINKS[1].where, detected=True, configured=True, matched=True, online=True,
                 firmware="1.4.2", board_id="PLC-0002"),
    ),
    in_sync=True,
)  # fmt: skip

READERS = m.Readers(
    items=(
        m.ReaderRow(name="rfid", port="/dev/ttyUSB2", online=True, detail="SL032", last_token=TOKENS[0],
                    last_at=T0 - minutes(11), evses=(1, 2)),
    )
)  # fmt: skip

CONFIG_TEXT = """\
schema_version = 1

[station]
id = "DC-0001"
support_phone = "+49 30 1234567"

[site]
limit_w = 80000

[[evse]]
id = 1
[evse.board]
port = "/dev/serial/by-id/usb-Example_PLC_0001-if00"

[[evse]]
id = 2
[evse.board]
port = "/dev/serial/by-id/usb-Example_PLC_0002-if00"
"""

CHECKS = (
    m.Check(name="boards", result="ok", detail="2 of 2 online"),
    m.Check(name="power modules", result="ok", detail="4 of 4 answer"),
    m.Check(name="meters", result="ok", detail="3 of 3 online"),
    m.Check(name="back end", result="ok", detail="connected for 172 min"),
    m.Check(name="storage", result="ok", detail="database sound, 12 MB"),
    m.Check(name="clock", result="warning", detail="not synchronised", remedy="check NTP: timedatectl timesync-status"),
)


def first_events() -> tuple[Event, ...]:
    """The newest twelve events; the last has seq 1012."""
    rows: tuple[tuple[int, str, int, dict[str, str | int | bool | None]], ...] = (
        (175, "station.started", 0, {"version": "0.1.0"}),
        (172, "ocpp.connected", 0, {"url": "wss://csms.example.org/ocpp/DC-0001"}),
        (14, "session.ended", 2, {"session_id": "s-000024", "energy_wh": 20056}),
        (12, "connector.plugged", 1, {}),
        (12, "hlc.step", 1, {"step": "SAP"}),
        (12, "auth.waiting", 1, {}),
        (11, "token.presented", 1, {"reader": "rfid", "id_token": TOKENS[0]}),
        (11, "auth.granted", 1, {"source": "rfid"}),
        (11, "transaction.started", 1, {"session_id": "s-000025", "meter_start_wh": 1284310}),
        (11, "contactor.closed", 1, {}),
        (11, "hlc.step", 1, {"step": "Curr"}),
        (10, "plan.changed", 0, {"version": 7}),
    )
    return tuple(
        Event(seq=1001 + i, wall=T0 - minutes(ago), kind=kind, evse_id=evse_id, data=data)
        for i, (ago, kind, evse_id, data) in enumerate(rows)
    )


def _fault(code: FaultCode, name: str, scope: str, severity: Severity, reaction: Reaction, latch: LatchRule,
           ocpp16: str, *texts: str) -> m.FaultText:  # fmt: skip
    description, cause, impact, remote, on_site = texts
    return m.FaultText(
        code=code.value, name=name, scope=scope, severity=severity.value, reaction=reaction.value, latch=latch.value,
        ocpp16=ocpp16, kinds="dc" if code in (FaultCode.BMS_STALE, FaultCode.INSULATION) else "both",
        priority=int(code.value[1:]) * 10, vendor_code=code.value, faulted=severity is not Severity.WARNING,
        description=description, cause=cause, impact=impact, remedy_remote=remote,
        remedy_on_site=on_site,
    )  # fmt: skip


FAULT_TEXTS: dict[FaultCode, m.FaultText] = {
    FaultCode.EMERGENCY_STOP: _fault(
        FaultCode.EMERGENCY_STOP, "EmergencyStop", "evse", Severity.CRITICAL, Reaction.EMERGENCY, LatchRule.MANUAL,
        "OtherError",
        "The emergency stop is pressed.", "Somebody pressed the button, or its loop is open.",
        "No energy on this connector.", "Ask on site why it was pressed.",
        "Make sure that there is no danger, release the button, clear the fault.",
    ),
    FaultCode.BMS_STALE: _fault(
        FaultCode.BMS_STALE, "BmsStale", "evse", Severity.FAULT, Reaction.STOP, LatchRule.AUTO,
        "EVCommunicationError",
        "The vehicle has not sent values for 2 s.", "PLC disturbed or vehicle controller stopped.",
        "Charging stops.", "Wait: the fault goes away when values come again.", "Unplug, plug in again.",
    ),
    FaultCode.INSULATION: _fault(
        FaultCode.INSULATION, "Insulation", "evse", Severity.CRITICAL, Reaction.EMERGENCY, LatchRule.MANUAL,
        "GroundFailure",
        "Insulation of the DC output is too low.", "Damaged cable, water, or a fault in the vehicle.",
        "No energy on this connector.", "Do not clear without a visit.", "Measure the cable; try another vehicle.",
    ),
    FaultCode.CONNECTOR_OVER_TEMPERATURE: _fault(
        FaultCode.CONNECTOR_OVER_TEMPERATURE, "ConnectorOverTemperature", "evse", Severity.FAULT, Reaction.STOP,
        LatchRule.AUTO, "HighTemperature",
        "The connector is too hot.", "Worn contacts or blocked cooling.", "Charging stops until it has cooled.",
        "Lower the power of this connector.", "Inspect the contacts.",
    ),
    FaultCode.METER_LOST: _fault(
        FaultCode.METER_LOST, "MeterLost", "evse", Severity.FAULT, Reaction.STOP, LatchRule.AUTO,
        "PowerMeterFailure",
        "The DC meter does not answer.", "RS-485 wiring, address or supply of the meter.",
        "No billing values, charging stops.", "evsectl meter probe names the register.", "Check wiring, termination.",
    ),
    FaultCode.SITE_METER_LOST: _fault(
        FaultCode.SITE_METER_LOST, "SiteMeterLost", "station", Severity.WARNING, Reaction.DERATE, LatchRule.AUTO,
        "PowerMeterFailure",
        "The site meter does not answer.", "RS-485 wiring, address or supply of the meter.",
        "Planning uses commanded power.", "evsectl meter probe names the register.", "Check wiring, termination.",
    ),
}  # fmt: skip


def points(row: SessionRecord, now: int) -> tuple[m.SessionPoint, ...]:
    """One point a minute: a ramp, a plateau and a taper; energy and SoC rise evenly."""
    start = row.started_at or row.plugged_at
    end = row.ended_at or now
    count = min(240, max(2, (end - start) // minutes(1)))
    first = row.soc_start_pct or 0
    last = row.soc_end_pct or first
    points = []
    for i in range(count):
        share = min(1_000, 250 * (i + 1), 200 * (count - i))
        points.append(
            m.SessionPoint(
                wall=start + (end - start) * i // (count - 1),
                power_w=row.power_max_w * share // 1_000,
                soc_pct=first + (last - first) * i // (count - 1),
                energy_wh=row.energy_wh * i // (count - 1),
            )
        )
    return tuple(points)


def compare(old: str, new: str) -> tuple[tuple[str, ...], tuple[m.ConfigChange, ...]]:
    """TOML errors and changed keys; ``site.*`` is live, the rest needs a restart."""
    try:
        before, after = _flat(tomllib.loads(old)), _flat(tomllib.loads(new))
    except tomllib.TOMLDecodeError as error:
        return (f"{STATION_FILE}: {error}",), ()
    known = {"schema_version", "profile", "station", "site", "evse", "modules", "reader", "ocpp", "api"}
    problems = tuple(
        f"{STATION_FILE}: {key} = {value}: unknown section; remove it"
        for key, value in sorted(after.items())
        if key.split(".")[0].split("[")[0] not in known
    )
    changes = tuple(
        m.ConfigChange(key=k, old=before.get(k, ""), new=after.get(k, ""), apply=_apply(k))
        for k in sorted({*before, *after})
        if before.get(k) != after.get(k)
    )
    return problems, changes


def _apply(key: str) -> str:
    return "live" if key.startswith("site.") else "restart"


def _flat(value: Any, path: str = "") -> dict[str, str]:
    if isinstance(value, dict):
        return {k: v for key, x in value.items() for k, v in _flat(x, f"{path}.{key}" if path else key).items()}
    if isinstance(value, list):
        return {k: v for i, x in enumerate(value) for k, v in _flat(x, f"{path}[{i}]").items()}
    return {path: str(value)}
