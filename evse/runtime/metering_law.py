"""Calibration law in the running station: signed readings of its meters for the core, their keys for the back end."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from evse.core.inputs import MeterSigned
from evse.core.outputs import RequestSignature
from evse.devices.meter_signing import MeterIdentity, MeterSigner, SigningError
from evse.domain.readings import NoDataReason
from evse.ocpp.data_transfer import MeterKey
from evse.ocpp.key_table import signing_rows

if TYPE_CHECKING:
    from evse.ocpp.client import OcppClient

log = logging.getLogger(__name__)


async def sign(signer: MeterSigner | None, wanted: RequestSignature) -> MeterSigned:
    """Return what the meter has signed, or why it has not; never raises for the meter. The number of the command is 0."""
    if signer is None:
        return _not(wanted, "the meter of this EVSE does not sign", lost=False)
    try:
        text = await signer.sign(end=wanted.end, id_token=wanted.id_token, deadline=wanted.deadline)
    except SigningError as error:
        return _not(wanted, str(error), lost=error.reason is not NoDataReason.ERROR)
    except Exception:  # a vehicle waits: a bug behind the meter is a reading that did not come
        log.exception("signed reading of EVSE %d", wanted.evse_id)
        return _not(wanted, "internal error; see the log", lost=False)
    who = signer.identity
    return MeterSigned(
        seq=0, evse_id=wanted.evse_id, number=wanted.number, text=text, public_key="" if who is None else who.public_key,
        meter_serial="" if who is None else who.serial,
    )


def _not(wanted: RequestSignature, why: str, *, lost: bool) -> MeterSigned:
    return MeterSigned(seq=0, evse_id=wanted.evse_id, number=wanted.number, why=why, lost=lost)


def offer_keys(signers: Mapping[int, MeterSigner], client: OcppClient) -> None:
    """Give the client the configuration keys of signing meters, and the public keys for after a boot. Before it is opened."""
    if not signers:
        return
    for row in signing_rows(sorted(signers)):
        client.configuration.offer(row)
    client.meter_keys = lambda: meter_keys(signers)
    client.meter_keys_known = lambda: all(signer.identity is not None for signer in signers.values())
    for evse_id, signer in signers.items():
        signer.identified = _tell(client, evse_id)


def _tell(client: OcppClient, evse_id: int) -> Callable[[MeterIdentity], None]:
    return lambda identity: client.configuration.tell(f"Meter{evse_id}PublicKey", identity.public_key)


def meter_keys(signers: Mapping[int, MeterSigner]) -> tuple[MeterKey, ...]:
    """Return the public keys that are known, by connector."""
    return tuple(
        MeterKey(connector_id=evse_id, serial=signer.identity.serial, public_key=signer.identity.public_key)
        for evse_id, signer in sorted(signers.items())
        if signer.identity is not None and signer.identity.public_key
    )
