"""Section OCPP: its pages as grids, and a technician who filters, edits, resends, discards and examines."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evse.access.roles import Role
from evse.api import models_ocpp as o
from evse.api import models_ocpp_security as s
from evse.api.caller import Caller
from evse.api.operation import Empty
from evse.lab.vloop import run_virtual
from evse.units import NS_PER_S
from tests._support import fake_ocpp_data as data
from tests._support.fake_service import FakeStation
from tests.tui.test_apps import Rig, calls, run
from tests.tui.test_grids import SETS, SIZES, check
from tui.admin import ocpp_pages as pages
from tui.admin.ocpp_data import ACTS, PAGES, WRITING, Filter
from tui.admin.ocpp_forms import check_connector, check_url, filter_of
from tui.admin.ocpp_messages import paint_messages, paint_state, pretty
from tui.driver.glyphs import GLYPHS, GlyphSet
from tui.widgets.dialogs import CellDialog
from tui.widgets.frame import Frame
from tui.widgets.table import TableState

CALLER = Caller(role=Role.OPERATOR, user="test")


@pytest.fixture(autouse=True)
def _utc(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()


def answer(operation: str, request: Any = None, *, down: bool = False) -> Any:
    fake, found = FakeStation(), []
    if down:
        fake.set_ocpp(connected=False, registration="", last_error="wss://csms.example.org/ocpp/DC-0001: HTTP 401: the CSMS refuses user or password")
        fake.link |= {
            "peer": "", "failures": 3, "next_dial_s": 7, "time_source": "", "foreign": 12, "last_boot": None,
            "security_note": "a change waits to be accepted by the CSMS: URL",
        }  # fmt: skip

    async def ask() -> None:
        found.append(await getattr(fake, operation.replace(".", "_"))(request or Empty(), CALLER))

    run_virtual(ask())
    return found[0]


def many(count: int) -> tuple[o.OcppMessage, ...]:
    """Messages of an afternoon, one of them unanswered and one refused."""
    rows = list(data.MESSAGES)
    for n in range(count):
        kind = ("call", "result", "call", "error")[n % 4]
        action = ("MeterValues", "MeterValues", "DataTransfer", "DataTransfer")[n % 4]
        rows.append(o.OcppMessage(
            seq=412 + n, wall=data.T0 + n * NS_PER_S, direction=("sent", "received", "received", "sent")[n % 4], type=kind, action=action,
            unique_id=f"b-{n // 2}", payload='{"connectorId":2,"meterValue":[{"timestamp":"2026-01-01T10:00:00Z","sampledValue":[{"value":"1"}]}]}',
            evse_id=2, pair=(411 + n if n % 2 else 413 + n) if n < count - 1 else None,
            latency_ms=37 + n if n % 2 else None,
        ))  # fmt: skip
    return tuple(rows)


def the_pages() -> dict[str, Callable[[Frame, Any], None]]:
    messages, state, events = many(60), data.SECURITY, s.OcppSecurityEvents(items=data.SECURITY_EVENTS)
    log = o.OcppLog(items=data.LINK_EVENTS)
    queue = answer("ocpp.queue", o.OcppQueueQuery())
    told = {item.evse_id: item for item in answer("ocpp.explain", o.OcppScheduleQuery()).items}
    keys, none = answer("ocpp.config").items, TableState
    files = s.OcppTransfers(items=data.TRANSFERS, unanswered=1, installer=False)
    staged = msgspec.structs.replace(
        state, staged=data.STAGED, key_set=False, key_age_s=None, tls=None, proven=False, verify="none",
        warnings=("INSECURE: the certificate of the CSMS is not checked at all (ocpp.tls.verify = none)", *state.warnings),
        given_up=s.OcppGivenUp(url="wss://x", profile=3, changed="profile 2 to 3", error="HTTP 403", at=data.T0),
    )  # fmt: skip

    def viewer(f: Frame, g: Any, key: str = "470", filter_: Filter = Filter(), **how: bool) -> None:  # noqa: B008
        paint_messages(f, messages, TableState(key=key), filter_, g, **({"frozen": False, "whole": False} | how))

    return {
        "status": lambda f, g: paint_state(f, answer("ocpp.status"), log, g),
        "status-down": lambda f, g: paint_state(f, answer("ocpp.status", down=True), log, g),
        "status-off": lambda f, g: paint_state(f, msgspec.structs.replace(answer("ocpp.status"), enabled=False), log, g),
        "messages": viewer,
        "messages-waits": lambda f, g: viewer(f, g, "471"),
        "messages-filter": lambda f, g: viewer(f, g, "409", Filter(direction="sent", connector="1", text="4711"), frozen=True),
        "messages-whole": lambda f, g: viewer(f, g, "409", whole=True),
        "messages-none": lambda f, g: paint_messages(f, (), none(), Filter(action="Reset"), g, frozen=False, whole=False),
        "keys": lambda f, g: pages.paint_keys(f, keys, TableState(key="HeartbeatInterval"), "", g),
        "keys-secret": lambda f, g: pages.paint_keys(f, keys[:1], TableState(key="AuthorizationKey"), "auth", g),
        "queue": lambda f, g: pages.paint_queue(f, queue, TableState(key="61"), g),
        "queue-foreign": lambda f, g: pages.paint_queue(f, queue, TableState(key="12"), g),
        "queue-none": lambda f, g: pages.paint_queue(f, o.OcppQueue(items=(), waiting=0, parked=0, foreign=0, backend="x"), none(), g),
        "schedule-station": lambda f, g: pages.paint_schedule(f, told[0], TableState(key="9"), g),
        "schedule-1": lambda f, g: pages.paint_schedule(f, told[1], TableState(key="7"), g),
        "certs": lambda f, g: pages.paint_certs(f, s.OcppCertificates(items=data.CERTIFICATES), TableState(key="09be4f12" * 8), g),
        "security": lambda f, g: pages.paint_security(f, state, events, g),
        "security-change": lambda f, g: pages.paint_security(f, staged, events, g),
        "files": lambda f, g: pages.paint_files(f, files, TableState(key="1", cursor=1), g),
        "doctor": lambda f, g: pages.paint_doctor(f, data.DOCTOR_OK, TableState(key="tls"), g, running=False),
        "doctor-401": lambda f, g: pages.paint_doctor(f, data.DOCTOR_401, TableState(key="credentials"), g, running=False),
        "doctor-none": lambda f, g: pages.paint_doctor(f, None, none(), g, running=False),
    }  # fmt: skip


@pytest.mark.parametrize("glyph_set", SETS)
@pytest.mark.parametrize("size", SIZES)
def test_pages(size: tuple[int, int], glyph_set: GlyphSet) -> None:
    for name, paint in the_pages().items():
        frame = Frame(size[0], size[1] - 4)
        pages.strip(frame, name.partition("-")[0])
        paint(frame, GLYPHS[glyph_set])
        check(f"admin-ocpp-{name}-{size[0]}x{size[1]}-{glyph_set.value}", frame, glyph_set)


def test_every_page_has_its_keys_and_every_writing_key_a_page() -> None:
    names = [name for name, _, _ in PAGES]
    assert set(ACTS) == set(names) and len({key for _, key, _ in PAGES}) == len(PAGES)
    assert all(action in ACTS[page] for page, action in WRITING)


def rig(role: Role = Role.OPERATOR, station: FakeStation | None = None, **options: bool) -> Rig:
    return Rig("admin", role, station=station, **options)


def test_a_technician_goes_through_every_page() -> None:
    async def walk(rig: Rig) -> None:
        await rig.press("B")
        await rig.settle(lambda: "What happened to the link" in rig.text())
        for key, text in (
            ("m", "All messages"), ("e", "Configuration keys"), ("u", "1 parked"), ("c", "Station"), ("t", "CSMS root"),
            ("y", "Security events"), ("f", "Firmware updates"), ("d", "Enter tries every step"), ("s", "connected"),
        ):  # fmt: skip
            await rig.press(key)
            await rig.settle(lambda text=text: text in rig.text())
        await rig.press("less_than_sign")
        await rig.settle(lambda: "Enter tries" in rig.text())
        await rig.press("greater_than_sign", "greater_than_sign")
        await rig.settle(lambda: "All messages" in rig.text())

    run(rig(), walk)


def test_the_message_viewer_follows_filters_and_freezes() -> None:
    async def walk(rig: Rig) -> None:
        await rig.press("B", "m")
        await rig.settle(lambda: "a1-410" in rig.text())
        rig.station.push_message("received", "call", "Reset", '{"type":"Soft"}')
        rig.later(2)
        await rig.settle(lambda: " Reset call from the CSMS " in rig.text())
        await rig.press("space", "k")
        await rig.settle(lambda: "FROZEN" in rig.text())
        rig.station.push_message("sent", "call", "FirmwareStatusNotification", "{}")
        rig.later(2)
        await rig.settle()
        assert "FirmwareStatus" not in rig.text()
        await rig.press("escape")
        await rig.settle(lambda: "FirmwareStatus" in rig.text())
        await rig.press("slash", *"Heartbeat", "enter", "enter", "enter", "enter", "enter")
        await rig.settle(lambda: "Only Heartbeat" in rig.text())
        assert calls(rig, "ocpp.messages")[-1].action == "Heartbeat" and "StartTransaction" not in rig.text()
        await rig.press("enter")
        await rig.settle(lambda: '"currentTime": "2026' in rig.text())
        await rig.press("escape", "escape")
        await rig.settle(lambda: "All messages" in rig.text())

    run(rig(), walk)


def test_a_key_is_edited_and_a_password_is_typed_unseen() -> None:
    async def walk(rig: Rig) -> None:
        await rig.press("B", "e", "slash", *"heart", "enter")
        await rig.settle(lambda: 'Keys with "heart"' in rig.text())
        await rig.press("enter", "backspace", "backspace", "backspace", *"60", "enter")
        await rig.settle(lambda: calls(rig, "ocpp.set") != [])
        assert calls(rig, "ocpp.set")[-1] == o.OcppKeySet(key="HeartbeatInterval", value="60")
        await rig.press("escape", "g", "enter", *"0123456789abcdef")
        assert "0123456789abcdef" not in rig.text() and "****************" in rig.text()
        await rig.press("enter")
        await rig.settle(lambda: len(calls(rig, "ocpp.set")) == 2)
        await rig.press("G", "k", "enter")
        await rig.settle(lambda: "is read-only" in rig.text())

    run(rig(), walk)


def test_parked_messages_go_again_and_foreign_ones_only_behind_a_number() -> None:
    async def walk(rig: Rig) -> None:
        await rig.press("B", "u")
        await rig.settle(lambda: "1 parked" in rig.text())
        await rig.press("S")
        await rig.settle(lambda: "0 parked" in rig.text())
        assert calls(rig, "ocpp.resend") == [o.OcppResend(row_id=61)]
        await rig.press("X", "tab", "enter")  # the verb is out of reach: this cancels
        assert not isinstance(rig.app.screen, CellDialog) and calls(rig, "ocpp.queue_discard") == []
        await rig.press("X", "1", "tab", "enter")
        await rig.settle(lambda: calls(rig, "ocpp.queue_discard") != [])
        await rig.settle(lambda: "0 for another" in rig.text())
        await rig.press("V")
        await rig.settle(lambda: "No message is for another back end" in rig.text())

    run(rig(), walk)


def test_security_is_changed_behind_a_question_and_told() -> None:
    async def walk(rig: Rig) -> None:
        await rig.press("B", "y")
        await rig.settle(lambda: "Security events" in rig.text())
        await rig.press("P", *"short", "enter")
        await rig.press("tab", "enter")
        await rig.settle(lambda: "Rejected: 16 to 40" in rig.text())
        await rig.press("P", *"0123456789abcdef", "enter")
        await rig.press("tab", "enter")
        await rig.settle(lambda: rig.station.passwords != [])
        await rig.press("E", "left", "enter", "enter", "enter")  # profile 1: lower, so its number is typed
        assert isinstance(rig.app.screen, CellDialog) and "Type 1 to confirm" in rig.text()
        await rig.press("escape", "E", "right", "enter", "enter", "enter")
        await rig.press("tab", "enter")
        await rig.settle(lambda: "Change waits" in rig.text())
        assert calls(rig, "ocpp.set_profile")[-1] == s.OcppSetProfile(profile=3, url="")
        await rig.press("X")
        await rig.settle(lambda: "Change waits" not in rig.text())
        await rig.press("t", "j", "X", "tab", "enter")
        await rig.settle(lambda: "CN=Old CA" not in rig.text())

    run(rig(), walk)


def test_the_doctor_stands_on_the_step_that_fails() -> None:
    async def walk(rig: Rig) -> None:
        rig.station.doctor = data.DOCTOR_401
        await rig.press("B", "d", "enter")
        await rig.settle(lambda: "credentials fails" in rig.text())
        assert "To do: set the password" in rig.text()
        await rig.press("k")
        await rig.settle(lambda: "server: nginx" in rig.text())

    run(rig(), walk)


def test_a_message_is_sent_the_link_dialled_again_and_a_transfer_given_up() -> None:
    async def walk(rig: Rig) -> None:
        await rig.press("B", "S", "right", "down", "1", "enter", "enter")
        await rig.settle(lambda: calls(rig, "ocpp.trigger") != [])
        assert calls(rig, "ocpp.trigger") == [o.OcppTrigger(message="StatusNotification", evse_id=1)]
        await rig.press("X", "tab", "enter")
        await rig.settle(lambda: calls(rig, "ocpp.reconnect") != [])
        await rig.press("f")
        await rig.settle(lambda: "downloading 42 %" in rig.text())
        await rig.press("X", "tab", "enter")
        await rig.settle(lambda: "downloading" not in rig.text())
        await rig.press("X")
        await rig.settle(lambda: "has ended" in rig.text())

    run(rig(), walk)


def test_schedules_go_from_place_to_place() -> None:
    async def walk(rig: Rig) -> None:
        await rig.press("B", "c")
        await rig.settle(lambda: "Station  80.0 kW" in rig.text())
        await rig.press("n")
        await rig.settle(lambda: "Connector 1  17.9 kW" in rig.text())
        await rig.press("G", "k")
        await rig.settle(lambda: "belongs to connector 2" in rig.text())
        await rig.press("n", "n")
        await rig.settle(lambda: "Station  80.0 kW" in rig.text())

    run(rig(), walk)


def test_who_only_reads_changes_nothing() -> None:
    async def walk(rig: Rig) -> None:
        await rig.press("B")
        await rig.settle(lambda: "What happened" in rig.text())
        for page, keys in (("s", "SX"), ("e", "E"), ("u", "SUVX"), ("t", "SX"), ("y", "EPX"), ("f", "X")):
            await rig.press(page)
            await rig.settle()
            await rig.press(*keys)
            assert not isinstance(rig.app.screen, CellDialog), (page, keys)
        writing = {"ocpp.set", "ocpp.resend", "ocpp.trigger", "ocpp.reconnect", "ocpp.cancel_change"}
        assert not writing & {name for name, _ in rig.station.calls}

    run(rig(readonly=True), walk)


@given(st.text(max_size=12))
def test_forms_accept_what_the_daemon_accepts(text: str) -> None:
    if check_connector(text) == "":
        assert Filter(connector=text).query(10).evse_id == (int(text) if text else None)
    assert check_url("wss://" + text) == ""
    assert filter_of(Filter(), {"text": text, "direction": "both"}).direction == ""


@given(st.text(max_size=400))
def test_any_payload_is_shown(text: str) -> None:
    lines = pretty(text)
    assert all(isinstance(line, str) for line in lines)
    frame = Frame(80, 20)
    row = o.OcppMessage(seq=1, wall=0, direction="sent", type="call", action="", unique_id="", payload=text)
    for whole in (False, True):
        paint_messages(frame, (row,), TableState(key="1"), Filter(), GLYPHS[GlyphSet.ASCII], frozen=False, whole=whole)
