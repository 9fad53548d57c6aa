"""Operations on field devices: boards, meters, readers, the recorder, and the doctor's checks."""

from __future__ import annotations

from pathlib import Path

from evse.api import models as m
from evse.api.errors import ApiError, ErrorCode
from evse.api.operations import Empty
from evse.api.service import Caller
from evse.devices.discovery import discover
from evse.domain.readings import MeterValues, Sample
from evse.runtime.station import Station
from evse.units import NS_PER_MS


class DeviceOperations:
    """``plc.*``, ``meter.*``, ``rfid.*``, ``trace.*``."""

    _station: Station

    async def plc_discover(self, request: Empty, caller: Caller) -> m.PlcDiscovery:
        """Boards detected on USB, configured, and matched."""
        station = self._station
        configured = {evse.id: evse.board.port for evse in station.file_config.evse}
        rows = []
        detected = station.openers.list_serial()
        detected += [port for port in configured.values() if port not in detected and _exists(port)]
        for row in discover(detected, configured):
            board = station.devices.boards.get(row.evse_id) if row.evse_id is not None else None
            info = board.info if board is not None else None
            rows.append(
                m.PlcRow(
                    evse_id=row.evse_id,
                    port=row.port,
                    detected=row.detected,
                    configured=row.configured,
                    matched=row.matched,
                    online=board is not None and isinstance(board.reading(), Sample),
                    firmware=info.firmware if info is not None else "",
                    board_id=info.board_id if info is not None else "",
                    hint=row.hint,
                )
            )
        return m.PlcDiscovery(items=tuple(rows), in_sync=all(row.matched for row in rows))

    async def meter_read(self, request: m.MeterRef, caller: Caller) -> m.Meters:
        """Latest values."""
        rows = [self._meter_row(evse_id) for evse_id in self._station.devices.meters]
        if request.name:
            rows = [row for row in rows if request.name in (row.name, str(row.evse_id))]
            if not rows:
                raise self._no_meter(request.name)
        return m.Meters(items=tuple(rows))

    async def meter_probe(self, request: m.ProbeRequest, caller: Caller) -> m.ProbeResult:
        """Read every register now."""
        for evse_id, meter in self._station.devices.meters.items():
            if request.name in (meter.name, str(evse_id), "site" if evse_id == 0 else ""):
                registers = await meter.probe()
                bad = sum(1 for *_, error in registers if error)
                return m.ProbeResult(
                    name=meter.name,
                    ok=bad == 0,
                    detail=f"{len(registers) - bad} of {len(registers)} quantities read",
                    registers=tuple(
                        m.ProbeRegister(quantity=quantity, address=address, raw=raw, value=value, error=error)
                        for quantity, address, raw, value, error in registers
                    ),
                )
        raise self._no_meter(request.name)

    async def rfid_last(self, request: Empty, caller: Caller) -> m.Readers:
        """Readers and the last card."""
        station = self._station
        rows = []
        for section in station.file_config.reader:
            reader = station.devices.readers.get(section.name)
            if reader is None:  # the configuration was changed meanwhile
                rows.append(
                    m.ReaderRow(
                        name=section.name,
                        port=section.port,
                        online=False,
                        detail="in the configuration since the daemon started; needs a restart",
                        last_token="",
                        last_at=None,
                        evses=section.evses,
                    )
                )
                continue
            link = reader.health()[0]
            last_at = None if reader.last is None else station.clock.wall() - (station.clock.now() - reader.last[0])
            rows.append(
                m.ReaderRow(
                    name=section.name,
                    port=section.port,
                    online=link.online,
                    detail=link.detail,
                    last_token=reader.last[1] if reader.last is not None else "",
                    last_at=last_at,
                    evses=section.evses,
                )
            )
        return m.Readers(items=tuple(rows))

    async def trace_dump(self, request: Empty, caller: Caller) -> m.TraceDump:
        """Write the recorder to a file."""
        path, ticks, size = self._station.dump_trace(f"asked by {caller.user}")
        return m.TraceDump(path=str(path), ticks=ticks, seconds=ticks // 20, bytes=size)

    async def doctor_run(self, request: Empty, caller: Caller) -> m.Doctor:
        """Check everything that can be checked without disturbing a session."""
        station = self._station
        checks = [
            m.Check(
                name=link.name,
                result="ok" if link.online else "failed",
                detail=link.detail or f"{link.where} answers",
                remedy=""
                if link.online
                else "check power, cable and port in the configuration; then: evsectl plc discover, evsectl meter read",
            )
            for link in station.devices.health()
        ]
        checks.append(self._check_backend())
        waiting = station.restart_needed()
        checks.append(
            m.Check(
                name="configuration",
                result="warning" if waiting else "ok",
                detail=f"waits for a restart: {', '.join(waiting)}" if waiting else "the file is in force",
                remedy="when no session runs: systemctl restart evsed" if waiting else "",
            )
        )
        stats = station.loop.stats
        late = stats.late * 100 // max(1, stats.count)
        checks.append(
            m.Check(
                name="control loop",
                result="ok" if late < 1 else "warning",
                detail=f"{stats.count} ticks, {stats.late} late, worst {stats.lateness_max_ns / NS_PER_MS:.1f} ms",
                remedy="" if late < 1 else "another program takes the processor; look with: top",
            )
        )
        aside = station.store.set_aside
        checks.append(
            m.Check(
                name="storage",
                result="warning" if aside else "ok" if station.loop.storage_ok else "failed",
                detail=f"a damaged database was moved to {aside}"
                if aside
                else "writes are durable"
                if station.loop.storage_ok
                else "writes fail",
                remedy="keep the moved file for support"
                if aside
                else ""
                if station.loop.storage_ok
                else "check free space: df -h",
            )
        )
        valid = station.clock.wall_valid()
        checks.append(
            m.Check(
                name="clock",
                result="ok" if valid else "warning",
                detail="set" if valid else "never set since power-up",
                remedy="" if valid else "connect the back end or set the time",
            )
        )
        for record in station.view().faults:
            checks.append(
                m.Check(
                    name=f"fault {record.code.value}",
                    result="failed",
                    detail=record.detail,
                    remedy=f"evsectl fault explain {record.code.value}",
                )
            )
        return m.Doctor(checks=tuple(checks))

    def _check_backend(self) -> m.Check:
        ocpp = self._station.ocpp
        if ocpp is None:
            return m.Check(name="back end", result="skipped", detail="OCPP is switched off")
        summary = ocpp.summary()
        ok = summary.connected and summary.registration == "Accepted"
        return m.Check(
            name="back end",
            result="ok" if ok else "failed",
            detail=f"{summary.url}: {summary.registration or 'not registered'}"
            if summary.connected
            else f"{summary.url}: {summary.last_error or 'not connected'}",
            remedy="" if ok else "check ocpp.url and ocpp.charge_point_id; messages: evsectl ocpp messages",
        )

    def _meter_row(self, evse_id: int) -> m.MeterRow:
        meter, section = self._station.devices.meters[evse_id], self._station.devices.sections[evse_id]
        reading = meter.reading()
        fresh = isinstance(reading, Sample)
        v = reading.value if isinstance(reading, Sample) else MeterValues()
        signer = self._station.devices.signers.get(evse_id)
        who = None if signer is None else signer.identity
        return m.MeterRow(
            name=meter.name,
            evse_id=evse_id,
            profile=section.profile,
            port=section.port,
            address=section.address,
            online=fresh,
            detail="" if isinstance(reading, Sample) else reading.detail,
            age_ms=(self._station.clock.now() - reading.at) // NS_PER_MS if isinstance(reading, Sample) else None,
            power_w=v.power_w,
            energy_import_wh=v.energy_import_wh,
            energy_export_wh=v.energy_export_wh,
            voltage_mv=v.voltage_mv,
            current_ma=v.current_ma,
            voltage_l_mv=v.voltage_l_mv,
            current_l_ma=v.current_l_ma,
            frequency_mhz=v.frequency_mhz,
            temperature_dc=v.temperature_dc,
            power_l_w=v.power_l_w,
            poll_ms=meter.poll_ms,
            unavailable_ms=meter.profile.bus.unavailable_ms,
            polls=meter.polls,
            errors=meter.errors,
            signed=section.signed if evse_id and meter.profile.signing is not None else "",
            serial="" if who is None else who.serial,
            public_key="" if who is None else who.public_key,
            not_signed="" if signer is None else signer.problem,
        )

    def _no_meter(self, name: str) -> ApiError:
        known = ", ".join(meter.name for meter in self._station.devices.meters.values()) or "none"
        return ApiError(ErrorCode.NOT_FOUND, f"there is no meter {name!r}", f"meters of this station: {known}")


def _exists(port: str) -> bool:
    """A port that is configured by a plain name (/dev/ttyS0) has no entry below by-id, but it is there."""
    return Path(port).exists()
