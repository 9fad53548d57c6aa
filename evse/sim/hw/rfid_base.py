"""What all simulated readers share: a card that lies on them, and a task that serves a line."""

from __future__ import annotations

from abc import ABC, abstractmethod

from evse.domain.clock import Clock
from evse.protocols.rfid_uid import UID_SIZES
from evse.transports.base import ByteStream


class SimReader(ABC):
    """A reader with at most one card on it."""

    def __init__(self) -> None:
        self.card: bytes | None = None

    def present(self, uid: bytes | None) -> None:
        """Lay a card with ``uid`` (4, 7 or 10 bytes) on the reader, None = take it away."""
        if uid is not None and len(uid) not in UID_SIZES:
            raise ValueError(f"UID of {len(uid)} bytes, must be 4, 7 or 10")
        self.card = uid

    @abstractmethod
    async def serve(self, stream: ByteStream, clock: Clock | None = None) -> None:
        """Be the reader on ``stream`` until it is gone. ``clock`` is taken for symmetry with the board."""
