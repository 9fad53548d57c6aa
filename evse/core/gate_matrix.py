"""The gate's rules for contacts of a matrix: G10 when one may close, G11 what they connect. Nothing here knows the tick.

Buses are numbered as nodes: module groups in their order, then the bars of the DC EVSEs. A contact joins two nodes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec.structs import replace

from evse.domain.readings import GroupStatus
from evse.domain.signals import BoardCommand, BoardStatus, ContactorFeedback
from evse.domain.station import EvseKind, StationSpec

CONTACT_CURRENT_MA = 2_000
CONTACT_BAND_MV = 20_000

Boards = Mapping[int, BoardStatus | None]
Edges = list[tuple[int, int]]


def nodes(spec: StationSpec) -> dict[int, int]:
    """Return the node of each DC EVSE's bar."""
    dc = [e.evse_id for e in spec.evses if e.kind is EvseKind.DC]
    return {evse_id: len(spec.groups) + k for k, evse_id in enumerate(dc)}


def contacts(
    spec: StationSpec, boards: Boards, commands: dict[int, BoardCommand], groups: Sequence[GroupStatus | None]
) -> tuple[Edges, Edges]:
    """Take every closing away from ``commands`` that the readings do not justify; return what is connected for sure
    (feedback or command), and what may be (a fresh board that does not know counts as closed)."""
    bars = nodes(spec)
    for evse_id in bars:
        command = commands.get(evse_id)
        if command is None or not command.contacts:
            continue
        kept = sum(
            1 << g
            for g in range(len(spec.groups))
            if command.contacts >> g & 1 and _may(evse_id, g, boards, commands, groups, bars)
        )
        if kept != command.contacts:
            commands[evse_id] = replace(command, contacts=kept)
    sure: Edges = []
    maybe: Edges = []
    for evse_id, bar in bars.items():
        for g in range(len(spec.groups)):
            state = _state(boards.get(evse_id), g)
            told = evse_id in commands and commands[evse_id].contacts >> g & 1 == 1
            if told or state is True:
                sure.append((g, bar))
            if told or state is True or (state is None and boards.get(evse_id) is not None):
                maybe.append((g, bar))
    return sure, maybe


def _state(board: BoardStatus | None, g: int) -> bool | None:
    return None if board is None or board.contacts is None else board.contacts.state(g)


def _may(
    evse_id: int,
    g: int,
    boards: Boards,
    commands: Mapping[int, BoardCommand],
    groups: Sequence[GroupStatus | None],
    bars: Mapping[int, int],
) -> bool:
    """G10: whether a contact may be told to be closed. One that does not report open is not judged: it may carry current."""
    board = boards.get(evse_id)
    if _state(board, g) is not False or board is None:
        return True
    for other in bars:
        if other == evse_id:
            continue
        told = other in commands and commands[other].contacts >> g & 1 == 1
        if told or (boards.get(other) is not None and _state(boards[other], g) is not False):
            return False
    group = groups[g] if g < len(groups) else None
    bar_mv = _bar_mv(board, groups)
    if group is None or bar_mv is None or abs(group.current_ma) > CONTACT_CURRENT_MA:
        return False
    return abs(group.voltage_mv - bar_mv) <= CONTACT_BAND_MV


def _bar_mv(board: BoardStatus, groups: Sequence[GroupStatus | None]) -> int | None:
    """Voltage in front of the output contactor, as measured; None = not known."""
    if board.contactor is ContactorFeedback.CLOSED:
        return board.output_mv
    if board.contactor is ContactorFeedback.UNKNOWN:
        return None
    feeding = [group for g, group in enumerate(groups) if _state(board, g) is not False]
    if any(group is None for group in feeding):
        return None
    return max((group.voltage_mv for group in feeding if group is not None), default=0)
