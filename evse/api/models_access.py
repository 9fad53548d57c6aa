"""Models of sign-in, roles, the audit log and errors."""

from __future__ import annotations

from evse.api.models_base import Model, Secret
from evse.units import WallNs


class SignIn(Model, frozen=True, kw_only=True):
    pin: Secret
    totp: Secret = ""


class Token(Model, frozen=True, kw_only=True):
    token: str
    role: str
    expires_at: WallNs


class WhoAmI(Model, frozen=True, kw_only=True):
    role: str  # guest, user, operator, manufacturer
    user: str
    uid: int | None
    pin_set: bool
    locked_until: WallNs | None
    totp_enrolled: bool = False  # a sign-in needs a one-time code beside the PIN


class SetPin(Model, frozen=True, kw_only=True):
    """First PIN: ``old`` empty, only over the Unix socket of the device by root or the daemon's own user.

    ``totp``: the one-time code, when codes are enrolled and the caller is somebody else.
    """

    old: Secret = ""
    new: Secret
    totp: Secret = ""


class TotpEnrolment(Model, frozen=True, kw_only=True):
    """A new secret, shown once; it counts when `TotpConfirm` has come before ``expires_at``."""

    uri: str  # otpauth://totp/..., what authenticator apps read
    secret: str  # the same secret as base32
    expires_at: WallNs


class TotpConfirm(Model, frozen=True, kw_only=True):
    totp: Secret  # first code of the new secret


class TotpDisable(Model, frozen=True, kw_only=True):
    """Root and the daemon's own user may leave both empty."""

    pin: Secret = ""
    totp: Secret = ""


class AuditRow(Model, frozen=True, kw_only=True):
    wall: WallNs
    who: str
    origin: str  # unix:uid=1000, kiosk, ocpp ...
    operation: str
    target: str
    old: str
    new: str
    result: str


class Audit(Model, frozen=True, kw_only=True):
    items: tuple[AuditRow, ...]
    total: int


class ErrorBody(Model, frozen=True, kw_only=True):
    """Every error answer. ``code`` is stable; exit codes of evsectl follow from it (evse.api.errors)."""

    code: str
    message: str
    hint: str = ""
    request_id: str = ""
    field: str = ""  # request field at fault, "" when none
    value: str = ""  # what was sent for it, shortened, "" for secrets
