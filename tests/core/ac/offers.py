"""A bench that offers: limits of one or more AC EVSEs, DC EVSEs beside them."""

from __future__ import annotations

from typing import Any

from evse.core import limits
from evse.core.ac import limits as ac
from evse.core.ac import over_current, proximity
from evse.core.context import Conn, Tick
from evse.core.inputs import SetDynamicLimit
from evse.domain.ac import PpState
from evse.domain.limits import LimitEntry, LimitSource, PowerLimit
from evse.domain.readings import MeterValues
from evse.domain.station import EvseKind
from evse.units import NS_PER_MS, NS_PER_S
from tests.core.ac.bench import Bench


class Offer(Bench):
    """A bench with offers; ``mixed`` adds DC EVSEs behind the AC ones."""

    def once(self, dt: int = 50 * NS_PER_MS) -> Tick:
        return self.step(self.observe, station=limits.apply, dt=dt)

    def observe(self, t: Tick, conn: Conn) -> None:
        if conn.spec.kind is EvseKind.AC:
            proximity.observe(t, conn)
            over_current.observe(t, conn)
            ac.observe(t, conn)

    def go(self, seconds: float, dt: int = 50 * NS_PER_MS) -> None:
        end = self.now + int(seconds * NS_PER_S)
        while self.now < end:
            self.once(dt)

    def charge(self, pp: PpState = PpState.A32, evse_id: int = 1, *, settle: bool = True) -> Offer:
        self.plug(pp, evse_id)
        self.energise(evse_id)
        if settle:
            self.go(1)
        return self

    def set(self, name: str, ma: int | None, evse_id: int = 1) -> str:
        t = self.tick()
        ac.set_dynamic(t, SetDynamicLimit(seq=1, evse_id=evse_id, name=name, current_ma=ma))
        self.keep(t)
        self.once()
        return str(t.events[0].data["why"]) if t.events else ""

    def rows(self, evse_id: int = 1) -> tuple[LimitEntry, ...]:
        t = self.tick()
        limits.site_caps(t)
        return limits.explain(t, t.conns[evse_id - 1])

    def binding(self) -> tuple[int, LimitSource]:
        self.once()
        row = self.rows()[0]
        assert row.binds and row.source is self.evse().limit_source and row.current_ma is not None
        return self.evse().offered_ma, row.source


def currents(*ma: int) -> MeterValues:
    return MeterValues(energy_import_wh=0, current_l_ma=(ma[0], ma[1], ma[2]))


def site(power_w: int, source: LimitSource = LimitSource.SITE, **fields: Any) -> PowerLimit:
    return PowerLimit(**{"source": source, "evse_id": 0, "power_w": power_w, "set_at": 0} | fields)
