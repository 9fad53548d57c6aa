"""What configuration keys of OCPP say about the station itself, put into its specification."""

from __future__ import annotations

from msgspec.structs import replace

from evse.domain.station import EvseSpec, StationSpec
from evse.ocpp.ports import StationKeys


def with_keys(spec: StationSpec, keys: StationKeys) -> StationSpec:
    """Return ``spec`` with the values of ``keys``; None = as the configuration says. The same object if nothing differs."""
    evses = tuple(_evse(evse, keys) for evse in spec.evses)
    found = replace(
        spec, connection_timeout_s=keys.connection_timeout_s, light_pct=keys.light_pct, needs_time=keys.needs_time,
        blink_repeat=keys.blink_repeat, evses=evses,
    )
    return spec if found == spec else found


def _evse(evse: EvseSpec, keys: StationKeys) -> EvseSpec:
    if keys.free is not None and keys.free is not evse.free_charging:
        evse = replace(evse, free_charging=keys.free)
    if keys.free_token is not None:
        evse = replace(evse, free_id_token=keys.free_token)
    ac = evse.ac
    if ac is None:
        return evse
    if keys.unlock_on_ev_disconnect is not None:
        ac = replace(ac, unlock_on_ev_disconnect=keys.unlock_on_ev_disconnect)
    if keys.same_token_stops is not None:
        ac = replace(ac, same_token_stops=keys.same_token_stops)
    return evse if ac == evse.ac else replace(evse, ac=ac)
