"""``evsectl ocpp`` over the fake station: pages, every format, filters, secrets, confirmations, the doctor."""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path

import msgspec
import pytest

from evse.api import models_ocpp as o
from evse.api import models_ocpp_data as d
from evsectl import exits
from evsectl.commands import ocpp
from evsectl.completion import WORDS
from evsectl.output import FORMATS
from tests._support.fake_ocpp_data import DOCTOR_401, QUEUE, STAGED
from tests._support.fake_ocpp_security import CSR, PEM
from tests._support.fake_service import FakeStation
from tests.cli.support import check_golden, rows, run, show

pytestmark = pytest.mark.usefixtures("station")

COMMANDS: dict[str, tuple[tuple[str, ...], str]] = {
    "log": (("log",), "seq,what,text"),
    "queue-list": (("queue", "list"), "row_id,state,reason"),
    "queue-resend": (("queue", "resend", "61"), "changed,detail"),
    "queue-move": (("queue", "move", "--yes"), "changed,detail"),
    "queue-discard": (("queue", "discard", "--yes"), "changed,detail"),
    "schedule-list": (("schedule", "list"), "profile_id,purpose,stack_level"),
    "schedule-composite": (("schedule", "composite", "1", "--duration", "12h", "--unit", "A"), "at,limit"),
    "schedule-explain": (("schedule", "explain", "1"), "evse_id,power_w,binds"),
    "schedule-explain-all": (("schedule", "explain"), "evse_id,power_w,text"),
    "trigger": (("trigger", "heartbeat"), "changed,detail"),
    "reconnect": (("reconnect", "--yes"), "changed,detail"),
    "data-transfer": (("data-transfer", "send", "com.example", "--message", "hi", "--data", "abc"), "status,data"),
    "certs-list": (("certs", "list"), "fingerprint,type,in_use"),
    "certs-install": (("certs", "install", "-"), "status,reason"),
    "certs-delete": (("certs", "delete", "77b01e55", "--yes"), "status"),
    "certs-request": (("certs", "request"), "status"),
    "certs-install-client": (("certs", "install-client", "-"), "status,reason"),
    "security-status": (("security", "status"), "profile,verify,warnings"),
    "security-events": (("security", "events"), "seq,type,state"),
    "security-set-profile": (("security", "set-profile", "3", "--yes"), "status"),
    "security-set-key": (("security", "set-key"), "status"),
    "security-cancel": (("security", "cancel"), "changed,detail"),
    "transfers-status": (("transfers", "status"), "transfer,state,percent"),
    "transfers-cancel": (("transfers", "cancel", "firmware", "--yes"), "changed,detail"),
    "doctor": (("doctor",), "name,result"),
}


STDIN = {"certs-install": PEM, "certs-install-client": PEM, "security-set-key": "0123456789abcdef\n"}


@pytest.mark.parametrize("name", COMMANDS)
def test_every_format(name: str, station: FakeStation, served: tuple[FakeStation, object, object]) -> None:
    words, fields = COMMANDS[name]
    text = ""
    for form in FORMATS:
        served[2]()  # type: ignore[operator]
        arguments = ("ocpp", *words, "-o", form, *(("--fields", fields) if form == "value" else ()))
        text += show(arguments, run(*arguments, stdin=STDIN.get(name, "")))
    assert "exit 70" not in text
    check_golden(f"ocpp-{name}", text)


def test_a_terminal_of_80_columns(station: FakeStation) -> None:
    os.environ["EVSECTL_FORCE_TTY"] = "80"
    text = ""
    for words in (
        ("status",), ("messages",), ("log",), ("queue", "list"), ("schedule", "list"), ("schedule", "explain"), ("doctor",),
        ("config", "get"), ("certs", "list"), ("security", "status"), ("security", "events"), ("transfers", "status"),
    ):  # fmt: skip
        text += show(("ocpp", *words), run("--color=never", "ocpp", *words))
    station.doctor = DOCTOR_401
    station.set_ocpp(connected=False, last_error="HTTP 401: the CSMS refuses user or password")
    station.link |= {"peer": "", "failures": 3, "next_dial_s": 7, "time_source": ""}
    station.security = msgspec.structs.replace(station.security, staged=STAGED, verify="none", insecure=True, tls=None, key_set=False)
    for words in (("status",), ("doctor",), ("security", "status")):
        text += show(("ocpp", *words), run("--color=never", "ocpp", *words))
    assert "exit 70" not in text
    check_golden("ocpp-terminal-80", text)


def test_real_session_ids_fit_80_columns(station: FakeStation) -> None:
    os.environ["EVSECTL_FORCE_TTY"] = "80"
    why = "waits behind the parked StartTransaction of its session"
    station.queue = tuple(
        msgspec.structs.replace(row, state="parked", action="StartTransaction", session_id="1a1fe32400301000", reason=why) for row in QUEUE
    )
    told = run("--color=never", "ocpp", "queue", "list")
    assert max(map(len, told.text.splitlines())) <= 80 and "WHY" in told.text and "no room for SESSION" in told.err


def test_a_copy_of_a_long_queue_is_whole(station: FakeStation) -> None:
    """What `queue discard` advises: a copy that lacks rows would be a loss."""
    station.queue = tuple(msgspec.structs.replace(QUEUE[2], row_id=3 * number) for number in range(1, 2501))
    told = run("ocpp", "queue", "list", "--all", "-o", "json")
    assert [row["row_id"] for row in json.loads(told.text)["items"]] == [row.row_id for row in station.queue]
    assert "all: evsectl ocpp queue list --all" in run("ocpp", "queue", "list").err


def test_the_doctor_says_what_it_left_out_and_pause_asks_for_everything(station: FakeStation) -> None:
    station.doctor = msgspec.structs.replace(station.doctor, note="the station is connected: HTTP was not tried anew")
    assert "HTTP was not tried anew" in " ".join(run("ocpp", "doctor").text.split())
    assert station.calls[-1][0] == "ocpp.doctor"
    assert run("ocpp", "doctor", "--pause").code == exits.OK
    assert station.calls[-1][0] == "ocpp.examine"


def test_the_doctor_ends_with_10_when_a_step_fails(station: FakeStation) -> None:
    assert run("ocpp", "doctor").code == exits.OK
    station.doctor = DOCTOR_401
    failed = run("ocpp", "doctor", "-o", "jsonl")
    assert failed.code == exits.DEVICE
    assert [row["name"] for row in rows(failed) if row["result"] == "failed"] == ["credentials"]


def test_filters_of_messages() -> None:
    def shown(*words: str) -> list[int]:
        return [row["seq"] for row in rows(run("ocpp", "messages", *words, "-o", "jsonl"))]

    assert shown() == [408, 409, 410, 411]
    assert shown("--direction", "received", "--connector", "1") == [409]
    assert shown("--text", "4711") == [409] and shown("--action", "Heartbeat") == [410, 411]
    assert run("ocpp", "messages", "--direction", "up").code == exits.USAGE
    assert "No message fits." in run("ocpp", "messages", "--text", "nothing like it").err


def test_the_stream_is_filtered_as_the_list_is(station: FakeStation) -> None:
    wanted = {"action": "", "direction": "", "evse_id": None, "text": ""}
    for change in ({"action": "heartBEAT"}, {"direction": "sent"}, {"evse_id": 1}, {"text": "idtag"}, {"text": "A1-41"}):
        by_stream = [row.seq for row in station.messages if ocpp.fits({f: getattr(row, f) for f in row.__struct_fields__}, wanted | change)]
        assert by_stream, change
    assert not ocpp.fits({"action": "A", "direction": "sent", "evse_id": None, "unique_id": "", "payload": ""}, wanted | {"evse_id": 0})


def test_follow_goes_on_until_the_daemon_ends(station: FakeStation) -> None:
    ready = threading.Timer(0.4, lambda: station.do(lambda: station.push_message("sent", "call", "MeterValues", '{"connectorId":1}', evse_id=1)))
    fail = threading.Timer(0.8, lambda: station.do(station.end_stream))
    ready.start()
    fail.start()
    ended = run("ocpp", "messages", "-f", "-n", "1", "--connector", "1", "-o", "jsonl")
    assert [row["seq"] for row in rows(ended)] == [409, 412]
    assert ended.code == exits.UNREACHABLE
    assert run("ocpp", "messages", "-f", "-o", "csv").code == exits.USAGE


def test_a_password_never_stands_on_the_command_line(station: FakeStation) -> None:
    refused = run("ocpp", "config", "set", "AuthorizationKey", "geheim")
    assert refused.code == exits.USAGE and "every user" in refused.err
    assert run("ocpp", "config", "set", "AuthorizationKey", "-", stdin="geheim\n").code == exits.OK
    name, request = station.calls[-1]
    assert name == "ocpp.set" and request == o.OcppKeySet(key="AuthorizationKey", value="geheim")
    assert "geheim" not in run("ocpp", "config", "get").text
    assert run("ocpp", "config", "set", "AuthorizationKey", "-").code == exits.USAGE


def test_discarding_says_what_goes_and_asks(station: FakeStation) -> None:
    asked = run("ocpp", "queue", "discard", typed="no\n")
    assert asked.code == exits.USAGE and "nobody will bill" in asked.err and station.queue == QUEUE
    assert run("ocpp", "queue", "discard").code == exits.USAGE, "nobody can be asked"
    assert run("ocpp", "queue", "discard", typed="y\n").code == exits.OK
    again = run("ocpp", "queue", "discard", "--yes")
    assert again.code == exits.NOT_FOUND and "no message is for another back end" in again.err


def test_resend_wants_a_row_or_all() -> None:
    assert run("ocpp", "queue", "resend").code == exits.USAGE
    assert run("ocpp", "queue", "resend", "61", "--all").code == exits.USAGE
    assert run("ocpp", "queue", "resend", "--all").text == "1 messages wait again\n"
    assert run("ocpp", "queue", "resend", "--all").text.startswith("unchanged")


def test_what_can_be_triggered_is_what_the_api_takes() -> None:
    import typing

    literal = typing.get_type_hints(o.OcppTrigger)["message"]
    assert set(typing.get_args(literal)) == set(ocpp.MESSAGES) == set(WORDS["ocpp trigger"])
    wrong = run("ocpp", "trigger", "Hartbeat")
    assert wrong.code == exits.USAGE and "Heartbeat" in wrong.err


def test_a_trigger_without_a_link_is_refused(station: FakeStation) -> None:
    station.set_ocpp(connected=False)
    refused = run("ocpp", "trigger", "Heartbeat", "-o", "json")
    assert refused.code == exits.CONFLICT and json.loads(refused.err)["code"] == "conflict"


def test_an_answer_other_than_accepted_is_an_exit_code() -> None:
    assert run("ocpp", "data-transfer", "send", "com.other").code == exits.CONFLICT
    assert run("ocpp", "data-transfer", "send", "com.example", "--data", "-", stdin="abc").text == "Accepted\ncba\n"


def test_listen_shows_requests_and_answers_each(station: FakeStation) -> None:
    heard = run("ocpp", "data-transfer", "listen", "com.example", "-n", "2", "--answer", "Rejected", "--data", "no", "-o", "jsonl")
    assert heard.code == exits.OK and [row["request_id"] for row in rows(heard)] == ["dt-1", "dt-2"]
    names = [name for name, _ in station.calls]
    assert names == ["ocpp.data_subscribe", *["ocpp.data_next", "ocpp.data_confirm"] * 2, "ocpp.data_unsubscribe"]
    assert station.calls[2][1] == d.OcppDataConfirm(request_id="dt-1", status="Rejected", data="no")
    station.calls.clear()
    gone = run("ocpp", "data-transfer", "listen", "com.example")
    assert gone.code == exits.NOT_FOUND and station.calls[-1][0] == "ocpp.data_unsubscribe"
    assert run("ocpp", "data-transfer", "listen", "com.example", "--answer", "Yes").code == exits.USAGE


def test_a_password_is_read_from_standard_input_and_never_shown(station: FakeStation) -> None:
    done = run("ocpp", "security", "set-key", stdin="0123456789abcdef\n")
    assert done.code == exits.OK and station.passwords == ["0123456789abcdef"] and "0123456789abcdef" not in done.text + done.err
    short = run("ocpp", "security", "set-key", stdin="short\n")
    assert short.code == exits.CONFLICT and "16 to 40" in short.err and "short" not in short.err
    assert run("ocpp", "security", "set-key").code == exits.USAGE


def test_a_lower_profile_is_named_and_asked_for(station: FakeStation) -> None:
    asked = run("ocpp", "security", "set-profile", "0", typed="n\n")
    assert asked.code == exits.USAGE and "LOWER" in asked.err and station.security.staged is None
    assert run("ocpp", "security", "set-profile", "1", "--yes").code == exits.CONFLICT
    assert run("ocpp", "security", "set-profile", "0", "--url", "ws://x/ocpp", typed="y\n").code == exits.OK
    assert station.security.staged is not None and station.security.staged.url == "ws://x/ocpp"
    assert run("ocpp", "security", "cancel").text == "the change is dropped\n"


def test_a_refused_key_says_what_it_takes(station: FakeStation) -> None:
    shown = run("ocpp", "config", "get", "heartbeatinterval").text
    assert "Takes    1..86400 s\n" in shown and "Access   read and write\n" in shown
    low = run("ocpp", "config", "set", "HeartbeatInterval", "0")
    assert low.code == exits.CONFLICT and "it takes 1..86400 s; more: evsectl ocpp config get HeartbeatInterval" in low.err
    assert "NumberOfConnectors is read-only" in run("ocpp", "config", "set", "NumberOfConnectors", "3").err
    assert '"LocalAuthListEnabled"' in run("ocpp", "config", "set", "LocalAuthListEnable", "true").err


def test_a_request_goes_into_a_file_that_is_not_overwritten(station: FakeStation, tmp_path: Path) -> None:
    path = tmp_path / "station.csr"
    made = run("ocpp", "certs", "request", "--csr", str(path))
    assert made.code == exits.OK and path.read_text() == CSR
    assert made.text == f"{path}: request for CN=DC 1\n" and "evsectl ocpp certs install-client FILE" in made.err
    calls = [name for name, _ in station.calls].count("ocpp.cert_csr")
    again = run("ocpp", "certs", "request", "--csr", str(path))
    assert again.code == exits.CONFLICT and "the file exists" in again.err
    assert [name for name, _ in station.calls].count("ocpp.cert_csr") == calls, "a new key would make the first request worthless"
    assert run("ocpp", "certs", "request", "--csr", "-").text == CSR
    assert run("ocpp", "certs", "request", "--csr", str(tmp_path / "no" / "way")).code == exits.FAILED
    key = run("ocpp", "certs", "install-client", "-", stdin="-----BEGIN PRIVATE KEY-----")
    assert key.code == exits.USAGE and "private key" in key.err
    assert run("ocpp", "certs", "install-client", "-", stdin="hello").code == exits.CONFLICT


def test_certificates_that_are_none_or_too_much(station: FakeStation) -> None:
    key = run("ocpp", "certs", "install", "-", stdin="-----BEGIN PRIVATE KEY-----")
    assert key.code == exits.USAGE and "private key" in key.err
    assert run("ocpp", "certs", "install", "-", stdin="hello").code == exits.CONFLICT
    assert run("ocpp", "certs", "install", "/nowhere.pem").code == exits.USAGE
    assert run("ocpp", "certs", "delete", "3fa9", "--yes").code == exits.USAGE
    assert "the link needs it" in run("ocpp", "certs", "delete", "3fa91c07", "--yes").err
    assert run("ocpp", "certs", "delete", "aaaaaaaa", "--yes").code == exits.NOT_FOUND


def test_a_transfer_that_does_not_run(station: FakeStation) -> None:
    assert run("ocpp", "transfers", "cancel", "log", "--yes").code == exits.CONFLICT
    assert run("ocpp", "transfers", "cancel", "all").code == exits.USAGE
