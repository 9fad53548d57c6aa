"""What the kiosk's pages are painted from, and the words that several of them share."""

from __future__ import annotations

import enum
from typing import Final

import msgspec

from evse.api.models import Status
from evse.domain.ac import OFFER_MIN_MA
from evse.domain.session import SessionPhase, SessionRecord
from evse.domain.view import EvseView
from evse.units import WallNs
from tui import format as fmt
from tui.driver.glyphs import Glyphs
from tui.i18n import Translate
from tui.kiosk.rest import Rest
from tui.state.store import Link
from tui.widgets.frame import Frame
from tui.widgets.table import TableState
from tui.words import WAITS, state_key, waits_for

PANES_SMALL: Final = 2
"""Connectors that are shown side by side; more become a list."""
PANES_LARGE: Final = 4
"""Two by two on a screen of at least `LARGE_HEIGHT` rows."""
LARGE_HEIGHT: Final = 42


class Page(enum.Enum):
    """What the driver looks at."""

    HOME = "home"
    CONNECTOR = "connector"


class KioskModel(msgspec.Struct, kw_only=True):
    """Everything a page needs. ``now`` is the station's wall clock; ``curves`` holds W per EVSE."""

    status: Status | None
    link: Link
    silence_s: int
    age_s: int
    now: WallNs
    tr: Translate
    glyphs: Glyphs
    page: Page = Page.HOME
    evse_id: int = 1
    table: TableState = msgspec.field(default_factory=TableState)  # chosen connector of the home page, by its number
    summaries: dict[int, SessionRecord] = {}
    curves: dict[int, list[int | None]] = {}
    allow_quit: bool = False
    homes: dict[int, int] = {}  # module group -> EVSE that it belongs to
    rest: Rest = Rest.AWAKE
    shift: tuple[int, int] = (0, 0)  # columns and rows, against burning in


def panes(count: int, height: int) -> int:
    """Return how many connectors a home page of ``height`` rows shows as panes; 0 = the list."""
    if count <= PANES_SMALL:
        return max(1, count)
    return count if count <= PANES_LARGE and height >= LARGE_HEIGHT else 0


def say(model: KioskModel, view: EvseView) -> str:
    """One instruction for the driver."""
    return model.tr(say_key(view))


def say_key(view: EvseView) -> str:
    """Return the catalogue's key of the instruction."""
    if view.auth_state == "denied" and view.phase in {SessionPhase.PLUGGED, SessionPhase.WAIT_AUTH, SessionPhase.HLC_SETUP}:
        return "say.denied"
    key = state_key(view)
    if key == "idle" and view.auth_state == "granted":
        return "say.granted"  # card first, plug next
    if view.ac is None or key not in {"plugged", "wait_auth", "suspended", "hlc_setup"}:
        return f"say.{key}"
    known = WAITS.get(waits_for(view))
    if known is not None:
        return known
    if key == "suspended":
        return "wait.power" if view.ac.offered_ma < OFFER_MIN_MA else "wait.full"
    return "wait.moment" if key == "plugged" else f"say.{key}"


def elapsed_s(view: EvseView, now: WallNs) -> int | None:
    """Seconds of the session so far; of the whole transaction once it ended."""
    record = view.session
    if record is None:
        return None
    return fmt.between(record.started_at or record.plugged_at, record.ended_at or now)


def demand_word(view: EvseView) -> str:
    """Voltage and current that a DC vehicle asks for."""
    if view.demand_mv is None and view.demand_ma is None:
        return fmt.NONE
    return f"{fmt.with_unit(fmt.volt(view.demand_mv), 'V')} / {fmt.with_unit(fmt.ampere(view.demand_ma), 'A')}"


def modules_word(tr: Translate, view: EvseView, homes: dict[int, int]) -> str:
    """Say whose modules are used. ``homes``: module group -> EVSE that it belongs to; empty = not known yet."""
    if not view.chain:
        return tr("modules.none")
    chain = "+".join(map(str, view.chain))
    owners = {homes.get(group) for group in view.chain}
    if not homes:
        return chain
    if owners == {view.evse_id}:
        return tr("modules.home", chain=chain)
    return tr("modules.shared" if view.evse_id in owners else "modules.other", chain=chain)


def limit_word(tr: Translate, view: EvseView) -> str:
    """Who limits the power of the vehicle that is plugged in."""
    if not view.plugged:
        return fmt.NONE
    binding = next((entry for entry in view.limits if entry.binds), None)
    return tr("limit." + binding.source.value) if binding else fmt.NONE


def station_title(tr: Translate, status: Status | None) -> str:
    """Name of the kind of station: DC, AC, or both."""
    kinds = {view.ac is not None for view in status.view.evses} if status is not None else set()
    if len(kinds) > 1:
        return tr("title.station_mixed")
    return tr("title.station_ac" if True in kinds else "title.station")


def soft_key(frame: Frame, x: int, y: int, key: str, text: str) -> int:
    """Paint a key and what it does; returns the column for the next one."""
    x = frame.put(x, y, f" {key} ", "key")
    return frame.put(x + 1, y, text) + 3
