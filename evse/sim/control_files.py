"""Commands of the control protocol for files: the back end sends a firmware update, or asks for diagnostics.

The servers listen on the loopback interface from the first command on. Under virtual time there are none: the file store
stands for any address, and `evse.lab.files` moves the bytes.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

from evse.domain.base import ConfigError
from evse.sim.control_args import Arg, Spec, short
from evse.sim.csms import CsmsError, wall_text
from evse.sim.files import FileStore
from evse.sim.installer import FAILURES, make_bundle
from evse.units import NS_PER_S, WallNs

if TYPE_CHECKING:
    from evse.sim.firmware_signer import FirmwareSigner
    from evse.sim.station import SimStation

T = TypeVar("T")

USER, PASSWORD = "station", "demo pass"
FIRMWARE, UPLOADS = "/home/station/firmware", "/home/station/uploads"
KIB: Final = 1024
SIGNED: Final = ("right", "wrong_signature", "wrong_certificate")
ADDRESS: Final = {"ftp": "ftp://station:demo%20pass@{}", "http": "http://station:demo%20pass@{}"}

Host = Callable[[str], Awaitable[str]]
"""Protocol to host and port where the files are served."""


async def no_host(protocol: str) -> str:
    """Files under virtual time: any name will do."""
    return "files.test"


def make_store() -> FileStore:
    """The files of the bundled back end."""
    store = FileStore(user=USER, password=PASSWORD)
    store.folders |= {FIRMWARE, UPLOADS}
    return store


def real_host(store: FileStore) -> Host:
    """Servers on localhost, each started when it is first asked for."""
    started: dict[str, str] = {}

    async def host(protocol: str) -> str:
        if protocol not in started:
            await asyncio.to_thread(__import__, "evse.sim.file_servers")
            from evse.sim.file_servers import HOST, FtpServer, HttpServer

            server = HttpServer(store) if protocol == "http" else FtpServer(store)
            started[protocol] = f"{HOST}:{(await server.start()).port}"
        return started[protocol]

    return host


async def _call(station: SimStation, action: str, payload: dict[str, Any]) -> dict[str, Any]:
    if station.csms is None:
        raise ConfigError([f"{action}: ocpp is not enabled in the configuration (ocpp.enabled = true)"])
    try:
        return await station.csms.call(action, payload)
    except CsmsError as error:
        raise ConfigError([f"{action}: {error}"]) from error


async def _address(station: SimStation, protocol: str, path: str) -> str:
    """The URL of a path; FTP begins in the home directory, so its own paths are absolute."""
    base = ADDRESS[protocol].format(await station.file_host(protocol))
    return f"{base}{'/' if protocol == 'ftp' else ''}{path}"


async def _update_firmware(station: SimStation, args: dict[str, Any]) -> dict[str, Any]:
    version, protocol = args["version"], args.get("protocol", "http")

    def made() -> bytes:
        return make_bundle(version, random.Random(version).randbytes(args.get("size_kib", 512) * KIB), args.get("fail", ""))

    bundle = await _aside(station, made)
    path = f"{FIRMWARE}/{''.join(c if c.isalnum() or c in '.-' else '_' for c in version)}.bundle"
    station.files.put(path, bundle)
    at = wall_text(station.clock.wall() + args.get("in_s", 0) * NS_PER_S)
    location = await _address(station, protocol, path)
    if "signed" in args:
        return {"version": version, **await _signed_update(station, args, location, at, bundle)}
    payload = {"location": location, "retrieveDate": at}
    payload |= {key: args[name] for name, key in (("retries", "retries"), ("interval_s", "retryInterval")) if name in args}
    return {"version": version, "answer": await _call(station, "UpdateFirmware", payload)}


async def _aside(station: SimStation, job: Callable[[], T]) -> T:
    """Do what takes time beside the event loop: boards must go on answering."""
    return await asyncio.to_thread(job) if station.real_time else job()


def _make_signer(wall: WallNs) -> FirmwareSigner:
    from evse.sim.firmware_signer import FirmwareSigner

    return FirmwareSigner(wall)


async def _signed_update(
    station: SimStation, args: dict[str, Any], location: str, at: str, bundle: bytes
) -> dict[str, Any]:
    """SignedUpdateFirmware. The station trusts it once the root of the simulated manufacturer is installed, which is done first.

    ``signed``: "right", or what is wrong with it.
    """
    kind = args["signed"]
    if station.signer is None:
        station.signer = await _aside(station, lambda: _make_signer(station.clock.wall()))
        root = {"certificateType": "ManufacturerRootCertificate", "certificate": station.signer.root}
        answer = await _call(station, "InstallCertificate", root)
        if answer.get("status") != "Accepted":
            station.signer = None
            raise ConfigError([f"InstallCertificate: {answer}; the station does not take the root of the manufacturer"])
    number, signer = station.next_request(), station.signer
    signature = await _aside(station, lambda: signer.sign(bundle, right=kind != "wrong_signature"))
    certificate = await _aside(station, lambda: signer.certificate(trusted=kind != "wrong_certificate"))
    firmware = {
        "location": location, "retrieveDateTime": at, "signature": signature, "signingCertificate": certificate,
    }
    payload: dict[str, Any] = {"requestId": number, "firmware": firmware}
    payload |= {key: args[name] for name, key in (("retries", "retries"), ("interval_s", "retryInterval")) if name in args}
    return {"request_id": number, "answer": await _call(station, "SignedUpdateFirmware", payload)}


async def _get_log(station: SimStation, args: dict[str, Any]) -> dict[str, Any]:
    location = await _address(station, args.get("protocol", "ftp"), f"{UPLOADS}/")
    kind = args.get("kind", "diagnostics")
    window = {name: wall_text(station.clock.wall() - args["last_s"] * NS_PER_S) for name in ("since",) if "last_s" in args}
    if kind == "diagnostics":
        payload: dict[str, Any] = {"location": location, **({"startTime": window["since"]} if window else {})}
        return {"answer": await _call(station, "GetDiagnostics", payload)}
    log = {"remoteLocation": location, **({"oldestTimestamp": window["since"]} if window else {})}
    number = station.next_request()
    payload = {"logType": "SecurityLog" if kind == "security" else "DiagnosticsLog", "requestId": number, "log": log}
    return {"request_id": number, "answer": await _call(station, "GetLog", payload)}


async def _files(station: SimStation, args: dict[str, Any]) -> dict[str, Any]:
    rows = [{"path": path, "bytes": len(content)} for path, content in sorted(station.files.files.items())]
    if "save" not in args:
        return {"files": rows}
    folder = Path(args["save"])

    def job() -> list[str]:
        folder.mkdir(parents=True, exist_ok=True)
        saved = []
        for path, content in station.files.files.items():
            if path.startswith(f"{UPLOADS}/"):
                target = folder / path.rpartition("/")[2]
                target.write_bytes(content)
                saved.append(str(target))
        return saved

    try:
        return {"files": rows, "saved": await _aside(station, job)}
    except OSError as error:
        raise ConfigError([f"save = '{short(args['save'])}': {error.strerror}; name a directory that can be written"]) from error


FILE_COMMANDS: Final[dict[str, Spec]] = {
    "update_firmware": Spec(
        help="The back end sends a firmware update",
        args={
            "version": Arg(kind="text", required=True), "protocol": Arg(kind="text", choices=tuple(ADDRESS)),
            "fail": Arg(kind="text", choices=FAILURES[1:]), "size_kib": Arg(kind="int", low=1, high=65_536),
            "signed": Arg(kind="text", choices=SIGNED), "in_s": Arg(kind="int", high=86_400), "retries": Arg(kind="int", high=100),
            "interval_s": Arg(kind="int", high=86_400),
        },
        run=_update_firmware,
    ),
    "get_log": Spec(
        help="The back end asks for diagnostics or logs",
        args={
            "kind": Arg(kind="text", choices=("diagnostics", "log", "security")),
            "protocol": Arg(kind="text", choices=tuple(ADDRESS)), "last_s": Arg(kind="int", low=1, high=31_622_400),
        },
        run=_get_log,
    ),
    "files": Spec(
        help="Show the files of the bundled back end; save what was uploaded", args={"save": Arg(kind="text")}, run=_files
    ),
}  # fmt: skip
