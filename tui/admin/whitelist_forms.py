"""Forms of the white list: entry and learning. They check what a form can check; the daemon decides."""

from __future__ import annotations

import datetime as dt
import string
from typing import Final

from evse.api.models_whitelist import WhitelistAdd, WhitelistEdit, WhitelistEntry, WhitelistLearn
from evse.units import NS_PER_S, WallNs
from tui.widgets.dialogs import TEXT_MAX, Field

CARD_DIGITS: Final = (8, 14, 20)
"""Hex digits of a card's UID."""
VEHICLE_DIGITS: Final = 12
"""Hex digits of a vehicle's EVCC ID (MAC address)."""
SECONDS: Final = (5, 300)
"""Least and longest learning, s."""
KINDS: Final = {"RFID": "card", "EVCC": "vehicle"}
ID_NOTE: Final = "card: 8, 14 or 20 hex digits; vehicle: 12"
EXPIRES_NOTE: Final = "2027-12-31 (0:00 UTC); empty = never"


def expires_text(at: WallNs | None) -> str:
    """Return an expiry as the form takes it: a date, or date and time in UTC; "" = never."""
    if at is None:
        return ""
    when = dt.datetime.fromtimestamp(at // NS_PER_S, dt.UTC)
    return when.strftime("%Y-%m-%d") if when.time() == dt.time() else when.strftime("%Y-%m-%dT%H:%M:%SZ")


def check_id(text: str) -> str:
    """Return what is wrong with an id, or ""."""
    plain, _, connector = text.strip().partition("_")
    for separator in ":- ":
        plain = plain.replace(separator, "")
    if connector not in {"", "1", "2"} or (connector and len(plain) == VEHICLE_DIGITS):
        return "only _1 or _2, behind a card: for that connector"
    if len(plain) not in (*CARD_DIGITS, VEHICLE_DIGITS) or not set(plain) <= set(string.hexdigits):
        return ID_NOTE
    return ""


def check_expires(text: str) -> str:
    """Return what is wrong with an expiry, or ""."""
    if not text:
        return ""
    try:
        when = dt.datetime.fromisoformat(text)
    except ValueError:
        return "2027-12-31, or 2027-12-31T18:00Z"
    if when.tzinfo is None and len(text) > len("2027-12-31"):
        return "a time needs its zone: 2027-12-31T18:00Z"
    return ""


def check_seconds(text: str) -> str:
    """Return what is wrong with a duration, or ""."""
    least, most = SECONDS
    return "" if text.isdecimal() and least <= int(text) <= most else f"{least} to {most}, whole number"


def _about(name: str, allow: str, expires: str) -> list[Field]:
    """What entries and learned entries have in common."""
    return [
        Field(
            name="name", label="Name", value=name, base=name, note="whose it is", check=lambda _: "", length=TEXT_MAX
        ),
        Field(
            name="allow", label="May charge", value=allow, base=allow, note="Space switches; no = always refused",
            check=lambda _: "", choices=("yes", "no"),
        ),
        Field(
            name="expires", label="Expires", value=expires, base=expires, note=EXPIRES_NOTE, check=check_expires, length=40
        ),
    ]  # fmt: skip


def entry_fields(values: dict[str, str] | None = None) -> list[Field]:
    """Return the form of a new entry, with ``values`` that were typed before."""
    have = {"id": "", "name": "", "allow": "yes", "expires": "", **(values or {})}
    first = Field(
        name="id", label="Card or vehicle", value=have["id"], base=have["id"], note=ID_NOTE, check=check_id, length=40
    )
    return [first, *_about(have["name"], have["allow"], have["expires"])]


def edit_fields(entry: WhitelistEntry, values: dict[str, str] | None = None) -> list[Field]:
    """Return the form of an entry of the list, with changes that were typed before."""
    fields = _about(entry.name, "yes" if entry.allow else "no", expires_text(entry.expires_at))
    for field in fields:
        field.value = (values or {}).get(field.name, field.value)
    return fields


def learn_fields(places: tuple[str, ...], values: dict[str, str] | None = None) -> list[Field]:
    """Return the form of learning; ``places`` as "reader NAME" and "connector N"."""
    have = {"where": places[0], "name": "", "allow": "yes", "expires": "", "seconds": "30", **(values or {})}
    where = have["where"] if have["where"] in places else places[0]
    return [
        Field(
            name="where", label="Learn at", value=where, base=where, choices=places, length=TEXT_MAX,
            note="Space switches; reader = a card, connector = a vehicle", check=lambda _: "",
        ),
        *_about(have["name"], have["allow"], have["expires"]),
        Field(
            name="seconds", label="Wait at most", value=have["seconds"], base=have["seconds"], unit="s",
            note=f"{SECONDS[0]} to {SECONDS[1]}", check=check_seconds,
        ),
    ]  # fmt: skip


def add_request(values: dict[str, str]) -> WhitelistAdd:
    """Return the request of a new entry."""
    return WhitelistAdd(
        id=values["id"].strip(), name=values["name"], allow=values["allow"] == "yes", expires=values["expires"]
    )


def edit_request(entry_id: str, changed: dict[str, str]) -> WhitelistEdit:
    """Return the request that changes only what was changed in the form."""
    allow = {"allow": changed["allow"] == "yes"} if "allow" in changed else {}
    texts = {name: changed[name] for name in ("name", "expires") if name in changed}
    return WhitelistEdit(id=entry_id, **texts, **allow)  # type: ignore[arg-type]


def learn_request(values: dict[str, str]) -> WhitelistLearn:
    """Return the request of learning."""
    kind, _, name = values["where"].partition(" ")
    return WhitelistLearn(
        reader=name if kind == "reader" else "",
        evse_id=int(name) if kind == "connector" else 0,
        seconds=int(values["seconds"]),
        name=values["name"],
        allow=values["allow"] == "yes",
        expires=values["expires"],
    )
