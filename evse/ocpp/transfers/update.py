"""The job of a firmware update as it is stored, and the words in which it is told."""

from __future__ import annotations

from typing import Final

from evse.ocpp.messages import Payload
from evse.ocpp.transfers.addresses import Addressed
from evse.ocpp.transfers.partial import Saved
from evse.units import WallNs

SCHEDULED, DOWNLOADING, DOWNLOADED, VERIFIED, WAITING = "scheduled", "downloading", "downloaded", "verified", "waiting"
INSTALLING, INSTALLED, ACTIVATING, REBOOTING = "installing", "installed", "activating", "rebooting"

BUSY: Final = frozenset({INSTALLING, INSTALLED, ACTIVATING, REBOOTING})
"""From here on nothing replaces the job and a reset is refused."""


class Update(Addressed, frozen=True, kw_only=True):
    """One update. ``request_id`` None = UpdateFirmware, else SignedUpdateFirmware."""

    request_id: int | None = None
    retrieve_at: WallNs
    install_at: WallNs = 0  # 0 = as soon as it can be
    attempts: int
    pause_s: int
    certificate: str = ""
    signature: str = ""
    stage: str = SCHEDULED
    said: str = ""
    failed: int = 0  # attempts that failed
    part: Saved = Saved()
    installs: int = 0  # begun; more than one when the power went
    version: str = ""  # of the bundle, once it is installed

    @property
    def signed(self) -> bool:
        """Tell SignedUpdateFirmware from UpdateFirmware."""
        return self.request_id is not None


SIGNED_ONLY: Final = frozenset({
    "DownloadScheduled", "DownloadPaused", "SignatureVerified", "InvalidSignature", "InstallScheduled", "InstallRebooting",
    "InstallVerificationFailed",
})
"""Words that only SignedFirmwareStatusNotification has."""


def message(request_id: int | None, status: str) -> tuple[str, Payload]:
    """Return (action, payload) of a status."""
    if request_id is None:
        return "FirmwareStatusNotification", {"status": status}
    return "SignedFirmwareStatusNotification", {"status": status, "requestId": request_id}
