"""A simulated meter that signs its readings: any model whose profile says how (`evse.domain.meter_profile.Signing`).

The key is made from the seed, so the same station has the same meters. Signatures are ECDSA on secp256r1 over the SHA-256 of
the payload, made with the nonce of RFC 6979: equal inputs, equal bytes. What is asked for takes `SIGNING_S`, as it does in
small meters, and the register of the moment of the command is what is signed.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from evse.domain.clock import Clock
from evse.domain.meter_profile import MeterProfile, Register, Signing, Snapshot
from evse.protocols.meter_map import WORDS, words
from evse.sim.hw.modbus_meter import SimModbusMeter
from evse.units import NS_PER_S

SIGNING_S: Final = 0.8
"""Thinking time of one signature."""

LAG_S: Final = 0.25
"""So long the status still tells of the data set before, as in a meter that looks at its commands now and then."""

FAILED: Final = 3
"""Status of a data set that the meter could not sign, unless the profile gives this number another meaning."""

P256_ORDER: Final = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


def meter_key(seed: int, name: str) -> ec.EllipticCurvePrivateKey:
    """Return the key of the meter ``name`` of a station with ``seed``."""
    digest = hashlib.sha256(f"signing meter {name} of seed {seed}".encode()).digest()
    return ec.derive_private_key(int.from_bytes(digest, "big") % (P256_ORDER - 1) + 1, ec.SECP256R1())


def der_of(key: ec.EllipticCurvePrivateKey) -> bytes:
    """Return the public key as SubjectPublicKeyInfo."""
    return key.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


def add_signer(meter: SimModbusMeter, seed: int, name: str, clock: Clock) -> SimSigner | None:
    """Let ``meter`` sign if its profile says how; its key and serial number come from ``seed`` and ``name``."""
    signing = meter.profile.signing
    if signing is None:
        return None
    serial = f"LAB{int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], 'big') % 10**8:08d}"
    return SimSigner(meter, signing, meter_key(seed, name), serial, lambda: clock.now() / NS_PER_S)


class SimSigner:
    """The signing part of a `SimModbusMeter`; attaches itself. ``now`` = seconds of a clock that only goes on."""

    def __init__(
        self, meter: SimModbusMeter, signing: Signing, key: ec.EllipticCurvePrivateKey, serial: str,
        now: Callable[[], float],
    ) -> None:
        self.meter = meter
        self.signing = signing
        self.key = key
        self.serial = serial
        self.id_token = ""
        self.signed = 0  # data sets so far: the pagination of OCMF
        self._now = now
        self._busy: tuple[Snapshot, float] | None = None  # being made, ready at
        self._begin: dict[str, Any] | None = None  # reading of the begin that had no end yet
        self._reading: dict[str, Any] = {}
        self._epoch_s: float | None = None  # UTC minus clock
        self._written: dict[str, bytes] = {}
        self._map = {r.quantity: r for r in meter.profile.registers}
        meter.writes = self
        self._identify(meter.profile)

    def _identify(self, profile: MeterProfile) -> None:
        told = der_of(self.key)
        if self.signing.public_key:
            self._put_text(self.signing.public_key, told[-64:] if self.signing.key_form == "point" else told)
        if profile.identify.serial:
            self.meter.set(profile.identify.serial, self.serial)
        if profile.identify.texts:
            self.meter.set(profile.identify.quantity, profile.identify.texts[0])

    def _put_text(self, quantity: str, data: bytes) -> None:
        self.meter.place(quantity, data)
        length = self._map[quantity].length
        if length:
            self.meter.set(length, len(data))

    def written(self, address: int, data: bytes) -> bool:
        """A master writes registers; only those that a profile names as written are taken."""
        register = next(
            (r for r in self._map.values() if r.access != "r" and r.address == address and len(data) <= 2 * words(r)), None
        )
        if register is None:
            return False
        self._written[register.quantity] = data
        signing, number = self.signing, int.from_bytes(data, "big") if register.type in WORDS else 0
        for shot in (signing.begin, signing.end):
            if register.quantity == shot.command and number == shot.value:
                self._ask(shot)
                return True
        if register.quantity == signing.time:
            self._epoch_s = number - self._now()
        elif register.quantity == signing.id_token:
            self.id_token = data.split(b"\0", 1)[0].decode("ascii", "replace")
        self._show(register, data)
        return True

    def _show(self, register: Register, data: bytes) -> None:
        if register.access == "rw":
            self.meter.place(register.quantity, data)

    def _ask(self, shot: Snapshot) -> None:
        end = shot == self.signing.end
        self._busy = (shot, self._now() + SIGNING_S)
        self._reading = self._measure("E" if end else "B")
        if shot.command == shot.status:
            self.meter.set(shot.status, shot.value)
        if self.signing.measuring:
            self.meter.set(self.signing.measuring, 0 if end else 1)

    def _measure(self, kind: str) -> dict[str, Any]:
        """One entry of RD: register of the moment, in kWh with the digits of the Wh."""
        synchronised = self._epoch_s is not None
        at = datetime.fromtimestamp((self._epoch_s or 0.0) + self._now(), UTC)
        wh = self.meter.values.energy_import_wh or 0
        return {
            "TM": f"{at:%Y-%m-%dT%H:%M:%S},{at.microsecond // 1000:03d}+0000 {'S' if synchronised else 'U'}",
            "TX": kind, "RV": f"{wh // 1000}.{wh % 1000:03d}", "RI": "1-b:1.8.0", "RU": "kWh", "ST": "G",
        }

    def refresh(self) -> None:
        """Begin and finish what is to be by now."""
        if self._busy is None:
            return
        shot, ready = self._busy
        if shot.busy and self._now() >= ready - SIGNING_S + LAG_S:
            self.meter.set(shot.status, shot.busy[-1])
        if "sign_stuck" in self.meter.faults or self._now() < ready:
            return
        self._busy = None
        if "sign_failed" in self.meter.faults:
            known = {*shot.busy, *shot.done}
            self.meter.set(shot.status, FAILED if FAILED not in known else max(known) + 1)
            return
        end = shot == self.signing.end
        readings = [self._begin, self._reading] if end and self._begin is not None else [self._reading]
        self._begin = None if end else self._reading
        self._publish(shot, self._payload([r for r in readings if r is not None]))
        self.meter.set(shot.status, shot.done[0])

    def _payload(self, readings: list[dict[str, Any]]) -> str:
        self.signed += 1
        told = {
            "FV": "1.0", "GI": "simulated", "GS": self.serial, "GV": "1", "PG": f"T{self.signed}", "MV": self.meter.profile.vendor,
            "MM": self.meter.profile.model, "MS": self.serial, "MF": "1", "IS": bool(self.id_token), "IT": "ISO14443" if self.id_token
            else "NONE", "ID": self.id_token, "RD": readings,
        }
        text = json.dumps(told, separators=(",", ":"))
        for reading in readings:  # numbers with all their digits: 12.340 is not 12.34 for whoever reads the register
            text = text.replace(f'"RV":"{reading["RV"]}"', f'"RV":{reading["RV"]}')
        return text

    def _publish(self, shot: Snapshot, payload: str) -> None:
        signature = self.key.sign(payload.encode(), ec.ECDSA(hashes.SHA256(), deterministic_signing=True))
        if shot.signature:
            self._put_text(shot.data, payload.encode())
            self._put_text(shot.signature, signature)
            return
        text = f'OCMF|{payload}|{{"SA":"ECDSA-secp256r1-SHA256","SD":"{signature.hex()}"}}'.encode()
        room = 2 * words(self._map[shot.data])
        self._put_text(shot.data, text if self._map[shot.data].length else text.ljust(room, b"\0"))
