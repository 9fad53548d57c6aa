"""The control protocol: one JSON object per line with ``cmd``, one JSON object back with ``ok``.

Commands come over stdin or a Unix socket, from scenario files and from tests, and all take the same way: `execute`.
A bad object changes nothing and is answered with ``error``, which names the key, the value and what is accepted.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec

from evse.domain.base import ConfigError, DeviceError
from evse.sim.control_ac import AC_COMMANDS, plug_in_ac
from evse.sim.control_args import AC_CAR, AC_MANNERS, CONNECTOR, MANNERS, Arg, Spec, known, near, short
from evse.sim.control_files import FILE_COMMANDS
from evse.sim.csms import CsmsError
from evse.sim.ev import CHANGEABLE, Ev
from evse.sim.ev_ac import AC_CHANGEABLE, AcEv
from evse.sim.fault_catalogue import apply_fault
from evse.sim.fault_catalogue import rows as fault_rows
from evse.sim.faults import FaultArgs
from evse.sim.status import status

if TYPE_CHECKING:
    from evse.sim.station import SimStation

LINE_MAX: Final = 64 * 1024
"""Longest line in bytes; a longer one ends the connection, since its end cannot be found."""
CLIENTS_MAX: Final = 16
UID_BYTES: Final = (4, 7, 10)


async def _plug_in(station: SimStation, args: dict[str, Any]) -> dict[str, Any]:
    connector = known(station, args["connector"])
    if connector in station.world.ac_by_id:
        return plug_in_ac(station, args)
    refused = [name for name in (*AC_MANNERS, *AC_CAR) if name in args]
    if refused:
        raise ConfigError([f"{name}: is for AC vehicles; connector {connector} is DC" for name in refused])
    spec = station.make_car(connector, args)
    station.plug_in_spec(connector, spec)
    return {
        "connector": connector, "car": spec.name, "voltage_class": spec.voltage_class, "battery_wh": spec.battery_wh,
        "soc_pct": spec.soc_ppm / 10_000, "target_soc_pct": spec.target_soc_ppm / 10_000, "evcc_id": spec.evcc_id,
    }  # fmt: skip


async def _plug_out(station: SimStation, args: dict[str, Any]) -> dict[str, Any]:
    known(station, args["connector"])
    gone = station.world.plug_out(args["connector"], force=args.get("force", False))
    return {"connector": args["connector"], "happened": "unplugged" if gone else "leaving: charging ends first"}


async def _swipe(station: SimStation, args: dict[str, Any]) -> dict[str, Any]:
    token = args["token"].upper()
    try:
        uid = bytes.fromhex(token)
    except ValueError:
        uid = b""
    if len(uid) not in UID_BYTES:
        raise ConfigError([f"token = '{short(token)}': accepted: 4, 7 or 10 bytes as hex, e.g. 04A1B2C3"])
    if not station.readers:
        raise ConfigError(["swipe: the configuration has no reader ([[reader]])"])
    reader = args.get("reader") or _reader_of(station, args.get("connector"))
    if reader not in station.readers:
        raise ConfigError([f"reader = '{short(reader)}': no such reader; accepted: {', '.join(station.readers)}"])
    station.swipe(token, reader, args.get("hold_ms", 700))
    return {"reader": reader, "token": token}


def _reader_of(station: SimStation, connector: int | None) -> str:
    """Return the reader that serves a connector, the first one without a wish."""
    if connector is None:
        return next(iter(station.readers))
    known(station, connector)
    for section in station.config.reader:
        if connector in section.evses:
            return section.name
    raise ConfigError(
        [f"connector = {connector}: no reader serves it; name one with reader: {', '.join(station.readers)}"]
    )


async def _set_ev(station: SimStation, args: dict[str, Any]) -> dict[str, Any]:
    connector = known(station, args["connector"])
    changes = {key: value for key, value in args.items() if key != "connector"}
    if connector in station.world.ac_by_id:
        ev: Ev | AcEv | None = station.world.ac_by_id[connector].ev
        accepted: tuple[str, ...] = AC_CHANGEABLE
    else:
        ev, accepted = station.world.by_id[connector].ev, CHANGEABLE
    if ev is None:
        raise ConfigError([f"connector = {connector}: nothing is plugged in; send plug_in first"])
    if not changes:
        raise ConfigError([f"set_ev: nothing to set; accepted: {', '.join(accepted)}"])
    refused = [key for key in changes if key not in accepted]
    if refused:
        raise ConfigError([f"{', '.join(refused)}: not of this vehicle; accepted: {', '.join(accepted)}"])
    ev.change(changes)
    return {"connector": connector, "set": changes}


async def _button(station: SimStation, args: dict[str, Any]) -> dict[str, Any]:
    plant = station.boards[known(station, args["connector"])].plant
    plant.stop_button = True

    def release() -> None:
        plant.stop_button = False

    station.later(args.get("hold_ms", 300), release)
    return {"connector": args["connector"], "happened": "stop button pressed"}


async def _fault(station: SimStation, args: dict[str, Any]) -> dict[str, Any]:
    action = args["action"]
    if action == "list":
        return {"faults": fault_rows(), "active": station.active_faults}
    name = args.get("fault", "")
    if action == "clear" and name in ("", "all"):
        cleared = list(station.active_faults)
        for key in cleared:
            _clear(station, key)
        return {"happened": [f"{key}: cleared" for key in cleared]}
    place = FaultArgs(
        connector=args.get("connector", 0),
        value=args.get("value"),
        address=args.get("address"),
        port=args.get("port", ""),
        seed=args.get("seed"),
    )
    key = f"{name}/{place.port or place.address or place.connector}"
    fault, text = apply_fault(station, name, place, action == "raise")
    if action == "raise":
        row = {name: value for name, value in msgspec.structs.asdict(place).items() if name != "kind"}
        station.active_faults[key] = {"fault": name, **row}
    else:
        station.active_faults.pop(key, None)
    return {"fault": name, "code": fault.code.value if fault.code else None, "happened": text}


def _clear(station: SimStation, key: str) -> None:
    row = station.active_faults.pop(key)
    place = FaultArgs(**{name: value for name, value in row.items() if name != "fault"})
    apply_fault(station, row["fault"], place, False)


async def _csms(station: SimStation, args: dict[str, Any]) -> dict[str, Any]:
    csms = station.csms
    if csms is None:
        raise ConfigError(["csms: ocpp is not enabled in the configuration (ocpp.enabled = true)"])
    action = args["action"]
    if action == "down":
        csms.down()
    elif action == "up":
        csms.up()
    elif action == "ledger":
        return {"ledger": csms.ledger()}
    elif action == "half_open":
        csms.half_open()
    elif action == "answer":
        if not args.get("message"):
            raise ConfigError(["message = '': accepted: an OCPP action such as Authorize"])
        csms.answer(
            args["message"],
            payload=args.get("payload"),
            error=args.get("error"),
            delay_ms=args.get("delay_ms", 0),
            silence=args.get("silence", False),
            garbage=args.get("garbage"),
            count=args.get("count"),
        )
    elif action == "send":
        if not args.get("message"):
            raise ConfigError(["message = '': accepted: an OCPP action such as RemoteStartTransaction"])
        try:
            return {"answer": await csms.call(args["message"], args.get("payload") or {})}
        except CsmsError as error:
            raise ConfigError([f"csms send {short(args['message'])}: {error}"]) from error
    return {"happened": f"csms {action}"}


async def _power_cut(station: SimStation, args: dict[str, Any]) -> dict[str, Any]:
    pid = args.get("pid")
    if pid is not None:
        try:
            os.kill(pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError) as error:
            raise ConfigError([f"pid = {pid}: {error.strerror}; accepted: the process id of the daemon"]) from error
    duration_ms = args.get("duration_ms", 2_000)
    station.cut_power_for(duration_ms)
    return {"happened": f"supply cut for {duration_ms} ms" + (f", process {pid} killed" if pid else "")}


async def _status(station: SimStation, args: dict[str, Any]) -> dict[str, Any]:
    del args
    return status(station)


COMMANDS: Final[dict[str, Spec]] = {
    "plug_in": Spec(
        help="A car arrives",
        args={
            "connector": CONNECTOR, "car": Arg(kind="text"), "battery_wh": Arg(kind="int", low=100, high=1_000_000),
            "evcc_id": Arg(kind="text"), **MANNERS, **AC_CAR, **AC_MANNERS,
        },
        run=_plug_in,
    ),
    "plug_out": Spec(help="The car leaves", args={"connector": CONNECTOR, "force": Arg(kind="bool")}, run=_plug_out),
    "swipe": Spec(
        help="A card is held to a reader",
        args={
            "token": Arg(kind="text", required=True), "reader": Arg(kind="text"),
            "connector": Arg(kind="int", low=1, high=48),
            "hold_ms": Arg(kind="int", low=50, high=60_000),
        },
        run=_swipe,
    ),
    "set_ev": Spec(
        help="Change a car", args={"connector": CONNECTOR, "stop": Arg(kind="bool"), **MANNERS, **AC_MANNERS},
        run=_set_ev,
    ),
    "button": Spec(
        help="Press the stop button",
        args={"connector": CONNECTOR, "hold_ms": Arg(kind="int", low=50, high=60_000)}, run=_button,
    ),
    "fault": Spec(
        help="Raise, clear or list faults",
        args={
            "action": Arg(kind="text", required=True, choices=("raise", "clear", "list")), "fault": Arg(kind="text"),
            "connector": Arg(kind="int", high=48), "value": Arg(kind="int", high=10_000_000),
            "address": Arg(kind="int", high=255), "port": Arg(kind="text"), "seed": Arg(kind="int", high=2**63),
        },
        run=_fault,
    ),
    "csms": Spec(
        help="Steer the bundled back end",
        args={
            "action": Arg(
                kind="text", required=True, choices=("up", "down", "half_open", "answer", "send", "ledger")
            ),
            "message": Arg(kind="text"), "payload": Arg(kind="object"), "error": Arg(kind="text"),
            "delay_ms": Arg(kind="int", high=600_000), "silence": Arg(kind="bool"), "garbage": Arg(kind="text"),
            "count": Arg(kind="int", low=1),
        },
        run=_csms,
    ),
    "power_cut": Spec(
        help="Cut the supply of the cabinet for a while; kill a process as well",
        args={"duration_ms": Arg(kind="int", low=50, high=600_000), "pid": Arg(kind="int", low=2, high=2**31)},
        run=_power_cut,
    ),
    **AC_COMMANDS,
    **FILE_COMMANDS,
    "status": Spec(help="Show the world", args={}, run=_status),
}  # fmt: skip


def plain_form(obj: Any) -> Any:
    """``{"cmd": "fault raise"}`` is short for ``{"cmd": "fault", "action": "raise"}``; so is ``"csms down"``."""
    if isinstance(obj, dict) and isinstance(obj.get("cmd"), str) and "action" not in obj:
        name, blank, action = obj["cmd"].partition(" ")
        if blank and "action" in getattr(COMMANDS.get(name), "args", {}):
            return {**obj, "cmd": name, "action": action}
    return obj


def problems_of(obj: Any) -> list[str]:
    """Return what is wrong with the form of a command, all at once; empty = it can be executed."""
    if not isinstance(obj, dict):
        return ['a JSON object is expected, e.g. {"cmd": "status"}']
    name = obj.get("cmd")
    if not isinstance(name, str) or name not in COMMANDS:
        hint = near(name, COMMANDS) if isinstance(name, str) else ""
        return [f"cmd = {short(json.dumps(name))}: no such command{hint}; accepted: {', '.join(COMMANDS)}"]
    spec = COMMANDS[name]
    problems = []
    for key, value in obj.items():
        if key == "cmd":
            continue
        arg = spec.args.get(key)
        if arg is None:
            accepted = ", ".join(spec.args) or "nothing else"
            shown = short(json.dumps(value, default=str))
            problems.append(
                f"{short(str(key))} = {shown}: unknown key for {name}{near(str(key), spec.args)};"
                f" accepted: {accepted}"
            )
        elif not arg.fits(value):
            problems.append(f"{key} = {short(json.dumps(value, default=str))}: accepted: {arg.accepted()}")
    problems += [
        f"{key}: is missing for {name}; accepted: {arg.accepted()}"
        for key, arg in spec.args.items()
        if arg.required and key not in obj
    ]
    return problems


async def execute(station: SimStation, obj: Any) -> dict[str, Any]:
    """Execute one command; a refusal is an answer with ``ok`` false, never an exception."""
    obj = plain_form(obj)
    problems = problems_of(obj)
    if not problems:
        args = {key: value for key, value in obj.items() if key != "cmd"}
        try:
            return {"ok": True, "cmd": obj["cmd"], **await COMMANDS[obj["cmd"]].run(station, args)}
        except ConfigError as error:
            problems = error.problems
        except DeviceError as error:
            problems = [str(error)]
    return {"ok": False, "cmd": obj.get("cmd") if isinstance(obj, dict) else None, "error": "; ".join(problems)}


async def answer_line(station: SimStation, line: bytes) -> bytes:
    """Return the answer line to one line of the protocol."""
    try:
        obj = json.loads(line)
    except (ValueError, RecursionError) as error:
        shown = short(line.decode("utf-8", "replace").strip())
        answer: dict[str, Any] = {"ok": False, "cmd": None, "error": f"line = '{shown}': is not JSON ({error})"}
    else:
        answer = await station.command(obj) if isinstance(obj, dict) else await execute(station, obj)
    return json.dumps(answer, separators=(",", ":"), default=str).encode() + b"\n"


async def serve_lines(
    station: SimStation, reader: asyncio.StreamReader, write: Callable[[bytes], Awaitable[None]]
) -> None:
    """Answer lines until the end of the stream; a line over `LINE_MAX` is answered and ends it."""
    while True:
        try:
            line = await reader.readline()
        except ValueError:
            await write(
                json.dumps({"ok": False, "cmd": None, "error": f"line: longer than {LINE_MAX} bytes"}).encode() + b"\n"
            )
            return
        if not line:
            return
        if line.strip():
            await write(await answer_line(station, line))


def _clear_socket(path: Path) -> None:
    """Remove the socket that a former run left behind; anything else in its place is refused by the bind."""
    if path.is_socket():
        path.unlink()


async def listen(station: SimStation, path: Path) -> asyncio.Server:
    """Serve the protocol on a Unix socket (mode 0600), at most `CLIENTS_MAX` clients; `ConfigError` names the path."""
    clients: set[asyncio.StreamWriter] = set()

    async def client(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async def write(data: bytes) -> None:
            writer.write(data)
            await writer.drain()

        if len(clients) >= CLIENTS_MAX:
            writer.write(b'{"ok":false,"cmd":null,"error":"too many clients; close one"}\n')
            writer.close()
            return
        clients.add(writer)
        try:
            with contextlib.suppress(ConnectionError):
                await serve_lines(station, reader, write)
        finally:
            clients.discard(writer)
            writer.close()

    try:
        await asyncio.to_thread(_clear_socket, path)
        server = await asyncio.start_unix_server(client, path, limit=LINE_MAX)
        await asyncio.to_thread(path.chmod, 0o600)
    except OSError as error:
        raise ConfigError(
            [f"--control {path}: {error.strerror}; choose a writable directory and a short path"]
        ) from error
    return server
