"""The API of a running station: who may call, what calls mean, and the server on its Unix socket.

A module of its own because its imports are the daemon's longest: they happen while the control loop ticks already.
"""

from __future__ import annotations

import grp
import os

from evse.access.control import AccessControl
from evse.access.pin import PinGuard
from evse.access.ports import ThreadRunner
from evse.access.roles import RolePolicy
from evse.access.tokens import Tokens
from evse.access.totp import Totp
from evse.api.paths import server_socket
from evse.api.server import ApiServer
from evse.api.stream import EventHub
from evse.runtime.service.station import RuntimeService
from evse.runtime.station import Station


def make_server(station: Station, socket: str) -> ApiServer:
    """Return the server of ``station``, not started.

    The roles of callers come from Unix groups and the service PIN; secrets are kept below the data directory.
    """
    api = station.config.api
    policy = RolePolicy(os.getuid(), lambda: (station.config.api.operator_group, station.config.api.manufacturer_group))
    runner = ThreadRunner()
    control = AccessControl(
        policy=policy,
        pin=PinGuard(station.store, runner, station.clock),
        tokens=Tokens(station.clock),
        clock=station.clock,
        token_minutes=lambda: station.config.api.token_minutes,
        totp=Totp(station.vault, station.store, station.clock, lambda: station.config.station.id),
    )
    hub = EventHub(seq=station.loop.state.event_seq)
    service = RuntimeService(station, control, hub)
    path = server_socket(socket or api.socket)
    return ApiServer(
        service, control, station.store.audit, station.clock, path=path, group=_known_group(api.socket_group)
    )


def _known_group(name: str) -> str:
    """The group of the socket, if the machine has it; else the daemon's own."""
    try:
        return grp.getgrnam(name).gr_name if name else ""
    except KeyError:
        return ""
