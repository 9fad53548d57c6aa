"""A matrix cabinet in physics: banks in parallel, two vehicles on one bar, contacts that move when they must not, faults."""

from __future__ import annotations

import pytest

from evse.domain.signals import CpState, MatrixContacts
from evse.protocols.board_link_messages import ErrorFlag
from evse.sim.hw.board_plant import BoardPlant
from evse.sim.matrix import ContactRow
from evse.sim.world import ConnectorWorld, World
from evse.units import NS_PER_S, TICK_NS
from tests.sim.rig import BenchModule, bolt


class Cabinet:
    """Two connectors, three banks of one module. ``drive`` sets the contacts of a connector (banks 1..3)."""

    def __init__(self) -> None:
        self.plants = [BoardPlant(), BoardPlant()]
        self.connectors = [ConnectorWorld(n, plant, -1) for n, plant in enumerate(self.plants, 1)]
        self.rows = [ContactRow(n, plant, 3) for n, plant in enumerate(self.plants, 1)]
        self.modules = [BenchModule(), BenchModule(), BenchModule()]
        self.world = World(self.connectors, [[module] for module in self.modules], [], matrix=self.rows)
        self.now = 0

    def drive(self, n: int, *banks: int) -> None:
        self.plants[n - 1].out.contacts = sum(1 << bank - 1 for bank in banks)

    def live(self, n: int, soc_pct: int = 40) -> None:
        ev = self.world.plug_in(n, bolt(soc_pct=soc_pct), self.now)
        ev.contactor = True
        self.plants[n - 1].cp = CpState.C
        self.plants[n - 1].out.contactor_wanted = True

    def on(self, bank: int, ma: int, mv: int = 420_000) -> None:
        module = self.modules[bank - 1]
        module.on, module.set_mv, module.set_ma = ma > 0, mv, ma

    def run(self, seconds: float = 1.0) -> None:
        for _ in range(int(seconds * NS_PER_S // TICK_NS)):
            self.now += TICK_NS
            self.world.step(TICK_NS, self.now)


def test_banks_add_up_on_the_bar_that_their_contacts_close() -> None:
    c = Cabinet()
    c.drive(1, 1, 3)
    c.run(0.1)
    c.live(1)
    for bank, ma in ((1, 30_000), (2, 50_000), (3, 40_000)):
        c.on(bank, ma)
    c.run(3)
    assert c.connectors[0].current_ma == pytest.approx(70_000, rel=0.001), "bank 2 feeds nobody"
    assert [module.read_ma for module in c.modules] == [pytest.approx(30_000, abs=2), 0, pytest.approx(40_000, abs=2)]
    assert c.plants[0].contacts == MatrixContacts(closed=0b101, opened=0b010) and c.connectors[1].voltage_mv == 0
    assert c.world.violations == []


def test_a_wrong_contact_shorts_two_vehicles_and_the_current_is_that_of_their_batteries() -> None:
    c = Cabinet()
    c.drive(1, 1)
    c.drive(2, 2)
    c.run(0.1)
    c.live(1, soc_pct=10)
    c.live(2, soc_pct=90)
    c.run(1)
    assert c.world.violations == [] and c.world.short_ma == 0
    c.rows[0].forced = 0b010
    c.run(0.1)
    assert "connectors 1 and 2 share one bar with both vehicles" in c.world.violations
    evs = [connector.ev for connector in c.connectors]
    gap = abs(evs[0].ocv_mv - evs[1].ocv_mv)  # type: ignore[union-attr]
    assert c.world.short_ma == pytest.approx(gap / (2 * evs[0].resistance_mohm) * 1000, rel=0.01) and gap > 10_000  # type: ignore[union-attr]


def test_contacts_that_close_over_a_voltage_or_open_under_current_are_reported() -> None:
    c = Cabinet()
    c.drive(1, 1)
    c.run(0.1)
    c.live(1)
    c.on(1, 60_000)
    c.run(3)
    before = c.connectors[0].current_ma
    c.drive(1, 1, 2)  # a dead bank on a live bar
    c.run(0.1)
    assert len(c.world.violations) == 1 and c.world.violations[0].startswith("contact of bank 2 at connector 1 closed over 3")
    assert c.connectors[0].current_ma == pytest.approx(before, rel=0.01), "a contact that moves does not interrupt the cable"
    c.drive(1, 2)
    c.run(0.1)
    assert c.world.violations[1:] == ["contact of bank 1 at connector 1 opened under 60 A"]


def test_faults_of_contacts_are_seen_as_hardware_shows_them() -> None:
    c = Cabinet()
    row, plant = c.rows[0], c.plants[0]
    c.drive(1, 1, 2)
    row.stuck_open = 0b010
    c.run(1)
    assert plant.contacts == MatrixContacts(closed=0b001, opened=0b110)
    assert plant.error_flags & ErrorFlag.MATRIX_FEEDBACK, "it differs from its command for longer than 500 ms"
    row.stuck_open, row.welded = 0, 0b001
    c.drive(1)
    c.run(1)
    assert plant.contacts.closed == 0b001
    row.welded, row.blind = 0, 0b100
    c.run(0.1)
    assert plant.contacts == MatrixContacts(closed=0, opened=0b011)
    row.blind = 0
    c.run(0.1)
    assert plant.contacts.opened == 0b111 and not plant.error_flags & ErrorFlag.MATRIX_FEEDBACK
