"""Signed readings of a transaction (calibration law), and what a station does when they do not come."""

from __future__ import annotations

import enum

import msgspec


class SigningMode(enum.Enum):
    """What an EVSE does with the signatures of its meter."""

    OFF = "off"  # none are asked for; also where the meter cannot sign
    PREFER = "prefer"  # asked for, and charging goes on without
    REQUIRE = "require"  # no charging without


class SignedValues(msgspec.Struct, frozen=True, kw_only=True):
    """What a meter has signed for one transaction, character by character as it came. "" = it did not come."""

    begin: str = ""
    end: str = ""
    format: str = "OCMF"
    public_key: str = ""  # SubjectPublicKeyInfo in hexadecimal digits; "" = the meter does not tell it
    meter_serial: str = ""
