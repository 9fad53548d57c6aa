"""The inspector of all tests notices what the official schemas forbid, from either side."""

from __future__ import annotations

import asyncio

from evse.ocpp.engine import Reply
from evse.ocpp.messages import Payload
from evse.sim.csms import SimCsms
from tests._support.official import Official
from tests.ocpp.support import Bench, under_virtual_time


def test_every_message_is_seen_and_wrong_ones_are_named() -> None:
    async def main() -> None:
        bench = await Bench().start()
        official = SimCsms.inspector
        assert isinstance(official, Official)
        await bench.csms.call("GetLocalListVersion", {})
        assert official.seen == 2 * len(bench.csms.received) + 2
        assert official.take() == []

        async def wrong(payload: Payload) -> Reply:
            return Reply({"listVersion": "seven"})

        bench.client._check_outbound = False
        bench.client.handlers.extensions.append(lambda: {"GetLocalListVersion": wrong})
        bench.openers.sockets[-1].end(clean=True, detail="bye")
        await asyncio.sleep(5)
        await bench.csms.call("GetLocalListVersion", {})
        await bench.client.ask("Heartbeat", {"extra": 1})
        found = official.take()
        assert len(found) == 2
        assert found[0].startswith("station: result of GetLocalListVersion: $.listVersion")
        assert found[1].startswith("station: call of Heartbeat: $")

    under_virtual_time(main)
