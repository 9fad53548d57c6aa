"""Since when limits have their value, where nobody set them at a known moment."""

from __future__ import annotations

from msgspec.structs import replace

from evse.domain.limits import LimitEntry, LimitSource
from evse.domain.station import FuseSpec, GridSpec, HourLimit, StationSpec
from evse.planner.allowance import allowance
from evse.planner.limit_ages import LimitAges
from evse.planner.shared_caps import shared_caps
from evse.units import NS_PER_S
from tests._support.fake_ac import ac_evse
from tests._support.fake_data import station_view
from tests.planner.test_live import station

START = 1_000 * NS_PER_S


class Seen:
    """One EVSE whose view is taken again and again."""

    def __init__(self) -> None:
        self.ages, self.spec = LimitAges(START), station(1)

    def at(self, second: int, *rows: LimitEntry, spec: StationSpec | None = None) -> list[int | None]:
        """The ages of ``rows`` so long after the start."""
        view = replace(station_view(), evses=(replace(ac_evse(1), limits=rows),))
        shown = self.ages.shown(view, spec or self.spec, START + second * NS_PER_S)
        assert [replace(e, age_s=None) for e in shown.evses[0].limits] == [replace(e, age_s=None) for e in rows]
        return [entry.age_s for entry in shown.evses[0].limits]


def amps(source: LimitSource, ma: int, age_s: int | None = None) -> LimitEntry:
    return LimitEntry(source=source, power_w=ma, binds=False, current_ma=ma, age_s=age_s)


def watts(source: LimitSource, power_w: int) -> LimitEntry:
    return LimitEntry(source=source, power_w=power_w, binds=False)


def test_wiring_is_as_old_as_the_configuration_a_cable_as_the_plug_and_a_share_as_its_plan() -> None:
    seen = Seen()
    wiring, no_plug, cable = amps(LimitSource.EVSE, 32_000), amps(LimitSource.CABLE, 0), amps(LimitSource.CABLE, 20_000)
    assert seen.at(60, wiring, no_plug) == [60, 0]
    assert seen.at(100, wiring, cable, amps(LimitSource.PLAN, 16_000)) == [100, 0, 0]
    assert seen.at(130, wiring, cable, amps(LimitSource.PLAN, 16_000)) == [130, 30, 30]
    assert seen.at(140, wiring, cable, amps(LimitSource.PLAN, 13_000)) == [140, 40, 0], "the share changed"
    assert seen.at(150, amps(LimitSource.EVSE, 16_000), cable) == [0, 50], "another wiring in the file"
    assert seen.at(160, amps(LimitSource.EVSE, 16_000), cable, amps(LimitSource.PLAN, 13_000)) == [10, 60, 0], "a plan anew"


def test_who_was_set_at_a_known_moment_keeps_its_age_and_two_of_a_source_are_told_apart() -> None:
    seen = Seen()
    rows = (amps(LimitSource.DYNAMIC, 9_000, 7), amps(LimitSource.FAILSAFE, 6_000), amps(LimitSource.FAILSAFE, 8_000))
    assert seen.at(10, *rows) == [7, 0, 0]
    assert seen.at(15, *rows[:2], amps(LimitSource.FAILSAFE, 9_000)) == [7, 5, 0]


def test_a_rating_of_a_dc_connector_stands_while_its_power_moves_with_the_voltage() -> None:
    seen = Seen()
    assert seen.at(30, watts(LimitSource.CABLE, 80_000), watts(LimitSource.EV, 50_000)) == [30, 0]
    assert seen.at(50, watts(LimitSource.CABLE, 81_000), watts(LimitSource.EV, 50_000)) == [50, 20]
    assert seen.at(60) == []
    spec = replace(seen.spec, evses=(replace(seen.spec.evses[0], current_max_ma=100_000),))
    assert seen.at(70, spec=spec) == []
    assert seen.at(80, watts(LimitSource.CABLE, 40_000), spec=spec) == [10], "another rating in the file since then"


def test_what_connectors_share_is_named_with_its_age() -> None:
    seen, day = Seen(), (HourLimit(hour=6, limit_ma=(32_000,) * 3), HourLimit(hour=20, limit_ma=(16_000,) * 3))
    fuse = FuseSpec(name="row A", fuse_ma=20_000, evses=(1, 2))
    grid = GridSpec(fuse_ma=63_000, imbalance_ma=20_000, own_ma=(40_000, 40_000, 32_000), hours=day, fuses=(fuse,))

    def told(second: int, minute: int, grid: GridSpec) -> dict[str, tuple[int | None, int | None]]:
        caps = shared_caps(grid, None, allowance(grid, None, minute, None))
        rows = seen.ages.shared(caps, START + second * NS_PER_S)
        return {cap.name: (cap.entry.current_ma, cap.entry.age_s) for cap in rows}

    names = ["fuse of the grid connection", "imbalance limit", "installer's limit", "the limit from 6:00 to 20:00", "fuse row A"]
    now = told(10, 600, grid)
    assert [name.partition(",")[0] for name in now] == names
    assert [now[name] for name in now] == [(63_000, 10), (20_000, 10), (32_000, 10), (32_000, 10), (20_000, 10)]
    later = list(told(70, 1_210, replace(grid, fuse_ma=50_000)).items())
    assert later[0][1] == (50_000, 0) and later[1][1] == (20_000, 70), "another fuse in the file, the imbalance limit as before"
    assert later[3] == ("the limit from 20:00 to 6:00, all connectors together", (16_000, 0)), "an hour began"
    assert shared_caps(None, None, None) == ()
