"""A simulated reader that is a keyboard: input events of the kernel, as ``/dev/input/event*`` delivers them."""

from __future__ import annotations

from evse.protocols.rfid_hid import EVENT_BYTES_NATIVE, typed
from evse.sim.hw.rfid_line import SimLine


class SimHid(SimLine):
    """One reader. ``decimal`` = 4 byte UIDs as a number. Types a card once when it is laid on it."""

    def __init__(self, *, decimal: bool = False, event_bytes: int = EVENT_BYTES_NATIVE) -> None:
        super().__init__(decimal=decimal, end=b"")
        self.event_bytes = event_bytes

    def say(self, data: bytes) -> None:
        """Type hex digits and Enter."""
        super().say(typed(data.decode("ascii"), self.event_bytes))
