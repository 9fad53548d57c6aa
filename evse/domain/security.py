"""One row of the security log (OCPP 1.6 security whitepaper, part 3)."""

from __future__ import annotations

import msgspec

from evse.units import WallNs


class CertificateFault(msgspec.Struct, frozen=True, kw_only=True):
    """Why a certificate is not accepted, for people, and whether it is because it was revoked."""

    text: str
    revoked: bool = False


class SecurityEvent(msgspec.Struct, frozen=True, kw_only=True):
    """Something that matters for security. ``state``: logged (never sent), waiting, sent, refused (the CSMS answered an error).

    ``seq`` is the order in which it happened and is given by the store (0 = not stored yet).
    """

    wall: WallNs
    kind: str
    tech_info: str = ""
    state: str = "logged"
    seq: int = 0
