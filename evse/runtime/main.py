"""``evsed``: the daemon's process. ``python -m evse.runtime --config station.toml``."""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import logging
import os
import signal
import sys
import time
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

from evse import __version__
from evse.config.load import load_config
from evse.config.model import StationConfig
from evse.domain.base import ConfigError
from evse.runtime.log_ring import LogRing
from evse.runtime.stopping import end_transactions
from evse.runtime.views import transaction_runs
from evse.units import NS_PER_MS, NS_PER_US

if TYPE_CHECKING:
    from evse.runtime.station import Station

log = logging.getLogger(__name__)

EXIT_CONFIG = 9
EXIT_FAILED = 1
EXIT_RESET = 75
"""Ended because the back end asked for a reset: the service manager starts it again."""


def main(argv: list[str] | None = None) -> int:
    """Parse the command line, check the configuration, run until TERM or INT."""
    parser = argparse.ArgumentParser(prog="evsed", description="Charging-station controller daemon")
    parser.add_argument("--config", type=Path, required=True, help="station.toml")
    parser.add_argument("--check", action="store_true", help="check the configuration and exit")
    parser.add_argument("--socket", default="", help="Unix socket of the API (default from the configuration)")
    parser.add_argument(
        "--data-dir", default="", help="directory for the database and traces (default from the configuration)"
    )
    parser.add_argument("--log-level", default="INFO", choices=["DEBUG", "INFO", "WARNING", "ERROR"])
    parser.add_argument(
        "--ready-fd", type=int, default=-1, help="write one JSON line to this file descriptor when ready"
    )
    parser.add_argument("--version", action="version", version=f"evsed {__version__}")
    options = parser.parse_args(argv)
    logging.basicConfig(
        level=options.log_level, stream=sys.stderr, format="%(asctime)s %(levelname)-7s %(name)s: %(message)s"
    )
    ring = LogRing()
    ring.setFormatter(logging.Formatter("%(asctime)s %(levelname)-7s %(name)s: %(message)s"))
    logging.getLogger().addHandler(ring)
    try:
        config = load_config(options.config)
    except ConfigError as error:
        for problem in error.problems:
            sys.stderr.write(f"{problem}\n")
        sys.stderr.write(f"evsed: {len(error.problems)} problem(s) in {options.config}; nothing was started\n")
        return EXIT_CONFIG
    if options.check:
        sys.stdout.write(f"{options.config}: ok\n")
        return 0
    return asyncio.run(_run(config, options))


async def _run(config: StationConfig, options: argparse.Namespace) -> int:
    from evse.api.sd_notify import ServiceManager
    from evse.runtime.notify import DaemonNotice
    from evse.runtime.process import open_station, serve
    from evse.storage.executor import StorageError

    manager = ServiceManager(os.environ, time.monotonic_ns)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    try:
        data_dir = _data_dir(options.data_dir or config.station.data_dir)
        station = await open_station(config, options.config, data_dir, Random(os.urandom(16)))
    except (OSError, StorageError) as error:
        sys.stderr.write(f"evsed: cannot start: {error}\n")
        return EXIT_FAILED
    station.start()  # first: boards and modules wait for levels, people can wait for the API
    try:
        server = await serve(station, options.socket)
    except OSError as error:
        sys.stderr.write(f"evsed: cannot start: {error}\n")
        await station.close()
        await station.store.close()
        return EXIT_FAILED
    gc.collect()
    gc.freeze()
    station.loop.stats.started()
    if options.ready_fd >= 0:
        os.write(
            options.ready_fd,
            json.dumps({"ready": True, "socket": str(server.path), "pid": os.getpid()}).encode() + b"\n",
        )
        os.close(options.ready_fd)
    notice = DaemonNotice(manager, station.loop.stats)
    notice.ready(str(server.path))
    while not stop.is_set() and not _reset_due(station):
        try:
            await asyncio.wait_for(stop.wait(), timeout=notice.poll_s)
        except TimeoutError:
            notice.alive()
    notice.stopping()
    if stop.is_set():
        await end_transactions(station)
    await server.close()
    await station.close()
    await station.store.close()
    stats = station.loop.stats
    log.info(
        "control loop: %d ticks, %d late, lateness p99 %.1f ms, worst %.1f ms, mean duration %.0f us",
        stats.count, stats.late, stats.lateness_ms(990), stats.lateness_max_ns / NS_PER_MS,
        stats.duration_sum_ns / NS_PER_US / max(1, stats.count),
    )  # fmt: skip
    return EXIT_RESET if station.reset_requested and not stop.is_set() else 0


def _reset_due(station: Station) -> bool:
    """A reset waits until no transaction runs (hard: their stops are ordered already); a loop that failed ends none."""
    if not station.reset_requested:
        return False
    return not any(transaction_runs(evse) for evse in station.view().evses) or bool(station.loop.fault)


def _data_dir(configured: str) -> Path:
    if configured:
        path = Path(configured)
    else:
        import platformdirs

        path = Path(platformdirs.user_data_dir("evse"))
    path.mkdir(parents=True, exist_ok=True)
    return path


if __name__ == "__main__":
    sys.exit(main())
