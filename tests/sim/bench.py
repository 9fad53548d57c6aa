"""A two-connector station configuration on simulated ports."""

from __future__ import annotations

from evse.config.model import (
    BoardSection,
    EvseSection,
    GroupSection,
    MeterSection,
    ModulesSection,
    ReaderSection,
    SiteSection,
    StationConfig,
    StationSection,
)
from evse.config.model_ocpp import OcppSection

BY_ID = "/dev/serial/by-id/usb-Espressif_USB_JTAG_serial_debug_unit_34:85:18:00:00:0{}-if00"


def config(*, ocpp: bool = False, topology: str = "chain") -> StationConfig:
    """Two EVSEs with a DC meter each on one bus, two groups of six modules, a site meter over TCP, one reader."""
    evses = tuple(
        EvseSection(
            id=n,
            home_group=n,
            board=BoardSection(port=BY_ID.format(n)),
            meter=MeterSection(profile="acrel/djsf1352-rn", port="/dev/ttyM0", address=n),
        )
        for n in (1, 2)
    )
    return StationConfig(
        station=StationSection(id="SIM"),
        evse=evses,
        modules=ModulesSection(
            interface="udp_multicast",
            channel="239.74.163.2",
            topology=topology,  # type: ignore[arg-type]
            groups=(
                GroupSection(id=1, addresses=(0, 1, 2, 3, 4, 5)),
                GroupSection(id=2, addresses=(6, 7, 8, 9, 10, 11)),
            ),
        ),
        site=SiteSection(
            limit_w=100_000, meter=MeterSection(profile="eastron/sdm630", port="tcp://127.0.0.1:1502", address=7)
        ),
        reader=(ReaderSection(name="front", port="/dev/ttyR0", evses=(1, 2)),),
        ocpp=OcppSection(enabled=ocpp, url="ws://127.0.0.1:9000" if ocpp else ""),
    )
