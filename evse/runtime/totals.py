"""Analytics of the planner: what limited charging for how long and how much energy flowed meanwhile, and peaks.

Two accounts, of all time and of the local day; each has a row per limiting source and per EVSE, so they cannot
grow. Energy is what the registers of the EVSEs went up by while a transaction was open. `Totals.kept` and `Totals.restore`
carry both over a restart, see `evse.runtime.totals_store`.
"""

from __future__ import annotations

from collections.abc import Sequence

from evse.core.inputs import Inputs
from evse.core.state import EvseState, Stage, StationState
from evse.domain.base import Frozen
from evse.domain.limits import LimitSource, Plan
from evse.domain.readings import MeterValues, NoData, Sample
from evse.domain.station import EvseKind, StationSpec
from evse.runtime.local_time import LocalDay
from evse.units import NS_PER_MS, NS_PER_S, DurationNs, Instant, WallNs

EVERY_NS: DurationNs = NS_PER_S
JUMP_WH = 1_000
"""A register that goes up by more between two looks is another meter, not energy."""


class SourceRow(Frozen, frozen=True, kw_only=True):
    """One limiting source: for how long it bound (s, all EVSEs added) and what flowed meanwhile."""

    source: LimitSource
    limited_s: int
    energy_wh: int


class EvseRow(Frozen, frozen=True, kw_only=True):
    """One EVSE: its largest power (by its meter) and its energy."""

    evse_id: int
    peak_w: int
    energy_wh: int


class SourceKept(Frozen, frozen=True, kw_only=True):
    """A limiting source as it is stored: `SourceRow` to the nanosecond."""

    source: LimitSource
    limited_ns: DurationNs
    energy_wh: int


class AccountKept(Frozen, frozen=True, kw_only=True):
    """An account as it is stored."""

    passed_ns: DurationNs = 0
    peak_w: int = 0
    site_peak_w: int | None = None
    sources: tuple[SourceKept, ...] = ()
    evses: tuple[EvseRow, ...] = ()


class TotalsKept(Frozen, frozen=True, kw_only=True):
    """Both accounts as they are stored. ``since`` = calendar time when counting began, ``date`` = number of the local day of
    ``today``; None = the clock was not set."""

    total: AccountKept = AccountKept()
    today: AccountKept = AccountKept()
    since: WallNs | None = None
    date: int | None = None


class Account:
    """What was counted in a time."""

    def __init__(self) -> None:
        self.passed: DurationNs = 0
        self.limited: dict[LimitSource, DurationNs] = {}
        self.energy: dict[LimitSource, int] = {}
        self.by_evse: dict[int, list[int]] = {}  # peak W, Wh
        self.peak_w = 0
        self.site_peak_w: int | None = None

    @classmethod
    def of(cls, kept: AccountKept) -> Account:
        """Return the account that was stored."""
        account = cls()
        account.passed, account.peak_w, account.site_peak_w = kept.passed_ns, kept.peak_w, kept.site_peak_w
        account.limited = {row.source: row.limited_ns for row in kept.sources}
        account.energy = {row.source: row.energy_wh for row in kept.sources}
        account.by_evse = {row.evse_id: [row.peak_w, row.energy_wh] for row in kept.evses}
        return account

    def kept(self) -> AccountKept:
        """Return the account to be stored."""
        return AccountKept(
            passed_ns=self.passed,
            peak_w=self.peak_w,
            site_peak_w=self.site_peak_w,
            sources=tuple(SourceKept(source=s, limited_ns=ns, energy_wh=self.energy.get(s, 0)) for s, ns in self.limited.items()),
            evses=self.evses(),
        )

    def sources(self) -> tuple[SourceRow, ...]:
        """The largest energy first."""
        rows = [
            SourceRow(source=s, limited_s=ns // NS_PER_S, energy_wh=self.energy.get(s, 0)) for s, ns in self.limited.items()
        ]
        return tuple(sorted(rows, key=lambda r: (-r.energy_wh, -r.limited_s, r.source.value)))

    def evses(self) -> tuple[EvseRow, ...]:
        """In the order of their numbers."""
        return tuple(EvseRow(evse_id=i, peak_w=row[0], energy_wh=row[1]) for i, row in sorted(self.by_evse.items()))


class Totals:
    """Both accounts; `look` is called on every tick and counts every `EVERY_NS`."""

    def __init__(self, timezone: str) -> None:
        self.total, self.today = Account(), Account()
        self.since: WallNs | None = None
        """When counting began; None = the clock has not been set since."""

        self._day = LocalDay(timezone)
        self._date: int | None = None
        self._at: Instant | None = None
        self._register: dict[int, int] = {}

    def change_zone(self, timezone: str) -> None:
        """Days are those of another time zone from now on."""
        self._day = LocalDay(timezone)

    def restore(self, kept: TotalsKept) -> None:
        """Go on from what was stored. A day that is over ends with the first look at a set clock."""
        self.total, self.today = Account.of(kept.total), Account.of(kept.today)
        self.since, self._date = kept.since, kept.date

    def kept(self) -> TotalsKept:
        """Return what has to be stored."""
        return TotalsKept(total=self.total.kept(), today=self.today.kept(), since=self.since, date=self._date)

    def look(self, spec: StationSpec, state: StationState, inputs: Inputs, plan: Plan | None, now: Instant) -> None:
        """Count what happened since the last look."""
        if self._at is not None and now - self._at < EVERY_NS:
            return
        passed, self._at = (0 if self._at is None else now - self._at), now
        if inputs.wall_valid:
            date = self._day.date(inputs.wall)
            if self._date is not None and date != self._date:
                self.today = Account()
            self._date = date
            if self.since is None:
                self.since = inputs.wall - self.total.passed - passed
        powers = self._powers(spec, inputs, now)
        site = inputs.site_meter
        fresh = isinstance(site, Sample) and now - site.at <= spec.meter_max_age_ms * NS_PER_MS
        site_w = site.value.power_w if isinstance(site, Sample) and fresh else None
        moved = {w.evse_id: self._energy(w) for w in state.evses}
        bound = {w.evse_id: _source(w, plan, spec.evses[k].kind) for k, w in enumerate(state.evses)}
        for account in (self.total, self.today):
            account.passed += passed
            account.peak_w = max(account.peak_w, sum(powers.values()))
            if site_w is not None:
                account.site_peak_w = max(site_w, account.site_peak_w or 0)
            for evse_id, wh in moved.items():
                row = account.by_evse.setdefault(evse_id, [0, 0])
                row[0], row[1] = max(row[0], powers.get(evse_id, 0)), row[1] + wh
                source = bound[evse_id]
                if source is not None:
                    account.limited[source] = account.limited.get(source, 0) + passed
                if source is not None or wh:
                    counted = source or LimitSource.EV  # current that fades after the end
                    account.limited.setdefault(counted, 0)
                    account.energy[counted] = account.energy.get(counted, 0) + wh

    def _energy(self, w: EvseState) -> int:
        """Return what the register of an EVSE went up by within a transaction."""
        before, self._register[w.evse_id] = self._register.get(w.evse_id), w.meter_wh
        if before is None or not w.tx_open or not 0 <= w.meter_wh - before <= JUMP_WH:
            return 0
        return w.meter_wh - before

    @staticmethod
    def _powers(spec: StationSpec, inputs: Inputs, now: Instant) -> dict[int, int]:
        readings: Sequence[tuple[int, Sample[MeterValues] | NoData]] = [(e.evse_id, e.meter) for e in inputs.evses]
        return {
            evse_id: max(0, r.value.power_w)
            for evse_id, r in readings
            if isinstance(r, Sample) and r.value.power_w is not None and now - r.at <= spec.meter_max_age_ms * NS_PER_MS
        }


def _source(w: EvseState, plan: Plan | None, kind: EvseKind) -> LimitSource | None:
    """Return what limits an EVSE now; behind the planner's share stands the limit that the plan names. None = it asks for nothing."""
    asks = w.stage is Stage.CURRENT or (kind is EvseKind.AC and w.stage is Stage.AUTHORISED)
    if not w.tx_open or not asks:
        return None
    if w.limit_source is not LimitSource.PLAN or plan is None:
        return w.limit_source
    for current in plan.currents:
        if current.evse_id == w.evse_id:
            return current.binding
    return next((a.binding for a in plan.allocations if a.evse_id == w.evse_id), w.limit_source)


__all__ = ["Account", "AccountKept", "EvseRow", "SourceKept", "SourceRow", "Totals", "TotalsKept"]
