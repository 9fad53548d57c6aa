"""What a CSMS, a network and a disk do to a station while it lives. Everything is allowed to them but to lie."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Callable
from random import Random
from typing import TYPE_CHECKING, Any

from evse.domain.base import DeviceError
from evse.sim.csms import CsmsError
from evse.transports.base import WsClosed
from tests.ocpp_kill.truth import BookCsms

if TYPE_CHECKING:
    from tests.ocpp_kill.world import Life

URL = "ws://csms.test/ocpp/DC%201"
TRANSACTION = ("StartTransaction", "MeterValues", "StopTransaction")
OTHERS = ("BootNotification", "Heartbeat", "StatusNotification")
GARBAGE = (  # no object: that would be a good answer to a stop, and so a lie
    "null", "[3]", '[3,"{id}"]', '[3,"{id}",[]]', '[3,"other",{"transactionId":7}]', '[4,"{id}"]',
    '[9,"{id}",{}]', "[3,", '[4,"{id}","Odd","",[]]',
)  # fmt: skip
BAD_STARTS = (
    '[3,"{id}",{}]', '[3,"{id}",{"transactionId":"1","idTagInfo":{"status":"Accepted"}}]', '[3,"{id}",{"transactionId":1}]',
    '[3,"{id}",{"transactionId":99999999999999999999,"idTagInfo":{"status":"Accepted"}}]',
)  # fmt: skip
KINDS = (
    "lost", "lost", "delay", "delay", "silence", "error", "garbage", "down", "half_open", "twice", "nobody", "boot",
    "trigger", "full", "refused_boot", "stubborn", "resend",
)  # fmt: skip


class Mischief:
    """Plays a random half of `KINDS`, one after the other."""

    def __init__(self, csms: BookCsms, rng: Random, say: Callable[[str], None], *, quiet: bool) -> None:
        self._csms = csms
        self._rng = rng
        self._say = say
        self._kinds = [kind for kind in KINDS if rng.random() < 0.5 and not quiet]
        self._pause_s = rng.choice((1.0, 4.0, 15.0))
        self.disk_was_full = False  # then a process may also fail to start
        self._ends: set[asyncio.Task[None]] = set()

    async def run(self, life: Life) -> None:
        """Play until cancelled."""
        while self._kinds:
            await asyncio.sleep(self._rng.uniform(0.1, 2 * self._pause_s))
            kind = self._rng.choice(self._kinds)
            self._say(f"> {kind}")
            await getattr(self, f"_{kind}")(life)

    def stop(self) -> None:
        """Everything is well again."""
        for task in self._ends:
            task.cancel()
        self._csms._scripts.clear()
        self._csms.registration = "Accepted"
        self._csms.up()

    def _later(self, seconds: float, work: Callable[[], Any]) -> None:
        async def wait() -> None:
            await asyncio.sleep(seconds)
            work()

        task = asyncio.get_running_loop().create_task(wait())
        self._ends.add(task)
        task.add_done_callback(self._ends.discard)

    def _message(self) -> str:
        return self._rng.choice(TRANSACTION if self._rng.random() < 0.8 else OTHERS)

    async def _lost(self, _: Life) -> None:
        self._csms.answer(self._message(), lost=True, count=self._rng.randint(1, 3))

    async def _delay(self, _: Life) -> None:
        self._csms.answer(self._message(), delay_ms=self._rng.choice((300, 4_000, 9_990, 10_000, 25_000)), count=self._rng.randint(1, 3))

    async def _silence(self, _: Life) -> None:
        self._csms.answer(self._message(), silence=True, count=self._rng.randint(1, 4))

    async def _error(self, _: Life) -> None:
        code = self._rng.choice(("InternalError", "GenericError", "NotSupported", "Nonsense"))
        self._csms.answer(self._message(), error=code, wrong=code == "Nonsense", count=self._rng.choice((1, 2, 5)))

    async def _stubborn(self, life: Life) -> None:
        """It refuses one kind of message for good, and quickly: sessions are parked while the process lives."""
        with contextlib.suppress(DeviceError):
            if life.opened:
                await life.client.set_key("TransactionMessageRetryInterval", "1")
        self._csms.answer(self._rng.choice(TRANSACTION), error="InternalError", count=self._rng.choice((3, 6, 20)))

    async def _resend(self, life: Life) -> None:
        """A technician has parked messages sent again."""
        if not life.opened:
            return
        with contextlib.suppress(DeviceError):
            shown = await life.client.queue.rows(100)
            await life.client.queue.resend(self._rng.choice(shown).row.row_id if shown and self._rng.random() < 0.5 else None)

    async def _garbage(self, _: Life) -> None:
        message = self._message()
        texts = (*GARBAGE, *BAD_STARTS) if message == "StartTransaction" else GARBAGE
        self._csms.answer(message, garbage=self._rng.choice(texts), count=self._rng.randint(1, 2))

    async def _down(self, _: Life) -> None:
        self._csms.down()
        self._later(self._rng.uniform(0.1, 40), self._csms.up)

    async def _half_open(self, _: Life) -> None:
        self._csms.half_open()

    async def _twice(self, _: Life) -> None:
        """Somebody else connects under the name of the station, and stays for a while."""
        with contextlib.suppress(DeviceError):
            ws = await self._csms.connect(URL, ["ocpp1.6"], {})
            await asyncio.sleep(self._rng.uniform(0, 5))
            await ws.close()

    async def _nobody(self, _: Life) -> None:
        """An answer that nobody has asked for, or one that was given before."""
        known = self._rng.choice((*list(self._csms.book)[-3:], ""))
        answer = self._csms.book[known][2] if known else {"transactionId": 4711, "idTagInfo": {"status": "Accepted"}}
        text = json.dumps([3, known or "nobody", answer])
        with contextlib.suppress(WsClosed):
            await self._csms.raw(text)

    async def _boot(self, _: Life) -> None:
        await self._ask("TriggerMessage", {"requestedMessage": "BootNotification"})

    async def _trigger(self, _: Life) -> None:
        await self._ask("TriggerMessage", {"requestedMessage": "MeterValues"})

    async def _ask(self, action: str, payload: dict[str, Any]) -> None:
        with contextlib.suppress(CsmsError, TimeoutError):
            async with asyncio.timeout(2):
                await self._csms.call(action, payload)

    async def _refused_boot(self, _: Life) -> None:
        self._csms.registration = self._rng.choice(("Pending", "Rejected"))
        self._later(self._rng.uniform(1, 30), lambda: setattr(self._csms, "registration", "Accepted"))
        if self._rng.random() < 0.5:
            self._csms.down()
            self._csms.up()

    async def _full(self, life: Life) -> None:
        """Every write fails for a while."""
        disk = life.disk
        disk.full = self.disk_was_full = True
        self._later(self._rng.choice((0.5, 5.0)), lambda: setattr(disk, "full", False))
