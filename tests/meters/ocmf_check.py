"""A verifier of signed readings that shares nothing with the code that makes or reads them: text and key in, truth out."""

from __future__ import annotations

import json
import re
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_der_public_key

FORM = re.compile(r"^OCMF\|(?P<payload>\{.*\})\|(?P<signature>\{[^|]*\})$", re.DOTALL)


def genuine(text: str, public_key_hex: str) -> bool:
    """Tell whether the meter with this key has signed exactly this text."""
    found = FORM.match(text)
    if found is None:
        return False
    key = load_der_public_key(bytes.fromhex(public_key_hex))
    assert isinstance(key, ec.EllipticCurvePublicKey)
    assert key.curve.name == "secp256r1"
    signature = bytes.fromhex(json.loads(found["signature"])["SD"])
    try:
        key.verify(signature, found["payload"].encode(), ec.ECDSA(hashes.SHA256()))
    except InvalidSignature:
        return False
    return True


def readings(text: str) -> list[dict[str, Any]]:
    """Return the readings: kind B or E, and the register in Wh."""
    found = FORM.match(text)
    assert found is not None, text
    payload = json.loads(found["payload"])
    return [{"kind": one["TX"], "wh": round(one["RV"] * 1000), "time": one["TM"]} for one in payload["RD"]]


def id_of(text: str) -> str:
    """Return who charged."""
    found = FORM.match(text)
    assert found is not None, text
    return str(json.loads(found["payload"])["ID"])
