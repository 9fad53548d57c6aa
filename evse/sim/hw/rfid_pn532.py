"""A simulated PN532 on a UART: sleeps until it is woken, acknowledges, answers; a card is laid on it with `present`."""

from __future__ import annotations

import asyncio
from typing import Final

from evse.domain.base import DeviceError
from evse.domain.clock import Clock
from evse.protocols import rfid_pn532 as pn532
from evse.sim.hw.rfid_base import SimReader
from evse.transports.base import ByteStream

FIRMWARE: Final = bytes((0x32, 1, 6, 7))
"""IC PN532, version 1.6, support of ISO 14443 A, B and ISO 18092."""
ATS: Final = bytes.fromhex("067533810280")
"""Answer to select of cards with double and triple size UIDs (DESFire); its first byte is its length."""
SENS_RES_OF_SIZE: Final = {4: 0x0004, 7: 0x0344, 10: 0x0384}
ANSWER_MS: Final = 30
RETRIES_FOREVER: Final = 0xFF


class SimPn532(SimReader):
    """One chip. Fault switches: ``silent`` = does not answer, ``broken_checksum`` = every answer is wrong, ``refuses`` =
    answers each command with the error frame, ``delay_ms`` = time to answer."""

    def __init__(self) -> None:
        super().__init__()
        self.silent = False
        self.broken_checksum = False
        self.refuses = False
        self.delay_ms = ANSWER_MS
        self.lists = 0
        self._frames = pn532.FrameReader()
        self.power_up()

    def power_up(self) -> None:
        """Begin as after the supply came: asleep, searching for ever, nothing configured."""
        self._awake = False
        self._sam = False
        self._retries = RETRIES_FOREVER
        self._woken = b""
        self._frames.reset()

    def feed(self, data: bytes) -> list[bytes]:
        """Take bytes of the host, return acknowledgements and answers, each to be sent as one piece."""
        if not self._awake:
            self._woken = (self._woken + data)[-512:]
            if b"\x55\x55\x00\x00" not in self._woken:
                return []
            self._awake = True
        out = []
        for frame in self._frames.feed(data):
            if not isinstance(frame, pn532.Message) or frame.tfi != pn532.TFI_TO_CHIP or self.silent:
                continue
            out.append(pn532.ACK_BYTES)
            answer = self._answer(frame)
            if answer is None:
                continue
            raw = pn532.encode(answer)
            if self.broken_checksum:
                raw = raw[:-2] + bytes((raw[-2] ^ 0x55, raw[-1]))
            out.append(raw)
        return out

    def _answer(self, message: pn532.Message) -> pn532.Message | None:
        if self.refuses:
            return pn532.Message(pn532.TFI_ERROR, 0)
        number, data = message.command, b""
        if number == pn532.GET_FIRMWARE_VERSION:
            data = FIRMWARE
        elif number == pn532.SAM_CONFIGURATION:
            self._sam = True
        elif number == pn532.RF_CONFIGURATION:
            if message.data[:1] == b"\x05" and len(message.data) == 4:
                self._retries = message.data[3]
        elif number == pn532.IN_LIST_PASSIVE_TARGET and self._sam:
            self.lists += 1
            if self.card is None:
                if self._retries == RETRIES_FOREVER:
                    return None
                data = b"\x00"
            else:
                data = self._target(self.card)
        else:
            return pn532.Message(pn532.TFI_ERROR, 0)
        return pn532.Message(pn532.TFI_FROM_CHIP, number + 1, data)

    @staticmethod
    def _target(uid: bytes) -> bytes:
        ats = b"" if len(uid) == 4 else ATS
        sel_res = 0x08 if len(uid) == 4 else 0x20
        sens_res = SENS_RES_OF_SIZE[len(uid)].to_bytes(2, "big")
        return bytes((1, 1)) + sens_res + bytes((sel_res, len(uid))) + uid + ats

    async def serve(self, stream: ByteStream, clock: Clock | None = None) -> None:
        """Answer on ``stream`` until it is gone."""
        self._frames.reset()
        try:
            while True:
                for piece in self.feed(await stream.read()):
                    if piece != pn532.ACK_BYTES:
                        await asyncio.sleep(self.delay_ms / 1000)
                    await stream.write(piece)
        except DeviceError:
            pass
        finally:
            await stream.close()
