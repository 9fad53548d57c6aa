"""Laws of a matrix cabinet: what may close, what may open, and that nobody shares a bus. Written apart from core and gate."""

from __future__ import annotations

from evse.core.inputs import Inputs
from evse.core.outputs import Outputs
from evse.core.state import StationState, TieStage
from evse.domain.readings import GroupStatus, Sample
from evse.domain.signals import BoardStatus, ContactorFeedback
from evse.domain.station import EvseKind, StationSpec
from evse.units import NS_PER_MS, NS_PER_S, Instant

CONTACT_MA = 2_000
CONTACT_MV = 20_000
HELD = (TieStage.CLOSING, TieStage.CLOSED, TieStage.RAMP_DOWN)


def problems(
    spec: StationSpec, before: StationState, inputs: Inputs, gated: Outputs, after: StationState, now: Instant
) -> list[str]:
    """Return every broken law about contacts, in words."""
    found: list[str] = []
    groups = [_group(inputs, g, now) for g in range(len(spec.groups))]
    boards = {e.evse_id: _board(spec, inputs, e.evse_id, now) for e in spec.evses if e.kind is EvseKind.DC}
    told = {o.evse_id: o.board.contacts for o in gated.evses}
    leased = {o.evse_id for o in gated.evses if o.board.contactor_lease}
    rows = list(boards)
    for g, spec_group in enumerate(spec.groups):
        name = f"group {spec_group.group_id}"
        holders = [e for e in rows if told[e] >> g & 1]
        if len(holders) > 1:
            found.append(f"contacts of {name} commanded at EVSE {holders}")
        for e in holders:
            if _closed(boards[e], g) is False:
                found += _closing(name, e, g, boards, groups)
        feeding = [e for e in rows if told[e] >> g & 1 or _closed(boards[e], g)]
        live = [e for e in feeding if e in leased]
        if len(live) > 1:
            found.append(f"{name} connects EVSE {live}, both with a lease")
        command = gated.groups[g]
        if command.on and command.current_ma > CONTACT_MA and _closed(boards[command.owner], g) is False:
            found.append(f"{name} is told {command.current_ma} mA for EVSE {command.owner} through an open contact")
        for row, e in enumerate(rows):
            k = row * len(spec.groups) + g
            opens = before.ties[k].stage in HELD and after.ties[k].stage is TieStage.OPENING
            group = groups[g]
            if opens and _closed(boards[e], g) and group is not None and abs(group.current_ma) > CONTACT_MA:
                found.append(f"contact of {name} at EVSE {e} opens under {group.current_ma} mA")
    return found


def _closing(
    name: str, e: int, g: int, boards: dict[int, BoardStatus | None], groups: list[GroupStatus | None]
) -> list[str]:
    where, group, board = f"contact of {name} at EVSE {e}", groups[g], boards[e]
    if group is None or board is None:
        return [f"{where} closes although somebody cannot be read"]
    found = []
    if abs(group.current_ma) > CONTACT_MA:
        found.append(f"{where} closes under {group.current_ma} mA")
    others = [x for x, b in boards.items() if x != e and b is not None and _closed(b, g) is not False]
    if others:
        found.append(f"{where} closes although that at EVSE {others} is not known to be open")
    if board.contactor is ContactorFeedback.CLOSED:
        bars = [board.output_mv]
    else:
        bars = [x.voltage_mv for i, x in enumerate(groups) if x is not None and i != g and _closed(board, i)]
        if board.contactor is ContactorFeedback.UNKNOWN:
            found.append(f"{where} closes on a bar that nobody knows")
    gap = abs(group.voltage_mv - max(bars, default=0))
    if gap > CONTACT_MV:
        found.append(f"{where} closes over {gap} mV")
    return found


def _closed(board: BoardStatus | None, g: int) -> bool | None:
    return None if board is None or board.contacts is None else board.contacts.state(g)


def _board(spec: StationSpec, inputs: Inputs, evse_id: int, now: Instant) -> BoardStatus | None:
    for given in inputs.evses:
        if given.evse_id == evse_id and isinstance(given.board, Sample):
            return given.board.value if now - given.board.at <= spec.board_max_age_ms * NS_PER_MS else None
    return None


def _group(inputs: Inputs, g: int, now: Instant) -> GroupStatus | None:
    reading = inputs.groups[g] if g < len(inputs.groups) else None
    return reading.value if isinstance(reading, Sample) and now - reading.at <= 3 * NS_PER_S else None
