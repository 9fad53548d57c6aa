"""Calls without a transport: roles, strictness, audit. Virtual time, no sockets."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine
from typing import Any

import msgspec
import pyotp
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evse.access.ports import AccessError, SecretsError
from evse.access.roles import Role
from evse.api import models as m
from evse.api.errors import BY_CODE, ApiError, ErrorCode
from evse.api.openapi import GUIDE_FILE
from evse.api.operations import BY_NAME, OPERATIONS, Operation
from evse.api.requests import Reader, RequestError
from evse.api.routes import CALL_MAX_S, REFUSED_ROWS_PER_MINUTE, Dispatcher, Incoming, Peer
from evse.domain.base import ConfigError, DeviceError
from evse.domain.records import AuditRecord
from evse.lab.vloop import VirtualClock, VirtualLoop, run_virtual
from tests._support.api_world import OWN_UID, UIDS, MemorySettings, MemoryVault, SecuredStation, make_access
from tests._support.examples import examples
from tests._support.fake_ac import REQUESTS as REQUESTS_AC
from tests._support.fake_ocpp import REQUESTS as REQUESTS_OCPP
from tests._support.fake_rules import REQUESTS as REQUESTS_RULES
from tests._support.fake_whitelist import REQUESTS as REQUESTS_WHITELIST

BODIES: dict[str, bytes] = {
    "connector.start": b'{"evse_id": 2}',
    "connector.stop": b'{"evse_id": 1}',
    "connector.enable": b'{"evse_id": 1}',
    "connector.disable": b'{"evse_id": 1}',
    "connector.unlock": b'{"evse_id": 1}',
    "fault.clear": b'{"code": "F1"}',
    "config.validate": b'{"text": ""}',
    "config.apply": b'{"text": ""}',
    "auth.signin": b'{"pin": "4711"}',
    "auth.set_pin": b'{"new": "4711"}',
    "auth.totp_confirm": b'{"totp": "123456"}',
    **{
        name: json.dumps(given).encode()
        for name, given in {**REQUESTS_AC, **REQUESTS_WHITELIST, **REQUESTS_RULES, **REQUESTS_OCPP}.items()
        if BY_NAME[name].method == "POST"
    },
}
OWNERS = ("auth.set_pin", "auth.totp_disable")
"""Operations that ask who calls themselves: anybody with the right PIN, root without."""
QUERIES = {
    "connector.get": {"evse_id": "1"},
    "session.get": {"session_id": "s-000001"},
    "meter.probe": {"name": "site"},
    "whitelist.get": {"id": "07A47731"},
    "ocpp.data_next": {"subscription": "1"},
}


class World:
    """A dispatcher on a fake station with the real access control."""

    def __init__(self, loop: VirtualLoop) -> None:
        self.clock = VirtualClock(loop)
        self.vault = MemoryVault()
        self.access = make_access(self.clock, MemorySettings(), vault=self.vault)
        self.station = SecuredStation(self.access)
        self.rows: list[AuditRecord] = []
        self.storage_error: Exception | None = None
        self.dispatcher = Dispatcher(self.station, self.access, self.audit, self.clock)

    async def audit(self, row: AuditRecord) -> None:
        if self.storage_error is not None:
            raise self.storage_error
        self.rows.append(row)

    async def call(
        self,
        operation: str,
        body: bytes = b"",
        query: dict[str, str] | None = None,
        *,
        uid: int | None = UIDS["operator"],
        token: str = "",
    ) -> tuple[int, dict[str, Any]]:
        authorization = f"Bearer {token}" if token else ""
        pairs = tuple((query or {}).items())
        incoming = Incoming(peer=Peer(uid, 5), query=pairs, body=body, authorization=authorization)
        answer = await self.dispatcher.call(BY_NAME[operation], incoming, "r-1")
        return answer.status, json.loads(answer.body)


def run(main: Callable[[World], Coroutine[Any, Any, None]]) -> None:
    loop = VirtualLoop()

    async def inside() -> None:
        await main(World(loop))

    run_virtual(inside(), loop)


@pytest.mark.parametrize("role", [Role.GUEST, Role.OPERATOR, Role.MANUFACTURER])
@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda op: op.name)
def test_every_operation_for_every_role(operation: Operation, role: Role) -> None:
    """Law: an operation runs if and only if the role of the caller reaches the registry's."""

    async def main(w: World) -> None:
        uid = UIDS[role.name.lower()]
        if operation.stream:
            if role < operation.role:
                with pytest.raises(ApiError, match=f"needs role {operation.role.name.lower()}"):
                    w.dispatcher.stream(operation, Incoming(peer=Peer(uid)))
            else:
                w.dispatcher.stream(operation, Incoming(peer=Peer(uid)))
            return
        status, body = await w.call(
            operation.name, BODIES.get(operation.name, b""), QUERIES.get(operation.name), uid=uid
        )
        ran = [name for name, _ in w.station.calls]
        if role < operation.role:
            assert (status, body["code"]) == (403, "forbidden")
            assert "evsectl auth signin" in body["hint"]
            assert ran == [], "the service was not asked"
        else:
            assert body.get("code") != "forbidden" or operation.name in OWNERS
            assert ran == [operation.name] or operation.name.startswith("auth.")

    run(main)


def test_nothing_that_changes_is_open_to_guests() -> None:
    """Law: what is audited or risky needs a role, except signing in and out."""
    open_ = {op.name for op in OPERATIONS if op.role is Role.GUEST and (op.audit or op.risk.value != "none")}
    assert open_ == {"auth.signin", "auth.signout", *OWNERS}
    assert all(op.audit for op in OPERATIONS if op.method == "POST" and op.name != "config.validate")


def test_the_pin_raises_a_guest_until_the_token_ends() -> None:
    async def main(w: World) -> None:
        guest = UIDS["guest"]
        assert (await w.call("auth.set_pin", b'{"new": "4711"}', uid=guest))[0] == 403
        assert (await w.call("auth.set_pin", b'{"new": "4711"}', uid=OWN_UID))[0] == 200
        status, token = await w.call("auth.signin", b'{"pin": "4711"}', uid=guest)
        assert (status, token["role"]) == (200, "operator")
        stop = BODIES["connector.stop"]
        assert (await w.call("connector.stop", stop, uid=guest))[0] == 403
        assert (await w.call("connector.stop", stop, uid=guest, token=token["token"]))[0] == 200
        assert w.rows[-1].who == "user1000+pin"
        me = (await w.call("auth.whoami", uid=guest, token=token["token"]))[1]
        assert (me["user"], me["role"]) == ("user1000", "operator")
        assert (await w.call("connector.stop", stop, uid=UIDS["guest"] + 50, token=token["token"]))[0] == 401
        await asyncio.sleep(30 * 60)
        status, body = await w.call("connector.stop", stop, uid=guest, token=token["token"])
        assert (status, body["code"]) == (401, "unauthenticated")
        assert "evsectl auth signin" in body["hint"]

    run(main)


def test_wrong_pins_lock_out_with_429() -> None:
    async def main(w: World) -> None:
        await w.call("auth.set_pin", b'{"new": "4711"}', uid=OWN_UID)
        codes = [(await w.call("auth.signin", b'{"pin": "0000"}', uid=1000))[0] for _ in range(4)]
        assert codes == [401, 401, 401, 429]
        me = (await w.call("auth.whoami", uid=1000))[1]
        assert me["locked_until"] == w.clock.wall() + 30_000_000_000
        assert [row.result for row in w.rows[1:]] == ["unauthenticated"] * 3 + ["locked_out"]

    run(main)


@pytest.mark.parametrize("header", ["Basic abc", "Bearer", "Bearer  ", "x", "Bearer " + "a" * 200])
def test_a_strange_authorization_is_401(header: str) -> None:
    async def main(w: World) -> None:
        incoming = Incoming(peer=Peer(UIDS["operator"]), authorization=header)
        assert (await w.dispatcher.call(BY_NAME["status.get"], incoming, "r")).status == 401

    run(main)


# -- audit --------------------------------------------------------------------------------------------------------


def test_a_change_leaves_one_complete_row() -> None:
    async def main(w: World) -> None:
        assert (await w.call("planner.set", b'{"limit_w": 50000}'))[0] == 200
        assert w.rows == [
            AuditRecord(
                wall=w.clock.wall(),
                who="user1001",
                origin="unix:uid=1001",
                operation="planner.set",
                old="limit_w=80000",
                new="limit_w=50000",
            )
        ]
        await w.call("connector.stop", b'{"evse_id": 1}')
        assert (w.rows[1].target, w.rows[1].result) == ("evse_id=1", "ok")
        await w.call("connector.stop", b'{"evse_id": 9}')
        assert (w.rows[2].target, w.rows[2].result) == ("evse_id=9", "not_found")
        await w.call("status.get")
        await w.call("connector.stop", b"{}")
        assert len(w.rows) == 3, "reads and malformed requests leave none"

    run(main)


def test_secrets_never_reach_audit_or_errors() -> None:
    async def main(w: World) -> None:
        answers = [
            await w.call("auth.set_pin", b'{"old": "secret1", "new": "secret2"}', uid=OWN_UID),
            await w.call("auth.set_pin", b'{"new": "76543210"}', uid=OWN_UID),
            await w.call("auth.signin", b'{"pin": "secret3"}'),
            await w.call("auth.signin", b'{"pin": ["secret4"]}'),
            await w.call("auth.signin", b'{"pin": "' + b"secret5" * 20 + b'"}'),
            await w.call("ocpp.set", b'{"key": "AuthorizationKey", "value": "secret6"}'),
            await w.call("ocpp.set", b'{"key": "AuthorizationKey", "value": 7654321}'),
        ]
        text = msgspec.json.encode([answers, w.rows]).decode()
        assert "secret" not in text
        assert "7654321" not in text
        assert len(w.rows) == 4

    run(main)


def test_a_password_of_the_back_end_never_reaches_audit_or_errors() -> None:
    async def main(w: World) -> None:
        answers = [
            await w.call("ocpp.set_password", b'{"secret": "geheim-0123456789"}'),
            await w.call("ocpp.set_password", b'{"secret": ["geheim-1"]}'),
            await w.call("ocpp.set_password", b'{"secret": "' + b"geheim-2" * 40 + b'"}'),
        ]
        assert [status for status, _ in answers] == [200, 400, 422]
        assert "geheim" not in msgspec.json.encode([answers, w.rows]).decode()
        assert [(row.operation, row.new) for row in w.rows] == [("ocpp.set_password", "secret=***")]

    run(main)


def test_one_time_codes_from_enrolment_to_recovery_leave_rows_and_no_secrets() -> None:
    async def main(w: World) -> None:
        guest, operator = UIDS["guest"], UIDS["operator"]
        await w.call("auth.set_pin", b'{"new": "76543210"}', uid=OWN_UID)
        assert (await w.call("auth.totp_begin", uid=guest))[0] == 403
        assert (await w.call("auth.totp_confirm", b'{"totp": "1"}', uid=operator))[1]["code"] == "conflict"
        status, new = await w.call("auth.totp_begin", uid=operator)
        assert status == 200 and new["secret"] in new["uri"]
        codes = pyotp.TOTP(new["secret"])

        async def with_code(operation: str, uid: int, **more: str) -> tuple[int, dict[str, Any]]:
            body = {"totp": codes.at(w.clock.wall() // 10**9), **more}
            shown.append(body["totp"])
            return await w.call(operation, json.dumps(body).encode(), uid=uid)

        shown: list[str] = []
        assert (await with_code("auth.totp_confirm", operator))[0] == 200
        assert (await w.call("auth.whoami", uid=guest))[1]["totp_enrolled"] is True
        assert (await w.call("auth.totp_begin", uid=operator))[1]["code"] == "conflict", "never shown again"
        status, body = await w.call("auth.signin", b'{"pin": "76543210"}', uid=guest)
        assert (status, body["code"]) == (401, "unauthenticated") and "code" in body["message"]
        assert (await with_code("auth.signin", guest, pin="76543210"))[0] == 401, "used up by the enrolment"
        await asyncio.sleep(30)
        assert (await with_code("auth.signin", guest, pin="76543210"))[0] == 200
        assert (await w.call("auth.totp_disable", uid=operator))[1]["code"] == "forbidden"
        assert (await w.call("auth.totp_disable", uid=0))[1]["changed"] is True
        assert (await w.call("auth.whoami", uid=guest))[1]["totp_enrolled"] is False
        rows = [(row.operation, row.who, row.new) for row in w.rows if row.result == "ok" and "totp" in row.operation]
        assert rows == [
            ("auth.totp_begin", "user1001", ""),
            ("auth.totp_confirm", "user1001", "codes=on"),
            ("auth.totp_disable", "user0", "codes=off, recovered without PIN and code"),
        ]
        text = msgspec.json.encode(w.rows).decode()
        assert not [word for word in (new["secret"], "76543210", *shown) if word in text]

    run(main)


def test_secrets_that_cannot_be_read_are_no_way_in_and_root_is_told_the_way_out() -> None:
    async def main(w: World) -> None:
        await w.call("auth.set_pin", b'{"new": "4711"}', uid=OWN_UID)
        secret = (await w.call("auth.totp_begin"))[1]["secret"]
        code = pyotp.TOTP(secret).at(w.clock.wall() // 10**9)
        assert (await w.call("auth.totp_confirm", json.dumps({"totp": code}).encode()))[0] == 200
        w.vault.broken = SecretsError("secrets.sealed: damaged")
        await asyncio.sleep(30)
        status, body = await w.call("auth.signin", b'{"pin": "4711", "totp": "123456"}', uid=1000)
        assert (status, body["code"], body["message"]) == (502, "device", "secrets.sealed: damaged")
        assert "evsectl auth totp disable --recover" in body["hint"]
        assert (await w.call("auth.totp_disable", uid=0))[1]["changed"] is True
        assert (await w.call("auth.signin", b'{"pin": "4711"}', uid=1000))[0] == 200

    run(main)


def test_an_audit_row_that_cannot_be_written_is_an_error() -> None:
    async def main(w: World) -> None:
        w.storage_error = OSError("disk full")
        status, body = await w.call("connector.stop", b'{"evse_id": 1}')
        assert (status, body["code"]) == (500, "failed")
        assert "was carried out" in body["message"]
        assert (await w.call("status.get"))[0] == 200

    run(main)


def test_refused_guests_cannot_fill_the_audit_log() -> None:
    async def main(w: World) -> None:
        for _ in range(500):
            await w.call("connector.stop", b'{"evse_id": 1}', uid=UIDS["guest"])
        assert len(w.rows) == REFUSED_ROWS_PER_MINUTE
        assert w.dispatcher.not_recorded == 500 - REFUSED_ROWS_PER_MINUTE
        await asyncio.sleep(61)
        await w.call("connector.stop", b'{"evse_id": 1}', uid=UIDS["guest"])
        assert len(w.rows) == REFUSED_ROWS_PER_MINUTE + 1

    run(main)


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (ApiError(ErrorCode.CONFLICT, "busy", "wait"), 409, "conflict"),
        (ConfigError(["a", "b"]), 422, "invalid"),
        (DeviceError("meter 3: timeout"), 502, "device"),
        (TimeoutError(), 504, "timeout"),
        (RuntimeError("internals"), 500, "failed"),
    ],
)
def test_errors_of_the_service(error: Exception, status: int, code: str) -> None:
    async def main(w: World) -> None:
        w.station.fail_next("connector.stop", error)
        got, body = await w.call("connector.stop", b'{"evse_id": 1}')
        assert (got, body["code"], BY_CODE[code].status) == (status, code, status)
        assert body["hint"]
        assert "internals" not in body["message"]
        assert w.rows[-1].result == code

    run(main)


def test_a_call_that_hangs_ends_at_its_deadline() -> None:
    async def main(w: World) -> None:
        async def hang(request: object, caller: object) -> m.Done:
            await asyncio.sleep(3600)
            return m.Done()

        w.station.trace_dump = hang  # type: ignore[method-assign, assignment]  # a service that never answers
        began = w.clock.now()
        assert (await w.call("trace.dump"))[0] == 504
        assert w.clock.now() - began == int(CALL_MAX_S * 1e9)

    run(main)


# -- strictness ---------------------------------------------------------------------------------------------------

STRICT: list[tuple[str, bytes, dict[str, str], int, str, str]] = [
    ("connector.stop", b"", {}, 400, "evse_id", ""),
    ("connector.stop", b"{", {}, 400, "", ""),
    ("connector.stop", b"[1]", {}, 400, "", ""),
    ("connector.stop", b"null", {}, 400, "", ""),
    ("connector.stop", b"\xff", {}, 400, "", ""),
    ("connector.stop", b"[" * 5000, {}, 400, "", ""),
    ("connector.stop", b'{"evse_id": "1"}', {}, 400, "evse_id", "1"),
    ("connector.stop", b'{"evse_id": 1.5}', {}, 400, "evse_id", "1.5"),
    ("connector.stop", b'{"evse_id": true}', {}, 400, "evse_id", "True"),
    ("connector.stop", b'{"evse_id": null}', {}, 400, "evse_id", "None"),
    ("connector.stop", b'{"evse_id": 0}', {}, 422, "evse_id", "0"),
    ("connector.stop", b'{"evse_id": 1e99}', {}, 400, "evse_id", "1e+99"),
    ("connector.stop", b'{"evse_id": 1, "evse": 2}', {}, 400, "evse", ""),
    ("connector.stop", b'{"evse_id": 1}', {"evse_id": "1"}, 400, "evse_id", ""),
    ("connector.start", b'{"evse_id": 1, "id_token": ""}', {}, 422, "id_token", ""),
    ("planner.set", b'{"limit_w": -1}', {}, 422, "limit_w", "-1"),
    ("planner.set", b'{"allow_cross": 1}', {}, 400, "allow_cross", "1"),
    ("connector.get", b"", {"evse_id": "one"}, 400, "evse_id", "one"),
    ("connector.get", b"", {"evse_id": "1.0"}, 400, "evse_id", "1.0"),
    ("connector.get", b"", {"evse_id": "٣"}, 400, "evse_id", "٣"),
    ("connector.get", b"", {"evse_id": ""}, 400, "evse_id", ""),
    ("connector.get", b"", {"evse_id": "9" * 40}, 400, "evse_id", "9" * 40),
    ("connector.get", b"", {"evseid": "1"}, 400, "evseid", ""),
    ("connector.get", b"{}", {"evse_id": "1"}, 400, "", ""),
    ("session.list", b"", {"state": "open"}, 422, "state", "open"),
    ("session.list", b"", {"text": "x" * 129}, 422, "text", ""),
    ("events.list", b"", {"limit": "1001"}, 422, "limit", "1001"),
]


@pytest.mark.parametrize(("name", "body", "query", "status", "field", "value"), STRICT)
def test_requests_are_read_strictly(
    name: str, body: bytes, query: dict[str, str], status: int, field: str, value: str
) -> None:
    async def main(w: World) -> None:
        got, answer = await w.call(name, body, query)
        assert (got, answer["field"], answer["value"]) == (status, field, value)
        assert answer["message"]
        assert answer["hint"]
        assert w.station.calls == []

    run(main)


def test_the_error_of_the_guide_is_the_real_one() -> None:
    guide = GUIDE_FILE.read_text(encoding="utf-8")
    shown = json.loads(next(line for line in guide.splitlines() if line.startswith('{"code"')))

    async def main(w: World) -> None:
        status, body = await w.call("session.list", b"", {"limit": "0"})
        assert (status, body | {"request_id": shown["request_id"]}) == (422, shown)

    run(main)


def test_a_near_miss_is_suggested() -> None:
    with pytest.raises(RequestError) as caught:
        Reader(BY_NAME["planner.set"]).body(b'{"limit": 5}')
    assert "did you mean limit_w?" in caught.value.hint


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=6,
)
FIELDS = sorted({name for op in OPERATIONS for name in op.request.__struct_fields__})


@settings(max_examples=examples(150), deadline=None)
@given(
    operation=st.sampled_from([op for op in OPERATIONS if not op.stream]),
    content=st.dictionaries(st.sampled_from(FIELDS) | st.text(max_size=8), json_values, max_size=4).map(
        lambda value: json.dumps(value).encode()
    )
    | st.binary(max_size=60),
    pairs=st.lists(st.tuples(st.sampled_from(FIELDS) | st.text(max_size=8), st.text(max_size=20)), max_size=3),
)
def test_garbage_is_read_or_refused_and_nothing_else(
    operation: Operation, content: bytes, pairs: list[tuple[str, str]]
) -> None:
    """Law: any body and any query give a request whose values keep their types, or a `RequestError` with a hint."""
    reader = Reader(operation)
    reads: list[Callable[[], m.Model]] = [lambda: reader.body(content), lambda: reader.query(pairs)]
    for read in reads:
        try:
            request = read()
        except RequestError as error:
            assert error.kind in (ErrorCode.BAD_REQUEST, ErrorCode.INVALID)
            assert error.message.isprintable()
            assert error.hint
        else:
            assert type(request) is operation.request
            again = msgspec.json.decode(msgspec.json.encode(request), type=operation.request)
            assert again == request


def test_access_errors_are_mapped_completely() -> None:
    from evse.access.ports import Denial

    async def main(w: World) -> None:
        for why in Denial:
            answer = w.dispatcher.error("x", AccessError(why, "no", "do this"), "r")
            assert 400 <= answer.status < 500

    run(main)
