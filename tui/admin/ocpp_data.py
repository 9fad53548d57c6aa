"""What the pages of section OCPP show, and which keys mean what on which page. No widget in here."""

from __future__ import annotations

from typing import Final

import msgspec

from evse.api import models_ocpp as o
from evse.api import models_ocpp_security as s

PAGES: Final[tuple[tuple[str, str, str], ...]] = (
    ("status", "s", "Status"),
    ("messages", "m", "Messages"),
    ("keys", "e", "Keys"),
    ("queue", "u", "Queue"),
    ("schedules", "c", "Schedules"),
    ("certs", "t", "Certs"),
    ("security", "y", "Security"),
    ("files", "f", "Files"),
    ("doctor", "d", "Doctor"),
)
"""Page, its key, its name."""

FACTS_WIDTH: Final = 78
"""Names and values stand this wide: on a broad screen the eye must not travel."""

ACTS: Final[dict[str, dict[str, str]]] = {
    "status": {"send": "Send now", "remove": "Reconnect"},
    "messages": {"edit": "Whole", "search": "Filter", "freeze": "Freeze"},
    "keys": {"edit": "Edit", "search": "Search"},
    "queue": {"send": "Resend", "every": "Resend all", "shift": "Move", "remove": "Discard"},
    "schedules": {"other": "Next place"},
    "certs": {"send": "Request", "remove": "Delete"},
    "security": {"edit": "Profile", "password": "Password", "remove": "Drop change"},
    "files": {"remove": "Give up"},
    "doctor": {"edit": "Examine"},
}
"""Page -> action -> what its key is called there."""

WRITING: Final = frozenset(
    {
        ("status", "send"), ("status", "remove"), ("keys", "edit"), ("queue", "send"), ("queue", "every"), ("queue", "shift"),
        ("queue", "remove"), ("certs", "send"), ("certs", "remove"), ("security", "edit"), ("security", "password"),
        ("security", "remove"), ("files", "remove"), ("doctor", "edit"),
    }
)  # fmt: skip
"""What needs the right to change something."""


class Filter(msgspec.Struct, frozen=True, kw_only=True):
    """Which messages are shown; "" = all."""

    action: str = ""
    direction: str = ""
    connector: str = ""
    text: str = ""

    def words(self) -> str:
        """The filter as a line, "" = none."""
        parts = [self.action, self.direction, f"connector {self.connector}" if self.connector else "", f'"{self.text}"' if self.text else ""]
        return ", ".join(part for part in parts if part)

    def query(self, limit: int) -> o.OcppMessageQuery:
        """The request for the last messages that fit."""
        return msgspec.convert(
            {
                "limit": limit, "action": self.action, "direction": self.direction, "text": self.text,
                "evse_id": int(self.connector) if self.connector else None,
            },
            o.OcppMessageQuery,
        )  # fmt: skip


class Data(msgspec.Struct, kw_only=True):
    """The last answers of the daemon; None = not asked yet."""

    state: o.OcppState | None = None
    log: o.OcppLog | None = None
    messages: o.OcppMessages | None = None
    keys: o.OcppKeys | None = None
    queue: o.OcppQueue | None = None
    schedules: o.OcppScheduleExplanations | None = None
    certs: s.OcppCertificates | None = None
    security: s.OcppSecurityState | None = None
    events: s.OcppSecurityEvents | None = None
    files: s.OcppTransfers | None = None
    doctor: o.OcppDoctor | None = None
