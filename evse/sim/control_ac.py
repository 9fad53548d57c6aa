"""Commands of the control protocol for AC connectors: vehicles, rotary switch, key switch, digital inputs, emergency stop."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from evse.domain.base import ConfigError
from evse.sim.control_args import AC_MANNERS, CONNECTOR, MANNERS, Arg, Spec, known
from evse.sim.ev_ac import AC_CHANGEABLE

if TYPE_CHECKING:
    from evse.sim.station import SimStation
    from evse.sim.world_ac import AcConnectorWorld


def plug_in_ac(station: SimStation, args: dict[str, Any]) -> dict[str, Any]:
    """Plug an AC vehicle in; `ConfigError` for manners of DC vehicles."""
    connector = args["connector"]
    refused = [name for name in (*MANNERS, *AC_MANNERS) if name in args and name not in AC_CHANGEABLE]
    if refused:
        raise ConfigError([f"{name}: is for DC vehicles; connector {connector} is AC" for name in refused])
    spec = station.make_ac_car(connector, args)
    station.plug_in_ac(connector, spec)
    return {
        "connector": connector, "car": spec.name, "phases": spec.phases, "max_ma": spec.max_ma,
        "cable": spec.cable.value, "battery_wh": spec.battery_wh, "soc_pct": spec.soc_ppm / 10_000,
        "target_soc_pct": spec.target_soc_ppm / 10_000, "evcc_id": spec.evcc_id, "hlc": spec.hlc,
    }  # fmt: skip


def _point(station: SimStation, connector: int) -> AcConnectorWorld:
    known(station, connector)
    point = station.world.ac_by_id.get(connector)
    if point is None:
        numbers = ", ".join(map(str, station.world.ac_by_id)) or "none"
        raise ConfigError([f"connector = {connector}: is DC; AC connectors: {numbers}"])
    return point


async def _rotary(station: SimStation, args: dict[str, Any]) -> dict[str, Any]:
    point = _point(station, args["connector"])
    if not point.spec.rotary:
        raise ConfigError([f"connector = {point.evse_id}: has no rotary switch (ac.rotary_switch)"])
    point.plant.rotary = point.plant.rotary_at = args["position"]
    return {"connector": point.evse_id, "happened": f"rotary switch at {args['position']}"}


def _switch(station: SimStation, point: AcConnectorWorld, number: int, high: bool, hold_ms: int | None) -> None:
    """Set an input, and set it back after ``hold_ms``."""
    plant = point.plant
    before = plant.input_mv[number - 1]
    plant.set_input(number, high)

    def back() -> None:
        plant.input_mv[number - 1] = before

    if hold_ms is not None:
        station.later(hold_ms, back)


async def _input(station: SimStation, args: dict[str, Any]) -> dict[str, Any]:
    point = _point(station, args["connector"])
    number, count = args["input"], len(point.plant.input_mv)
    if number > count:
        raise ConfigError([f"input = {number}: connector {point.evse_id} has {count} digital inputs (ac.inputs)"])
    if "mv" in args:
        point.plant.input_mv[number - 1] = args["mv"]
        return {"connector": point.evse_id, "happened": f"input {number} at {args['mv']} mV"}
    on = args.get("on", True)
    _switch(station, point, number, on, args.get("hold_ms"))
    return {"connector": point.evse_id, "happened": f"input {number} {'high' if on else 'low'}"}


async def _key_switch(station: SimStation, args: dict[str, Any]) -> dict[str, Any]:
    point = _point(station, args["connector"])
    number = point.spec.key_switch_input
    if not 1 <= number <= len(point.plant.input_mv):
        raise ConfigError([f"connector = {point.evse_id}: has no key switch (ac.key_switch_input, ac.inputs)"])
    on = args.get("on", True)
    _switch(station, point, number, on, args.get("hold_ms"))
    return {"connector": point.evse_id, "happened": f"key switch {'on' if on else 'off'}"}


async def _estop(station: SimStation, args: dict[str, Any]) -> dict[str, Any]:
    number = args.get("connector")
    chosen = list(station.boards) if number is None else [known(station, number)]
    pressed = args.get("on", True)
    for connector in chosen:
        station.boards[connector].plant.estop = pressed
    word = "pressed" if pressed else "released"
    return {"connector": number, "happened": f"emergency stop {word} at {', '.join(map(str, chosen))}"}


_HOLD: Final = Arg(kind="int", low=50, high=600_000)
AC_COMMANDS: Final[dict[str, Spec]] = {
    "estop": Spec(
        help="Press or release the emergency stop",
        args={"connector": Arg(kind="int", low=1, high=48), "on": Arg(kind="bool")}, run=_estop,
    ),
    "rotary": Spec(
        help="Turn the rotary switch of an AC board",
        args={"connector": CONNECTOR, "position": Arg(kind="int", required=True, high=15)}, run=_rotary,
    ),
    "input": Spec(
        help="Set or clear a digital input of an AC board",
        args={
            "connector": CONNECTOR, "input": Arg(kind="int", required=True, low=1, high=16), "on": Arg(kind="bool"),
            "mv": Arg(kind="int", high=30_000), "hold_ms": _HOLD,
        },
        run=_input,
    ),
    "key_switch": Spec(
        help="Turn the key switch of an AC connector",
        args={"connector": CONNECTOR, "on": Arg(kind="bool"), "hold_ms": _HOLD}, run=_key_switch,
    ),
}  # fmt: skip
