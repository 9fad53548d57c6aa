"""Models of the station's own list of cards and vehicles. Times are ISO 8601 in UTC; an id is hex without separators."""

from __future__ import annotations

from typing import Annotated

from msgspec import UNSET, Meta, UnsetType

from evse.api.models_base import EvseIdOrAll, Model, PageLimit, PageOffset
from evse.units import WallNs

EntryId = Annotated[str, Meta(min_length=1, max_length=40)]
EntryName = Annotated[str, Meta(max_length=64)]
ExpiresText = Annotated[str, Meta(max_length=40)]
CsvText = Annotated[str, Meta(max_length=4 * 1024 * 1024)]


class WhitelistEntry(Model, frozen=True, kw_only=True):
    """One line. ``says`` = what it answers now: allowed, blocked, expired, no_clock."""

    id: str
    type: str  # RFID, EVCC
    name: str
    allow: bool
    says: str
    expires_at: WallNs | None
    created_at: WallNs | None
    used_at: WallNs | None


class WhitelistQuery(Model, frozen=True, kw_only=True):
    """``text`` is looked for in ids and names, without regard to case; "" = all."""

    text: Annotated[str, Meta(max_length=64)] = ""
    limit: PageLimit = 100
    offset: PageOffset = 0


class Whitelist(Model, frozen=True, kw_only=True):
    """A page of the list in order of ids. ``total`` = how many match."""

    items: tuple[WhitelistEntry, ...]
    total: int


class WhitelistRef(Model, frozen=True, kw_only=True):
    """An id as a person writes it: either case, separators or not."""

    id: EntryId


class WhitelistAdd(Model, frozen=True, kw_only=True):
    """``expires`` = a date or ISO 8601 with a time zone, "" = never."""

    id: EntryId
    name: EntryName = ""
    allow: bool = True
    expires: ExpiresText = ""


class WhitelistEdit(Model, frozen=True, kw_only=True):
    """What is not given stays. ``expires`` "" = never."""

    id: EntryId
    name: EntryName | UnsetType = UNSET
    allow: bool | UnsetType = UNSET
    expires: ExpiresText | UnsetType = UNSET


class WhitelistImport(Model, frozen=True, kw_only=True):
    """A file in the form that the export writes. Nothing is taken from a file with a mistake."""

    text: CsvText
    replace: bool = False  # the file becomes the whole list
    dry_run: bool = False


class WhitelistCounts(Model, frozen=True, kw_only=True):
    """What an import did or would do."""

    added: int
    changed: int
    unchanged: int
    removed: int
    dry_run: bool


class WhitelistFile(Model, frozen=True, kw_only=True):
    """The whole list as CSV with a header."""

    text: str
    entries: int


class WhitelistLearn(Model, frozen=True, kw_only=True):
    """The next card at ``reader``, or the next vehicle at connector ``evse_id``, goes on the list and starts nothing."""

    reader: Annotated[str, Meta(max_length=64)] = ""
    evse_id: EvseIdOrAll = 0
    seconds: Annotated[int, Meta(ge=5, le=300)] = 30
    name: EntryName = ""
    allow: bool = True
    expires: ExpiresText = ""


class WhitelistWindow(Model, frozen=True, kw_only=True):
    """State of learning. ``stage``: idle, waiting, learned, known, failed, expired, cancelled."""

    number: int
    stage: str
    reader: str
    evse_id: int
    until: WallNs
    entry: WhitelistEntry | None
    why: str = ""


class WhitelistWait(Model, frozen=True, kw_only=True):
    """Wait for the end of window ``number``, at most ``seconds``."""

    number: Annotated[int, Meta(ge=0)] = 0
    seconds: Annotated[int, Meta(ge=0, le=20)] = 0
