"""The search on a real pseudo-terminal with the real serial transport (tier R: no assertion on time)."""

from __future__ import annotations

import asyncio
import os
import tty

from evse.config.meter_profiles import list_profiles, load_profile
from evse.devices.detect import detect
from evse.domain.detect import DetectRequest
from evse.runtime.clock import RealClock
from evse.sim.hw.modbus_meter import SimModbusBus
from evse.sim.pty_ports import PtyMaster
from evse.transports.real import RealOpeners
from tests.devices.test_detect import meter


def test_a_meter_behind_a_pseudo_terminal_is_found() -> None:
    async def main() -> None:
        ours, theirs = os.openpty()
        tty.setraw(theirs)
        port = os.ttyname(theirs)
        stream = PtyMaster(ours, port)
        sim = SimModbusBus([meter("eastron/sdm72dm-v2", 5, meter_code=0x89, serial_number=4711)])
        server = asyncio.create_task(sim.serve(stream))
        request = DetectRequest(port=port, bauds=(9600,), parities=("N",), units=(5, 6), timeout_ms=500)
        profiles = [load_profile(name) for name in list_profiles() if name.startswith("eastron/")]
        result = await detect(request, profiles, RealOpeners(), RealClock())
        assert [(f.unit, f.profile, f.candidates[0].serial) for f in result.found] == [(5, "eastron/sdm72dm-v2", "4711")]
        assert result.found[0].text().endswith("unit 5: eastron/sdm72dm-v2 (code 137 serial 4711)")
        server.cancel()
        await asyncio.wait([server])
        await stream.close()
        os.close(theirs)

    asyncio.run(main())
