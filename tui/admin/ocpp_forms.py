"""Forms of section OCPP: filter of messages, a message to send, the security profile."""

from __future__ import annotations

from typing import Final

import msgspec

from evse.api.models_ocpp import OcppTrigger
from evse.api.models_ocpp_security import OcppSecurityState
from tui.admin.ocpp_data import Filter
from tui.admin.ocpp_pages import PROFILES
from tui.widgets.dialogs import Field

WAYS: Final = ("both", "sent", "received")
TRIGGERS: Final = (
    "Heartbeat", "StatusNotification", "MeterValues", "BootNotification", "FirmwareStatusNotification",
    "DiagnosticsStatusNotification", "LogStatusNotification", "SignChargePointCertificate",
)  # fmt: skip
URL_MAX: Final = 120


def check_connector(text: str) -> str:
    """Return what is wrong with a connector, or ""."""
    return "" if not text or (text.isdecimal() and int(text) <= 48) else "a number, 0 = the station; empty = all"


def check_url(text: str) -> str:
    """Return what is wrong with the URL of a CSMS, or ""."""
    return "" if not text or text.startswith(("ws://", "wss://")) else "ws:// or wss://, without the station's name"


def _any(text: str) -> str:
    return ""


def filter_fields(now: Filter) -> list[Field]:
    """The filter as a form."""
    return [
        Field(name="action", label="Action", value=now.action, base="", note="e.g. MeterValues; empty = all", check=_any, length=40),
        Field(name="direction", label="Way", value=now.direction or WAYS[0], base=WAYS[0], note="Space: both, sent, received",
              check=_any, choices=WAYS),
        Field(name="connector", label="Connector", value=now.connector, base="", note="0 = the station; empty = all",
              check=check_connector),
        Field(name="text", label="Text", value=now.text, base="", note="in action, id or payload", check=_any, length=60),
    ]  # fmt: skip


def filter_of(before: Filter, values: dict[str, str]) -> Filter:
    """Return what a form asks for."""
    way = values.get("direction", before.direction)
    return Filter(
        action=values.get("action", before.action).strip(), direction="" if way == WAYS[0] else way,
        connector=values.get("connector", before.connector).strip(), text=values.get("text", before.text).strip(),
    )


def trigger_fields() -> list[Field]:
    """A message to send."""
    return [
        Field(name="message", label="Message", value=TRIGGERS[0], base=TRIGGERS[0], note="Space, Left, Right: 8 messages", check=_any,
              choices=TRIGGERS, length=40),
        Field(name="connector", label="Connector", value="", base="", note="empty = none named", check=check_connector),
    ]  # fmt: skip


def trigger_of(values: dict[str, str]) -> OcppTrigger:
    """Return what a form asks for."""
    text = values["connector"].strip()
    return msgspec.convert({"message": values["message"], "evse_id": int(text) if text else None}, OcppTrigger)


def profile_fields(state: OcppSecurityState) -> list[Field]:
    """Profile and URL."""
    names = tuple(f"{number} {text}" for number, text in PROFILES.items())
    return [
        Field(name="profile", label="Profile", value=names[state.profile], base=names[state.profile], note="Space, Left, Right: 0 to 3",
              check=_any, choices=names, length=40),
        Field(name="url", label="URL", value=state.url, base=state.url, note="without the station's name", check=check_url, length=URL_MAX),
    ]  # fmt: skip
