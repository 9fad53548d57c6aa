"""Configuration keys that depend on what the connectors are."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from evse.config.model_ocpp import OcppSection
from evse.domain.ac import AcSpec, LockMode
from evse.domain.station import EvseKind, EvseSpec
from tests.ocpp.support import Bench, under_virtual_time

UNLOCK = "UnlockConnectorOnEVSideDisconnect"
DC = EvseSpec(evse_id=1)


def ac(evse_id: int, socket: bool = True, mode: LockMode = LockMode.SESSION, unlock: bool = True, rotation: str = "RST") -> EvseSpec:
    side = AcSpec(socket=socket, lock_mode=mode, unlock_on_ev_disconnect=unlock, phase_rotation=rotation)
    return EvseSpec(evse_id=evse_id, kind=EvseKind.AC, ac=side)


def cable(evse_id: int) -> EvseSpec:
    return ac(evse_id, socket=False, mode=LockMode.NEVER)


async def values(bench: Bench, *names: str) -> list[str]:
    rows = (await bench.csms.call("GetConfiguration", {"key": list(names)}))["configurationKey"]
    found = {row["key"]: str(row["value"]) for row in rows}
    return [found[name] for name in names]


async def put(bench: Bench, key: str, value: str) -> str:
    return str((await bench.csms.call("ChangeConfiguration", {"key": key, "value": value}))["status"])


@pytest.mark.parametrize(("specs", "rotation", "most", "unlock", "can_hold"), [
    ((DC, EvseSpec(evse_id=2)), "NotApplicable", "8", "true", False),
    ((DC, ac(2)), "1.NotApplicable,2.RST", "21", "true", True),
    ((ac(1, rotation="STR"), cable(2)), "1.STR,2.RST", "21", "true", True),
    ((cable(1), cable(2)), "1.RST,2.RST", "21", "true", False),
    ((ac(1, mode=LockMode.NEVER), cable(2)), "1.RST,2.RST", "21", "true", False),
    ((ac(1, unlock=False), ac(2)), "1.RST,2.RST", "21", "false", True),
])  # fmt: skip
def test_keys_say_what_the_hardware_can_do(
    specs: Sequence[EvseSpec], rotation: str, most: str, unlock: str, can_hold: bool
) -> None:
    async def main() -> None:
        bench = await Bench(specs=specs).start()
        names = ("ConnectorPhaseRotation", "MeterValuesSampledDataMaxLength", UNLOCK)
        assert await values(bench, *names) == [rotation, most, unlock]
        assert await put(bench, "MeterValuesSampledData", "Frequency") == ("Accepted" if most == "21" else "Rejected")
        assert await put(bench, "ConnectorPhaseRotation", rotation.lower()) == "Accepted"
        assert await put(bench, "ConnectorPhaseRotation", "Unknown") == "Rejected"
        assert await put(bench, "StopTransactionOnEVSideDisconnect", "false") == "Rejected"
        assert bench.client.station_keys().unlock_on_ev_disconnect is None or not can_hold
        assert await put(bench, UNLOCK, "false") == ("Accepted" if can_hold else "Rejected")
        assert bench.client.station_keys().unlock_on_ev_disconnect is (False if can_hold else None)

    under_virtual_time(main)


def test_what_the_csms_has_set_goes_before_the_file_also_after_a_restart(tmp_path: Path) -> None:
    async def main() -> None:
        bench = await Bench(database=tmp_path / "x.db", specs=(ac(1), ac(2))).start()
        assert bench.client.station_keys().unlock_on_ev_disconnect is None, "each socket as its configuration says"
        await bench.client.change_config(OcppSection(), (ac(1, unlock=False), ac(2)))
        assert await values(bench, UNLOCK) == ["false"] and bench.client.station_keys().unlock_on_ev_disconnect is None
        assert await put(bench, UNLOCK, "true") == "Accepted"
        await bench.kill()
        bench = await Bench(database=tmp_path / "x.db", specs=(ac(1, unlock=False), ac(2))).start()
        assert await values(bench, UNLOCK) == ["true"] and bench.client.station_keys().unlock_on_ev_disconnect is True
        await bench.kill()

    under_virtual_time(main)
