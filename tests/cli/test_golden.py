"""Every command in every format, byte by byte. UPDATE_GOLDEN=1 rewrites golden/*.txt: review the diff."""

from __future__ import annotations

import os
import platform
from pathlib import Path

import msgspec
import pytest

from evse.api import models as m
from evse.domain.faults import FaultCode
from evsectl.output import FORMATS
from tests._support.fake_data import CONFIG_TEXT
from tests._support.fake_service import FakeStation
from tests.cli.support import Rewind, check_golden, make_eventful, run, show

LOWER = CONFIG_TEXT.replace("limit_w = 80000", "limit_w = 60000").replace('support_phone = "+49 30 1234567"\n', "")
WRONG = CONFIG_TEXT + '\n[sute]\nlimit = "80 kW"\n'

CASES: dict[str, tuple[tuple[str, ...], str, str]] = {
    # name: (command, fields of -o value, stdin)
    "status": (("status",), "station_id,view.site_power_w", ""),
    "doctor": (("doctor",), "name,result", ""),
    "version": (("version",), "client,daemon", ""),
    "connector-list": (("connector", "list"), "evse_id,phase,soc_pct,session.energy_wh", ""),
    "connector-get": (("connector", "get", "1"), "phase,step", ""),
    "connector-start": (("connector", "start", "1", "--accept-risk=energise"), "ok,changed", ""),
    "connector-stop": (("connector", "stop", "1", "--accept-risk=stop-charging"), "ok,changed", ""),
    "connector-enable": (("connector", "enable", "0"), "ok,changed", ""),
    "connector-disable": (("connector", "disable", "2", "--accept-risk=stop-charging"), "ok,changed", ""),
    "connector-unlock": (("connector", "unlock", "1", "--accept-risk=stop-charging"), "ok,changed", ""),
    "session-list": (("session", "list", "--limit", "4"), "session_id,energy_wh,fault", ""),
    "session-get": (("session", "get", "s-000025"), "session.session_id,session.energy_wh", ""),
    "fault-list": (("fault", "list"), "record.code,record.evse_id,severity", ""),
    "fault-get": (("fault", "get", "insulation"), "record.code,record.detail", ""),
    "fault-clear": (("fault", "clear", "F4", "--connector", "2"), "ok,changed", ""),
    "fault-explain": (("fault", "explain", "F4"), "code,reaction", ""),
    "fault-catalogue": (("fault", "explain"), "code,name", ""),
    "fault-codes": (("fault", "codes"), "priority,ocpp16,vendor_code,code", ""),
    "fault-history": (("fault", "history"), "seq,data.code,evse_id", ""),
    "planner-get": (("planner", "get"), "settings.limit_w,assigned_w", ""),
    "planner-set": (("planner", "set", "--limit-w", "60kW", "--max-groups", "3"), "settings.limit_w", ""),
    "planner-recompute": (("planner", "recompute"), "plan.version", ""),
    "planner-explain": (("planner", "explain"), "evse_id,text", ""),
    "planner-explain-one": (("planner", "explain", "1"), "evse_id,more", ""),
    "ocpp-status": (("ocpp", "status"), "connected,queued", ""),
    "ocpp-messages": (("ocpp", "messages", "-n", "3"), "action,type,payload", ""),
    "ocpp-config-list": (("ocpp", "config", "get"), "key,value", ""),
    "ocpp-config-get": (("ocpp", "config", "get", "heartbeatinterval"), "value", ""),
    "ocpp-config-set": (("ocpp", "config", "set", "HeartbeatInterval", "60"), "key,status", ""),
    "config-show": (("config", "show"), "path,version", ""),
    "config-validate": (("config", "validate", "-"), "valid", WRONG),
    "config-diff": (("config", "diff", "-", "--detailed-exitcode"), "restart_needed", LOWER),
    "config-dry-run": (("config", "apply", "-", "--dry-run"), "applied", LOWER),
    "config-apply": (("config", "apply", "-", "--yes"), "applied,version", LOWER),
    "plc-discover": (("plc", "discover"), "evse_id,port,matched", ""),
    "meter-list": (("meter", "list"), "name,power_w", ""),
    "meter-read": (("meter", "read", "site"), "energy_import_wh", ""),
    "meter-probe": (("meter", "probe", "site"), "ok", ""),
    "rfid-last": (("rfid", "last"), "last_token,last_at", ""),
    "trace-dump": (("trace", "dump"), "path,ticks", ""),
    "auth-whoami": (("auth", "whoami"), "role,pin_set", ""),
    "audit-list": (("audit", "list"), "operation,result", ""),
}


def _neutral(text: str) -> str:
    """Without what depends on the machine: its user and its Python."""
    uid = os.getuid()
    text = text.replace(f"user{uid}", "USER").replace(f'"uid": {uid}', '"uid": UID').replace(f"uid: {uid}", "uid: UID")
    return text.replace(f",USER,{uid},", ",USER,UID,").replace(platform.python_version(), "3.x")


@pytest.mark.parametrize("name", CASES)
def test_every_format_of_a_command(
    name: str, station: FakeStation, served: tuple[FakeStation, Path, Rewind]
) -> None:
    command, fields, stdin = CASES[name]
    text = ""
    for form in FORMATS:
        served[2]()
        make_eventful(station)
        arguments = (*command, "-o", form, *(("--fields", fields) if form == "value" else ()))
        text += show(arguments, run(*arguments, stdin=stdin))
    check_golden(name, _neutral(text))


def test_a_terminal_of_80_columns(station: FakeStation, served: tuple[FakeStation, Path, Rewind]) -> None:
    """What a technician sees over ssh: only what holds a long id is wider than the terminal, words are coloured."""
    os.environ["EVSECTL_FORCE_TTY"] = "80"
    text = ""
    for command, _, stdin in CASES.values():
        served[2]()
        make_eventful(station)
        result = run(*command, stdin=stdin)
        text += show(command, result).replace("\x1b", "\\e")
        plain = result.text
        for code in ("31", "32", "33", "0"):
            plain = plain.replace(f"\x1b[{code}m", "")
        wide = [line for line in plain.splitlines() if len(line) > 80]
        assert all(max(map(len, line.split())) > 30 or command[:2] == ("config", "show") for line in wide), wide
    check_golden("terminal-80", _neutral(text))


def test_a_station_in_trouble(station: FakeStation) -> None:
    """The page that a technician opens when something is wrong."""
    station.set_link("meter-1", online=False, detail="register 0x0034: no answer for 5 s, 3 tries")
    station.set_ocpp(connected=False, last_error="connection refused", queued=3)
    station.raise_fault(FaultCode.METER_LOST, 1, "meter-1@/dev/ttyRS485#11: register 0x0034: no answer for 5 s")
    run("connector", "disable", "0", "--accept-risk=stop-charging")
    lost = msgspec.structs.replace(station.plc.items[0], detected=False, matched=False, hint="set board.port of EVSE 1")
    vars(station)["plc"] = m.PlcDiscovery(items=(lost, station.plc.items[1]), in_sync=False)
    text = show(("plc", "discover"), run("plc", "discover"))
    for width in ("", "80", "60"):
        os.environ["EVSECTL_FORCE_TTY"] = width
        for command in (("status",), ("connector", "get", "1"), ("fault", "get", "F9"), ("ocpp", "status")):
            text += show(command, run("--color=never", *command))
    check_golden("trouble", text)


def test_empty_lists_say_so_on_stderr_and_stay_lists(station: FakeStation) -> None:
    station.past.clear()
    station.plug_out(1)
    station.past.clear()
    vars(station)["messages"] = ()
    commands: tuple[tuple[str, ...], ...] = (
        ("session", "list"),
        ("session", "list", "--state", "active"),
        ("fault", "list"),
        ("fault", "history"),
        ("ocpp", "messages"),
        ("audit", "list"),
    )
    text = show(("session", "export"), run("session", "export"))
    for command in commands:
        for form in ("table", "json", "csv"):
            arguments = (*command, "-o", form)
            text += show(arguments, run(*arguments))
    check_golden("empty", text)


def test_commands_that_write_text(station: FakeStation) -> None:
    text = ""
    for command in (
        ("session", "export", "--connector", "1"),
        ("help",),
        ("help", "exit-codes"),
        ("help", "output"),
        ("help", "environment"),
        ("--version",),
        ("watch", "events", "--no-reconnect", "-o", "yaml"),
    ):
        text += show(command, run(*command))
    check_golden("text", text)
