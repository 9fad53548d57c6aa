"""The simulated manufacturer: signs bundles of firmware with a key that is made at run time.

The signature is base64 of ECDSA (DER) over the SHA-256 of the file, as the security whitepaper has it (L01).
"""

from __future__ import annotations

import base64
import datetime

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from evse.sim.csms_security import Authority, pem
from evse.units import NS_PER_S, WallNs


class FirmwareSigner:
    """``root`` is what the station must have installed as ManufacturerRootCertificate. Certificates count around ``wall``."""

    def __init__(self, wall: WallNs) -> None:
        now = datetime.datetime.fromtimestamp(wall // NS_PER_S, datetime.UTC)
        self._maker = Authority("Simulated manufacturer", now=now)
        self._stranger = Authority("Somebody else", now=now)
        self._key = ec.generate_private_key(ec.SECP256R1())
        self.root = pem(self._maker.certificate)

    def certificate(self, *, trusted: bool = True) -> str:
        """The signing certificate; not ``trusted`` = issued by somebody whom the station does not know."""
        issuer = self._maker if trusted else self._stranger
        return pem(issuer.issue(self._key.public_key(), "Firmware signing"))

    def sign(self, bundle: bytes, *, right: bool = True) -> str:
        """The signature of a bundle; not ``right`` = of another one."""
        content = bundle if right else bundle + b"x"
        return base64.b64encode(self._key.sign(content, ec.ECDSA(hashes.SHA256()))).decode()
