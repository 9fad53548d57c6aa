"""Takes the readings that `metering` says are due: those of transactions into the outbox, the others onto the link."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Callable

from evse.domain.base import DeviceError
from evse.domain.clock import Clock
from evse.domain.records import PointRecord
from evse.domain.session import SessionRecord
from evse.domain.view import EvseView, StationView
from evse.ocpp import v16
from evse.ocpp.engine import CallTimeout, Engine
from evse.ocpp.keys import Keys
from evse.ocpp.messages import CallError, Payload, timestamp
from evse.ocpp.metering import (
    BEGIN,
    CLOCK,
    END,
    PERIODIC,
    TRIGGER,
    Sample,
    Sampler,
    sampled_values,
    signed_value,
    site_values,
    transaction_data,
)
from evse.ocpp.metering_ac import Moment
from evse.ocpp.ports import StationPort, StorePort
from evse.ocpp.tx_data import TxData
from evse.units import NS_PER_S, DurationNs, WallNs

log = logging.getLogger(__name__)

LOOSE_MAX = 200
"""Readings outside transactions that wait for the link; the oldest goes first (they are not kept offline)."""

MOMENTS_MAX = 64
"""Begins of transactions of AC EVSEs that are remembered for StopTransaction."""

OCMF = "OCMF|"
"""A signed reading that is not written in hexadecimal digits begins so."""

END_LATE_MAX_NS: DurationNs = 5 * NS_PER_S
"""An end that lies further back than this is told without what is measured now."""


class Readings:
    """The meter side of the client. ``stored`` is called when a row went into the outbox."""

    def __init__(
        self, store: StorePort, station: StationPort, keys: Keys, clock: Clock,
        stored: Callable[[], None],
    ) -> None:
        self._store = store
        self._station = station
        self._keys = keys
        self._clock = clock
        self._stored = stored
        self._sampler = Sampler()
        self._kick = asyncio.Event()
        self._loose: deque[Payload] = deque(maxlen=LOOSE_MAX)
        self._loose_kick = asyncio.Event()
        self._begun: dict[str, Moment] = {}
        self._tx_data = TxData()

    async def load(self) -> None:
        """Read what transactions have told so far that were open when the process before this one ended."""
        self._tx_data.load(await self._store.tx_readings())

    def kick(self) -> None:
        """A key changed."""
        self._kick.set()

    def on_view(self, view: StationView) -> None:
        """Follow which transactions run."""
        now = self._clock.now()
        for evse in view.evses:
            session = evse.session
            if session is not None and session.started_at is not None and session.ended_at is None:
                if self._sampler.transaction(evse.evse_id, session.session_id, session.started_at, now):
                    self._remember(evse, session.session_id)
                    self._kick.set()
            else:
                self._sampler.idle(evse.evse_id)

    def _remember(self, evse: EvseView, session_id: str) -> None:
        if evse.ac is not None:
            self._begun[session_id] = self._moment(evse)
            while len(self._begun) > MOMENTS_MAX:
                self._begun.pop(next(iter(self._begun)))

    def _moment(self, evse: EvseView) -> Moment:
        return Moment(evse=evse, meter=self._station.meter(evse.evse_id))

    def stop_data(self, session: SessionRecord) -> list[Payload]:
        """Return ``transactionData`` of StopTransaction; of an AC EVSE with what it measured at the begin and measures now.

        A transaction of a process before this one has its registers only.
        """
        measurands = self._keys.measurands("StopTxnSampledData")
        begin, end = self._begun.get(session.session_id), None
        if begin is not None and session.ended_at is not None:
            view = self._station.view()
            if view.wall - session.ended_at <= END_LATE_MAX_NS:
                end = next((self._moment(evse) for evse in view.evses if evse.evse_id == session.evse_id), None)
        ends = transaction_data(session, measurands, begin, end)
        kept = self._tx_data.of(session.session_id, (PERIODIC, CLOCK))
        first = [entry for entry in ends if entry["sampledValue"][0]["context"] == BEGIN]
        last = [entry for entry in ends if entry not in first]
        signed_first, signed_last = self._signed_ends(session)
        return [*signed_first, *first, *kept, *last, *signed_last]

    def _signed_ends(self, session: SessionRecord) -> tuple[list[Payload], list[Payload]]:
        """Return the signed begin and end as MeterValue objects, both in the format that counted when the transaction began."""
        signed, begin = session.signed, self._tx_data.of(session.session_id, (BEGIN,))
        if signed is None:
            return [], []
        hexadecimal = not begin[0]["sampledValue"][0]["value"].startswith(OCMF) if begin else self._hexadecimal()
        if not begin and signed.begin and session.started_at is not None:  # the power went before it was put aside
            begin = [_signed_entry(session.started_at, signed.begin, BEGIN, hexadecimal=hexadecimal)]
        if not signed.end or session.ended_at is None:
            return begin, []
        return begin, [_signed_entry(session.ended_at, signed.end, END, hexadecimal=hexadecimal)]

    def _hexadecimal(self) -> bool:
        written = self._keys.find("calibrationLawFormat")
        return written is not None and written.value.endswith("hex")

    async def run(self) -> None:
        """Take readings when they are due, for ever, online or not."""
        while True:
            now, wall = self._clock.now(), self._clock.wall()
            self._sampler.set_sampled(self._keys.number("MeterValueSampleInterval"), now)
            marks = self._clock.wall_valid()  # nobody knows where they are before the time is known
            self._sampler.aligned_s = self._keys.number("ClockAlignedDataInterval") if marks else 0
            for sample in self._sampler.due(now, wall):
                try:
                    await self._take(sample)
                except DeviceError as error:
                    log.error("ocpp: a reading is lost: %s", error)
            wait_ns = self._sampler.wait_ns(self._clock.now(), self._clock.wall())
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait_ns / NS_PER_S):
                    await self._kick.wait()
            self._kick.clear()

    async def _take(self, sample: Sample) -> None:
        view = self._station.view()
        for evse in view.evses:
            if sample.evse_id in (None, evse.evse_id):
                await self._take_one(evse, sample)
        if sample.evse_id is None:
            self._take_site(sample.context, sample.wall)

    async def _take_one(self, evse: EvseView, sample: Sample) -> None:
        session = _running(evse)
        if sample.evse_id is not None and (session is None or session.session_id != sample.session_id):
            return  # its transaction is over
        if sample.context == BEGIN and session is not None:
            await self._take_begin(evse, session, sample)
            return
        meter = self._station.meter(evse.evse_id)
        values = sampled_values(evse, meter, self._measurands(sample.context), sample.context)
        if session is None:
            if values:
                self._put_loose(v16.meter_payload(evse.evse_id, sample.wall, values))
            return
        kept = sampled_values(evse, meter, self._stop_measurands(sample.context), sample.context)
        reading, drop = self._tx_data.keep(session.session_id, sample.wall, sample.context, kept) if kept else (None, ())
        if values:
            row = v16.meter_row(session, sample.wall, sample.context, values)
            if await self._store.outbox_append(row, told_point(evse, session, sample.wall, values), reading, drop):
                self._stored()
        elif reading is not None:
            await self._store.tx_reading_add(reading, drop)

    async def _take_begin(self, evse: EvseView, session: SessionRecord, sample: Sample) -> None:
        """What was measured at the begin; again in a second while the start of the transaction is not durable."""
        told = transaction_data(session, self._measurands(BEGIN), self._begun.get(session.session_id))
        values: list[Payload] = told[0]["sampledValue"] if told else []
        if values:
            point = told_point(evse, session, sample.wall, values)
            if not await self._store.outbox_append(v16.meter_row(session, sample.wall, BEGIN, values), point):
                self._sampler.again(sample, self._clock.now())
                return
            self._stored()
        if session.signed is not None and session.signed.begin and session.started_at is not None:
            entry = _signed_entry(session.started_at, session.signed.begin, BEGIN, hexadecimal=self._hexadecimal())
            kept, _ = self._tx_data.keep(session.session_id, session.started_at, BEGIN, entry["sampledValue"])
            await self._store.tx_reading_add(kept)

    def _take_site(self, context: str, wall: WallNs) -> None:
        meter = self._station.meter(0)
        values = [] if meter is None else site_values(meter, self._measurands(context), context)
        if values:
            self._put_loose(v16.meter_payload(0, wall, values))

    def _measurands(self, context: str) -> tuple[str, ...]:
        return self._keys.measurands("MeterValuesAlignedData" if context == CLOCK else "MeterValuesSampledData")

    def _stop_measurands(self, context: str) -> tuple[str, ...]:
        return self._keys.measurands("StopTxnAlignedData" if context == CLOCK else "StopTxnSampledData")

    def _put_loose(self, payload: Payload) -> None:
        self._loose.append(payload)
        self._loose_kick.set()

    async def send(self, engine: Engine) -> None:
        """Send readings outside transactions as long as the link lives; what was taken offline is old and goes."""
        self._loose.clear()
        while True:
            while self._loose:
                try:
                    await engine.call("MeterValues", self._loose.popleft())
                except (CallError, CallTimeout) as error:
                    log.warning("ocpp: MeterValues: %s", error)
            self._loose_kick.clear()
            await self._loose_kick.wait()

    async def trigger(self, engine: Engine, connector_id: int | None, *, registered: bool) -> None:
        """Take readings of one connector (None = all) now. Those of a transaction keep their place in the queue.

        While the station is not registered the queue rests: then a reading goes alone, without its transaction.
        """
        wall = self._clock.wall()
        for evse in self._station.view().evses:
            if connector_id not in (None, 0, evse.evse_id):
                continue
            values = sampled_values(
                evse, self._station.meter(evse.evse_id), self._measurands(TRIGGER), TRIGGER
            )
            session = _running(evse)
            if values and not (registered and session is not None and await self._queued(evse, session, wall, values)):
                await engine.call("MeterValues", v16.meter_payload(evse.evse_id, wall, values))

    async def _queued(self, evse: EvseView, session: SessionRecord, wall: WallNs, values: list[Payload]) -> bool:
        row, point = v16.meter_row(session, wall, TRIGGER, values), told_point(evse, session, wall, values)
        try:
            stored = await self._store.outbox_append(row, point)
        except DeviceError as error:
            log.error("ocpp: a triggered reading goes without its transaction: %s", error)
            return False
        if stored:
            self._stored()
        return stored


def told_point(evse: EvseView, session: SessionRecord, wall: WallNs, values: list[Payload]) -> PointRecord | None:
    """Return what ``values`` tell of the energy register as a sample of the session; None when they do not."""
    register = next((v["value"] for v in values if v["measurand"] == "Energy.Active.Import.Register"), None)
    if register is None or session.meter_start_wh is None:
        return None
    meter_wh = int(register)
    return PointRecord(
        session_id=session.session_id,
        wall=wall,
        power_w=evse.power_w or 0,
        energy_wh=max(0, meter_wh - session.meter_start_wh),
        soc_pct=evse.soc_pct,
        meter_wh=meter_wh,
    )


def _signed_entry(wall: WallNs, text: str, context: str, *, hexadecimal: bool) -> Payload:
    value = signed_value(text.encode().hex() if hexadecimal else text, context)
    return {"timestamp": timestamp(wall), "sampledValue": [value]}


def _running(evse: EvseView) -> SessionRecord | None:
    session = evse.session
    return session if session is not None and session.started_at is not None and session.ended_at is None else None
