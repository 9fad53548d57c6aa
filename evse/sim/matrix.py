"""Contacts of a matrix cabinet as hardware has them: one row per connector, one contact per module group.

A contact obeys the drive of its connector's board unless a fault says otherwise. What its auxiliary contacts report leaves
through the board. `World` joins banks and bars by what is closed physically; this module also judges each movement, because
a contact that moves under load or over a voltage is destroyed whatever anybody reports.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from evse.domain.signals import MatrixContacts
from evse.protocols.board_link_messages import ErrorFlag
from evse.sim.hw.board_plant import BoardPlant
from evse.sim.rails import ConnectorWorld, Island, Module
from evse.units import Instant, ms

HARM_MA: Final = 5_000
"""A contact that opens under more has burnt."""
HARM_MV: Final = 30_000
"""A contact that closes over more welds: 20 V are matched, the rest is the age of readings."""
DIFFERS_FOR: Final = ms(500)


class ContactRow:
    """The contacts of one connector; sets of groups, bit i = bank i."""

    def __init__(self, evse_id: int, plant: BoardPlant, count: int) -> None:
        self.evse_id = evse_id
        self.plant = plant
        self.all = (1 << count) - 1
        self.closed = 0  # physically
        self.welded = 0  # faults
        self.stuck_open = 0
        self.blind = 0
        self.forced = 0
        self._right_at: Instant = 0
        self.report()

    def move(self, now: Instant, *, powered: bool) -> int:
        """Follow the drive; return the contacts that moved."""
        drive = self.plant.out.contacts if powered else 0
        closed = (drive & self.all & ~self.stuck_open) | (self.welded & self.closed) | self.forced
        moved = closed ^ self.closed
        self.closed = closed
        wrong = (closed ^ drive) & self.all | self.blind
        if not wrong:
            self._right_at = now
        flag = ErrorFlag.MATRIX_FEEDBACK.value
        if now - self._right_at > DIFFERS_FOR:
            self.plant.error_flags |= flag
        else:
            self.plant.error_flags &= ~flag
        if moved or self.blind != self._told_blind:
            self.report()
        return moved

    def report(self) -> None:
        """Write the auxiliary contacts into the board's plant."""
        self._told_blind = self.blind
        seen = self.all & ~self.blind
        self.plant.contacts = MatrixContacts(closed=self.closed & seen, opened=~self.closed & seen)

    def excused(self) -> int:
        """Contacts that a fault moves or holds: what they do is no fault of the controller."""
        return self.welded | self.stuck_open | self.forced


def label_nodes(banks: int, rows: Sequence[ContactRow]) -> list[int]:
    """Number banks, then the bars of ``rows``: equal number = connected by closed contacts."""
    label = list(range(banks + len(rows)))
    for k, row in enumerate(rows):
        for bank in range(banks):
            if row.closed >> bank & 1:
                old, new = label[bank], label[banks + k]
                if old != new:
                    label = [new if value == old else value for value in label]
    return label


def harm(
    islands: Sequence[Island],
    connectors: Sequence[ConnectorWorld],
    banks: Sequence[Sequence[Module]],
    rows: Sequence[ContactRow],
    moved: Sequence[int],
) -> list[str]:
    """Name the movements that destroy a contact; ``islands`` as they were before. What a fault moves is no fault of the
    controller, and an opening together with the output contactor cuts nothing."""
    here = {node: island for island in islands for node in island.nodes}
    texts = []
    for k, (row, connector, bits) in enumerate(zip(rows, connectors, moved, strict=True)):
        for bank in range(len(banks)) if here else ():
            if not bits & ~row.excused() & 1 << bank:
                continue
            where = f"contact of bank {bank + 1} at connector {row.evse_id}"
            gap_mv = abs(here[bank].voltage_mv - here[len(banks) + k].voltage_mv)
            flows_ma = sum(module.current_ma for module in banks[bank])
            if row.closed >> bank & 1:
                if gap_mv > HARM_MV:
                    texts.append(f"{where} closed over {gap_mv / 1000:.0f} V")
            elif flows_ma > HARM_MA and connector.closed and not connector.welded:
                texts.append(f"{where} opened under {flows_ma / 1000:.0f} A")
    return texts


def joined(
    islands: Sequence[Island],
    connectors: Sequence[ConnectorWorld],
    banks: Sequence[Sequence[Module]],
    rows: Sequence[ContactRow],
) -> list[Island]:
    """Return the islands that the closed contacts make of banks and bars. Each takes the highest voltage of its parts, and
    goes on with the current of its cable."""
    here = {node: island for island in islands for node in island.nodes}
    count = len(banks)
    label = label_nodes(count, rows)
    result = []
    for value in dict.fromkeys(label):
        nodes = tuple(node for node, own in enumerate(label) if own == value)
        modules = tuple(module for node in nodes if node < count for module in banks[node])
        parts = [here[node] for node in nodes if node in here]
        island = Island(
            modules,
            tuple(connectors[node - count] for node in nodes if node >= count),
            max((part.voltage_mv for part in parts), default=0.0),
        )
        island.nodes = nodes
        island.current_ma = max((here[node].current_ma for node in nodes if node >= count and node in here), default=0.0)
        result.append(island)
    return result


def short_ma(a_mv: float, b_mv: float, a_mohm: float, b_mohm: float) -> float:
    """Current between two batteries on one bar."""
    return abs(a_mv - b_mv) / max(1.0, a_mohm + b_mohm) * 1000
