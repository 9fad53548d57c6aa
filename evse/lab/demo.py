"""``evsectl demo``: simulator, daemon and a screen (or a text report), in a temporary directory, without root or hardware.

Nothing in the path is faked above the wire: the daemon is the real one, in its own process, and talks to the simulator
through ptys, CAN over UDP multicast and a WebSocket. Exit 0 when every step of the scenario did what it should.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import signal
import sys
import tempfile
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

from evse.api import models as m
from evse.api.paths import DEMO_PREFIX
from evse.domain.base import ConfigError
from evse.lab.demo_config import DEMO_DC, check_needs, scenario_name
from evse.lab.demo_csms import split_csms
from evse.lab.demo_faults import fault_rows, fault_text
from evse.lab.demo_station import DemoError, DemoStation
from evse.runtime.clock import RealClock
from evse.sim.scenario import Runner, Scenario, StepResult, load_scenario
from evse.units import NS_PER_S

DRAIN_S = 10.0
EVENTS_MAX = 500


class Watch:
    """Follows the status stream of the daemon and keeps the highest values; survives a restart of the daemon."""

    def __init__(self, station: DemoStation, *, talk: bool) -> None:
        self._station = station
        self._talk = talk
        self.assigned_max_w = 0
        self.measured_max_w = 0
        self.limit_w = 0
        self.ac: dict[str, tuple[int, int]] = {}
        """Most phases and highest offer in mA of each AC session, by its id."""
        self.last: m.Status | None = None
        self._line = ""

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            with contextlib.suppress(Exception):  # the daemon may be down on purpose; the runner judges
                async for item in self._station.client.stream("status.stream"):
                    if item.status is not None:
                        self.see(item.status)
            await asyncio.sleep(0.5)

    def see(self, status: m.Status) -> None:
        """Take one status."""
        view = status.view
        self.last = status
        self.assigned_max_w = max(self.assigned_max_w, view.assigned_w)
        self.measured_max_w = max(self.measured_max_w, view.site_power_w or 0)
        self.limit_w = max(self.limit_w, view.site_limit_w or 0)
        for e in view.evses:
            if e.ac is not None and e.session is not None:
                phases, offered_ma = self.ac.get(e.session.session_id, (0, 0))
                self.ac[e.session.session_id] = (max(phases, e.ac.phases), max(offered_ma, e.ac.offered_ma))
        if self._talk:
            self._say(status)

    def _say(self, status: m.Status) -> None:
        parts = []
        for e in status.view.evses:
            step = f" {e.step.value}" if e.step is not None else ""
            power = f" {e.power_w / 1000:.1f} kW" if e.power_w else ""
            soc = f" {e.soc_pct} %" if e.soc_pct is not None else ""
            fault = "".join(f" {f.code.value}" for f in e.faults)
            parts.append(f"{e.evse_id}: {e.phase.value}{step}{power}{soc}{fault}")
        line = (
            " | ".join(parts)
            + f" | site {(status.view.site_power_w or 0) / 1000:.1f} of {(status.view.site_limit_w or 0) / 1000:.0f} kW"
        )
        if line != self._line:
            self._line = line
            sys.stderr.write(line + "\n")


async def headless(name: str, scenario: Scenario, output: str, csms: str = "") -> int:
    """Run a scenario and write its report; stderr tells what happens meanwhile. ``csms`` = somebody else's back end."""
    with tempfile.TemporaryDirectory(prefix=DEMO_PREFIX) as folder:
        station = DemoStation(Path(folder), station=name, csms=csms)
        watch = Watch(station, talk=output != "json" or sys.stderr.isatty())
        results: list[StepResult] = []
        try:
            await station.start()
            sys.stderr.write(f"{_address(station)}\n")
            following = asyncio.create_task(watch.run())
            runner = Runner(scenario, station.sim, RealClock(), api=station.api, on_result=_tell)
            ok = await runner.run()
            results = runner.results
            await _drain(station)
            report = await _report(scenario, station, watch, results, ok)
            following.cancel()
        except DemoError as error:
            sys.stderr.write(f"evsectl: {error}\n")
            return 1
        finally:
            await station.stop()
    sys.stdout.write(json.dumps(report, indent=2) + "\n" if output == "json" else text(report))
    return 0 if ok else 1


def _tell(result: StepResult) -> None:
    if result.ok and not result.skipped and not result.label:
        return
    word = "ok" if result.ok else "FAILED"
    sys.stderr.write(f"{result.time_s:7.1f} s  {word:6} {result.label or result.what} {result.error}".rstrip() + "\n")


async def _drain(station: DemoStation) -> None:
    """Wait until nobody is plugged in any more, every session has its end on disk and the back end has answered all."""
    for _ in range(int(DRAIN_S * 5)):
        plugged = any(evse["plugged"] for evse in (await station.api("connector.list"))["items"])
        active = (await station.api("session.list", {"state": "active", "limit": 1}))["total"]
        if not plugged and not active and (await station.api("ocpp.status"))["queued"] == 0:
            return
        await asyncio.sleep(0.2)


async def _report(
    scenario: Scenario, station: DemoStation, watch: Watch, results: list[StepResult], ok: bool
) -> dict[str, Any]:
    sessions = (await station.api("session.list", {"state": "completed", "limit": 500}))["items"]
    status = await station.api("status.get")
    tick, ocpp = status["system"]["tick"], status["ocpp"]
    return {
        "apiVersion": "evse/v1",
        "kind": "DemoReport",
        "scenario": scenario.name,
        "ok": ok,
        "sessions": [_session(s, watch) for s in reversed(sessions) if s["started_at"] is not None],
        "site": {
            "limit_w": watch.limit_w,
            "assigned_max_w": watch.assigned_max_w,
            "measured_max_w": watch.measured_max_w,
        },
        "ticks": tick,
        "faults": await _faults(station),
        "ocpp": {"sent": ocpp["sent"], "received": ocpp["received"], "queued": ocpp["queued"]} | await _frames(station),
        "steps": [
            {
                "step": r.step,
                "label": r.label or r.what,
                "time_s": r.time_s,
                "took_s": r.took_s,
                "ok": r.ok,
                "error": r.error,
            }
            for r in results
            if r.label or not r.ok
        ],
    }


async def _frames(station: DemoStation) -> dict[str, Any]:
    """How many frames the bundled back end has checked by the official schemas, and what was wrong with them."""
    answer = await station.sim({"cmd": "csms", "action": "ledger"})
    if not answer["ok"]:  # it stays away when somebody else's is there
        return {}
    frames = answer["ledger"]["frames"]
    return {"frames_checked": frames["checked"], "frames_wrong": frames["wrong"]}


async def _faults(station: DemoStation) -> list[dict[str, Any]]:
    """Every fault of the run from the event history: reaction, who cleared it, and what the connector did meanwhile."""
    faults, phases = [
        (await station.api("events.list", {"kind": kind, "limit": EVENTS_MAX}))["items"] for kind in ("fault.", "phase.")
    ]
    return fault_rows(faults, phases)


def _session(s: dict[str, Any], watch: Watch) -> dict[str, Any]:
    end = s["ended_at"] or s["unplugged_at"]
    side = watch.ac.get(s["session_id"])
    ac = {} if side is None else {"phases": side[0], "offered_max_ma": side[1]}
    return {
        "evse_id": s["evse_id"],
        "connector_id": s["connector_id"],
        "energy_wh": s["energy_wh"],
        "duration_s": round((end - s["started_at"]) / NS_PER_S) if end else None,
        "soc_start_pct": s["soc_start_pct"],
        "soc_end_pct": s["soc_end_pct"],
        "meter_start_wh": s["meter_start_wh"],
        "meter_stop_wh": s["meter_stop_wh"],
        "stop_reason": s["stop_reason"],
        "id_token": s["id_token"],
        "transaction_id": s["transaction_id"],
        "fault": s["fault"],
        "power_max_w": s["power_max_w"],
    } | ac


def text(report: dict[str, Any]) -> str:
    """The report for people."""
    lines = [f"{report['scenario']}: {'every step did what it should' if report['ok'] else 'FAILED'}\n"]
    for s in report["sessions"]:
        what = ""
        if "phases" in s:
            what = f"{s['phases']} phases, {s['offered_max_ma'] / 1000:g} A offered, "
        elif s["soc_start_pct"] is not None:
            what = f"battery {s['soc_start_pct']} % to {s['soc_end_pct']} %, "
        lines.append(
            f"  connector {s['evse_id']}: {s['energy_wh'] / 1000:.2f} kWh in {s['duration_s']} s, {what}"
            f"card {s['id_token']}, transaction {s['transaction_id']}, ended: {s['fault'] or s['stop_reason']}\n"
        )
    site, tick = report["site"], report["ticks"]
    lines.append(
        f"  site: {site['measured_max_w'] / 1000:.1f} kW measured at most, limit {site['limit_w'] / 1000:.0f} kW\n"
    )
    lines.append(
        f"  control loop: {tick['count']} ticks, {tick['late']} late, worst {tick['lateness_max_ms']:.1f} ms\n"
    )
    lines.append(
        f"  back end: {report['ocpp']['sent']} sent, {report['ocpp']['received']} received, {report['ocpp']['queued']} waiting\n"
    )
    lines += [f"  fault {fault_text(row)}\n" for row in report["faults"]]
    return "".join(lines)


def _address(station: DemoStation) -> str:
    return f"In another terminal: export EVSECTL_HOST=unix://{station.socket}; evsectl status"


async def on_screen(name: str, scenario: Scenario, *, admin: bool, csms: str = "") -> int:
    """Show the kiosk (or the console) while the scenario runs over and over; ends with the screen."""
    with tempfile.TemporaryDirectory(prefix=DEMO_PREFIX) as folder:
        station = DemoStation(Path(folder), station=name, csms=csms)
        sys.stderr.write("Starting a simulated station ...\n")
        play: asyncio.Task[None] | None = None
        screen: asyncio.subprocess.Process | None = None
        try:
            await station.start()
            # the screen owns the keyboard: Ctrl-C is its key
            asyncio.get_running_loop().add_signal_handler(signal.SIGINT, lambda: None)
            sys.stderr.write(f"{_address(station)}\n")
            play = asyncio.create_task(_play(scenario, station))
            module = ["tui.admin"] if admin else ["tui.kiosk", "--allow-quit"]
            where = ["--socket", str(station.socket), "--log", str(station.folder / "screen.log")]
            screen = await asyncio.create_subprocess_exec(sys.executable, "-m", *module, *where)
            return await screen.wait()
        except DemoError as error:
            sys.stderr.write(f"evsectl: {error}\n")
            return 1
        finally:
            if play is not None:
                play.cancel()
                await asyncio.gather(play, return_exceptions=True)
            if screen is not None and screen.returncode is None:
                screen.terminate()
                await screen.wait()
            await station.stop()


async def _play(scenario: Scenario, station: DemoStation) -> None:
    while True:
        await Runner(scenario, station.sim, RealClock(), api=station.api).run()
        for evse in (await station.api("connector.list"))["items"]:
            await station.sim({"cmd": "plug_out", "connector": evse["evse_id"], "force": True})
        await station.sim({"cmd": "fault", "action": "clear"})
        await asyncio.sleep(8)


def main(argv: list[str] | None = None) -> int:
    """Command line of the module."""
    parser = argparse.ArgumentParser(prog="evsectl demo")
    parser.add_argument("--headless", action="store_true")
    parser.add_argument("--station", default=DEMO_DC)
    parser.add_argument("--scenario", default="quick")
    parser.add_argument("-o", "--output", default="table")
    parser.add_argument("--admin", action="store_true")
    parser.add_argument("--csms", default="")
    options = parser.parse_args(argv)
    try:
        if options.csms:
            split_csms(options.csms)
        scenario = load_scenario(scenario_name(options.station, options.scenario))
        check_needs(options.station, options.scenario, scenario.needs)
    except ConfigError as error:
        sys.stderr.write("".join(f"evsectl: {problem}\n" for problem in error.problems))
        return 2
    if options.headless:
        return asyncio.run(_until_told(headless(options.station, scenario, options.output, options.csms), signal.SIGINT))
    return asyncio.run(_until_told(on_screen(options.station, scenario, admin=options.admin, csms=options.csms)))


async def _until_told(work: Coroutine[Any, Any, int], *more: signal.Signals) -> int:
    """Run ``work``; TERM and HUP (a closed terminal) end it the tidy way: processes stopped, directory gone."""
    task = asyncio.create_task(work)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGHUP, *more):
        loop.add_signal_handler(number, task.cancel)
    try:
        return await task
    except asyncio.CancelledError:
        return 130


if __name__ == "__main__":
    sys.exit(main())
