"""The one error of all codecs."""

from __future__ import annotations

from evse.domain.base import DeviceError


class ProtocolError(DeviceError):
    """Bytes that are not a valid message, or a value that its field cannot carry. Decoders raise nothing else."""
